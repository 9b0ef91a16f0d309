"""PyTorch as a contender: functional calls in both memory formats, and oneDNN with weights packed beforehand."""
from __future__ import annotations

from functools import cache

import numpy as np

from .operations import OPERATIONS, Arrays, Call, joined
from .way import CONVOLUTIONS, Prepare, Way, pads


@cache
def inference_mode():
    import torch
    mode = torch.inference_mode()
    mode.__enter__()
    return mode                 # it ends when this is forgotten


def start(threads: int) -> None:
    import torch
    torch.set_num_threads(threads)
    inference_mode()


# ---- plain convolutions ---------------------------------------------------------------------------------------------


def contiguous(problem, arrays: Arrays, threads: int) -> list[Way]:
    import torch
    x, weight, bias = map(torch.from_numpy, arrays.values())
    function = getattr(torch.nn.functional, problem.operation)
    arguments = problem.stride, pads(problem), problem.dilation, problem.G
    return [Way("functional", lambda: function(x, weight, bias, *arguments), lambda y: y.numpy())]


def in_channels_last(problem, arrays: Arrays):
    """Tensors in memory_format=channels_last and the arguments.

    A signal is an image of height 1, since one-dimensional tensors have no such format.
    """
    import torch
    x, weight, bias = map(torch.from_numpy, arrays.values())
    arguments = [list(problem.stride), pads(problem), list(problem.dilation)]
    if problem.operation == "conv1d":
        x, weight = x.unsqueeze(2), weight.unsqueeze(2)
        arguments = [[neutral, *values] for neutral, values in zip((1, 0, 1), arguments)]
    form = torch.channels_last_3d if problem.operation == "conv3d" else torch.channels_last
    return x, x.contiguous(memory_format=form), weight, weight.contiguous(memory_format=form), bias, *arguments


def channels_last(problem, arrays: Arrays, threads: int) -> list[Way]:
    import torch
    _, x, _, weight, bias, stride, padding, dilation = in_channels_last(problem, arrays)
    function = torch.nn.functional.conv3d if problem.operation == "conv3d" else torch.nn.functional.conv2d
    return [Way("functional", lambda: function(x, weight, bias, stride, padding, dilation, problem.G),
                lambda y: y.numpy().reshape(problem.output_shape))]


def packed(shape, weight, bias, stride, padding, dilation, groups):
    """oneDNN's convolution of inputs of a shape, called with an input and the name of an activation.

    Weights are reordered beforehand for this input size, as torch.compile with freezing does. Against
    mkldnn_prepacked.conv2d_run, opaque mkldnn tensors and a frozen, optimised TorchScript module, this in the better
    layout was the quickest or within 6 % of it on all ten layers tried.
    """
    import torch
    reorder = getattr(torch._C._nn, f"mkldnn_reorder_conv{'3d' if weight.ndim == 5 else '2d'}_weight")
    weight = reorder(weight.to_mkldnn(), padding, stride, dilation, groups, list(shape))
    run = torch.ops.mkldnn._convolution_pointwise
    return lambda x, activation="none": run(x, weight, bias, padding, stride, dilation, groups, activation, [], "")


def prepacked(problem, arrays: Arrays, threads: int) -> list[Way]:
    x, x_last, weight, _, bias, *arguments = in_channels_last(problem, arrays)
    run = packed(x.shape, weight, bias, *arguments, problem.G)

    def answer(y):
        return y.numpy().reshape(problem.output_shape)
    return [Way("channels_last", lambda: run(x_last), answer), Way("NCHW", lambda: run(x), answer)]


# ---- other operations -----------------------------------------------------------------------------------------------


def tensors(call: Call, arrays: Arrays, channels_last: bool) -> dict:
    """Images and kernels in the layout asked for, the other arrays as they are."""
    import torch
    form = torch.channels_last if channels_last else torch.contiguous_format
    moved = (*call.images, *call.weights)
    return {name: torch.from_numpy(a).contiguous(memory_format=form) if name in moved and a.ndim == 4 else
            torch.from_numpy(a) for name, a in arrays.items()}


def as_array(y) -> np.ndarray:
    return joined(tuple(part.numpy() for part in y)) if isinstance(y, tuple) else y.numpy()


def separable(input, depthwise_weight, pointwise_weight, bias, padding):
    from torch.nn.functional import conv2d
    return conv2d(conv2d(input, depthwise_weight, None, 1, padding, 1, input.shape[1]), pointwise_weight, bias)


