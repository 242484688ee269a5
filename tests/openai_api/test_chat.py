"""Chat completions: what a reply is made of, what may be asked for with it, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from homeroom.models import prepared, tiny
from tests.openai_api.conftest import ALIAS, Server, start
from tests.openai_api.helpers import sound
from tests.openai_api.oracle import assert_is, assert_valid

PATH = "/chat/completions"
ASK: Any = [{"role": "user", "content": "Why do you think so?"}]
WEATHER = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "description": f"Tell the {name}.", "parameters": WEATHER}}
    for name in ("weather", "time")
]
CALL_MARK = str(len(tiny.SPECIAL))  # id of "<tool_call>" in the tiny model with tools
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 6},
        "age": {"type": "integer", "minimum": 3, "maximum": 12},
        "likes": {"type": "array", "items": {"enum": ["maps", "rain"]}, "minItems": 1, "maxItems": 2},
        "note": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/note"}]},
    },
    "required": ["name", "age", "likes", "note"],
    "additionalProperties": False,
    "$defs": {"note": {"type": "string", "pattern": "^[a-f]{2,4}$"}},
}


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose base was taught tools."""
    cache = tmp_path_factory.mktemp("tools-cache")
    base = prepared.prepare_folder(tiny.build(tmp_path_factory.mktemp("tools") / "tiny", tools=True), "tiny-tools", cache)
    server = start(tmp_path_factory.mktemp("tools-server") / "home", cache, HOMEROOM_DEFAULT_BASE=base.name)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def front(tools: Server, tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[openai.OpenAI]:
    """The client of a server that passes its requests on to the one with tools, as ``far/tiny-tools``."""
    endpoints = json.dumps([{"name": "far", "base_url": tools.base_url}])
    server = start(tmp_path_factory.mktemp("front") / "home", cache, HOMEROOM_ENDPOINTS=endpoints)
    yield server.client()
    server.kill()


def ask(client: openai.OpenAI, **more: Any) -> Any:
    """One answer, checked against the description."""
    more.setdefault("max_completion_tokens", 12)
    answer = client.chat.completions.create(**{"model": tiny.NAME, "messages": ASK, **more})
    assert_valid(answer, PATH, "post")
    return answer


def pieces(client: openai.OpenAI, **more: Any) -> list[Any]:
    """The chunks of one streamed answer, each checked against the description."""
    more.setdefault("max_completion_tokens", 12)
    chunks = list(client.chat.completions.create(**{"model": tiny.NAME, "messages": ASK, **more}, stream=True))
    for chunk in chunks:
        assert_is(chunk, "CreateChatCompletionStreamResponse")
    assert len({chunk.id for chunk in chunks}) == 1
    return chunks


def joined(chunks: list[Any], index: int = 0) -> str:
    return "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices if c.index == index)


def refused(client: openai.OpenAI, **more: Any) -> Any:
    """The error object of a request that is answered with 400."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": tiny.NAME, "messages": ASK, **more})
    assert_valid(caught.value.response.json(), PATH, "post", 400)
    assert caught.value.type == "invalid_request_error"
    return caught.value


def test_a_whole_reply_and_its_stream_are_the_same(client: openai.OpenAI) -> None:
    whole = ask(client)
    chunks = pieces(client, stream_options={"include_usage": True, "include_obfuscation": False})
    (choice,) = whole.choices
    assert (choice.finish_reason, choice.message.role, choice.message.refusal) == ("length", "assistant", None)
    assert joined(chunks) == choice.message.content
    assert choice.message.content
    assert [c.finish_reason for chunk in chunks for c in chunk.choices][-1] == "length"
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert whole.usage.completion_tokens == 12
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + 12
    assert all(chunk.choices for chunk in pieces(client))


def test_a_name_of_openais_is_the_model_that_it_stands_for(client: openai.OpenAI) -> None:
    answer = ask(client, model=ALIAS)
    assert answer.model == tiny.NAME
    assert answer.choices[0].message.content == ask(client).choices[0].message.content


def test_a_stop_ends_the_reply_before_itself(client: openai.OpenAI) -> None:
    text = ask(client).choices[0].message.content
    stop = text[4:7]
    answer = ask(client, stop=["never there", stop])
    assert answer.choices[0].message.content == text[: text.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    assert joined(pieces(client, stop=stop)) == answer.choices[0].message.content


def test_a_seed_says_which_reply(client: openai.OpenAI) -> None:
    def drawn(seed: int, **more: Any) -> list[str]:
        return [c.message.content for c in ask(client, temperature=1.5, seed=seed, **more).choices]

    assert drawn(7) == drawn(7)
    assert drawn(-(2**63)) == drawn(-(2**63))
    assert len({drawn(seed)[0] for seed in range(5)}) == 5
    assert drawn(3, n=3) == [drawn(3)[0], drawn(4)[0], drawn(5)[0]]


def test_several_choices_come_whole_and_side_by_side_in_a_stream(client: openai.OpenAI) -> None:
    whole = ask(client, n=3, temperature=1, seed=11)
    chunks = pieces(client, n=3, temperature=1, seed=11, stream_options={"include_usage": True})
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    assert [sound(joined(chunks, index)) for index in range(3)] == [sound(choice.message.content) for choice in whole.choices]
    assert whole.usage.completion_tokens == 36
    assert whole.usage.prompt_tokens == ask(client).usage.prompt_tokens
    assert chunks[-1].usage == whole.usage
    assert sorted(c.index for chunk in chunks for c in chunk.choices if c.finish_reason) == [0, 1, 2]


def test_log_probabilities_are_those_of_the_model(client: openai.OpenAI) -> None:
    answer = ask(client, logprobs=True, top_logprobs=20)
    tokens = answer.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == answer.choices[0].message.content
    assert len(tokens) == answer.usage.completion_tokens
    for token in tokens:
        likely = [top.logprob for top in token.top_logprobs]
        assert len(likely) == 20
        assert likely == sorted(likely, reverse=True)
        assert token.logprob == likely[0]  # greedy: the likeliest was taken
        assert 0 < sum(map(math.exp, likely)) <= 1.0001
    alone = ask(client, logprobs=True).choices[0].logprobs.content
    assert [(t.token, t.top_logprobs) for t in alone] == [(t.token, []) for t in tokens]
    chunks = pieces(client, logprobs=True, top_logprobs=20)
    told = [t for chunk in chunks for c in chunk.choices if c.logprobs for t in c.logprobs.content]
    assert [t.model_dump() for t in told] == [t.model_dump() for t in tokens]
    assert ask(client).choices[0].logprobs is None


def test_single_tokens_are_made_likely_or_not(client: openai.OpenAI) -> None:
    plain = ask(client).choices[0]
    for bias, expected in ((100, {"a"}), (-100, set())):
        text = ask(client, logit_bias={_token_id("a"): bias}).choices[0].message.content
        assert (set(text) == expected) if expected else "a" not in text
    assert ask(client, presence_penalty=2, frequency_penalty=2).choices[0].message.content != plain.message.content


def _token_id(text: str) -> str:
    """Of a token of one letter: the tiny model's alphabet follows its marks."""
    return str(len(tiny.SPECIAL) + sorted(_alphabet()).index(text))


def _alphabet() -> list[str]:
    from tokenizers import pre_tokenizers

    return list(pre_tokenizers.ByteLevel.alphabet())


def schema_format(schema: dict[str, Any], strict: bool | None = True) -> Any:
    return {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": strict}}


def test_a_reply_follows_a_json_schema_in_every_part(client: openai.OpenAI) -> None:
    said = set()
    for seed in range(6):
        more = {"temperature": 1, "seed": seed, "max_completion_tokens": 200, "response_format": schema_format(PERSON)}
        answer = ask(client, **more)
        assert answer.choices[0].finish_reason == "stop"
        Draft202012Validator(PERSON).validate(json.loads(answer.choices[0].message.content))
        said.add(answer.choices[0].message.content)
        assert joined(pieces(client, **more)) == answer.choices[0].message.content
    assert len(said) == 6


def test_the_sdk_makes_an_object_of_a_reply(client: openai.OpenAI) -> None:
    class Hint(BaseModel):
        question: str = Field(max_length=20)
        steps: list[Literal["draw", "count"]] = Field(max_length=3)
        level: int | None

    for seed in range(3):
        answer = client.chat.completions.parse(
            model=tiny.NAME, messages=ASK, response_format=Hint, temperature=1, seed=seed, max_completion_tokens=200
        )
        assert isinstance(answer.choices[0].message.parsed, Hint)


def test_a_reply_is_a_json_object_and_may_be_cut_off(client: openai.OpenAI) -> None:
    more = {"response_format": {"type": "json_object"}, "temperature": 1}
    for seed in range(8):
        choice = ask(client, seed=seed, max_completion_tokens=30, **more).choices[0]
        assert choice.message.content.startswith("{")
        if choice.finish_reason == "stop":
            assert isinstance(json.loads(choice.message.content), dict)
    cut = ask(client, max_completion_tokens=1, logprobs=True, **more).choices[0]
    assert (cut.finish_reason, cut.message.content, cut.logprobs.content[0].token) == ("length", "{", "{")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "object", "properties": {"a": {"type": "array", "contains": {"const": 1}}}}, "contains"),
        ({"not": {"type": "string"}}, "not"),
        ({"type": "string", "format": "phone"}, "phone"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
    ],
)
def test_what_cannot_be_kept_to_is_refused_only_when_it_must_be(client: openai.OpenAI, schema: dict[str, Any], said: str) -> None:
    error = refused(client, response_format=schema_format(schema))
    assert (error.code, error.param) == ("json_schema", "response_format")
    assert said in error.message
    assert ask(client, response_format=schema_format(schema, strict=None)).choices[0].message.content


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "minItems": 3, "maxItems": 2},
        {"type": "integer", "minimum": 4, "maximum": 3},
        {"type": "nonsense"},
        {"enum": []},
        {"$ref": "#/$defs/nobody"},
        {"$ref": "https://example.org/schema.json"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"type": "string", "pattern": "^(?=a)b$"},
        {"type": "string", "minLength": -1},
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_schema_that_is_wrong_in_itself_is_refused(client: openai.OpenAI, schema: dict[str, Any], strict: bool) -> None:
    error = refused(client, response_format=schema_format(schema, strict), stream=strict)
    assert (error.code, error.param) == ("json_schema", "response_format")


