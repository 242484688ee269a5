"""The report of a comparison: complete JSON for programs, one self-contained HTML page for people. See `report`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from homeroom.data.page import page_head
from homeroom.errors import ConfigError
from homeroom.evaluation.comparison import FORMAT, Comparison, Facts
from homeroom.evaluation.recommendation import Standing
from homeroom.evaluation.report import HTML_NAME, ReportFiles, report_style
from homeroom.evaluation.report_parts import figures, measures, origin, transcripts
from homeroom.evaluation.report_plots import block
from homeroom.storage.files import write_atomically

JSON_NAME = "comparison.json"
LABELS = {
    "tuned": ("promote", "A tuned model is better"),
    "control": ("practice", "Do not tune"),
    "no-difference": ("", "No difference shown"),
    "too-few": ("", "Too few examples"),
}
STYLE = """
.plot-card svg { width: 100%; height: auto; }
.plot-card text { fill: var(--ink); font: 13px ui-sans-serif, system-ui, sans-serif; }
.plot-card .soft { fill: var(--soft); }
.plot-card .axis { stroke: var(--line); }
.plot-card .range { stroke: var(--soft); stroke-width: 3; }
.plot-card circle { fill: var(--accent); }
.plot-card .doubted circle { fill: var(--worse); }
"""
WIDTH, LEFT, RIGHT, ROW = 900, 250, 60, 34
HIGH, LOW = 40, 300


def write_comparison(comparison: Comparison, folder: Path) -> ReportFiles:
    """Write ``comparison.json`` and ``report.html`` into ``folder``, each whole or not at all.

    Raises:
        StorageError: the disk refused.
    """
    files = ReportFiles(folder / JSON_NAME, folder / HTML_NAME)
    text = json.dumps(comparison.to_dict(), ensure_ascii=False, indent=1, allow_nan=False)
    write_atomically(files.json, f"{text}\n".encode(), mode=0o644)
    write_atomically(files.html, render_comparison(comparison).encode(), mode=0o644)
    return files


def read_comparison(path: Path) -> Comparison:
    """A comparison from its JSON.

    Raises:
        ConfigError: the file is absent or is no such report (``not-a-report``).
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        return Comparison.from_dict(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{str(path)!r} is not the report of a comparison: {error}. Make one with: homeroom tune compare", code="not-a-report"
        ) from error


def render_comparison(comparison: Comparison) -> str:
    """The whole page as text; every text of a dataset or a model is escaped."""
    evaluation = comparison.evaluation
    part = "tutor" if evaluation.task == "tutor" else "simulated learner"
    title = escape(f"Methods compared: {part}, {evaluation.dataset}")
    when = datetime.fromtimestamp(evaluation.created_at, UTC).strftime(", %-d %B %Y") if evaluation.created_at else ""
    topics = len({str(record["metadata"].get("topic")) for record in evaluation.replies})
    opened = f" {escape(str(comparison.opening['text']))}" if comparison.opening else ""
    head = (
        f"<header><h1>{title}</h1><p>{len(evaluation.replies)} held-out replies over {topics} topics that no system was tuned "
        f"on{when}.{opened}</p></header>"
    )
    parts = (
        _advice(comparison),
        _table(comparison),
        _shares(comparison.standings),
        _scatter(comparison.standings),
        _differences(comparison),
        figures(evaluation),
        _rules(comparison),
        transcripts(evaluation),
        measures(evaluation),
        origin(evaluation),
    )
    body = "\n".join(part for part in parts if part)
    return f"{page_head(title, report_style() + STYLE)}<body>\n{head}\n<main>\n{body}\n</main>\n</body>\n</html>\n"


def _advice(comparison: Comparison) -> str:
    kind, label = LABELS[comparison.advice.kind]
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in comparison.advice.reasons)
    return (
        f'<section class="verdict {kind}"><p class="label">Measured recommendation</p><h2>{label}</h2>'
        f"<p>{escape(comparison.advice.headline)}</p><ul>{reasons}</ul></section>"
    )


