"""The commands that choose between methods as functions: recommend, probe, compare and sweep, for programs and notebooks.

As `steps`: each does what its command does, waits for the jobs that it makes, and asked for the same again returns what is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.app.agreements import lift_limit
from homeroom.app.comparing import Submitted, Wanted, comparison_quotes, lineup, submit_comparison
from homeroom.app.evaluation import DEFAULT_ITEMS, DEFAULT_MAX_TOKENS, DEFAULT_SHOTS
from homeroom.app.probing import DEFAULT_ITEMS as PROBE_ITEMS
from homeroom.app.probing import Question, probe_quotes, submit_probe
from homeroom.app.recommending import Found, commands, look, measured_by, passed_over, situation_of
from homeroom.app.spending import SPEND, require_agreed
from homeroom.app.sweep import study_folder, submit_sweep
from homeroom.app.work import wait_for
from homeroom.errors import ConfigError
from homeroom.evaluation.comparison import Comparison
from homeroom.evaluation.comparison_report import JSON_NAME, read_comparison
from homeroom.schema.jobs import Job
from homeroom.schema.models import TunedModel
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import Run, parse_sweep, run_of
from homeroom.tuning.recommend.decide import Recommendation
from homeroom.tuning.recommend.decide import recommend as decide
from homeroom.tuning.recommend.inputs import Value
from homeroom.tuning.sweep.space import SweepSpec
from homeroom.tuning.sweep.study import Study, Trial

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

AnyRun = Run | Mapping[str, Any]
"""A recipe, or the keys of a recipe file with one run."""


@dataclass(frozen=True, slots=True)
class Recommended:
    """What `recommend` says.

    Attributes:
        answer: First and second choice, what decided, reasons and warnings.
        commands: What to type for the first and for the second choice, by method.
        measure: What to type to measure it: a probe before anything is tuned, a comparison after.
        notes: Models of the settings' endpoints that the commands do not name, with the reason.
        found: What was looked up: data, machine, network, keys.
    """

    answer: Recommendation
    commands: Mapping[str, tuple[str, ...]]
    measure: tuple[str, ...]
    notes: tuple[str, ...]
    found: Found


@dataclass(frozen=True, slots=True)
class Swept:
    """What `sweep` found.

    Attributes:
        study: Every trial that was made, with its losses.
        best: The trial with the lowest validation loss.
        models: What was registered of it.
        report: Folder with ``report.html``, the winner's ``recipe.yaml`` and ``sweep.json``.
    """

    study: Study
    best: Trial
    models: tuple[TunedModel, ...]
    report: Path


def recommend(home: Homeroom, data: str | Path | None = None, *, task: str = "", **inputs: Value) -> Recommended:
    """``homeroom tune recommend``: which method to begin with, and why. Starts nothing.

    Args:
        home: The open home.
        data: A dataset by id, name or ``name@version``, or a file of examples.
        task: The part whose training examples are counted; the tutor's, where there are any, when empty.
        inputs: Fields of `homeroom.tuning.recommend.Situation`, such as ``private=True``; they go before what is looked up.

    Raises:
        NotFoundError: ``file-not-found``, ``dataset-not-found``.
        ConfigError: ``recommend-input``: there is no such input, or it has no such value.
    """
    found = look(home, str(data) if data is not None else None, task)
    answer = decide(situation_of({**found.values, **inputs}))
    names = (answer.method, answer.second)
    both: dict[str, tuple[str, ...]] = {name: commands(name, found, answer.situation) for name in names}
    return Recommended(answer, both, measured_by(found), passed_over(found, answer.situation), found)


def probe(
    home: Homeroom,
    dataset: str,
    *,
    task: str = "",
    base: str = "",
    items: int = PROBE_ITEMS,
    recipe: AnyRun | Path | None = None,
    spend: float = 0.0,
) -> Comparison:
    """``homeroom tune recommend --probe``: prompt, demonstrations and a short tune on examples that nothing uses again.

    ``advice.kind`` of what it returns is ``tuned``, or says not to tune: ``control``, ``no-difference``, ``too-few``.

    Args:
        home: The open home.
        dataset: Name, ``name@version`` or id.
        task: ``tutor`` or ``learner``; the dataset's own when empty.
        base: To be tuned; the settings' default when empty.
        items: Most replies to judge by.
        recipe: Of the short tune; the bundled one, held to few tokens, when None.
        spend: The most that calls to endpoints may cost, in US dollars, by their forecast; ``math.inf`` is whatever they cost.
            What was made already costs nothing.

    Raises:
        ConfigError: ``needs-yes``: it could cost more than ``spend``; ``key-not-set``. Nothing was begun.
        HomeroomError: no such dataset or base, too few topics, or a mistake in the recipe.
    """
    short = run_of(recipe) if isinstance(recipe, Mapping) else recipe
    question = Question(dataset, task, base, items, short)
    require_agreed(probe_quotes(home, question), spend, SPEND)
    return _compared(home, submit_probe(home, question), spend)


def compare(
    home: Homeroom,
    dataset: str,
    *,
    methods: Sequence[str] = (),
    recipes: Sequence[AnyRun | Path] = (),
    models: Sequence[TunedModel | str] = (),
    task: str = "",
    base: str = "",
    items: int = DEFAULT_ITEMS,
    shots: int = DEFAULT_SHOTS,
    max_tokens: int = DEFAULT_MAX_TOKENS,
    prompt: str = "",
    again: bool = False,
    spend: float = 0.0,
) -> Comparison:
    """``homeroom tune compare``: methods head to head on one test split, with base, prompt and demonstrations as controls.

    What takes part and is not there is tuned first. With no method, recipe and model every known method takes part.

    Args:
        home: The open home.
        dataset: Name, ``name@version`` or id.
        methods: ``dspy``, ``huggingface`` (or ``local``), ``openai``; each also on a base of its own, ``METHOD=BASE``.
        recipes: Recipes, their keys, or files, whose runs take part.
        models: Tuned models that take part.
        task: ``tutor`` or ``learner``; the models' own, else the dataset's, when empty.
        base: What controls and new runs are on; the settings' default when empty.
        items: Most held-out replies of each.
        shots: Demonstrations of the few-shot control.
        max_tokens: Longest reply, in tokens.
        prompt: In place of the well-written prompt that Homeroom brings.
        again: Compare anew; models and answers that were kept are used again.
        spend: The most that calls to endpoints may cost, in US dollars, by their forecast; ``math.inf`` is whatever they cost.
            What was made already costs nothing.

    Raises:
        ConfigError: ``needs-yes``: it could cost more than ``spend``; ``key-not-set``. Nothing was begun.
        HomeroomError: what `homeroom.app.comparing.lineup` refuses, or the first thing that went wrong.
    """
    wanted = Wanted(
        dataset,
        tuple(methods),
        tuple(run_of(one) if isinstance(one, Mapping) else one for one in recipes),
        tuple(one.name if isinstance(one, TunedModel) else one for one in models),
        task,
        base,
        items,
        shots,
        max_tokens,
        prompt,
        again,
    )
    found = lineup(home, wanted)
    require_agreed(comparison_quotes(home, found, wanted), spend, SPEND)
    return _compared(home, submit_comparison(home, found, wanted), spend)


def sweep(
    home: Homeroom,
    dataset: str,
    recipe: AnyRun,
    ranges: SweepSpec | Mapping[str, Any] | None = None,
    *,
    study: str = "",
) -> Swept:
    """``homeroom tune sweep``: try learning rates, ranks and alphas; the best by validation loss is registered.

    Args:
        home: The open home.
        dataset: Name, ``name@version`` or id.
        recipe: What is varied; as it is, it is the first trial.
        ranges: Ranges and budget: keys of the part ``sweep`` of a recipe file, such as ``{"trials": 4}``.
        study: Its name: the same name goes on with it. By default one that follows from all of this.

    Raises:
        HomeroomError: what `homeroom.app.sweep.submit_sweep` refuses, or the first thing that went wrong.
    """
    run = run_of(recipe)
    if not isinstance(run, Recipe):
        raise ConfigError(
            f"A sweep varies how weights are trained, and {run.name!r} has the method {run.method!r}. Prompts are searched by: "
            "homeroom tune run --method dspy",
            code="recipe-method",
        )
    spec = ranges if isinstance(ranges, SweepSpec) else parse_sweep(ranges or {})
    job = wait_for(home, submit_sweep(home, dataset, run, spec, study=study).id)
    found = Study.read(study_folder(home, str(job.payload["study"])))
    assert found is not None and found.best is not None  # the job has written it, and ends well only with a winner
    result = job.result or {}
    models = tuple(home.registry.get(str(name)) for name in result["models"])
    return Swept(found, found.best, models, home.artifacts.path(str(result["report"])))


def _compared(home: Homeroom, submitted: Submitted, spend: float) -> Comparison:
    """Wait for what has to be tuned, then for the comparison."""
    lift_limit(home, [*(tuning for _, tuning in submitted.tunings), submitted.job], spend)
    for _, tuning in submitted.tunings:
        wait_for(home, tuning.id)
    return _read(home, wait_for(home, submitted.job.id))


def _read(home: Homeroom, job: Job) -> Comparison:
    return read_comparison(home.artifacts.path(str((job.result or {})["report"])) / JSON_NAME)
