"""Calls that were made before: what they are known by; they run again unchecked and unplanned.

A call is known by all that can change its plan. Only plain arrays and arguments are remembered; every other call takes the
long way, which gives the same result. (conv1d, conv2d and conv3d, of which small ones are mostly call, do it by themselves.)
"""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import config
from .arrays import allocator, direct_target
from .plan import forgetting
from .stream_plan import only_plan

MOST_CALLS = 1024
PLAIN = {int, bool, float, str, type(None)}


class Known(NamedTuple):
    """What a call comes to."""

    run: Callable[[tuple[np.ndarray | None, ...], tuple[np.ndarray, ...]], object]      # of inputs and results
    results: tuple[tuple, ...]                  # shape, type and allocator of each


_calls: dict[tuple, Known] = {}
forgetting.append(_calls.clear)


def key_of(operation: str, inputs: tuple, arguments: tuple) -> tuple | None:
    """What a call is known by; None if it is not to be remembered."""
    kinds = tuple(map(type, arguments))         # True == 1 == 1.0, but they are not of one type
    if not PLAIN.issuperset(kinds):
        for value, kind in zip(arguments, kinds):
            if kind not in PLAIN and not (kind is tuple and all(type(v) is int for v in value)):
                return None
    key: tuple = (operation, config.get_num_threads(), arguments, kinds)
    for array in inputs:
        if array is None:
            key += None, None
        elif type(array) is np.ndarray:
            key += array.dtype, array.shape
        else:
            return None
    return key


def recall(key: tuple | None, inputs: tuple[np.ndarray | None, ...], out=None, calls: dict[tuple, Known] = _calls):
    """The result of a known call, in `out` if given: an array, or a pair, of which either may be None.

    None if the call must take the long way.
    """
    known = calls.get(key)
    if known is None or config.validating or only_plan.get():
        return None
    for array in inputs:
        if array is not None and not array.flags.carray:
            return None
    run, results = known
    if len(results) == 1:
        target = direct_target(out, *results[0], *inputs)
        if target is not None:
            run(inputs, (target,))
        return target
    wanted = (None,) * len(results) if out is None else out
    if type(wanted) is not tuple or len(wanted) != len(results):
        return None
    targets = tuple(direct_target(one, *result, *inputs) for one, result in zip(wanted, results))
    if any(target is None for target in targets) or (out is not None and np.may_share_memory(*targets)):
        return None
    run(inputs, targets)
    return targets


def remember(key: tuple | None, run: Callable, *results: np.ndarray, calls: dict[tuple, Known] = _calls) -> None:
    """Keep a call that read its inputs and wrote its results as they were given and returned: `run` of the same."""
    if key is None or any(y.size == 0 or y.dtype.kind not in "biuf" for y in results):
        return
    if not all(dtype is None or dtype.isnative for dtype in key[4::2]):
        return
    if len(calls) >= MOST_CALLS:
        calls.clear()
    calls[key] = Known(run, tuple((y.shape, y.dtype, allocator(y.shape)) for y in results))
