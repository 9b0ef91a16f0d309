"""Coverage: how much of each window of a partial convolution is valid.

Loops, outermost first:
    task        in parallel: an equal share of the windows
    q           vectors of windows

Needs    inputs (sums,), outputs (scales, valid): a.pixels numbers each, contiguous, what the masks of a window sum up to.
Leaves   scales = a.whole / sums and valid = 1 where sums > 0; both 0 where not, also where a sum is NaN.
Rounds   one division.
Costs    one read and two writes: from L1 or L2.
"""

from kernel cimport MASKING, Division, Streams, Table, divided, offer
from micro.fields cimport Masking
from micro.simd cimport FULL, LANES, real, vec, vec_if_less, vec_mask_load, vec_mask_store, vec_splat, vec_zero


cdef bint share(const void* masking, const void* arrays, Py_ssize_t task, char* _workspace) noexcept nogil:
    """One task."""
    cdef const Masking* a = <const Masking*>masking
    cdef const Streams* s = <const Streams*>arrays
    cdef Py_ssize_t q = a.pixels * task // a.parts, stop = a.pixels * (task + 1) // a.parts
    cdef const real* sums = <const real*>s.input[0]
    cdef real* scales = <real*>s.output[0]
    cdef real* valid = <real*>s.output[1]
    cdef vec whole = vec_splat(<real>a.whole), one = vec_splat(1), v
    cdef unsigned lanes
    while q < stop:
        lanes = FULL if stop - q >= LANES else (1u << (stop - q)) - 1
        v = vec_mask_load(vec_zero(), lanes, sums + q)
        vec_mask_store(scales + q, lanes, vec_if_less(vec_zero(), v, whole / v, vec_zero()))
        vec_mask_store(valid + q, lanes, vec_if_less(vec_zero(), v, one, vec_zero()))
        q += LANES
    return False


cdef Division divide(void* masking) noexcept nogil:
    return divided(share, (<const Masking*>masking).parts)


cdef Table table
kernel = offer(&table, MASKING, divide)
