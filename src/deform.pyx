"""Deformable convolution: every tap samples the image between its pixels, where the offsets say.

Loops, outermost first, and what each block is sized for:
    round       with channels first some images, turned to channels last in parallel beforehand; weights are packed likewise
    task        in parallel: image x pixel_block x channel_block
    pair        chunk (tap, channel) pairs      the panel (pixel_block, chunk), interpolated here: L2
    group, k    NR output channels              (chunk, NR) weights: near L1
    q           up to MR pixels                 the register tile
A *sample* is where one tap of one offset group looks: four corners, as pointers to the channels of a pixel or to zeros, and
their shares, with the mask multiplied in. Samples are found for a strip of pixels at once; then each pixel is interpolated
by all its taps, which see the same part of the image, input channels on the lanes. In the product output channels are.

Needs    x (N, H, W, G C), channels contiguous, or (N, G C, H, W) with rows contiguous; w (G K, C, R, S) or packed;
         offset and mask (NULL: ones) contiguous and y in the layout of x; distinct buffers.
Leaves   y written in full.
Rounds   a position is computed in float64; shares are rounded once, their products summed corner by corner; then one
         fused chain per output, in order r, s, c; then bias, residual, activation.
Costs    2 N G K C R S P Q flop of the product and 8 N G C R S P Q of the interpolation, once for each channel_block.
"""
from libc.math cimport floor
from libc.string cimport memset

from kernel cimport CONVOLUTION, AnyTask, Arrays, Divide, Division, Measure, Table, divided, divided_in_rounds, offer
from micro.finish cimport any_odd, output_open, output_place, pixels_finish
from micro.geometry cimport Geometry, ceil_div, padded, place
from micro.pack cimport pack_columns
from micro.simd cimport LANES, MR, NR, REAL_BYTES, real, vec, vec_load, vec_mask_load, vec_splat, vec_store, vec_zero
from micro.tile cimport Output, any_tile_multiply_rows
from turned cimport image_size, images_of, pieces_of, pitch_of, turn_piece, turned_size

cdef enum:
    STRIP = 16                  # pixels whose samples are found at once ...
    SAMPLES = 16                # ... for so many taps and offset groups: they stay in L1

cdef struct Sample:         # one tap of one offset group, for STRIP pixels
    Py_ssize_t pair, n              # what it makes of a row of the panel: n (tap, channel) pairs from `pair` on
    Py_ssize_t whole                # so many of them are read in whole vectors
    unsigned lanes                  # and those of the last vector by a mask
    const real* corner[4][STRIP]    # the pixels that it lies between
    real share[4][STRIP]            # and how much of each it takes

cdef struct Block:          # one task: what it computes and where its workspace lies
    Py_ssize_t n, q0, pixels, tiles, k0, k1
    const real* x           # the image, channels last
    Py_ssize_t x_h, x_w
    const real* w           # packed
    double* row             # (pixels): where the windows begin
    double* column
    Sample* sample          # (SAMPLES)
    real* zeros             # channels of a pixel outside the image
    const real** window     # (runs, pixels): where the multipliers of a pixel and group start in the panel
    real* panel             # (pixels, pitch)
    Py_ssize_t pitch
    real* totals            # (pixels, NR) for each NR output channels of each group; for one of them if chunks are whole sums
    real* turned            # (NR, pixels) sums of channels-first output


