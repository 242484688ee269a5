"""Which prompts old and new model answer: held out from the old one's training where that can be, and told where it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeroom.app.evaluation import spread
from homeroom.app.migration.folder import MigrationFolder
from homeroom.app.migration.inventory import Inventory, Tuned
from homeroom.data.reading import load_examples, read_examples
from homeroom.errors import ConfigError, DataError, NotFoundError
from homeroom.schema.examples import Example, Item

Json = dict[str, Any]
DEFAULT_ITEMS = 40
VALIDATION, TRAINING, OWN = "validation", "training", "own"
TOLD = {
    VALIDATION: "from the job's validation file: the old model was not trained on them",
    TRAINING: "from the training file, because the job had no other: the old model has SEEN them, the new one will not",
    OWN: "from your own file",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The items, and where they come from: ``validation``, ``training`` or ``own``."""

    items: tuple[Item, ...]
    source: str

    @property
    def examples(self) -> list[Example]:
        """The examples behind the items, each once."""
        return list({item.example.id: item.example for item in self.items}.values())


def tuned_named(inventory: Inventory, name: str) -> Tuned:
    """The tuned model of that name.

    Raises:
        NotFoundError: ``migration-model``.
    """
    found = next((t for t in inventory.tuned if t.model == name), None)
    if found is None:
        known = ", ".join(t.model for t in inventory.tuned[:5]) or "none"
        raise NotFoundError(f"The inventory has no tuned model {name!r} (it has: {known}).", code="migration-model")
    return found


def job_of(folder: MigrationFolder, tuned: Tuned) -> Json:
    """The downloaded job that made a model.

    Raises:
        NotFoundError: ``migration-job``: the account does not list it, or it was not downloaded yet.
    """
    path = folder.job(tuned.job) / "job.json"
    if not tuned.job or not path.is_file():
        raise NotFoundError(
            f"The job that made {tuned.model!r} is not in {str(folder.root)!r}. Fetch it: homeroom migrate openai download "
            f"{folder.root}; if the account does not list it any more, name prompts of your own: --prompts FILE",
            code="migration-job",
        )
    return folder.read(path)


def examples_of(folder: MigrationFolder, file_id: str) -> list[Example]:
    """The readable examples of a downloaded file; records with errors are left out, as the old training took others anyway.

    Raises:
        NotFoundError: ``migration-file``: it was not downloaded, or is gone.
    """
    path = folder.file(file_id, ".jsonl")
    if not path.is_file():
        raise NotFoundError(
            f"The file {file_id!r} is not in {str(folder.root)!r}: it is gone from the account, or not fetched yet. Fetch: "
            f"homeroom migrate openai download {folder.root}",
            code="migration-file",
        )
    return list({e.id: e for e in read_examples(path).examples}.values())


def choose(folder: MigrationFolder, tuned: Tuned, limit: int | None = None, own: Path | None = None) -> Chosen:
    """Items for one model, the same at every call; what was chosen first stays.

    Args:
        folder: Of the migration.
        tuned: The model.
        limit: Most of them; None for what was chosen before, and else `DEFAULT_ITEMS`.
        own: File of one's own prompts, in place of the job's.

    Raises:
        ConfigError: ``migration-prompts``: other prompts, or another number of them, were chosen before, and answers would not
            compare.
        DataError: there is nothing to ask.
        NotFoundError: job or file is not here.
    """
    path = folder.prompts(tuned.model)
    if path.is_file():
        before = folder.read(path)
        if own is not None and before["file"] != str(own.resolve()):
            raise ConfigError(
                f"Prompts for {tuned.model!r} were chosen before ({before['source']}). Go on without --prompts, or remove "
                f"{str(path)!r} and its answers to begin anew",
                code="migration-prompts",
            )
        if limit not in (None, before.get("limit"), len(before["items"])):
            raise ConfigError(
                f"{len(before['items'])} prompts for {tuned.model!r} were chosen before, and --items {limit} asks for others. Go "
                f"on without it, or remove {str(path)!r} and its answers to begin anew",
                code="migration-prompts",
            )
        examples = [Example.from_dict(record) for record in before["examples"]]
        wanted = set(before["items"])
        return Chosen(tuple(i for e in examples for i in e.items() if i.id in wanted), str(before["source"]))
    examples, source = (load_examples(own), OWN) if own is not None else _from_job(folder, tuned)
    items = spread(examples, limit or DEFAULT_ITEMS)
    if not items:
        raise DataError(f"There is no prompt to ask {tuned.model!r}. Name some: --prompts FILE", code="no-items")
    chosen = Chosen(tuple(items), source)
    record = {
        "model": tuned.model,
        "source": source,
        "file": str(own.resolve()) if own else "",
        "limit": limit or DEFAULT_ITEMS,
        "items": [item.id for item in items],
        "examples": [example.to_dict() for example in chosen.examples],
    }
    folder.write(path, record)
    return chosen


def _from_job(folder: MigrationFolder, tuned: Tuned) -> tuple[list[Example], str]:
    job = job_of(folder, tuned)
    if job.get("validation_file"):
        return examples_of(folder, str(job["validation_file"])), VALIDATION
    return examples_of(folder, str(job["training_file"])), TRAINING
