"""OpenAI's own description of its API, as the judge of our answers. Read from HOMEROOM_SHARED_DATA, never copied here."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

DESCRIPTION = Path("openai_openapi") / "openapi.cut.json"
ROOT = "openapi"


def assert_valid(response: Any, path: str, method: str, status: int = 200, *, media_type: str = "application/json") -> None:
    """Fail unless ``response`` is what the description says of that operation; all differences are shown.

    Args:
        response: What came: JSON data, or an object of the SDK. Of one object of a stream give `assert_is` its schema's name.
        path: As the description writes it: ``/fine_tuning/jobs/{fine_tuning_job_id}``.
        method: ``get``, ``post``, ``delete``.
        status: 200, or any status of an error, whose body is then checked to be OpenAI's error object.
        media_type: Of the answer.
    """
    document = description()
    if status >= 400:
        assert_is(response, "ErrorResponse")
        return
    pointer = f"/paths/{_escaped(path)}/{method.lower()}/responses/{status}/content/{_escaped(media_type)}/schema"
    assert _at(document, pointer) is not None, f"the description has no {method.upper()} {path} with {status} {media_type}"
    _check(response, pointer)


def assert_is(value: Any, schema: str) -> None:
    """Fail unless ``value`` is one of the description's ``#/components/schemas/<schema>``."""
    _check(value, f"/components/schemas/{schema}")


@cache
def description() -> dict[str, Any]:
    """The whole description; the test is skipped where it is not at hand."""
    folder = os.environ.get("HOMEROOM_SHARED_DATA", "")
    path = Path(folder) / DESCRIPTION
    if not folder or not path.is_file():
        pytest.skip(f"HOMEROOM_SHARED_DATA names no folder with {DESCRIPTION}")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def operations() -> list[tuple[str, str]]:
    """Method and path of every operation of the description."""
    return [(method, path) for path, item in description()["paths"].items() for method in item if method in _METHODS]


_METHODS = ("get", "post", "put", "patch", "delete")


def _check(value: Any, pointer: str) -> None:
    data = plain(value)
    found = sorted(_validator(pointer).iter_errors(data), key=lambda error: list(map(str, error.absolute_path)))
    told = [f"{'/'.join(map(str, error.absolute_path)) or '(whole)'}: {error.message[:300]}" for error in found]
    assert not told, f"not what {pointer} says:\n" + "\n".join(told) + f"\n{json.dumps(data, indent=1)[:2000]}"


def plain(value: Any) -> Any:
    """JSON data of a response, of an object of the SDK, or of JSON data."""
    if hasattr(value, "model_dump"):
        return json.loads(value.model_dump_json(exclude_unset=True, by_alias=True))
    if hasattr(value, "json") and callable(value.json):
        return value.json()
    return json.loads(json.dumps(value))


@cache
def _validator(pointer: str) -> Any:
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT202012

    resource = Resource.from_contents(_absolute(description()), default_specification=DRAFT202012)
    registry: Any = Registry().with_resource(ROOT, resource)
    return Draft202012Validator({"$ref": f"{ROOT}#{pointer}"}, registry=registry)


def _absolute(value: Any) -> Any:
    """References of the document as references to it; ``nullable`` and ``exclusiveMinimum`` of OpenAPI 3.0 as JSON Schema's."""
    if isinstance(value, Mapping):
        record = {key: _absolute(entry) for key, entry in value.items()}
        if isinstance(record.get("$ref"), str) and record["$ref"].startswith("#"):
            record["$ref"] = ROOT + record["$ref"]
        for bound, edge in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if isinstance(record.get(bound), bool) and record.pop(bound) and edge in record:
                record[bound] = record.pop(edge)
        if record.pop("nullable", None) is True:
            return {"anyOf": [record, {"type": "null"}]}
        return record
    return [_absolute(entry) for entry in value] if isinstance(value, list) else value


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _at(document: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(document, Mapping) or key not in document:
            return None
        document = document[key]
    return document
