"""The wide tile: few rows x many vectors of sums, where there are few output channels.

In a tile of NV vectors (micro/tile.pxd) one to four rows of sums would wait for each other, and reads of short pieces of
many rows for memory. Here every number of b is loaded once for all rows, and multipliers stay in registers meanwhile.
"""
from micro.simd cimport LANES, MR, NV, real, vec, vec_load, vec_load_once, vec_splat, vec_store, vec_zero
from micro.tile cimport Output, sums_finish

cdef enum:
    FEW = 4                 # rows of the highest wide tile
    WIDEST = 8              # vectors of the widest


cdef inline int most_rows() noexcept nogil:
    """Rows of the highest wide tile that fits the registers with its multipliers."""
    return FEW if MR * NV > 16 else FEW - 1


cdef inline int most_vectors(int m) noexcept nogil:
    """Vectors of the widest tile of m rows; 0 if m rows are not few."""
    return 0 if m > most_rows() else <int>min(WIDEST, MR * NV // m)


cdef inline int wide_vectors(int m, Py_ssize_t left, Py_ssize_t columns) noexcept nogil:
    """Vectors of the tile to take for the last `left` of so many columns: the widest, or half of it; 0 for none.

    It is never wider than `columns`, but may be than `left`, and then begins in what was computed before.
    """
    cdef int most = most_vectors(m)
    if left * 2 <= most * LANES or columns < most * LANES:
        most //= 2
    return most if most > NV and columns >= most * LANES else 0


cdef inline void wide_multiply(const int m, const int nv, Py_ssize_t n, const real* a, Py_ssize_t apart, Py_ssize_t step,
                               const real** b, Py_ssize_t offset, Py_ssize_t count, real* total, bint first,
                               Output* out) noexcept nogil:
    """sums[i, :] += sum over k < n of a[i * apart + k * step] * b[k][offset ..], for `count` tiles that follow one another.

    Sums start at zero if `first`, else they go on from total (count, m nv vectors); and they go there unless there is an
    `out`, where they are finished.
    """
    cdef vec acc[FEW * WIDEST]
    cdef vec multiplier[FEW]
    cdef vec v = vec_zero()
    cdef const real* row
    cdef const real* number
    cdef Py_ssize_t _t, k
    cdef int i
    for _t in range(count):
        for i in range(m * nv):
            acc[i] = vec_zero() if first else vec_load(total + i * LANES)
        number = a
        for k in range(n):
            row = b[k] + offset
            for i in range(m):
                multiplier[i] = vec_splat(number[i * apart])
            for i in range(m * nv):
                if i % m == 0:
                    v = vec_load_once(row + i // m * LANES)
                acc[i % m * nv + i // m] = acc[i % m * nv + i // m] + multiplier[i % m] * v
            number += step
        offset += nv * LANES
        if out != NULL:
            sums_finish(m, nv, acc, out, True, False)
            out.y += nv * LANES
        else:
            for i in range(m * nv):
                vec_store(total + i * LANES, acc[i])
        total += m * nv * LANES


cdef inline void half_or_whole(const int m, bint half, Py_ssize_t n, const real* a, Py_ssize_t apart, Py_ssize_t step,
                               const real** b, Py_ssize_t offset, Py_ssize_t count, real* total,
                               bint first, Output* out) noexcept nogil:
    """wide_multiply of the widest tile, or of half of it."""
    if half:
        wide_multiply(m, most_vectors(m) // 2, n, a, apart, step, b, offset, count, total, first, out)
    else:
        wide_multiply(m, most_vectors(m), n, a, apart, step, b, offset, count, total, first, out)


cdef inline void any_wide_multiply(int m, int nv, Py_ssize_t n, const real* a, Py_ssize_t apart, Py_ssize_t step,
                                   const real** b, Py_ssize_t offset, Py_ssize_t count, real* total, bint first,
                                   Output* out) noexcept nogil:
    """wide_multiply for what wide_vectors returns. To be wrapped once in each module: it is large."""
    cdef bint half = nv < most_vectors(m)
    if m == 1:
        half_or_whole(1, half, n, a, apart, step, b, offset, count, total, first, out)
    elif m == 2:
        half_or_whole(2, half, n, a, apart, step, b, offset, count, total, first, out)
    elif m == 3:
        half_or_whole(3, half, n, a, apart, step, b, offset, count, total, first, out)
    elif MR * NV > 16:
        half_or_whole(FEW, half, n, a, apart, step, b, offset, count, total, first, out)
