"""Regions of interest, with the arguments and results of torchvision.ops; deform_roi_pool with those of mmcv."""
from __future__ import annotations

import numpy as np

from .arrays import REALS, as_array, common_type
from .recall import key_of, recall
from .region_problem import region_problem
from .streaming import compute


def boxes_of(boxes, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners (K, 4) and images (K) of boxes in either form.

    Raises
    ------
    ValueError
        For other shapes, and for a list that has not one array for each image.
    IndexError
        For a box whose image does not exist, or is no whole number.
    """
    if isinstance(boxes, (list, tuple)):
        parts = [as_array(part, f"boxes[{i}]") for i, part in enumerate(boxes)]
        if len(parts) != images:
            raise ValueError(f"boxes must be one array (K, 5) or have an array (L, 4) for each of {images} images, "
                             f"got {len(parts)}")
        for i, part in enumerate(parts):
            if part.ndim != 2 or part.shape[1] != 4:
                raise ValueError(f"boxes[{i}] must have shape (L, 4), got {part.shape}")
        common_type(**{f"boxes[{i}]": part for i, part in enumerate(parts)})
        return np.concatenate(parts), np.repeat(np.arange(images), [len(part) for part in parts])
    array = as_array(boxes, "boxes")
    if array.ndim != 2 or array.shape[1] != 5:
        raise ValueError(f"boxes must have shape (K, 5), the image first, or be a list of arrays (L, 4); got {array.shape}")
    with np.errstate(invalid="ignore"):
        image = np.asarray(array[:, 0], np.float64)
        bad = ~((image >= 0) & (image < images) & (np.floor(image) == image))
    if bad.any():
        first = int(np.argmax(bad))
        raise IndexError(f"boxes[{first}] is of image {image[first]:g}; there are {images} images")
    return array[:, 1:], image.astype(np.int64)


def regions(operation, input, boxes, output_size, spatial_scale, out, channels_last, offset=None, **options):
    arrays = input, boxes, offset
    key = key_of(operation, arrays, (output_size, spatial_scale, channels_last, *options.values()))
    y = recall(key, arrays, out)
    if y is not None:
        return y
    x = as_array(input, "input")
    if isinstance(boxes, (list, tuple)) and not boxes:
        boxes = np.zeros((0, 5), x.dtype)
    if x.ndim != 4:                     # says which shape it should have
        region_problem(operation, x.shape, 0, "f32", output_size, spatial_scale, channels_last=channels_last, **options)
    corners, image = boxes_of(boxes, x.shape[0])
    shift = None if offset is None else as_array(offset, "offset")
    dtype = common_type(input=x, boxes=corners, offset=shift)
    problem = region_problem(operation, x.shape, len(corners), REALS[dtype.name], output_size, spatial_scale,
                             channels_last=channels_last, **options)
    if shift is not None and shift.shape != (problem.K, 2, *problem.bins):
        raise ValueError(f"offset must have shape {(problem.K, 2, *problem.bins)}, two numbers for each bin of each box, "
                         f"got {shift.shape}")
    return compute(problem, (x, corners, image, shift), dtype, out, problem.output_shape, key,
                   lambda arrays: (arrays[0], *boxes_of(arrays[1], problem.N), arrays[2]))


def roi_pool(input, boxes, output_size, spatial_scale=1.0, *, channels_last=False, out=None):
    """The largest number in each bin of boxes: corners are rounded to pixels, bins are whole pixels and may overlap.

    Bin (p, q) of a box from pixel (y1, x1) to (y2, x2) inclusive, h = y2 - y1 + 1 pixels high, has rows
    ``y1 + floor(p * h / P)`` to ``y1 + ceil((p + 1) * h / P) - 1``, so far as they lie in the image; columns likewise.

    Parameters
    ----------
    input : array_like, (N, C, H, W) or, channels_last, (N, H, W, C)
    boxes : array_like, (K, 5), or a list of N arrays (L, 4)
        Image, x1, y1, x2, y2; without the image in a list, which has one array for each. Of the input's type.
    output_size : int, or one int for each of both axes
        Bins, P x Q.
    spatial_scale : float
        Pixels of the input per unit of the boxes.
    channels_last : bool
        Whether the last axis of input and result holds the channels.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, (K, C, P, Q) or, channels_last, (K, P, Q, C)

    Raises
    ------
    TypeError
        Types that are not computed or that differ.
    ValueError
        Shapes that do not fit, no bins, a scale that is not positive and finite.
    IndexError
        A box of an image that does not exist.

    Notes
    -----
    A bin without pixels is 0, and so are all bins of a box with a NaN or infinite corner. A box whose end lies before its
    start is one pixel. NaN in a bin makes it NaN.

    References
    ----------
    R. Girshick, Fast R-CNN, ICCV 2015, arXiv:1504.08083.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> image = np.arange(16.).reshape(1, 1, 4, 4)
    >>> fastconv.roi_pool(image, np.array([[0., 0, 0, 3, 3]]), 2)[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    return regions("roi_pool", input, boxes, output_size, spatial_scale, out, channels_last, mode="max")


def roi_align(input, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False, *, mode="avg",
              channels_last=False, out=None):
    """The mean, or the largest, of samples in each bin of boxes; nothing is rounded.

    A bin h pixels high has ``sampling_ratio`` rows of samples, or ceil(h), at ``(i + 0.5) * h / rows`` from its start; each
    is interpolated linearly between four pixels, clamped to the image up to a pixel outside of it, 0 farther out.

    Parameters
    ----------
    input, boxes, output_size, spatial_scale, channels_last, out
        As in `roi_pool`.
    sampling_ratio : int
        Samples of a bin along each axis, at most 4096; 0 or less: as many as it has pixels.
    aligned : bool
        Whether pixel i reaches from i to i + 1, its sample at the middle. Otherwise boxes lie half a pixel farther on, and
        are at least one pixel wide.
    mode : {"avg", "max"}
        The mean of the samples; or what ONNX calls "max", the largest of pixel times weight, four for each sample.

    Returns
    -------
    ndarray, (K, C, P, Q) or, channels_last, (K, P, Q, C)

    Raises
    ------
    TypeError, ValueError, IndexError
        As `roi_pool`; too many samples, an unknown mode.

    Notes
    -----
    A bin without samples is 0, and so are all bins of a box with a NaN or infinite corner. A pixel of weight zero
    contributes nothing, even if it is infinite or NaN. The time for a box is bounded by the size of the image.

    References
    ----------
    K. He et al., Mask R-CNN, ICCV 2017, arXiv:1703.06870.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> image = np.arange(16.).reshape(1, 1, 4, 4)
    >>> fastconv.roi_align(image, [np.array([[0., 0, 4, 4]])], 2, aligned=True)[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    return regions("roi_align", input, boxes, output_size, spatial_scale, out, channels_last, mode=mode,
                   sampling_ratio=sampling_ratio, aligned=aligned)


def ps_roi_pool(input, boxes, output_size, spatial_scale=1.0, *, channels_last=False, out=None):
    """The mean of each bin of boxes, every bin in its own channels: output channel c of bin (p, q) is the mean over
    channel ``(c * P + p) * Q + q``.

    Corners are rounded to pixels as in `roi_pool`, the end left out; the last row and column of the image are never read,
    as in torchvision.

    Parameters
    ----------
    input : array_like, (N, C * P * Q, H, W) or, channels_last, (N, H, W, C * P * Q)
    boxes, output_size, spatial_scale, channels_last, out
        As in `roi_pool`.

    Returns
    -------
    ndarray, (K, C, P, Q) or, channels_last, (K, P, Q, C)

    Raises
    ------
    TypeError, ValueError, IndexError
        As `roi_pool`; channels that are no multiple of P * Q.

    References
    ----------
    J. Dai et al., R-FCN, NeurIPS 2016, arXiv:1605.06409.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> image = np.arange(36.).reshape(1, 4, 3, 3)
    >>> fastconv.ps_roi_pool(image, np.array([[0., 0, 0, 2, 2]]), 2)[0, 0]
    array([[ 0., 10.],
           [21., 31.]])
    """
    return regions("ps_roi_pool", input, boxes, output_size, spatial_scale, out, channels_last)


def ps_roi_align(input, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, *, channels_last=False, out=None):
    """The mean of samples in each bin of boxes, every bin in its own channels, as in `ps_roi_pool`.

    Parameters
    ----------
    input : array_like, (N, C * P * Q, H, W) or, channels_last, (N, H, W, C * P * Q)
    boxes, output_size, spatial_scale, sampling_ratio, channels_last, out
        As in `roi_align`, with aligned=True.

    Returns
    -------
    ndarray, (K, C, P, Q) or, channels_last, (K, P, Q, C)

    Raises
    ------
    TypeError, ValueError, IndexError
        As `roi_align`; channels that are no multiple of P * Q.

    Notes
    -----
    As `roi_align`: a box without extent is 0.

    References
    ----------
    Z. Li et al., Light-Head R-CNN, 2017, arXiv:1711.07264.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> image = np.arange(36.).reshape(1, 4, 3, 3)
    >>> fastconv.ps_roi_align(image, np.array([[0., 0.5, 0.5, 2.5, 2.5]]), 2)[0, 0]
    array([[ 2., 12.],
           [23., 33.]])
    """
    return regions("ps_roi_align", input, boxes, output_size, spatial_scale, out, channels_last,
                   sampling_ratio=sampling_ratio)


def deform_roi_pool(input, boxes, offset, output_size, spatial_scale=1.0, sampling_ratio=0, gamma=0.1, *,
                    channels_last=False, out=None):
    """The mean of samples in bins that are moved, each by its own offset.

    Bin (p, q) of box k begins ``gamma * width * offset[k, 0, p, q]`` pixels farther right and
    ``gamma * height * offset[k, 1, p, q]`` farther down than in `roi_align` with aligned=True.

    Parameters
    ----------
    input, boxes, output_size, spatial_scale, sampling_ratio, channels_last, out
        As in `roi_align`.
    offset : array_like, (K, 2, P, Q), or None
        x first, as shares of the box. None: nothing is moved.
    gamma : float
        What offsets are multiplied with.

    Returns
    -------
    ndarray, (K, C, P, Q) or, channels_last, (K, P, Q, C)

    Raises
    ------
    TypeError, ValueError, IndexError
        As `roi_align`; an offset of another shape or type.

    Notes
    -----
    A bin with a NaN or infinite offset is 0. What else `roi_align` says holds here.

    References
    ----------
    J. Dai et al., Deformable convolutional networks, ICCV 2017, arXiv:1703.06211.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> image = np.arange(16.).reshape(1, 1, 4, 4)
    >>> offset = np.zeros((1, 2, 1, 1))
    >>> offset[0, 0] = 5
    >>> fastconv.deform_roi_pool(image, np.array([[0., 0, 0, 2, 2]]), offset, 1)
    array([[[[3.5]]]])
    """
    return regions("deform_roi_pool", input, boxes, output_size, spatial_scale, out, channels_last, offset,
                   sampling_ratio=sampling_ratio, gamma=gamma)
