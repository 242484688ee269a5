"""The one wire: OpenAI's chat API over HTTP, with errors mapped once and retries bounded in total.

`ChatWire` sends bodies and yields answers; what goes into a body is the business of `homeroom.models.client` (any endpoint) and
`homeroom.models.engine_chat` (the embedded engine).
"""

from __future__ import annotations

import json
import math
import random
import re
import reprlib
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import httpx

from homeroom.errors import AuthError, ContextLengthError, ProviderError, ProviderTimeoutError, RateLimitError
from homeroom.models.charging import Watched, held, odd, settle
from homeroom.schema.costs import Meter

_RETRIED = {408, 409, 429, 500, 502, 503, 504, 529}
_CONNECT_S = 10.0
_LONGEST_PAUSE_S = 20.0

_url = lru_cache(maxsize=256)(httpx.URL)  # taking an address apart costs more than a small answer

T = TypeVar("T")

# Bodies and answers are JSON of the provider's making: Any.
Json = dict[str, Any]


def map_exception(error: Exception, where: str) -> ProviderError:
    """Every exception of httpx as one of ours. ``where`` names the endpoint in the message."""
    detail = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, httpx.TimeoutException):
        return ProviderTimeoutError(f"{where} did not answer in time ({detail}). Check that it runs: homeroom doctor")
    if isinstance(error, httpx.ConnectError | httpx.ProxyError):
        return ProviderTimeoutError(
            f"{where} cannot be reached ({detail}). Check its address in the settings and that it runs: homeroom doctor",
            code="provider-unreachable",
        )
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
        return ProviderError(
            f"{where} broke the connection ({detail}). Try again, or see: homeroom doctor", code="provider-broken"
        )
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.CookieConflict):
        return ProviderError(
            f"{where} has an address or key that cannot be used ({detail}). Mend `endpoints` in the settings", code="provider-url"
        )
    # DecodingError, TooManyRedirects, HTTPStatusError, and httpx's StreamError family, which only a mistake of ours raises.
    return ProviderError(f"{where} gave an answer that cannot be read ({detail}). See: homeroom doctor", code="provider-answer")


def map_status(status: int, text: str, headers: Mapping[str, str], where: str) -> ProviderError:
    """A refusal (status 400 or more) as one of our errors."""
    error = _error_object(text)
    said = str(error.get("message") or text[:300] or "no reason")[:300]
    code = str(error.get("code") or error.get("type") or "")
    common: dict[str, Any] = {
        "status": status,
        "request_id": headers.get("x-request-id"),
        "retry_after_s": retry_after(headers),
        "param": str(error.get("param") or ""),
    }
    lower = said.lower()
    if "context_length" in code or "exceed_context" in str(error.get("type")) or "maximum context length" in lower:
        return _context_error(error, said, where, common)
    if status in (401, 403):
        return AuthError(f"{where} refused the key ({said}). Check the variable named by api_key_env in the settings", **common)
    if status == 429:
        kind = "provider-quota" if "quota" in code else None
        return RateLimitError(
            f"{where} asks to slow down ({said}). Wait, or check your plan with the provider", code=kind, **common
        )
    if status == 404 and code == "DeploymentNotFound":
        return ProviderError(
            f"{where} has no deployment of that name ({said}). Azure answers by deployments: create one there with the very name "
            "that is asked for; of a tuned model: homeroom models show NAME",
            code="provider-model",
            **common,
        )
    if status == 404:
        return ProviderError(
            f"{where} has no such model or path ({said}). Check `endpoints` in the settings", code="provider-model", **common
        )
    if status in (408, 504):
        return ProviderTimeoutError(f"{where} did not answer in time ({said}). Try again", **common)
    return ProviderError(f"{where} answered {status} ({said}). Try again, or see: homeroom doctor", **common)


def _context_error(error: Json, said: str, where: str, common: Json) -> ContextLengthError:
    prompt, limit = error.get("n_prompt_tokens"), error.get("n_ctx")
    if prompt is None or limit is None:
        # OpenAI: "maximum context length is 4097 tokens. However, your messages resulted in 5000 tokens".
        numbers = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", said)]
        limit, prompt = (numbers[0], numbers[1]) if len(numbers) > 1 else (None, None)
    counted = f"The prompt has {prompt} tokens and the model takes {limit}" if prompt else f"The prompt is too long ({said})"
    return ContextLengthError(
        f"{counted} at {where[:1].lower()}{where[1:]}. Start a new conversation, shorten the message or the system prompt, or"
        " raise engine_context in the settings",
        **common,
    )


