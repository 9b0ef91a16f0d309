"""Where the window of a pooling lies, and the pixels that it joins."""
from micro.fields cimport Pool
from micro.simd cimport LANES, real, vec, vec_larger, vec_load, vec_mask_load, vec_splat

cdef extern from "math.h" nogil:
    const float INFINITY

cdef enum:
    SUMS = 4                # partial results of a long run

cdef struct Axis:
    Py_ssize_t n, out, taps, stride, dilation, pad, adaptive

cdef struct Window:
    Py_ssize_t first, count         # pixels of the image that it covers, `dilation` apart
    Py_ssize_t area                 # what a mean over it divides by


cdef inline Axis axis_d(const Pool* g) noexcept nogil:
    return Axis(g.D, g.O, g.T, g.stride_d, g.dilation_d, g.pad_d, g.adaptive_d)


cdef inline Axis axis_h(const Pool* g) noexcept nogil:
    return Axis(g.H, g.P, g.R, g.stride_h, g.dilation_h, g.pad_h, g.adaptive_h)


cdef inline Axis axis_w(const Pool* g) noexcept nogil:
    return Axis(g.W, g.Q, g.S, g.stride_w, g.dilation_w, g.pad_w, g.adaptive_w)


cdef inline Window window(const Pool* g, const Axis axis, Py_ssize_t i) noexcept nogil:
    """Window i of an axis, what lies in padding left out."""
    cdef Window w
    cdef Py_ssize_t start, stop
    if axis.adaptive:
        w.first = i * axis.n // axis.out
        w.count = w.area = ((i + 1) * axis.n + axis.out - 1) // axis.out - w.first
    else:
        start = i * axis.stride - axis.pad
        stop = start + (axis.taps - 1) * axis.dilation + 1
        w.area = min(stop, axis.n + axis.pad) - start
        w.first = start
        stop = min(stop, axis.n)
        if axis.dilation == 1:              # no division: rows of windows ask often
            w.first = max(start, <Py_ssize_t>0)
            w.count = stop - w.first
        else:
            if start < 0:
                w.first = start + (axis.dilation - 1 - start) // axis.dilation * axis.dilation
            w.count = (stop - w.first + axis.dilation - 1) // axis.dilation if stop > w.first else 0
        if not g.include_pad:
            w.area = w.count
    if g.divisor:
        w.area = 1
    return w


cdef inline real identity(bint largest) noexcept nogil:
    """What joins to nothing else."""
    return -INFINITY if largest else 0


cdef inline vec join(const bint largest, vec a, vec b) noexcept nogil:
    return vec_larger(a, b) if largest else a + b


cdef inline void join_lanes(const bint largest, vec* row) noexcept nogil:
    """row[0]: all LANES vectors joined, in pairs."""
    cdef int i, n = LANES // 2
    while n:
        for i in range(n):
            row[i] = join(largest, row[i], row[i + n])
        n //= 2


cdef inline vec run_join(const bint largest, const real* x, Py_ssize_t pixels) noexcept nogil:
    """LANES numbers that join `pixels` numbers: number i belongs to partial result i mod (SUMS * LANES)."""
    cdef vec nothing = vec_splat(identity(largest))
    cdef vec total[SUMS]
    cdef Py_ssize_t _v
    cdef int j
    for j in range(SUMS):
        total[j] = nothing
    for _v in range(pixels // (SUMS * LANES)):
        for j in range(SUMS):
            total[j] = join(largest, total[j], vec_load(x + j * LANES))
        x += SUMS * LANES
    pixels %= SUMS * LANES
    for j in range(SUMS):
        if pixels >= LANES:
            total[j] = join(largest, total[j], vec_load(x))
        elif pixels > 0:
            total[j] = join(largest, total[j], vec_mask_load(nothing, (1u << pixels) - 1, x))
        x += LANES
        pixels -= LANES
    return join(largest, join(largest, total[0], total[1]), join(largest, total[2], total[3]))
