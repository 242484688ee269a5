"""Talking to models without a server: what the terminal's chat and practice use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from homeroom.app.directory import HomeDirectory
from homeroom.app.endpoints import endpoint_identity, endpoint_of
from homeroom.app.engines import engine, resolve_running, server_runs
from homeroom.app.metering import CHAT, Use
from homeroom.app.own_weights import own_files
from homeroom.chat.directory import ModelCard, resolve_card
from homeroom.chat.scenarios import PracticeScenario, scenarios_from_examples
from homeroom.data.course import load_course
from homeroom.errors import NotFoundError
from homeroom.ledger.purse import Purse
from homeroom.models.engine_info import EngineInfo
from homeroom.models.pull import installed

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def running_directory(home: Homeroom, use: Use = CHAT, purse: Purse | None = None) -> HomeDirectory:
    """The models as a server offers them: through the engine that its supervisor keeps; at endpoints paid from ``purse``."""

    def resolve(identity: str = "", adapter: str | None = None, failed: EngineInfo | None = None) -> EngineInfo:
        return resolve_running(home, identity, adapter, failed)

    return HomeDirectory(home, resolve, use, purse)


@contextmanager
def talking(
    home: Homeroom, model: str | None, task: str, use: Use = CHAT, purse: Purse | None = None
) -> Iterator[tuple[HomeDirectory, ModelCard]]:
    """A model that will be asked and the directory that reaches it: the running engine, or one for as long as the block lasts.

    Args:
        home: The open home.
        model: Name, id8 or suffix; what the page for ``task`` uses when None.
        task: ``tutor`` or ``learner``.
        use: What it is asked for: so its calls are counted where they cost money.
        purse: What these calls are paid from; None has no limit but the budgets.

    Raises:
        NotFoundError: no such model, or its base is not on this machine.
    """
    if model is not None and installed(model, home.settings.cache) is not None:
        home = home.with_base(model)
    models = running_directory(home, use, purse)
    card = resolve_card(models, full_name(home, models, model), task)
    tuned = home.registry.get(card.name) if card.kind == "tuned" else None
    if card.kind == "endpoint" or (tuned and (tuned.kind == "remote" or endpoint_of(home.settings, tuned.base) is not None)):
        with closing(models):
            yield models, card
        return
    whole = tuned is not None and tuned.kind == "full"
    base = own_files(home, tuned) if tuned and whole else home.base_files(tuned.base if tuned else card.name)
    if server_runs(home):
        with closing(models):
            yield models, card
        return
    with (
        engine(home, base, wanted=(card.name,)) as resolve,
        closing(HomeDirectory(home if whole else home.with_base(base.name), resolve, use)) as own,
    ):
        yield own, card


def identity_of(home: Homeroom, card: ModelCard) -> str:
    """What a model's reply depends on besides the request: its base and what was tuned, and how the engine serves them."""
    tuned = home.registry.get(card.name) if card.kind == "tuned" else None
    base = tuned.base if tuned else card.name
    endpoint = endpoint_of(home.settings, base)
    of_base = endpoint_identity(endpoint, base) if endpoint else home.base_files(base).identity
    own = (tuned.artifact or tuned.remote_id) if tuned else ""
    return f"{of_base}:{home.settings.engine_weights}:{home.settings.engine_context}:{own}"


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
    if reference.isdecimal() and len(reference) < 10 and 1 <= int(reference) <= len(scenarios):
        return scenarios[int(reference) - 1]
    for scenario in scenarios:
        if reference in (scenario.id, scenario.name):
            return scenario
    raise NotFoundError(
        f"There is no scenario {reference!r}. List them with: homeroom practice --list", code="scenario-not-found"
    )
