"""Calls that were made before give the same again, and take the long way where anything differs."""
from functools import partial

import numpy as np
import pytest

import fastconv
from fastconv import recall

RNG = np.random.default_rng(11)
X = RNG.standard_normal((1, 4, 8, 8)).astype(np.float32)
CALLS = {
    "max_pool2d": lambda x, **o: fastconv.max_pool2d(x, 2, **o),
    "avg_pool2d": lambda x, **o: fastconv.avg_pool2d(x, (2, 2), **o),
    "adaptive": lambda x, **o: fastconv.adaptive_max_pool2d(x, 3, **o),
    "nearest": lambda x, **o: fastconv.interpolate(x, scale_factor=2, **o),
    "bilinear": lambda x, **o: fastconv.interpolate(x, (5, 19), mode="bilinear", **o),
    "grid_sample": lambda x, **o: fastconv.grid_sample(x, GRID.astype(x.dtype), **o),
    "pixel_shuffle": lambda x, **o: fastconv.pixel_shuffle(x, 2, **o),
    "pixel_unshuffle": lambda x, **o: fastconv.pixel_unshuffle(x, 2, **o), "focus": lambda x, **o: fastconv.focus(x, **o),
    "channel_shuffle": lambda x, **o: fastconv.channel_shuffle(x, 2, **o),
    "pad": lambda x, **o: fastconv.pad(x, (1, 2), value=3, **o), "unfold": lambda x, **o: fastconv.unfold(x, 3, **o),
    "fold": lambda x, **o: fastconv.fold(x.reshape(1, 16, 16), (5, 5), 2, **o),
    "separable": lambda x, **o: fastconv.separable_conv2d(x, W.astype(x.dtype), POINTWISE.astype(x.dtype), padding=1, **o),
    "spatial": lambda x, **o: fastconv.spatial_separable_conv2d(x, *W[:, 0, :2].swapaxes(0, 1).astype(x.dtype), **o),
    "transposed": lambda x, **o: fastconv.conv_transpose2d(x, FULL.astype(x.dtype), BIAS.astype(x.dtype), 2,
                                                           algorithm="im2col", **o),
    "gated": lambda x, **o: fastconv.gated_conv2d(x, *FULL.astype(x.dtype).reshape(2, 2, 4, 3, 3), padding=1, **o),
    "deformable": lambda x, **o: fastconv.deform_conv2d(x, OFFSET.astype(x.dtype), FULL.astype(x.dtype), **o),
    "roi_align": lambda x, **o: fastconv.roi_align(x, BOXES.astype(x.dtype), 3, 0.5, **o),
    "deform_roi_pool": lambda x, **o: fastconv.deform_roi_pool(x, BOXES.astype(x.dtype), None, 2, **o),
}
W, POINTWISE = RNG.standard_normal((4, 1, 3, 3)).astype(np.float32), RNG.standard_normal((5, 4, 1, 1)).astype(np.float32)
FULL, BIAS = RNG.standard_normal((4, 4, 3, 3)).astype(np.float32), np.arange(4, dtype=np.float32)
OFFSET, BOXES = RNG.standard_normal((1, 18, 6, 6)), np.array([[0., 1, 1, 12, 9], [0, -3, 2, 5, 15]])
GRID = RNG.uniform(-1, 1, (1, 3, 5, 2))


@pytest.mark.parametrize("name", CALLS)
def test_known_calls(name):
    """The second call is the known one; other numbers, types, orders of bytes and memory give what they should."""
    call, known = CALLS[name], recall._calls
    known.clear()
    first = call(X)
    assert len(known) == 1
    np.testing.assert_array_equal(call(X), first)
    assert len(known) == 1
    other = RNG.standard_normal(X.shape).astype(np.float32)
    expected = call(other[:, ::-1][:, ::-1])                    # views are copied: the long way
    np.testing.assert_array_equal(call(other), expected)
    out = np.full_like(first, np.nan)
    assert call(X, out=out) is out
    np.testing.assert_array_equal(out, first)
    np.testing.assert_array_equal(call(X.astype(">f4")), first)
    np.testing.assert_array_equal(call(X.astype(">f4")), first)
    np.testing.assert_allclose(call(X.astype(np.float64)), first, rtol=1e-5, atol=1e-6)
    frozen = X.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(call(frozen), first)
    with pytest.raises(ValueError, match="out"):
        call(X, out=np.empty((1, 1), np.float32))
    room = np.concatenate([X.ravel(), np.zeros(first.size, np.float32)])
    shared = room[:X.size].reshape(X.shape)
    np.testing.assert_array_equal(call(shared, out=room[7:7 + first.size].reshape(first.shape)), first)


