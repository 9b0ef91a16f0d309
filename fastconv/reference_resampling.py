"""Resampling and rearranging by their definitions, in plain NumPy and float64: the oracle. Slow and plain."""
from __future__ import annotations

from itertools import product
from math import ceil, floor

import numpy as np

NUMPY_MODES = {"constant": "constant", "reflect": "reflect", "symmetric": "symmetric", "replicate": "edge",
               "circular": "wrap"}


def rearranged(problem, x: np.ndarray) -> np.ndarray:
    """pixel_shuffle, pixel_unshuffle, focus, channel_shuffle."""
    return x.reshape(problem.view).transpose(problem.order).reshape(problem.output_shape)


def padded(problem, x: np.ndarray, fill: np.ndarray) -> np.ndarray:
    crop = tuple(slice(max(-before, 0), n - max(-after, 0)) for n, (before, after) in zip(x.shape, problem.pairs))
    grow = [(max(before, 0), max(after, 0)) for before, after in problem.pairs]
    value = {"constant_values": fill[0]} if problem.mode == "constant" else {}
    return np.pad(x[crop], grow, NUMPY_MODES[problem.mode], **value)


def window_places(problem, r: int, s: int):
    """Pixels of the padded image that tap (r, s) of all windows reads."""
    return tuple(slice(k * d, k * d + (out - 1) * step + 1, step) for k, d, out, step in
                 zip((r, s), problem.dilation, problem.places, problem.stride))


def unfolded(problem, x: np.ndarray, fill: np.ndarray) -> np.ndarray:
    (ph, pw), (R, S) = problem.padding, problem.kernel
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill[0])
    y = np.empty((problem.N, problem.C, R, S, *problem.places), x.dtype)
    for r, s in product(range(R), range(S)):
        y[:, :, r, s] = x[(..., *window_places(problem, r, s))]
    return y.reshape(problem.columns_shape)


def folded(problem, x: np.ndarray) -> np.ndarray:
    (H, W), (ph, pw), (R, S) = problem.size, problem.padding, problem.kernel
    x = np.asarray(x, np.float64).reshape(problem.N, problem.C, R, S, *problem.places)
    y = np.zeros((problem.N, problem.C, H + 2 * ph, W + 2 * pw))
    for r, s in product(range(R), range(S)):
        y[(..., *window_places(problem, r, s))] += x[:, :, r, s]
    return y[:, :, ph:ph + H, pw:pw + W]


