"""A contender in a process of its own: it prepares, runs for a moment when asked, and sleeps on a pipe while others run."""
from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import time
import traceback
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from . import bench_data
from .peers import FASTCONV, PEERS, Contender, Way

SETTLE = 0.006          # seconds of rest after a turn, again and again until idle threads have stopped spinning ...
SETTLED = 0.02          # ... which is when they take less than this share of one CPU
MOST_RESTS = 50
DISTURBED = 0.05        # part of a turn that other programs may take
TRIAL = 0.010           # seconds in which each of several ways is tried
PATIENCE = 180          # seconds after which a contender that does not answer is given up
LEAST_CALLS = 3
COPIED = 256 << 20      # bytes: more than any cache holds
THREAD_VARIABLES = ("FASTCONV_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# Memory that was freed is kept: without this, what is measured for large outputs is how the system clears pages.
MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736"}


class Turn(NamedTuple):
    """What one contender measured in one round."""

    seconds: float      # median of one call
    calls: int
    waited: float       # part of the turn in which its threads were ready but another process had the CPU
    rest: float         # seconds since its last answer ...
    idle: float         # ... and the CPU time that it took in them, while others ran

    @property
    def quiet(self) -> bool:
        return self.waited <= DISTURBED


class Refused(Exception):
    """The contender cannot compute this problem."""


class Failed(Exception):
    """The contender raised, crashed or does not answer."""


def waited_seconds() -> float:
    """Time that the threads of this process have waited for a CPU; 0 where the kernel does not say."""
    total = 0
    for task in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError, IndexError, ValueError):         # a thread may have ended
            total += int(task.read_text().split()[1])
    return total / 1e9


def repeat(way: Way, seconds: float) -> list[float]:
    """Seconds of single calls, for about `seconds` and at least three calls, after one that does not count."""
    call, clock, times = way.call, time.perf_counter, []
    call()
    end = clock() + seconds
    before = 0.0
    while before < end or len(times) < LEAST_CALLS:
        before = clock()
        call()
        times.append(clock() - before)
    return times


class Server:
    """What runs in the process of a contender."""

    def __init__(self, contender: Contender, threads: int):
        self.contender = contender
        self.threads = threads
        contender.start(threads)
        self.way: Way | None = None
        self.rest()

    def rest(self) -> None:
        """Sleep until threads that wait for work have stopped spinning."""
        for _ in range(MOST_RESTS):
            self.rested, self.cpu = time.perf_counter(), time.process_time()
            time.sleep(SETTLE)
            if time.process_time() - self.cpu < SETTLED * SETTLE:
                break

    def prepare(self, problem, seed: int):
        """Name of the quickest way and its answer."""
        self.way = None
        gc.collect()
        make = self.contender.operations[problem.operation]
        ways = make(problem, bench_data.inputs(problem, seed), self.threads)
        self.way = ways[0] if len(ways) == 1 else min(ways, key=lambda way: median(repeat(way, TRIAL)))
        return self.way.name, self.way.answer(self.way.call())

    def run(self, seconds: float) -> Turn:
        rest, idle = time.perf_counter() - self.rested, time.process_time() - self.cpu
        begin, waited = time.perf_counter(), waited_seconds()
        times = repeat(self.way, seconds)
        waited = (waited_seconds() - waited) / (time.perf_counter() - begin)
        return Turn(median(times), len(times), waited, rest, idle)

    def reference(self, problem, seed: int):
        return bench_data.reference(problem, seed, self.threads)

    def peak(self, real: str, seconds: float) -> float:
        """FLOP/s of multiply-adds in registers."""
        from .measure import fma_rate
        return fma_rate(real, self.threads, seconds)

    def copy(self, seconds: float) -> float:
        """Bytes per second, read and written."""
        from .measure import copy_rate
        return copy_rate(self.threads, seconds, COPIED)


def serve(connection, name: str, threads: int) -> None:
    """Answer (method, arguments) with (True, result) or (False, why it failed), until None comes."""
    try:
        contender = next(c for c in (*FASTCONV, *PEERS) if c.name == name)
        server = Server(contender, threads)
        connection.send((True, installed_version((contender.modules or (contender.library,))[0])))
        gc.disable()
        while (request := connection.recv()) is not None:
            method, arguments = request
            try:
                result = True, getattr(server, method)(*arguments)
            except Exception as error:
                traceback.clear_frames(error.__traceback__)
                result = False, f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]
            server.rest()
            connection.send(result)
    except (EOFError, KeyboardInterrupt):
        pass
    except Exception as error:
        connection.send((False, f"{type(error).__name__}: {error}"))
    sys.stdout.flush()
    os._exit(0)         # some libraries fail when they are unloaded


def installed_version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return getattr(sys.modules.get(library), "__version__", "")


class Process:
    """A contender's process, seen from the one that measures; started again after a crash."""

    def __init__(self, contender: Contender, threads: int):
        self.contender = contender
        self.threads = threads
        self.version = ""
        self.child: Any = None
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        variables = dict.fromkeys(THREAD_VARIABLES, str(self.threads)) | MALLOC
        kept = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            self.connection, end = context.Pipe()
            self.child = context.Process(target=serve, args=(end, self.contender.name, self.threads), daemon=True)
            self.child.start()
            end.close()
        finally:
            for name, value in kept.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        self.version = self.receive()

    def receive(self):
        try:
            if not self.connection.poll(PATIENCE):
                self.stop()
                raise Failed(f"no answer within {PATIENCE} s")
            good, result = self.connection.recv()
        except (EOFError, OSError):
            self.child.join(PATIENCE)
            raise Failed(f"the process ended with code {self.child.exitcode}") from None
        if not good:
            raise Failed(result)
        return result

    def ask(self, method: str, *arguments):
        """What the method returned; Failed if it raised or the process died. A process that died before starts anew."""
        if not self.child.is_alive():
            self.start()
        try:
            self.connection.send((method, arguments))
        except OSError:
            raise Failed("the process has ended") from None
        return self.receive()

    def prepare(self, problem, seed: int):
        reason = self.contender.refuses(problem)
        if reason:
            raise Refused(reason)
        return self.ask("prepare", problem, seed)

    def stop(self) -> None:
        self.connection.close()
        self.child.join(2)
        if self.child.is_alive():
            self.child.kill()
            self.child.join()
