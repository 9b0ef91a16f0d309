"""fastconv explain: what a call would do, without data."""
from __future__ import annotations

from argparse import ArgumentTypeError, RawDescriptionHelpFormatter

from .. import explanation
from ..algorithms import CONVOLUTIONS
from ..arrays import REALS
from ..problem import ACTIVATIONS, PADDING_MODES, PADDING_NAMES
from . import CommandError

EXAMPLES = """examples:
  fastconv explain conv2d --input 1,256,56,56 --weight 256,256,3,3 --padding 1 --packed
  fastconv explain conv1d --input 2,16000 --weight 8,2,5 --padding 4:0 --activation leaky_relu:0.2
"""


def ints(text: str):
    """`3` as an int, `3,4` as a tuple."""
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a whole number, or several with commas between") from None
    return values if "," in text else values[0]


def shape(text: str) -> tuple[int, ...]:
    values = ints(text)
    return values if isinstance(values, tuple) else (values,)


def padding(text: str):
    """`1`, `1,2`, one before:after pair per axis as in `0:1,1:1`, or a name."""
    if text in PADDING_NAMES:
        return text
    if ":" not in text:
        try:
            return ints(text)
        except ArgumentTypeError:
            raise ArgumentTypeError(f"{text!r} is none of 1 or 1,2 or 0:1,1:1, {', '.join(PADDING_NAMES)}") from None
    pairs = tuple(shape(pair.replace(":", ",")) for pair in text.split(","))
    if any(len(pair) != 2 for pair in pairs):
        raise ArgumentTypeError(f"{text!r} does not have one before:after pair per axis")
    return pairs


def activation(text: str):
    """`relu`, or a name with its numbers as in `clip:0:6`."""
    name, *numbers = text.split(":")
    return (name, *numbers) if numbers else name


def add_arguments(parser) -> None:
    parser.formatter_class, parser.epilog = RawDescriptionHelpFormatter, EXAMPLES
    parser.add_argument("operation", choices=tuple(CONVOLUTIONS))
    parser.add_argument("--input", type=shape, required=True, metavar="N,C,H,W", help="shape; the batch may be left out")
    parser.add_argument("--weight", type=shape, required=True, metavar="K,C,R,S", help="shape; C is that of one group")
    parser.add_argument("--stride", type=ints, default=1, metavar="S", help="2, or 2,1: one per axis")
    parser.add_argument("--padding", type=padding, default=0, metavar="P",
                        help=f"1, or 1,2: one per axis, or 0:1,1:1: before and after, or {', '.join(PADDING_NAMES)}")
    parser.add_argument("--dilation", type=ints, default=1, metavar="D")
    parser.add_argument("--groups", type=int, default=1, metavar="G")
    parser.add_argument("--padding-mode", choices=PADDING_MODES, default="zeros")
    parser.add_argument("--channels-last", action="store_true", help="the input's shape is N,H,W,C")
    parser.add_argument("--activation", type=activation, metavar="A",
                        help=f"{', '.join(('relu', 'relu6', *ACTIVATIONS[3:]))}, clip:0:6, leaky_relu:0.2")
    parser.add_argument("--algorithm", default="auto", metavar="NAME", help="instead of the one predicted to be quickest")
    parser.add_argument("--dtype", choices=tuple(REALS), default="float32")
    parser.add_argument("--packed", action="store_true", help="a layer (Conv2d) holds the weights")
    parser.add_argument("--offset-groups", type=int, default=1, metavar="OG", help="of deform_conv2d")
    parser.add_argument("--mask", action="store_true", help="deform_conv2d with a mask")


def run(arguments) -> int:
    options = dict(vars(arguments))
    del options["command"]
    try:
        print(explanation.explain(options.pop("operation"), options.pop("input"), options.pop("weight"), **options))
    except (ValueError, TypeError) as error:
        raise CommandError(error) from None
    return 0
