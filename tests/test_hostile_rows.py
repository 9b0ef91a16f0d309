"""Rows 69 to 108 of the list of hostile inputs: pooling, resampling, transposed, gated, partial, deformable, regions.

Each id begins with the number of its row. What must be refused is refused before anything is written; what must be right is
compared with its definition.
"""
import time

import numpy as np
import pytest

import fastconv
from fastconv import reference, reference_deformable
from fastconv.deform_problem import deform_problem
from fastconv.transposed_problem import transposed_problem

F32, NAN, INF = np.float32, np.nan, np.inf
X, W = np.ones((1, 4, 6, 6), F32), np.ones((4, 2, 3, 3), F32)      # W: of a transposed convolution
BOX = np.array([[0, 0, 0, 4, 4]], F32)
HOSTILE = (NAN, INF, -INF, 1e10, -1e10, 3e38, -3e38, 2.0**31, -2.0**31, 2.0**62)


def ones(*shape, dtype=F32):
    return np.ones(shape, dtype)


def integers(*shape, seed=0, dtype=F32):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)


def boxes(*corners):
    return np.array([[0, *corners]], F32)


# ---- what is refused ------------------------------------------------------------------------------------------------


def unpool(indices):
    return "max_unpool2d", dict(input=ones(1, 1, 2, 2), indices=indices, kernel_size=2), (1, 1, 4, 4)


def index(value):
    return unpool(np.array([[[[0, 1], [2, value]]]], np.int64))


def resize(x=X, **arguments):
    return "interpolate", dict(input=x, **arguments), (1, 4, 12, 12)


def transpose(**arguments):
    return "conv_transpose2d", dict(input=X, weight=W, **arguments), (1, 2, 8, 8)


def partial(mask):
    return "partial_conv2d", dict(input=X, mask=mask, weight=ones(3, 4, 3, 3)), (1, 3, 4, 4)


def deform(offset, **arguments):
    return "deform_conv2d", dict(input=X, offset=offset, weight=ones(3, 4, 3, 3), padding=1, **arguments), (1, 3, 6, 6)


def roi(box=BOX, function="roi_align", **arguments):
    return function, dict(dict(input=X, boxes=box, output_size=2), **arguments), (1, 4, 2, 2)


def pool(function, **arguments):
    return function, dict(input=X, **arguments), (1, 4, 3, 3)


