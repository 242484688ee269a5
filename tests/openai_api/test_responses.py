"""Responses through the official SDK. What comes is checked against the SDK's types, which are made from OpenAI's description."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from homeroom.models import tiny
from tests.openai_api.conftest import Server
from tests.openai_api.oracle import assert_is

ASK = "What is half of six?"
LIMIT = 12
EVENTS = TypeAdapter[Any](ResponseStreamEvent)
SCHEMA = {
    "type": "object",
    "properties": {"grade": {"type": "string", "enum": ["low", "high"]}},
    "required": ["grade"],
    "additionalProperties": False,
}
BEGINNING = ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
END = ["response.output_text.done", "response.content_part.done", "response.output_item.done"]


def ask(client: openai.OpenAI, **request: Any) -> Response:
    """A response whose data were checked against the description, every field."""
    raw = client.responses.with_raw_response.create(**{"model": tiny.NAME, "input": ASK, "max_output_tokens": LIMIT, **request})
    return checked(raw.http_response.json())


def checked(data: dict[str, Any]) -> Response:
    found = TypeAdapter(Response).validate_python(data, strict=False)
    unknown = data.keys() - Response.model_fields.keys()
    assert unknown <= {"store"}, f"the description has no {unknown}"
    return found


def events(server: Server, **request: Any) -> list[dict[str, Any]]:
    """The events as they come over the wire, each checked against the description."""
    body = {"model": tiny.NAME, "input": ASK, "max_output_tokens": LIMIT, "stream": True, **request}
    found = []
    with httpx.stream("POST", f"{server.base_url}/responses", json=body, timeout=60) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        name = ""
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                record = json.loads(line.removeprefix("data: "))
                assert record["type"] == name
                EVENTS.validate_python(record)
                found.append(record)
    return found


def refusal(client: openai.OpenAI, **request: Any) -> openai.BadRequestError:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(**{"model": tiny.NAME, "input": ASK, **request})
    assert_is(caught.value.response.json(), "ErrorResponse")
    return caught.value


def test_a_text_is_answered(client: openai.OpenAI) -> None:
    answer = ask(client)
    assert answer.id.startswith("resp_")
    assert answer.model == tiny.NAME
    (item,) = answer.output
    assert item.type == "message"
    assert item.role == "assistant"
    assert answer.output_text
    assert answer.usage is not None
    assert answer.usage.output_tokens == LIMIT
    assert answer.usage.total_tokens == answer.usage.input_tokens + LIMIT
    assert (answer.status, item.status) == ("incomplete", "incomplete")
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"


def test_it_says_what_the_chat_says(client: openai.OpenAI) -> None:
    chat = client.chat.completions.create(
        model=tiny.NAME,
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": ASK}],
        max_tokens=LIMIT,
        temperature=0,
    )
    answer = ask(client, instructions="Be brief.", temperature=0)
    assert answer.output_text == chat.choices[0].message.content
    assert answer.usage is not None
    assert chat.usage is not None
    assert answer.usage.input_tokens == chat.usage.prompt_tokens
    assert answer.instructions == "Be brief."
    assert ask(client, temperature=0).output_text != answer.output_text, "instructions were read"


def test_turns_can_be_sent_in_every_form(client: openai.OpenAI) -> None:
    first = ask(client, temperature=0)
    plain = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": ASK},
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "Why do you think so?"},
    ]
    parts = [
        {
            "type": "message",
            "role": "system",
            "content": [{"type": "input_text", "text": "Be "}, {"type": "input_text", "text": "brief."}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": ASK}]},
        first.output[0].model_dump(exclude_none=True),
        {"role": "user", "content": "Why do you think so?"},
    ]
    one, other = ask(client, input=plain, temperature=0), ask(client, input=parts, temperature=0)
    assert one.output_text == other.output_text
    assert one.usage == other.usage
    assert one.usage is not None
    assert first.usage is not None
    assert one.usage.input_tokens > first.usage.input_tokens + LIMIT


def test_what_was_asked_for_is_told_back(client: openai.OpenAI) -> None:
    answer = ask(client, metadata={"class": "4b"}, user="ana", temperature=0.5, top_p=0.9, store=False, parallel_tool_calls=False)
    assert answer.metadata == {"class": "4b"}
    assert (answer.user, answer.temperature, answer.top_p, answer.max_output_tokens) == ("ana", 0.5, 0.9, LIMIT)
    assert answer.parallel_tool_calls is False
    assert answer.previous_response_id is None


def test_a_reply_that_ends_by_itself_is_completed(client: openai.OpenAI) -> None:
    answer = ask(
        client, text={"format": {"type": "json_schema", "name": "grade", "schema": SCHEMA, "strict": True}}, max_output_tokens=40
    )
    assert json.loads(answer.output_text)["grade"] in ("low", "high")
    assert (answer.status, answer.output[0].status) == ("completed", "completed")  # type: ignore[union-attr]
    assert answer.incomplete_details is None
    assert answer.completed_at is not None
    assert answer.text is not None
    assert answer.text.format is not None
    assert answer.text.format.type == "json_schema"
    assert answer.text.format.schema_ == SCHEMA


def test_a_class_of_the_caller_s_is_filled(client: openai.OpenAI) -> None:
    class Grade(BaseModel):
        right: bool

    answer = client.responses.parse(model=tiny.NAME, input=ASK, text_format=Grade, max_output_tokens=40)
    assert isinstance(answer.output_parsed, Grade)


def test_events_come_in_openai_s_order(server: Server, client: openai.OpenAI) -> None:
    found = events(server, temperature=0)
    kinds = [event["type"] for event in found]
    deltas = [event for event in found if event["type"] == "response.output_text.delta"]
    assert deltas  # how many depends on how fast the pieces came
    assert kinds == [*BEGINNING, *["response.output_text.delta"] * len(deltas), *END, "response.incomplete"]
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    last = found[-1]["response"]
    text = "".join(event["delta"] for event in deltas)
    assert text == ask(client, temperature=0).output_text
    assert found[-4]["text"] == found[-3]["part"]["text"] == last["output"][0]["content"][0]["text"] == text
    assert found[-2]["item"] == last["output"][0]
    assert last["usage"]["output_tokens"] == LIMIT
    assert {event["item_id"] for event in deltas} == {last["output"][0]["id"]}
    assert {found[0]["response"]["id"], found[1]["response"]["id"], last["id"]} == {last["id"]}
    assert (found[0]["response"]["status"], found[0]["response"]["output"]) == ("in_progress", [])


def test_the_sdk_follows_a_stream_to_the_end(client: openai.OpenAI) -> None:
    form = {"format": {"type": "json_schema", "name": "grade", "schema": SCHEMA, "strict": True}}
    with client.responses.stream(model=tiny.NAME, input=ASK, text=form, max_output_tokens=40) as stream:  # type: ignore[arg-type]
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[-1] == "response.completed"
    assert json.loads(final.output_text)["grade"] in ("low", "high")
    assert final.status == "completed"


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"store": True}, "store"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"reasoning": {"effort": "high"}}, "reasoning"),
        ({"truncation": "auto"}, "truncation"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
        ({"input": []}, "input"),
        ({"input": 3}, "input"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "3"}]}, "input[0]"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content[0]"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options"),
        ({"extra_body": {"messages": []}}, "messages"),
    ],
)
def test_anything_else_is_refused_by_name(client: openai.OpenAI, request_: dict[str, Any], param: str) -> None:
    assert refusal(client, **request_).param == param


def test_a_schema_that_cannot_be_kept_to_is_refused_under_its_own_name(client: openai.OpenAI) -> None:
    form = {
        "type": "json_schema",
        "name": "x",
        "schema": {"type": "object", "minProperties": -1, "$ref": "#/nowhere"},
        "strict": True,
    }
    for stream in (False, True):
        assert refusal(client, text={"format": form}, stream=stream).param == "text.format"


def test_an_unknown_model_and_a_prompt_that_is_too_long_have_openai_s_codes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="gpt-nowhere", input=ASK)
    assert caught.value.code == "model_not_found"
    assert refusal(client, input="half " * 3000).code == "context_length_exceeded"
    assert refusal(client, input="half " * 3000, stream=True).code == "context_length_exceeded"


# --- many requests at random: the description that schemathesis reads was cut without this operation, so its judge is the SDK

REQUESTS = 400
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 0.5, 1e308, 2**63, "", " ", "auto", "x" * 5000, "\u0000", "\U0001f600", [], {}, [None], [[]], [{}],
    {"type": "x"}, {"a": {"b": [1]}}, "ft:none", [{"role": "user", "content": "Why?"}], [{"role": "wizard", "content": 1}],
    [{"type": "function_call_output", "output": "4"}], {"format": {"type": "json_object"}}, {"format": {"type": "json_schema"}},
    {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}}},
    {"effort": "low"}, {"id": "resp_1"},
)  # fmt: skip
SOUND: dict[str, tuple[Any, ...]] = {
    "instructions": (None, "Be brief."),
    "temperature": (0, 0.7, 2, None),
    "top_p": (0.1, 1, None),
    "metadata": ({}, {"class": "4b"}, None),
    "text": ({}, {"format": {"type": "text"}}, {"format": {"type": "json_object"}}),
    "store": (False, None),
    "truncation": ("disabled", None),
    "parallel_tool_calls": (True, False),
    "user": ("ana",),
    "input": (ASK, [{"role": "user", "content": ASK}], [{"role": "user", "content": [{"type": "input_text", "text": ASK}]}]),
}
REFUSED = (
    "tools",
    "include",
    "reasoning",
    "previous_response_id",
    "background",
    "conversation",
    "prompt",
    "stream_options",
    "new",
)


@pytest.mark.slow
def test_no_request_breaks_it(server: Server) -> None:
    """Sound values and odd ones in any field: an answer that the SDK knows or OpenAI's error object, and never a server error."""
    rng = random.Random(20)
    statuses: Counter[int] = Counter()
    with httpx.Client(base_url=server.base_url, timeout=60) as http:
        for number in range(REQUESTS):
            body: dict[str, Any] = {"model": tiny.NAME, "input": ASK, "max_output_tokens": LIMIT, "stream": rng.random() < 0.2}
            body |= {name: rng.choice(values) for name, values in SOUND.items() if rng.random() < 0.3}
            if number % 2:
                body[rng.choice((*body, *SOUND, *REFUSED))] = rng.choice(ODD)
            answer = http.post("/responses", json=body)
            statuses[answer.status_code] += 1
            assert answer.status_code in (200, 400, 404), (body, answer.text)
            if answer.status_code != 200:
                assert_is(answer.json(), "ErrorResponse")
            elif answer.headers["Content-Type"].startswith("text/event-stream"):
                for line in answer.text.splitlines():
                    if line.startswith("data: "):
                        EVENTS.validate_json(line.removeprefix("data: "))
            else:
                checked(answer.json())
    assert statuses[200] >= 0.3 * REQUESTS, statuses
    assert statuses[400] >= 0.1 * REQUESTS, statuses
