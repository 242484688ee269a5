"""The models of OpenAI's API: listed, looked at, and those that were tuned here deleted."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from homeroom.app.fine_tuning.errors import MissingError
from homeroom.chat.directory import ModelCard
from homeroom.errors import NotFoundError
from homeroom.server.context import services

blueprint = Blueprint("openai_models", __name__, url_prefix="/v1")


@blueprint.get("/models")
def list_models() -> Response:
    """Every model that can be asked, the default first."""
    chats = [_record(card) for card in services().models.list() if card.here]
    return jsonify({"object": "list", "data": [*chats, *(_embedder(card.name) for card in services().embedders.list())]})


@blueprint.get("/models/<path:name>")
def get_model(name: str) -> Response:
    """One model."""
    if any(card.name == name for card in services().embedders.list()):
        return jsonify(_embedder(name))
    return jsonify(_record(model_card(name)))


@blueprint.delete("/models/<path:name>")
def delete_model(name: str) -> Response:
    """Delete a model that was tuned here, and its checkpoints."""
    card = model_card(name)
    services().models.delete(card.name)
    return jsonify({"id": card.name, "object": "model", "deleted": True})


def model_card(name: str) -> ModelCard:
    """The card of the model that a request names.

    Raises:
        MissingError: no model has that name (``model-not-found``).
    """
    try:
        return services().models.card(name)
    except NotFoundError as error:
        raise MissingError(error.message, param="model", code=error.code) from None


def _embedder(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "homeroom"}


def _record(card: ModelCard) -> dict[str, Any]:
    owner = "endpoint" if card.kind == "endpoint" else "homeroom"
    return {"id": card.name, "object": "model", "created": int(card.created_at), "owned_by": owner}
