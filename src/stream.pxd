"""The arrays of one call of an operation without weights, and the region that computes it.

A kernel module of such an operation offers

    geometry(dict fields) -> bytes                  the struct of its family, every field given
    workspace_bytes(bytes geometry) -> int          what each thread needs
    run(bytes geometry, tuple inputs, tuple outputs, int threads) -> bool

All arrays are contiguous, of the types that the module's contract tells; None stands for an array that is not given.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from arrays cimport posix_memalign
from region cimport AnyTask, run_shares

cdef enum:
    MOST_STREAMS = 4

cdef struct Streams:
    const void* input[MOST_STREAMS]         # NULL: not given
    void* output[MOST_STREAMS]
    int held
    Py_buffer view[2 * MOST_STREAMS]


cdef inline void* stream_hold(Streams* s, array, int flags) except? NULL:
    if array is None:
        return NULL
    PyObject_GetBuffer(array, &s.view[s.held], flags)
    s.held += 1
    return s.view[s.held - 1].buf


cdef inline bint run_streams(AnyTask one, const void* geometry, Py_ssize_t tasks, tuple inputs, tuple outputs,
                             Py_ssize_t workspace_bytes, int threads) except? True:
    """Hold the arrays, get the workspace, compute all tasks; whether any was odd. At most MOST_STREAMS of each."""
    cdef Streams s
    cdef char* workspace = NULL
    cdef bint odd
    cdef int i
    memset(&s, 0, sizeof(s))
    try:
        for i in range(len(inputs)):
            s.input[i] = stream_hold(&s, inputs[i], PyBUF_SIMPLE)
        for i in range(len(outputs)):
            s.output[i] = stream_hold(&s, outputs[i], PyBUF_WRITABLE)
        if workspace_bytes and posix_memalign(<void**>&workspace, 64, workspace_bytes * threads):
            raise MemoryError(f"no memory for a workspace of {workspace_bytes * threads} bytes")
        with nogil:
            odd = run_shares(one, geometry, &s, tasks, workspace, workspace_bytes, threads)
    finally:
        free(workspace)
        while s.held > 0:
            s.held -= 1
            PyBuffer_Release(&s.view[s.held])
    return odd


cdef inline bytes geometry_pack(const void* geometry, Py_ssize_t size):
    return PyBytes_FromStringAndSize(<const char*>geometry, size)


cdef inline int geometry_unpack(bytes packed, void* geometry, Py_ssize_t size) except -1:
    if PyBytes_GET_SIZE(packed) != size:
        raise ValueError(f"geometry has {len(packed)} bytes instead of {size}: modules of different builds")
    memcpy(geometry, PyBytes_AS_STRING(packed), size)
    return 0
