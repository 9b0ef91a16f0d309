"""Deformable convolution in plain NumPy float64, by the formulas of Dai et al. (arXiv:1703.06211) and Zhu et al.
(arXiv:1811.11168): the oracle. Slow and plain."""
from __future__ import annotations

from itertools import product

import numpy as np

from .reference import activate


def samples(problem, x: np.ndarray, offset: np.ndarray, mask: np.ndarray | None, r: int, s: int) -> np.ndarray:
    """What tap (r, s) sees, (N, C, P, Q): the image at the shifted positions, times the mask. All channels first.

    Corners outside the image are zeros, corners of which nothing is taken are left out.
    """
    (H, W), (P, Q), tap = problem.size, problem.output_size, r * problem.kernel[1] + s
    offset = offset.reshape(problem.N, problem.offset_groups, problem.taps, 2, P, Q)[:, :, tap]
    starts = [np.arange(n) * step - before for n, step, (before, _) in
              zip(problem.output_size, problem.stride, problem.padding)]
    h = (starts[0] + r * problem.dilation[0])[:, None] + offset[:, :, 0]        # (N, offset group, P, Q)
    w = starts[1] + s * problem.dilation[1] + offset[:, :, 1]
    with np.errstate(invalid="ignore"):
        inside = (h > -1) & (h < H) & (w > -1) & (w < W)
    h, w = np.where(inside, h, 0), np.where(inside, w, 0)
    depth = problem.C // problem.offset_groups
    image = x.reshape(problem.N, problem.offset_groups, depth, H, W)
    n, group = np.ogrid[:problem.N, :problem.offset_groups]
    total = np.zeros((problem.N, problem.offset_groups, P, Q, depth))
    with np.errstate(invalid="ignore", over="ignore"):
        for below, after in product((0, 1), repeat=2):
            y, z = np.floor(h).astype(int) + below, np.floor(w).astype(int) + after
            down, right = h - np.floor(h), w - np.floor(w)
            share = (down if below else 1 - down) * (right if after else 1 - right)
            seen = inside & (share > 0) & (y >= 0) & (y < H) & (z >= 0) & (z < W)
            corner = image[n[..., None, None], group[..., None, None], :, np.clip(y, 0, H - 1), np.clip(z, 0, W - 1)]
            total += np.where(seen[..., None], share[..., None] * corner, 0)
        total = np.moveaxis(total, -1, 2)
        if mask is not None:
            total *= mask.reshape(problem.N, problem.offset_groups, problem.taps, 1, P, Q)[:, :, tap]
    return total.reshape(problem.N, problem.C, P, Q)


def convolution(problem, x, weight, bias=None, residual=None, offset=None, mask=None) -> np.ndarray:
    """deform_conv2d: sum over taps and channels of weight times sample."""
    x, weight, offset, mask = (None if a is None else np.asarray(a, np.float64) for a in (x, weight, offset, mask))
    if problem.channels_last:
        x, offset, mask = (None if a is None else np.moveaxis(a, -1, 1) for a in (x, offset, mask))
    C, K = problem.C // problem.G, problem.K // problem.G
    y = np.zeros((problem.N, problem.K, *problem.output_size))
    with np.errstate(invalid="ignore", over="ignore"):
        for r, s in product(*map(range, problem.kernel)):
            seen = samples(problem, x, offset, mask, r, s)
            for group in range(problem.G):
                k, c = slice(group * K, (group + 1) * K), slice(group * C, (group + 1) * C)
                y[:, k] += np.einsum("kc,ncpq->nkpq", weight[k, :, r, s], seen[:, c])
        if bias is not None:
            y += np.reshape(np.asarray(bias, np.float64), (-1, 1, 1))
        y = np.moveaxis(y, 1, -1) if problem.channels_last else y
        if residual is not None:
            y = y + np.asarray(residual, np.float64)
        return activate(problem.activation, y)


def magnitude(problem, x, weight, bias=None, residual=None, offset=None, mask=None) -> np.ndarray:
    """What errors are measured against: the same sums over absolute values, without the activation."""
    from dataclasses import replace
    parts = (None if a is None else np.abs(np.asarray(a, np.float64)) for a in (x, weight, bias, residual))
    return convolution(replace(problem, activation=("none", 0.0, 0.0)), *parts, offset,
                       None if mask is None else np.abs(mask))
