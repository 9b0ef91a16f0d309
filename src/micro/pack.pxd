"""Packing: weights rewritten in the order in which a tile reads them."""
from micro.simd cimport (LANES, MR, MV, NR, NV, prefetch, real, vec, vec_load, vec_mask_load, vec_mask_store, vec_store,
                         vec_store_half, vec_transpose, vec_zero)

cdef enum:
    WAYS = 12               # lines in one set of L1
    HALF = LANES // 2
    AHEAD = 4 * LANES       # numbers of a row: rows lie too far apart for the CPU to fetch all of them by itself


cdef inline void rows_load(const real* w, Py_ssize_t distance, int rows, Py_ssize_t n, vec* row) noexcept nogil:
    """LANES vectors: the first n (<= LANES) numbers of each of `rows` (<= LANES) rows; zeros elsewhere."""
    cdef int i
    for i in range(LANES):
        row[i] = vec_zero()
        if i < rows:
            prefetch(w + i * distance + AHEAD)
            row[i] = vec_load(w + i * distance) if n >= LANES else vec_mask_load(row[i], (1u << n) - 1, w + i * distance)


cdef inline void pack_rows(const real* w, Py_ssize_t distance, int rows, Py_ssize_t n, real* packed) noexcept nogil:
    """packed (n, MR) <- the transpose of w (rows, n), rows `distance` apart; missing rows up to MR are zeros.

    Stores whole vectors in increasing order, each over what the one before wrote too much.
    """
    cdef vec block[MV][LANES]
    cdef unsigned rest = (1u << (MR - (MV - 1) * LANES)) - 1
    cdef Py_ssize_t k = 0
    cdef int i, j
    while k < n:
        for j in range(MV):
            rows_load(w + j * LANES * distance + k, distance, max(0, rows - j * LANES), n - k, block[j])
            vec_transpose(block[j])
        if k + LANES < n:
            for i in range(LANES):
                for j in range(MV):
                    vec_store(packed + (k + i) * MR + j * LANES, block[j][i])
        else:
            for i in range(n - k):
                for j in range(MV):
                    if k + i == n - 1 and j == MV - 1:
                        vec_mask_store(packed + (k + i) * MR + j * LANES, rest, block[j][i])
                    else:
                        vec_store(packed + (k + i) * MR + j * LANES, block[j][i])
        k += LANES


cdef inline void pack_columns(const real* w, Py_ssize_t distance, int rows, Py_ssize_t channels, Py_ssize_t taps,
                              real* packed, Py_ssize_t apart) noexcept nogil:
    """packed (taps, apart, NR) <- w (rows, channels, taps), rows `distance` apart; missing rows up to NR are zeros.

    More than WAYS rows are turned HALF of them at a time, for a power of two apart they would not stay in their set of L1.
    """
    cdef vec block[LANES]
    cdef Py_ssize_t place[2 * LANES]
    cdef const real* row
    cdef Py_ssize_t k = 0, n = channels * taps, channel = 0, tap = 0, piece
    cdef int i, j
    while k < n:
        piece = 2 * LANES if LANES > WAYS and n - k >= 2 * LANES and rows == NR else min(<Py_ssize_t>LANES, n - k)
        for i in range(<int>piece):     # number k + i is tap `tap` of `channel`
            place[i] = (tap * apart + channel) * NR
            tap += 1
            if tap == taps:
                tap = 0
                channel += 1
        if LANES > WAYS and piece > LANES:
            for j in range(2 * NV):
                for i in range(HALF):
                    row = w + (j * HALF + i) * distance + k
                    prefetch(row + AHEAD)
                    prefetch(row + AHEAD + LANES)
                    block[i] = vec_load(row)
                    block[HALF + i] = vec_load(row + LANES)
                vec_transpose(block)
                for i in range(LANES):
                    vec_store_half(packed + place[i] + j * HALF, block[i], 0)
                    vec_store_half(packed + place[LANES + i] + j * HALF, block[i], 1)
        else:
            for j in range(NV):
                rows_load(w + j * LANES * distance + k, distance, max(0, rows - j * LANES), n - k, block)
                vec_transpose(block)
                for i in range(LANES):
                    if i < piece:
                        vec_store(packed + place[i] + j * LANES, block[i])
        k += piece


cdef inline void turn(const real* x, Py_ssize_t distance, Py_ssize_t rows, Py_ssize_t n, real* y,
                      Py_ssize_t y_distance) noexcept nogil:
    """y (n, rows) <- the transpose of x (rows, n); rows `distance` and `y_distance` apart. Writes nothing else."""
    cdef vec block[LANES]
    cdef Py_ssize_t r = 0, k, stop
    cdef unsigned lanes
    cdef int i
    while r < rows:
        lanes = (1u << min(<Py_ssize_t>LANES, rows - r)) - 1
        k = 0
        while k < n:
            rows_load(x + r * distance + k, distance, <int>min(<Py_ssize_t>LANES, rows - r), n - k, block)
            vec_transpose(block)
            stop = min(<Py_ssize_t>LANES, n - k)
            for i in range(LANES):
                if i < stop:
                    vec_mask_store(y + (k + i) * y_distance + r, lanes, block[i])
            k += LANES
        r += LANES
