"""Runs on this machine's weights: the tuner as a home builds it, and its outcome as the registry takes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from homeroom import __version__
from homeroom.app.bases import listed_base
from homeroom.app.engines import engine
from homeroom.app.forecasts import calibrations, record
from homeroom.errors import ConflictError
from homeroom.models.engine_chat import engine_render_ids
from homeroom.models.engine_info import find_running
from homeroom.registry.names import new_model_name
from homeroom.schema.examples import Message
from homeroom.schema.models import BaseFiles, TunedModel
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from homeroom.tuning.recipe import Recipe

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.tuning.huggingface.milestones import Milestones
    from homeroom.tuning.huggingface.shared import LoadBase

Render = Callable[[Sequence[Message]], list[int]]
Renderer = Callable[[], AbstractContextManager[Render]]


def local_tuner(
    home: Homeroom,
    base: BaseFiles,
    work_dir: Path,
    job_id: str,
    *,
    milestones: Milestones | None = None,
    load_base: LoadBase | None = None,
    renderer: Renderer | None = None,
) -> HuggingFaceTuner:
    """The tuner of a run on ``base`` in the folder ``work_dir``.

    Args:
        home: The open home.
        base: What is tuned.
        work_dir: The run's own durable folder.
        job_id: The job that runs it.
        milestones: See `HuggingFaceTuner`.
        load_base: A base that several runs share.
        renderer: Of the engine, for the check of the tokens; an engine is started for each run when None.
    """
    listed = listed_base(base.name)
    return HuggingFaceTuner(
        base,
        work_dir,
        home.artifacts,
        suitability=listed.suitability if listed else "practice",
        licence=listed.licence if listed else "",
        new_name=new_model_name,
        renderer=renderer or engine_renderer(home, base),
        calibrations=calibrations(home),
        record=record(home),
        milestones=milestones,
        load_base=load_base,
        job_id=job_id,
        code_version=__version__,
    )


def entries(model: TunedModel, recipe: Recipe, roles: Sequence[Literal["tutor", "learner"]]) -> list[TunedModel]:
    """The model as it will be registered: as it is, or once for each role, with the same weights.

    The names follow from the model's own, so that another attempt finds what this one registered.
    """
    if not roles:
        return [model]
    found = []
    for task in roles:
        role = recipe.roles[task]
        # A learner's dialogue brings its own system turn: the one that says who the learner is.
        prompt = recipe.system_prompt if task == "tutor" else ""
        settings = {**role.generation.settings().to_dict(), "system_prompt": prompt}
        name = recipe.role_names(model.name)[task]
        found.append(replace(model, name=name, task=task, suffix=role.suffix or task, settings=settings))
    return found


def registered(home: Homeroom, model: TunedModel) -> TunedModel:
    """The model, registered once: an attempt that was thought dead may have been quicker."""
    try:
        # The registry gives the time: one that is later than all others', whatever the clock says.
        return home.registry.register(replace(model, created_at=0.0))
    except ConflictError as error:
        if error.code != "model-exists":
            raise
        known = home.registry.get(model.name)
        if known.job_id != model.job_id:
            raise
        return known


def with_threads(home: Homeroom, recipe: Recipe) -> Recipe:
    """While an engine serves people, training takes half of the cores: beside a trainer on all of them a chat takes minutes."""
    if recipe.threads or find_running(home.settings.home) is None:
        return recipe
    return recipe.model_copy(update={"threads": max(1, (os.cpu_count() or 2) // 2)})


def engine_renderer(home: Homeroom, base: BaseFiles) -> Renderer:
    """How the engine renders messages, for the parity check: an engine started for it ends with the block."""

    @contextmanager
    def opened() -> Iterator[Render]:
        with engine(home, base) as resolve:
            yield lambda messages: engine_render_ids(resolve(), messages)

    return opened


class RememberedRenderer:
    """A renderer for several runs: what the engine made of messages is kept, and an engine is started for new ones only."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._known: dict[tuple[Message, ...], list[int]] = {}

    @contextmanager
    def __call__(self) -> Iterator[Render]:
        """See `Renderer`."""
        with ExitStack() as stack:
            opened: list[Render] = []

            def render(messages: Sequence[Message]) -> list[int]:
                key = tuple(messages)
                if key not in self._known:
                    if not opened:
                        opened.append(stack.enter_context(self._renderer()))
                    self._known[key] = opened[0](messages)
                return self._known[key]

            yield render


def roles_of(recipe: Recipe, tasks: Sequence[str]) -> list[Literal["tutor", "learner"]]:
    """The recipe's roles that a dataset with these tasks has examples for."""
    return [task for task in recipe.roles if task in tasks]


def told_result(models: Sequence[TunedModel]) -> Mapping[str, object]:
    """The result of a job that made these models."""
    return {"model": models[0].name, "models": [model.name for model in models], "metrics": dict(models[0].metrics)}
