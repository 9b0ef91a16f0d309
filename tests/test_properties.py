"""Properties of convolution, on problems drawn by hypothesis; integers, so that they hold to the bit."""
import numpy as np
import pytest
from cases import accepting_rows, compute, sum_bound
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import fastconv
from fastconv import kernels, reference
from fastconv.algorithms import CONVOLUTIONS
from fastconv.problem import PADDING_MODES, PADDING_NAMES, arranged, convolution_problem

INTEGERS = all(row.error == 1 for rows in CONVOLUTIONS.values() for row in rows)


def equal(a, b, scale):
    """To the bit, unless some row of the table rounds even integers: `scale` bounds the sums."""
    if INTEGERS:
        np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * scale)


@st.composite
def problems(draw, groups=(1, 1, 1, 2, 3, 5)):
    """Arguments of a convolution that fits: (operation, input shape, weight shape, arguments).

    Half of all strides and of all dilations are 1 on all axes, and every row can be longer than a vector: most kernels have
    loops of their own for these.
    """
    axes, G = draw(st.integers(1, 3)), draw(st.sampled_from(groups))
    C, K = G * draw(st.integers(1, 20 // G)), G * draw(st.integers(1, 24 // G))
    size = [draw(st.integers(1, 20 if axes < 3 or i == 2 else 7)) for i in range(axes)]
    kernel = [draw(st.integers(1, 5 if axes < 3 else 3)) for _ in range(axes)]
    dilation, stride = ((1,) * axes if draw(st.booleans()) else tuple(draw(st.integers(1, most)) for _ in range(axes))
                        for most in (3, 4))
    if draw(st.booleans()):
        padding = draw(st.sampled_from(PADDING_NAMES))
        if padding == "valid":
            size = [n + d * (k - 1) for n, k, d in zip(size, kernel, dilation)]
    else:
        lack = [max(0, d * (k - 1) + 1 - n) for n, k, d in zip(size, kernel, dilation)]
        padding = tuple((draw(st.integers(0, 5)), draw(st.integers(0, 5)) + need) for need in lack)
    last = draw(st.booleans())
    arguments = dict(stride=stride, padding=padding, dilation=dilation, groups=G, channels_last=last,
                     padding_mode=draw(st.sampled_from(PADDING_MODES)))
    return f"conv{axes}d", arranged(draw(st.integers(1, 3)), C, size, last), (K, C // G, *kernel), arguments


def whole_numbers(shape, seed):
    return np.random.default_rng(seed).integers(-5, 6, shape).astype(float)


BUILDS = st.tuples(st.sampled_from(kernels.available()), st.sampled_from(kernels.REALS))


def check_rows(drawn, build, threads):
    isa, real = build
    operation, x_shape, w_shape, arguments = drawn
    problem = convolution_problem(operation, x_shape, w_shape, real, **arguments)
    x, w, bias = whole_numbers(x_shape, 1), whole_numbers(w_shape, 2), whole_numbers(w_shape[:1], 3)
    expected = reference.by_taps(problem, x, w, bias)
    np.testing.assert_array_equal(reference.convolution(problem, x, w, bias), expected)
    dtype = np.float32 if real == "f32" else float
    for row in accepting_rows(problem):
        y = compute(problem, row, isa, x.astype(dtype), w.astype(dtype), bias.astype(dtype), threads=threads)
        if row.error == 1:
            np.testing.assert_array_equal(y, expected, row.name)
        else:
            bound = sum_bound(problem, row, reference.magnitude(problem, x, w, bias))
            assert (np.abs(y - expected) <= bound).all(), row.name


@given(problems(), BUILDS, st.integers(1, 3))
def test_every_row_equals_oracle(drawn, build, threads):
    check_rows(drawn, build, threads)


@pytest.mark.slow
@settings(max_examples=1500)
@given(problems(), BUILDS, st.integers(1, 3))
def test_every_row_equals_oracle_at_length(drawn, build, threads):
    check_rows(drawn, build, threads)


@given(problems())
def test_linear_in_input_and_in_weight(drawn):
    operation, x_shape, w_shape, arguments = drawn
    convolve = getattr(fastconv, operation)
    x, x2, w, w2 = (whole_numbers(s, i) for i, s in enumerate((x_shape, x_shape, w_shape, w_shape)))
    both = convolve(x, w, **arguments)
    equal(convolve(3 * x - x2, w, **arguments), 3 * both - convolve(x2, w, **arguments), 4e4)
    equal(convolve(x, 2 * w + w2, **arguments), 2 * both + convolve(x, w2, **arguments), 4e4)


@given(problems(), st.integers(0, 2**32))
def test_shifted_input_gives_shifted_output(drawn, seed):
    """With the image repeated beyond its border, a shift by the stride wraps around, where the stride divides the size."""
    operation, x_shape, w_shape, arguments = drawn
    size = x_shape[1:-1] if arguments["channels_last"] else x_shape[2:]
    kernel, stride = w_shape[2:], arguments["stride"]
    arguments |= {"padding_mode": "circular", "padding": [(d * (k - 1), 0) for d, k in zip(arguments["dilation"], kernel)]}
    assume(all(n % s == 0 for n, s in zip(size, stride)))
    axes = tuple(range(1, len(size) + 1)) if arguments["channels_last"] else tuple(range(2, len(size) + 2))
    x, w = whole_numbers(x_shape, seed), whole_numbers(w_shape, 2)
    convolve = getattr(fastconv, operation)
    shifted = convolve(np.roll(x, stride, axes), w, **arguments)
    equal(shifted, np.roll(convolve(x, w, **arguments), 1, axes), 4e4)


@given(problems())
def test_dilation_is_kernel_with_zeros_between_taps(drawn):
    operation, x_shape, w_shape, arguments = drawn
    arguments |= {"padding": [(3, 13)] * (len(x_shape) - 2)}        # "same" means something else for the larger kernel
    x, w, dilation = whole_numbers(x_shape, 1), whole_numbers(w_shape, 2), arguments["dilation"]
    spread = np.zeros((*w_shape[:2], *(d * (k - 1) + 1 for d, k in zip(dilation, w_shape[2:]))))
    spread[(..., *(slice(None, None, d) for d in dilation))] = w
    convolve = getattr(fastconv, operation)
    equal(convolve(x, w, **arguments), convolve(x, spread, **arguments | {"dilation": 1}), 4e4)


@given(problems(groups=(2, 3, 5)))
def test_groups_are_separate_convolutions(drawn):
    operation, x_shape, w_shape, arguments = drawn
    x, w, G = whole_numbers(x_shape, 1), whole_numbers(w_shape, 2), arguments["groups"]
    axis = -1 if arguments["channels_last"] else 1
    convolve = getattr(fastconv, operation)
    parts = [convolve(a, b, **arguments | {"groups": 1}) for a, b in zip(np.split(x, G, axis), np.split(w, G))]
    equal(convolve(x, w, **arguments), np.concatenate(parts, axis), 4e4)


@given(problems(groups=(1,)), st.randoms(use_true_random=False))
def test_channels_may_be_permuted(drawn, random):
    operation, x_shape, w_shape, arguments = drawn
    x, w, bias = whole_numbers(x_shape, 1), whole_numbers(w_shape, 2), whole_numbers(w_shape[:1], 3)
    axis = -1 if arguments["channels_last"] else 1
    inputs, outputs = (random.sample(range(n), n) for n in (w_shape[1], w_shape[0]))
    convolve = getattr(fastconv, operation)
    permuted = convolve(np.take(x, inputs, axis), w[outputs][:, inputs], bias[outputs], **arguments)
    equal(permuted, np.take(convolve(x, w, bias, **arguments), outputs, axis), 4e4)


@given(problems())
def test_layouts_and_layers_agree(drawn):
    operation, x_shape, w_shape, arguments = drawn
    x, w, bias = whole_numbers(x_shape, 1), whole_numbers(w_shape, 2), whole_numbers(w_shape[:1], 3)
    y = getattr(fastconv, operation)(x, w, bias, **arguments)
    equal(getattr(fastconv, operation.capitalize())(w, bias, **arguments)(x), y, 4e4)
    source, target = (-1, 1) if arguments["channels_last"] else (1, -1)
    other = arguments | {"channels_last": not arguments["channels_last"]}
    turned = getattr(fastconv, operation)(np.moveaxis(x, source, target), w, bias, **other)
    equal(np.moveaxis(turned, target, source), y, 4e4)


@given(problems())
def test_explained_size_is_size_of_result(drawn):
    operation, x_shape, w_shape, arguments = drawn
    y = getattr(fastconv, operation)(np.zeros(x_shape), np.zeros(w_shape), **arguments)
    text = fastconv.explain(operation, x_shape, w_shape, dtype="float64", **arguments)
    assert f"-> {y.shape}" in text.splitlines()[0]


ANYTHING = st.one_of(st.integers(-3, 4), st.sampled_from([2**31 - 1, 2**31, 2**40, 2**62, 2**64, -2**63, 10**30]),
                     st.floats(), st.none(), st.booleans(), st.text(max_size=3), st.binary(max_size=2),
                     st.sampled_from(PADDING_NAMES),
                     st.sampled_from(PADDING_MODES), st.sampled_from(["relu", "gelu", "clip", "direct", "im2col"]))
NESTED = st.recursive(ANYTHING, lambda inner: st.one_of(st.lists(inner, max_size=3), st.tuples(inner, inner)), max_leaves=5)
SHAPES = st.lists(st.integers(0, 4), max_size=6).map(tuple)


@given(st.sampled_from(["conv1d", "conv2d", "conv3d"]), SHAPES, SHAPES,
       st.dictionaries(st.sampled_from(["stride", "padding", "dilation", "groups", "padding_mode", "activation", "algorithm",
                                        "bias", "residual", "out"]), NESTED, max_size=3))
@example("conv1d", (1, 1, 1), (1, 1, 1), {"padding": [(0, 2**20)], "padding_mode": "reflect"})
def test_any_arguments_give_result_or_exception(operation, x_shape, w_shape, arguments):
    """Whatever comes, nothing but TypeError and ValueError: no crash, no other exception, no hang."""
    numbers = str(arguments)
    assume(not ("2147483647" in numbers and "padding" in arguments))    # legal in one dimension, and 16 GB
    x, w = np.ones(x_shape, np.float32), np.ones(w_shape, np.float32)
    for make in (lambda: getattr(fastconv, operation)(x, w, **arguments),
                 lambda: getattr(fastconv, operation.capitalize())(w, **{k: v for k, v in arguments.items()
                                                                         if k not in ("residual", "out")})(x)):
        try:
            y = make()
        except (TypeError, ValueError):
            continue
        assert type(y) is np.ndarray and y.dtype == np.float32
