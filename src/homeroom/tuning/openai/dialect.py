"""In what a provider's fine-tuning API differs from OpenAI's: how settings are written, and what a job that succeeded leaves.

OpenAI names a model that answers. Nebius Token Factory leaves checkpoints, and one of them answers once it is deployed. A new
provider is a class here and its name in `homeroom.settings.model.FINE_TUNING`.

https://platform.openai.com/docs/api-reference/fine-tuning,
https://docs.tokenfactory.nebius.com/api-reference/fine-tuning/create-a-fine-tuning-job
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import urlsplit

from homeroom.errors import ConfigError
from homeroom.tuning.openai.outcome import Checkpoint, checkpoints_of
from homeroom.tuning.openai.recipe import OpenAIRecipe

Json = dict[str, Any]  # of the provider's making
_NEBIUS = re.compile(r"api\.(tokenfactory|studio)(\.[a-z0-9-]+)?\.nebius\.(com|ai)")


class Dialect(Protocol):
    """One form of the API."""

    @property
    def name(self) -> str:
        """As the settings call it."""

    @property
    def keeps_metadata(self) -> bool:
        """Whether a job takes metadata and shows them."""

    @property
    def leaves_checkpoints(self) -> bool:
        """Whether checkpoints are all that a job leaves, so that there is no model without them."""

    def refuse(self, recipe: OpenAIRecipe) -> None:
        """Refuse what cannot be asked for there.

        Raises:
            ConfigError: ``fine-tuning-setting``.
        """

    def settings(self, recipe: OpenAIRecipe, epochs: int | None = None) -> Json:
        """The fields of a new job that say how it trains; without ``epochs`` to ask for access only."""

    def tables(self, job: Json) -> list[str]:
        """Ids of the files of an ended job that hold its table of steps."""

    def checkpoints(self, job_id: str, rows: Sequence[Json]) -> list[Checkpoint]:
        """The checkpoints that are listed, the earliest first."""

    def tuned(self, job: Json, checkpoints: Sequence[Checkpoint]) -> str:
        """What a job that succeeded made; empty when it tells nothing."""

    def answering(self, made: str, deploy: Callable[[str], str]) -> str:
        """The name by which what was made answers; ``deploy`` makes a checkpoint answer."""


class OpenAIDialect:
    """OpenAI, Azure's v1 API, and Homeroom's own server."""

    name = "openai"
    keeps_metadata = True
    leaves_checkpoints = False

    def refuse(self, recipe: OpenAIRecipe) -> None:
        """See `Dialect`."""
        given = [key for key in ("learning_rate", "lora_rank", "lora_alpha") if getattr(recipe, key) is not None]
        if given:
            raise ConfigError(
                f"The run {recipe.name!r} sets {given[0]} = {getattr(recipe, given[0])!r}, and {_base(recipe)} takes none: it "
                "has learning_rate_multiplier, epochs and batch_size. Change the recipe, say fine_tuning: nebius at the "
                "endpoint if it is one, or train here: homeroom tune run --method huggingface",
                code="fine-tuning-setting",
            )

    def settings(self, recipe: OpenAIRecipe, epochs: int | None = None) -> Json:
        """See `Dialect`."""
        given = {
            "batch_size": recipe.batch_size,
            "learning_rate_multiplier": recipe.learning_rate_multiplier,
            "beta": recipe.beta,
            "n_epochs": epochs,
        }
        return {"method": {"type": recipe.objective, recipe.objective: {"hyperparameters": _known(given)}}}

    def tables(self, job: Json) -> list[str]:
        """See `Dialect`."""
        listed = job.get("result_files")
        return [str(file_id) for file_id in listed] if isinstance(listed, list) else []

    def checkpoints(self, job_id: str, rows: Sequence[Json]) -> list[Checkpoint]:
        """See `Dialect`."""
        return checkpoints_of(rows)

    def tuned(self, job: Json, checkpoints: Sequence[Checkpoint]) -> str:
        """See `Dialect`."""
        model = job.get("fine_tuned_model")
        return model if isinstance(model, str) else ""

    def answering(self, made: str, deploy: Callable[[str], str]) -> str:
        """See `Dialect`."""
        return made


class NebiusDialect:
    """Nebius Token Factory. A LoRA is always asked for: nothing else can be deployed without renting a machine."""

    name = "nebius"
    keeps_metadata = False
    leaves_checkpoints = True

    def refuse(self, recipe: OpenAIRecipe) -> None:
        """See `Dialect`."""
        if recipe.learning_rate_multiplier is not None:
            raise ConfigError(
                f"The run {recipe.name!r} sets learning_rate_multiplier = {recipe.learning_rate_multiplier!r}, and Nebius, where "
                f"{_base(recipe)} is tuned, has none. Give the rate itself, as learning_rate: 1e-4, or leave both out",
                code="fine-tuning-setting",
            )
        if recipe.objective != "supervised":
            raise ConfigError(
                f"The run {recipe.name!r} has objective = {recipe.objective!r}, and Nebius, where {_base(recipe)} is tuned, has"
                " supervised jobs only. Change it, or train here: homeroom tune run --method huggingface",
                code="fine-tuning-setting",
            )

    def settings(self, recipe: OpenAIRecipe, epochs: int | None = None) -> Json:
        """See `Dialect`."""
        given = {
            "batch_size": recipe.batch_size,
            "learning_rate": recipe.learning_rate,
            "n_epochs": epochs,
            "lora": True,
            "lora_r": recipe.lora_rank,
            "lora_alpha": recipe.lora_alpha,
        }
        return {"hyperparameters": _known(given)}

    def tables(self, job: Json) -> list[str]:
        """See `Dialect`. None: what is listed there are weights."""
        return []

    def checkpoints(self, job_id: str, rows: Sequence[Json]) -> list[Checkpoint]:
        """See `Dialect`. Each is called as a deployment wants it: ``JOB:CHECKPOINT``."""
        named = [{**row, "fine_tuned_model_checkpoint": f"{job_id}:{row['id']}"} for row in rows if row.get("id")]
        return [replace(one, source=one.model) for one in checkpoints_of(named)]

    def tuned(self, job: Json, checkpoints: Sequence[Checkpoint]) -> str:
        """See `Dialect`. The last checkpoint."""
        return checkpoints[-1].model if checkpoints else ""

    def answering(self, made: str, deploy: Callable[[str], str]) -> str:
        """See `Dialect`."""
        return deploy(made)


OPENAI: Dialect = OpenAIDialect()
NEBIUS: Dialect = NebiusDialect()


def dialect_of(fine_tuning: str, base_url: str) -> Dialect:
    """The form that an endpoint's settings name; where they name none, its host tells."""
    if not fine_tuning:
        return NEBIUS if _NEBIUS.fullmatch((urlsplit(base_url).hostname or "").lower()) else OPENAI
    return next(dialect for dialect in (OPENAI, NEBIUS) if dialect.name == fine_tuning)


def _known(given: Mapping[str, object]) -> Json:
    return {name: value for name, value in given.items() if value is not None}


def _base(recipe: OpenAIRecipe) -> str:
    return repr(recipe.base) if "/" in recipe.base else "this machine's server"
