"""Tiles of a convolution in the frequency domain: where they lie, how their pixels reach vectors and sums reach the output."""
from kernel cimport Arrays
from micro.finish cimport pixels_finish, row_finish
from micro.fourier cimport MOST_PASSES, Axis
from micro.geometry cimport ZEROS, Geometry, border_index, ceil_div, padded, place
from micro.pack cimport turn
from micro.simd cimport (LANES, NR, NV, prefetch, real, vec, vec_load, vec_mask_load, vec_mask_load_step, vec_transpose,
                         vec_zero)

cdef struct Block:              # what a task computes and where its workspace lies
    Axis down, across
    Py_ssize_t step_h           # pixels between lines of a tile
    Py_ssize_t rows, columns    # tiles of one depth
    Py_ssize_t tiles, units     # of one image, and as tiles are counted: those on the lanes of a vector are one unit
    Py_ssize_t lines            # of a tile that are not zero whatever the image; 2 for a pair of units
    Py_ssize_t bins             # columns of frequencies: a real row has n / 2 + 1
    Py_ssize_t depth, v_step    # numbers in a row of V, and between its tiles
    Py_ssize_t product_step     # numbers between tiles of their products
    Py_ssize_t column           # vectors between columns of a plane
    vec* one                    # one line or column each
    vec* other
    vec* line
    vec* plane                  # (bins, down.n, 2): the spectrum of a tile by rows
    real* products              # (chunk, down.n, 2, NR): of one column; of a row, if that is all
    real* sums                  # (2, columns of a tile, NR)
    real* turned                # (NR, columns of a tile)
    real* twiddle

cdef struct Place:              # the first output of a tile
    Py_ssize_t o, p, q

cdef struct Unit:               # what lies on the lanes of a vector
    int lanes, places           # lanes in use; 1 place if they show channels of one tile
    bint contiguous             # one pixel of all lanes is contiguous
    Place at[LANES]
    const real* x[LANES]        # image and channel of each lane


cdef inline bint is_pointwise(const Geometry* g) noexcept nogil:
    """Whether every output channel has one input channel and no depth."""
    return g.C == 1 and g.T == 1


cdef inline Py_ssize_t sum_length(const Geometry* g, const Block* b) noexcept nogil:
    """Products in one sum; depth taps begin on whole vectors."""
    return g.C if g.T == 1 else b.depth


