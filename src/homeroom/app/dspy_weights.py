"""Weights in a search for prompts: trained by the method ``huggingface`` in the job's folder, and asked before they have a name.

Nothing is registered before the search has ended. What was trained is kept in the home under a hash of all that it depends on, so
that the same search again, or one that was killed afterwards, trains nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom import __version__
from homeroom.app.bases import listed_base
from homeroom.app.engines import engine_threads, memory_budget
from homeroom.app.local_runs import with_threads
from homeroom.errors import ConfigError, ConflictError, MissingExtraError
from homeroom.models import prepared
from homeroom.models.engine import EngineManager
from homeroom.models.engine_chat import EngineChatModel, engine_render_ids
from homeroom.models.engine_info import AdapterFile, EngineInfo
from homeroom.models.engine_memory import engine_need, mb
from homeroom.runtime import spawn
from homeroom.schema.examples import Example, Message
from homeroom.schema.jobs import JobContext
from homeroom.schema.models import BaseFiles
from homeroom.schema.tuning import TrainingData
from homeroom.storage.artifacts import ArtifactStore
from homeroom.storage.files import make_private_folder
from homeroom.tuning.dspy.desk import Asked
from homeroom.tuning.dspy.recipe import DspyRecipe
from homeroom.tuning.dspy.weights import Trained, weights_folder
from homeroom.tuning.recipe import Recipe

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

ABOUT = "weights.json"
TOGETHER = """
## Asked through a prompt

