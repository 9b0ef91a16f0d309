"""Every operation in terms of scipy.signal.correlate(method="direct") in float64: the oracle. Slow and plain."""
from __future__ import annotations

from itertools import product

import numpy as np

NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "symmetric": "symmetric", "replicate": "edge", "circular": "wrap"}


def correlate(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """All positions of the kernel inside the image, in float64."""
    try:
        from scipy.signal import correlate
    except ImportError:
        raise ImportError("comparing with SciPy needs SciPy: pip install scipy") from None
    return correlate(image, kernel, mode="valid", method="direct")


def convolution(problem, x, weight, bias=None, residual=None) -> np.ndarray:
    """conv1d, conv2d and conv3d: dilation as a kernel with zeros between its taps, stride as every stride-th output."""
    axes = len(problem.size)
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    if not (np.isfinite(x).all() and np.isfinite(weight).all()):
        return activate(problem.activation, by_taps(problem, x, weight, bias, residual))
    if problem.channels_last:
        x = np.moveaxis(x, -1, 1)
    x = np.pad(x, [(0, 0), (0, 0), *problem.padding], mode=NUMPY_MODES[problem.padding_mode])
    spread = np.zeros((*weight.shape[:2], *(d * (k - 1) + 1 for k, d in zip(problem.kernel, problem.dilation))))
    spread[(..., *(slice(None, None, d) for d in problem.dilation))] = weight
    C, K = problem.C // problem.G, problem.K // problem.G
    y = np.empty((problem.N, problem.K, *problem.output_size))
    every = tuple(slice(None, None, s) for s in problem.stride)
    for n in range(problem.N):
        for k in range(problem.K):
            channels = x[n, k // K * C:(k // K + 1) * C]
            y[n, k] = correlate(channels, spread[k])[0][every]
    if bias is not None:
        y += np.reshape(np.asarray(bias, np.float64), (-1, *(1,) * axes))
    if problem.channels_last:
        y = np.moveaxis(y, 1, -1)
    if residual is not None:
        y = y + np.asarray(residual, np.float64)
    return activate(problem.activation, y)


def by_taps(problem, x, weight, bias=None, residual=None) -> np.ndarray:
    """A second oracle, for NaN and infinity: tap after tap, zero padding left out and not multiplied. No activation.

    SciPy would multiply an infinity by the zeros of the padding and by those between the taps of a dilated kernel.
    """
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    x = np.moveaxis(x, -1, 1) if problem.channels_last else x
    outside = {"constant_values": -1} if problem.padding_mode == "zeros" else {}
    source = [np.pad(np.arange(n), pads, mode=NUMPY_MODES[problem.padding_mode], **outside)
              for n, pads in zip(problem.size, problem.padding)]
    y = np.zeros((problem.N, problem.K, *problem.output_size))
    C, K = problem.C // problem.G, problem.K // problem.G
    with np.errstate(invalid="ignore"):
        for tap in product(*map(range, problem.kernel)):
            at = np.ix_(*(i[t * d:][::s][:n] for i, t, d, s, n in
                          zip(source, tap, problem.dilation, problem.stride, problem.output_size)))
            inside = np.all(np.broadcast_arrays(*(i >= 0 for i in at)), axis=0)
            pixels = x[(slice(None), slice(None), *at)]
            for k in range(problem.K):
                for c in range(C):
                    y[:, k] += np.where(inside, weight[(k, c, *tap)] * pixels[:, k // K * C + c], 0)
        if bias is not None:
            y += np.reshape(bias, (-1, *(1,) * len(problem.size)))
        y = np.moveaxis(y, 1, -1) if problem.channels_last else y
        return y if residual is None else y + residual


def transposed(problem, x, weight, bias=None, residual=None) -> np.ndarray:
    """conv_transpose1d, 2d and 3d by their definition: every tap adds its product to its outputs. No activation."""
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    x = np.moveaxis(x, -1, 1) if problem.channels_last else x
    C, K = problem.C // problem.G, problem.K // problem.G
    x, weight = (x.reshape(problem.N, problem.G, C, *problem.size),
                 weight.reshape(problem.G, C, K, *problem.kernel))
    full = [(n - 1) * s + d * (k - 1) + 1 + o for n, s, d, k, o in
            zip(problem.size, problem.stride, problem.dilation, problem.kernel, problem.output_padding)]
    y = np.zeros((problem.N, problem.G, K, *full))
    with np.errstate(invalid="ignore"):
        for tap in product(*map(range, problem.kernel)):
            place = tuple(slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in
                          zip(tap, problem.dilation, problem.size, problem.stride))
            y[(..., *place)] += np.einsum("ngc...,gck->ngk...", x, weight[(..., *tap)])
        y = y.reshape(problem.N, problem.K, *full)
        y = y[(..., *(slice(p[0], p[0] + n) for p, n in zip(problem.padding, problem.output_size)))]
        if bias is not None:
            y = y + np.reshape(bias, (-1, *(1,) * len(problem.size)))
        y = np.moveaxis(y, 1, -1) if problem.channels_last else y
        return y if residual is None else y + residual


def activate(activation: tuple[str, float, float], y: np.ndarray) -> np.ndarray:
    """The activations by their definitions."""
    name, low, high = activation
    with np.errstate(over="ignore", invalid="ignore"):
        if name == "none":
            return y
        if name == "clip":
            return np.clip(y, low, high)
        if name == "leaky_relu":
            return np.where(y < 0, low * y, y)
        if name == "sigmoid":
            return 1 / (1 + np.exp(-y))
        if name == "tanh":
            return np.tanh(y)
        if name == "silu":
            return y / (1 + np.exp(-y))
        if name == "gelu":
            from scipy.special import ndtr
            return y * ndtr(y)
        if name == "hardswish":
            return y * np.clip(y / 6 + 0.5, 0, 1)
        if name == "hardsigmoid":
            return np.clip(y / 6 + 0.5, 0, 1)
    raise ValueError(f"activation {name!r} is unknown")


def magnitude(problem, x, weight, bias=None, residual=None) -> np.ndarray:
    """What errors are measured against: the same sums over absolute values, without the activation."""
    from dataclasses import replace
    parts = (None if a is None else np.abs(np.asarray(a, np.float64)) for a in (x, weight, bias, residual))
    return convolution(replace(problem, activation=("none", 0.0, 0.0)), *parts)


def error_scale(problem, growth: float, magnitude: np.ndarray) -> np.ndarray:
    """What an error is compared with: the magnitude of its own sum, or, where a row with growth of rounding errors
    computes a tile of outputs from the pixels of all their windows, the largest of its channel."""
    if growth == 1:
        return magnitude
    spatial = tuple(range(1, magnitude.ndim - 1)) if problem.channels_last else tuple(range(2, magnitude.ndim))
    return np.broadcast_to(magnitude.max(axis=spatial, keepdims=True, initial=0), magnitude.shape)
