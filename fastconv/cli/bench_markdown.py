"""The tables of docs/benchmarks.md, as Markdown."""
from __future__ import annotations

from collections.abc import Iterable

from .bench_report import giga
from .bench_result import LayerResult, means

LAYERS = ("layer", "way", "us", "GFLOP/s or GB/s", "best peer", "us", "ratio", "eager")
FAMILIES = ("family", "layers", "geometric mean of ratios", "eager", "below 1")


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    headings = tuple(headings)
    lines = [headings, ("---",) * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def microseconds(seconds: float) -> str:
    """Three digits at least."""
    us = seconds * 1e6
    return f"{us:.2f}" if us < 10 else f"{us:.1f}" if us < 100 else f"{us:.0f}"


def number(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def layer_row(r: LayerResult) -> tuple[str, ...]:
    ours, peer = r.ours, r.best_peer
    us = [microseconds(r.measured[name].seconds) if name else "-" for name in (ours, peer)]
    rate = f"{giga(r.rate())}{' GB/s' if r.streams and ours else ''}"
    return r.layer.name, ours or "-", us[0], rate, peer or "-", us[1], number(r.ratio()), number(r.ratio("eager"))


def family_row(family: str, values: dict, results: list[LayerResult]) -> tuple[str, ...]:
    below = sum((r.ratio() or 1) < 1 for r in results if family in (r.layer.family, "all"))
    return family, str(values["layers"]), number(values["best"]), number(values["eager"]), str(below)


def tables(results: list[LayerResult], facts: dict) -> str:
    """One paragraph that says what was measured on what, a row for each layer, a row for each family."""
    versions = ", ".join(f"{library} {version}" for library, version in facts["versions"].items())
    peak = " and ".join(f"{rate / 1e9:.0f} GFLOP/s ({real})" for real, rate in facts["peak"].items() if rate)
    about = (f"{facts['machine']['cpu']}, {facts['machine']['isa']}, {facts['threads']} threads, {facts['rounds']} rounds; "
             f"FMA peak {peak}, copy {facts['copy'] / 1e9:.0f} GB/s; {versions}.\n")
    families = [family_row(family, values, results) for family, values in means(results).items()]
    return "\n".join((about, table(LAYERS, map(layer_row, results)), table(FAMILIES, families)))
