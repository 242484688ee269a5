"""What a run will cost, told before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from homeroom.errors import DataError
from homeroom.schema.examples import Example
from homeroom.schema.tuning import Plan, TrainingData
from homeroom.tuning.openai import access
from homeroom.tuning.openai.lines import MIN_EXAMPLES, NO_TOKENS, Count, Tokens, hints, lines_of, sampled, tokens_of, total
from homeroom.tuning.openai.place import Place
from homeroom.tuning.openai.purse import usd
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.openai.state import Rung

NAMED = 3  # examples that a refusal names


def plan_of(place: Place, data: TrainingData, recipe: OpenAIRecipe) -> Plan:
    """What the run will cost; asks nobody.

    Raises:
        DataError: ``too-few-examples``, ``example-too-long``.
        ConfigError: ``fine-tuning-setting``.
    """
    examples, held_out, doubtful = require_taken(place, data, recipe)
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
        warnings=tuple(_warnings(place, recipe, len(examples), len(held_out), doubtful, told)),
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


def require_taken(place: Place, data: TrainingData, recipe: OpenAIRecipe) -> tuple[list[Example], list[Example], int]:
    """What is trained on, what watches over it, and how many of both may be too long for the endpoint; refuses what it would.

    Raises:
        DataError: ``too-few-examples``; ``example-too-long``: also at five characters a token it has more than are taken.
        ConfigError: ``fine-tuning-setting``.
    """
    place.dialect.refuse(recipe)
    examples, held_out = parts_of(data, recipe)
    if not place.longest:
        return examples, held_out, 0
    sent = [*examples, *held_out]
    sizes = [tokens_of(line, place.count) for line in lines_of(sent, recipe)]
    sure = [(example, size) for example, size in zip(sent, sizes, strict=True) if size.low > place.longest]
    if sure:
        named = ", ".join(f"{example.id!r} (about {size.expected:,})" for example, size in sure[:NAMED])
        raise DataError(
            f"{len(sure)} of {len(sent)} examples are longer than the {place.longest:,} tokens that {place.base!r} takes of one: "
            f"{named}{', ...' if len(sure) > NAMED else ''}. Split them, or leave them out: homeroom data check NAME "
            f"--max-tokens {place.longest}. If the provider takes more by now: longest_example: {{{place.model}: NUMBER}} in "
            "prices.yaml in the home",
            code="example-too-long",
        )
    return examples, held_out, sum(size.high > place.longest for size in sizes)


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


def _warnings(place: Place, recipe: OpenAIRecipe, examples: int, held_out: int, doubtful: int, told: Sequence[str]) -> list[str]:
    found = []
    if len(recipe.subsets) and (dropped := [size for size in recipe.subsets if size >= examples]):
        found.append(
            f"subsets of {', '.join(map(str, dropped))} are left out: there are {examples} examples"
            + ("" if len(recipe.sizes(examples)) > 1 else ", so no learning curve comes of it")
        )
    if doubtful:
        found.append(
            f"{doubtful} {'example' if doubtful == 1 else 'examples'} may be longer than the {place.longest:,} tokens that "
            f"{place.base!r} takes of one; the end would be cut off, or the file refused"
        )
    if place.leaves:
        found.append(f"the examples are sent to {place.endpoint!r}: they leave this machine")
    if ending := access.ending(place.model, place.ends, datetime.now(UTC).date()):
        found.append(ending)
    if place.counted and (place.price is None or place.price.training is None):
        found.append(
            f"the price of training {place.base!r} is not known: put it in prices.yaml in the home, as "
            f'endpoints: {{"{place.base}": {{input: USD, output: USD, training: USD}}}}, US dollars for a million tokens'
        )
    if place.count is None:
        found.append("tokens are estimated from the length of the text; what is held is the most that they can be")
    if not held_out:
        found.append(f"without {MIN_EXAMPLES} validation examples nobody can see whether it overfits")
    if place.leaves:
        found.append("how long it takes is the endpoint's and not known here")
    return [*found, *(f"could be shorter: {hint}" for hint in told)]
