"""Problem: what one call asks, frozen and hashable. The only home of shape formulas, and of the glossary.

Glossary
--------
N               batch: images in one call
C, K            input and output channels, of all groups together
G               groups; group g reads C / G input channels and writes K / G output channels
D H W           input depth, height, width
T R S           kernel depth, height, width
O P Q           output depth, height, width
n c k d h w ... indices along those axes
tap             one position (t, r, s) of the kernel
rank one        a kernel (R, S) that is the product of a column (R) and a row (S)
stride, dilation, padding      per spatial axis; padding as (before, after)
panel           a small block of input, gathered in the order in which a register tile reads it
tile            MR x NR output numbers summed in registers
real            the number type that a kernel computes in: "f32" or "f64"
channels_last   arrays are (N, *spatial, C) instead of (N, C, *spatial); weights are always (K, C / G, *kernel)
"""
from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isfinite, prod
from typing import NamedTuple

PADDING_MODES = ("zeros", "reflect", "symmetric", "replicate", "circular")
PADDING_NAMES = ("valid", "full", "same", "same_upper", "same_lower")
ACTIVATIONS = ("none", "clip", "leaky_relu", "sigmoid", "tanh", "silu", "gelu", "hardswish", "hardsigmoid")
LARGEST = 2**31 - 1         # stride, dilation and padding; index arithmetic on them then fits 64 bits
LARGEST_ARRAY = 2**63 - 1   # bytes

Pairs = tuple[tuple[int, int], ...]


class Shuffle(NamedTuple):
    """Where sums go that are phases: that of phase a at pixel p of an axis to output p stride + a - cut, if it exists."""

    stride: tuple[int, ...]
    cut: tuple[int, ...]
    size: tuple[int, ...]       # of the output
    phases: int                 # all of a transposed convolution, or one
    even: bool = True           # all phases have as many taps as the kernel: none of its weights is a zero put there


@dataclass(frozen=True)
class Problem:
    """One convolution: extents, geometry, layout, number type and what the finish does."""

    operation: str
    real: str
    N: int
    C: int
    K: int
    G: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Pairs
    padding_mode: str = "zeros"
    channels_last: bool = False
    activation: tuple[str, float, float] = ("none", 0.0, 0.0)
    bias: bool = False
    residual: bool = False
    packed: bool = False        # weights were packed beforehand, by a layer
    gated: bool = False         # half of the K kernels are gates: K / 2 output channels
    scales: int = 0             # planes of scales of sums, one or one for each group; they come in place of a residual
    shuffle: Shuffle | None = None      # the kernels are those of all phases of a transposed convolution
    turns: int = 1              # it takes turns with so many others like it: caches see the weights of all
    rank_one: bool = False      # every kernel is known to be a column times a row: somebody looked

    @cached_property
    def output_size(self) -> tuple[int, ...]:
        return tuple(output_size(n, k, s, p, d) for n, k, s, p, d in
                     zip(self.size, self.kernel, self.stride, self.padding, self.dilation))

    @property
    def input_shape(self) -> tuple[int, ...]:
        return arranged(self.N, self.C, self.size, self.channels_last)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.K, self.C // self.G, *self.kernel)

    @property
    def combined(self) -> bool:
        """Whether the finish does more with the K sums of a pixel than to make an output of each."""
        return self.gated or self.scales > 0 or self.shuffle is not None

    @property
    def output_channels(self) -> int:
        return self.K // 2 if self.gated else self.K // self.shuffle.phases if self.shuffle else self.K

    @property
    def output_shape(self) -> tuple[int, ...]:
        size = self.shuffle.size if self.shuffle else self.output_size
        return arranged(self.N, self.output_channels, size, self.channels_last)

    @property
    def pixels(self) -> int:
        """Output pixels of one image, of one phase if there are phases."""
        return prod(self.output_size)

    @property
    def live_pixels(self) -> int:
        """Those that become outputs: sums of a phase may be cut off."""
        return prod(self.shuffle.size) // prod(self.shuffle.stride) if self.shuffle else self.pixels

    @property
    def taps(self) -> int:
        return prod(self.kernel)

    @property
    def sum_length(self) -> int:
        """Products in one output."""
        return self.C // self.G * self.taps

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those with padding included."""
        return self.N * self.K * self.pixels * self.sum_length

    @property
    def flops(self) -> int:
        """Two for each multiply-accumulate."""
        return 2 * self.macs

    @property
    def itemsize(self) -> int:
        return 8 if self.real == "f64" else 4

    @property
    def bytes(self) -> int:
        """Input, weights and output, each once."""
        return self.itemsize * (prod(self.input_shape) + prod(self.weight_shape) + prod(self.output_shape))

    @property
    def padded(self) -> bool:
        """Whether some window reaches over the border."""
        return any(before or after for before, after in self.padding)

    @property
    def depthwise(self) -> bool:
        """Whether every channel has its own kernels; a single one, its only one."""
        return self.G == self.C and (self.C > 1 or self.K == 1)

    @property
    def passes(self) -> tuple[Problem, Problem]:
        """What a kernel of rank one comes to, of two axes and channels of their own: its column, then its row.

        One channel is the same numbers in either layout.
        """
        last = self.channels_last and self.K > 1
        (R, S), (down, across), (far_down, far_across) = self.kernel, self.stride, self.dilation
        column = replace(self, kernel=(R, 1), stride=(down, 1), dilation=(far_down, 1), padding=(self.padding[0], (0, 0)),
                         channels_last=last, activation=("none", 0.0, 0.0), bias=False, residual=False, packed=True,
                         rank_one=False)
        row = replace(self, C=self.K, G=self.K, size=column.output_size, kernel=(1, S), stride=(1, across),
                      dilation=(1, far_across), padding=((0, 0), self.padding[1]), channels_last=last, packed=True,
                      rank_one=False)
        return column, row

    def as_volume(self) -> Problem:
        """A batch, channels last, as one volume: images are its slices, or signals the rows of one image."""
        axes = {"size": self.N, "kernel": 1, "stride": 1, "dilation": 1, "padding": (0, 0)}
        deeper = {"conv1d": "conv2d", "conv2d": "conv3d"}.get(self.operation)
        if deeper is None or self.N < 2 or not self.channels_last or self.combined:
            return self
        return replace(self, operation=deeper, N=1, **{name: (first, *getattr(self, name)) for name, first in axes.items()})

    def in_three_axes(self, values: Sequence, missing) -> list:
        """`values`, one per spatial axis, with `missing` for the leading axes that the problem lacks."""
        return [missing] * (3 - len(values)) + list(values)


def arranged(n: int, channels: int, size: Sequence[int], channels_last: bool) -> tuple[int, ...]:
    return (n, *size, channels) if channels_last else (n, channels, *size)


def output_size(size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> int:
    """Length of one axis of the output: floor((size + padding - extent of the kernel) / stride) + 1."""
    return (size + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1


def index(value, name: str, minimum: int, maximum: int = LARGEST) -> int:
    """`value` as an int in minimum .. maximum; a bool or a float is a TypeError."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not a bool: {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}: {value!r}") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    if number > maximum:
        raise ValueError(f"{name} is too large: {number} exceeds {maximum}")
    return number


