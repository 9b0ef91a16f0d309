"""Convolution as a matrix product, pixels on the lanes: y (K, O P Q) = w (K, C T R S) times panels of x.

Loops, outermost first, and what each block is sized for:
    task        in parallel: image x group x pixel_block x channel_block
    c           chunk input channels        a block of weights (channel_block, chunk * taps), packed or where they lie: L2
    q           panels of NR pixels         (chunk * taps, NR) each, gathered here: L1; several if sums are short
    k           MR output channels          \
    i           NR pixels                   /   the register tile
The whole im2col matrix never exists. With `in_place`, a 1x1 kernel at stride 1, rows of x are the panel.

Needs    x (N, G C, D, H, W), rows contiguous; w (G K, C, T, R, S) or packed; y (N, G K, O, P, Q); distinct buffers.
Leaves   y written in full.
Rounds   one fused chain per output, in order c, t, r, s; then bias, residual, activation.
Costs    2 N G K C T R S O P Q flop; gathers x once per channel_block: chunk * taps * NR per MR-th of it.
"""

from kernel cimport CONVOLUTION, AnyTask, Arrays, Divide, Division, Measure, Table, divided, offer
from micro.combine cimport Target, rows_combine, target_of
from micro.finish cimport any_odd, output_open, output_place, row_finish
from micro.gather cimport panel_gather
from micro.geometry cimport Geometry, ceil_div, padded
from micro.simd cimport LANES, MR, NR, NV, real, vec, vec_zero
from micro.tile cimport Output, any_tile_multiply
from micro.wide cimport WIDEST, any_wide_multiply, most_rows, wide_vectors
from row_panels cimport packed, packing

cdef enum:
    PLANES = 16                 # of x that are read at once for few output channels


cdef void tile(int m, int nv, Py_ssize_t n, const real* a, Py_ssize_t apart, const real* b, Py_ssize_t width,
               Py_ssize_t distance, Py_ssize_t count, real* total, bint first, Output* out) noexcept nogil:
    any_tile_multiply(m, nv, n, a, apart, b, width, distance, count, total, first, out)


cdef void wide(int m, int nv, Py_ssize_t n, const real* a, Py_ssize_t apart, Py_ssize_t step, const real** b,
               Py_ssize_t offset, Py_ssize_t count, real* total, bint first, Output* out) noexcept nogil:
    any_wide_multiply(m, nv, n, a, apart, step, b, offset, count, total, first, out)


