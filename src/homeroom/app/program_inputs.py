"""What a program of several inputs is asked: an example's passages and other inputs beside what somebody wrote.

The tuned model is sent them as `homeroom.app.programs` sends them, so that they stand where its prompt search put them. A base
and its controls read the same labelled text, without the program's instructions. Replies are kept by these messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from homeroom.app.programs import spec_of
from homeroom.evaluation.prompts import PlainPrompt, PromptBuilder
from homeroom.schema.examples import Example, Item, Message
from homeroom.tuning.dspy.spec import ProgramSpec

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.schema.models import TunedModel


@dataclass(frozen=True, slots=True)
class PlainInputs:
    """Another prompt, with all inputs of a program as the text of its last turn."""

    prompt: PromptBuilder
    spec: ProgramSpec

    def __call__(self, item: Item) -> list[Message]:
        """The messages for one item."""
        return _told(self.prompt(item), self.spec.message(self.spec.given(item)))

    @property
    def system_text(self) -> str:
        """Of the prompt, for reports."""
        return str(getattr(self.prompt, "system_text", ""))

    @property
    def demonstrations(self) -> Sequence[Example]:
        """Of the prompt, for reports."""
        return tuple(getattr(self.prompt, "demonstrations", ()))


@dataclass(frozen=True, slots=True)
class NamedInputs:
    """The conversation under a visible system prompt, its last turn as the JSON object of all inputs, which a program reads."""

    spec: ProgramSpec
    system_text: str = ""

    def __call__(self, item: Item) -> list[Message]:
        """The messages for one item."""
        return _told(PlainPrompt(self.system_text)(item), json.dumps(self.spec.given(item), ensure_ascii=False))


def several_inputs(home: Homeroom, models: Iterable[TunedModel]) -> ProgramSpec | None:
    """The first program of several inputs that one of the models was tuned for; None where a turn is all that is asked."""
    specs = (spec_of(home, model) for model in models)
    return next((spec for spec in specs if spec is not None and len(spec.inputs) > 1), None)


def asked_of(home: Homeroom, model: TunedModel) -> PromptBuilder:
    """How a tuned model is asked about an item: with its own visible prompt, and all inputs of its program."""
    system = str(model.settings.get("system_prompt") or "")
    spec = several_inputs(home, [model])
    return NamedInputs(spec, system) if spec is not None else PlainPrompt(system)


def beside(prompt: PromptBuilder, spec: ProgramSpec | None) -> PromptBuilder:
    """How a base is asked for comparison with a program: the prompt as it is where the program has one input."""
    return PlainInputs(prompt, spec) if spec is not None else prompt


def whole_items(items: Iterable[Item], spec: ProgramSpec | None) -> list[Item]:
    """The items as long as they are sent, for forecasts."""
    if spec is None:
        return list(items)
    return [replace(item, prompt=tuple(_told(item.prompt, spec.message(spec.given(item))))) for item in items]


def whole_examples(examples: Iterable[Example], spec: ProgramSpec | None) -> list[Example]:
    """Examples as a control shows them: the question of the last reply with all inputs, as what is asked has them."""
    if spec is None:
        return list(examples)
    return [_whole(example, spec) for example in examples]


def _whole(example: Example, spec: ProgramSpec) -> Example:
    if not (items := list(example.items())):
        return example
    last = items[-1]
    asked, rest = _told(last.prompt, spec.message(spec.given(last))), example.messages[len(last.prompt) :]
    return replace(example, messages=(*asked, *rest))


def _told(messages: Sequence[Message], text: str) -> list[Message]:
    *before, last = messages
    return [*before, replace(last, content=text)]
