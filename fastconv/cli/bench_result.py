"""What a benchmark found: medians, ratios, means, and all of it as JSON."""
from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from math import exp, log
from pathlib import Path
from statistics import median

from .bench_process import Turn
from .layers import FAMILIES, Layer
from .peers import FASTCONV, PEERS

OURS = tuple(contender.name for contender in FASTCONV)
THEIRS = tuple(contender.name for contender in PEERS)
RATIOS = {
    "best": "best peer / best fastconv",
    "eager": "torch NCHW / fastconv function NCHW",
    "channels_last": "torch channels_last / fastconv function channels_last",
}


@dataclass
class Measured:
    """One contender on one layer."""

    way: str
    error: float                                        # in units of the root mean square of the output
    turns: list[Turn] = field(default_factory=list)     # one per round

    @property
    def quiet(self) -> list[float]:
        """Seconds in the rounds that no other program disturbed; in all if there is none."""
        return [turn.seconds for turn in self.turns if turn.quiet] or [turn.seconds for turn in self.turns]

    @property
    def seconds(self) -> float:
        """Median over rounds of the median call of a round."""
        return median(self.quiet)

    @property
    def spread(self) -> float:
        """Slowest less quickest round, in units of the median."""
        return (max(self.quiet) - min(self.quiet)) / self.seconds


@dataclass
class LayerResult:
    """All contenders on one layer."""

    layer: Layer
    measured: dict[str, Measured] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)       # contender -> reason
    failed: dict[str, str] = field(default_factory=dict)        # contender -> what it raised, or how wrong it was

    def quickest(self, names: Iterable[str]) -> str | None:
        found = [name for name in names if name in self.measured]
        return min(found, key=lambda name: self.measured[name].seconds) if found else None

    @property
    def ours(self) -> str | None:
        return self.quickest(OURS)

    @property
    def best_peer(self) -> str | None:
        return self.quickest(THEIRS)

    def ratio(self, which: str = "best") -> float | None:
        """Time of a peer over time of fastconv, above 1 where fastconv is quicker; None if one of them is missing."""
        theirs, ours = {"best": (self.best_peer, self.ours), "eager": ("torch NCHW", "function NCHW"),
                        "channels_last": ("torch channels_last", "function channels_last")}[which]
        if theirs not in self.measured or ours not in self.measured:
            return None
        return self.measured[theirs].seconds / self.measured[ours].seconds

    @property
    def streams(self) -> bool:
        """Whether the operation moves its arrays and computes little: its rate is then in bytes."""
        return not self.layer.problem.flops

    @property
    def work(self) -> int:
        """FLOP, by the definition of the operation: an algorithm that needs fewer may exceed the peak. Or bytes."""
        return self.layer.problem.bytes if self.streams else self.layer.problem.flops

    def rate(self, name: str | None = None) -> float | None:
        """FLOP/s or, if it `streams`, bytes/s of a contender, or of the best fastconv."""
        name = name or self.ours
        return self.work / self.measured[name].seconds if name else None

    def share(self, facts: dict) -> float | None:
        """Of the FMA peak or of the rate of a copy beyond all caches, so far as they were measured."""
        top, rate = facts["copy"] if self.streams else facts["peak"][self.layer.problem.real], self.rate()
        return rate / top if rate and top else None


def geometric_mean(values: Iterable[float | None]) -> float | None:
    logarithms = [log(value) for value in values if value is not None]
    return exp(sum(logarithms) / len(logarithms)) if logarithms else None


def means(results: list[LayerResult]) -> dict[str, dict]:
    """Family, and "all" -> number of layers and geometric mean of each ratio."""
    groups = {family: [r for r in results if r.layer.family == family] for family in FAMILIES} | {"all": results}
    return {family: {"layers": len(group)} | {which: geometric_mean(r.ratio(which) for r in group) for which in RATIOS}
            for family, group in groups.items() if group}


def losing(results: list[LayerResult]) -> list[LayerResult]:
    """Layers on which some peer is quicker, the worst first."""
    return sorted((r for r in results if (r.ratio() or 1) < 1), key=lambda r: r.ratio())


def machine_facts() -> dict:
    from .. import config, kernels
    name = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"cpu": name, "cpus": os.cpu_count(), "usable_cpus": config.usable_cpus(), "isa": kernels.isa,
            "system": platform.platform(), "python": platform.python_version()}


def as_json(results: list[LayerResult], facts: dict) -> dict:
    """Everything: seconds, FLOP/s, bytes/s."""
    layers = [{
        "name": r.layer.name, "network": r.layer.network, "family": r.layer.family, "tags": r.layer.tags,
        "problem": asdict(r.layer.problem), "flops": r.layer.problem.flops, "bytes": r.layer.problem.bytes,
        "fastconv": r.ours, "best_peer": r.best_peer, "ratios": {which: r.ratio(which) for which in RATIOS},
        "contenders": {name: {"seconds": m.seconds, "spread": m.spread, "way": m.way, "error": m.error,
                              "rounds": [turn._asdict() for turn in m.turns]} for name, m in r.measured.items()},
        "refused": r.refused, "failed": r.failed,
    } for r in results]
    return {**facts, "ratios": RATIOS, "means": means(results), "losing": [r.layer.name for r in losing(results)],
            "layers": layers}
