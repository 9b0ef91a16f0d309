"""Chain: plans of a depthwise convolution and of one behind it, pointwise or along rows, run strip by strip of the image."""
from __future__ import annotations

from copy import copy
from functools import lru_cache

import numpy as np

from .arrays import lined
from .blocks import WORKSPACE, balanced, padded, reads_columns
from .depthwise_costs import FULL_BLOCK, rows_on_lanes
from .kernels.call import run_chain
from .plan import Plan
from .row import ceil_div

DEPTHWISE, POINTWISE = ("depthwise", "turned"), "pointwise"     # rows whose kernels write and read part of an image anywhere
FEWEST_PIXELS = 48                              # of a strip, for each of which the second kernel reads its weights


class Chain:
    """Two plans with the blocks of one strip: `rows` output rows of so many channels, all if the second is pointwise."""

    def __init__(self, first: Plan, second: Plan, rows: int, channels: int):
        p, q, m = first.problem, second.problem, second.machine
        pixels = rows * p.output_size[1]
        first, second = copy(first), copy(second)           # whose workspaces change
        strip = {"pixel_block": pixels, "channel_block": channels, "packed": int(first.packs), "past_caches": 0, "far": 0,
                 "y_n": 0, "y_k": 1 if p.channels_last else pixels, "y_q": channels if p.channels_last else 1}
        next_pixels = rows * q.output_size[1]
        self.geometries = (first.pack_geometry(True, **strip), second.pack_geometry(
            True, pixel_block=next_pixels,
            channel_block=padded(q.K, m.MR * m.NR) if second.row.name == POINTWISE else channels,
            packed=int(second.packs)))
        self.fits = (first.blocks["pixel_block"], second.blocks["pixel_block"]) == (pixels, next_pixels)
        self.kernels = first.module, second.module
        self.blocks = {"rows": rows, "channel_block": channels}
        self.strip = padded((pixels * channels + m.NR) * p.itemsize, 64)
        self.workspace = self.strip + max(first.workspace, second.workspace)
        self.threads = max(first.threads, second.threads)

    def run(self, x, packed, next_packed, bias, residual, y) -> bool:
        """Compute y; whether a sum was NaN or infinite."""
        return run_chain(*self.kernels, *self.geometries, self.strip, self.workspace, x, packed, next_packed, bias, residual,
                         y, self.threads)


def can_follow(plan: Plan) -> bool:
    """Whether every row of its output needs that row of its input alone."""
    q = plan.problem
    return plan.row.name == POINTWISE or (plan.row.name in DEPTHWISE and q.kernel[0] == q.stride[0] == 1
                                          and not any(q.padding[0]))


def reads_strips(plan: Plan) -> bool:
    """Whether its kernel computes some rows by themselves: one that turns images turns whole ones to repeat them."""
    return (plan.row.name != "turned" or not plan.problem.padded or plan.problem.padding_mode == "zeros"
            or rows_on_lanes(plan.problem))


@lru_cache(1024)
def chain_of(first: Plan, second: Plan) -> Chain | None:
    """The chain of two plans of 2-D convolutions, if their kernels make one that is worth it.

    The numbers of a strip take half of L2; there are strips for all threads.
    """
    p, m = first.problem, first.machine
    if len(p.size) != 2 or not p.N or first.row.name not in DEPTHWISE or not can_follow(second):
        return None
    if not reads_strips(first) or not reads_strips(second):
        return None
    if takes_planes(first, second):
        return chain_of_planes(first, second)
    P, Q = p.output_size
    channels = p.K if second.row.name == POINTWISE or not p.channels_last else block_of_channels(first)
    most = min(m.L2 // 2 // (Q * channels * p.itemsize), P)
    if not p.channels_last:         # the blocks of these kernels fit their caches
        most = min(most, first.blocks["pixel_block"] // Q)
        if second.row.name != POINTWISE:
            most = min(most, second.blocks["pixel_block"] // second.problem.output_size[1])
    if most * Q < FEWEST_PIXELS:
        return None
    threads = max(first.threads, second.threads)
    strips = ceil_div(P, most)
    few = threads > 1 and p.N * strips * ceil_div(p.K, channels) < 4 * threads
    if few:
        strips = min(P, padded(strips, threads))
    rows = ceil_div(P, strips)
    if not few:                     # whole vectors; of few strips equal ones, since all wait for the largest
        rows = next((n for n in range(rows, most + 1) if n * Q % m.lanes == 0 and ceil_div(P, n) == strips), rows)
    if rows * Q < FEWEST_PIXELS:
        return None
    return usable(Chain(first, second, rows, channels))


def block_of_channels(first: Plan) -> int:
    """Channels, of channels last, of which the rows that an output row reads take a quarter of L2."""
    p, m = first.problem, first.machine
    reach = p.dilation[0] * (p.kernel[0] - 1) + 1
    most = m.L2 // 4 // (min(reach, p.size[0]) * p.size[1] * p.itemsize)
    return min(p.K, padded(balanced(p.K, max(1, most)), 2 * m.lanes))


def usable(chain: Chain) -> Chain | None:
    return chain if chain.fits and chain.workspace <= WORKSPACE else None


def takes_planes(first: Plan, second: Plan) -> bool:
    """Whether each channel of a strip is that of one plane, and blocks of channels are counted alike by both kernels."""
    return (not first.problem.channels_last and first.row.name == "depthwise" and second.row.name != POINTWISE
            and (second.row.name == "depthwise" or rows_on_lanes(second.problem)))


def chain_of_planes(first: Plan, second: Plan) -> Chain | None:
    """The chain of two plans that take planes one by one: whole ones where they are small, else strips of rows."""
    p, q, m = first.problem, second.problem, first.machine
    row = max(p.output_size[1], q.output_size[1])
    most = m.L2 // 4 // (row * p.itemsize)
    if not reads_columns(p, m):
        most = min(most, first.blocks["pixel_block"] // p.output_size[1])
    if second.row.name == "depthwise":
        most = min(most, second.blocks["pixel_block"] // q.output_size[1])
    if not most:
        return None
    P, tasks = p.output_size[0], 4 * max(first.threads, second.threads)
    rows = min(P, padded(balanced(P, min(most, ceil_div(P * p.N * p.K, tasks))), min(most, FULL_BLOCK)))
    planes = min(p.N * p.K * ceil_div(P, rows) // tasks, m.L2 // 4 // (rows * row * p.itemsize))
    return usable(Chain(first, second, rows, balanced(p.K, max(1, planes))))


def run_pair(first: Plan, second: Plan, x, weight, next_weight, bias, residual, y, packed=(None, None)) -> None:
    """second(first(x)): as a chain if there is one, and again as two calls where a sum between them was not finite.

    `packed` are the weights as the plans pack them, from call to call of a layer.
    """
    chain = chain_of(first, second)
    if chain is not None:
        both = [plan.pack(w) if kept is None else kept
                for plan, w, kept in zip((first, second), (weight, next_weight), packed)]
        odd = chain.run(x, *both, bias, residual, y)
        if not odd or all(np.isfinite(w).all() for plan, w in ((first, weight), (second, next_weight)) if plan.watches):
            return
    between = lined(first.problem.output_shape, y.dtype)
    first.run(x, weight, None, None, between, packed[0])
    second.run(between, next_weight, bias, residual, y, packed[1])
