"""Webhooks: signed as the official SDK checks them, in order, until they are taken, and only where they may go."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import openai
import pytest

from homeroom.app.fine_tuning.addresses import target_of
from homeroom.app.fine_tuning.deliveries import Sender, deliver
from homeroom.app.fine_tuning.signing import new_secret, signed_headers
from homeroom.app.fine_tuning.webhooks import GIVE_UP_S, WebhookStore
from homeroom.errors import ConfigError, NotFoundError
from homeroom.jobs.store import JobStore
from homeroom.storage import Database, Scope
from homeroom.storage.tables import FineTuningJobRow
from tests.cli.commands import Command, eventually, kill_all
from tests.openai_api.conftest import Server

SDK = openai.OpenAI(api_key="none", base_url="http://127.0.0.1:1/v1")


class Receiver:
    """Keeps what it is sent; `answers` are the next statuses, then 200."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((dict(self.headers), body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?x=1"

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]

    @property
    def told(self) -> list[tuple[str, str]]:
        """Job and type of each event, as it came."""
        return [(event["data"]["id"], event["type"]) for event in (json.loads(body) for _, body in self.requests)]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    threading.Thread(target=receiver.server.serve_forever, args=(0.02,), daemon=True).start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def store(database: Database, clock: Time) -> WebhookStore:
    return WebhookStore(database, private=True, clock=clock)


@pytest.fixture
def send(clock: Time) -> Iterator[Sender]:
    sender = Sender(private=True, clock=clock)
    yield sender
    sender.close()


@pytest.fixture
def end(database: Database) -> Callable[..., str]:
    """Ends a fine-tuning job: ``end("succeeded")`` gives its id."""
    count = 0

    def one(state: str, scope: Scope | None = None) -> str:
        nonlocal count
        count += 1
        scope = scope or Scope()
        jobs = JobStore(database, scope=scope)
        job = jobs.submit("tune", {"n": count})
        with database.write() as session:
            session.add(
                FineTuningJobRow(
                    id=f"ftjob-{count}", position=count, job_id=job.id, model="m", base="b", training_file="file-1", request={},
                    **scope.columns(),
                )
            )  # fmt: skip
        if state == "cancelled":
            jobs.request_cancel(job.id)
        else:
            claimed = jobs.claim("w", 30, job.id)
            assert claimed is not None
            jobs.finish(job.id, claimed.token, state)  # type: ignore[arg-type]
        return f"ftjob-{count}"

    return one


def test_the_sdk_unwraps_what_is_sent_and_nothing_else(store, send, receiver, end) -> None:
    _, secret = store.add(receiver.url)
    job = end("succeeded")
    deliver(store, send)
    [(headers, body)] = receiver.requests
    event = SDK.webhooks.unwrap(body, headers, secret=secret)
    assert (event.type, event.data.id, event.id) == ("fine_tuning.job.succeeded", job, headers["webhook-id"])
    assert event.object == "event"
    for spoilt, given in ((body.replace(b"succeeded", b"cancelled"), secret), (body, new_secret())):
        with pytest.raises(openai.InvalidWebhookSignatureError):
            SDK.webhooks.unwrap(spoilt, headers, secret=given)


def test_an_old_sending_is_refused_by_the_sdk() -> None:
    secret, body = (
        new_secret(),
        b'{"id": "evt_1", "object": "event", "type": "fine_tuning.job.failed", "created_at": 1, "data": {"id": "x"}}',
    )
    now = int(time.time())
    assert SDK.webhooks.unwrap(body, signed_headers(secret, "evt_1", now, body), secret=secret).type == "fine_tuning.job.failed"
    with pytest.raises(openai.InvalidWebhookSignatureError, match="too old"):
        SDK.webhooks.unwrap(body, signed_headers(secret, "evt_1", now - 3600, body), secret=secret)


