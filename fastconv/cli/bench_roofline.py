"""The roofline: speed over arithmetic intensity, below what multiply-adds and memory allow at most."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib

matplotlib.use("Agg")         # needs no display; before pyplot is imported
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter, NullFormatter

from .bench_charts import finish, open_axes
from .bench_plot import COLOURS
from .bench_result import LayerResult
from .layers import FAMILIES

MARGIN = 1.6            # of the axes, around the dots
NAMED = 6               # layers farthest below the roof, whose names are written


def plot_roofline(results: list[LayerResult], facts: dict, folder: Path) -> Iterator[Path]:
    """One PNG for each number type that was measured; the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for real, peak in facts["peak"].items():
        known = [r for r in results if r.layer.problem.real == real and r.flops_per_second()]
        if known and peak and facts["copy"]:
            yield draw_roofline(known, peak, facts["copy"], real, facts, folder / f"roofline_{real}.png")


def draw_roofline(results: list[LayerResult], peak: float, copy: float, real: str, facts: dict, path: Path) -> Path:
    """A dot for each layer, by family; intensity counts input, weights and output once."""
    dots = [(r, r.layer.problem.flops / r.layer.problem.bytes, r.flops_per_second()) for r in results]
    corner = peak / copy
    low = min(corner / MARGIN**4, *(x / MARGIN for _, x, _ in dots))
    high = max(corner * MARGIN, *(x * MARGIN for _, x, _ in dots))
    figure, axis = pyplot.subplots(figsize=(10, 6.5), layout="constrained")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.plot([low, corner, high], [low * copy / 1e9, peak / 1e9, peak / 1e9], color="black", linewidth=1.6)
    axis.annotate(f"FMA peak {peak / 1e9:.0f} GFLOP/s", (high, peak / 1e9), (-4, 4), textcoords="offset points",
                  ha="right", va="bottom", fontsize=9)
    axis.annotate(f"memory {copy / 1e9:.0f} GB/s", (low * MARGIN, low * MARGIN * copy / 1e9), (8, -8),
                  textcoords="offset points", va="top", fontsize=9)
    for family in FAMILIES:
        mine = [(x, y / 1e9) for r, x, y in dots if r.layer.family == family]
        if mine:
            axis.scatter(*zip(*mine), s=38, color=COLOURS[family], edgecolor="white", linewidth=0.6, label=family, zorder=3)
    lowest = sorted(dots, key=lambda dot: dot[2] / min(peak, dot[1] * copy))[:NAMED]
    for number, (r, x, y) in enumerate(sorted(lowest, key=lambda dot: dot[2])):     # neighbours on different sides
        axis.annotate(r.layer.name, (x, y / 1e9), (-6 if number % 2 else 6, -3), textcoords="offset points", fontsize=7,
                      ha="right" if number % 2 else "left", color="#444444")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        side.set_minor_formatter(NullFormatter())
    axis.set_xlim(low, high)
    axis.set_xlabel("FLOP for each byte of input, weights and output")
    axis.set_ylabel("GFLOP/s, by the definition of the convolution")
    axis.legend(fontsize=9, frameon=False, loc="lower right", ncols=2)
    open_axes(axis)
    machine = facts["machine"]
    threads = f"{facts['threads']} {'thread' if facts['threads'] == 1 else 'threads'}"
    about = (f"{machine['cpu']}, {machine['isa']}, {threads}, {real}; above the peak: Winograd's algorithm multiplies less; "
             "above memory: arrays that stay in cache")
    return finish(figure, "Roofline", about, path)
