"""What a rule is, what it sees and what it says.

Two kinds of rule. A `RecordRule` looks at one record. A `CorpusRule` looks at all of them: from each record it takes a small
fact, in whichever process reads that record, and judges the facts together at the end. So a file of any size is read once, by
all cores, and memory grows with the facts alone.

Codes are three letters for the family and three digits: STR structure, CNS consistency, DIV diversity, QUA quality, SAF safety
and inclusion, LEA leakage, COS consent. A code is never used again for something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

from homeroom.schema.examples import Example, Message

Severity = Literal["error", "warning", "info"]
Family = Literal["structure", "consistency", "diversity", "quality", "safety", "leakage", "consent"]

_ASCII_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_DIGIT = re.compile(r"\d")
_FIGURES = re.compile(r"(?:(?<!\S)[^\s\d]*\d\S*(?:\s+(?:[^\w\s]|[A-Za-z]{1,3}(?![A-Za-z])))?\s*)+")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)]*\s+|\n+")


@dataclass(frozen=True, slots=True)
class Edit:
    """A safe fix of one message: ``messages[message].content`` becomes ``content``. Applied by `homeroom data fix` only."""

    message: int
    content: str


@dataclass(frozen=True, slots=True)
class Hit:
    """What a rule says of one place, before the runner adds code, name and severity.

    Attributes:
        message: What is wrong, with the words concerned quoted, and what to do.
        line: Line of the record in its file, from 1; 0 for the file as a whole.
        lines: Further lines that belong to it (the other member of a duplicate pair).
        quote: The words concerned, for a report.
        edit: A fix that is safe without a person; None where a person must decide.
        severity: In place of the rule's own, where the case is milder or graver.
        needs_person: No rule can decide it: it goes to the review queue.
    """

    message: str
    line: int = 0
    lines: tuple[int, ...] = ()
    quote: str = ""
    edit: Edit | None = None
    severity: Severity | None = None
    needs_person: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A `Hit` with everything that the output contract names.

    ``fix`` says in words what `homeroom data fix` would do; it is empty where a person must decide. ``lines`` are of the same
    file; ``elsewhere`` names those of other files: ``test.jsonl:12``.
    """

    code: str
    name: str
    severity: Severity
    file: str
    line: int
    message: str
    lines: tuple[int, ...] = ()
    quote: str = ""
    fix: str = ""
    edit: Edit | None = None
    needs_person: bool = False
    elsewhere: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The record of `homeroom data check --json`: code, name, severity, file, line, lines, message, fix."""
        return {
            "code": self.code,
            "name": self.name,
            "severity": self.severity,
            "file": self.file,
            "line": self.line,
            "lines": list(self.lines),
            "message": self.message,
            "quote": self.quote,
            "fix": self.fix,
            "needs_person": self.needs_person,
            "elsewhere": list(self.elsewhere),
        }


class Text:
    """One turn's text with what rules ask of it again and again, worked out once."""

    def __init__(self, content: str) -> None:
        self.content = content

    @cached_property
    def lower(self) -> str:
        """In lower case."""
        return self.content.lower()

    @cached_property
    def words(self) -> list[str]:
        """Words in lower case, without numbers and marks."""
        return (_ASCII_WORD if self.lower.isascii() else _WORD).findall(self.lower)

    @cached_property
    def word_set(self) -> frozenset[str]:
        """The different `words`: to ask at once whether any of a list occurs."""
        return frozenset(self.words)

    @cached_property
    def figures(self) -> str:
        """The text without its words: numbers, signs and the units after them, and ``¦`` for what was left out between them."""
        return " ¦ ".join(_FIGURES.findall(self.content)) if _DIGIT.search(self.content) else ""

    @cached_property
    def sentences(self) -> list[str]:
        """Sentences as they stand, without empty ones."""
        found, start = [], 0
        for match in _SENTENCE_END.finditer(self.content):
            found.append(self.content[start : match.start() + 1].strip())
            start = match.end()
        found.append(self.content[start:].strip())
        return [part for part in found if part]


