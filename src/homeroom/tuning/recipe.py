"""What a tuning run is made of. Read from YAML by `homeroom.tuning.recipe_file`; the same fields in the same order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, field_validator, model_validator

from homeroom.schema.chat import GenerationSettings

PLACEHOLDERS = ("subject", "grade", "grade_band")

Tokens = Annotated[int, Field(ge=1, le=10_000_000_000)]
Steps = Annotated[int, Field(ge=1, le=1_000_000)]
AUTO = "auto"
BatchTokens = Annotated[
    int,
    Field(ge=0, le=4_000_000),
    BeforeValidator(lambda value: 0 if value == AUTO else value),
    PlainSerializer(lambda value: value or AUTO, when_used="json"),
]
"""Tokens; ``auto`` is 0 inside, and stands for what fits."""
Module = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class _Part(BaseModel):
    """Unknown keys are errors, values are fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSelection(_Part):
    """Which examples take part.

    Attributes:
        max_sequence_tokens: Longer examples are treated as ``too_long`` says.
        too_long: ``cut`` drops turns from the end until the example fits (and leaves it out if no reply is left);
            ``leave-out`` drops it.
        max_examples: A seeded sample of this many; None takes all.
    """

    max_sequence_tokens: Annotated[int, Field(ge=16, le=131_072)] = 320
    too_long: Literal["cut", "leave-out"] = "cut"
    max_examples: Annotated[int, Field(ge=1)] | None = None


class Lora(_Part):
    """Low-rank adapters (Hu et al. 2021, https://arxiv.org/abs/2106.09685): W + (alpha / rank) B A with W frozen.

    Attributes:
        rank: Rows of A: how much the adapter can learn, and its size.
        alpha: The adapter's sum is scaled by alpha / rank.
        dropout: Share of what goes into the adapter that is left out at random while training.
        target_modules: Which matrices of a layer get an adapter.
        last_layers: Adapt only the last k layers: faster, and learns less per token. None adapts all.
        cache_frozen: With ``last_layers``: keep on disk what the layers below compute for each example, so that every epoch after
            the first skips them. Removed when the run ends.
    """

    rank: Annotated[int, Field(ge=1, le=256)] = 16
    alpha: Annotated[float, Field(gt=0, le=1024)] = 32.0
    dropout: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    target_modules: Annotated[tuple[Module, ...], Field(min_length=1)] = (
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    )
    last_layers: Annotated[int, Field(ge=1, le=1000)] | None = None
    cache_frozen: bool = True


class Optimiser(_Part):
    """AdamW and the learning rate over time.

    Attributes:
        learning_rate: Peak, after the warm-up.
        weight_decay: Share of a weight that is taken off, for each unit of the learning rate.
        betas: How long the means of gradients and of their squares remember.
        clip_norm: Longest gradient; longer ones are scaled down to it.
        warmup_ratio: Share of the steps over which the rate rises from 0.
        schedule: What follows the warm-up: ``cosine`` and ``linear`` fall to 0 at the last step.
    """

    learning_rate: Annotated[float, Field(gt=0, le=0.1)] = 5e-4
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.95)
    clip_norm: Annotated[float, Field(gt=0, le=1000)] = 1.0
    warmup_ratio: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    schedule: Literal["linear", "cosine", "constant"] = "cosine"


class Accumulation(_Part):
    """How much one optimiser step sees: whole micro-batches until this many examples, or this many tokens, are in it.

    Attributes:
        examples: Give this or ``tokens``.
        tokens: Of prompts and replies.
    """

    examples: Annotated[int, Field(ge=1, le=100_000)] | None = None
    tokens: Tokens | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Accumulation:
        if (self.examples is None) == (self.tokens is None):
            raise ValueError("give exactly one of 'examples' and 'tokens'")
        return self


class Validation(_Part):
    """When validation loss is measured and when it ends the run.

    Attributes:
        every_steps: Also measured before the first and after the last step.
        patience: Stop after this many measurements without a new best; 0 never stops early.
        max_examples: A seeded sample of the validation examples.
    """

    every_steps: Steps = 10
    patience: Annotated[int, Field(ge=0, le=1000)] = 3
    max_examples: Annotated[int, Field(ge=1)] = 24


