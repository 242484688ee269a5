"""Structure: what every record must be before anything else can be said of it. The reader finds these."""

from __future__ import annotations

from homeroom.data.lint.model import About, ReadRule, Rule
from homeroom.data.rules import RULES as PROBLEMS

_READ = (
    "json-invalid", "record-not-object", "messages-missing", "message-not-object", "role-unknown", "content-missing",
    "content-empty", "role-order", "assistant-missing", "last-not-assistant", "weight-invalid", "metadata-invalid",
    "grade-invalid", "grade-band-mismatch", "value-unknown", "key-unknown", "encoding-invalid", "line-too-long",
    "nesting-too-deep", "number-not-finite", "key-duplicate", "character-invalid",
)  # fmt: skip

RULES: tuple[Rule, ...] = tuple(
    ReadRule(
        About(
            code=f"STR{number:03}",
            name=name,
            family="structure",
            severity="warning" if name == "key-unknown" else "error",
            what=PROBLEMS[name],
            why="",
            do=PROBLEMS[name],
            bad="",
            good="",
        )
    )
    for number, name in enumerate(_READ, start=1)
)
