"""Every pooling by its definition, window after window, in float64: the oracle. Slow and plain."""
from __future__ import annotations

from itertools import product
from math import prod

import numpy as np


def axis_windows(problem, axis: int) -> list[tuple[np.ndarray, int]]:
    """Of each window along one axis: the pixels inside the image, and what it counts for in a mean."""
    n, m, found = problem.size[axis], problem.output_size[axis], []
    for i in range(m):
        if problem.adaptive[axis]:
            pixels = np.arange(i * n // m, -(-(i + 1) * n // m))
            area = len(pixels)
        else:
            start = i * problem.stride[axis] - problem.padding[axis]
            padded = start + np.arange(problem.kernel[axis]) * problem.dilation[axis]
            pixels = padded[(padded >= 0) & (padded < n)]
            area = np.count_nonzero(padded < n + problem.padding[axis]) if problem.include_pad else len(pixels)
        found.append((pixels, area))
    return found


def windows(problem, x: np.ndarray):
    """Of each window: where its result goes, its numbers as (N, C, taps), their positions in the plane, its area."""
    x = np.moveaxis(x, -1, 1) if problem.channels_last else x
    positions = np.arange(prod(problem.size)).reshape(problem.size)
    along = [axis_windows(problem, axis) for axis in range(len(problem.size))]
    for at in product(*map(range, problem.output_size)):
        pixels = np.ix_(*(axis[i][0] for axis, i in zip(along, at)))
        area = prod(axis[i][1] for axis, i in zip(along, at))
        yield at, x[(slice(None), slice(None), *pixels)].reshape(*x.shape[:2], -1), positions[pixels].ravel(), area


def arranged(problem, y: np.ndarray) -> np.ndarray:
    return np.moveaxis(y, 1, -1) if problem.channels_last else y


def largest(problem, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest numbers and their positions: that of the first of equal numbers, of the last NaN; -1 in an empty window."""
    x = np.asarray(x)
    lowest = -np.inf if x.dtype.kind not in "iu" else np.iinfo(x.dtype).min
    x = x if x.dtype.kind in "iu" else x.astype(np.float64)
    y = np.empty((problem.N, problem.C, *problem.output_size), x.dtype)
    where = np.empty(y.shape, np.int64)
    for at, numbers, positions, _ in windows(problem, x):
        every = (slice(None), slice(None), *at)
        if not len(positions):
            y[every], where[every] = lowest, -1
            continue
        y[every] = numbers.max(-1)
        first = (numbers == y[every][..., None]).argmax(-1)
        nan = np.isnan(numbers)
        last = nan.shape[-1] - 1 - nan[..., ::-1].argmax(-1)
        where[every] = positions[np.where(nan.any(-1), last, first)]
    return arranged(problem, y), arranged(problem, where)


def mean(problem, x: np.ndarray) -> np.ndarray:
    """Sums of the windows divided by their areas, or by the divisor that is given."""
    x = np.asarray(x, np.float64)
    y = np.empty((problem.N, problem.C, *problem.output_size))
    with np.errstate(invalid="ignore"):
        for at, numbers, _, area in windows(problem, x):
            y[(slice(None), slice(None), *at)] = numbers.sum(-1) / (problem.divisor or area)
    return arranged(problem, y)


def unpool(values: np.ndarray, indices: np.ndarray, size: tuple[int, ...], channels_last: bool) -> np.ndarray:
    """Zeros but for `values` at `indices` of their planes, the last of equal indices winning."""
    values, indices = (np.moveaxis(a, -1, 1) if channels_last else a for a in (values, indices))
    y = np.zeros((*values.shape[:2], prod(size)), values.dtype)
    for n, c in np.ndindex(*values.shape[:2]):
        for value, i in zip(values[n, c].ravel(), indices[n, c].ravel()):
            y[n, c, i] = value
    y = y.reshape(*values.shape[:2], *size)
    return np.moveaxis(y, 1, -1) if channels_last else y
