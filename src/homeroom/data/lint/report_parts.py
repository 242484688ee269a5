"""The sections of the report. Each takes a `Report` and returns HTML in which every foreign text is escaped."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from homeroom.data.lint.guide import GUIDE, Line, rules_of
from homeroom.data.lint.model import Finding, Rule
from homeroom.data.lint.report_plots import boxes, histogram, matrix, stacked
from homeroom.data.lint.review import Item
from homeroom.data.lint.run import SEVERITIES, LintResult
from homeroom.data.lint.scan import Profile
from homeroom.data.metadata import GRADE_BANDS

WORST = 8
SHOWN_QUEUE = 60
SHOWN_CELLS = 24
UNSAID = "not said"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the page shows.

    Attributes:
        title: Names of the files.
        result: Of the run, without what people found fine.
        rules: Those that ran.
        levels: Grade (0 to 12) to reading grades of replies of that grade.
        queue: Open questions and decisions.
        made: Date and time, as text.
    """

    title: str
    result: LintResult
    rules: tuple[Rule, ...]
    levels: dict[int, list[float]]
    queue: tuple[Item, ...]
    made: str


def tiles(report: Report) -> str:
    """Counts, each for itself: there is no score."""
    summary = report.result.summary
    decided = sum(item.decision is not None for item in report.queue)
    shown = (
        ("Examples", summary["examples"], f"in {len(summary['files'])} file{'s' if len(summary['files']) != 1 else ''}"),
        ("Errors", summary["errors"], "keep a version from being tuned on"),
        ("Warnings", summary["warnings"], "ask for attention"),
        ("Notes", summary["info"], "good to know"),
        ("Need a person", summary["needs_person"], f"{decided} decided so far"),
        ("Safe fixes", summary["fixable"], "homeroom data fix"),
        ("Left alone", summary["suppressed"], "suppressed by the data or its settings"),
    )
    return '<div class="tiles">' + "".join(
        f'<div class="tile"><p class="name">{name}</p><p class="big">{value:,}</p><p class="note">{escape(str(note))}</p></div>'
        for name, value, note in shown
    ) + "</div>"  # fmt: skip


def guidelines(report: Report) -> str:
    """Every line of the guide: rules, what they found, what is left to a person."""
    rows = "".join(_guideline(line, report) for line in GUIDE)
    return _section(
        "By guideline",
        "Each line of the quality guidelines with what its rules found. “Clean” counts the examples that no rule of that line "
        "reports. What no rule can see is a question to you.",
        _table(
            ("Guideline", "Rules", "Errors", "Warnings", "Notes", "Clean examples", "Left to a person"),
            rows,
            "Guidelines",
            words=True,
        ),
    )


def _guideline(line: Line, report: Report) -> str:
    rules = rules_of(line, report.rules)
    codes = {rule.about.code for rule in rules}
    found = [f for f in report.result.findings if f.code in codes]
    counts = Counter(f.severity for f in found)
    touched = {(f.file, n) for f in found for n in (f.line, *f.lines) if n}
    total = report.result.summary["examples"]
    said = {f.code for f in found}
    names = "<br>".join(f"{_linked(r.about.code, r.about.code in said)} {escape(r.about.name)}" for r in rules) or "none"
    clean = f"{sum(place not in touched for place in _places(report.result)):,} of {total:,}" if rules else "&ndash;"
    cells = "".join(
        f'<td class="{name if counts[name] else "none"}" data-head="{head}">{counts[name]:,}</td>'
        for name, head in zip(SEVERITIES, ("Errors", "Warnings", "Notes"), strict=True)
    )
    return (
        f"<tr><th scope='row'>{escape(line.name)}</th><td class='rules'>{names}</td>{cells}"
        f"<td data-head='Clean examples'>{clean}</td><td class='ask'>{escape(line.question)}</td></tr>"
    )


def _places(result: LintResult) -> Iterator[tuple[str, int]]:
    """File and line of every example."""
    names = list(result.summary["files"])
    for profile in result.profiles:
        yield (names[(profile.line >> 32) - 1] if len(names) > 1 else names[0]), profile.line & 0xFFFFFFFF


def _linked(code: str, there: bool) -> str:
    return f'<a href="#rule-{code}">{code}</a>' if there else code


