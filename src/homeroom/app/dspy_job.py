"""The tuning job of the method ``dspy``: a dataset, a program and a model in, the model with its best prompt out."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom import __version__, evaluation
from homeroom.app.dspy_forecast import SearchForecast, forecast_search
from homeroom.app.dspy_weights import AdapterTrainer, copy_weights, require_training
from homeroom.app.endpoints import endpoint_identity, endpoint_of, open_endpoint_model
from homeroom.app.engines import engine
from homeroom.app.metering import Use
from homeroom.app.prompt_job import demonstrations_and_items
from homeroom.data.bundled import PROGRAM_DATA
from homeroom.data.datasets import Dataset
from homeroom.errors import DataError, StorageError
from homeroom.evaluation.field_checks import MAIN, FieldChecks
from homeroom.evaluation.metrics.sound_turn import failed_checks, share_of_checks
from homeroom.ledger.purse import Purse
from homeroom.models import reply_choice
from homeroom.models.engine_chat import EngineChatModel
from homeroom.registry.names import new_model_name
from homeroom.runtime.hardware import hardware
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Item
from homeroom.schema.jobs import JobContext
from homeroom.schema.models import TunedModel
from homeroom.tuning.dspy import envelope
from homeroom.tuning.dspy.desk import Asked
from homeroom.tuning.dspy.packages import require_dspy
from homeroom.tuning.dspy.recipe import DspyRecipe, Part
from homeroom.tuning.dspy.shipped import SHIPPED
from homeroom.tuning.dspy.spec import ProgramSpec
from homeroom.tuning.dspy.tuner import DspyTuner, Models, Outcome

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.tuning.dspy.task import Judge, Material

FEWEST = 10  # examples, below which none are kept apart to choose by
PROGRAM = "program"
"""The task of a model that replies with several fields: no page offers it as a tutor or a learner, unless it is named."""

CHECKED = ("answer", "answer_from_context", "learner")
TABLE = "candidates.json"
COLUMNS = (
    "candidate",
    "optimiser",
    "selection_score",
    "wins",
    "ties",
    "losses",
    "demonstrations",
    "requests",
    "weights",
    "kept",
    "not_tried",
)


class ChecksJudge:
    """The share of the checks behind the verdict that a reply passes. Implements the tuner's ``Judge``."""

    name = "checks"
    whole = False

    def scores(self, items: Sequence[Item], replies: Sequence[str]) -> list[float]:
        """One value for each reply, 0 to 1."""
        return share_of_checks(items, [_answer(item, reply) for item, reply in zip(items, replies, strict=True)])

    def advice(self, item: Item, reply: str) -> str:
        """The checks that the reply does not pass."""
        failed = failed_checks(item, _answer(item, reply))
        return f"It does not pass: {'; '.join(failed)}. A good reply was: {item.gold}" if failed else ""


def _answer(item: Item, reply: str) -> Answer:
    return Answer(item.id, "candidate", reply)


def judge_of(recipe: DspyRecipe, spec: ProgramSpec) -> Judge:
    """What the recipe chooses by: the checks of the program, where there are any for it, else the authored replies."""
    from homeroom.tuning.dspy.reference import FieldReferenceJudge
    from homeroom.tuning.dspy.task import ReferenceJudge

    if recipe.metric != "reference" and shipped_as(spec) in MAIN:
        return FieldChecks(spec.name)
    checked = recipe.metric == "checks" or (recipe.metric == "auto" and spec.name in CHECKED)
    if checked:
        return ChecksJudge()
    return ReferenceJudge() if spec.fields is None else FieldReferenceJudge(spec)


@cache
def measures_version() -> str:
    """16 hex digits over what replies are judged by: the code of the measures. A kept outcome of other measures is not used.

    A hash of the code and no number that somebody has to raise: where too much changes it, kept replies are scored anew, and no
    model is asked.
    """
    places = [Path(evaluation.__file__).parent, Path(reply_choice.__file__), Path(envelope.__file__).with_name("reference.py")]
    files = [file for place in places for file in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]
    digest = hashlib.sha256(__version__.encode())
    for file in files:
        if file.is_file():  # an installation may be without its sources: then the version of the whole tells
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def shipped_as(spec: ProgramSpec) -> str:
    """The name of the shipped program with these fields; empty where there is none: one's own signature may be called alike."""
    found = next((known for known in SHIPPED if known.name == spec.name), None)
    same = found is not None and (found.inputs, found.outputs) == (spec.inputs, spec.outputs)
    return spec.name if same else ""


