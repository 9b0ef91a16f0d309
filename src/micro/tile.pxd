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


cdef inline void tile_multiply_scattered(const int m, const int nv, Py_ssize_t n, const real* a, const real** b,
                                         Py_ssize_t offset, real* total) noexcept nogil:
    """total[i, :] = sum over k < n of a[k, i] * b[k][offset ..]; a is (n, MR)."""
    cdef vec acc[MR][NV]
    cdef vec row[NV]
    cdef Py_ssize_t k
    cdef int i, j
    for i in range(m):
        for j in range(nv):
            acc[i][j] = vec_zero()
    for k in range(n):
        for j in range(nv):
            row[j] = vec_load(b[k] + offset + j * LANES)
        for i in range(m):
            for j in range(nv):
                acc[i][j] = acc[i][j] + a[i] * row[j]
        a += MR
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


cdef inline void m_tile_multiply(int m, const int nv, Py_ssize_t n, const real* a, const real* b, Py_ssize_t width,
                                 real* total, bint first) noexcept nogil:
    """tile_multiply, compiled for each m so that every tile lives in registers."""
    if m == MR:
        tile_multiply(MR, nv, n, a, b, width, total, first)
    elif m == 1:
        tile_multiply(1, nv, n, a, b, width, total, first)
    elif m == 2:
        tile_multiply(2, nv, n, a, b, width, total, first)
    elif m == 3:
        tile_multiply(3, nv, n, a, b, width, total, first)
    elif MR > 4 and m == 4:
        tile_multiply(4, nv, n, a, b, width, total, first)
    elif MR > 5 and m == 5:
        tile_multiply(5, nv, n, a, b, width, total, first)
    elif MR > 6 and m == 6:
        tile_multiply(6, nv, n, a, b, width, total, first)
    elif MR > 7 and m == 7:
        tile_multiply(7, nv, n, a, b, width, total, first)
    elif MR > 8 and m == 8:
        tile_multiply(8, nv, n, a, b, width, total, first)
    elif MR > 9 and m == 9:
        tile_multiply(9, nv, n, a, b, width, total, first)
    elif MR > 10 and m == 10:
        tile_multiply(10, nv, n, a, b, width, total, first)
    elif MR > 11 and m == 11:
        tile_multiply(11, nv, n, a, b, width, total, first)


cdef inline void any_tile_multiply(int m, int nv, Py_ssize_t n, const real* a, const real* b, Py_ssize_t width,
                                   real* total, bint first) noexcept nogil:
    """tile_multiply for any 1 <= m <= MR, 1 <= nv <= NV. To be wrapped once in each module: it is large."""
    if nv == 1:
        m_tile_multiply(m, 1, n, a, b, width, total, first)
    elif nv == 2 or NV == 2:
        m_tile_multiply(m, 2, n, a, b, width, total, first)
    else:
        m_tile_multiply(m, NV, n, a, b, width, total, first)


cdef inline void m_tile_multiply_rows(int m, const int nv, Py_ssize_t runs, Py_ssize_t n, const real** a,
                                      Py_ssize_t stride, const char* live, Py_ssize_t live_stride, const real* b,
                                      const real* ahead, real* total, bint first) noexcept nogil:
    """tile_multiply_rows, compiled for each m."""
    if m == MR:
        tile_multiply_rows(MR, nv, runs, n, a, stride, live, live_stride, b, ahead, total, first)
    elif m == 1:
        tile_multiply_rows(1, nv, runs, n, a, stride, live, live_stride, b, ahead, total, first)
    elif m == 2:
        tile_multiply_rows(2, nv, runs, n, a, stride, live, live_stride, b, ahead, total, first)
    elif m == 3:
        tile_multiply_rows(3, nv, runs, n, a, stride, live, live_stride, b, ahead, total, first)
    elif MR > 4 and m == 4:
        tile_multiply_rows(4, nv, runs, n, a, stride, live, live_stride, b, ahead, total, first)
    elif MR > 5 and m == 5:
        tile_multiply_rows(5, nv, runs, n, a, stride, live, live_stride, b, ahead, total, first)
    elif MR > 6 and m == 6:
        tile_multiply_rows(6, nv, runs, n, a, stride, live, live_stride, b, ahead, total, first)
    elif MR > 7 and m == 7:
        tile_multiply_rows(7, nv, runs, n, a, stride, live, live_stride, b, ahead, total, first)
    elif MR > 8 and m == 8:
        tile_multiply_rows(8, nv, runs, n, a, stride, live, live_stride, b, ahead, total, first)
    elif MR > 9 and m == 9:
        tile_multiply_rows(9, nv, runs, n, a, stride, live, live_stride, b, ahead, total, first)
    elif MR > 10 and m == 10:
        tile_multiply_rows(10, nv, runs, n, a, stride, live, live_stride, b, ahead, total, first)
    elif MR > 11 and m == 11:
        tile_multiply_rows(11, nv, runs, n, a, stride, live, live_stride, b, ahead, total, first)


