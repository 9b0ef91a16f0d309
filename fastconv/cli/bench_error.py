"""Rounding errors of every row beside SciPy in float64, on random numbers."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import kernels, reference
from ..algorithms import PANELS
from ..plan import make_plan
from ..problem import convolution_problem

CHANNELS = (1, 2, 4, 8, 16, 32, 64, 128, 256)       # of 3x3 kernels: sums of 9 to 2304 products
KERNELS, SIZE = 8, 20
ULP = 2.0**-23


class Error(NamedTuple):
    """One row at one length of the sums, in units in the last place of the root mean square of the outputs."""

    row: str
    products: int
    usual: float        # root mean square
    worst: float


def errors(threads: int) -> list[Error]:
    """Every row that computes a 3x3 convolution of float32."""
    found = []
    for channels in CHANNELS:
        generator = np.random.default_rng(channels)
        x, weight = (generator.standard_normal(shape, np.float32)
                     for shape in ((1, channels, SIZE, SIZE), (KERNELS, channels, 3, 3)))
        problem = convolution_problem("conv2d", x.shape, weight.shape, "f32", padding=1)
        right = reference.convolution(problem, x, weight, None, None)
        unit = ULP * np.sqrt(np.mean(np.square(right)))
        for row in PANELS["conv2d"]:
            if not row.refuses(problem):
                y = np.empty(problem.output_shape, np.float32)
                make_plan(problem, row.name, kernels.isa, threads).run(x, weight, None, None, y)
                difference = np.abs(y - right) / unit
                found.append(Error(row.name, problem.sum_length, float(np.sqrt(np.mean(np.square(difference)))),
                                   float(difference.max())))
    return found
