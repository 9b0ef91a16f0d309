"""The convolutions of two networks at 224 x 224, in the order in which they run. Data only; classifiers are left out."""
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

INPUT = "image"
INPUT_SHAPE = (3, 224, 224)


class Layer(NamedTuple):
    """One convolution with bias (batch normalisation folded in), padded by half its kernel."""

    name: str
    source: str                 # the layer whose output it reads
    C: int
    K: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    activation: str | None = None
    residual: str | None = None     # the layer whose output is added before the activation


class Pool(NamedTuple):
    """Maximum of 3 x 3 pixels, stride 2, padding 1."""

    name: str
    source: str


def resnet50() -> Iterator[Layer | Pool]:
    """He et al. 2015 (arXiv:1512.03385), with the stride in the 3x3 convolution, as torchvision has it; 53 layers."""
    yield Layer("conv1", INPUT, 3, 64, 7, 2, activation="relu")
    yield Pool("pool", "conv1")
    source, C = "pool", 64
    for stage, (width, blocks, first_stride) in enumerate(((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)), 1):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", 1 if block else first_stride
            shortcut = source
            yield Layer(f"{name}.conv1", source, C, width, activation="relu")
            yield Layer(f"{name}.conv2", f"{name}.conv1", width, width, 3, stride, activation="relu")
            if block == 0:
                shortcut = f"{name}.downsample"
                yield Layer(shortcut, source, C, 4 * width, stride=stride)
            yield Layer(f"{name}.conv3", f"{name}.conv2", width, 4 * width, activation="relu", residual=shortcut)
            source, C = f"{name}.conv3", 4 * width


def mobilenet_v2() -> Iterator[Layer | Pool]:
    """Sandler et al. 2018 (arXiv:1801.04381), width 1; 52 layers."""
    yield Layer("conv1", INPUT, 3, 32, 3, 2, activation="relu6")
    source, C, number = "conv1", 32, 0
    for expansion, K, blocks, first_stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                               (6, 160, 3, 2), (6, 320, 1, 1)):
        for block in range(blocks):
            name, stride, width = f"block{number}", 1 if block else first_stride, expansion * C
            wide = source
            if expansion > 1:
                wide = f"{name}.expand"
                yield Layer(wide, source, C, width, activation="relu6")
            yield Layer(f"{name}.depthwise", wide, width, width, 3, stride, width, activation="relu6")
            yield Layer(f"{name}.project", f"{name}.depthwise", width, K, residual=source if block else None)
            source, C, number = f"{name}.project", K, number + 1
    yield Layer("conv2", source, C, 1280, activation="relu6")


NETWORKS = {"ResNet-50": resnet50, "MobileNetV2": mobilenet_v2}
