"""Pictures of pooling, resampling, rearranging and regions: what the functions make of a photograph."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .. import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    channel_shuffle,
    deform_roi_pool,
    focus,
    fold,
    grid_sample,
    interpolate,
    lp_pool2d,
    max_pool2d,
    max_unpool2d,
    pad,
    pixel_shuffle,
    pixel_unshuffle,
    ps_roi_pool,
    roi_align,
    roi_pool,
    spatial_pyramid_pool2d,
    unfold,
)
from .draw_canvas import Dot, Text, mix
from .draw_figure import AMBER, INK
from .draw_panels import COLORS, WHITE, Card, Panel, box, grid, line, write_card

EYE = slice(76, 156), slice(126, 222)           # of the photograph, in pixels
FACE = slice(0, 288), slice(40, 424)

Image = np.ndarray                              # (H, W, C)


def batch(image: Image) -> np.ndarray:
    """(1, C, H, W)."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)


def of_batch(x: np.ndarray) -> Image:
    return x[0].transpose(1, 2, 0)


def smaller(image: Image, factor: float) -> Image:
    return of_batch(interpolate(batch(image), scale_factor=factor, mode="bilinear", antialias=True))


def grey(image: Image) -> Image:
    return image @ np.float32([[0.299], [0.587], [0.114]])


def tinted(plane: np.ndarray, color: str) -> Image:
    """A plane from dark to light in one colour."""
    full = np.array([int(color[i:i + 2], 16) / 255 for i in (1, 3, 5)])
    light = 0.25 + 0.75 * plane[..., None]
    return np.where(light < 0.7, full * light / 0.7, full + (1 - full) * (light - 0.7) / 0.45)


# ---- pooling --------------------------------------------------------------------------------------------------------


def windows(photograph: Image) -> Card:
    eye = smaller(photograph[EYE], 0.5)
    x = batch(eye)
    marks = (*grid(0, 0, 48, 40, 12, 10, "#ffffff", 0.5), box(20, 16, 24, 20, AMBER, 3))
    cell = (box(5, 4, 6, 5, AMBER, 3),)
    kinds = [("max_pool2d", max_pool2d(x, 4)), ("avg_pool2d", avg_pool2d(x, 4)),
             ("lp_pool2d, p = 4", lp_pool2d(x, 4, 4) / 2)]
    return Card("pool_windows", "Max, average and Lp pooling",
                "windows of 4 x 4 pixels, stride 4; Lp divided by 16^(1/4)",
                ((Panel(eye, 5, "input", marks),
                  *(Panel(of_batch(y), 14, name, cell, not i) for i, (name, y) in enumerate(kinds))),))


