"""Pooling: what a window of each plane comes to. Names, order and defaults are those of torch.nn.functional."""
from __future__ import annotations

from .pool_call import lp_pool, pool, unpool


def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False, *,
               channels_last=False, out=None):
    """Largest number of every window of a signal: `max_pool2d` with one spatial axis, input ``(N, C, W)`` or ``(C, W)``.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.max_pool1d(np.array([[1., 3., 2., 5., 4.]]), 2, ceil_mode=True)
    array([[3., 5., 4.]])
    """
    return pool("max_pool1d", input, (kernel_size, stride, padding, dilation, ceil_mode), channels_last, out, return_indices)


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False, *,
               channels_last=False, out=None):
    """Largest number of every window of an image.

    ``y[n, c, p, q] = max over r, s of x[n, c, p * stride - padding + r * dilation, q * stride - padding + s * dilation]``
    over the pixels inside the image; there are ``floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1``
    rows of windows.

    Parameters
    ----------
    input : array, (N, C, H, W) or (C, H, W)
        float32, float64, float16, bfloat16, or integers of up to 64 bits. Never changed.
    kernel_size, dilation : int or (int, int)
        At least 1.
    stride : int or (int, int), optional
        By default `kernel_size`: windows side by side.
    padding : int or (int, int)
        On both sides, at most half of `kernel_size`. It holds no numbers.
    ceil_mode : bool
        Round the number of windows up, as long as the last begins inside the image or the padding before it.
    return_indices : bool
        Return also the position of each result in its plane (``h * W + w``, int64): of the first of equal numbers, of the
        last NaN; -1 if dilation leads every pixel of a window past the image.
    channels_last : bool
        Input and output are (N, H, W, C).
    out : array, or a pair (values, indices) with `return_indices`, optional
        Gets the result and is returned; it may overlap the input.

    Returns
    -------
    ndarray of the type of the input, (N, C, P, Q) or (C, P, Q), or a pair of it and of its indices
        A window with a NaN gives NaN.

    Raises
    ------
    TypeError
        For types that are not compared.
    ValueError
        For arguments that do not fit each other or the shape; nothing is written then.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[1., 2., 5.], [4., 3., 0.]]])
    >>> fastconv.max_pool2d(x, 2, stride=1, return_indices=True)
    (array([[[4., 5.]]]), array([[[3, 2]]]))
    """
    return pool("max_pool2d", input, (kernel_size, stride, padding, dilation, ceil_mode), channels_last, out, return_indices)


def max_pool3d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False, *,
               channels_last=False, out=None):
    """Largest number of every window of a volume: `max_pool2d` with three spatial axes, input ``(N, C, D, H, W)``.

    Indices are ``(d * H + h) * W + w``.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.max_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 2)
    array([[[[[7.]]]]])
    """
    return pool("max_pool3d", input, (kernel_size, stride, padding, dilation, ceil_mode), channels_last, out, return_indices)


def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None, *,
               channels_last=False, out=None):
    """Mean of every window of a signal: `avg_pool2d` with one spatial axis, input ``(N, C, W)`` or ``(C, W)``.

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.avg_pool1d(np.array([[1., 3., 2., 6.]]), 2)
    array([[2., 4.]])
    """
    return pool("avg_pool1d", input, (kernel_size, stride, padding, 1, ceil_mode, count_include_pad, divisor_override),
                channels_last, out)


def avg_pool2d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None, *,
               channels_last=False, out=None):
    """Mean of every window of an image.

    ``y[n, c, p, q] = sum over r, s of x[n, c, p * stride - padding + r, q * stride - padding + s] / area``, where pixels
    in the padding count as zeros. The area is that of the window inside image and padding, or inside the image alone
    without `count_include_pad`, or `divisor_override`.

    Sums are made row by row, then along the row, and divided once: the error is at most ``(R + S) u`` times the mean of
    the absolute numbers, u being half a unit in the last place. Nothing is subtracted, so nothing cancels.

    Parameters
    ----------
    input : array, (N, C, H, W) or (C, H, W)
        float32, float64, float16 or bfloat16; the last two are summed in float32. Never changed.
    kernel_size : int or (int, int)
    stride, padding, ceil_mode, channels_last, out
        As in `max_pool2d`.
    count_include_pad : bool
    divisor_override : int, optional
        Not 0.

    Raises
    ------
    TypeError
        For types other than floats.
    ValueError
        For arguments that do not fit each other or the shape; nothing is written then.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.avg_pool2d(np.ones((1, 3, 3)), 3, padding=1, stride=2)
    array([[[0.44444444, 0.44444444],
            [0.44444444, 0.44444444]]])
    """
    return pool("avg_pool2d", input, (kernel_size, stride, padding, 1, ceil_mode, count_include_pad, divisor_override),
                channels_last, out)


