"""Differences, merging, samples, groups of near-duplicates, consent and cards of versions."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom.data.course import load_course
from homeroom.data.datasets import DatasetStore
from homeroom.data.diff import difference
from homeroom.data.lint.config import LintConfig
from homeroom.data.lint.run import lint
from homeroom.data.merge import Part, merge
from homeroom.data.sample import nested_samples
from homeroom.data.split import assign, group_keys
from homeroom.data.stats import statistics
from homeroom.errors import ConfigError, DataError
from homeroom.schema.examples import Example, Message


def example(topic, question=None, reply="What do you know already?", **metadata):
    question = question or f"{topic}: what is asked here?"
    return Example((Message("user", question), Message("assistant", reply)), {"topic": topic, **metadata})


@pytest.fixture
def store(database, artifacts):
    return DatasetStore(database, artifacts)


def test_a_difference_names_what_changed():
    kept, gone, new = example("kept"), example("gone", "Why do leaves fall in autumn?"), example("new", "How deep is the sea?")
    before = example("x", "What is a half of 14 marbles?", "Draw 14 dots in two rows and say what you see.", grade=2)
    edited = example("x", "What is a half of 14 marbles?", "Draw it.", grade=3)
    found = difference([kept, gone, before], [kept, new, edited], {kept.id: "train"}, {kept.id: "test"})
    assert found.counts == {"added": 1, "removed": 1, "changed": 1, "moved": 1, "same": 1}
    assert (found.added, found.removed) == ((new,), (gone,))
    (change,) = found.changed
    assert (change.before, change.after) == (before, edited)
    assert dict(change.fields) == {
        "messages[1].content": ("Draw 14 dots in two rows and say what you see.", "Draw it."),
        "metadata.grade": (2, 3),
    }
    assert (found.moved[0].before, found.moved[0].after) == ("train", "test")
    named = difference([example("a", "one", "b" * 50, id="n1")], [example("z", "two", "c" * 50, id="n1")])
    assert named.counts["changed"] == 1
    assert difference([kept], [kept]).counts == {"added": 0, "removed": 0, "changed": 0, "moved": 0, "same": 1}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=12), st.lists(st.integers(0, 12), max_size=12))
def test_a_difference_accounts_for_every_example(left, right):
    before, after = ([example(f"topic {n}", f"q{n}", f"r{n}") for n in some] for some in (left, right))
    found = difference(before, after)
    assert len(found.removed) + len(found.changed) + found.same == len(set(left))
    assert len(found.added) + len(found.changed) + found.same == len(set(right))


def test_merging_keeps_where_things_came_from_and_leaves_out_what_may_not_train():
    base = [example("a"), example("b")]
    again = example("a", review="Ana Ruiz, 2026-11-01")  # the same but for its bookkeeping
    silent = example("c", source="learner")
    refused = example("d", source="learner", consent="refused")
    granted = example("e", source="learner", consent="granted", origin={"kind": "correction", "id": "t1"})
    found = merge(base, [Part({"kind": "file", "name": "more.jsonl"}, [again, silent, refused, example("f")]),
                         Part({"kind": "feedback", "name": "feedback"}, [granted, granted])])  # fmt: skip
    assert found.examples[:2] == tuple(base)
    assert [e.metadata["topic"] for e in found.examples[2:]] == ["f", "e"]
    assert (found.added, found.known, found.by_origin) == (2, 2, {"more.jsonl": 1, "feedback": 1})
    assert len(found.refused) == 2 and "refused" in found.refused[1]
    assert found.examples[2].metadata["origin"] == {"kind": "file", "name": "more.jsonl"}
    assert found.examples[3].metadata["origin"] == {"kind": "correction", "name": "feedback", "id": "t1"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=5, max_size=60), st.integers(0, 5))
def test_samples_are_nested_and_look_like_the_whole(subjects, seed):
    data = [example(f"t{n}", subject=subject) for n, subject in enumerate(subjects)]
    sizes = sorted({1, len(data) // 2 or 1, len(data)})
    samples = nested_samples(data, sizes, seed)
    assert list(samples) == sizes
    before = set()
    whole = Counter(subjects)
    for size, some in samples.items():
        ids = {e.id for e in some}
        assert len(ids) == size and before <= ids
        before = ids
        for subject, count in Counter(e.metadata["subject"] for e in some).items():
            assert abs(count - size * whole[subject] / len(data)) < len(whole)
    assert samples == nested_samples(data, sizes, seed)
    assert samples[len(data)] == data


def test_other_seeds_draw_other_samples_and_impossible_sizes_are_refused():
    data = [example(f"t{n}") for n in range(40)]
    assert nested_samples(data, [10], 1) != nested_samples(data, [10], 2)
    for sizes in ([], [0], [41]):
        with pytest.raises(ConfigError) as caught:
            nested_samples(data, sizes)
        assert caught.value.code == "sample-size"


BUS = "A bus has {} seats and {} people get on at each stop. After how many stops is it full, and how many are left behind?"


def test_near_duplicates_are_one_group_whatever_their_topics_say():
    data = [
        example("buses", BUS.format(24, 9)),
        example("division", BUS.format(32, 5)),
        example("sharing", "Ana has 3 bags of 4 pens. How many pens does she have in all of her bags together?"),
        example("reworded", BUS.format(24, 9).replace("how many are left behind", "how many people are left standing")),
    ]
    keys = group_keys(data)
    assert keys[0] == keys[1] == keys[3] != keys[2]


def test_a_split_leaves_nothing_for_the_leakage_rules_to_find(tmp_path):
    from homeroom.data.convert import write_examples

    course = load_course()
    more = [example(f"odd-{n}", BUS.format(n + 20, n)) for n in range(30)]
    data = [Example(e.messages, {k: v for k, v in e.metadata.items() if k != "topic"}, e.context, e.reference) for e in course]
    splits = assign([*data, *more], seed=3)
    write_examples(lambda: [*data, *more], tmp_path / "a.jsonl")
    found = lint(tmp_path / "a.jsonl", select=("LEA001", "LEA002"), config=LintConfig(), splits=splits).findings
    assert [f.message for f in found] == []


def test_a_new_near_duplicate_goes_where_its_problem_is_and_may_not_join_two_splits():
    parent = [example(f"topic {n}", f"What about number {n}, please?") for n in range(8)] + [example("bus", BUS.format(24, 9))]
    before = assign(parent, seed=1)
    after = assign([*parent, example("other", BUS.format(30, 7))], inherited=before)
    assert after[example("other", BUS.format(30, 7)).id] == before[parent[-1].id]
    other = next(e for e in parent if before[e.id] != before[parent[-1].id])
    bridge = example(other.metadata["topic"], BUS.format(40, 6))
    with pytest.raises(DataError) as caught:
        assign([*parent, bridge], inherited=before)
    assert caught.value.code == "split-leakage"


def test_what_an_older_version_held_apart_stays_apart():
    old = [example("a", BUS.format(24, 9)), example("b", BUS.format(30, 7)), *(example(f"t{n}", f"And {n}?") for n in range(6))]
    before = {e.id: "train" for e in old} | {old[1].id: "test"}
    after = assign([*old, example("fresh", "Where does the rain come from?")], inherited=before)
    assert all(after[e.id] == before[e.id] for e in old)


def test_words_of_learners_without_consent_enter_no_version(store):
    data = [example(f"t{n}") for n in range(6)]
    for metadata in (
        {"source": "learner"},
        {"consent": "refused"},
        {"consent": "withdrawn"},
        {"source": "learner", "consent": "not-asked"},
    ):
        with pytest.raises(DataError) as caught:
            store.create("mine", [*data, example("x", **metadata)])
        assert caught.value.code == "consent" and len(caught.value.problems) == 1
    assert store.list() == []
    assert store.create("mine", [*data, example("x", source="learner", consent="granted")]).info.version == 1


def test_a_version_has_a_card_and_says_what_changed(store):
    data = [example(f"t{n}", subject="science", licence="CC0-1.0", author="Ana Ruiz") for n in range(6)]
    first = store.create("mine", data, note="Written in May.")
    edited = example(
        "t0", reply="Draw what you know and show me the first step.", subject="science", licence="CC0-1.0", author="Ana Ruiz"
    )
    second = store.create("mine", [edited, *data[1:], example("t9")], parent="mine@1")
    assert second.info.counts["changes"] == {"added": 1, "removed": 0, "changed": 1, "moved": 0, "same": 5}
    card = store.card("mine@2")
    assert "Grown from mine@1: 1 added, 1 changed." in card and "Ana Ruiz" in card and "| licence | CC0-1.0 | 6 |" in card
    assert "6 examples. Written in May." in store.card("mine@1")
    assert store.get("mine@1").info == first.info and first.info.counts["note"] == "Written in May."


def test_statistics_count_by_subject_grade_and_kind():
    data = [
        example("a", subject="science", grade=3, question_type="factual"),
        example("b", subject="science", grade=3),
        example("c"),
    ]
    found = statistics(data, splits={data[0].id: "train"}, tokens=lambda messages: (10 * len(messages), 3))
    assert found["examples"] == 3 and found["by_subject"] == {"science": 2, "": 1}
    assert {"subject": "science", "grade": "3", "question_type": "factual", "examples": 1} in found["cells"]
    assert found["tokens"]["sum"] == 60 and found["loss_tokens"]["median"] == 3 and found["turns"]["most"] == 2
    assert found["by_split"] == {"": 2, "train": 1}
