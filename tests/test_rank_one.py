"""Kernels of rank one: noticed where that pays, within the bound of both passes, and told by explain()."""
import numpy as np
import pytest

import fastconv
from fastconv.rank_one import factors


def gaussian(taps: int, dtype=np.float32, channels: int = 1) -> np.ndarray:
    line = np.exp(-(np.arange(taps) - taps // 2) ** 2 / (taps / 3) ** 2)
    line /= line.sum()
    return np.repeat(np.outer(line, line)[None, None], channels, 0).astype(dtype)


def row_of(layer, shape) -> str:
    return layer.explain(shape).split("algorithm")[1].split(":")[0].strip()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("channels, taps, size", [(1, 21, 400), (1, 61, 300), (32, 15, 60)])
def test_a_blur_is_noticed(channels, taps, size, channels_last):
    w, shape = gaussian(taps, channels=channels), (1, size, size, channels) if channels_last else (1, channels, size, size)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    call = dict(padding=taps // 2, groups=channels, channels_last=channels_last)
    layer = fastconv.Conv2d(w, **call)
    assert row_of(layer, shape) == "rank_one"
    y = layer(x)
    np.testing.assert_allclose(y, fastconv.conv2d(x, w, algorithm="depthwise", **call), atol=2e-6)
    if taps < 20:
        with fastconv.validation():
            layer(x)
    for _ in range(3):                          # the first call, and the shorter way
        np.testing.assert_array_equal(fastconv.conv2d(x, w, **call), y)
    np.testing.assert_array_equal(fastconv.conv2d(x, w, algorithm="rank_one", **call), y)


def test_the_same_call_with_other_weights():
    """What is known of a call must not be taken for what its weights are: they may change in place."""
    x, w = np.random.default_rng(0).standard_normal((1, 1, 500, 500)).astype(np.float32), gaussian(15)
    first = fastconv.conv2d(x, w, padding=7)
    assert np.array_equal(fastconv.conv2d(x, w, padding=7), first)
    w[0, 0, 3, 4] *= 2
    expected = fastconv.conv2d(x, w, padding=7, algorithm="direct")
    for _ in range(2):
        np.testing.assert_allclose(fastconv.conv2d(x, w, padding=7), expected, atol=1e-5)
    w[0, 0, 3, 4] /= 2
    np.testing.assert_array_equal(fastconv.conv2d(x, w, padding=7), first)


def test_one_weight_that_is_off_is_seen():
    for dtype in (np.float32, np.float64):
        w = gaussian(9, dtype, 3)
        column, row = factors(w)
        assert (np.abs(column * row - w) <= 18 * np.finfo(dtype).eps / 2 * w).all()
        for where in ((0, 0, 0, 0), (2, 0, 4, 4), (1, 0, 8, 3)):
            for wrong in (w[where] * (1 + 40 * np.finfo(dtype).eps), 0, np.nan, np.inf):
                other = w.copy()
                other[where] = wrong
                assert factors(other) is None
    assert factors(np.zeros((2, 1, 3, 3))) is not None
    assert factors(np.full((1, 1, 3, 3), np.inf)) is None


def test_plain_rows_stay_plain():
    x, w = np.ones((1, 2, 40, 40)), gaussian(11, np.float64, 2)
    for row in ("direct", "depthwise"):
        layer = fastconv.Conv2d(w, groups=2, padding=5, algorithm=row)
        assert row_of(layer, x.shape) == row
    for wrong, said in ((np.random.default_rng(0).random((2, 1, 3, 3)), "column times a row"),
                        (np.ones((2, 1, 1, 3)), "several rows and columns")):
        with pytest.raises(ValueError, match=said):
            fastconv.conv2d(x, wrong, groups=2, algorithm="rank_one")
        with pytest.raises(ValueError, match=said):
            fastconv.Conv2d(wrong, groups=2, algorithm="rank_one")(x)
    with pytest.raises(ValueError, match="group of its own"):
        fastconv.conv2d(x, np.ones((2, 2, 3, 3)), algorithm="rank_one")


def test_explain_tells_of_rank_one():
    shapes = (1, 1, 1080, 1920), (1, 1, 21, 21)
    assert "known to be of rank one" in fastconv.explain("conv2d", *shapes, padding=10)
    assert "algorithm   rank_one" in fastconv.explain("conv2d", *shapes, padding=10, rank_one=True)
    for operation, weight in (("conv1d", (1, 1, 9)), ("deform_conv2d", (4, 2, 3, 3))):
        with pytest.raises(ValueError, match="rank_one=True is only for conv2d"):
            fastconv.explain(operation, (1, 2, *(30,) * (len(weight) - 2)), weight, rank_one=True)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("channels_last", [False, True])
def test_what_is_not_finite_reaches_its_windows(channels_last, value):
    x, w = np.random.default_rng(0).standard_normal((2, 3, 30, 33)), gaussian(7, np.float64, 3)
    x[1, 2, 11, 4] = value
    x[0, 0, 0, 0] = 1e300
    w *= np.array([1e10, 1, 1]).reshape(3, 1, 1, 1)     # the sums between the passes exceed all numbers, or none do
    x = np.ascontiguousarray(np.moveaxis(x, 1, -1)) if channels_last else x
    call = dict(groups=3, padding=3, channels_last=channels_last)
    with np.errstate(all="ignore"):
        expected = fastconv.conv2d(x, w, algorithm="direct", **call)
        y = fastconv.conv2d(x, w, algorithm="rank_one", **call)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-290)


@pytest.mark.parametrize("channels_last", [False, True])
def test_everything_a_call_may_have(channels_last):
    random, w = np.random.default_rng(0), gaussian(9, channels=5)
    x, b, r = (random.standard_normal(n).astype(np.float32) for n in ((2, 5, 70, 60), 5, (2, 5, 70, 30)))
    if channels_last:
        x, r = (np.ascontiguousarray(np.moveaxis(a, 1, -1)) for a in (x, r))
    call = dict(bias=b, residual=r, stride=(1, 2), padding=4, padding_mode="reflect", groups=5, activation="silu",
                channels_last=channels_last)
    expected = fastconv.conv2d(x, w, algorithm="direct", **call)
    results = []
    for threads in (1, 2):
        with fastconv.threads(threads):
            results.append(fastconv.conv2d(x, w, algorithm="rank_one", **call))
            call["residual"] = r[:1]
            results.append(np.concatenate([fastconv.conv2d(x[:1], w, algorithm="rank_one", **call), results[-1][1:]]))
            call["residual"] = r
            results.append(fastconv.conv2d(x, w, algorithm="rank_one", out=np.full_like(expected, np.nan), **call))
    np.testing.assert_allclose(results[0], expected, atol=2e-6)
    for y in results:
        np.testing.assert_array_equal(y, results[0])
