"""deform_conv2d and DeformConv2d: any array, any wrong argument, layers that predict their offsets."""
import copy
import pickle

import ml_dtypes
import numpy as np
import pytest
from cases import arrange, layout_name
from deformed import BLOCKED, GROUPS, ROWS, STEPS, Case, every, reals

import fastconv
from fastconv import plan as plans


def test_arrays_of_any_make():
    case = Case((6, 7), (3, 3), C=6, K=4, N=2, groups=2, offset_groups=3, padding=1)
    x, w, b, r, o, m = reals(case).inputs("f32", False)
    expected = fastconv.deform_conv2d(x, o, w, b, 1, 1, 1, m, residual=r)

    def forms(a):
        yield np.flip(np.flip(a).copy())
        yield a.astype(a.dtype.newbyteorder())
        yield np.asfortranarray(a)
        yield np.repeat(a, 2, axis=-1)[..., ::2]
        packed = np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape)
        packed.flags.writeable = False
        yield packed
    for form in zip(*map(forms, (x, o, w, b, m, r))):
        before = [a.copy() for a in form]
        x2, o2, w2, b2, m2, r2 = form
        np.testing.assert_array_equal(fastconv.deform_conv2d(x2, o2, w2, b2, 1, 1, 1, m2, residual=r2), expected)
        assert all(np.array_equal(a, c) for a, c in zip(form, before)), "an input was changed"


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
def test_short_floats_computed_in_float32(dtype):
    case = Case((6, 7), (3, 3), C=6, K=5, padding=1)
    x, w, b, _, o, m = (a.astype(dtype) for a in reals(case).inputs("f32", False))
    y = fastconv.deform_conv2d(x, o, w, b, 1, 1, 1, m)
    wide = fastconv.deform_conv2d(*(a.astype(np.float32) for a in (x, o, w, b)), 1, 1, 1, m.astype(np.float32))
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, wide.astype(dtype))
    layer = fastconv.DeformConv2d(w, b, 1, 1)
    np.testing.assert_array_equal(layer(x, o, m), y)
    predicting = fastconv.DeformConv2d(w, b, 1, 1, offset_weight=np.full((18, 6, 3, 3), 0.125, dtype))
    assert predicting(x).dtype == dtype


def test_out_is_written_and_may_overlap():
    case = Case((6, 7), (3, 3), C=4, K=4, N=2, padding=1)
    x, w, b, _, o, _ = reals(case).inputs("f32", False)
    expected = fastconv.deform_conv2d(x, o, w, b, 1, 1)
    layer = fastconv.DeformConv2d(w, b, 1, 1)
    for call in (lambda x, o, out: fastconv.deform_conv2d(x, o, w, b, 1, 1, out=out),
                 lambda x, o, out: layer(x, o, out=out)):
        for out in (np.full_like(expected, np.nan), np.full((*expected.shape, 2), np.nan, np.float32)[..., 0]):
            assert call(x, o, out) is out
            np.testing.assert_array_equal(out, expected)
        image = x.copy()
        assert call(image, o, image) is image
        np.testing.assert_array_equal(image, expected)
        shifts = o.copy()
        out = shifts.ravel()[5:5 + expected.size].reshape(expected.shape)
        call(x, shifts, out)
        np.testing.assert_array_equal(out, expected)


X, O, M, W = (np.ones(shape, np.float32) for shape in ((2, 4, 6, 7), (2, 36, 4, 5), (2, 18, 4, 5), (6, 2, 3, 3)))


def shaped(*shape):
    return np.ones(shape, np.float32)


