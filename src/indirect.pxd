"""Windows of an indirect product (M. Dukhan, arXiv:1907.02129): for every tap a pointer to the channels of one pixel, or to
zeros where the padding is; and tiles, which join pixels that see the image with the same taps.

im2col_channels.pyx multiplies them. With `row_runs`, for few channels and taps side by side, a pointer stands for a whole row of
the window, and rows that reach over the border are copied.
"""
from libc.string cimport memcpy, memset

from micro.geometry cimport ZEROS, Geometry, border_index, ceil_div, padded, place
from micro.simd cimport LANES, NR, NV, real

cdef enum:
    POINTERS = 8                # in one line
    TAP_BANDS = 1               # values of Geometry.bands, as in fastconv/tiles.py
    ROW_BANDS = 2

cdef struct Block:          # one task: what it computes and where its workspace lies
    Py_ssize_t n, group, q0, pixels, tiles, runs, length
    Py_ssize_t apart        # pointers of one run from those of the next: an odd number of lines, lest they share a set of L1
    const real* x           # first pixel of the image and group
    Py_ssize_t x_d, x_h, x_w
    const real** window     # (runs, apart): where the multipliers of a pixel start
    char* live              # (runs, tiles): 0 if every window of the tile lies in zero padding
    int* start              # (tiles + 1): windows at which tiles begin
    int* tile_of            # (pixels): the tile of a window
    Py_ssize_t fullest      # the first of NV tiles that see most of the image
    int* segment            # columns at which segments end
    int* place              # (pixels), with segments: the window of a pixel
    real* natural           # (pixels, NR), with segments: totals in the order of pixels
    real* zeros             # one run of zeros
    real* copies            # rows of windows (pixels, T R, S C) with `row_runs`
    real* weights           # one packed panel (T R S C, NR), if the weights do not come packed
    real* totals            # (pixels, NR)
    real* turned            # (NR, pixels) sums of channels-first output
    bint sorted_by_taps     # windows stand by bands and segments, not in the order of pixels
    bint in_rows            # no tile goes on in the next row of pixels
    Py_ssize_t phase        # of a transposed convolution that the panel at hand belongs to; -1: several
    Py_ssize_t begin[3]     # sums of which it makes outputs: begin .. end along each axis, since those of a phase may be cut off
    Py_ssize_t end[3]


cdef inline Py_ssize_t layout(const Geometry* g, Block* b, char* workspace) noexcept nogil:
    """Place the buffers of the largest block in the workspace; return the bytes they take. plan.py asks for them."""
    cdef Py_ssize_t taps = g.T * g.R * g.S, length = taps * g.C, pixels = min(g.pixel_block, g.O * g.P * g.Q)
    cdef char* free = workspace
    b.runs = g.T * g.R if g.row_runs else taps
    b.length = g.S * g.C if g.row_runs else g.C
    b.apart = (ceil_div(pixels + 1, POINTERS) | 1) * POINTERS
    b.window = <const real**>place(&free, b.runs * b.apart * sizeof(void*))
    b.live = place(&free, b.runs * pixels)
    b.start = <int*>place(&free, (pixels + 1) * sizeof(int))
    b.tile_of = <int*>place(&free, pixels * sizeof(int))
    b.segment = <int*>place(&free, min(g.Q, 2 * g.S + 1) * sizeof(int))
    b.place = <int*>place(&free, pixels * sizeof(int) if g.segments else 0)
    b.natural = <real*>place(&free, (padded(pixels, LANES) * NR + LANES) * sizeof(real) if g.segments else 0)
    b.zeros = <real*>place(&free, b.length * sizeof(real))
    b.copies = <real*>place(&free, pixels * length * sizeof(real) if g.row_runs else 0)
    b.weights = <real*>place(&free, 0 if g.packed else length * NR * sizeof(real))
    b.totals = <real*>place(&free, (padded(pixels, LANES) * NR + LANES) * sizeof(real))
    b.turned = <real*>place(&free, 0 if g.channels_last else padded(pixels, LANES) * NR * sizeof(real))
    return free - workspace


cdef inline void copy_row(const Geometry* g, const Block* b, const real* row, Py_ssize_t w, real* copy) noexcept nogil:
    """copy (S, C) <- the pixels that one row of a window reads in the input row at `row`, from column w on."""
    cdef Py_ssize_t s, column, first = min(g.S, max(<Py_ssize_t>0, -w)), stop = max(first, min(g.S, g.W - w))
    cdef int c
    if g.padding_mode == ZEROS and b.x_w == g.C:
        memset(copy, 0, b.length * sizeof(real))
        memcpy(copy + first * g.C, row + (w + first) * g.C, (stop - first) * g.C * sizeof(real))
        return
    for s in range(g.S):
        column = border_index(g.padding_mode, w + s, g.W)
        for c in range(<int>g.C):
            copy[c] = 0 if column < 0 else row[column * b.x_w + c]
        copy += g.C