cdef vec finish(const Geometry* g, const Arrays* a, Py_ssize_t n, Py_ssize_t k, Py_ssize_t q, int m, Py_ssize_t pixels,
                const real* total) noexcept nogil:
    """Finish m channels from k on, `pixels` pixels from q on; k counts through all groups."""
    cdef Py_ssize_t at = n * g.y_n + k * g.y_k + q, width
    cdef vec odd = vec_zero()
    cdef Target t
    cdef int i
    if g.parts:
        t = target_of(g, a.bias, a.residual, a.y, n, k // g.K)
        while pixels > 0:
            width = pixels if g.up_w == 0 else min(pixels, g.Q - q % g.Q)
            odd = odd + rows_combine(g, &t, k % g.K, m, total, NR, q // g.Q, q % g.Q, width)
            total += width
            q += width
            pixels -= width
        return odd
    for i in range(m):
        odd = odd + row_finish(g, total + i * NR, NULL if a.bias == NULL else a.bias + k + i, 0,
                               NULL if a.residual == NULL else a.residual + at, a.y + at, pixels)
        at += g.y_k
    return odd


cdef bint few(const Geometry* g) noexcept nogil:
    """Whether planes are read where they lie for wide tiles."""
    return g.in_place and g.parts == 0 and g.K <= most_rows()


cdef vec few_channels(const Geometry* g, const Arrays* a, const real* x, const real* w, Py_ssize_t image, Py_ssize_t group,
                      Py_ssize_t q0, Py_ssize_t q1, real* totals, Output* out) noexcept nogil:
    """All of a task with a kernel of one tap and few output channels: x is read where it lies, a few planes at a time, since a
    CPU fetches ahead along so many rows only. Without `out` sums are finished here."""
    cdef const real* plane[PLANES]
    cdef Py_ssize_t c = 0, i, q, n, count, apart = 1 if g.packed else g.C, step = MR if g.packed else 1
    cdef Py_ssize_t k = group * g.K, at = image * g.y_n + k * g.y_k
    cdef vec odd = vec_zero()
    cdef real* total
    cdef int nv, m = <int>g.K
    cdef bint last
    while c < g.C:
        n = min(<Py_ssize_t>PLANES, g.C - c)
        last = c + n == g.C
        for i in range(n):
            plane[i] = x + (c + i) * g.x_c
        total = totals
        q = q0
        while q < q1:
            nv = wide_vectors(m, q1 - q, q1 - q0)
            count = max(<Py_ssize_t>1, (q1 - q) // (nv * LANES))
            q = min(q, q1 - nv * LANES)             # the last tile may overlap the one before: it has sums of its own
            if out != NULL:
                output_place(a.y + at + q, a.bias, k, out)
            wide(m, nv, n, w + c * step, apart, step, plane, q, count, total, c == 0, out if last else NULL)
            for i in range(count * m if last and out == NULL else 0):
                odd = odd + finish(g, a, image, k + i % m, q + i // m * nv * LANES, 1, nv * LANES, total + i * nv * LANES)
            total += count * m * nv * LANES
            q += count * nv * LANES
        c += n
    return odd


cdef bint block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task; returns whether a sum was NaN or infinite. Workspace: panels, then sums."""
    cdef Py_ssize_t taps = g.T * g.R * g.S, length = g.C * taps, pixels = g.O * g.P * g.Q
    cdef Py_ssize_t k_blocks = ceil_div(g.K, g.channel_block), q_blocks = ceil_div(pixels, g.pixel_block)
    cdef Py_ssize_t k0 = task % k_blocks * g.channel_block, k1 = min(g.K, k0 + g.channel_block)
    cdef Py_ssize_t q0 = task // k_blocks % q_blocks * g.pixel_block, q1 = min(pixels, q0 + g.pixel_block)
    cdef Py_ssize_t group = task // (k_blocks * q_blocks) % g.G, n = task // (k_blocks * q_blocks * g.G)
    cdef Py_ssize_t sums = min(g.chunk, g.C) * taps, tiles = ceil_div(k1 - k0, MR)
    cdef real* panel = <real*>workspace
    cdef real* totals = panel + sums * NR * g.panels
    cdef real* total
    cdef const real* x = a.x + n * g.x_n + group * g.C * g.x_c
    cdef const real* w = a.w + (group * ceil_div(g.K, MR) * MR if g.packed else group * g.K) * length
    cdef const real* rows
    cdef Py_ssize_t c = 0, channels, q, i, k, stop, width, count
    cdef int m, nv
    cdef bint in_place = g.in_place and (g.H == 1 or g.x_h == g.W) and (g.D == 1 or g.x_d == g.H * g.W)
    cdef vec odd = vec_zero()
    cdef Output out
    cdef bint direct = output_open(g, a.residual, g.y_k, &out) and g.parts == 0, last, whole, place
    if few(g) and in_place and wide_vectors(<int>g.K, 1, q1 - q0):
        odd = few_channels(g, a, x, w, n, group, q0, q1, <real*>workspace, &out if direct else NULL)
        return any_odd(odd + out.odd)
    while c < g.C:
        channels = min(g.chunk, g.C - c)
        last = c + channels == g.C
        sums = channels * taps
        rows = w + k0 * length + c * taps * (MR if g.packed else 1)
        q = q0
        while q < q1:
            stop = min(q1, q + g.panels * NR)
            if in_place and (stop - q) % LANES and stop - q > NR:
                stop -= (stop - q) % NR             # the last panel is not whole, and gathered for itself
            place = in_place and (stop - q) % LANES == 0
            i = q
            while i < stop and not place:
                panel_gather(g, x + c * g.x_c, channels, i, q1, <int>min(<Py_ssize_t>NV, ceil_div(stop - i, LANES)),
                             panel + (i - q) * sums, NR)
                i += NR
            k = k0
            while k < k1:           # and within, along the rows of y: whole lines of MR planes at a time
                m = <int>min(<Py_ssize_t>MR, k1 - k)
                total = totals
                if g.chunk < g.C:   # else a tile's sums are finished at once and their place is used again
                    total += ((q - q0) // NR * tiles + (k - k0) // MR) * MR * NR
                i = q
                while i < stop:
                    nv = <int>min(<Py_ssize_t>NV, ceil_div(stop - i, LANES))
                    width = min(<Py_ssize_t>NR, stop - i)
                    whole = last and direct and width == nv * LANES
                    count = (stop - i) // NR if whole and nv == NV else 1
                    output_place(a.y + n * g.y_n + (group * g.K + k) * g.y_k + i, a.bias, group * g.K + k, &out)
                    tile(m, nv, sums, rows + (k - k0) * length, 0 if g.packed else length,
                         x + c * g.x_c + i if place else panel + (i - q) * sums, g.x_c if place else NR,
                         NR if place else NR * sums, count, total, c == 0, &out if whole else NULL)
                    if last and not whole:
                        odd = odd + finish(g, a, n, group * g.K + k, i, m, width, total)
                    i += count * NR
                k += MR
            q = stop
        c += channels
    return any_odd(odd + out.odd)


cdef Py_ssize_t workspace(const Geometry* g) noexcept nogil:
    cdef Py_ssize_t sums = g.chunk * g.T * g.R * g.S, tiles = ceil_div(min(g.channel_block, g.K), MR)
    cdef Py_ssize_t panels = ceil_div(min(g.pixel_block, g.O * g.P * g.Q), NR)
    cdef Py_ssize_t numbers = sums * NR * g.panels + MR * NR * (tiles * panels if g.chunk < g.C else 1) + LANES
    if few(g):
        numbers = max(numbers, g.K * (min(g.pixel_block, g.O * g.P * g.Q) + WIDEST * LANES))
    return padded(numbers * sizeof(real), 64)


cdef Division divide(Geometry* g) noexcept nogil:
    return divided(<AnyTask>block, g.N * g.G * ceil_div(g.O * g.P * g.Q, g.pixel_block) * ceil_div(g.K, g.channel_block))


cdef Table table
kernel = offer(&table, CONVOLUTION, <Divide>divide, <Measure>workspace, <Measure>packed, <Divide>packing)
