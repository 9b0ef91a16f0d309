"""What is measured: fastconv and the other libraries, each in the way that serves it best.

A contender prepares one problem and returns its ways to compute it: calls without arguments, all arrays and weights in
place. Where there are several ways the quickest counts. Libraries are imported in the process that measures them. What a
contender has no entry for it takes no part in.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

from . import peer_fastconv, peer_ncnn, peer_onnxruntime, peer_opencv, peer_openvino, peer_torch, peer_torchvision
from .way import Prepare, Way, single, symmetric

__all__ = ["FASTCONV", "LIBRARIES", "PEERS", "Contender", "Way"]


class Contender(NamedTuple):
    """A library in one layout."""

    name: str
    library: str                                                # its name for --peers
    operations: Mapping[str, Prepare]                           # operation -> how it is computed
    limits: Callable[[Any], str] = lambda problem: ""           # why it cannot compute a problem; "" if it can
    start: Callable[[int], None] = lambda threads: None         # once in its process
    modules: tuple[str, ...] = ()                               # what is imported, if not `library`

    @property
    def installed(self) -> bool:
        return all(find_spec(module) for module in self.modules or (self.library,))

    def refuses(self, problem) -> str:
        """Why it cannot compute a problem; "" if it can."""
        return self.limits(problem) if problem.operation in self.operations else f"has no {problem.operation}"


FASTCONV = tuple(
    Contender(f"{how} {'channels_last' if last else 'NCHW'}", "fastconv", operations(last), start=peer_fastconv.start)
    for last in (False, True) for how, operations in
    (("function", peer_fastconv.functions), ("packed", peer_fastconv.layers), ("out=", peer_fastconv.into)))
PEERS = (
    Contender("torch NCHW", "torch", peer_torch.CONTIGUOUS, symmetric, peer_torch.start),
    Contender("torch channels_last", "torch", peer_torch.CHANNELS_LAST, symmetric, peer_torch.start),
    Contender("torch prepacked", "torch", peer_torch.PREPACKED, single, peer_torch.start),
    Contender("torchvision", "torchvision", peer_torchvision.OPERATIONS, start=peer_torchvision.start),
    Contender("ONNX Runtime", "onnxruntime", peer_onnxruntime.OPERATIONS, peer_onnxruntime.refuses,
              modules=("onnxruntime", "onnx")),
    Contender("OpenVINO", "openvino", peer_openvino.OPERATIONS, peer_openvino.refuses),
    Contender("ncnn", "ncnn", peer_ncnn.OPERATIONS, single),
    Contender("OpenCV", "opencv", peer_opencv.OPERATIONS, peer_opencv.refuses, peer_opencv.start, ("cv2",)),
)
LIBRARIES = tuple(dict.fromkeys(peer.library for peer in PEERS))
