"""Real data within bounds that are derived: length of the sum x unit roundoff x the row's error."""
import ml_dtypes
import numpy as np
import pytest
from cases import (
    BLOCKED,
    BUILDS,
    DEPTHWISE,
    GROUPS,
    HALVED,
    LINES,
    POINTS,
    SHAPES,
    TAILS,
    VOLUMES,
    accepting_rows,
    case,
    compute,
    every_build,
    every_row,
    gamma,
    layout_name,
    reals,
    sum_bound,
    unit,
)

import fastconv
from fastconv import reference
from fastconv.plan import NUMPY_REAL
from fastconv.problem import resolve_activation

REAL_CASES = [*TAILS[::4], *GROUPS, *DEPTHWISE[::6], *HALVED, *LINES, *VOLUMES, *POINTS[::3], *SHAPES, *BLOCKED,
              case((6, 6), (3, 3), C=512, K=2, padding=1)]
DEEP, LONG = case((6, 6), (3, 3), C=64, K=8, padding=1), case((1, 9), (1, 8), C=64, K=3)
ACTIVATIONS = ("relu", "relu6", "leaky_relu", ("leaky_relu", 0.3), ("leaky_relu", -2.0), ("clip", -0.5, 0.25), "sigmoid",
               "tanh", "silu", "gelu", "hardswish", "hardsigmoid")
# Steepest slope of each: an error of the sum passes through with this factor.
SLOPE = {"leaky_relu": 2.0, "silu": 1.1, "gelu": 1.13, "hardswish": 1.5}


@pytest.mark.parametrize("case, channels_last, row, isa, real", every_row(REAL_CASES))
def test_error_within_bound(case, channels_last, row, isa, real):
    data, problem = reals(case, channels_last), case.problem(real, channels_last)
    y = compute(problem, row, isa, *data.inputs(real))
    assert (np.abs(y - data.y) <= sum_bound(problem, row, data.magnitude)).all()


@pytest.mark.parametrize("case, channels_last, row, isa, real", every_row([DEEP], [False]))
def test_error_grows_like_root_of_sum(case, channels_last, row, isa, real):
    """Roundings of independent sign: relative L2 error below sqrt(n) u, far inside the bound that holds always."""
    data, problem = reals(case), case.problem(real)
    error = compute(problem, row, isa, *data.inputs(real)) - data.y
    n, u = problem.sum_length, unit(NUMPY_REAL[real]) + unit(np.float64)
    assert np.linalg.norm(error) <= row.error * n**0.5 * u * np.linalg.norm(data.magnitude)


@pytest.mark.parametrize("case, channels_last, row, isa, real", every_row([LONG], [False]))
def test_cancellation_within_bound(case, channels_last, row, isa, real):
    """Products of +-1e8 that cancel leave an error relative to their size, and no more."""
    problem = case.problem(real)
    rng = np.random.default_rng(1)
    x = (1e8 * (-1.0) ** np.arange(9) + rng.standard_normal(problem.input_shape)).astype(NUMPY_REAL[real])
    w = (1 + 1e-3 * rng.standard_normal(problem.weight_shape)).astype(x.dtype)
    error = np.abs(compute(problem, row, isa, x, w) - reference.convolution(problem, x, w))
    assert (error <= sum_bound(problem, row, reference.magnitude(problem, x, w))).all()


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
def test_activation_of_every_row_within_bound(channels_last, activation, isa, real):
    """After bias and residual, on every channel of every group and tail."""
    tails = [case((5, 7), (3, 3), C=6, K=6, N=2, groups=G, padding=1) for G in (2, 6)]
    for tail in (*tails, case((5, 7), (1, 1), C=6, K=19)):
        data, problem = reals(tail, channels_last), tail.problem(real, channels_last, activation=activation)
        expected = reference.activate(problem.activation, data.y)
        u = unit(NUMPY_REAL[real]) + unit(np.float64)
        for row in accepting_rows(problem):
            y = compute(problem, row, isa, *data.inputs(real))
            bound = SLOPE.get(problem.activation[0], 1) * sum_bound(problem, row, data.magnitude)
            bound = bound + evaluation_error(problem.activation[0], data.y, expected, u)
            assert (np.abs(y - expected) <= bound).all(), row.name


def evaluation_error(name: str, x, y, u: float):
    """Error of one activation at an exact argument.

    An exponential is a sum whose terms fall, times a power of two: 4 roundings; one is added, one divided, one multiplied:
    under 8. The exponent of gelu's tail is the square of z = x / sqrt(2): roundings of the factor and of the product count
    twice, that of the square once, each x^2 / 2 times; beside them the 23 steps of its polynomial, of which all but the last
    few are below one rounding together.
    """
    if name == "gelu":
        return (16 + 2.5 * np.square(np.clip(x, -40, 40))) * u * np.abs(y)
    return 8 * u * np.abs(y) + (2 * u if name in ("hardswish", "hardsigmoid") else 0) * np.maximum(np.abs(x), 1)


