"""A chat model behind any OpenAI-compatible endpoint: OpenAI, Azure, Ollama, vLLM, another Homeroom."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from homeroom.errors import ProviderError
from homeroom.models.wire import ChatWire, Json
from homeroom.schema.chat import Chunk, Completion, GenerationSettings, Usage
from homeroom.schema.examples import Message


class OpenAIChatModel:
    """Implements `homeroom.schema.chat.ChatModel` over OpenAI's chat API. Thread-safe.

    Args:
        name: The model's name in Homeroom, ``endpoint/model`` or ``ft:...``.
        base_url: Address up to and including ``/v1``.
        model: The endpoint's own name for it.
        api_key: Bearer token; never shown or logged.
        timeout_s: Limit of one call in all, retries included.
        max_retries: Further tries after a failure that may pass.
        pause_s: Before the first further try; doubled each time, unless the endpoint asks for another.
        extra: More fields for every request, for what one endpoint needs (``{"max_completion_tokens": 512}``); None removes a
            field.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        max_retries: int = 2,
        pause_s: float = 0.5,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self._model = model
        self._extra = dict(extra or {})
        self._wire = ChatWire(
            f"{name!r}", base_url, api_key=api_key, timeout_s=timeout_s, max_retries=max_retries, pause_s=pause_s
        )

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply."""
        started = time.monotonic()
        answer = self._wire.post("/chat/completions", self._body(messages, settings))
        return read_completion(answer, self.name, time.monotonic() - started)

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Generator[Chunk]:
        """The reply piece by piece; closing the iterator closes the connection."""
        body = {**self._body(messages, settings), "stream": True, "stream_options": {"include_usage": True}}
        events = self._wire.stream("/chat/completions", body)
        try:
            yield from read_chunks(events)
        finally:
            events.close()

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def _body(self, messages: Sequence[Message], settings: GenerationSettings) -> Json:
        body = {"model": self._model, **chat_body(messages, settings), **self._extra}
        return {key: value for key, value in body.items() if value is not None}


def chat_body(messages: Sequence[Message], settings: GenerationSettings) -> Json:
    """The fields of a chat request that every provider knows. ``weight`` stays at home: it is about training."""
    body: Json = {
        "messages": [{"role": m.role, "content": m.content} for m in messages],
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_tokens": settings.max_tokens,
    }
    if settings.stop:
        body["stop"] = list(settings.stop)
    if settings.seed is not None:
        body["seed"] = settings.seed
    if settings.json_schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": settings.json_schema}}
    return body


def read_completion(answer: Json, name: str, latency_s: float) -> Completion:
    """A `Completion` from the provider's JSON.

    Raises:
        ProviderError: ``provider-answer`` when it is not a chat completion.
    """
    try:
        choice = answer["choices"][0]
        text = choice["message"].get("content") or ""
        reason = choice.get("finish_reason") or "stop"
        usage = _usage(answer.get("usage"))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ProviderError(
            f"{name!r} gave an answer that is no chat completion ({str(answer)[:80]!r}). Check its address in the settings",
            code="provider-answer",
        ) from error
    return Completion(text, name, _reason(reason), usage or Usage(), latency_s)


def read_chunks(events: Iterable[Json]) -> Iterator[Chunk]:
    """Chunks from a provider's events: texts as they come, then one last chunk with the reason and, where sent, the usage."""
    reason, usage = "stop", None
    for event in events:
        usage = _usage(event.get("usage")) or usage
        for choice in event.get("choices") or []:
            text = (choice.get("delta") or {}).get("content")
            if text:
                yield Chunk(text)
            reason = choice.get("finish_reason") or reason
    yield Chunk("", _reason(reason), usage)


def _reason(reason: str) -> str:
    return reason if reason in ("stop", "length", "content_filter") else "stop"


def _usage(record: Any) -> Usage | None:  # JSON of the provider's making
    if not isinstance(record, dict):
        return None
    return Usage(int(record.get("prompt_tokens") or 0), int(record.get("completion_tokens") or 0))


def list_models(base_url: str, api_key: str | None = None, *, timeout_s: float = 3.0) -> tuple[str, ...]:
    """The names that an endpoint lists under ``/models``; none when it cannot be reached or lists nothing readable."""
    import httpx

    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        answer = httpx.get(f"{base_url.rstrip('/')}/models", headers=headers, timeout=timeout_s)
        rows = answer.json()["data"] if answer.status_code == httpx.codes.OK else []
        return tuple(str(row["id"]) for row in rows)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        return ()
