"""Largest or mean of windows, pixels as they lie, without a line of them between: any, channels last, or whole planes.

Loops of windows (row `pixels`), outermost first, and what each block is sized for:
    task        in parallel: rows of windows x blocks of channels
    q           windows of the row
    c           GROUP vectors of channels: all pixels of the window, row after row
Windows of three pixels along the row that overlap are computed the other way round: SLIDE vectors of channels in registers,
in which a window finds the columns of pixels that it shares with the one before.

Loops of planes, channels first (row `whole`):
    task        in parallel: planes
    LANES       planes at a time, whose vectors are transposed: one vector of results
    pixels      SUMS vectors of partial results in registers

Needs    inputs (x,), outputs (y,), both contiguous, of type real; x (N, D, H, W, C), or (N, C, D, H, W) and y (N, C).
Leaves   y written in full.
Rounds   each row of pixels in order, then the rows in order; windows of three pixels that reach over no border, and overlap:
         columns of pixels in order, then the columns. Planes: pixel i belongs to partial sum
         i mod (SUMS * LANES); those are added in pairs. Then one division. Largest numbers: nothing.
Costs    R S loads a vector of results, sliding R min(stride, S): bound by memory if windows do not overlap.
"""
from kernel cimport POOL, AnyTask, Divide, Division, Streams, Table, divided, offer
from micro.fields cimport Pool
from micro.geometry cimport ceil_div
from micro.simd cimport LANES, real, vec, vec_load, vec_mask_load, vec_mask_store, vec_splat, vec_store, vec_transpose
from micro.windows cimport INFINITY, Window, axis_d, axis_h, axis_w, join, join_lanes, run_join, window

cdef extern from *:
    """
    enum { SLIDE = MR / 3 };            /* 3 columns of them, and one that grows, stay in registers */
    """
    enum: SLIDE

cdef enum:
    GROUP = 4                       # vectors of channels at a time
    SLIDING = 3                     # pixels of a window along the row

cdef struct Row:                    # of windows, and where it lies
    const real* x                   # the first of its channels in pixel (first row, 0) ...
    Py_ssize_t pixel, line, slice   # ... and how far on the next pixel, row and slice of its windows are
    Py_ssize_t slices, rows
    Py_ssize_t inner, stop          # windows that reach over neither end of the row
    real area                       # of the rows of a window


cdef inline vec load(const int vectors, unsigned lanes, const real* x) noexcept nogil:
    """One of `vectors` vectors; of a single one, `lanes`."""
    return vec_load(x) if vectors > 1 else vec_mask_load(vec_splat(0), lanes, x)


cdef inline void store(const int vectors, unsigned lanes, real* y, vec v) noexcept nogil:
    if vectors > 1:
        vec_store(y, v)
    else:
        vec_mask_store(y, lanes, v)


cdef inline void window_join(const bint largest, const int vectors, const Row* row, Py_ssize_t pixels, const real* x,
                             unsigned lanes, vec area, real* y) noexcept nogil:
    """One window of `pixels` pixels a row, the first at x."""
    cdef vec total[GROUP]
    cdef vec line[GROUP]
    cdef const real* at
    cdef Py_ssize_t t, r, _s
    cdef int j
    for j in range(vectors):
        total[j] = vec_splat(-INFINITY if largest else 0)
    for t in range(row.slices):
        for r in range(row.rows if pixels else 0):
            at = x + t * row.slice + r * row.line
            for j in range(vectors):
                line[j] = load(vectors, lanes, at + j * LANES)
            for _s in range(1, pixels):
                at += row.pixel
                for j in range(vectors):
                    line[j] = join(largest, line[j], load(vectors, lanes, at + j * LANES))
            for j in range(vectors):
                total[j] = join(largest, total[j], line[j])
    for j in range(vectors):
        store(vectors, lanes, y + j * LANES, total[j] if largest else total[j] / area)


cdef inline void window_of_channels(const bint largest, const Pool* g, const Row* row, Window w, Py_ssize_t count,
                                    real* y) noexcept nogil:
    """One window in `count` channels."""
    cdef const real* x = row.x + w.first * g.C
    cdef Py_ssize_t c = 0
    cdef vec area = vec_splat(row.area * w.area)
    while c + GROUP * LANES <= count:
        window_join(largest, GROUP, row, w.count, x + c, 0, area, y + c)
        c += GROUP * LANES
    while c < count:
        window_join(largest, 1, row, w.count, x + c, (1u << min(count - c, <Py_ssize_t>LANES)) - 1, area, y + c)
        c += LANES


cdef inline void column_join(const bint largest, const int vectors, const Row* row, const real* x, unsigned lanes,
                             vec* column) noexcept nogil:
    cdef Py_ssize_t t, r
    cdef const real* at
    cdef int j
    for j in range(vectors):
        column[j] = load(vectors, lanes, x + j * LANES)
    for t in range(row.slices):
        at = x + t * row.slice
        for r in range(t == 0, row.rows):
            for j in range(vectors):
                column[j] = join(largest, column[j], load(vectors, lanes, at + r * row.line + j * LANES))


cdef inline void windows_slide(const bint largest, const int vectors, const Row* row, Py_ssize_t stride, Py_ssize_t C,
                               const real* x, unsigned lanes, vec area, real* y) noexcept nogil:
    """The inner windows, the first at x, in `vectors` vectors of channels: one ends at every column, or every second."""
    cdef vec one[SLIDE]
    cdef vec two[SLIDE]
    cdef vec three[SLIDE]
    cdef vec total
    cdef Py_ssize_t _i, left = SLIDING
    cdef int j
    for j in range(vectors):
        one[j] = two[j] = vec_splat(0)
    for _i in range((row.stop - row.inner - 1) * stride + SLIDING):
        column_join(largest, vectors, row, x, lanes, three)
        left -= 1
        if left == 0:
            for j in range(vectors):
                total = join(largest, join(largest, one[j], two[j]), three[j])
                store(vectors, lanes, y + j * LANES, total if largest else total / area)
            left = stride
            y += C
        for j in range(vectors):
            one[j], two[j] = two[j], three[j]
        x += C


