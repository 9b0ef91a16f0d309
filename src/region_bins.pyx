"""Regions of interest: every box of an image as PH x PW bins (roi_pool, roi_align, their position-sensitive forms, deform).

Loops, outermost first, and what each block is sized for:
    task        in parallel: a block of channels x some boxes, or a single one
    n           images, one after the other
    k           boxes of an image: pixels and weights of the bins of each are found once for all channels of the block, L1
    ph pw       bin by bin: lanes are channels
Channels first, the pixels that are read are turned before, so that the channels of a block lie side by side: with many
boxes (Regions.whole) an image, which stays in L2 while all of its boxes are computed, else what a box covers. Results are
turned back, LANES bins at a time. Channels of their own for each bin, and boxes that do not fit `room`, are read as they lie:
lanes are columns.

Needs    x (N, C, H, W) or (N, H, W, C), boxes (K, 4), index (K) of images, int64 in 0 .. N - 1, offset (K, 2, PH, PW) or
         none, y (K, channels, PH, PW) or (K, PH, PW, channels), contiguous, distinct. Boxes may hold any numbers.
Leaves   y written in full.
Rounds   weights in double, once to real; one fused chain over the pixels of a bin, row by row. Columns on the lanes: a chain
         over rows, then sums of lanes. A pixel of weight zero contributes nothing to a mean.
Costs    for each bin and channel its pixels, once; with one box of any size at most PH + H rows of PW + W pixels.
"""
from libc.math cimport INFINITY, NAN, ceil, isfinite, round
from libc.stdint cimport int64_t

from kernel cimport REGIONS, AnyTask, Divide, Division, Measure, Streams, Table, divided, offer
from micro.fields cimport Regions
from micro.bins cimport Bins, bin_pixels, bin_samples
from micro.geometry cimport ceil_div, place
from micro.pack cimport turn
from micro.simd cimport (FULL, LANES, real, vec, vec_larger, vec_load, vec_mask_load, vec_mask_store, vec_splat, vec_store,
                         vec_sum, vec_where_weighted, vec_zero)

cdef enum:
    GROUP = 4                   # vectors of channels that are summed at a time
    LARGEST, MEAN               # what bins of whole vectors hold

cdef struct Box:                # and the channels of a task
    const Regions* g
    Bins h, w
    double start_h, start_w             # in pixels
    real size_h, size_w                 # of the box
    Py_ssize_t first, count             # channels
    const real* image                   # pixel (0, 0) of these channels, side by side; NULL: they are not
    Py_ssize_t line, step               # from row to row, from pixel to pixel
    Py_ssize_t turned                   # the image that is turned; -1: none
    real* window                        # turned pixels
    real* results                       # (LANES, channels of a block)


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


cdef void find_bins(Box* b, const real* edges) noexcept nogil:
    """Pixels and weights of all bins, without an offset."""
    cdef const Regions* g = b.g
    cdef Py_ssize_t i
    axis_of(g, edges[0], edges[2], &b.start_w, &b.size_w)
    axis_of(g, edges[1], edges[3], &b.start_h, &b.size_h)
    b.h.used = b.w.used = 0
    for i in range(g.PH):
        bin_any(g, &b.h, i, b.start_h, b.size_h, g.PH, 0, i)
    for i in range(g.PW):
        bin_any(g, &b.w, i, b.start_w, b.size_w, g.PW, 0, i)


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


cdef inline void bin_group(const int what, const int vectors, const Box* b, Py_ssize_t p, Py_ssize_t q, const real* x,
                           unsigned lanes, real* y) noexcept nogil:
    """Bin (p, q) of `vectors` vectors of channels; of a single one only `lanes`. x: its first pixel."""
    cdef const real* weight_h = b.h.weight + b.h.where[p]
    cdef const real* weight_w = b.w.weight + b.w.where[q]
    cdef const real* pixel
    cdef Py_ssize_t r, i, rows = b.h.count[p], columns = b.w.count[q]
    cdef vec acc[GROUP]
    cdef vec v
    cdef real weight
    cdef int j
    for j in range(vectors):
        acc[j] = vec_splat(-INFINITY) if what == LARGEST else vec_zero()
    for r in range(rows):
        pixel = x + r * b.line
        for i in range(columns):
            weight = 1 if what == LARGEST else weight_h[r] * weight_w[i]
            if weight != 0:
                for j in range(vectors):
                    v = vec_load(pixel + j * LANES) if vectors > 1 else vec_mask_load(vec_zero(), lanes, pixel)
                    acc[j] = vec_larger(v, acc[j]) if what == LARGEST else acc[j] + vec_splat(weight) * v
            pixel += b.step
    for j in range(vectors):
        if vectors > 1:
            vec_store(y + j * LANES, acc[j])
        else:
            vec_mask_store(y, lanes, acc[j])


