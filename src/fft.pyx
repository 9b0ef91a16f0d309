"""Convolution in the frequency domain, for large kernels: overlap-save tiles, channels (or tiles) on the lanes.

Loops, outermost first, and what each block is sized for:
    round       image x group x pixel_block tiles       their spectra V, shared by all threads
    forward     in parallel: tile x vector of channels  rows in pairs, as real and imaginary parts, then columns, in L2
    product     in parallel: chunk tiles x channel_block output channels
      k           a panel of NR output channels
      column      one column of frequencies: a matrix product each, the spectra V (tiles, C) times a panel of U (C, NR);
                  its inverse transform, in L2
      rows        pairs of rows: inverse transform, finish
A channel that is convolved with its own kernel needs no matrix product: then a task transforms its tiles, multiplies each
column of frequencies where it lies in L1, and transforms back. Vectors hold numbers of LANES channels, or of LANES tiles.

A tile of m outputs takes a circular correlation of length n >= m + taps - 1; less if zero padding lies at both ends, whose
numbers may fall upon each other. An axis of one tap is not transformed (n = 1): then a pair of tiles makes a pair of rows.
Depth taps T count as further input channels. A dilated kernel is a plain one on each of its phases.
A. Zlateski, Z. Jia, K. Li and F. Durand, arXiv:1809.07851.

Needs    stride 1 along the transformed axes; x rows (channels last: pixels) contiguous; weights packed; y in the layout of
         x; distinct buffers. After the Geometry come the numbers of transforms.fourier_constants.
Leaves   y written in full.
Rounds   as a sum over C T of products of spectra, whose errors are proportional to the largest numbers of a tile. A NaN or
         infinity reaches all outputs of its tiles; the plan then has the call repeated by another row.
Costs    N / m^2 G O P Q (4 n^2 K C T + 10 n^2 log2(n) (C T + K)) flop; the transformed weights, 4 n^2 / taps times as many
         numbers as they were, are read once for every `chunk` tiles.
"""
from libc.string cimport memset

from fft_tiles cimport (Block, Unit, any_layout, any_line_fetch, any_line_finish, axes_open, is_pointwise, row_of, sum_length,
                        unit_open)
from fft_weights cimport kernel_rows, lanes_of_weights, pack_step, packing_layout, spectra_store
from kernel cimport CONVOLUTION, AnyTask, Arrays, Divide, Division, Measure, Table, divided, divided_in_rounds, offer
from micro.finish cimport any_odd
from micro.fourier cimport Axis, any_transform, combine, separate
from micro.geometry cimport Geometry, ceil_div, padded
from micro.simd cimport LANES, MR, NR, NV, WIDE, prefetch, real, vec, vec_zero, wide
from micro.spectrum cimport any_complex_tile, multiply


cdef Py_ssize_t layout(const Geometry* g, Block* b, char* workspace) noexcept nogil:
    return any_layout(g, b, workspace)


cdef void line_fetch(const Geometry* g, const Block* b, const Unit* unit, Py_ssize_t t, Py_ssize_t line, vec* z) noexcept nogil:
    any_line_fetch(g, b, unit, t, line, z)


cdef vec line_finish(const Geometry* g, const Arrays* a, const Block* b, const Unit* unit, Py_ssize_t n, Py_ssize_t k,
                     Py_ssize_t line, real* sums) noexcept nogil:
    return any_line_finish(g, a, b, unit, n, k, line, sums)


cdef void transform_wide(const Axis* axis, const wide* x, wide* y, wide* one, wide* other) noexcept nogil:
    any_transform(axis, x, 2, 1, y, 2, 1, one, other)


cdef void transform(const Axis* axis, const vec* x, Py_ssize_t x_step, Py_ssize_t x_im, vec* y, Py_ssize_t y_step,
                    Py_ssize_t y_im, const Block* b) noexcept nogil:
    any_transform(axis, x, x_step, x_im, y, y_step, y_im, b.one, b.other)


