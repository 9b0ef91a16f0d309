/* The vector type and the register tile of one (instruction set x real); the only C of the project.
 *
 * A build defines FASTCONV_DOUBLE as 0 or 1 and passes the flags of its instruction set; everything else follows.
 * Vectors are GNU vectors: `c + a * b` on whole vectors contracts to one fused multiply-add where the set has it.
 * Functions named vec_mask_* touch only the memory of lanes whose bit is set: they may be pointed past an array's end.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Every `cdef inline` after this include is inlined, so that its constant arguments specialise it. */
#undef CYTHON_INLINE
#define CYTHON_INLINE inline __attribute__((always_inline))
#define ALWAYS static inline __attribute__((always_inline, unused))

#if FASTCONV_DOUBLE
typedef double real;
typedef int64_t bits;
#define REAL_BYTES 8
#else
typedef float real;
typedef int32_t bits;
#define REAL_BYTES 4
#endif

/* The MR x NV accumulators of a tile, NV panel vectors and one broadcast must fit the registers:
 * 12*2+2+1 of 32 (AVX-512), 6*2+2+1 of 16 (AVX2), 8*3+3+1 of 32 (NEON), 4*2+2+2 of 16 (SSE).
 * PAIRS: whether two steps of a sum are taken at once, with NV panel vectors more. */
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
enum { MR = 12, NV = 2, PAIRS = 1 };
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
enum { MR = 6, NV = 2, PAIRS = 0 };
#elif defined(__aarch64__)
#define VECTOR_BYTES 16
enum { MR = 8, NV = 3, PAIRS = 0 };
#else
#define VECTOR_BYTES 16
enum { MR = 4, NV = 2, PAIRS = 0 };
#endif
#define LANES (VECTOR_BYTES / REAL_BYTES)
#define NR (NV * LANES)
#define MV ((MR + LANES - 1) / LANES)            /* vectors that hold MR numbers */
#define FULL ((1u << LANES) - 1u)
#define WHOLE(m) __builtin_expect((m) == FULL, 1)    /* without AVX-512: most masks are, and a jump each is felt */

typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef bits ivec __attribute__((vector_size(VECTOR_BYTES)));
typedef real vec_any __attribute__((vector_size(VECTOR_BYTES), aligned(REAL_BYTES), may_alias));

ALWAYS vec vec_load(const real *p) { return *(const vec_any *)p; }
/* A load that stays where it is written and happens once: gcc neither hoists it out of the branches that share it nor
 * repeats it as the operand of each multiply-add. vec_keep: v is computed here, not where it is used at last. */
ALWAYS vec vec_load_once(const real *p) { return *(const volatile vec_any *)p; }
#if defined(__x86_64__)
ALWAYS vec vec_keep(vec v) { __asm__("" : "+v"(v)); return v; }
#else
ALWAYS vec vec_keep(vec v) { __asm__("" : "+w"(v)); return v; }
#endif
/* p, as a pointer of which the compiler knows nothing: what was loaded through p is loaded again, not kept in registers. */
ALWAYS const real *reload(const real *p) { __asm__("" : "+r"(p)); return p; }
ALWAYS void vec_store(real *p, vec v) { *(vec_any *)p = v; }
typedef real half_vec __attribute__((vector_size(VECTOR_BYTES / 2), aligned(REAL_BYTES), may_alias));
/* The lower (w = 0) or upper LANES / 2 numbers. */
ALWAYS void vec_store_half(real *p, vec v, const int w) { *(half_vec *)p = ((half_vec *)&v)[w]; }
/* A store past the caches; p must be a multiple of VECTOR_BYTES. stores_wait: other threads then see all of them. */
#if defined(__AVX512F__)
ALWAYS void vec_stream(real *p, vec v) { _mm512_stream_si512((__m512i *)p, (__m512i)v); }
#elif defined(__AVX__)
ALWAYS void vec_stream(real *p, vec v) { _mm256_stream_si256((__m256i *)p, (__m256i)v); }
#elif defined(__x86_64__)
ALWAYS void vec_stream(real *p, vec v) { _mm_stream_si128((__m128i *)p, (__m128i)v); }
#else
ALWAYS void vec_stream(real *p, vec v) { vec_store(p, v); }
#endif
#if defined(__x86_64__)
ALWAYS void stores_wait(void) { _mm_sfence(); }
#else
ALWAYS void stores_wait(void) { }
#endif
ALWAYS void prefetch(const real *p) { __builtin_prefetch(p, 0, 2); }   /* into L2; never faults */
ALWAYS vec vec_zero(void) { return (vec){0}; }
ALWAYS vec vec_splat(real x) { return x - (vec){0}; }      /* one broadcast; lane by lane gcc makes LANES of them */
/* c + *p * row, for row i of a tile. With AVX-512 the multiply-adds of EMBEDDED of three rows broadcast *p themselves: an
 * instruction less and, where several share *p, a load more each, so that of all rows loads would limit; left alone, gcc loads
 * what is shared. vec_add_two: and + p[1] * next. */
