"""Calls: kernels as Python sees them. Packs what plans tell them, holds arrays, allocates workspace, deals out the tasks.

Built once, with baseline flags: what runs on vectors is behind the tables of the kernels (src/kernel.pxd).

Needs    arrays of the types and shapes that plans check; sizes of blocks that `workspace_bytes` was asked with.
Leaves   nothing held, also after an error.
Rounds   nothing.
Costs    about a microsecond a call.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from kernel cimport (CONVOLUTION, FOLD, KERNEL, MASKING, MOST_STREAMS, NUMBERS, PEAK, POOL, REGIONS, RESAMPLE, SAMPLE,
                     SCATTER, AnyTask, Arrays, Division, Streams, Table, divided)
from micro.fields cimport Fold, Masking, Peak, Pool, Regions, Resample, Sample, Scatter
from micro.geometry cimport Geometry, ceil_div, padded
from micro.simd cimport real
from region cimport run_tasks

cdef extern from "stdlib.h" nogil:
    int posix_memalign(void** p, size_t alignment, size_t size)

cdef enum:
    MOST_ARRAYS = 7

cdef struct Held:                   # the arrays of a convolution, and what holds them
    Arrays arrays
    char* workspace                 # of the threads, one after the other
    Py_buffer view[MOST_ARRAYS]


cdef dict zeros(Py_ssize_t family):
    """The struct of a family with all fields 0, or 0.0."""
    cdef Geometry convolution
    cdef Pool pool
    cdef Scatter scatter
    cdef Fold fold
    cdef Sample sample
    cdef Regions regions
    cdef Resample resample
    cdef Masking masking
    cdef Peak peak
    if family == CONVOLUTION:
        memset(&convolution, 0, sizeof(convolution))
        return convolution
    if family == POOL:
        memset(&pool, 0, sizeof(pool))
        return pool
    if family == SCATTER:
        memset(&scatter, 0, sizeof(scatter))
        return scatter
    if family == FOLD:
        memset(&fold, 0, sizeof(fold))
        return fold
    if family == SAMPLE:
        memset(&sample, 0, sizeof(sample))
        return sample
    if family == REGIONS:
        memset(&regions, 0, sizeof(regions))
        return regions
    if family == RESAMPLE:
        memset(&resample, 0, sizeof(resample))
        return resample
    if family == MASKING:
        memset(&masking, 0, sizeof(masking))
        return masking
    if family == PEAK:
        memset(&peak, 0, sizeof(peak))
        return peak
    return {}


cdef list FIELDS = [zeros(family) for family in range(NUMBERS + 1)]


cdef bytes packed_fields(dict zero, dict fields):
    """The struct whose fields are those of `zero`, all of 8 bytes, and behind it the bytes `numbers` if there are any."""
    cdef bytes packed = PyBytes_FromStringAndSize(NULL, 8 * len(zero))
    cdef char* at = PyBytes_AS_STRING(packed)
    for name, kind in zero.items():
        if type(kind) is float:
            (<double*>at)[0] = fields[name]
        else:
            (<int64_t*>at)[0] = fields[name]
        at += 8
    return packed + fields.get("numbers", b"")


cdef inline int hold(object array, int flags, Py_buffer* view, const void** data) except -1:
    """Hold the buffer of an array; of None there is none, and `data` stays as it is."""
    if array is not None:
        PyObject_GetBuffer(array, view, flags)
        data[0] = view.buf
    return 0


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


cdef inline Geometry geometry_of(bytes packed) except *:
    cdef Geometry g
    if PyBytes_GET_SIZE(packed) < <Py_ssize_t>sizeof(Geometry):
        raise ValueError("the geometry is that of another family")
    memcpy(&g, PyBytes_AS_STRING(packed), sizeof(Geometry))
    return g


cdef inline int open(Held* h, Geometry* g, Py_ssize_t real_bytes, bytes packed, x, w, bias, residual, y, int threads,
                     more=None, last=None) except -1:
    """Get the workspace, hold the buffers, take the input's strides. What was opened is in `h`, also after an error."""
    cdef Arrays* a = &h.arrays
    cdef Py_ssize_t* stride
    cdef int axes, first
    a.constants = <const double*>(PyBytes_AS_STRING(packed) + sizeof(Geometry))
    a.shared = allocate(g.shared + g.workspace * threads)
    h.workspace = a.shared + g.shared
    hold(x, PyBUF_STRIDES, &h.view[0], <const void**>&a.x)
    hold(w, PyBUF_STRIDES, &h.view[1], <const void**>&a.w)
    hold(bias, PyBUF_STRIDES, &h.view[2], <const void**>&a.bias)
    hold(residual, PyBUF_STRIDES, &h.view[3], <const void**>&a.residual)
    hold(y, PyBUF_STRIDES | PyBUF_WRITABLE, &h.view[4], <const void**>&a.y)
    hold(more, PyBUF_STRIDES, &h.view[5], <const void**>&a.more[0])
    hold(last, PyBUF_STRIDES, &h.view[6], <const void**>&a.more[1])
    stride = h.view[0].strides
    axes = h.view[0].ndim - (1 if g.channels_last else 0)
    first = 0 if g.channels_last else 2         # channels last, images may be rows or slices of one: Problem.as_volume
    g.x_n = stride[0] // real_bytes
    g.x_c = stride[axes if g.channels_last else 1] // real_bytes
    g.x_w = stride[axes - 1] // real_bytes
    g.x_h = stride[axes - 2] // real_bytes if axes - 2 >= first else 0
    g.x_d = stride[axes - 3] // real_bytes if axes - 3 >= first else 0
    return 0


