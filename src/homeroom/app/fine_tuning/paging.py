"""Pages of a list, as OpenAI cuts them: so many entries after the one whose id is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Page(Generic[Entry]):
    """Some entries of a list, and whether there are more behind them."""

    entries: Sequence[Entry]
    has_more: bool

    def to_openai(
        self, show: Callable[[Entry], dict[str, Any]], *, ends: bool = False, none: str | None = None
    ) -> dict[str, Any]:
        """The object ``list``.

        Args:
            show: An entry as JSON data with an ``id``.
            ends: Whether the list names its first and last id.
            none: What stands for them in an empty list.
        """
        data = [show(entry) for entry in self.entries]
        record: dict[str, Any] = {"object": "list", "data": data, "has_more": self.has_more}
        if ends:
            record |= {"first_id": data[0]["id"] if data else none, "last_id": data[-1]["id"] if data else none}
        return record


def cut(found: Sequence[Entry], limit: int) -> Page[Entry]:
    """The page of at most ``limit`` entries of a query for one more than that."""
    return Page(found[:limit], len(found) > limit)
