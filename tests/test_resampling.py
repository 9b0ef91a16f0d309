"""interpolate, grid_sample, rearranging: every build against the definitions, options of torch, hostile input."""
from collections import OrderedDict
from itertools import product

import numpy as np
import pytest
from cases import every_build
from streams import check, reals, run

import fastconv
from fastconv import reference_resampling, stream_plan
from fastconv.arrays import lined
from fastconv.machine import machine
from fastconv.resample_problem import (
    MODES,
    PAD_MODES,
    SAMPLE_MODES,
    SAMPLE_PADDING,
    channel_shuffle_problem,
    fold_problem,
    grid_sample_problem,
    interpolate_problem,
    pad_problem,
    pixel_shuffle_problem,
    pixel_unshuffle_problem,
    unfold_problem,
)
from fastconv.resample_tables import WAYS, rearrange_fields, resample_fields

WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33)
RNG = np.random.default_rng(5)


def layout(x, channels_last, batch=True):
    return np.ascontiguousarray(np.moveaxis(x, 1 if batch else 0, -1)) if channels_last else x


# --- rearranging -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "f2", "f4", "i8", "f8"])
@pytest.mark.parametrize("r", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("order", ["CRD", "DCR"])
@pytest.mark.parametrize("C", [3, 17])                  # fewer and more than a block of src/rearrange.pyx has streams
def test_pixel_shuffle_moves_every_item(dtype, r, order, C):
    H, W = 2, 5
    x = RNG.integers(0, 100, (2, C * r * r, H, W)).astype(dtype)
    y = fastconv.pixel_shuffle(x, r, order=order)
    for c, i, j in product(range(C), range(r), range(r)):
        k = (c * r + i) * r + j if order == "CRD" else (i * r + j) * C + c
        np.testing.assert_array_equal(y[:, c, i::r, j::r], x[:, k])
    assert y.dtype == x.dtype
    last = fastconv.pixel_shuffle(layout(x, True), r, order=order, channels_last=True)
    np.testing.assert_array_equal(last, layout(y, True))
    np.testing.assert_array_equal(fastconv.pixel_unshuffle(y, r, order=order), x)
    np.testing.assert_array_equal(fastconv.pixel_unshuffle(last, r, order=order, channels_last=True), layout(x, True))
    np.testing.assert_array_equal(fastconv.pixel_shuffle(x[0], r, order=order), y[0])


def test_focus_takes_rows_before_columns():
    x = RNG.integers(0, 100, (2, 3, 4, 6))
    parts = [x[..., i::2, j::2] for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))]
    np.testing.assert_array_equal(fastconv.focus(x), np.concatenate(parts, 1))
    last = fastconv.focus(layout(x, True), channels_last=True)
    np.testing.assert_array_equal(last, layout(np.concatenate(parts, 1), True))


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 6, 8, 9, 16, 18, 48, 144])
def test_channel_shuffle(groups):
    x = RNG.integers(0, 100, (2, 144, 3, 5))
    y = x.reshape(2, groups, 144 // groups, 3, 5).swapaxes(1, 2).reshape(x.shape)
    np.testing.assert_array_equal(fastconv.channel_shuffle(x, groups), y)
    np.testing.assert_array_equal(fastconv.channel_shuffle(layout(x, True), groups, channels_last=True), layout(y, True))


def test_few_long_rows_are_shared_by_threads():
    """Blocks take in short runs alone: twelve planes are twelve steps, or more."""
    numbers = rearrange_fields(channel_shuffle_problem((1, 12, 256, 256), 4, 3, False))["numbers"]
    _, steps, share = np.frombuffer(numbers, np.int64)[:3]
    assert steps // share >= 12


@pytest.mark.parametrize("isa,real", every_build())
def test_rearranging_on_every_build(isa, real):
    for itemsize in ((8,) if real == "f64" else (1, 2, 4)):
        for w, r in product(WIDTHS, (2, 3, 4, 5)):
            x = RNG.integers(0, 100, (2, r * r, 3, w)).astype(f"u{itemsize}")
            check(pixel_shuffle_problem(x.shape, itemsize, r, "CRD", False), (x, None), isa)
            x = RNG.integers(0, 100, (1, 2, r, w * r)).astype(f"u{itemsize}")
            check(pixel_unshuffle_problem(x.shape, itemsize, r, "CRD", False), (x, None), isa)
            x = RNG.integers(0, 100, (1, 2, 3, w * r * r)).astype(f"u{itemsize}")
            check(pixel_shuffle_problem(x.shape, itemsize, r, "CRD", True), (x, None), isa)
            x = RNG.integers(0, 100, (1, r, 2 * r, w)).astype(f"u{itemsize}")
            check(pixel_unshuffle_problem(x.shape, itemsize, r, "CRD", True), (x, None), isa)


PADS = ((1, 2), (0, 0, 3, 1), (2, 0, 0, 2, 1, 1), (-1, 3), (2, -2, -1, 4), (0, -3, -1, -1), (7, 5, 4, 6))


@pytest.mark.parametrize("isa,real", every_build())
@pytest.mark.parametrize("mode", PAD_MODES)
def test_pad(mode, isa, real):
    for pad, itemsize, last in product(PADS, (8,) if real == "f64" else (1, 2, 4), (False, True)):
        x = RNG.integers(0, 100, (2, 3, 4, 5)).astype(f"u{itemsize}")
        check(pad_problem(x.shape, itemsize, pad, mode, last), (x, np.array([9], x.dtype)), isa)


def test_pad_puts_the_last_axis_first_and_crops_before_it_repeats():
    x = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(fastconv.pad(x, (1, 0), value=9), [[9, 0, 1, 2], [9, 3, 4, 5]])
    np.testing.assert_array_equal(fastconv.pad(x, (0, 0, 1, 0), "replicate"), [[0, 1, 2], [0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(fastconv.pad(x[0], (2, -1), "circular"), [0, 1, 0, 1])
    last = fastconv.pad(x[..., None], (1, 1), "reflect", channels_last=True)
    np.testing.assert_array_equal(last[0, :, 0], [1, 0, 1, 2, 1])
    assert np.isneginf(fastconv.pad(np.ones(1, np.float32), (1, 0), value=-np.inf)[0])
    assert fastconv.pad(np.array(3), ()) == 3
    many = fastconv.pad(np.ones((1,) * 30, np.uint8), (1, 0) * 15)
    assert many.shape == (1,) * 15 + (2,) * 15 and many.sum() == 1


WINDOWS = (((3, 3), 1, 1, 1), ((2, 3), 2, (1, 2), (2, 1)), ((1, 1), 1, 0, 3), ((4, 5), 1, 3, (3, 2)), ((2, 2), (1, 3), 4, 5))


@pytest.mark.parametrize("isa,real", every_build())
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_unfold_and_fold(window, isa, real):
    for w in (5, 16, 33):
        x = RNG.integers(-9, 10, (2, 2, 6, w)).astype("f8" if real == "f64" else "f4")
        items = x.view(f"u{x.itemsize}")
        problem = unfold_problem(x.shape, x.itemsize, *window)
        check(problem, (items, np.zeros(1, items.dtype)), isa)
        columns = RNG.integers(-9, 10, problem.output_shape).astype(x.dtype)
        check(fold_problem(columns.shape, real, (6, w), *window), (columns,), isa)
        folded = fastconv.fold(columns, (6, w), *window)
        assert (folded * x).sum() == (columns * fastconv.unfold(x, *window)).sum()


# --- interpolate -----------------------------------------------------------------------------------------------------

SCALES = ({"scale_factor": 2}, {"size": (5, 21)}, {"scale_factor": (1.7, 0.61)}, {"size": (1, 3)},
          {"scale_factor": (1.7, 1.61), "recompute_scale_factor": True})


def problem_of(x, real, mode, channels_last=False, size=None, scale_factor=None, align_corners=None,
               recompute_scale_factor=None, antialias=False):
    return interpolate_problem(x.shape, real, x.itemsize, size, scale_factor, mode, align_corners, recompute_scale_factor,
                               antialias, channels_last)


def options(mode):
    if mode not in ("bilinear", "bicubic"):
        return ({},)
    return ({}, {"align_corners": True}, {"antialias": True}, {"antialias": True, "align_corners": True})


@pytest.mark.parametrize("isa,real", every_build())
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
def test_interpolate_images(mode, isa, real):
    for (H, W), scale, option, last in product(((1, 1), (4, 9), (5, 37)), SCALES, options(mode), (False, True)):
        x = layout(reals(RNG, (2, 3, H, W), real), last)
        try:
            problem = problem_of(x, real, mode, last, **scale, **option)
        except ValueError:
            continue            # no pixel would be left
        moved = mode.startswith("nearest")
        inputs = (x.view(f"u{x.itemsize}"), np.zeros(1, f"u{x.itemsize}")) if moved else (x,)
        check(problem, inputs, isa)


@pytest.mark.parametrize("isa,real", every_build())
@pytest.mark.parametrize("shape,mode,size", [
    ((2, 2, 33), "linear", (70,)), ((1, 2, 300), "area", (7,)), ((2, 2, 3, 4, 5), "trilinear", (5, 3, 9)),
    ((1, 3, 5000), "area", (2,)), ((1, 2, 2, 3, 40), "area", (3, 2, 17)), ((1, 2, 2, 400), "bilinear", (3, 5)),
    ((1, 40, 3, 5), "bicubic", (7, 4)), ((1, 67, 4, 5), "bilinear", (7, 11)), ((1, 19, 2, 3, 4), "trilinear", (3, 3, 3)),
    ((1, 4100, 2, 3), "bilinear", (3, 4)), ((1, 520, 1, 90), "area", (1, 3)), ((1, 1, 70, 40), "bilinear", (41, 61)),
    ((1, 2, 3, 9, 40), "trilinear", (7, 31, 141)), ((2, 1, 25, 40), "bicubic", (80, 70))], ids=str)
def test_interpolate_other_shapes(shape, mode, size, isa, real):
    for last, antialias in product((False, True), (False, True) if mode in ("bilinear", "bicubic") else (False,)):
        x = layout(reals(RNG, shape, real), last)
        if x.nbytes < 100000:
            check(problem_of(x, real, mode, last, size=size, antialias=antialias), (x,), isa)


def test_every_way_is_taken():
    """The cases above reach all loops of the kernel."""
    one = machine(fastconv.kernels.isa, "f32")
    taken = set()
    for shape, mode, size, last in (((1, 3, 4, 9), "bilinear", (5, 21), False), ((1, 3, 5000), "area", (2,), False),
                                    ((1, 3, 4, 40), "bilinear", (5, 81), False),
                                    ((1, 4, 5, 40), "bicubic", (7, 4), True), ((1, 4, 5, 67), "bilinear", (7, 11), True)):
        x = np.empty(shape, np.float32)
        taken.add(WAYS[resample_fields(problem_of(x, "f32", mode, last, size=size), one, 1)["way"]])
    assert taken == set(WAYS)


@pytest.mark.parametrize("isa,real", every_build())
@pytest.mark.parametrize("shape,mode,last", [((1, 2, 9, 64), "bilinear", False), ((1, 9, 5, 32), "bilinear", True),
                                             ((1, 9, 16, 5), "nearest", False), ((1, 9, 5, 80), "nearest", True)], ids=str)
def test_stores_past_the_caches_are_the_same_numbers(shape, mode, last, isa, real, monkeypatch):
    """As a result is stored that no cache holds; those that begin within a line are not."""
    x = reals(RNG, shape, real)
    problem = problem_of(x, real, mode, last, scale_factor=2)
    inputs = (x,) if mode == "bilinear" else (x.view(f"u{x.itemsize}"), np.zeros(1, f"u{x.itemsize}"))
    expected = run(problem, inputs, isa)
    monkeypatch.setattr(stream_plan, "machine", lambda *build: machine(*build)._replace(L3=0))
    monkeypatch.setattr(stream_plan, "_plans", OrderedDict())
    room = lined((problem.output_shape[0], expected.size + 8), inputs[0].dtype)
    for first in (0, 3):
        y = room[0, first:first + expected.size].reshape(expected.shape)
        y.fill(7)
        np.testing.assert_array_equal(run(problem, inputs, isa, threads=2, y=y), expected)


def test_scale_that_was_asked_for_counts():
    """floor(6 * 0.7) = 4 pixels, 1 / 0.7 apart; with recompute_scale_factor 6 / 4 apart."""
    x = np.array([[[[0, 1, 4, 9, 16, 25.0]]]])

    def at(u):
        u = max(u, 0)
        return x[0, 0, 0, int(u)] + (u - int(u)) * (x[0, 0, 0, min(int(u) + 1, 5)] - x[0, 0, 0, int(u)])

    for again, step in ((None, 1 / 0.7), (True, 6 / 4)):
        y = fastconv.interpolate(x, scale_factor=(1, 0.7), mode="bilinear", recompute_scale_factor=again)[0, 0, 0]
        np.testing.assert_allclose(y, [at((q + 0.5) * step - 0.5) for q in range(4)], rtol=1e-14)


def test_nearest_takes_integers_and_ties_in_float32():
    x = np.arange(10, dtype=np.int16).reshape(1, 1, 10)
    np.testing.assert_array_equal(fastconv.interpolate(x, 30)[0, 0], np.repeat(np.arange(10), 3))
    np.testing.assert_array_equal(fastconv.interpolate(x, 5, mode="nearest-exact")[0, 0], [1, 3, 5, 7, 9])
    assert fastconv.interpolate(x, 5).dtype == np.int16


def test_same_size_is_the_same_image():
    x = RNG.standard_normal((1, 2, 5, 7)).astype(np.float32)
    x[0, 0, 2, 3] = np.inf
    for mode in ("nearest", "bilinear", "bicubic", "area"):
        np.testing.assert_array_equal(fastconv.interpolate(x, (5, 7), mode=mode), x)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "area"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_reaches_the_outputs_that_weigh_it(mode, value):
    for shape, last, antialias in product(((1, 2, 6, 9), (1, 40, 6, 9)), (False, True), (False, True)):
        x = np.ones(shape)
        x[0, 1, 3, 4] = 1e9
        arguments = dict(size=(8, 4), mode=mode, antialias=antialias and mode != "area")
        weighed = np.abs(fastconv.interpolate(x, **arguments) - 1) > 1e-3
        x[0, 1, 3, 4] = value
        y = fastconv.interpolate(layout(x, last), **arguments, channels_last=last)
        np.testing.assert_array_equal(~np.isfinite(y), layout(weighed, last))


# --- grid_sample -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("isa,real", every_build())
@pytest.mark.parametrize("mode", SAMPLE_MODES)
def test_grid_sample(mode, isa, real):
    shapes = [((2, 3, 5, 7), (2, 4, 9, 2)), ((1, 1, 1, 6), (1, 13, 11, 2)), ((1, 35, 3, 1), (1, 3, 3, 2))]
    shapes += [((1, 2, 3, 4, 5), (1, 2, 3, 5, 3))] if mode != "bicubic" else []
    for (shape, at), padding, align, last in product(shapes, SAMPLE_PADDING, (False, True), (False, True)):
        x = layout(reals(RNG, shape, real), last)
        grid = (1.3 * RNG.standard_normal(at)).astype(x.dtype)
        grid.flat[:8] = [-1, 1, 0, 0.5, -0.5, 1, 1, -1]
        check(grid_sample_problem(x.shape, at, real, mode, padding, align, last), (x, grid), isa)


@pytest.mark.parametrize("real", ["f32", "f64"])
@pytest.mark.parametrize("mode", SAMPLE_MODES)
def test_any_coordinate_is_safe(mode, real):
    numbers = [np.nan, np.inf, -np.inf, 0, 1e30, -1e30, 3e38, -3e38, 2.0**31, -2.0**31, 2.0**62, 1e10]
    x = reals(RNG, (1, 2, 4, 5), real)
    grid = np.array(list(product(numbers, numbers)), x.dtype).reshape(1, 12, 12, 2)
    for padding, align in product(SAMPLE_PADDING, (False, True)):
        with fastconv.validation():
            y = fastconv.grid_sample(x, grid, mode, padding, align)
        if padding == "zeros":
            assert not y[..., :3].any() and not y[:, :, :3].any()
        assert np.isfinite(y).all()
        assert padding != "border" or (y[0, :, 1, 1] == x[0, :, -1, -1]).all()


def test_identity_grid_is_the_image():
    x = RNG.standard_normal((1, 2, 4, 8))
    rows, columns = ((2 * np.arange(n) + 1) / n - 1 for n in (4, 8))
    grid = np.stack(np.broadcast_arrays(columns[None, :], rows[:, None]), -1)[None]
    for mode in SAMPLE_MODES:
        np.testing.assert_array_equal(fastconv.grid_sample(x, grid, mode), x)


# --- arrays of any kind ----------------------------------------------------------------------------------------------

CALLS = {
    "pixel_shuffle": lambda x, **k: fastconv.pixel_shuffle(x, 2, **k),
    "pixel_unshuffle": lambda x, **k: fastconv.pixel_unshuffle(x, 2, **k),
    "focus": fastconv.focus,
    "channel_shuffle": lambda x, **k: fastconv.channel_shuffle(x, 2, **k),
    "pad": lambda x, **k: fastconv.pad(x, (1, 2, 0, 1), "reflect", **k),
    "unfold": lambda x, **k: fastconv.unfold(x, 3, padding=1, **k),
    "fold": lambda x, **k: fastconv.fold(np.ascontiguousarray(x.reshape(len(x), 4, 48)), (5, 13), 2, **k),
    "nearest": lambda x, **k: fastconv.interpolate(x, scale_factor=1.5, **k),
    "bilinear": lambda x, **k: fastconv.interpolate(x, scale_factor=1.5, mode="bilinear", **k),
    "grid_sample": lambda x, **k: fastconv.grid_sample(x, np.zeros((len(x), 3, 3, 2), x.dtype.newbyteorder("=")), **k),
}


@pytest.mark.parametrize("name", CALLS)
def test_strides_byte_order_batch_and_threads_change_nothing(name):
    call, x = CALLS[name], RNG.standard_normal((3, 4, 6, 8)).astype(np.float32)
    y = call(x)
    wide = np.zeros((3, 8, 6, 16), np.float32)
    wide[:, ::2, :, ::2] = x
    flipped = x[:, :, ::-1, ::-1].copy()[:, :, ::-1, ::-1]
    raw = np.frombuffer(b"x" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    for same in (wide[:, ::2, :, ::2], flipped, x.astype(">f4"), raw, np.asfortranarray(x)):
        np.testing.assert_array_equal(call(same), y)
    np.testing.assert_array_equal(call(x[1:2]), y[1:2])
    assert call(x[:0]).shape == (0, *y.shape[1:])
    for n in (1, 2, 3):
        with fastconv.threads(n):
            np.testing.assert_array_equal(call(x), y)


@pytest.mark.parametrize("name", CALLS)
def test_out_is_written_in_full_and_checked(name):
    call, x = CALLS[name], RNG.standard_normal((2, 4, 6, 8)).astype(np.float32)
    y = call(x)
    out = np.full(y.shape, np.nan, np.float32)
    assert call(x, out=out) is out
    np.testing.assert_array_equal(out, y)
    strided = np.full((*y.shape[:-1], 2 * y.shape[-1]), np.nan, np.float32)[..., ::2]
    np.testing.assert_array_equal(call(x, out=strided), y)
    room = np.zeros(max(x.size, y.size), np.float32)
    inside = room[:x.size].reshape(x.shape)
    inside[...] = x
    np.testing.assert_array_equal(call(inside, out=room[:y.size].reshape(y.shape)), y)
    longer = np.empty((*y.shape[:-1], y.shape[-1] + 1), np.float32)
    for wrong in (longer, np.empty(y.shape), np.broadcast_to(out[:1], y.shape)):
        with pytest.raises(ValueError, match="out"):
            call(x, out=wrong)


@pytest.mark.parametrize("name", ["bilinear", "fold"])
def test_half_types(name):
    x = RNG.standard_normal((2, 4, 6, 8)).astype(np.float16)
    y = CALLS[name](x)
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y, CALLS[name](x.astype(np.float32)).astype(np.float16))


# --- hostile arguments -----------------------------------------------------------------------------------------------

X = np.zeros((1, 4, 6, 8), np.float32)
G = np.zeros((1, 3, 3, 2), np.float32)
inf, nan = float("inf"), float("nan")
WRONG = [
    (ValueError, "upscale_factor", lambda: fastconv.pixel_shuffle(X, 3)),
    (ValueError, "upscale_factor", lambda: fastconv.pixel_shuffle(X, 0)),
    (ValueError, "upscale_factor", lambda: fastconv.pixel_shuffle(X, 2**70)),
    (TypeError, "upscale_factor", lambda: fastconv.pixel_shuffle(X, 2.0)),
    (TypeError, "input", lambda: fastconv.pixel_shuffle(X.astype(complex), 2)),
    (TypeError, "input", lambda: fastconv.pixel_shuffle(X.astype(object), 2)),
    (ValueError, "3 axes", lambda: fastconv.pixel_shuffle(X[0, 0], 2)),
    (ValueError, "order", lambda: fastconv.pixel_shuffle(X, 2, order="XYZ")),
    (ValueError, "downscale_factor", lambda: fastconv.pixel_unshuffle(X, 4)),
    (ValueError, "even", lambda: fastconv.focus(X[..., :7])),
    (ValueError, "groups", lambda: fastconv.channel_shuffle(X, 3)),
    (ValueError, "groups", lambda: fastconv.channel_shuffle(X, 0)),
    (ValueError, "pad", lambda: fastconv.pad(X, (1,))),
    (ValueError, "pad", lambda: fastconv.pad(X, (1,) * 10)),
    (ValueError, "pad", lambda: fastconv.pad(X, (-5, -4))),
    (ValueError, "pad", lambda: fastconv.pad(X, (2**62, 0))),
    (TypeError, "pad", lambda: fastconv.pad(X, 1)),
    (TypeError, "pad", lambda: fastconv.pad(X, (1.0, 0))),
    (ValueError, "mode", lambda: fastconv.pad(X, (1, 1), "wrap")),
    (ValueError, "value", lambda: fastconv.pad(X, (1, 1), "reflect", 3)),
    (ValueError, "value", lambda: fastconv.pad(X.astype(np.uint8), (1, 1), value=-1)),
    (ValueError, "value", lambda: fastconv.pad(X.astype(np.int8), (1, 1), value=0.5)),
    (TypeError, "value", lambda: fastconv.pad(X, (1, 1), value="x")),
    (ValueError, "repeat", lambda: fastconv.pad(X[..., :0], (1, 1), "replicate")),
    (ValueError, "too large", lambda: fastconv.pad(np.zeros((1, 1)), (2**31 - 1,) * 4)),
    (ValueError, "kernel_size", lambda: fastconv.unfold(X, 9)),
    (ValueError, "kernel_size", lambda: fastconv.unfold(X, 0)),
    (ValueError, "stride", lambda: fastconv.unfold(X, 3, stride=0)),
    (ValueError, "padding", lambda: fastconv.unfold(X, 3, padding=-1)),
    (ValueError, "dilation", lambda: fastconv.unfold(X, 3, dilation=2**62)),
    (ValueError, "windows", lambda: fastconv.fold(X[0, :, :, 0], (4, 4), 2)),
    (ValueError, "kernel_size", lambda: fastconv.fold(X[0, :3, :, 0], (4, 4), 2)),
    (TypeError, "int32", lambda: fastconv.fold(X[0, :, :, 0].astype(np.int32), (4, 4), 2)),
    (ValueError, "size", lambda: fastconv.interpolate(X)),
    (ValueError, "size", lambda: fastconv.interpolate(X, 3, 2.0)),
    (ValueError, "size", lambda: fastconv.interpolate(X, 0)),
    (ValueError, "size", lambda: fastconv.interpolate(X, (3,))),
    (TypeError, "size", lambda: fastconv.interpolate(X, 2.5)),
    *[(ValueError, "scale_factor", lambda s=s: fastconv.interpolate(X, scale_factor=s)) for s in
      (0, -1, nan, inf, 1e30, 1e-300, (1, 2, 3), 10**400)],
    (TypeError, "scale_factor", lambda: fastconv.interpolate(X, scale_factor="2")),
    (ValueError, "mode", lambda: fastconv.interpolate(X, 3, mode="cubic")),
    (ValueError, "mode", lambda: fastconv.interpolate(X, 3, mode="linear")),
    (ValueError, "mode", lambda: fastconv.interpolate(X[0], 3, mode="bicubic")),
    (ValueError, "align_corners", lambda: fastconv.interpolate(X, 3, align_corners=True)),
    (ValueError, "antialias", lambda: fastconv.interpolate(X, 3, mode="area", antialias=True)),
    (ValueError, "recompute_scale_factor", lambda: fastconv.interpolate(X, 3, recompute_scale_factor=True)),
    (ValueError, "length 0", lambda: fastconv.interpolate(X[..., :0], 3)),
    (ValueError, "too large", lambda: fastconv.interpolate(X, 2**31 - 1, mode="bilinear")),
    (TypeError, "int64", lambda: fastconv.interpolate(X.astype(np.int64), 3, mode="bilinear")),
    (ValueError, "grid", lambda: fastconv.grid_sample(X, G[..., :1])),
    (ValueError, "batch", lambda: fastconv.grid_sample(X, np.concatenate([G, G]))),
    (TypeError, "grid", lambda: fastconv.grid_sample(X, G.astype(np.float64))),
    (ValueError, "mode", lambda: fastconv.grid_sample(X, G, "linear")),
    (ValueError, "padding_mode", lambda: fastconv.grid_sample(X, G, padding_mode="reflect")),
    (ValueError, "bicubic", lambda: fastconv.grid_sample(X[:, :, None], np.zeros((1, 2, 3, 3, 3), np.float32), "bicubic")),
    (ValueError, "length 0", lambda: fastconv.grid_sample(X[:, :, :0], G)),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_arguments_are_named(number):
    error, word, call = WRONG[number]
    with pytest.raises(error, match=word):
        call()


def test_validation_finds_a_wrong_element(monkeypatch):
    from fastconv.stream_plan import StreamPlan
    run = StreamPlan.run

    def wrong(self, inputs, outputs):
        run(self, inputs, outputs)
        outputs[0].flat[3] += 1
    monkeypatch.setattr(StreamPlan, "run", wrong)
    for call in CALLS.values():
        with fastconv.validation(), pytest.raises(fastconv.ValidationError, match="definition"):
            call(X)


def test_weights_of_the_definition_sum_to_one():
    for mode, antialias, align in product(MODES[2:], (False, True), (False, True)):
        axes = {"linear": 1, "trilinear": 3}.get(mode, 2)
        if (antialias and mode not in ("bilinear", "bicubic")) or (align and mode == "area"):
            continue
        x = np.empty((1, 1, *(7,) * axes))
        problem = problem_of(x, "f64", mode, size=11, antialias=antialias, align_corners=align or None)
        for q in range(11):
            assert abs(sum(reference_resampling.weights_of(problem, 0, q).values()) - 1) < 1e-12