def test_tools_need_a_model_that_was_taught_them(client: openai.OpenAI) -> None:
    error = refused(client, tools=TOOLS)
    assert (error.code, error.param) == ("unsupported_parameter", "tools")
    assert ask(client, tools=[], tool_choice="none").choices[0].message.content


def far(client: openai.OpenAI, tools: Server) -> list[tuple[openai.OpenAI, str]]:
    """The model with tools: asked where it is, and through an endpoint."""
    return [(tools.client(), "tiny-tools"), (client, "far/tiny-tools")]


@pytest.mark.slow
def test_a_model_calls_tools_here_and_at_an_endpoint(front: openai.OpenAI, tools: Server) -> None:
    for client, model in far(front, tools):
        more = {"model": model, "tools": TOOLS, "logit_bias": {CALL_MARK: 100}, "max_completion_tokens": 120}
        answer = ask(client, **more, parallel_tool_calls=False)
        (choice,) = answer.choices
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
        (call,) = choice.message.tool_calls
        assert call.function.name in ("weather", "time")
        assert call.id
        Draft202012Validator(WEATHER).validate(json.loads(call.function.arguments))

        deltas = [
            delta
            for chunk in pieces(client, **more, parallel_tool_calls=False)
            for c in chunk.choices
            for delta in c.delta.tool_calls or []
        ]
        assert deltas[0].id
        assert deltas[0].function.name == call.function.name
        assert "".join(d.function.arguments for d in deltas) == call.function.arguments

        for name in ("weather", "time"):
            chosen: Any = {"type": "function", "function": {"name": name}}
            named = ask(client, **more, tool_choice=chosen, parallel_tool_calls=False).choices[0]
            assert [c.function.name for c in named.message.tool_calls] == [name]
        assert not ask(client, **{**more, "logit_bias": {}}, tool_choice="none").choices[0].message.tool_calls

        told = [*ASK, choice.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "Sun."}]
        after = ask(client, model=model, tools=TOOLS, messages=told)
        assert after.usage.prompt_tokens > ask(client, model=model, tools=TOOLS).usage.prompt_tokens


