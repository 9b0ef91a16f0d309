"""Separable convolutions whose weights are packed once: made from arrays, called with inputs."""
from __future__ import annotations

from .arrays import as_array, common_type
from .layers import Conv2d


class SeparableConv2d:
    """`separable_conv2d` with weights that are packed once; takes its arguments less `input`, `residual` and `out`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> conv = fastconv.SeparableConv2d(np.ones((8, 1, 3, 3)), np.ones((16, 8, 1, 1)), padding=1, activation="relu")
    >>> conv(np.ones((1, 8, 6, 6))).shape
    (1, 16, 6, 6)
    """

    def __init__(self, depthwise_weight, pointwise_weight, bias=None, stride=1, padding=0, dilation=1, *,
                 padding_mode="zeros", channels_last=False, activation=None, algorithm="auto"):
        weight, pointwise = as_array(depthwise_weight, "depthwise_weight"), as_array(pointwise_weight, "pointwise_weight")
        common_type(depthwise_weight=weight, pointwise_weight=pointwise)
        if weight.ndim != 4 or weight.shape[1] != 1:
            raise ValueError(f"depthwise_weight must have shape (C * M, 1, R, S), got {weight.shape}")
        if pointwise.ndim != 4 or pointwise.shape[1:] != (weight.shape[0], 1, 1):
            raise ValueError(f"pointwise_weight must have shape (K, {weight.shape[0]}, 1, 1), got {pointwise.shape}")
        self.weight = weight.copy()
        self.arguments = dict(stride=stride, padding=padding, dilation=dilation, padding_mode=padding_mode,
                              channels_last=channels_last)
        self.pointwise = Conv2d(pointwise, bias, channels_last=channels_last, activation=activation, algorithm=algorithm)
        self.depthwise: dict[int, Conv2d] = {}      # by input channels, which the weights alone do not tell
        self.depthwise_for(weight.shape[0])         # raises what stride, padding ... are wrong about

    def depthwise_for(self, channels: int) -> Conv2d:
        if channels < 1 or self.weight.shape[0] % channels:
            raise ValueError(f"input has {channels} channels, which do not divide the {self.weight.shape[0]} kernels of "
                             f"depthwise_weight")
        if channels not in self.depthwise:
            self.depthwise[channels] = Conv2d(self.weight, groups=channels, **self.arguments)
        return self.depthwise[channels]

    def explain(self, shape: tuple[int, ...]) -> str:
        """Which algorithms run for inputs of a shape.

        Raises
        ------
        ValueError
            If inputs of that shape cannot be convolved.
        """
        depthwise = self.depthwise_for(shape[-1 if self.arguments["channels_last"] else -3])
        middle = depthwise.plan(depthwise.batched_shape(tuple(shape))).problem.output_shape
        return f"{depthwise.explain(shape)}\n{self.pointwise.explain(middle)}"

    def __call__(self, input, residual=None, out=None):
        """Convolve an input; the arguments are those of the function.

        Raises
        ------
        TypeError, ValueError
            As the function.
        """
        x = as_array(input, "input")
        if x.ndim not in (3, 4):
            raise ValueError(f"input must have 4 axes, or 3 without a batch; got shape {x.shape}")
        return self.pointwise(self.depthwise_for(x.shape[-1 if self.arguments["channels_last"] else -3])(x), residual, out)
