"""What tuned models do not solve yet: validation examples on which each of them failed a check, for editing. Never the test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from homeroom.app.endpoints import endpoint_of
from homeroom.app.evaluation import DEFAULT_MAX_TOKENS, spread
from homeroom.app.metering import Use
from homeroom.app.program_inputs import asked_of
from homeroom.app.spending import ASK_AGAIN, Quote, Spend, agreed, answering, questions_quote
from homeroom.app.talk import talking
from homeroom.data.datasets import Dataset
from homeroom.errors import ConfigError, DataError
from homeroom.evaluation.answers import generate, unanswered
from homeroom.evaluation.metrics.sound_turn import failed_of_set
from homeroom.ledger.purse import Purse
from homeroom.models.pull import installed
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Example, Item
from homeroom.schema.models import TunedModel

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

SEED = 20
Tell = Callable[[str, int, int], None]
"""Called with a model's name, how many replies there are, and how many there will be."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A reply that did not pass: whose, to which item, and the titles of the checks."""

    model: str
    item: Item
    reply: str
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unsolved:
    """What no model solved.

    Attributes:
        dataset: Name and version.
        task: The part that was played.
        asked: Validation replies that were asked for.
        failures: One for each model and item that no model solved, item by item.
    """

    dataset: str
    task: str
    asked: int
    failures: tuple[Failure, ...]

    @property
    def items(self) -> list[str]:
        """Ids of the items that no model solved, in order."""
        return list(dict.fromkeys(failure.item.id for failure in self.failures))

    @property
    def checks(self) -> Counter[str]:
        """How many of these replies failed each check."""
        return Counter(check for failure in self.failures for check in failure.checks)

    def examples(self) -> list[Example]:
        """The examples for editing, each once; ``metadata.unsolved`` says which turns, what was replied, and what it failed."""
        found: dict[str, list[Failure]] = {}
        for failure in self.failures:
            found.setdefault(failure.item.example.id, []).append(failure)
        return [_for_editing(failures) for failures in found.values()]


def _for_editing(failures: Sequence[Failure]) -> Example:
    example = failures[0].item.example
    told = [{"turn": f.item.turn, "model": f.model, "reply": f.reply, "failed": list(f.checks)} for f in failures]
    return replace(example, metadata={**example.metadata, "unsolved": told})


def unsolved(
    home: Homeroom,
    names: Sequence[str],
    *,
    dataset: str = "",
    task: str = "",
    items: int = 100,
    tell: Tell | None = None,
    spend: Spend = 0.0,
) -> Unsolved:
    """Ask the models the validation questions of their dataset, and keep what none of them answers soundly.

    Args:
        home: The open home.
        names: Name, id8 or suffix of one or more tuned models that play the same part.
        dataset: Version to take the questions from; that of the first model when empty.
        task: For models that play both parts.
        items: Most questions.
        tell: Told of the progress.
        spend: The most that replies at endpoints may cost, in US dollars; ``math.inf`` is whatever they cost. Those that are kept
            cost nothing. Or what is called with the forecast, and raises where nobody agrees; the most of it is then the limit.

    Raises:
        NotFoundError: no such model or dataset; the base is not on this machine.
        ConfigError: ``no-dataset``; ``unsolved-base``: it is no tuned model; ``unsolved-tasks``: the models play different parts;
            ``unsolved-program``: one replies with several fields; ``needs-yes``: it could cost more than ``spend``;
            ``key-not-set``. Nothing was asked.
        DataError: ``unsolved-no-items``: there is no validation example.
        ProviderError: a model did not answer.
        PurseSpent: ``run-spent``: what was agreed to is used up, as replies were lost. What was answered is kept.
    """
    models = [_tuned(home, name) for name in names]
    if not models:
        raise ConfigError("No model is named. Name tuned ones: homeroom models list", code="unsolved-base")
    reference = dataset or models[0].dataset
    if not reference:
        raise ConfigError(f"{models[0].name!r} was imported without a dataset. Name one: --dataset NAME", code="no-dataset")
    found = home.datasets.get(reference)
    part = _part(models, found, task)
    asked = spread(found.part("validation", part), items)
    if not asked:
        raise DataError(
            f"Dataset {found.info.name}@{found.info.version} has no validation example of the task {part!r} to ask. Add examples "
            "about more topics and split them: homeroom data split FILE",
            code="unsolved-no-items",
        )
    limit = agreed([quote for model in models for quote in _quotes(home, model, asked)], spend)
    purse = Purse(limit, how=ASK_AGAIN)
    replies = {model.name: _replies(home, model, part, asked, tell, purse) for model in models}
    return Unsolved(f"{found.info.name}@{found.info.version}", part, len(asked), tuple(left(asked, replies)))


