"""A chat model of the embedded engine: a base model, alone or with one adapter.

Adapters are chosen per request. Every request names every loaded adapter with its scale, because the engine keeps what it is not
told; names become numbers at the moment of sending, because numbers change when the engine is replaced.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

import httpx

from homeroom.errors import HomeroomError, NotFoundError, OptionError, ProviderError
from homeroom.models.client import chat_body, read_chunks, read_completion, text_body
from homeroom.models.engine_info import EngineInfo
from homeroom.models.json_schema import engine_schema, tool_schema
from homeroom.models.wire import ChatWire, Json
from homeroom.schema.chat import NO_OPTIONS, Chunk, Completion, GenerationSettings, ReplyOptions
from homeroom.schema.examples import Message

T = TypeVar("T")
Resolve = Callable[[EngineInfo | None], EngineInfo]
"""Gives the engine to ask. After a failure it is told which engine failed, so that a dead one is not given again."""

Ask = Callable[[ChatWire, EngineInfo], tuple[str, Json]]
"""Path and body of a request to a running engine."""

# Tokens less than a twentieth as likely as the likeliest are never drawn: small models derail on one of them.
_MIN_P = 0.05
_BROKEN = {"provider-broken", "provider-cut"}
_TRIES = 5
_SEEDS = 2**32 - 1  # the engine draws a seed of its own for this one
_GONE = {*_BROKEN, "provider-unreachable", "provider-auth", "adapter-not-loaded"}


class EngineChatModel:
    """Implements `homeroom.schema.chat.FullChatModel` on the embedded engine. Thread-safe.

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
        self._has_tools: dict[str, bool] = {}  # by identity of the base, whose chat template says it

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply.

        Raises:
            ProviderError: or one of its subclasses; `ContextLengthError` with both numbers when the prompt does not fit;
                ``engine-ended`` when the engine died of it twice.
            NotFoundError: ``adapter-not-loaded``.
            OptionError: ``json-schema``.
        """
        return self.complete_with(messages, settings, NO_OPTIONS)

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Generator[Chunk]:
        """The reply piece by piece; closing the iterator stops the generation.

        Raises as `complete`, and ``engine-ended`` in the middle when the engine dies: what came may be kept, the rest is lost.
        """
        return self.stream_with(messages, settings, NO_OPTIONS)

    def complete_with(self, messages: Sequence[Message], settings: GenerationSettings, options: ReplyOptions) -> Completion:
        """The whole reply, with what else is asked for. Raises as `complete`, and OptionError for tools it was not taught."""
        return self._whole(self._chat(messages, settings, options), options)

    def stream_with(self, messages: Sequence[Message], settings: GenerationSettings, options: ReplyOptions) -> Generator[Chunk]:
        """The reply piece by piece, with what else is asked for. Raises as `complete_with` and `stream`."""
        if options.tools and options.top_logprobs is not None:
            raise OptionError("the embedded engine streams calls of tools without 'logprobs'; leave one out", param="logprobs")
        return self._pieces(self._chat(messages, settings, options), options)

    def complete_text(self, prompt: str, settings: GenerationSettings, options: ReplyOptions) -> Completion:
        """What follows ``prompt``, which may hold the model's own marks of turns. Raises as `complete`."""
        return self._whole(self._text(prompt, settings, options), options)

    def stream_text(self, prompt: str, settings: GenerationSettings, options: ReplyOptions) -> Generator[Chunk]:
        """What follows ``prompt``, piece by piece. Raises as `stream`."""
        return self._pieces(self._text(prompt, settings, options), options)

    def _whole(self, ask: Ask, options: ReplyOptions) -> Completion:
        started = time.monotonic()
        answer = self._answered(lambda wire, info: wire.post(*ask(wire, info)))
        completion = read_completion(answer, self.name, time.monotonic() - started)
        calls = completion.tool_calls
        if options.parallel_tool_calls is False and len(calls) > 1:  # the engine knows no such limit
            completion = replace(completion, tool_calls=calls[:1], finish_reason="tool_calls")
        return replace(completion, logprobs=_cut(completion.logprobs, options))

    def _pieces(self, ask: Ask, options: ReplyOptions) -> Generator[Chunk]:
        def begin(wire: ChatWire, info: EngineInfo) -> tuple[Generator[Json], list[Json]]:
            path, body = ask(wire, info)
            events = wire.stream(path, {**body, "stream": True, "stream_options": {"include_usage": True}})
            return events, [event for event in [next(events, None)] if event is not None]

        events, first = self._answered(begin)
        try:
            chunks = read_chunks(chain(first, events))
            for chunk in _first_call(chunks) if options.parallel_tool_calls is False else chunks:
                yield replace(chunk, logprobs=_cut(chunk.logprobs, options)) if chunk.logprobs else chunk
        except ProviderError as error:
            raise _explained(error) from error
        finally:
            events.close()

    def _chat(self, messages: Sequence[Message], settings: GenerationSettings, options: ReplyOptions) -> Ask:
        """A reply in a conversation.

        One that follows a JSON Schema is asked for as the text after the conversation's prompt: there the engine keeps to the
        whole schema, and does not parse a reply that was cut off.
        """
        for name in options.passed.keys() - {"response_format"}:
            raise OptionError(f"the embedded engine's models know no {name!r}; leave it out", param=name)
        schema = settings.json_schema
        if schema is not None:
            if options.tools:
                raise OptionError("the embedded engine calls tools or follows a 'response_format', not both", param="tools")
            schema = engine_schema(schema, strict=options.strict)
        calls = _calls(messages) if options.tools else messages
        settings = replace(settings, json_schema=None)
        asked = _local(options)

        def ask(wire: ChatWire, info: EngineInfo) -> tuple[str, Json]:
            if options.tools and not self._takes_tools(info):
                raise OptionError(
                    f"{self.name!r} was not taught to call tools: its chat template has no place for them. Leave 'tools' out, or "
                    "ask a model that was",
                    param="tools",
                )
            body = chat_body(calls, settings, asked)
            if schema is None:
                return "/chat/completions", {**body, **self._fixed(settings, options, info)}
            template = engine_wire(info, self._client, timeout_s=self._timeout_s, api="")
            prompt = str(template.post("/apply-template", {"messages": body["messages"]})["prompt"])
            body = text_body(prompt, settings, asked)
            return "/completions", {**body, **self._fixed(settings, options, info), "json_schema": schema}

        return ask

    def _text(self, prompt: str, settings: GenerationSettings, options: ReplyOptions) -> Ask:
        body = text_body(prompt, settings, _local(options))
        return lambda wire, info: ("/completions", {**body, **self._fixed(settings, options, info)})

    def _takes_tools(self, info: EngineInfo) -> bool:
        if info.identity not in self._has_tools:
            properties = engine_wire(info, self._client, timeout_s=self._timeout_s, api="").get("/props")
            self._has_tools[info.identity] = bool((properties.get("chat_template_caps") or {}).get("supports_tools"))
        return self._has_tools[info.identity]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _answered(self, send: Callable[[ChatWire, EngineInfo], T]) -> T:
        return answered(self._resolve, self._wire, send)

    def _wire(self, info: EngineInfo) -> ChatWire:
        return engine_wire(info, self._client, timeout_s=self._timeout_s)

    def _fixed(self, settings: GenerationSettings, options: ReplyOptions, info: EngineInfo) -> Json:
        """The fields that only the engine knows."""
        if self._adapter is not None and self._adapter not in info.adapters:
            raise NotFoundError(
                f"The engine has no adapter {self._adapter!r}; it has {', '.join(sorted(info.adapters)) or 'none'}. If it was"
                " made just now, try again in a moment; otherwise see: homeroom models list",
                code="adapter-not-loaded",
            )
        fields: Json = {
            "model": info.base,
            "repeat_penalty": settings.repeat_penalty,
            "top_k": 0,
            "min_p": _MIN_P,
            # With it on, answers under concurrent adapters differed from the cold ones.
            "cache_prompt": False,
            "lora": [{"id": index, "scale": 1.0 if name == self._adapter else 0.0} for name, index in info.adapters.items()],
        }
        if settings.seed is not None:
            fields["seed"] = settings.seed % _SEEDS
        if options.presence_penalty or options.frequency_penalty:
            fields["repeat_last_n"] = info.context_tokens  # of the whole reply, as OpenAI counts them
        return fields


