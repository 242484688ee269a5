"""`HuggingFaceTuner`: the method ``huggingface`` behind the `Tuner` protocol. Its `run` says what a run does, in order."""

from __future__ import annotations

import hashlib
import json
import platform
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.errors import ConflictError, MissingExtraError
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.runtime.hardware import Hardware, hardware
from homeroom.schema.jobs import Reporter
from homeroom.schema.models import BaseFiles, Suitability, TunedModel
from homeroom.schema.tuning import Plan, TrainingData
from homeroom.storage.artifacts import ArtifactStore
from homeroom.storage.errors import disk_errors
from homeroom.storage.files import write_atomically
from homeroom.tuning.huggingface.batches import Step
from homeroom.tuning.huggingface.cores import keeping_freed_memory, yield_cores_soon
from homeroom.tuning.huggingface.parity import RenderIds, check_parity
from homeroom.tuning.huggingface.prepare import Prepared, prepare
from homeroom.tuning.recipe import Recipe

if TYPE_CHECKING:
    from homeroom.tuning.huggingface.device import Compute
    from homeroom.tuning.huggingface.forecast import Past
    from homeroom.tuning.huggingface.milestones import Milestones
    from homeroom.tuning.huggingface.model import LoraModel
    from homeroom.tuning.huggingface.objective import Objective
    from homeroom.tuning.huggingface.shared import LoadBase
    from homeroom.tuning.huggingface.trainer import State

PACKAGES = ("torch", "transformers", "peft", "safetensors", "gguf")
# Parts of a recipe that may change while a run is under way: they decide nothing about its weights beyond rounding.
FREE_TO_CHANGE = ("name", "suffix", "base", "checkpoint", "generation", "threads", "device", "gradient_checkpointing")
# Keys that older versions did not have: at these values a run is the one that was begun without them.
ADDED: dict[str, Any] = {"weights": "lora", "quantise": "none"}


