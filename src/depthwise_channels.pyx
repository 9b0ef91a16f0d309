"""Depthwise convolution, channels on the lanes, every channel with its own kernel.

Loops, outermost first, and what each block is sized for:
    task        in parallel: image x chunk slices x block of output pixels x channel_block
    o           chunk slices of output      rows of the slices that it reads stay in L2
    p q         PIXELS pixels of two rows   their windows, and the weights of channel_block channels, stay in L1
    k           one vector of channels      \
    t r s       up to RUN taps at a time    /  the register tile, micro/depthwise.pxd
An input column is loaded once for all the pixels of the tile that it reaches; a column in zero padding is passed over.
The last vector of channels is whole, unless there is but one: it computes some channels once more, perhaps those of another
task, too, and both store the same numbers, finished.
Where pixels fall into few sets of L1 (`in_place` is 0), a task first copies the rows that it reads.
With channels first a task turns the rows of BLOCK planes that it reads, and turns its sums when it finishes them; or, if
the plan says so (`row_runs`), BLOCK rows of one plane under a kernel of one row, `chunk` columns of sums at a time.

Needs    x (N, D, H, W, C), channels contiguous, or (N, C, D, H, W), rows contiguous; w (C, 1, T, R, S) or packed; y in the
         layout of x; distinct buffers. Channels first, several blocks: padding of zeros; of rows: one slice (O = T = 1).
Leaves   y written in full.
Rounds   one fused chain per output, in order t, r, s, over the taps inside the image only.
Costs    2 N C T R S O P Q flop, less the taps in zero padding; one read of x, one write of y: bound by memory outside L2.
"""

from kernel cimport CONVOLUTION, AnyTask, Arrays, Divide, Division, Measure, Table, divided, offer
from micro.depthwise cimport HALF, PIECES, PIXELS, RUN, Line, Tile, tile
from micro.finish cimport any_odd, output_open, output_place, pixels_finish, tile_finish
from micro.geometry cimport Geometry, border_index, ceil_div, padded, place
from micro.pack cimport turn
from micro.simd cimport FULL, LANES, NR, prefetch, real, vec, vec_load, vec_splat, vec_store, vec_zero
from micro.tile cimport Output

cdef extern from *:
    """
    enum { BLOCK = 2 * LANES };             /* planes that are turned together */
    """
    enum: BLOCK

cdef struct Task:               # what the tiles of a task share, and its buffers
    Tile tile
    Py_ssize_t below            # the lowest row that the present tiles read
    Py_ssize_t* columns[2]      # Tile.column of the first tile of a row and of the last
    Py_ssize_t at[2]            # ... from which pixel on, and of how many
    Py_ssize_t wanted[2]
    bint direct                 # whether sums can be finished in registers
    real* packed                # the weights of the task, if they do not come packed; row_runs: of one plane, for all lanes
    real* bias                  # row_runs: likewise
    real* image                 # not in place: the rows (rows, W, BLOCK), copied or turned
    real* sums                  # channels first: the sums (pixels, NR), and these turned back
    real* turned


cdef inline bint together(const Geometry* g) noexcept nogil:
    """Whether pixels of a tile share columns, and taps are taken in runs."""
    return g.dilation_w == 1 and g.stride_w <= 2


cdef inline Py_ssize_t columns_of(const Geometry* g, Py_ssize_t pixels) noexcept nogil:
    """Columns that `pixels` pixels side by side share."""
    return (pixels - 1) * g.stride_w + g.S


