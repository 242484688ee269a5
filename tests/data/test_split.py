from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom.data.split import assign, group_keys
from homeroom.errors import ConfigError, DataError
from homeroom.schema.examples import SPLITS, Example, Message


def example(topic, index, task="tutor", subject="mathematics", band="3-5", opening=None):
    return Example(
        (Message("user", opening or f"{topic} question {index} for {task}"), Message("assistant", f"reply {index}")),
        {"topic": topic, "task": task, "subject": subject, "grade_band": band},
    )


def examples(topics=20, each=4, **kwargs):
    return [example(f"topic-{t}", i, **kwargs) for t in range(topics) for i in range(each)]


def test_topics_are_never_divided_and_shares_are_near_the_ratios():
    data = examples(topics=40)
    splits = assign(data, seed=3)
    topics = {}
    for e in data:
        topics.setdefault(e.metadata["topic"], set()).add(splits[e.id])
    assert all(len(s) == 1 for s in topics.values())
    share = Counter(splits.values())
    assert abs(share["test"] / len(data) - 0.3) < 0.05
    assert abs(share["validation"] / len(data) - 0.08) < 0.05


def test_same_seed_same_split_and_other_seed_other_split():
    data = examples()
    assert assign(data, seed=1) == assign(list(reversed(data)), seed=1)
    assert assign(data, seed=1) != assign(data, seed=2)


def test_each_task_and_subject_reaches_the_test_split():
    data = examples(12) + examples(12, subject="science") + examples(10, task="learner", subject="reading")
    splits = assign(data, seed=0)
    held_out = {(e.task, e.metadata["subject"]) for e in data if splits[e.id] == "test"}
    assert held_out == {("tutor", "mathematics"), ("tutor", "science"), ("learner", "reading")}


def test_equal_openings_join_groups_whatever_the_topic_says():
    data = [example("a", 0, opening="What is 3 + 4?"), example("b", 1, opening="what is 3 + 4 "), example("c", 2)]
    keys = group_keys(data)
    assert keys[0] == keys[1] != keys[2]


def test_one_topic_is_one_group_over_both_tasks():
    keys = group_keys([example("fractions", 0), example("fractions", 1, task="learner"), example("decimals", 2)])
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_topics_is_an_error_with_the_numbers(count):
    with pytest.raises(DataError) as caught:
        assign([example(f"t{i}", i) for i in range(count)])
    assert caught.value.code == "too-few-examples" and str(count) in caught.value.message


def test_a_child_version_inherits_and_places_only_new_groups():
    parent = examples(10)
    before = assign(parent, seed=5)
    children = [*parent, *[example("new-topic", i) for i in range(3)], example("topic-0", 99)]
    after = assign(children, seed=99, inherited=before)
    assert all(after[e.id] == before[e.id] for e in parent)
    assert after[children[-1].id] == before[parent[0].id]
    assert len({after[e.id] for e in children if e.metadata["topic"] == "new-topic"}) == 1


def test_filling_an_empty_split_never_moves_an_inherited_topic():
    parent = examples(2, each=2)
    before = {e.id: "train" for e in parent}
    after = assign([*parent, example("new", 0)], inherited=before)
    assert all(after[e.id] == "train" for e in parent)


def test_a_new_example_that_joins_two_splits_is_leakage():
    parent = examples(12)
    before = assign(parent, seed=5)
    train = next(e for e in parent if before[e.id] == "train")
    test = next(e for e in parent if before[e.id] == "test")
    bridge = example(train.metadata["topic"], 0, opening=test.messages[0].content)
    with pytest.raises(DataError) as caught:
        assign([*parent, bridge], inherited=before)
    assert caught.value.code == "split-leakage"


def test_ratios_must_sum_to_one():
    with pytest.raises(ConfigError):
        assign(examples(), ratios={"train": 0.5, "validation": 0.1, "test": 0.1})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=3, max_size=30), st.integers(0, 9))
def test_every_split_is_filled_and_groups_stay_whole(sizes, seed):
    data = [example(f"t{t}", i) for t, n in enumerate(sizes) for i in range(n)]
    splits = assign(data, seed=seed)
    assert set(splits.values()) == set(SPLITS)
    for topic in {e.metadata["topic"] for e in data}:
        assert len({splits[e.id] for e in data if e.metadata["topic"] == topic}) == 1
