"""validation(): finds a wrong element, is content with right ones, and says what to install."""
import numpy as np
import pytest
from cases import BLOCKED, DEPTHWISE, SHAPES, STEPS, case, layout_name, reals
from child import python

import fastconv
from fastconv import config
from fastconv.plan import Plan

X, W = np.ones((2, 4, 6, 7), np.float32), np.ones((6, 4, 3, 3), np.float32)


@pytest.fixture
def spoil(monkeypatch):
    """Make every plan add `error` to one element of its result."""
    def add(error, at=17):
        run = Plan.run

        def wrong(self, x, weight, bias, residual, y, packed=None):
            run(self, x, weight, bias, residual, y, packed)
            y.flat[at] += error
        monkeypatch.setattr(Plan, "run", wrong)
    return add


def test_wrong_element_named(spoil):
    spoil(0.5)
    assert fastconv.conv2d(X, W).flat[17] == 36.5
    with fastconv.validation(), pytest.raises(fastconv.ValidationError) as caught:
        fastconv.conv2d(X, W)
    at = tuple(int(i) for i in np.unravel_index(17, (2, 6, 4, 5)))
    for word in ("conv2d", "(2, 4, 6, 7)", "(6, 4, 3, 3)", f"element {at}", "36.5", "36.0", "1 of 240"):
        assert word in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_wrong_nan_and_infinity_found(spoil, value):
    spoil(value)
    with fastconv.validation(), pytest.raises(fastconv.ValidationError, match=r"element \(0, 0, 3, 2\)"):
        fastconv.conv2d(X, W)


def test_error_of_few_roundings_found(spoil):
    """36 products: 44 half units of 36 are allowed, 200 are not."""
    spoil(200 * 36 * 2.0**-24)
    with fastconv.validation(), pytest.raises(fastconv.ValidationError):
        fastconv.conv2d(X, W)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "silu", "gelu", "hardswish", "hardsigmoid", ("leaky_relu", -3.0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_of_small_sums_pass(activation, dtype):
    """The sigmoid of 1e-9 is rounded as a half is, not as 1e-9."""
    x = np.random.default_rng(2).standard_normal((1, 4, 20, 30)).astype(dtype)
    w = np.array([1e-9, 1e-3, 1, 30]).astype(dtype)
    with fastconv.validation():
        fastconv.conv2d(x, w.reshape(4, 1, 1, 1), activation=activation, groups=4)
        fastconv.gated_conv2d(x, w.reshape(4, 1, 1, 1), w[::-1].reshape(4, 1, 1, 1), activation=activation, groups=4)


def test_wrong_result_of_layer_found(spoil):
    layer = fastconv.Conv2d(W)
    layer(X)
    layer(X)
    spoil(0.5)
    with fastconv.validation(), pytest.raises(fastconv.ValidationError):
        layer(X)
    with fastconv.validation(), pytest.raises(fastconv.ValidationError):
        fastconv.conv2d(X, W, out=np.empty((2, 6, 4, 5), np.float32))


def test_rtol_sets_what_is_allowed(spoil):
    spoil(0.36)
    with fastconv.validation(rtol=0.02):
        fastconv.conv2d(X, W)
    with fastconv.validation(rtol=0.005), pytest.raises(fastconv.ValidationError):
        fastconv.conv2d(X, W)
    with fastconv.validation(rtol=0.02), fastconv.validation(rtol=0.005), pytest.raises(fastconv.ValidationError):
        fastconv.conv2d(X, W)


def test_ends_with_the_block(spoil):
    spoil(0.5)
    before = config.validating
    with pytest.raises(fastconv.ValidationError), fastconv.validation():
        fastconv.conv2d(X, W)
    assert config.validating == before
    fastconv.conv2d(X, W)


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("real", ["f32", "f64"])
@pytest.mark.parametrize("case", [*STEPS[::4], *DEPTHWISE[-3:], *SHAPES, BLOCKED[0], BLOCKED[-1]], ids=str)
def test_right_results_pass(case, real, channels_last):
    x, w, bias, residual = reals(case, channels_last).inputs(real)
    options = dict(groups=case.groups, channels_last=channels_last, **dict(case.arguments))
    with fastconv.validation():
        convolve = getattr(fastconv, case.operation)
        for activation in (None, "relu6", "gelu", "tanh"):
            convolve(x, w, bias, residual=residual, activation=activation, **options)
            getattr(fastconv, case.operation.capitalize())(w, activation=activation, **options)(x)
        convolve(x[0], w, bias, residual=residual[0], **options)
        convolve(x[:0], w, **options)


def test_right_results_of_half_types_pass():
    with fastconv.validation():
        fastconv.conv2d(X.astype(np.float16), W.astype(np.float16))


def test_infinity_under_dilated_kernel_passes():
    x = X.copy()
    x[0, 0, 3, 3] = np.inf
    with fastconv.validation():
        fastconv.conv2d(x, W, dilation=2)


def test_infinite_weight_under_padding_passes():
    w = W.copy()
    w[0, 0, 0, 0] = np.inf
    with fastconv.validation():
        fastconv.conv2d(X, w, padding=1)


@pytest.mark.parametrize("padding", [0, 1])
def test_nan_passes(padding):
    x = X.copy()
    x[0, 0, 3, 3] = np.nan
    with fastconv.validation():
        fastconv.conv2d(x, W, padding=padding)


WITHOUT_SCIPY = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "scipy":
            raise ImportError("no scipy here")
sys.meta_path.insert(0, Refuse())
import numpy, fastconv
x, w = numpy.ones((1, 1, 4, 4)), numpy.ones((1, 1, 3, 3))
assert (fastconv.conv2d(x, w, activation="gelu") > 8).all()
try:
    with fastconv.validation():
        fastconv.conv2d(x, w)
except ImportError as error:
    print(error)
"""


def test_without_scipy():
    result = python(WITHOUT_SCIPY)
    assert "pip install scipy" in result.stdout, result.stderr


def test_import_leaves_scipy_alone():
    result = python("import fastconv, sys; print([name for name in sys.modules if name.partition('.')[0] == 'scipy'])")
    assert result.stdout.strip() == "[]", result.stderr


def test_oracle_is_not_fooled_by_symmetry():
    """A hand-computed correlation: the kernel is not flipped, rows and columns are not exchanged."""
    x = np.arange(6.0).reshape(1, 1, 2, 3)
    w = np.array([[[[1.0, 10.0]]], [[[0.0, 1.0]]]])
    with fastconv.validation():
        y = fastconv.conv2d(x, w)
    np.testing.assert_array_equal(y[0], [[[10, 21], [43, 54]], [[1, 2], [4, 5]]])
    assert case((2, 3), (1, 2)).problem().output_size == (2, 2)
