"""The job that makes several runs one after another: the base is read once, and one table tells what came of each."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.app.forecasts import told
from homeroom.app.local_runs import RememberedRenderer, engine_renderer, entries, local_tuner, registered, roles_of, with_threads
from homeroom.app.tuning import training_data
from homeroom.app.work import any_there
from homeroom.errors import HomeroomError, StorageError
from homeroom.schema.jobs import OUTCOME, JobContext
from homeroom.storage.errors import disk_errors
from homeroom.storage.files import write_atomically
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import parse_recipe

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.tuning.huggingface.shared import LoadBase

FILE = "batch.json"
Row = dict[str, Any]  # JSON: what came of a run


def handle(context: JobContext, home: Homeroom) -> Mapping[str, Any]:
    """Make the runs of ``context.job`` that were not made before, each to its end, and register their models.

    A run that fails costs the others nothing. The result has a row for each run: ``made``, ``failed`` or ``not begun``.
    """
    payload = context.job.payload
    path = context.work_dir / FILE
    record = _record(path, home, str(payload["before"]))
    rows: dict[str, Row] = record["rows"]
    batch = Batch(context, home, str(payload["dataset"]))
    for number, run in enumerate(payload["runs"]):
        label = str(run["label"])
        if label in rows:
            continue
        if payload["minutes"] is not None and record["seconds"] >= 60 * float(payload["minutes"]):
            context.event(f"{label}: not begun, the batch's {payload['minutes']:g} minutes are over", level="warning")
            continue
        began = time.monotonic()
        try:
            rows[label] = batch.make(number, len(payload["runs"]), label, parse_recipe(dict(run["recipe"])))
        finally:
            record["seconds"] += time.monotonic() - began
            with disk_errors(context.work_dir):
                write_atomically(path, json.dumps(record).encode())
        context.saved(len(rows), "runs")
    told = [rows.get(str(run["label"]), {"run": run["label"], "state": "not begun", "models": []}) for run in payload["runs"]]
    models = [name for row in told for name in row["models"]]
    return {"models": models, "runs": told, "loads": batch.loads, "seconds": round(record["seconds"], 1)}


def _record(path: Path, home: Homeroom, before: str) -> dict[str, Any]:  # JSON
    """What earlier attempts of the job made; in its first attempt what the job before it made."""
    if path.exists():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    earlier = (home.jobs.get(before).result or {}).get("runs", []) if before else []
    there = [row for row in earlier if row["state"] == "made" and any_there(home, row["models"])]
    return {"rows": {row["run"]: row for row in there}, "seconds": 0.0}


def made_before_end(work_dir: Path) -> dict[str, Row]:
    """Rows by label of what a batch's job came to before it ended without a result."""
    path = work_dir / FILE
    return dict(json.loads(path.read_text(encoding="utf-8"))["rows"]) if path.exists() else {}


class Batch:
    """What makes a run of the batch, and what the runs share."""

    def __init__(self, context: JobContext, home: Homeroom, dataset: str) -> None:
        self._context, self._home = context, home
        self._dataset = home.datasets.get(dataset)
        self._renderers: dict[str, RememberedRenderer] = {}
        self._shared: Any = None  # a SharedBase: its module needs PyTorch

    @property
    def loads(self) -> int:
        """How often a base was read from the disk."""
        return int(self._shared.loads) if self._shared is not None else 0

    def make(self, number: int, count: int, label: str, recipe: Recipe) -> Row:
        """Tune and register one run; a row that says why where it failed.

        Raises:
            JobCancelled: it goes on from its checkpoint when the job does.
            StorageError: the disk or the database refused.
        """
        home, context = self._home, self._context
        folder = context.work_dir / f"run-{number:03d}"
        base = home.base_files(recipe.base)
        renderer = self._renderers.setdefault(base.identity, RememberedRenderer(engine_renderer(home, base)))
        about: Row = {"run": label, "base": base.name, "method": recipe.method}
        tuner = local_tuner(home, base, folder, context.job.id, load_base=self._base(), renderer=renderer)
        reporter = RunReporter(context, label, number, count)
        try:
            model = tuner.run(training_data(self._dataset, recipe), with_threads(home, recipe), reporter)
        except StorageError:
            raise
        except HomeroomError as error:
            context.event(f"{label}: {error.message}", level="warning")
            return {**about, "state": "failed", "error": error.message, "models": []}
        known = {made.name: made for made in home.registry.list()}  # of an attempt that died before it could say so
        won = entries(model, recipe, roles_of(recipe, self._dataset.tasks))
        models = [known.get(entry.name) or registered(home, entry) for entry in won]
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        metrics = model.metrics
        if line := told(metrics, alone=False):
            context.event(f"{label}: {line}", type=OUTCOME)
        numbers = {key: metrics.get(key) for key in ("valid_loss", "base_valid_loss", "train_loss", "steps", "seconds")}
        return {**about, "state": "made", "models": [made.name for made in models], **numbers}

    def _base(self) -> LoadBase:
        if self._shared is None:
            from homeroom.tuning.huggingface.cores import yield_cores_soon

            yield_cores_soon()  # before the next import brings PyTorch in
            from homeroom.tuning.huggingface.shared import SharedBase

            self._shared = SharedBase()
        shared: LoadBase = self._shared
        return shared


class RunReporter:
    """A `Reporter` for one run of a batch: its progress is the batch's, its messages carry its label."""

    def __init__(self, parent: JobContext, label: str, number: int, count: int) -> None:
        self._parent, self._label, self._number, self._count = parent, label, number, count

    def saved(self, mark: int, of: str = "") -> None:
        """See `Reporter`."""
        self._parent.saved(mark, of)

    def progress(self, fraction: float, message: str) -> None:
        """See `Reporter`."""
        self._parent.progress(
            (self._number + fraction) / self._count, f"{self._label} ({self._number + 1}/{self._count})  {message}"
        )

    def event(
        self,
        message: str,
        *,
        level: str = "info",
        type: str = "message",
        data: Mapping[str, Any] | None = None,  # keys are the tuner's
    ) -> None:
        """See `Reporter`. Numbers carry the label too: a chart draws each run by itself."""
        self._parent.event(f"{self._label}: {message}", level=level, type=type, data={**(data or {}), "run": self._label})

    def should_stop(self) -> bool:
        """See `Reporter`."""
        return self._parent.should_stop()