cdef inline void row_slide(const bint largest, const Pool* g, const Row* row, Py_ssize_t count,
                           real* y) noexcept nogil:
    """The inner windows of a row, in `count` channels."""
    cdef Window w = window(g, axis_w(g), row.inner)
    cdef const real* x = row.x + w.first * g.C
    cdef Py_ssize_t c = 0
    cdef vec area = vec_splat(row.area * w.area)
    y += row.inner * g.C
    while SLIDE > 1 and c + SLIDE * LANES <= count:
        windows_slide(largest, SLIDE, row, g.stride_w, g.C, x + c, 0, area, y + c)
        c += SLIDE * LANES
    while c < count:
        windows_slide(largest, 1, row, g.stride_w, g.C, x + c, (1u << min(count - c, <Py_ssize_t>LANES)) - 1, area, y + c)
        c += LANES


cdef inline void row_pool(const bint largest, const Pool* g, const real* x, Py_ssize_t number, Py_ssize_t count,
                          real* y) noexcept nogil:
    """A row of windows in `count` channels, the first at x and y."""
    cdef Window d = window(g, axis_d(g), number // g.P % g.O), h = window(g, axis_h(g), number % g.P), w
    cdef Py_ssize_t q = 0, reach = (g.S - 1) * g.dilation_w + 1
    cdef Row row
    cdef bint slides = g.S == SLIDING and g.stride_w < SLIDING and g.dilation_w == 1 and not g.adaptive_w
    row.pixel, row.line, row.slice = g.dilation_w * g.C, g.dilation_h * g.W * g.C, g.dilation_d * g.H * g.W * g.C
    row.x = x + (d.first * g.H + h.first) * g.W * g.C
    row.slices, row.rows = d.count, h.count
    row.area = g.divisor if g.divisor else <real>d.area * <real>h.area
    row.inner = row.stop = 0
    if not g.adaptive_w and g.W + g.pad_w >= reach:
        row.inner = min(g.Q, ceil_div(g.pad_w, g.stride_w))
        row.stop = max(row.inner, min(g.Q, (g.W + g.pad_w - reach) // g.stride_w + 1))
    slides = slides and d.count > 0 and h.count > 0 and row.inner < row.stop
    if slides:
        row_slide(largest, g, &row, count, y)
    while q < g.Q:
        if slides and q == row.inner:
            q = row.stop
            continue
        if row.inner < q < row.stop:
            w.first += g.stride_w
        else:
            w = window(g, axis_w(g), q)
        window_of_channels(largest, g, &row, w, count, y + q * g.C)
        q += 1


cdef inline void planes_join(const bint largest, const Pool* g, Py_ssize_t plane, Py_ssize_t count, const real* x,
                             real* y) noexcept nogil:
    """Results of `count`, at most LANES, planes."""
    cdef vec row[LANES]
    cdef Py_ssize_t i, pixels = g.D * g.H * g.W
    cdef real area = g.divisor
    if not g.divisor:
        area = (<real>window(g, axis_d(g), 0).area * <real>window(g, axis_h(g), 0).area * <real>window(g, axis_w(g), 0).area)
    for i in range(LANES):
        row[i] = run_join(largest, x + (plane + min(i, count - 1)) * pixels, pixels if i < count else 0)
    vec_transpose(row)
    join_lanes(largest, row)
    vec_mask_store(y + plane, (1u << count) - 1, row[0] if largest else row[0] / vec_splat(area))


cdef bint plane_block(const Pool* g, const Streams* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    cdef const real* x = <const real*>arrays.input[0]
    cdef real* y = <real*>arrays.output[0]
    cdef Py_ssize_t plane = task * g.rows, stop = min((task + 1) * g.rows, g.N * g.C)
    while plane < stop:
        if g.largest:
            planes_join(True, g, plane, min(<Py_ssize_t>LANES, stop - plane), x, y)
        else:
            planes_join(False, g, plane, min(<Py_ssize_t>LANES, stop - plane), x, y)
        plane += LANES
    return False


cdef bint window_block(const Pool* g, const Streams* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    cdef Py_ssize_t blocks = ceil_div(g.C, g.channels), c = task % blocks * g.channels, count = min(g.channels, g.C - c)
    cdef Py_ssize_t row = task // blocks * g.rows, stop = min(row + g.rows, g.N * g.O * g.P)
    cdef const real* x
    cdef real* y
    while row < stop:
        x = <const real*>arrays.input[0] + row // (g.O * g.P) * g.D * g.H * g.W * g.C + c
        y = <real*>arrays.output[0] + row * g.Q * g.C + c
        if g.largest:
            row_pool(True, g, x, row, count, y)
        else:
            row_pool(False, g, x, row, count, y)
        row += 1
    return False


cdef Division divide(Pool* g) noexcept nogil:
    if g.channels_last:
        return divided(<AnyTask>window_block, ceil_div(g.N * g.O * g.P, g.rows) * ceil_div(g.C, g.channels))
    return divided(<AnyTask>plane_block, ceil_div(g.N * g.C, g.rows))


cdef Table table
kernel = offer(&table, POOL, <Divide>divide)
