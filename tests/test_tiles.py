"""Tiles of im2col_channels: which taps see the image, and that it does not matter which pixels a tile joins."""
from copy import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from cases import BUILDS, assert_exact, case, integers, layout_name

from fastconv.plan import NUMPY_REAL, make_plan
from fastconv.row import Machine
from fastconv.tiles import ORDERS, ROW_BANDS, TAP_BANDS, best_order, cutting, live_share, runs_of, tile_rows

CASES = [case((7, 7), (3, 3), C=16, K=33, padding=4, dilation=4),
         case((9, 10), (3, 2), C=3, K=40, padding=(5, 2), dilation=(5, 2)),
         case((11, 8), (3, 3), C=17, K=32, N=2, padding=1, stride=2),
         case((20,), (5,), C=16, K=20, padding=12, dilation=6),
         case((3, 6, 7), (3, 3, 3), C=16, K=16, padding=2, dilation=2),
         case((6, 13), (3, 3), C=32, K=64, groups=2, padding=3, dilation=3),
         case((60,), (3,), C=16, K=20, padding=22),
         case((5, 5), (5, 5), C=2, K=18, padding=((4, 0), (3, 2)))]
AXES = [(7, 3, 1, 4, 4, 7), (14, 3, 2, 1, 1, 7), (5, 5, 1, 1, 4, 9), (33, 3, 1, 12, 12, 33), (4, 3, 3, 5, 7, 3),
        (9, 1, 2, 1, 0, 5)]
CPU = Machine("", "f32", lanes=16, MR=12, NR=32, L1=32 << 10, L2=1 << 20, L3=32 << 20, cycle=1e-9, step=0.5)


@pytest.mark.parametrize("n, taps, stride, dilation, before, out", AXES)
def test_runs_tell_which_taps_see_the_image(n, taps, stride, dilation, before, out):
    runs = runs_of(n, taps, stride, dilation, before, out)
    assert [(run.first, run.stop) for run in runs] == list(zip((0, *(run.stop for run in runs)), [run.stop for run in runs]))
    seen = [[tap for tap in range(taps) if 0 <= i * stride - before + tap * dilation < n] for i in range(out)]
    assert seen == [list(range(run.low, run.high)) for run in runs for _ in range(run.first, run.stop)]
    assert all(a[2:] != b[2:] for a, b in pairwise(runs))


def test_orders_are_chosen_for_what_they_are_good_for():
    wide, strided, dilated = (case((n, n), (3, 3), C=256, K=256, padding=d, stride=s, dilation=d).problem("f32", True)
                              for n, s, d in ((56, 1, 1), (14, 2, 1), (7, 1, 4)))
    assert best_order(wide, CPU, False, 56) == (0, 0)
    assert best_order(strided, CPU, False, 7) == (ROW_BANDS, 0)
    assert best_order(dilated, CPU, False, 7) == (TAP_BANDS, 1)
    assert best_order(replace(dilated, padding_mode="reflect"), CPU, False, 7) == (0, 0)
    assert cutting(dilated, CPU, False).live == 169 / 441
    assert 169 / 441 < live_share(dilated, CPU, False) < 0.5 < live_share(strided, CPU, False) < 1
    assert live_share(wide, CPU, False) == 1


def test_pixels_of_a_tile_fit_into_their_sets_of_the_cache():
    rows = {(C, stride): tile_rows(case((9, 9), (1, 1), C=C, K=3, stride=stride).problem("f32", True), CPU)
            for C in (512, 1008, 1024, 3072) for stride in (1, 2)}
    assert rows == {(512, 1): 12, (512, 2): 8, (1008, 1): 12, (1008, 2): 12, (1024, 1): 8, (1024, 2): 8, (3072, 1): 8,
                    (3072, 2): 8}
    assert tile_rows(case((9, 9), (1, 1), C=1024, K=3).problem("f32", False), CPU) == 12
    assert tile_rows(case((9, 9), (1, 1), C=3, K=2048).problem("f32", True), CPU) == 6


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("chunk, rows", [(1, 12), (20, 1), (70, 5), (10000, 7)])
@pytest.mark.parametrize("isa, real", BUILDS)
@pytest.mark.parametrize("one", [*CASES, case((5, 9), (1, 1), C=40, K=70, N=2), case((5, 9), (1, 1), C=20, K=20, stride=2)],
                         ids=str)
def test_any_chunk_and_tile_exact(one, isa, real, chunk, rows, channels_last):
    data = integers(one, channels_last)
    x, w, bias, residual = data.inputs(real)
    problem = one.problem(real, channels_last)
    plan = copy(make_plan(problem, "im2col" if channels_last else "small", isa, threads=2))
    plan.geometry = plan.pack_geometry(packed=int(plan.pack_first), chunk=chunk, tile_rows=min(rows, plan.machine.MR))
    y = np.full(problem.output_shape, np.nan, NUMPY_REAL[real])
    plan.run(x, w, bias, None, y)
    assert_exact(y + residual, problem, plan.row, data)


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "bands{}-segments{}".format(*order))
@pytest.mark.parametrize("isa, real", BUILDS)
@pytest.mark.parametrize("one", CASES, ids=str)
def test_any_order_exact(one, isa, real, order, channels_last):
    data = integers(one, channels_last)
    x, w, bias, residual = data.inputs(real)
    problem = one.problem(real, channels_last)
    plan = copy(make_plan(problem, "im2col" if channels_last else "small", isa, threads=2))
    row = problem.output_size[-1]
    for block in {min(block, plan.blocks["pixel_block"]) for block in (row, row + 1, 2 * row, problem.pixels)}:
        plan.geometry = plan.pack_geometry(packed=int(plan.pack_first), pixel_block=block, **order._asdict())
        for added in (None, residual):
            y = np.full(problem.output_shape, np.nan, NUMPY_REAL[real])
            plan.run(x, w, bias, added, y)
            assert_exact(y if added is not None else y + residual, problem, plan.row, data)
