"""Exact on integers: where no sum rounds, every row on every instruction set equals SciPy to the bit."""
import numpy as np
import pytest
from cases import (
    BLOCKED,
    SMALL,
    accepting_rows,
    assert_exact,
    compute,
    every_row,
    integers,
    layout_name,
)

import fastconv
from fastconv import reference


def check_row(case, channels_last, row, isa, real):
    data = integers(case, channels_last)
    arrays = data.inputs(real)
    for packed in (False, True):
        problem = case.problem(real, channels_last, packed=packed)
        if not row.refuses(problem):
            assert_exact(compute(problem, row, isa, *arrays), problem, row, data)


@pytest.mark.parametrize("case, channels_last, row, isa, real", every_row(SMALL))
def test_small_integers_exact(case, channels_last, row, isa, real):
    check_row(case, channels_last, row, isa, real)


@pytest.mark.parametrize("case, channels_last, row, isa, real", every_row(BLOCKED))
def test_several_blocks_exact(case, channels_last, row, isa, real):
    check_row(case, channels_last, row, isa, real)


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_default_function_exact(case, channels_last):
    data = integers(case, channels_last)
    problem = case.problem("f32", channels_last)
    x, w, bias, residual = data.inputs("f32")
    y = getattr(fastconv, case.operation)(x, w, bias, groups=case.groups, channels_last=channels_last, residual=residual,
                                          **dict(case.arguments))
    assert y.dtype == np.float32 and y.flags.c_contiguous
    if all(row.error == 1 for row in accepting_rows(problem)):
        np.testing.assert_array_equal(y, data.y)
    else:
        np.testing.assert_allclose(y, data.y, rtol=0, atol=1e-4 * data.magnitude.max())


@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_oracles_agree(case, channels_last):
    """SciPy's correlate and the sum over taps of cases.py share no code."""
    data = integers(case, channels_last)
    problem = case.problem(channels_last=channels_last)
    y = reference.convolution(problem, *data[:4])
    np.testing.assert_array_equal(y, data.y)
    np.testing.assert_array_equal(y, reference.by_taps(problem, *data[:4]))
