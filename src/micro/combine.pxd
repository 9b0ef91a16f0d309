"""Combine: sums of several kernels that make one output, finished and written where they belong.

A panel of `channels` sums holds g.parts parts of channels / g.parts kernels each, so that what belongs together is near:

    gated       features | gates        y = activation(feature + bias) * sigmoid(gate + bias of the gate)
    scaled      one part                y = activation(sum * scale + bias), without the bias where the scale is 0
    shuffled    the phases of an output row, if there are several: y[..., p up_h + a - cut_h, q up_w + b - cut_w] is the
                sum of phase (a, b) at (p, q), a transposed convolution with stride (up_h, up_w)

Kernels of one part are counted through the phases that are not parts: phase y_channels + channel.
"""
from libc.math cimport INFINITY

from micro.activation cimport CLIP, SIGMOID, vec_activate, vec_clip
from micro.finish cimport row_activate, row_finish, tile_finish
from micro.geometry cimport Geometry, padded
from micro.pack cimport turn
from micro.simd cimport (FULL, LANES, NR, real, vec, vec_interleave, vec_load, vec_mask_load, vec_mask_select, vec_mask_store,
                         vec_splat, vec_store, vec_where_weighted, vec_zero)

cdef enum:
    MOST_PARTS = 4
    LINE = NR * MOST_PARTS

cdef struct Target:             # one image of the output, and one group of its channels
    const real* bias            # of the first channel; NULL: none
    const real* gate_bias
    const real* residual        # NULL: none
    const real* scale           # of the first pixel, in place of a residual
    real* y


cdef inline Target target_of(const Geometry* g, const real* bias, const real* residual, real* y, Py_ssize_t n,
                             Py_ssize_t group) noexcept nogil:
    cdef Py_ssize_t k = group * g.y_channels, at = n * g.y_n + k * g.y_k
    cdef Target t
    t.bias = NULL if bias == NULL else bias + k
    t.gate_bias = NULL if bias == NULL else bias + g.G * g.y_channels + k
    t.residual = NULL if residual == NULL else residual + at
    t.y = y + at
    t.scale = NULL
    if g.scales:
        k = group if g.scales > 1 else 0
        at = g.O * g.P * g.Q
        t.scale = residual + (n * g.scales * at + k if g.channels_last else (n * g.scales + k) * at)
    return t


cdef inline vec row_scale(const Geometry* g, const real* sums, const real* scale, const int scale_step, const real* bias,
                          real* y, Py_ssize_t n) noexcept nogil:
    """y[:n] = activation(sums * scale + bias), with a scale for each number and one bias (scale_step 1), or the reverse.

    Sums are read in whole vectors; the result is that of row_finish.
    """
    cdef vec v, s = vec_splat(scale[0]), odd = vec_zero(), added = vec_zero()
    cdef vec low = vec_splat(<real>g.low if g.activation == CLIP else -INFINITY)
    cdef vec high = vec_splat(<real>g.high if g.activation == CLIP else INFINITY)
    cdef Py_ssize_t j = 0
    cdef unsigned lanes
    if bias != NULL and scale_step:
        added = vec_splat(bias[0])
    while j + LANES <= n:
        if scale_step:
            s = vec_load(scale + j)
        elif bias != NULL:
            added = vec_load(bias + j)
        v = vec_load(sums + j)
        odd = odd + v * vec_zero()
        vec_store(y + j, vec_clip(v * s + vec_where_weighted(s, added), low, high))
        j += LANES
    if j < n:
        lanes = (1u << (n - j)) - 1
        if scale_step:
            s = vec_mask_load(vec_zero(), lanes, scale + j)
        elif bias != NULL:
            added = vec_mask_load(vec_zero(), lanes, bias + j)
        v = vec_load(sums + j)
        odd = vec_mask_select(lanes, odd + v * vec_zero(), odd)
        vec_mask_store(y + j, lanes, vec_clip(v * s + vec_where_weighted(s, added), low, high))
    if g.activation > CLIP:
        row_activate(g.activation, <real>g.low, y, n)
    return odd


