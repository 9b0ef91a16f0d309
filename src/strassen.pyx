"""Matrix product of a kernel of one tap by Strassen's algorithm: 7 products of halves instead of 8.

Loops, outermost first, and what each block is sized for:
    task        in parallel: image x group x pixel_block pairs of pixels x channel_block pairs of output channels
    input       per pair and vector of channels: 7 sums of halves of x: V, in L2
    k           NR pairs of output channels     their products M, in L2
    e           7 elements              one matrix product each: V[e] (pairs, C / 2) times a panel of U[e] (C / 2, NR)
    output      per run of pairs: M becomes the sums of both halves, which are finished in either layout
Pixels, input and output channels are halved: a pair is one pixel, or channel, of the first half and one of the second.
V. Strassen, Numer. Math. 13 (1969); sums made while packing: J. Huang, T. Smith, G. Henry, R. van de Geijn, SC16 (2016).
Sums of channels of different sizes would lose the small ones. So weights are scaled by powers of two, such that the largest of
every kernel and of every input channel is about one; x takes the scale of its channel, an output that of its kernel, both
without rounding (G. Ballard et al., SIAM J. Matrix Anal. Appl. 37 (2016): outside-inside scaling).
An image with channels first is first turned, as a whole, into the workspace, and its sums are turned back.

Needs    a kernel of one tap, no padding, an even number of input channels; x (N, D, H, W, G C), channels contiguous, or
         (N, G C, D, H, W) with rows contiguous; w packed; y in the layout of x; distinct buffers.
Leaves   y written in full.
Rounds   as sums of C / 2 products of sums of two numbers, of which an output adds four: growth 6 where all products have
         one size. A NaN or infinity reaches other outputs, too; the plan then has the call repeated by another row.
Costs    7/8 of 2 N G K C O P Q flop, 7 stores for 4 vectors of x, 7 loads for 4 of y.
"""
from libc.math cimport INFINITY, frexp, ldexp
from libc.string cimport memset

from kernel cimport CONVOLUTION, AnyTask, Arrays, Divide, Division, Measure, Table, divided_in_rounds, offer
from micro.element cimport element_multiply
from micro.finish cimport any_odd, pixels_fetch, pixels_finish
from micro.geometry cimport Geometry, ceil_div, padded, place
from micro.pack cimport pack_columns
from micro.simd cimport (FULL, LANES, NR, NV, prefetch, real, vec, vec_larger, vec_load, vec_mask_load, vec_splat, vec_store,
                         vec_zero)
from turned cimport divided_when_turned, image_size, images_of, pitch_of, turned_bytes

cdef enum:
    ELEMENTS = 7                # products of halves
    MOST_SCALE = 40             # of a scale's exponent: neither it nor its inverse leaves float32
    RUN = 16                    # pairs of pixels whose products are combined together
    AHEAD = 2                   # pairs of pixels that are fetched before they are read
    PIECE = 16                  # pairs of input channels whose weights are summed at once: they stay in L1

cdef struct Block:              # one task: what it computes and where its workspace lies
    Py_ssize_t n, group, first, pairs               # of pixels
    Py_ssize_t pixels, depth, width                 # half of the pixels, of the input and of the output channels
    Py_ssize_t v_row, v_step, m_step                # from pair to pair and from sum to sum of V; between elements of M
    const real* x
    Py_ssize_t x_d, x_h, x_w
    const real* scale           # of the input channels (2, v_row), then of the output channels (2, width)
    real* V                     # (ELEMENTS, pairs, v_row)
    real* M                     # (ELEMENTS, pairs, NR)
    real* zeros                 # the channels of a second pixel that there is not
    real* sums                  # (halves of the pixels, of the output channels, RUN, NR)
    real* turned                # (NR, RUN)

cdef struct Quarter:            # some outputs: where they begin in y, and how many they are
    Py_ssize_t at, channel, pixels, channels


cdef inline Py_ssize_t width_of(const Geometry* g) noexcept nogil:
    """Output channels of the first half: whole vectors."""
    return padded(ceil_div(g.K, 2), LANES)