def material_of(dataset: Dataset, recipe: DspyRecipe, spec: ProgramSpec) -> Material:
    """What may be shown and what is chosen by. The test split stays closed.

    Raises:
        DataError: ``too-few-examples``; ``program-fields``.
    """
    require_dspy()
    from homeroom.tuning.dspy.task import Material, last_items

    longest = recipe.budget_characters // recipe.demonstrations
    both = [*dataset.part("train", recipe.task), *dataset.part("validation", recipe.task)]
    if 2 <= len(both) < FEWEST:
        pool = last_items(both, longest, recipe.train_items, recipe.seed)
        items: Sequence[Item] = pool
    else:
        examples, items = demonstrations_and_items(dataset, recipe.task, recipe.items)
        pool = last_items(examples, longest, recipe.train_items, recipe.seed)
    if not pool or not items:
        raise DataError(
            f"Dataset {dataset.info.name}@{dataset.info.version} has no {recipe.task} example of at most {longest:,} characters "
            "to show the model. Add shorter examples, or raise budget_characters in the recipe.",
            code="too-few-examples",
        )
    _require_outputs(dataset, recipe, spec, [*pool, *items])
    return Material(spec, pool, items, leave_one_out=len(both) < FEWEST)


def _require_outputs(dataset: Dataset, recipe: DspyRecipe, spec: ProgramSpec, items: Sequence[Item]) -> None:
    """Refuse a program that no example shows: there is nothing to demonstrate, and nothing that a reply could be compared with.

    Raises:
        DataError: ``program-fields``.
    """
    from homeroom.tuning.dspy.task import missing_fields, values_of

    found = [values_of(spec, item, recipe.system_prompt) for item in items]
    outputs, inputs = missing_fields(spec, items)
    if any(all(field.name in values for field in spec.outputs) for values in found):
        if inputs and not shipped_as(spec):
            shown = json.dumps({"fields": {"input": dict.fromkeys(inputs, "...")}})
            raise DataError(
                f"No {recipe.task} example of {dataset.info.name}@{dataset.info.version} has the input "
                f"{', '.join(map(repr, inputs))} of the program {spec.name!r}: it would always be asked without. Write it into "
                f"each record's key 'fields', {shown}, and store them: homeroom data split FILE; or take it out of the signature",
                code="program-fields",
            )
        return
    more = f" Its inputs {', '.join(map(repr, inputs))} are in none either." if inputs else ""
    fitting = "learner" if recipe.task == "learner" else "answer"
    other = f"take another program: homeroom tune plan --method dspy --program {fitting}"
    if shipped_as(spec) in PROGRAM_DATA:
        other = f"take those that are bundled: homeroom data split {PROGRAM_DATA[spec.name]}, then --dataset with that name"
    shape = json.dumps({"input": dict.fromkeys((f.name for f in spec.inputs), "..."), "output": dict.fromkeys(outputs, "...")})
    raise DataError(
        f"No {recipe.task} example of {dataset.info.name}@{dataset.info.version} has every output of the program {spec.name!r}: "
        f"{', '.join(map(repr, outputs))} not given.{more} Write examples as lines of fields, {shape}, or each reply as a JSON "
        f"object of the outputs, and store them: homeroom data split FILE; or {other}",
        code="program-fields",
    )


def _partly_given(material: Material) -> str:
    """What is told of inputs of one's own program that some examples lack: those are asked with it empty."""
    if shipped_as(material.spec):
        return ""
    given = [material.spec.given(item) for item in (*material.pool, *material.items)]
    counts = {f.name: sum(not values[f.name] for values in given) for f in material.spec.inputs}
    told = ", ".join(f"{name!r} in {count} of {len(given)}" for name, count in counts.items() if count)
    return f"Examples lack inputs of {material.spec.name!r} and are asked with them empty: {told}" if told else ""