cdef inline vec row_gate(const Geometry* g, const real* features, const real* gates, const real* bias,
                         const real* gate_bias, const int bias_step, real* y, Py_ssize_t n) noexcept nogil:
    """y[:n] = activation(features + bias) * sigmoid(gates + gate_bias); biases may be NULL, sums are read in whole vectors.

    bias_step and the result are those of row_finish.
    """
    cdef vec f, s, odd = vec_zero()
    cdef vec low = vec_splat(<real>g.low if g.activation == CLIP else -INFINITY)
    cdef vec high = vec_splat(<real>g.high if g.activation == CLIP else INFINITY)
    cdef vec added = vec_zero() if bias == NULL or bias_step else vec_splat(bias[0])
    cdef vec gate_added = vec_zero() if bias == NULL or bias_step else vec_splat(gate_bias[0])
    cdef Py_ssize_t j = 0
    cdef unsigned lanes = FULL
    while j < n:
        if n - j < LANES:
            lanes = (1u << (n - j)) - 1
        f = vec_load(features + j)
        s = vec_load(gates + j)
        odd = vec_mask_select(lanes, odd + (f - f) + (s - s), odd)
        if bias_step and bias != NULL:
            added = vec_mask_load(vec_zero(), lanes, bias + j)
            gate_added = vec_mask_load(vec_zero(), lanes, gate_bias + j)
        f = vec_clip(f + added, low, high)
        if g.activation > CLIP:
            f = vec_activate(g.activation, f, vec_splat(<real>g.low))
        vec_mask_store(y + j, lanes, f * vec_activate(SIGMOID, s + gate_added, low))
        j += LANES
    return odd


cdef inline Py_ssize_t row_of(const Geometry* g, Py_ssize_t row, Py_ssize_t phase) noexcept nogil:
    """The output row, through all depths, to which row `row` of the sums of a phase belongs; -1: it is cut off."""
    cdef Py_ssize_t d = row // g.P * g.up_d + phase // g.up_h - g.cut_d
    cdef Py_ssize_t h = row % g.P * g.up_h + phase % g.up_h - g.cut_h
    return -1 if d < 0 or h < 0 or d >= g.full_d or h >= g.full_h else d * g.full_h + h


