"""The rows of the table for pooling. Constants are cycles, measured on one core of an AMD Zen 5 (AVX-512)."""
from __future__ import annotations

from math import prod

from .pool_problem import PoolProblem
from .row import Algorithm, Machine, ceil_div, never_refuses

ROW_START = 30          # pointers and masks of one output row
HERK_LOADS = 4          # a row of pixels goes into a suffix and into a prefix, and both into a window
PIXEL_LOAD = 0.6        # a vector of channels of one pixel, joined to others
PIXEL_WINDOW = 4        # a vector of results
DIRECT_TAP = 20         # one tap of a vector of windows, its position kept beside it
LONG = 16               # pixels of a window along the line that are joined one by one
LINES = 8               # that a task fills before it reads them
COLUMNS = 64            # of windows, the fewest that a long line is cut into
LONGEST_REACH = 4096    # pixels of a window along the line
LARGEST_BLOCK = 1 << 19     # numbers in the rows of a block of van Herk's: 4 MiB at most
LANES_MOST = 16
FEW_ROWS = 8            # of windows for each thread: where shares of them differ, threads share channels
FEWEST_NUMBERS = 1 << 17        # read by one task


def row_numbers(problem: PoolProblem) -> int:
    """Numbers in one row of the input: those that rows of windows combine one by one."""
    return problem.size[-1] * (problem.C if problem.channels_last else 1)


def window_rows(problem: PoolProblem) -> int:
    """Rows of windows, of all channels unless those lie in a row."""
    return prod(problem.output_size[:-1]) * (1 if problem.channels_last else problem.C)


def rows_cost(problem: PoolProblem, machine: Machine, loads: int, passes: int) -> float:
    """Rows combined with `loads` loads each in so many passes, then pixels along them."""
    width = row_numbers(problem) * problem.output_size[-1] // problem.size[-1]
    across = problem.kernel[-1] if problem.kernel[-1] <= LONG else 2 * problem.kernel[-1].bit_length()
    cycles = passes * ROW_START + (loads + 1) * ceil_div(row_numbers(problem), machine.lanes)
    cycles += across * ceil_div(width, machine.lanes)
    return window_rows(problem) * cycles * machine.cycle


def windows_cost(problem: PoolProblem, machine: Machine) -> float:
    return rows_cost(problem, machine, prod(problem.kernel[:-1]), 1)


def herk_cost(problem: PoolProblem, machine: Machine) -> float:
    return rows_cost(problem, machine, prod(problem.kernel[:-2]) * 2 * problem.stride[-2] + HERK_LOADS, 4)


def whole_cost(problem: PoolProblem, machine: Machine) -> float:
    return problem.C * ceil_div(prod(problem.size), machine.lanes) * machine.cycle


def pixels_cost(problem: PoolProblem, machine: Machine) -> float:
    slides = problem.kernel[-1] == 3 and problem.stride[-1] < 3 and problem.dilation[-1] == 1 and not problem.adaptive[-1]
    loads = prod(problem.kernel[:-1]) * (problem.stride[-1] if slides else problem.kernel[-1])
    vectors = prod(problem.output_size) * ceil_div(problem.C, machine.lanes)
    return vectors * (loads * PIXEL_LOAD + PIXEL_WINDOW) * machine.cycle


def direct_cost(problem: PoolProblem, machine: Machine) -> float:
    vectors = window_rows(problem) * ceil_div(problem.output_size[-1] * (problem.C if problem.channels_last else 1),
                                              machine.lanes)
    return vectors * problem.taps * DIRECT_TAP * machine.cycle


