"""Products of spectra: numbers for one frequency, with real and imaginary parts in vectors of their own.

The complex register tile is that of tile.pxd with half the rows: m complex multipliers, nv complex vectors,

        sum[i, j] += a[i] b[j]:     re += a.re b.re,  im += a.im b.re,  re -= a.im b.im,  im += a.re b.im

so that two vectors of the panel at a time, or with PAIRS all four of a step, are in registers beside the 2 m nv of sums.
"""
from micro.simd cimport LANES, MR, NR, NV, PAIRS, prefetch, real, reload, vec, vec_load, vec_splat, vec_store, vec_zero

cdef enum:
    ROWS = 6                    # most multipliers of a complex tile; MR / 2 of a build


cdef inline void complex_tile(const int m, const int nv, Py_ssize_t n, const real* a, Py_ssize_t a_row, Py_ssize_t a_im,
                              const real* b, const real* ahead, real* total, Py_ssize_t row_step) noexcept nogil:
    """total (m, 2, NR) = sum over k < n of a[i, k] b[k, :]; b is (n, 2, NR). Rows of a lie a_row numbers apart, imaginary
    parts a_im behind the real ones, rows of total row_step apart. From `ahead` on, two vectors for each step are fetched into
    the cache."""
    cdef vec re[ROWS * NV]
    cdef vec im[ROWS * NV]
    cdef vec row[2 * NV]
    cdef const real* again
    cdef Py_ssize_t _k
    cdef int i, j
    for i in range(m * nv):
        re[i] = vec_zero()
        im[i] = vec_zero()
    for _k in range(n):
        for j in range(nv):
            row[j] = vec_load(b + j * LANES)
            if PAIRS:
                row[nv + j] = vec_load(b + NR + j * LANES)
        prefetch(ahead)
        prefetch(ahead + LANES)
        for i in range(m * nv):
            re[i] = re[i] + a[i // nv * a_row] * row[i % nv]
            im[i] = im[i] + a[i // nv * a_row + a_im] * row[i % nv]
            if PAIRS:
                re[i] = re[i] - a[i // nv * a_row + a_im] * row[nv + i % nv]
                im[i] = im[i] + a[i // nv * a_row] * row[nv + i % nv]
        if not PAIRS:
            for j in range(nv):
                row[j] = vec_load(b + NR + j * LANES)
            again = reload(a)
            for i in range(m * nv):
                re[i] = re[i] - again[i // nv * a_row + a_im] * row[i % nv]
                im[i] = im[i] + again[i // nv * a_row] * row[i % nv]
        a += 1
        b += 2 * NR
        ahead += 2 * LANES
    for i in range(m * nv):
        vec_store(total + i // nv * row_step + i % nv * LANES, re[i])
        vec_store(total + i // nv * row_step + NR + i % nv * LANES, im[i])


cdef inline void m_complex_tile(int m, const int nv, Py_ssize_t n, const real* a, Py_ssize_t a_row, Py_ssize_t a_im,
                                const real* b, const real* ahead, real* total, Py_ssize_t row_step) noexcept nogil:
    """complex_tile, compiled for each m."""
    if m == 1:
        complex_tile(1, nv, n, a, a_row, a_im, b, ahead, total, row_step)
    elif m == 2:
        complex_tile(2, nv, n, a, a_row, a_im, b, ahead, total, row_step)
    elif MR > 5 and m == 3:
        complex_tile(3, nv, n, a, a_row, a_im, b, ahead, total, row_step)
    elif MR > 7 and m == 4:
        complex_tile(4, nv, n, a, a_row, a_im, b, ahead, total, row_step)
    elif MR > 9 and m == 5:
        complex_tile(5, nv, n, a, a_row, a_im, b, ahead, total, row_step)
    elif MR > 11:
        complex_tile(6, nv, n, a, a_row, a_im, b, ahead, total, row_step)


cdef inline void any_complex_tile(int m, int nv, Py_ssize_t n, const real* a, Py_ssize_t a_row, Py_ssize_t a_im,
                                  const real* b, const real* ahead, real* total, Py_ssize_t row_step) noexcept nogil:
    """complex_tile for any 1 <= m <= MR / 2, 1 <= nv <= NV. To be wrapped once in each module: it is large."""
    if nv == 1:
        m_complex_tile(m, 1, n, a, a_row, a_im, b, ahead, total, row_step)
    elif nv == 2 or NV == 2:
        m_complex_tile(m, 2, n, a, a_row, a_im, b, ahead, total, row_step)
    else:
        m_complex_tile(m, NV, n, a, a_row, a_im, b, ahead, total, row_step)


cdef inline void multiply(Py_ssize_t n, vec* z, Py_ssize_t z_step, const real* w, const bint alike,
                          const bint conjugate) noexcept nogil:
    """z[k] <- w[k] z[k], or its conjugate times z[k], for n complex numbers, those of z `z_step` vectors apart.

    w is (n, 2, LANES), or (n, 2) where all lanes are multiplied alike.
    """
    cdef vec re, im, w_re, w_im
    cdef Py_ssize_t _k
    for _k in range(n):
        re = z[0]
        im = z[1]
        w_re = vec_splat(w[0]) if alike else vec_load(w)
        w_im = vec_splat(w[1]) if alike else vec_load(w + LANES)
        if conjugate:
            w_im = -w_im
        z[0] = re * w_re - im * w_im
        z[1] = re * w_im + im * w_re
        z += z_step
        w += 2 if alike else 2 * LANES
