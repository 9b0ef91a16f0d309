"""A sweep over sizes and channels: the cost shall grow as the work does, without cliffs."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import exp, log
from typing import NamedTuple

from .. import kernels
from ..plan import Plan, make_plan
from ..problem import Problem, convolution_problem
from ..rivals import plan_call, turn
from .bench_report import microseconds, table

SIZES = (5, 6, 7, 8, 9, 11, 13, 14, 16, 19, 22, 27, 28, 32, 37, 45, 56, 64)
CHANNELS = (8, 11, 16, 21, 27, 32, 43, 57, 64, 79, 97, 128, 161, 192, 223, 256)
KINDS = {"3x3": (3, False), "1x1": (1, False), "depthwise 3x3": (3, True)}
LAYOUTS = {False: "NCHW", True: "channels_last"}
CLIFF = 1.3             # times what the neighbours lead one to expect
SECONDS = 0.003         # of one turn ...
TURNS = 3               # ... and how many a point has
AGAIN = 3               # times that a cliff and its neighbours are measured again before it is believed

Grid = dict[tuple[int, int], "Point"]


class Point(NamedTuple):
    """One call."""

    problem: Problem
    row: str
    seconds: float

    @property
    def unit(self) -> float:
        """Seconds for each multiply-add."""
        return self.seconds / self.problem.macs


class Cliff(NamedTuple):
    """A point that is slower than its two neighbours along one axis lead one to expect."""

    kind: str
    layout: str
    channels: int
    size: int
    along: str
    row: str
    seconds: float
    ratio: float


def point_problem(kind: str, last: bool, channels: int, size: int) -> Problem:
    kernel, depthwise = KINDS[kind]
    shape = (1, size, size, channels) if last else (1, channels, size, size)
    groups = channels if depthwise else 1
    return convolution_problem("conv2d", shape, (channels, channels // groups, kernel, kernel), "f32", 1, kernel // 2, 1,
                               groups, channels_last=last, bias=True, packed=True)


def point_plan(kind: str, last: bool, channels: int, size: int, threads: int) -> Plan:
    return make_plan(point_problem(kind, last, channels, size), isa=kernels.isa, threads=threads)


def time_point(plan: Plan) -> Point:
    call = plan_call(plan)
    call()
    return Point(plan.problem, plan.row.name, min(turn(call, SECONDS) for _ in range(TURNS)))


def time_plan(problem: Problem, threads: int) -> float:
    """Seconds of the quickest call with packed weights."""
    return time_point(make_plan(replace(problem, packed=True), isa=kernels.isa, threads=threads)).seconds


def sweep(kind: str, last: bool, threads: int) -> Grid:
    """(channels, size) -> what it takes."""
    return {(channels, size): time_point(point_plan(kind, last, channels, size, threads))
            for channels in CHANNELS for size in SIZES}


def expected(at: float, before: float, after: float, low: float, high: float) -> float:
    """Between (before, low) and (after, high) at `at`, straight on logarithmic axes."""
    part = log(at / before) / log(after / before)
    return exp((1 - part) * log(low) + part * log(high))


def neighbours(channels: int, size: int) -> Iterator[tuple[str, tuple[int, int], tuple[int, int], tuple[float, ...]]]:
    """Axis, the point before, the point after, and the three places on the axis; none at the ends."""
    for along, axis, at in (("channels", CHANNELS, channels), ("size", SIZES, size)):
        i = axis.index(at)
        if 0 < i < len(axis) - 1:
            pair = [(n, size) if along == "channels" else (channels, n) for n in (axis[i - 1], axis[i + 1])]
            yield along, pair[0], pair[1], (at, axis[i - 1], axis[i + 1])


def cliffs_of(grid: Grid, kind: str, last: bool) -> list[Cliff]:
    found = []
    for (channels, size), point in grid.items():
        for along, before, after, places in neighbours(channels, size):
            ratio = point.unit / expected(*places, grid[before].unit, grid[after].unit)
            if ratio > CLIFF:
                found.append(Cliff(kind, LAYOUTS[last], channels, size, along, point.row, point.seconds, ratio))
    return found


def believed(grid: Grid, kind: str, last: bool, threads: int) -> list[Cliff]:
    """Cliffs that remain when they are measured again; the grid keeps the quickest times."""
    for _ in range(AGAIN):
        for cliff in cliffs_of(grid, kind, last):
            at = cliff.channels, cliff.size
            again = time_point(point_plan(kind, last, *at, threads))
            grid[at] = min(grid[at], again, key=lambda point: point.seconds)
    return cliffs_of(grid, kind, last)


def print_cliffs(console, found: list[Cliff], points: int) -> None:
    if found:
        made = table("kind", "layout", "along", "row", right=("channels", "size", "µs", "times its neighbours"))
        for c in sorted(found, key=lambda c: -c.ratio):
            made.add_row(c.kind, c.layout, c.along, c.row, str(c.channels), str(c.size), microseconds(c.seconds),
                         f"{c.ratio:.2f}")
        console.print(made)
    console.print(f"{len({c[:4] for c in found})} of {points} points are slower than {CLIFF} times the interpolation of "
                  "their neighbours", markup=False)


def as_json(grids: dict[tuple[str, bool], Grid], found: list[Cliff]) -> dict:
    points = [{"kind": kind, "layout": LAYOUTS[last], "channels": channels, "size": size, "row": point.row,
               "seconds": point.seconds} for (kind, last), grid in grids.items() for (channels, size), point in grid.items()]
    return {"limit": CLIFF, "points": points, "cliffs": [cliff._asdict() for cliff in found]}