cdef Py_ssize_t layout(const Geometry* g, Block* b, char* workspace) noexcept nogil:
    """Place the buffers of the largest block in the workspace; return the bytes they take. plan.py asks for them."""
    cdef Py_ssize_t channels = g.G * g.C, pixels = min(g.pixel_block, g.P * g.Q)
    cdef Py_ssize_t panels = g.G * ceil_div(min(g.channel_block, g.K), NR) if g.chunk < channels * g.R * g.S else 1
    cdef char* free = workspace
    b.pitch = padded(g.chunk, LANES) + LANES        # a line more: rows a power of two apart would share a set of L1
    b.row = <double*>place(&free, pixels * sizeof(double))
    b.column = <double*>place(&free, pixels * sizeof(double))
    b.sample = <Sample*>place(&free, SAMPLES * sizeof(Sample))
    b.zeros = <real*>place(&free, zeros_of(g) * sizeof(real))
    b.window = <const real**>place(&free, runs_of(g, g.chunk) * pixels * sizeof(void*))
    b.panel = <real*>place(&free, pixels * b.pitch * sizeof(real))
    b.totals = <real*>place(&free, (panels * pixels + LANES) * NR * sizeof(real))
    b.turned = <real*>place(&free, 0 if g.channels_last else padded(pixels, LANES) * NR * sizeof(real))
    return free - workspace


cdef Py_ssize_t zeros_of(const Geometry* g) noexcept nogil:
    """Zeros that a sample may read instead of a pixel, in whole vectors."""
    return padded(min(g.chunk, g.G * g.C), LANES)


cdef Py_ssize_t weights_size(const Geometry* g) noexcept nogil:
    return g.G * padded(g.K, NR) * g.C * g.R * g.S


cdef Py_ssize_t runs_of(const Geometry* g, Py_ssize_t sums) noexcept nogil:
    """Runs that a product of one group has in `sums` (tap, channel) pairs: with groups, one for each tap."""
    return 1 if g.G == 1 else sums // (g.G * g.C)


cdef void pack_panel(const Geometry* g, const real* w, Py_ssize_t panel, real* packed) noexcept nogil:
    """One of the panels (R S, C, NR) that `packed` consists of."""
    cdef Py_ssize_t panels = ceil_div(g.K, NR), length = g.C * g.R * g.S
    cdef Py_ssize_t group = panel // panels, k = panel % panels * NR
    pack_columns(w + (group * g.K + k) * length, length, <int>min(<Py_ssize_t>NR, g.K - k), g.C, g.R * g.S,
                 packed + panel * length * NR, g.C)


cdef Py_ssize_t panels_of(const Geometry* g) noexcept nogil:
    """Panels of weights that are packed before the first round."""
    return 0 if g.packed else g.G * ceil_div(g.K, NR)


cdef Py_ssize_t preparations(const Geometry* g) noexcept nogil:
    """Tasks before each round."""
    return max(images_of(g) * pieces_of(g), panels_of(g))


