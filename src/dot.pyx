"""Convolution with few output channels, channels last: dot products along the numbers that lie side by side in a window.

Loops, outermost first, and what each block is sized for:
    task        in parallel: image x pixel_block output rows x at most chunk output columns
    p           one output row
    q           LANES pixels                    whose sums, a vector each, make K vectors of numbers of y
    i           some pixels                     the register tile: K x pixels vectors
    u v         runs of a window, vectors of each
With K output channels on the lanes (im2col_channels) most lanes would be idle.

Needs    x channels last, numbers of a pixel side by side; G = 1, K <= 8; w (K, C, T, R, S) or packed;
         y (N, O, P, Q, K); distinct buffers.
Leaves   y written in full.
Rounds   LANES fused chains per output, each over every LANES-th number of its runs (rows of a window, taps of a dilated one),
         which are then added in pairs; then bias, residual, activation.
Costs    2 N K C T R S O P Q flop; reads x T R S times, but for strides, mostly from L1.
"""
from libc.string cimport memcpy, memset

from kernel cimport CONVOLUTION, AnyTask, Arrays, Divide, Division, Measure, Table, divided, offer
from micro.finish cimport any_odd, row_finish
from micro.geometry cimport Geometry, border_index, ceil_div, padded, place
from micro.simd cimport (LANES, MR, NV, real, vec, vec_even, vec_load, vec_load_once, vec_mask_load, vec_odd, vec_store,
                         vec_zero)

cdef enum:
    MOST_CHANNELS = 8
    MOST_PIXELS = 8             # of a register tile

cdef struct Block:
    Py_ssize_t n, first, lines, q0, columns     # image, output rows and columns of a task
    Py_ssize_t runs                             # of the windows of one output row
    const real* weights         # packed
    const real** window         # (runs, pixels of a tile) where they lie
    const real** kernel         # (runs) weights of their first output channel
    const real** rows           # (T R) rows of x that a window reads; NULL: zero padding
    real* zeros                 # (C)
    real* copies                # (T R, pixels of a tile, S C) rows of windows that do not lie in x as they are needed
    real* sums                  # (LANES pixels, K) vectors
    real* totals                # (columns, K)
    real* bias                  # (columns, K)
    real* plain                 # packed weights, if they do not come so