# name: (arguments that are wrong, exception, words that the message must hold)
WRONG = {
    "offset of other channels": (dict(offset=shaped(2, 35, 4, 5)), ValueError, ["offset", "18", "35"]),
    "offset without channels": (dict(offset=shaped(2, 0, 4, 5)), ValueError, ["offset", "18", "0"]),
    "offset groups not dividing C": (dict(offset=shaped(2, 54, 4, 5)), ValueError, ["3 offset groups", "4"]),
    "offset groups above C": (dict(offset=shaped(2, 144, 4, 5)), ValueError, ["8 offset groups", "4"]),
    "offset of another size": (dict(offset=shaped(2, 36, 6, 7)), ValueError, ["offset", "(2, 36, 4, 5)", "(2, 36, 6, 7)"]),
    "offset of another batch": (dict(offset=shaped(1, 36, 4, 5)), ValueError, ["offset", "(2, 36, 4, 5)"]),
    "offset without batch": (dict(offset=shaped(36, 4, 5)), ValueError, ["offset", "(36, 4, 5)"]),
    "offset of rank 0": (dict(offset=np.float32(1)), ValueError, ["offset", "()"]),
    "offset None": (dict(offset=None), TypeError, ["offset"]),
    "offset int": (dict(offset=O.astype(np.int32)), TypeError, ["offset", "int32"]),
    "offset of another type": (dict(offset=O.astype(float)), TypeError, ["offset", "float64"]),
    "offset masked": (dict(offset=np.ma.masked_equal(np.resize(np.float32([1, 3]), O.shape), 3)), TypeError,
                      ["offset", "masked"]),
    "mask of other channels": (dict(mask=shaped(2, 9, 4, 5)), ValueError, ["mask", "(2, 18, 4, 5)", "(2, 9, 4, 5)"]),
    "mask that would broadcast": (dict(mask=shaped(1, 18, 4, 5)), ValueError, ["mask", "(1, 18, 4, 5)"]),
    "mask of rank 3": (dict(mask=shaped(18, 4, 5)), ValueError, ["mask", "(18, 4, 5)"]),
    "mask of another type": (dict(mask=M.astype(float)), TypeError, ["mask", "float64"]),
    "mask bool": (dict(mask=M > 0), TypeError, ["mask", "bool"]),
    "weight channels": (dict(weight=shaped(6, 3, 3, 3)), ValueError, ["weight", "3 channels", "4"]),
    "weight without channels": (dict(weight=shaped(6, 0, 3, 3)), ValueError, ["weight"]),
    "weight of more channels": (dict(weight=shaped(6, 8, 3, 3)), ValueError, ["weight", "8"]),
    "groups not dividing K": (dict(weight=shaped(5, 2, 3, 3)), ValueError, ["groups=2", "5 output channels"]),
    "weight of rank 3": (dict(weight=shaped(6, 2, 3)), ValueError, ["weight", "(6, 2, 3)"]),
    "kernel 0": (dict(weight=shaped(6, 2, 0, 3)), ValueError, ["weight", "length 0"]),
    "kernel above input": (dict(weight=shaped(6, 2, 9, 1)), ValueError, ["9", "6"]),
    "input of rank 5": (dict(input=shaped(1, 2, 4, 6, 7)), ValueError, ["input", "(1, 2, 4, 6, 7)"]),
    "input of height 0": (dict(input=shaped(2, 4, 0, 7)), ValueError, ["input", "length 0"]),
    "bias": (dict(bias=shaped(5)), ValueError, ["bias", "(6,)", "(5,)"]),
    "residual": (dict(residual=shaped(2, 6, 4, 4)), ValueError, ["residual", "(2, 6, 4, 5)"]),
    "stride 0": (dict(stride=0), ValueError, ["stride"]),
    "stride float": (dict(stride=1.0), TypeError, ["stride"]),
    "padding negative": (dict(padding=-1), ValueError, ["padding"]),
    "dilation huge": (dict(dilation=2**40), ValueError, ["dilation"]),
    "algorithm": (dict(algorithm="im2col"), ValueError, ["algorithm='im2col'", *(row.name for row in ROWS)]),
    "activation": (dict(activation="swish"), ValueError, ["activation"]),
    "out of another shape": (dict(out=shaped(2, 6, 4, 4)), ValueError, ["out"]),
    "out of another type": (dict(out=np.ones((2, 6, 4, 5))), ValueError, ["out"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_argument(name):
    wrong, exception, words = WRONG[name]
    out = np.full((2, 6, 4, 5), -7, np.float32)
    rest = dict(input=X, offset=O, mask=M, weight=W, out=out) | wrong
    with pytest.raises(exception) as caught:
        fastconv.deform_conv2d(**rest)
    assert type(caught.value) is exception and all(word in str(caught.value) for word in words), caught.value
    assert (out == -7).all()
    call = {key: rest.pop(key) for key in ("input", "offset", "mask", "residual", "out") if key in rest}
    with pytest.raises(exception):
        fastconv.DeformConv2d(**rest)(**call)


def predictors(rng, taps=9, C=4, OG=2, dtype=np.float32):
    return dict(offset_weight=rng.standard_normal((2 * OG * taps, C, 3, 3)).astype(dtype) / 4,
                offset_bias=rng.standard_normal(2 * OG * taps).astype(dtype),
                mask_weight=rng.standard_normal((OG * taps, C, 3, 3)).astype(dtype),
                mask_bias=rng.standard_normal(OG * taps).astype(dtype))


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 2)])
def test_layer_predicts_offsets_and_masks(channels_last, stride, dilation):
    rng = np.random.default_rng(5)
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 4, 9, 10), (6, 2, 3, 3), (6,)))
    x, given = arrange(x, channels_last), predictors(rng)
    where = dict(stride=stride, padding=1, dilation=dilation, channels_last=channels_last)
    offset = fastconv.conv2d(x, given["offset_weight"], given["offset_bias"], **where)
    mask = fastconv.conv2d(x, given["mask_weight"], given["mask_bias"], **where, activation="sigmoid")
    expected = fastconv.deform_conv2d(x, offset, w, b, mask=mask, **where, activation="relu")
    layer = fastconv.DeformConv2d(w, b, **where, activation="relu", **given)
    y = layer(x)
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)      # unpacked, another row may predict
    np.testing.assert_allclose(layer(x[0]), y[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(layer(x, residual=np.zeros_like(y)), y)
    for again in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        np.testing.assert_array_equal(again(x), y)
        assert repr(again) == repr(layer)
    given["offset_weight"][...] = 0
    w[...] = 0
    np.testing.assert_array_equal(layer(x), y)
    only = fastconv.DeformConv2d(w + 1, b, **where, offset_weight=given["offset_weight"], offset_bias=given["offset_bias"])
    assert only(x).shape == y.shape
    text = layer.explain(x.shape)
    assert text.count("algorithm") == 3 and "deform_conv2d" in text


@pytest.mark.parametrize("case, channels_last, row", every([*STEPS[::4], *GROUPS, *BLOCKED]))
def test_layer_equals_function(case, channels_last, row):
    x, w, b, r, o, m = reals(case).inputs("f32", channels_last)
    arguments = case.arguments | dict(channels_last=channels_last, algorithm=row.name)
    layer = fastconv.DeformConv2d(w, b, **arguments)
    np.testing.assert_array_equal(layer(x, o, m, r), fastconv.deform_conv2d(x, o, w, b, mask=m, residual=r, **arguments))
    np.testing.assert_array_equal(layer(x[0], o[0]), fastconv.deform_conv2d(x, o, w, b, **arguments)[0])


def test_layer_serves_inputs_of_any_groups():
    """The same weights are packed otherwise when the input has more channels."""
    rng = np.random.default_rng(1)
    w = rng.standard_normal((6, 2, 3, 3)).astype(np.float32)
    layer = fastconv.DeformConv2d(w, padding=1)
    for C in (2, 4, 6, 2):
        x, o = rng.standard_normal((1, C, 5, 6)).astype(np.float32), rng.standard_normal((1, 18, 5, 6)).astype(np.float32)
        np.testing.assert_array_equal(layer(x, o), fastconv.deform_conv2d(x, o, w, padding=1))


def test_layer_refuses_what_does_not_fit():
    rng = np.random.default_rng(5)
    w, given = np.ones((6, 2, 3, 3), np.float32), predictors(rng)
    for wrong, words in ((dict(offset_weight=None), ["offset_bias", "offset_weight"]),
                         (dict(offset_weight=None, offset_bias=None), ["mask_weight", "offset_weight"]),
                         (dict(mask_weight=None), ["mask_bias", "mask_weight"]),
                         (dict(offset_weight=shaped(35, 4, 3, 3)), ["offset_weight", "(35, 4, 3, 3)"]),
                         (dict(offset_weight=shaped(36, 4, 1, 1)), ["offset_weight", "(36, 4, 1, 1)"]),
                         (dict(offset_weight=shaped(36, 3, 3, 3)), ["offset_weight", "multiple of 2"]),
                         (dict(offset_weight=shaped(0, 4, 3, 3)), ["offset_weight", "(0, 4, 3, 3)"]),
                         (dict(offset_weight=shaped(54, 4, 3, 3)), ["offset_weight", "(54, 4, 3, 3)"]),
                         (dict(mask_weight=shaped(9, 4, 3, 3)), ["mask_weight", "(18, 4, 3, 3)"]),
                         (dict(offset_bias=shaped(35)), ["offset_bias", "(36,)"]),
                         (dict(mask_bias=shaped(1)), ["mask_bias", "(18,)"])):
        with pytest.raises(ValueError) as caught:
            fastconv.DeformConv2d(w, **given | wrong)
        assert all(word in str(caught.value) for word in words), caught.value
    with pytest.raises(TypeError, match="mask_bias"):
        fastconv.DeformConv2d(w, **given | dict(mask_bias=np.ones(18)))
    with pytest.raises(TypeError, match="offset is missing"):
        fastconv.DeformConv2d(w)(X)
    with pytest.raises(ValueError, match="predicts it"):
        fastconv.DeformConv2d(w, **given)(X, O)
    with pytest.raises(ValueError, match="predicts it"):
        fastconv.DeformConv2d(w, **given)(X, mask=M)
    with pytest.raises(TypeError, match="float64"):
        fastconv.DeformConv2d(w, **given)(X.astype(float))


def test_validation_finds_a_wrong_element(monkeypatch):
    with fastconv.validation():
        y = fastconv.deform_conv2d(X, O, W, mask=M)
    compute = plans.Plan.run

    def wrong(self, x, weight, bias, residual, y, *more):
        compute(self, x, weight, bias, residual, y, *more)
        y.flat[17] += 0.5
    monkeypatch.setattr(plans.Plan, "run", wrong)
    assert fastconv.deform_conv2d(X, O, W, mask=M).flat[17] == y.flat[17] + 0.5
    with fastconv.validation(), pytest.raises(fastconv.ValidationError, match=r"deform_conv2d.*element \(0, 0, 3, 2\)"):
        fastconv.deform_conv2d(X, O, W, mask=M)


def test_explain():
    text = fastconv.explain("deform_conv2d", (1, 64, 56, 56), (64, 64, 3, 3), padding=1, offset_groups=4, mask=True)
    assert "deform_conv2d of (1, 64, 56, 56) float32" in text and ROWS[0].summary in text
    assert "groups" not in fastconv.explain("deform_conv2d", (64, 56, 56), (64, 16, 3, 3), groups=4)
    for operation, wrong, word in (("deform_conv2d", dict(groups=2), "groups"),
                                   ("deform_conv2d", dict(offset_groups=5), "5"),
                                   ("deform_conv2d", dict(padding_mode="reflect"), "padding_mode"),
                                   ("conv2d", dict(mask=True), "mask"), ("conv2d", dict(offset_groups=2), "offset_groups")):
        with pytest.raises(ValueError, match=word):
            fastconv.explain(operation, (1, 64, 56, 56), (64, 64, 3, 3), **wrong)
