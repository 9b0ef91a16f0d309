"""Convolution as a matrix product, output channels on the lanes: y (pixels, K) = windows of x times w (T R S C, K).

Loops, outermost first, and what each block is sized for:
    task        in parallel: image x pixel_block x group x channel_block, so that a thread reads the pixels of few lines
    k           NR output channels          a panel of weights
    u, c        chunk of taps x channels    the part of that panel in L1
    q           up to tile_rows pixels      the register tile
With `tiles_first`, for short sums, the loop over q is outside that over k. A window is read where it lies, by the pointers of
indirect.pxd. A small image with channels first is first turned, as a whole, into the workspace, and its sums are turned back.

Needs    x (N, D, H, W, G C), channels contiguous, or (N, G C, D, H, W) with rows contiguous; w (G K, C, T, R, S) or
         packed; y in the layout of x; distinct buffers.
Leaves   y written in full.
Rounds   one fused chain per output, in order t, r, s, c; then bias, residual, activation.
Costs    2 N G K C T R S O P Q flop, less the taps at which all pixels of a tile see zero padding, and sums that are cut off.
"""
from libc.string cimport memset

from indirect cimport Block, find_tiles, find_windows, layout
from kernel cimport CONVOLUTION, AnyTask, Arrays, Divide, Division, Measure, Table, divided, offer
from micro.combine cimport Target, pixels_combine, row_of, target_of
from micro.finish cimport any_odd, output_open, output_place, pixels_finish
from micro.geometry cimport Geometry, ceil_div, padded
from micro.pack cimport pack_columns
from micro.simd cimport LANES, MR, NR, NV, real, vec, vec_load, vec_store, vec_zero
from micro.tile cimport Output, any_tile_multiply_rows
from turned cimport divided_when_turned, image_size, images_of, pitch_of, turned_bytes

cdef enum:
    PIECE = 64                  # input channels whose weights one task packs


cdef void tile(int m, int nv, Py_ssize_t runs, Py_ssize_t n, const real** a, Py_ssize_t stride, const char* live,
               Py_ssize_t tiles, const real* b, const real* ahead, Py_ssize_t count, bint across, real* total, bint first,
               Output* out) noexcept nogil:
    any_tile_multiply_rows(m, nv, runs, n, a, stride, live, tiles, b, ahead, count, across, total, first, out)


cdef inline void find_phase(const Geometry* g, Block* b, Py_ssize_t k, Py_ssize_t channels) noexcept nogil:
    """phase, begin and end of the panel with `channels` kernels from k on."""
    cdef Py_ssize_t low = k // g.parts // g.y_channels, high = ((k + channels) // g.parts - 1) // g.y_channels, axis, a
    cdef const Py_ssize_t* up = &g.up_d
    cdef const Py_ssize_t* cut = &g.cut_d
    cdef const Py_ssize_t* full = &g.full_d
    cdef const Py_ssize_t* sums = &g.O
    b.begin[0] = b.begin[1] = b.begin[2] = 0
    b.end[0], b.end[1], b.end[2] = g.O, g.P, g.Q
    b.phase = low if low == high else -1
    if b.phase >= 0 and b.in_rows:
        for axis in range(1 if g.parts > 1 else 2, -1, -1):
            a = low % up[axis]
            low //= up[axis]
            b.begin[axis] = max(<Py_ssize_t>0, ceil_div(cut[axis] - a, up[axis]))
            b.end[axis] = min(sums[axis], ceil_div(full[axis] + cut[axis] - a, up[axis]))


cdef inline Py_ssize_t tile_clip(const Geometry* g, const Block* b, Py_ssize_t q, Py_ssize_t* stop) noexcept nogil:
    """The first of the pixels q .. stop of a tile in one row that are not cut off; stop becomes where they end."""
    cdef Py_ssize_t row = (b.q0 + q) // g.Q, column = b.q0 + q - row * g.Q
    if not b.begin[0] <= row // g.P < b.end[0] or not b.begin[1] <= row % g.P < b.end[1]:
        stop[0] = q
    stop[0] = min(stop[0], q + b.end[2] - column)
    return q + max(<Py_ssize_t>0, b.begin[2] - column)


