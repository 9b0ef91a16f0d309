"""Winograd's minimal filtering, channels on the lanes: m x m outputs of a channel from alpha x alpha products.

Loops, outermost first, and what each block is sized for:
    task        in parallel: image x group x tile_block tiles x channel_block output channels
    input       per run of tiles and vector of channels: a patch of x, in L1, becomes alpha^2 vectors a tile: V, in L2
    k           chunk output channels       their products M, in L2
    e           alpha^2 elements            one matrix product each: V[e] (tiles, C) times a panel of U[e] (C, NR)
    output      per run of tiles: M becomes m x m sums a tile, which are finished in either layout
F(m, r) works along the axes whose alpha is not 1: both (r x r taps), one (1-D), with the depth taps T of a 3-D kernel
counted as further input channels. A dilated kernel is a plain one on each of its phases, the pixels `dilation` apart.
A. Lavin and S. Gray, arXiv:1509.09308.
With stride 2, even taps see the even pixels and odd taps the odd ones: both are filtered by F(m, taps // 2 + 1), the last odd
tap being zero, and with it the last product (micro/winograd.pxd): 2 alpha - 1 products instead of taps m. Of a single odd tap
the elements are those m = alpha - 1 pixels themselves, whose weights are all the same.

Needs    alpha 4 or 6, or 8 in float64; stride 1 along the transformed axes, or 2 and 3 (alpha 4) or 3 to 7 taps (alpha 6); x
         rows (channels last: pixels) contiguous; w (G K, C, T, R, S), with `in_place` panels (G, ceil(K / NR), T R S, C, NR) of
         it, or packed; y in the layout of x; distinct buffers. After the Geometry come B' A' G of fastconv/transforms.py.
Leaves   y written in full.
Rounds   as a sum over C T of transformed numbers: growth in transforms.growth. A NaN or infinity reaches all outputs of its
         tiles; the plan then has the call repeated by another row.
Costs    2 side^2 / m^2 N G K C T O P Q flop, side being alpha or 2 alpha - 1, and the transforms, about 200 operations
         each for a tile of F(4, 3).
"""
from kernel cimport CONVOLUTION, AnyTask, Arrays, Divide, Division, Measure, Table, divided, offer
from micro.activation cimport vec_clip
from micro.combine cimport Target, pixels_combine, target_of
from micro.element cimport element_multiply
from micro.finish cimport any_odd, output_open, output_place, pixels_fetch, pixels_finish
from micro.geometry cimport Geometry, border_index, ceil_div, padded
from micro.simd cimport (LANES, NR, NV, REAL_BYTES, prefetch, real, vec, vec_load, vec_mask_load, vec_mask_load_step,
                         vec_mask_store, vec_splat, vec_store, vec_transpose, vec_zero)
from micro.tile cimport Output
from micro.winograd cimport ONE, SEVERAL, axis_input, axis_output
from winograd_tiles cimport (MOST_ALPHA, MOST_COLUMNS, MOST_SIDE, PIECE, Block, any_layout, first_of, run_of,
                             unique_weights, weights_step)
from winograd_weights cimport any_pack_piece


cdef Py_ssize_t layout(const Geometry* g, Block* b, char* workspace) noexcept nogil:
    return any_layout(g, b, workspace)


cdef void pack_piece(const Geometry* g, const Arrays* a, Py_ssize_t group, Py_ssize_t k, Py_ssize_t c, real* plain,
                     real* packed) noexcept nogil:
    any_pack_piece(g, a, group, k, c, plain, packed)


cdef inline vec load_channels(const real* x, Py_ssize_t step, Py_ssize_t channels) noexcept nogil:
    """The first `channels` (<= LANES) channels of one pixel, `step` apart; zeros behind them."""
    cdef real lane[LANES]
    cdef int i
    if step == 1:
        return vec_load(x) if channels == LANES else vec_mask_load(vec_zero(), (1u << channels) - 1, x)
    for i in range(LANES):
        lane[i] = x[i * step] if i < channels else 0
    return vec_load(lane)