enum { EMBEDDED = 2 };
#if FASTCONV_DOUBLE
#define MULTIPLY_ADD(at, row) "vfmadd231pd " at "%{1to8%}, " row ", %[c]\n\t"
#else
#define MULTIPLY_ADD(at, row) "vfmadd231ps " at "%{1to16%}, " row ", %[c]\n\t"
#endif
ALWAYS vec vec_add_multiple(vec c, const real *p, vec row, const int i) {
#if defined(__AVX512F__)
    if (i % 3 < EMBEDDED) {
        __asm__(MULTIPLY_ADD("%[at]", "%[row]") : [c] "+v"(c) : [row] "v"(row), [at] "m"(*p));
        return c;
    }
#endif
    return c + *p * row;
}
ALWAYS vec vec_add_two(vec c, const real *p, vec row, vec next, const int i) {
#if defined(__AVX512F__)
    if (i % 3 < EMBEDDED) {
        __asm__(MULTIPLY_ADD("(%[p])", "%[row]") MULTIPLY_ADD("%c[step](%[p])", "%[next]")
                : [c] "+&v"(c)
                : [row] "v"(row), [next] "v"(next), [p] "r"(p), [step] "i"(REAL_BYTES), "m"(*(const real (*)[2])p));
        return c;
    }
#endif
    return c + p[0] * row + p[1] * next;
}

/* WIDE doubles, loaded from and stored to numbers of type real: for what is computed once and rounded once. */
#define WIDE (VECTOR_BYTES / 8)
typedef double wide __attribute__((vector_size(VECTOR_BYTES)));
typedef real some __attribute__((vector_size(WIDE * REAL_BYTES), aligned(REAL_BYTES), may_alias));
#if defined(__AVX512F__) && !FASTCONV_DOUBLE        /* of which gcc makes two halves */
ALWAYS wide wide_load(const real *p) { return (wide)_mm512_cvtps_pd(_mm256_loadu_ps(p)); }
ALWAYS void wide_store(real *p, wide v) { _mm256_storeu_ps(p, _mm512_cvtpd_ps((__m512d)v)); }
#else
ALWAYS wide wide_load(const real *p) { return __builtin_convertvector(*(const some *)p, wide); }
ALWAYS void wide_store(real *p, wide v) { *(some *)p = __builtin_convertvector(v, some); }
#endif

/* Lane by lane `a < b ? yes : no`; a NaN in a or b takes `no`. */
ALWAYS vec vec_if_less(vec a, vec b, vec yes, vec no) {
    ivec less = (ivec)(a < b);
    return (vec)(((ivec)yes & less) | ((ivec)no & ~less));
}

