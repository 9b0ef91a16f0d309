"""Weights of a convolution in the frequency domain: spectra of kernels, in float64, as the products read them."""
from libc.string cimport memset

from fft_tiles cimport Block, is_pointwise, sum_length
from micro.fourier cimport Axis, separate
from micro.geometry cimport Geometry, padded, place
from micro.simd cimport LANES, NR, WIDE, real, wide, wide_store


# any_transform of `wide` vectors, real and imaginary parts side by side; wrapped once in the module, since it is large.
ctypedef void (*Transform)(const Axis* axis, const wide* x, wide* y, wide* one, wide* other) noexcept nogil


cdef inline Py_ssize_t packing_layout(const Geometry* g, const Block* b, char* workspace, wide** buffer) noexcept nogil:
    """The buffers of the wide transforms: one, other, line, plane; the bytes they take."""
    cdef Py_ssize_t longest = max(g.alpha_h, g.alpha_w)
    cdef char* free = workspace
    cdef int i
    for i in range(3):
        buffer[i] = <wide*>place(&free, 2 * longest * sizeof(wide))
    buffer[3] = <wide*>place(&free, b.bins * b.column * sizeof(wide))
    return free - workspace


cdef inline Py_ssize_t lanes_of_weights(const Geometry* g) noexcept nogil:
    """Output channels that lie side by side in packed weights."""
    return (1 if g.tile_lanes else LANES) if is_pointwise(g) else NR


cdef inline void kernel_rows(const Geometry* g, const Block* b, const real* w, Py_ssize_t distance, int kernels,
                             Transform transform, wide** buffer) noexcept nogil:
    """plane <- twice the transforms of the rows of up to WIDE kernels (R, S), `distance` numbers apart."""
    cdef double* number = <double*>buffer[0]
    cdef Py_ssize_t line, i, at, k
    cdef wide* target
    for line in range(0, b.down.n, 2):
        target = buffer[3] + 2 * line
        if line >= g.R:
            for k in range(b.bins):
                memset(target + k * b.column, 0, 4 * sizeof(wide))
            continue
        memset(number, 0, 2 * b.across.n * sizeof(wide))
        for i in range(kernels):
            for at in range(min(2 * g.S, (g.R - line) * g.S)):          # two rows: real and imaginary parts
                k = at - g.S if at >= g.S else at
                number[(2 * k + (at >= g.S)) * WIDE + i] = w[i * distance + line * g.S + at]
        transform(&b.across, buffer[0], buffer[2], buffer[0], buffer[1])
        separate(b.across.n, buffer[2], target, target + 2, b.column, 1)


cdef inline void spectra_store(const Geometry* g, const Block* b, Transform transform, wide** buffer, int kernels,
                               real* packed) noexcept nogil:
    """Spectra of kernels whose rows are transformed: conjugate, scaled and stored for all frequencies."""
    cdef Py_ssize_t lanes = lanes_of_weights(g), distance = 2 * sum_length(g, b) * lanes, c, _f, i
    cdef double scale = 0.25 / <double>(b.down.n * b.across.n)          # rows of x come twice as large too,
    cdef double* number
    cdef wide* column
    if is_pointwise(g) and b.down.n == 1:                               # but for pairs that are not taken apart
        scale = 2 * scale
    for c in range(b.bins):
        column = buffer[3] + c * b.column
        if b.down.n > 1:
            transform(&b.down, column, buffer[2], buffer[0], buffer[1])
            column = buffer[2]
        for _f in range(b.down.n):
            if lanes >= WIDE:
                wide_store(packed, column[0] * scale)
                wide_store(packed + lanes, column[1] * -scale)
            else:
                number = <double*>column
                for i in range(kernels):
                    packed[i * b.bins * b.down.n * 2] = <real>(number[i] * scale)
                    packed[i * b.bins * b.down.n * 2 + 1] = <real>(number[WIDE + i] * -scale)
            packed += distance
            column += 2


cdef inline Py_ssize_t pack_step(const Geometry* g) noexcept nogil:
    """Output channels whose weights one task packs."""
    return max(lanes_of_weights(g), <Py_ssize_t>WIDE)