cdef inline Py_ssize_t output_of(const Geometry* g, const Block* b, Py_ssize_t q) noexcept nogil:
    """The output pixel of sum q of the phase at hand."""
    cdef Py_ssize_t row = (b.q0 + q) // g.Q, column = b.q0 + q - row * g.Q
    return row_of(g, row, b.phase // g.up_w) * g.full_w + column * g.up_w - g.cut_w + b.phase % g.up_w


cdef void panel_multiply(const Geometry* g, const Block* b, const real* weights, const real* ahead, int nv,
                         Output* out) noexcept nogil:
    """totals (pixels, NR) = all windows times one panel of weights, in chunks that stay in L1; with `out`, y instead.

    The fullest tiles come first: they read the weights at the slowest pace while these come from L2, and fetch as many
    numbers from `ahead` on into it. Under one tap the other tiles fetch the pixels of the next: their channels are too short
    a stream for the CPU to fetch them by itself.
    """
    cdef Py_ssize_t u = 0, c = 0, runs = max(<Py_ssize_t>1, g.chunk // b.length), n = min(b.length, g.chunk)
    cdef Py_ssize_t done, i, j, q, stop, count
    cdef const real* fetched
    cdef const real* shifted[MR + 1]
    cdef bint first = True, last, clips = g.up_w and b.in_rows
    cdef real* y = NULL if out == NULL else out.y
    while u < b.runs:
        runs = min(runs, b.runs - u)
        n = min(min(b.length, g.chunk), b.length - c)
        last = out != NULL and u + runs == b.runs and c + n == b.length
        done = 0
        while done < b.tiles:
            i = (b.fullest + done) % b.tiles
            q = b.start[i]
            stop = b.start[i + 1]
            fetched = NULL          # a vector for each step: of weights, until all are there, then of the next pixel
            count = 1
            if clips:
                q = tile_clip(g, b, q, &stop)
            if done < NV:
                fetched = ahead + runs * n * done * LANES
            elif n == b.length and not clips:
                while (i + count < b.tiles and i + count != b.fullest
                       and b.start[i + count + 1] - b.start[i + count] == stop - q):
                    count += 1
            if last:
                out.y = y + (output_of(g, b, q) * g.y_q if g.up_w else q * out.step)
            if q >= stop:
                pass
            elif n == b.length:
                tile(<int>(stop - q), nv, runs, n, b.window + u * b.apart + q, b.apart, b.live + u * b.tiles + i,
                     b.tiles, weights, fetched, count, False, b.totals + q * NR, first, out if last else NULL)
            elif first or last or b.live[u * b.tiles + i]:
                for j in range(stop - q + 1):
                    shifted[j] = b.window[u * b.apart + q + j] + c
                tile(<int>(stop - q), nv, 1, n, shifted, 0, b.live + u * b.tiles + i, 0, weights,
                     fetched, 1, False, b.totals + q * NR, first, out if last else NULL)
            done += count
        first = False
        weights += runs * n * NR
        ahead += runs * n * NR
        c += n
        if c == b.length:
            c = 0
            u += runs


cdef void panels_multiply(const Geometry* g, const Block* b, const real* weights, Py_ssize_t panels,
                          Output* out) noexcept nogil:
    """y = all windows times so many whole panels of weights: tile by tile, so that lines of y are written side by side."""
    cdef Py_ssize_t i, q
    cdef real* y = out.y
    cdef const real* bias = out.bias
    for i in range(b.tiles):
        q = b.start[i]
        out.y = y + q * out.step
        out.bias = bias
        tile(<int>(b.start[i + 1] - q), NV, b.runs, b.length, b.window + q, b.apart, b.live + i, b.tiles, weights, NULL, panels,
             True, b.totals, True, out)


cdef real* in_order(const Block* b) noexcept nogil:
    """The totals in the order of pixels."""
    cdef Py_ssize_t i, j
    if not b.sorted_by_taps:
        return b.totals
    for i in range(b.pixels):
        for j in range(NV):
            vec_store(b.natural + i * NR + j * LANES, vec_load(b.totals + b.place[i] * NR + j * LANES))
    return b.natural


cdef vec panel_finish(const Geometry* g, const Arrays* a, const Block* b, Py_ssize_t k, Py_ssize_t channels) noexcept nogil:
    """Finish the totals: `channels` channels from k on, which counts through all groups."""
    cdef Py_ssize_t at = b.n * g.y_n + k * g.y_k + b.q0 * g.y_q, q = 0, width
    cdef vec odd = vec_zero()
    cdef real* totals = in_order(b)
    cdef Target t
    if g.parts:
        t = target_of(g, a.bias, a.residual, a.y, b.n, b.group)
        while q < b.pixels:
            width = b.pixels if g.up_w == 0 else min(b.pixels - q, g.Q - (b.q0 + q) % g.Q)
            odd = odd + pixels_combine(g, &t, k - b.group * g.K, channels, totals + q * NR, (b.q0 + q) // g.Q,
                                       (b.q0 + q) % g.Q, width, 1, b.turned)
            q += width
        return odd
    return pixels_finish(g, totals, NULL if a.bias == NULL else a.bias + k,
                         NULL if a.residual == NULL else a.residual + at, a.y + at, b.pixels, channels, 1, b.turned)


cdef bint block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task; returns whether a sum was NaN or infinite."""
    cdef Py_ssize_t taps = g.T * g.R * g.S, pixels = g.O * g.P * g.Q
    cdef Py_ssize_t k_blocks = ceil_div(g.K, g.channel_block), q_blocks = ceil_div(pixels, g.pixel_block)
    cdef Py_ssize_t k = task % k_blocks * g.channel_block, k1 = min(g.K, k + g.channel_block), channels
    cdef Py_ssize_t i, channel
    cdef const real* weights
    cdef const real* ahead
    cdef vec odd = vec_zero()
    cdef Block b
    cdef Output out
    cdef bint direct = output_open(g, a.residual, g.y_q * max(<Py_ssize_t>1, g.up_w), &out) and g.channels_last, whole
    layout(g, &b, workspace)
    b.group = task // k_blocks % g.G
    b.q0 = task // (k_blocks * g.G) % q_blocks * g.pixel_block
    b.pixels = min(pixels - b.q0, g.pixel_block)
    find_tiles(g, &b)
    b.n = task // (k_blocks * q_blocks * g.G)
    if g.channels_last:
        b.x = a.x + b.n * g.x_n + b.group * g.C * g.x_c
        b.x_d, b.x_h, b.x_w = g.x_d, g.x_h, g.x_w
    else:
        b.x = <const real*>a.shared + b.n % images_of(g) * image_size(g) + b.group * g.C
        b.x_w = pitch_of(g)
        b.x_h = g.W * b.x_w
        b.x_d = g.H * b.x_h
    if g.in_place and (g.H == 1 or b.x_h == g.W * b.x_w) and (g.D == 1 or b.x_d == g.H * b.x_h):
        memset(b.live, 1, b.tiles)
        b.fullest = 0
        for i in range(b.pixels):
            b.window[i] = b.x + (b.q0 + i) * b.x_w
        b.window[b.pixels] = b.window[0]
    else:
        find_windows(g, &b)
    if g.tiles_first and direct and g.packed and not b.sorted_by_taps:
        channel = b.group * g.K + k
        output_place(a.y + b.n * g.y_n + channel * g.y_k + b.q0 * g.y_q, a.bias, channel, &out)
        panels_multiply(g, &b, a.w + (b.group * padded(g.K, NR) + k) * taps * g.C, (k1 - k) // NR, &out)
        k += (k1 - k) // NR * NR
    while k < k1:
        channels = min(<Py_ssize_t>NR, k1 - k)
        if g.packed:
            weights = a.w + (b.group * padded(g.K, NR) + k) * taps * g.C
            ahead = weights + min(g.chunk, g.C * taps) * NR
        else:
            pack_columns(a.w + (b.group * g.K + k) * g.C * taps, g.C * taps, <int>channels, g.C, taps, b.weights, g.C)
            weights = b.weights
            ahead = a.w + (b.group * g.K + k + NR) * g.C * taps
        whole = direct and channels % LANES == 0 and not b.sorted_by_taps
        if g.up_w:
            find_phase(g, &b, k, channels)
            whole = whole and b.in_rows and b.phase >= 0
            channel = b.group * g.y_channels + k - b.phase * g.y_channels
            output_place(a.y + b.n * g.y_n + channel, a.bias, channel, &out)
        else:
            channel = b.group * g.K + k
            output_place(a.y + b.n * g.y_n + channel * g.y_k + b.q0 * g.y_q, a.bias, channel, &out)
        panel_multiply(g, &b, weights, ahead, <int>ceil_div(channels, LANES), &out if whole else NULL)
        if not whole:
            odd = odd + panel_finish(g, a, &b, b.group * g.K + k, channels)
        k += NR
    return any_odd(odd + out.odd)


cdef bint pack_piece(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: NR output channels of one group, PIECE input channels."""
    cdef Py_ssize_t taps = g.T * g.R * g.S, panels = ceil_div(g.K, NR), pieces = ceil_div(g.C, PIECE), panel = task // pieces
    cdef Py_ssize_t c = task % pieces * PIECE, group = panel // panels, k = panel % panels * NR
    pack_columns(a.w + ((group * g.K + k) * g.C + c) * taps, g.C * taps, <int>min(<Py_ssize_t>NR, g.K - k),
                 min(<Py_ssize_t>PIECE, g.C - c), taps, a.y + (panel * taps * g.C + c) * NR, g.C)
    return False


cdef Py_ssize_t workspace(const Geometry* g) noexcept nogil:
    cdef Block b
    return layout(g, &b, NULL)


cdef Division divide(Geometry* g) noexcept nogil:
    cdef Py_ssize_t tasks = g.G * ceil_div(g.O * g.P * g.Q, g.pixel_block) * ceil_div(g.K, g.channel_block)
    return divided_when_turned(g, <AnyTask>block, tasks)


cdef Py_ssize_t packed(const Geometry* g) noexcept nogil:
    return g.G * padded(g.K, NR) * g.C * g.T * g.R * g.S


cdef Division packing(Geometry* g) noexcept nogil:
    """packed (G, ceil(K / NR), T R S, C, NR) <- w (G K, C, T, R, S)."""
    return divided(<AnyTask>pack_piece, g.G * ceil_div(g.K, NR) * ceil_div(g.C, PIECE))


cdef Table table
kernel = offer(&table, CONVOLUTION, <Divide>divide, <Measure>workspace, <Measure>packed, <Divide>packing, <Measure>turned_bytes)
