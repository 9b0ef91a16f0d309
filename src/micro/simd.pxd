"""What simd.h offers, for Cython: `vec` holds LANES numbers of type `real`; the build decides both."""

from libc.stdint cimport int64_t

cdef extern from "simd.h" nogil:
    ctypedef float real             # float or double
    ctypedef float vec              # Cython need only know that vectors add, subtract, multiply and divide
    ctypedef double wide            # WIDE doubles
    enum: LANES, WIDE, MR, NV, NR, MV, PAIRS, FULL, REAL_BYTES, VECTOR_BYTES
    const real ROUND_SHIFT

    vec vec_load(const real* p)
    vec vec_load_once(const real* p)
    vec vec_keep(vec v)
    const real* reload(const real* p)
    void vec_store(real* p, vec v)
    void vec_store_half(real* p, vec v, const int w)
    void prefetch(const real* p)
    void vec_stream(real* p, vec v)         # p a multiple of VECTOR_BYTES
    void stores_wait()
    vec vec_zero()
    vec vec_splat(real x)
    vec vec_add_multiple(vec c, const real* p, vec row, const int i)
    vec vec_add_two(vec c, const real* p, vec row, vec next, const int i)
    wide wide_load(const real* p)
    void wide_store(real* p, wide v)
    vec vec_if_less(vec a, vec b, vec yes, vec no)
    vec vec_at_least(vec x, vec bound)
    vec vec_at_most(vec x, vec bound)
    vec vec_power2(vec shifted)
    void vec_transpose(vec* row)
    void vec_interleave(vec a, vec b, vec* low, vec* high)
    vec vec_even(vec a, vec b)
    vec vec_odd(vec a, vec b)
    vec vec_from_one(vec a, vec b)
    vec vec_from_two(vec a, vec b)
    vec vec_mask_load(vec old, unsigned m, const real* p)
    vec vec_mask_load_step(vec old, unsigned m, const real* p, Py_ssize_t step)
    void vec_mask_store(real* p, unsigned m, vec v)
    vec vec_mask_select(unsigned m, vec yes, vec no)
    ctypedef int ivec               # LANES integers as wide as a `real`
    ctypedef int bits               # and one of them
    vec vec_larger(vec a, vec b)
    ivec ivec_splat(bits i)
    ivec ivec_positive(ivec v)
    ivec ivec_load(const bits* p)
    ivec ivec_steps(bits first, bits step)
    void vec_challenge(vec v, ivec position, vec* best, ivec* at)
    void ivec_store_wide(int64_t* p, unsigned count, ivec v)
    vec vec_pick(vec a, const bits* at)
    vec vec_pick_two(vec a, vec b, const bits* at)
    vec vec_collect(const real* p, const bits* at)
    vec vec_collect_far(const real* p, const int64_t* at)
    vec vec_where_weighted(vec weight, vec v)
    real vec_sum(vec v)
