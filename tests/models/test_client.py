"""The chat client against a small local server that misbehaves in every way that real ones do."""

from __future__ import annotations

import inspect
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from homeroom.errors import AuthError, ContextLengthError, HomeroomError, ProviderError, ProviderTimeoutError, RateLimitError
from homeroom.models import wire
from homeroom.models.client import OpenAIChatModel
from homeroom.schema.chat import ChatModel, GenerationSettings, Usage
from homeroom.schema.examples import Message

KEY = "sk-secret-0123456789"
ASK = [Message("system", "Be kind."), Message("user", "hi", weight=1.0)]
GREEDY = GenerationSettings()
REPLY = {
    "choices": [{"message": {"role": "assistant", "content": "Hello you"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2},
}


def event(text=None, reason=None, **more):
    delta = {} if text is None else {"content": text}
    return "data: " + json.dumps({"choices": [{"delta": delta, "finish_reason": reason}], **more}) + "\n\n"


GOOD_STREAM = [
    ": ping\n\n",
    event(""),
    event("Hello"),
    event(" you"),
    event(None, "stop"),
    "data: " + json.dumps({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}) + "\n\n",
    "data: [DONE]\n\n",
]


class Fake:
    """A server that gives its answers in turn, the last one for ever. An answer is (status, headers, body or list of pieces, end)."""

    def __init__(self):
        self.answers = []
        self.requests = []
        self.broken = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.requests.append((self.path, dict(self.headers), body, time.monotonic()))
                answer = fake.answers[min(len(fake.requests), len(fake.answers)) - 1]
                fake.give(self, **answer)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def give(self, handler, status=200, body=None, headers=None, pieces=None, end="whole", pause_s=0.0):
        if end == "silence":
            handler.close_connection = True
            return
        if pieces is None:
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            time.sleep(pause_s)
            handler.send_response(status)
            for name, value in (headers or {}).items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)
            return
        handler.send_response(status)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            for piece in pieces:
                data = piece.encode()
                handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                handler.wfile.flush()
                time.sleep(pause_s)
            if end == "whole":
                handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.broken.set()
        handler.close_connection = True


@pytest.fixture
def fake():
    server = Fake()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def model(fake):
    made = OpenAIChatModel("lab/small", fake.url, "small", api_key=KEY, timeout_s=30, max_retries=2, pause_s=0.01)
    yield made
    made.close()


def test_a_reply_is_read_whole(fake, model):
    fake.answers = [{"body": REPLY}]
    reply = model.complete(ASK, GREEDY)
    assert isinstance(model, ChatModel)
    assert (reply.text, reply.model, reply.finish_reason, reply.usage) == ("Hello you", "lab/small", "stop", Usage(7, 2))
    path, headers, body, _ = fake.requests[0]
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert body == {
        "model": "small",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}],
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": 256,
    }


def test_every_setting_that_was_given_is_sent(fake):
    fake.answers = [{"body": REPLY}]
    model = OpenAIChatModel("m", fake.url, "small", extra={"max_tokens": None, "max_completion_tokens": 9})
    model.complete(ASK, GenerationSettings(temperature=0.5, top_p=0.9, stop=("a",), seed=3, json_schema={"type": "object"}))
    model.close()
    body = fake.requests[0][2]
    assert "max_tokens" not in body
    assert "Authorization" not in fake.requests[0][1]
    assert {k: body[k] for k in ("temperature", "top_p", "stop", "seed", "max_completion_tokens")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["a"],
        "seed": 3,
        "max_completion_tokens": 9,
    }
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_a_stream_comes_piece_by_piece(fake, model):
    fake.answers = [{"pieces": GOOD_STREAM}]
    *pieces, last = model.stream(ASK, GREEDY)
    assert [piece.text for piece in pieces] == ["Hello", " you"]
    assert (last.text, last.finish_reason, last.usage) == ("", "stop", Usage(7, 2))
    assert fake.requests[0][2]["stream_options"] == {"include_usage": True}


def test_pieces_of_a_character_are_put_together(fake, model):
    whole = "".join(GOOD_STREAM).replace("Hello", "Grüße 🙂")

    class Bytes(str):
        def encode(self):
            return self.data

    raw = whole.encode()
    pieces = []
    for i in range(0, len(raw), 7):
        piece = Bytes("x")
        piece.data = raw[i : i + 7]
        pieces.append(piece)
    fake.answers = [{"pieces": pieces}]
    assert "".join(chunk.text for chunk in model.stream(ASK, GREEDY)) == "Grüße 🙂 you"


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_tried_again(fake, model, status):
    fake.answers = [{"status": status, "body": {"error": {"message": "later"}}}, {"body": REPLY}]
    assert model.complete(ASK, GREEDY).text == "Hello you"
    fake.answers = [fake.answers[0], fake.answers[0], fake.answers[0], {"pieces": GOOD_STREAM}]
    fake.requests.clear()
    fake.answers.pop(0)
    assert "".join(c.text for c in model.stream(ASK, GREEDY)) == "Hello you"
    assert len(fake.requests) == 3


