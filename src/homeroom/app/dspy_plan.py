"""Planning and queueing runs of the method ``dspy``."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from homeroom.app.dspy_job import identity_of, material_of
from homeroom.app.dspy_weights import training_recipe
from homeroom.app.endpoints import base_here, endpoint_of
from homeroom.app.engines import memory_need
from homeroom.app.forecasts import calibrations, record
from homeroom.app.metering import price_at
from homeroom.app.work import NOW, When, key_of, submit_once
from homeroom.data.datasets import Dataset
from homeroom.errors import ConfigError, DataError
from homeroom.schema.examples import Example, Message
from homeroom.schema.jobs import Job
from homeroom.schema.tuning import Plan, TrainingData
from homeroom.tuning.dspy.own import program_named
from homeroom.tuning.dspy.packages import require_dspy
from homeroom.tuning.dspy.recipe import PROMPT_MODEL, WEIGHTS, DspyRecipe
from homeroom.tuning.dspy.spec import ProgramSpec
from homeroom.tuning.dspy.tuner import expected_calls

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.tuning.dspy.task import Material

CHARACTERS_A_TOKEN = 4  # of English text, roughly: an endpoint's tokenizer is not here
SECONDS_A_CALL = 2.0  # assumed, and said so
DISK_A_CALL_BYTES = 4096
SCHEMA_CHARACTERS = 2000  # of how several outputs are asked for, at most
WRITER_CHARACTERS, WRITER_TOKENS = 40_000, 2000  # of a question to the model that writes instructions, and of its reply, at most
Json = dict[str, Any]  # a job's payload


@dataclass(frozen=True, slots=True)
class Chosen:
    """A recipe with what it leaves open filled in."""

    recipe: DspyRecipe
    spec: ProgramSpec


def chosen(home: Homeroom, dataset: Dataset, recipe: DspyRecipe) -> Chosen:
    """The recipe with its base named, and its program read: the part's own, one with passages where examples have any.

    Raises:
        NotFoundError: ``unknown-program``; ``not-pulled``, ``unknown-model``.
        ConfigError: ``signature-path``, ``signature-fields``; ``prompt-model``: it is no model of an endpoint;
            ``search-weights``: weights are to be trained, and they are at one.
    """
    named = recipe.base or home.settings.default_base
    base = named if endpoint_of(home.settings, named) is not None else base_here(home, named).name
    if any(name in PROMPT_MODEL for name in recipe.tried) and endpoint_of(home.settings, recipe.prompt_model) is None:
        writing = [n for n in recipe.tried if n in PROMPT_MODEL]
        raise ConfigError(
            f"{' and '.join(writing)} {'need' if len(writing) > 1 else 'needs'} a strong model that writes instructions, and "
            f"prompt_model = {recipe.prompt_model!r} names none. Name a model of an endpoint: prompt_model: openai/gpt-4.1-mini",
            code="prompt-model",
        )
    if recipe.trains and "/" in base:
        training = [n for n in recipe.tried if n in WEIGHTS]
        raise ConfigError(
            f"{' and '.join(training)} {'train' if len(training) > 1 else 'trains'} weights, and those of {base!r} are at an "
            "endpoint. Choose a base of this machine: homeroom models list --bases",
            code="search-weights",
        )
    name = recipe.program
    if not name:
        passages = any(example.context for example in dataset.part("train", recipe.task))
        name = "learner" if recipe.task == "learner" else "answer_from_context" if passages else "answer"
    return Chosen(recipe.model_copy(update={"base": base, "program": name}), program_named(name))


def plan_program(home: Homeroom, dataset: Dataset, recipe: DspyRecipe) -> Plan:
    """What the run will need; starts nothing."""
    found = chosen(home, dataset, recipe)
    recipe = found.recipe
    material = material_of(dataset, recipe, found.spec)
    expected = expected_calls(recipe, len(material.pool), len(material.items))
    calls = min(expected, recipe.max_calls)
    asked = sum(len(m.content) for item in material.items for m in item.prompt) // len(material.items)
    shown = sum(len(m.content) for item in material.pool for m in item.example.messages) // len(material.pool)
    prompt = (asked + len(found.spec.instructions) + shown * min(recipe.demonstrations, len(material.pool))) // CHARACTERS_A_TOKEN
    longest = max(sum(len(m.content) for m in item.prompt) for item in material.items)
    longest += len(found.spec.instructions) + recipe.budget_characters + SCHEMA_CHARACTERS
    money = _money(home, recipe, calls, prompt, longest)
    training = _training(home, dataset, recipe, found.spec, material) if recipe.trains else None
    times = recipe.trains if training else 0
    local = endpoint_of(home.settings, recipe.base) is None
    answering = memory_need(home, home.base_files(recipe.base)).total if local else 0
    return Plan(
        method="dspy",
        examples=len(material.pool),
        trained_tokens=times * training.trained_tokens if training else 0,
        steps=len(recipe.tried),
        time_s=calls * SECONDS_A_CALL + (times * training.time_s if training else 0),
        memory_bytes=max(training.memory_bytes if training else 0, answering),
        gpu_memory_bytes=training.gpu_memory_bytes if training else 0,
        disk_bytes=calls * DISK_A_CALL_BYTES + (times * training.disk_bytes if training else 0),
        cost_usd=money.usd,
        cost_high_usd=money.most_usd,
        fits=training.fits if training else True,
        advice=training.advice if training else (),
        warnings=(
            *_warnings(recipe, expected, unpriced=money.unpriced),
            *(training.warnings if training else ()),
        ),
        details={
            "calls": calls,
            "max_calls": recipe.max_calls,
            "program": found.spec.name,
            "optimisers": list(recipe.tried),
            "selection_items": len(material.items),
            "tokens": calls * (prompt + recipe.generation.max_tokens),
            "counted": money.counted,
            "priced": not money.unpriced,
        },
    )


@dataclass(frozen=True, slots=True)
class _Money:
    """What the calls of a search may cost: expected, at most, whether they are counted, and whose price is not known."""

    counted: bool = False
    usd: float = 0.0
    most_usd: float = 0.0
    unpriced: tuple[str, ...] = ()


def _money(home: Homeroom, recipe: DspyRecipe, calls: int, prompt: int, longest: int) -> _Money:
    """Of the base's calls and, at most, of those of the model that writes instructions: nobody knows beforehand how many are its.

    Args:
        home: The open home.
        recipe: What is run.
        calls: Of both together.
        prompt: Tokens of a usual question to the base.
        longest: Characters of the longest one: a token is at least one of them.
    """
    reply = recipe.generation.max_tokens
    asked = [(recipe.base, prompt, longest, reply)]
    if recipe.prompt_model:
        asked.append((recipe.prompt_model, 0, WRITER_CHARACTERS // CHARACTERS_A_TOKEN, WRITER_TOKENS))
    usd, dearest, counted, unpriced = 0.0, 0.0, False, []
    for name, usual, most, tokens in asked:
        endpoint = endpoint_of(home.settings, name)
        price, paid = price_at(home, endpoint, name.partition("/")[2]) if endpoint else (None, False)
        counted = counted or paid
        if paid and price is None:
            unpriced.append(name)
        elif price is not None:
            usd += price.of(calls * usual, calls * tokens) if usual else 0.0
            dearest = max(dearest, price.of(most, tokens))
    return _Money(counted, round(usd, 6), round(calls * dearest, 6), tuple(unpriced))


def _training(home: Homeroom, dataset: Dataset, recipe: DspyRecipe, spec: ProgramSpec, material: Material) -> Plan:
    """What one training of the search will need, with the authored replies in place of the model's own."""
    from homeroom.tuning.dspy.task import values_of
    from homeroom.tuning.huggingface.tuner import HuggingFaceTuner

    shown = [values_of(spec, item, recipe.system_prompt) for item in material.pool for _ in range(recipe.attempts)]
    whole = [values for values in shown if all(field.name in values for field in spec.outputs)]
    if not whole:
        raise DataError(
            f"No example of {dataset.info.name!r} has every output of the program {spec.name!r}: there is nothing to train on. "
            "Give examples with all fields, or take bootstrap-finetune and better-together out of the recipe",
            code="nothing-tried",
        )
    program = spec.program(spec.instructions, [])
    examples = [Example((*program.render(spec.asked(v)), Message("assistant", spec.replied(v)))) for v in whole]
    tuner = HuggingFaceTuner(
        home.base_files(recipe.base), home.work_root, home.artifacts, calibrations=calibrations(home), record=record(home)
    )
    return tuner.plan(TrainingData(dataset.info.id, examples, ()), training_recipe(recipe, recipe.base))


