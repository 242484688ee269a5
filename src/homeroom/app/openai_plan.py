"""Planning and queueing runs of the method ``openai``."""

from __future__ import annotations

import secrets
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.app.bases import listed_base
from homeroom.app.endpoints import endpoint_identity, endpoint_of, endpoint_unknown
from homeroom.app.fine_tuning.hyperparameters import Hyperparameters, auto_batch, recipe_for
from homeroom.app.fine_tuning.training_file import check_training_file
from homeroom.app.forecasts import calibrations, record
from homeroom.app.metering import leaves_this_machine, price_at
from homeroom.app.openai_here import NAME
from homeroom.app.work import MOST_JOBS, NOW, When, is_gone, key_of, submit_once
from homeroom.data.datasets import Dataset
from homeroom.errors import DataError
from homeroom.ledger.prices import load_prices
from homeroom.models.openai_tuning import OpenAITuning
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.jobs import Job
from homeroom.schema.models import BaseFiles
from homeroom.schema.tuning import Plan, TrainingData
from homeroom.settings import Endpoint
from homeroom.tuning.openai.dialect import dialect_of
from homeroom.tuning.openai.lines import lines_of, tokens_of
from homeroom.tuning.openai.place import Place
from homeroom.tuning.openai.plan import parts_of, plan_of, require_taken
from homeroom.tuning.openai.recipe import OpenAIRecipe

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

Json = dict[str, Any]  # a job's payload


def base_named(home: Homeroom, recipe: OpenAIRecipe) -> Endpoint | BaseFiles:
    """Where the recipe's base is: at an endpoint of the settings, else on this machine.

    Raises:
        NotFoundError: ``endpoint-unknown``; ``not-pulled``, ``unknown-model``.
    """
    endpoint = endpoint_of(home.settings, recipe.base)
    if endpoint is not None:
        return endpoint
    if "/" in recipe.base:
        raise endpoint_unknown(home.settings, recipe.base)
    name = recipe.base or home.settings.default_base
    return home.base_files(home.settings.openai_models.get(name, name))


def place_of(home: Homeroom, recipe: OpenAIRecipe, service: OpenAITuning | None = None) -> Place:
    """Where the run is done. A ``service`` is what asks there; without one only a plan can be made.

    Raises:
        NotFoundError: ``endpoint-unknown``, ``not-pulled``, ``unknown-model``.
        ConfigError: ``prices-invalid``.
    """
    found = base_named(home, recipe)
    if isinstance(found, Endpoint):
        model = recipe.base.partition("/")[2]
        price, counted = price_at(home, found, model)
        leaves = leaves_this_machine(found)
        known = load_prices(home.settings.home)
        ends, longest = known.ending(model) if leaves else "", known.longest_example(model)
        identity = endpoint_identity(found, recipe.base)
        dialect = dialect_of(found.fine_tuning, found.base_url)
        return Place(service, model, recipe.base, found.name, identity, price, counted, leaves, ends, longest, dialect=dialect)
    tokenizer = ChatTokenizer(found.weights)
    listed = listed_base(found.name)
    return Place(
        service,
        model=found.name,
        base=found.name,
        endpoint=NAME,
        base_identity=found.identity,
        counted=False,
        leaves=False,
        count=lambda text: len(tokenizer.encode(text)),
        suitability=listed.suitability if listed else "practice",
    )


def data_of(dataset: Dataset, recipe: OpenAIRecipe) -> TrainingData:
    """Train and validation examples of the recipe's task; the test split stays out.

    Raises:
        DataError: ``too-few-examples``, ``file-invalid``: what an endpoint would refuse, with its lines.
    """
    train = dataset.part("train", recipe.task)
    if not train:
        raise DataError(
            f"Dataset {dataset.info.name}@{dataset.info.version} has no training example for the task {recipe.task!r} "
            f"(it has: {', '.join(dataset.tasks)}). Add some, or choose --task {dataset.tasks[0]}",
            code="too-few-examples",
        )
    data = TrainingData(dataset.info.id, train, dataset.part("validation", recipe.task))
    for name, examples in zip(("train.jsonl", "validation.jsonl"), parts_of(data, recipe), strict=True):
        if not examples:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_text("".join(f"{line}\n" for line in lines_of(examples, recipe)), encoding="utf-8")
            check_training_file(path, name, texts_only="/" not in recipe.base)  # with a slash the base is at an endpoint
    return data


