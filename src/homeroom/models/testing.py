"""A chat model without a model, for tests and for trying out what uses one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from homeroom.schema.chat import Chunk, Completion, GenerationSettings, Usage
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
