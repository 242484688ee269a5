"""Drift: one file writes the same thing in two ways, and one of them is rare.

A `Choice` is a thing that is written in one of several forms. Each record tells which of them its replies use; the forms are
then counted over the file (tutor's and learner's records apart), and the rare ones are reported against the file's own majority.
Nothing says in advance which form is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from homeroom.data.lint.model import About, Hit, Options, Record, Text
from homeroom.data.lint.rules.text_turns import replies

Detector = Callable[[Text], str]  # the words that show the form; empty where the text has not got it
LEAST = 10  # records, before the absence of a form means something
LEAST_EITHER = 6  # records that have one of two forms that exclude each other


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write it. ``words`` names it in a message: "**bold** text"."""

    words: str
    find: Detector


@dataclass(frozen=True, slots=True)
class Choice:
    """Forms of which a file uses one.

    Attributes:
        forms: What is looked for.
        otherwise: What a record does that shows none of the forms ("plain text"); empty where such a record says nothing.
        share: The greatest share of records at which a form counts as rare.
        where: ``all`` replies of a record, the ``first`` or the ``last``.
        tutors: Whether only tutor's records are looked at.
        mixed: Whether a file that uses two forms often is told so, once.
    """

    forms: tuple[Form, ...]
    otherwise: str = ""
    share: float = 0.1
    where: str = "all"
    tutors: bool = False
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class DriftRule:
    """A corpus rule made of choices. A fact is (whether a tutor's, forms as bits, a few words found for each)."""

    about: About
    choices: tuple[Choice, ...]
    advice: str
    numeric: bool = False  # all choices are about numbers: replies without any are passed over

    def fact(self, record: Record, options: Options) -> tuple[int, int, tuple[str, ...]] | None:
        """Which forms the record's replies use, and a few words for each."""
        texts = [text for _, text in replies(record) if not self.numeric or text.figures]
        if not texts:
            return None
        bits, bit, quotes = 0, 1, []
        for choice in self.choices:
            chosen = texts if choice.where == "all" else texts[:1] if choice.where == "first" else texts[-1:]
            for form in choice.forms:
                if not choice.tutors or record.is_tutor:
                    found = next((quote for text in chosen if (quote := form.find(text))), "")
                    if found:
                        bits |= bit
                        quotes.append(found[:40])
                bit <<= 1
        return (int(record.is_tutor), bits, tuple(quotes))

    def judge(self, facts: Sequence[tuple[int, tuple[int, int, tuple[str, ...]]]], options: Options) -> Iterator[Hit]:
        """The records with a rare form, and choices that a file has not made."""
        for task in (1, 0):
            own = [(line, bits, quotes) for line, (kind, bits, quotes) in facts if kind == task]
            place = 0
            for choice in self.choices:
                if own and (task or not choice.tutors):
                    yield from self._judge_choice(choice, place, own, options)
                place += len(choice.forms)

    def _judge_choice(
        self, choice: Choice, place: int, own: Sequence[tuple[int, int, tuple[str, ...]]], options: Options
    ) -> Iterator[Hit]:
        masks = [1 << (place + number) for number in range(len(choice.forms))]
        every = sum(masks)
        counts = [sum(bool(bits & mask) for _, bits, _ in own) for mask in masks]
        without = sum(not bits & every for _, bits, _ in own) if choice.otherwise else 0
        total = len(own) if choice.otherwise else sum(bool(bits & every) for _, bits, _ in own)
        least = options.value(self.about.code, "least", LEAST if choice.otherwise else LEAST_EITHER)
        share = options.value(self.about.code, "share", choice.share)
        if total < least:
            return
        main, usual = max((*zip(counts, (form.words for form in choice.forms), strict=True), (without, choice.otherwise)))
        for mask, count, form in zip(masks, counts, choice.forms, strict=True):
            if 0 < count <= max(share * total, 1) and main > count:
                for line, bits, quotes in own:
                    if bits & mask:
                        quote = quotes[(bits & (mask - 1)).bit_count()]
                        yield self._hit(line, form.words, count, total, usual, quote)
            elif choice.mixed and 0 < count < main:
                lines = tuple(line for line, bits, _ in own if bits & mask)
                yield Hit(
                    f"{count} of {total} records use {form.words}, {main} use {usual}: choose one. {self.advice}",
                    lines=lines[:20],
                    severity="info",
                )
        if choice.otherwise and 0 < without <= max(share * total, 1):
            for line, bits, _ in own:
                if not bits & every:
                    yield self._hit(line, choice.otherwise, without, total, usual, "")

    def _hit(self, line: int, words: str, count: int, total: int, usual: str, quote: str) -> Hit:
        shown = f" ('{quote}')" if quote else ""
        return Hit(
            f"This record uses {words}{shown}; so do {count} of {total} here, and the others use {usual}. {self.advice}",
            line=line,
            quote=quote,
        )
