"""A chat model behind any OpenAI-compatible endpoint: OpenAI, Azure, Ollama, vLLM, another Homeroom."""

from __future__ import annotations

import reprlib
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from homeroom.errors import ProviderError
from homeroom.models.wire import ChatWire, Json
from homeroom.schema.chat import NO_OPTIONS, Chunk, Completion, GenerationSettings, ReplyOptions, Usage
from homeroom.schema.costs import Meter
from homeroom.schema.examples import Message

_NEVER = -9999.0
_OTHER_FORM = (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError)  # what JSON of another form ends in


class OpenAIChatModel:
    """Implements `homeroom.schema.chat.FullChatModel` over OpenAI's API. Thread-safe.

    What the endpoint cannot do, it refuses itself.

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
        max_retries: int = 2,
        pause_s: float = 0.5,
        extra: Mapping[str, Any] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.name = name
        self._model = model
        self._extra = dict(extra or {})
        self._wire = ChatWire(
            f"{name!r}", base_url, api_key=api_key, timeout_s=timeout_s, max_retries=max_retries, pause_s=pause_s, meter=meter
        )

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply."""
        return self.complete_with(messages, settings, NO_OPTIONS)

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Generator[Chunk]:
        """The reply piece by piece; closing the iterator closes the connection."""
        return self.stream_with(messages, settings, NO_OPTIONS)

    def complete_with(self, messages: Sequence[Message], settings: GenerationSettings, options: ReplyOptions) -> Completion:
        """The whole reply, with what else is asked for."""
        return self._whole("/chat/completions", chat_body(messages, settings, options))

    def stream_with(self, messages: Sequence[Message], settings: GenerationSettings, options: ReplyOptions) -> Generator[Chunk]:
        """The reply piece by piece, with what else is asked for."""
        return self._pieces("/chat/completions", chat_body(messages, settings, options))

    def complete_text(self, prompt: str, settings: GenerationSettings, options: ReplyOptions) -> Completion:
        """What follows ``prompt``."""
        return self._whole("/completions", text_body(prompt, settings, options))

    def stream_text(self, prompt: str, settings: GenerationSettings, options: ReplyOptions) -> Generator[Chunk]:
        """What follows ``prompt``, piece by piece."""
        return self._pieces("/completions", text_body(prompt, settings, options))

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def _whole(self, path: str, body: Json) -> Completion:
        started = time.monotonic()
        answer = self._wire.post(path, self._own(body))
        return read_completion(answer, self.name, time.monotonic() - started)

    def _pieces(self, path: str, body: Json) -> Generator[Chunk]:
        events = self._wire.stream(path, {**self._own(body), "stream": True, "stream_options": {"include_usage": True}})
        try:
            yield from read_chunks(events, repr(self.name))
        finally:
            events.close()

    def _own(self, body: Json) -> Json:
        """The body for this endpoint's model, with the fields that the endpoint needs besides."""
        whole = {"model": self._model, **body, **self._extra}
        return {key: value for key, value in whole.items() if value is not None}


def chat_body(messages: Sequence[Message], settings: GenerationSettings, options: ReplyOptions = NO_OPTIONS) -> Json:
    """The fields of a chat request that every provider knows. ``weight`` stays at home: it is about training.

    What a turn has besides its text (calls of tools and their answers) is sent only when there are tools to speak of.
    """
    body = {"messages": [_turn(m, tools=bool(options.tools)) for m in messages], **_sampling(settings, options)}
    if settings.json_schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": settings.json_schema}}
    if options.top_logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": options.top_logprobs}
    if options.tools:
        body |= {"tools": list(options.tools)}
        given = {"tool_choice": options.tool_choice, "parallel_tool_calls": options.parallel_tool_calls}
        body |= {name: value for name, value in given.items() if value is not None}
    return {**body, **options.passed}


def text_body(prompt: str, settings: GenerationSettings, options: ReplyOptions) -> Json:
    """The fields of a request to go on with a text."""
    body: Json = {"prompt": prompt, **_sampling(settings, options)}
    if options.top_logprobs is not None:
        body["logprobs"] = options.top_logprobs
    return {**body, **options.passed}