/* Adding ROUND_SHIFT (1.5 * 2^mantissa) to a small number leaves it rounded to an integer in the low bits. */
#if FASTCONV_DOUBLE
#define ROUND_SHIFT 6755399441055744.0
enum { MANTISSA = 52, EXPONENT_BIAS = 1023 };
#else
#define ROUND_SHIFT 12582912.0f
enum { MANTISSA = 23, EXPONENT_BIAS = 127 };
#endif
/* 2^n for shifted = n + ROUND_SHIFT, -EXPONENT_BIAS < n <= EXPONENT_BIAS. */
ALWAYS vec vec_power2(vec shifted) {
    return (vec)(((ivec)shifted - (ivec)vec_splat(ROUND_SHIFT) + EXPONENT_BIAS) << MANTISSA);
}

/* EVEN: even lanes of the 2 * LANES - 1 numbers a[0..LANES), b[0..LANES), where b overlaps a's end by one number. */
#if LANES == 16
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31)
#define INDEX(f, w) f(0, w), f(1, w), f(2, w), f(3, w), f(4, w), f(5, w), f(6, w), f(7, w), \
    f(8, w), f(9, w), f(10, w), f(11, w), f(12, w), f(13, w), f(14, w), f(15, w)
#elif LANES == 8
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 9, 11, 13, 15)
#define INDEX(f, w) f(0, w), f(1, w), f(2, w), f(3, w), f(4, w), f(5, w), f(6, w), f(7, w)
#elif LANES == 4
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 5, 7)
#define INDEX(f, w) f(0, w), f(1, w), f(2, w), f(3, w)
#else
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 3)
#define INDEX(f, w) f(0, w), f(1, w)
#endif

/* Transposes LANES vectors in registers: first the square blocks of 16 bytes a row, then the rows of blocks. Every step is
 * one instruction without an index. NUMBERS, PAIRS: from half `w` of each 16 bytes of a and b, in turn; BLOCKS: the even
 * (w = 0) or odd 16 bytes of a, then those of b. */
#define UNIT (16 / REAL_BYTES)
#define UNIT_FULL ((1u << UNIT) - 1u)
#define NUMBERS(l, w) ((l) % 2 * LANES + (l) / UNIT * UNIT + (l) % UNIT / 2 + (w) * UNIT / 2)
#define PAIRS(l, w) ((l) % 4 / 2 * LANES + (l) / 4 * 4 + (l) % 2 + (w) * 2)
#define BLOCKS(l, w) ((l) / (LANES / 2) * LANES + ((l) % (LANES / 2) / UNIT * 2 + (w)) * UNIT + (l) % UNIT)
#define SHUFFLE(f, w, a, b) __builtin_shufflevector(a, b, INDEX(f, w))
#define SPLIT(f, a, b, low, high) { \
    const vec first = a, second = b; \
    low = SHUFFLE(f, 0, first, second); \
    high = SHUFFLE(f, 1, first, second); }
ALWAYS void vec_transpose(vec *row) {
    for (int i = 0; i < LANES; i += 2)
        SPLIT(NUMBERS, row[i], row[i + 1], row[i], row[i + 1])
#if UNIT == 4
    for (int i = 0; i < LANES; i += 4) {
        SPLIT(PAIRS, row[i], row[i + 2], row[i], row[i + 2])
        SPLIT(PAIRS, row[i + 1], row[i + 3], row[i + 1], row[i + 3])
        const vec second = row[i + 1];
        row[i + 1] = row[i + 2];
        row[i + 2] = second;
    }
#endif
    for (int i = 0; i < UNIT && LANES > UNIT; i++) {
#if LANES == 2 * UNIT
        SPLIT(BLOCKS, row[i], row[i + UNIT], row[i], row[i + UNIT])
#elif LANES == 4 * UNIT
        SPLIT(BLOCKS, row[i], row[i + UNIT], row[i], row[i + UNIT])
        SPLIT(BLOCKS, row[i + 2 * UNIT], row[i + 3 * UNIT], row[i + 2 * UNIT], row[i + 3 * UNIT])
        SPLIT(BLOCKS, row[i], row[i + 2 * UNIT], row[i], row[i + 2 * UNIT])
        SPLIT(BLOCKS, row[i + UNIT], row[i + 3 * UNIT], row[i + UNIT], row[i + 3 * UNIT])
#endif
    }
}

