"""Which input pixels make an output pixel, and with what weights: one table for each axis of an image.

A table of an axis is (first, weights): output pixel q is the sum over t of weights[q, t] * input[first[q] + t], for as many
t as the widest window needs; first[q] + t never leaves the axis, and weights that no window needs are zero. Coordinates
are computed in float64, those of nearest neighbours as torch computes them, so that ties agree.
"""
from __future__ import annotations

from math import prod

import numpy as np

from .resample_problem import SAMPLE_MODES, SAMPLE_PADDING, Padding, Rearrangement, Resampling, Sampling, Windows
from .row import Machine, ceil_div

WAYS = ("across", "along", "channels", "sliding", "picked")     # of src/resample.pyx
MOST_ACROSS = 16                # taps; more are added up along the window
SLIDING_TAPS = 2
PICKED_TAPS = ((1, 2), (2, 2), (1, 4), (4, 4))      # of rows and columns, for which the kernel has loops of its own
MOST_ROWS = 8                   # rows of the input that make one of the output, without a row of sums
ROOM = 8 << 10                  # bytes of a row of sums: with those ahead of it, less than L1
LARGEST_ROOM = 4 << 20
AHEAD = 4                       # rows of sums that are held at a time
SHARED = 2                      # rows of the input for each of the output, if rows of numbers that were picked are shared
SPARSE = 32                     # input pixels for each output pixel: windows far apart are summed one by one
TASK_NUMBERS = 1 << 15          # read and written by one task
TASK_BYTES = 1 << 16            # written by one task of those that only move items
REARRANGE_AXES = 12             # that src/rearrange.pyx has room for; more than any call has
REARRANGE_BLOCKS = ("runs", "weave", "deal", "transpose")       # in the order of its enum Kind
STREAMS = 16                    # of one of its blocks
LONG_RUN = 256                  # items of a block of runs: longer ones are copied one by one, and shared by threads

Table = tuple[np.ndarray, np.ndarray]