def test_a_connection_that_is_hung_up_is_tried_again(fake, model):
    fake.answers = [{"end": "silence"}, {"body": REPLY}]
    assert model.complete(ASK, GREEDY).text == "Hello you"


def test_azure_s_missing_deployment_is_told_with_what_to_do(fake, model):
    said = "The API deployment for this resource does not exist."
    fake.answers = [{"status": 404, "body": {"error": {"code": "DeploymentNotFound", "message": said}}}]
    with pytest.raises(ProviderError) as caught:
        model.complete(ASK, GREEDY)
    assert caught.value.code == "provider-model" and said in caught.value.message
    assert "create one there with the very name" in caught.value.message and "homeroom models show" in caught.value.message


REFUSALS = [
    (401, {"error": {"message": f"Incorrect API key: {KEY}"}}, AuthError, "provider-auth"),
    (403, {"error": {"message": "no"}}, AuthError, "provider-auth"),
    (404, {"error": {"message": "no such model"}}, ProviderError, "provider-model"),
    (429, {"error": {"message": "slow down"}}, RateLimitError, "provider-rate-limit"),
    (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, RateLimitError, "provider-quota"),
    (504, "<html>gateway</html>", ProviderTimeoutError, "provider-timeout"),
    (500, {"error": "plain text"}, ProviderError, "provider"),
    (400, {"error": {"message": "bad"}}, ProviderError, "provider"),
    (
        400,
        {
            "error": {
                "code": "context_length_exceeded",
                "message": "This model's maximum context length is 4,097 tokens. You sent 5,000.",
            }
        },
        ContextLengthError,
        "context-length",
    ),
]


@pytest.mark.parametrize(("status", "body", "kind", "code"), REFUSALS)
def test_each_refusal_is_one_of_our_errors(fake, model, status, body, kind, code):
    fake.answers = [{"status": status, "body": body, "headers": {"x-request-id": "req-1"}}]
    with pytest.raises(ProviderError) as caught:
        model.complete(ASK, GREEDY)
    error = caught.value
    assert (type(error), error.code, error.status, error.request_id) == (kind, code, status, "req-1")
    assert "'lab/small'" in error.message
    assert KEY not in f"{error} {error.message} {error.args}"
    if code == "context-length":
        assert "5000 tokens and the model takes 4097" in error.message
    assert len(fake.requests) == (3 if status in (429, 500, 504) and code != "provider-quota" else 1)


def test_a_wait_that_the_server_asks_for_is_honoured(fake, model):
    fake.answers = [{"status": 429, "body": {}, "headers": {"Retry-After": "0.3"}}, {"body": REPLY}]
    model.complete(ASK, GREEDY)
    first, second = (request[3] for request in fake.requests)
    assert second - first >= 0.3


def test_a_wait_longer_than_the_limit_is_not_waited_for(fake, model):
    fake.answers = [{"status": 429, "body": {}, "headers": {"Retry-After": "3600"}}]
    with pytest.raises(RateLimitError) as caught:
        model.complete(ASK, GREEDY)
    assert caught.value.retry_after_s == 3600
    assert len(fake.requests) == 1


def test_retry_after_may_be_a_date():
    from email.utils import formatdate

    assert wire.retry_after({"retry-after": formatdate(time.time() + 100, usegmt=True)}) == pytest.approx(100, abs=3)
    assert wire.retry_after({"retry-after": "soon"}) is None
    assert wire.retry_after({}) is None


def test_all_tries_together_stay_within_the_limit(fake):
    fake.answers = [{"status": 503, "body": {}}]
    model = OpenAIChatModel("m", fake.url, "small", timeout_s=1.0, max_retries=1000, pause_s=0.2)
    started = time.monotonic()
    with pytest.raises(ProviderError):
        model.complete(ASK, GREEDY)
    model.close()
    assert time.monotonic() - started < 5
    assert 1 < len(fake.requests) < 20