cdef inline unsigned lanes_inside(Py_ssize_t w, Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    """Which of the first n lanes lie in columns 0 .. width, if the first is column w."""
    cdef Py_ssize_t stop = max(<Py_ssize_t>0, min(min(n, <Py_ssize_t>LANES), width - w))
    return ((1u << stop) - 1) & (FULL << min(<Py_ssize_t>LANES, -w) if w < 0 else FULL)


cdef inline vec pairs_place(const Geometry* g, const Target* t, Py_ssize_t channel, Py_ssize_t count, Py_ssize_t to,
                            Py_ssize_t w, const real* even, const real* odd, Py_ssize_t distance,
                            Py_ssize_t pixels) noexcept nogil:
    """Output row `to` of `count` channels, from column w on: sums of two phases in turns."""
    cdef vec low = vec_splat(<real>g.low if g.activation == CLIP else -INFINITY)
    cdef vec high = vec_splat(<real>g.high if g.activation == CLIP else INFINITY)
    cdef vec v[2]
    cdef vec added = vec_zero(), wrong = vec_zero()
    cdef Py_ssize_t i = 0, c, at, first = max(w, <Py_ssize_t>0), stop = min(w + 2 * pixels, g.full_w)
    cdef unsigned lanes[2]
    cdef int j
    while i < pixels:
        for j in range(2):
            lanes[j] = lanes_inside(w + j * LANES, 2 * (pixels - i) - j * LANES, g.full_w)
        at = channel * g.y_k + to * g.full_w + w
        for c in range(count):
            vec_interleave(vec_load(even + c * distance + i), vec_load(odd + c * distance + i), &v[0], &v[1])
            if t.bias != NULL:
                added = vec_splat(t.bias[channel + c])
            for j in range(2):
                if t.residual == NULL and lanes[j] == FULL:
                    wrong = wrong + v[j] * vec_zero()
                    vec_store(t.y + at + j * LANES, vec_clip(v[j] + added, low, high))
                else:
                    wrong = vec_mask_select(lanes[j], wrong + v[j] * vec_zero(), wrong)
                    v[j] = v[j] + added
                    if t.residual != NULL:
                        v[j] = v[j] + vec_mask_load(vec_zero(), lanes[j], t.residual + at + j * LANES)
                    vec_mask_store(t.y + at + j * LANES, lanes[j], vec_clip(v[j], low, high))
            at += g.y_k
        i += LANES
        w += 2 * LANES
    if g.activation > CLIP and first < stop:
        for c in range(count):
            row_activate(g.activation, <real>g.low, t.y + (channel + c) * g.y_k + to * g.full_w + first, stop - first)
    return wrong


cdef inline vec row_shuffle(const Geometry* g, const real* bias, const real* residual, real* y, Py_ssize_t w,
                            const real* sums, Py_ssize_t distance, Py_ssize_t pixels) noexcept nogil:
    """One output row of one channel: any number of parts, `distance` apart, or one phase, whose outputs lie up_w apart."""
    cdef real line[LINE + LANES]
    cdef real added[NR]
    cdef Py_ssize_t step = g.up_w if g.parts == 1 else 1, n, first, stop, i, j
    cdef vec odd = vec_zero()
    while pixels > 0:
        n = min(<Py_ssize_t>NR, pixels)
        first = (-w + step - 1) // step if w < 0 else 0
        stop = min(n * g.parts, (g.full_w - w + step - 1) // step if w < g.full_w else 0)
        for j in range(g.parts if g.parts > 1 else 0):
            for i in range(n):
                line[i * g.parts + j] = sums[j * distance + i]
        if first < stop and step == 1:
            odd = odd + row_finish(g, (sums if g.parts == 1 else line) + first, bias, 0,
                                   NULL if residual == NULL else residual + w + first, y + w + first, stop - first)
        elif first < stop:
            for i in range(first, stop if residual != NULL else 0):
                added[i] = residual[w + i * step]
            odd = odd + row_finish(g, sums + first, bias, 0, NULL if residual == NULL else added + first, line + first,
                                   stop - first)
            for i in range(first, stop):
                y[w + i * step] = line[i]
        sums += n
        w += n * g.parts * step
        pixels -= n
    return odd


cdef inline vec rows_combine(const Geometry* g, const Target* t, Py_ssize_t k, Py_ssize_t channels, const real* sums,
                             Py_ssize_t distance, Py_ssize_t row, Py_ssize_t q, Py_ssize_t pixels) noexcept nogil:
    """Sums of kernels k .. k + channels, in rows `distance` apart, of `pixels` pixels from column q of row `row` on.

    Gated sums may go on in the next rows.
    """
    cdef Py_ssize_t part = channels // g.parts, j = k // g.parts, apart = part * distance, i, phase, channel, count, to, at, w
    cdef vec odd = vec_zero()
    if g.gated:
        for i in range(part):
            odd = odd + row_gate(g, sums + i * distance, sums + (part + i) * distance,
                                 NULL if t.bias == NULL else t.bias + j + i,
                                 NULL if t.bias == NULL else t.gate_bias + j + i, 0,
                                 t.y + (j + i) * g.y_k + row * g.Q + q, pixels)
        return odd
    if g.scales:
        for i in range(part):
            odd = odd + row_scale(g, sums + i * distance, t.scale + row * g.Q + q, 1,
                                  NULL if t.bias == NULL else t.bias + j + i, t.y + (j + i) * g.y_k + row * g.Q + q, pixels)
        return odd
    while part > 0:             # channels of one phase at a time
        phase = j // g.y_channels
        channel = j - phase * g.y_channels
        count = min(part, g.y_channels - channel)
        to = row_of(g, row, phase if g.parts > 1 else phase // g.up_w)
        w = q * g.up_w - g.cut_w + (phase % g.up_w if g.parts == 1 else 0)
        if to >= 0 and g.parts == 2:
            odd = odd + pairs_place(g, t, channel, count, to, w, sums, sums + apart, distance, pixels)
        elif to >= 0:
            for i in range(count):
                at = (channel + i) * g.y_k + to * g.full_w
                odd = odd + row_shuffle(g, NULL if t.bias == NULL else t.bias + channel + i,
                                        NULL if t.residual == NULL else t.residual + at, t.y + at, w, sums + i * distance,
                                        apart, pixels)
        sums += count * distance
        j += count
        part -= count
    return odd


cdef inline vec lanes_combine(const Geometry* g, const Target* t, Py_ssize_t k, Py_ssize_t channels, const real* sums,
                              Py_ssize_t row, Py_ssize_t q, Py_ssize_t pixels, Py_ssize_t step) noexcept nogil:
    """The same with sums (pixels, NR) of output pixels `step` apart, for an output with channels last."""
    cdef Py_ssize_t part = channels // g.parts, j = k // g.parts, i, n, phase, channel, to, w, at, first, stop
    cdef vec odd = vec_zero()
    if g.gated:
        for i in range(pixels):
            odd = odd + row_gate(g, sums + i * NR, sums + i * NR + part, NULL if t.bias == NULL else t.bias + j,
                                 NULL if t.bias == NULL else t.gate_bias + j, 1,
                                 t.y + (row * g.Q + q + i * step) * g.y_q + j, part)
        return odd
    if g.scales:
        for i in range(pixels):
            at = row * g.Q + q + i * step
            odd = odd + row_scale(g, sums + i * NR, t.scale + at * g.scales, 0, NULL if t.bias == NULL else t.bias + j,
                                  t.y + at * g.y_q + j, part)
        return odd
    while channels > 0:
        phase = j // g.y_channels
        channel = j - phase * g.y_channels
        n = min(channels, g.y_channels - channel)
        to = row_of(g, row, phase // g.up_w)
        w = q * g.up_w - g.cut_w + phase % g.up_w
        first = (-w + g.up_w - 1) // g.up_w if w < 0 else 0
        stop = min(pixels, (g.full_w - w + g.up_w - 1) // g.up_w if w < g.full_w else 0)
        if to >= 0 and first < stop:
            at = (to * g.full_w + w + first * g.up_w) * g.y_q + channel
            odd = odd + tile_finish(g, sums + first * NR, stop - first, NR, NULL if t.bias == NULL else t.bias + channel, 1,
                                    NULL if t.residual == NULL else t.residual + at, t.y + at, g.up_w * g.y_q, n)
        sums += n
        j += n
        channels -= n
    return odd


cdef inline vec pixels_combine(const Geometry* g, const Target* t, Py_ssize_t k, Py_ssize_t channels, real* sums,
                               Py_ssize_t row, Py_ssize_t q, Py_ssize_t pixels, Py_ssize_t step, real* turned) noexcept nogil:
    """pixels_finish of sums (pixels, NR) that are combined: pixels of one row of the sums, in either layout."""
    cdef Py_ssize_t distance = padded(pixels, LANES), part = channels // g.parts, i, j, c
    cdef vec odd = vec_zero()
    cdef real* line
    if g.channels_last:
        return lanes_combine(g, t, k, channels, sums, row, q, pixels, step)
    turn(sums, NR, pixels, channels, turned, distance)
    if step == 1:
        return rows_combine(g, t, k, channels, turned, distance, row, q, pixels)
    for i in range(pixels):                 # of a dilated kernel; the sums have been turned, and leave room
        sums[pixels + i] = t.scale[row * g.Q + q + i * step] if g.scales else 0
    for i in range(part):
        j = k // g.parts + i
        line = turned + i * distance
        if g.gated:
            odd = odd + row_gate(g, line, turned + (part + i) * distance, NULL if t.bias == NULL else t.bias + j,
                                 NULL if t.bias == NULL else t.gate_bias + j, 0, sums, pixels)
        else:
            odd = odd + row_scale(g, line, sums + pixels, 1, NULL if t.bias == NULL else t.bias + j, sums, pixels)
        for c in range(pixels):
            t.y[j * g.y_k + row * g.Q + q + c * step] = sums[c]
    return odd
