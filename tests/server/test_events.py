from __future__ import annotations

import json
import threading

import httpx

from homeroom.chat.testing import PacedChatModel
from homeroom.errors import StorageError
from homeroom.schema.jobs import Job
from homeroom.server.changes import ChangeFeed


def changed(lines) -> dict[str, str]:
    """The next topic that a stream of events tells of."""
    for line in lines:
        if line.startswith("data: "):
            return json.loads(line[6:])
    raise AssertionError("the stream ended")


def test_an_open_page_hears_of_a_new_model_and_of_a_job(live) -> None:
    site, url = live
    with httpx.stream("GET", f"{url}/events", timeout=10) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        lines = response.iter_lines()
        assert {changed(lines)["topic"], changed(lines)["topic"]} == {"jobs", "models"}
        site.add_model(PacedChatModel("ft:new", lambda m: "ok"))
        assert changed(lines)["topic"] == "models"
        site.jobs.append(Job("job-1", "tune", "running"))
        assert changed(lines)["topic"] == "jobs"


def test_one_listener_too_many_asks_from_time_to_time(make_site) -> None:
    site = make_site(max_listeners=1)
    client = site.app.test_client()
    first = client.get("/events")
    second = client.get("/events", headers={"Accept": "text/event-stream"})
    assert second.status_code == 429
    assert client.get("/events/state").get_json().keys() == {"models", "jobs"}
    first.close()
    third = client.get("/events")
    assert third.status_code == 200
    third.close()


def test_the_feed_asks_only_while_somebody_listens() -> None:
    asked = threading.Event()
    versions = {"models": "1"}

    def changes() -> dict[str, str]:
        asked.set()
        return dict(versions)

    before = set(threading.enumerate())
    feed = ChangeFeed(changes, interval_s=0.01)
    assert not asked.is_set()
    listener = feed.listen()
    assert next(listener) == {"models": "1"}
    versions["models"] = "2"
    assert next(listener) == {"models": "2"}
    (poller,) = set(threading.enumerate()) - before
    listener.close()
    poller.join(5)
    assert not poller.is_alive()
    versions["models"] = "3"
    again = feed.listen(known={"models": "2"})
    assert next(again) == {"models": "3"}
    again.close()


def test_what_is_known_is_not_told_again() -> None:
    feed = ChangeFeed(lambda: {"models": "1", "jobs": "7"}, interval_s=0.01)
    listener = feed.listen(known={"models": "1"})
    assert next(listener) == {"jobs": "7"}
    listener.close()


def test_a_quiet_time_yields_an_empty_change_and_the_limit_ends_the_stream() -> None:
    feed = ChangeFeed(dict, interval_s=0.01)
    assert next(feed.listen(ping_s=0.01)) == {}
    assert list(feed.listen(limit_s=0)) == []


def test_a_look_that_fails_is_tried_again() -> None:
    answers = iter([StorageError("locked"), {"models": "1"}])

    def changes() -> dict[str, str]:
        answer = next(answers, {"models": "1"})
        if isinstance(answer, StorageError):
            raise answer
        return answer

    listener = ChangeFeed(changes, interval_s=0.01).listen()
    assert next(listener) == {"models": "1"}
    listener.close()


def test_closing_ends_every_listener() -> None:
    feed = ChangeFeed(lambda: {"models": "1"}, interval_s=0.01)
    listeners = [feed.listen() for _ in range(3)]
    for listener in listeners:
        assert next(listener) == {"models": "1"}
    feed.close()
    assert [list(listener) for listener in listeners] in ([[], [], []], [[{}], [{}], [{}]])
