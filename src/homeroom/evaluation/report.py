"""The report of an evaluation: complete JSON for programs, one self-contained HTML page for people.

The page holds no script and asks for nothing from anywhere (a content security policy in its head says so); every text
of a dataset or a model is escaped. It is read top down: the verdict, what changed, the figures, the dialogues, the
rules, where it all comes from.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from homeroom.data.page import page_head
from homeroom.errors import ConfigError, StorageError
from homeroom.evaluation.report_parts import figures, heading, measures, origin, rules, transcripts, verdict_box
from homeroom.evaluation.report_plots import comparisons
from homeroom.evaluation.results import FORMAT, Evaluation

JSON_NAME = "evaluation.json"
HTML_NAME = "report.html"


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where a report was written."""

    json: Path
    html: Path


def report_style() -> str:
    """The look of reports, as CSS."""
    return resources.files("homeroom.evaluation").joinpath("report.css").read_text(encoding="utf-8")


def render_html(evaluation: Evaluation) -> str:
    """The whole page as text."""
    title, head = heading(evaluation)
    parts = (
        verdict_box(evaluation),
        comparisons(evaluation),
        figures(evaluation),
        transcripts(evaluation),
        rules(evaluation),
        measures(evaluation),
        origin(evaluation),
    )
    body = "\n".join(part for part in parts if part)
    return f"{page_head(title, report_style())}<body>\n{head}\n<main>\n{body}\n</main>\n</body>\n</html>\n"


def write_report(evaluation: Evaluation, folder: Path) -> ReportFiles:
    """Write ``evaluation.json`` and ``report.html`` into ``folder``, each whole or not at all.

    Raises:
        StorageError: the disk refused.
    """
    files = ReportFiles(folder / JSON_NAME, folder / HTML_NAME)
    text = json.dumps(evaluation.to_dict(), ensure_ascii=False, indent=1, allow_nan=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(files.json, text + "\n")
        _replace(files.html, render_html(evaluation))
    except OSError as error:
        raise StorageError(
            f"the report could not be written to {str(folder)!r}: {error.strerror or error}. Free some space and run the "
            f"same command again",
            code="report-not-written",
        ) from error
    return files


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".report-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def read_report(path: Path) -> Evaluation:
    """An evaluation from its JSON report.

    Raises:
        ConfigError: the file is absent or is not such a report.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        return Evaluation.from_dict(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{str(path)!r} is not an evaluation report: {error}. Make one with: homeroom eval run", code="not-a-report"
        ) from error
