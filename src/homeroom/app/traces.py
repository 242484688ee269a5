"""A model's good replies as examples: what an optimised prompt says well becomes data for the next round, or for weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from homeroom.app.endpoints import endpoint_identity, endpoint_of
from homeroom.app.evaluation import spread
from homeroom.app.holding import answering_as
from homeroom.app.metering import Use
from homeroom.app.spending import Asked, Quote, Spend, agreed, questions_quote
from homeroom.app.talk import talking
from homeroom.errors import ConfigError, DataError
from homeroom.evaluation.answers import generate, unanswered
from homeroom.evaluation.metrics.sound_turn import failed_checks
from homeroom.evaluation.prompts import PlainPrompt
from homeroom.models.prompt_program import ProgramChatModel, PromptProgram
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
    """The replies of a model to the train part of a dataset that pass every check.

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
        spend: The most that replies at endpoints may cost, in US dollars, by their forecast; ``math.inf`` is whatever they cost.
            Those that are kept cost nothing. Or what is called with the forecast, and raises where nobody agrees.

    Raises:
        NotFoundError: no such model or dataset.
        DataError: ``no-items``: the train part has no example of the task.
        ConfigError: ``traces-fields``: the model replies with several fields, and no check is for those; ``needs-yes``: it could
            cost more than ``spend``; ``key-not-set``. Nothing was asked.
        ProviderError: the model failed too often.
    """
    found = home.datasets.get(dataset)
    with talking(home, model, task or "tutor", Use("data")) as (directory, card):
        part = task or (card.task if card.task in ("tutor", "learner") else "tutor")
        items = spread(found.part("train", part), limit or 1_000_000, max_turns=1_000)
        if not items:
            raise DataError(
                f"The train part of {found.info.name}@{found.info.version} has no example of the task {part!r} (the dataset has: "
                f"{', '.join(found.tasks)}). Name another dataset or --task",
                code="no-items",
            )
        identity, prompt = _about(home, card)
        asked = _Asking(directory.chat_model(card.name), identity, prompt, card.settings, home, on_progress)
        agreed(asked.quotes(card.name, answering_as(home, card), items, attempts), spend)
        answered = [pair for attempt in range(attempts) for pair in asked.round(items, attempt, attempts)]
    return _sorted(card.name, f"{found.info.name}@{found.info.version}", answered)


def _about(home: Homeroom, card: ModelCard) -> tuple[str, str]:
    """What a reply depends on besides the request, and the visible system prompt."""
    settings = home.settings
    tuned = home.registry.get(card.name) if card.kind == "tuned" else None
    if tuned is not None and tuned.method == "dspy":
        program = PromptProgram.load(home.artifacts.path(tuned.artifact))
        if any(one.outputs is not None for one in (program, *program.members)):
            raise ConfigError(
                f"{card.name!r} replies with several fields, and the checks are for a tutor's or a learner's words. Take a model "
                "of the programs answer, answer_from_context or learner: homeroom models list",
                code="traces-fields",
            )
    base = tuned.base if tuned else card.name
    endpoint = endpoint_of(settings, base)
    of_base = endpoint_identity(endpoint, base) if endpoint else home.base_files(base).identity
    own = (tuned.artifact or tuned.remote_id) if tuned else ""
    served = f"{settings.engine_weights}:{settings.engine_context}"
    return f"{of_base}:{served}:{own}:traces", str(card.settings.get("system_prompt") or "")


@dataclass(frozen=True, slots=True)
class _Asking:
    """Who is asked, and how."""

    model: ChatModel
    identity: str
    prompt: str
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

    def round(self, items: Sequence[Item], attempt: int, attempts: int) -> Iterator[tuple[Item, Answer]]:
        """One reply to each item."""
        answers = generate(
            items,
            _WithoutOwn(self.model),
            self._drawn(attempt),
            **self._about,
            identity=self.identity,
            concurrency=self.home.settings.engine_slots,
            on_progress=lambda done, total: self.told(attempt * total + done, attempts * total),
        )
        return zip(items, answers, strict=True)

    def _drawn(self, attempt: int) -> GenerationSettings:
        drawn = replace(GenerationSettings.from_dict(dict(self.settings)), seed=SEED + attempt, json_schema=None)
        return replace(drawn, temperature=max(drawn.temperature, WARM)) if attempt else drawn

    @property
    def _about(self) -> dict[str, Any]:  # keywords of what asks and of what looks which answers are kept
        return {"system": "traces", "prompt": PlainPrompt(self.prompt), "cache_dir": self.home.settings.home / "answers"}


class _WithoutOwn:
    """A chat model that is never shown the answer to what it is asked."""

    def __init__(self, model: ChatModel) -> None:
        self.name, self._model = model.name, model

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply."""
        model = self._model.without_own(messages) if isinstance(self._model, ProgramChatModel) else self._model
        return model.complete(messages, settings)

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Iterator[Chunk]:
        """The reply in one piece."""
        yield Chunk(self.complete(messages, settings).text, "stop")


def _sorted(model: str, dataset: str, answered: Sequence[tuple[Item, Answer]]) -> Traces:
    good: dict[str, Example] = {}
    failed: Counter[str] = Counter()
    authored = unanswered = 0
    for item, answer in answered:
        if answer.finish_reason != "stop" or not answer.text.strip():
            unanswered += 1
        elif refused := failed_checks(item, answer):
            failed.update(refused)
        elif answer.text.split() == item.gold.split():
            authored += 1
        else:
            example = _example(item, answer.text, model, dataset)
            good.setdefault(example.id, example)
    return Traces(model, dataset, tuple(good.values()), len(answered), dict(failed.most_common()), authored, unanswered)


def _example(item: Item, text: str, model: str, dataset: str) -> Example:
    """The reply as an example that says where it comes from. The replies before it are the author's, and not learnt."""
    before = [Message(m.role, m.content, 0.0) if m.role == "assistant" else m for m in item.prompt]
    said = item.example.metadata
    metadata = {key: said[key] for key in KEPT if key in said}
    metadata |= {"source": "generated", "author": model, "consent": str(said.get("consent") or "not-required"), "split": "train"}
    metadata["origin"] = {"dataset": dataset, "example": item.id, "source": str(said.get("source") or "")}
    return Example((*before, Message("assistant", text)), metadata, item.example.context, item.example.reference)
