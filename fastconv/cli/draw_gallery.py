"""The gallery of `fastconv draw`: classical cases, each the command line that draws it, and one sheet of them all."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .draw_canvas import load_font
from .draw_figure import INK, PALE, Figure
from .draw_files import Writer


class Case(NamedTuple):
    name: str           # of its files
    title: str
    command: str        # what `fastconv draw` is given


CASES = (
    Case("no_padding", "No padding", "--size 4 --kernel 3"),
    Case("arbitrary_padding", "Arbitrary padding", "--size 5 --kernel 4 --padding 2"),
    Case("half_padding", "Half padding", "--size 5 --kernel 3 --padding same"),
    Case("full_padding", "Full padding", "--size 5 --kernel 3 --padding full"),
    Case("strides", "No padding, strides", "--size 5 --kernel 3 --stride 2"),
    Case("padding_strides", "Padding, strides", "--size 5 --kernel 3 --stride 2 --padding 1"),
    Case("padding_strides_odd", "Padding, strides, odd", "--size 6 --kernel 3 --stride 2 --padding 1"),
    Case("dilation", "Dilation", "--size 7 --kernel 3 --dilation 2"),
    Case("transposed_no_padding", "No padding, transposed", "--transposed --size 2 --kernel 3"),
    Case("transposed_arbitrary_padding", "Arbitrary padding, transposed", "--transposed --size 6 --kernel 4 --padding 2"),
    Case("transposed_half_padding", "Half padding, transposed", "--transposed --size 5 --kernel 3 --padding 1"),
    Case("transposed_full_padding", "Full padding, transposed", "--transposed --size 7 --kernel 3 --padding 2"),
    Case("transposed_strides", "Strides, transposed", "--transposed --size 2 --kernel 3 --stride 2"),
    Case("transposed_padding_strides", "Padding, strides, transposed",
         "--transposed --size 3 --kernel 3 --stride 2 --padding 1"),
    Case("transposed_padding_strides_odd", "Padding, strides, odd, transposed",
         "--transposed --size 3 --kernel 3 --stride 2 --padding 1 --output-padding 1"),
    Case("transposed_dilation", "Dilation, transposed", "--transposed --size 3 --kernel 3 --dilation 2"),
    Case("asymmetric_padding", "Padding on one side", "--size 4 --kernel 3 --padding 0:2,1:1"),
    Case("rectangle", "Two different axes", "--size 4,6 --kernel 3,2 --stride 1,2"),
    Case("grouped", "Grouped", "--size 4 --kernel 3 --channels 4 --groups 2"),
    Case("depthwise", "Depthwise", "--size 4 --kernel 3 --channels 3 --groups 3"),
    Case("reflect", "Reflect", "--size 4 --kernel 3 --padding 2 --padding-mode reflect"),
    Case("symmetric", "Symmetric", "--size 4 --kernel 3 --padding 2 --padding-mode symmetric"),
    Case("replicate", "Replicate", "--size 4 --kernel 3 --padding 2 --padding-mode replicate"),
    Case("circular", "Circular", "--size 4 --kernel 3 --padding 2 --padding-mode circular"),
    Case("deformable", "Deformable", "--size 7 --kernel 3 --padding 1 --deformable 3"),
    Case("receptive_field_planes", "Receptive field, two axes", "--stack 'conv k3 p1; pool k2 s2; conv k3' --size 10,10"),
    Case("causal", "Causal, dilated", "--axes 1 --size 12 --kernel 3 --dilation 2 --padding 4:0"),
    Case("transposed_row", "Transposed, one axis", "--axes 1 --transposed --size 5 --kernel 4 --stride 2 --padding 1"),
    Case("receptive_field", "Receptive field", "--stack 'conv k3; pool k2 s2; conv k3 d2' --size 24"),
    Case("causal_stack", "Causal stack, dilation 1, 2, 4", "--stack 'conv k2; conv k2 d2; conv k2 d4' --size 16"),
)
SHEET = "gallery.png"
SHEET_WIDTH, SHEET_ROW, SHEET_MARGIN, SHEET_GAP, SHEET_HEAD = 2400, 560, 40, 16, 130     # pixels
STILL_SCALE = 1.1


def write_gallery(directory: Path, figure_of: Callable[[str, str], Figure], advance: Callable[[], None]) -> Path:
    """Write all cases as GIF, PNG and SVG, and the sheet; returns the sheet's path.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    cards = []
    for case in CASES:
        figure = figure_of(case.command, case.title)
        writer = Writer(figure, figure.scene.still)
        cards.append(writer.image(2.0))
        writer.write(directory / f"{case.name}.gif")
        writer.write(directory / f"{case.name}.png", STILL_SCALE)
        writer.write(directory / f"{case.name}.svg")
        advance()
    path = directory / SHEET
    write_sheet(cards, path)
    advance()
    return path


def in_rows(cards: list) -> list[list]:
    """Cards in rows that are about SHEET_ROW high when they fill the width."""
    inside = SHEET_WIDTH - 2 * SHEET_MARGIN
    rows: list[list] = [[]]
    wide = 0.0
    for card in cards:
        width = card.width / card.height * SHEET_ROW
        if rows[-1] and wide + width / 2 > inside:
            rows.append([])
            wide = 0.0
        rows[-1].append(card)
        wide += width + SHEET_GAP
    return rows


def write_sheet(cards: list, path: Path) -> None:
    """All stills on one page, every row as wide as the page."""
    from PIL import Image, ImageDraw
    inside = SHEET_WIDTH - 2 * SHEET_MARGIN
    placed, y = [], SHEET_HEAD
    for row in in_rows(cards):
        space = inside - SHEET_GAP * (len(row) - 1)
        height = min(round(space / sum(card.width / card.height for card in row)), round(1.25 * SHEET_ROW))
        x = SHEET_MARGIN
        for card in row:
            width = round(height * card.width / card.height)
            placed.append((card.resize((width, height), Image.Resampling.LANCZOS), (x, y)))
            x += width + SHEET_GAP
        y += height + SHEET_GAP
    sheet = Image.new("RGB", (SHEET_WIDTH, y - SHEET_GAP + SHEET_MARGIN), "#e9e8e4")
    draw = ImageDraw.Draw(sheet)
    draw.text((SHEET_MARGIN, SHEET_HEAD - 44), "Convolution arithmetic", INK, load_font(50), anchor="ls")
    draw.text((SHEET_WIDTH - SHEET_MARGIN, SHEET_HEAD - 44), "fastconv draw --gallery", PALE, load_font(26), anchor="rs")
    for card, at in placed:
        sheet.paste(card, at)
    sheet.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
