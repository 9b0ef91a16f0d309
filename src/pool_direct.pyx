"""Every window by itself: its largest number, pixel after pixel, with its position; or its mean.

Loops, outermost first, and what each block is sized for:
    task        in parallel: rows of windows
    q           vectors of windows (channels first), or windows and vectors of channels (channels last)
    t r s       the pixels of the window, in the order of their positions

Windows that differ in length along a row, channels first, and 64-bit integers go number by number.

Needs    inputs (x,), outputs (y,) or (y, positions), all contiguous; x (N, C, D, H, W), or channels last; x and y of type
         real, or both int64 with Pool.integers; positions int64. float32: fewer than 2^31 pixels in a plane.
Leaves   y, and positions if given, written in full. Positions count the pixels of a plane; of equal numbers that of the
         first, of NaNs that of the last, -1 if the window has no pixel.
Rounds   means: each row of pixels in SUMS * LANES partial sums that are added in pairs (channels last: in order), the rows
         in order, then one division. Largest numbers: nothing.
Costs    T R S loads, and about four instructions for each, a vector of results.
"""
from libc.stdint cimport INT64_MIN, int64_t
from kernel cimport POOL, AnyTask, Divide, Division, Streams, Table, divided, offer
from micro.fields cimport Pool
from micro.geometry cimport ceil_div
from micro.simd cimport (FULL, LANES, bits, ivec, ivec_load, ivec_positive, ivec_splat, ivec_steps, ivec_store_wide, real,
                         vec, vec_challenge, vec_load, vec_mask_load, vec_mask_load_step, vec_mask_store, vec_splat, vec_store)
from micro.windows cimport INFINITY, Window, axis_d, axis_h, axis_w, run_join, window

cdef enum:
    GROUP = 4                       # vectors of channels at a time

ctypedef fused number:
    real
    int64_t


cdef inline bint is_nan(number v) noexcept nogil:
    if number is real:
        return v != v
    else:
        return False


cdef inline Py_ssize_t first_of(const Pool* g, Window d, Window h, Window w) noexcept nogil:
    """Position of the first pixel of a window; -1: it has none."""
    return (d.first * g.H + h.first) * g.W + w.first if d.count and h.count and w.count else -1


cdef void window_scan(const Pool* g, const number* x, Py_ssize_t pixel, Window d, Window h, Window w, number lowest,
                      number* y, int64_t* positions) noexcept nogil:
    """One window of one channel, its pixels `pixel` apart."""
    cdef Py_ssize_t t, r, s, at, where = first_of(g, d, h, w)
    cdef number best = lowest, v
    for t in range(d.count):
        for r in range(h.count):
            for s in range(w.count):
                at = ((d.first + t * g.dilation_d) * g.H + h.first + r * g.dilation_h) * g.W + w.first + s * g.dilation_w
                v = x[at * pixel]
                if v > best or is_nan(v):
                    best, where = v, at
    y[0] = best
    if positions != NULL:
        positions[0] = where


