"""Validation: every call compared with SciPy in float64."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod

import numpy as np

from . import config

STEEPEST = {"silu": 1.1, "gelu": 1.13, "hardswish": 1.5}     # slopes of activations, where they exceed 1
EVALUATION = 16             # half units of its result that an activation may be off, exponential and division included

_rtol: float | None = None


class ValidationError(AssertionError):
    """A result differs from SciPy's by more than rounding explains."""


@contextmanager
def validation(rtol: float | None = None) -> Iterator[None]:
    """Inside the block, compare every call with `scipy.signal.correlate` in float64.

    Parameters
    ----------
    rtol : float, optional
        Allowed error as a share of the sum of absolute products, ``|y - reference| <= rtol * (|bias| + |residual| +
        sum |w| |x|)``, times the steepest slope of the activation, and some half units in the last place of y. By default
        what rounding explains: (products in a sum + 8) half units, the bound of a sum in any order, of bias and residual.

    Raises
    ------
    fastconv.ValidationError
        Naming the worst element.
    ImportError
        Without SciPy.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> with fastconv.validation():
    ...     y = fastconv.conv2d(np.ones((1, 2, 5, 5)), np.ones((3, 2, 3, 3)))
    """
    global _rtol
    before = config.validating, _rtol
    config.validating, _rtol = True, rtol
    try:
        yield
    finally:
        config.validating, _rtol = before


def oracle_of(operation: str):
    """The module that computes a convolution in float64. (Oracles are imported where they are needed, which is seldom.)"""
    from . import reference, reference_deformable
    return reference_deformable if operation == "deform_conv2d" else reference


def check(problem, x, weight, bias, residual, y, growth: float = 1.0, *more) -> None:
    """Compare one finished call; the arrays are those that its kernel saw, `growth` is Algorithm.error of its row."""
    from . import reference
    if getattr(problem, "gated", False):
        check_gated(problem, x, weight, bias, y, growth)
        return
    if getattr(problem, "scales", 0):
        check_scaled(problem, x, weight, bias, residual, y, growth)
        return
    oracle = oracle_of(problem.operation)
    scale = reference.error_scale(problem, growth, oracle.magnitude(problem, x, weight, bias, residual, *more))
    compare(f"{problem.operation} of input {problem.input_shape} with weight {problem.weight_shape}", y,
            oracle.convolution(problem, x, weight, bias, residual, *more), scale, prod(problem.weight_shape[1:]) + 8, growth,
            problem.activation)


