"""Activations on vectors: relative error of a few roundings, NaN in gives NaN out, no trap on huge arguments."""
from libc.math cimport INFINITY

from micro.simd cimport (REAL_BYTES, ROUND_SHIFT, real, vec, vec_at_least, vec_at_most, vec_if_less, vec_power2,
                         vec_splat, vec_zero)

cdef enum:      # in the order of problem.ACTIVATIONS; ReLU is a clip with an infinite bound
    NONE, CLIP, LEAKY_RELU, SIGMOID, TANH, SILU, GELU, HARDSWISH, HARDSIGMOID


cdef inline vec vec_clip(vec x, vec low, vec high) noexcept nogil:
    return vec_at_most(vec_at_least(x, low), high)


cdef inline vec power_split(vec x, vec* power) noexcept nogil:
    """e^x = power * (1 + result), power a power of two and |result| < 0.42; x is held where power is a number."""
    cdef vec shifted, n, r, p
    cdef int i
    cdef int terms = 13 if REAL_BYTES == 8 else 7      # of Taylor's series on |r| <= ln(2) / 2: rest below one rounding
    if REAL_BYTES == 8:
        x = vec_clip(x, vec_splat(-708.0), vec_splat(709.0))
    else:
        x = vec_clip(x, vec_splat(-87.0), vec_splat(88.0))
    shifted = x * vec_splat(1.4426950408889634) + vec_splat(ROUND_SHIFT)
    n = shifted - vec_splat(ROUND_SHIFT)
    if REAL_BYTES == 8:                                 # ln(2) = high + low; n * high is exact
        r = (x - n * vec_splat(0.6931471803691238)) - n * vec_splat(1.9082149292705877e-10)
    else:
        r = (x - n * vec_splat(0.693359375)) - n * vec_splat(-2.12194440e-4)
    p = vec_splat(1)
    for i in range(terms, 1, -1):
        p = vec_splat(1) + r * p * vec_splat(<real>1 / <real>i)
    power[0] = vec_power2(shifted)
    return r * p


cdef inline vec power_join(vec x, vec power, vec rest) noexcept nogil:
    """e^x from the parts of x; zero and infinity where it is none of the numbers that power_split can make."""
    cdef real limit = 708.0 if REAL_BYTES == 8 else 87.0
    cdef vec y = vec_if_less(x, vec_splat(-limit), vec_zero(), power + power * rest)
    return vec_if_less(vec_splat(limit), x, vec_splat(INFINITY), y)


cdef inline vec scaled_erfc(vec z) noexcept nogil:
    """exp(z^2) erfc(z) for 0 <= z <= 27: f(t) / (1 + 2 z) with t = (z - 2) / (z + 2).

    After M. M. Shepherd and J. G. Laframboise, Math. Comp. 36 (1981) 249. f is the polynomial through its values at the
    23 Chebyshev nodes, computed with 40 digits; off by less than 1e-15 of its value.
    """
    cdef vec t = (z - vec_splat(2)) / (z + vec_splat(2)), f
    f = vec_splat(3.944629002720124e-08)
    f = f * t + vec_splat(1.2850559745257134e-07)
    f = f * t + vec_splat(-5.240096694947748e-08)
    f = f * t + vec_splat(-7.538544492781538e-07)
    f = f * t + vec_splat(-9.043109498997706e-07)
    f = f * t + vec_splat(1.3919444108742173e-06)
    f = f * t + vec_splat(5.355800650769994e-06)
    f = f * t + vec_splat(3.7923327737605092e-06)
    f = f * t + vec_splat(-1.3548220072045399e-05)
    f = f * t + vec_splat(-3.645952621252399e-05)
    f = f * t + vec_splat(-1.4941515497077612e-06)
    f = f * t + vec_splat(0.00015104925946214277)
    f = f * t + vec_splat(0.00020636419510883415)
    f = f * t + vec_splat(-0.0004543425702752733)
    f = f * t + vec_splat(-0.0014568135604951424)
    f = f * t + vec_splat(0.0012713391413339222)
    f = f * t + vec_splat(0.008722653844294112)
    f = f * t + vec_splat(-0.008034015091611293)
    f = f * t + vec_splat(-0.05422000099060102)
    f = f * t + vec_splat(0.16405128003363728)
    f = f * t + vec_splat(-0.16603039761531724)
    f = f * t + vec_splat(-0.09276382658574686)
    f = f * t + vec_splat(1.2769783815525289)
    return f / (vec_splat(1) + z + z)


cdef inline vec vec_activate(Py_ssize_t kind, vec x, vec slope) noexcept nogil:
    """Every activation but NONE and CLIP. Those with an exponential share one: of -x, 2 x or -z^2."""
    cdef vec one = vec_splat(1), gate, z, argument, power, rest
    if kind == LEAKY_RELU:
        return vec_if_less(x, vec_zero(), x * slope, x)
    if kind >= HARDSWISH:
        gate = vec_clip(x * vec_splat(<real>(1.0 / 6.0)) + vec_splat(0.5), vec_zero(), one)
        return x * gate if kind == HARDSWISH else gate
    z = vec_if_less(x, vec_zero(), vec_zero() - x, x) * vec_splat(0.7071067811865476)       # |x| / sqrt(2)
    z = vec_clip(z, vec_zero(), vec_splat(27))
    argument = x + x if kind == TANH else vec_zero() - z * z if kind == GELU else vec_zero() - x
    rest = power_split(argument, &power)
    if kind == TANH:            # (e^2x - 1) / (e^2x + 1), kept accurate near zero
        rest = (power - one) + power * rest
        return rest / (rest + vec_splat(2))
    power = power_join(argument, power, rest)
    if kind == GELU:            # x times the normal distribution function, erfc(-x / sqrt(2)) / 2
        rest = vec_splat(0.5) * power * scaled_erfc(z)
        return x * vec_if_less(x, vec_zero(), rest, one - rest)
    gate = one / (one + power)
    return x * gate if kind == SILU else gate