def test_events_come_in_their_order_once_each(store, send, receiver, end) -> None:
    store.add(receiver.url)
    told = [(end(state), f"fine_tuning.job.{state}") for state in ("failed", "succeeded", "cancelled", "succeeded")]
    for _ in range(3):
        deliver(store, send)
    assert receiver.told == told
    assert len(set(receiver.ids)) == 4
    assert store.list()[0].waiting == 0


def test_what_is_not_taken_is_sent_again_with_the_same_id_and_later_ones_wait(store, send, receiver, end, clock) -> None:
    store.add(receiver.url)
    receiver.answers += [500, 302, 200]
    first, second = end("succeeded"), end("failed")
    deliver(store, send)
    assert [job for job, _ in receiver.told] == [first]
    deliver(store, send)
    clock.now += 4.9
    deliver(store, send)
    assert len(receiver.requests) == 1  # not before its time
    clock.now += 0.2
    deliver(store, send)
    assert store.list()[0].waiting == 2  # a redirect is not followed, and is no success
    clock.now += 10.1
    deliver(store, send)
    assert [job for job, _ in receiver.told] == [first, first, first, second]
    assert len(set(receiver.ids[:3])) == 1
    assert len({body for _, body in receiver.requests[:3]}) == 1
    stamps = [int(headers["webhook-timestamp"]) for headers, _ in receiver.requests[:3]]
    assert stamps[0] < stamps[1] < stamps[2]


def test_a_webhook_that_never_answers_is_given_up_and_holds_up_no_other(store, send, receiver, end, clock) -> None:
    store.add("http://127.0.0.1:9/nobody")
    store.add(receiver.url)
    first = end("succeeded")
    deliver(store, send)
    assert [job for job, _ in receiver.told] == [first]
    assert {hook.url: hook.waiting for hook in store.list()} == {"http://127.0.0.1:9/nobody": 1, receiver.url: 0}
    clock.now += GIVE_UP_S
    deliver(store, send)
    assert [hook.waiting for hook in store.list()] == [0, 0]
    end("failed")
    deliver(store, send)
    assert {hook.url: hook.waiting for hook in store.list()} == {"http://127.0.0.1:9/nobody": 1, receiver.url: 0}


def test_a_clock_that_was_set_back_delays_nothing_for_long(store, send, receiver, end, clock) -> None:
    store.add(receiver.url)
    receiver.answers += [500]
    end("succeeded")
    deliver(store, send)
    clock.now -= 86_400
    deliver(store, send)
    assert len(receiver.requests) == 2


def test_only_news_of_ones_own_that_was_asked_for(store, send, receiver, end, database, clock) -> None:
    end("succeeded")
    store.add(receiver.url, ["fine_tuning.job.failed"])
    end("succeeded")
    end("failed", Scope("school", "bea"))
    wanted = end("failed")
    deliver(store, send)
    assert receiver.told == [(wanted, "fine_tuning.job.failed")]


def test_a_crash_between_sending_and_noting_it_sends_it_again_with_the_same_id(
    store, send, receiver, end, database, clock
) -> None:
    store.add(receiver.url)
    end("succeeded")
    store.collect()
    [delivery] = store.due()
    send(delivery)  # and then the process dies
    deliver(WebhookStore(database, private=True, clock=clock), send)
    assert len(receiver.ids) == 2
    assert len(set(receiver.ids)) == 1


def test_private_addresses_are_for_those_who_allow_them(database) -> None:
    closed = WebhookStore(database)
    for url in ("http://127.0.0.1/x", "http://localhost:1/x", "http://[::1]/x", "http://10.1.2.3/x", "http://192.168.0.7/",
                "http://169.254.169.254/latest/meta-data", "http://[::ffff:10.0.0.1]/", "http://0.0.0.0/", "http://a.localhost/"):  # fmt: skip
        with pytest.raises(ConfigError) as caught:
            closed.add(url)
        assert caught.value.code == "webhook-private", url
    assert closed.list() == ()
    closed.add("https://example.org/x")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.8", "::1", "fe80::1%eth0", "::ffff:192.168.1.1", "100.64.0.1", "224.0.0.1"]
)
def test_a_name_that_leads_inside_is_found_out_when_it_is_sent(address: str) -> None:
    def find(name: str, port: int) -> list[str]:
        return ["93.184.216.34", address]

    with pytest.raises(ConfigError, match="webhook_private: true"):
        target_of("https://rebinding.example/x", private=False, find=find)


