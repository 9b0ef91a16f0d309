"""fastconv bench: layers of well-known networks, every operation, side by side with the libraries that are installed.

Every contender has a process of its own, sees the same numbers, and is left out where it lacks the operation or its answer
is wrong. In each round each contender runs a layer for a moment while the others sleep; a turn in which another program
took the CPU, and a round before or after which the CPU did not reach its peak, are repeated, less often after that was in
vain. Reported is the median over rounds of the median call.
"""
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from time import sleep

from .. import config
from . import bench_data
from .bench_process import Failed, Process, Refused, Turn
from .bench_result import LayerResult, Measured, as_json, machine_facts
from .layers import FAMILIES, Layer, named_layers, random_layers, select
from .peers import FASTCONV, LIBRARIES, PEERS, Contender

OVERHEAD = "tiny/3x3-8-8@8"
PEAK_SECONDS = 0.02         # of one measurement of the peak, and how many of them at a time
PEAK_TIMES = 4
MOST_TRIES = 8              # of a turn that other programs disturb ...
PAUSE = 0.2                 # ... and the seconds between them
STEADY = 0.9                # share of the peak that must be reached before and after a round ...
MOST_ROUNDS = 4             # ... or it is measured again, so often at most, and half as often after that was in vain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = __doc__.split("\n\n", 1)[1]
    add = parser.add_argument
    add("--layers", metavar="PATTERN", help="part of a name, or a shell pattern, such as 'resnet50/3x3*'")
    add("--family", choices=FAMILIES, metavar="FAMILY", help=f"layers of one family: {', '.join(FAMILIES)}")
    add("--random", metavar="N", type=positive, help="N random layers instead of the named ones")
    add("--seed", type=int, default=0, help="of the random layers and of all numbers (%(default)s)")
    add("--overhead", action="store_true", help="only a call that computes next to nothing")
    add("--threads", metavar="T", type=positive, default=config.get_num_threads(), help="threads (%(default)s)")
    add("--rounds", metavar="R", type=positive, default=3, help="rounds (%(default)s)")
    add("--turn", metavar="MS", type=positive, default=30, help="milliseconds of one turn (%(default)s)")
    add("--peers", metavar="A,B", default="all",
        help=f"of {', '.join(LIBRARIES)}; all that are installed, or none (%(default)s)")
    add("--dtype", choices=("float32", "float64"), help="compute every layer in this type")
    add("--json", metavar="FILE", type=Path, help="write everything that was measured")
    add("--markdown", metavar="FILE", type=Path, help="write the tables of docs/benchmarks.md")
    add("--plot", metavar="DIR", type=Path, help="write charts: ratios, roofline, share of the peak, scaling, errors")
    add("--regret", action="store_true", help="no peers: how much longer the chosen algorithms take than the quickest")
    add("--sweep", action="store_true", help="no peers: look for sizes and channels that are slow beside their neighbours")


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def chosen_layers(arguments) -> tuple[Layer, ...]:
    if arguments.overhead:
        return select(named_layers(), OVERHEAD)[:1]
    layers = random_layers(arguments.random, arguments.seed) if arguments.random else named_layers()
    if arguments.dtype:
        real = "f64" if arguments.dtype == "float64" else "f32"
        layers = tuple(layer for layer in layers if layer.problem.real == "f32")
        layers = tuple(layer._replace(problem=replace(layer.problem, real=real)) for layer in layers)
    return select(layers, arguments.layers, arguments.family)


def chosen_peers(text: str) -> tuple[Contender, ...]:
    """Contenders of the libraries that `text` names; ValueError if one is unknown or absent."""
    if text in ("all", "none"):
        return tuple(peer for peer in PEERS if text == "all" and peer.installed)
    names = text.split(",")
    for name in names:
        if name not in LIBRARIES:
            raise ValueError(f"--peers {name!r} is none of {', '.join(LIBRARIES)}, all, none")
        if not all(peer.installed for peer in PEERS if peer.library == name):
            raise ValueError(f"--peers {name}: it is not installed (pip install fastconv[bench])")
    return tuple(peer for peer in PEERS if peer.library in names)