cdef inline Py_ssize_t any_layout(const Geometry* g, Block* b, char* workspace) noexcept nogil:
    """Place the buffers of the largest task in the workspace; return the bytes they take. To be wrapped once."""
    cdef Py_ssize_t longest = max(g.alpha_h, g.alpha_w), line = padded(g.alpha_w, LANES), planes = 1
    cdef bint pointwise = is_pointwise(g)
    cdef char* free = workspace
    b.down.n = g.alpha_h
    b.across.n = g.alpha_w
    b.down.m = g.tile_h
    b.across.m = g.tile_w
    b.step_h = g.dilation_h if g.alpha_h > 1 else 1
    b.down.tiles = ceil_div(ceil_div(g.P, b.step_h), g.tile_h)
    b.across.tiles = ceil_div(ceil_div(g.Q, g.dilation_w), g.tile_w)
    b.rows = b.step_h * b.down.tiles
    b.columns = g.dilation_w * b.across.tiles
    b.tiles = g.O * b.rows * b.columns
    b.units = ceil_div(b.tiles, LANES) if g.tile_lanes else b.tiles
    b.lines = 2 if g.alpha_h == 1 else min(g.alpha_h, g.tile_h + g.R - 1)
    b.bins = g.alpha_w // 2 + 1
    b.depth = g.T * padded(g.C, LANES)
    b.v_step = b.bins * g.alpha_h * 2 * b.depth + LANES         # not a multiple of 4096 bytes
    b.product_step = (g.alpha_h if g.alpha_h > 1 else b.bins) * 2 * NR + LANES
    b.column = 2 * g.alpha_h + 4
    if not pointwise and g.alpha_h > 1:
        planes = NV * min(g.chunk, b.tiles)
    b.one = <vec*>place(&free, 2 * longest * sizeof(vec))
    b.other = <vec*>place(&free, 2 * longest * sizeof(vec))
    b.line = <vec*>place(&free, 2 * longest * sizeof(vec))
    b.plane = <vec*>place(&free, planes * b.bins * b.column * sizeof(vec) if g.alpha_h > 1 else 0)
    b.products = <real*>place(&free, 0 if pointwise else min(g.chunk, b.tiles) * b.product_step * sizeof(real))
    b.sums = <real*>place(&free, 2 * line * NR * sizeof(real))
    b.turned = <real*>place(&free, line * NR * sizeof(real))
    b.twiddle = <real*>place(&free, 4 * (g.alpha_h + g.alpha_w) * MOST_PASSES * sizeof(real) // 2)
    return free - workspace


cdef inline Py_ssize_t axis_open(Axis* axis, const double* constants) noexcept nogil:
    """Take the radices of an axis; return how many of its twiddle factors follow."""
    cdef Py_ssize_t m = axis.n, count = 0
    cdef int i
    axis.passes = <int>constants[0]
    for i in range(axis.passes):
        axis.radix[i] = <int>constants[1 + i]
        m //= axis.radix[i]
        count += 2 * m * (axis.radix[i] - 1)
    axis.twiddle = constants + 1 + MOST_PASSES
    return count


cdef inline void axes_open(Block* b, const double* constants, bint rounded) noexcept nogil:
    """How both axes are transformed, with twiddle factors of doubles or rounded to reals."""
    cdef Py_ssize_t count = axis_open(&b.down, constants), more, i
    cdef const double* second = constants + 1 + MOST_PASSES + count
    more = axis_open(&b.across, second)
    if rounded:
        for i in range(count):
            b.twiddle[i] = <real>constants[1 + MOST_PASSES + i]
        for i in range(more):
            b.twiddle[count + i] = <real>second[1 + MOST_PASSES + i]
        b.down.twiddle = b.twiddle
        b.across.twiddle = b.twiddle + count


cdef inline Py_ssize_t first_of(Py_ssize_t tile, Py_ssize_t tiles, Py_ssize_t m, Py_ssize_t dilation) noexcept nogil:
    """Along one axis, the first output of a tile; the others of the tile follow `dilation` apart."""
    return tile % tiles * m * dilation + tile // tiles


cdef inline void unit_open(const Geometry* g, const Block* b, const real* x, Py_ssize_t number, Py_ssize_t lanes,
                           Unit* unit) noexcept nogil:
    """Where the tiles of unit `number` lie; x: image and channel of the first of `lanes` lanes."""
    cdef Py_ssize_t tile, row, column
    cdef int i
    unit.lanes = <int>lanes
    unit.places = 1
    unit.contiguous = g.channels_last and not g.tile_lanes
    if g.tile_lanes:
        unit.places = unit.lanes = <int>min(<Py_ssize_t>LANES, b.tiles - number * LANES)
        number *= LANES
    for i in range(unit.places):
        tile = number + i
        row = tile // b.columns
        column = tile - row * b.columns
        unit.at[i].o = row // b.rows
        unit.at[i].p = first_of(row % b.rows, b.down.tiles, b.down.m, b.step_h)
        unit.at[i].q = first_of(column, b.across.tiles, b.across.m, g.dilation_w)
    for i in range(unit.lanes):
        unit.x[i] = x if g.tile_lanes else x + i * g.x_c


cdef inline Py_ssize_t row_of(const Geometry* g, const Block* b, const Place* at, Py_ssize_t t, Py_ssize_t line) noexcept nogil:
    """Offset of the row that a line of a tile shows at depth tap t; -1: zeros."""
    cdef Py_ssize_t d = border_index(g.padding_mode, at.o * g.stride_d - g.pad_d + t * g.dilation_d, g.D)
    cdef Py_ssize_t h = border_index(g.padding_mode, at.p - g.pad_h + line * b.step_h, g.H)
    return -1 if d < 0 or h < 0 else d * g.x_d + h * g.x_h


cdef inline unsigned inside(const Geometry* g, Py_ssize_t w, Py_ssize_t n) noexcept nogil:
    """Which of n <= LANES pixels, `dilation_w` apart from column w on, lie in the image."""
    cdef Py_ssize_t first = 0, stop = n, step = g.dilation_w
    if w < 0:
        first = min(n, ceil_div(-w, step))
    if w + (n - 1) * step >= g.W:
        stop = max(first, ceil_div(g.W - w, step) if w < g.W else 0)
    return (1u << stop) - (1u << first)


cdef inline vec lane_fetch(const Geometry* g, const real* row, Py_ssize_t w, Py_ssize_t n, unsigned lanes) noexcept nogil:
    """n <= LANES pixels of one row, `dilation_w` apart from column w on, of which `lanes` lie in the image."""
    cdef real lane[LANES]
    cdef Py_ssize_t j, column
    if g.x_w == 1 and (g.padding_mode == ZEROS or lanes == (1u << n) - 1):
        return vec_mask_load_step(vec_zero(), lanes, row + w, g.dilation_w)
    for j in range(LANES):
        column = border_index(g.padding_mode, w + j * g.dilation_w, g.W) if j < n else -1
        lane[j] = 0 if column < 0 else row[column * g.x_w]
    return vec_load(lane)


cdef inline void pixels_fetch(const Geometry* g, const Unit* unit, const real* row, Py_ssize_t w, Py_ssize_t count,
                              vec* z) noexcept nogil:
    """line_fetch where all lanes of a pixel lie side by side."""
    cdef Py_ssize_t j, column
    cdef unsigned lanes = (1u << unit.lanes) - 1
    for j in range(count):
        column = border_index(g.padding_mode, w + j * g.dilation_w, g.W) if row != NULL else -1
        if column < 0:
            z[2 * j] = vec_zero()
        elif unit.lanes == LANES:
            z[2 * j] = vec_load(row + column * g.x_w)
        else:
            z[2 * j] = vec_mask_load(vec_zero(), lanes, row + column * g.x_w)


cdef inline void any_line_fetch(const Geometry* g, const Block* b, const Unit* unit, Py_ssize_t t, Py_ssize_t line,
                                vec* z) noexcept nogil:
    """z[2 j] <- pixel j of one line of the tiles of a unit, zeros behind the last that its outputs need. To be wrapped once."""
    cdef Py_ssize_t count = min(b.across.n, b.across.m + g.S - 1), step = g.dilation_w, j = 0, n, at = 0, w = 0
    cdef const real* row[LANES]
    cdef Py_ssize_t first[LANES]
    cdef vec block[LANES]
    cdef unsigned lanes = 0
    cdef int i
    for i in range(unit.lanes):
        if i < unit.places:
            at = row_of(g, b, unit.at + i, t, line)
            w = unit.at[i].q - g.pad_w
        row[i] = NULL if at < 0 else unit.x[i] + at
        first[i] = w
    for n in range(count, b.across.n):
        z[2 * n] = vec_zero()
    if unit.contiguous:
        pixels_fetch(g, unit, row[0], w, count, z)
        return
    while j < count:
        n = min(<Py_ssize_t>LANES, count - j)
        for i in range(LANES):
            block[i] = vec_zero()
            if i < unit.lanes and row[i] != NULL:
                if i < unit.places:
                    lanes = inside(g, first[i] + j * step, n)
                block[i] = lane_fetch(g, row[i], first[i] + j * step, n, lanes)
                prefetch(row[i] + first[i] + j * step + 4 * g.x_h)
        vec_transpose(block)
        for i in range(LANES):
            if i < n:
                z[2 * (j + i)] = block[i]
        j += LANES


cdef inline vec any_line_finish(const Geometry* g, const Arrays* a, const Block* b, const Unit* unit, Py_ssize_t n,
                                Py_ssize_t k, Py_ssize_t line, real* sums) noexcept nogil:
    """Finish a row of sums of a unit of image n: channels from k on, or tiles of channel k, through all groups. To be wrapped
    once."""
    cdef Py_ssize_t p, pixels, at, j, step = g.dilation_w * g.y_q, distance = padded(b.across.m, LANES)
    cdef const real* bias = NULL if a.bias == NULL else a.bias + k
    cdef vec odd = vec_zero()
    cdef real* row
    cdef int i
    if g.tile_lanes:
        turn(sums, NR, b.across.m, LANES, b.turned, distance)
    for i in range(unit.places):
        p = unit.at[i].p + line * b.step_h
        pixels = min(b.across.m, ceil_div(g.Q - unit.at[i].q, g.dilation_w)) if unit.at[i].q < g.Q else 0
        if p >= g.P or pixels == 0:
            continue
        at = n * g.y_n + k * g.y_k + ((unit.at[i].o * g.P + p) * g.Q + unit.at[i].q) * g.y_q
        row = b.turned + i * distance
        if not g.tile_lanes:
            odd = odd + pixels_finish(g, sums, bias, NULL if a.residual == NULL else a.residual + at, a.y + at, pixels,
                                      unit.lanes, g.dilation_w, b.turned)
        elif step == 1:
            odd = odd + row_finish(g, row, bias, 0, NULL if a.residual == NULL else a.residual + at, a.y + at, pixels)
        else:
            for j in range(pixels if a.residual != NULL else 0):
                sums[j] = a.residual[at + j * step]
            odd = odd + row_finish(g, row, bias, 0, NULL if a.residual == NULL else sums, row, pixels)
            for j in range(pixels):
                a.y[at + j * step] = row[j]
    return odd
