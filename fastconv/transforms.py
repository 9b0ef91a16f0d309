"""Transforms of Winograd's minimal filtering, generated for any F(m, r) by the method of Cook and Toom.

m outputs of a filter of r taps cost alpha = m + r - 1 products: y = A' ((G g) * (B' d)), with alpha - 1 finite points and
the point at infinity (A. Lavin and S. Gray, arXiv:1509.09308; S. Winograd, Arithmetic Complexity of Computations, 1980).
"""
from __future__ import annotations

from functools import cache
from math import prod

import numpy as np

FOURIER_PASSES = 12             # most passes of a transform
# Finite points besides 0, as pairs +p, -p. For alpha = 6 those with the smallest growth of rounding errors.
PAIRS = {4: (1.0,), 6: (0.5**0.5, 2**0.5), 8: (1.0, 2.0, 0.5)}


@cache
def transforms(m: int, r: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B' (alpha, alpha), A' (m, alpha), G (alpha, r) in float64, points in the order 0, p, -p, ..., infinity.

    Raises
    ------
    ValueError
        If there are no points for m + r - 1.

    Examples
    --------
    >>> B, A, G = transforms(2, 3)
    >>> d, g = np.array([1., 2., 3., 4.]), np.array([1., 0., -1.])
    >>> A @ ((G @ g) * (B @ d))
    array([-2., -2.])
    """
    alpha = m + r - 1
    if alpha not in PAIRS:
        raise ValueError(f"F({m}, {r}) needs points for alpha={alpha}; there are some for {', '.join(map(str, PAIRS))}")
    points = np.array([0.0, *(sign * p for p in PAIRS[alpha] for sign in (1, -1))])
    B, A, G = np.zeros((alpha, alpha)), np.zeros((m, alpha)), np.zeros((alpha, r))
    for j, p in enumerate(points):
        others = np.delete(points, j)
        B[j, :-1] = np.poly(others)[::-1]
        A[:, j] = p ** np.arange(m)
        G[j] = p ** np.arange(r) / np.prod(p - others)
    B[-1] = np.poly(points)[::-1]
    A[-1, -1] = G[-1, -1] = 1.0
    return clean(B), A, G


def clean(matrix: np.ndarray) -> np.ndarray:
    """Coefficients that are zero but for rounding, as zeros."""
    return np.where(np.abs(matrix) < 1e-12, 0.0, matrix)


def growth(m: int, r: int) -> float:
    """Worst growth of rounding errors in one axis, against a plain sum: max_i sum_j |A'| (sum |G|)(sum |B'|) / r."""
    B, A, G = (np.abs(matrix) for matrix in transforms(m, r))
    return float((A * G.sum(1) * B.sum(1)).sum(1).max() / r)


@cache
def fourier_constants(*radices: tuple[int, ...]) -> bytes:
    """What the kernel `fft` needs to know of transforms with these radices, as float64: for each the count of passes, the
    radices in FOURIER_PASSES places, and for each pass w_(p m)^(i j), j < m, 0 < i < p, as real and imaginary parts."""
    parts = []
    for found in radices:
        parts.append(np.array([len(found), *found, *(0,) * (FOURIER_PASSES - len(found))], float))
        m = prod(found)
        for p in found:
            m //= p
            angle = -2 * np.pi * (np.outer(np.arange(m), np.arange(1, p)) % (p * m)) / (p * m)
            parts.append(np.stack([np.cos(angle), np.sin(angle)], -1).ravel())
    return b"".join(part.tobytes() for part in parts)
