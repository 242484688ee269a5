"""A model's good replies as examples: what an optimised prompt says well becomes data for the next round, or for weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from homeroom.app.dspy_job import shipped_as
from homeroom.app.evaluation import spread
from homeroom.app.field_programs import program_of, require_dialogue, require_fields
from homeroom.app.holding import answering_as
from homeroom.app.metering import Use
from homeroom.app.programs import spec_of
from homeroom.app.spending import ASK_AGAIN, Asked, Quote, Spend, agreed, questions_quote
from homeroom.app.talk import identity_of, talking
from homeroom.app.trace_forms import Fields, Form, Own, Words
from homeroom.data.bundled import PROGRAM_DATA
from homeroom.data.datasets import Dataset
from homeroom.errors import ConfigError, DataError
from homeroom.evaluation.answers import generate, unanswered
from homeroom.ledger.purse import Purse
from homeroom.models.prompt_program import ProgramChatModel
from homeroom.schema.chat import ChatModel, Chunk, Completion, GenerationSettings
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Example, Item, Message

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.chat.directory import ModelCard

SEED = 20
WARM = 0.8  # of every attempt after the first
KEPT = (
    *("task", "subject", "grade", "grade_band", "topic", "difficulty", "question_type", "scenario", "pedagogical_framework"),
    *("standards", "language", "temperament", "licence"),
)
"""Metadata that are as true of the new reply as of the authored one."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What a model answered well.

    Attributes:
        model: Its name.
        dataset: ``name@version`` whose train part was asked.
        examples: The good replies, each with the conversation before it.
        asked: Replies in all.
        failed: Replies that each check refused, by its title; a reply may be refused by several.
        authored: Good replies that say what the author said: they are in the dataset already.
        unanswered: Replies that are empty, cut off, or never came.
    """

    model: str
    dataset: str
    examples: tuple[Example, ...]
    asked: int
    failed: Mapping[str, int]
    authored: int
    unanswered: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without the examples."""
        counts = {"asked": self.asked, "kept": len(self.examples), "authored": self.authored, "unanswered": self.unanswered}
        return {"model": self.model, "dataset": self.dataset, **counts, "failed": dict(self.failed)}


