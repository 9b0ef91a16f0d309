"""Problems, data and builds that the tests share. Everything iterates over the table and the built instruction sets."""
from __future__ import annotations

import zlib
from dataclasses import replace
from functools import cache
from itertools import product
from math import isqrt, prod
from typing import NamedTuple

import numpy as np
import pytest

from fastconv import kernels, reference
from fastconv.algorithms import TABLE
from fastconv.plan import NUMPY_REAL, make_plan
from fastconv.problem import PADDING_MODES, Problem, arranged, convolution_problem

BUILDS = [(isa, real) for isa in kernels.available() for real in kernels.REALS]


class Case(NamedTuple):
    """One convolution but for number type and layout; `arguments` are those of the functions that are not 1, 0 or none."""

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    C: int = 1
    K: int = 1
    N: int = 1
    groups: int = 1
    arguments: tuple[tuple[str, object], ...] = ()
    rank_one: bool = False

    @property
    def operation(self) -> str:
        return f"conv{len(self.size)}d"

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.K, self.C // self.groups, *self.kernel)

    def input_shape(self, channels_last: bool = False) -> tuple[int, ...]:
        return arranged(self.N, self.C, self.size, channels_last)

    def problem(self, real: str = "f64", channels_last: bool = False, **changes) -> Problem:
        problem = convolution_problem(self.operation, self.input_shape(channels_last), self.weight_shape, real,
                                      groups=self.groups, channels_last=channels_last, **dict(self.arguments) | changes)
        return replace(problem, rank_one=self.rank_one)

    def __str__(self) -> str:
        short = {"stride": "s", "dilation": "d", "padding": "p", "padding_mode": ""}
        words = [f"n{self.N}c{self.C}k{self.K}g{self.groups}", "x".join(map(str, self.size)),
                 "x".join(map(str, self.kernel)),
                 *(short.get(name, name) + str(value).replace(" ", "") for name, value in self.arguments)]
        return "-".join(words)


def case(size, kernel, C=1, K=1, N=1, groups=1, rank_one=False, **arguments) -> Case:
    return Case(size, kernel, C, K, N, groups, tuple(arguments.items()), rank_one)


WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 33, 37)      # LANES - 1, LANES, LANES + 1 of every build, and primes
PADDINGS = (1, (2, 1), ((1, 0), (0, 2)), "same", "same_lower", "full", (3, 4), 7)

TAILS = [case((3, 4), (2, 3), C=34 - n, K=n, padding=1) for n in range(1, 34)]
ROWS = [case((2, w), (2, 3), C=2, K=3, stride=s, padding=(0, 1)) for w in WIDTHS for s in (1, 2, 3)]
STEPS = [case((11, 12), (3, 2), C=3, K=5, N=2, stride=s, dilation=d, padding=2)
         for s, d in product((1, 2, 3, (3, 1)), (1, 2, 3, (1, 4)))]
BORDERS = [case((5, 6), (3, 4), C=2, K=3, padding=p, padding_mode=mode) for mode in PADDING_MODES for p in PADDINGS
           if mode != "zeros" or p != 7]                            # which would see little but zeros
BORDERS += [case((5, 6), (3, 2), C=2, K=3, stride=2, padding=p, padding_mode=mode)
            for mode in PADDING_MODES for p in (3, "same", "same_lower")]
BORDERS += [case((1, 6), (3, 3), C=2, K=3, padding=2, padding_mode=mode) for mode in PADDING_MODES]
GROUPS = [case((4, 7), (3, 3), C=C, K=K, N=2, groups=G, padding=1)
          for G, C, K in ((2, 4, 6), (3, 6, 3), (2, 34, 10), (5, 15, 35), (4, 4, 4), (3, 3, 9), (17, 17, 34), (2, 2, 6))]
DEPTHWISE = [case((4, 5), (3, 3), C=C, K=C, groups=C, padding=1) for C in (*range(2, 34), 47, 63, 64, 65, 130)]
DEPTHWISE += [case((6, 9), (3, 2), C=5, K=5, groups=5, stride=s, dilation=d, padding=2, padding_mode=mode)
              for s, d, mode in ((2, 1, "zeros"), (1, 2, "zeros"), (3, 3, "zeros"), (2, 2, "circular"), (1, 1, "reflect"))]
