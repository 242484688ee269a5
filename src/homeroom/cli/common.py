"""What commands share: opening the home, JSON or text output, and following a job."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from homeroom.app.home import Homeroom

PIPE_WIDTH = 100_000

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def open_home(ctx: click.Context, **overrides: object) -> Homeroom:
    """The home that the flags, the environment and its configuration file name."""
    from homeroom.app.home import Homeroom
    from homeroom.settings import load_settings

    flags = {**ctx.find_root().obj["overrides"], **{k: v for k, v in overrides.items() if v is not None}}
    home = Homeroom.open(load_settings(flags))
    ctx.call_on_close(home.close)
    return home


def require_place(path: Path, option: str) -> None:
    """Refuse a file that could not be written, before work is done that it is to hold.

    Raises:
        ConfigError: ``target-folder``.
    """
    import os

    from homeroom.errors import ConfigError

    folder = path.absolute().parent
    problem = "" if os.access(folder, os.W_OK) else "it may not be written"
    if not folder.is_dir():
        problem = "it is no folder" if folder.exists() else "there is no such folder"
    if path.is_dir():
        problem, folder = "it is a folder, and a file is to be written", path
    if problem:
        raise ConfigError(
            f"{option} {str(path)!r} cannot be written: {str(folder)!r}: {problem}. Make it (mkdir), or name another place",
            code="target-folder",
        )


def emit(data: Any, as_json: bool, text: Callable[[], None]) -> None:  # data: anything JSON can hold
    """Print ``data`` as JSON, or call ``text`` to print it for a person."""
    if as_json:
        click.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))
    else:
        text()


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """A plain aligned table; the last column wraps on a terminal."""
    from rich.console import Console
    from rich.table import Table

    # Into a pipe nothing is folded or padded: programs read whole lines.
    # And a cell is text: a model may be called ``...:two:...``, and a message may hold ``[/b]``.
    console = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    grid = Table(*headings, title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        grid.add_row(*["" if cell is None else str(cell) for cell in row])
    with console.capture() as capture:
        console.print(grid)
    click.echo("\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n")))


def typed_lines(prompt: str) -> Iterator[str]:
    """What a person types, until an empty line or the end of the input.

    From a pipe no prompt is shown, and none goes to an output that a program reads.
    """
    typed, shown = sys.stdin.isatty(), sys.stdout.isatty()
    while True:
        if typed and not shown:
            click.echo(prompt, nl=False, err=True)
        try:
            text = input(prompt if typed and shown else "").strip()
        except EOFError:
            if typed:
                click.echo(err=True)
            return
        if not text:
            return
        yield text


def plural(count: int, noun: str) -> str:
    """``1 example``, ``3 examples``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def visible(text: str) -> str:
    """What a model wrote, without the control characters that could steer a terminal; line breaks and tabs stay."""
    return "".join(c for c in text if c in "\n\t" or not unicodedata.category(c).startswith("C"))


def when(unix: float | None) -> str:
    """Local date and minute; empty for none. What no calendar shows is told as that: a list must not end for one line of it."""
    import datetime

    try:
        return datetime.datetime.fromtimestamp(unix).astimezone().strftime("%Y-%m-%d %H:%M") if unix else ""
    except (OverflowError, ValueError, OSError):
        return "beyond any calendar"


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    if whole < 5400:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(value: float) -> str:
    """Bytes for a person: ``98 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return ""