class Bench:
    """The processes of all contenders, and what they measure."""

    def __init__(self, peers: tuple[Contender, ...], threads: int, rounds: int, seconds: float, seed: int,
                 report: Callable[[str], None], operations: Iterable[str] | None = None):
        """`operations`: those that will be measured; contenders that have none of them are not started."""
        self.rounds, self.seconds, self.seed, self.report = rounds, seconds, seed, report
        self.peak = {"f32": 0.0, "f64": 0.0}                # FLOP/s; the best of several short measurements
        self.copy = 0.0                                     # bytes/s
        self.disturbed = 0                                  # turns that were not quiet
        self.patience = MOST_ROUNDS
        self.idle: dict[str, list[float]] = {}              # contender -> seconds and CPU seconds while others ran
        self.oracle = Process(FASTCONV[0], threads)         # knows the right answers and the peak, takes no part
        self.processes: list[Process] = []
        for contender in (*FASTCONV, *peers):
            if operations is not None and not contender.operations.keys() & set(operations):
                continue
            try:
                self.processes.append(Process(contender, threads))
            except Failed as failure:
                report(f"{contender.name} does not start: {failure}")

    @property
    def versions(self) -> dict[str, str]:
        return {process.contender.library: process.version for process in self.processes}

    def measure_peak(self, real: str, times: int = PEAK_TIMES) -> float:
        """The best FLOP/s of `times` short measurements, and 0 where it cannot be measured."""
        best = 0.0
        try:
            for _ in range(times):
                best = max(best, self.oracle.ask("peak", real, PEAK_SECONDS))
        except Failed as failure:
            if not self.peak[real]:
                self.report(f"no peak: {failure}")
        self.peak[real] = max(self.peak[real], best)
        return best

    def steady(self, real: str) -> bool:
        """Whether the CPU reaches its peak now: another guest of the same host is seen in nothing else."""
        return self.measure_peak(real, 1) >= STEADY * self.peak[real]

    def measure_copy(self) -> None:
        try:
            self.copy = max(self.copy, self.oracle.ask("copy", 10 * PEAK_SECONDS))
        except Failed as failure:
            self.report(f"no copy rate: {failure}")

    def measure(self, layer: Layer) -> LayerResult:
        """Check every answer, then measure the contenders in turn."""
        result = LayerResult(layer)
        try:
            right = self.oracle.ask("reference", layer.problem, self.seed)
        except Failed as failure:
            self.fail(result, "reference", str(failure))
            return result
        for process in self.processes:
            if layer.problem.operation in process.contender.operations:
                self.prepare(process, result, right)
        self.measure_peak(layer.problem.real)
        for number in range(self.rounds):
            for _ in range(self.patience):
                steady = self.steady(layer.problem.real)
                turns = self.round(number, result)
                if self.steady(layer.problem.real) and steady:
                    self.patience = MOST_ROUNDS
                    break
                self.disturbed += len(turns)
            else:
                self.patience = max(1, self.patience // 2)
            for name, turn in turns.items():
                if name in result.measured:
                    result.measured[name].turns.append(turn)
        for name in [name for name, measured in result.measured.items() if not measured.turns]:
            del result.measured[name]
        return result

    def prepare(self, process: Process, result: LayerResult, right) -> None:
        name, problem = process.contender.name, result.layer.problem
        try:
            way, answer = process.prepare(problem, self.seed)
        except Refused as refusal:
            result.refused[name] = str(refusal)
            return
        except Failed as failure:
            self.fail(result, name, str(failure))
            return
        error, allowed = bench_data.error(answer, right), bench_data.tolerance(problem)
        if error <= allowed:
            result.measured[name] = Measured(way, error)
        else:
            self.fail(result, name, f"wrong answer: error {error:.2g} instead of {allowed:.2g}" if isfinite(error) else
                      f"wrong answer: {'not finite' if answer.shape == right.shape else f'shape {answer.shape}'}")

    def round(self, number: int, result: LayerResult) -> dict[str, Turn]:
        """One turn of each contender; every round begins with another one."""
        ready = [process for process in self.processes if process.contender.name in result.measured]
        start, turns = number % max(1, len(ready)), {}
        for process in ready[start:] + ready[:start]:
            name = process.contender.name
            try:
                turns[name] = self.turn(process)
            except Failed as failure:
                self.fail(result, name, str(failure))
                del result.measured[name]
        return turns

    def turn(self, process: Process) -> Turn:
        """The quietest of several if other programs are busy."""
        name, best = process.contender.name, None
        for _ in range(MOST_TRIES):
            turn: Turn = process.ask("run", self.seconds)
            self.idle[name] = [a + b for a, b in zip(self.idle.get(name, (0, 0)), (turn.rest, turn.idle))]
            best = turn if best is None or turn.waited < best.waited else best
            if best.quiet:
                break
            self.disturbed += 1
            sleep(PAUSE)
        return best

    def fail(self, result: LayerResult, name: str, reason: str) -> None:
        result.failed[name] = reason
        self.report(f"{result.layer.name}: {name} failed: {reason}")

    def stop(self) -> None:
        for process in (self.oracle, *self.processes):
            process.stop()


def run(arguments) -> int:
    try:
        from . import bench_report
    except ImportError as error:
        print(f"fastconv bench needs {error.name}: pip install fastconv[bench]", file=sys.stderr)
        return 1
    try:
        layers, peers = chosen_layers(arguments), chosen_peers(arguments.peers)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if not layers:
        print("no layer has such a name", file=sys.stderr)
        return 2
    console = bench_report.console()
    if arguments.regret or arguments.sweep:
        from .bench_alone import run_alone
        return run_alone(console, layers, arguments)
    for file in filter(None, (arguments.json, arguments.markdown)):
        file.parent.mkdir(parents=True, exist_ok=True)          # now, not after all was measured
    began, results = datetime.now(UTC), []
    with bench_report.progress(console, len(layers)) as advance:
        bench = Bench(peers, arguments.threads, arguments.rounds, arguments.turn / 1e3, arguments.seed, advance.note,
                      {layer.problem.operation for layer in layers})
        try:
            bench.measure_copy()
            reals = {layer.problem.real for layer in layers}
            for real in reals:
                bench.measure_peak(real)
            for layer in layers:
                advance.begin(layer.name)
                results.append(bench.measure(layer))
                advance.done()
            for real in reals:
                bench.measure_peak(real)
        except KeyboardInterrupt:
            advance.note(f"stopped after {len(results)} layers")
        finally:
            bench.stop()
    facts = {"began": began.isoformat(timespec="seconds"),
             "seconds": (datetime.now(UTC) - began).total_seconds(),
             "machine": machine_facts(), "versions": bench.versions, "threads": arguments.threads,
             "rounds": arguments.rounds, "turn_seconds": bench.seconds, "seed": arguments.seed, "peak": bench.peak,
             "copy": bench.copy, "disturbed_turns": bench.disturbed,
             "idle_cpu": {name: cpu / rest for name, (rest, cpu) in bench.idle.items()}}
    bench_report.print_report(console, results, facts)
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(results, facts), indent=1))
    if arguments.markdown and results:
        from .bench_markdown import tables
        arguments.markdown.write_text(tables(results, facts))
    if arguments.plot and results:
        from .bench_plot import plot_ratios
        from .bench_roofline import plot_roofline
        for path in (*plot_ratios(results, facts, arguments.plot), *plot_roofline(results, facts, arguments.plot)):
            console.print(f"wrote {path}")
        from .bench_alone import plot_alone
        plot_alone(console, arguments.plot, arguments.threads)
    return 0 if len(results) == len(layers) else 1
