"""The server as a page's script uses it: a browser's session for tests of single requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.faults.bed import Bed


@contextmanager
def browser(bed: Bed) -> Iterator[httpx.Client]:
    """A client with the session and the token of a page; asks for JSON."""
    with httpx.Client(base_url=bed.address, timeout=60, trust_env=False, headers={"Accept": "application/json"}) as web:
        found = re.search(r'name="csrf-token" content="([^"]+)"', web.get("/chat", headers={"Accept": "text/html"}).text)
        assert found
        web.headers["X-CSRF-Token"] = found[1]
        yield web


def say(web: httpx.Client, text: str = "Half of 14 is 8.") -> httpx.Response:
    """Send a first message; the whole answer, stream included."""
    return web.post("/chat/turns", json={"text": text})


def reply_of(answer: httpx.Response) -> str:
    """The id of the reply that the stream says is stored."""
    found = re.search(r'event: done\ndata: \{"reply":"([^"]+)"', answer.text)
    assert found, answer.text
    return found[1]