cdef inline int tile_pixels(int m) noexcept nogil:
    """Pixels of the register tile of m output channels."""
    cdef int most = min(MR * NV // m, LANES)
    return MOST_PIXELS if most >= MOST_PIXELS else 4 if most >= 4 else 2 if most >= 2 else 1     # that divide LANES


cdef inline bint taps_are_runs(const Geometry* g) noexcept nogil:
    """Whether the taps of a row do not lie side by side."""
    return g.S > 1 and g.dilation_w > 1


cdef Py_ssize_t layout(const Geometry* g, Block* b, char* workspace) noexcept nogil:
    """Place the buffers of the largest block in the workspace; return the bytes they take."""
    cdef char* free = workspace
    cdef Py_ssize_t numbers = padded(min(g.chunk, g.Q), LANES) * g.K, taps = g.T * g.R * g.S
    b.window = <const real**>place(&free, taps * MOST_PIXELS * sizeof(void*))
    b.kernel = <const real**>place(&free, taps * sizeof(void*))
    b.rows = <const real**>place(&free, g.T * g.R * sizeof(void*))
    b.zeros = <real*>place(&free, g.C * sizeof(real))
    b.copies = <real*>place(&free, 0 if taps_are_runs(g) else taps * MOST_PIXELS * g.C * sizeof(real))
    b.sums = <real*>place(&free, g.K * LANES * LANES * sizeof(real))
    b.totals = <real*>place(&free, numbers * sizeof(real))
    b.bias = <real*>place(&free, numbers * sizeof(real))
    b.plain = <real*>place(&free, 0 if g.packed else g.K * g.C * taps * sizeof(real))
    return free - workspace


cdef inline void dot_tile(const int m, const int pixels, Py_ssize_t runs, Py_ssize_t n, const real** x, const real** w,
                          Py_ssize_t apart, Py_ssize_t count, real* sums) noexcept nogil:
    """sums[i, j] = sum over runs u and every LANES-th number of x[u, i][0 .. n) * w[u][j * apart ..], for `count` tiles.

    Inside that loop, even for one tile, gcc keeps the sums in registers (micro/tile.pxd); without it they pass through the
    stack, which takes up to 1.55 times as long.
    """
    cdef vec acc[MR * NV]
    cdef vec row[MOST_CHANNELS]
    cdef vec v = vec_zero()
    cdef const real* run[MOST_PIXELS]
    cdef const real* weights
    cdef Py_ssize_t _t, u, k
    cdef unsigned lanes = (1u << n % LANES) - 1
    cdef int i
    for _t in range(count):
        for i in range(m * pixels):
            acc[i] = vec_zero()
        for u in range(runs):
            for i in range(pixels):
                run[i] = x[i]
            x += pixels
            weights = w[u]
            k = 0
            while k + LANES <= n:
                for i in range(m):
                    row[i] = vec_load_once(weights + i * apart + k)
                for i in range(m * pixels):
                    if i % m == 0:
                        v = vec_load_once(run[i // m] + k)
                    acc[i] = acc[i] + row[i % m] * v
                k += LANES
            while k < n:
                for i in range(m):
                    row[i] = vec_mask_load(vec_zero(), lanes, weights + i * apart + k)
                for i in range(m * pixels):
                    acc[i] = acc[i] + row[i % m] * vec_mask_load(vec_zero(), lanes, run[i // m] + k)
                k += LANES
        for i in range(m * pixels):
            vec_store(sums + i * LANES, acc[i])
        sums += m * pixels * LANES


cdef void tile(int m, Py_ssize_t runs, Py_ssize_t n, const real** x, const real** w, Py_ssize_t apart,
               Py_ssize_t count, real* sums) noexcept nogil:
    """dot_tile, compiled for each m."""
    if m == 1:
        dot_tile(1, tile_pixels(1), runs, n, x, w, apart, count, sums)
    elif m == 2:
        dot_tile(2, tile_pixels(2), runs, n, x, w, apart, count, sums)
    elif m == 3:
        dot_tile(3, tile_pixels(3), runs, n, x, w, apart, count, sums)
    elif m == 4:
        dot_tile(4, tile_pixels(4), runs, n, x, w, apart, count, sums)
    elif m == 5:
        dot_tile(5, tile_pixels(5), runs, n, x, w, apart, count, sums)
    elif m == 6:
        dot_tile(6, tile_pixels(6), runs, n, x, w, apart, count, sums)
    elif m == 7:
        dot_tile(7, tile_pixels(7), runs, n, x, w, apart, count, sums)
    elif m == 8:
        dot_tile(8, tile_pixels(8), runs, n, x, w, apart, count, sums)


cdef void add_lanes(real* sums, real* totals) noexcept nogil:
    """totals[i] <- the sum of vector i of LANES vectors: neighbours are added until one number of each is left."""
    cdef vec v[LANES]
    cdef int i, step = LANES
    for i in range(LANES):
        v[i] = vec_load(sums + i * LANES)
    while step > 1:
        step //= 2
        for i in range(step):
            v[i] = vec_even(v[2 * i], v[2 * i + 1]) + vec_odd(v[2 * i], v[2 * i + 1])
    vec_store(totals, v[0])


cdef void find_rows(const Geometry* g, const real* x, Py_ssize_t line, Block* b) noexcept nogil:
    """The rows that the windows of one output row read."""
    cdef Py_ssize_t t, r, d, h
    for t in range(g.T):
        d = border_index(g.padding_mode, line // g.P * g.stride_d - g.pad_d + t * g.dilation_d, g.D)
        for r in range(g.R):
            h = border_index(g.padding_mode, line % g.P * g.stride_h - g.pad_h + r * g.dilation_h, g.H)
            b.rows[t * g.R + r] = NULL if d < 0 or h < 0 else x + d * g.x_d + h * g.x_h


cdef const real* padded_row(const Geometry* g, const real* row, Py_ssize_t left, real* copy) noexcept nogil:
    """The pixels of a row of a window that begins at column `left`, copied side by side."""
    cdef Py_ssize_t s, w
    for s in range(g.S):
        w = border_index(g.padding_mode, left + s, g.W)
        if w < 0:
            memset(copy + s * g.C, 0, g.C * sizeof(real))
        else:
            memcpy(copy + s * g.C, row + w * g.x_w, g.C * sizeof(real))
    return copy


cdef void find_runs(const Geometry* g, Py_ssize_t q, Py_ssize_t last, int pixels, Block* b) noexcept nogil:
    """The runs of the windows of `pixels` pixels from q on, those behind `last` being like it.

    A run is a row of a window, or a tap of a dilated one: the order of a sum must not depend on where its pixel lies.
    """
    cdef Py_ssize_t row, s, w, i, size = g.S * g.C, step = g.stride_w * g.x_w, taps = g.S if taps_are_runs(g) else 1
    cdef Py_ssize_t left = q * g.stride_w - g.pad_w, right = left + (pixels - 1) * g.stride_w + (g.S - 1) * g.dilation_w
    cdef bint inside = left >= 0 and right < g.W and q + pixels - 1 <= last
    cdef const real* start
    cdef const real** window = b.window
    cdef bint together = g.S == 1 or g.x_w == g.C
    inside = inside and (taps > 1 or together)
    b.runs = 0
    for row in range(g.T * g.R):
        if b.rows[row] == NULL:
            continue
        for s in range(taps):
            b.kernel[b.runs] = b.weights + row * g.K * size + s * g.C
            start = b.rows[row] + (left + s * g.dilation_w) * g.x_w
            for i in range(pixels if inside else 0):
                window[i] = start
                start += step
            for i in range(0 if inside else pixels):
                w = min(q + i, last) * g.stride_w - g.pad_w + s * g.dilation_w
                if taps > 1:
                    w = border_index(g.padding_mode, w, g.W)
                    window[i] = b.zeros if w < 0 else b.rows[row] + w * g.x_w
                elif together and w >= 0 and w + g.S <= g.W:
                    window[i] = b.rows[row] + w * g.x_w
                else:
                    window[i] = padded_row(g, b.rows[row], w, b.copies + (b.runs * pixels + i) * size)
            window += pixels
            b.runs += 1


cdef void pack_row(const Geometry* g, const real* w, Py_ssize_t row, real* packed) noexcept nogil:
    """packed (K, S, C) <- row T R of the kernels."""
    cdef Py_ssize_t k, s, c, rows = g.T * g.R
    for k in range(g.K):
        for s in range(g.S):
            for c in range(g.C):
                packed[0] = w[((k * g.C + c) * rows + row) * g.S + s]
                packed += 1


cdef bint block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task; returns whether a sum was NaN or infinite."""
    cdef Py_ssize_t lines = g.O * g.P, row_blocks = ceil_div(lines, g.pixel_block), column_blocks = ceil_div(g.Q, g.chunk)
    cdef Py_ssize_t line, q, i, j, at, size = g.K * g.S * g.C, run = g.C if taps_are_runs(g) else g.S * g.C
    cdef int pixels = tile_pixels(<int>g.K)
    cdef vec odd = vec_zero()
    cdef Block b
    layout(g, &b, workspace)
    b.q0 = task % column_blocks * g.chunk
    b.columns = min(g.chunk, g.Q - b.q0)
    task //= column_blocks
    b.first = task % row_blocks * g.pixel_block
    b.lines = min(g.pixel_block, lines - b.first)
    b.n = task // row_blocks
    b.weights = a.w
    if not g.packed:
        for i in range(g.T * g.R):
            pack_row(g, a.w, i, b.plain + i * size)
        b.weights = b.plain
    for i in range(g.C):
        b.zeros[i] = 0
    for i in range(b.columns * g.K if a.bias != NULL else 0):
        b.bias[i] = a.bias[i % g.K]
    for line in range(b.first, b.first + b.lines):
        find_rows(g, a.x + b.n * g.x_n, line, &b)
        q = 0
        while q < b.columns:
            i = 0
            while i < LANES and q + i < b.columns:
                find_runs(g, b.q0 + q + i, b.q0 + b.columns - 1, pixels, &b)
                tile(<int>g.K, b.runs, run, b.window, b.kernel, g.S * g.C, 1, b.sums + i * g.K * LANES)
                i += pixels
            for j in range(g.K):
                add_lanes(b.sums + j * LANES * LANES, b.totals + q * g.K + j * LANES)
            q += LANES
        at = b.n * g.y_n + (line * g.Q + b.q0) * g.K
        odd = odd + row_finish(g, b.totals, NULL if a.bias == NULL else b.bias, 1,
                               NULL if a.residual == NULL else a.residual + at, a.y + at, b.columns * g.K)
    return any_odd(odd)


cdef bint pack_task(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: a row of all kernels."""
    pack_row(g, a.w, task, a.y + task * g.K * g.S * g.C)
    return False


cdef Py_ssize_t workspace(const Geometry* g) noexcept nogil:
    cdef Block b
    return layout(g, &b, NULL)


cdef Division divide(Geometry* g) noexcept nogil:
    return divided(<AnyTask>block, g.N * ceil_div(g.O * g.P, g.pixel_block) * ceil_div(g.Q, g.chunk))


cdef Py_ssize_t packed(const Geometry* g) noexcept nogil:
    return g.K * g.C * g.T * g.R * g.S


cdef Division packing(Geometry* g) noexcept nogil:
    """packed (T R, K, S, C) <- w (K, C, T, R, S)."""
    return divided(<AnyTask>pack_task, g.T * g.R)


cdef Table table
kernel = offer(&table, CONVOLUTION, <Divide>divide, <Measure>workspace, <Measure>packed, <Divide>packing)
