"""Every address, method and kind of caller, on a live application: the table of `homeroom.server.matrix`, cell by cell."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pytest
from flask import Flask

from homeroom.chat.testing import PacedChatModel
from homeroom.schema.jobs import Job
from homeroom.server.matrix import CREDENTIALS, Credential, Outcome, cells
from homeroom.server.policy import ROUTES, Policy, UnlistedRouteError, enforce_list, served
from tests.server.conftest import EMBEDDER, LEARNER, TUTOR, Browser, Site, parse_events

TEXT = "ft:text:homeroom:alone:00000000"
FORM = "application/x-www-form-urlencoded"
# What a valid request carries; addresses that are not named carry nothing.
TRAINING = b"".join(
    b'{"messages": [{"role": "user", "content": "Why %d?"}, {"role": "assistant", "content": "Look."}]}\n' % n for n in range(10)
)
BODIES: dict[str, dict[str, Any]] = {
    "POST /practice": {"data": {"scenario": "learner-005"}},
    "POST /practice/<session_id>/turns": {"json": {"text": "Why?"}},
    "POST /practice/<session_id>/turns/<turn_id>/again": {"json": {}},
    "POST /chat/turns": {"json": {"text": "Hello"}},
    "POST /chat/<conversation_id>/turns": {"json": {"text": "Hello again"}},
    "POST /chat/<conversation_id>/title": {"data": {"title": "Fractions"}},
    "POST /turns/<turn_id>/again": {"json": {}},
    "POST /turns/<turn_id>/thumb": {"data": {"thumb": "up"}},
    "POST /turns/<turn_id>/feedback": {"data": {"thumb": "down", "consent": "refused"}},
    "POST /replies/<reply_id>/stop": {"json": {}},
    "POST /compare": {"json": {"text": "Hello", "models": ["base", TUTOR]}},
    "POST /models/settings": {"data": {"name": TUTOR, "temperature": "0.5", "max_tokens": "64"}},
    "POST /models/use": {"data": {"name": TUTOR, "task": "tutor"}},
    "POST /v1/chat/completions": {"json": {"model": "base", "messages": [{"role": "user", "content": "hi"}]}},
    "POST /v1/responses": {"json": {"model": "base", "input": "hi"}},
    "POST /v1/embeddings": {"json": {"model": EMBEDDER, "input": "hi"}},
    "POST /v1/completions": {"json": {"model": TEXT, "prompt": "hi"}},
    "GET /models/settings": {"query_string": {"name": TUTOR}},
    "GET /models/report": {"query_string": {"key": "report-1"}},
}


class TextModel(PacedChatModel):
    """A model that goes on with texts, too."""

    def complete_with(self, messages, settings, options):
        return self.complete(messages, settings)

    def stream_with(self, messages, settings, options):
        return self.stream(messages, settings)

    def complete_text(self, prompt, settings, options):
        return self.complete([], settings)

    def stream_text(self, prompt, settings, options):
        return self.stream([], settings)


@dataclass
class Stage:
    """A site with a browser, and fresh things for each request that changes some."""

    site: Site
    browser: Browser
    open: list[Any] = field(default_factory=list)

    def address(self, route: str) -> str:
        """The rule with ids of things that were made just now, so that every request finds what it needs."""
        rule = route.split(" ", 1)[1]
        if "<" not in rule:
            return rule
        if route == "DELETE /v1/models/<path:name>":
            name = f"ft:gone:homeroom:soon:{secrets.token_hex(4)}"
            self.site.add_model(PacedChatModel(name, lambda m: "bye"))
            return f"/v1/models/{name}"
        ids = self._make(rule)
        return re.sub(r"<(?:path:)?(\w+)>", lambda found: ids[found[1]], rule)

    def _make(self, rule: str) -> dict[str, str]:
        if rule.startswith("/static/"):
            return {"filename": "homeroom.css"}
        if rule.startswith("/v1/models/"):
            return {"name": LEARNER}
        if rule.startswith("/v1/files/"):
            return {"file_id": self.training_file()}
        if rule.startswith("/v1/fine_tuning/"):
            order = {"model": "base", "training_file": self.training_file()}
            return {"job_id": self.browser.post("/v1/fine_tuning/jobs", json=order).get_json()["id"]}
        if rule.startswith("/jobs/"):
            return {"job_id": self.site.jobs[0].id}
        if rule.startswith("/practice/"):
            return self._practice(finished=rule.endswith("/notes"))
        if rule.startswith("/compare/"):
            events = dict(self.browser.stream("/compare", {"text": "Hello", "models": ["base", TUTOR]}))
            return {"conversation_id": events["begin"]["url"].rsplit("/", 1)[-1], "turn_id": events["begin"]["replies"][0]}
        if rule.startswith("/replies/"):
            return {"reply_id": self._on_its_way()}
        begun = dict(self.browser.stream("/chat/turns", {"text": "Hello"}))["begin"]
        return {"conversation_id": begun["conversation"], "turn_id": begun["reply"], "reply_id": begun["reply"]}

    def training_file(self) -> str:
        """The id of an upload."""
        form = {"purpose": "fine-tune", "file": (BytesIO(TRAINING), "train.jsonl")}
        return str(self.browser.post("/v1/files", data=form).get_json()["id"])

    def _on_its_way(self) -> str:
        """The id of a reply that goes on until it is stopped."""
        name = f"ft:slow:{len(self.open)}"
        self.site.add_model(PacedChatModel(name, lambda m: "one two three", hold_after=1))
        response = self.browser.post("/chat/turns", json={"text": "hi", "model": name})
        self.open.append(response)
        for piece in response.response:
            begun = dict(parse_events(piece.decode()))
            if "begin" in begun:
                return str(begun["begin"]["reply"])
        raise AssertionError("the reply did not begin")

    def _practice(self, *, finished: bool) -> dict[str, str]:
        session = self.browser.post("/practice", data={"scenario": "learner-005"}).headers["Location"].rsplit("/", 1)[-1]
        begun = dict(self.browser.stream(f"/practice/{session}/turns", {"text": "Why?"}))["begin"]
        if finished:
            assert self.browser.post(f"/practice/{session}/finish").status_code == 303
        return {"session_id": session, "turn_id": begun["exchange"]}


def furnished(site: Site) -> Site:
    """A site with what the requests of `BODIES` speak of."""
    site.jobs.append(Job("job-1", "tune", "succeeded", created_at=1.0))
    site.add_model(TextModel(TEXT, lambda m: "and so on"))
    return site


@pytest.fixture
def stage(make_site: Callable[..., Site]) -> Iterator[Stage]:
    site = furnished(make_site(requests_per_minute=0))
    made = Stage(site, site.client())
    yield made
    site.desk.chat.stop_all()
    for response in made.open:
        response.close()


def body_of(stage: Stage, route: str) -> dict[str, Any]:
    """What a valid request to the route carries."""
    if route == "POST /v1/files":
        return {"data": {"purpose": "fine-tune", "file": (BytesIO(TRAINING), "train.jsonl")}}
    if route == "POST /v1/fine_tuning/jobs":
        return {"json": {"model": "base", "training_file": stage.training_file()}}
    return BODIES.get(route.replace("HEAD ", "GET "), {})


def send(stage: Stage, method: str, url: str, route: str, credential: Credential) -> Any:
    """One request as that caller sends it. Returns the response."""
    body = body_of(stage, route)
    if credential.name == "foreign-form":
        foreign = body if method in ("GET", "HEAD") else {"data": "text=x&title=x", "content_type": FORM}
        return stage.site.app.test_client().open(url, method=method, headers=stage.browser.who, **foreign)
    headers: dict[str, str] = {
        "valid": {"X-CSRF-Token": stage.browser.token},
        "none": {},
        "wrong-token": {"X-CSRF-Token": "f" * 43},
        "wrong-host": {"X-CSRF-Token": stage.browser.token, "Host": "evil.example:8642"},
        "wrong-origin": {"X-CSRF-Token": stage.browser.token, "Origin": "https://evil.example"},
        "embedded": {"X-CSRF-Token": stage.browser.token, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        "linked": {
            "X-CSRF-Token": stage.browser.token,
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        },
    }[credential.name]
    client = stage.site.app.test_client() if credential.name == "none" else stage.browser.flask
    return client.open(url, method=method, headers={**stage.browser.who, **headers}, **body)


SAID = {
    "host-refused": "does not answer to the host",
    "origin-refused": "may not do this",
    "csrf": "too old to send anything",
    "media-type": "send ",
}


def code_of(response: Any) -> str:
    """The error's code, in whichever form it was told."""
    text = response.get_data(as_text=True)
    if response.mimetype == "application/json":
        return str(response.get_json()["error"]["code"]).replace("_", "-")
    return next((code for code, words in SAID.items() if words.lower() in text.lower()), "")


@pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda credential: credential.name)
def test_every_cell_of_the_table(stage: Stage, credential: Credential) -> None:
    seen = 0
    for rule, method, caller, expected in cells():
        if caller is not credential:
            continue
        route = f"{method} {rule}"
        listed = f"{'GET' if method == 'HEAD' else method} {rule}" in ROUTES
        reached = listed and expected.status == ROUTES[f"{'GET' if method == 'HEAD' else method} {rule}"].done
        url = stage.address(route) if reached else re.sub(r"<[^>]+>", "homeroom.css", rule)
        response = send(stage, method, url, route, credential)
        if rule == "/ready" and expected.status == 200:
            assert response.status_code in (200, 503)
        else:
            assert response.status_code == expected.status, (route, credential.name, response.get_data(as_text=True)[:300])
        if expected.code and method != "HEAD":
            assert code_of(response) == expected.code, (route, credential.name, response.get_data(as_text=True)[:300])
        if expected.status == 405:
            assert set(re.findall(r"\w+", response.headers["Allow"])).isdisjoint({method})
        response.close()
        seen += 1
    assert seen > 6 * len(ROUTES)


def test_refused_callers_change_nothing(stage: Stage) -> None:
    """What a valid caller made is still as it was after every refused request with its own ids."""
    chat = stage._make("/chat/")
    practice = stage._practice(finished=False)
    api = stage._make("/v1/fine_tuning/")
    job = stage.browser.get(f"/v1/fine_tuning/jobs/{api['job_id']}").data
    before = stage.browser.get(f"/chat/{chat['conversation_id']}").data, stage.site.desk.models.version()
    for route, policy in ROUTES.items():
        method, rule = route.split(" ", 1)
        for credential in CREDENTIALS:
            expected: Outcome | None = credential.refused(method, policy)
            if method == "POST" and expected is not None:
                ids = {**practice, **chat, **api} if not rule.startswith("/practice") else {**chat, **practice}
                url = re.sub(r"<(?:path:)?(\w+)>", lambda found, ids=ids: ids[found[1]], rule)
                assert send(stage, method, url, route, credential).status_code == expected.status
    assert (stage.browser.get(f"/chat/{chat['conversation_id']}").data, stage.site.desk.models.version()) == before
    assert stage.browser.get(f"/practice/{practice['session_id']}").status_code == 200
    assert stage.browser.get(f"/v1/fine_tuning/jobs/{api['job_id']}").data == job


