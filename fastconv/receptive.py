"""Receptive fields: what part of the input one output pixel of a stack of layers sees."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from .problem import is_sequence, per_axis, resolve_padding

MOST_PHASES = 1 << 16       # outputs that may see differently much


def axes_of(*values) -> int:
    """Spatial axes that the values speak of; 0 if all are single ints or names."""
    lengths = {len(v) for v in values if is_sequence(v)}
    if len(lengths) > 1:
        raise ValueError(f"{' and '.join(repr(v) for v in values if is_sequence(v))} have different numbers of spatial axes")
    return lengths.pop() if lengths else 0


def in_form(values: Sequence, axes: int):
    return tuple(values) if axes else values[0]


def receptive_field(layers: Iterable[Mapping]):
    """The part of the input that one output pixel sees after a stack of layers.

    Parameters
    ----------
    layers : iterable of dict
        "kernel", and where they are not 1, 1 and 0: "stride", "dilation" and "padding"; {"kind": "transposed"} for a
        transposed convolution. Other keys are passed over.

    Returns
    -------
    size : int or tuple of int
        Input pixels from the first to the last that reach one output pixel; behind a transposed convolution, the most
        that reach any.
    stride : int or tuple of int
        Input pixels from one output pixel to the next; a fraction where the stack enlarges its input.
    start : int or tuple of int
        First input pixel that output 0 sees; negative where it begins in the padding.

    Raises
    ------
    ValueError, TypeError
        For padding names but "valid", which need the size of the input (see `summary`), and for values that are no ints.

    Examples
    --------
    >>> from fastconv import arithmetic
    >>> arithmetic.receptive_field([{"kernel": 3, "stride": 2, "padding": 1}, {"kernel": 3, "dilation": 2}])
    (11, 2, -1)
    """
    layers = [{"kernel": 1, "stride": 1, "dilation": 1, "padding": 0, **layer} for layer in layers]
    for layer in layers:
        if layer["padding"] == "valid":
            layer["padding"] = 0
        if isinstance(layer["padding"], str):
            raise ValueError(f"padding={layer['padding']!r} depends on the size of the input: give numbers, or use summary")
    axes = axes_of(*(layer[name] for layer in layers for name in ("kernel", "stride", "dilation", "padding")))
    n = max(axes, 1)
    stack = []
    for layer in layers:
        kernel, stride, dilation = (per_axis(layer[name], n, name, 1) for name in ("kernel", "stride", "dilation"))
        padding = resolve_padding(layer["padding"], [1] * n, kernel, stride, dilation)
        stack.append((layer.get("kind") == "transposed", kernel, stride, dilation, padding))
    sizes, strides, starts = zip(*(field_of_axis([(back, k[i], s[i], d[i], p[i][0]) for back, k, s, d, p in stack])
                                   for i in range(n)))
    return in_form(sizes, axes), in_form(strides, axes), in_form(starts, axes)


def field_of_axis(stack: list[tuple[bool, int, int, int, int]]):
    """(size, stride, start) of one axis; each layer as (transposed, kernel, stride, dilation, padding before)."""
    stride, phases = Fraction(1), 1
    for back, _, s, _, _ in stack:
        stride = stride / s if back else stride * s
        phases *= s if back else 1
    if phases > MOST_PHASES:
        raise ValueError(f"stride: those of the transposed convolutions multiply to {phases}, more than {MOST_PHASES}")
    fields = []
    for position in range(phases):          # outputs a whole number of input strides apart see equally much
        first = last = position
        for back, k, s, d, before in reversed(stack):
            reach = d * (k - 1)
            if back:
                first, last = -((reach - before - first) // s), (last + before) // s
            else:
                first, last = first * s - before, last * s - before + reach
        fields.append((last - first + 1, first))
    return (max(size for size, _ in fields), int(stride) if stride.denominator == 1 else float(stride), fields[0][1])