cdef inline Py_ssize_t taps_inside(Py_ssize_t i, Py_ssize_t stride, Py_ssize_t pad, Py_ssize_t dilation, Py_ssize_t taps,
                                   Py_ssize_t n) noexcept nogil:
    """Which taps, first and last, lie inside the axis at output i: equal numbers for equal taps, 2 taps + 1 in all."""
    cdef Py_ssize_t start = i * stride - pad
    cdef Py_ssize_t first = min(taps, ceil_div(-start, dilation)) if start < 0 else 0
    return first * (taps + 1) + (min(taps, ceil_div(n - start, dilation)) if start < n else 0)


cdef inline Py_ssize_t band_stop(const Geometry* g, const Block* b, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """The row behind the band that begins at `row` of the block."""
    cdef Py_ssize_t first = b.q0 // g.Q, stop = row + 1, taps
    if g.bands == TAP_BANDS:
        taps = taps_inside((first + row) % g.P, g.stride_h, g.pad_h, g.dilation_h, g.R, g.H)
        while stop < rows and (first + stop) % g.P and taps == taps_inside((first + stop) % g.P, g.stride_h, g.pad_h,
                                                                           g.dilation_h, g.R, g.H):
            stop += 1
    return stop


cdef inline void cut_tiles(const Geometry* g, Block* b, Py_ssize_t i, Py_ssize_t pixels) noexcept nogil:
    """Tiles, equal to within a pixel, of the windows i .. i + pixels."""
    cdef Py_ssize_t tiles = ceil_div(pixels, g.tile_rows), j, _i
    for j in range(tiles):
        b.start[b.tiles] = <int>i
        for _i in range((pixels + tiles - 1 - j) // tiles):       # the larger ones first
            b.tile_of[i] = <int>b.tiles
            i += 1
        b.tiles += 1
    b.start[b.tiles] = <int>i


cdef inline void find_tiles(const Geometry* g, Block* b) noexcept nogil:
    """Cut the block into tiles and, with segments, order its windows: by bands, segments, rows and columns.

    A band is rows, and a segment columns, of pixels that see the image with the same taps, so that tiles see nothing but
    padding with the others; or a band is one row, so that outputs of a phase have one distance.
    """
    cdef Py_ssize_t rows = 1, width = b.pixels, row = 0, stop, q, end, taps, i, r
    cdef bint whole_rows = g.bands and b.q0 % g.Q == 0 and b.pixels % g.Q == 0
    b.tiles = 0
    b.in_rows = whole_rows and g.bands == ROW_BANDS
    if whole_rows:
        rows, width = b.pixels // g.Q, g.Q
    b.segment[0] = <int>width
    b.sorted_by_taps = whole_rows and g.segments
    if b.sorted_by_taps:
        i = 0
        taps = taps_inside(0, g.stride_w, g.pad_w, g.dilation_w, g.S, g.W)
        for q in range(1, width):
            end = taps_inside(q, g.stride_w, g.pad_w, g.dilation_w, g.S, g.W)
            if end != taps:
                b.segment[i] = <int>q
                i += 1
                taps = end
        b.segment[i] = <int>width
    while row < rows:
        stop = band_stop(g, b, row, rows) if whole_rows else rows
        i = q = 0
        while q < width:
            end = b.segment[i]
            cut_tiles(g, b, row * width + (stop - row) * q, (stop - row) * (end - q))
            for r in range(row, stop if b.sorted_by_taps else row):
                for taps in range(q, end):
                    b.place[r * width + taps] = <int>(row * width + (stop - row) * q + (r - row) * (end - q) + taps - q)
            q = end
            i += 1
        row = stop


cdef inline void row_fill(const Block* b, Py_ssize_t u, Py_ssize_t i, Py_ssize_t pixels, const real* first,
                          Py_ssize_t step) noexcept nogil:
    """Windows of run u of the pixels from i on, `step` apart."""
    cdef const real** window = b.window + u * b.apart + i
    cdef Py_ssize_t j
    for j in range(pixels):
        window[j] = first + j * step


cdef inline void tiles_live(const Block* b, Py_ssize_t u, Py_ssize_t i, Py_ssize_t pixels) noexcept nogil:
    """Tiles of the windows from i on see the image with run u."""
    cdef Py_ssize_t j
    if pixels > 0:
        for j in range(b.tile_of[i], b.tile_of[i + pixels - 1] + 1):
            b.live[u * b.tiles + j] = 1


cdef inline void tap_windows(const Geometry* g, const Block* b, Py_ssize_t u, Py_ssize_t i, Py_ssize_t q, Py_ssize_t pixels,
                             Py_ssize_t s, const real* row) noexcept nogil:
    """Tap s of one input row for `pixels` pixels from (i, q) on."""
    cdef Py_ssize_t w = s * g.dilation_w - g.pad_w, j, column, first, stop
    first = min(pixels, max(<Py_ssize_t>0, ceil_div(-w, g.stride_w) - q) if w < 0 else 0)
    stop = max(first, min(pixels, ceil_div(g.W - w, g.stride_w) - q)) if w < g.W else first
    row_fill(b, u, i + first, stop - first, row + ((q + first) * g.stride_w + w) * b.x_w, g.stride_w * b.x_w)
    if g.padding_mode == ZEROS:
        tiles_live(b, u, i + first, stop - first)
    else:
        tiles_live(b, u, i, pixels)
    j = 0 if first > 0 else stop
    while j < pixels:
        column = border_index(g.padding_mode, (q + j) * g.stride_w + w, g.W)
        b.window[u * b.apart + i + j] = b.zeros if column < 0 else row + column * b.x_w
        j += 1 if j + 1 != first else stop - j


cdef inline void run_windows(const Geometry* g, const Block* b, Py_ssize_t u, Py_ssize_t i, Py_ssize_t q, Py_ssize_t pixels,
                             const real* row) noexcept nogil:
    """All taps of one input row, which are one run, for `pixels` pixels from (i, q) on."""
    cdef Py_ssize_t j, first = pixels, stop = pixels
    cdef real* copy
    if b.x_w == g.C and g.W >= g.S:
        first = min(pixels, max(<Py_ssize_t>0, ceil_div(g.pad_w, g.stride_w) - q))
        stop = max(first, min(pixels, (g.W - g.S + g.pad_w) // g.stride_w + 1 - q))
    row_fill(b, u, i + first, stop - first, row + ((q + first) * g.stride_w - g.pad_w) * b.x_w, g.stride_w * b.x_w)
    tiles_live(b, u, i, pixels)
    j = 0 if first > 0 else stop
    while j < pixels:
        copy = b.copies + ((i + j) * b.runs + u) * b.length
        copy_row(g, b, row, (q + j) * g.stride_w - g.pad_w, copy)
        b.window[u * b.apart + i + j] = copy
        j += 1 if j + 1 != first else stop - j


cdef inline void row_windows(const Geometry* g, const Block* b, Py_ssize_t i, Py_ssize_t o, Py_ssize_t p, Py_ssize_t q,
                             Py_ssize_t pixels) noexcept nogil:
    """Windows i .. i + pixels: of the pixels of row p of slice o from column q on."""
    cdef Py_ssize_t t, r, s, d, h, j, u = 0
    cdef const real* row
    for t in range(g.T):
        d = border_index(g.padding_mode, o * g.stride_d - g.pad_d + t * g.dilation_d, g.D)
        for r in range(g.R):
            h = border_index(g.padding_mode, p * g.stride_h - g.pad_h + r * g.dilation_h, g.H)
            row = b.x + d * b.x_d + h * b.x_h
            for s in range(1 if g.row_runs else g.S):
                if d < 0 or h < 0:
                    for j in range(pixels):
                        b.window[u * b.apart + i + j] = b.zeros
                elif g.row_runs:
                    run_windows(g, b, u, i, q, pixels, row)
                else:
                    tap_windows(g, b, u, i, q, pixels, s, row)
                u += 1


cdef inline void find_fullest(Block* b) noexcept nogil:
    cdef Py_ssize_t i, j, u, live, most = -1
    for i in range(max(<Py_ssize_t>1, b.tiles - NV + 1)):
        live = 0
        for j in range(i, min(i + NV, b.tiles)):
            for u in range(b.runs):
                live += b.live[u * b.tiles + j]
        if live > most:
            most = live
            b.fullest = i


cdef inline void find_windows(const Geometry* g, Block* b) noexcept nogil:
    """Fill `window` and `live` (and `copies`, with row_runs) for the pixels of the block, row by row."""
    cdef Py_ssize_t i = 0, p = b.q0 // g.Q, q = b.q0 % g.Q, o = p // g.P, pixels, first, stop, j
    memset(b.zeros, 0, b.length * sizeof(real))
    memset(b.live, 0, b.runs * b.tiles)
    p -= o * g.P
    while i < b.pixels:
        pixels = min(g.Q - q, b.pixels - i)
        first, stop, j = q, q, 0
        while stop < q + pixels:
            stop = b.segment[j] if b.sorted_by_taps else q + pixels
            row_windows(g, b, b.place[i + first - q] if b.sorted_by_taps else i, o, p, first, stop - first)
            first = stop
            j += 1
        i += pixels
        q = 0
        p += 1
        if p == g.P:
            p = 0
            o += 1
    for j in range(b.runs):
        b.window[j * b.apart + b.pixels] = b.zeros          # what the last tile may fetch
    find_fullest(b)
