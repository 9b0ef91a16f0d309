"""Region functions by their definitions, sample after sample, in plain NumPy and float64: the oracle. Slow and plain."""
from __future__ import annotations

from itertools import product
from math import ceil, floor, isfinite, prod

import numpy as np

Taps = list[tuple[int, float]]          # pixels and weights along one axis


def edges(problem, low, high) -> tuple[float, float]:
    """Start and size of a box along one axis in pixels, in the number type of the problem, as torchvision has them."""
    real = np.float64 if problem.real == "f64" else np.float32
    with np.errstate(all="ignore"):
        begin, end = (real(float(v) * problem.scale) for v in (low, high))
        if not (isfinite(begin) and isfinite(end)):
            return begin, real(np.nan)
        if problem.operation in ("roi_pool", "ps_roi_pool"):
            begin, end = (real(np.copysign(np.floor(np.abs(np.float64(v)) + 0.5), v)) for v in (begin, end))
            size = max(real(end - begin + real(problem.operation == "roi_pool")), real(1))
        else:
            shift = real(0.5 if problem.aligned else 0)
            begin, end = begin - shift, end - shift
            size = end - begin
            if not problem.aligned and size < 1:
                size = real(1)
    return begin, size


def pixel_bin(problem, axis: int, begin, size, p: int) -> list[Taps]:
    """The pixels of bin p as one sample each, all equal in weight."""
    real, n = type(size), problem.size[axis] - (problem.operation == "ps_roi_pool")
    with np.errstate(all="ignore"):
        bin_size = size / real(problem.bins[axis])
        low, high = np.floor(real(p) * bin_size) + float(begin), np.ceil(real(p + 1) * bin_size) + float(begin)
    if not (isfinite(low) and isfinite(high)):
        return []
    return [[(i, 1.0)] for i in range(int(max(low, 0)), int(min(high, n)))]


def sample_bin(problem, axis: int, begin, size, p: int, moved: float) -> list[Taps | None]:
    """The samples of bin p; None for one outside the image."""
    n = problem.size[axis]
    with np.errstate(all="ignore"):
        bin_size = float(size / type(size)(problem.bins[axis]))
    start = float(begin) + moved + p * bin_size
    if not (isfinite(start) and isfinite(bin_size)):
        return []
    count = problem.samples or ceil(bin_size)
    return [linear(start + (i + 0.5) * (bin_size / count), n) for i in range(max(count, 0))]


def linear(at: float, n: int) -> Taps | None:
    if not -1 <= at <= n:
        return None
    at = min(max(at, 0.0), n - 1.0)
    low = floor(at)
    return [(low, 1 - (at - low)), (min(low + 1, n - 1), at - low)]


def bin_value(problem, channels: np.ndarray, rows: list, columns: list, magnitude: bool) -> np.ndarray:
    """One bin in some channels (C, H, W)."""
    values = []
    for row, column in product(rows, columns):
        if row is None or column is None:
            values.append([np.zeros(len(channels))])
            continue
        values.append([w * v * channels[:, i, j] if w * v else np.zeros(len(channels))
                       for (i, w), (j, v) in product(row, column)])
    if not values:
        return np.zeros(len(channels))
    if problem.mode == "max":
        return np.max([np.abs(t) if magnitude else t for sample in values for t in sample], axis=0)
    return sum(sum(np.abs(t) if magnitude else t for t in sample) for sample in values) / len(values)


def regions(problem, x, boxes, image, offset=None, magnitude: bool = False) -> np.ndarray:
    """Every box, bin and channel. magnitude: the same over absolute values."""
    x = np.asarray(np.moveaxis(x, -1, 1) if problem.channels_last else x, np.float64)
    P, Q = problem.bins
    y = np.empty((problem.K, problem.channels, P, Q))
    for k, (x1, y1, x2, y2) in enumerate(boxes):
        (top, height), (left, width) = edges(problem, y1, y2), edges(problem, x1, x2)
        for p, q in product(range(P), range(Q)):
            channels = x[image[k]]
            if problem.operation in ("ps_roi_pool", "ps_roi_align"):
                channels = channels[p * Q + q::prod(problem.bins)]
            if problem.operation in ("roi_pool", "ps_roi_pool"):
                rows, columns = pixel_bin(problem, 0, top, height, p), pixel_bin(problem, 1, left, width, q)
            else:
                right, down = (0.0, 0.0) if offset is None else (problem.gamma * float(s) * float(o) for s, o in
                                                                 zip((width, height), offset[k, :, p, q]))
                rows = sample_bin(problem, 0, top, height, p, down)
                columns = sample_bin(problem, 1, left, width, q, right)
            y[k, :, p, q] = bin_value(problem, channels, rows, columns, magnitude)
    return np.moveaxis(y, 1, -1) if problem.channels_last else y


def expected_of(problem, inputs) -> tuple[np.ndarray, np.ndarray | float]:
    """What one call has to give, and the error that rounding explains, in units of rounding."""
    x, boxes, image, offset = inputs
    expected = regions(problem, x, boxes, image, offset)
    if problem.operation == "roi_pool":
        return expected, 0.0
    largest = np.abs(x).max(where=np.isfinite(x), initial=0)
    reach = np.abs(boxes).max(where=np.isfinite(boxes) & (np.abs(boxes) < 2.0**20), initial=1) * problem.scale
    units = (40 + sum(problem.size)) * regions(problem, x, boxes, image, offset, magnitude=True)
    return expected, units + 64 * (reach + max(problem.size)) * largest * (1.0 if problem.real == "f64" else 2.0**-29)