/* low, high = a[0], b[0], a[1], b[1], ... */
#define LOW_HALF(l, half) ((l) % 2 * LANES + (l) / 2 + (half))
ALWAYS void vec_interleave(vec a, vec b, vec *low, vec *high) {
    *low = __builtin_shufflevector(a, b, INDEX(LOW_HALF, 0));
    *high = __builtin_shufflevector(a, b, INDEX(LOW_HALF, LANES / 2));
}
/* Of a and then b: lanes 0, 2, 4 ...; lanes 1, 3, 5 ...; LANES of them from lane 1, from lane 2 on. */
#define LANE_STEP(l, first) (2 * (l) + (first))
#define LANE_AFTER(l, first) ((l) + (first))
ALWAYS vec vec_even(vec a, vec b) { return __builtin_shufflevector(a, b, INDEX(LANE_STEP, 0)); }
ALWAYS vec vec_odd(vec a, vec b) { return __builtin_shufflevector(a, b, INDEX(LANE_STEP, 1)); }
ALWAYS vec vec_from_one(vec a, vec b) { return __builtin_shufflevector(a, b, INDEX(LANE_AFTER, 1)); }
ALWAYS vec vec_from_two(vec a, vec b) { return __builtin_shufflevector(a, b, INDEX(LANE_AFTER, 2)); }

#if defined(__x86_64__)
#if defined(__AVX512F__)
#define WIDTH_PREFIX _mm512_
#elif defined(__AVX2__)
#define WIDTH_PREFIX _mm256_
#else
#define WIDTH_PREFIX _mm_
#endif
#if FASTCONV_DOUBLE
#define TYPE_SUFFIX _pd
#else
#define TYPE_SUFFIX _ps
#endif
#define JOIN3(a, b, c) a##b##c
#define JOIN(a, b, c) JOIN3(a, b, c)
#define X86(name) JOIN(WIDTH_PREFIX, name, TYPE_SUFFIX)         /* the intrinsic of this build's vectors */
typedef __typeof__(X86(setzero)()) native;
#endif

/* The larger, the smaller of x and a bound; NaN if x is NaN (x86 returns the second operand then). */
#if defined(__x86_64__)
ALWAYS vec vec_at_least(vec x, vec bound) { return (vec)X86(max)((native)bound, (native)x); }
ALWAYS vec vec_at_most(vec x, vec bound) { return (vec)X86(min)((native)bound, (native)x); }
#else
ALWAYS vec vec_at_least(vec x, vec bound) { return vec_if_less(x, bound, bound, x); }
ALWAYS vec vec_at_most(vec x, vec bound) { return vec_if_less(bound, x, bound, x); }
#endif

/* The larger of both; NaN if either is. */
#if defined(__AVX512F__)
ALWAYS vec vec_larger(vec a, vec b) {
    return (vec)X86(mask_max)((native)a, JOIN(_mm512_cmp, TYPE_SUFFIX, _mask)((native)a, (native)a, _CMP_ORD_Q),
                              (native)a, (native)b);
}
#else
ALWAYS vec vec_larger(vec a, vec b) { return (vec)((ivec)vec_at_least(a, b) | (ivec)vec_at_least(b, a)); }
#endif

