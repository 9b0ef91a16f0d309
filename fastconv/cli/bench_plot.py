"""Charts of a benchmark: one bar for each layer, coloured by family."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib

matplotlib.use("Agg")         # needs no display; before pyplot is imported
from matplotlib import pyplot
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from .bench_result import RATIOS, LayerResult, means
from .layers import FAMILIES

COLOURS = dict(zip(FAMILIES, ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#997700", "#004488",
                              "#777777", "#ee8866", "#332288", "#99ddff", "#44bb99", "#bbcc33", "#aaaa00", "#ffaabb",
                              "#225555", "#882255", "#663333", "#117733", "#dd77aa")))
MOST_ROWS = 60          # in one column of bars
ROW = 0.2               # inches
LEAST, MOST = 1 / 64, 64        # ratios beyond are drawn so far only; their number is written out


def plot_ratios(results: list[LayerResult], facts: dict, folder: Path) -> Iterator[Path]:
    """Write one PNG for each kind of ratio that was measured; the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for which, meaning in RATIOS.items():
        known = [r for r in results if r.ratio(which) is not None]
        if known:
            path = folder / f"speedup_{which}.png"
            plot_ratio(known, which, meaning, facts, path)
            yield path


def plot_ratio(results: list[LayerResult], which: str, meaning: str, facts: dict, path: Path) -> None:
    """Families in the order of FAMILIES, within a family the greatest speed-up first."""
    rows = sorted(results, key=lambda r: (FAMILIES.index(r.layer.family), -r.ratio(which)))
    columns = -(-len(rows) // MOST_ROWS)
    height = -(-len(rows) // columns)
    values = [min(max(r.ratio(which), LEAST), MOST) for r in rows]
    low, high = min(0.7, *values) / 1.15, max(1.4, *values) * 1.9       # room for the numbers on the right
    figure, axes = pyplot.subplots(1, columns, figsize=(1 + 6.2 * columns, 1.9 + ROW * height), squeeze=False,
                                   layout="constrained")
    for column, axis in enumerate(axes[0]):
        part = slice(column * height, (column + 1) * height)
        draw_bars(axis, rows[part], values[part], which)
        axis.set(xlim=(low, high), ylim=(height - 0.4, -0.6))
    mean = means(rows)
    handles = [Patch(color=COLOURS[family], label=f"{family}  {values[which]:.2f}")
               for family, values in mean.items() if family in COLOURS]
    lost = sum(r.ratio(which) < 1 for r in rows)
    machine = f"{facts['machine']['cpu']}, {facts['machine']['isa']}, {facts['threads']} threads"
    figure.suptitle(f"Speed-up: {meaning}\n{machine}; geometric mean {mean['all'][which]:.2f}; "
                    f"{len(rows) - lost} of {len(rows)} layers gain", fontsize=11)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4 * columns),
                  fontsize=9, frameon=False, title="geometric mean of each family", title_fontsize=9)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def draw_bars(axis, rows: list[LayerResult], values: list[float], which: str) -> None:
    """Bars from 1 to the ratio, to the left where fastconv is slower."""
    places = range(len(rows))
    axis.set_xscale("log")
    axis.barh(places, [value - 1 for value in values], left=1, height=0.74,
              color=[COLOURS[r.layer.family] for r in rows])
    axis.axvline(1, color="black", linewidth=1)
    for place, r, value in zip(places, rows, values):
        slower = r.ratio(which) < 1
        axis.annotate(f"{r.ratio(which):.2f}", (max(value, 1), place), (3, 0), textcoords="offset points", va="center",
                      fontsize=7, color="#bb0000" if slower else "black", fontweight="bold" if slower else "normal")
    axis.set_yticks(places, [r.layer.name for r in rows], fontsize=7.5)
    axis.xaxis.set_major_locator(LogLocator(base=2, numticks=16))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value >= 1 else f"1/{1 / value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=8, which="both", top=True, labeltop=True)
    axis.grid(axis="x", alpha=0.3, linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("left", "right"):
        axis.spines[side].set_visible(False)
