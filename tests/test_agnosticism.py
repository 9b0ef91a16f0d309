"""What must not change one bit: threads, batch, how arrays lie in memory, where the result goes, who packed the weights."""
from dataclasses import replace

import numpy as np
import pytest
from cases import BLOCKED, STEPS, VOLUMES, case, compute, every_algorithm, every_build, every_row, layout_name, reals

import fastconv
from fastconv import blocks
from fastconv.algorithms import TABLE
from fastconv.plan import forget_plans, make_plan

MIXED = [case((7, 9), (3, 3), C=6, K=10, N=3, padding=1), case((7, 9), (1, 1), C=6, K=10, N=3),
         case((7, 9), (3, 2), C=6, K=6, N=3, groups=6, stride=2, padding=1), *STEPS[3:12:4],
         case((7, 9), (2, 2), C=6, K=4, N=3, groups=2, padding=2, padding_mode="symmetric"), VOLUMES[0],
         case((1, 9), (1, 2), C=6, K=4, N=3), case((9, 1), (1, 1), C=6, K=4, N=3),
         case((21,), (5,), C=4, K=6, N=3, padding=2, padding_mode="circular"), case((21,), (1,), C=4, K=6, N=3)]


def call(c, x, w, bias=None, *, channels_last=False, **arguments):
    return getattr(fastconv, c.operation)(x, w, bias, groups=c.groups, channels_last=channels_last,
                                          **dict(c.arguments) | arguments)


@pytest.mark.parametrize("case, channels_last, row, isa, real", every_row(BLOCKED))
def test_thread_agnosticism(case, channels_last, row, isa, real):
    """Plans for 2, 3 and 5 threads also cut the work into other blocks than a plan for one."""
    arrays = reals(case, channels_last).inputs(real)
    problem = case.problem(real, channels_last)
    one = compute(problem, row, isa, *arrays)
    assert make_plan(problem, row.name, isa, 5).threads == 5, "the case is too small to be shared"
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(compute(problem, row, isa, *arrays, threads=threads), one)


@pytest.mark.parametrize("case, channels_last, row, isa, real", every_row(BLOCKED))
def test_packing_agnosticism(case, channels_last, row, isa, real):
    arrays = reals(case, channels_last).inputs(real)
    problem, packed = case.problem(real, channels_last), case.problem(real, channels_last, packed=True)
    if row.refuses(packed):
        pytest.skip(row.refuses(packed))
    np.testing.assert_array_equal(compute(packed, row, isa, *arrays), compute(problem, row, isa, *arrays))


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("case", BLOCKED, ids=str)
def test_thread_agnosticism_of_functions(case, channels_last):
    """"auto" must not choose another row for another number of threads."""
    x, w, bias, _ = reals(case, channels_last).inputs("f32")
    results = []
    for threads in (1, 2, 5):
        with fastconv.threads(threads):
            results.append(call(case, x, w, bias, channels_last=channels_last))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("algorithm", ["small", "im2col", "winograd"])
def test_more_threads_than_shares_of_the_tasks(algorithm):
    """Threads that begin with the same share (src/region.pxd has 128), and several rounds of tasks, one for each image."""
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal((3, 64, 96, 96)).astype("f"), rng.standard_normal((40, 64, 3, 3)).astype("f")
    results = []
    for threads in (1, 2, 130, 300):
        with fastconv.threads(threads):
            results.append(fastconv.conv2d(x, w, padding=1, algorithm=algorithm))
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("channels", [33, 34, 65])
def test_channels_that_two_tasks_share(channels, channels_last):
    """Depthwise tasks compute whole vectors, so two of them may finish the same channels at the same time: what stands in
    between is never more than the result. (Stored first and activated in place, 1 call in 20 to 200 was wrong.)"""
    c = case((12, 12), (7, 5), C=channels, K=channels, N=2, groups=channels, padding=(3, 2))
    x, w, bias, residual = reals(c, channels_last).inputs("f32")
    results = []
    for threads in (1, *[4] * 300):
        with fastconv.threads(threads):
            results.append(call(c, x, w, bias, residual=residual, activation="tanh", channels_last=channels_last,
                                algorithm="depthwise" if channels_last else "turned"))
    assert all(np.array_equal(results[0], other) for other in results)


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), ((2, 1), (2, 1))])
def test_rows_that_are_copied_are_the_same_numbers(isa, real, stride, dilation, monkeypatch):
    """Pixels a power of two apart are copied before they are summed, in several blocks of rows; here against no copies."""
    c = case((60, 19), (3, 3), C=1024, K=1024, groups=1024, padding=2, stride=stride, dilation=dilation)
    problem, depthwise = c.problem(real, True), next(row for row in TABLE["conv2d"] if row.name == "depthwise")
    x, w, bias, residual = reals(c, True).inputs(real)
    copies = blocks.copies_rows
    monkeypatch.setattr(blocks, "copies_rows", lambda p, m: copies(p, m._replace(far=1.0)))     # as where L3 is near
    forget_plans()
    copied = [compute(problem, depthwise, isa, x, w, bias, residual, threads) for threads in (1, 2)]
    plan = make_plan(replace(problem, bias=True, residual=True), "depthwise", isa, 2)
    assert plan.blocks["pixel_block"] < problem.pixels
    monkeypatch.setattr(blocks, "copies_rows", lambda *_: False)
    forget_plans()
    where_it_lies = compute(problem, depthwise, isa, x, w, bias, residual)
    forget_plans()
    for y in copied:
        np.testing.assert_array_equal(y, where_it_lies)


