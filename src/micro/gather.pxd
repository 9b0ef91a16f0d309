"""Gather: read the input in the order in which a tile wants it, with the padding resolved on the way.

A vector of output pixels falls into *spans*: consecutive pixels of one output row. For one tap, the input pixels of
a span lie `stride_w` apart in one input row, so a span is one masked load; padding is a lane whose bit is clear.

    output pixels   [ . . . . . row p . . . . | . . row p+1 . . ]      LANES wide
    spans           [      0: lane 0..9       |  1: lane 10..15 ]
"""
from micro.geometry cimport Geometry, border_index, ZEROS
from micro.simd cimport (FULL, LANES, NR, REAL_BYTES, prefetch, real, vec, vec_load, vec_mask_load_step, vec_store, vec_zero)

cdef enum:
    TAPS = 16               # of a kernel row that are prepared at a time
    L1_WAY = 4096 // REAL_BYTES     # numbers that all sets of L1 hold together, once

cdef struct Span:
    int lane, count
    Py_ssize_t o, p, q


cdef inline int spans_of(const Geometry* g, Py_ssize_t pixel, Py_ssize_t stop, Span* span) noexcept nogil:
    """Split output pixels pixel .. min(pixel + LANES, stop) by rows; return how many spans that gives (<= LANES)."""
    cdef Py_ssize_t row = pixel // g.Q, q = pixel - row * g.Q
    cdef int lane = 0, count, found = 0, lanes = <int>min(<Py_ssize_t>LANES, stop - pixel)
    while lane < lanes:
        count = <int>min(g.Q - q, <Py_ssize_t>(lanes - lane))
        span[found].lane = lane
        span[found].count = count
        span[found].o = row // g.P
        span[found].p = row - span[found].o * g.P
        span[found].q = q
        found += 1
        lane += count
        row += 1
        q = 0
    return found


cdef inline Py_ssize_t row_offset(const Geometry* g, const Span* span, Py_ssize_t t, Py_ssize_t r) noexcept nogil:
    """Offset of the input row that tap (t, r) of a span reads; -1: it lies in zero padding."""
    cdef Py_ssize_t d = border_index(g.padding_mode, span.o * g.stride_d - g.pad_d + t * g.dilation_d, g.D)
    cdef Py_ssize_t h = border_index(g.padding_mode, span.p * g.stride_h - g.pad_h + r * g.dilation_h, g.H)
    return -1 if d < 0 or h < 0 else d * g.x_d + h * g.x_h