def test_calls_that_cannot_be_shown_to_a_model_are_refused(tools: Server) -> None:
    client = tools.client()
    broken = {
        "role": "assistant",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "time", "arguments": "{"}}],
    }
    told = [*ASK, broken, {"role": "tool", "tool_call_id": "c", "content": "noon"}]
    assert refused(client, model="tiny-tools", tools=TOOLS, messages=told).param == "messages[1].tool_calls"
    assert refused(client, model="tiny-tools", messages=told).param == "messages[1]"
    error = refused(client, model="tiny-tools", tools=TOOLS, response_format={"type": "json_object"})
    assert (error.code, error.param) == ("unsupported_parameter", "tools")
    assert refused(client, model="tiny-tools", tools=TOOLS, logprobs=True, stream=True).param == "logprobs"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "array", "minItems": 3, "maxItems": 2, "items": {"type": "null"}},
        {"type": "string", "minLength": 3, "maxLength": 2},
        {"type": "integer", "minimum": 2**63 - 1},
        {"type": "string", "pattern": "^((a{0,999}){0,999}){0,999}$"},
        {"type": "string", "pattern": "^a{3,2}$"},
    ],
)
def test_arguments_that_would_stop_the_engine_do_not(tools: Server, part: dict[str, Any]) -> None:
    tool: Any = {"type": "function", "function": {"name": "hard", "parameters": {"type": "object", "properties": {"a": part}}}}
    more: Any = {"model": "tiny-tools", "tools": [tool], "tool_choice": "required", "logit_bias": {CALL_MARK: 100}}
    assert (
        ask(tools.client(timeout=20), **more, max_completion_tokens=60).choices[0].message.tool_calls[0].function.name == "hard"
    )


