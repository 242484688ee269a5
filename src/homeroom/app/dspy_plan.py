"""Planning and queueing runs of the method ``dspy``."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from homeroom.app.compare_facts import hosts_of
from homeroom.app.dspy_forecast import SearchForecast, forecast_search, made_before
from homeroom.app.dspy_job import identity_of, is_known, lacks_disk, material_of, others_of
from homeroom.app.dspy_weights import training_recipe
from homeroom.app.endpoints import base_here, endpoint_of
from homeroom.app.engines import lacks_memory, memory_need
from homeroom.app.forecasts import calibrations, record
from homeroom.app.work import NOW, When, key_of, submit_once
from homeroom.data.datasets import Dataset
from homeroom.errors import ConfigError, DataError
from homeroom.models.engine_info import find_running
from homeroom.schema.examples import Example, Message
from homeroom.schema.jobs import Job
from homeroom.schema.tuning import Plan, TrainingData
from homeroom.tuning.dspy.expected import wanted_calls
from homeroom.tuning.dspy.own import program_named
from homeroom.tuning.dspy.packages import require_dspy
from homeroom.tuning.dspy.recipe import PROMPT_MODEL, TAUGHT, WEIGHTS, DspyRecipe
from homeroom.tuning.dspy.spec import ProgramSpec

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.tuning.dspy.task import Material

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
        ConfigError: ``signature-path``, ``signature-fields``; ``prompt-model``, ``teacher-model``: it is no model of an endpoint,
            or nothing that is tried asks it; ``search-weights``: weights are to be trained, and they are at one.
    """
    named = recipe.base or home.settings.default_base
    base = named if endpoint_of(home.settings, named) is not None else base_here(home, named).name
    _require_writer(home, recipe)
    _require_teacher(home, recipe)
    if recipe.trains and "/" in base:
        training = [n for n in recipe.tried if n in WEIGHTS]
        raise ConfigError(
            f"{' and '.join(training)} {'train' if len(training) > 1 else 'trains'} weights in the middle of a search, and those "
            f"of {base!r} are at an endpoint, where each training is a job of its own that has to be agreed to. Tune the prompt "
            "first, then train on what it says: homeroom tune traces NAME --out traces.jsonl, then homeroom tune run --method "
            "openai. Or choose a base of this machine: homeroom models list --bases",
            code="search-weights",
        )
    name = recipe.program
    if not name:
        passages = any(example.context for example in dataset.part("train", recipe.task))
        name = "learner" if recipe.task == "learner" else "answer_from_context" if passages else "answer"
    return Chosen(recipe.model_copy(update={"base": base, "program": name}), program_named(name))


def _require_writer(home: Homeroom, recipe: DspyRecipe) -> None:
    """Refuse a strong model that cannot be asked, is missing, or that nothing would ask.

    Raises:
        ConfigError: ``prompt-model``.
    """
    if any(name in PROMPT_MODEL for name in recipe.tried) and endpoint_of(home.settings, recipe.prompt_model) is None:
        writing = [n for n in recipe.tried if n in PROMPT_MODEL]
        raise ConfigError(
            f"{' and '.join(writing)} {'need' if len(writing) > 1 else 'needs'} a strong model that writes instructions, and "
            + (
                f"prompt_model = {recipe.prompt_model!r} is of no endpoint of the settings. Add its endpoint to config.yaml in "
                "the home, or name another model: homeroom models list"
                if recipe.prompt_model
                else "none is named. Name a model of an endpoint: --prompt-model openai/gpt-4.1-mini"
            ),
            code="prompt-model",
        )
    if recipe.prompt_model and "writer" not in recipe.others:
        raise ConfigError(
            f"prompt_model = {recipe.prompt_model!r} would not be asked: of the optimisers only {', '.join(PROMPT_MODEL)} have "
            f"instructions written, and {', '.join(recipe.tried)} are tried. Add one of them, leave optimisers out, "
            "or take prompt_model out",
            code="prompt-model",
        )


def _require_teacher(home: Homeroom, recipe: DspyRecipe) -> None:
    """Refuse a teacher that cannot be asked, or that nothing would ask.

    Raises:
        ConfigError: ``teacher-model``.
    """
    if not recipe.teacher_model:
        return
    if endpoint_of(home.settings, recipe.teacher_model) is None:
        raise ConfigError(
            f"teacher_model = {recipe.teacher_model!r} is no model of an endpoint. Name one whose replies are worth showing: "
            "teacher_model: openai/gpt-4.1, or add its endpoint to config.yaml in the home",
            code="teacher-model",
        )
    if "teacher" not in recipe.others:
        raise ConfigError(
            f"teacher_model = {recipe.teacher_model!r} would not be asked: of the optimisers only {', '.join(TAUGHT)} show a "
            f"teacher's replies, and {', '.join(recipe.tried)} are tried. Add one of them, or take teacher_model out",
            code="teacher-model",
        )


