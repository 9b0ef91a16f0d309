"""fastconv run: a photograph through classical filters, two networks layer by layer, checked against SciPy."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from .. import config, reference
from ..arithmetic import times
from ..layers import Conv2d
from ..problem import Problem
from . import CommandError
from .filters import FILTERS, apply_filter, draw_sheet, load_photograph
from .measure import fma_peak, median_seconds
from .networks import INPUT, INPUT_SHAPE, NETWORKS, Layer, Pool
from .terminal import make_console, make_table, progress_bar

SHEET = "filters.png"
PIXELS, CHANNELS = 24, 4            # of each layer's output that SciPy computes too
UNIT = np.finfo(np.float32).eps / 2
NOTES = (
    "[dim]Batch 1, float32, random weights packed beforehand. ms: median of several calls. error: the worst of up to "
    f"{PIXELS} x {CHANNELS} outputs of each layer in units of rounding, |y - SciPy| / (sum of |products| x half the spacing "
    "of numbers at 1). allowed: products in a sum + 8, times the algorithm's growth. SciPy: extrapolated from "
    "scipy.signal.correlate on one output channel of each layer to all its channels.[/]")
NEXT = """\
[bold]Next[/]          fastconv verify    every algorithm against SciPy
              fastconv bench     against other libraries
              fastconv explain conv2d --input 1,64,56,56 --weight 64,64,3,3 --padding 1
