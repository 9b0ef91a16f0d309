"""One call of a pooling: argument check, plan, run. The functions of pooling.py say what each argument means."""
from __future__ import annotations

from collections.abc import Sequence
from math import inf, isnan, prod

import numpy as np

from . import config
from .arrays import COMPUTED, REALS, as_array, can_write, check_out, common_type, compared_type, contiguous
from .pool_problem import PoolProblem, adaptive_problem, pool_problem, split_shape, unpool_problem
from .problem import index, is_sequence, one_of
from .recall import key_of, recall, remember
from .stream_plan import make_stream_plan
from .validation import check_pool, check_unpool

F32, F64 = COMPUTED["f32"], COMPUTED["f64"]
WHOLE_POWERS = range(2, 17)     # that lose no more than some roundings as products


def pool(operation, input, arguments: tuple, channels_last, out, indices=False):
    """max_pool, avg_pool and the adaptive pools; `arguments` are those of pool_problem or adaptive_problem."""
    key = key_of(operation, (input,), (*arguments, channels_last, indices))
    known = recall(key, (input,), out)
    if known is not None:
        return known
    x = as_array(input, "input")
    if "max" in operation:
        dtype, computed, real = compared_type(x, "input")
    else:
        dtype = common_type(input=x)
        computed, real = COMPUTED[REALS[dtype.name]], REALS[dtype.name]
    batched = x.ndim != int(operation[-2]) + 1
    make_problem = adaptive_problem if operation.startswith("adaptive") else pool_problem
    problem = make_problem(operation, x.shape if batched else (1, *x.shape), real, *arguments, channels_last=channels_last,
                           indices=indices, integers=computed == np.int64)
    return execute(problem, x, computed, dtype, batched, out, key)


def execute(problem: PoolProblem, x: np.ndarray, computed: np.dtype, dtype: np.dtype, batched: bool, out,
            key: tuple | None = None):
    """Bring a checked input into the form that kernels read, plan, run; the result, in `out` if given.

    With indices the result and `out` are pairs (values, indices). `key` is what recall.py knows the call by.
    """
    shape = problem.output_shape if batched else problem.output_shape[1:]
    wanted = (dtype, np.dtype(np.int64))[:1 + problem.indices]
    outs = (None, None)
    if out is not None:
        outs = out if problem.indices else (out,)
        if problem.indices and (not is_sequence(out) or isinstance(out, np.ndarray) or len(out) != 2):
            raise TypeError(f"out must be a pair (values, indices) with return_indices=True, not {type(out).__name__}")
        for array, kind in zip(outs, wanted):
            check_out(array, shape, kind)
        if problem.indices and np.may_share_memory(*outs):
            raise ValueError("out: values and indices share memory")
    targets = [array if array is not None and can_write(array, kind, x) else np.empty(shape, kind)
               for array, kind in zip(outs, (computed, wanted[-1])[:len(wanted)])]
    if targets[0].size:
        x = contiguous(x, computed)
        plan = make_stream_plan(problem, threads=config.get_num_threads())
        plan.run((x,), tuple(targets))
        remember(key if computed == dtype else None, plan.run, *targets)
        if config.validating:
            check_pool(problem, *(a if batched else a[None] for a in (x, *targets)))
        if dtype.kind in "iu" and any(d > 1 and p for d, p in zip(problem.dilation, problem.padding)):
            np.maximum(targets[0], np.iinfo(dtype).min, out=targets[0])     # a window without a pixel gives -infinity
    results = []
    for target, array, kind in zip(targets, outs, wanted):
        if array is not None and array is not target:
            array[...] = target
        results.append(target.astype(kind, copy=False) if array is None else array)
    return tuple(results) if problem.indices else results[0]


