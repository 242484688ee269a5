"""What a recommendation rests on: one field for each reason there can be to choose a method, and what it is asked as."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date
from typing import Literal, cast, get_args

from homeroom.errors import ConfigError

Quality = Literal["unknown", "good", "warnings", "errors"]
Stage = Literal["early", "later"]
Speed = Literal["hours", "days"]
Connectivity = Literal["good", "limited", "none"]
Deployment = Literal["few", "wide"]
Access = Literal["none", "key", "active", "other", "closed"]
Value = bool | float | int | str | date | None


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that is known of somebody who wants a model to answer more like their examples.

    The defaults are what is taken for granted without an answer.

    Attributes:
        examples: Training examples at hand, 0 or more.
        quality: What ``homeroom data check`` says of them.
        stage: ``early`` while approaches are tried, ``later`` once one is settled.
        unsure: Whether tuning helps at all is to be found out first.
        speed: A result is needed within ``hours``, or ``days`` are fine.
        small_change: The model's manner needs a small correction, no new skill.
        single_task: One kind of classroom situation or question is to get better.
        consistency: Replies must be alike for everybody.
        standards: Replies must follow a curriculum's or a standard's wording.
        specialised: A specialist for one subject or grade is wanted.
        private: The examples, or what learners write, may not leave the building.
        offline: The model must answer without a network.
        connectivity: Of the place where it is used.
        control: Weights, versions and behaviour must be in one's own hands.
        no_upkeep: Nobody wants to look after machines.
        deployment: ``wide`` where many people will use it at once.
        token_costs: Tokens of each request must be kept few.
        no_running_costs: There may be no bill for each request.
        budget_usd: Money for tuning and the first months; None where that is no question.
        gpu: This machine, or one at hand, has a GPU.
        memory_gb: Memory of that machine.
        access: To fine-tuning at a provider: ``key`` of OpenAI, ``active`` where a model was tuned there and used of late,
            ``other`` with the same API, ``closed`` where OpenAI refused.
        today: The day of the decision.
    """

    examples: int = 0
    quality: Quality = "unknown"
    stage: Stage = "later"
    unsure: bool = False
    speed: Speed = "days"
    small_change: bool = False
    single_task: bool = False
    consistency: bool = False
    standards: bool = False
    specialised: bool = False
    private: bool = False
    offline: bool = False
    connectivity: Connectivity = "good"
    control: bool = False
    no_upkeep: bool = False
    deployment: Deployment = "few"
    token_costs: bool = False
    no_running_costs: bool = False
    budget_usd: float | None = None
    gpu: bool = False
    memory_gb: float = 8.0
    access: Access = "other"
    today: date = date(2026, 11, 1)

    def __post_init__(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            ConfigError: ``recommend-input``.
        """
        for entry in INPUTS:
            value = getattr(self, entry.name)
            if entry.choices and value not in entry.choices:
                raise _unusable(entry.name, value, f"one of {', '.join(map(str, entry.choices))}")
            if entry.kind == "yes-no" and not isinstance(value, bool):  # "yes" taken for no would send private examples away
                raise _unusable(entry.name, value, "True or False")
            if entry.kind == "number" and value is not None and not 0 <= value < float("inf"):
                raise _unusable(entry.name, value, "a number, 0 or more")


@dataclass(frozen=True, slots=True)
class Input:
    """How a field of `Situation` is asked for.

    Attributes:
        name: Of the field; as an option ``--private``, with ``-`` for ``_``.
        question: For a person.
        kind: ``number``, ``yes-no``, ``choice`` or ``date``.
        choices: Values of a choice.
        found: Where Homeroom looks by itself; empty where only a person knows.
    """

    name: str
    question: str
    kind: Literal["number", "yes-no", "choice", "date"]
    choices: tuple[str, ...] = ()
    found: str = ""

    @property
    def option(self) -> str:
        """The command's option."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def default(self) -> Value:
        """What is taken for granted."""
        return cast(Value, next(field.default for field in fields(Situation) if field.name == self.name))


INPUTS: tuple[Input, ...] = (
    Input("examples", "How many training examples do you have?", "number", found="the dataset or file"),
    Input("quality", "What does `homeroom data check` say of them?", "choice", get_args(Quality), found="a check of the data"),
    Input("stage", "Are you still trying approaches (early), or is one settled (later)?", "choice", get_args(Stage)),
    Input("unsure", "Do you first want to find out whether tuning helps at all?", "yes-no"),
    Input("speed", "Do you need a result within hours or days?", "choice", get_args(Speed)),
    Input("small_change", "Is it a small correction of manner, rather than a new skill?", "yes-no"),
    Input("single_task", "Is it about one kind of classroom situation or question?", "yes-no"),
    Input("consistency", "Must replies be alike for everybody, each time?", "yes-no"),
    Input("standards", "Must replies follow the wording of a curriculum or standard?", "yes-no"),
    Input("specialised", "Do you want a specialist for one subject or grade?", "yes-no"),
    Input("private", "Must examples and learners' words stay in the building?", "yes-no"),
    Input("offline", "Must it answer without any network?", "yes-no"),
    Input(
        "connectivity",
        "How is the connection where it will be used?",
        "choice",
        get_args(Connectivity),
        found="this machine's routes",
    ),
    Input("control", "Must weights and versions be in your own hands?", "yes-no"),
    Input("no_upkeep", "Would you rather not look after machines?", "yes-no"),
    Input("deployment", "Will a few people use it, or many (wide)?", "choice", get_args(Deployment)),
    Input("token_costs", "Must the tokens of each request be kept few?", "yes-no"),
    Input("no_running_costs", "Must there be no bill for each request?", "yes-no"),
    Input("budget_usd", "How many US dollars may tuning and the first months cost?", "number"),
    Input("gpu", "Is there a GPU?", "yes-no", found="this machine"),
    Input("memory_gb", "How many GB of memory has the machine?", "number", found="this machine"),
    Input(
        "access",
        "What access to fine-tuning at a provider is there?",
        "choice",
        get_args(Access),
        found="keys in the environment",
    ),
    Input("today", "Which day is it?", "date", found="the clock"),
)


def input_named(name: str) -> Input:
    """The entry of a field."""
    return next(entry for entry in INPUTS if entry.name == name)


def shown(value: Value) -> str:
    """A value as people read and type it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "no limit" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def names(entries: Iterable[Input] = INPUTS) -> tuple[str, ...]:
    """Names of fields."""
    return tuple(entry.name for entry in entries)


def _unusable(name: str, value: object, wanted: str) -> ConfigError:
    return ConfigError(
        f"{name} = {value!r} is not {wanted}. See: homeroom tune recommend --help",
        code="recommend-input",
    )
