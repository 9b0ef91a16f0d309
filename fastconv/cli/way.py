"""What a contender of a benchmark makes of a problem: ways to compute it, and what several contenders need for that."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..arrays import lined
from ..problem import Problem
from .operations import Arrays, Call

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")


class Way(NamedTuple):
    """One way to compute a problem."""

    name: str
    call: Callable[[], Any]
    answer: Callable[[Any], np.ndarray]     # what `call` returned, as an array (N, K, *spatial)


Prepare = Callable[[Any, Arrays, int], list[Way]]       # (problem, its arrays, threads)


def symmetric(problem: Problem | Call) -> str:
    """Refusals that the peers share."""
    if isinstance(problem, Call):
        return ""
    if problem.padding_mode != "zeros":
        return f"padding_mode={problem.padding_mode!r}"
    return "" if all(before == after for before, after in problem.padding) else "more padding on one side"


def single(problem: Problem | Call) -> str:
    return "float64" if problem.real == "f64" else symmetric(problem)


def pads(problem: Problem) -> list[int]:
    return [before for before, _ in problem.padding]


def on_line(x: np.ndarray) -> np.ndarray:
    """The same numbers in C order from a line of the cache on, where libraries put the arrays that they make themselves."""
    y = lined(x.shape, x.dtype)
    y[...] = x
    return y


def last(x: np.ndarray) -> np.ndarray:
    return on_line(np.moveaxis(x, 1, -1))


def first(y: np.ndarray) -> np.ndarray:
    return np.moveaxis(y, -1, 1)
