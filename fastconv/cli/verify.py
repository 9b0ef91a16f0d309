"""fastconv verify: every row of the table, on every instruction set, number type and layout, against float64."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

import numpy as np

from .. import config, kernels, reference
from ..algorithms import TABLE
from ..arrays import COMPUTED
from ..convolution import execute
from ..deform_problem import deform_problem
from ..plan import make_plan
from ..problem import PADDING_MODES, Problem, convolution_problem, resolve_activation
from ..validation import oracle_of
from . import verify_pooling
from .terminal import make_console, make_table, progress_bar
from .verify_combined import verify_combined
from .verify_streams import COVERED, StreamRecord, source, verify_streams

OPERATIONS = ("conv1d", "conv2d", "conv3d", "deform_conv2d")
CHANNELS = (1, 2, 3, 5, 7, 8, 9, 13, 16, 17, 31, 33, 64, 65)        # round the register tiles of all instruction sets
EXTENTS = {1: (1, 2, 7, 15, 16, 17, 31, 33, 63, 64, 65, 127, 131), 2: (1, 2, 3, 7, 8, 9, 15, 16, 17, 23, 33),
           3: (1, 2, 3, 5, 7, 8, 9)}
KERNELS = (1, 2, 3, 3, 3, 4, 5, 7)
STYLES = ("plain", "pointwise", "depthwise", "grouped", "strided", "dilated", "padded", "unequal", "rank one")
ACTIVATIONS = (None, None, None, "relu", "relu6", ("leaky_relu", 0.2), "silu", "tanh", "gelu")
MOST_MACS = 1_000_000           # what SciPy does in some 10 ms
FULL, QUICK = 240, 48             # problems of each operation


def add_arguments(parser) -> None:
    parser.add_argument("--quick", action="store_true", help="fewer problems")
    parser.add_argument("--seed", type=int, default=0, help="draw other problems")


def draw(random: Random, operation: str, style: str) -> Problem:
    """A random problem of awkward extents; ValueError where they do not fit together."""
    axes = int(operation[-2])

    def each(choices):
        return tuple(random.choice(choices) for _ in range(axes))

    C, K, G = random.choice(CHANNELS), random.choice(CHANNELS), 1
    size, kernel = each(EXTENTS[axes]), (1,) * axes if style == "pointwise" else each(KERNELS)
    stride = each((1, 2, 3)) if style in ("strided", "unequal") else (1,) * axes
    dilation = each((1, 2, 3)) if style in ("dilated", "unequal") else (1,) * axes
    padding = tuple((k // 2, k // 2) for k in kernel)
    if style in ("padded", "unequal"):
        padding = tuple((random.randint(0, k + 1), random.randint(0, k + 1)) for k in kernel)
    if style in ("depthwise", "rank one"):
        G, K = C, C * random.choice((1, 1, 2, 3))
    if style == "grouped":
        G = random.choice((2, 3, 4))
        C, K = C * G, K * G
    mode = random.choice(PADDING_MODES) if style in ("padded", "unequal", "depthwise", "rank one") else "zeros"
    shape = random.choice((1, 1, 2)), C, *size
    rest = dict(activation=random.choice(ACTIVATIONS), bias=random.random() < 0.7, residual=random.random() < 0.3)
    weight_shape = K, C // G, *kernel
    if operation == "deform_conv2d":
        groups = random.choice([n for n in range(1, C + 1) if C % n == 0])
        return deform_problem(shape, weight_shape, groups, random.random() < 0.7, "f32", stride, padding, dilation, **rest)
    problem = convolution_problem(operation, shape, weight_shape, "f32", stride, padding, dilation, G, mode, **rest)
    return replace(problem, rank_one=style == "rank one" and axes == 2)


def problems(operation: str, count: int, seed: int = 0) -> Iterator[Problem]:
    """The same `count` problems every time, all styles in turn."""
    random = Random(source(operation, seed))
    for number in range(count):
        while True:
            try:
                problem = draw(random, operation, STYLES[number % len(STYLES)])
            except ValueError:
                continue
            if problem.macs <= MOST_MACS:
                yield problem
                break


@dataclass
class Record:
    """What one row did on one instruction set in one number type."""

    cases: int = 0
    exact: bool = True          # the row promises exact integers
    wrong: int = 0              # integer cases that were not exact
    share: float = 0.0          # of the bound, in the worst case
    error: float = 0.0          # there, in units of rounding
    bound: float = 0.0
    failures: list[str] = field(default_factory=list)


class Case:
    """A problem with arrays and with what SciPy makes of them; the arrays hold float32 numbers, right for both types."""

    def __init__(self, problem: Problem, integers: bool, random: np.random.Generator):
        self.problem, self.integers = problem, integers

        def numbers(*shape):
            values = random.integers(-4, 5, shape) if integers else random.standard_normal(shape, np.float32)
            return values.astype(np.float32)

        if integers:            # smooth activations round
            plain = resolve_activation(None)
            self.problem = replace(problem, activation=plain if problem.activation == plain else resolve_activation("relu"))
        self.x, self.weight = numbers(*problem.input_shape), numbers(*problem.weight_shape)
        if problem.rank_one:    # products of few bits are exact
            column, row = numbers(problem.K, 1, problem.kernel[0], 1), numbers(problem.K, 1, 1, problem.kernel[1])
            self.weight = np.round(16 * column) * np.round(16 * row) / np.float32(256)
        self.bias = numbers(problem.K) if problem.bias else None
        self.residual = numbers(*problem.output_shape) if problem.residual else None
        self.more = ()          # offset and mask; whole quarters of a pixel leave integers exact
        if problem.operation == "deform_conv2d":
            mask = numbers(*problem.mask_shape) if problem.masked else None
            self.more = numbers(*problem.offset_shape) * np.float32(0.75), mask
        arrays = self.x, self.weight, self.bias, self.residual, *self.more
        oracle = oracle_of(problem.operation)
        self.expected = oracle.convolution(self.problem, *arrays)
        self.scale = np.maximum(oracle.magnitude(self.problem, *arrays), np.abs(self.expected))

    def run(self, row, isa: str, real: str, channels_last: bool, packed: bool, record: Record) -> None:
        problem = replace(self.problem, real=real, channels_last=channels_last, packed=packed)
        plan, alone = (make_plan(problem, row.name, isa, threads) for threads in (config.get_num_threads(), 1))
        dtype = COMPUTED[real]
        weight, bias = (None if a is None else a.astype(dtype) for a in (self.weight, self.bias))
        images = [None if a is None else a.astype(dtype) for a in (self.x, self.residual, *self.more)]
        if channels_last:
            images = [None if a is None else np.ascontiguousarray(np.moveaxis(a, 1, -1)) for a in images]
        x, residual, *more = images

        def compute(plan):
            return execute(plan, x, weight, bias, residual, None, dtype, True, plan.pack(weight) if packed else None, *more)

        y = compute(plan)
        if plan.threads > 1 and not np.array_equal(y, compute(alone), equal_nan=True):
            record.failures.append(f"{plan.threads} threads find other bits than one: {problem}")
        y = np.moveaxis(y, -1, 1) if channels_last else y
        record.cases += 1
        record.exact = row.error == 1
        if self.integers and row.error == 1:
            if not np.array_equal(y, self.expected):
                record.wrong += 1
                record.failures.append(f"{np.count_nonzero(y != self.expected)} of {y.size} integers are wrong: {problem}")
            return
        unit = np.finfo(dtype).eps / 2
        scale = reference.error_scale(self.problem, row.error, self.scale)
        units = np.abs(y - self.expected) / (unit * np.maximum(scale, np.finfo(np.float32).tiny))
        error = float(np.nan_to_num(units, nan=np.inf).max(initial=0.0))
        bound = (problem.sum_length + 8) * row.error
        if error / bound >= record.share:
            record.share, record.error, record.bound = error / bound, error, bound
        if not error <= bound:
            record.failures.append(f"error {error:.3g}, allowed {bound:g}: {problem}")


def run(arguments) -> int:
    console = make_console()
    operations = [operation for operation in TABLE if operation in OPERATIONS]
    count = QUICK if arguments.quick else FULL
    records: dict[tuple[str, str, str], Record] = {}
    random = np.random.default_rng([2, abs(arguments.seed)])

    def record(*key: str) -> Record:
        return records.setdefault(key, Record())

    with progress_bar(console, "problems", (len(operations) + 1) * count) as advance:
        for operation in operations:
            for number, problem in enumerate(problems(operation, count, arguments.seed)):
                for case in (Case(problem, False, random), Case(problem, True, random)):
                    verify(case, packed=bool(number % 2) != case.integers, records=records)
                advance()
        for number, pool in enumerate(verify_pooling.problems(count, arguments.seed)):
            verify_pooling.verify(pool, bool(number % 2), random, record)
            advance()
        verify_pooling.verify_unpool(random, record)
    with progress_bar(console, "operations", len(COVERED)) as advance:
        streams = verify_streams(arguments.quick, advance, arguments.seed)
    with progress_bar(console, "instruction sets", len(kernels.available())) as advance:
        streams |= verify_combined(arguments.quick, advance, arguments.seed)
    left_out = set(TABLE) - {*operations, *verify_pooling.OPERATIONS, *COVERED}
    return max(report(console, records, left_out), report_streams(console, streams))


def verify(case: Case, packed: bool, records: dict) -> None:
    """One case by all rows that take it."""
    for channels_last in (False, True):
        problem = replace(case.problem, channels_last=channels_last)
        for row in TABLE[problem.operation]:
            if not row.refuses(problem):
                for isa in kernels.available():
                    for real in kernels.REALS:
                        case.run(row, isa, real, channels_last, packed, records.setdefault((row.name, isa, real), Record()))


def report_streams(console, records: dict[tuple[str, str, str], StreamRecord]) -> int:
    table = make_table("Against definitions in float64", "<operation", "<set", "<type", "cases", "share of what is allowed")
    before = None
    for (name, isa, real), record in records.items():
        table.add_row("" if before == name else name, isa, COMPUTED[real].name, str(record.cases),
                      f"{'[red]' if record.share > 1 else ''}{100 * record.share:.0f} %")
        before = name
    console.print(table)
    failures = [(key, text) for key, record in records.items() for text in record.failures]
    for key, text in failures[:10]:
        console.print(f"[red]failed[/] {' '.join(key)}: {text}", soft_wrap=True)
    cases = sum(record.cases for record in records.values())
    console.print(f"[bold red]{len(failures)} of {cases} cases failed[/]" if failures else
                  f"[bold green]{cases} cases, all within rounding[/]")
    return 1 if failures else 0


def report(console, records: dict[tuple[str, str, str], Record], left_out: set[str]) -> int:
    table = make_table("Against SciPy in float64", "<algorithm", "<set", "<type", "cases", "exact", "worst error", "allowed",
                       "share of it")
    before = None
    names = list(dict.fromkeys([row.name for rows in TABLE.values() for row in rows] + [key[0] for key in records]))
    for (name, isa, real), record in sorted(records.items(), key=lambda item: names.index(item[0][0])):
        if before not in (None, name):
            table.add_section()
        table.add_row("" if before == name else name, isa, COMPUTED[real].name, str(record.cases),
                      "not meant" if not record.exact else f"[red]{record.wrong} wrong[/]" if record.wrong else "all",
                      f"{record.error:.2f}",
                      f"{record.bound:g}", f"{'[red]' if record.share > 1 else ''}{100 * record.share:.0f} %")
        before = name
    console.print(table)
    console.print("[dim]worst error: of the case nearest to what is allowed, in units of rounding, |y - SciPy| / (sum of "
                  "|products| x half the spacing of numbers at 1). exact: whether results for small integers are "
                  "SciPy's to the bit.[/]")
    failures = [(key, text) for key, record in records.items() for text in record.failures]
    for key, text in failures[:10]:
        console.print(f"[red]failed[/] {' '.join(key)}: {text}", soft_wrap=True)
    if left_out:
        console.print(f"Without problems here, not verified: {', '.join(sorted(left_out))}")
    cases = sum(record.cases for record in records.values())
    console.print(f"[bold red]{len(failures)} of {cases} cases failed[/]" if failures else
                  f"[bold green]{cases} cases, all within their bounds[/]")
    return 1 if failures else 0
