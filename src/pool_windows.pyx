"""Largest or mean of every window: rows combined first, then pixels along the row.

Loops, outermost first, and what each block is sized for:
    task        in parallel: rows of windows x columns of them x channels
    row         the input rows of one row of windows, combined into a line that takes a third of L1
    across      the pixels of each window along the line, several ways:
                FLAT    stride 1: the line against itself, shifted
                EVEN    stride 2, channels first: every second number, shifted
                PIXELS  channels on the lanes, a window at a time
                TURNED  other strides and unequal windows, channels first: LANES lines transposed, then as PIXELS
`run_herk` combines rows as van Herk (1992), Gil and Werman (1993) do: padded rows are cut into blocks as high as a window;
a window is the suffix of one block and the prefix of the next. Long windows along the line are put together from runs of
1, 2, 4 ... pixels.

Needs    inputs (x,), outputs (y,), both contiguous, of type real; x (N, C, D, H, W), or channels last; every window has a pixel.
Leaves   y written in full.
Rounds   each window: rows in order, or suffix + prefix; then pixels in order, or runs by length; then one division.
         Nothing is ever subtracted.
Costs    an input row is read R / stride_h times (run_herk: three times), from L1 or L2 after the first; bound by memory.
"""
from micro.geometry cimport ceil_div, padded, place
from micro.simd cimport (FULL, LANES, real, vec, vec_load, vec_mask_load, vec_mask_load_step, vec_mask_store, vec_splat,
                         vec_store, vec_transpose, vec_zero)
from micro.windows cimport Pool, Window, axis_d, axis_h, axis_w, join, window
from region cimport AnyTask
from stream cimport Streams, geometry_pack, geometry_unpack, run_streams

cdef extern from "math.h" nogil:
    const float INFINITY

cdef enum:
    FLAT, EVEN, PIXELS, TURNED
    LONG = 8                    # pixels along the line above which runs are combined

cdef struct Block:              # one task and its buffers
    Py_ssize_t row, stop        # rows of windows
    Py_ssize_t q, columns       # windows of a row
    Py_ssize_t c, V             # channels: numbers of the line that belong to one pixel
    Py_ssize_t w, count         # first pixel of the image in the line, and numbers of the line that lie in the image
    Py_ssize_t pixel            # numbers between pixels of x
    int path
    bint uneven                 # windows of the row differ in area
    real area                   # otherwise, that of all
    real* areas                 # of every window, or (FLAT) of every number that comes out
    Py_ssize_t* first           # where each window begins in the line, in pixels ...
    Py_ssize_t* taps            # ... and how many pixels it has
    const real** source         # input rows of one row of windows
    Py_ssize_t pitch            # numbers between lines
    real* line                  # pixel w; LANES lines if TURNED. What no row writes is padding
    real* head                  # where window q begins in the line, padding included
    real* run                   # runs of pixels, and what is made of them
    real* total
    real* suffix                # (R, pitch)
    real* prefix
    Py_ssize_t at, seen         # run_herk: the block whose suffixes these are, and rows in the prefix of the next
    real row_area[LANES]


cdef inline int path_of(const Pool* g) noexcept nogil:
    if g.channels_last:
        return FLAT if g.stride_w == 1 and not g.adaptive_w and g.channels == g.C else PIXELS
    if g.adaptive_w or g.stride_w > 2:
        return TURNED
    return EVEN if g.stride_w == 2 else FLAT


cdef Py_ssize_t layout(const Pool* g, Block* b, char* workspace, bint herk) noexcept nogil:
    """Place the buffers of the largest task in the workspace; return the bytes they take."""
    cdef char* free = workspace
    cdef Py_ssize_t reach = (g.S - 1) * g.dilation_w + 1, pixels = (g.columns - 1) * g.stride_w + reach, margin
    if g.adaptive_w:
        pixels = (g.columns * g.W + g.Q - 1) // g.Q + 2
    b.path = path_of(g)
    b.V = g.channels if g.channels_last else 1
    margin = padded(g.pad_w * b.V, LANES)
    b.pitch = margin + padded(pixels * b.V, LANES) + 8 * LANES
    b.areas = <real*>place(&free, (g.columns * (b.V if b.path == FLAT else 1) + LANES) * sizeof(real))
    b.first = <Py_ssize_t*>place(&free, g.columns * sizeof(Py_ssize_t))
    b.taps = <Py_ssize_t*>place(&free, g.columns * sizeof(Py_ssize_t))
    b.source = <const real**>place(&free, min(g.T, g.D) * (1 if herk else min(g.R, g.H)) * sizeof(real*))
    b.line = <real*>place(&free, b.pitch * (LANES if b.path == TURNED else 1) * sizeof(real))
    b.line += margin
    if b.path == TURNED:
        b.run = <real*>place(&free, b.pitch * LANES * sizeof(real))
        b.total = <real*>place(&free, padded(g.columns, LANES) * LANES * sizeof(real))
    elif g.S > LONG:
        b.run = <real*>place(&free, b.pitch * sizeof(real))
        b.total = <real*>place(&free, b.pitch * sizeof(real))
    if herk:
        b.suffix = <real*>place(&free, b.pitch * (g.R + 1) * sizeof(real))
        b.prefix = b.suffix + b.pitch * g.R
    return free - workspace


