"""What `fastconv bench` measures of fastconv alone: regret, cliffs, and the charts of heat, scaling and error."""
from __future__ import annotations

import json
from pathlib import Path

from .. import config
from . import bench_regret, bench_sweep
from .bench_report import progress
from .bench_result import machine_facts
from .layers import Layer, named_layers, select
from .measure import fma_peak

# Layers whose speed is drawn over the number of threads.
SCALED = ("resnet50/3x3-64-64@56", "resnet50/3x3-512-512@7", "vgg16/3x3-256-256@56", "resnet50/1x1-256-1024@14",
          "resnet50/7x7-3-64@224s2", "mobilenetv2/dw3x3-144@56", "convnext/dw7x7-96@56", "deeplab/3x3-256-256@33d2")


def run_alone(console, layers: tuple[Layer, ...], arguments) -> int:
    """--regret and --sweep; exit status."""
    facts = {"machine": machine_facts(), "threads": arguments.threads, "seed": arguments.seed}
    with config.threads(arguments.threads):
        if arguments.regret:
            found = []
            with progress(console, len(layers)) as advance:
                for layer in layers:
                    advance.begin(layer.name)
                    found += bench_regret.regrets([layer], arguments.threads)
                    advance.done()
            bench_regret.print_regrets(console, found, arguments.threads)
            facts |= {"regret": bench_regret.as_json(found)}
        if arguments.sweep:
            grids, cliffs = run_sweep(console, arguments.threads)
            bench_sweep.print_cliffs(console, cliffs, sum(map(len, grids.values())))
            facts |= {"sweep": bench_sweep.as_json(grids, cliffs)}
            if arguments.plot:
                plot_heat(console, grids, arguments.plot, arguments.threads)
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=1))
    return 0


def run_sweep(console, threads: int) -> tuple[dict[tuple[str, bool], bench_sweep.Grid], list[bench_sweep.Cliff]]:
    """(kind, channels_last) -> grid, and the cliffs of all."""
    grids, cliffs = {}, []
    pairs = [(kind, last) for kind in bench_sweep.KINDS for last in bench_sweep.LAYOUTS]
    with progress(console, len(pairs)) as advance:
        for kind, last in pairs:
            advance.begin(f"{kind} {bench_sweep.LAYOUTS[last]}")
            grid = grids[kind, last] = bench_sweep.sweep(kind, last, threads)
            cliffs += bench_sweep.believed(grid, kind, last, threads)
            advance.done()
    return grids, cliffs


def plot_heat(console, grids, folder: Path, threads: int) -> None:
    from .bench_charts import draw_heat
    folder.mkdir(parents=True, exist_ok=True)
    console.print(f"wrote {draw_heat(grids, fma_peak('f32', threads), about(threads), folder)}")


def about(threads: int) -> str:
    """One line below a title: the machine that was measured."""
    facts = machine_facts()
    return f"{facts['cpu']}, {facts['isa']}, {threads} {'thread' if threads == 1 else 'threads'}, float32"


def plot_alone(console, folder: Path, threads: int) -> None:
    """The charts that need no peers: share of the peak, scaling, error."""
    from . import bench_error
    from .bench_charts import draw_errors, draw_scaling
    grids, _ = run_sweep(console, threads)
    plot_heat(console, grids, folder, threads)
    layers = [layer for name in SCALED for layer in select(named_layers(), name)[:1]]
    counts = range(1, config.usable_cpus() + 1)
    speeds = {layer.name: [bench_sweep.time_plan(layer.problem, n) for n in counts] for layer in layers}
    console.print(f"wrote {draw_scaling(speeds, list(counts), about(max(counts)), folder)}")
    console.print(f"wrote {draw_errors(bench_error.errors(threads), about(threads), folder)}")
