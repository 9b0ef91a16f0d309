"""The part of fastconv verify that pools: random windows by every row, against their definition in float64."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import numpy as np

from .. import config, kernels, reference_pooling
from ..algorithms import TABLE
from ..arrays import COMPUTED
from ..pool_problem import PoolProblem, adaptive_problem, pool_problem, unpool_problem
from ..stream_plan import make_stream_plan
from .verify_streams import source

CHANNELS = (1, 2, 3, 5, 8, 15, 17, 33, 65)
EXTENTS = {1: (1, 2, 7, 16, 33, 131), 2: (1, 2, 3, 7, 8, 15, 17, 33), 3: (1, 2, 3, 5, 8)}
KERNELS = (1, 2, 2, 3, 3, 5, 9, 13)
NAMES = ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")
OPERATIONS = tuple(f"{name}{axes}d" for axes in (1, 2, 3) for name in (*NAMES, "max_unpool", "lp_pool"))


def draw(random: Random, number: int) -> PoolProblem:
    """A random problem of awkward extents; ValueError where they do not fit together."""
    axes, name = number % 3 + 1, NAMES[number // 3 % len(NAMES)]

    def each(choices):
        return tuple(random.choice(choices) for _ in range(axes))

    shape, indices = (random.choice((1, 2)), random.choice(CHANNELS), *each(EXTENTS[axes])), random.random() < 0.3
    if name.startswith("adaptive"):
        return adaptive_problem(f"{name}{axes}d", shape, "f32", each((1, 2, 3, 7, None)), indices=indices and "max" in name)
    kernel = each(KERNELS)
    padding = tuple(random.randint(0, k // 2) for k in kernel)
    options = ((each((1, 1, 2)), random.random() < 0.5) if name == "max_pool" else
               (1, random.random() < 0.5, random.random() < 0.5, random.choice((None, None, 3))))
    return pool_problem(f"{name}{axes}d", shape, "f32", kernel, random.choice((None, each((1, 1, 2, 3)))), padding, *options,
                        indices=indices and name == "max_pool")


def problems(count: int, seed: int = 0) -> Iterator[PoolProblem]:
    """The same `count` problems every time."""
    random, number = Random(source("pooling", seed)), 0
    while number < count:
        try:
            problem = draw(random, number)
        except ValueError:
            continue
        yield problem
        number += 1


def verify(problem: PoolProblem, integers: bool, random: np.random.Generator, record) -> None:
    """One problem by all rows that take it; `record(name, isa, real)` gives the Record to write to."""
    shape = problem.input_shape
    x = (random.integers(-9, 10, shape) if integers else random.standard_normal(shape)).astype(np.float32)
    if problem.largest:
        expected = reference_pooling.largest(problem, x)[:1 + problem.indices]
        scale = np.zeros(expected[0].shape)
    else:
        expected, scale = (reference_pooling.mean(problem, x),), np.abs(reference_pooling.mean(problem, np.abs(x)))
    for last in (False, True):
        for row in TABLE[problem.operation]:
            for isa in kernels.available():
                for real in kernels.REALS:
                    one = replace(problem, real=real, channels_last=last)
                    if not row.refuses(one):
                        compare(one, row, isa, x, expected, scale, integers, record(f"{row.name} (pool)", isa, real))


def compare(problem, row, isa, x, expected, scale, integers, record) -> None:
    dtype = COMPUTED[problem.real]
    x = np.ascontiguousarray(np.moveaxis(x, 1, -1) if problem.channels_last else x, dtype)
    results = [np.empty(problem.output_shape, kind) for kind in (dtype, np.int64)[:1 + problem.indices]]
    make_stream_plan(problem, row.name, isa, config.get_num_threads()).run((x,), tuple(results))
    results = [np.moveaxis(y, -1, 1) if problem.channels_last else y for y in results]
    record.cases += 1
    if integers or problem.largest:
        wrong = sum(np.count_nonzero(y != right.astype(y.dtype)) for y, right in zip(results, expected))
        if wrong:
            record.wrong += 1
            record.failures.append(f"{wrong} numbers are wrong: {problem}")
        return
    error = np.abs(results[0] - expected[0])
    unit, bound = np.finfo(dtype).eps / 2, problem.taps + 2
    units = float((error / (unit * np.maximum(scale, np.finfo(np.float32).tiny))).max(initial=0.0))
    if units / bound >= record.share:
        record.share, record.error, record.bound = units / bound, units, bound
    if not units <= bound:
        record.failures.append(f"error {units:.3g}, allowed {bound:g}: {problem}")


def verify_unpool(random: np.random.Generator, record) -> None:
    """Random positions, equal ones included, to the bit."""
    for axes, C, last in ((axes, C, last) for axes in (1, 2, 3) for C in (1, 5, 65) for last in (False, True)):
        size = (3, 4, 5)[:axes]
        shape = (2, *size, C) if last else (2, C, *size)
        for isa in kernels.available():
            for real in kernels.REALS:
                problem = unpool_problem(f"max_unpool{axes}d", shape, real, 2, channels_last=last)
                x = random.standard_normal(shape).astype(COMPUTED[real])
                indices = random.integers(0, np.prod(problem.output_size), shape)
                y = np.empty(problem.output_shape, x.dtype)
                make_stream_plan(problem, "auto", isa, config.get_num_threads()).run((x, indices), (y,))
                one = record("scatter (unpool)", isa, real)
                one.cases += 1
                if not np.array_equal(y, reference_pooling.unpool(x, indices, problem.output_size, last)):
                    one.wrong += 1
                    one.failures.append(f"numbers are wrong: {problem}")