LINES = [case((w,), (s,), C=3, K=4, N=2, padding=p) for w, s, p in
         ((1, 1, 0), (5, 5, 0), (37, 3, 1), (16, 4, "same"), (23, 7, ((6, 0),)), (9, 2, 4), (40, 9, 0))]
HALVED = [case((n, 19 - n // 2), (k, k), C=C, K=5, N=2, stride=2, padding=p, padding_mode=mode)
          for k, n, C, p, mode in (
              (4, 8, 3, 1, "zeros"), (4, 15, 17, 0, "zeros"), (5, 13, 2, 2, "reflect"), (5, 10, 33, 1, "zeros"),
              (6, 14, 4, ((2, 3), (1, 2)), "circular"), (7, 17, 3, 3, "zeros"), (7, 9, 16, 5, "replicate"))]
HALVED += [case((2, 11, 9), (2, 5, 5), C=3, K=4, stride=(1, 2, 2), padding=(0, 2, 2)), case((31,), (4,), C=2, K=3, stride=2),
           case((40,), (7,), C=18, K=4, stride=2, padding=3, groups=2), case((6, 20), (1, 5), C=3, K=2, stride=(3, 2))]
LINES += [case((19,), (3,), C=6, K=6, groups=6, stride=2, padding=2, padding_mode=mode) for mode in PADDING_MODES]
VOLUMES = [case((3, 4, 5), (2, 3, 3), C=2, K=5, stride=s, dilation=d, padding=p, padding_mode=mode)
           for s, d, p, mode in ((1, 1, 1, "zeros"), (2, 1, 2, "zeros"), ((1, 2, 3), 1, "full", "zeros"),
                                 (1, (1, 1, 2), 3, "reflect"), (1, 2, 4, "circular"), (1, 1, "same", "symmetric"))]
VOLUMES += [case((3, 4, 5), (3, 3, 3), C=4, K=4, groups=4, padding=1), case((2, 3, 4), (1, 1, 1), C=3, K=5, N=2)]
VOLUMES += [case((3, 6, 18), kernel, C=3, K=3, groups=G, padding=p)          # kernels without extent on some axes
            for kernel in ((1, 4, 1), (3, 1, 1), (1, 1, 4), (2, 3, 1), (1, 3, 3), (2, 1, 3))
            for G, p in ((1, 0), (3, 0), (3, (1, 2, 0)))]
POINTS = [case((3, w), (1, 1), C=5, K=7, N=2) for w in WIDTHS]
POINTS += [case((4, 9), (1, 1), C=3, K=5, **arguments) for arguments in
           ({"padding": 1}, {"stride": 2}, {"dilation": 3}, {"padding": 1, "stride": 3, "dilation": 2})]
POINTS += [case((2, w), (1, 1), C=2 * w, K=n, N=2) for w, n in zip(WIDTHS, reversed(WIDTHS))]
POINTS += [case((5, 6), (1, 1), C=8, K=66, groups=2, stride=(2, 1)), case((3, 4, 5), (1, 1, 1), C=6, K=9, stride=(2, 1, 3)),
           case((23,), (1,), C=34, K=3, stride=2), case((1, 1), (1, 1), C=64, K=2)]
SHAPES = [case((4, 5), (4, 5), C=3, K=7), case((1, 9), (1, 5), C=2, K=3), case((9, 1), (5, 1), C=2, K=3),
          case((7, 7), (3, 3), C=2, K=3, dilation=9, padding=9), case((3, 4), (2, 2), C=2, K=3, stride=50),
          case((2, 2), (1, 1)), case((1, 1), (1, 1), C=9, K=1), case((1, 40), (1, 1), C=1, K=33),
          case((3, 40), (1, 2), C=4, K=6, dilation=16), case((40, 3), (3, 1), C=4, K=6, dilation=13, padding=(13, 0))]
RANK_ONE = [case((h, w), kernel, C=C, K=C, N=2, groups=C, rank_one=True, stride=s, dilation=d, padding=p, padding_mode=mode)
            for h, w, kernel, C, s, d, p, mode in (
                (9, 7, (3, 2), 1, 1, 1, 1, "zeros"), (13, 37, (5, 7), 1, 1, 1, (2, 3), "reflect"),
                (40, 33, (9, 5), 3, 1, 1, (4, 2), "zeros"), (35, 16, (2, 3), 2, 2, 1, 1, "zeros"),
                (17, 40, (4, 4), 5, 1, 2, 3, "circular"), (21, 18, (7, 7), 17, 1, 1, 3, "zeros"),
                (6, 5, (3, 3), 33, (2, 1), 1, 1, "replicate"), (33, 31, (5, 5), 2, (1, 3), (3, 1), "same", "symmetric"))]
RANK_ONE += [case((11, 20), (3, 4), C=3, K=6, groups=3, rank_one=True, padding=1)]
SMALL = [*TAILS, *ROWS, *STEPS, *BORDERS, *HALVED, *GROUPS, *DEPTHWISE, *LINES, *VOLUMES, *POINTS, *SHAPES, *RANK_ONE]

# More than one chunk, more than one block of pixels, more than one of channels, more than one thread.
BLOCKED = [case((9, 11), (3, 3), C=67, K=50, padding=1), case((41, 43), (3, 3), C=3, K=14, N=2, padding=1),
           case((6, 7), (1, 1), C=530, K=70, N=2), case((40, 40), (1, 1), C=16, K=30, stride=2),
           case((30, 31), (3, 3), C=40, K=40, N=2, groups=40, stride=1, padding=1), case((600,), (9,), C=9, K=20, padding=4),
           case((5, 16, 17), (2, 3, 3), C=4, K=9, dilation=(1, 2, 2), padding="same", padding_mode="circular"),
           case((37, 20), (5, 5), C=8, K=26, groups=2, stride=2, padding=2, padding_mode="reflect"),
           case((2100,), (2,), C=3, K=14)]
# Pixels that are a power of two apart (blocks.copies_rows, tiles.tile_rows, v_row of winograd.pyx).
BLOCKED += [case((9, 12), (3, 3), C=1024, K=1024, groups=1024, stride=(2, 1), padding=1),
            case((8, 7), (3, 2), C=1024, K=1024, N=2, groups=1024, stride=2, dilation=(2, 1), padding=(3, 1)),
            case((5, 9), (1, 1), C=1024, K=34, N=2), case((30,), (3,), C=1024, K=10, padding=1)]
# Large kernels: more than one tile of a transform, tiles or channels on the lanes, rows with a partner and without.
BLOCKED += [case((90, 100), (9, 11), rank_one=True, padding=(4, 5)),
            case((50, 46), (7, 5), C=20, K=20, groups=20, rank_one=True, padding=(3, 2))]
BLOCKED += [case((40, 47), (9, 7), C=18, K=35, padding=(4, 3)), case((61, 47), (13, 11), C=20, K=20, groups=20, padding=6),
            case((900,), (33,), C=3, K=6, N=2, groups=3, padding=16, padding_mode="reflect"),
            case((700,), (31,), C=17, K=5, padding=15), case((75, 90), (15, 15), dilation=2, padding=9)]
# Few output channels: wide tiles of long rows and of planes, the last of which overlap; dot products.
BLOCKED += [case((33, 150), (2, 3), C=5, K=K, padding=1) for K in (1, 2, 3, 4, 15)]
BLOCKED += [case((41, 47), (1, 1), C=37, K=K, N=2) for K in (1, 2, 3, 4)]
BLOCKED += [case((9, 70), (3, 3), C=6, K=16, stride=2, padding=1, padding_mode="reflect"), case((3390,), (1,), C=19, K=3)]


def layout_name(channels_last: bool) -> str:
    return "last" if channels_last else "first"


def accepting_rows(problem: Problem) -> list:
    return [row for row in TABLE[problem.operation] if not row.refuses(problem)]


def every_build():
    """Parameters (isa, real). A quick run takes the best instruction set and the baseline, and leaves out those between."""
    quick = kernels.available()[0], kernels.available()[-1]
    return [pytest.param(isa, real, id=f"{isa}-{real}", marks=() if isa in quick else pytest.mark.slow)
            for isa, real in BUILDS]


def every_row(cases, layouts=(False, True)):
    """Parameters (case, channels_last, row, isa, real): one for each build of each row that does not refuse."""
    return [pytest.param(c, last, row, isa, real, id=f"{c}-{layout_name(last)}-{row.name}-{build.id}", marks=build.marks)
            for c in cases for last in layouts for build in every_build() for isa, real in [build.values]
            for row in accepting_rows(c.problem(real, channels_last=last))]


def every_algorithm(cases, real: str):
    """Parameters (case, channels_last, algorithm): one for each row that does not refuse, and the choice among them."""
    return [pytest.param(c, last, name, id=f"{c}-{layout_name(last)}-{name}") for c in cases for last in (False, True)
            for name in ("auto", *(row.name for row in accepting_rows(c.problem(real, channels_last=last))))]


class Data(NamedTuple):
    """What goes into one convolution and what has to come out, in float64 and in the layout of the problem."""

    x: np.ndarray
    w: np.ndarray
    bias: np.ndarray
    residual: np.ndarray
    y: np.ndarray               # with bias and residual
    magnitude: np.ndarray       # the same sums over absolute values

    def inputs(self, real: str) -> list[np.ndarray]:
        return [a.astype(NUMPY_REAL[real]) for a in self[:4]]


def arrange(array: np.ndarray, channels_last: bool) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, 1, -1)) if channels_last else array