cdef void fill_row(const Geometry* g, const real* row, Py_ssize_t w, Py_ssize_t columns, Py_ssize_t channels,
                   vec* patch, Py_ssize_t ahead) noexcept nogil:
    """One row of the patch: `columns` pixels, `dilation_w` apart from column w on, which may lie outside; row NULL is zero
    padding. Meanwhile the numbers `ahead` behind them are fetched, with channels last."""
    cdef Py_ssize_t j, first, stop, column, n, step = g.dilation_w
    cdef vec block[LANES]
    cdef unsigned lanes
    cdef int i
    if row == NULL:
        for j in range(columns):
            patch[j] = vec_zero()
        return
    first = min(columns, ceil_div(-w, step) if w < 0 else 0)
    stop = max(first, min(columns, ceil_div(g.W - w, step) if w < g.W else 0))
    for j in range(columns):
        if j < first or j >= stop:
            column = border_index(g.padding_mode, w + j * step, g.W)
            patch[j] = vec_zero() if column < 0 else load_channels(row + column * g.x_w, g.x_c, channels)
    if g.x_c == 1 and channels == LANES:
        for j in range(first, stop):
            patch[j] = vec_load(row + (w + j * step) * g.x_w)
            prefetch(row + (w + j * step) * g.x_w + ahead)
        return
    if g.x_w != 1 or stop - first < LANES // 2:
        for j in range(first, stop):
            patch[j] = load_channels(row + (w + j * step) * g.x_w, g.x_c, channels)
        return
    j = first
    while j < stop:             # rows of pixels, turned; the last LANES of them whole, again where needed
        j = max(first, min(j, stop - LANES))
        n = min(<Py_ssize_t>LANES, stop - j)
        lanes = (1u << n) - 1
        if n == channels == LANES and step == 1:
            for i in range(LANES):
                block[i] = vec_load(row + i * g.x_c + w + j)
        else:
            for i in range(LANES):
                block[i] = vec_zero()
                if i < channels:
                    block[i] = vec_mask_load_step(block[i], lanes, row + i * g.x_c + w + j * step, step)
        for i in range(LANES):
            prefetch(row + (LANES + i) * g.x_c + w + j * step)      # of the next vector of channels
        vec_transpose(block)
        for i in range(LANES):
            if i < n:
                patch[j + i] = block[i]
        j += LANES


cdef inline void store_line(const vec* line, const int side, real* target, Py_ssize_t step, unsigned lanes) noexcept nogil:
    """Elements of one axis, `step` apart."""
    cdef int i
    if lanes == (1u << LANES) - 1:
        for i in range(side):
            vec_store(target + i * step, line[i])
    else:
        for i in range(side):
            vec_mask_store(target + i * step, lanes, line[i])


cdef inline void tile_input(const Geometry* g, const Block* b, const int alpha, const int odd, const vec* patch,
                            real* target, unsigned lanes) noexcept nogil:
    """Transform one tile of the patch and store its elements, for the channels of `lanes`."""
    cdef vec half[MOST_SIDE * MOST_SIDE]
    cdef vec line[MOST_SIDE]
    cdef int i, j, side = 2 * alpha - 1 if odd else alpha
    if g.alpha_h == 1:
        axis_input(alpha, odd, b.B, patch, 1, line, 1)
        store_line(line, side, target, b.v_step, lanes)
        return
    for i in range(side):
        axis_input(alpha, odd, b.B, patch + i * MOST_COLUMNS, 1, half + i * side, 1)
    for j in range(side):
        axis_input(alpha, odd, b.B, half + j, side, line, 1)
        store_line(line, side, target + j * b.v_step, side * b.v_step, lanes)


cdef inline void all_input(const Geometry* g, const Block* b, const int alpha, const int odd) noexcept nogil:
    """V of all tiles of the block."""
    cdef Py_ssize_t stride = 2 if odd else 1
    cdef Py_ssize_t tile = 0, row, column, o, run, t, c, d, h, w, i, channels, next
    while tile < b.tiles:
        row = (b.tile0 + tile) // b.columns
        column = b.tile0 + tile - row * b.columns
        o = row // b.rows
        row -= o * b.rows
        run = run_of(b, tile, column)
        w = first_of(column, b.phase_columns, b.m_w, g.dilation_w) * stride - g.pad_w
        next = run * b.m_w * g.x_w if column + run < b.columns else b.m_h * g.x_h       # of the next run
        next *= stride
        for t in range(g.T):
            d = border_index(g.padding_mode, o * g.stride_d - g.pad_d + t * g.dilation_d, g.D)
            c = 0
            while c < g.C:
                channels = min(<Py_ssize_t>LANES, g.C - c)
                for i in range(b.side_h):
                    h = border_index(g.padding_mode, first_of(row, b.phase_rows, b.m_h, g.dilation_h) * g.stride_h - g.pad_h
                                     + i * g.dilation_h, g.H)
                    fill_row(g, NULL if d < 0 or h < 0 else b.x + d * g.x_d + h * g.x_h + c * g.x_c,
                             w, (run - 1) * b.m_w * stride + b.side_w, channels,
                             b.patch + i * MOST_COLUMNS, LANES if c + LANES < g.C else next - c)
                for i in range(run):
                    tile_input(g, b, alpha, odd, b.patch + i * b.m_w * stride, b.V + (tile + i) * b.v_row + t * g.C + c,
                               (1u << channels) - 1)
                c += LANES
        tile += run


