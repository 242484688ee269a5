"""All rules: each module of ``data/lint/rules`` offers a tuple ``RULES``, and is one line here."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from homeroom.data.lint.model import Rule
from homeroom.errors import ConfigError

MODULES = (
    "structure",
    "consistency",
    "terminology",
    "diversity",
    "duplicates",
    "quality_arithmetic",
    "quality_quantities",
    "quality_level",
    "quality_teaching",
    "quality_text",
    "quality_sentences",
    "quality_review",
    "safety_privacy",
    "safety_language",
    "safety_crisis",
    "safety_inclusion",
    "safety_fairness",
    "leakage",
    "consent",
)


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, by module and then as its module lists them.

    Raises:
        RuntimeError: two rules have one code: a mistake in the source.
    """
    found: dict[str, Rule] = {}
    for name in MODULES:
        for rule in import_module(f"homeroom.data.lint.rules.{name}").RULES:
            if rule.about.code in found:
                raise RuntimeError(f"two rules have the code {rule.about.code}: see {rule.about.name!r}")
            found[rule.about.code] = rule
    return tuple(found.values())


def choose(select: tuple[str, ...] = (), ignore: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    """The rules that ``select`` names (all when empty) without those of ``ignore``: by code, its beginning, or the rule's name.

    Raises:
        ConfigError: a name fits no rule (``rule-unknown``).
    """
    rules = all_rules()
    for name in (*select, *ignore):
        if not any(fits(rule, name) for rule in rules):
            families = ", ".join(dict.fromkeys(rule.about.code[:3] for rule in rules))
            raise ConfigError(
                f"There is no rule {name!r}. Name a code (STR001), a family ({families}) or a rule's name; "
                "all of them are in docs/reference/data-rules.md",
                code="rule-unknown",
            )
    return tuple(
        rule for rule in rules if (not select or any(fits(rule, n) for n in select)) and not any(fits(rule, n) for n in ignore)
    )


def fits(rule: Rule, name: str) -> bool:
    """Whether ``name`` (``STR001``, ``STR``, ``json-invalid``) means ``rule``."""
    return bool(name) and (rule.about.code.startswith(name.upper()) or rule.about.name == name)