@pytest.mark.parametrize(
    "answer", [{"body": REPLY, "pause_s": 30}, {"pieces": ["x"] * 400, "pause_s": 0.1}], ids=["silent", "trickling"]
)
def test_a_server_that_takes_too_long_is_left(fake, answer):
    fake.answers = [answer]
    model = OpenAIChatModel("m", fake.url, "small", timeout_s=0.5, max_retries=0)
    with pytest.raises(ProviderTimeoutError) as caught:
        model.complete(ASK, GREEDY)
    model.close()
    assert caught.value.code == "provider-timeout"


def test_nobody_listening_says_so(fake):
    fake.server.shutdown()
    fake.server.server_close()
    model = OpenAIChatModel("m", fake.url, "small", max_retries=1, pause_s=0.01)
    for call in (lambda: model.complete(ASK, GREEDY), lambda: list(model.stream(ASK, GREEDY))):
        with pytest.raises(ProviderTimeoutError, match="cannot be reached") as caught:
            call()
        assert caught.value.code == "provider-unreachable"
    model.close()


@pytest.mark.parametrize("end", ["whole", "cut"])
def test_half_a_stream_is_an_error_after_its_pieces_and_is_not_repeated(fake, model, end):
    fake.answers = [{"pieces": GOOD_STREAM[:4], "end": end}]
    seen = []
    with pytest.raises(ProviderError) as caught:
        for chunk in model.stream(ASK, GREEDY):
            seen.append(chunk.text)
    assert seen == ["Hello", " you"]
    assert caught.value.code == ("provider-cut" if end == "whole" else "provider-broken")
    assert len(fake.requests) == 1


def test_an_error_inside_a_stream_is_raised(fake, model):
    error = "data: " + json.dumps({"error": {"message": f"boom {KEY}"}}) + "\n\n"
    fake.answers = [{"pieces": [event("Hel"), error]}]
    with pytest.raises(ProviderError, match="boom") as caught:
        list(model.stream(ASK, GREEDY))
    assert KEY not in str(caught.value)


def test_a_stream_that_is_refused_is_one_of_our_errors(fake, model):
    fake.answers = [{"status": 401, "body": {"error": {"message": "no"}}}]
    with pytest.raises(AuthError):
        list(model.stream(ASK, GREEDY))


@pytest.mark.parametrize(
    "body", ["<html>hello</html>", "[1]", {"choices": []}, {"choices": [{}]}, {"choices": [{"message": "x"}]}, {}]
)
def test_an_answer_that_is_no_completion_is_an_error(fake, model, body):
    fake.answers = [{"body": body}]
    with pytest.raises(ProviderError) as caught:
        model.complete(ASK, GREEDY)
    assert caught.value.code == "provider-answer"