def _tuned(home: Homeroom, name: str) -> TunedModel:
    if installed(name, home.settings.cache) is not None or endpoint_of(home.settings, name) is not None:
        raise ConfigError(
            f"{name!r} is a base: this asks what tuning has left unsolved. Name a tuned model: homeroom models list",
            code="unsolved-base",
        )
    return home.registry.get(name)


def left(items: Sequence[Item], replies: Mapping[str, Sequence[Answer]]) -> list[Failure]:
    """What every model fails on: a failure for each of them, item by item. ``replies``: model to one reply for each item."""
    failed = {name: failed_of_set(items, answers) for name, answers in replies.items()}
    return [
        Failure(name, item, answers[at].text, tuple(failed[name][at]))
        for at, item in enumerate(items)
        if all(checks[at] for checks in failed.values())
        for name, answers in replies.items()
    ]


def _part(models: Sequence[TunedModel], dataset: Dataset, task: str) -> str:
    """The part that all of the models play."""
    if program := next((model.name for model in models if model.task == "program"), ""):
        raise ConfigError(
            f"{program!r} replies with several fields, and this asks for a tutor's or a learner's words. What its fields "
            f"are worth unseen: homeroom tune score {program}",
            code="unsolved-program",
        )
    parts = {model.task for model in models} - {"any"}
    wanted = task or min(parts, default=dataset.tasks[0])
    if parts - {wanted}:
        other = next(model for model in models if model.task not in ("any", wanted))
        raise ConfigError(
            f"{other.name!r} plays the {other.task!r}, and the others the {wanted!r}. Ask one part at a time: "
            f"homeroom tune unsolved {other.name} --out FILE.jsonl",
            code="unsolved-tasks",
        )
    return wanted


def _replies(
    home: Homeroom, model: TunedModel, task: str, items: Sequence[Item], tell: Tell | None, purse: Purse
) -> list[Answer]:
    """One model's replies, drawn as in judging; those that were kept are not asked for again."""
    with talking(home, model.name, task, Use("judging", model.method), purse) as (directory, card):
        return generate(
            items,
            directory.chat_model(card.name),
            _drawn(model),
            **_about(home, model),
            concurrency=home.settings.engine_slots,
            on_progress=lambda done, total: tell(model.name, done, total) if tell is not None else None,
        )


def _quotes(home: Homeroom, model: TunedModel, items: Sequence[Item]) -> list[Quote]:
    """What the replies of one model will cost that are not kept."""
    settings = _drawn(model)
    missing = unanswered(items, settings, **_about(home, model))
    return questions_quote(home, model.name, answering(home, model), missing, settings.max_tokens)


def _drawn(model: TunedModel) -> GenerationSettings:
    own = GenerationSettings.from_dict(dict(model.settings))
    return replace(own, max_tokens=min(DEFAULT_MAX_TOKENS, own.max_tokens), seed=SEED, json_schema=None)


def _about(home: Homeroom, model: TunedModel) -> dict[str, Any]:  # keywords of what asks and of what looks which are kept
    return {
        "system": "tuned",
        "prompt": asked_of(home, model),
        "cache_dir": home.settings.home / "answers",
        "identity": f"{model.base_identity}:{home.settings.engine_weights}:{model.artifact or model.remote_id}",
    }
