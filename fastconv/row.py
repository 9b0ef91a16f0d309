"""What a row of the table is, and what its cost may know of the machine."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

LINE = 64       # bytes of a line of the caches
NUMBER_BYTES = {"f32": 4, "f64": 8}


class Machine(NamedTuple):
    """What a cost may know of the CPU and of one build of the kernels."""

    isa: str
    real: str
    lanes: int          # numbers in a vector
    MR: int             # register tile: MR rows ...
    NR: int             # ... of NR numbers
    L1: int             # bytes of data cache of one core
    L2: int
    L3: int
    cycle: float        # seconds in which two vector multiply-adds are done
    step: float = 1.0   # the CPU's own cycle, in such cycles: 1/2 where vectors are computed in halves
    moves: float = 1.0  # times as long as on a Zen 5 for transforms: vectors are added, shuffled and moved, not multiplied
    far: float = 1.0    # and for numbers that L3 holds

    @property
    def halves(self) -> bool:
        """Whether a line of the caches holds several vectors, as with AVX2."""
        return self.lanes * NUMBER_BYTES[self.real] < LINE


class Algorithm(NamedTuple):
    """One row: an algorithm that computes an operation."""

    name: str                                       # what `algorithm=`, tests, benchmarks and explain() call it
    summary: str
    kernel: str                                     # file in src/ for channels-first arrays
    kernel_last: str                                # the same for channels_last arrays
    refuses: Callable[[Any], str]                   # why it cannot run this problem; "" if it can
    cost: Callable[[Any, Machine], float]           # predicted seconds on one core
    error: float = 1.0                              # rounding growth against a plain sum
    strict: bool = False                            # zero padding is left out, not multiplied by the weights
    combines: bool = False                          # its kernels can combine sums (Problem.combined)
    scales: bool = False                            # or can at least scale them (Problem.scales)
    alpha: int = 0                                  # Winograd: products of a tile along each transformed axis
    halves: bool = False                            # Strassen: products of sums of halves
    fourier: bool = False                           # computed by transforms: fft_tiles.py sizes them
    blocks: Callable[[Any, Machine, int], dict[str, int]] | None = None     # sizes of blocks, where stream_plan.py asks

    @property
    def transforms(self) -> bool:
        """Whether sums are of transformed numbers: an infinity then reaches other outputs, too."""
        return self.alpha > 0 or self.fourier or self.halves


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def never_refuses(problem: Any) -> str:
    return ""
