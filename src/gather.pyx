"""Gathering: every output item is an input item that tables of its axes point at, or a fill value (pad, nearest, unfold).

Loops, outermost first, and what each block is sized for:
    task        in parallel: a share of the rows of y
    row         found by a table for each axis; two that are alike are written at once
    item        a run of neighbours is copied whole, repeated items are woven in with vectors, others come by the table

Needs    x, y contiguous, items of 1, 2, 4 or 8 bytes, or pixels of `unit` such items; the geometry holds
         a Header, an Axis for each axis, two or more, and their tables, all int64; distinct buffers. Nothing outside x is read.
Leaves   y written in full.
Rounds   nothing: items are moved as they are.
Costs    one read of x, one write of y: bound by memory.
"""
from kernel cimport NUMBERS, Division, Streams, Table, divided, offer
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from micro.simd cimport (FULL, LANES, VECTOR_BYTES, bits, real, vec, vec_interleave, vec_load, vec_mask_load,
                         vec_mask_store, vec_pick, vec_store, vec_stream, vec_zero)

ctypedef fused item:
    uint8_t
    uint16_t
    uint32_t
    uint64_t

cdef enum:
    AXES = 64                   # as many as an array can have

cdef struct Axis:               # as int64 numbers in the plan
    int64_t n                   # extent in y
    int64_t step                # of x, in pixels
    int64_t link                # the axis whose index chooses the row of the table; -1: the table has one row
    int64_t table               # where the table begins in the plan; -1: none, the index is that of y

cdef struct Header:
    int64_t axes, size, unit        # size of an item in bytes; items of a pixel
    int64_t rows, share             # of y; those of one task
    int64_t repeat                  # the last table is i // repeat; 0: it is not
    int64_t runs                    # where (first, last) of the longest run begin, for each row of the last table
    int64_t past                    # y does not stay in a cache: repeated pixels are stored past them

cdef struct Gather:
    const Header* head
    const Axis* axis
    const int64_t* plan
    bits at[LANES]                  # numbers of x in a vector of pixels that are repeated


cdef inline void put(const bint past, real* y, vec v) noexcept nogil:
    if past:
        vec_stream(y, v)
    else:
        vec_store(y, v)


cdef inline void copy_items(const int columns, const bint past, int rows, Py_ssize_t n, const item* x, item* y,
                            Py_ssize_t below) noexcept nogil:
    """n items of x, `columns` times one behind the other in y, and so in `rows` rows, `below` items apart."""
    cdef Py_ssize_t size = sizeof(item) // sizeof(real), numbers = n * size, k = 0
    cdef const real* a = <const real*>x
    cdef real* b = <real*>y
    cdef unsigned lanes
    cdef vec v
    cdef int i, j
    if sizeof(item) < sizeof(real):
        for i in range(rows):
            for j in range(columns):
                memcpy(y + i * below + j * n, x, n * sizeof(item))
        return
    while k + LANES <= numbers:
        v = vec_load(a + k)
        for i in range(rows):
            for j in range(columns):
                put(past, b + i * below * size + j * numbers + k, v)
        k += LANES
    if k < numbers:
        lanes = (1u << (numbers - k)) - 1
        v = vec_mask_load(vec_zero(), lanes, a + k)
        for i in range(rows):
            for j in range(columns):
                vec_mask_store(b + i * below * size + j * numbers + k, lanes, v)


cdef void copy_once(int rows, Py_ssize_t n, const item* x, item* y, Py_ssize_t below) noexcept nogil:
    copy_items(1, False, rows, n, x, y, below)


cdef void copy_twice(bint past, int rows, Py_ssize_t n, const item* x, item* y, Py_ssize_t below) noexcept nogil:
    if past:
        copy_items(2, True, rows, n, x, y, below)
    else:
        copy_items(2, False, rows, n, x, y, below)


