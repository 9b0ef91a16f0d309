"""Largest or mean of every window: rows combined first, then pixels along the row.

Loops, outermost first, and what each block is sized for:
    task        in parallel: rows of windows x columns of them x channels
    row         the input rows of one row of windows, combined; as many such lines as stay in L1, or LANES
    across      the pixels of each window along the line, several ways:
                FLAT    stride 1: the line against itself, shifted
                EVEN    stride 2, channels first: every second number, shifted
                PIXELS  channels on the lanes, a window at a time
                TURNED  other strides and unequal windows, channels first: LANES lines transposed, then as PIXELS
Short windows, channels first, of whole rows need no line: their rows and pixels are joined in registers
(micro/short_windows.pxd). Rows that are cut into blocks of columns have no next row to write what is too much into.
Row `vanherk` combines rows as van Herk (1992), Gil and Werman (1993) do: padded rows are cut into blocks as high as a window;
a window is the suffix of one block and the prefix of the next. Long windows along the line are put together from runs of
1, 2, 4 ... pixels.

Needs    inputs (x,), outputs (y,), both contiguous, of type real; x (N, C, D, H, W), or channels last; every window has a pixel.
Leaves   y written in full.
Rounds   each window: rows in order, or suffix + prefix; then pixels in order, or runs by length; then one division.
         Nothing is ever subtracted.
Costs    an input row is read R / stride_h times (vanherk: three times), from L1 or L2 after the first; bound by memory.
"""
from kernel cimport POOL, AnyTask, Divide, Division, Measure, Streams, Table, divided, offer
from micro.across cimport EVEN, FLAT, LONG, PIXELS, TURNED, Block, across_lines, across_pixels, across_turned
from micro.fields cimport Pool
from micro.geometry cimport ceil_div, padded, place
from micro.short_windows cimport Short, short_windows
from micro.simd cimport FULL, LANES, prefetch, real, vec, vec_load, vec_mask_load, vec_splat, vec_store
from micro.windows cimport Window, axis_d, axis_h, axis_w, identity, join, window

cdef enum:
    AHEAD = 10                  # rows of windows whose input is prefetched meanwhile

cdef struct Rows:               # that are joined: slices * rows of them, from x on
    const real* x
    Py_ssize_t rows, step, slices, slice


cdef inline int path_of(const Pool* g) noexcept nogil:
    if g.channels_last:
        return FLAT if g.stride_w == 1 and not g.adaptive_w and g.channels == g.C else PIXELS
    if g.adaptive_w or g.stride_w > 2:
        return TURNED
    return EVEN if g.stride_w == 2 else FLAT


