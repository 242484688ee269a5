"""Whether a text states an answer that its reader was to find."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

from homeroom.data.lint.model import Text
from homeroom.data.lint.rules.text_equations import equations
from homeroom.data.lint.rules.text_tokens import NUMBER_WORDS, tokens
from homeroom.data.lint.rules.text_turns import opens_as_question
from homeroom.data.lint.words import word_set

_LIGHT = word_set(
    """a an the it is its are was were be been being of to in on at by for from with and or but so that this these those they
    them he she his her their there then than as not no yes do does did has have had can could would will you your i we
    our if when which who what one into about more most also each other all any some very just only too"""
)
_WORD = re.compile(r"[^\W\d_]+")
_STATES = re.compile(
    r"(?:=|:|\b(?:is|are|be|was|get|gets|got|makes?|equals?|has|have|leaves?|gives?|costs?|needs?|total of|sum of|answer|earns?"
    r"|spent|spends?"
    r"|only|should|will|bought|sold|left|to))\W+(?:(?:about|exactly|only|just|be|a total of|the answer|actually|have|equal to"
    r"|in fact|really)\W+)*$",
    re.IGNORECASE,
)
_THE_ANSWER = re.compile(
    r"\b(?:the|correct|right|final|your) (?:answer|result|solution) (?:is|here is|would be|must be|should be|=)(?! not)\b",
    re.IGNORECASE,
)
_BY_VALUE = {value: word for word, value in NUMBER_WORDS.items()}
SMALL = 12  # a number up to this may stand for anything; a greater one that the prompt does not hold is hardly chance


def numbers_in(text: str) -> set[Fraction]:
    """All numbers of a text, digits and words."""
    return {token.value for token in tokens(text) if token.kind == "N"}


def content_words(text: str) -> set[str]:
    """Words that carry meaning, in lower case, without a plural s."""
    return {word.rstrip("s") for word in _WORD.findall(text.lower()) if word not in _LIGHT}


def answer_forms(reference: Mapping[str, Any]) -> list[str]:
    """The answer of a key and what is accepted in its place, as texts."""
    accepted = reference.get("accepted")
    forms = [reference.get("answer"), *(accepted if isinstance(accepted, list | tuple) else ())]
    return [str(form).strip() for form in forms if isinstance(form, str | int | float) and str(form).strip()]


def stated_answer(reply: Text, forms: list[str], prompt: str) -> str:
    """The sentence of a reply that states one of the answers and does not only repeat ``prompt``; empty when there is none."""
    for form in forms:
        values = _form_numbers(form)
        if len(values) == 1:
            value = next(iter(values))
            holding = [s for s in reply.sentences if _may_hold(s, value) and value in numbers_in(s)]
            found = _number_stated(holding, value, prompt) if holding else ""
        elif values:
            continue
        else:
            ideas = _form_words(form)
            held = bool(ideas) and all(idea in reply.lower for idea in ideas)
            holding = [sentence for sentence in reply.sentences if ideas <= content_words(sentence)] if held else []
            found = _words_stated(holding, ideas, prompt) if holding else ""
        if found:
            return found
    return ""


@lru_cache(maxsize=4096)
def _form_numbers(form: str) -> frozenset[Fraction]:
    return frozenset(numbers_in(form))


@lru_cache(maxsize=4096)
def _form_words(form: str) -> frozenset[str]:
    return frozenset(content_words(form))


def _may_hold(sentence: str, value: Fraction) -> bool:
    """Whether a sentence may hold the number: a cheap look at its digits and its word."""
    if value.denominator != 1:
        return True
    if str(value.numerator) in sentence or f"{value.numerator:,}" in sentence:
        return True
    return value <= 99 and _BY_VALUE.get(int(value) if value < 20 else int(value) // 10 * 10, "~") in sentence.lower()


def _number_stated(holding: list[str], value: Fraction, prompt: str) -> str:
    insisted = next((sentence for sentence, rest in _insisting(holding) if value in numbers_in(rest)), "")
    if insisted:
        return insisted
    return _works_out(holding, value, prompt) if value in numbers_in(prompt) else _states_number(holding, value)


def _words_stated(holding: list[str], ideas: frozenset[str], prompt: str) -> str:
    if ideas <= content_words(prompt):
        return next((sentence for sentence, rest in _insisting(holding) if ideas <= content_words(rest)), "")
    return next((sentence for sentence in holding if not _is_question(sentence)), "")


def _insisting(sentences: list[str]) -> Iterator[tuple[str, str]]:
    """Sentences that say "the answer is", with what follows: there the answer is given, whatever the prompt holds."""
    for sentence in sentences:
        match = _THE_ANSWER.search(sentence)
        if match is not None and not opens_as_question(sentence):
            yield sentence, sentence[match.end() : match.end() + 60]


def _is_question(sentence: str) -> bool:
    return "?" in sentence[-3:]


def _works_out(sentences: list[str], value: Fraction, prompt: str) -> str:
    """The sentence with an equation that ends in ``value`` and is not the prompt's own."""
    for sentence in sentences:
        for equation in equations(sentence):
            if len(equation.numbers) > 2 and equation.numbers[-1] == value:
                own = {e.numbers for line in prompt.splitlines() for e in equations(line)}
                if equation.numbers not in own and not _is_question(sentence):
                    return sentence
    return ""


def _states_number(sentences: list[str], value: Fraction) -> str:
    for sentence in sentences:
        for token in tokens(sentence):
            if token.kind == "N" and token.value == value:
                strong = _STATES.search(sentence[: token.start]) is not None
                if strong and (not _is_question(sentence) or "=" in sentence):
                    return sentence
                if (value > SMALL or value.denominator > 1) and not _is_question(sentence):
                    return sentence
    return ""
