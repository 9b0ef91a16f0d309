"""Which instruction set runs, and the compiled modules: <file>_<set>_<real>, loaded when first used."""
from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from . import cpu
from .call import Kernel

REALS = ("f32", "f64")
MOVING = ("gather", "rearrange")        # built as f32 alone: they move items of any size
HERE = Path(__file__).parent


@cache
def built() -> tuple[str, ...]:
    """Instruction sets that this installation holds, best first."""
    names = {path.name.removesuffix(suffix).rsplit("_", 2)[1] for suffix in EXTENSION_SUFFIXES
             for path in HERE.glob(f"direct_*_f32{suffix}")}
    return tuple(sorted(names, reverse=True))


@cache
def available() -> tuple[str, ...]:
    """Instruction sets that are built and that this CPU runs, best first."""
    return tuple(isa for isa in cpu.supported() if isa in built())


def choose() -> str:
    """The best instruction set, or the one that FASTCONV_ISA names."""
    wanted = os.environ.get("FASTCONV_ISA")
    if not available():
        raise ImportError(f"fastconv was built for {', '.join(built()) or 'nothing'}; this CPU runs "
                          f"{', '.join(cpu.supported()) or 'none of the known instruction sets'}")
    if wanted is None:
        return available()[0]
    if wanted not in available():
        reason = ("this CPU cannot run it" if wanted in built() else "it is not an instruction set that is built here")
        raise ValueError(f"FASTCONV_ISA={wanted!r}: {reason}; possible here: {', '.join(available())}")
    return wanted


@cache
def load(file: str, isa: str, real: str) -> Kernel:
    return Kernel(import_module(f"{__name__}.{file}_{isa}_{'f32' if file in MOVING else real}").kernel)


isa = choose()