class HuggingFaceTuner:
    """Trains a LoRA adapter, or every weight of a tiny model, on this machine.

    Args:
        base: The base model's files.
        work_dir: The run's own durable folder: its checkpoints, and what it was started with.
        artifacts: Where the result is put.
        suitability: Of the base, from the catalogue; a tuned model is not better than its base until a scorecard says so.
        licence: Of the base.
        new_name: Base name and suffix to a new model's name.
        renderer: Opens the engine for the parity check and gives its prompt tokens for messages; closed before training begins.
            None skips the check, and the run says so.
        tokens_per_s: A speed to plan with in place of a calibration.
        calibrations: Where what this machine was measured to take is kept; a run with it stores its forecast with the model.
        record: Runs that this machine made, the oldest first: they move the forecast and set its interval.
        milestones: Takes checkpoints that can be asked while the run goes on; None gives none out.
        load_base: Gives the frozen base; by default each run reads it from the disk. See `homeroom.tuning.huggingface.shared`.
        job_id: The job that runs this.
        code_version: Homeroom's version and commit.
    """

    method = "huggingface"

    def __init__(
        self,
        base: BaseFiles,
        work_dir: Path,
        artifacts: ArtifactStore,
        *,
        suitability: Suitability = "practice",
        licence: str = "",
        new_name: Callable[[str, str], str] | None = None,
        renderer: Callable[[], AbstractContextManager[RenderIds]] | None = None,
        tokens_per_s: float | None = None,
        calibrations: Path | None = None,
        record: Sequence[Past] = (),
        milestones: Milestones | None = None,
        load_base: LoadBase | None = None,
        job_id: str = "",
        code_version: str = "",
    ) -> None:
        self._base, self._work_dir, self._artifacts = base, work_dir, artifacts
        self._suitability, self._licence = suitability, licence
        self._new_name = new_name or _new_name
        self._renderer, self._milestones = renderer, milestones
        self._tokens_per_s, self._calibrations, self._record = tokens_per_s, calibrations, record
        self._load_base = load_base
        self._job_id, self._code_version = job_id, code_version

    def plan(self, data: TrainingData, recipe: Recipe, *, gpu_bytes: int | None = None) -> Plan:
        """What the run will need: steps and tokens exactly, time and memory estimated. Touches nothing.

        Args:
            data: What it trains on.
            recipe: The run.
            gpu_bytes: Memory of a GPU to plan for, be there one here or not. With 0 the GPU that the recipe asks for need not be
                here. Of one that is not here the time is not told, and ``details["gpu"]`` says which GPUs would do. None plans
                for what a run would take now.

        Raises:
            DataError: ``too-few-examples``, ``no-labels``, ``no-preferences``, ``prefix-unstable``.
            ConfigError: ``no-gpu``.
            MissingExtraError: the training packages are not installed.
        """
        _prepare_packages()
        from homeroom.tuning.huggingface import model

        model.quiet_libraries()
        from homeroom.tuning.huggingface import device

        prepared = prepare(ChatTokenizer(self._base.weights), data, recipe)
        machine = hardware(self._work_dir)
        compute = device.choose(recipe, machine) if gpu_bytes is None else device.to_plan(recipe, machine, gpu_bytes)
        sized = self._sized(recipe, compute, machine)
        if compute.is_here:
            return self._planned(prepared, prepared.steps(sized), sized, compute, machine)
        from homeroom.tuning.huggingface.gpus import for_absent
        from homeroom.tuning.huggingface.needs import Shape

        elsewhere = replace(machine, disk_free_bytes=0)  # not known
        plan = self._planned(prepared, prepared.steps(sized), sized, compute, elsewhere)
        return for_absent(plan, Shape.of(self._base), recipe, compute)

    def _planned(self, prepared: Prepared, steps: Sequence[Step], recipe: Recipe, compute: Compute, machine: Hardware) -> Plan:
        from homeroom.tuning.huggingface import device
        from homeroom.tuning.huggingface.plan import Known, make_plan

        known = Known(self._calibrations, self._record, self._tokens_per_s)
        with device.computing(compute, recipe.seed):
            data = (prepared.training, prepared.validation)
            return make_plan(self._base, recipe, data, steps, compute, machine, known, lengths=prepared.lengths)

    def _sized(self, recipe: Recipe, compute: Compute, machine: Hardware) -> Recipe:
        """The recipe with a number for ``batch_tokens: auto``: that of the run in ``work_dir``, or what fits the memory now."""
        from homeroom.tuning.huggingface.needs import Shape, free_bytes, with_batch_tokens

        path = self._work_dir / "run.json"
        begun = json.loads(path.read_text(encoding="utf-8")).get("batch_tokens") if path.exists() else None
        if begun and not recipe.batch_tokens:
            return recipe.model_copy(update={"batch_tokens": int(begun)})
        return with_batch_tokens(recipe, Shape.of(self._base), compute, free_bytes(compute, machine))

    def _forecast(
        self, prepared: Prepared, steps: Sequence[Step], recipe: Recipe, compute: Compute, reporter: Reporter
    ) -> dict[str, Any]:
        """What the run is expected to take, as JSON, to be stored beside what it took; empty where nobody wants it.

        Raises:
            StorageError: ``no-space``: it would not end.
            ConfigError: ``full-too-large``.
        """
        from homeroom.tuning.huggingface.needs import Shape, require_disk, require_memory

        machine = hardware(self._work_dir)
        require_memory(Shape.of(self._base), recipe, compute, machine)
        if not (self._work_dir / "run.json").exists():  # one that goes on has its checkpoints already
            require_disk(Shape.of(self._base), recipe, self._work_dir)
        if self._calibrations is None:
            return {}
        plan = self._planned(prepared, steps, recipe, compute, machine)
        if not plan.fits:
            reporter.event(" ".join(plan.warnings[-2:]), level="warning")
        whole = asdict(plan)
        kept = (
            "time_s",
            "time_low_s",
            "time_high_s",
            "memory_bytes",
            "gpu_memory_bytes",
            "disk_bytes",
            "trained_tokens",
            "steps",
        )
        return {**{k: whole[k] for k in kept}, **{k: plan.details[k] for k in ("machine", "train_raw_s", "memory_raw_bytes")}}

    def run(self, data: TrainingData, recipe: Recipe, reporter: Reporter) -> TunedModel:
        """Tune, continuing what ``work_dir`` holds. The result is an artifact and not yet registered.

        Raises:
            JobCancelled: the reporter asked to stop; the run can be continued.
            DataError: ``too-few-examples``, ``no-labels``, ``no-preferences``, ``prefix-unstable``.
            ConflictError: ``template-parity``; ``resume-mismatch`` when ``work_dir`` holds another run.
            ConfigError: ``loss-diverged``, ``out-of-memory``, ``no-gpu``, ``full-too-large``, ``quantise-unsupported``.
            StorageError: ``no-space``.
            MissingExtraError: the training packages are not installed.
        """
        _prepare_packages()
        from homeroom.tuning.huggingface import device, model
        from homeroom.tuning.huggingface.artifact import CardFacts, write_artifact
        from homeroom.tuning.huggingface.attempts import Attempts
        from homeroom.tuning.huggingface.memory import loading_errors, memory_errors
        from homeroom.tuning.huggingface.milestones import publisher
        from homeroom.tuning.huggingface.needs import Shape, memory_bytes
        from homeroom.tuning.huggingface.trainer import train

        model.quiet_libraries()
        prepared = prepare(ChatTokenizer(self._base.weights), data, recipe)
        machine = hardware(self._work_dir)
        compute = device.choose(recipe, machine)
        given, recipe = recipe, self._sized(recipe, compute, machine)
        steps = prepared.steps(recipe)
        forecast = self._forecast(prepared, steps, recipe, compute, reporter)
        started = time.monotonic()
        reporter.event(prepared.training.report("training") + "; " + prepared.validation.report("validation"))
        self._check_parity(prepared, reporter)
        name = self._claim_folder(data, given, prepared, recipe.batch_tokens)
        limit = memory_bytes(Shape.of(self._base), recipe, compute)
        attempts, computing = Attempts(self._work_dir, steps, reporter), device.computing(compute, recipe.seed)
        with attempts.attempt(), memory_errors(recipe.batch_tokens), computing, keeping_freed_memory(limit) as give_back:
            reporter.progress(0.0, f"loading {self._base.name} ({compute.name})")
            with loading_errors(self._base.name):
                lora = self._loaded(recipe, compute)
            objective = self._objective(lora, recipe, prepared, steps, reporter, attempts.split)
            publish = None
            if self._milestones is not None:
                publish = publisher(lora, self._base, name, self._artifacts, self._milestones, reporter)
            state = train(lora, recipe, objective, steps, self._work_dir / "checkpoints", reporter, publish, give_back, attempts)
            metrics = _metrics(state, time.monotonic() - started, compute.name)
            if forecast:
                metrics["forecast"] = forecast
            facts = CardFacts(name, self._base, data.dataset, self._licence, self._suitability, self._code_version, metrics)
            draft = self._artifacts.write("model")
            with draft:
                write_artifact(
                    draft.folder,
                    model=lora,
                    recipe=given,
                    training=prepared.training,
                    tokenizer=prepared.tokenizer,
                    history=state.history,
                    facts=facts,
                )
        _warn_if_no_better(state, reporter)
        return self._tuned(name, draft.id, data, given, metrics)

    def _loaded(self, recipe: Recipe, compute: Compute) -> LoraModel:
        """The base with new LoRA layers, or with every weight to be trained."""
        from homeroom.tuning.huggingface import model

        if recipe.weights == "full":  # never a shared base: its weights will be others
            return model.train_whole(model.load_base(self._base, compute), self._base, compute)
        own = compute.quantise != "none" or compute.recompute  # these change the base's layers
        frozen = (model.load_base if own else self._load_base or model.load_base)(self._base, compute)
        return model.attach_lora(frozen, recipe.lora, self._base, compute)

    def _objective(
        self, lora: LoraModel, recipe: Recipe, prepared: Prepared, steps: Sequence[Step], reporter: Reporter, split: int
    ) -> Objective:
        from homeroom.tuning.huggingface.dpo import Preferences
        from homeroom.tuning.huggingface.frozen import FOLDER
        from homeroom.tuning.huggingface.objective import Replies

        if prepared.pairs is not None:
            return Preferences(lora, recipe, *prepared.pairs, self._work_dir, reporter, split)
        training, validation = prepared.training.sequences, prepared.validation.sequences
        return Replies(lora, recipe, training, validation, steps, self._work_dir / FOLDER, reporter)

    def _check_parity(self, prepared: Prepared, reporter: Reporter) -> None:
        if self._renderer is None:
            reporter.event("The tokens were not compared with the engine's: no engine is at hand.", level="warning")
            return
        with self._renderer() as render_ids:
            count = check_parity(prepared.training, prepared.tokenizer, render_ids)
        reporter.event(f"{count} prompts give the same tokens in training and in the engine.")

    def _claim_folder(self, data: TrainingData, recipe: Recipe, prepared: Prepared, batch_tokens: int) -> str:
        """Mark ``work_dir`` as this run's, or check that it is. The run's model name: the same after every resume."""
        path = self._work_dir / "run.json"
        identity = run_identity(self._base, data, recipe, prepared)
        if path.exists():
            record = json.loads(path.read_text(encoding="utf-8"))
            _require_same(record["identity"], identity, self._work_dir)
            return str(record["name"])
        name = self._new_name(self._base.name, recipe.model_suffix)
        with disk_errors(self._work_dir):
            self._work_dir.mkdir(parents=True, exist_ok=True)
            write_atomically(
                path, json.dumps({"name": name, "identity": identity, "batch_tokens": batch_tokens}, indent=1).encode()
            )
        return name

    def _tuned(self, name: str, artifact: str, data: TrainingData, recipe: Recipe, metrics: dict[str, Any]) -> TunedModel:
        return TunedModel(
            name=name,
            base=self._base.name,
            base_identity=self._base.identity,
            method="huggingface",
            kind=recipe.weights,
            task=recipe.task,
            suffix=recipe.model_suffix,
            suitability=self._suitability,
            artifact=artifact,
            dataset=data.dataset,
            job_id=self._job_id,
            code_version=self._code_version,
            created_at=time.time(),
            recipe=recipe.to_dict(),
            settings={**recipe.generation.settings().to_dict(), "system_prompt": recipe.system_prompt},
            metrics=metrics,
        )


