"""Which instruction set runs, and the compiled modules: <file>_<set>_<real>, loaded when first used."""
from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Protocol

import numpy as np

from . import cpu

REALS = ("f32", "f64")
MOVING = ("gather", "rearrange")        # built as f32 alone: they move items of any size
HERE = Path(__file__).parent


class Kernel(Protocol):
    """What the compiled module of a file in src/ offers. Those that take weights as they are have no pack and packed_size;
    those without blocks have no tile_size and workspace_bytes; those whose threads share no memory no shared_bytes. `more`
    are the further inputs of an operation that has some. `geometry` is what cpu.geometry makes."""

    def run(self, geometry: bytes, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, residual: np.ndarray | None,
            y: np.ndarray, threads: int, *more: np.ndarray | None) -> bool: ...
    def pack(self, geometry: bytes, w: np.ndarray, packed: np.ndarray, threads: int) -> None: ...
    def packed_size(self, geometry: bytes) -> int: ...
    def workspace_bytes(self, geometry: bytes) -> int: ...
    def shared_bytes(self, geometry: bytes) -> int: ...
    def tile_size(self) -> tuple[int, int, int]: ...


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
    return import_module(f"{__name__}.{file}_{isa}_{'f32' if file in MOVING else real}")


isa = choose()
