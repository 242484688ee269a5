"""The desk that every call of a run goes through: it holds the budget, keeps replies, and knows when the run is over.

Optimisers catch exceptions and go on. So what ends a run is remembered here: from then on every call fails at once, and `check`
raises it where it can no longer be caught.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from homeroom.errors import AuthError, ContextLengthError, HomeroomError, ProviderError, StorageError
from homeroom.schema.chat import ChatModel, Completion, GenerationSettings, Usage
from homeroom.schema.costs import RUN_SPENT
from homeroom.schema.examples import Message
from homeroom.schema.jobs import JobCancelled
from homeroom.storage.files import make_private_folder, write_atomically
from homeroom.tuning.dspy.recipe import Part

_USELESS_TO_REPEAT = {"provider-model", "provider-unreachable", "provider-url", "provider-quota", "engine-down", "engine-start"}


class BudgetSpent(Exception):
    """The run's calls, or its money, are used up; says which. Not an error of the user's: what was tried so far is compared."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A model as a run asks it.

    Attributes:
        model: What answers.
        identity: What it is beyond its name: hash of its weights and how it is served, or of its address.
        part: Why it is asked.
    """

    model: ChatModel
    identity: str
    part: Part = "task"


@dataclass(slots=True)
class Count:
    """What a run has used: distinct requests, those that were really sent, their tokens, and the seconds until each was there.

    Attributes:
        parts: The same by why a model was asked; empty in each of these.
    """

    requests: int = 0
    sent: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    parts: dict[Part, Count] = field(default_factory=dict)

    def part(self, name: Part) -> Count:
        """What was used of one model."""
        return self.parts.setdefault(name, Count())

    def answered(self, used: Usage, seconds: float) -> None:
        """Count a request that was sent."""
        self.sent += 1
        self.prompt_tokens += used.prompt_tokens
        self.completion_tokens += used.completion_tokens
        self.seconds += seconds


class CallDesk:
    """Thread-safe.

    A request that was answered before, in this run or another, is answered from the folder. The budget counts it all the same:
    a run ends alike whether it was interrupted or not.

    Args:
        folder: Where replies are kept.
        max_calls: Most distinct requests.
        max_failures: Requests that the model may fail on before the run ends.
        should_stop: Asked before each request.
        told: Hears of each request that was answered.
    """

    def __init__(
        self,
        folder: Path,
        max_calls: int,
        *,
        max_failures: int = 5,
        should_stop: Callable[[], bool] = lambda: False,
        told: Callable[[Count], None] = lambda count: None,
    ) -> None:
        self.count = Count()
        self._folder, self._max_calls, self._max_failures = folder, max_calls, max_failures
        self._should_stop, self._told = should_stop, told
        self._seen: dict[str, Future[Completion]] = {}
        self._end: BaseException | None = None
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        """Requests that the budget still allows."""
        return max(0, self._max_calls - self.count.requests)

    def end(self, error: BaseException) -> None:
        """End the run with what somebody else met: from now on every call fails."""
        with self._lock:
            self._end = self._end or error

    def check(self) -> None:
        """Raise what has ended the run, if anything has.

        Raises:
            BudgetSpent: the calls are used up.
            JobCancelled: the run was told to stop.
            ProviderError: the model refused, or failed too often.
            StorageError: ``no-space``.
        """
        if self._end is not None:
            raise self._end

    def ask(self, asked: Asked, messages: Sequence[Message], settings: GenerationSettings, sample: int = 0) -> Completion:
        """The reply to a request; ``sample`` tells apart several replies to the same one.

        Raises:
            ProviderError: this request failed; and what `check` raises, once the run is over.
        """
        key = request_key(asked.identity, messages, settings, sample)
        with self._lock:
            mine = key not in self._seen
            if mine:
                self._begin(asked)
                self._seen[key] = Future()
            future = self._seen[key]
        if mine:
            self._answer(future, key, asked, messages, settings)
        return future.result()

    def _begin(self, asked: Asked) -> None:
        """Take one request of the budget."""
        if self._end is None and self._should_stop():
            self._end = JobCancelled()
        if self._end is None and self.count.requests >= self._max_calls:
            self._end = BudgetSpent(f"the budget of {self._max_calls} calls is used up")
        self.check()
        self.count.requests += 1
        self.count.part(asked.part).requests += 1

    def _answer(
        self, future: Future[Completion], key: str, asked: Asked, messages: Sequence[Message], settings: GenerationSettings
    ) -> None:
        try:
            reply = self._kept(key)
            if reply is None:
                begun = time.monotonic()
                reply = asked.model.complete(messages, settings)
                took = time.monotonic() - begun
                self._keep(key, reply)
                with self._lock:
                    self.count.answered(reply.usage, took)
                    self.count.part(asked.part).answered(reply.usage, took)
            future.set_result(reply)
        except (HomeroomError, JobCancelled) as error:
            self._failed(error, asked)
            future.set_exception(error)
        finally:
            if not future.done():  # a fault of the program itself, which must not leave others waiting
                future.set_exception(RuntimeError("the request was not answered"))
        self._told(self.count)

    def _failed(self, error: HomeroomError | JobCancelled, asked: Asked) -> None:
        with self._lock:
            self.count.failed += 1
            self.count.part(asked.part).failed += 1
            if self._end is None and isinstance(error, HomeroomError) and error.code == RUN_SPENT:
                self._end = BudgetSpent(error.message)
            fatal = not isinstance(error, ProviderError) or isinstance(error, AuthError) or error.code in _USELESS_TO_REPEAT
            often = self.count.failed > self._max_failures and not isinstance(error, ContextLengthError)
            if self._end is None and (fatal or often):
                self._end = error

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"

    def _kept(self, key: str) -> Completion | None:
        """The reply on disk; None where there is none, or it cannot be read."""
        try:
            record = json.loads(self._path(key).read_text(encoding="utf-8"))
            return Completion(str(record["text"]), str(record["model"]), str(record["finish_reason"]), Usage(*record["usage"]))
        except (OSError, KeyError, TypeError, ValueError):
            return None

    def _keep(self, key: str, reply: Completion) -> None:
        used = reply.usage
        record = {"text": reply.text, "model": reply.model, "finish_reason": reply.finish_reason}
        whole = {**record, "usage": [used.prompt_tokens, used.completion_tokens]}
        path = self._path(key)
        try:
            make_private_folder(path.parent)
            write_atomically(path, json.dumps(whole, ensure_ascii=False).encode())
        except OSError as error:
            raise StorageError(
                f"a reply could not be kept in {str(path)!r}: {error.strerror or error}. Free some space and run the same "
                "command again: it goes on where it stopped",
                code="answer-cache",
            ) from error


def request_key(identity: str, messages: Sequence[Message], settings: GenerationSettings, sample: int = 0) -> str:
    """SHA-256 over everything that a reply depends on."""
    record = {
        "identity": identity,
        "messages": [[message.role, message.content] for message in messages],
        "settings": settings.to_dict(),
        "sample": sample,
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