def weights_of(problem, axis: int, q: int) -> dict[int, float]:
    """Input pixels of output pixel q along a spatial axis, and what each counts."""
    n, out, scale = problem.size[axis], problem.output_size[axis], problem.scales[axis]
    mode = problem.mode
    found: dict[int, float] = {}

    def add(i: int, weight: float) -> None:
        i = min(max(i, 0), n - 1)
        found[i] = found.get(i, 0.0) + weight

    if mode == "area":
        low, high = floor(q * n / out), ceil((q + 1) * n / out)
        for i in range(q * n // out, -(-(q + 1) * n // out)):
            add(i, 1 / (high - low))
    elif mode in ("nearest", "nearest-exact"):
        real = np.float64 if problem.itemsize == 8 else np.float32
        step = real(1 / scale) if scale else real(n) / real(out)
        if mode == "nearest-exact":
            add(floor(np.float32((q + 0.5) * float(step))), 1.0)
        elif out in (n, 2 * n) and scale in (0, out / n):
            add(q * n // out, 1.0)
        else:
            add(floor(np.float32(real(q) * step)), 1.0)
    elif problem.antialias:
        add_smooth(problem, axis, q, add)
    else:
        add_points(problem, axis, q, add)
    return found


def step_of(problem, axis: int) -> float:
    n, out, scale = problem.size[axis], problem.output_size[axis], problem.scales[axis]
    if problem.align_corners:
        return (n - 1) / (out - 1) if out > 1 else 0.0
    return 1 / scale if scale else n / out


def add_points(problem, axis: int, q: int, add) -> None:
    """Two or four pixels round one coordinate."""
    n, step = problem.size[axis], step_of(problem, axis)
    at = q * step if problem.align_corners else (q + 0.5) * step - 0.5
    if problem.mode == "bicubic":
        first = min(floor(at), n - 1)
        for i in range(first - 1, first + 3):
            add(i, keys(min(max(at - first, 0.0), 1.0) - (i - first), -0.75))
    elif n == problem.output_size[axis]:
        add(q, 1.0)
    else:
        at = min(max(at, 0.0), n - 1.0)
        add(floor(at), 1 - (at - floor(at)))
        add(floor(at) + 1, at - floor(at))


def add_smooth(problem, axis: int, q: int, add) -> None:
    """All pixels under a filter that is as wide as an output pixel."""
    n, step, cubic = problem.size[axis], step_of(problem, axis), problem.mode == "bicubic"
    if n == problem.output_size[axis]:
        return add(q, 1.0)
    wide = max(step, 1.0)
    center = step * (q + 0.5)
    reach = (2 if cubic else 1) * wide
    low, high = max(int(center - reach + 0.5), 0), min(int(center + reach + 0.5), n)
    distances = [(i - center + 0.5) / wide for i in range(low, high)]
    weights = [keys(d, -0.5) if cubic else max(1 - abs(d), 0.0) for d in distances]
    for i, weight in zip(range(low, high), weights):
        add(i, weight / sum(weights))


def keys(x: float, a: float) -> float:
    """R. Keys' cubic convolution kernel."""
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x - 1) * (2 - x) * (2 - x) if x < 2 else 0.0


def interpolated(problem, x: np.ndarray, magnitude: bool = False) -> np.ndarray:
    """Axis after axis; a pixel of weight zero is left out. magnitude: of the absolute values of weights and pixels."""
    first = 1 if problem.channels_last else 2
    x = np.abs(np.asarray(x, np.float64)) if magnitude else np.asarray(x)
    if problem.mode not in ("nearest", "nearest-exact"):
        x = np.asarray(x, np.float64)
    for axis in range(len(problem.size)):
        parts = []
        for q in range(problem.output_size[axis]):
            terms = [np.take(x, i, axis + first) * (abs(w) if magnitude else w) if w != 1 else np.take(x, i, axis + first)
                     for i, w in weights_of(problem, axis, q).items() if w]
            with np.errstate(invalid="ignore"):
                parts.append(sum(terms[1:], terms[0]))
        x = np.stack(parts, axis + first)
    return x


def terms(problem) -> int:
    """Roundings of one output of interpolate, those of its weights included."""
    count = 8
    for axis in range(len(problem.size)):
        count += max(len(weights_of(problem, axis, q)) for q in range(problem.output_size[axis]))
    return count


def sample_taps(problem, axis: int, coordinate: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(pixel, weight) of each tap along one axis; the weight of a pixel outside is zero."""
    n, align, cubic = problem.size[axis], problem.align_corners, problem.mode == "bicubic"
    g = np.asarray(coordinate, np.float64)
    u = (g + 1) / 2 * (n - 1) if align else ((g + 1) * n - 1) / 2

    def folded(u):
        if problem.padding_mode == "zeros":
            return u
        if problem.padding_mode == "reflection":
            low, span = (0.0, n - 1.0) if align else (-0.5, float(n))
            if span == 0:
                return np.zeros_like(u)
            u = np.where(np.abs(u) < 2**30, u, np.nan)
            away = np.abs(u - low)
            over, flips = np.fmod(away, span), np.floor(away / span)
            u = np.where(np.fmod(flips, 2) == 0, over + low, span - over + low)
        return np.nan_to_num(np.clip(u, 0, n - 1), nan=0.0)

    def tap(at, weight):
        inside = (at >= 0) & (at <= n - 1)
        return np.where(inside, at, 0).astype(np.int64), np.where(inside, weight, 0.0)

    u = u if cubic else folded(u)
    if problem.mode == "nearest":
        return [tap(np.rint(u), np.ones_like(u))]
    first = np.floor(u)
    part = u - first
    if not cubic:
        return [tap(first, 1 - part), tap(first + 1, part)]
    part = np.where((part >= 0) & (part < 1), part, 0)
    kernel = np.vectorize(keys, otypes=[float])
    return [tap(folded(first + i), kernel(part - i, -0.75)) for i in range(-1, 3)]


def sampled(problem, x: np.ndarray, grid: np.ndarray, magnitude: bool = False) -> np.ndarray:
    """grid_sample; magnitude: of the absolute values of weights and pixels."""
    x = np.moveaxis(x, -1, 1) if problem.channels_last else x
    x = np.asarray(x, np.float64)
    y = np.zeros((problem.N, problem.C, *problem.output_size))
    axes = len(problem.size)
    with np.errstate(invalid="ignore", over="ignore"):
        for n in range(problem.N):
            taps = [sample_taps(problem, axis, grid[n, ..., axes - 1 - axis]) for axis in range(axes)]
            for chosen in product(*taps):
                weight = np.prod([w for _, w in chosen], axis=0)
                pixels = x[n][(slice(None), *(at for at, _ in chosen))]
                term = np.where(weight != 0, weight * pixels, 0)
                y[n] += np.abs(term) if magnitude else term
    return np.moveaxis(y, 1, -1) if problem.channels_last else y


def coordinate_units(problem, x: np.ndarray, away=0.0) -> float:
    """What the rounding of coordinates in float64 makes of the error, in units of rounding of the result."""
    largest = np.abs(x).max(where=np.isfinite(x), initial=0)
    furthest = np.max(away, where=np.less(away, 2.0**31), initial=0) + 1
    return 16 * max(problem.size) * furthest * largest * (1.0 if problem.real == "f64" else 2.0**-29)


def expected_of(problem, inputs) -> tuple[np.ndarray, np.ndarray | float]:
    """What one call has to give, and the error that rounding explains, in units of rounding."""
    operation = problem.operation
    if operation == "pad":
        return padded(problem, *inputs), 0.0
    if operation == "unfold":
        return unfolded(problem, *inputs), 0.0
    if operation == "fold":
        return folded(problem, *inputs), problem.kernel[0] * problem.kernel[1] * folded(problem, np.abs(inputs[0]))
    if operation == "interpolate":
        expected = interpolated(problem, inputs[0])
        if problem.mode in ("nearest", "nearest-exact"):
            return expected, 0.0
        units = terms(problem) * interpolated(problem, inputs[0], magnitude=True) + coordinate_units(problem, inputs[0])
        return expected, units
    if operation == "grid_sample":
        units = (24 + 4**len(problem.size)) * sampled(problem, *inputs, magnitude=True)
        units += coordinate_units(problem, inputs[0], np.abs(inputs[1]))
        return sampled(problem, *inputs), units if problem.mode != "nearest" else 0.0
    return rearranged(problem, inputs[0]), 0.0
