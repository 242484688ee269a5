"""The two forms of a reply that may become an example: a tutor's or a learner's words, and the fields of a program."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from homeroom.app.dspy_job import judge_of
from homeroom.app.program_inputs import NamedInputs
from homeroom.errors import ProviderError
from homeroom.evaluation.field_checks import REPLY, FieldReply, fields_of, score_fields
from homeroom.evaluation.metrics.sound_turn import failed_checks
from homeroom.evaluation.prompts import PlainPrompt, PromptBuilder
from homeroom.schema.chat import ChatModel, Completion, GenerationSettings
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Item, Message
from homeroom.tuning.dspy.packages import require_dspy
from homeroom.tuning.dspy.recipe import DspyRecipe
from homeroom.tuning.dspy.shipped import shipped
from homeroom.tuning.dspy.spec import ProgramSpec

if TYPE_CHECKING:
    from homeroom.schema.models import TunedModel
    from homeroom.tuning.dspy.task import Judge

Json = dict[str, Any]


class Form(Protocol):
    """What is asked, what is kept of a reply, and which replies are good."""

    def prompt(self, system: str) -> PromptBuilder:
        """How an item is asked under the visible system prompt."""

    def complete(self, model: ChatModel, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The reply, with all that is kept of it as its text; an empty one where it cannot be read."""

    def refused(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[Sequence[str]]:
        """Of each reply the titles of the checks that refuse it. Replies of one round: each item once."""

    def is_authored(self, item: Item, text: str) -> bool:
        """Whether the author said the same."""

    def written(self, item: Item, text: str) -> tuple[str, Mapping[str, Any]]:
        """What the assistant says in the example, and what else its record holds."""


@dataclass(frozen=True, slots=True)
class Words:
    """A reply that is a text. Implements `Form`.

    Attributes:
        spec: The program of several inputs that the model was tuned for, if any.
    """

    spec: ProgramSpec | None = None

    def prompt(self, system: str) -> PromptBuilder:
        """The conversation; of several inputs its last turn holds all of them."""
        return NamedInputs(self.spec, system) if self.spec is not None else PlainPrompt(system)

    def complete(self, model: ChatModel, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """As it comes."""
        return model.complete(messages, settings)

    def refused(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[Sequence[str]]:
        """By the checks behind the verdict."""
        return [failed_checks(item, answer) for item, answer in zip(items, answers, strict=True)]

    def is_authored(self, item: Item, text: str) -> bool:
        """Word for word."""
        return text.split() == item.gold.split()

    def written(self, item: Item, text: str) -> tuple[str, Mapping[str, Any]]:
        """The text, and nothing else."""
        return text, {}


@dataclass(frozen=True, slots=True)
class Fields:
    """A reply of several fields, kept as the JSON of all of them. Implements `Form`.

    Attributes:
        program: Whose fields: one of `homeroom.evaluation.field_checks.MAIN`.
    """

    program: str

    def prompt(self, system: str) -> PromptBuilder:
        """The conversation, its last turn as the JSON of all inputs."""
        plain = PlainPrompt(system)

        def ask(item: Item) -> list[Message]:
            given = FieldReply(self.program, item, {}).given
            inputs = {field.name: given.get(field.name, "") for field in shipped(self.program).inputs}
            *before, _ = plain(item)
            return [*before, Message("user", json.dumps(inputs, ensure_ascii=False))]

        return ask

    def complete(self, model: ChatModel, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """All fields as JSON."""
        return _all_fields(model, messages, settings)

    def refused(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[Sequence[str]]:
        """By the checks of the program's fields."""
        return [score.failed for score in score_fields(self.program, items, [answer.text for answer in answers])]

    def is_authored(self, item: Item, text: str) -> bool:
        """In every field."""
        known = {REPLY[self.program]: item.gold, **FieldReply(self.program, item, {}).authored}
        return fields_of(text) == {name: known.get(name) for name in fields_of(text) or {}}

    def written(self, item: Item, text: str) -> tuple[str, Mapping[str, Any]]:
        """The field that a person reads, and the others beside the inputs."""
        said = dict(fields_of(text) or {})
        reply = said.pop(REPLY[self.program])
        before = item.example.extra.get("fields")
        return str(reply), {"fields": {**(before if isinstance(before, Mapping) else {}), "output": said}}


@dataclass(frozen=True, slots=True)
class Own:
    """A reply of a program of one's own, worth what its search chose by. Implements `Form`.

    Attributes:
        spec: The program.
        judge: What its search chose by.
        threshold: From which a reply is good, 0 to 1: that of the search's recipe.
    """

    spec: ProgramSpec
    judge: Judge
    threshold: float

    @classmethod
    def of(cls, tuned: TunedModel, spec: ProgramSpec) -> Own:
        """As the model's recipe says.

        Raises:
            MissingExtraError: DSPy, which the measure belongs to, is not installed.
        """
        require_dspy()
        recipe = DspyRecipe.model_validate(dict(tuned.recipe))
        return cls(spec, judge_of(recipe, spec), recipe.threshold)

    @property
    def program(self) -> str:
        """Its name."""
        return self.spec.name

    def prompt(self, system: str) -> PromptBuilder:
        """The conversation; of several inputs its last turn holds all of them."""
        return NamedInputs(self.spec, system) if len(self.spec.inputs) > 1 else PlainPrompt(system)

    def complete(self, model: ChatModel, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The text, or all fields as JSON."""
        if self.spec.fields is None:
            return model.complete(messages, settings)
        return _all_fields(model, messages, settings)

    def values(self, items: Sequence[Item], texts: Sequence[str]) -> list[float]:
        """What each reply is worth, 0 to 1; an empty one nothing."""
        worth = self.judge.scores(items, [self._judged(text) for text in texts])
        return [value if text else 0.0 for value, text in zip(worth, texts, strict=True)]

    def refused(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[Sequence[str]]:
        """By the threshold."""
        below = (f"at least {self.threshold:g} by the measure of the search, {self.judge.name!r}",)
        return [() if value >= self.threshold else below for value in self.values(items, [a.text for a in answers])]

    def is_authored(self, item: Item, text: str) -> bool:
        """Word for word, in every field."""
        if self.spec.fields is None:
            return text.split() == item.gold.split()
        known = self._authored(item)
        said = fields_of(text) or {}
        return bool(said) and said == {name: known.get(name) for name in said}

    def written(self, item: Item, text: str) -> tuple[str, Mapping[str, Any]]:
        """The field that a person reads, and the others beside the inputs."""
        if self.spec.fields is None:
            return text, {}
        said = dict(fields_of(text) or {})
        reply = said.pop(self.spec.reply)
        before = item.example.extra.get("fields")
        return str(reply), {"fields": {**(before if isinstance(before, Mapping) else {}), "output": said}}

    def authored(self, item: Item) -> str:
        """What the author wrote, in the form of a reply."""
        return item.gold if self.spec.fields is None else json.dumps(self._authored(item), ensure_ascii=False)

    def _authored(self, item: Item) -> Json:
        fields = item.example.extra.get("fields")
        more = fields.get("output") if isinstance(fields, Mapping) else None
        known = {**(more if isinstance(more, Mapping) else {}), **(fields_of(item.gold) or {self.spec.reply: item.gold})}
        return {field.name: known.get(field.name) for field in self.spec.outputs}

    def _judged(self, text: str) -> str:
        if self.spec.fields is None or self.judge.whole:
            return text
        main = (fields_of(text) or {}).get(self.spec.reply, "")
        return main if isinstance(main, str) else json.dumps(main, ensure_ascii=False)


def _all_fields(model: ChatModel, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
    """A reply of several fields as their JSON; an empty one where it cannot be read."""
    try:
        reply = model.complete(messages, settings)
    except ProviderError as error:
        if error.code != "reply-fields":
            raise
        return Completion("", model.name)
    return replace(reply, text=json.dumps(reply.fields, ensure_ascii=False), fields={})