cdef void row_scan(const Pool* g, const number* x, Py_ssize_t row, number lowest, number* y, int64_t* positions) noexcept nogil:
    """A row of windows, number by number."""
    cdef Window d = window(g, axis_d(g), row // g.P % g.O), h = window(g, axis_h(g), row % g.P), w
    cdef Py_ssize_t q, c, channels = g.C if g.channels_last else 1
    for q in range(g.Q):
        w = window(g, axis_w(g), q)
        for c in range(channels):
            window_scan(g, x + c, channels, d, h, w, lowest, y, positions)
            y += 1
            if positions != NULL:
                positions += 1


cdef inline void channels_scan(const int vectors, const Pool* g, const real* x, Py_ssize_t where, Window d, Window h, Window w,
                               unsigned count, real* y, int64_t* positions) noexcept nogil:
    """One window in `vectors` vectors of channels, of a single one in `count`; `where`: the position if no pixel is taken."""
    cdef Py_ssize_t step = g.dilation_w, next_tap = g.dilation_w * g.C, W = g.W, H = g.H, C = g.C, t, r, at
    cdef Py_ssize_t down = g.dilation_h, deep = g.dilation_d, _s
    cdef unsigned lanes = (1u << count) - 1
    cdef vec best[GROUP]
    cdef ivec place[GROUP]
    cdef ivec now
    cdef vec nothing = vec_splat(-INFINITY)
    cdef const real* pixel
    cdef int j
    for j in range(vectors):
        best[j] = nothing
        place[j] = ivec_splat(<bits>where)
    for t in range(d.count):
        for r in range(h.count):
            at = ((d.first + t * deep) * H + h.first + r * down) * W + w.first
            pixel = x + at * C
            for _s in range(w.count):
                now = ivec_splat(<bits>at)
                for j in range(vectors):
                    vec_challenge(vec_load(pixel + j * LANES) if vectors > 1 else vec_mask_load(nothing, lanes, pixel), now,
                                  &best[j], &place[j])
                at += step
                pixel += next_tap
    for j in range(vectors):
        if vectors > 1:
            vec_store(y + j * LANES, best[j])
        else:
            vec_mask_store(y, lanes, best[j])
        if positions != NULL:
            ivec_store_wide(positions + j * LANES, LANES if vectors > 1 else count, place[j])


cdef void row_of_channels(const Pool* g, const real* x, Py_ssize_t row, real* y, int64_t* positions) noexcept nogil:
    """Channels last: vectors of channels."""
    cdef Window d = window(g, axis_d(g), row // g.P % g.O), h = window(g, axis_h(g), row % g.P), w
    cdef Py_ssize_t q, c, where
    for q in range(g.Q):
        w = window(g, axis_w(g), q)
        where = first_of(g, d, h, w)
        c = 0
        while c + GROUP * LANES <= g.C:
            channels_scan(GROUP, g, x + c, where, d, h, w, LANES, y + c, NULL if positions == NULL else positions + c)
            c += GROUP * LANES
        while c < g.C:
            channels_scan(1, g, x + c, where, d, h, w, min(<Py_ssize_t>LANES, g.C - c), y + c,
                          NULL if positions == NULL else positions + c)
            c += LANES
        y += g.C
        if positions != NULL:
            positions += g.C


cdef inline unsigned lanes_inside(Py_ssize_t first, Py_ssize_t stride, Py_ssize_t n, Py_ssize_t count) noexcept nogil:
    """Which of `count` pixels, `stride` apart from `first` on, lie in 0 .. n - 1."""
    cdef Py_ssize_t low = 0, high = count
    if first < 0:
        low = min((stride - 1 - first) // stride, count)
    if first + (count - 1) * stride >= n:
        high = (n - 1 - first) // stride + 1 if first < n else 0
    return (1u << high) - (1u << low) if high > low else 0


cdef void border_scan(const Pool* g, const real* x, Py_ssize_t q, unsigned count, Window d, Window h, real* y,
                      int64_t* positions) noexcept nogil:
    """`count` windows of a row from window q on, any of whose pixels may lie in padding."""
    cdef Py_ssize_t t, r, s, i, at, step = g.stride_w, w = q * step - g.pad_w
    cdef bits begin[LANES]
    cdef vec best = vec_splat(-INFINITY)
    cdef ivec where, steps = ivec_steps(0, <bits>step)
    if g.dilation_w == 1 and d.count and h.count:
        where = ivec_splat(<bits>((d.first * g.H + h.first) * g.W)) + ivec_positive(steps + ivec_splat(<bits>w))
    else:
        for i in range(LANES):
            begin[i] = <bits>first_of(g, d, h, window(g, axis_w(g), q + i))
        where = ivec_load(begin)
    for t in range(d.count):
        for r in range(h.count):
            at = ((d.first + t * g.dilation_d) * g.H + h.first + r * g.dilation_h) * g.W + w
            for s in range(g.S):
                vec_challenge(vec_mask_load_step(vec_splat(-INFINITY), lanes_inside(w + s * g.dilation_w, step, g.W, count),
                                                 x + at, step), steps + ivec_splat(<bits>at), &best, &where)
                at += g.dilation_w
    vec_mask_store(y + q, (1u << count) - 1, best)
    if positions != NULL:
        ivec_store_wide(positions + q, count, where)


cdef inline void inner_scan(const int stride, const Pool* g, const real* x, Py_ssize_t at, unsigned count, Window d, Window h,
                            real* y, int64_t* positions) noexcept nogil:
    """`count` windows of a row inside the image, the first at x, position `at`; lanes beyond them are read. `stride`: or 0."""
    cdef Py_ssize_t t, r, s, step = stride if stride else g.stride_w, across = g.dilation_w
    cdef Py_ssize_t down = g.dilation_h * g.W, deep = g.dilation_d * g.H * g.W
    cdef vec best = vec_splat(-INFINITY)
    cdef ivec where = ivec_steps(0, <bits>step) + ivec_splat(<bits>at), now, line
    cdef ivec next_tap = ivec_splat(<bits>across), next_row = ivec_splat(<bits>down)
    for t in range(d.count):
        line = ivec_steps(0, <bits>step) + ivec_splat(<bits>(at + t * deep))
        for r in range(h.count):
            now = line
            for s in range(g.S):
                vec_challenge(vec_mask_load_step(vec_splat(0), FULL, x + t * deep + r * down + s * across, step), now, &best,
                              &where)
                now = now + next_tap
            line = line + next_row
    if count == LANES:
        vec_store(y, best)
        if positions != NULL:
            ivec_store_wide(positions, LANES, where)
    else:
        vec_mask_store(y, (1u << count) - 1, best)
        if positions != NULL:
            ivec_store_wide(positions, count, where)


cdef inline void row_of_windows(const int stride, const Pool* g, const real* x, const real* end, Py_ssize_t row, real* y,
                                int64_t* positions) noexcept nogil:
    """Channels first: vectors of windows; those at a border, with a pixel only in padding, or at the end of x need masks."""
    cdef Window d = window(g, axis_d(g), row // g.P % g.O), h = window(g, axis_h(g), row % g.P)
    cdef Py_ssize_t reach = (g.S - 1) * g.dilation_w, step = stride if stride else g.stride_w
    cdef Py_ssize_t q = 0, first = 0, stop = 0, last = 0
    cdef Py_ssize_t at = (d.first * g.H + h.first) * g.W - g.pad_w
    cdef unsigned count
    if d.count and h.count and g.W + g.pad_w > reach:
        first = ceil_div(g.pad_w, step)
        last = ((d.count - 1) * g.dilation_d * g.H + (h.count - 1) * g.dilation_h) * g.W + reach + (LANES - 1) * step
        stop = (g.W + g.pad_w - reach - 1) // step + 1
    while q < g.Q:
        count = min(<Py_ssize_t>LANES, g.Q - q)
        if first <= q and q + count <= stop and end - x > at + q * step + last:
            inner_scan(stride, g, x + at + q * step, at + q * step, count, d, h, y + q,
                       NULL if positions == NULL else positions + q)
        else:
            border_scan(g, x, q, count, d, h, y, positions)
        q += LANES


cdef void row_of_windows_any(const Pool* g, const real* x, const real* end, Py_ssize_t row, real* y,
                             int64_t* positions) noexcept nogil:
    if g.stride_w == 1:
        row_of_windows(1, g, x, end, row, y, positions)
    elif g.stride_w == 2:
        row_of_windows(2, g, x, end, row, y, positions)
    else:
        row_of_windows(0, g, x, end, row, y, positions)


cdef real run_sum(const real* x, Py_ssize_t pixels) noexcept nogil:
    cdef real lanes[LANES]
    cdef int i, n = LANES // 2
    vec_store(lanes, run_join(False, x, pixels))
    while n:
        for i in range(n):
            lanes[i] += lanes[i + n]
        n //= 2
    return lanes[0]


cdef void row_of_means(const Pool* g, const real* x, Py_ssize_t row, real* y) noexcept nogil:
    """A row of windows: means, each pixel row of a window summed by itself."""
    cdef Window d = window(g, axis_d(g), row // g.P % g.O), h = window(g, axis_h(g), row % g.P), w
    cdef Py_ssize_t q, c, t, r, s, channels = g.C if g.channels_last else 1
    cdef const real* at
    cdef unsigned lanes
    cdef vec total, line
    cdef real area, one
    for q in range(g.Q):
        w = window(g, axis_w(g), q)
        area = g.divisor if g.divisor else <real>d.area * <real>h.area * <real>w.area
        for c in range(ceil_div(channels, LANES)):
            lanes = (1u << min(<Py_ssize_t>LANES, channels - c * LANES)) - 1
            total = vec_splat(0)
            one = 0
            for t in range(d.count):
                for r in range(h.count):
                    at = x + (((d.first + t) * g.H + h.first + r) * g.W + w.first) * channels + c * LANES
                    if not g.channels_last:
                        one += run_sum(at, w.count)
                        continue
                    line = vec_splat(0)
                    for s in range(w.count):
                        line = line + vec_mask_load(vec_splat(0), lanes, at + s * channels)
                    total = total + line
            if g.channels_last:
                vec_mask_store(y + c * LANES, lanes, total / vec_splat(area))
            else:
                y[0] = one / area
        y += channels


cdef bint block(const Pool* g, const Streams* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    cdef Py_ssize_t row = task * g.rows, stop, plane, width = g.Q * (g.C if g.channels_last else 1)
    cdef int64_t* positions = NULL
    cdef const real* x
    cdef real* y
    stop = min(row + g.rows, (g.N if g.channels_last else g.N * g.C) * g.O * g.P)
    while row < stop:
        plane = row // (g.O * g.P) * (g.C if g.channels_last else 1) * g.D * g.H * g.W
        if arrays.output[1] != NULL:
            positions = <int64_t*>arrays.output[1] + row * width
        x = <const real*>arrays.input[0] + plane
        y = <real*>arrays.output[0] + row * width
        if not g.largest:
            row_of_means(g, x, row, y)
        elif g.integers:
            row_scan(g, <const int64_t*>arrays.input[0] + plane, row, <int64_t>INT64_MIN,
                     <int64_t*>arrays.output[0] + row * width, positions)
        elif g.channels_last:
            row_of_channels(g, x, row, y, positions)
        elif g.adaptive_w:
            row_scan(g, x, row, <real>-INFINITY, y, positions)
        else:
            row_of_windows_any(g, x, <const real*>arrays.input[0] + g.N * g.C * g.D * g.H * g.W, row, y, positions)
        row += 1
    return False


cdef Division divide(Pool* g) noexcept nogil:
    return divided(<AnyTask>block, ceil_div((g.N if g.channels_last else g.N * g.C) * g.O * g.P, g.rows))


cdef Table table
kernel = offer(&table, POOL, <Divide>divide)
