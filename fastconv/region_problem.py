"""Problems of regions: boxes of images as bins. Letters as in problem.py; K boxes of P x Q bins.

All checks of shapes and parameters are here; the maker raises ValueError, TypeError or IndexError that names the argument,
its value and the shape.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from .problem import LARGEST_ARRAY, arranged, flag, index, number, one_of, per_axis

MOST_SAMPLES = 4096             # of a bin along one axis
MOST_BINS = 1 << 15             # along one axis
BY_POSITION = ("ps_roi_pool", "ps_roi_align")
PIXELS = ("roi_pool", "ps_roi_pool")


@dataclass(frozen=True)
class Regions:
    """One call: images, boxes, bins and how a bin is made of pixels."""

    operation: str
    real: str
    N: int
    C: int
    size: tuple[int, int]
    K: int
    bins: tuple[int, int]
    scale: float
    samples: int = 0            # of a bin along each axis; 0: as many as it has pixels
    aligned: bool = True        # half a pixel off, boxes may be smaller than a pixel
    mode: str = "avg"
    gamma: float = 0.0
    channels_last: bool = False

    @property
    def channels(self) -> int:
        """Of the result."""
        return self.C // prod(self.bins) if self.operation in BY_POSITION else self.C

    @property
    def output_shape(self) -> tuple[int, ...]:
        return arranged(self.K, self.channels, self.bins, self.channels_last)

    @property
    def work(self) -> int:
        """Numbers that are written, four for each of them read."""
        return 5 * prod(self.output_shape)

    def fields(self) -> dict:
        """The struct of src/region_bins.pyx."""
        pixels = self.operation in PIXELS
        return {"N": self.N, "C": self.C, "H": self.size[0], "W": self.size[1], "K": self.K, "PH": self.bins[0],
                "PW": self.bins[1], "pixels": int(pixels), "largest": int(self.mode == "max"),
                "by_position": int(self.operation in BY_POSITION), "inclusive": int(self.operation == "roi_pool"),
                "open": int(self.operation == "ps_roi_pool"), "at_least_one": int(pixels or not self.aligned),
                "samples": self.samples, "channels_last": int(self.channels_last), "scale": self.scale,
                "shift": 0.5 if self.aligned and not pixels else 0.0, "gamma": self.gamma}


def region_problem(operation: str, shape: Sequence[int], K: int, real: str, output_size, spatial_scale, sampling_ratio=0,
                   aligned=True, mode="avg", gamma=0.0, channels_last=False) -> Regions:
    """Check the arguments of a region function against each other."""
    shape, aligned, channels_last = tuple(shape), flag(aligned, "aligned"), flag(channels_last, "channels_last")
    layout = "(N, H, W, C)" if channels_last else "(N, C, H, W)"
    if len(shape) != 4:
        raise ValueError(f"input of {operation} must have 4 axes {layout}, got shape {shape}")
    N, C, H, W = (shape[0], shape[3], shape[1], shape[2]) if channels_last else shape
    if C == 0 or H == 0 or W == 0:
        raise ValueError(f"input of {operation} has an axis of length 0: shape {shape}")
    bins = per_axis(output_size, 2, "output_size", 1)
    if max(bins) > MOST_BINS:
        raise ValueError(f"output_size={bins} is too large: at most {MOST_BINS} bins an axis")
    scale, gamma = number(spatial_scale, "spatial_scale"), number(gamma, "gamma")
    if not scale > 0:
        raise ValueError(f"spatial_scale={spatial_scale!r} must be positive")
    samples = max(index(sampling_ratio, "sampling_ratio", -2**31), 0)
    if samples > MOST_SAMPLES:
        raise ValueError(f"sampling_ratio={samples} is too large: at most {MOST_SAMPLES}")
    if operation in BY_POSITION and C % prod(bins):
        raise ValueError(f"output_size={bins} needs channels in multiples of {prod(bins)}, got {C}: input of shape {shape}")
    problem = Regions(operation, real, N, C, (H, W), K, bins, scale, samples, aligned,
                      one_of(mode, "mode", ("avg", "max")), gamma, channels_last)
    if prod(problem.output_shape) * 8 > LARGEST_ARRAY:
        raise ValueError(f"output of shape {problem.output_shape} is too large: {K} boxes, output_size={bins}")
    return problem
