"""From lines to windows: the second half of pooling. A line is one row of pixels into which the rows of windows are joined."""
from micro.geometry cimport ceil_div
from micro.simd cimport (FULL, LANES, real, vec, vec_load, vec_mask_load_step, vec_mask_store, vec_splat, vec_store,
                         vec_transpose, vec_zero)
from micro.windows cimport Pool, Window, identity, join

cdef extern from *:
    """
    enum { MOST_LINES = LANES > 8 ? LANES : 8 };    /* no plan asks for more than 8 */
    """
    enum: MOST_LINES

cdef enum:
    FLAT, EVEN, PIXELS, TURNED
    LONG = 16                   # pixels along the line above which runs are combined

cdef struct Block:              # one task and its buffers
    Py_ssize_t row, stop        # rows of windows
    Py_ssize_t plane, o, p      # the present row: its image or plane, and where it lies there
    Window d, h                 # what its windows cover
    Py_ssize_t inside           # rows of windows of a plane that do not reach over its last row
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
    Py_ssize_t lines            # that are filled before they are read
    Py_ssize_t margin           # numbers before the first line
    Py_ssize_t pitch            # numbers between lines
    bint short_windows          # rows and pixels of a window are joined in registers: there are no lines
    bint joined                 # lines lie side by side and no window reaches into the next
    real* line                  # pixel w of the first line. What no row writes is padding
    real* head                  # where window q begins in the line, padding included
    real* run                   # runs of pixels, and what is made of them
    real* total
    Py_ssize_t height           # numbers between suffixes
    real* suffix                # R of them
    real* prefix
    Py_ssize_t at, seen         # vanherk: the block whose suffixes these are, and rows in the prefix of the next
    real row_area[MOST_LINES]   # what the areas along the row are multiplied with, for each line


cdef inline void join_long(const bint largest, const Block* b, const real* run, Py_ssize_t taps, Py_ssize_t step,
                           Py_ssize_t count) noexcept nogil:
    """b.total: `taps` numbers `step` apart, joined, from each of `count` positions of the line at `run` on."""
    cdef Py_ssize_t v, i, m = 1, done = 0
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
                              Py_ssize_t taps, Py_ssize_t step, real of_row, Py_ssize_t count, real* y) noexcept nogil:
    """FLAT and EVEN: y from the line that begins at x. `most`: taps, if constant; of_row: area of a window's rows."""
    cdef Py_ssize_t v, i, s
    cdef vec total
    cdef vec area = vec_splat(b.area * of_row)
    cdef vec row_area = vec_splat(of_row)
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
                             Py_ssize_t step, real of_row, Py_ssize_t count, real* y) noexcept nogil:
    if taps == 1:
        across_lanes(largest, stride, 1, b, x, taps, step, of_row, count, y)
    elif taps == 2:
        across_lanes(largest, stride, 2, b, x, taps, step, of_row, count, y)
    elif taps == 3:
        across_lanes(largest, stride, 3, b, x, taps, step, of_row, count, y)
    else:
        across_lanes(largest, stride, 0, b, x, taps, step, of_row, count, y)


cdef inline void across(const bint largest, const Pool* g, const Block* b, const real* x, real of_row, Py_ssize_t columns,
                        real* y) noexcept nogil:
    """FLAT and EVEN: `columns` windows of the line whose first window, padding included, begins at x."""
    cdef Py_ssize_t taps = g.S, step = g.dilation_w * b.V
    if taps > LONG:
        join_long(largest, b, x, taps, step, ((columns - 1) * g.stride_w + 1) * b.V)
        x = b.total
        taps = 1
    if b.path == FLAT:
        across_taps(largest, 1, b, x, taps, step, of_row, columns * b.V, y)
    else:
        across_taps(largest, 2, b, x, taps, step, of_row, columns * b.V, y)


cdef inline void across_lines(const bint largest, const Pool* g, const Block* b, Py_ssize_t rows, real* y) noexcept nogil:
    """FLAT and EVEN: the windows of some lines; all in one go where they may be taken for one line."""
    cdef Py_ssize_t i
    cdef bint one = b.joined and not b.uneven
    if not largest:
        for i in range(1, rows):
            one &= b.row_area[i] == b.row_area[0]
    if one:
        across(largest, g, b, b.head, b.row_area[0], b.columns * rows, y)
        return
    for i in range(rows):
        across(largest, g, b, b.head + i * b.pitch, b.row_area[i], b.columns, y)
        y += g.Q * b.pixel


cdef inline void window_of_channels(const bint largest, const int most, const real* x, Py_ssize_t taps, Py_ssize_t step,
                                    Py_ssize_t V, vec area, real* y) noexcept nogil:
    """One window of V channels, its pixels `step` apart. `most`: taps, if constant."""
    cdef Py_ssize_t s, i = 0, n = most if most else taps
    cdef vec a, b
    while i + 2 * LANES <= V:
        a, b = vec_load(x + i), vec_load(x + i + LANES)
        for s in range(1, n):
            a = join(largest, a, vec_load(x + i + s * step))
            b = join(largest, b, vec_load(x + i + LANES + s * step))
        vec_store(y + i, a if largest else a / area)
        vec_store(y + i + LANES, b if largest else b / area)
        i += 2 * LANES
    while i < V:
        a = vec_load(x + i)
        for s in range(1, n):
            a = join(largest, a, vec_load(x + i + s * step))
        a = a if largest else a / area
        if i + LANES <= V:
            vec_store(y + i, a)
        else:
            vec_mask_store(y + i, (1u << (V - i)) - 1, a)
        i += LANES


cdef inline void across_pixels(const bint largest, const Block* b, const real* x, Py_ssize_t V, Py_ssize_t step,
                               vec row_area, real* y, Py_ssize_t y_pixel) noexcept nogil:
    """Every window of V channels: y, its pixels y_pixel apart; row_area: of LANES lines, or of one."""
    cdef Py_ssize_t q, i
    cdef const real* at
    for q in range(b.columns):
        at = x + b.first[q] * V
        if b.taps[q] == 2:
            window_of_channels(largest, 2, at, 2, step, V, row_area * vec_splat(b.areas[q]), y)
        elif b.taps[q] == 3:
            window_of_channels(largest, 3, at, 3, step, V, row_area * vec_splat(b.areas[q]), y)
        elif b.taps[q]:
            window_of_channels(largest, 0, at, b.taps[q], step, V, row_area * vec_splat(b.areas[q]), y)
        else:
            for i in range(V):
                y[i] = identity(largest)
        y += y_pixel


cdef inline void across_turned(const bint largest, const Pool* g, const Block* b, Py_ssize_t rows, real* y) noexcept nogil:
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
    across_pixels(largest, b, b.run, LANES, g.dilation_w * LANES, vec_load(b.row_area), b.total, LANES)
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
