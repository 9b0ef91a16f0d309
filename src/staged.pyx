"""Convolution of few channels, pixels on the lanes: rows of x are staged once and serve all taps, without panels.

Loops, outermost first, and what each block is sized for:
    task        in parallel: image x group x depth x pixel_block output rows x at most chunk output columns
    c t h       the input rows of the task  staged in L2, padding resolved, split by column modulo stride_w
    p           one output row
    k           MR output channels          \
    q           NR pixels                   /   the register tile, a pointer for each element of the window
With the columns split, the pixels that a tap reads for consecutive outputs lie side by side for any stride and dilation. The
few output channels that MR leaves are computed for more pixels at once (micro/wide.pxd).

Needs    x (N, G C, D, H, W), rows contiguous; w (G K, C, T, R, S) or packed as im2col_pixels does; y (N, G K, O, P, Q);
         distinct buffers.
Leaves   y written in full.
Rounds   one fused chain per output, in order c, t, r, s; then bias, residual, activation.
Costs    2 N G K C T R S O P Q flop; copies each input row about once per pixel_block * stride_h of them.
"""
from libc.string cimport memcpy, memset

from kernel cimport CONVOLUTION, AnyTask, Arrays, Divide, Division, Measure, Table, divided, offer
from micro.combine cimport row_scale, target_of
from micro.finish cimport any_odd, output_open, output_place, row_finish
from micro.geometry cimport ZEROS, Geometry, border_index, ceil_div, padded, place
from micro.pack cimport pack_rows
from micro.simd cimport LANES, MR, NR, NV, real, vec, vec_mask_load_step, vec_store, vec_zero
from micro.tile cimport Output, any_tile_multiply_scattered
from micro.wide cimport any_wide_multiply, wide_vectors
from row_panels cimport packed, packing

cdef enum:
    LONG = 96                   # numbers of a row for which the C library's copy pays

cdef struct Block:              # one task: what it computes and where its workspace lies
    Py_ssize_t n, group, o, p0, rows, q0, columns
    Py_ssize_t height, reach, pitch     # input rows of one channel; numbers of a staged row that are read, and its length
    Py_ssize_t length                   # C T R S
    const real* x
    real* staged                # (C, T, height, stride_w, pitch)
    const real** window         # (length) where the elements of the window start for the first pixel
    real* weights               # packed, if they do not come so
    real* total                 # (MR, NR)


cdef Py_ssize_t layout(const Geometry* g, Block* b, char* workspace) noexcept nogil:
    """Place the buffers of the largest block in the workspace; return the bytes they take."""
    cdef char* free = workspace
    cdef Py_ssize_t columns = min(g.chunk, g.Q)
    b.length = g.C * g.T * g.R * g.S
    b.height = (min(g.pixel_block, g.P) - 1) * g.stride_h + (g.R - 1) * g.dilation_h + 1
    b.reach = padded(columns, LANES) + (g.S - 1) * g.dilation_w // g.stride_w
    b.pitch = padded(b.reach, LANES) + LANES
    b.staged = <real*>place(&free, g.C * g.T * b.height * g.stride_w * b.pitch * sizeof(real))
    b.window = <const real**>place(&free, b.length * sizeof(void*))
    b.weights = <real*>place(&free, 0 if g.packed else padded(g.K, MR) * b.length * sizeof(real))
    b.total = <real*>place(&free, MR * NR * sizeof(real))
    return free - workspace


cdef void stage_row(const Geometry* g, const real* row, Py_ssize_t w, Py_ssize_t n, real* staged) noexcept nogil:
    """staged[e] <- the pixel at column w + e * stride_w of a padded row, for e < n; some more numbers are written."""
    cdef Py_ssize_t step = g.stride_w, first = 0, stop = n, e = 0, column
    cdef unsigned lanes
    if w < 0:
        first = min(n, ceil_div(-w, step))
    if w + (n - 1) * step >= g.W:
        stop = max(first, ceil_div(g.W - w, step) if w < g.W else <Py_ssize_t>0)
    if step == 1 and stop - first >= LONG:
        memset(staged, 0, first * sizeof(real))
        memcpy(staged + first, row + w + first, (stop - first) * sizeof(real))
        memset(staged + stop, 0, (n - stop) * sizeof(real))
        e = n
    while e < n:
        lanes = (1u << max(<Py_ssize_t>0, min(<Py_ssize_t>LANES, stop - e))) - 1
        if first > e:
            lanes &= ~((1u << min(<Py_ssize_t>LANES, first - e)) - 1)
        vec_store(staged + e, vec_mask_load_step(vec_zero(), lanes, row + w + e * step, step))
        e += LANES
    for e in range(n if g.padding_mode != ZEROS else 0):
        if not first <= e < stop:
            column = border_index(g.padding_mode, w + e * step, g.W)
            staged[e] = 0 if column < 0 else row[column]


cdef void stage(const Geometry* g, Block* b) noexcept nogil:
    """Fill `staged` with all rows that the windows of the block reach."""
    cdef Py_ssize_t c, t, i, d, h, phase, size = g.stride_w * b.pitch
    cdef Py_ssize_t w = b.q0 * g.stride_w - g.pad_w, height = (b.rows - 1) * g.stride_h + (g.R - 1) * g.dilation_h + 1
    cdef real* target
    for c in range(g.C):                # rows of a plane lie side by side
        for t in range(g.T):
            d = border_index(g.padding_mode, b.o * g.stride_d - g.pad_d + t * g.dilation_d, g.D)
            target = b.staged + (c * g.T + t) * b.height * size
            for i in range(height):
                h = border_index(g.padding_mode, b.p0 * g.stride_h - g.pad_h + i, g.H)
                if d < 0 or h < 0:
                    memset(target, 0, size * sizeof(real))
                else:
                    for phase in range(min(g.stride_w, (g.S - 1) * g.dilation_w + 1)):
                        stage_row(g, b.x + c * g.x_c + d * g.x_d + h * g.x_h, w + phase, b.reach, target + phase * b.pitch)
                target += size


