"""OpenAI's embeddings API. Source: the API reference of "Create embeddings"."""

from __future__ import annotations

import base64
import struct
from contextlib import ExitStack
from typing import Any

from flask import Blueprint, Response, jsonify

from homeroom.schema.embeddings import Vector
from homeroom.server.context import context, services
from homeroom.server.failures import RequestError
from homeroom.server.openai_fields import check_fields, model_name, one_of, optional_whole, short, text
from homeroom.server.requests import json_object

blueprint = Blueprint("openai_embeddings", __name__, url_prefix="/v1")

MAX_TEXTS = 2048
MAX_DIMENSIONS = 100_000
_KNOWN = frozenset({"model", "input", "dimensions", "encoding_format", "user"})


@blueprint.post("/embeddings")
def create_embeddings() -> Response:
    """One vector for each text, in order."""
    body = json_object()
    check_fields(body, _KNOWN, {})
    name = model_name(body)
    texts = _texts(body.get("input"))
    dimensions = optional_whole(body, "dimensions", 1, MAX_DIMENSIONS)
    packed = one_of(body.get("encoding_format") or "float", "encoding_format", ("float", "base64")) == "base64"
    if body.get("user") is not None:
        text(body["user"], "user")
    embedder = services().embedders.embedder(name)
    with ExitStack() as undo:
        undo.callback(context().replies.enter())
        found = embedder.embed(texts, dimensions=dimensions)
    return jsonify(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector}
                for index, vector in enumerate(found.vectors)
            ],
            "model": embedder.name,
            "usage": {"prompt_tokens": found.prompt_tokens, "total_tokens": found.prompt_tokens},
        }
    )


def _packed(vector: Vector) -> str:
    """Base64 of float32, little-endian: what the SDK asks for unless it is told otherwise."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")


def _texts(value: Any) -> list[str]:  # JSON of a client
    """The texts of ``input``: one, or a list.

    Raises:
        RequestError: it holds anything else; ``tokens-refused`` for numbers of tokens.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise RequestError(f"'input' must be a text or a list of texts, not {short(value)}", param="input")
    if all(_is_number(entry) or isinstance(entry, list) for entry in texts):
        raise RequestError(
            "'input' holds numbers of tokens, which differ from model to model: here they would mean other words. Send texts "
            "(with langchain-openai: OpenAIEmbeddings(check_embedding_ctx_length=False))",
            param="input",
            code="tokens-refused",
        )
    if len(texts) > MAX_TEXTS:
        raise RequestError(f"'input' has {len(texts)} texts; {MAX_TEXTS} is the limit", param="input")
    for index, entry in enumerate(texts):
        if not isinstance(entry, str) or not entry:
            where = "input" if isinstance(value, str) else f"input[{index}]"
            raise RequestError(f"'{where}' must be a text that is not empty, not {short(entry)}", param=where)
    return texts


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