def answered(resolve: Resolve, wire: Callable[[EngineInfo], ChatWire], send: Callable[[ChatWire, EngineInfo], T]) -> T:
    """``send`` to the running engine; again if it was replaced, and once more if it died, before it began to answer.

    Raises:
        ProviderError: or one of its subclasses; ``engine-ended`` when the engine died of it twice.
        NotFoundError: ``adapter-not-loaded``.
    """
    failed: EngineInfo | None = None
    died = 0
    for _ in range(_TRIES):
        info = resolve(failed)
        if failed is not None and (info.pid, info.url) == (failed.pid, failed.url):
            break
        try:
            return send(wire(info), info)
        except (ProviderError, NotFoundError) as error:
            failure = error
            died += error.code in _BROKEN
            if error.code not in _GONE or died == 2:
                break
            failed = None if error.code == "adapter-not-loaded" else info
    raise _explained(failure) from failure.__cause__


def _local(options: ReplyOptions) -> ReplyOptions:
    """The options as the engine takes them: it needs one alternative to tell any, and names a function by offering no other."""
    tools = tuple(_shaped(tool, f"tools[{index}].function.parameters") for index, tool in enumerate(options.tools))
    likely = None if options.top_logprobs is None else max(1, options.top_logprobs)
    found = replace(options, passed={}, top_logprobs=likely, tools=tools)
    if isinstance(options.tool_choice, str) or options.tool_choice is None:
        return found
    name = options.tool_choice["function"]["name"]
    chosen = tuple(tool for tool in tools if tool["function"]["name"] == name)
    return replace(found, tools=chosen, tool_choice="required")


