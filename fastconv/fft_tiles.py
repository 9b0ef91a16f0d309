"""Convolution by Fourier transforms: into which tiles an image is cut, and what they cost.

A tile of m outputs takes a circular correlation of length n >= m + taps - 1 along each axis (overlap-save; A. V. Oppenheim
and R. W. Schafer, Discrete-Time Signal Processing). Constants are cycles, measured as those of costs.py.
"""
from __future__ import annotations

from functools import cache, lru_cache
from math import log2, sqrt
from typing import NamedTuple

from .problem import Problem
from .row import Machine, ceil_div

LONGEST = 4096              # transform of one axis ...
LARGEST_TILE = 128          # ... and of each of two: a tile of a vector of channels then takes no more than L2 holds
SHORTEST = 4
GROWTH = 100                # of rounding errors against a plain sum: longer transforms are not used
ROUNDING = 13.4             # units of roundoff, forward and back, for each halving (N. J. Higham 2002, theorem 24.2)
LARGEST_WEIGHTS = 128 << 20     # of all transformed weights
MOST_LANES = 16
TASK_NUMBERS = 1 << 13      # of a vector of tiles or channels are enough for a task
LARGEST_HELD = 4 << 20      # bytes of the sums of one panel of output channels
LARGEST_SPECTRA = 8 << 20   # bytes of the spectra of one tile


class Tiles(NamedTuple):
    """Along the last two axes: lengths of the transforms (1: none) and outputs of a tile."""

    length: tuple[int, int]
    outputs: tuple[int, int]
    count: int                  # tiles of one image, in all phases of the dilation
    on_lanes: bool              # tiles rather than channels lie on the lanes
    frequencies: int            # complex numbers in the spectrum of a tile


def smooth_lengths(longest: int) -> list[int]:
    """Numbers without prime factors above 5."""
    found = sorted({2**a * 3**b * 5**c for a in range(13) for b in range(4) for c in range(3)})
    return [n for n in found if SHORTEST <= n <= longest]


PASS = {2: 3, 3: 4.8, 4: 4.2, 5: 7.8, 8: 6.6}       # one complex number in butterflies of so many
TRANSFORM_START = 100
SEPARATE = 6                # one number of a row: taken out of a pair, or put into one
TURN_VECTOR = 6             # one vector of pixels with channels first, gathered or stored
SHARED_PORTS = 1.5, 0.8     # times as long, forward and back, where transforms have no ports of their own: a Xeon
LARGE_PLANE = 1.6           # times as long, if the spectrum of a tile does not leave room in L2
STREAM_L3 = 0.22            # one number of weights that do not stay in L2 ...
STREAM = 0.48               # ... nor in a third of L3
OVERLAP = 0.25              # of the shorter of arithmetic and stream is not hidden behind the longer
SPILL = 1.4                 # one number of spectra that do not stay in L3
TILE_START = 30             # one complex register tile
PACK_NUMBER = 51            # one frequency of WIDE transformed kernels

LENGTHS = smooth_lengths(LONGEST)


class Axis(NamedTuple):
    length: int
    outputs: int
    tiles: int                  # in all phases of the dilation


def whole_length(n: int, taps: int, out: int, before: int, zeros: bool) -> int:
    """Shortest circular correlation that gives all `out` outputs of an axis of n pixels: inputs that are zeros at both ends
    may fall upon each other."""
    reach = out + taps - 1
    return max(taps, out, reach - min(before, max(0, reach - n - before)) if zeros else reach)


def work(way: Axis) -> float:
    return way.tiles * transform_cycles(way.length)