def plan_cost(home: Homeroom, dataset: str, recipe: OpenAIRecipe) -> Plan:
    """As `plan_remote`, without the time and memory of this machine, which have to be measured.

    Raises:
        DataError: ``too-few-examples``, ``file-invalid``, ``example-too-long``.
    """
    return plan_of(place_of(home, recipe), data_of(home.datasets.get(dataset), recipe), recipe)


def plan_remote(home: Homeroom, dataset: Dataset, recipe: OpenAIRecipe) -> Plan:
    """What the run will need; asks nobody. On this machine that is time and memory as well.

    Raises:
        DataError: ``too-few-examples``, ``file-invalid``, ``example-too-long``.
    """
    data, place = data_of(dataset, recipe), place_of(home, recipe)
    plan = plan_of(place, data, recipe)
    found = base_named(home, recipe)
    if isinstance(found, Endpoint):
        return plan
    local = _local_plan(home, found, place, data, recipe)
    share = plan.trained_tokens / max(1, local.trained_tokens)  # of the subsets: their jobs come one after the other
    times = {name: getattr(local, name) * max(1.0, share) for name in ("time_s", "time_low_s", "time_high_s")}
    needs = {
        name: getattr(local, name)
        for name in ("memory_bytes", "memory_high_bytes", "gpu_memory_bytes", "disk_bytes", "fits", "advice")
    }
    return replace(plan, warnings=(*plan.warnings, *local.warnings), **times, **needs)


def _local_plan(home: Homeroom, base: BaseFiles, place: Place, data: TrainingData, recipe: OpenAIRecipe) -> Plan:
    from homeroom.tuning.huggingface.tuner import HuggingFaceTuner

    examples, held_out = parts_of(data, recipe)
    longest = max(tokens_of(line, place.count).most for line in lines_of(examples, recipe))
    listed = listed_base(base.name)
    values = Hyperparameters(
        recipe.epochs_for(len(examples)),
        recipe.batch_size or auto_batch(len(examples)),
        recipe.learning_rate_multiplier or 1.0,
        recipe.beta or 0.1 if recipe.objective == "dpo" else None,
    )
    run = recipe_for(
        values,
        base=base.name,
        parameters_m=listed.parameters_m if listed else 0,
        method=recipe.objective,
        suffix=recipe.model_suffix,
        seed=recipe.seed,
        longest_tokens=min(longest, base.context_tokens, home.settings.engine_context),
    )
    tuner = HuggingFaceTuner(base, home.work_root, home.artifacts, calibrations=calibrations(home), record=record(home))
    return tuner.plan(TrainingData(data.dataset, examples, held_out), run)


def submit_remote(home: Homeroom, dataset: Dataset, recipe: OpenAIRecipe, *, again: bool = False, when: When = NOW) -> Job:
    """Queue a run; the same dataset, recipe and base give the same job, unless ``again`` or that job did not succeed.

    Raises:
        DataError: ``too-few-examples``, ``file-invalid``, ``example-too-long``.
        NotFoundError: ``endpoint-unknown``, ``not-pulled``, ``unknown-model``.
        ConfigError: ``fine-tuning-setting``.
    """
    require_taken(place_of(home, recipe), data_of(dataset, recipe), recipe)
    about = _about(home, dataset, recipe)
    if not again and (begun := _begun_otherwise(home, about)) is not None:
        return home.jobs.retry(begun.id) if begun.state in ("failed", "cancelled") else begun
    key = key_of({**about, "again": secrets.token_hex(8)} if again else about)
    return submit_once(home, "tune", about, key, resource="api", when=when)


def payloads_of(home: Homeroom, dataset: Dataset, recipe: OpenAIRecipe) -> tuple[Json, Json]:
    """What a job of this run carries, with either wish for its files: neither is paid where the other was."""
    about = _about(home, dataset, recipe)
    return about, _other_wish(about)


def _about(home: Homeroom, dataset: Dataset, recipe: OpenAIRecipe) -> Json:
    """What makes a run this one."""
    place = place_of(home, recipe)
    run = recipe.model_copy(update={"base": place.base})
    return {"kind": "tune", "dataset": dataset.info.id, "recipe": run.to_dict(), "base_identity": place.base_identity}


def _other_wish(about: Json) -> Json:
    """The same run with the other wish for its files."""
    return {**about, "recipe": {**about["recipe"], "delete_files": not about["recipe"]["delete_files"]}}


def _begun_otherwise(home: Homeroom, about: Json) -> Job | None:
    """The same run where it was begun with another wish for its files: that is no reason to pay a second time."""
    twin = _other_wish(about)
    begun = [job for job in home.jobs.list(kind="tune", limit=MOST_JOBS) if job.payload == twin]
    return next((job for job in begun if not is_gone(home, job)), None)
