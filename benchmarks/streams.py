"""What benchmarks of operations without weights share: one call, its arrays in place, and the bytes that it must move."""
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

import fastconv

MOST_SECONDS, LEAST_ROUNDS = 0.1, 3


class Call(NamedTuple):
    """A function, its arrays, and what it is called with besides."""

    name: str
    function: str
    shape: tuple[int, ...]      # of the input, channels first
    arguments: tuple = ()
    options: tuple[tuple[str, object], ...] = ()
    both_layouts: bool = True

    def cases(self) -> list[tuple[Call, bool]]:
        return [(self, last) for last in ((False, True) if self.both_layouts else (False,))]


def name_of(value) -> str:
    return value.name if isinstance(value, Call) else "last" if value else "first"


@cache
def image(shape: tuple[int, ...], channels_last: bool) -> np.ndarray:
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    return np.ascontiguousarray(np.moveaxis(x, 1, -1)) if channels_last else x


def measure(benchmark, call: Call, channels_last: bool, extra: tuple = ()) -> None:
    """Time one call into an array that is there already, so that no page of memory is new."""
    x = image(call.shape, channels_last)
    layout = {"channels_last": channels_last} if call.both_layouts else {}
    function: Callable = getattr(fastconv, call.function)
    arguments = (*extra, *call.arguments)
    out = function(x, *arguments, **dict(call.options), **layout)
    benchmark.group = call.name
    benchmark(lambda: function(x, *arguments, **dict(call.options), **layout, out=out))
    benchmark.extra_info |= {"bytes": x.nbytes + out.nbytes, "threads": fastconv.get_num_threads()}
    if benchmark.stats is not None:                 # None with --benchmark-disable
        benchmark.extra_info["GB/s"] = (x.nbytes + out.nbytes) / benchmark.stats.stats.median / 1e9
