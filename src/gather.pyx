"""Gathering: every output item is an input item that tables of its axes point at, or a fill value (pad, nearest, unfold).

Loops, outermost first, and what each block is sized for:
    task        in parallel: a share of the rows of y
    row         found by a table for each axis; a row that repeats the one before it is copied from there, out of L1
    item        a run of neighbours is copied whole, repeated items are woven in with vectors, others come by the table

Needs    x, y contiguous, items of 1, 2, 4 or 8 bytes, or pixels of `unit` such items; the geometry holds
         a Header, an Axis for each axis, and their tables, all int64; distinct buffers. Nothing outside x is read.
Leaves   y written in full.
Rounds   nothing: items are moved as they are.
Costs    one read of x, one write of y: bound by memory.
"""
from kernel cimport NUMBERS, Division, Streams, Table, divided, offer
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy


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

cdef struct Gather:
    const Header* head
    const Axis* axis
    const int64_t* plan


cdef inline void repeat_items(const int r, Py_ssize_t n, const item* x, item* y) noexcept nogil:
    cdef Py_ssize_t i
    cdef int j
    for i in range(n // r):
        for j in range(r):
            y[i * r + j] = x[i]
    for i in range(n // r * r, n):
        y[i] = x[i // r]


cdef inline void by_table(const int64_t* table, const item* x, Py_ssize_t unit, item value, item* y, Py_ssize_t first,
                          Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t q, j
    for q in range(first, last):
        if unit == 1:
            y[q] = x[table[q]] if table[q] >= 0 else value
        elif table[q] >= 0:
            memcpy(y + q * unit, x + table[q] * unit, unit * sizeof(item))
        else:
            for j in range(unit):
                y[q * unit + j] = value


cdef inline void fill_row(item* y, Py_ssize_t n, item value) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = value


cdef inline void row(const Gather* g, const int64_t* table, const int64_t* run, const item* x, item value,
                     item* y) noexcept nogil:
    """One row of y, all of whose items come from one row of x, or are the fill value."""
    cdef Py_ssize_t n = g.axis[g.head.axes - 1].n, unit = g.head.unit
    if table == NULL:
        memcpy(y, x, n * unit * sizeof(item))
    elif g.head.repeat == 2 and unit == 1:
        repeat_items(2, n, x, y)
    elif g.head.repeat == 3 and unit == 1:
        repeat_items(3, n, x, y)
    elif g.head.repeat == 4 and unit == 1:
        repeat_items(4, n, x, y)
    else:
        by_table(table, x, unit, value, y, 0, run[0])
        if run[1] > run[0]:
            memcpy(y + run[0] * unit, x + table[run[0]] * unit, (run[1] - run[0]) * unit * sizeof(item))
        by_table(table, x, unit, value, y, run[1], n)


cdef inline void rows(const Gather* g, const item* from_x, const item* fill, item* to_y, Py_ssize_t first,
                      Py_ssize_t last) noexcept nogil:
    """Rows first .. last - 1 of y."""
    cdef Py_ssize_t last_axis = g.head.axes - 1, width = g.axis[last_axis].n * g.head.unit, k, which
    cdef Py_ssize_t at[AXES]
    cdef const Axis* axis
    cdef const int64_t* table
    cdef const item* x
    cdef const item* before = NULL
    cdef const int64_t* table_before = NULL
    cdef const item* before_y = NULL
    cdef item* y = to_y + first * width
    cdef int64_t source
    cdef bint inside
    which = first
    for k in range(last_axis - 1, -1, -1):
        at[k] = which % g.axis[k].n
        which //= g.axis[k].n
    while first < last:
        x = from_x
        inside = True
        for k in range(last_axis):
            axis = &g.axis[k]
            source = at[k]
            if axis.table >= 0:
                source = g.plan[axis.table + source + (0 if axis.link < 0 else at[axis.link] * axis.n)]
            inside = inside and source >= 0
            x += source * axis.step * g.head.unit
        axis = &g.axis[last_axis]
        which = 0 if axis.link < 0 else at[axis.link]
        table = NULL if axis.table < 0 else g.plan + axis.table + which * axis.n
        if not inside:
            fill_row(y, width, fill[0])
            before_y = NULL
        elif before_y != NULL and x == before and table == table_before:
            memcpy(y, before_y, width * sizeof(item))
        else:
            row(g, table, g.plan + g.head.runs + 2 * which, x, fill[0], y)
            before_y = y
        before = x
        table_before = table
        y += width
        first += 1
        for k in range(last_axis - 1, -1, -1):
            at[k] += 1
            if at[k] < g.axis[k].n:
                break
            at[k] = 0


cdef bint block(const void* plan, const void* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: `share` rows of y."""
    cdef const Header* head = <const Header*>plan
    cdef Gather gather = Gather(head, <const Axis*>(head + 1), <const int64_t*>plan)
    cdef const Gather* g = &gather
    cdef const void* x = (<const Streams*>arrays).input[0]
    cdef const void* fill = (<const Streams*>arrays).input[1]
    cdef void* y = (<const Streams*>arrays).output[0]
    cdef Py_ssize_t first = task * head.share, last = min(head.rows, first + head.share)
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
