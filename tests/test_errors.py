"""Hostile arguments end in an exception that names the argument, and leave `out` as it was."""
from functools import partial
from itertools import product

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import fastconv

X, W = np.ones((2, 4, 6, 7), np.float32), np.ones((6, 4, 3, 3), np.float32)
HUGE = 10**30


class Raises:
    def __index__(self):
        raise ValueError("no number today")


class Once:
    """Counts how often it is asked, and answers differently every time."""

    def __init__(self):
        self.asked = 0

    def __index__(self):
        self.asked += 1
        return self.asked


def changed(**arguments):
    """The arguments of a call that is right but for these."""
    return dict(input=X, weight=W) | arguments


def shaped(*shape):
    return np.ones(shape, np.float32)


# id: (arguments, exception, words that the message must hold)
WRONG = {
    "height 0": (changed(input=shaped(2, 4, 0, 7)), ValueError, ["input", "length 0", "(2, 4, 0, 7)"]),
    "no input channels": (changed(input=shaped(2, 0, 6, 7), weight=shaped(6, 0, 3, 3)), ValueError,
                          ["input", "no channels"]),
    "kernel 0": (changed(weight=shaped(6, 4, 0, 3)), ValueError, ["weight", "length 0", "(6, 4, 0, 3)"]),
    "stride 0": (changed(stride=0), ValueError, ["stride", "0"]),
    "stride 0 on one axis": (changed(stride=(1, 0)), ValueError, ["stride[1]", "0"]),
    "stride negative": (changed(stride=-2), ValueError, ["stride", "-2"]),
    "dilation 0": (changed(dilation=0), ValueError, ["dilation", "0"]),
    "dilation negative": (changed(dilation=(-1, 1)), ValueError, ["dilation[0]", "-1"]),
    "groups 0": (changed(groups=0), ValueError, ["groups", "0"]),
    "groups negative": (changed(groups=-1), ValueError, ["groups", "-1"]),
    "groups not dividing C": (changed(groups=3), ValueError, ["groups=3", "4 input channels"]),
    "groups not dividing K": (changed(groups=4, weight=shaped(6, 1, 3, 3)), ValueError, ["groups=4", "6 output channels"]),
    "groups above C": (changed(groups=8, weight=shaped(8, 1, 3, 3)), ValueError, ["groups=8"]),
    "weight channels": (changed(weight=shaped(6, 5, 3, 3)), ValueError, ["weight", "4 channels", "5"]),
    "padding negative": (changed(padding=-1), ValueError, ["padding", "-1"]),
    "padding negative in a pair": (changed(padding=[(1, 1), (0, -2)]), ValueError, ["padding[1][1]", "-2"]),
    "kernel above padded input": (changed(weight=shaped(6, 4, 9, 3), padding=1), ValueError, ["9", "8", "padding"]),
    "dilated kernel above input": (changed(dilation=3), ValueError, ["dilation=3", "7", "6"]),
    "padding empty": (changed(padding=[]), ValueError, ["padding", "[]"]),
    "padding too long": (changed(padding=(1, 2, 3)), ValueError, ["padding", "(1, 2, 3)"]),
    "padding a single pair": (changed(padding=[(1, 2)]), ValueError, ["padding", "[(1, 2)]"]),
    "padding pairs of three": (changed(padding=[(1, 2, 3), (1, 2, 3)]), ValueError, ["padding"]),
    "padding nested deeper": (changed(padding=[((1,), 1), (1, 1)]), TypeError, ["padding"]),
    "padding half nested": (changed(padding=[(1, 1), 1]), ValueError, ["padding"]),
    "padding name": (changed(padding="SAME"), ValueError, ["padding='SAME'", "same_lower"]),
    "padding bytes": (changed(padding=b"same"), TypeError, ["padding"]),
    "padding None": (changed(padding=None), TypeError, ["padding", "None"]),
    "padding float": (changed(padding=1.0), TypeError, ["padding", "1.0"]),
    "padding_mode": (changed(padding_mode="constant"), ValueError, ["padding_mode='constant'", "replicate"]),
    "stride too long": (changed(stride=(1, 1, 1)), ValueError, ["stride", "(1, 1, 1)"]),
    "stride empty": (changed(stride=()), ValueError, ["stride"]),
    "stride float": (changed(stride=2.0), TypeError, ["stride", "2.0"]),
    "stride bool": (changed(stride=True), TypeError, ["stride", "True"]),
    "stride numpy bool": (changed(stride=np.True_), TypeError, ["stride"]),
    "stride None": (changed(stride=None), TypeError, ["stride", "None"]),
    "stride str": (changed(stride="2"), TypeError, ["stride", "'2'"]),
    "groups float": (changed(groups=2.0), TypeError, ["groups", "2.0"]),
    "groups tuple": (changed(groups=(1,)), TypeError, ["groups"]),
    "input of rank 2": (changed(input=shaped(6, 7)), ValueError, ["input", "(6, 7)"]),
    "input of rank 5": (changed(input=shaped(2, 4, 6, 7, 1)), ValueError, ["input", "(2, 4, 6, 7, 1)"]),
    "input of rank 0": (changed(input=np.float32(1)), ValueError, ["input", "()"]),
    "weight of rank 3": (changed(weight=shaped(6, 4, 3)), ValueError, ["weight", "(6, 4, 3)"]),
    "weight of rank 0": (changed(weight=np.float32(1)), ValueError, ["weight", "()"]),
    "bias too long": (changed(bias=shaped(7)), ValueError, ["bias", "(6,)", "(7,)"]),
    "bias of rank 0": (changed(bias=np.float32(1)), ValueError, ["bias", "()"]),
    "bias of rank 2": (changed(bias=shaped(6, 1)), ValueError, ["bias", "(6, 1)"]),
    "bias of another type": (changed(bias=np.ones(6)), TypeError, ["bias", "float64", "float32"]),
    "weight of another type": (changed(weight=W.astype(float)), TypeError, ["weight", "float64", "float32"]),
    "residual of another type": (changed(residual=np.ones((2, 6, 4, 5))), TypeError, ["residual", "float64"]),
    "residual of another shape": (changed(residual=shaped(2, 6, 4, 4)), ValueError,
                                  ["residual", "(2, 6, 4, 5)", "(2, 6, 4, 4)"]),
    "residual that would broadcast": (changed(residual=shaped(1, 6, 4, 5)), ValueError, ["residual"]),
    "masked values": (changed(input=np.ma.masked_equal(np.arange(336.0).reshape(2, 4, 6, 7), 3)), TypeError,
                      ["input", "masked"]),
    "algorithm": (changed(algorithm="fast"), ValueError, ["algorithm='fast'", *fastconv.list_algorithms("conv2d")]),
    "algorithm that refuses": (changed(algorithm="depthwise"), ValueError, ["algorithm='depthwise'", "(6, 4, 3, 3)"]),
    "activation": (changed(activation="swish"), ValueError, ["activation='swish'", "silu"]),
    "activation number": (changed(activation=3), TypeError, ["activation", "3"]),
    "activation empty": (changed(activation=()), TypeError, ["activation", "()"]),
    "clip without bounds": (changed(activation="clip"), ValueError, ["activation='clip'"]),
    "clip with one bound": (changed(activation=("clip", 1)), ValueError, ["activation=('clip', 1)"]),
    "clip reversed": (changed(activation=("clip", 1, 0)), ValueError, ["activation", "lower bound"]),
    "clip of NaN": (changed(activation=("clip", float("nan"), 0)), ValueError, ["activation"]),
    "slope str": (changed(activation=("leaky_relu", "steep")), TypeError, ["activation"]),
    "slope beyond floats": (changed(activation=("leaky_relu", 10**400)), ValueError, ["activation"]),
    "output too large": (changed(padding=2**31 - 1), ValueError, ["too large", "padding"]),
}
for size in (2**31, 2**32, 2**40, 2**62, 2**63, 2**64, HUGE):
    for name in ("stride", "padding", "dilation", "groups"):
        WRONG[f"{name} {size}"] = (changed(**{name: size}), ValueError, [name, str(size)])
