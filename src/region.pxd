"""The one parallel region of a call: tasks dealt out to threads in contiguous shares; who is done with its own helps others.

Threads do not get equal parts of a machine: cores differ, and other programs take some of their time. The order in which
tasks are taken changes no result, since none depends on another.
"""
from cython.parallel cimport parallel, prange

from kernel cimport AnyTask, Division
from micro.simd cimport stores_wait

cdef extern from *:
    """
    enum { MOST_SHARES = 128 };         /* with more threads, several begin with the same one */
    typedef struct { Py_ssize_t taken; char apart[128 - sizeof(Py_ssize_t)]; } Share;
    static inline Py_ssize_t share_taken(const Share *s) { return __atomic_load_n(&s->taken, __ATOMIC_RELAXED); }
    static inline Py_ssize_t share_take(Share *s) { return __atomic_fetch_add(&s->taken, 1, __ATOMIC_RELAXED); }
    static inline void share_renew(Share *s) { __atomic_store_n(&s->taken, 0, __ATOMIC_RELAXED); }
    """
    enum: MOST_SHARES
    ctypedef struct Share:              # tasks of it that threads have taken, alone in the lines that these write
        pass
    Py_ssize_t share_taken(const Share* s) nogil
    Py_ssize_t share_take(Share* s) nogil
    void share_renew(Share* s) nogil


cdef inline bint run_all(AnyTask one, const void* geometry, const void* arrays, Py_ssize_t task, Py_ssize_t stop,
                         char* workspace) noexcept nogil:
    cdef bint odd = False
    while task < stop:
        odd |= one(geometry, arrays, task, workspace)
        task += 1
    stores_wait()
    return odd


cdef inline bint run_shares(AnyTask one, const void* geometry, const void* arrays, Py_ssize_t begin, Py_ssize_t tasks,
                            Share* share, Py_ssize_t shares, Py_ssize_t own, char* workspace) noexcept nogil:
    """What is left of `tasks` tasks from `begin` on, beginning with those of share `own`."""
    cdef bint odd = False
    cdef Py_ssize_t i, number, first, size, task
    for i in range(shares):
        number = (own + i) % shares
        first = tasks * number // shares
        size = tasks * (number + 1) // shares - first
        while share_taken(&share[number]) < size:
            task = share_take(&share[number])
            if task < size:
                odd |= one(geometry, arrays, begin + first + task, workspace)
    stores_wait()
    return odd


cdef inline bint run_tasks(const Division* d, const void* geometry, const void* arrays, char* workspace,
                           Py_ssize_t workspace_bytes, int threads) noexcept nogil:
    """All tasks in their rounds, each thread with its piece of the workspace; whether any was odd.

    One thread never touches OpenMP.
    """
    cdef Py_ssize_t number = 0, begin = 0, n = 0, rounds = (d.total + d.tasks - 1) // d.tasks if d.tasks else 0
    cdef Py_ssize_t shares = min(threads, MOST_SHARES), i
    cdef int odd = 0, piece
    cdef Share share[2][MOST_SHARES]        # of this round and of the next
    if threads == 1:
        for number in range(rounds):
            run_all(d.first, geometry, arrays, number * d.firsts, (number + 1) * d.firsts, workspace)
            odd |= run_all(d.one, geometry, arrays, number * d.tasks, min(d.total, (number + 1) * d.tasks), workspace)
        return odd != 0
    for i in range(shares):
        share_renew(&share[0][i])
    with parallel(num_threads=threads):
        for number in range(rounds):
            begin = number * d.tasks
            n = min(d.tasks, d.total - begin)
            if d.firsts:
                for piece in prange(threads, schedule="static", chunksize=1):
                    run_all(d.first, geometry, arrays, number * d.firsts + d.firsts * piece // threads,
                            number * d.firsts + d.firsts * (piece + 1) // threads, workspace + piece * workspace_bytes)
            for piece in prange(threads, schedule="static", chunksize=1):
                share_renew(&share[(number + 1) % 2][piece % shares])
                odd |= run_shares(d.one, geometry, arrays, begin, n, &share[number % 2][0], shares, piece % shares,
                                  workspace + piece * workspace_bytes)
    return odd != 0
