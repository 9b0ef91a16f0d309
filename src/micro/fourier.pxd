"""Fourier transforms of vectors: every lane is a transform of its own, so that butterflies need no shuffles.

A complex number is two vectors, `im` vectors apart; numbers of a sequence lie `step` vectors apart. Transforms are those of
Stockham: pass after pass from one buffer into another, with the results in order. With p numbers in a butterfly, m twiddle
factors left and s = n / (p m):

        y[q + s (p j + i)] = w_(p m)^(i j) sum_l w_p^(i l) x[q + s (j + m l)],     w_n = exp(-2 pi i / n)

(C. Van Loan, Computational Frameworks for the Fast Fourier Transform, 1992). A transform of swapped real and imaginary
parts, swapped, is n times the inverse transform: pass pointers to the imaginary parts and a negative `im`.
"""
from micro.simd cimport real, vec, vec_zero, wide

cdef enum:
    MOST_PASSES = 12
    MOST_RADIX = 8

ctypedef fused V:               # vectors of reals and, where weights are transformed, of doubles
    vec
    wide

cdef struct Axis:               # how one axis is transformed
    Py_ssize_t n                # length of the transform; 1: none
    Py_ssize_t m, tiles         # outputs of a tile, and tiles of one phase of the dilation
    int passes
    int radix[MOST_PASSES]
    const void* twiddle         # reals or doubles, as the vectors: pass by pass (m, p - 1, 2)


cdef inline V scaled(V x, double factor) noexcept nogil:
    if V is wide:
        return x * factor
    else:
        return x * <real>factor


cdef inline void add_subtract(V* a, V* b) noexcept nogil:
    """a, b <- a + b, a - b."""
    cdef V difference = a[0] - b[0]
    a[0] = a[0] + b[0]
    b[0] = difference


cdef inline void turn_back(V* re, V* im) noexcept nogil:
    """Multiply by -i."""
    cdef V old = re[0]
    re[0] = im[0]
    im[0] = -old


cdef inline void exchange(V* a, V* b) noexcept nogil:
    cdef V old = a[0]
    a[0] = b[0]
    b[0] = old


cdef inline void butterfly2(V* re, V* im, const int a, const int b) noexcept nogil:
    add_subtract(re + a, re + b)
    add_subtract(im + a, im + b)


cdef inline void butterfly3(V* re, V* im) noexcept nogil:
    cdef V t, u
    butterfly2(re, im, 1, 2)
    t = re[0] - scaled(re[1], 0.5)
    u = im[0] - scaled(im[1], 0.5)
    re[0] = re[0] + re[1]
    im[0] = im[0] + im[1]
    re[1] = t + scaled(im[2], 0.8660254037844386)
    im[1] = u - scaled(re[2], 0.8660254037844386)
    t = t - scaled(im[2], 0.8660254037844386)
    im[2] = u + scaled(re[2], 0.8660254037844386)
    re[2] = t


cdef inline void butterfly4(V* re, V* im, const int a, const int b, const int c, const int d) noexcept nogil:
    """The transform of numbers a, b, c, d, in place and in order."""
    butterfly2(re, im, a, c)
    butterfly2(re, im, b, d)
    turn_back(re + d, im + d)
    butterfly2(re, im, a, b)
    butterfly2(re, im, c, d)
    exchange(re + b, re + c)
    exchange(im + b, im + c)


cdef inline void butterfly5(V* re, V* im) noexcept nogil:
    cdef V t, u, p, q
    butterfly2(re, im, 1, 4)
    butterfly2(re, im, 2, 3)
    t = re[0] + scaled(re[1], 0.30901699437494742) - scaled(re[2], 0.80901699437494742)
    u = im[0] + scaled(im[1], 0.30901699437494742) - scaled(im[2], 0.80901699437494742)
    p = re[0] - scaled(re[1], 0.80901699437494742) + scaled(re[2], 0.30901699437494742)
    q = im[0] - scaled(im[1], 0.80901699437494742) + scaled(im[2], 0.30901699437494742)
    re[0] = re[0] + re[1] + re[2]
    im[0] = im[0] + im[1] + im[2]
    cdef V a = scaled(re[4], 0.95105651629515357) + scaled(re[3], 0.58778525229247313)
    cdef V b = scaled(im[4], 0.95105651629515357) + scaled(im[3], 0.58778525229247313)
    cdef V c = scaled(re[4], 0.58778525229247313) - scaled(re[3], 0.95105651629515357)
    cdef V d = scaled(im[4], 0.58778525229247313) - scaled(im[3], 0.95105651629515357)
    re[1] = t + b
    im[1] = u - a
    re[4] = t - b
    im[4] = u + a
    re[2] = p + d
    im[2] = q - c
    re[3] = p - d
    im[3] = q + c


