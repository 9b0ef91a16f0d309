"""A benchmark on the terminal: progress, one line for each layer, means, and what was lost."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .bench_result import OURS, RATIOS, LayerResult, losing, means

HEADINGS = ("best", "eager", "last")        # of RATIOS
FEW = 3             # layers that are shown contender by contender
WIDTH = 160         # where the output is no terminal


def console() -> Console:
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDTH)


class Advance:
    """The progress bar. It is drawn between turns only: drawing takes CPU time."""

    def __init__(self, bar: Progress, layers: int):
        self.bar = bar
        self.task = bar.add_task("starting", total=layers)
        bar.refresh()

    def begin(self, name: str) -> None:
        self.bar.update(self.task, description=name)
        self.bar.refresh()

    def done(self) -> None:
        self.bar.advance(self.task)

    def note(self, text: str) -> None:
        self.bar.console.print(text, style="yellow", markup=False)


@contextmanager
def progress(console: Console, layers: int) -> Iterator[Advance]:
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, auto_refresh=False, transient=True, speed_estimate_period=600) as bar:
        yield Advance(bar, layers)


def coloured(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return f"[{'green' if ratio >= 1 else 'red'}]{ratio:.2f}[/]"


def microseconds(seconds: float) -> str:
    us = seconds * 1e6
    return f"{us:.2f}" if us < 10 else f"{us:.1f}" if us < 100 else f"{us:.0f}"


def table(*left: str, right: Iterable[str], title: str | None = None) -> Table:
    """An empty table with columns of words, then columns of numbers."""
    made = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in left:
        made.add_column(name, no_wrap=True)
    for name in right:
        made.add_column(name, justify="right", no_wrap=True)
    return made


def units(results: list[LayerResult]) -> tuple[str, str]:
    """Headings of the columns of rates and of shares; what streams is in GB/s and in shares of a copy."""
    flops, streams = (any(r.streams == kind for r in results) for kind in (False, True))
    if flops and streams:
        return "GFLOP/s | GB/s", "% peak | copy"
    return ("GB/s", "% copy") if streams else ("GFLOP/s", "% peak")


def giga(rate: float | None) -> str:
    return "-" if rate is None else f"{rate / 1e9:.0f}" if rate >= 1e10 else f"{rate / 1e9:.1f}"


def layer_table(results: list[LayerResult], facts: dict) -> Table:
    made = table("layer", "family", "best fastconv", "best peer", right=("µs", "peer µs", *units(results), *HEADINGS))
    for r in results:
        rate, share = r.rate(), r.share(facts)
        made.add_row(
            r.layer.name, r.layer.family, r.ours or "-", r.best_peer or "-",
            microseconds(r.measured[r.ours].seconds) if r.ours else "-",
            microseconds(r.measured[r.best_peer].seconds) if r.best_peer else "-",
            giga(rate), f"{100 * share:.0f}" if share else "-",
            *(coloured(r.ratio(which)) for which in RATIOS))
    return made


def contender_table(r: LayerResult) -> Table:
    made = table("contender", "way", right=("µs", "spread %", units([r])[0], "error"), title=r.layer.name)
    for name, m in sorted(r.measured.items(), key=lambda item: item[1].seconds):
        made.add_row(f"fastconv {name}" if name in OURS else name, m.way, microseconds(m.seconds), f"{100 * m.spread:.0f}",
                      giga(r.rate(name)), f"{m.error:.1e}")
    for name, reason in (r.refused | r.failed).items():
        made.add_row(name, reason, "-", "-", "-", "-")
    return made


def mean_table(results: list[LayerResult]) -> Table:
    made = table("geometric means", right=("layers", *HEADINGS))
    for family, values in means(results).items():
        made.add_row(family, str(values["layers"]), *(coloured(values[which]) for which in RATIOS),
                      style="bold" if family == "all" else None)
    return made


def print_report(console: Console, results: list[LayerResult], facts: dict) -> None:
    if not results:
        return
    if len(results) <= FEW:
        for r in results:
            console.print(contender_table(r))
    console.print(layer_table(results, facts))
    console.print("; ".join(f"{name}: {meaning}" for name, meaning in zip(HEADINGS, RATIOS.values())))
    console.print(mean_table(results))
    lost = losing(results)
    names = ", ".join(f"{r.layer.name} {r.ratio():.2f} ({r.best_peer})" for r in lost)
    console.print(f"{len(lost)} of {sum(r.ratio() is not None for r in results)} layers lose{': ' if lost else ''}{names}",
                  markup=False)
    peak, machine = facts["peak"], facts["machine"]
    console.print(f"{machine['cpu']}, {machine['isa']}, {facts['threads']} threads; FMA peak "
                  + ", ".join(f"{real} {rate / 1e9:.0f} GFLOP/s" for real, rate in peak.items() if rate)
                  + f"; copy {facts['copy'] / 1e9:.0f} GB/s; " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items()),
                  markup=False)
    loud = [r.layer.name for r in results if any(not turn.quiet for m in r.measured.values() for turn in m.turns)]
    if loud:
        console.print(f"disturbed by other programs, and less certain: {', '.join(loud)}", markup=False)
    idle = max(facts["idle_cpu"].items(), key=lambda item: item[1], default=None)
    console.print(f"{facts['seconds']:.0f} s; {facts['disturbed_turns']} turns not quiet, repeated unless in vain before"
                  + (f"; CPU taken while others ran: at most {100 * idle[1]:.1f} % ({idle[0]})" if idle else ""),
                  markup=False)
