"""Deformable convolutions and their data, for the tests of kernel and interface."""
from __future__ import annotations

import zlib
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
from cases import arrange, layout_name

from fastconv import reference_deformable
from fastconv.algorithms import TABLE
from fastconv.deform_problem import DeformProblem, deform_problem
from fastconv.plan import NUMPY_REAL, make_plan

ROWS = TABLE["deform_conv2d"]


class Case(NamedTuple):
    """One deformable convolution but for number type and layout."""

    size: tuple[int, int]
    kernel: tuple[int, int]
    C: int = 1
    K: int = 1
    N: int = 1
    groups: int = 1
    offset_groups: int = 1
    stride: int | tuple[int, int] = 1
    padding: object = 0
    dilation: int | tuple[int, int] = 1

    def problem(self, real: str = "f64", channels_last: bool = False, masked: bool = True, **changes) -> DeformProblem:
        shape = (self.N, *self.size, self.C) if channels_last else (self.N, self.C, *self.size)
        return deform_problem(shape, (self.K, self.C // self.groups, *self.kernel), self.offset_groups, masked, real,
                              self.stride, self.padding, self.dilation, channels_last, **changes)

    @property
    def arguments(self) -> dict:
        return dict(stride=self.stride, padding=self.padding, dilation=self.dilation)

    def __str__(self) -> str:
        return (f"n{self.N}c{self.C}k{self.K}g{self.groups}o{self.offset_groups}-{self.size}-{self.kernel}-s{self.stride}"
                f"p{self.padding}d{self.dilation}").replace(" ", "")


TAILS = [Case((3, 4), (2, 3), C=34 - n, K=n, padding=1) for n in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 18, 26, 31, 32, 33)]
STEPS = [Case((7, 8), (3, 2), C=3, K=5, N=2, stride=s, dilation=d, padding=2)
         for s, d in product((1, 2, (3, 1)), (1, 2, (1, 4)))]
PADDINGS = [Case((5, 6), (3, 4), C=2, K=3, padding=p) for p in ((2, 1), ((1, 0), (0, 2)), "same", "full", 7)]
GROUPS = [Case((4, 7), (3, 3), C=C, K=K, N=2, groups=G, offset_groups=OG, padding=1)
          for C, K, G, OG in ((4, 6, 2, 1), (4, 6, 1, 4), (6, 6, 2, 3), (12, 9, 3, 2), (34, 10, 2, 17), (20, 20, 20, 1),
                              (33, 33, 33, 33), (64, 8, 1, 2), (17, 34, 17, 1))]
SHAPES = [Case((1, 1), (1, 1)), Case((1, 1), (5, 3), C=2, K=3, padding=2), Case((9, 1), (5, 1), C=2, K=3),
          Case((1, 37), (1, 3), C=2, K=3), Case((2, 3), (5, 5), C=3, K=2, padding=4), Case((5, 7), (1, 1), C=40, K=3)]
BLOCKED = [Case((13, 11), (3, 3), C=130, K=70, N=2, padding=1), Case((12, 12), (3, 3), C=66, K=33, padding=1, groups=3),
           Case((16, 15), (3, 3), C=24, K=100, offset_groups=8, stride=2, padding=1)]
SMALL = [*TAILS, *STEPS, *PADDINGS, *GROUPS, *SHAPES]
EVERY = [*SMALL, *BLOCKED]


class Data(NamedTuple):
    x: np.ndarray
    w: np.ndarray
    bias: np.ndarray
    residual: np.ndarray
    offset: np.ndarray
    mask: np.ndarray
    y: np.ndarray
    magnitude: np.ndarray

    def inputs(self, real: str, channels_last: bool) -> list[np.ndarray]:
        """x, w, bias, residual, offset, mask."""
        return [(arrange(a, channels_last) if a.ndim == 4 and i != 1 else a).astype(NUMPY_REAL[real])
                for i, a in enumerate(self[:6])]


def draw(case: Case, number, offset, mask) -> Data:
    """Each argument gives the data of arrays of a shape; channels first."""
    p = case.problem(bias=True, residual=True)
    x, w, b, r = (number(shape) for shape in (p.input_shape, p.weight_shape, (p.K,), p.output_shape))
    o, m = offset(p.offset_shape), mask(p.mask_shape)
    return Data(x, w, b, r, o, m, reference_deformable.convolution(p, x, w, b, r, o, m),
                reference_deformable.magnitude(p, x, w, b, r, o, m))


def seeded(case: Case) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(str(case).encode()))


@cache
def quarters(case: Case) -> Data:
    """Multiples of 16, offsets of quarter pixels: all products and sums are integers below 2^24, in whatever order."""
    rng = seeded(case)
    data = draw(case, lambda shape: 16.0 * rng.integers(-3, 4, shape), lambda shape: rng.integers(-9, 10, shape) / 4,
                lambda shape: rng.integers(0, 3, shape).astype(float))
    assert data.magnitude.max() < 2**24
    assert case.size[0] < 3 or np.count_nonzero(data.magnitude) >= 0.3 * data.y.size, "mostly zeros: it proves nothing"
    return data


@cache
def reals(case: Case) -> Data:
    """Numbers that float32 holds exactly."""
    rng = seeded(case)

    def normal(shape):
        return rng.standard_normal(shape).astype(np.float32).astype(float)
    return draw(case, normal, lambda shape: 2 * normal(shape), lambda shape: rng.random(shape, np.float32).astype(float))


def run(case, row, isa, real, channels_last, data, packed=False, masked=True, threads=1):
    p = case.problem(real, channels_last, masked, bias=True, residual=True, packed=packed)
    plan = make_plan(p, row.name, isa, threads)
    x, w, b, r, o, m = data.inputs(real, channels_last)
    y = np.full(p.output_shape, np.nan, x.dtype)
    plan.run(x, w, b, r, y, plan.pack(w) if packed else None, o, m if masked else None)
    return np.moveaxis(y, -1, 1) if channels_last else y


def every(cases):
    return [pytest.param(c, last, row, id=f"{c}-{layout_name(last)}-{row.name}") for c in cases for last in (False, True)
            for row in ROWS if not row.refuses(c.problem(channels_last=last))]
