"""Weights as kernels with pixels on the lanes read them: panels of MR output channels."""
from kernel cimport AnyTask, Arrays, Division, divided
from micro.geometry cimport Geometry, ceil_div, padded
from micro.pack cimport pack_rows
from micro.simd cimport MR


cdef inline bint pack_panel(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil:
    """One task: MR output channels of one group."""
    cdef Py_ssize_t length = g.C * g.T * g.R * g.S, panels = ceil_div(g.K, MR), group = task // panels, k = task % panels * MR
    pack_rows(a.w + (group * g.K + k) * length, length, <int>min(<Py_ssize_t>MR, g.K - k), length, a.y + task * length * MR)
    return False


cdef inline Py_ssize_t packed(const Geometry* g) noexcept nogil:
    return g.G * padded(g.K, MR) * g.C * g.T * g.R * g.S


cdef inline Division packing(Geometry* g) noexcept nogil:
    """packed (G, ceil(K / MR), C T R S, MR) <- w (G K, C, T, R, S)."""
    return divided(<AnyTask>pack_panel, g.G * ceil_div(g.K, MR))