cdef inline void butterfly8(V* re, V* im) noexcept nogil:
    cdef V t
    butterfly4(re, im, 0, 2, 4, 6)
    butterfly4(re, im, 1, 3, 5, 7)
    t = scaled(re[3] + im[3], 0.70710678118654752)
    im[3] = scaled(im[3] - re[3], 0.70710678118654752)
    re[3] = t
    turn_back(re + 5, im + 5)
    t = scaled(im[7] - re[7], 0.70710678118654752)
    im[7] = scaled(-im[7] - re[7], 0.70710678118654752)
    re[7] = t
    butterfly2(re, im, 0, 1)
    butterfly2(re, im, 2, 3)
    butterfly2(re, im, 4, 5)
    butterfly2(re, im, 6, 7)
    # results 0 .. 7 now lie at 0 2 4 6 1 3 5 7
    t = re[1]
    re[1] = re[2]
    re[2] = re[4]
    re[4] = t
    t = re[3]
    re[3] = re[6]
    re[6] = re[5]
    re[5] = t
    t = im[1]
    im[1] = im[2]
    im[2] = im[4]
    im[4] = t
    t = im[3]
    im[3] = im[6]
    im[6] = im[5]
    im[5] = t


cdef inline void butterfly(const int p, V* re, V* im) noexcept nogil:
    if p == 2:
        butterfly2(re, im, 0, 1)
    elif p == 3:
        butterfly3(re, im)
    elif p == 4:
        butterfly4(re, im, 0, 1, 2, 3)
    elif p == 5:
        butterfly5(re, im)
    else:
        butterfly8(re, im)


cdef inline void transform_pass(const int p, const bint twiddled, Py_ssize_t m, Py_ssize_t s, const V* x, Py_ssize_t x_step,
                                Py_ssize_t x_im, V* y, Py_ssize_t y_step, Py_ssize_t y_im, const void* twiddle) noexcept nogil:
    """One pass; the last one has m = 1 and is not twiddled."""
    cdef V re[MOST_RADIX]
    cdef V im[MOST_RADIX]
    cdef V t
    cdef const V* source
    cdef V* target
    cdef Py_ssize_t j, _q, x_far = s * m * x_step, y_far = s * y_step
    cdef double wide_re, wide_im
    cdef real w_re, w_im
    cdef int i
    for j in range(m):
        source = x + s * j * x_step
        target = y + s * p * j * y_step
        for _q in range(s):
            for i in range(p):
                re[i] = source[i * x_far]
                im[i] = source[i * x_far + x_im]
            butterfly(p, re, im)
            target[0] = re[0]
            target[y_im] = im[0]
            for i in range(1, p):
                if twiddled:
                    if V is wide:
                        wide_re = (<const double*>twiddle)[2 * (j * (p - 1) + i - 1)]
                        wide_im = (<const double*>twiddle)[2 * (j * (p - 1) + i - 1) + 1]
                        t = re[i] * wide_re - im[i] * wide_im
                        im[i] = re[i] * wide_im + im[i] * wide_re
                    else:
                        w_re = (<const real*>twiddle)[2 * (j * (p - 1) + i - 1)]
                        w_im = (<const real*>twiddle)[2 * (j * (p - 1) + i - 1) + 1]
                        t = re[i] * w_re - im[i] * w_im
                        im[i] = re[i] * w_im + im[i] * w_re
                    re[i] = t
                target[i * y_far] = re[i]
                target[i * y_far + y_im] = im[i]
            source += x_step
            target += y_step


