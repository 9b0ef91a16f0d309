"""Rearranging: functions that move numbers and compute none, and fold, the adjoint of unfold.

All take bool, integers and floats of up to 8 bytes (fold: floats), any strides, and give the result in the input's type.
"""
from __future__ import annotations

import numpy as np

from .arrays import REALS, as_array, common_type
from .recall import key_of, recall
from .resample_problem import (
    channel_shuffle_problem,
    focus_problem,
    fold_problem,
    pad_problem,
    pixel_shuffle_problem,
    pixel_unshuffle_problem,
    unfold_problem,
)
from .streaming import compute, movable, move


def pixel_shuffle(input, upscale_factor, *, order="CRD", channels_last=False, out=None):
    """Channels become pixels (depth to space): ``y[c, h * r + i, w * r + j] = x[(c * r + i) * r + j, h, w]``.

    Parameters
    ----------
    input : array_like, (*, C * r * r, H, W) or, channels_last, (*, H, W, C * r * r)
    upscale_factor : int
        r.
    order : {"CRD", "DCR"}
        How the input's channels count: (c, i, j), as torch does, or (i, j, c), as ONNX and TensorFlow do by default.
    channels_last : bool
        Whether the last axis holds the channels.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, (*, C, H * r, W * r) or (*, H * r, W * r, C)

    Raises
    ------
    TypeError
        Types that are not moved, a factor that is no int.
    ValueError
        Fewer than three axes, channels that are no multiple of r * r, an unknown order.

    References
    ----------
    W. Shi et al., Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural
    network, CVPR 2016, arXiv:1609.05158.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.pixel_shuffle(np.arange(4).reshape(4, 1, 1), 2)[0]
    array([[0, 1],
           [2, 3]])
    """
    key = key_of("pixel_shuffle", (input,), (upscale_factor, order, channels_last))
    known = recall(key, (input,), out)
    if known is not None:
        return known
    x = movable(input)
    problem = pixel_shuffle_problem(x.shape, x.itemsize, upscale_factor, order, channels_last)
    return move(problem, x, out, problem.output_shape, key=key)


def pixel_unshuffle(input, downscale_factor, *, order="CRD", channels_last=False, out=None):
    """Pixels become channels (space to depth): ``y[(c * r + i) * r + j, h, w] = x[c, h * r + i, w * r + j]``.

    Parameters
    ----------
    input : array_like, (*, C, H * r, W * r) or, channels_last, (*, H * r, W * r, C)
    downscale_factor : int
        r.
    order, channels_last, out
        As in `pixel_shuffle`, whose inverse this is.

    Returns
    -------
    ndarray, (*, C * r * r, H, W) or (*, H, W, C * r * r)

    Raises
    ------
    TypeError, ValueError
        As `pixel_shuffle`; rows or columns that are no multiple of r.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.pixel_unshuffle(np.array([[[0, 1], [2, 3]]]), 2).ravel()
    array([0, 1, 2, 3])
    """
    key = key_of("pixel_unshuffle", (input,), (downscale_factor, order, channels_last))
    known = recall(key, (input,), out)
    if known is not None:
        return known
    x = movable(input)
    problem = pixel_unshuffle_problem(x.shape, x.itemsize, downscale_factor, order, channels_last)
    return move(problem, x, out, problem.output_shape, key=key)


def focus(input, *, channels_last=False, out=None):
    """The four pixels of each 2 x 2 block as channels, rows before columns: the Focus slices of YOLOv5.

    ``y[(j * 2 + i) * C + c, h, w] = x[c, 2 * h + i, 2 * w + j]``: slices (0, 0), (1, 0), (0, 1), (1, 1), all channels each.

    Parameters
    ----------
    input : array_like, (*, C, 2 * H, 2 * W) or, channels_last, (*, 2 * H, 2 * W, C)
    channels_last, out
        As in `pixel_shuffle`.

    Returns
    -------
    ndarray, (*, 4 * C, H, W) or (*, H, W, 4 * C)

    Raises
    ------
    TypeError, ValueError
        As `pixel_shuffle`; an odd number of rows or columns.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.focus(np.array([[[0, 1], [2, 3]]])).ravel()
    array([0, 2, 1, 3])
    """
    key = key_of("focus", (input,), (channels_last,))
    known = recall(key, (input,), out)
    if known is not None:
        return known
    x = movable(input)
    problem = focus_problem(x.shape, x.itemsize, channels_last)
    return move(problem, x, out, problem.output_shape, key=key)


def channel_shuffle(input, groups, *, channels_last=False, out=None):
    """Channels dealt out over groups: ``y[n, c * G + g] = x[n, g * (C // G) + c]``.

    Parameters
    ----------
    input : array_like, (N, C, *spatial) or, channels_last, (N, *spatial, C)
    groups : int
        G.
    channels_last, out
        As in `pixel_shuffle`.

    Returns
    -------
    ndarray of the input's shape

    Raises
    ------
    TypeError, ValueError
        Types that are not moved; fewer than three axes, groups that do not divide the channels.

    References
    ----------
    X. Zhang et al., ShuffleNet, CVPR 2018, arXiv:1707.01083.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.channel_shuffle(np.arange(6).reshape(1, 6, 1), 2).ravel()
    array([0, 3, 1, 4, 2, 5])
    """
    key = key_of("channel_shuffle", (input,), (groups, channels_last))
    known = recall(key, (input,), out)
    if known is not None:
        return known
    x = movable(input)
    problem = channel_shuffle_problem(x.shape, x.itemsize, groups, channels_last)
    return move(problem, x, out, problem.output_shape, key=key)


