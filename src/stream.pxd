"""The arrays of one call of an operation without weights, and the region that computes it.

A kernel module of such an operation offers

    geometry(dict fields) -> bytes                  the struct of its family (micro/fields.pxd), every field given
    workspace_bytes(bytes geometry) -> int          what each thread needs
    run(bytes geometry, tuple inputs, tuple outputs, int threads) -> bool

All arrays are contiguous, of the types that the module's contract tells; None stands for an array that is not given.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcpy, memset

from arrays cimport allocate, hold, release
from region cimport AnyTask, run_shares

cdef enum:
    MOST_STREAMS = 4

cdef struct Streams:
    const void* input[MOST_STREAMS]         # NULL: not given
    void* output[MOST_STREAMS]
    Py_buffer view[2 * MOST_STREAMS]


cdef inline bint run_streams(AnyTask one, const void* geometry, Py_ssize_t tasks, tuple inputs, tuple outputs,
                             Py_ssize_t workspace_bytes, int threads) except? True:
    """Hold the arrays, get the workspace, compute all tasks; whether any was odd. At most MOST_STREAMS of each."""
    cdef Streams s
    cdef char* workspace = allocate(workspace_bytes * threads)
    cdef bint odd = False
    cdef int i, failed = 0
    memset(&s, 0, sizeof(s))
    for i in range(len(inputs)):
        failed = failed or hold(inputs[i], PyBUF_SIMPLE, &s.view[i], &s.input[i])
    for i in range(len(outputs)):
        failed = failed or hold(outputs[i], PyBUF_WRITABLE, &s.view[MOST_STREAMS + i], <const void**>&s.output[i])
    if not failed:
        with nogil:
            odd = run_shares(one, geometry, &s, tasks, workspace, workspace_bytes, threads)
    release(s.view, 2 * MOST_STREAMS, workspace)
    return True if failed else odd


cdef inline int geometry_unpack(bytes packed, void* geometry, Py_ssize_t size) except -1:
    if PyBytes_GET_SIZE(packed) != size:
        raise ValueError("the geometry is that of another build")
    memcpy(geometry, PyBytes_AS_STRING(packed), size)
    return 0
