"""What every client's script needs: where the server is, and a record of what worked. Runs in the client's own environment."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

BASE_URL = os.environ["CLIENT_BASE_URL"]
KEY = os.environ["CLIENT_KEY"]
MODEL = os.environ["CLIENT_MODEL"]
EMBEDDER = os.environ.get("CLIENT_EMBEDDER", "")
TRAINING = Path(os.environ["CLIENT_TRAINING"])
FOLDER = Path(os.environ["CLIENT_FOLDER"])
TRAINS = os.environ.get("CLIENT_TRAINS") == "1"

WRONG_KEY = "sk-homeroom-wrong"
MISSING = "no-such-model"
QUESTION = "Do plants eat?"
SCHEMA = {
    "type": "object",
    "properties": {"right": {"type": "boolean"}, "grade": {"type": "integer", "enum": [1, 2, 3]}},
    "required": ["right", "grade"],
    "additionalProperties": False,
}
LONGEST = 24
POLL_S = 0.5
PATIENCE_S = 300.0

_results: list[dict[str, str]] = []


def check(name: str) -> Callable[[Callable[[], str | None]], None]:
    """Run the decorated function at once; what it returns is the note of a check that passed."""

    def run(body: Callable[[], str | None]) -> None:
        try:
            note, outcome = body() or "", "pass"
        except Exception as error:  # noqa: BLE001 - whatever a client raises is the result of the check
            note, outcome = f"{type(error).__name__}: {error}"[:400], "fail"
        _results.append({"check": name, "outcome": outcome, "note": note})

    return run


def lacks(name: str, why: str) -> None:
    """The client itself has nothing of that kind."""
    _results.append({"check": name, "outcome": "none", "note": why})


def done() -> NoReturn:
    """Tell the runner."""
    Path(os.environ["CLIENT_RESULTS"]).write_text(json.dumps(_results), encoding="utf-8")
    sys.exit(0)


def raises(kind: type[BaseException], call: Callable[[], Any], status: int | None = None) -> str:
    """Fail unless the call raises exactly that, with that status; a short note of what came."""
    try:
        found = call()
    except kind as error:
        told = getattr(error, "status_code", None) or getattr(error, "status", None)
        assert status is None or told == status, f"status {told}, not {status}: {error}"
        return type(error).__name__
    raise AssertionError(f"nothing was raised; it answered {str(found)[:200]}")


def cut_of(text: str) -> str:
    """A letter in the middle of a reply, to stop at."""
    found = [letter for letter in text[4:] if letter.isascii() and letter.isalpha()]
    assert found, f"the reply {text!r} has no letter to stop at"
    return found[0]


def assert_answer(text: str) -> None:
    """A schema's answer."""
    value = json.loads(text)
    assert set(value) == {"right", "grade"}, value
    assert isinstance(value["right"], bool) and value["grade"] in (1, 2, 3), value
