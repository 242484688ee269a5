"""Units: conversions that are wrong, and quantities that cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from homeroom.data.lint.model import About, Hit, Options, Record, Rule, Text
from homeroom.data.lint.rules.text_phrases import phrases
from homeroom.data.lint.rules.text_tokens import NUMBER_WORDS
from homeroom.data.lint.rules.text_turns import asks, doubted, in_quotes, shown, tutor_replies
from homeroom.data.lint.rules.text_units import UNITS, Unit, unit_of

_UNIT_WORDS = "|".join(sorted((re.escape(word) for word in UNITS), key=len, reverse=True))
_SMALL_WORDS = "|".join(NUMBER_WORDS)
_AMOUNT = (
    rf"(?:\d{{1,3}}(?:,\d{{3}})+(?!\d)|\d+(?:\.\d+)?(?:/\d+)?"
    rf"|(?:{_SMALL_WORDS}|an?|each|every|half an?|a hundred|a thousand)(?= ))"
)
_UNIT = (
    rf"(?:(?P<{{0}}sq>square|sq\.?|cubic) )?(?P<{{0}}unit>{_UNIT_WORDS})"
    r"(?P<{0}pow>²|³|\^2|\^3|2|3)?(?![\w²³^])(?P<{0}post> (?:squared|cubed))?"
)
_END = r"(?=\s*(?:[.,;:!?)]|$|\b(?:so|and|because|which|long|then|altogether|in total)\b))"


def _measure(name: str) -> str:
    return rf"(?<![\w.,/$:-])(?P<{name}n>{_AMOUNT})\s?{_UNIT.format(name)}"


_CONVERTS = re.compile(
    rf"{_measure('a')} (?:is(?: equal to| the same as| worth)?|are(?: equal to)?|equals?|makes?|has|have|contains?|=) "
    rf"(?:exactly |also |only )?{_measure('b')}{_END}",
    re.IGNORECASE,
)
_HOLDS = re.compile(rf"\bthere (?:are|is) (?:exactly |only )?{_measure('b')} in {_measure('a')}{_END}", re.IGNORECASE)
# A map's scale, a working day, a day on Venus: true there, whatever the units say.
_NOT_FIXED = phrases(
    r"maps?|scale (?:drawing|model|of|is|factor)|to scale|represents?|stands? for|blueprint|work(?:s|ing|day)?|school|shifts?"
    r"|lessons?",
    r"class|planets?|on (?:mars|venus|mercury|jupiter|saturn|the moon)|dog|cat",
)
_YEAR_DAYS = (Fraction(365), Fraction(366), Fraction(36525, 100))


class WrongConversion:
    """Such as "1 hour is 100 minutes": both units are known, and the numbers do not fit."""

    about = About(
        code="QUA002",
        name="wrong-conversion",
        family="quality",
        severity="error",
        what="A tutor's reply converts between two units with a wrong number.",
        why="Conversions are learnt by heart: a tuned model repeats a wrong one as firmly as a right one.",
        do="Correct the number or the unit.",
        bad="learner: How long is a metre?\ntutor: There are 10 centimetres in a metre.",
        good="learner: How long is a metre?\ntutor: There are 100 centimetres in a metre.",
        guideline="Quality: Accuracy",
    )

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each wrong conversion that the tutor states as true."""
        for index, text in tutor_replies(record):
            if not _mentions_units(text):
                continue
            for sentence in text.sentences:
                for match in (*_CONVERTS.finditer(sentence), *_HOLDS.finditer(sentence)):
                    right = _conversion_fault(match)
                    if not right or doubted(sentence) or asks(sentence) or in_quotes(text.content, match.group()):
                        continue
                    if _NOT_FIXED.search(sentence):
                        continue
                    yield Hit(
                        f"Turn {index + 1}: {shown(match.group())} is wrong: {right}. Correct the number or the unit.",
                        quote=match.group(),
                    )


def _mentions_units(text: Text) -> bool:
    return not _UNIT_SET.isdisjoint(text.word_set) or "²" in text.content or "³" in text.content


_UNIT_SET = frozenset(UNITS)


