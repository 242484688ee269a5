"""Embedders: texts to vectors, by the embedded engine or by any OpenAI-compatible endpoint."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Sequence
from functools import cached_property

from homeroom.errors import ContextLengthError, OptionError, ProviderError
from homeroom.models.engine_chat import Resolve, answered, engine_wire, loopback_client
from homeroom.models.engine_info import EngineInfo
from homeroom.models.folder import read_json
from homeroom.models.wire import ChatWire, Json
from homeroom.schema.costs import Meter
from homeroom.schema.embeddings import Embeddings, Vector
from homeroom.schema.models import BaseFiles

BATCH_TEXTS = 64
"""Texts of one request to the engine: others get their turn between two."""
_TOO_LONG = re.compile(r"input \((\d+) tokens\) is too large")


class EngineEmbedder:
    """Implements `homeroom.schema.embeddings.Embedder` on the embedded engine, in its process. Thread-safe.

    Args:
        files: Of the embedding model.
        resolve: Gives the engine that serves it, as for `homeroom.models.engine_chat.EngineChatModel`.
        timeout_s: Limit of one request to the engine.
    """

    def __init__(self, files: BaseFiles, resolve: Resolve, *, timeout_s: float = 600.0) -> None:
        self.files = files
        self._resolve, self._timeout_s = resolve, timeout_s
        self._client = loopback_client()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.files.name

    @cached_property
    def dimensions(self) -> int:
        """Length of its vectors."""
        return int(read_json(self.files.weights / "config.json")["hidden_size"])

    def embed(self, texts: Sequence[str], *, dimensions: int | None = None) -> Embeddings:
        """The vectors of ``texts``, asked for in batches.

        Raises:
            ContextLengthError: a text is longer than the model takes, with both numbers.
            OptionError: ``dimensions`` is any length but the model's own.
            ProviderError: or one of its subclasses; ``engine-ended`` when the engine died of it twice.
        """
        if dimensions not in (None, self.dimensions):
            raise OptionError(
                f"{self.name!r} makes vectors of {self.dimensions} numbers, and {dimensions} were asked for: they are not made to"
                " be cut. Leave 'dimensions' out",
                param="dimensions",
            )
        parts = [self._batch(texts[at : at + BATCH_TEXTS]) for at in range(0, len(texts), BATCH_TEXTS)]
        return Embeddings(tuple(vector for part in parts for vector in part.vectors), sum(part.prompt_tokens for part in parts))

    def shortened(self, texts: Sequence[str]) -> list[str]:
        """``texts``, each cut at the end to what the model takes, for uses where the beginning tells enough.

        Raises:
            ProviderError: or one of its subclasses.
        """
        return [self._shortened(text) if self._may_be_long(text) else text for text in texts]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _may_be_long(self, text: str) -> bool:
        """No text has more tokens than characters; two more mark its ends."""
        return len(text) + 2 > self.files.context_tokens

    def _shortened(self, text: str) -> str:
        limit = self.files.context_tokens
        while self._may_be_long(text):
            count = self._count(text)
            if count <= limit:
                break
            # Tokens are spread unevenly: cut a little less than the share that is too much, and count again.
            text = text[: min(len(text) - 1, math.ceil(len(text) * limit / count))].rstrip() or text[: limit - 2]
        return text

    def _count(self, text: str) -> int:
        """Tokens of ``text``, those that mark its ends included."""
        body: Json = {"content": text, "add_special": True}
        return len(answered(self._resolve, self._root_wire, lambda wire, info: wire.post("/tokenize", body))["tokens"])

    def _batch(self, texts: Sequence[str]) -> Embeddings:
        body: Json = {"model": self.files.name, "input": list(texts)}
        try:
            answer = answered(self._resolve, self._wire, lambda wire, info: wire.post("/embeddings", body))
        except ProviderError as error:
            found = _TOO_LONG.search(error.message)
            if found is None:
                raise
            raise ContextLengthError(
                f"A text has {found[1]} tokens and {self.name!r} takes {self.files.context_tokens}. Cut it into shorter pieces"
            ) from error
        return read_embeddings(answer, self.name, len(texts))

    def _wire(self, info: EngineInfo) -> ChatWire:
        return engine_wire(info, self._client, timeout_s=self._timeout_s)

    def _root_wire(self, info: EngineInfo) -> ChatWire:
        return ChatWire("The engine", info.url, api_key=info.key, timeout_s=60.0, max_retries=0, client=self._client)


class OpenAIEmbedder:
    """Implements `homeroom.schema.embeddings.Embedder` at an OpenAI-compatible endpoint. Thread-safe.

    Args:
        name: The model's name in Homeroom, ``endpoint/model``.
        base_url: Address up to and including ``/v1``.
        model: The endpoint's own name for it.
        api_key: Bearer token; never shown or logged.
        timeout_s: Limit of one call in all, retries included.
        meter: What its calls cost is told to; None counts nothing.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        meter: Meter | None = None,
    ) -> None:
        self.name, self._model = name, model
        self._wire = ChatWire(f"{name!r}", base_url, api_key=api_key, timeout_s=timeout_s, meter=meter)

    def embed(self, texts: Sequence[str], *, dimensions: int | None = None) -> Embeddings:
        """The vectors of ``texts``, in one request.

        Raises:
            ProviderError: or one of its subclasses.
            ConflictError: ``budget-spent``. ConfigError: ``price-unknown``. Nothing was sent then.
        """
        body: Json = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        if dimensions is not None:
            body["dimensions"] = dimensions
        return read_embeddings(self._wire.post("/embeddings", body), self.name, len(texts))

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()


def read_embeddings(answer: Json, name: str, count: int) -> Embeddings:
    """Vectors of length 1 from a provider's JSON.

    Raises:
        ProviderError: ``provider-answer`` when it holds anything but ``count`` vectors of one length.
    """
    try:
        rows = sorted(answer["data"], key=lambda row: int(row["index"]))
        vectors = tuple(_unit([float(value) for value in row["embedding"]]) for row in rows)
        tokens = int((answer.get("usage") or {}).get("prompt_tokens") or 0)
        fits = [int(row["index"]) for row in rows] == list(range(count)) and len({len(vector) for vector in vectors}) == 1
        fits = fits and all(map(math.isfinite, (value for vector in vectors for value in vector)))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        fits = False
    if not fits:
        raise ProviderError(
            f"{name!r} gave no list of {count} embeddings ({reprlib.repr(answer)[:80]!r}). Check that it is an embedding model, "
            "and its address in the settings",
            code="provider-answer",
        )
    return Embeddings(vectors, tokens)


def _unit(vector: Sequence[float]) -> Vector:
    length = math.sqrt(math.fsum(value * value for value in vector))
    return [value / length for value in vector] if length else vector
