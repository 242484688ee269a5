"""JSON Schemas: every one that is taken is kept to by the engine, and every one that is not says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from homeroom.errors import OptionError
from homeroom.models.engine_chat import EngineChatModel
from homeroom.models.json_schema import MAX_CHARACTERS, engine_schema
from homeroom.schema.chat import GenerationSettings, ReplyOptions
from homeroom.schema.examples import Message

KEPT: tuple[dict[str, Any], ...] = (
    {"type": "string", "pattern": "^\\d{2}(a|b)[^x\"]$"},
    {"type": "string", "minLength": 2, "maxLength": 3},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "uuid"},
    {"type": "integer", "minimum": -5, "maximum": 5},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "number", "minimum": 3, "maximum": 4},
    {"type": ["integer", "null"], "minimum": 3, "maximum": 4},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3},
    {"type": "array", "prefixItems": [{"const": 1}, {"type": "boolean"}], "items": False, "minItems": 2},
    {"enum": ["a", 1, None, {"b": [1]}]},
    {"const": 'é\n"'},
    {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    {"oneOf": [{"type": "boolean"}, {"type": "null"}]},
    {"allOf": [{"$ref": "#/$defs/a"}, {"minimum": 3, "maximum": 9}], "$defs": {"a": {"type": "integer"}}},
    {
        "$ref": "#/$defs/a",
        "$defs": {
            "a": {
                "type": "object",
                "properties": {"n": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}]}},
                "required": ["n"],
                "additionalProperties": False,
            }
        },
    },
    {"type": "object", "properties": {"a": {"enum": [1]}, "b": {"const": 2}}, "required": ["b"], "additionalProperties": False},
    {"type": "boolean", "x-mine": 3, "title": "T", "description": "D", "x-guidance": {"lenient": True}},
)  # fmt: skip


@pytest.mark.parametrize("schema", KEPT, ids=lambda schema: json.dumps(schema)[:60])
def test_what_is_taken_is_kept_to(engine: Any, schema: dict[str, Any]) -> None:
    model = EngineChatModel("tiny", engine.ensure)
    finished = 0
    try:
        for seed in range(4):
            settings = GenerationSettings(temperature=1.0, seed=seed, max_tokens=120, json_schema=schema)
            reply = model.complete_with([Message("user", "Why?")], settings, ReplyOptions(strict=True))
            if reply.finish_reason == "stop":
                Draft202012Validator(schema).validate(json.loads(reply.text))
                finished += 1
    finally:
        model.close()
    assert finished


@pytest.mark.parametrize(
    ("schema", "said", "always"),
    [
        ({"type": "array", "minItems": 3, "maxItems": 2}, "minItems", True),
        ({"type": "nonsense"}, "nonsense", True),
        ({"$ref": "#/$defs/nobody"}, "nobody", True),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "leads back to itself", True),
        ({"type": "string", "pattern": "^(?=a)b$"}, "look-around", True),
        ({"type": "string", "const": "x" * MAX_CHARACTERS}, "is the limit", True),
        ({"type": "object", "properties": {"a": {"uniqueItems": True}}}, "uniqueItems", False),
        ({"type": "string", "format": "phone"}, "phone", False),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf", False),
    ],
)
def test_what_is_not_taken_is_named(schema: dict[str, Any], said: str, always: bool) -> None:
    with pytest.raises(OptionError, match=said) as caught:
        engine_schema(schema, strict=True)
    assert (caught.value.code, caught.value.param) == ("json-schema", "response_format")
    if always:
        with pytest.raises(OptionError, match=said):
            engine_schema(schema, strict=False, param="text.format")
    else:
        assert engine_schema(schema, strict=False)["type" if "type" in schema else "oneOf"]


def test_a_client_does_not_set_how_its_schema_is_read() -> None:
    sneaky = {"type": "array", "uniqueItems": True, "x-guidance": {"lenient": True, "whitespace_flexible": True}}
    with pytest.raises(OptionError, match="uniqueItems"):
        engine_schema(sneaky, strict=True)
    assert engine_schema({**sneaky, "uniqueItems": False}, strict=False)["x-guidance"]["whitespace_flexible"] is False
