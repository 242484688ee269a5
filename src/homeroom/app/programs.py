"""Asking a model through a program that ships with Homeroom: fields in, fields out. Needs no DSPy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from homeroom.app.talk import talking
from homeroom.errors import ConfigError
from homeroom.models.prompt_program import ProgramChatModel
from homeroom.schema.chat import ChatModel, GenerationSettings
from homeroom.schema.examples import Message
from homeroom.tuning.dspy.shipped import shipped
from homeroom.tuning.dspy.spec import ProgramSpec

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

REPLY_TOKENS = 256


class Program:
    """A program and the model that runs it. `name` is the model's."""

    def __init__(self, name: str, spec: ProgramSpec, model: ChatModel, settings: GenerationSettings) -> None:
        self.name = name
        self._spec, self._settings = spec, settings
        self._model = ProgramChatModel(name, model, spec.program(spec.instructions, ()))

    def ask(self, **values: str) -> Mapping[str, Any]:
        """The reply's fields for these values of the program's inputs; one that is left out is empty.

        Raises:
            ConfigError: ``program-inputs``: the program has no such input.
            ProviderError: the model did not answer; ``reply-fields``: its reply lacks a field.
        """
        known = [field.name for field in self._spec.inputs]
        unknown = sorted(values.keys() - set(known))
        if unknown:
            raise ConfigError(
                f"The program {self._spec.name!r} has no input {unknown[0]!r}: it takes {', '.join(known)}. See the table of "
                "programs: docs/how-to/tune-with-dspy.md",
                code="program-inputs",
            )
        whole = {name: values.get(name, "") for name in known}
        text = json.dumps(whole, ensure_ascii=False) if len(known) > 1 else whole[self._spec.main]
        reply = self._model.complete([Message("user", text)], self._settings)
        return dict(reply.fields) if self._spec.fields is not None else {self._spec.reply: reply.text}


@contextmanager
def program(home: Homeroom, name: str, *, model: str = "", max_tokens: int = REPLY_TOKENS) -> Iterator[Program]:
    """A shipped program on any model, untuned, for as long as the block lasts.

    Args:
        home: The open home.
        name: Such as ``feedback_teacher``.
        model: A base, a tuned model, or ``ENDPOINT/MODEL``; the settings' default base when empty.
        max_tokens: Longest reply.

    Raises:
        NotFoundError: ``unknown-program``; no such model, or its base is not on this machine.
    """
    spec = shipped(name)
    with talking(home, model or home.settings.default_base, "tutor") as (models, card):
        drawn = replace(card.generation, temperature=0.0, max_tokens=max_tokens)
        yield Program(card.name, spec, models.chat_model(card.name), drawn)
