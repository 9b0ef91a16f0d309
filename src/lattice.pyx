"""Lattice: a contiguous array copied to every stride-th place of another, as the phases of a transposed convolution are.

Loops, outermost first:
    task        in parallel: equal shares of the rows, a row being the last axis
    row         one copy, of a whole row where its numbers lie side by side

Needs    part contiguous; target of the same shape, any strides, sharing no memory with part.
Leaves   target written in full.
Rounds   nothing.
Costs    one read and one write of each number: bound by memory.
"""
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memcpy

from micro.simd cimport REAL_BYTES, real
from region cimport run_shares

cdef enum:
    SHARED = 1 << 15            # numbers that are worth a second thread

cdef struct Copy:
    Py_buffer part, target
    Py_ssize_t rows, tasks


cdef bint copy_rows(const void* copy, const void* _arrays, Py_ssize_t task, char* _workspace) noexcept nogil:
    """One task: an equal share of all rows."""
    cdef const Copy* c = <const Copy*>copy
    cdef const Py_buffer* target = &c.target
    cdef Py_ssize_t n = target.shape[target.ndim - 1], step = target.strides[target.ndim - 1] // REAL_BYTES, left, i
    cdef Py_ssize_t row = c.rows * task // c.tasks, stop = c.rows * (task + 1) // c.tasks
    cdef const real* part = <const real*>c.part.buf + row * n
    cdef real* y
    cdef int axis
    while row < stop:
        y = <real*>target.buf
        left = row
        for axis in range(target.ndim - 2, -1, -1):
            y += left % target.shape[axis] * (target.strides[axis] // REAL_BYTES)
            left //= target.shape[axis]
        if step == 1:
            memcpy(y, part, n * sizeof(real))
        elif step == 2:
            for i in range(n):
                y[2 * i] = part[i]
        else:
            for i in range(n):
                y[i * step] = part[i]
        part += n
        row += 1
    return False


def place(part, target, int threads, /):
    """target[...] = part."""
    cdef Copy c
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
        with nogil:
            run_shares(copy_rows, &c, NULL, threads, NULL, 0, threads)
        PyBuffer_Release(&c.target)
    finally:
        PyBuffer_Release(&c.part)
