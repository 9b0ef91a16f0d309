"""What all figures of `fastconv draw` share: colours, captions from `fastconv.arithmetic`, the card around the drawing."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..arithmetic import output_size, receptive_field, transposed_output_size
from .draw_canvas import Frame, Path, Shape, Text, bounds, mix, text_width
from .draw_windows import Layer
from .shape import KINDS

PAPER, INK, PALE, EDGE = "#fbfaf7", "#1f2430", "#7d818d", "#b9b8b3"
AMBER, EMBER, BROWN = "#ffad29", "#d9770a", "#7c3f00"     # what the current output reads, lines around it, its sides
OUTPUT = "#e8604c"
# Corners of the gradient over an input: top left, top right, bottom left; one line per group of channels.
INPUTS = (("#4f7df3", "#3fb8d4", "#6a56d9"), ("#1fa58a", "#67c26b", "#13899c"), ("#b45fd0", "#e279b4", "#7b5be0"),
          ("#56708c", "#93acbd", "#41566e"), ("#e0607e", "#f09a86", "#b8457f"), ("#7d8f2f", "#b4b847", "#5c7a3d"))

WORDS = {kind: word for word, kind in KINDS.items()}
MARGIN, TITLE, CAPTION, NOTE, LABEL = 26.0, 19.0, 16.0, 12.0, 12.0


class Scene(Protocol):
    """What is drawn: shapes that no frame changes, and those of each output in turn, which lie on them."""

    ground: list[Shape]
    frames: list            # one entry per output
    still: int              # the frame that says most

    def frame(self, number: int) -> list[Shape]: ...


class Figure(NamedTuple):
    """A scene as a card, with a title, the sizes and notes."""

    title: str
    sizes: tuple[str, str]          # what comes in, what comes out
    notes: tuple[str, ...]
    scene: Scene

    def card(self) -> tuple[Frame, list[Shape]]:
        """The rectangle of all frames, and what they share: title, sizes, notes, the ground."""
        count = len(self.scene.frames)
        moving = [shape for number in {0, count // 2, count - 1} for shape in self.scene.frame(number)]
        left, top, right, bottom = bounds([*self.scene.ground, *moving])
        arrow = CAPTION * 2.4
        before, after = (text_width(text, CAPTION) for text in self.sizes)
        width = max(right - left, before + arrow + after, text_width(self.title, TITLE),
                    *(text_width(note, NOTE) for note in self.notes)) + 2 * MARGIN
        edge = (left + right - width) / 2
        x, y = edge + MARGIN, bottom + MARGIN + CAPTION
        words: list[Shape] = [Text((x, top - MARGIN), self.title, TITLE, INK, "l"),
                              Text((x, y), self.sizes[0], CAPTION, INK, "l")]
        words += arrow_shapes(x + before + 0.5 * CAPTION, x + before + arrow - 0.5 * CAPTION, y - 0.34 * CAPTION)
        words.append(Text((x + before + arrow, y), self.sizes[1], CAPTION, EMBER, "l"))
        for note in self.notes:
            y += 1.6 * NOTE
            words.append(Text((x, y), note, NOTE, PALE, "l"))
        first = top - 2 * MARGIN - 0.72 * TITLE
        return Frame(edge, first, width, y + MARGIN - first, PAPER), words + self.scene.ground


def arrow_shapes(start: float, end: float, y: float) -> list[Shape]:
    head = 4.0
    return [Path(((start, y), (end, y)), stroke=PALE, width=1.3, closed=False),
            Path(((end - head, y - head), (end, y), (end - head, y + head)), stroke=PALE, width=1.3, closed=False)]


def input_color(place: Sequence[int], size: Sequence[int], group: int = 0) -> str:
    """The colour of an input pixel, by which it is known again where padding repeats it."""
    corner, across, down = INPUTS[group % len(INPUTS)]
    *rows, column = zip(place, size)
    u = column[0] / max(column[1] - 1, 1)
    v = rows[0][0] / max(rows[0][1] - 1, 1) if rows else 0.0
    return mix(mix(corner, across, u), down, v * (1 - 0.5 * u))


def output_color(group: int, groups: int) -> str:
    """One colour for all outputs, or with groups that of the inputs they are summed from."""
    return OUTPUT if groups == 1 else mix(INPUTS[group % len(INPUTS)][2], INK, 0.12)


def layer_color(number: int, count: int) -> str:
    """From the input's colour to the output's, through a stack of `count` layers."""
    return mix(INPUTS[0][0], OUTPUT, number / count)


def read_color(weight: float) -> str:
    """Of what the current output reads: deeper the more of its paths lead there."""
    return mix("#ffe7bd", AMBER, weight)


def per_axis_text(values: Sequence) -> str:
    """3 for (3, 3), 3x5 for (3, 5), 0:1 for a (before, after) pair."""
    texts = [f"{v[0]}:{v[1]}" if isinstance(v, tuple) and v[0] != v[1] else str(v[0] if isinstance(v, tuple) else v)
             for v in values]
    return texts[0] if len(set(texts)) == 1 else "x".join(texts)


def sizes_of(layer: Layer) -> tuple[str, str]:
    """`i=5 k=3 s=2 p=1` and `o=3`, the latter from `fastconv.arithmetic`."""
    kernel, dilation = (tuple(getattr(axis, name) for axis in layer.axes) for name in ("kernel", "dilation"))
    words = [f"i={per_axis_text(layer.size)}", f"k={per_axis_text(kernel)}", f"s={per_axis_text(layer.stride)}",
             f"p={per_axis_text(layer.padding)}"]
    if max(dilation) > 1:
        words.append(f"d={per_axis_text(dilation)}")
    if layer.transposed:
        out = transposed_output_size(layer.size, kernel, layer.stride, layer.padding, layer.output_padding, dilation)
        words += [f"op={per_axis_text(layer.output_padding)}"] if any(layer.output_padding) else []
    else:
        out = output_size(layer.size, kernel, layer.stride, layer.padding, dilation)
    return "  ".join(words), f"o={per_axis_text(out)}"


def formula_of(layer: Layer) -> str:
    """The size formula with the numbers of the last axis."""
    axis, stride, pads = layer.axes[-1], layer.stride[-1], layer.padding[-1]
    extent = axis.dilation * (axis.kernel - 1) + 1
    if layer.transposed:
        extra = f" + {layer.output_padding[-1]}" if layer.output_padding[-1] else ""
        return f"({axis.size} - 1) x {stride} - {sum(pads)} + {extent}{extra} = {axis.output}"
    return f"floor(({axis.size} + {sum(pads)} - {extent}) / {stride}) + 1 = {axis.output}"


def notes_of(layer: Layer) -> tuple[str, ...]:
    """The formula, and what the sizes do not tell."""
    notes = [f"o = {formula_of(layer)}"]
    if layer.transposed:
        axis = layer.axes[-1]
        around = per_axis_text([(axis.before, axis.after)])
        notes.append(f"stride 1 over the input stretched to {axis.stretched}, with {around} around it")
    if layer.axes[0].padding_mode != "zeros":
        notes.append(f"padding mode {layer.axes[0].padding_mode}: a number is the pixel that is read")
    if layer.C > 1 or layer.K > 1:
        notes.append(f"{layer.C} channels in {layer.G} {'group' if layer.G == 1 else 'groups'} to {layer.K}")
    return tuple(notes)


def field_notes(chain: Sequence[Layer]) -> tuple[str, ...]:
    """The receptive field of a stack, from `fastconv.arithmetic`."""
    layers = [{"kind": "transposed" if layer.transposed else "conv", "kernel": tuple(axis.kernel for axis in layer.axes),
               "stride": layer.stride, "dilation": tuple(axis.dilation for axis in layer.axes), "padding": layer.padding}
              for layer in chain]
    size, stride, start = (per_axis_text(values) for values in receptive_field(layers))
    return (f"receptive field {size}, stride {stride}, first pixel {start}",)


def stack_sizes(chain: Sequence[Layer]) -> tuple[str, str]:
    """Sizes of all layers: `24 > 22 > 11`, and the last."""
    return " > ".join(per_axis_text(layer.size) for layer in chain), per_axis_text(chain[-1].output)


def title_of(layer: Layer) -> str:
    """Its kind."""
    words = ["transposed" if layer.transposed else "",
             "depthwise" if layer.G == layer.C > 1 else "grouped" if layer.G > 1 else "",
             "dilated" if max(axis.dilation for axis in layer.axes) > 1 else "",
             "strided" if max(layer.stride) > 1 and not layer.transposed else "", "convolution"]
    return " ".join(word for word in words if word).capitalize()


def label_of(layer: Layer) -> str:
    """`conv k3 s2 p1`, as `fastconv shape` reads it."""
    values = {"k": tuple(axis.kernel for axis in layer.axes), "s": layer.stride, "p": layer.padding,
              "d": tuple(axis.dilation for axis in layer.axes)}
    plain = {"s": "1", "p": "0", "d": "1"}
    texts = {letter: per_axis_text(numbers) for letter, numbers in values.items()}
    return " ".join([WORDS[layer.kind], *(letter + text for letter, text in texts.items() if text != plain.get(letter))])
