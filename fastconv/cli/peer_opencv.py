"""OpenCV as a contender: cv2.resize on images (H, W, C)."""
from __future__ import annotations

import numpy as np

from .operations import Arrays, Call
from .way import Way


def start(threads: int) -> None:
    import cv2
    cv2.setNumThreads(threads)


def refuses(call: Call) -> str:
    if call.options.get("align_corners"):
        return "align_corners=True"
    return "antialias=True" if call.options.get("antialias") else ""


def resize(call: Call, arrays: Arrays, threads: int) -> list[Way]:
    import cv2
    modes = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
    (_, C, P, Q), mode = call.output_shape, modes[call.options["mode"]]
    image = np.ascontiguousarray(np.moveaxis(arrays["input"][0], 0, -1))
    y = np.empty((P, Q, C), image.dtype)
    return [Way("resize", lambda: cv2.resize(image, (Q, P), y, interpolation=mode),
                lambda y: np.moveaxis(y.reshape(1, P, Q, C), -1, 1))]


OPERATIONS = {"interpolate": resize}