cdef inline real identity(bint largest) noexcept nogil:
    return -INFINITY if largest else 0


cdef void find_windows(const Pool* g, Block* b) noexcept nogil:
    """Which pixels the windows of the task cover along the row, and their areas; an empty line."""
    cdef Py_ssize_t i, j, start, copies = b.V if b.path == FLAT else 1
    cdef Window w = window(g, axis_w(g), b.q), last = window(g, axis_w(g), b.q + b.columns - 1)
    b.w = w.first
    start = b.q * g.stride_w - g.pad_w
    if not g.adaptive_w and start >= 0:
        b.w = start
    elif not g.adaptive_w:
        b.w = 0
    b.head = b.line - (b.w - start) * b.V
    b.area = w.area
    b.uneven = False
    for i in range(b.columns):
        w = window(g, axis_w(g), b.q + i)
        b.first[i] = w.first - b.w
        b.taps[i] = w.count
        b.uneven |= w.area != b.area
        for j in range(copies):
            b.areas[i * copies + j] = w.area
    start = (b.q + b.columns - 1) * g.stride_w - g.pad_w + (g.S - 1) * g.dilation_w + 1
    if g.adaptive_w:
        start = last.first + last.count
    b.count = (min(g.W, start) - b.w) * b.V
    for i in range(b.pitch * (LANES if b.path == TURNED else 1)):
        (b.line - padded(g.pad_w * b.V, LANES))[i] = identity(g.largest)


cdef inline void join_run(const bint largest, const int most, const real** source, Py_ssize_t rows, Py_ssize_t offset,
                          Py_ssize_t count, real* y) noexcept nogil:
    """y: `count` numbers of all rows joined; the vector at its end is filled up with padding. `most`: rows, if constant."""
    cdef Py_ssize_t i = 0, j, n = most if most else rows
    cdef vec a, b, c, d
    cdef const real* x
    if not most:
        while i + 4 * LANES <= count:
            x = source[0] + offset + i
            a, b, c, d = vec_load(x), vec_load(x + LANES), vec_load(x + 2 * LANES), vec_load(x + 3 * LANES)
            for j in range(1, n):
                x = source[j] + offset + i
                a, b = join(largest, a, vec_load(x)), join(largest, b, vec_load(x + LANES))
                c, d = join(largest, c, vec_load(x + 2 * LANES)), join(largest, d, vec_load(x + 3 * LANES))
            vec_store(y + i, a)
            vec_store(y + i + LANES, b)
            vec_store(y + i + 2 * LANES, c)
            vec_store(y + i + 3 * LANES, d)
            i += 4 * LANES
    while i + LANES <= count:
        a = vec_load(source[0] + offset + i)
        for j in range(1, n):
            a = join(largest, a, vec_load(source[j] + offset + i))
        vec_store(y + i, a)
        i += LANES
    if i < count:
        a = vec_mask_load(vec_splat(identity(largest)), (1u << (count - i)) - 1, source[0] + offset + i)
        for j in range(1, n):
            a = join(largest, a, vec_mask_load(vec_splat(identity(largest)), (1u << (count - i)) - 1, source[j] + offset + i))
        vec_store(y + i, a)


cdef inline void join_rows_of(const bint largest, const real** source, Py_ssize_t rows, Py_ssize_t offset, Py_ssize_t count,
                              real* y) noexcept nogil:
    cdef Py_ssize_t v, i
    if rows == 1:
        join_run(largest, 1, source, rows, offset, count, y)
    elif rows == 2:
        join_run(largest, 2, source, rows, offset, count, y)
    elif rows == 3:
        join_run(largest, 3, source, rows, offset, count, y)
    elif rows:
        join_run(largest, 0, source, rows, offset, count, y)
    else:
        for v in range(ceil_div(count, LANES)):
            i = v * LANES
            vec_store(y + i, vec_splat(identity(largest)))


