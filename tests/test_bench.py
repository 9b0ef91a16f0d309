"""fastconv bench: every row, in every way that fastconv runs it, has the right answer; tables and charts of results."""
import json
from types import SimpleNamespace

import numpy as np
import pytest

from fastconv.cli import bench_data
from fastconv.cli.bench import MOST_ROUNDS, Bench
from fastconv.cli.bench_process import Turn
from fastconv.cli.bench_result import LayerResult, Measured, as_json, means
from fastconv.cli.layers import FAMILIES, named_layers, select
from fastconv.cli.operation_layers import rows
from fastconv.cli.operations import OPERATIONS
from fastconv.cli.peers import FASTCONV, PEERS
from fastconv.cli.way import CONVOLUTIONS

REDUCE = 8
ROWS = {row.name: row for some in rows().values() for row in some}
FACTS = {"machine": {"cpu": "one", "isa": "best"}, "threads": 2, "rounds": 1, "peak": {"f32": 5e11, "f64": 0.0},
         "copy": 4e10, "versions": {"fastconv": "0", "torch": "2"}, "idle_cpu": {}, "seconds": 1.0, "disturbed_turns": 0}


@pytest.mark.parametrize("name", ROWS)
def test_right_in_every_way(name):
    call = ROWS[name].call(REDUCE)
    right, ways = bench_data.reference(call, 0, 1), 0
    assert np.count_nonzero(right) > right.size / 3, "an answer of zeros proves nothing"
    for contender in FASTCONV:
        if not contender.refuses(call):
            for way in contender.operations[call.operation](call, bench_data.inputs(call), 1):
                way.call()
                answer = way.answer(way.call())
                assert bench_data.error(answer, right) <= bench_data.tolerance(call), contender.name
                ways += 1
    assert ways == 4, "a function and a layer, or a function into an array, in two layouts"


def test_a_wrong_answer_is_seen():
    for row in ROWS.values():
        call = row.call(REDUCE)
        right = bench_data.reference(call, 0, 1)
        wrong = right + 0.01 * np.abs(right).max()
        assert bench_data.error(wrong, right) > bench_data.tolerance(call), row.name


@pytest.mark.parametrize("layer", named_layers(), ids=lambda layer: layer.name)
def test_row_is_complete(layer):
    problem = layer.problem
    assert layer.family in FAMILIES and layer in select(named_layers(), None, layer.family)
    assert problem.bytes > 4 * np.prod(problem.output_shape)
    assert problem.output_shape[0] and problem.real in ("f32", "f64")
    assert (problem.flops == 0) == (layer.family in ("pooling", "resampling", "regions"))


def test_names_are_unique_and_every_family_has_rows():
    names = [layer.name for layer in named_layers()]
    assert len(names) == len(set(names))
    assert {layer.family for layer in named_layers()} >= set(FAMILIES) - {"grouped"}


@pytest.mark.parametrize("contender", [*FASTCONV, *PEERS], ids=lambda contender: contender.name)
def test_contender_has_known_operations(contender):
    assert contender.operations and set(contender.operations) <= {*CONVOLUTIONS, *OPERATIONS}
    missing = next((layer for layer in named_layers() if layer.problem.operation not in contender.operations), None)
    assert missing is None or "has no" in contender.refuses(missing.problem)


def result(name: str, ours: float, theirs: float | None) -> LayerResult:
    r = LayerResult(next(layer for layer in named_layers() if layer.name == name))
    for contender, seconds in (("function NCHW", ours), ("torch NCHW", theirs)):
        if seconds is not None:
            r.measured[contender] = Measured("a way", 1e-7, [Turn(seconds, 3, 0.0, 0.0, 0.0)])
    return r


@pytest.fixture
def results():
    return [result("resnet50/3x3-64-64@56", 2e-4, 1e-4), result("pool/max2x2-64@112s2", 1e-4, 4e-4),
            result("roi/deform7x7r2-256@50", 5e-3, None)]


def test_rates_and_shares(results):
    conv, pool, lonely = results
    assert not conv.streams and conv.rate() == pytest.approx(conv.layer.problem.flops / 2e-4)
    assert pool.streams and pool.rate() == pytest.approx(4 * 64 * (112**2 + 56**2) / 1e-4)
    assert pool.share(FACTS) == pytest.approx(pool.rate() / 4e10) and conv.share(FACTS | {"peak": {"f32": 0}}) is None
    assert lonely.ratio() is None and means(results)["pooling"]["best"] == pytest.approx(4)
    assert json.loads(json.dumps(as_json(results, FACTS)))["losing"] == ["resnet50/3x3-64-64@56"]


def test_markdown(results):
    from fastconv.cli.bench_markdown import tables
    lines = tables(results, FACTS).splitlines()
    assert "| resnet50/3x3-64-64@56 | function NCHW | 200 | 1156 | torch NCHW | 100 | 0.50 | 0.50 |" in lines
    assert "| pool/max2x2-64@112s2 | function NCHW | 100 | 40 GB/s | torch NCHW | 400 | 4.00 | 4.00 |" in lines
    assert "| roi/deform7x7r2-256@50 | function NCHW | 5000 | 3.5 GB/s | - | - | - | - |" in lines
    assert "| all | 3 | 1.41 | 1.41 | 1 |" in lines and "| regions | 1 | - | - | 0 |" in lines
    for line in lines:
        assert not line.startswith("|") or line.count("|") in (9, 6)


def test_terminal_and_charts(results, tmp_path):
    from fastconv.cli import bench_report
    pytest.importorskip("matplotlib")
    from fastconv.cli.bench_plot import COLOURS, plot_ratios
    console = bench_report.console()
    with console.capture() as printed:
        bench_report.print_report(console, results, FACTS)
    assert "GFLOP/s | GB/s" in printed.get() and "1 of 2 layers lose" in printed.get()
    assert set(COLOURS) == set(FAMILIES)
    assert [path.exists() for path in plot_ratios(results, FACTS, tmp_path)] == [True, True]


def test_rounds_are_measured_again_less_often_after_that_was_in_vain(monkeypatch):
    bench, calls, quiet = Bench.__new__(Bench), [], []
    bench.rounds, bench.seed, bench.patience, bench.disturbed, bench.processes = 1, 0, MOST_ROUNDS, 0, []
    bench.oracle = SimpleNamespace(ask=lambda *request: None)
    monkeypatch.setattr(bench, "measure_peak", lambda real: 1.0)
    monkeypatch.setattr(bench, "steady", lambda real: bool(quiet))
    monkeypatch.setattr(bench, "round", lambda number, result: calls.append(number) or {})
    layer = SimpleNamespace(name="any", problem=SimpleNamespace(real="f32", operation="conv2d"))
    counts = []
    for _ in range(4):
        calls.clear()
        bench.measure(layer)
        counts.append(len(calls))
    assert counts == [4, 2, 1, 1]
    quiet.append(True)
    bench.measure(layer)
    assert bench.patience == MOST_ROUNDS, "a quiet machine is waited for again"
