"""Names of the class list: a full name anywhere, a first name only where it is somebody here and not somebody in a story."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from homeroom.data.lint.model import Options, Text

_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_GREETING = re.compile(
    r"\b(?:hi|hello|hey|dear|thanks|thank you|bye|welcome|name is|name's|you are|you're|you’re|i am|i'm|i’m|called"
    r"|my (?:\w+ )?(?:friend|brother|sister"
    r"|classmate|partner|son|daughter)(?: is)?|our classmate|well done|good job|great job|nice work|good work|great work),? ?$",
    re.IGNORECASE,
)
_SPOKEN_AFTER = re.compile(r"\s*(?:[,:!]|[-–—] |\?|\.(?:\s|$)|$)")
_IN_CLASS = re.compile(
    r" (?:in|from) (?:my|our|the|your) (?:\w+ )?(?:class|group|grade|table|team|school)\b| (?:sits|sat) (?:next to|beside"
    r"|behind)",
    re.IGNORECASE,
)
_INITIAL = re.compile(r" [A-Z]\.(?!\w)")


@lru_cache(maxsize=8)
def _index(roster: frozenset[str]) -> tuple[dict[str, tuple[str, ...]], re.Pattern[str] | None]:
    """First name to the last names it stands with, and one pattern for all full names."""
    first: dict[str, list[str]] = {}
    full = []
    for name in sorted(roster):
        parts = _TOKEN.findall(name.lower())
        if parts:
            first.setdefault(parts[0], []).append(parts[-1] if len(parts) > 1 else "")
        if len(parts) > 1:
            full += [r"[\s.]+".join(map(re.escape, parts)), rf"{re.escape(parts[-1])}, {re.escape(parts[0])}"]
            if len(parts) > 2:
                full.append(rf"{re.escape(parts[0])}\s+{re.escape(parts[-1])}")
    pattern = (
        re.compile(rf"(?<!\w)(?:{'|'.join(sorted(full, key=len, reverse=True))})(?:['’]s)?(?!\w)", re.IGNORECASE)
        if full
        else None
    )
    return {name: tuple(lasts) for name, lasts in first.items()}, pattern


def names_in(turn: Text, options: Options) -> Iterator[tuple[int, int]]:
    """Places of names of ``options.roster``."""
    if not options.roster:
        return
    first, full = _index(options.roster)
    if turn.word_set.isdisjoint(first) and not any(
        f"{name}'s" in turn.word_set or f"{name}’s" in turn.word_set for name in first
    ):
        return
    text = turn.content
    tokens = [found for found in _TOKEN.finditer(text) if _bare(found[0]) in first]
    if full is not None:
        yield from ((m.start(), m.end() - (2 if m[0].endswith(("'s", "’s")) else 0)) for m in full.finditer(text))
    # Who is spoken to once in a turn is the same person in the rest of it: half a redaction is none.
    here = {_bare(m[0]) for m in tokens if m[0][0].isupper() and _is_somebody_here(text, m.start(), m.start() + len(_bare(m[0])))}
    for found in tokens:
        end = found.end() - (2 if found[0].endswith(("'s", "’s")) else 0)
        initial = _INITIAL.match(text, end)
        if initial and any(last.startswith(initial[0][1].lower()) for last in first[_bare(found[0])] if last):
            yield found.start(), initial.end()
        elif found[0][0].isupper() and (_bare(found[0]) in here or _is_somebody_here(text, found.start(), end)):
            yield found.start(), end


def _bare(word: str) -> str:
    return word.lower().removesuffix("'s").removesuffix("’s")


def _is_somebody_here(text: str, start: int, end: int) -> bool:
    """Spoken to, speaking, or introduced; "Maria has 5 apples" is none of these."""
    before = text[max(0, start - 32) : start]
    if _GREETING.search(before) or _IN_CLASS.match(text, end):
        return True
    rest = text[end : end + 2]
    if rest.startswith(":"):  # a speaker's label
        return not before.strip() or before.endswith("\n") or bool(re.search(r"[.!?]\s*$", before))
    # Between commas, or closing a clause after one: "Good, Maria.", "Maria, what is 3 x 5?". Lists of people have "and".
    if not _SPOKEN_AFTER.match(text, end):
        return False
    opens = not before.strip() or before.rstrip(" ").endswith((".", "!", "?", "\n", "…"))
    if opens and rest.startswith(","):
        after = text[end + 1 : end + 80].lstrip()
        return not after[:1].isupper() or after[:2] in ("I ", "I'", "I’")
    closes = before.rstrip().endswith(",") and not rest.startswith(",")
    return closes and not re.search(r"[A-Z][\w'’-]+,\s*$", before.rstrip())
