"""Threads and environment variables."""
import contextvars
import math
import os
import threading

import pytest
from child import python

import fastconv
from fastconv import config, kernels


@pytest.fixture(autouse=True)
def same_default():
    before = config._default
    yield
    config._default = before


def test_set_and_get():
    fastconv.set_num_threads(3)
    assert fastconv.get_num_threads() == 3
    with fastconv.threads(2):
        assert fastconv.get_num_threads() == 2
        with fastconv.threads(5):
            assert fastconv.get_num_threads() == 5
        fastconv.set_num_threads(7)
        assert fastconv.get_num_threads() == 2
    assert fastconv.get_num_threads() == 7


def test_block_ends_with_an_exception_too():
    before = fastconv.get_num_threads()
    with pytest.raises(ZeroDivisionError), fastconv.threads(before + 1):
        raise ZeroDivisionError
    assert fastconv.get_num_threads() == before


@pytest.mark.parametrize("n, exception", [(0, ValueError), (-1, ValueError), (10**9, ValueError), (2**70, ValueError),
                                          (1.0, TypeError), ("2", TypeError), (None, TypeError), (True, TypeError)])
def test_wrong_number_of_threads(n, exception):
    before = fastconv.get_num_threads()
    with pytest.raises(exception, match="n must be"):
        fastconv.set_num_threads(n)
    with pytest.raises(exception, match="n must be"), fastconv.threads(n):
        raise AssertionError("the block was entered")
    assert fastconv.get_num_threads() == before


def test_block_holds_in_its_own_thread_only():
    seen = []
    fastconv.set_num_threads(3)
    with fastconv.threads(2):
        other = threading.Thread(target=lambda: seen.append(fastconv.get_num_threads()))
        other.start()
        other.join()
        copied = contextvars.copy_context()
    assert seen == [3]
    assert copied.run(fastconv.get_num_threads) == 2


@pytest.mark.parametrize("text, expected", [("1", "1"), ("3", "3"), ("1024", "1024")])
def test_environment_sets_threads(text, expected):
    result = python("import fastconv; print(fastconv.get_num_threads())", FASTCONV_NUM_THREADS=text)
    assert result.stdout.strip() == expected, result.stderr


@pytest.mark.parametrize("variable, text", [
    *(("FASTCONV_NUM_THREADS", text) for text in ("0", "-1", "abc", "", "1.5", "100000", "9" * 30)),
    *(("FASTCONV_ISA", text) for text in ("", "avx512", "V3", "v9")),
    ("FASTCONV_VALIDATE", "yes"), ("FASTCONV_VALIDATE", "2")])
def test_meaningless_environment_variable_named(variable, text):
    result = python("import fastconv", **{variable: text})
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 1 and last.startswith("ValueError") and variable in last and repr(text) in last


@pytest.mark.parametrize("isa", kernels.available())
def test_environment_chooses_instruction_set(isa):
    result = python("import fastconv, numpy; print(fastconv.explain('conv2d', (1, 3, 9, 9), (4, 3, 3, 3)));"
                    "print(fastconv.conv1d(numpy.ones((1, 1, 5)), numpy.ones((1, 1, 3))))", FASTCONV_ISA=isa)
    assert f"instruction set {isa}" in result.stdout and "[[[3. 3. 3.]]]" in result.stdout, result.stderr


@pytest.mark.parametrize("text, validating", [("0", False), ("", False), ("1", True)])
def test_environment_validates(text, validating):
    result = python("import fastconv, numpy, sys; fastconv.conv1d(numpy.ones((1, 1, 5)), numpy.ones((1, 1, 3)));"
                    "print('scipy.signal' in sys.modules)", FASTCONV_VALIDATE=text)
    assert result.stdout.strip() == str(validating), result.stderr


@pytest.mark.parametrize("variable, text", [*(("OMP_NUM_THREADS", text) for text in ("0", "-1", "abc", "1")),
                                            ("OMP_DYNAMIC", "true")])
def test_openmp_variables_change_nothing(variable, text):
    code = ("import fastconv, numpy, hashlib; x = numpy.random.default_rng(0).standard_normal((1, 16, 40, 40));"
            "w = numpy.random.default_rng(1).standard_normal((24, 16, 3, 3)); fastconv.set_num_threads(2);"
            "print(hashlib.sha256(fastconv.conv2d(x, w)).hexdigest())")
    plain, odd = python(code), python(code, **{variable: text})
    assert odd.returncode == 0 and odd.stdout == plain.stdout != "", odd.stderr


def test_default_is_what_the_process_may_use():
    assert 1 <= config.usable_cpus() <= (os.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        result = python("import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import fastconv;"
                        "print(fastconv.get_num_threads())")
        assert result.stdout.strip() == "1", result.stderr


CGROUPS = {
    "v2": ({"cpu.max": "max 100000", "a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, "0::/a/b\n", 1.5),
    "v2 limit above": ({"cpu.max": "50000 100000", "a/cpu.max": "400000 100000"}, "0::/a\n", 0.5),
    "v2 no limit": ({"a/cpu.max": "max 100000"}, "0::/a\n", math.inf),
    "v2 root": ({"cpu.max": "200000 100000"}, "0::/\n", 2.0),
    "v1": ({"cpu/j/cpu.cfs_quota_us": "250000", "cpu/j/cpu.cfs_period_us": "100000"}, "4:memory:/x\n3:cpu:/j\n", 2.5),
    "v1 together": ({"cpu/j/cpu.cfs_quota_us": "300000", "cpu/j/cpu.cfs_period_us": "100000"}, "3:cpu,cpuacct:/j\n", 3.0),
    "v1 no limit": ({"cpu/j/cpu.cfs_quota_us": "-1", "cpu/j/cpu.cfs_period_us": "100000"}, "3:cpu:/j\n", math.inf),
    "both": ({"a/cpu.max": "400000 100000", "cpu/j/cpu.cfs_quota_us": "100000", "cpu/j/cpu.cfs_period_us": "100000"},
             "3:cpu:/j\n0::/a\n", 1.0),
    "nonsense in file": ({"a/cpu.max": "lots"}, "0::/a\n", math.inf), "files missing": ({}, "0::/a\n", math.inf),
    "nonsense in list": ({"cpu.max": "100000 100000"}, "what\n", math.inf),
}


@pytest.mark.parametrize("name", CGROUPS)
def test_control_groups(tmp_path, name):
    files, own, expected = CGROUPS[name]
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text + "\n")
    (tmp_path / "own").write_text(own)
    assert config.cgroup_cpus(tmp_path, tmp_path / "own") == expected


def test_no_control_groups(tmp_path):
    assert config.cgroup_cpus(tmp_path, tmp_path / "missing") == math.inf


def test_small_problem_uses_one_thread():
    fastconv.set_num_threads(2)
    assert " 1 thread" in fastconv.explain("conv2d", (1, 3, 9, 9), (4, 3, 3, 3))
    assert " 2 threads" in fastconv.explain("conv2d", (1, 64, 56, 56), (64, 64, 3, 3))


def test_unknown_operation_named():
    with pytest.raises(ValueError, match="conv9d"):
        fastconv.list_algorithms("conv9d")
    for operation in ("conv1d", "conv2d", "conv3d"):
        assert len(set(fastconv.list_algorithms(operation))) == len(fastconv.list_algorithms(operation)) > 1
