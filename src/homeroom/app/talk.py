"""Talking to models without a server: what the terminal's chat and practice use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from homeroom.app.directory import HomeDirectory
from homeroom.app.engines import engine, resolve_running
from homeroom.chat.scenarios import PracticeScenario, scenarios_from_examples
from homeroom.data.course import load_course
from homeroom.errors import NotFoundError
from homeroom.models.engine_info import EngineInfo, find_running
from homeroom.models.pull import installed

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def running_directory(home: Homeroom) -> HomeDirectory:
    """The models as a server offers them: through the engine that its supervisor keeps."""
    return HomeDirectory(home, lambda adapter: resolve_running(home, adapter))


@contextmanager
def directory(home: Homeroom, model: str | None = None) -> Iterator[HomeDirectory]:
    """The models for one command: through the running engine, or one started for as long as the block lasts.

    Args:
        home: The open home.
        model: The model that will be asked; no engine is started for one that an endpoint serves.
    """
    external = model is not None and any(model.startswith(f"{e.name}/") for e in home.settings.endpoints)
    if external or find_running(home.settings.home) is not None:
        yield running_directory(home)
        return
    home = home.with_base(_base_of(home, model))
    with engine(home, home.base_files()) as resolve:

        def own(adapter: str | None) -> EngineInfo:
            return resolve()

        yield HomeDirectory(home, own)


def _base_of(home: Homeroom, model: str | None) -> str:
    """The base that must be served for ``model``: its own if it is tuned, itself if it is a base."""
    if model is None or model == home.settings.default_base:
        return home.settings.default_base
    tuned = [m for m in home.registry.list() if model in (m.name, m.id8, m.suffix)]
    if tuned:
        return tuned[0].base if tuned[0].kind == "lora" else home.settings.default_base
    return model if installed(model, home.settings.cache) is not None else home.settings.default_base


def full_name(home: Homeroom, models: HomeDirectory, reference: str | None) -> str | None:
    """The name on the wire for a full name, an id8 or a suffix; None stays None (the default).

    Raises:
        NotFoundError: nothing matches (``model-not-found``).
    """
    if reference is None or any(card.name == reference for card in models.list()):
        return reference
    return home.registry.resolve(reference)


def practice_scenarios(home: Homeroom) -> tuple[PracticeScenario, ...]:
    """Learners to practise on: those of the newest dataset that has any, held-out ones first, else of the bundled course."""
    for info in home.datasets.list():
        if any(key.endswith("/learner") for key in info.counts.get("tasks", {})):
            dataset = home.datasets.get(info.id)
            held_out = dataset.part("test", "learner") + dataset.part("validation", "learner")
            found = scenarios_from_examples([*held_out, *dataset.part("train", "learner")])
            if found:
                return found
    return scenarios_from_examples(load_course())


def scenario_named(scenarios: tuple[PracticeScenario, ...], reference: str | None) -> PracticeScenario:
    """By number in the list (from 1), id, or learner's name; the first without a reference.

    Raises:
        NotFoundError: none is meant (``scenario-not-found``).
    """
    if reference is None:
        return scenarios[0]
    if reference.isdigit() and 1 <= int(reference) <= len(scenarios):
        return scenarios[int(reference) - 1]
    for scenario in scenarios:
        if reference in (scenario.id, scenario.name):
            return scenario
    raise NotFoundError(
        f"There is no scenario {reference!r}. List them with: homeroom practice --list", code="scenario-not-found"
    )
