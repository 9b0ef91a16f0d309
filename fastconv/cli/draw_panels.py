"""Cards of `fastconv draw --operations`: images side by side with marks on their pixels, a title and a line of text."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from .draw_canvas import SHARPNESS, Dot, Shape, Text, paint, text_width
from .draw_canvas import Path as Line
from .draw_figure import AMBER, EMBER, INK, NOTE, OUTPUT, PALE, PAPER, TITLE, arrow_shapes

EDGE, GAP, BELOW, ARROW = 24.0, 22.0, 20.0, 24.0     # around a card, between panels, for a label, along an arrow
FRAME = "#d4d2cc"
COLORS = (AMBER, OUTPUT, "#4f7df3", "#1fa58a", "#b45fd0", "#56708c", "#e279b4", "#7d8f2f", "#13899c")
WHITE = "#ffffff"


class Panel(NamedTuple):
    """One image, each pixel `zoom` units wide; marks are shapes in its pixels, (0, 0) its corner."""

    image: np.ndarray                       # (H, W, 3) or (H, W), 0 .. 1
    zoom: float
    label: str
    marks: tuple[Shape, ...] = ()
    arrow: bool = False                     # from the panel before it

    @property
    def size(self) -> tuple[float, float]:
        """Width and height on the card."""
        height, width = self.image.shape[:2]
        return width * self.zoom, height * self.zoom


class Card(NamedTuple):
    """A picture: rows of panels."""

    name: str                               # of its file
    title: str
    note: str
    rows: tuple[tuple[Panel, ...], ...]


def box(left: float, top: float, right: float, bottom: float, color: str = EMBER, width: float = 2.0, fill: str = "",
        opacity: float = 1.0) -> Line:
    """A rectangle."""
    return Line(((left, top), (right, top), (right, bottom), (left, bottom)), fill, color, width, opacity=opacity)


def line(points, color: str = EMBER, width: float = 2.0) -> Line:
    return Line(tuple((float(x), float(y)) for x, y in points), "", color, width, closed=False)


def grid(left: float, top: float, right: float, bottom: float, columns: int, rows: int, color: str = EMBER,
         width: float = 1.2) -> tuple[Line, ...]:
    """The lines of equal cells."""
    xs, ys = np.linspace(left, right, columns + 1), np.linspace(top, bottom, rows + 1)
    return (*(line([(x, top), (x, bottom)], color, width) for x in xs),
            *(line([(left, y), (right, y)], color, width) for y in ys))


def gap_before(panel: Panel) -> float:
    return GAP + (ARROW + GAP) * panel.arrow


def column_width(panel: Panel) -> float:
    return max(panel.size[0], text_width(panel.label, NOTE) if panel.label else 0.0)


def row_size(row: tuple[Panel, ...]) -> tuple[float, float]:
    return (sum(map(column_width, row)) + sum(map(gap_before, row[1:])),
            max(p.size[1] for p in row) + BELOW * any(p.label for p in row))


def placed(shape: Shape, left: float, top: float, zoom: float) -> Shape:
    """A mark on the card."""
    def at(point: tuple[float, float]) -> tuple[float, float]:
        return left + point[0] * zoom, top + point[1] * zoom
    if isinstance(shape, Dot):
        return shape._replace(centre=at(shape.centre))
    if isinstance(shape, Text):
        return shape._replace(at=at(shape.at))
    return shape._replace(points=tuple(map(at, shape.points)))


def write_card(card: Card, path: Path) -> None:
    """Write a card as PNG.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    from PIL import Image, ImageDraw
    sizes = [row_size(row) for row in card.rows]
    width = max(text_width(card.title, TITLE), text_width(card.note, NOTE), *(w for w, _ in sizes)) + 2 * EDGE
    height = 2 * EDGE + TITLE + 2 * NOTE + sum(h for _, h in sizes) + GAP / 2 * len(sizes)
    image = Image.new("RGB", (SHARPNESS * round(width), SHARPNESS * round(height)), PAPER)
    shapes: list[Shape] = [Text((EDGE, EDGE + 0.8 * TITLE), card.title, TITLE, INK, "l"),
                           Text((EDGE, EDGE + TITLE + 1.3 * NOTE), card.note, NOTE, PALE, "l")]
    y = EDGE + TITLE + 2 * NOTE + GAP / 2
    for row, (_, high) in zip(card.rows, sizes):
        x = EDGE
        tallest = max(panel.size[1] for panel in row)
        for number, panel in enumerate(row):
            x += gap_before(panel) if number else 0.0
            (across, down), column = panel.size, column_width(panel)
            left, top = x + (column - across) / 2, y + (tallest - down) / 2
            if panel.arrow:
                shapes += arrow_shapes(x - GAP - ARROW, x - GAP, y + tallest / 2)
            image.paste(painted(panel), (round(SHARPNESS * left), round(SHARPNESS * top)))
            shapes.append(box(left, top, left + across, top + down, FRAME, 1.0))
            shapes += [placed(mark, left, top, panel.zoom) for mark in panel.marks]
            if panel.label:
                shapes.append(Text((x + column / 2, top + down + BELOW - 2), panel.label, NOTE, INK))
            x += column
        y += high + GAP / 2
    paint(ImageDraw.Draw(image, "RGBA"), shapes, (0.0, 0.0, float(SHARPNESS)))
    path.parent.mkdir(parents=True, exist_ok=True)
    few = image.reduce(SHARPNESS).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(path, "PNG", optimize=True)


def painted(panel: Panel):
    """The panel's pixels as squares."""
    from PIL import Image
    pixels = np.clip(panel.image, 0, 1)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    width, height = (round(SHARPNESS * n) for n in panel.size)
    return Image.fromarray((pixels * 255 + 0.5).astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)
