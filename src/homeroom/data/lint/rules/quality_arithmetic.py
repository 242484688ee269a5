"""Arithmetic that is wrong, and two replies to one question that do not agree."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from hashlib import blake2b
from typing import NamedTuple

from homeroom.data.lint.model import About, Hit, Options, Record, Rule, Text
from homeroom.data.lint.rules.text_equations import Equation, equations
from homeroom.data.lint.rules.text_turns import asks, doubted, in_quotes, replies, shown, tutor_replies
from homeroom.data.lint.words import word_set

_AFFIRMS = re.compile(
    r"^\W*(?:yes|correct|exactly|right|perfect|that(?:'s| is) (?:right|correct)|you(?:'re| are) right)\b", re.IGNORECASE
)
_HEDGES = re.compile(r"\b(?:but|not|almost|check|however|wait|again|close|though|try)\b|n['’]t\b", re.IGNORECASE)


class WrongArithmetic:
    """Equations in a tutor's reply, each worked out exactly."""

    about = About(
        code="QUA001",
        name="wrong-arithmetic",
        family="quality",
        severity="error",
        what="A tutor's reply states an equation that does not hold.",
        why="A model that is tuned on wrong sums states wrong sums, with the tutor's authority.",
        do="Correct the numbers. A learner's mistake that the tutor quotes belongs in quotation marks, or after 'you wrote'.",
        bad="learner: How many pencils are in 6 boxes of 12?\ntutor: Each box holds 12 pencils, so we need 6 × 12 = 74 pencils.",
        good="learner: How many pencils are in 6 boxes of 12?\ntutor: Each box holds 12 pencils, so we need 6 × 12 = 72 pencils.",
        guideline="Quality: Accuracy",
    )

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each wrong equation that the tutor states as true."""
        said: set[tuple[Fraction, ...]] | None = None
        for index, text in tutor_replies(record):
            for sentence, equation in _wrong(text):
                if in_quotes(text.content, equation.quote) or doubted(sentence) or asks(sentence):
                    continue
                if said is None:
                    said = {e.numbers for _, _, turn in record.turns("user") for s in turn.sentences for e in equations(s)}
                if equation.numbers in said and not _affirmed(text):
                    continue
                yield self._hit(index, equation)

    @staticmethod
    def _hit(index: int, equation: Equation) -> Hit:
        quote = shown(equation.quote)
        if equation.run_on:
            return Hit(
                f"Turn {index + 1}: {quote} strings steps together, but the sides of an equals sign are not the same: "
                f"{equation.fault}. Write one equation for each step.",
                quote=equation.quote,
                severity="warning",
            )
        return Hit(
            f"Turn {index + 1}: {quote} is wrong: {equation.fault}. Correct it; a learner's mistake belongs in quotation marks.",
            quote=equation.quote,
        )


_SIGN_WORDS = word_set("plus minus times divided multiplied take of")
_EQUAL_WORDS = word_set("is are equals equal makes make gives leaves comes")


def _wrong(text: Text) -> Iterator[tuple[str, Equation]]:
    worded = not _EQUAL_WORDS.isdisjoint(text.word_set)
    if "=" not in text.content and not (worded and (text.figures or not _SIGN_WORDS.isdisjoint(text.word_set))):
        return
    for sentence in text.sentences:
        if "=" in sentence or worded:
            for equation in equations(sentence):
                if equation.fault:
                    yield sentence, equation


def _affirmed(text: Text) -> bool:
    """The reply agrees with what the learner said and takes nothing back."""
    return _AFFIRMS.search(text.content) is not None and _HEDGES.search(text.content) is None


# --- contradictions -----------------------------------------------------------------------------------------------------
_ANSWER = re.compile(
    r"(?:\b(?:final |correct |right )?answer(?: here)? (?:is|=|would be|must be)|\banswer:|####|\\boxed\{|\bthe result is|\bso "
    r"it is"
    r"|\byou get|\bwe get)\s*:?\s*(?P<what>[^.!?\n;}]{1,40}(?:\.\d[^.!?\n;}]{0,20})?)",
    re.IGNORECASE,
)
_ANSWER_HINTS = word_set("answer result get so boxed")
_NUMBER = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d+(?:\.\d+)?(?:/\d+)?")
_POLAR = re.compile(r"^\W*(yes|no|true|false)\b[,.!]", re.IGNORECASE)
_TOKEN = re.compile(r"[^\W_]+")
_FIELD = "\x1f"
_LIGHT = word_set("a an the it is its it's that that's was were are be in on of to and so by for at this they he she answer")


class _Reply(NamedTuple):
    """What is remembered of a reply: a hash of its prompt, its final answer, yes or no, itself if short, and the key."""

    prompt: str
    answer: str
    polar: str
    short: str
    key: str


class Contradiction:
    """Replies to the same question whose final answers differ."""

    about = About(
        code="QUA004",
        name="replies-contradict",
        family="quality",
        severity="warning",
        what="Two records ask exactly the same, and their replies or answer keys do not agree.",
        why="A model cannot learn both; it learns to be unsure, and one of the two is wrong.",
        do="Find out which reply is right and correct or remove the other.",
        bad="learner: Which planet is the largest?\ntutor: The largest planet is Jupiter.\n---\n"
        "learner: Which planet is the largest?\ntutor: The largest planet is Saturn.",
        good="learner: Which planet is the largest?\ntutor: The largest planet is Jupiter.\n---\n"
        "learner: Which planet is the smallest?\ntutor: The smallest planet is Mercury.",
        guideline="Quality: Accuracy",
    )

    def fact(self, record: Record, options: Options) -> str | None:
        """The fields of a `_Reply` in one text; None for a learner's record."""
        if not record.is_tutor:
            return None
        index, reply = next(replies(record), (0, None))
        if reply is None:
            return None
        before = (*(f"{m.role}:{m.content}" for m in record.example.messages[:index]), *record.example.context)
        words = " ".join(_TOKEN.findall("\n".join(before).lower()))
        mark = blake2b(words.encode("utf-8", "replace"), digest_size=8).hexdigest()
        polar = _POLAR.search(reply.content)
        stated = " ".join(sentence for sentence in reply.sentences if not sentence.endswith("?"))
        short = stated if len(stated) <= 120 else ""
        key = str(record.example.reference.get("answer") or "")[:60].strip().lower()
        return _FIELD.join(
            (mark, _final(reply), polar[1].lower() if polar else "", *(t.replace(_FIELD, " ") for t in (short, key)))
        )

    def judge(self, facts: Sequence[tuple[int, str]], options: Options) -> Iterator[Hit]:
        """One hit for each record that disagrees with an earlier one."""
        twice: set[str] = set()
        seen: set[str] = set()
        for _, fact in facts:
            (twice if fact[:16] in seen else seen).add(fact[:16])
        groups: dict[str, list[tuple[int, _Reply]]] = defaultdict(list)
        for line, fact in facts:
            if fact[:16] in twice:
                groups[fact[:16]].append((line, _Reply(*fact.split(_FIELD))))
        for members in groups.values():
            for place, (line, reply) in enumerate(members):
                for other, earlier in members[:place][:20]:
                    conflict = _conflict(earlier, reply)
                    if conflict:
                        yield Hit(
                            f"The same prompt as line {other}, but {conflict}. Find out which is right and mend the other.",
                            line=line,
                            lines=(other,),
                            quote=reply.short or reply.answer or reply.key,
                        )
                        break


