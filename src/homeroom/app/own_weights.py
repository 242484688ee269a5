"""Tuned models that have whole weights of their own, not an adapter: to an engine each of them is a base of its own."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from homeroom.models.folder import read_json
from homeroom.schema.models import BaseFiles, TunedModel

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def own_identity(model: TunedModel) -> str:
    """What engines know the weights of a model of kind ``full`` by: the artifact's id is a hash of their bytes."""
    return hashlib.sha256(f"full {model.artifact}".encode()).hexdigest()


def own_files(home: Homeroom, model: TunedModel) -> BaseFiles:
    """The weights and the engine's file of a model of kind ``full``.

    Raises:
        NotFoundError: ``artifact-not-found``.
    """
    folder = home.artifacts.path(model.artifact)
    context = int(read_json(folder / "weights" / "config.json")["max_position_embeddings"])
    return BaseFiles(model.name, folder, folder / "weights", folder / "model.gguf", own_identity(model), context)


def served_identity(model: TunedModel) -> str:
    """Identity of what an engine must hold to answer as ``model``: its base's, or its own."""
    return own_identity(model) if model.kind == "full" else model.base_identity
