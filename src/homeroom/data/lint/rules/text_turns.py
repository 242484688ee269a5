"""What rules ask of a record again and again: its replies to learn, and whether a sentence only quotes or asks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from homeroom.data.lint.model import Record, Text

_QUOTED = re.compile(r"“[^”]{1,300}”|\"[^\"]{1,300}\"|(?<!\w)'[^'\n]{1,300}?'(?!\w)|(?<!\w)‘[^’\n]{1,300}?’(?!\w)|«[^»]{1,300}»")
_DOUBTED = re.compile(
    r"\b(?:not|n[o']t|never|wrong|incorrect|mistake|error|false|untrue|instead of|rather than|whether|pretend|suppose|imagine"
    r"|claim"
    r"(?:s|ed)?|thinks?|thought|says?|said|believes?|your (?:answer|work|line|equation|calculation|step|sum|solution|number "
    r"sentence)"
    r"|you (?:wrote|write|put|got|get|did|used|started|calculated|worked|found|showed|typed|told|added|subtracted|multiplied"
    r"|divided"
    r"|took|have written|counted|mean|meant|seem)|(?:she|he|they|someone|a friend|another student|classmate) (?:wrote|got|did"
    r"|put))\b"
    r"|n['’]t\b|\?!",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"^\W*(?:(?:and|so|but|ok|okay|now|then|well|hmm)\W+)?(?:is|are|was|does|do|did|can|could|would|should|will|has|have|why|how"
    r"|which|what|where|true or false|check|if)\b",
    re.IGNORECASE,
)
_LATER_ASKS = re.compile(r"[,;:]\s*(?:then\s+)?(?:is|are|does|do|did|can|could|would|why|how|what|which)\b", re.IGNORECASE)


def replies(record: Record) -> Iterator[tuple[int, Text]]:
    """Index and text of each reply that will be learnt: assistant turns whose weight is not 0."""
    for index, message, text in record.turns("assistant"):
        if message.weight != 0:
            yield index, text


def tutor_replies(record: Record) -> Iterator[tuple[int, Text]]:
    """`replies` of a tutor; nothing in a learner's record, whose replies are a child's, mistakes included."""
    return replies(record) if record.is_tutor else iter(())


def shown(text: str, limit: int = 80) -> str:
    """``text`` for a message: on one line, in single quotes, cut at a word after ``limit`` characters."""
    flat = " ".join(text.split())
    if len(flat) > limit:
        flat = flat[:limit].rsplit(" ", 1)[0] + " …"
    return f"'{flat}'"


def in_quotes(content: str, words: str) -> bool:
    """Whether ``words`` stand within quotation marks in ``content``."""
    return any(words in match.group() for match in _QUOTED.finditer(content))


def unquoted(content: str) -> str:
    """``content`` with everything in quotation marks replaced by spaces of the same length."""
    return _QUOTED.sub(lambda match: " " * len(match.group()), content) if any(mark in content for mark in "\"'“‘«") else content


def doubted(sentence: str) -> bool:
    """Whether a sentence denies, supposes or reports what it holds: "you wrote", "is not", "suppose that"."""
    return _DOUBTED.search(sentence) is not None


def opens_as_question(sentence: str) -> bool:
    """Whether a sentence begins as a question does."""
    return _ASKS.search(sentence) is not None


def asks(sentence: str) -> bool:
    """Whether a sentence asks if what it holds is so: "Does 3 + 4 = 8?"; not "3 + 4 = 7, right?"."""
    if "?" not in sentence[-3:]:
        return False
    return _ASKS.search(sentence) is not None or _LATER_ASKS.search(sentence) is not None