[bold]In Python[/]     import fastconv; help(fastconv.conv2d)"""


class Measured(NamedTuple):
    """One layer that ran."""

    layer: Layer
    problem: Problem
    algorithm: str
    seconds: float
    error: float                    # worst of the sampled outputs, in units of rounding
    bound: float
    scipy_seconds: float            # for all output channels, extrapolated from one


def add_arguments(parser) -> None:
    parser.add_argument("--output", type=Path, default=Path("out"), metavar="DIRECTORY",
                        help=f"where {SHEET} goes (out); made if it does not exist")


def run(arguments) -> int:
    console = make_console()
    photograph = load_photograph()
    path = arguments.output / SHEET
    results = []
    with progress_bar(console, "filters", len(FILTERS)) as advance:
        for one in FILTERS:
            results.append(apply_filter(one, photograph))
            advance()
    try:
        draw_sheet(results, path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from None
    console.print(f"{len(results)} pictures of a cat: {path}", soft_wrap=True)

    threads = config.get_num_threads()
    peak = fma_peak("f32", threads)
    console.print(f"Peak of {'1 thread' if threads == 1 else f'{threads} threads'}, measured: {peak / 1e9:.0f} GFLOP/s "
                  "of float32 multiply-adds")
    networks = {}
    for name, layers in NETWORKS.items():
        everything = list(layers())
        with progress_bar(console, name, len(everything)) as advance:
            networks[name] = run_network(everything, advance)
        console.print(layer_table(name, networks[name], peak))
    console.print(total_table(networks, peak))
    console.print(NOTES)
    wrong = [one for measured in networks.values() for one in measured if not one.error <= one.bound]
    for one in wrong:
        console.print(f"[bold red]{one.layer.name}: error {one.error:.3g}, allowed {one.bound:g}[/]")
    console.print(f"\n[bold]The pictures[/]  {path}\n{NEXT}", soft_wrap=True)
    return 1 if wrong else 0


def run_network(layers: list[Layer | Pool], advance: Callable[[], None]) -> list[Measured]:
    """Chain the layers on a random image; weights are such that every sum has variance one, as in He et al. 2015."""
    random = np.random.default_rng(50)
    outputs = {INPUT: random.standard_normal((1, *INPUT_SHAPE), np.float32)}
    measured = []
    for layer in layers:
        x = outputs[layer.source]
        if isinstance(layer, Pool):
            outputs[layer.name] = max_pool(x)
        else:
            shape = layer.K, layer.C // layer.groups, layer.kernel, layer.kernel
            deviation = 1 / np.sqrt(prod(shape[1:]) * np.square(x).mean())
            weight = random.standard_normal(shape, np.float32) * deviation
            bias = random.standard_normal(layer.K, np.float32) * np.float32(0.1)
            residual = outputs[layer.residual] if layer.residual else None
            one, outputs[layer.name] = run_layer(layer, x, weight, bias, residual, random)
            measured.append(one)
        advance()
    return measured


def run_layer(layer: Layer, x, weight, bias, residual, random: np.random.Generator) -> tuple[Measured, np.ndarray]:
    conv = Conv2d(weight, bias, layer.stride, layer.kernel // 2, groups=layer.groups, activation=layer.activation)
    y = conv(x, residual)
    seconds = median_seconds(lambda: conv(x, residual, out=y))
    plan = conv.plan(x.shape, residual is not None)
    error = sampled_error(plan.problem, x, weight, bias, residual, y, random)
    bound = (plan.problem.sum_length + 8) * plan.row.error
    return Measured(layer, plan.problem, plan.row.name, seconds, error, bound, scipy_seconds(plan.problem, x, weight)), y


def max_pool(x: np.ndarray) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2].max((4, 5))


def sampled_error(problem: Problem, x, weight, bias, residual, y, random: np.random.Generator) -> float:
    """Worst error of some outputs of the first image, the corners among them: each window on its own, by the oracle."""
    P, Q = problem.output_size
    corners = [(0, 0), (0, Q - 1), (P - 1, 0), (P - 1, Q - 1)]
    C, K = problem.C // problem.G, problem.K // problem.G
    channels = min(CHANNELS, K)
    window_problem = replace(problem, N=1, C=C, K=channels, G=1, size=problem.kernel, padding=((0, 0), (0, 0)))
    worst = 0.0
    for p, q in corners + [(random.integers(P), random.integers(Q)) for _ in range(PIXELS - len(corners))]:
        group = random.integers(problem.G)
        first = group * K + random.integers(K - channels + 1)
        some = slice(first, first + channels)
        arrays = (cut_window(problem, x[0, group * C:(group + 1) * C], p, q)[None], weight[some], bias[some],
                  None if residual is None else residual[:1, some, p:p + 1, q:q + 1])
        expected = reference.convolution(window_problem, *arrays)
        scale = np.maximum(reference.magnitude(window_problem, *arrays), np.abs(expected))
        error = np.abs(y[:1, some, p:p + 1, q:q + 1] - expected) / (UNIT * scale)
        worst = max(worst, float(np.nan_to_num(error, nan=np.inf).max()))
    return worst


def cut_window(problem: Problem, channels: np.ndarray, p: int, q: int) -> np.ndarray:
    """What output (p, q) sees of (C, H, W) channels, zeros where it looks beyond the border."""
    window = np.zeros((len(channels), *problem.kernel), channels.dtype)
    place, seen = [slice(None)], [slice(None)]
    for axis, (at, extent, kernel) in enumerate(zip((p, q), problem.size, problem.kernel)):
        start = int(at) * problem.stride[axis] - problem.padding[axis][0]
        first, last = max(start, 0), min(start + kernel, extent)
        place.append(slice(first - start, last - start))
        seen.append(slice(first, last))
    window[tuple(place)] = channels[tuple(seen)]
    return window


def scipy_seconds(problem: Problem, x, weight) -> float:
    """Time of scipy.signal.correlate for one output channel, times the output channels. It knows no stride."""
    from scipy.signal import correlate
    channels = np.pad(x[0, :problem.C // problem.G], ((0, 0), *problem.padding))
    start = perf_counter()
    correlate(channels, weight[0], mode="valid")
    return (perf_counter() - start) * problem.K


def layer_table(name: str, measured: list[Measured], peak: float):
    table = make_table(name, "<layer", "C", "<kernel", "output", "<algorithm", "ms", "GFLOP/s", "peak", "error",
                       "allowed")
    for one in measured:
        problem, rate = one.problem, one.problem.flops / one.seconds
        stride, grouped = one.layer.stride, problem.depthwise
        kernel = times(problem.kernel) + (f" s{stride}" if stride > 1 else "") + (" dw" if grouped else "")
        color = "" if one.error <= one.bound else "[red]"
        table.add_row(one.layer.name, str(problem.C), kernel, times(problem.output_shape[1:]), one.algorithm,
                      f"{one.seconds * 1e3:.3f}", f"{rate / 1e9:.0f}", f"{100 * rate / peak:.0f} %",
                      f"{color}{one.error:.1f}", f"{one.bound:g}")
    return table


def total_table(networks: dict[str, list[Measured]], peak: float):
    table = make_table("All convolutions", "<network", "layers", "GFLOP", "ms", "GFLOP/s", "peak", "error", "SciPy", "ratio")
    for name, measured in networks.items():
        flops, seconds = sum(one.problem.flops for one in measured), sum(one.seconds for one in measured)
        scipy = sum(one.scipy_seconds for one in measured)
        worst = max(one.error / one.bound for one in measured)
        table.add_row(name, str(len(measured)), f"{flops / 1e9:.2f}", f"{seconds * 1e3:.2f}", f"{flops / seconds / 1e9:.0f}",
                      f"{100 * flops / seconds / peak:.0f} %", f"{100 * worst:.0f} % of allowed", f"about {scipy:.2g} s",
                      f"{float(f'{scipy / seconds:.2g}'):.0f} x")
    return table
