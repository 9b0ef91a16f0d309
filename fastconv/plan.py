"""Plan: how one problem is computed. Chooses a row of the table, counts the workspace, explains."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from math import prod
from threading import Lock

import numpy as np

from . import kernels, tuned
from .algorithms import PANELS, refusal
from .arrays import lined
from .blocks import BLOCKS, WORKSPACE, padded, winograd_blocks
from .costs import apart_cost, gathers, weights_cost, winograd_taps, winograd_tiles
from .fft_tiles import fft_blocks, fft_tiles, radices
from .kernels import lattice
from .machine import machine
from .problem import ACTIVATIONS, PADDING_MODES, Problem, arranged
from .row import Algorithm, Machine, ceil_div
from .transforms import fourier_constants, transforms

NUMPY_REAL = {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64)}
SERIAL_MACS = 1 << 17           # below twice 64 K multiply-adds a second thread costs more than it brings
MOST_PLANS = 4096
SHARED = 1 << 15                # numbers of a copy that are worth a second thread
MANY_WEIGHTS = 1 << 15          # numbers that are packed in the time of a call
FAR = 4                         # times L2
MOST_PARTS = 4                  # of a panel: micro/combine.pxd has room for


def exact_row(problem: Problem, one: Machine) -> str:
    """The quickest row that rounds as a plain sum."""
    rows = (row for row in PANELS[problem.operation] if row.error == 1 and not row.refuses(problem))
    return min(rows, key=lambda row: row.cost(problem, one)).name


def past_caches(p: Problem, m: Machine) -> bool:
    """Whether stores go past the caches: L3, or half of it where pixels are whole lines, does not hold the call.

    Never where L3 is far away: it is then so large that m.L3 is a share of it, and 268 MB took 1.3 times as long past it.
    """
    if m.far > 1:
        return False
    y = prod(p.output_shape) * p.itemsize
    return 2 * p.bytes > m.L3 if p.channels_last else 2 * y > m.L3 and y + prod(p.input_shape) * p.itemsize > m.L3


def far(p: Problem, m: Machine) -> bool:
    """Whether L2 holds too little of input and output for stores to find their lines there."""
    return p.bytes > FAR * m.L2


class Plan:
    """One problem, the row that computes it, and all that the kernel needs to know. Immutable and shared."""

    def __init__(self, problem: Problem, row: Algorithm, isa: str, threads: int):
        self.problem = problem
        self.row = row
        self.isa = isa
        self.file = row.kernel_last if problem.channels_last else row.kernel
        self.module = kernels.load(self.file, isa, problem.real)
        self.machine = machine(isa, problem.real)
        # Kernels whose sums make one output, or outputs side by side, are parts of one panel, whose width they divide.
        self.panel = self.machine.MR if self.file == "im2col_pixels" else self.machine.NR
        several = problem.shuffle and problem.shuffle.phases > 1 and not problem.channels_last
        beside = problem.shuffle.stride[-1] if several else 1
        self.parts = 2 if problem.gated else beside if beside <= MOST_PARTS and self.panel % beside == 0 else 1
        self.parts *= problem.combined
        self.threads = threads if problem.macs >= SERIAL_MACS else 1
        # Whether somebody must compute a call again when a sum was NaN or infinite.
        self.inexact = row.transforms
        self.watches = self.inexact or (problem.padded and problem.padding_mode == "zeros" and not row.strict)
        self.geometry = self.pack_geometry()
        self.kernel = self.module.run
        self.packs = self.module.packs
        # Who does; sums of transformed numbers may be odd without an infinite weight.
        self.again: Plan | Gating | Scaling | None = None
        if self.watches and not problem.shuffle:        # whose phases the caller computes one by one
            other = exact_row(problem, self.machine) if self.inexact else PANELS[problem.operation][-1].name
            plain = replace(problem, packed=False)
            apart = Gating if problem.gated else Scaling if problem.scales else make_plan
            self.again = apart(plain, other, isa, threads)
        # Whether a call packs all weights before it runs, rather than each task those that it needs, or none.
        self.pack_first = (self.packs and not problem.packed
                           and (problem.combined or row.fourier or row.halves or self.shares_weights()))
        if self.pack_first:                 # then the kernel sees packed weights and needs no room to pack them
            self.geometry = self.pack_geometry(packed=1)

    def pack_geometry(self, by_image: bool = False, **changes: int) -> bytes:
        """The kernel's Geometry; its field names are those of src/micro/geometry.pxd. `by_image`: a task is part of one."""
        p, m = self.problem if by_image else self.laid_out(), self.machine
        fields = dict.fromkeys(("in_place", "row_runs", "bands", "segments", "tiles_first", "alpha_h", "alpha_w",
                                "offset_groups", "tile_h", "tile_w", "tile_lanes", "workspace", "shared",
                                "x_n", "x_c", "x_d", "x_h", "x_w", "up_d", "up_h", "up_w", "cut_d", "cut_h", "cut_w",
                                "full_d", "full_h", "full_w"), 0)
        fields |= dict.fromkeys(("chunk", "panels", "pixel_block", "channel_block", "tile_rows"), 1)    # they are divided by
        fields |= {"N": p.N, "G": p.G, "C": p.C // p.G, "K": p.K // p.G}
        fields |= zip("DHW", p.in_three_axes(p.size, 1))
        fields |= zip("TRS", p.in_three_axes(p.kernel, 1))
        fields |= zip("OPQ", p.in_three_axes(p.output_size, 1))
        fields |= zip(("stride_d", "stride_h", "stride_w"), p.in_three_axes(p.stride, 1))
        fields |= zip(("dilation_d", "dilation_h", "dilation_w"), p.in_three_axes(p.dilation, 1))
        fields |= zip(("pad_d", "pad_h", "pad_w"), p.in_three_axes([before for before, _ in p.padding], 0))
        fields |= {"padding_mode": PADDING_MODES.index(p.padding_mode), "channels_last": int(p.channels_last),
                   "y_channels": p.output_channels // p.G, "watch": int(self.watches),
                   "past_caches": int(past_caches(p, m)), "far": int(far(p, m)),
                   "activation": ACTIVATIONS.index(p.activation[0]), "low": p.activation[1], "high": p.activation[2],
                   "packed": int(p.packed and self.module.packs),
                   "in_place": int(self.row.name == "pointwise" and not gathers(p, m))}
        pixels = prod(p.shuffle.size) if p.shuffle else p.pixels
        fields |= {"y_n": p.output_channels * pixels, "y_k": 1 if p.channels_last else pixels,
                   "y_q": p.output_channels if p.channels_last else 1}
        fields |= {"gated": int(p.gated), "scales": p.scales, "parts": self.parts}
        if p.shuffle:
            fields |= zip(("up_d", "up_h", "up_w"), p.in_three_axes(p.shuffle.stride, 1))
            fields |= zip(("cut_d", "cut_h", "cut_w"), p.in_three_axes(p.shuffle.cut, 0))
            fields |= zip(("full_d", "full_h", "full_w"), p.in_three_axes(p.shuffle.size, 1))
        constants = b""
        if self.row.alpha:
            fields |= winograd_blocks(p, m, self.threads, self.row.alpha)
            r = winograd_taps(p)
            constants = b"".join(matrix.tobytes() for matrix in transforms(self.row.alpha - r + 1, r))
        elif self.row.fourier:
            fields |= fft_blocks(p, m, self.threads)
            constants = fourier_constants(*(radices(n) for n in fft_tiles(p, m).length))
        elif self.file in BLOCKS and prod(p.output_shape):
            fields |= BLOCKS[self.file](p, m, self.threads)
        fields |= changes
        self.workspace = self.fit_workspace(fields)
        self.shared = self.module.shared_bytes(self.module.geometry(fields))
        self.blocks = {name: fields[name] for name in ("chunk", "pixel_block", "channel_block")}
        return self.module.geometry(fields | {"workspace": self.workspace, "shared": self.shared}) + constants

    def laid_out(self) -> Problem:
        """The problem as its kernel sees it: a batch whose pixels or tiles may share blocks is one volume."""
        return self.problem.as_volume() if self.row.name == "pointwise" or self.row.alpha else self.problem

    def shares_weights(self) -> bool:
        """Whether weights that are not packed are better packed once for all tasks than by each that needs them, or read
        where they lie (im2col_pixels)."""
        few = 1 if self.problem.K * self.problem.sum_length > MANY_WEIGHTS else 2
        return not self.workspace or self.workspace > WORKSPACE or self.tasks_of_pixels() > few

    def tasks_of_pixels(self) -> int:
        """Tasks of a call that use the same weights."""
        problem = self.laid_out()
        pixels = winograd_tiles(problem, self.row.alpha)[2] if self.row.alpha else problem.pixels
        return problem.N * ceil_div(pixels, self.blocks["pixel_block"])

    def fit_workspace(self, fields: dict[str, int]) -> int:
        """Bytes of workspace for each thread; halves the blocks in `fields` until they are within WORKSPACE."""
        while True:
            size = self.module.workspace_bytes(self.module.geometry(fields))
            if size <= WORKSPACE or fields["pixel_block"] == fields["channel_block"] == 1:
                return size
            for name, unit in (("pixel_block", 1), ("channel_block", self.machine.MR * self.machine.NR)):
                if fields[name] > unit:
                    fields[name] = padded(ceil_div(fields[name], 2), unit)
                    break
            else:
                return size

    def pack(self, weight: np.ndarray) -> np.ndarray:
        """The weights in the order in which this plan's kernel reads them; themselves if it reads them as they are."""
        if not self.packs or not weight.size:
            return weight
        if self.parts > 1:
            weight = weight.reshape(self.problem.G, -1, *weight.shape[1:])[:, self.kernel_order()].reshape(weight.shape)
        packed = lined((self.module.packed_size(self.geometry),), weight.dtype)
        self.module.pack(self.geometry, weight, packed, self.threads)
        return packed

    def kernel_order(self) -> np.ndarray:
        """The kernels of one group in the order in which panels hold them: some of each part, micro/combine.pxd."""
        channels, step = self.problem.output_channels // self.problem.G, self.panel // self.parts
        kernels = np.arange(self.problem.K // self.problem.G).reshape(-1, self.parts, channels).swapaxes(0, 1)
        kernels = kernels.reshape(self.parts, -1)
        return np.concatenate([kernels[:, first:first + step].ravel() for first in range(0, kernels.shape[1], step)])

    def run(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, residual: np.ndarray | None, y: np.ndarray,
            packed: np.ndarray | None = None, *more: np.ndarray | None) -> bool:
        """Compute y. `packed` is what `pack` made of `weight`; it must be given if the problem says so.

        `more` are the further inputs of an operation that has some. Returns whether y is wrong: with sums that are combined
        and an infinity among the inputs or weights.
        """
        if packed is None:
            packed = self.pack(weight) if self.pack_first else weight
        odd = self.kernel(self.geometry, x, packed, bias, residual, y, self.threads, *more)
        if odd and self.watches and (self.inexact or not np.isfinite(weight).all()):
            return self.again is None or self.again.run(x, weight, bias, residual, y)
        return False

    def refusals(self) -> dict[str, str]:
        """Why each other row does not compute this problem."""
        reasons = {}
        mine = self.row.cost(self.problem, self.machine)
        for row in PANELS[self.problem.operation]:
            if row.name != self.row.name:
                reason = refusal(row, self.problem)
                cost = 0 if reason else row.cost(self.problem, self.machine)
                slower = f"predicted to take {cost / mine:.2f} times as long" if mine else "there is nothing to compute"
                reasons[row.name] = reason or slower
        return reasons


class Gating:
    """A gated convolution without a row that combines sums: as two, features and gates, and their product."""

    parts = 0                   # of a panel

    def __init__(self, problem: Problem, algorithm: str, isa: str, threads: int):
        features = replace(problem, K=problem.K // 2, gated=False)
        self.problem = problem
        self.features = make_plan(features, algorithm, isa, threads)
        self.gates = make_plan(replace(features, activation=("sigmoid", 0.0, 0.0)), algorithm, isa, threads)
        self.row, self.file, self.isa, self.threads = self.features.row, self.features.file, isa, threads

    def kernels(self, weight: np.ndarray) -> list[np.ndarray]:
        """Those of the features and those of the gates, which follow one another in each group."""
        pairs = weight.reshape(self.problem.G, 2, -1, *weight.shape[1:])
        return [np.ascontiguousarray(pairs[:, i]).reshape(-1, *weight.shape[1:]) for i in (0, 1)]

    def pack(self, weight: np.ndarray) -> list[np.ndarray]:
        return [plan.pack(part) for plan, part in zip((self.features, self.gates), self.kernels(weight))]

    def run(self, x, weight, bias, residual, y, packed=None) -> bool:
        """As `Plan.run`."""
        packed = packed or (None, None)
        features, gates = self.kernels(weight)
        half, passed = len(features), np.empty_like(y)
        self.features.run(x, features, None if bias is None else bias[:half], None, y, packed[0])
        self.gates.run(x, gates, None if bias is None else bias[half:], None, passed, packed[1])
        with np.errstate(all="ignore"):         # infinities have been asked for
            np.multiply(y, passed, out=y)
        return False

    def cost(self) -> float:
        """Predicted seconds."""
        machine, plans = self.features.machine, (self.features, self.gates)
        return apart_cost(self.problem, [plan.row.cost(plan.problem, machine) for plan in plans], machine)


class Scaling:
    """A convolution whose sums are scaled, without a row that combines them: as one that scales nothing, and NumPy."""

    parts = 0

    def __init__(self, problem: Problem, algorithm: str, isa: str, threads: int):
        self.problem = problem
        plain = replace(problem, scales=0, bias=False, activation=("none", 0.0, 0.0))
        self.sums = make_plan(plain, algorithm, isa, threads)
        self.row, self.file, self.isa, self.threads = self.sums.row, self.sums.file, isa, threads

    def pack(self, weight: np.ndarray) -> np.ndarray:
        return self.sums.pack(weight)

    def run(self, x, weight, bias, scales, y, packed=None) -> bool:
        """As `Plan.run`."""
        p, channels = self.problem, -1 if self.problem.channels_last else 1
        self.sums.run(x, weight, None, None, y, packed)
        scales = np.repeat(scales, p.K // p.scales, channels)
        with np.errstate(all="ignore"):         # infinities have been asked for
            y *= scales
        if bias is not None:
            y += np.where(scales > 0, bias if p.channels_last else bias.reshape(-1, *(1,) * len(p.size)), y.dtype.type(0))
        if p.activation[0] != "none":           # by a convolution that does nothing else
            ones, axes = np.ones((p.K, 1, *(1,) * len(p.size)), y.dtype), (1,) * len(p.size)
            one = Problem(p.operation, p.real, p.N, p.K, p.K, p.K, p.output_size, axes, axes, axes, ((0, 0),) * len(axes),
                          channels_last=p.channels_last, activation=p.activation)
            make_plan(one, isa=self.isa, threads=self.sums.threads).run(y.copy(), ones, None, None, y)
        return False

    def cost(self) -> float:
        """Predicted seconds."""
        machine = self.sums.machine
        return apart_cost(self.problem, [self.sums.row.cost(self.sums.problem, machine)], machine)


def apply_mask(x: np.ndarray, mask: np.ndarray, problem: Problem, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """x where the mask lets it pass, else zeros; and the mask, summed over the channels of a group if it has several."""
    one = mask.shape[-1 if problem.channels_last else 1] == 1 < problem.C
    valid = lined(x.shape, x.dtype)
    sums = np.empty(0 if one else arranged(problem.N, problem.G, problem.size, problem.channels_last), x.dtype)
    masking("masking", problem, (x, mask), (valid, sums), threads, N=problem.N, C=problem.C, G=problem.G,
            pixels=prod(problem.size), single=one, channels_last=problem.channels_last)
    return valid, mask if one else sums


def cover(sums: np.ndarray, whole: int, valid: np.ndarray, problem: Problem, threads: int) -> np.ndarray:
    """`whole` by each sum, 0 where that is not positive; `valid` becomes 1 and 0."""
    scales = np.empty_like(sums)
    masking("coverage", problem, (sums,), (scales, valid), threads, pixels=sums.size, whole=whole)
    return scales


def masking(name: str, problem: Problem, inputs: tuple, outputs: tuple, threads: int, **fields: int) -> None:
    """Run one of the kernels of masks."""
    kernel, threads = kernels.load(name, kernels.isa, problem.real), threads if inputs[0].size >= SHARED else 1
    fields = dict.fromkeys(("N", "C", "G", "pixels", "channels_last", "single", "whole"), 0) | fields
    kernel.stream(kernel.geometry(fields | {"parts": 4 * threads}), inputs, outputs, threads)


def place(part: np.ndarray, target: np.ndarray, threads: int) -> None:
    """target[...] = part, on all threads: the outputs of one phase into those of all."""
    lattice.place(part, target, threads)


makers: dict[str, Callable] = {}        # row -> what makes its plans, where that is a module above this one
_plans: OrderedDict[tuple, Plan] = OrderedDict()
forgetting: list[Callable[[], None]] = [_plans.clear]       # what who remembers plans does when others may be chosen
_lock = Lock()


def check_algorithm(algorithm) -> None:
    if not isinstance(algorithm, str):
        raise TypeError(f"algorithm must be the name of a row, not {type(algorithm).__name__}: {algorithm!r}")


def make_plan(problem: Problem, algorithm: str = "auto", isa: str | None = None, threads: int = 1) -> Plan:
    """The plan for a problem, from the cache if it was made before.

    Raises
    ------
    ValueError
        If `algorithm` is not "auto" and names no row, or a row that refuses the problem.
    """
    check_algorithm(algorithm)
    key = problem, algorithm, isa or kernels.isa, threads
    plan = _plans.get(key)
    if plan is None:
        plan = (combined_plan if problem.gated or problem.scales else plain_plan)(problem, algorithm, key[2], threads)
        with _lock:
            _plans[key] = plan
            if len(_plans) > MOST_PLANS:
                _plans.popitem(last=False)
    return plan


def exact_plan(problem: Problem, threads: int) -> Plan:
    """A plan that is exact on integers."""
    return make_plan(problem, exact_row(problem, machine(kernels.isa, problem.real)), threads=threads)


def plain_plan(problem: Problem, algorithm: str, isa: str, threads: int) -> Plan:
    return plan_by(choose(problem, algorithm, isa, threads), problem, isa, threads)


def plan_by(row: Algorithm, problem: Problem, isa: str, threads: int) -> Plan:
    """The plan of one row."""
    return makers.get(row.name, Plan)(problem, row, isa, threads)


def combined_plan(problem: Problem, algorithm: str, isa: str, threads: int) -> Plan | Gating | Scaling:
    """At once where a row can and that is predicted to be quicker, else apart."""
    apart = Gating if problem.gated else Scaling
    if not any(algorithm in ("auto", row.name) and not refusal(row, problem) for row in PANELS[problem.operation]):
        return apart(problem, algorithm, isa, threads)
    plan = plain_plan(problem, algorithm, isa, threads)
    if algorithm == "auto":
        parts = apart(problem, algorithm, isa, threads)
        if parts.cost() < plan.row.cost(problem, plan.machine):
            return parts
    return plan


def plan_together(problem: Problem, merged: Problem, apart: list[Plan], algorithm: str, threads: int) -> Plan | None:
    """A plan that computes the phases of a transposed convolution at once, if one is predicted to be the quickest."""
    if not any(algorithm in ("auto", row.name) and not refusal(row, merged) for row in PANELS[merged.operation]):
        return None
    plan = make_plan(merged, algorithm, threads=threads)
    costs = [one.row.cost(one.problem, one.machine) for one in apart]
    again = 0.0 if merged.packed else (len(apart) - 1) * weights_cost(merged, plan.machine)   # each phase reads all lines
    return plan if plan.row.cost(merged, plan.machine) <= apart_cost(problem, costs, plan.machine) + again else None


def forget_plans() -> None:
    """Let every plan be made anew: another row may be chosen."""
    for forget in forgetting:
        forget()


def predictions(problem: Problem, isa: str | None = None) -> dict[Algorithm, float]:
    """Seconds of each row that computes a problem."""
    one = machine(isa or kernels.isa, problem.real)
    return {row: row.cost(problem, one) for row in PANELS[problem.operation] if not refusal(row, problem)}


def choose(problem: Problem, algorithm: str, isa: str, threads: int) -> Algorithm:
    """The row that was measured or else is predicted to be the quickest, or the row that is asked for."""
    rows = PANELS[problem.operation]
    if algorithm == "auto":
        best, costs = tuned.best_row(problem, isa, threads), predictions(problem, isa)
        if not costs:
            raise ValueError(f"no algorithm computes this {problem.operation} at once: "
                             + ", ".join(f"{row.name}: {refusal(row, problem)}" for row in rows))
        return min(costs, key=lambda row: 0 if row.name == best else costs[row])
    for row in rows:
        if row.name == algorithm:
            reason = refusal(row, problem)
            if reason:
                raise ValueError(f"algorithm={algorithm!r} cannot compute this {problem.operation}: {reason} "
                                 f"(input {problem.input_shape}, weight {problem.weight_shape})")
            return row
    raise ValueError(f"algorithm={algorithm!r} is none of auto, {', '.join(row.name for row in rows)}")
