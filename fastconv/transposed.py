"""Transposed convolutions as functions of arrays: the phases of the stride are plain convolutions of the input."""
from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from . import config
from .arrays import COMPUTED, REALS, as_array, begin_result, common_type, contiguous, end_result, with_rows
from .phases import PhasePlan, phase_plan
from .plan import Plan, check_algorithm, forgetting, make_plan, place, plan_together
from .problem import Problem, Shuffle, arranged, convolution_problem
from .recall import key_of, recall, remember
from .transposed_problem import AxisPhase, TransposedProblem, merge, transposed_problem
from .validation import check_transposed

PLAIN_SUMS = "im2col"           # the row that computes a call again in which an infinity met a zero of ours


class Step(NamedTuple):
    """One convolution: a phase and its place among the outputs, or all phases at once."""

    plan: Plan
    crop: list[tuple[int, int]]             # what it reads of each axis of the input
    phase: tuple[AxisPhase, ...] | None     # None: all
    panels: PhasePlan | None = None         # None: the plan takes kernels (K, C / G, *taps)


def phase_weight(problem: TransposedProblem, weight: np.ndarray, taps: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """The kernel (K, C / G, *taps) of the plain convolution of one phase."""
    C, K = problem.C // problem.G, problem.K // problem.G
    taken = weight[(slice(None), slice(None), *np.ix_(*taps))]
    taken = taken.reshape(problem.G, C, K, *taken.shape[2:]).swapaxes(1, 2)
    return np.ascontiguousarray(taken.reshape(problem.K, C, *taken.shape[3:]))


@lru_cache(1024)
def steps_of(problem: TransposedProblem, algorithm: str, threads: int) -> list[Step]:
    """All phases at once where a row can and that is predicted to be quicker, else one by one."""
    phases, merged = phases_of(problem, algorithm, threads), merge(problem)
    plan = merged and plan_together(problem, merged.problem, [step.plan for step in phases], algorithm, threads)
    steps = [Step(plan, merged.crop, None)] if plan else [straight(problem, step, threads) for step in phases]
    return [step._replace(panels=phase_plan(step.plan, problem, step.phase)) for step in steps]


def phases_of(problem: TransposedProblem, algorithm: str, threads: int) -> list[Step]:
    return [Step(make_plan(phase_problem(problem, phase), algorithm, threads=threads), [axis.crop for axis in phase], phase)
            for phase in problem.phases]


def straight(problem: TransposedProblem, step: Step, threads: int) -> Step:
    """The step, but its outputs are written into place, if its row can and they are whole pixels that lie apart."""
    dilated = any(axis.dilation > 1 for axis in step.phase)
    if not problem.channels_last or prod(problem.stride) == 1 or dilated or not step.plan.row.combines:
        return step
    shuffle = Shuffle(problem.stride, tuple(-axis.first for axis in step.phase), problem.output_size, 1)
    plan = make_plan(replace(step.plan.problem, shuffle=shuffle), step.plan.row.name, threads=threads)
    return step._replace(plan=plan)


forgetting.append(steps_of.cache_clear)


def phase_problem(problem: TransposedProblem, phase: tuple[AxisPhase, ...]) -> Problem:
    size = [stop - start for start, stop in (axis.crop for axis in phase)]
    plain = convolution_problem(
        problem.plain, arranged(problem.N, problem.C, size, problem.channels_last),
        (problem.K, problem.C // problem.G, *(len(axis.taps) for axis in phase)), problem.real, 1,
        [axis.padding for axis in phase], tuple(axis.dilation for axis in phase), problem.G,
        channels_last=problem.channels_last, bias=problem.bias, residual=problem.residual, packed=problem.packed)
    return replace(plain, activation=problem.activation, turns=len(problem.phases))


def fill_holes(problem: TransposedProblem, bias, residual, y: np.ndarray) -> None:
    """y as far as it is bias, residual and activation: the finish of sums that are zero."""
    zeros = np.zeros(arranged(problem.N, 1, problem.output_size, problem.channels_last), y.dtype)
    weight = np.zeros((problem.K, 1, *(1,) * len(problem.size)), y.dtype)
    plain = convolution_problem(problem.plain, zeros.shape, weight.shape, problem.real, channels_last=problem.channels_last,
                                bias=bias is not None, residual=residual is not None)
    plain = replace(plain, activation=problem.activation)
    make_plan(plain, threads=config.get_num_threads()).run(zeros, weight, bias, residual, y)


def run_steps(problem: TransposedProblem, steps: list[Step], x, weight, bias, residual, y, kept=None) -> None:
    """Compute y, step by step. `kept` holds the packed kernels of steps from call to call of a layer."""
    before = (slice(None),) * (1 if problem.channels_last else 2)
    if not steps or (steps[0].phase is not None and problem.holes):
        fill_holes(problem, bias, residual, y)
    for plan, crop, phase, panels in steps:
        part = x if crop == problem.whole else with_rows(x[(*before, *(slice(*axis) for axis in crop))], x.dtype)
        target, sites = y, None
        if plan.problem.shuffle is None and prod(problem.stride) > 1:
            sites = (*before, *(slice(axis.first, None, s) for axis, s in zip(phase, problem.stride)))
            target = np.empty(plan.problem.output_shape, y.dtype)
        rest = residual if residual is None or sites is None else np.ascontiguousarray(residual[sites])
        packed = kernels_of(problem, plan, phase, panels, weight, kept)
        if panels is None:
            plan.run(part, packed[0], bias, rest, target, packed[1])
        elif panels.run(part, weight, packed, bias, rest, target):
            plain = phases_of(replace(problem, packed=False), PLAIN_SUMS, plan.threads)
            return run_steps(problem, plain, x, weight, bias, residual, y)
        if sites is not None:
            place(target, y[sites], config.get_num_threads())


def kernels_of(problem: TransposedProblem, plan: Plan, phase, panels: PhasePlan | None, weight, kept):
    """Packed kernels of a step; without panels, those of the phase and what the plan makes of them."""
    key = phase and tuple(axis.taps for axis in phase), plan.row.name, plan.file, plan.isa
    if kept is not None and key in kept:
        return kept[key]
    if panels is not None:
        packed = panels.pack(weight)
    else:
        kernels = phase_weight(problem, weight, key[0])
        packed = kernels, None if kept is None else plan.pack(kernels)
    if kept is not None:
        kept[key] = packed
    return packed


def conv_transpose(operation, input, weight, bias, stride, padding, output_padding, groups, dilation, output_size,
                   channels_last, activation, residual, algorithm, out, kept=None):
    """conv_transpose1d, 2d and 3d, whose signatures say what each argument means."""
    key, arrays = None, (input, weight, bias, residual)
    if kept is None:
        key = key_of(operation, arrays, (stride, padding, output_padding, groups, dilation, output_size, channels_last,
                                         activation, algorithm))
        y = recall(key, arrays, out)
        if y is not None:
            return y
    x, w = as_array(input, "input"), as_array(weight, "weight")
    b = None if bias is None else as_array(bias, "bias")
    r = None if residual is None else as_array(residual, "residual")
    dtype = common_type(input=x, weight=w, bias=b, residual=r)
    batched = x.ndim != int(operation[-2]) + 1
    problem = transposed_problem(operation, x.shape if batched else (1, *x.shape), w.shape, REALS[dtype.name], stride,
                                 padding, output_padding, groups, dilation, output_size, channels_last, activation,
                                 b is not None, r is not None, kept is not None)
    check_algorithm(algorithm)
    steps = steps_of(problem, algorithm, config.get_num_threads())
    real, shape = COMPUTED[problem.real], problem.output_shape if batched else problem.output_shape[1:]
    y = begin_result(shape, problem.K, real, dtype, b, r, out, x, w)
    if y.size:
        x, w = with_rows(x, real), contiguous(w, real)
        b = None if b is None else contiguous(b, real)
        r = None if r is None else contiguous(r, real)
        whole = y
        if not batched:
            x, r, whole = x[None], None if r is None else r[None], y[None]
        run_steps(problem, steps, x, w, b, r, whole, kept)
        if config.validating:
            check_transposed(problem, x, w, b, r, problem.activation, whole,
                             max((step.plan.row.error for step in steps), default=1))
    if batched and dtype == real:
        remember(key, lambda arrays, results: run_steps(problem, steps, *arrays, *results), y)
    return end_result(y, out, dtype)


def conv_transpose1d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, *,
                     output_size=None, channels_last=False, activation=None, residual=None, algorithm="auto", out=None):
    """One-dimensional transposed convolution; parameters are those of `conv_transpose2d` with one spatial axis.

    Raises
    ------
    TypeError, ValueError
        As `conv_transpose2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.conv_transpose1d(np.array([[[1., 2.]]]), np.array([[[1., 1., 1.]]]), stride=2)
    array([[[1., 1., 3., 2., 2.]]])
    """
    return conv_transpose("conv_transpose1d", input, weight, bias, stride, padding, output_padding, groups, dilation,
                          output_size, channels_last, activation, residual, algorithm, out)


def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, *,
                     output_size=None, channels_last=False, activation=None, residual=None, algorithm="auto", out=None):
    """Two-dimensional transposed convolution: the adjoint of `conv2d` as a linear map, also called deconvolution.

    ``y[n, k, p, q] = activation(bias[k] + residual[n, k, p, q] + sum of weight[c, k, r, s] * x[n, c, i, j] over all
    c of the group and r, s with p = i * stride - padding + r * dilation, q = j * stride - padding + s * dilation)``

    Names, order and defaults are those of ``torch.nn.functional.conv_transpose2d``; what it lacks is keyword-only.

    Parameters
    ----------
    input : array, (N, C, H, W) or (C, H, W)
        float32, float64, float16 or bfloat16; channels in the last axis with `channels_last`.
    weight : array, (C, K // groups, R, S)
        Of the same type.
    bias : array, (K,), optional
    stride, dilation : int or (int, int)
        At least 1. With a stride larger than the kernel the pixels between are bias (and residual) alone.
    padding : int, one int or one (before, after) pair per axis
        Pixels cut off the full result, as those that the convolution which this one undoes has added.
    output_padding : int or (int, int)
        Further pixels after the result, fewer than the larger of stride and dilation.
    groups : int
        Divides C and K.
    output_size : int or (int, int), optional
        Spatial size of the output, instead of `output_padding`.
    channels_last, activation, residual, out
        As in `conv2d`.
    algorithm : str
        A row of ``fastconv.list_algorithms("conv_transpose2d")`` that computes every phase, or "auto".

    Returns
    -------
    array, (N, K, P, Q) or (K, P, Q)
        ``P = (H - 1) * stride - padding + dilation * (R - 1) + output_padding + 1``, in the type of the input.

    Raises
    ------
    TypeError
        Types that are not computed or not the same, parameters that are not ints, masked values.
    ValueError
        Shapes and parameters that do not fit, an `algorithm` that refuses a phase; nothing has been written then.

    Notes
    -----
    Outputs whose distance is the stride share their taps and make one plain convolution with stride 1, so that there are
    no zeros to multiply with and no sums in memory; bounds of errors are those of `conv2d` [1]_.

    References
    ----------
    .. [1] V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning, arXiv:1603.07285, chapter 4.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> y = fastconv.conv_transpose2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)), stride=2)
    >>> y.shape, float(y.sum())
    ((1, 1, 4, 4), 16.0)
    """
    return conv_transpose("conv_transpose2d", input, weight, bias, stride, padding, output_padding, groups, dilation,
                          output_size, channels_last, activation, residual, algorithm, out)


def conv_transpose3d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, *,
                     output_size=None, channels_last=False, activation=None, residual=None, algorithm="auto", out=None):
    """Three-dimensional transposed convolution; parameters are those of `conv_transpose2d` with three spatial axes.

    Raises
    ------
    TypeError, ValueError
        As `conv_transpose2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.conv_transpose3d(np.ones((1, 2, 2, 2, 2)), np.ones((2, 3, 3, 3, 3)), stride=2, padding=1).shape
    (1, 3, 3, 3, 3)
    """
    return conv_transpose("conv_transpose3d", input, weight, bias, stride, padding, output_padding, groups, dilation,
                          output_size, channels_last, activation, residual, algorithm, out)