@pytest.mark.parametrize("case, channels_last, row, isa, real", every_row([c for c in [*MIXED, *BLOCKED] if c.N > 1]))
def test_batch_agnosticism_of_rows(case, channels_last, row, isa, real):
    x, w, bias, residual = reals(case, channels_last).inputs(real)
    problem = case.problem(real, channels_last)
    whole = compute(problem, row, isa, x, w, bias, residual, threads=2)
    for n in range(case.N):
        part = slice(n, n + 1)
        one = compute(replace(problem, N=1), row, isa, x[part], w, bias, residual[part], threads=2)
        np.testing.assert_array_equal(one, whole[part])


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("case", [c for c in [*MIXED, *BLOCKED] if c.N > 1], ids=str)
def test_batch_agnosticism_of_functions(case, channels_last):
    x, w, bias, _ = reals(case, channels_last).inputs("f32")
    whole = call(case, x, w, bias, channels_last=channels_last)
    for n in range(case.N):
        np.testing.assert_array_equal(call(case, x[n:n + 1], w, bias, channels_last=channels_last)[0], whole[n])
        single = call(case, x[n], w, bias, channels_last=channels_last)
        np.testing.assert_array_equal(single, whole[n], "without a batch axis")


def spread(a):
    """Every second element of a larger array, NaN between."""
    wide = np.full([2 * n for n in a.shape], np.nan, a.dtype)
    wide[tuple(slice(None, None, 2) for _ in a.shape)] = a
    return wide[tuple(slice(None, None, 2) for _ in a.shape)]


def cropped(a):
    """The middle of a larger array: rows apart, numbers of a row side by side."""
    wide = np.full([n + 3 for n in a.shape], np.nan, a.dtype)
    wide[tuple(slice(1, -2) for _ in a.shape)] = a
    return wide[tuple(slice(1, -2) for _ in a.shape)]


def reversed_along(*axes):
    """The same numbers, stored in reverse order along some axes, if the array has them."""
    def view(a):
        there = tuple(axis for axis in axes if -a.ndim <= axis < a.ndim)
        return np.flip(np.ascontiguousarray(np.flip(a, there)), there) if there else a
    return view


def read_only(a):
    b = a.copy()
    b.flags.writeable = False
    return b


def unaligned(a):
    b = np.frombuffer(bytearray(a.nbytes + 1), np.uint8)[1:].view(a.dtype).reshape(a.shape)
    b[...] = a
    return b


def field_of_record(a):
    record = np.zeros(a.shape, [("flag", "i1"), ("value", a.dtype)])
    record["value"] = a
    return record["value"]


def odd_strides_of_unit_axes(a):
    """The stride of an axis of length one means nothing, and may be anything."""
    strides = [12345 if n == 1 else step for n, step in zip(a.shape, a.strides)]
    return np.lib.stride_tricks.as_strided(a, a.shape, strides)


FORMS = {"spread": spread, "cropped": cropped, "reversed last": reversed_along(-1), "reversed rows": reversed_along(-2),
         "reversed planes": reversed_along(-3), "reversed batch": reversed_along(0),
         "reversed all": reversed_along(*range(5)), "read-only": read_only, "unaligned": unaligned,
         "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
         "Fortran": np.asfortranarray, "transposed": lambda a: np.ascontiguousarray(a.T).T, "record": field_of_record,
         "odd strides": odd_strides_of_unit_axes, "list": np.ndarray.tolist, "buffer": memoryview}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case, channels_last, algorithm", every_algorithm(MIXED, "f64"))