cdef Py_ssize_t layout(const Pool* g, Block* b, char* workspace) noexcept nogil:
    """Place the buffers of the largest task in the workspace; return the bytes they take."""
    cdef char* free = workspace
    cdef Py_ssize_t reach = (g.S - 1) * g.dilation_w + 1, pixels = (g.columns - 1) * g.stride_w + reach
    if g.adaptive_w:
        pixels = (g.columns * g.W + g.Q - 1) // g.Q + 2
    b.path = path_of(g)
    b.V = g.channels if g.channels_last else 1
    b.margin = padded(g.pad_w * b.V, LANES)
    b.short_windows = (b.path <= EVEN and not g.channels_last and not g.herk and not g.adaptive_h and g.dilation_w == 1
                       and g.T == 1 and g.R <= 3 and 2 <= g.S <= 3 and g.columns == g.Q)
    b.lines = 0 if b.short_windows else LANES if b.path == TURNED else g.lines
    b.joined = (b.path <= EVEN and g.pad_w == 0 and g.S <= g.stride_w and g.dilation_w == 1 and g.columns == g.Q
                and g.W == g.Q * g.stride_w)
    b.pitch = g.W * b.V if b.joined else b.margin + padded(pixels * b.V, LANES) + 8 * LANES
    b.areas = <real*>place(&free, (g.columns * (b.V if b.path == FLAT else 1) + LANES) * sizeof(real))
    b.first = <Py_ssize_t*>place(&free, g.columns * sizeof(Py_ssize_t))
    b.taps = <Py_ssize_t*>place(&free, g.columns * sizeof(Py_ssize_t))
    b.line = <real*>place(&free, (b.pitch * b.lines + 8 * LANES) * sizeof(real))
    b.line += b.margin
    if b.path == TURNED:
        b.run = <real*>place(&free, b.pitch * LANES * sizeof(real))
        b.total = <real*>place(&free, padded(g.columns, LANES) * LANES * sizeof(real))
    elif g.S > LONG:
        b.run = <real*>place(&free, b.pitch * sizeof(real))
        b.total = <real*>place(&free, b.pitch * sizeof(real))
    if g.herk:
        b.height = padded(pixels * b.V, LANES)
        b.suffix = <real*>place(&free, (b.height * (g.R + 1) + LANES) * sizeof(real))
        b.prefix = b.suffix + b.height * g.R
    return free - workspace


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
    for i in range(0 if g.largest and b.path <= EVEN else b.columns):
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
    if b.path <= EVEN:
        for j in range(b.lines):
            for i in range(b.margin):
                (b.line - b.margin)[j * b.pitch + i] = identity(g.largest)
            for i in range(b.count, b.pitch - b.margin + (8 * LANES if j == b.lines - 1 else 0)):
                b.line[j * b.pitch + i] = identity(g.largest)


cdef inline vec join_column(const bint largest, const int most, const bint deep, const Rows* from_, const real* x,
                            unsigned lanes) noexcept nogil:
    """One vector of all rows; lanes that are not asked for hold padding."""
    cdef vec nothing = vec_splat(identity(largest))
    cdef vec a = vec_mask_load(nothing, lanes, x)
    cdef Py_ssize_t _i, j, n = most if most else from_.rows
    for j in range(1, n):
        a = join(largest, a, vec_mask_load(nothing, lanes, x + j * from_.step))
    if deep:
        for _i in range(1, from_.slices):
            x += from_.slice
            for j in range(n):
                a = join(largest, a, vec_mask_load(nothing, lanes, x + j * from_.step))
    return a


cdef inline void join_run(const bint largest, const int most, const bint deep, const Rows* from_, const real* x,
                          Py_ssize_t count, real* y) noexcept nogil:
    """y: `count` numbers of all rows joined; the vector at its end is filled up with padding. `most`: rows, if constant."""
    cdef Py_ssize_t i = 0, j, n = from_.rows
    cdef vec a, b, c, d
    if not most and not deep:
        while i + 4 * LANES <= count:
            a, b, c, d = vec_load(x + i), vec_load(x + i + LANES), vec_load(x + i + 2 * LANES), vec_load(x + i + 3 * LANES)
            for j in range(1, n):
                a = join(largest, a, vec_load(x + i + j * from_.step))
                b = join(largest, b, vec_load(x + i + j * from_.step + LANES))
                c = join(largest, c, vec_load(x + i + j * from_.step + 2 * LANES))
                d = join(largest, d, vec_load(x + i + j * from_.step + 3 * LANES))
            vec_store(y + i, a)
            vec_store(y + i + LANES, b)
            vec_store(y + i + 2 * LANES, c)
            vec_store(y + i + 3 * LANES, d)
            i += 4 * LANES
    while i + LANES <= count:
        vec_store(y + i, join_column(largest, most, deep, from_, x + i, FULL))
        i += LANES
    if i < count:
        vec_store(y + i, join_column(largest, most, deep, from_, x + i, (1u << (count - i)) - 1))


