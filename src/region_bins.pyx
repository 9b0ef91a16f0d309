"""Regions of interest: every box of an image as PH x PW bins (roi_pool, roi_align, their position-sensitive forms, deform).

Loops, outermost first, and what each block is sized for:
    task        in parallel: a box x CHANNELS channels        pixels and weights of its bins: found once, L1
    c           one plane after the other (channels first)
    ph          across: the rows of all bins of a row of bins are summed, then lanes are bins
    ph pw       else bin by bin: lanes are columns or, channels last, channels

Needs    x (N, C, H, W) or (N, H, W, C), boxes (K, 4), index (K) of images, int64 in 0 .. N - 1, offset (K, 2, PH, PW) or
         none, y (K, channels, PH, PW) or (K, PH, PW, channels), contiguous, distinct. Boxes may hold any numbers.
Leaves   y written in full.
Rounds   weights in double, once to real; a fused chain over rows, then over columns. A pixel of weight zero contributes
         nothing to a mean.
Costs    for each bin and channel its pixels, once; with one box of any size at most PH + H rows of PW + W pixels.
"""
from libc.math cimport INFINITY, NAN, ceil, isfinite, round
from libc.stdint cimport int64_t

from kernel cimport REGIONS, AnyTask, Divide, Division, Measure, Streams, Table, divided, offer
from micro.fields cimport Regions
from micro.bins cimport Bins, bin_pixels, bin_samples
from micro.geometry cimport ceil_div, padded, place
from micro.simd cimport (FULL, LANES, bits, real, vec, vec_collect, vec_larger, vec_load, vec_mask_load, vec_mask_store,
                         vec_pick_two, vec_splat, vec_store, vec_sum, vec_where_weighted, vec_zero)

cdef enum:
    CHANNELS = 64               # of one task
    ACROSS = 1 << 12            # numbers of summed rows, and of weights, that stay in L1

cdef struct Box:
    const Regions* g
    Bins h, w
    double start_h, start_w             # in pixels
    real size_h, size_w                 # of the box
    Py_ssize_t low, span, taps, width   # across: columns of all bins; taps of the widest; PW in whole vectors
    real* total                         # (span + 1)
    real* tap_weight                    # (taps, width)
    bits* tap_at                        # (taps, width), from `low` on


cdef inline void axis_of(const Regions* g, real low, real high, double* start, real* size) noexcept nogil:
    cdef real begin = <real>(<double>low * g.scale), end = <real>(<double>high * g.scale)
    if g.pixels:
        begin, end = <real>round(begin), <real>round(end)
        size[0] = end - begin + g.inclusive
    else:
        begin = begin - <real>g.shift
        size[0] = end - <real>g.shift - begin
    if g.at_least_one and size[0] < 1:
        size[0] = 1
    if not (isfinite(begin) and isfinite(end)):
        size[0] = NAN                                   # such a box has no pixels
    start[0] = begin


cdef inline double samples_of(const Regions* g, real bin) noexcept nogil:
    return g.samples if g.samples else ceil(<double>bin)


cdef inline void bin_any(const Regions* g, Bins* b, Py_ssize_t i, double start, real size, Py_ssize_t bins, double moved,
                         Py_ssize_t at) noexcept nogil:
    """Bin `at` of `bins` as the i-th of b."""
    cdef real bin = size / bins
    if g.pixels:
        bin_pixels(b, i, start, bin, b.n - g.open)
    else:
        bin_samples(b, i, start + moved + at * <double>bin, bin, samples_of(g, bin),
                    g.samples if g.samples else 2 * b.n + 8, g.largest)


cdef void find_bins(Box* box, const real* edges) noexcept nogil:
    """Pixels and weights of all bins, without an offset."""
    cdef const Regions* g = box.g
    cdef Py_ssize_t i
    axis_of(g, edges[0], edges[2], &box.start_w, &box.size_w)
    axis_of(g, edges[1], edges[3], &box.start_h, &box.size_h)
    box.h.used = box.w.used = 0
    for i in range(g.PH):
        bin_any(g, &box.h, i, box.start_h, box.size_h, g.PH, 0, i)
    for i in range(g.PW):
        bin_any(g, &box.w, i, box.start_w, box.size_w, g.PW, 0, i)


