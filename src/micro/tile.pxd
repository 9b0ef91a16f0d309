"""The register tile: m rows x nv vectors of sums of outer products.

        b[0 .. nv)              panel row k: nv vectors
      +-----------+
   a  |           |   a[i]      multiplier of row i at k, broadcast
      |  sum[i,j] |   sum[i,j] += a[i] * b[j]
      +-----------+

Sums live in memory as (m, NR) numbers; `first` starts them at zero, else they go on from there: cutting a sum into
chunks does not change one bit of it. Given an Output, a tile finishes its sums in registers instead.
Loops over sums are single, without branches and inside another loop: gcc unrolls those early, and no sum sees the stack.
"""
from micro.simd cimport (LANES, MR, NR, NV, PAIRS, prefetch, real, vec, vec_add_multiple, vec_add_two, vec_at_least,
                         vec_at_most, vec_load, vec_splat, vec_store, vec_stream, vec_zero)

cdef enum:
    MOST_SUMS = 32          # no build has more registers

cdef struct Output:         # where a tile whose sums are complete writes whole vectors of them, and how it finishes them
    real* y
    Py_ssize_t step         # between rows of the tile
    const real* bias        # of the first row, or of the first lane
    Py_ssize_t bias_step    # from one panel to the next: NR, or 0 without a bias
    real none[MR + NR]      # a bias of zeros
    bint clips              # whether the activation is a clip, to `low` .. `high`
    real low, high
    bint watch
    bint fetch              # whether lines of y are fetched before they are stored to, by tiles whose rows lie apart
    bint past_caches, stream    # whether stores that go past the caches are wanted, and can be had where y is now
    vec odd                 # with `watch`: zero until a sum was NaN or infinite


