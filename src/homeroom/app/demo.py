"""The demo: from examples to a chat with tuned, judged models. Each step is also a command of its own.

Two acts: a **simulated learner** to practise teaching on, and a **tutor** that is judged and, where it is not fit, refused.
Nothing is canned: another file takes the same way. A rerun continues: every long step is a job, found again by its content.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from homeroom.app.bases import fetch_base
from homeroom.app.doctor import Check, examine
from homeroom.app.endpoints import endpoint_of, open_endpoint_model
from homeroom.app.evaluation import (
    DEFAULT_SHOTS,
    Judged,
    evaluation_quotes,
    held_out_items,
    judged_as,
    judging_quotes,
    submit_evaluation,
)
from homeroom.app.metering import leaves_this_machine, price_at
from homeroom.app.promised import promised
from homeroom.app.spending import Asked, Quote, questions_quote, quotes_of
from homeroom.app.tuning import job_of, prompt_recipe, runs_for, submit_tuning
from homeroom.data.course import COURSE_NAME, load_course
from homeroom.data.datasets import Dataset
from homeroom.data.reading import load_examples
from homeroom.errors import ConfigError, DataError
from homeroom.evaluation.report import read_report
from homeroom.evaluation.results import Evaluation
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from homeroom.schema.jobs import Job
from homeroom.schema.models import TunedModel
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import load_recipes

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

# What the demo cannot do without, by the names of `homeroom doctor`.
NEEDED = ("Python", "chat in the browser", "embedded engine", "local tuning", "home", "model cache")
NEEDED_AT_ENDPOINT = ("Python", "chat in the browser", "home")
MAX_TOKENS = 64
ROLES = {
    "learner": "a simulated learner",
    "tutor": "a tutor",
    "any": "one adapter for both parts: a simulated learner and a tutor",
}
HELLO = (Message("user", "Say hello."),)
HELLO_TOKENS = 8
HELD_OUT = 24  # replies of each act: enough to judge a learner; to clear a tutor of false confirmation takes about 60


class Show(Protocol):
    """How the demo is told: the command line draws it, a test records it."""

    def begin(self, runs: int) -> None:
        """How many trainings there will be: what an estimate of the whole needs."""
        ...

    def step(self, title: str, command: str) -> None:
        """A step begins; ``command`` does it alone."""
        ...

    def line(self, text: str) -> None:
        """Something worth reading."""
        ...

    def agree(self, quotes: Sequence[Quote]) -> None:
        """Tell what will be asked of an endpoint that charges for it; raises where nobody agrees."""
        ...

    def download(self, done: int, total: int, message: str) -> None:
        """Bytes so far, bytes in all (0 when unknown)."""
        ...

    def wait(self, job: Job) -> Job:
        """Run or follow a job to its end, showing its progress; raises JobFailed."""
        ...

    def evaluation(self, result: Evaluation) -> None:
        """What the comparison of one act found."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """What a visitor may change.

    Attributes:
        data: A file of examples in place of the course.
        base: In place of the recipe's and the settings': a catalogue name, a Hugging Face id, or ``ENDPOINT/MODEL``, of which
            the prompt is tuned in place of weights.
        recipe: Recipe file with a run for each act.
        again: Tune and evaluate anew although it was done before.
        items: Held-out replies of each act.
    """

    data: Path | None = None
    base: str = ""
    recipe: Path = Path("recipes/demo.yaml")
    again: bool = False
    items: int = HELD_OUT


@dataclass(frozen=True, slots=True)
class Act:
    """One act's outcome."""

    task: str
    model: TunedModel
    result: Evaluation
    report: Path


def run_demo(home: Homeroom, options: Options, show: Show) -> list[Act]:
    """Every step but the server. Returns the acts in the order in which they were played.

    Raises:
        HomeroomError: the first thing that went wrong, with the command that mends it. What was finished stays finished.
    """
    recipes = _recipes(home, options)
    _check_machine(home, recipes[0].base, show)
    dataset = _data(home, options, recipes, show)
    recipes = runs_for(home, recipes, dataset.tasks)
    quotes = _quotes(home, dataset, recipes, options)
    show.agree(quotes)
    _base(home, recipes[0].base, show, asks=bool(quotes))
    show.begin(len(recipes))
    models = [model for recipe in recipes for model in _tune(home, dataset, recipe, options, show)]
    acts = [_judge(home, model, options, show) for model in models]
    _route(home, acts, show)
    return acts


