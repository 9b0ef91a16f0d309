"""Register tiles: cycles of a product that is cut into them, and how im2col_channels cuts the pixels of a task.

Outputs near a border see zero padding with some taps. A tile passes over the taps with which all of its pixels do, so it
should join pixels that see the image with the same taps: *bands* of rows, and *segments* of columns, that no tile crosses.
Under 3 x 3 taps with dilation 4, an image of 7 x 7 pixels is 3 x 3 classes, whose pixels see 169 taps instead of 441:

        columns   0 1 2   3   4 5 6
        taps       1 2    1    0 1
"""
from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from math import gcd
from typing import NamedTuple

from .problem import Problem
from .row import Machine, ceil_div

L1_WAY = 4096           # bytes that all sets of L1 hold together, once; on all CPUs with AVX2
LATENCY = 4             # of a multiply-add: a tile of fewer than 8 vectors waits for its own sums
RUN_START = 10, 30      # one run of a tile, a tap or a row of taps: its pointers are loaded; by Machine.halves
TILE_START = 32         # sums of a tile into and out of registers, call and finish
WIDE_LOAD = 1.1         # a vector of a wide tile, which seldom lies within one line
FEWEST = 5              # pixels whose time a tile takes at least: its weights come from L2
MOST_RUNS = 64
TAP_BANDS, ROW_BANDS = 1, 2
SHORTEST_ROW = 6        # pixels: rows of fewer, of a phase, are joined to fill tiles
WORTH = {0: 1.0, TAP_BANDS: 1.01, ROW_BANDS: 1.0}       # what bands must save, ...
WORTH_SORTING = 1.02    # ... and segments: their sums are brought into order
WORTH_A_LOOK = 0.97     # share of the taps that see the image


class Order(NamedTuple):
    """Geometry's fields of these names: bands of rows with the same taps, or single rows; segments or none."""

    bands: int
    segments: int


ORDERS = Order(0, 0), Order(ROW_BANDS, 0), Order(TAP_BANDS, 0), Order(TAP_BANDS, 1)


class Run(NamedTuple):
    """Outputs first .. stop of an axis see the image with taps low .. high."""

    first: int
    stop: int
    low: int
    high: int

    @property
    def taps(self) -> int:
        return self.high - self.low


