"""Lattice: a contiguous array copied to every stride-th place of another, as the phases of a transposed convolution are.

Built once, with baseline flags: it moves single numbers.

Loops, outermost first:
    task        in parallel: equal shares of the rows, a row being the last axis
    row         one copy, of a whole row where its numbers lie side by side

Needs    part contiguous; target of the same shape, any strides, sharing no memory with part; numbers of 4 or 8 bytes.
Leaves   target written in full.
Rounds   nothing.
Costs    one read and one write of each number: bound by memory.
"""
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from kernel cimport Division, divided
from region cimport run_tasks

ctypedef fused item:
    uint32_t
    uint64_t

cdef enum:
    SHARED = 1 << 15            # numbers that are worth a second thread

cdef struct Copy:
    Py_buffer part, target
    Py_ssize_t rows, tasks


cdef inline void copy_row(const item* x, Py_ssize_t n, item* y, Py_ssize_t step) noexcept nogil:
    cdef Py_ssize_t i
    if step == 1:
        memcpy(y, x, n * sizeof(item))
    elif step == 2:
        for i in range(n):
            y[2 * i] = x[i]
    else:
        for i in range(n):
            y[i * step] = x[i]


cdef bint copy_rows(const void* copy, const void* _arrays, Py_ssize_t task, char* _workspace) noexcept nogil:
    """One task: an equal share of all rows."""
    cdef const Copy* c = <const Copy*>copy
    cdef const Py_buffer* target = &c.target
    cdef Py_ssize_t n = target.shape[target.ndim - 1], step = target.strides[target.ndim - 1] // target.itemsize, left
    cdef Py_ssize_t row = c.rows * task // c.tasks, stop = c.rows * (task + 1) // c.tasks
    cdef const char* x
    cdef char* y
    cdef int axis
    while row < stop:
        x = <const char*>c.part.buf + row * n * target.itemsize
        y = <char*>target.buf
        left = row
        for axis in range(target.ndim - 2, -1, -1):
            y += left % target.shape[axis] * target.strides[axis]
            left //= target.shape[axis]
        if target.itemsize == 4:
            copy_row(<const uint32_t*>x, n, <uint32_t*>y, step)
        else:
            copy_row(<const uint64_t*>x, n, <uint64_t*>y, step)
        row += 1
    return False


def place(part, target, int threads, /):
    """target[...] = part."""
    cdef Copy c
    cdef Division d
    cdef int axis
    PyObject_GetBuffer(part, &c.part, PyBUF_C_CONTIGUOUS)
    try:
        PyObject_GetBuffer(target, &c.target, PyBUF_STRIDES | PyBUF_WRITABLE)
        c.rows = 1
        for axis in range(c.target.ndim - 1):
            c.rows *= c.target.shape[axis]
        if c.rows * c.target.shape[c.target.ndim - 1] < SHARED:
            threads = 1
        c.tasks = threads
        d = divided(copy_rows, threads)
        with nogil:
            run_tasks(&d, &c, NULL, NULL, 0, threads)
        PyBuffer_Release(&c.target)
    finally:
        PyBuffer_Release(&c.part)
