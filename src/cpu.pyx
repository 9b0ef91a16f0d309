"""What this CPU can run; built once, with baseline flags, so that asking is always safe."""
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

    #ifdef __clang__
    #define COMPILER __VERSION__
    #else
    #define COMPILER "gcc " __VERSION__
    #endif
    """
    const char* COMPILER
    bint can_v2()
    bint can_v3()
    bint can_v4()
    bint can_neon()


def supported():
    """Names of the instruction sets that CPU and operating system can run, best first."""
    return [name for name, can in (("v4", can_v4()), ("v3", can_v3()), ("v2", can_v2()), ("neon", can_neon())) if can]


def compiler():
    """Name and version of the C compiler that built this module."""
    return COMPILER.decode()
