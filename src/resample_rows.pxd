"""Rows of a resampled image that are made in registers, without a row of sums: by picking, and by sliding."""
from libc.stdint cimport int64_t

from micro.fields cimport Resample
from micro.geometry cimport ceil_div
from micro.simd cimport (FULL, LANES, VECTOR_BYTES, bits, real, vec, vec_load, vec_mask_load, vec_mask_store, vec_pick,
                         vec_pick_two, vec_splat, vec_store, vec_stream, vec_where_weighted, vec_zero)

cdef enum:
    GROUP = 4                       # vectors that are summed at a time
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


cdef inline Py_ssize_t any_picked_rows(const Resample* g, const char* tables, const real* x, Py_ssize_t p, Py_ssize_t most,
                                       real* y) noexcept nogil:
    """At most `most` rows of y, the first of which is row p of all; how many. To be wrapped once."""
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


cdef inline void any_sliding(const Resample* g, const char* tables, const real* x, Py_ssize_t p, real* y) noexcept nogil:
    """Row p, of all. To be wrapped once."""
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
