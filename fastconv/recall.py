"""Calls that were made before: what they are known by; those of pooling, resampling and rearranging run again unchecked.

A call is known by all that can change its plan. Only plain arrays and arguments are remembered; every other call takes the
long way, which gives the same result.
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import config
from .arrays import allocator, direct_target
from .stream_plan import StreamPlan, only_plan

MOST_CALLS = 1024
PLAIN = {int, bool, float, str, type(None)}


class Known(NamedTuple):
    """What a call comes to."""

    plan: StreamPlan
    more: tuple[np.ndarray | None, ...]         # inputs behind those of the call
    results: tuple[tuple, ...]                  # shape, type and allocator of each


_calls: dict[tuple, Known] = {}


def key_of(operation: str, inputs: tuple, arguments: tuple) -> tuple | None:
    """What a call is known by; None if it is not to be remembered."""
    kinds = tuple(map(type, arguments))         # True == 1 == 1.0, but they are not of one type
    if not PLAIN.issuperset(kinds):
        for value, kind in zip(arguments, kinds):
            if kind not in PLAIN and not (kind is tuple and all(type(v) is int for v in value)):
                return None
    key: tuple = (operation, config.get_num_threads(), arguments, kinds)
    for array in inputs:
        if type(array) is not np.ndarray:
            return None
        key += array.dtype, array.shape
    return key


def is_native(key: tuple) -> bool:
    """Whether the numbers of all inputs of a call lie as kernels read them."""
    return all(dtype.isnative for dtype in key[4::2])


def recall(key: tuple | None, inputs: tuple[np.ndarray, ...], out=None):
    """The result of a known call, in `out` if given: an array, or a pair. None if the call must take the long way."""
    known = _calls.get(key)
    if known is None or config.validating or only_plan.get():
        return None
    for array in inputs:
        if not array.flags.carray:
            return None
    plan, more, results = known
    if len(results) == 1:
        target = direct_target(out, *results[0], *inputs)
        if target is not None:
            plan.run(inputs + more, (target,))
        return target
    wanted = (None,) * len(results) if out is None else out
    if type(wanted) is not tuple or len(wanted) != len(results):
        return None
    targets = tuple(direct_target(one, *result, *inputs) for one, result in zip(wanted, results))
    if any(target is None for target in targets) or (out is not None and np.may_share_memory(*out)):
        return None
    plan.run(inputs + more, targets)
    return targets


def remember(key: tuple | None, plan: StreamPlan, results: tuple[np.ndarray, ...],
             more: tuple[np.ndarray | None, ...] = ()) -> None:
    """Keep a call whose plan read its inputs and wrote its results as they were given and returned."""
    if key is None or any(y.size == 0 or y.dtype.kind not in "biuf" for y in results):
        return
    if not is_native(key):
        return
    if len(_calls) >= MOST_CALLS:
        _calls.clear()
    _calls[key] = Known(plan, more, tuple((y.shape, y.dtype, allocator(y.shape)) for y in results))
