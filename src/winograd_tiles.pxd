"""Tiles of Winograd's filtering: how many elements they have, where they lie in the image and their numbers in the workspace."""
from micro.geometry cimport Geometry, ceil_div, padded, place
from micro.simd cimport LANES, NR, REAL_BYTES, real, vec
from micro.winograd cimport ONE, SEVERAL

cdef enum:
    L1_WAY = 4096 // REAL_BYTES     # numbers that all sets of L1 hold together, once
    MOST_ALPHA = 8
    MOST_SIDE = 11              # elements along one axis
    RUN = 16                    # tiles of one row of tiles that are transformed together, ...
    PIXEL_RUN = 4               # ... and with channels last, whose patch need not fill vectors and stays in L1
    MOST_COLUMNS = RUN * MOST_ALPHA + LANES
    PIECE = 16                  # input channels whose weights are transformed at once: they stay in L1

cdef struct Block:              # one task: what it computes and where its workspace lies
    Py_ssize_t n, group, tile0, tiles
    Py_ssize_t rows, columns    # tiles of one depth: those of each phase of the dilation side by side ...
    Py_ssize_t phase_rows, phase_columns                # ... and as many of them belong to one phase
    Py_ssize_t m_h, m_w, depth                          # outputs of a tile; C T
    Py_ssize_t side_h, side_w, elements                 # elements along each axis, and of both
    Py_ssize_t longest_run
    short weights_of[MOST_SIDE * MOST_SIDE]             # the weights of each element
    Py_ssize_t v_row, v_step, m_step                    # from tile to tile of V; between elements of V and M
    const real* x
    real B[MOST_ALPHA * MOST_ALPHA]
    real A[MOST_ALPHA * MOST_ALPHA]
    vec* patch                  # (side_h, MOST_COLUMNS) vectors of channels
    real* V                     # (elements, tiles, v_row)
    real* M                     # (elements, tiles, chunk)
    real* weights               # (unique_weights, depth | 1, NR), if the weights do not come packed
    real* plain                 # (T R S, PIECE, NR), likewise
    real* sums                  # (m_h, columns of a run, NR)
    real* turned                # (NR, columns of a run)


cdef inline int odd_of(Py_ssize_t alpha, Py_ssize_t stride, Py_ssize_t taps) noexcept nogil:
    """How many taps of an axis are filtered by themselves, on the odd pixels: 0, ONE or SEVERAL."""
    return 0 if alpha == 1 or stride == 1 else ONE if taps == 3 else SEVERAL


cdef inline Py_ssize_t side_of(Py_ssize_t alpha, int odd) noexcept nogil:
    """Elements along one axis."""
    return 2 * alpha - 1 if odd else alpha


cdef inline Py_ssize_t unique_of(Py_ssize_t alpha, int odd) noexcept nogil:
    """Those that have weights of their own."""
    return 2 * alpha - 1 if odd == SEVERAL else alpha + odd


cdef inline Py_ssize_t even_of(Py_ssize_t stride, Py_ssize_t taps) noexcept nogil:
    """r of F(m, r) along one axis."""
    return taps if stride == 1 else taps // 2 + 1


cdef inline Py_ssize_t unique_weights(const Geometry* g) noexcept nogil:
    """Elements that have weights of their own."""
    return (unique_of(g.alpha_h, odd_of(g.alpha_h, g.stride_h, g.R))
            * unique_of(g.alpha_w, odd_of(g.alpha_w, g.stride_w, g.S)))


cdef inline Py_ssize_t weights_step(const Geometry* g) noexcept nogil:
    """Between the packed weights of one element and the next: an odd number of lines, lest all fell into one set of a cache."""
    return (g.C * g.T | 1) * NR


cdef inline Py_ssize_t any_layout(const Geometry* g, Block* b, char* workspace) noexcept nogil:
    """Place the buffers of the largest block in the workspace; return the bytes they take. To be wrapped once."""
    cdef Py_ssize_t tiles, line = padded(RUN * MOST_ALPHA, LANES), i, unique = unique_weights(g)
    cdef int odd_h = odd_of(g.alpha_h, g.stride_h, g.R), odd_w = odd_of(g.alpha_w, g.stride_w, g.S)
    cdef char* free = workspace
    b.m_h = g.alpha_h - (even_of(g.stride_h, g.R) if g.alpha_h > 1 else g.R) + 1
    b.m_w = g.alpha_w - even_of(g.stride_w, g.S) + 1
    b.side_h = side_of(g.alpha_h, odd_h)
    b.side_w = side_of(g.alpha_w, odd_w)
    b.longest_run = (PIXEL_RUN if g.channels_last else RUN) // g.stride_w
    b.elements = b.side_h * b.side_w
    for i in range(b.elements):
        b.weights_of[i] = <short>(min(i // b.side_w, unique_of(g.alpha_h, odd_h) - 1) * unique_of(g.alpha_w, odd_w)
                                  + min(i % b.side_w, unique_of(g.alpha_w, odd_w) - 1))
    b.phase_rows = ceil_div(ceil_div(g.P, g.dilation_h), b.m_h)
    b.phase_columns = ceil_div(ceil_div(g.Q, g.dilation_w), b.m_w)
    b.rows = min(g.dilation_h, g.P) * b.phase_rows
    b.columns = min(g.dilation_w, g.Q) * b.phase_columns
    b.depth = g.C * g.T
    tiles = min(g.pixel_block, g.O * b.rows * b.columns)
    b.v_row = padded(b.depth, LANES)                                    # lest stores went over the ends of lines, ...
    b.v_row += LANES if b.v_row % L1_WAY == 0 else 0                    # ... or the rows of a tile shared one set of L1
    b.v_step = tiles * b.v_row + LANES
    b.m_step = tiles * NR + LANES
    b.patch = <vec*>place(&free, b.side_h * MOST_COLUMNS * sizeof(vec))
    b.V = <real*>place(&free, b.elements * b.v_step * sizeof(real))
    b.M = <real*>place(&free, b.elements * b.m_step * ceil_div(min(g.chunk, g.K), NR) * sizeof(real))
    b.weights = <real*>place(&free, 0 if g.packed else unique * weights_step(g) * sizeof(real))
    b.plain = <real*>place(&free, 0 if g.packed or g.in_place else g.T * g.R * g.S * PIECE * NR * sizeof(real))
    b.sums = <real*>place(&free, (b.m_h * line * NR + LANES) * sizeof(real))
    b.turned = <real*>place(&free, 0 if g.channels_last else line * NR * sizeof(real))
    return free - workspace


cdef inline Py_ssize_t first_of(Py_ssize_t tile, Py_ssize_t tiles, Py_ssize_t m, Py_ssize_t dilation) noexcept nogil:
    """Along one axis, the first output of a tile; the others of the tile follow `dilation` apart."""
    return tile % tiles * m * dilation + tile // tiles


cdef inline Py_ssize_t run_of(const Block* b, Py_ssize_t tile, Py_ssize_t column) noexcept nogil:
    """How many tiles from here on belong to one row of one phase."""
    return min(min(b.longest_run, b.phase_columns - column % b.phase_columns), b.tiles - tile)
