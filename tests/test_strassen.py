"""Strassen's sums of halves: channels of different sizes keep their own accuracy, whatever they are added to."""
import numpy as np
import pytest
from cases import case, compute, every_build, layout_name, sum_bound

from fastconv import reference
from fastconv.algorithms import CONVOLUTION
from fastconv.plan import NUMPY_REAL, make_plan

ROW = next(row for row in CONVOLUTION if row.name == "strassen")
PRODUCT = case((5, 7), (1, 1), C=96, K=70)


def sizes(rng, n: int) -> np.ndarray:
    return 10.0 ** rng.integers(-5, 6, n)


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("which", ["inputs", "outputs", "both"])
def test_channels_of_different_sizes(which, channels_last, isa, real):
    """Inputs in other units with weights that undo them, kernels of other sizes: errors are those of sums of one size."""
    problem, rng = PRODUCT.problem(real, channels_last), np.random.default_rng(3)
    x, w = rng.standard_normal(problem.input_shape), rng.standard_normal(problem.weight_shape)
    if which != "outputs":
        units = sizes(rng, problem.C)
        x *= units if channels_last else units[:, None, None]
        w /= units[:, None, None]
    if which != "inputs":
        w *= sizes(rng, problem.K)[:, None, None, None]
    x, w = x.astype(NUMPY_REAL[real]), w.astype(NUMPY_REAL[real])
    error = np.abs(compute(problem, ROW, isa, x, w) - reference.convolution(problem, x, w))
    assert (error <= sum_bound(problem, ROW, reference.magnitude(problem, x, w))).all()


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("weight", [0.0, 1e-40, 1e-300, np.inf, np.nan])
def test_channels_without_a_size(weight, isa, real):
    """Kernels and channels of zeros, of numbers below all scales, and an infinity among the weights."""
    problem, rng = PRODUCT.problem(real), np.random.default_rng(4)
    dtype = NUMPY_REAL[real]
    x, w = (rng.standard_normal(shape).astype(dtype) for shape in (problem.input_shape, problem.weight_shape))
    w[3] = w[:, 50] = dtype.type(weight)
    y = compute(problem, ROW, isa, x, w)
    with np.errstate(all="ignore"):
        expected = reference.convolution(problem, x, w)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4 * np.abs(expected[np.isfinite(expected)]).max(initial=1e-30))


@pytest.mark.parametrize("real", ["f32", "f64"])
def test_is_chosen_where_sums_are_long(real):
    """By layers: 1024 -> 512 channels of 14 x 14 pixels; and not for few channels."""
    from dataclasses import replace
    for C, K, wanted in ((1024, 512, True), (16, 16, False)):
        problem = replace(case((14, 14), (1, 1), C=C, K=K).problem(real, channels_last=True), packed=True)
        assert (make_plan(problem).row.name == "strassen") is wanted