cdef inline Py_ssize_t pixels_of(const Geometry* g) noexcept nogil:
    """Pixels of the first half."""
    return ceil_div(g.O * g.P * g.Q, 2)


cdef inline Py_ssize_t weights_step(const Geometry* g) noexcept nogil:
    """Between the packed weights of one element and the next: an odd number of lines, lest all fell into one set of a cache."""
    return (g.C // 2 | 1) * NR


cdef inline Py_ssize_t row_of(const Geometry* g) noexcept nogil:
    """Numbers that half of the channels of a pixel take: not a power of two, lest pairs shared few sets of L1."""
    return (ceil_div(g.C // 2, LANES) | 1) * LANES


cdef inline Py_ssize_t scales_of(const Geometry* g) noexcept nogil:
    """Numbers before the packed weights of each group."""
    return 2 * row_of(g) + 2 * width_of(g)


cdef inline Py_ssize_t group_size(const Geometry* g) noexcept nogil:
    """Packed numbers of each group: scales, then panels."""
    return scales_of(g) + ceil_div(width_of(g), NR) * ELEMENTS * weights_step(g)


cdef Py_ssize_t layout(const Geometry* g, Block* b, char* workspace) noexcept nogil:
    """Place the buffers of the largest block in the workspace; return the bytes they take. plan.py asks for them."""
    cdef Py_ssize_t pairs = min(g.pixel_block, pixels_of(g))
    cdef char* free = workspace
    b.pixels, b.depth, b.width = pixels_of(g), g.C // 2, width_of(g)
    b.v_row = row_of(g)
    b.v_step = (pairs * b.v_row // LANES | 1) * LANES
    b.m_step = pairs * NR + LANES
    b.V = <real*>place(&free, ELEMENTS * b.v_step * sizeof(real))
    b.M = <real*>place(&free, ELEMENTS * b.m_step * sizeof(real))
    b.zeros = <real*>place(&free, g.C * sizeof(real))
    b.sums = <real*>place(&free, (4 * RUN * NR + LANES) * sizeof(real))
    b.turned = <real*>place(&free, 0 if g.channels_last else padded(RUN, LANES) * NR * sizeof(real))
    return free - workspace


cdef inline const real* pixel_of(const Geometry* g, const Block* b, Py_ssize_t i) noexcept nogil:
    """The channels that output pixel i sees."""
    cdef Py_ssize_t row = i // g.Q, slice = row // g.P
    return b.x + slice * g.stride_d * b.x_d + (row - slice * g.P) * g.stride_h * b.x_h + (i - row * g.Q) * g.stride_w * b.x_w


cdef inline void pair_input(const Block* b, const real* p, const real* q, Py_ssize_t ahead, const real* scale, real* target,
                            unsigned lanes) noexcept nogil:
    """The sums of a vector of channels of both halves, of pixels p and q. The pixels `ahead` of them are fetched."""
    cdef vec p1, p2, q1, q2, first = vec_load(scale), second = vec_load(scale + b.v_row)
    if lanes == FULL:
        p1, p2, q1, q2 = vec_load(p), vec_load(p + b.depth), vec_load(q), vec_load(q + b.depth)
        prefetch(p + ahead)
        prefetch(p + b.depth + ahead)
        prefetch(q + ahead)
        prefetch(q + b.depth + ahead)
    else:
        p1, p2 = vec_mask_load(vec_zero(), lanes, p), vec_mask_load(vec_zero(), lanes, p + b.depth)
        q1, q2 = vec_mask_load(vec_zero(), lanes, q), vec_mask_load(vec_zero(), lanes, q + b.depth)
    p1, p2, q1, q2 = p1 * first, p2 * second, q1 * first, q2 * second
    vec_store(target, p1 + q2)
    vec_store(target + b.v_step, q1 + q2)
    vec_store(target + 2 * b.v_step, p1 + p2)
    vec_store(target + 3 * b.v_step, q1 - p1)
    vec_store(target + 4 * b.v_step, p2 - q2)
    vec_store(target + 5 * b.v_step, p1)
    vec_store(target + 6 * b.v_step, q2)


cdef void all_input(const Geometry* g, const Block* b) noexcept nogil:
    """V of all pairs of the block."""
    cdef const real* p
    cdef const real* q
    cdef Py_ssize_t i, c
    memset(b.zeros, 0, g.C * sizeof(real))
    for i in range(b.pairs):
        p = pixel_of(g, b, b.first + i)
        q = b.zeros
        if b.first + b.pixels + i < g.O * g.P * g.Q:
            q = pixel_of(g, b, b.first + b.pixels + i)
        c = 0
        while c + LANES <= b.depth:
            pair_input(b, p + c, q + c, AHEAD * g.stride_w * b.x_w, b.scale + c, b.V + i * b.v_row + c, FULL)
            c += LANES
        if c < b.depth:
            pair_input(b, p + c, q + c, AHEAD * g.stride_w * b.x_w, b.scale + c, b.V + i * b.v_row + c, (1u << (b.depth - c)) - 1)


cdef void multiply_element(const Block* b, Py_ssize_t e, const real* weights, const real* ahead, int nv) noexcept nogil:
    """M[e] (pairs, NR) = V[e] times one panel of U[e]."""
    element_multiply(b.pairs, b.depth, b.V + e * b.v_step, b.v_row, weights, ahead, b.M + e * b.m_step, nv)


cdef void run_output(const Block* b, const real* products, const real* scale, Py_ssize_t run,
                     Py_ssize_t vectors) noexcept nogil:
    """sums (halves of the pixels, of the output channels, RUN, NR) <- the products of a run of pairs."""
    cdef vec m[ELEMENTS]
    cdef vec first, second
    cdef Py_ssize_t i, j
    cdef real* target
    cdef int e
    for i in range(run):
        for j in range(vectors):
            for e in range(ELEMENTS):
                m[e] = vec_load(products + e * b.m_step + i * NR + j * LANES)
            target = b.sums + i * NR + j * LANES
            first, second = vec_load(scale + j * LANES), vec_load(scale + b.width + j * LANES)
            vec_store(target, ((m[0] + m[6]) + (m[4] - m[2])) * first)
            vec_store(target + RUN * NR, (m[2] + m[5]) * second)
            vec_store(target + 2 * RUN * NR, (m[1] + m[6]) * first)
            vec_store(target + 3 * RUN * NR, ((m[0] - m[1]) + (m[3] + m[5])) * second)


cdef inline Quarter quarter_of(const Geometry* g, const Block* b, Py_ssize_t pair, Py_ssize_t run, Py_ssize_t k, int nv,
                               int number) noexcept nogil:
    """Of the outputs of `run` pairs of pixels and `nv` vectors of pairs of channels: half `number` // 2 of the pixels and half
    `number` % 2 of the channels. Nothing is left of what lies behind the last pixel or channel."""
    cdef Quarter quarter
    cdef Py_ssize_t pixel = number // 2 * b.pixels + b.first + pair, channel = number % 2 * b.width + k
    quarter.pixels = max(<Py_ssize_t>0, min(run, g.O * g.P * g.Q - pixel))
    quarter.channels = max(<Py_ssize_t>0, min(<Py_ssize_t>nv * LANES, min(b.width - k, g.K - channel)))
    quarter.channel = b.group * g.K + channel
    quarter.at = b.n * g.y_n + quarter.channel * g.y_k + pixel * g.y_q
    return quarter


cdef vec all_output(const Geometry* g, const Arrays* a, const Block* b, Py_ssize_t k, int nv) noexcept nogil:
    """Combine and finish the products of one panel: NR channels of each half from its channel k on."""
    cdef Py_ssize_t i = 0, run
    cdef vec odd = vec_zero()
    cdef Quarter y
    cdef int number
    while i < b.pairs:
        run = min(<Py_ssize_t>RUN, b.pairs - i)
        for number in range(4 if g.far else 0):
            y = quarter_of(g, b, i, run, k, nv, number)
            pixels_fetch(g, a.y + y.at, y.pixels, y.channels, 1)
        run_output(b, b.M + i * NR, b.scale + 2 * b.v_row + k, run, nv)
        for number in range(4):
            y = quarter_of(g, b, i, run, k, nv, number)
            if y.pixels and y.channels:
                odd = odd + pixels_finish(g, b.sums + number * RUN * NR, NULL if a.bias == NULL else a.bias + y.channel,
                                          NULL if a.residual == NULL else a.residual + y.at, a.y + y.at, y.pixels, y.channels, 1,
                                          b.turned)
        i += run
    return odd


cdef bint block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task; returns whether a sum was NaN or infinite."""
    cdef Py_ssize_t k_blocks = ceil_div(width_of(g), g.channel_block), p_blocks, k, k1, e, step = weights_step(g)
    cdef const real* weights
    cdef int nv
    cdef vec odd = vec_zero()
    cdef Block b
    layout(g, &b, workspace)
    p_blocks = ceil_div(b.pixels, g.pixel_block)
    k = task % k_blocks * g.channel_block
    k1 = min(b.width, k + g.channel_block)
    b.first = task // k_blocks % p_blocks * g.pixel_block
    b.pairs = min(g.pixel_block, b.pixels - b.first)
    b.group = task // (k_blocks * p_blocks) % g.G
    b.n = task // (k_blocks * p_blocks * g.G)
    if g.channels_last:
        b.x = a.x + b.n * g.x_n + b.group * g.C * g.x_c
        b.x_d, b.x_h, b.x_w = g.x_d, g.x_h, g.x_w
    else:
        b.x = <const real*>a.shared + b.n % images_of(g) * image_size(g) + b.group * g.C
        b.x_w = pitch_of(g)
        b.x_h = g.W * b.x_w
        b.x_d = g.H * b.x_h
    b.scale = a.w + b.group * group_size(g)
    weights = b.scale + scales_of(g) + k // NR * ELEMENTS * step
    all_input(g, &b)
    while k < k1:
        nv = <int>min(<Py_ssize_t>NV, (k1 - k) // LANES)
        for e in range(ELEMENTS):
            multiply_element(&b, e, weights, weights + step, nv)
            weights += step
        odd = odd + all_output(g, a, &b, k, nv)
        k += NR
    return any_odd(odd)


cdef inline vec vec_size(vec v) noexcept nogil:
    return vec_larger(v, vec_zero() - v)


cdef inline vec lanes_load(const real* row, Py_ssize_t c, Py_ssize_t n) noexcept nogil:
    """A vector of the n numbers of a row, from number c on; zeros behind them."""
    return vec_load(row + c) if c + LANES <= n else vec_mask_load(vec_zero(), (1u << (n - c)) - 1, row + c)


cdef inline real power_below(real x) noexcept nogil:
    """The power of two that leaves x / power between 1 and 2, or the nearest that is allowed; 1 for what has none."""
    cdef int exponent = 1
    if x > 0 and x < INFINITY:
        frexp(x, &exponent)
    return <real>ldexp(1, max(-MOST_SCALE, min(<int>MOST_SCALE, exponent - 1)))


cdef bint scale_task(const Geometry* g, const Arrays* a, Py_ssize_t group, char* workspace) noexcept nogil:
    """The scales of one group."""
    cdef Py_ssize_t row = row_of(g), k, c, i
    cdef const real* w = a.w + group * g.K * g.C
    cdef real* inputs = a.y + group * group_size(g)
    cdef real* outputs = inputs + 2 * row
    cdef real lane[LANES]
    cdef real large
    cdef vec most, scale
    for i in range(scales_of(g)):
        inputs[i] = 0 if i < 2 * row else 1
    for k in range(g.K):
        most = vec_zero()
        for c in range(ceil_div(g.C, LANES)):
            most = vec_larger(most, vec_size(lanes_load(w + k * g.C, c * LANES, g.C)))
        vec_store(lane, most)
        large = 0
        for i in range(LANES):
            large = max(large, lane[i])
        outputs[k] = power_below(large)
        scale = vec_splat(1 / outputs[k])
        for i in range(2):              # so far the largest of each channel
            for c in range(ceil_div(g.C // 2, LANES)):
                most = vec_size(lanes_load(w + k * g.C + i * (g.C // 2), c * LANES, g.C // 2)) * scale
                vec_store(inputs + i * row + c * LANES, vec_larger(vec_load(inputs + i * row + c * LANES), most))
    for i in range(2 * row):
        inputs[i] = power_below(inputs[i])
    return False


cdef bint pack_task(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: NR pairs of output channels of a group, PIECE pairs of input channels."""
    cdef Py_ssize_t depth = g.C // 2, width = width_of(g), pieces = ceil_div(depth, PIECE), panels = ceil_div(width, NR)
    cdef Py_ssize_t panel = task // pieces % panels, group = task // (pieces * panels), c = task % pieces * PIECE, k = panel * NR
    cdef Py_ssize_t channels = min(<Py_ssize_t>PIECE, depth - c), half = PIECE * NR, step = weights_step(g), rows, i
    cdef const real* w = a.w + (group * g.K + k) * g.C + c
    cdef real* plain = <real*>workspace         # (halves of the input, of the output channels, PIECE, NR)
    cdef real* scale = a.y + group * group_size(g)
    cdef real* outputs = scale + 2 * row_of(g) + k
    cdef real* target = scale + scales_of(g) + panel * ELEMENTS * step + c * NR
    cdef vec b11, b12, b21, b22, first, second
    cdef vec low[NV]                            # what undoes the scales of the output channels, as exactly
    cdef vec high[NV]
    cdef int j, vectors = <int>min(<Py_ssize_t>NV, (width - k) // LANES)
    memset(plain, 0, 4 * half * sizeof(real))
    for i in range(4):
        rows = min(<Py_ssize_t>NR, min(width, g.K - i % 2 * width) - k)
        if rows > 0:
            pack_columns(w + i % 2 * width * g.C + i // 2 * depth, g.C, <int>rows, channels, 1, plain + i * half, channels)
    scale += c
    for j in range(vectors):
        low[j] = vec_splat(1) / vec_load(outputs + j * LANES)
        high[j] = vec_splat(1) / vec_load(outputs + width + j * LANES)
    for i in range(channels):
        first, second = vec_splat(1 / scale[i]), vec_splat(1 / scale[row_of(g) + i])
        for j in range(vectors):
            b11 = vec_load(plain + j * LANES) * (low[j] * first)
            b12 = vec_load(plain + half + j * LANES) * (high[j] * first)
            b21 = vec_load(plain + 2 * half + j * LANES) * (low[j] * second)
            b22 = vec_load(plain + 3 * half + j * LANES) * (high[j] * second)
            vec_store(target + j * LANES, b11 + b22)                # with the sums of pair_input in their order
            vec_store(target + step + j * LANES, b11)
            vec_store(target + 2 * step + j * LANES, b22)
            vec_store(target + 3 * step + j * LANES, b11 + b12)
            vec_store(target + 4 * step + j * LANES, b21 + b22)
            vec_store(target + 5 * step + j * LANES, b12 - b22)
            vec_store(target + 6 * step + j * LANES, b21 - b11)
        plain += NR
        target += NR
    return False


cdef Py_ssize_t workspace(const Geometry* g) noexcept nogil:
    cdef Block b
    return layout(g, &b, NULL)


cdef Division divide(Geometry* g) noexcept nogil:
    cdef Py_ssize_t tasks = g.G * ceil_div(pixels_of(g), g.pixel_block) * ceil_div(width_of(g), g.channel_block)
    return divided_when_turned(g, <AnyTask>block, tasks)


cdef Py_ssize_t packed(const Geometry* g) noexcept nogil:
    return g.G * group_size(g)


cdef Division packing(Geometry* g) noexcept nogil:
    """packed (G, scales and panels of (ELEMENTS, C / 2 | 1, NR)) <- w (G K, C)."""
    cdef Division d = divided_in_rounds(<AnyTask>scale_task, g.G, <AnyTask>pack_task,
                                        g.G * ceil_div(width_of(g), NR) * ceil_div(g.C // 2, PIECE),
                                        g.G * ceil_div(width_of(g), NR) * ceil_div(g.C // 2, PIECE))
    d.workspace = 4 * PIECE * NR * sizeof(real)
    return d


cdef Table table
kernel = offer(&table, CONVOLUTION, <Divide>divide, <Measure>workspace, <Measure>packed, <Divide>packing, <Measure>turned_bytes)
