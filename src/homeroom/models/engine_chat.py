"""A chat model of the embedded engine: a base model, alone or with one adapter.

Adapters are chosen per request. Every request names every loaded adapter with its scale, because the engine keeps what it is not
told; names become numbers at the moment of sending, because numbers change when the engine is replaced.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Generator, Sequence
from itertools import chain
from typing import TypeVar

import httpx

from homeroom.errors import NotFoundError, ProviderError
from homeroom.models.client import chat_body, read_chunks, read_completion
from homeroom.models.engine_info import EngineInfo
from homeroom.models.wire import ChatWire, Json
from homeroom.schema.chat import Chunk, Completion, GenerationSettings
from homeroom.schema.examples import Message

T = TypeVar("T")

# Tokens less than a twentieth as likely as the likeliest are never drawn: small models derail on one of them.
_MIN_P = 0.05
_GONE = {"provider-unreachable", "provider-broken", "provider-cut", "provider-auth", "adapter-not-loaded"}


class EngineChatModel:
    """Implements `homeroom.schema.chat.ChatModel` on the embedded engine. Thread-safe.

    Args:
        name: The model's name in Homeroom.
        resolve: Gives the running engine: `EngineManager.ensure`, or what finds another process's.
        adapter: Name of the adapter to apply; None for the base alone.
        timeout_s: Limit of one call in all.
    """

    def __init__(
        self, name: str, resolve: Callable[[], EngineInfo], adapter: str | None = None, *, timeout_s: float = 600.0
    ) -> None:
        self.name = name
        self._resolve, self._adapter, self._timeout_s = resolve, adapter, timeout_s
        self._client = loopback_client()

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply.

        Raises:
            ProviderError: or one of its subclasses; `ContextLengthError` with both numbers when the prompt does not fit.
            NotFoundError: ``adapter-not-loaded``.
        """
        started = time.monotonic()
        answer = self._twice(lambda wire, info: wire.post("/chat/completions", self._body(messages, settings, info)))
        return read_completion(answer, self.name, time.monotonic() - started)

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Generator[Chunk]:
        """The reply piece by piece; closing the iterator stops the generation. Raises as `complete`."""

        def begin(wire: ChatWire, info: EngineInfo) -> tuple[Generator[Json], list[Json]]:
            body = {**self._body(messages, settings, info), "stream": True, "stream_options": {"include_usage": True}}
            events = wire.stream("/chat/completions", body)
            return events, [event for event in [next(events, None)] if event is not None]

        events, first = self._twice(begin)
        try:
            yield from read_chunks(chain(first, events))
        finally:
            events.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _twice(self, send: Callable[[ChatWire, EngineInfo], T]) -> T:
        """``send`` to the running engine, and once more if it was replaced or died before it began to answer."""
        info = self._resolve()
        try:
            return send(self._wire(info), info)
        except (ProviderError, NotFoundError) as error:
            if error.code not in _GONE:
                raise
            now = self._resolve()
            if (now.pid, now.url) == (info.pid, info.url):
                raise
            return send(self._wire(now), now)

    def _wire(self, info: EngineInfo) -> ChatWire:
        return engine_wire(info, self._client, timeout_s=self._timeout_s)

    def _body(self, messages: Sequence[Message], settings: GenerationSettings, info: EngineInfo) -> Json:
        if self._adapter is not None and self._adapter not in info.adapters:
            raise NotFoundError(
                f"The engine has no adapter {self._adapter!r}; it has {', '.join(sorted(info.adapters)) or 'none'}. If it was"
                " made just now, try again in a moment; otherwise see: homeroom models list",
                code="adapter-not-loaded",
            )
        return {
            **chat_body(messages, settings),
            "model": info.base,
            "repeat_penalty": settings.repeat_penalty,
            "top_k": 0,
            "min_p": _MIN_P,
            # With it on, answers under concurrent adapters differed from the cold ones.
            "cache_prompt": False,
            "lora": [{"id": index, "scale": 1.0 if name == self._adapter else 0.0} for name, index in info.adapters.items()],
        }


def loopback_client() -> httpx.Client:
    """A connection pool for engines of this machine: no proxy, and no time spent on loading certificates."""
    return httpx.Client(
        trust_env=False,
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=8),
    )


def engine_wire(info: EngineInfo, client: httpx.Client, *, timeout_s: float = 60.0) -> ChatWire:
    """The wire to a running engine. No retries: the engine queues, and what it refuses it refuses again."""
    return ChatWire("The engine", f"{info.url}/v1", api_key=info.key, timeout_s=timeout_s, max_retries=0, client=client)


def engine_render_ids(info: EngineInfo, messages: Sequence[Message]) -> list[int]:
    """Token ids of the prompt that the engine makes of ``messages``: equal to `ChatTokenizer.prompt_ids` or training is refused.

    Raises:
        ProviderError: when the engine does not answer.
    """
    turns = [{"role": m.role, "content": m.content} for m in messages]
    with loopback_client() as client:
        wire = ChatWire("The engine", info.url, api_key=info.key, timeout_s=60.0, max_retries=0, client=client)
        prompt = wire.post("/apply-template", {"messages": turns})["prompt"]
        answer = wire.post("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})
    return [int(token) for token in answer["tokens"]]
