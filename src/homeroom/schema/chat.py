"""What answers messages: the `ChatModel` protocol and the values that cross it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol, runtime_checkable

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
    """One whole reply. ``finish_reason`` is ``stop``, ``length`` or ``content_filter``; ``latency_s`` is wall time."""

    text: str
    model: str
    finish_reason: str = "stop"
    usage: Usage = Usage()
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed reply. The last one has ``finish_reason`` and, where the provider sends it, ``usage``."""

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None


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
