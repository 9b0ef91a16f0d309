"""explain() of operations without weights: the call is made as a user makes it, and ends as soon as it has a plan."""
from __future__ import annotations

from importlib import import_module
from math import prod

import numpy as np

from .algorithms import TABLE
from .machine import machine
from .stream_plan import Planned, StreamPlan, planning

BLOCKS = ("rows", "columns", "channels", "lines", "c_block", "shares")
MODULES = ("pooling", "adaptive_pooling", "resampling", "rearranging", "regions")      # that hold the functions


def explain_stream(operation: str, shapes: tuple, dtype="float32", **arguments) -> str:
    """What `operation` does with arrays of these shapes and these arguments.

    Raises
    ------
    ValueError, TypeError
        As the function; an operation that there is not.
    """
    modules = (import_module(f".{name}", __package__) for name in MODULES)
    function = next((getattr(module, operation) for module in modules if hasattr(module, operation)), None)
    if function is None or operation not in TABLE:
        raise ValueError(f"operation={operation!r} is none of {', '.join(TABLE)}")
    try:
        kind = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype={dtype!r} is no type of numbers") from None
    kinds = [np.dtype(np.int64) if operation.startswith("max_unpool") and i else kind for i in range(len(shapes))]
    try:
        arrays = [np.zeros(shape, kind) for shape, kind in zip(shapes, kinds)]
    except (ValueError, MemoryError):
        raise ValueError(f"input_shape={shapes[0]} or another shape is too large for an array: {shapes}") from None
    try:
        with planning():
            function(*arrays, **arguments)
    except Planned as found:
        return explain_stream_plan(found.plan, arrays)
    return f"{operation} of {arrays[0].shape}: nothing to compute, the result is empty"


def explain_stream_plan(plan: StreamPlan, arrays: list[np.ndarray]) -> str:
    p, row = plan.problem, plan.row
    m = machine(plan.isa, p.real)
    written = prod(p.output_shape) * (arrays[0].itemsize + 8 * bool(getattr(p, "indices", False)))
    read = sum(array.nbytes for array in arrays)
    lines = [
        f"{p.operation} of {' and '.join(str(array.shape) for array in arrays)} {arrays[0].dtype} -> {p.output_shape}",
        f"  algorithm   {row.name}: {row.summary}",
        f"  kernel      {plan.file}, instruction set {plan.isa}, {m.lanes} lanes, {plan.threads} "
        f"{'thread' if plan.threads == 1 else 'threads'}",
        f"  work        {(read + written) / 1e6:.4g} MB of arrays, {written / 1e6:.4g} of them written; caches hold "
        f"{m.L2 / 1e6:.3g} (L2) and {m.L3 / 1e6:.3g} (L3)",
        f"  workspace   {plan.workspace * plan.threads / 1024:.4g} KiB in all, {plan.workspace / 1024:.4g} KiB per thread",
    ]
    blocks = ", ".join(f"{name.replace('c_block', 'channels')} {n}" for name, n in plan.blocks.items() if name in BLOCKS)
    lines += [f"  blocks      {blocks}"] if blocks else []
    mine = row.cost(p, m)
    for other in TABLE[p.operation]:
        if other.name != row.name:
            slower = f"predicted to take {other.cost(p, m) / mine:.2f} times as long" if mine else "it is not the quickest"
            lines.append(f"  not {other.name + ':':12} {other.refuses(p) or slower}")
    return "\n".join(lines)
