"""Largest or mean of whole planes, channels first.

Loops, outermost first, and what each block is sized for:
    task        in parallel: planes
    LANES       planes at a time, whose vectors are transposed: one vector of results
    pixels      SUMS vectors of partial results in registers

Needs    inputs (x,), outputs (y,), both contiguous, of type real; x (N, C, D, H, W), y (N, C).
Leaves   y written in full.
Rounds   pixel i belongs to partial sum i mod (SUMS * LANES); those are added in pairs; then one division.
Costs    x is read once: bound by memory.
"""
from kernel cimport POOL, AnyTask, Divide, Division, Streams, Table, divided, offer
from micro.fields cimport Pool
from micro.geometry cimport ceil_div
from micro.simd cimport LANES, real, vec, vec_mask_store, vec_splat, vec_transpose
from micro.windows cimport axis_d, axis_h, axis_w, join_lanes, run_join, window

cdef inline void planes_join(const bint largest, const Pool* g, Py_ssize_t plane, Py_ssize_t count, const real* x,
                             real* y) noexcept nogil:
    """Results of `count`, at most LANES, planes."""
    cdef vec row[LANES]
    cdef Py_ssize_t i, pixels = g.D * g.H * g.W
    cdef real area = g.divisor
    if not g.divisor:
        area = (<real>window(g, axis_d(g), 0).area * <real>window(g, axis_h(g), 0).area * <real>window(g, axis_w(g), 0).area)
    for i in range(LANES):
        row[i] = run_join(largest, x + (plane + min(i, count - 1)) * pixels, pixels if i < count else 0)
    vec_transpose(row)
    join_lanes(largest, row)
    vec_mask_store(y + plane, (1u << count) - 1, row[0] if largest else row[0] / vec_splat(area))


cdef bint block(const Pool* g, const Streams* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    cdef const real* x = <const real*>arrays.input[0]
    cdef real* y = <real*>arrays.output[0]
    cdef Py_ssize_t plane = task * g.rows, stop = min((task + 1) * g.rows, g.N * g.C)
    while plane < stop:
        if g.largest:
            planes_join(True, g, plane, min(<Py_ssize_t>LANES, stop - plane), x, y)
        else:
            planes_join(False, g, plane, min(<Py_ssize_t>LANES, stop - plane), x, y)
        plane += LANES
    return False


cdef Division divide(Pool* g) noexcept nogil:
    return divided(<AnyTask>block, ceil_div(g.N * g.C, g.rows))


cdef Table table
kernel = offer(&table, POOL, <Divide>divide)
