"""Transposed convolution: exact on integers against its definition, the adjoint of convolution, and its arguments."""
import pickle
from dataclasses import replace

import numpy as np
import pytest

import fastconv
from fastconv import kernels, reference
from fastconv.algorithms import PANELS, refusal
from fastconv.arrays import with_rows
from fastconv.phases import PhasePlan
from fastconv.plan import forget_plans, make_plan
from fastconv.problem import convolution_problem
from fastconv.transposed_problem import axis_phases, merge, transposed_problem

# C, K, G, size, kernel, stride, padding, output_padding, dilation
CASES = [
    (3, 4, 1, (5, 6), (3, 3), 1, 0, 0, 1), (4, 6, 2, (5, 7), (3, 3), 2, 1, 1, 1), (4, 4, 4, (6, 5), (4, 4), 2, 1, 0, 1),
    (5, 3, 1, (4, 17), (2, 2), 2, 0, 0, 1), (5, 3, 1, (4, 3), (2, 3), 3, 0, 2, 1), (2, 3, 1, (5, 4), (3, 3), 2, 2, 0, 2),
    (2, 3, 1, (5, 5), (3, 3), (3, 2), ((2, 1), (0, 3)), 1, 2), (2, 3, 1, (2, 3), (5, 5), 4, 3, 3, 1),
    (2, 2, 1, (7, 8), (3, 2), 4, 0, 3, 3), (17, 33, 1, (9, 16), (5, 5), 2, 2, 1, 1), (3, 3, 1, (2, 3), (1, 1), 5, 0, 4, 1),
    (3, 2, 1, (9,), (4,), 3, 1, 0, 2), (2, 4, 2, (3, 4, 5), (3, 2, 4), (2, 2, 3), 1, 0, 1),
    (1, 1, 1, (1, 1), (3, 3), 2, 1, 1, 1),
]


def integers(shape, dtype, seed):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)


