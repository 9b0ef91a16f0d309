"""Sampling an image at the coordinates of a grid (grid_sample).

Loops, outermost first, and what each block is sized for:
    task        in parallel: BLOCK pixels of y of one image         offsets and weights of their taps: L1, found once
    c           channels first: one plane after the other, lanes are pixels, which are collected from anywhere
    pixel       channels last: lanes are channels

Needs    x (N, C, D, H, W) or (N, D, H, W, C), grid (N, pixels, axes), y (N, C, pixels) or (N, pixels, C), contiguous,
         distinct. Whether a coordinate lies in the image is decided before it becomes an integer: nothing outside x is read.
Leaves   y written in full.
Rounds   coordinates and weights in double, weights once to real, one fused chain over the taps; a tap of weight zero
         contributes nothing.
Costs    2 taps flop for each number of y; collecting is bound by the latency of L1 and L2.
"""
from libc.math cimport fabs, floor, fmod, nearbyint
from libc.stdint cimport int64_t

from kernel cimport SAMPLE, AnyTask, Divide, Division, Measure, Streams, Table, divided, offer
from micro.fields cimport Sample
from micro.geometry cimport ceil_div, place
from micro.simd cimport (FULL, LANES, real, vec, vec_collect_far, vec_load, vec_mask_load, vec_mask_store, vec_splat, vec_store,
                         vec_where_weighted, vec_zero)

cdef enum:
    BILINEAR, NEAREST, BICUBIC          # in the order of resample_problem.SAMPLE_MODES

cdef enum:
    ZEROS, BORDER, REFLECTION           # in the order of resample_problem.SAMPLE_PADDING

cdef enum:
    BLOCK = 128                         # pixels; a multiple of LANES
    FAR = 1 << 30

cdef struct Taps:                       # of one axis: at most four pixels and their weights
    int count
    int64_t at[4]
    double weight[4]                    # 0 where `at` is outside


cdef inline double folded(const Sample* g, double u, Py_ssize_t n) noexcept nogil:
    """A coordinate as the padding has it; within 0 .. n - 1 but for ZEROS.

    NaN becomes 0 then, and so does what is too far away to tell which pixel mirrors it.
    """
    cdef double low = 0 if g.align_corners else -0.5, span = n - 1 if g.align_corners else n, over
    if g.padding == ZEROS:
        return u
    if g.padding == REFLECTION:
        if span == 0 or not fabs(u) < FAR:
            return 0
        u = fabs(u - low)
        over = fmod(u, span)
        u = over + low if fmod(floor(u / span), 2) == 0 else span - over + low
    if not u > 0:
        return 0
    return n - 1 if u > n - 1 else u


cdef inline void add_tap(Taps* t, double at, double weight, Py_ssize_t n) noexcept nogil:
    cdef bint inside = 0 <= at <= n - 1             # false for NaN
    t.at[t.count] = <int64_t>at if inside else 0
    t.weight[t.count] = weight if inside else 0
    t.count += 1


cdef inline void find_taps(const Sample* g, double coordinate, Py_ssize_t n, Taps* t) noexcept nogil:
    cdef double u = (coordinate + 1) / 2 * (n - 1) if g.align_corners else ((coordinate + 1) * n - 1) / 2, first, f
    cdef int i
    t.count = 0
    if g.mode != BICUBIC:
        u = folded(g, u, n)
    if g.mode == NEAREST:
        add_tap(t, nearbyint(u), 1, n)
        return
    first = floor(u)
    f = u - first                                   # NaN for an infinite coordinate
    if g.mode == BILINEAR:
        add_tap(t, first, 1 - f, n)
        add_tap(t, first + 1, f, n)
        return
    if not 0 <= f < 1:
        f = 0
    for i in range(4):
        add_tap(t, folded(g, first + (i - 1), n), keys(fabs(f - (i - 1))), n)


cdef inline double keys(double x) noexcept nogil:
    """The cubic kernel with a = -0.75, for x < 2."""
    if x < 1:
        return (1.25 * x - 2.25) * x * x + 1
    return -0.75 * (x - 1) * (2 - x) * (2 - x)


cdef Py_ssize_t taps_of(const Sample* g) noexcept nogil:
    """Pixels of x for each pixel of y."""
    if g.mode == NEAREST:
        return 1
    return 16 if g.mode == BICUBIC else 4 if g.axes == 2 else 8


