"""What each answer speaks for or against: a table. A recommendation is the sum of its rows.

Points say how strong a reason is: 1 a slight preference, 3 a reason of the guide, 6 the number of examples, which is the guide's
first criterion. A row without points excludes its method. The points were chosen, not measured: `homeroom eval` measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from homeroom.tuning.recommend.inputs import Situation, Value, shown

Method = Literal["prompt", "dspy", "huggingface", "openai"]

# From the one that is easiest to take back to the one that is hardest: of two with equal points the first is advised.
METHODS: dict[Method, str] = {
    "prompt": "A well-written prompt, no tuning",
    "dspy": "Prompt optimisation (DSPy)",
    "huggingface": "LoRA on this machine (Hugging Face)",
    "openai": "Fine-tuning at a provider (OpenAI's API)",
}

NO_NEW_ORGANISATIONS = date(2026, 7, 2)
"""Since then only organisations with recent fine-tuned inference can start a job at OpenAI."""
CLOSED = date(2027, 1, 6)
"""From then on nobody can start a job at OpenAI."""
MODELS_END = date(2027, 1, 14)
"""Reported: gpt-4o, gpt-4o-mini, gpt-4.1 and gpt-4.1-mini are shut down, fine-tuned ones included."""


@dataclass(frozen=True, slots=True)
class When:
    """A condition on one input: a value, or a range whose ends belong to it."""

    input: str
    value: Value = None
    low: float | date | None = None
    high: float | date | None = None

    def holds(self, situation: Situation) -> bool:
        """Whether the input is so."""
        found = getattr(situation, self.input)
        if self.low is None and self.high is None:
            return bool(found == self.value)
        if found is None:
            return False
        return (self.low is None or found >= self.low) and (self.high is None or found <= self.high)

    def __str__(self) -> str:
        if self.low is None and self.high is None:
            return f"{self.input} = {shown(self.value)}"
        if self.low is not None and self.high is not None:
            what = shown(self.low) if self.low == self.high else f"{shown(self.low)} to {shown(self.high)}"
            return f"{self.input} = {what}"
        return f"{self.input} ≥ {shown(self.low)}" if self.high is None else f"{self.input} ≤ {shown(self.high)}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: where all of ``when`` hold, ``method`` gets ``points``; None excludes it."""

    when: tuple[When, ...]
    method: Method
    points: int | None
    because: str

    def holds(self, situation: Situation) -> bool:
        """Whether the row applies."""
        return all(when.holds(situation) for when in self.when)


@dataclass(frozen=True, slots=True)
class Band:
    """What is said of a number of examples, whatever else is chosen."""

    low: int
    high: int | None
    says: str


BANDS: tuple[Band, ...] = (
    Band(0, 0, "With no example nothing can be tuned. Write a clear prompt, use it, and keep the good exchanges: from 5 on there "
               "is something to optimise, and the same examples later judge every method."),
    Band(1, 4, "With 1 to 4 examples do not tune: put them into the prompt word for word. There are too few to choose by, so no "
               "gain could be told from luck. Write up to 20, one for each kind of situation."),
    Band(5, 20, "5 to 20 good examples are what prompt optimisation is for."),
    Band(21, 49, "21 to 49 examples lie between the methods: more than a prompt can show, fewer than weights need for a skill. "
                 "Optimise the prompt, choosing demonstrations out of all of them; a short LoRA run is a fair second try, and "
                 "teaches a manner rather than a skill. From 50 on compare both."),
    Band(50, 999, "50 to 1,000 examples are enough to move weights: for fine-tuning at a provider, or here with LoRA."),
    Band(1000, None, "1,000 examples and more are what LoRA on one's own machine makes the most of."),
)  # fmt: skip


def _examples(low: int, high: int | None) -> tuple[When, ...]:
    return (When("examples", low=low, high=high),)


def _is(name: str, value: Value = True) -> tuple[When, ...]:
    return (When(name, value),)


