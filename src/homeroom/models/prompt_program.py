"""Prompt programs: a tuned prompt as plain data that any chat model runs. Serving one needs no optimiser.

JSON: ``{"format": 1, "instructions": str, "demonstrations": [[{"role", "content"}, ...], ...], "shown_as": "turns" | "appendix",
"base": str, "base_identity": str}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from homeroom.errors import ConfigError, OptionError
from homeroom.schema.chat import ChatModel, Chunk, Completion, FullChatModel, GenerationSettings, ReplyOptions
from homeroom.schema.examples import Message

FILE = "program.json"
FORMAT = 1
ShownAs = Literal["turns", "appendix"]
Demonstration = tuple[Message, ...]


def with_demonstrations(messages: Sequence[Message], shown: Sequence[Demonstration], shown_as: ShownAs) -> list[Message]:
    """``messages`` with demonstrations before them.

    Args:
        messages: A conversation, a system turn first if it has one.
        shown: Dialogues; their system turns are part of an appendix and left out of turns.
        shown_as: ``turns``: earlier turns of the conversation. ``appendix``: text after the system turn, for a simulated learner,
            whose persona the turns of other children would contradict.
    """
    if not shown:
        return list(messages)
    head, tail = [m for m in messages if m.role == "system"], [m for m in messages if m.role != "system"]
    if shown_as == "turns":
        return [*head, *(Message(m.role, m.content) for dialogue in shown for m in dialogue if m.role != "system"), *tail]
    appendix = _appendix(shown)
    text = "\n\n".join([*(m.content for m in head), appendix])
    return [Message("system", text), *tail]


def _appendix(shown: Sequence[Demonstration]) -> str:
    parts = [f"Example {number}\n{_script(dialogue)}" for number, dialogue in enumerate(shown, start=1)]
    return "Examples of how other students talked with their teacher:\n\n" + "\n\n".join(parts) + "\n\nNow it is your turn."


def _script(dialogue: Demonstration) -> str:
    names = {"system": "About the student", "user": "Teacher", "assistant": "Student"}
    return "\n".join(f"{names[m.role]}: {m.content}" for m in dialogue if m.role in names)


@dataclass(frozen=True, slots=True)
class PromptProgram:
    """What prompt tuning leaves behind.

    Attributes:
        instructions: Come before the conversation's own system text; may be empty.
        demonstrations: Dialogues shown before the conversation.
        shown_as: How they are shown.
        base: The model that it was tuned for.
        base_identity: Of that model; for an endpoint the hash of its address and name.
    """

    instructions: str = ""
    demonstrations: tuple[Demonstration, ...] = ()
    shown_as: ShownAs = "turns"
    base: str = ""
    base_identity: str = ""

    def render(self, messages: Sequence[Message]) -> list[Message]:
        """What the model is asked for a conversation: instructions, the conversation's system text, demonstrations, turns."""
        texts = [self.instructions, *(m.content for m in messages if m.role == "system")]
        system = "\n\n".join(text for text in texts if text)
        turns = [m for m in messages if m.role != "system"]
        whole = [Message("system", system), *turns] if system else turns
        return with_demonstrations(whole, self.demonstrations, self.shown_as)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "format": FORMAT,
            "instructions": self.instructions,
            "demonstrations": [[m.to_dict() for m in dialogue] for dialogue in self.demonstrations],
            "shown_as": self.shown_as,
            "base": self.base,
            "base_identity": self.base_identity,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> PromptProgram:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: ``prompt-program`` when it is none, or of a later format.
        """
        try:
            if record["format"] != FORMAT or record["shown_as"] not in ("turns", "appendix"):
                raise ValueError(f"format {record['format']!r}, shown as {record['shown_as']!r}")
            shown = tuple(tuple(Message.from_dict(m) for m in dialogue) for dialogue in record["demonstrations"])
            return cls(str(record["instructions"]), shown, record["shown_as"], str(record["base"]), str(record["base_identity"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"That is no prompt program of format {FORMAT} ({error}). Tune it again: homeroom tune run", code="prompt-program"
            ) from error

    def save(self, folder: Path) -> None:
        """Write ``program.json``."""
        (folder / FILE).write_text(json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> PromptProgram:
        """Read ``program.json``.

        Raises:
            ConfigError: ``prompt-program``.
        """
        try:
            record = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{str(folder / FILE)!r} cannot be read as a prompt program. Tune it again: homeroom tune run",
                code="prompt-program",
            ) from error
        return cls.from_dict(record)


class ProgramChatModel:
    """A chat model asked through a prompt program. Implements `homeroom.schema.chat.ChatModel`.

    Args:
        name: The tuned model's name.
        inner: What answers.
        program: How it is asked.
    """

    def __init__(self, name: str, inner: ChatModel, program: PromptProgram) -> None:
        self.name = name
        self._inner, self._program = inner, program

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply."""
        return replace(self._inner.complete(self._program.render(messages), settings), model=self.name)

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Iterator[Chunk]:
        """The reply piece by piece."""
        return self._inner.stream(self._program.render(messages), settings)

    def complete_with(self, messages: Sequence[Message], settings: GenerationSettings, options: ReplyOptions) -> Completion:
        """The whole reply, with what else is asked for.

        Raises:
            OptionError: what answers can give text alone.
        """
        return replace(self._full.complete_with(self._program.render(messages), settings, options), model=self.name)

    def stream_with(self, messages: Sequence[Message], settings: GenerationSettings, options: ReplyOptions) -> Iterator[Chunk]:
        """The reply piece by piece, with what else is asked for. Raises as `complete_with`."""
        return self._full.stream_with(self._program.render(messages), settings, options)

    def complete_text(self, prompt: str, settings: GenerationSettings, options: ReplyOptions) -> Completion:
        """Nothing: a prompt program is made for conversations.

        Raises:
            OptionError: always.
        """
        raise chats_only(self.name)

    def stream_text(self, prompt: str, settings: GenerationSettings, options: ReplyOptions) -> Iterator[Chunk]:
        """Nothing. Raises as `complete_text`."""
        raise chats_only(self.name)

    @property
    def _full(self) -> FullChatModel:
        if not isinstance(self._inner, FullChatModel):
            raise OptionError(f"{self.name!r} gives text and nothing else", param="model")
        return self._inner


def chats_only(name: str) -> OptionError:
    """What is raised when a model is asked to go on with a text and only takes part in conversations."""
    return OptionError(
        f"{name!r} is a chat model and cannot go on with a text. Use /v1/chat/completions",
        param="model",
        code="not-for-completions",
    )
