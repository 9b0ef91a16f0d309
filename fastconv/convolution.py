"""Convolutions as functions of arrays: argument check, plan, run."""
from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import config
from .arrays import (
    COMPUTED,
    REALS,
    allocator,
    as_array,
    begin_result,
    can_write,
    common_type,
    contiguous,
    end_result,
    with_rows,
)
from .plan import Plan, forgetting, make_plan
from .problem import convolution_problem
from .rank_one import factors, may_be_rank_one
from .recall import MOST_CALLS
from .validation import check

F32, F64 = COMPUTED["f32"], COMPUTED["f64"]
LOOK = ()               # a call whose plan depends on the weights

# Calls that were made before, by all that can change their plan: (plan, shape of the result). Only for arguments of the
# plainest types, since True == 1 == 1.0 would find an entry that they must not.
_known: dict[tuple, tuple] = {}
forgetting.append(_known.clear)


def is_plain(value) -> bool:
    return type(value) is int or type(value) is str or (type(value) is tuple and all(type(v) is int for v in value))


def convolve(operation, input, weight, bias, stride, padding, dilation, groups, padding_mode, channels_last, activation,
             residual, algorithm, out):
    """conv1d, conv2d and conv3d, whose signatures say what each argument means."""
    key = None
    if type(input) is np.ndarray and type(weight) is np.ndarray and residual is None:
        dtype = input.dtype
        if (dtype is weight.dtype and (dtype is F32 or dtype is F64) and type(groups) is int and is_plain(stride)
                and is_plain(padding) and is_plain(dilation) and type(padding_mode) is str and type(algorithm) is str
                and type(channels_last) is bool and (activation is None or type(activation) is str)):
            key = (operation, dtype is F32, input.shape, weight.shape, bias is None, stride, padding, dilation, groups,
                   padding_mode, channels_last, activation, algorithm, config.get_num_threads())
            known = _known.get(key)
            if known is LOOK:                   # the weights decide
                key = (*key, factors(weight) is not None)
                known = _known.get(key)
            if (known is not None and input.flags.carray and weight.flags.carray and not config.validating
                    and (bias is None or (type(bias) is np.ndarray and bias.dtype is dtype
                                          and bias.shape == weight.shape[:1] and bias.flags.carray))):
                plan, shape, allocate = known
                y = out
                if out is None:
                    y = allocate(shape, dtype)
                elif type(out) is not np.ndarray or out.shape != shape or not can_write(out, dtype, input, weight, bias):
                    y = None
                if y is not None:
                    plan.run(input, weight, bias, None, y)
                    return y
    x, w = as_array(input, "input"), as_array(weight, "weight")
    b = None if bias is None else as_array(bias, "bias")
    r = None if residual is None else as_array(residual, "residual")
    dtype = common_type(input=x, weight=w, bias=b, residual=r)
    batched = x.ndim != int(operation[-2]) + 1
    problem = convolution_problem(operation, x.shape if batched else (1, *x.shape), w.shape, REALS[dtype.name], stride,
                                  padding, dilation, groups, padding_mode, channels_last, activation, b is not None,
                                  r is not None)
    if may_be_rank_one(problem, algorithm):
        problem = replace(problem, rank_one=factors(contiguous(w, COMPUTED[problem.real])) is not None)
        if key is not None and type(key[-1]) is not bool:
            _known[key] = LOOK
            key = (*key, problem.rank_one)
    plan = make_plan(problem, algorithm, threads=config.get_num_threads())
    y = execute(plan, x, w, b, r, out, dtype, batched)
    if key is not None and batched and problem.N and problem.K:
        if len(_known) >= MOST_CALLS:
            _known.clear()
        _known[key] = plan, problem.output_shape, allocator(problem.output_shape)
    return y


