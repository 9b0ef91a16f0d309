"""Numbers for a benchmark, the same in every process, and whether an answer is right."""
from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np

from ..plan import make_plan
from ..problem import Problem
from .operations import OPERATIONS, Arrays, Call, numbers
from .way import on_line

GROWTH = 64         # times what sums of this length lose on average: Winograd's larger tiles take 10, bfloat16 takes 1000


def arrays(problem: Problem, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input (N, C, *spatial), weights and bias, uniform in -0.5 .. 0.5, in the problem's number type."""
    generator = np.random.default_rng([seed, problem.C, problem.K, problem.taps, problem.pixels])
    channels_first = replace(problem, channels_last=False)
    dtype = np.float64 if problem.real == "f64" else np.float32
    x, weight, bias = (generator.random(shape, dtype) for shape in
                       (channels_first.input_shape, problem.weight_shape, (problem.K,)))
    for array in (x, weight, bias):
        array -= 0.5
    if problem.rank_one:        # the same Gaussian, which a blur is, for all channels
        line = [np.exp(-(np.arange(n) - n // 2) ** 2 / (n / 4) ** 2) for n in problem.kernel]
        weight[...] = np.outer(*(one / one.sum() for one in line))
        bias[...] = 0
    return x, weight, bias


def inputs(problem: Problem | Call, seed: int = 0) -> Arrays:
    """All arrays of a problem, channels first, by the names of arguments; each begins on a line of the cache."""
    if isinstance(problem, Call):
        given = numbers(problem, np.random.default_rng([seed, *problem.input_shape]))
    else:
        given = dict(zip(("input", "weight", "bias"), arrays(problem, seed)))
    return {name: on_line(array) for name, array in given.items()}


def reference(problem: Problem | Call, seed: int, threads: int) -> np.ndarray:
    """The answer in float64, (N, K, *spatial).

    Of a plain convolution by the last row of the table, which tests compare with SciPy; else by its definition.
    """
    if isinstance(problem, Call):
        given = {name: a.astype(np.float64) for name, a in inputs(problem, seed).items()}
        return OPERATIONS[problem.operation].answer(problem, given)
    x, weight, bias = (array.astype(np.float64) for array in arrays(problem, seed))
    plan = make_plan(replace(problem, real="f64", channels_last=False, packed=False), "direct", threads=threads)
    y = np.empty(plan.problem.output_shape)
    plan.run(x, weight, bias, None, y)
    return y


def tolerance(problem: Problem | Call) -> float:
    """Largest error that is believed, in units of the root mean square of the output.

    Rounding errors of a sum of n products add up like a random walk, to sqrt(n) units in the last place.
    """
    return GROWTH * sqrt(problem.sum_length) * (2.0**-53 if problem.real == "f64" else 2.0**-24)


def error(answer: np.ndarray, right: np.ndarray) -> float:
    """Largest error in units of the root mean square of the output; infinite if shapes differ or a number is not finite."""
    if answer.shape != right.shape:
        return float("inf")
    worst = float(np.max(np.abs(answer - right), initial=0.0))
    return worst / float(np.sqrt(np.mean(np.square(right)))) if np.isfinite(worst) else float("inf")
