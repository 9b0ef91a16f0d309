"""The one parallel region of a call: tasks dealt out to threads in contiguous shares."""
from cython.parallel cimport parallel, prange

from kernel cimport AnyTask, Division
from micro.simd cimport stores_wait


cdef inline bint run_share(AnyTask one, const void* geometry, const void* arrays, Py_ssize_t task, Py_ssize_t stop,
                           char* workspace) noexcept nogil:
    cdef bint odd = False
    while task < stop:
        odd |= one(geometry, arrays, task, workspace)
        task += 1
    stores_wait()
    return odd


cdef inline bint run_tasks(const Division* d, const void* geometry, const void* arrays, char* workspace,
                           Py_ssize_t workspace_bytes, int threads) noexcept nogil:
    """All tasks in their rounds, each thread with its piece of the workspace; whether any was odd.

    One thread never touches OpenMP.
    """
    cdef Py_ssize_t number = 0, begin = 0, n = 0, rounds = (d.total + d.tasks - 1) // d.tasks if d.tasks else 0
    cdef int odd = 0, piece
    if threads == 1:
        for number in range(rounds):
            run_share(d.first, geometry, arrays, number * d.firsts, (number + 1) * d.firsts, workspace)
            odd |= run_share(d.one, geometry, arrays, number * d.tasks, min(d.total, (number + 1) * d.tasks), workspace)
        return odd != 0
    with parallel(num_threads=threads):
        for number in range(rounds):
            begin = number * d.tasks
            n = min(d.tasks, d.total - begin)
            if d.firsts:
                for piece in prange(threads, schedule="static", chunksize=1):
                    run_share(d.first, geometry, arrays, number * d.firsts + d.firsts * piece // threads,
                              number * d.firsts + d.firsts * (piece + 1) // threads, workspace + piece * workspace_bytes)
            for piece in prange(threads, schedule="static", chunksize=1):
                odd |= run_share(d.one, geometry, arrays, begin + n * piece // threads, begin + n * (piece + 1) // threads,
                                 workspace + piece * workspace_bytes)
    return odd != 0
