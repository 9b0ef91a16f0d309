"""fastconv info: what fastconv runs on, and what that can do at most."""
from __future__ import annotations

import json

from .. import introspection
from .measure import L2_rate, fma_peak, memory_rate
from .terminal import make_console, make_table

NAMES = {"f32": "float32", "f64": "float64"}


def add_arguments(parser) -> None:
    parser.add_argument("--json", action="store_true", help="print a JSON object; rates in FLOP/s and bytes/s")


def run(arguments) -> int:
    if arguments.json:
        print(json.dumps({**introspection.show_config(mode="dicts"), "measured": measure()}, indent=2))
        return 0
    console = make_console()
    found = introspection.show_config(mode="dicts")
    table = make_table(f"fastconv {found['versions'].pop('fastconv')}", "<", "<", "<")
    table.show_header = False
    for part, entries in found.items():
        for number, (name, value) in enumerate(entries.items()):
            table.add_row("" if number else f"[bold]{part}[/]", name, introspection.as_text(value))
        table.add_section()
    console.print(table)
    measured = measure()
    threads = list(measured["multiply-adds, float32"])
    table = make_table("Measured at most", "<", *threads, "<")
    for name, rates in measured.items():
        table.add_row(name, *(f"{rates[number] / 1e9:.1f}" for number in threads), "GB/s" if "copy" in name else "GFLOP/s")
    console.print(table)
    console.print("[dim]Multiply-adds count as two operations; a copied byte counts as read and as written.[/]")
    return 0


def measure() -> dict[str, dict[str, float]]:
    """Rates in FLOP/s and bytes/s: what -> number of threads -> rate."""
    most = introspection.thread_limits()["number"]
    threads = {"1 thread": 1} | ({f"{most} threads": most} if most > 1 else {})
    return {**{f"multiply-adds, {name}": {text: fma_peak(real, n) for text, n in threads.items()}
               for real, name in NAMES.items()},
            "copy in L2": {text: L2_rate(n) for text, n in threads.items()},
            "copy in memory": {text: memory_rate(n) for text, n in threads.items()}}