def test_pairs_with_other_bias_and_infinities():
    """Bias is part of what a call is known by, its numbers are not; an infinity has the known call repeated, too."""
    recall._calls.clear()
    plain = fastconv.separable_conv2d(X, W, POINTWISE)
    bias = np.arange(5, dtype=np.float32)
    for _ in range(2):
        np.testing.assert_array_equal(fastconv.separable_conv2d(X, W, POINTWISE, bias), plain + bias[:, None, None])
        np.testing.assert_array_equal(fastconv.separable_conv2d(X, W, POINTWISE), plain)
    assert len(recall._calls) == 2
    infinite, weight = X.copy(), W.copy()
    infinite[0, 0, 4, 4] = np.inf
    weight[0] = 0
    for _ in range(2):
        y = fastconv.separable_conv2d(infinite, weight, POINTWISE)
        assert np.isnan(y[..., 2:5, 2:5]).all() and np.isfinite(y[..., :2, :]).all()
    with pytest.raises(ValueError, match="bias"):
        fastconv.separable_conv2d(X, W, POINTWISE, bias[:4])


def test_arguments_that_are_equal_but_not_the_same():
    fastconv.max_pool2d(X, (1, 1))
    for wrong in (True, (1, True), (1.0, 1), 1.0):
        with pytest.raises(TypeError):
            fastconv.max_pool2d(X, wrong)
    plus, minus = (fastconv.pad(X, (1, 1), value=v)[0, 0, 0, 0] for v in (0.0, -0.0))
    assert not np.signbit(plus)
    assert np.signbit(minus)
    y, places = fastconv.max_pool2d(X, 2, return_indices=True)
    again = fastconv.max_pool2d(X, 2, return_indices=True)
    np.testing.assert_array_equal(again[0], y)
    np.testing.assert_array_equal(again[1], places)
    given = np.empty_like(y), np.empty_like(places)
    assert fastconv.max_pool2d(X, 2, return_indices=True, out=given)[1] is given[1]
    np.testing.assert_array_equal(given[0], y)
    np.testing.assert_array_equal(given[1], places)
    room = np.zeros(2 * places.size)
    with pytest.raises(ValueError, match="share memory"):
        fastconv.max_pool2d(X, 2, return_indices=True, out=(room.view(np.float32)[:y.size].reshape(y.shape),
                                                            room.view(np.int64)[:y.size].reshape(y.shape)))
    with fastconv.validation():
        np.testing.assert_array_equal(fastconv.max_pool2d(X, 2), y)


def test_known_regions_look_at_their_boxes():
    """Which images boxes belong to is no part of what a call is known by."""
    boxes = np.array([[0., 1, 1, 6, 6]], np.float32)
    first = fastconv.roi_align(X, boxes, 2)
    np.testing.assert_array_equal(fastconv.roi_align(X, boxes + np.float32([0, 1, 0, 1, 0]), 2),
                                  fastconv.roi_align(X, [boxes[:, 1:] + np.float32([1, 0, 1, 0])], 2))
    np.testing.assert_array_equal(fastconv.roi_align(X, boxes, 2), first)
    out = np.full_like(first, 7)
    with pytest.raises(IndexError, match="boxes"):
        fastconv.roi_align(X, boxes + np.float32([1, 0, 0, 0, 0]), 2, out=out)
    assert (out == 7).all()


def test_known_gates_and_residuals():
    """Biases and residuals are part of what a call is known by, their numbers are not."""
    w, gate = FULL[:2], FULL[2:]
    for bias, other in ((None, BIAS[:2]), (BIAS[1:3], None), (None, None), (BIAS[:2], BIAS[2:])):
        expected = fastconv.GatedConv2d(w, gate, bias, other)(X)
        for _ in range(2):
            np.testing.assert_allclose(fastconv.gated_conv2d(X, w, gate, bias, other), expected, rtol=1e-5, atol=1e-5)
    plain = fastconv.conv_transpose2d(X, FULL, algorithm="im2col")
    residual = RNG.standard_normal(plain.shape).astype(np.float32)
    for r in (residual, 2 * residual):
        y = fastconv.conv_transpose2d(X, FULL, residual=r, algorithm="im2col")
        np.testing.assert_allclose(y, plain + r, rtol=1e-5, atol=1e-5)
        given = r.copy()
        np.testing.assert_array_equal(fastconv.conv_transpose2d(X, FULL, residual=given, out=given, algorithm="im2col"), y)


def test_known_partial_convolutions():
    """Pairs of which the caller may give the first; of the function and of the layer, which has calls of its own."""
    recall._calls.clear()
    mask = (RNG.random((1, 1, 8, 8)) < 0.4).astype(np.float32)
    layer, out = fastconv.PartialConv2d(FULL, BIAS), np.empty((1, 4, 6, 6), np.float32)
    for m in (mask, 1 - mask, np.broadcast_to(mask, X.shape).copy()):
        expected, new = fastconv.partial_conv2d(X, m.astype(">f4"), FULL, BIAS)             # the long way
        for call in (partial(fastconv.partial_conv2d, X, m, FULL, BIAS), partial(layer, X, m)):
            for given in (None, None, out, X[:, :, :6, :6].copy()):
                y, live = call(out=given)
                assert given is None or y is given
                np.testing.assert_array_equal(y, expected)
                np.testing.assert_array_equal(live, new)
            with pytest.raises(ValueError, match="out"):
                call(out=np.empty(3, np.float32))
    assert len(recall._calls) == len(layer._known) == 2
    room = X.copy()
    y, _ = layer(room, mask, room[:, :, :6, :6])
    np.testing.assert_array_equal(y, layer(X, mask)[0])