cdef inline void sums_finish(const int m, const int nv, const vec* acc, Output* out, const bint bias_of_rows,
                             const bint may_stream) noexcept nogil:
    """y rows = clip(acc + bias), with a bias for each row or for each lane; acc is (m, nv).

    `may_stream`: such tiles are many, and worth the code of stores that go past the caches.
    """
    cdef vec odd[4]
    cdef vec added[MOST_SUMS]
    cdef vec sums[MOST_SUMS]
    cdef vec low, high
    cdef real* y = out.y
    cdef const real* bias = out.bias
    cdef Py_ssize_t step = out.step
    cdef int i, j
    if out.watch:
        for i in range(4):
            odd[i] = vec_zero()
        for i in range(m * nv):         # additions, which do not take the place of multiply-adds
            odd[i % 4] = odd[i % 4] + acc[i]
        out.odd = out.odd + ((odd[0] + odd[1]) + (odd[2] + odd[3])) * vec_zero()
    for j in range(nv):
        added[j] = vec_zero() if bias_of_rows else vec_load(bias + j * LANES)
    for i in range(m * nv):
        sums[i] = acc[i] + (vec_splat(bias[i // nv]) if bias_of_rows else added[i % nv])
    if out.clips:
        low = vec_splat(out.low)
        high = vec_splat(out.high)
        for i in range(m * nv):
            sums[i] = vec_at_most(vec_at_least(sums[i], low), high)
    if may_stream and out.stream:
        for i in range(m * nv):
            vec_stream(y + i // nv * step + i % nv * LANES, sums[i])
        return
    for i in range(m * nv):
        vec_store(y + i // nv * step + i % nv * LANES, sums[i])


cdef inline void output_fetch(const int m, const int nv, const Output* out) noexcept nogil:
    """Let the lines that a tile will write come while it multiplies: when they are stored to, the CPU waits for one by one."""
    cdef const real* y = out.y
    cdef int _i, j
    if m * 4 >= MR * 3 and out.fetch and not out.stream:
        for _i in range(m):
            for j in range(nv):
                prefetch(y + j * LANES)
            y += out.step


cdef inline void sums_store(const int m, const int nv, const vec* acc, real* total) noexcept nogil:
    cdef int i
    for i in range(m * nv):
        vec_store(total + i // nv * NR + i % nv * LANES, acc[i])


cdef inline void tile_multiply(const int m, const int nv, Py_ssize_t n, const real* a, Py_ssize_t apart, const real* b,
                               Py_ssize_t width, Py_ssize_t distance, Py_ssize_t count, real* total, bint first,
                               Output* out) noexcept nogil:
    """total[i, :] += sum over k < n of a[i, k] * b[k, :]; rows of a are `apart` apart, or a is packed as (n, MR) and apart 0;
    rows of b are `width` apart.

    The same for `count` panels `distance` apart, whose sums follow one another in y; without `out`, count is 1.
    """
    cdef vec acc[MR * NV]
    cdef vec row[NV]
    cdef const real* run[MR]
    cdef const real* multiplier
    cdef const real* panel
    cdef Py_ssize_t _t, _k, k
    cdef int i, j
    for _t in range(count):
        for i in range(m * nv):
            acc[i] = vec_zero() if first else vec_load(total + i // nv * NR + i % nv * LANES)
        panel = b
        if apart:
            for i in range(m):
                run[i] = a + i * apart
            for k in range(n):
                for j in range(nv):
                    row[j] = vec_load(panel + j * LANES)
                for i in range(m * nv):
                    acc[i] = vec_add_multiple(acc[i], run[i // nv] + k, row[i % nv], i // nv)
                panel += width
        else:
            multiplier = a
            for _k in range(n):
                for j in range(nv):
                    row[j] = vec_load(panel + j * LANES)
                for i in range(m * nv):
                    acc[i] = vec_add_multiple(acc[i], multiplier + i // nv, row[i % nv], i // nv)
                multiplier += MR
                panel += width
        b += distance
        if out != NULL:
            sums_finish(m, nv, acc, out, True, m == MR and nv > 1)
            out.y += nv * LANES
        else:
            sums_store(m, nv, acc, total)


cdef inline void tile_multiply_scattered(const int m, const int nv, Py_ssize_t n, const real* a, const real** b,
                                         Py_ssize_t offset, Py_ssize_t count, real* total, Output* out) noexcept nogil:
    """total[i, :] = sum over k < n of a[k, i] * b[k][offset ..]; a is (n, MR).

    The same for `count` vectors of offsets that follow one another; without `out`, count is 1.
    """
    cdef vec acc[MR * NV]
    cdef vec row[NV]
    cdef const real* multiplier
    cdef Py_ssize_t _t, k
    cdef int i, j
    for _t in range(count):
        if out != NULL:
            output_fetch(m, nv, out)
        for i in range(m * nv):
            acc[i] = vec_zero()
        multiplier = a
        for k in range(n):
            for j in range(nv):
                row[j] = vec_load(b[k] + offset + j * LANES)
            for i in range(m * nv):
                acc[i] = vec_add_multiple(acc[i], multiplier + i // nv, row[i % nv], i // nv)
            multiplier += MR
        offset += nv * LANES
        if out != NULL:
            sums_finish(m, nv, acc, out, True, m == MR or (m % 4 == 0 and nv > 1))    # what 32 or 64 leave
            out.y += nv * LANES
        else:
            sums_store(m, nv, acc, total)


cdef inline void tile_multiply_rows(const int m, const int nv, Py_ssize_t runs, Py_ssize_t n, const real** a,
                                    Py_ssize_t stride, const char* live, Py_ssize_t live_stride, const real* b,
                                    const real* ahead, Py_ssize_t count, bint across, real* total, bint first,
                                    Output* out) noexcept nogil:
    """The same with multipliers where they lie: run u of row i is a[u * stride + i][0 .. n), b is (runs, n, NR).

    Runs with live[u * live_stride] == 0 hold nothing but zero padding and are passed over. The same for `count` tiles, whose
    rows follow one another; or `across`, with `out`, for the same rows and `count` panels of weights. For each step of the sum
    one vector is fetched into the cache, from `ahead` on; if that is NULL, of the next row, a[u * stride + m], which is then a
    pointer even behind the last tile.
    """
    cdef vec acc[MR * NV]
    cdef vec row[2 * NV]
    cdef const real* run[MR]
    cdef const real* panel
    cdef const real* fetched
    cdef Py_ssize_t _t, k, u
    cdef int i, j
    for _t in range(count):
        if out != NULL:
            output_fetch(m, nv, out)
        for i in range(m * nv):
            acc[i] = vec_zero() if first else vec_load(total + i // nv * NR + i % nv * LANES)
        panel = b
        for u in range(runs):
            if live[u * live_stride]:
                for i in range(m):
                    run[i] = a[u * stride + i]
                fetched = a[u * stride + m] if ahead == NULL else ahead + u * n * LANES
                k = 0
                while PAIRS and k < n - 1:
                    for j in range(2 * nv):
                        row[j] = vec_load(panel + (k + j // nv) * NR + j % nv * LANES)
                    prefetch(fetched + k * LANES)
                    prefetch(fetched + (k + 1) * LANES)
                    for i in range(m * nv):
                        acc[i] = vec_add_two(acc[i], run[i // nv] + k, row[i % nv], row[nv + i % nv], i // nv)
                    k += 2
                while k < n:
                    for j in range(nv):
                        row[j] = vec_load(panel + k * NR + j * LANES)
                    prefetch(fetched + k * LANES)
                    for i in range(m * nv):
                        acc[i] = vec_add_multiple(acc[i], run[i // nv] + k, row[i % nv], i // nv)
                    k += 1
            panel += n * NR
        if out != NULL:
            sums_finish(m, nv, acc, out, False, m * 4 >= MR * 3 and nv > 1)
            out.y += NR if across else m * out.step
            out.bias += out.bias_step if across else 0
        else:
            sums_store(m, nv, acc, total)
        if across:
            b = panel
        else:
            a += m
            live += 1
            total += m * NR


cdef inline void m_tile_multiply(int m, const int nv, Py_ssize_t n, const real* a, Py_ssize_t apart, const real* b,
                                 Py_ssize_t width, Py_ssize_t distance, Py_ssize_t count, real* total, bint first,
                                 Output* out) noexcept nogil:
    """tile_multiply, compiled for each m so that every tile lives in registers."""
    if m == MR:
        tile_multiply(MR, nv, n, a, apart, b, width, distance, count, total, first, out)
    elif m == 1:
        tile_multiply(1, nv, n, a, apart, b, width, distance, count, total, first, out)
    elif m == 2:
        tile_multiply(2, nv, n, a, apart, b, width, distance, count, total, first, out)
    elif m == 3:
        tile_multiply(3, nv, n, a, apart, b, width, distance, count, total, first, out)
    elif MR > 4 and m == 4:
        tile_multiply(4, nv, n, a, apart, b, width, distance, count, total, first, out)
    elif MR > 5 and m == 5:
        tile_multiply(5, nv, n, a, apart, b, width, distance, count, total, first, out)
    elif MR > 6 and m == 6:
        tile_multiply(6, nv, n, a, apart, b, width, distance, count, total, first, out)
    elif MR > 7 and m == 7:
        tile_multiply(7, nv, n, a, apart, b, width, distance, count, total, first, out)
    elif MR > 8 and m == 8:
        tile_multiply(8, nv, n, a, apart, b, width, distance, count, total, first, out)
    elif MR > 9 and m == 9:
        tile_multiply(9, nv, n, a, apart, b, width, distance, count, total, first, out)
    elif MR > 10 and m == 10:
        tile_multiply(10, nv, n, a, apart, b, width, distance, count, total, first, out)
    elif MR > 11 and m == 11:
        tile_multiply(11, nv, n, a, apart, b, width, distance, count, total, first, out)


cdef inline void any_tile_multiply(int m, int nv, Py_ssize_t n, const real* a, Py_ssize_t apart, const real* b,
                                   Py_ssize_t width, Py_ssize_t distance, Py_ssize_t count, real* total, bint first,
                                   Output* out) noexcept nogil:
    """tile_multiply for any 1 <= m <= MR, 1 <= nv <= NV. To be wrapped once in each module: it is large."""
    if nv == 1:
        m_tile_multiply(m, 1, n, a, apart, b, width, distance, count, total, first, out)
    elif nv == 2 or NV == 2:
        m_tile_multiply(m, 2, n, a, apart, b, width, distance, count, total, first, out)
    else:
        m_tile_multiply(m, NV, n, a, apart, b, width, distance, count, total, first, out)


cdef inline void m_tile_multiply_rows(int m, const int nv, Py_ssize_t runs, Py_ssize_t n, const real** a,
                                      Py_ssize_t stride, const char* live, Py_ssize_t live_stride, const real* b,
                                      const real* ahead, Py_ssize_t count, bint across, real* total, bint first,
                                      Output* out) noexcept nogil:
    """tile_multiply_rows, compiled for each m."""
    if m == MR:
        tile_multiply_rows(MR, nv, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)
    elif m == 1:
        tile_multiply_rows(1, nv, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)
    elif m == 2:
        tile_multiply_rows(2, nv, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)
    elif m == 3:
        tile_multiply_rows(3, nv, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)
    elif MR > 4 and m == 4:
        tile_multiply_rows(4, nv, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)
    elif MR > 5 and m == 5:
        tile_multiply_rows(5, nv, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)
    elif MR > 6 and m == 6:
        tile_multiply_rows(6, nv, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)
    elif MR > 7 and m == 7:
        tile_multiply_rows(7, nv, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)
    elif MR > 8 and m == 8:
        tile_multiply_rows(8, nv, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)
    elif MR > 9 and m == 9:
        tile_multiply_rows(9, nv, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)
    elif MR > 10 and m == 10:
        tile_multiply_rows(10, nv, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)
    elif MR > 11 and m == 11:
        tile_multiply_rows(11, nv, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)


cdef inline void any_tile_multiply_rows(int m, int nv, Py_ssize_t runs, Py_ssize_t n, const real** a,
                                        Py_ssize_t stride, const char* live, Py_ssize_t live_stride, const real* b,
                                        const real* ahead, Py_ssize_t count, bint across, real* total, bint first,
                                        Output* out) noexcept nogil:
    """tile_multiply_rows for any 1 <= m <= MR, 1 <= nv <= NV. To be wrapped once in each module: it is large."""
    if nv == 1:
        m_tile_multiply_rows(m, 1, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)
    elif nv == 2 or NV == 2:
        m_tile_multiply_rows(m, 2, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)
    else:
        m_tile_multiply_rows(m, NV, runs, n, a, stride, live, live_stride, b, ahead, count, across, total, first, out)


cdef inline void m_tile_multiply_scattered(int m, const int nv, Py_ssize_t n, const real* a, const real** b,
                                           Py_ssize_t offset, Py_ssize_t count, real* total, Output* out) noexcept nogil:
    """tile_multiply_scattered, compiled for each m."""
    if m == MR:
        tile_multiply_scattered(MR, nv, n, a, b, offset, count, total, out)
    elif m == 1:
        tile_multiply_scattered(1, nv, n, a, b, offset, count, total, out)
    elif m == 2:
        tile_multiply_scattered(2, nv, n, a, b, offset, count, total, out)
    elif m == 3:
        tile_multiply_scattered(3, nv, n, a, b, offset, count, total, out)
    elif MR > 4 and m == 4:
        tile_multiply_scattered(4, nv, n, a, b, offset, count, total, out)
    elif MR > 5 and m == 5:
        tile_multiply_scattered(5, nv, n, a, b, offset, count, total, out)
    elif MR > 6 and m == 6:
        tile_multiply_scattered(6, nv, n, a, b, offset, count, total, out)
    elif MR > 7 and m == 7:
        tile_multiply_scattered(7, nv, n, a, b, offset, count, total, out)
    elif MR > 8 and m == 8:
        tile_multiply_scattered(8, nv, n, a, b, offset, count, total, out)
    elif MR > 9 and m == 9:
        tile_multiply_scattered(9, nv, n, a, b, offset, count, total, out)
    elif MR > 10 and m == 10:
        tile_multiply_scattered(10, nv, n, a, b, offset, count, total, out)
    elif MR > 11 and m == 11:
        tile_multiply_scattered(11, nv, n, a, b, offset, count, total, out)


cdef inline void any_tile_multiply_scattered(int m, int nv, Py_ssize_t n, const real* a, const real** b,
                                             Py_ssize_t offset, Py_ssize_t count, real* total, Output* out) noexcept nogil:
    """tile_multiply_scattered for any 1 <= m <= MR, 1 <= nv <= NV. To be wrapped once in each module: it is large."""
    if nv == 1:
        m_tile_multiply_scattered(m, 1, n, a, b, offset, count, total, out)
    elif nv == 2 or NV == 2:
        m_tile_multiply_scattered(m, 2, n, a, b, offset, count, total, out)
    else:
        m_tile_multiply_scattered(m, NV, n, a, b, offset, count, total, out)