cdef inline void close(Held* h) noexcept:
    release(h.view, MOST_ARRAYS, h.arrays.shared)


cdef class Kernel:
    """One kernel file, as one build compiled it. `geometry` is always what the method of this name made."""

    cdef const Table* table

    def __cinit__(self, capsule, /):
        self.table = <const Table*>PyCapsule_GetPointer(capsule, KERNEL)

    @property
    def packs(self):
        """Whether it reads weights in an order of its own."""
        return self.table.packing != NULL

    def geometry(self, dict fields, /):
        """The struct of the kernel's family, with its fields by name: a KeyError names one that is missing."""
        return packed_fields(FIELDS[self.table.family], fields)

    def tile_size(self):
        """(LANES, MR, NR) of this build: what a plan sizes its blocks by."""
        return self.table.lanes, self.table.mr, self.table.nr

    def workspace_bytes(self, bytes geometry, /):
        """Bytes that one thread needs."""
        return self.table.workspace(PyBytes_AS_STRING(geometry)) if self.table.workspace != NULL else 0

    def shared_bytes(self, bytes geometry, /):
        """Bytes that all threads need together."""
        return self.table.shared(PyBytes_AS_STRING(geometry)) if self.table.shared != NULL else 0

    def packed_size(self, bytes geometry, /):
        """Numbers that packed weights take."""
        return self.table.packed(PyBytes_AS_STRING(geometry))

    def pack(self, bytes geometry, w, packed, int threads, /):
        """packed <- w (G K, C, T, R, S), in the order that the kernel reads."""
        cdef Geometry g = geometry_of(geometry)
        cdef Division d = self.table.packing(&g)
        g.shared = 0
        g.workspace = padded(d.workspace, 64)
        if d.tasks < threads:
            threads = max(1, <int>d.tasks)
        self.compute(&g, &d, geometry, w, w, None, None, packed, threads, None, None)

    def run(self, bytes geometry, x, w, bias, residual, y, int threads, more=None, last=None, /):
        """Compute y, a convolution; whether a sum was NaN or infinite."""
        cdef Geometry g = geometry_of(geometry)
        cdef Division d = self.table.divide(&g)
        return self.compute(&g, &d, geometry, x, w, bias, residual, y, threads, more, last)

    cdef bint compute(self, Geometry* g, const Division* d, bytes geometry, x, w, bias, residual, y, int threads, more,
                      last) except? True:
        cdef bint odd
        cdef Held h
        memset(&h, 0, sizeof(h))
        try:
            open(&h, g, self.table.real_bytes, geometry, x, w, bias, residual, y, threads, more, last)
            with nogil:
                odd = run_tasks(d, g, &h.arrays, h.workspace, g.workspace, threads)
        finally:
            close(&h)
        return odd

    def stream(self, bytes geometry, tuple inputs, tuple outputs, int threads, /):
        """Compute the outputs, of any family but a convolution's; what the kernel reports. None: not given."""
        cdef void* g = PyBytes_AS_STRING(geometry)
        cdef Division d = self.table.divide(g)
        cdef Py_ssize_t workspace_bytes = self.table.workspace(g) if self.table.workspace != NULL else 0
        cdef Streams s
        cdef Py_buffer view[2 * MOST_STREAMS]
        cdef char* workspace = NULL
        cdef Py_ssize_t i
        cdef bint odd
        memset(&s, 0, sizeof(s))
        memset(view, 0, sizeof(view))
        try:
            workspace = allocate(workspace_bytes * threads)
            for i in range(len(inputs)):
                hold(inputs[i], PyBUF_SIMPLE, &view[i], &s.input[i])
            for i in range(len(outputs)):
                hold(outputs[i], PyBUF_WRITABLE, &view[MOST_STREAMS + i], <const void**>&s.output[i])
            with nogil:
                odd = run_tasks(&d, g, &s, workspace, workspace_bytes, threads)
        finally:
            release(view, 2 * MOST_STREAMS, workspace)
        return odd


