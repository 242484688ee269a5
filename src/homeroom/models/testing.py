"""A chat model and an embedder without a model, for tests and for trying out what uses one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence

from homeroom.errors import OptionError
from homeroom.schema.chat import Chunk, Completion, GenerationSettings, Usage
from homeroom.schema.embeddings import Embeddings, Vector
from homeroom.schema.examples import Message


class ScriptedChatModel:
    """Implements `homeroom.schema.chat.ChatModel` by a function of the messages. Tokens are words. Thread-safe if ``reply`` is.

        model = ScriptedChatModel("echo", lambda messages: messages[-1].content)

    Args:
        name: The model's name.
        reply: Messages to the whole reply; cut at ``max_tokens`` words and at ``stop`` texts.
    """

    def __init__(self, name: str, reply: Callable[[Sequence[Message]], str]) -> None:
        self.name = name
        self._reply = reply

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply."""
        chunks = list(self.stream(messages, settings))
        text = "".join(chunk.text for chunk in chunks)
        return Completion(text, self.name, chunks[-1].finish_reason or "stop", chunks[-1].usage or Usage())

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Iterator[Chunk]:
        """The reply word by word, then the reason and the usage."""
        text = self._reply(messages)
        for stop in settings.stop:
            text = text.split(stop, 1)[0]
        words = text.split(" ")
        kept = words[: settings.max_tokens]
        for index, word in enumerate(kept):
            yield Chunk(word if index == 0 else f" {word}")
        prompt = sum(len(message.content.split()) for message in messages)
        yield Chunk("", "length" if len(kept) < len(words) else "stop", Usage(prompt, len(kept)))


class WordEmbedder:
    """Implements `homeroom.schema.embeddings.Embedder` by the words of a text, hashed into so many places: no model, no synonyms.

    Tokens are words.
    """

    def __init__(self, name: str, dimensions: int = 32) -> None:
        self.name, self.dimensions = name, dimensions

    def embed(self, texts: Sequence[str], *, dimensions: int | None = None) -> Embeddings:
        """The vectors of ``texts``.

        Raises:
            OptionError: ``dimensions`` is another number than its own.
        """
        if dimensions not in (None, self.dimensions):
            raise OptionError(f"{self.name!r} makes vectors of {self.dimensions} numbers", param="dimensions")
        return Embeddings(tuple(map(self._vector, texts)), sum(len(text.split()) for text in texts))

    def _vector(self, text: str) -> Vector:
        counts = [0.0] * self.dimensions
        for word in text.lower().split():
            counts[hashlib.sha256(word.encode()).digest()[0] % self.dimensions] += 1.0
        length = math.hypot(*counts) or 1.0
        return [count / length for count in counts]
