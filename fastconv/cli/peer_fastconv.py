"""fastconv as a contender: its functions, its layers whose weights are packed once, its functions into an array given."""
from __future__ import annotations

from functools import partial

import numpy as np

from .operations import OPERATIONS, Arrays, Call, joined
from .way import CONVOLUTIONS, Prepare, Way, first, last, pads

LAYERS = {"conv1d": "Conv1d", "conv2d": "Conv2d", "conv3d": "Conv3d", "conv_transpose2d": "ConvTranspose2d",
          "deform_conv2d": "DeformConv2d", "separable_conv2d": "SeparableConv2d", "gated_conv2d": "GatedConv2d",
          "partial_conv2d": "PartialConv2d"}


def start(threads: int) -> None:
    import fastconv
    fastconv.set_num_threads(threads)


def options(problem, channels_last: bool) -> dict:
    if isinstance(problem, Call):
        return problem.options | {"channels_last": channels_last}
    return dict(stride=problem.stride, padding=tuple(pads(problem)), dilation=problem.dilation, groups=problem.G,
                channels_last=channels_last)


def arranged(problem, arrays: Arrays, channels_last: bool) -> Arrays:
    images = problem.images if isinstance(problem, Call) else ("input",)
    return {name: last(a) if channels_last and name in images else a for name, a in arrays.items()}


def answer(channels_last: bool):
    def channels_first(y) -> np.ndarray:
        parts = y if isinstance(y, tuple) else (y,)
        return joined(tuple(map(first, parts)) if channels_last else parts)
    return channels_first


def function(problem, arrays: Arrays, channels_last: bool) -> partial:
    """The call as a user writes it: plain convolutions with weight and bias in place, others by names."""
    import fastconv
    arrays, more = arranged(problem, arrays, channels_last), options(problem, channels_last)
    called = getattr(fastconv, problem.operation)
    if problem.operation in CONVOLUTIONS:
        return partial(called, *arrays.values(), **more)
    return partial(called, arrays.pop("input"), **arrays, **more)


def functions(channels_last: bool) -> dict[str, Prepare]:
    def prepare(problem, arrays, threads):
        return [Way("function", function(problem, arrays, channels_last), answer(channels_last))]
    return dict.fromkeys((*CONVOLUTIONS, *OPERATIONS), prepare)


def layers(channels_last: bool) -> dict[str, Prepare]:
    """A layer object, writing into an array that is used again and again."""
    def prepare(problem, arrays, threads):
        import fastconv
        arrays = arranged(problem, arrays, channels_last)
        weights = problem.weights if isinstance(problem, Call) else ("weight", "bias")
        made = getattr(fastconv, LAYERS[problem.operation])
        layer = made(**{name: arrays.pop(name) for name in weights}, **options(problem, channels_last))
        y = layer(*arrays.values())
        out = y[0] if isinstance(y, tuple) else y
        return [Way("layer", partial(layer, *arrays.values(), out=out), answer(channels_last))]
    return dict.fromkeys(LAYERS, prepare)


def into(channels_last: bool) -> dict[str, Prepare]:
    """The function of what has no layer, writing into an array that is used again and again."""
    def prepare(problem, arrays, threads):
        call = function(problem, arrays, channels_last)
        return [Way("function", partial(call, out=call()), answer(channels_last))]
    return dict.fromkeys((name for name in OPERATIONS if name not in LAYERS), prepare)
