"""Terminology used two ways, found from the data: one term in several spellings, one idea under two names."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple
from zlib import crc32

from homeroom.data.lint.model import About, Hit, Options, Record, Rule, Text
from homeroom.data.lint.rules.text_turns import replies
from homeroom.data.lint.words import lines, word_set

_LIGHT = word_set(
    """a an the and or but so if then than as of in on at to for from by with into over under about out up down off not no is are
    was were be been am do does did has have had can could would should will may might must i you he she it we they me him
    her us them my your his its our their this that these those there here what which who whom whose when where why how
    all any both each every few more most other some such only own same too very just now again also back even still well
    once one two three four five six seven eight nine first second third next last let's i'm you're it's that's there's
    don't isn't doesn't didn't can't won't"""
)
_PREFIXES = word_set("non re pre co anti self semi multi mid ex un sub inter all well so much more most least half")
_PARTICLES = word_set(
    "up out off over in on down by to away back through around together apart along after one ones self free like"
)
_TOKEN = re.compile(r"[a-z]+(?:['’-][a-z]+)?|[^\sa-z*_'’“‘]")
_CLOSED_LETTERS = 8
MOST_PAIRS = 60


def _pairs(text: Text) -> set[str]:
    """Hyphenated words, long single words, and two neighbouring content words after which no further content word follows.

    The last condition leaves out "real world problem": before a noun English may hyphenate ("a real-world problem") what it
    writes open elsewhere.
    """
    found: set[str] = set()
    before = word = ""
    # One token behind: whether a word ends its phrase shows only at the next token.
    for token in (*_TOKEN.findall(text.lower), "."):
        if word and word not in _LIGHT and (not token[0].isalpha() or token in _LIGHT):
            if "-" in word:
                found.add(word)
            else:
                if len(word) >= _CLOSED_LETTERS:
                    found.add(word)
                if before and before not in _LIGHT and "-" not in before and len(word) > 2:
                    pair = f"{before} {word}"
                    if len(before) > 2 or _key(pair) in _known():
                        found.add(pair)
        before, word = word, token if token[0].isalpha() else ""
    return found


@cache
def _known() -> frozenset[str]:
    """Keys of the terms that schools write in several spellings."""
    return frozenset(_key(term) for term in lines("compounds"))


def _key(term: str) -> str:
    """The same for all spellings of a term: its words without plural s, joined."""
    return "".join(_singular(word) for word in re.split(r"[ -]", term))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


class TermSpelling:
    """One compound in two spellings: ten-frame, ten frame, tens frame."""

    about = About(
        code="CNS005",
        name="term-spelling",
        family="consistency",
        severity="warning",
        what="A term of two words is spelt in several ways in one file: ten-frame, ten frame, tens frame.",
        why="To a model and to a learner they are different terms.",
        do="Choose one spelling.",
        bad="repeat: 8\nlearner: How do I show {n}?\ntutor: Put {n} counters on the ten-frame.\n---\n"
        "learner: How do I show 9?\ntutor: Put 9 counters on the tens frame.",
        good="repeat: 8\nlearner: How do I show {n}?\ntutor: Put {n} counters on the ten-frame.",
        guideline="Consistency: Terminology",
    )

    def fact(self, record: Record, options: Options) -> str | None:
        """The candidates of all replies, joined."""
        found: set[str] = set()
        for _, text in replies(record):
            found |= _pairs(text)
        # What is certain to be a term comes first; of the rest a steady choice, so that two records keep the same pairs.
        ranked = sorted(found, key=lambda term: ("-" not in term and _key(term) not in _known(), crc32(term.encode())))
        return "|".join(ranked[:MOST_PAIRS]) or None

    def judge(self, facts: Sequence[tuple[int, str]], options: Options) -> Iterator[Hit]:
        """One hit for each record with a rare spelling of a term."""
        counts: Counter[str] = Counter()
        for _, fact in facts:
            counts.update(fact.split("|"))
        rare = _rare_spellings(counts, options.value("CNS005", "least", 3))
        if not rare:
            return
        for line, fact in facts:
            for term in fact.split("|"):
                if term in rare:
                    usual, often, seldom = rare[term]
                    yield Hit(
                        f"'{term}' stands here and in {seldom} record{'s' if seldom > 1 else ''}, '{usual}' in {often}. Choose "
                        f"one spelling.",
                        line=line,
                        quote=term,
                    )


def _rare_spellings(counts: Counter[str], least: int) -> dict[str, tuple[str, int, int]]:
    """Rare spelling to the usual one, and in how many records each stands."""
    groups: dict[str, list[str]] = defaultdict(list)
    keys = {_key(term) for term in counts if " " in term or "-" in term}
    for term in counts:
        key = _key(term)
        if key in keys:
            groups[key].append(term)
    rare: dict[str, tuple[str, int, int]] = {}
    for key, spellings in groups.items():
        forms: dict[str, int] = Counter()
        for term in spellings:
            forms[_form(term)] += counts[term]
        if len(forms) < 2:
            continue
        usual = max(forms, key=lambda form: (forms[form], form))
        if forms[usual] < least:
            continue
        for term in spellings:
            form = _form(term)
            if form != usual and _same_term(term, usual, key in _known()):
                shown = max((t for t in spellings if _form(t) == usual), key=lambda t: counts[t])
                rare[term] = (shown, forms[usual], forms[form])
    return rare


def _form(term: str) -> str:
    """A spelling without regard to a plural of the whole term: number lines is number line."""
    head, mark, last = term.rpartition("-" if "-" in term else " ")
    return f"{head}{mark}{_singular(last)}"


def _same_term(term: str, usual: str, known: bool) -> bool:
    """Whether two spellings of one key are one term; "left over" and "leftover", "set up" and "setup" are not."""
    if known:
        return True
    parts = [re.split(r"[ -]", form) for form in (term, usual)]
    if any(part[-1] in _PARTICLES or part[0] in _PREFIXES or part[0].endswith("ly") for part in parts):
        return False
    open_, closed = (any(len(part) == size for part in parts) for size in (2, 1))
    if open_ and closed:
        return True  # worksheet and work sheet
    # ten-frame and tens frame; without a hyphen in one of them the plural may be a verb: "apples cost".
    return "-" in term or "-" in usual


# --- one idea, two names ------------------------------------------------------------------------------------------------
class _Names(NamedTuple):
    """Two names of one idea, a pattern for each, and the words of which one occurs wherever a pattern matches."""

    everyday: str
    term: str
    patterns: tuple[re.Pattern[str], re.Pattern[str]]
    hints: frozenset[str]


@cache
def _synonyms() -> tuple[_Names, ...]:
    rows = []
    for line in lines("synonyms"):
        names, hints, first, second = (part.strip() for part in line.split(" : "))
        everyday, _, term = names.partition(" | ")
        rows.append(_Names(everyday, term, (re.compile(first), re.compile(second)), word_set(hints)))
    return tuple(rows)


@cache
def _all_hints() -> frozenset[str]:
    return frozenset().union(*(names.hints for names in _synonyms()))


class TwoNames:
    """One idea under an everyday name and its term, within a grade band."""

    about = About(
        code="CNS006",
        name="two-names",
        family="consistency",
        severity="info",
        what="A grade band's tutors call one thing by two names: times and multiply, take away and subtract, bottom number and "
        "denominator.",
        why="A tuned model switches between the names within a conversation, and the learner looks for two things.",
        do="Choose one name for each grade band, or introduce the term with its everyday name once.",
        bad="repeat: 24\nlearner: Is {n} right?\ntutor: Look at the denominator of part {n} first.\n---\n"
        "learner: Is 31 right?\ntutor: Look at the bottom number of part 31 first.",
        good="repeat: 24\nlearner: Is {n} right?\ntutor: Look at the denominator of part {n} first.",
        guideline="Consistency: Terminology",
    )

    def fact(self, record: Record, options: Options) -> tuple[str, int] | None:
        """Grade band and, as bits, the names that the tutor uses and the learner has not used before."""
        if not record.is_tutor:
            return None
        texts = [text for _, text in replies(record) if not _all_hints().isdisjoint(text.word_set)]
        bits = 0
        for place, names in enumerate(_synonyms()) if texts else ():
            own = [text.lower for text in texts if not names.hints.isdisjoint(text.word_set)]
            for side, pattern in enumerate(names.patterns) if own else ():
                if any(pattern.search(text) for text in own) and not any(
                    pattern.search(t.lower) for _, _, t in record.turns("user")
                ):
                    bits |= 1 << (2 * place + side)
        return (str(record.metadata.get("grade_band") or ""), bits) if bits else None

    def judge(self, facts: Sequence[tuple[int, tuple[str, int]]], options: Options) -> Iterator[Hit]:
        """One hit for each pair of names and grade band, with the lines of the rarer one."""
        least, share = options.value("CNS006", "least", 3), options.value("CNS006", "share", 1.0)
        for band in sorted({band for _, (band, _) in facts}):
            own = [(line, bits) for line, (kind, bits) in facts if kind == band]
            for place, (everyday, term, *_) in enumerate(_synonyms()):
                sides = [[line for line, bits in own if bits >> (2 * place + side) & 1] for side in (0, 1)]
                few, many = sorted(sides, key=len)
                if len(many) < least or not 0 < len(few) <= share * len(many):
                    continue
                names = (everyday, term) if few is sides[0] else (term, everyday)
                where = f" in grades {band}" if band else ""
                yield Hit(
                    f"'{names[0]}' stands in {len(few)} record{'s' if len(few) > 1 else ''}{where} and '{names[1]}' in "
                    f"{len(many)}: choose one, "
                    "or introduce the term once with its everyday name.",
                    lines=tuple(few[:20]),
                    quote=names[0],
                )


RULES: tuple[Rule, ...] = (TermSpelling(), TwoNames())
