"""Reading text without a model: words, sentences, numbers in one canonical form, and runs copied from another text.

Everything is a pure function of its arguments; the slower ones keep their last results, because every measure asks for
the same texts. Numbers are compared as written values: ``1,260``, ``1260`` and ``$1260.00`` are equal, ``5/6`` and
``10/12`` are not (a learner who is asked to simplify has not been given the answer by the other).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:[.,:/]\d+)*%?", re.UNICODE)
_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]*]*\s+|\n+")
_NUMBER = re.compile(
    r"(?<![\w.,/:])(?:(?P<whole>\d+)\s+(?=\d+\s?/\s?\d))?"
    r"(?:(?P<top>\d+)\s?/\s?(?P<bottom>\d+)(?![\d/])|(?P<time>\d{1,2}:\d{2})(?!\d)"
    r"|(?P<digits>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?P<decimals>\.\d+)?|(?P<bare>\.\d+))"
)
_UNITS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: value for value, word in enumerate(_UNITS.split())}
_LARGE = {word: 10 * (index + 2) for index, word in enumerate(_TENS.split())}
_PARTS = {
    "halves": 2,
    "half": 2,
    "third": 3,
    "fourth": 4,
    "quarter": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
}
_PARTS |= {"tenth": 10, "twelfth": 12, "hundredth": 100}
_SPELLED = re.compile(
    rf"\b(?:(?P<top>{'|'.join(_SMALL)})[- ](?P<part>{'|'.join(_PARTS)})s?|(?P<tens>{'|'.join(_LARGE)})"
    rf"(?:[- ](?P<unit>{'|'.join(list(_SMALL)[1:10])}))?|(?P<small>{'|'.join(_SMALL)}))\b",
    re.IGNORECASE,
)

_FUNCTION_WORDS = """a about after again all also always am an and any are as at back be because been before being both but by can
cannot come could did do does doing done down each either else even ever every for from further gave get gets getting
give gives go goes going gone good got had has have having he her here hers him his how i if in into is it its itself
just keep kind know let like look looks made make makes making many may maybe me might mine more most much must my need
needs no nor not now of off ok okay on once one only or other our ours out over own please put really right said same
say says see she should show so some something still such sure take tell than that the their theirs them then there
these they thing things think this those though through to too try two under until up us use used using very want was
way we well were what when where which while who whom whose why will with without work would yes yet you your yours
yourself student teacher tutor oh um hmm hey hi hello thanks thank great nice don't doesn't didn't isn't aren't wasn't
can't couldn't won't wouldn't shouldn't haven't hasn't i'm i'll i've i'd you're you'll you've you'd it's that's there's
what's let's we're we'll
they're he's she's"""
STOPWORDS = frozenset(_FUNCTION_WORDS.split())


@lru_cache(maxsize=8192)
def words(text: str) -> tuple[str, ...]:
    """Lower-case words and numbers, in order; an apostrophe stays inside its word."""
    return tuple(_WORD.findall(text.lower().replace("’", "'")))


def sentences(text: str) -> list[str]:
    """The sentences of ``text``, split after ``. ! ?`` and at line ends; none is empty."""
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def _trim(digits: str) -> str:
    return digits.lstrip("0") or "0"


@lru_cache(maxsize=8192)
def number_spans(text: str) -> tuple[tuple[str, int, int], ...]:
    """Numbers with where they stand: ``(canonical, start, end)``, in order.

    ``two`` to ``ninety-nine`` and ``five sixths`` are read too; ``one`` alone is a pronoun too often to count.
    """
    found: list[tuple[str, int, int]] = []
    for match in _NUMBER.finditer(text):
        part = match.groupdict()
        if part["top"]:
            value = f"{_trim(part['top'])}/{_trim(part['bottom'])}"
            value = f"{_trim(part['whole'])} {value}" if part["whole"] else value
        elif part["time"]:
            value = part["time"]
        else:
            decimals = (part["decimals"] or part["bare"] or "").rstrip("0").rstrip(".")
            value = _trim((part["digits"] or "0").replace(",", "")) + decimals
        found.append((value, match.start(), match.end()))
    for match in _SPELLED.finditer(text):
        value = _spelled_value(match)
        if value:
            found.append((value, match.start(), match.end()))
    return tuple(sorted(found, key=lambda span: span[1]))


def _spelled_value(match: re.Match[str]) -> str:
    top, part, tens, unit, small = (
        group.lower() if group else "" for group in match.group("top", "part", "tens", "unit", "small")
    )
    if top:
        return f"{_SMALL[top]}/{_PARTS[part]}"
    if tens:
        return str(_LARGE[tens] + (_SMALL[unit] if unit else 0))
    return "" if small == "one" else str(_SMALL[small])


def numbers(text: str) -> list[str]:
    """The numbers of ``text`` in canonical form, in order."""
    return [value for value, _, _ in number_spans(text)]


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """A crude English stem: enough that ``apples`` meets ``apple`` and ``added`` meets ``adding``; never for display."""
    for ending, least in (("ingly", 4), ("ing", 3), ("edly", 4), ("ies", 3), ("ed", 3), ("es", 4), ("s", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
            word = word[: -len(ending)] + ("y" if ending == "ies" else "")
            break
    if len(word) > 4 and word.endswith("e"):
        word = word[:-1]
    if len(word) > 4 and word[-1] == word[-2]:
        word = word[:-1]
    return word


@lru_cache(maxsize=8192)
def content(text: str) -> tuple[str, ...]:
    """What a text is about: stems of words that are not function words, then canonical numbers, each in order."""
    kept = [stem(w) for w in words(text) if not w[0].isdigit() and w not in STOPWORDS and len(w) > 1]
    return (*(w for w in kept if w not in _SMALL and w not in _LARGE), *numbers(text))


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of ``n`` tokens, in order."""
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def copied_mask(tokens: Sequence[str], sources: Iterable[Sequence[str]], run: int = 4) -> list[bool]:
    """For each token whether it lies in a run of at least ``run`` tokens that one of ``sources`` holds word for word."""
    known = {gram for source in sources for gram in ngrams(source, run)}
    mask = [False] * len(tokens)
    for start, gram in enumerate(ngrams(tokens, run)):
        if gram in known:
            mask[start : start + run] = [True] * run
    return mask


def syllables(word: str) -> int:
    """Syllables of an English word by vowel groups; at least 1. About one in ten is off by one: pool before use."""
    letters = re.sub(r"[^a-z]", "", word.lower())
    count = len(re.findall(r"[aeiouy]+", letters))
    if letters.endswith("e") and not letters.endswith(("le", "ee", "ye")) and count > 1:
        count -= 1
    if letters.endswith("ed") and len(letters) > 4 and letters[-3] not in "td" and count > 1:
        count -= 1
    return max(count, 1)
