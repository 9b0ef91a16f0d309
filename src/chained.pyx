"""Chain: two kernels one after the other, strip by strip: what the first makes goes from cache into the second.

Loops, outermost first, and what each block is sized for:
    task        in parallel: image x strip of output rows
    first       the task of that number, into the workspace: its numbers stay in L2 ...
    second      the task of that number, out of it      ... and are read there

Needs    kernels of one build, as `task` of their modules tells; geometries whose blocks are the same whole rows of pixels and
         all channels; what the first writes is what the second reads, with the strides of one strip; the rest as they do.
Leaves   y written in full.
Rounds   as the two kernels.
Costs    those of the two kernels; the numbers between them take no way to memory.
"""
from cpython.pycapsule cimport PyCapsule_GetPointer

from arrays cimport Arrays, arrays_open, arrays_release, geometry_of
from micro.geometry cimport Geometry, ceil_div
from micro.simd cimport real
from region cimport TASK, Task, run_shares

cdef struct Chain:
    Geometry first, second
    Arrays into, out_of
    Task one, other
    Py_ssize_t strips, strip_bytes


cdef bint link(const void* chain, const void* _arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task; returns whether a sum of the first kernel was NaN or infinite."""
    cdef const Chain* c = <const Chain*>chain
    cdef Arrays into = c.into, out_of = c.out_of
    cdef bint odd
    into.y = <real*>workspace - task % c.strips * c.first.pixel_block * c.first.y_q
    out_of.x = into.y
    odd = c.one(&c.first, &into, task, workspace + c.strip_bytes)
    c.other(&c.second, &out_of, task, workspace + c.strip_bytes)
    return odd


def run(bytes first, bytes second, one, other, Py_ssize_t strip_bytes, Py_ssize_t workspace, x, w, next_w, bias, residual, y,
        int threads, /):
    """Compute y with `workspace` bytes for each thread, of which `strip_bytes` are those of the strip; return whether a sum of
    the first kernel was NaN or infinite."""
    cdef Chain c
    cdef bint odd
    c.first = geometry_of(first)
    c.second = geometry_of(second)
    c.first.workspace = workspace
    c.second.workspace = 0
    c.one = <Task>PyCapsule_GetPointer(one, TASK)
    c.other = <Task>PyCapsule_GetPointer(other, TASK)
    c.strips = ceil_div(c.first.P, c.first.pixel_block // c.first.Q)
    c.strip_bytes = strip_bytes
    arrays_open(&c.into, &c.first, x, w, None, None, y, threads)
    try:
        arrays_open(&c.out_of, &c.second, x, next_w, bias, residual, y, threads)
        c.second.x_n = 0
        c.second.x_c = 1 if c.second.channels_last else c.first.y_k
        c.second.x_w = c.first.y_q
        c.second.x_h = c.second.x_w * c.second.W
        c.second.x_d = 0
        with nogil:
            odd = run_shares(link, &c, NULL, c.first.N * c.strips, c.into.workspace, c.first.workspace, threads)
        arrays_release(&c.out_of)
    finally:
        arrays_release(&c.into)
    return odd
