"""What this CPU reaches at most: multiply-adds in registers, and copies. The yardstick of every share of peak.

Every thread works alone on its own registers or buffers until a common deadline, and its rate counts from its own
start: a thread that starts late does not lower the sum.

Needs    nothing.
Leaves   nothing.
Rounds   x <- x / 2 + 1, which tends to 2: no overflow, no denormals.
Costs    the seconds asked for, whole blocks of about 20 microseconds.
"""
from cython.parallel cimport prange
from libc.stdlib cimport free
from libc.string cimport memset
from micro.simd cimport LANES, NV, REAL_BYTES, real, vec, vec_load, vec_splat, vec_store

cdef extern from "stdlib.h" nogil:
    int posix_memalign(void** p, size_t alignment, size_t size)

cdef extern from "omp.h" nogil:
    double omp_get_wtime()

cdef extern from *:
    """
    /* Sums in flight, as many as a tile has; SSE, whose tile is small, needs more to hide the latencies of two instructions.
       In two axes, as a tile: gcc unrolls no loop of 24 in full. */
    #define ROWS (MR < 6 ? 6 : MR)
    #define CHAINS (ROWS * NV)

    #ifdef __clang__
    #define COMPILER __VERSION__
    #else
    #define COMPILER "gcc " __VERSION__
    #endif
    """
    const char* COMPILER
    enum: ROWS, CHAINS

cdef enum:
    STEPS = 4096


cdef inline double chains(real half, real one, real* left) noexcept nogil:
    """STEPS multiply-adds on each of CHAINS vectors, which nothing but registers holds; returns their FLOPs."""
    cdef vec acc[ROWS][NV]
    cdef vec b = vec_splat(half), c = vec_splat(one)
    cdef int i, j, _step
    for i in range(ROWS):
        for j in range(NV):
            acc[i][j] = vec_load(left + (i * NV + j) * LANES)
    for _step in range(STEPS):
        for i in range(ROWS):
            for j in range(NV):
                acc[i][j] = acc[i][j] * b + c
    for i in range(ROWS):
        for j in range(NV):
            vec_store(left + (i * NV + j) * LANES, acc[i][j])
    return 2.0 * STEPS * CHAINS * LANES


cdef double chains_rate(double seconds) noexcept nogil:
    """FLOP/s of the calling thread; 0 if the sums did not stay where they belong."""
    cdef real left[CHAINS * LANES]
    cdef double flops = 0, start = omp_get_wtime(), now = start
    cdef int i
    for i in range(CHAINS * LANES):
        left[i] = <real>i / (CHAINS * LANES)
    while now - start < seconds:
        flops += chains(<real>0.5, <real>1.0, left)
        now = omp_get_wtime()
    for i in range(CHAINS * LANES):
        if not (left[i] > 1 and left[i] < 3):
            return 0
    return flops / (now - start)


cdef double copy_rate(double seconds, Py_ssize_t numbers, real* source, real* target) noexcept nogil:
    """Bytes/s, read and written, of the calling thread; touches its buffers first, so that they are near it."""
    cdef double copied = 0, start, now
    cdef Py_ssize_t i, times, _round
    memset(source, 0, numbers * REAL_BYTES)
    memset(target, 0, numbers * REAL_BYTES)
    times = 1 + (1 << 18) // numbers
    start = omp_get_wtime()
    now = start
    while now - start < seconds:
        for _round in range(times):
            i = 0
            while i < numbers:
                vec_store(target + i, vec_load(source + i))
                vec_store(target + i + LANES, vec_load(source + i + LANES))
                vec_store(target + i + 2 * LANES, vec_load(source + i + 2 * LANES))
                vec_store(target + i + 3 * LANES, vec_load(source + i + 3 * LANES))
                i += 4 * LANES
        copied += 2.0 * times * numbers * REAL_BYTES
        now = omp_get_wtime()
    return copied / (now - start)


def fma(double seconds, int threads, /):
    """FLOP/s of multiply-adds on whole vectors in registers, `threads` threads together."""
    cdef double rate = 0
    cdef int _thread
    if threads == 1:
        return chains_rate(seconds)
    for _thread in prange(threads, num_threads=threads, schedule="static", chunksize=1, nogil=True):
        rate += chains_rate(seconds)
    return rate


def copy(double seconds, int threads, Py_ssize_t nbytes, /):
    """Bytes/s of copying buffers of `nbytes`, one pair for each thread; bytes read and bytes written both count.

    Ordinary stores, as kernels write: memory reads a line before it is overwritten, which does not count.
    """
    cdef Py_ssize_t numbers = max(1, nbytes // (4 * LANES * REAL_BYTES)) * 4 * LANES
    cdef double rate = 0
    cdef char* buffers = NULL
    cdef int thread
    if posix_memalign(<void**>&buffers, 4096, 2 * numbers * REAL_BYTES * threads):
        raise MemoryError(f"no memory for {threads} pairs of buffers of {nbytes} bytes")
    if threads == 1:
        rate = copy_rate(seconds, numbers, <real*>buffers, <real*>buffers + numbers)
    else:
        for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1, nogil=True):
            rate += copy_rate(seconds, numbers, <real*>buffers + 2 * numbers * thread,
                              <real*>buffers + 2 * numbers * thread + numbers)
    free(buffers)
    return rate


def compiler():
    """Name and version of the C compiler that built this module."""
    return COMPILER.decode()
