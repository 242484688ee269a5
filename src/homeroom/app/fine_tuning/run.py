"""The job behind a fine-tuning job of the API: from uploaded files to a registered model and its result file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.app.fine_tuning.bases import bases_of
from homeroom.app.fine_tuning.checkpoints import CheckpointStore
from homeroom.app.fine_tuning.files import CONTENT, FileStore
from homeroom.app.fine_tuning.hyperparameters import Hyperparameters, recipe_for
from homeroom.app.fine_tuning.jobs import ORDER, FineTuningJobs
from homeroom.app.fine_tuning.records import VALIDATING, Json
from homeroom.app.fine_tuning.results import FILENAME, result_csv
from homeroom.app.fine_tuning.training_file import read_training_file
from homeroom.data.datasets import Dataset
from homeroom.errors import ConflictError
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.examples import Example, Message, Split
from homeroom.schema.jobs import JobCancelled, JobContext
from homeroom.schema.models import BaseFiles, TunedModel
from homeroom.storage import Scope
from homeroom.storage.files import write_atomically
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import parse_recipe

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

PREPARED = "ordered.json"
_TOOLS = ("tools", "functions")


@dataclass(frozen=True, slots=True)
class Ordered:
    """What an order comes to: the dataset version of its files, and the recipe of its hyperparameters."""

    dataset: Dataset
    recipe: Recipe


def prepare(context: JobContext, home: Homeroom) -> Ordered:
    """Make the dataset and the recipe of the job's order, or find those that an earlier attempt made.

    Raises:
        ConflictError: ``base-mismatch``: the base is another one than when the job was ordered.
        DataError: the files cannot train this base.
        JobCancelled: the job was told to stop.
    """
    order: Json = context.job.payload[ORDER]
    store_of(home, order).record(order, context.job)
    base = home.base_files(str(order["base"]))
    if base.identity != context.job.payload["base_identity"]:
        raise ConflictError(
            f"The base {base.name!r} is another version than when this job was ordered. Order it again", code="base-mismatch"
        )
    kept = context.work_dir / PREPARED
    if kept.exists():
        record = json.loads(kept.read_text("utf-8"))
        context.progress(context.job.progress, f"going on with {base.name}")
        return Ordered(home.datasets.get(record["dataset"]), parse_recipe(record["recipe"]))
    context.progress(0.0, VALIDATING)
    context.event(f"Validating training file: {order['training']['file']}")
    ordered = _made(context, home, order, base)
    record = {"dataset": ordered.dataset.info.id, "recipe": ordered.recipe.to_dict()}
    write_atomically(kept, json.dumps(record).encode())
    context.event("Files validated.")
    context.event(_base_told(order, base))
    context.progress(0.0, f"loading {base.name}")
    return ordered


class JobMilestones:
    """Records the checkpoints that a job's run gives out, and says so."""

    def __init__(self, context: JobContext, home: Homeroom) -> None:
        order: Json = context.job.payload[ORDER]
        self._context = context
        self._store = CheckpointStore(home.database, home.artifacts, scope=Scope(*order["scope"]))

    def has(self, step: int) -> bool:
        """Whether the step was recorded before."""
        return self._store.has(self._context.job.id, step)

    def add(self, model: str, step: int, artifact: str, numbers: Mapping[str, Any], *, best: bool) -> None:
        """Record the adapter of a step."""
        job = self._context.job
        identity = str(job.payload["base_identity"])
        made = self._store.add(job.id, model, step, artifact, numbers, base_identity=identity, best=best)
        self._context.event(f"Checkpoint created at step {step}: {made.model_name}", data={"step": step})


def finish(context: JobContext, home: Homeroom, model: TunedModel) -> Mapping[str, Any]:  # the job's result, beside the model's
    """Keep the result file, and say what came of the job. A second time changes nothing."""
    order: Json = context.job.payload[ORDER]
    file_id = f"file-{hashlib.sha256(context.job.id.encode()).hexdigest()[:12]}"
    history = home.artifacts.path(model.artifact) / "history.csv"
    files_of(home, Scope(*order["scope"])).add_result(file_id, FILENAME, result_csv(history))
    context.event(f"New fine-tuned model created: {model.name}")
    context.event("The job has successfully completed")
    return {"result_files": [file_id]}