def power(x: np.ndarray, p: float) -> np.ndarray:
    """x to the power p; small whole ones as products, which are quick for negative numbers too."""
    if p == 1:
        return x
    if p not in WHOLE_POWERS:
        return np.power(x, x.dtype.type(p))
    half = power(x, p // 2)
    return half * half if p % 2 == 0 else half * half * x


def lp_pool(operation, input, norm_type, kernel_size, stride, ceil_mode, channels_last, out):
    """Root of the sum of powers: powers and roots by NumPy, sums by the kernels of the mean."""
    x = as_array(input, "input")
    dtype = common_type(input=x)
    try:
        p = float(norm_type)
    except (TypeError, ValueError):
        raise TypeError(f"norm_type must be a real number, not {type(norm_type).__name__}: {norm_type!r}") from None
    if p == 0 or isnan(p):
        raise ValueError(f"norm_type={norm_type!r}: there is no such root")
    computed, real = COMPUTED[REALS[dtype.name]], REALS[dtype.name]
    batched = x.ndim != int(operation[-2]) + 1
    problem = pool_problem(operation, x.shape if batched else (1, *x.shape), real, kernel_size, stride, 0, 1, ceil_mode,
                           channels_last=channels_last)
    shape = problem.output_shape if batched else problem.output_shape[1:]
    if out is not None:
        check_out(out, shape, dtype)
    x = x.astype(computed, copy=False)
    with np.errstate(all="ignore"):
        if abs(p) == inf:
            arguments = kernel_size, stride, 0, 1, ceil_mode
            y = pool(operation.replace("lp", "max"), np.copysign(x, p), arguments, channels_last, None)
            y = y if p > 0 else -y
        else:
            cut = any((m - 1) * s + k > n for n, m, s, k in
                      zip(problem.size, problem.output_size, problem.stride, problem.kernel))
            problem = pool_problem(operation, problem.input_shape, real, kernel_size, stride, 0, 1, ceil_mode, True,
                                   None if cut else 1, channels_last=channels_last)
            powers = power(x, p)
            y = execute(problem, powers, computed, computed, batched, None)
            if cut:
                y *= computed.type(problem.taps)
            if p < 0:
                y += 0                  # -0, of which a negative power would make minus infinity, becomes 0
            y = np.sqrt(y) if p == 2 else power(y, 1 / p)
    if out is None:
        return y.astype(dtype, copy=False)
    out[...] = y
    return out


def unpool(operation, input, indices, kernel_size, stride, padding, output_size, channels_last, out):
    """max_unpool; numbers move as they are, whatever their type."""
    x, where = as_array(input, "input"), as_array(indices, "indices")
    dtype, computed, real = compared_type(x, "input")
    if where.dtype.kind != "i" or where.dtype.itemsize != 8:
        raise TypeError(f"indices must be int64, not {where.dtype}")
    if where.shape != x.shape:
        raise ValueError(f"indices have shape {where.shape}, the input has {x.shape}")
    batched = x.ndim != int(operation[-2]) + 1
    problem = unpool_problem(operation, x.shape if batched else (1, *x.shape), real, kernel_size, stride, padding,
                             output_size, channels_last=channels_last)
    shape, places = problem.output_shape if batched else problem.output_shape[1:], prod(problem.output_size)
    if out is not None:
        check_out(out, shape, dtype)
    where = contiguous(where, np.dtype(np.int64))
    if where.size and not (where.min() >= 0 and where.max() < places):
        raise IndexError(f"indices reach from {where.min()} to {where.max()}, but a plane of the output of shape {shape} "
                         f"has {places} places")
    straight = out is not None and can_write(out, computed, x, where)
    y = out if straight else np.empty(shape, computed)
    if y.size:
        x = contiguous(x, computed)
        make_stream_plan(problem, threads=config.get_num_threads()).run((x, where), (y,))
        if config.validating:
            check_unpool(problem, *(a if batched else a[None] for a in (x, where, y)))
    if straight or out is None:
        return y.astype(dtype, copy=False)
    out[...] = y
    return out


def pyramid(input, levels, mode, channels_last, out):
    """Adaptive pools of one image side by side, channel first."""
    one_of(mode, "mode", ("max", "avg"))
    if not is_sequence(levels) or not len(levels):
        raise ValueError(f"levels must be one or more ints, got {levels!r}")
    levels = tuple(index(level, f"levels[{i}]", 1) for i, level in enumerate(levels))
    x = as_array(input, "input")
    dtype = compared_type(x, "input")[0] if mode == "max" else common_type(input=x)
    batched = x.ndim != 3
    N, C, _ = split_shape("spatial_pyramid_pool2d", x.shape if batched else (1, *x.shape), channels_last)
    shape = (N, C * sum(level * level for level in levels))[not batched:]
    if out is not None:
        check_out(out, shape, dtype)
    parts: Sequence[np.ndarray] = [pool(f"adaptive_{mode}_pool2d", x if batched else x[None], (level,), channels_last, None)
                                   for level in levels]
    parts = [(np.moveaxis(part, -1, 1) if channels_last else part).reshape(N, C * level * level)
             for part, level in zip(parts, levels)]
    y = np.concatenate(parts, axis=1).reshape(shape)
    if out is None:
        return y
    out[...] = y
    return out
