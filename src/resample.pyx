"""Resampling along the axes of an image: every output pixel is a sum of weighted input pixels (interpolate).

Loops, outermost first, and what each block is sized for:
    task        in parallel: a plane (channels first) or an image x a share of its rows x a block of columns
    o p         one row of y: the rows of x that it is made of are summed into one row        L1, read once by the next loop
    q           the pixels of y out of that row, by one of these ways
        picked      lanes are numbers of y, picked by shuffles out of one or two vectors of   2 or 4 taps, few channels side by
                    each row of x, once for all rows of y that it makes: columns come first   side, windows close together
        across      the same out of a row                                                     other taps or windows
        along       lanes are taps, added up at last                                          many taps
        channels    lanes are channels                                                        channels last
        sliding     lanes are channels; sums of two columns stay in registers while windows   channels last, at most 2 taps
                    slide along the row: no row is stored
Summing rows first makes that work independent of the number of columns of y, and leaves all borders to the tables.

Needs    x (M, D, H, W, C), y (M, O, P, Q, C), contiguous, distinct; tables as fastconv/resample_tables.py makes them.
         Nothing outside x is read.
Leaves   y written in full.
Rounds   one fused chain per axis; a pixel of weight zero contributes nothing, be it infinite.
Costs    one read of x, one write of y: bound by memory where taps are few.
"""
from libc.stdint cimport int64_t

from kernel cimport RESAMPLE, Divide, Division, Measure, Streams, Table, divided, offer
from micro.fields cimport Resample
from micro.geometry cimport ceil_div
from micro.simd cimport (FULL, LANES, bits, real, vec, vec_collect, vec_load, vec_mask_load, vec_mask_store, vec_pick,
                         vec_pick_two, vec_splat, vec_store, vec_sum, vec_where_weighted, vec_zero)
from resample_rows cimport GROUP, any_picked_rows, any_sliding

cdef enum:
    ACROSS, ALONG, CHANNELS, SLIDING, PICKED    # in the order of resample_tables.WAYS

cdef enum:
    AHEAD = 4                       # rows that are summed before numbers are picked; resample_tables.AHEAD

cdef struct Block:
    int64_t start, stop             # vectors (across) or pixels of y
    int64_t tap, tap_stop           # the taps that it sums; those behind the first block's are added to y
    int64_t x, x_stop               # pixels of x; numbers, if across


cdef inline void rows_group(const int vectors, Py_ssize_t taps_d, Py_ssize_t taps_h, const real* weight_d, const real* weight_h,
                            const real* x, Py_ssize_t line, Py_ssize_t slice, real* total, unsigned lanes) noexcept nogil:
    """`vectors` vectors of the sum; of a single one only `lanes` are read."""
    cdef vec acc[GROUP]
    cdef const real* row
    cdef real weight
    cdef Py_ssize_t d, h
    cdef int j
    for j in range(vectors):
        acc[j] = vec_zero()
    for d in range(taps_d):
        row = x + d * slice
        for h in range(taps_h):
            weight = weight_d[d] * weight_h[h]
            if weight != 0:
                if lanes == FULL:
                    for j in range(vectors):
                        acc[j] = acc[j] + vec_splat(weight) * vec_load(row + j * LANES)
                else:
                    acc[0] = acc[0] + vec_splat(weight) * vec_mask_load(vec_zero(), lanes, row)
            row += line
    for j in range(vectors):
        vec_store(total + j * LANES, acc[j])


cdef void rows_sum(const Resample* g, const char* tables, const real* x, Py_ssize_t o, Py_ssize_t p, Py_ssize_t n,
                   real* total) noexcept nogil:
    """total: n numbers of the rows of x that make row (o, p), weighted; x points at the first of them in row (0, 0)."""
    cdef Py_ssize_t taps_d = g.taps_d, taps_h = g.taps_h, line = g.W * g.C, slice = g.H * line, i = 0
    cdef const real* weight_d = <const real*>(tables + g.weight_d) + o * taps_d
    cdef const real* weight_h = <const real*>(tables + g.weight_h) + p * taps_h
    x += (<const int64_t*>(tables + g.first_d))[o] * slice + (<const int64_t*>(tables + g.first_h))[p] * line
    while i + GROUP * LANES <= n:
        rows_group(GROUP, taps_d, taps_h, weight_d, weight_h, x + i, line, slice, total + i, FULL)
        i += GROUP * LANES
    if i + 2 * LANES <= n:
        rows_group(2, taps_d, taps_h, weight_d, weight_h, x + i, line, slice, total + i, FULL)
        i += 2 * LANES
    if i + LANES <= n:
        rows_group(1, taps_d, taps_h, weight_d, weight_h, x + i, line, slice, total + i, FULL)
        i += LANES
    if i < n:
        rows_group(1, taps_d, taps_h, weight_d, weight_h, x + i, line, slice, total + i, FULL >> (LANES - (n - i)))


