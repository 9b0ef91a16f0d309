"""fastconv verify, operations without weights: resampling, rearranging and regions against their definitions."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import numpy as np

from .. import config, kernels, reference_regions, reference_resampling
from ..arrays import COMPUTED
from ..region_problem import region_problem
from ..resample_algorithms import REGIONS, RESAMPLING
from ..resample_problem import (
    MODES,
    NEAREST,
    ORDERS,
    PAD_MODES,
    SAMPLE_MODES,
    SAMPLE_PADDING,
    channel_shuffle_problem,
    focus_problem,
    fold_problem,
    grid_sample_problem,
    interpolate_problem,
    pad_problem,
    pixel_shuffle_problem,
    pixel_unshuffle_problem,
    unfold_problem,
)
from ..stream_plan import make_stream_plan

COVERED = (*RESAMPLING, *REGIONS)
EXTENTS = (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 23, 33)
CHANNELS = (1, 2, 3, 4, 7, 16, 17)
FULL, QUICK = 64, 12            # problems of each operation and number type

Drawn = tuple[object, tuple]    # a problem and its inputs


def shape_of(random: Random, axes: int, last: bool, C: int | None = None) -> tuple[int, ...]:
    size, C = tuple(random.choice(EXTENTS) for _ in range(axes)), C or random.choice(CHANNELS)
    return (random.choice((1, 2)), *size, C) if last else (random.choice((1, 2)), C, *size)


def numbers(random: Random, shape, real: str) -> np.ndarray:
    return np.random.default_rng(random.randrange(2**32)).standard_normal(shape).astype(COMPUTED[real])


def moved(random: Random, shape, real: str) -> np.ndarray:
    """Items as kernels see those that are moved."""
    item = "u8" if real == "f64" else random.choice(("u1", "u2", "u4"))
    return np.random.default_rng(random.randrange(2**32)).integers(0, 200, shape).astype(item)


def draw_rearrangement(operation: str, random: Random, real: str) -> Drawn:
    last, r = random.random() < 0.5, random.choice((1, 2, 3, 4, 5))
    order = random.choice(ORDERS)
    if operation == "pixel_shuffle":
        x = moved(random, shape_of(random, 2, last, r * r * random.choice((1, 2, 3))), real)
        return pixel_shuffle_problem(x.shape, x.itemsize, r, order, last), (x, None)
    if operation == "channel_shuffle":
        x = moved(random, shape_of(random, random.choice((1, 2, 3)), last, r * random.choice((1, 2, 3))), real)
        return channel_shuffle_problem(x.shape, x.itemsize, r, last), (x, None)
    n, a, b, c = shape_of(random, 2, last)
    r = 2 if operation == "focus" else r
    x = moved(random, (n, a * r, b * r, c) if last else (n, a, b * r, c * r), real)
    if operation == "focus":
        return focus_problem(x.shape, x.itemsize, last), (x, None)
    return pixel_unshuffle_problem(x.shape, x.itemsize, r, order, last), (x, None)


def draw_pad(operation: str, random: Random, real: str) -> Drawn:
    last = random.random() < 0.5
    x = moved(random, shape_of(random, 2, last), real)
    pads = [random.randint(-3, 9) for _ in range(2 * random.choice((1, 2, 3)))]
    return pad_problem(x.shape, x.itemsize, pads, random.choice(PAD_MODES), last), (x, np.array([7], x.dtype))


def draw_windows(operation: str, random: Random, real: str) -> Drawn:
    shape = shape_of(random, 2, False)
    kernel, dilation, padding, stride = ([random.choice(values) for _ in range(2)] for values in
                                         ((1, 2, 3, 4), (1, 1, 2), (0, 1, 2, 5), (1, 1, 2, 3)))
    if operation == "unfold":
        x = moved(random, shape, real)
        return unfold_problem(shape, x.itemsize, kernel, dilation, padding, stride), (x, np.zeros(1, x.dtype))
    columns = unfold_problem(shape, 4, kernel, dilation, padding, stride).columns_shape
    return fold_problem(columns, real, shape[2:], kernel, dilation, padding, stride), (numbers(random, columns, real),)


def draw_interpolate(operation: str, random: Random, real: str) -> Drawn:
    mode, last = random.choice(MODES), random.random() < 0.5
    axes = {"linear": 1, "trilinear": 3, "bilinear": 2, "bicubic": 2}.get(mode, random.choice((1, 2)))
    shape = shape_of(random, axes, last)
    x = moved(random, shape, real) if mode in NEAREST else numbers(random, shape, real)
    size, scale = tuple(random.choice(EXTENTS) for _ in range(axes)), tuple(random.uniform(0.2, 4) for _ in range(axes))
    asked = (size, None) if random.random() < 0.5 else (None, scale)
    align = random.choice((None, True)) if mode in ("linear", "bilinear", "trilinear", "bicubic") else None
    antialias = mode in ("bilinear", "bicubic") and random.random() < 0.4
    real = "" if mode in NEAREST else real
    problem = interpolate_problem(shape, real, x.itemsize, *asked, mode, align, None, antialias, last)
    return problem, (x, np.zeros(1, x.dtype)) if mode in NEAREST else (x,)


def draw_sampling(operation: str, random: Random, real: str) -> Drawn:
    last, mode = random.random() < 0.5, random.choice(SAMPLE_MODES)
    axes = 2 if mode == "bicubic" else random.choice((2, 2, 3))
    x = numbers(random, shape_of(random, axes, last), real)
    grid = 1.2 * numbers(random, (len(x), *shape_of(random, axes, False)[2:], axes), real)
    padding, align = random.choice(SAMPLE_PADDING), random.random() < 0.5
    return grid_sample_problem(x.shape, grid.shape, real, mode, padding, align, last), (x, grid)


def draw_regions(operation: str, random: Random, real: str) -> Drawn:
    last, bins = random.random() < 0.5, (random.choice((1, 2, 3, 7)), random.choice((1, 2, 7)))
    C = random.choice(CHANNELS[:4]) * (bins[0] * bins[1] if operation.startswith("ps") else 1)
    x = numbers(random, shape_of(random, 2, last, C), real)
    boxes = 12 * numbers(random, (5, 4), real)
    image = np.array([random.randrange(len(x)) for _ in boxes])
    mode = "max" if operation == "roi_pool" or (operation == "roi_align" and random.random() < 0.3) else "avg"
    offset = numbers(random, (5, 2, *bins), real) if operation == "deform_roi_pool" else None
    aligned = operation != "roi_align" or random.random() < 0.5
    problem = region_problem(operation, x.shape, 5, real, bins, random.choice((1.0, 0.5, 0.3)), random.choice((-1, 2)),
                             aligned, mode, 0.1, last)
    return problem, (x, boxes, image, offset)


DRAW: dict[str, Callable[[str, Random, str], Drawn]] = {
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle", "focus", "channel_shuffle"), draw_rearrangement),
    "pad": draw_pad, "unfold": draw_windows, "fold": draw_windows, "interpolate": draw_interpolate,
    "grid_sample": draw_sampling, **dict.fromkeys(REGIONS, draw_regions)}


def source(operation: str, seed: int) -> str:
    """What the problems of an operation are drawn from: others for another seed."""
    return f"{operation} {seed}" if seed else operation


@dataclass
class StreamRecord:
    """What one operation did on one instruction set in one number type."""

    cases: int = 0
    share: float = 0.0          # of the error that rounding explains, in the worst case
    failures: list[str] = field(default_factory=list)


def drawn(operation: str, random: Random, real: str) -> Drawn:
    """A random problem with its inputs; again where parameters do not fit together, or crop all, which no plan computes."""
    while True:
        try:
            problem, inputs = DRAW[operation](operation, random, real)
        except ValueError:
            continue
        if 0 not in problem.output_shape:
            return problem, inputs


def verify_streams(quick: bool, advance: Callable[[], None], seed: int = 0) -> dict[tuple[str, str, str], StreamRecord]:
    """Every operation on every instruction set, in both number types; `advance` is called after each operation."""
    records: dict[tuple[str, str, str], StreamRecord] = {}
    for operation in COVERED:
        random = Random(source(operation, seed))
        for real in kernels.REALS:
            for _ in range(QUICK if quick else FULL):
                problem, inputs = drawn(operation, random, real)
                oracle = reference_regions if operation in REGIONS else reference_resampling
                expected, units = oracle.expected_of(problem, inputs)
                for isa in kernels.available():
                    record = records.setdefault((operation, isa, real), StreamRecord())
                    compare(problem, inputs, expected, units, isa, record)
        advance()
    return records


def compare(problem, inputs, expected, units, isa: str, record: StreamRecord) -> None:
    y = np.empty(problem.output_shape, inputs[0].dtype)
    make_stream_plan(problem, isa=isa, threads=config.get_num_threads()).run(inputs, (y,))
    expected = np.reshape(expected, y.shape)
    record.cases += 1
    if y.dtype.kind == "f":
        allowed = units * np.finfo(y.dtype).eps / 2 + np.finfo(y.dtype).tiny
        share = float(np.nan_to_num(np.abs(y - expected) / allowed, nan=np.inf).max(initial=0.0))
    else:
        share = 0.0 if np.array_equal(y, expected) else np.inf
    record.share = max(record.share, share)
    if not share <= 1:
        record.failures.append(f"error {share:.3g} times what rounding explains: {problem}")
