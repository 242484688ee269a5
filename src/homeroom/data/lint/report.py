"""The report on training data: one self-contained page, and the same as a few lines for a terminal.

The page holds no script and asks for nothing from anywhere (a content security policy in its head says so); every text of the
data is escaped. There is no overall number: a set of data can be good in one respect and useless in another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib import resources
from pathlib import Path

from homeroom.data.lint.model import Options, Record
from homeroom.data.lint.registry import choose
from homeroom.data.lint.report_parts import (
    Report,
    by_rule,
    coverage,
    duplicates,
    guidelines,
    lengths,
    levels,
    queue,
    tiles,
    worst,
)
from homeroom.data.lint.review import Item, items, read_decisions, settle
from homeroom.data.lint.rules.text_reading import reading_grade
from homeroom.data.lint.run import LintResult, Progress, lint
from homeroom.data.page import page_head
from homeroom.data.source import open_source
from homeroom.errors import Problem, StorageError
from homeroom.storage.files import write_atomically

LEVEL_WORDS = 20
LEVEL_EXAMPLES = 5_000


def make_report(
    paths: Sequence[Path],
    options: Options = Options(),  # noqa: B008 - frozen
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    *,
    title: str = "",
    splits: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> Report:
    """Check files and gather what the page shows.

    Args:
        paths: Files of examples.
        options: As for a check.
        select: Rules to run.
        ignore: Rules to leave out.
        title: What the page is about; the files' names when empty.
        splits: Example id to split, where a dataset version is reported on.
        progress: Told how many bytes of how many are done.
        now: The time, for tests.

    Raises:
        HomeroomError: as `homeroom.data.lint.run.lint`.
    """
    found = lint(paths, options, select, ignore, splits=splits, progress=progress)
    result, settled = settle(found)
    names = ", ".join(path.name for path in paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    when = (now or datetime.now(UTC)).strftime("%-d %B %Y, %H:%M UTC")
    return Report(title or names, result, choose(tuple(select), tuple(ignore)), _levels(paths), _queue(result, settled), when)


def _queue(result: LintResult, settled: Sequence[Item]) -> tuple[Item, ...]:
    asked = [finding for finding in result.findings if finding.needs_person]
    decisions = {file: read_decisions(Path(file)) for file in {finding.file for finding in asked if finding.file}}
    return (*items(asked, decisions), *settled)


def _levels(paths: Sequence[Path]) -> dict[int, list[float]]:
    """Reading grades of replies by grade; of a large file every so many-th example."""
    found: dict[int, list[float]] = defaultdict(list)
    for path in paths:
        source = open_source(path)
        stride = max(1, source.size_bytes // (LEVEL_EXAMPLES * 1_000))
        problems: list[Problem] = []
        for number, row in enumerate(source.rows()):
            if number % stride:
                continue
            for example in source.examples(row, problems):
                record = Record(row.line, example)
                grade = example.metadata.get("grade")
                if not record.is_tutor or not isinstance(grade, int) or not 0 <= grade <= 12:
                    continue
                texts = [text for _, _, text in record.turns("assistant")]
                words = [word for text in texts for word in text.words]
                if len(words) >= LEVEL_WORDS:
                    found[grade].append(reading_grade(words, sum(len(text.sentences) for text in texts)))
            problems.clear()
    return dict(found)


def render_html(report: Report) -> str:
    """The whole page as text."""
    title = escape(f"Training data: {report.title}")
    parts = (
        tiles(report),
        guidelines(report),
        coverage(report),
        by_rule(report),
        worst(report),
        lengths(report),
        levels(report),
        duplicates(report),
        queue(report),
    )
    style = resources.files("homeroom.data.lint").joinpath("report.css").read_text(encoding="utf-8")
    files = "".join(
        f"<li>{escape(Path(name).name)}: {entry['examples']:,} examples, format {escape(str(entry['format']))}</li>"
        for name, entry in report.result.summary["files"].items()
    )
    body = "\n".join(part for part in parts if part)
    return (
        f"{page_head(title, style)}<body>\n<header><h1>{title}</h1>"
        f"<p>{escape(report.made)}</p><ul>{files}</ul></header>\n"
        f"<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def write_report(report: Report, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        StorageError: the disk refused (``report-not-written``).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, render_html(report).encode(), mode=0o644)
    except OSError as error:
        raise StorageError(
            f"the report could not be written to {str(path)!r}: {error.strerror or error}. Free some space and run the same "
            "command again",
            code="report-not-written",
        ) from error
