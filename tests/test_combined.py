"""Separable, gated and partial convolutions against their definitions, and their arguments."""
import pickle

import numpy as np
import pytest

import fastconv
from fastconv import kernels
from fastconv.plan import Plan, forgetting


def numbers(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)


def last(x):
    return np.moveaxis(x, -3, -1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_separable_is_two_convolutions(multiplier, dtype):
    C, K = 5, 7
    x, d = numbers((2, C, 9, 8), dtype), numbers((C * multiplier, 1, 3, 2), dtype, 1)
    p, b = numbers((K, C * multiplier, 1, 1), dtype, 2), numbers(K, dtype, 3)
    whole = np.einsum("kc,crs->kcrs", p[:, :, 0, 0].astype(float), d[:, 0].astype(float))
    full = np.zeros((K, C, 3, 2))
    for c in range(C * multiplier):
        full[:, c // multiplier] += whole[:, c]
    expected = fastconv.conv2d(x.astype(float), full, b.astype(float), stride=2, padding=1, algorithm="direct")
    y = fastconv.separable_conv2d(x, d, p, b, stride=2, padding=1)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected)
    out = np.empty_like(y)
    assert fastconv.separable_conv2d(x[0], d, p, b, stride=2, padding=1, out=out[0]).base is out
    np.testing.assert_array_equal(out[0], expected[0])
    np.testing.assert_array_equal(fastconv.separable_conv2d(last(x), d, p, b, 2, 1, channels_last=True), last(expected))


def test_separable_in_one_axis():
    x, d, p = numbers((2, 3, 20)), numbers((3, 1, 4), seed=1), numbers((2, 3, 1), seed=2)
    expected = fastconv.conv1d(x, p * d[:, 0][None], padding=[(3, 0)], algorithm="direct")
    np.testing.assert_array_equal(fastconv.separable_conv1d(x, d, p, padding=[(3, 0)]), expected)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_spatially_separable_is_its_product(channels_last, mode):
    x, column, row, b = numbers((2, 3, 9, 11)), numbers((3, 5), seed=1), numbers((3, 4), seed=2), numbers(3, seed=3)
    kernel = column[:, None, :, None] * row[:, None, None, :]
    call = dict(stride=(2, 1), padding=[(2, 1), (3, 0)], dilation=(1, 2), padding_mode=mode)
    expected = np.maximum(fastconv.conv2d(x, kernel, b, groups=3, **call, algorithm="direct"), 0)
    y = fastconv.spatial_separable_conv2d(last(x) if channels_last else x, column, row, b, **call, activation="relu",
                                          channels_last=channels_last)
    np.testing.assert_array_equal(y, last(expected) if channels_last else expected)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("case", [(2, 33, 40, 31, 5, 3, 1, 1, "zeros"), (1, 64, 56, 56, 7, 7, 1, 1, "zeros"),
                                  (1, 16, 61, 57, 3, 5, 2, 1, "zeros"), (3, 8, 90, 90, 3, 3, 1, 2, "reflect"),
                                  (1, 17, 70, 100, 1, 4, 1, 1, "circular")], ids=str)
def test_spatially_separable_strip_by_strip(case, channels_last, isa):
    N, C, H, W, R, S, stride, dilation, mode = case
    x, column, row = (numbers(shape, np.float32, seed) for seed, shape in enumerate(((N, C, H, W), (C, R), (C, S))))
    x = last(x) if channels_last else x
    call = dict(stride=stride, padding=[(R // 2, R // 2), (S // 2, S // 2)], dilation=dilation, padding_mode=mode,
                channels_last=channels_last)
    for infinite in (False, True):
        column[C // 2, 0] = np.inf if infinite else 1
        with np.errstate(invalid="ignore"):
            kernel = column[:, None, :, None] * row[:, None, None, :]
        expected = fastconv.conv2d(x, kernel, groups=C, algorithm="direct", **call)
        for threads in (1, 2):
            with fastconv.threads(threads):
                y = fastconv.spatial_separable_conv2d(x, column, row, **call)
            if infinite:        # which zeros of the row or the image make it NaN depends on the order
                np.testing.assert_array_equal(np.isfinite(y), np.isfinite(expected))
            else:
                np.testing.assert_array_equal(y, expected)


def test_layers_are_their_functions():
    x, d, p, w, g = (numbers(shape, np.float32, seed) for seed, shape in
                     enumerate(((2, 4, 9, 8), (8, 1, 3, 3), (5, 8, 1, 1), (6, 4, 3, 3), (6, 4, 3, 3))))
    separable = fastconv.SeparableConv2d(d, p, p[:, 0, 0, 0], padding=1, activation="relu")
    gated = fastconv.GatedConv2d(w, g, stride=2)
    for layer, expected in ((separable, fastconv.separable_conv2d(x, d, p, p[:, 0, 0, 0], padding=1, activation="relu")),
                            (gated, fastconv.gated_conv2d(x, w, g, stride=2))):
        layer = pickle.loads(pickle.dumps(layer))
        np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-4)
        out = np.empty_like(expected)
        assert layer(x, out=out) is out
        np.testing.assert_array_equal(out, layer(x))
        assert "algorithm" in layer.explain(x.shape)


def test_decomposition():
    sobel = np.array([[1, 2, 1]]).T * np.array([[-1, 0, 1]])
    for kernel in (sobel.astype(np.float32), np.zeros((2, 3)), np.outer(np.hanning(9), np.hanning(7))):
        column, row = fastconv.decompose_separable(kernel)
        np.testing.assert_allclose(np.outer(column, row), kernel, atol=1e-12)
    stack = np.random.default_rng(0).random((4, 5, 1)) * np.random.default_rng(1).random((4, 1, 3))
    column, row = fastconv.decompose_separable(stack)
    np.testing.assert_allclose(column[:, :, None] * row[:, None], stack)
    for wrong in (np.eye(3), np.full((3, 3), np.nan), np.ones(3), np.ones((0, 3))):
        with pytest.raises(ValueError, match="kernel"):
            fastconv.decompose_separable(wrong)


@pytest.mark.parametrize("channels_last", [False, True])
def test_gated_is_a_product(channels_last):
    x, w, g = numbers((2, 4, 7, 9)), numbers((6, 2, 3, 3), seed=1), numbers((6, 2, 3, 3), seed=2)
    b, h = numbers(6, seed=3), numbers(6, seed=4)
    expected = np.maximum(fastconv.conv2d(x, w, b, padding=1, groups=2, algorithm="direct"), 0)
    expected = expected / (1 + np.exp(-fastconv.conv2d(x, g, h, padding=1, groups=2, algorithm="direct")))
    y = fastconv.gated_conv2d(last(x) if channels_last else x, w, g, b, h, padding=1, groups=2, channels_last=channels_last)
    np.testing.assert_allclose(y, last(expected) if channels_last else expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("single", [False, True])
def test_partial_by_its_definition(single, channels_last, activation):
    G, C, K = 2, 4, 6
    x, w, b = numbers((2, C, 8, 9)), numbers((K, C // G, 3, 3), seed=1), numbers(K, seed=2)
    mask = (np.random.default_rng(3).random((2, 1 if single else C, 8, 9)) < 0.3).astype(float)
    mask[:, :, 4:] = 0
    holed = np.where(np.broadcast_to(mask, x.shape) == 0, np.nan, x)
    border = [(0, 0), (0, 0), (1, 1), (1, 1)]
    padded, m = np.pad(np.where(mask == 0, 0, x), border), np.pad(mask, border)
    expected, new = np.zeros((2, K, 8, 9)), np.zeros((2, K, 8, 9))
    for n, k, p, q in np.ndindex(*expected.shape):
        channels = slice(k // 3 * 2, k // 3 * 2 + 2)
        window = padded[n, channels, p:p + 3, q:q + 3]
        valid = m[n, slice(0, 1) if single else channels, p:p + 3, q:q + 3]
        if valid.sum() > 0:
            expected[n, k, p, q] = (window * w[k]).sum() * valid.size / valid.sum() + b[k]
            new[n, k, p, q] = 1
    expected = np.maximum(expected, 0) if activation else expected
    new = new[:, :1] if single else new
    assert 0 < new.sum() < new.size
    order = last if channels_last else np.asarray
    y, new_mask = fastconv.partial_conv2d(order(holed), order(mask), w, b, padding=1, groups=G, channels_last=channels_last,
                                          activation=activation, algorithm="im2col")
    np.testing.assert_allclose(y, order(expected), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(new_mask, order(new))
    layer = pickle.loads(pickle.dumps(fastconv.PartialConv2d(w, b, padding=1, groups=G, channels_last=channels_last,
                                                             activation=activation, algorithm="im2col")))
    for _ in range(2):
        np.testing.assert_array_equal(layer(order(holed), order(mask))[0], y)
    assert "im2col" in layer.explain(order(holed).shape)
    one, _ = fastconv.partial_conv2d(order(holed)[0], order(mask)[0], w, b, padding=1, groups=G,
                                     channels_last=channels_last, activation=activation, algorithm="im2col")
    np.testing.assert_array_equal(one, y[0])


X, W = np.ones((1, 4, 6, 6)), np.ones((3, 4, 3, 3))


@pytest.mark.parametrize(("call", "error", "name"), [
    (lambda: fastconv.separable_conv2d(X, np.ones((5, 1, 3, 3)), np.ones((2, 5, 1, 1))), ValueError, "depthwise_weight"),
    (lambda: fastconv.separable_conv2d(X, np.ones((4, 1, 3, 3)), np.ones((2, 5, 1, 1))), ValueError, "pointwise_weight"),
    (lambda: fastconv.separable_conv2d(X, np.ones((4, 1, 3, 3), "f4"), np.ones((2, 4, 1, 1))), TypeError, "depthwise"),
    (lambda: fastconv.spatial_separable_conv2d(X, np.ones((3, 3)), np.ones((4, 3))), ValueError, "column"),
    (lambda: fastconv.spatial_separable_conv2d(X, np.ones((4, 3)), np.ones(4)), ValueError, "row"),
    (lambda: fastconv.gated_conv2d(X, W, np.ones((3, 4, 1, 1))), ValueError, "gate_weight"),
    (lambda: fastconv.gated_conv2d(X, W, W, activation="loud"), ValueError, "activation"),
    (lambda: fastconv.gated_conv2d(X, W, W, out=np.ones(3)), ValueError, "out"),
    (lambda: fastconv.partial_conv2d(X, np.ones((1, 2, 6, 6)), W), ValueError, "mask"),
    (lambda: fastconv.partial_conv2d(X, np.ones((1, 1, 6, 6), bool), W), TypeError, "mask"),
    (lambda: fastconv.partial_conv2d(X, np.ones((1, 1, 6, 6)), W, np.ones(2)), ValueError, "bias"),
    (lambda: fastconv.PartialConv2d(W)(X, np.ones((1, 2, 6, 6))), ValueError, "mask"),
    (lambda: fastconv.PartialConv2d(W)(X.astype("f4"), np.ones((1, 1, 6, 6), "f4")), TypeError, "input"),
    (lambda: fastconv.PartialConv2d(W)(X[0, 0], X[0, 0]), ValueError, "input"),
])
def test_wrong_arguments_are_named(call, error, name):
    with pytest.raises(error, match=name):
        call()


def test_random_problems_of_verify():
    """On the instruction set of this process; `fastconv verify` starts one for each."""
    from fastconv.cli import verify_combined
    for key, record in verify_combined.records(3).items():
        assert record.cases == 6 and not record.failures, (key, record.failures)


@pytest.fixture(params=kernels.available())
def isa(request, monkeypatch):
    """Everything runs on one instruction set."""
    monkeypatch.setattr(kernels, "isa", request.param)
    for forget in forgetting:
        forget()
    return request.param


GATED = [(1, 5, 7, (3, 3), 1, 1), (2, 8, 6, (1, 1), 1, 1), (1, 33, 37, (3, 3), 2, 1), (3, 9, 51, (5, 5), 1, 2),
         (4, 4, 4, (3, 2), 1, 1)]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("case", GATED, ids=str)
def test_gated_by_every_row(case, channels_last, isa):
    G, C, K, kernel, dilation, stride = case
    random = np.random.default_rng(0)
    x, w, g = (random.standard_normal(shape) for shape in ((2, C, 13, 17), (K, C // G, *kernel), (K, C // G, *kernel)))
    b, h = random.standard_normal((2, K))
    x = last(x) if channels_last else x
    call = dict(stride=stride, padding=kernel[0] // 2, dilation=dilation, groups=G, channels_last=channels_last)
    for dtype, activation, gate_bias in ((np.float64, "relu", h), (np.float64, "silu", None), (np.float32, None, h)):
        expected = fastconv.conv2d(x, w, b, activation=activation, algorithm="direct", **call) * fastconv.conv2d(
            x, g, gate_bias, activation="sigmoid", algorithm="direct", **call)
        arrays = [None if a is None else a.astype(dtype) for a in (x, w, g, b, gate_bias)]
        ran = []
        for row in fastconv.list_algorithms("conv2d"):
            try:
                y = fastconv.gated_conv2d(*arrays, activation=activation, algorithm=row, **call)
            except ValueError as error:
                assert "algorithm" in str(error)
                continue
            ran.append(row)
            tolerance = (1e-12 if dtype == np.float64 else 1e-4) * np.abs(expected).max()
            np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance, err_msg=row)
        assert "im2col" in ran
        layer = fastconv.GatedConv2d(*arrays[1:], activation=activation, **call)
        if dtype == np.float32:
            with fastconv.validation():
                layer(arrays[0])
        with fastconv.threads(1):
            one = layer(arrays[0])
        np.testing.assert_array_equal(layer(arrays[0]), one)
        np.testing.assert_array_equal(layer(arrays[0][1]), one[1])


def test_gated_infinity_reaches_its_outputs_alone():
    random = np.random.default_rng(0)
    x, w, g = random.standard_normal((1, 8, 12, 12)), random.standard_normal((8, 8, 3, 3)), np.zeros((8, 8, 3, 3))
    x[0, 3, 5, 5] = np.nan
    for row in ("winograd", "im2col"):
        y = fastconv.gated_conv2d(x, w, g, padding=1, algorithm=row)
        assert np.isnan(y).sum() == 9 * 8 and np.isnan(y[0, :, 4:7, 4:7]).all()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("case", [(2, 5, 1, 7, 9, 8, 3, 1, 1, "zeros"), (1, 33, 1, 40, 30, 30, 3, 1, 1, "zeros"),
                                  (2, 64, 1, 64, 28, 28, 3, 1, 1, "reflect"), (1, 48, 1, 33, 57, 55, 5, 2, 1, "zeros"),
                                  (3, 16, 1, 16, 17, 61, 3, 1, 2, "zeros"), (1, 24, 1, 9, 60, 60, 3, 2, 1, "circular")],
                         ids=str)
def test_separable_strip_by_strip_is_two_calls(case, channels_last, isa):
    N, C, M, K, H, W, R, stride, dilation, mode = case
    x, d, p, b = numbers((N, C, H, W), np.float32), numbers((C * M, 1, R, R), np.float32, 1), numbers(
        (K, C * M, 1, 1), np.float32, 2), numbers(K, np.float32, 3)
    x = last(x) if channels_last else x
    call = dict(stride=stride, padding=dilation * (R // 2), dilation=dilation, padding_mode=mode,
                channels_last=channels_last)
    spread = fastconv.conv2d(x, d, groups=C, algorithm="direct", **call)
    expected = fastconv.conv2d(spread, p, b, channels_last=channels_last, activation="relu", algorithm="direct")
    layer = fastconv.SeparableConv2d(d, p, b, activation="relu", **call)
    for threads in (1, 2):
        with fastconv.threads(threads):
            np.testing.assert_array_equal(fastconv.separable_conv2d(x, d, p, b, activation="relu", **call), expected)
            np.testing.assert_array_equal(layer(x), expected)
            np.testing.assert_array_equal(layer(x), expected)
    with fastconv.validation():
        layer(x, residual=expected)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("G", "single"), [(1, True), (1, False), (3, False), (3, True)])
def test_partial_scales_in_every_row(G, single, channels_last, isa):
    C, K = 18, 33
    random = np.random.default_rng(1)
    x, w, b = numbers((2, C, 9, 20)), numbers((K, C // G, 3, 3), seed=1), numbers(K, seed=2)
    mask = (random.random((2, 1 if single else C, 9, 20)) < 0.4).astype(float)
    order = last if channels_last else np.asarray
    ones = np.ones((G, C // G, 3, 3))
    whole = np.broadcast_to(mask, x.shape)
    call = dict(padding=2, dilation=2, groups=G)
    count = np.repeat(fastconv.conv2d(whole, ones, algorithm="direct", **call), K // G, 1)
    sums = fastconv.conv2d(x * whole, w, algorithm="direct", **call)
    live = count > 0
    expected = np.tanh(np.where(live, sums * np.divide(9 * C // G, count, where=live, out=np.zeros_like(count))
                                + b[:, None, None], 0))
    for row in ("im2col", "winograd", "small", "direct", "auto"):
        if row == "small" and channels_last:
            continue
        with fastconv.validation():
            y, new = fastconv.partial_conv2d(order(x), order(mask), w, b, channels_last=channels_last, activation="tanh",
                                             algorithm=row, **call)
        np.testing.assert_allclose(y, order(expected), rtol=0, atol=1e-11, err_msg=row)
        np.testing.assert_array_equal(np.broadcast_to(new, y.shape), order(live))


def test_out_is_checked_before_anything_is_computed(monkeypatch):
    def refuse(*_):
        raise AssertionError("computed")
    monkeypatch.setattr(Plan, "run", refuse)
    x, w, m, wrong = np.ones((1, 4, 6, 6)), np.ones((4, 4, 3, 3)), np.ones((1, 1, 6, 6)), np.ones(3)
    d, p = np.ones((4, 1, 3, 3)), np.ones((2, 4, 1, 1))
    for call in (lambda: fastconv.gated_conv2d(x, w, w, out=wrong), lambda: fastconv.partial_conv2d(x, m, w, out=wrong),
                 lambda: fastconv.PartialConv2d(w)(x, m, out=wrong),
                 lambda: fastconv.GatedConv2d(w, w)(x, out=wrong), lambda: fastconv.separable_conv2d(x, d, p, out=wrong),
                 lambda: fastconv.SeparableConv2d(d, p)(x, out=wrong), lambda: fastconv.conv_transpose2d(x, w, out=wrong)):
        with pytest.raises(ValueError, match="out"):
            call()


def test_mask_of_one_channel_stays_one():
    """Also where the input has no more."""
    x, w = np.ones((2, 1, 6, 7)), np.ones((5, 1, 3, 3))
    y, new = fastconv.partial_conv2d(x, np.ones_like(x), w)
    assert y.shape == (2, 5, 4, 5) and new.shape == (2, 1, 4, 5)
