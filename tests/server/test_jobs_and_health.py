from __future__ import annotations

import time

import pytest

from homeroom.errors import StorageError
from homeroom.schema.jobs import Job
from homeroom.server.rendering import ago, duration, figure


def test_jobs_are_shown_with_progress(site, ana) -> None:
    assert "Nothing has run yet" in ana.get("/jobs").get_data(as_text=True)
    assert ana.get("/jobs/banner").get_data(as_text=True).strip() == ""
    site.jobs.append(Job("job-1", "tune", "running", progress=0.43, message="step 23 of 54", created_at=time.time()))
    site.jobs.append(Job("job-2", "evaluate", "failed", error="no memory left", created_at=time.time()))
    page = ana.get("/jobs").get_data(as_text=True)
    assert 'value="43"' in page
    assert "step 23 of 54" in page
    assert "no memory left" in page
    assert "Answers are slower while a job runs." in ana.get("/chat").get_data(as_text=True)
    assert "step 1" in ana.get("/jobs/job-1").get_data(as_text=True)
    assert "loss 2.5" in ana.get("/jobs/job-1/detail").get_data(as_text=True)
    assert ana.get("/jobs/nobody").status_code == 404


def test_health_needs_nothing(site) -> None:
    site.failing.update(database=StorageError("gone"), engine=StorageError("gone"))
    site.desk.database.close()
    assert site.app.test_client().get("/health").get_json() == {"status": "ok"}


def test_ready_names_what_is_missing(site) -> None:
    client = site.app.test_client()
    assert (client.get("/ready").status_code, client.get("/ready").get_json()["status"]) == (200, "ready")
    site.failing["engine"] = StorageError("the engine has not started yet")
    response = client.get("/ready")
    assert response.status_code == 503
    assert response.get_json()["checks"] == {"database": "ok", "engine": "the engine has not started yet"}


@pytest.mark.parametrize(
    ("passed", "text"), [(5, "just now"), (65, "1 min ago"), (7300, "2 h ago"), (90_000, "yesterday"), (300_000, "3 days ago")]
)
def test_ago(passed: float, text: str) -> None:
    assert ago(1_000_000.0, 1_000_000.0 + passed) == text


def test_figures_and_durations() -> None:
    assert [figure(x) for x in (2.25718, 16000, 12345.6, True, "x")] == ["2.257", "16,000", "12,346", "True", "x"]
    assert [duration(x) for x in (8.2, 200, 3900, None)] == ["8 s", "3 min 20 s", "1 h 5 min", ""]
    assert ago(None) == ""