def pad(input, pad, mode="constant", value=None, *, channels_last=False, out=None):
    """Axes that grow at both ends, or shrink where `pad` is negative.

    Parameters
    ----------
    input : array_like of any shape
    pad : sequence of int
        Pixels before and after the last axis, then before and after the one before it, and so on.
    mode : {"constant", "reflect", "symmetric", "replicate", "circular"}
        What the new pixels are: a value, the image mirrored without or with its last pixel, that pixel, the image again.
        What is cropped is cropped first. Mirrors and repetitions go on as `numpy.pad` does where `pad` exceeds the image.
    value : number, optional
        For mode "constant"; 0 by default.
    channels_last : bool
        Whether the last axis holds channels and `pad` begins with the axis before it.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError
        Types that are not moved, a `pad` that holds no ints.
    ValueError
        An odd count of numbers or more than the input has axes for, a crop of more than there is, nothing to repeat, a
        value with another mode than "constant", or one that the input's type does not hold.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.pad(np.array([[1, 2, 3]]), (2, -1, 0, 1))
    array([[0, 0, 1, 2],
           [0, 0, 0, 0]])
    >>> fastconv.pad(np.array([1, 2, 3]), (2, 1), mode="reflect")
    array([3, 2, 1, 2, 3, 2])
    """
    key = key_of("pad", (input,), (pad, mode, None if value is None else repr(value), channels_last))
    known = recall(key, (input,), out)
    if known is not None:
        return known
    x = movable(input)
    problem = pad_problem(x.shape, x.itemsize, pad, mode, channels_last)
    if mode != "constant" and value not in (None, 0):
        raise ValueError(f"value={value!r} means nothing for mode={mode!r}")
    fill = as_item(0 if value is None else value, x.dtype)
    return move(problem, x, out, problem.output_shape, fill, key)


def as_item(value, dtype: np.dtype) -> np.ndarray:
    """A number as an array of one item; ValueError if an integer type does not hold it."""
    try:
        with np.errstate(over="ignore"):
            item = np.asarray(value).astype(dtype).reshape(1)
        exact = dtype.kind in "fV" or (dtype.kind == "b" and value in (0, 1)) or (
            dtype.kind in "iu" and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max and item[0] == value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"value must be one number, not {value!r}") from None
    if not exact:
        raise ValueError(f"value={value!r} is not a number of type {dtype}")
    return item


def unfold(input, kernel_size, dilation=1, padding=0, stride=1, *, out=None):
    """The windows of a convolution as columns (im2col).

    ``y[n, (c * R + r) * S + s, p * Q + q] = x[n, c, h, w]`` with ``h = p * stride - padding + r * dilation`` and
    ``w = q * stride - padding + s * dilation``; zero in the padding.

    Parameters
    ----------
    input : array_like, (N, C, H, W) or (C, H, W)
    kernel_size, dilation, padding, stride : int, or one int for each of both axes
        Of the windows; padding on both sides.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, (N, C * R * S, P * Q) or (C * R * S, P * Q)

    Raises
    ------
    TypeError, ValueError
        Types that are not moved; shapes and parameters that do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.unfold(np.arange(6).reshape(1, 2, 3), 2)
    array([[0, 1],
           [1, 2],
           [3, 4],
           [4, 5]])
    """
    key = key_of("unfold", (input,), (kernel_size, dilation, padding, stride))
    known = recall(key, (input,), out)
    if known is not None:
        return known
    x = movable(input)
    batched = x.ndim != 3
    problem = unfold_problem(x.shape if batched else (1, *x.shape), x.itemsize, kernel_size, dilation, padding, stride)
    shape = problem.output_shape if batched else problem.output_shape[1:]
    return move(problem, x, out, shape, np.zeros(1, x.dtype), key)


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1, *, out=None):
    """Columns of windows summed into images (col2im), the adjoint of `unfold`.

    ``y[n, c, h, w]`` is the sum of all elements of the columns that `unfold` would fill from that pixel, in the order of
    the window's rows and columns.

    Parameters
    ----------
    input : array_like, (N, C * R * S, P * Q) or (C * R * S, P * Q)
        float32, float64, float16 or bfloat16.
    output_size : int, or one int for each of both axes
        H and W of the images.
    kernel_size, dilation, padding, stride, out
        As in `unfold`.

    Returns
    -------
    ndarray, (N, C, H, W) or (C, H, W)

    Raises
    ------
    TypeError, ValueError
        Types that are not computed; shapes and parameters that do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.fold(np.ones((4, 2)), (2, 3), 2)
    array([[[1., 2., 1.],
            [1., 2., 1.]]])
    """
    key = key_of("fold", (input,), (output_size, kernel_size, dilation, padding, stride))
    known = recall(key, (input,), out)
    if known is not None:
        return known
    x = as_array(input, "input")
    dtype = common_type(input=x)
    batched = x.ndim != 2
    problem = fold_problem(x.shape if batched else (1, *x.shape), REALS[dtype.name], output_size, kernel_size, dilation,
                           padding, stride)
    return compute(problem, (x,), dtype, out, problem.output_shape if batched else problem.output_shape[1:], key)
