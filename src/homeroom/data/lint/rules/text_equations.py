"""Equations as people write them, each worked out exactly: ``3 × 4 = 12``, ``20% of 50 is 10``, ``7 + 5 = 12 - 2 = 10``.

Whatever is not certainly arithmetic is left alone: unknowns, blanks, ratios, dates, mixed units, "3 of 5", "tens". Where a
notation is ambiguous (a percent sign, ``24 ÷ 6/2``, a rounded result) an equation is wrong only if no reading makes it right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from homeroom.data.lint.rules.text_sides import Side, Unreadable, chain, may_start
from homeroom.data.lint.rules.text_tokens import Token, cleaned, tokens
from homeroom.data.lint.rules.text_units import unit_of

_LIKELY = re.compile(
    r"(?:[+×÷*·/]|\d\s*[-−–x]\s*\d|\b(?:plus|minus|times|divided by|multiplied by|take away|of)\b)[^=\n]{1,60}?"
    r"\b(?:is|are|equals?|makes?|gives|leaves|comes to)\b",
    re.IGNORECASE,
)
_ROUNDED = re.compile(
    r"≈|~|\b(?:round|about|approx|rough|near|whole|remain|left ?over|estimat|around|almost|close)", re.IGNORECASE
)
_MODES = (("ratio", True), ("strip", True), ("relative", True), ("ratio", False))
MAX_TOKENS = 400


@dataclass(frozen=True, slots=True)
class Equation:
    """An equation that was found in a sentence.

    Attributes:
        quote: As it is written.
        fault: What is wrong, in words; empty when it holds.
        run_on: The equals sign strings steps together (3 + 4 = 7 + 2 = 9): each step is right, the whole is not.
        numbers: Its numbers in order, to recognise it elsewhere.
        start: Where it begins in the cleaned sentence, and where it ends.
    """

    quote: str
    fault: str
    run_on: bool
    numbers: tuple[Fraction, ...]
    start: int
    end: int


def equations(sentence: str) -> list[Equation]:
    """All equations of a sentence that can be worked out, right and wrong."""
    if "=" not in sentence and not _LIKELY.search(sentence):
        return []
    text = cleaned(sentence)
    found = tokens(text)[:MAX_TOKENS]
    if not any(token.kind == "=" for token in found):
        return []
    results: list[Equation] = []
    index = 0
    while index < len(found):
        if may_start(found, index):
            try:
                sides = chain(found, index, *_MODES[0])
            except Unreadable:
                sides = []
            if len(sides) > 1:
                equation = _judged(found, index, sides, text)
                if equation is not None:
                    results.append(equation)
                # The last side may begin the next equation only if it is one that goes on; it was read to its end.
                index = sides[-1].after
                continue
            if sides:
                index = sides[0].after
                continue
        index += 1
    return results


def _judged(found: Sequence[Token], index: int, sides: list[Side], text: str) -> Equation | None:
    """The equation, with its fault; None for what only looks like one (``1 foot = 12 inches``, ``1/2 = 6 cookies``)."""
    last = sides[-1].after
    quote = text[found[index].start : found[last - 1].end].strip()
    numbers = tuple(token.value for token in found[index:last] if token.kind == "N")
    span = found[index].start, found[last - 1].end
    wrong = _first_wrong(sides, text)
    if wrong is None:
        return Equation(quote, "", False, numbers, *span)
    pair = sides[wrong], sides[wrong + 1]
    if not _certain(pair, sides) or _remainder_holds(found, pair):
        return None
    for mode in _MODES[1:]:
        try:
            again = chain(found, index, *mode)
        except Unreadable:
            return None
        if len(again) != len(sides) or _first_wrong(again, text) is None:
            return None if len(again) != len(sides) else Equation(quote, "", False, numbers, *span)
    left, right = (_shown(found, text, side) for side in pair)
    fault = " and ".join(
        f"{words} is {_plain(side.value)}" for words, side in ((left, pair[0]), (right, pair[1])) if side.operators
    )
    run_on = wrong + 2 < len(sides) and _first_wrong(sides[wrong + 1 :], text) is None and pair[0].value == pair[1].start_value
    return Equation(quote, fault or f"{left} is not {right}", run_on, numbers, *span)


def _shown(found: Sequence[Token], text: str, side: Side) -> str:
    return text[found[side.first].start : found[side.after - 1].end].strip()


def _plain(value: Fraction) -> str:
    """A value as people write it: whole, as a short decimal, or as a fraction."""
    if value.denominator == 1:
        return f"{value.numerator:,}" if abs(value.numerator) >= 10_000 else str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest == 1 and value.denominator <= 10_000:
        return f"{float(value):.10g}"
    return f"{value.numerator}/{value.denominator}" if value.denominator <= 1000 else f"about {float(value):.4g}"


def _first_wrong(sides: Sequence[Side], text: str) -> int | None:
    for place, (left, right) in enumerate(pairwise(sides)):
        if not _same(left, right, text) and not _same(right, left, text):
            return place
    return None


def _same(left: Side, right: Side, text: str) -> bool:
    """Whether ``right`` is ``left``, exactly or rounded as it is written."""
    gap = abs(left.value - right.value)
    if gap == 0:
        return True
    if right.operators:
        return False
    exact = left.decimals <= right.decimals and not left.divisions and not left.fractions and not left.percents
    if right.decimals and not exact and gap < Fraction(1, 10**right.decimals):
        return True
    if (
        right.percents
        and gap < Fraction(1, 100 * 10**right.decimals)
        and left.value.denominator not in (1, 2, 4, 5, 10, 20, 25, 50, 100)
    ):
        return True
    if not right.decimals and not right.fractions and left.value.denominator != 1:
        if (left.divisions or (left.fractions and left.value > 5)) and gap < 1:
            return True  # a quotient cut to whole ones
        if left.decimals and left.value and gap / abs(left.value) < Fraction(1, 200):
            return True  # 33.3 + 33.3 + 33.3 = 100
    return bool(_ROUNDED.search(text)) and gap * 5 <= abs(left.value)


def _certain(pair: tuple[Side, Side], sides: Sequence[Side]) -> bool:
    """Whether a mismatch can only be a mistake."""
    left, right = pair
    if right.groups and right.operators == right.groups and left.value == right.start_value:
        return False
    measures = {u.name: u for side in sides for name in side.units if (u := unit_of(name)) is not None}
    dimensions = [unit.dimension for unit in measures.values()]
    if len(set(dimensions)) != len(dimensions) or {"time", "month"} <= set(dimensions):
        return False  # metres and centimetres in one equation
    if any(side.additive and side.bare and any(len(name) == 1 for name in side.units) for side in sides):
        return False  # 5m + 3 = 18
    if not left.operators and not right.operators:
        if left.units | right.units or not (left.fractions or left.percents):
            return False  # 1 box = 12 pencils
        return not (left.value < 1 <= right.value) and not (right.value < 1 <= left.value)
    if left.numbers == 1 and left.fractions and not right.operators:
        return False
    # "6 = 3 more": one bare number against a sum is how a fact family starts, and is still an equation.
    return not (left.percents and right.percents and left.value * 100 == right.value)


def _remainder_holds(found: Sequence[Token], pair: tuple[Side, Side]) -> bool:
    left, right = pair
    after = found[right.after].text.lower() if right.after < len(found) else ""
    return left.divisions == 1 and left.numbers == 2 and after in ("r", "remainder", "rem", "with", "and")
