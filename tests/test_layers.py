"""Layers: the function with weights packed once, and nothing else that differs."""
import copy
import math
import pickle

import ml_dtypes
import numpy as np
import pytest
from cases import BLOCKED, STEPS, case, every_algorithm, every_row, layout_name, reals

import fastconv
from fastconv.fft_tiles import fft_tiles
from fastconv.plan import make_plan

LAYERED = [*STEPS[::5], case((7, 9), (1, 1), C=6, K=10, N=2), case((7, 9), (3, 3), C=6, K=6, N=2, groups=6, padding=1),
           case((21,), (5,), C=4, K=6, padding=2), case((4, 5, 6), (2, 2, 2), C=3, K=5, groups=1)]


def both(c, channels_last=False, real="f32", **arguments):
    """The layer, the function with its arguments, and data."""
    x, w, bias, residual = reals(c, channels_last).inputs(real)
    arguments = dict(c.arguments) | dict(groups=c.groups, channels_last=channels_last) | arguments
    layer = getattr(fastconv, c.operation.capitalize())(w, bias, **arguments)
    return layer, lambda x, **more: getattr(fastconv, c.operation)(x, w, bias, **arguments, **more), x, residual


@pytest.mark.parametrize("case, channels_last, algorithm", every_algorithm(LAYERED, "f32"))
def test_layer_equals_function_of_same_algorithm(case, channels_last, algorithm):
    layer, function, x, residual = both(case, channels_last, algorithm=algorithm, activation="silu")
    np.testing.assert_array_equal(layer(x), function(x))
    np.testing.assert_array_equal(layer(x), function(x), "the second call takes a shorter way")
    np.testing.assert_array_equal(layer(x, residual), function(x, residual=residual))
    np.testing.assert_array_equal(layer(x[0]), function(x)[0], "without a batch axis")
    np.testing.assert_array_equal(layer(x[0], residual[0]), function(x, residual=residual)[0])
    np.testing.assert_array_equal(layer(x[:0]), function(x)[:0])
    np.testing.assert_array_equal(layer(np.flip(np.flip(x).copy())), function(x))


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
def test_layer_writes_out(channels_last):
    layer, function, x, _ = both(LAYERED[0], channels_last)
    expected = function(x)
    for _ in range(3):                          # the first call, and the shorter way
        for out in (np.full_like(expected, np.nan), np.full((*expected.shape, 2), np.nan, np.float32)[..., 0]):
            assert layer(x, out=out) is out
            np.testing.assert_array_equal(out, expected)
    single = np.empty_like(expected[0])
    assert layer(x[0], out=single) is single
    np.testing.assert_array_equal(single, expected[0])


def test_layer_out_may_overlap_input():
    layer, function, x, _ = both(case((7, 9), (1, 1), C=6, K=6, N=2))
    expected = function(x)
    layer(x)
    pool = np.concatenate([x.ravel(), np.zeros(8, np.float32)])
    layer(pool[:x.size].reshape(x.shape), out=pool[8:].reshape(x.shape))
    np.testing.assert_array_equal(pool[8:].reshape(x.shape), expected)


@pytest.mark.parametrize("algorithm", fastconv.list_algorithms("conv2d"))
def test_later_change_of_weights_does_not_reach_layer(algorithm):
    kernel = (1, 1) if algorithm in ("pointwise", "strassen") else (3, 3)
    groups = {"depthwise": 4, "turned": 4, "rank_one": 4, "grouped": 2}.get(algorithm, 1)
    c = case((5, 6), kernel, C=4, K=4, groups=groups, rank_one=algorithm == "rank_one")
    last = algorithm == "dot"
    x, w, bias, _ = (a.copy() for a in reals(c, last).inputs("f64"))
    layer = fastconv.Conv2d(w, bias, groups=c.groups, algorithm=algorithm, channels_last=last)
    late = fastconv.Conv2d(w, bias, groups=c.groups, algorithm=algorithm, channels_last=last)
    before = layer(x)
    w[...], bias[...] = 0, 0
    np.testing.assert_array_equal(layer(x), before)
    np.testing.assert_array_equal(late(x), before, "packed only after the change")
    assert before.any()


@pytest.mark.parametrize("case, channels_last, algorithm", every_algorithm(LAYERED, "f32"))
def test_pickle_round_trip(case, channels_last, algorithm):
    layer, _, x, _ = both(case, channels_last, algorithm=algorithm)
    expected = layer(x)
    for again in (pickle.loads(pickle.dumps(layer)), copy.copy(layer), copy.deepcopy(layer)):
        np.testing.assert_array_equal(again(x), expected)
        assert repr(again) == repr(layer)


def test_pickle_holds_plain_weights_only():
    """Another machine may pack them otherwise: what was packed here must not travel."""
    w = np.random.default_rng(0).standard_normal((64, 64, 3, 3)).astype(np.float32)
    layer = fastconv.Conv2d(w, padding=1)
    fresh = len(pickle.dumps(layer))
    layer(np.ones((1, 64, 9, 9), np.float32))
    assert len(pickle.dumps(layer)) == fresh < 1.1 * w.nbytes + 2000


