"""The plots of a sweep's report: inline SVG that takes its colours from the page and tells its numbers to who cannot see it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from homeroom.tuning.sweep.space import SweepSpec
from homeroom.tuning.sweep.study import Study, Trial

WIDTH, HEIGHT, LEFT, BASE, TOP, RIGHT = 760, 300, 56, 34, 10, 14
KINDS = 4


def by_rate(study: Study, spec: SweepSpec) -> str:
    """Each trial's lowest validation loss over its learning rate, which has a logarithmic axis."""
    shown = [(trial, loss) for trial in study.trials if (loss := trial.shown_loss) is not None]
    if not shown:
        return "<p>No trial was measured.</p>"
    rates = [trial.point.learning_rate for trial, _ in shown] + [bound for span in spec.learning_rate for bound in span]
    low, high = math.log10(min(rates)) - 0.08, math.log10(max(rates)) + 0.08
    frame = _Frame(low, high, [loss for _, loss in shown])
    spans = [(frame.x(math.log10(a)), frame.x(math.log10(b))) for a, b in spec.learning_rate]
    parts = [f'<rect class="span" x="{a:.1f}" y="{TOP}" width="{b - a:.1f}" height="{HEIGHT - TOP}"/>' for a, b in spans]
    parts += frame.grid()
    for power in range(math.floor(low), math.ceil(high)):
        for digit in (1, 2, 5):
            at = math.log10(digit) + power
            if low <= at <= high:
                parts.append(_tick(frame.x(at), f"{digit}e{power}"))
    kinds = _kinds(study.trials)
    for trial, loss in shown:
        x, y = frame.x(math.log10(trial.point.learning_rate)), frame.y(loss)
        cut = "" if trial.state == "complete" else " cut"
        say = f"trial {trial.number + 1}: {trial.point.text}: {loss:.4f}, {trial.state}"
        ring = f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="10"/>' if trial is study.best else ""
        mark = f'<circle class="mark k{kinds[trial.point.rank]}{cut}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
        parts.append(f"<g><title>{escape(say)}</title>{ring}{mark}</g>")
    say = "Validation loss by learning rate: " + "; ".join(f"{t.point.learning_rate:.2g} {loss:.3f}" for t, loss in shown)
    return _svg(say, parts)


def by_step(study: Study) -> str:
    """Each trial's validation loss as it was trained; the base model's as a dashed line."""
    shown = [trial for trial in study.trials if trial.checks]
    if not shown:
        return "<p>No trial was measured.</p>"
    losses = [loss for trial in shown for loss in trial.checks.values()]
    first = [] if study.base_loss is None else [study.base_loss]
    frame = _Frame(0, max(step for trial in shown for step in trial.checks), [*losses, *first])
    parts = frame.grid()
    last = round(frame.right)
    for step in sorted({round(last * share / 4) for share in range(5)}):
        parts.append(_tick(frame.x(step), f"step {step}" if step == last else str(step)))
    if study.base_loss is not None:
        y = frame.y(study.base_loss)
        parts.append(f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT}" y="{y - 5:.1f}" text-anchor="end">base model {study.base_loss:.3f}</text>')
    kinds = _kinds(study.trials)
    for trial in shown:
        points = [(0, study.base_loss)] if study.base_loss is not None else []
        path = " ".join(
            f"{'L' if at else 'M'}{frame.x(step):.1f} {frame.y(loss or 0.0):.1f}"
            for at, (step, loss) in enumerate([*points, *sorted(trial.checks.items())])
        )
        how = " best" if trial is study.best else "" if trial.state == "complete" else " cut"
        parts.append(
            f"<g><title>{escape(f'trial {trial.number + 1}: {trial.point.text}')}</title>"
            f'<path class="curve k{kinds[trial.point.rank]}{how}" d="{path}"/></g>'
        )
    return _svg(f"Validation loss by step of {len(shown)} trials", parts)


def key(trials: Sequence[Trial]) -> str:
    """Which colour is which rank."""
    marks = "".join(f'<i class="k{kind}"></i>rank {rank}' for rank, kind in _kinds(trials).items())
    return f'<p class="keys">{marks}</p>'


def _kinds(trials: Sequence[Trial]) -> dict[int, int]:
    """A colour for each rank; more ranks than colours share them."""
    ranks = sorted({trial.point.rank for trial in trials})
    return {rank: at % KINDS for at, rank in enumerate(ranks)}


class _Frame:
    """Where values are on the paper."""

    def __init__(self, left: float, right: float, losses: Sequence[float]) -> None:
        self.left, self.right = left, max(right, left + 1e-9)
        pad = 0.06 * (max(losses) - min(losses)) or 0.05
        self._low, self._high = min(losses) - pad, max(losses) + pad

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.left) / (self.right - self.left)

    def y(self, loss: float) -> float:
        return TOP + (HEIGHT - TOP) * (self._high - loss) / (self._high - self._low)

    def grid(self) -> list[str]:
        """Lines at round losses."""
        span = self._high - self._low
        step = next(s * 10.0**p for p in range(-6, 6) for s in (1, 2, 5) if s * 10.0**p >= span / 6)
        digits = max(0, -math.floor(math.log10(step)))
        lines = []
        for at in range(math.ceil(self._low / step), math.floor(self._high / step) + 1):
            y = self.y(at * step)
            lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            lines.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{at * step:.{digits}f}</text>')
        return lines


def _tick(x: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{HEIGHT + 18}" text-anchor="middle">{text}</text>'


def _svg(say: str, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {WIDTH} {HEIGHT + BASE}"'
    return f'<svg {size} role="img" aria-label="{escape(say, quote=True)}">{"".join(parts)}</svg>'