def _recipes(home: Homeroom, options: Options) -> list[Recipe]:
    """The runs, each on a named base: the recipe's own, else the settings' default."""
    recipes = load_recipes(options.recipe)
    return [r.model_copy(update={"base": options.base or r.base or home.settings.default_base}) for r in recipes]


def _check_machine(home: Homeroom, base: str, show: Show) -> None:
    show.step("Looking at this machine", "homeroom doctor")
    checks = {check.name: check for check in examine(home.settings)}
    needed = NEEDED if endpoint_of(home.settings, base) is None else NEEDED_AT_ENDPOINT
    missing = [c for c in (checks[name] for name in needed) if c.state == "missing"]
    if missing:
        first = missing[0]
        raise ConfigError(
            f"{first.name}: {first.detail}. Mend it with: {first.mend}"
            + (f" ({len(missing) - 1} more: homeroom doctor)" if len(missing) > 1 else ""),
            code="machine",
        )
    for check in (checks["machine"], checks["GPU"], checks["disk"]):
        show.line(_told(check))
    if checks["server"].state != "ok":  # said now, not only when the chat is to open
        show.line(_told(checks["server"]))


def _told(check: Check) -> str:
    return f"{check.name}: {check.detail}" + (f" ({check.mend})" if check.mend else "")


def _quotes(home: Homeroom, dataset: Dataset, recipes: Sequence[Recipe], options: Options) -> list[Quote]:
    """What everything that is asked of an endpoint will cost: the first word, the tunings, the judging. Nothing of what was made.

    Raises:
        ConfigError: ``key-not-set``.
    """
    found: list[Quote] = []
    for recipe in recipes:
        if endpoint_of(home.settings, recipe.base) is None:
            continue
        found += quotes_of(home, dataset.info.id, [(f"tuning {ROLES[recipe.task]}", recipe)], again=options.again)
        job = None if options.again else job_of(home, dataset, recipe)
        if job is None or job.result is None:
            found += judging_quotes(home, f"judging {ROLES[recipe.task]}", _to_be_judged(home, dataset, recipe, options))
            continue
        for name in job.result["models"]:
            model = home.registry.get(str(name))
            found += evaluation_quotes(home, model, *judged_as(home, model, items=options.items, max_tokens=MAX_TOKENS))
    first = questions_quote(home, "the first word", [Asked(recipes[0].base)], [HELLO], HELLO_TOKENS) if found else []
    return [*first, *found]


def _to_be_judged(home: Homeroom, dataset: Dataset, recipe: Recipe, options: Options) -> Judged:
    """The judging of a model that is yet to be tuned: its prompt shows what the control does, at most what the search may."""
    search = prompt_recipe(recipe)
    tuned = promised(home, dataset, search)
    items = held_out_items(dataset, search.task, options.items)
    return Judged(recipe.base, tuned, dataset, search.task, items, DEFAULT_SHOTS, MAX_TOKENS, search.system_prompt)


def _base(home: Homeroom, name: str, show: Show, *, asks: bool) -> None:
    """Have the base here; at an endpoint, see that it answers, unless it ``asks`` for nothing and a word would cost money."""
    endpoint = endpoint_of(home.settings, name)
    if endpoint is None:
        show.step("Fetching and verifying the base model", f"homeroom models pull {name}")
        files = fetch_base(home, name, show.download)
        show.line(f"{files.name}, identity {files.identity[:16]}, in the cache")
        return
    show.step("Asking the endpoint for one word", f"homeroom chat --model {name}")
    if not asks and price_at(home, endpoint, name.partition("/")[2])[1]:
        show.line(f"{name} was asked for everything before: nothing is sent, and nothing is paid.")
        return
    model, _ = open_endpoint_model(home, name)
    with closing(model):
        answer = model.complete(HELLO, GenerationSettings(max_tokens=HELLO_TOKENS))
    show.line(f"{name} answered in {answer.latency_s:.1f} s. Its weights are elsewhere: its prompt will be tuned.")
    if leaves_this_machine(endpoint):
        show.line(f"Your examples will be sent to {endpoint.base_url}. Ctrl-C stops here.")


