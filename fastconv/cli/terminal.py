"""What all commands print with: rich's console, tables and progress bars, plain where there is no terminal."""
from __future__ import annotations

from typing import TYPE_CHECKING

from . import CommandError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

PLAIN_WIDTH = 100


def missing(package: str) -> CommandError:
    return CommandError(f'needs {package}, which is not installed: pip install "fastconv[cli]"')


def make_console() -> Console:
    """A console of the terminal's width, or of PLAIN_WIDTH characters where the output goes elsewhere."""
    try:
        from rich.console import Console
    except ImportError:
        raise missing("rich") from None
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def make_table(title: str, *columns: str) -> Table:
    """An empty table; a column whose name starts with "<" is text, the others hold numbers."""
    from rich import box
    from rich.table import Table
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold",
                  pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        text = name.startswith("<")
        table.add_column(name.removeprefix("<"), justify="left" if text else "right", no_wrap=True)
    return table


def make_progress(console: Console) -> Progress:
    """A progress bar that leaves nothing behind, and shows nothing where there is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                    console=console, transient=True, disable=not console.is_terminal)
