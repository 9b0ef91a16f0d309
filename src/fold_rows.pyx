"""Fold: overlapping windows of an image summed back into the image.

Loops, outermost first, and what each block is sized for:
    task        in parallel: one row of one plane of y       stays in L1 while all windows that reach it are added
    r s         taps of the window, each a row of x: contiguous in x; in y contiguous too for stride 1

Needs    x (M, R, S, P, Q), y (M, H, W) contiguous; distinct buffers. Windows in the padding are passed over.
Leaves   y written in full.
Rounds   one addition for each window, in order r, s.
Costs    one read of x, one write of y: bound by memory.
"""
from kernel cimport FOLD, Division, Streams, Table, divided, offer
from micro.fields cimport Fold
from micro.simd cimport real


cdef inline void add(const real* x, Py_ssize_t n, real* y, Py_ssize_t step) noexcept nogil:
    cdef Py_ssize_t q
    for q in range(n):
        y[q * step] += x[q]


cdef bint block(const void* fields, const void* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: a row of y."""
    cdef const Fold* f = <const Fold*>fields
    cdef const real* all_x = <const real*>(<const Streams*>arrays).input[0]
    cdef Py_ssize_t m = task // f.H, h = task % f.H, r, s, p, w, first, last
    cdef real* y = <real*>(<const Streams*>arrays).output[0] + task * f.W
    cdef const real* x
    for w in range(f.W):
        y[w] = 0
    for r in range(f.R):
        p = h + f.pad_h - r * f.dilation_h
        if p < 0 or p % f.stride_h or p // f.stride_h >= f.P:
            continue
        p //= f.stride_h
        for s in range(f.S):
            w = s * f.dilation_w - f.pad_w          # of the window q = 0
            first = 0 if w >= 0 else (-w + f.stride_w - 1) // f.stride_w
            last = 0 if w >= f.W else min(f.Q, (f.W - 1 - w) // f.stride_w + 1)
            if first < last:
                x = all_x + (((m * f.R + r) * f.S + s) * f.P + p) * f.Q + first
                if f.stride_w == 1:
                    add(x, last - first, y + w + first, 1)
                else:
                    add(x, last - first, y + w + first * f.stride_w, f.stride_w)
    return False


cdef Division divide(void* fields) noexcept nogil:
    cdef const Fold* f = <const Fold*>fields
    return divided(block, f.M * f.H)


cdef Table table
kernel = offer(&table, FOLD, divide)
