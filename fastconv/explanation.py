"""explain(): what a plan will do, in words and figures."""
from __future__ import annotations

from dataclasses import replace

from . import config
from .algorithms import PANELS
from .plan import Plan, make_plan
from .problem import convolution_problem


def explain(operation: str, input_shape, *shapes, dtype="float32", **arguments) -> str:
    """Say which algorithm a call would use, why not the others, its work and workspace.

    Parameters
    ----------
    operation : str
        The name of a function: any convolution, pooling, resampling, rearranging or region function.
    input_shape, *shapes
        Shapes in place of its arrays: a convolution's weights, a grid, boxes, offsets or indices.
    dtype : str
        Type of the arrays.
    **arguments
        Those of the function; of a convolution besides `packed`, whether a layer holds the weights; of conv2d `rank_one`,
        whether they are known to be columns times rows; of deform_conv2d `offset_groups` and whether it has a `mask`.

    Raises
    ------
    ValueError, TypeError
        As the function.

    Examples
    --------
    >>> import fastconv
    >>> print(fastconv.explain("conv2d", (1, 8, 8, 8), (8, 8, 1, 1)).splitlines()[0])
    conv2d of (1, 8, 8, 8) float32 with weights (8, 8, 1, 1) -> (1, 8, 8, 8)
    >>> print(fastconv.explain("max_pool2d", (1, 8, 8, 8), kernel_size=2).splitlines()[0])
    max_pool2d of (1, 8, 8, 8) float32 -> (1, 8, 4, 4)
    """
    if operation not in PANELS:
        from .stream_explanation import explain_stream  # imports all rows
        return explain_stream(operation, (input_shape, *shapes), dtype, **arguments)
    return explain_convolution(operation, input_shape, *shapes, dtype=dtype, **arguments)


def explain_convolution(operation: str, input_shape, weight_shape, stride=1, padding=0, dilation=1, groups=1, *,
                        dtype="float32", padding_mode="zeros", channels_last=False, activation=None, algorithm="auto",
                        packed=False, rank_one=False, offset_groups=1, mask=False) -> str:
    """explain() of a convolution."""
    from .arrays import REALS
    if str(dtype) not in REALS:
        raise ValueError(f"dtype={dtype!r} is none of {', '.join(REALS)}")
    shape = tuple(input_shape)
    if len(shape) == int(operation[-2]) + 1:
        shape = (1, *shape)
    if rank_one and operation != "conv2d":
        raise ValueError(f"rank_one={rank_one!r} is only for conv2d, not {operation}")
    if operation == "deform_conv2d":
        from .deform_problem import deform_problem
        problem = deform_problem(shape, tuple(weight_shape), offset_groups, mask, REALS[str(dtype)], stride, padding,
                                 dilation, channels_last, activation, packed=packed)
        if padding_mode != "zeros":
            raise ValueError(f"padding_mode={padding_mode!r}: deform_conv2d pads with zeros")
        if groups not in (1, problem.G):
            raise ValueError(f"groups={groups!r}: input of shape {shape} and weight of shape {tuple(weight_shape)} have "
                             f"{problem.G} groups")
    elif offset_groups != 1 or mask:
        raise ValueError(f"offset_groups={offset_groups!r}, mask={mask!r} are only for deform_conv2d, not {operation}")
    else:
        problem = convolution_problem(operation, shape, tuple(weight_shape), REALS[str(dtype)], stride, padding, dilation,
                                      groups, padding_mode, channels_last, activation, packed=packed)
        problem = replace(problem, rank_one=bool(rank_one))
    return explain_plan(make_plan(problem, algorithm, threads=config.get_num_threads()))


def explain_plan(plan: Plan) -> str:
    p, m = plan.problem, plan.machine
    seconds = plan.row.cost(p, m) * p.N
    share = p.flops / seconds / (4 * m.lanes / m.cycle) if seconds else 0
    lines = [
        f"{p.operation} of {p.input_shape} {'float64' if p.real == 'f64' else 'float32'} with weights {p.weight_shape} "
        f"-> {p.output_shape}",
        f"  algorithm   {plan.row.name}: {plan.row.summary}",
        f"  kernel      {plan.file}, instruction set {plan.isa}, {m.lanes} lanes, {plan.threads} "
        f"{'thread' if plan.threads == 1 else 'threads'}",
        f"  work        {p.flops / 1e9:.4g} GFLOP ({p.macs / 1e6:.4g} million multiply-adds), {p.bytes / 1e6:.4g} MB of "
        f"arrays, {p.flops / p.bytes:.3g} FLOP per byte",
        f"  workspace   {(plan.workspace * plan.threads + plan.shared) / 1024:.4g} KiB in all, "
        f"{plan.workspace / 1024:.4g} KiB per thread",
        "  blocks      " + ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in plan.blocks.items() if n),
        f"  expected    {100 * share:.0f} % of the FMA peak",
    ]
    lines += [f"  not {name + ':':12} {reason}" for name, reason in plan.refusals().items()]
    return "\n".join(line for line in lines if not line.endswith("blocks      "))