def _table(comparison: Comparison) -> str:
    heads = ("System", "Passes every check", "Verdict", "Tuning took", "Tuning cost", "Replies cost", "Median reply",
             "Memory to tune", "Memory to answer", "Text goes to")  # fmt: skip
    rows = "".join(_table_row(standing, facts) for standing, facts in zip(comparison.standings, comparison.facts, strict=True))
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        '<section><h2>The methods</h2><p class="lead">Each answered the same questions. Costs are what the ledger counted: '
        "where it counted nothing, nothing was paid. Memory to answer counts the base in every row.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="The methods"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _table_row(standing: Standing, facts: Facts) -> str:
    cells = (
        share_text(standing),
        standing.outcome or "&ndash;",
        *(cell.replace("-", "&ndash;") if cell == "-" else escape(cell) for cell in fact_texts(standing, facts)),
    )
    name = f"{escape(standing.title)}<small>{escape(facts.model)}</small>"
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def share_text(standing: Standing) -> str:
    """``0.42 (0.25 to 0.58)``, and ``not believed`` where it is not."""
    if standing.share is None:
        return "no value"
    span = "" if standing.low is None or standing.high is None else f" ({standing.low:.2f} to {standing.high:.2f})"
    return f"{standing.share:.2f}{span}{', not believed' if standing.doubts else ''}"


def fact_texts(standing: Standing, facts: Facts) -> tuple[str, ...]:
    """Time, money, latency, memory and privacy as texts, in the order of the table; ``-`` where nothing is known."""
    unpriced = f" + {facts.unpriced} calls without a price" if facts.unpriced else ""
    return (
        seconds(facts.tune_s),
        "-" if facts.tune_usd is None else f"${facts.tune_usd:.2f}{unpriced}",
        "-" if facts.replies_usd is None else f"${facts.replies_usd:.2f}",
        "-" if standing.latency_p50_s is None else f"{standing.latency_p50_s:.2f} s",
        _gigabytes(facts.tune_memory_bytes),
        _gigabytes(facts.serve_bytes),
        facts.text_goes,
    )


def seconds(value: float | None) -> str:
    """``42 s``, ``3.5 min``; ``-`` where it is not known."""
    return "-" if value is None else f"{value:.0f} s" if value < 90 else f"{value / 60:.1f} min"


def _gigabytes(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e9:.2f} GB"


def _shares(standings: Sequence[Standing]) -> str:
    """Every system's share of sound replies with its interval, on one axis from 0 to 1."""
    span = WIDTH - LEFT - RIGHT

    def at(value: float) -> float:
        return LEFT + span * value

    rows = []
    for number, standing in enumerate(standings):
        y = 24 + ROW * number
        line = ""
        if standing.low is not None and standing.high is not None:
            line = f'<line class="range" x1="{at(standing.low):.1f}" x2="{at(standing.high):.1f}" y1="{y}" y2="{y}"/>'
        dot = f'<circle cx="{at(standing.share):.1f}" cy="{y}" r="6"/>' if standing.share is not None else ""
        told = f"{standing.share:.2f}" if standing.share is not None else "no value"
        kind = "doubted" if standing.doubts else ""
        rows.append(
            f'<g class="{kind}"><text x="{LEFT - 14}" y="{y + 5}" text-anchor="end">{escape(standing.title[:38])}</text>'
            f'{line}{dot}<text class="soft" x="{WIDTH - RIGHT + 14}" y="{y + 5}">{told}</text></g>'
        )
    bottom = 24 + ROW * len(standings)
    ticks = "".join(
        f'<line class="axis" x1="{at(t / 4):.1f}" x2="{at(t / 4):.1f}" y1="8" y2="{bottom - 12}"/>'
        f'<text class="soft" x="{at(t / 4):.1f}" y="{bottom + 6}" text-anchor="middle">{t / 4:g}</text>'
        for t in range(5)
    )
    return (
        "<section><h2>Replies that pass every check at once</h2><p class='lead'>The measure that decides: a share, with "
        "its interval. A dot in the colour of faults is not believed: its replies are alike, copied, or fit for any question.</p>"
        f'<div class="card plot-card"><svg viewBox="0 0 {WIDTH} {bottom + 14}" role="img" aria-label="Share of replies that pass '
        f'every check, by system">{ticks}{"".join(rows)}</svg></div></section>'
    )


