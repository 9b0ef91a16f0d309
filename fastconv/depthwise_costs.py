"""Costs of depthwise convolutions: pixels on the lanes, channels, or turned rows; and of two passes of rank one.

As those of costs.py, whose introduction tells what a cycle is. A pair of constants is for vectors of a whole line of the
caches (AVX-512, f32 and f64) and for others (Machine.halves, measured with AVX2 on a Zen 4).
"""
from __future__ import annotations

from .costs import PLANES_FAR, STRIPS_FAR, far_cycles, volume
from .problem import Problem
from .row import Machine, ceil_div

PLANE = 350             # one plane ...
PLANE_VECTOR = 10       # ... a vector of its pixels, ...
PLANE_TAPS = 0.78, 1.5  # ... and one tap of it; of the only one of a row, which waits for its own sums;
ROW_TAP = 1.3           # of a kernel of one row, since none of the rows of a tile shares a vector of pixels
PICK_ROW = 15, 10       # one vector of every second pixel of a row: shuffles, half of which wait for ports that are shared
LANE_TAP = 0.64, 0.7    # one tap of a vector of channels of a pixel; ...
LANE_STRIDED = 0.64, 1.1    # ... where some columns are passed over; ...
LANE_FINISH = 5.4, 6    # ... and its finish
LINE_TAP = 0.65         # one tap of a vector of turned rows of one plane ...
LINE_VECTOR = 8         # ... and that vector
TURN_STRIP = 0.4, 0.8   # one number of rows of some planes, transposed, ...
TURN_PLANE = 0, 150     # ... and one of these planes
LARGEST_HELD = 60000    # pixels of some planes that are turned, and twice those of their sums
FULL_BLOCK = 32         # planes or rows that are turned together


def depthwise_cost(problem: Problem, machine: Machine) -> float:
    """Channels first: vectors of pixels of one row; those of a strided row are picked from it."""
    if problem.channels_last:
        return lanes_cost(problem, machine)
    across = ceil_div(problem.output_size[-1], machine.lanes)
    vectors = problem.pixels // problem.output_size[-1] * across
    picked = 0 if problem.stride[-1] == 1 else PICK_ROW[machine.halves] * (1 + machine.moves) / 2
    picked *= problem.taps // problem.kernel[-1]
    tap = PLANE_TAPS[across == 1] if rows_share(problem) else ROW_TAP
    cycles = vectors * (tap * problem.taps + PLANE_VECTOR + picked) + PLANE
    return (problem.K * cycles + planes_far(problem, machine)) * machine.cycle


def planes_far(problem: Problem, machine: Machine) -> float:
    """far_cycles of planes; what lies beyond m.L3 of an L3 that is far away seems to be still in it."""
    return far_cycles(problem, machine, PLANES_FAR) / machine.far


def rows_share(problem: Problem) -> bool:
    """Whether an input row is loaded once for several output rows."""
    return problem.output_size[-1] == problem.pixels or [1, *problem.kernel][-2] > 1


def lanes_cost(problem: Problem, machine: Machine) -> float:
    """Depthwise with channels on the lanes."""
    tap = (LANE_TAP if problem.stride[-1] == 1 else LANE_STRIDED)[machine.halves]
    cycles = live_taps(problem) * tap + LANE_FINISH[machine.halves]
    return problem.pixels * ceil_div(problem.K, machine.lanes) * cycles * machine.cycle


def live_taps(problem: Problem) -> float:
    """Taps at which a pixel sees more than zero padding, on average."""
    if problem.padding_mode != "zeros":
        return problem.taps
    taps = 1.0
    for n, k, s, d, out, (before, _) in zip(problem.size, problem.kernel, problem.stride, problem.dilation,
                                            problem.output_size, problem.padding):
        taps *= sum(max(0, min(out - 1, (n - 1 + before - tap * d) // s) - max(0, ceil_div(before - tap * d, s)) + 1)
                    for tap in range(k)) / out
    return taps


def rows_on_lanes(problem: Problem) -> bool:
    """Whether `turned` takes rows of one plane rather than planes: they stand alone, and fill vectors well or better."""
    if len(problem.kernel) != 2 or problem.kernel[0] > 1 or problem.stride[0] > 1 or any(problem.padding[0]):
        return False
    rows, planes = problem.size[0], problem.K
    return rows >= FULL_BLOCK or rows * ceil_div(planes, FULL_BLOCK) >= planes


def turned_cost(problem: Problem, machine: Machine) -> float:
    """The same from turned rows, and back."""
    numbers = volume(problem) + problem.pixels
    cycles = problem.C * (numbers * TURN_STRIP[machine.halves] * machine.moves + TURN_PLANE[machine.halves])
    cycles += far_cycles(problem, machine, STRIPS_FAR)
    if rows_on_lanes(problem):
        vectors = problem.K * problem.output_size[1] * ceil_div(problem.size[0], machine.lanes)
        return (cycles + vectors * (live_taps(problem) * LINE_TAP + LINE_VECTOR)) * machine.cycle
    return lanes_cost(problem, machine) + cycles * machine.cycle


def turns_rows(problem: Problem) -> bool:
    """Whether the second pass has rows on its lanes, if they can be turned in cache."""
    return not problem.channels_last and rows_on_lanes(problem) and problem.size[1] <= LARGEST_HELD


def rank_one_cost(problem: Problem, machine: Machine) -> float:
    """Both passes, the numbers between them in cache."""
    column, row = problem.passes
    if column.channels_last:
        seconds = lanes_cost(column, machine) + lanes_cost(row, machine)
    else:
        seconds = depthwise_cost(column, machine) + (turned_cost if turns_rows(row) else depthwise_cost)(row, machine)
    near = planes_far(column, machine) + planes_far(row, machine) - planes_far(problem, machine)
    return seconds - (0 if column.channels_last else near * machine.cycle)
