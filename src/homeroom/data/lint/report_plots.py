"""The plots of the report: inline SVG that takes its colours from the page and tells its numbers to those who cannot see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

CELL, ROW, LABEL = 44, 28, 150


def matrix(
    title: str, rows: Sequence[str], columns: Sequence[str], counts: Mapping[tuple[str, str], int], groups: int = 0
) -> str:
    """Counts of rows by columns; empty cells are outlined. ``groups`` sets a gap after so many columns."""
    gap = 14
    top = max(counts.values(), default=0) or 1
    width = LABEL + len(columns) * CELL + (gap * ((len(columns) - 1) // groups) if groups else 0) + 4
    deep = 7 * max((len(name.split(" · ")[-1]) for name in columns), default=0)
    head = (34 if groups else 18) + (0 if deep <= CELL else deep // 2)
    parts = []
    for at, name in enumerate(columns):
        x = LABEL + at * CELL + (gap * (at // groups) if groups else 0)
        short = name.split(" · ")[-1]
        turned = f' transform="rotate(-35 {x + CELL / 2 - 6:.0f} {head - 6})"' if deep > CELL else ""
        anchor = "start" if deep > CELL else "middle"
        parts.append(
            f'<text class="axis" x="{x + CELL / 2 - 2:.0f}" y="{head - 6}" text-anchor="{anchor}"{turned}>{escape(short)}</text>'
        )
        if groups and at % groups == 0:
            parts.append(f'<text class="axis strong" x="{x}" y="12">{escape(name.split(" · ")[0])}</text>')
    for down, row in enumerate(rows):
        y = head + down * ROW
        parts.append(f'<text class="axis" x="{LABEL - 8}" y="{y + 18}" text-anchor="end">{escape(_short(row, 22))}</text>')
        for at, column in enumerate(columns):
            x = LABEL + at * CELL + (gap * (at // groups) if groups else 0)
            parts.append(_cell(x, y, counts.get((row, column), 0), top, f"{row}, {column}"))
    holes = sum(not counts.get((row, column)) for row in rows for column in columns)
    say = f"{title}: {sum(counts.values())} examples in {len(rows)} rows and {len(columns)} columns, {holes} cells empty"
    return _svg(width + (0 if deep <= CELL else 0.7 * deep), head + len(rows) * ROW + 4, say, parts)


def _cell(x: float, y: float, count: int, top: int, what: str) -> str:
    share = (count / top) ** 0.5
    shade = f'class="cell" style="fill-opacity:{0.12 + 0.78 * share:.2f}"' if count else 'class="hole"'
    ink = "on" if share > 0.55 else "ink"
    text = f'<text class="count {ink}" x="{x + CELL / 2 - 2:.0f}" y="{y + 17:.0f}" text-anchor="middle">{count:,}</text>'
    box = f'<rect {shade} x="{x}" y="{y}" width="{CELL - 4}" height="{ROW - 4}" rx="4"/>'
    return f"<g><title>{escape(what)}: {count:,}</title>{box}{text}</g>"


def stacked(title: str, rows: Sequence[tuple[str, Mapping[str, int]]], kinds: Sequence[str]) -> str:
    """One bar for each row, its parts by kind."""
    width, left, right = 720, 230, 60
    top = max((sum(parts.values()) for _, parts in rows), default=0) or 1
    drawn = []
    for down, (name, parts) in enumerate(rows):
        y, x = down * 26, float(left)
        drawn.append(f'<text class="axis" x="{left - 10}" y="{y + 16}" text-anchor="end">{escape(_short(name, 34))}</text>')
        for kind in kinds:
            long = (width - left - right) * parts.get(kind, 0) / top
            if long:
                drawn.append(
                    f'<rect class="{kind}" x="{x:.1f}" y="{y + 4}" width="{max(long, 1.5):.1f}" height="16" rx="3">'
                    f"<title>{escape(name)}: {parts[kind]:,} {kind}</title></rect>"
                )
                x += max(long, 1.5)
        drawn.append(f'<text class="axis" x="{x + 6:.0f}" y="{y + 16}">{sum(parts.values()):,}</text>')
    say = f"{title}: " + "; ".join(f"{name} {sum(parts.values())}" for name, parts in rows)
    return _svg(width, len(rows) * 26 + 4, say, drawn)


def histogram(title: str, values: Sequence[int], unit: str) -> str:
    """How often each length occurs; everything beyond the 99th percentile is in the last bar."""
    if not values:
        return ""
    ordered = sorted(values)
    high = max(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 10)
    step = next(s for s in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 5000, 10**9) if high / s <= 24)
    bins = [0] * (high // step + 1)
    for value in values:
        bins[min(value // step, len(bins) - 1)] += 1
    width, tall, base = 340, 120, 24
    wide, top = (width - 8) / len(bins), max(bins)
    drawn = []
    for at, count in enumerate(bins):
        long = (tall - 12) * count / top
        name = f"{at * step} to {at * step + step - 1}" if at < len(bins) - 1 else f"{at * step} and more"
        drawn.append(
            f'<rect class="bar" x="{4 + at * wide:.1f}" y="{tall - long:.1f}" width="{max(wide - 2, 1):.1f}" '
            f'height="{long:.1f}" rx="2">'
            f"<title>{name} {unit}: {count:,}</title></rect>"
        )
    every = max(1, len(bins) // 5)
    drawn += [
        f'<text class="axis" x="{4 + at * wide:.0f}" y="{tall + 16}">{at * step}</text>' for at in range(0, len(bins), every)
    ]
    middle = ordered[len(ordered) // 2]
    drawn.append(
        f'<text class="axis" x="{width - 4}" y="12" text-anchor="end">median {middle:,} {unit}, n = {len(values):,}</text>'
    )
    return _svg(width, tall + base, f"{title}: median {middle} {unit} of {len(values)}, longest {ordered[-1]}", drawn)


def boxes(title: str, groups: Sequence[tuple[str, Sequence[float], float]]) -> str:
    """For each group quartiles and extremes (5th and 95th percentile), with a mark at what is expected of it."""
    width, tall, left, base = 720, 240, 40, 40
    values = [v for _, found, _ in groups for v in found] + [expected for _, _, expected in groups]
    if not values:
        return ""
    low, high = min(0.0, *values), min(max(values) + 0.5, 20.0)

    def y(value: float) -> float:
        return 8 + (tall - 8) * (high - min(max(value, low), high)) / (high - low)

    wide = (width - left) / max(len(groups), 1)
    drawn = []
    for tick in range(int(low // 4) * 4, int(high) + 1, 4):
        drawn.append(f'<line class="grid" x1="{left}" x2="{width}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        drawn.append(f'<text class="axis" x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick}</text>')
    for at, (name, found, expected) in enumerate(groups):
        x = left + at * wide + wide / 2
        half = min(wide * 0.3, 22)
        drawn.append(f'<text class="axis" x="{x:.0f}" y="{tall + 16}" text-anchor="middle">{escape(name)}</text>')
        drawn.append(f'<text class="axis" x="{x:.0f}" y="{tall + 31}" text-anchor="middle">n={len(found):,}</text>')
        drawn.append(
            f'<line class="expected" x1="{x - half - 5:.1f}" x2="{x + half + 5:.1f}" y1="{y(expected):.1f}" '
            f'y2="{y(expected):.1f}"/>'
        )
        if found:
            p5, q1, q2, q3, p95 = (_quantile(found, q) for q in (0.05, 0.25, 0.5, 0.75, 0.95))
            drawn.append(
                f"<g><title>{escape(name)}: median {q2:.1f}, half of them from {q1:.1f} to {q3:.1f}</title>"
                f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{y(p95):.1f}" y2="{y(p5):.1f}"/>'
                f'<rect class="box" x="{x - half:.1f}" width="{2 * half:.1f}" y="{y(q3):.1f}" '
                f'height="{max(y(q1) - y(q3), 1):.1f}" rx="3"/>'
                f'<line class="median" x1="{x - half:.1f}" x2="{x + half:.1f}" y1="{y(q2):.1f}" y2="{y(q2):.1f}"/></g>'
            )
    say = f"{title}: " + "; ".join(f"{n} median {_quantile(v, 0.5):.1f} (n {len(v)})" for n, v, _ in groups if v)
    return _svg(width, tall + base, say, drawn)


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _short(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"


def _svg(width: float, height: float, say: str, parts: Sequence[str]) -> str:
    return (
        f'<div class="plot-scroll"><svg viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px;'
        f'min-width:{min(width, 560):.0f}px" role="img" aria-label="{escape(say, quote=True)}">{"".join(parts)}</svg></div>'
    )
