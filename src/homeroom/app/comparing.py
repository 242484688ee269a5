"""Submitting a comparison: which models take part, which must be tuned first, and the job that compares them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from homeroom.app.compare_entries import (
    Entry,
    Task,
    add_runs,
    at_providers,
    for_task,
    is_checkpoint,
    known_methods,
    missing_for,
    of_method,
    on_base,
)
from homeroom.app.endpoints import endpoint_of
from homeroom.app.evaluation import (
    DEFAULT_ITEMS,
    DEFAULT_MAX_TOKENS,
    DEFAULT_SHOTS,
    held_out_items,
    left_out,
    seen_elsewhere,
    shown_by_shots,
)
from homeroom.app.field_programs import require_dialogue
from homeroom.app.program_inputs import several_inputs, whole_items
from homeroom.app.promised import promised
from homeroom.app.sizes import TURN_BYTES, json_bytes, question
from homeroom.app.spending import Asked, Quote, answering, quotes_of, replies_quote
from homeroom.app.tuning import job_of, standing_job, submit_tuning
from homeroom.app.work import When, key_of, submit_once
from homeroom.data.datasets import Dataset
from homeroom.errors import ConfigError, NotFoundError
from homeroom.evaluation.written_prompt import WRITTEN
from homeroom.schema.examples import Item
from homeroom.schema.jobs import Job
from homeroom.schema.models import TunedModel
from homeroom.tuning.dspy.recipe import DspyRecipe
from homeroom.tuning.dspy.spec import ProgramSpec
from homeroom.tuning.recipe_file import Run, load_runs

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be compared.

    Attributes:
        dataset: Id, name or name@version.
        methods: To take part, each on its own base where one is given: ``METHOD=BASE``; with no method, recipe and model every
            known one.
        recipes: Files whose runs take part, or runs.
        models: Tuned models that take part, by name, id8 or suffix.
        task: ``tutor`` or ``learner``; empty for the models' own, else the dataset's.
        base: What controls and new runs are on; the settings' default when empty.
        items: Most held-out replies of each system.
        shots: Demonstrations of the few-shot control.
        max_tokens: Longest reply.
        prompt: In place of the well-written prompt that Homeroom brings.
        again: Compare anew although it was done before; models stay.
    """

    dataset: str
    methods: tuple[str, ...] = ()
    recipes: tuple[Path | Run, ...] = ()
    models: tuple[str, ...] = ()
    task: str = ""
    base: str = ""
    items: int = DEFAULT_ITEMS
    shots: int = DEFAULT_SHOTS
    max_tokens: int = DEFAULT_MAX_TOKENS
    prompt: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True)
class Lineup:
    """Who takes part.

    Attributes:
        dataset: The version.
        task: Whose test split is opened.
        base: What the controls are on.
        entries: Models and runs.
        notes: What was left out, and what to know of a model.
    """

    dataset: Dataset
    task: Task
    base: str
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Submitted:
    """The comparison's job, and those of the tunings that it waits for, each with its label."""

    job: Job
    tunings: tuple[tuple[str, Job], ...] = ()
    notes: tuple[str, ...] = ()


