"""Several lists of examples into one, each added example remembering where it came from."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from homeroom.schema.examples import Example, Json

BOOKKEEPING = (
    "origin",
    "source",
    "consent",
    "lint_ignore",
    "split",
    "review",
)  # metadata that does not make an example another one


@dataclass(frozen=True, slots=True)
class Part:
    """Examples to add and where they came from: ``{"kind": "file", "name": "march.jsonl"}``."""

    origin: Json
    examples: Iterable[Example]


@dataclass(frozen=True, slots=True)
class Merged:
    """The whole list, and what happened to each part: added, known already, refused for want of consent."""

    examples: tuple[Example, ...]
    added: int
    known: int
    refused: tuple[str, ...]
    by_origin: dict[str, int]


def merge(base: Sequence[Example], parts: Sequence[Part]) -> Merged:
    """``base`` as it is, then the examples of ``parts`` that it does not hold yet and whose words may be used.

    An example of a learner without granted consent is left out and counted, never taken silently.
    """
    seen = {content_key(example) for example in base}
    examples = list(base)
    known, refused = 0, []
    by_origin: Counter[str] = Counter()
    for part in parts:
        name = str(part.origin.get("name") or part.origin.get("kind"))
        for example in part.examples:
            key = content_key(example)
            if key in seen:
                known += 1
                continue
            why = consent_problem(example)
            if why:
                refused.append(f"{name}: {_opening(example)!r}: {why}")
                continue
            seen.add(key)
            examples.append(replace(example, metadata={**example.metadata, "origin": _origin(example, part.origin)}))
            by_origin[name] += 1
    return Merged(tuple(examples), len(examples) - len(base), known, tuple(refused), dict(by_origin))


def _origin(example: Example, origin: Json) -> object:
    """Where it came from; an origin that the example has already is kept as its own."""
    own = example.metadata.get("origin")
    return {**origin, **own} if isinstance(own, dict) else ({**origin, "before": own} if own else dict(origin))


def content_key(example: Example) -> str:
    """Equal for examples that teach the same, wherever they came from."""
    record = example.to_dict()
    metadata = {key: value for key, value in example.metadata.items() if key not in BOOKKEEPING}
    text = json.dumps({**record, "metadata": metadata}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def consent_problem(example: Example) -> str:
    """Why the words of an example may not train a model; empty when they may."""
    consent = example.metadata.get("consent")
    if consent in ("refused", "withdrawn"):
        return f"consent is {consent}"
    if example.metadata.get("source") == "learner" and consent != "granted":
        return "it comes from a learner, and consent was not granted"
    return ""


def _opening(example: Example) -> str:
    return next((m.content[:40] for m in example.messages if m.role == "user"), "")
