"""No kernel touches a byte outside its arrays: they end right before, or begin right after, a page that may not be touched.

An access outside kills the process; pytest's faulthandler then names the test.
"""
import os
from dataclasses import replace

import numpy as np
import pytest
from cases import BLOCKED, SMALL, assert_exact, every_row, integers

from fastconv.arrays import with_rows
from fastconv.plan import NUMPY_REAL, make_plan

if os.name != "posix":
    pytest.skip("guard pages need mprotect", allow_module_level=True)
from memory import Arena

# Every width, stride and border, and every second of the tails, which differ from their neighbours in little else.
GUARDED = [c for i, c in enumerate(SMALL) if i % 2 == 0 or c.size[-1] in (1, 7, 9, 15, 17)]


@pytest.fixture(scope="module")
def arenas():
    """Input, weights, bias, residual, output, packed weights."""
    return [Arena(pages) for pages in (320, 256, 4, 256, 256, 320)]


def check_guarded(arenas, case, channels_last, row, isa, real, packed, at_end, threads=1):
    data = integers(case, channels_last)
    problem = replace(case.problem(real, channels_last), bias=True, residual=True, packed=packed)
    plan = make_plan(problem, row.name, isa, threads)
    inputs = [arena.place(a, at_end) for arena, a in zip(arenas, data.inputs(real))]
    y = arenas[4].place(np.full(problem.output_shape, np.nan, NUMPY_REAL[real]), at_end)
    weights = None
    if packed:
        weights = inputs[1]
        if row.name == "rank_one":      # two arrays
            weights = plan.pack(weights)
        elif plan.packs:
            weights = arenas[5].place(np.empty(plan.module.packed_size(plan.geometry), NUMPY_REAL[real]), at_end)
            plan.module.pack(plan.geometry, inputs[1], weights, plan.threads)
            assert arenas[5].untouched_around()
    plan.run(*inputs, y, weights)
    assert_exact(y, problem, row, data)
    for before, after in zip(data.inputs(real), inputs):
        np.testing.assert_array_equal(before, after, "an input was changed")
    assert all(arena.untouched_around() for arena in arenas[:5])


@pytest.mark.parametrize("at_end", [True, False], ids=["ends", "begins"])
@pytest.mark.parametrize("case, channels_last, row, isa, real", every_row(GUARDED))
def test_nothing_outside_arrays_touched(arenas, case, channels_last, row, isa, real, at_end):
    check_guarded(arenas, case, channels_last, row, isa, real, False, at_end)
    if not row.refuses(case.problem(real, channels_last, packed=True)):
        check_guarded(arenas, case, channels_last, row, isa, real, True, at_end)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("at_end", [True, False], ids=["ends", "begins"])
@pytest.mark.parametrize("case, channels_last, row, isa, real", every_row(BLOCKED))
def test_nothing_outside_arrays_touched_in_blocks(arenas, case, channels_last, row, isa, real, at_end, threads):
    check_guarded(arenas, case, channels_last, row, isa, real, False, at_end, threads)


@pytest.mark.parametrize("case, channels_last, row, isa, real", every_row(SMALL[::7]))
def test_nothing_outside_strided_input_touched(arenas, case, channels_last, row, isa, real):
    """Rows of the input apart: what lies between them is NaN, what lies beyond faults."""
    data = integers(case, channels_last)
    x, w, bias, residual = data.inputs(real)
    problem = replace(case.problem(real, channels_last), bias=True, residual=True)
    for at_end in (True, False):
        wide = np.full((*x.shape[:-2], 2 * x.shape[-2] - 1, x.shape[-1]), np.nan, x.dtype)
        wide[..., ::2, :] = x
        view = arenas[0].place(wide, at_end)[..., ::2, :]
        assert with_rows(view, x.dtype) is view
        y = arenas[4].place(np.full(problem.output_shape, np.nan, x.dtype), at_end)
        make_plan(problem, row.name, isa).run(view, w, bias, residual, y)
        assert_exact(y, problem, row, data)
