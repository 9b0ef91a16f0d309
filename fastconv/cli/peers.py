"""What is measured: fastconv and the other libraries, each in the way that serves it best.

A contender prepares one problem and returns its ways to compute it: calls without arguments, all arrays and weights in
place. Where there are several ways the quickest counts. Libraries are imported in the process that measures them.
"""
from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from ..problem import Problem


class Way(NamedTuple):
    """One way to compute a problem."""

    name: str
    call: Callable[[], Any]
    answer: Callable[[Any], np.ndarray]     # what `call` returned, as an array (N, K, *spatial)


class Contender(NamedTuple):
    """A library in one layout."""

    name: str
    library: str                                                # what is imported, and its name for --peers
    prepare: Callable[..., list[Way]]                           # (problem, x, weight, bias, threads)
    refuses: Callable[[Problem], str]                           # why it cannot compute a problem; "" if it can
    start: Callable[[int], None] = lambda threads: None         # once in its process

    @property
    def installed(self) -> bool:
        return all(find_spec(module) for module in (self.library, *(["onnx"] if self.library == "onnxruntime" else [])))


def anything(problem: Problem) -> str:
    return ""


def symmetric(problem: Problem) -> str:
    """Refusals that the peers share."""
    if problem.padding_mode != "zeros":
        return f"padding_mode={problem.padding_mode!r}"
    return "" if all(before == after for before, after in problem.padding) else "more padding on one side"


def single(problem: Problem) -> str:
    return "float64" if problem.real == "f64" else symmetric(problem)


def pads(problem: Problem) -> list[int]:
    return [before for before, _ in problem.padding]