# id: (call, exception, a word of the message)
WRONG = {
    "69 padding above half a window": (pool("max_pool2d", kernel_size=3, padding=2), ValueError, "padding"),
    "69 padding of a whole window": (pool("avg_pool2d", kernel_size=2, padding=2), ValueError, "padding"),
    "73 divisor of 0": (pool("avg_pool2d", kernel_size=2, divisor_override=0), ValueError, "divisor_override"),
    "76 no pixels to pool": (("adaptive_avg_pool2d", dict(input=ones(1, 4, 0, 6), output_size=1), (1, 4, 1, 1)), ValueError,
                             "length 0"),
    "78 float indices": (unpool(np.zeros((1, 1, 2, 2))), TypeError, "indices"),
    "78 int32 indices": (unpool(np.zeros((1, 1, 2, 2), np.int32)), TypeError, "indices"),
    "78 indices of another shape": (unpool(np.zeros((1, 1, 2, 3), np.int64)), ValueError, "indices"),
    "80 from nothing": (resize(ones(1, 4, 0, 6), size=3), ValueError, "length 0"),
    "80 to nothing": (resize(size=(0, 3)), ValueError, "size"),
    "82 both size and scale": (resize(size=9, scale_factor=2), ValueError, "scale_factor"),
    "82 neither size nor scale": (resize(), ValueError, "size"),
    "85 output_padding as large as stride": (transpose(stride=2, output_padding=2), ValueError, "output_padding"),
    "85 output_padding with nothing to add": (transpose(output_padding=1), ValueError, "output_padding"),
    "85 output_padding negative": (transpose(stride=2, output_padding=-1), ValueError, "output_padding"),
    "86 output_size too large": (transpose(stride=2, output_size=15), ValueError, "output_size"),
    "86 output_size too small": (transpose(stride=2, output_size=(13, 12)), ValueError, "output_size"),
    "88 everything cut off": (transpose(padding=4), ValueError, "padding"),
    "93 mask of two channels": (partial(ones(1, 2, 6, 6)), ValueError, "mask"),
    "93 mask of another size": (partial(ones(1, 1, 6, 5)), ValueError, "mask"),
    "93 mask without channels": (partial(ones(1, 6, 6)), ValueError, "mask"),
    "93 mask of bools": (partial(np.ones((1, 1, 6, 6), bool)), TypeError, "mask"),
    "97 no offsets": (deform(ones(1, 0, 6, 6)), ValueError, "offset"),
    "97 half an offset": (deform(ones(1, 9, 6, 6)), ValueError, "offset"),
    "97 offset groups that do not divide": (deform(ones(1, 54, 6, 6)), ValueError, "3 offset groups"),
    "97 offset of another size": (deform(ones(1, 18, 6, 5)), ValueError, "offset"),
    "98 mask of another shape": (deform(ones(1, 18, 6, 6), mask=ones(1, 8, 6, 6)), ValueError, "mask"),
    "100 offset of another type": (deform(ones(1, 18, 6, 6, dtype=np.float64)), TypeError, "offset"),
    "107 boxes of four numbers": (roi(ones(2, 4)), ValueError, "boxes"),
    "107 boxes of six numbers": (roi(ones(2, 6)), ValueError, "boxes"),
    "108 no bins": (roi(output_size=0), ValueError, "output_size"),
    "108 no bins in a row": (roi(output_size=(2, 0), function="roi_pool"), ValueError, "output_size"),
}
for value in (-1, 16, 2**31, 2**32 + 1, -2**63):
    WRONG[f"77 index {value}"] = index(value), IndexError, "indices"
for value in (0.0, -1.0, NAN, INF, 1e30, 1e-300):
    WRONG[f"80 scale {value}"] = resize(scale_factor=value), ValueError, "scale_factor"
for value in (-1, 1, NAN, 0.5, 1e20, INF):
    WRONG[f"104 image {value}"] = roi(np.array([[value, 0, 0, 4, 4]], F32)), IndexError, "image"
for value in (0.0, -0.5, NAN, INF):
    WRONG[f"107 spatial_scale {value}"] = roi(spatial_scale=value), ValueError, "spatial_scale"


@pytest.mark.parametrize("row", WRONG)
def test_refused_before_anything_is_written(row):
    (function, arguments, shape), error, word = WRONG[row]
    out = np.full(shape, -7, F32)
    for more in ({}, {"out": out}):
        with pytest.raises(error, match=word) as caught:
            getattr(fastconv, function)(**arguments, **more)
        assert type(caught.value) is error
    assert (out == -7).all()


# ---- what is right --------------------------------------------------------------------------------------------------


def transposed(size, kernel, **arguments):
    """A transposed convolution of integers and its definition."""
    x, w, b = integers(2, 4, *size), integers(4, 3, *kernel, seed=1), integers(3, seed=2)
    problem = transposed_problem("conv_transpose2d", x.shape, w.shape, "f32", **arguments)
    return fastconv.conv_transpose2d(x, w, b, **arguments), reference.transposed(problem, x, w, b)


def deformed(offset, x=None, kernel=(3, 3), mask=None, padding=1):
    """A deformable convolution and its definition; offsets of halves leave small integers exact."""
    x, w = integers(1, 4, 5, 7) if x is None else x, integers(3, 4, *kernel, seed=1)
    offset = np.ascontiguousarray(offset, F32)
    problem = deform_problem(x.shape, w.shape, 1, mask is not None, "f32", padding=padding)
    return (fastconv.deform_conv2d(x, offset, w, padding=padding, mask=mask),
            reference_deformable.convolution(problem, x, w, None, None, offset, mask))


