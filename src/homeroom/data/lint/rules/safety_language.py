"""Words that do not belong into a lesson: swearing and slurs, as whole words of lists with levels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from homeroom.data.lint.model import About, Hit, Options, Record, Rule, Severity, Text
from homeroom.data.lint.words import lines

_ENDINGS = ("", "s", "es", "ed", "er", "ers", "ing", "in", "in'", "y", "'s")
_LETTERS = str.maketrans({"1": "i", "!": "i", "3": "e", "0": "o", "$": "s", "5": "s", "@": "a", "4": "a", "7": "t"})
_MAYBE_DISGUISED = re.compile(r"[0134579!@$](?:(?<=[a-z].)[a-z!@$0134579]|(?<=[@$])[a-z$@])")
_THREE = tuple(letter * 3 for letter in "uiafskcteo")
_DISGUISED = re.compile(r"(?<![\w.*^$])(?=[A-Za-z]*[0134579!@$])[A-Za-z@$][A-Za-z0134579!@$]{2,11}(?![\w*^])")
_STRETCHED = re.compile(r"\b(?=\w*([a-z])\1\1)[a-z]{4,24}\b")
_RUN = re.compile(r"([a-z])\1{2,}")
# Masked by stars. Products such as "s*t" and powers such as "f**2" are mathematics, so a single star needs its neighbours.
_MASKED = re.compile(
    r"(?<![\w*])(?=[FSBACDMNfsbacdmn])(?:f[*#@!-]c?k(?:ing|ed|er)?(?<!f[*#@!-]k)|f[*#@]{2,3}(?:k|king|ked|ker|ing)|f[*]{3,}"
    r"|sh[*#@]t(?:ty)?|s[*#]{2}t(?:ty)?|b[*#@]tch"
    r"(?:es)?|b[*#]{2,3}ch|b[*]{4}|a[*#]{2}hole|a[*]{6}|bull ?s[*#h]{2}t|m[*]{4,}f\w*|c[*#]nt|d[*#]mn|n[*#@]gg(?:er|a)s?"
    r"|n[*]{4,5}r?s?)(?![\w*])",
    re.IGNORECASE,
)


Phrases = dict[str, list[tuple[str, re.Pattern[str], str]]]  # by their longest word: (phrase, pattern, level)


def _add_phrase(phrases: Phrases, term: str, level: str) -> None:
    key = max(re.findall(r"[a-z'-]+", term), key=len)
    phrases.setdefault(key, []).append((term, re.compile(rf"(?<!\w){re.escape(term)}(?!\w)"), level))


@cache
def _profanity() -> tuple[Mapping[str, str], Phrases]:
    """Word to level, and phrases."""
    words: dict[str, str] = {}
    phrases: Phrases = {}
    for line in lines("profanity"):
        level, _, term = line.partition(" ")
        if " " in term:
            _add_phrase(phrases, term, level)
        elif term.endswith("*"):
            words.update(dict.fromkeys((term[:-1] + ending for ending in _ENDINGS), level))
        else:
            words[term] = level
    return words, phrases


@cache
def _slurs() -> tuple[frozenset[str], Phrases]:
    words: set[str] = set()
    phrases: Phrases = {}
    for term in lines("slurs"):
        forms = (term[:-1], f"{term[:-1]}s", f"{term[:-1]}es") if term.endswith("*") else (term,)
        if " " in term:
            for form in forms:
                _add_phrase(phrases, form, "")
        else:
            words.update(forms)
            words.update(f"{form}'s" for form in forms)
    return frozenset(words), phrases


def _disguised(text: Text) -> Iterator[tuple[str, str]]:
    """(as written, as meant) of words with signs or digits for letters, or with letters drawn out."""
    if _MAYBE_DISGUISED.search(text.lower):
        for found in _DISGUISED.finditer(text.lower):
            yield found[0], found[0].translate(_LETTERS)
    if any(run in text.lower for run in _THREE):
        for found in _STRETCHED.finditer(text.lower):
            yield found[0], _RUN.sub(r"\1", found[0])


def _said(text: Text, phrases: Phrases) -> Iterator[tuple[str, str]]:
    for key in text.word_set & phrases.keys():
        for term, pattern, level in phrases[key]:
            if pattern.search(text.lower):
                yield term, level


def swearing(text: Text) -> Iterator[tuple[str, str]]:
    """(words as written, ``strong`` | ``mild``) of every swear word."""
    words, phrases = _profanity()
    for word in sorted(text.word_set & words.keys()):
        yield word, words[word]
    yield from ((term, level) for term, level in _said(text, phrases))
    for written, meant in _disguised(text):
        if words.get(meant) == "strong" and written not in words:
            yield written, "strong"
    if any(sign in text.content for sign in "*#@"):
        for found in _MASKED.finditer(text.content):
            yield found[0], "strong"


def slurs(text: Text) -> Iterator[str]:
    """Every slur, as written."""
    words, phrases = _slurs()
    yield from sorted(text.word_set & words)
    yield from (term for term, _ in _said(text, phrases))
    yield from (written for written, meant in _disguised(text) if meant in words and written not in words)


@dataclass(frozen=True, slots=True)
class Profanity:
    """Swear words: graver in what is to be learned than in a prompt, which may show how to answer them."""

    about: About

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each turn."""
        for index, (message, text) in enumerate(zip(record.example.messages, record.texts, strict=True)):
            found = dict(swearing(text))
            if found:
                strong = "strong" in found.values()
                learned = message.role == "assistant" and message.weight != 0
                severity: Severity = ("error" if strong else "warning") if learned else ("warning" if strong else "info")
                shown = ", ".join(f"'{word}'" for word in found)
                where = "The reply" if message.role == "assistant" else f"The {message.role} turn"
                yield Hit(
                    f"{where} (turn {index + 1}) swears: {shown}. {self.about.do}", quote=next(iter(found)), severity=severity
                )


@dataclass(frozen=True, slots=True)
class Slur:
    """Words that demean people. A quotation in a lesson on history or literature is for a person to decide."""

    about: About

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each turn."""
        quoting = str(record.metadata.get("subject", "")).lower() in (
            "history",
            "reading",
            "literature",
            "social studies",
            "english",
        )
        for index, text in enumerate(record.texts):
            found = list(dict.fromkeys(slurs(text)))
            if found:
                shown = ", ".join(f"'{word}'" for word in found)
                yield Hit(
                    f"Turn {index + 1} has a slur: {shown}. {self.about.do}",
                    quote=found[0],
                    severity="warning" if quoting else None,
                    needs_person=quoting,
                )


RULES: tuple[Rule, ...] = (
    Profanity(
        About(
            code="SAF010",
            name="profanity",
            family="safety",
            severity="error",
            what="Swear words, by level, also with signs for letters; graver in a reply than in a prompt. Whole words only.",
            why="A model repeats the words of its replies to children.",
            do="Say it without the word; in a prompt keep it only to show how a tutor answers it.",
            bad="What the hell, you forgot to carry the one. Try the tens again.",
            good="The ten that you carried has gone missing. Try the tens again.",
            guideline="Quality: Age-Appropriate",
        )
    ),
    Slur(
        About(
            code="SAF011",
            name="slur",
            family="safety",
            severity="error",
            what="A word whose only use for people is to demean them. In history and literature a person decides on quotations.",
            why="No learner should meet it from a tutor, and a model that has seen it in use may use it.",
            do="Take the word out; where a source is quoted, let a person decide and say so in the lesson.",
            bad="Don't be a retard, the denominator stays the same.",
            good="Look at the denominator again: should it change when you add fifths?",
            guideline="Educational: Cultural Sensitivity",
        )
    ),
)
