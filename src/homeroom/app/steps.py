"""The commands as functions, for programs and notebooks: fetch a base, tune, talk, evaluate.

Each does what its command does, without a screen, and is a durable job where the command makes one: asked for the same again it
returns what is there, and after an interruption it goes on. ``examples/`` shows each of them on a real situation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from homeroom.app.agreements import lift_limit
from homeroom.app.bases import fetch_base
from homeroom.app.endpoints import endpoint_of
from homeroom.app.evaluation import DEFAULT_ITEMS, DEFAULT_MAX_TOKENS, submit_evaluation
from homeroom.app.holding import held
from homeroom.app.spending import SPEND, quotes_of, require_agreed
from homeroom.app.talk import talking
from homeroom.app.tuning import plan_tuning, submit_tuning
from homeroom.app.work import wait_for
from homeroom.evaluation.report import read_report
from homeroom.evaluation.results import Evaluation
from homeroom.ledger.purse import Purse
from homeroom.schema.chat import ChatModel, GenerationSettings
from homeroom.schema.examples import Message
from homeroom.schema.models import TunedModel
from homeroom.schema.tuning import Plan
from homeroom.tuning.recipe_file import Run, run_of

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def fetch(home: Homeroom, base: str = "") -> str:
    """``homeroom models pull``: have a base on this machine. Returns its name: the default base's when none is given.

    A base of an endpoint (``ENDPOINT/MODEL``) is not fetched.

    Raises:
        HomeroomError: it is unknown, or could not be fetched or verified.
    """
    name = base or home.settings.default_base
    if endpoint_of(home.settings, name) is None:
        fetch_base(home, name, lambda _file, _done, _size: None)
    return name


def plan(home: Homeroom, dataset: str, recipe: Run | Mapping[str, Any], *, gpu: str = "") -> Plan:
    """``homeroom tune plan``: what `tune` would need, in time, memory, disk and money. Starts nothing.

    Args:
        home: The open home.
        dataset: Name, ``name@version`` or id.
        recipe: As `tune` takes it.
        gpu: Memory of a GPU to plan for, such as ``24GB``; it need not be here. ``details["gpu"]`` of the plan then says which
            GPUs would do, and its time is 0, as none was measured.

    Raises:
        HomeroomError: no such dataset, nothing to train on, a mistake in the recipe, or no size of a memory.
    """
    return plan_tuning(home, dataset, run_of(recipe), gpu=gpu)


def tune(
    home: Homeroom, dataset: str, recipe: Run | Mapping[str, Any], *, again: bool = False, spend: float = 0.0
) -> tuple[TunedModel, ...]:
    """``homeroom tune run``: tune and wait. Returns what was registered.

    Args:
        home: The open home.
        dataset: Name, ``name@version`` or id.
        recipe: Keys of a recipe file, such as ``{"name": "fractions", "task": "tutor", "max_trained_tokens": 6000}``.
        again: Tune anew even if this very run was made before.
        spend: The most that calls to endpoints may cost, in US dollars, by their forecast; ``math.inf`` is whatever they cost.
            What was made already costs nothing.

    Raises:
        ConfigError: ``needs-yes``: it could cost more than ``spend``; ``key-not-set``. Nothing was begun.
        HomeroomError: the first thing that went wrong; asked for again, the run goes on.
    """
    run = run_of(recipe)
    require_agreed(quotes_of(home, dataset, [(run.name, run)], again=again), spend, SPEND)
    job = submit_tuning(home, dataset, run, again=again)
    lift_limit(home, [job], spend)
    job = wait_for(home, job.id)
    return tuple(home.registry.get(str(name)) for name in (job.result or {})["models"])


def evaluate(
    home: Homeroom,
    model: TunedModel,
    *,
    items: int = DEFAULT_ITEMS,
    max_tokens: int = DEFAULT_MAX_TOKENS,
    again: bool = False,
    spend: float = 0.0,
) -> Evaluation:
    """``homeroom eval run``: the model, its base, and its base with demonstrations, on whole topics that it never saw.

    Args:
        home: The open home.
        model: What `tune` returned.
        items: Most held-out replies.
        max_tokens: Longest reply, in tokens.
        again: Ask anew.
        spend: The most that replies at endpoints may cost, in US dollars, by their forecast; ``math.inf`` is whatever they cost.
            What was made already costs nothing.

    Raises:
        ConfigError: ``needs-yes``: it could cost more than ``spend``; ``key-not-set``. Nothing was begun.
        HomeroomError: nothing is held out, or a model could not answer.
    """
    job = wait_for(home, submit_evaluation(home, model, items=items, max_tokens=max_tokens, again=again, spend=spend).id)
    return read_report(home.artifacts.path(str((job.result or {})["report"])) / "evaluation.json")


class Conversation:
    """A conversation with one model. `messages` is all that was said, the system prompt first if there is one."""

    def __init__(self, name: str, model: ChatModel, settings: GenerationSettings, system: str) -> None:
        self.name = name
        self.messages: list[Message] = [Message("system", system)] if system else []
        self._model = model
        self._settings = settings
        self._opening = tuple(self.messages)

    def ask(self, text: str) -> str:
        """Say something; returns the reply.

        Raises:
            ProviderError: the model could not answer; what was said is not kept.
            ConfigError: ``needs-yes``: the reply could cost more than is left of what was agreed to.
        """
        said = Message("user", text)
        reply = self._model.complete([*self.messages, said], self._settings).text
        self.messages += [said, Message("assistant", reply)]
        return reply

    def start_over(self) -> None:
        """Forget what was said, but not the system prompt."""
        self.messages = list(self._opening)


@contextmanager
def conversation(
    home: Homeroom, model: str, *, task: str = "tutor", system: str | None = None, spend: float = 0.0
) -> Iterator[Conversation]:
    """Talk to a model: one that was tuned, a base of this machine, or one of an endpoint, for as long as the block lasts.

    Args:
        home: The open home.
        model: Its name, id8 or suffix.
        task: ``tutor`` or ``learner``: the part that it plays.
        system: System prompt in place of the model's own.
        spend: The most that all its replies may cost at an endpoint, in US dollars: what could cost more than is left is not sent
            (``needs-yes``). ``math.inf`` is whatever they cost.

    Raises:
        NotFoundError: no such model, or its base is not on this machine.
    """
    purse = Purse(0.0)
    with talking(home, model, task, purse=purse) as (models, card):
        own = str(card.settings.get("system_prompt") or "")
        answers = held(home, card, models.chat_model(card.name), purse, spend)
        yield Conversation(card.name, answers, card.generation, own if system is None else system)