cdef void forward_rows(const Geometry* g, const Block* b, const Unit* unit, Py_ssize_t t) noexcept nogil:
    """plane <- the transforms of all rows of a tile."""
    cdef Py_ssize_t line = 0, k, _k
    cdef vec* target
    while line < b.down.n:
        target = b.plane + 2 * line
        if line >= b.lines or (unit.places == 1 and row_of(g, b, unit.at, t, line) < 0
                               and (line + 1 >= b.lines or row_of(g, b, unit.at, t, line + 1) < 0)):
            for _k in range(b.bins):
                target[0] = target[1] = target[2] = target[3] = vec_zero()
                target += b.column
        else:
            line_fetch(g, b, unit, t, line, b.one)
            if line + 1 < b.lines:
                line_fetch(g, b, unit, t, line + 1, b.one + 1)
            else:
                for k in range(b.across.n):
                    b.one[2 * k + 1] = vec_zero()
            transform(&b.across, b.one, 2, 1, b.line, 2, 1, b)
            separate(b.across.n, b.line, target, target + 2, b.column, 1)
        line += 2


cdef void forward_pair(const Geometry* g, const Block* b, const Unit* first, const Unit* second, Py_ssize_t t) noexcept nogil:
    """line <- the transform of the only rows of two units, as real and imaginary parts; no second one: NULL."""
    cdef Py_ssize_t k
    line_fetch(g, b, first, t, 0, b.one)
    if second != NULL:
        line_fetch(g, b, second, t, 0, b.one + 1)
    else:
        for k in range(b.across.n):
            b.one[2 * k + 1] = vec_zero()
    transform(&b.across, b.one, 2, 1, b.line, 2, 1, b)


cdef vec backward_rows(const Geometry* g, const Arrays* a, const Block* b, const Unit* unit, const vec* plane, Py_ssize_t n,
                       Py_ssize_t k) noexcept nogil:
    """Inverse transforms of the rows that hold outputs, finished."""
    cdef Py_ssize_t line = 0, pitch = padded(b.across.n, LANES) * NV
    cdef vec odd = vec_zero()
    cdef vec* sums = <vec*>b.sums
    while line < b.down.m:
        combine(b.across.n, plane + 2 * line, plane + 2 * line + 2 if line + 1 < b.down.m else NULL, b.column, 1, b.one)
        transform(&b.across, b.one, 2, 1, sums + pitch, NV, -pitch, b)
        odd = odd + line_finish(g, a, b, unit, n, k, line, b.sums)
        if line + 1 < b.down.m:
            odd = odd + line_finish(g, a, b, unit, n, k, line + 1, b.sums + pitch * LANES)
        line += 2
    return odd


cdef vec pair_finish(const Geometry* g, const Arrays* a, const Block* b, const Unit* first, const Unit* second, Py_ssize_t n,
                     Py_ssize_t k) noexcept nogil:
    """Finish the sums of the only rows of two units."""
    cdef Py_ssize_t pitch = padded(b.across.n, LANES) * NR
    cdef vec odd = line_finish(g, a, b, first, n, k, 0, b.sums)
    if second != NULL:
        odd = odd + line_finish(g, a, b, second, n, k, 0, b.sums + pitch)
    return odd


cdef void multiply_plane(const Geometry* g, const Block* b, const real* w) noexcept nogil:
    """plane <- the product with the spectrum w, transformed back down the columns."""
    cdef Py_ssize_t _k, lanes = 1 if g.tile_lanes else LANES
    cdef vec* column = b.plane
    for _k in range(b.bins):
        transform(&b.down, column, 2, 1, b.line, 2, 1, b)
        if g.tile_lanes:
            multiply(b.down.n, b.line, 2, w, True, False)
        else:
            multiply(b.down.n, b.line, 2, w, False, False)
        transform(&b.down, b.line + 1, 2, -1, column + 1, 2, -1, b)
        w += 2 * b.down.n * lanes
        column += b.column


cdef void multiply_line(const Geometry* g, const Block* b, const real* w) noexcept nogil:
    """sums <- the product of `line` with the spectrum w of a real row, transformed back."""
    cdef Py_ssize_t n = b.across.n, pitch = padded(n, LANES) * NV, half = n // 2 + 1
    if g.tile_lanes:
        multiply(half, b.line, 2, w, True, False)
        multiply(n - half, b.line + 2 * (n - 1), -2, w + 2, True, True)
    else:
        multiply(half, b.line, 2, w, False, False)
        multiply(n - half, b.line + 2 * (n - 1), -2, w + 2 * LANES, False, True)
    transform(&b.across, b.line + 1, 2, -1, <vec*>b.sums + pitch, NV, -pitch, b)