cdef void join_rows(const Pool* g, const Block* b, Py_ssize_t rows, real* y) noexcept nogil:
    """y: the line of the rows in b.source. Vectors are stored in order: the last of a pixel may reach into the next."""
    cdef Py_ssize_t w, width = b.count // b.V
    if b.V == b.pixel:
        if g.largest:
            join_rows_of(True, b.source, rows, 0, b.count, y)
        else:
            join_rows_of(False, b.source, rows, 0, b.count, y)
        return
    for w in range(width):
        if g.largest:
            join_rows_of(True, b.source, rows, w * b.pixel, b.V, y + w * b.V)
        else:
            join_rows_of(False, b.source, rows, w * b.pixel, b.V, y + w * b.V)


cdef inline void join_lines(bint largest, const real* a, const real* b, Py_ssize_t count, real* y) noexcept nogil:
    cdef Py_ssize_t v, i
    if largest:
        for v in range(ceil_div(count, LANES)):
            i = v * LANES
            vec_store(y + i, join(True, vec_load(a + i), vec_load(b + i)))
    else:
        for v in range(ceil_div(count, LANES)):
            i = v * LANES
            vec_store(y + i, join(False, vec_load(a + i), vec_load(b + i)))


cdef inline const real* plane_of(const Pool* g, const Block* b, const real* x, Py_ssize_t row) noexcept nogil:
    """Pixel b.w of the first row of the image, or plane, that a row of windows looks at."""
    cdef Py_ssize_t plane = row // (g.O * g.P)
    if g.channels_last:
        plane *= g.C
    return x + plane * g.D * g.H * g.W + b.w * b.pixel + b.c


