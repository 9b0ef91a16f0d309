"""Region functions: every build against the definitions, hostile boxes, and what the public functions refuse."""
import time
from functools import cache
from itertools import product

import numpy as np
import pytest
from cases import every_build
from streams import check, expected_of, reals

import fastconv
from fastconv.region_problem import region_problem

RNG = np.random.default_rng(9)
IMAGES = (((1, 1), 2), ((7, 9), 3), ((12, 40), 1), ((5, 6), 67))
BINS = ((1, 1), (2, 3), (7, 7), (3, 20))
FUNCTIONS = ("roi_pool", "roi_align", "ps_roi_pool", "ps_roi_align", "deform_roi_pool")
nan, inf = np.nan, np.inf


def boxes_in(size, count: int = 6) -> np.ndarray:
    """Boxes in and around an image: whole, inverted, empty, outside, on pixels, and any."""
    H, W = size
    corners = np.sort(RNG.uniform(-3, 1.3 * max(size) + 2, (count, 2, 2)), axis=1).reshape(count, 4)
    corners[:5] = [[0, 0, W, H], [W, H, 0, 0], [2, 2, 2, 2], [-50, -50, -40, -40], np.round(corners[4])]
    return corners


HOSTILE = np.array([[nan, 0, 3, 3], [0, nan, 3, 3], [0, 0, nan, 3], [inf, 0, 3, 3], [-inf, 0, 3, 3], [0, 0, inf, 3],
                    [0, 0, 3, -inf], [0, 0, 1e30, 1e30], [-1e30, -1e30, 1e30, 1e30], [1e30, 1e30, 2e30, 2e30],
                    [0, 0, 3e38, 3], [-3e38, 0, 3e38, 3], [5, 5, -1e30, -1e30], [-1, -1, -1, -1]])


def problem_of(operation, x, count, real, bins, last, scale=1.0, **options):
    mode = options.pop("mode", "max" if operation == "roi_pool" else "avg")
    return region_problem(operation, x.shape, count, real, bins, scale, mode=mode, channels_last=last, **options)


def variants(operation):
    if operation == "roi_align":
        return [dict(mode=m, sampling_ratio=s, aligned=a) for m, s, a in product(("avg", "max"), (0, 2), (False, True))]
    if operation == "ps_roi_align":
        return [dict(sampling_ratio=s) for s in (0, 3)]
    return [dict(sampling_ratio=s, gamma=0.3) for s in (0, 2)] if operation == "deform_roi_pool" else [{}]


@cache
def region_cases(operation, real) -> list:
    """(problem, inputs, what they give)."""
    cases = []
    for ((H, W), C), bins, last in product(IMAGES, BINS, (False, True)):
        if C * bins[0] * bins[1] > 900:
            continue
        if operation.startswith("ps"):
            C = min(C, 3) * bins[0] * bins[1]
        x = reals(RNG, (2, H, W, C) if last else (2, C, H, W), real)
        boxes = boxes_in((H, W)).astype(x.dtype)
        image = RNG.integers(0, 2, len(boxes))
        offset = reals(RNG, (len(boxes), 2, *bins), real) if operation == "deform_roi_pool" else None
        for scale, options in zip((1.0, 0.37, 1.0, 0.5, 1.0, 0.37, 1.0, 1.9), variants(operation)):
            problem = problem_of(operation, x, len(boxes), real, bins, last, scale, **options)
            inputs = x, boxes, image, offset
            cases.append((problem, inputs, expected_of(problem, inputs)))
    return cases


@pytest.mark.parametrize("isa,real", every_build())
@pytest.mark.parametrize("operation", FUNCTIONS)
def test_regions(operation, isa, real):
    for problem, inputs, expected in region_cases(operation, real):
        check(problem, inputs, isa, expected)


