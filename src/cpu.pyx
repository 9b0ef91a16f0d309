"""What this CPU can run, and the structs that plans fill; built once, with baseline flags, so that asking is always safe.

Every struct needs all its fields: a KeyError names one that is missing.
"""
from cpython.bytes cimport PyBytes_FromStringAndSize

from micro.fields cimport Fold, Pool, Regions, Resample, Sample, Scatter
from micro.geometry cimport Geometry

cdef extern from *:
    """
    #if defined(__x86_64__)
    #define CAN(feature) (__builtin_cpu_supports(feature) != 0)
    static int can_v2(void) { __builtin_cpu_init(); return CAN("sse4.2") && CAN("popcnt"); }
    static int can_v3(void) { return can_v2() && CAN("avx2") && CAN("fma") && CAN("bmi") && CAN("bmi2"); }
    static int can_v4(void) {
        return can_v3() && CAN("avx512f") && CAN("avx512bw") && CAN("avx512cd") && CAN("avx512dq") && CAN("avx512vl");
    }
    static int can_neon(void) { return 0; }
    #else
    static int can_v2(void) { return 0; }
    static int can_v3(void) { return 0; }
    static int can_v4(void) { return 0; }
    static int can_neon(void) { return 1; }
    #endif
    """
    bint can_v2()
    bint can_v3()
    bint can_v4()
    bint can_neon()


def supported():
    """Names of the instruction sets that CPU and operating system can run, best first."""
    return [name for name, can in (("v4", can_v4()), ("v3", can_v3()), ("v2", can_v2()), ("neon", can_neon())) if can]


cdef inline bytes packed(const void* fields, Py_ssize_t size):
    return PyBytes_FromStringAndSize(<const char*>fields, size)


def geometry(dict fields, /):
    """Geometry of src/micro/geometry.pxd."""
    cdef Geometry g = fields
    return packed(&g, sizeof(g))


def pool(dict fields, /):
    """Pool of src/micro/fields.pxd, as those below."""
    cdef Pool g = fields
    return packed(&g, sizeof(g))


def scatter(dict fields, /):
    cdef Scatter g = fields
    return packed(&g, sizeof(g))


def fold(dict fields, /):
    cdef Fold g = fields
    return packed(&g, sizeof(g))


def sample(dict fields, /):
    cdef Sample g = fields
    return packed(&g, sizeof(g))


def regions(dict fields, /):
    cdef Regions g = fields
    return packed(&g, sizeof(g))


def resample(dict fields, /):
    """Resample, and behind it the bytes of `tables`."""
    tables = fields.pop("tables")
    cdef Resample g = fields
    return packed(&g, sizeof(g)) + tables
