"""explain(): what a plan will do, in words and figures."""
from __future__ import annotations

from dataclasses import replace

from . import config
from .algorithms import PANELS
from .plan import Plan, make_plan
from .problem import LARGEST_ARRAY, convolution_problem, index, is_sequence

TRANSPOSED = "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"


def explain(operation: str, input_shape, *shapes, dtype="float32", **arguments) -> str:
    """Say which algorithm a call would use, why not the others, its work and workspace.

    Parameters
    ----------
    operation : str
        The name of a function: a convolution, plain, transposed or deformable, a pooling, resampling, rearranging or region
        function. What others do, their layers tell.
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
    if not isinstance(operation, str):
        raise TypeError(f"operation must be a str, not {type(operation).__name__}: {operation!r}")
    named = (("input_shape", input_shape), *((f"shapes[{i}]", shape) for i, shape in enumerate(shapes)))
    shapes = tuple(checked_shape(shape, name) for name, shape in named)
    if operation in PANELS:
        return explain_convolution(operation, *shapes, dtype=dtype, **arguments)
    if operation in TRANSPOSED:
        return explain_transposed(operation, *shapes, dtype=dtype, **arguments)
    from .stream_explanation import explain_stream  # imports all rows
    return explain_stream(operation, shapes, dtype, **arguments)


def checked_shape(shape, name: str) -> tuple[int, ...]:
    if not is_sequence(shape):
        raise TypeError(f"{name} must be the shape of an array, a sequence of ints, not {type(shape).__name__}: {shape!r}")
    return tuple(index(n, f"{name}[{i}]", 0, LARGEST_ARRAY) for i, n in enumerate(shape))


def real_of(dtype) -> str:
    from .arrays import REALS
    if str(dtype) not in REALS:
        raise ValueError(f"dtype={dtype!r} is none of {', '.join(REALS)}")
    return REALS[str(dtype)]


def batched_shape(operation: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1, *shape) if len(shape) == int(operation[-2]) + 1 else shape


def explain_convolution(operation: str, input_shape, weight_shape, stride=1, padding=0, dilation=1, groups=1, *,
                        dtype="float32", padding_mode="zeros", channels_last=False, activation=None, algorithm="auto",
                        packed=False, rank_one=False, offset_groups=1, mask=False) -> str:
    """explain() of a convolution."""
    real, shape = real_of(dtype), batched_shape(operation, input_shape)
    if rank_one and operation != "conv2d":
        raise ValueError(f"rank_one={rank_one!r} is only for conv2d, not {operation}")
    if operation == "deform_conv2d":
        from .deform_problem import deform_problem
        problem = deform_problem(shape, weight_shape, offset_groups, mask, real, stride, padding, dilation, channels_last,
                                 activation, packed=packed)
        if padding_mode != "zeros":
            raise ValueError(f"padding_mode={padding_mode!r}: deform_conv2d pads with zeros")
        if groups not in (1, problem.G):
            raise ValueError(f"groups={groups!r}: input of shape {shape} and weight of shape {weight_shape} have "
                             f"{problem.G} groups")
    elif offset_groups != 1 or mask:
        raise ValueError(f"offset_groups={offset_groups!r}, mask={mask!r} are only for deform_conv2d, not {operation}")
    else:
        problem = convolution_problem(operation, shape, weight_shape, real, stride, padding, dilation, groups, padding_mode,
                                      channels_last, activation, packed=packed)
        problem = replace(problem, rank_one=bool(rank_one))
    return explain_plan(make_plan(problem, algorithm, threads=config.get_num_threads()))


def explain_transposed(operation: str, input_shape, weight_shape, stride=1, padding=0, output_padding=0, groups=1,
                       dilation=1, *, output_size=None, channels_last=False, activation=None, algorithm="auto",
                       dtype="float32", packed=False) -> str:
    """explain() of a transposed convolution."""
    from .transposed_problem import transposed_problem
    problem = transposed_problem(operation, batched_shape(operation, input_shape), weight_shape, real_of(dtype), stride,
                                 padding, output_padding, groups, dilation, output_size, channels_last, activation,
                                 packed=packed)
    return explain_phases(problem, algorithm)


def explain_phases(problem, algorithm: str) -> str:
    """What computes each phase of a TransposedProblem."""
    from .transposed import steps_of
    lines = [f"{problem.operation} of {problem.input_shape} with weights {problem.weight_shape} -> {problem.output_shape}"]
    for plan, _, phase, _ in steps_of(problem, algorithm, config.get_num_threads()):
        outputs = "all outputs" if phase is None else f"outputs from {tuple(axis.first for axis in phase)}"
        lines.append(f"  {outputs}: {' x '.join(map(str, plan.problem.kernel))} taps, {plan.row.name} ({plan.file}), "
                     f"{plan.problem.flops / 1e9:.3g} GFLOP")
    if problem.holes:
        lines.append("  other outputs: no taps, bias alone")
    return "\n".join(lines)


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
