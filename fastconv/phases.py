"""Phases: the kernels of a transposed convolution's phases as panels of a plan."""
from __future__ import annotations

from copy import copy
from math import prod

import numpy as np

from . import kernels
from .arrays import lined
from .blocks import padded
from .plan import Plan
from .row import ceil_div
from .transposed_problem import AxisPhase, TransposedProblem

BY_ROWS, BY_COLUMNS = ("im2col_pixels", "staged"), ("im2col_channels", "winograd")      # files whose kernels read panels
TASKS = 8                       # of packing, at least, if there are channels to share
SHARED = 1 << 15                # numbers that are worth a second thread


class PhasePlan:
    """A plan of one phase, or of all, that takes the weights (C, K / G, *kernel) of the transposed convolution."""

    def __init__(self, plan: Plan, problem: TransposedProblem, phase: tuple[AxisPhase, ...] | None):
        p, m, taps, lacking = problem, plan.machine, plan.problem.kernel, (1, 1, 1, 0, 1)
        phases, steps = ((1,) * len(taps), [axis.step for axis in phase]) if phase else (p.stride, p.stride)
        first = [axis.taps[-1] for axis in phase] if phase else (0,) * len(taps)
        G, C, K = p.G, p.C // p.G, p.K // p.G
        self.width, taps_first = (m.MR, False) if plan.file in BY_ROWS else (m.NR, True)
        numbers = [G, C, K]
        for values, missing in zip((p.kernel, taps, phases, first, steps), lacking):
            numbers += p.in_three_axes(values, missing)
        numbers += self.width, plan.parts or 1, taps_first, min(C, ceil_div(TASKS, max(1, G * ceil_div(K, self.width))))
        self.kernel = kernels.load("phase_panels", plan.isa, p.real)
        self.numbers = self.kernel.geometry({"numbers": np.array(numbers, np.int64).tobytes()})
        self.threads = plan.threads if p.C * K * prod(p.kernel) >= SHARED else 1
        total = K * prod(phases)
        self.full = total % self.width == 0
        self.size = G * padded(total, self.width) * C * prod(taps)
        # Winograd's algorithm transforms them further: as all plans do, once for a layer or a call, or in every task.
        self.plan = copy(plan)
        self.plan.pack_first = self.beforehand = False
        if plan.row.alpha:
            self.plan.geometry = self.plan.pack_geometry(packed=0, in_place=1)
            self.beforehand = plan.problem.packed or self.plan.shares_weights()
        if self.beforehand or not plan.row.alpha:
            self.plan.geometry = self.plan.pack_geometry(packed=1, **({"in_place": 1} if plan.row.alpha else {}))

    def pack(self, weight: np.ndarray) -> np.ndarray:
        """The weights as the kernel reads them."""
        panels = (np.empty if self.full else np.zeros)(self.size, weight.dtype)
        self.kernel.stream(self.numbers, (weight,), (panels,), self.threads)
        if not self.beforehand:
            return panels
        packed = lined((self.plan.module.packed_size(self.plan.geometry),), weight.dtype)
        self.plan.module.pack(self.plan.geometry, panels, packed, self.plan.threads)
        return packed

    def run(self, x, weight, packed, bias, residual, y) -> bool:
        """Compute y with what `pack` made of `weight`; whether it is wrong, since an infinity met a zero of ours."""
        plan = self.plan
        odd = plan.kernel(plan.geometry, x, packed, bias, residual, y, plan.threads)
        return bool(odd) and plan.watches and (plan.inexact or not np.isfinite(weight).all())


def phase_plan(plan: Plan, problem: TransposedProblem, phase: tuple[AxisPhase, ...] | None) -> PhasePlan | None:
    return PhasePlan(plan, problem, phase) if plan.file in BY_ROWS + BY_COLUMNS else None
