"""What this CPU reaches at most: multiply-adds in registers, and copies. The yardstick of every share of peak.

Every thread works alone on its own registers or buffers until a common deadline, and its rate counts from its own
start: a thread that starts late does not lower the sum. Copies make ordinary stores, as kernels do: memory reads a line
before it is overwritten, which does not count.

Needs    outputs (rates,), a double for each thread: FLOP/s of multiply-adds. Of copies inputs (source,), outputs (rates,
         target), with Peak.nbytes for each thread, a multiple of 256.
Leaves   rates; Bytes/s, read and written, of copies.
Rounds   x <- x / 2 + 1, which tends to 2: no overflow, no denormals.
Costs    the seconds asked for, whole blocks of about 20 microseconds.
"""
from kernel cimport PEAK, AnyTask, Divide, Division, Streams, Table, divided, offer
from libc.string cimport memset
from micro.fields cimport Peak
from micro.simd cimport LANES, NV, REAL_BYTES, real, vec, vec_load, vec_splat, vec_store

cdef extern from *:
    """
    #include <time.h>

    /* Sums in flight, as many as a tile has; SSE, whose tile is small, needs more to hide the latencies of two instructions.
       In two axes, as a tile: gcc unrolls no loop of 24 in full. */
    #define ROWS (MR < 6 ? 6 : MR)
    #define CHAINS (ROWS * NV)

    static double now(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec + 1e-9 * t.tv_nsec;
    }
    """
    enum: ROWS, CHAINS
    double now() nogil

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
    cdef double flops = 0, start = now(), time = start
    cdef int i
    for i in range(CHAINS * LANES):
        left[i] = <real>i / (CHAINS * LANES)
    while time - start < seconds:
        flops += chains(<real>0.5, <real>1.0, left)
        time = now()
    for i in range(CHAINS * LANES):
        if not (left[i] > 1 and left[i] < 3):
            return 0
    return flops / (time - start)


cdef double copy_rate(double seconds, Py_ssize_t numbers, real* source, real* target) noexcept nogil:
    """Bytes/s, read and written, of the calling thread; touches its buffers first, so that they are near it."""
    cdef double copied = 0, start, time
    cdef Py_ssize_t i, times, _round
    memset(source, 0, numbers * REAL_BYTES)
    memset(target, 0, numbers * REAL_BYTES)
    times = 1 + (1 << 18) // numbers
    start = now()
    time = start
    while time - start < seconds:
        for _round in range(times):
            i = 0
            while i < numbers:
                vec_store(target + i, vec_load(source + i))
                vec_store(target + i + LANES, vec_load(source + i + LANES))
                vec_store(target + i + 2 * LANES, vec_load(source + i + 2 * LANES))
                vec_store(target + i + 3 * LANES, vec_load(source + i + 3 * LANES))
                i += 4 * LANES
        copied += 2.0 * times * numbers * REAL_BYTES
        time = now()
    return copied / (time - start)


cdef bint measure(const Peak* p, const Streams* s, Py_ssize_t task, char* _workspace) noexcept nogil:
    """The rate of one thread."""
    cdef double* rate = <double*>s.output[0] + task
    cdef Py_ssize_t numbers = p.nbytes // REAL_BYTES
    if numbers:
        rate[0] = copy_rate(p.seconds, numbers, <real*>s.input[0] + task * numbers, <real*>s.output[1] + task * numbers)
    else:
        rate[0] = chains_rate(p.seconds)
    return False


cdef Division divide(Peak* p) noexcept nogil:
    return divided(<AnyTask>measure, p.threads)


cdef Table table
kernel = offer(&table, PEAK, <Divide>divide)