cdef inline void across_vector(const int taps, const int kind, Py_ssize_t step, const real* x, const bits* at,
                               const real* weight, real* y, unsigned lanes) noexcept nogil:
    """One vector of y. kind // 2: its pixels lie in one vector of x, in two, anywhere; kind % 2: some weight is zero."""
    cdef vec acc = vec_zero(), w, v
    cdef int t
    for t in range(taps):
        w = vec_load(weight + t * LANES)
        if kind < 2:
            v = vec_pick(vec_load(x + t * step), at)
        elif kind < 4:
            v = vec_pick_two(vec_load(x + t * step), vec_load(x + t * step + LANES), at)
        else:
            v = vec_collect(x + t * step, at)
        acc = acc + w * (vec_where_weighted(w, v) if kind & 1 else v)
    if lanes == FULL:
        vec_store(y, acc)
    else:
        vec_mask_store(y, lanes, acc)


cdef inline void across_any(const int taps, int64_t kind, Py_ssize_t step, const real* x, const bits* at,
                            const real* weight, real* y, unsigned lanes) noexcept nogil:
    if kind == 1:
        across_vector(taps, 1, step, x, at, weight, y, lanes)
    elif kind == 2:
        across_vector(taps, 2, step, x, at, weight, y, lanes)
    elif kind == 3:
        across_vector(taps, 3, step, x, at, weight, y, lanes)
    elif kind == 4:
        across_vector(taps, 4, step, x, at, weight, y, lanes)
    else:
        across_vector(taps, 5, step, x, at, weight, y, lanes)


