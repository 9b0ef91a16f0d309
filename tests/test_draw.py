"""fastconv draw: the figures show the index arithmetic of the library, and their files can be read."""
import xml.etree.ElementTree as ElementTree
from itertools import pairwise, product
from math import prod
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import arithmetic, reference
from fastconv.cli import draw, draw_planes, main
from fastconv.cli.draw_canvas import Dot, Frame, Text, dashes, raster, svg_of
from fastconv.cli.draw_canvas import Path as Shape
from fastconv.cli.draw_deform import DeformedStage, offset_field
from fastconv.cli.draw_figure import sizes_of
from fastconv.cli.draw_gallery import CASES, SHEET, write_gallery
from fastconv.cli.draw_lines import Rows
from fastconv.cli.draw_planes import LIFT, Stage
from fastconv.cli.draw_windows import HOLE, OUTSIDE, check_length, fields, make_layer, make_stack, outputs
from fastconv.cli.shape import parse_layers
from fastconv.problem import PADDING_MODES, convolution_problem

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("rich")

DOCS = Path(__file__).parent.parent / "docs"
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


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_gallery_cases(case):
    """Every case is drawn within its card, and the page explains it with its figure and command."""
    figure = draw.figure_of(case.command, case.title)
    frame, ground = figure.card()
    for number in range(len(figure.scene.frames)):
        for shape in [*ground, *figure.scene.frame(number)]:
            for x, y in shape.points if isinstance(shape, Shape) else ():
                assert frame.left < x < frame.left + frame.width
                assert frame.top < y < frame.top + frame.height
    if not DOCS.is_dir():
        pytest.skip("the documents are not here: an installed package")
    page = (DOCS / "arithmetic.md").read_text()
    assert f"figures/{case.name}.png" in page
    assert f"fastconv draw {case.command}" in page
    assert (DOCS / "figures" / f"{case.name}.png").is_file()


def test_files(tmp_path, capsys):
    paths = [tmp_path / "new" / f"figure.{kind}" for kind in ("gif", "png", "svg")]
    assert main(["draw", "--size", "4,5", "--kernel", "3", "--title", "<a & b>", "-o", *map(str, paths)]) == 0
    assert "6 outputs" in capsys.readouterr().out
    with Image.open(paths[0]) as gif:
        assert (gif.format, gif.n_frames, gif.info["loop"]) == ("GIF", 6, 0)
        colors = set()
        for number in range(6):
            gif.seek(number)
            image = gif.convert("RGB")
            assert image.getpixel((3, 3)) == (0xfb, 0xfa, 0xf7), "paper keeps its colour"
            colors.add(image.tobytes())
        assert len(colors) == 6
    with Image.open(paths[1]) as png:
        png.load()
        assert png.format == "PNG"
        assert abs(png.width - 2 * gif.width) <= 2
    root = ElementTree.parse(paths[2]).getroot()
    texts = [element.text for element in root if element.tag.endswith("text")]
    assert texts[:3] == ["<a & b>", "i=4x5  k=3  s=1  p=0", "o=2x3"]


def test_stack_file(tmp_path):
    path = tmp_path / "field.gif"
    assert main(["draw", "--stack", "conv k3; pool k2 s2; conv k3 d2", "--size", "24", "-o", str(path)]) == 0
    with Image.open(path) as gif:
        assert gif.n_frames == 7


def test_still_shows_the_frame_asked_for(tmp_path):
    images = []
    for frame in ("0", "8"):
        path = tmp_path / f"{frame}.png"
        assert main(["draw", "--frame", frame, "--scale", "1", "-o", str(path)]) == 0
        images.append(Image.open(path).convert("RGB").tobytes())
    assert images[0] != images[1]


@pytest.mark.slow
def test_gallery(tmp_path):
    steps = []
    sheet = write_gallery(tmp_path, draw.figure_of, lambda: steps.append(1))
    assert sheet == tmp_path / SHEET
    assert len(steps) == len(CASES) + 1
    assert {path.name for path in tmp_path.iterdir()} == {SHEET, *(f"{case.name}.{kind}" for case in CASES
                                                                   for kind in ("gif", "png", "svg"))}
    for case in CASES:
        with Image.open(tmp_path / f"{case.name}.gif") as gif:
            assert gif.n_frames == len(draw.figure_of(case.command, "").scene.frames)
        ElementTree.parse(tmp_path / f"{case.name}.svg")