def test_memory_agnosticism(case, channels_last, algorithm, form):
    x, w, bias, residual = reals(case, channels_last).inputs("f64")
    plain = call(case, x, w, bias, residual=residual, channels_last=channels_last, algorithm=algorithm)
    before = [a.copy() for a in (x, w, bias, residual)]
    odd = [FORMS[form](a) for a in (x, w, bias, residual)]
    y = call(case, *odd[:3], residual=odd[3], channels_last=channels_last, algorithm=algorithm)
    np.testing.assert_array_equal(y, plain)
    for a, b in zip(odd, before):
        np.testing.assert_array_equal(a, b, "an input was changed")
    np.testing.assert_array_equal(call(case, odd[0], w, bias, residual=residual, channels_last=channels_last,
                                       algorithm=algorithm), plain)


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("case", MIXED, ids=str)
def test_second_call_agnosticism(case, channels_last):
    """The second call with the same shapes takes a shorter way; so does one after calls with other arguments."""
    x, w, bias, _ = reals(case, channels_last).inputs("f32")
    first = call(case, x, w, bias, channels_last=channels_last)
    np.testing.assert_array_equal(call(case, x, w, bias, channels_last=channels_last), first)
    np.testing.assert_array_equal(call(case, cropped(x), w, bias, channels_last=channels_last), first)
    assert not np.array_equal(call(case, x, w, channels_last=channels_last), first)
    assert not np.array_equal(call(case, x, w, bias, channels_last=channels_last, activation="relu"), first)
    np.testing.assert_array_equal(call(case, x, w, bias, channels_last=channels_last), first)
    wide = call(case, x.astype(float), w.astype(float), bias.astype(float), channels_last=channels_last)
    assert wide.dtype == np.float64 and wide.shape == first.shape


OUTS = {"contiguous": np.empty_like, "spread": spread, "cropped": cropped, "reversed": lambda a: np.flip(a.copy()),
        "Fortran": np.asfortranarray, "unaligned": unaligned}


@pytest.mark.parametrize("out_form", OUTS)
@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("case", MIXED, ids=str)
def test_out_agnosticism(case, channels_last, out_form):
    x, w, bias, residual = reals(case, channels_last).inputs("f32")
    plain = call(case, x, w, bias, residual=residual, channels_last=channels_last)
    out = OUTS[out_form](np.full_like(plain, np.nan))
    assert call(case, x, w, bias, residual=residual, channels_last=channels_last, out=out) is out
    np.testing.assert_array_equal(out, plain)


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
def test_out_writes_nothing_beside_itself(channels_last):
    c = MIXED[0]
    x, w, _, _ = reals(c, channels_last).inputs("f32")
    plain = call(c, x, w, channels_last=channels_last)
    for offset in (0, 1, 3):
        around = np.full(plain.size + 8, -7, np.float32)
        call(c, x, w, channels_last=channels_last, out=around[offset:offset + plain.size].reshape(plain.shape))
        assert (around[:offset] == -7).all() and (around[offset + plain.size:] == -7).all()
    wide = np.full([n + 3 for n in plain.shape], -7, np.float32)
    inner = tuple(slice(1, -2) for _ in plain.shape)
    call(c, x, w, channels_last=channels_last, out=wide[inner])
    wide[inner] = -7
    assert (wide == -7).all()


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("shared", ["input", "weight", "bias", "residual", "input, shifted"])
def test_out_overlaps_input_agnosticism(shared, channels_last):
    c = case((5, 6), (1, 1), C=4, K=4)
    x, w, bias, residual = reals(c, channels_last).inputs("f32")
    plain = call(c, x, w, bias, residual=residual, channels_last=channels_last)
    pool = np.zeros(300, np.float32)
    arrays = {"input": x, "weight": w, "bias": bias, "residual": residual}
    name = shared.split(",")[0]
    place = pool[5:5 + arrays[name].size].reshape(arrays[name].shape)
    place[...] = arrays[name]
    arrays[name] = place
    start = 11 if "shifted" in shared else 5
    out = pool[start:start + plain.size].reshape(plain.shape)
    call(c, arrays["input"], arrays["weight"], arrays["bias"], residual=arrays["residual"], channels_last=channels_last,
         out=out)
    np.testing.assert_array_equal(out, plain)


@pytest.mark.parametrize("case, channels_last, row, isa, real", every_row(MIXED))
def test_fusion_agnosticism(case, channels_last, row, isa, real):
    """Bias, residual and ReLU round once each, fused or not."""
    x, w, bias, residual = reals(case, channels_last).inputs(real)
    problem = case.problem(real, channels_last)
    sums = compute(problem, row, isa, x, w)
    apart = sums + (bias if channels_last else bias.reshape(-1, *(1,) * len(case.size)))
    np.testing.assert_array_equal(compute(problem, row, isa, x, w, bias), apart)
    np.testing.assert_array_equal(compute(problem, row, isa, x, w, bias, residual), apart + residual)
    fused = compute(case.problem(real, channels_last, activation="relu"), row, isa, x, w, bias, residual)
    np.testing.assert_array_equal(fused, np.maximum(apart + residual, 0))
