"""Transforms of Winograd's minimal filtering on vectors, for any alpha = m + r - 1 that is even.

The points are 0, +p, -p, ..., infinity (fastconv/transforms.py), so that a pair of rows of B' shares its even and its
odd coefficients, and a pair of columns of A' its powers: half the multiplications of a plain product.
"""
from micro.simd cimport real, vec, wide


cdef inline void transform_input(const int alpha, const real* B, const vec* d, Py_ssize_t step, vec* v,
                                 Py_ssize_t v_step) noexcept nogil:
    """v = B' d along one axis, elements `step` and `v_step` vectors apart."""
    cdef vec odd = d[step] * B[(alpha - 1) * alpha + 1]
    cdef int j
    for j in range(1, alpha // 2):
        odd = odd + d[(2 * j + 1) * step] * B[(alpha - 1) * alpha + 2 * j + 1]
    v[(alpha - 1) * v_step] = odd
    transform_finite(alpha, B, d, step, v, v_step)


cdef inline void transform_finite(const int alpha, const real* B, const vec* d, Py_ssize_t step, vec* v,
                                  Py_ssize_t v_step) noexcept nogil:
    """All elements but the last, that of the point at infinity; d[alpha - 1] is not read."""
    cdef vec even = d[0] * B[0], odd
    cdef const real* row
    cdef int i, j
    for j in range(1, alpha // 2):
        even = even + d[2 * j * step] * B[2 * j]
    v[0] = even
    for i in range(1, alpha // 2):
        row = B + (2 * i - 1) * alpha           # zero at 0 and at alpha - 1
        odd = d[step] * row[1]
        even = d[2 * step] * row[2]
        for j in range(2, alpha // 2):
            odd = odd + d[(2 * j - 1) * step] * row[2 * j - 1]
            even = even + d[2 * j * step] * row[2 * j]
        v[(2 * i - 1) * v_step] = even + odd
        v[2 * i * v_step] = even - odd


cdef inline void transform_output(const int alpha, const int m, const bint whole, const real* A, const vec* v, Py_ssize_t step,
                                  vec* y, Py_ssize_t y_step) noexcept nogil:
    """y = A' v along one axis: m outputs from alpha products, or, if not `whole`, from all but the last, which is zero."""
    cdef vec folded[2][4]           # sums and differences of the pairs
    cdef vec total
    cdef int i, j
    for j in range(1, alpha // 2):
        folded[0][j] = v[(2 * j - 1) * step] + v[2 * j * step]
        folded[1][j] = v[(2 * j - 1) * step] - v[2 * j * step]
    for i in range(m):
        total = folded[i % 2][1] * A[i * alpha + 1]
        for j in range(2, alpha // 2):
            total = total + folded[i % 2][j] * A[i * alpha + 2 * j - 1]
        if i == 0:
            total = total + v[0]
        if whole and i == m - 1:
            total = total + v[(alpha - 1) * step]
        y[i * y_step] = total


cdef inline void transform_weights(const int alpha, int r, int taps, const bint whole, const double* G, const wide* g,
                                   Py_ssize_t step, wide* u, Py_ssize_t u_step) noexcept nogil:
    """u = G g along one axis, in float64: alpha weights, or all but the last, from the first `taps` of r, the others being zero.

    The rows of G of the points p and -p share their even and their odd coefficients, too; those of 0 and infinity have one.
    """
    cdef wide even, odd
    cdef const double* row
    cdef int i, j
    u[0] = g[0] * G[0]
    for i in range(1, alpha // 2):
        row = G + (2 * i - 1) * r
        even = g[0] * row[0]
        odd = g[step] * row[1]
        for j in range(1, taps // 2):
            even = even + g[2 * j * step] * row[2 * j]
            odd = odd + g[(2 * j + 1) * step] * row[2 * j + 1]
        if taps % 2:
            even = even + g[(taps - 1) * step] * row[taps - 1]
        u[(2 * i - 1) * u_step] = even + odd
        u[2 * i * u_step] = even - odd
    if whole:
        u[(alpha - 1) * u_step] = g[(r - 1) * step] if taps == r else g[0] * 0


# With stride 2, even taps see the even pixels and odd taps the odd ones: two filters F(m, r), r = taps // 2 + 1, of which the
# last tap of the second, or of both, is zero; so the second has no product at infinity, and alpha - 1 elements are left. Of a
# single odd tap, these are its pixels themselves. `odd`: how many odd taps there are: none, with stride 1, or ONE, or SEVERAL.
cdef enum:
    ONE = 1
    SEVERAL = 2


cdef inline void axis_input(const int alpha, const int odd, const real* B, const vec* d, Py_ssize_t step, vec* v,
                            Py_ssize_t v_step) noexcept nogil:
    """Elements of one axis. With stride 2: those of the even pixels, then those of the odd ones."""
    cdef int j
    if odd == SEVERAL:
        transform_finite(alpha, B, d + step, 2 * step, v + alpha * v_step, v_step)
    transform_input(alpha, B, d, 2 * step if odd else step, v, v_step)
    if odd == ONE:
        for j in range(alpha - 1):
            v[(alpha + j) * v_step] = d[(2 * j + 1) * step]


cdef inline void axis_output(const int alpha, const int m, const int odd, const real* A, const vec* v, Py_ssize_t step,
                             vec* y, Py_ssize_t y_step) noexcept nogil:
    """Outputs of one axis; with stride 2 those of the odd pixels are added."""
    cdef vec added[8]
    cdef int i
    transform_output(alpha, m, True, A, v, step, y, y_step)
    if odd == SEVERAL:
        transform_output(alpha, m, False, A, v + alpha * step, step, added, 1)
    for i in range(m if odd else 0):
        y[i * y_step] = y[i * y_step] + (v[(alpha + i) * step] if odd == ONE else added[i])


cdef inline void axis_weights(const int alpha, int taps, const int odd, const double* G, const wide* g, Py_ssize_t step,
                              wide* u, Py_ssize_t u_step) noexcept nogil:
    """Weights of one axis; with stride 2, of the even taps, and then of the odd ones."""
    if odd == 0:
        transform_weights(alpha, taps, taps, True, G, g, step, u, u_step)
        return
    transform_weights(alpha, taps // 2 + 1, (taps + 1) // 2, True, G, g, 2 * step, u, u_step)
    if odd == ONE:
        u[alpha * u_step] = g[step]
    else:
        transform_weights(alpha, taps // 2 + 1, taps // 2, False, G, g + step, 2 * step, u + alpha * u_step, u_step)
