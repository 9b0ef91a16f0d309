"""Regret, sweep, errors and their charts: what is computed from measured times is right, and files are written."""
from dataclasses import replace

import pytest

import fastconv
from fastconv import kernels, plan, rivals
from fastconv.cli import bench_error, bench_regret, bench_sweep
from fastconv.cli.layers import named_layers, select

TINY = select(named_layers(), "tiny/3x3-8-8@8")


def grid_of(seconds_per_mac) -> bench_sweep.Grid:
    """A grid whose points take what `seconds_per_mac(channels, size)` says."""
    found = {}
    for channels in bench_sweep.CHANNELS:
        for size in bench_sweep.SIZES:
            problem = bench_sweep.point_problem("3x3", False, channels, size)
            found[channels, size] = bench_sweep.Point(problem, "row", problem.macs * seconds_per_mac(channels, size))
    return found


def test_smooth_costs_have_no_cliffs():
    assert not bench_sweep.cliffs_of(grid_of(lambda channels, size: 1e-9 * (1 + 100 / (channels * size))), "3x3", False)


def test_a_slow_point_is_a_cliff_along_both_axes():
    at = bench_sweep.CHANNELS[4], bench_sweep.SIZES[5]
    found = bench_sweep.cliffs_of(grid_of(lambda channels, size: 1.4e-9 if (channels, size) == at else 1e-9), "3x3", False)
    assert {(cliff.channels, cliff.size) for cliff in found} == {at}
    assert {cliff.along for cliff in found} == {"channels", "size"}
    assert all(cliff.ratio == pytest.approx(1.4) for cliff in found)


def test_points_are_measured():
    point = bench_sweep.time_point(bench_sweep.point_plan("depthwise 3x3", True, 8, 5, 1))
    assert point.problem.depthwise and 0 < point.seconds < 1 and point.unit == point.seconds / point.problem.macs


def test_regret_of_the_chosen_row(monkeypatch):
    (layer,) = TINY
    chosen = plan.make_plan(replace(layer.problem, packed=True)).row.name
    monkeypatch.setattr(bench_regret, "time_calls", lambda calls, seconds: {
        name: 2.0 if name == chosen else 1.0 for name in calls})
    monkeypatch.setattr(bench_regret, "shared_time", lambda rival, chosen, seconds: 0.5)
    found = list(bench_regret.regrets(TINY, 1))
    assert len(found) == 4
    assert any(r.ratio == 2 and r.chosen == chosen and r.best != chosen for r in found)
    assert bench_regret.share(found) == sum(r.ratio == 1 for r in found) / 4
    assert len(bench_regret.as_json(found)["calls"]) == 4


def test_regret_measures_again_before_it_believes(monkeypatch):
    """Rivals that seem to be near take turns with the chosen row; the median of these counts."""
    (layer,) = TINY
    problem = replace(layer.problem, packed=True)
    chosen = plan.make_plan(problem).row.name
    monkeypatch.setattr(bench_regret, "time_calls", lambda calls, seconds: {
        name: 2.0 if name == chosen else 1.0 for name in calls})
    turns = iter([1.0, 2.0, 3.0, 3.0, *[2.0] * 1000])
    monkeypatch.setattr(bench_regret, "turn", lambda call, seconds: next(turns))
    chosen, seconds = bench_regret.measure(problem, 1)
    assert set(seconds.values()) == {2.0}


@pytest.mark.parametrize("row", [row.name for row in rivals.PANELS["conv2d"]])
def test_rows_are_timed(row):
    (layer,) = select(named_layers(), "tiny/dw3x3-16@8" if row in ("depthwise", "turned") else "tiny/*1x1*"
                      if row == "pointwise" else "tiny/3x3-8-8@8")
    names = {algorithm.name for algorithm in rivals.candidates(layer.problem)}
    times = rivals.time_rows(layer.problem, kernels.isa, 1, 1e-4)
    assert set(times) == names and all(0 < taken < 1 for taken in times.values())
    assert row in names or row.startswith("winograd") or row in fastconv.list_algorithms("conv2d")


def test_charts_are_written(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("scipy")
    from fastconv.cli import bench_charts, bench_roofline
    from fastconv.cli.bench_process import Turn
    from fastconv.cli.bench_result import LayerResult, Measured
    monkeypatch.setattr(bench_error, "CHANNELS", (1, 8))
    grids = {(kind, last): grid_of(lambda channels, size: 1e-9) for kind in bench_sweep.KINDS for last in (False, True)}
    bench_charts.draw_heat(grids, 1e11, "a CPU", tmp_path)
    bench_charts.draw_scaling({"a": [2.0, 1.0], "b": [2.0, 1.5]}, [1, 2], "a CPU", tmp_path)
    errors = bench_error.errors(1)
    bench_charts.draw_errors(errors, "a CPU", tmp_path)
    measured = {"packed NCHW": Measured("way", 0.0, [Turn(1e-5, 3, 0.0, 0.1, 0.0)])}
    facts = {"peak": {"f32": 1e11, "f64": 0.0}, "copy": 1e10, "machine": {"cpu": "a CPU", "isa": "x"}, "threads": 1}
    list(bench_roofline.plot_roofline([LayerResult(layer, measured) for layer in TINY], facts, tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"heat.png", "scaling.png", "errors.png", "roofline_f32.png"}
    assert {error.row for error in errors} <= set(fastconv.list_algorithms("conv2d"))
    assert all(error.usual <= error.worst < 1000 for error in errors)
