"""Numbers to positions of zeroed planes: max unpooling.

Loops, outermost first, and what each block is sized for:
    task        in parallel: planes; with channels last, blocks of CHANNELS channels of an image
    pixels      in order

Needs    inputs (x, positions), outputs (y,), all contiguous; x and y of type real, or of as many bytes; positions int64,
         0 .. places - 1.
Leaves   y written in full; the last of equal positions wins. A position that is out of range by now is left out: each is
         read once, so that an array that changes meanwhile harms nothing else.
Rounds   nothing.
Costs    y is written once, in order, and then where the positions say.
"""
from libc.stdint cimport int64_t
from libc.string cimport memset
from kernel cimport SCATTER, AnyTask, Divide, Division, Streams, Table, divided, offer
from micro.fields cimport Scatter
from micro.geometry cimport ceil_div
from micro.simd cimport bits

cdef enum:
    CHANNELS = 64


cdef bint block(const Scatter* g, const Streams* arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    """`pitch` numbers lie between the pixels of a plane; integers, so that no bit of a number changes."""
    cdef Py_ssize_t channels = 1, pitch = 1, c, i, plane = task, first = 0
    cdef const bits* x = <const bits*>arrays.input[0]
    cdef const int64_t* positions = <const int64_t*>arrays.input[1]
    cdef bits* y = <bits*>arrays.output[0]
    cdef int64_t at
    if g.channels_last:
        pitch = g.C
        plane = task // ceil_div(g.C, CHANNELS)
        first = task % ceil_div(g.C, CHANNELS) * CHANNELS
        channels = min(<Py_ssize_t>CHANNELS, g.C - first)
    x += plane * g.pixels * pitch + first
    positions += plane * g.pixels * pitch + first
    y += plane * g.places * pitch + first
    if channels == pitch:
        memset(y, 0, g.places * pitch * sizeof(bits))
    else:
        for i in range(g.places):
            memset(y + i * pitch, 0, channels * sizeof(bits))
    for i in range(g.pixels):
        for c in range(channels):
            at = positions[i * pitch + c]
            if 0 <= at < g.places:
                y[at * pitch + c] = x[i * pitch + c]
    return False


cdef Division divide(Scatter* g) noexcept nogil:
    return divided(<AnyTask>block, g.N * (ceil_div(g.C, CHANNELS) if g.channels_last else g.C))


cdef Table table
kernel = offer(&table, SCATTER, <Divide>divide)
