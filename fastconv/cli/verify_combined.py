"""fastconv verify, convolutions made of several: transposed, separable, gated, partial ones by their definitions.

They are called as users call them, on each instruction set in a process that was started with it.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from multiprocessing import get_context
from random import Random

import numpy as np

from .. import kernels, reference
from ..algorithms import TABLE
from ..arrays import COMPUTED
from ..problem import PADDING_MODES, convolution_problem, resolve_activation
from ..transposed_problem import transposed_problem
from .verify_streams import StreamRecord, source

CHANNELS = (1, 2, 3, 5, 8, 13, 16, 17, 33)
EXTENTS = {1: (1, 2, 7, 16, 17, 33, 65), 2: (1, 2, 3, 7, 8, 9, 16, 17, 23), 3: (1, 2, 3, 5, 7)}
KERNELS = {1: (1, 2, 3, 4, 5, 7), 2: (1, 2, 3, 3, 4, 5), 3: (1, 2, 3)}
ALGORITHMS = ("auto", "auto", "im2col", "direct")
ACTIVATIONS = (None, "relu", "tanh")
FULL, QUICK = 32, 8            # cases of each operation and number type on each instruction set


@dataclass
class Case:
    """One call, its answer in float64 and the error that rounding explains, in half units in the last place."""

    function: str
    arrays: dict[str, np.ndarray | None]        # float64, channels first
    arguments: dict
    expected: tuple[np.ndarray, ...]
    units: np.ndarray

    def run(self, real: str, channels_last: bool) -> tuple[np.ndarray, ...]:
        import fastconv
        dtype, images = COMPUTED[real], ("input", "mask", "residual")
        arrays = {name: None if a is None else np.moveaxis(a, 1, -1).astype(dtype) if channels_last and name in images else
                  a.astype(dtype) for name, a in self.arrays.items()}
        y = getattr(fastconv, self.function)(**arrays, **self.arguments, channels_last=channels_last)
        parts = y if isinstance(y, tuple) else (y,)
        return tuple(np.moveaxis(part, -1, 1) if channels_last else part for part in parts)


class Draw:
    """Random extents and numbers; numbers are those of float32, right for both types."""

    def __init__(self, seed: str):
        self.random = Random(seed)
        self.generator = np.random.default_rng(list(seed.encode()))

    def each(self, choices, axes: int) -> tuple[int, ...]:
        return tuple(self.random.choice(choices) for _ in range(axes))

    def numbers(self, *shape: int) -> np.ndarray:
        return self.generator.standard_normal(shape, np.float32).astype(np.float64)

    def maybe(self, *shape: int) -> np.ndarray | None:
        return self.numbers(*shape) if self.random.random() < 0.6 else None

    def grouped(self) -> tuple[int, int, int]:
        """C, K and the groups that divide both."""
        groups = self.random.choice((1, 1, 2, 3))
        return groups * self.random.choice(CHANNELS[:6]), groups * self.random.choice(CHANNELS[:6]), groups


def growth(problem, algorithm: str) -> float:
    """Of rounding errors, of the row that is asked for, or the largest of all that take a problem."""
    if algorithm != "auto":
        return next(row.error for row in TABLE[problem.operation] if row.name == algorithm)
    return max(row.error for row in TABLE[problem.operation] if not row.refuses(problem))


def sums(problem, x, weight, bias=None) -> tuple[np.ndarray, np.ndarray]:
    """A convolution without its activation, and the same over absolute values."""
    return reference.convolution(problem, x, weight, bias), reference.magnitude(problem, x, weight, bias)


def rounded(problem, magnitude: np.ndarray, terms: int, grown: float) -> np.ndarray:
    """Half units that sums of so many terms may lose, by a row with such a growth."""
    return (terms + 8) * grown * reference.error_scale(problem, grown, magnitude)


def transposed(draw: Draw, axes: int) -> Case:
    choose, (C, K, G) = draw.random.choice, draw.grouped()
    size, kernel = draw.each(EXTENTS[axes], axes), draw.each(KERNELS[axes], axes)
    stride, dilation = draw.each((1, 1, 2, 3), axes), draw.each((1, 1, 2), axes)
    extra = tuple(draw.random.randrange(max(s, d)) for s, d in zip(stride, dilation))
    padding = [tuple(draw.random.randint(0, d * (k - 1) + 1) for _ in range(2)) for k, d in zip(kernel, dilation)]
    name, algorithm, activation = f"conv_transpose{axes}d", choose(ALGORITHMS), choose(ACTIVATIONS)
    arguments = dict(stride=stride, padding=padding, output_padding=extra, groups=G, dilation=dilation)
    x, weight, bias = draw.numbers(choose((1, 2)), C, *size), draw.numbers(C, K // G, *kernel), draw.maybe(K)
    problem = transposed_problem(name, x.shape, weight.shape, "f64", **arguments)
    parts = x, weight, bias, draw.maybe(*problem.output_shape)
    magnitude = reference.transposed(problem, *(None if a is None else np.abs(a) for a in parts))
    expected = reference.activate(resolve_activation(activation), reference.transposed(problem, *parts))
    grown = max(row.error for row in TABLE[f"conv{axes}d"] if algorithm in ("auto", row.name))      # of the phases
    return Case(name, dict(zip(("input", "weight", "bias", "residual"), parts)),
                arguments | dict(algorithm=algorithm, activation=activation), (expected,),
                rounded(problem, magnitude, C // G * prod(kernel), grown))


def window(draw: Draw, axes: int) -> tuple[tuple[int, ...], dict]:
    """A kernel, and the arguments that place it."""
    kernel, dilation = draw.each(KERNELS[axes], axes), draw.each((1, 1, 2), axes)
    padding = [tuple(draw.random.randint(0, k) for _ in range(2)) for k in kernel]
    return kernel, dict(stride=draw.each((1, 1, 2), axes), padding=padding, dilation=dilation)


def separable(draw: Draw, axes: int) -> Case:
    choose, (kernel, place) = draw.random.choice, window(draw, axes)
    C, K, multiplier = choose(CHANNELS), choose(CHANNELS), choose((1, 1, 2))
    mode, activation, operation = choose(PADDING_MODES), choose(ACTIVATIONS), f"conv{axes}d"
    x, bias = draw.numbers(choose((1, 2)), C, *draw.each(EXTENTS[axes], axes)), draw.maybe(K)
    depthwise, pointwise = draw.numbers(C * multiplier, 1, *kernel), draw.numbers(K, C * multiplier, *(1,) * axes)
    first = convolution_problem(operation, x.shape, depthwise.shape, "f64", **place, groups=C, padding_mode=mode)
    middle, scale = sums(first, x, depthwise)
    second = convolution_problem(operation, middle.shape, pointwise.shape, "f64", bias=bias is not None)
    expected = reference.activate(resolve_activation(activation), reference.convolution(second, middle, pointwise, bias))
    units = rounded(second, reference.magnitude(second, scale, pointwise, bias), C * multiplier + prod(kernel) + 8,
                    max(growth(first, "auto"), growth(second, "auto")))
    arrays = dict(input=x, depthwise_weight=depthwise, pointwise_weight=pointwise, bias=bias)
    return Case(f"separable_conv{axes}d", arrays, place | dict(padding_mode=mode, activation=activation), (expected,), units)


def spatial(draw: Draw) -> Case:
    choose, (kernel, place) = draw.random.choice, window(draw, 2)
    C, mode, activation = choose(CHANNELS), choose(PADDING_MODES), choose(ACTIVATIONS)
    x, bias = draw.numbers(choose((1, 2)), C, *draw.each(EXTENTS[2], 2)), draw.maybe(C)
    column, row = draw.numbers(C, kernel[0]), draw.numbers(C, kernel[1])
    weight = column[:, None, :, None] * row[:, None, None, :]
    problem = convolution_problem("conv2d", x.shape, weight.shape, "f64", **place, groups=C, padding_mode=mode)
    expected, scale = sums(problem, x, weight, bias)
    return Case("spatial_separable_conv2d", dict(input=x, column=column, row=row, bias=bias),
                place | dict(padding_mode=mode, activation=activation),
                (reference.activate(resolve_activation(activation), expected),),
                rounded(problem, scale, sum(kernel) + 8, growth(problem, "auto")))


def gated(draw: Draw) -> Case:
    choose, (kernel, place), (C, K, G) = draw.random.choice, window(draw, 2), draw.grouped()
    algorithm, activation = choose(ALGORITHMS), choose(ACTIVATIONS)
    x, shape = draw.numbers(choose((1, 2)), C, *draw.each(EXTENTS[2], 2)), (K, C // G, *kernel)
    weight, gate_weight, bias, gate_bias = draw.numbers(*shape), draw.numbers(*shape), draw.maybe(K), draw.maybe(K)
    place |= dict(groups=G, padding_mode=choose(PADDING_MODES))
    problem = convolution_problem("conv2d", x.shape, shape, "f64", **place)
    (features, scale), (gate, gate_scale) = sums(problem, x, weight, bias), sums(problem, x, gate_weight, gate_bias)
    features = reference.activate(resolve_activation(activation), features)
    terms, grown, passed = prod(shape[1:]), growth(problem, algorithm), reference.activate(("sigmoid", 0.0, 0.0), gate)
    units = (rounded(problem, scale, terms, grown)
             + np.abs(features) * (8 + rounded(problem, gate_scale, terms, grown) / 4))     # a sigmoid's slope
    arrays = dict(input=x, weight=weight, gate_weight=gate_weight, bias=bias, gate_bias=gate_bias)
    place |= dict(algorithm=algorithm, activation=activation)
    return Case("gated_conv2d", arrays, place, (features * passed,), units)


def partial(draw: Draw) -> Case:
    choose, (kernel, place), (C, K, G) = draw.random.choice, window(draw, 2), draw.grouped()
    algorithm, activation, one = choose(ALGORITHMS), choose(ACTIVATIONS), C == 1 or draw.random.random() < 0.5
    x, shape, bias = draw.numbers(choose((1, 2)), C, *draw.each(EXTENTS[2], 2)), (K, C // G, *kernel), draw.maybe(K)
    weight, mask = draw.numbers(*shape), (draw.numbers(len(x), 1 if one else C, *x.shape[2:]) > 0).astype(np.float64)
    problem = convolution_problem("conv2d", x.shape, shape, "f64", **place, groups=G)
    total, scale = sums(problem, x * mask, weight)
    valid = reference.convolution(problem, np.broadcast_to(mask, x.shape), np.ones(shape))
    live = valid > 0
    ratio = np.where(live, prod(shape[1:]) / np.maximum(valid, 1), 0)
    shift = np.zeros_like(total) if bias is None else np.where(live, bias.reshape(-1, 1, 1), 0)
    expected = reference.activate(resolve_activation(activation), total * ratio + shift)
    units = rounded(problem, scale, prod(shape[1:]), growth(problem, algorithm)) * ratio + 4 * np.abs(shift)
    return Case("partial_conv2d", dict(input=x, mask=mask, weight=weight, bias=bias),
                place | dict(groups=G, algorithm=algorithm, activation=activation),
                (expected, live[:, :1] if one else live), units)


CASES: dict[str, Callable[[Draw], Case]] = {
    **{f"conv_transpose{axes}d": lambda draw, axes=axes: transposed(draw, axes) for axes in (1, 2, 3)},
    **{f"separable_conv{axes}d": lambda draw, axes=axes: separable(draw, axes) for axes in (1, 2)},
    "spatial_separable_conv2d": spatial, "gated_conv2d": gated, "partial_conv2d": partial}


def cases(operation: str, count: int, seed: int = 0) -> Iterator[Case]:
    """The same `count` cases every time; parameters that do not fit together are drawn again."""
    draw, made = Draw(source(operation, seed)), 0
    while made < count:
        try:
            case = CASES[operation](draw)
        except ValueError:
            continue
        made += 1
        yield case


def records(count: int, seed: int = 0) -> dict[tuple[str, str, str], StreamRecord]:
    """All operations on the instruction set of this process, in both layouts and number types."""
    found = {(name, kernels.isa, real): StreamRecord() for name in CASES for real in kernels.REALS}
    for name in CASES:
        for case in cases(name, count, seed):
            for real in kernels.REALS:
                for channels_last in (False, True):
                    compare(case, case.run(real, channels_last), COMPUTED[real], found[name, kernels.isa, real])
    return found


def compare(case: Case, results: tuple[np.ndarray, ...], dtype: np.dtype, record: StreamRecord) -> None:
    record.cases += 1
    tiny = np.finfo(np.float32).tiny
    error = np.abs(results[0] - case.expected[0]) / (np.finfo(dtype).eps / 2 * np.maximum(case.units, tiny))
    share = float(np.nan_to_num(error, nan=np.inf).max(initial=0.0))
    if not all(map(np.array_equal, results[1:], case.expected[1:])):
        share = np.inf
    record.share = max(record.share, share)
    if not share <= 1:
        shapes = {name: a.shape for name, a in case.arrays.items() if a is not None}
        record.failures.append(f"error {share:.3g} times what rounding explains: {shapes}, {case.arguments}")


@contextmanager
def started_with(isa: str) -> Iterator[None]:
    """Processes that are started inside the block choose that instruction set."""
    before = os.environ.get("FASTCONV_ISA")
    os.environ["FASTCONV_ISA"] = isa
    try:
        yield
    finally:
        os.environ.pop("FASTCONV_ISA") if before is None else os.environ.update(FASTCONV_ISA=before)


def verify_combined(quick: bool, advance: Callable[[], None], seed: int = 0) -> dict[tuple[str, str, str], StreamRecord]:
    """Every operation on all instruction sets side by side; `advance` is called after each instruction set."""
    found: dict[tuple[str, str, str], StreamRecord] = {}
    with ExitStack() as stack:
        working = []
        for isa in kernels.available():
            with started_with(isa):
                pool = stack.enter_context(get_context("spawn").Pool(1))
            working.append(pool.apply_async(records, (QUICK if quick else FULL, seed)))
        for result in working:
            found |= result.get()
            advance()
    return {key: found[key] for key in sorted(found, key=lambda key: list(CASES).index(key[0]))}