cdef bint find_across(Box* box) noexcept nogil:
    """Weights of all bins side by side; whether they fit."""
    cdef const Regions* g = box.g
    cdef Bins* w = &box.w
    cdef Py_ssize_t i, t, high = 0
    cdef bint inside
    box.low, box.taps = w.n, 0
    for i in range(g.PW):
        if w.count[i]:
            box.low = min(box.low, w.first[i])
            high = max(high, w.first[i] + w.count[i])
            box.taps = max(box.taps, w.count[i])
    box.low = min(box.low, high)
    box.span = high - box.low
    box.width = padded(g.PW, LANES)
    if box.span > ACROSS - 3 * LANES or box.taps * box.width > ACROSS:
        return False
    for t in range(box.taps):
        for i in range(box.width):
            inside = i < g.PW and t < w.count[i]
            box.tap_weight[t * box.width + i] = w.weight[w.where[i] + t] if inside else 0
            box.tap_at[t * box.width + i] = w.first[i] + t - box.low if inside else box.span    # a number that counts nothing
    return True


cdef inline void rows_across(const bint largest, const Box* box, Py_ssize_t p, const real* x) noexcept nogil:
    """total: the rows of bin row p of a plane, weighted and summed, or the largest of each column; one neutral number more."""
    cdef Py_ssize_t i = 0, r, line = box.g.W
    cdef const real* row = x + box.h.first[p] * line + box.low
    cdef const real* weight = box.h.weight + box.h.where[p]
    cdef vec neutral = vec_splat(-INFINITY) if largest else vec_zero(), acc
    cdef unsigned lanes
    while i < box.span:
        lanes = FULL if i + LANES <= box.span else FULL >> (i + LANES - box.span)
        acc = neutral
        for r in range(box.h.count[p]):
            if largest:
                acc = vec_larger(acc, vec_mask_load(neutral, lanes, row + r * line + i))
            elif weight[r] != 0:
                acc = acc + vec_splat(weight[r]) * vec_mask_load(neutral, lanes, row + r * line + i)
        vec_store(box.total + i, acc)
        i += LANES
    vec_store(box.total + box.span, neutral)


cdef inline void bins_across(const bint largest, const bint near, const Box* box, real* y) noexcept nogil:
    """A row of bins out of `total`; near: which is no longer than two vectors."""
    cdef Py_ssize_t i = 0, t, width = box.width
    cdef vec low = vec_load(box.total), high = vec_load(box.total + LANES), acc, v, w
    cdef unsigned lanes
    while i < box.g.PW:
        acc = vec_splat(-INFINITY) if largest else vec_zero()
        for t in range(box.taps):
            if near:
                v = vec_pick_two(low, high, box.tap_at + t * width + i)
            else:
                v = vec_collect(box.total, box.tap_at + t * width + i)
            if largest:
                acc = vec_larger(acc, v)
            else:
                w = vec_load(box.tap_weight + t * width + i)
                acc = acc + w * vec_where_weighted(w, v)
        lanes = FULL if i + LANES <= box.g.PW else FULL >> (i + LANES - box.g.PW)
        vec_mask_store(y + i, lanes, acc)
        i += LANES


cdef inline void plane_across(const bint largest, const Box* box, const real* x, real* y) noexcept nogil:
    """All bins of one plane: y (PH, PW)."""
    cdef const Regions* g = box.g
    cdef Py_ssize_t p, q
    for p in range(g.PH):
        rows_across(largest, box, p, x)
        if box.span < 2 * LANES:
            bins_across(largest, True, box, y)
        else:
            bins_across(largest, False, box, y)
        if largest:
            for q in range(g.PW):
                if box.h.count[p] == 0 or box.w.count[q] == 0:
                    y[q] = 0
        y += g.PW


cdef real bin_mean(const Bins* h, Py_ssize_t p, const Bins* w, Py_ssize_t q, const real* x, Py_ssize_t line) noexcept nogil:
    """The weighted sum of one bin of a plane: lanes are columns."""
    cdef const real* weight = h.weight + h.where[p]
    cdef const real* row = x + h.first[p] * line + w.first[q]
    cdef Py_ssize_t i = 0, r
    cdef unsigned lanes
    cdef vec acc, total = vec_zero(), v
    while i < w.count[q]:
        lanes = FULL if i + LANES <= w.count[q] else FULL >> (i + LANES - w.count[q])
        acc = vec_zero()
        for r in range(h.count[p]):
            if weight[r] != 0:
                acc = acc + vec_splat(weight[r]) * vec_mask_load(vec_zero(), lanes, row + r * line + i)
        v = vec_load(w.weight + w.where[q] + i)
        total = total + v * vec_where_weighted(v, acc)
        i += LANES
    return vec_sum(total)


cdef inline real larger(real a, real b) noexcept nogil:
    """NaN if either is."""
    return a if a > b or a != a else b


