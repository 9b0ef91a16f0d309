"""Depthwise convolution, channels first: pixels on the lanes, every channel with its own kernel.

Loops, outermost first, and what each block is sized for:
    task        in parallel: image x channel_block x output depth x pixel_block
    k           one plane: its strip of the input is copied, borders resolved, into a buffer in L1; a kernel that is one
                column reads it where it lies
    p           up to ROWS units            \
    q           1 or WIDTH vectors          /   the register tile
    t h s       the window; an input row is loaded once for all the output rows of the tile that it reaches

The buffer holds, for each tap column s, the pixels that consecutive outputs read next to each other: columns of equal
remainder by the stride make one run, taps far apart make one each. Rows likewise. A unit is one output row or, where
two rows fit one vector, a pair of them; then every tap column has a copy of its own, rows LANES / 2 apart.

Needs    x (N, C, D, H, W), rows contiguous; w (K, T, R, S), K a multiple of C; y (N, K, O, P, Q); distinct buffers.
Leaves   y written in full.
Rounds   one fused chain per output, in order t, r, s. Zero padding beside the image is multiplied by its weight: under a
         NaN or infinite weight the sum is NaN, which `run` reports.
Costs    2 N K T R S O P Q flop, less the rows of taps that see zero padding alone; x is read, and y written, once.
"""

from kernel cimport CONVOLUTION, AnyTask, Arrays, Divide, Division, Measure, Table, divided, offer
from micro.finish cimport any_odd, tile_finish
from micro.geometry cimport Geometry, ZEROS, border_index, ceil_div, place
from micro.simd cimport (LANES, NV, real, vec, vec_keep,
                         vec_load, vec_load_once, vec_mask_load_step, vec_splat, vec_store, vec_zero)

cdef extern from *:
    """
    /* A tile has up to ROWS units of NV vectors, or HIGH units of WIDTH: 7 x 2 and 6 x 4 of 32 registers, MR x 2 of 16. */
    enum { ROWS = MR < 7 ? MR : 7, HIGH = MR < 6 ? MR : 6, WIDTH = MR > 6 ? 4 : 2 };
    enum { FOLDED = 4 };                            /* units of two rows each */
    """
    enum: ROWS, HIGH, WIDTH, FOLDED

cdef struct Axis:               # where the taps along one axis read: tap k of output i at place[k] + i
    Py_ssize_t phases, length   # runs of pixels `stride` apart, and how many pixels each run has
    Py_ssize_t* place

cdef struct Strip:              # one task and its buffer
    Py_ssize_t n, o, p0, q0, rows, columns
    Axis down, across
    Py_ssize_t run, pitch, slice        # numbers between runs, between rows, and between slices t of the buffer
    int fold                    # output rows in one vector
    bint sliding                # stride and dilation 1 down the rows: tap r of row p is tap r - 1 of row p + 1
    bint in_place               # the buffer is a slice of the plane itself (`sliding` alone)
    Py_ssize_t step             # and taps s lie `step` apart
    Py_ssize_t wide, high       # vectors and units of a tile
    Py_ssize_t first, stop      # rows of the buffer that are not zero padding (`sliding` alone)
    char* live                  # (T): whether slice t lies in the image
    Py_ssize_t* row             # row of the input that each row of the buffer shows; -1: zeros
    Py_ssize_t* at              # where each row of the buffer begins (`sliding` alone)
    unsigned* lanes             # and which lanes of each of its vectors lie in the image
    real* buffer
    real* totals                # sums of a row of tiles, units totals_pitch apart
    Py_ssize_t totals_pitch


cdef inline Py_ssize_t balanced(Py_ssize_t n, Py_ssize_t most) noexcept nogil:
    """Size of the parts when n is cut into as few parts of at most `most` as possible."""
    return ceil_div(n, ceil_div(n, most))


