"""Deformable convolution against its formula and against conv2d, on every instruction set, whatever the offsets."""
from dataclasses import replace
from itertools import product
from math import floor

import numpy as np
import pytest
from cases import arrange, every_build, gamma, layout_name, unit
from deformed import BLOCKED, EVERY, GROUPS, PADDINGS, ROWS, SHAPES, STEPS, TAILS, Case, every, quarters, reals, run, seeded

import fastconv
from fastconv import plan as plans
from fastconv import reference_deformable
from fastconv.blocks import WORKSPACE
from fastconv.plan import NUMPY_REAL, make_plan

NOWHERE = (np.nan, np.inf, -np.inf, 1e10, -1e10, 3e38, -3e38, 2.0**31, -(2.0**31), 2.0**62, 1e30)


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("case, channels_last, row", every(EVERY))
def test_quarter_pixels_exact(case, channels_last, row, isa, real):
    for packed in (False, True):
        y = run(case, row, isa, real, channels_last, quarters(case), packed)
        np.testing.assert_array_equal(y, quarters(case).y)


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("case, channels_last, row", every(EVERY[::2]))
def test_error_within_bound(case, channels_last, row, isa, real):
    """A sample has 8 roundings besides those of the sum: two for each share and mask, one for each corner."""
    data, n = reals(case), case.problem().sum_length + 10
    error = np.abs(run(case, row, isa, real, channels_last, data) - data.y)
    assert (error <= (gamma(n, unit(NUMPY_REAL[real])) * row.error + gamma(n, unit(float))) * data.magnitude).all()


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("blocks", [(16, 1, 32), (16, 12, 32), (48, 13, 64), (10**6, 7, 32)], ids=str)
@pytest.mark.parametrize("case", BLOCKED, ids=str)
def test_blocks_change_no_bit(case, blocks, channels_last, monkeypatch):
    expected = run(case, ROWS[0], None, "f32", channels_last, reals(case))

    def sized(p, m, threads, before=plans.BLOCKS["deform"]):
        length = p.C * p.taps
        chunk = min(length, blocks[0]) if p.G == 1 else p.C * max(1, min(p.taps, blocks[0] // p.C))
        return before(p, m, threads) | {"chunk": chunk, "pixel_block": blocks[1], "channel_block": blocks[2]}
    monkeypatch.setitem(plans.BLOCKS, "deform", sized)
    monkeypatch.setattr(plans, "_plans", plans.OrderedDict())
    for packed in (False, True):
        np.testing.assert_array_equal(run(case, ROWS[0], None, "f32", channels_last, reals(case), packed), expected)


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("case", [*GROUPS, *BLOCKED], ids=str)
def test_threads_and_batch_change_no_bit(case, channels_last):
    x, w, b, r, o, m = reals(case).inputs("f32", channels_last)
    arguments = case.arguments | dict(channels_last=channels_last)
    with fastconv.threads(1):
        expected = fastconv.deform_conv2d(x, o, w, b, mask=m, residual=r, **arguments)
    for threads in (2, 3, 16):
        with fastconv.threads(threads):
            np.testing.assert_array_equal(fastconv.deform_conv2d(x, o, w, b, mask=m, residual=r, **arguments), expected)
    for n in range(case.N):
        alone = fastconv.deform_conv2d(x[n], o[n], w, b, mask=m[n], residual=r[n], **arguments)
        np.testing.assert_array_equal(alone, expected[n])
    assert fastconv.deform_conv2d(x[:0], o[:0], w, b, mask=m[:0], **arguments).shape == (0, *expected.shape[1:])


def test_images_in_rounds():
    """Images that are turned to channels last one by one, since two of them would take too much memory."""
    case = Case((130, 131), (1, 1), C=66, K=3, N=3)
    p, rng = case.problem(), seeded(case)
    x, w, o, m = (rng.standard_normal(shape).astype(np.float32) for shape in
                  (p.input_shape, p.weight_shape, p.offset_shape, p.mask_shape))
    expected = np.concatenate([fastconv.deform_conv2d(x[n:n + 1], o[n:n + 1], w, mask=m[n:n + 1]) for n in range(3)])
    for threads in (1, 2, 3):
        with fastconv.threads(threads):
            np.testing.assert_array_equal(fastconv.deform_conv2d(x, o, w, mask=m), expected)
    last = fastconv.deform_conv2d(*(arrange(a, True) for a in (x, o)), w, mask=arrange(m, True), channels_last=True)
    np.testing.assert_array_equal(np.moveaxis(last, -1, 1), expected)


def sample(image, h: float, w: float) -> float:
    """torchvision's rule, written out: nothing at or beyond one pixel outside; each corner outside the image is zero."""
    H, W = image.shape
    if h <= -1 or w <= -1 or h >= H or w >= W:
        return 0.0
    top, left = floor(h), floor(w)
    total = 0.0
    for y, share_h in ((top, 1 - (h - top)), (top + 1, h - top)):
        for x, share_w in ((left, 1 - (w - left)), (left + 1, w - left)):
            if 0 <= y < H and 0 <= x < W:
                total += share_h * share_w * image[y, x]
    return total


def test_definition_written_out():
    """The oracle, the kernel and nested loops over the formula agree."""
    case = Case((4, 5), (2, 3), C=4, K=6, N=2, groups=2, offset_groups=4, stride=(1, 2), padding=1, dilation=(2, 1))
    data, p = reals(case), case.problem()
    P, Q = p.output_size
    expected = np.zeros(p.output_shape)
    for n, k, i, j, c, r, s in product(range(2), range(6), range(P), range(Q), range(2), range(2), range(3)):
        channel = k // 3 * 2 + c
        part = channel * 6 + r * 3 + s
        h = i * 1 - 1 + r * 2 + data.offset[n, 2 * part, i, j]
        w = j * 2 - 1 + s * 1 + data.offset[n, 2 * part + 1, i, j]
        expected[n, k, i, j] += data.w[k, c, r, s] * data.mask[n, part, i, j] * sample(data.x[n, channel], h, w)
    oracle = reference_deformable.convolution(p, data.x, data.w, None, None, data.offset, data.mask)
    np.testing.assert_allclose(oracle, expected, rtol=1e-13, atol=1e-13)
    y = fastconv.deform_conv2d(data.x, data.offset, data.w, mask=data.mask, **case.arguments)
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("axis", [0, 1])
def test_positions_on_the_border(axis):
    """What a 1x1 kernel sees at -1, -0.5, 0, H - 1, H - 0.5, H of the pixels 3, 5, 7."""
    image = np.array([3.0, 5.0, 7.0]).reshape((3, 1) if axis == 0 else (1, 3))
    for position, value in ((-1.5, 0), (-1, 0), (-0.75, 0.75), (-0.5, 1.5), (0, 3), (0.5, 4), (2, 7), (2.5, 3.5), (3, 0)):
        offset = np.zeros((2, *image.shape))
        offset[axis, 0, 0] = position
        assert fastconv.deform_conv2d(image[None], offset, np.ones((1, 1, 1, 1)))[0, 0, 0] == value


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("case", [*STEPS, *PADDINGS, *GROUPS], ids=str)
def test_zero_offsets_are_conv2d(case, isa, real, channels_last):
    data = quarters(case)._replace(offset=np.zeros(case.problem().offset_shape))
    x, w, b, r, *_ = data.inputs(real, channels_last)
    expected = fastconv.conv2d(x, w, b, groups=case.groups, residual=r, channels_last=channels_last, algorithm="direct",
                               **case.arguments)
    y = run(case, ROWS[0], isa, real, channels_last, data, masked=False)
    np.testing.assert_array_equal(arrange(y, channels_last), expected)


@pytest.mark.parametrize("case", [*STEPS, *PADDINGS, *GROUPS], ids=str)
def test_whole_offsets_pick_pixels(case):
    data, p, rng, far = quarters(case), case.problem(), seeded(case), 40
    offset = rng.integers(-3, 4, p.offset_shape)
    wide = np.pad(data.x, [(0, 0), (0, 0), (far, far), (far, far)])
    expected, depth, K = np.zeros(p.output_shape), case.C // case.offset_groups, case.K // case.groups
    rows, columns = (np.arange(n) * s - before + far for n, s, (before, _) in zip(p.output_size, p.stride, p.padding))
    for n, c, r, s in product(range(case.N), range(case.C), *map(range, case.kernel)):
        part = 2 * (c // depth * p.taps + r * case.kernel[1] + s)
        picked = wide[n, c, rows[:, None] + r * p.dilation[0] + offset[n, part],
                      columns + s * p.dilation[1] + offset[n, part + 1]]
        first, inner = c // (case.C // case.groups) * K, c % (case.C // case.groups)
        expected[n, first:first + K] += data.w[first:first + K, inner, r, s, None, None] * picked
    y = fastconv.deform_conv2d(data.x, offset.astype(float), data.w, **case.arguments)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("isa, real", every_build())
def test_nowhere_samples_zero(isa, real, channels_last):
    """NaN, infinite and huge offsets: as if the mask were zero there; the image has no zero beside them."""
    case = Case((9, 10), (3, 3), C=18, K=5, N=2, offset_groups=2, padding=1)
    data, rng = quarters(case), np.random.default_rng(3)
    offset, mask = data.offset.copy(), data.mask.copy()
    gone = rng.random(mask.shape) < 0.4
    axis = rng.integers(0, 2, mask.shape)
    pairs = np.moveaxis(offset.reshape(2, -1, 2, 9, 10), 2, -1)
    values = np.resize(np.array(NOWHERE), mask.shape)
    pairs[..., 0] = np.where(gone & (axis == 0), values, pairs[..., 0])
    pairs[..., 1] = np.where(gone & (axis == 1), values, pairs[..., 1])
    expected = run(case, ROWS[0], isa, real, channels_last, data._replace(mask=np.where(gone, 0, mask)))
    with np.errstate(over="ignore"):
        y = run(case, ROWS[0], isa, real, channels_last, data._replace(offset=offset))
    np.testing.assert_array_equal(y, expected)
    p = case.problem(bias=True, residual=True)
    np.testing.assert_array_equal(reference_deformable.convolution(p, *data[:4], offset, mask), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("case", [Case((7, 8), (3, 3), C=18, K=3, offset_groups=2, padding=1),
                                  Case((7, 8), (3, 2), C=3, K=5, N=2, stride=2)], ids=str)
def test_input_reaches_what_takes_of_it(case, isa, real, value):
    """Weights, and masks, without zeros, so that infinity stays infinity."""
    data, rng = quarters(case), seeded(case)
    x = data.x.copy()
    x.flat[rng.integers(x.size)] = value
    w, mask = np.where(data.w == 0, 16, data.w), np.where(data.mask == 0, 1, data.mask)
    p = case.problem(bias=True, residual=True)
    changed = data._replace(x=x, w=w, mask=mask)
    expected = reference_deformable.convolution(p, *changed[:6])
    assert not np.isfinite(expected).all() and np.isfinite(expected).any()
    for channels_last in (False, True):
        np.testing.assert_array_equal(run(case, ROWS[0], isa, real, channels_last, changed), expected)


@pytest.mark.parametrize("real", ["f32", "f64"])
def test_nan_in_the_mask_reaches_its_outputs(real):
    case = Case((5, 6), (3, 3), C=4, K=3, padding=1)
    data = quarters(case)
    mask = data.mask.copy()
    mask[0, 4, 2, 3] = np.nan
    y = run(case, ROWS[0], None, real, False, data._replace(mask=mask))
    assert np.isnan(y[0, :, 2, 3]).all() and np.isnan(y).sum() == 3


LARGE = [Case((100, 167), (3, 3), C=128, K=128, padding=1), Case((7, 7), (3, 3), C=2048, K=2048, padding=1, offset_groups=4),
         Case((64, 64), (5, 5), C=4096, K=4096, padding=2, groups=4096), Case((1500, 1500), (3, 3), C=64, K=64, padding=1),
         Case((56, 56), (1, 1), C=512, K=50000), Case((300, 300), (64, 64), C=8, K=8), Case((28, 28), (3, 3), C=1024, K=1024,
                                                                                          groups=32, padding=1)]


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("case", [*LARGE, *BLOCKED], ids=str)
def test_workspace_is_bounded_and_the_choice_looks_at_neither_batch_nor_threads(case, isa, real):
    for channels_last in (False, True):
        names = set()
        for threads, N, packed in product((1, 2, 64), (1, 16), (False, True)):
            p = replace(case.problem(real, channels_last), N=N, packed=packed)
            names.add(make_plan(replace(p, packed=False), "auto", isa, threads).row.name)
            for row in ROWS:
                plan = make_plan(p, row.name, isa, threads)
                assert plan.workspace <= WORKSPACE
                image = 0 if channels_last else (case.C + 16) * case.size[0] * case.size[1] * p.itemsize
                weights = 0 if packed else plan.module.packed_size(plan.geometry) * p.itemsize
                assert plan.shared <= max(image, min(N * image, 2 << 20)) + weights + 1024
        assert len(names) == 1


GUARDED = [*TAILS[::3], *STEPS[::4], *GROUPS, *SHAPES]


@pytest.mark.parametrize("at_end", [True, False], ids=["ends", "begins"])
@pytest.mark.parametrize("isa, real", every_build())
def test_nothing_outside_arrays_touched(isa, real, at_end):
    memory = pytest.importorskip("memory", reason="guard pages need mprotect")
    arenas = [memory.Arena(256) for _ in range(7)]
    for case, channels_last, packed in product(GUARDED, (False, True), (False, True)):
        data, p = quarters(case), case.problem(real, channels_last, bias=True, residual=True, packed=packed)
        plan = make_plan(p, "auto", isa)
        plain = data.inputs(real, channels_last)
        inputs = [arena.place(a, at_end) for arena, a in zip(arenas, plain)]
        y = arenas[6].place(np.full(p.output_shape, np.nan, NUMPY_REAL[real]), at_end)
        x, w, b, r, o, m = inputs
        weights = arenas[1].place(plan.pack(w), at_end) if packed else None
        plan.run(x, w, b, r, y, weights, o, m)
        np.testing.assert_array_equal(y, arrange(data.y, channels_last))
        assert all(arena.untouched_around() for arena in arenas)
        assert all(np.array_equal(a, c) for i, (a, c) in enumerate(zip(inputs, plain)) if i != 1)


@pytest.mark.parametrize("isa, real", every_build())
def test_rows_of_the_input_apart(isa, real):
    """Rows of the image with NaN between them, which with_rows leaves where they are."""
    for case in (GROUPS[1], SHAPES[3], TAILS[5]):
        data = quarters(case)
        for channels_last in (False, True):
            x, w, b, r, o, m = data.inputs(real, channels_last)
            wide = np.full((*x.shape[:-2], 2 * x.shape[-2], x.shape[-1]), np.nan, x.dtype)
            wide[..., ::2, :] = x
            p = case.problem(real, channels_last, bias=True, residual=True)
            y = np.empty(p.output_shape, x.dtype)
            make_plan(p, "auto", isa).run(wide[..., ::2, :], w, b, r, y, None, o, m)
            np.testing.assert_array_equal(y, arrange(data.y, channels_last))