def _amount(text: str) -> Fraction | None:
    lower = text.lower()
    if lower in NUMBER_WORDS:
        return Fraction(NUMBER_WORDS[lower])
    if lower in ("a", "an", "each", "every"):
        return Fraction(1)
    if lower.startswith("half"):
        return Fraction(1, 2)
    if lower in ("a hundred", "a thousand"):
        return Fraction(100 if lower.endswith("hundred") else 1000)
    try:
        return Fraction(lower.replace(",", ""))
    except (ValueError, ZeroDivisionError):
        return None


def _unit(match: re.Match[str], name: str) -> Unit | None:
    """The unit of a measure, squared or cubed where it says so; None where that has no meaning here."""
    unit = unit_of(match[f"{name}unit"])
    marks = " ".join(match[f"{name}{part}"] or "" for part in ("sq", "pow", "post")).lower()
    power = 2 if re.search(r"sq|²|2", marks) else 3 if re.search(r"cub|³|3", marks) else 1
    if unit is None or power == 1:
        return unit
    if unit.dimension != "length":
        return None
    # A cubic metre is 1,000 litres, the base of volume.
    size = unit.size**power * (1000 if power == 3 else 1)
    return Unit(f"{unit.name}{'²' if power == 2 else '³'}", "area" if power == 2 else "volume", size, unit.system)


def _conversion_fault(match: re.Match[str]) -> str:
    """What would be right, in words; empty when it is, or when nothing certain can be said."""
    first, second = _unit(match, "a"), _unit(match, "b")
    count, stated = _amount(match["an"]), _amount(match["bn"])
    if first is None or second is None or count is None or not stated or first == second:
        return ""
    dimensions = {first.dimension, second.dimension}
    if dimensions == {"time", "month"}:
        return _calendar_fault(count, first, stated, second)
    if len(dimensions) > 1 or ({"month"} & {first.name, second.name} and dimensions != {"month"}):
        return ""
    right = count * first.size / second.size
    gap = abs(right - stated)
    if "any" not in (first.system, second.system) and first.system != second.system:
        close = gap * 20 <= right  # 2.5 cm in an inch, 30 cm in a foot: a twentieth is how people round
    else:
        decimals = len(match["bn"].partition(".")[2])
        close = gap == 0 or (bool(decimals) and gap < Fraction(1, 10**decimals))
    if close:
        return ""
    return f"{match['an']} {match['aunit']} is {_number(right)} {match['bunit']}"


def _calendar_fault(count: Fraction, first: Unit, stated: Fraction, second: Unit) -> str:
    """Years against days and weeks; months have no fixed number of days."""
    years, other, number = (count, second, stated) if first.dimension == "month" else (stated, first, count)
    years *= (first if first.dimension == "month" else second).size / 12
    if "month" in (first.name, second.name) or not years:
        return ""
    ratio = number / years
    if other.name == "day" and ratio not in _YEAR_DAYS:
        return "a year is 365 days, or 366"
    if other.name == "week" and ratio != 52:
        return "a year is 52 weeks"
    return ""


def _number(value: Fraction) -> str:
    return f"{float(value):,.10g}" if value.denominator != 1 else f"{value.numerator:,}"


# --- impossible quantities ----------------------------------------------------------------------------------------------
_OF_THE = r"(?: of (?:the|a|an|this|that|your|our|each|every|its|one)(?: [a-z-]+){1,3}?)?"
_IS = r"(?: is| was| =| equals| would be| will be| must be| comes to| has to be| of)(?: about| exactly| roughly| equal to)? "
_QUANTITY = re.compile(
    rf"\b(?P<what>area|surface area|volume|perimeter|circumference|length|height|width|distance|radius|diameter|weight|mass"
    rf"|temperature"
    rf"|speed|capacity){_OF_THE}{_IS}{_measure('a')}(?=\s*(?:[.,;!?)]|$|\b(?:so|and|because|which|then)\b))",
    re.IGNORECASE,
)
_WEIGHS = re.compile(rf"\b(?P<what>weighs?) (?:about |exactly )?{_measure('a')}(?=\s*(?:[.,;!?)]|$))", re.IGNORECASE)
_FITS = {
    **dict.fromkeys(("area", "surface area"), frozenset({"area"})),
    **dict.fromkeys(("volume", "capacity"), frozenset({"volume"})),
    **dict.fromkeys(("perimeter", "circumference", "height", "width", "radius", "diameter", "speed"), frozenset({"length"})),
    **dict.fromkeys(("weight", "mass", "weigh", "weighs"), frozenset({"mass"})),
    "length": frozenset({"length", "time", "month"}),
    "distance": frozenset({"length", "time", "angle"}),
    "temperature": frozenset({"angle"}),
}
_PROBABILITY = re.compile(
    r"\b(?:probability|chance)(?: of [^.?!=]{1,50}?| that [^.?!=]{1,60}?)? (?:is|=|equals) "
    r"(?P<n>\d+(?:\.\d+)?(?:/\d+)?)(?P<percent> ?%| percent)?"
    r"(?=\s*(?:[.,;!?)]|$))",
    re.IGNORECASE,
)
_ANGLES = re.compile(
    r"\bangles (?:of|in|inside) (?:a|any|the|every|each|this) (?P<shape>triangle|quadrilateral|rectangle|square|pentagon"
    r"|hexagon) "
    r"(?:always |must |all )?(?:add up to|sum to|total|add to|make) (?P<n>\d+)",
    re.IGNORECASE,
)
_ANGLE_SUMS = {"triangle": 180, "quadrilateral": 360, "rectangle": 360, "square": 360, "pentagon": 540, "hexagon": 720}