def _final(reply: Text) -> str:
    """The final answer that a reply names, in canonical form; empty when it names none."""
    hinted = not _ANSWER_HINTS.isdisjoint(reply.word_set) or "####" in reply.content
    found = [match["what"] for match in _ANSWER.finditer(reply.content)] if hinted else []
    if found:
        numbers = _NUMBER.findall(found[-1])
        return _canonical(numbers[-1]) if len(numbers) == 1 else ""
    last = reply.sentences[-1] if reply.sentences else ""
    results = equations(last) if "=" in last and not last.endswith("?") else []
    return str(results[-1].numbers[-1]) if results and results[-1].numbers else ""


def _canonical(number: str) -> str:
    try:
        return str(Fraction(number.replace(",", "")))
    except (ValueError, ZeroDivisionError):
        return ""


def _conflict(one: _Reply, two: _Reply) -> str:
    """What two replies to one prompt disagree about, in words; empty when nothing certain."""
    if one.answer and two.answer and one.answer != two.answer:
        return f"there the answer is {one.answer} and here {two.answer}"
    if one.polar and two.polar and {one.polar, two.polar} in ({"yes", "no"}, {"true", "false"}):
        return f"there the reply begins with {one.polar!r} and here with {two.polar!r}"
    if one.key and two.key and _numbers_differ(one.key, two.key):
        return f"there reference.answer is {one.key!r} and here {two.key!r}"
    if one.short and two.short and _swapped(one.short, two.short):
        return f"there the reply is {shown(one.short)} and here {shown(two.short)}"
    return ""


def _numbers_differ(one: str, two: str) -> bool:
    first, second = ([_canonical(n) for n in _NUMBER.findall(key)] for key in (one, two))
    return len(first) == len(second) == 1 and first != second


def _swapped(one: str, two: str) -> bool:
    """One short statement with another name or number in one place, or two answers of a word or two without a common one."""
    first, second = _TOKEN.findall(one), _TOKEN.findall(two)
    if len(first) == len(second) > 2:
        other = [(a, b) for a, b in zip(first[1:], second[1:], strict=True) if a.lower() != b.lower()]
        named = len(other) == 1 and all(word[0].isupper() or word[0].isdigit() for word in other[0])
        return named and first[0].lower() == second[0].lower()
    shared = _content(one) & _content(two)
    return not shared and all(len(words) <= 3 for words in (first, second)) and all(map(_content, (one, two)))


def _content(text: str) -> set[str]:
    return {word for word in _TOKEN.findall(text.lower()) if word not in _LIGHT}


RULES: tuple[Rule, ...] = (WrongArithmetic(), Contradiction())