cdef void axis_find(Axis* axis, Py_ssize_t n, Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t dilation, bint apart) noexcept nogil:
    """How n outputs find their taps; with `apart` every tap has a run of its own."""
    cdef Py_ssize_t a = stride, b = dilation
    while b:
        a, b = b, a % b
    axis.phases = stride // a
    if apart or axis.phases >= taps or dilation // a > n:
        axis.phases = taps
    axis.length = n + (ceil_div(taps, axis.phases) - 1) * (dilation // a)


cdef Py_ssize_t layout(const Geometry* g, Strip* b, char* workspace) noexcept nogil:
    """Place the buffers of the largest task in the workspace; return the bytes they take. plan.py asks for them."""
    cdef Py_ssize_t rows = min(g.P, max(<Py_ssize_t>1, g.pixel_block // g.Q)), columns = min(g.Q, g.pixel_block)
    cdef char* free = workspace
    b.fold = 2 if g.P > 1 and 2 * g.Q <= LANES else 1
    b.sliding = g.stride_h == 1 and g.dilation_h == 1 and g.stride_w == 1 and g.P > 1 and g.R > 1
    b.in_place = (b.sliding and g.T == 1 and g.S == 1 and g.Q == g.W and g.pad_w == 0 and columns >= LANES
                  and (g.Q % columns == 0 or g.Q % columns >= LANES))
    axis_find(&b.down, ceil_div(rows, b.fold) * b.fold, g.R, g.stride_h, g.dilation_h, False)
    axis_find(&b.across, LANES // 2 if b.fold == 2 else columns, g.S, g.stride_w, g.dilation_w, b.fold == 2)
    b.totals_pitch = ceil_div(columns, LANES) * LANES
    b.wide = WIDTH if g.R > 3 and b.sliding else NV
    b.wide = balanced(ceil_div(columns, LANES), b.wide)
    b.high = FOLDED if b.fold == 2 else HIGH if b.wide > NV else ROWS
    b.across.place = <Py_ssize_t*>place(&free, g.S * sizeof(Py_ssize_t))
    b.down.place = <Py_ssize_t*>place(&free, g.R * sizeof(Py_ssize_t))
    b.live = place(&free, g.T)
    b.row = <Py_ssize_t*>place(&free, b.down.phases * b.down.length * sizeof(Py_ssize_t))
    b.at = <Py_ssize_t*>place(&free, b.down.length * sizeof(Py_ssize_t))
    b.lanes = <unsigned*>place(&free, b.across.phases * ceil_div(b.across.length, LANES) * sizeof(unsigned))
    if b.fold == 2:
        b.pitch = LANES // 2
        b.run = b.down.phases * b.down.length * b.pitch + LANES
        b.slice = b.run * g.S
    else:
        b.run = ceil_div(b.across.length, LANES) * LANES
        b.pitch = b.across.phases * b.run
        b.slice = b.down.phases * b.down.length * b.pitch
    b.buffer = <real*>place(&free, (0 if b.in_place else b.slice * g.T + (WIDTH + 1) * LANES) * sizeof(real))
    b.totals = <real*>place(&free, (ROWS * b.totals_pitch + LANES) * sizeof(real))
    return free - workspace


cdef void find_places(const Geometry* g, Strip* b) noexcept nogil:
    """Where taps read in the buffer, and what of the input every row and vector of the buffer shows."""
    cdef Py_ssize_t k, step, w, first, stop, vectors = ceil_div(b.across.length, LANES)
    step = g.dilation_w * b.across.phases // g.stride_w
    for k in range(g.S):
        b.across.place[k] = k % b.across.phases * b.run + k // b.across.phases * step
    b.step = b.across.place[g.S - 1] // (g.S - 1) if g.S > 1 else 1
    step = g.dilation_h * b.down.phases // g.stride_h
    for k in range(g.R):
        b.down.place[k] = (k % b.down.phases * b.down.length + k // b.down.phases * step) * b.pitch
    for k in range(b.down.phases * b.down.length):
        w = (b.p0 + k % b.down.length) * g.stride_h - g.pad_h + k // b.down.length * g.dilation_h
        b.row[k] = border_index(g.padding_mode, w, g.H)
    for k in range(b.down.length):
        b.at[k] = b.row[k] * g.x_h + b.q0 if b.in_place else k * b.pitch
    for k in range(b.across.phases * vectors):
        w = (b.q0 + k % vectors * LANES) * g.stride_w - g.pad_w + k // vectors * g.dilation_w
        first = min(<Py_ssize_t>LANES, (-w + g.stride_w - 1) // g.stride_w) if w < 0 else 0
        stop = min(<Py_ssize_t>LANES, b.across.length - k % vectors * LANES)
        stop = max(first, min(stop, (g.W - 1 - w) // g.stride_w + 1 if w < g.W else 0))
        b.lanes[k] = (1u << stop) - (1u << first)


cdef inline void rows_fill(const Geometry* g, const Strip* b, const real* x, const int step, bint first, real* y) noexcept nogil:
    """One slice of the buffer, from the slice of the input at x; rows of zeros but the `first` time are there already.

    Vectors are stored in the order in which they lie, since the last of a run may reach into the next.
    """
    cdef Py_ssize_t c, j, k, stride = step if step else g.stride_w, vectors = ceil_div(b.across.length, LANES)
    cdef Py_ssize_t w = b.q0 * g.stride_w - g.pad_w
    cdef const real* row
    cdef unsigned lanes
    for k in range(b.down.phases * b.down.length):
        if first or b.row[k] >= 0:
            row = x + b.row[k] * g.x_h + w
            for c in range(b.across.phases):
                for j in range(vectors):
                    lanes = b.lanes[c * vectors + j] if b.row[k] >= 0 else 0
                    vec_store(y + c * b.run + j * LANES,
                              vec_mask_load_step(vec_zero(), lanes, row + c * g.dilation_w + j * LANES * stride, stride))
                if g.padding_mode != ZEROS:
                    for j in range(b.across.length):
                        if not (b.lanes[c * vectors + j // LANES] >> j % LANES) & 1:
                            y[c * b.run + j] = x[b.row[k] * g.x_h
                                                 + border_index(g.padding_mode, w + c * g.dilation_w + j * stride, g.W)]
        y += b.pitch


cdef void fill(const Geometry* g, Strip* b, const real* x, bint first) noexcept nogil:
    """The buffer of the plane at x, or the slice of it that is read in place."""
    cdef Py_ssize_t t, d
    for t in range(g.T):
        d = border_index(g.padding_mode, b.o * g.stride_d - g.pad_d + t * g.dilation_d, g.D)
        b.live[t] = d >= 0
        if d < 0:
            continue
        if b.in_place:
            b.buffer = <real*>(x + d * g.x_d)
        elif g.stride_w == 1:
            rows_fill(g, b, x + d * g.x_d, 1, first, b.buffer + t * b.slice)
        elif g.stride_w == 2:
            rows_fill(g, b, x + d * g.x_d, 2, first, b.buffer + t * b.slice)
        else:
            rows_fill(g, b, x + d * g.x_d, 0, first, b.buffer + t * b.slice)


cdef inline void band(const int low, const int high, const int vectors, const int fold, vec* acc, const real* x,
                      Py_ssize_t step, Py_ssize_t S, const real* w) noexcept nogil:
    """One row of the buffer into units low .. high of the tile; w: the weights of unit 0."""
    cdef vec row[WIDTH]
    cdef Py_ssize_t s
    cdef int i, j
    for s in range(S):
        for j in range(vectors):
            row[j] = vec_load_once(x + j * LANES)
        for i in range(low, high + 1):
            for j in range(vectors):
                acc[i * WIDTH + j] = acc[i * WIDTH + j] + w[s - i * fold * S] * row[j]
        x += step


cdef inline void band_to(const int high, int low, const int vectors, const int fold, vec* acc, const real* x,
                         Py_ssize_t step, Py_ssize_t S, const real* w) noexcept nogil:
    """The band low .. high, compiled for each of both so that the tile lives in registers."""
    if low == 0:
        band(0, high, vectors, fold, acc, x, step, S, w)
    elif high >= 1 and low == 1:
        band(1, high, vectors, fold, acc, x, step, S, w)
    elif high >= 2 and low == 2:
        band(2, high, vectors, fold, acc, x, step, S, w)
    elif high >= 3 and low == 3:
        band(3, high, vectors, fold, acc, x, step, S, w)
    elif high >= 4 and low == 4:
        band(4, high, vectors, fold, acc, x, step, S, w)
    elif high >= 5 and low == 5:
        band(5, high, vectors, fold, acc, x, step, S, w)
    elif high >= 6:
        band(6, high, vectors, fold, acc, x, step, S, w)


cdef inline void tile_slide(const Geometry* g, const Strip* b, const real* w, const int most, const int vectors,
                            const int fold, int units, Py_ssize_t p, Py_ssize_t q) noexcept nogil:
    """The sums of `units` (at most `most`) units of `vectors` vectors, from row p and column q of the strip on."""
    cdef vec acc[ROWS * WIDTH]
    cdef Py_ssize_t t, h, S = g.S, R = g.R, step = b.step
    cdef Py_ssize_t first = max(<Py_ssize_t>0, b.first - (fold - 1) - p), stop = min((units - 1) * fold + R, b.stop - p)
    cdef const Py_ssize_t* row = b.at + p
    cdef const real* x
    cdef const real* plane
    cdef const real* at
    cdef int i, j, low, high
    for i in range(most):
        for j in range(vectors):
            acc[i * WIDTH + j] = vec_zero()
    for t in range(g.T):
        if b.live[t]:
            plane = b.buffer + t * b.slice + q
            at = w + first * S
            for h in range(first, stop):
                x = plane + row[h]
                low = <int>((h - R + fold) // fold) if h >= R else 0
                high = <int>min(<Py_ssize_t>(units - 1), h // fold)
                if high == most - 1 and low == 0:           # most rows of a large window: one jump for all of them
                    band(0, most - 1, vectors, fold, acc, x, step, S, at)
                elif high == 0:
                    band_to(0, low, vectors, fold, acc, x, step, S, at)
                elif high == 1:
                    band_to(1, low, vectors, fold, acc, x, step, S, at)
                elif high == 2:
                    band_to(2, low, vectors, fold, acc, x, step, S, at)
                elif high == 3:
                    band_to(3, low, vectors, fold, acc, x, step, S, at)
                elif most > 4 and high == 4:
                    band_to(4, low, vectors, fold, acc, x, step, S, at)
                elif most > 5 and high == 5:
                    band_to(5, low, vectors, fold, acc, x, step, S, at)
                elif most > 6 and high == 6:
                    band_to(6, low, vectors, fold, acc, x, step, S, at)
                at += S
        w += R * S
    tile_store(b, acc, most, vectors, q)


cdef inline void tile_store(const Strip* b, const vec* acc, const int units, const int vectors, Py_ssize_t q) noexcept nogil:
    cdef int i, j
    for i in range(units):
        for j in range(vectors):
            vec_store(b.totals + i * b.totals_pitch + q + j * LANES, acc[i * WIDTH + j])


cdef inline void row_three(const int h, const int vectors, vec* acc, const real* x, const vec* w) noexcept nogil:
    """Row h of ROWS + 2 into the units that it reaches."""
    cdef vec row[WIDTH]
    cdef int i, j, s
    for s in range(3):
        for j in range(vectors):
            row[j] = vec_load_once(x + s + j * LANES)
        for i in range(ROWS):
            if i <= h and h <= i + 2:
                for j in range(vectors):
                    acc[i * WIDTH + j] = vec_keep(acc[i * WIDTH + j] + w[(h - i) * 3 + s] * row[j])


cdef inline void tile_three(const Geometry* g, const Strip* b, const real* w, const int vectors, Py_ssize_t p,
                            Py_ssize_t q) noexcept nogil:
    """tile_slide for ROWS units and 3 x 3 taps, whose weights stay in registers."""
    cdef vec acc[ROWS * WIDTH]
    cdef vec tap[9]
    cdef Py_ssize_t t, pitch = b.pitch
    cdef const real* x
    cdef int i, j
    for i in range(ROWS):
        for j in range(vectors):
            acc[i * WIDTH + j] = vec_zero()
    for t in range(g.T):
        if b.live[t]:
            x = b.buffer + t * b.slice + p * pitch + q
            for i in range(9):
                tap[i] = vec_splat(w[t * 9 + i])
            row_three(0, vectors, acc, x, tap)
            row_three(1, vectors, acc, x + pitch, tap)
            row_three(2, vectors, acc, x + 2 * pitch, tap)
            row_three(3, vectors, acc, x + 3 * pitch, tap)
            row_three(4, vectors, acc, x + 4 * pitch, tap)
            row_three(5, vectors, acc, x + 5 * pitch, tap)
            if ROWS > 4:
                row_three(6, vectors, acc, x + 6 * pitch, tap)
                row_three(7, vectors, acc, x + 7 * pitch, tap)
            if ROWS > 6:
                row_three(8, vectors, acc, x + 8 * pitch, tap)
    tile_store(b, acc, ROWS, vectors, q)


cdef inline void tile_apart(const Geometry* g, const Strip* b, const real* w, const int units, const int vectors,
                            Py_ssize_t step, Py_ssize_t p, Py_ssize_t q) noexcept nogil:
    """The same for any stride and dilation: units, `step` apart in the buffer, share weights alone."""
    cdef vec acc[ROWS * WIDTH]
    cdef Py_ssize_t t, r, s
    cdef const real* x = b.buffer + p * b.pitch + q
    cdef const real* at
    cdef int i, j
    for i in range(units):
        for j in range(vectors):
            acc[i * WIDTH + j] = vec_zero()
    for t in range(g.T):
        if b.live[t]:
            for r in range(g.R):
                for s in range(g.S):
                    at = x + b.down.place[r] + b.across.place[s]
                    for i in range(units):
                        for j in range(vectors):
                            acc[i * WIDTH + j] = acc[i * WIDTH + j] + w[s] * vec_load(at + i * step + j * LANES)
                w += g.S
        else:
            w += g.R * g.S
        x += b.slice
    for i in range(units):
        for j in range(vectors):
            vec_store(b.totals + i * (b.totals_pitch if g.P > 1 else step) + q + j * LANES, acc[i * WIDTH + j])


cdef inline void tile(const Geometry* g, const Strip* b, const real* w, const int vectors, int units, Py_ssize_t p,
                      Py_ssize_t q) noexcept nogil:
    """One tile in the manner that fits it. The units of an output of one row are parts of that row."""
    cdef Py_ssize_t step = vectors * LANES if g.P == 1 else b.fold * b.pitch
    if b.sliding:
        if vectors == 1 and b.fold == 2:
            tile_slide(g, b, w, FOLDED, 1, 2, units, p, q)
        elif vectors > NV:
            tile_slide(g, b, w, HIGH, vectors, 1, units, p, q)
        elif units == ROWS and g.R == 3 and g.S == 3 and b.step == 1:
            tile_three(g, b, w, vectors, p, q)
        else:
            tile_slide(g, b, w, ROWS, vectors, 1, units, p, q)
    elif units == 1:
        tile_apart(g, b, w, 1, vectors, step, p, q)
    elif units == 2:
        tile_apart(g, b, w, 2, vectors, step, p, q)
    elif units == 3:
        tile_apart(g, b, w, 3, vectors, step, p, q)
    elif units == 4:
        tile_apart(g, b, w, 4, vectors, step, p, q)
    elif ROWS > 4 and units == 5:
        tile_apart(g, b, w, 5, vectors, step, p, q)
    elif ROWS > 4 and units == 6:
        tile_apart(g, b, w, 6, vectors, step, p, q)
    elif ROWS > 6 and vectors <= NV:
        tile_apart(g, b, w, 7, vectors, step, p, q)


cdef void tiles(const Geometry* g, const Strip* b, const real* w, int units, Py_ssize_t p) noexcept nogil:
    """totals: the sums of `units` units of the strip from row p on, over all its columns."""
    cdef Py_ssize_t q = 0, left = ceil_div(b.columns, LANES), wide
    while left > 0:
        wide = b.wide
        if g.P == 1:
            wide = min(wide, ceil_div(left, ROWS))
            units = <int>min(<Py_ssize_t>(ROWS if wide <= NV else HIGH), left // wide)
        wide = min(wide, left)
        if b.in_place:                      # a last tile that ends with the row computes some pixels once more
            wide = min(wide, b.columns // LANES)
            q = min(q, b.columns - wide * LANES)
        if wide == 1:
            tile(g, b, w, 1, units, p, q)
        elif wide == 2:
            tile(g, b, w, 2, units, p, q)
        elif WIDTH > 2 and wide == 3:
            tile(g, b, w, 3 if WIDTH > 2 else 2, units, p, q)
        elif WIDTH > 2:
            tile(g, b, w, WIDTH, units, p, q)
        if g.P == 1:
            wide *= units
        left -= wide
        q += wide * LANES


cdef vec plane(const Geometry* g, const Arrays* a, const Strip* b, Py_ssize_t k) noexcept nogil:
    """The strip of plane k, out of the buffer."""
    cdef Py_ssize_t p = 0, rows, at = b.n * g.y_n + k * g.y_k + (b.o * g.P + b.p0) * g.Q + b.q0
    cdef vec odd = vec_zero()
    while p < b.rows:
        rows = min(b.high * b.fold, b.rows - p)
        tiles(g, b, a.w + k * g.T * g.R * g.S, <int>ceil_div(rows, b.fold), p)
        odd = odd + tile_finish(g, b.totals, rows, b.totals_pitch // b.fold, NULL if a.bias == NULL else a.bias + k, 0,
                                NULL if a.residual == NULL else a.residual + at, a.y + at, g.Q, b.columns)
        at += rows * g.Q
        p += rows
    return odd


cdef bint block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: `channel_block` planes of an image, in the output pixels of one block."""
    cdef Py_ssize_t rows = max(<Py_ssize_t>1, g.pixel_block // g.Q), columns = min(g.Q, g.pixel_block)
    cdef Py_ssize_t p_blocks = ceil_div(g.P, rows), q_blocks = ceil_div(g.Q, columns), K = g.G * g.K, k, stop, c, filled = -1
    cdef vec odd = vec_zero()
    cdef Strip b
    layout(g, &b, workspace)
    b.q0 = task % q_blocks * columns
    b.columns = min(columns, g.Q - b.q0)
    task //= q_blocks
    b.p0 = task % p_blocks * rows
    b.rows = min(rows, g.P - b.p0)
    task //= p_blocks
    b.o = task % g.O
    task //= g.O
    k = task % ceil_div(K, g.channel_block) * g.channel_block
    stop = min(K, k + g.channel_block)
    b.n = task // ceil_div(K, g.channel_block)
    b.first = 0
    b.stop = b.down.length
    if g.padding_mode == ZEROS:
        b.first = max(b.first, g.pad_h - b.p0)
        b.stop = min(b.stop, g.H + g.pad_h - b.p0)
    find_places(g, &b)
    while k < stop:
        c = k // g.K
        if c != filled:
            fill(g, &b, a.x + b.n * g.x_n + c * g.x_c, filled < 0)
            filled = c
        odd = odd + plane(g, a, &b, k)
        k += 1
    return any_odd(odd)


cdef Py_ssize_t workspace(const Geometry* g) noexcept nogil:
    cdef Strip b
    return layout(g, &b, NULL)


cdef Division divide(Geometry* g) noexcept nogil:
    cdef Py_ssize_t rows = max(<Py_ssize_t>1, g.pixel_block // g.Q), columns = min(g.Q, g.pixel_block)
    return divided(<AnyTask>block,
                   g.N * ceil_div(g.G * g.K, g.channel_block) * g.O * ceil_div(g.P, rows) * ceil_div(g.Q, columns))


cdef Table table
kernel = offer(&table, CONVOLUTION, <Divide>divide, <Measure>workspace)
