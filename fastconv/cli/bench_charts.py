"""Charts of fastconv alone: share of the peak over channels and size, speed over threads, rounding errors."""
from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")         # needs no display; before pyplot is imported
import numpy as np
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter, NullLocator

from .bench_sweep import CHANNELS, KINDS, LAYOUTS, SIZES, Grid, cliffs_of

LINES = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#66ccee", "#997700", "#332288", "#777777", "#ee8866")
MARKERS = "osD^vPX*p"
DPI = 130


def finish(figure, title: str, about: str, path: Path) -> Path:
    figure.suptitle(f"{title}\n", fontsize=12, fontweight="bold")
    figure.text(0.5, 0.985, f"\n{about}", ha="center", va="top", fontsize=9, color="#555555")
    figure.savefig(path, dpi=DPI)
    pyplot.close(figure)
    return path


def open_axes(axis) -> None:
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def draw_heat(grids: dict[tuple[str, bool], Grid], peak: float, about: str, folder: Path) -> Path:
    """FLOP/s by the definition of the convolution over the peak; a ring around each cliff."""
    figure, axes = pyplot.subplots(len(LAYOUTS), len(KINDS), figsize=(13, 8), layout="constrained", squeeze=False)
    for (kind, last), grid in grids.items():
        axis = axes[int(last)][list(KINDS).index(kind)]
        share = np.array([[100 * 2 / grid[c, n].unit / peak for n in SIZES] for c in CHANNELS])
        top = 10 * np.ceil(share.max() / 10)
        image = axis.imshow(share, origin="lower", aspect="auto", cmap="viridis", vmin=0, vmax=top)
        for cliff in cliffs_of(grid, kind, last):
            axis.plot(SIZES.index(cliff.size), CHANNELS.index(cliff.channels), "o", mfc="none", mec="#ff3333", ms=8, mew=1.3)
        axis.set_xticks(range(len(SIZES)), SIZES, fontsize=7)
        axis.set_yticks(range(len(CHANNELS)), CHANNELS, fontsize=7)
        axis.set_title(f"{kind}, {LAYOUTS[last]}", fontsize=10)
        axis.set_xlabel("rows and columns of the image", fontsize=8)
        axis.set_ylabel("channels", fontsize=8)
        bar = figure.colorbar(image, ax=axis, pad=0.02)
        bar.ax.tick_params(labelsize=7)
        bar.set_label("% of the FMA peak", fontsize=8)
    about += ("; Winograd's algorithm multiplies less and may exceed 100 %; rings: slower than 1.3 times the interpolation "
              "of the neighbours")
    return finish(figure, "Share of the peak over channels and size", about, folder / "heat.png")


def draw_scaling(seconds: dict[str, list[float]], threads: list[int], about: str, folder: Path) -> Path:
    """Speed with n threads over that with one, and the ideal."""
    figure, axis = pyplot.subplots(figsize=(8, 5), layout="constrained")
    axis.plot(threads, threads, "--", color="black", linewidth=1, label="ideal")
    for number, (name, taken) in enumerate(seconds.items()):
        axis.plot(threads, [taken[0] / t for t in taken], color=LINES[number % len(LINES)],
                  marker=MARKERS[number % len(MARKERS)], markersize=6, linewidth=1.5,
                  label=f"{name}   {1e6 * taken[0]:.0f} → {1e6 * taken[-1]:.0f} µs")
    axis.set_xticks(threads)
    axis.set_xlabel("threads")
    axis.set_ylabel("times as quick as one thread")
    axis.set_ylim(0.9, max(threads) * 1.06)
    axis.set_xlim(1 - 0.03 * max(threads), 1.03 * max(threads))
    axis.legend(fontsize=8, frameon=False, loc="upper left")
    open_axes(axis)
    return finish(figure, "Threads", about, folder / "scaling.png")


def draw_errors(errors, about: str, folder: Path) -> Path:
    """Errors over the length of the sums, both on logarithmic axes."""
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 5), layout="constrained", sharex=True, sharey=True)
    names = list(dict.fromkeys(error.row for error in errors))
    for axis, value, what in zip(axes, ("usual", "worst"), ("root mean square of the errors", "largest error")):
        for number, name in enumerate(names):
            mine = [error for error in errors if error.row == name]
            axis.plot([e.products for e in mine], [getattr(e, value) for e in mine], label=name, linewidth=1.5,
                      color=LINES[number % len(LINES)], marker=MARKERS[number % len(MARKERS)], markersize=5)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log", base=2)
        axis.set_title(what, fontsize=10)
        axis.set_xlabel("products in a sum (3x3 kernels)")
        for side in (axis.xaxis, axis.yaxis):
            side.set_minor_locator(NullLocator())
            side.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}" if v >= 1 else f"1/{1 / v:g}"))
        axis.set_xticks([e.products for e in errors if e.row == names[0]])
        open_axes(axis)
    axes[0].set_ylabel("units in the last place (float32) of the outputs' root mean square", fontsize=9)
    axes[0].legend(fontsize=8, frameon=False, loc="upper left")
    return finish(figure, "Rounding errors beside SciPy in float64", f"{about}; normal random numbers",
                  folder / "errors.png")
