"""Direct convolution: rows of x are read where they lie, nothing is packed or gathered; any shape, either layout.

Loops, outermost first, and what each block is sized for:
    task        in parallel: image x group x output row x block of output channels
    q           vectors x LANES pixels      \
    k           1, 4 or MR output channels  /   the register tile
    c t r s     the window

Needs    x and y in either layout, rows of x (channels last: pixels) may lie anywhere; w (G K, C, T, R, S);
         distinct buffers.
Leaves   y written in full.
Rounds   one fused chain per output, in order c, t, r, s, over the taps inside the image only: zero padding is left
         out, so that it contributes nothing even under an infinite weight.
Costs    2 N G K C T R S O P Q flop; reads each row of x T R times per block of output channels.
"""
from kernel cimport CONVOLUTION, AnyTask, Arrays, Divide, Division, Table, divided, offer
from micro.finish cimport any_odd, row_finish
from micro.gather cimport Span, inside_lanes, lane_indices, load_lanes, row_offset
from micro.geometry cimport Geometry, ZEROS, ceil_div
from micro.simd cimport LANES, MR, real, vec, vec_load, vec_mask_load_step, vec_mask_select, vec_store, vec_zero

cdef enum:
    WIDEST = 4                          # vectors of the widest register tile


cdef inline vec row_vector(const Geometry* g, const real* x, const Span* span, Py_ssize_t row, Py_ssize_t s,
                           unsigned* lanes) noexcept nogil:
    """The pixels that tap s of a span reads in the row at offset `row`; `lanes` tells which are not zero padding."""
    cdef Py_ssize_t w = span.q * g.stride_w - g.pad_w + s * g.dilation_w, step = g.stride_w * g.x_w
    cdef Py_ssize_t index[LANES]
    cdef unsigned all_lanes = (1u << span.count) - 1
    cdef int i
    lanes[0] = inside_lanes(g, span, w)
    if g.padding_mode == ZEROS or lanes[0] == all_lanes:
        return vec_mask_load_step(vec_zero(), lanes[0], x + row + w * g.x_w, step)
    lanes[0] = all_lanes
    for i in range(span.count, LANES):
        index[i] = -1
    lane_indices(g, span, row, w, index)
    return load_lanes(x, index)


cdef inline void row_tile(const Geometry* g, const real* x, const real* w, const int m, const int vectors,
                          Span* span, real* total) noexcept nogil:
    """total (m, vectors * LANES): m output channels of the output pixels that start at `span` and fill the tile.

    span.count pixels are wanted in all, from span.q on; w is the first row of (m, C, T, R, S).
    """
    cdef Py_ssize_t length = g.C * g.T * g.R * g.S, _c, t, r, s, row, column, step = g.stride_w * g.x_w
    cdef vec acc[MR][WIDEST]
    cdef vec v
    cdef Span part
    cdef unsigned lanes
    cdef int i, j, pixels = span.count
    cdef bint inside
    for i in range(m):
        for j in range(vectors):
            acc[i][j] = vec_zero()
    column = span.q * g.stride_w - g.pad_w
    inside = (pixels == vectors * LANES and step == 1 and column >= 0
              and column + (pixels - 1) + (g.S - 1) * g.dilation_w < g.W)
    for _c in range(g.C):
        for t in range(g.T):
            for r in range(g.R):
                row = row_offset(g, span, t, r)
                if row < 0:
                    w += g.S
                elif inside:
                    for s in range(g.S):
                        for j in range(vectors):
                            v = vec_load(x + row + column + s * g.dilation_w + j * LANES)
                            for i in range(m):
                                acc[i][j] = acc[i][j] + w[i * length] * v
                        w += 1
                else:
                    for s in range(g.S):
                        for j in range(vectors):
                            if j * LANES < pixels:
                                part = span[0]
                                part.q += j * LANES
                                part.count = min(LANES, pixels - j * LANES)
                                v = row_vector(g, x, &part, row, s, &lanes)
                                for i in range(m):
                                    acc[i][j] = vec_mask_select(lanes, acc[i][j] + w[i * length] * v, acc[i][j])
                        w += 1
        x += g.x_c
    for i in range(m):
        for j in range(vectors):
            vec_store(total + (i * vectors + j) * LANES, acc[i][j])


cdef inline bint row_tiles(const Geometry* g, const Arrays* a, Py_ssize_t n, Py_ssize_t group, Py_ssize_t row,
                           Py_ssize_t k, const int m, const int vectors) noexcept nogil:
    """One output row of m output channels from k on, which counts through all groups."""
    cdef real total[MR * WIDEST * LANES]
    cdef real line[WIDEST * LANES]
    cdef real added[WIDEST * LANES]
    cdef const real* x = a.x + n * g.x_n + group * g.C * g.x_c
    cdef const real* bias
    cdef const real* sums
    cdef Py_ssize_t q = 0, at, j
    cdef vec odd = vec_zero()
    cdef Span span
    cdef int i
    span.lane = 0
    span.o = row // g.P
    span.p = row - span.o * g.P
    while q < g.Q:
        span.q = q
        span.count = <int>min(<Py_ssize_t>(vectors * LANES), g.Q - q)
        row_tile(g, x, a.w + k * g.C * g.T * g.R * g.S, m, vectors, &span, total)
        for i in range(m):
            at = n * g.y_n + (k + i) * g.y_k + (row * g.Q + q) * g.y_q
            bias = NULL if a.bias == NULL else a.bias + k + i
            sums = total + i * vectors * LANES
            if g.y_q == 1:
                odd = odd + row_finish(g, sums, bias, 0, NULL if a.residual == NULL else a.residual + at, a.y + at,
                                       span.count)
            else:
                if a.residual != NULL:
                    for j in range(span.count):
                        added[j] = a.residual[at + j * g.y_q]
                odd = odd + row_finish(g, sums, bias, 0, NULL if a.residual == NULL else added, line, span.count)
                for j in range(span.count):
                    a.y[at + j * g.y_q] = line[j]
        q += vectors * LANES
    return any_odd(odd)


cdef bint output_row(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: MR output channels (fewer at the end of a group) of one output row."""
    cdef Py_ssize_t k_blocks = ceil_div(g.K, MR), rows = g.O * g.P
    cdef Py_ssize_t row = task % rows, k = task // rows % k_blocks * MR, stop = min(g.K, k + MR)
    cdef Py_ssize_t group = task // (rows * k_blocks) % g.G, n = task // (rows * k_blocks * g.G)
    cdef bint odd = False
    k += group * g.K
    stop += group * g.K
    while k < stop:
        if stop - k >= MR:
            odd |= row_tiles(g, a, n, group, row, k, MR, 1)
            k += MR
        elif stop - k >= 4:
            odd |= row_tiles(g, a, n, group, row, k, 4, 2)
            k += 4
        else:
            odd |= row_tiles(g, a, n, group, row, k, 1, 4)
            k += 1
    return odd


cdef Division divide(Geometry* g) noexcept nogil:
    return divided(<AnyTask>output_row, g.N * g.G * ceil_div(g.K, MR) * g.O * g.P)


cdef Table table
kernel = offer(&table, CONVOLUTION, <Divide>divide)
