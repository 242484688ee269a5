"""What a file shares with an evaluation set that was chosen later: the leakage rules over two sets.

Everything in the first set counts as training, everything in the second as judged, whatever their own splits say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from homeroom.data.lint.model import CorpusRule, Finding, Options, Record
from homeroom.data.lint.rules.leakage import RULES
from homeroom.data.lint.run import LintResult
from homeroom.data.source import open_source
from homeroom.errors import Problem
from homeroom.schema.examples import Example

_OTHER = 1 << 32  # lines of the other set, where both are looked at together


def against(
    mine: Iterable[tuple[int, Example]],
    other: Iterable[tuple[int, Example]],
    *,
    file: str,
    other_file: str,
    options: Options = Options(),  # noqa: B008 - frozen
) -> Iterator[Finding]:
    """Findings of every leakage rule, told at the lines of ``mine``: those are what to take out.

    Args:
        mine: (line, example) of what is to be trained on.
        other: The same of what is to be judged on.
        file: Name of the first set.
        other_file: Name of the second.
        options: Thresholds.
    """
    rules = [rule for rule in RULES if isinstance(rule, CorpusRule)]
    facts: dict[str, list[tuple[int, object]]] = {rule.about.code: [] for rule in rules}
    sets = (("train", 0, mine), ("test", _OTHER, other))
    for split, base, examples in sets:
        for line, example in examples:
            record = Record(base + line, example, split=split)
            for rule in rules:
                fact = rule.fact(record, options)
                if fact is not None:
                    facts[rule.about.code].append((base + line, fact))
    for rule in rules:
        about = rule.about
        for hit in rule.judge(facts[about.code], options):
            lines = hit.lines or (hit.line,)
            judged = hit.line - _OTHER
            if hit.line < _OTHER or min(lines) >= _OTHER:
                continue  # within one of the two sets
            for line in sorted(line for line in lines if line < _OTHER):
                yield Finding(
                    code=about.code,
                    name=about.name,
                    severity=hit.severity or about.severity,
                    file=file,
                    line=line,
                    message=f"{_SAYS[about.code]} {other_file}:{judged}. {_DO}",
                    elsewhere=(f"{other_file}:{judged}",),
                )


def with_other(
    result: LintResult, paths: Sequence[Path], judged: Sequence[tuple[int, Example]], named: str, options: Options
) -> LintResult:
    """``result`` of a check of ``paths``, with what they share with the (line, example) pairs of the set ``named``."""
    more = [
        finding
        for path in paths
        for finding in against(numbered(path), judged, file=str(path), other_file=named, options=options)
    ]
    summary = dict(result.summary)
    for finding in more:
        key = {"error": "errors", "warning": "warnings", "info": "info"}[finding.severity]
        summary[key] += 1
        summary["by_rule"] = {**summary["by_rule"], finding.code: summary["by_rule"].get(finding.code, 0) + 1}
    return replace(result, findings=(*result.findings, *more), summary={**summary, "against": named})


def numbered(path: Path) -> Iterator[tuple[int, Example]]:
    """Lines and examples of a file; broken records are passed over.

    Raises:
        HomeroomError: it cannot be read as examples.
    """
    source = open_source(path)
    problems: list[Problem] = []
    for row in source.rows():
        for example in source.examples(row, problems):
            yield row.line, example
        problems.clear()


_DO = "Take it out of training, or judge on another set."
_SAYS = {
    "LEA001": "The same problem is in the evaluation set:",
    "LEA002": "Nearly the same problem (other numbers, names or words) is in the evaluation set:",
    "LEA003": "The demonstrations of this prompt show a question of the evaluation set:",
    "LEA004": "A passage of this record stands in the evaluation set:",
}
