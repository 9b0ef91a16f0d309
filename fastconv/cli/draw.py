"""fastconv draw: how a convolution reads its input, as an animation (GIF) or a still (PNG, SVG); pictures of operations."""
from __future__ import annotations

import shlex
from argparse import Namespace
from pathlib import Path

from ..problem import PADDING_MODES, PADDING_NAMES, index, per_axis
from ..receptive import axes_of
from . import CommandError, Parser
from .draw_deform import DeformedStage
from .draw_figure import Figure, field_notes, notes_of, sizes_of, stack_sizes, title_of
from .draw_files import Writer
from .draw_gallery import CASES, write_gallery
from .draw_lines import Rows
from .draw_operations import CARDS, write_operations
from .draw_planes import Stage
from .draw_windows import Layer, check_length, make_layer, make_stack
from .explain import ints, padding
from .filters import load_photograph
from .shape import parse_layers
from .terminal import make_console, progress_bar

EXAMPLES = """examples:
  fastconv draw --size 5 --kernel 3 --stride 2 --padding 1 -o figure.gif
  fastconv draw --size 3 --kernel 3 --stride 2 --padding 1 --transposed -o figure.svg
  fastconv draw --size 12 --kernel 3 --dilation 2 --padding 4:0 --axes 1 -o causal.gif
  fastconv draw --size 4 --kernel 3 --padding 2 --padding-mode reflect -o figure.png
  fastconv draw --stack "conv k3; pool k2 s2; conv k3 d2" --size 24 -o field.gif
  fastconv draw --gallery out/
  fastconv draw --operations out/

Values are one for all axes, or one per axis as in 3,5. --stack takes what `fastconv shape` takes; channels,
groups and bias do not change its picture. A size of one value is then a single axis.
"""
ENDINGS = (".gif", ".png", ".svg")
LONGEST_TITLE = 60
ALONE = ("kernel", "stride", "padding", "dilation", "output_padding", "padding_mode", "channels", "out_channels", "groups",
         "axes", "transposed", "deformable")      # what --stack says for itself
WORDS = ("stack", "size", *ALONE, "title", "frame", "seconds", "scale")   # what --gallery says for itself


def add_arguments(parser) -> None:
    parser.epilog = EXAMPLES
    what = parser.add_argument_group("what")
    what.add_argument("--size", type=ints, metavar="I", help="pixels of the input (5; of a stack 24)")
    what.add_argument("--kernel", type=ints, metavar="K", help="taps (3)")
    what.add_argument("--stride", type=ints, metavar="S", help="pixels from one window to the next (1)")
    what.add_argument("--padding", type=padding, metavar="P",
                      help=f"1, or 1,2: one per axis, or 0:1,1:1: before and after, or {', '.join(PADDING_NAMES)} (0)")
    what.add_argument("--padding-mode", choices=PADDING_MODES, help="what lies beyond the border (zeros)")
    what.add_argument("--dilation", type=ints, metavar="D", help="pixels from one tap to the next (1)")
    what.add_argument("--axes", type=int, choices=(1, 2), help="spatial axes, where no value says it (2)")
    what.add_argument("--transposed", action="store_true", default=None,
                      help="the transposed convolution, over its stretched input")
    what.add_argument("--output-padding", type=ints, metavar="OP", help="of a transposed convolution (0)")
    what.add_argument("--channels", type=int, metavar="C", help="input channels, each a plane (1)")
    what.add_argument("--out-channels", type=int, metavar="K", help="output channels (as many as come in)")
    what.add_argument("--groups", type=int, metavar="G", help="each with its colour (1)")
    what.add_argument("--deformable", type=int, nargs="?", const=0, metavar="SEED",
                      help="every tap moved by an offset from a smooth random field")
    what.add_argument("--stack", metavar="LAYERS", help="receptive field of a stack instead, as in the example")
    what.add_argument("--gallery", type=Path, metavar="DIRECTORY",
                      help=f"{len(CASES)} classical cases and a sheet of them all")
    what.add_argument("--operations", type=Path, metavar="DIRECTORY",
                      help=f"{len(CARDS)} pictures of pooling, resampling and regions, each as PNG")
    how = parser.add_argument_group("how")
    how.add_argument("-o", "--output", type=Path, nargs="+", metavar="FILE",
                     help="ending in .gif: an animation, one frame for each output; in .png or .svg: a still (figure.gif)")
    how.add_argument("--title", help="instead of the kind of convolution")
    how.add_argument("--frame", type=int, metavar="N", help="output that a still shows, counted from 0")
    how.add_argument("--seconds", type=float, metavar="T", help="for each frame (what makes about nine in all)")
    how.add_argument("--scale", type=float, metavar="X", help="pixels to a unit, 0.5 to 4 (1; of a PNG 2)")


def given(arguments: Namespace, names) -> list[str]:
    return [name for name in names if getattr(arguments, name) is not None]


def refuse(arguments: Namespace, names, reason: str) -> None:
    if extra := given(arguments, names):
        raise ValueError(f"{reason}: leave out --{extra[0].replace('_', '-')}")


