"""What the commands about data share: examples from a file, a dataset version or the bundled course."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.common import open_home
from homeroom.cli.progress import Line, bar

if TYPE_CHECKING:
    from homeroom.schema.examples import Example

format_option = click.option("--format", "format_", help="Format of the file; detected when omitted.")
column_option = click.option(
    "--column", "columns", multiple=True, metavar="FIELD=HEADING", help="Where a table's headings are not the usual ones."
)
base_option = click.option("--base", default="", help="Base model whose tokenizer counts.")


@dataclass(frozen=True, slots=True)
class Material:
    """Examples with the name they go by; ``splits`` where they are a dataset version."""

    name: str
    examples: tuple[Example, ...]
    splits: dict[str, str] | None = None
    reference: str = ""


def material(ctx: click.Context, given: str | None, format_: str | None = None, columns: tuple[str, ...] = ()) -> Material:
    """The examples of a file; of ``NAME``, ``NAME@2`` or an id; of what is bundled by a name; of the course by none.

    Raises:
        DataError: the file has errors.
        NotFoundError: there is neither a file nor a dataset of that name.
    """
    from homeroom.app.project import parse_columns
    from homeroom.data.bundled import NAMES, load_bundled
    from homeroom.data.course import COURSE_NAME, load_course
    from homeroom.data.reading import load_examples

    if given is None:
        return Material(COURSE_NAME, tuple(load_course()))
    path = Path(given)
    if not path.exists() and not path.suffix:
        if given in NAMES and not any(info.name == given for info in open_home(ctx).datasets.list()):
            return Material(given, tuple(load_bundled(given)))
        dataset = open_home(ctx).datasets.get(given)
        name = f"{dataset.info.name}@{dataset.info.version}"
        return Material(name, dataset.examples, dict(dataset.splits), dataset.info.id)
    return Material(path.stem, tuple(load_examples(path, format=format_, columns=parse_columns(columns))))


def shown_progress(what: str, quiet: bool) -> tuple[Callable[[int, int], None], Callable[[], None]]:
    """A function that draws progress from (done, all), and one that takes it away."""
    line = Line(quiet)

    def show(done: int, total: int) -> None:
        line.show(f"{what}  {bar(done / max(1, total))}")

    return show, line.clear


def info_dict(info: Any) -> dict[str, Any]:  # a DatasetInfo, imported when used
    """A version as ``--json`` prints it."""
    import dataclasses

    return dataclasses.asdict(info)
