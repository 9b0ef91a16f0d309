"""The arrays of one call: buffers held from before the parallel region until after it, and the workspace."""
from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdlib cimport free
from libc.string cimport memcpy
from micro.geometry cimport Geometry
from micro.simd cimport REAL_BYTES, real

cdef extern from "stdlib.h" nogil:
    int posix_memalign(void** p, size_t alignment, size_t size)

cdef struct Arrays:
    const real* x
    const real* w
    const real* bias            # NULL: none
    const real* residual        # NULL: none
    real* y
    const double* constants     # what follows the Geometry in the bytes of a plan
    const real* more[2]         # what only some kernels read, in the order of their `run`; NULL: none
    char* shared                # Geometry.shared bytes
    char* workspace             # `threads` pieces of Geometry.workspace bytes
    int held
    Py_buffer view[7]


cdef inline void* arrays_hold(Arrays* a, object array, int flags) except? NULL:
    PyObject_GetBuffer(array, &a.view[a.held], flags)
    a.held += 1
    return a.view[a.held - 1].buf


cdef inline void arrays_release(Arrays* a) noexcept:
    free(a.shared)
    while a.held > 0:
        a.held -= 1
        PyBuffer_Release(&a.view[a.held])


cdef inline int arrays_open(Arrays* a, Geometry* g, x, w, bias, residual, y, int threads, tuple more=()) except -1:
    """Hold the buffers, take the input's strides, get the workspace. The caller checked types and shapes.

    On failure nothing stays held.
    """
    cdef Py_ssize_t* stride
    cdef Py_ssize_t size = g.shared + g.workspace * threads
    cdef int axes, i
    a.held = 0
    a.shared = NULL
    a.bias = NULL
    a.residual = NULL
    a.more[0] = NULL
    a.more[1] = NULL
    try:
        a.x = <const real*>arrays_hold(a, x, PyBUF_STRIDES)
        axes = a.view[0].ndim
        stride = a.view[0].strides
        g.x_n = stride[0] // REAL_BYTES
        g.x_c = stride[axes - 1 if g.channels_last else 1] // REAL_BYTES
        stride += 0 if g.channels_last else 1
        g.x_w = stride[axes - 2] // REAL_BYTES
        g.x_h = stride[axes - 3] // REAL_BYTES if axes > 3 else 0
        g.x_d = stride[axes - 4] // REAL_BYTES if axes > 4 else 0
        a.w = <const real*>arrays_hold(a, w, PyBUF_STRIDES)
        if bias is not None:
            a.bias = <const real*>arrays_hold(a, bias, PyBUF_STRIDES)
        if residual is not None:
            a.residual = <const real*>arrays_hold(a, residual, PyBUF_STRIDES)
        a.y = <real*>arrays_hold(a, y, PyBUF_STRIDES | PyBUF_WRITABLE)
        for i in range(len(more)):
            if more[i] is not None:
                a.more[i] = <const real*>arrays_hold(a, more[i], PyBUF_STRIDES)
        if size and posix_memalign(<void**>&a.shared, 64, size):
            raise MemoryError(f"no memory for a workspace of {size} bytes")
        a.workspace = a.shared + g.shared
    except BaseException:
        arrays_release(a)
        raise
    return 0


cdef inline const double* constants_of(bytes packed) noexcept:
    return <const double*>(PyBytes_AS_STRING(packed) + sizeof(Geometry))


cdef inline Geometry geometry_of(bytes packed) except *:
    cdef Geometry g
    if PyBytes_GET_SIZE(packed) < <Py_ssize_t>sizeof(Geometry):
        raise ValueError(f"geometry has {len(packed)} bytes instead of {sizeof(Geometry)}: modules of different builds")
    memcpy(&g, PyBytes_AS_STRING(packed), sizeof(Geometry))
    return g
