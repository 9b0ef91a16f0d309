"""What `fastconv draw` draws with: a picture is a list of shapes, written as SVG text or painted by Pillow, antialiased."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from html import escape
from itertools import pairwise
from math import cos, hypot, radians, sin
from typing import TYPE_CHECKING, NamedTuple

from .terminal import missing

if TYPE_CHECKING:
    from PIL.Image import Image

Point = tuple[float, float]

DASH = 4.0, 3.2                 # drawn, left out; in units of the picture
ANCHORS = {"l": "start", "m": "middle", "r": "end"}
FONT = "Aileron, Helvetica, Arial, sans-serif"
MEASURED = 512                  # a size at which the hinted widths of letters are as good as exact
SHARPNESS = 3                   # pixels painted for each pixel and axis of the result


class Path(NamedTuple):
    """A polygon, or without `closed` a line."""

    points: tuple[Point, ...]
    fill: str = ""
    stroke: str = ""
    width: float = 1.0
    dashed: bool = False
    opacity: float = 1.0
    closed: bool = True


class Dot(NamedTuple):
    centre: Point
    radius: float
    fill: str
    opacity: float = 1.0


class Text(NamedTuple):
    """One line; `at` is on the baseline, at the left, middle or right of the text: anchor "l", "m" or "r"."""

    at: Point
    text: str
    size: float
    fill: str
    anchor: str = "m"


Shape = Path | Dot | Text


class Frame(NamedTuple):
    """The rectangle of a picture, and its paper."""

    left: float
    top: float
    width: float
    height: float
    paper: str


@lru_cache(maxsize=64)
def load_font(size: float):
    try:
        from PIL import ImageFont
    except ImportError:
        raise missing("pillow") from None
    return ImageFont.load_default(size)


def text_width(text: str, size: float) -> float:
    return load_font(MEASURED).getlength(text) * size / MEASURED


def mix(first: str, second: str, part: float) -> str:
    """The colour between two, `part` of the way to the second.

    >>> mix("#000000", "#ff8000", 0.5)
    '#804000'
    """
    pairs = ((int(first[i:i + 2], 16), int(second[i:i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in pairs)


def bounds(shapes: Iterable[Shape]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom."""
    xs, ys = zip(*(point for shape in shapes for point in extremes(shape)))
    return min(xs), min(ys), max(xs), max(ys)


def extremes(shape: Shape) -> Iterable[Point]:
    if isinstance(shape, Path):
        return shape.points
    if isinstance(shape, Dot):
        (x, y), r = shape.centre, shape.radius
        return (x - r, y - r), (x + r, y + r)
    width = text_width(shape.text, shape.size)
    left = shape.at[0] - width * {"l": 0.0, "m": 0.5, "r": 1.0}[shape.anchor]
    return (left, shape.at[1] - shape.size), (left + width, shape.at[1])


@lru_cache(maxsize=8)
def round_square(inset: float, radius: float) -> tuple[Point, ...]:
    """The unit square, `inset` on all sides, with round corners."""
    near, far = inset + radius, 1 - inset - radius
    angles = [radians(30 * i) for i in range(4)]
    corners = (far, far, 0), (near, far, 90), (near, near, 180), (far, near, 270)
    return tuple((x + radius * cos(radians(start) + a), y + radius * sin(radians(start) + a))
                 for x, y, start in corners for a in angles)


# SVG

def number(value: float) -> str:
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def svg_of(frame: Frame, shapes: Iterable[Shape]) -> str:
    """The shapes, the first at the back, as an SVG document."""
    left, top, width, height = (number(v) for v in frame[:4])
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left} {top} {width} {height}" width="{width}" '
             f'height="{height}" font-family="{FONT}" stroke-linejoin="round" stroke-linecap="round">',
             f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="{frame.paper}"/>']
    lines += [svg_element(shape) for shape in shapes]
    return "\n".join([*lines, "</svg>", ""])


