"""A probe: prompt, demonstrations and a short tune, judged on training examples that nothing uses again. No test split is opened.

The examples are cut off by whole topics before anything is tuned, and recorded: they belong to no part of the dataset any more,
in this version, in every other one, and in other datasets with the same examples. The same question finds the same probe again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.app.compare_entries import PROBE, Task, default_run, for_task
from homeroom.app.comparing import Submitted, compared_quote
from homeroom.app.endpoints import endpoint_of
from homeroom.app.evaluation import DEFAULT_MAX_TOKENS, DEFAULT_SHOTS, MAX_TURNS, spread
from homeroom.app.field_programs import require_dialogue
from homeroom.app.promised import promised
from homeroom.app.spending import Quote, quotes_of
from homeroom.app.tuning import job_of, standing_job, submit_tuning
from homeroom.app.work import When, key_of, submit_once
from homeroom.data.datasets import Dataset
from homeroom.data.held_out import SetAside
from homeroom.errors import ConfigError, DataError, NotFoundError
from homeroom.evaluation.protocol import protocol
from homeroom.schema.examples import Example, Item
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import Run, load_runs

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

SHORT_TOKENS = 8000
MOST_TOPICS = 1 / 3
"""Of the training topics: what is judged by is not trained on."""
DEFAULT_ITEMS = 24


@dataclass(frozen=True, slots=True)
class Question:
    """What a probe is to answer.

    Attributes:
        dataset: Id, name or name@version.
        task: ``tutor`` or ``learner``; empty takes the dataset's.
        base: To be tuned; the settings' default when empty.
        items: Most replies to judge by.
        recipe: Of the short tune, or its file; the bundled one, held to few tokens, when None.
    """

    dataset: str
    task: str = ""
    base: str = ""
    items: int = DEFAULT_ITEMS
    recipe: Path | Run | None = None


def submit_probe(home: Homeroom, question: Question) -> Submitted:
    """Cut off what is judged by, and queue the short tune and the comparison after it.

    Raises:
        NotFoundError: no such dataset or base.
        DataError: ``too-few-examples``: too few topics are left to train on some and judge by others.
        ConfigError: ``recipe-invalid``, ``recipe-task``, ``program-data``.
    """
    found = _prepared(home, question)
    dataset, run = found.dataset, found.run
    cut = home.held_out.probe(found.probe) or _cut(home, dataset, found.probe, found.about["task"], question.items)
    tuning = submit_tuning(home, dataset.info.id, run, remakes=False)  # its model is deleted when it was asked
    payload = {**found.about, "probe": cut.probe, "entries": [{"job": tuning.id}]}
    resource = "cpu" if endpoint_of(home.settings, run.base) is None else "api"
    waits = () if tuning.done else ((f"a short tune ({run.method})", tuning),)
    job = submit_once(
        home,
        "probe",
        payload,
        key_of({"kind": "probe", **payload}),
        resource=resource,
        when=When(after=tuple(j.id for _, j in waits)),
    )
    return Submitted(job, waits)


def probe_quotes(home: Homeroom, question: Question) -> list[Quote]:
    """What a probe will cost at endpoints: its short tune, and the replies to judge by. Nothing is cut off or begun.

    Raises:
        ConfigError: ``key-not-set``. And what `submit_probe` refuses of the question.
    """
    found = _prepared(home, question)
    if endpoint_of(home.settings, found.run.base) is None:
        return []
    tuning = job_of(home, found.dataset, found.run, remakes=False)
    if tuning is not None:
        payload = {**found.about, "probe": found.probe, "entries": [{"job": tuning.id}]}
        if standing_job(home, "probe", [payload]) is not None:
            return []
    task: Task = "learner" if found.about["task"] == "learner" else "tutor"
    asked = [item for e in found.dataset.part("train", task) for item in e.items() if item.turn < MAX_TURNS]
    tuned, systems = promised(home, found.dataset, found.run), [found.run.system_prompt]
    label = "the probe's replies"
    replies = compared_quote(home, label, found.dataset, found.about, asked, tuned, systems, question.items)
    quotes = [] if tuning is not None else quotes_of(home, found.dataset.info.id, [("a short tune", found.run)])
    return [*quotes, *([replies] if replies.paid else [])]


def probe_items(home: Homeroom, dataset: Dataset, payload: Mapping[str, Any]) -> list[Item]:  # of the probe's job: JSON
    """What a probe asks, of what was set aside for it.

    Raises:
        NotFoundError: ``probe-not-found``.
    """
    record = home.held_out.probe(str(payload["probe"]))
    if record is None:
        raise NotFoundError(
            f"There is no probe {payload['probe']!r}. Make one: homeroom tune recommend --probe --dataset NAME",
            code="probe-not-found",
        )
    mine = frozenset(record.examples)
    return spread([example for example in dataset.examples if example.id in mine], int(payload["items"]))


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A question with what it leaves open filled in: its short tune, what its job carries, and the name of what it cuts off."""

    dataset: Dataset
    run: Recipe
    about: dict[str, Any]  # JSON
    probe: str


