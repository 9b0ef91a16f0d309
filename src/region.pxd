"""The one parallel region of a call: tasks dealt out to threads in contiguous shares."""
from cython.parallel cimport prange

from arrays cimport Arrays, arrays_open, arrays_release
from micro.geometry cimport Geometry

# Computes task number `task` of what `geometry` and `arrays` describe with a workspace of its thread alone; returns
# whether something odd was met: in a convolution a sum that was NaN or infinite.
ctypedef bint (*AnyTask)(const void* geometry, const void* arrays, Py_ssize_t task, char* workspace) noexcept nogil
ctypedef bint (*Task)(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil


cdef inline bint run_share(AnyTask one, const void* geometry, const void* arrays, Py_ssize_t task, Py_ssize_t stop,
                           char* workspace) noexcept nogil:
    cdef bint odd = False
    while task < stop:
        odd |= one(geometry, arrays, task, workspace)
        task += 1
    return odd


cdef inline bint run_shares(AnyTask one, const void* geometry, const void* arrays, Py_ssize_t tasks, char* workspace,
                            Py_ssize_t workspace_bytes, int threads) noexcept nogil:
    """All tasks, each thread with its piece of the workspace; whether any was odd. One thread never touches OpenMP."""
    cdef int odd = 0, piece
    if threads == 1:
        return run_share(one, geometry, arrays, 0, tasks, workspace)
    for piece in prange(threads, num_threads=threads, schedule="static", chunksize=1):
        odd |= run_share(one, geometry, arrays, tasks * piece // threads, tasks * (piece + 1) // threads,
                         workspace + piece * workspace_bytes)
    return odd != 0


cdef inline bint run_tasks(Task one, Geometry* g, Py_ssize_t tasks, const double* constants, x, w, bias, residual, y,
                           int threads) except? True:
    """Hold the arrays of a convolution, compute all tasks; whether a sum was NaN or infinite."""
    cdef Arrays a
    cdef bint odd
    a.constants = constants
    arrays_open(&a, g, x, w, bias, residual, y, threads)
    with nogil:
        odd = run_shares(<AnyTask>one, g, &a, tasks, a.workspace, g.workspace, threads)
    arrays_release(&a)
    return odd
