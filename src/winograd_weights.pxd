"""Weights of Winograd's filtering: kernels transformed in float64 and rounded once, into panels of output channels."""
from kernel cimport Arrays
from micro.geometry cimport Geometry, padded
from micro.pack cimport pack_columns
from micro.simd cimport NR, REAL_BYTES, WIDE, real, wide, wide_load, wide_store
from micro.winograd cimport ONE, SEVERAL, axis_weights
from winograd_tiles cimport MOST_SIDE, PIECE, even_of, weights_step

cdef enum:
    MOST_TAPS = 7


cdef inline void store_weights(const wide* axis, const int side, real* line, Py_ssize_t step) noexcept nogil:
    """Weights of one axis, rounded, `step` apart."""
    cdef int i
    for i in range(side):
        wide_store(line + i * step, axis[i])


cdef inline void panel_transform(const Geometry* g, const double* G, const real* plain, Py_ssize_t apart, Py_ssize_t channels,
                                 real* packed, const int alpha, const int odd, int S) noexcept nogil:
    """`channels` channels of packed (unique_weights, T C | 1, NR) <- the transform of plain (T R S, apart, NR)."""
    cdef Py_ssize_t t, c, step = weights_step(g)
    cdef wide taps[MOST_TAPS * MOST_TAPS]
    cdef real* target
    cdef wide half[MOST_SIDE * (MOST_TAPS + 1)]     # one more than there are, lest gcc warn of a loop that never goes there
    cdef wide axis[MOST_SIDE]
    cdef int i, j, r, rows = 1 if g.alpha_h == 1 else S, side = 2 * alpha - 1 if odd == SEVERAL else alpha + odd
    for t in range(g.T):
        for c in range(channels):
            target = packed + (t * g.C + c) * NR
            for j in range(NR // WIDE):
                for i in range(rows * S):
                    taps[i] = wide_load(plain + ((t * rows * S + i) * apart + c) * NR + j * WIDE)
                if g.alpha_h == 1:
                    axis_weights(alpha, S, odd, G, taps, 1, half, 1)
                    store_weights(half, side, target + j * WIDE, step)
                    continue
                for r in range(S):
                    axis_weights(alpha, S, odd, G, taps + r * S, 1, half + r * side, 1)
                for i in range(side):
                    axis_weights(alpha, S, odd, G, half + i, side, axis, 1)
                    store_weights(axis, side, target + i * step + j * WIDE, side * step)


cdef inline void any_pack_piece(const Geometry* g, const Arrays* a, Py_ssize_t group, Py_ssize_t k, Py_ssize_t c, real* plain,
                                real* packed) noexcept nogil:
    """PIECE channels from c on of packed (unique_weights, T C | 1, NR) <- NR kernels of a group from k on; `plain`
    (T R S, PIECE, NR) is overwritten. To be wrapped once."""
    cdef Py_ssize_t taps = g.T * g.R * g.S, alpha = g.alpha_w, channels = min(<Py_ssize_t>PIECE, g.C - c), apart = channels
    cdef const double* G = a.constants + alpha * alpha + (alpha - even_of(g.stride_w, g.S) + 1) * alpha
    packed += c * NR
    if g.in_place:
        apart = g.C
        plain = <real*>a.w + ((group * padded(g.K, NR) + k) * taps * g.C) + c * NR
    else:
        pack_columns(a.w + ((group * g.K + k) * g.C + c) * taps, g.C * taps, <int>min(<Py_ssize_t>NR, g.K - k), channels, taps,
                     plain, apart)
    if g.stride_w == 2:
        if alpha == 4:
            panel_transform(g, G, plain, apart, channels, packed, 4, ONE, 3)
        elif g.S == 3:
            panel_transform(g, G, plain, apart, channels, packed, 6, ONE, 3)
        else:
            panel_transform(g, G, plain, apart, channels, packed, 6, SEVERAL, <int>g.S)
    elif alpha == 4:
        panel_transform(g, G, plain, apart, channels, packed, 4, 0, <int>g.S)
    elif alpha == 6 and g.S == 3:       # most often, and worth code of their own
        panel_transform(g, G, plain, apart, channels, packed, 6, 0, 3)
    elif alpha == 6 and g.S == 5:
        panel_transform(g, G, plain, apart, channels, packed, 6, 0, 5)
    elif alpha == 6:
        panel_transform(g, G, plain, apart, channels, packed, 6, 0, <int>g.S)
    elif REAL_BYTES > 4:
        panel_transform(g, G, plain, apart, channels, packed, 8, 0, <int>g.S)
