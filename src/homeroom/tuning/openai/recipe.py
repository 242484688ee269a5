"""What a run with the method ``openai`` is made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from homeroom.tuning.recipe import Generation, Recipe

TARGET_EPOCHS, MIN_SEEN, MAX_SEEN, MAX_EPOCHS = 3, 100, 25_000, 25
LATER = ("learning_rate", "lora_rank", "lora_alpha")


class OpenAIRecipe(BaseModel):
    """One fine-tuning job at an endpoint, or one for each subset of the examples.

    Attributes:
        name: Of the run.
        method: How it tunes.
        task: ``tutor`` or ``learner``: whose examples are sent.
        objective: ``supervised`` learns to write the replies; ``dpo`` to prefer them to the rejected ones of preference data.
        base: ``ENDPOINT/MODEL`` of the settings; a base of this machine, or nothing for the default one, is tuned by
            Homeroom's own server.
        suffix: What the tuned model's name carries, there and here; the recipe's name when empty.
        system_prompt: Put before examples that have no system turn; may hold ``{subject}``, ``{grade}`` and ``{grade_band}``.
        epochs: Times every example is seen. Left out, it is chosen here by the number of examples, so that the cost is known.
        batch_size: Examples of a step; the endpoint's choice when left out.
        learning_rate_multiplier: Of the endpoint's own rate; its choice when left out. Nebius has none.
        learning_rate: Peak, at Nebius; its choice when left out. OpenAI takes a multiplier instead.
        lora_rank: Of the adapter, at Nebius; its choice when left out.
        lora_alpha: The adapter's sum is scaled by this over the rank, at Nebius; its choice when left out.
        beta: With ``dpo``: how strongly the model is held to the base; the endpoint's choice when left out.
        max_examples: A seeded sample of this many; None sends all.
        subsets: Also tune on these many examples, each within the next, and draw the learning curve. Each is a paid job.
        checkpoints: Which checkpoints of the endpoint become models here: ``better`` than the last step by their validation
            loss, ``all``, or ``none``.
        delete_files: Delete what was uploaded once the run is over, however it ended.
        seed: Draws the sample and is sent to the endpoint.
        generation: How replies are drawn; saved with the model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    method: Literal["openai"] = "openai"
    task: Literal["tutor", "learner"] = "tutor"
    objective: Literal["supervised", "dpo"] = "supervised"
    base: str = ""
    suffix: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9-]{0,39})?$")] = ""
    system_prompt: str = ""
    epochs: Annotated[int, Field(ge=1, le=50)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=256)] | None = None
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=100)] | None = None
    learning_rate: Annotated[float, Field(gt=0, le=0.1)] | None = None
    lora_rank: Annotated[int, Field(ge=1, le=256)] | None = None
    lora_alpha: Annotated[int, Field(ge=1, le=1024)] | None = None
    beta: Annotated[float, Field(gt=0, le=2)] | None = None
    max_examples: Annotated[int, Field(ge=10)] | None = None
    subsets: tuple[Annotated[int, Field(ge=10, le=1_000_000)], ...] = ()
    checkpoints: Literal["better", "all", "none"] = "better"
    delete_files: bool = False
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    generation: Generation = Generation()

    @field_validator("system_prompt")
    @classmethod
    def _known_placeholders(cls, text: str) -> str:
        return Recipe(name="x", system_prompt=text).system_prompt

    @model_validator(mode="after")
    def _beta_is_for_preferences(self) -> OpenAIRecipe:
        if self.beta is not None and self.objective != "dpo":
            raise ValueError(f"beta is for objective = 'dpo', and this is {self.objective!r}")
        return self

    @classmethod
    def of(cls, recipe: Recipe) -> OpenAIRecipe:
        """The same run at an endpoint: part, base, visible prompt and way of drawing replies.

        Its hyperparameters stay behind: a learning rate for a LoRA here means nothing there.
        """
        return cls(
            name=recipe.name,
            task="learner" if recipe.task == "learner" else "tutor",
            objective=recipe.objective,
            base=recipe.base,
            suffix=recipe.suffix[:40].rstrip("-"),
            system_prompt=recipe.system_prompt,
            seed=recipe.seed,
            generation=recipe.generation,
        )

    @property
    def tasks(self) -> tuple[Literal["tutor", "learner"], ...]:
        """What the run makes a model for."""
        return (self.task,)

    @property
    def model_suffix(self) -> str:
        """The suffix of the tuned model's name."""
        return self.suffix or self.name

    def epochs_for(self, examples: int) -> int:
        """How often ``examples`` are seen: as the recipe says, or by OpenAI's published rule.

        Three times; more often until a hundred examples were seen, less often beyond twenty-five thousand. Source: OpenAI's
        cookbook, "Data preparation and analysis for chat model fine-tuning".
        """
        if self.epochs is not None:
            return self.epochs
        if examples * TARGET_EPOCHS < MIN_SEEN:
            return min(MAX_EPOCHS, max(TARGET_EPOCHS, MIN_SEEN // max(1, examples)))
        return max(1, min(TARGET_EPOCHS, MAX_SEEN // examples))

    def sizes(self, examples: int) -> tuple[int, ...]:
        """How many examples each job trains on, the smallest first: the subsets that are smaller than all, then all."""
        return (*sorted({size for size in self.subsets if size < examples}), examples)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data. What came later is left out where it is not set: a run that was paid before stays the same run."""
        return {key: value for key, value in self.model_dump(mode="json").items() if value is not None or key not in LATER}
