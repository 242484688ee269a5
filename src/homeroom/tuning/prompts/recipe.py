"""What a prompt search is made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from homeroom.tuning.recipe import Generation, Recipe


class PromptRecipe(BaseModel):
    """One search for demonstrations, method ``dspy`` (optimisation of the prompt; this optimiser needs no DSPy installed).

    Attributes:
        task: ``tutor`` or ``learner``.
        base: ``ENDPOINT/MODEL``.
        suffix: What the tuned model's name carries.
        system_prompt: The visible prompt, shared by base and tuned model.
        demonstrations: Most dialogues that one candidate shows.
        candidates: Sets of demonstrations that are tried, beside the plain prompt.
        items: Most validation replies that each candidate gives.
        budget_characters: For the demonstrations of one candidate together; about four characters are a token.
        seed: Draws the candidates.
        generation: How replies are drawn; saved with the model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    method: Literal["dspy"] = "dspy"
    optimiser: Literal["random-search"] = "random-search"
    task: Literal["tutor", "learner"]
    base: str
    suffix: str
    system_prompt: str = ""
    demonstrations: Annotated[int, Field(ge=1, le=32)] = 3
    candidates: Annotated[int, Field(ge=1, le=64)] = 4
    items: Annotated[int, Field(ge=1, le=1000)] = 12
    budget_characters: Annotated[int, Field(ge=100, le=1_000_000)] = 4000
    seed: int = 0
    generation: Generation = Generation()

    @classmethod
    def of(cls, recipe: Recipe, task: Literal["tutor", "learner"]) -> PromptRecipe:
        """The search that stands in for a weights' run on a model whose weights cannot be had."""
        return cls(
            name=recipe.name,
            task=task,
            base=recipe.base,
            suffix=recipe.model_suffix,
            system_prompt=recipe.system_prompt,
            seed=recipe.seed,
            generation=recipe.generation,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return self.model_dump(mode="json")