def _prepare_packages() -> None:
    """Refuse early and by name; set what must be set before PyTorch is imported.

    Raises:
        MissingExtraError: one of the training packages is not installed.
    """
    for package in PACKAGES:
        if find_spec(package) is None:
            raise MissingExtraError("Tuning on this machine", package, "train")
    yield_cores_soon()


def run_identity(base: BaseFiles, data: TrainingData, recipe: Recipe, prepared: Prepared) -> dict[str, Any]:
    """What makes two runs the same run, as JSON data."""
    ids = "\n".join(example.id for encoded in (prepared.training, prepared.validation) for example in encoded.examples)
    told = recipe.to_dict().items()
    settings = {key: value for key, value in told if key not in FREE_TO_CHANGE and (key not in ADDED or ADDED[key] != value)}
    return {
        "base": base.identity,
        "dataset": data.dataset,
        "examples": hashlib.sha256(ids.encode()).hexdigest(),
        **{f"recipe.{key}": value for key, value in settings.items()},
    }


def _require_same(started: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    changed = sorted(key for key in started.keys() | now.keys() if started.get(key) != now.get(key))
    if not changed:
        return
    lines = "\n".join(f"  {key}: {_short(started.get(key))} when it started, {_short(now.get(key))} now" for key in changed)
    raise ConflictError(
        f"The run in {str(folder)!r} cannot be continued, because it is another one:\n{lines}\n"
        "Undo the change to continue it, or start anew: homeroom tune run --recipe FILE",
        code="resume-mismatch",
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _metrics(state: State, seconds: float, compute: str) -> dict[str, Any]:
    from homeroom.tuning.huggingface.memory import peak_gpu_memory_bytes, peak_memory_bytes

    trained = [row for row in state.history if row.train_loss is not None]
    base_loss = next((row.valid_loss for row in state.history if row.step == 0), None)
    validated = state.best_step > 0
    best = next((row for row in state.history if row.step == state.best_step), None) if validated else None
    last = trained[-1] if trained else None
    return {
        "train_loss": last.train_loss if last else None,
        "valid_loss": best.valid_loss if best else None,
        "valid_accuracy": best.valid_accuracy if best else None,
        "base_valid_loss": base_loss,
        "best_step": state.best_step if validated else state.sound_step if state.diverged_step else state.step,
        "steps": state.step,
        "epochs": last.epoch if last else 0.0,
        "tokens": state.tokens,
        "label_tokens": state.label_tokens,
        "train_seconds": round(state.seconds, 1),
        "seconds": round(seconds, 1),
        "tokens_per_s": round(state.tokens / state.seconds, 1) if state.seconds else 0.0,
        "peak_memory_bytes": peak_memory_bytes(),
        "peak_gpu_memory_bytes": peak_gpu_memory_bytes(),
        "compute": compute,
        **({"micro_batch_split": state.split} if state.split > 1 else {}),
        **({"diverged_step": state.diverged_step} if state.diverged_step else {}),
        "torch": version("torch"),
        "machine": platform.machine(),
    }


def _warn_if_no_better(state: State, reporter: Reporter) -> None:
    base_loss = next((row.valid_loss for row in state.history if row.step == 0), None)
    if base_loss is not None and state.best_step and state.best_loss >= base_loss:
        reporter.event(
            f"Validation loss did not fall below the base model's ({state.best_loss:.3f} against {base_loss:.3f}): more "
            "examples, more steps or a lower learning rate may help.",
            level="warning",
        )


def _new_name(base: str, suffix: str) -> str:
    return f"ft:{base}:homeroom:{suffix}:{secrets.token_hex(4)}"
