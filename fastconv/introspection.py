"""What this installation is and what it found: CPU, instruction sets, threads, caches, versions. Nothing is measured."""
from __future__ import annotations

import math
import os
import platform
import re

from . import config, kernels
from .machine import caches, cpu_model


def show_config(mode: str = "stdout") -> dict | None:
    """Show CPU, caches, instruction sets, threads and versions that fastconv runs with.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        Print them, or return them as a dict of dicts. Caches are in bytes, of one core (L3: shared by several).

    Raises
    ------
    ValueError
        For another mode.

    Examples
    --------
    >>> import fastconv
    >>> sorted(fastconv.show_config(mode="dicts"))
    ['cpu', 'instruction sets', 'threads', 'versions']
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"mode={mode!r} is none of stdout, dicts")
    found = {
        "cpu": {"model": cpu_model(), "architecture": platform.machine(), "caches": caches()},
        "instruction sets": {"built": list(kernels.built()), "runnable": list(kernels.available()), "chosen": kernels.isa,
                             "why": "FASTCONV_ISA" if os.environ.get("FASTCONV_ISA") else "the best that this CPU runs"},
        "threads": thread_limits(),
        "versions": versions(),
    }
    if mode == "dicts":
        return found
    for part, entries in found.items():
        print(part)
        for name, value in entries.items():
            print(f"  {name:20}  {as_text(value)}")
    return None


def as_text(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {as_bytes(size)}" for name, size in value.items()) or "unknown"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)


def as_bytes(n: float) -> str:
    """A size of memory in KiB or MiB."""
    return f"{n / (1 << 20):g} MiB" if n >= 1 << 20 else f"{n / 1024:g} KiB"


def thread_limits() -> dict:
    """How many threads a call uses, and all that had a say in it."""
    online, quota = os.cpu_count() or 1, config.cgroup_cpus()
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else online
    environment, number = os.environ.get("FASTCONV_NUM_THREADS"), config.get_num_threads()
    if environment is not None and number == int(environment):
        why = "FASTCONV_NUM_THREADS"
    elif number != config.usable_cpus():
        why = "set by the program"
    elif quota < allowed:
        why = f"the control group's quota is {quota:g} CPUs"
    else:
        why = f"the process may use {allowed} of {online} CPUs"
    return {"number": number, "why": why, "online": online, "affinity": allowed,
            "cgroup quota": None if math.isinf(quota) else quota, "FASTCONV_NUM_THREADS": environment}


def versions() -> dict[str, str | None]:
    """Versions of this package, of what it runs on, and of what compiled it; None for what is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # takes longer to import than all of fastconv

    from . import __version__
    found: dict[str, str | None] = {"fastconv": __version__, "python": platform.python_version()}
    for package in ("numpy", "scipy", "rich", "pillow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    # Cython names the module of the types that it makes after its own version.
    cython = re.fullmatch(r"_cython_(\d\w*)", type(kernels.cpu.supported).__module__)
    found["cython"] = cython[1].replace("_", ".") if cython else None
    found["compiler"] = kernels.cpu.compiler()
    return found
