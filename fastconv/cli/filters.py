"""The classical filters on a photograph: kernels, their pictures, and one sheet that shows them all."""
from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import config
from ..convolution import conv2d
from .measure import median_seconds
from .terminal import missing

PHOTOGRAPH, CREDIT = "chelsea.jpg", "Photograph: Chelsea, by Stefan van der Walt, CC0"   # the sheet's font has no accents


class Filter(NamedTuple):
    name: str
    note: str                                           # size and parameters
    kernels: np.ndarray                                 # (K, R, S)
    show: Callable[[np.ndarray], np.ndarray]            # (planes, K, H, W) -> (planes, H, W), 0 black, 1 white
    grey: bool = False


def gaussian(sigma: float) -> np.ndarray:
    """A kernel of three standard deviations to each side, of sum one."""
    reach = int(3 * sigma + 0.5)
    row = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.outer(row, row) / row.sum() ** 2


def gaussian_laplace(sigma: float, size: int) -> np.ndarray:
    """The Laplacian of a Gaussian, of sum zero."""
    reach = np.arange(size) - size // 2
    square = reach[:, None] ** 2 + reach ** 2
    kernel = (square / (2 * sigma**2) - 1) * np.exp(-square / (2 * sigma**2))
    return kernel - kernel.mean()


def impulse(size: int) -> np.ndarray:
    kernel = np.zeros((size, size))
    kernel[size // 2, size // 2] = 1
    return kernel


def picture(y: np.ndarray) -> np.ndarray:
    return y[:, 0]


def signed(y: np.ndarray) -> np.ndarray:
    """Zero as middle grey; all but the outermost values within black and white."""
    return 0.5 + 0.5 * y[:, 0] / np.quantile(np.abs(y), 0.995)


def magnitude(y: np.ndarray) -> np.ndarray:
    length = np.sqrt((y ** 2).sum(1))
    return length / np.quantile(length, 0.995)


def drawing(y: np.ndarray) -> np.ndarray:
    """Dark lines on white, where the values are positive."""
    return 1 - np.maximum(y[:, 0], 0) / np.quantile(y, 0.99)


SOBEL = np.array([[-1., 0., 1.], [-2., 0., 2.], [-1., 0., 1.]])
SOFT = gaussian(3.0)
FILTERS = (
    Filter("Original", "", np.ones((1, 1, 1)), picture),
    Filter("Box blur", "11 x 11", np.full((1, 11, 11), 1 / 121), picture),
    Filter("Gaussian blur", "sigma 4, 25 x 25", gaussian(4.0)[None], picture),
    Filter("Motion blur", "31 x 31", np.fliplr(np.eye(31))[None] / 31, picture),
    Filter("Sharpen", "3 x 3", np.array([[[0., -1., 0.], [-1., 5., -1.], [0., -1., 0.]]]), picture),
    Filter("Unsharp mask", "sigma 3, 19 x 19", (2.5 * impulse(len(SOFT)) - 1.5 * SOFT)[None], picture),
    Filter("Emboss", "3 x 3", np.array([[[-2., -1., 0.], [-1., 0., 1.], [0., 1., 2.]]]), signed, grey=True),
    Filter("Laplacian", "3 x 3", np.array([[[0., 1., 0.], [1., -4., 1.], [0., 1., 0.]]]), signed, grey=True),
    Filter("Sobel x", "3 x 3", SOBEL[None], signed, grey=True),
    Filter("Sobel y", "3 x 3", SOBEL.T[None], signed, grey=True),
    Filter("Sobel magnitude", "2 x 3 x 3", np.stack([SOBEL, SOBEL.T]), magnitude, grey=True),
    Filter("Outline", "sigma 1.5, 13 x 13", gaussian_laplace(1.5, 13)[None], drawing, grey=True),
)


class Result(NamedTuple):
    filter: Filter
    image: np.ndarray       # (H, W, 3), uint8
    seconds: float          # 0 for the original


def load_photograph() -> np.ndarray:
    """(H, W, 3) in 0 .. 1."""
    try:
        from PIL import Image
    except ImportError:
        raise missing("pillow") from None
    data = files(__package__).joinpath("data", PHOTOGRAPH).read_bytes()
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"), np.float32) / 255


def apply_filter(one: Filter, photograph: np.ndarray) -> Result:
    """One filter on each colour, or on the luminance; the planes are a batch of images of one channel."""
    planes = photograph.transpose(2, 0, 1)
    if one.grey:
        planes = np.tensordot(np.float32([0.299, 0.587, 0.114]), planes, 1)[None]
    x = np.ascontiguousarray(planes[:, None])
    weight = one.kernels[:, None].astype(np.float32)
    padding = tuple(n // 2 for n in weight.shape[2:])

    def call() -> np.ndarray:
        return conv2d(x, weight, padding=padding, padding_mode="symmetric")

    image = np.broadcast_to(np.clip(one.show(call()), 0, 1), (3, *x.shape[2:])).transpose(1, 2, 0)
    return Result(one, (image * 255 + 0.5).astype(np.uint8), median_seconds(call) if one is not FILTERS[0] else 0.0)


COLUMNS, MARGIN, GAP, HEAD, FOOT, LABEL = 4, 72, 32, 140, 84, 72       # pixels; LABEL under each picture
PAPER, INK, PALE, EDGE = "#f4f4f2", "#1d1d1f", "#77777c", "#d4d4d0"


def draw_sheet(results: list[Result], path: Path) -> None:
    """Write all pictures with their names and times as one PNG.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont
    height, width = results[0].image.shape[:2]
    rows = -(-len(results) // COLUMNS)
    sheet = Image.new("RGB", (2 * MARGIN + COLUMNS * (width + GAP) - GAP, HEAD + rows * (height + LABEL) + FOOT), PAPER)
    draw = ImageDraw.Draw(sheet)
    title, name, small = (ImageFont.load_default(size) for size in (44, 25, 20))
    threads = config.get_num_threads()
    draw.text((MARGIN, HEAD - 48), "Classical filters", INK, title, anchor="ls")
    draw.text((sheet.width - MARGIN, HEAD - 48), f"fastconv.conv2d · {width} x {height} pixels · float32 · "
              f"{threads} {'thread' if threads == 1 else 'threads'} · median time", PALE, small, anchor="rs")
    for number, result in enumerate(results):
        left = MARGIN + number % COLUMNS * (width + GAP)
        top = HEAD - 8 + number // COLUMNS * (height + LABEL)
        sheet.paste(Image.fromarray(result.image), (left, top))
        draw.rectangle((left - 1, top - 1, left + width, top + height), outline=EDGE)
        base = top + height + 32
        draw.text((left, base), result.filter.name, INK, name, anchor="ls")
        after = left + draw.textlength(result.filter.name, name) + 14
        draw.text((after, base), result.filter.note, PALE, small, anchor="ls")
        if result.seconds:
            draw.text((left + width, base), f"{result.seconds * 1e3:.2f} ms", INK, small, anchor="rs")
    draw.text((MARGIN, sheet.height - 56), CREDIT, PALE, small, anchor="ls")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=False, compress_level=6)