def windows_refuses(problem: PoolProblem) -> str:
    if problem.indices:
        return "positions are not kept (direct)"
    if problem.integers:
        return "64-bit integers are compared one by one (direct)"
    if max(problem.reach[-1], problem.size[-1] // max(1, problem.output_size[-1])) > LONGEST_REACH:
        return "the rows of a window do not stay in cache"
    return ""


def herk_refuses(problem: PoolProblem) -> str:
    if len(problem.size) < 2 or problem.adaptive[-2] or problem.dilation[-2] > 1:
        return "only for rows of windows that are all alike, without dilation"
    if problem.kernel[-2] * (problem.reach[-1] + COLUMNS) > LARGEST_BLOCK:
        return "the rows of a window do not fit the workspace"
    if problem.channels_last and problem.kernel[-2] * (problem.reach[-1] + 1) * 2 * LANES_MOST > LARGEST_BLOCK:
        return "the rows of a window do not fit the workspace"
    return windows_refuses(problem)


def whole_refuses(problem: PoolProblem) -> str:
    if problem.channels_last:
        return "channels are on the lanes already (windows)"
    return windows_refuses(problem) or ("" if problem.whole else "only for one window that covers the image")


def pixels_refuses(problem: PoolProblem) -> str:
    if not problem.channels_last:
        return "channels do not lie side by side (windows)"
    if problem.indices or problem.integers:
        return windows_refuses(problem)
    return ""


def window_blocks(problem: PoolProblem, machine: Machine, threads: int) -> dict[str, int]:
    """Blocks of pool_windows: lines that stay in L1, rows enough to be worth the start of a task."""
    return blocks_of_lines(problem, machine, threads, machine.L1 * 2 // 3 // problem.itemsize)


def herk_blocks(problem: PoolProblem, machine: Machine, threads: int) -> dict[str, int]:
    """The same, as long as the rows of a window stay in L2 too."""
    room = min(machine.L1 * 2 // 3, LINES * (machine.L2 // 2) // problem.kernel[-2]) // problem.itemsize
    return blocks_of_lines(problem, machine, threads, room) | {"herk": 1}


def blocks_of_lines(problem: PoolProblem, machine: Machine, threads: int, room: int) -> dict[str, int]:
    """`room`: numbers in all lines that are filled at a time."""
    free = machine.L1 * 2 // 3 // problem.itemsize
    Q, reach, stride = problem.output_size[-1], problem.reach[-1], problem.stride[-1]
    if problem.adaptive[-1]:
        stride = ceil_div(problem.size[-1], Q)
    turned = not problem.channels_last and (stride > 2 or problem.adaptive[-1])
    lines = 2 * machine.lanes if turned else LINES
    channels = problem.C if problem.channels_last else 1
    if problem.channels_last and channels > machine.lanes:
        lines = 2
    if problem.channels_last and lines * channels * reach > room:       # lines that stay in L2 are better than narrow ones
        lines, room = 1, max(room, machine.L2 // 4 // problem.itemsize if room == free else 0)
    room //= lines
    if channels * reach > room:
        channels = min(channels, max(machine.lanes, room // reach // machine.lanes * machine.lanes))
    least = ceil_div(reach, stride) if turned or problem.channels_last else COLUMNS     # or most of a line is read again
    columns = min(Q, max(least, (room // channels - reach) // stride))
    rows = problem.N * window_rows(problem)
    height = problem.size[-2] // problem.output_size[-2] if len(problem.size) > 1 else 1
    worth = max(1, FEWEST_NUMBERS // (max(1, height) * row_numbers(problem)))
    per_task = max(1, min(max(worth, ceil_div(rows, 64 * threads)), ceil_div(rows, 2 * threads)))
    return {"rows": ceil_div(per_task, machine.lanes) * machine.lanes if turned else per_task,
            "columns": ceil_div(Q, ceil_div(Q, columns)), "channels": channels,
            "lines": LINES if turned else lines}


def plane_blocks(problem: PoolProblem, machine: Machine, threads: int) -> dict[str, int]:
    """Blocks of pool_pixels: planes of a task."""
    planes = problem.N * problem.C
    least = ceil_div(FEWEST_NUMBERS, prod(problem.size) * machine.lanes)
    return {"rows": machine.lanes * min(least, ceil_div(planes, machine.lanes * 2 * threads))}


def pixel_blocks(problem: PoolProblem, machine: Machine, threads: int) -> dict[str, int]:
    """Blocks of pool_pixels: rows of a task, and channels where there are few rows."""
    rows = problem.N * window_rows(problem)
    height = max(1, prod(problem.size[:-1]) // max(1, prod(problem.output_size[:-1])))
    least = ceil_div(FEWEST_NUMBERS, height * row_numbers(problem))
    channels, group = problem.C, 4 * machine.lanes
    uneven = rows < FEW_ROWS * threads and (rows % threads or any(problem.adaptive))
    if uneven and channels >= threads * group:
        return {"rows": rows, "channels": ceil_div(ceil_div(channels, threads), group) * group}
    if len(problem.size) > 1 and not problem.adaptive[-2] and problem.kernel[-2] > 2 * problem.stride[-2]:
        room = machine.L1 * 2 // 3 // (problem.itemsize * problem.kernel[-2] * problem.size[-1])
        channels = min(channels, max(1, room // group) * group)         # rows are read three times: out of L1
    return {"rows": max(1, min(ceil_div(least * problem.C, channels), ceil_div(rows, 2 * threads))), "channels": channels}


def output_blocks(problem: PoolProblem, machine: Machine, threads: int) -> dict[str, int]:
    """Blocks of pool_direct: rows of a task."""
    rows = problem.N * window_rows(problem)
    least = ceil_div(FEWEST_NUMBERS, problem.taps * problem.output_size[-1])
    return {"rows": max(1, min(least, ceil_div(rows, 4 * threads)))}


WHOLE = Algorithm("whole", "a plane is read once and reduced to one number, vectors of planes at a time",
                  "pool_pixels", "pool_pixels", whole_refuses, whole_cost, blocks=plane_blocks)
HERK = Algorithm("vanherk", "large windows from suffixes and prefixes of blocks of rows: the cost does not grow with them",
                 "pool_windows", "pool_windows", herk_refuses, herk_cost, blocks=herk_blocks)
PIXELS = Algorithm("pixels", "channels on the lanes: the pixels of each window as they lie",
                   "pool_pixels", "pool_pixels", pixels_refuses, pixels_cost, blocks=pixel_blocks)
WINDOWS = Algorithm("windows", "rows of a window combined first, then pixels along the row",
                    "pool_windows", "pool_windows", windows_refuses, windows_cost, blocks=window_blocks)
DIRECT = Algorithm("direct", "every window by itself; the position of the largest",
                   "pool_direct", "pool_direct", never_refuses, direct_cost, blocks=output_blocks)
ROWS = (WHOLE, HERK, PIXELS, WINDOWS, DIRECT)

SCATTER = Algorithm("scatter", "numbers to their positions, plane by plane", "pool_scatter", "pool_scatter",
                    never_refuses, lambda problem, machine: problem.work * machine.cycle)

POOLING = {f"{name}{axes}d": rows for name, rows in
           (("max_pool", ROWS), ("adaptive_max_pool", ROWS), ("avg_pool", ROWS), ("adaptive_avg_pool", ROWS),
            ("lp_pool", ROWS), ("max_unpool", (SCATTER,))) for axes in (1, 2, 3)}
