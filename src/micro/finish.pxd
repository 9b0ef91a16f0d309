"""Finish: from sums to output. Adds bias and residual, applies the activation, stores, and looks for NaN and Inf."""
from libc.math cimport INFINITY

from micro.activation cimport CLIP, vec_activate, vec_clip
from micro.geometry cimport Geometry, padded
from micro.pack cimport turn
from micro.tile cimport Output
from micro.simd cimport (LANES, MR, NR, REAL_BYTES, VECTOR_BYTES, prefetch, real, vec, vec_load, vec_mask_load, vec_mask_select,
                         vec_mask_store, vec_splat, vec_store, vec_zero)


cdef inline bint output_open(const Geometry* g, const real* residual, Py_ssize_t step, Output* out) noexcept nogil:
    """Prepare `out` for tiles whose rows lie `step` apart; False if they cannot finish their sums in registers."""
    cdef int i
    for i in range(MR + NR):
        out.none[i] = 0
    out.step = step
    out.clips = g.activation == CLIP
    out.low = <real>g.low
    out.high = <real>g.high
    out.watch = g.watch
    out.past_caches = g.past_caches and step * REAL_BYTES % VECTOR_BYTES == 0
    out.fetch = g.far
    out.stream = False
    out.odd = vec_zero()
    return residual == NULL and g.activation <= CLIP and (g.parts == 0 or g.up_w > 0)


cdef inline void output_place(real* y, const real* bias, Py_ssize_t k, Output* out) noexcept nogil:
    """The next tile writes at y, from channel k on; bias is that of channel 0, or NULL."""
    out.y = y
    out.stream = out.past_caches and <size_t>y % VECTOR_BYTES == 0
    out.bias = &out.none[0] if bias == NULL else bias + k
    out.bias_step = 0 if bias == NULL else NR


cdef inline void row_activate(Py_ssize_t kind, real slope, real* y, Py_ssize_t n) noexcept nogil:
    """y[:n] <- activation(y[:n]), for those that are no clip."""
    cdef vec steep = vec_splat(slope)
    cdef unsigned lanes = (1u << LANES) - 1
    cdef Py_ssize_t j = 0
    while j < n:
        if n - j < LANES:
            lanes = (1u << (n - j)) - 1
        vec_mask_store(y + j, lanes, vec_activate(kind, vec_mask_load(vec_zero(), lanes, y + j), steep))
        j += LANES


cdef inline vec row_evaluate(const Geometry* g, const real* total, const real* bias, bint bias_step,
                             const real* residual, real* y, Py_ssize_t n) noexcept nogil:
    """row_finish for activations that are no clip; nothing but results is stored in y."""
    cdef vec v, odd = vec_zero(), steep = vec_splat(<real>g.low)
    cdef vec added = vec_zero() if bias == NULL or bias_step else vec_splat(bias[0])
    cdef unsigned lanes = (1u << LANES) - 1
    cdef Py_ssize_t j = 0
    while j < n:
        if n - j < LANES:
            lanes = (1u << (n - j)) - 1
        v = vec_load(total + j)
        odd = vec_mask_select(lanes, odd + v * vec_zero(), odd)
        if bias_step and bias != NULL:
            added = vec_mask_load(vec_zero(), lanes, bias + j)
        v = v + added
        if residual != NULL:
            v = v + vec_mask_load(vec_zero(), lanes, residual + j)
        vec_mask_store(y + j, lanes, vec_activate(g.activation, v, steep))
        j += LANES
    return odd


