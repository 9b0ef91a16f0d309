"""What this CPU can run; built once, with baseline flags, so that asking is always safe."""
cdef extern from *:
    """
    #if defined(__x86_64__)
    #include <cpuid.h>
    #include <string.h>
    static int made_by(const char *maker) {
        unsigned a, name[3];
        return __get_cpuid(0, &a, &name[0], &name[2], &name[1]) && memcmp(name, maker, 12) == 0;
    }
    /* AMD's family 25 (Zen 3 and 4) has 256-bit units: one instruction on 512 bits takes two steps. */
    static int widest_step(void) {
        unsigned a, b, c, d;
        if (!made_by("AuthenticAMD") || !__get_cpuid(1, &a, &b, &c, &d)) return 64;
        return ((a >> 8) & 15) + ((a >> 20) & 255) == 25 ? 32 : 64;
    }
    static int two_ports(void) { return made_by("GenuineIntel"); }
    #define CAN(feature) (__builtin_cpu_supports(feature) != 0)
    static int can_v2(void) { __builtin_cpu_init(); return CAN("sse4.2") && CAN("popcnt"); }
    static int can_v3(void) { return can_v2() && CAN("avx2") && CAN("fma") && CAN("bmi") && CAN("bmi2"); }
    static int can_v4(void) {
        return can_v3() && CAN("avx512f") && CAN("avx512bw") && CAN("avx512cd") && CAN("avx512dq") && CAN("avx512vl");
    }
    static int can_neon(void) { return 0; }
    #else
    static int widest_step(void) { return 64; }
    static int two_ports(void) { return 0; }
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
    int widest_step()
    bint two_ports()
    bint can_v2()
    bint can_v3()
    bint can_v4()
    bint can_neon()


def supported():
    """Names of the instruction sets that CPU and operating system can run, best first."""
    return [name for name, can in (("v4", can_v4()), ("v3", can_v3()), ("v2", can_v2()), ("neon", can_neon())) if can]


def step_bytes():
    """Bytes of a vector that the CPU computes at once; longer ones take several steps."""
    return widest_step()


def shares_ports():
    """Whether the two ports that multiply and add 512 bits do all other work on such vectors, too, as Intel's do."""
    return two_ports()


def compiler():
    """Name and version of the C compiler that built this module."""
    return COMPILER.decode()