def _error_object(text: str) -> Json:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):  # the latter where it is nested too deep
        return {}
    error = record.get("error") if isinstance(record, dict) else None
    return error if isinstance(error, dict) else {"message": error} if isinstance(error, str) else {}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a ``Retry-After`` header (a number or a date) asks for; None without one."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


class ChatWire:
    """A connection pool to one endpoint. Thread-safe.

    Args:
        where: What messages call the endpoint.
        base_url: Up to and including ``/v1``.
        api_key: Sent as bearer token; never shown.
        timeout_s: Limit of one call in all: waiting, retries and pauses. A stream must begin in this time, and each piece must
            follow the last within it.
        max_retries: Further tries after one that may succeed later. None happens once a reply has begun.
        pause_s: Before the first further try; doubled each time, unless the endpoint asks for another.
        longest_pause_s: Where it asks for a longer one, the caller is told instead of kept waiting.
        client: A connection pool that others use too; an own one when omitted.
        meter: Asked before each try of a POST, which it may refuse, and told what became of it.
    """

    def __init__(
        self,
        where: str,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        max_retries: int = 2,
        pause_s: float = 0.5,
        longest_pause_s: float = math.inf,
        client: httpx.Client | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._where, self._key, self._meter = where, api_key, meter
        self._timeout_s, self._max_retries = timeout_s, max_retries
        self._pause_s, self._longest_pause_s = pause_s, longest_pause_s
        self._url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = client or httpx.Client(limits=httpx.Limits(max_connections=None, max_keepalive_connections=8))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def post(self, path: str, body: Json, headers: Mapping[str, str] | None = None) -> Json:
        """The answer to ``body``; ``headers`` go beside our own.

        Raises:
            ProviderError: or one of its subclasses.
        """

        def once(deadline: float) -> Json:
            with held(self._meter, body) as charge:
                answer = self._sound(self._whole(deadline, path, body=body, headers=headers))
                settle(charge, answer)
                return answer

        return self._retried(once)

    def send_file(self, path: str, file: Path, name: str, fields: Mapping[str, str]) -> Json:
        """The answer to a file, sent under ``name`` in a form with ``fields``. Each piece must be taken within the time limit.

        Raises:
            ProviderError: or one of its subclasses.
            OSError: the file cannot be read.
        """

        def once(deadline: float) -> Json:
            with file.open("rb") as content:
                form: Json = {"data": dict(fields), "files": {"file": (name, content, "application/jsonl")}}
                return self._whole(deadline, path, form=form, idle_s=self._timeout_s)

        return self._retried(once)

    def delete(self, path: str) -> Json:
        """What the endpoint says of the deletion of ``path``.

        Raises:
            ProviderError: or one of its subclasses.
        """
        return self._retried(lambda deadline: self._whole(deadline, path, method="DELETE"))

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Json:
        """The object at ``path``.

        Raises:
            ProviderError: or one of its subclasses.
        """
        return self._retried(lambda deadline: self._whole(deadline, path, params=params))

    def download(self, path: str, take: Callable[[bytes], object], begin: Callable[[], object]) -> None:
        """The bytes at ``path``, handed to ``take`` piece by piece; ``begin`` is called before the first piece of each try.

        Raises:
            ProviderError: or one of its subclasses.
        """

        def once(deadline: float) -> None:
            begin()
            with self._opened(path, deadline, idle_s=self._timeout_s) as response:
                for piece in response.iter_bytes():
                    take(piece)

        self._retried(once)

    def stream(self, path: str, body: Json) -> Generator[Json]:
        """The events of a streamed answer; closing the iterator closes the connection.

        Raises:
            ProviderError: or one of its subclasses; ``provider-cut`` when the stream ends before it is finished.
        """

        def begin(deadline: float) -> tuple[ExitStack, Iterator[Json], Json | None, Watched]:
            with held(self._meter, body) as charge, ExitStack() as opened:
                events = self._events(opened.enter_context(self._opened(path, deadline, body=body)))
                first = next(events, None)
                return opened.pop_all(), events, first, Watched(charge)

        opened, events, first, watched = self._retried(begin)
        try:
            if first is not None:
                yield watched.see(first)
            for event in self._mapped(events):
                yield watched.see(event)
            watched.end()
        except GeneratorExit:  # nobody wants the rest
            watched.end()
            raise
        finally:
            opened.close()

    def _mapped(self, events: Iterator[Json]) -> Iterator[Json]:
        try:
            yield from events
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._scrubbed(map_exception(error, self._where)) from error
        except ProviderError as error:
            raise self._scrubbed(error) from None

    def _whole(self, deadline: float, path: str, *, idle_s: float | None = None, **asked: Any) -> Json:  # as in `_opened`
        with self._opened(path, deadline, idle_s=idle_s, **asked) as response:
            pieces = []
            until = deadline if idle_s is None else time.monotonic() + idle_s
            for piece in response.iter_bytes():
                pieces.append(piece)
                if time.monotonic() > until:  # httpx limits single reads only: a server may trickle for ever
                    raise httpx.ReadTimeout("the whole answer took too long")
            return self._object(b"".join(pieces))

    @contextmanager
    def _opened(
        self,
        path: str,
        deadline: float,
        *,
        body: Json | None = None,
        params: Mapping[str, str | int] | None = None,
        form: Json | None = None,
        method: str = "",
        headers: Mapping[str, str] | None = None,
        idle_s: float | None = None,
    ) -> Iterator[httpx.Response]:
        """The open answer: to a POST of ``body`` or ``form``, else to a GET. ``idle_s`` limits each read, not the deadline."""
        left = max(0.05, deadline - time.monotonic())
        timeout = httpx.Timeout(idle_s or left, connect=min(_CONNECT_S, left), pool=left)
        method = method or ("GET" if body is None and form is None else "POST")
        told = {**self._headers, **(headers or {})}
        with self._client.stream(
            method, _url(f"{self._url}{path}"), json=body, params=params, headers=told, timeout=timeout, **(form or {})
        ) as response:
            if response.status_code >= 400:
                text = response.read().decode("utf-8", errors="replace")
                raise map_status(response.status_code, text, response.headers, self._where)
            yield response

    def _retried(self, once: Callable[[float], T]) -> T:
        deadline = time.monotonic() + self._timeout_s
        for attempt in range(self._max_retries + 1):
            try:
                return once(deadline)
            except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, httpx.CookieConflict) as error:
                failure, cause = map_exception(error, self._where), error
                retried = isinstance(error, httpx.TransportError) and failure.code != "provider-url"
            except ProviderError as error:
                failure, cause = error, None
                retried = error.status in _RETRIED and error.code in ("provider", "provider-rate-limit", "provider-timeout")
            asked = failure.retry_after_s
            pause = asked if asked is not None else min(_LONGEST_PAUSE_S, self._pause_s * 2**attempt) * random.uniform(0.75, 1.25)
            waits = pause <= self._longest_pause_s and time.monotonic() + pause < deadline
            if not retried or attempt == self._max_retries or not waits:
                raise self._scrubbed(failure) from cause
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _events(self, response: httpx.Response) -> Iterator[Json]:
        """The ``data:`` lines of a server-sent event stream, up to ``[DONE]``."""
        finished = False
        for line in response.iter_lines():
            if not line.startswith("data:"):
                continue
            data = line[5:].strip()
            if data == "[DONE]":
                return
            if data == "null":  # llama.cpp begins the stream of a completion with it
                continue
            event = self._sound(self._object(data.encode("utf-8", errors="surrogatepass")))
            if "error" in event:
                status = _error_object(data).get("code_status") or 500
                raise map_status(int(status), data, {}, self._where) if str(status).isdecimal() else self._odd(event)
            finished = finished or any(choice.get("finish_reason") for choice in event.get("choices") or [])
            yield event
        if not finished:
            raise ProviderError(
                f"{self._where} ended its answer in the middle. Try again, or see: homeroom doctor",
                code="provider-cut",
                status=502,
            )

    def _object(self, data: bytes) -> Json:
        try:
            record = json.loads(data)
        except (ValueError, RecursionError):  # the latter where it is nested too deep
            record = None
        if not isinstance(record, dict):
            raise ProviderError(
                f"{self._where} gave an answer that is not a JSON object ({data[:80]!r}). Check its address: it usually ends"
                " in /v1",
                code="provider-answer",
            )
        return record

    def _sound(self, answer: Json) -> Json:
        if odd(answer):
            raise self._odd(answer)
        return answer

    def _odd(self, answer: Json) -> ProviderError:
        return ProviderError(
            f"{self._where} gave an answer of another form than OpenAI's ({reprlib.repr(answer)[:80]}). Try again; if it "
            "stays so, check its address in the settings",
            code="provider-answer",
        )

    def _scrubbed(self, error: ProviderError) -> ProviderError:
        """The error without our key, which some servers repeat in what they say."""
        if self._key and self._key in error.message:
            error.message = error.message.replace(self._key, "[key]")
            error.args = (error.message,)
        return error