cdef void find_lines(const Geometry* g, Task* b, Py_ssize_t o, Py_ssize_t p, bint pair) noexcept nogil:
    """The lines of the tiles of output row (o, p): with `pair` also of the row after it, else perhaps side by side."""
    cdef Py_ssize_t t, d, h, first, second, ahead, step = g.S * LANES
    cdef bint take_first, take_second
    cdef Line* line = b.tile.line
    for t in range(g.T):
        d = border_index(g.padding_mode, o * g.stride_d - g.pad_d + t * g.dilation_d, g.D)
        first = 0
        second = 0 if pair else g.R
        while d >= 0 and (first < g.R or second < g.R):
            ahead = (first - second) * g.dilation_h - g.stride_h
            take_first = first < g.R and (second == g.R or ahead <= 0)
            take_second = second < g.R and (first == g.R or ahead >= 0)
            h = first * g.dilation_h if take_first else second * g.dilation_h + g.stride_h
            h = border_index(g.padding_mode, p * g.stride_h - g.pad_h + h, g.H)
            line.x = d * g.x_d + h * g.x_h
            line.column = 0
            line.first = (t * g.R + first) * step if take_first else -1
            line.second = (t * g.R + second) * step if take_second else -1
            first += take_first
            second += take_second
            if h < 0 and not squares(g, pair):
                continue
            if h < 0:
                line.x = -1
            else:
                b.below = line.x
            line += 1
            if b.tile.side:
                line[0] = (line - 1)[0]
                line.first, line.second = -1, line.first
                line.column = PIXELS * g.stride_w if together(g) else PIXELS
                line += 1
    b.tile.lines = line - b.tile.line


cdef void find_columns(const Geometry* g, Task* b, Py_ssize_t wanted) noexcept nogil:
    """Let `column` be that of `wanted` pixels from b.tile.q on, others see none: in the order of the columns if taps are taken
    in runs, else tap by tap."""
    cdef Py_ssize_t w = b.tile.q * g.stride_w - g.pad_w, i, s, at
    cdef bint which = w >= 0
    cdef Py_ssize_t* column = b.columns[which]
    b.tile.column = column
    if b.at[which] == b.tile.q and b.wanted[which] == wanted:
        return
    b.at[which], b.wanted[which] = b.tile.q, wanted
    if together(g):
        for i in range(columns_of(g, 2 * PIXELS)):
            at = border_index(g.padding_mode, w + i, g.W) if i < columns_of(g, wanted) else -1
            column[i] = -1 if at < 0 else at * g.x_w
        return
    for s in range(g.S):
        for i in range(2 * PIXELS):
            at = border_index(g.padding_mode, w + i * g.stride_w + s * g.dilation_w, g.W) if i < wanted else -1
            column[s * 2 * PIXELS + i] = -1 if at < 0 else at * g.x_w


cdef inline void tile_careful(const int n, const int step, const int width, const bint square, bint careful, Py_ssize_t taps,
                              const Tile* b, Py_ssize_t vectors, Output* out) noexcept nogil:
    if careful:
        tile(n, step, width, square, True, taps, b, vectors, out)
    else:
        tile(n, step, width, square, False, taps, b, vectors, out)


# Functions of their own: what they keep in registers is theirs.

cdef void tile_any(bint careful, Py_ssize_t taps, const Tile* b, Py_ssize_t vectors, Output* out) noexcept nogil:
    tile_careful(0, 0, PIXELS, False, careful, taps, b, vectors, out)

cdef void tile_one(bint careful, Py_ssize_t taps, const Tile* b, Py_ssize_t vectors, Output* out) noexcept nogil:
    tile_careful(0, 1, PIXELS, False, careful, taps, b, vectors, out)

cdef void tile_two(bint careful, Py_ssize_t taps, const Tile* b, Py_ssize_t vectors, Output* out) noexcept nogil:
    tile_careful(0, 2, PIXELS, False, careful, taps, b, vectors, out)

cdef void tile_seven(bint careful, Py_ssize_t taps, const Tile* b, Py_ssize_t vectors, Output* out) noexcept nogil:
    if RUN == 7:
        tile_careful(RUN, 1, PIXELS, False, careful, taps, b, vectors, out)

cdef void tile_two_three(bint careful, Py_ssize_t taps, const Tile* b, Py_ssize_t vectors, Output* out) noexcept nogil:
    if PIECES > 1:
        tile_careful(3, 2, PIXELS, False, careful, taps, b, vectors, out)