cdef inline vec row_finish(const Geometry* g, const real* total, const real* bias, bint bias_step,
                           const real* residual, real* y, Py_ssize_t n) noexcept nogil:
    """y[:n] = activation(total[:n] + bias + residual[:n]); bias and residual may be NULL.

    bias_step is 0 for one bias of the whole row, 1 for one per number. Reads `total` in whole vectors. Every number of y is
    stored once: tasks that share some may finish them at the same time.
    Returns a vector that is zero unless a sum was NaN or infinite.
    """
    cdef vec v, odd = vec_zero()
    cdef vec low = vec_splat(<real>g.low if g.activation == CLIP else -INFINITY)
    cdef vec high = vec_splat(<real>g.high if g.activation == CLIP else INFINITY)
    cdef vec added = vec_zero() if bias == NULL or bias_step else vec_splat(bias[0])
    cdef Py_ssize_t j = 0
    cdef unsigned lanes
    if g.activation > CLIP:
        return row_evaluate(g, total, bias, bias_step, residual, y, n)
    while j + LANES <= n:
        v = vec_load(total + j)
        odd = odd + v * vec_zero()
        if bias_step and bias != NULL:
            added = vec_load(bias + j)
        v = v + added
        if residual != NULL:
            v = v + vec_load(residual + j)
        vec_store(y + j, vec_clip(v, low, high))
        j += LANES
    if j < n:
        lanes = (1u << (n - j)) - 1
        v = vec_load(total + j)
        odd = vec_mask_select(lanes, odd + v * vec_zero(), odd)
        if bias_step and bias != NULL:
            added = vec_mask_load(vec_zero(), lanes, bias + j)
        v = v + added
        if residual != NULL:
            v = v + vec_mask_load(vec_zero(), lanes, residual + j)
        vec_mask_store(y + j, lanes, vec_clip(v, low, high))
    return odd


cdef inline vec pixels_finish(const Geometry* g, real* total, const real* bias, const real* residual, real* y,
                              Py_ssize_t pixels, Py_ssize_t channels, Py_ssize_t step, real* turned) noexcept nogil:
    """Finish sums (pixels, NR) of `channels` (<= NR) channels of output pixels `step` apart, in either layout.

    bias, residual and y point at the first pixel and channel. With channels first the sums are turned in `turned`,
    which holds NR times `pixels` rounded up to whole vectors; so do the sums, which are overwritten then.
    """
    cdef vec odd = vec_zero()
    cdef Py_ssize_t i, j, distance = NR, rows = pixels, n = channels, y_pitch = step * g.y_q
    cdef bint scattered = not g.channels_last and step != 1
    cdef real* line
    cdef const real* r = NULL
    if not g.channels_last:
        distance, rows, n, y_pitch = padded(pixels, LANES), channels, pixels, g.y_k
        turn(total, NR, pixels, channels, turned, distance)
    for i in range(rows):
        line = total + i * distance if g.channels_last else turned + i * distance
        if residual != NULL and scattered:
            for j in range(n):
                total[j] = residual[i * y_pitch + j * step]
            r = total
        elif residual != NULL:
            r = residual + i * y_pitch
        odd = odd + row_finish(g, line, bias if bias == NULL or g.channels_last else bias + i, g.channels_last, r,
                               line if scattered else y + i * y_pitch, n)
        for j in range(n if scattered else 0):
            y[i * y_pitch + j * step] = line[j]
    return odd


cdef inline void pixels_fetch(const Geometry* g, const real* y, Py_ssize_t pixels, Py_ssize_t channels,
                              Py_ssize_t step) noexcept nogil:
    """Let the lines come that pixels_finish will write."""
    cdef Py_ssize_t _i, j, rows = pixels, n = channels, pitch = step * g.y_q
    if not g.channels_last:
        rows, n, pitch = channels, pixels * step, g.y_k
    for _i in range(rows):
        j = 0
        while j < n:
            prefetch(y + j)
            j += LANES
        y += pitch


cdef inline vec tile_finish(const Geometry* g, const real* total, Py_ssize_t rows, Py_ssize_t pitch, const real* bias,
                            const int bias_step, const real* residual, real* y, Py_ssize_t y_pitch, Py_ssize_t n) noexcept nogil:
    """row_finish of `rows` rows of n numbers; rows of total lie `pitch` apart, those of y and residual `y_pitch`."""
    cdef vec odd = vec_zero()
    cdef Py_ssize_t i
    for i in range(rows):
        odd = odd + row_finish(g, total + i * pitch, bias, bias_step, NULL if residual == NULL else residual + i * y_pitch,
                               y + i * y_pitch, n)
    return odd


cdef inline bint any_odd(vec odd) noexcept nogil:
    """Whether a lane of what row_finish returned is not zero."""
    cdef real lane[LANES]
    cdef int i
    cdef bint found = False
    vec_store(lane, odd)
    for i in range(LANES):
        found |= not (lane[i] == 0)
    return found
