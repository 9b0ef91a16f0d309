"""Pooling against its definition: every row, layout, instruction set and number type, awkward sizes, hostile arguments."""
import zlib
from itertools import product

import numpy as np
import pytest
from cases import BUILDS, every_build, layout_name
from memory import Arena

import fastconv
from fastconv import reference_pooling
from fastconv.algorithms import TABLE
from fastconv.plan import NUMPY_REAL
from fastconv.pool_problem import adaptive_problem, pool_problem, unpool_problem
from fastconv.problem import arranged
from fastconv.stream_plan import StreamPlan, make_stream_plan

WIDTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 37)


def pool(name, size, C=2, N=1, **arguments):
    return name, size, C, N, tuple(arguments.items())


CASES = [pool("max", (5, w), kernel_size=(2, min(w, 3)), stride=s, padding=(1, min(w, 3) // 2)) for w in WIDTHS
         for s in (1, 2, 3)]
CASES += [pool("avg", (4, w), C=3, kernel_size=(3, min(w, 2)), stride=s, padding=(1, min(w, 2) // 2),
               include_pad=bool(w % 2)) for w in WIDTHS for s in (1, 2, 3)]
CASES += [pool(op, (6, 7), C=C, N=2, kernel_size=3, stride=s, padding=1) for op in ("max", "avg") for C in (1, 3, 15, 17, 33)
          for s in (1, 2)]
CASES += [pool(op, (9, 34), kernel_size=k, stride=s, padding=p, ceil_mode=c) for op in ("max", "avg")
          for k, s, p, c in ((2, 2, 0, False), (2, 2, 0, True), (3, 2, 1, True), (3, 3, 1, True), ((2, 4), 4, 0, True),
                             ((9, 34), 1, 0, False), ((7, 9), 1, (3, 4), False), ((8, 17), 2, (4, 8), True),
                             ((5, 11), (3, 2), (2, 5), False), ((9, 31), (2, 3), 4, True))]
CASES += [pool("max", (9, 20), kernel_size=(3, 4), stride=s, padding=1, dilation=d, ceil_mode=c)
          for s, d, c in ((1, 2, False), (2, (1, 3), True), (3, (3, 2), False))]
CASES += [pool("avg", (5, 6), kernel_size=3, stride=2, padding=1, ceil_mode=True, divisor=d) for d in (1, -7)]
CASES += [pool(op, (w,), C=3, kernel_size=k, stride=s, padding=k // 2, ceil_mode=True) for op in ("max", "avg")
          for w, k, s in ((1, 1, 1), (40, 3, 2), (37, 12, 1), (200, 33, 5))]
CASES += [pool(op, (3, 5, 6), C=3, kernel_size=k, stride=s, padding=p) for op in ("max", "avg")
          for k, s, p in ((2, 2, 0), (3, 1, 1), ((1, 3, 2), (1, 2, 1), (0, 1, 1)), ((3, 5, 6), 1, 0),
                          ((2, 5, 3), 1, (1, 2, 0)))]
CASES += [pool(f"adaptive_{op}", size, C=C, output_size=out) for op in ("max", "avg") for C in (3, 17)
          for size, out in (((7, 7), 1), ((7, 9), 3), ((3, 4), (7, 9)), ((14, 14), 7), ((5, 33), (2, None)), ((41,), 1),
                            ((10,), 4), ((2, 5, 7), (2, 1, 3)), ((4, 5, 6), 1), ((19, 23), (1, 1)))]
LARGE = [pool("max", (40, 37), C=70, N=2, kernel_size=3, stride=2, padding=1), pool("avg", (37, 40), C=33, kernel_size=2),
         pool("adaptive_avg", (31, 29), C=40, output_size=7), pool("adaptive_avg", (33, 17), C=90, output_size=1),
         pool("max", (50, 41), C=9, kernel_size=13, stride=1, padding=6), pool("avg", (5000,), C=7, kernel_size=3, stride=2),
         pool("avg", (40, 61), C=9, kernel_size=(21, 30), stride=(1, 3), padding=10)]


def problem_of(case, real="f64", channels_last=False, indices=False):
    name, size, C, N, arguments = case
    make = adaptive_problem if "adaptive" in name else pool_problem
    return make(f"{name}_pool{len(size)}d", arranged(N, C, size, channels_last), real, **dict(arguments),
                channels_last=channels_last, indices=indices)


def name_of(case):
    name, size, C, N, arguments = case
    words = [name, f"n{N}c{C}", "x".join(map(str, size)), *(f"{key[0]}{value}" for key, value in arguments)]
    return "-".join(words).replace(" ", "")


def every_row(cases, indices=(False,)):
    return [pytest.param(case, last, row, wanted, id=f"{name_of(case)}-{layout_name(last)}-{row.name}{'-indices' * wanted}")
            for case in cases for last in (False, True) for wanted in indices if not wanted or "max" in case[0]
            for problem in [problem_of(case, channels_last=last, indices=wanted)] for row in TABLE[problem.operation]
            if not row.refuses(problem)]


def integers(problem):
    """Small integers, whose sums are exact in every number type."""
    rng = np.random.default_rng(zlib.crc32(repr(problem.size).encode()))
    return rng.integers(-9, 10, problem.input_shape).astype(float)


def expected(problem, x):
    if problem.largest:
        return reference_pooling.largest(problem, x)[:1 + problem.indices]
    return (reference_pooling.mean(problem, x),)


def compute(problem, row, isa, x, threads=1, place=lambda a: a):
    """Run one row; outputs start as NaN and as an index that nothing has."""
    plan = make_stream_plan(problem, row.name, isa, threads)
    outputs = [place(np.full(problem.output_shape, np.nan, x.dtype))]
    if problem.indices:
        outputs.append(np.full(problem.output_shape, -77))
    plan.run((x,), tuple(outputs))
    return outputs


@pytest.mark.parametrize("case, channels_last, row, indices", every_row([*CASES, *LARGE], (False, True)))
def test_exact_on_integers(case, channels_last, row, indices):
    x = integers(problem_of(case, "f64", channels_last))
    right = expected(problem_of(case, "f64", channels_last, indices), x)
    for isa, real in BUILDS:
        problem = problem_of(case, real, channels_last, indices)
        for y, wanted in zip(compute(problem, row, isa, x.astype(NUMPY_REAL[real])), right):
            np.testing.assert_array_equal(y, wanted.astype(y.dtype), err_msg=f"{isa} {real}")


@pytest.mark.parametrize("case, channels_last, row, indices", every_row(CASES[::2], (False, True)))
def test_nothing_outside_arrays_touched(arenas, case, channels_last, row, indices):
    x = integers(problem_of(case, "f64", channels_last))
    right = expected(problem_of(case, "f64", channels_last, indices), x)[0]
    for (isa, real), at_end in product(BUILDS, (True, False)):
        problem = problem_of(case, real, channels_last, indices)
        y = compute(problem, row, isa, arenas[0].place(x.astype(NUMPY_REAL[real]), at_end),
                    place=lambda a, at_end=at_end: arenas[1].place(a, at_end))
        np.testing.assert_array_equal(y[0], right.astype(y[0].dtype), err_msg=f"{isa} {real}")
        assert arenas[0].untouched_around() and arenas[1].untouched_around()


@pytest.fixture(scope="module")
def arenas():
    return [Arena(64), Arena(64)]


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("case, channels_last, row, indices", every_row([*LARGE, *CASES[::9]]))
def test_same_bits_for_threads_batch_and_blocks(case, channels_last, row, indices, isa, real):
    name, size, C, _, arguments = case
    problem = problem_of((name, size, C, 3, arguments), real, channels_last)
    x = np.random.default_rng(3).standard_normal(problem.input_shape).astype(NUMPY_REAL[real])
    y, = compute(problem, row, isa, x)
    for threads in (2, 3):
        np.testing.assert_array_equal(compute(problem, row, isa, x, threads)[0], y)
    one = problem_of((name, size, C, 1, arguments), real, channels_last)
    np.testing.assert_array_equal(compute(one, row, isa, x[1:2])[0], y[1:2])
    for rows, columns, channels in ((1, 1, 8), (3, 5, 16), (1000, 1000, 1000)):
        plan = StreamPlan(problem, row, isa, 2)
        blocks = plan.blocks | {"rows": rows, "columns": min(columns, problem.output_size[-1]), "channels": min(channels, C)}
        if channels_last and blocks["channels"] < C:
            blocks["channels"] = 16
        plan.geometry = plan.module.geometry(problem.fields() | blocks)
        again = np.full_like(y, np.nan)
        plan.run((x,), (again,))
        np.testing.assert_array_equal(again, y)


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("operation", ["max_pool2d", "avg_pool2d"])
def test_rounding_is_that_of_the_sums(isa, real, operation):
    """A mean of 90000 numbers far from zero: nothing is subtracted, so nothing cancels; (R + S) half units bound it."""
    x = (1000 + np.random.default_rng(1).random((1, 1, 300, 600))).astype(NUMPY_REAL[real])
    problem = pool_problem(operation, x.shape, real, 300, (1, 50))
    right = expected(problem, x)[0]
    for row in TABLE[operation]:
        if not row.refuses(problem):
            y, = compute(problem, row, isa, x)
            assert (np.abs(y - right) <= 602 * np.finfo(y.dtype).eps / 2 * np.abs(right)).all()


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
def test_nan_and_infinity_reach_their_windows(isa, real, value, channels_last):
    """In every lane and tail, from every tap: the same pixel of 35 channels and of 35 columns."""
    for case in (pool("max", (5, 35), C=35, kernel_size=3, stride=2, padding=1), pool("max", (6, 9), C=35, kernel_size=2),
                 pool("max", (9, 35), kernel_size=(3, 9), stride=1, padding=1),
                 pool("adaptive_max", (5, 35), output_size=(2, 9)), pool("adaptive_max", (5, 35), output_size=1),
                 pool("avg", (5, 35), C=3, kernel_size=3, stride=1, padding=1)):
        for indices in (False, True)[:1 + ("max" in case[0])]:
            problem = problem_of(case, real, channels_last, indices)
            x = integers(problem).astype(NUMPY_REAL[real])
            (np.moveaxis(x, -1, 1) if channels_last else x)[:, :, 2] = value
            for row in TABLE[problem.operation]:
                if not row.refuses(problem):
                    for y, right in zip(compute(problem, row, isa, x), expected(problem, x)):
                        np.testing.assert_array_equal(y, right.astype(y.dtype), err_msg=row.name)


def test_indices_count_as_torch_counts():
    x = np.array([[[1, np.nan, 3.0], [7, 7, np.nan]]])
    y, where = fastconv.max_pool2d(x, 2, 1, return_indices=True)
    assert where.dtype == np.int64 and where.tolist() == [[[1, 5]]] and np.isnan(y).all()
    _, where = fastconv.max_pool2d(np.full((1, 4, 4), -np.inf), 3, 2, 1, return_indices=True)
    assert where.tolist() == [[[0, 1], [4, 5]]]
    y, where = fastconv.max_pool1d(np.ones((1, 1)), 2, 1, 1, 2, return_indices=True)
    assert y.tolist() == [[-np.inf]] and where.tolist() == [[-1]], "taps beside the image on both sides"
    assert fastconv.max_pool1d(np.ones((1, 1), np.int8), 2, 1, 1, 2).tolist() == [[-128]]
    y, where = fastconv.max_pool3d(np.arange(16.0).reshape(1, 2, 2, 4), (2, 1, 3), 1, return_indices=True)
    np.testing.assert_array_equal(y, where)


def test_ceil_mode_drops_windows_that_begin_outside():
    assert fastconv.max_pool1d(np.arange(4.0).reshape(1, 4), 1, 3, ceil_mode=True).tolist() == [[0, 3]]
    assert fastconv.max_pool1d(np.arange(5.0).reshape(1, 5), 2, 3, 1, ceil_mode=True).tolist() == [[0, 3]]
    assert fastconv.avg_pool1d(np.ones((1, 5)), 3, 2, 1, ceil_mode=True).tolist() == [[2 / 3, 1, 2 / 3]]
    assert fastconv.avg_pool1d(np.ones((1, 4)), 3, 3, 1, ceil_mode=True, count_include_pad=False).tolist() == [[1, 1]]
    assert fastconv.avg_pool1d(np.ones((1, 4)), 3, 3, ceil_mode=True).tolist() == [[1, 1]]


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"])
def test_integers_of_all_widths(dtype, channels_last):
    info = np.iinfo(dtype)
    rng = np.random.default_rng(5)
    shape = arranged(2, 5, (7, 9), channels_last)
    x = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    x.flat[:3] = info.min, info.max, info.max - 1
    problem = pool_problem("max_pool2d", shape, "f64", 3, 2, 1, channels_last=channels_last, indices=True)
    right, where = reference_pooling.largest(problem, x)
    y, found = fastconv.max_pool2d(x, 3, 2, 1, return_indices=True, channels_last=channels_last)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, right)
    np.testing.assert_array_equal(found, where)
    np.testing.assert_array_equal(fastconv.max_pool2d(x, 3, 2, 1, channels_last=channels_last), right)
    np.testing.assert_array_equal(fastconv.adaptive_max_pool2d(x, 1, channels_last=channels_last).ravel(),
                                  np.moveaxis(x, -1, 1).reshape(2, 5, -1).max(-1).ravel() if channels_last
                                  else x.reshape(10, -1).max(-1))
    back = fastconv.max_unpool2d(y, found, 3, 2, 1, channels_last=channels_last)
    np.testing.assert_array_equal(back, reference_pooling.unpool(y, found, (7, 9), channels_last))


def test_half_types_and_layouts_of_memory():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = integers(pool_problem("max_pool2d", (2, 5, 8, 11), "f64", 2))
    right = fastconv.avg_pool2d(x, 2)
    for dtype in (np.float16, ml_dtypes.bfloat16, ">f4", np.float32):
        y = fastconv.avg_pool2d(x.astype(dtype), 2)
        assert y.dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(y, right.astype(y.dtype))
    wide = np.zeros((2, 10, 16, 22))
    wide[:, ::2, ::2, ::-2] = x
    unaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(float).reshape(x.shape)
    unaligned[...] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    for view in (wide[:, ::2, ::2, ::-2], unaligned, frozen, np.asfortranarray(x)):
        np.testing.assert_array_equal(fastconv.avg_pool2d(view, 2), right)


@pytest.mark.parametrize("name, arguments", [("max_pool2d", (2,)), ("avg_pool2d", (3, 2, 1)), ("lp_pool2d", (2, 2)),
                                             ("adaptive_avg_pool2d", (3,)), ("adaptive_max_pool2d", ((2, 3),)),
                                             ("spatial_pyramid_pool2d", ((1, 3),))])
def test_out_is_written_and_returned(name, arguments):
    function = getattr(fastconv, name)
    x = np.random.default_rng(1).random((2, 3, 9, 10))
    right = function(x, *arguments)
    for out in (np.full(right.shape, np.nan), np.full(right.shape[::-1], np.nan).T):
        for _ in range(2):              # a call that is known goes another way
            assert function(x, *arguments, out=out) is out
            np.testing.assert_array_equal(out, right)
    np.testing.assert_array_equal(function(x[0], *arguments), right[0])
    inside = x.copy()
    out = inside.reshape(-1)[5:5 + right.size].reshape(right.shape)
    np.testing.assert_array_equal(function(inside, *arguments, out=out), right)
    for bad, error in ((np.empty(right.shape, np.float32), ValueError), (np.empty((1, *right.shape)), ValueError),
                       (right.tolist(), TypeError), (np.broadcast_to(right[:1] * 0, right.shape), ValueError)):
        with pytest.raises(error, match="out"):
            function(x, *arguments, out=bad)
    assert function(x[:0], *arguments).shape == (0, *right.shape[1:])


def test_out_with_indices_is_a_pair():
    x = np.random.default_rng(1).random((2, 3, 9, 10))
    y, where = fastconv.max_pool2d(x, 2, return_indices=True)
    out = np.empty_like(y), np.empty_like(where)
    assert fastconv.max_pool2d(x, 2, return_indices=True, out=out) == out
    np.testing.assert_array_equal(out[0], y)
    np.testing.assert_array_equal(out[1], where)
    for bad in (out[0], out[:1], 3):
        with pytest.raises(TypeError, match="pair"):
            fastconv.max_pool2d(x, 2, return_indices=True, out=bad)
    with pytest.raises(ValueError, match="share"):
        fastconv.max_pool2d(x, 2, return_indices=True, out=(where.view(float), where))


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("p", [1, 2, 3, 2.5, -1, np.inf, -np.inf])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_lp_is_a_root_of_powers(axes, p, ceil_mode):
    x = 0.5 + np.random.default_rng(axes).random((2, 3, *(5, 7, 8)[:axes]))
    y = getattr(fastconv, f"lp_pool{axes}d")(x, p, 2, ceil_mode=ceil_mode)
    problem = pool_problem(f"avg_pool{axes}d", x.shape, "f64", 2, None, 0, 1, ceil_mode)
    if np.isinf(p):
        right = np.copysign(reference_pooling.largest(problem, np.copysign(x, p))[0], 1)
    else:
        right = (reference_pooling.mean(problem, x**p) * 2**axes) ** (1 / p)
    np.testing.assert_allclose(y, right, rtol=1e-13)
    half = getattr(fastconv, f"lp_pool{axes}d")(x.astype(np.float16), p, 2, ceil_mode=ceil_mode)
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, right, rtol=3e-3)


@pytest.mark.parametrize("mode", ["max", "avg"])
@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
def test_pyramid_is_adaptive_pools_side_by_side(mode, channels_last):
    x = np.random.default_rng(1).random((2, 3, 7, 9))
    image = np.moveaxis(x, 1, -1) if channels_last else x
    y = fastconv.spatial_pyramid_pool2d(image, mode=mode, channels_last=channels_last)
    adaptive = getattr(fastconv, f"adaptive_{mode}_pool2d")
    parts = [adaptive(image, n, channels_last=channels_last) for n in (1, 2, 4)]
    parts = [(np.moveaxis(part, -1, 1) if channels_last else part).reshape(2, -1) for part in parts]
    np.testing.assert_array_equal(y, np.concatenate(parts, 1))


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("C", [1, 5, 65])
@pytest.mark.parametrize("size", [(9,), (4, 5), (2, 3, 3)], ids=str)
def test_unpool_scatters_in_order(isa, real, channels_last, C, size):
    """Equal indices included: the last wins, for any number of threads."""
    shape = arranged(2, C, size, channels_last)
    problem = unpool_problem(f"max_unpool{len(size)}d", shape, real, 2, channels_last=channels_last)
    rng = np.random.default_rng(2)
    x = rng.standard_normal(shape).astype(NUMPY_REAL[real])
    x.flat[0] = np.nan
    indices = rng.integers(0, np.prod(problem.output_size), shape)
    right = reference_pooling.unpool(x, indices, problem.output_size, channels_last)
    for threads in (1, 3):
        y = np.full(problem.output_shape, np.nan, x.dtype)
        make_stream_plan(problem, "scatter", isa, threads).run((x, indices), (y,))
        np.testing.assert_array_equal(y, right)


@pytest.mark.parametrize("index", [-1, 24, 2**31, 2**32 + 3, 2**63 - 1, -2**63])
def test_unpool_index_outside_is_refused_before_writing(index):
    indices = np.zeros((1, 2, 3), np.int64)
    indices[0, 1, 2] = index
    out = np.full((1, 4, 6), 7.0)
    with pytest.raises(IndexError, match="24 places"):
        fastconv.max_unpool2d(np.ones((1, 2, 3)), indices, 2, out=out)
    assert (out == 7).all()


def test_unpool_arguments():
    x, i = np.ones((1, 2, 3)), np.zeros((1, 2, 3), np.int64)
    for bad in (i.astype(np.int32), i.astype(float), i.astype(np.uint64)):
        with pytest.raises(TypeError, match="indices"):
            fastconv.max_unpool2d(x, bad, 2)
    with pytest.raises(ValueError, match="indices"):
        fastconv.max_unpool2d(x, i[:, :1], 2)
    for size in ((5, 7), (1, 1, 5, 7), (3, 5)):
        assert fastconv.max_unpool2d(x, i, 2, output_size=size).shape == (1, *size[-2:])
    for size in ((2, 6), (6, 6), (4,), (4, 6, 1)):
        with pytest.raises(ValueError, match="output_size"):
            fastconv.max_unpool2d(x, i, 2, output_size=size)
    assert fastconv.max_unpool2d(x[None][:0], i[None][:0], 2).shape == (0, 1, 4, 6)


X = np.ones((1, 2, 6, 7))
BAD = [
    ("max_pool2d", (0,), {}, ValueError, "kernel_size"), ("max_pool2d", (-1,), {}, ValueError, "kernel_size"),
    ("max_pool2d", (2.0,), {}, TypeError, "kernel_size"), ("max_pool2d", (True,), {}, TypeError, "kernel_size"),
    ("max_pool2d", ((2, 2, 2),), {}, ValueError, "kernel_size"), ("max_pool2d", (2**70,), {}, ValueError, "kernel_size"),
    ("max_pool2d", (2, 0), {}, ValueError, "stride"), ("max_pool2d", (2, -3), {}, ValueError, "stride"),
    ("max_pool2d", (2, 1, 2), {}, ValueError, "padding=2"), ("max_pool2d", (3, 1, -1), {}, ValueError, "padding"),
    ("avg_pool2d", (3, 1, 2), {}, ValueError, "padding=2"), ("max_pool2d", (3, 1, 0, 0), {}, ValueError, "dilation"),
    ("max_pool2d", (3, 1, 0, 2**31), {}, ValueError, "dilation"), ("max_pool2d", (9,), {}, ValueError, "kernel_size=9"),
    ("avg_pool2d", (2,), {"divisor_override": 0}, ValueError, "divisor_override"),
    ("avg_pool2d", (2,), {"divisor_override": 1.5}, TypeError, "divisor_override"),
    ("lp_pool2d", (0, 2), {}, ValueError, "norm_type"), ("lp_pool2d", (np.nan, 2), {}, ValueError, "norm_type"),
    ("lp_pool2d", ("two", 2), {}, TypeError, "norm_type"), ("adaptive_avg_pool2d", (-1,), {}, ValueError, "output_size"),
    ("adaptive_avg_pool2d", ((1, 2, 3),), {}, ValueError, "output_size"),
    ("adaptive_max_pool2d", (2**62,), {}, ValueError, "output_size"),
    ("spatial_pyramid_pool2d", ((),), {}, ValueError, "levels"),
    ("spatial_pyramid_pool2d", ((0,),), {}, ValueError, "levels"),
    ("spatial_pyramid_pool2d", (4,), {}, ValueError, "levels"),
    ("spatial_pyramid_pool2d", (), {"mode": "sum"}, ValueError, "mode"),
    ("max_pool3d", (2,), {"channels_last": True}, ValueError, None), ("max_pool1d", (2,), {}, ValueError, "axes"),
]


@pytest.mark.parametrize("name, arguments, more, error, match", BAD, ids=lambda v: str(v)[:30])
def test_bad_arguments_are_named(name, arguments, more, error, match):
    with pytest.raises(error, match=match):
        getattr(fastconv, name)(X[:, :, :1] if match is None else X, *arguments, **more)


@pytest.mark.parametrize("shape", [(1, 0, 5, 5), (1, 2, 0, 5), (1, 2, 5, 0)])
def test_empty_axes(shape):
    for call in (lambda x: fastconv.max_pool2d(x, 1), lambda x: fastconv.avg_pool2d(x, 1),
                 lambda x: fastconv.adaptive_avg_pool2d(x, 1), fastconv.spatial_pyramid_pool2d):
        with pytest.raises(ValueError, match="input"):
            call(np.zeros(shape))


def test_empty_results():
    assert fastconv.adaptive_avg_pool2d(X, 0).shape == (1, 2, 0, 0)
    y, where = fastconv.adaptive_max_pool2d(X, (0, 3), True)
    assert y.shape == where.shape == (1, 2, 0, 3) and where.dtype == np.int64
    assert fastconv.max_pool2d(X[:0], 2).shape == (0, 2, 3, 3)


@pytest.mark.parametrize("dtype", ["bool", "uint64", "complex64", "longdouble", "O", "U1"])
def test_types_that_are_not_compared(dtype):
    x = np.ones((1, 2, 6, 7)).astype(dtype)
    for function in (fastconv.max_pool2d, fastconv.avg_pool2d):
        with pytest.raises(TypeError, match="input"):
            function(x, 2)


def test_means_of_integers_are_refused():
    with pytest.raises(TypeError, match="int32"):
        fastconv.avg_pool2d(np.ones((1, 4, 4), np.int32), 2)


def test_equal_but_different_arguments_are_told_apart():
    """True == 1: a call that is known must not lend its plan to one that is refused."""
    fastconv.max_pool2d(X, 1)
    fastconv.max_pool2d(X, 1)
    for bad in (True, 1.0):
        with pytest.raises(TypeError):
            fastconv.max_pool2d(X, bad)


@pytest.mark.parametrize("at", [0, 11])
def test_validation_finds_a_wrong_element(monkeypatch, at):
    run = StreamPlan.run

    def wrong(self, inputs, outputs):
        run(self, inputs, outputs)
        outputs[0].flat[at] += 1
    for name, arguments in (("max_pool2d", (2,)), ("avg_pool2d", (2,)), ("lp_pool2d", (2, 2)), ("adaptive_max_pool2d", (3,)),
                            ("spatial_pyramid_pool2d", ()), ("max_unpool2d", (np.zeros(X.shape, np.int64), 2))):
        with fastconv.validation():
            getattr(fastconv, name)(X, *arguments)
            monkeypatch.setattr(StreamPlan, "run", wrong)
            with pytest.raises(fastconv.ValidationError, match="element"):
                getattr(fastconv, name)(X, *arguments) if name != "spatial_pyramid_pool2d" else \
                    fastconv.spatial_pyramid_pool2d(X, (4,))
            monkeypatch.setattr(StreamPlan, "run", run)


HUGE = [((1, 3, 10**7), 10**5, 5 * 10**4), ((1, 2, 5000, 5000), 2001, 1), ((1, 4096, 300, 300), 299, 1),
        ((1, 3, 10**6, 8), (4000, 8), 3), ((1, 1, 10**5, 3), (9000, 2), 1), ((8, 70000, 2, 9000), (2, 4096), 7),
        ((1, 1, 5000, 5000), (4096, 100), (1, 77))]


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("shape, kernel, stride", HUGE, ids=str)
def test_workspace_is_bounded(shape, kernel, stride, channels_last):
    N, C, *size = shape
    problem = pool_problem(f"avg_pool{len(size)}d", arranged(N, C, size, channels_last), "f64", kernel, stride,
                           channels_last=channels_last)
    for row in TABLE[problem.operation]:
        if not row.refuses(problem):
            assert make_stream_plan(problem, row.name).workspace <= 8 << 20, row.name


@pytest.mark.parametrize("operation", [op for op in TABLE if "pool" in op])
def test_table_is_sound(operation):
    rows = TABLE[operation]
    assert len({row.name for row in rows}) == len(rows) and all(row.summary for row in rows)
    for case, last in product(CASES, (False, True)):
        problem = problem_of(case, channels_last=last)
        if problem.operation == operation:
            assert rows[-1].refuses(problem) == "", "the last row never refuses"
            chosen = {make_stream_plan(problem_of((*case[:3], N, case[4]), channels_last=last), threads=threads).row.name
                      for N in (1, 7) for threads in (1, 5)}
            assert len(chosen) == 1, "neither batch nor threads have a say"
    with pytest.raises(ValueError, match="none of"):
        make_stream_plan(problem_of(CASES[0]), "im2col")


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("stride", [2**31 - 1, (1, 2**31 - 1), (2**31 - 1, 2)], ids=str)
def test_enormous_strides(stride, channels_last):
    """A window or a row of them; no time or memory in proportion to the stride."""
    x = np.random.default_rng(1).random(arranged(1, 3, (9, 40), channels_last))
    with fastconv.validation():
        for function in (fastconv.max_pool2d, fastconv.avg_pool2d):
            function(x, 2, stride, channels_last=channels_last)
        fastconv.max_pool2d(x, 2, stride, return_indices=True, channels_last=channels_last)
