"""The session cookie while somebody sets the clock."""

from __future__ import annotations

import time

import pytest

DAY_S = 86_400.0


@pytest.mark.parametrize(("off_s", "status"), [(DAY_S, 303), (-DAY_S, 303), (-400 * DAY_S, 303), (40 * DAY_S, 400)])
def test_an_open_page_goes_on_after_the_clock_was_set(ana, monkeypatch, off_s: float, status: int) -> None:
    """A session of a month ago is over; one of tomorrow is not."""
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + off_s)
    assert ana.post("/practice", data={"scenario": "learner-005"}).status_code == status


@pytest.mark.parametrize("off_s", [0.0, -DAY_S])
def test_a_cookie_that_was_not_signed_here_counts_for_nothing(ana, monkeypatch, off_s: float) -> None:
    cookie = ana.flask.get_cookie("homeroom_session")
    assert cookie is not None
    ana.flask.set_cookie("homeroom_session", cookie.value[:-4] + "AAAA")
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + off_s)
    assert ana.post("/practice", data={"scenario": "learner-005"}).status_code == 400
