"""Costs: predicted seconds of each row of the table, on one core of the machine.

They look at shape, number type, instruction set and CPU, never at batch or threads, so that neither changes a result.
Constants are cycles, measured on one core of an AMD Zen 5 (AVX-512) with the weights packed. A cycle is what two
multiply-adds of vectors take: where vectors are computed in halves (Zen 4), all work on them takes as many cycles, of twice
the length, and what does not depend on the length of vectors takes Machine.step of them. Transforms take Machine.moves
times as long where they have no ports of their own beside multiply-adds.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .problem import Problem
from .row import LINE, Machine, ceil_div
from .tiles import L1_WAY, RUN_START, TILE_START, WIDE_LOAD, few, live_share, row_cycles, tile_cycles, tile_rows

TURNED_TILE = 175       # sums of a tile that are transposed back ...
PRODUCT_START = 80      # ... for one element of Winograd's tiles
GATHER_VECTOR = 3.8     # one vector of a panel ...
GATHER_STRIDED = 5.2    # ... whose numbers do not lie side by side
GATHER_ALONE = 1.6      # times as long where there is less to multiply
IN_PLACE = 0.2, 0.4, 1.5    # one vector where it lies, each time, on a Xeon: of planes of whole vectors; of others; of
                            # whole L1_WAYs, where rows fall into the same sets of L1
IN_PLACE_HALF = 0, 0.6, 1.5     # with Machine.halves: of panels that L1 holds; of larger ones; of whole L1_WAYs
PLANES_L3 = 2.2         # or, for few output channels, one line of L3, if that is farther away than a Zen's
GATHER_TAP = 7          # where one tap of one vector of pixels lies
ROWS_IN_PLACE = 0.05    # of the time of products, more if rows of weights are read where they lie
PACK_NUMBER = 0.6       # one weight, transposed into place ...
MOST_PACKINGS = 2       # ... by every task, up to so many: more tasks find them packed
PIXEL_BLOCK = 400       # pixels of one task
TURN_NUMBER = 0.24, 0.5 # one number of a small image, transposed; by Machine.halves
ROUND = 6000            # threads that wait for each other, and get from L3 what others have turned
WINDOW = 1.2            # one pointer of an indirect product
LONG_RUN = 4            # vectors of input channels for which loading pointers for two steps at once pays
MOST_POINTERS = 8       # that stay in registers while a tile is multiplied
STAGE_ROW = 90          # one staged row ...
STAGE_NUMBER = 0.1      # ... and each of its numbers ...
STAGE_STRIDED = 0.25    # ... if some are passed over; ...
STAGE_L3 = 4            # ... more for a line of L3, if that is farther away than a Zen's
DOT_LOAD = 1.05         # one vector of a window, or of weights, in registers ...
DOT_RUN = 3.5           # ... one run of a window, ...
DOT_SUM = 4             # ... the lanes of a sum added, ...
DOT_TILE = 70           # ... a tile, ...
DOT_L3 = 1.5            # ... and a line of L3, if that is farther away than a Zen's
GROUPED_TAP = 2.4       # one tap of a tile of 7 vectors of pixels, of one channel of several groups, ...
GROUPED_SHUFFLE = 1.4   # more for a tap where shuffles take the places of multiply-adds, ...
GROUPED_SPREAD = 0.8    # ... and where a load spreads a channel over its group,
GROUPED_RUN = 2         # and one run of taps that read columns side by side, ...
GROUPED_TILE = 200      # and a tile
GROUPED_VECTOR = 5      # one staged vector ...
GROUPED_TURN = 5        # ... of rows of some planes, or turned back
PAGE = 4096             # bytes
PIXELS_FAR = 30, 7      # a line of input and of output on its way from and to memory, beside what is computed meanwhile:
CHANNELS_FAR = 10, 3    # rows of pixels, whose lines lie apart; of channels;
STAGED_FAR = 10, 6      # rows as they lie
TILES_FAR = 50, 40      # patches of Winograd's tiles
PLANES_FAR = 25, 25     # planes, with little to compute meanwhile ...
STRIPS_FAR = 6, 6       # ... and rows of some planes
NEAR = 0.05             # share of that for a line of L3 ...
OTHERS = 0.34           # ... a part of which is not this problem's
DIRECT_BORDER = 14      # one vector of pixels at a border or with a stride
DIRECT_FAR = 4          # one vector of sums that L2 holds
SAMPLE = 12             # where one tap of one offset group samples, for one pixel
CORNERS = 6             # one vector of channels between four pixels
TRANSFORM = {4: (140, 40), 6: (220, 70), 8: (700, 110)}     # Winograd, by alpha: a vector of channels of a tile, in; out ...
FINISHED = 0.65         # ... which take as much of the time if they are finished in registers
SPREAD = 4, 0.8         # of their time that dilated tiles take more the fewer fit into a row; channels first, last
TRANSFORM_L3 = 0.6      # more for each number of a block that L3 holds, if that is farther away than a Zen's
TRANSFORM_WIDE = 1.7    # times as long for tiles of more than ...
MOST_ELEMENTS = 64      # ... so many elements, which go to as many places
SCATTERED = 1, 4        # one number of a dilated row, channels first, moved by itself: times the dilation, and at most; ...
SCATTERED_FAR = 6, 220  # ... more for a line that L2 held no longer, and for a page
MOST_TAPS = 5           # of an axis that Winograd's algorithm transforms ...
MOST_HALVED = 7         # ... with stride 2
TRANSFORM_NUMBER = 0.22 # one transformed weight ...
TRANSFORM_PRODUCT = 0.13    # ... and each of the products of which it is a sum ...
TRANSFORM_FAR = 0.25    # ... more if all do not stay in a third of L3 ...
TRANSFORM_FRESH = 0.6   # ... or go to memory that all blocks of tiles read, for more than MOST_PACKINGS of them
WINOGRAD_TILES = 96     # in one block, at most, ...
WINOGRAD_ROOM = 6       # ... whose transformed input takes so many times L2
PAIR_IN = 18            # Strassen's sums of two vectors of channels of two pixels ...
PAIR_OUT = 32           # ... and from products to outputs
PACK_PAIRS = 4          # one weight, scaled, by one thread, summed and transposed into place
STRASSEN_ROOM = 1       # sums of one task take so many times L2
STREAM_L3 = 0.22        # one number of weights that do not stay in L2 ...
STREAM_MEMORY = 0.7     # ... nor in a third of L3
PLACE_NUMBER = 0.7      # one number, read and written once more
CALL = 15000            # a parallel region and what Python does about it


def far_cycles(problem: Problem, machine: Machine, lines: tuple[int, int]) -> float:
    """Cycles for input and output that L2 does not hold: `lines` each for one that comes from, or goes to, memory."""
    x, y = problem.C * volume(problem) * problem.itemsize, problem.K * problem.pixels * problem.itemsize
    together = x + y + problem.K * problem.sum_length * problem.itemsize
    if together <= machine.L2:
        return 0.0
    memory = min(1.0, together / machine.L3 - OTHERS)
    return (x * lines[0] + y * lines[1]) / LINE * max(NEAR, memory) * machine.step


def pixels_cost(problem: Problem, machine: Machine) -> float:
    """Pixels on the lanes: whole vectors of pixels are multiplied, panels are gathered."""
    K, vectors, length = problem.K // problem.G, ceil_div(problem.pixels, machine.lanes), problem.sum_length
    chunks = ceil_div(length * machine.NR * problem.itemsize, machine.L1)
    tiles = ceil_div(K, machine.MR) * ceil_div(vectors * machine.lanes, machine.NR) * chunks
    gathered = vectors * (length * gather_vector(problem, machine) + problem.taps * GATHER_TAP * machine.step)
    products = length * tile_cycles(K, vectors, machine)
    if gathered > products:
        gathered *= GATHER_ALONE
    cycles = products + tiles * TILE_START + gathered
    cycles += 0 if problem.packed else min(ROWS_IN_PLACE * products, PACK_NUMBER * K * length)
    return (problem.G * cycles + far_cycles(problem, machine, PIXELS_FAR)) * machine.cycle


def packings(problem: Problem, pixels: int, block: int) -> int:
    """How often a call packs its weights, with tasks of `block` pixels each."""
    return 0 if problem.packed else min(MOST_PACKINGS, ceil_div(pixels, block))


def gather_vector(problem: Problem, machine: Machine) -> float:
    """Cycles for one vector of a panel, in pieces where rows of the output are shorter."""
    return (GATHER_VECTOR if problem.stride[-1] == 1 else GATHER_STRIDED) * max(1, machine.lanes / problem.output_size[-1])


def channels_cost(problem: Problem, machine: Machine) -> float:
    """Output channels on the lanes: whole vectors of channels are multiplied, windows are found."""
    C, K, length = problem.C // problem.G, problem.K // problem.G, problem.sum_length
    vectors, pixels = vectors_of_pointers(K, C, machine), problem.live_pixels
    chunks = ceil_div(length * machine.NR * problem.itemsize, machine.L2 // 8)
    tiles = ceil_div(pixels, tile_rows(problem, machine)) * ceil_div(K, machine.NR) * chunks
    row_runs = rows_are_runs(problem, machine)
    runs = problem.taps // problem.kernel[-1] if row_runs else problem.taps
    windows = pixels * runs * WINDOW * machine.step
    cycles = length * tile_cycles(pixels, vectors, machine) * live_share(problem, machine, row_runs)
    cycles += tiles * (TILE_START if problem.channels_last else TURNED_TILE) + windows
    cycles += tiles // chunks * runs * RUN_START[machine.halves] * machine.step
    if not problem.channels_last:
        cycles += C * volume(problem) * TURN_NUMBER[machine.halves] * machine.moves
        cycles += ROUND * machine.far * machine.step / problem.G
    cycles += packings(problem, pixels, PIXEL_BLOCK) * PACK_NUMBER * K * length
    return (problem.G * cycles + far_cycles(problem, machine, CHANNELS_FAR)) * machine.cycle


def vectors_of_pointers(channels: int, run: int, machine: Machine) -> int:
    """Vectors that tiles of pointers take the time of: where more of these than registers are loaded again, whole panels.

    On a Xeon (Machine.moves) they are loaded for two steps at once, which pays in a long run of input channels: 160-16@14,
    7 x 7, takes 0.53 of 160-32. In short ones it does not: 512-512@14 in 32 groups took twice what that promised.
    """
    long_run = machine.moves > 1 and run >= LONG_RUN * machine.lanes
    if machine.MR > MOST_POINTERS and machine.step == 1 and not long_run:
        return ceil_div(channels, machine.NR) * (machine.NR // machine.lanes)
    return ceil_div(channels, machine.lanes)


def rows_are_runs(problem: Problem, machine: Machine) -> bool:
    """Whether im2col_channels takes a row of a window for one run: its few channels lie side by side."""
    return problem.G == 1 and problem.C < machine.lanes and problem.kernel[-1] > 1 and problem.dilation[-1] == 1


def winograd_tiles(problem: Problem, alpha: int) -> tuple[int, int, int]:
    """Elements, those with weights of their own, and tiles of one image.

    Along each transformed axis, tiles of m outputs in every phase of the dilation; with stride 2, alpha elements of the even
    pixels and alpha - 1 of the odd ones, which are these pixels themselves, with one weight for all, under a single odd tap.
    """
    elements, unique, tiles = 1, 1, 1
    for axis, (taps, out, stride, dilation) in enumerate(zip(problem.kernel, problem.output_size, problem.stride,
                                                             problem.dilation)):
        if axis >= len(problem.kernel) - 2 and taps > 1:
            m = max(1, alpha - winograd_taps(problem) + 1)
            elements *= 2 * alpha - 1 if stride == 2 else alpha
            unique *= 2 * alpha - 1 if stride == 2 and taps > 3 else alpha + stride - 1
            tiles *= min(dilation, out) * ceil_div(ceil_div(out, dilation), m)
        else:
            tiles *= out
    return elements, unique, tiles


def winograd_taps(problem: Problem) -> int:
    """r of F(m, r)."""
    return problem.kernel[-1] if problem.stride[-1] == 1 else problem.kernel[-1] // 2 + 1


def winograd_block(problem: Problem, machine: Machine, elements: int) -> int:
    """Tiles of one task at most: their transformed input, of all channels, takes a few times L2."""
    depth = problem.C // problem.G * [1, 1, *problem.kernel][-3]
    room = WINOGRAD_ROOM * machine.L2 // (elements * problem.itemsize)
    return max(machine.MR, min(WINOGRAD_TILES, room // depth // machine.MR * machine.MR))


def transforms_of_weights(problem: Problem, alpha: int, blocks: int, far: bool, machine: Machine) -> float:
    """Cycles for each transformed weight of a call."""
    taps = problem.kernel[-1]
    products = taps * (taps + alpha) / alpha if [1, *problem.kernel][-2] > 1 else taps
    number = TRANSFORM_NUMBER + TRANSFORM_PRODUCT * products + (TRANSFORM_FAR if far else 0)
    if (alpha, taps) == (6, 3):             # waits for its stores rather than for sums
        number *= machine.step
    if blocks > MOST_PACKINGS and not problem.packed:
        return number + TRANSFORM_FRESH
    return packings(problem, blocks, 1) * number


def weights_way(nbytes: int, machine: Machine) -> float:
    """Cycles for each of the weights that a block of tiles reads, if all together take so many bytes.

    They do not stay in L2 if they fill more than three quarters of it: input and products pass through it, too.
    """
    if nbytes <= machine.L2 * 3 // 4:
        return 0.0
    return max(STREAM_MEMORY if nbytes > machine.L3 / 3 else 0.0, STREAM_L3 * machine.step * machine.far)


def strassen_block(problem: Problem, machine: Machine) -> int:
    """Pairs of pixels of one task at most: their sums take STRASSEN_ROOM times L2."""
    pair = 7 * problem.itemsize * (problem.C // problem.G // 2 + machine.NR)
    return max(machine.MR, min(WINOGRAD_TILES, STRASSEN_ROOM * machine.L2 // pair // machine.MR * machine.MR))


def winograd_cost(alpha: int) -> Callable[[Problem, Machine], float]:
    """Transforms of whole tiles and a matrix product for each element; weights are read once for each block of tiles."""
    def cost(problem: Problem, machine: Machine) -> float:
        C, K = problem.C // problem.G * [1, 1, *problem.kernel][-3], problem.K // problem.G      # depth taps are channels
        elements, unique, tiles = winograd_tiles(problem, alpha)
        share, blocks = elements / alpha**2, ceil_div(tiles, winograd_block(problem, machine, elements))
        calls = elements * ceil_div(tiles, machine.MR) * ceil_div(K, machine.NR)
        held = elements * ceil_div(tiles, blocks) * C * problem.itemsize
        panels = ceil_div(K, machine.NR) * machine.NR
        vectors = vectors_of_pointers(K, elements * C, machine)
        cycles = elements * C * tile_cycles(tiles, vectors, machine) + calls * PRODUCT_START
        nbytes = unique * C * panels * problem.G * problem.itemsize * problem.turns
        cycles = max(cycles, weights_way(nbytes, machine) * unique * C * panels * blocks)
        if problem.dilation[-1] > 1:        # pixels of a tile lie far apart, and few tiles of a row follow each other
            reach = problem.dilation[-1] * alpha
            share *= 1 + SPREAD[problem.channels_last] * reach / (problem.output_size[-1] + reach)
        into, back = TRANSFORM[alpha]
        if elements > MOST_ELEMENTS:
            into, back = into * TRANSFORM_WIDE, back * TRANSFORM_WIDE
        if held > machine.L2:
            into += TRANSFORM_L3 * (1 - machine.L2 / held) * alpha**2 * machine.lanes * (machine.far - 1) / machine.moves
        if problem.channels_last and K % machine.lanes == 0 and not problem.combined:
            back *= FINISHED
        moved = share * tiles * (into * ceil_div(C, machine.lanes) + back * ceil_div(K, machine.lanes))
        number = TURN_NUMBER[machine.halves]
        if problem.dilation[-1] > 1:
            number = min(SCATTERED[0] * problem.dilation[-1], SCATTERED[1])
        turned = 0 if problem.channels_last else C * volume(problem) * 1.5 + K * problem.pixels
        cycles += (moved + number * turned) * machine.moves
        cycles += 0 if problem.channels_last else K * problem.pixels * scattered_number(problem, machine)
        cycles += unique * C * panels * transforms_of_weights(problem, alpha, blocks, nbytes > machine.L3 / 3, machine)
        return (problem.G * cycles + far_cycles(problem, machine, TILES_FAR)) * machine.cycle
    return cost


def scattered_number(problem: Problem, machine: Machine) -> float:
    """Cycles more for each output of a dilated kernel, channels first, where L2 does not hold the rows of all channels until
    the other phases come to the same lines and pages."""
    apart = problem.dilation[-1] * problem.itemsize
    if problem.dilation[-1] == 1 or problem.K // problem.G * problem.output_size[-1] * problem.itemsize <= machine.L2:
        return 0
    return SCATTERED_FAR[0] * min(1, apart / LINE) + SCATTERED_FAR[1] * min(1, apart / PAGE)


def strassen_cost(problem: Problem, machine: Machine) -> float:
    """Sums of halves of the input and 7 matrix products of halves; weights are read once for each block of pixels."""
    depth, width, pairs = problem.C // problem.G // 2, ceil_div(problem.K // problem.G, 2), ceil_div(problem.pixels, 2)
    vectors = ceil_div(width, machine.lanes)
    cycles = 7 * depth * tile_cycles(pairs, vectors, machine)
    cycles += 7 * ceil_div(pairs, machine.MR) * ceil_div(width, machine.NR) * TILE_START
    weights = 7 * depth * width
    blocks = ceil_div(pairs, strassen_block(problem, machine))
    cycles = max(cycles, weights_way(weights * problem.G * problem.itemsize, machine) * weights * blocks)
    moved = pairs * (PAIR_IN * ceil_div(depth, machine.lanes) + PAIR_OUT * vectors)
    turned = problem.C // problem.G * volume(problem) + 2 * width * problem.pixels
    moved += 0 if problem.channels_last else 1.5 * TURN_NUMBER[machine.halves] * turned
    cycles += moved * machine.moves
    cycles += 0 if problem.packed else PACK_PAIRS * 4 * depth * width
    return (problem.G * cycles + far_cycles(problem, machine, CHANNELS_FAR)) * machine.cycle


def volume(problem: Problem) -> int:
    """Input pixels of one image."""
    n = 1
    for extent in problem.size:
        n *= extent
    return n


def im2col_cost(problem: Problem, machine: Machine) -> float:
    return (channels_cost if problem.channels_last else pixels_cost)(problem, machine)


def gathers(problem: Problem, machine: Machine) -> bool:
    """Whether pointwise gathers rows of pixels all the same: they come from afar, and gathering one panel fetches the next.

    Their sums are those of panels in place, so that this may look at the batch.
    """
    return not problem.channels_last and problem.bytes > machine.L3 // 4 and not few(problem, machine)


def pointwise_cost(problem: Problem, machine: Machine) -> float:
    """im2col without its gather, unless panels are gathered all the same; few output channels take what their input does."""
    if not problem.channels_last and few(problem, machine):
        vectors = ceil_div(problem.pixels, machine.lanes) * problem.C
        line = PLANES_L3 * (machine.far - 1) if problem.C * problem.pixels * problem.itemsize > machine.L2 else 0
        cycles = vectors * (max(problem.K // problem.G / 2, WIDE_LOAD) + line)
        return (cycles + far_cycles(problem, machine, STAGED_FAR)) * machine.cycle
    if problem.channels_last or gathers(replace(problem, N=1), machine):
        return im2col_cost(problem, machine)
    vectors = ceil_div(problem.pixels, machine.lanes) * problem.C
    saved = vectors * gather_vector(problem, machine)
    alike = 2 if problem.pixels * problem.itemsize % L1_WAY == 0 else problem.pixels % machine.lanes > 0
    again = IN_PLACE[alike] * (machine.moves - 1)
    if machine.halves:
        full = problem.C // problem.G * machine.NR * problem.itemsize >= machine.L1
        again = IN_PLACE_HALF[2 if alike == 2 else full]
    again *= vectors * ceil_div(problem.K // problem.G, machine.MR)
    return im2col_cost(problem, machine) - (saved - again) * machine.cycle


def staged_rows(problem: Problem, width: int, machine: Machine) -> int:
    """Output rows of one task at most: their input rows, of so many numbers, take half of L2."""
    step, reach = [1, *problem.stride][-2], [1, *(d * (k - 1) + 1 for k, d in zip(problem.kernel, problem.dilation))][-2]
    line = problem.C // problem.G * [1, 1, *problem.kernel][-3] * width * problem.itemsize
    return max(1, (machine.L2 // 2 // line - reach) // step + 1)


def staged_cost(problem: Problem, machine: Machine) -> float:
    """Vectors of pixels of one output row; every input row is copied about once."""
    K, Q, length = problem.K // problem.G, problem.output_size[-1], problem.sum_length
    lines, inputs = problem.pixels // Q, problem.C // problem.G * volume(problem) // problem.size[-1]
    tiles = ceil_div(K, machine.MR) * ceil_div(Q, machine.NR)
    cycles = lines * (length * row_cycles(K, Q, machine) + tiles * TILE_START)
    step, reach = [1, *problem.stride][-2], [1, *(d * (k - 1) + 1 for k, d in zip(problem.kernel, problem.dilation))][-2]
    rows = min(staged_rows(problem, problem.size[-1], machine), ceil_div([1, *problem.output_size][-2], 2))
    staged = inputs * min(problem.stride[-1], problem.kernel[-1]) * (1 + max(0, reach - step) / (rows * step))
    cycles += staged * (STAGE_ROW * machine.step + Q * (STAGE_NUMBER if problem.stride[-1] == 1 else STAGE_STRIDED))
    if inputs * problem.size[-1] * problem.itemsize > machine.L2:
        cycles += inputs * problem.size[-1] * problem.itemsize / LINE * STAGE_L3 * (machine.far - 1)
    cycles += 0 if problem.packed else PACK_NUMBER * K * length
    return (problem.G * cycles + far_cycles(problem, machine, STAGED_FAR)) * machine.cycle


def dot_cost(problem: Problem, machine: Machine) -> float:
    """Vectors of numbers of each window, for all output channels; the lanes of every sum are added."""
    C, S = problem.C, problem.kernel[-1]
    runs = problem.taps // S if problem.dilation[-1] == 1 else problem.taps
    vectors = runs * ceil_div(problem.taps // runs * C, machine.lanes)
    together = 8                        # tile_pixels of src/dot.pyx
    while together > 1 and together * problem.K > machine.MR * machine.NR // machine.lanes:
        together //= 2
    pixel = vectors * max(problem.K / 2, DOT_LOAD * (1 + problem.K / together))
    pixel += runs * DOT_RUN + problem.K * DOT_SUM + DOT_TILE / together
    cycles = problem.pixels * pixel
    lines = C * volume(problem) * problem.itemsize / LINE
    cycles += lines * DOT_L3 * (machine.far - 1) if lines * LINE > machine.L2 else 0
    cycles += packings(problem, problem.pixels, PIXEL_BLOCK) * PACK_NUMBER * problem.K * problem.sum_length
    return (cycles + far_cycles(problem, machine, STAGED_FAR)) * machine.cycle


def grouped_cost(problem: Problem, machine: Machine) -> float:
    """Tiles of 7 pixels and one or two vectors: runs of taps that read consecutive columns, for each channel of a group."""
    C, K, lanes, Q = problem.C // problem.G, problem.K // problem.G, machine.lanes, problem.output_size[-1]
    width = 2 if machine.MR > 6 else 1
    together = max(1, min(lanes // max(K, 1), lanes // C))
    units = problem.G * ceil_div(K, width * lanes) if K > lanes else ceil_div(problem.G, together * width)
    step = problem.stride[-1] // problem.dilation[-1]
    runs = min(problem.kernel[-1], step) if step and problem.stride[-1] % problem.dilation[-1] == 0 else problem.kernel[-1]
    rows = problem.taps // problem.kernel[-1]
    tiles = problem.pixels // Q * ceil_div(Q, 7)
    tap = GROUPED_TAP + (GROUPED_SHUFFLE if together > 1 else GROUPED_SPREAD) * (machine.moves - 1)
    cycles = tiles * (C * rows * width * (problem.kernel[-1] * tap + runs * GROUPED_RUN) + GROUPED_TILE)
    vectors = volume(problem) * ceil_div(C, lanes) * (width if K <= lanes else 1)
    turned = 0 if problem.channels_last else GROUPED_TURN * (vectors + width * problem.pixels)
    cycles += vectors * GROUPED_VECTOR + turned
    packed = packings(problem, problem.pixels, PIXEL_BLOCK) * PACK_NUMBER * problem.K * problem.sum_length
    return (units * cycles + packed + far_cycles(problem, machine, STRIPS_FAR)) * machine.cycle


def direct_cost(problem: Problem, machine: Machine) -> float:
    """Vectors of pixels of one output row, for MR, 4 or 1 output channels at a time; those at its ends need masks."""
    K, Q = problem.K // problem.G, problem.output_size[-1]
    lines, vectors = problem.pixels // Q, ceil_div(Q, machine.lanes)
    simple = problem.stride[-1] == 1 and not problem.channels_last
    scattered = machine.lanes if problem.channels_last or problem.stride[-1] > 2 else 1
    step, held = 0.0, Q * problem.itemsize * 4 <= machine.L1        # the sums of 4 rows, for every tap of every channel
    for rows, width, count, cycles in ((machine.MR, 1, K // machine.MR, machine.MR / 2 + 2),
                                       (4, 2, K % machine.MR // 4, 3), (1, 4, K % machine.MR % 4, 1)):
        masked = min(vectors, 2 * width) if simple else vectors
        cycles += 0 if held else DIRECT_FAR * rows
        step += count * (cycles * vectors + (DIRECT_BORDER + scattered + rows) * masked)
    return (problem.G * problem.sum_length * lines * step + far_cycles(problem, machine, PLANES_FAR)) * machine.cycle


def deform_cost(problem: Problem, machine: Machine) -> float:
    """Vectors of output channels; every sample is found once for an offset group and interpolated once."""
    K, length = problem.K // problem.G, problem.sum_length
    chunks = ceil_div(length * machine.NR * problem.itemsize, machine.L1)
    tiles = ceil_div(problem.pixels, machine.MR) * ceil_div(K, machine.NR) * chunks
    cycles = problem.G * (length * tile_cycles(problem.pixels, ceil_div(K, machine.lanes), machine) + tiles * TILE_START)
    vectors = ceil_div(problem.C // problem.offset_groups, machine.lanes)
    cycles += problem.pixels * problem.taps * problem.offset_groups * (SAMPLE + CORNERS * vectors)
    turned = 0 if problem.channels_last else problem.C * volume(problem) + problem.K * problem.pixels
    packed = 0 if problem.packed else problem.K * length
    return (cycles + turned * TURN_NUMBER[machine.halves] * machine.moves + 2 * PACK_NUMBER * packed) * machine.cycle


def weights_cost(problem: Problem, machine: Machine) -> float:
    """One read of all weights as they lie."""
    numbers = problem.K * problem.sum_length
    return numbers * weights_way(numbers * problem.itemsize, machine) * machine.cycle


def apart_cost(problem: Problem, costs: list[float], machine: Machine) -> float:
    """Convolutions of given costs one after the other, whose results a further pass brings together: phases, gates."""
    numbers = problem.output_channels * (1 if problem.channels_last else 2)     # whole pixels lie side by side
    for n in problem.output_size:
        numbers *= n
    return sum(costs) + (numbers * PLACE_NUMBER + len(costs) * CALL * machine.step) * machine.cycle
