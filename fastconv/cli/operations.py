"""Operations that are no plain convolution, as cases of a benchmark: one call with its arrays, and its answer in float64.

Functions of fastconv have the names and arguments of torch, so a call is a name, shapes and arguments. `OPERATIONS` says
for each name which problem fastconv makes of a call, which knows the shape of the output, and what the right answer is.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .. import reference, reference_deformable, reference_pooling, reference_regions, reference_resampling
from ..deform_problem import deform_problem
from ..plan import make_plan
from ..pool_problem import adaptive_problem, pool_problem
from ..problem import convolution_problem
from ..region_problem import region_problem
from ..resample_problem import (
    NEAREST,
    focus_problem,
    grid_sample_problem,
    interpolate_problem,
    pad_problem,
    pixel_shuffle_problem,
)
from ..transposed_problem import transposed_problem

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Call:
    """One call of a function of fastconv; arrays are channels first."""

    operation: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...]     # argument that is an array -> shape
    arguments: tuple[tuple[str, Any], ...] = ()         # the other arguments
    flops: int = 0              # 0: bound by memory, and reported in bytes
    sum_length: int = 0         # roundings of an output, about; 0: the answer is right to the bit
    real: str = "f32"

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.arguments)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return dict(self.shapes)["input"]

    @property
    def problem(self) -> Any:
        return OPERATIONS[self.operation].problem(self)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return self.problem.output_shape

    @property
    def bytes(self) -> int:
        """All arrays and the output, each once."""
        numbers = sum(prod(shape) for _, shape in self.shapes) + prod(self.output_shape)
        return (8 if self.real == "f64" else 4) * numbers + 8 * prod(self.output_shape) * self.returns_indices

    @property
    def returns_indices(self) -> bool:
        return bool(self.options.get("return_indices"))

    @property
    def images(self) -> tuple[str, ...]:
        """Arrays that have their channels last in that layout."""
        offset = ("offset",) if self.operation == "deform_conv2d" else ()
        return tuple(name for name, _ in self.shapes if name in ("input", "mask", *offset))

    @property
    def weights(self) -> tuple[str, ...]:
        """Arrays that are known before the input is."""
        return tuple(name for name, _ in self.shapes if name.endswith(("weight", "bias", "column", "row")))


def joined(result) -> np.ndarray:
    """One array of a result that may be a pair (values, indices) or (output, mask)."""
    return np.concatenate(result, axis=1) if isinstance(result, tuple) else np.asarray(result)


# ---- numbers --------------------------------------------------------------------------------------------------------


def uniform(call: Call, shape, generator: np.random.Generator) -> np.ndarray:
    return generator.random(shape) - 0.5


def shares(call: Call, shape, generator) -> np.ndarray:
    """From 0 to 1, as a sigmoid gives them."""
    return generator.random(shape)


def pixels(call: Call, shape, generator) -> np.ndarray:
    """Shifts of some pixels."""
    return 2 * generator.standard_normal(shape)


def holes(call: Call, shape, generator) -> np.ndarray:
    """1 but for a rectangle in the middle."""
    mask = np.ones(shape)
    mask[(..., *(slice(n // 4, n // 2) for n in shape[-2:]))] = 0
    return mask


def turned(call: Call, shape, generator) -> np.ndarray:
    """The coordinates (x, y) of a slightly turned image."""
    y, x = (np.linspace(-0.9, 0.9, n) for n in shape[1:3])
    x, y = x[None, :], y[:, None]
    return np.broadcast_to(np.stack(np.broadcast_arrays(x + 0.1 * y, y - 0.1 * x), -1), shape)


def boxes(call: Call, shape, generator) -> np.ndarray:
    """(image, x1, y1, x2, y2), a quarter to a half of the image wide and high."""
    extents = np.array(call.input_shape[:-3:-1]) / call.options["spatial_scale"]
    size = generator.uniform(0.25, 0.5, (shape[0], 2)) * extents
    corner = generator.random((shape[0], 2)) * (extents - size)
    return np.concatenate([np.zeros((shape[0], 1)), corner, corner + size], axis=1)


NUMBERS: dict[str | tuple[str, str], Callable[[Call, Any, np.random.Generator], np.ndarray]] = {
    "mask": shares, "offset": pixels, "grid": turned, "boxes": boxes, ("partial_conv2d", "mask"): holes,
    ("deform_roi_pool", "offset"): uniform}


def numbers(call: Call, generator: np.random.Generator) -> Arrays:
    """The arrays of a call, rounded to its number type."""
    dtype = np.float64 if call.real == "f64" else np.float32
    makers = {name: NUMBERS.get((call.operation, name), NUMBERS.get(name, uniform)) for name, _ in call.shapes}
    return {name: np.ascontiguousarray(makers[name](call, shape, generator), dtype) for name, shape in call.shapes}


# ---- problems and answers -------------------------------------------------------------------------------------------


class Operation(NamedTuple):
    """What one function computes."""

    problem: Callable[[Call], Any]                  # fastconv's problem; channels first
    answer: Callable[[Call, Arrays], np.ndarray]    # in float64, by the definitions of fastconv/reference*.py


def convolved(x, weight, bias=None, **arguments) -> np.ndarray:
    """A plain convolution in float64 by the last row of the table, which tests compare with SciPy."""
    problem = convolution_problem("conv2d", x.shape, weight.shape, "f64", **arguments, bias=bias is not None)
    y = np.empty(problem.output_shape)
    make_plan(problem, "direct").run(*(np.ascontiguousarray(a, np.float64) for a in (x, weight)),
                                     None if bias is None else bias.astype(np.float64), None, y)
    return y


def transposed_of(call: Call):
    shapes = dict(call.shapes)
    return transposed_problem(call.operation, call.input_shape, shapes["weight"], "f64", **call.options)


def deformed_of(call: Call):
    shapes = dict(call.shapes)
    groups = shapes["offset"][1] // (2 * prod(shapes["weight"][2:]))
    return deform_problem(call.input_shape, shapes["weight"], groups, "mask" in shapes, "f64", **call.options, bias=True)


def deformed(call: Call, arrays: Arrays) -> np.ndarray:
    x, *rest = arrays.items()
    return reference_deformable.convolution(call.problem, x[1], **dict(rest))


def separable_of(call: Call):
    """The problem whose output is that of the whole: a convolution with the depthwise step's extents."""
    shapes = dict(call.shapes)
    C, K = call.input_shape[1], shapes["pointwise_weight"][0]
    return convolution_problem("conv2d", call.input_shape, (K, C, *shapes["depthwise_weight"][2:]), "f64", **call.options)


