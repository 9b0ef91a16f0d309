"""Rows that were measured to be the quickest, in memory and in the file that FASTCONV_TUNE_FILE names.

One row serves a convolution for every batch and number of threads, as the predicted one does, so that neither changes a
result. Another CPU, another version of the package and another instruction set have entries of their own in the file.
"""
from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from threading import RLock

from . import config
from .machine import cpu_model
from .problem import Problem

FORMAT = "rows that fastconv.autotune() measured, format 1"
LARGEST_FILE = 64 << 20         # bytes
UNTOLD = {"N", "bias", "residual", "activation"}        # what the choice of a row does not look at

# Row -> seconds for a problem, an instruction set and a number of threads; only inside an autotune() block.
measure: Callable[[Problem, str, int], dict[str, float]] | None = None
_entries: dict[str, dict[str, dict]] = {}               # machine_name -> problem_name -> entry
_fresh: set[tuple[str, str]] = set()                    # entries that the file does not have
_read: Path | None = None                               # the file that `_entries` holds already
_lock = RLock()


def machine_name(isa: str) -> str:
    """What an entry holds for: CPU, version of the package, instruction set."""
    from . import __version__
    return f"{cpu_model()}, fastconv {__version__}, {isa}"


def problem_name(problem: Problem) -> str:
    """All of a problem that the choice of a row may look at."""
    return ", ".join(f"{f.name}={getattr(problem, f.name)!r}" for f in fields(problem) if f.name not in UNTOLD)


def best_row(problem: Problem, isa: str, threads: int) -> str | None:
    """Name of the row that was the quickest when somebody measured; measured now inside an autotune() block."""
    if measure is None and not _entries and (config.tune_file is None or config.tune_file == _read):
        return None
    with _lock:
        load()
        if measure is not None:
            times = measure(problem, isa, threads)
            if times:
                remember(problem, isa, threads, times)
        entry = _entries.get(machine_name(isa), {}).get(problem_name(problem))
        return entry["row"] if entry else None


def known(problem: Problem, isa: str) -> bool:
    return problem_name(problem) in _entries.get(machine_name(isa), {})


def remember(problem: Problem, isa: str, threads: int, times: dict[str, float]) -> None:
    key = machine_name(isa), problem_name(problem)
    _entries.setdefault(key[0], {})[key[1]] = {"row": min(times, key=times.__getitem__), "threads": threads,
                                               "batch": problem.N, "seconds": times}
    _fresh.add(key)


def load() -> None:
    """Read the file if it was not read before; one that cannot be used is a warning, and left alone."""
    global _read
    if config.tune_file is not None and config.tune_file != _read:
        _read = config.tune_file
        try:
            found = read(_read)
        except (OSError, ValueError) as error:
            warnings.warn(f"FASTCONV_TUNE_FILE={str(_read)!r} is not used: {error}", RuntimeWarning, stacklevel=2)
            return
        merge(found)


def merge(found: dict[str, dict[str, dict]]) -> None:
    """Add entries of the file to those in memory, which are newer if they are fresh."""
    for name, entries in found.items():
        mine = _entries.setdefault(name, {})
        mine |= {key: entry for key, entry in entries.items() if (name, key) not in _fresh}


def read(path: Path) -> dict[str, dict[str, dict]]:
    """The entries of a file, none if it does not exist.

    Raises
    ------
    ValueError
        If it holds something else than this module writes.
    OSError
        If it cannot be read.
    """
    if not path.exists():
        return {}
    import json  # as below, where it is needed: most processes have no such file
    if not path.is_file() or path.stat().st_size > LARGEST_FILE:
        raise ValueError("it is no regular file, or too large")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"it does not hold {FORMAT}")
    machines = content.get("machines")
    if not (is_table(machines) and all(is_table(entries) for entries in machines.values())):
        raise ValueError("its entries are not what autotune() writes")
    if not all(isinstance(e.get("row"), str) for entries in machines.values() for e in entries.values()):
        raise ValueError("an entry names no row")
    return machines


def is_table(value) -> bool:
    return isinstance(value, dict) and all(isinstance(entry, dict) for entry in value.values())


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Keep other processes of this package from replacing the file meanwhile, where the system has such locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):         # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def save() -> None:
    """Add what was measured to the file, which others may have changed meanwhile. Readers see the old file or the new.

    Raises
    ------
    ValueError, OSError
        If the file holds something else, or cannot be written.
    """
    import json
    path = config.tune_file
    with _lock:
        if path is None or not _fresh:
            return
        with only_writer(path):
            merge(read(path))
            replace_file(path, json.dumps({"format": FORMAT, "machines": _entries}, indent=1))
        _fresh.clear()


def replace_file(path: Path, text: str) -> None:
    """Write a file beside `path` and put it in its place in one step."""
    import tempfile
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(number, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def forget() -> None:
    """Forget all that was measured or read; a file is read again."""
    global _read
    with _lock:
        _entries.clear()
        _fresh.clear()
        _read = None
