"""Measurements that several commands make."""
from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

from .. import introspection, kernels

MEMORY_BYTES = 64 << 20     # beyond any L3 in common use, together with its copy


def fma_peak(real: str, threads: int, isa: str | None = None, seconds: float = 0.04, times: int = 5) -> float:
    """FLOP/s of multiply-adds in registers: the best of several, since others may use the CPU too."""
    peak = kernels.load("peak", isa or kernels.isa, real)
    return max(peak.fma(seconds, threads) for _ in range(times))


def memory_rate(threads: int, seconds: float = 0.1, times: int = 3) -> float:
    """Bytes/s of copying memory, read and written; the best of several."""
    peak = kernels.load("peak", kernels.isa, "f32")
    return max(peak.copy(seconds, threads, MEMORY_BYTES) for _ in range(times))


def L2_rate(threads: int, seconds: float = 0.04, times: int = 3) -> float:
    """Bytes/s of copying buffers that take half of L2 together, read and written; the best of several."""
    peak = kernels.load("peak", kernels.isa, "f32")
    nbytes = introspection.caches().get("L2", 512 << 10) // 4
    return max(peak.copy(seconds, threads, nbytes) for _ in range(times))


def median_seconds(call: Callable[[], object], seconds: float = 0.03, least: int = 7, most: int = 50) -> float:
    """Median time of a call, repeated for about `seconds` after one that does not count."""
    call()
    taken: list[float] = []
    while len(taken) < least or (sum(taken) < seconds and len(taken) < most):
        start = perf_counter()
        call()
        taken.append(perf_counter() - start)
    return median(taken)
