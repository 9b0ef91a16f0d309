"""Convolution of groups of few channels: the outputs of several groups on the lanes, inputs spread to them by a shuffle.

Loops, outermost first, and what each block is sized for:
    task        in parallel: image x depth x pixel_block output rows x chunk output columns x unit of groups
    p           one output row              the input rows of its windows staged in L1, channels on the lanes, padding resolved
    q           PIXELS pixels               \
    k           WIDTH vectors of channels   /  the register tile: sums
    t r s       up to TAPS taps at a time   weights in registers
    c           input channels of a group
A vector holds the outputs of as many whole groups as fit it, or part of one group. Its inputs fit one staged vector, or
are those of one group: lane l gets channel c of its own group, for all the taps and pixels that a column meets by one
shuffle, or, if the lanes have one group, by one load that fills them.

Needs    x (N, D, H, W, G C), channels contiguous, or (N, G C, D, H, W), rows contiguous; w (G K, C, T, R, S) or packed; y in
         the layout of x; distinct buffers.
Leaves   y written in full.
Rounds   one fused chain per output, in order t, r, s modulo stride, s, c; then bias, residual, activation.
Costs    2 N G K C T R S O P Q flop, less the rows of taps in zero padding; input is staged about once per pixel_block rows.
"""
from kernel cimport CONVOLUTION, AnyTask, Arrays, Divide, Division, Measure, Table, divided, offer
from micro.finish cimport any_odd, output_open, output_place, pixels_finish
from micro.geometry cimport Geometry, border_index, ceil_div, padded, place
from micro.pack cimport turn
from micro.simd cimport (LANES, NR, bits, real, reload, vec, vec_keep, vec_load, vec_load_once, vec_mask_load, vec_pick,
                         vec_splat, vec_store, vec_zero)
from micro.tile cimport Output, sums_finish

cdef extern from *:
    """
    /* PIXELS * WIDTH sums, TAPS * WIDTH weights, WIDTH of x and a pattern must fit the registers: 14 + 10 + 3, 7 + 5 + 2. */
    enum { PIXELS = 7, TAPS = 5, WIDTH = MR > 6 ? 2 : 1, BLOCK = WIDTH * LANES };
    """
    enum: PIXELS, TAPS, WIDTH, BLOCK

cdef enum:
    PLENTY = 128                # pixels whose sums are worth turning: they stay in L1

cdef struct Run:                # taps that read consecutive columns for consecutive pixels
    Py_ssize_t x, w             # from the first pixel's window to the first tap's column; from the first weights to its weights
    int taps

cdef struct Block:              # one unit of groups: what it reads and writes, and the buffers of a task
    Py_ssize_t together         # groups of one vector
    Py_ssize_t first, groups    # first group, and how many
    Py_ssize_t k                # first output channel of the first group: not 0 where several units share a group
    Py_ssize_t apart, pitch     # staged numbers from one vector's inputs to the next's; of a pixel
    Py_ssize_t height, reach    # staged rows of one slice, which take turns; columns
    Py_ssize_t step             # taps from one to the next that reads the next pixel's column; 0: there is none
    real* staged                # (T, height, reach, pitch)
    char* inside                # (T, height): 0 for rows in zero padding
    Run* run                    # (T R S)
    bits* pick                  # (C or LANES, LANES): where each lane finds channel c of its group
    real* weights               # (C, T R S, BLOCK), if they do not come packed
    real* sums                  # (pixels, NR) ...
    real* turned                # ... and turned back, with channels first


cdef inline Py_ssize_t units(const Geometry* g) noexcept nogil:
    """Parts of the channels that a task computes."""
    return g.G * ceil_div(g.K, BLOCK) if g.K > LANES else ceil_div(g.G, groups_together(g) * WIDTH)


