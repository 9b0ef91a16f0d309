"""autotune(): measured rows are chosen, kept in a file, and read back; nothing in that file can do harm."""
import json
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from child import python

import fastconv
from fastconv import autotuning, config, convolution, kernels, plan, rivals, tuned
from fastconv.problem import convolution_problem

X = np.random.default_rng(0).standard_normal((2, 8, 12, 12)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((8, 8, 3, 3)).astype(np.float32)
PROBLEM = convolution_problem("conv2d", X.shape, W.shape, "f32", padding=1)


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """Nothing is known before a test, nor after it."""
    monkeypatch.setattr(config, "tune_file", None)
    tuned.forget()
    plan.forget_plans()
    yield
    tuned.forget()
    plan.forget_plans()


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "tuned.json"
    monkeypatch.setattr(config, "tune_file", path)
    return path


def quickest(monkeypatch, wanted: str) -> None:
    """Let the row `wanted` win every measurement that it takes part in."""
    monkeypatch.setattr(autotuning, "time_rows", lambda problem, isa, threads, seconds: {
        row.name: 1.0 if row.name == wanted else 2.0 for row in rivals.candidates(problem)})


def chosen(**changes) -> str:
    problem = convolution_problem("conv2d", X.shape, W.shape, "f32", padding=1, **changes)
    return plan.make_plan(problem, threads=config.get_num_threads()).row.name


def test_measured_row_is_chosen(monkeypatch):
    quickest(monkeypatch, "direct")
    assert chosen() != "direct"
    with fastconv.autotune() as found:
        y = fastconv.conv2d(X, W, padding=1)
    np.testing.assert_array_equal(y, fastconv.conv2d(X, W, padding=1, algorithm="direct"))
    assert list(found) == [tuned.problem_name(PROBLEM)]
    assert found[tuned.problem_name(PROBLEM)]["direct"] == 1.0
    assert chosen() == "direct"
    assert "algorithm   direct" in fastconv.explain("conv2d", X.shape, W.shape, padding=1)


def test_times_are_measured():
    with fastconv.autotune(seconds=0.001) as found:
        fastconv.conv2d(X, W, padding=1)
    (times,) = found.values()
    assert set(times) == {row.name for row in rivals.candidates(PROBLEM)}
    assert all(0 < t < 1 for t in times.values())
    assert chosen() == min(times, key=times.get)


def test_choice_holds_for_every_batch_and_number_of_threads(monkeypatch):
    quickest(monkeypatch, "direct")
    with fastconv.autotune(), fastconv.threads(2):
        y = fastconv.conv2d(X, W, padding=1)
    for n in (1, 2, 3):
        with fastconv.threads(n):
            assert chosen() == "direct"
            np.testing.assert_array_equal(fastconv.conv2d(X[:1], W, padding=1), y[:1])
            np.testing.assert_array_equal(fastconv.conv2d(X[0], W, np.zeros(8, np.float32), padding=1), y[0])


def test_calls_and_layers_made_before_are_chosen_anew(monkeypatch):
    layer, expected = fastconv.Conv2d(W, padding=1), fastconv.conv2d(X, W, padding=1, algorithm="direct")
    calls = (lambda: layer(X), lambda: fastconv.conv2d(X, W, padding=1))
    for call in calls:
        call()
    quickest(monkeypatch, "direct")
    with fastconv.autotune():
        for call in calls:
            np.testing.assert_array_equal(call(), expected)
    for call in calls:
        np.testing.assert_array_equal(call(), expected)


def test_transposed_convolution_is_measured_phase_by_phase(monkeypatch):
    kernel = np.ones((8, 4, 4, 4), np.float32)
    fastconv.conv_transpose2d(X, kernel, stride=2, padding=1)
    quickest(monkeypatch, "direct")
    with fastconv.autotune() as found:
        y = fastconv.conv_transpose2d(X, kernel, stride=2, padding=1)
    assert found
    np.testing.assert_array_equal(y, fastconv.conv_transpose2d(X, kernel, stride=2, padding=1, algorithm="direct"))


def test_nothing_is_measured_outside_or_twice(monkeypatch):
    quickest(monkeypatch, "direct")
    with fastconv.autotune():
        fastconv.conv2d(X, W, padding=1)
    monkeypatch.setattr(autotuning, "time_rows", None)
    fastconv.conv2d(X, W)
    with fastconv.autotune() as found:
        fastconv.conv2d(X, W, padding=1)
        fastconv.conv2d(X, W, padding=1, algorithm="im2col")
        fastconv.conv2d(X[:0], W, padding=2)                # empty
        fastconv.max_pool2d(X, 2)
    assert not found
    quickest(monkeypatch, "im2col")
    with fastconv.autotune(again=True) as found:
        fastconv.conv2d(X, W, padding=1)
    assert len(found) == 1 and chosen() == "im2col"


def test_known_calls_do_not_look(monkeypatch):
    fastconv.conv2d(X, W, padding=1)
    monkeypatch.setattr(convolution, "make_plan", None)
    monkeypatch.setattr(tuned, "best_row", None)
    fastconv.conv2d(X, W, padding=1)


def test_large_errors_are_refused():
    names = {row.name for row in rivals.candidates(PROBLEM)}
    assert "winograd" in names and "winograd6" not in names


@pytest.mark.parametrize("arguments, exception, word", [
    ({"again": 1}, TypeError, "again"), ({"seconds": "1"}, TypeError, "seconds"), ({"seconds": True}, TypeError, "seconds"),
    ({"seconds": 0}, ValueError, "seconds"), ({"seconds": float("nan")}, ValueError, "seconds"),
    ({"seconds": 1e9}, ValueError, "seconds")])
def test_wrong_arguments(arguments, exception, word):
    with pytest.raises(exception, match=word), fastconv.autotune(**arguments):
        raise AssertionError("the block was entered")


def test_file_is_written_and_read(monkeypatch, file):
    quickest(monkeypatch, "direct")
    with pytest.raises(ZeroDivisionError), fastconv.autotune():
        fastconv.conv2d(X, W, padding=1)
        raise ZeroDivisionError                             # what was measured until then is kept
    (entries,) = json.loads(file.read_text())["machines"].values()
    assert entries[tuned.problem_name(PROBLEM)]["row"] == "direct"
    assert os.listdir(file.parent) == [file.name]
    tuned.forget()
    plan.forget_plans()
    assert chosen() == "direct"


def test_another_process_reads_the_file(monkeypatch, file):
    quickest(monkeypatch, "direct")
    with fastconv.autotune():
        fastconv.conv2d(X, W, padding=1)
    code = f"import fastconv; print(fastconv.explain('conv2d', {X.shape}, {W.shape}, padding=1))"
    result = python(code, FASTCONV_TUNE_FILE=str(file), FASTCONV_ISA=kernels.isa)
    assert "algorithm   direct" in result.stdout and not result.stderr


def test_entries_of_others_are_kept_and_not_used(monkeypatch, file):
    name, key = tuned.machine_name(kernels.isa), tuned.problem_name(PROBLEM)
    others = {name + "0": {key: {"row": "direct"}}, "another CPU": {key: {"row": "no such row"}}}
    file.write_text(json.dumps({"format": tuned.FORMAT, "machines": others}))
    assert chosen() != "direct"
    quickest(monkeypatch, "im2col")
    with fastconv.autotune():
        fastconv.conv2d(X, W, padding=1)
    machines = json.loads(file.read_text())["machines"]
    assert {other: machines[other] for other in others} == others and machines[name][key]["row"] == "im2col"


@pytest.mark.parametrize("row", ["no such row", "pointwise", "depthwise", "winograd6", ""])
def test_rows_that_cannot_be_chosen_are_passed_over(file, row):
    before = chosen()
    entries = {tuned.machine_name(kernels.isa): {tuned.problem_name(PROBLEM): {"row": row}}}
    file.write_text(json.dumps({"format": tuned.FORMAT, "machines": entries}))
    plan.forget_plans()
    assert chosen() == before


GOOD = {"format": tuned.FORMAT, "machines": {"a": {"b": {"row": "direct"}}}}
BROKEN = {"empty": b"", "cut": json.dumps(GOOD).encode()[:-3], "bytes": bytes(range(256)), "number": b"1", "list": b"[]",
          "deep": b"[" * 100_000, "other": b'{"name": "my data"}', "later": b'{"format": "2", "machines": {}}',
          **{name: json.dumps(GOOD | {"machines": machines}).encode() for name, machines in {
              "no table": [], "no entries": {"a": 1}, "no entry": {"a": {"b": "direct"}}, "no row": {"a": {"b": {}}},
              "row": {"a": {"b": {"row": ["direct"]}}}}.items()}}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_files_warn_and_are_left_alone(file, content):
    file.write_bytes(content)
    expected = chosen_without_file()
    with pytest.warns(RuntimeWarning, match="FASTCONV_TUNE_FILE"):
        assert chosen() == expected
    with pytest.raises(ValueError, match="FASTCONV_TUNE_FILE"), fastconv.autotune():
        raise AssertionError("the block was entered")
    assert file.read_bytes() == content


def chosen_without_file() -> str:
    path, config.tune_file = config.tune_file, None
    found = chosen()
    config.tune_file = path
    plan.forget_plans()
    return found


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(file):
    os.mkfifo(file)
    with pytest.warns(RuntimeWarning, match="regular"):
        chosen()


def test_file_that_cannot_be_written_warns(monkeypatch, file):
    quickest(monkeypatch, "direct")
    with pytest.warns(RuntimeWarning, match="not written"), fastconv.autotune():
        fastconv.conv2d(X, W, padding=1)
        monkeypatch.setattr(config, "tune_file", file.parent / "gone" / "file")
    assert chosen() == "direct"
    assert not os.listdir(file.parent)


def test_file_keeps_its_permissions(monkeypatch, file):
    file.write_text(json.dumps(GOOD))
    file.chmod(0o640)
    quickest(monkeypatch, "direct")
    with fastconv.autotune():
        fastconv.conv2d(X, W, padding=1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="no lock keeps other processes from replacing the file meanwhile")
def test_processes_do_not_lose_what_others_wrote(tmp_path):
    path = tmp_path / "tuned.json"
    code = ("import numpy as np, fastconv\n"
            "for n in range(3):\n"
            "    with fastconv.autotune(seconds=1e-4):\n"
            "        fastconv.conv2d(np.ones((1, 1, 4 + {i}, 4 + n)), np.ones((2, 1, 3, 3)))\n")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda i: python(code.format(i=i), FASTCONV_TUNE_FILE=str(path)), range(4)))
    assert not any(result.returncode or result.stderr for result in results), results
    (entries,) = json.loads(path.read_text())["machines"].values()
    assert len(entries) == 12
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("name", ["", "missing/file"])
def test_variable_that_means_nothing_is_named(tmp_path, name):
    result = python("import fastconv", FASTCONV_TUNE_FILE=str(tmp_path / name))
    assert result.returncode and "ValueError: FASTCONV_TUNE_FILE" in result.stderr


def test_threads_measure_one_after_another():
    with fastconv.autotune(seconds=1e-4) as found, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: fastconv.conv2d(X[..., :5 + n % 4], W), range(16)))
    assert len(found) == 4