cdef inline void repeat_items(const int r, Py_ssize_t n, const item* x, item* y) noexcept nogil:
    cdef Py_ssize_t i
    cdef int j
    for i in range(n // r):
        for j in range(r):
            y[i * r + j] = x[i]
    for i in range(n // r * r, n):
        y[i] = x[i // r]


cdef void repeat_any(Py_ssize_t r, Py_ssize_t n, const item* x, item* y) noexcept nogil:
    """n items of y: each of x `r` times, which is 2, 3 or 4."""
    if r == 2:
        repeat_items(2, n, x, y)
    elif r == 3:
        repeat_items(3, n, x, y)
    else:
        repeat_items(4, n, x, y)


cdef inline void repeat_twice(const bint past, int rows, Py_ssize_t n, const real* x, real* y,
                              Py_ssize_t below) noexcept nogil:
    """repeat_any of 2 with numbers of this size, in vectors, in `rows` rows `below` numbers apart."""
    cdef vec low, high
    cdef unsigned lanes
    cdef int i
    while n >= 2 * LANES:
        low = vec_load(x)
        vec_interleave(low, low, &low, &high)
        for i in range(rows):
            put(past, y + i * below, low)
            put(past, y + i * below + LANES, high)
        x += LANES
        y += 2 * LANES
        n -= 2 * LANES
    if n:
        low = vec_mask_load(vec_zero(), (1u << (n + 1) // 2) - 1, x)
        vec_interleave(low, low, &low, &high)
        lanes = (1u << min(n, <Py_ssize_t>LANES)) - 1
        for i in range(rows):
            vec_mask_store(y + i * below, lanes, low)
            if n > LANES:
                vec_mask_store(y + i * below + LANES, (1u << (n - LANES)) - 1, high)


cdef inline void repeat_picked(int rows, Py_ssize_t r, Py_ssize_t unit, const bits* at, Py_ssize_t n, const real* x, real* y,
                               Py_ssize_t below) noexcept nogil:
    """n pixels of y: each pixel of x, of `unit` numbers, `r` times; a vector holds some of them, as `at` tells (Gather)."""
    cdef Py_ssize_t news = LANES // (unit * r) * unit, count = n * unit, left = (n + r - 1) // r * unit
    cdef unsigned lanes
    cdef vec v
    cdef int i
    while count > 0:
        v = vec_load(x) if left >= LANES else vec_mask_load(vec_zero(), (1u << left) - 1, x)
        v = vec_pick(v, at)
        lanes = FULL if count >= LANES else (1u << count) - 1
        for i in range(rows):
            if lanes == FULL:
                vec_store(y + i * below, v)         # lanes that are too many are written again by the next vector
            else:
                vec_mask_store(y + i * below, lanes, v)
        x += news
        y += news * r
        left -= news
        count -= news * r


cdef void by_table(int rows, const int64_t* table, const item* x, Py_ssize_t unit, item value, item* y,
                   Py_ssize_t below, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t q, j
    cdef int i
    for q in range(first, last):
        if unit > 1 and table[q] >= 0:
            copy_once(rows, unit, x + table[q] * unit, y + q * unit, below)
            continue
        for i in range(rows):
            for j in range(unit):
                y[i * below + q * unit + j] = x[table[q]] if table[q] >= 0 else value


cdef inline void few_items(const int64_t* table, const item* x, item value, item* y, Py_ssize_t first,
                           Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t q
    for q in range(first, last):
        y[q] = x[table[q]] if table[q] >= 0 else value


cdef inline void fill_row(item* y, Py_ssize_t n, item value) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = value


cdef inline void row(int rows, bint past, const Gather* g, const int64_t* table, const int64_t* run, const item* x,
                     item value, item* y) noexcept nogil:
    """One row of y, all of whose items come from one row of x, or are the fill value; or two that are alike."""
    cdef Py_ssize_t n = g.axis[g.head.axes - 1].n, unit = g.head.unit, below = n * unit, q
    cdef int i
    if table == NULL:
        copy_once(rows, n * unit, x, y, below)
    elif g.head.repeat == 2 and unit == 1 and sizeof(item) == sizeof(real):
        if past:
            repeat_twice(True, rows, n, <const real*>x, <real*>y, below)
        else:
            repeat_twice(False, rows, n, <const real*>x, <real*>y, below)
    elif g.head.repeat and g.head.repeat * unit <= LANES and sizeof(item) == sizeof(real):
        repeat_picked(rows, g.head.repeat, unit, g.at, n, <const real*>x, <real*>y, below)
    elif sizeof(item) != sizeof(real) and g.head.repeat and unit == 1:
        for i in range(rows):
            repeat_any(g.head.repeat, n, x, y + i * below)
    elif g.head.repeat == 2:
        for q in range(n // 2):
            copy_twice(past, rows, unit, x + q * unit, y + 2 * q * unit, below)
        by_table(rows, table, x, unit, value, y, below, n // 2 * 2, n)
    elif unit == 1 and rows == 1:
        few_items(table, x, value, y, 0, run[0])
        if run[1] > run[0]:
            copy_once(1, run[1] - run[0], x + table[run[0]], y + run[0], below)
        few_items(table, x, value, y, run[1], n)
    else:
        by_table(rows, table, x, unit, value, y, below, 0, run[0])
        if run[1] > run[0]:
            copy_once(rows, (run[1] - run[0]) * unit, x + table[run[0]] * unit, y + run[0] * unit, below)
        by_table(rows, table, x, unit, value, y, below, run[1], n)


cdef inline Py_ssize_t rows_of(const Gather* g, const Py_ssize_t* at, const item* x, bint inside, item value, bint past,
                               Py_ssize_t most, item* y) noexcept nogil:
    """Rows of y along the axis before the last, from at[] on, at most `most`; how many. x, `inside`: what other axes say."""
    cdef Py_ssize_t k = g.head.axes - 2, unit = g.head.unit, width = g.axis[k + 1].n * unit, p = at[k], stop, which, alike
    cdef const Axis* axis = &g.axis[k]
    cdef const Axis* along = &g.axis[k + 1]
    cdef const int64_t* source = NULL
    cdef const int64_t* table = NULL
    cdef int64_t from_
    if axis.table >= 0:
        source = g.plan + axis.table + (0 if axis.link < 0 else at[axis.link] * axis.n)
    stop = min(axis.n, p + most)
    while p < stop:
        from_ = p if source == NULL else source[p]
        alike = 1
        if source != NULL and along.link != k and p + 1 < stop:
            alike += source[p + 1] == from_
        if not inside or from_ < 0:
            fill_row(y, alike * width, value)
        else:
            which = 0 if along.link < 0 else p if along.link == k else at[along.link]
            if along.table >= 0:
                table = g.plan + along.table + which * along.n
            row(<int>alike, past, g, table, g.plan + g.head.runs + 2 * which, x + from_ * axis.step * unit, value, y)
        y += alike * width
        p += alike
    return p - at[k]


cdef inline void rows(const Gather* g, const item* from_x, const item* fill, item* to_y, Py_ssize_t first,
                      Py_ssize_t last) noexcept nogil:
    """Rows first .. last - 1 of y."""
    cdef Py_ssize_t before_last = g.head.axes - 2, unit = g.head.unit, width = g.axis[before_last + 1].n * unit
    cdef Py_ssize_t k, which = first
    cdef Py_ssize_t at[AXES]
    cdef const Axis* axis
    cdef const item* x
    cdef int64_t source
    cdef bint inside
    cdef Py_ssize_t pixel = unit * sizeof(item)
    cdef bint past = (g.head.past and sizeof(item) == sizeof(real) and <size_t>to_y % VECTOR_BYTES == 0
                      and width * sizeof(item) % VECTOR_BYTES == 0 and (unit == 1 or pixel % VECTOR_BYTES == 0))
    for k in range(before_last, -1, -1):
        at[k] = which % g.axis[k].n
        which //= g.axis[k].n
    while first < last:
        x = from_x
        inside = True
        for k in range(before_last):
            axis = &g.axis[k]
            source = at[k]
            if axis.table >= 0:
                source = g.plan[axis.table + source + (0 if axis.link < 0 else at[axis.link] * axis.n)]
            inside = inside and source >= 0
            x += source * axis.step * unit
        first += rows_of(g, at, x, inside, fill[0], past, last - first, to_y + first * width)
        at[before_last] = 0
        for k in range(before_last - 1, -1, -1):
            at[k] += 1
            if at[k] < g.axis[k].n:
                break
            at[k] = 0


cdef bint block(const void* plan, const void* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: `share` rows of y."""
    cdef const Header* head = <const Header*>plan
    cdef Gather gather
    cdef const Gather* g = &gather
    cdef const void* x = (<const Streams*>arrays).input[0]
    cdef const void* fill = (<const Streams*>arrays).input[1]
    cdef void* y = (<const Streams*>arrays).output[0]
    cdef Py_ssize_t first = task * head.share, last = min(head.rows, first + head.share), i
    gather.head, gather.axis, gather.plan = head, <const Axis*>(head + 1), <const int64_t*>plan
    for i in range(LANES if head.repeat else 0):
        gather.at[i] = <bits>(i // (head.repeat * head.unit) * head.unit + i % head.unit)
    if head.size == 1:
        rows(g, <const uint8_t*>x, <const uint8_t*>fill, <uint8_t*>y, first, last)
    elif head.size == 2:
        rows(g, <const uint16_t*>x, <const uint16_t*>fill, <uint16_t*>y, first, last)
    elif head.size == 4:
        rows(g, <const uint32_t*>x, <const uint32_t*>fill, <uint32_t*>y, first, last)
    else:
        rows(g, <const uint64_t*>x, <const uint64_t*>fill, <uint64_t*>y, first, last)
    return False


cdef Division divide(void* plan) noexcept nogil:
    """Tasks of `share` rows of y."""
    cdef const Header* head = <const Header*>plan
    return divided(block, (head.rows + head.share - 1) // head.share)


cdef Table table
kernel = offer(&table, NUMBERS, divide)
