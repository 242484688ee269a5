"""Structure: what every record must be before anything else can be said of it."""

from __future__ import annotations

from homeroom.data.lint.model import Rule
from homeroom.data.lint.rules import structure_read, structure_set, structure_turns

RULES: tuple[Rule, ...] = (*structure_read.RULES, *structure_turns.RULES, *structure_set.RULES)
