"""Rows of resampling and rearranging. Each operation is computed by one kernel, interpolate by one of two."""
from __future__ import annotations

from math import prod

from .region_problem import BY_POSITION, Regions
from .resample_problem import NEAREST, Resampling
from .resample_tables import (
    fold_fields,
    nearest_fields,
    pad_fields,
    rearrange_fields,
    resample_fields,
    sample_fields,
    unfold_fields,
)
from .row import Algorithm, Machine, ceil_div, never_refuses

BLOCK = 64              # channels of a box that one task computes
TURNED = 4 << 20        # bytes of turned pixels at most
BIN_PIXELS = 8          # that a bin reads for certain, about: images with fewer are turned as a whole


def free(problem, machine) -> float:
    """The only row that can."""
    return 0.0


def gather_refuses(problem: Resampling) -> str:
    return "" if problem.mode in NEAREST else "only for modes that take the nearest pixel"


def resample_refuses(problem: Resampling) -> str:
    return "the nearest pixel is moved, not weighted (gather)" if problem.mode in NEAREST else ""


def row(name: str, summary: str, blocks, refuses=never_refuses, error: float = 1.0) -> Algorithm:
    return Algorithm(name, summary, name, name, refuses, free, error, blocks=blocks)


def moved(fields):
    """The blocks of a row whose tables depend on the problem alone."""
    return lambda problem, machine, threads: fields(problem)


REARRANGE = (row("rearrange", "a copy in another order of axes", moved(rearrange_fields)),)

RESAMPLING: dict[str, tuple[Algorithm, ...]] = {
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle", "focus", "channel_shuffle"), REARRANGE),
    "pad": (row("gather", "rows copied by a table of each axis", moved(pad_fields)),),
    "unfold": (row("gather", "rows copied by a table of each axis", moved(unfold_fields)),),
    "fold": (row("fold_rows", "windows added up row by row", moved(fold_fields)),),
    "interpolate": (row("gather", "rows copied by a table of each axis", nearest_fields, gather_refuses),
                    row("resample", "weighted rows, then weighted columns", resample_fields, resample_refuses)),
    "grid_sample": (row("grid_taps", "taps of a block of pixels found once for all channels", moved(sample_fields)),),
}


def region_blocks(problem: Regions, machine: Machine, threads: int) -> dict[str, int]:
    """Blocks of region_bins. What decides on the order of sums, `channels` and `room`, looks at the images' shape alone."""
    pixels, bins = prod(problem.size), prod(problem.bins)
    itemsize = 8 if machine.real == "f64" else 4
    channels, room = BLOCK, 0
    if not problem.channels_last and problem.operation not in BY_POSITION:
        while channels > machine.lanes and pixels * channels * itemsize > machine.L2:
            channels //= 2
        room = min(pixels * channels, TURNED // itemsize)
    enough = problem.operation == "deform_roi_pool" or problem.K * bins * BIN_PIXELS >= problem.N * pixels
    whole = 0 < pixels * channels <= room and enough
    blocks = ceil_div(problem.channels, channels)
    return {"channels": channels, "shares": ceil_div(threads, blocks) if whole else problem.K, "whole": int(whole),
            "room": room}


REGIONS: dict[str, tuple[Algorithm, ...]] = dict.fromkeys(
    ("roi_pool", "roi_align", "ps_roi_pool", "ps_roi_align", "deform_roi_pool"),
    (Algorithm("region_bins", "pixels and weights of a box's bins found once for its channels", "region_bins", "region_bins",
               never_refuses, free, blocks=region_blocks),))