cdef struct Chain:
    Geometry first, second
    Held into, out_of
    AnyTask one, other
    Py_ssize_t strips, blocks       # of an image: strips of rows, of blocks of channels
    Py_ssize_t strip_bytes
    Py_ssize_t strip_step, block_step       # bytes of y that one strip, or block, goes on


cdef bint link(const void* chain, const void* _arrays, Py_ssize_t task, char* workspace) noexcept nogil:
    """The strip of that number by the first kernel into the workspace, and out of it by the second."""
    cdef const Chain* c = <const Chain*>chain
    cdef Py_ssize_t strip = task % c.strips, block = task // c.strips % c.blocks
    if c.first.channels_last:
        block, strip = task % c.blocks, task // c.blocks % c.strips
    cdef Arrays into = c.into.arrays, out_of = c.out_of.arrays
    cdef bint odd
    into.y = <real*>(workspace - strip * c.strip_step - block * c.block_step)
    out_of.x = into.y
    odd = c.one(&c.first, &into, task, workspace + c.strip_bytes)
    return odd | c.other(&c.second, &out_of, task, workspace + c.strip_bytes)


def run_chain(Kernel one, Kernel other, bytes first, bytes second, Py_ssize_t strip_bytes, Py_ssize_t workspace, x, w, next_w,
              bias, residual, y, int threads, /):
    """Two kernels of one build, strip by strip: what the first makes goes from cache into the second.

    The blocks of both are as many whole rows of pixels, for each of which the second reads that row alone, and all channels,
    or as many if the second reads each for itself: then strips are counted first, with channels last those of channels;
    what the first writes is what the second reads, with the strides of one strip. Each thread gets `workspace` bytes, of
    which `strip_bytes` are those of the strip. Returns whether a sum was NaN or infinite.
    """
    cdef Chain c
    cdef Division d
    cdef bint odd
    cdef Py_ssize_t real_bytes = one.table.real_bytes
    memset(&c, 0, sizeof(c))
    c.first = geometry_of(first)
    c.second = geometry_of(second)
    c.first.workspace = workspace
    c.second.workspace = 0
    c.blocks = ceil_div(c.first.G * c.first.K, c.first.channel_block)
    c.block_step = c.first.channel_block * c.first.y_k * real_bytes
    c.one = one.table.divide(&c.first).one
    c.other = other.table.divide(&c.second).one
    c.strips = ceil_div(c.first.P, c.first.pixel_block // c.first.Q)
    c.strip_bytes = strip_bytes
    c.strip_step = c.first.pixel_block * c.first.y_q * real_bytes
    d = divided(link, c.first.N * c.blocks * c.strips)
    try:
        open(&c.into, &c.first, real_bytes, first, x, w, None, None, y, threads)
        open(&c.out_of, &c.second, real_bytes, second, x, next_w, bias, residual, y, threads)
        c.second.x_n = 0
        c.second.x_c = 1 if c.second.channels_last else c.first.y_k
        c.second.x_w = c.first.y_q
        c.second.x_h = c.second.x_w * c.second.W
        c.second.x_d = 0
        with nogil:
            odd = run_tasks(&d, &c, NULL, c.into.workspace, workspace, threads)
    finally:
        close(&c.out_of)
        close(&c.into)
    return odd