RULES: tuple[Rule, ...] = (
    # How many examples
    Rule(_examples(0, 0), "prompt", 30, "there is nothing to tune with yet"),
    Rule(_examples(0, 0), "dspy", -5, "it needs examples to choose by; from 5 on"),
    Rule(_examples(0, 0), "huggingface", None, "there is nothing to train on"),
    Rule(_examples(1, 4), "prompt", 12, "so few examples are best shown in the prompt as they are"),
    Rule(_examples(1, 4), "dspy", 0, "so few examples leave none to choose by"),
    Rule(_examples(1, 4), "huggingface", -12, "so few examples are learnt by heart"),
    Rule(_examples(0, 9), "openai", None, "a provider takes no job with fewer than 10 examples"),
    Rule(_examples(5, 20), "dspy", 6, "5 to 20 examples are what it is made for"),
    Rule(_examples(5, 20), "huggingface", -6, "so few examples teach weights a manner at most"),
    Rule(_examples(10, 20), "openai", -6, "so few examples teach weights a manner at most"),
    Rule(_examples(21, 49), "dspy", 4, "it can choose demonstrations out of all of them"),
    Rule(_examples(21, 49), "huggingface", 2, "enough for a short run, not for a skill"),
    Rule(_examples(21, 49), "openai", 1, "enough for a short run, not for a skill"),
    Rule(_examples(50, 1000), "openai", 6, "50 to 1,000 examples are what it is made for"),
    Rule(_examples(50, 999), "huggingface", 5, "enough examples to train on"),
    Rule(_examples(50, 999), "dspy", 1, "a prompt can show only a few of them"),
    Rule(_examples(1000, None), "huggingface", 6, "1,000 examples and more are what it is made for"),
    # How good they are
    Rule(_is("quality", "errors"), "prompt", 3, "the data has errors: weights learn every one of them"),
    Rule(_is("quality", "errors"), "dspy", 3, "it shows a few examples, which can be chosen by hand"),
    Rule(_is("quality", "errors"), "huggingface", -3, "weights learn every error of the data"),
    Rule(_is("quality", "errors"), "openai", -3, "weights learn every error of the data, and it is paid for"),
    Rule(_is("quality", "warnings"), "dspy", 1, "it shows a few examples, which can be chosen by hand"),
    Rule(_is("quality", "good"), "huggingface", 1, "the data is fit to train on"),
    Rule(_is("quality", "good"), "openai", 1, "the data is fit to train on"),
    # Where the work stands
    Rule(_is("stage", "early"), "dspy", 3, "approaches are still tried, and a prompt is changed in minutes"),
    Rule(_is("unsure"), "dspy", 3, "it shows cheaply whether examples help at all"),
    Rule(_is("unsure"), "prompt", 1, "a good prompt is the control that everything must beat"),
    Rule(_is("speed", "hours"), "dspy", 3, "a result is needed soon"),
    Rule(_is("speed", "hours"), "huggingface", -1, "training takes its time"),
    # What is to change
    Rule(_is("small_change"), "dspy", 3, "a small correction of manner fits into a prompt"),
    Rule(_is("single_task"), "dspy", 3, "one kind of task has one prompt to optimise"),
    Rule(_is("consistency"), "openai", 3, "replies must be alike, and weights hold a manner better than a prompt"),
    Rule(_is("consistency"), "huggingface", 2, "replies must be alike, and weights hold a manner better than a prompt"),
    Rule(_is("standards"), "openai", 3, "a curriculum's wording is learnt from many examples"),
    Rule(_is("standards"), "huggingface", 1, "a curriculum's wording is learnt from many examples"),
    Rule(_is("specialised"), "huggingface", 3, "a specialist is a small adapter of its own for each subject or grade"),
    # Whose data, and where
    Rule(_is("private"), "openai", None, "the examples may not leave the building"),
    Rule(_is("private"), "huggingface", 3, "the examples stay on this machine"),
    Rule(_is("private"), "dspy", 1, "with a model on this machine the examples stay here"),
    Rule(_is("offline"), "openai", None, "the model must answer without a network"),
    Rule(_is("offline"), "huggingface", 3, "the model answers without a network"),
    Rule(_is("offline"), "dspy", 1, "a model on this machine runs the prompt without a network"),
    Rule(_is("connectivity", "none"), "openai", None, "there is no network"),
    Rule(_is("connectivity", "none"), "huggingface", 3, "it needs no network"),
    Rule(_is("connectivity", "limited"), "huggingface", 3, "it does not depend on the connection"),
    Rule(_is("connectivity", "limited"), "openai", -3, "every reply would depend on the connection"),
    Rule(_is("control"), "huggingface", 3, "the weights are yours, and nobody ends them"),
    Rule(_is("control"), "openai", -2, "the provider holds the weights, and ends them"),
    # Machines and money
    Rule(_is("no_upkeep"), "openai", 3, "the provider looks after the machines"),
    Rule(_is("no_upkeep"), "huggingface", -2, "the machine that runs it is yours to look after"),
    Rule(_is("deployment", "wide"), "openai", 3, "many people will use it at once"),
    Rule(_is("token_costs"), "openai", 3, "a tuned model needs a shorter prompt than one that is shown how"),
    Rule(_is("token_costs"), "dspy", -1, "demonstrations make every prompt longer"),
    Rule(_is("no_running_costs"), "huggingface", 3, "no request has a price"),
    Rule(_is("no_running_costs"), "openai", -3, "every request has a price"),
    Rule((When("budget_usd", low=0, high=0),), "openai", None, "there is no money to spend"),
    Rule((When("budget_usd", low=0, high=0),), "huggingface", 1, "it costs electricity only"),
    Rule((When("budget_usd", low=0.01, high=20),), "openai", -2, "the budget is small: a few runs and their requests use it up"),
    Rule(_is("gpu"), "huggingface", 3, "there is a GPU"),
    Rule(_is("gpu", False), "dspy", 2, "there is no GPU, and it needs none"),
    Rule(_is("gpu", False), "huggingface", -1, "without a GPU only small models are trained"),
    Rule((When("memory_gb", high=2),), "huggingface", None, "the machine has too little memory to train the smallest model"),
    Rule((When("memory_gb", low=2.01, high=7.9),), "huggingface", -2, "the machine has memory for the smallest models only"),
    # Access to a provider
    Rule(_is("access", "none"), "openai", -4, "no key of a provider is set"),
    Rule(_is("access", "closed"), "openai", None, "OpenAI takes no fine-tuning job of this organisation"),
    Rule(_is("access", "key"), "openai", -3, "OpenAI takes jobs only of organisations that used a fine-tuned model of late"),
    Rule((When("access", "active"), When("today", low=CLOSED)), "openai", None, "OpenAI takes nobody's job since 2027-01-06"),
    Rule((When("access", "key"), When("today", low=CLOSED)), "openai", None, "OpenAI takes nobody's job since 2027-01-06"),
    Rule((When("access", "active"), When("today", high=date(2027, 1, 5))), "openai", -2, "OpenAI ends it on 2027-01-06"),
)  # fmt: skip


def band_of(examples: int) -> Band:
    """What is said of so many examples."""
    return next(band for band in BANDS if band.high is None or examples <= band.high)