cdef void find_pixels(const Sample* g, const real* grid, Py_ssize_t count, int64_t* offset, real* weight) noexcept nogil:
    """Offset and weight (taps, BLOCK) of `count` pixels; zero for those behind them."""
    cdef Taps x, y, z
    cdef Py_ssize_t i, t, step = g.C if g.channels_last else 1
    cdef int a, b, c
    for i in range(BLOCK):
        t = i
        if i >= count:
            while t < taps_of(g) * BLOCK:
                offset[t] = 0
                weight[t] = 0
                t += BLOCK
            continue
        find_taps(g, grid[i * g.axes], g.W, &x)
        find_taps(g, grid[i * g.axes + 1], g.H, &y)
        z.count, z.at[0], z.weight[0] = 1, 0, 1
        if g.axes == 3:
            find_taps(g, grid[i * g.axes + 2], g.D, &z)
        for a in range(z.count):
            for b in range(y.count):
                for c in range(x.count):
                    offset[t] = ((z.at[a] * g.H + y.at[b]) * g.W + x.at[c]) * step
                    weight[t] = <real>(z.weight[a] * y.weight[b] * x.weight[c])
                    t += BLOCK


cdef inline void planes(const int known_taps, const Sample* g, const int64_t* offset, const real* weight, const real* x,
                        Py_ssize_t count, real* y) noexcept nogil:
    """All channels of `count` pixels, plane after plane."""
    cdef Py_ssize_t taps = known_taps if known_taps else taps_of(g), _c, i, t, size = g.D * g.H * g.W
    cdef vec acc, w
    for _c in range(g.C):
        i = 0
        while i < count:
            acc = vec_zero()
            for t in range(taps):
                w = vec_load(weight + t * BLOCK + i)
                acc = acc + w * vec_where_weighted(w, vec_collect_far(x, offset + t * BLOCK + i))
            if i + LANES <= count:
                vec_store(y + i, acc)
            else:
                vec_mask_store(y + i, FULL >> (i + LANES - count), acc)
            i += LANES
        x += size
        y += g.pixels


cdef void channels(const Sample* g, const int64_t* offset, const real* weight, const real* x, Py_ssize_t count,
                   real* y) noexcept nogil:
    """All channels of `count` pixels, pixel after pixel."""
    cdef Py_ssize_t taps = taps_of(g), i, c, t
    cdef unsigned lanes
    cdef vec acc
    for i in range(count):
        c = 0
        while c < g.C:
            lanes = FULL if c + LANES <= g.C else FULL >> (c + LANES - g.C)
            acc = vec_zero()
            for t in range(taps):
                if weight[t * BLOCK + i] != 0:
                    acc = acc + vec_splat(weight[t * BLOCK + i]) * vec_mask_load(vec_zero(), lanes, x + offset[t * BLOCK + i] + c)
            if lanes == FULL:
                vec_store(y + c, acc)
            else:
                vec_mask_store(y + c, lanes, acc)
            c += LANES
        y += g.C


cdef bint block(const void* fields, const void* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: BLOCK pixels of one image, in all channels."""
    cdef const Sample* g = <const Sample*>fields
    cdef const Streams* s = <const Streams*>arrays
    cdef Py_ssize_t blocks = ceil_div(g.pixels, BLOCK), n = task // blocks, first = task % blocks * BLOCK
    cdef Py_ssize_t count = min(<Py_ssize_t>BLOCK, g.pixels - first)
    cdef int64_t* offset = <int64_t*>place(&workspace, taps_of(g) * BLOCK * sizeof(int64_t))
    cdef real* weight = <real*>workspace
    cdef const real* x = <const real*>s.input[0] + n * g.C * g.D * g.H * g.W
    cdef real* y = <real*>s.output[0] + n * g.C * g.pixels + first * (g.C if g.channels_last else 1)
    find_pixels(g, <const real*>s.input[1] + (n * g.pixels + first) * g.axes, count, offset, weight)
    if g.channels_last:
        channels(g, offset, weight, x, count, y)
    elif taps_of(g) == 1:
        planes(1, g, offset, weight, x, count, y)
    elif taps_of(g) == 4:
        planes(4, g, offset, weight, x, count, y)
    else:
        planes(0, g, offset, weight, x, count, y)
    return False


cdef Py_ssize_t workspace(const Sample* g) noexcept nogil:
    return taps_of(g) * BLOCK * (sizeof(int64_t) + sizeof(real)) + 64


cdef Division divide(Sample* g) noexcept nogil:
    return divided(<AnyTask>block, g.N * ceil_div(g.pixels, BLOCK))


cdef Table table
kernel = offer(&table, SAMPLE, <Divide>divide, <Measure>workspace)
