"""Sends webhooks: each in the order of its events, again until it is taken, from one process of the home at a time."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from homeroom import __version__
from homeroom.app.fine_tuning.addresses import target_of
from homeroom.app.fine_tuning.signing import signed_headers
from homeroom.app.fine_tuning.webhooks import Delivery, WebhookStore
from homeroom.errors import HomeroomError
from homeroom.storage.files import make_private_folder
from homeroom.storage.held import hold

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

TICK_S = 0.5
TIMEOUT_S = 10.0
log = logging.getLogger(__name__)
Send = Callable[[Delivery], None]


class Sender:
    """Posts one event.

    Args:
        private: Whether addresses of this machine and of private networks are allowed.
        clock: Unix seconds.
    """

    def __init__(self, *, private: bool, clock: Callable[[], float] = time.time) -> None:
        self._private, self._clock = private, clock
        # No proxy and no redirect: either would lead past the address that was judged.
        self._client = httpx.Client(trust_env=False, follow_redirects=False, timeout=TIMEOUT_S)

    def __call__(self, delivery: Delivery) -> None:
        """Send it once.

        Raises:
            HomeroomError: the address is not allowed.
            OSError: its name has no address.
            httpx.HTTPError: it could not be reached, or did not say that it took the event.
        """
        target = target_of(delivery.url, private=self._private)
        body = json.dumps(delivery.payload, separators=(",", ":")).encode()
        headers = {
            "Host": target.host,
            "Content-Type": "application/json",
            "User-Agent": f"Homeroom/{__version__}",
            **signed_headers(delivery.secret, delivery.id, int(self._clock()), body),
        }
        extensions = {"sni_hostname": target.server_name}
        with self._client.stream("POST", target.url, content=body, headers=headers, extensions=extensions) as answer:
            if not answer.is_success:  # a redirect is none
                raise httpx.HTTPStatusError(f"status {answer.status_code}", request=answer.request, response=answer)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()


def deliver(store: WebhookStore, send: Send) -> None:
    """Send what is due, of each webhook until one is not taken."""
    store.collect()
    tried: set[str] = set()
    while fresh := [delivery for delivery in store.due() if delivery.id not in tried]:
        for delivery in fresh:
            tried.add(delivery.id)
            try:
                send(delivery)
            except (HomeroomError, OSError, httpx.HTTPError, UnicodeError) as error:
                given_up = store.refused(delivery.id)
                # The address may hold a secret of its own, and what a receiver answers is not ours to keep.
                what = "given up" if given_up else "tried again later"
                log.warning("webhook event %s was not taken (%s); it is %s", delivery.id, type(error).__name__, what)
            else:
                store.taken(delivery.id)


@contextmanager
def delivering(home: Homeroom) -> Iterator[None]:
    """Within it a thread of this process sends the home's webhooks, unless another process does."""
    stop = threading.Event()
    thread = threading.Thread(target=_run, args=(home, stop), name="webhooks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(TIMEOUT_S + 1)


def _run(home: Homeroom, stop: threading.Event) -> None:
    store = WebhookStore(home.database, private=home.settings.webhook_private)
    sender = Sender(private=home.settings.webhook_private)
    mark = None
    try:
        while not stop.wait(TICK_S):
            try:
                mark = mark or hold(_mark(home))
                if mark is not None:
                    deliver(store, sender)
            except (HomeroomError, OSError) as error:  # a full disk, a locked database: this thread must outlive it
                log.warning("webhooks: %s", error)
    finally:
        sender.close()
        if mark is not None:
            mark.release()


def _mark(home: Homeroom) -> Path:
    return make_private_folder(home.settings.home / "run") / "webhooks.lock"
