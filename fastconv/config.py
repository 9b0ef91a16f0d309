"""Threads, and the environment variables that set defaults. A value that means nothing is a ValueError at import."""
from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

MOST_THREADS = 1024


def cgroup_cpus(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """CPUs that the process's control groups (v2, then v1) let it use; infinity without a limit."""
    try:
        paths = {kind: path for _, kind, path in (line.split(":", 2) for line in own.read_text().splitlines())}
    except (OSError, ValueError):
        return math.inf
    limit = math.inf
    for base, path, files in ((root, paths.get(""), ["cpu.max"]),
                              (root / "cpu", paths.get("cpu", paths.get("cpu,cpuacct")),
                               ["cpu.cfs_quota_us", "cpu.cfs_period_us"])):
        if path is None:
            continue
        group = base / path.strip("/")
        for level in (group, *group.parents):           # a limit anywhere above holds too
            try:
                quota, period = " ".join((level / f).read_text() for f in files).split()
                if quota != "max" and int(quota) > 0:
                    limit = min(limit, int(quota) / int(period))
            except (OSError, ValueError):
                pass
            if level == base:
                break
    return limit


def usable_cpus() -> int:
    """CPUs by affinity and control-group quota, at least one."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cpus, cgroup_cpus())))


def check_threads(n, name: str) -> int:
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"{name} must be an int, not {type(n).__name__}: {n!r}")
    if not 1 <= n <= MOST_THREADS:
        raise ValueError(f"{name} must be in 1 .. {MOST_THREADS}, got {n}")
    return n


def from_environment(name: str, default: int) -> int:
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        return check_threads(int(text), name)
    except ValueError:
        raise ValueError(f"{name}={text!r} must be a whole number in 1 .. {MOST_THREADS}") from None


def file_from_environment(name: str) -> Path | None:
    """A file that may not exist yet, in a folder that does."""
    text = os.environ.get(name)
    if not text:
        return None
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ValueError(f"{name}={text!r} must be a file, not a folder, in a folder that exists")
    return path.absolute()


def flag_from_environment(name: str) -> bool:
    text = os.environ.get(name, "0")
    if text not in ("0", "1", ""):
        raise ValueError(f"{name}={text!r} must be 0 or 1")
    return text == "1"


_default = from_environment("FASTCONV_NUM_THREADS", usable_cpus())
_here: ContextVar[int] = ContextVar("fastconv_threads", default=0)     # 0: the default
_forked = False
validating = flag_from_environment("FASTCONV_VALIDATE")                 # compare every call with SciPy
tune_file = file_from_environment("FASTCONV_TUNE_FILE")                # where autotune() keeps what it measures


def after_fork() -> None:
    """OpenMP's threads do not survive a fork, and asking for them again would hang: the child computes serially."""
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)


def set_num_threads(n: int) -> None:
    """Let every later call use `n` threads, unless a ``threads`` block says otherwise.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an int in 1 .. 1024.
    """
    global _default
    _default = check_threads(n, "n")


def get_num_threads() -> int:
    """Threads that a call made here would use: 1 in a forked child, where OpenMP cannot start any.

    >>> import fastconv
    >>> with fastconv.threads(1):
    ...     fastconv.get_num_threads()
    1
    """
    return 1 if _forked else _here.get() or _default


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Use `n` threads inside the ``with`` block, in this thread or task only.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an int in 1 .. 1024.
    """
    token = _here.set(check_threads(n, "n"))
    try:
        yield
    finally:
        _here.reset(token)
