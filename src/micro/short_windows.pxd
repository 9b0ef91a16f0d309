"""Short windows: two or three pixels of up to three rows, side by side or overlapping, joined in registers.

No line of joined rows is written and read again. Rows of windows are whole vectors but for the last of them: what a vector
has too many is written again with the next row, and read from the next row of the image.
"""
from micro.simd cimport (FULL, LANES, real, vec, vec_even, vec_from_one, vec_from_two, vec_load, vec_mask_load,
                         vec_mask_load_step, vec_mask_select, vec_mask_store, vec_odd, vec_splat, vec_store)
from micro.windows cimport identity, join

cdef struct Short:              # rows of windows that cover as many rows of the image each
    Py_ssize_t rows, taps, stride       # 1 .. 3; 2 or 3; 1 or 2
    Py_ssize_t step, down       # numbers between rows of the image, and from a row of windows to the next
    Py_ssize_t width            # pixels of a row of the image
    Py_ssize_t at               # first pixel of the first window: negative in padding
    Py_ssize_t count            # windows of a row, and numbers between rows of y
    real area                   # a mean divides by this, times ...
    const real* areas           # ... those of the windows, in whole vectors; NULL: they are in `area`
    const real* begin           # of the image
    const real* end
    real* stop                  # behind the last row of windows of the task


cdef inline vec mean(const Short* w, vec sums, Py_ssize_t q) noexcept nogil:
    """Of LANES windows from q on."""
    return sums / (vec_splat(w.area) if w.areas == NULL else vec_splat(w.area) * vec_load(w.areas + q))


cdef inline vec column(const bint largest, const int rows, const Short* w, const real* x) noexcept nogil:
    """LANES pixels of the row at x, and of those below, joined."""
    cdef vec v = vec_load(x)
    cdef int r
    for r in range(1, rows):
        v = join(largest, v, vec_load(x + r * w.step))
    return v


cdef inline void windows_run(const bint largest, const int rows, const int taps, const int stride, const Short* w,
                             Py_ssize_t n, const real* x, real* y) noexcept nogil:
    """n rows of windows, of whole vectors, the first window at x; rows are joined in order, then pixels."""
    cdef Py_ssize_t _i, q, inside = w.width - w.at, at
    cdef bint cut = (w.count - 1) * stride + taps > inside      # the last windows reach over the end of the row
    cdef unsigned first = FULL << -w.at if w.at < 0 else FULL
    cdef unsigned last = (1u << (inside % LANES)) - 1
    cdef vec nothing = vec_splat(identity(largest)), a, b, next, total
    for _i in range(n):
        a = b = vec_mask_select(first, column(largest, rows, w, x), nothing)
        if cut and inside < LANES:
            a = b = vec_mask_select(last, a, nothing)
        if stride == 2:
            b = column(largest, rows, w, x + LANES)
            if cut and inside < 2 * LANES:
                b = vec_mask_select(last if inside >= LANES else 0, b, nothing)
            a, b = vec_even(a, b), vec_odd(a, b)
        q, at = 0, stride * LANES
        while q < w.count:
            if stride == 1:
                next = column(largest, rows, w, x + at)
                if cut and inside < at + LANES:
                    next = vec_mask_select(last if inside >= at else 0, next, nothing)
                total = join(largest, a, vec_from_one(a, next))
                if taps == 3:
                    total = join(largest, total, vec_from_two(a, next))
                a = next
            else:
                total = join(largest, a, b)
                if taps == 3 or q + LANES < w.count:
                    next = column(largest, rows, w, x + at)
                    b = column(largest, rows, w, x + at + LANES)
                    if cut and inside < at + 2 * LANES:
                        next = vec_mask_select(FULL if inside >= at + LANES else last if inside >= at else 0, next, nothing)
                        b = vec_mask_select(last if inside >= at + LANES else 0, b, nothing)
                    if taps == 3:
                        total = join(largest, total, vec_from_one(a, vec_even(next, b)))
                    a, b = vec_even(next, b), vec_odd(next, b)
            vec_store(y + q, total if largest else mean(w, total, q))
            q += LANES
            at += stride * LANES
        x += w.down
        y += w.count


cdef inline void windows_alone(const bint largest, const Short* w, const real* x, real* y) noexcept nogil:
    """One row of windows, the first at x: nothing beside it is read or written."""
    cdef vec nothing = vec_splat(identity(largest)), total = nothing, a
    cdef Py_ssize_t q = 0, s, r, at, i
    cdef unsigned lanes
    while q < w.count:
        for s in range(w.taps):
            lanes = 0
            for i in range(LANES):
                at = w.at + (q + i) * w.stride + s
                lanes |= <unsigned>(0 <= at < w.width) << i
            at = q * w.stride + s
            a = vec_mask_load_step(nothing, lanes, x + at, w.stride)
            for r in range(1, w.rows):
                a = join(largest, a, vec_mask_load_step(nothing, lanes, x + r * w.step + at, w.stride))
            total = join(largest, total, a) if s else a
        vec_mask_store(y + q, (1u << min(w.count - q, <Py_ssize_t>LANES)) - 1, total if largest else mean(w, total, q))
        q += LANES


cdef inline void windows_of_rows(const bint largest, const int rows, const Short* w, Py_ssize_t n, const real* x,
                                 real* y) noexcept nogil:
    if w.taps == 2 and w.stride == 1:
        windows_run(largest, rows, 2, 1, w, n, x, y)
    elif w.taps == 2:
        windows_run(largest, rows, 2, 2, w, n, x, y)
    elif w.stride == 1:
        windows_run(largest, rows, 3, 1, w, n, x, y)
    else:
        windows_run(largest, rows, 3, 2, w, n, x, y)


cdef inline void short_windows(const bint largest, const Short* w, Py_ssize_t n, const real* x, real* y) noexcept nogil:
    """y: n rows of windows; x is pixel 0 of the first row of the image that the first of them covers."""
    cdef Py_ssize_t vectors = (w.count + LANES - 1) // LANES, run
    cdef Py_ssize_t reach = (w.rows - 1) * w.step + (vectors + 1) * w.stride * LANES        # of what one row of them reads
    x += w.at
    while n > 0:
        run = 0
        if x >= w.begin and x + reach <= w.end and y + vectors * LANES <= w.stop:
            run = min(min(n, (w.end - x - reach) // w.down + 1), (w.stop - y - vectors * LANES) // w.count + 1)
        if run == 0:
            windows_alone(largest, w, x, y)
            run = 1
        elif w.rows == 1:
            windows_of_rows(largest, 1, w, run, x, y)
        elif w.rows == 2:
            windows_of_rows(largest, 2, w, run, x, y)
        else:
            windows_of_rows(largest, 3, w, run, x, y)
        n -= run
        x += run * w.down
        y += run * w.count
