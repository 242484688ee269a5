"""The API as OpenAI's own client sees it."""

from __future__ import annotations

import json

import openai
import pytest

from homeroom.chat.directory import ModelCard
from homeroom.chat.testing import PacedChatModel
from homeroom.errors import ContextLengthError, ProviderError, RateLimitError
from homeroom.models.prompt_fields import OutputFields
from homeroom.models.prompt_program import ProgramChatModel, PromptProgram
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from tests.server.conftest import EMBEDDER

ASK = [{"role": "user", "content": "I got 2/5."}]


@pytest.fixture
def client(live):
    _, url = live
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def site(live):
    return live[0]


@pytest.fixture
def tutor(site) -> PacedChatModel:
    return site.desk.models.chat_model("ft:base:homeroom:tutor:1a2b3c4d")


TUTOR = "ft:base:homeroom:tutor:1a2b3c4d"


def test_models(client) -> None:
    models = list(client.models.list())
    assert [m.id for m in models] == ["base", TUTOR, "ft:base:homeroom:learner:5e6f7a8b", EMBEDDER]
    assert client.models.retrieve(EMBEDDER).id == EMBEDDER
    assert (models[1].created, models[1].owned_by, models[1].object) == (1_700_000_000, "homeroom", "model")
    assert client.models.retrieve(TUTOR).id == TUTOR
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nobody")
    assert caught.value.code == "model_not_found"


def test_a_whole_reply(client, tutor) -> None:
    answer = client.chat.completions.create(model=TUTOR, messages=ASK)
    assert answer.choices[0].message.content == "What did you do first?"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.model, answer.object) == (TUTOR, "chat.completion")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 5, 12)


def test_a_reply_of_several_fields_of_a_tuned_prompt(client, site) -> None:
    schema = {"type": "object", "properties": {"feedback": {}, "correct": {}}, "required": ["feedback", "correct"]}
    program = PromptProgram(outputs=OutputFields(schema, "feedback"))
    inner = PacedChatModel("base", lambda messages: '{"feedback": "Look at the sign.", "correct": false}')
    name = "ft:base:homeroom:feedback:77777777"
    site.desk.models.add(ModelCard(name=name, title="Feedback", kind="tuned"), ProgramChatModel(name, inner, program))
    message = client.chat.completions.create(model=name, messages=ASK).choices[0].message
    assert message.content == "Look at the sign."
    assert message.model_extra["fields"] == {"feedback": "Look at the sign.", "correct": False}
    plain = client.chat.completions.create(model=TUTOR, messages=ASK).choices[0].message
    assert "fields" not in (plain.model_extra or {})


