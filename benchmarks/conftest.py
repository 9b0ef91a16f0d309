"""What the benchmarks share: layer x row of the table x function or packed layer x layout.

A file sets FAMILIES; its test takes the argument `run`. Each answer is compared with the float64 answer once,
before it is timed.
Run with ``pytest benchmarks``; select with ``-k "resnet50 and packed"``.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pytest
from layers import Layer, of_families

import fastconv
from fastconv.algorithms import TABLE
from fastconv.cli import bench_data

MOST_SECONDS = 0.1          # of one benchmark
LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """One call that is timed."""

    layer: Layer
    algorithm: str
    packed: bool
    channels_last: bool

    def __str__(self) -> str:
        return "-".join((self.layer.name, self.algorithm, "packed" if self.packed else "function",
                         "last" if self.channels_last else "first"))


def cases(families: tuple[str, ...]) -> list[Case]:
    """Every row that does not refuse, for each layer."""
    return [Case(layer, row.name, packed, channels_last) for layer in of_families(*families)
            for channels_last in (False, True) for packed in (False, True) for row in TABLE[layer.problem.operation]
            if not row.refuses(replace(layer.problem, channels_last=channels_last, packed=packed))]


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        metafunc.definition.add_marker(pytest.mark.benchmark(max_time=MOST_SECONDS, min_rounds=LEAST_ROUNDS, min_time=1e-5))
        metafunc.parametrize("case", cases(metafunc.module.FAMILIES), ids=str)


@lru_cache(maxsize=1)
def right_answer(layer: Layer) -> np.ndarray:
    return bench_data.reference(layer.problem, 0, fastconv.get_num_threads())


def call(case: Case) -> Callable[[], np.ndarray]:
    """The call that is timed, arrays in place and weights packed."""
    problem = case.layer.problem
    x, weight, bias = bench_data.arrays(problem)
    if case.channels_last:
        x = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    arguments = dict(stride=problem.stride, padding=tuple(before for before, _ in problem.padding),
                     dilation=problem.dilation, groups=problem.G, channels_last=case.channels_last,
                     algorithm=case.algorithm)
    if case.packed:
        conv = getattr(fastconv, problem.operation.replace("conv", "Conv"))(weight, bias, **arguments)
        return lambda: conv(x)
    function = getattr(fastconv, problem.operation)
    return lambda: function(x, weight, bias, **arguments)


@pytest.fixture
def run(case: Case, benchmark) -> Callable[[], None]:
    """Check the answer, time the call, note what was computed and how fast."""
    def measure() -> None:
        compute, problem = call(case), case.layer.problem
        y = compute()
        error = bench_data.error(np.moveaxis(y, -1, 1) if case.channels_last else y, right_answer(case.layer))
        assert error <= bench_data.tolerance(problem)
        benchmark.group = case.layer.name
        benchmark(compute)
        benchmark.extra_info |= {"family": case.layer.family, "algorithm": case.algorithm, "error": error,
                                 "GFLOP": problem.flops / 1e9, "threads": fastconv.get_num_threads()}
        if benchmark.stats is not None:                 # None with --benchmark-disable
            benchmark.extra_info["GFLOP/s"] = problem.flops / benchmark.stats.stats.median / 1e9
    return measure