def _shaped(tool: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """A tool with no more in its parameters than the engine's grammar bears."""
    function = tool["function"]
    if not function.get("parameters"):
        return tool
    return {**tool, "function": {**function, "parameters": tool_schema(function["parameters"], param=where)}}


def _calls(messages: Sequence[Message]) -> Sequence[Message]:
    """``messages``, whose earlier calls of tools the engine will read.

    Raises:
        OptionError: the arguments of a call are no JSON object, which the engine cannot show to the model.
    """
    for index, message in enumerate(messages):
        for call in message.extra.get("tool_calls") or ():
            try:
                arguments = json.loads(call["function"]["arguments"])
            except ValueError:
                arguments = None
            if not isinstance(arguments, dict):
                where = f"messages[{index}].tool_calls"
                raise OptionError(f"the arguments of a call in '{where}' are no JSON object", param=where, code="bad-request")
    return messages


def _first_call(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The chunks without all calls of tools but the first. The engine is read to its end, which tells the usage."""
    more = False
    for chunk in chunks:
        calls = tuple(call for call in chunk.tool_calls if not call.get("index"))
        more = more or len(calls) < len(chunk.tool_calls)
        yield replace(
            chunk, tool_calls=calls, finish_reason="tool_calls" if more and chunk.finish_reason else chunk.finish_reason
        )


def _cut(logprobs: Iterable[Mapping[str, Any]], options: ReplyOptions) -> tuple[Json, ...]:
    """As many alternatives as were asked for."""
    count = options.top_logprobs or 0
    return tuple({**entry, "top_logprobs": entry["top_logprobs"][:count]} for entry in logprobs)


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


def engine_wire(info: EngineInfo, client: httpx.Client, *, timeout_s: float = 60.0, api: str = "/v1") -> ChatWire:
    """The wire to a running engine. No retries: the engine queues, and what it refuses it refuses again."""
    return ChatWire("The engine", f"{info.url}{api}", api_key=info.key, timeout_s=timeout_s, max_retries=0, client=client)


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
