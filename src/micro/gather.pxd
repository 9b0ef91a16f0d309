"""Gather: read the input in the order in which a tile wants it, with the padding resolved on the way.

A vector of output pixels falls into *spans*: consecutive pixels of one output row. For one tap, the input pixels of
a span lie `stride_w` apart in one input row, so a span is one masked load; padding is a lane whose bit is clear.

    output pixels   [ . . . . . row p . . . . | . . row p+1 . . ]      LANES wide
    spans           [      0: lane 0..9       |  1: lane 10..15 ]
"""
from micro.geometry cimport Geometry, border_index, ZEROS
from micro.simd cimport (FULL, LANES, real, vec, vec_load, vec_mask_load, vec_mask_load_step, vec_store, vec_zero)

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


cdef inline void copy_channels(const int spans, const Py_ssize_t step, Py_ssize_t channels, const real** x,
                               Py_ssize_t x_c, const unsigned* lanes, real* panel, Py_ssize_t distance) noexcept nogil:
    """One tap of one vector of pixels, for `channels` channels: merge its spans and store them `distance` apart."""
    cdef Py_ssize_t c
    cdef vec v
    cdef int i
    for c in range(channels):
        v = vec_zero()
        for i in range(spans):
            v = vec_mask_load_step(v, lanes[i], x[i] + c * x_c, step)
        vec_store(panel + c * distance, v)


cdef inline void vector_gather(const Geometry* g, const real* x, Py_ssize_t channels, const Span* span, int spans,
                               real* panel, Py_ssize_t width) noexcept nogil:
    """Write one vector column of a panel: rows (c, t, r, s), `width` numbers apart.

    x points at the first pixel of the first channel. Lanes behind the last span get zeros.
    """
    cdef Py_ssize_t taps = g.T * g.R * g.S, distance = taps * width, step = g.stride_w * g.x_w
    cdef Py_ssize_t row[LANES]
    cdef Py_ssize_t index[LANES]
    cdef const real* start[LANES]
    cdef unsigned lanes[LANES]
    cdef Py_ssize_t t, r, s, w, c
    cdef unsigned inside
    cdef int i, found
    cdef bint scattered
    for t in range(g.T):
        for r in range(g.R):
            for i in range(spans):
                row[i] = row_offset(g, span + i, t, r)
            for s in range(g.S):
                found = 0
                scattered = False
                for i in range(spans):
                    w = span[i].q * g.stride_w - g.pad_w + s * g.dilation_w
                    inside = inside_lanes(g, span + i, w)
                    if row[i] >= 0:
                        if g.padding_mode != ZEROS and inside != ((1u << span[i].count) - 1) << span[i].lane:
                            scattered = True
                        if inside:
                            lanes[found] = inside
                            start[found] = x + row[i] + w * g.x_w - span[i].lane * step
                            found += 1
                if scattered:
                    for i in range(LANES):
                        index[i] = -1
                    for i in range(spans):
                        lane_indices(g, span + i, row[i], span[i].q * g.stride_w - g.pad_w + s * g.dilation_w, index)
                    for c in range(channels):
                        vec_store(panel + c * distance, load_lanes(x + c * g.x_c, index))
                elif found == 0:
                    for c in range(channels):
                        vec_store(panel + c * distance, vec_zero())
                elif found == 1 and lanes[0] == FULL and step == 1:
                    for c in range(channels):
                        vec_store(panel + c * distance, vec_load(start[0] + c * g.x_c))
                elif step == 1:
                    if found == 1:
                        copy_channels(1, 1, channels, start, g.x_c, lanes, panel, distance)
                    elif found == 2:
                        copy_channels(2, 1, channels, start, g.x_c, lanes, panel, distance)
                    else:
                        copy_channels(found, 1, channels, start, g.x_c, lanes, panel, distance)
                elif step == 2:
                    if found == 1:
                        copy_channels(1, 2, channels, start, g.x_c, lanes, panel, distance)
                    else:
                        copy_channels(found, 2, channels, start, g.x_c, lanes, panel, distance)
                else:
                    copy_channels(found, step, channels, start, g.x_c, lanes, panel, distance)
                panel += width


cdef inline void panel_gather(const Geometry* g, const real* x, Py_ssize_t channels, Py_ssize_t pixel,
                              Py_ssize_t stop, int vectors, real* panel, Py_ssize_t width) noexcept nogil:
    """Write the panel (channels * T * R * S, width) of the output pixels pixel .. stop of one image."""
    cdef Span span[LANES]
    cdef int v, spans
    for v in range(vectors):
        spans = spans_of(g, pixel + v * LANES, stop, span) if pixel + v * LANES < stop else 0
        vector_gather(g, x, channels, span, spans, panel + v * LANES, width)
