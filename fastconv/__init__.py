"""fastconv: convolutions on NumPy arrays, fast on every core of the CPU.

Called directly on arrays like SciPy, with the semantics of deep learning (channels, groups, strides) and the borders of
image processing. See ``help(fastconv.conv2d)`` for the arguments that all functions share.
"""
from . import arithmetic
from .algorithms import list_algorithms
from .config import get_num_threads, set_num_threads, threads
from .convolution import conv1d, conv2d, conv3d
from .explanation import explain
from .introspection import show_config
from .layers import Conv1d, Conv2d, Conv3d
from .pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
    spatial_pyramid_pool2d,
)
from .validation import ValidationError, validation

__version__ = "0.1.0"

__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "ValidationError", "adaptive_avg_pool1d",
    "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "arithmetic", "avg_pool1d", "avg_pool2d", "avg_pool3d", "conv1d", "conv2d", "conv3d", "explain", "get_num_threads",
    "list_algorithms", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_pool1d", "max_pool2d", "max_pool3d", "max_unpool1d",
    "max_unpool2d", "max_unpool3d", "set_num_threads", "show_config", "spatial_pyramid_pool2d", "threads", "validation",
]