cdef real bin_largest(const Regions* g, const Bins* h, Py_ssize_t p, const Bins* w, Py_ssize_t q, const real* x) noexcept nogil:
    """The largest number of one bin of a plane; of samples, the largest weighted pixel. 0 for an empty bin."""
    cdef Py_ssize_t i, r, line = g.W
    cdef const real* row
    cdef real best = -INFINITY, weight
    cdef real lane[LANES]
    cdef unsigned lanes
    cdef vec acc = vec_splat(-INFINITY)
    if h.count[p] == 0 or w.count[q] == 0:
        return 0
    if g.pixels:
        for r in range(h.count[p]):
            row = x + (h.first[p] + r) * line + w.first[q]
            i = 0
            while i < w.count[q]:
                lanes = FULL if i + LANES <= w.count[q] else FULL >> (i + LANES - w.count[q])
                acc = vec_larger(acc, vec_mask_load(vec_splat(-INFINITY), lanes, row + i))
                i += LANES
        vec_store(lane, acc)
        for i in range(LANES):
            best = larger(best, lane[i])
        return best
    if h.outside[p] or w.outside[q]:
        best = 0
    for r in range(h.count[p]):
        row = x + h.at[h.where[p] + r] * line
        for i in range(w.count[q]):
            weight = h.weight[h.where[p] + r] * w.weight[w.where[q] + i]
            best = larger(best, weight * row[w.at[w.where[q] + i]] if weight != 0 else 0)
    return best


cdef void bin_channels(const Regions* g, const Bins* h, Py_ssize_t p, const Bins* w, Py_ssize_t q, const real* x,
                       Py_ssize_t count, real* y) noexcept nogil:
    """`count` channels of one bin, channels last: lanes are channels."""
    cdef Py_ssize_t c = 0, r, i, row, column
    cdef bint listed = g.largest and not g.pixels, empty = h.count[p] == 0 or w.count[q] == 0
    cdef unsigned lanes
    cdef real weight
    cdef vec acc, v
    while c < count:
        lanes = FULL if c + LANES <= count else FULL >> (c + LANES - count)
        acc = vec_zero()
        if g.largest and not (empty or (listed and (h.outside[p] or w.outside[q]))):
            acc = vec_splat(-INFINITY)
        for r in range(0 if empty else h.count[p]):
            row = h.at[h.where[p] + r] if listed else h.first[p] + r
            for i in range(w.count[q]):
                column = w.at[w.where[q] + i] if listed else w.first[q] + i
                weight = h.weight[h.where[p] + r] * w.weight[w.where[q] + i]
                if weight == 0:
                    acc = vec_larger(acc, vec_zero()) if listed else acc
                    continue
                v = vec_mask_load(vec_zero(), lanes, x + (row * g.W + column) * g.C + c)
                if listed:
                    acc = vec_larger(acc, vec_splat(weight) * v)
                elif g.largest:
                    acc = vec_larger(acc, v)
                else:
                    acc = acc + vec_splat(weight) * v
        vec_mask_store(y + c, lanes, acc)
        c += LANES


cdef real bin_strided(const Bins* h, Py_ssize_t p, const Bins* w, Py_ssize_t q, const real* x, Py_ssize_t line,
                      Py_ssize_t step) noexcept nogil:
    """The weighted sum of one bin in one of several channels that lie side by side."""
    cdef real total = 0, weight
    cdef Py_ssize_t r, i
    for r in range(h.count[p]):
        for i in range(w.count[q]):
            weight = h.weight[h.where[p] + r] * w.weight[w.where[q] + i]
            if weight != 0:
                total += weight * x[(h.first[p] + r) * line + (w.first[q] + i) * step]
    return total


cdef void bin_of_all(const Regions* g, const Bins* h, Py_ssize_t i, const Bins* w, Py_ssize_t j, Py_ssize_t at, const real* x,
                     Py_ssize_t first, Py_ssize_t stop, real* y) noexcept nogil:
    """Bin `at`, which is (i, j) of h and w, in output channels first .. stop - 1; x: the image, y: the box."""
    cdef Py_ssize_t bins = g.PH * g.PW, c, plane = g.H * g.W, channels = g.C // bins if g.by_position else g.C
    if g.channels_last and not g.by_position:
        bin_channels(g, h, i, w, j, x + first, stop - first, y + at * channels + first)
        return
    for c in range(first, stop):
        if g.channels_last:
            y[at * channels + c] = bin_strided(h, i, w, j, x + c * bins + at, g.W * g.C, g.C)
        elif g.largest:
            y[c * bins + at] = bin_largest(g, h, i, w, j, x + c * plane)
        else:
            y[c * bins + at] = bin_mean(h, i, w, j, x + (c * bins + at if g.by_position else c) * plane, g.W)