These weights were trained together with the prompt in `program.json`: instructions and demonstrations that come before every
conversation. Homeroom sends both. Elsewhere, send them yourself: `homeroom tune show-prompt` writes the messages.
"""
DROPPED = ("name", "base", "suffix", "generation", "threads", "device", "checkpoint")  # what decides nothing about weights


def training_recipe(recipe: DspyRecipe, base: str) -> Recipe:
    """How weights are trained in the search: its `Weights`, on conversations that hold their prompt already."""
    keys = {key: getattr(recipe.weights, key) for key in Recipe.model_fields}
    return Recipe.model_validate({**keys, "task": "any", "base": base, "suffix": recipe.model_suffix})


def require_training() -> None:
    """Say early what is not installed.

    Raises:
        MissingExtraError: one of the packages that train.
    """
    missing = next((name for name in ("torch", "transformers", "peft") if find_spec(name) is None), None)
    if missing:
        raise MissingExtraError("Training weights in a search", missing, "train")


class AdapterTrainer:
    """Trains LoRA adapters of one base and answers with them. Implements ``WeightTrainer``. A context manager: it runs an engine.

    Args:
        home: The open home.
        context: The job, in whose folder is trained.
        recipe: The search.
        base: Whose weights.
        dataset: Id of the dataset version, for the card.
    """

    def __init__(self, home: Homeroom, context: JobContext, recipe: DspyRecipe, base: BaseFiles, dataset: str) -> None:
        self._home, self._context, self._base, self._dataset = home, context, base, dataset
        self._recipe = training_recipe(recipe, base.name)
        self._folder = home.settings.home / "prompts"
        self._files: list[AdapterFile] = []
        self._manager: EngineManager | None = None
        self._lock = threading.Lock()
        self._open = ExitStack()

    def __enter__(self) -> AdapterTrainer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()
        self.pause()

    @property
    def asked(self) -> Asked:
        """The base, without weights of its own."""
        return self._asked(self._base.name, None)

    def _asked(self, name: str, adapter: str | None) -> Asked:
        model = EngineChatModel(name, self._engine, adapter=adapter)
        self._open.callback(model.close)
        settings = self._home.settings
        context = min(settings.engine_context, self._base.context_tokens)
        identity = f"{self._base.identity}:{settings.engine_weights}:{context}"
        return Asked(model, identity if adapter is None else f"{identity}:{adapter}")

    def _engine(self, failed: EngineInfo | None = None) -> EngineInfo:
        with self._lock:
            if self._manager is None:
                self._manager = self._started()
            manager = self._manager
        return manager.ensure(failed)

    def _started(self) -> EngineManager:
        settings = self._home.settings
        served = prepared.engine_file(self._base, settings.cache, settings.engine_weights)
        slots, context = settings.engine_slots, settings.engine_context
        need = engine_need(served, slots=slots, context=context, adapters=self._files, quantisation=settings.engine_weights)
        budget = memory_budget(self._home)
        if need.total > budget:
            raise ConflictError(
                f"{self._base.name!r} needs {need} to answer here, and an engine may take {mb(budget)}. Lower engine_context or "
                "engine_slots, raise engine_memory_mb (see config.yaml in the home), or choose a smaller base: homeroom models "
                "list --bases",
                code="engine-memory",
            )
        threads = settings.threads or engine_threads()
        own, files = settings.home / "run" / "own", tuple(self._files)
        return EngineManager(served, home=own, spawn=spawn, slots=slots, context=context, threads=threads, adapters=lambda: files)

    def pause(self) -> None:
        """Stop the engine; the next request starts it again, with every adapter that was trained since."""
        with self._lock:
            manager, self._manager = self._manager, None
        if manager is not None:
            manager.stop()

    def train(self, examples: Sequence[Example]) -> Trained:
        """Train, or take what the same examples gave before. Goes on where an interrupted training stopped.

        Raises:
            JobCancelled: the job was told to stop.
            HomeroomError: what the tuner raises.
        """
        examples = sorted(examples, key=lambda example: example.id)
        key = self._key(examples)
        folder = weights_folder(self._folder, key)
        if folder.is_dir():
            self._context.event(f"weights from {len(examples)} good replies: trained before")
        else:
            self._train(examples, key, folder)
        self._files.append(AdapterFile(key, folder / "adapter.gguf", self._base.identity))
        self.pause()
        return Trained(key, self._asked(key, key))

    def _key(self, examples: Sequence[Example]) -> str:
        decides = {name: value for name, value in self._recipe.to_dict().items() if name not in DROPPED}
        depends = {"base": self._base.identity, "recipe": decides, "examples": [example.id for example in examples]}
        digest = hashlib.sha256(json.dumps(depends, sort_keys=True, default=str).encode()).hexdigest()
        return f"weights-{digest[:16]}"

    def _train(self, examples: Sequence[Example], key: str, folder: Path) -> None:
        from homeroom.tuning.huggingface.tuner import HuggingFaceTuner

        self._context.event(f"weights: training on {len(examples)} good replies")
        work = self._context.work_dir / key
        store = ArtifactStore(work / "made")
        listed = listed_base(self._base.name)
        tuner = HuggingFaceTuner(
            self._base,
            work,
            store,
            suitability=listed.suitability if listed else "practice",
            licence=listed.licence if listed else "",
            new_name=lambda base, suffix: f"ft:{base}:homeroom:{suffix}:{key}",
            renderer=self._renderer,
            job_id=self._context.job.id,
            code_version=__version__,
        )
        made = tuner.run(TrainingData(self._dataset, tuple(examples), ()), with_threads(self._home, self._recipe), self._context)
        if made.kind != "lora":
            raise ConfigError(
                f"The weights of this search came out as {made.kind!r}, and a search needs adapters. Take out of 'weights' in "
                "the recipe what asks for whole weights.",
                code="search-weights",
            )
        place = store.path(made.artifact)
        (place / ABOUT).write_text(json.dumps({"name": made.name, "metrics": dict(made.metrics)}), encoding="utf-8")
        make_private_folder(folder.parent)
        place.rename(folder)  # the same disk: whole or not there
        shutil.rmtree(work, ignore_errors=True)

    @contextmanager
    def _renderer(self) -> Iterator[Callable[[Sequence[Message]], list[int]]]:
        """How the engine renders messages, for the parity check; the engine is stopped before training begins."""
        try:
            yield lambda messages: engine_render_ids(self._engine(), messages)
        finally:
            self.pause()


def copy_weights(home: Homeroom, key: str, draft: Path, name: str) -> Mapping[str, Any]:
    """Put the weights of a search beside its program. Their numbers: loss, steps, tokens, seconds.

    Args:
        home: The open home.
        key: Of the weights.
        draft: The model's folder.
        name: The model's, for the card.
    """
    folder = weights_folder(home.settings.home / "prompts", key)
    left_out = ("manifest.json", "recipe.yaml", ABOUT)
    shutil.copytree(folder, draft, dirs_exist_ok=True, ignore=lambda at, names: [n for n in names if n in left_out])
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    card = draft / "README.md"
    card.write_text(card.read_text(encoding="utf-8").replace(about["name"], name) + TOGETHER, encoding="utf-8")
    return {f"weights_{key}": value for key, value in about["metrics"].items() if not isinstance(value, dict)}
