"""What a reply of several fields is worth beside the authored one: every field is compared, each in the way of its kind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from homeroom.models.prompt_fields import field_text
from homeroom.models.reply_choice import overlap, word_overlap
from homeroom.schema.examples import Item
from homeroom.tuning.dspy.spec import ProgramSpec
from homeroom.tuning.dspy.task import written_outputs

LIKE_IT = 0.9
"""Score from which a reply is taken for as good as the authored one."""


class FieldReferenceJudge:
    """The mean over the fields of what each shares with the authored one. Implements the tuner's ``Judge``.

    Args:
        spec: The program: the kinds of its outputs say how they are compared.
    """

    name = "reference-fields"
    whole = True

    def __init__(self, spec: ProgramSpec) -> None:
        self._spec = spec

    def scores(self, items: Sequence[Item], replies: Sequence[str]) -> list[float]:
        """One value for each reply, 0 to 1."""
        return [self._score(item, reply) for item, reply in zip(items, replies, strict=True)]

    def advice(self, item: Item, reply: str) -> str:
        """The fields that differ much from the authored ones, and those."""
        values, gold = self._values(item, reply), self._gold(item)
        far = [name for name, value in values.items() if value < LIKE_IT]
        return f"{', '.join(far)} should be otherwise. A good reply was: {json.dumps(gold, ensure_ascii=False)}" if far else ""

    def _score(self, item: Item, reply: str) -> float:
        values = self._values(item, reply)
        return sum(values.values()) / len(values) if values else 0.0

    def _values(self, item: Item, reply: str) -> dict[str, float]:
        try:
            record = json.loads(reply)
        except ValueError:
            record = None
        said: Mapping[str, Any] = record if isinstance(record, dict) else {}
        kinds = {field.name: field.kind for field in self._spec.outputs}
        return {name: alike(kinds[name], gold, said.get(name)) for name, gold in self._gold(item).items()}

    def _gold(self, item: Item) -> dict[str, Any]:
        """The outputs that the author gave, as far as there are any."""
        found = written_outputs(self._spec, item)
        return {field.name: found[field.name] for field in self._spec.outputs if found.get(field.name) is not None}


def alike(kind: Mapping[str, Any], gold: Any, said: Any) -> float:
    """How much a value shares with the authored one, 0 to 1: any JSON, compared as the schema ``kind`` of its field says.

    Of a choice, a number and a truth value all or nothing; of a text the words (F1); of a list the items (F1), in any order.
    """
    if said is None:
        return 0.0
    if kind.get("type") == "array":
        mine, theirs = (Counter(map(_plain, value if isinstance(value, list) else [value])) for value in (said, gold))
        return overlap(mine, theirs)
    if "enum" in kind or kind.get("type") != "string":
        return float(gold == said and (type(gold) is type(said) or (_number(gold) and _number(said))))  # 1 is not true
    return word_overlap(field_text(gold), field_text(said))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: object) -> str:
    """An item of a list, without what tells no two of them apart."""
    return " ".join(field_text(value).lower().split())
