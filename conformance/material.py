"""Training files and jobs for a server that is tried."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

import httpx

QUESTIONS = (
    "Why do you think so?",
    "What is half of six?",
    "Do plants eat?",
    "Is the earth flat?",
    "Which is larger?",
    "Show me.",
)
POLL_S = 0.5
PATIENCE_S = 600.0  # never reached on a machine that is not overloaded


def chats(count: int = 12) -> bytes:
    """Examples to train on, as JSON Lines."""
    return _lines(
        {
            "messages": [
                {"role": "user", "content": f"{QUESTIONS[n % len(QUESTIONS)]} {n}"},
                {"role": "assistant", "content": "Draw both pieces."},
            ]
        }
        for n in range(count)
    )


def preferences(count: int = 12) -> bytes:
    """Preferences to train on, as JSON Lines."""
    return _lines(
        {
            "input": {"messages": [{"role": "user", "content": f"{QUESTIONS[n % len(QUESTIONS)]} {n}"}]},
            "preferred_output": [{"role": "assistant", "content": "What do you notice?"}],
            "non_preferred_output": [{"role": "assistant", "content": "It is three."}],
        }
        for n in range(count)
    )


class Api:
    """The few requests that prepare a server; what is judged is asked by others."""

    def __init__(self, base_url: str, key: str) -> None:
        self._http = httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=60)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of its connections."""
        self._http.close()

    def upload(self, content: bytes, name: str = "train.jsonl") -> str:
        """The id of a new file."""
        return str(self._post("/files", files={"file": (name, content)}, data={"purpose": "fine-tune"})["id"])

    def order(self, model: str, file_id: str, **more: Any) -> str:
        """The id of a new job."""
        return str(self._post("/fine_tuning/jobs", json={"model": model, "training_file": file_id, **more})["id"])

    def pause(self, job_id: str) -> None:
        """Have a job wait."""
        self._post(f"/fine_tuning/jobs/{job_id}/pause")

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job, once it is over."""
        deadline = time.monotonic() + PATIENCE_S
        while (job := self.get(f"/fine_tuning/jobs/{job_id}"))["status"] not in ("succeeded", "failed", "cancelled"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{job_id} is {job['status']} after {PATIENCE_S:g} s")
            time.sleep(POLL_S)
        return job

    def get(self, address: str) -> dict[str, Any]:
        """What is at an address."""
        return self._answer(self._http.get(address))

    def _post(self, address: str, **options: Any) -> dict[str, Any]:
        return self._answer(self._http.post(address, **options))

    @staticmethod
    def _answer(response: httpx.Response) -> dict[str, Any]:
        response.raise_for_status()
        found: dict[str, Any] = response.json()
        return found


def _lines(records: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()
