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


def _refused(why: str, param: str) -> OptionError:
    return OptionError(f"the JSON Schema cannot be kept to: {why[:300]}", param=param, code="json-schema")
