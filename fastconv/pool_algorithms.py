"""The rows of the table for pooling. Constants are cycles, measured on one core of an AMD Zen 5 (AVX-512)."""
from __future__ import annotations

from math import prod

from .pool_problem import PoolProblem
from .row import Algorithm, Machine, ceil_div, never_refuses

ROW_START = 30          # pointers and masks of one output row
HERK_LOADS = 4          # a row of pixels goes into a suffix and into a prefix, and both into a window
DIRECT_TAP = 20         # one tap of a vector of windows, its position kept beside it
LINES = 8               # that a task fills before it reads them
FEWEST_NUMBERS = 1 << 17        # read by one task


def row_numbers(problem: PoolProblem) -> int:
    """Numbers in one row of the input: those that rows of windows combine one by one."""
    return problem.size[-1] * (problem.C if problem.channels_last else 1)


def window_rows(problem: PoolProblem) -> int:
    """Rows of windows, of all channels unless those lie in a row."""
    return prod(problem.output_size[:-1]) * (1 if problem.channels_last else problem.C)


def rows_cost(problem: PoolProblem, machine: Machine, loads: int) -> float:
    """Rows combined with `loads` loads each, then pixels along them."""
    width = row_numbers(problem) * problem.output_size[-1] // problem.size[-1]
    across = min(problem.kernel[-1], 2 * problem.kernel[-1].bit_length())
    cycles = ROW_START + (loads + 1) * ceil_div(row_numbers(problem), machine.lanes) + across * ceil_div(width, machine.lanes)
    return window_rows(problem) * cycles * machine.cycle


def windows_cost(problem: PoolProblem, machine: Machine) -> float:
    return rows_cost(problem, machine, prod(problem.kernel[:-1]))


def herk_cost(problem: PoolProblem, machine: Machine) -> float:
    return rows_cost(problem, machine, prod(problem.kernel[:-2]) * 2 * problem.stride[-2] + HERK_LOADS)


def whole_cost(problem: PoolProblem, machine: Machine) -> float:
    return problem.C * ceil_div(prod(problem.size), machine.lanes) * machine.cycle


def direct_cost(problem: PoolProblem, machine: Machine) -> float:
    vectors = window_rows(problem) * ceil_div(problem.output_size[-1] * (problem.C if problem.channels_last else 1),
                                              machine.lanes)
    return vectors * problem.taps * DIRECT_TAP * machine.cycle


def windows_refuses(problem: PoolProblem) -> str:
    if problem.indices:
        return "positions are not kept (direct)"
    return "64-bit integers are compared one by one (direct)" if problem.integers else ""


def herk_refuses(problem: PoolProblem) -> str:
    if len(problem.size) < 2 or problem.adaptive[-2] or problem.dilation[-2] > 1:
        return "only for rows of windows that are all alike, without dilation"
    if problem.kernel[-2] > 4096:
        return "the rows of a window do not fit the workspace"
    return windows_refuses(problem)


def whole_refuses(problem: PoolProblem) -> str:
    if problem.channels_last:
        return "channels are on the lanes already (windows)"
    return windows_refuses(problem) or ("" if problem.whole else "only for one window that covers the image")


def window_blocks(problem: PoolProblem, machine: Machine, threads: int) -> dict[str, int]:
    """Blocks of pool_windows: the rows that windows share take two thirds of L1, a task enough rows to be worth its start."""
    room = machine.L1 * 2 // 3 // problem.itemsize
    Q, reach, stride = problem.output_size[-1], problem.reach[-1], problem.stride[-1]
    if problem.adaptive[-1]:
        stride = ceil_div(problem.size[-1], Q)
    channels = problem.C if problem.channels_last else 1
    turned = not problem.channels_last and (stride > 2 or problem.adaptive[-1])
    lines = 2 * machine.lanes if turned else LINES
    if problem.channels_last and channels * reach * lines > room:
        channels = max(machine.lanes, room // (reach * lines) // machine.lanes * machine.lanes)
    columns = min(Q, max(machine.lanes, (room // (lines * channels) - reach) // stride))
    rows = problem.N * window_rows(problem)
    height = problem.size[-2] // problem.output_size[-2] if len(problem.size) > 1 else 1
    least = max(1, FEWEST_NUMBERS // (max(1, height) * row_numbers(problem)))
    per_task = max(1, min(max(least, ceil_div(rows, 64 * threads)), ceil_div(rows, 2 * threads)))
    return {"rows": ceil_div(per_task, machine.lanes) * machine.lanes if turned else per_task,
            "columns": ceil_div(Q, ceil_div(Q, columns)), "channels": min(channels, problem.C)}


def plane_blocks(problem: PoolProblem, machine: Machine, threads: int) -> dict[str, int]:
    """Blocks of pool_whole: planes of a task."""
    planes = problem.N * problem.C
    least = ceil_div(FEWEST_NUMBERS, prod(problem.size) * machine.lanes)
    return {"rows": machine.lanes * min(least, ceil_div(planes, machine.lanes * 2 * threads)), "columns": 1, "channels": 1}


def output_blocks(problem: PoolProblem, machine: Machine, threads: int) -> dict[str, int]:
    """Blocks of pool_direct: rows of a task."""
    rows = problem.N * window_rows(problem)
    least = ceil_div(FEWEST_NUMBERS, problem.taps * problem.output_size[-1])
    return {"rows": max(1, min(least, ceil_div(rows, 4 * threads))), "columns": 1, "channels": 1}


WHOLE = Algorithm("whole", "a plane is read once and reduced to one number, vectors of planes at a time",
                  "pool_whole", "pool_whole", whole_refuses, whole_cost, blocks=plane_blocks)
HERK = Algorithm("vanherk", "large windows from suffixes and prefixes of blocks of rows: the cost does not grow with them",
                 "pool_windows:run_herk", "pool_windows:run_herk", herk_refuses, herk_cost, blocks=window_blocks)
WINDOWS = Algorithm("windows", "rows of a window combined first, then pixels along the row",
                    "pool_windows", "pool_windows", windows_refuses, windows_cost, blocks=window_blocks)
DIRECT = Algorithm("direct", "every pixel of every window, and the position of the largest",
                   "pool_direct", "pool_direct", never_refuses, direct_cost, blocks=output_blocks)
SUMS = (WHOLE, HERK, WINDOWS)
LARGEST = (*SUMS, DIRECT)

SCATTER = Algorithm("scatter", "numbers to their positions, plane by plane", "pool_scatter", "pool_scatter",
                    never_refuses, lambda problem, machine: problem.work * machine.cycle)

POOLING = {f"{name}{axes}d": rows for name, rows in
           (("max_pool", LARGEST), ("adaptive_max_pool", LARGEST), ("avg_pool", SUMS), ("adaptive_avg_pool", SUMS),
            ("lp_pool", SUMS), ("max_unpool", (SCATTER,))) for axes in (1, 2, 3)}
