"""Every row that can compute a problem, timed on the machine at hand."""
from __future__ import annotations

from collections.abc import Callable
from math import inf, prod
from time import perf_counter

import numpy as np

from .algorithms import PANELS
from .plan import NUMPY_REAL, Plan, plan_by
from .problem import Problem
from .row import Algorithm

ROUNDS = 5          # in which rows take turns, so that a slow moment of the machine meets all of them
SECONDS = 0.01      # that one row is called for, all rounds together
TRIALS = 3          # single calls of every row before, since one alone may be disturbed
HOPELESS = 2.5      # times the quickest after a trial ...
BEHIND = 1.25       # ... and after a round: such a row is not called again
NUMBERS = 4093      # that arrays repeat: no sum of them is zero, odd or out of range


def candidates(problem: Problem) -> list[Algorithm]:
    """Rows that "auto" may choose."""
    return [row for row in PANELS[problem.operation] if not row.refuses(problem)]


def some_numbers(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of numbers between 0.5 and 1, the same for the same shape."""
    return np.resize(np.random.default_rng(0).uniform(0.5, 1, min(NUMBERS, prod(shape))).astype(dtype), shape)


def some_arrays(problem: Problem) -> tuple[np.ndarray | None, ...]:
    """Input, weights, bias, residual and output of a problem."""
    dtype = NUMPY_REAL[problem.real]
    shapes = (problem.input_shape, problem.weight_shape, (problem.K,) if problem.bias else None,
              problem.output_shape if problem.residual else None, problem.output_shape)
    return tuple(None if shape is None else some_numbers(shape, dtype) for shape in shapes)


def plan_call(plan: Plan, arrays: tuple[np.ndarray | None, ...] | None = None) -> Callable[[], None]:
    """One call of a plan, without arguments; the weights are packed now if a layer would hold them so."""
    x, weight, bias, residual, y = arrays or some_arrays(plan.problem)
    packed = plan.pack(weight) if plan.problem.packed else None
    return lambda: plan.run(x, weight, bias, residual, y, packed)


def turn(call: Callable[[], None], seconds: float) -> float:
    """The quickest of the calls that fit into `seconds`, one at least."""
    best, end = inf, perf_counter() + seconds
    while True:
        before = perf_counter()
        call()
        after = perf_counter()
        best = min(best, after - before)
        if after >= end:
            return best


def time_rows(problem: Problem, isa: str, threads: int, seconds: float = SECONDS) -> dict[str, float]:
    """Row -> seconds of its quickest call; rows far behind are called once or twice only.

    A convolution that has inputs beyond x, weights, bias and residual has no rivals to time.
    """
    return time_calls(row_calls(problem, isa, threads), seconds)


def row_calls(problem: Problem, isa: str, threads: int) -> dict[str, Callable[[], None]]:
    """Row -> a call of it; all have the same arrays, and none is the first of its kind."""
    arrays = some_arrays(problem)
    calls = {row.name: plan_call(plan_by(row, problem, isa, threads), arrays) for row in candidates(problem)}
    for call in calls.values():
        call()                      # finds memory and threads that nobody has used yet
    return calls


def time_calls(calls: dict[str, Callable[[], None]], seconds: float = SECONDS) -> dict[str, float]:
    """Row -> seconds of the quickest call, as `time_rows`."""
    times = dict.fromkeys(calls, 0.0)
    for number in range(TRIALS + ROUNDS):
        limit = min(times.values()) * (HOPELESS if number <= TRIALS else BEHIND)
        for name, call in calls.items():
            if times[name] <= limit:
                taken = turn(call, seconds / ROUNDS if number >= TRIALS else 0)
                times[name] = min(times[name], taken) if number else taken
    return times
