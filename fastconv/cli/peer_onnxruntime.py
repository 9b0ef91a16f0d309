"""ONNX Runtime as a contender: a model of one operation, weights as initializers, inputs and outputs bound."""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .operations import Arrays, Call, joined
from .way import CONVOLUTIONS, Way, pads, single

OPSET = 20


class Node(NamedTuple):
    """One node of a model; names of inputs that are neither its arrays nor its constants are outputs of nodes before."""

    kind: str
    inputs: list[str]
    attributes: dict
    output: str = "y"


Model = tuple[list[Node], Arrays]       # nodes, the last of which gives "y"; constants besides the weights


def ways(nodes: list[Node], inputs: Arrays, constants: Arrays, outputs: dict[str, tuple], threads: int,
         answer: Callable[[list[np.ndarray]], np.ndarray]) -> list[Way]:
    """A session with and one without the library's own blocked layout; `outputs`: name -> (shape, type)."""
    import onnxruntime as ort
    from onnx import helper, numpy_helper

    def info(name, shape, dtype):
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
    ends = [list(outputs) if node is nodes[-1] else [node.output] for node in nodes]
    made = [helper.make_node(node.kind, node.inputs, end, **node.attributes) for node, end in zip(nodes, ends)]
    graph = helper.make_graph(made, "one", [info(name, a.shape, a.dtype) for name, a in inputs.items()],
                              [info(name, *what) for name, what in outputs.items()],
                              [numpy_helper.from_array(a, name) for name, a in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9).SerializeToString()
    given = {name: ort.OrtValue.ortvalue_from_numpy(a) for name, a in inputs.items()}

    def way(name, level):
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.graph_optimization_level = level
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        results = [ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype) for shape, dtype in outputs.values()]
        for key, value in given.items():
            binding.bind_ortvalue_input(key, value)
        for key, value in zip(outputs, results):
            binding.bind_ortvalue_output(key, value)
        return Way(name, lambda: session.run_with_iobinding(binding) or given,
                   lambda _: answer([y.numpy() for y in results]))
    levels = ort.GraphOptimizationLevel
    return [way("all optimisations", levels.ORT_ENABLE_ALL), way("basic optimisations", levels.ORT_ENABLE_BASIC)]


def convolution(problem, arrays: Arrays, threads: int) -> list[Way]:
    x, weight, bias = arrays.values()
    node = Node("Conv", ["x", "w", "b"], dict(strides=problem.stride, pads=2 * pads(problem), dilations=problem.dilation,
                                              group=problem.G, kernel_shape=problem.kernel))
    return ways([node], {"x": x}, {"w": weight, "b": bias}, {"y": (problem.output_shape, np.float32)}, threads,
                lambda ys: ys[0])


def model(call: Call, arrays: Arrays, threads: int) -> list[Way]:
    nodes, constants = MODELS[call.operation](call, arrays)
    weights = {name: arrays[name] for name in call.weights}
    used = {name for node in nodes for name in node.inputs}
    inputs = {name: a for name, a in arrays.items() if name in used and name not in weights}
    outputs = {"y": (call.output_shape, np.float32)}
    if call.operation == "partial_conv2d":
        outputs["live"] = ((1, 1, *call.output_shape[2:]), np.float32)
    if call.returns_indices:
        outputs["indices"] = (call.output_shape, np.int64)

    def answer(ys: list[np.ndarray]) -> np.ndarray:
        if call.returns_indices:            # they count through all channels
            ys[1] = ys[1] % np.prod(call.input_shape[2:])
        return joined(tuple(ys))
    return ways(nodes, inputs, weights | constants, outputs, threads, answer)


def pair(value) -> list[int]:
    return [value, value]


def window(call: Call) -> dict:
    options = call.options
    return dict(strides=pair(options.get("stride", 1)), pads=4 * [options.get("padding", 0)])


def transposed(call: Call, arrays: Arrays) -> Model:
    return [Node("ConvTranspose", ["input", "weight", "bias"],
                 window(call) | dict(output_padding=pair(call.options["output_padding"])))], {}


def deformable(call: Call, arrays: Arrays) -> Model:
    groups = arrays["offset"].shape[1] // 18
    mask = ["mask"] if "mask" in arrays else []
    return [Node("DeformConv", ["input", "weight", "offset", "bias", *mask], window(call) | dict(offset_group=groups))], {}


def separable(call: Call, arrays: Arrays) -> Model:
    return [Node("Conv", ["input", "depthwise_weight"], window(call) | dict(group=call.input_shape[1]), "middle"),
            Node("Conv", ["middle", "pointwise_weight", "bias"], {})], {}