class Checkpoint(_Part):
    """What an interrupted run goes on from.

    Attributes:
        every_steps: How often the run is saved.
        keep: How many of the newest are kept.
    """

    every_steps: Steps = 10
    keep: Annotated[int, Field(ge=1, le=100)] = 2


class Generation(_Part):
    """How replies of the tuned model are drawn; saved with it, editable later. Fields as in `GenerationSettings`.

    Attributes:
        temperature: 0 gives the likeliest reply each time.
        top_p: Share of the likeliest tokens that are drawn from.
        max_tokens: Longest reply.
        stop: Texts that end a reply.
        seed: The same seed, the same reply.
        repeat_penalty: Above 1, what was said of late is less likely.
    """

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] = 128
    stop: Annotated[tuple[str, ...], Field(max_length=4)] = ()
    seed: int | None = None
    repeat_penalty: Annotated[float, Field(ge=1, le=2)] = 1.0

    def settings(self) -> GenerationSettings:
        """The same as the value that chat models take."""
        return GenerationSettings(**self.model_dump())


class Role(_Part):
    """How an adapter that plays both parts is used for one of them: it is registered once for each, under a name of its own.

    Attributes:
        suffix: What the name carries; the task when empty.
        generation: How its replies are drawn.
    """

    suffix: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9-]{0,39})?$")] = ""
    generation: Generation = Generation()


