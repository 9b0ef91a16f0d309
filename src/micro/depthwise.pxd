"""The register tile of a depthwise convolution: PIXELS pixels of each of two pieces of the output, one vector of channels.

        input row   |  x  |  x  |  x  | ...      each column is loaded once ...
                       \\     |     /
        first piece    sum   sum   sum           ... for all the pixels of both pieces that it reaches:
        second piece   sum   sum   sum           row r of the first is row r - stride of the second

Pieces are pixels of two output rows, or of one row side by side. Weights of a run of taps are loaded once for a row of the
input. Every sum is one chain in the order of the lines, taps of a line from the left: pieces do not change one bit.
"""
from micro.simd cimport LANES, MR, real, vec, vec_keep, vec_load_once, vec_mask_load, vec_store, vec_zero
from micro.tile cimport Output, sums_finish

cdef extern from *:
    """
    /* Sums, the weights of a run for each piece and a column must fit the registers: 14 + 14 + 1 of 32, 7 + 5 + 1 of 16.
     * Rows of 8, 10, 16 ... pixels have tiles of HALF, too. Where masks cost nothing there are no tiles without. */
    enum { PIXELS = 7, HALF = 4, PIECES = MR > 6 ? 2 : 1, RUN = MR > 6 ? 7 : 5, MASKED = VECTOR_BYTES == 64 };
    """
    enum: PIXELS, HALF, PIECES, RUN, MASKED

cdef struct Line:               # an input row that a tile reads
    Py_ssize_t x                # where it is
    Py_ssize_t first, second    # the weights of its taps for the first and for the second piece; -1: none
    Py_ssize_t column           # the first of its columns in Tile.column

cdef struct Tile:
    Py_ssize_t q, count, width  # the first pixel; how many of each piece are wanted, and how many computed
    bint side                   # the second piece is not the next row but follows the first
    const real* x               # the image, from the first of the channels on
    const real* w               # (T R S, LANES)
    Py_ssize_t lines
    Line* line
    const Py_ssize_t* column    # offset in a row of each column that the taps read; -1: zero padding
    unsigned lanes
    real* total                 # (2, width, LANES)


cdef inline void column_add(const int c, const int n, const int step, const int width, const int pieces, const bint masked,
                            vec* acc, const real* x, const Py_ssize_t* offset, unsigned lanes, const vec* weight) noexcept nogil:
    """Column c of those that n taps read into the sums of its pixels, which lie `step` columns apart.

    pieces: 1, the first; 2, the second; 3, both, whose weights follow one another.
    """
    cdef vec v
    cdef int i
    if c >= (width - 1) * step + n or offset[c] < 0:
        return
    v = vec_keep(vec_mask_load(vec_zero(), lanes, x + offset[c])) if masked else vec_load_once(x + offset[c])
    for i in range(width):
        if i * step <= c and c < i * step + n:
            if pieces != 2:
                acc[i] = vec_keep(acc[i] + weight[c - i * step] * v)
            if pieces != 1:
                acc[width + i] = vec_keep(acc[width + i] + weight[(n if pieces == 3 else 0) + c - i * step] * v)


cdef inline void run_add(const int n, const int step, const int width, const int pieces, const bint masked, vec* acc,
                         const real* x, const Py_ssize_t* offset, unsigned lanes, const real* first,
                         const real* second) noexcept nogil:
    """n taps of one line."""
    cdef vec weight[2 * RUN]
    cdef int s
    for s in range(n):
        weight[s] = vec_load_once((second if pieces == 2 else first) + s * LANES)
    for s in range(n if pieces == 3 else 0):
        weight[n + s] = vec_load_once(second + s * LANES)
    column_add(0, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(1, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(2, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(3, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(4, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(5, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(6, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(7, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(8, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(9, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(10, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(11, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(12, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(13, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(14, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(15, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(16, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(17, n, step, width, pieces, masked, acc, x, offset, lanes, weight)
    column_add(18, n, step, width, pieces, masked, acc, x, offset, lanes, weight)


cdef inline void line_add(const int step, const int width, const int pieces, const bint masked, vec* acc, const real* x,
                          const Py_ssize_t* offset, unsigned lanes, const real* first, const real* second,
                          Py_ssize_t left) noexcept nogil:
    """All `left` taps of one line, in runs. With step 0 each is a run and has columns of its own: any stride and dilation."""
    cdef Py_ssize_t n
    while left > 0:
        if step == 0:
            n = 1
            run_add(1, 1, width, pieces, masked, acc, x, offset, lanes, first, second)
            offset += 2 * PIXELS
        else:
            if RUN > 5 and left >= 7:
                n = 7
                run_add(RUN, step if step else 1, width, pieces, masked, acc, x, offset, lanes, first, second)
            elif left >= 5:
                n = 5
                run_add(5, step if step else 1, width, pieces, masked, acc, x, offset, lanes, first, second)
            elif left >= 3:
                n = 3
                run_add(3, step if step else 1, width, pieces, masked, acc, x, offset, lanes, first, second)
            elif left == 2:
                n = 2
                run_add(2, step if step else 1, width, pieces, masked, acc, x, offset, lanes, first, second)
            else:
                n = 1
                run_add(1, step if step else 1, width, pieces, masked, acc, x, offset, lanes, first, second)
            offset += n
        first += n * LANES
        second += n * LANES
        left -= n


cdef inline void tile(Py_ssize_t taps, const Tile* b, const int step, const int width, const bint masked,
                      Py_ssize_t second, Output* out) noexcept nogil:
    """The sums of lines of `taps` taps: into y, where the second piece (0: none) lies `second` further; without `out` total."""
    cdef vec acc[2 * PIXELS]
    cdef const Line* line = b.line
    cdef Py_ssize_t _i
    cdef int i
    for i in range(PIECES * width):
        acc[i] = vec_keep(vec_zero())
    for _i in range(b.lines):
        if PIECES == 1 or line.second < 0:
            line_add(step, width, 1, masked, acc, b.x + line.x, b.column + line.column, b.lanes, b.w + line.first,
                     b.w + line.first, taps)
        elif line.first < 0:
            line_add(step, width, 2, masked, acc, b.x + line.x, b.column + line.column, b.lanes, b.w + line.second,
                     b.w + line.second, taps)
        else:
            line_add(step, width, 3, masked, acc, b.x + line.x, b.column + line.column, b.lanes, b.w + line.first,
                     b.w + line.second, taps)
        line += 1
    if out != NULL:
        sums_finish(width, 1, acc, out, False, True)
        if PIECES > 1 and second:
            out.y += second
            sums_finish(width, 1, acc + width, out, False, True)
    else:
        for i in range(PIECES * width):
            vec_store(b.total + i * LANES, acc[i])