def separable(call: Call, arrays: Arrays) -> np.ndarray:
    middle = convolved(arrays["input"], arrays["depthwise_weight"], groups=call.input_shape[1], **call.options)
    return convolved(middle, arrays["pointwise_weight"], arrays["bias"])


def spatial_of(call: Call):
    """The problem of the products of columns and rows."""
    shapes = dict(call.shapes)
    C, R = shapes["column"]
    return convolution_problem("conv2d", call.input_shape, (C, 1, R, shapes["row"][1]), "f64", groups=C, **call.options)


def spatial(call: Call, arrays: Arrays) -> np.ndarray:
    weight = arrays["column"][:, None, :, None] * arrays["row"][:, None, None, :]
    return convolved(arrays["input"], weight, arrays["bias"], groups=len(weight), **call.options)


def convolution_of(call: Call):
    return convolution_problem("conv2d", call.input_shape, dict(call.shapes)["weight"], "f64", **call.options)


def gated(call: Call, arrays: Arrays) -> np.ndarray:
    features = convolved(arrays["input"], arrays["weight"], arrays["bias"], **call.options)
    gate = convolved(arrays["input"], arrays["gate_weight"], arrays["gate_bias"], **call.options)
    return np.maximum(features, 0) / (1 + np.exp(-gate))


