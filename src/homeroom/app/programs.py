"""Asking a model through a program that ships with Homeroom, tuned or not: fields in, fields out. Needs no DSPy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from homeroom.app.holding import held
from homeroom.app.metering import CHAT, Use
from homeroom.app.spending import Spend
from homeroom.app.talk import talking
from homeroom.errors import ConfigError
from homeroom.ledger.purse import Purse
from homeroom.models.prompt_program import ProgramChatModel
from homeroom.schema.chat import ChatModel, GenerationSettings
from homeroom.schema.examples import Message
from homeroom.tuning.dspy import envelope
from homeroom.tuning.dspy.shipped import shipped
from homeroom.tuning.dspy.spec import ProgramSpec

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.chat.directory import ModelCard
    from homeroom.schema.models import TunedModel

REPLY_TOKENS = 256


class Program:
    """A program and the model that runs it. `name` is the model's.

    Args:
        name: Of the model.
        spec: The program's fields.
        model: What is asked: it replies with the fields.
        settings: How replies are drawn.
    """

    def __init__(self, name: str, spec: ProgramSpec, model: ChatModel, settings: GenerationSettings) -> None:
        self.name, self.model, self.settings = name, model, settings
        self._spec = spec

    def ask(self, **values: object) -> Mapping[str, Any]:
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
        text = json.dumps(whole, ensure_ascii=False) if len(known) > 1 else str(whole[self._spec.main])
        reply = self.model.complete([Message("user", text)], self.settings)
        return dict(reply.fields) if self._spec.fields is not None else {self._spec.reply: reply.text}


@contextmanager
def program(
    home: Homeroom, name: str, *, model: str = "", max_tokens: int = REPLY_TOKENS, spend: Spend = 0.0, use: Use = CHAT
) -> Iterator[Program]:
    """A shipped program on any model, for as long as the block lasts.

    A model whose prompt was tuned for the program is asked with that prompt, any other with the program's own instructions.

    Args:
        home: The open home.
        name: Such as ``feedback_teacher``; of a tuned model its own program when empty.
        model: A base, a tuned model, or ``ENDPOINT/MODEL``; the settings' default base when empty.
        max_tokens: Longest reply.
        spend: The most that all its replies may cost at an endpoint, in US dollars: what could cost more than is left is not sent
            (``needs-yes``). ``math.inf`` is whatever they cost. Or what is called with the forecast of one, and raises where
            nobody agrees; then the most that was told is the limit.
        use: What it is asked for: under which purpose calls to endpoints are counted.

    Raises:
        NotFoundError: ``unknown-program``; no such model, or its base is not on this machine.
        ConfigError: ``program-other``: the model was tuned for another program.
    """
    if name or not model:
        shipped(name)  # a wrong name is told before a model is loaded; one's own program has a name that is not shipped
    purse = Purse(0.0)
    with talking(home, model or home.settings.default_base, "tutor", use, purse=purse) as (models, card):
        drawn = replace(card.generation, temperature=0.0, max_tokens=max_tokens)
        spec, ready = _program_of(home, card, name)
        answers = held(home, card, models.chat_model(card.name), purse, spend)
        yield Program(card.name, spec, answers if ready else _with(spec, card, answers), drawn)


def _with(spec: ProgramSpec, card: ModelCard, model: ChatModel) -> ChatModel:
    return ProgramChatModel(card.name, model, spec.program(spec.instructions, ()))


def spec_of(home: Homeroom, tuned: TunedModel) -> ProgramSpec | None:
    """The program that a model's prompt was tuned for; None where its prompt was not."""
    kept = home.artifacts.path(tuned.artifact) / envelope.FILE if tuned.method == "dspy" and tuned.artifact else None
    return envelope.Envelope.load(kept).spec if kept is not None and kept.exists() else None


def _program_of(home: Homeroom, card: ModelCard, name: str) -> tuple[ProgramSpec, bool]:
    """The program that is meant, and whether the model's prompt was tuned for it.

    Raises:
        NotFoundError: ``unknown-program``.
        ConfigError: ``program-other``.
    """
    tuned = home.registry.get(card.name) if card.kind == "tuned" else None
    own = spec_of(home, tuned) if tuned is not None else None
    if own is None:
        return shipped(name), False
    if not name or shipped(name).fingerprint == own.fingerprint:
        return own, True
    raise other_program(card.name, own, name)


def other_program(model: str, own: ProgramSpec, name: str) -> ConfigError:
    """What is raised where a model that was tuned for the program ``own`` is to be asked as the one called ``name``."""
    apart = " of other fields or instructions" if name.replace("-", "_") == own.name else ""
    return ConfigError(
        f"{model!r} was tuned for the program {own.name!r}{apart} and cannot be asked as {name!r}: both prompts would be sent. "
        "Leave the program out, or take another model: homeroom models list",
        code="program-other",
    )