def last(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def first(y: np.ndarray) -> np.ndarray:
    return np.moveaxis(y, -1, 1)


# ---- fastconv -------------------------------------------------------------------------------------------------------


def fastconv_start(threads: int) -> None:
    import fastconv
    fastconv.set_num_threads(threads)


def fastconv_arguments(problem: Problem, channels_last: bool) -> dict:
    return dict(stride=problem.stride, padding=tuple(pads(problem)), dilation=problem.dilation, groups=problem.G,
                channels_last=channels_last)


def fastconv_function(channels_last: bool):
    def prepare(problem, x, weight, bias, threads):
        import fastconv
        function, arguments = getattr(fastconv, problem.operation), fastconv_arguments(problem, channels_last)
        x = last(x) if channels_last else x
        return [Way("function", lambda: function(x, weight, bias, **arguments), first if channels_last else np.asarray)]
    return prepare


def fastconv_packed(channels_last: bool):
    """A layer object, writing into an array that is used again and again."""
    def prepare(problem, x, weight, bias, threads):
        import fastconv
        made = getattr(fastconv, problem.operation.replace("conv", "Conv"))
        conv = made(weight, bias, **fastconv_arguments(problem, channels_last))
        x = last(x) if channels_last else x
        y = conv(x)
        return [Way("layer", lambda: conv(x, out=y), first if channels_last else np.asarray)]
    return prepare


# ---- PyTorch --------------------------------------------------------------------------------------------------------


@cache
def torch_inference_mode():
    import torch
    mode = torch.inference_mode()
    mode.__enter__()
    return mode                 # it ends when this is forgotten


def torch_start(threads: int) -> None:
    import torch
    torch.set_num_threads(threads)
    torch_inference_mode()


def torch_contiguous(problem, x, weight, bias, threads):
    import torch
    x, weight, bias = map(torch.from_numpy, (x, weight, bias))
    function = getattr(torch.nn.functional, problem.operation)
    arguments = problem.stride, pads(problem), problem.dilation, problem.G
    return [Way("functional", lambda: function(x, weight, bias, *arguments), lambda y: y.numpy())]


def torch_last(problem, x, weight, bias):
    """Tensors in memory_format=channels_last and the arguments.

    A signal is an image of height 1, since one-dimensional tensors have no such format.
    """
    import torch
    x, weight, bias = map(torch.from_numpy, (x, weight, bias))
    arguments = [list(problem.stride), pads(problem), list(problem.dilation)]
    if problem.operation == "conv1d":
        x, weight = x.unsqueeze(2), weight.unsqueeze(2)
        arguments = [[neutral, *values] for neutral, values in zip((1, 0, 1), arguments)]
    form = torch.channels_last_3d if problem.operation == "conv3d" else torch.channels_last
    return x, x.contiguous(memory_format=form), weight, weight.contiguous(memory_format=form), bias, *arguments


def torch_channels_last(problem, x, weight, bias, threads):
    import torch
    _, x, _, weight, bias, stride, padding, dilation = torch_last(problem, x, weight, bias)
    function = torch.nn.functional.conv3d if problem.operation == "conv3d" else torch.nn.functional.conv2d
    return [Way("functional", lambda: function(x, weight, bias, stride, padding, dilation, problem.G),
                lambda y: y.numpy().reshape(problem.output_shape))]


def torch_prepacked(problem, x, weight, bias, threads):
    """oneDNN with weights reordered beforehand for this input size, as torch.compile with freezing does.

    Against mkldnn_prepacked.conv2d_run, opaque mkldnn tensors and a frozen, optimised TorchScript module, the better of
    these was the quickest or within 6 % of it on all ten layers tried.
    """
    import torch
    x, x_last, weight, _, bias, stride, padding, dilation = torch_last(problem, x, weight, bias)
    reorder = getattr(torch._C._nn, f"mkldnn_reorder_conv{'3d' if problem.operation == 'conv3d' else '2d'}_weight")
    packed = reorder(weight.to_mkldnn(), padding, stride, dilation, problem.G, list(x.shape))
    run = torch.ops.mkldnn._convolution_pointwise

    def way(name, x):
        return Way(name, lambda: run(x, packed, bias, padding, stride, dilation, problem.G, "none", [], ""),
                   lambda y: y.numpy().reshape(problem.output_shape))
    return [way("channels_last", x_last), way("NCHW", x)]


# ---- ONNX Runtime ---------------------------------------------------------------------------------------------------


def onnxruntime(problem, x, weight, bias, threads):
    """A model of one Conv, weights as initializers, input and output bound; with and without its own blocked layout."""
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=problem.stride, pads=2 * pads(problem),
                            dilations=problem.dilation, group=problem.G, kernel_shape=problem.kernel)
    graph = helper.make_graph([node], "conv", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, problem.output_shape)],
                              [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()

    def way(name, level):
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.graph_optimization_level = level
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        binding, y = session.io_binding(), ort.OrtValue.ortvalue_from_shape_and_type(problem.output_shape, np.float32)
        binding.bind_ortvalue_input("x", given)
        binding.bind_ortvalue_output("y", y)
        return Way(name, lambda: session.run_with_iobinding(binding) or given, lambda _: y.numpy())
    given = ort.OrtValue.ortvalue_from_numpy(x)
    levels = ort.GraphOptimizationLevel
    return [way("all optimisations", levels.ORT_ENABLE_ALL), way("basic optimisations", levels.ORT_ENABLE_BASIC)]


# ---- OpenVINO -------------------------------------------------------------------------------------------------------


def openvino(problem, x, weight, bias, threads):
    """A compiled model of one convolution in float32 (its default may be bfloat16), tensors set beforehand."""
    import openvino as ov
    import openvino.opset13 as ops
    parameter = ops.parameter(x.shape, np.float32)
    arguments = list(problem.stride), pads(problem), pads(problem), list(problem.dilation)
    if problem.G == 1:
        y = ops.convolution(parameter, ops.constant(weight), *arguments)
    else:
        grouped = weight.reshape(problem.G, -1, *weight.shape[1:])
        y = ops.group_convolution(parameter, ops.constant(grouped), *arguments)
    y = ops.add(y, ops.constant(bias.reshape(1, -1, *(1,) * len(problem.size))))
    compiled = ov.Core().compile_model(ov.Model([y], [parameter]), "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False})
    request, tensor = compiled.create_infer_request(), ov.Tensor(x, shared_memory=True)
    request.set_input_tensor(tensor)

    def call():
        request.infer(share_outputs=True)
        return tensor           # which must outlive the request
    return [Way("latency hint", call, lambda _: request.get_output_tensor().data)]


# ---- ncnn -----------------------------------------------------------------------------------------------------------

NCNN_AXES = (("w", 0), ("h", 10), ("d", 20))        # parameter numbers of the last, the middle, the first spatial axis


@cache
def ncnn_pools():
    """Allocators that hand the same memory out again; they must outlive every matrix."""
    import ncnn
    return ncnn.PoolAllocator(), ncnn.PoolAllocator()


def ncnn_parameters(problem: Problem) -> str:
    axes = list(zip(reversed(problem.kernel), reversed(problem.dilation), reversed(problem.stride), reversed(pads(problem))))
    numbers = {0: problem.K, 5: 1, 6: problem.K * problem.sum_length}
    for (_, offset), (kernel, dilation, stride, pad) in zip(NCNN_AXES, axes):
        numbers |= {1 + offset: kernel, 2 + offset: dilation, 3 + offset: stride, 4 + offset: pad}
    for end, (*_, pad) in zip((15, 16, 17), axes):
        numbers[end] = pad
    if problem.G > 1:
        numbers[7] = problem.G
    kind = ("ConvolutionDepthWise" if problem.G > 1 else "Convolution") + {1: "1D", 2: "", 3: "3D"}[len(problem.size)]
    text = " ".join(f"{key}={value}" for key, value in sorted(numbers.items()))
    return f"7767517\n2 2\nInput in 0 1 x\n{kind} conv 1 1 x y {text}\n"


def ncnn(problem, x, weight, bias, threads):
    """A net of one layer in float32 with pooled memory; images one by one, plain or in its own packed layout."""
    import ncnn as library
    blobs, workspace = ncnn_pools()
    net = library.Net()
    for option in dir(net.opt):
        if option.startswith("use_") and any(kind in option for kind in ("fp16", "bf16", "int8", "vulkan")):
            setattr(net.opt, option, False)
    net.opt.num_threads, net.opt.blob_allocator, net.opt.workspace_allocator = threads, blobs, workspace
    net.load_param_mem(ncnn_parameters(problem))
    with tempfile.NamedTemporaryFile(delete=False) as file:         # its reader from memory takes no bytes
        file.write(np.concatenate([np.zeros(1, np.float32), weight.ravel(), bias]).tobytes())
    net.load_model(file.name)
    os.unlink(file.name)
    plain = [library.Mat(np.ascontiguousarray(image)).clone() for image in x]
    pack = next((n for n in (16, 8, 4) if problem.C % n == 0), 1)
    packed = [library.convert_packing(image, pack) for image in plain]

    def run(image, kind):
        extractor = net.create_extractor()
        extractor.input("x", image)
        return extractor.extract("y", kind)[1]

    def way(name, images, kind):
        return Way(name, lambda: [run(image, kind) for image in images],
                   lambda ys: np.stack([np.array(library.convert_packing(y, 1)) for y in ys]).reshape(problem.output_shape))
    return [way("packed layout", packed, 1), way("plain layout", plain, 0)]


FASTCONV = (
    Contender("function NCHW", "fastconv", fastconv_function(False), anything, fastconv_start),
    Contender("packed NCHW", "fastconv", fastconv_packed(False), anything, fastconv_start),
    Contender("function channels_last", "fastconv", fastconv_function(True), anything, fastconv_start),
    Contender("packed channels_last", "fastconv", fastconv_packed(True), anything, fastconv_start),
)
PEERS = (
    Contender("torch NCHW", "torch", torch_contiguous, symmetric, torch_start),
    Contender("torch channels_last", "torch", torch_channels_last, symmetric, torch_start),
    Contender("torch prepacked", "torch", torch_prepacked, single, torch_start),
    Contender("ONNX Runtime", "onnxruntime", onnxruntime, single),
    Contender("OpenVINO", "openvino", openvino, single),
    Contender("ncnn", "ncnn", ncnn, single),
)
LIBRARIES = tuple(dict.fromkeys(peer.library for peer in PEERS))