class ImpossibleQuantity:
    """A measure with a unit that it cannot have, a probability above 1, a triangle of 190 degrees."""

    about = About(
        code="QUA003",
        name="impossible-quantity",
        family="quality",
        severity="error",
        what="A tutor's reply gives a quantity that cannot be: an area in centimetres, a probability of 1.4.",
        why="Units carry half of the meaning; a model that mixes them up teaches learners to leave them out of their thinking.",
        do="Correct the unit or the number.",
        bad="learner: I multiplied 4 cm by 6 cm.\ntutor: Good plan. The area of the rectangle is 24 cm.",
        good="learner: I multiplied 4 cm by 6 cm.\ntutor: Good plan. The area of the rectangle is 24 cm².",
        guideline="Quality: Accuracy",
    )

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each impossible quantity that the tutor states as true."""
        for index, text in tutor_replies(record):
            if _WORDS.isdisjoint(text.word_set):
                continue
            for sentence in text.sentences:
                for quote, fault in _impossible(sentence):
                    if not (doubted(sentence) or asks(sentence) or in_quotes(text.content, quote)):
                        yield Hit(
                            f"Turn {index + 1}: {shown(quote)} cannot be: {fault}. Correct the unit or the number.", quote=quote
                        )


_WORDS = frozenset({*" ".join(_FITS).split(), "probability", "chance", "angles", "angle", "there"})


_ONE_ANGLE = re.compile(
    r"\bangle (?:in|of|inside) (?:a|any|the|this|that|your) triangle (?:is|measures|=) (?P<n>\d+)", re.IGNORECASE
)
_FEWER_THAN_NONE = re.compile(r"\bthere (?:are|were|is) [-−]\d+(?:\.\d+)? (?!degrees?\b|points?\b|°)[a-z]{3,}", re.IGNORECASE)


def _impossible(sentence: str) -> Iterator[tuple[str, str]]:
    for match in (*_QUANTITY.finditer(sentence), *_WEIGHS.finditer(sentence)):
        unit, what = _unit(match, "a"), match["what"].lower()
        if unit is not None and unit.dimension not in _FITS[what]:
            kind = f"{'an' if unit.dimension[0] == 'a' else 'a'} {unit.dimension}"
            if unit.dimension not in ("piece", "money"):
                yield match.group(), f"{match['aunit'] if unit.name[-1] not in '²³' else unit.name} measures {kind}"
    for match in _PROBABILITY.finditer(sentence):
        value = _amount(match["n"])
        if value is not None and value > (100 if match["percent"] else 1) and (match["percent"] or not match["n"].isdigit()):
            yield match.group(), "a probability is at most 1, which is 100%"
    for match in _ONE_ANGLE.finditer(sentence):
        if int(match["n"][:9]) >= 180:
            yield match.group(), "an angle of a triangle is less than 180°"
    for match in _FEWER_THAN_NONE.finditer(sentence):
        yield match.group(), "there cannot be fewer than none"
    for match in _ANGLES.finditer(sentence):
        right = _ANGLE_SUMS[match["shape"].lower()]
        if int(match["n"][:9]) != right:
            yield match.group(), f"the angles of a {match['shape'].lower()} add up to {right}°"


RULES: tuple[Rule, ...] = (WrongConversion(), ImpossibleQuantity())