cdef inline void any_tile_multiply_rows(int m, int nv, Py_ssize_t runs, Py_ssize_t n, const real** a,
                                        Py_ssize_t stride, const char* live, Py_ssize_t live_stride, const real* b,
                                        const real* ahead, real* total, bint first) noexcept nogil:
    """tile_multiply_rows for any 1 <= m <= MR, 1 <= nv <= NV. To be wrapped once in each module: it is large."""
    if nv == 1:
        m_tile_multiply_rows(m, 1, runs, n, a, stride, live, live_stride, b, ahead, total, first)
    elif nv == 2 or NV == 2:
        m_tile_multiply_rows(m, 2, runs, n, a, stride, live, live_stride, b, ahead, total, first)
    else:
        m_tile_multiply_rows(m, NV, runs, n, a, stride, live, live_stride, b, ahead, total, first)


cdef inline void m_tile_multiply_scattered(int m, const int nv, Py_ssize_t n, const real* a, const real** b,
                                           Py_ssize_t offset, real* total) noexcept nogil:
    """tile_multiply_scattered, compiled for each m."""
    if m == MR:
        tile_multiply_scattered(MR, nv, n, a, b, offset, total)
    elif m == 1:
        tile_multiply_scattered(1, nv, n, a, b, offset, total)
    elif m == 2:
        tile_multiply_scattered(2, nv, n, a, b, offset, total)
    elif m == 3:
        tile_multiply_scattered(3, nv, n, a, b, offset, total)
    elif MR > 4 and m == 4:
        tile_multiply_scattered(4, nv, n, a, b, offset, total)
    elif MR > 5 and m == 5:
        tile_multiply_scattered(5, nv, n, a, b, offset, total)
    elif MR > 6 and m == 6:
        tile_multiply_scattered(6, nv, n, a, b, offset, total)
    elif MR > 7 and m == 7:
        tile_multiply_scattered(7, nv, n, a, b, offset, total)
    elif MR > 8 and m == 8:
        tile_multiply_scattered(8, nv, n, a, b, offset, total)
    elif MR > 9 and m == 9:
        tile_multiply_scattered(9, nv, n, a, b, offset, total)
    elif MR > 10 and m == 10:
        tile_multiply_scattered(10, nv, n, a, b, offset, total)
    elif MR > 11 and m == 11:
        tile_multiply_scattered(11, nv, n, a, b, offset, total)


cdef inline void any_tile_multiply_scattered(int m, int nv, Py_ssize_t n, const real* a, const real** b,
                                             Py_ssize_t offset, real* total) noexcept nogil:
    """tile_multiply_scattered for any 1 <= m <= MR, 1 <= nv <= NV. To be wrapped once in each module: it is large."""
    if nv == 1:
        m_tile_multiply_scattered(m, 1, n, a, b, offset, total)
    elif nv == 2 or NV == 2:
        m_tile_multiply_scattered(m, 2, n, a, b, offset, total)
    else:
        m_tile_multiply_scattered(m, NV, n, a, b, offset, total)