cdef inline void join_rows(const bint largest, const Block* b, const Rows* from_, real* y) noexcept nogil:
    """y: the line of these rows. Vectors are stored in order: the last of a pixel may reach into the next."""
    cdef Py_ssize_t i, run = b.count if b.V == b.pixel else b.V
    cdef const real* x = from_.x
    if from_.rows == 0 or from_.slices == 0:
        for i in range(ceil_div(b.count, LANES)):
            vec_store(y + i * LANES, vec_splat(identity(largest)))
        return
    i = 0
    while i < b.count:
        if from_.slices > 1:
            join_run(largest, 0, True, from_, x, run, y + i)
        elif from_.rows == 1:
            join_run(largest, 1, False, from_, x, run, y + i)
        elif from_.rows == 2:
            join_run(largest, 2, False, from_, x, run, y + i)
        elif from_.rows == 3:
            join_run(largest, 3, False, from_, x, run, y + i)
        else:
            join_run(largest, 0, False, from_, x, run, y + i)
        i += run
        x += b.pixel


cdef inline void join_lines(const bint largest, const real* a, const real* b, Py_ssize_t count, real* y) noexcept nogil:
    cdef Py_ssize_t v
    for v in range(ceil_div(count, LANES)):
        vec_store(y + v * LANES, join(largest, vec_load(a + v * LANES), vec_load(b + v * LANES)))


