"""Figures with planes: the input below, outputs above, the window between them; seen from the front and from above."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from math import cos, radians, sin
from typing import NamedTuple

from .draw_canvas import Path, Point, Shape, Text, mix, round_square
from .draw_figure import (
    AMBER,
    BROWN,
    EDGE,
    EMBER,
    INK,
    LABEL,
    PALE,
    PAPER,
    input_color,
    label_of,
    layer_color,
    output_color,
    read_color,
)
from .draw_windows import HOLE, OUTSIDE, Layer, Place, fields, outputs, still_of

AZIMUTH, ELEVATION = radians(24), radians(40)
WIDEST, LARGEST_CELL = 430.0, 34.0
GAP, NARROW_GAP = 1.5, 0.9          # cells between two planes, on the screen; in a stack
BESIDE = 1.1                        # cells between two channels
THICK, LIFT, INSET, ROUND = 0.16, 0.34, 0.045, 0.16     # of a tile, in cells


class Plane(NamedTuple):
    """A grid of cells on the screen: `row`, `column` of its first cell, how many, and where the origin lies."""

    row: int
    column: int
    rows: int
    columns: int
    cell: float
    at: Point = (0.0, 0.0)

    def put(self, row: float, column: float, height: float = 0.0) -> Point:
        x, y = column * cos(AZIMUTH) - row * sin(AZIMUTH), column * sin(AZIMUTH) + row * cos(AZIMUTH)
        return self.at[0] + x * self.cell, self.at[1] + (y * sin(ELEVATION) - height * cos(ELEVATION)) * self.cell

    @property
    def corners(self) -> tuple[Point, ...]:
        return self.box(self.row, self.column, self.row + self.rows, self.column + self.columns)

    def box(self, top: float, left: float, bottom: float, right: float, height: float = 0.0) -> tuple[Point, ...]:
        return (self.put(top, left, height), self.put(top, right, height), self.put(bottom, right, height),
                self.put(bottom, left, height))

    def face(self, row: float, column: float, height: float = 0.0) -> tuple[Point, ...]:
        """A cell with round corners."""
        return tuple(self.put(row + y, column + x, height) for x, y in round_square(INSET, ROUND))

    def middle(self, row: float, column: float, height: float = 0.0) -> Point:
        return self.put(row + 0.5, column + 0.5, height)


def tile(plane: Plane, place: Place, color: str, height: float = 0.0, thick: float = THICK, dark: str = INK) -> list[Shape]:
    """A solid tile whose top is at `height`."""
    top, bottom = plane.face(*place, height), plane.face(*place, height - thick)
    return [Path(hull((*top, *bottom)), mix(color, dark, 0.34)), Path(top, color)]


def hull(points: Sequence[Point]) -> tuple[Point, ...]:
    """The convex hull, counterclockwise."""
    ordered = sorted(set(points))

    def half(these) -> list[Point]:
        chain: list[Point] = []
        for p in these:
            while len(chain) > 1 and turn(chain[-2], chain[-1], p) <= 0:
                chain.pop()
            chain.append(p)
        return chain[:-1]

    return (*half(ordered), *half(reversed(ordered)))


def turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def hollow(plane: Plane, place: Place, color: str = EDGE, height: float = 0.0, fill: str = "") -> list[Shape]:
    """A dashed cell: padding."""
    face = plane.face(*place, height)
    return ([Path(face, fill)] if fill else []) + [Path(face, stroke=color, width=1.0, dashed=True)]


def hole(plane: Plane, place: Place, color: str = EDGE, height: float = 0.0, fill: str = "") -> list[Shape]:
    """A dashed cell with a cross inside: between two pixels of a stretched input."""
    a, b, c, d = plane.box(place[0] + 0.36, place[1] + 0.36, place[0] + 0.64, place[1] + 0.64, height)
    return hollow(plane, place, color, height, fill) + [Path(ends, stroke=color, width=1.2, closed=False)
                                                        for ends in ((a, c), (b, d))]


def in_two_axes(place: Place) -> Place:
    return place if len(place) == 2 else (0, *place)


class Stage:
    """The planes of a chain of layers, and the shapes of every frame.

    Only the first and the last row have more than one plane, one for each channel; a chain of several layers has one.
    """

    def __init__(self, chain: Sequence[Layer]):
        self.chain = list(chain)
        self.last = len(self.chain)
        self.tables = [{in_two_axes(place): source if isinstance(source, int) else in_two_axes(source)
                        for place, source in layer.sources().items()} for layer in self.chain]
        self.frames = list(outputs(self.chain[-1]))
        self.still = still_of(self.chain[-1])
        self.numbered = self.chain[0].axes[0].padding_mode != "zeros"
        self.rows = self.arrange()

    def arrange(self) -> list[list[Plane]]:
        """Rows of planes from the first layer's input to the last one's output, centred one above the other."""
        first, last = self.chain[0], self.chain[-1]
        counts = [first.C, *[1] * (self.last - 1), last.K]
        grids = []
        for table in self.tables:
            rows, columns = zip(*table)
            grids.append((min(rows), min(columns), max(rows) - min(rows) + 1, max(columns) - min(columns) + 1))
        grids.append((0, 0, *in_two_axes_size(last.output)))
        widths = []
        for count, grid in zip(counts, grids):
            xs = [x for x, _ in Plane(*grid, 1.0).corners]
            widths.append(count * (max(xs) - min(xs)) + (count - 1) * BESIDE)
        cell = min(LARGEST_CELL, (WIDEST if max(counts) == 1 else 1.7 * WIDEST) / max(widths))
        rows, floor = [], 0.0
        for count, grid, width in zip(counts, grids, widths):
            corners = Plane(*grid, cell).corners
            left, right = min(x for x, _ in corners), max(x for x, _ in corners)
            top, bottom = min(y for _, y in corners), max(y for _, y in corners)
            step = right - left + BESIDE * cell
            rows.append([Plane(*grid, cell, (n * step - width * cell / 2 - left, floor - bottom)) for n in range(count)])
            floor -= bottom - top + (GAP if self.last == 1 else NARROW_GAP) * cell
        return rows

    @cached_property
    def ground(self) -> list[Shape]:
        """What no frame changes: the input, and which layer is which."""
        shapes = [shape for c, plane in enumerate(self.rows[0]) for shape in self.input_plane(0, c, plane)]
        if self.last > 1:
            left = min(x for row in self.rows for x, _ in row[0].corners)
            for layer, (below, above) in zip(self.chain, pairwise(row[0] for row in self.rows)):
                top, bottom = min(y for _, y in below.corners), max(y for _, y in above.corners)
                shapes.append(Text((left, (top + bottom) / 2 + LABEL / 3), label_of(layer), LABEL, PALE, "l"))
        return shapes

    def input_plane(self, number: int, channel: int, plane: Plane) -> list[Shape]:
        shapes: list[Shape] = []
        for place, source in sorted(self.tables[number].items(), key=lambda pair: not isinstance(pair[1], int)):
            shapes += self.cell(number, channel, plane, place, source)
        return shapes

    def color(self, number: int, channel: int, source: Place) -> str:
        if self.last > 1:
            return layer_color(number, self.last)
        layer = self.chain[0]
        return input_color(source, in_two_axes_size(layer.size), channel // (layer.C // layer.G))

    def cell(self, number: int, channel: int, plane: Plane, place: Place, source: Place | int, height: float = 0.0,
             weight: float = 0.0) -> list[Shape]:
        """A pixel, a hole or padding; `weight` of what the current output reads, 0 to 1."""
        if isinstance(source, int):
            fill = mix(PAPER, AMBER, 0.4 * weight) if weight else ""
            draw = hole if source == HOLE else hollow
            return draw(plane, place, EMBER if weight else EDGE, height or -THICK, fill)
        layer = self.chain[number]
        spread = tuple(axis.spread for axis in layer.axes)
        spread = spread if len(spread) == 2 else (1, *spread)
        color = read_color(weight) if weight else self.color(number, channel, source)
        copy = tuple(i * s for i, s in zip(source, spread)) != place
        if copy:
            color = mix(color, PAPER, 0.45 if weight else 0.62)
        shapes = tile(plane, place, color, height, LIFT, BROWN) if weight else tile(plane, place, color)
        if self.numbered:
            columns = in_two_axes_size(layer.size)[1]
            x, y = plane.middle(*place, height)
            ink = INK if copy or weight else "#ffffff"
            shapes.append(Text((x, y + 0.12 * plane.cell), str(source[0] * columns + source[1]), 0.36 * plane.cell, ink))
        return shapes

    def frame(self, number: int) -> list[Shape]:
        """What lies on the ground while output `number` is computed."""
        k, p = self.frames[number]
        reads = [{in_two_axes(place): n for place, n in counts.items()} for counts in fields(self.chain, p)]
        shapes: list[Shape] = []
        for i in range(self.last):
            channels = self.chain[0].channels_of(k) if self.last == 1 else range(1)
            if i:
                shapes += self.input_plane(i, 0, self.rows[i][0])
            target = self.target(i + 1, k, in_two_axes(p), reads)
            for c in channels:
                base = box_of(self.rows[i][c], reads[i], LIFT)
                shapes.append(Path(hull((*base, *target)), AMBER, opacity=0.17))
                shapes += self.window(i, c, reads[i])
                shapes += beam(base, target)
        for channel, plane in enumerate(self.rows[-1]):
            shapes += self.output_plane(channel, plane, number)
        return shapes

    def window(self, number: int, channel: int, reads: Mapping[Place, int]) -> list[Shape]:
        """The taps, raised; deeper in colour the more often they are read."""
        plane, most = self.rows[number][channel], max(reads.values())
        shapes: list[Shape] = []
        for place in sorted(reads):
            source = self.tables[number].get(place, OUTSIDE)
            shapes += self.cell(number, channel, plane, place, source, LIFT, reads[place] / most)
        return shapes

    def target(self, number: int, k: int, p: Place, reads) -> tuple[Point, ...]:
        """Where a beam ends: the cells of the next plane that are computed from what it reads."""
        if number == self.last:
            return box_of(self.rows[-1][k], [p], -THICK)
        pixels = [place for place in reads[number] if not isinstance(self.tables[number].get(place, OUTSIDE), int)]
        return box_of(self.rows[number][0], pixels or list(reads[number]), 0.0)

    def output_plane(self, channel: int, plane: Plane, number: int) -> list[Shape]:
        shapes: list[Shape] = []
        layer = self.chain[-1]
        color = output_color(channel // (layer.K // layer.G), layer.G)
        for at, (k, p) in enumerate(self.frames):
            if k != channel:
                continue
            place = in_two_axes(p)
            if at == number:
                shapes += tile(plane, place, AMBER, dark=BROWN)
            elif at < number:
                shapes += tile(plane, place, mix(color, "#ffffff", 0.1))
            else:
                shapes += tile(plane, place, mix(PAPER, color, 0.16))
        return shapes


def in_two_axes_size(size: Place) -> Place:
    return size if len(size) == 2 else (1, *size)


def box_of(plane: Plane, places, height: float) -> tuple[Point, ...]:
    """The corners around cells."""
    rows, columns = zip(*places)
    return plane.box(min(rows), min(columns), max(rows) + 1, max(columns) + 1, height)


def beam(base: tuple[Point, ...], top: tuple[Point, ...]) -> list[Shape]:
    """The edges of what connects a window with its output."""
    return [Path(base, stroke=EMBER, width=1.2),
            *(Path(ends, stroke=EMBER, width=0.9, opacity=0.7, closed=False) for ends in zip(base, top))]
