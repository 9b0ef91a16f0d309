"""Running a plan of stream_plan.py on arrays: what the functions of resampling, rearranging and regions share."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import config
from .arrays import COMPUTED, allocator, as_array, can_write, check_out, contiguous
from .recall import remember
from .stream_plan import StreamPlan, make_stream_plan
from .validation import check_stream

ITEMS = (1, 2, 4, 8)


def movable(value, name: str = "input") -> np.ndarray:
    """`value` as an array of numbers that a kernel can move as they are, in native byte order.

    Raises
    ------
    TypeError
        For anything but bool, integers and floats of 1, 2, 4 or 8 bytes.
    """
    array = as_array(value, name)
    dtype = array.dtype
    if not (dtype.kind in "biuf" or dtype.name == "bfloat16") or dtype.itemsize not in ITEMS:
        raise TypeError(f"{name} has type {dtype}; bool, integers and floats of at most 8 bytes are moved: convert it, "
                        f"for example with {name}.astype(numpy.float64)")
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def move(problem, x: np.ndarray, out, shape: tuple[int, ...], fill=None, key: tuple | None = None) -> np.ndarray:
    """Run a problem whose items are moved; `fill`, an array of one item, stands where nothing is moved to.

    `key` is what recall.py knows the call by.
    """
    dtype, item = x.dtype, np.dtype(f"u{x.itemsize}")
    if out is not None:
        check_out(out, shape, dtype)
    straight = out is not None and can_write(out, dtype, x)
    y = out if straight else allocator(shape)(shape, dtype)
    if y.size:
        inputs = tuple(None if a is None else contiguous(a, dtype).view(item) for a in (x, fill))
        plan, more = stream(problem, inputs, y.view(item)), inputs[1:]
        remember(key, lambda inputs, results: plan.run(inputs + more, results), y)
    return finish(y, out, straight)


def compute(problem, inputs: tuple[np.ndarray | None, ...], dtype: np.dtype, out, shape: tuple[int, ...],
            key: tuple | None = None, inputs_of: Callable | None = None) -> np.ndarray:
    """Run a problem on floats; `dtype` is that of the result, `key` what recall.py knows the call by: its arrays are the
    inputs, or `inputs_of` makes them of these."""
    real = COMPUTED[problem.real]
    if out is not None:
        check_out(out, shape, dtype)
    straight = out is not None and can_write(out, real, *inputs)
    y = out if straight else allocator(shape)(shape, real)
    if y.size:
        plan = stream(problem, tuple(as_read(a, real) for a in inputs), y)
        again = plan.run if inputs_of is None else (
            lambda arrays, results: plan.run(tuple(as_read(a, real) for a in inputs_of(arrays)), results))
        remember(key if dtype == real else None, again, y)
    return finish(y if straight else y.astype(dtype, copy=False), out, straight)


def as_read(array: np.ndarray | None, real: np.dtype) -> np.ndarray | None:
    """An input as kernels read it: floats in their number type, positions as they are."""
    return None if array is None else contiguous(array, array.dtype if array.dtype.kind == "i" else real)


def stream(problem, inputs: tuple[np.ndarray | None, ...], y: np.ndarray) -> StreamPlan:
    plan = make_stream_plan(problem, threads=config.get_num_threads())
    plan.run(inputs, (y,))
    if config.validating:
        check_stream(problem, inputs, y)
    return plan


def finish(y: np.ndarray, out, straight: bool) -> np.ndarray:
    if out is None or straight:
        return y
    out[...] = y
    return out
