"""torchvision as a contender: deformable convolution and regions."""
from __future__ import annotations

from .operations import Arrays, Call
from .peer_torch import start as start_torch
from .peer_torch import tensors
from .way import Way


def start(threads: int) -> None:
    import torchvision.ops  # noqa: F401
    start_torch(threads)


def function(call: Call, arrays: Arrays, threads: int) -> list[Way]:
    import torchvision
    called, given = getattr(torchvision.ops, call.operation), tensors(call, arrays, False)
    return [Way("ops", lambda: called(**given, **call.options), lambda y: y.numpy())]


OPERATIONS = dict.fromkeys(("deform_conv2d", "roi_align", "roi_pool", "ps_roi_pool"), function)
