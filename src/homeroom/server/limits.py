"""How much one address may ask for: requests in a minute, and bytes of headers."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from flask import Request

from homeroom.server.failures import HeadersTooLargeError, TooManyRequestsError

REQUESTS_PER_MINUTE = 1200
MAX_HEADER_BYTES = 16_384
MAX_HEADERS = 64
MAX_ADDRESS_BYTES = 4_094
KNOWN_ADDRESSES = 4_096


class RateLimit:
    """So many requests in a minute for each client address and family of routes. Thread-safe.

    A count that was not used up is there at once; after that it comes back evenly over the minute.

    Args:
        per_minute: Requests in a minute; 0 for no limit.
        clock: Seconds that only grow.
    """

    def __init__(self, per_minute: int = REQUESTS_PER_MINUTE, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self._clock = per_minute, clock
        self._lock = threading.Lock()
        self._left: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()  # requests left, and when that was so

    def take(self, address: str, family: str) -> None:
        """Count one request.

        Raises:
            TooManyRequestsError: none is left; says when there will be.
        """
        if self.per_minute == 0:
            return
        now, refill = self._clock(), self.per_minute / 60
        with self._lock:
            left, since = self._left.pop((address, family), (float(self.per_minute), now))
            left = min(float(self.per_minute), left + (now - since) * refill)
            allowed = left >= 1
            self._left[address, family] = (left - 1 if allowed else left, now)
            while len(self._left) > KNOWN_ADDRESSES:  # the one that has been silent longest
                self._left.popitem(last=False)
        if not allowed:
            raise TooManyRequestsError(
                f"{self.per_minute} requests a minute are answered, and more came from {address!r}. Wait a moment, or raise "
                "requests_per_minute in the settings",
                retry_after_s=(1 - left) / refill,
            )

    def left(self, address: str, family: str) -> tuple[float, float]:
        """Requests that are left now, and seconds until all of a minute's are there again."""
        with self._lock:
            left, since = self._left.get((address, family), (float(self.per_minute), self._clock()))
            refill = self.per_minute / 60
            left = min(float(self.per_minute), left + (self._clock() - since) * refill)
        return left, (self.per_minute - left) / refill if refill else 0.0


def check_headers(incoming: Request) -> None:
    """Refuse a request whose headers or address are longer than ours ever are, whatever server stands in front.

    Raises:
        HeadersTooLargeError: ``headers-too-large``.
    """
    size = sum(len(name) + len(value) + 4 for name, value in incoming.headers.items())
    if size > MAX_HEADER_BYTES or len(incoming.headers) > MAX_HEADERS:
        raise HeadersTooLargeError(
            f"the request has {len(incoming.headers)} headers of {size:,} bytes; {MAX_HEADERS} of {MAX_HEADER_BYTES:,} are read. "
            "Delete this site's cookies, then try again"
        )
    if len(incoming.path) + len(incoming.query_string) > MAX_ADDRESS_BYTES:
        raise HeadersTooLargeError(
            f"the address is longer than {MAX_ADDRESS_BYTES:,} characters. Send long texts in the body of a request"
        )