class Record:
    """One record of a file, checked for structure before any other rule sees it.

    Attributes:
        line: In its file, from 1.
        example: The record as Homeroom's type.
        texts: One `Text` for each message, in order.
        split: ``train``, ``validation`` or ``test`` where that is known, otherwise empty: from the dataset version that is
            checked, from ``metadata.split``, or from the file's name (``train.jsonl``, ``test.jsonl``).
        file: Name of its file.

    Over several files lines are large numbers of their own; the runner turns those of a `Hit` (and those written in its message)
    back into file and line. So a message may name a line of ``lines`` by its number.
    """

    def __init__(self, line: int, example: Example, *, split: str = "", file: str = "") -> None:
        self.line, self.example, self.split, self.file = line, example, split, file

    @cached_property
    def texts(self) -> list[Text]:
        """One for each message."""
        return [Text(message.content) for message in self.example.messages]

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Of the example: subject, grade, grade_band, topic, question_type, scenario, language, source, consent, task ..."""
        return self.example.metadata

    def turns(self, role: str) -> Iterator[tuple[int, Message, Text]]:
        """Index, message and text of each turn of ``role``."""
        return iter(self._by_role.get(role, ()))

    @cached_property
    def _by_role(self) -> dict[str, list[tuple[int, Message, Text]]]:
        found: dict[str, list[tuple[int, Message, Text]]] = {}
        for index, (message, text) in enumerate(zip(self.example.messages, self.texts, strict=True)):
            found.setdefault(message.role, []).append((index, message, text))
        return found

    @property
    def is_tutor(self) -> bool:
        """Whether the model plays the tutor; in a learner's record the assistant's turns are a child's, mistakes included."""
        return self.example.task == "tutor"


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may set for a run of the rules. Thresholds are kept by rule code: ``{"CNS003": {"factor": 3.0}}``.

    Attributes:
        base: Catalogue name of the base model whose tokenizer counts; empty estimates at four characters a token.
        method: ``dspy``, ``openai`` or ``huggingface``: what "too few" means.
        roster: Names of learners of the class, lower case.
        thresholds: Values in place of a rule's own, by code.
        tokenizer: Folder of the base's weights, whose tokenizer and template count; empty when no base is chosen.
        max_tokens: How many tokens an example may have; 0 takes 4,096.
    """

    base: str = ""
    method: str = ""
    tokenizer: str = ""
    max_tokens: int = 0
    roster: frozenset[str] = frozenset()
    thresholds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def value(self, code: str, name: str, default: Any) -> Any:  # whatever type the rule's threshold has
        """A rule's threshold."""
        return self.thresholds.get(code, {}).get(name, default)


@dataclass(frozen=True, slots=True)
class About:
    """What every rule says of itself; the page of the documentation is made from it.

    Attributes:
        code: ``QUA001``.
        name: Kebab case, stable: ``wrong-arithmetic``.
        severity: ``error`` stops a dataset version, ``warning`` asks for attention, ``info`` tells.
        what: One sentence: what is reported.
        why: One or two sentences: what it does to a tuned model.
        do: What a person does about it.
        bad, good: A record's words that are reported, and the same mended.
        guideline: The line of the quality guidelines that it serves: ``Consistency: Formatting`` ...
        fixable: Whether some of its hits carry an edit.
    """

    code: str
    name: str
    family: Family
    severity: Severity
    what: str
    why: str
    do: str
    bad: str
    good: str
    guideline: str = ""
    fixable: bool = False


@runtime_checkable
class RecordRule(Protocol):
    """A rule about one record. Stateless: one instance serves every process."""

    @property
    def about(self) -> About:
        """What it says of itself."""
        ...

    def check(self, record: Record, options: Options) -> Iterable[Hit]:
        """What is wrong with ``record``. A hit's line defaults to the record's."""
        ...


@runtime_checkable
class CorpusRule(Protocol):
    """A rule about all records together."""

    @property
    def about(self) -> About:
        """What it says of itself."""
        ...

    def fact(self, record: Record, options: Options) -> Any:  # each rule's own small, plain value: a few hundred bytes at most
        """What to remember of ``record``; None to forget it."""
        ...

    def judge(self, facts: Sequence[tuple[int, Any]], options: Options) -> Iterable[Hit]:
        """What is wrong with the whole, from (line, fact) in file order."""
        ...


class Embed(Protocol):
    """Texts to vectors of one length, each of length 1: what an embedding model does."""

    def __call__(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector for each text."""
        ...


@runtime_checkable
class CostlyRule(CorpusRule, Protocol):
    """A rule that costs time or a model, so it runs only when it is asked for and says beforehand what it will cost."""

    def cost(self, examples: int, options: Options) -> str:
        """What a run over so many examples will cost, in words; empty when it was not asked for."""
        ...

    def wants_embedder(self, options: Options) -> bool:
        """Whether it was asked to compare meanings."""
        ...

    def with_embedder(self, embed: Embed) -> CostlyRule:
        """The same rule with something to compare meanings by."""
        ...


@dataclass(frozen=True, slots=True)
class ReadRule:
    """A rule that the reader itself applies, before there is a `Record`; ``about.name`` is the name of its `Problem`."""

    about: About


Rule = RecordRule | CorpusRule | ReadRule
