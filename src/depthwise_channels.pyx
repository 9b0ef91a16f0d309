"""Depthwise convolution, channels on the lanes, every channel with its own kernel.

Loops, outermost first, and what each block is sized for:
    task        in parallel: image x chunk slices x block of output pixels x channel_block
    o           chunk slices of output      rows of the slices that it reads stay in L2
    p q         PIXELS pixels of one row    their windows, and the weights of channel_block channels, stay in L1
    k           WIDTH vectors of channels   \
    t r s       up to TAPS taps at a time   /  the register tile: sums and weights
A kernel of one column, with channels last, is one of one row of an image of one row: every column is.
An input column is loaded once for all the pixels of the tile that it reaches; a column in zero padding is passed over.
With channels first a task turns the rows of BLOCK planes that it reads, and turns its sums when it finishes them; or, if
the plan says so (`row_runs`), BLOCK rows of one plane under a kernel of one row, `chunk` columns of sums at a time.

Needs    x (N, D, H, W, C), channels contiguous, or (N, C, D, H, W), rows contiguous; w (C, 1, T, R, S) or packed; y in the
         layout of x; distinct buffers. Channels first, several blocks: padding of zeros; of rows: one slice (O = T = 1).
Leaves   y written in full.
Rounds   one fused chain per output, in order t, r, s, over the taps inside the image only.
Costs    2 N C T R S O P Q flop, less the taps in zero padding; one read of x, one write of y: bound by memory outside L2.
"""

from kernel cimport CONVOLUTION, AnyTask, Arrays, Divide, Division, Measure, Table, divided, offer
from micro.finish cimport any_odd, output_open, output_place, pixels_finish, tile_finish
from micro.geometry cimport Geometry, border_index, ceil_div, padded, place
from micro.pack cimport turn
from micro.simd cimport (FULL, LANES, NR, prefetch, real, vec, vec_keep, vec_load_once, vec_mask_load, vec_splat, vec_store,
                         vec_zero)
from micro.tile cimport Output, sums_finish

cdef extern from *:
    """
    /* PIXELS * WIDTH sums, TAPS * WIDTH weights and WIDTH of x must fit the registers: 14 + 10 + 2 of 32, 7 + 5 + 1 of 16. */
    enum { PIXELS = 7, TAPS = 5, WIDTH = MR > 6 ? 2 : 1, BLOCK = WIDTH * LANES };
    /* Of 32 registers two rows of sums take 14 and a 3 x 3 kernel 9. Rows of 8, 10, 16 ... pixels have tiles of HALF, too. */
    enum { PAIRS = MR > 6, HALF = 4 };
    """
    enum: PIXELS, TAPS, WIDTH, BLOCK, PAIRS, HALF

cdef struct Tile:               # PIXELS pixels of one output row and BLOCK channels, and the buffers of a task
    Py_ssize_t q, count, width  # the first pixel, how many are wanted, and how many computed
    const real* x               # the image, from the first of the channels on
    const real* w               # (T R S, BLOCK)
    Py_ssize_t* row             # (T, R), or (T, R + 1) of two output rows: offsets of the rows that the taps read; -1: padding
    Py_ssize_t* column          # offset in a row of each column that the taps read; -1: zero padding
    unsigned lanes              # of the last vector
    real* total                 # (2, PIXELS, BLOCK)
    bint direct                 # whether sums can be finished in registers
    real* packed                # the weights of the task, if they do not come packed; row_runs: of one plane, for all lanes
    real* bias                  # row_runs: likewise
    real* image                 # channels first: the turned rows (rows, W, BLOCK),
    real* sums                  # the sums (pixels, NR), and these turned back
    real* turned