def offsets(*values, size=(5, 7)):
    """One of the values after the other."""
    return np.resize(np.array(values, F32), (1, 18, *size))


def holes():
    y, new = fastconv.partial_conv2d(np.full((1, 2, 5, 5), NAN, F32), np.zeros((1, 1, 5, 5), F32), ones(3, 2, 3, 3), ones(3))
    return np.concatenate([y, new], 1), np.zeros((1, 4, 3, 3))


def weighted_mask():
    """Shares count as shares: sum of x m w times the window over the sum of m."""
    x, m, w = integers(1, 1, 1, 3), np.array([[[[0.5, 0.25, 0.25]]]], F32), ones(1, 1, 1, 3)
    return fastconv.partial_conv2d(x, m, w)[0], np.array([[[[3 * (x * m).sum()]]]])


def mask_with_nan():
    x, m, w = integers(1, 1, 1, 9), ones(1, 1, 1, 9), ones(1, 1, 1, 3)
    expected = fastconv.partial_conv2d(x, m, w, algorithm="direct")[0]
    m[..., 0] = NAN
    return fastconv.partial_conv2d(x, m, w, algorithm="direct")[0][..., 1:], expected[..., 1:]


def gates(value):
    """A gate of exp(-1000) or exp(1000)."""
    x, w = integers(1, 4, 5, 5), integers(3, 4, 3, 3, seed=1)
    y = fastconv.gated_conv2d(x, w, 0 * w, gate_bias=np.full(3, value, F32), activation=None)
    return y, reference.activate(("none", 0, 0), fastconv.conv2d(x, w)) * (value > 0)


def adjoint():
    x, w, z = integers(2, 4, 5, 6), integers(4, 3, 3, 2, seed=1), integers(2, 3, 10, 12, seed=2)
    y = fastconv.conv_transpose2d(x, w, stride=2, padding=[(1, 0), (0, 0)])
    back = fastconv.conv2d(z, w, stride=2, padding=[(1, 0), (0, 0)])
    assert y.shape == z.shape and back.shape == x.shape
    return np.array((y * z).sum()), np.array((x * back).sum())


def nan_in_channels():
    """The same pixels in 35 channels: in whole vectors and in tails, NaN alike."""
    x = np.broadcast_to(np.array([[1, NAN, 3, 4]], F32), (1, 35, 1, 4))
    first = fastconv.max_pool2d(x, (1, 2))
    last = np.moveaxis(fastconv.max_pool2d(np.moveaxis(x, 1, -1), (1, 2), channels_last=True), -1, 1)
    return np.concatenate([first, last]), np.broadcast_to(np.array([NAN, 4], F32), (2, 35, 1, 2))


def mean_of_a_million():
    x = 1000 + np.random.default_rng(0).random((1, 1, 1000, 1000), F32)
    return fastconv.avg_pool2d(x, 1000) / x.mean(dtype=np.float64) - 1 < 1e-6, np.array([[[[True]]]])


def nearest_stays_inside():
    """Positions that round up to the length of the axis would read beyond it."""
    worst = [fastconv.interpolate(np.arange(n, dtype=F32).reshape(1, 1, n), size=m).max() - (n - 1)
             for n in (3, 7, 29, 61) for m in (1, 2, 5, 9, 41, 997)]
    return np.array(max(worst)), np.array(0)


