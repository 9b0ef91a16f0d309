"""Plans of operations without weights: pooling and whatever else streams its input past the lanes once.

Such an operation has a problem (frozen, hashable) with

    operation, real, channels_last      which rows of the table, which build, which layout
    work                                numbers that one call reads and writes; decides whether threads are worth it
    fields()                            what the struct of its kernels holds, by name

and rows whose `kernel` names a file in src/ and whose `blocks` may size the parts of that struct that depend on the machine.
"""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any, Protocol

import numpy as np

from . import kernels
from .algorithms import TABLE
from .machine import machine
from .row import Algorithm

SERIAL_WORK = 1 << 15           # numbers; below, a second thread costs more than it brings
MOST_PLANS = 4096


class StreamProblem(Protocol):
    """What a plan needs to know of a problem."""

    operation: str
    real: str
    channels_last: bool

    @property
    def work(self) -> int: ...

    @property
    def output_shape(self) -> tuple[int, ...]: ...

    def fields(self) -> dict[str, Any]: ...


class StreamPlan:
    """One problem, the row that computes it, and all that the kernel needs to know. Immutable and shared."""

    def __init__(self, problem: StreamProblem, row: Algorithm, isa: str, threads: int):
        self.problem, self.row, self.isa = problem, row, isa
        self.file = row.kernel_last if problem.channels_last else row.kernel
        self.threads = threads if problem.work >= SERIAL_WORK else 1
        self.module = kernels.load(self.file, isa, problem.real)
        self.blocks = row.blocks(problem, machine(isa, problem.real), self.threads) if row.blocks else {}
        self.geometry: bytes = self.module.geometry(problem.fields() | self.blocks)
        self.workspace: int = self.module.workspace_bytes(self.geometry)
        self.kernel = self.module.stream

    def run(self, inputs: tuple[np.ndarray | None, ...], outputs: tuple[np.ndarray | None, ...]) -> bool:
        """Compute the outputs, all in C order; returns what the kernel reports."""
        return self.kernel(self.geometry, inputs, outputs, self.threads)


class Planned(Exception):
    """What ends a call inside `planning`, before it computes anything."""

    def __init__(self, plan: StreamPlan):
        super().__init__("a call was to be planned only")
        self.plan = plan


only_plan: ContextVar[bool] = ContextVar("fastconv_only_plan", default=False)


@contextmanager
def planning() -> Iterator[None]:
    """Inside, in this thread, every call raises Planned as soon as it has a plan."""
    token = only_plan.set(True)
    try:
        yield
    finally:
        only_plan.reset(token)


_plans: OrderedDict[tuple, StreamPlan] = OrderedDict()
_lock = Lock()


def make_stream_plan(problem: StreamProblem, algorithm: str = "auto", isa: str | None = None,
                     threads: int = 1) -> StreamPlan:
    """The plan for a problem, from the cache if it was made before.

    Raises
    ------
    ValueError
        If `algorithm` is not "auto" and names no row, or a row that refuses the problem.
    """
    key = problem, algorithm, isa or kernels.isa, threads
    plan = _plans.get(key)
    if plan is None:
        plan = StreamPlan(problem, choose(problem, algorithm, key[2]), key[2], threads)
        with _lock:
            _plans[key] = plan
            if len(_plans) > MOST_PLANS:
                _plans.popitem(last=False)
    if only_plan.get():
        raise Planned(plan)
    return plan


def choose(problem: StreamProblem, algorithm: str, isa: str) -> Algorithm:
    """The row that is predicted to be quickest, or the row that is asked for."""
    rows = TABLE[problem.operation]
    if algorithm == "auto":
        one = machine(isa, problem.real)
        return min((row for row in rows if not row.refuses(problem)), key=lambda row: row.cost(problem, one))
    for row in rows:
        if row.name == algorithm:
            reason = row.refuses(problem)
            if reason:
                raise ValueError(f"algorithm={algorithm!r} cannot compute this {problem.operation}: {reason}")
            return row
    raise ValueError(f"algorithm={algorithm!r} is none of auto, {', '.join(row.name for row in rows)}")
