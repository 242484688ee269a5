"""The same problem, question or passage where a model learns and where it is judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from homeroom.cli.main import cli
from homeroom.data.lint.against import against
from homeroom.data.lint.config import LintConfig
from homeroom.data.lint.model import Finding
from homeroom.data.lint.run import lint
from homeroom.schema.examples import Example

BUS = "A bus has 24 seats and 9 people get on at each stop. When is there no seat left?"
JUG = "A jug holds 2 litres and a cup holds 250 millilitres. How many cups fill the jug?"
PASSAGE = "The tide rises twice a day because the moon pulls on the water of the sea on the side that faces it and on the other."


def entry(question: str, reply: str = "What do you know?", split: str = "", system: str = "", **more: object) -> dict:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    if system:
        turns.insert(0, {"role": "system", "content": system})
    return {"messages": turns, "metadata": {"split": split} if split else {}, **more}


def found(folder: Path, *records: dict, name: str = "data.jsonl", splits: dict[str, str] | None = None) -> list[Finding]:
    path = folder / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return list(lint(path, select=("LEA",), config=LintConfig(), splits=splits, jobs=1).findings)


def told(findings: list[Finding]) -> list[tuple[str, int, tuple[int, ...]]]:
    return [(f.code, f.line, f.lines) for f in findings]


def test_the_same_problem_in_two_splits(tmp_path: Path) -> None:
    records = [entry(BUS, split="train"), entry(JUG, split="train"), entry(f"  {BUS.upper()}  ", "Draw it.", split="test")]
    assert told(found(tmp_path, *records)) == [("LEA001", 3, (1,))]


def test_the_learners_own_work_does_not_make_another_problem(tmp_path: Path) -> None:
    records = [
        entry(f"{BUS}\n\nMy solution: 24 / 9 = 3", split="train"),
        entry(f"{BUS} I got 5 because I guessed.", split="validation"),
    ]
    assert told(found(tmp_path, *records)) == [("LEA001", 2, (1,))]


@pytest.mark.parametrize("split", ["train", ""])
def test_one_split_or_none_is_no_leak(tmp_path: Path, split: str) -> None:
    assert not found(tmp_path, entry(BUS, split=split), entry(BUS, "Draw it.", split=split))


def test_validation_against_test_without_training(tmp_path: Path) -> None:
    records = [entry(BUS, split="test"), entry(BUS, "Draw.", split="validation")]
    assert told(found(tmp_path, *records)) == [("LEA001", 1, (2,))]


@pytest.mark.parametrize(
    "other",
    [
        "A bus has 32 seats and 4 people get on at each stop. When is there no seat left?",
        "A bus has thirty seats and four people get on at each stop. When is there no seat left?",
        "A bus has 24 seats and 9 people get on at every stop. When is there no seat left?",
    ],
)
def test_other_numbers_or_words_are_nearly_the_problem(tmp_path: Path, other: str) -> None:
    assert told(found(tmp_path, entry(BUS, split="train"), entry(other, split="test"))) == [("LEA002", 2, (1,))]


def test_another_name_is_nearly_the_problem(tmp_path: Path) -> None:
    one = "When school began, Billy had 40 pencils in his box and lost 3 of them each week. How many are left after 5 weeks?"
    two = "When school began, Amina had 60 pencils in her box and lost 4 of them each week. How many are left after 7 weeks?"
    assert told(found(tmp_path, entry(one, split="train"), entry(two, split="test"))) == [("LEA002", 2, (1,))]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (BUS, JUG),
        ("What is 3 + 4?", "What is 5 + 6?"),
        ("Is 12 more than 9?", "Is 15 more than 8?"),
        ("Round 347 to the nearest ten.", "Round 512 to the nearest ten."),
        ("Hi", "Hi"),
        ("Can you help me?", "Can you help me?"),
    ],
)
def test_other_problems_and_kinds_of_sums_are_no_leak(tmp_path: Path, one: str, two: str) -> None:
    records = [entry(one, split="train"), entry(two, "Which number is larger?", split="test")]
    assert not found(tmp_path, *records)


def test_a_question_in_its_own_demonstrations_is_found_without_splits(tmp_path: Path) -> None:
    shown = f"Guide the learner.\n\nQuestion: {BUS}\nAnswer: Count the seats.\n"
    assert told(found(tmp_path, entry(BUS, system=shown))) == [("LEA003", 1, ())]
    assert not found(tmp_path, entry(JUG, system=shown))


def test_a_judged_question_in_the_demonstrations_of_another_record(tmp_path: Path) -> None:
    shown = f"Q: {BUS}\nA: Count the seats.\n"
    records = [entry(JUG, split="train", system=shown), entry(BUS, split="test")]
    assert told(found(tmp_path, *records)) == [("LEA003", 2, (1,))]
    assert not found(tmp_path, entry(JUG, split="train", system=shown), entry(BUS, split="train"))


def test_turns_without_loss_are_demonstrations(tmp_path: Path) -> None:
    few = entry(JUG, split="train")
    few["messages"] = [
        {"role": "user", "content": BUS},
        {"role": "assistant", "content": "Seats?", "weight": 0},
        *few["messages"],
    ]
    assert told(found(tmp_path, few, entry(BUS, split="test"))) == [("LEA003", 2, (1,))]


def test_a_passage_on_both_sides(tmp_path: Path) -> None:
    records = [
        entry(BUS, f"Listen. {PASSAGE} And now?", split="train"),
        entry(JUG, "Which unit?", split="test", context=[f"About the sea: {PASSAGE}"]),
    ]
    assert told(found(tmp_path, *records)) == [("LEA004", 2, (1,))]


def test_a_stock_sentence_of_many_records_is_no_leak(tmp_path: Path) -> None:
    many = [
        entry(f"{name} asks why the sea is high today?", PASSAGE, split="train")
        for name in ("Ana", "Bo", "Cy", "Di", "Ed", "Flo")
    ]
    assert not [f for f in found(tmp_path, *many, entry(JUG, PASSAGE, split="test")) if f.code == "LEA004"]


def test_splits_of_a_version_and_of_a_files_name_count(tmp_path: Path) -> None:
    one, two = entry(BUS), entry(BUS, "Draw it.")
    splits = {Example.from_dict(one).id: "train", Example.from_dict(two).id: "test"}
    assert told(found(tmp_path, one, two, splits=splits)) == [("LEA001", 2, (1,))]
    (tmp_path / "train.jsonl").write_text(json.dumps(one) + "\n", "utf-8")
    (tmp_path / "test.jsonl").write_text(json.dumps(two) + "\n", "utf-8")
    (finding,) = lint([tmp_path / "train.jsonl", tmp_path / "test.jsonl"], select=("LEA",), config=LintConfig(), jobs=1).findings
    assert (Path(finding.file).name, finding.line, finding.elsewhere) == ("test.jsonl", 1, ("train.jsonl:1",))
    assert "train.jsonl:1" in finding.message


def test_against_a_set_that_was_chosen_later() -> None:
    near = BUS.replace("24", "36")
    mine = [
        entry(JUG, split="test"),
        entry(BUS),
        entry("Why is the sea high twice a day here?", PASSAGE),
        entry(near, split="test"),
    ]
    other = [entry(BUS, "Draw.", split="train"), entry("What pulls the water of the sea?", "The moon?", context=[PASSAGE])]
    pairs = [[(n, Example.from_dict(record)) for n, record in enumerate(records, 1)] for records in (mine, other)]
    findings = list(against(pairs[0], pairs[1], file="mine.jsonl", other_file="judge.jsonl"))
    assert [(f.code, f.line, f.elsewhere) for f in findings] == [
        ("LEA001", 2, ("judge.jsonl:1",)),
        ("LEA004", 3, ("judge.jsonl:2",)),
    ]
    only_near = list(against(pairs[0][3:], pairs[1], file="mine.jsonl", other_file="judge.jsonl"))
    assert [(f.code, f.line, f.elsewhere) for f in only_near] == [("LEA002", 4, ("judge.jsonl:1",))]


def test_the_command_names_what_a_file_shares_with_a_set(tmp_path: Path) -> None:
    write = lambda name, *records: (tmp_path / name).write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")  # noqa: E731
    write("mine.jsonl", entry(JUG), entry(BUS))
    write("judge.jsonl", entry(BUS, "Draw it."))
    mine, judge = str(tmp_path / "mine.jsonl"), str(tmp_path / "judge.jsonl")
    shown = CliRunner().invoke(cli, ["data", "check", mine, "--against", judge, "--json"], standalone_mode=False)
    result = json.loads(shown.stdout)
    leaks = [(f["code"], f["line"], f["elsewhere"]) for f in result["findings"] if f["code"].startswith("LEA")]
    assert leaks == [("LEA001", 2, [f"{judge}:1"])]
    assert result["summary"]["errors"] == result["summary"]["by_rule"]["LEA001"] == 1
    assert shown.return_value == 1
    alone = CliRunner().invoke(cli, ["data", "check", mine, "--json"], standalone_mode=False)
    assert "LEA001" not in alone.stdout


def test_of_a_dataset_version_only_the_test_part_counts(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    questions = {
        "tides": "Why does the sea come and go twice each day?",
        "fractions": "Which is larger, three fifths or four sevenths?",
        "verbs": "Where does the verb stand in a German clause with weil?",
        "rome": "Who could vote in the assemblies of the Republic of Rome?",
        "cells": "What does a leaf do with sunlight and air?",
        "sonnets": "How many lines has a sonnet, and where does it turn?",
        "angles": "If two angles of a triangle are 50 and 60, what is the third?",
        "maps": "What do close contour lines on a map say about a hill?",
        "loops": "When does a while loop in Python never end?",
        "drums": "Why does a tighter drum sound higher than a loose one?",
    }
    records = [entry(question) for question in questions.values()]
    for topic, record in zip(questions, records, strict=True):
        record["metadata"]["topic"] = topic
    path.write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")
    made = CliRunner().invoke(cli, ["data", "split", str(path), "--name", "many", "--json"], standalone_mode=False)
    assert made.exception is None
    shown = CliRunner().invoke(
        cli, ["data", "check", str(path), "--against", "many", "--select", "LEA", "--json"], standalone_mode=False
    )
    result = json.loads(shown.stdout)
    exact = [f for f in result["findings"] if f["code"] == "LEA001"]
    assert len(exact) == json.loads(made.stdout)["counts"]["splits"]["test"]
    assert all(f["elsewhere"][0].startswith("many:") for f in exact)
