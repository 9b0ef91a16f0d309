"""One element of an algorithm that multiplies transformed numbers: a matrix product of rows that lie side by side in cache."""
from micro.geometry cimport ceil_div
from micro.simd cimport LANES, MR, NR, NV, real
from micro.tile cimport any_tile_multiply_rows


cdef inline void element_multiply(Py_ssize_t count, Py_ssize_t n, const real* V, Py_ssize_t distance, const real* weights,
                                  const real* ahead, real* products, int nv) noexcept nogil:
    """products (count, NR) = V (count, n), rows `distance` apart, times weights (n, NR), of which nv vectors are wanted.

    From `ahead` on as many numbers are fetched into the cache. To be wrapped once in each module: it is large.
    """
    cdef Py_ssize_t tiles = ceil_div(count, MR), i, j, q, stop = 0
    cdef const real* rows[MR]
    cdef char live = 1
    for i in range(tiles):
        q = stop
        stop = (i + 1) * count // tiles
        for j in range(stop - q):
            rows[j] = V + (q + j) * distance
        any_tile_multiply_rows(<int>(stop - q), nv, 1, n, rows, 0, &live, 0, weights,
                               ahead + i * n * LANES if i < NV else weights, 1, False, products + q * NR, True,
                               NULL)