@pytest.mark.parametrize("real", ["f32", "f64"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("operation", FUNCTIONS)
def test_any_box_is_safe_and_quick(operation, last, real):
    """No crash, no NaN, a bounded time; boxes that are not finite are zeros, and spoil no other box."""
    x = reals(RNG, (2, 6, 7, 8) if last else (2, 8, 6, 7), real)
    boxes = np.concatenate([HOSTILE, [[1, 1, 4, 4]]]).astype(x.dtype)
    boxes = np.concatenate([np.ones((len(boxes), 1), x.dtype), boxes], axis=1)
    function = getattr(fastconv, operation)
    for options in variants(operation):
        options.pop("mode", None) if operation != "roi_align" else None
        arguments = (np.ones((len(boxes), 2, 2, 2), x.dtype),) if operation == "deform_roi_pool" else ()
        start = time.perf_counter()
        y = function(x, boxes, *arguments, 2, channels_last=last, **options)
        assert time.perf_counter() - start < 1
        assert np.isfinite(y).all()
        assert not y[:7].any()
        arguments = tuple(a[-1:] for a in arguments)
        np.testing.assert_array_equal(y[-1:], function(x, boxes[-1:], *arguments, 2, channels_last=last, **options))


def test_bins_of_any_offset_are_safe():
    x = RNG.standard_normal((1, 3, 6, 7)).astype(np.float32)
    offset = np.zeros((1, 2, 3, 3), np.float32)
    offset.flat = [nan, inf, -inf, 1e30, -1e30, 3e38, 2.0**31, 0, 0.1]
    y = fastconv.deform_roi_pool(x, [np.array([[0, 0, 6, 6]], np.float32)], offset, 3)
    assert np.isfinite(y).all()
    assert not y[0, :, 0, :].any()


def test_a_huge_adaptive_grid_ends():
    """One box of 10^9 pixels: 10^17 samples, were they all looked at."""
    x = np.ones((1, 1, 4, 4))
    for aligned in (False, True):
        y = fastconv.roi_align(x, [np.array([[-1e9, -1e9, 1e9, 1e9]])], 3, aligned=aligned)
        assert 0 < y[0, 0, 1, 1] < 1e-15 and y.sum() == y[0, 0, 1, 1]
    assert fastconv.roi_align(x, [np.array([[0.0, 0, 4, 4]])], 1, sampling_ratio=4096)[0, 0, 0, 0] == pytest.approx(1)


def test_boxes_of_a_list_and_of_an_array_are_the_same():
    x = RNG.standard_normal((3, 2, 9, 9))
    parts = [boxes_in((9, 9), n) if n else np.zeros((0, 4)) for n in (6, 0, 7)]
    table = np.concatenate([np.insert(part, 0, i, axis=1) for i, part in enumerate(parts)])
    for function in (fastconv.roi_pool, fastconv.roi_align):
        np.testing.assert_array_equal(function(x, parts, 3), function(x, table, 3))
    offset = np.zeros((13, 2, 3, 3))
    y = fastconv.roi_align(x, table, 3, aligned=True)
    np.testing.assert_allclose(fastconv.deform_roi_pool(x, table, None, 3), y, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(fastconv.deform_roi_pool(x, table, offset, 3), y, rtol=1e-12, atol=1e-13)


def test_threads_layout_of_memory_and_out_change_nothing():
    x = RNG.standard_normal((2, 70, 9, 11)).astype(np.float32)
    boxes = np.insert(boxes_in((9, 11), 40), 0, RNG.integers(0, 2, 40), axis=1).astype(np.float32)
    y = fastconv.roi_align(x, boxes, 3)
    for n in (1, 2, 3):
        with fastconv.threads(n):
            np.testing.assert_array_equal(fastconv.roi_align(x, boxes, 3), y)
    wide = np.zeros((2, 70, 9, 22), np.float32)
    wide[..., ::2] = x
    np.testing.assert_array_equal(fastconv.roi_align(wide[..., ::2], boxes.astype(">f4"), 3), y)
    np.testing.assert_array_equal(fastconv.roi_align(x, boxes[3:9], 3), y[3:9])
    out = np.full(y.shape, nan, np.float32)
    assert fastconv.roi_align(x, boxes, 3, out=out) is out
    np.testing.assert_array_equal(out, y)
    room = np.concatenate([x.ravel(), np.zeros(y.size, np.float32)])
    inside = room[:x.size].reshape(x.shape)
    np.testing.assert_array_equal(fastconv.roi_align(inside, boxes, 3, out=room[9:9 + y.size].reshape(y.shape)), y)
    half = fastconv.roi_align(x.astype(np.float16), boxes.astype(np.float16), 3)
    assert half.dtype == np.float16
    for value in (nan, inf):
        spoilt = x.copy()
        spoilt[0, 0, 4, 4] = value
        pixel = [np.array([[4, 4, 4, 4.0]], np.float32), boxes[:0, 1:]]
        np.testing.assert_array_equal(fastconv.roi_pool(spoilt, pixel, 1)[0, 0, 0, 0], value)


@pytest.mark.parametrize("name", ["roi_pool", "roi_align", "deform_roi_pool"])
def test_images_and_boxes_too_large_to_be_turned(name):
    """Channels first, in three ways: whole images turned, single boxes, nothing; the layout decides, not the other boxes."""
    x = RNG.standard_normal((2, 20, 300, 301)).astype(np.float32)
    boxes = np.insert(boxes_in((300, 301), 8), 0, RNG.integers(0, 2, 8), axis=1).astype(np.float32)
    offset = (RNG.standard_normal((8, 2, 2, 3)).astype(np.float32),) if name == "deform_roi_pool" else ()
    function = getattr(fastconv, name)
    y = function(x, boxes, *offset, (2, 3))
    last = function(np.ascontiguousarray(np.moveaxis(x, 1, -1)), boxes, *offset, (2, 3), channels_last=True)
    np.testing.assert_allclose(y, np.moveaxis(last, -1, 1), rtol=1e-4, atol=1e-5)
    for i in range(len(boxes)):
        np.testing.assert_array_equal(function(x, boxes[i:i + 1], *(a[i:i + 1] for a in offset), (2, 3)), y[i:i + 1])


def test_no_boxes_and_no_images():
    x = np.zeros((2, 4, 5, 6), np.float32)
    none = np.zeros((0, 5), np.float32)
    assert fastconv.roi_pool(x, none, 3).shape == (0, 4, 3, 3)
    assert fastconv.ps_roi_align(x, [none[:, 1:]] * 2, 2, channels_last=False).shape == (0, 1, 2, 2)
    assert fastconv.roi_align(x[:0], [], 3).shape == (0, 4, 3, 3)


X = np.zeros((2, 4, 5, 6), np.float32)
B = np.zeros((3, 5), np.float32)


def of_image(index):
    boxes = B.copy()
    boxes[1, 0] = index
    return boxes


WRONG = [
    *[(IndexError, r"boxes\[1\]", lambda i=i: fastconv.roi_align(X, of_image(i), 2)) for i in (-1, 2, nan, 0.5, 1e20, -inf)],
    (IndexError, "0 images", lambda: fastconv.roi_pool(X[:0], B, 2)),
    (ValueError, r"\(K, 5\)", lambda: fastconv.roi_pool(X, B[:, :4], 2)),
    (ValueError, "2 images", lambda: fastconv.roi_pool(X, [B[:, :4]], 2)),
    (ValueError, r"boxes\[1\]", lambda: fastconv.roi_pool(X, [B[:, :4], B], 2)),
    (TypeError, "boxes", lambda: fastconv.roi_pool(X, B.astype(np.float64), 2)),
    (TypeError, "boxes", lambda: fastconv.roi_pool(X, [B[:, :4], B[:, :4].astype(np.float64)], 2)),
    (TypeError, "int32", lambda: fastconv.roi_pool(X.astype(np.int32), B, 2)),
    (ValueError, "4 axes", lambda: fastconv.roi_pool(X[0], B, 2)),
    (ValueError, "length 0", lambda: fastconv.roi_pool(X[:, :, :0], B, 2)),
    (ValueError, "output_size", lambda: fastconv.roi_pool(X, B, 0)),
    (ValueError, "output_size", lambda: fastconv.roi_pool(X, B, (2, -1))),
    (ValueError, "output_size", lambda: fastconv.roi_pool(X, B, 2**40)),
    (TypeError, "output_size", lambda: fastconv.roi_pool(X, B, 2.0)),
    *[(ValueError, "spatial_scale", lambda s=s: fastconv.roi_align(X, B, 2, s)) for s in (0, -1, nan, inf)],
    (TypeError, "spatial_scale", lambda: fastconv.roi_align(X, B, 2, "1")),
    (ValueError, "sampling_ratio", lambda: fastconv.roi_align(X, B, 2, 1.0, 10**9)),
    (TypeError, "sampling_ratio", lambda: fastconv.roi_align(X, B, 2, 1.0, 2.5)),
    (ValueError, "mode", lambda: fastconv.roi_align(X, B, 2, mode="median")),
    (ValueError, "multiples of 9", lambda: fastconv.ps_roi_pool(X, B, 3)),
    (ValueError, "offset", lambda: fastconv.deform_roi_pool(X, B, np.zeros((3, 2, 2, 3), np.float32), 2)),
    (TypeError, "offset", lambda: fastconv.deform_roi_pool(X, B, np.zeros((3, 2, 2, 2)), 2)),
    (ValueError, "gamma", lambda: fastconv.deform_roi_pool(X, B, None, 2, gamma=nan)),
    (ValueError, "out", lambda: fastconv.roi_pool(X, B, 2, out=np.empty((3, 4, 2, 3), np.float32))),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_arguments_are_named(number):
    error, word, call = WRONG[number]
    with pytest.raises(error, match=word):
        call()


def test_random_problems_of_verify():
    from fastconv.cli.verify_streams import COVERED, verify_streams
    steps: list[int] = []
    records = verify_streams(True, lambda: steps.append(1))
    assert len(steps) == len(COVERED) and {key[0] for key in records} == set(COVERED)
    assert not [text for record in records.values() for text in record.failures]