class Recipe(_Part):
    """One tuning run with method ``huggingface``.

    Attributes:
        name: Of the run.
        task: ``tutor`` or ``learner`` trains on the examples of that task; ``any`` puts both in one adapter.
        roles: With ``any``, the tasks under which the adapter is registered, each with settings and a verdict of its own;
            without them it is one model that is asked for both.
        objective: ``supervised`` learns to write the replies; ``dpo`` to prefer them to the rejected ones of preference data.
        beta: With ``dpo``: how strongly the model is held to the base; larger stays closer.
        base: Catalogue name of the base model; the settings' default when empty.
        suffix: What the tuned model's name carries; the recipe's name when empty.
        system_prompt: Put before examples that have no system turn; may hold ``{subject}``, ``{grade}`` and ``{grade_band}``.
        data: Which examples take part.
        lora: Of the adapter.
        optimiser: AdamW and the learning rate over time.
        epochs: Times every example is seen, unless the token budget ends first.
        max_trained_tokens: Budget in tokens processed (prompt and reply); None sets no budget.
        weights: ``lora`` trains an adapter; ``full`` every weight of a tiny model, in float32 and at twenty bytes each, and what
            comes out is a model of its own.
        quantise: How the frozen weights are kept: ``8bit``, or ``nf4`` with double quantisation (QLoRA, Dettmers et al. 2023,
            https://arxiv.org/abs/2305.14314), each multiplied in ``dtype``. Needs a GPU.
        gradient_checkpointing: Keep only what goes into each layer and compute the rest again on the way back: the same result
            with less memory, in about a third more time.
        batch_tokens: Padded tokens of one micro-batch: what memory grows with. ``auto`` (0 inside) takes what fits the free
            memory by the plan's forecast, up to a whole step; a run keeps what it began with.
        accumulation: How much one step of the optimiser sees.
        seed: Draws the order of the examples, samples of them, and the adapter's first weights.
        device: ``auto`` takes a GPU where there is one.
        threads: 0 uses every core. Results repeat bit for bit only at the same number.
        dtype: ``auto`` takes bfloat16 where the hardware multiplies it fast, else float32.
        validation: When validation loss is measured, and when it ends the run.
        checkpoint: What an interrupted run goes on from.
        generation: How replies are drawn; saved with the model.
        method: ``local`` is another name of it.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    task: Literal["tutor", "learner", "any"] = "tutor"
    roles: dict[Literal["tutor", "learner"], Role] = {}
    method: Literal["huggingface"] = "huggingface"
    objective: Literal["supervised", "dpo"] = "supervised"
    beta: Annotated[float, Field(gt=0, le=2)] = 0.1
    base: str = ""
    suffix: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9-]{0,63})?$")] = ""
    system_prompt: str = ""
    data: DataSelection = DataSelection()
    lora: Lora = Lora()
    optimiser: Optimiser = Optimiser()
    epochs: Annotated[int, Field(ge=1, le=1000)] = 3
    max_trained_tokens: Tokens | None = None
    weights: Literal["lora", "full"] = "lora"
    quantise: Literal["none", "8bit", "nf4"] = "none"
    gradient_checkpointing: bool = False
    batch_tokens: BatchTokens = 1024
    accumulation: Accumulation = Accumulation(examples=8)
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    validation: Validation = Validation()
    checkpoint: Checkpoint = Checkpoint()
    generation: Generation = Generation()

    @field_validator("system_prompt")
    @classmethod
    def _known_placeholders(cls, text: str) -> str:
        try:
            names = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
        except ValueError as error:
            raise ValueError(f"{error}; write {{{{ and }}}} for braces that are meant") from None
        unknown = sorted(names - set(PLACEHOLDERS))
        if unknown:
            known = ", ".join("{" + name + "}" for name in PLACEHOLDERS)
            raise ValueError(
                f"unknown placeholder {unknown[0]!r}; known are {known}; write {{{{ and }}}} for braces that are meant"
            )
        return text

    @field_validator("method", mode="before")
    @classmethod
    def _by_its_first_name(cls, name: object) -> object:
        return "huggingface" if name == "local" else name

    @model_validator(mode="after")
    def _roles_belong_to_any(self) -> Recipe:
        if self.roles and self.task != "any":
            raise ValueError(f"roles are for task = 'any', and this is {self.task!r}")
        return self

    @model_validator(mode="after")
    def _longest_example_fits_a_batch(self) -> Recipe:
        if 0 < self.batch_tokens < self.data.max_sequence_tokens:
            raise ValueError(
                f"batch_tokens = {self.batch_tokens} must be at least data.max_sequence_tokens = {self.data.max_sequence_tokens}"
            )
        return self

    @model_validator(mode="after")
    def _whole_weights_are_trained_as_they_are(self) -> Recipe:
        if self.weights == "lora":
            return self
        for key, only in (("quantise", "none"), ("objective", "supervised"), ("dtype", "auto or float32")):
            value = getattr(self, key)
            if value not in only.split(" or "):
                raise ValueError(f"{key} = {value!r} is for weights = 'lora'; with 'full' it must be {only}")
        return self

    @property
    def tasks(self) -> tuple[Literal["tutor", "learner"], ...]:
        """What the run makes models for: its task, or its roles; both for an adapter without roles."""
        if self.task != "any":
            return (self.task,)
        return tuple(self.roles) or ("learner", "tutor")

    def for_task(self, task: Literal["tutor", "learner"]) -> Recipe:
        """The same run for one task alone."""
        role = self.roles.get(task)
        changed: dict[str, Any] = {"task": task, "roles": {}, "name": task if self.task == "any" else self.name}
        if role is not None:
            changed |= {"suffix": role.suffix or task, "generation": role.generation}
        return self.model_copy(update=changed)

    def role_names(self, name: str) -> dict[Literal["tutor", "learner"], str]:
        """The names under which the model ``name`` is registered, by role; the same for the same name. Empty without roles."""
        head, _, id8 = name.rsplit(":", 2)
        return {
            task: f"{head}:{role.suffix or task}:{hashlib.sha256(f'{id8} {task}'.encode()).hexdigest()[:8]}"
            for task, role in self.roles.items()
        }

    @property
    def model_suffix(self) -> str:
        """The suffix of the tuned model's name."""
        return self.suffix or self.name

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: what is stored with the model and written as YAML."""
        return self.model_dump(mode="json")


def fill_system_prompt(template: str, metadata: Mapping[str, Any]) -> str:
    """``template`` with its placeholders filled from an example's metadata.

    It gives the one visible prompt of training, evaluation and chat.
    A missing value reads ``any subject``, ``any grade``, ``any grade band``; grade 0 reads ``K``.
    """
    values = {name: f"any {name.replace('_', ' ')}" for name in PLACEHOLDERS}
    values.update({name: str(metadata[name]) for name in PLACEHOLDERS if metadata.get(name) not in (None, "")})
    if values["grade"] == "0":
        values["grade"] = "K"
    return template.format(**values)