def avg_pool3d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None, *,
               channels_last=False, out=None):
    """Mean of every window of a volume: `avg_pool2d` with three spatial axes, input ``(N, C, D, H, W)``.

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 2)
    array([[[[3.5]]]])
    """
    return pool("avg_pool3d", input, (kernel_size, stride, padding, 1, ceil_mode, count_include_pad, divisor_override),
                channels_last, out)


def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False, *, channels_last=False, out=None):
    """Power mean of every window of a signal: `lp_pool2d` with one spatial axis, input ``(N, C, W)`` or ``(C, W)``.

    Raises
    ------
    TypeError, ValueError
        As `lp_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.lp_pool1d(np.array([[3., 4., 5., 12.]]), 2, 2)
    array([[ 5., 13.]])
    """
    return lp_pool("lp_pool1d", input, norm_type, kernel_size, stride, ceil_mode, channels_last, out)


def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False, *, channels_last=False, out=None):
    """Root of the sum of powers of every window of an image.

    ``y[n, c, p, q] = (sum over r, s of x[n, c, p * stride + r, q * stride + s] ** norm_type) ** (1 / norm_type)``; a sum
    over fewer pixels than a window has (`ceil_mode`) is scaled up to all of them. Infinity gives the largest absolute
    number, minus infinity the smallest. A power of a negative number keeps its sign where the exponent is odd and is NaN
    where it is not whole; so is the root of a negative sum.

    Parameters
    ----------
    input : array, (N, C, H, W) or (C, H, W)
        float32, float64, float16 or bfloat16. Never changed.
    norm_type : number
        Not 0.
    kernel_size, stride, ceil_mode, channels_last, out
        As in `max_pool2d`.

    Raises
    ------
    TypeError
        For types other than floats.
    ValueError
        For arguments that do not fit each other or the shape; nothing is written then.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.lp_pool2d(np.array([[[3., 0.], [0., 4.]]]), 2, 2)
    array([[[5.]]])
    """
    return lp_pool("lp_pool2d", input, norm_type, kernel_size, stride, ceil_mode, channels_last, out)


def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False, *, channels_last=False, out=None):
    """Power mean of every window of a volume: `lp_pool2d` with three spatial axes, input ``(N, C, D, H, W)``.

    Raises
    ------
    TypeError, ValueError
        As `lp_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.lp_pool3d(np.ones((1, 2, 2, 2)), 3, 2)
    array([[[[2.]]]])
    """
    return lp_pool("lp_pool3d", input, norm_type, kernel_size, stride, ceil_mode, channels_last, out)


def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None, *, channels_last=False, out=None):
    """Numbers back to where `max_pool1d` took them from: `max_unpool2d` with one spatial axis.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `max_unpool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.max_unpool1d(np.array([[3., 5.]]), np.array([[1, 2]]), 2)
    array([[0., 3., 5., 0.]])
    """
    return unpool("max_unpool1d", input, indices, kernel_size, stride, padding, output_size, channels_last, out)


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None, *, channels_last=False, out=None):
    """Numbers back to where `max_pool2d` took them from, zeros elsewhere.

    ``y[n, c].flat[indices[n, c, p, q]] = x[n, c, p, q]``, pixel after pixel: of equal indices the last wins.

    Parameters
    ----------
    input : array, (N, C, P, Q) or (C, P, Q)
        Of any type that `max_pool2d` takes. Never changed.
    indices : int64 array, shape of `input`
        Positions in the plane of the result, ``h * W + w``, with channels last too.
    kernel_size, stride, padding : int or (int, int)
        Those of the pool: the result has ``(P - 1) * stride - 2 * padding + kernel_size`` rows ...
    output_size : sequence of int, optional
        ... or as many as this says, with or without the axes of batch and channels, less than a stride away.
    channels_last : bool
        Input, indices and result are (N, *, *, C).
    out : array, optional
        Gets the result and is returned.

    Raises
    ------
    TypeError
        For indices that are not int64.
    ValueError
        For arguments that do not fit each other or the shapes.
    IndexError
        For an index outside the plane. Nothing is written then.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[1., 2.], [4., 3.]]])
    >>> fastconv.max_unpool2d(*fastconv.max_pool2d(x, 2, return_indices=True), 2)
    array([[[0., 0.],
            [4., 0.]]])
    """
    return unpool("max_unpool2d", input, indices, kernel_size, stride, padding, output_size, channels_last, out)


def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None, *, channels_last=False, out=None):
    """Numbers back to where `max_pool3d` took them from: `max_unpool2d` with three spatial axes.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `max_unpool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.max_unpool3d(np.full((1, 1, 1, 1), 7.0), np.full((1, 1, 1, 1), 6), 2).ravel()
    array([0., 0., 0., 0., 0., 0., 7., 0.])
    """
    return unpool("max_unpool3d", input, indices, kernel_size, stride, padding, output_size, channels_last, out)
