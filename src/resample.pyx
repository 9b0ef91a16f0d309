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
from micro.simd cimport (FULL, LANES, VECTOR_BYTES, bits, real, vec, vec_collect, vec_load, vec_mask_load,
                         vec_mask_store, vec_pick, vec_pick_two, vec_splat, vec_store, vec_stream, vec_sum, vec_where_weighted,
                         vec_zero)

cdef enum:
    ACROSS, ALONG, CHANNELS, SLIDING, PICKED    # in the order of resample_tables.WAYS

cdef enum:
    GROUP = 4                       # vectors that are summed at a time
    AHEAD = 4                       # rows that are summed before numbers are picked; resample_tables.AHEAD
    MOST_HELD = 16                  # rows of x, of which numbers are picked for all rows of y that they make
    FEW = 8                         # rows of x that make one of y; resample_tables.MOST_ROWS

cdef struct Source:                 # of a row of y: rows of x, and their weights, without those that are zero
    const real* row[FEW]
    real weight[FEW]
    Py_ssize_t n

cdef struct Rows:                   # of y, one below the other, whose numbers are picked together
    const real* x                   # the first row of x that they need
    Py_ssize_t held                 # rows of x from there on
    Py_ssize_t count                # of rows of y
    const int64_t* first_h          # tables, from the first row on
    const real* weight_h
    const real* weight_d
    bint weighted                   # no weight of rows is zero

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


cdef inline void source_find(const Resample* g, const char* tables, const real* x, Py_ssize_t row, Source* s) noexcept nogil:
    """What row `row`, of all o and p, is the sum of."""
    cdef Py_ssize_t o = row // g.P, p = row % g.P, line = g.W * g.C, d, h
    cdef const real* weight_d = <const real*>(tables + g.weight_d) + o * g.taps_d
    cdef const real* weight_h = <const real*>(tables + g.weight_h) + p * g.taps_h
    x += ((<const int64_t*>(tables + g.first_d))[o] * g.H + (<const int64_t*>(tables + g.first_h))[p]) * line
    s.n = 0
    for d in range(g.taps_d):
        for h in range(g.taps_h):
            if weight_d[d] * weight_h[h] != 0:
                s.row[s.n] = x + (d * g.H + h) * line
                s.weight[s.n] = weight_d[d] * weight_h[h]
                s.n += 1


cdef inline bint whole_lines(const real* y, Py_ssize_t step) noexcept nogil:
    """Whether all that begins at y, and `step` numbers further on each time, can be stored past the caches."""
    return <size_t>y % VECTOR_BYTES == 0 and step % LANES == 0


cdef inline void group_store(const int vectors, const vec* v, real* y, unsigned lanes, bint past) noexcept nogil:
    """`vectors` vectors of y, of a single one `lanes`; `past` the caches."""
    cdef int j
    if lanes != FULL:
        vec_mask_store(y, lanes, v[0])
    elif past:
        for j in range(vectors):
            vec_stream(y + j * LANES, v[j])
    else:
        for j in range(vectors):
            vec_store(y + j * LANES, v[j])


cdef inline void picked_vector(const int taps, const bint any_kind, const int step, const Resample* g, const Rows* b,
                               Py_ssize_t base, const bits* at, const real* weight, vec* held) noexcept nogil:
    """A vector of numbers, picked out of each row of x that is needed, summed over slices, and weighted; `step` apart.

    any_kind: they may lie in two vectors of x, and weights may be zero.
    """
    cdef Py_ssize_t slice = g.H * g.W * g.C, d, i
    cdef const real* x = b.x + base
    cdef vec low, high, acc, v, w
    cdef int t
    for i in range(b.held):
        if g.taps_d == 1:
            low = high = vec_load(x)
            if any_kind:
                high = vec_load(x + LANES)
        else:
            low = high = vec_zero()
            for d in range(g.taps_d):
                if b.weight_d[d] != 0:
                    w = vec_splat(b.weight_d[d])
                    low = low + w * vec_load(x + d * slice)
                    if any_kind:
                        high = high + w * vec_load(x + d * slice + LANES)
        acc = vec_zero()
        for t in range(taps):
            w = vec_load(weight + t * LANES)
            if any_kind:
                v = vec_where_weighted(w, vec_pick_two(low, high, at + t * LANES))
            else:
                v = vec_pick(low, at + t * LANES)
            acc = acc + w * v
        held[i * step] = acc
        x += g.W * g.C