def _warnings(recipe: DspyRecipe, expected: int, *, unpriced: Sequence[str]) -> list[str]:
    said = [f"the time assumes {SECONDS_A_CALL:g} s a call; money and tokens assume replies of full length"]
    if expected > recipe.max_calls:
        said.append(
            f"all optimisers may take up to {expected} calls, and max_calls is {recipe.max_calls}: what does not fit is not tried"
        )
    said += [f"the price of {name!r} is not known: put it in prices.yaml in the home" for name in unpriced]
    if recipe.trains:
        said.append(f"weights are trained up to {recipe.trains} time(s), here forecast as if every reply were good enough")
    if recipe.prompt_model:
        said.append(f"calls of {recipe.prompt_model!r} are among them; their money is in the most that it can be alone")
    return said


def payload_of(home: Homeroom, dataset: Dataset, recipe: DspyRecipe) -> Json:
    """What the job of this run carries. Raises what `chosen` does."""
    found = chosen(home, dataset, recipe)
    return {
        "kind": "tune",
        "dataset": dataset.info.id,
        "recipe": found.recipe.to_dict(),
        "program": found.spec.to_dict(),
        "base_identity": identity_of(home, found.recipe.base),
    }


def submit_program(home: Homeroom, dataset: Dataset, recipe: DspyRecipe, *, again: bool = False, when: When = NOW) -> Job:
    """Queue a run; the same dataset, recipe, program and model give the same job, unless ``again`` or that job did not succeed.

    Raises:
        MissingExtraError: DSPy is not installed.
        DataError: ``too-few-examples``. And what `chosen` raises.
    """
    require_dspy()
    found = chosen(home, dataset, recipe)
    material_of(dataset, found.recipe, found.spec)
    about = payload_of(home, dataset, recipe)
    key = key_of({**about, "again": secrets.token_hex(8)} if again else about)
    resource = "cpu" if endpoint_of(home.settings, found.recipe.base) is None else "api"
    return submit_once(home, "tune", about, key, resource=resource, when=when)
