"""The card of a dataset version: what is in it, where it came from, and what changed; Markdown for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from homeroom.data.stats import statistics
from homeroom.schema.examples import Example

_SHOWN = ("split", "task", "subject", "grade_band", "question_type", "scenario", "language", "source", "consent", "licence")


def data_card(
    name: str,
    examples: Sequence[Example],
    splits: Mapping[str, str],
    *,
    parent: str = "",
    changes: Mapping[str, int] | None = None,
    note: str = "",
) -> str:
    """The text. The same version has the same card: it holds no dates."""
    found = statistics(examples, splits=dict(splits))
    lines = [f"# {name}", "", f"{found['examples']:,} examples. {note}".rstrip(), ""]
    if parent:
        told = ", ".join(f"{count:,} {what}" for what, count in (changes or {}).items() if count and what != "same")
        lines += [f"Grown from {parent}: {told or 'nothing changed'}.", ""]
    lines += ["| | value | examples |", "|---|---|---|"]
    for label in _SHOWN:
        counts = found.get(f"by_{label}", {})
        for value, count in sorted(counts.items(), key=lambda pair: -pair[1])[:12]:
            lines.append(f"| {label} | {value or 'not said'} | {count:,} |")
    words = found["reply_words"]
    lines += ["", f"Replies have {words['least']} to {words['most']} words, half of them {words['median']} or fewer.", ""]
    reviewed = sum(bool(e.metadata.get("review")) and "not yet" not in str(e.metadata["review"]) for e in examples)
    lines += [f"Reviewed by a named person: {reviewed:,} of {found['examples']:,}.", ""]
    authors = sorted({str(e.metadata["author"]) for e in examples if e.metadata.get("author")})
    if authors:
        lines += [f"Authors: {', '.join(authors[:20])}{' and others' if len(authors) > 20 else ''}.", ""]
    return "\n".join(lines)