def plan_program(home: Homeroom, dataset: Dataset, recipe: DspyRecipe) -> Plan:
    """What the run will need; starts nothing."""
    found = chosen(home, dataset, recipe)
    recipe = found.recipe
    material = material_of(dataset, recipe, found.spec)
    known = is_known(home, recipe, found.spec, material)
    search = made_before(home, recipe) if known else forecast_search(home, recipe, found.spec, material)
    training = _training(home, dataset, recipe, found.spec, material) if recipe.trains and not known else None
    times = recipe.trains if training else 0
    local = endpoint_of(home.settings, recipe.base) is None
    answering, cramped = _answering(home, recipe.base) if local else (0, "")
    disk = search.disk_bytes + (times * training.disk_bytes if training else 0)
    lacks = [told for told in (cramped, lacks_disk(home, disk)) if told and not known]
    low_s, usual_s, high_s = search.time_s
    return Plan(
        method="dspy",
        examples=len(material.pool),
        trained_tokens=times * training.trained_tokens if training else 0,
        steps=len(recipe.tried),
        time_s=round(usual_s + times * (training.time_s if training else 0), 1),
        time_low_s=round(low_s + times * (training.time_low_s if training else 0), 1),
        time_high_s=round(high_s + times * (training.time_high_s or training.time_s if training else 0), 1),
        memory_bytes=max(training.memory_bytes if training else 0, answering),
        memory_high_bytes=max(training.memory_high_bytes if training else 0, answering),
        gpu_memory_bytes=training.gpu_memory_bytes if training else 0,
        disk_bytes=disk,
        cost_usd=search.usd,
        cost_high_usd=search.most_usd,
        fits=not lacks and (training.fits if training else True),
        advice=training.advice if training else (),
        warnings=(*lacks, *(() if known else _warnings(recipe, search, material)), *(training.warnings if training else ())),
        details={
            "calls": search.most_calls,
            "calls_expected": round(search.calls),
            "max_calls": recipe.max_calls,
            "made_before": known,
            "asks": [one.to_dict() for one in search.asked],
            "text_goes": hosts_of(home, (recipe.base, *recipe.others.values()))[0],
            "program": found.spec.name,
            "optimisers": list(recipe.tried),
            "selection_items": len(material.items),
            "tokens": round(sum(one.tokens for one in search.asked)),
            "counted": search.counted,
            "priced": not search.unpriced,
        },
    )


def _answering(home: Homeroom, name: str) -> tuple[int, str]:
    """Bytes of memory in which the base answers here, and why it cannot, if it cannot. One that runs has its memory."""
    base = home.base_files(name)
    need = memory_need(home, base)
    runs = find_running(home.settings.home, base.identity) is not None
    return need.total, "" if runs else lacks_memory(home, base, need)


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


def _warnings(recipe: DspyRecipe, search: SearchForecast, material: Material) -> list[str]:
    said = ["the calls that are expected assume that half of the replies are good enough to be shown"]
    guessed = {one.model: one.speed.seconds for one in search.asked if not one.speed.calls}
    said += [
        f"nothing is known yet of how fast {name!r} answers: {seconds:.2g} s a call are guessed"
        for name, seconds in guessed.items()
    ]
    pool, items = len(material.pool), len(material.items)
    wanted = wanted_calls(recipe, pool, items, leave_one_out=material.leave_one_out)
    if wanted > recipe.max_calls:
        said.append(
            f"all optimisers may take up to {wanted} calls, and max_calls is {recipe.max_calls}: what does not fit is not tried"
        )
    said += [f"the price of {name!r} is not known: put it in prices.yaml in the home" for name in search.unpriced]
    if recipe.trains:
        said.append(f"weights are trained up to {recipe.trains} time(s), here forecast as if every reply were good enough")
    return said


def payload_of(home: Homeroom, dataset: Dataset, recipe: DspyRecipe) -> Json:
    """What the job of this run carries. Raises what `chosen` does."""
    found = chosen(home, dataset, recipe)
    others = others_of(home, found.recipe)
    return {
        "kind": "tune",
        "dataset": dataset.info.id,
        "recipe": found.recipe.to_dict(),
        "program": found.spec.to_dict(),
        "base_identity": identity_of(home, found.recipe.base),
        **({"other_identities": others} if others else {}),
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