def beside_infinity(at):
    """The identity takes nothing of the neighbour."""
    x = np.array([[[[1, 2, INF, 4, 5]]]], F32)
    return fastconv.interpolate(x, size=(1, 9), mode="bilinear", align_corners=True)[..., at], x[..., at // 2]


def whole_offsets():
    """One pixel down and two to the right: the convolution of the shifted image."""
    x, w = integers(1, 4, 5, 7), integers(3, 4, 3, 3, seed=1)
    offset = np.empty((1, 18, 5, 7), F32)
    offset[:, ::2], offset[:, 1::2] = 1, 2
    moved = np.pad(x, ((0, 0), (0, 0), (0, 2), (0, 3)))[:, :, 1:6, 2:9]
    y, expected = fastconv.deform_conv2d(x, offset, w, padding=1), fastconv.conv2d(
        np.pad(moved, ((0, 0), (0, 0), (1, 1), (1, 1))), w)
    return y[:, :, 1:, 1:], expected[:, :, 1:, 1:]          # the shifted image has lost its first row and columns


def zero_offsets():
    x, w = integers(1, 4, 5, 7), integers(3, 4, 3, 3, seed=1)
    return fastconv.deform_conv2d(x, np.zeros((1, 18, 5, 7), F32), w, padding=1), fastconv.conv2d(x, w, padding=1)


def strange_offsets():
    offset = offsets(0.5, -1.5, 2)
    wide = np.asfortranarray(np.repeat(offset, 2, -1))[..., ::2]
    wide.flags.writeable = False
    x, w = integers(1, 4, 5, 7), integers(3, 4, 3, 3, seed=1)
    return fastconv.deform_conv2d(x, wide, w, padding=1), fastconv.deform_conv2d(x, offset, w, padding=1)


def corner_of_weight_zero():
    """Offsets of whole pixels beside a NaN: nothing of it is taken."""
    x = ones(1, 1, 3, 3)
    x[0, 0, 1, 1] = NAN
    y = fastconv.deform_conv2d(x, np.zeros((1, 2, 3, 3), F32), ones(1, 1, 1, 1))
    return y, x


def no_boxes(function):
    more = {"offset": np.zeros((0, 2, 2, 2), F32)} if function == "deform_roi_pool" else {}
    y = getattr(fastconv, function)(X, np.zeros((0, 5), F32), output_size=2, **more)
    return y, np.zeros((0, 1 if function.startswith("ps") else 4, 2, 2))


FIRST, INSIDE = np.arange(4, dtype=F32).reshape(1, 1, 4), np.arange(6, dtype=F32).reshape(1, 1, 2, 3)
# id: what is computed, as (result, what it must be)
RIGHT = {
    "70 window that begins outside": lambda: (fastconv.max_pool1d(FIRST, 1, 3, ceil_mode=True), [[[0, 3]]]),
    "70 window that is cut": lambda: (fastconv.avg_pool1d(FIRST[..., :3], 2, ceil_mode=True), [[[0.5, 2]]]),
    "71 NaN in body and tail": nan_in_channels,
    "72 nothing but -infinity": lambda: (fastconv.max_pool2d(-INF * X, 2), -INF * ones(1, 4, 3, 3)),
    "73 divisor negative": lambda: (fastconv.avg_pool2d(X, 2, divisor_override=-4), -ones(1, 4, 3, 3)),
    "74 mean of 1000 x 1000": mean_of_a_million,
    "75 more windows than pixels": lambda: (fastconv.adaptive_max_pool2d(INSIDE, (4, 3)), np.repeat(INSIDE, 2, axis=2)),
    "75 no windows": lambda: (fastconv.adaptive_avg_pool2d(X, 0), np.zeros((1, 4, 0, 0))),
    "79 equal indices": lambda: (fastconv.max_unpool1d(FIRST, np.ones((1, 1, 4), int), 2), [[[0, 3, 0, 0, 0, 0, 0, 0]]]),
    "81 one pixel to many": lambda: (fastconv.interpolate(ones(1, 1, 1, 1), size=5, mode="bilinear", align_corners=True),
                                     ones(1, 1, 5, 5)),
    "81 many to one pixel": lambda: (fastconv.interpolate(FIRST, size=1, mode="linear", align_corners=True), [[[0]]]),
    "83 nearest stays inside": nearest_stays_inside,
    "84 weight zero before infinity": lambda: beside_infinity(2),
    "84 weight zero behind infinity": lambda: beside_infinity(6),
    "87 holes between the taps": lambda: transposed((4, 5), (2, 1), stride=3),
    "87 holes after the taps": lambda: transposed((1, 1), (1, 1), stride=4, output_padding=3),
    "88 padding above the kernel": lambda: transposed((6, 7), (2, 2), padding=2),
    "88 padding on one side": lambda: transposed((6, 7), (2, 2), stride=2, padding=[(5, 0), (0, 7)]),
    "89 output not divisible by stride": lambda: transposed((5, 6), (4, 3), stride=3, padding=1, output_padding=(0, 2)),
    "90 dilation and stride": lambda: transposed((5, 6), (3, 3), stride=2, dilation=3, padding=2, output_padding=2),
    "90 dilation that divides stride": lambda: transposed((5, 6), (3, 2), stride=4, dilation=2, padding=1),
    "91 adjoint": adjoint,
    "92 mask of zeros": holes,
    "93 mask of shares": weighted_mask,
    "93 NaN in a mask": mask_with_nan,
    "94 gate that is shut": lambda: gates(-1000),
    "94 gate that is open": lambda: gates(1000),
    "95 offset that is nowhere": lambda: deformed(offsets(*HOSTILE, 0.5, 1)),
    "96 offset on the border": lambda: deformed(offsets(-1, -0.5, 0, 4, 4.5, 5, 6, 6.5, 7, 0.5, -2)),
    "98 mask above 1": lambda: deformed(offsets(0.5, 1), mask=2 * ones(1, 9, 5, 7)),
    "99 input of one pixel": lambda: deformed(offsets(0.5, -1, 0, 1, size=(1, 1)), ones(1, 4, 1, 1)),
    "99 kernel above the input": lambda: deformed(np.resize(offsets(0.5, -1, 2), (1, 50, 2, 1)), ones(1, 4, 2, 1), (5, 5),
                                                  padding=2),
    "100 offset of other strides": strange_offsets,
    "101 offset of zeros": zero_offsets,
    "102 offset of whole pixels": whole_offsets,
    "103 NaN under a weight of zero": corner_of_weight_zero,
    **{f"107 no boxes, {name}": lambda name=name: no_boxes(name) for name in
       ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_roi_pool")},
}


@pytest.mark.parametrize("row", RIGHT)
def test_right_to_the_bit(row):
    y, expected = RIGHT[row]()
    np.testing.assert_array_equal(y, np.asarray(expected))


DEGENERATE = {"end before start": boxes(4, 4, 1, 1), "no area": boxes(2, 2, 2, 2), "outside": boxes(90, 90, 99, 99),
              "NaN": boxes(NAN, 0, 4, 4), "infinite": boxes(-INF, 0, INF, 4), "1e30": boxes(0, 0, 1e30, 1e30)}


@pytest.mark.parametrize("function", ["roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_roi_pool"])
@pytest.mark.parametrize("box", DEGENERATE, ids=lambda box: f"105 {box}")
def test_degenerate_box_harms_nobody(box, function):
    """Rows 105 and 106: finite, in bounded time, and the box beside it has its own numbers."""
    x = integers(1, 4, 6, 6)
    more = {"offset": np.zeros((2, 2, 2, 2), F32)} if function == "deform_roi_pool" else {}
    if function != "roi_pool" and function != "ps_roi_pool":
        more["sampling_ratio"] = 0              # as many samples as a bin has pixels
    begun = time.perf_counter()
    y = getattr(fastconv, function)(x, np.concatenate([DEGENERATE[box], BOX]), output_size=2, **more)
    assert time.perf_counter() - begun < 2
    more = {name: value[1:] if name == "offset" else value for name, value in more.items()}
    np.testing.assert_array_equal(y[1:], getattr(fastconv, function)(x, BOX, output_size=2, **more))
    assert np.isfinite(y).all()


def test_all_rows_are_here():
    numbers = {int(row.split()[0]) for row in (*WRONG, *RIGHT)} | {105, 106}
    assert numbers == set(range(69, 109))