cdef inline Py_ssize_t groups_together(const Geometry* g) noexcept nogil:
    """Whole groups in one vector."""
    return max(<Py_ssize_t>1, min(LANES // max(<Py_ssize_t>1, g.K), LANES // g.C))


cdef void unit_open(const Geometry* g, Py_ssize_t unit, Block* b) noexcept nogil:
    """Which groups and channels a unit has."""
    cdef Py_ssize_t parts = ceil_div(g.K, BLOCK)
    b.together = groups_together(g)
    if g.K > LANES:
        b.first, b.groups, b.k = unit // parts, 1, unit % parts * BLOCK
    else:
        b.first, b.k = unit * b.together * WIDTH, 0
        b.groups = min(b.together * WIDTH, g.G - b.first)


cdef inline Py_ssize_t vector_groups(const Geometry* g, const Block* b, int j) noexcept nogil:
    """Whole groups of vector j, where it has any."""
    return max(<Py_ssize_t>0, min(b.together, b.groups - j * b.together))


cdef inline Py_ssize_t vector_channels(const Geometry* g, const Block* b, int j) noexcept nogil:
    """Output channels of vector j."""
    if g.K > LANES:
        return max(<Py_ssize_t>0, min(<Py_ssize_t>LANES, g.K - b.k - j * LANES))
    return vector_groups(g, b, j) * g.K


cdef inline Py_ssize_t vector_first(const Geometry* g, const Block* b, int j) noexcept nogil:
    """First output channel of vector j, counted through all groups."""
    return b.first * g.K + b.k + j * (LANES if g.K > LANES else b.together * g.K)


cdef Py_ssize_t layout(const Geometry* g, Block* b, char* workspace) noexcept nogil:
    """Place the buffers of the largest block in the workspace; return the bytes they take. plan.py asks for them."""
    cdef char* free = workspace
    cdef Py_ssize_t columns = max(<Py_ssize_t>PIXELS, min(g.chunk, g.Q)), taps = g.T * g.R * g.S
    cdef Py_ssize_t pixels = padded(PLENTY + min(g.chunk, g.Q), LANES) + PIXELS
    b.apart = 0 if g.K > LANES else padded(groups_together(g) * g.C, LANES)
    b.pitch = b.apart * WIDTH if b.apart else padded(g.C, LANES)
    b.height = (g.R - 1) * g.dilation_h + 1
    b.reach = (columns - 1) * g.stride_w + (g.S - 1) * g.dilation_w + 1
    b.step = g.stride_w // g.dilation_w if g.stride_w % g.dilation_w == 0 else 0
    b.staged = <real*>place(&free, g.T * b.height * b.reach * b.pitch * sizeof(real))
    b.inside = place(&free, g.T * b.height)
    b.run = <Run*>place(&free, taps * sizeof(Run))
    b.pick = <bits*>place(&free, min(g.C, <Py_ssize_t>LANES) * LANES * sizeof(bits))
    b.weights = <real*>place(&free, 0 if g.packed else taps * g.C * BLOCK * sizeof(real))
    b.sums = <real*>place(&free, pixels * NR * sizeof(real))
    b.turned = <real*>place(&free, 0 if g.channels_last else pixels * NR * sizeof(real))
    return free - workspace


cdef void find_lanes(const Geometry* g, const Block* b) noexcept nogil:
    """Fill `pick`."""
    cdef Py_ssize_t i
    for i in range(LANES):
        b.pick[i] = <bits>(i // g.K * g.C if i < b.together * g.K else 0)
    for i in range(LANES, min(g.C, <Py_ssize_t>LANES) * LANES):
        b.pick[i] = b.pick[i - LANES] + 1


cdef void transpose(const real* x, Py_ssize_t distance, Py_ssize_t rows, Py_ssize_t n, real* y,
                    Py_ssize_t y_distance) noexcept nogil:
    """`turn`, once in this module: it is large."""
    turn(x, distance, rows, n, y, y_distance)


cdef inline void pixel_stage(const real* x, Py_ssize_t x_c, Py_ssize_t channels, real* staged) noexcept nogil:
    """staged[:channels] <- one pixel; what is left of the last vector gets zeros, if channels lie side by side."""
    cdef Py_ssize_t c = 0
    if x_c != 1:
        for c in range(channels):
            staged[c] = x[c * x_c]
        return
    while c + LANES <= channels:
        vec_store(staged + c, vec_load(x + c))
        c += LANES
    if c < channels:
        vec_store(staged + c, vec_mask_load(vec_zero(), (1u << (channels - c)) - 1, x + c))


cdef void row_stage(const Geometry* g, const Block* b, const real* x, Py_ssize_t w, Py_ssize_t channels,
                    real* staged) noexcept nogil:
    """staged (reach, pitch) <- `channels` channels of one input row at x, from column w of the padded row on."""
    cdef Py_ssize_t first = min(b.reach, max(<Py_ssize_t>0, -w)), stop = max(first, min(b.reach, g.W - w)), i = 0, column, c
    while i < b.reach:
        if i == first and i < stop:
            if g.channels_last:
                for i in range(first, stop):
                    pixel_stage(x + (w + i) * g.x_w, 1, channels, staged + i * b.pitch)
            else:
                transpose(x + w + first, g.x_c, channels, stop - first, staged + first * b.pitch, b.pitch)
            i = stop
            continue
        column = border_index(g.padding_mode, w + i, g.W)
        if column >= 0:
            pixel_stage(x + column * g.x_w, g.x_c, channels, staged + i * b.pitch)
        else:
            for c in range(channels):
                staged[i * b.pitch + c] = 0
        i += 1


cdef void rows_stage(const Geometry* g, const Block* b, const real* x, Py_ssize_t o, Py_ssize_t row, Py_ssize_t stop,
                     Py_ssize_t w) noexcept nogil:
    """Stage the rows from `row` to `stop` of the padded image at x that output slice o reads, from column w on."""
    cdef bint whole = b.apart == 0 or b.apart == b.together * g.C       # channels as they lie, without a gap
    cdef Py_ssize_t t, i, d, h, line, c = b.first * g.C
    cdef int j
    for t in range(g.T):
        d = border_index(g.padding_mode, o * g.stride_d - g.pad_d + t * g.dilation_d, g.D)
        for i in range(row, stop):
            h = border_index(g.padding_mode, i - g.pad_h, g.H)
            line = t * b.height + i % b.height
            b.inside[line] = d >= 0 and h >= 0
            if d >= 0 and h >= 0:
                for j in range(1 if whole else WIDTH):
                    row_stage(g, b, x + (c + j * b.together * g.C) * g.x_c + d * g.x_d + h * g.x_h, w - g.pad_w,
                              (b.groups if whole else vector_groups(g, b, j)) * g.C,
                              b.staged + line * b.reach * b.pitch + j * b.apart)


cdef Py_ssize_t find_runs(const Geometry* g, const Block* b, Py_ssize_t row) noexcept nogil:
    """Fill `run` for windows from padded row `row` on; return how many there are: rows of taps in zero padding have none."""
    cdef Py_ssize_t t, r, s, first, line, found = 0
    cdef Run* run
    for t in range(g.T):
        for r in range(g.R):
            line = t * b.height + (row + r * g.dilation_h) % b.height
            if b.inside[line]:
                for first in range(min(b.step, g.S) if b.step else g.S):
                    s = first
                    while s < g.S:
                        run = b.run + found
                        run.x = (line * b.reach + s * g.dilation_w) * b.pitch
                        run.w = ((t * g.R + r) * g.S + s) * BLOCK
                        run.taps = <int>min(<Py_ssize_t>TAPS, (g.S - s + b.step - 1) // b.step) if b.step else 1
                        found += 1
                        s += run.taps * b.step if b.step else g.S
    return found


cdef inline void column_add(const int c, const int n, const bint alone, vec* acc, const real** x, Py_ssize_t column,
                            Py_ssize_t apart, const bits* pick, const vec* weight) noexcept nogil:
    """Column c of those that n taps of the tile read, into the sums of its pixels; x: the column before, and then this one."""
    cdef vec v[WIDTH]
    cdef int i, j
    if c >= PIXELS - 1 + n:
        return
    if c > 0:
        x[0] = reload(x[0] + column)        # one pointer, not one for each column
    for j in range(WIDTH):
        v[j] = vec_keep(vec_splat(x[0][j * apart]) if alone else vec_pick(vec_load(x[0] + j * apart), pick))
    for i in range(PIXELS):
        if i <= c and c < i + n:
            for j in range(WIDTH):
                acc[i * WIDTH + j] = vec_keep(acc[i * WIDTH + j] + weight[(c - i) * WIDTH + j] * v[j])


cdef inline void run_add(const int n, const bint alone, Py_ssize_t channels, vec* acc, const real* x, Py_ssize_t column,
                         Py_ssize_t apart, const bits* pick, const real* w, Py_ssize_t tap,
                         Py_ssize_t next_channel) noexcept nogil:
    """n taps that read columns `column` apart, in `channels` channels of each group; their weights lie `tap` apart.

    A group that has its vectors `alone` needs no shuffle, which some CPUs do in the place of a multiply-add.
    """
    cdef vec weight[TAPS * WIDTH]
    cdef Py_ssize_t _c, back = (PIXELS + n - 2) * column
    cdef int j, s
    for _c in range(channels):
        for s in range(n):
            for j in range(WIDTH):
                weight[s * WIDTH + j] = vec_load_once(w + s * tap + j * LANES)
        column_add(0, n, alone, acc, &x, column, apart, pick, weight)
        column_add(1, n, alone, acc, &x, column, apart, pick, weight)
        column_add(2, n, alone, acc, &x, column, apart, pick, weight)
        column_add(3, n, alone, acc, &x, column, apart, pick, weight)
        column_add(4, n, alone, acc, &x, column, apart, pick, weight)
        column_add(5, n, alone, acc, &x, column, apart, pick, weight)
        column_add(6, n, alone, acc, &x, column, apart, pick, weight)
        column_add(7, n, alone, acc, &x, column, apart, pick, weight)
        column_add(8, n, alone, acc, &x, column, apart, pick, weight)
        column_add(9, n, alone, acc, &x, column, apart, pick, weight)
        column_add(10, n, alone, acc, &x, column, apart, pick, weight)
        x = x - back + (1 if alone else 0)
        pick += LANES
        w += next_channel


cdef inline void any_run_add(int n, const bint alone, Py_ssize_t channels, vec* acc, const real* x, Py_ssize_t column,
                             Py_ssize_t apart, const bits* pick, const real* w, Py_ssize_t tap,
                             Py_ssize_t next_channel) noexcept nogil:
    """run_add, compiled for each n."""
    if n == 5:
        run_add(5, alone, channels, acc, x, column, apart, pick, w, tap, next_channel)
    elif n == 4:
        run_add(4, alone, channels, acc, x, column, apart, pick, w, tap, next_channel)
    elif n == 3:
        run_add(3, alone, channels, acc, x, column, apart, pick, w, tap, next_channel)
    elif n == 2:
        run_add(2, alone, channels, acc, x, column, apart, pick, w, tap, next_channel)
    else:
        run_add(1, alone, channels, acc, x, column, apart, pick, w, tap, next_channel)


cdef void tile(const Geometry* g, const Block* b, const real* x, const real* w, Py_ssize_t runs, real* total,
               Output* out) noexcept nogil:
    """total (PIXELS, NR), or y with `out`: the sums of PIXELS pixels, the window of the first of which starts at x."""
    cdef vec acc[PIXELS * WIDTH]
    cdef Py_ssize_t column = g.stride_w * b.pitch, tap = b.step * BLOCK, taps = g.T * g.R * g.S * BLOCK, r, c, n
    cdef const real* at
    cdef const real* weights
    cdef int i
    for i in range(PIXELS * WIDTH):
        acc[i] = vec_keep(vec_zero())
    for r in range(runs):
        c = 0
        at = x + b.run[r].x
        weights = w + b.run[r].w
        while c < g.C:
            n = min(<Py_ssize_t>LANES, g.C - c)
            if b.together == 1:
                any_run_add(b.run[r].taps, True, n, acc, at, column, b.apart, b.pick, weights, tap, taps)
            else:
                any_run_add(b.run[r].taps, False, n, acc, at, column, b.apart, b.pick, weights, tap, taps)
            at += LANES
            weights += n * taps
            c += LANES
    if out != NULL:
        sums_finish(PIXELS, WIDTH, acc, out, False, False)
    else:
        for i in range(PIXELS * WIDTH):
            vec_store(total + i // WIDTH * NR + i % WIDTH * LANES, acc[i])


cdef void weights_pack(const Geometry* g, const Block* b, const real* w, real* packed) noexcept nogil:
    """packed (C, T R S, BLOCK) <- the weights (G K, C, T R S) of a unit; lanes without a channel get zeros."""
    cdef Py_ssize_t length = g.C * g.T * g.R * g.S, i, channels
    cdef int j
    for j in range(WIDTH):
        channels = vector_channels(g, b, j)
        for i in range(length if channels < LANES else 0):
            vec_store(packed + i * BLOCK + j * LANES, vec_zero())
        transpose(w + vector_first(g, b, j) * length, length, channels, length, packed + j * LANES, BLOCK)


cdef vec unit_finish(const Geometry* g, const Arrays* a, const Block* b, Py_ssize_t at, Py_ssize_t pixels) noexcept nogil:
    """Finish the sums of `pixels` pixels; channel 0 of the first is at y + at."""
    cdef vec odd = vec_zero()
    cdef Py_ssize_t k, channels, here
    cdef int j
    for j in range(WIDTH):
        k = vector_first(g, b, j)
        channels = vector_channels(g, b, j)
        here = at + k * g.y_k
        if channels > 0:
            odd = odd + pixels_finish(g, b.sums + j * LANES, NULL if a.bias == NULL else a.bias + k,
                                      NULL if a.residual == NULL else a.residual + here, a.y + here, pixels, channels, 1,
                                      b.turned)
    return odd


cdef bint block(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task; returns whether a sum was NaN or infinite."""
    cdef Py_ssize_t row_blocks = ceil_div(g.P, g.pixel_block), column_blocks = ceil_div(g.Q, g.chunk)
    cdef Py_ssize_t parts = units(g), unit = task % parts, spot = task // parts
    cdef Py_ssize_t q0 = spot % column_blocks * g.chunk, columns = min(g.chunk, g.Q - q0)
    cdef Py_ssize_t p0 = spot // column_blocks % row_blocks * g.pixel_block, rows = min(g.pixel_block, g.P - p0)
    cdef Py_ssize_t o = spot // (column_blocks * row_blocks) % g.O, n = spot // (column_blocks * row_blocks * g.O)
    cdef Py_ssize_t at = n * g.y_n + ((o * g.P + p0) * g.Q + q0) * g.y_q, row, first, staged = 0, q, runs, k, pixels = 0
    cdef const real* w
    cdef vec odd = vec_zero()
    cdef Block b
    cdef Output out
    cdef bint direct = output_open(g, a.residual, g.y_q, &out) and g.channels_last and columns >= PIXELS
    cdef int j
    layout(g, &b, workspace)
    unit_open(g, unit, &b)
    find_lanes(g, &b)
    w = a.w + unit * g.C * g.T * g.R * g.S * BLOCK
    if not g.packed:
        weights_pack(g, &b, a.w, b.weights)
        w = b.weights
    for j in range(WIDTH):
        direct = direct and vector_channels(g, &b, j) == LANES
    k = vector_first(g, &b, 0)
    for row in range(rows):
        first = (p0 + row) * g.stride_h
        rows_stage(g, &b, a.x + n * g.x_n, o, max(first, staged), first + b.height, q0 * g.stride_w)
        staged = first + b.height
        runs = find_runs(g, &b, first)
        q = 0
        while q < columns:
            if q > 0:           # the last tile overlaps the one before
                q = min(q, max(<Py_ssize_t>0, columns - PIXELS))
            output_place(a.y + at + (pixels + q) * g.y_q + k, a.bias, k, &out)
            tile(g, &b, b.staged + q * g.stride_w * b.pitch, w, runs, b.sums + (pixels + q) * NR, &out if direct else NULL)
            q += PIXELS
        pixels += columns
        if pixels >= PLENTY or row == rows - 1 or columns < g.Q:
            if not direct:
                odd = odd + unit_finish(g, a, &b, at, pixels)
            at += (pixels if columns == g.Q else g.Q) * g.y_q
            pixels = 0
    return any_odd(odd + out.odd)


cdef bint pack_unit(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: the weights of one unit."""
    cdef Block b
    unit_open(g, task, &b)
    weights_pack(g, &b, a.w, a.y + task * g.C * g.T * g.R * g.S * BLOCK)
    return False


cdef Py_ssize_t workspace(const Geometry* g) noexcept nogil:
    cdef Block b
    return layout(g, &b, NULL)


cdef Division divide(Geometry* g) noexcept nogil:
    return divided(<AnyTask>block, g.N * units(g) * g.O * ceil_div(g.P, g.pixel_block) * ceil_div(g.Q, g.chunk))


cdef Py_ssize_t packed(const Geometry* g) noexcept nogil:
    return units(g) * BLOCK * g.C * g.T * g.R * g.S


cdef Division packing(Geometry* g) noexcept nogil:
    """packed (units, C, T R S, BLOCK) <- w (G K, C, T, R, S)."""
    return divided(<AnyTask>pack_unit, units(g))


cdef Table table
kernel = offer(&table, CONVOLUTION, <Divide>divide, <Measure>workspace, <Measure>packed, <Divide>packing)
