"""Phases of a transposed convolution: their kernels, taken from its weights, as panels of the convolutions that they are.

Loops, outermost first, and what each block is sized for:
    task        in parallel: group x up to `width` kernels of each phase x part of the input channels
    run         up to LANES kernels that stay side by side in the panels of every phase
    c           input channel               all taps of the run: one piece of the weights, read once
    tap         LANES taps                  turned in registers; each goes to the panel of its phase

Needs    w (G C, K, T, R, S); panels that are zeros where no kernel is; distinct buffers.
Leaves   panels (G, ceil(phases K / width), C, taps, width), or (..., taps, C, width) with `taps_first`, the kernels in the
         order of Plan.kernel_order, taps that a phase lacks as zeros.
Rounds   nothing.
Costs    about a number of the weights per cycle.
"""
from kernel cimport NUMBERS, AnyTask, Divide, Division, Measure, Streams, Table, divided, offer
from micro.geometry cimport ceil_div, padded
from micro.pack cimport rows_load
from micro.simd cimport LANES, prefetch, real, vec, vec_mask_store, vec_transpose, vec_zero

cdef struct Panels:
    Py_ssize_t G, C, K          # channels of one group, kernels of one group and phase
    Py_ssize_t kernel[3]
    Py_ssize_t taps[3]          # of a phase, along each axis: first + a, first + a + step, ... of phase a, in falling order
    Py_ssize_t phases[3]
    Py_ssize_t first[3]
    Py_ssize_t step[3]
    Py_ssize_t width, parts     # of a panel
    Py_ssize_t taps_first
    Py_ssize_t shares           # parts into which tasks cut the channels


cdef inline Py_ssize_t product(const Py_ssize_t* extents) noexcept nogil:
    return extents[0] * extents[1] * extents[2]


cdef inline Py_ssize_t position(const Panels* p, Py_ssize_t phase, Py_ssize_t k, Py_ssize_t* run) noexcept nogil:
    """Where kernel k of a phase stands among those of its group; at most `run` kernels from it on follow one another."""
    cdef Py_ssize_t step = p.width // p.parts, j = phase // p.parts * p.K + k, first = j // step * step
    cdef Py_ssize_t block = min(step, product(p.phases) // p.parts * p.K - first)
    run[0] = min(run[0], first + block - j)
    return first * p.parts + phase % p.parts * block + j - first


cdef Py_ssize_t find_places(const Panels* p, Py_ssize_t k, Py_ssize_t* place, Py_ssize_t* empty) noexcept nogil:
    """place[tap of the kernel] <- where it stands in the panels of a group for kernel k, -1: nowhere; how many zeros `empty`
    has got places of."""
    cdef Py_ssize_t taps = product(p.taps), zeros = 0, phase, u, axis, a, t, left, tap, at, run = 0
    cdef bint inside
    for tap in range(product(p.kernel)):
        place[tap] = -1
    for phase in range(product(p.phases)):
        at = position(p, phase, k, &run)
        at = at // p.width * p.width * taps * p.C + at % p.width
        for u in range(taps):
            tap = 0
            inside = True
            for axis in range(3):
                a = phase
                left = u
                if axis < 2:
                    a //= p.phases[2]
                    left //= p.taps[2]
                if axis < 1:
                    a //= p.phases[1]
                    left //= p.taps[1]
                t = p.first[axis] + a % p.phases[axis] + (p.taps[axis] - 1 - left % p.taps[axis]) * p.step[axis]
                inside &= t < p.kernel[axis]
                tap = tap * p.kernel[axis] + t
            if inside:
                place[tap] = at + u * p.width * (p.C if p.taps_first else 1)
            else:
                empty[zeros] = at + u * p.width * (p.C if p.taps_first else 1)
                zeros += 1
    return zeros


cdef bint pack_kernels(const Panels* p, const Streams* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task."""
    cdef Py_ssize_t blocks = ceil_div(p.K, p.width), taps = product(p.kernel), share = task % p.shares
    cdef Py_ssize_t k = task // p.shares % blocks * p.width, stop = min(p.K, k + p.width)
    cdef Py_ssize_t group = task // (p.shares * blocks), zeros, run, phase, c, t, i
    cdef Py_ssize_t* place = <Py_ssize_t*>workspace
    cdef Py_ssize_t panels = ceil_div(product(p.phases) * p.K, p.width)
    cdef real* packed = <real*>arrays.output[0] + group * panels * p.width * product(p.taps) * p.C
    cdef real* target
    cdef const real* w
    cdef vec block[LANES]
    cdef unsigned lanes
    while k < stop:
        run = min(<Py_ssize_t>LANES, stop - k)
        for phase in range(product(p.phases)):
            position(p, phase, k, &run)
        zeros = find_places(p, k, place, place + taps)
        lanes = (1u << run) - 1
        for c in range(p.C * share // p.shares, p.C * (share + 1) // p.shares):
            w = <const real*>arrays.input[0] + ((group * p.C + c) * p.K + k) * taps
            target = packed + c * p.width * (1 if p.taps_first else product(p.taps))
            for i in range(run):
                prefetch(w + (p.K + i) * taps)
            t = 0
            while t < taps:
                rows_load(w + t, taps, <int>run, taps - t, block)
                vec_transpose(block)
                for i in range(min(<Py_ssize_t>LANES, taps - t)):
                    if place[t + i] >= 0:
                        vec_mask_store(target + place[t + i], lanes, block[i])
                t += LANES
            for i in range(zeros):
                vec_mask_store(target + place[taps + i], lanes, vec_zero())
        k += run
    return False


cdef Py_ssize_t workspace(const Panels* p) noexcept nogil:
    return padded((product(p.kernel) + product(p.phases) * product(p.taps)) * sizeof(Py_ssize_t), 64)


cdef Division divide(Panels* p) noexcept nogil:
    return divided(<AnyTask>pack_kernels, p.G * ceil_div(p.K, p.width) * p.shares)


cdef Table table
kernel = offer(&table, NUMBERS, <Divide>divide, <Measure>workspace)
