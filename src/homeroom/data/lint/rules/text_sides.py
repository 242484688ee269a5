"""Arithmetic read from tokens: where it may begin, its sides with their values, and where it must end.

Recursive descent over tokens. Whatever cannot be read with certainty raises `Unreadable`, and the sentence is left alone there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from homeroom.data.lint.rules.text_tokens import Token
from homeroom.data.lint.rules.text_units import LETTER_UNITS, unit_of
from homeroom.data.lint.words import word_set

_NOT_UNITS = word_set("""and so then or but which is are was were plus minus times left because since that this to from
    by with as at if when equals equal gives makes not now you we i he she it they in on for who what how why where of
    than into over also the""")
_GROUPS = word_set("group groups lot lots row rows set sets column columns jump jumps pile piles stack stacks")
# After or before these a number is part of something that is not calculated here.
_PLACES = word_set("""ten tens ones hundred hundreds thousand thousands million millions billion dozen half halves third
    thirds fourth fourths quarter quarters fifth fifths sixth sixths seventh sevenths eighth eighths ninth ninths tenth
    tenths hundredth hundredths twelfth twelfths thousandth thousandths more less fewer times of out point away k""")
_BEFORE = word_set("""of by times plus minus over than to from half twice double quarter third point hundred thousand
    negative root squared between pages page chapters chapter lines grades ages years verses add added adding subtract
    into if not versus vs per""")


class Unreadable(Exception):
    """What follows is no arithmetic."""


@dataclass(slots=True)
class Side:
    """One side of an equation: its value and how it was written."""

    value: Fraction
    first: int  # index of its first token, and of the one after its last
    after: int
    operators: int = 0
    divisions: int = 0
    percents: int = 0
    decimals: int = 0
    fractions: int = 0
    numbers: int = 1
    units: frozenset[str] = frozenset()
    groups: int = 0  # "4 sets of 12": a product, or only four of them
    bare: int = 0  # numbers without a unit
    additive: bool = False
    start_value: Fraction = Fraction(0)


def may_start(found: Sequence[Token], index: int) -> bool:
    """Whether an expression may begin at ``index``: what stands before must not belong to it."""
    token = found[index]
    unary = token.kind == "O" and token.text in "-−–" and _glued(found, index)
    if token.kind not in ("N", "(") and not unary:
        return False
    if index == 0:
        return True
    before = found[index - 1]
    if before.kind == "W":
        word = before.text.lower()
        measured = index > 1 and found[index - 2].kind == "N" and unit_of(word) is not None
        return not (word in _BEFORE or word in _PLACES or measured or (len(word) == 1 and word not in "ai"))
    if before.kind == "O":
        # "Great - 3 + 4 = 7": the dash ends a clause.
        return before.form in ("-", "–", "−") and index > 1 and found[index - 2].kind in ("W", "P") and not unary
    if before.kind == ")":
        # "1) 3 + 4 = 7": a number and a bracket that nothing opened count something.
        numbered = index > 1 and found[index - 2].kind == "N" and found[index - 2].end == before.start < token.start - 1
        return numbered and (index == 2 or found[index - 3].kind in ("P", "W"))
    if before.kind == "(":
        return index < 2 or (found[index - 2].kind not in ("N", "V", "O") and not _letter(found[index - 2]))
    return (before.kind in ("P", "=") and before.text not in (":", "≈", "≠", "#", "@")) or before.text == ":"


def _letter(token: Token) -> bool:
    return token.kind == "W" and len(token.text) == 1 and token.text not in "aAI"


def _glued(found: Sequence[Token], index: int) -> bool:
    """A sign that belongs to the number after it: space before, none behind."""
    if index + 1 >= len(found) or found[index + 1].kind != "N" or found[index + 1].start != found[index].end:
        return False
    return index == 0 or found[index - 1].end < found[index].start or found[index - 1].kind in ("(", "=")


def chain(found: Sequence[Token], index: int, percent: str, tight: bool) -> list[Side]:
    """Sides joined by equalities, from ``index`` on; one side only when no equality follows it."""
    reader = _Reader(found, percent, tight)
    sides = [reader.side(index)]
    while True:
        at = sides[-1].after
        if at >= len(found) or found[at].kind != "=":
            break
        worded = found[at].form == "w"
        if worded and (len(sides) > 1 or not sides[0].operators):
            break
        if at + 1 >= len(found) or (found[at + 1].kind not in ("N", "(") and not _glued(found, at + 1)):
            if worded or (at + 1 < len(found) and found[at + 1].kind == "W" and len(found[at + 1].text) > 1):
                break  # "is right", "= correct"
            raise Unreadable
        sides.append(reader.side(at + 1))
    if len(sides) > 1:
        _check_end(found, sides[-1].after)
    return sides


def _check_end(found: Sequence[Token], at: int) -> None:
    """What follows the last side must not belong to it."""
    if at >= len(found):
        return
    token = found[at]
    follows = token.text.lower()
    if token.kind == "O":
        spaced = at + 1 < len(found) and found[at + 1].kind in ("W", "P") and not _letter(found[at + 1])
        if not (spaced and token.form in ("-", "–", "−")):
            raise Unreadable
    elif token.kind in ("V", "(", "N", "^") and token.text != "?":
        if token.kind == "(" and found[at - 1].end < token.start:
            return
        raise Unreadable
    elif (token.kind == "W" and (follows in _PLACES or _letter(token))) or (
        token.kind == "W" and follows == "and" and at + 1 < len(found) and "/" in found[at + 1].form
    ):
        raise Unreadable


class _Reader:
    """Recursive descent over tokens: sums of products of powers of numbers, brackets and their units."""

    def __init__(self, found: Sequence[Token], percent: str, tight: bool) -> None:
        self._t, self._percent, self._tight = found, percent, tight
        self._at = 0

    def side(self, index: int) -> Side:
        """The side that begins at ``index``."""
        self._at = index
        self._seen = Side(Fraction(0), index, index, numbers=0)
        value = self._sum()
        seen = self._seen
        seen.value, seen.after = value, self._at
        return seen

    def _peek(self, ahead: int = 0) -> Token | None:
        return self._t[self._at + ahead] if self._at + ahead < len(self._t) else None

    def _sum(self) -> Fraction:
        value = self._product()
        while (sign := self._operator("+-")) is not None:
            self._seen.additive = True
            right = self._product()
            if self._percent == "relative" and self._last_percent:
                right *= value
            value = value + right if sign == "+" else value - right
        return value

    def _product(self) -> Fraction:
        value = self._power()
        while (sign := self._operator("*/")) is not None:
            right = self._power()
            if sign == "*":
                value *= right
            else:
                self._seen.divisions += 1
                if right == 0:
                    raise Unreadable
                value /= right
        return value

    def _operator(self, wanted: str) -> str | None:
        """The operator that stands here, taken if a number can follow it; raises where something unknown does."""
        token = self._peek()
        if token is None:
            return None
        sign = token.text if token.kind == "O" else None
        if (token.form == "x" and token.kind == "W") or (token.text.lower() == "of" and self._takes_of()):
            sign = "*"
        elif token.kind == "(" and "*" in wanted and self._t[self._at - 1].end == token.start:
            self._seen.operators += 1
            return "*"  # 3(4 + 2)
        if sign is None or sign not in wanted:
            return None
        after = self._peek(1)
        if after is not None and (after.kind in ("N", "(") or (after.kind == "O" and _glued(self._t, self._at + 1))):
            self._at += 1
            self._seen.operators += 1
            return sign
        # "= 7 - well done": a dash, not a minus. Anything else is arithmetic that cannot be read.
        if sign == "-" and token.form != "w" and (after is None or (after.kind in ("W", "P") and not _letter(after))):
            return None
        raise Unreadable

    def _takes_of(self) -> bool:
        before, group = self._t[self._at - 1], self._t[self._at - 2] if self._at > 1 else None
        if before.text == "%" or (before.kind == "N" and ("/" in before.form or before.top)):
            return True
        if before.text.lower() in _GROUPS and group is not None and group.kind == "N":
            self._seen.groups += 1
            return True
        raise Unreadable

    def _power(self) -> Fraction:
        value = self._primary()
        token = self._peek()
        if token is not None and (token.kind == "^" or (token.kind == "O" and token.text == "^")):
            if token.kind == "^":
                exponent = Fraction(token.text)
                self._at += 1
            else:
                self._at += 1
                exponent = self._primary()
            if exponent.denominator != 1 or not 0 <= exponent <= 12 or abs(value) > 10**6:
                raise Unreadable
            self._seen.operators += 1
            value = value ** int(exponent)
        return value

    def _primary(self) -> Fraction:
        token = self._peek()
        if token is None:
            raise Unreadable
        self._last_percent = False
        if token.kind == "O" and token.text == "-" and _glued(self._t, self._at):
            self._at += 1
            return -self._primary()
        if token.kind == "(":
            self._at += 1
            value = self._sum()
            closing = self._peek()
            if closing is None or closing.kind != ")":
                raise Unreadable
            self._at += 1
            return value
        if token.kind != "N":
            raise Unreadable
        self._at += 1
        return self._number(token)

    def _number(self, token: Token) -> Fraction:
        seen, value = self._seen, token.value
        seen.numbers += 1
        seen.decimals = max(seen.decimals, token.decimals)
        seen.fractions += bool(token.bottom)
        if seen.numbers == 1:
            seen.start_value = value
        after = self._peek()
        if (after is not None and after.text == "%") or (after is not None and after.text.lower() == "percent"):
            self._at += 1
            seen.percents += 1
            self._last_percent = True
            return value / 100 if self._percent != "strip" else value
        self._skip_rate()
        unit = self._unit(token)
        if unit:
            seen.units |= {unit}
        elif "$" in token.form:
            seen.units |= {"dollar"}
        else:
            seen.bare += 1
        if token.bottom and not self._tight:
            return self._loose(token)
        return value

    def _skip_rate(self) -> None:
        """``/hour``, ``/cm³`` after a number or its unit."""
        slash, per = self._peek(), self._peek(1)
        glued = slash is not None and per is not None and slash.end == per.start
        if glued and slash is not None and per is not None and slash.text == "/" and per.kind == "W" and per.form != "x":
            self._at += 2

    def _loose(self, token: Token) -> Fraction:
        """24 ÷ 6/2 read from left to right: the caller divides by 6, and what is left here is 6 · 2."""
        before = self._t[self._at - 2] if self._at > 1 else None
        whole = token.bottom and token.top % token.bottom == 0
        if whole and before is not None and before.kind == "O" and before.text == "/":
            return Fraction(token.top * token.bottom)
        return token.value

    def _unit(self, number: Token) -> str:
        """The words after a number, taken where an operator or equality follows them; the measure's name or the noun."""
        words: list[str] = []
        ahead = 0
        while (token := self._peek(ahead)) is not None and token.kind == "W" and token.form != "x" and ahead < 5:
            word = token.text.lower()
            if word == "of":
                if not words:
                    break
                after = self._peek(ahead + 1)
                if after is not None and after.kind == "N":
                    if words[-1] in _GROUPS:
                        break
                    raise Unreadable  # 3 bags of 4
            elif word == "times":
                break
            elif word in _PLACES:
                raise Unreadable
            elif word in _NOT_UNITS or (_letter(token) and (word not in LETTER_UNITS or words)):
                break
            words.append(word)
            ahead += 1
        follows = self._peek(ahead)
        if words and follows is not None and (follows.kind in ("O", "=", ")") or follows.text.lower() in ("of", "x", "%")):
            self._at += ahead
        elif not words or (unit_of(words[0]) is None and words[0] not in LETTER_UNITS):
            return ""
        else:
            self._at += 1
        self._skip_rate()
        unit = unit_of(words[0])
        if unit is not None and (token := self._peek()) is not None and token.kind == "N":
            raise Unreadable  # 3 feet 4 inches
        return unit.name if unit is not None else words[0].rstrip("s")
