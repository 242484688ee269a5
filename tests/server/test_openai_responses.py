"""Responses over models that answer by script: what goes wrong in the middle, who leaves, what is saved with a model."""

from __future__ import annotations

import openai
import pytest

from homeroom.chat.testing import PacedChatModel
from homeroom.errors import ProviderError, RateLimitError
from homeroom.schema.examples import Message
from tests.server.conftest import TUTOR

ASK = "I got 2/5."


@pytest.fixture
def client(live):
    with openai.OpenAI(base_url=f"{live[1]}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def site(live):
    return live[0]


def test_a_reply_is_completed_with_its_tokens(client) -> None:
    answer = client.responses.create(model=TUTOR, input=ASK)
    assert (answer.status, answer.output_text) == ("completed", "What did you do first?")
    assert answer.usage.total_tokens == 12


def test_what_is_saved_with_the_model_holds_until_the_request_says_otherwise(client, site) -> None:
    tutor = site.desk.models.chat_model(TUTOR)
    assert client.responses.create(model=TUTOR, input=ASK).temperature == 0.5
    assert tutor.asked[-1][0] == (Message("system", "You are a tutor."), Message("user", ASK))
    answer = client.responses.create(model=TUTOR, input=ASK, temperature=0.9, max_output_tokens=7, instructions="Be brief.")
    assert answer.temperature == 0.9
    messages, settings = tutor.asked[-1]
    assert messages == (Message("system", "Be brief."), Message("user", ASK))
    assert (settings.temperature, settings.max_tokens) == (0.9, 7)


def test_a_failure_in_the_middle_ends_with_what_was_said(client, site) -> None:
    site.add_model(PacedChatModel("ft:bad", lambda m: "one two three", fail_at=2, error=ProviderError("The engine is down")))
    events = list(client.responses.create(model="ft:bad", input=ASK, stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "one two"
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert (last.response.error.code, last.response.error.message) == ("server_error", "The engine is down.")
    assert last.response.output_text == "one two"
    assert not any(event.type.endswith(".done") for event in events)
    with pytest.raises(RuntimeError), client.responses.stream(model="ft:bad", input=ASK) as stream:
        stream.get_final_response()


def test_a_failure_before_any_text_has_a_status_of_its_own(client, site) -> None:
    site.add_model(PacedChatModel("ft:bad", lambda m: "one", fail_at=0, error=RateLimitError("slow down")))
    for stream in (False, True):
        with pytest.raises(openai.RateLimitError):
            client.responses.create(model="ft:bad", input=ASK, stream=stream)


def test_a_client_that_leaves_stops_the_model(client, site) -> None:
    model = site.add_model(PacedChatModel("ft:long", lambda m: "word " * 5000, pause_s=0.001))
    stream = client.responses.create(model="ft:long", input=ASK, stream=True)
    next(iter(stream))
    stream.close()
    assert model.closed.wait(10)


def test_words_arrive_before_the_reply_is_whole(client, site) -> None:
    model = site.add_model(PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    events = iter(client.responses.create(model="ft:slow", input=ASK, stream=True))
    first = next(event for event in events if event.type == "response.output_text.delta")
    assert first.delta == "one"
    model.release()
    assert next(event for event in events if event.type == "response.completed").response.output_text == "one two"


def test_responses_take_the_room_of_replies(make_site) -> None:
    site = make_site(max_replies=1)
    model = site.add_model(PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    web = site.app.test_client()
    first = web.post("/v1/responses", json={"model": "ft:slow", "input": ASK, "stream": True})
    second = web.post("/v1/responses", json={"model": TUTOR, "input": ASK})
    assert (second.status_code, second.get_json()["error"]["type"]) == (429, "rate_limit_error")
    assert web.post("/v1/embeddings", json={"model": "words", "input": "x"}).status_code == 429
    model.release()
    assert b"response.completed" in first.get_data()
    first.close()
    assert web.post("/v1/responses", json={"model": TUTOR, "input": ASK}).status_code == 200
