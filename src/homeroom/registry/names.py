"""Names of tuned models on the wire: ``ft:<base>:homeroom:<suffix>:<id8>``."""

from __future__ import annotations

import re
import secrets

from homeroom.errors import ConfigError

_SUFFIX = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


def new_model_name(base: str, suffix: str) -> str:
    """A name that no model has yet: its last part, the id8, is eight random hex digits.

    Args:
        base: Name of the base model; a colon in it (as in an Ollama tag) becomes a hyphen.
        suffix: What the person calls it: up to 64 lower-case letters, digits and hyphens.

    Raises:
        ConfigError: code ``bad-suffix``.
    """
    if not _SUFFIX.fullmatch(suffix):
        raise ConfigError(
            f"{suffix!r} cannot be part of a model's name. Use up to 64 lower-case letters, digits and hyphens, for example: "
            "suffix: fractions-tutor in the recipe",
            code="bad-suffix",
        )
    return f"ft:{base.replace(':', '-')}:homeroom:{suffix}:{secrets.token_hex(4)}"
