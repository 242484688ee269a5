"""Models of a home: fetching one, and what the catalogue says about one that is here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from homeroom.errors import NotFoundError
from homeroom.models.catalogue import BaseModel, load_catalogue
from homeroom.models.embed_files import listed_embedder, pull_embedder
from homeroom.models.hub import HUB_URL
from homeroom.models.pull import Progress, fetchable, installed, pull
from homeroom.schema.models import BaseFiles

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def fetch_base(home: Homeroom, name: str, progress: Progress) -> BaseFiles:
    """Fetch, verify and prepare a base, or an embedding model of the catalogue.

    ``HF_TOKEN`` opens gated models, ``HF_ENDPOINT`` names a mirror of the hub.

    Raises:
        HomeroomError: what `homeroom.models.pull.pull` raises.
    """
    embedder = listed_embedder(name)
    if embedder is not None:
        return pull_embedder(embedder, home.settings.cache, progress=progress)
    token, hub = os.environ.get("HF_TOKEN"), os.environ.get("HF_ENDPOINT")
    return pull(name, home.settings.cache, progress=progress, token=token or None, hub_url=hub or HUB_URL)


def require_fetchable(home: Homeroom, name: str) -> None:
    """Refuse a name that `fetch_base` would refuse, without a network.

    Raises:
        NotFoundError: ``unknown-model``.
        ConfigError: ``not-fetched``, ``architecture-unsupported``.
    """
    if listed_embedder(name) is None and installed(name, home.settings.cache) is None:
        fetchable(name)


def listed_base(name: str) -> BaseModel | None:
    """The catalogue's entry of ``name``; None for a base that was prepared here from a folder of one's own."""
    try:
        entry = load_catalogue().find(name)
    except NotFoundError:
        return None
    return entry if isinstance(entry, BaseModel) else None
