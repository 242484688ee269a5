"""What a run with the method ``dspy`` is made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from homeroom.tuning.recipe import DataSelection, Generation, Recipe

OfPrompts = Literal["plain", "zero-shot", "labelled", "bootstrap", "random-search", "iterative", "ensemble", "gepa", "mipro"]
OfWeights = Literal["bootstrap-finetune", "better-together"]
Optimiser = Literal[OfPrompts, OfWeights]
SEVERAL: tuple[Optimiser, ...] = ("plain", "zero-shot", "labelled", "bootstrap", "random-search", "iterative")
"""What is tried by default: all that needs no other model and no further package, cheapest first."""

PROMPT_MODEL: tuple[Optimiser, ...] = ("gepa", "mipro")
"""What writes new instructions, for which a strong model is needed."""

TAUGHT: tuple[Optimiser, ...] = ("bootstrap", "random-search", "iterative")
"""What shows a model's own replies, which may be those of a stronger one."""

MEMBERS = 3
"""Programs that an ensemble is made of, at most."""

WEIGHTS: tuple[Optimiser, ...] = ("bootstrap-finetune", "better-together")
"""What trains weights as well, on replies that are good enough."""


Part = Literal["task", "teacher", "writer"]
"""Why a model is asked: its prompt is tuned, its replies are shown to that one, or it writes instructions."""


class Weights(Recipe):
    """How weights are trained in a search: the keys of the method ``huggingface``, without those that the search decides."""

    name: str = "weights"
    data: DataSelection = DataSelection(max_sequence_tokens=1024)

    @model_validator(mode="after")
    def _the_rest_is_the_search(self) -> Weights:
        for key in ("task", "roles", "method", "objective", "weights", "base", "suffix", "system_prompt", "generation"):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} belongs beside 'weights' or follows from the search; take it out of 'weights'")
        return self


class DspyRecipe(BaseModel):
    """One search for the best prompt of a program.

    Attributes:
        name: Of the run.
        method: How it tunes.
        task: ``tutor`` or ``learner``: whose examples are used, and which pages the model is offered to.
        program: A shipped program by name, or ``module:Signature``; the task's own when empty.
        base: The model whose prompt is tuned: one of this machine, or ``ENDPOINT/MODEL``.
        suffix: What the tuned model's name carries; the recipe's name when empty.
        system_prompt: The visible prompt, shared by base and tuned model; a signature of one's own brings its instructions.
        optimisers: What is tried, in this order, ``ensemble`` last; the best on the selection examples is kept.
        prompt_model: A strong model, ``ENDPOINT/MODEL``, that writes instructions for ``gepa`` and ``mipro``; both are tried
            in addition when it is given and ``optimisers`` is left at its default.
        teacher_model: A stronger model, ``ENDPOINT/MODEL``, whose replies ``bootstrap``, ``random-search`` and ``iterative`` show
            as demonstrations; candidates are scored on the base all the same. Without it the base teaches itself.
        metric: ``checks``: the share of the checks behind the verdict that a reply passes. ``reference``: what it shares with the
            authored reply: words of a text, and output by output where there are several. ``auto`` takes the checks for the
            programs that play the tutor or the learner.
        max_calls: Budget of the whole run, in calls of a model. It is held: what does not fit is not tried.
        demonstrations: Most that one candidate shows.
        candidates: Sets that random search tries; programs that an ensemble is made of.
        rounds: Of ``iterative``.
        attempts: Replies to one example in each round of ``iterative``.
        patience: Rounds without a gain after which ``iterative`` stops.
        temperature: At which examples are attempted.
        threshold: Score from which a model's own reply is shown as a demonstration.
        train_items: Most examples that demonstrations are made of.
        items: Most selection replies that each candidate gives.
        budget_characters: For the demonstrations of one candidate together; about four characters are a token.
        seed: Draws examples, sets and attempts.
        weights: With ``bootstrap-finetune`` and ``better-together``: how weights are trained; keys as in a recipe of the method
            ``huggingface``.
        strategy: Of ``better-together``: ``p`` chooses demonstrations, ``w`` trains weights, each from the base.
        generation: How replies are drawn; saved with the model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    method: Literal["dspy"] = "dspy"
    task: Literal["tutor", "learner"] = "tutor"
    program: str = ""
    base: str = ""
    suffix: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9-]{0,63})?$")] = ""
    system_prompt: str = ""
    optimisers: Annotated[tuple[Optimiser, ...], Field(min_length=1)] = SEVERAL
    prompt_model: str = ""
    teacher_model: str = ""
    metric: Literal["auto", "checks", "reference"] = "auto"
    max_calls: Annotated[int, Field(ge=1, le=1_000_000)] = 300
    demonstrations: Annotated[int, Field(ge=1, le=32)] = 3
    candidates: Annotated[int, Field(ge=1, le=64)] = 4
    rounds: Annotated[int, Field(ge=1, le=20)] = 2
    attempts: Annotated[int, Field(ge=1, le=20)] = 2
    patience: Annotated[int, Field(ge=1, le=20)] = 1
    temperature: Annotated[float, Field(gt=0, le=2)] = 0.8
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.9
    train_items: Annotated[int, Field(ge=1, le=1000)] = 12
    items: Annotated[int, Field(ge=1, le=1000)] = 12
    budget_characters: Annotated[int, Field(ge=100, le=1_000_000)] = 3000
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    weights: Weights = Weights()
    strategy: Annotated[str, Field(pattern=r"^(p -> )*w( -> [pw])*$", max_length=60)] = "p -> w -> p"
    generation: Generation = Generation()

    @classmethod
    def of(cls, recipe: Recipe) -> DspyRecipe:
        """The prompt's search in place of a run on weights: the same part, base, visible prompt and way of drawing replies."""
        return cls(
            name=recipe.name,
            task="learner" if recipe.task == "learner" else "tutor",
            base=recipe.base,
            suffix=recipe.suffix,
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

    @property
    def tried(self) -> tuple[Optimiser, ...]:
        """The optimisers, with those that a prompt model makes possible; what is made of the others' programs comes last."""
        more = PROMPT_MODEL if self.prompt_model and self.optimisers == SEVERAL else ()
        names = dict.fromkeys((*self.optimisers, *more))
        if self.own_program and "zero-shot" in names:
            names.pop("plain", None)  # the signature's instructions are the plain prompt: it would be tried twice
        return (*sorted(names, key="ensemble".__eq__),)

    @property
    def own_program(self) -> bool:
        """Whether the program is a signature of the user's own, and none that is shipped."""
        return ":" in self.program

    @property
    def others(self) -> dict[Part, str]:
        """The models besides the base that are asked, by why."""
        asked: tuple[tuple[Part, str, tuple[Optimiser, ...]], ...] = (
            ("teacher", self.teacher_model, TAUGHT),
            ("writer", self.prompt_model, PROMPT_MODEL),
        )
        return {part: name for part, name, by in asked if name and any(one in by for one in self.tried)}

    @property
    def trains(self) -> int:
        """Trainings of weights that the run asks for at most."""
        of = {"bootstrap-finetune": 1, "better-together": self.strategy.count("w")}
        return sum(of.get(name, 0) for name in self.tried)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; how weights are trained is left out where none are, and the teacher where there is none."""
        left_out = set() if self.trains else {"weights", "strategy"}
        return self.model_dump(mode="json", exclude=left_out if self.teacher_model else {*left_out, "teacher_model"})