cdef inline void row_find(const Pool* g, Block* b, Py_ssize_t row) noexcept nogil:
    b.plane, b.o, b.p = row // (g.O * g.P), row // g.P % g.O, row % g.P
    b.inside = 0
    if not g.adaptive_h and (g.R - 1) * g.dilation_h < g.H + g.pad_h:
        b.inside = min(g.P, (g.H + g.pad_h - 1 - (g.R - 1) * g.dilation_h) // g.stride_h + 1)
    b.d, b.h = window(g, axis_d(g), b.o), window(g, axis_h(g), b.p)


cdef inline void row_next(const Pool* g, Block* b) noexcept nogil:
    """row_find for the row after the present one, without its divisions."""
    b.p += 1
    if b.p == g.P:
        b.p = 0
        b.o += 1
        if b.o == g.O:
            b.o = 0
            b.plane += 1
        b.d = window(g, axis_d(g), b.o)
    b.h = window(g, axis_h(g), b.p)


cdef inline const real* plane_of(const Pool* g, const Block* b, const real* x) noexcept nogil:
    """Pixel b.w of the first row of the image, or plane, that the present row of windows looks at."""
    return x + b.plane * b.pixel * g.D * g.H * g.W + b.w * b.pixel + b.c


cdef inline void line_fill(const bint largest, const Pool* g, const Block* b, const real* x, real* y) noexcept nogil:
    """y: the line of the present row of windows, from all the input rows that they cover."""
    cdef Py_ssize_t _i, j, news, pitch = g.W * b.pixel
    cdef Rows rows
    rows.x = plane_of(g, b, x) + (b.d.first * g.H + b.h.first) * pitch
    rows.rows, rows.step = b.h.count, g.dilation_h * pitch
    rows.slices, rows.slice = b.d.count, g.dilation_d * g.H * pitch
    join_rows(largest, b, &rows, y)
    if b.V == b.pixel:          # rows are too short for the processor to notice that they follow one another
        news = b.h.count if g.adaptive_h else min(g.stride_h, b.h.count)
        x = rows.x + min(b.h.count + AHEAD * news, g.H) * pitch
        for _i in range(news):
            for j in range(ceil_div(b.count * <Py_ssize_t>sizeof(real), 64)):
                prefetch(x + j * (64 // <Py_ssize_t>sizeof(real)))
            x += pitch


cdef inline bint one_row(const bint largest, const Pool* g, const Block* b, const real* x, Py_ssize_t i, real* y) noexcept nogil:
    """y: the line of row i of the padded image, over the depth of the window alone; False, and padding, if it is padding."""
    cdef Rows rows
    cdef bint inside = 0 <= i - g.pad_h < g.H
    rows.x = plane_of(g, b, x) + (b.d.first * g.H + i - g.pad_h) * g.W * b.pixel
    rows.rows, rows.step = b.d.count if inside else 0, g.dilation_d * g.H * g.W * b.pixel
    rows.slices, rows.slice = 1, 0
    join_rows(largest, b, &rows, y)
    return inside


cdef inline void line_fill_herk(const bint largest, const Pool* g, Block* b, const real* x, real* y) noexcept nogil:
    """line_fill from the suffixes of the block in which the windows begin and the prefix of the next; y is not read."""
    cdef Py_ssize_t start = b.p * g.stride_h, i, first
    cdef Py_ssize_t block = (b.plane * g.O + b.o) * (g.H + 2 * g.R) + start // g.R
    cdef real* mine
    first = start - start % g.R
    if b.at != block:
        b.at, b.seen = block, 0
        for i in range(g.R - 1, start % g.R - 1, -1):
            mine = b.suffix + i * b.height
            one_row(largest, g, b, x, first + i, mine)
            if i < g.R - 1:
                join_lines(largest, mine, mine + b.height, b.count, mine)
        for i in range(ceil_div(b.count, LANES)):
            vec_store(b.prefix + i * LANES, vec_splat(identity(largest)))
    while b.seen < start % g.R:
        if one_row(largest, g, b, x, first + g.R + b.seen, y):
            join_lines(largest, b.prefix, y, b.count, b.prefix)
        b.seen += 1
    join_lines(largest, b.suffix + start % g.R * b.height, b.prefix, b.count, y)


cdef inline void lines_run(const bint largest, const int most, const Pool* g, const Block* b, Py_ssize_t lines, const real* x,
                           real* y) noexcept nogil:
    """line_fill for `lines` rows of windows of one plane that reach over no border. `most`: rows of a window, if constant."""
    cdef Py_ssize_t pitch = g.W * b.pixel, step = g.dilation_h * pitch, down = g.stride_h * pitch, line = b.pitch
    cdef Py_ssize_t n = most if most else g.R, ahead = min(n + AHEAD * g.stride_h, g.H) * pitch, count = b.count, _i, j, v
    cdef unsigned lanes = (1u << (count % LANES)) - 1
    cdef bint two = g.stride_h > 1
    cdef vec nothing = vec_splat(identity(largest)), a
    for _i in range(lines):
        for v in range(count // LANES):
            a = vec_load(x + v * LANES)
            for j in range(1, n):
                a = join(largest, a, vec_load(x + v * LANES + j * step))
            vec_store(y + v * LANES, a)
            prefetch(x + v * LANES + ahead)
            if two:
                prefetch(x + v * LANES + ahead + pitch)
        if lanes:
            v = count // LANES
            a = vec_mask_load(nothing, lanes, x + v * LANES)
            for j in range(1, n):
                a = join(largest, a, vec_mask_load(nothing, lanes, x + v * LANES + j * step))
            vec_store(y + v * LANES, a)
            prefetch(x + v * LANES + ahead)
            if two:
                prefetch(x + v * LANES + ahead + pitch)
        x += down
        y += line


cdef inline Py_ssize_t lines_inside(const bint largest, const Pool* g, Block* b, Py_ssize_t rows, const real* x,
                                    real* y) noexcept nogil:
    """Fill as many lines as lines_run can, at most `rows`, and go on to the row after them; how many."""
    cdef Py_ssize_t lines = min(rows, b.inside - b.p)
    if b.h.count != g.R or b.d.count != 1 or lines <= 0 or b.V != b.pixel:
        return 0
    x = plane_of(g, b, x) + (b.d.first * g.H + b.h.first) * g.W * b.pixel
    if g.R == 1:
        lines_run(largest, 1, g, b, lines, x, y)
    elif g.R == 2:
        lines_run(largest, 2, g, b, lines, x, y)
    elif g.R == 3:
        lines_run(largest, 3, g, b, lines, x, y)
    elif b.count < 4 * LANES:
        lines_run(largest, 0, g, b, lines, x, y)
    else:
        return 0
    b.p += lines - 1
    row_next(g, b)
    return lines


cdef inline void lines_fill(const bint largest, const Pool* g, Block* b, Py_ssize_t rows, const real* x) noexcept nogil:
    """The lines of the present row of windows and of those after it, and the areas of their rows."""
    cdef Py_ssize_t i = 0, j, lines
    cdef real area
    while i < rows:
        if not g.herk:
            area = g.divisor if g.divisor else <real>b.d.area * <real>b.h.area
            lines = lines_inside(largest, g, b, rows - i, x, b.line + i * b.pitch)
            if lines:
                if not largest:
                    for j in range(lines):
                        b.row_area[i + j] = area
                i += lines
                continue
        if g.herk:
            line_fill_herk(largest, g, b, x, b.line + i * b.pitch)
        else:
            line_fill(largest, g, b, x, b.line + i * b.pitch)
        if not largest:
            b.row_area[i] = g.divisor if g.divisor else <real>b.d.area * <real>b.h.area
        row_next(g, b)
        i += 1


cdef inline void rows_short(const bint largest, const Pool* g, Block* b, const real* x, real* y) noexcept nogil:
    """All rows of a task with short windows; y is that of the first."""
    cdef Py_ssize_t row = b.row, n
    cdef Short w
    w.taps, w.stride, w.step, w.down, w.width = g.S, g.stride_w, g.dilation_h * g.W, g.stride_h * g.W, g.W
    w.at, w.count, w.areas = b.q * g.stride_w - g.pad_w, b.columns, b.areas if b.uneven else NULL
    w.begin, w.end, w.stop = x, x + g.N * g.C * g.D * g.H * g.W, y + (b.stop - b.row) * g.Q - b.q
    while row < b.stop:
        w.rows = b.h.count
        w.area = (g.divisor if g.divisor else <real>b.d.area * <real>b.h.area) * (1 if b.uneven else b.area)
        n = min(b.stop - row, b.inside - b.p) if b.h.count == g.R and b.p < b.inside else 1
        short_windows(largest, &w, n, x + ((b.plane * g.D + b.d.first) * g.H + b.h.first) * g.W, y)
        row += n
        y += n * g.Q
        b.p += n - 1
        row_next(g, b)


cdef inline void rows_pool(const bint largest, const Pool* g, Block* b, const real* x, real* y) noexcept nogil:
    cdef Py_ssize_t row = b.row, rows, i
    y += (row * g.Q + b.q) * b.pixel + b.c
    if b.short_windows:
        rows_short(largest, g, b, x, y)
        return
    while row < b.stop:
        rows = min(b.lines, b.stop - row)
        lines_fill(largest, g, b, rows, x)
        if b.path == TURNED:
            across_turned(largest, g, b, rows, y)
        elif b.path == PIXELS:
            for i in range(rows):
                across_pixels(largest, b, b.line + i * b.pitch, b.V, g.dilation_w * b.V, vec_splat(b.row_area[i]),
                              y + i * g.Q * g.C, g.C)
        else:
            across_lines(largest, g, b, rows, y)
        y += rows * g.Q * b.pixel
        row += rows


cdef bint block(const Pool* g, const Streams* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    cdef Py_ssize_t column_blocks = ceil_div(g.Q, g.columns), channel_blocks = 1
    cdef const real* x = <const real*>arrays.input[0]
    cdef real* y = <real*>arrays.output[0]
    cdef Block b
    layout(g, &b, workspace)
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
    row_find(g, &b, b.row)
    if g.largest:
        rows_pool(True, g, &b, x, y)
    else:
        rows_pool(False, g, &b, x, y)
    return False


cdef Py_ssize_t tasks_of(const Pool* g) noexcept nogil:
    cdef Py_ssize_t rows = (g.N if g.channels_last else g.N * g.C) * g.O * g.P
    return ceil_div(rows, g.rows) * ceil_div(g.Q, g.columns) * (ceil_div(g.C, g.channels) if g.channels_last else 1)


cdef Py_ssize_t workspace(const Pool* g) noexcept nogil:
    cdef Block b
    return layout(g, &b, NULL)


cdef Division divide(Pool* g) noexcept nogil:
    return divided(<AnyTask>block, tasks_of(g))


cdef Table table
kernel = offer(&table, POOL, <Divide>divide, <Measure>workspace)
