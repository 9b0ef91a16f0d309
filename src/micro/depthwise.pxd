"""The register tile of a depthwise convolution: PIXELS pixels of each of two pieces of the output, one vector of channels.

        input row   |  x  |  x  |  x  | ...      each column is loaded once ...
                       \\     |     /
        first piece    sum   sum   sum           ... for all the pixels of both pieces that it reaches:
        second piece   sum   sum   sum           row r of the first is row r - stride of the second

Pieces are pixels of two output rows, or of one row side by side. Weights of a run of taps are loaded once for a row of the
input. Every sum is one chain in the order of the lines, taps of a line from the left: pieces do not change one bit.
"""
from micro.simd cimport LANES, MR, real, reload, vec, vec_keep, vec_load_once, vec_mask_load, vec_store, vec_zero
from micro.tile cimport Output, sums_finish

cdef extern from *:
    """
    /* Sums, the weights of a run for each piece and a column must fit the registers: 14 + 14 + 1 of 32, 7 + 5 + 1 of 16.
     * Rows of 8, 10, 16 ... pixels have tiles of HALF, too. */
    enum { PIXELS = 7, HALF = 4, PIECES = MR > 6 ? 2 : 1, RUN = MR > 6 ? 7 : 5 };
    """
    enum: PIXELS, HALF, PIECES, RUN

cdef struct Line:               # an input row that a tile reads
    Py_ssize_t x                # where it is; -1: zero padding (of squares alone)
    Py_ssize_t first, second    # the weights of its taps for the first and for the second piece; -1: none
    Py_ssize_t column           # the first of its columns in Tile.column

cdef struct Tile:
    Py_ssize_t q, count, width  # the first pixel; how many of each piece are wanted, and how many computed
    bint side                   # the second piece is not the next row but follows the first
    const real* x               # the image, or the first column, from the first of the channels on
    Py_ssize_t x_w, x_tap       # from one column, and from one tap, to the next
    const real* w               # (T R S, LANES) of each vector of channels
    Py_ssize_t w_step           # from one to the next
    Py_ssize_t overlap          # channels of the last that the one before it has, too
    bint biased
    Py_ssize_t tiles            # side by side, and from the end of one to the next in x and y
    Py_ssize_t x_tile, y_tile
    Py_ssize_t second           # how far in y the second piece lies from the first; 0: there is none
    Py_ssize_t lines
    Line* line
    Py_ssize_t* column          # careful: offset in a row of each column that the taps read; -1: zero padding
    unsigned lanes
    real* total                 # (2, width, LANES)


cdef inline vec column_load(const bint careful, const real* x, Py_ssize_t offset, unsigned lanes) noexcept nogil:
    return vec_keep(vec_mask_load(vec_zero(), lanes, x + offset)) if careful else vec_load_once(x)


cdef inline void column_add(const int c, const int n, const int step, const int width, const int pieces, const bint careful,
                            vec* acc, const real* x, const Py_ssize_t* offset, unsigned lanes,
                            const vec* weight) noexcept nogil:
    """Column c of those that n taps read into the sums of its pixels, which lie `step` columns apart.

    pieces: 1, the first; 2, the second; 3, both, whose weights follow one another.
    """
    cdef vec v
    cdef int i
    if c >= (width - 1) * step + n or (careful and offset[c] < 0):
        return
    v = column_load(careful, x, offset[c] if careful else 0, lanes)
    for i in range(width):
        if i * step <= c and c < i * step + n:
            if pieces != 2:
                acc[i] = vec_keep(acc[i] + weight[c - i * step] * v)
            if pieces != 1:
                acc[width + i] = vec_keep(acc[width + i] + weight[(n if pieces == 3 else 0) + c - i * step] * v)