cdef void find_window(const Geometry* g, Block* b) noexcept nogil:
    """Where the elements of the window lie for the first column of the first output row of the block."""
    cdef Py_ssize_t c, t, r, s, tap, k = 0
    cdef const real* row
    for c in range(g.C):
        for t in range(g.T):
            for r in range(g.R):
                row = b.staged + ((c * g.T + t) * b.height + r * g.dilation_h) * g.stride_w * b.pitch
                for s in range(g.S):
                    tap = s * g.dilation_w
                    b.window[k] = row + tap % g.stride_w * b.pitch + tap // g.stride_w
                    k += 1


cdef void tile(int m, int nv, Py_ssize_t n, const real* a, const real** b, Py_ssize_t offset, Py_ssize_t count,
               real* total, Output* out) noexcept nogil:
    any_tile_multiply_scattered(m, nv, n, a, b, offset, count, total, out)


cdef void wide(int m, int nv, Py_ssize_t n, const real* a, const real** b, Py_ssize_t offset, Py_ssize_t count,
               Output* out) noexcept nogil:
    any_wide_multiply(m, nv, n, a, 1, MR, b, offset, count, NULL, True, out)


cdef bint block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task; returns whether a sum was NaN or infinite."""
    cdef Py_ssize_t row_blocks = ceil_div(g.P, g.pixel_block), column_blocks = ceil_div(g.Q, g.chunk)
    cdef Py_ssize_t panels = ceil_div(g.Q, NR)
    cdef Py_ssize_t row, line, q, k, first, at, pixels, count, channel
    cdef const real* weights
    cdef const real* scale          # of the first pixel, if sums are scaled
    cdef vec odd = vec_zero()
    cdef Block b
    cdef int m, nv, i
    cdef Output out
    cdef bint direct = output_open(g, a.residual, g.y_k, &out), whole
    layout(g, &b, workspace)
    b.q0 = task % column_blocks * panels // column_blocks * NR
    b.columns = min(g.Q, (task % column_blocks + 1) * panels // column_blocks * NR) - b.q0
    task //= column_blocks
    b.p0 = task % row_blocks * g.pixel_block
    b.rows = min(g.pixel_block, g.P - b.p0)
    task //= row_blocks
    b.o = task % g.O
    b.group = task // g.O % g.G
    b.n = task // (g.O * g.G)
    b.x = a.x + b.n * g.x_n + b.group * g.C * g.x_c
    scale = target_of(g, a.bias, a.residual, a.y, b.n, b.group).scale
    if g.scales:
        scale += (b.o * g.P + b.p0) * g.Q + b.q0
    weights = a.w + b.group * (padded(g.K, MR) if g.packed else g.K) * b.length
    if not g.packed:
        for k in range(ceil_div(g.K, MR)):
            pack_rows(weights + k * MR * b.length, b.length, <int>min(<Py_ssize_t>MR, g.K - k * MR), b.length,
                      b.weights + k * MR * b.length)
        weights = b.weights
    stage(g, &b)
    find_window(g, &b)
    for row in range(b.rows):
        line = row * g.stride_h * g.stride_w * b.pitch
        k = 0
        while k < g.K:          # and within, along the rows of y: whole lines of MR planes at a time
            m = <int>min(<Py_ssize_t>MR, g.K - k)
            channel = b.group * g.K + k
            first = b.n * g.y_n + channel * g.y_k + (b.o * g.P + b.p0 + row) * g.Q + b.q0
            q = 0
            while q < b.columns:
                nv = wide_vectors(m, b.columns - q, b.columns) if direct else 0
                if nv:
                    count = max(<Py_ssize_t>1, (b.columns - q) // (nv * LANES))
                    q = min(q, b.columns - nv * LANES)      # the last one may overlap the one before
                    output_place(a.y + first + q, a.bias, channel, &out)
                    wide(m, nv, b.length, weights + k * b.length, b.window, line + q, count, &out)
                    q += count * nv * LANES
                    continue
                pixels = min(<Py_ssize_t>NR, b.columns - q)
                nv = <int>ceil_div(pixels, LANES)
                at = first + q
                output_place(a.y + at, a.bias, channel, &out)
                whole = direct and pixels == nv * LANES
                count = (b.columns - q) // NR if whole and nv == NV else 1
                tile(m, nv, b.length, weights + k * b.length, b.window, line + q, count, b.total, &out if whole else NULL)
                for i in range(m if g.scales else 0):
                    odd = odd + row_scale(g, b.total + i * NR, scale + row * g.Q + q, 1,
                                          NULL if a.bias == NULL else a.bias + channel + i, a.y + at, pixels)
                    at += g.y_k
                for i in range(0 if whole or g.scales else m):
                    odd = odd + row_finish(g, b.total + i * NR, NULL if a.bias == NULL else a.bias + channel + i, 0,
                                           NULL if a.residual == NULL else a.residual + at, a.y + at, pixels)
                    at += g.y_k
                q += count * NR
            k += MR
    return any_odd(odd + out.odd)


cdef Py_ssize_t workspace(const Geometry* g) noexcept nogil:
    cdef Block b
    return layout(g, &b, NULL)


cdef Division divide(Geometry* g) noexcept nogil:
    return divided(<AnyTask>block, g.N * g.G * g.O * ceil_div(g.P, g.pixel_block) * ceil_div(g.Q, g.chunk))


cdef Table table
kernel = offer(&table, CONVOLUTION, <Divide>divide, <Measure>workspace, <Measure>packed, <Divide>packing)