cdef void transform_all_input(const Geometry* g, const Block* b) noexcept nogil:
    if g.stride_w == 2:
        if g.alpha_w == 4:
            all_input(g, b, 4, ONE)
        elif g.S == 3:
            all_input(g, b, 6, ONE)
        else:
            all_input(g, b, 6, SEVERAL)
    elif g.alpha_w == 4:
        all_input(g, b, 4, 0)
    elif g.alpha_w == 6:
        all_input(g, b, 6, 0)
    elif REAL_BYTES > 4:
        all_input(g, b, 8, 0)


cdef void multiply_element(const Block* b, Py_ssize_t e, const real* weights, const real* ahead, real* products,
                           int nv) noexcept nogil:
    """products (tiles, NR) = V[e] times one panel of U[e]."""
    element_multiply(b.tiles, b.depth, b.V + e * b.v_step, b.v_row, weights, ahead, products, nv)


cdef inline void column_finish(const Output* out, const int m, const vec* sums, Py_ssize_t rows, vec bias, real* y,
                               vec* odd) noexcept nogil:
    """`rows` of the outputs of one column of a tile, finished as those of micro/tile.pxd are."""
    cdef vec v
    cdef int r
    for r in range(m):
        odd[0] = odd[0] + sums[r]
        v = sums[r] + bias
        if out.clips:
            v = vec_clip(v, vec_splat(out.low), vec_splat(out.high))
        if r < rows:
            vec_store(y, v)
        y += out.step


cdef inline void run_output(const Geometry* g, const Block* b, const real* products, Py_ssize_t run, Py_ssize_t vectors,
                            Py_ssize_t line, Output* out, Py_ssize_t rows, Py_ssize_t columns, const int alpha, const int m,
                            const int odd) noexcept nogil:
    """b.sums <- A' M A of a run of tiles, the first `vectors` vectors of channels; rows of sums lie `line` apart.

    With `out` `rows` x `columns` outputs are finished instead.
    """
    cdef vec half[MOST_SIDE * MOST_ALPHA]
    cdef vec axis[MOST_SIDE]
    cdef vec bias = vec_zero(), wrong = vec_zero()
    cdef Py_ssize_t i, j, inside = m, y_column = g.dilation_w * g.y_q
    cdef const real* product
    cdef real* total
    cdef real* target = NULL
    cdef int x, y, side = 2 * alpha - 1 if odd else alpha
    for i in range(run):
        if out != NULL:
            inside = min(<Py_ssize_t>m, columns - i * m)
            if inside <= 0 or rows <= 0:
                break
        for j in range(vectors):
            product = products + i * NR + j * LANES
            total = b.sums + i * m * NR + j * LANES
            if out != NULL:
                bias = vec_load(out.bias + j * LANES)
                target = out.y + i * m * y_column + j * LANES
            for y in range(1 if g.alpha_h == 1 else side):
                for x in range(side):
                    axis[x] = vec_load(product + (y * side + x) * b.m_step)
                axis_output(alpha, m, odd, b.A, axis, 1, half + y * m, 1)
            for x in range(m):
                if x < inside:
                    if g.alpha_h == 1:
                        axis[0] = half[x]
                    else:
                        axis_output(alpha, m, odd, b.A, half + x, m, axis, 1)
                    if out == NULL and g.alpha_h == 1:
                        vec_store(total + x * NR, axis[0])
                    elif out == NULL:
                        for y in range(m):
                            vec_store(total + y * line + x * NR, axis[y])
                    elif g.alpha_h == 1:
                        column_finish(out, 1, axis, 1, bias, target + x * y_column, &wrong)
                    else:
                        column_finish(out, m, axis, rows, bias, target + x * y_column, &wrong)
    if out != NULL:
        out.odd = out.odd + wrong * vec_zero()


