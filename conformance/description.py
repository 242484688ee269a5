"""OpenAI's description of its API, cut to what the server serves, with what has to be said beside it.

It is read from the folder that HOMEROOM_SHARED_DATA names, and never copied here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FILE = Path("openai_openapi") / "openapi.cut.json"
EVENT = "x-event-schema"
METHODS = ("get", "post", "put", "patch", "delete")
AMENDMENTS = (
    "every operation may answer 4XX with `ErrorResponse`: the description has that object and says nowhere when it comes",
    "every operation needs a key (HTTP bearer): the description as it was cut says nothing of keys",
    "a file's content is `application/octet-stream`: the description says a JSON text, which no client of OpenAI's expects",
    "a stream of `/completions` has its objects as events, with a `finish_reason` of null until the end: no stream is described",
    "an embedding may be a text: the description lets a request ask for base64 and describes the answer as numbers alone",
    "`nullable` and a true `exclusiveMinimum`, which OpenAPI 3.1 no longer knows, are written as it knows them",
)
"""What was changed in the description before anything was judged by it."""

Json = dict[str, Any]


def find() -> Path | None:
    """The file, where it is at hand."""
    folder = os.environ.get("HOMEROOM_SHARED_DATA", "")
    path = Path(folder) / FILE
    return path if folder and path.is_file() else None


def load(path: Path, routes: Iterable[str]) -> Json:
    """The description of what is served, amended as `AMENDMENTS` says.

    Args:
        path: The whole description.
        routes: As `homeroom.server.policy.ROUTES` names them: ``GET /v1/files/<file_id>``.
    """
    document: Json = _of_today(json.loads(path.read_text("utf-8")))
    served = {_shape(route) for route in routes}
    refused = {
        "description": "An error.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}},
    }
    paths: Json = {}
    for address, item in document["paths"].items():
        kept = {
            name: part for name, part in item.items() if name not in METHODS or _shape(f"{name.upper()} /v1{address}") in served
        }
        for name, operation in kept.items():
            if name in METHODS:
                operation["responses"]["4XX"] = refused
        if any(name in METHODS for name in kept):
            paths[address] = kept
    document["paths"] = paths
    content = paths.get("/files/{file_id}/content", {}).get("get")
    if content:
        content["responses"]["200"]["content"] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    _stream_completions(document)
    vector = document["components"]["schemas"]["Embedding"]["properties"]
    vector["embedding"] = {"anyOf": [vector["embedding"], {"type": "string"}]}
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    return document


def _stream_completions(document: Json) -> None:
    operation = document["paths"].get("/completions", {}).get("post")
    if not operation:
        return
    reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    piece = json.loads(json.dumps(document["components"]["schemas"][reference.rpartition("/")[2]]))
    choice = piece["properties"]["choices"]["items"]["properties"]
    choice["finish_reason"] = {"anyOf": [choice["finish_reason"], {"type": "null"}]}
    operation["responses"]["200"]["content"]["text/event-stream"] = {"schema": piece}


def judged_apart(document: Json) -> Json:
    """The description with the schemas of streams under `EVENT`: schemathesis takes them for the lines' own."""
    copy: Json = json.loads(json.dumps(document))
    for method, path in operations(copy):
        for response in copy["paths"][path][method]["responses"].values():
            stream = response.get("content", {}).get("text/event-stream")
            if stream is not None and "schema" in stream:
                stream[EVENT] = stream.pop("schema")
    return copy


def operations(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Method and path of each operation: ``("get", "/files/{file_id}")``."""
    return [(name, address) for address, item in document["paths"].items() for name in item if name in METHODS]


def _shape(route: str) -> str:
    return re.sub(r"<[^>]*>|\{[^}]*\}", "*", route)


def _of_today(value: Any) -> Any:
    if isinstance(value, list):
        return [_of_today(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    record = {key: _of_today(entry) for key, entry in value.items()}
    for bound, edge in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(record.get(bound), bool) and record.pop(bound) and edge in record:
            record[bound] = record.pop(edge)
    if record.get("nullable") in (True, False) and record.pop("nullable"):
        return {"anyOf": [record, {"type": "null"}]}
    return record
