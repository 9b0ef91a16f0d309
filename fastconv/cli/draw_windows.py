"""Where every output of a convolution reads its input: the index arithmetic that the figures of `fastconv draw` show.

Positions count along the grid that a window slides over. Position 0 is input pixel 0; padding before it is negative.
A transposed convolution is a convolution of stride 1 over its stretched input: stride - 1 holes between two pixels,
and dilation * (kernel - 1) - padding positions around them, which are cut off where that is negative.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np

from ..arithmetic import transposed_output_size
from ..problem import Pairs, convolution_problem, per_axis, resolve_padding
from ..reference import NUMPY_MODES

HOLE, OUTSIDE = -1, -2              # what is no input pixel: between two of a stretched input, and zero padding
LARGEST_GRID, MOST_OUTPUTS, MOST_CHANNELS = 6000, 600, 16
LARGEST_WORK = 250_000              # cells drawn in all frames; positions looked up for one

Place = tuple[int, ...]


class Axis(NamedTuple):
    """One spatial axis: output p reads positions p * step - before + t * dilation for every tap t."""

    size: int
    kernel: int
    step: int
    before: int
    after: int
    dilation: int
    output: int
    spread: int = 1                 # positions from one input pixel to the next
    padding_mode: str = "zeros"

    @property
    def stretched(self) -> int:
        return (self.size - 1) * self.spread + 1

    @property
    def grid(self) -> range:
        """Positions that are drawn: the input and its padding."""
        return range(min(-self.before, 0), max(self.stretched + self.after, self.stretched))

    def sources(self) -> list[int]:
        """For every position of the grid the input pixel that it holds, HOLE or OUTSIDE."""
        if self.padding_mode != "zeros":
            pads = (self.before, self.after)
            return np.pad(np.arange(self.size), pads, mode=NUMPY_MODES[self.padding_mode]).tolist()
        return [OUTSIDE if not 0 <= at < self.stretched else HOLE if at % self.spread else at // self.spread
                for at in self.grid]

    def reads(self, p: int) -> list[int]:
        """Positions of the taps of output `p`."""
        first = p * self.step - self.before
        return [first + t * self.dilation for t in range(self.kernel)]


class Layer(NamedTuple):
    """One convolution or pool, and how its figure calls it."""

    axes: tuple[Axis, ...]
    stride: Place
    padding: Pairs                      # that of the arguments, which a transposed convolution cuts off
    C: int = 1
    K: int = 1
    G: int = 1
    transposed: bool = False
    output_padding: Place = ()
    kind: str = "conv"

    @property
    def size(self) -> Place:
        return tuple(axis.size for axis in self.axes)

    @property
    def output(self) -> Place:
        return tuple(axis.output for axis in self.axes)

    def reads(self, p: Place) -> list[Place]:
        """Positions of all taps of the output at `p`, in the order of the kernel."""
        return list(product(*(axis.reads(i) for axis, i in zip(self.axes, p))))

    def sources(self) -> dict[Place, Place | int]:
        """For every position of the grid the input pixel that it holds, HOLE or OUTSIDE."""
        table = {}
        for pairs in product(*(zip(axis.grid, axis.sources()) for axis in self.axes)):
            place, source = zip(*pairs)
            table[place] = source if min(source) >= 0 else min(source)
        return table

    def channels_of(self, k: int) -> range:
        """Input channels that output channel `k` sums over."""
        group = k // (self.K // self.G)
        return range(group * (self.C // self.G), (group + 1) * (self.C // self.G))


def make_layer(size, kernel, stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros", transposed=False,
               output_padding=0, channels=1, out_channels=None) -> Layer:
    """A convolution with the arguments of `conv1d` and `conv2d`, or of their transposes; `size` and `kernel` per axis.

    Raises
    ------
    ValueError, TypeError
        As the functions do, and for what no figure can show.

    Examples
    --------
    >>> layer = make_layer((5,), (3,), stride=2, padding=1)
    >>> layer.output, layer.reads((0,))
    ((3,), [(-1,), (0,), (1,)])
    >>> make_layer((3,), (3,), stride=2, padding=1, transposed=True).axes[0].sources()
    [-2, 0, -1, 1, -1, 2, -2]
    """
    axes, K = len(size), channels if out_channels is None else out_channels
    if not transposed:
        if any(per_axis(output_padding, axes, "output_padding", 0)):
            raise ValueError(f"output_padding={output_padding}: only a transposed convolution has it")
        if groups < 1 or channels % groups:
            raise ValueError(f"groups={groups} does not divide channels={channels}")
        problem = convolution_problem(f"conv{axes}d", (1, channels, *size), (K, channels // groups, *kernel), "f32", stride,
                                      padding, dilation, groups, padding_mode)
        grid = tuple(n + sum(pads) for n, pads in zip(size, problem.padding))
        check_extent(grid, channels, K)
        return Layer(tuple(Axis(n, k, s, *pads, d, out, padding_mode=padding_mode) for n, k, s, pads, d, out in
                           zip(size, kernel, problem.stride, problem.padding, problem.dilation, problem.output_size)),
                     problem.stride, problem.padding, channels, K, groups)
    if padding_mode != "zeros":
        raise ValueError(f"padding_mode={padding_mode!r}: a transposed convolution has zeros around its input")
    if groups < 1 or channels % groups or K % groups:
        raise ValueError(f"groups={groups} does not divide channels={channels} and out_channels={K}")
    output = transposed_output_size(tuple(size), tuple(kernel), stride, padding, output_padding, dilation)
    stride, dilation = per_axis(stride, axes, "stride", 1), per_axis(dilation, axes, "dilation", 1)
    extra = per_axis(output_padding, axes, "output_padding", 0)
    pairs = resolve_padding(padding, size, kernel, stride, dilation)
    around = [(d * (k - 1) - pads[0], d * (k - 1) - pads[1] + more) for k, d, pads, more in
              zip(kernel, dilation, pairs, extra)]
    if max(stride) > LARGEST_GRID:
        raise ValueError(f"stride={max(stride)} stretches the input more than a figure can show: at most {LARGEST_GRID}")
    grid = tuple((n - 1) * s + 1 + max(a, 0) + max(b, 0) for n, s, (a, b) in zip(size, stride, around))
    check_extent(grid, channels, K)
    return Layer(tuple(Axis(n, k, 1, *pads, d, out, s) for n, k, pads, d, out, s in
                       zip(size, kernel, around, dilation, output, stride)),
                 stride, pairs, channels, K, groups, True, extra, "transposed")


def make_stack(layers: list[dict], size: Place) -> list[Layer]:
    """The layers of `arithmetic.summary` one behind the other, each on one channel: what is drawn of them is their places.

    Raises
    ------
    ValueError, TypeError
        Naming the layer, counted from 1.
    """
    chain: list[Layer] = []
    for number, layer in enumerate(layers, 1):
        try:
            kernel = per_axis(layer.get("kernel", 1), len(size), "kernel", 1)
            if layer["kind"] == "pointwise" and max(kernel) > 1:
                raise ValueError(f"a pointwise kernel is 1, not {layer['kernel']!r}")
            options = {"stride": kernel if layer["kind"] == "pool" else 1}
            options |= {name: layer[name] for name in ("stride", "padding", "dilation", "output_padding") if name in layer}
            one = make_layer(size, kernel, transposed=layer["kind"] == "transposed", **options)
        except (ValueError, TypeError) as error:
            raise type(error)(f"layer {number} ({layer['kind']}): {error}") from None
        chain.append(one._replace(kind=layer["kind"]))
        size = one.output
    return chain


def check_extent(grid: Place, C: int, K: int) -> None:
    if max(C, K) > MOST_CHANNELS:
        raise ValueError(f"{max(C, K)} channels side by side show nothing: at most {MOST_CHANNELS}")
    if prod(grid) * C > LARGEST_GRID:
        raise ValueError(f"an input of {prod(grid) * C} cells, padding and channels included, shows nothing: "
                         f"at most {LARGEST_GRID}")


def check_length(chain: list[Layer]) -> None:
    """Raise ValueError for an animation that would take too long to draw, and to watch."""
    frames = chain[-1].K * prod(chain[-1].output)
    if frames > MOST_OUTPUTS:
        raise ValueError(f"an animation of {frames} outputs lasts too long: at most {MOST_OUTPUTS}")
    cells = sum(prod(len(axis.grid) for axis in layer.axes) * layer.C for layer in chain)
    lookups = sum(prod(layer.output) * prod(axis.kernel for axis in layer.axes) for layer in chain)
    phases = max(prod(layer.stride[i] for layer in chain if layer.transposed) for i in range(len(chain[-1].stride)))
    if max(cells * frames, lookups, phases) > LARGEST_WORK:
        raise ValueError(f"{frames} frames of {cells} cells are too many to draw: make the input or the kernel smaller")


def outputs(layer: Layer) -> Iterator[tuple[int, Place]]:
    """(output channel, place) of every output, one frame each."""
    return product(range(layer.K), product(*map(range, layer.output)))


def still_of(layer: Layer) -> int:
    """The frame that a still shows: in the middle of a row, not far below the border, with outputs before and behind it."""
    *rows, columns = layer.output
    place = [*((n - 1) // 3 for n in rows), columns // 2 if not rows else (columns - 1) // 2]
    frame = layer.K // 3
    for n, p in zip(layer.output, place):
        frame = frame * n + p
    return frame


@lru_cache(maxsize=64)
def sources_of(layer: Layer) -> dict[Place, Place | int]:
    return layer.sources()


def fields(chain: list[Layer], p: Place) -> list[Counter[Place]]:
    """For every layer the positions that reach output `p` of the last, and along how many paths."""
    wanted: Counter[Place] = Counter({p: 1})
    found = []
    for layer in reversed(chain):
        reads: Counter[Place] = Counter()
        for place, paths in wanted.items():
            for tap in layer.reads(place):
                reads[tap] += paths
        found.append(reads)
        sources = sources_of(layer)
        wanted = Counter()
        for place, paths in reads.items():
            source = sources.get(place, OUTSIDE)
            if not isinstance(source, int):
                wanted[source] += paths
    return found[::-1]
