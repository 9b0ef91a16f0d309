"""What plans know of the CPU: its caches, and the work that its ports for multiply-adds do besides."""
from copy import copy

import numpy as np
import pytest
from cases import BUILDS, case, integers

from fastconv.algorithms import TABLE
from fastconv.arrays import lined
from fastconv.costs import gathers
from fastconv.machine import L3_REACHED, MOVES, machine
from fastconv.plan import NUMPY_REAL, make_plan, past_caches

FAR = case((112, 112), (1, 1), C=128, K=64)


@pytest.mark.parametrize("isa, real", BUILDS)
def test_machine_is_one_that_can_be(isa, real):
    one = machine(isa, real)
    assert one.L1 < one.L2 and one.L3 <= L3_REACHED
    assert one.moves in (1.0, MOVES) and (one.moves == 1 or isa == "v4")


@pytest.mark.parametrize("channels_last", [False, True])
def test_transforms_alone_cost_more_where_they_share_ports(channels_last):
    problem = case((56, 56), (3, 3), C=64, K=64, padding=1).problem("f32", channels_last, packed=True)
    one = machine(*BUILDS[0])._replace(moves=1.0)
    ratio = {row.name: row.cost(problem, one._replace(moves=2.0)) / row.cost(problem, one)
             for row in TABLE["conv2d"] if not row.refuses(problem)}
    assert all(1 < ratio[name] < 2 for name in ("winograd", "winograd2", "fft"))
    plain = "im2col", "direct"
    assert all(ratio[name] == 1 for name in plain)


def test_stores_go_past_a_near_l3_only():
    large, small = case((512, 512), (1, 1), C=64, K=64), case((56, 56), (1, 1), C=64, K=64)
    one = machine(*BUILDS[0])._replace(L3=32 << 20, far=1.0)
    for last in (False, True):
        assert past_caches(large.problem("f32", last), one) and not past_caches(small.problem("f32", last), one)
        assert not past_caches(large.problem("f32", last), one._replace(far=2.6))


@pytest.mark.parametrize("isa, real", BUILDS)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("one", [case((16, 32), (3, 3), C=32, K=32, groups=G, padding=1) for G in (1, 32)], ids=str)
def test_stores_past_the_caches_are_the_same_numbers(one, channels_last, isa, real):
    problem = one.problem(real, channels_last, packed=True)
    plan = copy(make_plan(problem, "depthwise" if problem.G > 1 else "im2col", isa, threads=2))
    x, w, bias, _ = integers(one, channels_last).inputs(real)
    packed, results = plan.pack(w), []
    for past in (0, 1):
        plan.geometry = plan.pack_geometry(past_caches=past)
        y = lined(problem.output_shape, np.dtype(NUMPY_REAL[real]))
        y[...] = np.nan
        plan.run(x, w, bias, None, y, packed)
        results.append(y)
    assert np.array_equal(*results)


def test_panels_from_afar_are_gathered():
    near = case((56, 56), (1, 1), C=16, K=16)
    one = machine(*BUILDS[0])._replace(L3=32 << 20)
    assert gathers(FAR.problem("f32"), one) and not gathers(FAR.problem("f32", True), one)
    assert not gathers(near.problem("f32"), one)


@pytest.mark.parametrize("isa, real", BUILDS)
@pytest.mark.parametrize("one", [case((9, 13), (1, 1), C=70, K=19, N=2), case((32, 32), (1, 1), C=40, K=30)], ids=str)
def test_gathered_panels_have_the_bits_of_those_in_place(one, isa, real):
    problem = one.problem(real, packed=True)
    plan = copy(make_plan(problem, "pointwise", isa, threads=2))
    x, w, bias, _ = integers(one, False).inputs(real)
    x = x / 7
    packed, results = plan.pack(w), []
    for in_place, far in ((1, 0), (0, 0), (0, 1)):
        plan.geometry = plan.pack_geometry(in_place=in_place, far=far)
        y = np.full(problem.output_shape, np.nan, NUMPY_REAL[real])
        plan.run(x, w, bias, None, y, packed)
        results.append(y)
    assert all(np.array_equal(results[0], y) for y in results[1:])