def seeded(case: Case) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(str(case).encode()))


def draw(case: Case, number) -> Data:
    """`number(shape)` gives the data of one array; channels first."""
    problem = case.problem(bias=True, residual=True)
    weights = number(problem.weight_shape)
    if case.rank_one:           # of products of few bits, that are exact
        column, row = (np.round(8 * number((case.K, 1, *shape))) / 8 for shape in ((case.kernel[0], 1), (1, case.kernel[1])))
        weights = column * row
    arrays = (number(problem.input_shape), weights, number((case.K,)), number(problem.output_shape))
    return Data(*arrays, reference.convolution(problem, *arrays), reference.magnitude(problem, *arrays))


@cache
def integers_first(case: Case) -> Data:
    """Small integers: no sum, in whatever order, exceeds 2^24, so that every one is exact. Most sums must not be zero."""
    rng, problem = seeded(case), case.problem()
    top = min(8, isqrt(2**23 // problem.sum_length))
    data = draw(case, lambda shape: rng.integers(-top, top + 1, shape).astype(float))
    assert data.magnitude.max() < 2**24
    sums = data.y - data.residual - data.bias.reshape(-1, *(1,) * len(case.size))
    assert np.count_nonzero(sums) >= 0.3 * prod(sums.shape), "mostly zeros: the case proves nothing"
    return data


@cache
def reals_first(case: Case) -> Data:
    """Normal numbers that float32 holds exactly, so that the oracle sees what the kernel sees."""
    rng = seeded(case)
    return draw(case, lambda shape: rng.standard_normal(shape).astype(np.float32).astype(float))


def in_layout(data: Data, channels_last: bool) -> Data:
    images = "x", "residual", "y", "magnitude"
    return data._replace(**{name: arrange(getattr(data, name), channels_last) for name in images})


def integers(case: Case, channels_last: bool = False) -> Data:
    return in_layout(integers_first(case), channels_last)


def reals(case: Case, channels_last: bool = False) -> Data:
    return in_layout(reals_first(case), channels_last)


def compute(problem: Problem, row, isa: str, x, w, bias=None, residual=None, threads: int = 1, y=None) -> np.ndarray:
    """Run one row; the output starts as NaN, so that a number that is not written shows."""
    problem = replace(problem, bias=bias is not None, residual=residual is not None)
    plan = make_plan(problem, row.name, isa, threads)
    if y is None:
        y = np.full(problem.output_shape, np.nan, x.dtype)
    plan.run(x, w, bias, residual, y, plan.pack(w) if problem.packed else None)
    return y


def unit(dtype) -> float:
    return float(np.finfo(dtype).eps) / 2


def gamma(n: int, u: float) -> float:
    """Bound of the relative error of n roundings (Higham, section 3.1)."""
    return n * u / (1 - n * u)


def sum_bound(problem: Problem, row, magnitude: np.ndarray) -> np.ndarray:
    """Largest error of sum, bias and residual in any order, that of the float64 oracle included."""
    n = problem.sum_length + 2
    magnitude = reference.error_scale(problem, row.error, magnitude)
    return (gamma(n, unit(NUMPY_REAL[problem.real])) * row.error + gamma(n, unit(np.float64))) * magnitude


def assert_exact(y: np.ndarray, problem: Problem, row, data: Data) -> None:
    """Equal to the oracle on integers, unless the row's arithmetic rounds even there."""
    if row.error == 1:
        np.testing.assert_array_equal(y, data.y)
    else:
        assert (np.abs(y - data.y) <= sum_bound(problem, row, data.magnitude)).all()
