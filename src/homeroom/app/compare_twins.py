"""The rows ``huggingface`` and ``openai (this server)`` of a comparison: one set of numbers for both, and what each trained on.

One tuner makes both, so they test the plumbing, and only where they did the same work: the same examples as often, at the same
learning rate, in steps of the same size. So where nobody names a recipe, the numbers are chosen here for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from homeroom.app.bases import listed_base
from homeroom.app.fine_tuning.hyperparameters import Hyperparameters, recipe_for
from homeroom.app.fine_tuning.run import longest_tokens
from homeroom.data.datasets import Dataset
from homeroom.errors import HomeroomError
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.models import BaseFiles, TunedModel
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.recipe import Recipe, fill_system_prompt
from homeroom.tuning.recipe_file import load_recipes

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

SEEN, MOST_EPOCHS = 240, 4
"""Every example once, and up to four times while fewer than so many were seen: what docs/how-to/compare-methods.md measured."""
BATCH_SIZE, RATE_MULTIPLIER = 2, 2.0
"""Small steps at 0.001 for a base of up to 500 million parameters; this server's own choice, 8 at 0.0005, takes fewer steps."""


def with_numbers(recipe: OpenAIRecipe, examples: int) -> OpenAIRecipe:
    """The run with every number that this server would choose itself: a few minutes for the bundled course and base."""
    epochs = min(MOST_EPOCHS, max(1, -(-SEEN // max(1, examples))))
    changed = {"epochs": epochs, "batch_size": BATCH_SIZE, "learning_rate_multiplier": RATE_MULTIPLIER}
    return recipe.model_copy(update=changed)


def twin_of(home: Homeroom, base: BaseFiles, dataset: Dataset, recipe: OpenAIRecipe) -> Recipe:
    """The recipe of the method ``huggingface`` that trains what this server makes of ``recipe``, with every number given.

    Its method is not named, as in the bundled recipes.
    """
    assert recipe.epochs and recipe.batch_size and recipe.learning_rate_multiplier
    parts = (*dataset.part("train", recipe.task), *dataset.part("validation", recipe.task))
    sent = [replace(e.with_system(fill_system_prompt(recipe.system_prompt, e.metadata)), extra={}) for e in parts]
    listed = listed_base(base.name)
    run = recipe_for(
        Hyperparameters(recipe.epochs, recipe.batch_size, recipe.learning_rate_multiplier),
        base=base.name,
        parameters_m=listed.parameters_m if listed else 0,
        method="supervised",
        suffix=recipe.suffix,
        seed=recipe.seed,
        longest_tokens=min(base.context_tokens, home.settings.engine_context, longest_tokens(ChatTokenizer(base.weights), sent)),
    )
    shown = {
        "name": recipe.name,
        "task": recipe.task,
        "suffix": recipe.suffix,
        "system_prompt": recipe.system_prompt,
        "generation": recipe.generation,
    }
    return run.model_copy(update=shown)


def work_of(home: Homeroom, model: TunedModel) -> Mapping[str, float | str]:
    """What a model whose weights were trained here was really trained on; empty where that is not known.

    Tokens are those of prompts and replies, over all epochs.
    """
    tokens, epochs = model.metrics.get("tokens"), model.metrics.get("epochs")
    if not model.artifact or not tokens or not epochs:
        return {}
    try:
        (recipe,) = load_recipes(home.artifacts.path(model.artifact) / "recipe.yaml")
    except (HomeroomError, ValueError):  # it came from elsewhere
        return {}
    step = recipe.accumulation
    return {
        "dataset": model.dataset,
        "tokens": int(tokens),
        "epochs": round(float(epochs), 2),
        "learning rate": recipe.optimiser.learning_rate,
        "of a step": f"{step.examples} examples" if step.examples else f"{step.tokens} tokens",
        "rank": recipe.lora.rank if recipe.weights == "lora" else "every weight",
    }
