"""The files of `fastconv draw`: an animation as GIF, a still as PNG or SVG."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .draw_canvas import raster, svg_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from .draw_figure import Figure

WHOLE, SHORTEST, LONGEST, LAST = 9.0, 0.12, 0.6, 1.6       # seconds: an animation, one of its frames, and the last
COLORS = 128


class Writer:
    """Writes one figure; `still` is the number of the frame that a still shows."""

    def __init__(self, figure: Figure, still: int):
        self.frame, self.ground = figure.card()
        self.scene, self.still = figure.scene, still

    def image(self, scale: float) -> Image:
        """The still."""
        return next(raster(self.frame, self.ground, [self.scene.frame(self.still)], scale))

    def ends(self, scale: float) -> Image:
        """The still and the last frame in one image: every colour of the animation."""
        from PIL import Image
        both = list(raster(self.frame, self.ground, map(self.scene.frame, (self.still, len(self.scene.frames) - 1)), scale))
        image = Image.new("RGB", (2 * both[0].width, both[0].height))
        for number, half in enumerate(both):
            image.paste(half, (number * half.width, 0))
        return image

    def write(self, path: Path, scale: float | None = None, seconds: float | None = None) -> None:
        """Write a file of the kind that its name says; directories that are not there are made.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = path.suffix.lower()
        if kind == ".svg":
            path.write_text(svg_of(self.frame, [*self.ground, *self.scene.frame(self.still)]), encoding="utf-8")
        elif kind == ".png":
            few_colors(self.image(scale or 2.0)).save(path, "PNG", optimize=True)
        else:
            self.write_animation(path, scale or 1.0, seconds)

    def write_animation(self, path: Path, scale: float, seconds: float | None) -> None:
        count = len(self.scene.frames)
        pictures = raster(self.frame, self.ground, map(self.scene.frame, range(count)), scale)
        palette = Palette(self.ends(scale))     # one for all frames: colours do not flicker
        images = [palette.index(image) for image in pictures]
        each = min(max(WHOLE / count, SHORTEST), LONGEST) if seconds is None else seconds
        times = [round(1000 * each)] * count
        times[-1] = max(times[-1], round(1000 * LAST))
        images[0].save(path, "GIF", save_all=True, append_images=images[1:], duration=times, loop=0, optimize=False)


def few_colors(image: Image) -> Image:
    """With a palette: a third of the file, and no difference to be seen."""
    from PIL.Image import Dither, Quantize
    return image.quantize(COLORS, Quantize.MEDIANCUT, dither=Dither.NONE)


class Palette:
    """The colours of one image, and a table from 5 bits of red, green and blue to the nearest of them.

    Of the colours that share an entry the most frequent decides, so that plain areas come out as they went in.
    """

    def __init__(self, image: Image):
        few = few_colors(image)
        self.colors = few.getpalette()[:3 * COLORS]
        entries = np.arange(1 << 15)
        typical = np.stack([entries >> 10, entries >> 5 & 31, entries & 31], axis=1) * 8 + 4
        seen = np.array([color for _, color in sorted(image.getcolors(image.width * image.height))])
        typical[self.keys(seen)] = seen
        palette = np.array(self.colors).reshape(-1, 3)
        squares = (palette ** 2).sum(1) - 2 * typical @ palette.T
        self.table = squares.argmin(1).astype(np.uint8)

    @staticmethod
    def keys(pixels: np.ndarray) -> np.ndarray:
        high = pixels.astype(np.int32) >> 3
        return high[..., 0] << 10 | high[..., 1] << 5 | high[..., 2]

    def index(self, image: Image) -> Image:
        from PIL import Image
        indexed = Image.fromarray(self.table[self.keys(np.asarray(image))])
        indexed.putpalette(self.colors)
        return indexed
