"""The embedding models of a home: those on this disk, those of endpoints, and what the settings call by OpenAI's names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from homeroom.app.directory import key_of_endpoint
from homeroom.app.endpoints import endpoint_of
from homeroom.app.engines import engine, resolve_running, server_runs
from homeroom.app.metering import meter_for
from homeroom.errors import ConfigError, NotFoundError
from homeroom.models import embed_files, prepared
from homeroom.models.catalogue import DEFAULT_EMBEDDER
from homeroom.models.embed import EngineEmbedder, OpenAIEmbedder
from homeroom.models.folder import read_json
from homeroom.schema.models import BaseFiles

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.settings import Endpoint


@dataclass(frozen=True, slots=True)
class EmbedderCard:
    """An embedding model that is on this disk.

    Attributes:
        name: To ask it by.
        title: To show it by.
        dimensions: Length of its vectors.
        context_tokens: Longest text.
    """

    name: str
    title: str
    dimensions: int
    context_tokens: int


class HomeEmbedders:
    """The embedding models of one home, each asked in the engine's process. Thread-safe; `close` it at the end.

    Args:
        home: The open home.
    """

    def __init__(self, home: Homeroom) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._kept: dict[str, EngineEmbedder | OpenAIEmbedder] = {}  # by name or identity, because each holds connections

    def list(self) -> Sequence[EmbedderCard]:
        """Every embedding model on this disk, in order of name. Those of endpoints are in the list of models as it is."""
        return [_card(files) for files in embed_files.all_embedders(self._home.settings.cache)]

    def embedder(self, name: str) -> EngineEmbedder | OpenAIEmbedder:
        """What makes vectors as ``name``: a model on this disk, ``ENDPOINT/MODEL``, or a name that the settings give a meaning.

        Raises:
            NotFoundError: ``model-not-found``, ``not-pulled``.
            ConfigError: ``not-an-embedder`` for a model that chats, ``key-not-set``.
        """
        settings = self._home.settings
        endpoint = endpoint_of(settings, name)
        if endpoint is not None:
            return self._keep(name, lambda: self._at_endpoint(endpoint, name))
        local = settings.openai_models.get(name, name)
        files = embed_files.find_embedder(local, settings.cache)
        if files is None:
            raise self._missing(name, local)
        return self._keep(
            files.identity,
            lambda: EngineEmbedder(files, lambda failed: resolve_running(self._home, files.identity, None, failed)),
        )

    def close(self) -> None:
        """Close the connections to engines and endpoints."""
        with self._lock:
            kept, self._kept = list(self._kept.values()), {}
        for embedder in kept:
            embedder.close()

    def _keep(self, key: str, make: Callable[[], EngineEmbedder | OpenAIEmbedder]) -> EngineEmbedder | OpenAIEmbedder:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
            return self._kept[key]

    def _at_endpoint(self, endpoint: Endpoint, name: str) -> OpenAIEmbedder:
        """The endpoint's model, its calls counted as those of a chat.

        Raises:
            ConfigError: ``key-not-set``, ``prices-invalid``.
        """
        model = name.partition("/")[2]
        key, meter = key_of_endpoint(endpoint), meter_for(self._home, endpoint, model, name)
        return OpenAIEmbedder(name, endpoint.base_url, model, api_key=key, meter=meter)

    def _missing(self, name: str, local: str) -> NotFoundError | ConfigError:
        here = ", ".join(card.name for card in self.list()) or "none"
        if embed_files.listed_embedder(local) is not None:
            stands = f" {name!r} stands for it." if local != name else ""
            return NotFoundError(
                f"The embedding model {local!r} is not on this machine yet.{stands} Run: homeroom models pull {local}",
                code="not-pulled",
            )
        if prepared.find(local, self._home.settings.cache) is not None or local.startswith("ft:"):
            return ConfigError(
                f"{name[:120]!r} is a model that chats, and makes no embeddings. Embedding models here: {here}. Fetch one with: "
                f"homeroom models pull {DEFAULT_EMBEDDER}",
                code="not-an-embedder",
            )
        return NotFoundError(
            f"There is no embedding model {name[:120]!r} here (there are: {here}). Fetch one with: homeroom models pull "
            f"{DEFAULT_EMBEDDER}, or give a name of OpenAI's a meaning with openai_models in the settings",
            code="model-not-found",
        )


@contextmanager
def embedding(home: Homeroom, name: str = DEFAULT_EMBEDDER) -> Iterator[EngineEmbedder]:
    """An embedding model for work in this process: on the running server's engine, or on one for as long as the block lasts.

    Args:
        home: The open home.
        name: Of an embedding model on this disk.

    Raises:
        NotFoundError: ``not-pulled``, ``unknown-model``.
        ConflictError: ``engine-memory`` when it does not fit.
    """
    files = embed_files.require_embedder(name, home.settings.cache)
    if server_runs(home):
        with closing(EngineEmbedder(files, lambda failed: resolve_running(home, files.identity, None, failed))) as served:
            yield served
        return
    with (
        engine(home, files) as resolve,
        closing(EngineEmbedder(files, lambda failed: resolve(files.identity, None, failed))) as own,
    ):
        yield own


def _card(files: BaseFiles) -> EmbedderCard:
    listed = embed_files.listed_embedder(files.name)
    size = int(read_json(files.weights / "config.json")["hidden_size"])
    return EmbedderCard(files.name, listed.title if listed else files.name, size, files.context_tokens)