cdef bint prepare(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task before a round: its share of the images and of the weights."""
    cdef Py_ssize_t tasks = preparations(g), number = task // tasks, first = number * images_of(g), i
    cdef Py_ssize_t turns = min(images_of(g), g.N - first) * pieces_of(g), panels = panels_of(g) if number == 0 else 0
    task -= number * tasks
    for i in range(task * turns // tasks, (task + 1) * turns // tasks):
        turn_piece(g, a, first * pieces_of(g) + i)
    for i in range(task * panels // tasks, (task + 1) * panels // tasks):
        pack_panel(g, a.w, i, <real*>a.shared + turned_size(g))
    return False


cdef void find_windows(const Geometry* g, Block* b) noexcept nogil:
    """Fill `row` and `column`."""
    cdef Py_ssize_t i, p = b.q0 // g.Q, q = b.q0 - p * g.Q
    for i in range(b.pixels):
        b.row[i] = p * g.stride_h - g.pad_h
        b.column[i] = q * g.stride_w - g.pad_w
        q += 1
        if q == g.Q:
            q = 0
            p += 1


cdef inline void sample_find(const Geometry* g, const Block* b, const real* x, double tap_h, double tap_w, Py_ssize_t q,
                             Py_ssize_t count, const real* dy, const real* dx, Py_ssize_t step, const real* mask,
                             Py_ssize_t mask_step, Sample* sample) noexcept nogil:
    """Corners, as pointers to the channel at x, and shares of `count` pixels from q on; offsets of pixels are `step` apart.

    A corner outside the image is one of zeros, so is one of which nothing is taken: an infinity there does not matter.
    What is no position in the image is none before it becomes an integer.
    """
    cdef double H = g.H, W = g.W, x_h = b.x_h * REAL_BYTES, x_w = b.x_w * REAL_BYTES, h, w, top, left
    cdef double row[STRIP]
    cdef double column[STRIP]
    cdef double factor[STRIP]
    cdef double where[STRIP]
    cdef double share[4][STRIP]
    cdef double up, down, before, after
    cdef Py_ssize_t zeros = <Py_ssize_t>b.zeros, n = padded(count, 8), at, i        # n: whole vectors, whatever the lanes
    cdef int j
    for i in range(n):
        row[i] = column[i] = -2
        factor[i] = 1
    for i in range(count):
        row[i] = b.row[q + i] + tap_h + dy[(q + i) * step]
        column[i] = b.column[q + i] + tap_w + dx[(q + i) * step]
    if mask != NULL:
        for i in range(count):
            factor[i] = mask[(q + i) * mask_step]
    for i in range(n):
        h = row[i] if row[i] > -1 else -2
        h = h if h < H else -2
        w = column[i] if column[i] > -1 else -2
        w = w if w < W else -2
        top = floor(h)
        left = floor(w)
        down = h - top
        after = w - left
        up = 1 - down if top >= 0 else 0
        before = 1 - after if left >= 0 else 0
        down = down if top < H - 1 else 0
        after = after if left < W - 1 else 0
        where[i] = top * x_h + left * x_w
        share[0][i] = up * before
        share[1][i] = up * after
        share[2][i] = down * before
        share[3][i] = down * after
    for j in range(4):
        at = <Py_ssize_t>x + (j // 2 * b.x_h + j % 2 * b.x_w) * REAL_BYTES
        for i in range(n):
            sample.corner[j][i] = <const real*>(at + <Py_ssize_t>where[i] if share[j][i] > 0 else zeros)
            sample.share[j][i] = <real>(share[j][i] * factor[i])


cdef inline void interpolate(const Sample* sample, int i, real* panel) noexcept nogil:
    """panel[0 .. n) <- the sample of pixel i; LANES numbers behind them are overwritten too."""
    cdef Py_ssize_t j = 0
    cdef unsigned lanes = sample.lanes
    cdef const real* a = sample.corner[0][i]
    cdef const real* b = sample.corner[1][i]
    cdef const real* c = sample.corner[2][i]
    cdef const real* d = sample.corner[3][i]
    cdef vec p = vec_splat(sample.share[0][i]), q = vec_splat(sample.share[1][i])
    cdef vec r = vec_splat(sample.share[2][i]), s = vec_splat(sample.share[3][i])
    while j < sample.whole:
        vec_store(panel + j, p * vec_load(a + j) + q * vec_load(b + j) + r * vec_load(c + j) + s * vec_load(d + j))
        j += LANES
    if lanes:
        vec_store(panel + j, p * vec_mask_load(vec_zero(), lanes, a + j) + q * vec_mask_load(vec_zero(), lanes, b + j)
                  + r * vec_mask_load(vec_zero(), lanes, c + j) + s * vec_mask_load(vec_zero(), lanes, d + j))


cdef void pair_sample(const Geometry* g, const Arrays* a, const Block* b, Py_ssize_t q, Py_ssize_t count, Py_ssize_t pair,
                      Py_ssize_t stop, Sample* sample) noexcept nogil:
    """The sample of a (tap, channel) pair and of those behind it, up to `stop`, that look where it looks."""
    cdef Py_ssize_t channels = g.G * g.C, depth = channels // g.offset_groups, taps = g.R * g.S, pixels = g.P * g.Q
    cdef Py_ssize_t parts = g.offset_groups * taps, tap = pair // channels, c = pair - tap * channels
    cdef Py_ssize_t part = c // depth * taps + tap
    cdef double tap_h = tap // g.S * g.dilation_h, tap_w = tap % g.S * g.dilation_w
    cdef const real* offset = a.more[0]
    cdef const real* mask = a.more[1]
    sample.pair = pair
    sample.n = min(stop - pair, (c // depth + 1) * depth - c)
    sample.whole = sample.n // LANES * LANES if g.channels_last else padded(sample.n, LANES)
    sample.lanes = (1u << sample.n % LANES) - 1 if g.channels_last else 0
    if g.channels_last:
        offset += ((b.n * pixels + b.q0) * parts + part) * 2
        mask += (b.n * pixels + b.q0) * parts + part if mask != NULL else 0
        sample_find(g, b, b.x + c, tap_h, tap_w, q, count, offset, offset + 1, 2 * parts, mask, parts, sample)
    else:
        offset += (b.n * parts + part) * 2 * pixels + b.q0
        mask += (b.n * parts + part) * pixels + b.q0 if mask != NULL else 0
        sample_find(g, b, b.x + c, tap_h, tap_w, q, count, offset, offset + pixels, 1, mask, 1, sample)


cdef void panel_interpolate(const Geometry* g, const Arrays* a, const Block* b, Py_ssize_t first,
                            Py_ssize_t stop) noexcept nogil:
    """The panel of the (tap, channel) pairs first .. stop of all groups; each row in rising order, as interpolate needs."""
    cdef Py_ssize_t q = 0, pair
    cdef int found, count, i, j
    while q < b.pixels:
        count = <int>min(<Py_ssize_t>STRIP, b.pixels - q)
        pair = first
        while pair < stop:
            found = 0
            while pair < stop and found < SAMPLES:
                pair_sample(g, a, b, q, count, pair, stop, b.sample + found)
                pair += b.sample[found].n
                found += 1
            for i in range(count):
                for j in range(found):
                    interpolate(b.sample + j, i, b.panel + (q + i) * b.pitch + b.sample[j].pair - first)
        q += STRIP


cdef void tile(int m, int nv, Py_ssize_t runs, Py_ssize_t n, const real** a, Py_ssize_t stride, const char* live,
               const real* b, const real* ahead, real* total, bint first, Output* out) noexcept nogil:
    any_tile_multiply_rows(m, nv, runs, n, a, stride, live, 0, b, ahead, 1, False, total, first, out)


cdef void panel_multiply(const Geometry* g, const Block* b, Py_ssize_t pair, Py_ssize_t stop, const real* weights, int nv,
                         real* total, Output* out) noexcept nogil:
    """total (pixels, NR) += the panel times its chunk of one panel of weights; with `out`, y instead.

    The chunk of the next panel is fetched into the cache.
    """
    cdef Py_ssize_t runs = runs_of(g, stop - pair), n = (stop - pair) // runs if g.G == 1 else g.C, length = g.C * g.R * g.S
    cdef Py_ssize_t i, q, end = 0
    cdef char live = 1
    cdef real* y = NULL if out == NULL else out.y
    for i in range(b.tiles):
        q = end
        end = (i + 1) * b.pixels // b.tiles
        if out != NULL:
            out.y = y + q * out.step
        tile(<int>(end - q), nv, runs, n, b.window + q, b.pixels, &live, weights,
             weights + length * NR + i % 2 * runs * n * LANES, total + q * NR, pair == 0, out)


cdef vec chunk_multiply(const Geometry* g, const Arrays* a, const Block* b, Py_ssize_t pair, Py_ssize_t stop) noexcept nogil:
    """The panel of the pairs pair .. stop times its weights, for all output channels of the task; finishes complete sums."""
    cdef Py_ssize_t channels = g.G * g.C, length = g.C * g.R * g.S, group, k, n, i, u, at
    cdef bint last = stop == g.G * length, direct, whole
    cdef const real* weights
    cdef real* total = b.totals
    cdef vec odd = vec_zero()
    cdef Output out
    direct = output_open(g, a.residual, g.y_q, &out) and g.channels_last and last
    for group in range(g.G):
        for u in range(runs_of(g, stop - pair)):
            for i in range(b.pixels):
                b.window[u * b.pixels + i] = b.panel + i * b.pitch + u * channels + group * g.C
        k = b.k0
        while k < b.k1:
            n = min(<Py_ssize_t>NR, b.k1 - k)
            at = b.n * g.y_n + (group * g.K + k) * g.y_k + b.q0 * g.y_q
            weights = b.w + ((group * padded(g.K, NR) + k) * length + pair // g.G * NR)
            whole = direct and n % LANES == 0
            output_place(a.y + at, a.bias, group * g.K + k, &out)
            panel_multiply(g, b, pair, stop, weights, <int>ceil_div(n, LANES), total, &out if whole else NULL)
            if last and not whole:
                odd = odd + pixels_finish(g, total, NULL if a.bias == NULL else a.bias + group * g.K + k,
                                          NULL if a.residual == NULL else a.residual + at, a.y + at, b.pixels, n, 1,
                                          b.turned)
            if g.chunk < g.G * length:      # else one panel's sums are finished at once and their place is used again
                total += b.pixels * NR
            k += NR
    return odd + out.odd


cdef bint block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task; returns whether a sum was NaN or infinite."""
    cdef Py_ssize_t pixels = g.P * g.Q, channels = g.G * g.C, sums = channels * g.R * g.S, pair = 0, stop
    cdef Py_ssize_t k_blocks = ceil_div(g.K, g.channel_block), q_blocks = ceil_div(pixels, g.pixel_block)
    cdef vec odd = vec_zero()
    cdef Block b
    layout(g, &b, workspace)
    b.k0 = task % k_blocks * g.channel_block
    b.k1 = min(g.K, b.k0 + g.channel_block)
    b.q0 = task // k_blocks % q_blocks * g.pixel_block
    b.pixels = min(pixels - b.q0, g.pixel_block)
    b.tiles = ceil_div(b.pixels, MR)
    b.n = task // (k_blocks * q_blocks)
    b.x = a.x + b.n * g.x_n if g.channels_last else <const real*>a.shared + b.n % images_of(g) * image_size(g)
    b.x_w = g.x_w if g.channels_last else pitch_of(g)
    b.x_h = g.x_h if g.channels_last else g.W * b.x_w
    b.w = a.w if g.packed else <const real*>a.shared + turned_size(g)
    memset(b.zeros, 0, zeros_of(g) * sizeof(real))
    find_windows(g, &b)
    while pair < sums:
        stop = min(sums, pair + g.chunk)
        panel_interpolate(g, a, &b, pair, stop)
        odd = odd + chunk_multiply(g, a, &b, pair, stop)
        pair = stop
    return any_odd(odd)


cdef bint pack_task(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    pack_panel(g, a.w, task, a.y)
    return False


cdef Py_ssize_t workspace(const Geometry* g) noexcept nogil:
    cdef Block b
    return layout(g, &b, NULL)


cdef Py_ssize_t shared(const Geometry* g) noexcept nogil:
    """The turned images, the packed weights."""
    return padded((turned_size(g) + (0 if g.packed else weights_size(g))) * sizeof(real), 64)


cdef Division divide(Geometry* g) noexcept nogil:
    cdef Py_ssize_t tasks = ceil_div(g.P * g.Q, g.pixel_block) * ceil_div(g.K, g.channel_block)
    return divided_in_rounds(<AnyTask>prepare, preparations(g), <AnyTask>block, images_of(g) * tasks, g.N * tasks)


cdef Division packing(Geometry* g) noexcept nogil:
    """packed (G, ceil(K / NR), R S, C, NR) <- w (G K, C, R, S)."""
    return divided(<AnyTask>pack_task, g.G * ceil_div(g.K, NR))


cdef Table table
kernel = offer(&table, CONVOLUTION, <Divide>divide, <Measure>workspace, <Measure>weights_size, <Divide>packing, <Measure>shared)
