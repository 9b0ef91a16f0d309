"""THE TABLE: operation -> rows, in order of preference. The last row of an operation never refuses.

The row of the lowest cost wins, and ties go to the upper row: costs.py and fft_tiles.py predict seconds.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import cache

from .costs import (
    MOST_HALVED,
    MOST_TAPS,
    channels_cost,
    deform_cost,
    direct_cost,
    dot_cost,
    grouped_cost,
    im2col_cost,
    pointwise_cost,
    staged_cost,
    strassen_cost,
    volume,
    winograd_cost,
)
from .depthwise_costs import LARGEST_HELD, depthwise_cost, rank_one_cost, rows_on_lanes, turned_cost
from .fft_tiles import GROWTH, fft_cost, fft_refuses
from .problem import Problem
from .row import Algorithm, never_refuses

LARGEST_TAPS = 1 << 15  # one channel's window as a panel, or as pointers, then stays below 4 MiB
LARGEST_STAGED = 1 << 17    # numbers of the input rows of one output row
LONGEST_ROW = 1024          # columns that one task stages
MOST_DOTS = 8               # output channels
LARGEST_DOT = 1 << 16       # numbers of a window
MOST_GROUPED = 32           # output channels of a group
LARGEST_IMAGE = 16 << 20    # bytes of an image that is turned for all threads


def im2col_refuses(problem: Problem) -> str:
    return f"a window of {problem.taps} taps does not fit the workspace" if problem.taps > LARGEST_TAPS else ""


def staged_refuses(problem: Problem) -> str:
    if problem.channels_last:
        return "channels are on the lanes already (im2col)"
    if problem.depthwise and problem.C > 1:
        return "every channel has its own kernel (depthwise)"
    line = min(problem.output_size[-1], LONGEST_ROW) * problem.stride[-1] + reach(problem)[-1]
    staged = problem.C // problem.G * ([1, 1, *problem.kernel][-3] * [1, *reach(problem)][-2]) * line
    return "the rows of one window do not fit in cache" if staged > LARGEST_STAGED else im2col_refuses(problem)


def dot_refuses(problem: Problem) -> str:
    if not problem.channels_last:
        return "the channels of a pixel do not lie side by side"
    if problem.G > 1 or problem.K > MOST_DOTS:
        return f"only for up to {MOST_DOTS} output channels, without groups"
    if problem.sum_length > LARGEST_DOT:
        return "the windows at the border do not fit the workspace"
    return im2col_refuses(problem)


def grouped_refuses(problem: Problem) -> str:
    if problem.G == 1 or problem.G == problem.K == problem.C:
        return "only for groups of several channels"
    if problem.K // problem.G > MOST_GROUPED:
        return "a group fills the tiles of im2col"
    line = (min(problem.output_size[-1], 28) - 1) * problem.stride[-1] + reach(problem)[-1]
    staged = problem.C // problem.G * [1, 1, *problem.kernel][-3] * [1, *reach(problem)][-2] * line
    if staged * MOST_GROUPED > LARGEST_STAGED * 4:
        return "the rows of one window do not fit in cache"
    return im2col_refuses(problem)


def reach(problem: Problem) -> list[int]:
    """Pixels from the first to the last tap along each axis."""
    return [d * (k - 1) + 1 for k, d in zip(problem.kernel, problem.dilation)]


def small_refuses(problem: Problem) -> str:
    if problem.channels_last:
        return "channels are on the lanes already (im2col)"
    if volume(problem) * problem.C * problem.itemsize > LARGEST_IMAGE:
        return "the image is too large to be turned for all threads"
    return im2col_refuses(problem)


def winograd_refuses(alpha: int) -> Callable[[Problem], str]:
    def refuses(problem: Problem) -> str:
        taps = problem.kernel[-1]
        if alpha > 6 and problem.real == "f32":
            return "only for float64: its rounding errors would be large in float32"
        strides = {s for s, r in zip(problem.stride[-2:], problem.kernel[-2:]) if r > 1}
        if not strides <= {1, 2} or len(strides) > 1:
            return "only for stride 1 or 2"
        if strides == {2} and (alpha > 6 or problem.dilation[-1] > 1 or problem.stride[-1] != 2):
            return "with stride 2 only without dilation, and for alpha <= 6"
        least, most = (2, min(MOST_TAPS, alpha - 1)) if strides != {2} else (3, MOST_HALVED if alpha == 6 else 3)
        if not least <= taps <= most or (len(problem.kernel) > 1 and problem.kernel[-2] not in (1, taps)):
            return f"only for kernels of r or r x r taps, r from {least} to {most}"
        return im2col_refuses(problem)
    return refuses


def pointwise_refuses(problem: Problem) -> str:
    if problem.taps > 1 or problem.padded or any(s > 1 for s in problem.stride):
        return "only for a kernel of one tap, stride 1, without padding"
    return ""


def strassen_refuses(problem: Problem) -> str:
    if problem.taps > 1 or problem.padded:
        return "only for a kernel of one tap, without padding"
    if problem.C // problem.G % 2:
        return "only for an even number of input channels"
    if not problem.channels_last and volume(problem) * problem.C * problem.itemsize > LARGEST_IMAGE:
        return "the image is too large to be turned for all threads"
    return ""


def depthwise_refuses(problem: Problem) -> str:
    if not problem.depthwise:
        return "only where every channel is a group of its own"
    if problem.channels_last and problem.K > problem.C:
        return "channels_last with several kernels for a channel"
    return ""


def turned_refuses(problem: Problem) -> str:
    if problem.channels_last:
        return "channels are on the lanes already (depthwise)"
    if problem.depthwise and problem.K > problem.C:
        return "several kernels for a channel"
    size, out = problem.in_three_axes(problem.size, 1), problem.in_three_axes(problem.output_size, 1)
    rows = problem.in_three_axes(reach(problem), 1)
    if rows_on_lanes(problem):
        held = volume(problem) // problem.size[0]
    elif problem.padded and problem.padding_mode != "zeros":    # what is repeated is held whole, else one slice, or one row
        held = volume(problem) + 2 * problem.pixels
    elif out[0] == problem.in_three_axes(problem.kernel, 1)[0] == 1:
        held = rows[1] * size[2] + 2 * out[2]
    else:
        held = rows[0] * size[1] * size[2] + 2 * out[1] * out[2]
    if held > LARGEST_HELD:
        return "the image is too large to be turned in cache"
    return depthwise_refuses(problem)


def rank_one_refuses(problem: Problem) -> str:
    if len(problem.kernel) != 2 or 1 in problem.kernel:
        return "only for kernels of several rows and columns"
    if problem.channels_last and problem.K > problem.C:
        return "channels_last with several kernels for a channel"
    if problem.G != problem.C or (problem.C == 1 < problem.K):
        return "only where every channel is a group of its own"
    if not problem.K:
        return "there is no kernel"
    return "" if problem.rank_one else "only for kernels that are known to be of rank one, a column times a row"


def refusal(row: Algorithm, problem: Problem) -> str:
    """Why a row of the table cannot compute a problem; "" if it can."""
    if problem.combined and not (row.combines or (row.scales and problem.scales)):
        return "its finish combines no sums"
    if problem.shuffle and not problem.shuffle.even and not row.alpha:
        return "phases with fewer taps than others would multiply zeros"
    return row.refuses(problem)


def winograd(name: str, alpha: int, error: float) -> Algorithm:
    summary = f"minimal filtering F({alpha + 1} - r, r) along one or two axes of r taps"
    return Algorithm(name, summary, "winograd", "winograd", winograd_refuses(alpha), winograd_cost(alpha), error,
                     combines=True, alpha=alpha)


CONVOLUTION = (
    Algorithm("pointwise", "matrix product with 1x1 weights, the input read in place",
              "im2col_pixels", "im2col_channels", pointwise_refuses, pointwise_cost, combines=True),
    Algorithm("depthwise", "every channel with its own kernel, no sum over channels",
              "depthwise_pixels", "depthwise_channels", depthwise_refuses, depthwise_cost),
    Algorithm("turned", "depthwise with channels on the lanes, rows of some planes turned in cache",
              "depthwise_channels", "depthwise_channels", turned_refuses, turned_cost),
    Algorithm("rank_one", "depthwise along columns, then along rows: every kernel is a column times a row",
              "depthwise_pixels", "depthwise_channels", rank_one_refuses, rank_one_cost, error=2),
    winograd("winograd", 6, 91),
    winograd("winograd2", 4, 9),
    winograd("winograd6", 8, 788),
    Algorithm("strassen", "matrix product with 1x1 weights, 7 products of halves instead of 8",
              "strassen", "strassen", strassen_refuses, strassen_cost, error=6, halves=True),
    Algorithm("fft", "spectra of overlapping tiles, multiplied for each frequency",
              "fft", "fft", fft_refuses, fft_cost, GROWTH, fourier=True),
    Algorithm("im2col", "panels of windows gathered in cache, times the weights",
              "im2col_pixels", "im2col_channels", im2col_refuses, im2col_cost, combines=True),
    Algorithm("staged", "rows of few channels staged once for all taps",
              "staged", "staged", staged_refuses, staged_cost, scales=True),
    Algorithm("dot", "few output channels, dot products along the channels of each pixel",
              "dot", "dot", dot_refuses, dot_cost),
    Algorithm("grouped", "several groups of few channels on the lanes, inputs spread to them by shuffles",
              "grouped", "grouped", grouped_refuses, grouped_cost),
    Algorithm("small", "im2col with output channels on the lanes, the image turned to channels last",
              "im2col_channels", "im2col_channels", small_refuses, channels_cost, combines=True),
    Algorithm("direct", "rows of the input read where they lie, any shape",
              "direct", "direct", never_refuses, direct_cost, strict=True),
)

DEFORMABLE = (
    Algorithm("deform", "samples interpolated into panels in cache, times the weights",
              "deform", "deform", never_refuses, deform_cost, strict=True),
)

# A transposed convolution is a few plain ones: it has their rows.
CONVOLUTIONS = dict.fromkeys(("conv1d", "conv2d", "conv3d"), CONVOLUTION)
PANELS: dict[str, tuple[Algorithm, ...]] = CONVOLUTIONS | {"deform_conv2d": DEFORMABLE}


@cache
def whole_table() -> dict[str, tuple[Algorithm, ...]]:
    """TABLE; the rows of operations without weights are imported when somebody asks for them."""
    from .pool_algorithms import POOLING
    from .resample_algorithms import REGIONS, RESAMPLING
    return PANELS | POOLING | RESAMPLING | REGIONS


def __getattr__(name: str):
    if name == "TABLE":
        return whole_table()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def list_algorithms(operation: str) -> list[str]:
    """Names of the rows that can compute an operation, in order of preference.

    >>> list_algorithms("conv2d")[-1]
    'direct'

    Raises
    ------
    TypeError, ValueError
        If the operation is no str, or unknown.
    """
    if not isinstance(operation, str):
        raise TypeError(f"operation must be a str, not {type(operation).__name__}: {operation!r}")
    operation = operation.replace("_transpose", "")
    table = PANELS if operation in PANELS else whole_table()
    if operation not in table:
        raise ValueError(f"operation={operation!r} is none of {', '.join(table)}")
    return [row.name for row in table[operation]]
