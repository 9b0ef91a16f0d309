"""Partial convolutions: sums over valid pixels, scaled by the finish of the convolution."""
from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import config
from .algorithms import list_algorithms
from .arrays import COMPUTED, REALS, as_array, can_write, check_out, common_type, contiguous
from .convolution import conv2d
from .plan import apply_mask, make_plan
from .problem import Problem, convolution_problem

EXACT = list_algorithms("conv2d")[-1]       # sums of masks: the row that neither refuses nor rounds small integers


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
    problem = convolution_problem("conv2d", x.shape if batched else (1, *x.shape), w.shape, REALS[dtype.name], stride,
                                  padding, dilation, groups, "zeros", channels_last, activation, b is not None)
    problem = replace(problem, scales=1 if m.shape == single else problem.G)
    plan = make_plan(problem, algorithm, threads=config.get_num_threads())
    if b is not None and b.shape != (problem.K,):
        raise ValueError(f"bias must have shape {(problem.K,)}, one number per output channel, got {b.shape}")
    shape = problem.output_shape if batched else problem.output_shape[1:]
    if out is not None:
        check_out(out, shape, dtype)
    x, m = (contiguous(a if batched else a[None], real) for a in (x, m))
    straight = out is not None and can_write(out, real, x, m, w, b)
    y = out if straight else np.empty(shape, real)
    valid, masks = apply_mask(x, m, problem, plan.threads) if x.size else (x, m)
    scales = scales_of(problem, masks, 1 if m.shape[axis + (not batched)] == 1 else problem.C // problem.G)
    if y.size:
        plan.run(valid, contiguous(w, real), None if b is None else contiguous(b, real), scales, y if batched else y[None])
    live = (scales > 0).astype(dtype)
    if m.shape == x.shape and live.shape != problem.output_shape:
        live = np.repeat(live, problem.K // problem.G, -1 if channels_last else 1)
    live = live if batched else live[0]
    if straight:
        return out, live
    if out is not None:
        out[...] = y
        return out, live
    return y.astype(dtype, copy=False), live


def scales_of(problem: Problem, masks: np.ndarray, channels: int) -> np.ndarray:
    """The whole window by what the masks of each window sum up to; 0 where that is nothing.

    `masks` are sums over `channels` channels of one mask, or of one for each group.
    """
    G, last = problem.scales, problem.channels_last
    if G == 1 and last:         # the same numbers in either layout, and one layout is quicker
        masks = masks.reshape(problem.N, 1, *problem.size)
    count = conv2d(masks, np.ones((G, 1, *problem.kernel), masks.dtype), None, problem.stride, problem.padding,
                   problem.dilation, G, channels_last=last and G > 1, algorithm=EXACT)
    scales = np.divide(channels * problem.taps, count, out=np.zeros_like(count), where=count > 0)
    return scales.reshape(problem.N, *problem.output_size, 1) if G == 1 and last else scales
