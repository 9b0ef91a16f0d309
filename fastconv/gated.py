"""Gated convolutions: features and gates are kernels of one convolution, whose finish multiplies them."""
from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import config
from .arrays import COMPUTED, REALS, as_array, common_type
from .convolution import execute
from .layers import Conv2d
from .plan import make_plan
from .problem import Problem, convolution_problem, index
from .recall import key_of, recall, remember


def together(weight, gate_weight, bias, gate_bias, groups: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The kernels (2 K, C / G, R, S), in each group those of the features before those of the gates; biases (2 K).

    Raises
    ------
    TypeError, ValueError
        If types or shapes differ.
    """
    w, gate = as_array(weight, "weight"), as_array(gate_weight, "gate_weight")
    b, c = (None if a is None else as_array(a, name) for a, name in ((bias, "bias"), (gate_bias, "gate_bias")))
    common_type(weight=w, gate_weight=gate, bias=b, gate_bias=c)
    if gate.shape != w.shape:
        raise ValueError(f"gate_weight must have the shape of weight, {w.shape}, got {gate.shape}")
    for name, a in (("bias", b), ("gate_bias", c)):
        if a is not None and a.shape != w.shape[:1]:
            raise ValueError(f"{name} must have shape {w.shape[:1]}, one number per output channel, got {a.shape}")
    groups = index(groups, "groups", 1)
    if w.ndim == 0 or w.shape[0] % groups:
        raise ValueError(f"groups={groups} does not divide the output channels of weight, of shape {w.shape}")
    return join(w, gate, b, c, groups)


def join(weight, gate_weight, bias, gate_bias, groups: int) -> tuple[np.ndarray, np.ndarray | None]:
    """`together` of arrays that have been checked."""
    K, biases = len(weight), None
    if bias is not None or gate_bias is not None:
        biases = np.concatenate([np.zeros(K, weight.dtype) if a is None else a for a in (bias, gate_bias)])
    parts = [a.reshape(groups, K // groups, *a.shape[1:]) for a in (weight, gate_weight)]
    return np.concatenate(parts, axis=1).reshape(2 * K, *weight.shape[1:]), biases


def gated(problem: Problem) -> Problem:
    """The problem of `together`, whose kernels are features and gates."""
    return replace(problem, gated=True)


def gated_conv2d(input, weight, gate_weight, bias=None, gate_bias=None, stride=1, padding=0, dilation=1, groups=1, *,
                 activation="relu", padding_mode="zeros", channels_last=False, algorithm="auto", out=None):
    """Gated convolution: one convolution says what, another how much of it passes.

    ``y = activation(conv2d(x, weight, bias)) * sigmoid(conv2d(x, gate_weight, gate_bias))``

    Parameters
    ----------
    input : array, (N, C, H, W) or (C, H, W)
    weight, gate_weight : arrays, (K, C // groups, R, S)
    bias, gate_bias : arrays, (K,), optional
    stride, padding, dilation, groups, activation, padding_mode, channels_last, algorithm, out
        As in `conv2d`; activation is that of the features and may be None.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.

    References
    ----------
    J. Yu et al., Free-form image inpainting with gated convolution, ICCV 2019, arXiv:1806.03589.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.gated_conv2d(np.ones((1, 1, 2, 2)), np.full((1, 1, 2, 2), 0.5), np.zeros((1, 1, 2, 2)))
    array([[[[1.]]]])
    """
    arrays = input, weight, gate_weight, bias, gate_bias
    key = key_of("gated", arrays, (stride, padding, dilation, groups, activation, padding_mode, channels_last, algorithm))
    y = recall(key, arrays, out)
    if y is not None:
        return y
    x = as_array(input, "input")
    w, b = together(weight, gate_weight, bias, gate_bias, groups)
    dtype = common_type(input=x, weight=w)
    batched = x.ndim != 3
    problem = convolution_problem("conv2d", x.shape if batched else (1, *x.shape), w.shape, REALS[dtype.name], stride,
                                  padding, dilation, groups, padding_mode, channels_last, activation, b is not None)
    plan = make_plan(gated(problem), algorithm, threads=config.get_num_threads())
    y = execute(plan, x, w, b, None, out, dtype, batched)
    if batched and dtype == COMPUTED[problem.real]:
        remember(key, lambda arrays, results: plan.run(arrays[0], *join(*arrays[1:], problem.G), None, *results), y)
    return y


class GatedConv2d(Conv2d):
    """`gated_conv2d` with weights that are packed once; takes its arguments less `input` and `out`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> conv = fastconv.GatedConv2d(np.ones((4, 8, 3, 3)), np.zeros((4, 8, 3, 3)), padding=1)
    >>> round(float(conv(np.ones((1, 8, 6, 6)))[0, 0, 2, 2]), 9)
    36.0
    """

    def __init__(self, weight, gate_weight, bias=None, gate_bias=None, stride=1, padding=0, dilation=1, groups=1, *,
                 activation="relu", padding_mode="zeros", channels_last=False, algorithm="auto"):
        both, biases = together(weight, gate_weight, bias, gate_bias, groups)
        super().__init__(both, biases, stride, padding, dilation, groups, padding_mode=padding_mode,
                         channels_last=channels_last, activation=activation, algorithm=algorithm)

    def problem(self, shape: tuple[int, ...], residual: bool = False) -> Problem:
        """What a call asks for inputs of a shape, batch included."""
        return gated(super().problem(shape, residual))

    def __call__(self, input, out=None):
        """Convolve an input; the arguments are those of the function.

        Raises
        ------
        TypeError, ValueError
            As the function.
        """
        return super().__call__(input, None, out)