@pytest.mark.parametrize("case, channels_last, row, isa, real", every_row(BLOCKED))
def test_packed_weights_are_bounded(case, channels_last, row, isa, real):
    """The weights, rounded up to whole tiles of channels in every group; sums of a transform may take more, spectra as many
    numbers as a tile of the image has, for whole vectors of channels of each depth tap, and an odd number of products.
    Seven products of halves take 7/4, each half of the kernels rounded up by itself, and a scale for every channel."""
    problem = case.problem(real, channels_last, packed=True)
    plan = make_plan(problem, row.name, isa)
    w = reals(case, channels_last).inputs(real)[1]
    tile = max(plan.machine.MR, plan.machine.NR)
    tiles = (problem.K // problem.G + tile - 1) * problem.G * problem.sum_length
    inputs = problem.C // problem.G * math.prod(problem.kernel[:-2])
    growth = 7.2 * (inputs | 1) / inputs if row.alpha else 1
    if row.fourier:
        taps, depth = math.prod(problem.kernel[-2:]), math.prod(problem.kernel[:-2])
        channels = problem.C // problem.G
        whole = channels + plan.machine.lanes if depth > 1 else channels
        growth = 2 * fft_tiles(problem, plan.machine).frequencies / taps * whole / channels
    if row.halves:
        channels = problem.C // problem.G
        growth, tiles = 7 / 4 * (channels + 2) / channels, tiles + 3 * tile * problem.G * (channels + 2)
    packed = plan.pack(w)
    parts = packed if isinstance(packed, tuple) else (packed,)      # of two passes
    assert sum(part.size for part in parts) <= growth * tiles + len(parts) * tile


def test_layer_packs_once_per_order():
    """Inputs of many sizes do not add copies of the weights."""
    layer = fastconv.Conv2d(np.ones((8, 8, 3, 3), np.float32), padding=1)
    for n in range(1, 40):
        layer(np.ones((1, 8, n, n), np.float32))
    plain, winograd = 2 * 9 * 8, (16 + 36) * 9      # numbers of a kernel in both panels; in F(2,3) and F(4,3), padded
    assert sum(a.nbytes for a in layer._packed.values()) <= (plain + winograd) * 32 * 4


def test_explain_of_layer():
    layer = fastconv.Conv2d(np.ones((8, 8, 3, 3), np.float32), padding=1)
    text = layer.explain((2, 8, 20, 20))
    for word in ("conv2d", "(2, 8, 20, 20)", "GFLOP", "workspace", "KiB", "thread", "not direct"):
        assert word in text
    assert layer.explain((8, 20, 20)).splitlines()[0].endswith("(1, 8, 20, 20)")
    for name in set(fastconv.list_algorithms("conv2d")):
        assert name in text
    with pytest.raises(ValueError, match="channels"):
        layer.explain((2, 7, 20, 20))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16, np.int32])
def test_input_of_another_type_refused(dtype):
    layer = fastconv.Conv2d(np.ones((2, 3, 3, 3), np.float32))
    x = np.ones((1, 3, 5, 5), np.float32)
    for _ in range(2):
        with pytest.raises(TypeError, match="input has type"):
            layer(x.astype(dtype))
        layer(x)


def test_layer_accepts_what_the_function_accepts():
    for real in (np.float32, np.float64):
        assert fastconv.Conv3d(np.ones((5, 1, 1, 1, 1), real))(np.ones((1, 2, 2, 2), real)).shape == (5, 2, 2, 2)
        full = fastconv.Conv3d(np.ones((2, 2, 2, 3, 3), real), padding="full")
        assert full(np.ones((2, 2, 2, 2), real)).shape == (2, 3, 4, 4)
    far = fastconv.Conv1d(np.ones((1, 1, 2), np.float32), dilation=2**21)
    assert far(np.ones((1, 1, 2**21 + 3), np.float32)).shape == (1, 1, 3)
    assert fastconv.Conv2d(np.ones((4, 2, 1, 1)), groups=np.int64(2))(np.ones((4, 2, 2))).shape == (4, 2, 2)


def test_layer_says_what_is_wrong_when_it_is_made():
    w = np.ones((4, 2, 3, 3), np.float32)
    for arguments, word in (({"stride": 0}, "stride"), ({"groups": 3}, "groups"), ({"padding": "some"}, "padding"),
                            ({"activation": "swish"}, "activation"), ({"bias": np.ones(3, np.float32)}, "bias"),
                            ({"padding_mode": "mirror"}, "padding_mode"), ({"dilation": -1}, "dilation")):
        with pytest.raises(ValueError, match=word):
            fastconv.Conv2d(w, **arguments)
    with pytest.raises(ValueError, match="weight"):
        fastconv.Conv2d(np.ones((4, 2, 3), np.float32))
    with pytest.raises(TypeError, match="bias"):
        fastconv.Conv2d(w, np.ones(4))


def test_one_layer_for_images_that_different_rows_compute():
    """Weights are packed for each row: two sizes of Winograd's tiles do not read each other's."""
    x, w = np.random.default_rng(0).random((1, 64, 80, 80), np.float32), np.ones((64, 64, 3, 3), np.float32)
    for channels_last in (False, True):
        layer, rows = fastconv.Conv2d(w, padding=1, channels_last=channels_last), set()
        for size in (80, 3, 40, 4, 8, 7, 20, 2, 80):
            image = np.ascontiguousarray(x[:, :, :size, :size])
            image = np.moveaxis(image, 1, -1) if channels_last else image
            rows.add(layer.plan(image.shape).row.name)
            np.testing.assert_allclose(layer(image), fastconv.conv2d(image, w, padding=1, channels_last=channels_last,
                                                                     algorithm="direct"), rtol=1e-4)
        assert len(rows) > 1