for dtype in ("int32", "int8", "uint8", "bool", "complex64", "object", "longdouble", "datetime64[s]", "f4,f4"):
    WRONG[f"input {dtype}"] = (changed(input=np.zeros(X.shape, dtype)), TypeError, ["input", "float32", "float64"])
    WRONG[f"weight {dtype}"] = (changed(weight=np.zeros(W.shape, dtype)), TypeError, ["weight"])
WRONG["input str"] = (changed(input=np.full(X.shape, "1")), TypeError, ["input"])
WRONG["input None"] = (changed(input=None), TypeError, ["input"])
WRONG["weight None"] = (changed(weight=None), TypeError, ["weight"])
WRONG["input ragged"] = (changed(input=[[1.0], [1.0, 2.0]]), TypeError, ["input"])
WRONG["integers advised towards float64"] = (changed(input=np.zeros(X.shape, "int64")), TypeError, ["numpy.float64"])
WRONG["__index__ raises"] = (changed(stride=Raises()), ValueError, ["no number today"])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_argument(name):
    arguments, exception, words = WRONG[name]
    out = np.full((2, 6, 4, 5), -7, np.float32)
    for extra in ({}, {"out": out}):
        with pytest.raises(exception) as caught:
            fastconv.conv2d(**arguments, **extra)
        assert type(caught.value) is exception
        for word in words:
            assert word in str(caught.value)
    assert (out == -7).all(), "out was written"