def svg_element(shape: Shape) -> str:
    if isinstance(shape, Text):
        x, y = map(number, shape.at)
        # The length is that of our own font: a caption keeps its place in a viewer that lacks it.
        return (f'<text x="{x}" y="{y}" font-size="{number(shape.size)}" fill="{shape.fill}" '
                f'text-anchor="{ANCHORS[shape.anchor]}" textLength="{number(text_width(shape.text, shape.size))}" '
                f'lengthAdjust="spacingAndGlyphs">{escape(shape.text)}</text>')
    faint = f' opacity="{shape.opacity:.3g}"' if shape.opacity < 1 else ""
    if isinstance(shape, Dot):
        x, y = map(number, shape.centre)
        return f'<circle cx="{x}" cy="{y}" r="{number(shape.radius)}" fill="{shape.fill}"{faint}/>'
    points = " ".join(f"{number(x)},{number(y)}" for x, y in shape.points)
    line = f' stroke="{shape.stroke}" stroke-width="{number(shape.width)}"' if shape.stroke else ""
    dash = f' stroke-dasharray="{DASH[0]} {DASH[1]}"' if shape.dashed else ""
    kind = "polygon" if shape.closed else "polyline"
    return f'<{kind} points="{points}" fill="{shape.fill or "none"}"{line}{dash}{faint}/>'


# Pillow

def raster(frame: Frame, ground: Sequence[Shape], pictures: Iterable[Sequence[Shape]],
           scale: float = 1.0) -> Iterator[Image]:
    """Images of `scale` pixels to a unit: each of the pictures on the ground that they share, which is painted once."""
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise missing("pillow") from None
    zoom = scale * SHARPNESS
    place = frame.left, frame.top, zoom
    size = tuple(SHARPNESS * max(round(n * scale), 1) for n in (frame.width, frame.height))
    base = Image.new("RGB", size, frame.paper)
    paint(ImageDraw.Draw(base, "RGBA"), ground, place)
    for shapes in pictures:
        image = base.copy()
        paint(ImageDraw.Draw(image, "RGBA"), shapes, place)
        yield image.reduce(SHARPNESS)


def paint(draw, shapes, place: tuple[float, float, float]) -> None:
    left, top, zoom = place

    def put(point: Point) -> Point:
        return (point[0] - left) * zoom, (point[1] - top) * zoom

    for shape in shapes:
        if isinstance(shape, Text):
            font = load_font(round(shape.size * zoom, 2))
            draw.text(put(shape.at), shape.text, shape.fill, font, anchor=shape.anchor + "s")
            continue
        if isinstance(shape, Dot):
            x, y = put(shape.centre)
            r = shape.radius * zoom
            draw.ellipse((x - r, y - r, x + r, y + r), shade(shape.fill, shape.opacity))
            continue
        points = [put(point) for point in shape.points]
        if shape.fill:
            draw.polygon(points, shade(shape.fill, shape.opacity))
        if shape.stroke:
            outline = [*points, points[0]] if shape.closed else points
            pieces = dashes(outline, DASH[0] * zoom, DASH[1] * zoom) if shape.dashed else [outline]
            for piece in pieces:
                draw.line(piece, shade(shape.stroke, shape.opacity), max(round(shape.width * zoom), 1), joint="curve")


def shade(color: str, opacity: float) -> tuple[int, ...]:
    return (*(int(color[i:i + 2], 16) for i in (1, 3, 5)), round(255 * opacity))


def dashes(points: list[Point], on: float, off: float) -> list[list[Point]]:
    """The pieces of a line that are drawn.

    >>> dashes([(0.0, 0.0), (10.0, 0.0)], 4.0, 2.0)
    [[(0.0, 0.0), (4.0, 0.0)], [(6.0, 0.0), (10.0, 0.0)]]
    """
    pieces, drawing, left = [], True, on
    piece = [points[0]]
    for (x, y), (to_x, to_y) in pairwise(points):
        length = hypot(to_x - x, to_y - y)
        done = 0.0
        while length - done > left:
            done += left
            at = x + (to_x - x) * done / length, y + (to_y - y) * done / length
            if drawing:
                pieces.append([*piece, at])
            piece, drawing = [at], not drawing
            left = on if drawing else off
        left -= length - done
        if drawing:
            piece.append((to_x, to_y))
    return [*pieces, piece] if drawing and len(piece) > 1 else pieces