def gated(call: Call, arrays: Arrays) -> Model:
    return [Node("Conv", ["input", "weight", "bias"], window(call), "sum"), Node("Relu", ["sum"], {}, "features"),
            Node("Conv", ["input", "gate_weight", "gate_bias"], window(call), "gates"),
            Node("Sigmoid", ["gates"], {}, "gate"), Node("Mul", ["features", "gate"], {})], {}


def pool(call: Call, arrays: Arrays) -> Model:
    attributes = window(call) | dict(kernel_shape=pair(call.options["kernel_size"]))
    if call.operation == "max_pool2d":
        return [Node("MaxPool", ["input"], attributes)], {}
    return [Node("AveragePool", ["input"], attributes | dict(count_include_pad=1))], {}


def adaptive(call: Call, arrays: Arrays) -> Model:
    """Windows side by side, as they are where the size is a multiple of the output's."""
    if call.options["output_size"] == 1:
        return [Node("GlobalAveragePool", ["input"], {})], {}
    kernel = [n // call.options["output_size"] for n in call.input_shape[2:]]
    return [Node("AveragePool", ["input"], dict(kernel_shape=kernel, strides=kernel))], {}


def resize(call: Call, arrays: Arrays) -> Model:
    options, scale = call.options, call.options["scale_factor"]
    mode = {"nearest": "nearest", "bilinear": "linear", "bicubic": "cubic"}[options["mode"]]
    place = ("asymmetric" if mode == "nearest" else "align_corners" if options["align_corners"] else "half_pixel")
    attributes = dict(mode=mode, coordinate_transformation_mode=place, antialias=int(options.get("antialias", False)))
    attributes |= dict(exclude_outside=1) if attributes["antialias"] else {}
    attributes |= dict(nearest_mode="floor") if mode == "nearest" else {}
    return [Node("Resize", ["input", "", "scales"], attributes)], {"scales": np.array([1, 1, scale, scale], np.float32)}


def sample(call: Call, arrays: Arrays) -> Model:
    return [Node("GridSample", ["input", "grid"], dict(mode="linear", padding_mode="zeros", align_corners=0))], {}


def shuffle(call: Call, arrays: Arrays) -> Model:
    return [Node("DepthToSpace", ["input"], dict(blocksize=call.options["upscale_factor"], mode="CRD"))], {}


def focus(call: Call, arrays: Arrays) -> Model:
    """Four slices side by side, as YOLOv5 exports it."""
    slices = [(f"part{i}", f"start{i}") for i in range(4)]
    nodes = [Node("Slice", ["input", start, "ends", "axes", "steps"], {}, part) for part, start in slices]
    constants = {start: np.array([i % 2, i // 2]) for i, (_, start) in enumerate(slices)}
    constants |= {"ends": np.array(call.input_shape[2:]), "axes": np.array([2, 3]), "steps": np.array([2, 2])}
    return [*nodes, Node("Concat", [part for part, _ in slices], dict(axis=1))], constants


def pad(call: Call, arrays: Arrays) -> Model:
    left, right, top, bottom = call.options["pad"]
    return [Node("Pad", ["input", "pads"], dict(mode=call.options["mode"]))], {
        "pads": np.array([0, 0, top, left, 0, 0, bottom, right])}


def roi_align(call: Call, arrays: Arrays) -> Model:
    bins, options, boxes = call.options["output_size"], call.options, arrays["boxes"]
    arrays |= {"image": boxes[:, 0].astype(np.int64), "corners": np.ascontiguousarray(boxes[:, 1:])}
    return [Node("RoiAlign", ["input", "corners", "image"], dict(
        output_height=bins, output_width=bins, sampling_ratio=options["sampling_ratio"], mode="avg",
        spatial_scale=options["spatial_scale"],
        coordinate_transformation_mode="half_pixel" if options["aligned"] else "output_half_pixel"))], {}


def roi_pool(call: Call, arrays: Arrays) -> Model:
    return [Node("MaxRoiPool", ["input", "boxes"], dict(pooled_shape=pair(call.options["output_size"]),
                                                        spatial_scale=call.options["spatial_scale"]))], {}


MODELS: dict[str, Callable[[Call, Arrays], Model]] = {
    "conv_transpose2d": transposed, "deform_conv2d": deformable, "separable_conv2d": separable, "gated_conv2d": gated,
    "max_pool2d": pool, "avg_pool2d": pool, "adaptive_avg_pool2d": adaptive, "interpolate": resize, "grid_sample": sample,
    "pixel_shuffle": shuffle, "focus": focus, "pad": pad, "roi_align": roi_align, "roi_pool": roi_pool}
OPERATIONS = dict.fromkeys(CONVOLUTIONS, convolution) | dict.fromkeys(MODELS, model)


def refuses(problem) -> str:
    if problem.operation == "adaptive_avg_pool2d" and any(
            n % problem.options["output_size"] for n in problem.input_shape[2:]):
        return "windows of unequal sizes"
    return single(problem)
