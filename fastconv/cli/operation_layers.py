"""Layers that are no plain convolution, for benchmarks: one row each, named as in layers.py.

A name is <network>/<what>-<C>-<K>@<size>; <what> is t<kernel> for a transposed convolution, d<kernel> for a deformable one,
else the operation with what tells rows apart.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .operations import Call

BOXES, BINS, MAP_SCALE = 300, 7, 1 / 16         # of a detector: proposals, bins of each, pixels of its map per pixel


@dataclass(frozen=True)
class Row:
    """One layer: who makes its call, and of which extents."""

    name: str
    make: Callable[..., Call]
    C: int
    size: int | tuple[int, int]
    K: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def call(self, reduce: int = 1) -> Call:
        """The call; with `reduce` all extents are divided by it, for tests."""
        size = self.size if isinstance(self.size, tuple) else (self.size, self.size)
        C, K, *size = (max(1, n // reduce) for n in (self.C, self.K, *size))
        return self.make(C=C, size=tuple(size), **({"K": K} if self.K else {}), **self.options)


def call(operation: str, shapes: dict[str, tuple], flops: int = 0, sum_length: int = 0, **arguments) -> Call:
    return Call(operation, tuple(shapes.items()), tuple(arguments.items()), flops, sum_length)


def transposed(C, K, size, kernel, stride=1, padding=0, output_padding=0) -> Call:
    shapes = {"input": (1, C, *size), "weight": (C, K, kernel, kernel), "bias": (K,)}
    return call("conv_transpose2d", shapes, 2 * C * K * kernel**2 * size[0] * size[1], C * kernel**2,
                stride=stride, padding=padding, output_padding=output_padding)


def deformable(C, K, size, groups=1, masked=True) -> Call:
    shapes = {"input": (1, C, *size), "offset": (1, 18 * groups, *size), "weight": (K, C, 3, 3), "bias": (K,)}
    shapes |= {"mask": (1, 9 * groups, *size)} if masked else {}
    return call("deform_conv2d", shapes, 18 * C * K * size[0] * size[1], 9 * C, padding=1)


def separable(C, K, size) -> Call:
    shapes = {"input": (1, C, *size), "depthwise_weight": (C, 1, 3, 3), "pointwise_weight": (K, C, 1, 1), "bias": (K,)}
    return call("separable_conv2d", shapes, 2 * (9 * C + C * K) * size[0] * size[1], 9 + C, padding=1)


def spatial(C, size, taps) -> Call:
    shapes = {"input": (1, C, *size), "column": (C, taps), "row": (C, taps), "bias": (C,)}
    return call("spatial_separable_conv2d", shapes, 4 * taps * C * size[0] * size[1], taps**2, padding=taps // 2)


def gated(C, K, size) -> Call:
    shapes = {"input": (1, C, *size), "weight": (K, C, 3, 3), "gate_weight": (K, C, 3, 3), "bias": (K,), "gate_bias": (K,)}
    roundings = 81 * C          # of two sums, and a gate makes the output small beside what was rounded
    return call("gated_conv2d", shapes, 2 * 18 * C * K * size[0] * size[1], roundings, padding=1)


def partial(C, K, size) -> Call:
    shapes = {"input": (1, C, *size), "mask": (1, 1, *size), "weight": (K, C, 3, 3), "bias": (K,)}
    return call("partial_conv2d", shapes, 18 * C * K * size[0] * size[1], 9 * C, padding=1)


def pool(C, size, operation, kernel, stride=None, padding=0, **more) -> Call:
    return call(operation, {"input": (1, C, *size)}, 0, kernel**2 if operation == "avg_pool2d" else 0,
                kernel_size=kernel, stride=stride or kernel, padding=padding, **more)


def adaptive(C, size, operation, output_size) -> Call:
    return call(operation, {"input": (1, C, *size)}, 0, size[0] * size[1] if "avg" in operation else 0,
                output_size=output_size)


def resize(C, size, mode, scale, **more) -> Call:
    return call("interpolate", {"input": (1, C, *size)}, 0, 0 if mode == "nearest" else max(size)**2, scale_factor=scale,
                mode=mode, **more)


def sample(C, size) -> Call:
    return call("grid_sample", {"input": (1, C, *size), "grid": (1, *size, 2)}, 0, max(size)**2, mode="bilinear",
                align_corners=False)


def move(C, size, operation, **arguments) -> Call:
    return call(operation, {"input": (1, C, *size)}, **arguments)


def region(C, size, operation, **more) -> Call:
    channels = C * BINS**2 if operation.startswith("ps_") else C        # every bin has its own
    shapes = {"input": (1, channels, *size), "boxes": (BOXES, 5)}
    shapes |= {"offset": (BOXES, 2, BINS, BINS)} if operation == "deform_roi_pool" else {}
    return call(operation, shapes, 0, 0 if operation == "roi_pool" else max(size)**2, output_size=BINS,
                spatial_scale=MAP_SCALE, **more)


def transposed_rows() -> Iterator[Row]:
    """U-Net (Ronneberger et al. 2015), DCGAN (Radford et al. 2016), a decoder with odd sizes, super-resolution."""
    for network, C, K, size, kernel, stride, padding, extra in [
            ("unet", 512, 256, 28, 2, 2, 0, 0), ("unet", 128, 64, 112, 2, 2, 0, 0), ("decoder", 256, 128, 28, 3, 2, 1, 0),
            ("decoder", 256, 128, 28, 3, 2, 1, 1), ("dcgan", 512, 256, 8, 4, 2, 1, 0), ("dcgan", 256, 128, 16, 4, 2, 1, 0),
            ("dcgan", 128, 64, 32, 4, 2, 1, 0), ("dcgan", 64, 32, 32, 5, 2, 2, 1), ("decoder", 128, 128, 28, 3, 1, 1, 0)]:
        yield Row(f"{network}/t{kernel}x{kernel}-{C}-{K}@{size}{f's{stride}' if stride > 1 else ''}{'o1' if extra else ''}",
                  transposed, C, size, K,
                  dict(kernel=kernel, stride=stride, padding=padding, output_padding=extra))


def deformable_rows() -> Iterator[Row]:
    """Deformable ConvNets in the stages of a ResNet (Dai et al. 2017, Zhu et al. 2019)."""
    for C, size, groups, masked in [(256, 28, 1, False), (256, 28, 1, True), (256, 64, 1, False), (256, 64, 1, True),
                                    (64, 56, 1, True), (256, 28, 4, True)]:
        yield Row(f"dcnv{1 + masked}/d3x3-{C}-{C}@{size}{f'o{groups}' if groups > 1 else ''}", deformable, C, size, C,
                  dict(groups=groups, masked=masked))


def combined_rows(make: Callable[..., Call], network: str, extents: list[tuple[int, int, int]]) -> Iterator[Row]:
    name = make.__name__
    for C, K, size in extents:
        yield Row(f"{network}/{name}-{C}-{K}@{size}", make, C, size, K)


def spatial_rows() -> Iterator[Row]:
    for C, size, taps in ((64, 112, 7),):
        yield Row(f"spatial/{taps}x{taps}-{C}@{size}", spatial, C, size, 0, dict(taps=taps))


def pooling_rows() -> Iterator[Row]:
    """Pools of ResNet, VGG, SegNet, Inception, DenseNet and of classifiers."""
    for kernel, padding in ((3, 1), (2, 0)):
        for C, size in ((64, 112), (128, 56), (256, 28)):
            yield Row(f"pool/max{kernel}x{kernel}-{C}@{size}s2", pool, C, size, 0,
                      dict(operation="max_pool2d", kernel=kernel, stride=2, padding=padding))
    yield Row("segnet/max2x2-64@112s2indices", pool, 64, 112, 0,
              dict(operation="max_pool2d", kernel=2, return_indices=True))
    yield Row("inception/avg3x3-192@28", pool, 192, 28, 0, dict(operation="avg_pool2d", kernel=3, stride=1, padding=1))
    yield Row("densenet/avg2x2-256@56s2", pool, 256, 56, 0, dict(operation="avg_pool2d", kernel=2))
    for C, size in ((2048, 7), (512, 28)):
        yield Row(f"global/avg-{C}@{size}", adaptive, C, size, 0, dict(operation="adaptive_avg_pool2d", output_size=1))
    for size in (14, 30):
        yield Row(f"vgg/avg7-512@{size}", adaptive, 512, size, 0, dict(operation="adaptive_avg_pool2d", output_size=7))


def resampling_rows() -> Iterator[Row]:
    """Feature maps: FPN, U-Net and DeepLab decoders, ESPCN (Shi et al. 2016), YOLOv5; images of 1, 3 and 64 channels."""
    resizes = [("bilinear", 2, dict(align_corners=False)), ("bilinear", 2, dict(align_corners=True)),
               ("bilinear", 1.5, dict(align_corners=False)), ("bilinear", 1.5, dict(align_corners=True)),
               ("nearest", 2, {}), ("bicubic", 2, dict(align_corners=False)),
               ("bilinear", 0.5, dict(align_corners=False, antialias=True))]
    for mode, scale, more in resizes:
        extra = ("corners" if more.get("align_corners") else "") + ("antialias" if "antialias" in more else "")
        yield Row(f"map/{mode}{extra}-64@56x{scale:g}", resize, 64, 56, 0, dict(mode=mode, scale=scale, **more))
    for C in (1, 3, 64):
        for mode, scale, more in (resizes[0], resizes[4], resizes[5], resizes[6]):
            extra = "antialias" if "antialias" in more else ""
            yield Row(f"image/{mode}{extra}-{C}@240x320x{scale:g}", resize, C, (240, 320), 0,
                      dict(mode=mode, scale=scale, **more))
    yield Row("espcn/shuffle2-64@112", move, 64, 112, 0, dict(operation="pixel_shuffle", upscale_factor=2))
    yield Row("espcn/shuffle3-72@112", move, 72, 112, 0, dict(operation="pixel_shuffle", upscale_factor=3))
    yield Row("yolo/focus-3@640", move, 3, 640, 0, dict(operation="focus"))
    yield Row("stn/grid_sample-64@112", sample, 64, 112)
    yield Row("map/reflect-64@112", move, 64, 112, 0, dict(operation="pad", pad=(1, 1, 1, 1), mode="reflect"))


def region_rows() -> Iterator[Row]:
    """300 boxes on the map of a detector (Faster R-CNN, Mask R-CNN, R-FCN, Deformable R-FCN)."""
    for what, operation, C, more in [
            ("align7x7r2", "roi_align", 256, dict(sampling_ratio=2, aligned=True)),
            ("align7x7", "roi_align", 256, dict(sampling_ratio=0, aligned=True)),
            ("pool7x7", "roi_pool", 256, {}), ("position7x7", "ps_roi_pool", 10, {}),
            ("deform7x7r2", "deform_roi_pool", 256, dict(sampling_ratio=2, gamma=0.1))]:
        yield Row(f"roi/{what}-{C}@50", region, C, 50, 0, dict(operation=operation, **more))


def rows() -> dict[str, tuple[Row, ...]]:
    """Family -> its rows."""
    return {
        "transposed": tuple(transposed_rows()), "deformable": tuple(deformable_rows()),
        "separable": tuple(combined_rows(separable, "mobilenet", [(32, 64, 112), (128, 128, 56), (512, 512, 14)])
                           ) + tuple(spatial_rows()),
        "gated": tuple(combined_rows(gated, "inpainting", [(64, 64, 56), (256, 256, 28)])),
        "partial": tuple(combined_rows(partial, "inpainting", [(64, 64, 56), (32, 32, 112)])),
        "pooling": tuple(pooling_rows()), "resampling": tuple(resampling_rows()), "regions": tuple(region_rows())}