def _prepared(home: Homeroom, question: Question) -> _Prepared:
    dataset = home.datasets.get(question.dataset)
    require_dialogue(dataset)
    task = question.task or ("tutor" if "tutor" in dataset.tasks else dataset.tasks[0])
    base = question.base or home.settings.default_base
    base = base if endpoint_of(home.settings, base) is not None else home.base_files(base).name
    run = _short(question, task, base)
    about: dict[str, Any] = {
        "dataset": dataset.info.id,
        "task": task,
        "base": base,
        "items": question.items,
        "shots": DEFAULT_SHOTS,
        "max_tokens": DEFAULT_MAX_TOKENS,
        "prompt": "",
    }
    probe = f"probe-{key_of({**about, 'recipe': run.to_dict()})[:12]}"
    return _Prepared(dataset, run.model_copy(update={"name": f"{PROBE}-{probe[-8:]}"}), about, probe)


def _short(question: Question, task: str, base: str) -> Recipe:
    """The short tune: on weights here, on the prompt where the base answers at an endpoint."""
    part: Task = "learner" if task == "learner" else "tutor"
    asked = question.recipe
    given: list[Run] = load_runs(asked) if isinstance(asked, Path) else [asked] if asked is not None else []
    runs = [run for run in given if part in run.tasks]
    run = for_task(runs[0], part) if runs else default_run("huggingface", part)
    if not isinstance(run, Recipe):
        name = str(asked) if isinstance(asked, Path) else run.name
        raise ConfigError(
            f"A probe tunes weights for a short while, and {name!r} has the method {run.method!r}. Leave --recipe out.",
            code="recipe-method",
        )
    tokens = run.max_trained_tokens if question.recipe is not None else SHORT_TOKENS
    return run.model_copy(update={"base": base, "name": PROBE, "suffix": "probe", "max_trained_tokens": tokens})


def _cut(home: Homeroom, dataset: Dataset, probe: str, task: str, items: int) -> SetAside:
    """Whole topics of the training part, chosen by a hash: as many as the replies need, at most a third.

    Raises:
        DataError: ``too-few-examples``.
    """
    by_topic: dict[str, list[Example]] = {}
    for example in dataset.part("train", task):
        by_topic.setdefault(str(example.metadata.get("topic") or example.id), []).append(example)
    order = sorted(by_topic, key=lambda topic: hashlib.sha256(f"{probe} {topic}".encode()).hexdigest())
    most = int(len(order) * MOST_TOPICS)
    chosen: list[str] = []
    for topic in order[:most]:
        enough = _replies([e for name in chosen for e in by_topic[name]]) >= items
        if enough and len(chosen) >= protocol(task).least_groups:
            break
        chosen.append(topic)
    if not chosen:
        raise DataError(
            f"Dataset {dataset.info.name}@{dataset.info.version} has {len(order)} topic(s) left to train a {task} on: too few to "
            "train on some and judge by others. Add examples about more topics.",
            code="too-few-examples",
        )
    taken = [example.id for topic in chosen for example in by_topic[topic]]
    return home.held_out.set_aside(probe, dataset.info.name, dataset.info.id, task, taken)


def _replies(examples: Sequence[Example]) -> int:
    return sum(1 for example in examples for item in example.items() if item.turn < MAX_TURNS)
