"""The plots of the report: paired differences with intervals, and wins, ties and losses, as inline SVG and plain boxes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from homeroom.evaluation.results import Evaluation, MeasureInfo
from homeroom.schema.evaluation import Difference

EDGE = 1.04


def comparisons(evaluation: Evaluation) -> str:
    """One block for each control: every measure from 0 to 1, turned so that right is better."""
    blocks = []
    for system in evaluation.systems:
        rows = [d for d in evaluation.differences if d.control == system.name]
        if rows:
            candidate = next((s.title for s in evaluation.systems if s.name == rows[0].candidate), rows[0].candidate)
            blocks.append(block(f"{candidate} minus {system.title}", rows, evaluation.measures))
    if not blocks:
        return ""
    lead = (
        "Both systems answered the same held-out questions, so each row compares reply with reply. The dot is the mean "
        "difference, the line "
        f"its {evaluation.protocol.level:.0%} interval; where the line touches the dashed zero, chance may explain it. Right "
        f"is always better, also for "
        "measures where less is better."
    )
    return f'<section><h2>What changed</h2><p class="lead">{lead}</p>{"".join(blocks)}</section>'


def block(title: str, rows: Sequence[Difference], measures: Sequence[MeasureInfo]) -> str:
    """Differences of one system and one control, a row for each measure from 0 to 1. ``title`` is escaped here."""
    info = {measure.name: measure for measure in measures}
    shown = [row for row in rows if info[row.name].top == 1 and info[row.name].direction != "neither" and row.mean is not None]
    head = (
        '<div class="effect head" aria-hidden="true"><span class="name"></span><span class="plot ends"><span>&larr; worse</span>'
        '<span>better &rarr;</span></span><span class="num">difference</span><span class="bar">won, tied, lost</span></div>'
    )
    lines = "".join(_row(row, info[row.name]) for row in shown)
    return f'<div class="card"><h3>{escape(title)}</h3>{head}{lines}</div>'


def _row(row: Difference, measure: MeasureInfo) -> str:
    flip = -1.0 if measure.direction == "lower" else 1.0
    mean = flip * (row.mean or 0.0)
    bounds = sorted(flip * bound for bound in (row.low, row.high) if bound is not None)
    kind = "better" if bounds and bounds[0] > 0 else "worse" if bounds and bounds[1] < 0 else ""
    span = f"{signed(bounds[0])} to {signed(bounds[1])}" if bounds else "too few groups"
    say = f"{measure.title}: {signed(mean)}, {span}; won {row.wins}, tied {row.ties}, lost {row.losses}"
    return (
        f'<div class="effect {kind}"><span class="name">{escape(measure.title)}</span><span class="plot">'
        f"{_forest(mean, bounds, say)}</span>"
        f'<span class="num"><b>{signed(mean)}</b> <small>{span}</small></span><span class="bar">{_tally(row)}</span></div>'
    )


def signed(value: float) -> str:
    """Two decimals with a sign; a zero has none."""
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", "\u2212")


def _forest(mean: float, bounds: Sequence[float], say: str) -> str:
    line = f'<line class="span" x1="{bounds[0]:.4f}" x2="{bounds[1]:.4f}" y1=".5" y2=".5"/>' if bounds else ""
    return (
        f'<svg viewBox="{-EDGE} 0 {2 * EDGE} 1" preserveAspectRatio="none" role="img" aria-label="{escape(say, quote=True)}">'
        f'<line class="zero" x1="0" x2="0" y1="0" y2="1"/>{line}<line class="dot" x1="{mean:.4f}" x2="{mean:.4f}" y1=".5" '
        f'y2=".5"/></svg>'
    )


def _tally(row: Difference) -> str:
    total = max(row.n, 1)
    parts = "".join(f'<i class="{name}" style="width:{100 * count / total:.2f}%"></i>' for name, count in _counts(row))
    return (
        f'<span class="wtl" aria-hidden="true">{parts}</span><span class="counts">{row.wins} / {row.ties} / {row.losses}</span>'
    )


def _counts(row: Difference) -> tuple[tuple[str, int], ...]:
    return (("w", row.wins), ("t", row.ties), ("l", row.losses))