cdef inline void any_pass(int p, Py_ssize_t m, Py_ssize_t s, const V* x, Py_ssize_t x_step, Py_ssize_t x_im, V* y,
                          Py_ssize_t y_step, Py_ssize_t y_im, const void* twiddle) noexcept nogil:
    """transform_pass, compiled for each radix."""
    if p == 8 and m > 1:
        transform_pass(8, True, m, s, x, x_step, x_im, y, y_step, y_im, twiddle)
    elif p == 8:
        transform_pass(8, False, 1, s, x, x_step, x_im, y, y_step, y_im, twiddle)
    elif p == 4 and m > 1:
        transform_pass(4, True, m, s, x, x_step, x_im, y, y_step, y_im, twiddle)
    elif p == 4:
        transform_pass(4, False, 1, s, x, x_step, x_im, y, y_step, y_im, twiddle)
    elif p == 5 and m > 1:
        transform_pass(5, True, m, s, x, x_step, x_im, y, y_step, y_im, twiddle)
    elif p == 5:
        transform_pass(5, False, 1, s, x, x_step, x_im, y, y_step, y_im, twiddle)
    elif p == 3 and m > 1:
        transform_pass(3, True, m, s, x, x_step, x_im, y, y_step, y_im, twiddle)
    elif p == 3:
        transform_pass(3, False, 1, s, x, x_step, x_im, y, y_step, y_im, twiddle)
    elif m > 1:
        transform_pass(2, True, m, s, x, x_step, x_im, y, y_step, y_im, twiddle)
    else:
        transform_pass(2, False, 1, s, x, x_step, x_im, y, y_step, y_im, twiddle)


cdef inline void any_transform(const Axis* axis, const V* x, Py_ssize_t x_step, Py_ssize_t x_im, V* y, Py_ssize_t y_step,
                               Py_ssize_t y_im, V* one, V* other) noexcept nogil:
    """y <- the transform of x. `one` and `other` hold n complex numbers each and are overwritten; x may be `one`."""
    cdef const V* source = x
    cdef V* target
    cdef Py_ssize_t m = axis.n, s = 1, step, im
    cdef const char* twiddle = <const char*>axis.twiddle
    cdef int i, p
    if axis.passes == 0:
        y[0] = x[0]
        y[y_im] = x[x_im]
    for i in range(axis.passes):
        p = axis.radix[i]
        m //= p
        if i == axis.passes - 1:
            target, step, im = y, y_step, y_im
        else:
            target, step, im = other if source == one else one, 2, 1
        any_pass(p, m, s, source, x_step, x_im, target, step, im, twiddle)
        source, x_step, x_im = target, step, im
        s *= p
        if V is wide:
            twiddle += 2 * m * (p - 1) * sizeof(double)
        else:
            twiddle += 2 * m * (p - 1) * sizeof(real)


cdef inline void separate(Py_ssize_t n, const V* z, V* first, V* second, Py_ssize_t step, Py_ssize_t im) noexcept nogil:
    """Twice the transforms of two real sequences, bins 0 .. n / 2, from the transform z of first + i second."""
    cdef const V* a = z
    cdef const V* b = z
    cdef Py_ssize_t k
    for k in range(n // 2 + 1):
        first[0] = a[0] + b[0]
        first[im] = a[1] - b[1]
        second[0] = a[1] + b[1]
        second[im] = b[0] - a[0]
        first += step
        second += step
        a += 2
        b = z + 2 * (n - 1 - k)


cdef inline void combine(Py_ssize_t n, const vec* first, const vec* second, Py_ssize_t step, Py_ssize_t im,
                         vec* z) noexcept nogil:
    """z <- first + i second, whose bins 0 .. n / 2 are given, with real and imaginary parts swapped; second NULL: zeros."""
    cdef Py_ssize_t k
    cdef vec* a
    cdef vec* b
    if second == NULL:
        z[0] = vec_zero()
        z[1] = first[0]
        for k in range(1, n // 2 + 1):
            first += step
            a = z + 2 * k
            b = z + 2 * (n - k)
            b[0] = -first[im]
            b[1] = first[0]
            a[0] = first[im]
            a[1] = first[0]
        return
    z[0] = second[0]
    z[1] = first[0]
    for k in range(1, n // 2 + 1):
        first += step
        second += step
        a = z + 2 * k
        b = z + 2 * (n - k)
        b[0] = second[0] - first[im]
        b[1] = first[0] + second[im]
        a[0] = first[im] + second[0]
        a[1] = first[0] - second[im]
