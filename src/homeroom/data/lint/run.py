"""Files through the rules: streamed, on every core, each record seen once."""

from __future__ import annotations

import os
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast, overload

from homeroom.data.lint.config import LintConfig, find_config, load_config, severity_of
from homeroom.data.lint.model import CorpusRule, CostlyRule, Embed, Finding, Hit, Options, Rule, Severity
from homeroom.data.lint.pool import in_order
from homeroom.data.lint.registry import choose, fits
from homeroom.data.lint.scan import Found, Piece, Profile, scan
from homeroom.data.source import Source, open_source
from homeroom.schema.examples import Json

PARALLEL_BYTES = 2 * 1024 * 1024  # smaller work is done before another process has started
ROWS_PER_PIECE = 500
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
Progress = Callable[[int, int], None]  # bytes done, bytes in all


class Facts(Sequence[tuple[int, Any]]):
    """(line, fact) of a corpus rule in file order; lines are kept as eight bytes each, equal facts of one kind once."""

    _SHARED = 20_000

    def __init__(self) -> None:
        self._lines = array("Q")
        self._values: list[Any] = []
        self._shared: dict[Any, Any] = {}

    def extend(self, lines: Sequence[int], values: Sequence[Any]) -> None:
        """Add facts."""
        self._lines.extend(lines)
        for value in values:
            self._values.append(self._share(value))

    def _share(self, value: Any) -> Any:
        if len(self._shared) < self._SHARED and value.__hash__ is not None:
            try:
                return self._shared.setdefault(value, value)
            except TypeError:  # a tuple with a list in it
                return value
        return value

    def seal(self) -> None:
        """No more facts will come."""
        self._shared = {}

    def __len__(self) -> int:
        return len(self._values)

    @overload
    def __getitem__(self, index: int) -> tuple[int, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[int, Any]]: ...
    def __getitem__(self, index: int | slice) -> tuple[int, Any] | list[tuple[int, Any]]:
        if isinstance(index, slice):
            return list(zip(self._lines[index], self._values[index], strict=True))
        return self._lines[index], self._values[index]

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return zip(self._lines, self._values, strict=True)


@dataclass(frozen=True, slots=True)
class LintResult:
    """What a run found.

    Attributes:
        findings: By file and line; those of a file as a whole first.
        summary: Counts: files, records and how many of them could not be read, examples, findings by severity and by rule,
            suppressed, rules that ran.
        facts: By code: what each corpus rule remembered, for a report.
        profiles: One for each example, for a report.
    """

    findings: tuple[Finding, ...]
    summary: Json
    facts: Mapping[str, Sequence[tuple[int, Any]]] = field(default_factory=dict)
    profiles: Sequence[Profile] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is an error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def to_dict(self) -> Json:
        """The output contract: ``{"findings": [...], "summary": {...}}``."""
        return {"findings": [finding.to_dict() for finding in self.findings], "summary": self.summary}


