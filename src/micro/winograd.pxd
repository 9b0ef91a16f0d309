"""Transforms of Winograd's minimal filtering on vectors, for any alpha = m + r - 1 that is even.

The points are 0, +p, -p, ..., infinity (fastconv/transforms.py), so that a pair of rows of B' shares its even and its
odd coefficients, and a pair of columns of A' its powers: half the multiplications of a plain product.
"""
from micro.simd cimport real, vec, wide


cdef inline void transform_input(const int alpha, const real* B, const vec* d, Py_ssize_t step, vec* v,
                                 Py_ssize_t v_step) noexcept nogil:
    """v = B' d along one axis, elements `step` and `v_step` vectors apart."""
    cdef vec even, odd
    cdef const real* row
    cdef int i, j
    even = d[0] * B[0]
    odd = d[step] * B[(alpha - 1) * alpha + 1]
    for j in range(1, alpha // 2):
        even = even + d[2 * j * step] * B[2 * j]
        odd = odd + d[(2 * j + 1) * step] * B[(alpha - 1) * alpha + 2 * j + 1]
    v[0] = even
    v[(alpha - 1) * v_step] = odd
    for i in range(1, alpha // 2):
        row = B + (2 * i - 1) * alpha           # zero at 0 and at alpha - 1
        odd = d[step] * row[1]
        even = d[2 * step] * row[2]
        for j in range(2, alpha // 2):
            odd = odd + d[(2 * j - 1) * step] * row[2 * j - 1]
            even = even + d[2 * j * step] * row[2 * j]
        v[(2 * i - 1) * v_step] = even + odd
        v[2 * i * v_step] = even - odd


cdef inline void transform_output(const int alpha, const int m, const real* A, const vec* v, Py_ssize_t step, vec* y,
                                  Py_ssize_t y_step) noexcept nogil:
    """y = A' v along one axis: m outputs from alpha products."""
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
        if i == m - 1:
            total = total + v[(alpha - 1) * step]
        y[i * y_step] = total


cdef inline void transform_weights(const int alpha, int taps, const double* G, const wide* g, Py_ssize_t step,
                                   wide* u, Py_ssize_t u_step) noexcept nogil:
    """u = G g along one axis, in float64: alpha weights from `taps`."""
    cdef wide total
    cdef int i, j
    for i in range(alpha):
        total = g[0] * G[i * taps]
        for j in range(1, taps):
            total = total + g[j * step] * G[i * taps + j]
        u[i * u_step] = total


cdef inline void axis_input(const int alpha, const int stride, const real* B, const vec* d, Py_ssize_t step, vec* v,
                            Py_ssize_t v_step) noexcept nogil:
    """Elements of one axis. With stride 2: those of the even pixels, then the odd pixels."""
    cdef int j
    transform_input(alpha, B, d, stride * step, v, v_step)
    if stride == 2:
        for j in range(alpha - 1):
            v[(alpha + j) * v_step] = d[(2 * j + 1) * step]


cdef inline void axis_output(const int alpha, const int m, const int stride, const real* A, const vec* v, Py_ssize_t step,
                             vec* y, Py_ssize_t y_step) noexcept nogil:
    """Outputs of one axis; with stride 2 those of the odd pixels are added."""
    cdef int i
    transform_output(alpha, m, A, v, step, y, y_step)
    if stride == 2:
        for i in range(m):
            y[i * y_step] = y[i * y_step] + v[(alpha + i) * step]


cdef inline void axis_weights(const int alpha, int taps, const int stride, const double* G, const wide* g, Py_ssize_t step,
                              wide* u, Py_ssize_t u_step) noexcept nogil:
    """Weights of one axis; with stride 2, of taps 0 and 2, and then tap 1."""
    if stride == 2:
        transform_weights(alpha, 2, G, g, 2 * step, u, u_step)
        u[alpha * u_step] = g[step]
    else:
        transform_weights(alpha, taps, G, g, step, u, u_step)