cdef inline void column_add(const int c, const int n, const int step, const int vectors, const bint careful, vec* acc,
                            const real* x, const Py_ssize_t* offset, unsigned lanes, const vec* weight) noexcept nogil:
    """Column c of those that n taps of the tile read, into the sums of its pixels, which lie `step` columns apart."""
    cdef vec v[WIDTH]
    cdef int i, j
    if c >= (PIXELS - 1) * step + n or (careful and offset[c] < 0):
        return
    if careful:
        x = x + offset[c]
        for j in range(vectors - 1):
            v[j] = vec_load_once(x + j * LANES)
        v[vectors - 1] = vec_keep(vec_mask_load(vec_zero(), lanes, x + (vectors - 1) * LANES))
    else:
        for j in range(vectors):
            v[j] = vec_load_once(x + j * LANES)
    for i in range(PIXELS):
        if i * step <= c and c < i * step + n:
            for j in range(vectors):
                acc[i * vectors + j] = vec_keep(acc[i * vectors + j] + weight[(c - i * step) * WIDTH + j] * v[j])


cdef inline void taps_add(const int n, const int step, const int vectors, const bint careful, vec* acc, const real* x,
                          Py_ssize_t x_w, const Py_ssize_t* offset, unsigned lanes, const real* w) noexcept nogil:
    """n taps of one row; x: the row, or its first column, which others follow x_w apart, unless `careful`."""
    cdef vec weight[TAPS * WIDTH]
    cdef int j, s
    if careful:
        x_w = 0
    for s in range(n):
        for j in range(vectors):
            weight[s * WIDTH + j] = vec_load_once(w + s * BLOCK + j * LANES)
    column_add(0, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(1, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(2, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(3, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(4, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(5, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(6, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(7, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(8, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(9, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(10, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(11, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(12, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(13, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(14, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(15, n, step, vectors, careful, acc, x, offset, lanes, weight)
    x = x + x_w
    column_add(16, n, step, vectors, careful, acc, x, offset, lanes, weight)


cdef inline void tile(const Geometry* g, const Tile* b, const int step, const int vectors, const bint careful,
                      Output* out) noexcept nogil:
    """total, or y with `out`: the sums of one tile. With step 0 stride and dilation are any, and taps are taken one by one.

    Unless `careful`, all columns lie in the image and all lanes may be read.
    """
    cdef vec acc[PIXELS * WIDTH]
    cdef Py_ssize_t r, _s, n, left, x_w = g.x_w if step else g.x_w * g.stride_w
    cdef Py_ssize_t first = (b.q * g.stride_w - g.pad_w) * g.x_w, next_tap = g.x_w * (1 if step else g.dilation_w)
    cdef const real* w = b.w
    cdef const real* x
    cdef const Py_ssize_t* column
    cdef int i
    for i in range(PIXELS * vectors):
        acc[i] = vec_zero()
    for r in range(g.T * g.R):
        if b.row[r] < 0:
            w += g.S * BLOCK
            continue
        x = b.x + b.row[r]
        column = b.column
        if not careful:
            x += first
        if step == 0:
            for _s in range(g.S):
                taps_add(1, 1, vectors, careful, acc, x, x_w, column, b.lanes, w)
                if careful:
                    column += PIXELS
                else:
                    x += next_tap
                w += BLOCK
            continue
        left = g.S
        while left > 0:
            n = min(left, <Py_ssize_t>TAPS)
            if n == 5:
                taps_add(5, step if step else 1, vectors, careful, acc, x, x_w, column, b.lanes, w)
            elif n == 4:
                taps_add(4, step if step else 1, vectors, careful, acc, x, x_w, column, b.lanes, w)
            elif n == 3:
                taps_add(3, step if step else 1, vectors, careful, acc, x, x_w, column, b.lanes, w)
            elif n == 2:
                taps_add(2, step if step else 1, vectors, careful, acc, x, x_w, column, b.lanes, w)
            else:
                taps_add(1, step if step else 1, vectors, careful, acc, x, x_w, column, b.lanes, w)
            if careful:
                column += n
            else:
                x += n * g.x_w
            w += n * BLOCK
            left -= n
    if out != NULL:
        sums_finish(PIXELS, vectors, acc, out, False, False)
    else:
        for i in range(PIXELS * vectors):
            vec_store(b.total + i // vectors * BLOCK + i % vectors * LANES, acc[i])


cdef inline void pair_column(const int r, const int c, const int width, const bint careful, vec* acc, const real* x,
                             const Py_ssize_t* offset, unsigned lanes, const vec* weight) noexcept nogil:
    """Column c of input row r into the sums of both output rows."""
    cdef vec v
    cdef int i
    if c >= width + 2:
        return
    if careful:         # no lane of a column in zero padding is read
        v = vec_keep(vec_mask_load(vec_zero(), 0 if offset[c] < 0 else lanes, x + offset[c]))
    else:
        v = vec_load_once(x)
    for i in range(width):
        if i <= c and c < i + 3:
            if r < 3:
                acc[i] = vec_keep(acc[i] + weight[r * 3 + c - i] * v)
            if r > 0:
                acc[width + i] = vec_keep(acc[width + i] + weight[(r - 1) * 3 + c - i] * v)


cdef inline void pair_row(const int r, const Geometry* g, const Tile* b, const Py_ssize_t* row, const int width,
                          const bint careful, vec* acc, const vec* weight) noexcept nogil:
    """Row r of the four that two output rows read in one slice."""
    cdef Py_ssize_t x_w = 0 if careful else g.x_w
    cdef const real* x = b.x + row[r]
    if row[r] < 0:
        return
    if not careful:
        x += (b.q - g.pad_w) * x_w
    pair_column(r, 0, width, careful, acc, x, b.column, b.lanes, weight)
    x += x_w
    pair_column(r, 1, width, careful, acc, x, b.column, b.lanes, weight)
    x += x_w
    pair_column(r, 2, width, careful, acc, x, b.column, b.lanes, weight)
    x += x_w
    pair_column(r, 3, width, careful, acc, x, b.column, b.lanes, weight)
    x += x_w
    pair_column(r, 4, width, careful, acc, x, b.column, b.lanes, weight)
    x += x_w
    pair_column(r, 5, width, careful, acc, x, b.column, b.lanes, weight)
    x += x_w
    pair_column(r, 6, width, careful, acc, x, b.column, b.lanes, weight)
    x += x_w
    pair_column(r, 7, width, careful, acc, x, b.column, b.lanes, weight)
    x += x_w
    pair_column(r, 8, width, careful, acc, x, b.column, b.lanes, weight)


cdef inline void pair_tile(const Geometry* g, const Tile* b, const int width, const bint careful, Output* out) noexcept nogil:
    """3 x 3 taps at stride 1, of any slices: `width` pixels of two output rows, one vector of channels; else as `tile`."""
    cdef vec acc[2 * PIXELS]
    cdef vec weight[9]
    cdef Py_ssize_t t
    cdef int i
    for i in range(2 * width):
        acc[i] = vec_keep(vec_zero())
    for t in range(g.T):
        for i in range(9):
            weight[i] = vec_load_once(b.w + (t * 9 + i) * BLOCK)
        pair_row(0, g, b, b.row + 4 * t, width, careful, acc, weight)
        pair_row(1, g, b, b.row + 4 * t, width, careful, acc, weight)
        pair_row(2, g, b, b.row + 4 * t, width, careful, acc, weight)
        pair_row(3, g, b, b.row + 4 * t, width, careful, acc, weight)
    if out != NULL:
        sums_finish(width, 1, acc, out, False, not careful)
        out.y += g.Q * g.y_q
        sums_finish(width, 1, acc + width, out, False, not careful)
    else:
        for i in range(2 * width):
            vec_store(b.total + i * BLOCK, acc[i])


cdef void find_columns(const Geometry* g, const Tile* b, bint together) noexcept nogil:
    """Fill `column`: in the order of the columns if taps are taken `together`, else tap by tap."""
    cdef Py_ssize_t w = b.q * g.stride_w - g.pad_w, i, s, at
    if together:
        for i in range((PIXELS - 1) * g.stride_w + g.S):
            at = border_index(g.padding_mode, w + i, g.W) if i < (b.count - 1) * g.stride_w + g.S else -1
            b.column[i] = -1 if at < 0 else at * g.x_w
        return
    for s in range(g.S):
        for i in range(PIXELS):
            at = border_index(g.padding_mode, w + i * g.stride_w + s * g.dilation_w, g.W) if i < b.count else -1
            b.column[s * PIXELS + i] = -1 if at < 0 else at * g.x_w


cdef inline void tile_any(const Geometry* g, const Tile* b, const int vectors, bint together, bint inside,
                          Output* out) noexcept nogil:
    if not together:
        if inside:
            tile(g, b, 0, vectors, False, out)
        else:
            tile(g, b, 0, vectors, True, out)
    elif g.stride_w == 1:
        if inside:
            tile(g, b, 1, vectors, False, out)
        else:
            tile(g, b, 1, vectors, True, out)
    elif inside:
        tile(g, b, 2, vectors, False, out)
    else:
        tile(g, b, 2, vectors, True, out)


cdef void find_rows(const Geometry* g, const Tile* b, Py_ssize_t o, Py_ssize_t p, bint pair) noexcept nogil:
    """Fill `row` for output row (o, p); with `pair` also for the row after it."""
    cdef Py_ssize_t t, r, d, h
    for t in range(g.T):
        d = border_index(g.padding_mode, o * g.stride_d - g.pad_d + t * g.dilation_d, g.D)
        for r in range(g.R + pair):
            h = border_index(g.padding_mode, p * g.stride_h - g.pad_h + r * g.dilation_h, g.H)
            b.row[t * (g.R + pair) + r] = -1 if d < 0 or h < 0 else d * g.x_d + h * g.x_h


cdef inline bint lanes_follow(const Geometry* g, Py_ssize_t last, Py_ssize_t n) noexcept nogil:
    """Whether behind the last of n channels, at column `last`, so many numbers of the same row follow as fill the vector."""
    return n % LANES == 0 or (g.W - 1 - last) * g.x_w + n >= padded(n, LANES)


cdef inline void fetch_ahead(const Geometry* g, const Tile* b, Py_ssize_t rows, const int channels) noexcept nogil:
    """Of an image that stays in no cache, what the next tile below, after `rows` output rows, reads for the first time."""
    cdef const real* x = b.x + b.row[g.T * (g.R + rows - 1) - 1] + (b.q * g.stride_w - g.pad_w) * g.x_w
    cdef Py_ssize_t r, i, lines = rows * g.stride_h if g.past_caches else 0
    cdef int c
    for r in range(1, lines + 1):
        for i in range(PIXELS * g.stride_w):
            for c in range(channels // LANES):
                prefetch(x + r * g.x_h + i * g.x_w + c * LANES)


cdef vec pixels(const Geometry* g, const Arrays* a, Tile* b, Py_ssize_t at, Py_ssize_t k, Py_ssize_t channels,
                const real* w, Output* out) noexcept nogil:
    """The pixels from b.q on, which start at y + at, in `channels` channels from k on, whose weights are at w."""
    cdef Py_ssize_t first = b.q * g.stride_w - g.pad_w, c = 0, n
    cdef Py_ssize_t last = first + (PIXELS - 1) * g.stride_w + (g.S - 1) * g.dilation_w
    cdef bint together = g.dilation_w == 1 and g.stride_w <= 2, inside = b.count == PIXELS and first >= 0 and last < g.W
    cdef bint direct = b.direct and b.count == PIXELS, whole
    cdef const real* x = b.x
    cdef const real* bias = a.bias
    cdef Output* here
    cdef vec odd = vec_zero()
    if not inside or not lanes_follow(g, last, channels):
        find_columns(g, b, together)
    while c < channels:
        n = min(<Py_ssize_t>BLOCK, channels - c)
        whole = inside and lanes_follow(g, last, n)
        b.lanes = FULL >> (-n % LANES)
        fetch_ahead(g, b, 1, BLOCK)
        b.w = w + c * g.T * g.R * g.S
        output_place(a.y + at + c, bias, k + c, out)
        here = out if direct and n % LANES == 0 else NULL
        if WIDTH > 1 and n > LANES:
            tile_any(g, b, WIDTH, together, whole, here)
        else:
            tile_any(g, b, 1, together, whole, here)
        if here == NULL:
            odd = odd + tile_finish(g, b.total, b.count, BLOCK, NULL if bias == NULL else bias + k + c, 1,
                                    NULL if a.residual == NULL else a.residual + at + c, a.y + at + c, g.y_q, n)
        b.x += n
        c += n
    b.x = x
    return odd


cdef vec pair_pixels(const Geometry* g, const Arrays* a, Tile* b, Py_ssize_t at, Py_ssize_t k, Py_ssize_t channels,
                     const real* w, Output* out) noexcept nogil:
    """As `pixels`, of two output rows."""
    cdef Py_ssize_t first = b.q - g.pad_w, c = 0, n, row
    cdef Py_ssize_t last = first + b.width + 1
    cdef bint inside = b.count == b.width and first >= 0 and last < g.W, direct = b.direct and b.count == b.width, whole
    cdef const real* x = b.x
    cdef Output* here
    cdef vec odd = vec_zero()
    if not inside or not lanes_follow(g, last, channels):
        find_columns(g, b, True)
    while c < channels:
        n = min(<Py_ssize_t>LANES, channels - c)
        b.lanes = FULL >> (LANES - n)
        fetch_ahead(g, b, 2, LANES)
        b.w = w + c // BLOCK * BLOCK * 9 * g.T + c % BLOCK
        output_place(a.y + at + c, a.bias, k + c, out)
        here = out if direct and n == LANES else NULL
        whole = inside and lanes_follow(g, last, n)
        if b.width == HALF and whole:
            pair_tile(g, b, HALF, False, here)
        elif b.width == HALF:
            pair_tile(g, b, HALF, True, here)
        elif whole:
            pair_tile(g, b, PIXELS, False, here)
        else:
            pair_tile(g, b, PIXELS, True, here)
        if here == NULL:
            for row in range(2):
                odd = odd + tile_finish(g, b.total + row * b.width * BLOCK, b.count, BLOCK,
                                        NULL if a.bias == NULL else a.bias + k + c, 1,
                                        NULL if a.residual == NULL else a.residual + at + row * g.Q * g.y_q + c,
                                        a.y + at + row * g.Q * g.y_q + c, g.y_q, n)
        b.x += n
        c += n
    b.x = x
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


cdef Py_ssize_t layout(const Geometry* g, Tile* b, char* workspace) noexcept nogil:
    """Place the buffers in the workspace; return the bytes they take. plan.py asks for them."""
    cdef Py_ssize_t rows = block_rows(g) * min(g.chunk, g.O), pixels = 0 if g.channels_last else padded(rows * g.Q, LANES)
    cdef Py_ssize_t lines = rows_read(g), packed = 0 if g.packed else g.T * g.R * padded(g.channel_block, BLOCK)
    cdef char* free = workspace
    if g.row_runs:
        pixels, lines, packed = padded(min(g.chunk, g.Q), LANES), 1, BLOCK
    b.total = <real*>place(&free, (2 * PIXELS * BLOCK + LANES) * sizeof(real))
    b.packed = <real*>place(&free, packed * g.S * sizeof(real))
    b.bias = <real*>place(&free, g.row_runs * BLOCK * sizeof(real))
    b.row = <Py_ssize_t*>place(&free, g.T * (g.R + 1) * sizeof(Py_ssize_t))
    b.column = <Py_ssize_t*>place(&free, max(max(g.R, g.S) * PIXELS, 2 * PIXELS + g.S) * sizeof(Py_ssize_t))
    b.image = <real*>place(&free, 0 if g.channels_last else lines * g.W * BLOCK * sizeof(real))
    b.sums = <real*>place(&free, pixels * NR * sizeof(real))
    b.turned = <real*>place(&free, pixels * NR * sizeof(real))
    return free - workspace


cdef void weights_pack(const Geometry* g, const real* w, Py_ssize_t channels, real* packed) noexcept nogil:
    """packed (ceil(channels / BLOCK), T R S, BLOCK) <- w (channels, T R S); lanes behind the last channel get zeros."""
    cdef Py_ssize_t taps = g.T * g.R * g.S, i
    while channels > 0:
        if channels < BLOCK:
            for i in range(taps * BLOCK):
                packed[i] = 0
        turn(w, taps, min(<Py_ssize_t>BLOCK, channels), taps, packed, BLOCK)
        w += taps * BLOCK
        packed += taps * BLOCK
        channels -= BLOCK


cdef inline Py_ssize_t halves_of(Py_ssize_t pixels) noexcept nogil:
    """How many tiles of HALF pixels a row is cut into, behind those of PIXELS: a tile costs a pixel besides its own."""
    cdef Py_ssize_t halves, best = 0, cost, least = ceil_div(pixels, PIXELS) * (PIXELS + 1)
    for halves in range(1, PIXELS - 1):
        cost = halves * (HALF + 1) + ceil_div(max(<Py_ssize_t>0, pixels - halves * HALF), PIXELS) * (PIXELS + 1)
        if cost < least:
            least = cost
            best = halves
    return best


cdef vec rows_sum(const Geometry* g, const Arrays* a, Tile* b, Py_ssize_t p, Py_ssize_t p_stop, Py_ssize_t q, Py_ssize_t q_stop,
                  Py_ssize_t origin, Py_ssize_t k, Py_ssize_t channels, const real* w, Output* out) noexcept nogil:
    """Columns q to q_stop of the output rows from p on, in `channels` channels from k on; pixel 0 lies at y + origin."""
    cdef bint square = (PAIRS and g.R == 3 and g.S == 3 and g.stride_h == 1 and g.stride_w == 1
                        and g.dilation_h == 1 and g.dilation_w == 1), pair
    cdef Py_ssize_t at, halves = halves_of(q_stop - q) if PAIRS and square else 0
    cdef vec odd = vec_zero()
    while p < p_stop:
        pair = square and p + 1 < p_stop and p % g.P + 1 < g.P
        find_rows(g, b, p // g.P, p % g.P, pair)
        at = q
        while at < q_stop:
            b.width = HALF if pair and q_stop - at <= halves * HALF else PIXELS
            b.q = max(q, min(at, q_stop - b.width))         # the last may compute pixels of the one before once more
            b.count = min(b.width, q_stop - b.q)
            at = b.q + b.count
            if PAIRS and pair:
                odd = odd + pair_pixels(g, a, b, origin + (p * g.Q + b.q) * g.y_q, k, channels, w, out)
            else:
                odd = odd + pixels(g, a, b, origin + (p * g.Q + b.q) * g.y_q, k, channels, w, out)
        p += 1 + pair
    return odd


cdef void rows_turn(const Geometry* g, const real* x, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t channels,
                    real* image) noexcept nogil:
    """image (rows, W, BLOCK) <- the input rows from `first` on, counted through all slices, of `channels` channels."""
    cdef Py_ssize_t row
    if g.x_h == g.W and g.x_d == g.H * g.W:
        turn(x + first * g.W, g.x_c, channels, rows * g.W, image, BLOCK)
        return
    for row in range(first, first + rows):
        turn(x + row // g.H * g.x_d + row % g.H * g.x_h, g.x_c, channels, g.W, image + (row - first) * g.W * BLOCK, BLOCK)


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
    return last


cdef vec planes_sum(const Geometry* g, const Arrays* a, Tile* b, Py_ssize_t n, Py_ssize_t o, Py_ssize_t o_stop, Py_ssize_t p,
                    Py_ssize_t p_stop, Py_ssize_t k, Py_ssize_t channels, const real* w) noexcept nogil:
    """Channels first: the slices o to o_stop, or rows p to p_stop of the only slice, of at most BLOCK planes from k on."""
    cdef Py_ssize_t first = 0, rows = g.D * g.H, start = o * g.P + p, stop = (o_stop - 1) * g.P + p_stop
    cdef Py_ssize_t at = n * g.y_n + k * g.y_k + start * g.Q
    cdef Geometry last = turned_geometry(g)
    cdef Arrays raw = a[0]
    cdef Output out
    if p_stop - p < g.P:
        first = min(g.H, max(<Py_ssize_t>0, p * g.stride_h - g.pad_h))
        rows = max(<Py_ssize_t>0, min(g.H, (p_stop - 1) * g.stride_h - g.pad_h + (g.R - 1) * g.dilation_h + 1) - first)
    elif o_stop - o < g.O:
        first = g.H * min(g.D, max(<Py_ssize_t>0, o * g.stride_d - g.pad_d))
        rows = max(<Py_ssize_t>0, g.H * min(g.D, (o_stop - 1) * g.stride_d - g.pad_d + (g.T - 1) * g.dilation_d + 1) - first)
    rows_turn(g, a.x + n * g.x_n + k * g.x_c, first, rows, channels, b.image)
    raw.y = b.sums
    raw.bias = raw.residual = NULL
    b.direct = output_open(&last, NULL, NR, &out)
    b.x = b.image - first * g.W * BLOCK
    rows_sum(&last, &raw, b, start, stop, 0, g.Q, -start * g.Q * NR, 0, channels, w, &out)
    return pixels_finish(g, b.sums, NULL if a.bias == NULL else a.bias + k, NULL if a.residual == NULL else a.residual + at,
                         a.y + at, (stop - start) * g.Q, channels, 1, b.turned)


cdef void lines_open(const Geometry* g, const Arrays* a, const Tile* b, Py_ssize_t k) noexcept nogil:
    """packed, bias: those of plane k, on every lane."""
    cdef const real* w = a.w + (k // BLOCK * BLOCK * g.S + k % BLOCK if g.packed else k * g.S)
    cdef Py_ssize_t s, j
    for j in range(WIDTH):
        for s in range(g.S):
            vec_store(b.packed + s * BLOCK + j * LANES, vec_splat(w[s * BLOCK if g.packed else s]))
        vec_store(b.bias + j * LANES, vec_zero() if a.bias == NULL else vec_splat(a.bias[k]))


cdef vec lines_sum(const Geometry* g, const Arrays* a, Tile* b, Py_ssize_t n, Py_ssize_t k, Py_ssize_t p,
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
    turn(a.x + n * g.x_n + k * g.x_c + p * g.x_h, g.x_h, rows, g.W, b.image, BLOCK)
    b.direct = output_open(&last, NULL, NR, &out)
    b.x = b.image
    while q < g.Q:
        stop = min(g.Q, q + g.chunk)
        rows_sum(&last, &raw, b, 0, 1, q, stop, -q * NR, 0, rows, b.packed, &out)
        odd = odd + pixels_finish(&lines, b.sums, b.bias, NULL if a.residual == NULL else a.residual + at + q, a.y + at + q,
                                  stop - q, rows, 1, b.turned)
        q = stop
    return odd


cdef vec columns_sum(const Geometry* g, const Arrays* a, Tile* b, Py_ssize_t n, Py_ssize_t p, Py_ssize_t p_stop, Py_ssize_t q,
                     Py_ssize_t q_stop, Py_ssize_t k, Py_ssize_t channels, const real* w) noexcept nogil:
    """A kernel of one column: columns q to q_stop, each as an image of one row, so that its pixels share what they read."""
    cdef Geometry line = g[0]
    cdef Output out
    cdef vec odd = vec_zero()
    line.H = line.P = line.R = line.stride_h = line.dilation_h = 1
    line.W, line.Q, line.S, line.x_w, line.y_q = g.H, g.P, g.R, g.x_h, g.Q * g.y_q
    line.stride_w, line.dilation_w, line.pad_w = g.stride_h, g.dilation_h, g.pad_h
    line.pad_h = line.past_caches = 0
    b.direct = output_open(&line, a.residual, line.y_q, &out)
    for q in range(q, q_stop):
        b.x = a.x + n * g.x_n + k + q * g.x_w
        odd = odd + rows_sum(&line, a, b, 0, 1, p, p_stop, n * g.y_n + k + q * g.y_q, k, channels, w, &out)
    return odd + out.odd


cdef bint block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: some rows, or part of one row, of an image, in `channel_block` channels. g.K counts those of all groups."""
    cdef Py_ssize_t taps = g.T * g.R * g.S, rows = block_rows(g), columns = min(g.Q, g.pixel_block)
    cdef Py_ssize_t k_blocks = ceil_div(g.K, g.channel_block), q_blocks = ceil_div(g.Q, columns)
    cdef Py_ssize_t p_blocks = ceil_div(g.P, rows), o_blocks = ceil_div(g.O, g.chunk), o, o_stop, p, p_stop, q, q_stop, n, c
    cdef Py_ssize_t k = task % k_blocks * g.channel_block, channels = min(g.channel_block, g.K - k)
    cdef const real* w = a.w + k * taps
    cdef vec odd = vec_zero()
    cdef Tile b
    cdef Output out
    layout(g, &b, workspace)
    if not g.packed:
        weights_pack(g, w, channels, b.packed)
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
            odd = odd + planes_sum(g, a, &b, n, o, o_stop, p, p_stop, k + c, min(<Py_ssize_t>BLOCK, channels - c), w + c * taps)
            c += BLOCK
        return any_odd(odd)
    if g.R > 1 and g.S == 1 and g.D == 1 and g.T == 1 and g.W == g.Q and g.stride_w == 1 and g.pad_w == 0:
        return any_odd(columns_sum(g, a, &b, n, p, p_stop, q, q_stop, k, channels, w))
    b.direct = output_open(g, a.residual, g.y_q, &out)
    b.x = a.x + n * g.x_n + k
    for o in range(o, o_stop):
        odd = odd + rows_sum(g, a, &b, o * g.P + p, o * g.P + p_stop, q, q_stop, n * g.y_n + k, k, channels, w, &out)
    return any_odd(odd + out.odd)


cdef bint lines_block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task of row_runs: some rows of `channel_block` planes, rows being counted first."""
    cdef Py_ssize_t k_blocks = ceil_div(g.K, g.channel_block), p_blocks = ceil_div(g.P, block_rows(g)), k, p
    cdef Py_ssize_t first = task % p_blocks * block_rows(g), stop = min(g.P, first + block_rows(g))
    cdef Py_ssize_t plane = task // p_blocks % k_blocks * g.channel_block
    cdef vec odd = vec_zero()
    cdef Tile b
    layout(g, &b, workspace)
    for k in range(plane, min(g.K, plane + g.channel_block)):
        lines_open(g, a, &b, k)
        p = first
        while p < stop:
            odd = odd + lines_sum(g, a, &b, task // (p_blocks * k_blocks), k, p, min(<Py_ssize_t>BLOCK, stop - p))
            p += BLOCK
    return any_odd(odd)


cdef bint pack_all(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    weights_pack(g, a.w, g.G * g.K, a.y)
    return False


cdef Py_ssize_t workspace(const Geometry* g) noexcept nogil:
    cdef Tile b
    return layout(g, &b, NULL)


cdef Division divide(Geometry* g) noexcept nogil:
    """Lanes are the channels of all groups: K counts them."""
    g.K *= g.G
    if g.row_runs:
        return divided(<AnyTask>lines_block, g.N * ceil_div(g.P, block_rows(g)) * ceil_div(g.K, g.channel_block))
    return divided(<AnyTask>block, g.N * ceil_div(g.O, g.chunk) * ceil_div(g.P, block_rows(g)) * ceil_div(g.K, g.channel_block)
                   * ceil_div(g.Q, min(g.Q, g.pixel_block)))


cdef Py_ssize_t packed(const Geometry* g) noexcept nogil:
    return ceil_div(g.G * g.K, BLOCK) * BLOCK * g.T * g.R * g.S


cdef Division packing(Geometry* g) noexcept nogil:
    """packed (ceil(C / BLOCK), T R S, BLOCK) <- w (C, 1, T, R, S)."""
    return divided(<AnyTask>pack_all, 1)


cdef Table table
kernel = offer(&table, CONVOLUTION, <Divide>divide, <Measure>workspace, <Measure>packed, <Divide>packing)
