"""Who can take part in a comparison: models that are there, and for each method the run that makes what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from homeroom.app.compare_twins import twin_of, with_numbers
from homeroom.app.endpoints import base_here, endpoint_of
from homeroom.app.metering import price_at
from homeroom.app.tuning import names_method, prompt_recipe
from homeroom.data.datasets import Dataset
from homeroom.errors import ConfigError, MissingExtraError
from homeroom.schema.models import Method, TunedModel
from homeroom.settings import Endpoint
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import METHODS, Run, load_runs

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

DEFAULT_RECIPES = {"huggingface": "recipes/demo.yaml", "dspy": "recipes/prompt.yaml"}
ORDER: tuple[Method, ...] = ("dspy", "huggingface", "openai")
"""From the one that is easiest to take back."""
PROBE = "homeroom-probe"
"""How the recipe of a probe's short tune is named: such a model is no candidate."""
Task = Literal["tutor", "learner"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One that takes part: a model that is there, or a run that will make it.

    Attributes:
        model: The model.
        run: The run.
        method: What the run comes to; its own method when empty.
    """

    model: TunedModel | None = None
    run: Run | None = None
    method: str = ""

    @property
    def label(self) -> str:
        """For a person, before there is a model."""
        if self.model is not None:
            return self.model.name
        return f"{self.method or self.run.method} ({self.run.name})" if self.run else ""


def known_methods() -> tuple[Method, ...]:
    """The methods that can be tuned with here, the easiest to take back first."""
    return tuple(name for name in ORDER if name in METHODS)


def add_runs(home: Homeroom, runs: Sequence[Run], entries: list[Entry], notes: list[str]) -> None:
    """The runs as ones that take part; of a base at an endpoint, none that was to train weights here."""
    for run in runs:
        if not isinstance(run, Recipe) or endpoint_of(home.settings, run.base) is None:
            entries.append(Entry(run=run))
        elif names_method(run):
            notes.append(f"{run.method}: left out, the weights of {run.base} are at an endpoint and are not trained here")
        else:
            entries.append(Entry(run=run, method=prompt_recipe(run).method))


def of_method(home: Homeroom, dataset: Dataset, task: Task, base: str, asked: str, beside: Sequence[str]) -> Entry:
    """The newest model of a method that was tuned on this version and base, else a run with the method's own recipe.

    Args:
        home: The open home.
        dataset: The version.
        task: The part.
        base: Of the comparison.
        asked: ``METHOD`` or ``METHOD=BASE``.
        beside: What else was asked for.

    Raises:
        ConfigError: ``unknown-method``.
        NotFoundError: no such base.
    """
    method, _, own = asked.partition("=")
    name = "huggingface" if method == "local" else method
    if name not in METHODS:
        raise ConfigError(f"There is no method {method!r} here. Known are: {', '.join(known_methods())}", code="unknown-method")
    if own:
        base = own if endpoint_of(home.settings, own) is not None else base_here(home, own).name
    for model in home.registry.list():
        fits = (model.method, model.dataset) == (name, dataset.info.id) and model.task in (task, "any")
        if fits and base in (model.base, model.recipe.get("base")) and not of_a_probe(model) and not is_checkpoint(model):
            return Entry(model)
    run = on_base(base, default_run(name, task))
    if endpoint_of(home.settings, base) is not None:
        # A method that was asked for by its name: no other is put in its place.
        return Entry(run=run.model_copy(update={"method": name}) if isinstance(run, Recipe) else run)
    if name == "openai" or (name == "huggingface" and "openai" in beside):
        return Entry(run=_of_both(home, dataset, task, base, name))
    return Entry(run=run)


def _of_both(home: Homeroom, dataset: Dataset, task: Task, base: str, method: str) -> Run:
    """What both methods are tuned with where this server stands in for a provider: the same training by either of them."""
    run = on_base(base, default_run("openai", task))
    assert isinstance(run, OpenAIRecipe)
    sent = with_numbers(run, len(dataset.part("train", task)))
    return sent if method == "openai" else twin_of(home, home.base_files(base), dataset, sent)


def at_providers(home: Homeroom, dataset: Dataset, task: Task, base: str, methods: Sequence[str]) -> Iterator[str]:
    """Where this server stands in for a provider that could be asked: the command that has the provider tune as well."""
    if "openai" not in methods or endpoint_of(home.settings, base) is not None:
        return
    for endpoint in home.settings.endpoints:
        model = next((model for model in endpoint.models if _fine_tunes(home, endpoint, model)), "")
        row = f"openai={endpoint.name}/{model}"
        if model and row not in methods and os.environ.get(endpoint.api_key_env or ""):
            yield (
                f"openai is tuned by this server although {endpoint.api_key_env} is set: a provider's own row costs money and "
                f"sends the examples to {urlsplit(endpoint.base_url).hostname}. To have it as well: homeroom tune compare "
                f"--dataset {dataset.info.name} --task {task} --base {base} --methods {','.join((*methods, row))}"
            )


def _fine_tunes(home: Homeroom, endpoint: Endpoint, model: str) -> bool:
    """Whether a model of an endpoint is known to be one that is tuned there: by the settings, or by its price."""
    price, _ = price_at(home, endpoint, model)
    return bool(endpoint.fine_tuning) or (price is not None and price.training is not None)


def default_run(method: str, task: Task) -> Run:
    """What a method is tuned with when nobody names a recipe: its bundled one, else what it makes of the one on weights."""
    for path in dict.fromkeys((DEFAULT_RECIPES.get(method, ""), DEFAULT_RECIPES["huggingface"])):
        for run in load_runs(Path(path)) if path else ():
            if task in run.tasks:
                found = for_task(run, task)
                # Each method's recipe says itself what it takes over from one on weights.
                return found if found.method == method else METHODS[method].of(found)  # type: ignore[union-attr, arg-type]
    raise AssertionError(f"the bundled recipe has no run for {task!r}")


def is_checkpoint(model: TunedModel) -> bool:
    """Whether it is a step of another model's training."""
    return "checkpoint_of" in model.metrics


def of_a_probe(model: TunedModel) -> bool:
    """Whether it was tuned for a probe alone."""
    return str(model.recipe.get("name", "")).startswith(PROBE)


def for_task(run: Run, task: Task) -> Run:
    """A run for one task alone."""
    if isinstance(run, Recipe):
        return run.for_task(task) if run.task == "any" else run
    return run if run.task == task else run.model_copy(update={"task": task})


def on_base(base: str, run: Run) -> Run:
    """The run on ``base`` where it names none itself."""
    return run.model_copy(update={"base": base}) if not run.base else run


def missing_for(run: Run) -> str:
    """Why a run cannot be made on this machine; empty when it can."""
    if run.method != "dspy":
        return ""
    from homeroom.tuning.dspy.packages import require_dspy

    try:
        require_dspy()
    except MissingExtraError as error:
        return error.message
    return ""
