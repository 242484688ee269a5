"""Random requests to every address: never a failure of ours, never a traceback, always the headers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException

from homeroom.schema.jobs import Job
from homeroom.server.policy import ROUTES
from tests.server.conftest import LEARNER, TUTOR, Browser, Site

RULES = sorted({route.split(" ", 1)[1] for route in ROUTES})
METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
FIELDS = (
    "text", "model", "models", "name", "title", "thumb", "reason", "consent", "better_answer", "scenario", "task", "stop", "temperature",
    "max_tokens", "system_prompt", "current", "messages", "stream", "stream_options", "response_format", "seed", "key", "subject", "band",
    "csrf_token", "n", "tools", "logit_bias",
)  # fmt: skip
KNOWN = ("", "base", TUTOR, LEARNER, "learner-005", "up", "granted", "tutor", "report-1", "job-1", "true", "0.5", "64")
HEADERS = (
    "Accept", "Content-Type", "Origin", "Host", "Sec-Fetch-Site", "Sec-Fetch-Mode", "HX-Request", "Cookie", "Range", "If-None-Match",
    "If-Modified-Since", "X-Forwarded-Proto", "X-Forwarded-For", "Transfer-Encoding", "Authorization", "Accept-Language", "Forwarded",
    "X-HTTP-Method-Override", "Content-Encoding", "Content-Length",
)  # fmt: skip

words = st.one_of(st.sampled_from(KNOWN), st.text(max_size=30))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)),
    max_leaves=8,
)
chat = st.fixed_dictionaries(
    {"model": st.just("base"), "messages": st.lists(st.fixed_dictionaries({"role": words, "content": values}), max_size=3)},
    optional=dict.fromkeys(("stream", "stop", "temperature", "max_tokens", "response_format", "seed", "top_p"), values),
)
objects = st.one_of(st.dictionaries(st.sampled_from(FIELDS), values, max_size=6), chat, values)
bodies = st.one_of(
    objects.map(lambda value: (json.dumps(value), "application/json")),
    st.dictionaries(st.sampled_from(FIELDS), words, max_size=5).map(lambda value: (value, "application/x-www-form-urlencoded")),
    st.dictionaries(st.sampled_from(FIELDS), words, max_size=5).map(lambda value: (value, "multipart/form-data")),
    st.tuples(
        st.binary(max_size=200), st.sampled_from(("application/json", "multipart/form-data; boundary=x", "text/plain", ""))
    ),
    st.sampled_from(
        (
            ("[" * 50_000, "application/json"),
            ('{"a":' * 900 + "1" + "}" * 900, "application/json"),
            ('{"text": "\\ud800", "model": "base"}', "application/json"),
            ('{"text": "\\u0000"}', "application/json"),
            ('{"text": ' + "9" * 9000 + "}", "application/json"),
            ('{"text": NaN}', "application/json"),
        )
    ),
)
# What a header may carry: anything that does not end the line.
header_text = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=40)
headers = st.dictionaries(
    st.sampled_from(HEADERS),
    st.one_of(
        header_text,
        st.sampled_from(("text/html", "application/json", "true", "localhost", "[", "http://[", "bytes=9-1,-", "*/*;q=x")),
    ),
    max_size=4,
)
ids = st.one_of(
    st.sampled_from(("x", "%00", "..%2f..", "turn-0", "job-1", "homeroom.css", "a" * 300)),
    st.text(st.characters(exclude_characters="?#"), min_size=1, max_size=8),  # a query has a place of its own
)


@pytest.fixture
def browser(make_site: Callable[..., Site]) -> Browser:
    made = make_site(requests_per_minute=0)
    made.jobs.append(Job("job-1", "tune", "failed", created_at=1.0, error="it ended"))
    return made.client()


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_request_makes_it_fail(browser: Browser, data: st.DataObject) -> None:
    ask(browser, data)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_request_of_very_many_makes_it_fail(browser: Browser, data: st.DataObject) -> None:
    ask(browser, data)


def ask(browser: Browser, data: st.DataObject) -> None:
    """Draw a request, send it, and look at the answer."""
    rule = data.draw(st.one_of(st.sampled_from(RULES), st.text(max_size=20).map(lambda text: "/" + re.sub("[?#]", "", text))))
    url = re.sub(r"<[^>]+>", lambda _: data.draw(ids), rule)
    method = data.draw(st.sampled_from(METHODS))
    body, content_type = data.draw(bodies)
    query = data.draw(st.dictionaries(st.sampled_from(FIELDS), words, max_size=3))
    given_headers = {"X-CSRF-Token": browser.token, **browser.who, **data.draw(headers)}
    sent: dict[str, Any] = {} if method in ("GET", "HEAD") else {"data": body, "content_type": content_type}
    try:
        response = browser.flask.open(url, method=method, headers=given_headers, query_string=query, **sent)
    except (UnicodeError, HTTPException):
        return  # the test's own client cannot send it
    endless = response.mimetype == "text/event-stream" and method == "GET"
    text = b"".join([next(iter(response.response))] if endless else list(response.response)).decode("utf-8", "replace")
    response.close()
    assert response.status_code < 500 or (response.status_code, rule) == (503, "/ready"), text[:500]
    assert "Traceback" not in text
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