def test_documents_are_small():
    if not DOCS.is_dir():
        pytest.skip("the documents are not here: an installed package")
    assert sum(path.stat().st_size for path in (DOCS / "figures").iterdir()) < 600_000


WRONG = {
    "--kernel 0": "kernel must be at least 1, got 0", "--kernel 9": "kernel reaches over 9 pixels",
    "--stride 0": "stride must be at least 1", "--size=-3": "size must be at least 1, got -3",
    "--size 1,2,3": "3 axes", "--axes 1 --size 3,4": "axes=1", "--padding up": "--padding",
    "--channels 4 --groups 3": "groups=3 does not divide", "--groups 0": "groups must be at least 1",
    "--channels 4 --groups 2 --out-channels 3": "3 output channels", "--channels 99": "99 channels",
    "--transposed --padding same": "takes numbers", "--transposed --padding 9": "leaves nothing",
    "--transposed --output-padding 3": "output_padding=3", "--output-padding 1": "output_padding=1",
    "--transposed --padding-mode reflect": "padding_mode='reflect'", "--transposed --channels 3 --groups 2": "groups=2",
    "--transposed --stride 1000000000 --size 1": "stride=1000000000",
    "--deformable --axes 1": "2 axes", "--deformable -1": "deformable must be at least 0",
    "--deformable --transposed": "leave out --transposed", "--stack 'conv k3; blah'": "layer 2 (blah)",
    "--stack 'conv k3' --kernel 3": "leave out --kernel", "--stack 'conv k30'": "layer 1 (conv)",
    "--stack ''": "layer 1", "--stack 'pw k3'": "pointwise kernel", "--stack 'conv k3' --size 9,9,9": "3 axes",
    "--stack 'tconv s6000; tconv s6000' --size 1": "too many", "--frame 9": "frame=9 is none of the 9 outputs",
    "--scale nan": "scale=nan", "--seconds 0": "seconds=0", "--gallery x --kernel 3": "leave out --kernel",
    "--size 100": "10000 cells", "--size 60 --stride 2": "841 outputs", "--size 25 --axes 2": "too many to draw",
    "--padding 99999999 --padding-mode reflect": "cells", f"--title {'x' * 61}": "61 letters",
    "--title 'two\nlines'": "not one line",
}


@pytest.mark.parametrize("command", WRONG)
def test_wrong_arguments(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = draw.shlex.split(command)
    try:
        status = main(["draw", *arguments])
    except SystemExit as exit:
        status = exit.code
    text = capsys.readouterr().err
    assert status == 2
    assert text.count("\n") == 1
    assert text.startswith("fastconv draw: ")
    assert WRONG[command] in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name, reason", [("figure.bmp", "ends in none of"), ("file/figure.gif", "cannot write")])
def test_wrong_files(name, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert main(["draw", "-o", name]) == 2
    text = capsys.readouterr().err
    assert reason in text
    assert text.count("\n") == 1


def test_dashes_cover_a_line():
    pieces = dashes([(0.0, 0.0), (10.0, 0.0)], 4.0, 2.0)
    assert pieces == [[(0.0, 0.0), (4.0, 0.0)], [(6.0, 0.0), (10.0, 0.0)]]
    length = sum(abs(b[0] - a[0]) + abs(b[1] - a[1]) for piece in dashes([(0, 0), (5, 0), (5, 5)], 1.0, 1.0)
                 for a, b in pairwise(piece))
    assert length == pytest.approx(5.0)


def test_back_ends_draw_the_same_shapes():
    frame = Frame(0, 0, 20, 10, "#ffffff")
    shapes = [Shape(((2, 2), (8, 2), (8, 8), (2, 8)), "#ff0000"), Dot((15, 5), 3, "#0000ff", 0.5)]
    image = next(raster(frame, shapes[:1], [shapes[1:]]))
    assert image.size == (20, 10)
    assert image.getpixel((5, 5)) == (255, 0, 0)
    assert image.getpixel((15, 5)) == pytest.approx((127, 127, 255), abs=1)
    elements = [element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg_of(frame, shapes))]
    assert elements == ["rect", "polygon", "circle"]


def test_large_animations_are_refused_before_they_are_drawn():
    with pytest.raises(ValueError, match="too many"):
        check_length([make_layer((70, 70), (50, 50))])
    assert fastconv.arithmetic.output_size((70, 70), (50, 50)) == (21, 21)
