"""Processes and threads of Python: fork, many threads at once, shutdown, little memory, dirty memory."""
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import BLOCKED, reals
from child import python

import fastconv

PREPARE = """
import hashlib, os, sys, threading, time
import numpy as np, fastconv
rng = np.random.default_rng(0)
small = rng.standard_normal((1, 3, 8, 8)), rng.standard_normal((4, 3, 3, 3))
large = rng.standard_normal((2, 16, 40, 40)), rng.standard_normal((24, 16, 3, 3))
def digest():
    return hashlib.sha256(fastconv.conv2d(*small).tobytes() + fastconv.conv2d(*large).tobytes()).hexdigest()
fastconv.set_num_threads(2)
"""


def run(code: str, timeout: float = 30, **environment) -> str:
    """Output of a Python process that has to end well, and in time."""
    result = python(PREPARE + code, timeout, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


FORK = """
{before}
child = os.fork()
if child == 0:
    again = digest()
    assert fastconv.get_num_threads() == 1
    fastconv.set_num_threads(2)
    assert digest() == again
    with fastconv.threads(3):
        assert digest() == again
    open({path!r}, "w").write(again)
    os._exit(7)
status = os.waitpid(child, 0)[1]
assert os.waitstatus_to_exitcode(status) == 7
assert open({path!r}).read() == digest(), "the child computed something else"
assert fastconv.get_num_threads() == 2
"""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@needs_fork
@pytest.mark.parametrize("before", ["", "digest()"], ids=["first call in child", "after a parallel call"])
def test_child_of_fork_computes(tmp_path, before):
    run(FORK.format(before=before, path=str(tmp_path / "child")))


@needs_fork
def test_fork_while_another_thread_computes(tmp_path):
    busy = "threading.Thread(target=lambda: [digest() for _ in range(10**6)], daemon=True).start(); time.sleep(0.05)"
    run(FORK.format(before=busy, path=str(tmp_path / "child")).replace("assert open", "os._exit(0)\nassert open"))


POOL = """
if __name__ == "__main__":
    import multiprocessing
    digest()
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        results = pool.starmap(fastconv.conv2d, [large] * 3)
    for y in results:
        assert np.array_equal(y, fastconv.conv2d(*large))
"""


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pool_of_processes(method):
    run(POOL.format(method=method), timeout=60)


def test_sixteen_threads_at_once():
    """First calls, which make plans, and later ones."""
    jobs = []
    for c in BLOCKED:
        for last in (False, True):
            x, w, bias, _ = reals(c, last).inputs("f32")
            make = getattr(fastconv, c.operation.capitalize())
            layer = make(w, bias, groups=c.groups, channels_last=last, **dict(c.arguments))
            jobs.append((layer, x))

    def work(i):
        layer, x = jobs[i % len(jobs)]
        with fastconv.threads(1 + i % 3):
            return layer(x)

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(work, range(10 * len(jobs))))
    for i, y in enumerate(results):
        np.testing.assert_array_equal(y, work(i % len(jobs)))


def test_daemon_thread_at_exit():
    assert run("threading.Thread(target=lambda: [digest() for _ in range(10**6)], daemon=True).start();"
               "time.sleep(0.1); print('end')") == "end\n"


def test_thread_with_small_stack():
    """Buffers lie on the heap: 128 KiB are enough, as musl gives them."""
    code = """
threading.stack_size(128 << 10)
seen = []
thread = threading.Thread(target=lambda: seen.append(digest()))
thread.start(); thread.join()
assert seen == [digest()]
"""
    run(code, OMP_STACKSIZE="128K")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no setitimer")
def test_signal_handler_may_call_again():
    code = """
import signal
first, seen = digest(), []
signal.signal(signal.SIGALRM, lambda *_: seen.append(digest()))
for n in range(100):
    signal.setitimer(signal.ITIMER_REAL, 0.0001 * (1 + n % 20))     # once, so that handlers do not pile up
    assert digest() == first
    while len(seen) <= n:
        pass
assert seen and set(seen) == {first}
"""
    run(code)


def test_dirty_memory_changes_nothing():
    """glibc fills what it allocates, and what it frees, with bytes that as numbers are huge."""
    code = "print(digest(), hashlib.sha256(fastconv.conv2d(small[0], small[1], padding=2, channels_last=False)).hexdigest())"
    assert run(code) == run(code, MALLOC_PERTURB_="128") != ""


needs_limits = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is enforced on Linux")


@needs_limits
def test_little_memory_is_a_memory_error():
    code = """
import resource
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
before = digest()
fastconv.set_num_threads(1)
x = np.ones((1, 1, 3000, 3000))
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), resource.RLIM_INFINITY))
for n in range(3):
    try:
        fastconv.conv2d(x, np.ones((64, 1, 1, 1)))
        raise SystemExit("4 GB were found")
    except MemoryError:
        pass
assert digest() == before
"""
    run(code)


@needs_limits
def test_workspace_that_cannot_be_had_is_a_memory_error():
    """Room for the result, none for the panels of a thousand threads."""
    code = """
import resource
from dataclasses import replace
from fastconv.plan import make_plan
from fastconv.problem import convolution_problem
x, w = np.ones((1, 64, 60, 60)), np.ones((64, 64, 3, 3))
y = np.full((1, 64, 58, 58), -7.0)
problem = replace(convolution_problem("conv2d", x.shape, w.shape, "f64"), packed=True)
plan, packed = make_plan(problem, "im2col", threads=1000), make_plan(problem, "im2col").pack(w)
assert plan.workspace * 1000 > 30 << 20
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (20 << 20), resource.RLIM_INFINITY))
for n in range(100):
    try:
        plan.run(x, w, None, None, y, packed)
        raise SystemExit("memory was found")
    except MemoryError as error:
        assert "workspace" in str(error)
assert (y == -7).all()
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert fastconv.conv2d(x, w, algorithm="im2col").max() == 576
"""
    run(code)


def test_threads_of_callers_do_not_see_each_other():
    """Every call has its own workspace: results of one thread never show in another's."""
    x, w, _, _ = reals(BLOCKED[0]).inputs("f64")
    inputs = [x * 2.0**i for i in range(8)]
    expected = fastconv.conv2d(x, w, padding=1)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for i, y in enumerate(pool.map(lambda a: fastconv.conv2d(a, w, padding=1), inputs)):
                np.testing.assert_array_equal(y, expected * 2.0**i)