def tile_cycles(rows: int, vectors: int, machine: Machine) -> float:
    """Cycles per step of a sum for `rows` x `vectors` vectors, cut into tiles of MR x NV."""
    NV = machine.NR // machine.lanes
    cycles = 0.0
    for width, panels in ((NV, vectors // NV), (vectors % NV, 1)):
        if width and panels:
            tail = rows % machine.MR
            cycles += panels * (rows // machine.MR) * max(machine.MR * width / 2, LATENCY * machine.step)
            cycles += panels * max(tail * width / 2, LATENCY * machine.step) if tail else 0
    return cycles


def row_cycles(K: int, Q: int, machine: Machine) -> float:
    """Cycles per step of a sum for K output channels of a row of Q pixels, with wide tiles for the last few channels."""
    rows, vectors = K % machine.MR, ceil_div(Q, machine.lanes)
    most = wide_vectors(rows, machine)
    if Q < most * machine.lanes:
        most //= 2
    if rows == 0 or most * machine.lanes <= machine.NR or Q < most * machine.lanes:
        return tile_cycles(K, vectors, machine)
    wide = vectors // most * most
    if vectors > wide:                      # a last tile, or half of one
        wide += most if vectors - wide > most // 2 or most < wide_vectors(rows, machine) else most // 2
    return tile_cycles(K - rows, vectors, machine) + wide * max(rows / 2, WIDE_LOAD)


def wide_vectors(rows: int, m: Machine) -> int:
    """Vectors of the widest tile of so many rows, 0 if they are not few: most_vectors of src/micro/wide.pxd."""
    sums = m.MR * m.NR // m.lanes
    return min(8, sums // rows) if 0 < rows <= (4 if sums > 16 else 3) else 0


def few(p: Problem, m: Machine) -> bool:
    """Whether wide tiles hold all output channels of a group."""
    return wide_vectors(p.K // p.G, m) > 0


def short_sums(p: Problem, m: Machine) -> bool:
    """Whether the weights of a panel take no more than four thirds of L1: its sums are soon written."""
    return p.sum_length * m.NR * p.itemsize <= m.L1 * 4 // 3


def tile_rows(p: Problem, m: Machine) -> int:
    """Pixels of a tile of im2col_channels: MR, or with channels last as many as the sets of L1 hold into which they fall.

    Pixels that are a multiple of 4096 bytes apart fall into one. In the input (1024-64@112) tiles of 12 take 11.4 ms, of 8
    7.4, of 6 7.7; in the output of short sums (8-1024@32) 154, 132 and 113 us.
    """
    if not p.channels_last:             # the image is turned, its pixels an odd number of lines apart
        return m.MR
    read, written = (L1_WAY // gcd(distance * p.itemsize, L1_WAY) for distance in (p.C * p.stride[-1], p.output_channels))
    most = max(2, m.L1 // L1_WAY)
    return min(m.MR, most * read, most * written * 3 // 4 if short_sums(p, m) else m.MR)


@lru_cache(1024)
def runs_of(n: int, taps: int, stride: int, dilation: int, before: int, out: int) -> tuple[Run, ...]:
    """The classes of an axis of n pixels with `before` zeros ahead of it, in rising order."""
    ends = {ceil_div(edge - tap * dilation, stride) for tap in range(taps) for edge in (before, before + n)}   # come, go
    cuts = sorted({0, out, *(i for i in ends if 0 < i < out)})
    runs = []
    for first, stop in pairwise(cuts):
        pixel = first * stride - before                         # of the first tap
        low = max(0, ceil_div(-pixel, dilation))
        runs.append(Run(first, stop, low, max(low, min(taps, ceil_div(n - pixel, dilation)))))
    return tuple(runs)


def parts(n: int, most: int) -> Iterator[tuple[int, int]]:
    """(size, how many) of the parts when n is cut into as few of at most `most` as possible, all nearly equal."""
    count = ceil_div(n, most)
    if count:
        yield n // count, count - n % count
        yield n // count + 1, n % count


class Cutting(NamedTuple):
    """What the work of one order depends on, in multiply-adds of vectors of one pixel, tap and channel."""

    rows: tuple[Run, ...]
    columns: tuple[Run, ...]
    row_taps: int           # of rows, or of all
    column_taps: int        # of columns; 1 if a row of taps is one run, which padding does not shorten
    MR: int
    fewest: float           # pixels that a tile takes the time of
    run_start: float
    tile_start: float
    turns: float            # by a tile that cannot finish its sums in registers

    def tiles(self, pixels: int, taps: float) -> float:
        """The work of equal tiles of so many pixels in all, which see so many taps."""
        return sum(count * (taps * (max(size, self.fewest) + self.run_start) + self.tile_start)
                   for size, count in parts(pixels, self.MR))

    def mean_taps(self, runs: tuple[Run, ...], first: int, stop: int, reach: int) -> float:
        """Taps that `reach` outputs of first .. stop see together, on average over where they begin."""
        taps = 0
        for run in runs:
            start, end = max(first, run.first), min(stop, run.stop)
            alone = min(max(0, run.stop - reach + 1 - start), max(0, end - start))  # those that see no next run
            taps += alone * run.taps
            for i in range(start + alone, end):
                met = [other for other in runs if other.first < min(stop, i + reach) and i < other.stop and other.taps]
                taps += max(other.high for other in met) - min(other.low for other in met) if met else 0
        return taps / (stop - first)

    def blocks(self, rows: int) -> Iterator[tuple[int, int, int]]:
        """(first row, stop, how many) of tasks of so many rows that see the image alike."""
        P, counts = self.rows[-1].stop, {}
        for start in range(0, P, rows):
            stop = min(P, start + rows)
            met = stop - start, tuple(run for run in self.rows if run.first < stop and start < run.stop)
            first, count = counts.get(met, (start, 0)) if len(met[1]) == 1 else (start, 0)
            counts[met] = first, count + 1
        for (height, _), (first, count) in counts.items():
            yield first, first + height, count

    def work(self, order: Order, block: int) -> float:
        """Of one slice in tasks of `block` rows."""
        Q = self.columns[-1].stop
        across = self.mean_taps(self.columns, 0, Q, min(Q, self.MR))        # that a tile sees of a row
        if order.bands == ROW_BANDS:
            return sum((run.stop - run.first) * self.tiles(Q, across * run.taps) for run in self.rows)
        work, reach = 0.0, (self.MR - 1) // Q + 1
        for start, stop, count in self.blocks(block):
            if order.bands == 0:
                work += count * self.tiles((stop - start) * Q, across * self.mean_taps(self.rows, start, stop, reach))
                continue
            for run in self.rows:
                rows = min(stop, run.stop) - max(start, run.first)
                if rows > 0 and not order.segments:
                    work += count * self.tiles(rows * Q, across * run.taps)
                elif rows > 0:
                    for column in self.columns:
                        pixels = rows * (column.stop - column.first)
                        work += count * (self.tiles(pixels, run.taps * column.taps) + ceil_div(pixels, self.MR) * self.turns)
        return work

    @property
    def live(self) -> float:
        """Share of the taps of all pixels that see the image."""
        down, across = (sum((run.stop - run.first) * run.taps for run in runs) / runs[-1].stop
                        for runs in (self.rows, self.columns))
        return down * across / (self.row_taps * self.column_taps)


def cutting(p: Problem, m: Machine, row_runs: bool) -> Cutting:
    """`row_runs`: a row of taps is one run of im2col_channels."""
    axes = list(zip(p.size, p.kernel, p.stride, p.dilation, (before for before, _ in p.padding), p.output_size))[-2:]
    rows, columns = (runs_of(*axis) for axis in ([(1, 1, 1, 1, 0, 1)] * (2 - len(axes)) + axes))
    if row_runs:
        columns = (Run(0, p.output_size[-1], 0, 1),)
    channels = p.C // p.G * (p.kernel[-1] if row_runs else 1)
    vectors = m.NR // m.lanes / 2 * channels            # cycles of a pixel and tap
    return Cutting(rows, columns, [1, *p.kernel][-2], 1 if row_runs else p.kernel[-1], tile_rows(p, m),
                   max(FEWEST, LATENCY * m.step / (m.NR // m.lanes / 2)), RUN_START[m.halves] * m.step / vectors,
                   TILE_START / vectors, 2 * TILE_START / vectors if p.channels_last else 0)


def best_order(p: Problem, m: Machine, row_runs: bool, block: int) -> Order:
    """The order with the least work in tasks of `block` whole rows."""
    if p.shuffle and p.output_size[-1] >= SHORTEST_ROW:
        return Order(ROW_BANDS, 0)
    if not p.padded or p.padding_mode != "zeros":
        return Order(0, 0)
    orders = ORDERS if len(p.size) < 3 or p.output_size[0] == 1 else (Order(0, 0), Order(ROW_BANDS, 0))
    cut = cutting(p, m, row_runs)
    if cut.live > WORTH_A_LOOK or len(cut.rows) + len(cut.columns) > MOST_RUNS:
        return Order(0, 0)
    return min(orders, key=lambda order: cut.work(order, block) * (WORTH_SORTING if order.segments else WORTH[order.bands]))


def live_share(p: Problem, m: Machine, row_runs: bool) -> float:
    """Share of the work of all pixels and taps that is left if tiles pass over taps that see zero padding only."""
    if not p.padded or p.padding_mode != "zeros" or not p.pixels:
        return 1.0
    rows, row = [1, *p.output_size][-2:]
    order, share = best_order(p, m, row_runs, rows), 1.0
    if order.bands:
        cut = cutting(p, m, row_runs)
        share = cut.work(order, rows) / cut.tiles(rows * row, cut.row_taps * cut.column_taps)
    if len(p.size) == 3:
        slices = runs_of(p.size[0], p.kernel[0], p.stride[0], p.dilation[0], p.padding[0][0], p.output_size[0])
        share *= sum((run.stop - run.first) * run.taps for run in slices) / (p.kernel[0] * p.output_size[0])
    return share
