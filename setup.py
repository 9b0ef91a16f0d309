"""Builds every src/*.pyx once for each (instruction set x real); what is not code generation is in pyproject.toml.

One source becomes the modules fastconv.kernels.<file>_<set>_<real>, all importable side by side. Those of ONCE are built
once, with baseline flags: cpu tells which of the others this CPU can run, call runs them.
"""
import os
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

X86 = platform.machine().lower() in ("x86_64", "amd64")
INSTRUCTION_SETS = {
    "v2": ["-march=x86-64-v2", "-O2", "-fpeel-loops"],      # of CPUs that are rare by now: small rather than a tenth quicker
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
} if X86 else {"neon": []}
REALS = {"f32": "0", "f64": "1"}
FLAGS = ["-O3", "-fno-asynchronous-unwind-tables", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math",
         "-g0", "-Wall", "-Wno-unused-function", "-Wno-psabi", "-Wno-discarded-qualifiers"]
# The first line keeps a tile's sums in registers: GCC then unrolls the loops over them whole, and early. The second leaves
# addresses of stores where they are stored to, rather than on the stack. The others keep the wheel small and tiles
# functions of their own: what is worth inlining is told by `inline`.
GCC_FLAGS = ["-fgcse-las", "--param=max-completely-peeled-insns=500", "--param=max-completely-peel-times=32",
             "-fno-code-hoisting", "-fno-tree-pre",
             "-fno-unswitch-loops", "-fno-ipa-cp-clone", "-fno-inline-functions-called-once",
             "--param=max-inline-insns-single=70", "--param=max-inline-insns-auto=15"]
SMALL = ["-DCYTHON_PEP489_MULTI_PHASE_INIT=0", "-fno-plt"]      # a fifth of what a module weighs without its kernel
CLANG_FLAGS = ["-mllvm", "-unroll-threshold=4000"]     # for the same reason as the first line
DIRECTIVES = {"language_level": "3", "boundscheck": False, "wraparound": False, "cdivision": True,
              "initializedcheck": False, "binding": False}
SOURCES = Path("src")
ONCE = {"cpu", "call", "lattice"}
MOVING = {"gather", "rearrange"}        # items of 1 to 8 bytes that are never computed: built for f32 alone
Options.docstrings = False       # of private modules: they are read in src/


def variants():
    """(name of the module's suffix, flags): one for each set of modules that one cythonize call makes."""
    yield "", []
    for isa, machine in INSTRUCTION_SETS.items():
        for real, double in REALS.items():
            yield f"_{isa}_{real}", [*machine, f"-DFASTCONV_DOUBLE={double}"]


def extensions(suffix, flags):
    files = [p for p in sorted(SOURCES.glob("*.pyx")) if (p.stem in ONCE) == (suffix == "")
             and not (p.stem in MOVING and suffix.endswith("f64"))]
    modules = [Extension(f"fastconv.kernels.{path.stem}{suffix}", [str(path)], include_dirs=[str(SOURCES)],
                         depends=[str(p) for p in (*SOURCES.rglob("*.pxd"), SOURCES / "simd.h")]) for path in files]
    # Two modules from one source would overwrite each other's C file, hence a build_dir for each variant.
    modules = cythonize(modules, build_dir=f"build/cython{suffix}", include_path=[str(SOURCES)],
                        compiler_directives=DIRECTIVES)
    for module in modules:          # after cythonize, which would carry them over to the next variant
        module.extra_compile_args = FLAGS + (SMALL + flags if suffix else ["-fopenmp", "-Os"])
        module.extra_link_args = ["-s"] if suffix else ["-fopenmp", "-s"]       # kernels themselves know no threads
    return modules


class ParallelBuild(build_ext):
    def build_extensions(self):
        self.check_extensions_list(self.extensions)
        version = subprocess.run([self.compiler.compiler_so[0], "--version"], capture_output=True, text=True).stdout
        for extension in self.extensions:
            extension.extra_compile_args += CLANG_FLAGS if "clang" in version else GCC_FLAGS
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        with ThreadPoolExecutor(cpus) as pool:
            list(pool.map(self.build_extension, self.extensions))


setup(ext_modules=[module for variant in variants() for module in extensions(*variant)],
      cmdclass={"build_ext": ParallelBuild})