cdef inline void picked_group(const int taps, const int taps_h, const int vectors, const bint any_kind, const Resample* g,
                              const Rows* b, const int64_t* base, const bits* at, const real* weight, real* y, unsigned lanes,
                              bint past) noexcept nogil:
    """`vectors` vectors in each of some rows of y, of a single one `lanes`.

    They are picked out of every row of x that is needed, then rows are summed.
    """
    cdef vec held[MOST_HELD * GROUP]
    cdef vec acc[GROUP]
    cdef const real* weight_h = b.weight_h
    cdef const vec* v
    cdef Py_ssize_t i
    cdef vec w
    cdef int h, j
    for j in range(vectors):
        picked_vector(taps, any_kind, vectors, g, b, base[j], at + j * taps * LANES, weight + j * taps * LANES, held + j)
    for i in range(b.count):
        v = held + (b.first_h[i] - b.first_h[0]) * vectors
        for j in range(vectors):
            acc[j] = vec_zero()
        if b.weighted:
            for h in range(taps_h):
                w = vec_splat(weight_h[h])
                for j in range(vectors):
                    acc[j] = acc[j] + w * v[h * vectors + j]
        else:
            for h in range(taps_h):
                if weight_h[h] != 0:
                    w = vec_splat(weight_h[h])
                    for j in range(vectors):
                        acc[j] = acc[j] + w * v[h * vectors + j]
        group_store(vectors, acc, y, lanes, past)
        weight_h += taps_h
        y += g.Q * g.C


cdef inline void picked(const int taps, const int taps_h, const Resample* g, const char* tables, const Rows* b,
                        real* y) noexcept nogil:
    """Some rows of y, from the first number on."""
    cdef const int64_t* base = <const int64_t*>(tables + g.base)
    cdef const int64_t* kind = <const int64_t*>(tables + g.kind)
    cdef const bits* at = <const bits*>(tables + g.at)
    cdef const real* weight = <const real*>(tables + g.weight_w)
    cdef Py_ssize_t numbers = g.Q * g.C, i = 0
    cdef bint past = g.past and whole_lines(y, numbers)
    cdef int64_t any_kind
    cdef unsigned lanes
    cdef int j
    while i * LANES < numbers:
        if (i + GROUP) * LANES <= numbers:
            any_kind = 0
            for j in range(GROUP):
                any_kind |= kind[i + j]
            if any_kind:
                picked_group(taps, taps_h, GROUP, True, g, b, base + i, at + i * taps * LANES, weight + i * taps * LANES,
                             y + i * LANES, FULL, past)
            else:
                picked_group(taps, taps_h, GROUP, False, g, b, base + i, at + i * taps * LANES, weight + i * taps * LANES,
                             y + i * LANES, FULL, past)
            i += GROUP
        else:
            lanes = FULL if (i + 1) * LANES <= numbers else FULL >> ((i + 1) * LANES - numbers)
            picked_group(taps, taps_h, 1, True, g, b, base + i, at + i * taps * LANES, weight + i * taps * LANES,
                         y + i * LANES, lanes, past)
            i += 1


