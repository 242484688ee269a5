"""Other systems than the one that the tests run on, as far as they can be looked at from here."""

from __future__ import annotations

import os
import sys


def test_windows_is_told_in_one_line_where_homeroom_runs(homeroom, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    told = homeroom("doctor")
    assert (told.code, told.out) == (2, "")
    assert "WSL 2" in told.error and told.error.endswith("[help: docs/troubleshooting.md#platform]")


def test_doctor_works_where_linux_s_own_facts_are_missing(homeroom, monkeypatch):
    """As on macOS: no affinity of processes, nothing under /proc."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    told = homeroom("doctor", "--json")
    assert (told.code, told.json["ok"]) == (0, True)
