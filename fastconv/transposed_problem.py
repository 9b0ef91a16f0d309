"""TransposedProblem: what one transposed convolution asks, and its phases.

Output o of an axis is the sum over taps k of w[k] x[(o + padding - k dilation) / stride], where that is a whole number.
Outputs o = first, first + stride, ... share their taps, every (stride / gcd(stride, dilation))-th of them, and read
neighbouring inputs: a convolution with stride 1, without zeros between the pixels and without scattered additions.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import gcd, prod
from typing import NamedTuple

from .problem import (
    LARGEST,
    LARGEST_ARRAY,
    Problem,
    Shuffle,
    arranged,
    convolution_problem,
    flag,
    index,
    per_axis,
    resolve_activation,
    resolve_padding,
)

MOST_PHASES = 16        # that are computed as one


@dataclass(frozen=True)
class TransposedProblem(Problem):
    """A Problem whose kernel is (C, K / G, *kernel) and whose output is what a convolution would have read."""

    output_padding: tuple[int, ...] = ()

    @cached_property
    def output_size(self) -> tuple[int, ...]:
        """(size - 1) stride - padding + dilation (kernel - 1) + output_padding + 1 along each axis."""
        return tuple((n - 1) * s - sum(p) + d * (k - 1) + o + 1 for n, k, s, p, d, o in
                     zip(self.size, self.kernel, self.stride, self.padding, self.dilation, self.output_padding))

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.C, self.K // self.G, *self.kernel)

    @property
    def macs(self) -> int:
        """Every input meets every tap, those that are cut off included."""
        return self.N * self.K * prod(self.size) * self.sum_length

    @cached_property
    def whole(self) -> list[tuple[int, int]]:
        """The input, start .. stop along each axis."""
        return [(0, n) for n in self.size]

    @property
    def phases(self) -> list[tuple[AxisPhase, ...]]:
        """All combinations of the phases of the axes; outputs in none of them are bias (and residual) alone."""
        return list(product(*(axis_phases(*axis) for axis in self.axes)))

    @property
    def holes(self) -> bool:
        """Whether some outputs belong to no phase."""
        return any(sum(phase.count for phase in axis_phases(*axis)) < axis[-1] for axis in self.axes)

    @property
    def plain(self) -> str:
        """The operation that computes phases."""
        return self.operation.replace("_transpose", "")

    @property
    def axes(self) -> list[tuple[int, int, int, int, int, int]]:
        return [(n, k, s, p[0], d, out) for n, k, s, p, d, out in
                zip(self.size, self.kernel, self.stride, self.padding, self.dilation, self.output_size)]


class Merged(NamedTuple):
    """All phases as one convolution with the kernels of all of them."""

    problem: Problem
    crop: list[tuple[int, int]]     # the part start .. stop of each axis of the input that it reads


def merge(p: TransposedProblem) -> Merged | None:
    """The phases of a transposed convolution as one: phase a of an axis has the taps a, a + stride, ... of the kernel.

    None where it has only one, where a dilation spreads its taps over other phases, or where there are too many.
    """
    if not 1 < prod(p.stride) <= MOST_PHASES or max(p.dilation) > 1:
        return None
    taps = [-(-k // s) for k, s in zip(p.kernel, p.stride)]
    crop, padding, cut = [], [], []
    for (n, _, s, before, _, out), t in zip(p.axes, taps):
        start, stop = before // s - (t - 1), (out - 1 + before) // s + 1      # inputs that the sums read
        low, high = max(0, start), min(n, stop)
        if low >= high:
            return None
        crop.append((low, high))
        padding.append((low - start, stop - high))
        cut.append(before % s)
    size = [high - low for low, high in crop]
    problem = convolution_problem(p.plain, arranged(p.N, p.C, size, p.channels_last),
                                  (p.K * prod(p.stride), p.C // p.G, *taps), p.real, 1, padding, 1, p.G,
                                  channels_last=p.channels_last)
    even = all(k % s == 0 for k, s in zip(p.kernel, p.stride))
    return Merged(replace(problem, activation=p.activation, bias=p.bias, residual=p.residual, packed=p.packed,
                          shuffle=Shuffle(p.stride, tuple(cut), p.output_size, prod(p.stride), even)), crop)


class AxisPhase(NamedTuple):
    """Outputs first, first + stride, ... of one axis, as a convolution with stride 1."""

    first: int
    count: int
    taps: tuple[int, ...]       # in the order in which the convolution reads them ...
    step: int                   # ... so far apart
    dilation: int
    padding: tuple[int, int]
    crop: tuple[int, int]       # the part start .. stop of the input that it reads


def axis_phases(n: int, k: int, stride: int, padding: int, dilation: int, out: int) -> list[AxisPhase]:
    """The phases of one axis of n inputs and `out` outputs whose taps meet the input; at most k."""
    step, reach = stride // gcd(stride, dilation), dilation // gcd(stride, dilation)
    phases = []
    for tap in range(min(step, k)):
        first, taps = (tap * dilation - padding) % stride, range(tap, k, step)[::-1]
        count = -(-(out - first) // stride)
        start = (first + padding - taps[0] * dilation) // stride        # input that the first output reads first
        stop = start + count + reach * (len(taps) - 1)
        low, high = max(0, start), min(n, stop)
        if count > 0 and low < high:
            phases.append(AxisPhase(first, count, tuple(taps), step, reach, (low - start, stop - high), (low, high)))
    return sorted(phases)


def transposed_problem(operation, input_shape, weight_shape, real, stride=1, padding=0, output_padding=0, groups=1,
                       dilation=1, output_size=None, channels_last=False, activation=None, bias=False, residual=False,
                       packed=False) -> TransposedProblem:
    """Check the arguments against each other; raises ValueError or TypeError that names the argument."""
    axes, channels_last = int(operation[-2]), flag(channels_last, "channels_last")
    layout = "(N, *spatial, C)" if channels_last else "(N, C, *spatial)"
    if len(input_shape) != axes + 2:
        raise ValueError(f"input of {operation} must have {axes + 2} axes {layout}, or {axes + 1} without a batch; "
                         f"got shape {tuple(input_shape)}")
    if len(weight_shape) != axes + 2:
        raise ValueError(f"weight of {operation} must have {axes + 2} axes (C, K // groups, *kernel), "
                         f"got shape {tuple(weight_shape)}")
    shapes = f"input of shape {tuple(input_shape)}, weight of shape {tuple(weight_shape)}"
    C, size = input_shape[-1 if channels_last else 1], tuple(input_shape[1:-1] if channels_last else input_shape[2:])
    kernel, G = tuple(weight_shape[2:]), index(groups, "groups", 1)
    if C == 0:
        raise ValueError(f"input has no channels: {shapes}")
    if 0 in size:
        raise ValueError(f"input has a spatial axis of length 0: {shapes}")
    if 0 in kernel:
        raise ValueError(f"weight has a kernel axis of length 0: {shapes}")
    if C % G:
        raise ValueError(f"groups={G} does not divide the {C} input channels: {shapes}")
    if weight_shape[0] != C:
        raise ValueError(f"weight must have {C} input channels, got {weight_shape[0]}: {shapes}")
    stride, dilation = per_axis(stride, axes, "stride", 1), per_axis(dilation, axes, "dilation", 1)
    if isinstance(padding, str):
        raise ValueError(f"padding={padding!r}: a transposed convolution takes numbers")
    padding = resolve_padding(padding, size, kernel, stride, dilation)
    for axis, extents in enumerate(zip(size, kernel, stride, dilation)):
        if (extents[0] - 1) * extents[2] + extents[3] * extents[1] > LARGEST:
            raise ValueError(f"stride={extents[2]} or dilation={extents[3]} is too large on spatial axis {axis}: {shapes}")
    extra = per_axis(output_padding, axes, "output_padding", 0)
    problem = TransposedProblem(operation, real, input_shape[0], C, weight_shape[1] * G, G, size, kernel, stride, dilation,
                                padding, "zeros", channels_last, resolve_activation(activation), bias, residual,
                                packed, output_padding=extra)
    most = [max(s, d) - 1 for s, d in zip(stride, dilation)]
    if output_size is not None:
        if any(extra):
            raise ValueError(f"output_padding={output_padding!r} and output_size={output_size!r} exclude each other")
        wanted = per_axis(output_size, axes, "output_size", 1)
        for axis, (size, least, more) in enumerate(zip(wanted, problem.output_size, most)):
            if not least <= size <= least + more:
                raise ValueError(f"output_size={size} on spatial axis {axis} is not in {least} .. {least + more}: {shapes}")
        extra = tuple(size - least for size, least in zip(wanted, problem.output_size))
        problem = replace(problem, output_padding=extra)
    for axis, (o, more) in enumerate(zip(extra, most)):
        if o > more:
            raise ValueError(f"output_padding={o} must be smaller than stride={stride[axis]} or dilation={dilation[axis]} "
                             f"on spatial axis {axis}: {shapes}")
    if min(problem.output_size) < 1:
        raise ValueError(f"output would have size {problem.output_size}: padding={padding} is too large for {shapes}")
    if prod(problem.output_shape) > LARGEST_ARRAY // 8:
        raise ValueError(f"output of shape {problem.output_shape} is too large: {shapes}")
    return problem
