"""fastconv: convolutions on NumPy arrays, fast on every core of the CPU.

Called directly on arrays like SciPy, with the semantics of deep learning (channels, groups, strides) and the borders of
image processing. See ``help(fastconv.conv2d)`` for the arguments that all functions share.
"""
from __future__ import annotations

from importlib import import_module

from .algorithms import list_algorithms
from .config import get_num_threads, set_num_threads, threads
from .convolution import conv1d, conv2d, conv3d
from .explanation import explain
from .introspection import show_config
from .layers import Conv1d, Conv2d, Conv3d
from .validation import ValidationError, validation

__version__ = "0.1.0"

# Imported when they are used first, so that the import of the package stays quick.
LATE = {
    "arithmetic": ["arithmetic"],
    "autotuning": ["autotune"],
    "adaptive_pooling": ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
        "adaptive_max_pool2d", "adaptive_max_pool3d", "spatial_pyramid_pool2d"],
    "deform_layer": ["DeformConv2d"],
    "deformable": ["deform_conv2d"],
    "gated": ["GatedConv2d", "gated_conv2d"],
    "partial": ["PartialConv2d", "partial_conv2d"],
    "pooling": ["avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_pool1d",
        "max_pool2d", "max_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d"],
    "rearranging": ["channel_shuffle", "focus", "fold", "pad", "pixel_shuffle", "pixel_unshuffle", "unfold"],
    "regions": ["deform_roi_pool", "ps_roi_align", "ps_roi_pool", "roi_align", "roi_pool"],
    "resampling": ["grid_sample", "interpolate"],
    "separable": ["separable_conv1d", "separable_conv2d"],
    "separable_layer": ["SeparableConv2d"],
    "spatial": ["decompose_separable", "spatial_separable_conv2d"],
    "transposed": ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"],
    "transposed_layers": ["ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"],
}
HOME = {name: module for module, names in LATE.items() for name in names}


def __getattr__(name: str):
    if name not in HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{HOME[name]}", __name__)
    value = globals()[name] = module if HOME[name] == name else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *HOME})


__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "DeformConv2d",
    "GatedConv2d", "PartialConv2d", "SeparableConv2d", "ValidationError", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
    "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "arithmetic",
    "autotune", "avg_pool1d", "avg_pool2d", "avg_pool3d", "channel_shuffle", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "decompose_separable", "deform_conv2d",
    "deform_roi_pool", "explain", "focus", "fold", "gated_conv2d", "get_num_threads", "grid_sample", "interpolate",
    "list_algorithms", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_pool1d", "max_pool2d", "max_pool3d",
    "max_unpool1d", "max_unpool2d", "max_unpool3d", "pad", "partial_conv2d", "pixel_shuffle", "pixel_unshuffle",
    "ps_roi_align", "ps_roi_pool", "roi_align", "roi_pool", "separable_conv1d", "separable_conv2d", "set_num_threads",
    "show_config", "spatial_pyramid_pool2d", "spatial_separable_conv2d", "threads", "unfold", "validation",
]
