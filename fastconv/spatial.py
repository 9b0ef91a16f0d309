"""Convolutions that are separable in space: along columns, then along rows, strip by strip where a chain of both can."""
from __future__ import annotations

import numpy as np

from . import config
from .arrays import COMPUTED, REALS, as_array, common_type
from .chain import run_pair
from .plan import make_plan
from .problem import convolution_problem, flag, number, per_axis, resolve_padding
from .recall import key_of, recall, remember
from .separable import finish


def spatial_separable_conv2d(input, column, row, bias=None, stride=1, padding=0, dilation=1, *, padding_mode="zeros",
                             channels_last=False, activation=None, residual=None, algorithm="auto", out=None):
    """Every channel with a kernel that is the outer product of a column and a row: R + S products instead of R S.

    ``y = conv2d(x, column[:, None, :, None] * row[:, None, None, :], bias, groups=C, ...)`` but for rounding

    Parameters
    ----------
    input : array, (N, C, H, W) or (C, H, W)
    column : array, (C, R)
    row : array, (C, S)
        `decompose_separable` finds both for a kernel of rank one.
    bias : array, (C,), optional
    stride, padding, dilation, padding_mode, channels_last, activation, residual, algorithm, out
        As in `conv2d`.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.spatial_separable_conv2d(np.ones((1, 1, 4, 4)), np.array([[1., 2., 1.]]), np.array([[-1., 0., 1.]]))
    array([[[[0., 0.],
             [0., 0.]]]])
    """
    arrays = input, column, row, bias, residual
    key = key_of("spatial", arrays, (stride, padding, dilation, padding_mode, channels_last, activation, algorithm))
    y = recall(key, arrays, out)
    if y is not None:
        return y
    x, column, row = as_array(input, "input"), as_array(column, "column"), as_array(row, "row")
    b = None if bias is None else as_array(bias, "bias")
    r = None if residual is None else as_array(residual, "residual")
    dtype = common_type(input=x, column=column, row=row, bias=b, residual=r)
    if x.ndim not in (3, 4):
        raise ValueError(f"input must have 4 axes, or 3 without a batch; got shape {x.shape}")
    channels_last = flag(channels_last, "channels_last")
    C, size = x.shape[-1 if channels_last else -3], x.shape[-3:-1] if channels_last else x.shape[-2:]
    for name, weight in (("column", column), ("row", row)):
        if weight.ndim != 2 or weight.shape[0] != C or not weight.shape[1]:
            raise ValueError(f"{name} must have shape ({C}, length) for input of shape {x.shape}, got {weight.shape}")
    stride, dilation = per_axis(stride, 2, "stride", 1), per_axis(dilation, 2, "dilation", 1)
    pads = resolve_padding(padding, size, (column.shape[1], row.shape[1]), stride, dilation)
    column, row = column[:, None, :, None], row[:, None, None, :]
    first = convolution_problem("conv2d", x.shape if x.ndim == 4 else (1, *x.shape), column.shape, REALS[dtype.name],
                                (stride[0], 1), [pads[0], (0, 0)], (dilation[0], 1), C, padding_mode, channels_last)
    second = convolution_problem("conv2d", first.output_shape, row.shape, first.real, (1, stride[1]), [(0, 0), pads[1]],
                                 (1, dilation[1]), C, padding_mode, channels_last, activation, b is not None, r is not None)
    threads = config.get_num_threads()
    plans = make_plan(first, algorithm, threads=threads), make_plan(second, algorithm, threads=threads)
    y = finish(plans, x, column, row, b, r, out, dtype, x.ndim == 4)
    if x.ndim == 4 and dtype == COMPUTED[first.real]:
        remember(key, lambda arrays, results: run_pair(*plans, *arrays, *results), y)
    return y


def decompose_separable(kernel, rtol=1e-6):
    """Column and row whose outer product is a kernel.

    Parameters
    ----------
    kernel : array, (R, S) or (C, R, S)
    rtol : float
        Largest error of the product, as a share of the largest number of the kernel.

    Returns
    -------
    column, row : arrays, (R,) and (S,), or (C, R) and (C, S)
        Exact where a row of the kernel divided by its largest number is: integers mostly stay integers.

    Raises
    ------
    TypeError
        Types that are not computed; `rtol` is no number.
    ValueError
        If a kernel is not of rank one, or not finite.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.decompose_separable([[-1., 0., 1.], [-2., 0., 2.], [-1., 0., 1.]])
    (array([-1., -2., -1.]), array([ 1., -0., -1.]))
    """
    kernel, rtol = as_array(kernel, "kernel"), number(rtol, "rtol")
    if kernel.ndim == 3:
        parts = [decompose_separable(one, rtol) for one in kernel]
        return np.array([column for column, _ in parts]), np.array([row for _, row in parts])
    if kernel.ndim != 2 or 0 in kernel.shape:
        raise ValueError(f"kernel must have shape (R, S) or (C, R, S), got {kernel.shape}")
    common_type(kernel=kernel)
    if not np.isfinite(kernel).all():
        raise ValueError(f"kernel of shape {kernel.shape} has numbers that are not finite")
    i, j = np.unravel_index(np.argmax(np.abs(kernel)), kernel.shape)
    pivot = kernel[i, j]
    column, row = kernel[:, j].copy(), kernel[i] / pivot if pivot else np.zeros_like(kernel[i])
    error = np.abs(np.multiply.outer(column.astype(np.float64), row.astype(np.float64)) - kernel).max()
    if error > max(rtol, 4 * float(np.finfo(COMPUTED[REALS[kernel.dtype.name]]).eps)) * abs(float(pivot)):
        raise ValueError(f"kernel of shape {kernel.shape} is not of rank one: the nearest product of its largest row and "
                         f"column differs by {error / abs(float(pivot)):.2g} of its largest number, rtol={rtol}")
    return column, row
