"""The register tile: m rows x nv vectors of sums of outer products.

        b[0 .. nv)              panel row k: nv vectors
      +-----------+
   a  |           |   a[i]      multiplier of row i at k, broadcast
      |  sum[i,j] |   sum[i,j] += a[i] * b[j]
      +-----------+

Sums live in memory as (m, NR) numbers; `first` starts them at zero, else they go on from there: cutting a sum into
chunks does not change one bit of it.
"""
from micro.simd cimport LANES, MR, NR, NV, prefetch, real, vec, vec_load, vec_store, vec_zero


cdef inline void tile_multiply(const int m, const int nv, Py_ssize_t n, const real* a, const real* b,
                               Py_ssize_t width, real* total, bint first) noexcept nogil:
    """total[i, :] += sum over k < n of a[k, i] * b[k, :]; a is (n, MR), rows of b are `width` apart."""
    cdef vec acc[MR][NV]
    cdef vec row[NV]
    cdef Py_ssize_t _k
    cdef int i, j
    for i in range(m):
        for j in range(nv):
            acc[i][j] = vec_zero() if first else vec_load(total + i * NR + j * LANES)
    for _k in range(n):
        for j in range(nv):
            row[j] = vec_load(b + j * LANES)
        for i in range(m):
            for j in range(nv):
                acc[i][j] = acc[i][j] + a[i] * row[j]
        a += MR
        b += width
    for i in range(m):
        for j in range(nv):
            vec_store(total + i * NR + j * LANES, acc[i][j])


cdef inline void tile_multiply_rows(const int m, const int nv, Py_ssize_t runs, Py_ssize_t n, const real** a,
                                    Py_ssize_t stride, const char* live, Py_ssize_t live_stride, const real* b,
                                    const real* ahead, real* total, bint first) noexcept nogil:
    """The same with multipliers where they lie: run u of row i is a[u * stride + i][0 .. n), b is (runs, n, NR).

    Runs with live[u * live_stride] == 0 hold nothing but zero padding and are passed over. From `ahead` on, one vector
    for each step of the sum is fetched into the cache.
    """
    cdef vec acc[MR][NV]
    cdef vec row[NV]
    cdef const real* run[MR]
    cdef Py_ssize_t k, u
    cdef int i, j
    for i in range(m):
        for j in range(nv):
            acc[i][j] = vec_zero() if first else vec_load(total + i * NR + j * LANES)
    for u in range(runs):
        if live[u * live_stride]:
            for i in range(m):
                run[i] = a[u * stride + i]
            for k in range(n):
                for j in range(nv):
                    row[j] = vec_load(b + k * NR + j * LANES)
                prefetch(ahead + k * LANES)
                for i in range(m):
                    for j in range(nv):
                        acc[i][j] = acc[i][j] + run[i][k] * row[j]
        b += n * NR
        ahead += n * LANES
    for i in range(m):
        for j in range(nv):
            vec_store(total + i * NR + j * LANES, acc[i][j])