cdef bint pointwise_block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: pixel_block units of an image and LANES output channels (or one); whether a sum was NaN or infinite."""
    cdef Py_ssize_t lanes = 1 if g.tile_lanes else LANES, blocks, unit, stop, k, K = g.G * g.K, n
    cdef vec odd = vec_zero()
    cdef const real* w
    cdef const real* x
    cdef Unit one, other
    cdef Block b
    cdef int i
    layout(g, &b, workspace)
    axes_open(&b, a.constants, True)
    blocks = ceil_div(b.units, g.pixel_block)
    unit = task % blocks * g.pixel_block
    stop = min(b.units, unit + g.pixel_block)
    task //= blocks
    k = task % ceil_div(K, lanes) * lanes
    n = task // ceil_div(K, lanes)
    w = a.w + k * b.bins * b.down.n * 2
    x = a.x + n * g.x_n
    while unit < stop:
        unit_open(g, &b, x + k // g.K * g.x_c, unit, min(lanes, K - k), &one)
        if g.K > 1 and not g.tile_lanes:        # several kernels for a channel
            one.contiguous = False
            for i in range(one.lanes):
                one.x[i] = x + (k + i) // g.K * g.x_c
        if b.down.n > 1:
            forward_rows(g, &b, &one, 0)
            multiply_plane(g, &b, w)
            odd = odd + backward_rows(g, a, &b, &one, b.plane, n, k)
            unit += 1
            continue
        other = one
        if unit + 1 < stop:
            unit_open(g, &b, x + k // g.K * g.x_c, unit + 1, min(lanes, K - k), &other)
            for i in range(other.lanes):
                other.x[i] = one.x[i] if i < one.lanes else one.x[0]
            other.contiguous = one.contiguous
        forward_pair(g, &b, &one, &other if unit + 1 < stop else NULL, 0)
        multiply_line(g, &b, w)
        odd = odd + pair_finish(g, a, &b, &one, &other if unit + 1 < stop else NULL, n, k)
        unit += 2
    return any_odd(odd)


cdef Py_ssize_t round_of(const Geometry* g, const Block* b, Py_ssize_t number, Py_ssize_t* n, Py_ssize_t* group) noexcept nogil:
    """Image and group of a round, and its first tile."""
    cdef Py_ssize_t blocks = ceil_div(b.tiles, g.pixel_block)
    group[0] = number // blocks % g.G
    n[0] = number // (blocks * g.G)
    return number % blocks * g.pixel_block


cdef Py_ssize_t forward_tasks(const Geometry* g, const Block* b) noexcept nogil:
    """How many tasks fill V for a round: tiles, or pairs of them, times vectors of channels, times depth taps."""
    cdef Py_ssize_t tiles = min(g.pixel_block, b.tiles)
    return (tiles if b.down.n > 1 else ceil_div(tiles, 2)) * ceil_div(g.C, LANES) * g.T


cdef bint forward_block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: the spectra of a tile, or a pair of them, for a vector of channels of one depth tap."""
    cdef Py_ssize_t n, group, tile, first, k, c, t, vectors = ceil_div(g.C, LANES), each
    cdef Unit one, other
    cdef Block b
    cdef vec* V
    cdef const real* x
    layout(g, &b, workspace)
    axes_open(&b, a.constants, True)
    each = forward_tasks(g, &b)
    first = round_of(g, &b, task // each, &n, &group)
    task %= each
    c = task % vectors * LANES
    t = task // vectors % g.T
    tile = task // (vectors * g.T) * (1 if b.down.n > 1 else 2)
    if first + tile >= b.tiles:
        return False
    V = <vec*>(<real*>a.shared + tile * b.v_step + t * padded(g.C, LANES) + c)
    x = a.x + n * g.x_n + (group * g.C + c) * g.x_c
    unit_open(g, &b, x, first + tile, min(<Py_ssize_t>LANES, g.C - c), &one)
    if b.down.n > 1:
        forward_rows(g, &b, &one, t)
        for k in range(b.bins):
            transform(&b.down, b.plane + k * b.column, 2, 1, V, 2 * b.depth // LANES, b.depth // LANES, &b)
            V += b.down.n * 2 * b.depth // LANES
        return False
    if first + tile + 1 < b.tiles:
        unit_open(g, &b, x, first + tile + 1, min(<Py_ssize_t>LANES, g.C - c), &other)
    forward_pair(g, &b, &one, &other if first + tile + 1 < b.tiles else NULL, t)
    separate(b.across.n, b.line, V, V + b.v_step // LANES, 2 * b.depth // LANES, b.depth // LANES)
    return False


cdef void tile(const Block* b, int m, int nv, Py_ssize_t n, const real* V, const real* w, const real* ahead,
               real* products) noexcept nogil:
    any_complex_tile(m, nv, n, V, b.v_step, b.depth, w, ahead, products, b.product_step)


cdef void multiply_frequency(const Block* b, Py_ssize_t n, Py_ssize_t tiles, const real* V, const real* w, real* products,
                             int nv) noexcept nogil:
    """products (tiles, 2, NR) = V (tiles, 2, depth) times a panel of weights (n, 2, NR); the next frequency is fetched."""
    cdef Py_ssize_t parts = ceil_div(tiles, MR // 2), i, j, first, stop = 0
    for i in range(tiles):
        for j in range(2 * b.depth // LANES):
            prefetch(V + i * b.v_step + 2 * b.depth + j * LANES)
    for i in range(parts):
        first = stop
        stop = (i + 1) * tiles // parts
        tile(b, <int>(stop - first), nv, n, V + first * b.v_step, w, w + 2 * n * NR + i % NV * 2 * n * LANES,
             products + first * b.product_step)


cdef Py_ssize_t product_tasks(const Geometry* g, const Block* b) noexcept nogil:
    return ceil_div(min(g.pixel_block, b.tiles), g.chunk) * ceil_div(g.K, g.channel_block)


cdef vec panel_block(const Geometry* g, const Arrays* a, const Block* b, const real* V, const real* w, Py_ssize_t n,
                     Py_ssize_t first, Py_ssize_t tiles, Py_ssize_t k, Py_ssize_t channels) noexcept nogil:
    """Outputs of `tiles` tiles of image n from tile `first` on, for a panel of channels from k on, through all groups."""
    cdef Py_ssize_t depth = sum_length(g, b), frequency = 0, step = b.product_step // LANES, c, f, i, j
    cdef Py_ssize_t size = b.bins * b.column, vectors = ceil_div(channels, LANES), pitch = padded(b.across.n, LANES) * NV
    cdef vec odd = vec_zero()
    cdef const vec* products = <const vec*>b.products
    cdef Unit one, other
    for c in range(b.bins):
        for f in range(b.down.n):
            multiply_frequency(b, depth, tiles, V + frequency * 2 * b.depth, w + frequency * depth * 2 * NR,
                               b.products + (f if b.down.n > 1 else c) * 2 * NR, <int>vectors)
            frequency += 1
        if b.down.n > 1:
            for i in range(tiles):
                for j in range(vectors):
                    transform(&b.down, products + i * step + NV + j, 2 * NV, -NV,
                              b.plane + (i * NV + j) * size + c * b.column + 1, 2, -1, b)
    i = 0
    while i < tiles:
        for j in range(vectors):
            unit_open(g, b, a.x, first + i, min(<Py_ssize_t>LANES, channels - j * LANES), &one)
            if b.down.n > 1:
                odd = odd + backward_rows(g, a, b, &one, b.plane + (i * NV + j) * size, n, k + j * LANES)
                continue
            combine(b.across.n, products + i * step + j, products + (i + 1) * step + j if i + 1 < tiles else NULL, 2 * NV, NV,
                    b.one)
            transform(&b.across, b.one, 2, 1, <vec*>b.sums + pitch, NV, -pitch, b)
            if i + 1 < tiles:
                unit_open(g, b, a.x, first + i + 1, min(<Py_ssize_t>LANES, channels - j * LANES), &other)
            odd = odd + pair_finish(g, a, b, &one, &other if i + 1 < tiles else NULL, n, k + j * LANES)
        i += 1 if b.down.n > 1 else 2
    return odd


cdef bint product_block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: `chunk` tiles of a round and channel_block output channels; whether a sum was NaN or infinite."""
    cdef Py_ssize_t n, group, tile, first, tiles, k, stop, parts = ceil_div(g.K, g.channel_block), each, size
    cdef vec odd = vec_zero()
    cdef Block b
    layout(g, &b, workspace)
    axes_open(&b, a.constants, True)
    each = product_tasks(g, &b)
    first = round_of(g, &b, task // each, &n, &group)
    task %= each
    k = task % parts * g.channel_block
    stop = min(g.K, k + g.channel_block)
    tile = task // parts * g.chunk
    tiles = min(min(g.chunk, g.pixel_block - tile), b.tiles - first - tile)
    size = b.bins * b.down.n * sum_length(g, &b) * 2       # numbers of the weights of an output channel
    while k < stop and tiles > 0:
        odd = odd + panel_block(g, a, &b, <real*>a.shared + tile * b.v_step, a.w + (group * padded(g.K, NR) + k) * size, n,
                                first + tile, tiles, group * g.K + k, min(<Py_ssize_t>NR, stop - k))
        k += NR
    return any_odd(odd)


cdef bint pack_task(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: pack_step output channels of one group and one input channel."""
    cdef Py_ssize_t lanes = lanes_of_weights(g), step = pack_step(g), taps = g.R * g.S, c, t, k, i, j, f, group, count, size
    cdef Py_ssize_t K = g.G * g.K if is_pointwise(g) else g.K, distance = g.C * g.T * taps
    cdef real* packed
    cdef wide* buffer[4]
    cdef Block b
    layout(g, &b, NULL)
    packing_layout(g, &b, workspace, buffer)
    axes_open(&b, a.constants, False)
    c = task % g.C
    k = task // g.C % ceil_div(K, step) * step
    group = task // (g.C * ceil_div(K, step))
    size = 2 * sum_length(g, &b) * lanes
    for t in range(g.T):
        packed = a.y + (group * padded(K, lanes) + k) // lanes * b.bins * b.down.n * size
        packed += 2 * (t * padded(g.C, LANES) + c) * lanes
        for j in range(step // WIDE):
            i = j * WIDE
            count = max(<Py_ssize_t>0, min(<Py_ssize_t>WIDE, K - k - i))
            kernel_rows(g, &b, a.w + (group * K + k + i) * distance + (c * g.T + t) * taps, distance, <int>count,
                        transform_wide, buffer)
            spectra_store(g, &b, transform_wide, buffer, <int>count, packed + i)
        if g.T > 1 and c == g.C - 1:            # rows between depth taps, which meet zeros
            for f in range(b.bins * b.down.n):
                memset(packed + f * size + 2 * lanes, 0, (padded(g.C, LANES) - g.C) * 2 * lanes * sizeof(real))
    return False


cdef Py_ssize_t workspace(const Geometry* g) noexcept nogil:
    cdef Block b
    return layout(g, &b, NULL)


cdef Py_ssize_t shared(const Geometry* g) noexcept nogil:
    """The spectra of a round."""
    cdef Block b
    layout(g, &b, NULL)
    return 0 if is_pointwise(g) else padded(padded(min(g.pixel_block, b.tiles), 2) * b.v_step * sizeof(real), 64)


cdef Division divide(Geometry* g) noexcept nogil:
    cdef Block b
    cdef Py_ssize_t tasks
    layout(g, &b, NULL)
    if is_pointwise(g):
        return divided(<AnyTask>pointwise_block, g.N * ceil_div(g.G * g.K, 1 if g.tile_lanes else LANES)
                       * ceil_div(b.units, g.pixel_block))
    tasks = product_tasks(g, &b)
    return divided_in_rounds(<AnyTask>forward_block, forward_tasks(g, &b), <AnyTask>product_block, tasks,
                             g.N * g.G * ceil_div(b.tiles, g.pixel_block) * tasks)


cdef Py_ssize_t packed(const Geometry* g) noexcept nogil:
    cdef Block b
    layout(g, &b, NULL)
    if is_pointwise(g):
        return padded(g.G * g.K, lanes_of_weights(g)) * b.bins * b.down.n * 2
    return g.G * padded(g.K, NR) * b.bins * b.down.n * sum_length(g, &b) * 2


cdef Division packing(Geometry* g) noexcept nogil:
    """packed <- the spectra of w (G K, C, T, R, S), transformed in float64 and rounded once.

    (G, ceil(K / NR), frequencies, sum, 2, NR); (ceil(K / LANES), frequencies, 2, LANES), or (K, frequencies, 2) with tiles on
    the lanes, where every channel has its own kernel. Frequencies column by column.
    """
    cdef Block b
    cdef wide* buffer[4]
    cdef Py_ssize_t groups = 1 if is_pointwise(g) else g.G
    layout(g, &b, NULL)
    return divided(<AnyTask>pack_task, groups * ceil_div(g.G // groups * g.K, pack_step(g)) * g.C,
                   packing_layout(g, &b, NULL, buffer))


cdef Table table
kernel = offer(&table, CONVOLUTION, <Divide>divide, <Measure>workspace, <Measure>packed, <Divide>packing, <Measure>shared)