def flag(value, name: str) -> bool:
    """`value` as a bool; an int is one, too, or a NumPy scalar."""
    if isinstance(value, int) or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise TypeError(f"{name} must be a bool, not {type(value).__name__}: {value!r}")


def one_of(value, name: str, names: Sequence[str]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}: {value!r}")
    if value not in names:
        raise ValueError(f"{name}={value!r} is none of {', '.join(names)}")
    return value


def number(value, name: str) -> float:
    if isinstance(value, (bool, str, bytes)):
        raise TypeError(f"{name} must be a real number, not {type(value).__name__}: {value!r}")
    try:
        result = float(value)
    except OverflowError:
        raise ValueError(f"{name}={value!r} exceeds all floats") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a real number, not {type(value).__name__}: {value!r}") from None
    if not isfinite(result):
        raise ValueError(f"{name}={value!r} must be finite")
    return result


def per_axis(value, axes: int, name: str, minimum: int) -> tuple[int, ...]:
    """An int, or one int per spatial axis, as one int per axis."""
    if is_sequence(value):
        values = tuple(value)
        if len(values) != axes:
            raise ValueError(f"{name} must be an int or have one value for each of {axes} spatial axes, got {value!r}")
        return tuple(index(v, f"{name}[{i}]", minimum) for i, v in enumerate(values))
    return (index(value, name, minimum),) * axes


def is_sequence(value) -> bool:
    return (not isinstance(value, (str, bytes, Mapping)) and hasattr(value, "__len__") and hasattr(value, "__getitem__")
            and getattr(value, "ndim", 1) > 0)