cdef inline void bin_listed(const Box* b, Py_ssize_t p, Py_ssize_t q, const real* x, unsigned lanes, real* y) noexcept nogil:
    """The largest weighted pixel of the samples of bin (p, q) in `lanes` channels from x on."""
    cdef const real* weight_h = b.h.weight + b.h.where[p]
    cdef const real* weight_w = b.w.weight + b.w.where[q]
    cdef const int64_t* column = b.w.at + b.w.where[q]
    cdef const real* row
    cdef Py_ssize_t r, i
    cdef vec acc = vec_zero() if b.h.outside[p] or b.w.outside[q] else vec_splat(-INFINITY), v
    cdef real weight
    for r in range(b.h.count[p]):
        row = x + b.h.at[b.h.where[p] + r] * b.line
        for i in range(b.w.count[q]):
            weight = weight_h[r] * weight_w[i]
            v = vec_zero()
            if weight != 0:
                v = vec_splat(weight) * vec_mask_load(v, lanes, row + column[i] * b.step)
            acc = vec_larger(v, acc)
    vec_mask_store(y, lanes, acc)


cdef inline void bin_channels(const int what, const Box* b, Py_ssize_t p, Py_ssize_t q, real* y) noexcept nogil:
    """All channels of the task in bin (p, q)."""
    cdef const real* x = b.image + b.h.first[p] * b.line + b.w.first[q] * b.step
    cdef Py_ssize_t c = 0
    cdef unsigned lanes
    while c + GROUP * LANES <= b.count:
        bin_group(what, GROUP, b, p, q, x + c, FULL, y + c)
        c += GROUP * LANES
    while c < b.count:
        lanes = FULL if c + LANES <= b.count else FULL >> (c + LANES - b.count)
        bin_group(what, 1, b, p, q, x + c, lanes, y + c)
        c += LANES


cdef void bin_of_channels(const Box* b, Py_ssize_t p, Py_ssize_t q, real* y) noexcept nogil:
    """The same, for every kind of bin."""
    cdef Py_ssize_t c
    if b.h.count[p] == 0 or b.w.count[q] == 0:
        for c in range(b.count):
            y[c] = 0
    elif not b.g.largest:
        bin_channels(MEAN, b, p, q, y)
    elif b.g.pixels:
        bin_channels(LARGEST, b, p, q, y)
    else:
        for c in range(ceil_div(b.count, LANES)):
            bin_listed(b, p, q, b.image + c * LANES, FULL if (c + 1) * LANES <= b.count else FULL >> ((c + 1) * LANES - b.count),
                       y + c * LANES)


cdef void bin_of_planes(const Box* b, Py_ssize_t p, Py_ssize_t q, Py_ssize_t at, const real* x, real* y) noexcept nogil:
    """Bin `at`, which is (p, q) of b.h and b.w, in all channels of the task as they lie; x: the image, y: the box."""
    cdef const Regions* g = b.g
    cdef Py_ssize_t bins = g.PH * g.PW, c, plane = g.H * g.W, channels = g.C // bins if g.by_position else g.C
    for c in range(b.first, b.first + b.count):
        if g.channels_last:
            y[at * channels + c] = bin_strided(&b.h, p, &b.w, q, x + c * bins + at, g.W * g.C, g.C)
        elif g.largest:
            y[c * bins + at] = bin_largest(g, &b.h, p, &b.w, q, x + c * plane)
        else:
            y[c * bins + at] = bin_mean(&b.h, p, &b.w, q, x + (c * bins + at if g.by_position else c) * plane, g.W)


cdef void turned(const real* x, Py_ssize_t distance, Py_ssize_t rows, Py_ssize_t n, real* y, Py_ssize_t step) noexcept nogil:
    """turn, once in the code."""
    turn(x, distance, rows, n, y, step)


cdef void window_turn(Box* b, const real* x, Py_ssize_t low_h, Py_ssize_t high_h, Py_ssize_t low_w,
                      Py_ssize_t high_w) noexcept nogil:
    """Pixels (low_h .. high_h - 1, low_w .. high_w - 1) of the task's channels side by side in b.window; x: the image."""
    cdef const Regions* g = b.g
    cdef Py_ssize_t width = high_w - low_w, step = g.channels, plane = g.H * g.W, h
    x += b.first * plane + low_w
    if width == g.W:
        turned(x + low_h * width, plane, b.count, (high_h - low_h) * width, b.window, step)
    else:
        for h in range(low_h, high_h):
            turned(x + h * g.W, plane, b.count, width, b.window + (h - low_h) * width * step, step)
    b.line, b.step = width * step, step
    b.image = b.window - (low_h * width + low_w) * step