cdef void transform_run_output(const Geometry* g, const Block* b, const real* products, Py_ssize_t run, Py_ssize_t vectors,
                               Py_ssize_t line, Output* out, Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    if g.stride_w == 2:
        if g.alpha_w == 4:
            run_output(g, b, products, run, vectors, line, out, rows, columns, 4, 3, ONE)
        elif g.S == 3:
            run_output(g, b, products, run, vectors, line, out, rows, columns, 6, 5, ONE)
        elif b.m_w == 4:
            run_output(g, b, products, run, vectors, line, out, rows, columns, 6, 4, SEVERAL)
        else:
            run_output(g, b, products, run, vectors, line, out, rows, columns, 6, 3, SEVERAL)
    elif g.alpha_w == 4:
        if b.m_w == 2:
            run_output(g, b, products, run, vectors, line, out, rows, columns, 4, 2, 0)
        else:
            run_output(g, b, products, run, vectors, line, out, rows, columns, 4, 3, 0)
    elif g.alpha_w == 6:
        if b.m_w == 4:
            run_output(g, b, products, run, vectors, line, out, rows, columns, 6, 4, 0)
        elif b.m_w == 5:
            run_output(g, b, products, run, vectors, line, out, rows, columns, 6, 5, 0)
        elif b.m_w == 3:
            run_output(g, b, products, run, vectors, line, out, rows, columns, 6, 3, 0)
        else:
            run_output(g, b, products, run, vectors, line, out, rows, columns, 6, 2, 0)
    elif REAL_BYTES > 4:
        if b.m_w == 6:
            run_output(g, b, products, run, vectors, line, out, rows, columns, 8, 6, 0)
        elif b.m_w == 7:
            run_output(g, b, products, run, vectors, line, out, rows, columns, 8, 7, 0)
        elif b.m_w == 5:
            run_output(g, b, products, run, vectors, line, out, rows, columns, 8, 5, 0)
        else:
            run_output(g, b, products, run, vectors, line, out, rows, columns, 8, 4, 0)


cdef vec transform_all_output(const Geometry* g, const Arrays* a, const Block* b, const real* products, Py_ssize_t k,
                              Py_ssize_t channels) noexcept nogil:
    """Transform and finish the products of one panel: `channels` channels from k on, which counts through all groups."""
    cdef Py_ssize_t tile = 0, row, column, o, p, q, run, y, line, pixels, at, rows = 0
    cdef Py_ssize_t m_h = 1 if g.alpha_h == 1 else b.m_h
    cdef Target target = target_of(g, a.bias, a.residual, a.y, b.n, b.group)
    cdef vec odd = vec_zero()
    cdef Output out
    cdef bint direct = output_open(g, a.residual, g.dilation_h * g.Q * g.y_q, &out) and g.parts == 0 and g.channels_last
    direct = direct and channels % LANES == 0
    while tile < b.tiles:
        row = (b.tile0 + tile) // b.columns
        column = b.tile0 + tile - row * b.columns
        o = row // b.rows
        row -= o * b.rows
        run = run_of(b, tile, column)
        line = padded(run * b.m_w, LANES) * NR
        q = first_of(column, b.phase_columns, b.m_w, g.dilation_w)
        pixels = min(run * b.m_w, ceil_div(g.Q - q, g.dilation_w)) if q < g.Q else 0
        for y in range(m_h if g.far and (g.parts == 0 or g.scales) else 0):
            p = first_of(row, b.phase_rows, m_h, g.dilation_h) + y * g.dilation_h
            if p < g.P:
                pixels_fetch(g, a.y + b.n * g.y_n + k * g.y_k + ((o * g.P + p) * g.Q + q) * g.y_q, pixels, channels,
                             g.dilation_w)
        if direct:
            p = first_of(row, b.phase_rows, m_h, g.dilation_h)
            rows = ceil_div(max(<Py_ssize_t>0, g.P - p), g.dilation_h)
            output_place(a.y + b.n * g.y_n + k * g.y_k + ((o * g.P + p) * g.Q + q) * g.y_q, a.bias, k, &out)
        transform_run_output(g, b, products + tile * NR, run, ceil_div(channels, LANES), line, &out if direct else NULL, rows,
                             pixels)
        for y in range(0 if direct else m_h):
            p = first_of(row, b.phase_rows, m_h, g.dilation_h) + y * g.dilation_h
            if p < g.P and g.parts:
                odd = odd + pixels_combine(g, &target, k - b.group * g.K, channels, b.sums + y * line, o * g.P + p, q,
                                           pixels, g.dilation_w, b.turned)
            elif p < g.P:
                at = b.n * g.y_n + k * g.y_k + ((o * g.P + p) * g.Q + q) * g.y_q
                odd = odd + pixels_finish(g, b.sums + y * line, NULL if a.bias == NULL else a.bias + k,
                                          NULL if a.residual == NULL else a.residual + at, a.y + at, pixels, channels,
                                          g.dilation_w, b.turned)
        tile += run
    return odd + out.odd


cdef bint block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task; returns whether a sum was NaN or infinite."""
    cdef Py_ssize_t k_blocks = ceil_div(g.K, g.channel_block), t_blocks, panel, panels, e, k, k0, k1
    cdef Py_ssize_t size, channels, i, c, unique = unique_weights(g)
    cdef const real* weights
    cdef real* products
    cdef vec odd = vec_zero()
    cdef Block b
    layout(g, &b, workspace)
    t_blocks = ceil_div(g.O * b.rows * b.columns, g.pixel_block)
    k0 = task % k_blocks * g.channel_block
    k1 = min(g.K, k0 + g.channel_block)
    b.tile0 = task // k_blocks % t_blocks * g.pixel_block
    b.tiles = min(g.pixel_block, g.O * b.rows * b.columns - b.tile0)
    b.group = task // (k_blocks * t_blocks) % g.G
    b.n = task // (k_blocks * t_blocks * g.G)
    b.x = a.x + b.n * g.x_n + b.group * g.C * g.x_c
    for i in range(g.alpha_w * g.alpha_w):
        b.B[i] = <real>a.constants[i]
    for i in range(b.m_w * g.alpha_w):
        b.A[i] = <real>a.constants[g.alpha_w * g.alpha_w + i]
    size = weights_step(g)
    transform_all_input(g, &b)
    while k0 < k1:
        panels = ceil_div(min(g.chunk, k1 - k0), NR)
        if g.packed:
            weights = a.w + (b.group * padded(g.K, NR) + k0) // NR * unique * size
            for e in range(b.elements):
                for panel in range(panels):
                    i = panel * unique + b.weights_of[e]
                    multiply_element(&b, e, weights + i * size,
                                     weights + (i + unique if panel + 1 < panels else b.weights_of[e] + 1) * size,
                                     b.M + panel * b.elements * b.m_step + e * b.m_step,
                                     <int>min(<Py_ssize_t>NV, ceil_div(k1 - k0 - panel * NR, LANES)))
        for panel in range(panels):
            k = k0 + panel * NR
            channels = min(<Py_ssize_t>NR, k1 - k)
            products = b.M + panel * b.elements * b.m_step
            if not g.packed:
                for c in range(ceil_div(g.C, PIECE)):
                    pack_piece(g, a, b.group, k, c * PIECE, b.plain, b.weights)
                for e in range(b.elements):
                    multiply_element(&b, e, b.weights + b.weights_of[e] * size, b.weights, products + e * b.m_step,
                                     <int>ceil_div(channels, LANES))
            odd = odd + transform_all_output(g, a, &b, products, b.group * g.K + k, channels)
        k0 += panels * NR
    return any_odd(odd)


cdef bint pack_task(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: NR output channels of one group, PIECE input channels."""
    cdef Py_ssize_t panels = ceil_div(g.K, NR), pieces = ceil_div(g.C, PIECE), panel = task // pieces
    pack_piece(g, a, panel // panels, panel % panels * NR, task % pieces * PIECE, <real*>workspace,
               a.y + panel * unique_weights(g) * weights_step(g))
    return False


cdef Py_ssize_t workspace(const Geometry* g) noexcept nogil:
    cdef Block b
    return layout(g, &b, NULL)


cdef Division divide(Geometry* g) noexcept nogil:
    cdef Block b
    layout(g, &b, NULL)
    return divided(<AnyTask>block, g.N * g.G * ceil_div(g.O * b.rows * b.columns, g.pixel_block)
                   * ceil_div(g.K, g.channel_block))


cdef Py_ssize_t packed(const Geometry* g) noexcept nogil:
    return g.G * ceil_div(g.K, NR) * unique_weights(g) * weights_step(g)


cdef Division packing(Geometry* g) noexcept nogil:
    """packed (G, ceil(K / NR), unique_weights, T C | 1, NR) <- w (G K, C, T, R, S), transformed in float64 and rounded once."""
    return divided(<AnyTask>pack_task, g.G * ceil_div(g.K, NR) * ceil_div(g.C, PIECE),
                   0 if g.in_place else g.T * g.R * g.S * PIECE * NR * sizeof(real))


cdef Table table
kernel = offer(&table, CONVOLUTION, <Divide>divide, <Measure>workspace, <Measure>packed, <Divide>packing)