@pytest.mark.parametrize("name", ["padding_mode", "algorithm", "activation", "stride", "groups"])
def test_unhashable_argument_named(name):
    """Arguments are keys of caches; a list must not end in "unhashable type"."""
    value = {"stride": np.array([1.5, 1.5]), "activation": [["relu"]]}.get(name, [[]])
    with pytest.raises((TypeError, ValueError)) as caught:
        fastconv.conv2d(X, W, **{name: value})
    assert name in str(caught.value)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_argument_of_layer(name):
    """At construction, or at the latest in the first call."""
    arguments, exception, _ = WRONG[name]
    rest = dict(arguments)
    x, residual = rest.pop("input"), rest.pop("residual", None)
    out = np.full((2, 6, 4, 5), -7, np.float32)
    with pytest.raises(exception):
        fastconv.Conv2d(**rest)(x, residual=residual, out=out)
    assert (out == -7).all(), "out was written"


OUTS = {"shape": (np.zeros((2, 6, 4, 4), np.float32), ValueError), "type": (np.zeros((2, 6, 4, 5)), ValueError),
        "byte order": (np.zeros((2, 6, 4, 5), np.dtype(np.float32).newbyteorder()), ValueError),
        "rank": (np.zeros((6, 4, 5), np.float32), ValueError), "list": ([[0.0]], TypeError), "number": (3.0, TypeError),
        "masked": (np.ma.zeros((2, 6, 4, 5), np.float32), TypeError),
        "stride 0": (as_strided(np.zeros(120, np.float32), (2, 6, 4, 5), (0, 80, 20, 4)), ValueError),
        "overlapping": (as_strided(np.zeros(400, np.float32), (2, 6, 4, 5), (480, 80, 16, 4)), ValueError)}
OUTS["read-only"] = np.zeros((2, 6, 4, 5), np.float32), ValueError
OUTS["read-only"][0].flags.writeable = False


@pytest.mark.parametrize("name", OUTS)
def test_wrong_out(name):
    out, exception = OUTS[name]
    for _ in range(2):
        with pytest.raises(exception, match="out"):
            fastconv.conv2d(X, W, out=out)
        layer = fastconv.Conv2d(W)
        layer(X)                                # from now on the layer takes its shorter way
        with pytest.raises(exception, match="out"):
            layer(X, out=out)
    assert not np.any(np.asarray(out) == 36), "out was written"


def test_index_is_asked_once():
    stride = Once()
    fastconv.conv2d(X, W, stride=stride)
    assert stride.asked == 1


def test_integers_of_every_kind_accepted():
    plain = fastconv.conv2d(X, W, stride=2, padding=1, groups=1)
    for kind in (np.int8, np.int64, np.uint32, np.uint64):
        np.testing.assert_array_equal(fastconv.conv2d(X, W, stride=kind(2), padding=[kind(1)] * 2, groups=kind(1)), plain)
    np.testing.assert_array_equal(fastconv.conv2d(X, W, stride=np.array([2, 2]), padding=np.array([[1, 1], [1, 1]])), plain)
    np.testing.assert_array_equal(fastconv.conv2d(X, W, stride=[2, 2], padding=[[1, 1], (1, 1)]), plain)
    np.testing.assert_array_equal(fastconv.conv2d(X, W, stride=np.array(2), padding=1), plain)


def test_pair_of_ints_refused_in_one_dimension():
    with pytest.raises(ValueError, match="padding"):
        fastconv.conv1d(shaped(1, 2, 9), shaped(3, 2, 3), padding=(1, 2))
    assert fastconv.conv1d(shaped(1, 2, 9), shaped(3, 2, 3), padding=[(1, 2)]).shape == (1, 3, 10)


