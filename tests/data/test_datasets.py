import pytest

from homeroom.data.course import load_course
from homeroom.data.datasets import DatasetStore
from homeroom.errors import DataError, NotFoundError
from homeroom.evaluation.metrics.false_confirmation import FalseConfirmation
from homeroom.evaluation.metrics.missed_confirmation import MissedConfirmation
from homeroom.evaluation.metrics.withholding import Withholding
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Example, Message
from homeroom.storage.artifacts import ArtifactStore
from homeroom.storage.database import Database
from homeroom.storage.scope import Scope


def example(topic, index):
    return Example((Message("user", f"{topic} {index}?"), Message("assistant", f"Try {index}.")), {"topic": topic})


@pytest.fixture
def store(tmp_path):
    database = Database.for_home(tmp_path / "home")
    database.migrate()
    yield DatasetStore(database, ArtifactStore(tmp_path / "home" / "artifacts"))
    database.close()


@pytest.fixture
def examples():
    return [example(f"topic-{t}", i) for t in range(8) for i in range(3)]


def test_a_version_is_read_back_equal(store, examples):
    made = store.create("mine", examples, seed=4)
    for reference in ("mine", "mine@1", made.info.id, made.info.id[:10]):
        read = store.get(reference)
        assert read.info == made.info
        assert list(read.examples) == examples and read.splits == made.splits
    assert sum(made.info.counts["splits"].values()) == 24


def test_same_content_is_the_same_version_and_new_content_the_next(store, examples):
    first = store.create("mine", examples)
    assert store.create("mine", [*examples, examples[0]]).info == first.info
    second = store.create("mine", [*examples, example("topic-new", 0)], parent="mine@1")
    assert (second.info.version, second.info.parent) == (2, "mine@1")
    assert all(second.splits[e.id] == first.splits[e.id] for e in examples)
    assert store.info("mine").version == 2 and store.info("mine@1").id == first.info.id


def test_parts_cover_the_version_without_overlap(store, examples):
    dataset = store.create("mine", examples)
    parts = [e.id for split in ("train", "validation", "test") for e in dataset.part(split)]
    assert sorted(parts) == sorted(e.id for e in examples)
    assert dataset.part("train", "learner") == []


def test_unknown_and_empty(store):
    with pytest.raises(NotFoundError, match="'none'"):
        store.get("none")
    with pytest.raises(DataError):
        store.create("empty", [])


def test_other_workspaces_see_nothing(store, examples, tmp_path):
    store.create("mine", examples)
    other = DatasetStore(store._database, store._artifacts, scope=Scope("school-b"))
    assert other.list() == []


def test_the_course_is_whole_and_keeps_its_promises():
    course = load_course()
    tutor = [e for e in course if e.task == "tutor"]
    learner = [e for e in course if e.task == "learner"]
    assert len(tutor) >= 396 and len(learner) >= 96
    assert {e.metadata["subject"] for e in tutor} == {"mathematics", "science", "reading", "history"}
    assert {e.metadata["grade_band"] for e in tutor} == {"K-2", "3-5", "6-8"}
    assert {e.metadata["question_type"] for e in tutor} == {"factual", "conceptual", "analytical"}
    scenarios = {e.metadata["scenario"] for e in tutor}
    assert scenarios >= {
        "diagnose",
        "assess",
        "engage",
        "multilingual",
        "asks-for-answer",
        "frustrated",
        "wrong-premise",
        "off-topic",
        "unsafe",
    }
    assert len({e.metadata["id"] for e in course}) == len(course)
    assert all(e.metadata["review"] and e.metadata["consent"] == "not-required" for e in course)
    for e in course:
        claim = e.reference.get("claim")
        opening = e.messages[0].content
        assert claim is None or str(claim) in opening, e.metadata["id"]


def test_the_courses_tutors_do_as_the_measures_want():
    """They confirm no wrong work, leave hardly anybody who is right without hearing it, and give hardly an answer away."""
    items = [item for e in load_course() if e.task == "tutor" for item in e.items()]
    answers = [Answer(item.id, "people", item.gold) for item in items]
    for metric, bad, least, most in (
        (FalseConfirmation(), 1.0, 200, 1),
        (MissedConfirmation(), 1.0, 80, 2),
        (Withholding(), 0.0, 390, 5),
    ):
        scores = [score for score in metric.score(items, answers) if score is not None]
        assert len(scores) >= least and sum(score == bad for score in scores) <= most, metric.name


def test_course_replies_are_varied():
    replies = [m.content for e in load_course() for m in e.messages if m.role == "assistant"]
    assert len(set(replies)) == len(replies)
    openings = [" ".join(r.split()[:3]).lower() for r in replies]
    assert max(openings.count(o) for o in set(openings)) <= 4


def test_the_newest_version_is_the_one_with_the_highest_number(store, examples, monkeypatch):
    """The clock may have been set back between two of them."""
    store.create("mine", examples)
    monkeypatch.setattr("time.time", lambda: 1.0)
    store.create("mine", examples[:-3])
    assert store.info("mine").version == 2
    assert store.info("mine@1").version == 1