cdef Py_ssize_t room_of(const Regions* g, Py_ssize_t n, Py_ssize_t bins) noexcept nogil:
    """Numbers that the bins of one axis take at most."""
    if g.largest and not g.pixels:
        return bins * (2 * g.samples + LANES) if g.samples else 4 * (n + 2) + bins * (8 + LANES)
    return n + bins * (4 + LANES)


cdef void place_bins(const Regions* g, Bins* b, Py_ssize_t n, Py_ssize_t bins, char** free) noexcept nogil:
    b.n, b.room, b.used = n, room_of(g, n, bins), 0
    b.first = <Py_ssize_t*>place(free, bins * sizeof(Py_ssize_t))
    b.count = <Py_ssize_t*>place(free, bins * sizeof(Py_ssize_t))
    b.where = <Py_ssize_t*>place(free, bins * sizeof(Py_ssize_t))
    b.outside = <bint*>place(free, bins * sizeof(bint))
    b.weight = <real*>place(free, b.room * sizeof(real))
    b.at = <int64_t*>place(free, b.room * sizeof(int64_t) if g.largest and not g.pixels else 0)


cdef Py_ssize_t layout(const Regions* g, Box* box, char* workspace) noexcept nogil:
    """Place the buffers of a box in the workspace; return the bytes they take."""
    cdef char* free = workspace
    box.g = g
    place_bins(g, &box.h, g.H, g.PH, &free)
    place_bins(g, &box.w, g.W, g.PW, &free)
    box.total = <real*>place(&free, ACROSS * sizeof(real))
    box.tap_weight = <real*>place(&free, ACROSS * sizeof(real))
    box.tap_at = <bits*>place(&free, ACROSS * sizeof(bits))
    return free - workspace


cdef void moved_bins(Box* box, const real* x, const real* offset, Py_ssize_t first, Py_ssize_t stop, real* y) noexcept nogil:
    """Every bin moved by its own offset, as a share of the box."""
    cdef const Regions* g = box.g
    cdef Py_ssize_t i, bins = g.PH * g.PW
    for i in range(bins):
        box.h.used = box.w.used = 0
        bin_any(g, &box.w, 0, box.start_w, box.size_w, g.PW, g.gamma * box.size_w * offset[i], i % g.PW)
        bin_any(g, &box.h, 0, box.start_h, box.size_h, g.PH, g.gamma * box.size_h * offset[bins + i], i // g.PW)
        bin_of_all(g, &box.h, 0, &box.w, 0, i, x, first, stop, y)


cdef bint block(const void* fields, const void* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: a box, in some of its channels."""
    cdef const Regions* g = <const Regions*>fields
    cdef const Streams* s = <const Streams*>arrays
    cdef Py_ssize_t bins = g.PH * g.PW, channels = g.C // bins if g.by_position else g.C
    cdef Py_ssize_t blocks = ceil_div(channels, CHANNELS), k = task // blocks, first = task % blocks * CHANNELS, i, c
    cdef Py_ssize_t stop = min(channels, first + CHANNELS)
    cdef const real* x = <const real*>s.input[0] + (<const int64_t*>s.input[2])[k] * g.C * g.H * g.W
    cdef real* y = <real*>s.output[0] + k * channels * bins
    cdef Box box
    layout(g, &box, workspace)
    find_bins(&box, <const real*>s.input[1] + 4 * k)
    if s.input[3] != NULL:
        moved_bins(&box, x, <const real*>s.input[3] + k * 2 * bins, first, stop, y)
    elif not (g.channels_last or g.by_position or (g.largest and not g.pixels)) and find_across(&box):
        for c in range(first, stop):
            if g.largest:
                plane_across(True, &box, x + c * g.H * g.W, y + c * bins)
            else:
                plane_across(False, &box, x + c * g.H * g.W, y + c * bins)
    else:
        for i in range(bins):
            bin_of_all(g, &box.h, i // g.PW, &box.w, i % g.PW, i, x, first, stop, y)
    return False


cdef Py_ssize_t workspace(const Regions* g) noexcept nogil:
    cdef Box box
    return layout(g, &box, NULL)


cdef Division divide(Regions* g) noexcept nogil:
    return divided(<AnyTask>block, g.K * ceil_div(g.C // (g.PH * g.PW) if g.by_position else g.C, CHANNELS))


cdef Table table
kernel = offer(&table, REGIONS, <Divide>divide, <Measure>workspace)
