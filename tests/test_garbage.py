"""Every argument of every function, replaced by what nobody should pass: it works, or an error names what does not fit."""
import inspect

import numpy as np
import pytest

import fastconv


def ones(*shape):
    return np.ones(shape, np.float32)


ROW, IMAGE, VOLUME = ones(1, 4, 8), ones(1, 4, 8, 8), ones(1, 4, 5, 6, 7)
WEIGHT, BOXES = ones(4, 4, 3, 3), np.array([[0, 0, 0, 4, 4]], np.float32)
CALLS = {
    "conv1d": (ROW, ones(4, 4, 3)), "conv2d": (IMAGE, WEIGHT), "conv3d": (VOLUME, ones(4, 4, 2, 2, 2)),
    "conv_transpose1d": (ROW, ones(4, 4, 3)), "conv_transpose2d": (IMAGE, WEIGHT),
    "conv_transpose3d": (VOLUME, ones(4, 4, 2, 2, 2)), "deform_conv2d": (IMAGE, ones(1, 18, 6, 6), WEIGHT),
    "gated_conv2d": (IMAGE, WEIGHT, WEIGHT), "partial_conv2d": (IMAGE, ones(1, 1, 8, 8), WEIGHT),
    "separable_conv1d": (ROW, ones(4, 1, 3), ones(5, 4, 1)), "separable_conv2d": (IMAGE, ones(4, 1, 3, 3), ones(5, 4, 1, 1)),
    "spatial_separable_conv2d": (IMAGE, ones(4, 3), ones(4, 3)), "decompose_separable": (ones(3, 3),),
    "max_pool1d": (ROW, 2), "max_pool2d": (IMAGE, 2), "max_pool3d": (VOLUME, 2), "avg_pool1d": (ROW, 2),
    "avg_pool2d": (IMAGE, 2), "avg_pool3d": (VOLUME, 2), "lp_pool1d": (ROW, 2, 2), "lp_pool2d": (IMAGE, 2, 2),
    "lp_pool3d": (VOLUME, 2, 2), "adaptive_avg_pool1d": (ROW, 3), "adaptive_avg_pool2d": (IMAGE, 3),
    "adaptive_avg_pool3d": (VOLUME, 3), "adaptive_max_pool1d": (ROW, 3), "adaptive_max_pool2d": (IMAGE, 3),
    "adaptive_max_pool3d": (VOLUME, 3), "spatial_pyramid_pool2d": (IMAGE, (1, 2)),
    "max_unpool1d": (ROW, np.zeros((1, 4, 8), np.int64), 2), "max_unpool2d": (IMAGE, np.zeros((1, 4, 8, 8), np.int64), 2),
    "max_unpool3d": (VOLUME, np.zeros((1, 4, 5, 6, 7), np.int64), 2), "interpolate": (IMAGE, 5),
    "grid_sample": (IMAGE, ones(1, 3, 3, 2)), "pad": (IMAGE, (1, 1)), "unfold": (IMAGE, 2),
    "fold": (ones(1, 4, 9), (4, 4), 2), "pixel_shuffle": (IMAGE, 2),
    "pixel_unshuffle": (IMAGE, 2), "focus": (IMAGE,), "channel_shuffle": (IMAGE, 2),
    "roi_align": (IMAGE, BOXES, 3), "roi_pool": (IMAGE, BOXES, 3), "ps_roi_align": (IMAGE, BOXES, 2),
    "ps_roi_pool": (IMAGE, BOXES, 2), "deform_roi_pool": (IMAGE, BOXES, ones(1, 2, 3, 3), 3),
    "Conv1d": (ones(4, 4, 3),), "Conv2d": (WEIGHT,), "Conv3d": (ones(4, 4, 2, 2, 2),), "ConvTranspose1d": (ones(4, 4, 3),),
    "ConvTranspose2d": (WEIGHT,), "ConvTranspose3d": (ones(4, 4, 2, 2, 2),), "DeformConv2d": (WEIGHT,),
    "GatedConv2d": (WEIGHT, WEIGHT), "PartialConv2d": (WEIGHT,), "SeparableConv2d": (ones(4, 1, 3, 3), ones(5, 4, 1, 1)),
    "explain": ("conv2d", (1, 4, 8, 8), (4, 4, 3, 3)), "list_algorithms": ("conv2d",), "set_num_threads": (1,),
    "threads": (1,), "validation": (),
}
NOT_CALLED = {"ValidationError", "arithmetic", "autotune", "get_num_threads", "show_config"}      # nothing to get wrong here
ABOUT = ("input", "weight", "shape", "out", "mode", "index")        # what an error may name instead: what does not fit

loop: list = [1]
loop.append(loop)
GARBAGE = (
    None, -1, 0, 2**31, 2**63, 2**70, -2**70, 1.5, float("nan"), float("inf"), True, "a", "", b"x", (), [], (1,), (1, 2),
    (1, 2, 3, 4, 5), ((1, 2), (3, 4)), (-1, -1), (2**40, 2**40), (1.5, 2), (None, None), ("a", "b"), {}, {1: 2}, set(), loop,
    object(), np.array(3), np.array([1, 2]), np.array([1.5, 2]), np.float64(2), np.int64(2), np.bool_(True), 1j, slice(1),
    int, np.zeros(0), np.zeros((1, 4, 8, 8), object), np.zeros((1, 4, 8, 8), "U3"), np.zeros((4, 4, 3, 3), complex),
    np.zeros((2, 2), "M8[s]"), np.empty((1, 4, 0, 8), np.float32), range(2), iter([1, 2]))


def test_every_function_is_called():
    assert {*CALLS, *NOT_CALLED} == set(fastconv.__all__)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_garbage_is_named(name):
    function, arguments = getattr(fastconv, name), CALLS[name]
    before = fastconv.get_num_threads()
    function(*arguments)
    for i, parameter in enumerate(inspect.signature(function).parameters):
        for value in GARBAGE:
            given, named = list(arguments), {}
            if i < len(given):
                given[i] = value
            elif parameter not in ("shapes", "arguments"):
                named[parameter] = value
            try:
                function(*given, **named)
            except (TypeError, ValueError, IndexError) as error:
                assert any(word in str(error) for word in (parameter, *ABOUT)), (parameter, repr(value)[:60], str(error))
    fastconv.set_num_threads(before)
