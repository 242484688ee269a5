"""What two records are compared by: the problem they pose, the same with its numbers and names taken out, and fingerprints.

A sketch is the bottom of a set of hashes (Cohen and Kaplan 2007, "bottom-k"): two sketches give an estimate of how much two
texts share (Jaccard, over runs of three words) that is off by about 0.07 at k = 48. A passage's fingerprints are chosen by
winnowing (Schleimer, Wilkerson and Aiken 2003), which finds every shared run of `RUN` + `WINDOW` - 1 words.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterator, Sequence
from zlib import crc32

from homeroom.data.lint.model import Record
from homeroom.data.lint.words import word_set

SKETCH = 48
RUN = 13
WINDOW = 4
_BASE = 1_000_003  # of the rolling hash (Karp and Rabin 1987)
_DROP = pow(_BASE, RUN, 1 << 32)
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+(?:[.,/]\d+)*|[+*/=<>×÷^%-]")
_WORK = re.compile(
    r"\s(?:(?:this is )?(?:my|the student['’]s|their) (?:own )?(?:solution|answer|work|attempt|try|thinking)|i (?:got|wrote"
    r"|think|said|put|chose|did))\b.*",
    re.IGNORECASE | re.DOTALL,
)
_TASK = re.compile(r"\b(?:The task|Problem|Question):\s*(.+?)\s*(?:Your mistake:|Your answer:|$)", re.DOTALL)
_DEMONSTRATION = re.compile(
    r"(?im)^[ \t>*#-]*(?:\*\*)?(?:Q|Question|Problem|User|Student|Learner|Pupil|Input"
    r"|Task)(?: ?\d+)?(?:\*\*)? ?[:.)](?:\*\*)?[ \t]*(\S.{8,600})$"
)
_NUMBER_WORDS = word_set(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
    " twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million half third quarter twice double triple dozen"
)
_PRONOUNS = word_set("he she him his her hers himself herself they them their theirs themselves")
_NO_NAMES = word_set("i i'm i’m i'll i've i'd")


def tokens(text: str) -> list[str]:
    """Words, numbers and signs, in lower case."""
    return [token.replace(",", "") for token in _TOKEN.findall(text.lower())]


def problem(record: Record) -> str:
    """What a record asks: the task of a learner's persona, or the learner's first question without their own work."""
    messages = record.example.messages
    if not record.is_tutor and messages and messages[0].role == "system":
        found = _TASK.search(messages[0].content)
        return found[1] if found else messages[0].content
    asked = _asked(record)
    opening = next(asked, "")
    if len(tokens(opening)) < 5:  # a greeting: the question comes after it
        opening = f"{opening} {next(asked, '')}".strip()
    cut = _WORK.sub("", opening)
    return cut if len(tokens(cut)) >= 8 else opening


def _asked(record: Record) -> Iterator[str]:
    """User turns, without those that only lead to an answer that is not learned: demonstrations."""
    messages = record.example.messages
    for index, message in enumerate(messages):
        follows = messages[index + 1] if index + 1 < len(messages) else None
        if message.role == "user" and not (follows is not None and follows.weight == 0):
            yield message.content


def demonstrations(record: Record) -> Iterator[str]:
    """The questions that a record's prompt shows with their answers."""
    messages = record.example.messages
    for index, message in enumerate(messages):
        follows = messages[index + 1] if index + 1 < len(messages) else None
        if message.role == "user" and follows is not None and follows.weight == 0:
            yield message.content
    shown = [message.content for message in messages if message.role == "system"]
    first = next((message.content for message in messages if message.role == "user"), "")
    for text in (*shown, first if len(_DEMONSTRATION.findall(first)) > 1 else ""):
        for found in _DEMONSTRATION.finditer(text):
            if record.is_tutor:
                yield _WORK.sub("", found[1])


def template(text: str) -> list[str]:
    """`tokens` with ``#`` for numbers, ``@`` for names and one pronoun for all: what a problem with other numbers shares."""
    names = _names(text)
    found = []
    for token in tokens(text):
        if token[0].isdigit() or token in _NUMBER_WORDS:
            found.append("#")
        elif token in names or token.removesuffix("'s").removesuffix("’s") in names:
            found.append("@")
        else:
            found.append("they" if token in _PRONOUNS else token)
    return found


def _names(text: str) -> set[str]:
    """Words with a capital inside a sentence."""
    names = set()
    for found in re.finditer(r"(?<=[\w,;)] )[A-Z][^\W\d_]+", text):
        word = found[0].lower()
        if word not in _NO_NAMES:
            names.add(word)
    return names


def key(parts: Sequence[str]) -> int:
    """64 bits that stand for ``parts``, the same in every process."""
    return int.from_bytes(hashlib.blake2b(" ".join(parts).encode(), digest_size=8).digest(), "big")


def _mixed(text: str) -> int:
    return (crc32(text.encode()) * 2654435761 + 0x9E3779B9) & 0xFFFFFFFF


def sketch(parts: Sequence[str]) -> bytes:
    """The `SKETCH` smallest hashes of all runs of three parts, in order, four bytes each."""
    hashes = {_mixed(" ".join(run)) for run in zip(parts, parts[1:], parts[2:], strict=False)}
    return array("I", sorted(hashes)[:SKETCH]).tobytes()


def hashes_of(packed: bytes) -> array[int]:
    """The hashes of a sketch or of fingerprints."""
    found = array("I")
    found.frombytes(packed)
    return found


def similarity(a: Sequence[int], b: Sequence[int]) -> float:
    """Estimated Jaccard similarity of the texts behind two sketches."""
    left, right = set(a), set(b)
    smallest = sorted(left | right)[: min(SKETCH, max(len(a), len(b)))] if len(a) >= SKETCH or len(b) >= SKETCH else left | right
    return sum(h in left and h in right for h in smallest) / len(smallest) if smallest else 0.0


def fingerprints(words: Sequence[str]) -> bytes:
    """Winnowed hashes of all runs of `RUN` words, four bytes each: a longer shared run gives at least one."""
    if len(words) < RUN:
        return b""
    hashes, rolled = [], 0
    values = [crc32(word.encode()) for word in words]
    for at, value in enumerate(values):
        rolled = (rolled * _BASE + value - (values[at - RUN] * _DROP if at >= RUN else 0)) & 0xFFFFFFFF
        hashes.append((rolled * 2654435761) & 0xFFFFFFFF)
    runs = hashes[RUN - 1 :]
    chosen = set(map(min, *(runs[shift:] for shift in range(WINDOW)))) or {min(runs)}
    return array("I", sorted(chosen)).tobytes()
