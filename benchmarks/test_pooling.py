"""Pooling layers of VGG, ResNet, Inception, YOLO; bytes per second beside a copy of as many bytes."""
from math import prod

import numpy as np
import pytest

import fastconv

LAYERS = {
    "resnet-max3s2": ("max_pool2d", (1, 64, 112, 112), (3, 2, 1)),
    "vgg-max2-112": ("max_pool2d", (1, 128, 112, 112), (2,)),
    "vgg-max2-56": ("max_pool2d", (1, 256, 56, 56), (2,)),
    "vgg-max2-28": ("max_pool2d", (1, 512, 28, 28), (2,)),
    "inception-max3s1": ("max_pool2d", (1, 192, 28, 28), (3, 1, 1)),
    "yolo-max13s1": ("max_pool2d", (1, 512, 20, 20), (13, 1, 6)),
    "image-max31s1": ("max_pool2d", (1, 3, 512, 512), (31, 1, 15)),
    "avg3s1": ("avg_pool2d", (1, 64, 56, 56), (3, 1, 1)),
    "densenet-avg2": ("avg_pool2d", (1, 256, 56, 56), (2,)),
    "global-7": ("adaptive_avg_pool2d", (1, 2048, 7, 7), (1,)),
    "global-56": ("adaptive_avg_pool2d", (1, 256, 56, 56), (1,)),
    "vgg-adaptive7": ("adaptive_avg_pool2d", (1, 512, 30, 30), (7,)),
    "segnet-indices": ("max_pool2d", (1, 64, 112, 112), (2, 2, 0, 1, False, True)),
    "c3d-max2": ("max_pool3d", (1, 32, 16, 56, 56), (2,)),
    "wave-max3s2": ("max_pool1d", (1, 64, 16000), (3, 2, 1)),
}


@pytest.mark.benchmark(max_time=0.1, min_rounds=3, min_time=1e-5)
@pytest.mark.parametrize("channels_last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("name", LAYERS)
def test_pooling(benchmark, name, channels_last):
    operation, shape, arguments = LAYERS[name]
    x = np.random.default_rng(1).standard_normal(shape, np.float32)
    x = np.ascontiguousarray(np.moveaxis(x, 1, -1)) if channels_last else x
    function = getattr(fastconv, operation)
    if prod(shape) < 1 << 19:
        with fastconv.validation():
            function(x, *arguments, channels_last=channels_last)
    y = function(x, *arguments, channels_last=channels_last)
    results = y if isinstance(y, tuple) else (y,)
    size = x.nbytes + sum(a.nbytes for a in results)
    benchmark.group = name
    benchmark(function, x, *arguments, channels_last=channels_last)
    benchmark.extra_info |= {"family": "pooling", "bytes": size, "threads": fastconv.get_num_threads()}
    if benchmark.stats is not None:                 # None with --benchmark-disable
        benchmark.extra_info["GB/s"] = size / benchmark.stats.stats.median / 1e9