def overlapping(photograph: Image) -> Card:
    eye = smaller(photograph[EYE], 0.5)
    x = batch(eye)
    return Card("pool_large", "Max pooling with large windows",
                "stride 1, padding half a window; every pixel keeps its place",
                ((Panel(eye, 5, "input"), *(Panel(of_batch(max_pool2d(x, k, 1, k // 2)), 5, f"max {k} x {k}",
                                                   (box(20 - k / 2, 16 - k / 2, 20 + k / 2, 16 + k / 2, AMBER, 2),))
                                             for k in (3, 7))),))


def adaptive(photograph: Image) -> Card:
    eye = smaller(photograph[EYE], 0.3)
    x = batch(eye)
    H, W = eye.shape[:2]
    marks = [box(q * W // 7, p * H // 5, -(-(q + 1) * W // 7), -(-(p + 1) * H // 5), COLORS[(p + q) % 2 * 2], 2)
             for p in range(5) for q in range(7)]
    return Card("pool_adaptive", "Adaptive pooling",
                f"{H} x {W} pixels to 5 x 7: window i is floor(i n / m) .. ceil((i + 1) n / m) - 1",
                ((Panel(eye, 8, "input and windows", tuple(marks)),
                  Panel(of_batch(adaptive_avg_pool2d(x, (5, 7))), 26, "average", arrow=True),
                  Panel(of_batch(adaptive_max_pool2d(x, (5, 7))), 26, "largest")),))


def unpooled(photograph: Image) -> Card:
    eye = grey(smaller(photograph[EYE], 0.25))
    y, places = max_pool2d(batch(eye), 4, return_indices=True)
    W = eye.shape[1]
    marks = [*grid(0, 0, W, eye.shape[0], W // 4, eye.shape[0] // 4, WHITE, 1),
             *(Dot((i % W + 0.5, i // W + 0.5), 5, AMBER) for i in places.ravel())]
    back = of_batch(max_unpool2d(y, places, 4))
    return Card("pool_unpool", "Max unpooling",
                "the largest number of each window goes back to where it came from; the rest is zero",
                ((Panel(eye[..., 0], 9, "input, dots: the largest", tuple(marks)),
                  Panel(of_batch(y)[..., 0], 36, "values", arrow=True),
                  Panel(back[..., 0], 9, "max_unpool2d", arrow=True)),))


def pyramid(photograph: Image) -> Card:
    face = smaller(photograph[FACE], 0.5)
    H, W = face.shape[:2]
    levels = (1, 2, 4)
    values = spatial_pyramid_pool2d(batch(face), levels, "avg")[0]
    panels, parts, at = [], [], 0
    for level in levels:
        part = values[at:at + 3 * level * level].reshape(3, level, level).transpose(1, 2, 0)
        at += 3 * level * level
        panels.append(Panel(face, 1, f"{level} x {level}", grid(0, 0, W, H, level, level, AMBER, 2)))
        parts.append(part.reshape(1, -1, 3))
    strip = np.concatenate(parts, axis=1)
    return Card("pool_pyramid", "Spatial pyramid pooling",
                "windows of three levels, whatever the image's size: always 1 + 4 + 16 numbers a channel",
                (tuple(panels), (Panel(strip, 29.6, "spatial_pyramid_pool2d, levels (1, 2, 4), mode avg"),)))


# ---- resampling -----------------------------------------------------------------------------------------------------


def enlarged(photograph: Image) -> Card:
    eye = smaller(photograph[EYE], 0.25)[2:18, 2:22]
    x = batch(eye)
    modes = ("nearest", "bilinear", "bicubic")
    return Card("resize_up", "Interpolation: an image enlarged",
                "20 x 16 pixels, scale factor 8",
                (tuple(Panel(of_batch(interpolate(x, scale_factor=8, mode=mode)), 1.5, mode) for mode in modes),))


def reduced(photograph: Image) -> Card:
    x = batch(photograph[120:300, :200])
    size = (45, 50)
    ways = (("nearest", {"mode": "nearest"}), ("bilinear", {"mode": "bilinear"}), ("area", {"mode": "area"}),
            ("bilinear, antialias", {"mode": "bilinear", "antialias": True}))
    return Card("resize_down", "Interpolation: an image reduced",
                "200 x 180 pixels to 50 x 45; without antialias whiskers break, since most pixels are not read",
                (tuple(Panel(of_batch(interpolate(x, size, **options)), 3.6, name) for name, options in ways),))


def warped(photograph: Image) -> Card:
    face = smaller(photograph[FACE], 0.5)
    H, W = face.shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, H), np.linspace(-1, 1, W), indexing="ij")
    turn = 1.1 * np.exp(-2.2 * (x * x + y * y))
    at = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], -1)
    pixels = ((at + 1) * [W, H] - 1) / 2
    marks = [line(pixels[i, ::4], AMBER, 1.4) for i in range(0, H, 12)] + [line(pixels[::4, j], AMBER, 1.4)
                                                                          for j in range(0, W, 12)]
    inside = [m._replace(points=tuple((min(max(px, 0), W), min(max(py, 0), H)) for px, py in m.points)) for m in marks]
    result = of_batch(grid_sample(batch(face), at[None].astype(np.float32)))
    return Card("grid_sample", "grid_sample",
                "the grid says for each pixel of the result where it is read in the input",
                ((Panel(face, 1.1, "input, every 12th line of the grid", tuple(inside)),
                  Panel(result, 1.1, "result", grid(0, 0, W, H, W // 12, H // 12, WHITE, 0.4), True)),))


def padded(photograph: Image) -> Card:
    eye = smaller(photograph[EYE], 0.5)
    H, W = eye.shape[:2]
    x, n = batch(eye), 14
    modes = (("constant", {"value": 0.85}), ("replicate", {}), ("reflect", {}), ("symmetric", {}), ("circular", {}))
    panels = tuple(Panel(of_batch(pad(x, (n,) * 4, mode=mode, **more)), 2.1, mode, (box(n, n, n + W, n + H, WHITE, 1.6),))
                   for mode, more in modes)
    return Card("pad", "Padding", "14 pixels on all sides of the image in the frame", (panels,))


# ---- rearranging ----------------------------------------------------------------------------------------------------


def shuffled(photograph: Image) -> Card:
    plane = smaller(photograph[EYE], 0.25)[..., 1]
    parts = pixel_unshuffle(plane[None].copy(), 2)
    colors = [tinted(part, color) for part, color in zip(parts, COLORS)]
    whole = of_batch(pixel_shuffle(np.stack([c[..., k] for k in range(3) for c in colors])[None], 2))
    return Card("pixel_shuffle", "Pixel shuffle",
                "four channels become the pixels of 2 x 2 blocks; pixel_unshuffle takes them apart again",
                ((*(Panel(c, 9, f"channel {i}") for i, c in enumerate(colors)),
                  Panel(whole, 9, "pixel_shuffle, 2", arrow=True)),))


def focused(photograph: Image) -> Card:
    eye = smaller(photograph[EYE], 0.5)[8:32, 8:36]
    slices = focus(batch(eye))[0].reshape(4, 3, 12, 14).transpose(0, 2, 3, 1)
    marks = [Dot((j + w + 0.5, i + h + 0.5), 1.6, COLORS[2 * j + i]) for i in (0, 1) for j in (0, 1)
             for h in range(0, 24, 2) for w in range(0, 28, 2)]
    names = ("rows 0, columns 0", "rows 1, columns 0", "rows 0, columns 1", "rows 1, columns 1")
    return Card("focus", "Focus",
                "every second pixel of every second row, in the order of YOLOv5: four slices, three channels each",
                ((Panel(eye, 8, "input", tuple(marks)),
                  *(Panel(part, 9, name, (box(0, 0, 14, 12, COLORS[i], 3),), not i)
                    for i, (part, name) in enumerate(zip(slices, names)))),))


def channels(photograph: Image) -> Card:
    colors = np.array([[int(mix(color, WHITE, 0.22 * i)[k:k + 2], 16) / 255 for k in (1, 3, 5)]
                       for color in COLORS[1:4] for i in range(4)])
    after = channel_shuffle(np.ascontiguousarray(colors[None]), 3)[0]
    order = channel_shuffle(np.arange(12)[None, :, None], 3).ravel()

    def strip(rows: np.ndarray, numbers) -> tuple[np.ndarray, tuple]:
        return rows[None], tuple(Text((i + 0.5, 0.64), str(n), 13, INK) for i, n in enumerate(numbers))

    (before, first), (behind, second) = strip(colors, range(12)), strip(after, order)
    lines = [line([(n + 0.5, 0.05), (i + 0.5, 1.95)], mix(COLORS[1 + n // 4], WHITE, 0.1), 1.6) for i, n in enumerate(order)]
    paper = np.full((2, 12, 3), 0xfb / 255)
    return Card("channel_shuffle", "Channel shuffle",
                "12 channels in 3 groups: afterwards each group has some of every one",
                ((Panel(before, 40, "", first),), (Panel(paper, 40, "", tuple(lines)),), (Panel(behind, 40, "", second),)))


def unfolded(photograph: Image) -> Card:
    eye = smaller(photograph[EYE], 0.1)
    H, W = eye.shape[:2]
    columns = unfold(batch(eye), 3)[0].reshape(3, 9, -1).transpose(1, 2, 0)
    count = fold(unfold(np.ones((1, 1, H, W), np.float32), 3), (H, W), 3)[0, 0]
    windows = (box(2, 3, 5, 6, AMBER, 3), box(3, 3, 6, 6, COLORS[2], 3))
    at = 3 * (W - 2) + 2
    marks = (box(at, 0, at + 1, 9, AMBER, 3), box(at + 1, 0, at + 2, 9, COLORS[2], 3))
    numbers = tuple(Text((w + 0.5, h + 0.7), f"{count[h, w]:g}", 9, INK if count[h, w] > 4 else WHITE)
                    for h in range(H) for w in range(W))
    return Card("unfold_fold", "Unfold and fold",
                "3 x 3 windows as columns; fold adds columns up again: each pixel as often as windows hold it",
                ((Panel(eye, 16, "input", windows), Panel(0.25 + 0.7 * count / 9, 16, "fold(unfold(1))", numbers)),
                 (Panel(columns, 11, f"unfold: 9 x {columns.shape[1]}, each row a tap, each column a window", marks),)))


# ---- regions --------------------------------------------------------------------------------------------------------


def boxes(photograph: Image) -> Card:
    face = smaller(photograph[46:190, 92:284], 0.25)
    x = batch(face)
    region = np.array([[0, 8.6, 7.3, 30.9, 26.2]], np.float32)
    _, x1, y1, x2, y2 = region[0]
    near = np.floor(region[0] + 0.5)
    high, wide = near[4] - near[2] + 1, near[3] - near[1] + 1
    bins = [box(near[1] + np.floor(q * wide / 7), near[2] + np.floor(p * high / 7), near[1] + np.ceil((q + 1) * wide / 7),
                near[2] + np.ceil((p + 1) * high / 7), AMBER, 1.1) for p in range(7) for q in range(7)]
    dots = [Dot((x1 + (q + (j + 0.5) / 2) * (x2 - x1) / 7, y1 + (p + (i + 0.5) / 2) * (y2 - y1) / 7), 1.4, WHITE)
            for p in range(7) for q in range(7) for i in (0, 1) for j in (0, 1)]
    return Card("roi_pool_align", "RoI pooling and RoI align",
                "one box, 7 x 7 bins; pooling rounds to whole pixels, align takes 2 x 2 samples of each bin",
                ((Panel(face, 7, "whole pixels, bins overlap", tuple(bins)),
                  Panel(of_batch(roi_pool(x, region, 7)), 24, "roi_pool", arrow=True)),
                 (Panel(face, 7, "samples between pixels", (*grid(x1, y1, x2, y2, 7, 7, AMBER, 1.4), *dots)),
                  Panel(of_batch(roi_align(x, region, 7, 1.0, 2, True)), 24, "roi_align", arrow=True))))


def positions(photograph: Image) -> Card:
    face = smaller(photograph[FACE], 0.125)[..., 1]
    maps = [tinted(face, color) for color in COLORS]
    planes = np.stack([m[..., k] for k in range(3) for m in maps])[None].astype(np.float32)
    region = np.array([[0, 6, 3, 41, 32]], np.float32)
    y = of_batch(ps_roi_pool(np.ascontiguousarray(planes), region, 3))
    panels = []
    for i, image in enumerate(maps):
        p, q = divmod(i, 3)
        panels.append(Panel(image, 3, f"channel {i}", (*grid(6, 3, 42, 33, 3, 3, WHITE, 0.6),
                                                       box(6 + 12 * q, 3 + 10 * p, 18 + 12 * q, 13 + 10 * p, INK, 2))))
    return Card("roi_position", "Position-sensitive RoI pooling",
                "3 x 3 bins: each is the mean of its own channel",
                ((*panels[:3], Panel(y, 36, "ps_roi_pool", arrow=True)), tuple(panels[3:6]), tuple(panels[6:])))


def moved(photograph: Image) -> Card:
    face = smaller(photograph[46:190, 92:284], 0.25)
    x = batch(face)
    left, top, wide, high, n = 8, 7, 24, 20, 6
    region = np.array([[0, left, top, left + wide, top + high]], np.float32)
    v, u = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n), indexing="ij")
    offset = np.stack([-0.9 * v - 0.3 * u, 0.9 * u - 0.3 * v])[None].astype(np.float32)        # x, y: a turn
    marks = []
    for p in range(n):
        for q in range(n):
            x1, y1 = left + q * wide / n, top + p * high / n
            dx, dy = 0.1 * offset[0, :, p, q] * [wide, high]
            marks.append(box(x1 + dx, y1 + dy, x1 + wide / n + dx, y1 + high / n + dy, AMBER, 1.4))
            marks.append(line([(x1 + wide / n / 2, y1 + high / n / 2),
                               (x1 + wide / n / 2 + dx, y1 + high / n / 2 + dy)], WHITE, 1.4))
    y = deform_roi_pool(x, region, offset, n, 1.0, 4, 0.1)
    still = deform_roi_pool(x, region, None, n, 1.0, 4)
    return Card("roi_deform", "Deformable RoI pooling",
                "6 x 6 bins, each moved by its own offset, a share of the box",
                ((Panel(face, 7, "bins where they are read", tuple(marks)),
                  Panel(of_batch(still), 26, "without offsets", arrow=True), Panel(of_batch(y), 26, "deform_roi_pool")),))


CARDS: tuple[Callable[[Image], Card], ...] = (
    windows, overlapping, adaptive, unpooled, pyramid, enlarged, reduced, warped, padded, shuffled, focused, channels,
    unfolded, boxes, positions, moved)


def write_operations(directory: Path, photograph: Image, advance: Callable[[], None]) -> list[Card]:
    """Write all cards as PNG; returns them.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    cards = [make(photograph) for make in CARDS]
    for card in cards:
        write_card(card, directory / f"{card.name}.png")
        advance()
    return cards
