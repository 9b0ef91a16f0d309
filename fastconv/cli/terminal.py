"""What all commands print with: rich's console, tables and progress bars, plain where there is no terminal."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from . import CommandError

if TYPE_CHECKING:
    from rich.console import Console
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


@contextmanager
def progress_bar(console: Console, description: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar inside the block, which gets a function that moves it on; nothing where there is no terminal.

    It is drawn when it moves, not by a thread of its own, which would disturb what is being timed.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, auto_refresh=False,
                  disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)

        def advance() -> None:
            progress.advance(task)
            progress.refresh()

        progress.refresh()
        yield advance
