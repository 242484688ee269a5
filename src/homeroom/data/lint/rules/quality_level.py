"""The reader's age: how hard a reply reads, terms that come too early, topics that do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from homeroom.data.lint.model import About, Hit, Options, Record, Rule, Text
from homeroom.data.lint.rules.text_reading import reading_grade
from homeroom.data.lint.rules.text_turns import shown, tutor_replies
from homeroom.data.lint.words import lines
from homeroom.data.metadata import GRADE_BANDS, parse_grade

# The band's last grade read at its end, and how many grades above it are certain at so many words: short texts scatter.
_TOPS = {"K-2": 3, "3-5": 6, "6-8": 9, "9-12": 13}
_MARGINS = ((100, 3.0), (60, 4.0), (40, 5.0))


def grade_top(record: Record) -> int | None:
    """The last grade of the record's band, or its grade; None when neither is known."""
    band = record.metadata.get("grade_band")
    if isinstance(band, str) and band in GRADE_BANDS:
        return GRADE_BANDS[band][1]
    return parse_grade(record.metadata.get("grade"))


def _band(record: Record) -> str:
    band = record.metadata.get("grade_band")
    if isinstance(band, str) and band in _TOPS:
        return band
    grade = parse_grade(record.metadata.get("grade"))
    return next((name for name, (low, high) in GRADE_BANDS.items() if grade is not None and low <= grade <= high), "")


class ReadingLevel:
    """Replies that read several grades above their learners."""

    about = About(
        code="QUA005",
        name="reading-level",
        family="quality",
        severity="warning",
        what="A tutor's replies ask for a reading grade well above the record's grade band.",
        why="A learner who cannot read the reply learns nothing from it; a tuned model copies sentence length first of all.",
        do="Shorten the sentences and use everyday words. Simpler than the band is no fault.",
        bad="metadata: grade=2, grade_band=K-2\ntutor: Understanding the relationship between addition and subtraction "
        "necessitates recognising "
        "that these operations are fundamentally inverse procedures, and consequently any subtraction can be reconsidered as an "
        "addition whose missing component must be determined systematically, considering the quantities provided throughout the "
        "original mathematical situation carefully.",
        good="metadata: grade=2, grade_band=K-2\ntutor: Adding and taking away go together. You know 5 and 3 make 8. So 8 take "
        "away 3 is 5. "
        "Try it with your cubes. Make 8. Take 3 away. How many do you see?",
        guideline="Quality: Age-Appropriate",
    )

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each record: all replies together, or the hardest long one."""
        band = _band(record)
        if not record.is_tutor or not band or str(record.metadata.get("language") or "en")[:2].lower() != "en":
            return
        texts = [text for _, text in tutor_replies(record)]
        if sum(len(text.words) for text in texts) < _MARGINS[-1][0]:
            return
        pools = [texts] if len(texts) == 1 else [texts, *([text] for text in texts if len(text.words) >= 60)]
        extra = options.value("QUA005", "margin", 0.0)
        for pool in pools:
            words = [word for text in pool for word in text.words]
            margin = next((margin for least, margin in _MARGINS if len(words) >= least), None)
            grade = reading_grade(words, sum(map(_sentence_count, pool)))
            if margin is not None and grade > _TOPS[band] + margin + extra:
                longest = max((s for text in pool for s in text.sentences), key=len)
                level = f"about grade {grade:.0f}" if grade < 16 else "a level far above school"
                yield Hit(
                    f"{'The replies read' if len(pool) > 1 else 'A reply reads'} at {level} for learners of grade {band}. "
                    f"Shorten sentences such as {shown(longest)}",
                    quote=longest,
                )
                return


def _sentence_count(text: Text) -> int:
    return sum(any(character.isalpha() for character in sentence) for sentence in text.sentences)


# --- terms --------------------------------------------------------------------------------------------------------------
@cache
def _terms() -> dict[str, int]:
    """Term, in lower case, to the grade in which it is taught."""
    return {term.strip(): int(grade) for term, _, grade in (line.partition("|") for line in lines("terms"))}


@cache
def _single_terms() -> frozenset[str]:
    """Terms of one word, singular and plural."""
    single = {term for term in _terms() if " " not in term}
    return frozenset(single | {term + "s" for term in single})


@cache
def _long_terms() -> tuple[tuple[str, str], ...]:
    """Terms of several words, each with its longest word."""
    return tuple((term, max(term.split(), key=len)) for term in _terms() if " " in term)


def _terms_in(text: Text) -> list[str]:
    """The terms that a text uses, in no order."""
    found = {word if word in _terms() else word[:-1] for word in _single_terms() & text.word_set}
    for term, longest in _long_terms():
        if (longest in text.word_set or longest + "s" in text.word_set) and term in text.lower:
            found.add(term)
    return sorted(found)


class UndefinedTerm:
    """A technical term two grades or more too early, neither explained nor used by the learner."""

    about = About(
        code="QUA010",
        name="undefined-term",
        family="quality",
        severity="warning",
        what="A reply uses a technical term that is taught at least two grades later, and does not say what it means.",
        why="The learner stops at the word; a tuned model learns to speak over their heads.",
        do="Say what the term means in the same reply, or use everyday words.",
        bad="metadata: grade=3, grade_band=3-5\ntutor: Look at the coefficient before you go on.",
        good="metadata: grade=3, grade_band=3-5\ntutor: Look at the coefficient, which is the number in front of the letter, "
        "before you go on.",
        guideline="Quality: Clarity",
    )

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each record and term."""
        grade = parse_grade(record.metadata.get("grade"))
        if not record.is_tutor or grade is None:
            return
        early = options.value("QUA010", "grades", 2)
        told: set[str] = set()
        for index, text in tutor_replies(record):
            for term in _terms_in(text):
                if term in told or _terms()[term] - grade < early:
                    continue
                told.add(term)
                places = list(re.finditer(rf"\b{re.escape(term)}s?\b", text.lower))
                if not places or _known(record, index, term) or any(_explained(text.lower, m.start(), m.end()) for m in places):
                    continue
                yield Hit(
                    f"Turn {index + 1} uses '{term}', which is taught around grade {_terms()[term]}, in grade {grade} without "
                    f"saying what it "
                    "means. Explain it or use everyday words.",
                    quote=term,
                )


