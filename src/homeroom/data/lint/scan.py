"""One piece of a file through the rules: what runs in each process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from homeroom.data.files import Row
from homeroom.data.lines import Block
from homeroom.data.lint.model import CorpusRule, Hit, Options, ReadRule, Record, RecordRule, Rule
from homeroom.data.lint.registry import all_rules
from homeroom.data.source import Source
from homeroom.errors import Problem
from homeroom.schema.examples import Example

SUPPRESS = "lint_ignore"  # the metadata key by which a record is left alone: a list of codes, families or names
_SPLIT_NAMES = {"train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
                "dev": "validation", "test": "test", "eval": "test"}  # fmt: skip


class Profile(NamedTuple):
    """What a report plots of each record. Lengths in words; ``line`` counts over all files of the run."""

    line: int
    task: str
    subject: str
    grade: int | None
    grade_band: str
    question_type: str
    scenario: str
    split: str
    turns: int
    prompt_words: int
    reply_words: int
    characters: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Work for one process: a block of a JSONL file, or records that were read already."""

    source: Source
    base_line: int
    codes: frozenset[str]
    options: Options
    block: Block | None = None
    rows: tuple[Row, ...] = ()
    size_bytes: int = 0
    splits: Mapping[str, str] | None = None


@dataclass(slots=True)
class Found:
    """What a piece gave, with lines of the run. ``suppressed``: line to the rules that its record asks to be left alone by."""

    size_bytes: int = 0
    records: int = 0
    unread: int = 0
    examples: int = 0
    hits: list[tuple[str, int, Hit]] = field(default_factory=list)
    facts: dict[str, tuple[list[int], list[Any]]] = field(default_factory=dict)
    profiles: list[Profile] = field(default_factory=list)
    suppressed: dict[int, tuple[str, ...]] = field(default_factory=dict)


def scan(piece: Piece) -> Found:
    """Read a piece and show every record to every rule."""
    rules = [rule for rule in all_rules() if rule.about.code in piece.codes]
    checks = [(rule.about.code, rule.check) for rule in rules if isinstance(rule, RecordRule)]
    corpus_rules = [rule for rule in rules if isinstance(rule, CorpusRule)]
    names = read_names(rules)
    found = Found(
        size_bytes=piece.block.size if piece.block else piece.size_bytes,
        facts={rule.about.code: ([], []) for rule in corpus_rules},
    )
    facts = [(rule.fact, *found.facts[rule.about.code]) for rule in corpus_rules]
    rows = piece.source.block_rows(piece.block) if piece.block else iter(piece.rows)
    for row in rows:
        found.records += 1
        line = piece.base_line + row.line
        problems: list[Problem] = []
        examples = list(piece.source.examples(row, problems))
        found.unread += any(problem.severity == "error" for problem in problems)
        found.hits += [(names[p.rule], line, _hit(p)) for p in problems if p.rule in names]
        _note_suppressed(found, row, line)
        for example in examples:
            found.examples += 1
            record = Record(line, example, split=_split(piece, example), file=piece.source.file)
            found.profiles.append(_profile(record))
            for code, check in checks:
                for hit in check(record, piece.options):
                    found.hits.append((code, hit.line or line, hit))
            for take, lines, values in facts:
                fact = take(record, piece.options)
                if fact is not None:
                    lines.append(line)
                    values.append(fact)
    return found


def _hit(problem: Problem) -> Hit:
    return Hit(problem.message, severity="warning" if problem.severity == "warning" else None)


def read_names(rules: Sequence[Rule]) -> dict[str, str]:
    """The reader's names of problems to the codes of the rules that stand for them."""
    return {rule.about.name: rule.about.code for rule in rules if isinstance(rule, ReadRule)}


def _split(piece: Piece, example: Example) -> str:
    if piece.splits is not None:
        return piece.splits.get(example.id, "")
    named = example.metadata.get("split")
    if isinstance(named, str) and named in _SPLIT_NAMES:
        return _SPLIT_NAMES[named]
    return _SPLIT_NAMES.get(piece.source.path.stem.lower(), "")


def _note_suppressed(found: Found, row: Row, line: int) -> None:
    metadata = row.record.get("metadata") if row.record else None
    if isinstance(metadata, dict) and SUPPRESS in metadata:
        found.suppressed[line] = tuple(_names(metadata[SUPPRESS]))


def _names(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from value.replace(",", " ").split()
    elif isinstance(value, list):
        yield from (name for name in value if isinstance(name, str) and name)


def _profile(record: Record) -> Profile:
    meta = record.metadata
    replies = [text for _, message, text in record.turns("assistant") if message.weight != 0]
    grade = meta.get("grade")
    return Profile(
        line=record.line,
        task=record.example.task,
        subject=_label(meta.get("subject")),
        grade=grade if isinstance(grade, int) else None,
        grade_band=_label(meta.get("grade_band")),
        question_type=_label(meta.get("question_type")),
        scenario=_label(meta.get("scenario")),
        split=record.split,
        turns=len(record.example.messages),
        prompt_words=sum(len(text.words) for _, _, text in record.turns("user")),
        reply_words=sum(len(text.words) for text in replies),
        characters=sum(len(message.content) for message in record.example.messages),
    )


def _label(value: object) -> str:
    return "" if value is None else str(value)