cdef void line_fill(const Pool* g, Block* b, const real* x, Py_ssize_t row, real* y) noexcept nogil:
    """y: the line of one row of windows, from all the input rows that they cover."""
    cdef Window d = window(g, axis_d(g), row // g.P % g.O), h = window(g, axis_h(g), row % g.P)
    cdef Py_ssize_t i, j, pitch = g.W * b.pixel, rows = 0
    x = plane_of(g, b, x, row)
    for i in range(d.count):
        for j in range(h.count):
            b.source[rows] = x + ((d.first + i * g.dilation_d) * g.H + h.first + j * g.dilation_h) * pitch
            rows += 1
    join_rows(g, b, rows, y)


cdef inline bint one_row(const Pool* g, Block* b, const real* x, Py_ssize_t row, Py_ssize_t i, real* y) noexcept nogil:
    """y: the line of row i of the padded image, over the depth of the window alone; False, and nothing, if it is padding."""
    cdef Window d = window(g, axis_d(g), row // g.P % g.O)
    cdef Py_ssize_t j, h = i - g.pad_h
    if h < 0 or h >= g.H:
        return False
    x = plane_of(g, b, x, row)
    for j in range(d.count):
        b.source[j] = x + ((d.first + j * g.dilation_d) * g.H + h) * g.W * b.pixel
    join_rows(g, b, d.count, y)
    return True


cdef void line_fill_herk(const Pool* g, Block* b, const real* x, Py_ssize_t row, real* y) noexcept nogil:
    """line_fill from the suffixes of the block in which the windows begin and the prefix of the next; y is not read."""
    cdef Py_ssize_t start = row % g.P * g.stride_h, i, j, lines = padded(b.count, LANES), block = row // g.P * (g.H + 2 * g.R)
    cdef real* mine
    block += start // g.R
    if b.at != block:
        b.at, b.seen = block, 0
        j = start - start % g.R
        for i in range(g.R - 1, start % g.R - 1, -1):
            mine = b.suffix + i * b.pitch
            if not one_row(g, b, x, row, j + i, mine):
                join_rows(g, b, 0, mine)
            if i < g.R - 1:
                join_lines(g.largest, mine, mine + b.pitch, lines, mine)
        join_rows(g, b, 0, b.prefix)
    while b.seen < start % g.R:
        if one_row(g, b, x, row, start - start % g.R + g.R + b.seen, y):
            join_lines(g.largest, b.prefix, y, lines, b.prefix)
        b.seen += 1
    join_lines(g.largest, b.suffix + start % g.R * b.pitch, b.prefix, lines, y)


cdef inline void join_long(const bint largest, const Block* b, Py_ssize_t taps, Py_ssize_t step, Py_ssize_t count) noexcept nogil:
    """b.total: `taps` numbers `step` apart, joined, from each of `count` positions of the line on."""
    cdef Py_ssize_t v, i, m = 1, done = 0
    cdef const real* run = b.head
    while True:
        if taps & m:
            if done:
                for v in range(ceil_div(count, LANES)):
                    i = v * LANES
                    vec_store(b.total + i, join(largest, vec_load(b.total + i), vec_load(run + i + done * step)))
            else:
                for v in range(ceil_div(count, LANES)):
                    i = v * LANES
                    vec_store(b.total + i, vec_load(run + i))
            done += m
        if 2 * m > taps:
            return
        for v in range(ceil_div(count + (taps - 2 * m) * step, LANES)):
            i = v * LANES
            vec_store(b.run + i, join(largest, vec_load(run + i), vec_load(run + i + m * step)))
        run = b.run
        m *= 2


cdef inline void across_lanes(const bint largest, const int stride, const int most, const Block* b, const real* x,
                              Py_ssize_t taps, Py_ssize_t step, real* y) noexcept nogil:
    """FLAT and EVEN: y from the line that begins at x. `most`: taps, if constant."""
    cdef Py_ssize_t v, i, s, count = b.columns * b.V
    cdef vec total
    cdef vec area = vec_splat(b.area * b.row_area[0])
    cdef vec row_area = vec_splat(b.row_area[0])
    if most:
        taps = most
    for v in range(ceil_div(count, LANES)):
        i = v * LANES
        total = vec_mask_load_step(vec_zero(), FULL, x + i * stride, stride)
        for s in range(1, taps):
            total = join(largest, total, vec_mask_load_step(vec_zero(), FULL, x + i * stride + s * step, stride))
        if not largest:
            if b.uneven:
                area = row_area * vec_load(b.areas + i)
            total = total / area
        if i + LANES <= count:
            vec_store(y + i, total)
        else:
            vec_mask_store(y + i, (1u << (count - i)) - 1, total)


cdef inline void across_taps(const bint largest, const int stride, const Block* b, const real* x, Py_ssize_t taps,
                             Py_ssize_t step, real* y) noexcept nogil:
    if taps == 1:
        across_lanes(largest, stride, 1, b, x, taps, step, y)
    elif taps == 2:
        across_lanes(largest, stride, 2, b, x, taps, step, y)
    elif taps == 3:
        across_lanes(largest, stride, 3, b, x, taps, step, y)
    else:
        across_lanes(largest, stride, 0, b, x, taps, step, y)


cdef inline void across(const bint largest, const Pool* g, const Block* b, real* y) noexcept nogil:
    cdef Py_ssize_t taps = g.S, step = g.dilation_w * b.V
    cdef const real* x = b.head
    if taps > LONG:
        join_long(largest, b, taps, step, ((b.columns - 1) * g.stride_w + 1) * b.V)
        x = b.total
        taps = 1
    if b.path == FLAT:
        across_taps(largest, 1, b, x, taps, step, y)
    else:
        across_taps(largest, 2, b, x, taps, step, y)


cdef inline void across_pixels(const bint largest, const Block* b, const real* x, Py_ssize_t V, Py_ssize_t step,
                               const real* row_area, real* y, Py_ssize_t y_pixel) noexcept nogil:
    """Every window of V channels: y, its pixels y_pixel apart; row_area: of each of LANES lines, or of all."""
    cdef Py_ssize_t v, q, s, i, taps
    cdef unsigned lanes
    cdef vec total, area
    cdef const real* at
    for q in range(b.columns):
        taps = b.taps[q]
        if not largest:
            area = vec_load(row_area) * vec_splat(b.areas[q])
        for v in range(ceil_div(V, LANES)):
            i = v * LANES
            at = x + b.first[q] * V + i
            total = vec_load(at)
            for s in range(1, taps):
                total = join(largest, total, vec_load(at + s * step))
            if not largest:
                total = total / area
            elif taps == 0:
                total = vec_splat(identity(largest))
            if i + LANES <= V:
                vec_store(y + q * y_pixel + i, total)
            else:
                lanes = (1u << (V - i)) - 1
                vec_mask_store(y + q * y_pixel + i, lanes, total)


cdef void across_turned(const Pool* g, const Block* b, Py_ssize_t rows, real* y) noexcept nogil:
    """TURNED: rows of windows from as many lines, y one after another."""
    cdef vec row[LANES]
    cdef Py_ssize_t v, i, w, q, count
    for v in range(ceil_div(b.count, LANES)):
        w = v * LANES
        for i in range(LANES):
            row[i] = vec_load(b.line + i * b.pitch + w)
        vec_transpose(row)
        for i in range(LANES):
            vec_store(b.run + (w + i) * LANES, row[i])
    if g.largest:
        across_pixels(True, b, b.run, LANES, g.dilation_w * LANES, b.row_area, b.total, LANES)
    else:
        across_pixels(False, b, b.run, LANES, g.dilation_w * LANES, b.row_area, b.total, LANES)
    for v in range(ceil_div(b.columns, LANES)):
        q = v * LANES
        for i in range(LANES):
            row[i] = vec_load(b.total + (q + i) * LANES)
        vec_transpose(row)
        count = b.columns - q
        for i in range(rows):
            if count >= LANES:
                vec_store(y + i * g.Q + q, row[i])
            else:
                vec_mask_store(y + i * g.Q + q, (1u << count) - 1, row[i])


cdef real area_of_row(const Pool* g, Py_ssize_t row) noexcept nogil:
    if g.divisor:
        return g.divisor
    return <real>window(g, axis_d(g), row // g.P % g.O).area * <real>window(g, axis_h(g), row % g.P).area


cdef inline bint block(const bint herk, const Pool* g, const Streams* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    cdef Py_ssize_t column_blocks = ceil_div(g.Q, g.columns), channel_blocks = 1, row, i, step
    cdef const real* x = <const real*>arrays.input[0]
    cdef real* y = <real*>arrays.output[0]
    cdef real area
    cdef Block b
    layout(g, &b, workspace, herk)
    if g.channels_last:
        channel_blocks = ceil_div(g.C, g.channels)
    b.c = task % channel_blocks * g.channels if g.channels_last else 0
    b.q = task // channel_blocks % column_blocks * g.columns
    b.row = task // (channel_blocks * column_blocks) * g.rows
    b.stop = min(b.row + g.rows, (g.N if g.channels_last else g.N * g.C) * g.O * g.P)
    b.columns = min(g.columns, g.Q - b.q)
    b.V = min(g.channels, g.C - b.c) if g.channels_last else 1
    b.pixel = g.C if g.channels_last else 1
    b.at = -1
    find_windows(g, &b)
    step = LANES if b.path == TURNED else 1
    y += (b.row * g.Q + b.q) * b.pixel + b.c
    row = b.row
    while row < b.stop:
        for i in range(min(step, b.stop - row)):
            if herk:
                line_fill_herk(g, &b, x, row + i, b.line + i * b.pitch)
            else:
                line_fill(g, &b, x, row + i, b.line + i * b.pitch)
            b.row_area[i] = area_of_row(g, row + i)
        if b.path == TURNED:
            across_turned(g, &b, min(step, b.stop - row), y)
        elif b.path == PIXELS:
            area = b.row_area[0]
            for i in range(LANES):
                b.row_area[i] = area
            if g.largest:
                across_pixels(True, &b, b.line, b.V, g.dilation_w * b.V, b.row_area, y, g.C)
            else:
                across_pixels(False, &b, b.line, b.V, g.dilation_w * b.V, b.row_area, y, g.C)
        elif g.largest:
            across(True, g, &b, y)
        else:
            across(False, g, &b, y)
        y += step * g.Q * b.pixel
        row += step
    return False


cdef bint block_direct(const Pool* g, const Streams* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    return block(False, g, arrays, task, workspace)


cdef bint block_herk(const Pool* g, const Streams* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    return block(True, g, arrays, task, workspace)


cdef Py_ssize_t tasks_of(const Pool* g) noexcept:
    cdef Py_ssize_t rows = (g.N if g.channels_last else g.N * g.C) * g.O * g.P
    return ceil_div(rows, g.rows) * ceil_div(g.Q, g.columns) * (ceil_div(g.C, g.channels) if g.channels_last else 1)


def geometry(dict fields):
    cdef Pool g = fields
    return geometry_pack(&g, sizeof(g))


def workspace_bytes(bytes geometry):
    """For either way to combine rows."""
    cdef Pool g
    cdef Block b
    geometry_unpack(geometry, &g, sizeof(g))
    return layout(&g, &b, NULL, True)


def run(bytes geometry, tuple inputs, tuple outputs, int threads):
    cdef Pool g
    cdef Block b
    geometry_unpack(geometry, &g, sizeof(g))
    return run_streams(<AnyTask>block_direct, &g, tasks_of(&g), inputs, outputs, layout(&g, &b, NULL, False), threads)


def run_herk(bytes geometry, tuple inputs, tuple outputs, int threads):
    cdef Pool g
    cdef Block b
    geometry_unpack(geometry, &g, sizeof(g))
    return run_streams(<AnyTask>block_herk, &g, tasks_of(&g), inputs, outputs, layout(&g, &b, NULL, True), threads)
