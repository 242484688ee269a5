"""Bases that answer at an endpoint of the settings: ``ENDPOINT/MODEL``. Their prompt can be tuned here, their weights cannot."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from homeroom.app.directory import endpoint_model, key_of_endpoint
from homeroom.app.metering import CHAT, Use, meter_for
from homeroom.errors import NotFoundError
from homeroom.ledger.purse import Purse
from homeroom.schema.models import BaseFiles
from homeroom.settings import Endpoint, Settings

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.models.client import OpenAIChatModel

OPENAI_URL = "https://api.openai.com/v1"


def endpoint_of(settings: Settings, name: str) -> Endpoint | None:
    """The endpoint that ``ENDPOINT/MODEL`` names; None where its first part names none of the settings."""
    prefix, slash, model = name.partition("/")
    return next((e for e in settings.endpoints if slash and model and e.name == prefix), None)


def endpoint_identity(endpoint: Endpoint, name: str) -> str:
    """What stands for the identity of a model whose weights are elsewhere: a hash of its address and name."""
    return hashlib.sha256(f"{endpoint.base_url.rstrip('/')} {name.partition('/')[2]}".encode()).hexdigest()


def endpoint_unknown(settings: Settings, name: str) -> NotFoundError:
    """What to raise where ``ENDPOINT/MODEL`` names no endpoint of the settings: with the line that adds it."""
    prefix, _, model = name.partition("/")
    known = ", ".join(e.name for e in settings.endpoints) or "none"
    url = OPENAI_URL if prefix == "openai" else "https://.../v1"
    return NotFoundError(
        f"No endpoint of the settings serves {name!r} (endpoints: {known}). Add it to config.yaml in the home: "
        f"endpoints: [{{name: {prefix}, base_url: '{url}', api_key_env: {prefix.upper()}_API_KEY, models: [{model}]}}]",
        code="endpoint-unknown",
    )


def base_here(home: Homeroom, name: str) -> BaseFiles:
    """A base of this machine.

    Raises:
        NotFoundError: ``not-pulled``, ``unknown-model``; ``endpoint-unknown`` where the name is one of an endpoint's.
    """
    try:
        return home.base_files(name)
    except NotFoundError:
        if "/" in name:
            raise endpoint_unknown(home.settings, name) from None
        raise


def require_key(settings: Settings, name: str) -> None:
    """Refuse early where the endpoint that serves ``name`` cannot be asked for want of a key.

    Raises:
        ConfigError: ``key-not-set``.
    """
    endpoint = endpoint_of(settings, name)
    if endpoint is not None:
        key_of_endpoint(endpoint)


def open_endpoint_model(home: Homeroom, name: str, use: Use = CHAT, purse: Purse | None = None) -> tuple[OpenAIChatModel, str]:
    """The model, its calls counted under ``use`` and held in ``purse``, and its identity. Close the model.

    Raises:
        NotFoundError: ``endpoint-unknown``.
        ConfigError: ``key-not-set``.
    """
    endpoint = endpoint_of(home.settings, name)
    if endpoint is None:
        known = ", ".join(e.name for e in home.settings.endpoints) or "none"
        raise NotFoundError(
            f"No endpoint of the settings serves {name!r} (endpoints: {known}). Add it to config.yaml in the home, or choose "
            "another with --base",
            code="endpoint-unknown",
        )
    model = name.partition("/")[2]
    meter = meter_for(home, endpoint, model, name, use, purse)
    return endpoint_model(endpoint, model, name, meter), endpoint_identity(endpoint, name)
