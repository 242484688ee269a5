"""Who will answer for a run that is not made yet: what its prompt may show, and how many it is where it may be an ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from homeroom.app.dspy_forecast import WRITER_MOST
from homeroom.app.endpoints import endpoint_of
from homeroom.app.evaluation import shown_by_shots
from homeroom.app.sizes import SCHEMA_BYTES, TURN_BYTES, characters_of, json_bytes
from homeroom.app.spending import Asked
from homeroom.app.tuning import CHARACTERS_A_TOKEN, prompt_recipe
from homeroom.data.datasets import Dataset
from homeroom.tuning.dspy.recipe import MEMBERS, TAUGHT, DspyRecipe
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.prompts.recipe import PromptRecipe
from homeroom.tuning.recipe_file import Run, parse_run

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def promised(home: Homeroom, dataset: Dataset, run: Run | PromptRecipe) -> list[Asked]:
    """Who will be asked where the model of a run answers.

    Args:
        home: The open home.
        dataset: What it is tuned on.
        run: Its base named.

    Raises:
        HomeroomError: what planning the run refuses of its program.
    """
    endpoint = endpoint_of(home.settings, run.base)
    if isinstance(run, OpenAIRecipe):
        place, slash, model = run.base.partition("/")
        return [Asked(f"{place}/ft:{model}" if slash else run.base)]
    if endpoint is None:  # it is free
        return [Asked(run.base)]
    if isinstance(run, DspyRecipe):
        return _searched(home, dataset, run)
    search = run if isinstance(run, PromptRecipe) else prompt_recipe(run)
    return [Asked(search.base, _demonstrations(dataset, search))]


def promised_by(home: Homeroom, dataset: Dataset, payload: Mapping[str, Any]) -> list[Asked]:
    """As `promised`, of the run that the job of a tuning carries."""
    record = dict(payload["recipe"])
    if record.get("method") == "dspy" and "program" not in payload:  # a search for demonstrations at an endpoint
        return promised(home, dataset, PromptRecipe.model_validate(record))
    return promised(home, dataset, parse_run(record))


def _searched(home: Homeroom, dataset: Dataset, run: DspyRecipe) -> list[Asked]:
    from homeroom.app.dspy_plan import chosen

    told = chosen(home, dataset, run).spec.instructions
    usual, most = _demonstrations(dataset, run)
    most += json_bytes(told) + TURN_BYTES + SCHEMA_BYTES
    if any(name in TAUGHT for name in run.tried):  # replies of its own are shown, as long as replies may be
        most += run.demonstrations * run.generation.max_tokens * CHARACTERS_A_TOKEN
    if "writer" in run.others:
        most += WRITER_MOST * CHARACTERS_A_TOKEN
    shown = (usual + len(told), most)
    more = min(MEMBERS, run.candidates) - 1 if "ensemble" in run.tried else 0
    return [Asked(run.base, shown), *(Asked(run.base, shown, perhaps=True) for _ in range(more))]


def _demonstrations(dataset: Dataset, run: DspyRecipe | PromptRecipe) -> tuple[float, float]:
    """What demonstrations take: characters usually, and bytes at most, those of the budget in the densest script of the data."""
    usual, _ = shown_by_shots(dataset, run.task, run.demonstrations)
    dense, turns = 1.0, 2
    for example in dataset.part("train", run.task):
        sent = sum(json_bytes(message.content) for message in example.messages)
        dense = max(dense, sent / max(characters_of(example.messages), 1))
        turns = max(turns, len(example.messages))
    around = run.demonstrations * turns * TURN_BYTES
    return min(usual, float(run.budget_characters)), run.budget_characters * dense + around
