"""Figures with rows of cells: one axis, from the input below to the last output above, with a line for every tap."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .draw_canvas import Dot, Path, Point, Shape, Text, mix, round_square
from .draw_figure import AMBER, EDGE, EMBER, INK, LABEL, OUTPUT, PALE, PAPER, input_color, label_of, layer_color, read_color
from .draw_windows import HOLE, OUTSIDE, Axis, Layer, fields, outputs, still_of

WIDEST, LARGEST_CELL, RISE = 760.0, 40.0, 92.0        # of a cell, and from row to row
INSET, ROUND = 0.07, 0.2                            # parts of a cell
LEGIBLE = 17.0                                      # a smaller cell has no number
MOST_LINKS = 3000
CURVE = 14                                          # pieces of a line


class Row(NamedTuple):
    """Cells on one height: position u of the grid lies at `start` + u * `step`."""

    start: float
    step: float
    y: float
    cell: float

    def x(self, u: float) -> float:
        return self.start + u * self.step

    def square(self, u: float) -> tuple[Point, ...]:
        """A cell with round corners."""
        left, top = self.x(u) - self.cell / 2, self.y - self.cell / 2
        return tuple((left + x * self.cell, top + y * self.cell) for x, y in round_square(INSET, ROUND))


def align(axis: Axis) -> float:
    """Position of the grid that output 0 stands above: of its window the part that padding says, the middle without."""
    reach = axis.dilation * (axis.kernel - 1)
    pads = max(axis.before, 0) + max(axis.after, 0)
    return reach * (max(axis.before, 0) / pads if pads else 0.5) - axis.before


def arrange(axes: Sequence[Axis]) -> list[Row]:
    """Rows such that every output stands above the pixels that it sees."""
    places = [(0.0, 1.0 / axes[0].spread)]              # start and step of a row, in pixels of the input
    for number, axis in enumerate(axes):
        start, step = places[-1]
        spread = axes[number + 1].spread if number + 1 < len(axes) else 1
        places.append((start + align(axis) * step, step * axis.step / spread))
    grids = [axis.grid for axis in axes] + [range(axes[-1].output)]
    left = min(start + grid[0] * step for (start, step), grid in zip(places, grids))
    right = max(start + grid[-1] * step for (start, step), grid in zip(places, grids))
    narrow = min(min(step, 1.0) for _, step in places)
    unit = min(LARGEST_CELL / narrow, WIDEST / (right - left + 1))
    rise = max(RISE, 0.13 * unit * (right - left)) if len(axes) == 1 else RISE
    return [Row((start - left) * unit, step * unit, -rise * number, min(step * unit, LARGEST_CELL, unit))
            for number, (start, step) in enumerate(places)]


def link(below: Row, u: float, above: Row, p: float, color: str, width: float, opacity: float = 1.0) -> Path:
    """A curve from a tap up to its output."""
    x0, y0 = below.x(u), below.y - below.cell * (0.5 - INSET)
    x1, y1 = above.x(p), above.y + above.cell * (0.5 - INSET)
    steps = [i / CURVE for i in range(CURVE + 1)]
    return Path(tuple((x0 + (x1 - x0) * t * t * (3 - 2 * t), y0 + (y1 - y0) * t) for t in steps),
                stroke=color, width=width, opacity=opacity, closed=False)


class Rows:
    """The rows of a chain of layers, and the shapes of every frame."""

    def __init__(self, chain: Sequence[Layer]):
        self.chain = list(chain)
        self.axes = [layer.axes[0] for layer in chain]
        self.rows = arrange(self.axes)
        self.sources = [dict(zip(axis.grid, axis.sources())) for axis in self.axes]
        self.frames = [p for _, p in outputs(self.chain[-1])]
        self.still = still_of(self.chain[-1])
        self.ground = self.all_links() + self.labels() + [shape for i in range(len(self.axes)) for u in self.axes[i].grid
                                                          for shape in self.cell(i, u)]

    def all_links(self) -> list[Shape]:
        """Every tap of every output, faint; none where they would be a grey area."""
        if sum(axis.output * axis.kernel for axis in self.axes) > MOST_LINKS:
            return []
        return [link(self.rows[i], u, self.rows[i + 1], self.place(i + 1, p), EDGE, 0.8, 0.55)
                for i, axis in enumerate(self.axes) for p in range(axis.output) for u in axis.reads(p)]

    def labels(self) -> list[Shape]:
        """Which layer is which, at the left; nothing for a single one, whose sizes are written below."""
        if len(self.chain) == 1:
            return []
        left = min(row.x(axis.grid[0]) for row, axis in zip(self.rows, self.axes)) - self.rows[0].cell / 2
        return [Text((left - LABEL, row.y - RISE / 2 + LABEL / 3), label_of(layer), LABEL, PALE, "r")
                for layer, row in zip(self.chain, self.rows)]

    def place(self, number: int, p: int) -> int:
        """Position of pixel `p` in the grid of a row."""
        return p * self.axes[number].spread if number < len(self.axes) else p

    def cell(self, number: int, u: int, weight: float = 0.0) -> list[Shape]:
        """A pixel, a hole or padding; `weight` of what the current output reads, 0 to 1."""
        row, source = self.rows[number], self.sources[number].get(u, OUTSIDE)
        square = row.square(u)
        if source < 0:
            color = EMBER if weight else EDGE
            shapes: list[Shape] = [Path(square, mix(PAPER, AMBER, 0.4 * weight) if weight else PAPER),
                                   Path(square, stroke=color, width=1.0, dashed=True)]
            return [*shapes, Dot((row.x(u), row.y), 1.6, color)] if source == HOLE else shapes
        axis = self.axes[number]
        color = (read_color(weight) if weight else input_color((source,), (axis.size,)) if number == 0
                 else layer_color(number, len(self.axes)))
        copy = source * axis.spread != u
        if copy:
            color = mix(color, PAPER, 0.45 if weight else 0.62)
        shapes = [Path(square, color)]
        return shapes + self.number(row, u, source, INK if copy or weight else "#ffffff")

    def number(self, row: Row, u: int, text: int, color: str) -> list[Shape]:
        if row.cell < LEGIBLE:
            return []
        size = min(0.42 * row.cell, 15.0)
        return [Text((row.x(u), row.y + 0.35 * size), str(text), size, color)]

    def frame(self, number: int) -> list[Shape]:
        """What lies on the ground while output `number` is computed."""
        p = self.frames[number]
        reads = fields(self.chain, p)
        shapes: list[Shape] = []
        above: dict[int, int] = {p[0]: 1}
        for i in reversed(range(len(self.axes))):
            axis = self.axes[i]
            shapes += [link(self.rows[i], u, self.rows[i + 1], self.place(i + 1, pixel), EMBER, 1.6)
                       for pixel in sorted(above) for u in axis.reads(pixel)]
            most = max(reads[i].values())
            for (u,), paths in sorted(reads[i].items()):
                shapes += self.cell(i, u, paths / most)
            above = {source: 1 for (u,) in reads[i] if (source := self.sources[i].get(u, OUTSIDE)) >= 0}
        return shapes + self.outputs(number)

    def outputs(self, number: int) -> list[Shape]:
        row, shapes = self.rows[-1], []
        for q in range(self.axes[-1].output):
            color = AMBER if q == number else mix(OUTPUT, "#ffffff", 0.1) if q < number else mix(PAPER, OUTPUT, 0.18)
            shapes.append(Path(row.square(q), color))
            shapes += self.number(row, q, q, "#ffffff" if q < number else INK)
        return shapes
