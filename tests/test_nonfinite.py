"""NaN, infinity, denormals: they reach the outputs whose window covers them, and no others."""
import numpy as np
import pytest
from cases import (
    BORDERS,
    DEPTHWISE,
    GROUPS,
    STEPS,
    VOLUMES,
    accepting_rows,
    case,
    compute,
    every_build,
    every_row,
    integers,
    layout_name,
)
from memory import mxcsr

import fastconv
from fastconv import reference
from fastconv.plan import NUMPY_REAL

SPREAD = [*STEPS[::3], *BORDERS[::4], *GROUPS[:3], *DEPTHWISE[-5:], *VOLUMES[:2], case((5, 9), (1, 1), C=5, K=7),
          case((37,), (3,), C=3, K=2, padding=1)]


def with_special(array: np.ndarray, value: float, seed: int) -> np.ndarray:
    """One number replaced."""
    array = array.copy()
    array.flat[np.random.default_rng(seed).integers(array.size)] = value
    return array


def exact_rows(cases):
    """Rows that sum products and nothing else: others spread a NaN over their tile."""
    return [p for p in every_row(cases) if p.values[2].error == 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("case, channels_last, row, isa, real", exact_rows(SPREAD))
def test_input_reaches_its_windows_only(case, channels_last, row, isa, real, value):
    """Weights without zeros, so that infinity stays infinity."""
    data, problem = integers(case, channels_last), case.problem(real, channels_last)
    w = np.where(data.w == 0, 1, data.w)
    reached = False
    for seed in range(4):
        x = with_special(data.x, value, seed)
        expected = reference.by_taps(problem, x, w, data.bias)
        reached |= not np.isfinite(expected).all()
        arrays = [a.astype(NUMPY_REAL[real]) for a in (x, w, data.bias)]
        np.testing.assert_array_equal(compute(problem, row, isa, *arrays), expected)
    assert reached, "only pixels that no window covers: the test proves nothing"


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
@pytest.mark.parametrize("case, channels_last, row, isa, real", exact_rows(SPREAD))
def test_weight_under_zero_padding_contributes_nothing(case, channels_last, row, isa, real, value):
    data = integers(case, channels_last)
    x = np.where(data.x == 0, 1, data.x)
    for seed in range(2):
        w = with_special(data.w, value, seed)
        for packed in (False, True):
            problem = case.problem(real, channels_last, packed=packed)
            if not row.refuses(problem):
                arrays = [a.astype(NUMPY_REAL[real]) for a in (x, w, data.bias, data.residual)]
                expected = reference.by_taps(problem, x, w, data.bias, data.residual)
                np.testing.assert_array_equal(compute(problem, row, isa, *arrays), expected)


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("case", SPREAD, ids=str)
def test_default_path_treats_them_alike(case, channels_last):
    """The promise is that of "auto", whatever rows the table holds."""
    data, problem = integers(case, channels_last), case.problem("f32", channels_last)
    options = dict(groups=case.groups, channels_last=channels_last, **dict(case.arguments))
    convolve, layer = getattr(fastconv, case.operation), getattr(fastconv, case.operation.capitalize())
    ones = np.where(data.x == 0, 1, data.x), np.where(data.w == 0, 1, data.w)
    for value in (np.nan, np.inf):
        for x, w in ((with_special(ones[0], value, 3), ones[1]), (ones[0], with_special(ones[1], value, 3))):
            expected = reference.by_taps(problem, x, w, data.bias)
            x, w, bias = (a.astype(np.float32) for a in (x, w, data.bias))
            np.testing.assert_array_equal(convolve(x, w, bias, **options), expected)
            np.testing.assert_array_equal(layer(w, bias, **options)(x), expected)


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("width", [1, 3, 4, 7, 8, 15, 16, 17, 33])
def test_relu_of_nan_is_nan(width, isa, real):
    """In whole vectors and in every tail, in either operand."""
    line = case((width,), (1,), C=2, K=3)
    for last in (False, True):
        problem = line.problem(real, last, activation="relu")
        x = np.full(problem.input_shape, np.nan, NUMPY_REAL[real])
        for row in accepting_rows(problem):
            assert np.isnan(compute(problem, row, isa, x, np.ones(problem.weight_shape, x.dtype))).all()
            bias = np.array([1, np.nan, -1], x.dtype)
            y = compute(problem, row, isa, np.zeros_like(x), np.ones(problem.weight_shape, x.dtype), bias)
            y = y if last else np.moveaxis(y, 1, -1)
            np.testing.assert_array_equal(y[0, 0], [1, np.nan, 0])


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
def test_denormals_are_not_flushed(channels_last, isa, real):
    """Sums of the smallest numbers there are, and products that fall below the normal ones, are exact."""
    c = case((9, 19), (3, 3), C=3, K=20, padding=1)
    data, problem = integers(c, channels_last), c.problem(real, channels_last)
    info = np.finfo(NUMPY_REAL[real])
    for of_x, of_w in ((float(info.smallest_subnormal), 1.0), (2.0 ** (info.minexp // 2), 2.0 ** (info.minexp - info.nmant
                                                                                               - info.minexp // 2))):
        x, w = (data.x * of_x).astype(info.dtype), (data.w * of_w).astype(info.dtype)
        expected = (reference.by_taps(problem, data.x, data.w) * (of_x * of_w)).astype(info.dtype)
        assert (np.abs(expected[expected != 0]) < info.tiny).any()
        for row in accepting_rows(problem):
            if row.error == 1:
                for threads in (1, 2):
                    np.testing.assert_array_equal(compute(problem, row, isa, x, w, threads=threads), expected)


@pytest.mark.parametrize("isa, real", every_build())
def test_floating_point_mode_unchanged(isa, real):
    before = mxcsr()
    if before is None:
        pytest.skip("MXCSR cannot be read here")
    c = case((30, 31), (3, 3), C=8, K=20, padding=1)
    for last in (False, True):
        problem = c.problem(real, last, activation="gelu")
        for row in accepting_rows(problem):
            compute(problem, row, isa, *integers(c, last).inputs(real), threads=3)
            assert mxcsr() == before
    tiny = np.full(4, np.finfo(np.float32).tiny)
    assert (tiny / 2 > 0).all(), "denormals are flushed in this process"


@pytest.mark.parametrize("real", ["f32", "f64"])
def test_largest_numbers_do_not_overflow_early(real):
    """Sums that stay inside the number type, however close: no row may scale or transform beyond it."""
    c = case((6, 19), (3, 3), C=4, K=5, padding=1)
    largest = np.finfo(NUMPY_REAL[real]).max
    x = np.full(c.input_shape(), largest / 64, NUMPY_REAL[real])
    y = fastconv.conv2d(x, np.ones(c.weight_shape, x.dtype), padding=1)
    assert np.isfinite(y).all() and y.max() == x[0, 0, 0, 0] * 36


def test_minus_zero_equals_zero():
    """The sign of a zero is not promised; its value is."""
    x = np.full((1, 1, 1, 5), -0.0)
    assert (fastconv.conv2d(x, np.ones((1, 1, 1, 1)), activation="relu") == 0).all()
