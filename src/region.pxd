"""The one parallel region of a call: tasks dealt out to threads in contiguous shares."""
from cython.parallel cimport prange

from arrays cimport Arrays, arrays_open, arrays_release
from micro.geometry cimport Geometry

# Computes task number `task` with a workspace of Geometry.workspace bytes; returns whether a sum was NaN or infinite.
ctypedef bint (*Task)(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil


cdef inline bint run_share(Task one, const Geometry* g, const Arrays* a, Py_ssize_t task, Py_ssize_t stop,
                           char* workspace) noexcept nogil:
    cdef bint odd = False
    while task < stop:
        odd |= one(g, a, task, workspace)
        task += 1
    return odd


cdef inline bint run_tasks(Task one, Geometry* g, Py_ssize_t tasks, const double* constants, x, w, bias, residual, y,
                           int threads) except? True:
    """Hold the arrays, compute all tasks; whether a sum was NaN or infinite. One thread never touches OpenMP."""
    cdef Arrays a
    a.constants = constants
    cdef int odd = 0, piece
    arrays_open(&a, g, x, w, bias, residual, y, threads)
    with nogil:
        if threads == 1:
            odd = run_share(one, g, &a, 0, tasks, a.workspace)
        else:
            for piece in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                odd |= run_share(one, g, &a, tasks * piece // threads, tasks * (piece + 1) // threads,
                                 a.workspace + piece * g.workspace)
    arrays_release(&a)
    return odd != 0
