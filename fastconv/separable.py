"""Depthwise-separable convolutions: the depthwise output of a strip goes from cache into the pointwise convolution."""
from __future__ import annotations

import numpy as np

from . import config
from .arrays import COMPUTED, REALS, as_array, begin_result, common_type, contiguous, end_result, with_rows
from .chain import run_pair
from .plan import Plan, make_plan
from .problem import Problem, convolution_problem, flag
from .recall import key_of, recall, remember
from .validation import check


def separable_conv1d(input, depthwise_weight, pointwise_weight, bias=None, stride=1, padding=0, dilation=1, *,
                     padding_mode="zeros", channels_last=False, activation=None, residual=None, algorithm="auto", out=None):
    """One-dimensional depthwise-separable convolution; parameters are those of `separable_conv2d` with one spatial axis.

    Raises
    ------
    TypeError, ValueError
        As `separable_conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.separable_conv1d(np.ones((1, 2, 4)), np.ones((2, 1, 3)), np.ones((1, 2, 1)))
    array([[[6., 6.]]])
    """
    return separable("conv1d", input, depthwise_weight, pointwise_weight, bias, stride, padding, dilation, padding_mode,
                     channels_last, activation, residual, algorithm, out)


def separable_conv2d(input, depthwise_weight, pointwise_weight, bias=None, stride=1, padding=0, dilation=1, *,
                     padding_mode="zeros", channels_last=False, activation=None, residual=None, algorithm="auto", out=None):
    """Depthwise-separable convolution: every channel with kernels of its own, then a 1x1 convolution.

    ``y = conv2d(conv2d(x, depthwise_weight, groups=C, ...), pointwise_weight, bias, activation, residual)``

    Parameters
    ----------
    input : array, (N, C, H, W) or (C, H, W)
    depthwise_weight : array, (C * M, 1, R, S)
        M kernels for each channel; stride, padding and dilation are those of this step.
    pointwise_weight : array, (K, C * M, 1, 1)
    bias, residual, activation, algorithm
        Of the pointwise step, as in `conv2d`, with which the other parameters are shared too.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.

    References
    ----------
    F. Chollet, Xception: deep learning with depthwise separable convolutions, CVPR 2017, arXiv:1610.02357.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x, depthwise, pointwise = np.ones((1, 8, 6, 6)), np.ones((8, 1, 3, 3)), np.ones((16, 8, 1, 1))
    >>> fastconv.separable_conv2d(x, depthwise, pointwise, padding=1).shape
    (1, 16, 6, 6)
    """
    return separable("conv2d", input, depthwise_weight, pointwise_weight, bias, stride, padding, dilation, padding_mode,
                     channels_last, activation, residual, algorithm, out)


def check_weights(axes: int, channels: int, depthwise: np.ndarray, pointwise: np.ndarray) -> None:
    """Raises ValueError unless the weights fit each other and an input of so many channels."""
    if depthwise.ndim != axes + 2 or depthwise.shape[1] != 1 or channels == 0 or depthwise.shape[0] % channels:
        raise ValueError(f"depthwise_weight must have shape (C * M, 1, *kernel) for C={channels} channels, "
                         f"got {depthwise.shape}")
    if pointwise.ndim != axes + 2 or pointwise.shape[1:] != (depthwise.shape[0], *(1,) * axes):
        raise ValueError(f"pointwise_weight must have shape (K, {depthwise.shape[0]}{', 1' * axes}), got {pointwise.shape}")


def separable(operation, input, depthwise_weight, pointwise_weight, bias, stride, padding, dilation, padding_mode,
              channels_last, activation, residual, algorithm, out):
    """separable_conv1d and separable_conv2d, whose signatures say what each argument means."""
    arrays = input, depthwise_weight, pointwise_weight, bias, residual
    key = key_of(operation, arrays, (stride, padding, dilation, padding_mode, channels_last, activation, algorithm))
    y = recall(key, arrays, out)
    if y is not None:
        return y
    axes = int(operation[-2])
    x, depthwise = as_array(input, "input"), as_array(depthwise_weight, "depthwise_weight")
    pointwise = as_array(pointwise_weight, "pointwise_weight")
    b = None if bias is None else as_array(bias, "bias")
    r = None if residual is None else as_array(residual, "residual")
    dtype = common_type(input=x, depthwise_weight=depthwise, pointwise_weight=pointwise, bias=b, residual=r)
    if x.ndim not in (axes + 1, axes + 2):
        raise ValueError(f"input must have {axes + 2} axes, or {axes + 1} without a batch; got shape {x.shape}")
    batched = x.ndim == axes + 2
    C = x.shape[-1 if flag(channels_last, "channels_last") else -axes - 1]
    check_weights(axes, C, depthwise, pointwise)
    first = convolution_problem(operation, x.shape if batched else (1, *x.shape), depthwise.shape, REALS[dtype.name], stride,
                                padding, dilation, C, padding_mode, channels_last)
    second = next_problem(first, pointwise.shape, activation, b is not None, r is not None)
    threads = config.get_num_threads()
    plans = make_plan(first, threads=threads), make_plan(second, algorithm, threads=threads)
    y = finish(plans, x, depthwise, pointwise, b, r, out, dtype, batched)
    if batched and dtype == COMPUTED[second.real]:
        remember(key, lambda arrays, results: run_pair(*plans, *arrays, *results), y)
    return y


def next_problem(first: Problem, weight_shape, activation, bias: bool, residual: bool) -> Problem:
    """The pointwise convolution of what the depthwise one makes."""
    return convolution_problem(first.operation, first.output_shape, weight_shape, first.real,
                               channels_last=first.channels_last, activation=activation, bias=bias, residual=residual)


def finish(plans: tuple[Plan, Plan], x, depthwise, pointwise, b, r, out, dtype, batched: bool, packed=(None, None)):
    """Bring checked arrays into the form that kernels read, run both plans, and return the result in `out` if given.

    Raises ValueError where bias, residual or out have the wrong shape or type.
    """
    problem, real = plans[1].problem, COMPUTED[plans[1].problem.real]
    shape = problem.output_shape if batched else problem.output_shape[1:]
    y = begin_result(shape, problem.K, real, dtype, b, r, out, x, depthwise, pointwise)
    if y.size:
        x = with_rows(x, real)
        depthwise, pointwise = contiguous(depthwise, real), contiguous(pointwise, real)
        b, r = (None if a is None else contiguous(a, real) for a in (b, r))
        x, whole = x if batched else x[None], y if batched else y[None]
        run_pair(*plans, x, depthwise, pointwise, b, r, whole, packed)
        if config.validating:
            between = np.empty(plans[0].problem.output_shape, real)
            plans[0].run(x, depthwise, None, None, between, packed[0])
            check(plans[0].problem, x, depthwise, None, None, between, plans[0].row.error)
            check(problem, between, pointwise, b, r, whole, plans[1].row.error)
    return end_result(y, out, dtype)
