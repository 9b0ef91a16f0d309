"""The arrays of one call: buffers held from before the parallel region until after it, and the workspace."""
from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdlib cimport free
from libc.string cimport memcpy, memset
from micro.geometry cimport Geometry
from micro.simd cimport REAL_BYTES, real

cdef extern from "stdlib.h" nogil:
    int posix_memalign(void** p, size_t alignment, size_t size)

cdef extern from "Python.h":
    int PyObject_GetBuffer(object array, Py_buffer* view, int flags) noexcept       # not 0: failed, the exception is set

cdef enum:
    MOST_ARRAYS = 7

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
    Py_buffer view[MOST_ARRAYS]


cdef inline bint hold(object array, int flags, Py_buffer* view, const void** data) noexcept:
    """Hold the buffer of an array; of None there is none. True if that fails, with the exception set."""
    data[0] = NULL
    if array is None:
        return False
    if PyObject_GetBuffer(array, view, flags):
        return True
    data[0] = view.buf
    return False


cdef inline void release(Py_buffer* view, int views, void* workspace) noexcept:
    """What `hold` held, in views that were zeros before."""
    cdef int i
    free(workspace)
    for i in range(views):
        PyBuffer_Release(&view[i])


cdef inline char* allocate(Py_ssize_t size) except? NULL:
    cdef void* workspace = NULL
    if size and posix_memalign(&workspace, 64, size):
        raise MemoryError("no memory for the workspace of a call")
    return <char*>workspace


cdef inline void arrays_release(Arrays* a) noexcept:
    release(a.view, MOST_ARRAYS, a.shared)


cdef inline int arrays_open(Arrays* a, Geometry* g, x, w, bias, residual, y, int threads, more=None, last=None) except -1:
    """Get the workspace, hold the buffers, take the input's strides. The caller checked types and shapes.

    On failure nothing stays held.
    """
    cdef Py_ssize_t* stride
    cdef int axes
    memset(a.view, 0, sizeof(a.view))
    a.shared = allocate(g.shared + g.workspace * threads)
    a.workspace = a.shared + g.shared
    if (hold(x, PyBUF_STRIDES, &a.view[0], <const void**>&a.x) or hold(w, PyBUF_STRIDES, &a.view[1], <const void**>&a.w)
            or hold(bias, PyBUF_STRIDES, &a.view[2], <const void**>&a.bias)
            or hold(residual, PyBUF_STRIDES, &a.view[3], <const void**>&a.residual)
            or hold(y, PyBUF_STRIDES | PyBUF_WRITABLE, &a.view[4], <const void**>&a.y)
            or hold(more, PyBUF_STRIDES, &a.view[5], <const void**>&a.more[0])
            or hold(last, PyBUF_STRIDES, &a.view[6], <const void**>&a.more[1])):
        arrays_release(a)
        return -1
    axes = a.view[0].ndim
    stride = a.view[0].strides
    g.x_n = stride[0] // REAL_BYTES
    g.x_c = stride[axes - 1 if g.channels_last else 1] // REAL_BYTES
    stride += 0 if g.channels_last else 1
    g.x_w = stride[axes - 2] // REAL_BYTES
    g.x_h = stride[axes - 3] // REAL_BYTES if axes > 3 else 0
    g.x_d = stride[axes - 4] // REAL_BYTES if axes > 4 else 0
    return 0


cdef inline const double* constants_of(bytes packed) noexcept:
    return <const double*>(PyBytes_AS_STRING(packed) + sizeof(Geometry))


cdef inline Geometry geometry_of(bytes packed) except *:
    cdef Geometry g
    if PyBytes_GET_SIZE(packed) < <Py_ssize_t>sizeof(Geometry):
        raise ValueError("the geometry is that of another build")
    memcpy(&g, PyBytes_AS_STRING(packed), sizeof(Geometry))
    return g
