"""Fine-tuning at an endpoint with OpenAI's files and fine-tuning API: what changes something there, and what follows it.

What is there already is read by `homeroom.models.openai_account`. Reading is tried again by itself. Sending a file and creating a
job are not: whether a request whose answer was lost did its work is for the caller to find out (`find_file`, `jobs_since`) before
it is sent again, or it is paid for twice.

https://platform.openai.com/docs/api-reference/fine-tuning
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from homeroom.errors import ProviderError
from homeroom.models.custom_models import CustomModels
from homeroom.models.openai_account import OpenAIAccount
from homeroom.models.wire import ChatWire

Json = dict[str, Any]  # of the provider's making
PAGE = 100
MAX_PAGES = 1000
LONGEST_PAUSE_S = 5.0
"""A longer wait, which an endpoint may ask for, is the follower's: it notices a cancellation meanwhile."""
JOBS = "/fine_tuning/jobs"


class OpenAITuning:
    """Fine-tuning at one endpoint. Thread-safe. Close it.

    ``account`` reads what is there, ``custom`` deploys at Nebius.

    Args:
        where: What messages call the endpoint.
        base_url: Up to and including ``/v1``.
        api_key: Never shown or logged.
        timeout_s: Of one request, retries included; of an upload, of each piece.
        max_retries: Further tries of a request that only reads, cancels or deletes.
        pause_s: Before the first further try; doubled each time, unless the endpoint asks for another.
    """

    def __init__(
        self,
        where: str,
        base_url: str,
        api_key: str | None,
        *,
        timeout_s: float = 90.0,
        max_retries: int = 4,
        pause_s: float = 0.5,
    ) -> None:
        self.where = where
        self._client = httpx.Client(limits=httpx.Limits(max_connections=None, max_keepalive_connections=4))
        patient: Json = {"timeout_s": timeout_s, "pause_s": pause_s, "client": self._client}
        told: Json = {**patient, "longest_pause_s": LONGEST_PAUSE_S}
        self.account = OpenAIAccount(where, base_url, api_key, max_retries=max_retries, **told)
        self.custom = CustomModels(where, base_url, api_key, max_retries=max_retries, **told)
        self._wire = ChatWire(where, base_url, api_key=api_key, max_retries=max_retries, **told)
        self._patient = ChatWire(where, base_url, api_key=api_key, max_retries=max_retries, **patient)
        self._once = ChatWire(where, base_url, api_key=api_key, max_retries=0, **told)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def reach(self) -> None:
        """Ask for one job, to learn whether there is such an API and whether the key opens it.

        Raises:
            ProviderError: or one of its subclasses.
        """
        self._wire.get(JOBS, {"limit": 1})

    def send_file(self, path: Path, name: str) -> str:
        """Send a training file, once. Its id there.

        Raises:
            ProviderError: or one of its subclasses. It may be there nevertheless: see `find_file`.
        """
        answer = self._once.send_file("/files", path, name, {"purpose": "fine-tune"})
        return _text(answer, "id", self.where)

    def files_named(self, names: Collection[str]) -> list[tuple[str, str]]:
        """Id and name of all files of these names, whole or not.

        Raises:
            ProviderError: or one of its subclasses.
        """
        files = self._rows("/files", {"purpose": "fine-tune"})
        return [(str(file["id"]), str(file["filename"])) for file in files if file.get("filename") in names]

    def find_file(self, name: str, size: int) -> str:
        """The id of the newest file of that name that arrived whole; empty when there is none.

        Args:
            name: As it was sent.
            size: Bytes that were sent; a file of another size is not taken. One that tells no size is.

        Raises:
            ProviderError: or one of its subclasses.
        """
        files = self._rows("/files", {"purpose": "fine-tune"})
        whole = (file for file in files if file.get("bytes") in (None, size) and file.get("status") != "error")
        return next((str(file["id"]) for file in whole if file.get("filename") == name), "")

    def delete_file(self, file_id: str) -> None:
        """Delete a file; one that is gone already is no error.

        Raises:
            ProviderError: or one of its subclasses.
        """
        try:
            self._patient.delete(f"/files/{quote(file_id, safe='')}")
        except ProviderError as error:
            if error.status != 404:
                raise

    def create(self, body: Mapping[str, Any], key: str) -> Json:  # body: the API's own fields
        """Create a job, once. ``key`` is the idempotency key, for endpoints that know such.

        Raises:
            ProviderError: or one of its subclasses. It may be there nevertheless: see `jobs_since`.
        """
        return self._job(self._once.post(JOBS, dict(body), {"Idempotency-Key": key}))

    def job(self, job_id: str) -> Json:
        """A job as it is now.

        Raises:
            ProviderError: or one of its subclasses.
        """
        return self._job(self._wire.get(f"{JOBS}/{quote(job_id, safe='')}"))

    def jobs_since(self, unix: float) -> Iterator[Json]:
        """Jobs that were created since then. All are looked through: not every endpoint lists the newest first.

        Raises:
            ProviderError: or one of its subclasses.
        """
        for job in self._rows(JOBS, {}):
            created = job.get("created_at")
            if not isinstance(created, int | float) or created >= unix:
                yield job

    def cancel(self, job_id: str) -> None:
        """Have a job end; one that is over is no error. Whether it has ended, `job` tells.

        Raises:
            ProviderError: or one of its subclasses.
        """
        try:
            self._wire.post(f"{JOBS}/{quote(job_id, safe='')}/cancel", {})
        except ProviderError as error:
            if error.status not in (400, 404, 409) and error.code != "provider-answer":  # it was told to, whatever it answered
                raise

    def events_after(self, job_id: str, last: str) -> list[Json]:
        """What a job said after the event ``last`` (everything when empty), oldest first.

        Raises:
            ProviderError: or one of its subclasses.
        """
        found: list[Json] = []
        rows = self._rows(f"{JOBS}/{quote(job_id, safe='')}/events", {})
        for event in rows:
            if event["id"] == last:
                follows = next(rows, None)
                if follows is not None and _ascend([*found[-1:], event, follows]):
                    return [follows, *rows]
                break
            found.append(event)
        return found if _ascend(found) else found[::-1]

    def _rows(self, path: str, params: Mapping[str, str]) -> Iterator[Json]:
        """The rows of a list, page by page, each once."""
        after, seen = "", set[str]()
        for _ in range(MAX_PAGES):
            answer = self._wire.get(path, {"limit": PAGE, **params, **({"after": after} if after else {})})
            rows = answer.get("data")
            if not isinstance(rows, list) or not all(isinstance(row, dict) and isinstance(row.get("id"), str) for row in rows):
                raise _unreadable(self.where, answer)
            yield from (row for row in rows if row["id"] not in seen)
            seen.update(row["id"] for row in rows)
            if not answer.get("has_more") or not rows or rows[-1]["id"] == after:
                return
            after = rows[-1]["id"]

    def _job(self, answer: Json) -> Json:
        _text(answer, "id", self.where)
        _text(answer, "status", self.where)
        return answer


def _ascend(events: list[Json]) -> bool:
    """Whether they are listed oldest first, as far as their times tell; OpenAI lists the newest first."""
    times = [event.get("created_at") for event in events]
    told = [time for time in times if isinstance(time, int | float)]
    return len(told) == len(times) > 1 and told[0] < told[-1]


def _text(answer: Json, name: str, where: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise _unreadable(where, answer)
    return value


def _unreadable(where: str, answer: Json) -> ProviderError:
    return ProviderError(
        f"{where} gave an answer of another form than OpenAI's ({str(answer)[:80]!r}). Check its address: it usually ends in /v1",
        code="provider-answer",
    )
