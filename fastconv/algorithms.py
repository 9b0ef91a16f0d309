"""THE TABLE: operation -> rows, in order of preference. The last row of an operation never refuses.

A row's cost is predicted seconds on one core of the machine; the lowest wins and ties go to the upper row. It looks at
shape, number type and instruction set, never at batch or threads, so that neither changes a result. Constants named
below are cycles, measured on one core of an AMD Zen 5 (AVX-512) with the weights packed.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .problem import Problem


class Machine(NamedTuple):
    """What a cost may know of the CPU and of one build of the kernels."""

    isa: str
    real: str
    lanes: int          # numbers in a vector
    MR: int             # register tile: MR rows ...
    NR: int             # ... of NR numbers
    L1: int             # bytes of data cache of one core
    L2: int
    cycle: float        # seconds; two vector multiply-adds each


class Algorithm(NamedTuple):
    """One row: an algorithm that computes an operation."""

    name: str                                       # what `algorithm=`, tests, benchmarks and explain() call it
    summary: str
    kernel: str                                     # file in src/ for channels-first arrays
    kernel_last: str                                # file in src/ for channels_last arrays
    refuses: Callable[[Problem], str]               # why it cannot run this problem; "" if it can
    cost: Callable[[Problem, Machine], float]       # predicted seconds on one core
    error: float = 1.0                              # rounding growth against a plain sum
    strict: bool = False                            # zero padding is left out, not multiplied by the weights


TILE_START = 60         # sums of a tile into and out of registers, call and finish
GATHER_VECTOR = 3       # one vector of a panel
GATHER_TAP = 25         # where one tap of one vector of pixels lies
PACK_NUMBER = 0.4       # one weight, transposed into place
TURN_NUMBER = 0.3       # one number of a small image, transposed
WINDOW = 6              # one pointer of an indirect product
COPY_NUMBER = 0.15      # one number of a window that is copied
DIRECT_BORDER = 14      # one vector of pixels at a border or with a stride
LATENCY = 4             # of a multiply-add: a tile of fewer than 8 vectors waits for its own sums
LARGEST_TAPS = 1 << 15  # one channel's window as a panel, or as pointers, then stays below 4 MiB
LARGEST_TURNED = 1 << 18    # numbers of an image that is turned in cache
LARGEST_SMALL = 1024        # output pixels of an image that one task computes whole


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def tile_cycles(rows: int, vectors: int, machine: Machine) -> float:
    """Cycles per step of a sum for `rows` x `vectors` vectors, cut into tiles of MR x NV."""
    NV = machine.NR // machine.lanes
    cycles = 0.0
    for width, panels in ((NV, vectors // NV), (vectors % NV, 1)):
        if width and panels:
            tail = rows % machine.MR
            cycles += panels * (rows // machine.MR) * max(machine.MR * width / 2, LATENCY)
            cycles += panels * max(tail * width / 2, LATENCY) if tail else 0
    return cycles


def pixels_cost(problem: Problem, machine: Machine) -> float:
    """Pixels on the lanes: whole vectors of pixels are multiplied, panels are gathered."""
    K, vectors, length = problem.K // problem.G, ceil_div(problem.pixels, machine.lanes), problem.sum_length
    chunks = ceil_div(length * machine.NR * problem.itemsize, machine.L1)
    tiles = ceil_div(K, machine.MR) * ceil_div(vectors * machine.lanes, machine.NR) * chunks
    gathered = vectors * (length * GATHER_VECTOR + problem.taps * GATHER_TAP)
    cycles = length * tile_cycles(K, vectors, machine) + tiles * TILE_START + gathered
    return problem.G * (cycles + (0 if problem.packed else PACK_NUMBER * K * length)) * machine.cycle


def channels_cost(problem: Problem, machine: Machine) -> float:
    """Output channels on the lanes: whole vectors of channels are multiplied, windows are found."""
    C, K, length = problem.C // problem.G, problem.K // problem.G, problem.sum_length
    vectors = ceil_div(K, machine.lanes)
    chunks = ceil_div(length * machine.NR * problem.itemsize, machine.L1)
    tiles = ceil_div(problem.pixels, machine.MR) * ceil_div(K, machine.NR) * chunks
    windows = problem.pixels * (problem.taps * WINDOW + (length * COPY_NUMBER if C < machine.lanes else 0))
    turned = 0 if problem.channels_last else C * volume(problem) + K * problem.pixels
    cycles = length * tile_cycles(problem.pixels, vectors, machine) + tiles * TILE_START + windows + turned * TURN_NUMBER
    return problem.G * (cycles + (0 if problem.packed else 2 * PACK_NUMBER * K * length)) * machine.cycle


def volume(problem: Problem) -> int:
    """Input pixels of one image."""
    n = 1
    for extent in problem.size:
        n *= extent
    return n


def im2col_cost(problem: Problem, machine: Machine) -> float:
    return (channels_cost if problem.channels_last else pixels_cost)(problem, machine)


def pointwise_cost(problem: Problem, machine: Machine) -> float:
    """im2col without its gather."""
    saved = 0 if problem.channels_last else ceil_div(problem.pixels, machine.lanes) * problem.C * GATHER_VECTOR
    return im2col_cost(problem, machine) - saved * machine.cycle


def direct_cost(problem: Problem, machine: Machine) -> float:
    """Vectors of pixels of one output row, for MR, 4 or 1 output channels at a time."""
    K, Q = problem.K // problem.G, problem.output_size[-1]
    vectors = problem.pixels // Q * ceil_div(Q, machine.lanes)
    simple = problem.stride[-1] == 1 and not problem.channels_last
    border = 2 if simple else ceil_div(Q, machine.lanes)        # vectors of a row that need masks
    scattered = machine.lanes if problem.channels_last or problem.stride[-1] > 2 else 1
    step = 0.0
    for rows, count, cycles in ((machine.MR, K // machine.MR, machine.MR / 2 + 2), (4, K % machine.MR // 4, 3),
                                (1, K % machine.MR % 4, 1)):
        step += count * (cycles * vectors + (DIRECT_BORDER + scattered + rows) * border * (vectors * Q // problem.pixels + 1)
                         * problem.pixels // Q)
    return problem.G * problem.sum_length * step * machine.cycle


def depthwise_cost(problem: Problem, machine: Machine) -> float:
    if not problem.channels_last:
        return direct_cost(problem, machine)
    vectors = ceil_div(problem.K, machine.lanes)
    return problem.pixels * (problem.taps * (vectors + 4) + 10 * vectors) * machine.cycle


def im2col_refuses(problem: Problem) -> str:
    return f"a window of {problem.taps} taps does not fit the workspace" if problem.taps > LARGEST_TAPS else ""


def small_refuses(problem: Problem) -> str:
    if problem.channels_last:
        return "channels are on the lanes already (im2col)"
    if problem.pixels > LARGEST_SMALL or volume(problem) * problem.C // problem.G > LARGEST_TURNED:
        return "the image is too large to be turned in cache"
    return im2col_refuses(problem)


def pointwise_refuses(problem: Problem) -> str:
    if problem.taps > 1 or problem.padded or any(s > 1 for s in problem.stride):
        return "only for a kernel of one tap, stride 1, without padding"
    return ""


def depthwise_refuses(problem: Problem) -> str:
    if not problem.depthwise:
        return "only where every channel is a group of its own"
    if problem.channels_last and problem.K > problem.C:
        return "channels_last with several kernels for a channel"
    return ""


def never_refuses(problem: Problem) -> str:
    return ""


CONVOLUTION = (
    Algorithm("pointwise", "matrix product with 1x1 weights, the input read in place",
              "im2col_pixels", "im2col_channels", pointwise_refuses, pointwise_cost),
    Algorithm("depthwise", "every channel with its own kernel, no sum over channels",
              "depthwise_pixels", "depthwise_channels", depthwise_refuses, depthwise_cost),
    Algorithm("im2col", "panels of windows gathered in cache, times the weights",
              "im2col_pixels", "im2col_channels", im2col_refuses, im2col_cost),
    Algorithm("small", "im2col with output channels on the lanes, the image turned in cache",
              "im2col_channels", "im2col_channels", small_refuses, channels_cost),
    Algorithm("direct", "rows of the input read where they lie, any shape",
              "direct", "direct", never_refuses, direct_cost, strict=True),
)

TABLE: dict[str, tuple[Algorithm, ...]] = {"conv1d": CONVOLUTION, "conv2d": CONVOLUTION, "conv3d": CONVOLUTION}


def list_algorithms(operation: str) -> list[str]:
    """Names of the rows that can compute an operation, in order of preference.

    >>> list_algorithms("conv2d")[-1]
    'direct'

    Raises
    ------
    ValueError
        If the operation is unknown.
    """
    if operation not in TABLE:
        raise ValueError(f"operation={operation!r} is none of {', '.join(TABLE)}")
    return [row.name for row in TABLE[operation]]