cdef void tile_half(bint careful, Py_ssize_t taps, const Tile* b, Py_ssize_t vectors, Output* out) noexcept nogil:
    if PIECES > 1:
        tile_careful(0, 1, HALF, False, careful, taps, b, vectors, out)

cdef void tile_square(bint careful, Py_ssize_t taps, const Tile* b, Py_ssize_t vectors, Output* out) noexcept nogil:
    if PIECES > 1:
        tile_careful(3, 1, PIXELS, True, careful, taps, b, vectors, out)

cdef void tile_half_square(bint careful, Py_ssize_t taps, const Tile* b, Py_ssize_t vectors, Output* out) noexcept nogil:
    if PIECES > 1:
        tile_careful(3, 1, HALF, True, careful, taps, b, vectors, out)

ctypedef void (*AnyTile)(bint careful, Py_ssize_t taps, const Tile* b, Py_ssize_t vectors, Output* out) noexcept nogil


cdef inline bint squares(const Geometry* g, bint pair) noexcept nogil:
    """Whether all nine taps of two rows are taken at once."""
    return PIECES > 1 and pair and g.R == 3 and g.S == 3 and together(g) and g.stride_w == 1 and g.stride_h == g.dilation_h == 1


cdef inline AnyTile tile_of(const Geometry* g, Py_ssize_t width, bint pair) noexcept nogil:
    if not together(g):
        return tile_any
    if g.stride_w == 2:
        return tile_two_three if PIECES > 1 and g.S == 3 else tile_two
    if PIECES > 1 and width == HALF:
        return tile_half_square if squares(g, pair) else tile_half
    if squares(g, pair):
        return tile_square
    return tile_seven if RUN == 7 and g.S == 7 else tile_one


cdef inline bint lanes_follow(const Geometry* g, Py_ssize_t last, Py_ssize_t n) noexcept nogil:
    """Whether behind the last of n channels, at column `last`, so many numbers of the same row follow as fill the vector."""
    return n == LANES or (g.W - 1 - last) * g.x_w + n >= LANES


cdef inline void fetch_ahead(const Geometry* g, const Task* b, const real* x, bint pair, Py_ssize_t channels) noexcept nogil:
    """Of an image that stays in no cache, what the next tile below reads for the first time; x: the first column."""
    cdef Py_ssize_t r, i, c, lines = g.stride_h * (1 + pair) if g.past_caches else 0
    for r in range(1, lines + 1):
        for i in range(PIXELS * g.stride_w):
            for c in range(ceil_div(channels, LANES)):
                prefetch(x + b.below + r * g.x_h + i * g.x_w + c * LANES)