cdef Py_ssize_t picked_rows(const Resample* g, const char* tables, const real* x, Py_ssize_t p, Py_ssize_t most,
                            real* y) noexcept nogil:
    """At most `most` rows of y, the first of which is row p of all; how many."""
    cdef Py_ssize_t o = p // g.P, i
    cdef Rows b
    p -= o * g.P
    b.first_h = <const int64_t*>(tables + g.first_h) + p
    b.weight_h = <const real*>(tables + g.weight_h) + p * g.taps_h
    b.weight_d = <const real*>(tables + g.weight_d) + o * g.taps_d
    b.x = x + ((<const int64_t*>(tables + g.first_d))[o] * g.H + b.first_h[0]) * g.W * g.C
    b.count = min(min(most, g.P - p), <Py_ssize_t>MOST_HELD)
    while b.first_h[b.count - 1] - b.first_h[0] + g.taps_h > MOST_HELD:
        b.count -= 1
    b.held = b.first_h[b.count - 1] - b.first_h[0] + g.taps_h
    b.weighted = True
    for i in range(b.count * g.taps_h):
        b.weighted &= b.weight_h[i] != 0
    if g.taps_w == 2 and g.taps_h == 2:
        picked(2, 2, g, tables, &b, y)
    elif g.taps_w == 2:
        picked(2, 1, g, tables, &b, y)
    elif g.taps_h == 4:
        picked(4, 4, g, tables, &b, y)
    else:
        picked(4, 1, g, tables, &b, y)
    return b.count


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


cdef inline void column_sum(const int vectors, const Source* s, Py_ssize_t at, unsigned lanes, vec* total) noexcept nogil:
    """`vectors` vectors of channels of the rows of a source, summed, `at` numbers from their beginnings."""
    cdef const real* x
    cdef Py_ssize_t k
    cdef vec w
    cdef int j
    for j in range(vectors):
        total[j] = vec_zero()
    for k in range(s.n):
        x = s.row[k] + at
        w = vec_splat(s.weight[k])
        if lanes == FULL:
            for j in range(vectors):
                total[j] = total[j] + w * vec_load(x + j * LANES)
        else:
            total[0] = total[0] + w * vec_mask_load(vec_zero(), lanes, x)


cdef inline void slide(const int vectors, const Resample* g, const char* tables, const Source* s, Py_ssize_t c, unsigned lanes,
                       bint past, real* y) noexcept nogil:
    """`vectors` vectors of channels, from channel c on, of all pixels of a row; of a single one `lanes`. y: that row."""
    cdef const int64_t* first = <const int64_t*>(tables + g.first_w)
    cdef const real* weight = <const real*>(tables + g.weight_w)
    cdef Py_ssize_t width = ceil_div(g.taps_w, LANES) * LANES, q, at = -2
    cdef vec low[GROUP]
    cdef vec high[GROUP]
    cdef vec out[GROUP]
    cdef int j
    for j in range(vectors):
        low[j] = high[j] = vec_zero()
    y += c
    for q in range(g.Q):
        if first[q] != at:
            if first[q] == at + 1 and g.taps_w > 1:
                for j in range(vectors):
                    low[j] = high[j]
            else:
                column_sum(vectors, s, first[q] * g.C + c, lanes, low)
            if g.taps_w > 1:
                column_sum(vectors, s, (first[q] + 1) * g.C + c, lanes, high)
            at = first[q]
        if weight[1] == 0:
            for j in range(vectors):
                out[j] = vec_splat(weight[0]) * low[j]
        elif weight[0] == 0:
            for j in range(vectors):
                out[j] = vec_splat(weight[1]) * high[j]
        else:
            for j in range(vectors):
                out[j] = vec_splat(weight[0]) * low[j] + vec_splat(weight[1]) * high[j]
        group_store(vectors, out, y, lanes, past)
        weight += width
        y += g.C


cdef void sliding(const Resample* g, const char* tables, const real* x, Py_ssize_t p, real* y) noexcept nogil:
    """Row p, of all."""
    cdef bint past = g.past and whole_lines(y, g.C)
    cdef Py_ssize_t c = 0
    cdef Source s
    source_find(g, tables, x, p, &s)
    while c + GROUP * LANES <= g.C:
        slide(GROUP, g, tables, &s, c, FULL, past, y)
        c += GROUP * LANES
    while c < g.C:
        slide(1, g, tables, &s, c, FULL if c + LANES <= g.C else FULL >> (c + LANES - g.C), past, y)
        c += LANES


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