def through_kernel(activation, values, isa, real):
    """The activation alone: a 1 x 1 kernel of weight one."""
    dtype = NUMPY_REAL[real]
    x = np.asarray(values, dtype).reshape(1, 1, -1)
    line = case((x.size,), (1,))
    problem = line.problem(real, activation=activation)
    return compute(problem, accepting_rows(problem)[0], isa, x, np.ones((1, 1, 1), dtype))[0, 0], x[0, 0].astype(float)


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activation_relative_error(activation, isa, real):
    """Small relative error wherever the exponential does not leave the number type, also close to zero."""
    grid = np.concatenate([np.linspace(-9, 9, 3001), np.geomspace(1e-30, 80, 500), -np.geomspace(1e-30, 80, 500), [0.0]])
    y, x = through_kernel(activation, grid, isa, real)
    resolved = resolve_activation(activation)
    expected = reference.activate(resolved, x)
    u, tiny = unit(NUMPY_REAL[real]) + unit(np.float64), float(np.finfo(NUMPY_REAL[real]).tiny)
    bound = evaluation_error(resolved[0], x, expected, u)
    assert (np.abs(y - expected) <= bound + 100 * tiny).all()


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activation_of_huge_arguments(activation, isa, real):
    y, x = through_kernel(activation, [1000.0, -1000.0, 1e30, 300.0, -300.0, 100.0, -100.0], isa, real)
    with np.errstate(all="ignore"):
        expected = reference.activate(resolve_activation(activation), x)
    u, tiny = unit(NUMPY_REAL[real]), float(np.finfo(NUMPY_REAL[real]).tiny)
    assert (np.abs(y - expected) <= 8 * u * np.abs(expected) + tiny * np.maximum(np.abs(x), 1)).all()


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activation_of_nan_and_infinity(activation, isa, real):
    y, _ = through_kernel(activation, [np.nan, np.inf, -np.inf, 1.0], isa, real)
    name, low, high = resolve_activation(activation)
    tiny = np.finfo(y.dtype).tiny
    limits = {"relu": (np.inf, 0), "leaky_relu": (np.inf, -np.inf * low), "clip": (high, low), "sigmoid": (1, 0),
              "tanh": (1, -1), "silu": (np.inf, None), "gelu": (np.inf, None), "hardswish": (np.inf, None),
              "hardsigmoid": (1, 0)}[name]
    assert np.isnan(y[0])
    assert y[1] == limits[0]
    if limits[1] is not None:
        assert y[2] == limits[1] or abs(y[2] - limits[1]) <= tiny
    assert np.isfinite(y[3])


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("activation", ["silu", "gelu"])
def test_gated_activation_of_minus_infinity(activation, isa, real):
    y, _ = through_kernel(activation, [-np.inf], isa, real)
    assert np.isnan(y[0]) or y[0] == 0


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
def test_half_types_computed_in_float32(dtype, channels_last):
    """To the bit what float32 gives, rounded once; also with bias, residual, activation and out."""
    small = case((6, 7), (3, 3), C=5, K=4, N=2, padding=1)
    x, w, bias, residual = (a.astype(dtype) for a in reals(small, channels_last)[:4])
    options = dict(padding=1, channels_last=channels_last, activation="silu")
    y = fastconv.conv2d(x, w, bias, residual=residual, **options)
    wide = fastconv.conv2d(*(a.astype(np.float32) for a in (x, w, bias)), residual=residual.astype(np.float32), **options)
    assert y.dtype == dtype
    assert np.array_equal(y.view(np.uint16), wide.astype(dtype).view(np.uint16))
    out = np.empty_like(y)
    assert fastconv.conv2d(x, w, bias, residual=residual, out=out, **options) is out
    assert np.array_equal(y.view(np.uint16), out.view(np.uint16))
    layer = fastconv.Conv2d(w, bias, **options)(x, residual)
    assert layer.dtype == dtype
    np.testing.assert_allclose(layer.astype(float), wide, rtol=4 * float(ml_dtypes.finfo(dtype).eps), atol=1e-3)


def test_float16_within_bound():
    small = case((6, 7), (3, 3), C=5, K=4, N=2, padding=1)
    problem = small.problem("f32")
    x, w = (a.astype(np.float16) for a in reals(small)[:2])
    expected, magnitude = reference.convolution(problem, x, w), reference.magnitude(problem, x, w)
    bound = gamma(problem.sum_length, unit(np.float32)) * magnitude + unit(np.float16) * np.abs(expected) + 2.0**-25
    worst = max(row.error for row in accepting_rows(problem))
    assert (np.abs(fastconv.conv2d(x, w, padding=1) - expected) <= worst * bound).all()


def test_instruction_sets_agree_within_bound():
    deep = case((9, 11), (3, 3), C=67, K=50, padding=1)
    data = reals(deep)
    for real in ("f32", "f64"):
        problem = deep.problem(real)
        for row in accepting_rows(problem):
            results = [compute(problem, row, isa, *data.inputs(real)) for isa, r in BUILDS if r == real]
            for y in results:
                assert (np.abs(y - results[0]) <= 2 * sum_bound(problem, row, data.magnitude)).all()
