"""fastconv draw: the figures show the index arithmetic of the library."""
from itertools import product
from math import prod

import numpy as np
import pytest

import fastconv
from fastconv import arithmetic, reference
from fastconv.cli import draw_planes
from fastconv.cli.draw_canvas import Dot, Text
from fastconv.cli.draw_canvas import Path as Shape
from fastconv.cli.draw_deform import DeformedStage, offset_field
from fastconv.cli.draw_figure import sizes_of
from fastconv.cli.draw_lines import Rows
from fastconv.cli.draw_planes import LIFT, Stage
from fastconv.cli.draw_windows import HOLE, OUTSIDE, check_length, fields, make_layer, make_stack, outputs
from fastconv.cli.shape import parse_layers
from fastconv.problem import PADDING_MODES, convolution_problem

pytest.importorskip("PIL")
pytest.importorskip("rich")

CONVOLUTIONS = [
    ((4, 4), (3, 3), {}),
    ((5, 6), (3, 2), dict(stride=(2, 1), padding=(1, 0))),
    ((6, 6), (3, 3), dict(stride=2, padding=1)),
    ((5, 5), (2, 3), dict(padding=((0, 2), (1, 0)), dilation=(1, 2))),
    ((5, 4), (3, 3), dict(padding="full")),
    ((5, 6), (3, 4), dict(padding="same", stride=2)),
    ((5, 6), (3, 4), dict(padding="same_lower")),
    ((4, 4), (3, 3), dict(channels=4, groups=2, out_channels=6)),
    ((4, 4), (2, 2), dict(channels=3, groups=3)),
    ((12,), (3,), dict(padding=[(4, 0)], dilation=2)),
    ((7,), (3,), dict(stride=3, padding=2)),
    *(((4, 5), (3, 3), dict(padding=((3, 2), (1, 3)), padding_mode=mode)) for mode in PADDING_MODES),
    *(((2,), (2,), dict(padding=[(5, 4)], padding_mode=mode)) for mode in PADDING_MODES),
]
TRANSPOSED = [
    ((2, 2), (3, 3), {}),
    ((3, 3), (3, 3), dict(stride=2, padding=1)),
    ((3, 4), (3, 2), dict(stride=(2, 3), padding=((0, 1), (1, 0)), output_padding=(1, 2))),
    ((3, 3), (3, 3), dict(dilation=2)),
    ((5, 5), (2, 2), dict(padding=2)),                 # cuts off the input itself
    ((5,), (4,), dict(stride=2, padding=1)),
    ((4,), (2,), dict(stride=3)),                      # holes that no tap fills
    ((3, 3), (2, 2), dict(channels=4, groups=2, out_channels=2)),
]
STACKS = ["conv k3; pool k2 s2; conv k3 d2", "conv k3 s2 p1; conv k5; pool k2", "dw k3 psame; pw; conv k2 d3",
          "conv k3 s2; tconv k4 s2; conv k3", "tconv k3 s2 p1 o1; conv k3"]
IDS = [f"{'x'.join(map(str, size))} {options}" for size, _, options in CONVOLUTIONS]


def computed(layer, x, weight):
    """The convolution as the figure draws it: every output the sum over the places that its window shows."""
    y = np.zeros((layer.K, *layer.output))
    sources = layer.sources()
    for k, p in outputs(layer):
        for tap, place in zip(product(*(range(axis.kernel) for axis in layer.axes)), layer.reads(p)):
            source = sources.get(place, OUTSIDE)
            if not isinstance(source, int):
                for c, channel in enumerate(layer.channels_of(k)):
                    y[(k, *p)] += weight[(k, c, *tap)] * x[(channel, *source)]
    return y


def integers(*shape):
    return np.random.default_rng(5).integers(-9, 10, shape).astype(np.float64)


