"""Mask: what a partial convolution reads of its input, and how much of it there is.

Loops, outermost first, and what each block is sized for:
    task        in parallel: an equal share of the pixels of all planes that have sums of their own; channels last, of all images
    q           BLOCK pixels: the sums of masks stay in L1, and a plane is read a page at a time
    c           channels of a group; a single mask has none, every plane is by itself
    v           vectors of pixels; channels last: of the channels of one pixel

Needs    inputs (x, m), outputs (y, sums): x (N, C, ..., pixels) or (N, ..., pixels, C), contiguous; m likewise with C or 1
         channels; y like x, sums (N, G, pixels) or (N, pixels, G), or empty with a mask of one channel; distinct buffers.
Leaves   y and sums written in full: y = x m, 0 where m is 0, whatever x is there; sums of m over the channels of a group.
Rounds   sums of m in an order that C and the layout fix; whole numbers exactly.
Costs    one read of x and m, one write of y: bound by memory.
"""

from kernel cimport MASKING, Division, Streams, Table, divided, offer
from micro.fields cimport Masking
from micro.simd cimport (FULL, LANES, real, vec, vec_load, vec_mask_load, vec_mask_store, vec_splat, vec_store, vec_sum,
                         vec_where_weighted, vec_zero)

cdef enum:
    BLOCK = 1024                # pixels


cdef inline vec masked(vec x, vec m) noexcept nogil:
    return vec_where_weighted(m, x * m)


cdef inline unsigned lanes_of(Py_ssize_t rest) noexcept nogil:
    return FULL if rest >= LANES else (1u << rest) - 1


cdef void row_mask(const real* x, const real* m, Py_ssize_t count, bint first, real* y, real* sums) noexcept nogil:
    """`count` pixels of one plane; its masks are added to `sums`, unless that is NULL, or begin them."""
    cdef Py_ssize_t v = 0
    cdef unsigned lanes
    cdef vec mask
    while v + LANES <= count and sums == NULL:
        vec_store(y + v, masked(vec_load(x + v), vec_load(m + v)))
        v += LANES
    while v < count:
        lanes = lanes_of(count - v)
        mask = vec_mask_load(vec_zero(), lanes, m + v)
        vec_mask_store(y + v, lanes, masked(vec_mask_load(vec_zero(), lanes, x + v), mask))
        if sums != NULL:
            vec_mask_store(sums + v, lanes, mask if first else vec_mask_load(vec_zero(), lanes, sums + v) + mask)
        v += LANES


cdef void planes_mask(const Masking* a, const Streams* s, Py_ssize_t group, Py_ssize_t q, Py_ssize_t stop) noexcept nogil:
    """Pixels q .. stop of the planes of one group, which counts through all images."""
    cdef Py_ssize_t C = 1 if a.single else a.C // a.G, at = group * C * a.pixels + q, c, count
    cdef const real* x = <const real*>s.input[0] + at
    cdef const real* m = <const real*>s.input[1] + (group // a.C * a.pixels + q if a.single else at)
    cdef real* y = <real*>s.output[0] + at
    cdef real* sums = NULL if a.single else <real*>s.output[1] + group * a.pixels + q
    at = 0
    while at < stop - q:
        count = min(stop - q - at, <Py_ssize_t>BLOCK)
        for c in range(C):
            row_mask(x + c * a.pixels + at, m + c * a.pixels + at, count, c == 0, y + c * a.pixels + at,
                     NULL if a.single else sums + at)
        at += BLOCK


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
            lanes = lanes_of(C - c)
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


cdef inline Py_ssize_t planes(const Masking* a) noexcept nogil:
    """Whose pixels are shared."""
    return a.N * (1 if a.channels_last else a.C if a.single else a.G)


cdef bint share(const void* masking, const void* arrays, Py_ssize_t task, char* _workspace) noexcept nogil:
    """One task: an equal share of the pixels of all planes."""
    cdef const Masking* a = <const Masking*>masking
    cdef const Streams* s = <const Streams*>arrays
    cdef Py_ssize_t total = planes(a) * a.pixels, q = total * task // a.parts, stop = total * (task + 1) // a.parts, plane, end
    while q < stop:
        if a.channels_last:
            pixel_mask(a, s, q)
            q += 1
            continue
        plane = q // a.pixels
        end = min(stop, (plane + 1) * a.pixels)
        planes_mask(a, s, plane, q - plane * a.pixels, end - plane * a.pixels)
        q = end
    return False


cdef Division divide(void* masking) noexcept nogil:
    return divided(share, (<const Masking*>masking).parts)


cdef Table table
kernel = offer(&table, MASKING, divide)