def arrays(case, dtype, channels_last=False, n=2):
    C, K, G, size, kernel, *_ = case
    x = integers((n, *size, C) if channels_last else (n, C, *size), dtype, 0)
    return x, integers((C, K // G, *kernel), dtype, 1), integers(K, dtype, 2)


def arguments(case):
    _, _, G, _, _, stride, padding, output_padding, dilation = case
    return {"stride": stride, "padding": padding, "output_padding": output_padding, "groups": G, "dilation": dilation}


def function(case):
    return getattr(fastconv, f"conv_transpose{len(case[3])}d")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_exact_on_integers(case, channels_last, dtype):
    x, w, b = arrays(case, dtype, channels_last)
    problem = transposed_problem(function(case).__name__, x.shape, w.shape, "f64", **arguments(case),
                                 channels_last=channels_last)
    residual = integers(problem.output_shape, dtype, 3)
    expected = np.maximum(reference.transposed(problem, x, w, b, residual), 0)
    assert np.count_nonzero(expected) > expected.size / 5
    for algorithm in ("direct", "im2col"):
        y = function(case)(x, w, b, **arguments(case), channels_last=channels_last, residual=residual, activation="relu",
                           algorithm=algorithm)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, expected)


MERGED = [*CASES, (40, 50, 1, (9, 11), (4, 4), 2, 1, 0, 1), (40, 36, 2, (9, 11), (4, 4), 2, 1, 0, 1),
          (17, 33, 1, (8, 9), (6, 6), 3, 1, 1, 1), (16, 33, 1, (8, 9), (4, 8), (2, 4), 1, 1, 1),
          (33, 16, 1, (13,), (4,), 2, 1, 1, 1), (3, 5, 1, (8, 70), (2, 2), 2, ((1, 0), (3, 2)), 0, 1)]


@pytest.mark.parametrize("isa", kernels.available())
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("case", MERGED, ids=str)
def test_all_phases_at_once(case, channels_last, isa, monkeypatch):
    """The merged convolution by every row that can, whatever costs say."""
    monkeypatch.setattr(kernels, "isa", isa)
    x, w, b = arrays(case, np.float32, channels_last)
    problem = transposed = transposed_problem(function(case).__name__, x.shape, w.shape, "f32", **arguments(case),
                                              channels_last=channels_last, activation="tanh", bias=True, residual=True)
    merged = merge(problem)
    if merged is None:
        return
    residual = integers(problem.output_shape, np.float32, 3)
    sums = reference.transposed(problem, x, w, b, residual)
    part = with_rows(x[(slice(None),) * (1 if channels_last else 2) + tuple(slice(*crop) for crop in merged.crop)], x.dtype)
    for row in PANELS[merged.problem.operation]:
        if refusal(row, merged.problem):
            continue
        for problem in (merged.problem, replace(merged.problem, activation=("none", 0.0, 0.0))):
            y = np.full(problem.output_shape, np.nan, np.float32)
            for threads in (2, 1):
                for packed in (False, True):
                    one = replace(problem, packed=packed)
                    panels = PhasePlan(make_plan(one, row.name, isa, threads), transposed, None)
                    panels.run(part, w, panels.pack(w), b, residual, y)
                if problem.activation[0] == "none" and row.error == 1:
                    np.testing.assert_array_equal(y, sums)
                else:
                    np.testing.assert_allclose(y, np.tanh(sums) if problem.activation[0] == "tanh" else sums,
                                               atol=2e-5 * max(row.error, 50))


@pytest.mark.parametrize("isa", kernels.available())
@pytest.mark.parametrize("channels_last", [False, True])
def test_infinite_weight_reaches_its_outputs_alone(channels_last, isa, monkeypatch):
    """Phases by every row: zeros of ours, in the padding and for taps that a phase lacks, never meet the infinity."""
    monkeypatch.setattr(kernels, "isa", isa)
    forget_plans()
    for case in CASES[1], CASES[9], (40, 50, 1, (9, 11), (4, 4), 2, 1, 0, 1):
        x, w, _ = arrays(case, np.float32, channels_last)
        w[0, 1, 0, 1] = np.inf
        x = np.abs(x) + 1
        problem = transposed_problem(function(case).__name__, x.shape, w.shape, "f32", **arguments(case),
                                     channels_last=channels_last)
        finite = np.isfinite(reference.transposed(problem, x, w))
        assert not finite.all() and finite.any()
        for algorithm in ("auto", "im2col", "direct"):
            y = function(case)(x, w, **arguments(case), channels_last=channels_last, algorithm=algorithm)
            np.testing.assert_array_equal(np.isfinite(y), finite, err_msg=f"{case} {algorithm}")


def test_calls_made_before_see_what_changed():
    """The second call of a shape takes the fast way: new weights, a bias of another type, out, overlap."""
    case = (40, 50, 1, (9, 11), (4, 4), 2, 1, 0, 1)
    x, w, b = arrays(case, np.float32)
    call = dict(stride=2, padding=1)
    first = fastconv.conv_transpose2d(x, w, b, **call)
    np.testing.assert_array_equal(fastconv.conv_transpose2d(x, w, b, **call), first)
    np.testing.assert_array_equal(fastconv.conv_transpose2d(x, -w, b * 0, **call), b[:, None, None] - first)
    out = np.empty_like(first)
    assert fastconv.conv_transpose2d(x, w, b, **call, out=out) is out
    np.testing.assert_array_equal(out, first)
    np.testing.assert_array_equal(fastconv.conv_transpose2d(x[::-1], w, b, **call), first[::-1])
    columns = x.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(fastconv.conv_transpose2d(columns, w, b, **call), first)
    with pytest.raises(TypeError, match="bias"):
        fastconv.conv_transpose2d(x, w, b.astype(float), **call)
    with pytest.raises(ValueError, match="bias"):
        fastconv.conv_transpose2d(x, w, b[1:], **call)
    with pytest.raises(ValueError, match="out"):
        fastconv.conv_transpose2d(x, w, b, **call, out=out[..., 1:])
    with pytest.raises(TypeError, match="stride"):
        fastconv.conv_transpose2d(x, w, b, stride=2.0, padding=1)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_layer_is_function_and_within_bounds(case):
    x, w, b = arrays(case, np.float32)
    layer = getattr(fastconv, f"ConvTranspose{len(case[3])}d")(w, b, **arguments(case), activation="silu")
    with fastconv.validation():
        y = layer(x)
    np.testing.assert_array_equal(y, layer(x))
    np.testing.assert_array_equal(y, pickle.loads(pickle.dumps(layer))(x))
    np.testing.assert_array_equal(y[1], layer(x[1]))
    np.testing.assert_allclose(y, function(case)(x, w, b, **arguments(case), activation="silu"), rtol=1e-4, atol=1e-3)
    with fastconv.threads(1):
        one = layer(x)
    np.testing.assert_array_equal(y, one)
    out = np.empty_like(y)
    assert layer(x, out=out) is out
    np.testing.assert_array_equal(y, out)
    w[...] = 0
    np.testing.assert_array_equal(y, layer(x))
    assert "taps" in layer.explain(x.shape)


@pytest.mark.parametrize("case", [c for c in CASES if c[7] == 0], ids=str)
def test_adjoint_of_convolution(case):
    _, _, G, size, _, stride, padding, _, dilation = case
    x, w, _ = arrays(case, np.float64)
    y = function(case)(x, w, **arguments(case), algorithm="direct")
    operation = function(case).__name__.replace("_transpose", "")
    z = integers(y.shape, np.float64, 4)
    plain = convolution_problem(operation, z.shape, w.shape, "f64", stride, padding, dilation, G)
    back = reference.convolution(plain, z, w)               # by SciPy
    assert (y * z).sum() == (x * back[(..., *(slice(n) for n in size))]).sum()


def test_phases_partition_the_outputs_with_taps():
    for n, k, stride, padding, dilation in np.ndindex(4, 5, 6, 4, 4):
        n, k, stride, dilation = n + 1, k + 1, stride + 1, dilation + 1
        out = (n - 1) * stride - 2 * padding + dilation * (k - 1) + 1
        if out < 1:
            continue
        pairs = {}
        for phase in axis_phases(n, k, stride, padding, dilation, out):
            for j in range(phase.count):
                for t, tap in enumerate(phase.taps):
                    i = phase.crop[0] + j - phase.padding[0] + t * phase.dilation
                    if phase.crop[0] <= i < phase.crop[1]:
                        pairs.setdefault(phase.first + j * stride, set()).add((i, tap))
        expected = {}
        for i, tap in np.ndindex(n, k):
            if 0 <= i * stride - padding + tap * dilation < out:
                expected.setdefault(i * stride - padding + tap * dilation, set()).add((i, tap))
        assert pairs == expected, (n, k, stride, padding, dilation)


def test_output_size_chooses_output_padding():
    x, w = np.ones((1, 2, 5, 5)), np.ones((2, 3, 3, 3))
    for size in (9, 10):
        assert fastconv.conv_transpose2d(x, w, stride=2, padding=1, output_size=size).shape == (1, 3, size, size)
        assert fastconv.ConvTranspose2d(w, stride=2, padding=1)(x, output_size=(size, 9)).shape == (1, 3, size, 9)


def test_nan_reaches_only_its_outputs():
    x, w = np.ones((1, 2, 6, 6), np.float32), np.ones((2, 3, 4, 4), np.float32)
    x[0, 1, 2, 3] = np.nan
    y = fastconv.conv_transpose2d(x, w, stride=2, padding=1)
    expected = np.zeros((12, 12), bool)
    expected[3:7, 5:9] = True
    np.testing.assert_array_equal(np.isnan(y[0]), np.broadcast_to(expected, y[0].shape))


@pytest.mark.parametrize(("changes", "error", "name"), [
    ({"stride": 0}, ValueError, "stride"), ({"stride": 1.0}, TypeError, "stride"), ({"padding": -1}, ValueError, "padding"),
    ({"padding": "same"}, ValueError, "padding"), ({"output_padding": 2, "stride": 2}, ValueError, "output_padding"),
    ({"groups": 2}, ValueError, "groups"), ({"dilation": 0}, ValueError, "dilation"), ({"padding": 9}, ValueError, "output"),
    ({"output_size": 99, "stride": 2}, ValueError, "output_size"), ({"activation": "swoosh"}, ValueError, "activation"),
    ({"output_size": 8, "output_padding": 1, "stride": 2}, ValueError, "output_padding"),
    ({"algorithm": "depthwise"}, ValueError, "algorithm"), ({"bias": np.ones(7)}, ValueError, "bias"),
    ({"residual": np.ones((1, 2, 3, 4))}, ValueError, "residual"), ({"out": np.ones((1, 2, 3, 4))}, ValueError, "out"),
    ({"stride": 1 << 60}, ValueError, "stride"), ({"weight": np.ones((2, 3, 3, 3))}, ValueError, "weight"),
    ({"weight": np.ones((3, 3, 3, 3), np.float32)}, TypeError, "weight"),
    ({"input": np.ones((1, 3, 0, 4))}, ValueError, "input"),
])
def test_wrong_arguments_are_named(changes, error, name):
    call = {"input": np.ones((1, 3, 4, 4)), "weight": np.ones((3, 2, 3, 3))} | changes
    with pytest.raises(error, match=name):
        fastconv.conv_transpose2d(**call)
