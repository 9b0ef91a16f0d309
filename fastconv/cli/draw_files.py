"""The files of `fastconv draw`: an animation as GIF, a still as PNG or SVG."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
        palette = few_colors(self.image(scale))     # one for all frames: colours do not flicker
        images = [image.quantize(palette=palette, dither=0) for image in pictures]
        each = min(max(WHOLE / count, SHORTEST), LONGEST) if seconds is None else seconds
        times = [round(1000 * each)] * count
        times[-1] = max(times[-1], round(1000 * LAST))
        images[0].save(path, "GIF", save_all=True, append_images=images[1:], duration=times, loop=0, optimize=False)


def few_colors(image: Image) -> Image:
    """With a palette: a third of the file, and no difference to be seen."""
    from PIL.Image import Dither, Quantize
    return image.quantize(COLORS, Quantize.MEDIANCUT, dither=Dither.NONE)
