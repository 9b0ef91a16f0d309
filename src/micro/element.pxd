"""One element of an algorithm that multiplies transformed numbers: a matrix product of rows that lie side by side in cache."""
from libc.string cimport memset

from micro.geometry cimport ceil_div
from micro.simd cimport LANES, MR, NR, NV, real
from micro.tile cimport any_tile_multiply_rows

cdef enum:
    MOST_ROWS = 128             # that one call of a tile may go through


cdef inline void element_multiply(Py_ssize_t count, Py_ssize_t n, const real* V, Py_ssize_t distance, const real* weights,
                                  const real* ahead, real* products, int nv) noexcept nogil:
    """products (count, NR) = V (count, n), rows `distance` apart, times weights (n, NR), of which nv vectors are wanted.

    From `ahead` on as many numbers are fetched into the cache. To be wrapped once in each module: it is large.
    """
    cdef Py_ssize_t part = min(count, <Py_ssize_t>MOST_ROWS), tiles, larger, i, m, q, together
    cdef const real* rows[MOST_ROWS + 1]
    cdef char live[MOST_ROWS]
    memset(live, 1, part)
    while count > 0:
        part = min(count, <Py_ssize_t>MOST_ROWS)
        for i in range(part):
            rows[i] = V + i * distance
        rows[part] = V
        tiles = ceil_div(part, MR)
        larger = part % tiles                   # tiles, the first, have a row more than the others
        i = q = 0
        while i < tiles:
            m = part // tiles + (i < larger)
            together = 1 if i < NV else larger - i if i < larger else tiles - i
            any_tile_multiply_rows(<int>m, nv, 1, n, rows + q, 0, live, 0, weights, ahead + i * n * LANES if i < NV else NULL,
                                   together, False, products + q * NR, True, NULL)
            i += together
            q += together * m
        V += part * distance
        products += part * NR
        ahead = weights
        count -= part
