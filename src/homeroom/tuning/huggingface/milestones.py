"""Adapters that a run gives out before it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from homeroom.errors import StorageError
from homeroom.models.lora_gguf import adapter_to_gguf
from homeroom.schema.jobs import Reporter
from homeroom.schema.models import BaseFiles
from homeroom.storage.artifacts import ArtifactStore
from homeroom.tuning.huggingface.model import LoraModel, save_adapter
from homeroom.tuning.huggingface.trainer import Publish, Row


class Milestones(Protocol):
    """Takes adapters that a run gives out before it ends: at the end of each epoch, and where validation was never better."""

    def has(self, step: int) -> bool:
        """Whether the step was taken before, by an attempt that this one continues."""
        ...

    def add(self, model: str, step: int, artifact: str, numbers: Mapping[str, Any], *, best: bool) -> None:
        """Take the adapter of a step: an artifact with PEFT's files and the engine's.

        Args:
            model: Name of the model that the run will end with.
            step: Steps done.
            artifact: Where the adapter is.
            numbers: The step's row of the history.
            best: Whether validation was never better.
        """
        ...


def publisher(
    model: LoraModel, base: BaseFiles, name: str, artifacts: ArtifactStore, taker: Milestones, reporter: Reporter
) -> Publish:
    """What the loop calls at a milestone: it writes the adapter and hands it on. A full disk costs the milestone, not the run."""

    def publish(step: int, row: Row, best: bool) -> None:
        if taker.has(step):
            return
        draft = artifacts.write("checkpoint")
        try:
            with draft:
                save_adapter(model, draft.folder, base)
                adapter_to_gguf(draft.folder, base, draft.folder / "adapter.gguf")
                about = {"model": name, "step": step}  # makes the artifact this run's alone
                (draft / "checkpoint.json").write_text(json.dumps(about), encoding="utf-8")
            taker.add(name, step, draft.id, asdict(row), best=best)
        except StorageError as error:
            if error.code != "no-space":
                raise
            reporter.event(f"The checkpoint of step {step} was not kept: {error.message}", level="warning")

    return publish
