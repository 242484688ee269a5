"""Records for the tests of rules, and what a rule says of them."""

from __future__ import annotations

from collections.abc import Iterable

from homeroom.data.lint.model import CorpusRule, Hit, Options, Record, RecordRule
from homeroom.data.lint.registry import all_rules
from homeroom.schema.examples import Example, Message

RULES = {rule.about.code: rule for rule in all_rules()}
NO_OPTIONS = Options()


def record(*turns: str, reference: dict[str, object] | None = None, context: tuple[str, ...] = (), **metadata: object) -> Record:
    """Turns of user and assistant, the user first; ``system:`` opens a system turn."""
    system = [Message("system", turns[0].removeprefix("system:"))] if turns[0].startswith("system:") else []
    rest = turns[len(system) :]
    messages = [*system, *(Message("assistant" if n % 2 else "user", text) for n, text in enumerate(rest))]
    return Record(1, Example(tuple(messages), metadata, context, reference or {}))


def replied(text: str, **metadata: object) -> Record:
    """A tutor's reply to a neutral question."""
    return record("Can you help me with the next step?", text, **metadata)


def with_options(code: str, **values: object) -> Options:
    return Options(thresholds={code: values})


def hits(code: str, shown: Record | Iterable[Record], options: Options = NO_OPTIONS) -> list[Hit]:
    """What a rule says; lines count the records from 1."""
    rule = RULES[code]
    records = [shown] if isinstance(shown, Record) else list(shown)
    if isinstance(rule, CorpusRule):
        facts = [(n, fact) for n, r in enumerate(records, 1) if (fact := rule.fact(r, options)) is not None]
        return list(rule.judge(facts, options))
    assert isinstance(rule, RecordRule)
    return [hit for r in records for hit in rule.check(r, options)]
