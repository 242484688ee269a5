"""JSON Schemas that the embedded engine can keep a reply to.

The engine turns a schema into a grammar with llguidance, and when that fails it lets the model write anything, in silence. So the
same library looks at the schema before it is sent. Where a reply must follow the schema in every part (``strict``), keywords that
the library has no rule for are refused; otherwise they are left out, as OpenAI leaves them to the model. What is wrong in itself
is always refused.

Source: https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from homeroom.errors import MissingExtraError, OptionError

# JSON of a client.
Json = dict[str, Any]

MAX_CHARACTERS = 100_000
"""The longest schema: one of this length takes about half a second to look through."""

MAX_TOOL_PARTS = 256
"""Schemas within the schema of a tool's arguments."""

_SAID = ("type", "enum", "const", "required", "$ref", "title", "description")  # of what tools take, as it is
_OPTIONS = "x-guidance"
# Small models that may write white space between any two parts write nothing else for a long time.
_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def engine_schema(schema: Mapping[str, Any], *, strict: bool, param: str = "response_format") -> Json:
    """``schema`` as the engine takes it.

    Args:
        schema: A JSON Schema.
        strict: Refuse keywords that cannot be kept to, in place of leaving them out.
        param: What the error names.

    Raises:
        OptionError: ``json-schema``, with what in the schema cannot be kept to.
        MissingExtraError: llguidance is not installed.
    """
    try:
        from llguidance import LLMatcher, LLTokenizer
    except ImportError as error:
        raise MissingExtraError("JSON Schema output", "llguidance", "local") from error
    sent = {**schema, _OPTIONS: {**_LAYOUT, "lenient": not strict, "coerce_one_of": not strict}}
    text = json.dumps(sent)
    if len(text) > MAX_CHARACTERS:
        raise _refused(f"it has {len(text):,} characters, and {MAX_CHARACTERS:,} is the limit", param)
    matcher = LLMatcher(LLTokenizer("byte"), LLMatcher.grammar_from_json_schema(text), log_level=0)
    if not matcher.is_error():
        matcher.compute_logit_bias()  # some grammars, such as a reference to itself, fail only when they are used
        if not matcher.is_error():
            return sent
        raise _refused("it leads back to itself before anything of the reply is said", param)
    raise _refused(" ".join(matcher.get_error().split()), param)


def tool_schema(schema: Mapping[str, Any], *, param: str) -> Json:
    """The shape of a tool's arguments: types, names and choices, without lengths, bounds and patterns.

    Calls of tools are kept to their form by llama.cpp's own grammar. Bounds that contradict each other, nested repetitions and
    many properties make it compute for ever, and everybody wait; so it never sees the first two, and few of the last.

    Args:
        schema: The JSON Schema of a function's parameters.
        param: What the error names.

    Raises:
        OptionError: ``json-schema``: it has more parts than the engine takes.
    """
    parts = 0

    def shape(part: object) -> object:
        nonlocal parts
        if not isinstance(part, Mapping):
            return part
        parts += 1
        if parts > MAX_TOOL_PARTS:
            raise _refused(f"it has more than {MAX_TOOL_PARTS} parts", param)
        kept = {name: part[name] for name in _SAID if name in part}
        kept |= {name: shape(part[name]) for name in ("items", "additionalProperties") if name in part}
        for name in ("properties", "$defs", "definitions"):
            if isinstance(part.get(name), Mapping):
                kept[name] = {key: shape(value) for key, value in part[name].items()}
        for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
            if isinstance(part.get(name), list):
                kept[name] = [shape(value) for value in part[name]]
        return kept

    whole = shape(schema)
    assert isinstance(whole, dict)
    return whole


def _refused(why: str, param: str) -> OptionError:
    return OptionError(f"the JSON Schema cannot be kept to: {why[:300]}", param=param, code="json-schema")
