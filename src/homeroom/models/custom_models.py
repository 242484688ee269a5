"""Models of one's own at Nebius Token Factory: a checkpoint is deployed under a name, and answers by it once it is active.

They live beside the API that OpenAI has, under ``/v0/models`` of the same host. Written from the public reference; nothing here
was run against the service itself. Where the reference says two things (whether the list is bare or an object's ``data``), both
are taken.

https://docs.tokenfactory.nebius.com/api-reference/models/create-a-custom-model
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from homeroom.errors import ProviderError
from homeroom.models.wire import ChatWire

Json = dict[str, Any]  # of the provider's making
MODELS = "/v0/models"


class CustomModels:
    """The deployed models of one account. Thread-safe.

    Args:
        where: What messages call the endpoint.
        base_url: As the settings have it, up to and including ``/v1``.
        api_key: Never shown or logged.
        max_retries: Further tries of a request that only reads or deletes.
        told: Of `ChatWire`: time limit, pause, connection pool.
    """

    def __init__(self, where: str, base_url: str, api_key: str | None, *, max_retries: int, **told: Any) -> None:
        root = base_url.rstrip("/").removesuffix("/v1")
        self._where = where
        self._wire = ChatWire(where, root, api_key=api_key, max_retries=max_retries, **told)
        self._once = ChatWire(where, root, api_key=api_key, max_retries=0, **told)

    def deploy(self, source: str, base: str, name: str, description: str) -> str:
        """Deploy ``source`` (``JOB:CHECKPOINT``), asked for once, under a name of which ``name`` is a part. The whole name.

        Raises:
            ProviderError: or one of its subclasses. It may be there nevertheless: see `rows`.
        """
        asked = {"source": source, "base_model": base, "name": name, "description": description}
        answer = self._once.post(MODELS, asked)
        found = answer.get("name")
        if not isinstance(found, str) or not found:
            raise self._odd(answer)
        return found

    def rows(self) -> list[Json]:
        """Every deployed model that the account lists.

        Raises:
            ProviderError: or one of its subclasses.
        """
        data = bytearray()
        self._wire.download(MODELS, data.extend, data.clear)
        try:
            told = json.loads(data)
        except ValueError:
            told = bytes(data)
        rows = told.get("data") if isinstance(told, dict) else told
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._odd(told)
        return rows

    def model(self, name: str) -> Json:
        """A deployed model as it is now, by its whole name.

        Raises:
            ProviderError: or one of its subclasses; with status 404: neither its own address nor the list knows it.
        """
        try:
            answer = self._wire.get(_path(name))
        except ProviderError as error:
            if error.status != 404:
                raise
            listed = next((row for row in self.rows() if row.get("name") == name), None)
            if listed is None:
                raise
            answer = listed
        if not isinstance(answer.get("status"), str):
            raise self._odd(answer)
        return answer

    def delete(self, name: str) -> None:
        """Take a model down; one that is gone already is no error.

        Raises:
            ProviderError: or one of its subclasses.
        """
        try:
            self._wire.delete(_path(name))
        except ProviderError as error:
            if error.status != 404 and error.code != "provider-answer":  # what a deletion answers is not documented
                raise

    def _odd(self, answer: object) -> ProviderError:
        return ProviderError(
            f"{self._where} gave an answer of another form than Nebius documents ({str(answer)[:80]!r}). Check fine_tuning of "
            "the endpoint in the settings",
            code="provider-answer",
        )


def _path(name: str) -> str:
    """Its address: vendor and name are two parts of the path, as the reference has it."""
    return f"{MODELS}/{quote(name, safe='/:')}"
