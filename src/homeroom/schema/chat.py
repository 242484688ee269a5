"""What answers messages: the `ChatModel` protocol and the values that cross it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any, Protocol, TypeGuard, runtime_checkable

from homeroom.schema.examples import Message


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How a reply is drawn. Saved with a model version; a request may override each field.

    Attributes:
        temperature: 0 is greedy; 0 to 2.
        top_p: Nucleus mass, 0 to 1.
        max_tokens: Length limit of one reply in tokens.
        stop: Texts that end the reply (at most 4).
        seed: Same seed, same reply where the provider can; None draws anew.
        repeat_penalty: 1 is off; sent only where the provider is Homeroom's engine.
        json_schema: JSON Schema that the reply must follow, where the provider can.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    seed: int | None = None
    repeat_penalty: float = 1.0
    json_schema: dict[str, Any] | None = None  # a JSON Schema: any JSON

    def to_dict(self) -> dict[str, Any]:
        """Plain data for storage."""
        return {**asdict(self), "stop": list(self.stop)}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> GenerationSettings:
        """The inverse of `to_dict`; unknown keys are ignored so that older versions stay readable."""
        known = {f.name for f in fields(cls)}
        values = {k: v for k, v in record.items() if k in known}
        if "stop" in values:
            values["stop"] = tuple(values["stop"] or ())
        return cls(**values)


# JSON of OpenAI's API, passed through as it is.
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReplyOptions:
    """What a program may ask for besides a reply's text. Never saved with a model.

    Attributes:
        top_logprobs: How many alternatives to tell with each token's log-probability, 0 to 20; None tells nothing.
        tools: Functions that the model may call, as OpenAI's API writes them.
        tool_choice: ``"none"``, ``"auto"``, ``"required"``, or OpenAI's object that names one function; None leaves it open.
        parallel_tool_calls: Whether one reply may call several; None leaves it open.
        presence_penalty: -2 to 2; 0 is off.
        frequency_penalty: -2 to 2; 0 is off.
        logit_bias: Token ids of the model, as texts, to what is added to their logits, -100 to 100.
        strict: Whether a reply must follow `GenerationSettings.json_schema` in every part; otherwise as far as the model can.
        passed: Fields of the request for those who speak OpenAI's API themselves, in place of what they would be given:
            ``response_format``, ``reasoning_effort``, ``verbosity``. The embedded engine does not read them.
    """

    top_logprobs: int | None = None
    tools: tuple[Json, ...] = ()
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[str, float] = field(default_factory=dict)
    strict: bool = False
    passed: Json = field(default_factory=dict)

    def asked(self) -> list[str]:
        """Names of what is asked for that not every chat model gives, as OpenAI's API calls it."""
        names = ("tools", "presence_penalty", "frequency_penalty", "logit_bias")
        found = ["logprobs"] if self.top_logprobs is not None else []
        return [*found, *(name for name in names if getattr(self, name)), *(set(self.passed) - {"response_format"})]


NO_OPTIONS = ReplyOptions()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt plus completion."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Completion:
    """One whole reply.

    Attributes:
        text: What it says.
        model: The model's name.
        finish_reason: ``stop``, ``length``, ``tool_calls`` or ``content_filter``.
        usage: Its tokens.
        latency_s: Wall time.
        logprobs: OpenAI's object ``{token, logprob, bytes, top_logprobs}`` for each token, where it was asked for.
        tool_calls: Calls of functions, as OpenAI's API writes them.
        fields: What a prompt program's reply holds besides the text, by name; empty for a reply that is text alone.
    """

    text: str
    model: str
    finish_reason: str = "stop"
    usage: Usage = Usage()
    latency_s: float = 0.0
    logprobs: tuple[Json, ...] = ()
    tool_calls: tuple[Json, ...] = ()
    fields: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed reply. The last one has ``finish_reason`` and, where the provider sends it, ``usage``.

    ``logprobs`` are those of `Completion` for the tokens of this piece; ``tool_calls`` pieces of calls as OpenAI streams them.
    """

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None
    logprobs: tuple[Json, ...] = ()
    tool_calls: tuple[Json, ...] = ()


@runtime_checkable
class ChatModel(Protocol):
    """Answers messages, whatever is behind it. Thread-safe. ``name`` is the model's name on the wire.

    Raises:
        ProviderError: or one of its subclasses, for everything that goes wrong at the endpoint.
    """

    name: str

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply."""
        ...

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Iterator[Chunk]:
        """The reply piece by piece. Closing the iterator stops the generation at the provider."""
        ...


class FullChatModel(ChatModel, Protocol):
    """A `ChatModel` that also does what OpenAI's API asks for besides text. What it cannot do it refuses.

    Raises:
        OptionError: this model cannot do one of ``options``, which the error names.
        ProviderError: as `ChatModel`.
    """

    def complete_with(self, messages: Sequence[Message], settings: GenerationSettings, options: ReplyOptions) -> Completion:
        """The whole reply."""
        ...

    def stream_with(self, messages: Sequence[Message], settings: GenerationSettings, options: ReplyOptions) -> Iterator[Chunk]:
        """The reply piece by piece."""
        ...

    def complete_text(self, prompt: str, settings: GenerationSettings, options: ReplyOptions) -> Completion:
        """What follows a text that is no conversation."""
        ...

    def stream_text(self, prompt: str, settings: GenerationSettings, options: ReplyOptions) -> Iterator[Chunk]:
        """What follows a text, piece by piece."""
        ...


_FULL = ("complete_with", "stream_with", "complete_text", "stream_text")


def is_full(model: ChatModel) -> TypeGuard[FullChatModel]:
    """Whether it is a `FullChatModel`. Its class is looked at once: each request asks."""
    return _has_all(type(model))


@cache
def _has_all(kind: type) -> bool:
    return all(hasattr(kind, name) for name in _FULL)
