"""OpenCV as a contender: cv2.resize, and cv2.sepFilter2D, on images (H, W, C)."""
from __future__ import annotations

import numpy as np

from ..problem import Problem
from .operations import Arrays, Call
from .way import Way, on_line


def start(threads: int) -> None:
    import cv2
    cv2.setNumThreads(threads)


def refuses(call: Call | Problem) -> str:
    if isinstance(call, Problem):
        return "" if call.rank_one and call.N == 1 else "filters with one kernel for all channels alone"
    if call.options.get("align_corners"):
        return "align_corners=True"
    return "antialias=True" if call.options.get("antialias") else ""


def resize(call: Call, arrays: Arrays, threads: int) -> list[Way]:
    import cv2
    modes = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
    (_, C, P, Q), mode = call.output_shape, modes[call.options["mode"]]
    image = on_line(np.moveaxis(arrays["input"][0], 0, -1))
    y = np.empty((P, Q, C), image.dtype)
    return [Way("resize", lambda: cv2.resize(image, (Q, P), y, interpolation=mode),
                lambda y: np.moveaxis(y.reshape(1, P, Q, C), -1, 1))]


def blur(problem: Problem, arrays: Arrays, threads: int) -> list[Way]:
    """The same kernel for all channels, without bias; its column and row are given."""
    import cv2
    image, kernel = on_line(np.moveaxis(arrays["input"][0], 0, -1)), arrays["weight"][0, 0]
    column, row = kernel.sum(1), kernel.sum(0) / kernel.sum()
    y = np.empty_like(image)
    return [Way("sepFilter2D", lambda: cv2.sepFilter2D(image, -1, row, column, y, borderType=cv2.BORDER_CONSTANT),
                lambda y: np.moveaxis(y.reshape(1, *problem.output_size, problem.K), -1, 1))]


OPERATIONS = {"interpolate": resize, "conv2d": blur}