cdef inline unsigned inside_lanes(const Geometry* g, const Span* span, Py_ssize_t w) noexcept nogil:
    """Lanes of a span whose input column, w for the first and `stride_w` further for each next, lies inside."""
    cdef Py_ssize_t first = 0, stop = span.count
    if w < 0:
        first = min(stop, (-w + g.stride_w - 1) // g.stride_w)
    if w + (stop - 1) * g.stride_w >= g.W:
        stop = 0 if w >= g.W else (g.W - 1 - w) // g.stride_w + 1
    if stop <= first:
        return 0
    return ((1u << stop) - (1u << first)) << span.lane


cdef inline void lane_indices(const Geometry* g, const Span* span, Py_ssize_t row, Py_ssize_t w,
                              Py_ssize_t* index) noexcept nogil:
    """Offsets of the pixels of a span, one by one, for borders that repeat the image; -1 is zero padding."""
    cdef Py_ssize_t column
    cdef int i
    for i in range(span.count):
        column = border_index(g.padding_mode, w + i * g.stride_w, g.W) if row >= 0 else -1
        index[span.lane + i] = -1 if column < 0 else row + column * g.x_w


cdef inline vec load_lanes(const real* x, const Py_ssize_t* index) noexcept nogil:
    cdef real lane[LANES]
    cdef int i
    for i in range(LANES):
        lane[i] = x[index[i]] if index[i] >= 0 else 0
    return vec_load(lane)


cdef inline void scattered_gather(const Geometry* g, const real* x, Py_ssize_t channels, const Span* span, int spans,
                                  real* panel, Py_ssize_t width) noexcept nogil:
    """vector_gather for pixels whose windows reach over a border that repeats the image."""
    cdef Py_ssize_t index[LANES]
    cdef Py_ssize_t t, r, s, c, distance = g.T * g.R * g.S * width
    cdef int i
    for i in range(LANES):
        index[i] = -1
    for t in range(g.T):
        for r in range(g.R):
            for s in range(g.S):
                for i in range(spans):
                    lane_indices(g, span + i, row_offset(g, span + i, t, r),
                                 span[i].q * g.stride_w - g.pad_w + s * g.dilation_w, index)
                for c in range(channels):
                    vec_store(panel + c * distance, load_lanes(x + c * g.x_c, index))
                panel += width


cdef inline void copy_taps(const int spans, const Py_ssize_t step, Py_ssize_t channels, Py_ssize_t taps, const real** x,
                           Py_ssize_t x_c, const Py_ssize_t* offset, const unsigned* lanes, const unsigned* live,
                           real* panel, Py_ssize_t width, Py_ssize_t distance, Py_ssize_t ahead) noexcept nogil:
    """One row of the window of a vector of pixels: for each channel and tap, merge the spans and store them.

    Meanwhile the pixels `ahead` of them are fetched.
    """
    cdef Py_ssize_t _c, s, at = 0
    cdef vec v
    cdef int i
    for _c in range(channels):
        if spans > 0:
            prefetch(x[0] + at + offset[0] + ahead)
        for s in range(taps):
            v = vec_zero()
            for i in range(spans):
                v = vec_mask_load_step(v, lanes[s * LANES + i] & live[i], x[i] + at + offset[s * LANES + i], step)
            vec_store(panel + s * width, v)
        panel += distance
        at += x_c


cdef inline void vector_gather(const Geometry* g, const real* x, Py_ssize_t channels, const Span* span, int spans,
                               real* panel, Py_ssize_t width) noexcept nogil:
    """Write one vector column of a panel: rows (c, t, r, s), `width` numbers apart.

    x points at the first pixel of the first channel. Lanes behind the last span get zeros.
    """
    cdef Py_ssize_t distance = g.T * g.R * g.S * width, step = g.stride_w * g.x_w
    cdef Py_ssize_t offset[TAPS * LANES]
    cdef unsigned lanes[TAPS * LANES]
    cdef unsigned live[LANES]
    cdef const real* row[LANES]
    cdef Py_ssize_t t, r, s, w, first = 0, taps, at
    # Channels lie apart: the CPU does not fetch the next panel by itself. Those of one set would evict this one.
    cdef Py_ssize_t ahead = NR if g.far and g.x_c % L1_WAY else 0
    cdef real* target
    cdef bint inside = True
    cdef int i
    while first < g.S:
        taps = min(<Py_ssize_t>TAPS, g.S - first)
        for s in range(taps):
            for i in range(spans):
                w = span[i].q * g.stride_w - g.pad_w + (first + s) * g.dilation_w
                lanes[s * LANES + i] = inside_lanes(g, span + i, w)
                offset[s * LANES + i] = w * g.x_w - span[i].lane * step
                inside &= lanes[s * LANES + i] == ((1u << span[i].count) - 1) << span[i].lane
        if not inside and g.padding_mode != ZEROS:
            scattered_gather(g, x, channels, span, spans, panel, width)
            return
        for t in range(g.T):
            for r in range(g.R):
                for i in range(spans):
                    at = row_offset(g, span + i, t, r)
                    live[i] = FULL if at >= 0 else 0
                    row[i] = x + max(at, <Py_ssize_t>0)
                target = panel + ((t * g.R + r) * g.S + first) * width
                if step == 1 and spans == 1:
                    copy_taps(1, 1, channels, taps, row, g.x_c, offset, lanes, live, target, width, distance, ahead)
                elif step == 1 and spans == 2:
                    copy_taps(2, 1, channels, taps, row, g.x_c, offset, lanes, live, target, width, distance, ahead)
                elif step == 1:
                    copy_taps(spans, 1, channels, taps, row, g.x_c, offset, lanes, live, target, width, distance, ahead)
                elif step == 2 and spans == 1:
                    copy_taps(1, 2, channels, taps, row, g.x_c, offset, lanes, live, target, width, distance, ahead)
                elif step == 2:
                    copy_taps(spans, 2, channels, taps, row, g.x_c, offset, lanes, live, target, width, distance, ahead)
                else:
                    copy_taps(spans, step, channels, taps, row, g.x_c, offset, lanes, live, target, width, distance, ahead)
        first += taps


cdef inline void panel_gather(const Geometry* g, const real* x, Py_ssize_t channels, Py_ssize_t pixel,
                              Py_ssize_t stop, int vectors, real* panel, Py_ssize_t width) noexcept nogil:
    """Write the panel (channels * T * R * S, width) of the output pixels pixel .. stop of one image."""
    cdef Span span[LANES]
    cdef int v, spans
    for v in range(vectors):
        spans = spans_of(g, pixel + v * LANES, stop, span) if pixel + v * LANES < stop else 0
        vector_gather(g, x, channels, span, spans, panel + v * LANES, width)