def padded(n: int, unit: int) -> int:
    return -(-n // unit) * unit


def ratio(n: int, out: int, scale: float, align_corners: bool) -> float:
    """Input pixels per output pixel. A scale that was asked for counts, not the sizes that were rounded from it."""
    if align_corners:
        return (n - 1) / (out - 1) if out > 1 else 0.0
    return 1 / scale if scale else n / out


def nearest_indices(n: int, out: int, scale: float, exact: bool, wide: bool) -> np.ndarray:
    """The input pixel of each output pixel; exact: the one whose middle is nearest, else the one at or before.

    Rounded as torch rounds, who computes in float64 for `wide` items of 64 bits. Float32 cannot count 2**24 pixels: where
    all are taken once or twice, nothing is rounded.
    """
    q = np.arange(out)
    if not exact and out in (n, 2 * n) and scale in (0, out / n):
        return q // (out // n)
    real = np.float64 if wide else np.float32
    step = real(1 / scale) if scale else real(n) / real(out)
    at = (q + 0.5) * np.float64(step) if exact else real(q) * step
    return np.minimum(np.floor(np.float32(at)).astype(np.int64), n - 1)


def gathered(indices: np.ndarray, weights: np.ndarray, n: int) -> Table:
    """The table of taps (q, t) that lie anywhere on the axis, weights of taps at the same pixel added."""
    lowest = indices.min(axis=1)
    taps = int((indices.max(axis=1) - lowest).max(initial=0)) + 1
    first = np.minimum(lowest, n - taps)
    table = np.zeros((len(first), taps))
    np.add.at(table, (np.arange(len(first))[:, None], indices - first[:, None]), weights)
    return first, table


def linear_table(n: int, out: int, step: float, align_corners: bool) -> Table:
    if n == out:
        return np.arange(n), np.ones((n, 1))
    q = np.arange(out)
    at = q * step if align_corners else np.maximum((q + 0.5) * step - 0.5, 0)
    first = np.minimum(np.floor(at).astype(np.int64), n - 1)
    part = np.clip(at - first, 0, 1)
    return gathered(np.stack([first, np.minimum(first + 1, n - 1)], 1), np.stack([1 - part, part], 1), n)


def cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel: 1 at 0, 0 at 1 and from 2 on."""
    x = np.abs(distance)
    inner = ((a + 2) * x - (a + 3)) * x * x + 1
    return np.where(x < 1, inner, np.where(x < 2, (x - 1) * (x - 2) ** 2 * a, 0))


def cubic_table(n: int, out: int, step: float, align_corners: bool) -> Table:
    q = np.arange(out)
    at = q * step if align_corners else (q + 0.5) * step - 0.5
    first = np.minimum(np.floor(at), n - 1).astype(np.int64)
    part = np.clip(at - first, 0, 1)
    taps = np.arange(-1, 3)
    return gathered(np.clip(first[:, None] + taps, 0, n - 1), cubic(part[:, None] - taps, -0.75), n)


def smooth_table(n: int, out: int, step: float, cubics: bool) -> Table:
    """antialias: the filter stretched over as many input pixels as an output pixel stands for."""
    if n == out:
        return np.arange(n), np.ones((n, 1))
    wide = max(step, 1.0)
    support = (2 if cubics else 1) * wide
    center = step * (np.arange(out) + 0.5)
    low = np.maximum(np.trunc(center - support + 0.5), 0).astype(np.int64)
    high = np.minimum(np.trunc(center + support + 0.5), n).astype(np.int64)
    size = np.minimum(np.maximum(high - low, 1), n)
    low = np.minimum(low, n - size)
    taps = np.arange(size.max())
    x = (low[:, None] + taps - center[:, None] + 0.5) / wide
    weights = np.where(taps < size[:, None], cubic(x, -0.5) if cubics else np.maximum(1 - np.abs(x), 0), 0)
    total = weights.sum(axis=1, keepdims=True)
    weights /= np.where(total == 0, 1, total)
    return shifted(low, weights, n)


def area_table(n: int, out: int) -> Table:
    """The mean of all pixels that an output pixel touches."""
    q = np.arange(out)
    low, high = q * n // out, -(-(q + 1) * n // out)
    taps = np.arange((high - low).max())
    return shifted(low, (taps < (high - low)[:, None]) / (high - low)[:, None], n)


def shifted(low: np.ndarray, weights: np.ndarray, n: int) -> Table:
    """A table whose windows near the end of the axis begin so early that they fit, their weights moved to their ends."""
    taps = weights.shape[1]
    first = np.minimum(low, n - taps)
    source = np.arange(taps) - (low - first)[:, None]
    return first, np.where(source >= 0, np.take_along_axis(weights, np.maximum(source, 0), axis=1), 0)


def axis_table(n: int, out: int, mode: str, scale: float, align_corners: bool, antialias: bool) -> Table:
    """The table of one axis of n pixels that becomes one of `out`."""
    if mode == "area":
        return area_table(n, out)
    step = ratio(n, out, scale, align_corners)
    if antialias:
        return smooth_table(n, out, step, mode == "bicubic")
    if mode == "bicubic":
        return cubic_table(n, out, step, align_corners)
    return linear_table(n, out, step, align_corners)


def pad_indices(n: int, before: int, after: int, mode: str) -> np.ndarray:
    """The input pixel of each output pixel, -1 for the value of mode "constant". Cropped first, then repeated."""
    low, m = max(-before, 0), n - max(-before, 0) - max(-after, 0)
    q = np.arange(-max(before, 0), m + max(after, 0))
    if mode == "constant":
        return np.where((q >= 0) & (q < m), q + low, -1)
    if mode == "replicate" or m == 1:
        return np.clip(q, 0, m - 1) + low
    if mode == "circular":
        return q % m + low
    period = 2 * m if mode == "symmetric" else 2 * m - 2
    q = q % period
    return np.minimum(q, period - q - (mode == "symmetric")) + low


def longest_run(row: np.ndarray) -> tuple[int, int]:
    """(first, last + 1) of the longest stretch of the row that counts up by one and holds no -1."""
    inside = row >= 0
    breaks = np.flatnonzero(~(inside[1:] & inside[:-1] & (np.diff(row) == 1))) + 1
    edges = np.concatenate(([0], breaks, [len(row)]))
    longest = int(np.argmax(np.diff(edges)))
    first, last = int(edges[longest]), int(edges[longest + 1])
    return (first, last) if inside[first:last].all() else (0, 0)


def task_share(steps: int, nbytes: int) -> int:
    """Steps of `nbytes` that one task takes."""
    return max(1, ceil_div(steps, max(1, steps * nbytes // TASK_BYTES)))


def gather_plan(itemsize: int, unit: int, axes: list[tuple[int, int, int, np.ndarray | None]], past: bool = False) -> bytes:
    """The numbers of src/gather.pyx for axes (extent, step in items of x, link, table)."""
    axes = [(1, 0, -1, None)] * (len(axes) == 1) + axes
    table = axes[-1][3]
    rows = np.zeros((1, 0), np.int64) if table is None else np.reshape(table, (-1, axes[-1][0]))
    repeat = 0
    if table is not None and len(rows) == 1:
        repeat = next((r for r in (2, 3, 4) if np.array_equal(rows[0], np.arange(rows.shape[1]) // r)), 0)
    at = 8 + 4 * len(axes)
    head, tables = [], []
    for extent, step, link, values in axes:
        head += [extent, step, link, -1 if values is None else at]
        if values is not None:
            tables.append(np.ravel(values))
            at += values.size
    runs = [longest_run(r) if r.size else (0, 0) for r in rows]
    outer = prod(extent for extent, *_ in axes[:-1])
    share = padded(task_share(outer, axes[-1][0] * unit * itemsize), 2)         # rows that are alike come in pairs
    parts = [[len(axes), itemsize, unit, outer, share, repeat, at, past], head,
             *tables, np.ravel(runs)]
    return b"".join(np.asarray(part, np.int64).tobytes() for part in parts)


def merged_axes(shape: tuple[int, ...], tables: list[np.ndarray | None]) -> list[tuple[int, int, int, np.ndarray | None]]:
    """Axes for gather_plan, each with its own table; neighbours that keep their index as one."""
    axes: list[tuple[int, int, int, np.ndarray | None]] = []
    step = 1
    for n, table in zip(reversed(shape), reversed(tables)):
        if table is None and axes and axes[0][3] is None and axes[0][1] * axes[0][0] == step:
            axes[0] = (axes[0][0] * n, axes[0][1], -1, None)
        else:
            axes.insert(0, (n if table is None else len(table), step, -1, table))
        step *= n
    return axes


def pad_fields(problem: Padding) -> dict:
    tables = [None if pair == (0, 0) else pad_indices(n, *pair, problem.mode)
              for n, pair in zip(problem.input_shape, problem.pairs)]
    return table_fields(problem.itemsize, problem.input_shape, tables)


def nearest_fields(problem: Resampling, machine: Machine, threads: int) -> dict:
    exact, wide = problem.mode == "nearest-exact", problem.itemsize == 8
    tables: list[np.ndarray | None] = [nearest_indices(n, out, scale, exact, wide)
                                       for n, out, scale in zip(problem.size, problem.output_size, problem.scales)]
    batch: list[np.ndarray | None] = [None]
    tables = [*batch, *tables, None] if problem.channels_last else [*batch, None, *tables]
    return table_fields(problem.itemsize, problem.input_shape, tables,
                        prod(problem.output_shape) * problem.itemsize > machine.L3)


def table_fields(itemsize: int, shape: tuple[int, ...], tables: list[np.ndarray | None], past: bool = False) -> dict:
    """One table or none for each axis of x. Last axes without a table are a pixel of several items."""
    unit, shape, tables = 1, shape or (1,), tables or [None]
    while len(shape) > 1 and tables[-1] is None:
        unit *= shape[-1]
        shape, tables = shape[:-1], tables[:-1]
    return {"numbers": gather_plan(itemsize, unit, merged_axes(shape, tables), past)}


def unfold_fields(problem: Windows) -> dict:
    (R, S), (P, Q), (H, W) = problem.kernel, problem.places, problem.size
    rows, columns = ((np.arange(k)[:, None] * d + np.arange(out) * s - p) for k, d, out, s, p in
                     zip(problem.kernel, problem.dilation, problem.places, problem.stride, problem.padding))
    rows = np.where((rows >= 0) & (rows < H), rows, -1)
    columns = np.where((columns >= 0) & (columns < W), columns, -1)
    return {"numbers": gather_plan(problem.itemsize, 1, [(problem.N * problem.C, H * W, -1, None), (R, 0, -1, None),
                                                      (S, 0, -1, None), (P, W, 1, rows), (Q, 1, 2, columns)])}


def resample_fields(problem: Resampling, machine: Machine, threads: int) -> dict:
    """The struct of src/resample.pyx and its tables."""
    dtype = np.dtype(np.float64 if problem.real == "f64" else np.float32)
    D, H, W = (1,) * (3 - len(problem.size)) + problem.size
    O, P, Q = (1,) * (3 - len(problem.size)) + problem.output_size
    scales = (0.0,) * (3 - len(problem.size)) + problem.scales
    depth, height, width = (axis_table(n, out, problem.mode, scale, problem.align_corners, problem.antialias and axis > 0)
                            for axis, (n, out, scale) in enumerate(zip((D, H, W), (O, P, Q), scales)))
    C = problem.C if problem.channels_last else 1
    fields = {"M": problem.N * (1 if problem.channels_last else problem.C), "D": D, "H": H, "W": W, "C": C,
              "O": O, "P": P, "Q": Q, "taps_d": depth[1].shape[1], "taps_h": height[1].shape[1], "taps_w": width[1].shape[1],
              "c_block": C, "past": int(prod(problem.output_shape) * problem.itemsize > machine.L3)}
    few_rows = depth[1].shape[1] * height[1].shape[1] <= MOST_ROWS
    columns = None
    if C < machine.lanes and width[1].shape[1] <= MOST_ACROSS and W < SPARSE * Q:
        if (height[1].shape[1], width[1].shape[1]) in PICKED_TAPS and few_rows and H <= SHARED * P:
            columns = picked_columns(*width, C, W * C, machine.lanes, dtype)
        columns = columns or across_columns(*width, C, machine.lanes, dtype)
    columns = columns or window_columns(*width, C, W >= SPARSE * Q, machine.lanes, dtype)
    if columns["way"] == WAYS.index("channels") and few_rows and width[1].shape[1] <= SLIDING_TAPS:
        columns["way"] = WAYS.index("sliding")
    tables = {"first_d": depth[0], "weight_d": depth[1].astype(dtype), "first_h": height[0],
              "weight_h": height[1].astype(dtype)} | columns.pop("tables")
    work = Q * C + min(depth[1].shape[1] * height[1].shape[1], ceil_div(D * H, O * P) + 1) * W * C
    fields |= columns | {"rows": max(1, min(ceil_div(O * P, threads), TASK_NUMBERS // work))}
    packed, at = [], 0
    for name in ("first_d", "weight_d", "first_h", "weight_h", "first_w", "weight_w", "base", "kind", "at", "block"):
        fields[name] = at
        if name in tables:
            packed.append(np.ascontiguousarray(tables[name]).tobytes())
            packed.append(bytes(-len(packed[-1]) % 64))
            at += len(packed[-2]) + len(packed[-1])
    return fields | {"numbers": b"".join(packed)}


def vector_tables(first: np.ndarray, weights: np.ndarray, C: int, lanes: int, dtype: np.dtype) -> Table:
    """The table of an axis of numbers, C for each pixel, as first (vectors, lanes) and weights (vectors, taps, lanes)."""
    numbers = (first[:, None] * C + np.arange(C)).ravel()
    weights = np.repeat(weights, C, axis=0).astype(dtype)
    vectors = ceil_div(len(numbers), lanes)
    spare = vectors * lanes - len(numbers)
    numbers = np.pad(numbers, (0, spare), mode="edge").reshape(vectors, lanes)
    weights = np.pad(weights, ((0, spare), (0, 0)), mode="edge").reshape(vectors, lanes, -1).transpose(0, 2, 1)
    return numbers, weights


def lane_type(dtype: np.dtype) -> type:
    """Integers as wide as a number."""
    return np.int64 if dtype.itemsize == 8 else np.int32


def picked_columns(first: np.ndarray, weights: np.ndarray, C: int, length: int, lanes: int, dtype: np.dtype) -> dict | None:
    """Tables of vectors whose pixels lie in two vectors of a row of `length` numbers, at most; None if not all do."""
    taps = weights.shape[1]
    numbers, weights = vector_tables(first, weights, C, lanes, dtype)
    base = np.minimum(numbers.min(axis=1), length - 2 * lanes)
    at = numbers[:, None, :] + C * np.arange(taps)[:, None] - base[:, None, None]
    if length < 2 * lanes or at.max() >= 2 * lanes:
        return None
    kind = (at >= lanes).any(axis=(1, 2)) | (weights == 0).any(axis=(1, 2))
    return {"way": WAYS.index("picked"), "workspace": 0, "blocks": 0,
            "tables": {"weight_w": weights, "base": base, "kind": kind.astype(np.int64), "at": at.astype(lane_type(dtype))}}


def across_columns(first: np.ndarray, weights: np.ndarray, C: int, lanes: int, dtype: np.dtype) -> dict | None:
    """Tables of whole vectors of numbers, pixels of C numbers; None if they would need too much room."""
    numbers, weights = vector_tables(first, weights, C, lanes, dtype)
    vectors, taps, _ = weights.shape
    base = numbers.min(axis=1)
    at = numbers - base[:, None]
    spread = at.max(axis=1)
    kind = 2 * np.where(spread < lanes, 0, np.where(spread < 2 * lanes, 1, 2)) + (weights == 0).any(axis=(1, 2))
    stop = np.maximum.accumulate(base + spread + (taps - 1) * C + 1)
    begin = np.minimum.accumulate(base[::-1])[::-1]
    blocks, start = [], 0
    while start < vectors:
        last = max(start + 1, int(np.searchsorted(stop, begin[start] + ROOM // dtype.itemsize, "right")))
        blocks.append((start, last, 0, taps, int(begin[start]), int(stop[last - 1])))
        start = last
    room = AHEAD * padded(max(b[5] - b[4] for b in blocks) + 4 * lanes, 16) * dtype.itemsize
    if room > LARGEST_ROOM:
        return None
    at = at.astype(lane_type(dtype))
    return {"way": WAYS.index("across"), "workspace": room, "blocks": len(blocks),
            "tables": {"weight_w": weights, "base": base, "kind": kind, "at": at, "block": np.array(blocks, np.int64)}}


def window_columns(first: np.ndarray, weights: np.ndarray, C: int, sparse: bool, lanes: int, dtype: np.dtype) -> dict:
    """Tables of windows, summed along the window or, with channels side by side, channel by channel."""
    Q, taps = weights.shape
    room = ROOM // dtype.itemsize
    c_block = C if taps * C <= room else min(C, max(lanes, room // taps // lanes * lanes))
    pixels = max(room // c_block, lanes) // lanes * lanes
    blocks, start = [], 0
    while start < Q:
        if taps > pixels:               # one window in parts
            blocks += [(start, start + 1, t, min(taps, t + pixels), int(first[start]) + t,
                        int(first[start]) + min(taps, t + pixels)) for t in range(0, taps, pixels)]
            start += 1
            continue
        last = start + 1
        if not sparse:
            last = max(last, int(np.searchsorted(first, first[start] + pixels - taps, "right")))
        blocks.append((start, last, 0, taps, int(first[start]), int(first[last - 1]) + taps))
        start = last
    spare = ceil_div(taps, lanes) * lanes - taps
    return {"way": WAYS.index("along" if C == 1 else "channels"), "c_block": c_block, "blocks": len(blocks),
            "workspace": (max(b[5] - b[4] for b in blocks) * c_block + 2 * lanes) * dtype.itemsize,
            "tables": {"first_w": first, "weight_w": np.pad(weights.astype(dtype), ((0, 0), (0, spare))),
                       "block": np.array(blocks, np.int64)}}


def rearrange_fields(problem: Rearrangement) -> dict:
    """The struct of src/rearrange.pyx: the axes of y, neighbours that lie one inside the other in x as one."""
    size = problem.itemsize
    axes: list[tuple[int, int]] = []            # extent, stride in x, in items
    for i in problem.order:
        n, step = problem.view[i], prod(problem.view[i + 1:])
        if axes and axes[-1][1] == step * n:
            axes[-1] = axes[-1][0] * n, step
        elif n != 1:
            axes.append((n, step))
    axes = axes or [(1, 1)]
    outer = [(n, step, prod(n for n, _ in axes[k + 1:])) for k, (n, step) in enumerate(axes)]
    kind, n, streams, x_s, y_n, at = rearrange_block(outer)
    outer = outer or [(1, 0, 0)]
    steps = prod(n for n, *_ in outer)
    table = np.zeros(STREAMS, np.int64)
    table[:len(at)] = at
    columns = np.zeros((3, REARRANGE_AXES), np.int64)
    columns[:, :len(outer)] = np.reshape(outer, (-1, 3)).T
    columns[1:] *= size
    share = task_share(steps, n * streams * size)
    numbers = [len(outer), steps, share, size, REARRANGE_BLOCKS.index(kind), n, streams, x_s, y_n]
    return {"numbers": np.array(numbers, np.int64).tobytes() + table.tobytes() + columns.tobytes()}


def rearrange_block(axes: list) -> tuple[str, int, int, int, int, list[int]]:
    """Kind, n, streams, x_s, y_n and at of the block, whose axes are taken out of `axes`: (extent, stride in x, in y)."""
    n, x_b, _ = axes.pop()
    if x_b == 1:                                                # contiguous in both
        at = take_streams(axes, n)
        return "runs", n, len(at), 0, 0, at
    along = next(k for k, (_, step, _) in enumerate(axes) if step == 1)
    extent, _, y_n = axes[along]
    inside = [axis for axis in axes if axis[1] < x_b]
    if prod(axis[0] for axis in inside) == x_b <= STREAMS and (n >= extent or y_n > STREAMS):
        at = starts(sorted(inside, key=lambda axis: -axis[1]), 2)       # side by side in x
        axes[:] = [axis for axis in axes if axis not in inside]
        return "deal", n, len(at), 0, 0, at
    if y_n <= STREAMS:
        at = starts([*axes[along + 1:], (n, x_b, 1)], 1)
        del axes[along:]
        return "weave", extent, y_n, 0, 0, at
    del axes[along]
    return "transpose", extent, n, x_b, y_n, []


def take_streams(axes: list, run: int) -> list[int]:
    """The last axes, as long as they are few streams of short runs, taken out of `axes`: where each begins in x."""
    taken: list = []
    while axes and prod(n for n, *_ in (axes[-1], *taken)) <= min(STREAMS, LONG_RUN // run):
        taken.insert(0, axes.pop())
    return starts(taken, 1)


def starts(axes: list, side: int) -> list[int]:
    """Where each combination of steps begins, in the order of the axes; side: 1 in x, 2 in y."""
    at = [0]
    for axis in axes:
        at = [begin + step * axis[side] for begin in at for step in range(axis[0])]
    return at


def fold_fields(problem: Windows) -> dict:
    """The struct of src/fold_rows.pyx."""
    pairs = (("HW", problem.size), ("RS", problem.kernel), ("PQ", problem.places))
    fields = {"M": problem.N * problem.C} | {name: n for names, values in pairs for name, n in zip(names, values)}
    for name, values in (("stride", problem.stride), ("dilation", problem.dilation), ("pad", problem.padding)):
        fields |= {f"{name}_h": values[0], f"{name}_w": values[1]}
    return fields


def sample_fields(problem: Sampling) -> dict:
    """The struct of src/grid_taps.pyx."""
    fields = dict(zip("DHW", (1,) * (3 - len(problem.size)) + problem.size))
    return fields | {"N": problem.N, "C": problem.C, "pixels": prod(problem.output_size), "axes": len(problem.size),
                     "mode": SAMPLE_MODES.index(problem.mode), "padding": SAMPLE_PADDING.index(problem.padding_mode),
                     "align_corners": int(problem.align_corners), "channels_last": int(problem.channels_last)}
