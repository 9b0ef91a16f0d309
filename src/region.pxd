"""The one parallel region of a call: tasks dealt out to threads in contiguous shares."""
from cython.parallel cimport parallel, prange

from arrays cimport Arrays, arrays_open, arrays_release
from micro.geometry cimport Geometry, padded
from micro.simd cimport stores_wait

# Computes task number `task` of what `geometry` and `arrays` describe with a workspace of its thread alone; returns
# whether something odd was met: in a convolution a sum that was NaN or infinite.
ctypedef bint (*AnyTask)(const void* geometry, const void* arrays, Py_ssize_t task, char* workspace) noexcept nogil
ctypedef bint (*Task)(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil

cdef extern from *:
    """
    #define TASK "fastconv.kernels.Task"        /* name of a capsule that holds one */
    """
    const char* TASK


cdef inline bint run_share(AnyTask one, const void* geometry, const void* arrays, Py_ssize_t task, Py_ssize_t stop,
                           char* workspace) noexcept nogil:
    cdef bint odd = False
    while task < stop:
        odd |= one(geometry, arrays, task, workspace)
        task += 1
    stores_wait()
    return odd


cdef inline bint run_rounds(AnyTask first, Py_ssize_t firsts, AnyTask one, const void* geometry, const void* arrays,
                            Py_ssize_t tasks, Py_ssize_t total, char* workspace, Py_ssize_t workspace_bytes,
                            int threads) noexcept nogil:
    """`total` tasks in rounds of `tasks`, each thread with its piece of the workspace; whether any was odd.

    Before each round `firsts` other tasks prepare what it reads. One thread never touches OpenMP.
    """
    cdef Py_ssize_t number = 0, begin = 0, n = 0, rounds = (total + tasks - 1) // tasks if tasks else 0
    cdef int odd = 0, piece
    if threads == 1:
        for number in range(rounds):
            run_share(first, geometry, arrays, number * firsts, (number + 1) * firsts, workspace)
            odd |= run_share(one, geometry, arrays, number * tasks, min(total, (number + 1) * tasks), workspace)
        return odd != 0
    with parallel(num_threads=threads):
        for number in range(rounds):
            begin = number * tasks
            n = min(tasks, total - begin)
            if firsts:
                for piece in prange(threads, schedule="static", chunksize=1):
                    run_share(first, geometry, arrays, number * firsts + firsts * piece // threads,
                              number * firsts + firsts * (piece + 1) // threads, workspace + piece * workspace_bytes)
            for piece in prange(threads, schedule="static", chunksize=1):
                odd |= run_share(one, geometry, arrays, begin + n * piece // threads, begin + n * (piece + 1) // threads,
                                 workspace + piece * workspace_bytes)
    return odd != 0


cdef inline bint run_shares(AnyTask one, const void* geometry, const void* arrays, Py_ssize_t tasks, char* workspace,
                            Py_ssize_t workspace_bytes, int threads) noexcept nogil:
    """All tasks in one round."""
    return run_rounds(NULL, 0, one, geometry, arrays, tasks, tasks, workspace, workspace_bytes, threads)


cdef inline bint run_tasks(Task one, Geometry* g, Py_ssize_t tasks, const double* constants, x, w, bias, residual, y,
                           int threads, Task first=NULL, Py_ssize_t firsts=0, Py_ssize_t total=0, more=None,
                           last=None) except? True:
    """Hold the arrays of a convolution, compute all tasks; whether a sum was NaN or infinite.

    With `first`, in rounds of `tasks` up to `total`, `firsts` tasks that fill Arrays.shared before each. `more` and
    `last` are held too.
    """
    cdef Arrays a
    cdef bint odd
    a.constants = constants
    arrays_open(&a, g, x, w, bias, residual, y, threads, more, last)
    with nogil:
        odd = run_rounds(<AnyTask>first, firsts, <AnyTask>one, g, &a, tasks, total if first != NULL else tasks, a.workspace,
                         g.workspace, threads)
    arrays_release(&a)
    return odd


cdef inline int pack_tasks(Task one, Geometry* g, Py_ssize_t tasks, const double* constants, w, packed, int threads,
                           Py_ssize_t workspace=0) except -1:
    """All tasks of packing `w` (Arrays.w) into `packed` (Arrays.y), each with `workspace` bytes of its thread."""
    g.shared = 0
    g.workspace = padded(workspace, 64)
    run_tasks(one, g, tasks, constants, w, w, None, None, packed, threads)
    return 0
