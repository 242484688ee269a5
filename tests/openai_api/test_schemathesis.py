"""Requests that schemathesis makes from OpenAI's own description, against a real server with keys on."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance import description, fuzz
from homeroom.server.policy import ROUTES

CASES = 100  # for each operation and phase: some 2,500 requests, and about three minutes on two quiet cores
SHARE = 0.3
FEWEST = 10


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_answer_breaks_the_description(tmp_path: Path) -> None:
    if (whole := description.find()) is None:
        pytest.skip("HOMEROOM_SHARED_DATA names no folder with the description")
    found = fuzz.fuzz(tmp_path, seed=1, cases=CASES, phases="coverage,fuzzing")
    assert found["exit"] == 0, found["said"] + found["log"]
    assert found["failures"] == []
    statuses = {status for counts in found["statuses"].values() for status in counts}
    assert not {status for status in statuses if status.startswith("5")}, found["statuses"]
    described = {f"{method.upper()} {path}" for method, path in description.operations(description.load(whole, ROUTES))}
    few = {label for label in described if sum(found["statuses"].get(label, {}).values()) < FEWEST}
    assert few <= {"GET /models"}, found["statuses"]  # which takes nothing that could be varied
    assert fuzz.accepted(found) >= SHARE * fuzz.total(found), found["statuses"]
    assert sum(found["streams"].values()) > 0
    assert set(found["phases"]) == {"coverage", "fuzzing"} and set(found["modes"]) == {"positive", "negative"}


def test_the_description_is_cut_to_what_is_served() -> None:
    if (whole := description.find()) is None:
        pytest.skip("HOMEROOM_SHARED_DATA names no folder with the description")
    found = description.operations(
        description.load(whole, ["GET /v1/files", "POST /v1/fine_tuning/jobs/<job_id>/cancel", "GET /"])
    )
    assert found == [("get", "/files"), ("post", "/fine_tuning/jobs/{fine_tuning_job_id}/cancel")]


def test_everything_of_the_description_is_served_but_what_the_docs_say_is_not() -> None:
    """Stored chat completions are not kept here."""
    if (whole := description.find()) is None:
        pytest.skip("HOMEROOM_SHARED_DATA names no folder with the description")
    every = description.operations(description.load(whole, (_route(m, p) for m, p in _all(whole))))
    served = description.operations(description.load(whole, ROUTES))
    assert set(every) - set(served) == {("get", "/chat/completions")}


def _all(whole: Path) -> list[tuple[str, str]]:
    import json

    return description.operations(json.loads(whole.read_text("utf-8")))


def _route(method: str, path: str) -> str:
    return f"{method.upper()} /v1{path}"
