"""An account at OpenAI, or at anything with its files and fine-tuning API: what is there, and fetching it.

https://platform.openai.com/docs/api-reference/fine-tuning
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from homeroom.errors import ProviderError
from homeroom.models.wire import ChatWire
from homeroom.storage.errors import disk_errors

Json = dict[str, Any]  # of the provider's making
PAGE = 100
MAX_PAGES = 1000


class OpenAIAccount:
    """Reads an account. Nothing here creates, changes or deletes anything there.

    Args:
        where: What messages call the endpoint.
        base_url: Up to and including ``/v1``.
        api_key: Never shown or logged.
        timeout_s: Of one request, retries included.
        max_retries: Further tries of one request.
        told: Of `ChatWire`: pauses, connection pool.
    """

    def __init__(
        self,
        where: str,
        base_url: str,
        api_key: str | None,
        *,
        timeout_s: float = 90.0,
        max_retries: int = 4,
        **told: Any,
    ) -> None:
        self._where = where
        self._wire = ChatWire(where, base_url, api_key=api_key, timeout_s=timeout_s, max_retries=max_retries, **told)

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def models(self) -> list[Json]:
        """Every model that the account lists; ``shutdown_date`` where one is announced.

        Raises:
            ProviderError: or one of its subclasses.
        """
        return self._rows(self._wire.get("/models"))

    def jobs(self) -> list[Json]:
        """Every fine-tuning job, newest first.

        Raises:
            ProviderError: or one of its subclasses.
        """
        return list(self._pages("/fine_tuning/jobs"))

    def events(self, job_id: str) -> list[Json]:
        """Every event of a job, oldest first."""
        return list(self._pages(f"/fine_tuning/jobs/{quote(job_id, safe='')}/events"))[::-1]

    def checkpoints(self, job_id: str) -> list[Json]:
        """Every checkpoint of a job."""
        return list(self._pages(f"/fine_tuning/jobs/{quote(job_id, safe='')}/checkpoints"))

    def file(self, file_id: str) -> Json:
        """Name, purpose and size of a file.

        Raises:
            ProviderError: ``provider-model`` when it is gone.
        """
        return self._wire.get(f"/files/{quote(file_id, safe='')}")

    def download(self, file_id: str, path: Path, size_bytes: int | None = None) -> tuple[int, str]:
        """Write a file's content to ``path``, whole or not at all.

        Args:
            file_id: What to fetch.
            path: Where it goes.
            size_bytes: What the account says that it holds; a shorter answer is refused.

        Returns:
            Bytes and SHA-256.

        Raises:
            ProviderError: it is gone, the connection broke, or less came than was announced (``provider-cut``).
            StorageError: the disk refused.
        """
        partial = path.with_name(f".{path.name}.part")
        with disk_errors(path), partial.open("wb") as file:
            digest = hashlib.sha256()

            def begin() -> None:
                nonlocal digest
                file.seek(0)
                file.truncate()
                digest = hashlib.sha256()

            def take(piece: bytes) -> None:
                file.write(piece)
                digest.update(piece)

            self._wire.download(f"/files/{quote(file_id, safe='')}/content", take, begin)
            size = file.tell()
            if size_bytes is not None and size != size_bytes:
                raise ProviderError(
                    f"{self._where} sent {size} of the {size_bytes} bytes of {file_id!r}. Run the same command again: what was "
                    "fetched is kept",
                    code="provider-cut",
                )
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        return size, digest.hexdigest()

    def _pages(self, path: str) -> Iterator[Json]:
        after, seen = "", set[str]()
        for _ in range(MAX_PAGES):
            answer = self._wire.get(path, {"limit": PAGE, **({"after": after} if after else {})})
            rows = self._rows(answer)
            for row in rows:
                if row["id"] not in seen:  # a job made between two pages moves rows to the next one
                    yield row
                seen.add(row["id"])
            if not answer.get("has_more") or not rows or rows[-1]["id"] == after:
                return
            after = rows[-1]["id"]

    def _rows(self, answer: Json) -> list[Json]:
        rows = answer.get("data")
        if not isinstance(rows, list) or not all(isinstance(row, dict) and isinstance(row.get("id"), str) for row in rows):
            raise ProviderError(
                f"{self._where} gave no readable list ({str(answer)[:80]!r}). Check its address: it usually ends in /v1",
                code="provider-answer",
            )
        return rows
