"""The job that sweeps: trials of one recipe in one process over one base in memory; its winner is registered."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom import __version__
from homeroom.app.forecasts import told
from homeroom.app.local_runs import (
    RememberedRenderer,
    engine_renderer,
    entries,
    local_tuner,
    registered,
    roles_of,
    told_result,
    with_threads,
)
from homeroom.app.sweep import study_folder, study_identity
from homeroom.app.tuning import training_data
from homeroom.data.datasets import Dataset
from homeroom.errors import ConflictError, NotFoundError
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.runtime.hardware import hardware
from homeroom.schema.jobs import OUTCOME, JobContext, Reporter
from homeroom.schema.models import BaseFiles, TunedModel
from homeroom.schema.tuning import TrainingData
from homeroom.storage.files import make_private_folder
from homeroom.storage.held import hold
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import parse_recipe
from homeroom.tuning.sweep.loop import sweep
from homeroom.tuning.sweep.report import HTML_NAME, render
from homeroom.tuning.sweep.space import Point, SweepSpec
from homeroom.tuning.sweep.study import Study, Trial
from homeroom.tuning.sweep.summary import summary, verdict, winners_recipe

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.tuning.huggingface.shared import LoadBase

RECIPE_NAME = "recipe.yaml"
JSON_NAME = "sweep.json"


def handle(context: JobContext, home: Homeroom) -> Mapping[str, Any]:
    """Run the sweep of ``context.job``, continuing what its study holds; write the report, register the winner."""
    payload = context.job.payload
    recipe = parse_recipe(dict(payload["recipe"]))
    spec = SweepSpec.model_validate(payload["sweep"])
    dataset = home.datasets.get(str(payload["dataset"]))
    base = home.base_files(recipe.base)
    folder = make_private_folder(study_folder(home, str(payload["study"])))
    mark = hold(folder / "running.lock")
    if mark is None:
        raise ConflictError(
            f"Another job works on the study {folder.name!r}. Wait for it: homeroom jobs list; or take another: --study NAME",
            code="study-busy",
        )
    with mark:
        study = Study.open(folder, study_identity(dataset.info.id, base, recipe, spec))
        trials = Trials(context, home, base, dataset, sized(recipe, base, spec, study), spec, folder)
        best = sweep(study, spec, trials.recipe, trials.train, context, trials.dropped)
        report = _report(home, study, spec, trials.recipe, best, dataset)
    assert best.model is not None
    model = TunedModel(**{**best.model, "job_id": context.job.id})
    known = {made.name: made for made in home.registry.list()}  # an earlier job of the study may have registered its winner
    won = entries(model, trials.recipe, roles_of(recipe, dataset.tasks))
    models = [known.get(entry.name) or registered(home, entry) for entry in won]
    for line in verdict(study, spec):
        context.event(line)
    if line := told(model.metrics, alone=False):
        context.event(f"The winning trial: {line}", type=OUTCOME)
    return {**told_result(models), "report": report, "sweep": summary(study, spec)}


class Trials:
    """What trains a trial, and what tidies up behind it."""

    def __init__(
        self,
        context: JobContext,
        home: Homeroom,
        base: BaseFiles,
        dataset: Dataset,
        recipe: Recipe,
        spec: SweepSpec,
        folder: Path,
    ) -> None:
        self._context, self._home, self._base, self._folder = context, home, base, folder
        self._data: TrainingData = training_data(dataset, recipe)
        self._renderer = RememberedRenderer(engine_renderer(home, base))
        self._shared: LoadBase | None = None
        self.recipe = checked_often(with_threads(home, recipe), self._data, base, spec.checks)

    def train(self, number: int, recipe: Recipe, reporter: Reporter) -> TunedModel:
        """See `homeroom.tuning.sweep.loop.Train`."""
        from homeroom.tuning.huggingface.cores import yield_cores_soon

        if self._shared is None:
            yield_cores_soon()  # before the next import brings PyTorch in
            from homeroom.tuning.huggingface.shared import SharedBase

            self._shared = SharedBase()
        tuner = local_tuner(
            self._home,
            self._base,
            self._place(number),
            self._context.job.id,
            load_base=self._shared,
            renderer=self._renderer,
        )
        return tuner.run(self._data, recipe, reporter)

    def dropped(self, number: int, model: Mapping[str, Any] | None) -> None:
        """See `homeroom.tuning.sweep.loop.Dropped`: its folder goes, and its weights unless a registered model has them."""
        shutil.rmtree(self._place(number), ignore_errors=True)
        if model is not None and not any(known.artifact == model["artifact"] for known in self._home.registry.list()):
            with suppress(NotFoundError):
                self._home.artifacts.delete(str(model["artifact"]))

    def _place(self, number: int) -> Path:
        return self._folder / f"trial-{number:03d}"


def sized(recipe: Recipe, base: BaseFiles, spec: SweepSpec, study: Study) -> Recipe:
    """The recipe with a number for ``batch_tokens: auto``: the same for every trial, and so that the largest adapter fits."""
    if recipe.batch_tokens:
        return recipe
    if not study.batch_tokens:
        from homeroom.tuning.huggingface import device
        from homeroom.tuning.huggingface.needs import Shape, free_bytes, with_batch_tokens

        compute = device.choose(recipe)
        own = Point.of(recipe)  # the first trial, whatever the ranges are
        largest = replace(own, rank=max(own.rank, spec.rank[-1])).applied(recipe)
        free = free_bytes(compute, hardware(study.folder))
        study.batch_tokens = with_batch_tokens(largest, Shape.of(base), compute, free).batch_tokens
        study.save()
    return recipe.model_copy(update={"batch_tokens": study.batch_tokens})


def checked_often(recipe: Recipe, data: TrainingData, base: BaseFiles, checks: int) -> Recipe:
    """The recipe with validation at least ``checks`` times in a run: what is stopped early is stopped by it."""
    from homeroom.tuning.huggingface.prepare import prepare

    steps = len(prepare(ChatTokenizer(base.weights), data, recipe).steps(recipe))
    every = min(recipe.validation.every_steps, max(1, math.ceil(steps / checks)))
    return recipe.model_copy(update={"validation": recipe.validation.model_copy(update={"every_steps": every})})


def _report(home: Homeroom, study: Study, spec: SweepSpec, recipe: Recipe, best: Trial, dataset: Dataset) -> str:
    """The artifact with the page, the numbers and the winner's recipe."""
    text = winners_recipe(recipe, study, best)
    made_of = {"dataset": f"{dataset.info.name}@{dataset.info.version}", "base": recipe.base, "code": __version__}
    with home.artifacts.write("report") as draft:
        (draft / HTML_NAME).write_text(render(study, spec, text, made_of), encoding="utf-8")
        (draft / RECIPE_NAME).write_text(text, encoding="utf-8")
        (draft / JSON_NAME).write_text(json.dumps(summary(study, spec), indent=1) + "\n", encoding="utf-8")
    return draft.id