def tune_program(context: JobContext, home: Homeroom) -> TunedModel:
    """Search, write the artifact, and return the model, not yet registered. Replies are kept: a rerun asks only for the others.

    Raises:
        DataError: ``too-few-examples``, ``budget-too-small``.
        ProviderError: the model did not answer.
        StorageError: ``no-space``: what is answered could not be kept.
        JobCancelled: the job was told to stop.
    """
    payload = context.job.payload
    recipe = DspyRecipe.model_validate(payload["recipe"])
    spec = ProgramSpec.from_dict(payload["program"])
    dataset = home.datasets.get(str(payload["dataset"]))
    material = material_of(dataset, recipe, spec)
    identity = str(payload["base_identity"])
    context.event(
        f"{spec.name}: {len(material.pool)} examples to show, {len(material.items)} selection items"
        + (", each answered without itself" if material.leave_one_out else "")
        + f", at most {recipe.max_calls} calls"
    )
    if lacking := _partly_given(material):
        context.event(lacking, level="warning")
    if recipe.trains:
        require_training()
    forecast = forecast_search(home, recipe, spec, material)
    tuner = tuner_of(
        home,
        recipe,
        spec,
        identity,
        payload.get("other_identities") or {},
        lambda: models_of(home, recipe, context, dataset.info.id, purse_of(home, context.job.id, forecast)),
    )
    if tuner.known(material, recipe) is None and (told := lacks_disk(home, forecast.disk_bytes)):
        raise StorageError(f"{told} Nothing was asked.", code="no-space")
    outcome = tuner.run(material, recipe, context, dataset.info.id)
    metrics = beside_forecast(home, context.job.id, recipe, outcome, forecast)
    return _kept(context, home, recipe, spec, outcome, dataset.info.id, identity, metrics)


def lacks_disk(home: Homeroom, needed: int) -> str:
    """Why a search is not begun: the disk has no room to keep so many bytes. With what to do; empty where it has."""
    free = hardware(home.settings.home).disk_free_bytes
    if not free or needed <= free:
        return ""
    return (
        f"About {needed / 1e6:.1f} MB of disk are needed and {free / 1e6:.1f} MB are free: it will not start. Make space: "
        "homeroom jobs prune; or lower max_calls in the recipe."
    )


def tuner_of(
    home: Homeroom,
    recipe: DspyRecipe,
    spec: ProgramSpec,
    identity: str,
    others: Mapping[str, str],
    opened: Callable[[], AbstractContextManager[Models]],
) -> DspyTuner:
    """The tuner of a search, with what the home keeps of earlier ones.

    Args:
        home: The open home.
        recipe: What is run.
        spec: The program.
        identity: Of the base.
        others: Of the other models, as `others_of` gives them.
        opened: Opens the models, once a search is run.
    """
    served = f"{identity}:{'' if '/' in recipe.base else home.settings.engine_weights}"
    judge, folder = judge_of(recipe, spec), home.settings.home / "prompts"
    return DspyTuner(spec, judge, opened, served, folder, others=others, measured=measures_version())


def is_known(home: Homeroom, recipe: DspyRecipe, spec: ProgramSpec, material: Material) -> bool:
    """Whether the very same search was made before: then no model is asked."""

    def opened() -> AbstractContextManager[Models]:
        raise RuntimeError("to look up what is known no model is opened")

    tuner = tuner_of(home, recipe, spec, identity_of(home, recipe.base), others_of(home, recipe), opened)
    return tuner.known(material, recipe) is not None


def purse_of(home: Homeroom, job_id: str, forecast: SearchForecast) -> Purse | None:
    """What the run may spend: the most that was told before it began, less what earlier attempts cost; None if not known."""
    if not forecast.counted or forecast.unpriced:
        return None
    return Purse(forecast.most_usd, _cost(home, job_id))


def _cost(home: Homeroom, job_id: str) -> float:
    return sum(total.usd + total.held_usd for total in home.ledger.totals((), job=job_id))


def beside_forecast(
    home: Homeroom, job_id: str, recipe: DspyRecipe, outcome: Outcome, forecast: SearchForecast
) -> Mapping[str, Any]:
    """The numbers of a search, with the models that it asked and its forecast; without them where it was made before."""
    asked = outcome.metrics.get("asked")
    if not asked:
        return outcome.metrics
    names = {"task": recipe.base, **recipe.others}
    told = forecast.to_dict()
    if recipe.trains:  # the time of training is its own forecast's
        told = {key: value for key, value in told.items() if not key.startswith("time_")}
    named = {part: {"model": names[part], **used} for part, used in asked.items()}
    return {**outcome.metrics, "asked": named, "usd": round(_cost(home, job_id), 6), "forecast": told}


