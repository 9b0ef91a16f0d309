"""The one parallel region of a call: tasks dealt out to threads in contiguous shares."""
from cython.parallel cimport parallel, prange

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


cdef inline bint run_rounds(Task first, Py_ssize_t firsts, Task one, Geometry* g, Py_ssize_t tasks, Py_ssize_t total,
                            const double* constants, x, w, bias, residual, y, int threads, tuple more) except? True:
    """run_tasks in rounds of `tasks`, up to `total`; before each round `firsts` other tasks fill Arrays.shared.

    `more` arrays are held too.
    """
    cdef Arrays a
    a.constants = constants
    cdef Py_ssize_t number = 0, begin = 0, n = 0
    cdef int odd = 0, piece
    arrays_open(&a, g, x, w, bias, residual, y, threads, more)
    with nogil:
        if threads == 1:
            for number in range((total + tasks - 1) // tasks):
                run_share(first, g, &a, number * firsts, (number + 1) * firsts, a.workspace)
                odd |= run_share(one, g, &a, number * tasks, min(total, (number + 1) * tasks), a.workspace)
        else:
            with parallel(num_threads=threads):
                for number in range((total + tasks - 1) // tasks):
                    begin = number * tasks
                    n = min(tasks, total - begin)
                    if firsts:
                        for piece in prange(threads, schedule="static", chunksize=1):
                            run_share(first, g, &a, number * firsts + firsts * piece // threads,
                                      number * firsts + firsts * (piece + 1) // threads, a.workspace + piece * g.workspace)
                    for piece in prange(threads, schedule="static", chunksize=1):
                        odd |= run_share(one, g, &a, begin + n * piece // threads, begin + n * (piece + 1) // threads,
                                         a.workspace + piece * g.workspace)
    arrays_release(&a)
    return odd != 0


cdef inline bint run_tasks(Task one, Geometry* g, Py_ssize_t tasks, const double* constants, x, w, bias, residual, y,
                           int threads) except? True:
    """Hold the arrays, compute all tasks; whether a sum was NaN or infinite. One thread never touches OpenMP."""
    return run_rounds(NULL, 0, one, g, max(tasks, <Py_ssize_t>1), tasks, constants, x, w, bias, residual, y, threads, ())
