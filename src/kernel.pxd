"""What every kernel file offers: a table of plain functions, without any Python. src/call.pyx calls them.

A kernel file ends with `kernel = offer(&table, family, ...)`, which is all that it shows to Python. Its functions

    divide(g)       how a call is divided into tasks; may change g, which is a copy
    workspace(g)    bytes that each thread needs; NULL: none
    shared(g)       bytes that all threads need together; NULL: none
    packed(g)       numbers that packed weights take; NULL: weights are read as they are
    packing(g)      how packing is divided: tasks whose `w` is the weights and whose `y` the packed ones

get the struct of the kernel's family. They do not check: whoever plans a call did.
"""
from micro.geometry cimport Geometry
from micro.simd cimport LANES, MR, NR, REAL_BYTES, real

cdef enum:
    MOST_STREAMS = 4

cdef enum:                          # families, by the struct that a plan fills: Geometry, those of micro/fields.pxd
    CONVOLUTION, POOL, SCATTER, FOLD, SAMPLE, REGIONS, RESAMPLE, MASKING, PEAK
    NUMBERS                         # or 64-bit numbers that Python wrote one after the other

cdef struct Arrays:                 # of a convolution
    const real* x
    const real* w
    const real* bias                # NULL: none
    const real* residual            # NULL: none
    real* y
    const double* constants         # what follows the Geometry in the bytes of a plan
    const real* more[2]             # what only some kernels read; NULL: none
    char* shared                    # Geometry.shared bytes

cdef struct Streams:                # of any other family, contiguous, of the types that the kernel's contract tells
    const void* input[MOST_STREAMS]         # NULL: not given
    void* output[MOST_STREAMS]

# Computes task number `task` of what `geometry` and `arrays` describe with a workspace of its thread alone; returns
# whether something odd was met: in a convolution a sum that was NaN or infinite.
ctypedef bint (*AnyTask)(const void* geometry, const void* arrays, Py_ssize_t task, char* workspace) noexcept nogil
ctypedef bint (*Task)(const Geometry* g, const Arrays* a, Py_ssize_t task, char* workspace) noexcept nogil

cdef struct Division:               # `total` tasks in rounds of `tasks`; before each round `firsts` tasks fill Arrays.shared
    AnyTask one, first
    Py_ssize_t tasks, firsts, total
    Py_ssize_t workspace            # of packing: bytes that each thread needs

ctypedef Division (*Divide)(void* geometry) noexcept nogil
ctypedef Py_ssize_t (*Measure)(const void* geometry) noexcept nogil

cdef struct Table:
    Py_ssize_t family, real_bytes, lanes, mr, nr
    Divide divide, packing
    Measure workspace, shared, packed

cdef extern from "Python.h":
    """
    #define KERNEL "fastconv.kernels.Table"
    """
    const char* KERNEL
    object PyCapsule_New(void* pointer, const char* name, void* destructor)


cdef inline Division divided(AnyTask one, Py_ssize_t tasks, Py_ssize_t workspace=0) noexcept nogil:
    """All tasks in one round."""
    cdef Division d
    d.one, d.first = one, NULL
    d.tasks, d.firsts, d.total, d.workspace = tasks, 0, tasks, workspace
    return d


cdef inline Division divided_in_rounds(AnyTask first, Py_ssize_t firsts, AnyTask one, Py_ssize_t tasks,
                                       Py_ssize_t total) noexcept nogil:
    cdef Division d = divided(one, tasks)
    d.first, d.firsts, d.total = first, firsts, total
    return d


cdef inline object offer(Table* t, Py_ssize_t family, Divide divide, Measure workspace=NULL, Measure packed=NULL,
                         Divide packing=NULL, Measure shared=NULL):
    t.family, t.real_bytes, t.lanes, t.mr, t.nr = family, REAL_BYTES, LANES, MR, NR
    t.divide, t.workspace, t.shared, t.packed, t.packing = divide, workspace, shared, packed, packing
    return PyCapsule_New(t, KERNEL, NULL)