cdef inline void run_add(const int n, const int step, const int width, const int pieces, const bint careful, vec* acc,
                         const real* x, Py_ssize_t x_w, const Py_ssize_t* offset, unsigned lanes, const real* first,
                         const real* second) noexcept nogil:
    """n taps of one line; x: the line, or its first column, which others follow x_w apart, unless `careful`."""
    cdef vec weight[2 * RUN]
    cdef int s
    x = reload(x)
    if careful:
        x_w = 0
    for s in range(n):
        weight[s] = vec_load_once((second if pieces == 2 else first) + s * LANES)
    for s in range(n if pieces == 3 else 0):
        weight[n + s] = vec_load_once(second + s * LANES)
    column_add(0, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(1, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(2, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(3, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(4, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(5, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(6, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(7, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(8, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(9, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(10, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(11, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(12, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(13, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(14, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(15, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(16, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(17, n, step, width, pieces, careful, acc, x, offset, lanes, weight)
    x += x_w
    column_add(18, n, step, width, pieces, careful, acc, x, offset, lanes, weight)


cdef inline void line_add(const int n, const int step, const int width, const int pieces, const bint careful, vec* acc,
                          const real* x, Py_ssize_t x_w, Py_ssize_t x_tap, const Py_ssize_t* offset, unsigned lanes,
                          const real* first, const real* second, Py_ssize_t left) noexcept nogil:
    """All taps of one line: n, or with n = 0 `left`, in runs. With step 0 each is a run and has columns of its own."""
    cdef Py_ssize_t done = 0
    if n:
        run_add(n if n else 1, step if step else 1, width, pieces, careful, acc, x, x_w, offset, lanes, first, second)
        return
    while left > 0:
        if step and left >= 5:
            done = 5
            run_add(5, step if step else 1, width, pieces, careful, acc, x, x_w, offset, lanes, first, second)
        elif step and left >= 3:
            done = 3
            run_add(3, step if step else 1, width, pieces, careful, acc, x, x_w, offset, lanes, first, second)
        elif step and left == 2:
            done = 2
            run_add(2, step if step else 1, width, pieces, careful, acc, x, x_w, offset, lanes, first, second)
        else:
            done = 1
            run_add(1, step if step else 1, width, pieces, careful, acc, x, x_w, offset, lanes, first, second)
        offset += done if step else 2 * PIXELS
        if not careful:
            x += done * x_tap
        first += done * LANES
        second += done * LANES
        left -= done


cdef inline void lines_add(const int n, const int step, const int width, const bint careful, vec* acc, const Tile* b,
                           const real* x, const real* w, Py_ssize_t taps) noexcept nogil:
    """Every line of a tile."""
    cdef const Line* line = b.line
    cdef const Py_ssize_t* column = b.column
    cdef const real* at
    cdef const real* first
    cdef const real* second
    cdef Py_ssize_t _i
    for _i in range(b.lines):
        at = x + line.x
        if careful:
            column = b.column + line.column
        else:
            at += line.column * b.x_w
        first, second = w + line.first, w + line.second
        if PIECES == 1 or line.second < 0:
            line_add(n, step, width, 1, careful, acc, at, b.x_w, b.x_tap, column, b.lanes, first, first, taps)
        elif line.first < 0:
            line_add(n, step, width, 2, careful, acc, at, b.x_w, b.x_tap, column, b.lanes, second, second, taps)
        else:
            line_add(n, step, width, 3, careful, acc, at, b.x_w, b.x_tap, column, b.lanes, first, second, taps)
        line += 1


cdef inline void square_column(const int r, const int c, const int width, const bint careful, vec* acc, const real* x,
                               const Py_ssize_t* offset, unsigned lanes, const vec* weight) noexcept nogil:
    """Column c of line r into the sums of both pieces."""
    cdef vec v
    cdef int i
    if c >= width + 2 or (careful and offset[c] < 0):
        return
    v = column_load(careful, x, offset[c] if careful else 0, lanes)
    for i in range(width):
        if i <= c and c < i + 3:
            if r < 3:
                acc[i] = vec_keep(acc[i] + weight[r * 3 + c - i] * v)
            if r > 0:
                acc[width + i] = vec_keep(acc[width + i] + weight[(r - 1) * 3 + c - i] * v)


cdef inline void square_line(const int r, const int width, const bint careful, vec* acc, const Tile* b, const Line* line,
                             const real* x, const vec* weight) noexcept nogil:
    """Line r of the four that two output rows read in one slice."""
    cdef Py_ssize_t x_w = 0 if careful else b.x_w
    cdef const Py_ssize_t* offset = b.column
    cdef unsigned lanes = b.lanes
    if line[r].x < 0:
        return
    x = reload(x + line[r].x)
    square_column(r, 0, width, careful, acc, x, offset, lanes, weight)
    x += x_w
    square_column(r, 1, width, careful, acc, x, offset, lanes, weight)
    x += x_w
    square_column(r, 2, width, careful, acc, x, offset, lanes, weight)
    x += x_w
    square_column(r, 3, width, careful, acc, x, offset, lanes, weight)
    x += x_w
    square_column(r, 4, width, careful, acc, x, offset, lanes, weight)
    x += x_w
    square_column(r, 5, width, careful, acc, x, offset, lanes, weight)
    x += x_w
    square_column(r, 6, width, careful, acc, x, offset, lanes, weight)
    x += x_w
    square_column(r, 7, width, careful, acc, x, offset, lanes, weight)
    x += x_w
    square_column(r, 8, width, careful, acc, x, offset, lanes, weight)


cdef inline void squares_add(const int width, const bint careful, vec* acc, const Tile* b, const real* x,
                             const real* w) noexcept nogil:
    """As `lines_add` of 3 x 3 taps at stride 1 and two rows: four lines for each slice, all nine weights in registers."""
    cdef vec weight[9]
    cdef const Line* line = b.line
    cdef Py_ssize_t _i
    cdef int i
    for _i in range(b.lines // 4):
        for i in range(9):
            weight[i] = vec_load_once(w + line.first + i * LANES)
        square_line(0, width, careful, acc, b, line, x, weight)
        square_line(1, width, careful, acc, b, line, x, weight)
        square_line(2, width, careful, acc, b, line, x, weight)
        square_line(3, width, careful, acc, b, line, x, weight)
        line += 4


cdef inline void tile(const int n, const int step, const int width, const bint square, const bint careful, Py_ssize_t taps,
                      const Tile* b, Py_ssize_t vectors, Output* out) noexcept nogil:
    """The sums of tiles of `vectors` vectors of channels into y; without `out`, of one into total. `taps`: n, if not 0.

    Unless `careful`, all columns lie in the image and all lanes may be read.
    """
    cdef vec acc[2 * PIXELS]
    cdef const real* x = b.x
    cdef const real* w = b.w
    cdef Py_ssize_t v, on, _t
    cdef int i
    for _t in range(b.tiles):
        for v in range(vectors):
            on = LANES - (b.overlap if v == vectors - 2 else 0)
            for i in range(PIECES * width):
                acc[i] = vec_keep(vec_zero())
            if square:
                squares_add(width, careful, acc, b, x, w)
            else:
                lines_add(n, step, width, careful, acc, b, x, w, taps)
            x += on
            w += b.w_step
            if out != NULL:
                sums_finish(width, 1, acc, out, False, not careful)
                if PIECES > 1 and b.second:
                    out.y += b.second
                    sums_finish(width, 1, acc + width, out, False, not careful)
                    out.y -= b.second
                out.y += on
                out.bias += on * b.biased
            else:
                for i in range(PIECES * width):
                    vec_store(b.total + i * LANES, acc[i])
        x += b.x_tile
        w = b.w
        if out != NULL:
            out.y += b.y_tile
            out.bias -= (vectors * LANES - b.overlap) * b.biased
