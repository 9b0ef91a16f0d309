"""Regret: how much longer a call takes because another row of the table than the quickest was chosen."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import product
from statistics import median
from typing import NamedTuple

from .. import kernels
from ..plan import make_plan
from ..problem import Problem
from ..rivals import ROUNDS, SECONDS, candidates, row_calls, time_calls, turn
from .bench_report import microseconds, table
from .layers import Layer

ALLOWED = 1.05          # times the quickest row
PAIRS = 15              # turns of the chosen row with each rival that comes near: the pace of a machine may change meanwhile
WORST = 15              # that are printed
WAYS = {(last, packed): f"{'packed' if packed else 'function'} {'channels_last' if last else 'NCHW'}"
        for last, packed in product((False, True), repeat=2)}


class Regret(NamedTuple):
    """One layer, called in one way."""

    layer: str
    way: str
    chosen: str
    seconds: dict[str, float]       # row -> quickest call; rows far behind were called a few times only

    @property
    def best(self) -> str:
        return min(self.seconds, key=self.seconds.__getitem__)

    @property
    def ratio(self) -> float:
        return self.seconds[self.chosen] / self.seconds[self.best]


def measure(problem: Problem, threads: int, seconds: float = SECONDS) -> tuple[str, dict[str, float]]:
    """The row that is chosen, and the time of every row; of quicker or near rivals by their share of the chosen row's."""
    chosen = make_plan(problem, threads=threads).row.name
    calls = row_calls(problem, kernels.isa, threads)
    times = time_calls(calls, seconds)
    for rival in calls:
        if rival != chosen and times[rival] < times[chosen] * ALLOWED:
            times[rival] = times[chosen] * shared_time(calls[rival], calls[chosen], seconds / ROUNDS)
    return chosen, times


def shared_time(rival: Callable[[], None], chosen: Callable[[], None], seconds: float) -> float:
    """Time of one call as a share of the other's: the median of turns side by side."""
    return median(turn(rival, seconds) / turn(chosen, seconds) for _ in range(PAIRS))


def regrets(layers: Iterable[Layer], threads: int, seconds: float = SECONDS) -> Iterator[Regret]:
    """Every layer in both layouts, with and without packed weights, where more than one row can compute it."""
    for layer in layers:
        for (last, packed), way in WAYS.items():
            problem = replace(layer.problem, channels_last=last, packed=packed)
            if len(candidates(problem)) > 1:
                yield Regret(layer.name, way, *measure(problem, threads, seconds))


def share(found: list[Regret]) -> float:
    """Share of the calls whose row is within ALLOWED of the quickest."""
    return sum(r.ratio <= ALLOWED for r in found) / len(found) if found else 1.0


def print_regrets(console, found: list[Regret], threads: int) -> None:
    """The shares, and the worst choices."""
    worst = sorted((r for r in found if r.ratio > ALLOWED), key=lambda r: -r.ratio)
    if worst:
        made = table("layer", "way", "chosen", "quickest", right=("µs", "quickest µs", "times as long"),
                     title=f"the worst of {len(worst)} choices")
        for r in worst[:WORST]:
            made.add_row(r.layer, r.way, r.chosen, r.best, microseconds(r.seconds[r.chosen]),
                         microseconds(r.seconds[r.best]), f"{r.ratio:.2f}")
        console.print(made)
    parts = ", ".join(f"{way} {100 * share([r for r in found if r.way == way]):.1f} %" for way in WAYS.values())
    console.print(f"{100 * share(found):.1f} % of {len(found)} calls are within {100 * ALLOWED - 100:.0f} % of the quickest "
                  f"row ({threads} {'thread' if threads == 1 else 'threads'}): {parts}", markup=False)


def as_json(found: list[Regret]) -> dict:
    return {"allowed": ALLOWED, "share": share(found),
            "calls": [r._asdict() | {"quickest": r.best, "ratio": r.ratio} for r in found]}
