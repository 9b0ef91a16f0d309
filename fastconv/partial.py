"""Partial convolutions: sums over valid pixels, scaled by the finish of the convolution."""
from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import config
from .arrays import COMPUTED, REALS, as_array, begin_result, common_type, contiguous, end_result, lined
from .layers import Conv2d
from .plan import Plan, Scaling, apply_mask, cover, exact_plan, make_plan
from .problem import Problem, arranged, convolution_problem, flag
from .recall import key_of, recall, remember
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
    arrays = input, mask, weight, bias
    key = key_of("partial", arrays, (stride, padding, dilation, groups, channels_last, activation, algorithm))
    results = recall(key, arrays, None if out is None else (out, None))
    if results is not None:
        return results
    x, m, w = as_array(input, "input"), as_array(mask, "mask"), as_array(weight, "weight")
    b = None if bias is None else as_array(bias, "bias")
    dtype = common_type(input=x, mask=m, weight=w, bias=b)
    single = has_one_mask(x, m, flag(channels_last, "channels_last"))
    problem = convolution_problem("conv2d", with_batch(x).shape, w.shape, REALS[dtype.name], stride, padding, dilation,
                                  groups, "zeros", channels_last, activation, b is not None)
    partial = Partial(make_plan(scaled(problem, single), algorithm, threads=config.get_num_threads()), single)
    results = partial(x, m, w, b, out, dtype)
    if x.ndim == 4 and dtype == COMPUTED[problem.real]:
        remember(key, lambda arrays, results: partial.run(*arrays, *results), *results)
    return results


def has_one_mask(x: np.ndarray, m: np.ndarray, channels_last: bool) -> bool:
    """Whether all channels of x have one mask. Raises ValueError for axes and shapes that do not fit."""
    if x.ndim not in (3, 4):
        raise ValueError(f"input must have 4 axes, or 3 without a batch; got shape {x.shape}")
    axis = x.ndim - 1 if channels_last else x.ndim - 3
    single = (*x.shape[:axis], 1, *x.shape[axis + 1:])
    if m.shape not in (single, x.shape):
        raise ValueError(f"mask must have shape {single} or {x.shape}, got {m.shape}")
    return m.shape == single


def with_batch(x: np.ndarray) -> np.ndarray:
    return x if x.ndim == 4 else x[None]


def scaled(problem: Problem, single: bool) -> Problem:
    """The convolution whose sums are scaled, by one plane for all channels or by one for each group."""
    return replace(problem, scales=1 if single else problem.G)


class Partial:
    """A partial convolution of one shape: the plan of its sums, and that of how much of each window is valid."""

    def __init__(self, plan: Plan | Scaling, single: bool):
        problem, self.plan = plan.problem, plan
        G = problem.scales
        self.whole = (1 if single else problem.C // problem.G) * problem.taps
        self.scales_shape = arranged(problem.N, G, problem.output_size, problem.channels_last)
        self.mask_shape = self.scales_shape if single else problem.output_shape
        # One mask is the same numbers in either layout.
        self.counting = exact_plan(Problem("conv2d", problem.real, problem.N, G, G, G, problem.size, problem.kernel,
                                           problem.stride, problem.dilation, problem.padding,
                                           channels_last=problem.channels_last and G > 1), config.get_num_threads())
        self.ones = np.ones((G, 1, *problem.kernel), COMPUTED[problem.real])

    def __call__(self, x, m, w, b, out, dtype, packed=None) -> tuple[np.ndarray, np.ndarray]:
        """The results for checked arrays of any strides and byte order, with or without a batch.

        Raises TypeError or ValueError where bias or out do not fit.
        """
        problem = self.plan.problem
        real, first = COMPUTED[problem.real], 0 if x.ndim == 4 else 1
        y = begin_result(problem.output_shape[first:], problem.K, real, dtype, b, None, out, x, m, w)
        new_mask = np.empty(self.mask_shape[first:], dtype)
        x, m = (contiguous(with_batch(a), real) for a in (x, m))
        b = None if b is None else contiguous(b, real)
        if new_mask.size:
            self.run(x, m, contiguous(w, real), b, with_batch(y), with_batch(new_mask), packed)
        return end_result(y, out, dtype), new_mask

    def run(self, x, m, w, b, y, new_mask, packed=None) -> None:
        """Write y, and where it has seen something."""
        problem = self.plan.problem
        valid, masks = apply_mask(x, m, problem, self.plan.threads) if x.size else (x, m)
        sums = lined(self.counting.problem.output_shape, y.dtype)
        self.counting.run(masks.reshape(self.counting.problem.input_shape), self.ones, None, None, sums)
        taken = new_mask.size == sums.size and new_mask.dtype == y.dtype
        live = new_mask if taken else np.empty(self.scales_shape, y.dtype)
        scales = cover(sums, self.whole, live, problem, self.plan.threads).reshape(self.scales_shape)
        if y.size:
            self.plan.run(valid, w, b, scales, y, packed)
        if y.size and config.validating:
            check(problem, valid, w, b, scales, y, self.plan.row.error)
        if not taken:
            new_mask[...] = np.repeat(live, new_mask.size // live.size, -1 if problem.channels_last else 1)


class PartialConv2d(Conv2d):
    """`partial_conv2d` with weights that are packed once; takes its arguments less `input`, `mask` and `out`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> blur = fastconv.PartialConv2d(np.full((1, 1, 1, 3), 1 / 3))
    >>> blur(np.array([[[[1., np.nan, 3., 5.]]]]), np.array([[[[1., 0., 1., 1.]]]]))[0].round(3)
    array([[[[2., 4.]]]])
    """

    def __init__(self, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *, channels_last=False, activation=None,
                 algorithm="auto"):
        super().__init__(weight, bias, stride, padding, dilation, groups, channels_last=channels_last, activation=activation,
                         algorithm=algorithm)

    def problem(self, shape: tuple[int, ...], residual: bool = False) -> Problem:
        """What a call with one mask for all channels asks for inputs of a shape, batch included."""
        return scaled(super().problem(shape, residual), True)

    def __call__(self, input, mask, out=None):
        """Convolve an input; the arguments and the pair of results are those of the function.

        Raises
        ------
        TypeError, ValueError
            As the function.
        """
        key = key_of("partial", (input, mask), ())
        results = recall(key, (input, mask), None if out is None else (out, None), self._known)
        if results is not None:
            return results
        x, m = as_array(input, "input"), as_array(mask, "mask")
        dtype = self.check_type(common_type(input=x, mask=m))
        single = has_one_mask(x, m, self.arguments["channels_last"])
        plan = make_plan(scaled(self.problem(with_batch(x).shape), single), self.algorithm, threads=config.get_num_threads())
        partial, packed = Partial(plan, single), self.packed_for(plan)
        results = partial(x, m, self.weight, self.bias, out, dtype, packed)
        if x.ndim == 4 and dtype == COMPUTED[self.real]:
            remember(key, lambda arrays, results: partial.run(*arrays, self.weight, self.bias, *results, packed), *results,
                     calls=self._known)
        return results