ALWAYS ivec ivec_splat(bits i) { return i - (ivec){0}; }
ALWAYS ivec ivec_steps(bits first, bits step) { ivec v; for (int i = 0; i < LANES; i++) v[i] = first + i * step; return v; }
ALWAYS ivec ivec_load(const bits *p) { ivec v; memcpy(&v, p, sizeof v); return v; }
ALWAYS ivec ivec_positive(ivec v) { return v & (ivec)(v > 0); }      /* else 0 */
/* Where v is larger than best, or NaN, lane by lane: best <- v and at <- position. */
ALWAYS void vec_challenge(vec v, ivec position, vec *best, ivec *at) {
#if defined(__AVX512F__)
    const __auto_type larger = JOIN(_mm512_cmp, TYPE_SUFFIX, _mask)((native)v, (native)*best, _CMP_GT_OQ);
    const __auto_type nan = JOIN(_mm512_cmp, TYPE_SUFFIX, _mask)((native)v, (native)v, _CMP_UNORD_Q);
    *best = (vec)X86(mask_blend)(nan, X86(mask_blend)(larger, (native)*best, (native)v), (native)v);
    *at = (ivec)X86(mask_blend)(nan, X86(mask_blend)(larger, (native)*at, (native)position), (native)position);
#else
    ivec take = (ivec)(v > *best) | (ivec)(v != v);
    *best = (vec)(((ivec)v & take) | ((ivec)*best & ~take));
    *at = (position & take) | (*at & ~take);
#endif
}
/* The first `count` lanes as 64-bit integers. */
typedef bits half __attribute__((vector_size(WIDE * REAL_BYTES)));
typedef int64_t longs __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
ALWAYS void ivec_store_wide(int64_t *p, unsigned count, ivec v) {
    enum { PARTS = LANES / WIDE };
    union { ivec v; half part[PARTS]; } u = {v};
    for (int i = 0; i < PARTS; i++)
        if (count >= (i + 1u) * WIDE) *(longs *)(p + i * WIDE) = __builtin_convertvector(u.part[i], longs);
    for (unsigned i = count / WIDE * WIDE; i < count; i++) p[i] = v[i];
}

#if defined(__AVX512F__)
ALWAYS vec vec_mask_load(vec old, unsigned m, const real *p) { return (vec)X86(mask_loadu)((native)old, m, p); }
ALWAYS void vec_mask_store(real *p, unsigned m, vec v) { X86(mask_storeu)(p, m, (native)v); }
ALWAYS vec vec_mask_select(unsigned m, vec yes, vec no) { return (vec)X86(mask_blend)(m, (native)no, (native)yes); }
ALWAYS vec vec_mask_load_even(vec old, unsigned m, const real *p) {
    if (WHOLE(m)) { vec a = vec_load(p), b = vec_load(p + LANES - 1); return EVEN(a, b); }
    vec a = vec_mask_load(vec_zero(), _pdep_u32(m, 0x55555555u) & FULL, p);
    vec b = vec_mask_load(vec_zero(), _pdep_u32(m >> (LANES / 2), 0xAAAAAAAAu) & FULL, p + LANES - 1);
    return vec_mask_select(m, EVEN(a, b), old);
}
#else
/* All bits of the lanes of m; of the lanes first, first + 2 ... for bits 0, 1 ... of m. */
ALWAYS ivec lanes_of(unsigned m) {
    ivec bit; for (int i = 0; i < LANES; i++) bit[i] = (bits)1 << i;
    return (ivec_splat((bits)m) & bit) > 0;
}
ALWAYS ivec spread(unsigned m, const int first) {
    ivec bit; for (int i = 0; i < LANES; i++) bit[i] = i % 2 == first ? (bits)1 << i / 2 : 0;
    return (ivec_splat((bits)m) & bit) > 0;
}
ALWAYS vec vec_mask_select(unsigned m, vec yes, vec no) {
    ivec lanes = lanes_of(m);
    return (vec)(((ivec)yes & lanes) | ((ivec)no & ~lanes));
}
#if defined(__AVX2__)
ALWAYS vec vec_mask_load_lanes(ivec lanes, const real *p) { return (vec)X86(maskload)(p, (__m256i)lanes); }
#endif
ALWAYS vec vec_mask_load(vec old, unsigned m, const real *p) {
    if (WHOLE(m)) return vec_load(p);
#if defined(__AVX2__)
    return vec_mask_select(m, vec_mask_load_lanes(lanes_of(m), p), old);
#else
    for (int i = 0; i < LANES; i++) if ((m >> i) & 1u) old[i] = p[i];
    return old;
#endif
}
/* In pieces of 16 bytes where whole. Without `volatile` gcc makes one masked store of the loop over AVX2's lanes, at which a Zen 4
 * is slow: depthwise kernels took up to 1.5 times as long. */