SAID = {"content": "a"}
ODD = [
    {"choices": 5},
    {"choices": {"0": SAID}},
    {"choices": ["x"]},
    {"choices": [{"PART": "hi"}]},
    {"choices": [{"PART": {"content": 7}}]},
    {"choices": [{"PART": {"content": ["a"]}}]},
    {"choices": [{"PART": {**SAID, "tool_calls": 5}}]},
    {"choices": [{"PART": {**SAID, "tool_calls": ["add"]}}]},
    {"choices": [{"PART": SAID, "logprobs": "q"}]},
    {"choices": [{"PART": SAID, "logprobs": {"content": [{"token": 5}]}}]},
    {"choices": [{"PART": SAID, "logprobs": {"tokens": ["a"], "token_logprobs": [-1], "top_logprobs": [7]}}]},
    {"choices": [{"PART": SAID}], "usage": {"prompt_tokens": "abc"}},
    {"choices": [{"PART": SAID}], "usage": {"prompt_tokens": -3}},
    {"choices": [{"PART": SAID}], "usage": {"completion_tokens": float("inf")}},
    {"choices": [{"PART": SAID}], "usage": {"completion_tokens": 10**30}},
    {"choices": [{"PART": SAID}], "usage": {"completion_tokens": [1]}},
    {"error": {"message": "boom", "code_status": "abc"}},
    {"error": {"message": "boom", "code_status": [500]}},
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("odd", ODD)
def test_json_of_another_form_is_one_of_our_errors(fake, model, odd, streamed):
    data = json.dumps(odd).replace("PART", "delta" if streamed else "message")
    fake.answers = [{"pieces": [event("Hel"), f"data: {data}\n\n", event(None, "stop")]} if streamed else {"body": data}]
    with pytest.raises(ProviderError) as caught:
        list(model.stream(ASK, GREEDY)) if streamed else model.complete(ASK, GREEDY)
    assert caught.value.code == "provider-answer"
    assert len(fake.requests) == 1


@pytest.mark.parametrize("depth", [*range(50, 1100, 50), 100_000])
def test_json_that_is_nested_too_deep_is_one_of_our_errors(fake, model, depth):
    nested = "[" * depth + "]" * depth
    bodies = [f'{{"choices": {nested}}}', f'{{"choices": [{{"message": {nested}}}]}}', f'{{"usage": {nested}}}']
    fake.answers = [
        *({"body": body} for body in bodies),
        {"pieces": [f"data: {bodies[0]}\n\n"]},
        {"status": 400, "body": bodies[0]},
    ]
    for ask in (*[model.complete] * 3, lambda *asked: list(model.stream(*asked))):
        with pytest.raises(ProviderError) as caught:
            ask(ASK, GREEDY)
        assert caught.value.code == "provider-answer"
    with pytest.raises(ProviderError) as caught:
        model.complete(ASK, GREEDY)
    assert caught.value.status == 400


@pytest.mark.parametrize("first", [True, False])
def test_a_stream_of_another_form_is_closed(fake, model, first):
    odd = 'data: {"choices": 5}\n\n'
    fake.answers = [{"pieces": [*([] if first else [event("word ")]), odd, *[event("word ")] * 2000], "pause_s": 0.005}]
    with pytest.raises(ProviderError):
        list(model.stream(ASK, GREEDY))
    assert fake.broken.wait(5)


def test_closing_a_stream_closes_the_connection(fake, model):
    fake.answers = [{"pieces": [event("word ")] * 2000, "pause_s": 0.005}]
    stream = model.stream(ASK, GREEDY)
    assert next(stream).text == "word "
    stream.close()
    assert fake.broken.wait(10)


def test_many_threads_use_one_model(fake, model):
    from concurrent.futures import ThreadPoolExecutor

    fake.answers = [{"body": REPLY, "pause_s": 0.02}]
    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(lambda _: model.complete(ASK, GREEDY).text, range(32)))
    assert texts == ["Hello you"] * 32


def test_keys_are_not_logged(fake, model, caplog):
    caplog.set_level("DEBUG")
    fake.answers = [{"body": REPLY}]
    model.complete(ASK, GREEDY)
    assert KEY not in caplog.text


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1/v1", "http://[::1/v1"])
def test_an_address_that_cannot_be_one_is_named(url):
    model = OpenAIChatModel("lab/small", url, "small", max_retries=3)
    with pytest.raises(ProviderError, match="'lab/small'") as caught:
        model.complete(ASK, GREEDY)
    model.close()
    assert caught.value.code == "provider-url"


def _httpx_exceptions():
    return sorted(
        (value for value in vars(httpx).values() if inspect.isclass(value) and issubclass(value, Exception)),
        key=lambda c: c.__name__,
    )


@pytest.mark.parametrize("kind", _httpx_exceptions(), ids=lambda kind: kind.__name__)
def test_every_exception_of_httpx_is_mapped(kind):
    request = httpx.Request("GET", "http://127.0.0.1")
    made = {
        "HTTPStatusError": lambda: kind("m", request=request, response=httpx.Response(500)),
        "ResponseNotRead": kind,
        "RequestNotRead": kind,
        "StreamClosed": kind,
        "StreamConsumed": kind,
    }.get(kind.__name__, lambda: kind("m"))()
    mapped = wire.map_exception(made, "'m'")
    assert isinstance(mapped, ProviderError)
    assert mapped.code.startswith("provider-")
    assert kind.__name__ in mapped.message
    specific = {
        "TimeoutException": ProviderTimeoutError,
        "ConnectError": ProviderTimeoutError,
        "ReadTimeout": ProviderTimeoutError,
    }
    assert isinstance(mapped, specific.get(kind.__name__, HomeroomError))
    # Only what says "unreadable answer" may fall through to the last line.
    readable = {
        "DecodingError",
        "TooManyRedirects",
        "HTTPStatusError",
        "HTTPError",
        "ProtocolError",
        "RequestError",
        "TransportError",
        "StreamError",
    }
    unread = {"StreamConsumed", "StreamClosed", "ResponseNotRead", "RequestNotRead"}
    assert (mapped.code == "provider-answer") == (kind.__name__ in readable | unread)


def test_models_of_an_endpoint_that_cannot_be_reached_are_none():
    from homeroom.models.client import list_models

    assert list_models("http://127.0.0.1:9/v1") == ()
    assert list_models("not a url") == ()