def test_a_streamed_reply(client) -> None:
    chunks = list(client.chat.completions.create(model=TUTOR, messages=ASK, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "What did you do first?"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 12
    assert len({c.id for c in chunks}) == 1


def test_usage_comes_only_when_asked_for(client) -> None:
    chunks = list(client.chat.completions.create(model=TUTOR, messages=ASK, stream=True))
    assert all(c.choices and c.usage is None for c in chunks)


def test_words_arrive_before_the_reply_is_whole(client, site) -> None:
    model = site.add_model(PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    chunks = iter(client.chat.completions.create(model="ft:slow", messages=ASK, stream=True))
    text = ""
    while text != "one":
        text += next(chunks).choices[0].delta.content or ""
    model.release()
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == " two"


def test_a_client_that_leaves_stops_the_model(client, site) -> None:
    model = site.add_model(PacedChatModel("ft:long", lambda m: "word " * 5000, pause_s=0.001))
    stream = client.chat.completions.create(model="ft:long", messages=ASK, stream=True)
    next(iter(stream))
    stream.close()
    assert model.closed.wait(10)


def test_settings_of_the_request_take_the_place_of_the_saved_ones(client, tutor) -> None:
    client.chat.completions.create(
        model=TUTOR, messages=ASK, temperature=0.9, top_p=0.5, max_completion_tokens=9, stop=["END"], seed=7,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    )  # fmt: skip
    assert tutor.asked[-1][1] == GenerationSettings(0.9, 0.5, 9, ("END",), 7, 1.0, {"type": "object"})
    client.chat.completions.create(model=TUTOR, messages=ASK, stop="X", max_tokens=3)
    assert tutor.asked[-1][1] == GenerationSettings(temperature=0.5, max_tokens=3, stop=("X",))
    client.chat.completions.create(model=TUTOR, messages=ASK, response_format={"type": "json_object"})
    assert tutor.asked[-1][1].json_schema == {"type": "object"}


def test_the_models_own_system_prompt_unless_the_client_sends_one(client, tutor) -> None:
    client.chat.completions.create(model=TUTOR, messages=ASK)
    assert tutor.asked[-1][0] == (Message("system", "You are a tutor."), Message("user", "I got 2/5."))
    client.chat.completions.create(model=TUTOR, messages=[{"role": "developer", "content": "Be brief."}, *ASK])
    assert tutor.asked[-1][0][0] == Message("system", "Be brief.")


def test_text_parts_are_joined(client, tutor) -> None:
    parts = [{"type": "text", "text": "I got "}, {"type": "text", "text": "2/5."}]
    client.chat.completions.create(model=TUTOR, messages=[{"role": "user", "content": parts}])
    assert tutor.asked[-1][0][-1] == Message("user", "I got 2/5.")


def test_harmless_fields_are_taken(client) -> None:
    client.chat.completions.create(
        model=TUTOR, messages=ASK, n=1, user="u", presence_penalty=0, tools=[], logprobs=False, store=False
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("logprobs", True),
        ("presence_penalty", 1),
        ("frequency_penalty", 1),
        ("logit_bias", {"7": 1}),
        ("reasoning_effort", "low"),
    ],
)
def test_what_a_model_that_gives_text_alone_cannot_do_is_said(client, field, value) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=TUTOR, messages=ASK, **{field: value})
    assert (caught.value.code, caught.value.param, caught.value.type) == ("unsupported_parameter", field, "invalid_request_error")


def test_several_choices_are_side_by_side(client, site) -> None:
    model = site.add_model(PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    stream = client.chat.completions.create(model="ft:slow", messages=ASK, n=2, stream=True)
    first = set()
    for chunk in stream:
        first |= {c.index for c in chunk.choices if c.delta.content}
        if first == {0, 1}:
            break
    model.release()
    assert {c.finish_reason for chunk in stream for c in chunk.choices} == {None, "stop"}
    assert model.closed.wait(10)


def test_a_request_for_several_choices_takes_as_many_places(make_site) -> None:
    site = make_site(max_replies=2)
    body = {"model": TUTOR, "messages": ASK}
    for stream in (False, True):
        for n, status in ((3, 429), (2, 200), (2, 200)):
            answer = site.app.test_client().post("/v1/chat/completions", json={**body, "n": n, "stream": stream})
            assert answer.status_code == status
            answer.get_data()
            answer.close()


def test_a_model_that_gives_text_alone_only_chats(client) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=TUTOR, prompt="The")
    assert (caught.value.code, caught.value.param) == ("not_for_completions", "model")


def test_a_model_that_a_page_uses_is_not_deleted(client, site) -> None:
    with pytest.raises(openai.ConflictError):
        client.models.delete(TUTOR)
    site.add_model(PacedChatModel("ft:base:homeroom:gone:00000000", lambda m: "bye"))
    assert client.models.delete("ft:base:homeroom:gone:00000000").deleted
    assert [model.id for model in client.models.list()][:3] == ["base", TUTOR, "ft:base:homeroom:learner:5e6f7a8b"]


def test_what_is_no_json_object(site) -> None:
    for body in (b"{", b"[]", b"null", b'"x"', b""):
        response = site.app.test_client().post("/v1/chat/completions", data=body, content_type="application/json")
        assert response.status_code == 400
        assert response.get_json()["error"]["code"] == "not_json"


def test_an_unknown_model(client) -> None:
    with pytest.raises(openai.NotFoundError, match="nobody") as caught:
        client.chat.completions.create(model="nobody", messages=ASK)
    assert caught.value.code == "model_not_found"


def test_failures_raise_what_openais_client_has_for_them(client, site) -> None:
    for error, raised, code in (
        (RateLimitError("slow down", retry_after_s=2), openai.RateLimitError, "provider_rate_limit"),
        (ContextLengthError("5000 tokens, 2048 fit"), openai.BadRequestError, "context_length_exceeded"),
        (ProviderError("down"), openai.InternalServerError, "provider"),
    ):
        site.add_model(PacedChatModel("ft:bad", lambda m: "one two", fail_at=0, error=error))
        for stream in (True, False):
            with pytest.raises(raised) as caught:
                client.chat.completions.create(model="ft:bad", messages=ASK, stream=stream)
            assert caught.value.code == code


def test_a_failure_in_the_middle_raises_while_reading(client, site) -> None:
    site.add_model(PacedChatModel("ft:bad", lambda m: "one two", fail_at=1, error=ProviderError("down")))
    chunks = iter(client.chat.completions.create(model="ft:bad", messages=ASK, stream=True))
    with pytest.raises(openai.APIError, match=r"[Dd]own"):
        for _ in chunks:
            pass


def test_too_many_streams(make_site) -> None:
    site = make_site(max_replies=1)
    model = site.add_model(PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    body = {"model": "ft:slow", "messages": ASK, "stream": True}
    client = site.app.test_client()
    first = client.post("/v1/chat/completions", json=body)
    second = client.post("/v1/chat/completions", json={**body, "model": TUTOR, "stream": False})
    assert (second.status_code, second.headers["Retry-After"]) == (429, "5")
    assert second.get_json()["error"]["type"] == "rate_limit_error"
    assert client.get("/health").status_code == 200
    model.release()
    assert first.get_data().endswith(b"data: [DONE]\n\n")
    first.close()
    assert client.post("/v1/chat/completions", json={**body, "model": TUTOR, "stream": False}).status_code == 200


def test_a_stream_that_is_closed_unread_makes_room(make_site) -> None:
    site = make_site(max_replies=1)
    site.add_model(PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    client = site.app.test_client()
    for _ in range(3):
        response = client.post("/v1/chat/completions", json={"model": "ft:slow", "messages": ASK, "stream": True})
        assert response.status_code == 200
        response.close()


def test_characters_of_all_languages_survive(client, site) -> None:
    site.add_model(PacedChatModel("ft:many", lambda m: "¿Cuánto es ½? 三分の一 🙂\nnew line"))
    whole = client.chat.completions.create(model="ft:many", messages=ASK)
    streamed = client.chat.completions.create(model="ft:many", messages=ASK, stream=True)
    text = "".join(c.choices[0].delta.content or "" for c in streamed)
    assert whole.choices[0].message.content == text == "¿Cuánto es ½? 三分の一 🙂\nnew line"


def test_raw_stream_format(site) -> None:
    response = site.app.test_client().post("/v1/chat/completions", json={"model": TUTOR, "messages": ASK, "stream": True})
    assert response.headers["Content-Type"].startswith("text/event-stream")
    blocks = [b for b in response.get_data(as_text=True).split("\n\n") if b.startswith("data: ")]
    assert blocks[-1] == "data: [DONE]"
    assert all(json.loads(block[6:])["object"] == "chat.completion.chunk" for block in blocks[:-1])
