"""Resampling: interpolate and grid_sample, with the arguments and results of torch."""
from __future__ import annotations

import numpy as np

from .arrays import REALS, as_array, common_type
from .recall import key_of, recall
from .resample_problem import NEAREST, grid_sample_problem, interpolate_problem
from .streaming import compute, movable, move


def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None,
                antialias=False, *, channels_last=False, out=None):
    """Images, signals or volumes with more or fewer pixels.

    Output pixel q of an axis is a weighted sum of the input pixels round ``(q + 0.5) * step - 0.5``, where step is
    ``1 / scale_factor`` if that was given, else input size / output size; with `align_corners` round ``q * step`` with
    ``step = (input size - 1) / (output size - 1)``. Axes are resampled independently.

    Parameters
    ----------
    input : array_like, (N, C, *spatial) or, channels_last, (N, *spatial, C)
        One to three spatial axes.
    size : int, or one int per spatial axis, optional
        Pixels of the result. Give this or `scale_factor`.
    scale_factor : float, or one float per spatial axis, optional
        The result has floor(input size * scale_factor) pixels.
    mode : str
        "nearest": the pixel at floor(q * step), for any type that can be moved; "nearest-exact": the one at
        floor((q + 0.5) * step); "linear", "bilinear", "trilinear" (1, 2, 3 spatial axes): two pixels an axis; "bicubic"
        (2): four, by Keys' kernel with a = -0.75 [1]_; "area": the mean of the pixels that an output pixel touches.
    align_corners : bool, optional
        Whether the middles of the corner pixels stay where they are, rather than their outer corners.
    recompute_scale_factor : bool, optional
        Whether step follows from the sizes although `scale_factor` is given.
    antialias : bool
        For "bilinear" and "bicubic" (a = -0.5): widen the kernel where the image shrinks, so that all pixels count.
    channels_last : bool
        Whether the last axis holds the channels.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray of the input's type

    Raises
    ------
    TypeError
        Types that are not computed, sizes that are no ints.
    ValueError
        Sizes and scales that are missing, contradict each other or give no pixel; options that mean nothing for the mode.

    Notes
    -----
    Coordinates and weights are computed in float64; those of nearest neighbours, unless items have 64 bits, in float32, as
    torch does, so that ties agree. A scale that is asked for counts: torch repeats pixels of images of up to 128 rows and
    columns of the result together instead, if the result has twice as many.
    A pixel of weight zero contributes nothing, even if it is infinite or NaN.

    References
    ----------
    .. [1] R. Keys, Cubic convolution interpolation for digital image processing, IEEE Trans. ASSP 29 (1981) 1153-1160.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> row = np.array([[[0., 4.]]])
    >>> fastconv.interpolate(row, scale_factor=2, mode="linear")[0, 0]
    array([0., 1., 3., 4.])
    >>> fastconv.interpolate(row, 3)[0, 0]
    array([0., 0., 4.])
    """
    key = key_of("interpolate", (input,), (size, scale_factor, mode, align_corners, recompute_scale_factor, antialias,
                                           channels_last))
    known = recall(key, (input,), out)
    if known is not None:
        return known
    if isinstance(mode, str) and mode in NEAREST:
        x = movable(input)
        real, dtype = "", x.dtype
    else:
        x = as_array(input, "input")
        dtype = common_type(input=x)
        real = REALS[dtype.name]
    problem = interpolate_problem(x.shape, real, x.itemsize, size, scale_factor, mode, align_corners, recompute_scale_factor,
                                  antialias, channels_last)
    if mode in NEAREST:
        return move(problem, x, out, problem.output_shape, np.zeros(1, dtype), key)
    return compute(problem, (x,), dtype, out, problem.output_shape, key)


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=False, *, channels_last=False, out=None):
    """Images sampled at the coordinates of a grid: ``y[n, c, p, q] = x[n, c, at grid[n, p, q]]``.

    A grid's last axis is (x, y) or (x, y, z), in units in which the image reaches from -1 to 1: pixel
    ``((g + 1) * size - 1) / 2`` or, with `align_corners`, ``(g + 1) / 2 * (size - 1)``.

    Parameters
    ----------
    input : array_like, (N, C, H, W) or (N, C, D, H, W) or, channels_last, (N, H, W, C) or (N, D, H, W, C)
    grid : array_like, (N, P, Q, 2) or (N, O, P, Q, 3)
        Of the input's type.
    mode : {"bilinear", "nearest", "bicubic"}
        Two pixels an axis; the nearest one, the even one of two; four, by Keys' kernel with a = -0.75 (two axes only).
    padding_mode : {"zeros", "border", "reflection"}
        What lies outside: zeros; the nearest pixel of the border; the image mirrored, at its outer edge or, with
        `align_corners`, at the middles of the border pixels.
    align_corners : bool
        Whether -1 and 1 are the middles of the corner pixels, rather than the edges of the image.
    channels_last : bool
        Whether the last axis of input and result holds the channels.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, (N, C, P, Q) or (N, C, O, P, Q) or, channels_last, (N, P, Q, C) or (N, O, P, Q, C)

    Raises
    ------
    TypeError
        Types that are not computed or that differ.
    ValueError
        Shapes that do not fit, names that are unknown, "bicubic" with three axes.

    Notes
    -----
    Coordinates are computed in float64. A NaN coordinate samples 0 with padding_mode "zeros", else pixel 0 of its axis; so
    does an infinite one with "zeros" and "reflection", which counts coordinates of 2**30 pixels and more among them, while
    "border" takes the last pixel on its side. A pixel of weight
    zero contributes nothing, even if it is infinite or NaN.

    References
    ----------
    M. Jaderberg et al., Spatial transformer networks, NeurIPS 2015, arXiv:1506.02025.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> image = np.array([[[[0., 1.], [2., 3.]]]])
    >>> fastconv.grid_sample(image, np.array([[[[0., 0.], [-0.5, 0.5], [9., 0.]]]])).ravel()
    array([1.5, 2. , 0. ])
    """
    key = key_of("grid_sample", (input, grid), (mode, padding_mode, align_corners, channels_last))
    known = recall(key, (input, grid), out)
    if known is not None:
        return known
    x, at = as_array(input, "input"), as_array(grid, "grid")
    dtype = common_type(input=x, grid=at)
    problem = grid_sample_problem(x.shape, at.shape, REALS[dtype.name], mode, padding_mode, align_corners, channels_last)
    return compute(problem, (x, at), dtype, out, problem.output_shape, key)
