"""The command line. One module per command, imported when the command is given: add_arguments(parser), run(arguments)."""
from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from .. import __version__

# command, which is also the name of its module here -> what it does
COMMANDS = {
    "run": "filter a photograph, run ResNet-50 and MobileNetV2, check against SciPy",
    "info": "CPU, instruction sets, threads, measured peaks",
    "verify": "every algorithm on every instruction set against SciPy",
    "bench": "time every operation against other libraries",
    "explain": "say which algorithm a call would use, and why",
    "shape": "sizes, parameters and multiply-adds of a stack of layers",
    "draw": "show how a convolution reads its input, as an animation or a still",
}


class CommandError(Exception):
    """What a user can put right: its text is printed on one line, and the exit status is 2."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every command does."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for a failed check, 2 for wrong arguments."""
    argv = sys.argv[1:] if argv is None else argv
    parser = Parser(prog="fastconv", description="Convolutions on NumPy arrays, fast on every core of the CPU.",
                    epilog="fastconv COMMAND --help tells the arguments of a command.")
    parser.add_argument("--version", action="version", version=f"fastconv {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".",
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
        if name in argv[:1]:
            module = import_module(f"{__name__}.{name}")
            module.add_arguments(command)
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    try:
        return module.run(arguments)
    except CommandError as error:
        print(f"fastconv {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:         # the reader has seen enough, as `head` does; at exit Python would flush once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