cdef inline void bins_cover(const Bins* b, Py_ssize_t bins, Py_ssize_t* low, Py_ssize_t* high) noexcept nogil:
    cdef Py_ssize_t i
    low[0], high[0] = b.n, 0
    for i in range(bins):
        if b.count[i]:
            low[0] = min(low[0], b.first[i])
            high[0] = max(high[0], b.first[i] + b.count[i])
    low[0] = min(low[0], high[0])


cdef void find_image(Box* b, const real* x, Py_ssize_t n, bint moved) noexcept nogil:
    """b.image, line and step for the box; x: image n."""
    cdef const Regions* g = b.g
    cdef Py_ssize_t low_h, high_h, low_w, high_w
    if g.channels_last and not g.by_position:
        b.image, b.line, b.step = x + b.first, g.W * g.C, g.C
    elif g.whole:
        if b.turned != n:
            window_turn(b, x, 0, g.H, 0, g.W)
        b.turned = n
    elif not (moved or g.by_position or (g.largest and not g.pixels)):
        bins_cover(&b.h, g.PH, &low_h, &high_h)
        bins_cover(&b.w, g.PW, &low_w, &high_w)
        b.image = NULL
        if (high_h - low_h) * (high_w - low_w) * g.channels <= g.room:
            window_turn(b, x, low_h, high_h, low_w, high_w)


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


cdef Py_ssize_t layout(const Regions* g, Box* b, char* workspace) noexcept nogil:
    """Place the buffers of a task in the workspace; return the bytes they take."""
    cdef char* free = workspace
    b.g = g
    place_bins(g, &b.h, g.H, g.PH, &free)
    place_bins(g, &b.w, g.W, g.PW, &free)
    b.results = <real*>place(&free, LANES * g.channels * sizeof(real))
    b.window = <real*>place(&free, g.room * sizeof(real))
    return free - workspace


cdef void box_pool(Box* b, const real* x, const real* offset, real* y) noexcept nogil:
    """All bins of a box, each moved by its own offset if there is one, as a share of the box. x: its image."""
    cdef const Regions* g = b.g
    cdef Py_ssize_t bins = g.PH * g.PW, at, i, j
    for at in range(bins):
        i, j = at // g.PW, at % g.PW
        if offset != NULL:
            b.h.used = b.w.used = 0
            bin_any(g, &b.w, 0, b.start_w, b.size_w, g.PW, g.gamma * b.size_w * offset[at], j)
            bin_any(g, &b.h, 0, b.start_h, b.size_h, g.PH, g.gamma * b.size_h * offset[bins + at], i)
            i, j = 0, 0
        if b.image == NULL:
            bin_of_planes(b, i, j, at, x, y)
        elif g.channels_last:
            bin_of_channels(b, i, j, y + at * g.C + b.first)
        else:
            bin_of_channels(b, i, j, b.results + at % LANES * g.channels)
            if at % LANES == LANES - 1 or at == bins - 1:
                turned(b.results, g.channels, at % LANES + 1, b.count, y + b.first * bins + at // LANES * LANES, bins)


cdef bint block(const void* fields, const void* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: some boxes, image by image, in a block of their channels."""
    cdef const Regions* g = <const Regions*>fields
    cdef const Streams* s = <const Streams*>arrays
    cdef const int64_t* index = <const int64_t*>s.input[2]
    cdef const real* offset = <const real*>s.input[3]
    cdef const real* x
    cdef Py_ssize_t bins = g.PH * g.PW, channels = g.C // bins if g.by_position else g.C, share = task % g.shares, n, k
    cdef Box b
    layout(g, &b, workspace)
    b.image, b.turned = NULL, -1
    b.first = task // g.shares * g.channels
    b.count = min(channels - b.first, g.channels)
    for n in range(g.N if g.whole else 1):
        for k in range(g.K * share // g.shares, g.K * (share + 1) // g.shares):
            if g.whole and index[k] != n:
                continue
            x = <const real*>s.input[0] + index[k] * g.C * g.H * g.W
            find_bins(&b, <const real*>s.input[1] + 4 * k)
            find_image(&b, x, index[k], offset != NULL)
            box_pool(&b, x, NULL if offset == NULL else offset + k * 2 * bins, <real*>s.output[0] + k * channels * bins)
    return False


cdef Py_ssize_t workspace(const Regions* g) noexcept nogil:
    cdef Box b
    return layout(g, &b, NULL)


cdef Division divide(Regions* g) noexcept nogil:
    return divided(<AnyTask>block, g.shares * ceil_div(g.C // (g.PH * g.PW) if g.by_position else g.C, g.channels))


cdef Table table
kernel = offer(&table, REGIONS, <Divide>divide, <Measure>workspace)
