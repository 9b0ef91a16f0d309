"""Rearranging: an array copied into another order of its axes (pixel shuffle and unshuffle, Focus, channel shuffle).

Loops, outermost first, and what each block is sized for:
    task        in parallel: a share of the outer axes, in the order of y
    block       a step of the outer axes: the items that lie side by side in x or in y, so that lines of both are met once:
                runs (a few stretches of x laid one behind the other), a weave (streams of x become one of y, item by item),
                a deal (one stream of x becomes several of y), else a transposition in squares

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
    STREAMS = 16                # of a block; resample_tables.STREAMS
    EDGE = 16                   # of a square of a transposition

cdef enum Kind:                 # in the order of resample_tables.REARRANGE_BLOCKS
    RUNS                        # y[s * n + i] <- x[at[s] + i]
    WEAVE                       # y[i * streams + s] <- x[at[s] + i]
    DEAL                        # y[at[s] + i] <- x[i * streams + s]
    TRANSPOSE                   # y[i * y_n + s] <- x[s * x_s + i]

cdef struct Copy:
    Py_ssize_t axes, outer, share           # outer: steps of the outer axes; share: those of one task
    Py_ssize_t size                         # of an item
    Py_ssize_t kind, n, streams, x_s, y_n   # of a block; strides in items
    Py_ssize_t at[STREAMS]                  # where each stream begins, in items
    Py_ssize_t n_outer[AXES]                # extents of the outer axes, one at least
    Py_ssize_t x_step[AXES]                 # strides in bytes
    Py_ssize_t y_step[AXES]


cdef inline void runs(const int n, const Copy* c, const item* x, item* y) noexcept nogil:
    """n: c.n if it is a constant, 0 if not."""
    cdef Py_ssize_t s
    cdef int i
    for s in range(c.streams):
        if n:
            for i in range(n):
                y[s * n + i] = x[c.at[s] + i]
        else:
            memcpy(y + s * c.n, x + c.at[s], c.n * sizeof(item))


cdef inline void weave(const int streams, const Copy* c, const item* x, item* y) noexcept nogil:
    """streams: c.streams if it is a constant, 0 if not."""
    cdef Py_ssize_t at[STREAMS]
    cdef Py_ssize_t i, k
    cdef int s
    for s in range(streams):
        at[s] = c.at[s]
    if streams:
        for i in range(c.n):
            for s in range(streams):
                y[i * streams + s] = x[i + at[s]]
    else:
        for k in range(c.streams):
            for i in range(c.n):
                y[i * c.streams + k] = x[i + c.at[k]]


cdef inline void deal(const int streams, const Copy* c, const item* x, item* y) noexcept nogil:
    """streams: c.streams if it is a constant, 0 if not."""
    cdef Py_ssize_t at[STREAMS]
    cdef Py_ssize_t i, k
    cdef int s
    for s in range(streams):
        at[s] = c.at[s]
    if streams:
        for i in range(c.n):
            for s in range(streams):
                y[i + at[s]] = x[i * streams + s]
    else:
        for k in range(c.streams):
            for i in range(c.n):
                y[i + c.at[k]] = x[i * c.streams + k]


cdef inline void transpose(const Copy* c, const item* x, item* y) noexcept nogil:
    """In squares of which both sides stay in L1."""
    cdef Py_ssize_t i, j, i0 = 0, j0, i1, j1
    while i0 < c.n:
        i1 = min(c.n, i0 + EDGE)
        j0 = 0
        while j0 < c.streams:
            j1 = min(c.streams, j0 + EDGE)
            for i in range(i0, i1):
                for j in range(j0, j1):
                    y[i * c.y_n + j] = x[i + j * c.x_s]
            j0 = j1
        i0 = i1


cdef inline void blocks(const int kind, const int few, const Copy* c, const item* x, item* y, Py_ssize_t times) noexcept nogil:
    """`times` blocks along the last outer axis; few: their n or streams if constant, 0 if not."""
    while times:
        if kind == RUNS:
            runs(few, c, x, y)
        elif kind == WEAVE:
            weave(few, c, x, y)
        elif kind == DEAL:
            deal(few, c, x, y)
        else:
            transpose(c, x, y)
        x = <const item*>(<const char*>x + c.x_step[c.axes - 1])
        y = <item*>(<char*>y + c.y_step[c.axes - 1])
        times -= 1


cdef inline void copy_blocks(const Copy* c, const item* x, item* y, Py_ssize_t times) noexcept nogil:
    """blocks, with what upscale factors of 2 to 4, and 8 groups of channels, need as constants."""
    if c.kind == RUNS:
        if c.n == 1:
            blocks(RUNS, 1, c, x, y, times)
        elif c.n == 2:
            blocks(RUNS, 2, c, x, y, times)
        elif c.n == 3:
            blocks(RUNS, 3, c, x, y, times)
        elif c.n == 4:
            blocks(RUNS, 4, c, x, y, times)
        else:
            blocks(RUNS, 0, c, x, y, times)
    elif c.kind == WEAVE:
        if c.streams == 2:
            blocks(WEAVE, 2, c, x, y, times)
        elif c.streams == 3:
            blocks(WEAVE, 3, c, x, y, times)
        elif c.streams == 4:
            blocks(WEAVE, 4, c, x, y, times)
        elif c.streams == 8:
            blocks(WEAVE, 8, c, x, y, times)
        elif c.streams == 9:
            blocks(WEAVE, 9, c, x, y, times)
        elif c.streams == 16:
            blocks(WEAVE, 16, c, x, y, times)
        else:
            blocks(WEAVE, 0, c, x, y, times)
    elif c.kind == DEAL:
        if c.streams == 2:
            blocks(DEAL, 2, c, x, y, times)
        elif c.streams == 3:
            blocks(DEAL, 3, c, x, y, times)
        elif c.streams == 4:
            blocks(DEAL, 4, c, x, y, times)
        elif c.streams == 9:
            blocks(DEAL, 9, c, x, y, times)
        elif c.streams == 16:
            blocks(DEAL, 16, c, x, y, times)
        else:
            blocks(DEAL, 0, c, x, y, times)
    else:
        blocks(TRANSPOSE, 0, c, x, y, times)


cdef inline void steps(const Copy* c, const item* from_x, item* to_y, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Outer steps first .. last - 1."""
    cdef Py_ssize_t at[AXES]
    cdef Py_ssize_t left = first, times, k = c.axes - 1
    cdef const char* x = <const char*>from_x
    cdef char* y = <char*>to_y
    while k >= 0:
        at[k] = left % c.n_outer[k]
        left //= c.n_outer[k]
        x += at[k] * c.x_step[k]
        y += at[k] * c.y_step[k]
        k -= 1
    while first < last:
        k = c.axes - 1
        times = min(c.n_outer[k] - at[k], last - first)
        copy_blocks(c, <const item*>x, <item*>y, times)
        first += times
        x += (times - 1) * c.x_step[k]
        y += (times - 1) * c.y_step[k]
        at[k] += times - 1
        while k >= 0:
            x += c.x_step[k]
            y += c.y_step[k]
            at[k] += 1
            if at[k] < c.n_outer[k]:
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
