"""The bins of a box along one axis of an image: which pixels each reads, and with what weights. Never outside the image.

A box is (start, size of a bin) in pixels; NaN, infinite, inverted, huge and distant ones have bins without pixels. The time
that a bin takes is bounded by the axis's length or by the number of samples that the caller asks for.
"""
from libc.math cimport ceil, floor, isfinite
from libc.stdint cimport int64_t

from micro.geometry cimport padded
from micro.simd cimport LANES, real

cdef struct Bins:
    Py_ssize_t n, used, room            # pixels of the axis; numbers in `weight` and `at`
    Py_ssize_t* first                   # of each bin: its first pixel
    Py_ssize_t* count                   # how many, in a row or in `at`
    Py_ssize_t* where                   # where its numbers begin; zeros follow them up to a whole vector
    bint* outside                       # whether one of its samples lies outside the image
    real* weight
    int64_t* at                         # the pixel of each number, for lists


cdef inline void bin_open(Bins* b, Py_ssize_t i, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
    """Bin i with `count` numbers, all zero; without any if there is no room."""
    cdef Py_ssize_t k, size = padded(count, LANES)
    if size > b.room - b.used:
        count = size = 0
    b.first[i], b.count[i], b.where[i] = first, count, b.used
    for k in range(size):
        b.weight[b.used + k] = 0
    b.used += size


cdef inline void bin_pixels(Bins* b, Py_ssize_t i, double start, real size, Py_ssize_t last) noexcept nogil:
    """Bin i of a box of whole pixels: those from floor(i * size) to ceil((i + 1) * size), up to pixel `last` - 1."""
    cdef double low = floor(<real>i * size) + start, high = ceil(<real>(i + 1) * size) + start
    cdef Py_ssize_t k, begin
    b.outside[i] = False
    low, high = max(low, 0.0) if isfinite(low) else last, min(high, <double>last) if isfinite(high) else 0
    if not low < high:
        bin_open(b, i, 0, 0)
        return
    begin = <Py_ssize_t>low
    bin_open(b, i, begin, <Py_ssize_t>high - begin)
    for k in range(b.count[i]):
        b.weight[b.where[i] + k] = <real>(1.0 / b.count[i])


cdef inline bint sample_at(double at, Py_ssize_t n, Py_ssize_t* low, double* part) noexcept nogil:
    """The pixel at or before a sample, and how far the sample is on the way to the next one; whether it is inside."""
    if not (at >= -1 and at <= n):
        return False
    if at < 0:
        at = 0
    low[0] = <Py_ssize_t>at
    part[0] = at - low[0]
    if low[0] >= n - 1:
        low[0] = n - 1
        part[0] = 0
    return True


cdef inline Py_ssize_t samples_inside(double start, double step, double samples, Py_ssize_t n, Py_ssize_t most,
                                      double* first) noexcept nogil:
    """How many of the samples at start + (i + 0.5) * step to look at, from which i on; the others are outside."""
    cdef double low = 0, high = samples - 1, one, other
    if not (isfinite(start) and isfinite(step) and samples >= 1):
        return 0
    if step != 0:
        one, other = (-1 - start) / step - 0.5, (n - start) / step - 0.5
        if one > other:
            one, other = other, one
        low = max(low, floor(one) - 1)
        high = min(high, ceil(other) + 1)
    first[0] = low
    return 0 if not low <= high else <Py_ssize_t>min(high - low + 1, <double>most)


cdef inline void bin_samples(Bins* b, Py_ssize_t i, double start, double size, double samples, Py_ssize_t most,
                             bint listed) noexcept nogil:
    """Bin i of `samples` samples from `start` on over `size` pixels, two pixels each.

    Not `listed`: the mean of the samples as weights of pixels in a row. Listed: the pixels of each sample, one after the other.
    """
    cdef double step = size / samples, at = 0, part = 0
    cdef Py_ssize_t count = samples_inside(start, step, samples, b.n, most, &at), k, low = 0, lowest = b.n, highest = -1
    cdef Py_ssize_t inside = 0
    cdef real* weight
    for k in range(count):
        if sample_at(start + (at + k + 0.5) * step, b.n, &low, &part):
            lowest = min(lowest, low)
            highest = max(highest, min(low + 1, b.n - 1))
            inside += 1
    b.outside[i] = inside < samples
    if inside == 0:
        bin_open(b, i, 0, 0)
        return
    bin_open(b, i, lowest, 2 * inside if listed else highest - lowest + 1)
    if b.count[i] == 0:
        return
    weight = b.weight + b.where[i]
    inside = 0
    for k in range(count):
        if not sample_at(start + (at + k + 0.5) * step, b.n, &low, &part):
            continue
        if listed:
            weight[2 * inside], weight[2 * inside + 1] = <real>(1 - part), <real>part
            b.at[b.where[i] + 2 * inside] = low
            b.at[b.where[i] + 2 * inside + 1] = min(low + 1, b.n - 1)
            inside += 1
        else:
            weight[low - lowest] += <real>((1 - part) / samples)
            if part > 0:
                weight[low + 1 - lowest] += <real>(part / samples)
