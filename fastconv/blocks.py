"""Sizes of the blocks into which each kernel cuts a problem: what stays in which cache, and work for all threads."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from math import gcd

from .algorithms import LONGEST_ROW
from .costs import STAGE_ROW, rows_are_runs, staged_rows, strassen_block, winograd_block, winograd_tiles
from .depthwise_costs import rows_on_lanes
from .problem import Problem
from .row import LINE, Machine, ceil_div
from .tiles import FEWEST, L1_WAY, best_order, few, row_cycles, short_sums, tile_cycles, tile_rows

WORKSPACE = 8 << 20             # bytes that one thread may use
LINE_COLUMNS = 224              # of sums that are turned back at a time: whole tiles, L1
PASS = 0.5                      # cycles for a vector of weights that the tiles of a block read
NOT_HELD = 1.03                 # times as long for blocks of more rows than L2 holds, ...
CHANNELS_SHARED = 1.03          # ... and if threads share the channels of pixels whose short sums are mostly written
FEWEST_ROWS = 4                 # of output that are worth a task: those around them are read by two
SETS_FILLED = 4, 2              # how many times as many lines as these sets hold may be loaded; if each is loaded twice ...
LOADS_HIDDEN = 4, 6             # ... with less than so many multiply-adds for each


def padded(n: int, unit: int) -> int:
    """The least multiple of `unit` that is not below n."""
    return ceil_div(n, unit) * unit


def balanced(n: int, most: int) -> int:
    """Size of the parts when n is cut into as few parts of at most `most` as possible, all nearly equal."""
    return ceil_div(n, ceil_div(n, max(1, most)))


def quickest(images: int, pixels: int, K: int, channel_sizes: Iterable[int], pixel_sizes: Iterable[int], threads: int,
             cost: Callable[[int, int], float]) -> tuple[int, int]:
    """(pixel_block, channel_block) of the blocks that all threads are done with first; cost(pixel_block, channel_block) is
    that of one task. Sizes that come first win unless others are half a percent better."""
    best = None
    for k_block in channel_sizes:
        for q_block in pixel_sizes:
            rounds = ceil_div(images * ceil_div(pixels, q_block) * ceil_div(K, k_block), threads)
            cycles = rounds * cost(q_block, k_block)
            if best is None or cycles < best[0] * 0.995:
                best = cycles, q_block, k_block
    return best[1:]


def shares(K: int, threads: int, unit: int) -> list[int]:
    """Sizes of channel blocks, in whole units: all channels, or as many parts as there are threads for them."""
    return [padded(ceil_div(K, parts), unit) for parts in range(1, min(threads, ceil_div(K, unit)) + 1)]


def cuts(pixels: int, most: int, threads: int) -> list[int]:
    """Sizes of pixel blocks: as few parts as blocks of at most `most` allow, or some more."""
    least = ceil_div(pixels, most)
    return [ceil_div(pixels, parts) for parts in range(least, least + 2 * threads)]


def pixel_blocks(p: Problem, m: Machine, threads: int) -> dict[str, int]:
    """Blocks of im2col_pixels: a panel of `chunk` channels takes an eighth of L2, the sums of a task twice L2."""
    K, C = p.K // p.G, p.C // p.G
    panel_rows = m.L2 // 8 // (m.NR * p.itemsize)
    chunk = balanced(C, panel_rows // p.taps)
    most = max(2 * m.NR, min(448, 2 * m.L2 // (K * p.itemsize) // m.NR * m.NR))
    if few(p, m) and p.taps == 1:
        most = m.L1 // 2 // (K * p.itemsize)            # sums wait there for the next planes

    def cost(q_block: int, k_block: int) -> float:
        """Unpacked weights cost their way to each task: 3x3-512-512@7, two threads that read all took 1.5 times as long."""
        vectors, channels = ceil_div(q_block, m.lanes), min(K, k_block)
        return tile_cycles(channels, vectors, m) + 3 * vectors + (0 if p.packed else 0.4 * channels)

    sizes = [padded(size, m.lanes) for size in cuts(p.pixels, most, threads)]
    pixel_block, channel_block = quickest(p.N * p.G, p.pixels, K, shares(K, threads, m.MR), sizes, threads, cost)
    panels = max(1, m.L1 // 2 // (chunk * p.taps * m.NR * p.itemsize)) if chunk == C else 1
    return {"chunk": chunk, "panels": panels, "pixel_block": pixel_block, "channel_block": channel_block}


def rows_held(p: Problem, m: Machine) -> int:
    """Output rows whose input, with the rows that only their outer taps read, takes five eighths of L2."""
    R, stride, dilation = p.kernel[0], p.stride[0], p.dilation[0]
    room = m.L2 * 5 // 8 // (min(p.size[-1], p.output_size[-1] * p.kernel[-1]) * p.C // p.G * p.itemsize)
    return max(room // R, (room - (R - 1) * dilation - 1) // stride + 1)        # windows share no rows, or some


def channel_blocks(p: Problem, m: Machine, threads: int) -> dict[str, int]:
    """Blocks of im2col_channels: part of a weight panel takes an eighth of L2, the windows of a task stay in L2.

    Each tile meets all weights before the next does where they take a quarter of L2 at most: of 8-1024@32 1.8 times as fast;
    with half of L2 or all of it (256-1024@14, 512-2048@7) 1.2 to 1.4 times as slow.
    """
    K, C = p.K // p.G, p.C // p.G
    m = m._replace(MR=tile_rows(p, m))
    panel_rows = m.L2 // 8 // (m.NR * p.itemsize)
    row_runs = int(rows_are_runs(p, m))
    run = C * p.kernel[-1] if row_runs else C
    chunk = balanced(run, panel_rows) if run > panel_rows else panel_rows // run * run
    window = p.taps * (C * p.itemsize if row_runs else 8) + C * p.itemsize
    most = max(m.MR, min(480, m.L2 // 2 // (window + m.NR * p.itemsize)) // m.MR * m.MR)
    row = p.output_size[-1]
    rows = p.shuffle and row <= most        # phases are finished in registers if a task is whole rows
    short = p.channels_last and short_sums(p, m)
    if short:                               # sums that are finished at once stay in L1
        most = min(most, m.L1 // 3 // (m.NR * p.itemsize) // m.MR * m.MR)
    held = rows_held(p, m) * row if len(p.size) == 2 and rows_held(p, m) > 1 else most
    least = ceil_div(p.pixels, most)
    whole = not p.packed and least == 2     # weights that one task for all pixels needs are packed as it needs them
    sizes = {ceil_div(p.pixels, parts) for parts in range(1 if whole else least, least + 2 * threads)}
    if rows or p.padded or p.shuffle:
        sizes = {padded(size, row) if rows or size >= row else size for size in sizes}
        sizes.update(range(row, min(most, p.pixels) + 1, row))

    def cost(q_block: int, k_block: int) -> float:
        channels = min(K, k_block)
        vectors = ceil_div(channels, m.lanes)
        return ((tile_cycles(q_block, vectors, m) + 0.1 * q_block + PASS * vectors + (0 if p.packed else 0.6 * channels))
                * (NOT_HELD if q_block > held else 1) * (CHANNELS_SHARED if short and k_block < K else 1))

    pixel_block, channel_block = quickest(p.N * p.G, p.pixels, K, shares(K, threads, m.NR), sorted(sizes, reverse=True),
                                          threads, cost)
    order = best_order(p, m, bool(row_runs), max(1, pixel_block // row))
    weights = channel_block * C * p.taps * p.itemsize
    return {"chunk": chunk, "pixel_block": pixel_block, "channel_block": channel_block, "row_runs": row_runs,
            "tile_rows": m.MR, **order._asdict(),
            "tiles_first": int(C * p.taps <= chunk and weights <= m.L2 // 4 and not p.shuffle)}


def staged_blocks(p: Problem, m: Machine, threads: int) -> dict[str, int]:
    """Blocks of staged: `pixel_block` output rows of `chunk` columns."""
    lines, Q = [1, *p.output_size][-2:]
    columns = Q if Q <= LONGEST_ROW else padded(balanced(Q, LONGEST_ROW), m.NR)
    images = p.N * p.G * p.pixels // (lines * Q)
    if threads > 1 and lines * images < threads:    # a row for several threads
        columns = padded(ceil_div(Q, padded(ceil_div(Q, LONGEST_ROW), 4 * threads)), m.NR)
    step, reach = [1, *p.stride][-2], [1, *(d * (k - 1) + 1 for k, d in zip(p.kernel, p.dilation))][-2]
    inputs, width = p.C // p.G * [1, 1, *p.kernel][-3], columns * p.stride[-1] + p.kernel[-1] * p.dilation[-1]
    most = staged_rows(p, width, m)
    tasks = images * ceil_div(Q, columns)
    product = p.sum_length * row_cycles(p.K // p.G, columns, m)

    def cost(rows: int) -> float:
        """Few rows serve all threads alike; many rows stage what their windows share once."""
        staged = inputs * ((rows - 1) * step + reach) * STAGE_ROW * m.step
        return ceil_div(tasks * ceil_div(lines, rows), threads) * (rows * product + staged)

    sizes = {balanced(lines, min(most, ceil_div(lines, parts))) for parts in range(1, ceil_div(4 * threads, tasks) + 1)}
    return {"chunk": columns, "pixel_block": min(sizes, key=lambda rows: (cost(rows), rows)), "channel_block": p.K // p.G}


def dot_blocks(p: Problem, m: Machine, threads: int) -> dict[str, int]:
    """Blocks of dot: `pixel_block` output rows of `chunk` columns, whose sums take a quarter of L1."""
    lines, Q = p.pixels // p.output_size[-1], p.output_size[-1]
    columns = padded(balanced(Q, max(m.lanes, m.L1 // 4 // (p.K * p.itemsize))), m.lanes)
    if threads > 1 and lines * p.N < threads:       # a row for several threads
        columns = min(columns, padded(ceil_div(Q, 4 * threads), m.lanes))
    parts = ceil_div(4 * threads, p.N * ceil_div(Q, columns))
    return {"chunk": columns, "pixel_block": ceil_div(lines, min(lines, parts)), "channel_block": p.K}


def grouped_blocks(p: Problem, m: Machine, threads: int) -> dict[str, int]:
    """Blocks of grouped: the input rows of `chunk` columns take half of L1, those of `pixel_block` rows half of L2."""
    lines, Q = [1, *p.output_size][-2:]
    step, reach = [1, *p.stride][-2], [1, *(d * (k - 1) + 1 for k, d in zip(p.kernel, p.dilation))][-2]
    slices = [1, 1, *p.kernel][-3] * p.itemsize
    columns = m.L1 // 2 // (slices * reach * p.stride[-1] * max(m.NR, padded(p.C // p.G, m.lanes)))
    columns = min(Q, padded(balanced(Q, max(28, columns)), 7))
    most = max(1, (m.L2 // 2 // (slices * p.C * p.size[-1]) - reach) // step + 1)       # which all units read
    parts = ceil_div(4 * threads, p.N * ceil_div(p.K, m.NR) * p.pixels // (lines * Q) * ceil_div(Q, columns))
    return {"chunk": columns, "pixel_block": balanced(lines, min(most, ceil_div(lines, parts))), "channel_block": p.K // p.G}


def winograd_blocks(p: Problem, m: Machine, threads: int, alpha: int) -> dict[str, int]:
    """Blocks of winograd: the transformed input of a task in L2 if 96 tiles can, products of `chunk` channels with it.

    Products take a quarter of L2 beside the input, or all of L2 where the input, which is read again for each chunk, does
    not stay there: 256-512@56s2, tiles of 121 elements, 1.1 times as fast as with half of L2.
    """
    K = max(1, p.K // p.G)
    elements, _, tiles = winograd_tiles(p, alpha)

    def cost(t_block: int, k_block: int) -> float:
        """In cycles per input channel: products, input transform, share of the weights' way from memory."""
        vectors = ceil_div(min(K, k_block), m.lanes)
        return (tile_cycles(max(t_block, FEWEST), vectors, m) * elements + 16 * t_block
                + 2 * vectors * m.lanes * (1 if p.packed else elements))

    tile_block, channel_block = quickest(p.N * p.G, tiles, K, shares(K, threads, m.NR),
                                         cuts(tiles, winograd_block(p, m, elements), threads), threads, cost)
    tile = elements * p.itemsize
    input_held = tile_block * tile * p.C // p.G * [1, 1, *p.kernel][-3] <= m.L2 // 2
    most = max(m.NR, m.L2 // (4 if input_held else 1) // tile // tile_block // m.NR * m.NR)
    chunk = padded(balanced(min(K, channel_block), most), m.NR)
    return {"chunk": chunk, "pixel_block": tile_block, "channel_block": channel_block, "alpha_w": alpha,
            "alpha_h": alpha if [1, *p.kernel][-2] > 1 else 1}


def strassen_blocks(p: Problem, m: Machine, threads: int) -> dict[str, int]:
    """Blocks of strassen, counted in pairs of pixels and of output channels."""
    width, pairs = padded(ceil_div(p.K // p.G, 2), m.lanes), ceil_div(p.pixels, 2)

    def cost(q_block: int, k_block: int) -> float:
        vectors = ceil_div(min(width, k_block), m.lanes)
        return tile_cycles(q_block, vectors, m) + 2 * vectors + 0.4 * q_block

    pixel_block, channel_block = quickest(p.N * p.G, pairs, width, shares(width, threads, m.NR),
                                          cuts(pairs, strassen_block(p, m), threads), threads, cost)
    return {"pixel_block": pixel_block, "channel_block": channel_block}


def reads_columns(p: Problem, m: Machine) -> bool:
    """Whether depthwise_pixels reads planes where they lie, under a kernel of one column."""
    return (len(p.kernel) == 2 and p.kernel[0] > 1 == p.kernel[1] and p.stride == (1, 1) and p.dilation[0] == 1
            and not any(p.padding[1]) and p.output_size[0] > 1 and p.size[1] >= m.lanes)


def plane_blocks(p: Problem, m: Machine, threads: int) -> dict[str, int]:
    """Blocks of depthwise_pixels: the strip of a plane takes half of L1, or L2, a task planes worth its start."""
    O, P, Q = p.in_three_axes(p.output_size, 1)
    T, R, S = p.in_three_axes(p.kernel, 1)
    _, stride_h, stride_w = p.in_three_axes(p.stride, 1)
    most = m.L1 // 2 // (p.itemsize * T)        # numbers of one slice of the strip
    if Q > most // R and Q * stride_w * (R + 7 * stride_h) <= m.L2 // 2 // (p.itemsize * T):
        most = m.L2 // 2 // (p.itemsize * T)    # rather than a row by itself, for which all rows of the window are copied
    columns = Q if Q <= most // R else balanced(Q, max(m.NR, most // R))
    rows = P
    if reads_columns(p, m):
        columns, rows = Q, padded(balanced(P, ceil_div(P * p.N * p.K, 4 * threads)), 6)
    elif columns < Q:
        rows = 1
    elif P * stride_h + R > most // (columns * stride_w + S):
        rows = balanced(P, max(7, (most // (columns * stride_w + S) - R) // stride_h // 7 * 7))
        rows = min(P, ceil_div(rows, 7) * 7)
    strips = p.N * O * ceil_div(P, rows) * ceil_div(Q, columns)
    planes = max(1, min(p.K * strips // (16 * threads), 40000 * m.lanes // (rows * columns * p.taps)))
    return {"pixel_block": rows * Q if columns == Q else columns, "channel_block": balanced(p.K, planes)}


def copies_rows(p: Problem, m: Machine) -> bool:
    """Whether depthwise_channels, with channels last, copies what a task reads: whole blocks of channels of whole rows.

    That pays where the pixels of a tile, a power of two apart, fall into few sets of L1 and multiply-adds do not hide it, on
    a Zen: with AVX2, where a line is two vectors, 512@28s2 takes 0.6 of the time, 512@40 0.7, but 7 x 7 taps 1.1 times as
    long. On a Xeon (Machine.far) it takes 1.3 to 1.6 times as long, 1024@14s2 to 1024@128s2.
    """
    if m.far > 1 or len(p.kernel) != 2 or p.kernel[1] == 1 or p.pixels == 1 or p.C % (2 * m.lanes) or (
            p.padded and p.padding_mode != "zeros"):
        return False
    (R, S), (stride_h, stride_w) = p.kernel, p.stride
    lines = (R + stride_h) * (6 * stride_w + S)         # that a tile of two rows of 7 pixels loads
    held = L1_WAY // max(LINE, gcd(p.C * p.itemsize, L1_WAY)) * (m.L1 // L1_WAY)
    return lines > SETS_FILLED[m.halves] * held and 14 * p.taps < LOADS_HIDDEN[m.halves] * lines


def lane_blocks(p: Problem, m: Machine, threads: int) -> dict[str, int]:
    """Blocks of depthwise_channels: rows of all channels, whose windows stay in L2, for all threads.

    Threads that share rows are slow: 384@14, 3 x 3, two threads: blocks of 96 channels 16-42 us, of 4 rows 12-17. With an L3
    shared by many cores (Xeon, Machine.far), all channels of 1024@80 take 2.15 ms, blocks of 512 2.4, of 64 3.3-4.0.
    """
    O, P, Q = p.in_three_axes(p.output_size, 1)
    unit = 2 * m.lanes
    if not p.channels_last:
        return turned_blocks(p, m, threads, unit)
    T, R, _ = p.in_three_axes(p.kernel, 1)
    reach = p.in_three_axes(p.stride, 1)[1] + (R - 1) * p.in_three_axes(p.dilation, 1)[1] + 1
    line = T * p.size[-1] * p.itemsize              # of one channel
    copies = copies_rows(p, m)
    most = m.L2 // 3 // (reach * line)              # rows that the next two use again, and their weights, in L2; ...
    if m.far > 1:                                   # ... whole pixels from a far L3 come sooner than parts of them;
        most = p.C
    if copies or O * P == 1:                        # ... of copied rows, or of a single one, the weights in L1
        most = m.L1 // 4 // (p.taps * p.itemsize)
    most = max(unit, most // unit * unit)
    lines = O * P if O * P > 1 else ceil_div(Q, 14)
    work = p.macs // m.lanes                        # multiply-adds of vectors
    wanted = max(1, min(8 * threads, work // 5000)) # tasks
    k_parts = ceil_div(p.C, most)
    p_parts = min(ceil_div(wanted, p.N * k_parts), ceil_div(lines, FEWEST_ROWS))
    k_parts = max(k_parts, min(ceil_div(wanted, p.N * p_parts) if p.N * p_parts < threads else 1, ceil_div(p.C, unit)))
    channels = p.C if k_parts == 1 else even(p.C, unit, k_parts, p.N * p_parts, threads)
    if O * P == 1:
        return {"pixel_block": ceil_div(ceil_div(Q, p_parts), 7) * 7, "channel_block": channels, "in_place": 1}
    slices = ceil_div(O, p_parts)
    tasks = p.N * ceil_div(p.C, channels) * ceil_div(O, slices)
    rows = min(P, even(P, 2, ceil_div(p_parts, O), tasks, threads))
    room = m.L2 // 2 // (p.size[-1] * channels * p.itemsize)        # rows of the input
    if copies and room >= reach:
        rows = min(P, padded(balanced(P, min(rows, room // 2 // p.stride[0])), 2))
        return {"pixel_block": rows * Q, "channel_block": channels, "in_place": 0}
    if T > 1 and O > 1 and P * line * p.C > m.L2 // 2:              # the rows that all slices of a task read stay in L2
        slices, rows = O, padded(balanced(P, max(2, min(m.L2 // 2 // (line * p.C), ceil_div(P, p_parts)))), 2)
    return {"pixel_block": rows * Q, "chunk": slices, "channel_block": channels, "in_place": 1}


def even(n: int, unit: int, parts: int, tasks: int, threads: int) -> int:
    """Size, in whole units, of at least `parts` parts of n for each of `tasks`: no thread gets much more than others."""
    sizes = [padded(ceil_div(n, k), unit) for k in range(parts, 2 * parts + 1)]
    return min(sizes, key=lambda size: ceil_div(tasks * ceil_div(n, size), threads) * size)


def turned_blocks(p: Problem, m: Machine, threads: int, unit: int) -> dict[str, int]:
    """Blocks of depthwise_channels with channels first: rows, or slices, of `unit` planes.

    Turned rows take a quarter of L2, slices and their sums a few times L2. What padding repeats is not cut.
    """
    O, P, Q = p.in_three_axes(p.output_size, 1)
    if rows_on_lanes(p):
        rows = padded(balanced(P, max(unit, P * p.N * p.K // (4 * threads))), unit)
        planes = max(1, min(p.N * p.K * ceil_div(P, rows) // (4 * threads), 40000 // (rows * Q)))
        return {"pixel_block": rows * Q, "chunk": LINE_COLUMNS, "channel_block": balanced(p.K, planes), "row_runs": 1}
    _, H, W = p.in_three_axes(p.size, 1)
    T, stride, dilation = (p.in_three_axes(values, 1)[0] for values in (p.kernel, p.stride, p.dilation))
    number, rows, slices = unit * p.itemsize, P, O
    if p.padding_mode == "zeros" or not p.padded:
        if O == T == 1:
            rows = balanced(P, m.L2 // 4 // ((W * p.in_three_axes(p.stride, 1)[1] + 2 * Q) * number))
        else:
            room = min(WORKSPACE * 7 // 8, 4 * m.L2) // number - ((T - 1) * dilation + 1 - stride) * H * W
            slices = balanced(O, room // (stride * H * W + 2 * P * Q))
    tasks = ceil_div(4 * threads, p.N * ceil_div(O, slices) * ceil_div(P, rows))
    return {"pixel_block": rows * Q, "chunk": slices, "channel_block": ceil_div(ceil_div(p.C, tasks), unit) * unit}


def deform_blocks(p: Problem, m: Machine, threads: int) -> dict[str, int]:
    """Blocks of deform: part of a weight panel takes twice L1, the panel and the sums of a task half of L2.

    With groups a chunk holds whole taps; all of them, so that sums are finished at once, if those of a tile are few.
    """
    K, sums = p.K // p.G, p.C * p.taps
    if p.G == 1:
        chunk = padded(balanced(sums, 2 * m.L1 // (m.NR * p.itemsize)), m.lanes)
    else:
        chunk = p.C * balanced(p.taps, WORKSPACE // 2 // (m.MR * p.itemsize * p.C))
    totals = p.G * padded(K, m.NR) if chunk < sums else m.NR
    most = max(m.MR, min(480, m.L2 // 2 // ((chunk + totals) * p.itemsize)) // m.MR * m.MR)
    gather = 6 * ceil_div(p.C, m.lanes) / ceil_div(p.C, p.G)        # for each pixel and input channel of a group

    def cost(q_block: int, k_block: int) -> float:
        return p.G * tile_cycles(q_block, ceil_div(min(K, k_block), m.lanes), m) + gather * q_block

    pixel_block, channel_block = quickest(p.N, p.pixels, K, shares(K, threads, m.NR), cuts(p.pixels, most, threads), threads,
                                          cost)
    return {"chunk": chunk, "pixel_block": pixel_block, "channel_block": channel_block, "offset_groups": p.offset_groups}


BLOCKS = {"im2col_pixels": pixel_blocks, "im2col_channels": channel_blocks, "staged": staged_blocks, "dot": dot_blocks,
          "grouped": grouped_blocks, "depthwise_pixels": plane_blocks, "depthwise_channels": lane_blocks,
          "strassen": strassen_blocks, "deform": deform_blocks}