def _turn(message: Message, *, tools: bool) -> Json:
    turn: Json = {"role": message.role, "content": message.content}
    return {**turn, **message.extra} if tools else turn


def _sampling(settings: GenerationSettings, options: ReplyOptions) -> Json:
    body: Json = {"temperature": settings.temperature, "top_p": settings.top_p, "max_tokens": settings.max_tokens}
    if settings.stop:
        body["stop"] = list(settings.stop)
    if settings.seed is not None:
        body["seed"] = settings.seed
    for name in ("presence_penalty", "frequency_penalty", "logit_bias"):
        if getattr(options, name):
            body[name] = getattr(options, name)
    return body


def read_completion(answer: Json, name: str, latency_s: float) -> Completion:
    """A `Completion` from the provider's JSON: of a chat, or of a text that was gone on with.

    Raises:
        ProviderError: ``provider-answer`` when it is neither.
    """
    try:
        choice = answer["choices"][0]
        message = choice["message"] if "message" in choice else {"content": choice["text"]}
        return Completion(
            _text(message.get("content")),
            name,
            _reason(choice.get("finish_reason") or "stop"),
            _usage(answer.get("usage")) or Usage(),
            latency_s,
            read_logprobs(choice),
            tuple(message.get("tool_calls") or ()),
        )
    except _OTHER_FORM as error:
        raise _no_completion(repr(name), answer) from error


def read_chunks(events: Iterable[Json], where: str = "The endpoint") -> Iterator[Chunk]:
    """Chunks from a provider's events: pieces as they come, then one last chunk with the reason and, where sent, the usage.

    Raises:
        ProviderError: ``provider-answer`` when an event is not of a reply; ``where`` is what the message calls the provider.
    """
    reason, usage = "stop", None
    for event in events:
        try:
            usage = _usage(event.get("usage")) or usage
            choices = list(event.get("choices") or [])
            chunks = [_chunk(choice) for choice in choices]
        except _OTHER_FORM as error:
            raise _no_completion(where, event) from error
        yield from (chunk for chunk in chunks if chunk.text or chunk.logprobs or chunk.tool_calls)
        reason = next((choice["finish_reason"] for choice in reversed(choices) if choice.get("finish_reason")), reason)
    yield Chunk("", _reason(reason), usage)


def _chunk(choice: Json) -> Chunk:
    delta = choice.get("delta") or {}
    text = _text(delta.get("content") or choice.get("text"))
    return Chunk(text, logprobs=read_logprobs(choice), tool_calls=tuple(delta.get("tool_calls") or ()))


def _text(value: object) -> str:
    if not isinstance(value or "", str):
        raise TypeError(type(value).__name__)
    return str(value or "")


def _no_completion(where: str, answer: Json) -> ProviderError:
    return ProviderError(
        f"{where} gave an answer that is no completion ({reprlib.repr(answer)[:80]!r}). Check its address in the settings",
        code="provider-answer",
    )


def read_logprobs(choice: Json) -> tuple[Json, ...]:
    """The log-probabilities of a choice, token by token, in the form of the chat API.

    That of the old completions API is turned into it. An end of the reply, which has no text, is left out.
    """
    record = choice.get("logprobs") or {}
    if "tokens" in record:
        tops = record.get("top_logprobs") or [{}] * len(record["tokens"])
        rows = zip(record["tokens"], record["token_logprobs"], tops, strict=False)
        return tuple(
            {**_token(token, logprob), "top_logprobs": [_token(*pair) for pair in (top or {}).items()]}
            for token, logprob, top in rows
        )
    return tuple(
        {
            **_token(entry["token"], entry.get("logprob"), entry.get("bytes")),
            "top_logprobs": [_token(t["token"], t.get("logprob"), t.get("bytes")) for t in entry.get("top_logprobs") or []],
        }
        for entry in record.get("content") or []
        if entry["token"] or entry.get("bytes")
    )


def _token(token: str, logprob: float | None, code: list[int] | None = None) -> Json:
    """Infinitely unlikely is null in JSON, and -9999 in OpenAI's API."""
    return {"token": token, "logprob": _NEVER if logprob is None else logprob, "bytes": code or list(token.encode())}


def _reason(reason: str) -> str:
    return reason if reason in ("stop", "length", "tool_calls", "content_filter") else "stop"


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
