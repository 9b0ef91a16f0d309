"""Measurements that several commands make."""
from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np

from .. import introspection, kernels

MEMORY_BYTES = 64 << 20     # beyond any L3 in common use, together with its copy


def fma_rate(real: str, threads: int, seconds: float, isa: str | None = None) -> float:
    """FLOP/s of multiply-adds in registers, all threads together."""
    kernel, rates = kernels.load("peak", isa or kernels.isa, real), np.zeros(threads)
    kernel.stream(kernel.geometry({"seconds": seconds, "nbytes": 0, "threads": threads}), (), (rates,), threads)
    return float(rates.sum())


def copy_rate(threads: int, seconds: float, nbytes: int) -> float:
    """Bytes/s of copying buffers of about `nbytes`, one pair for each thread; bytes read and bytes written both count."""
    kernel, rates, nbytes = kernels.load("peak", kernels.isa, "f32"), np.zeros(threads), max(256, nbytes // 256 * 256)
    geometry = kernel.geometry({"seconds": seconds, "nbytes": nbytes, "threads": threads})
    source, target = (np.empty(nbytes * threads, np.uint8) for _ in range(2))
    kernel.stream(geometry, (source,), (rates, target), threads)
    return float(rates.sum())


def fma_peak(real: str, threads: int, isa: str | None = None, seconds: float = 0.04, times: int = 5) -> float:
    """FLOP/s of multiply-adds in registers: the best of several, since others may use the CPU too."""
    return max(fma_rate(real, threads, seconds, isa) for _ in range(times))


def memory_rate(threads: int, seconds: float = 0.1, times: int = 3) -> float:
    """Bytes/s of copying memory, read and written; the best of several."""
    return max(copy_rate(threads, seconds, MEMORY_BYTES) for _ in range(times))


def L2_rate(threads: int, seconds: float = 0.04, times: int = 3) -> float:
    """Bytes/s of copying buffers that take half of L2 together, read and written; the best of several."""
    nbytes = introspection.caches().get("L2", 512 << 10) // 4
    return max(copy_rate(threads, seconds, nbytes) for _ in range(times))


def median_seconds(call: Callable[[], object], seconds: float = 0.03, least: int = 7, most: int = 50) -> float:
    """Median time of a call, repeated for about `seconds` after one that does not count."""
    call()
    taken: list[float] = []
    while len(taken) < least or (sum(taken) < seconds and len(taken) < most):
        start = perf_counter()
        call()
        taken.append(perf_counter() - start)
    return median(taken)
