"""The CPU as plans and costs see it: caches, and the register tile of each build of the kernels."""
from __future__ import annotations

import platform
import re
from functools import cache
from pathlib import Path

from . import kernels
from .kernels import cpu
from .row import NUMBER_BYTES, Machine

CPU_FILES = Path("/sys/devices/system/cpu/cpu0/cache")
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
CYCLE = 1 / 4.0e9       # seconds; costs are compared with each other, so one nominal clock does for all
L3_REACHED = 32 << 20   # of a cache that many cores share: one of a Xeon reads what lies beyond at the pace of memory
FAR = 2.6               # Machine.far of such a one: 28 GB/s for one core instead of 70
MOVES = 2.0             # Machine.moves of CPUs whose two ports for 512 bits do all such work


@cache
def caches() -> dict[str, int]:
    """Bytes of the data caches that the first CPU uses; empty where the operating system does not tell."""
    sizes = {}
    for entry in sorted(CPU_FILES.glob("index*")):
        try:
            kind, level, size = ((entry / name).read_text().strip() for name in ("type", "level", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            sizes[f"L{level}"] = int(size.rstrip("KMG")) * UNITS[size.lstrip("0123456789")]
    return sizes


@cache
def cpu_model() -> str:
    """The CPU's name for itself, where the operating system tells it."""
    try:
        found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


@cache
def machine(isa: str, real: str) -> Machine:
    """This CPU with the kernels of one build; where caches are unknown, such as every CPU with AVX2 has."""
    lanes, MR, NR = kernels.load("im2col_pixels", isa, real).tile_size()
    sizes = caches()
    vector = lanes * NUMBER_BYTES[real]
    step = min(1.0, cpu.step_bytes() / vector)
    L3 = sizes.get("L3", 4 << 20)
    moves = MOVES if cpu.shares_ports() and vector == 64 else 1.0
    return Machine(isa, real, lanes, MR, NR, sizes.get("L1", 32 << 10), sizes.get("L2", 256 << 10),
                   min(L3, L3_REACHED), CYCLE / step, step, moves, FAR if L3 > 2 * L3_REACHED else 1.0)
