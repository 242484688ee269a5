"""Tells open pages that something changed: one thread asks, any number of streams wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from homeroom.errors import HomeroomError

log = logging.getLogger(__name__)


class ChangeFeed:
    """Polls ``changes`` while somebody listens.

    Args:
        changes: A version for each topic.
        interval_s: Time between two looks.
    """

    def __init__(self, changes: Callable[[], Mapping[str, str]], *, interval_s: float = 1.0) -> None:
        self._changes = changes
        self._interval_s = interval_s
        self._changed = threading.Condition()
        self._listeners = 0
        self._polling = False
        self._closed = False
        self._versions: dict[str, str] = {}

    def current(self) -> dict[str, str]:
        """The versions now, asked anew."""
        return dict(self._changes())

    def close(self) -> None:
        """End every `listen`: for shutting down."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def listen(
        self, *, known: Mapping[str, str] | None = None, ping_s: float = 15.0, limit_s: float = 600.0
    ) -> Iterator[dict[str, str]]:
        """Topics that changed since ``known`` (nothing known: the versions as they are), then each change as it is seen.

        Yields:
            Topic to version; empty after ``ping_s`` without a change. Ends after ``limit_s``.
        """
        ends_at = time.monotonic() + limit_s
        with self._changed:
            self._listeners += 1
            self._start()
        seen = dict(known or {})
        try:
            while time.monotonic() < ends_at and not self._closed:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or bool(self._news(seen)), ping_s)
                    news = self._news(seen)
                seen.update(news)
                yield news
        finally:
            with self._changed:
                self._listeners -= 1
                self._changed.notify_all()

    def _news(self, seen: Mapping[str, str]) -> dict[str, str]:
        return {topic: version for topic, version in self._versions.items() if seen.get(topic) != version}

    def _start(self) -> None:
        """Start the thread unless it runs. The caller holds the condition."""
        if not self._polling:
            self._polling = True
            threading.Thread(target=self._poll, name="changes", daemon=True).start()

    def _poll(self) -> None:
        try:
            while self._look():
                pass
        finally:  # also after a bug in `changes`: the next listener starts a new thread
            with self._changed:
                self._polling = False

    def _look(self) -> bool:
        """Ask once, tell, and wait; whether anybody still listens."""
        try:
            versions = dict(self._changes())
        except HomeroomError as error:  # a locked database: the next look may succeed
            log.warning("cannot see what changed: %s", error)
            versions = self._versions
        with self._changed:
            if versions != self._versions:
                self._versions = versions
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._listeners == 0, self._interval_s)
            if self._listeners == 0:
                self._polling = False
            return self._polling