@contextmanager
def models_of(home: Homeroom, recipe: DspyRecipe, context: JobContext, dataset: str, purse: Purse | None) -> Iterator[Models]:
    """The model whose prompt is tuned, the one that teaches it, and the one that writes instructions, while the block lasts."""
    use = Use("tuning", "dspy", context.job.id)
    with ExitStack() as stack:
        trainer = None
        if recipe.trains:
            base = home.base_files(recipe.base)
            trainer = stack.enter_context(AdapterTrainer(home, context, recipe, base, dataset))
        task = trainer.asked if trainer else stack.enter_context(_opened(home, recipe.base, use, "task", purse))
        others = {part: stack.enter_context(_opened(home, name, use, part, purse)) for part, name in recipe.others.items()}
        yield Models(task, others.get("writer"), home.settings.engine_slots, trainer, others.get("teacher"))


@contextmanager
def _opened(home: Homeroom, name: str, use: Use, part: Part, purse: Purse | None) -> Iterator[Asked]:
    if endpoint_of(home.settings, name) is not None:
        model, identity = open_endpoint_model(home, name, use, purse)
        with closing(model):
            yield Asked(model, identity, part)
        return
    base = home.base_files(name)
    with engine(home, base, batch=True) as resolve:
        local = EngineChatModel(base.name, lambda failed: resolve(base.identity, None, failed))
        with closing(local):
            yield Asked(local, f"{base.identity}:{home.settings.engine_weights}:{resolve().context_tokens}")


def identity_of(home: Homeroom, name: str) -> str:
    """The identity of a base here, or of a model at an endpoint."""
    endpoint = endpoint_of(home.settings, name)
    return endpoint_identity(endpoint, name) if endpoint is not None else home.base_files(name).identity


def others_of(home: Homeroom, recipe: DspyRecipe) -> dict[str, str]:
    """The identities of the models besides the base, by why they are asked."""
    return {part: identity_of(home, name) for part, name in recipe.others.items()}


def _kept(
    context: JobContext,
    home: Homeroom,
    recipe: DspyRecipe,
    spec: ProgramSpec,
    outcome: Outcome,
    dataset: str,
    identity: str,
    metrics: Mapping[str, Any],
) -> TunedModel:
    """The outcome as a model: the prompt program that is served, its weights if any, DSPy's own state, the table, the recipe."""
    name = new_model_name(recipe.base, recipe.model_suffix)
    weights: Mapping[str, Any] = {}
    with home.artifacts.write("model") as draft:
        if outcome.weights:
            weights = copy_weights(home, outcome.weights, draft.folder, name)
        outcome.envelope.compiled(recipe.base, identity).save(draft.folder)
        outcome.envelope.save(draft.folder / envelope.FILE)
        (draft.folder / TABLE).write_text(json.dumps(list(outcome.table), indent=1) + "\n", encoding="utf-8")
        (draft.folder / "candidates.csv").write_text(_csv(outcome.table), encoding="utf-8")
        (draft.folder / "recipe.json").write_text(json.dumps(recipe.to_dict(), indent=1) + "\n", encoding="utf-8")
    return TunedModel(
        name=name,
        base=recipe.base,
        base_identity=identity,
        method="dspy",
        kind="lora" if outcome.weights else "prompt",
        task=PROGRAM if spec.fields is not None else recipe.task,
        suffix=recipe.model_suffix,
        suitability="trainee" if "/" in recipe.base else "practice",
        artifact=draft.id,
        dataset=dataset,
        job_id=context.job.id,
        code_version=__version__,
        created_at=time.time(),
        recipe={**recipe.to_dict(), "program": spec.name},
        settings={**recipe.generation.settings().to_dict(), "system_prompt": recipe.system_prompt},
        metrics={**metrics, **weights},
    )


def _csv(rows: Sequence[dict[str, Any]]) -> str:  # rows of a table: any JSON
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