def test_the_judged_address_is_the_one_that_is_used() -> None:
    target = target_of("https://example.org:8443/x?y=1", private=False, find=lambda name, port: ["93.184.216.34"])
    assert (target.url, target.host, target.server_name) == (
        "https://93.184.216.34:8443/x?y=1",
        "example.org:8443",
        "example.org",
    )
    target = target_of("https://example.org", private=False, find=lambda name, port: ["2606:2800::1"])
    assert (target.url, target.host) == ("https://[2606:2800::1]:443/", "example.org")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org",
        "https://",
        "https://a:b@example.org/",
        "http://x:99999/",
        "https://ex ample.org",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_webhook_is_refused(store: WebhookStore, url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        store.add(url)
    assert caught.value.code == "webhook-url"


def test_an_event_that_does_not_exist_is_refused(store: WebhookStore, receiver: Receiver) -> None:
    with pytest.raises(ConfigError, match=r"'batch.completed' is none of: fine_tuning.job.succeeded"):
        store.add(receiver.url, ["batch.completed"])


def test_a_removed_webhook_hears_nothing_more(store, send, receiver, end) -> None:
    hook, _ = store.add(receiver.url)
    end("succeeded")
    store.collect()
    assert store.remove(receiver.url).id == hook.id
    deliver(store, send)
    assert (receiver.requests, store.list()) == ([], ())
    with pytest.raises(NotFoundError):
        store.remove(hook.id)


@pytest.mark.slow
def test_the_worker_of_a_server_sends_them(server: Server, receiver: Receiver) -> None:
    """Added by the command, told by the server's worker, of a job that was cancelled through the API."""
    from tests.openai_api.helpers import chat_lines, upload

    made = json.loads(server.command("jobs", "webhook", "add", receiver.url, "--event", "cancelled", "--json"))
    client = server.client()
    file_id = upload(client, chat_lines())
    job = client.fine_tuning.jobs.create(model="tiny", training_file=file_id)
    client.fine_tuning.jobs.cancel(job.id)
    eventually(lambda: receiver.requests)
    headers, body = receiver.requests[0]
    event = client.webhooks.unwrap(body, headers, secret=made["secret"])
    assert (event.type, event.data.id) == ("fine_tuning.job.cancelled", job.id)
    assert receiver.url in server.command("jobs", "webhook", "list")
    server.command("jobs", "webhook", "remove", made["id"])
    assert httpx.get(f"{server.address}/health").status_code == 200


def test_a_worker_without_a_server_sends_them_too(
    store: WebhookStore, receiver: Receiver, end: Callable[..., str], home: Path
) -> None:
    _, secret = store.add(receiver.url)
    job = end("succeeded")
    worker = Command(home, "worker", env={"HOMEROOM_WEBHOOK_PRIVATE": "true"})
    try:
        eventually(lambda: receiver.requests)
        worker.interrupt()
        assert worker.ended().code == 0
    finally:
        kill_all(home)
    [(headers, body)] = receiver.requests
    event = SDK.webhooks.unwrap(body, headers, secret=secret)
    assert (event.type, event.data.id) == ("fine_tuning.job.succeeded", job)


def test_the_secret_is_shown_once(home: Path, database: Database) -> None:
    store = WebhookStore(database)
    _, secret = store.add("https://example.org/hook")
    assert secret.startswith("whsec_")
    assert secret not in repr(store.list())
