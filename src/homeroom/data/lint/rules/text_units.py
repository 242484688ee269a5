"""Units of school: what they measure and how many of the base unit one of them is.

Exact by definition where there is one: the inch is 2.54 cm and the pound 0.45359237 kg (international yard and pound agreement of
1959); the US gallon is 231 cubic inches. A year is 12 months, 52 weeks or 365 days (366 in a leap year): months and days do not
convert.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from homeroom.data.lint.words import word_set


class Unit(NamedTuple):
    """``size`` base units of ``dimension`` (m, g, l, s, cent, m², m³, piece, month). ``system`` tells metric from customary."""

    name: str
    dimension: str
    size: Fraction
    system: str


_ROWS = """
mm millimetre millimeter|length|1/1000|metric
cm centimetre centimeter|length|1/100|metric
m metre meter|length|1|metric
km kilometre kilometer|length|1000|metric
inch|length|254/10000|customary
ft foot feet|length|3048/10000|customary
yd yard|length|9144/10000|customary
mi mile|length|1609344/1000|customary
mg milligram|mass|1/1000|metric
g gram gramme|mass|1|metric
kg kilogram kilo|mass|1000|metric
tonne|mass|1000000|metric
oz ounce|mass|28349523125/1000000000|customary
lb lbs pound|mass|45359237/100000|customary
ml millilitre milliliter|volume|1/1000|metric
cl centilitre centiliter|volume|1/100|metric
dl decilitre deciliter|volume|1/10|metric
l litre liter|volume|1|metric
pt pint|volume|473176473/1000000000|customary
qt quart|volume|946352946/1000000000|customary
gal gallon|volume|3785411784/1000000000|customary
s sec second|time|1|any
min minute|time|60|any
h hr hour|time|3600|any
day|time|86400|any
week|time|604800|any
fortnight|time|1209600|any
month|month|1|any
year|month|12|any
decade|month|120|any
century centuries|month|1200|any
millennium millennia|month|12000|any
cent penny pennies|money|1|any
nickel|money|5|any
dime|money|10|any
dollar|money|100|any
mm²|area|1/1000000|metric
cm²|area|1/10000|metric
m²|area|1|metric
km²|area|1000000|metric
hectare|area|10000|metric
mm³|volume|1/1000000|metric
cm³|volume|1/1000|metric
dm³|volume|1|metric
m³|volume|1000|metric
dozen|piece|12|any
degree|angle|1|any"""


def _table() -> dict[str, Unit]:
    table: dict[str, Unit] = {}
    for row in _ROWS.split("\n"):
        if row.strip():
            names, dimension, size, system = row.strip().split("|")
            first = names.split()[0]
            unit = Unit(first, dimension, Fraction(size), system)
            for name in names.split():
                plural = name + ("es" if name.endswith("ch") else "s")
                table[name] = unit
                if len(name) > 2:
                    table[plural] = unit
    # "in" is a word before it is an inch; "second" an ordinal; both are read beside a number only.
    table["hrs"] = table["hr"]
    table["mins"] = table["min"]
    table["secs"] = table["sec"]
    table["yds"] = table["yd"]
    return table


UNITS = _table()
LETTER_UNITS = word_set("m g l L s h p c")  # glued to a number: 5m, 20p; in algebra they may be unknowns


def unit_of(word: str) -> Unit | None:
    """The unit that a word names, singular or plural, written out or short."""
    return UNITS.get(word.lower()) or (UNITS["l"] if word == "L" else None)
