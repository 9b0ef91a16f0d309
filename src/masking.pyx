"""Mask: what a partial convolution reads of its input, and how much of it there is.

Loops, outermost first, and what each block is sized for:
    task        in parallel: image x equal share of its pixels
    group       channels whose masks are summed
    q           BLOCK vectors of pixels (channels last: one pixel)      sums and a mask of one channel: registers
    c           channels

Needs    inputs (x, m), outputs (y, sums): x (N, C, ..., pixels) or (N, ..., pixels, C), contiguous; m likewise with C or 1
         channels; y like x, sums (N, G, pixels) or (N, pixels, G), or empty with a mask of one channel; distinct buffers.
Leaves   y and sums written in full: y = x m, 0 where m is 0, whatever x is there; sums of m over the channels of a group.
Rounds   sums of m in an order that C and the layout fix; whole numbers exactly.
Costs    one read of x and m, one write of y: bound by memory.
"""

from kernel cimport MASKING, Division, Streams, Table, divided, offer
from micro.fields cimport Masking
from micro.simd cimport FULL, LANES, real, vec, vec_mask_load, vec_mask_store, vec_splat, vec_sum, vec_where_weighted, vec_zero

cdef enum:
    BLOCK = 4                   # vectors of pixels


cdef inline vec masked(vec x, vec m) noexcept nogil:
    return vec_where_weighted(m, x * m)


cdef void planes_mask(const Masking* a, const Streams* s, Py_ssize_t n, Py_ssize_t group, Py_ssize_t q,
                      Py_ssize_t stop) noexcept nogil:
    """Pixels q .. stop (at most BLOCK vectors) of the planes of one group."""
    cdef Py_ssize_t C = a.C // a.G, _c, at = (n * a.C + group * C) * a.pixels, vectors = (stop - q + LANES - 1) // LANES
    cdef const real* x = <const real*>s.input[0] + at + q
    cdef const real* m = <const real*>s.input[1] + (n * a.pixels if a.single else at) + q
    cdef real* y = <real*>s.output[0] + at + q
    cdef vec sums[BLOCK]
    cdef vec mask[BLOCK]
    cdef unsigned lanes[BLOCK]
    cdef Py_ssize_t j
    for j in range(vectors):
        lanes[j] = (1u << min(<Py_ssize_t>LANES, stop - q - j * LANES)) - 1
        sums[j] = vec_zero()
        mask[j] = vec_mask_load(vec_zero(), lanes[j], m + j * LANES)
    for _c in range(C):
        for j in range(vectors):
            if not a.single:
                mask[j] = vec_mask_load(vec_zero(), lanes[j], m + j * LANES)
                sums[j] = sums[j] + mask[j]
            vec_mask_store(y + j * LANES, lanes[j], masked(vec_mask_load(vec_zero(), lanes[j], x + j * LANES), mask[j]))
        x += a.pixels
        y += a.pixels
        m += 0 if a.single else a.pixels
    if not a.single:
        for j in range(vectors):
            vec_mask_store(<real*>s.output[1] + (n * a.G + group) * a.pixels + q + j * LANES, lanes[j], sums[j])


cdef void pixel_mask(const Masking* a, const Streams* s, Py_ssize_t pixel) noexcept nogil:
    """The channels of one pixel, which counts through all images."""
    cdef Py_ssize_t C = a.C // a.G, group, c
    cdef const real* x = <const real*>s.input[0] + pixel * a.C
    cdef const real* m = <const real*>s.input[1] + (pixel if a.single else pixel * a.C)
    cdef real* y = <real*>s.output[0] + pixel * a.C
    cdef vec mask = vec_splat(m[0]), sums
    cdef unsigned lanes
    for group in range(a.G):
        sums = vec_zero()
        c = 0
        while c < C:
            lanes = FULL if C - c >= LANES else (1u << (C - c)) - 1
            if not a.single:
                mask = vec_mask_load(vec_zero(), lanes, m + c)
                sums = sums + mask
            vec_mask_store(y + c, lanes, masked(vec_mask_load(vec_zero(), lanes, x + c), mask))
            c += LANES
        if not a.single:
            (<real*>s.output[1])[pixel * a.G + group] = vec_sum(sums)
        x += C
        y += C
        m += 0 if a.single else C


cdef bint share(const void* masking, const void* arrays, Py_ssize_t task, char* _workspace) noexcept nogil:
    """One task: an equal share of the pixels of one image."""
    cdef const Masking* a = <const Masking*>masking
    cdef const Streams* s = <const Streams*>arrays
    cdef Py_ssize_t n = task // a.parts, part = task % a.parts, q = a.pixels * part // a.parts, group, at
    cdef Py_ssize_t stop = a.pixels * (part + 1) // a.parts
    if a.channels_last:
        while q < stop:
            pixel_mask(a, s, n * a.pixels + q)
            q += 1
        return False
    for group in range(a.G):
        at = q
        while at < stop:
            planes_mask(a, s, n, group, at, min(stop, at + BLOCK * LANES))
            at += BLOCK * LANES
    return False


cdef Division divide(void* masking) noexcept nogil:
    cdef const Masking* a = <const Masking*>masking
    return divided(share, a.N * a.parts)


cdef Table table
kernel = offer(&table, MASKING, divide)