@pytest.mark.parametrize("size, kernel, options", CONVOLUTIONS, ids=IDS)
def test_windows_are_those_of_the_oracle(size, kernel, options):
    layer = make_layer(size, kernel, **options)
    passed = {name: value for name, value in options.items() if name not in ("channels", "out_channels")}
    weight = integers(layer.K, layer.C // layer.G, *kernel)
    problem = convolution_problem(f"conv{len(size)}d", (1, layer.C, *size), weight.shape, "f64", **passed)
    x = integers(layer.C, *size)
    assert np.array_equal(computed(layer, x, weight), reference.convolution(problem, x[None], weight)[0])
    assert layer.padding == problem.padding


@pytest.mark.parametrize("size, kernel, options", TRANSPOSED)
def test_transposed_windows_are_those_of_the_scatter(size, kernel, options):
    layer = make_layer(size, kernel, transposed=True, **options)
    x, weight = integers(layer.C, *size), integers(layer.C, layer.K // layer.G, *kernel)
    y = np.zeros((layer.K, *layer.output))
    for source, tap in product(product(*map(range, size)), product(*map(range, kernel))):
        place = tuple(i * s - pads[0] + t * axis.dilation for i, s, pads, t, axis in
                      zip(source, layer.stride, layer.padding, tap, layer.axes))
        if all(0 <= q < n for q, n in zip(place, layer.output)):
            for k in range(layer.K):
                for c in layer.channels_of(k):
                    y[(k, *place)] += weight[(c, k % (layer.K // layer.G), *tap)] * x[(c, *source)]
    gathered = np.flip(weight, tuple(range(2, weight.ndim)))
    per_output = np.stack([np.stack([gathered[c, k % (layer.K // layer.G)] for c in layer.channels_of(k)])
                           for k in range(layer.K)])
    assert np.array_equal(computed(layer, x, per_output), y)


@pytest.mark.parametrize("size, kernel, options", CONVOLUTIONS, ids=IDS)
def test_captions_are_those_of_arithmetic(size, kernel, options):
    layer = make_layer(size, kernel, **options)
    geometry = {name: options[name] for name in ("stride", "padding", "dilation") if name in options}
    assert layer.output == arithmetic.output_size(size, kernel, **geometry)
    assert sizes_of(layer)[1] == "o=" + in_words(layer.output)
    assert sizes_of(layer)[0].split()[:2] == ["i=" + in_words(size), "k=" + in_words(kernel)]


@pytest.mark.parametrize("size, kernel, options", TRANSPOSED)
def test_transposed_captions_are_those_of_arithmetic(size, kernel, options):
    layer = make_layer(size, kernel, transposed=True, **options)
    geometry = {name: value for name, value in options.items() if "channels" not in name and name != "groups"}
    assert layer.output == arithmetic.transposed_output_size(size, kernel, **geometry)
    assert sizes_of(layer)[1] == "o=" + in_words(layer.output)
    assert sum(source == HOLE for source in layer.axes[0].sources()) == (size[0] - 1) * (layer.stride[0] - 1)


def in_words(values):
    return "x".join(map(str, dict.fromkeys(values) if len(set(values)) == 1 else values))


def test_caption_in_full():
    assert sizes_of(make_layer((5, 5), (3, 3), 2, 1)) == ("i=5  k=3  s=2  p=1", "o=3")
    assert sizes_of(make_layer((12,), (3,), 1, [(4, 0)], 2)) == ("i=12  k=3  s=1  p=4:0  d=2", "o=12")
    layer = make_layer((3, 3), (3, 3), 2, 1, transposed=True, output_padding=1)
    assert sizes_of(layer) == ("i=3  k=3  s=2  p=1  op=1", "o=6")


@pytest.mark.parametrize("line", STACKS)
def test_receptive_field_is_that_of_arithmetic(line):
    _, layers = parse_layers(line)
    chain = make_stack(layers, (40,))
    last = arithmetic.summary(layers, (1, 40)).layers[-1]
    assert chain[-1].output == last.output_shape[1:]
    p = chain[-1].output[0] // 4 * 2        # a whole number of input strides from output 0, behind a stride of 1 / 2 too
    ends = []
    for output in (p, p + 1):
        (reads, *_), spread = fields(chain, (output,)), chain[0].axes[0].spread
        real = [u // spread for (u,) in reads if u % spread == 0]
        ends.append((min(real), max(real)))
    assert max(high - low + 1 for low, high in ends) == last.receptive_field[0]
    if float(last.stride[0]).is_integer():
        assert ends[0][0] == last.start[0] + p * last.stride[0]


def tops(shapes):
    return {shape.points for shape in shapes if isinstance(shape, Shape)}


@pytest.mark.parametrize("size, kernel, options", [case for case in CONVOLUTIONS if len(case[0]) == 2])
def test_planes_show_the_windows(size, kernel, options):
    layer = make_layer(size, kernel, **options)
    stage = Stage([layer])
    assert len(stage.frames) == prod(layer.output) * layer.K
    for number, (k, p) in enumerate(outputs(layer)):
        drawn = tops(stage.frame(number))
        for c, plane in enumerate(stage.rows[0]):
            raised = {place for place in stage.tables[0] if plane.face(*place, LIFT) in drawn}
            assert raised == (set(layer.reads(p)) if c in layer.channels_of(k) else set())


def test_rows_show_the_windows():
    layer = make_layer((7,), (3,), 2, 2)
    rows = Rows([layer])
    assert len(rows.frames) == layer.output[0]
    below = rows.rows[0]
    for number in range(len(rows.frames)):
        drawn = tops(rows.frame(number))
        assert [u for u in layer.axes[0].grid if below.square(u) in drawn] == layer.axes[0].reads(number)


def test_deformed_taps_are_drawn_where_they_read():
    layer = make_layer((6, 6), (3, 3), padding=1)
    stage = DeformedStage(layer, 4)
    plane, offsets = stage.rows[0][0], offset_field(layer, 4)
    for number, (_, p) in enumerate(outputs(layer)):
        shapes = stage.frame(number)
        dots = {shape.centre for shape in shapes if isinstance(shape, Dot)}
        for tap, place in enumerate(layer.reads(p)):
            at = tuple(i + float(d) for i, d in zip(place, offsets[(*p, tap)]))
            assert plane.face(*at, LIFT) in tops(shapes)
            assert plane.middle(*at, LIFT) in dots
    assert np.array_equal(offsets, offset_field(layer, 4))
    assert not np.array_equal(offsets, offset_field(layer, 5))
    assert np.abs(np.diff(offsets, axis=0)).max() < 1.0, "neighbours move alike"


@pytest.mark.parametrize("mode", PADDING_MODES[1:])
def test_padding_modes_are_numbered_by_what_they_read(mode):
    layer = make_layer((3, 3), (3, 3), padding=2, padding_mode=mode)
    texts = [int(shape.text) for shape in Stage([layer]).ground if isinstance(shape, Text)]
    padded = np.pad(np.arange(9).reshape(3, 3), 2, mode=reference.NUMPY_MODES[mode])
    assert texts == padded.ravel().tolist()


def test_frames_fill_the_outputs_one_by_one():
    stage = Stage([make_layer((4, 4), (3, 3))])
    count = len(stage.frames)
    colors = [[shape.fill for shape in stage.output_plane(0, stage.rows[-1][0], number)][1::2] for number in range(count)]
    for number, row in enumerate(colors):
        assert [color == draw_planes.AMBER for color in row] == [at == number for at in range(count)]


def test_large_animations_are_refused_before_they_are_drawn():
    with pytest.raises(ValueError, match="too many"):
        check_length([make_layer((70, 70), (50, 50))])
    assert fastconv.arithmetic.output_size((70, 70), (50, 50)) == (21, 21)