def good_traces(
    home: Homeroom,
    model: str,
    dataset: str,
    *,
    task: str | None = None,
    attempts: int = 1,
    limit: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    spend: Spend = 0.0,
) -> Traces:
    """The replies of a model to the train part of a dataset that pass every check; of a program of your own, its measure.

    Neither validation nor test are asked. No question is shown its own answer, where a tuned prompt demonstrates it. Replies are
    kept: a call that was interrupted asks only for the others.

    Args:
        home: The open home.
        model: Name, id8 or suffix; a base or ``ENDPOINT/MODEL`` will do.
        dataset: Version.
        task: ``tutor`` or ``learner``; what the model is for when None.
        attempts: Replies to each question; after the first they are drawn at a temperature.
        limit: Most questions, spread over the topics.
        on_progress: Called with replies that are there, and of how many.
        spend: The most that replies at endpoints may cost, in US dollars; ``math.inf`` is whatever they cost. Those that are kept
            cost nothing. Or what is called with the forecast, and raises where nobody agrees; the most of it is then the limit.

    Raises:
        NotFoundError: no such model or dataset.
        DataError: ``no-items``: the train part has no example of the task; ``program-fields``: nor one for one's own program.
        ConfigError: ``traces-fields``: the dataset has not the fields of its program;
            ``program-data``: the dataset has fields, and the model none; ``needs-yes``: it could cost more than ``spend``;
            ``key-not-set``; ``count-invalid``: ``attempts`` or ``limit`` is less than 1. Nothing was asked.
        ProviderError: the model failed too often.
        PurseSpent: ``run-spent``: what was agreed to is used up, as replies were lost. What was answered is kept.
    """
    for argument, value in (("attempts", attempts), ("limit", limit)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ConfigError(f"{argument}={value!r} asks nothing. Write a number from 1 up", code="count-invalid")
    found = home.datasets.get(dataset)
    purse = Purse(0.0, how=ASK_AGAIN)
    with talking(home, model, task or "tutor", Use("data"), purse) as (directory, card):
        part = task or (card.task if card.task in ("tutor", "learner") else "tutor")
        items = spread(found.part("train", part), limit or 1_000_000, max_turns=1_000)
        if not items:
            raise DataError(
                f"The train part of {found.info.name}@{found.info.version} has no example of the task {part!r} (the dataset has: "
                f"{', '.join(found.tasks)}). Name another dataset or --task",
                code="no-items",
            )
        form = _form(home, card, found, items)
        asked = _Asking(
            directory.chat_model(card.name), form, f"{identity_of(home, card)}:traces", card.settings, home, on_progress
        )
        purse.allow(agreed(asked.quotes(card.name, answering_as(home, card), items, attempts), spend))
        rounds = [asked.round(items, attempt, attempts) for attempt in range(attempts)]
    return _sorted(card.name, f"{found.info.name}@{found.info.version}", form, items, rounds)


def _form(home: Homeroom, card: ModelCard, dataset: Dataset, items: Sequence[Item]) -> Form:
    """What the model's replies are.

    Raises:
        ConfigError: ``traces-fields``, ``program-data``. DataError: ``program-fields``.
    """
    tuned = home.registry.get(card.name) if card.kind == "tuned" else None
    spec = spec_of(home, tuned) if tuned is not None else None
    if tuned is not None and spec is not None and not shipped_as(spec):
        require_fields(spec, dataset, items, own=True)
        return Own.of(tuned, spec)
    if spec is None or spec.fields is None:
        require_dialogue(dataset)
        return Words(spec if spec is not None and len(spec.inputs) > 1 else None)
    if program_of(dataset) != spec.name:
        raise ConfigError(
            f"{card.name!r} was tuned for the program {spec.name!r}, and {dataset.info.name}@{dataset.info.version} holds no "
            f"examples of it. Name some: --dataset {PROGRAM_DATA[spec.name]}",
            code="traces-fields",
        )
    return Fields(spec.name)


@dataclass(frozen=True, slots=True)
class _Asking:
    """Who is asked, and how."""

    model: ChatModel
    form: Form
    identity: str
    settings: Mapping[str, Any]
    home: Homeroom
    told: Callable[[int, int], None]

    def quotes(self, label: str, systems: Sequence[Asked], items: Sequence[Item], attempts: int) -> list[Quote]:
        """What the replies will cost that are not kept."""
        missing = [
            messages
            for attempt in range(attempts)
            for messages in unanswered(items, self._drawn(attempt), **self._about, identity=self.identity)
        ]
        return questions_quote(self.home, label, systems, missing, self._drawn(0).max_tokens)

    def round(self, items: Sequence[Item], attempt: int, attempts: int) -> list[Answer]:
        """One reply to each item."""
        return generate(
            items,
            _WithoutOwn(self.model, self.form),
            self._drawn(attempt),
            **self._about,
            identity=self.identity,
            concurrency=self.home.settings.engine_slots,
            on_progress=lambda done, total: self.told(attempt * total + done, attempts * total),
        )

    def _drawn(self, attempt: int) -> GenerationSettings:
        drawn = replace(GenerationSettings.from_dict(dict(self.settings)), seed=SEED + attempt, json_schema=None)
        return replace(drawn, temperature=max(drawn.temperature, WARM)) if attempt else drawn

    @property
    def _about(self) -> dict[str, Any]:  # keywords of what asks and of what looks which answers are kept
        prompt = self.form.prompt(str(self.settings.get("system_prompt") or ""))
        return {"system": "traces", "prompt": prompt, "cache_dir": self.home.settings.home / "answers"}


class _WithoutOwn:
    """A chat model that is never shown the answer to what it is asked."""

    def __init__(self, model: ChatModel, form: Form) -> None:
        self.name, self._model, self._form = model.name, model, form

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply."""
        model = self._model.without_own(messages) if isinstance(self._model, ProgramChatModel) else self._model
        return self._form.complete(model, messages, settings)

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Iterator[Chunk]:
        """The reply in one piece."""
        yield Chunk(self.complete(messages, settings).text, "stop")


def _sorted(model: str, dataset: str, form: Form, items: Sequence[Item], rounds: Sequence[Sequence[Answer]]) -> Traces:
    good: dict[str, Example] = {}
    failed: Counter[str] = Counter()
    authored = unanswered = 0
    for answers in rounds:
        for item, answer, refused in zip(items, answers, form.refused(items, answers), strict=True):
            if answer.finish_reason != "stop" or not answer.text.strip():
                unanswered += 1
            elif refused:
                failed.update(refused)
            elif form.is_authored(item, answer.text):
                authored += 1
            else:
                example = _example(item, *form.written(item, answer.text), model, dataset)
                good.setdefault(example.id, example)
    asked = len(items) * len(rounds)
    return Traces(model, dataset, tuple(good.values()), asked, dict(failed.most_common()), authored, unanswered)


def _example(item: Item, text: str, more: Mapping[str, Any], model: str, dataset: str) -> Example:
    """The reply as an example that says where it comes from. The replies before it are the author's, and not learnt."""
    before = [Message(m.role, m.content, 0.0) if m.role == "assistant" else m for m in item.prompt]
    said = item.example.metadata
    metadata = {key: said[key] for key in KEPT if key in said}
    metadata |= {"source": "generated", "author": model, "consent": str(said.get("consent") or "not-required"), "split": "train"}
    metadata["origin"] = {"dataset": dataset, "example": item.id, "source": str(said.get("source") or "")}
    return Example((*before, Message("assistant", text)), metadata, item.example.context, item.example.reference, more)