def execute(plan: Plan, x, w, b, r, out, dtype, batched, packed=None, *more):
    """Bring checked arrays into the form that kernels read, run the plan, and return the result in `out` if given.

    `more` are the further inputs of an operation that has some, with a batch axis; their shapes have been checked.

    Raises ValueError where bias, residual or out have the wrong shape or type.
    """
    problem, real = plan.problem, COMPUTED[plan.problem.real]
    shape = problem.output_shape if batched else problem.output_shape[1:]
    y = begin_result(shape, problem.K, real, dtype, b, r, out, x, w, *more)
    if y.size:
        rows = with_rows(x, real)
        w = contiguous(w, real)
        b = None if b is None else contiguous(b, real)
        r = None if r is None else contiguous(r, real)
        more = [None if a is None else contiguous(a, real) for a in more]
        plan.run(rows if batched else rows[None], w, b, r, y, packed, *more)
        if config.validating:
            check(problem, rows if batched else rows[None], w, b, r, y if batched else y[None], plan.row.error, *more)
    return end_result(y, out, dtype)


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros",
           channels_last=False, activation=None, residual=None, algorithm="auto", out=None):
    """One-dimensional convolution (cross-correlation) of a batch of signals with a set of kernels.

    ``y[n, k, q] = activation(bias[k] + residual[n, k, q] + sum over c, s of
    weight[k, c, s] * x[n, c + first channel of the group, q * stride - padding + s * dilation])``

    Parameters are those of `conv2d` with one spatial axis: input ``(N, C, W)`` or ``(C, W)``, weight
    ``(K, C // groups, S)``, output ``(N, K, Q)``. A pair of paddings is ``[(before, after)]``; a causal convolution is
    ``padding=[((S - 1) * dilation, 0)]``.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[1., 2., 3., 4.]]])
    >>> fastconv.conv1d(x, np.array([[[1., 0., -1.]]]), padding="same")
    array([[[-2., -2., -2.,  3.]]])
    """
    return convolve("conv1d", input, weight, bias, stride, padding, dilation, groups, padding_mode, channels_last,
                    activation, residual, algorithm, out)


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros",
           channels_last=False, activation=None, residual=None, algorithm="auto", out=None):
    """Two-dimensional convolution (cross-correlation) of a batch of images with a set of kernels.

    ``y[n, k, p, q] = activation(bias[k] + residual[n, k, p, q] + sum over c, r, s of weight[k, c, r, s]
    * x[n, c + first channel of the group, p * stride - padding + r * dilation, q * stride - padding + s * dilation])``

    Names, order and defaults are those of ``torch.nn.functional.conv2d``; what it lacks is keyword-only.

    Parameters
    ----------
    input : array, (N, C, H, W) or (C, H, W)
        float32, float64, float16 or bfloat16; channels in the last axis with `channels_last`. float16 and bfloat16 are
        computed in float32. Never changed.
    weight : array, (K, C // groups, R, S)
        Of the same type.
    bias : array, (K,), optional
    stride, dilation : int or (int, int)
        At least 1.
    padding : int, one int or one (before, after) pair per axis, or a name
        "valid" is none, "full" every position where kernel and image meet, "same" = "same_upper" gives
        ``ceil(size / stride)`` pixels as TensorFlow and ONNX do, an odd pixel of padding after the image ("same_lower":
        before it). PyTorch's "same" is this one at stride 1; with a larger stride it has none.
    groups : int
        Divides C and K; each group of K / groups kernels sees its own C / groups channels.
    padding_mode : {"zeros", "reflect", "symmetric", "replicate", "circular"}
        What the padding repeats: nothing, the image mirrored at the centre (NumPy's and PyTorch's "reflect", SciPy's
        "mirror") or at the edge (NumPy's "symmetric", SciPy's "reflect") of its outermost pixels, those pixels
        themselves, or the image. Wider than the image it goes on repeating, as `numpy.pad` does. Zeros contribute
        nothing, also under an infinite or NaN weight.
    channels_last : bool
        Input, residual and output are (N, H, W, C); the weights stay as they are.
    activation : str or tuple, optional
        "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "gelu" (by the normal distribution), "hardswish",
        "hardsigmoid", ("clip", low, high), ("leaky_relu", slope).
    residual : array, shape of the output, optional
        Added before the activation.
    algorithm : str
        A row of ``fastconv.list_algorithms("conv2d")``, or "auto": the one that is predicted to be the quickest.
    out : array, optional
        Gets the result and is returned; it may overlap the inputs.

    Returns
    -------
    array, (N, K, P, Q) or (K, P, Q)
        ``P = floor((H + padding - dilation * (R - 1) - 1) / stride) + 1``, in the type of the input.

    Raises
    ------
    TypeError
        Types that are not computed or not the same, parameters that are not ints, masked values.
    ValueError
        Shapes and parameters that do not fit, an `algorithm` that refuses; nothing has been written then.

    Notes
    -----
    Every output is one sum, in an order that depends on the shape of one image alone: the result is the same for every
    number of threads and every batch, to the bit. The error is at most g * gamma(n + 1) * sum |w| |x| with n products
    in a sum, gamma(n) = n u / (1 - n u), u half the spacing of numbers at 1 [1]_; g is 1, so that integers give exact
    results while they fit, but for the rows "winograd2" (9), "winograd" (91) and, in float64, "winograd6" (788), which
    "auto" may choose for kernels of r or r x r taps, r from 2 to 5 [2]_, "fft" (100), which it may choose for large ones
    [3]_, and "rank_one" (2): where channels have kernels of their own and it would pay, a look at the weights tells whether
    every kernel is a column times a row but for rounding, as a Gaussian is; then these are two convolutions, of R + S
    products.
    A NaN or infinity in the input reaches exactly the outputs whose window covers it; the call may take longer then.

    References
    ----------
    .. [1] N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, section 3.1.
    .. [2] A. Lavin and S. Gray, Fast algorithms for convolutional neural networks, CVPR 2016, arXiv:1509.09308.
    .. [3] A. Zlateski, Z. Jia, K. Li and F. Durand, The anatomy of efficient FFT and Winograd convolutions on modern CPUs,
       ICS 2019, arXiv:1809.07851.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> image = np.arange(16.).reshape(1, 1, 4, 4)
    >>> edges = np.array([[[[1., 0., -1.]]]])
    >>> fastconv.conv2d(image, edges)[0, 0, 0]
    array([-2., -2.])
    >>> fastconv.conv2d(image, edges, padding="same", stride=2, activation="relu").shape
    (1, 1, 2, 2)
    """
    return convolve("conv2d", input, weight, bias, stride, padding, dilation, groups, padding_mode, channels_last,
                    activation, residual, algorithm, out)


def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros",
           channels_last=False, activation=None, residual=None, algorithm="auto", out=None):
    """Three-dimensional convolution (cross-correlation) of a batch of volumes with a set of kernels.

    ``y[n, k, o, p, q] = activation(bias[k] + residual[n, k, o, p, q] + sum over c, t, r, s of
    weight[k, c, t, r, s] * x[n, c + first channel of the group, o * stride - padding + t * dilation, ...])``

    Parameters are those of `conv2d` with three spatial axes: input ``(N, C, D, H, W)`` or ``(C, D, H, W)``, weight
    ``(K, C // groups, T, R, S)``, output ``(N, K, O, P, Q)``.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> volume = np.ones((1, 1, 3, 3, 3), np.float32)
    >>> fastconv.conv3d(volume, volume)
    array([[[[[27.]]]]], dtype=float32)
    """
    return convolve("conv3d", input, weight, bias, stride, padding, dilation, groups, padding_mode, channels_last,
                    activation, residual, algorithm, out)