def spatial(input, column, row, bias, padding):
    from torch.nn.functional import conv2d
    C = input.shape[1]
    middle = conv2d(input, column[:, None, :, None], None, 1, (padding, 0), 1, C)
    return conv2d(middle, row[:, None, None, :], bias, 1, (0, padding), 1, C)


def gated(input, weight, gate_weight, bias, gate_bias, padding):
    from torch.nn.functional import conv2d
    return conv2d(input, weight, bias, 1, padding).relu_().mul_(conv2d(input, gate_weight, gate_bias, 1, padding).sigmoid_())


def partial(input, mask, weight, bias, padding):
    """Liu et al.'s layer, in which bias and scale are products and sums of whole images."""
    from torch.nn.functional import conv2d
    count = conv2d(mask, mask.new_ones(1, 1, *weight.shape[2:]), None, 1, padding)
    live = (count > 0).to(input.dtype)
    scale = live * (weight[0, 0].numel() / count.clamp(min=1))
    return conv2d(input * mask, weight, None, 1, padding).mul_(scale).add_(bias.view(1, -1, 1, 1) * live), live


def focus(input):
    import torch
    return torch.cat([input[..., ::2, ::2], input[..., 1::2, ::2], input[..., ::2, 1::2], input[..., 1::2, 1::2]], 1)


FUNCTIONS = {"separable_conv2d": separable, "spatial_separable_conv2d": spatial, "gated_conv2d": gated,
             "partial_conv2d": partial, "focus": focus}


def function(channels_last: bool) -> Prepare:
    def prepare(call: Call, arrays: Arrays, threads: int) -> list[Way]:
        from torch.nn import functional
        called = FUNCTIONS.get(call.operation) or getattr(functional, call.operation)
        given, options = tensors(call, arrays, channels_last), call.options
        return [Way("functional", lambda: called(**given, **options), as_array)]
    return prepare


def packed_transposed(call: Call, arrays: Arrays, threads: int) -> list[Way]:
    """oneDNN's deconvolution, weights reordered for this input size."""
    import torch
    given, options = tensors(call, arrays, False), call.options
    stride, padding, extra = ([options[name]] * 2 for name in ("stride", "padding", "output_padding"))
    x, bias, one = given["input"], given["bias"], [1, 1]
    weight = torch.ops.mkldnn._reorder_convolution_transpose_weight(given["weight"], padding, extra, stride, one, 1,
                                                                    list(x.shape))
    run = torch.ops.mkldnn._convolution_transpose_pointwise
    return layouts(x, lambda x: run(x, weight, bias, padding, extra, stride, one, 1, "none", [], ""))


def packed_separable(call: Call, arrays: Arrays, threads: int) -> list[Way]:
    given, (pad,) = tensors(call, arrays, False), call.options.values()
    x, one = given["input"], [1, 1]
    depthwise = packed(x.shape, given["depthwise_weight"], None, one, [pad, pad], one, x.shape[1])
    pointwise = packed(depthwise(x).shape, given["pointwise_weight"], given["bias"], one, [0, 0], one, 1)
    return layouts(x, lambda x: pointwise(depthwise(x)))


def packed_gated(call: Call, arrays: Arrays, threads: int) -> list[Way]:
    given, (pad,) = tensors(call, arrays, False), call.options.values()
    x, arguments = given["input"], ([1, 1], [pad, pad], [1, 1], 1)
    features = packed(x.shape, given["weight"], given["bias"], *arguments)
    gate = packed(x.shape, given["gate_weight"], given["gate_bias"], *arguments)
    return layouts(x, lambda x: features(x, "relu").mul_(gate(x, "sigmoid")))


def layouts(x, run) -> list[Way]:
    import torch
    x_last = x.contiguous(memory_format=torch.channels_last)
    return [Way("channels_last", lambda: run(x_last), as_array), Way("NCHW", lambda: run(x), as_array)]


ABSENT = ("deform_conv2d", "roi_align", "roi_pool", "ps_roi_pool", "ps_roi_align", "deform_roi_pool")
OTHERS = tuple(name for name in OPERATIONS if name not in ABSENT)
CONTIGUOUS: dict[str, Prepare] = dict.fromkeys(CONVOLUTIONS, contiguous) | dict.fromkeys(OTHERS, function(False))
CHANNELS_LAST: dict[str, Prepare] = dict.fromkeys(CONVOLUTIONS, channels_last) | dict.fromkeys(OTHERS, function(True))
PREPACKED: dict[str, Prepare] = dict.fromkeys(CONVOLUTIONS, prepacked) | {
    "conv_transpose2d": packed_transposed, "separable_conv2d": packed_separable, "gated_conv2d": packed_gated}