def test_the_list_is_what_is_served(stage: Stage) -> None:
    assert served(stage.site.app) == set(ROUTES)


def test_an_address_without_a_policy_keeps_the_application_from_being_made() -> None:
    app = Flask("test", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.add_url_rule("/new", view_func=lambda: "hello", methods=["GET", "POST"])
    with pytest.raises(UnlistedRouteError, match=r"GET /new has no policy; POST /new has no policy"):
        enforce_list(app, {})
    with pytest.raises(UnlistedRouteError, match=r"GET /old is listed and not served"):
        enforce_list(
            app, {"GET /new": Policy("pages", "none"), "POST /new": Policy("pages", "none"), "GET /old": Policy("pages", "none")}
        )


def test_an_address_that_came_later_is_not_served(stage: Stage) -> None:
    app = stage.site.app
    app._got_first_request = False  # Flask would not even take it
    ran: list[int] = []
    app.add_url_rule("/later", view_func=lambda: ran.append(1) or "hello", methods=["GET", "POST"])
    response = stage.browser.get("/later")
    assert (response.status_code, ran) == (403, [])
    assert "route-unlisted" in response.get_data(as_text=True)


def test_every_change_needs_the_token_unless_programs_make_it() -> None:
    """A rule about the list itself: nobody adds a form without a token by mistake."""
    for route, policy in ROUTES.items():
        method, rule = route.split(" ", 1)
        if method == "GET":
            assert not policy.token
            assert policy.takes == "nothing"
        elif rule.startswith("/v1/"):
            assert (policy.token, policy.linkable) == (False, False)
            assert policy.takes in ("json", "upload", "command")
        else:
            assert policy.token
            assert not policy.linkable


def test_every_refusal_is_a_known_code() -> None:
    codes = {expected.code for _, _, _, expected in cells() if expected.code}
    assert codes == set(SAID)
