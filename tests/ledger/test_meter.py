"""Calls to an endpoint, from the wire to the ledger: what each way of ending leaves there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from homeroom.errors import ConflictError, ProviderError
from homeroom.ledger.meter import CallMeter, most_tokens
from homeroom.ledger.prices import Price, load_prices
from homeroom.ledger.records import About, Budget, Tokens
from homeroom.ledger.store import Ledger
from homeroom.models.client import OpenAIChatModel
from homeroom.models.embed import OpenAIEmbedder
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from homeroom.storage import Database

PRICE = Price(1000.0, 2000.0)  # a tenth of a cent for a token of a prompt, so that sums can be read
ASK = [Message("user", "How much is half of eight?")]
SETTINGS = GenerationSettings(max_tokens=5)
USAGE = {"prompt_tokens": 12, "completion_tokens": 3}


class Provider:
    """Answers as the next of ``ends`` says; with a whole answer and its usage once they are used up."""

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.asked = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                provider.asked += 1
                end = provider.ends.pop(0) if provider.ends else "whole"
                if end.isdigit():
                    self._send(int(end), json.dumps({"error": {"message": "no"}}).encode(), {"Retry-After": "0"})
                elif end == "silence":
                    self.close_connection = True
                elif end == "garbage":
                    self._send(200, b"<html>")
                elif end.startswith(("{", "data:")):
                    self._send(200, end.encode())
                elif "input" in body:
                    rows = [{"index": n, "embedding": [1.0, 0.0]} for n, _ in enumerate(body["input"])]
                    usage = {} if end == "no usage" else {"usage": {"prompt_tokens": 12, "total_tokens": 12}}
                    self._send(200, json.dumps({"data": rows, **usage}).encode())
                elif body.get("stream"):
                    self._stream(end)
                else:
                    usage = {} if end == "no usage" else {"usage": USAGE}
                    choice = {"message": {"content": "viér"}, "finish_reason": "stop"}
                    self._send(200, json.dumps({"choices": [choice], **usage}).encode())

            def _stream(self, end: str) -> None:
                pieces: list[dict[str, Any]] = [{"choices": [{"delta": {"content": t}}]} for t in ("vi", "ér")]
                if end != "cut":
                    pieces.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
                if end == "whole":
                    pieces.append({"choices": [], "usage": USAGE})
                lines = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + (
                    "" if end == "cut" else "data: [DONE]\n\n"
                )
                self._send(200, lines.encode())

            def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


@pytest.fixture
def model(provider: Provider, ledger: Ledger) -> Iterator[OpenAIChatModel]:
    meter = CallMeter(ledger, About("school/large", "chat"), PRICE)
    address = f"http://127.0.0.1:{provider.server.server_port}/v1"
    with closing(OpenAIChatModel("school/large", address, "large", meter=meter, pause_s=0.01, timeout_s=20)) as made:
        yield made


def lines(ledger: Ledger) -> list[tuple[str, str, Tokens, float]]:
    return [(line.state, line.basis, line.tokens, line.usd) for line in ledger.lines()]


def test_a_whole_answer_is_settled_by_the_tokens_that_were_told(model: OpenAIChatModel, ledger: Ledger) -> None:
    model.complete(ASK, SETTINGS)
    list(model.stream(ASK, SETTINGS))
    assert lines(ledger) == [("settled", "billed", Tokens(12, 3), 0.018)] * 2


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_without_tokens_is_estimated_at_most(
    model: OpenAIChatModel, ledger: Ledger, provider: Provider, streamed: bool
) -> None:
    provider.ends = ["no usage"]
    text = "".join(c.text for c in model.stream(ASK, SETTINGS)) if streamed else model.complete(ASK, SETTINGS).text
    ((state, basis, tokens, usd),) = lines(ledger)
    assert (state, basis, tokens.completion) == ("settled", "estimated", len(text.encode()))
    assert len(ASK[0].content) < tokens.prompt < 400
    assert usd == pytest.approx(PRICE.of(tokens.prompt, tokens.completion))


def test_a_stream_that_nobody_reads_on_is_settled_for_what_came(model: OpenAIChatModel, ledger: Ledger) -> None:
    stream = model.stream(ASK, SETTINGS)
    assert next(stream).text == "vi"
    stream.close()
    ((state, basis, tokens, _),) = lines(ledger)
    assert (state, basis, tokens.completion) == ("settled", "estimated", 2)


def streamed(*deltas: dict[str, Any]) -> str:
    pieces = [{"choices": [{"delta": delta}]} for delta in deltas]
    return "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + "data: [DONE]\n\n"


@pytest.mark.parametrize(
    "thought",
    [
        {"reasoning_content": "half, half, half. "},
        {"reasoning": "half, half, half. "},
        {"reasoning_details": [{"type": "reasoning.text", "text": "half, half, half. "}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "half, half, half. "}}]},
        {"refusal": "half, half, half. "},
    ],
)
def test_what_a_model_thinks_and_calls_counts_before_its_first_word(
    model: OpenAIChatModel, ledger: Ledger, provider: Provider, thought: dict[str, Any]
) -> None:
    provider.ends = [streamed(*[thought] * 40, {"content": "4"}, {"content": "5"})]
    stream = model.stream(ASK, SETTINGS)
    next(chunk for chunk in stream if chunk.text == "4")
    stream.close()
    ((state, basis, tokens, _),) = lines(ledger)
    assert (state, basis) == ("settled", "estimated")
    assert tokens.completion >= 40 * len("half, half, half. ") + 1


@pytest.mark.parametrize("end", [streamed({"role": "assistant"}), '{"choices": [{"message": {"role": "assistant"}}]}'])
def test_where_nothing_can_be_counted_a_call_stays_held(
    model: OpenAIChatModel, ledger: Ledger, provider: Provider, end: str
) -> None:
    provider.ends = [end]
    if end.startswith("data"):
        assert "".join(chunk.text for chunk in model.stream(ASK, SETTINGS)) == ""
    else:
        assert model.complete(ASK, SETTINGS).text == ""
    ((state, *_, usd),) = lines(ledger)
    assert state == "held"
    assert usd >= PRICE.of(len(ASK[0].content), SETTINGS.max_tokens)


@pytest.mark.parametrize(
    "end",
    [
        '{"choices": 5}',
        '{"choices": [{"message": "hi"}]}',
        '{"choices": [{"message": {"content": "hi", "tool_calls": 5}}]}',
        '{"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": "abc"}}',
        'data: {"choices": 5}\n\n',
        'data: {"error": {"code_status": "abc"}}\n\n',
        streamed({"content": "hi"}, {"content": "hi", "tool_calls": 5}),
    ],
)
def test_an_answer_of_another_form_leaves_its_call_held(
    model: OpenAIChatModel, ledger: Ledger, provider: Provider, end: str
) -> None:
    provider.ends = [end]
    with pytest.raises(ProviderError) as caught:
        list(model.stream(ASK, SETTINGS)) if end.startswith("data") else model.complete(ASK, SETTINGS)
    assert caught.value.code == "provider-answer"
    assert [state for state, *_ in lines(ledger)] == ["held"]


@pytest.mark.parametrize(("end", "basis"), [("whole", "billed"), ("no usage", "estimated")])
def test_embeddings_cost_their_texts_and_no_reply(ledger: Ledger, provider: Provider, end: str, basis: str) -> None:
    provider.ends = [end]
    meter = CallMeter(ledger, About("school/words", "chat"), PRICE)
    ledger.set_budget(Budget(PRICE.of(400, 0)))  # a reply that is not there would not fit
    address = f"http://127.0.0.1:{provider.server.server_port}/v1"
    with closing(OpenAIEmbedder("school/words", address, "words", meter=meter)) as embedder:
        assert len(embedder.embed(["ice", "water"]).vectors) == 2
        ((state, how, tokens, usd),) = lines(ledger)
        assert (state, how, tokens.completion, usd) == ("settled", basis, 0, PRICE.of(tokens.prompt, 0))
        assert tokens.prompt == 12 if end == "whole" else len("icewater") < tokens.prompt < 400
        provider.ends = ['{"data": 5}']
        with pytest.raises(ProviderError):
            embedder.embed(["ice"])
        assert [state for state, *_ in lines(ledger)] == ["settled", "held"]


@pytest.mark.parametrize("end", ["400", "401", "404"])
def test_a_refusal_costs_nothing(model: OpenAIChatModel, ledger: Ledger, provider: Provider, end: str) -> None:
    provider.ends = [end, end]
    with pytest.raises(ProviderError):
        model.complete(ASK, SETTINGS)
    with pytest.raises(ProviderError):
        list(model.stream(ASK, SETTINGS))
    assert lines(ledger) == []


def test_each_try_is_held_by_itself(model: OpenAIChatModel, ledger: Ledger, provider: Provider) -> None:
    provider.ends = ["429", "silence"]
    model.complete(ASK, SETTINGS)
    assert provider.asked == 3
    assert [state for state, *_ in lines(ledger)] == ["held", "settled"]  # the refused one is gone, the lost one perhaps charged


@pytest.mark.parametrize("end", ["silence", "garbage", "cut"])
def test_without_an_answer_a_call_stays_held(model: OpenAIChatModel, ledger: Ledger, provider: Provider, end: str) -> None:
    provider.ends = [end] * 3
    with pytest.raises(ProviderError):
        list(model.stream(ASK, SETTINGS))
    found = lines(ledger)
    assert {state for state, *_ in found} == {"held"}
    assert len(found) == provider.asked
    assert all(usd >= PRICE.of(len(ASK[0].content), SETTINGS.max_tokens) for *_, usd in found)


def test_nothing_that_was_never_sent_is_held(ledger: Ledger) -> None:
    meter = CallMeter(ledger, About("school/large", "chat"), PRICE)
    with closing(OpenAIChatModel("school/large", "http://127.0.0.1:9/v1", "large", meter=meter, max_retries=0)) as model:
        with pytest.raises(ProviderError):
            model.complete(ASK, SETTINGS)
    assert lines(ledger) == []


def test_a_call_that_does_not_fit_its_budget_is_not_sent(model: OpenAIChatModel, ledger: Ledger, provider: Provider) -> None:
    ledger.set_budget(Budget(0.001))
    for ask in (lambda: model.complete(ASK, SETTINGS), lambda: list(model.stream(ASK, SETTINGS))):
        with pytest.raises(ConflictError) as caught:
            ask()
        assert caught.value.code == "budget-spent"
    assert provider.asked == 0


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({"messages": [], "max_tokens": 7}, 7),
        ({"messages": [], "max_tokens": 7, "max_completion_tokens": 9}, 9),
        ({"messages": [], "max_tokens": 7, "n": 3}, 21),
        ({"messages": []}, 32_768),
        ({"prompt": ""}, 32_768),
        ({"input": ["ice"]}, 0),
    ],
)
def test_the_most_that_can_be_generated(body: dict[str, Any], most: int) -> None:
    assert most_tokens(body)[1] == most


def test_a_prompt_has_no_more_tokens_than_bytes() -> None:
    text = "Wie viel ist ½ von 8? 🙂 八的一半"
    assert most_tokens({"messages": [{"role": "user", "content": text}]})[0] > len(text.encode())


def test_a_price_for_an_endpoint_goes_before_the_models(home: Any) -> None:
    home.mkdir(exist_ok=True)
    (home / "prices.yaml").write_text(
        "as_of: today\nendpoints: {azure/: {input: 1, output: 2}, azure/gpt-4o: {input: 3, output: 4}}\n"
    )
    prices = load_prices(home)
    assert prices.as_of == "today"
    assert prices.price("gpt-4o-mini", "openai") == Price(0.15, 0.6, 3.0)
    assert prices.price("gpt-4.1", "azure") == Price(1, 2)
    assert prices.price("gpt-4o", "azure") == prices.price("gpt-4o-2024-08-06", "azure") == Price(3, 4)
    assert prices.price("gpt-4o-mini", "azure") == Price(1, 2)
    assert prices.price("large", "school") is None
