"""A job at an endpoint from creation to end: created once, however often an answer is lost, and followed without hurry."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from homeroom.errors import ProviderError
from homeroom.models.openai_tuning import OpenAITuning
from homeroom.schema.jobs import JobCancelled, Reporter
from homeroom.tuning.openai.access import explained
from homeroom.tuning.openai.state import FINAL, Deployment, Rung, RunState

Json = dict[str, Any]  # of the provider's making
T = TypeVar("T")
CLOCK_SKEW_S = 3600.0
_LEVELS = {"warn": "warning", "warning": "warning", "error": "error"}
# What may pass by itself: no answer, half of one, one that cannot be read, or one that asks to come back later.
_PASSING = frozenset(
    {
        "provider-timeout", "provider-unreachable", "provider-broken", "provider-answer", "provider-cut",
        "provider-rate-limit",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pace:
    """How often an endpoint is asked. Times in seconds.

    Attributes:
        first_s: After a job said something new.
        longest_s: While it says nothing: the pause grows up to this.
        growth: By what factor.
        patience_s: How long an endpoint that does not answer is asked again.
        tries: Of creating a job whose answer was lost, each after looking for it.
        looks: How often it is looked for before it is created anew, or taken for gone: a list may show it a little later. The
            pauses between them double: a minute in all.
        tick_s: How soon a cancellation is noticed.
        cancel_s: How long the end of a cancelled job is waited for.
    """

    first_s: float = 2.0
    longest_s: float = 60.0
    growth: float = 1.5
    patience_s: float = 1800.0
    tries: int = 4
    looks: int = 6
    tick_s: float = 0.5
    cancel_s: float = 15.0


class Follower:
    """Creates and follows the jobs of one run.

    Args:
        service: The endpoint.
        model: Its name of the base.
        state: What the run has done; kept up to date.
        reporter: Told what the jobs say, and asked whether to stop.
        pace: How often it asks.
    """

    def __init__(self, service: OpenAITuning, model: str, state: RunState, reporter: Reporter, pace: Pace) -> None:
        self._service, self._model, self._state, self._reporter, self._pace = service, model, state, reporter, pace

    def create(self, rung: Rung, body: Mapping[str, Any]) -> None:
        """Have the rung's job created, once, or find the one that was.

        Raises:
            ProviderError: it was refused (``asked`` is false then), or nobody knows (``asked`` stays true).
            JobCancelled: told to stop.
        """
        if rung.job:
            return
        asked_before = rung.asked

        def explain(error: ProviderError) -> ProviderError:
            return explained(error, self._service.where, self._model, "create")

        tries = 0

        def ask() -> None:
            nonlocal tries
            tries += 1
            job = self._service.create(body, self._state.tag_of(rung))
            rung.doubted = asked_before or tries > 1
            self._known(rung, job)

        self.once(rung, ask, lambda: self.found(rung), explain)

    def once(
        self,
        thing: Rung | Deployment,
        ask: Callable[[], object],
        find: Callable[[], bool],
        explain: Callable[[ProviderError], ProviderError] = lambda error: error,
    ) -> None:
        """Have something made there, once: that it was asked for is on the disk before, and after a lost answer it is looked for.

        Args:
            thing: Keeps whether it was asked for.
            ask: Asks, and keeps what it became.
            find: Looks for it; whether it is there.
            explain: A refusal in words.

        Raises:
            ProviderError: it was refused (``asked`` is false then), or nobody knows (``asked`` stays true).
            JobCancelled: told to stop.
        """
        if thing.asked and find():
            return
        failure: ProviderError | None = None
        for attempt in range(self._pace.tries):
            thing.asked = True
            self._state.save()
            try:
                ask()
                return
            except ProviderError as error:
                failure = explain(error)
                if _refused(error):
                    thing.asked = False
                    self._state.save()
                if error.code not in _PASSING and error.status < 500:
                    raise failure from error
                if thing.asked and find():
                    return
            if attempt < self._pace.tries - 1:
                self.pause(self._wanted(failure, attempt))
        assert failure is not None
        raise failure

    def follow(self, rung: Rung, told: Callable[[float, str], None]) -> Json:
        """Wait until the rung's job is over, telling what it says. The job as it ended.

        Args:
            rung: Whose job was created.
            told: Called with how much of it is done (0 to 1) and what it does now.

        Raises:
            ProviderError: the endpoint does not know it any more, refuses the key, or does not answer for too long.
            JobCancelled: told to stop; the job there goes on.
        """
        pause = self._pace.first_s
        while True:
            job = self._job(rung)
            news = self._news(rung)
            for event in news:
                rung.done = max(rung.done, self._tell(rung, event))
            if news:
                rung.event = str(news[-1]["id"])
                self._state.save()
                self._reporter.saved(1 + int(100 * rung.done), self._state.tag_of(rung))
            rung.done = max(rung.done, _share(job.get("trained_steps"), job.get("total_steps")))
            if job["status"] in FINAL:
                return job
            told(rung.done, str(job["status"]).replace("_", " "))
            pause = self._pace.first_s if news else min(self._pace.longest_s, pause * self._pace.growth)
            self.pause(pause)

    def _job(self, rung: Rung) -> Json:
        """The job as it is now. That it is not found once proves nothing: it is asked for again, and looked for in the list.

        Raises:
            ProviderError: with status 404: the endpoint does not know it any more.
        """
        missing: ProviderError | None = None
        for _ in self.looks():
            try:
                return self.asked(lambda: self._service.job(rung.job))
            except ProviderError as error:
                if error.status != 404:
                    raise
                missing = error
            listed = self.asked(lambda: [*self._service.jobs_since(self._state.begun_at - CLOCK_SKEW_S)])
            if (found := next((job for job in listed if job["id"] == rung.job), None)) is not None:
                return found
        assert missing is not None
        raise missing

    def _news(self, rung: Rung) -> list[Json]:
        """What the job has said since it was asked last; nothing where an endpoint has no events."""
        try:
            return self.asked(lambda: self._service.events_after(rung.job, rung.event))
        except ProviderError as error:
            if error.status != 404:
                raise
            return []

    def twins(self, rung: Rung) -> list[Json]:
        """Other jobs of the same rung, told to end: its confirmation was lost, no list showed it, and a second one was created.

        Raises:
            ProviderError: they cannot be looked for.
            JobCancelled: told to stop.
        """
        if not rung.doubted:
            return []
        listed = self.asked(lambda: [*self._service.jobs_since(self._state.begun_at - CLOCK_SKEW_S)])
        found = [job for job in listed if job["id"] != rung.job and self._is_mine(rung, job)]
        for number, job in enumerate(found):
            found[number] = self._ended(str(job["id"]))
            rung.past.append(str(job["id"]))
        return found

    def _ended(self, job_id: str) -> Json:
        """A job that nobody wants, told to end."""
        with suppress(ProviderError):  # it may be over
            self._service.cancel(job_id)
        job = self.asked(lambda: self._service.job(job_id))
        self._reporter.event(
            f"The endpoint had created {job_id} for the same examples, confirmed it to nobody and listed it too late: it is told "
            f"to end ({plain(str(job['status']))}). What it did until then may be charged",
            level="warning",
        )
        return job

    def returned(self, rung: Rung) -> str:
        """A job of the rung that the endpoint did not know any more and knows again, and that did not end in vain; else empty.

        Raises:
            ProviderError: the endpoint does not answer.
            JobCancelled: told to stop.
        """
        for job_id in rung.vanished:
            try:
                job = self.asked(lambda job_id=job_id: self._service.job(job_id))  # type: ignore[misc]
            except ProviderError as error:
                if error.status != 404:
                    raise
                continue
            if job["status"] not in ("failed", "cancelled"):
                self._reporter.event(f"The endpoint knows the job {job_id} again: it is followed, and no other one is created.")
                return job_id
        return ""

    def send(self, path: Path, name: str) -> str:
        """The id of a training file there: of one that arrived before under this name, else of one that is sent now.

        That one of this name may lie there is on the disk before it is sent, so that it is found when files are deleted.

        Raises:
            ProviderError: it was refused, or no answer came.
            JobCancelled: told to stop.
        """
        failure: ProviderError | None = None
        for attempt in range(self._pace.tries):
            try:
                if found := self._service.find_file(name, path.stat().st_size):
                    self._state.uploaded(self._state.uploading(name), found)
                    return found
                return self._send_once(path, name)
            except ProviderError as error:
                failure = explained(error, self._service.where, self._model, "upload")
                if not _passes(error):
                    raise failure from error
            if attempt < self._pace.tries - 1:
                self.pause(self._wanted(failure, attempt))
        assert failure is not None
        raise failure

    def _send_once(self, path: Path, name: str) -> str:
        known = any(one.name == name for one in self._state.uploads)
        upload = self._state.uploading(name)
        try:
            found = self._service.send_file(path, name)
        except ProviderError as error:
            if _refused(error) and not known:  # it never arrived, and neither did an earlier one
                self._state.uploads.remove(upload)
                self._state.save()
            raise
        self._state.uploaded(upload, found)
        return found

    def asked(self, ask: Callable[[], T], patience_s: float | None = None) -> T:
        """An answer of an endpoint that may be away for a while.

        Raises:
            ProviderError: it refused, or patience ran out.
            JobCancelled: told to stop.
        """
        deadline = time.monotonic() + (self._pace.patience_s if patience_s is None else patience_s)
        attempt = 0
        while True:
            try:
                return ask()
            except ProviderError as error:
                if not _passes(error) or time.monotonic() > deadline:
                    raise
                if attempt == 0:
                    self._reporter.event(f"{error.message} It is asked again until it answers.", level="warning")
                self.pause(self._wanted(error, attempt))
                attempt += 1

    def found(self, rung: Rung) -> bool:
        """Look for a job that may have been created, more than once: a list may show it a little later. Whether there is one.

        Raises:
            ProviderError: it cannot be looked for.
            JobCancelled: told to stop.
        """
        for _ in self.looks():
            for job in self.asked(lambda: [*self._service.jobs_since(self._state.begun_at - CLOCK_SKEW_S)]):
                if self._is_mine(rung, job):
                    self._known(rung, job)
                    self._reporter.event(f"Found the job {rung.job} whose confirmation was lost; no second one is created.")
                    return True
        return False

    def looks(self) -> Iterator[int]:
        """So often something is looked for, with a pause before each further look."""
        for look in range(self._pace.looks):
            if look:
                self.pause(min(self._pace.longest_s, self._pace.first_s * 2 ** (look - 1)))
            yield look

    def _is_mine(self, rung: Rung, job: Json) -> bool:
        """By its tag; by its training file, which only this run has, where an endpoint keeps no metadata."""
        if job["id"] in rung.past:
            return False
        about = job.get("metadata")
        tag = about.get("homeroom") if isinstance(about, dict) else None
        return bool(tag == self._state.tag_of(rung) or (tag is None and rung.file and job.get("training_file") == rung.file))

    def _known(self, rung: Rung, job: Json) -> None:
        rung.job = str(job["id"])
        self._state.save()
        self._reporter.saved(1, self._state.tag_of(rung))

    def _tell(self, rung: Rung, event: Json) -> float:
        """Pass on what a job said. How much of it is done, as far as the event tells."""
        data = event.get("data") if isinstance(event.get("data"), dict) else {}
        kind = "metrics" if event.get("type") == "metrics" else "message"
        level = _LEVELS.get(str(event.get("level")), "info")
        about = {"examples": rung.examples} if len(self._state.rungs) > 1 else {}
        self._reporter.event(plain(str(event.get("message") or "")), level=level, type=kind, data={**(data or {}), **about})
        return _share((data or {}).get("step"), (data or {}).get("total_steps"))

    def _wanted(self, failure: ProviderError, attempt: int) -> float:
        """Seconds until the next try: as the endpoint asks, within bounds, else longer each time."""
        asked = failure.retry_after_s
        return (
            min(self._pace.longest_s * 5, asked)
            if asked is not None
            else min(self._pace.longest_s, self._pace.first_s * 2**attempt)
        )

    def pause(self, seconds: float) -> None:
        """Wait, unless told to stop."""
        deadline = time.monotonic() + seconds
        while True:
            if self._reporter.should_stop():
                raise JobCancelled
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(self._pace.tick_s, left))


def _share(step: object, total: object) -> float:
    """How much of the steps is done, 0 to 1; 0 where that is not told."""
    return min(1.0, max(0.0, step / total)) if isinstance(step, int) and isinstance(total, int) and total else 0.0


def plain(text: str) -> str:
    """What an endpoint says, without what could steer a terminal, and not endless."""
    return "".join(c if c.isprintable() else " " for c in text)[:2000]


def _refused(error: ProviderError) -> bool:
    """Whether nothing was created for certain: it said no, or was never reached."""
    return error.code in ("provider-unreachable", "provider-url") or (
        error.code not in _PASSING - {"provider-rate-limit"} and error.status < 500
    )


def _passes(error: ProviderError) -> bool:
    return error.code in _PASSING or (error.code == "provider" and error.status >= 500)
