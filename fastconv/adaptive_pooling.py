"""Adaptive pooling: as many windows as are asked for, whatever the extent of the image."""
from __future__ import annotations

from .pool_call import pool, pyramid


def adaptive_max_pool1d(input, output_size, return_indices=False, *, channels_last=False, out=None):
    """Largest number of `output_size` windows of a signal: `adaptive_max_pool2d` with one spatial axis.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.adaptive_max_pool1d(np.array([[1., 4., 2., 3., 0.]]), 2)
    array([[4., 3.]])
    """
    return pool("adaptive_max_pool1d", input, (output_size,), channels_last, out, return_indices)


def adaptive_max_pool2d(input, output_size, return_indices=False, *, channels_last=False, out=None):
    """Largest number of each of `output_size` windows that cover an image.

    Window i of m along an axis of n pixels covers pixels ``floor(i n / m) .. ceil((i + 1) n / m) - 1``; neighbours may
    overlap, and pixels are repeated where m exceeds n.

    Parameters
    ----------
    input : array, (N, C, H, W) or (C, H, W)
        As in `max_pool2d`.
    output_size : int, None or a pair of them
        Windows along each axis; None: as many as pixels; 0: an empty result.
    return_indices, channels_last, out
        As in `max_pool2d`.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.adaptive_max_pool2d(np.arange(12.0).reshape(1, 3, 4), (2, None))
    array([[[ 4.,  5.,  6.,  7.],
            [ 8.,  9., 10., 11.]]])
    """
    return pool("adaptive_max_pool2d", input, (output_size,), channels_last, out, return_indices)


def adaptive_max_pool3d(input, output_size, return_indices=False, *, channels_last=False, out=None):
    """Largest number of `output_size` windows of a volume: `adaptive_max_pool2d` with three spatial axes.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.adaptive_max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 1)
    array([[[[7.]]]])
    """
    return pool("adaptive_max_pool3d", input, (output_size,), channels_last, out, return_indices)


def adaptive_avg_pool1d(input, output_size, *, channels_last=False, out=None):
    """Mean of each of `output_size` windows of a signal: `adaptive_avg_pool2d` with one spatial axis.

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.adaptive_avg_pool1d(np.array([[1., 2., 3.]]), 2)
    array([[1.5, 2.5]])
    """
    return pool("adaptive_avg_pool1d", input, (output_size,), channels_last, out)


def adaptive_avg_pool2d(input, output_size, *, channels_last=False, out=None):
    """Mean of each of `output_size` windows that cover an image: the windows of `adaptive_max_pool2d`.

    With ``output_size=1`` this is global average pooling.

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.adaptive_avg_pool2d(np.arange(12.0).reshape(1, 3, 4), 1)
    array([[[5.5]]])
    """
    return pool("adaptive_avg_pool2d", input, (output_size,), channels_last, out)


def adaptive_avg_pool3d(input, output_size, *, channels_last=False, out=None):
    """Mean of each of `output_size` windows of a volume: `adaptive_avg_pool2d` with three spatial axes.

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.adaptive_avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 1)
    array([[[[3.5]]]])
    """
    return pool("adaptive_avg_pool3d", input, (output_size,), channels_last, out)


def spatial_pyramid_pool2d(input, levels=(1, 2, 4), mode="max", *, channels_last=False, out=None):
    """Adaptive pools of several sizes side by side: as many numbers for an image of any extent (He et al. 2014).

    Level l gives ``C * l * l`` numbers, channel by channel, then row by row; the result is ``(N, C * sum of l * l)``.

    Parameters
    ----------
    input : array, (N, C, H, W) or (C, H, W)
        As in `max_pool2d`; floats for "avg".
    levels : sequence of int
        Windows along both axes, at least 1.
    mode : {"max", "avg"}
    channels_last : bool
        Input is (N, H, W, C); the result has the order above.
    out : array, optional
        Gets the result and is returned.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.spatial_pyramid_pool2d(np.arange(16.0).reshape(1, 4, 4), (1, 2))
    array([15.,  5.,  7., 13., 15.])
    """
    return pyramid(input, levels, mode, channels_last, out)
