"""Rearranging: an array copied into another order of its axes (pixel shuffle and unshuffle, Focus, channel shuffle).

Loops, outermost first, and what each block is sized for:
    task        in parallel: a share of the outer axes, in the order of y
    a b         the axis that lies contiguous in x, and the one that lies contiguous in y; one axis if they are the same.
                r streams of a row are woven into one, or one row is dealt out to r streams, with whole vectors

Needs    x, y contiguous, items of 1, 2, 4 or 8 bytes; distinct buffers. The geometry has the axes of y, with their strides in x.
Leaves   y written in full.
Rounds   nothing: items are moved as they are.
Costs    one read of x, one write of y: bound by memory.
"""
from kernel cimport NUMBERS, AnyTask, Divide, Division, Streams, Table, divided, offer
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy


ctypedef fused item:
    uint8_t
    uint16_t
    uint32_t
    uint64_t

cdef enum:
    AXES = 12                   # more than any call has; resample_tables.REARRANGE_AXES
    EDGE = 16                   # of a block of a transposition

cdef struct Copy:
    Py_ssize_t axes, outer, share           # outer: steps of the outer axes; share: those of one task
    Py_ssize_t size                         # of an item
    Py_ssize_t a, b, x_b, y_a               # extents (a: 1 if b is contiguous in x), strides in items
    Py_ssize_t straight                     # b is contiguous in x
    Py_ssize_t n[AXES]                      # extents of the outer axes
    Py_ssize_t x_step[AXES]                 # strides in bytes
    Py_ssize_t y_step[AXES]


cdef inline void weave(const int r, Py_ssize_t n, const item* x, Py_ssize_t step, item* y) noexcept nogil:
    cdef Py_ssize_t i
    cdef int j
    for i in range(n):
        for j in range(r):
            y[i * r + j] = x[i + j * step]


cdef inline void deal(const int r, Py_ssize_t n, const item* x, item* y, Py_ssize_t step) noexcept nogil:
    cdef Py_ssize_t i
    cdef int j
    for i in range(n):
        for j in range(r):
            y[i + j * step] = x[i * r + j]


cdef inline void transpose(const Copy* c, const item* x, item* y) noexcept nogil:
    """y[i * y_a + j] <- x[i + j * x_b], in blocks of which both sides stay in L1."""
    cdef Py_ssize_t i, j, i0 = 0, j0, i1, j1
    while i0 < c.a:
        i1 = min(c.a, i0 + EDGE)
        j0 = 0
        while j0 < c.b:
            j1 = min(c.b, j0 + EDGE)
            for i in range(i0, i1):
                for j in range(j0, j1):
                    y[i * c.y_a + j] = x[i + j * c.x_b]
            j0 = j1
        i0 = i1


cdef inline void inner(const Copy* c, const item* x, item* y) noexcept nogil:
    cdef Py_ssize_t j
    if c.straight:
        memcpy(y, x, c.b * sizeof(item))
    elif c.a == 1:
        for j in range(c.b):
            y[j] = x[j * c.x_b]
    elif c.y_a == c.b and c.b == 2:
        weave(2, c.a, x, c.x_b, y)
    elif c.y_a == c.b and c.b == 3:
        weave(3, c.a, x, c.x_b, y)
    elif c.y_a == c.b and c.b == 4:
        weave(4, c.a, x, c.x_b, y)
    elif c.x_b == c.a and c.a == 2:
        deal(2, c.b, x, y, c.y_a)
    elif c.x_b == c.a and c.a == 3:
        deal(3, c.b, x, y, c.y_a)
    elif c.x_b == c.a and c.a == 4:
        deal(4, c.b, x, y, c.y_a)
    else:
        transpose(c, x, y)


cdef inline void steps(const Copy* c, const item* from_x, item* to_y, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Outer steps first .. last - 1."""
    cdef Py_ssize_t at[AXES]
    cdef Py_ssize_t left = first, k = c.axes - 1
    cdef const char* x = <const char*>from_x
    cdef char* y = <char*>to_y
    while k >= 0:
        at[k] = left % c.n[k]
        left //= c.n[k]
        x += at[k] * c.x_step[k]
        y += at[k] * c.y_step[k]
        k -= 1
    while first < last:
        inner(c, <const item*>x, <item*>y)
        first += 1
        k = c.axes - 1
        while k >= 0:
            x += c.x_step[k]
            y += c.y_step[k]
            at[k] += 1
            if at[k] < c.n[k]:
                break
            x -= at[k] * c.x_step[k]
            y -= at[k] * c.y_step[k]
            at[k] = 0
            k -= 1


cdef bint block(const void* geometry, const void* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: `share` steps of the outer axes."""
    cdef const Copy* c = <const Copy*>geometry
    cdef const void* x = (<const Streams*>arrays).input[0]
    cdef void* y = (<const Streams*>arrays).output[0]
    cdef Py_ssize_t first = task * c.share, last = min(c.outer, first + c.share)
    if c.size == 1:
        steps(c, <const uint8_t*>x, <uint8_t*>y, first, last)
    elif c.size == 2:
        steps(c, <const uint16_t*>x, <uint16_t*>y, first, last)
    elif c.size == 4:
        steps(c, <const uint32_t*>x, <uint32_t*>y, first, last)
    else:
        steps(c, <const uint64_t*>x, <uint64_t*>y, first, last)
    return False


cdef Division divide(Copy* c) noexcept nogil:
    return divided(<AnyTask>block, (c.outer + c.share - 1) // c.share)


cdef Table table
kernel = offer(&table, NUMBERS, <Divide>divide)