def test_empty_batch_and_no_kernels_give_empty_results():
    out = np.empty((0, 6, 4, 5), np.float32)
    assert fastconv.conv2d(X[:0], W, out=out) is out
    assert fastconv.conv2d(X[:0], W, stride=2, padding=1, residual=shaped(0, 6, 3, 4)).shape == (0, 6, 3, 4)
    assert fastconv.conv2d(X, W[:0]).shape == (2, 0, 4, 5)
    assert fastconv.conv2d(X, W[:0], shaped(0), channels_last=False).dtype == np.float32
    assert fastconv.Conv2d(W)(X[:0]).shape == (0, 6, 4, 5)
    with pytest.raises(ValueError, match="stride"):
        fastconv.conv2d(X[:0], W, stride=0)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("row", ["auto", *fastconv.list_algorithms("conv2d")])
def test_every_row_takes_nothing(row, channels_last):
    """A batch of none, and no kernels, are convolved or refused by name, as function and layer, combined or not."""
    results = 0
    for N, K, groups, taps in product((0, 2), (0, 6), (1, 2), (1, 3, 9)):
        if N and K:
            continue
        x, w = np.ones((N, 12, 12, 2) if channels_last else (N, 2, 12, 12)), np.ones((K, 2 // groups, taps, taps))
        m = x[..., :1] if channels_last else x[:, :1]
        more = dict(groups=groups, channels_last=channels_last, algorithm=row)
        for call in (partial(fastconv.conv2d, x, w, **more), partial(fastconv.Conv2d(w, **more), x),
                     partial(fastconv.gated_conv2d, x, w, w, **more), partial(fastconv.GatedConv2d(w, w, **more), x),
                     partial(fastconv.partial_conv2d, x, m, w, **more), partial(fastconv.PartialConv2d(w, **more), x, m)):
            try:
                y = call()
            except ValueError as error:
                assert row != "auto" and row in str(error)
                continue
            y = y[0] if isinstance(y, tuple) else y
            size = 13 - taps
            assert y.shape == ((N, size, size, K) if channels_last else (N, K, size, size))
            results += 1
    assert results or row in (("small", "staged", "turned", "rank_one") if channels_last else ("dot",))


def test_result_too_large_for_memory():
    """256 TiB: more than any address space holds."""
    with pytest.raises(MemoryError):
        fastconv.conv2d(np.broadcast_to(np.float32(1), (1, 1, 1 << 23, 1 << 23)), shaped(1, 1, 1, 1))
    assert fastconv.conv2d(X, W).max() == 36


def test_broadcast_input():
    small = np.broadcast_to(np.float32(2), X.shape)
    np.testing.assert_array_equal(fastconv.conv2d(small, W), fastconv.conv2d(small.copy(), W))


def test_failed_call_leaves_the_next_one_right():
    before = fastconv.conv2d(X, W)
    for arguments, exception, _ in WRONG.values():
        with pytest.raises(exception):
            fastconv.conv2d(**arguments)
    np.testing.assert_array_equal(fastconv.conv2d(X, W), before)


class Foreign:
    """An array of another library: seen through one protocol only."""

    def __init__(self, array, protocol):
        self.array, self.asked = array, 0
        if protocol == "__array__":
            self.__class__ = type("Foreign", (Foreign,), {"__array__": lambda self, *a, **k: self.once()})
        elif protocol == "__dlpack__":
            self.__class__ = type("Foreign", (Foreign,), {"__dlpack__": lambda self, **k: self.array.__dlpack__(**k),
                                                          "__dlpack_device__": lambda self: self.array.__dlpack_device__()})
        else:
            self.__array_interface__ = array.__array_interface__

    def once(self):
        self.asked += 1
        return self.array if self.asked == 1 else np.zeros((1,))


@pytest.mark.parametrize("protocol", ["__array__", "__dlpack__", "__array_interface__"])
def test_arrays_of_other_libraries(protocol):
    np.testing.assert_array_equal(fastconv.conv2d(Foreign(X, protocol), Foreign(W, protocol)), fastconv.conv2d(X, W))


def test_subclasses_of_arrays(tmp_path):
    plain = fastconv.conv2d(X, W)
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=X.shape)
    mapped[...] = X
    result = fastconv.conv2d(mapped, W)
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, plain)
    np.testing.assert_array_equal(fastconv.conv2d(np.ma.masked_array(X), W), plain)
    line = fastconv.conv1d(X[0, 0].view(np.matrix), shaped(2, 6, 3))
    assert type(line) is np.ndarray and line.shape == (2, 5)
