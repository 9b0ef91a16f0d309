"""Every row that can compute a problem, timed on the machine at hand."""
from __future__ import annotations

from collections.abc import Callable
from math import inf, prod
from time import perf_counter

import numpy as np

from .algorithms import PANELS, Algorithm
from .machine import machine
from .plan import NUMPY_REAL, Plan
from .problem import Problem

ROUNDS = 5          # in which rows take turns, so that a slow moment of the machine meets all of them
SECONDS = 0.01      # that one row is called for, all rounds together
TRIALS = 3          # single calls of every row before, since one alone may be disturbed
HOPELESS = 2.5      # times the quickest after a trial ...
BEHIND = 1.25       # ... and after a round: such a row is not called again
NUMBERS = 4093      # that arrays repeat: no sum of them is zero, odd or out of range


def candidates(problem: Problem, isa: str) -> list[Algorithm]:
    """Rows that "auto" may choose: those that do not refuse and whose rounding errors are not too large to be unasked."""
    one = machine(isa, problem.real)
    return [row for row in PANELS[problem.operation] if not row.refuses(problem) and row.cost(problem, one) < inf]


def some_numbers(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of numbers between 0.5 and 1, the same for the same shape."""
    return np.resize(np.random.default_rng(0).uniform(0.5, 1, min(NUMBERS, prod(shape))).astype(dtype), shape)


def caller(plan: Plan, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, residual: np.ndarray | None,
           y: np.ndarray) -> Callable[[], None]:
    """One call of a plan as a function without arguments; the weights are packed now if a layer would hold them so."""
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
    dtype = NUMPY_REAL[problem.real]
    shapes = problem.input_shape, problem.weight_shape, problem.output_shape
    x, weight, y = (some_numbers(shape, dtype) for shape in shapes)
    bias = some_numbers((problem.K,), dtype) if problem.bias else None
    residual = some_numbers(problem.output_shape, dtype) if problem.residual else None
    calls = {row.name: caller(Plan(problem, row, isa, threads), x, weight, bias, residual, y)
             for row in candidates(problem, isa)}
    for call in calls.values():
        call()                      # finds memory and threads that nobody has used yet
    times = dict.fromkeys(calls, 0.0)
    for number in range(TRIALS + ROUNDS):
        limit = min(times.values()) * (HOPELESS if number <= TRIALS else BEHIND)
        for name, call in calls.items():
            if times[name] <= limit:
                taken = turn(call, seconds / ROUNDS if number >= TRIALS else 0)
                times[name] = min(times[name], taken) if number else taken
    return times
