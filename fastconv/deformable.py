"""Deformable convolution as a function of arrays: argument check, plan, run."""
from __future__ import annotations

import numpy as np

from . import config
from .arrays import COMPUTED, REALS, as_array, common_type
from .convolution import execute
from .deform_problem import count_offset_groups, deform_problem
from .plan import make_plan
from .problem import flag
from .recall import key_of, recall, remember


def with_batch(array: np.ndarray | None, batched: bool) -> np.ndarray | None:
    return array if batched or array is None else array[None]


def deform_conv2d(input, offset, weight, bias=None, stride=1, padding=0, dilation=1, mask=None, *, channels_last=False,
                  activation=None, residual=None, algorithm="auto", out=None):
    """Deformable convolution: every tap of every window samples the image where an offset says, between its pixels.

    ``y[n, k, p, q] = activation(bias[k] + residual[n, k, p, q] + sum over c, r, s of weight[k, c, r, s]
    * mask[n, g(r, s), p, q] * sample(x[n, c], p * stride - padding + r * dilation + offset[n, 2 * g(r, s), p, q],
    q * stride - padding + s * dilation + offset[n, 2 * g(r, s) + 1, p, q]))`` with
    ``g(r, s) = (offset group of c) * R * S + r * S + s``; without `mask` [1]_, and with it [2]_.

    Names, order and defaults are those of ``torchvision.ops.deform_conv2d``; what it lacks is keyword-only.

    Parameters
    ----------
    input : array, (N, C, H, W) or (C, H, W)
        float32, float64, float16 or bfloat16; channels in the last axis with `channels_last`. float16 and bfloat16 are
        computed in float32. Never changed.
    offset : array, (N, 2 * OG * R * S, P, Q), or without N as the input
        In pixels, for each of OG offset groups and each tap the vertical one, then the horizontal one. Each offset group
        is C / OG successive input channels. (N, P, Q, 2 * OG * R * S) with `channels_last`.
    weight : array, (K, C // groups, R, S)
        The number of groups is C over its second axis.
    bias : array, (K,), optional
    stride, padding, dilation
        As in `conv2d`; padding is of zeros.
    mask : array, (N, OG * R * S, P, Q), optional
        What every sample is multiplied by; (N, P, Q, OG * R * S) with `channels_last`.
    channels_last, activation, residual, out
        As in `conv2d`.
    algorithm : str
        A row of ``fastconv.list_algorithms("deform_conv2d")``, or "auto".

    Returns
    -------
    array, (N, K, P, Q) or (K, P, Q)
        P and Q as of `conv2d`, in the type of the input.

    Raises
    ------
    TypeError
        Types that are not computed or not the same, parameters that are not ints, masked values.
    ValueError
        Shapes and parameters that do not fit; nothing has been written then.

    Notes
    -----
    A sample is bilinear between four pixels; those outside the image are zeros. A NaN, infinite or huge offset samples
    zero. A pixel of which a sample takes nothing, as beside an offset of whole pixels, does not reach it, even if it is
    infinite. Samples outside the image are zeros that are multiplied, as in torchvision: under an infinite weight, or a
    NaN in the mask, the result is NaN.

    The error is at most gamma(n + 9) * sum |w| |mask| * (sample of |x|), with n products in a sum and gamma as in
    `conv2d`; positions are computed in float64. The result is the same for every number of threads and every batch, to
    the bit.

    References
    ----------
    .. [1] J. Dai et al., Deformable convolutional networks, ICCV 2017, arXiv:1703.06211.
    .. [2] X. Zhu et al., Deformable ConvNets v2: more deformable, better results, CVPR 2019, arXiv:1811.11168.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> image = np.array([[[[1., 2., 4.]]]])
    >>> half_a_pixel = np.full((1, 2, 1, 3), [[[0.]], [[0.5]]])
    >>> fastconv.deform_conv2d(image, half_a_pixel, np.ones((1, 1, 1, 1)))
    array([[[[1.5, 3. , 2. ]]]])
    """
    arrays = input, weight, bias, residual, offset, mask
    key = key_of("deform_conv2d", arrays, (stride, padding, dilation, channels_last, activation, algorithm))
    y = recall(key, arrays, out)
    if y is not None:
        return y
    x, w = as_array(input, "input"), as_array(weight, "weight")
    offset, mask = as_array(offset, "offset"), None if mask is None else as_array(mask, "mask")
    b = None if bias is None else as_array(bias, "bias")
    r = None if residual is None else as_array(residual, "residual")
    dtype = common_type(input=x, offset=offset, weight=w, bias=b, mask=mask, residual=r)
    batched = x.ndim != 3
    offset, mask = with_batch(offset, batched), with_batch(mask, batched)
    groups = count_offset_groups(offset.shape, w.shape, flag(channels_last, "channels_last"))
    problem = deform_problem(with_batch(x, batched).shape, w.shape, groups, mask is not None, REALS[dtype.name], stride,
                             padding, dilation, channels_last, activation, b is not None, r is not None)
    problem.check_offset(offset.shape, None if mask is None else mask.shape)
    plan = make_plan(problem, algorithm, threads=config.get_num_threads())
    y = execute(plan, x, w, b, r, out, dtype, batched, None, offset, mask)
    if batched and dtype == COMPUTED[problem.real]:
        remember(key, lambda arrays, results: plan.run(*arrays[:4], *results, None, *arrays[4:]), y)
    return y
