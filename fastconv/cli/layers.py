"""Layers of well-known networks, for benchmarks; and random convolutions of the same kind.

A convolution is named <network>/<kernel>-<C>-<K>@<size>, then what is not 1: s<stride>, d<dilation>, g<groups>, n<batch>,
f64. A depthwise one is dw<kernel>-<C>. Every problem has a bias, as where a batch normalisation was folded in. What is no
plain convolution is in operation_layers.py.
"""
from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from typing import NamedTuple

from ..problem import Problem, convolution_problem
from .operation_layers import rows
from .operations import Call

CONVOLUTIONS = ("dense", "pointwise", "depthwise", "grouped", "dilated", "first", "last", "1d", "3d", "tiny", "batch",
                "f64", "blur")
FAMILIES = (*CONVOLUTIONS, *rows())
BESIDE = {"resnet50/3x3-64-64@56": ("partial",)}        # plain convolutions that another family is compared with


class Layer(NamedTuple):
    """One operation of one network: a plain convolution with a bias, or a call of another function. Channels first."""

    name: str
    network: str
    problem: Problem | Call
    tags: tuple[str, ...]           # families that it belongs to; the first is the one whose mean it enters

    @property
    def family(self) -> str:
        return self.tags[0]


def layer(network: str, C: int, K: int, kernel, size, stride: int = 1, dilation: int = 1, groups: int = 1, batch: int = 1,
          padding=None, real: str = "f32", family: str | None = None, rank_one: bool = False) -> Layer:
    """A layer; an int for kernel or size means a square one, `padding=None` the one that keeps the size at stride 1."""
    kernel, size = (value if isinstance(value, tuple) else (value, value) for value in (kernel, size))
    if padding is None:
        padding = tuple(dilation * (k - 1) // 2 for k in kernel)
    problem = convolution_problem(f"conv{len(size)}d", (batch, C, *size), (K, C // groups, *kernel), real, stride, padding,
                                  dilation, groups, bias=True)
    problem = replace(problem, rank_one=rank_one)
    tags = families(problem)
    if family is not None:
        tags = (family, *(tag for tag in tags if tag != family))
    named = name(network, problem)
    return Layer(named, network, problem, (*tags, *BESIDE.get(named, ())))


def families(problem: Problem) -> tuple[str, ...]:
    """The most telling family first."""
    belongs = {
        "blur": problem.rank_one,
        "f64": problem.real == "f64",
        "batch": problem.N > 1,
        "tiny": problem.macs < 1 << 17,
        "1d": problem.operation == "conv1d",
        "3d": problem.operation == "conv3d",
        "depthwise": problem.depthwise,
        "grouped": problem.G > 1 and not problem.depthwise,
        "dilated": max(problem.dilation) > 1,
        "first": problem.C <= 4,
        "last": problem.K <= 8 and problem.G == 1,
        "pointwise": problem.taps == 1 and problem.G == 1,
        "dense": problem.taps > 1 and problem.G == 1,
    }
    return tuple(family for family, yes in belongs.items() if yes)


def name(network: str, problem: Problem) -> str:
    def text(extents):
        return str(extents[0]) if len(extents) > 1 and len(set(extents)) == 1 else "x".join(map(str, extents))
    kernel = "x".join(map(str, problem.kernel))
    start = f"dw{kernel}-{problem.C}" if problem.depthwise else f"{kernel}-{problem.C}-{problem.K}"
    groups = 1 if problem.depthwise else problem.G
    extras = {"s": max(problem.stride), "d": max(problem.dilation), "g": groups, "n": problem.N}
    end = "".join(f"{letter}{n}" for letter, n in extras.items() if n > 1)
    return f"{network}/{start}@{text(problem.size)}{end}{'f64' if problem.real == 'f64' else ''}"


def resnet50() -> Iterator[Layer]:
    """He et al. 2016, with the stride in the 3x3 layers."""
    yield layer("resnet50", 3, 64, 7, 224, 2)
    for C, K, kernel, size, stride in [
            (64, 64, 1, 56, 1), (64, 64, 3, 56, 1), (64, 256, 1, 56, 1), (256, 64, 1, 56, 1),
            (256, 128, 1, 56, 1), (128, 128, 3, 56, 2), (128, 512, 1, 28, 1), (256, 512, 1, 56, 2), (512, 128, 1, 28, 1),
            (128, 128, 3, 28, 1), (512, 256, 1, 28, 1), (256, 256, 3, 28, 2), (256, 1024, 1, 14, 1), (512, 1024, 1, 28, 2),
            (1024, 256, 1, 14, 1), (256, 256, 3, 14, 1), (1024, 512, 1, 14, 1), (512, 512, 3, 14, 2), (512, 2048, 1, 7, 1),
            (1024, 2048, 1, 14, 2), (2048, 512, 1, 7, 1), (512, 512, 3, 7, 1)]:
        yield layer("resnet50", C, K, kernel, size, stride)


def vgg16() -> Iterator[Layer]:
    """Simonyan and Zisserman 2015."""
    for C, K, size in [(3, 64, 224), (64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), (256, 256, 56),
                       (256, 512, 28), (512, 512, 28), (512, 512, 14)]:
        yield layer("vgg16", C, K, 3, size)


def heads() -> Iterator[Layer]:
    """Last layers, which make images, maps or flows: SRCNN (Dong et al. 2016), EDSR (Lim et al. 2017), CycleGAN (Zhu et al.
    2017), U-Net (Ronneberger et al. 2015), RAFT (Teed and Deng 2020), CenterNet (Zhou et al. 2019)."""
    for network, C, K, kernel, size in [
            ("srcnn", 32, 1, 5, 256), ("edsr", 64, 3, 3, 256), ("cyclegan", 64, 3, 7, 256), ("unet", 64, 2, 1, 388),
            ("raft", 256, 2, 3, (55, 128)), ("centernet", 64, 2, 1, 128)]:
        yield layer(network, C, K, kernel, size)


def mobilenetv2() -> Iterator[Layer]:
    """Sandler et al. 2018."""
    yield layer("mobilenetv2", 3, 32, 3, 224, 2)
    for C, K, size in [(32, 16, 112), (16, 96, 112), (96, 24, 56), (24, 144, 56), (32, 192, 28), (192, 32, 28),
                       (384, 64, 14), (96, 576, 14), (160, 960, 7), (320, 1280, 7)]:
        yield layer("mobilenetv2", C, K, 1, size)
    for C, size, stride in [(32, 112, 1), (96, 112, 2), (144, 56, 1), (192, 28, 1), (192, 28, 2), (384, 14, 1), (576, 14, 2),
                            (960, 7, 1)]:
        yield layer("mobilenetv2", C, C, 3, size, stride, groups=C)


def efficientnet_b0() -> Iterator[Layer]:
    """Tan and Le 2019; without the layers of MobileNetV2."""
    for C, K, size in [(40, 240, 28), (80, 480, 14), (672, 112, 14), (192, 1152, 7), (1152, 192, 7)]:
        yield layer("efficientnet", C, K, 1, size)
    for C, kernel, size, stride in [(144, 5, 56, 2), (240, 5, 28, 1), (240, 3, 28, 2), (480, 5, 14, 1), (672, 5, 14, 2),
                                    (1152, 5, 7, 1)]:
        yield layer("efficientnet", C, C, kernel, size, stride, groups=C)


def large_kernels() -> Iterator[Layer]:
    """ConvNeXt (Liu et al. 2022) and RepLKNet (Ding et al. 2022)."""
    yield layer("convnext", 3, 96, 4, 224, 4, padding=0)
    for C, size in [(96, 56), (192, 28), (384, 14), (768, 7)]:
        yield layer("convnext", C, C, 7, size, groups=C)
    for C, kernel, size in [(128, 31, 56), (256, 29, 28), (512, 27, 14), (1024, 13, 7)]:
        yield layer("replknet", C, C, kernel, size, groups=C)


def dilated_and_grouped() -> Iterator[Layer]:
    """DeepLabv3 (Chen et al. 2017), ResNeXt-50 32x4d (Xie et al. 2017), ShuffleNet (Zhang et al. 2018)."""
    for C, K, size, dilation in [(256, 256, 33, 2), (512, 512, 33, 2), (512, 256, 33, 12), (2048, 256, 33, 12)]:
        yield layer("deeplab", C, K, 3, size, dilation=dilation)
    for C, size, stride in [(128, 56, 1), (256, 56, 2), (256, 28, 1), (512, 14, 1), (1024, 7, 1)]:
        yield layer("resnext", C, C, 3, size, stride, groups=32)
    yield layer("shufflenet", 240, 240, 1, 28, groups=3)


def one_dimensional() -> Iterator[Layer]:
    """WaveNet (van den Oord et al. 2016), wav2vec 2.0 (Baevski et al. 2020), Whisper (Radford et al. 2022),
    Conformer (Gulati et al. 2020), long filters.
    """
    for dilation in (1, 16, 512):
        yield layer("wavenet", 64, 128, (2,), (16000,), dilation=dilation, padding=0, family="1d")
    yield layer("wav2vec2", 1, 512, (10,), (16000,), 5, padding=0)
    yield layer("wav2vec2", 512, 512, (3,), (3200,), 2, padding=0)
    yield layer("whisper", 80, 512, (3,), (3000,))
    yield layer("conformer", 512, 512, (31,), (400,), groups=512, family="1d")
    yield layer("long", 16, 16, (31,), (131072,))
    yield layer("long", 1, 1, (65,), (1048576,))


def three_dimensional() -> Iterator[Layer]:
    """C3D (Tran et al. 2015), 3-D U-Net (Cicek et al. 2016), R(2+1)D (Tran et al. 2018), X3D (Feichtenhofer 2020)."""
    yield layer("c3d", 3, 64, (3, 3, 3), (16, 112, 112), family="3d")
    yield layer("c3d", 64, 64, (3, 3, 3), (16, 56, 56))
    yield layer("c3d", 256, 256, (3, 3, 3), (4, 14, 14))
    yield layer("unet3d", 32, 32, (3, 3, 3), (32, 32, 32))
    yield layer("r2plus1d", 64, 144, (1, 3, 3), (8, 56, 56))
    yield layer("r2plus1d", 144, 64, (3, 1, 1), (8, 56, 56))
    yield layer("x3d", 54, 54, (3, 3, 3), (13, 40, 40), groups=54, family="3d")


def tiny() -> Iterator[Layer]:
    """Where the cost of the call itself counts; LeNet-5 (LeCun et al. 1998) among them."""
    yield layer("tiny", 8, 8, 3, 8)
    yield layer("tiny", 16, 16, 1, 8)
    yield layer("tiny", 16, 16, 3, 8, groups=16)
    yield layer("lenet", 1, 6, 5, 28)
    yield layer("lenet", 6, 16, 5, 14, padding=0, family="tiny")


def batches() -> Iterator[Layer]:
    for C, K, kernel, size in [(64, 64, 3, 56), (256, 256, 3, 14), (512, 512, 3, 7), (256, 64, 1, 56), (2048, 512, 1, 7)]:
        yield layer("resnet50", C, K, kernel, size, batch=16)
    yield layer("mobilenetv2", 144, 144, 3, 56, groups=144, batch=16)
    yield layer("resnet20", 16, 16, 3, 32, batch=16)


def blurs() -> Iterator[Layer]:
    """Gaussians on images."""
    for C, kernel in ((1, 21), (3, 21), (1, 31)):
        yield layer("gaussian", C, C, kernel, (1080, 1920), groups=C, rank_one=True)


def double_precision() -> Iterator[Layer]:
    yield layer("resnet50", 64, 64, 3, 56, real="f64")
    yield layer("resnet50", 256, 64, 1, 56, real="f64")
    yield layer("mobilenetv2", 144, 144, 3, 56, groups=144, real="f64")
    yield layer("long", 1, 1, (65,), (1048576,), real="f64")


NETWORKS: tuple[Callable[[], Iterator[Layer]], ...] = (
    resnet50, vgg16, mobilenetv2, efficientnet_b0, large_kernels, dilated_and_grouped, one_dimensional, three_dimensional,
    heads, tiny, batches, double_precision, blurs)


def operations() -> Iterator[Layer]:
    """What is no plain convolution."""
    for family, some in rows().items():
        for row in some:
            yield Layer(row.name, row.name.partition("/")[0], row.call(), (family,))


@cache
def convolution_layers() -> tuple[Layer, ...]:
    """Plain convolutions, by network."""
    return tuple(layer for network in NETWORKS for layer in network())


@cache
def named_layers() -> tuple[Layer, ...]:
    """All layers: plain convolutions by network, then the other operations by family."""
    return (*convolution_layers(), *operations())


def select(layers: tuple[Layer, ...], pattern: str | None = None, family: str | None = None) -> tuple[Layer, ...]:
    """Those whose name fits a shell pattern, or contains it if it has no wildcard, and that belong to a family."""
    if pattern is not None and not any(c in pattern for c in "*?["):
        pattern = f"*{pattern}*"
    return tuple(layer for layer in layers if (pattern is None or fnmatchcase(layer.name, pattern))
                 and (family is None or family in layer.tags))


def random_layers(n: int, seed: int = 0) -> tuple[Layer, ...]:
    """`n` layers drawn from the ranges that networks use, the same for the same seed; none above 4 GFLOP."""
    draw = random.Random(seed)
    layers: list[Layer] = []
    while len(layers) < n:
        made = random_layer(draw)
        if made.problem.flops <= 4e9 and made not in layers:
            layers.append(made)
    return tuple(layers)


def random_layer(draw: random.Random) -> Layer:
    kind = draw.choices(("dense", "pointwise", "depthwise", "grouped", "dilated", "first", "last", "1d", "3d"),
                        (6, 5, 4, 2, 1, 1, 1, 1, 1))[0]
    C, K = (8 * draw.choice((1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128)) for _ in range(2))
    size = draw.choice((7, 8, 10, 14, 16, 19, 20, 28, 32, 33, 40, 56, 64, 80, 112, 128))
    kernel, stride = draw.choice((3, 3, 3, 5, 7)), draw.choice((1, 1, 1, 2))
    if kind == "pointwise":
        return layer("random", C, K, 1, size, draw.choice((1, 1, 1, 1, 1, 2)))
    if kind == "depthwise":
        return layer("random", C, C, draw.choice((3, 3, 5, 7, 9)), size, stride, groups=C)
    if kind == "grouped":
        groups = draw.choice((2, 4, 8))
        return layer("random", 4 * C, 4 * C, 3, size, stride, groups=groups)
    if kind == "dilated":
        return layer("random", C, K, 3, size, dilation=draw.choice((2, 4, 6)))
    if kind == "first":
        return layer("random", draw.choice((1, 3, 4)), draw.choice((16, 24, 32, 48, 64)), kernel, 4 * size, 2)
    if kind == "last":
        return layer("random", C, draw.choice((1, 2, 3, 4, 6, 8)), draw.choice((1, 3, 3, 5)), 2 * size)
    if kind == "1d":
        return layer("random", C, K, (draw.choice((3, 5, 7, 9)),), (draw.randint(100, 8000),), stride)
    if kind == "3d":
        return layer("random", min(C, 128), min(K, 128), (3, 3, 3), (draw.choice((4, 8, 16)), min(size, 56), min(size, 56)))
    return layer("random", C, K, kernel, size, stride)
