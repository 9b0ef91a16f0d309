"""Deformable convolution v1 and v2: 3x3 layers as Deformable ConvNets have in ResNets."""
from typing import NamedTuple

import numpy as np
import pytest

import fastconv
from fastconv import reference_deformable
from fastconv.deform_problem import deform_problem

SPREAD = 2.0                # pixels; standard deviation of the offsets


class Setting(NamedTuple):
    """A 3x3 layer that keeps the size."""

    C: int
    K: int
    size: tuple[int, int]
    offset_groups: int = 1
    groups: int = 1
    masked: bool = True
    real: str = "f32"

    def __str__(self) -> str:
        return (f"v{1 + self.masked}-{self.C}-{self.K}@{'x'.join(map(str, self.size))}o{self.offset_groups}g{self.groups}"
                f"{self.real}")


SETTINGS = [Setting(64, 64, (56, 56)), Setting(128, 128, (28, 28)), Setting(256, 256, (28, 28)),
            Setting(256, 256, (28, 28), masked=False), Setting(256, 256, (64, 64), masked=False),
            Setting(256, 256, (28, 28), offset_groups=4), Setting(512, 512, (14, 14)), Setting(512, 512, (7, 7)),
            Setting(128, 128, (100, 167)), Setting(256, 256, (28, 28), groups=32), Setting(16, 16, (56, 56)),
            Setting(128, 128, (28, 28), real="f64")]


@pytest.mark.parametrize("packed", [False, True], ids=["function", "packed"])
@pytest.mark.parametrize("channels_last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("algorithm", fastconv.list_algorithms("deform_conv2d"))
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_deformable(setting, algorithm, channels_last, packed, benchmark):
    """The first output channels are compared with the formula before the call is timed."""
    C, K, size, offset_groups, groups, masked, real = setting
    shape = (1, *size, C) if channels_last else (1, C, *size)
    problem = deform_problem(shape, (K, C // groups, 3, 3), offset_groups, masked, real, padding=1,
                             channels_last=channels_last)
    rng, dtype = np.random.default_rng(0), np.float32 if real == "f32" else np.float64
    x, w, offset = (rng.standard_normal(s).astype(dtype) for s in (shape, problem.weight_shape, problem.offset_shape))
    offset *= dtype(SPREAD)
    mask = rng.random(problem.mask_shape).astype(dtype) if masked else None
    arguments = dict(padding=1, channels_last=channels_last, algorithm=algorithm)
    if packed:
        layer = fastconv.DeformConv2d(w, **arguments)

        def call():
            return layer(x, offset, mask)
    else:
        def call():
            return fastconv.deform_conv2d(x, offset, w, mask=mask, **arguments)
    few = slice(0, 4)
    y = call()[..., few] if channels_last else call()[:, few]
    if groups == 1:
        part = deform_problem(shape, (4, C, 3, 3), offset_groups, masked, real, padding=1, channels_last=channels_last)
        expected, scale = (f(part, x, w[few], None, None, offset, mask)
                           for f in (reference_deformable.convolution, reference_deformable.magnitude))
        assert (np.abs(y - expected) <= (problem.sum_length + 10) * np.finfo(dtype).eps / 2 * scale).all()
    benchmark.group = str(setting)
    benchmark(call)
    benchmark.extra_info |= {"family": "deformable", "algorithm": algorithm, "GFLOP": problem.flops / 1e9,
                             "threads": fastconv.get_num_threads()}
    if benchmark.stats is not None:                     # None with --benchmark-disable
        benchmark.extra_info["GFLOP/s"] = problem.flops / benchmark.stats.stats.median / 1e9