def lint(
    paths: Sequence[Path | str] | Path | str,
    options: Options = Options(),  # noqa: B008 - frozen
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    *,
    config: LintConfig | Path | None = None,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    splits: Mapping[str, str] | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
    embed: Embed | None = None,
    announce: Callable[[str], None] | None = None,
) -> LintResult:
    """Check files of examples with every rule, as one set of data.

    Args:
        paths: Files, in any format that can be read.
        options: What is known of the use: base, method, roster, thresholds.
        select: Rules to run: codes, families or names. All when empty.
        ignore: Rules to leave out.
        config: A configuration, or its file; the one beside the first file when None.
        format: Name of the record format; detected when None.
        columns: For tables: field to heading.
        splits: Example id to split, where a dataset version is checked.
        jobs: Processes; as many as there are cores when None. Small data needs one only.
        progress: Told how many bytes of how many are done.
        embed: An embedding model, for the rules that are asked to compare meanings.
        announce: Told what a rule will cost, before it begins.

    Raises:
        NotFoundError: a file is not there.
        DataError: a file cannot be examples at all. Broken lines are findings.
        ConfigError: a rule, format or configuration is not known.
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    settings = _settings(config, files)
    options = settings.options(options)
    rules = choose((*settings.select, *select), (*settings.ignore, *ignore))
    rules = tuple(rule for rule in rules if severity_of(rule.about.code, rule.about.name, settings) != "off")
    if embed is not None:
        rules = tuple(rule.with_embedder(embed) if isinstance(rule, CostlyRule) else rule for rule in rules)
    sources = [open_source(path, format=format, columns=columns) for path in files]
    run = _Run(rules, settings, sources)
    total = sum(source.size_bytes for source in sources)
    done = 0
    for found in in_order(scan, run.pieces(options, splits), _jobs(jobs, total)):
        run.take(found)
        done += found.size_bytes
        if progress is not None:
            progress(min(done, total), total)
    run.judge(options, announce or (lambda line: None))
    return run.result()


def _settings(config: LintConfig | Path | None, files: Sequence[Path]) -> LintConfig:
    if isinstance(config, LintConfig):
        return config
    path = config or find_config(files)
    return load_config(path) if path else LintConfig()


def _jobs(jobs: int | None, total_bytes: int) -> int:
    if jobs is None:
        return len(os.sched_getaffinity(0)) if total_bytes >= PARALLEL_BYTES else 1
    return max(1, jobs)


class _Run:
    """What has been found so far. A line of the run is the file's place in the upper half, its line in the lower."""

    def __init__(self, rules: Sequence[Rule], config: LintConfig, sources: Sequence[Source]) -> None:
        self._rules = {rule.about.code: rule for rule in rules}
        self._config, self._sources = config, sources
        self._ignored = [config.ignored_in(source.path) for source in sources]
        self._facts = {code: Facts() for code, rule in self._rules.items() if isinstance(rule, CorpusRule)}
        self._suppressed: dict[int, tuple[str, ...]] = {}
        self._profiles: list[Profile] = []
        self._findings: list[tuple[int, Finding]] = []
        self._records = self._unread = self._left_alone = 0

    def _base(self, index: int) -> int:
        return (index + 1) << 32 if len(self._sources) > 1 else 0

    def _place(self, line: int) -> tuple[int, int]:
        return ((line >> 32) - 1, line & 0xFFFFFFFF) if len(self._sources) > 1 else (0, line)

    def pieces(self, options: Options, splits: Mapping[str, str] | None) -> Iterator[Piece]:
        codes = frozenset(self._rules)
        for index, source in enumerate(self._sources):
            piece = Piece(source, self._base(index), codes, options, splits=splits)
            if source.container == "jsonl":
                for block in source.blocks():
                    yield replace(piece, block=block)
                continue
            size = source.size_bytes
            rows = source.rows()
            while batch := tuple(islice(rows, ROWS_PER_PIECE)):
                yield replace(piece, rows=batch, size_bytes=size // 20)

    def take(self, found: Found) -> None:
        """The result of one piece."""
        self._records += found.records
        self._unread += found.unread
        self._profiles += found.profiles
        self._suppressed.update(found.suppressed)
        for code, (lines, values) in found.facts.items():
            self._facts[code].extend(lines, values)
        for code, line, hit in found.hits:
            self._add(code, line, hit)

    def judge(self, options: Options, announce: Callable[[str], None]) -> None:
        """Let the corpus rules judge what they remembered; the costly ones say first what that will cost."""
        for code, facts in self._facts.items():
            facts.seal()
            rule = self._rules[code]
            if isinstance(rule, CostlyRule) and (cost := rule.cost(len(facts), options)):
                announce(cost)
            if isinstance(rule, CorpusRule):
                for hit in rule.judge(facts, options):
                    self._add(code, hit.line, hit)

    def _add(self, code: str, line: int, hit: Hit) -> None:
        rule = self._rules[code]
        about = rule.about
        index, number = self._place(line) if line else (0, 0)
        left_alone = self._suppressed.get(line, ()) + (self._ignored[index] if line or len(self._sources) == 1 else ())
        if left_alone and any(fits(rule, name) or name == "all" for name in left_alone):
            self._left_alone += 1
            return
        severity = severity_of(code, about.name, self._config) or hit.severity or about.severity
        others = [self._place(other) for other in hit.lines]
        finding = Finding(
            code=code,
            name=about.name,
            severity=cast(Severity, severity),
            file=str(self._sources[index].path) if line or len(self._sources) == 1 else "",
            line=number,
            message=self._named_lines(hit, line),
            lines=tuple(n for i, n in others if i == index),
            quote=hit.quote,
            fix=f"message {hit.edit.message}: {about.do}" if hit.edit is not None else "",
            edit=hit.edit,
            needs_person=hit.needs_person,
            elsewhere=tuple(f"{self._sources[i].file}:{n}" for i, n in others if i != index),
        )
        self._findings.append((line, finding))

    def _named_lines(self, hit: Hit, line: int) -> str:
        """The message, with lines of the run (they cannot be mistaken for another number) as ``file:line``."""
        text = hit.message
        if len(self._sources) > 1:
            for other in {line, *hit.lines} - {0}:
                index, number = self._place(other)
                name = str(number) if other >> 32 == line >> 32 else f"{self._sources[index].file}:{number}"
                text = re.sub(rf"(?<!\d){other}(?!\d)", name, text)
        return text

    def result(self) -> LintResult:
        """Everything, in order."""
        findings = tuple(finding for _, finding in sorted(self._findings, key=lambda found: found[0]))
        severities = Counter(finding.severity for finding in findings)
        rules = Counter(finding.code for finding in findings)
        summary: Json = {
            "files": {str(s.path): {"format": s.format, "examples": self._examples_in(i)} for i, s in enumerate(self._sources)},
            "records": self._records,
            "unread": self._unread,
            "examples": len(self._profiles),
            **{f"{name}s" if name != "info" else name: severities[name] for name in SEVERITIES},
            "needs_person": sum(finding.needs_person for finding in findings),
            "fixable": sum(finding.edit is not None for finding in findings),
            "suppressed": self._left_alone,
            "by_rule": dict(sorted(rules.items())),
            "rules": len(self._rules),
        }
        return LintResult(findings, summary, self._facts, self._profiles)

    def _examples_in(self, index: int) -> int:
        return sum(self._place(profile.line)[0] == index for profile in self._profiles)