def resolve_padding(padding, size: Sequence[int], kernel: Sequence[int], stride: Sequence[int],
                    dilation: Sequence[int]) -> Pairs:
    """Any form of the argument `padding` as one (before, after) pair per axis.

    "same", "same_upper" and "same_lower" follow TensorFlow and ONNX: the output has ceil(size / stride) pixels; an odd
    pixel of padding goes after (upper) or before (lower) the image.
    """
    axes = len(size)
    if isinstance(padding, str):
        if padding not in PADDING_NAMES:
            raise ValueError(f"padding={padding!r} is none of {', '.join(PADDING_NAMES)}")
        pairs = []
        for n, k, s, d in zip(size, kernel, stride, dilation):
            reach = d * (k - 1)
            total = max((-(-n // s) - 1) * s + reach + 1 - n, 0)
            before = {"valid": 0, "full": reach, "same_lower": total - total // 2}.get(padding, total // 2)
            after = {"valid": 0, "full": reach}.get(padding, total - before)
            pairs.append((before, after))
        return tuple(pairs)
    if is_sequence(padding) and any(is_sequence(p) for p in padding):
        pairs = tuple(padding)
        if len(pairs) != axes or not all(is_sequence(p) and len(p) == 2 for p in pairs):
            raise ValueError(f"padding must have one (before, after) pair for each of {axes} spatial axes, got {padding!r}")
        return tuple((index(before, f"padding[{i}][0]", 0), index(after, f"padding[{i}][1]", 0))
                     for i, (before, after) in enumerate(pairs))
    return tuple((p, p) for p in per_axis(padding, axes, "padding", 0))


def resolve_activation(activation) -> tuple[str, float, float]:
    """A name in ACTIVATIONS and two numbers: the bounds of a clip, or the slope of a leaky ReLU and nothing."""
    clips = {"relu": (0.0, inf), "relu6": (0.0, 6.0)}
    if activation is None:
        return "none", 0.0, 0.0
    if isinstance(activation, str):
        if activation in clips:
            return "clip", *clips[activation]
        if activation in ACTIVATIONS[2:]:
            return activation, 0.01 if activation == "leaky_relu" else 0.0, 0.0
    elif is_sequence(activation) and len(activation) > 0 and isinstance(activation[0], str):
        name, *numbers = activation
        try:
            numbers = [float(n) for n in numbers]
        except OverflowError:
            raise ValueError(f"activation={name!r}: a bound or slope exceeds all floats") from None
        except (TypeError, ValueError):
            raise TypeError(f"activation={activation!r}: bounds and slopes are real numbers") from None
        if name == "leaky_relu" and len(numbers) == 1:
            return name, numbers[0], 0.0
        if name == "clip" and len(numbers) == 2:
            if not numbers[0] <= numbers[1]:
                raise ValueError(f"activation={activation!r}: the lower bound exceeds the upper")
            return name, *numbers
    else:
        raise TypeError(f"activation must be None, a name or a tuple, got {activation!r}")
    raise ValueError(f"activation={activation!r} is none of {', '.join((*clips, *ACTIVATIONS[2:]))}, "
                     "('clip', low, high), ('leaky_relu', slope)")


def convolution_problem(operation: str, input_shape: Sequence[int], weight_shape: Sequence[int], real: str, stride=1,
                        padding=0, dilation=1, groups=1, padding_mode="zeros", channels_last=False, activation=None,
                        bias=False, residual=False, packed=False) -> Problem:
    """Check the arguments of conv1d, conv2d or conv3d against each other and make a Problem of them.

    `input_shape` has the batch axis. Raises ValueError or TypeError that names the argument, its value and the shape.
    """
    axes, channels_last = int(operation[-2]), flag(channels_last, "channels_last")
    layout = "(N, *spatial, C)" if channels_last else "(N, C, *spatial)"
    if len(input_shape) != axes + 2:
        raise ValueError(f"input of {operation} must have {axes + 2} axes {layout}, or {axes + 1} without a batch; "
                         f"got shape {tuple(input_shape)}")
    if len(weight_shape) != axes + 2:
        raise ValueError(f"weight of {operation} must have {axes + 2} axes (K, C // groups, *kernel), "
                         f"got shape {tuple(weight_shape)}")
    shapes = f"input of shape {tuple(input_shape)}, weight of shape {tuple(weight_shape)}"
    N, C, size = input_shape[0], input_shape[-1 if channels_last else 1], tuple(input_shape[1:-1] if channels_last
                                                                                else input_shape[2:])
    K, kernel = weight_shape[0], tuple(weight_shape[2:])
    G = index(groups, "groups", 1)
    if C == 0:
        raise ValueError(f"input has no channels: {shapes}")
    if 0 in size:
        raise ValueError(f"input has a spatial axis of length 0: {shapes}")
    if 0 in kernel:
        raise ValueError(f"weight has a kernel axis of length 0: {shapes}")
    if C % G:
        raise ValueError(f"groups={G} does not divide the {C} input channels: {shapes}")
    if K % G:
        raise ValueError(f"groups={G} does not divide the {K} output channels: {shapes}")
    if weight_shape[1] != C // G:
        raise ValueError(f"weight must have {C // G} channels (input has {C}, groups={G}), got {weight_shape[1]}: {shapes}")
    one_of(padding_mode, "padding_mode", PADDING_MODES)
    stride = per_axis(stride, axes, "stride", 1)
    dilation = tuple(d if taps > 1 else 1 for d, taps in zip(per_axis(dilation, axes, "dilation", 1), kernel))
    padding = resolve_padding(padding, size, kernel, stride, dilation)
    for axis, (n, k, d, pads) in enumerate(zip(size, kernel, dilation, padding)):
        extent = d * (k - 1) + 1
        if n + sum(pads) + extent > LARGEST_ARRAY // 4:
            raise ValueError(f"padding={pads} or dilation={d} is too large on spatial axis {axis}: {shapes}")
        if extent > n + sum(pads):
            raise ValueError(f"kernel reaches over {extent} pixels (dilation={d}) but spatial axis {axis} has only "
                             f"{n + sum(pads)} with padding={pads}: {shapes}")
    problem = Problem(operation, real, N, C, K, G, size, kernel, stride, dilation, padding, padding_mode,
                      channels_last, resolve_activation(activation), bias, residual, packed)
    if prod(problem.output_shape) * problem.itemsize > LARGEST_ARRAY:
        raise ValueError(f"output of shape {problem.output_shape} is too large: {shapes}, padding={padding}")
    return problem