cdef void across(const Resample* g, const char* tables, const Block* b, const real* x, real* y) noexcept nogil:
    """Vectors of a row of y; x: the summed row from b.x on."""
    cdef int taps = <int>g.taps_w
    cdef const int64_t* base = <const int64_t*>(tables + g.base)
    cdef const int64_t* kind = <const int64_t*>(tables + g.kind)
    cdef const bits* at = <const bits*>(tables + g.at)
    cdef const real* weight = <const real*>(tables + g.weight_w)
    cdef Py_ssize_t i = b.start, step = g.C, numbers = g.Q * g.C, whole = min(<Py_ssize_t>b.stop, numbers // LANES)
    x -= b.x
    while i < whole:
        if kind[i] == 0:
            across_vector(taps, 0, step, x + base[i], at + i * LANES, weight + i * taps * LANES, y + i * LANES, FULL)
        else:
            across_any(taps, kind[i], step, x + base[i], at + i * LANES, weight + i * taps * LANES, y + i * LANES, FULL)
        i += 1
    if i < b.stop:
        across_any(taps, kind[i] | 1, step, x + base[i], at + i * LANES, weight + i * taps * LANES, y + i * LANES,
                   FULL >> ((i + 1) * LANES - numbers))


cdef inline void along(const Resample* g, const char* tables, const Block* b, const real* x, real* y) noexcept nogil:
    """Pixels of one number each, windows added up lane by lane; weights behind a window are zero."""
    cdef const int64_t* first = <const int64_t*>(tables + g.first_w)
    cdef Py_ssize_t width = ceil_div(g.taps_w, LANES) * LANES, q, t
    cdef const real* weight
    cdef const real* row
    cdef vec acc, w
    for q in range(b.start, b.stop):
        weight = <const real*>(tables + g.weight_w) + q * width
        row = x + first[q] - b.x
        acc = vec_zero()
        t = b.tap
        while t < b.tap_stop:
            w = vec_load(weight + t)
            acc = acc + w * vec_where_weighted(w, vec_load(row + t))
            t += LANES
        y[q] = vec_sum(acc) + (y[q] if b.tap else 0)


cdef inline void channels(const Resample* g, const char* tables, const Block* b, const real* x, Py_ssize_t count,
                          real* y) noexcept nogil:
    """Pixels of `count` channels; x: columns of c_block channels from b.x on."""
    cdef const int64_t* first = <const int64_t*>(tables + g.first_w)
    cdef Py_ssize_t width = ceil_div(g.taps_w, LANES) * LANES, q, t, c
    cdef const real* weight
    cdef const real* column
    cdef unsigned lanes
    cdef vec acc
    for q in range(b.start, b.stop):
        weight = <const real*>(tables + g.weight_w) + q * width
        column = x + (first[q] - b.x) * g.c_block
        c = 0
        while c < count:
            lanes = FULL if c + LANES <= count else FULL >> (c + LANES - count)
            acc = vec_mask_load(vec_zero(), lanes, y + q * g.C + c) if b.tap else vec_zero()
            for t in range(b.tap, b.tap_stop):
                if weight[t] != 0:
                    acc = acc + vec_splat(weight[t]) * vec_load(column + t * g.c_block + c)
            if lanes == FULL:
                vec_store(y + q * g.C + c, acc)
            else:
                vec_mask_store(y + q * g.C + c, lanes, acc)
            c += LANES


cdef void sliding(const Resample* g, const char* tables, const real* x, Py_ssize_t p, real* y) noexcept nogil:
    any_sliding(g, tables, x, p, y)


cdef Py_ssize_t picked_rows(const Resample* g, const char* tables, const real* x, Py_ssize_t p, Py_ssize_t most,
                            real* y) noexcept nogil:
    return any_picked_rows(g, tables, x, p, most, y)


cdef void row(const Resample* g, const char* tables, const Block* b, const real* x, Py_ssize_t o, Py_ssize_t p, Py_ssize_t c,
              real* y, real* total) noexcept nogil:
    """The pixels of a block in row (o, p) of one plane or image, from channel c on. y: that row."""
    cdef Py_ssize_t i, count = min(g.c_block, g.C - c)
    if g.way == ALONG:
        rows_sum(g, tables, x + b.x, o, p, b.x_stop - b.x, total)
        along(g, tables, b, total, y)
    else:
        if g.c_block == g.C:
            rows_sum(g, tables, x + b.x * g.C, o, p, (b.x_stop - b.x) * g.C, total)
        else:
            for i in range(b.x, b.x_stop):
                rows_sum(g, tables, x + i * g.C + c, o, p, count, total + (i - b.x) * g.c_block)
        channels(g, tables, b, total, count, y + c)


cdef void rows_across(const Resample* g, const char* tables, const Block* b, const real* x, Py_ssize_t p, Py_ssize_t count,
                      real* y, real* total) noexcept nogil:
    """A block of `count` rows from row p on; y: row p. All are summed before numbers are picked out of the first.

    Picking reads across the vectors that were just written, and would wait for them.
    """
    cdef Py_ssize_t i, width = g.workspace // (AHEAD * <Py_ssize_t>sizeof(real))
    for i in range(count):
        rows_sum(g, tables, x + b.x, (p + i) // g.P, (p + i) % g.P, b.x_stop - b.x, total + i * width)
    for i in range(count):
        across(g, tables, b, total + i * width, y + i * g.Q * g.C)


cdef bint task_run(const void* fields, const void* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: some rows of a plane or image; all blocks of their columns, since later ones may add to earlier ones."""
    cdef const Resample* g = <const Resample*>fields
    cdef const char* tables = <const char*>(g + 1)
    cdef const Block* b = <const Block*>(tables + g.block)
    cdef Py_ssize_t shares = ceil_div(g.O * g.P, g.rows), m = task // shares, p = task % shares * g.rows, c, i
    cdef Py_ssize_t count, stop = min(g.O * g.P, p + g.rows)
    cdef const real* x = <const real*>(<const Streams*>arrays).input[0] + m * g.D * g.H * g.W * g.C
    cdef real* y = <real*>(<const Streams*>arrays).output[0] + m * g.O * g.P * g.Q * g.C
    while p < stop:
        count = min(<Py_ssize_t>AHEAD, stop - p) if g.way == ACROSS else 1
        if g.way == SLIDING:
            sliding(g, tables, x, p, y + p * g.Q * g.C)
        elif g.way == PICKED:
            count = picked_rows(g, tables, x, p, stop - p, y + p * g.Q * g.C)
        elif g.way == ACROSS:
            for i in range(g.blocks):
                rows_across(g, tables, b + i, x, p, count, y + p * g.Q * g.C, <real*>workspace)
        else:
            c = 0
            while c < g.C:
                for i in range(g.blocks):
                    row(g, tables, b + i, x, p // g.P, p % g.P, c, y + p * g.Q * g.C, <real*>workspace)
                c += g.c_block
        p += count
    return False


cdef Py_ssize_t workspace_of(const Resample* g) noexcept nogil:
    return g.workspace


cdef Division divide(Resample* g) noexcept nogil:
    return divided(task_run, g.M * ceil_div(g.O * g.P, g.rows))


cdef Table table
kernel = offer(&table, RESAMPLE, <Divide>divide, <Measure>workspace_of)