def _known(record: Record, index: int, term: str) -> bool:
    """The learner, the task or a passage has the word already."""
    before = (text.lower for text in record.texts[:index])
    passages = (passage.lower() for passage in record.example.context)
    topic = str(record.metadata.get("topic") or "").lower().replace("-", " ")
    return term in topic or any(term in text for text in (*before, *passages))


_GLOSS_AFTER = re.compile(
    r"s?['\"”’*]*(?:\s*[(,:–—-]|\s+(?:is|are|means?|tells?|shows?|says?|counts?|stands? for|refers? to|just|that)\b)"
)
_GLOSS_BEFORE = re.compile(
    r"(?:\b(?:called|named|call it|call this|call that|call them|known as|the word|the term|or|means?|say|a fancy word)\s*(?:an?"
    r"|the)?|[(\"'“‘*=])\s*$"
)


def _explained(text: str, start: int, end: int) -> bool:
    return (
        _GLOSS_BEFORE.search(text[max(start - 30, 0) : start]) is not None or _GLOSS_AFTER.match(text[end : end + 30]) is not None
    )


# --- topics -------------------------------------------------------------------------------------------------------------
@cache
def _topics() -> dict[str, tuple[int, str]]:
    """Term, in lower case, to the first grade for it and its topic."""
    parts = ([part.strip() for part in line.split("|")] for line in lines("topics"))
    return {term: (int(grade), topic) for term, grade, topic in parts}


@cache
def _topic_heads() -> frozenset[str]:
    return frozenset(term.split()[0] for term in _topics())


@cache
def _topic_pattern() -> re.Pattern[str]:
    joined = "|".join(re.escape(term).replace(r"\ ", r"\s+") for term in sorted(_topics(), key=len, reverse=True))
    return re.compile(rf"\b(?:{joined})\b")


class UnsuitableTopic:
    """Gambling, alcohol, drugs, sex and cruelty before the grade for them, in the task or in a reply."""

    about = About(
        code="QUA012",
        name="unsuitable-topic",
        family="quality",
        severity="warning",
        what="A task or reply speaks of gambling, alcohol, drugs, sex, weapons or cruelty to learners who are too young for it.",
        why="The tuned model brings such topics into conversations with children.",
        do="Choose another setting for the task. In a lesson on the topic it may be right: a person decides.",
        bad="metadata: grade=4, grade_band=3-5\nlearner: 3 beers cost $12. What does one cost?\ntutor: Share the $12 among the "
        "3.",
        good="metadata: grade=4, grade_band=3-5\nlearner: 3 pens cost $12. What does one cost?\ntutor: Share the $12 among the "
        "3.",
        guideline="Quality: Age-Appropriate",
    )

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each record; a refusal to speak of it (scenario unsafe or off-topic) is none."""
        top = grade_top(record)
        if top is None or record.metadata.get("scenario") in ("unsafe", "off-topic"):
            return
        for index, text in enumerate(record.texts):
            if _topic_heads().isdisjoint(text.word_set):
                continue
            for match in _topic_pattern().finditer(text.lower):
                first, topic = _topics()[" ".join(match.group().split())]
                if top < first:
                    yield Hit(
                        f"Turn {index + 1} speaks of {topic} ('{match.group()}') to learners of grade {top} or below. Choose "
                        f"another setting, "
                        "or have a person confirm that the lesson needs it.",
                        quote=match.group(),
                        needs_person=True,
                    )
                    return


RULES: tuple[Rule, ...] = (ReadingLevel(), UndefinedTerm(), UnsuitableTopic())
