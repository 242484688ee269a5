"""Patterns made of phrases."""

from __future__ import annotations

import re


def phrases(*parts: str) -> re.Pattern[str]:
    """A pattern for any of the phrases (regular expressions), as whole words, in any case; a space matches any white space."""
    joined = "|".join(part.replace(" ", r"\s+") for part in parts)
    return re.compile(rf"(?<!\w)(?:{joined})(?!\w)", re.IGNORECASE)
