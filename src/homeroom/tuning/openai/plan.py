"""What a run will cost, told before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from homeroom.errors import DataError
from homeroom.schema.examples import Example
from homeroom.schema.tuning import Plan, TrainingData
from homeroom.tuning.openai import access
from homeroom.tuning.openai.lines import MIN_EXAMPLES, NO_TOKENS, Count, Tokens, hints, lines_of, sampled, total
from homeroom.tuning.openai.place import Place
from homeroom.tuning.openai.purse import usd
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.openai.state import Rung


def plan_of(place: Place, data: TrainingData, recipe: OpenAIRecipe) -> Plan:
    """What the run will cost; asks nobody.

    Raises:
        DataError: ``too-few-examples``.
        ConfigError: ``fine-tuning-setting``.
    """
    place.dialect.refuse(recipe)
    examples, held_out = parts_of(data, recipe)
    lines, sizes = lines_of(examples, recipe), recipe.sizes(len(examples))
    tokens = _charged(lines, recipe, place.count)
    price = place.price
    found = hints(examples, recipe, place.count)
    # Each hint's saving is that of the job on all examples; subsets save their share.
    times = recipe.epochs_for(len(examples))
    told = [
        f"{hint.text}: {hint.saved * times:,} tokens fewer"
        + (f", ${usd(hint.saved * times, price):.2f} less" if price and price.training else "")
        for hint in found
    ]
    return Plan(
        method="openai",
        examples=len(examples),
        trained_tokens=tokens.expected,
        steps=len(sizes),
        time_s=0.0,
        memory_bytes=0,
        disk_bytes=2 * sum(len(line.encode()) for line in lines),
        cost_usd=usd(tokens.expected, price),
        cost_high_usd=usd(tokens.most, price),
        warnings=tuple(_warnings(place, recipe, len(held_out), told)),
        details={
            "jobs": [{"examples": size, "epochs": recipe.epochs_for(size)} for size in sizes],
            "validation_examples": len(held_out),
            "tokens": {"expected": tokens.expected, "low": tokens.low, "high": tokens.high, "most": tokens.most},
            "cost_low_usd": usd(tokens.low, price),
            "cost_usual_high_usd": usd(tokens.high, price),
            "priced": not place.counted or (price is not None and price.training is not None),
            "counted": place.counted,
            "leaves_this_machine": place.leaves,
            "hints": told,
        },
    )


def parts_of(data: TrainingData, recipe: OpenAIRecipe) -> tuple[list[Example], list[Example]]:
    """What is trained on, and what watches over it: none where there are too few of them to be taken.

    Raises:
        DataError: ``too-few-examples``.
    """
    examples = sampled(data.train, recipe)
    if len(examples) < MIN_EXAMPLES:
        raise DataError(
            f"{len(examples)} {recipe.task} examples are left to train on, and every endpoint asks for {MIN_EXAMPLES} at least. "
            "Add some, or tune the prompt: homeroom tune run --method dspy",
            code="too-few-examples",
        )
    held_out = list(data.validation) if len(data.validation) >= MIN_EXAMPLES else []
    if recipe.subsets and not held_out:
        raise DataError(
            f"subsets = {list(recipe.subsets)!r} compares losses on validation examples, and {len(data.validation)} are too few: "
            f"{MIN_EXAMPLES} are needed. Leave subsets out, or deal anew: homeroom data split --help",
            code="too-few-examples",
        )
    return examples, held_out


def rungs_of(lines: Sequence[str], recipe: OpenAIRecipe, count: Count | None) -> list[Rung]:
    """The jobs of a run that has not begun."""
    rungs = []
    for size in recipe.sizes(len(lines)):
        epochs = recipe.epochs_for(size)
        rungs.append(Rung(size, epochs, total(lines[:size], count).times(epochs).most))
    return rungs


def _charged(lines: Sequence[str], recipe: OpenAIRecipe, count: Count | None) -> Tokens:
    """The tokens of all jobs together."""
    found = NO_TOKENS
    for size in recipe.sizes(len(lines)):
        found = found.plus(total(lines[:size], count).times(recipe.epochs_for(size)))
    return found


def _warnings(place: Place, recipe: OpenAIRecipe, held_out: int, told: Sequence[str]) -> list[str]:
    found = []
    if place.leaves:
        found.append(f"the examples are sent to {place.endpoint!r}: they leave this machine")
    if ending := access.ending(place.model, place.ends, datetime.now(UTC).date()):
        found.append(ending)
    if place.counted and (place.price is None or place.price.training is None):
        found.append(
            f"the price of training {place.base!r} is not known: put it in prices.yaml in the home, as "
            f'endpoints: {{"{place.base}": {{input: 0.3, output: 1.2, training: 3.0}}}}'
        )
    if place.count is None:
        found.append("tokens are estimated from the length of the text; what is held is the most that they can be")
    if not held_out:
        found.append(f"without {MIN_EXAMPLES} validation examples nobody can see whether it overfits")
    if place.leaves:
        found.append("how long it takes is the endpoint's and not known here")
    return [*found, *(f"could be shorter: {hint}" for hint in told)]
