"""fastconv shape: sizes, parameters and multiply-adds of a stack of layers, written as a line of text."""
from __future__ import annotations

import json
import re

from ..arithmetic import summary, times
from . import CommandError
from .explain import shape
from .terminal import make_console, make_table

KINDS = {"conv": "conv", "dw": "depthwise", "pw": "pointwise", "pool": "pool", "tconv": "transposed"}
LETTERS = {"k": "kernel", "s": "stride", "p": "padding", "d": "dilation", "g": "groups", "c": "channels",
           "o": "output_padding"}
GRAMMAR = """layers, with semicolons between them:
  conv    convolution                dw      depthwise: every channel with its own kernel
  pw      pointwise: a 1x1 kernel    pool    maximum or average
  tconv   transposed convolution

each followed by what differs from the default, in any order:
  k3 k3x5   kernel (1)               s2 s2x1   stride (1; of a pool: its kernel)
  p1 psame  padding (0)              d2        dilation (1)
  g32       groups (1)               c64       output channels (as many as come in)
  o1        output padding (0)       nobias    without bias

example:
  fastconv shape "conv k3 s2 p1 c64; dw k3; pool k2 s2; conv k3 d2 c128" --input 3,224,224
"""


def add_arguments(parser) -> None:
    parser.epilog = GRAMMAR
    parser.add_argument("layers", help="see below")
    parser.add_argument("--input", type=shape, required=True, metavar="C,H,W",
                        help="shape without a batch: C,W or C,H,W or C,D,H,W")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def parse_layer(text: str) -> dict:
    """`conv k3 s2 psame c64 nobias` as a layer of `arithmetic.summary`; ValueError for what is not in the grammar."""
    kind, *words = text.split() or [""]
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
    layer: dict = {"kind": KINDS[kind]}
    for word in words:
        value: object
        if word == "nobias":
            name, value = "bias", False
        elif word == "psame":
            name, value = "padding", "same"
        elif (match := re.fullmatch(r"([kspdo])(\d+(?:x\d+)*)|([gc])(\d+)", word)) is not None:
            name = LETTERS[match[1] or match[3]]
            numbers = tuple(int(n) for n in (match[2] or match[4]).split("x"))
            value = numbers if len(numbers) > 1 else numbers[0]
        else:
            raise ValueError(f"{word!r} is none of k, s, p, d, g, c or o with a number, psame, nobias")
        if name in layer:
            raise ValueError(f"{word!r} gives {name} a second time")
        layer[name] = value
    return layer


def parse_layers(line: str) -> tuple[list[str], list[dict]]:
    """Layers with semicolons between them, each as text and as `parse_layer` reads it; ValueError names the layer."""
    texts = [" ".join(text.split()) for text in line.strip().rstrip(";").split(";")]
    layers = []
    for number, text in enumerate(texts, 1):
        try:
            layers.append(parse_layer(text))
        except ValueError as error:
            raise ValueError(f"layer {number} ({text}): {error}") from None
    return texts, layers


def figure(n: int) -> str:
    """1,792 in full, larger numbers with four digits: 21.68 M."""
    for size, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if n >= size:
            return f"{n / size:.4g} {letter}"
    return f"{n:,}"


def run(arguments) -> int:
    try:
        texts, layers = parse_layers(arguments.layers)
        whole = summary(layers, arguments.input)
    except (ValueError, TypeError) as error:
        raise CommandError(error) from None
    if arguments.json:
        rows = [{"layer": text, **row._asdict()} for text, row in zip(texts, whole.layers)]
        print(json.dumps({"input_shape": whole.input_shape, "layers": rows, "parameters": whole.parameters,
                          "macs": whole.macs, "flops": whole.flops}, indent=2))
        return 0
    table = make_table("For one image", "<layer", "output", "parameters", "MACs", "FLOPs", "sees", "stride")
    table.add_row("input", times(whole.input_shape))
    for text, row in zip(texts, whole.layers):
        table.add_row(text, times(row.output_shape), figure(row.parameters), figure(row.macs), figure(row.flops),
                      times(row.receptive_field), times(row.stride))
    table.add_section()
    table.add_row("total", "", figure(whole.parameters), figure(whole.macs), figure(whole.flops))
    console = make_console()
    console.print(table)
    console.print("[dim]MACs: multiply-adds. sees: receptive field. stride: input pixels between two outputs.[/]")
    return 0
