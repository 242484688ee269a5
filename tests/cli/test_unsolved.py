"""`homeroom tune unsolved`: validation examples that a model fails on, as a file; the test split stays closed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from homeroom.app.home import Homeroom
from homeroom.app.unsolved import Unsolved, left
from homeroom.data.reading import load_examples
from homeroom.evaluation.metrics.sound_turn import SoundTurn, failed_of_set
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Example
from tests.app import material


def test_what_failed_is_named_exactly_where_the_turn_is_not_sound():
    items = [item for record in material.tutor_records() for item in Example.from_dict(record).items()]
    replies = [item.gold if at % 3 else "Well done! Yes, that is right." for at, item in enumerate(items)]
    answers = [Answer(item.id, "tuned", reply) for item, reply in zip(items, replies, strict=True)]
    failed = failed_of_set(items, answers)
    assert [not titles for titles in failed] == [score == 1.0 for score in SoundTurn().score(items, answers)]
    assert all(failed[at] for at in range(0, len(items), 3))


def test_what_one_of_the_models_solves_is_not_left():
    items = [item for record in material.tutor_records()[::2] for item in Example.from_dict(record).items()]
    wrong = "Well done! Yes, that is right."

    def answers(right: set[int]) -> list[Answer]:
        return [Answer(item.id, "tuned", item.gold if at in right else wrong) for at, item in enumerate(items)]

    sound = {at for at, checks in enumerate(failed_of_set(items, answers(set(range(len(items)))))) if not checks}
    assert len(sound) >= 4, "or this test sees nothing"
    first, second = sorted(sound)[:2]
    one, both = answers({first}), {"a": answers({first}), "b": answers({second})}
    alone = Unsolved("d@1", "tutor", len(items), tuple(left(items, {"a": one})))
    assert alone.items == [item.id for at, item in enumerate(items) if at != first]
    together = left(items, both)
    assert {failure.item.id for failure in together} == {item.id for item in items} - {items[first].id, items[second].id}
    assert [failure.model for failure in together[:2]] == ["a", "b"], "what each of them said is told"
    (record,) = {example.id: example for example in alone.examples()[:1]}.values()
    assert record.metadata["unsolved"][0]["reply"] == wrong and record.metadata["topic"]


def test_a_base_leaves_nothing_unsolved(homeroom):
    told = homeroom("tune", "unsolved", "tiny", "--out", "x.jsonl")
    assert "#unsolved-base" in told.error and not Path("x.jsonl").exists()
    assert "#model-not-found" in homeroom("tune", "unsolved", "nobody", "--out", "x.jsonl").error


@pytest.mark.slow
def test_the_validation_examples_a_model_fails_on_become_a_file(tuned: Path, homeroom, tmp_path):
    with Homeroom.open() as home:
        (tutor,) = (model for model in home.registry.list() if model.task == "tutor")
        (learner,) = (model for model in home.registry.list() if model.task == "learner")
        dataset = home.datasets.get(tutor.dataset)
        validation = {example.id: example for example in dataset.part("validation", "tutor")}
    out = tmp_path / "unsolved.jsonl"
    told = homeroom("tune", "unsolved", tutor.name, "--out", out)
    assert told.code == 0, told.err
    asked = sum(len(list(example.items())) for example in validation.values())
    assert f"of {asked} validation replies of small-course@1 (tutor) not solved by any of 1 model" in told.out
    records = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert records, "a model of a hundred thousand weights solves none"
    for record in records:
        marks = record["metadata"].pop("unsolved")
        assert Example.from_dict(record).id in validation
        assert marks[0]["model"] == tutor.name and marks[0]["failed"]
    assert oct(out.stat().st_mode & 0o777) == "0o600", "learners' words"
    assert [example.id for example in load_examples(out)], "it can be read as any file of examples"

    again = homeroom("tune", "unsolved", tutor.name, "--out", out)
    assert (again.code, "--force" in again.error) == (2, True)
    both = homeroom("tune", "unsolved", tutor.name, learner.name, "--out", tmp_path / "both.jsonl")
    assert (both.code, "plays the" in both.error) == (2, True)
    as_json = homeroom("tune", "unsolved", tutor.name, tutor.id8, "--out", out, "--force", "--json").json
    assert (as_json["asked"], as_json["examples"]) == (asked, len(records))


@pytest.mark.slow
def test_a_dataset_without_validation_examples_has_nothing_to_ask(tuned: Path, homeroom, tmp_path):
    few = material.write_jsonl(tmp_path / "few.jsonl", material.tutor_records()[:2])
    homeroom("data", "split", few)
    told = homeroom("tune", "unsolved", "tutor", "--dataset", "few", "--out", tmp_path / "x.jsonl")
    assert told.code == 2 and not (tmp_path / "x.jsonl").exists()
