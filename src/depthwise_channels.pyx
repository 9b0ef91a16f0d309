"""Depthwise convolution, channels last: channels on the lanes, every channel with its own kernel; no workspace.

Loops, outermost first, and what each block is sized for:
    task        in parallel: image x output row
    q           one output pixel
    k           WIDTH vectors of channels   registers
    t r s       the window

Needs    x (N, D, H, W, C), channels contiguous; w (T R S, C), as `pack` leaves it; y (N, O, P, Q, C); distinct buffers.
Leaves   y written in full.
Rounds   one fused chain per output, in order t, r, s, over the taps inside the image only.
Costs    2 N C T R S O P Q flop; one read of x, one write of y: bound by memory outside L2.
"""
from arrays cimport Arrays, arrays_open, arrays_release, geometry_of
from micro.finish cimport any_odd, row_finish
from micro.geometry cimport Geometry, border_index
from micro.pack cimport turn
from micro.simd cimport LANES, real, vec, vec_load, vec_mask_load, vec_store, vec_zero
from region cimport run_tasks

cdef enum:
    WIDTH = 4


cdef inline void window_sum(const Geometry* g, const real* x, const real* w, Py_ssize_t o, Py_ssize_t p, Py_ssize_t q,
                            const int vectors, Py_ssize_t channels, real* total) noexcept nogil:
    """total: the sums of `channels` channels (at most vectors * LANES) of output pixel (o, p, q)."""
    cdef vec acc[WIDTH]
    cdef Py_ssize_t t, r, s, d, h, column
    cdef const real* at
    cdef const real* weights
    cdef unsigned lanes = 0
    cdef bint full = channels == vectors * LANES
    cdef int j
    for j in range(vectors):
        acc[j] = vec_zero()
    if not full:
        lanes = (1u << (channels - (vectors - 1) * LANES)) - 1
    for t in range(g.T):
        d = border_index(g.padding_mode, o * g.stride_d - g.pad_d + t * g.dilation_d, g.D)
        for r in range(g.R):
            h = border_index(g.padding_mode, p * g.stride_h - g.pad_h + r * g.dilation_h, g.H)
            if d < 0 or h < 0:
                continue
            for s in range(g.S):
                column = border_index(g.padding_mode, q * g.stride_w - g.pad_w + s * g.dilation_w, g.W)
                if column < 0:
                    continue
                at = x + d * g.x_d + h * g.x_h + column * g.x_w
                weights = w + ((t * g.R + r) * g.S + s) * g.K
                if full:
                    for j in range(vectors):
                        acc[j] = acc[j] + vec_load(weights + j * LANES) * vec_load(at + j * LANES)
                else:                       # a single vector, or the last of several
                    for j in range(vectors - 1):
                        acc[j] = acc[j] + vec_load(weights + j * LANES) * vec_load(at + j * LANES)
                    acc[vectors - 1] = (acc[vectors - 1]
                                        + vec_mask_load(vec_zero(), lanes, weights + (vectors - 1) * LANES)
                                        * vec_mask_load(vec_zero(), lanes, at + (vectors - 1) * LANES))
    for j in range(vectors):
        vec_store(total + j * LANES, acc[j])


cdef bint output_row(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: one output row of one image. The channels are those of all groups: g.K is their number."""
    cdef Py_ssize_t rows = g.O * g.P, row = task % rows, n = task // rows, o = row // g.P, p = row - o * g.P
    cdef Py_ssize_t q, k, channels, at
    cdef real total[WIDTH * LANES]
    cdef vec odd = vec_zero()
    for q in range(g.Q):
        k = 0
        while k < g.K:
            channels = min(<Py_ssize_t>(WIDTH * LANES), g.K - k)
            if channels <= LANES:
                window_sum(g, a.x + n * g.x_n + k, a.w + k, o, p, q, 1, channels, total)
            elif channels > 2 * LANES and channels <= 3 * LANES:
                window_sum(g, a.x + n * g.x_n + k, a.w + k, o, p, q, 3, channels, total)
            elif channels <= 2 * LANES:
                window_sum(g, a.x + n * g.x_n + k, a.w + k, o, p, q, 2, channels, total)
            else:
                window_sum(g, a.x + n * g.x_n + k, a.w + k, o, p, q, WIDTH, channels, total)
            at = n * g.y_n + (row * g.Q + q) * g.y_q + k
            odd = odd + row_finish(g, total, NULL if a.bias == NULL else a.bias + k, 1,
                                   NULL if a.residual == NULL else a.residual + at, a.y + at, channels)
            k += channels
    return any_odd(odd)


def run(bytes geometry, x, w, bias, residual, y, int threads):
    """Compute y; return whether a sum was NaN or infinite."""
    cdef Geometry g = geometry_of(geometry)
    g.K *= g.G
    return run_tasks(output_row, &g, g.N * g.O * g.P, NULL, x, w, bias, residual, y, threads)


def packed_size(bytes geometry):
    """Numbers that packed weights take."""
    cdef Geometry g = geometry_of(geometry)
    return g.G * g.K * g.T * g.R * g.S


def pack(bytes geometry, w, packed):
    """packed (T R S, C) <- w (C, 1, T, R, S)."""
    cdef Geometry g = geometry_of(geometry)
    cdef Py_ssize_t taps = g.T * g.R * g.S
    cdef Arrays a
    g.workspace = 0
    arrays_open(&a, &g, w, w, None, None, packed, 1)
    with nogil:
        turn(a.w, taps, g.G * g.K, taps, a.y, g.G * g.K)
    arrays_release(&a)