def _scatter(standings: Sequence[Standing]) -> str:
    """Quality against the time that a reply takes."""
    dots = [(s.latency_p50_s, s.share, s) for s in standings if s.latency_p50_s is not None and s.share is not None]
    if len(dots) < 2:
        return ""
    slowest = max(dot[0] for dot in dots) * 1.15
    span = WIDTH - 80 - 240
    marks = "".join(
        f'<g class="{"doubted" if s.doubts else ""}"><circle cx="{80 + span * took / slowest:.1f}" '
        f'cy="{LOW - (LOW - HIGH) * share:.1f}" r="6"/><text x="{92 + span * took / slowest:.1f}" '
        f'y="{LOW - (LOW - HIGH) * share + 5:.1f}">{escape(s.title[:34])}</text></g>'
        for took, share, s in dots
    )
    grid = ""
    for t in range(5):
        y, x = LOW - (LOW - HIGH) * t / 4, 80 + span * t / 4
        grid += (
            f'<line class="axis" x1="80" x2="{80 + span}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="soft" x="68" y="{y + 5:.1f}" text-anchor="end">{t / 4:g}</text>'
            f'<text class="soft" x="{x:.1f}" y="{LOW + 24}" text-anchor="middle">{slowest * t / 4:.1f} s</text>'
        )
    return (
        "<section><h2>Quality and waiting</h2><p class='lead'>Upwards: the share of sound replies. To the right: the median time "
        "of a reply, several asked at once.</p>"
        f'<div class="card plot-card"><svg viewBox="0 0 {WIDTH} {LOW + 36}" role="img" aria-label="Share of sound replies '
        f'against time, by system">{grid}{marks}</svg></div></section>'
    )


def _differences(comparison: Comparison) -> str:
    evaluation = comparison.evaluation
    titles = {standing.name: standing.title for standing in comparison.standings}
    blocks = []
    for candidate in [s for s in comparison.standings if s.role == "candidate"]:
        for control in [s for s in comparison.standings if s.role != "candidate"]:
            rows = [d for d in evaluation.differences if (d.candidate, d.control) == (candidate.name, control.name)]
            if rows:
                blocks.append(block(f"{titles[candidate.name]} minus {titles[control.name]}", rows, evaluation.measures))
    if not blocks:
        return ""
    return (
        "<section><h2>What tuning changed</h2><p class='lead'>Every measure, reply with reply, against each control. The dot is "
        f"the mean difference, the line its {evaluation.protocol.level:.0%} interval for one look; right is always better.</p>"
        f"{''.join(blocks)}</section>"
    )


def _rules(comparison: Comparison) -> str:
    tuned = [s for s in comparison.standings if s.role == "candidate" and s.name in comparison.verdicts]
    cards = "".join(
        f'<div class="card"><h3>{escape(s.title)}: {escape(s.outcome)}</h3><p>{escape(s.headline)}</p><ul>'
        + "".join(f"<li>{escape(reason[:1].upper() + reason[1:])}</li>" for reason in comparison.verdicts[s.name].reasons)
        + "</ul></div>"
        for s in tuned
    )
    if not cards:
        return ""
    return (
        "<section><h2>Each verdict</h2><p class='lead'>The same rules as <code>homeroom eval run</code> applies, protocol "
        f"<code>{escape(comparison.evaluation.protocol.hash)}</code>.</p>{cards}</section>"
    )
