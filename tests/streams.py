"""What tests of resampling, rearranging and regions share: a problem run on one build, compared with its definition."""
from __future__ import annotations

import numpy as np
from memory import Arena

from fastconv import reference_regions, reference_resampling
from fastconv.arrays import COMPUTED
from fastconv.stream_plan import make_stream_plan

BUILT_ARENAS: list[Arena] = []


def expected_of(problem, inputs):
    oracle = reference_regions if hasattr(problem, "bins") else reference_resampling
    expected, units = oracle.expected_of(problem, inputs)
    return np.reshape(expected, problem.output_shape), units


def poisoned(problem, dtype) -> np.ndarray:
    """An output in which a number that is not written shows."""
    return np.full(problem.output_shape, np.nan if dtype.kind == "f" else 77, dtype)


def run(problem, inputs, isa: str, threads: int = 1, y=None) -> np.ndarray:
    y = poisoned(problem, inputs[0].dtype) if y is None else y
    make_stream_plan(problem, isa=isa, threads=threads).run(tuple(inputs), (y,))
    return y


def check(problem, inputs, isa: str, expected=None) -> None:
    """One build against the definition; two threads against one; between pages that may not be touched."""
    y = run(problem, inputs, isa)
    expected, units = expected or expected_of(problem, inputs)
    if y.dtype.kind == "f":
        unit = np.finfo(y.dtype).eps / 2
        with np.errstate(invalid="ignore"):
            good = (y == expected) | (np.abs(y - expected) <= units * unit + np.finfo(y.dtype).tiny)
        good |= (y != y) & (expected != expected)
    else:
        good = y == expected
    assert good.all(), f"{np.count_nonzero(~good)} of {y.size} wrong, first at {np.argwhere(~good)[0]}: {problem}"
    np.testing.assert_array_equal(run(problem, inputs, isa, threads=2), y)
    for at_end in (True, False):
        np.testing.assert_array_equal(between_guards(problem, inputs, isa, at_end), y)


def between_guards(problem, inputs, isa: str, at_end: bool) -> np.ndarray:
    """The same call with every array at the edge of memory that faults beyond."""
    while len(BUILT_ARENAS) <= len(inputs):
        BUILT_ARENAS.append(Arena(320))
    arrays = [None if a is None else arena.place(a, at_end) for arena, a in zip(BUILT_ARENAS[1:], inputs)]
    y = BUILT_ARENAS[0].place(poisoned(problem, inputs[0].dtype), at_end)
    run(problem, arrays, isa, y=y)
    assert BUILT_ARENAS[0].untouched_around()
    return y.copy()


def reals(rng: np.random.Generator, shape, real: str) -> np.ndarray:
    return rng.standard_normal(shape).astype(COMPUTED[real])