def axis_choices(problem: Problem, axis: int, longest: int) -> list[Axis]:
    """Ways to cut one axis: for each half octave of lengths the one with the least to transform; one tile may do."""
    taps, out, dilation = problem.kernel[axis], problem.output_size[axis], problem.dilation[axis]
    if taps == 1:
        return [Axis(1, 1, out)]
    phase = ceil_div(out, dilation)
    zeros = problem.padding_mode == "zeros" and dilation == 1
    whole = whole_length(problem.size[axis], taps, phase, problem.padding[axis][0], zeros)
    choices = {}
    for n in LENGTHS:
        if n > longest:
            break
        if n >= whole:
            choices[1] = Axis(n, phase, dilation)
            break
        if n >= taps + max(1, taps // 4):
            tiles = ceil_div(phase, n - taps + 1)
            choices.setdefault(tiles, Axis(n, n - taps + 1, dilation * tiles))
    least: dict[int, Axis] = {}
    for way in choices.values():
        half = int(2 * log2(way.length))
        if half not in least or work(way) < work(least[half]):
            least[half] = way
    return list(least.values())


@cache
def radices(n: int) -> tuple[int, ...]:
    """Lengths of the butterflies of the passes of a transform of length n = 2^a 3^b 5^c.

    >>> radices(72), radices(80), radices(1)
    ((8, 3, 3), (4, 4, 5), ())
    """
    found = []
    while n > 1:
        found.append(next(p for p in (8, 4, 5, 3, 2) if n % p == 0 and not (p == 8 and n // 8 % 4 == 2)))
        n //= found[-1]
    return tuple(found)


@cache
def transform_cycles(n: int) -> float:
    """One complex transform of vectors."""
    return n * (1.5 + sum(PASS[p] for p in radices(n))) + TRANSFORM_START if n > 1 else 0


def lanes_of_tiles(problem: Problem, tiles: int, lanes: int) -> bool:
    """Whether vectors of tiles waste less than vectors of channels, where each channel has its own kernel."""
    return (is_pointwise(problem) and problem.K * ceil_div(tiles, lanes) < tiles * ceil_div(problem.K, lanes))


def is_pointwise(problem: Problem) -> bool:
    """Whether every output channel has one input channel and no depth."""
    return problem.C == problem.G and (len(problem.kernel) < 3 or problem.kernel[0] == 1)


def inputs_of(problem: Problem) -> int:
    """Transformed planes in one sum: input channels times depth taps."""
    return problem.C // problem.G * [1, 1, *problem.kernel][-3]


def vectors_of(problem: Problem, machine: Machine) -> int:
    """The same in vectors of channels."""
    return ceil_div(problem.C // problem.G, machine.lanes) * [1, 1, *problem.kernel][-3]


def tile_cycles(problem: Problem, down: Axis, across: Axis, gathered: bool, machine: Machine) -> float:
    """Transforms of one tile of a vector of channels or tiles: into frequencies, or back."""
    lines = down.outputs if not gathered else min(down.length, down.outputs + [1, *problem.kernel][-2] - 1)
    if gathered and down.tiles == 1 and problem.padding_mode == "zeros":
        lines = min(lines, [1, *problem.size][-2])
    columns = across.outputs if not gathered else min(across.length, across.outputs + problem.kernel[-1] - 1)
    turned = 2 if problem.channels_last else TURN_VECTOR
    pairs = lines / 2 if down.length == 1 else ceil_div(lines, 2)
    cycles = pairs * (transform_cycles(across.length) + SEPARATE * across.length + 2 * columns * turned)
    if down.length > 1:
        cycles += (across.length // 2 + 1) * (transform_cycles(down.length) + 2 * down.length)
    plane = down.length * across.length * machine.lanes * problem.itemsize
    return cycles * machine.moves * (LARGE_PLANE if plane > machine.L2 * 3 // 10 else 1)


def fft_chunk(problem: Problem, tiles: Tiles, machine: Machine) -> tuple[int, int]:
    """Tiles whose sums one task holds, so that it reads weights once, and tiles whose spectra a round holds."""
    numbers = 2 * tiles.frequencies * problem.itemsize
    depth = vectors_of(problem, machine) * machine.lanes
    held = numbers * machine.NR * (1 if tiles.length[0] == 1 else 1 + 4 / tiles.length[0])
    most = max(2, (LARGEST_SPECTRA - (1 << 16)) // (numbers * depth) // 2 * 2)
    weights = numbers * depth * machine.NR
    room = LARGEST_HELD if weights > machine.L2 else machine.L2 // 2
    rows = machine.MR // 2
    chunk = int(room / held)
    return max(2 if tiles.length[0] == 1 else 1, min(chunk // rows * rows or chunk, most)), most


def product_cycles(problem: Problem, tiles: Tiles, machine: Machine) -> float:
    """Complex matrix products of all frequencies, and the weights' way from memory."""
    depth = inputs_of(problem)
    K, rows = problem.K // problem.G, machine.MR // 2
    vectors = ceil_div(K, machine.lanes)
    NV, waits = machine.NR // machine.lanes, 8 * machine.step       # of two multiply-adds for each other
    cycles = 0.0
    full, tail = divmod(tiles.count, rows)
    for width, panels in ((NV, vectors // NV), (vectors % NV, 1)):
        if width and panels:
            cycles += panels * (full * max(2 * rows * width, waits) + (max(2 * tail * width, waits) if tail else 0))
    arithmetic = tiles.frequencies * (depth * cycles + TILE_START * ceil_div(tiles.count, rows) * ceil_div(K, machine.NR))
    weights = 2 * tiles.frequencies * depth * ceil_div(K, machine.NR) * machine.NR
    chunk, _ = fft_chunk(problem, tiles, machine)
    nbytes = weights * problem.itemsize * problem.G
    near = STREAM_L3 * machine.far if nbytes > machine.L2 else 0
    number = max(STREAM, near) if nbytes > machine.L3 / 3 else near
    streamed = number * machine.step * weights * ceil_div(tiles.count, chunk)
    spectra = 2 * tiles.frequencies * tiles.count * (depth + K)
    spilt = SPILL * spectra if (spectra + weights) * problem.itemsize > machine.L3 else 0
    return max(arithmetic, streamed) + OVERLAP * min(arithmetic, streamed) + spilt


def tiles_cycles(problem: Problem, tiles: Tiles, down: Axis, across: Axis, machine: Machine) -> float:
    """All of one image, weights packed."""
    forward, backward = (tile_cycles(problem, down, across, way, machine) for way in (True, False))
    if is_pointwise(problem):
        on, beside = (tiles.count, problem.K) if tiles.on_lanes else (problem.K, tiles.count)
        return ceil_div(on, machine.lanes) * beside * (forward + backward + 4 * tiles.frequencies)
    K = problem.K // problem.G
    outputs = ceil_div(K, machine.lanes)
    into, back = SHARED_PORTS if machine.moves > 1 else (1, 1)
    one_task = K <= machine.NR and tiles.count <= (2 if tiles.length[0] == 1 else 1)
    alone = 2 if one_task else 1        # a second thread waits; the choice must not depend on how many there are
    cycles = tiles.count * into * vectors_of(problem, machine) * forward
    cycles += alone * (tiles.count * back * outputs * backward + product_cycles(problem, tiles, machine))
    return problem.G * cycles


@lru_cache(maxsize=512)
def best_tiles(problem: Problem, machine: Machine) -> tuple[Tiles, float] | None:
    """The tiles that are predicted to be quickest, with their cycles, weights packed; None if there are no outputs."""
    if problem.pixels == 0:
        return None
    two = len(problem.kernel) > 1 and problem.kernel[-2] > 1
    longest = LARGEST_TILE if two else LONGEST
    across = axis_choices(problem, -1, longest)
    down = axis_choices(problem, -2, longest) if len(problem.kernel) > 1 else [Axis(1, 1, 1)]
    outer = problem.pixels // (problem.output_size[-1] * (problem.output_size[-2] if len(problem.kernel) > 1 else 1))
    best = None
    for h in down:
        for w in across:
            count = outer * h.tiles * w.tiles
            frequencies = h.length * (w.length // 2 + 1)
            tiles = Tiles((h.length, w.length), (h.outputs, w.outputs), count,
                          lanes_of_tiles(problem, count, machine.lanes), frequencies)
            if too_large(problem, (h.length, w.length)):
                continue
            cycles = tiles_cycles(problem, tiles, h, w, machine)
            if best is None or cycles < best[1]:
                best = tiles, cycles
    return best


def growth(problem: Problem, numbers: int) -> float:
    """Of rounding errors by transforms of so many numbers, where all have one size: they go with the root of the sum of
    squares of a tile, those of a plain sum with the count of its products."""
    return ROUNDING * log2(numbers) * sqrt(numbers) / problem.sum_length


def too_large(problem: Problem, length: tuple[int, int]) -> str:
    """Why transforms of these lengths cannot be had; "" if they can."""
    if growth(problem, length[0] * length[1]) > GROWTH:
        return "rounding errors would be large against so short a sum"
    frequencies = length[0] * (length[1] // 2 + 1)
    kernels = inputs_of(problem)
    if 2 * frequencies * problem.K * kernels * problem.itemsize > LARGEST_WEIGHTS:
        return f"the spectra of the weights exceed {LARGEST_WEIGHTS >> 20} MiB"
    pair = 4 * frequencies * (kernels + MOST_LANES * [1, 1, *problem.kernel][-3]) * problem.itemsize
    if not is_pointwise(problem) and pair > LARGEST_SPECTRA:
        return "the spectra of a tile do not fit the workspace"
    return ""


def fft_tiles(problem: Problem, machine: Machine) -> Tiles:
    return best_tiles(problem, machine)[0]


def fft_blocks(problem: Problem, machine: Machine, threads: int) -> dict[str, int]:
    """What the kernel needs to know of the tiles, and blocks: tiles of a round, and of a task, so that each thread has some.

    Where channels have their own kernels a task is a few units: tiles, or vectors of tiles.
    """
    tiles = fft_tiles(problem, machine)
    pair = 2 if tiles.length[0] == 1 else 1
    fields = {"alpha_h": tiles.length[0], "alpha_w": tiles.length[1], "tile_h": tiles.outputs[0], "tile_w": tiles.outputs[1],
              "tile_lanes": int(tiles.on_lanes), "channel_block": machine.NR}
    if is_pointwise(problem):
        units = ceil_div(tiles.count, machine.lanes if tiles.on_lanes else 1)
        planes = problem.N * (problem.K if tiles.on_lanes else ceil_div(problem.K, machine.lanes))
        most = max(1, min(units * planes // (8 * threads), TASK_NUMBERS // (tiles.length[0] * tiles.length[1])))
        return fields | {"pixel_block": whole_pairs(ceil_div(units, ceil_div(units, most)), pair), "chunk": 1}
    chunk, most = fft_chunk(problem, tiles, machine)
    K = problem.K // problem.G
    panels = ceil_div(K, machine.NR)
    weights = 2 * tiles.frequencies * vectors_of(problem, machine) * machine.lanes * panels * machine.NR * problem.itemsize
    uneven = K % (threads * machine.NR) and panels < 4 * threads
    parts = threads if weights <= machine.L2 or uneven else ceil_div(threads, panels)   # spectra stay where they were made
    block = min(most, whole_pairs(tiles.count, pair))
    chunk = max(pair, min(chunk, whole_pairs(ceil_div(block, parts), pair)))
    if block < tiles.count:             # several rounds, of whole tasks
        block = max(chunk, block // chunk * chunk)
    return fields | {"pixel_block": block, "chunk": chunk}


def whole_pairs(n: int, unit: int) -> int:
    return ceil_div(n, unit) * unit


def fft_refuses(problem: Problem) -> str:
    if all(taps == 1 for taps in problem.kernel[-2:]):
        return "only for kernels of more than one tap"
    if any(s != 1 for s in problem.stride[-2:]):
        return "only for stride 1"
    two = len(problem.kernel) > 1 and problem.kernel[-2] > 1
    shortest = [1]
    for axis in range(-min(2, len(problem.kernel)), 0):
        choices = axis_choices(problem, axis, LARGEST_TILE if two else LONGEST)
        if not choices:
            return f"only for kernels of up to {LARGEST_TILE if two else LONGEST} taps along an axis"
        shortest.append(min(way.length for way in choices))
    return too_large(problem, (shortest[-2], shortest[-1]))


def fft_cost(problem: Problem, machine: Machine) -> float:
    best = best_tiles(problem, machine)
    if best is None:
        return 0
    tiles, cycles = best
    if not problem.packed:
        groups, unit = (1, machine.lanes) if is_pointwise(problem) else (problem.G, machine.NR)
        kernels, wide = groups * ceil_div(problem.K // groups, unit) * unit, machine.lanes * problem.itemsize // 8
        cycles += PACK_NUMBER * machine.moves * tiles.frequencies * inputs_of(problem) * ceil_div(kernels, wide)
    return cycles * machine.cycle
