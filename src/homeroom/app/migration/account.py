"""Which account a migration reads: an endpoint of the settings, or OpenAI itself with a key in the environment."""

from __future__ import annotations

import os

from homeroom.errors import ConfigError, NotFoundError
from homeroom.settings import Settings

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_KEY = "OPENAI_API_KEY"


def account_of(settings: Settings, endpoint: str) -> tuple[str, str | None]:
    """Address and key of ``endpoint``.

    Raises:
        NotFoundError: ``endpoint-unknown``.
        ConfigError: ``key-not-set``.
    """
    found = next((e for e in settings.endpoints if e.name == endpoint), None)
    if found is None and endpoint != "openai":
        known = ", ".join(e.name for e in settings.endpoints) or "none"
        raise NotFoundError(
            f"The settings have no endpoint {endpoint!r} (endpoints: {known}). Add it to config.yaml in the home, or leave "
            "--endpoint out for OpenAI",
            code="endpoint-unknown",
        )
    variable = found.api_key_env if found else OPENAI_KEY
    key = os.environ.get(variable) if variable else None
    if variable and not key:
        raise ConfigError(
            f"The account {endpoint!r} needs a key in {variable}. Set it: export {variable}=...", code="key-not-set"
        )
    return (found.base_url if found else OPENAI_URL).rstrip("/"), key