def files_of(home: Homeroom, scope: Scope) -> FileStore:
    """The files of a scope."""
    return FileStore(home.database, home.artifacts, scope=scope, max_bytes=home.settings.max_upload_mb * 1_000_000)


def jobs_of(home: Homeroom, scope: Scope) -> FineTuningJobs:
    """The fine-tuning jobs of a scope."""
    checkpoints = CheckpointStore(home.database, home.artifacts, scope=scope)
    return FineTuningJobs(home.database, files_of(home, scope), checkpoints, bases_of(home), scope=scope)


def store_of(home: Homeroom, order: Json) -> FineTuningJobs:
    """The fine-tuning jobs of whoever ordered this one."""
    return jobs_of(home, Scope(*order["scope"]))


def _made(context: JobContext, home: Homeroom, order: Json, base: BaseFiles) -> Ordered:
    training = _examples(home, order["training"])
    held_out = _examples(home, order["validation"]) if order["validation"] else []
    trained = {example.id for example in training}
    validation = [example for example in held_out if example.id not in trained]
    if len(validation) < len(held_out):
        count = len(held_out) - len(validation)
        context.event(f"{count} validation examples are also in the training file and are left out.", level="warning")
    if len(trained) < len(training):
        context.event(f"{len(training) - len(trained)} training examples are there more than once; each is taken once.",
                      level="warning")  # fmt: skip
    if offered := sum(any(example.extra.get(key) for key in _TOOLS) for example in training):
        context.event(
            f"{offered} training examples offer tools and call none: the tools are not shown in training.", level="warning"
        )
    assigned: dict[str, Split] = {**{e.id: "validation" for e in validation}, **{e.id: "train" for e in training}}
    name = f"api-{order['training']['file']}"
    dataset = home.datasets.create(name, [*training, *validation], assigned=assigned, note=f"Uploaded for {order['id']}.")
    if context.should_stop():
        raise JobCancelled
    return Ordered(dataset, _recipe(home, order, base, dataset.examples))


def _recipe(home: Homeroom, order: Json, base: BaseFiles, examples: Sequence[Example]) -> Recipe:
    request = order["request"]
    limit = min(base.context_tokens, home.settings.engine_context)
    return recipe_for(
        Hyperparameters(**request["hyperparameters"]),
        base=base.name,
        parameters_m=int(order["parameters_m"]),
        method=request["asked"]["method"],
        suffix=request["asked"]["suffix"],
        seed=int(request["seed"]),
        longest_tokens=min(limit, longest_tokens(ChatTokenizer(base.weights), examples)),
    )


def longest_tokens(tokenizer: ChatTokenizer, examples: Sequence[Example]) -> int:
    """Tokens of the longest conversation, those that end in a rejected reply included."""
    longest = 0
    for example in examples:
        for messages in (example.messages, _rejected(example)):
            longest = max(longest, len(tokenizer.encode(tokenizer.render(messages))) if messages else 0)
    return longest


def _rejected(example: Example) -> tuple[Message, ...]:
    turns = example.extra.get("rejected")
    if not isinstance(turns, list):
        return ()
    return (*example.messages[:-1], *(Message.from_dict(turn) for turn in turns))


def _examples(home: Homeroom, file: Json) -> list[Example]:
    path: Path = home.artifacts.path(str(file["artifact"])) / CONTENT
    return list(read_training_file(path))


def _base_told(order: Json, base: BaseFiles) -> str:
    """Which weights are really trained, for whoever asked for a model of OpenAI's."""
    if order["model"] == base.name:
        return f"Fine-tuning {base.name!r} on this machine."
    return f"{order['model']!r} stands for {base.name!r} here: that is the base that is fine-tuned, on this machine."