def lineup(home: Homeroom, wanted: Wanted) -> Lineup:
    """Who takes part; starts nothing.

    Raises:
        NotFoundError: no such dataset, model or base.
        DataError: the version holds nothing out for the task.
        ConfigError: ``unknown-method``, ``compare-task``, ``recipe-invalid``; ``nothing-to-compare``; ``program-data``.
    """
    dataset = home.datasets.get(wanted.dataset)
    require_dialogue(dataset)
    named = [home.registry.get(home.registry.resolve(name)) for name in wanted.models]
    task = _task(dataset, wanted.task, named)
    seen = seen_elsewhere(home, dataset, named)
    held_out_items(dataset, task, wanted.items, seen)
    asked = [load_runs(recipe) if isinstance(recipe, Path) else [recipe] for recipe in wanted.recipes]
    bases = sorted({run.base for runs in asked for run in runs if run.base and task in run.tasks})
    alone = bases[0] if len(bases) == 1 and not wanted.methods else ""  # what its models must beat
    base = wanted.base or next((m.base for m in named), "") or alone or home.settings.default_base
    base = base if endpoint_of(home.settings, base) is not None else home.base_files(base).name
    entries = [Entry(model) for model in named]
    notes = [
        f"{m.name} was not tuned on {dataset.info.name}@{dataset.info.version}: what it was tuned on may hold test examples"
        for m in named
        if m.dataset != dataset.info.id
    ]
    notes += [missing] if (missing := left_out(dataset, task, seen)) else []
    if others := [name for name in bases if name != base]:
        notes.append(
            f"the controls are on {base!r}, and recipes on {', '.join(map(repr, others))}: a gain over them is one of that "
            "base as well. To have them on another: --base NAME"
        )
    for runs in asked:
        add_runs(home, [on_base(base, for_task(run, task)) for run in runs if task in run.tasks], entries, notes)
    methods = wanted.methods or (() if wanted.recipes or wanted.models else known_methods())
    for method in methods:
        entry = of_method(home, dataset, task, base, method, methods)
        missing = missing_for(entry.run) if entry.run is not None and not wanted.methods else ""
        if missing:
            notes.append(f"{method}: left out, {missing}")
        elif entry.run is not None:
            add_runs(home, [entry.run], entries, notes)
        else:
            entries.append(entry)
    notes += at_providers(home, dataset, task, base, methods)
    unique = {e.model.name if e.model else repr(e.run): e for e in entries}
    if not unique:
        why = "".join(f" {note.rstrip('.')}." for note in notes)
        raise ConfigError(
            f"Nothing takes part in the comparison for the task {task!r}.{why} Name models, methods or recipes: homeroom tune "
            "compare --methods dspy",
            code="nothing-to-compare",
        )
    return Lineup(dataset, task, base, tuple(unique.values()), tuple(notes))


def submit_comparison(home: Homeroom, found: Lineup, wanted: Wanted) -> Submitted:
    """Queue what must be tuned, and the comparison after it. The same question gives the same job, unless ``again``.

    Raises:
        MissingExtraError: a method is not installed. And what `submit_tuning` raises.
    """
    tunings: list[tuple[str, Job]] = []
    entries: list[dict[str, str]] = []
    for entry in found.entries:
        if entry.model is not None:
            entries.append(_named(home, entry.model, found.task))
            continue
        assert entry.run is not None
        job = submit_tuning(home, found.dataset.info.id, entry.run)
        entries.append({"job": job.id})
        if not job.done:
            tunings.append((entry.label, job))
    about = _payload(found, wanted, entries)
    key = key_of({"kind": "compare", **about, "again": secrets.token_hex(8) if wanted.again else ""})
    resource = "cpu" if endpoint_of(home.settings, found.base) is None else "api"
    when = When(after=tuple(job.id for _, job in tunings))
    job = submit_once(home, "compare", about, key, resource=resource, when=when)
    return Submitted(job, tuple(tunings), found.notes)


def _payload(found: Lineup, wanted: Wanted, entries: Sequence[dict[str, str]]) -> dict[str, Any]:  # a job's: JSON
    return {
        "dataset": found.dataset.info.id,
        "task": found.task,
        "base": found.base,
        "items": wanted.items,
        "shots": wanted.shots,
        "max_tokens": wanted.max_tokens,
        "prompt": wanted.prompt,
        "entries": sorted(entries, key=str),
    }


def comparison_quotes(home: Homeroom, found: Lineup, wanted: Wanted) -> list[Quote]:
    """What the comparison will cost at endpoints: its tunings, and the replies that it asks for.

    Raises:
        ConfigError: ``key-not-set``. And what planning a run refuses.
    """
    runs = [(entry.label, entry.run) for entry in found.entries if entry.run is not None]
    quotes = quotes_of(home, found.dataset.info.id, runs)
    jobs = [job_of(home, found.dataset, run) for _, run in runs]
    if not wanted.again and None not in jobs:
        entries = [_named(home, entry.model, found.task) for entry in found.entries if entry.model is not None]
        entries += [{"job": job.id} for job in jobs if job is not None]
        if standing_job(home, "compare", [_payload(found, wanted, entries)]) is not None:
            return quotes
    items = held_out_items(found.dataset, found.task, wanted.items)
    tuned = [asked for entry in found.entries for asked in _answers(home, found.dataset, entry)]
    systems = [str(entry.model.settings.get("system_prompt") or "") for entry in found.entries if entry.model is not None]
    systems += [run.system_prompt for _, run in runs]
    program = _program(home, found)
    payload = _payload(found, wanted, ())
    replies = compared_quote(home, "comparison", found.dataset, payload, items, tuned, systems, program=program)
    return [*quotes, *([replies] if replies.paid else [])]


