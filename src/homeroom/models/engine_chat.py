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

from homeroom.errors import HomeroomError, NotFoundError, ProviderError
from homeroom.models.client import chat_body, read_chunks, read_completion
from homeroom.models.engine_info import EngineInfo
from homeroom.models.wire import ChatWire, Json
from homeroom.schema.chat import Chunk, Completion, GenerationSettings
from homeroom.schema.examples import Message

T = TypeVar("T")
Resolve = Callable[[EngineInfo | None], EngineInfo]
"""Gives the engine to ask. After a failure it is told which engine failed, so that a dead one is not given again."""

# Tokens less than a twentieth as likely as the likeliest are never drawn: small models derail on one of them.
_MIN_P = 0.05
_BROKEN = {"provider-broken", "provider-cut"}
_TRIES = 5
_GONE = {*_BROKEN, "provider-unreachable", "provider-auth", "adapter-not-loaded"}


class EngineChatModel:
    """Implements `homeroom.schema.chat.ChatModel` on the embedded engine. Thread-safe.

    Args:
        name: The model's name in Homeroom.
        resolve: Gives the running engine: `EngineManager.ensure`, or what asks another process for it.
        adapter: Name of the adapter to apply; None for the base alone.
        timeout_s: Limit of one call in all.
    """

    def __init__(self, name: str, resolve: Resolve, adapter: str | None = None, *, timeout_s: float = 600.0) -> None:
        self.name = name
        self._resolve, self._adapter, self._timeout_s = resolve, adapter, timeout_s
        self._client = loopback_client()

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply.

        Raises:
            ProviderError: or one of its subclasses; `ContextLengthError` with both numbers when the prompt does not fit;
                ``engine-ended`` when the engine died of it twice.
            NotFoundError: ``adapter-not-loaded``.
        """
        started = time.monotonic()
        answer = self._answered(lambda wire, info: wire.post("/chat/completions", self._body(messages, settings, info)))
        return read_completion(answer, self.name, time.monotonic() - started)

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Generator[Chunk]:
        """The reply piece by piece; closing the iterator stops the generation.

        Raises as `complete`, and ``engine-ended`` in the middle when the engine dies: what came may be kept, the rest is lost.
        """

        def begin(wire: ChatWire, info: EngineInfo) -> tuple[Generator[Json], list[Json]]:
            body = {**self._body(messages, settings, info), "stream": True, "stream_options": {"include_usage": True}}
            events = wire.stream("/chat/completions", body)
            return events, [event for event in [next(events, None)] if event is not None]

        events, first = self._answered(begin)
        try:
            yield from read_chunks(chain(first, events))
        except ProviderError as error:
            raise _explained(error) from error
        finally:
            events.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _answered(self, send: Callable[[ChatWire, EngineInfo], T]) -> T:
        """``send`` to the running engine; again if it was replaced, and once more if it died, before it began to answer."""
        failed: EngineInfo | None = None
        died = 0
        for _ in range(_TRIES):
            info = self._resolve(failed)
            if failed is not None and (info.pid, info.url) == (failed.pid, failed.url):
                break
            try:
                return send(self._wire(info), info)
            except (ProviderError, NotFoundError) as error:
                failure = error
                died += error.code in _BROKEN
                if error.code not in _GONE or died == 2:
                    break
                failed = None if error.code == "adapter-not-loaded" else info
        raise _explained(failure) from failure.__cause__

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


def _explained(error: HomeroomError) -> HomeroomError:
    """What a broken connection means when it is one to our own engine."""
    if error.code not in _BROKEN:
        return error
    return ProviderError(
        "The engine ended in the middle of this answer, and is started again by itself. Ask once more. If this happens again, its"
        " last words are in logs/engine.log of the home: homeroom doctor",
        code="engine-ended",
        status=502,
    )


def loopback_client() -> httpx.Client:
    """A connection pool for engines of this machine: no proxy, and no time spent on loading certificates."""
    return httpx.Client(
        trust_env=False,
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
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