def by_rule(report: Report) -> str:
    """Findings by rule, most first, with the rule's advice."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for finding in report.result.findings:
        counts[finding.code][finding.severity] += 1
    if not counts:
        return _section("Findings by rule", f"None of {len(report.rules)} rules reports anything.", "")
    about = {rule.about.code: rule.about for rule in report.rules}
    order = sorted(counts, key=lambda code: (-counts[code]["error"], -counts[code].total(), code))
    plot = stacked("Findings by rule", [(f"{code} {about[code].name}", counts[code]) for code in order], SEVERITIES)
    key = "".join(f'<span class="key"><i class="{name}"></i>{name}</span>' for name in SEVERITIES)
    rows = "".join(
        f'<tr id="rule-{code}"><th scope="row">{code}<small>{escape(about[code].name)}</small></th>'
        f"<td data-head='Findings'>{counts[code].total():,}</td>"
        f"<td class='ask'>{escape(about[code].what)}</td><td class='ask'>{escape(about[code].do)}</td></tr>"
        for code in order
    )
    return _section(
        "Findings by rule",
        f"{len(order)} of {len(report.rules)} rules report something.",
        f'<div class="card">{plot}<p class="keys">{key}</p></div>'
        + _table(("Rule", "Findings", "What it reports", "What to do"), rows, "Rules", words=True),
    )


def worst(report: Report) -> str:
    """The lines with the gravest findings, quoted."""
    rows = "".join(
        f'<tr><th scope="row">{escape(_place(findings[0]))}</th><td class="ask">{_quotes(findings)}</td></tr>'
        for findings in worst_lines(report.result.findings)
    )
    return (
        _section("Worst lines", "Where to begin.", _table(("Line", "What is said of it"), rows, "Worst lines", words=True))
        if rows
        else ""
    )


def worst_lines(findings: Sequence[Finding]) -> list[list[Finding]]:
    """The findings of the lines with the most and gravest, at most `WORST` lines."""
    lines: dict[tuple[str, int], list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.line:
            lines[finding.file, finding.line].append(finding)
    weight = {"error": 100, "warning": 10, "info": 1}
    ranked = sorted(lines.values(), key=lambda found: (-sum(weight[f.severity] for f in found), found[0].file, found[0].line))
    return ranked[:WORST]


def _quotes(findings: Sequence[Finding]) -> str:
    order = sorted(findings, key=lambda f: SEVERITIES.index(f.severity))
    said = "".join(
        f'<li><span class="chip {f.severity}">{f.code}</span> {escape(_short(f.message, 300))}</li>' for f in order[:6]
    )
    more = f"<li>and {len(order) - 6} more</li>" if len(order) > 6 else ""
    return f"<ul>{said}{more}</ul>"


def coverage(report: Report) -> str:
    """Subject by grade, then for each subject scenario by grade band and question type: all four at once."""
    profiles = report.result.profiles
    if not profiles:
        return ""
    parts = ['<div class="card"><h3>Subject and grade</h3>', _subjects(profiles), "</div>"]
    for subject in _values(p.subject for p in profiles):
        parts += [
            f'<div class="card"><h3>{escape(subject)}: scenario, grade band and kind of question</h3>',
            _cells(profiles, subject),
            "</div>",
        ]
    holes = [f for f in report.result.findings if f.code.startswith("DIV") and not f.line]
    said = "".join(f'<li><span class="chip {f.severity}">{f.code}</span> {escape(_short(f.message, 400))}</li>' for f in holes)
    return _section(
        "Coverage",
        "How many examples there are of each kind. An outlined cell is empty: a model tuned on this has not met such a question.",
        "".join(parts) + (f'<div class="card"><h3>What the rules say of it</h3><ul>{said}</ul></div>' if said else ""),
    )


def _subjects(profiles: Sequence[Profile]) -> str:
    grades = [_grade(p.grade) for p in profiles]
    columns = [name for name in (*[_grade(n) for n in range(13)], UNSAID) if name in grades]
    counts = Counter((p.subject or UNSAID, grade) for p, grade in zip(profiles, grades, strict=True))
    return matrix("Examples by subject and grade", _values(p.subject for p in profiles), columns, counts)


def _cells(profiles: Sequence[Profile], subject: str) -> str:
    mine = [p for p in profiles if (p.subject or UNSAID) == subject]
    bands = [band for band in (*GRADE_BANDS, "") if any(p.grade_band == band for p in profiles)]
    kinds = _values(p.question_type for p in profiles)
    columns = [f"{band or UNSAID} · {kind}" for band in bands for kind in kinds]
    counts = Counter((p.scenario or UNSAID, f"{p.grade_band or UNSAID} · {p.question_type or UNSAID}") for p in mine)
    rows = _values(p.scenario for p in profiles)[:SHOWN_CELLS]
    return matrix(f"Examples of {subject} by scenario, grade band and kind of question", rows, columns, counts, groups=len(kinds))


def lengths(report: Report) -> str:
    """Words of the replies by kind of question, and of the prompts."""
    profiles = report.result.profiles
    if not profiles:
        return ""
    plots = []
    for kind in _values(p.question_type for p in profiles):
        mine = [p.reply_words for p in profiles if (p.question_type or UNSAID) == kind]
        plots.append(
            f'<div class="card"><h3>Replies, {escape(kind)}</h3>{histogram(f"Words of replies, {kind}", mine, "words")}</div>'
        )
    prompts = [p.prompt_words for p in profiles]
    plots.append(f'<div class="card"><h3>Learners&rsquo; turns, all</h3>{histogram("Words of prompts", prompts, "words")}</div>')
    return _section("Lengths", "Words of all replies of an example together.", f'<div class="grid">{"".join(plots)}</div>')


def levels(report: Report) -> str:
    """Reading grade of the replies by the grade that they are for."""
    found = [(grade, values) for grade, values in sorted(report.levels.items()) if values]
    if not found:
        return _section("Reading level by grade", "No example says its grade and has a reply of 20 words or more.", "")
    plot = boxes("Reading level by grade", [(_grade(grade), values, float(grade)) for grade, values in found])
    return _section(
        "Reading level by grade",
        "The mean of two readability formulas over all replies of an example that have 20 words or more together: the box holds "
        "the middle half, the thin line nine in ten, the dashed mark is the grade itself. Short texts scatter by several "
        "grades; read the middle of many, not the single one.",
        f'<div class="card">{plot}</div>',
    )


def duplicates(report: Report) -> str:
    """How many examples are another one again."""
    found = [f for f in report.result.findings if f.code[:3] == "LEA" or (f.code[:3] == "DIV" and "duplicate" in f.name)]
    if not found:
        return _section("Duplicates and leakage", "No rule found an example twice, or across splits.", "")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for finding in found:
        counts[f"{finding.code} {finding.name}"][finding.severity] += 1
    plot = stacked(
        "Duplicates and leakage",
        [(name, counts[name]) for name in sorted(counts, key=lambda name: -counts[name].total())],
        SEVERITIES,
    )
    largest = sorted(found, key=lambda f: -len(f.lines))[:6]
    said = "".join(f"<li>{escape(_place(f))}: {escape(_short(f.message, 260))}</li>" for f in largest)
    return _section(
        "Duplicates and leakage",
        "An example that is there twice counts twice, and one on both sides of a split makes every measure flatter.",
        f'<div class="card">{plot}</div><div class="card"><h3>The largest groups</h3><ul>{said}</ul></div>',
    )


def queue(report: Report) -> str:
    """What needs a person, and what persons decided."""
    if not report.queue:
        return _section(
            "What needs a person", "No rule asks for one. The questions in the table above are yours all the same.", ""
        )
    order = sorted(report.queue, key=lambda item: (item.decision is not None, item.finding.file, item.finding.line))
    rows = "".join(_queued(item) for item in order[:SHOWN_QUEUE])
    waiting = sum(item.decision is None for item in order)
    more = f" The first {SHOWN_QUEUE} are shown." if len(order) > SHOWN_QUEUE else ""
    return _section(
        "What needs a person",
        f"{waiting:,} open, {len(order) - waiting:,} decided.{more} Decide with: "
        "homeroom data review FILE --decide LINE:CODE yes|no --by NAME",
        _table(("Line", "Question", "Decision"), rows, "Review queue", words=True),
    )


def _queued(item: Item) -> str:
    decision = item.decision
    if decision is None:
        said = '<span class="chip">open</span>'
    else:
        word = "fine" if decision.fine else "must change"
        note = f"<small>{escape(_short(decision.note, 300))}</small>" if decision.note else ""
        said = f'<span class="chip ok">{word}</span> {escape(decision.by)}, {escape(decision.at[:10])}{note}'
    finding = item.finding
    return (
        f'<tr><th scope="row">{escape(_place(finding))}<small>{finding.code}</small></th>'
        f'<td class="ask">{escape(_short(finding.message, 360))}</td><td class="ask">{said}</td></tr>'
    )


def _section(title: str, lead: str, body: str) -> str:
    return f'<section><h2>{escape(title)}</h2><p class="lead">{escape(lead)}</p>{body}</section>'


def _table(heads: Sequence[str], rows: str, name: str, *, words: bool = False) -> str:
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    kind = ' class="words"' if words else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name, quote=True)}"><table{kind}>'
        f"<thead><tr>{top}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _values(names: Iterator[str]) -> list[str]:
    """Different values, the most frequent first; what is not said comes last."""
    counts = Counter(name or UNSAID for name in names)
    return sorted(counts, key=lambda name: (name == UNSAID, -counts[name], name))


def _grade(grade: int | None) -> str:
    return UNSAID if grade is None else "K" if grade == 0 else str(grade)


def _place(finding: Finding) -> str:
    name = finding.file.rsplit("/", 1)[-1]
    return f"{name}:{finding.line}" if finding.line else name or "all files"


def _short(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"
