"""Resampling and rearranging at the sizes of feature maps and of photographs, in GB/s of input and output."""
import numpy as np
import pytest
from streams import LEAST_ROUNDS, MOST_SECONDS, Call, measure, name_of

MAP, PHOTO = (1, 64, 112, 112), (1, 3, 480, 640)
CALLS = [
    Call("pixel_shuffle", "pixel_shuffle", MAP, (2,)), Call("pixel_unshuffle", "pixel_unshuffle", MAP, (2,)),
    Call("focus", "focus", MAP), Call("channel_shuffle", "channel_shuffle", MAP, (4,)),
    Call("pad", "pad", MAP, ((1, 1, 1, 1),)), Call("pad reflect", "pad", MAP, ((1, 1, 1, 1), "reflect")),
    Call("unfold", "unfold", MAP, (3, 1, 1), both_layouts=False),
    *[Call(f"{name} {mode} x{scale}{' antialias' if antialias else ''}", "interpolate", shape,
           options=(("scale_factor", scale), ("mode", mode), ("antialias", antialias)))
      for name, shape in (("map", MAP), ("photo", PHOTO))
      for mode, scale, antialias in (("nearest", 2, False), ("nearest", 1.7, False), ("bilinear", 2, False),
                                     ("bilinear", 0.5, False), ("bilinear", 0.4, True), ("bicubic", 2, False),
                                     ("bicubic", 0.4, True), ("area", 0.1, False))],
]
SAMPLES = [Call(f"grid_sample {mode}", "grid_sample", MAP, (mode,)) for mode in ("bilinear", "nearest", "bicubic")]


@pytest.mark.benchmark(max_time=MOST_SECONDS, min_rounds=LEAST_ROUNDS)
@pytest.mark.parametrize("call,channels_last", [case for call in CALLS for case in call.cases()], ids=name_of)
def test_resampling(benchmark, call, channels_last):
    measure(benchmark, call, channels_last)


@pytest.mark.benchmark(max_time=MOST_SECONDS, min_rounds=LEAST_ROUNDS)
@pytest.mark.parametrize("call,channels_last", [case for call in SAMPLES for case in call.cases()], ids=name_of)
def test_grid_sample(benchmark, call, channels_last):
    """A slight turn of the image."""
    line = np.linspace(-0.9, 0.9, 112)
    x, y = line[None, :], line[:, None]
    grid = np.stack(np.broadcast_arrays(x + 0.1 * y, y - 0.1 * x), -1)[None].astype(np.float32)
    measure(benchmark, call, channels_last, (grid,))