def test_tools_of_many_parts_are_refused_and_of_none_taken(tools: Server) -> None:
    many: Any = {"type": "object", "properties": {f"p{index}": {"type": "string"} for index in range(300)}}
    tool: Any = {"type": "function", "function": {"name": "many", "parameters": many}}
    error = refused(tools.client(), model="tiny-tools", tools=[*TOOLS, tool])
    assert (error.code, error.param) == ("json_schema", "tools[2].function.parameters")
    plain: Any = {"type": "function", "function": {"name": "ping"}}
    assert ask(tools.client(), model="tiny-tools", tools=[plain]).choices


def test_an_endpoint_is_asked_for_all_of_it(front: openai.OpenAI, tools: Server) -> None:
    near = tools.client()
    for more in (
        {"logprobs": True, "top_logprobs": 3},
        {"n": 2, "temperature": 1, "seed": 3},
        {"presence_penalty": 1.5, "logit_bias": {"200": 4}},
        {"response_format": schema_format(PERSON), "temperature": 1, "seed": 1, "max_completion_tokens": 200},
        {"stop": ["e"], "top_p": 0.5, "temperature": 1, "seed": 5},
    ):
        here, there = (ask(c, model=model, **more).choices for model, c in (("tiny-tools", near), ("far/tiny-tools", front)))
        assert [choice.model_dump() for choice in here] == [choice.model_dump() for choice in there]
    error = refused(front, model="far/tiny-tools", response_format=schema_format({"not": {}}))
    assert "not" in error.message
    assert refused(front, model="far/tiny-tools", reasoning_effort="high").status_code == 400
    assert refused(near, model="tiny-tools", reasoning_effort="high").param == "reasoning_effort"


def test_what_says_nothing_about_the_reply_is_taken(client: openai.OpenAI) -> None:
    plain = ask(client).choices[0].message.content
    answer = ask(
        client, user="u-1", metadata={"lesson": "4"}, store=True, service_tier="auto", safety_identifier="s", seed=None, stop=None,
        prompt_cache_key="k", parallel_tool_calls=True, verbosity="medium", reasoning_effort="none", modalities=["text"], n=None,
        logprobs=False, top_logprobs=None, frequency_penalty=0, response_format={"type": "text"}, temperature=None, audio=None,
        extra_body={"prompt_cache_retention": "24h"},
    )  # fmt: skip
    assert answer.choices[0].message.content == plain


