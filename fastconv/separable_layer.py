"""Separable convolutions whose weights are packed once: made from arrays, called with inputs."""
from __future__ import annotations

import numpy as np

from . import config
from .arrays import COMPUTED, allocator, as_array, common_type, direct_target
from .chain import chain_of, run_pair
from .layers import LAYERS, Conv2d
from .problem import flag
from .recall import MOST_CALLS
from .separable import check_weights, finish


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
        check_weights(2, weight.shape[0] if weight.ndim else 0, weight, pointwise)
        channels_last = flag(channels_last, "channels_last")
        self.weight = weight.copy()
        self.arguments = dict(stride=stride, padding=padding, dilation=dilation, padding_mode=padding_mode,
                              channels_last=channels_last)
        self.pointwise = Conv2d(pointwise, bias, channels_last=channels_last, activation=activation, algorithm=algorithm)
        self.depthwise: dict[int, Conv2d] = {}      # by input channels, which the weights alone do not tell
        self.native = COMPUTED[self.pointwise.real]
        self._known: dict[tuple, tuple] = {}
        LAYERS.add(self)
        self.depthwise_for(weight.shape[0])         # raises what stride, padding ... are wrong about

    def __getstate__(self) -> dict:
        """Plain weights and arguments: another machine may pack them otherwise."""
        return self.__dict__ | {"_known": {}}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        LAYERS.add(self)

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
        first = depthwise.plan(depthwise.batched_shape(tuple(shape)))
        middle = first.problem.output_shape
        chain = chain_of(first, self.pointwise.plan(middle))
        how = "in two calls" if chain is None else (
            f"strip by strip, {chain.strip / 1024:.4g} KiB of numbers between them in cache, workspace "
            f"{chain.workspace / 1024:.4g} KiB per thread")
        return f"{depthwise.explain(shape)}\n{self.pointwise.explain(middle)}\n  together    {how}"

    def __call__(self, input, residual=None, out=None):
        """Convolve an input; the arguments are those of the function.

        Raises
        ------
        TypeError, ValueError
            As the function.
        """
        key = (input.shape if type(input) is np.ndarray else None, config.get_num_threads())
        known = self._known.get(key)
        if (known is not None and residual is None and input.dtype is self.native and input.flags.carray
                and not config.validating):
            depthwise, plans, packed, allocate = known
            y = direct_target(out, plans[1].problem.output_shape, self.native, allocate, input)
            if y is not None:
                run_pair(*plans, input, depthwise.weight, self.pointwise.weight, self.pointwise.bias, None, y, packed)
                return y
        x = as_array(input, "input")
        r = None if residual is None else as_array(residual, "residual")
        if x.ndim not in (3, 4):
            raise ValueError(f"input must have 4 axes, or 3 without a batch; got shape {x.shape}")
        depthwise = self.depthwise_for(x.shape[-1 if self.arguments["channels_last"] else -3])
        dtype = common_type(input=x, residual=r)
        if dtype != depthwise.dtype:
            raise TypeError(f"input has type {dtype} but the weights have type {depthwise.dtype}: convert one of them")
        first = depthwise.plan(depthwise.batched_shape(x.shape))
        second = self.pointwise.plan(first.problem.output_shape, r is not None)
        plans, packed = (first, second), (depthwise.packed_for(first), self.pointwise.packed_for(second))
        weights = depthwise.weight, self.pointwise.weight, self.pointwise.bias
        y = finish(plans, x, *weights, r, out, dtype, x.ndim == 4, packed)
        if r is None and x.ndim == 4 and y.size and dtype == self.native and key[0] is not None:
            if len(self._known) >= MOST_CALLS:
                self._known.clear()
            self._known[key] = depthwise, plans, packed, allocator(y.shape)
        return y
