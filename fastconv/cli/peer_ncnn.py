"""ncnn as a contender: a net of one or two layers in float32, plain or in its own packed layout."""
from __future__ import annotations

import os
import tempfile
from functools import cache

import numpy as np

from ..problem import Problem
from .operations import Arrays, Call
from .way import CONVOLUTIONS, Way, pads

AXES = (("w", 0), ("h", 10), ("d", 20))         # parameter numbers of the last, the middle, the first spatial axis
Layer = tuple[str, dict[int, int], list[np.ndarray]]        # kind, parameters, weights and perhaps a bias


@cache
def pools():
    """Allocators that hand the same memory out again; they must outlive every matrix."""
    import ncnn
    return ncnn.PoolAllocator(), ncnn.PoolAllocator()


def net_of(layers: list[Layer], threads: int):
    """A net of layers one after the other, from x to y, with pooled memory."""
    import ncnn
    blobs, workspace = pools()
    net = ncnn.Net()
    for option in dir(net.opt):
        if option.startswith("use_") and any(kind in option for kind in ("fp16", "bf16", "int8", "vulkan")):
            setattr(net.opt, option, False)
    net.opt.num_threads, net.opt.blob_allocator, net.opt.workspace_allocator = threads, blobs, workspace
    names = ["x", *(f"x{i}" for i in range(1, len(layers))), "y"]
    lines = [" ".join([kind, after, "1 1", before, after, *(f"{key}={value}" for key, value in sorted(numbers.items()))])
             for (kind, numbers, _), before, after in zip(layers, names, names[1:])]
    net.load_param_mem("\n".join(["7767517", f"{len(layers) + 1} {len(layers) + 1}", "Input in 0 1 x", *lines, ""]))
    flag = np.zeros(1, np.float32)              # weights follow as they are
    with tempfile.NamedTemporaryFile(delete=False) as file:         # its reader from memory takes no bytes
        for _, _, weights in layers:
            file.write(np.concatenate([flag, *(w.ravel() for w in weights)]).tobytes())
    net.load_model(file.name)
    os.unlink(file.name)
    return net


def ways(layers: list[Layer], x: np.ndarray, output_shape, threads: int) -> list[Way]:
    """Images one by one."""
    import ncnn
    net = net_of(layers, threads)
    plain = [ncnn.Mat(np.ascontiguousarray(image)).clone() for image in x]
    pack = next((n for n in (16, 8, 4) if x.shape[1] % n == 0), 1)
    packed = [ncnn.convert_packing(image, pack) for image in plain]

    def run(image, kind):
        extractor = net.create_extractor()
        extractor.input("x", image)
        return extractor.extract("y", kind)[1]

    def way(name, images, kind):
        return Way(name, lambda: [run(image, kind) for image in images],
                   lambda ys: np.stack([np.array(ncnn.convert_packing(y, 1)) for y in ys]).reshape(output_shape))
    return [way("packed layout", packed, 1), way("plain layout", plain, 0)]


def parameters(problem: Problem) -> dict[int, int]:
    axes = list(zip(reversed(problem.kernel), reversed(problem.dilation), reversed(problem.stride), reversed(pads(problem))))
    numbers = {0: problem.K, 5: 1, 6: problem.K * problem.sum_length}
    for (_, offset), (kernel, dilation, stride, pad) in zip(AXES, axes):
        numbers |= {1 + offset: kernel, 2 + offset: dilation, 3 + offset: stride, 4 + offset: pad}
    for end, (*_, pad) in zip((15, 16, 17), axes):
        numbers[end] = pad
    return numbers | ({7: problem.G} if problem.G > 1 else {})


def convolution(problem: Problem, arrays: Arrays, threads: int) -> list[Way]:
    x, weight, bias = arrays.values()
    kind = ("ConvolutionDepthWise" if problem.G > 1 else "Convolution") + {1: "1D", 2: "", 3: "3D"}[len(problem.size)]
    return ways([(kind, parameters(problem), [weight, bias])], x, problem.output_shape, threads)


def transposed(call: Call, arrays: Arrays, threads: int) -> list[Way]:
    """Its weights are (K, C, *kernel)."""
    weight, options = arrays["weight"], call.options
    _, K, kernel, _ = weight.shape
    numbers = {0: K, 1: kernel, 3: options["stride"], 4: options["padding"], 5: 1, 6: weight.size,
               18: options["output_padding"]}
    layer = "Deconvolution", numbers, [np.ascontiguousarray(weight.swapaxes(0, 1)), arrays["bias"]]
    return ways([layer], arrays["input"], call.output_shape, threads)


def separable(call: Call, arrays: Arrays, threads: int) -> list[Way]:
    depthwise, pointwise = arrays["depthwise_weight"], arrays["pointwise_weight"]
    C, K = len(depthwise), len(pointwise)
    numbers = {0: C, 1: depthwise.shape[-1], 4: call.options["padding"], 6: depthwise.size, 7: C}
    first = "ConvolutionDepthWise", numbers, [depthwise]
    second = "Convolution", {0: K, 1: 1, 5: 1, 6: pointwise.size}, [pointwise, arrays["bias"]]
    return ways([first, second], arrays["input"], call.output_shape, threads)


OPERATIONS = dict.fromkeys(CONVOLUTIONS, convolution) | {"conv_transpose2d": transposed, "separable_conv2d": separable}
