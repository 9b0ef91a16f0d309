"""Kernels of rank one: found among weights, and convolved along columns, then along rows."""
from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import lru_cache

import numpy as np

from .arrays import lined, with_rows
from .chain import chain_of
from .depthwise_costs import turns_rows
from .machine import machine
from .plan import Plan, exact_row, forgetting, make_plan, makers, predictions
from .problem import Problem
from .row import Algorithm

LOOK, LOOK_WEIGHT = 15e-6, 2e-9     # seconds of a look at weights, and at one of them
FEWEST_TAPS = 5                 # of an axis, from which on two passes may pay
WORTH = 4                       # times the look that they must save, since most kernels are not of rank one


def factors(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Columns (K, 1, R, 1) and rows (K, 1, 1, S) whose products are the kernels (K, 1, R, S), if there are some.

    Every product is within R + S half units in the last place of its weight. Sums of R and of S numbers round as often, so
    that the error of both passes is at most gamma(2 (R + S)) sum |w| |x|: less than twice the bound of a plain sum, since
    R + S <= R S + 1.
    """
    kernels = weight[:, 0]
    K, R, S = kernels.shape
    if K > 1 and factors(weight[:1]) is None:       # as most are not
        return None
    size = np.abs(kernels)
    i, j = np.divmod(size.reshape(K, R * S).argmax(1), S)
    each = np.arange(K)
    column, row = kernels[each, :, j], kernels[each, i]
    with np.errstate(all="ignore"):                 # kernels of zeros, of infinities
        row = row / np.where(column[each, i], column[each, i], 1)[:, None]
        error = column[:, :, None] * row[:, None]
        error -= kernels
        size *= (R + S - 1) * weight.dtype.type(np.finfo(weight.dtype).eps / 2)     # the product was rounded, too
        if not (np.abs(error, out=error) <= size).all():
            return None
    return np.ascontiguousarray(column)[:, None, :, None], np.ascontiguousarray(row)[:, None, None, :]


def may_be_rank_one(problem: Problem, algorithm: str) -> bool:
    """Whether a look at the weights of a call may pay, or is asked for."""
    if len(problem.kernel) != 2 or problem.C != problem.G:
        return False
    return algorithm == "rank_one" or (algorithm == "auto" and min(problem.kernel) >= FEWEST_TAPS and problem.pixels > 0
                                       and (problem.packed or pays(replace(problem, N=1))))


@lru_cache(1024)
def pays(problem: Problem) -> bool:
    """Whether two passes are predicted to save several times the look at the weights."""
    seconds = {row.name: cost for row, cost in predictions(replace(problem, rank_one=True)).items()}
    mine = seconds.pop("rank_one", None)
    return mine is not None and mine + WORTH * (LOOK + LOOK_WEIGHT * problem.K * problem.taps) < min(seconds.values())


forgetting.append(pays.cache_clear)


class RankOne:
    """The plan of a convolution by two passes, strip by strip where a chain of both can."""

    parts = 0                   # of a panel
    shared = 0
    refusals = Plan.refusals

    def __init__(self, problem: Problem, row: Algorithm, isa: str, threads: int):
        self.problem, self.row, self.isa, self.threads = problem, row, isa, threads
        self.machine = machine(isa, problem.real)
        self.first, self.second = (watched(one, isa, threads) for one in problem.passes)
        self.chain = chain_of(self.first, self.second)
        self.file = " and ".join(dict.fromkeys((self.first.file, self.second.file)))
        self.workspace = self.chain.workspace if self.chain else max(self.first.workspace, self.second.workspace)
        self.blocks = self.chain.blocks if self.chain else {}
        plain = replace(problem, packed=False, rank_one=False)
        self.again = make_plan(plain, exact_row(plain, self.machine), isa, threads)

    def pack(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The columns and the rows as the kernels of both passes read them. Weights of other rank give something else."""
        return tuple(plan.pack(part) for plan, part in zip((self.first, self.second), factors(weight) or split(weight)))

    def run(self, x, weight, bias, residual, y, packed=None) -> bool:
        """As `Plan.run`; again, by another row, where a sum was NaN or infinite: it may be so between the passes alone."""
        column, row = packed or self.pack(weight)
        images = x, residual, y
        if self.problem.channels_last and not self.first.problem.channels_last:
            images = with_rows(np.moveaxis(x, 3, 1), y.dtype), residual, y.reshape(self.second.problem.output_shape)
        if self.chain is not None:
            odd = self.chain.run(images[0], column, row, bias, images[1], images[2])
        else:
            between = lined(self.first.problem.output_shape, y.dtype)
            odd = self.first.kernel(self.first.geometry, images[0], column, None, None, between, self.first.threads)
            odd |= self.second.kernel(self.second.geometry, between, row, bias, images[1], images[2], self.second.threads)
        return odd and self.again.run(x, weight, bias, residual, y)


def watched(problem: Problem, isa: str, threads: int) -> Plan:
    """The plan of one pass, by a row that a chain takes; it reports odd sums, and its weights are packed."""
    plan = copy(make_plan(problem, "turned" if turns_rows(problem) else "depthwise", isa, threads))
    plan.watches = True
    plan.geometry = plan.pack_geometry(packed=int(plan.packs))
    return plan


def split(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A column and a row of each kernel."""
    return np.ascontiguousarray(weight[:, :, :, :1]), np.ascontiguousarray(weight[:, :, :1])


makers["rank_one"] = RankOne
