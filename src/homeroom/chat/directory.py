"""How the chat reaches models: cards that people read, and a `ChatModel` by name.

The chat layer asks a `ModelDirectory` each time, so a model that was registered a moment ago is there at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from homeroom.errors import NotFoundError, OptionError
from homeroom.schema.chat import ChatModel, GenerationSettings

ModelKind = Literal["base", "tuned", "endpoint"]


@dataclass(frozen=True, slots=True)
class ScorecardLink:
    """One evaluation of a model: what was measured on which dataset.

    Attributes:
        dataset: Name of the dataset version.
        summary: Measures as ``{"title": "value with interval"}``, ready to be read.
        report: Key for `homeroom.server`'s report page; empty when there is no report to open.
    """

    dataset: str
    summary: Mapping[str, str] = field(default_factory=dict)
    report: str = ""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a person should know about a model before using it.

    Attributes:
        name: Its name on the wire.
        title: What a person reads.
        kind: ``base``, ``tuned`` here, or served by an ``endpoint``.
        task: ``tutor``, ``learner``, or ``any``.
        suitability: ``practice``, ``trainee`` or ``learner``: whom it may face.
        verdict: Outcome of its last judged evaluation, in one line; ``unjudged`` without one.
        settings: `GenerationSettings` as plain data plus ``system_prompt``.
        default_for: Tasks whose pages use this model unless another is picked.
        recipe: How it was tuned; empty for a base.
        metrics: Numbers of the tuning run: losses, tokens, seconds.
        here: Whether it can be asked now: not the default base before it was fetched.
    """

    name: str
    title: str = ""
    kind: ModelKind = "base"
    task: str = "any"
    suitability: str = "practice"
    verdict: str = "unjudged"
    created_at: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    default_for: tuple[str, ...] = ()
    description: str = ""
    base: str = ""
    method: str = ""
    dataset: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    scorecards: tuple[ScorecardLink, ...] = ()
    here: bool = True

    @property
    def label(self) -> str:
        """The title, or the name where there is none."""
        return self.title or self.name

    @property
    def system_prompt(self) -> str:
        """The system message saved with this model version."""
        return str(self.settings.get("system_prompt") or "")

    @property
    def generation(self) -> GenerationSettings:
        """The saved settings as a value."""
        return GenerationSettings.from_dict(dict(self.settings))


class ModelDirectory(Protocol):
    """The models that may be used now. Thread-safe."""

    def list(self) -> Sequence[ModelCard]:
        """Every model, the default first, then bases and endpoints, then tuned models, newest first."""
        ...

    def card(self, name: str) -> ModelCard:
        """The card of one model, also of one that the list leaves out: the checkpoints of a tuning run, other names of a base.

        Raises:
            NotFoundError: no model has that name (``model-not-found``).
        """
        ...

    def chat_model(self, name: str) -> ChatModel:
        """What answers as ``name``.

        Raises:
            NotFoundError: no model has that name.
            ProviderError: it exists and cannot answer now.
        """
        ...

    def save_settings(self, name: str, settings: Mapping[str, Any]) -> None:
        """Store settings (`GenerationSettings` as plain data plus ``system_prompt``) with the model version."""
        ...

    def use_for(self, name: str, task: str) -> None:
        """Make ``name`` what the pages for ``task`` (``tutor`` or ``learner``) use."""
        ...

    def delete(self, name: str) -> None:
        """Delete a model that was tuned here.

        Raises:
            NotFoundError: no model has that name.
            OptionError: it was not tuned here (``model-not-deletable``).
            ConflictError: something uses it (``model-in-use``).
        """
        ...


def not_deletable(name: str) -> OptionError:
    """What is raised when a model is to be deleted that was not tuned here, or is a part of one that was."""
    return OptionError(
        f"{name!r} cannot be deleted: only models that were tuned here can, each with its checkpoints",
        param="model",
        code="model-not-deletable",
    )


def find_card(models: ModelDirectory, name: str) -> ModelCard:
    """The card of ``name``.

    Raises:
        NotFoundError: no model has that name.
    """
    return models.card(name)


def unknown_model(name: str) -> NotFoundError:
    """What is raised where no model has that name."""
    return NotFoundError(f"there is no model {name!r}. List the models: homeroom models list", code="model-not-found")


def default_card(models: ModelDirectory, task: str) -> ModelCard:
    """What a page for ``task`` uses when nothing was picked: its default, else one tuned for it, else the first.

    A model that was refused is used only when it is chosen, or when there is nothing else.

    Raises:
        NotFoundError: there is no model at all.
    """
    cards = models.list()
    if not cards:
        raise NotFoundError("there is no model yet. Get the embedded one: homeroom models pull", code="no-model")
    for card in cards:
        if task in card.default_for:
            return card
    fit = [card for card in cards if card.verdict != "reject"] or list(cards)
    tuned = [card for card in fit if card.task == task]
    general = [card for card in fit if card.task == "any"]
    return (tuned or general or fit)[0]


def resolve_card(models: ModelDirectory, name: str | None, task: str) -> ModelCard:
    """The card of ``name``, or the default for ``task`` when no name is given."""
    return find_card(models, name) if name else default_card(models, task)