def partial(call: Call, arrays: Arrays) -> np.ndarray:
    """Output, and the new mask as one more channel."""
    weight, mask = arrays["weight"], arrays["mask"]
    sums = convolved(arrays["input"] * mask, weight, **call.options)
    count = convolved(mask, np.ones((1, 1, *weight.shape[2:])), **call.options)
    live = count > 0
    y = sums * np.where(live, prod(weight.shape[2:]) / np.maximum(count, 1), 0)
    return np.concatenate([y + np.where(live, arrays["bias"].reshape(-1, 1, 1), 0), live], axis=1)


def pool_of(call: Call):
    options = {"indices" if name == "return_indices" else name: value for name, value in call.arguments}
    make = adaptive_problem if call.operation.startswith("adaptive") else pool_problem
    return make(call.operation, call.input_shape, call.real, **options)


def pooled(call: Call, arrays: Arrays) -> np.ndarray:
    problem, x = call.problem, arrays["input"]
    if not problem.largest:
        return reference_pooling.mean(problem, x)
    return joined(reference_pooling.largest(problem, x)[:1 + problem.indices])


def resampled_of(call: Call):
    options = dict(size=None, scale_factor=None, align_corners=None, recompute_scale_factor=None, antialias=False)
    options |= call.options
    real = "" if options["mode"] in NEAREST else call.real
    return interpolate_problem(call.input_shape, real, 4, **options, channels_last=False)


def sampled_of(call: Call):
    return grid_sample_problem(call.input_shape, dict(call.shapes)["grid"], call.real, padding_mode="zeros",
                               channels_last=False, **call.options)


def pad_of(call: Call):
    return pad_problem(call.input_shape, 4, **call.options, channels_last=False)


def shuffle_of(call: Call):
    return pixel_shuffle_problem(call.input_shape, 4, call.options["upscale_factor"], "CRD", False)


def focus_of(call: Call):
    return focus_problem(call.input_shape, 4, False)


def regions_of(call: Call):
    options = {"sampling_ratio": -1} | call.options
    return region_problem(call.operation, call.input_shape, dict(call.shapes)["boxes"][0], call.real,
                          **options | ({"mode": "max"} if call.operation == "roi_pool" else {}))


def regions(call: Call, arrays: Arrays) -> np.ndarray:
    image, corners = arrays["boxes"][:, 0].astype(int), arrays["boxes"][:, 1:]
    return reference_regions.regions(call.problem, arrays["input"], corners, image, arrays.get("offset"))


def of_images(definition: Callable) -> Callable[[Call, Arrays], np.ndarray]:
    """An answer that is a definition on the arrays in their order."""
    return lambda call, arrays: definition(call.problem, *arrays.values())


OPERATIONS = {
    "conv_transpose2d": Operation(transposed_of, of_images(reference.transposed)),
    "deform_conv2d": Operation(deformed_of, deformed),
    "separable_conv2d": Operation(separable_of, separable),
    "spatial_separable_conv2d": Operation(spatial_of, spatial),
    "gated_conv2d": Operation(convolution_of, gated),
    "partial_conv2d": Operation(convolution_of, partial),
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"), Operation(pool_of, pooled)),
    "interpolate": Operation(resampled_of, of_images(reference_resampling.interpolated)),
    "grid_sample": Operation(sampled_of, of_images(reference_resampling.sampled)),
    "pixel_shuffle": Operation(shuffle_of, of_images(reference_resampling.rearranged)),
    "focus": Operation(focus_of, of_images(reference_resampling.rearranged)),
    "pad": Operation(pad_of, lambda call, a: reference_resampling.padded(call.problem, a["input"], np.zeros(1))),
    **dict.fromkeys(("roi_align", "roi_pool", "ps_roi_pool", "ps_roi_align", "deform_roi_pool"),
                    Operation(regions_of, regions)),
}
