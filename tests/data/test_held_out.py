"""Openings are counted once for each job, and what a probe used up belongs to no part any more."""

from __future__ import annotations

import pytest

from homeroom.data.datasets import DatasetStore
from homeroom.data.held_out import HeldOutLog
from homeroom.schema.examples import Example, Message
from homeroom.storage import Scope


def example(number: int, topic: str, task: str = "tutor") -> Example:
    messages = (Message("user", f"What is {number} + 1?"), Message("assistant", f"Count on from {number}."))
    return Example(messages, {"task": task, "topic": topic}, (), {})


@pytest.fixture
def examples():
    return [example(n, f"topic {n // 2}") for n in range(24)]


def test_a_job_opens_a_version_once(database):
    log = HeldOutLog(database)
    first = log.open("job-1", "d1", "tutor", ["b", "a"])
    assert (first.number, first.total, first.models) == (1, 1, ("a", "b"))
    assert log.open("job-1", "d1", "tutor", ["b", "a"]) == first, "a job that goes on opens nothing anew"
    assert log.open("job-2", "d1", "learner", []).number == 1
    third = log.open("job-3", "d1", "tutor", ["c"])
    assert (third.number, third.total) == (2, 3)
    assert log.open("job-4", "d2", "tutor", []).number == 1, "each version has its own count"
    assert log.open("job-5", "d3", "tutor", [], same=["d1", "d3"]).number == 3, "what it shares with another counts with it"
    assert log.opened("tutor") == {"d1", "d2", "d3"} and log.opened("learner") == {"d1"}
    assert [o.job_id for o in log.openings("d1")] == ["job-1", "job-2", "job-3"]
    assert log.opening("job-3").number == 2 and log.opening("job-9") is None
    assert "first look" in first.text and "number 2" in third.text


def test_openings_of_another_owner_do_not_count(database):
    HeldOutLog(database).open("job-1", "d1", "tutor", [])
    other = HeldOutLog(database, scope=Scope("local", "other"))
    assert other.openings("d1") == () and other.opening("job-1") is None


def test_what_was_set_aside_belongs_to_no_part_of_any_version(database, artifacts, examples):
    store, log = DatasetStore(database, artifacts), HeldOutLog(database)
    dataset = store.create("mine", examples)
    train = dataset.part("train")
    taken = [e.id for e in train[:4]]
    log.set_aside("probe-1", "mine", dataset.info.id, "tutor", taken)
    again = store.get("mine")
    assert [e.id for e in again.part("train")] == [e.id for e in train[4:]]
    assert again.part("test") == dataset.part("test") and len(again.examples) == 24
    assert log.set_aside("probe-1", "mine", dataset.info.id, "tutor", ["other"]).examples == tuple(taken)
    child = store.create("mine", [*examples, example(99, "new")], parent=dataset.info.id)
    assert not {e.id for split in ("train", "validation", "test") for e in child.part(split)} & set(taken)
    copy = store.create("other", examples)
    assert not {e.id for split in ("train", "validation", "test") for e in copy.part(split)} & set(taken), (
        "nor under another name"
    )
    apart = DatasetStore(database, artifacts, scope=Scope("local", "other")).create("other", examples)
    assert apart.set_aside == frozenset(), "another owner's probes are another matter"


def test_a_probe_is_found_again_with_its_report(database):
    log = HeldOutLog(database)
    log.set_aside("probe-1", "mine", "d1", "tutor", ["e1"])
    log.probed("probe-1", "report-1")
    assert log.probe("probe-1").report == "report-1"
    assert log.probe("probe-2") is None
