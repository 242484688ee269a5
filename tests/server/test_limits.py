"""How much a client may ask for: requests in a minute, streams at once, bytes of body, headers and address."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from homeroom.chat.testing import PacedChatModel
from homeroom.server.failures import TooManyRequestsError
from homeroom.server.limits import KNOWN_ADDRESSES, MAX_ADDRESS_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, RateLimit
from homeroom.server.policy import LARGE, ROUTES, SMALL
from homeroom.storage import Scope
from tests.server.conftest import Site


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def refused_after(limit: RateLimit, address: str, family: str) -> int:
    """How many requests pass before one is refused."""
    for count in range(10_000):
        try:
            limit.take(address, family)
        except TooManyRequestsError:
            return count
    raise AssertionError("none was refused")


def test_a_minutes_worth_is_there_at_once_and_comes_back_evenly() -> None:
    clock = Clock()
    limit = RateLimit(60, clock=clock)
    assert refused_after(limit, "a", "pages") == 60
    clock.now += 5
    assert refused_after(limit, "a", "pages") == 5
    clock.now += 3600
    assert refused_after(limit, "a", "pages") == 60


def test_who_waits_as_long_as_told_is_answered() -> None:
    clock = Clock()
    limit = RateLimit(6, clock=clock)
    assert refused_after(limit, "a", "pages") == 6
    with pytest.raises(TooManyRequestsError) as caught:
        limit.take("a", "pages")
    assert caught.value.retry_after_s == pytest.approx(10)
    clock.now += caught.value.retry_after_s
    limit.take("a", "pages")


def test_addresses_and_families_have_counts_of_their_own() -> None:
    limit = RateLimit(3, clock=Clock())
    assert [refused_after(limit, *who) for who in (("a", "pages"), ("b", "pages"), ("a", "api"), ("a", "pages"))] == [3, 3, 3, 0]


def test_zero_is_no_limit() -> None:
    limit = RateLimit(0)
    for _ in range(5000):
        limit.take("a", "pages")


def test_counts_do_not_pile_up() -> None:
    limit = RateLimit(1, clock=Clock())
    for number in range(KNOWN_ADDRESSES + 50):
        limit.take(str(number), "pages")
    assert len(limit._left) == KNOWN_ADDRESSES


def test_too_many_requests_are_answered_with_when_to_come_back(make_site: Callable[..., Site]) -> None:
    client = make_site(requests_per_minute=6).app.test_client()
    assert [client.get("/v1/models").status_code for _ in range(8)] == [200] * 6 + [429] * 2
    refused = client.get("/v1/models")
    assert refused.headers["Retry-After"] == "10"
    assert refused.get_json()["error"]["type"] == "rate_limit_error"
    assert refused.get_json()["error"]["code"] == "too_many_requests"
    assert [client.get("/", headers={"Accept": "text/html"}).status_code for _ in range(7)] == [200] * 6 + [429]
    page = client.get("/", headers={"Accept": "text/html"})
    assert page.mimetype == "text/plain"
    assert 1 <= int(page.headers["Retry-After"]) <= 10
    assert [client.get("/health").status_code for _ in range(50)] == [200] * 50


def test_requests_that_are_refused_anyway_count(make_site: Callable[..., Site]) -> None:
    client = make_site(requests_per_minute=5).app.test_client()
    codes = [client.post("/chat/turns", json={"text": "x"}).status_code for _ in range(7)]
    assert codes == [400] * 5 + [429] * 2


def test_a_refused_request_does_no_work(make_site: Callable[..., Site]) -> None:
    site = make_site(requests_per_minute=2)
    ana = site.client()
    model = site.add_model(PacedChatModel("ft:counted", lambda m: "x"))
    answers = [ana.post("/chat/turns", json={"text": "hi", "model": "ft:counted"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    for answer in answers:
        answer.get_data()
    assert len(site.desk.conversations.list(Scope("school", "ana"))) == 2
    assert model is not None


@pytest.mark.parametrize("route", sorted(route for route in ROUTES if route.startswith("POST ")))
def test_a_body_that_says_it_is_larger_than_the_address_takes_is_not_read(make_site: Callable[..., Site], route: str) -> None:
    site = make_site()
    ana = site.client()
    policy, url = ROUTES[route], route.split(" ", 1)[1].replace("<", "").replace(">", "")
    response = ana.post(url, json={"text": "x"}, environ_overrides={"CONTENT_LENGTH": str(policy.body_bytes + 1)})
    assert response.status_code == 413, response.get_data(as_text=True)[:200]
    assert policy.body_bytes >= SMALL


def test_a_body_that_is_larger_is_refused_with_each_kind_of_content(make_site: Callable[..., Site]) -> None:
    ana = make_site().client()
    big = "x" * LARGE
    chat = {"model": "base", "messages": [{"role": "user", "content": big}]}
    assert ana.post("/v1/chat/completions", json=chat).status_code == 413
    assert ana.post("/chat/turns", json={"text": big}).status_code == 413
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        assert ana.post("/models/use", data={"name": "x" * (SMALL + 1)}, content_type=kind).status_code == 413


def test_long_headers_and_addresses_are_refused(make_site: Callable[..., Site]) -> None:
    client = make_site().app.test_client()
    for headers in ({"X-Long": "x" * MAX_HEADER_BYTES}, {f"X-{n}": "x" for n in range(MAX_HEADERS + 1)}):
        response = client.get("/v1/models", headers=headers)
        assert (response.status_code, response.get_json()["error"]["code"]) == (431, "headers_too_large")
    assert client.get("/" + "x" * MAX_ADDRESS_BYTES).status_code == 431
    assert client.get("/?subject=" + "x" * MAX_ADDRESS_BYTES).status_code == 431
    assert client.get("/?subject=" + "x" * 1000).status_code == 200


def test_streams_at_once_are_capped(make_site: Callable[..., Site]) -> None:
    site = make_site(max_replies=2, max_listeners=1)
    ana = site.client()
    site.add_model(PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    held = [ana.post("/chat/turns", json={"text": "hi", "model": "ft:slow"}) for _ in range(2)]
    for url, body in (
        ("/chat/turns", {"text": "hi"}),
        ("/v1/chat/completions", {"model": "base", "messages": [{"role": "user", "content": "x"}]}),
    ):
        refused = ana.post(url, json=body)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    assert ana.get("/health").status_code == 200
    site.desk.chat.stop_all()
    for response in held:
        response.get_data()
        response.close()
    assert ana.post("/v1/chat/completions", json=body).status_code == 200


@pytest.fixture
def address(live: tuple[Site, str]) -> Iterator[tuple[str, int]]:
    parts = urlsplit(live[1])
    assert parts.hostname is not None and parts.port is not None
    return parts.hostname, parts.port


def test_a_body_without_a_length_is_bounded_too(live: tuple[Site, str]) -> None:
    """Sent in chunks, so that only reading it tells how long it is."""

    def pieces() -> Iterator[bytes]:
        yield b'{"model": "base", "messages": "'
        for _ in range(40):
            yield b"x" * 50_000
        yield b'"}'

    with httpx.Client() as client:
        try:
            status = client.post(
                f"{live[1]}/v1/chat/completions", content=pieces(), headers={"Content-Type": "application/json"}
            ).status_code
        except httpx.TransportError:  # the server closed the connection while more was on its way
            status = 413
    assert status in (400, 413)
    assert httpx.get(f"{live[1]}/health").status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 500,
    ],
)
def test_what_is_no_http_ends_the_connection_and_nothing_else(
    live: tuple[Site, str], address: tuple[str, int], sent: bytes
) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(4096)
    assert b"Traceback" not in answer
    assert httpx.get(f"{live[1]}/health").status_code == 200