TURN = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"temprature": 1}, "unknown_parameter", "temprature"),
        ({"stream": True, "stream_options": {"x": 1}}, "unknown_parameter", "stream_options.x"),
        ({"stream_options": {"include_usage": True}}, "bad_request", "stream_options"),
        ({"n": 17}, "unsupported_parameter", "n"),
        ({"n": 0}, "bad_request", "n"),
        ({"top_logprobs": 3}, "bad_request", "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "bad_request", "top_logprobs"),
        ({"logprobs": 1}, "bad_request", "logprobs"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "bad_request", "max_tokens"),
        ({"max_completion_tokens": 0}, "bad_request", "max_completion_tokens"),
        ({"logit_bias": {"word": 1}}, "bad_request", "logit_bias"),
        ({"logit_bias": {"7": 101}}, "bad_request", "logit_bias"),
        ({"frequency_penalty": 3}, "bad_request", "frequency_penalty"),
        ({"stop": []}, "bad_request", "stop"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "bad_request", "stop"),
        ({"functions": [{"name": "f"}]}, "unsupported_parameter", "functions"),
        ({"audio": {"voice": "alloy", "format": "mp3"}}, "unsupported_parameter", "audio"),
        ({"modalities": ["text", "audio"]}, "unsupported_parameter", "modalities"),
        ({"web_search_options": {}}, "unsupported_parameter", "web_search_options"),
        ({"metadata": {"a": 1}}, "bad_request", "metadata"),
        ({"user": 5}, "bad_request", "user"),
        ({"store": "yes"}, "bad_request", "store"),
        ({"service_tier": "best"}, "bad_request", "service_tier"),
        ({"verbosity": "loud"}, "bad_request", "verbosity"),
        ({"verbosity": "high"}, "unsupported_parameter", "verbosity"),
        ({"tool_choice": "required"}, "bad_request", "tool_choice"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "unsupported_parameter", "tools[0]"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "bad_request", "tools[0].function.name"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, "bad_request", "tool_choice"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "bad_request", "response_format.json_schema.name"),
        ({"response_format": {"type": "xml"}}, "bad_request", "response_format"),
        ({"messages": []}, "missing_messages", "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "bad_request", "messages[0].tool_call_id"),
        ({"messages": [{**TURN, "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "unsupported_content", "messages[0].content[0]"),
        ({"model": ""}, "missing_model", "model"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(client: openai.OpenAI, change: dict[str, Any], code: str, param: str) -> None:
    error = refused(client, extra_body=change)
    assert (error.code, error.param) == (code, param)


def test_a_model_that_is_not_there(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, model="gpt-unknown")
    assert_valid(caught.value.response.json(), PATH, "post", 404)
    assert (caught.value.code, caught.value.param, caught.value.type) == ("model_not_found", "model", "invalid_request_error")


def test_a_prompt_that_is_too_long(client: openai.OpenAI) -> None:
    more: Any
    for more in ({}, {"response_format": {"type": "json_object"}}, {"stream": True}):
        error = refused(client, messages=[{"role": "user", "content": "word " * 9000}], **more)
        assert error.code == "context_length_exceeded"


def test_who_calls_is_asked_before_anything_else(serve: Callable[..., Server]) -> None:
    server = serve()
    server.command("users", "key", "create", "first")
    import httpx

    for sent in (
        {"content": b"{", "headers": {"Content-Type": "application/json"}},
        {"content": b"x", "headers": {"Content-Type": "text/plain"}},
        {"content": b" " * 2_000_000, "headers": {"Content-Type": "application/json"}},
        {"json": {"model": "nobody"}},
        {},
    ):
        for path in ("/chat/completions", "/completions", "/nothing/here"):
            answer = httpx.post(f"{server.base_url}{path}", **sent)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key"), (path, sent)
    with pytest.raises(openai.AuthenticationError):
        server.client("sk-wrong").models.list()
