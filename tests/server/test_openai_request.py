"""Requests that are wrong, field by field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from homeroom.server.failures import RequestError
from homeroom.server.openai_request import parse

ASK = [{"role": "user", "content": "I got 2/5."}]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 17),
        ("functions", [{"name": "f"}]),
        ("function_call", {"name": "f"}),
        ("modalities", ["audio"]),
        ("prediction", {"type": "content", "content": "x"}),
        ("moderation", {"model": "omni-moderation-latest"}),
    ],
)
def test_what_is_not_supported_is_said(field: str, value: object) -> None:
    with pytest.raises(RequestError) as caught:
        parse({"model": "m", "messages": ASK, field: value})
    assert (caught.value.code, caught.value.param) == ("unsupported-parameter", field)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"seed": "x"}, "seed"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": [1]}, "stop"),
        ({"stop": []}, "stop"),
        ({"n": True}, "n"),
        ({"functions": 0}, "functions"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens"),
        ({"tools": {}}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
            "response_format.json_schema.name",
        ),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]}, "messages[0]"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0]",
        ),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"temprature": 1}, "temprature"),
    ],
)
def test_what_is_wrong_is_named(change: dict, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse({"model": "m", "messages": ASK, **change})
    assert caught.value.param == param
    assert caught.value.message


def test_only_what_a_request_names_takes_the_place_of_what_is_saved() -> None:
    saved = GenerationSettings(temperature=0.5, max_tokens=64, stop=("A",), seed=3)
    asked = parse({"model": "m", "messages": ASK, "temperature": 0, "max_tokens": 9})
    assert asked.settings(saved) == GenerationSettings(temperature=0.0, max_tokens=9, stop=("A",), seed=3)
    assert asked.settings(saved, choice=2).seed == 5
    assert parse({"model": "m", "messages": ASK, "max_completion_tokens": 5}).settings(saved).max_tokens == 5
    assert asked.prompt("") == [Message("user", "I got 2/5.")]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = st.sampled_from(
    [
        "model",
        "messages",
        "temperature",
        "top_p",
        "max_tokens",
        "stop",
        "seed",
        "stream",
        "stream_options",
        "response_format",
        "n",
        "tools",
        "tool_choice",
        "logit_bias",
        "logprobs",
        "metadata",
    ]
)


@given(st.dictionaries(_FIELDS, _JSON, max_size=6), st.booleans())
def test_any_json_is_taken_or_refused_with_a_reason(body: dict, complete: bool) -> None:
    if complete:
        body = {"model": "m", "messages": ASK, **body}
    try:
        parse(body)
    except RequestError as error:
        assert error.message