def check_gated(problem, x, weight, bias, y, growth: float) -> None:
    """Compare one finished gated convolution: an error of the gate counts as often as its feature is large."""
    from dataclasses import replace

    from . import reference
    parts = np.reshape(weight, (problem.G, 2, -1, *weight.shape[1:]))
    features = replace(problem, K=problem.K // 2, gated=False)
    results = []
    for i, one in enumerate((features, replace(features, activation=("sigmoid", 0.0, 0.0)))):
        arrays = x, parts[:, i].reshape(-1, *weight.shape[1:]), None if bias is None else bias.reshape(2, -1)[i]
        results.append((reference.convolution(one, *arrays),
                        reference.error_scale(one, growth, reference.magnitude(one, *arrays))))
    (feature, error), (gate, gate_error) = results
    compare(f"gated {problem.operation} of input {problem.input_shape} with weight {problem.weight_shape}", y,
            feature * gate, steepest(problem.activation) * error + np.abs(feature) * gate_error,
            prod(problem.weight_shape[1:]) + 8, growth, ("sigmoid", 0.0, 0.0))


def check_scaled(problem, x, weight, bias, scales, y, growth: float) -> None:
    """Compare one finished partial convolution; x is masked, `scales` are what its sums are multiplied with."""
    from dataclasses import replace

    from . import reference
    plain = replace(problem, scales=0, activation=("none", 0.0, 0.0))
    axis = -1 if problem.channels_last else 1
    factors = np.repeat(np.asarray(scales, np.float64), problem.K // problem.scales, axis)
    added = 0.0 if bias is None else np.reshape(bias, (-1,) if axis < 0 else (-1, 1, 1)) * (factors > 0)
    expected = reference.convolution(plain, x, weight) * factors + added
    scale = reference.error_scale(plain, growth, reference.magnitude(plain, x, weight)) * factors + np.abs(added)
    compare(f"partial {problem.operation} of input {problem.input_shape} with weight {problem.weight_shape}", y,
            reference.activate(problem.activation, expected), scale, prod(problem.weight_shape[1:]) + 8, growth,
            problem.activation)


def check_transposed(problem, x, weight, bias, residual, activation, y, growth: float) -> None:
    """Compare one finished transposed convolution; `growth` is the largest Algorithm.error of its phases."""
    from . import reference
    expected = reference.transposed(problem, x, weight, bias, residual)
    parts = (None if a is None else np.abs(a) for a in (x, weight, bias, residual))
    scale = reference.error_scale(problem, growth, reference.transposed(problem, *parts))
    compare(f"{problem.operation} of input {x.shape} with weight {weight.shape}", y,
            reference.activate(activation, expected), scale, weight[:, 0].size + 8, growth, activation)


def steepest(activation: tuple[str, float, float]) -> float:
    """The factor with which an error of a sum passes through its activation at most."""
    name, slope, _ = activation
    return max(1.0, abs(slope)) if name == "leaky_relu" else STEEPEST.get(name, 1.0)


def compare(call: str, y, expected, scale, roundings: int, growth: float, activation: tuple[str, float, float]) -> None:
    """Raise ValidationError unless |y - expected| is what `roundings` half units of `scale`, times growth, explain, and the
    evaluation of the activation."""
    unit = np.finfo(y.dtype).eps / 2
    rtol = roundings * unit * growth if _rtol is None else _rtol
    floor = np.finfo(y.dtype).tiny
    scale = steepest(activation) * scale
    own = unit * (1 if activation[0] in ("none", "clip") else EVALUATION)
    with np.errstate(invalid="ignore"):
        error = np.abs(y - expected)
    same = (y == expected) | (np.isnan(y) & np.isnan(expected))
    bad = ~same & ~(error <= rtol * scale + own * np.abs(expected) + floor)
    if bad.any():
        with np.errstate(over="ignore"):
            excess = np.where(bad, np.where(np.isfinite(error), error / (scale + floor), np.inf), 0)
        worst = np.unravel_index(np.argmax(excess), y.shape)
        raise ValidationError(f"{call}: element {tuple(int(i) for i in worst)} is {y[worst]}, SciPy has {expected[worst]} "
                              f"({np.count_nonzero(bad)} of {y.size} differ by more than {rtol:.2g} of their sums)")


def check_pool(problem, x, y, indices=None) -> None:
    """Compare one finished pooling: largest numbers and positions to the bit, means within the rounding of their sums."""
    from . import reference_pooling
    about = f"{problem.operation} of input {problem.input_shape}"
    if problem.largest:
        expected, where = reference_pooling.largest(problem, x)
        report_bad(about, y, expected, (y != expected) & ~((y != y) & (expected != expected)))
        if indices is not None:
            report_bad(f"indices of {about}", indices, where, indices != where)
        return
    expected, unit = reference_pooling.mean(problem, x), np.finfo(y.dtype).eps / 2
    rtol = (problem.taps + 2) * unit if _rtol is None else _rtol
    with np.errstate(invalid="ignore"):
        error = np.abs(y - expected)
        bound = rtol * np.abs(reference_pooling.mean(problem, np.abs(x)))
    same = (y == expected) | (np.isnan(y) & np.isnan(expected))
    report_bad(about, y, expected, ~same & ~(error <= bound + np.finfo(y.dtype).tiny))


def check_unpool(problem, x, indices, y) -> None:
    """Compare one finished max_unpool, to the bit."""
    from . import reference_pooling
    expected = reference_pooling.unpool(x, indices, problem.output_size, problem.channels_last)
    report_bad(problem.operation, y, expected, (y != expected) & ~((y != y) & (expected != expected)))


def check_stream(problem, inputs, y) -> None:
    """Compare one finished call of resampling, rearranging or regions with its definition."""
    from . import reference_regions, reference_resampling
    oracle = reference_regions if hasattr(problem, "bins") else reference_resampling
    expected, units = oracle.expected_of(problem, inputs)
    expected = np.reshape(expected, y.shape)
    allowed = np.zeros(y.shape)
    if y.dtype.kind == "f":
        unit = np.finfo(y.dtype).eps / 2 if _rtol is None else _rtol
        allowed = np.reshape(units, y.shape if np.ndim(units) else ()) * unit + np.finfo(y.dtype).tiny
    with np.errstate(invalid="ignore"):
        good = (y == expected) | (np.abs(y - expected) <= allowed) if y.dtype.kind == "f" else y == expected
    bad = ~(good | ((y != y) & (expected != expected)))
    report_bad(f"{problem.operation} with result {y.shape}", y, expected, bad)


def report_bad(about: str, y, expected, bad) -> None:
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValidationError(f"{about}: element {first} is {y[first]}, the definition gives {expected[first]} "
                              f"({np.count_nonzero(bad)} of {y.size} are wrong)")
