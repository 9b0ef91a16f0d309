"""fastconv draw: files that can be read, the gallery and its page, wrong arguments."""
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest

from fastconv.cli import draw, main
from fastconv.cli.draw_canvas import Dot, Frame, dashes, raster, svg_of
from fastconv.cli.draw_canvas import Path as Shape
from fastconv.cli.draw_gallery import CASES, SHEET, write_gallery
from fastconv.cli.draw_operations import CARDS

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("rich")

DOCS = Path(__file__).parent.parent / "docs"


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


def test_pictures_of_operations(tmp_path, capsys):
    """All are drawn, small, and shown by the pages."""
    assert main(["draw", "--operations", str(tmp_path)]) == 0
    assert "pictures" in capsys.readouterr().out
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == len(CARDS)
    for path in paths:
        assert path.stat().st_size < 60_000
        with Image.open(path) as image:
            assert image.mode == "P"
            assert 400 < image.width < 1000
    if not DOCS.is_dir():
        pytest.skip("the documents are not here: an installed package")
    pages = "".join((DOCS / f"{page}.md").read_text() for page in ("pooling", "resampling", "regions"))
    for path in paths:
        assert f"figures/operations/{path.name}" in pages
        assert (DOCS / "figures" / "operations" / path.name).is_file()


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
    for pattern, most in (("[!b]*.png", 600_000), ("b*", 250_000), ("operations/*", 400_000)):
        assert sum(path.stat().st_size for path in (DOCS / "figures").glob(pattern)) < most


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
