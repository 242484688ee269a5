"""Types of options that click lets too much through for: numbers that are none, and times that no clock shows.

`click.FloatRange` takes NaN, which fails none of its comparisons, and Infinity; `click.IntRange` without an upper bound takes
numbers that no database holds.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import click

COUNT = 2**31 - 1
"""The largest whole number that an option takes where nothing else bounds it."""
MOST_DAYS = 36_500
MOST_MINUTES = 100_000
MOST_PRIORITY = 1_000_000
MOST_REQUESTS_PER_MINUTE = 1_000_000


class FiniteRange(click.FloatRange):
    """A finite number, within bounds where they are given."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # as click has it
        """The number.

        Raises:
            click.BadParameter: it is no number, not finite or out of bounds.
        """
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return found


class LocalTime(click.DateTime):
    """A minute of this machine's clock that can be counted in Unix time."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # as click has it
        """The moment.

        Raises:
            click.BadParameter: it is none, or lies beyond what can be counted.
        """
        found: datetime = super().convert(value, param, ctx)
        try:
            found.timestamp()
        except (OverflowError, ValueError, OSError):
            self.fail(f"{value} is no time that this machine's clock can show. Name a later one.", param, ctx)
        return found
