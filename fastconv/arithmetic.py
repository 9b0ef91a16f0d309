"""Arithmetic of convolutions: sizes, parameters, multiply-adds, receptive fields, and a table for a whole stack.

Sizes, kernels, strides and dilations are an int or one int per spatial axis, and come back in the same form.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import NamedTuple

from . import problem
from .problem import index, per_axis, resolve_padding
from .receptive import axes_of, in_form, receptive_field

__all__ = ["flops", "macs", "output_size", "parameters", "receptive_field", "summary", "transposed_output_size"]

KINDS = ("conv", "depthwise", "pointwise", "pool", "transposed")
FIELDS = ("kind", "kernel", "stride", "padding", "dilation", "groups", "channels", "bias", "output_padding")


def output_size(size, kernel, stride=1, padding=0, dilation=1):
    """Length of the output of a convolution or pool: ``floor((size + padding - dilation * (kernel - 1) - 1) / stride) + 1``.

    Parameters
    ----------
    size, kernel, stride, dilation : int or one int per axis
        Pixels; at least 1.
    padding : int, one int or one (before, after) pair per axis, or a name
        As for `conv2d`.

    Raises
    ------
    ValueError, TypeError
        For a kernel that reaches beyond the padded input, and for values that are no such ints.

    Examples
    --------
    >>> from fastconv import arithmetic
    >>> arithmetic.output_size(224, 7, stride=2, padding=3)
    112
    >>> arithmetic.output_size((224, 320), 3, stride=2, padding="same")
    (112, 160)
    """
    axes = axes_of(size, kernel, stride, padding, dilation)
    n = max(axes, 1)
    size, kernel = per_axis(size, n, "size", 1), per_axis(kernel, n, "kernel", 1)
    stride, dilation = per_axis(stride, n, "stride", 1), per_axis(dilation, n, "dilation", 1)
    padding = resolve_padding(padding, size, kernel, stride, dilation)
    result = [problem.output_size(*values) for values in zip(size, kernel, stride, padding, dilation)]
    for length, k, d, pads, out in zip(size, kernel, dilation, padding, result):
        if out < 1:
            raise ValueError(f"a kernel of {k} (dilation {d}) reaches over {d * (k - 1) + 1} pixels, but the axis has only "
                             f"{length + sum(pads)} with padding {pads}")
    return in_form(result, axes)


def transposed_output_size(size, kernel, stride=1, padding=0, output_padding=0, dilation=1):
    """Length of the output of a transposed convolution.

    ``(size - 1) * stride - padding before - padding after + dilation * (kernel - 1) + output_padding + 1``

    Parameters
    ----------
    size, kernel, stride, dilation : int or one int per axis
        Pixels; at least 1.
    padding : int, or one int or one (before, after) pair per axis
        Pixels that are cut off the output.
    output_padding : int or one int per axis
        Pixels appended to it; less than stride or dilation.

    Raises
    ------
    ValueError, TypeError
        For a result without pixels, and for values that are no such ints.

    Examples
    --------
    >>> from fastconv import arithmetic
    >>> arithmetic.transposed_output_size(56, 4, stride=2, padding=1)
    112
    """
    axes = axes_of(size, kernel, stride, padding, output_padding, dilation)
    n = max(axes, 1)
    size, kernel = per_axis(size, n, "size", 1), per_axis(kernel, n, "kernel", 1)
    stride, dilation = per_axis(stride, n, "stride", 1), per_axis(dilation, n, "dilation", 1)
    extra = per_axis(output_padding, n, "output_padding", 0)
    if isinstance(padding, str) and padding != "valid":
        raise ValueError(f"padding={padding!r}: a transposed convolution takes numbers")
    padding = resolve_padding(padding, size, kernel, stride, dilation)
    result = []
    for length, k, s, d, pads, more in zip(size, kernel, stride, dilation, padding, extra):
        if more >= max(s, d):
            raise ValueError(f"output_padding={more} must be less than stride={s} or dilation={d}")
        result.append((length - 1) * s - sum(pads) + d * (k - 1) + more + 1)
        if result[-1] < 1:
            raise ValueError(f"padding {pads} leaves nothing of an output of {result[-1] + sum(pads)} pixels")
    return in_form(result, axes)


def parameters(in_channels, out_channels, kernel, groups=1, bias=True):
    """Numbers that a layer learns: ``out_channels * (in_channels / groups * taps + bias)``, taps the product of `kernel`.

    An int `kernel` is that of a 1-D convolution. The count is the same for a transposed convolution.

    Raises
    ------
    ValueError, TypeError
        If `groups` does not divide the channels.

    Examples
    --------
    >>> from fastconv import arithmetic
    >>> arithmetic.parameters(256, 256, (3, 3))
    590080
    """
    taps = prod(per_axis(kernel, max(axes_of(kernel), 1), "kernel", 1))
    return out_channels * (channels_of_a_group(in_channels, out_channels, groups) * taps + bool(bias))


def channels_of_a_group(in_channels, out_channels, groups) -> int:
    groups = index(groups, "groups", 1)
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if index(channels, name, 1) % groups:
            raise ValueError(f"groups={groups} does not divide {name}={channels}")
    return in_channels // groups


def macs(in_channels, out_channels, kernel, output_size, groups=1):
    """Multiply-adds for one image: ``out_channels * product of output_size * in_channels / groups * taps``.

    Those with padding count too. An int `kernel` holds for every axis of `output_size`. For a transposed convolution
    give its *input* size here.

    Raises
    ------
    ValueError, TypeError
        If `groups` does not divide the channels.

    Examples
    --------
    >>> from fastconv import arithmetic
    >>> arithmetic.macs(3, 64, 7, (112, 112))
    118013952
    """
    axes = max(axes_of(kernel, output_size), 1)
    pixels = prod(per_axis(output_size, axes, "output_size", 1))
    taps = prod(per_axis(kernel, axes, "kernel", 1))
    return out_channels * pixels * channels_of_a_group(in_channels, out_channels, groups) * taps


def flops(in_channels, out_channels, kernel, output_size, groups=1):
    """Floating-point operations for one image: twice the `macs`.

    >>> from fastconv import arithmetic
    >>> arithmetic.flops(3, 64, 7, (112, 112))
    236027904
    """
    return 2 * macs(in_channels, out_channels, kernel, output_size, groups)


class LayerSummary(NamedTuple):
    """One line of `summary`. Shapes are (C, *spatial); the receptive field is that of the stack up to here."""

    kind: str
    kernel: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    flops: int
    receptive_field: tuple[int, ...]
    stride: tuple[float, ...]
    start: tuple[int, ...]


class Summary(NamedTuple):
    """What `summary` returns; its text is a table."""

    input_shape: tuple[int, ...]
    layers: tuple[LayerSummary, ...]

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def flops(self) -> int:
        return 2 * self.macs

    def __str__(self) -> str:
        line = "{:12} {:>8} {:>18} {:>12} {:>15} {:>15} {:>15}".format
        rows = [line(layer.kind, times(layer.kernel), times(layer.output_shape), layer.parameters, layer.macs, layer.flops,
                     times(layer.receptive_field)) for layer in self.layers]
        return "\n".join(row.rstrip() for row in [
            line("layer", "kernel", "output", "parameters", "MACs", "FLOPs", "receptive field"),
            line("input", "", times(self.input_shape), "", "", "", ""), *rows,
            line("total", "", "", self.parameters, self.macs, self.flops, "")])


def times(values: Sequence) -> str:
    """3x224x224."""
    return "x".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def summary(layers: Iterable[Mapping], input_shape) -> Summary:
    """Shapes, parameters, multiply-adds and receptive field of every layer of a stack, for one image.

    Parameters
    ----------
    layers : iterable of dict
        "kernel" and, where not the default, "kind" ("conv", "depthwise", "pointwise", "pool", "transposed"; "conv"),
        "channels" (output channels; as many as come in), "stride" (1; for a pool its kernel), "padding" (0), "dilation" (1),
        "groups" (1), "bias" (True), "output_padding" (0). A pool counts no multiply-adds.
    input_shape : sequence of int
        (C, *spatial), without the batch.

    Returns
    -------
    Summary
        `layers`, `parameters`, `macs`, `flops`; ``print`` shows a table.

    Raises
    ------
    ValueError, TypeError
        Naming the layer, counted from 1.

    Examples
    --------
    >>> from fastconv import arithmetic
    >>> stack = [{"kernel": 3, "stride": 2, "padding": 1, "channels": 64}, {"kind": "depthwise", "kernel": 3}]
    >>> print(arithmetic.summary(stack, (3, 224, 224)))
    layer          kernel             output   parameters            MACs           FLOPs receptive field
    input                          3x224x224
    conv              3x3         64x112x112         1792        21676032        43352064             3x3
    depthwise         3x3         64x110x110          640         6969600        13939200             7x7
    total                                            2432        28645632        57291264
    """
    shape = tuple(index(n, f"input_shape[{i}]", 1) for i, n in enumerate(input_shape))
    if not 2 <= len(shape) <= 4:
        raise ValueError(f"input_shape must be (C, *spatial) with 1 to 3 spatial axes, got {shape}")
    seen: list[dict] = []
    rows = []
    at = shape
    for number, layer in enumerate(layers, 1):
        try:
            row, place = summarise(layer, at)
            seen.append(place)
            size, stride, start = receptive_field(seen)
        except (ValueError, TypeError) as error:
            raise type(error)(f"layer {number} ({layer.get('kind', 'conv')}): {error}") from None
        rows.append(LayerSummary(*row, size, stride, start))
        at = row[2]
    return Summary(shape, tuple(rows))


def summarise(layer: Mapping, shape: tuple[int, ...]):
    """One layer on an input of a shape: the first six fields of a LayerSummary, and what receptive_field needs of it."""
    kind = layer.get("kind", "conv")
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is none of {', '.join(KINDS)}")
    for name in layer:
        if name not in FIELDS:
            raise ValueError(f"{name!r} is none of {', '.join(FIELDS)}")
    C, size = shape[0], shape[1:]
    axes = len(size)
    kernel = per_axis(layer.get("kernel", 1), axes, "kernel", 1)
    if kind == "pointwise" and max(kernel) > 1:
        raise ValueError(f"a pointwise kernel is 1, not {layer['kernel']!r}")
    stride = per_axis(layer.get("stride", kernel if kind == "pool" else 1), axes, "stride", 1)
    dilation = per_axis(layer.get("dilation", 1), axes, "dilation", 1)
    padding = layer.get("padding", 0)
    K = layer.get("channels", C)
    groups = layer.get("groups", C if kind == "depthwise" else 1)
    if kind == "transposed":
        out = transposed_output_size(size, kernel, stride, padding, layer.get("output_padding", 0), dilation)
    else:
        padding = resolve_padding(padding, size, kernel, stride, dilation)
        out = output_size(size, kernel, stride, padding, dilation)
    learned = done = 0
    if kind == "pool":
        if K != C:
            raise ValueError(f"a pool leaves the {C} channels as they are; channels={K}")
    else:
        learned = parameters(C, K, kernel, groups, layer.get("bias", True))
        done = macs(C, K, kernel, size if kind == "transposed" else out, groups)
    place = {"kind": kind, "kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding}
    return (kind, kernel, (K, *out), learned, done, 2 * done), place
