"""Partial convolutions: sums over valid pixels, scaled by the finish of the convolution."""
from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from . import config
from .arrays import COMPUTED, REALS, allocator, as_array, can_write, check_out, common_type, contiguous, end_result
from .convolution import is_plain
from .plan import Plan, apply_mask, exact_plan, forgetting, make_plan
from .problem import Problem, arranged, convolution_problem
from .validation import check


def partial_conv2d(input, mask, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *, channels_last=False,
                   activation=None, algorithm="auto", out=None):
    """Partial convolution: sums over the valid pixels of a window alone, scaled up to the whole window.

    ``y = activation(conv2d(x * mask, weight) * (size of the window) / (sum of the mask in the window) + bias)``

    A window without a valid pixel gives activation(0), without the bias.

    Parameters
    ----------
    input : array, (N, C, H, W) or (C, H, W)
        What it holds where the mask is 0, NaN for example, does not matter.
    mask : array, (N, 1, H, W) or (N, C, H, W); without N if the input has none
        1 where a pixel is valid, 0 where it is not; of the input's type. With `channels_last` its channels are last too.
    weight : array, (K, C // groups, R, S)
    bias : array, (K,), optional
    stride, padding, dilation, groups, channels_last, activation, algorithm, out
        As in `conv2d`. Padding is not valid: the sums near a border are scaled up too.

    Returns
    -------
    output : array, (N, K, P, Q)
    new_mask : array, (N, 1, P, Q) for a mask of one channel, else (N, K, P, Q)
        1 where the window has a valid pixel.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.

    References
    ----------
    G. Liu et al., Image inpainting for irregular holes using partial convolutions, ECCV 2018, arXiv:1804.07723.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> mask = np.array([[[[1., 1., 0., 0., 0.]]]])
    >>> y, new_mask = fastconv.partial_conv2d(np.ones((1, 1, 1, 5)), mask, np.ones((1, 1, 1, 3)))
    >>> y[0, 0, 0], new_mask[0, 0, 0]
    (array([3., 3., 0.]), array([1., 1., 0.]))
    """
    x, m, w = as_array(input, "input"), as_array(mask, "mask"), as_array(weight, "weight")
    b = None if bias is None else as_array(bias, "bias")
    dtype = common_type(input=x, mask=m, weight=w, bias=b)
    if x.ndim not in (3, 4):
        raise ValueError(f"input must have 4 axes, or 3 without a batch; got shape {x.shape}")
    axis = x.ndim - 1 if channels_last else x.ndim - 3
    single = (*x.shape[:axis], 1, *x.shape[axis + 1:])
    if m.shape not in (single, x.shape):
        raise ValueError(f"mask must have shape {single} or {x.shape}, got {m.shape}")
    batched = x.ndim == 4
    real = COMPUTED[REALS[dtype.name]]
    arguments = (x.shape if batched else (1, *x.shape), w.shape, REALS[dtype.name], m.shape == single, stride, padding,
                 dilation, groups, channels_last, activation, b is not None, algorithm, config.get_num_threads())
    plain = (all(map(is_plain, (stride, padding, dilation, groups, algorithm))) and type(channels_last) is bool
             and (activation is None or type(activation) is str))
    plan = (known_plan if plain else partial_plan)(*arguments)
    problem = plan.problem
    if b is not None and b.shape != (problem.K,):
        raise ValueError(f"bias must have shape {(problem.K,)}, one number per output channel, got {b.shape}")
    shape = problem.output_shape if batched else problem.output_shape[1:]
    if out is not None:
        check_out(out, shape, dtype)
    x, m = (contiguous(a if batched else a[None], real) for a in (x, m))
    y = out if out is not None and can_write(out, real, x, m, w, b) else allocator(shape)(shape, real)
    valid, masks = apply_mask(x, m, problem, plan.threads) if x.size else (x, m)
    scales, live = scales_of(problem, masks, 1 if m.shape[axis + (not batched)] == 1 else problem.C // problem.G)
    if y.size:
        w, b = contiguous(w, real), None if b is None else contiguous(b, real)
        plan.run(valid, w, b, scales, y if batched else y[None])
        if config.validating:
            check(problem, valid, w, b, scales, y if batched else y[None], plan.row.error)
    live = live.astype(dtype)
    if m.shape != single and live.shape != problem.output_shape:
        live = np.repeat(live, problem.K // problem.G, -1 if channels_last else 1)
    live = live if batched else live[0]
    return end_result(y, out, dtype), live


def partial_plan(input_shape, weight_shape, real, single, stride, padding, dilation, groups, channels_last, activation, bias,
                 algorithm, threads) -> Plan:
    problem = convolution_problem("conv2d", input_shape, weight_shape, real, stride, padding, dilation, groups, "zeros",
                                  channels_last, activation, bias)
    return make_plan(replace(problem, scales=1 if single else problem.G), algorithm, threads=threads)


known_plan = lru_cache(1024)(partial_plan)
forgetting.append(known_plan.cache_clear)


def scales_of(problem: Problem, masks: np.ndarray, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """The whole window by what the masks of each window sum up to, 0 where that is nothing; and where it is something.

    `masks` are sums over `channels` channels of one mask, or of one for each group.
    """
    plan, ones = counting(problem, config.get_num_threads())
    count = np.empty(plan.problem.output_shape, masks.dtype)
    if count.size:
        plan.run(masks.reshape(plan.problem.input_shape), ones, None, None, count)
    live = count > 0
    scales = np.where(live, count, count.dtype.type(np.inf))
    np.divide(channels * problem.taps, scales, out=scales)
    shape = arranged(problem.N, problem.scales, problem.output_size, problem.channels_last)
    return scales.reshape(shape), live.reshape(shape)


@lru_cache(256)
def counting(problem: Problem, threads: int) -> tuple[Plan, np.ndarray]:
    """The convolution that sums masks up, and its kernels of ones. One mask is the same numbers in either layout."""
    G = problem.scales
    plain = Problem("conv2d", problem.real, problem.N, G, G, G, problem.size, problem.kernel, problem.stride,
                    problem.dilation, problem.padding, channels_last=problem.channels_last and G > 1)
    return exact_plan(plain, threads), np.ones((G, 1, *problem.kernel), COMPUTED[problem.real])
