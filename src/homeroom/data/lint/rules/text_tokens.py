"""Words and marks of a sentence as tokens that arithmetic can be read from.

Kinds: ``N`` a number, ``O`` an operator (``+ - * / ^``), ``=`` an equality (sign or words), ``(`` and ``)``, ``W`` a word,
``V`` what no one can calculate with (``3x``, ``3:4``, ``?``, ``__``), ``P`` any other mark, at which an expression ends.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from homeroom.data.lint.rules.text_units import LETTER_UNITS, UNITS

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBER_WORDS = {word: value for value, word in enumerate(_ONES)} | {word: 10 * place for place, word in enumerate(_TENS, 2)}
_PARTS = {"½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5), "⅘": (4, 5),
          "⅙": (1, 6), "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8)}  # fmt: skip
_SIGNS = {"×": "*", "·": "*", "⋅": "*", "∙": "*", "*": "*", "÷": "/", "/": "/", "⁄": "/", "∕": "/", "+": "+", "−": "-", "–": "-",
          "-": "-", "^": "^"}  # fmt: skip
_WORD_SIGNS = {"plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "divided by": "/", "take away": "-"}

_LATEX = (
    (re.compile(r"\\[dt]?frac\s*\{(\d{1,9})\}\s*\{(\d{1,9})\}"), r"\1/\2"),
    (re.compile(r"\\[dt]?frac\s*\{([^{}]{1,20})\}\s*\{([^{}]{1,20})\}"), r"((\1)/(\2))"),
    (re.compile(r"\\(?:times|cdot)\b"), "×"),
    (re.compile(r"\\div\b"), "÷"),
    (re.compile(r"\\(?:left|right|,|;|!|\(|\)|\[|\]|text\{[^{}]*\})"), " "),
    (re.compile(r"\\([%$])"), r"\1"),
)
_LINE_START = re.compile(r"(?m)^\s*(?:[-*•–]|\(?\d{1,2}[.)]|\(?[a-h]\))\s+")
_URL = re.compile(r"\w+://\S+")
_MIXED = r"(?P<whole>\d+)[ ](?=\d+/\d|[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])"
_TOKEN = re.compile(
    rf"""(?P<ratio>\d+\s?:\s?\d+(?::\d+)*)
    |(?P<number>(?P<money>[$£€]\s?)?(?:{_MIXED})?
        (?:(?P<part>\d*[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])
          |(?P<digits>\d{{1,3}}(?:,\d{{3}})+(?![\d,])|\d+)(?P<decimals>\.\d+)?(?P<comma>,\d+)?(?:/(?P<bottom>\d+)(?![\d/.]))?
          |(?P<bare>\.\d+)))
    |(?P<equal>=(?![=>])
        |\b(?:is[ ]equal[ ]to|are[ ]equal[ ]to|is[ ]the[ ]same[ ]as|equals?|comes[ ]to|makes?|gives|leaves|is|are)\b)
    |(?P<sign>multiplied[ ]by|divided[ ]by|take[ ]away|plus|minus|times|[×·⋅∙*÷/⁄∕+−–^-])
    |(?P<power>[²³])
    |(?P<word>[^\W\d_]+(?:['’-][^\W\d_]+)*[²³]?)
    |(?P<paren>[()])
    |(?P<other>[=<>≤≥≠≈~]{{2,}}|[^\s])""",
    re.VERBOSE | re.IGNORECASE,
)


class Token(NamedTuple):
    """One token: its kind, its characters, where they stand, and for a number its value and form.

    ``form`` holds of a number: ``/`` a fraction, ``.`` decimals, ``$`` money, ``w`` a word; of an equality: ``w`` words;
    of a word: ``x`` may be a multiplication sign.
    """

    kind: str
    text: str
    start: int
    end: int
    value: Fraction = Fraction(0)
    form: str = ""
    decimals: int = 0
    top: int = 0
    bottom: int = 0


def cleaned(sentence: str) -> str:
    """Without Markdown's emphasis, list marks, addresses and LaTeX's commands."""
    if "\\" in sentence:
        for pattern, plain in _LATEX:
            sentence = pattern.sub(plain, sentence)
    if "://" in sentence:
        sentence = _URL.sub(" ", sentence)
    if "**" in sentence or "`" in sentence:
        sentence = sentence.replace("**", " ").replace("`", " ")
    return _LINE_START.sub(" ", sentence)


def tokens(sentence: str) -> list[Token]:
    """The tokens of a `cleaned` sentence."""
    found: list[Token] = []
    for match in _TOKEN.finditer(sentence):
        found.append(_token(match, sentence))
    return found


def _token(match: re.Match[str], sentence: str) -> Token:
    kind, text, start, end = match.lastgroup or "other", match.group(), match.start(), match.end()
    if match["number"] is not None:
        return _number(match, sentence)
    if match["ratio"] is not None:
        return Token("V", text, start, end)
    if kind == "equal":
        return Token("=", text, start, end, form="" if text == "=" else "w")
    if kind == "sign":
        return Token("O", _WORD_SIGNS.get(text.lower()) or _SIGNS[text], start, end, form="w" if text[0].isalpha() else text)
    if kind == "power":
        return Token("^", "2" if text == "²" else "3", start, end)
    if kind == "word":
        return _word(text, start, end)
    if kind == "paren":
        return Token(text, text, start, end)
    return Token("V" if text in "?_[]□{}√π" else "P", text, start, end)


def _word(text: str, start: int, end: int) -> Token:
    lower = text.lower()
    if lower in NUMBER_WORDS:
        return Token("N", text, start, end, Fraction(NUMBER_WORDS[lower]), "w")
    tens, dash, unit = lower.partition("-")
    if dash and NUMBER_WORDS.get(tens, 0) >= 20 and 0 < NUMBER_WORDS.get(unit, 0) < 10:
        return Token("N", text, start, end, Fraction(NUMBER_WORDS[tens] + NUMBER_WORDS[unit]), "w")
    return Token("W", text, start, end, form="x" if lower == "x" else "")


def _number(match: re.Match[str], sentence: str) -> Token:
    text, start, end = match.group(), match.start(), match.end()
    before, after = sentence[start - 1 : start], sentence[end : end + 1]
    if (before.isalpha() and before not in "xX") or (before in ("_", ".", "#") and before) or match["comma"]:
        return Token("V", text, start, end)
    if after.isalpha() or after == "_":
        glued = re.match(r"[^\W\d_]+", sentence[end:])
        word = glued[0] if glued else after
        timesish = word in ("x", "X") and sentence[end + 1 : end + 2].isdigit()
        if not timesish and word.lower() not in UNITS and word not in LETTER_UNITS:
            return Token("V", text, start, end)
    value, top, bottom = _value(match)
    if value is None:
        return Token("V", text, start, end)
    form = ("$" if match["money"] else "") + ("/" if bottom else "") + ("." if match["decimals"] or match["bare"] else "")
    places = len((match["decimals"] or match["bare"] or ".")[1:])
    return Token("N", text, start, end, value, form, places, top, bottom)


def _value(match: re.Match[str]) -> tuple[Fraction | None, int, int]:
    """Value, and numerator and denominator where it is written as a fraction; None for a division by nothing."""
    whole = int(match["whole"] or 0)
    if match["part"]:
        top, bottom = _PARTS[match["part"][-1]]
        return int(match["part"][:-1] or 0) + whole + Fraction(top, bottom), top, bottom
    if match["bare"]:
        return Fraction("0" + match["bare"]), 0, 0
    if len(match["digits"]) > 30:
        return None, 0, 0
    value = Fraction(match["digits"].replace(",", "") + (match["decimals"] or ""))
    if not match["bottom"]:
        return value + whole, 0, 0
    bottom = int(match["bottom"][:30])
    return (value / bottom + whole, int(value), bottom) if bottom else (None, 0, 0)