def _data(home: Homeroom, options: Options, recipes: Sequence[Recipe], show: Show) -> Dataset:
    source = str(options.data) if options.data else ""
    show.step("Loading, checking and splitting the examples", f"homeroom data split {source}".rstrip())
    examples = load_examples(options.data) if options.data else load_course()
    tasks = {e.task for e in examples}
    trained = [task for recipe in recipes for task in recipe.tasks]
    wanted = [task for task in trained if task in tasks]
    if not wanted:
        raise DataError(
            f"{source!r} has examples for {', '.join(sorted(tasks))}; the recipe trains {', '.join(trained)}. "
            "Take one that has a run for them: --recipe recipes/demo.yaml",
            code="too-few-examples",
        )
    dataset = home.datasets.create(options.data.stem if options.data else COURSE_NAME, examples)
    counts = dataset.info.counts["splits"]
    topics = {e.metadata.get("topic") for e in dataset.part("test")}
    show.line(
        f"{len(dataset.examples)} examples, 0 errors: {counts['train']} to train, {counts['validation']} to validate, "
        f"{counts['test']} held out ({len(topics)} whole topics that training never sees)"
    )
    for task in trained:
        if task not in tasks:
            show.line(f"No {task} examples in this file: that act is left out.")
    for task in wanted:
        held_out_items(dataset, task, options.items)  # refuse now, not after the training
    return dataset


def _tune(home: Homeroom, dataset: Dataset, recipe: Recipe, options: Options, show: Show) -> list[TunedModel]:
    version = f"{dataset.info.name}@{dataset.info.version}"
    only = f" --task {recipe.task}" if recipe.task != "any" else ""
    show.step(f"Tuning {ROLES[recipe.task]}", f"homeroom tune run --dataset {version}{only} --recipe {options.recipe}")
    job = show.wait(submit_tuning(home, dataset.info.id, recipe, again=options.again))
    models = [home.registry.get(str(name)) for name in (job.result or {})["models"]]
    for model in models:
        show.line(model.name)
    show.line(_outcome(models[0]))
    return models


def _outcome(model: TunedModel) -> str:
    m = model.metrics
    if model.kind == "prompt":
        return (
            f"{m['kept']} was best of {m['candidates']}: its validation replies pass {m['validation_score']:.2f} of the checks, "
            f"the plain prompt's {m['validation_score_plain']:.2f} ({m['requests']} requests; the held-out replies come next)"
        )
    return (
        f"validation loss {_loss(m.get('base_valid_loss'))} -> {_loss(m.get('valid_loss'))}, "
        f"{m.get('tokens', 0):,} tokens at {m.get('tokens_per_s', 0):.0f}/s (loss is not quality: that is measured next)"
    )


def _loss(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "not measured"


def _judge(home: Homeroom, model: TunedModel, options: Options, show: Show) -> Act:
    role = "the simulated learner" if model.task == "learner" else "the tutor"
    show.step(
        f"Comparing and judging {role}",
        f"homeroom eval run --model {model.name} --items {options.items} --max-tokens {MAX_TOKENS}",
    )

    def agreed(quotes: Sequence[Quote]) -> None:
        """To all of it at the start."""

    job = submit_evaluation(home, model, items=options.items, max_tokens=MAX_TOKENS, again=options.again, spend=agreed)
    job = show.wait(job)
    report = home.artifacts.path(str((job.result or {})["report"]))
    result = read_report(report / "evaluation.json")
    show.evaluation(result)
    show.line(f"Whole report: {report / 'report.html'}")
    return Act(model.task, home.registry.get(model.name), result, report / "report.html")


def _route(home: Homeroom, acts: Sequence[Act], show: Show) -> None:
    """The chat uses what was not rejected; what was stays in the list, marked."""
    show.step("Choosing what the chat uses", "homeroom models list")
    for act in acts:
        if act.model.verdict == "reject":
            show.line(f"{act.task}: {act.model.name} was refused. It stays in the list; the chat does not use it by itself.")
        else:
            home.registry.set_route(act.task, act.model.name)
            show.line(f"{act.task}: {act.model.name}, marked {act.model.verdict!r} ({act.model.suitability})")
