"""OpenVINO as a contender: a compiled model in float32 (its default may be bfloat16), tensors set beforehand.

Its position-sensitive and deformable poolings are Caffe's, which round boxes and place offsets otherwise.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .operations import Arrays, Call, joined
from .way import CONVOLUTIONS, Way, pads, single


def ways(results: list, parameters: dict, arrays: Arrays, threads: int) -> list[Way]:
    """The model of some nodes; `parameters`: name in `arrays` -> its node."""
    import openvino as ov
    compiled = ov.Core().compile_model(ov.Model(results, list(parameters.values())), "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False})
    request = compiled.create_infer_request()
    given = [ov.Tensor(arrays[name], shared_memory=True) for name in parameters]
    for i, tensor in enumerate(given):
        request.set_input_tensor(i, tensor)

    def call():
        request.infer(share_outputs=True)
        return given            # which must outlive the request

    def answer(_) -> np.ndarray:
        return joined(tuple(request.get_output_tensor(i).data for i in range(len(results))))
    return [Way("latency hint", call, answer)]


def convolution(problem, arrays: Arrays, threads: int) -> list[Way]:
    import openvino.opset13 as ops
    x, weight, bias = arrays.values()
    parameter = ops.parameter(x.shape, np.float32)
    arguments = list(problem.stride), pads(problem), pads(problem), list(problem.dilation)
    if problem.G == 1:
        y = ops.convolution(parameter, ops.constant(weight), *arguments)
    else:
        grouped = weight.reshape(problem.G, -1, *weight.shape[1:])
        y = ops.group_convolution(parameter, ops.constant(grouped), *arguments)
    return ways([biased(ops, y, bias)], {"input": parameter}, arrays, threads)


def biased(ops, y, bias: np.ndarray):
    return ops.add(y, ops.constant(bias.reshape(1, -1, *(1,) * (len(y.get_output_shape(0)) - 2))))


def model(call: Call, arrays: Arrays, threads: int) -> list[Way]:
    import openvino.opset13 as ops
    parameters = {name: ops.parameter(a.shape, a.dtype) for name, a in arrays.items() if name not in call.weights}
    y = MODELS[call.operation](ops, call, arrays, **parameters)
    return ways([y.output(i) for i in range(1 + call.returns_indices)], parameters, arrays, threads)


def pair(value) -> list[int]:
    return [value, value]


def transposed(ops, call: Call, arrays: Arrays, input):
    stride, padding, extra = (pair(call.options[name]) for name in ("stride", "padding", "output_padding"))
    y = ops.convolution_backprop_data(input, ops.constant(arrays["weight"]), stride, None, padding, padding, [1, 1],
                                      output_padding=extra)
    return biased(ops, y, arrays["bias"])


def deformable(ops, call: Call, arrays: Arrays, input, offset, mask=None):
    padding = pair(call.options["padding"])
    y = ops.deformable_convolution(input, offset, ops.constant(arrays["weight"]), [1, 1], padding, padding, [1, 1], mask,
                                   deformable_group=arrays["offset"].shape[1] // 18, bilinear_interpolation_pad=True)
    return biased(ops, y, arrays["bias"])


def plain(ops, x, weight: np.ndarray, bias: np.ndarray, padding: int):
    return biased(ops, ops.convolution(x, ops.constant(weight), [1, 1], pair(padding), pair(padding), [1, 1]), bias)


def separable(ops, call: Call, arrays: Arrays, input):
    padding, weight = pair(call.options["padding"]), arrays["depthwise_weight"]
    middle = ops.group_convolution(input, ops.constant(weight[:, None]), [1, 1], padding, padding, [1, 1])
    return plain(ops, middle, arrays["pointwise_weight"], arrays["bias"], 0)


def gated(ops, call: Call, arrays: Arrays, input):
    features = ops.relu(plain(ops, input, arrays["weight"], arrays["bias"], call.options["padding"]))
    return ops.multiply(features, ops.sigmoid(plain(ops, input, arrays["gate_weight"], arrays["gate_bias"],
                                                    call.options["padding"])))


def pool(ops, call: Call, arrays: Arrays, input):
    kernel, stride, padding = (pair(call.options[name]) for name in ("kernel_size", "stride", "padding"))
    if call.operation == "max_pool2d":
        return ops.max_pool(input, stride, [1, 1], padding, padding, kernel, axis=2)
    return ops.avg_pool(input, stride, padding, padding, kernel, exclude_pad=False)


def adaptive(ops, call: Call, arrays: Arrays, input):
    size = call.options["output_size"]
    if size == 1:
        return ops.reduce_mean(input, ops.constant([2, 3]), keep_dims=True)
    return ops.adaptive_avg_pool(input, ops.constant(pair(size)))


def resize(ops, call: Call, arrays: Arrays, input):
    options, scale = call.options, np.float32(call.options["scale_factor"])
    smooth = options.get("antialias", False)
    mode = {"nearest": "nearest", "bilinear": "bilinear_pillow" if smooth else "linear_onnx", "bicubic": "cubic"}
    place = ("asymmetric" if options["mode"] == "nearest" else "align_corners" if options["align_corners"] else "half_pixel")
    return ops.interpolate(input, ops.constant(np.array([scale, scale])), mode[options["mode"]], "scales",
                           coordinate_transformation_mode=place, nearest_mode="floor", axes=ops.constant([2, 3]))


def sample(ops, call: Call, arrays: Arrays, input, grid):
    return ops.grid_sample(input, grid, dict(align_corners=False, mode="bilinear", padding_mode="zeros"))


def shuffle(ops, call: Call, arrays: Arrays, input):
    return ops.depth_to_space(input, "depth_first", call.options["upscale_factor"])


def focus(ops, call: Call, arrays: Arrays, input):
    """Four slices side by side, as YOLOv5 exports it."""
    ends, steps, axes = (ops.constant(list(values)) for values in (call.input_shape[2:], (2, 2), (2, 3)))
    return ops.concat([ops.slice(input, ops.constant([i % 2, i // 2]), ends, steps, axes) for i in range(4)], 1)


def pad(ops, call: Call, arrays: Arrays, input):
    left, right, top, bottom = call.options["pad"]
    return ops.pad(input, ops.constant([0, 0, top, left]), ops.constant([0, 0, bottom, right]), call.options["mode"])


def roi_align(ops, call: Call, arrays: Arrays, input, boxes):
    bins, options = call.options["output_size"], call.options
    corners = ops.slice(boxes, *(ops.constant([n]) for n in (1, 5, 1, 1)))
    return ops.roi_align(input, corners, ops.constant(arrays["boxes"][:, 0].astype(np.int32)), bins, bins,
                         options["sampling_ratio"], options["spatial_scale"], "avg",
                         "half_pixel_for_nn" if options["aligned"] else "asymmetric")


def roi_pool(ops, call: Call, arrays: Arrays, input, boxes):
    return ops.roi_pooling(input, boxes, pair(call.options["output_size"]), call.options["spatial_scale"], "max")


MODELS: dict[str, Callable] = {
    "conv_transpose2d": transposed, "deform_conv2d": deformable, "separable_conv2d": separable, "gated_conv2d": gated,
    "max_pool2d": pool, "avg_pool2d": pool, "adaptive_avg_pool2d": adaptive, "interpolate": resize, "grid_sample": sample,
    "pixel_shuffle": shuffle, "focus": focus, "pad": pad, "roi_align": roi_align, "roi_pool": roi_pool}
OPERATIONS = dict.fromkeys(CONVOLUTIONS, convolution) | dict.fromkeys(MODELS, model)


def refuses(problem) -> str:
    return single(problem)