def compared_quote(
    home: Homeroom,
    label: str,
    dataset: Dataset,
    payload: Mapping[str, Any],
    items: Sequence[Item],
    tuned: Sequence[Asked],
    systems: Sequence[str],
    count: int = 0,
    program: ProgramSpec | None = None,
) -> Quote:
    """What the replies of a comparison will cost: of the base, of a well-written prompt, of demonstrations, and of the tuned.

    Args:
        home: The open home.
        label: What the replies are for.
        dataset: The version: demonstrations come from its training part.
        payload: Of the comparison's job, or the probe's: ``task``, ``base``, ``shots``, ``max_tokens`` and ``prompt``.
        items: What is asked, or examples of what may be.
        tuned: Who answers for the models.
        systems: The models' own visible prompts, of which one is the controls' as well.
        count: Replies of each; one to each item when 0.
        program: One of a model's that has several inputs: everybody is asked with them.

    Raises:
        ConfigError: ``key-not-set``.
    """
    task: Task = "learner" if payload["task"] == "learner" else "tutor"
    base, written = str(payload["base"]), str(payload["prompt"] or WRITTEN[task])
    usual, most = question([item.prompt for item in whole_items(items, program)])
    most += max((json_bytes(text) for text in systems), default=0) + TURN_BYTES
    shown = (float(len(written)), float(json_bytes(written) + TURN_BYTES))
    controls = [Asked(base), Asked(base, shown), Asked(base, shown_by_shots(dataset, task, int(payload["shots"]), program))]
    return replies_quote(home, label, [*controls, *tuned], count or len(items), (usual, most), int(payload["max_tokens"]))


def _answers(home: Homeroom, dataset: Dataset, entry: Entry) -> list[Asked]:
    """Who answers for one that takes part."""
    if entry.model is not None:
        return answering(home, entry.model)
    assert entry.run is not None
    return promised(home, dataset, entry.run)


def _program(home: Homeroom, found: Lineup) -> ProgramSpec | None:
    """The program of several inputs that is asked, or that one of the runs will tune a prompt for."""
    from homeroom.app.dspy_plan import chosen

    known = several_inputs(home, [entry.model for entry in found.entries if entry.model is not None])
    runs = [entry.run for entry in found.entries if isinstance(entry.run, DspyRecipe)] if known is None else []
    specs = (chosen(home, found.dataset, run).spec for run in runs)
    return known or next((spec for spec in specs if len(spec.inputs) > 1), None)


def _named(home: Homeroom, model: TunedModel, task: str) -> dict[str, str]:
    """A model by the job that made it where it made no other for the task: as it was named before there was a model."""
    try:
        alone = [m.name for m in _models(home, {"job": model.job_id}, task)] == [model.name]
    except NotFoundError:  # made elsewhere, or its job or a sister of it is gone
        alone = False
    return {"job": model.job_id} if alone else {"model": model.name}


def models_of(home: Homeroom, entries: Sequence[dict[str, str]], task: str) -> list[TunedModel]:
    """The models of a comparison's job, once what it waited for is done.

    Raises:
        NotFoundError: ``model-not-found``: one was deleted since.
    """
    found = {model.name: model for entry in entries for model in _models(home, entry, task)}
    return list(found.values())


def _models(home: Homeroom, entry: dict[str, str], task: str) -> Iterator[TunedModel]:
    if "model" in entry:
        yield home.registry.get(entry["model"])
        return
    result = home.jobs.get(entry["job"]).result or {}
    for name in (result.get("model"), *result.get("models", ())):  # one for each run: what it is for
        model = home.registry.get(str(name))
        if model.task in (task, "any") and not is_checkpoint(model):
            yield model
            return


def _task(dataset: Dataset, asked: str, named: Sequence[TunedModel]) -> Task:
    """The one part that is compared.

    Raises:
        ConfigError: ``compare-task``: a model plays another part.
    """
    own = [m.task for m in named if m.task in get_args(Task)]
    tasks = dataset.tasks
    task = asked or next(iter(own), "") or ("tutor" if "tutor" in tasks else tasks[0])
    other = next((m for m in named if m.task not in (task, "any")), None)
    if other is not None:
        raise ConfigError(
            f"{other.name!r} plays the {other.task!r}, and the comparison is for the task {task!r}. Compare one at a time: "
            f"homeroom tune compare --task {other.task}",
            code="compare-task",
        )
    return "learner" if task == "learner" else "tutor"
