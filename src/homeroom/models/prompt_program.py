"""Prompt programs: a tuned prompt as plain data that any chat model runs. Serving one needs no optimiser.

JSON: ``{"format": 1, "instructions": str, "demonstrations": [[{"role", "content"}, ...], ...], "shown_as": "turns" | "appendix",
"base": str, "base_identity": str}``. Format 2 is written for what format 1 cannot say, with the further keys ``slots``
(``[[name, label], ...]``), ``main``, ``outputs`` (``{"schema", "main"}`` or null) and ``members`` (programs, all of them asked).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from homeroom.errors import ConfigError, OptionError
from homeroom.models.prompt_fields import OutputFields, Slot, fill_text
from homeroom.models.reply_choice import middle_reply
from homeroom.schema.chat import ChatModel, Chunk, Completion, FullChatModel, GenerationSettings, ReplyOptions, Usage, is_full
from homeroom.schema.examples import Message

FILE = "program.json"
FORMAT = 1
FIELDS_FORMAT = 2
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


def _turns(dialogue: Demonstration) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in dialogue if m.role != "system"]


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
        slots: The fields of a person's message; one or none takes the message as it is. Demonstrations hold messages that are
            filled already.
        main: The field that a message without field names fills.
        outputs: The fields of a reply; None where the reply is a text.
        members: Programs that are all asked, of whose replies the middle one is given; then nothing else here is used.
    """

    instructions: str = ""
    demonstrations: tuple[Demonstration, ...] = ()
    shown_as: ShownAs = "turns"
    base: str = ""
    base_identity: str = ""
    slots: tuple[Slot, ...] = ()
    main: str = ""
    outputs: OutputFields | None = None
    members: tuple[PromptProgram, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether the model's reply is given as it comes."""
        return self.outputs is None and not self.members

    def render(self, messages: Sequence[Message]) -> list[Message]:
        """What the model is asked for a conversation: instructions, the conversation's system text, demonstrations, turns.

        A system text that says what the instructions say already is not said twice.
        """
        texts = [self.instructions, *(m.content for m in messages if m.role == "system")]
        system = "\n\n".join(text for text in dict.fromkeys(texts) if text)
        turns = [self._filled(m) for m in messages if m.role != "system"]
        whole = [Message("system", system), *turns] if system else turns
        return with_demonstrations(whole, self.demonstrations, self.shown_as)

    def without(self, messages: Sequence[Message]) -> PromptProgram:
        """The program without the demonstrations in which these messages are answered."""
        asked = [(m.role, self._filled(m).content) for m in messages if m.role != "system"]
        kept = tuple(d for d in self.demonstrations if _turns(d)[: len(asked)] != asked)
        return replace(self, demonstrations=kept, members=tuple(member.without(messages) for member in self.members))

    def _filled(self, message: Message) -> Message:
        if message.role != "user" or len(self.slots) < 2:
            return message
        return replace(message, content=fill_text(self.slots, self.main, message.content))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        more: dict[str, Any] = {}
        if self.slots or self.outputs or self.members:
            more = {
                "slots": [[slot.name, slot.label] for slot in self.slots],
                "main": self.main,
                "outputs": {"schema": dict(self.outputs.schema), "main": self.outputs.main} if self.outputs else None,
                "members": [member.to_dict() for member in self.members],
            }
        return {
            "format": FIELDS_FORMAT if more else FORMAT,
            "instructions": self.instructions,
            "demonstrations": [[m.to_dict() for m in dialogue] for dialogue in self.demonstrations],
            "shown_as": self.shown_as,
            "base": self.base,
            "base_identity": self.base_identity,
            **more,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> PromptProgram:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: ``prompt-program`` when it is none, or of a later format.
        """
        try:
            if record["format"] not in (FORMAT, FIELDS_FORMAT) or record["shown_as"] not in ("turns", "appendix"):
                raise ValueError(f"format {record['format']!r}, shown as {record['shown_as']!r}")
            shown = tuple(tuple(Message.from_dict(m) for m in dialogue) for dialogue in record["demonstrations"])
            read = cls(str(record["instructions"]), shown, record["shown_as"], str(record["base"]), str(record["base_identity"]))
            if record["format"] == FORMAT:
                return read
            outputs = record["outputs"]
            return replace(
                read,
                slots=tuple(Slot(str(name), str(label)) for name, label in record["slots"]),
                main=str(record["main"]),
                outputs=OutputFields(dict(outputs["schema"]), str(outputs["main"])) if outputs else None,
                members=tuple(cls.from_dict(member) for member in record["members"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"That is no prompt program of format {FORMAT} or {FIELDS_FORMAT} ({error}). Tune it again: homeroom tune run",
                code="prompt-program",
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


Ask = Callable[[Sequence[Message], GenerationSettings], Completion]


def answer(program: PromptProgram, messages: Sequence[Message], settings: GenerationSettings, ask: Ask, name: str) -> Completion:
    """The reply of a program. Of several fields the main one is the text, the others stay in `Completion.fields`.

    Args:
        program: How the model is asked.
        messages: The conversation.
        settings: How replies are drawn; a schema of the request's own comes before the program's.
        ask: Asks the model.
        name: What the reply's model is called.

    Raises:
        ProviderError: ``reply-fields``.
    """
    if program.members:
        replies = [answer(member, messages, settings, ask, name) for member in program.members]
        chosen = replies[middle_reply([reply.text for reply in replies])]
        tokens = [reply.usage for reply in replies]
        used = Usage(sum(u.prompt_tokens for u in tokens), sum(u.completion_tokens for u in tokens))
        return replace(chosen, usage=used, latency_s=sum(reply.latency_s for reply in replies))
    outputs = program.outputs if settings.json_schema is None else None
    if outputs is not None:
        settings = replace(settings, json_schema=dict(outputs.schema))
    reply = replace(ask(program.render(messages), settings), model=name)
    if outputs is None:
        return reply
    fields = outputs.read(reply.text)
    main = fields[outputs.main]
    return replace(reply, text=main if isinstance(main, str) else json.dumps(main, ensure_ascii=False), fields=fields)


def whole_reply(reply: Completion) -> Iterator[Chunk]:
    """A reply that is there already, as a stream."""
    yield Chunk(reply.text)
    yield Chunk("", reply.finish_reason, reply.usage)


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

    def without_own(self, messages: Sequence[Message]) -> ProgramChatModel:
        """The same model without the demonstrations of this very conversation, whose answer they would give away."""
        return ProgramChatModel(self.name, self._inner, self._program.without(messages))

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply.

        Raises:
            ProviderError: ``reply-fields``: a reply of several fields came without one of them.
        """
        return answer(self._program, messages, settings, self._inner.complete, self.name)

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Iterator[Chunk]:
        """The reply piece by piece; in one piece where it is taken from fields or chosen among several."""
        if self._program.is_plain:
            return self._inner.stream(self._program.render(messages), settings)
        return whole_reply(self.complete(messages, settings))

    def complete_with(self, messages: Sequence[Message], settings: GenerationSettings, options: ReplyOptions) -> Completion:
        """The whole reply, with what else is asked for.

        Raises:
            OptionError: what answers can give text alone, and more is asked for.
        """
        if not (options.asked() or is_full(self._inner)):
            return self.complete(messages, settings)
        full = self._full
        return answer(self._program, messages, settings, lambda m, s: full.complete_with(m, s, options), self.name)

    def stream_with(self, messages: Sequence[Message], settings: GenerationSettings, options: ReplyOptions) -> Iterator[Chunk]:
        """The reply piece by piece, with what else is asked for. Raises as `complete_with`."""
        if not (options.asked() or is_full(self._inner)):
            return self.stream(messages, settings)
        if self._program.is_plain:
            return self._full.stream_with(self._program.render(messages), settings, options)
        return whole_reply(self.complete_with(messages, settings, options))

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
        if not is_full(self._inner):
            raise OptionError(f"{self.name!r} gives text and nothing else", param="model")
        return self._inner


def chats_only(name: str) -> OptionError:
    """What is raised when a model is asked to go on with a text and only takes part in conversations."""
    return OptionError(
        f"{name!r} is a chat model and cannot go on with a text. Use /v1/chat/completions",
        param="model",
        code="not-for-completions",
    )