cdef vec pixels(const Geometry* g, const Arrays* a, Task* b, Py_ssize_t at, Py_ssize_t k, Py_ssize_t channels, const real* w,
                bint pair, Py_ssize_t most, Output* out) noexcept nogil:
    """A tile of pixels from b.tile.q on, which start at y + at, in `channels` channels from k on, whose weights are at w.

    Inside the image up to `most` tiles side by side: as many as b.tile.tiles tells then.
    """
    cdef Tile* here = &b.tile
    cdef Py_ssize_t n = min(<Py_ssize_t>LANES, g.K), span = here.width * (1 + here.side), c = 0, vectors = 1, i
    cdef Py_ssize_t first = here.q * g.stride_w - g.pad_w
    cdef Py_ssize_t last = first + (span - 1) * g.stride_w + (g.S - 1) * g.dilation_w
    cdef bint direct = b.direct and here.count == here.width and n == LANES
    cdef bint careful = not lanes_follow(g, last, n) or here.count < here.width or first < 0 or last >= g.W
    cdef const real* x = here.x
    cdef const real* image = x
    cdef AnyTile run = tile_of(g, here.width, pair)
    cdef vec odd = vec_zero()
    here.tiles = 1
    if careful:
        find_columns(g, b, here.count + span - here.width)
    else:
        image = x + first * g.x_w
        if direct and not g.past_caches:
            here.tiles = max(<Py_ssize_t>1, min(most, (g.W - 1 - last) // (span * g.stride_w) + 1))
    fetch_ahead(g, b, x + first * g.x_w, pair, channels)
    here.second = g.Q * g.y_q if pair else here.width * g.y_q if here.side else 0
    here.lanes = FULL >> (LANES - n)
    here.w = w
    here.x_w = g.x_w if together(g) else g.x_w * g.stride_w
    here.x_tap = g.x_w * g.dilation_w
    here.w_step = g.T * g.R * g.S * LANES
    here.overlap = 0
    here.biased = a.bias != NULL
    if direct and channels > LANES:
        vectors = ceil_div(channels, LANES)
        here.overlap = vectors * LANES - channels
    here.x_tile = span * g.stride_w * g.x_w - (vectors * LANES - here.overlap)
    here.y_tile = span * g.y_q - (vectors * LANES - here.overlap)
    while c < channels:
        c = min(c, channels - n)
        here.x = image + c
        output_place(a.y + at + c, a.bias, k + c, out)
        run(careful, g.S, here, vectors, out if direct else NULL)
        for i in range(0 if direct else 1 + (here.second > 0)):
            odd = odd + tile_finish(g, here.total + i * here.width * LANES, here.count, LANES,
                                    NULL if a.bias == NULL else a.bias + k + c, 1,
                                    NULL if a.residual == NULL else a.residual + at + i * here.second + c,
                                    a.y + at + i * here.second + c, g.y_q, n)
        here.w += vectors * here.w_step
        c += vectors * n
    here.x = x
    return odd


cdef inline Py_ssize_t block_rows(const Geometry* g) noexcept nogil:
    """Rows of each slice that a task computes."""
    return min(g.P, max(<Py_ssize_t>1, g.pixel_block // g.Q))


cdef inline Py_ssize_t rows_read(const Geometry* g) noexcept nogil:
    """Input rows that a task reads at most, all slices counted; those of the whole image if it is not cut."""
    if block_rows(g) < g.P:
        return min(g.H, (block_rows(g) - 1) * g.stride_h + (g.R - 1) * g.dilation_h + 1)
    if g.chunk < g.O:
        return g.H * min(g.D, (g.chunk - 1) * g.stride_d + (g.T - 1) * g.dilation_d + 1)
    return g.D * g.H


cdef Py_ssize_t layout(const Geometry* g, Task* b, char* workspace) noexcept nogil:
    """Place the buffers in the workspace; return the bytes they take. plan.py asks for them."""
    cdef Py_ssize_t rows = block_rows(g) * min(g.chunk, g.O), pixels = 0 if g.channels_last else padded(rows * g.Q, LANES)
    cdef Py_ssize_t columns = (max(g.R, g.S) + 2) * 2 * PIXELS      # whether they are shared or not, of rows or of columns
    cdef Py_ssize_t lines = rows_read(g), width = copied_width(g) if g.channels_last else BLOCK
    cdef Py_ssize_t packed = 0 if g.packed else g.T * g.R * padded(g.channel_block, LANES)
    cdef char* free = workspace
    if g.row_runs:
        pixels, lines, packed = padded(min(g.chunk, g.Q), LANES), 1, BLOCK
    b.tile.total = <real*>place(&free, 2 * PIXELS * LANES * sizeof(real))
    b.tile.line = <Line*>place(&free, 2 * g.T * g.R * sizeof(Line))
    b.columns[0] = <Py_ssize_t*>place(&free, columns * sizeof(Py_ssize_t))
    b.columns[1] = <Py_ssize_t*>place(&free, columns * sizeof(Py_ssize_t))
    b.packed = <real*>place(&free, packed * g.S * sizeof(real))
    b.bias = <real*>place(&free, g.row_runs * BLOCK * sizeof(real))
    b.image = <real*>place(&free, 0 if g.in_place else lines * g.W * width * sizeof(real))
    b.sums = <real*>place(&free, pixels * NR * sizeof(real))
    b.turned = <real*>place(&free, pixels * NR * sizeof(real))
    return free - workspace


cdef void turn_once(const real* x, Py_ssize_t distance, Py_ssize_t rows, Py_ssize_t n, real* y,
                    Py_ssize_t y_distance) noexcept nogil:
    """turn, which is large, compiled once."""
    turn(x, distance, rows, n, y, y_distance)


cdef void weights_pack(const Geometry* g, const real* w, Py_ssize_t K, Py_ssize_t k, Py_ssize_t stop,
                       real* packed) noexcept nogil:
    """packed (.., T R S, LANES) <- w (K, T R S) of the vectors of channels from k on; the last is whole, or has zeros."""
    cdef Py_ssize_t taps = g.T * g.R * g.S, i
    while k < stop:
        if K < LANES:
            for i in range(taps * LANES):
                packed[i] = 0
        turn_once(w + max(<Py_ssize_t>0, min(k, K - LANES)) * taps, taps, min(<Py_ssize_t>LANES, K), taps, packed, LANES)
        packed += taps * LANES
        k += LANES


cdef inline Py_ssize_t halves_of(Py_ssize_t pixels) noexcept nogil:
    """How many tiles of HALF pixels a row is cut into, behind those of PIXELS: a tile costs a pixel besides its own."""
    cdef Py_ssize_t halves, best = 0, cost, least = ceil_div(pixels, PIXELS) * (PIXELS + 1)
    for halves in range(1, PIXELS - 1):
        cost = halves * (HALF + 1) + ceil_div(max(<Py_ssize_t>0, pixels - halves * HALF), PIXELS) * (PIXELS + 1)
        if cost < least:
            least = cost
            best = halves
    return best


cdef vec rows_sum(const Geometry* g, const Arrays* a, Task* b, Py_ssize_t p, Py_ssize_t p_stop, Py_ssize_t q, Py_ssize_t q_stop,
                  Py_ssize_t origin, Py_ssize_t k, Py_ssize_t channels, const real* w, Output* out) noexcept nogil:
    """Columns q to q_stop of the output rows from p on, in `channels` channels from k on; pixel 0 lies at y + origin."""
    cdef Tile* here = &b.tile
    cdef bint pair, side
    cdef Py_ssize_t at, span, most, halves = halves_of(q_stop - q) if PIECES > 1 and together(g) and g.stride_w == 1 else 0
    cdef vec odd = vec_zero()
    b.wanted[0] = b.wanted[1] = 0
    while p < p_stop:
        pair = PIECES > 1 and p + 1 < p_stop and p % g.P + 1 < g.P
        here.side = False
        find_lines(g, b, p // g.P, p % g.P, pair)
        at = q
        while at < q_stop:
            side = PIECES > 1 and not pair and q_stop - at > PIXELS and q_stop - q >= 2 * PIXELS
            if side != here.side:
                here.side = side
                find_lines(g, b, p // g.P, p % g.P, pair)
            here.width = HALF if not side and q_stop - at <= halves * HALF else PIXELS
            span = here.width * (1 + side)
            here.q = max(q, min(at, q_stop - span))         # the last may compute pixels of the one before once more
            here.count = min(here.width, q_stop - here.q)
            most = (q_stop - here.q - (halves * HALF if here.width == PIXELS and not side else 0)) // span
            odd = odd + pixels(g, a, b, origin + (p * g.Q + here.q) * g.y_q, k, channels, w, pair, most, out)
            at = here.q + here.count + here.tiles * span - here.width
        p += 1 + pair
    return odd


cdef void rows_turn(const Geometry* g, const real* x, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t channels,
                    real* image) noexcept nogil:
    """image (rows, W, BLOCK) <- the input rows from `first` on, counted through all slices, of `channels` channels."""
    cdef Py_ssize_t row
    if g.x_h == g.W and g.x_d == g.H * g.W:
        turn_once(x + first * g.W, g.x_c, channels, rows * g.W, image, BLOCK)
        return
    for row in range(first, first + rows):
        turn_once(x + row // g.H * g.x_d + row % g.H * g.x_h, g.x_c, channels, g.W, image + (row - first) * g.W * BLOCK, BLOCK)


cdef inline Geometry turned_geometry(const Geometry* g) noexcept nogil:
    """Of an image that was turned, and whose sums are finished when they are turned back."""
    cdef Geometry last = g[0]
    last.x_w = BLOCK
    last.x_h = g.W * BLOCK
    last.x_d = g.H * g.W * BLOCK
    last.y_q = NR
    last.activation = 0
    last.watch = 0
    last.past_caches = 0
    last.K = BLOCK
    return last


cdef inline Py_ssize_t copied_width(const Geometry* g) noexcept nogil:
    """Numbers of a pixel of a copied image: channel_block, a multiple of BLOCK, and what keeps pixels out of few sets of L1."""
    return g.channel_block + (LANES if g.channel_block % (8 * BLOCK) == 0 else 0)


cdef void rows_copy(const Geometry* g, const real* x, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t channels,
                    real* image) noexcept nogil:
    """image (rows, W, copied_width) <- `channels` channels of the input rows from `first` on; x: the first of these channels."""
    cdef Py_ssize_t row, _i, c
    cdef const real* pixel
    for row in range(first, first + rows):
        pixel = x + row * g.x_h
        for _i in range(g.W):
            c = 0
            while c < channels:
                vec_store(image + c, vec_load(pixel + c))
                vec_store(image + c + LANES, vec_load(pixel + c + LANES))
                c += BLOCK
            pixel += g.x_w
            image += copied_width(g)


cdef inline Py_ssize_t rows_of(const Geometry* g, Py_ssize_t p, Py_ssize_t p_stop, Py_ssize_t* first) noexcept nogil:
    """How many input rows the output rows p to p_stop read, zero padding left out, and the first of them."""
    first[0] = min(g.H, max(<Py_ssize_t>0, p * g.stride_h - g.pad_h))
    return max(<Py_ssize_t>0, min(g.H, (p_stop - 1) * g.stride_h - g.pad_h + (g.R - 1) * g.dilation_h + 1) - first[0])


cdef vec copies_sum(const Geometry* g, const Arrays* a, Task* b, Py_ssize_t n, Py_ssize_t p, Py_ssize_t p_stop, Py_ssize_t k,
                    Py_ssize_t channels, const real* w) noexcept nogil:
    """Channels last, not in place: whole rows p to p_stop of an image of one slice."""
    cdef Py_ssize_t first, rows = rows_of(g, p, p_stop, &first)
    cdef Geometry here = g[0]
    cdef Output out
    here.x_w = copied_width(g)
    here.x_h = g.W * here.x_w
    here.past_caches = 0
    rows_copy(g, a.x + n * g.x_n + k, first, rows, channels, b.image)
    b.direct = output_open(g, a.residual, g.y_q, &out)
    b.tile.x = b.image - first * here.x_h
    return rows_sum(&here, a, b, p, p_stop, 0, g.Q, n * g.y_n + k, k, channels, w, &out) + out.odd


cdef vec planes_sum(const Geometry* g, const Arrays* a, Task* b, Py_ssize_t n, Py_ssize_t o, Py_ssize_t o_stop, Py_ssize_t p,
                    Py_ssize_t p_stop, Py_ssize_t k, Py_ssize_t channels, const real* w) noexcept nogil:
    """Channels first: the slices o to o_stop, or rows p to p_stop of the only slice, of at most BLOCK planes from k on."""
    cdef Py_ssize_t first = 0, rows = g.D * g.H, start = o * g.P + p, stop = (o_stop - 1) * g.P + p_stop
    cdef Py_ssize_t at = n * g.y_n + k * g.y_k + start * g.Q
    cdef Geometry last = turned_geometry(g)
    cdef Arrays raw = a[0]
    cdef Output out
    if p_stop - p < g.P:
        rows = rows_of(g, p, p_stop, &first)
    elif o_stop - o < g.O:
        first = g.H * min(g.D, max(<Py_ssize_t>0, o * g.stride_d - g.pad_d))
        rows = max(<Py_ssize_t>0, g.H * min(g.D, (o_stop - 1) * g.stride_d - g.pad_d + (g.T - 1) * g.dilation_d + 1) - first)
    rows_turn(g, a.x + n * g.x_n + k * g.x_c, first, rows, channels, b.image)
    raw.y = b.sums
    raw.bias = raw.residual = NULL
    b.direct = output_open(&last, NULL, NR, &out)
    b.tile.x = b.image - first * g.W * BLOCK
    rows_sum(&last, &raw, b, start, stop, 0, g.Q, -start * g.Q * NR, 0, max(channels, <Py_ssize_t>LANES), w, &out)
    return pixels_finish(g, b.sums, NULL if a.bias == NULL else a.bias + k, NULL if a.residual == NULL else a.residual + at,
                         a.y + at, (stop - start) * g.Q, channels, 1, b.turned)


cdef void lines_open(const Geometry* g, const Arrays* a, const Task* b, Py_ssize_t k) noexcept nogil:
    """packed, bias: those of plane k, on every lane."""
    cdef Py_ssize_t first = max(<Py_ssize_t>0, min(k // LANES * LANES, g.K - LANES)), s, j
    cdef const real* w = a.w + (k // LANES * LANES * g.S + k - first if g.packed else k * g.S)
    for j in range(BLOCK // LANES):
        for s in range(g.S):
            vec_store(b.packed + (j * g.S + s) * LANES, vec_splat(w[s * LANES if g.packed else s]))
        vec_store(b.bias + j * LANES, vec_zero() if a.bias == NULL else vec_splat(a.bias[k]))


cdef vec lines_sum(const Geometry* g, const Arrays* a, Task* b, Py_ssize_t n, Py_ssize_t k, Py_ssize_t p,
                   Py_ssize_t rows) noexcept nogil:
    """`rows` (<= BLOCK) rows of plane k from p on, whose weights are in `packed`."""
    cdef Py_ssize_t q = 0, stop, at = n * g.y_n + k * g.y_k + p * g.Q
    cdef Geometry last = turned_geometry(g), lines = g[0]
    cdef Arrays raw = a[0]
    cdef Output out
    cdef vec odd = vec_zero()
    last.P = last.H = 1
    lines.y_k = g.Q                 # rows are what channels are for others
    raw.y = b.sums
    raw.bias = raw.residual = NULL
    turn_once(a.x + n * g.x_n + k * g.x_c + p * g.x_h, g.x_h, rows, g.W, b.image, BLOCK)
    b.direct = output_open(&last, NULL, NR, &out)
    b.tile.x = b.image
    while q < g.Q:
        stop = min(g.Q, q + g.chunk)
        rows_sum(&last, &raw, b, 0, 1, q, stop, -q * NR, 0, max(rows, <Py_ssize_t>LANES), b.packed, &out)
        odd = odd + pixels_finish(&lines, b.sums, b.bias, NULL if a.residual == NULL else a.residual + at + q, a.y + at + q,
                                  stop - q, rows, 1, b.turned)
        q = stop
    return odd


cdef bint block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: some rows, or part of one row, of an image, in `channel_block` channels. g.K counts those of all groups."""
    cdef Py_ssize_t taps = g.T * g.R * g.S, rows = block_rows(g), columns = min(g.Q, g.pixel_block)
    cdef Py_ssize_t k_blocks = ceil_div(g.K, g.channel_block), q_blocks = ceil_div(g.Q, columns)
    cdef Py_ssize_t p_blocks = ceil_div(g.P, rows), o_blocks = ceil_div(g.O, g.chunk), c, first
    cdef Py_ssize_t o, o_stop, p, p_stop, q, q_stop, n
    cdef Py_ssize_t k = task % k_blocks * g.channel_block, channels = min(g.channel_block, g.K - k)
    cdef const real* w = a.w + k * taps
    cdef vec odd = vec_zero()
    cdef Task b
    cdef Output out
    layout(g, &b, workspace)
    if not g.packed:
        weights_pack(g, a.w, g.K, k, k + channels, b.packed)
        w = b.packed
    q = task // k_blocks % q_blocks * columns
    q_stop = min(g.Q, q + columns)
    task //= k_blocks * q_blocks
    p = task % p_blocks * rows
    p_stop = min(g.P, p + rows)
    o = task // p_blocks % o_blocks * g.chunk
    o_stop = min(g.O, o + g.chunk)
    n = task // (p_blocks * o_blocks)
    if not g.channels_last:
        c = 0
        while c < channels:
            first = max(<Py_ssize_t>0, min(k + c, g.K - LANES))
            odd = odd + planes_sum(g, a, &b, n, o, o_stop, p, p_stop, first, min(<Py_ssize_t>BLOCK, k + channels - first),
                                   w + c * taps)
            c += BLOCK
        return any_odd(odd)
    if not g.in_place:
        return any_odd(copies_sum(g, a, &b, n, p, p_stop, k, channels, w))
    b.direct = output_open(g, a.residual, g.y_q, &out)
    b.tile.x = a.x + n * g.x_n + k
    for o in range(o, o_stop):
        odd = odd + rows_sum(g, a, &b, o * g.P + p, o * g.P + p_stop, q, q_stop, n * g.y_n + k, k, channels, w, &out)
    return any_odd(odd + out.odd)


cdef bint lines_block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task of row_runs: some rows of `channel_block` planes, rows being counted first."""
    cdef Py_ssize_t k_blocks = ceil_div(g.K, g.channel_block), p_blocks = ceil_div(g.P, block_rows(g)), k, p
    cdef Py_ssize_t first = task % p_blocks * block_rows(g), stop = min(g.P, first + block_rows(g))
    cdef Py_ssize_t plane = task // p_blocks % k_blocks * g.channel_block
    cdef vec odd = vec_zero()
    cdef Task b
    layout(g, &b, workspace)
    for k in range(plane, min(g.K, plane + g.channel_block)):
        lines_open(g, a, &b, k)
        p = first
        while p < stop:
            odd = odd + lines_sum(g, a, &b, task // (p_blocks * k_blocks), k, p, min(<Py_ssize_t>BLOCK, stop - p))
            p += BLOCK
    return any_odd(odd)


cdef bint pack_all(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    weights_pack(g, a.w, g.G * g.K, 0, g.G * g.K, a.y)
    return False


cdef Py_ssize_t workspace(const Geometry* g) noexcept nogil:
    cdef Task b
    return layout(g, &b, NULL)


cdef Division divide(Geometry* g) noexcept nogil:
    """Lanes are the channels of all groups: K counts them."""
    g.K *= g.G
    if g.row_runs:
        return divided(<AnyTask>lines_block, g.N * ceil_div(g.P, block_rows(g)) * ceil_div(g.K, g.channel_block))
    return divided(<AnyTask>block, g.N * ceil_div(g.O, g.chunk) * ceil_div(g.P, block_rows(g)) * ceil_div(g.K, g.channel_block)
                   * ceil_div(g.Q, min(g.Q, g.pixel_block)))


cdef Py_ssize_t packed(const Geometry* g) noexcept nogil:
    return padded(g.G * g.K, LANES) * g.T * g.R * g.S


cdef Division packing(Geometry* g) noexcept nogil:
    """packed (ceil(C / LANES), T R S, LANES) <- w (C, 1, T, R, S)."""
    return divided(<AnyTask>pack_all, 1)


cdef Table table
kernel = offer(&table, CONVOLUTION, <Divide>divide, <Measure>workspace, <Measure>packed, <Divide>packing)