def chain_of(arguments: Namespace) -> list[Layer]:
    """The layers that the arguments ask for.

    Raises
    ------
    ValueError, TypeError
        If they do not fit together, or are too many to draw.
    """
    if arguments.stack is not None:
        refuse(arguments, ALONE, "--stack says itself what its layers are")
        size = 24 if arguments.size is None else arguments.size
        _, layers = parse_layers(arguments.stack)
        axes = max(axes_of(size), 1)
        check_axes(axes)
        chain = make_stack(layers, per_axis(size, axes, "size", 1))
    else:
        options = {name: getattr(arguments, name) for name in given(arguments, ALONE)}
        kernel, size = options.pop("kernel", 3), 5 if arguments.size is None else arguments.size
        seed, default = options.pop("deformable", None), options.pop("axes", None)
        pads = options.get("padding")
        one_pair = isinstance(pads, tuple) and len(pads) == 1       # holds for all axes
        shaped = [options[name] for name in ("stride", "dilation", "output_padding") if name in options]
        shaped += [] if one_pair or pads is None else [pads]
        axes = axes_of(kernel, size, *shaped) or default or 2
        check_axes(axes)
        if default not in (None, axes):
            raise ValueError(f"axes={default}, but values are given for {axes}")
        for name in given(arguments, ("channels", "out_channels", "groups")):
            index(options[name], name, 1)
        if one_pair:
            options["padding"] = pads * axes
        if seed is not None:
            check_deformable(seed, axes, arguments)
        chain = [make_layer(per_axis(size, axes, "size", 1), per_axis(kernel, axes, "kernel", 1), **options)]
    check_length(chain)
    return chain


def check_axes(axes: int) -> None:
    if axes > 2:
        raise ValueError(f"values for {axes} axes; a figure has 1 or 2")


def check_deformable(seed: int, axes: int, arguments: Namespace) -> None:
    index(seed, "deformable", 0)
    if axes != 2:
        raise ValueError("deformable: a deformable convolution has 2 axes")
    refuse(arguments, ("transposed", "output_padding", "padding_mode"),
           "a deformable convolution is not transposed and reads zeros beyond the border")


def make_figure(arguments: Namespace) -> Figure:
    """The figure that the arguments ask for.

    Raises
    ------
    ValueError, TypeError
        As `chain_of`.
    """
    chain = chain_of(arguments)
    layer, single = chain[0], len(chain) == 1
    flat = len(layer.axes) == 1 and layer.C == layer.K == 1
    seed = arguments.deformable
    scene = DeformedStage(layer, seed) if seed is not None else Rows(chain) if flat else Stage(chain)
    notes = notes_of(layer) if arguments.stack is None else field_notes(chain)
    title = "Receptive field" if not single else "Deformable convolution" if seed is not None else title_of(layer)
    if seed is not None:
        notes += ("dashed: the taps without offsets",)
    return Figure(title if arguments.title is None else arguments.title, sizes_of(layer) if single else stack_sizes(chain),
                  notes, scene)


def figure_of(command: str, title: str) -> Figure:
    """The figure of a command line without `fastconv draw`."""
    parser = Parser(prog="fastconv draw")
    add_arguments(parser)
    return make_figure(parser.parse_args([*shlex.split(command), "--title", title]))


def still_of(figure: Figure, frame: int | None) -> int:
    """The output that a still shows: what was asked for, or what the scene shows best."""
    count = len(figure.scene.frames)
    if frame is None:
        return figure.scene.still
    if not 0 <= frame < count:
        raise ValueError(f"frame={frame} is none of the {count} outputs, 0 to {count - 1}")
    return frame


def check_look(arguments: Namespace) -> None:
    for name, low, high in (("scale", 0.5, 4.0), ("seconds", 0.02, 60.0)):
        value = getattr(arguments, name)
        if value is not None and not low <= value <= high:
            raise ValueError(f"{name}={value:g} is not from {low:g} to {high:g}")
    if arguments.title is not None and len(arguments.title) > LONGEST_TITLE:
        raise ValueError(f"a title of {len(arguments.title)} letters is too long: at most {LONGEST_TITLE}")
    if arguments.title is not None and not arguments.title.isprintable():
        raise ValueError(f"title={arguments.title!r} is not one line of printable letters")
    for path in arguments.output or ():
        if path.suffix.lower() not in ENDINGS:
            raise ValueError(f"output={str(path)!r} ends in none of {', '.join(ENDINGS)}")


def run(arguments: Namespace) -> int:
    console = make_console()
    try:
        check_look(arguments)
        if arguments.gallery is not None:
            refuse(arguments, (*WORDS, "output"), "--gallery draws its own cases")
            with progress_bar(console, "figures", len(CASES) + 1) as advance:
                sheet = write_gallery(arguments.gallery, figure_of, advance)
            console.print(f"{len(CASES)} figures, each as GIF, PNG and SVG: {arguments.gallery}\nall of them: {sheet}",
                          soft_wrap=True)
            return 0
        if arguments.operations is not None:
            refuse(arguments, (*WORDS, "output"), "--operations draws its own cards")
            with progress_bar(console, "pictures", len(CARDS)) as advance:
                write_operations(arguments.operations, load_photograph(), advance)
            console.print(f"{len(CARDS)} pictures: {arguments.operations}", soft_wrap=True)
            return 0
        figure = make_figure(arguments)
        writer = Writer(figure, still_of(figure, arguments.frame))
        for path in arguments.output or [Path("figure.gif")]:
            writer.write(path, arguments.scale, arguments.seconds)
            console.print(f"{figure.title}, {len(figure.scene.frames)} outputs: {path}", soft_wrap=True)
    except (ValueError, TypeError) as error:
        raise CommandError(error) from None
    except OSError as error:
        raise CommandError(f"cannot write {error.filename or 'the figure'}: {error.strerror or error}") from None
    return 0