ALWAYS void vec_mask_store(real *p, unsigned m, vec v) {
    if (WHOLE(m)) { vec_store(p, v); return; }
    real lane[LANES];
    vec_store(lane, v);
    for (int i = 0; i < LANES; i += UNIT, m >>= UNIT) {
        if ((m & UNIT_FULL) == UNIT_FULL) memcpy(p + i, lane + i, 16);
        else for (int j = 0; j < UNIT; j++) if ((m >> j) & 1u) *(volatile real *)(p + i + j) = lane[i + j];
    }
}
ALWAYS vec vec_mask_load_even(vec old, unsigned m, const real *p) {
    if (WHOLE(m)) { vec a = vec_load(p), b = vec_load(p + LANES - 1); return EVEN(a, b); }
#if defined(__AVX2__)
    vec a = vec_mask_load_lanes(spread(m, 0), p), b = vec_mask_load_lanes(spread(m >> (LANES / 2), 1), p + LANES - 1);
    return vec_mask_select(m, EVEN(a, b), old);
#else
    for (int i = 0; i < LANES; i++) if ((m >> i) & 1u) old[i] = p[2 * i];
    return old;
#endif
}
#endif

/* Lane i <- p[i * step] for the lanes of m: one instruction for steps 1 and 2. */
ALWAYS vec vec_mask_load_step(vec old, unsigned m, const real *p, ptrdiff_t step) {
    if (step == 1) return vec_mask_load(old, m, p);
    if (step == 2) return vec_mask_load_even(old, m, p);
    real lane[LANES];                   /* or gcc would keep `old` in memory for the other steps too */
    vec_store(lane, old);
    for (int i = 0; i < LANES; i++) if ((m >> i) & 1u) lane[i] = p[i * step];
    return vec_load(lane);
}

/* Lane i <- a[at[i]], (a, b)[at[i]], p[at[i]]; v where a weight is not zero, else zero. */
typedef bits ivec_any __attribute__((vector_size(VECTOR_BYTES), aligned(REAL_BYTES), may_alias));
#if defined(__clang__)                                  /* has shuffles by constants only */
ALWAYS vec vec_pick_two(vec a, vec b, const bits *at) {
    real both[2 * LANES], lane[LANES];
    vec_store(both, a);
    vec_store(both + LANES, b);
    for (int i = 0; i < LANES; i++) lane[i] = both[at[i]];
    return vec_load(lane);
}
ALWAYS vec vec_pick(vec a, const bits *at) { return vec_pick_two(a, a, at); }
#else
ALWAYS vec vec_pick(vec a, const bits *at) { return __builtin_shuffle(a, *(const ivec_any *)at); }
ALWAYS vec vec_pick_two(vec a, vec b, const bits *at) { return __builtin_shuffle(a, b, *(const ivec_any *)at); }
#endif
ALWAYS vec vec_collect(const real *p, const bits *at) {
    real lane[LANES];
    for (int i = 0; i < LANES; i++) lane[i] = p[at[i]];
    return vec_load(lane);
}
ALWAYS vec vec_collect_far(const real *p, const int64_t *at) {
    real lane[LANES];
    for (int i = 0; i < LANES; i++) lane[i] = p[at[i]];
    return vec_load(lane);
}
ALWAYS vec vec_where_weighted(vec weight, vec v) { return (vec)((ivec)v & (ivec)(weight != 0)); }
/* The sum of all lanes, halves first. */
ALWAYS real vec_sum(vec v) {
    real lane[LANES];
    vec_store(lane, v);
    for (int n = LANES / 2; n; n /= 2) for (int i = 0; i < n; i++) lane[i] += lane[i + n];
    return lane[0];
}
