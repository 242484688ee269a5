"""`homeroom data` and `homeroom init`: from a person's file to a dataset version."""

from __future__ import annotations

import json
import shlex

import openpyxl
import pytest

from tests.app import material

TABLE = (
    "Topic;Question;Answer;Grade;Claim\nhalving;Half of 14?;Draw it. What do you see?;2;8\nverbs;Which word acts?;Read on.;K;\n"
)


def xlsx(path):
    book = openpyxl.Workbook()
    for row in TABLE.splitlines():
        book.active.append([int(cell) if cell.isdigit() else cell for cell in row.split(";")])
    book.save(path)
    book.close()
    return path


def test_check_counts_and_passes(homeroom, course):
    told = homeroom("data", "check", course, "--select", "STR", "--ignore", "STR040")
    assert (told.code, told.out) == (0, "36 examples in 1 file: nothing to mend.\n")
    found = homeroom("data", "check", course, "--select", "STR", "--ignore", "STR040", "--json").json
    assert set(found) == {"findings", "summary"} and found["findings"] == []
    assert found["summary"]["files"] == {str(course): {"format": "chat", "examples": 36}}


def test_check_lists_every_problem_with_its_line(homeroom, tmp_path):
    good, *_ = material.tutor_records()
    lines = [json.dumps(good), "{oops", json.dumps({"messages": []}), json.dumps({**good, "mesages": 1})]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    told = homeroom("data", "check", "mine.jsonl", "--select", "STR", "--all")
    assert told.code == 1
    assert [line.split(": ")[:2] for line in told.out.splitlines()[:3]] == [
        ["mine.jsonl:2", "STR001 json-invalid"],
        ["mine.jsonl:3", "STR003 messages-missing"],
        ["mine.jsonl:4", "STR016 key-unknown"],
    ]
    assert told.out.splitlines()[-1] == "2 examples in 1 file: 2 errors, 1 warning."
    data = homeroom("data", "check", "mine.jsonl", "--select", "STR", "--json")
    assert data.code == 1 and set(data.json) == {"findings", "summary"}
    assert [(f["line"], f["code"], f["severity"]) for f in data.json["findings"]] == [
        (2, "STR001", "error"),
        (3, "STR003", "error"),
        (4, "STR016", "warning"),
    ]
    assert {"code", "name", "severity", "line", "lines", "message", "fix"} <= set(data.json["findings"][0])
    table = homeroom("data", "check", "mine.jsonl", "--select", "STR").out
    assert [line.split()[:4] for line in table.splitlines()[1:4]] == [
        ["STR001", "json-invalid", "error", "1"],
        ["STR003", "messages-missing", "error", "1"],
        ["STR016", "key-unknown", "warning", "1"],
    ]


def test_show_prints_examples_of_a_file_and_of_the_course(homeroom, course):
    told = homeroom("data", "show", course, "-n", "1", "--task", "learner")
    assert "topic rounding" in told.out
    assert "assistant: 40, I am sure." in told.out
    shown = homeroom("data", "show", course, "-n", "2", "--json").json
    assert [example["metadata"]["topic"] for example in shown] == ["halving", "halving"]
    assert len(homeroom("data", "show", "-n", "5", "--json").json) == 5


def test_split_makes_a_version_once_and_holds_out_whole_topics(homeroom, course):
    first = homeroom("data", "split", course, "--name", "mine")
    assert first.code == 0
    assert first.out.startswith("mine@1 ")
    assert "homeroom tune run --dataset mine@1" in first.out
    again = homeroom("data", "split", course, "--name", "mine", "--json").json
    other = homeroom("data", "split", course, "--name", "mine", "--seed", "1", "--json").json
    assert (again["version"], other["version"]) == (1, 2)
    assert again["id"] != other["id"]
    assert sum(again["counts"]["splits"].values()) == again["counts"]["examples"] == 36
    assert all(again["counts"]["tasks"][f"{split}/{task}"] for split in ("train", "test") for task in ("tutor", "learner"))
    listed = homeroom("data", "versions", "--json").json
    assert [(v["name"], v["version"]) for v in listed] == [("mine", 2), ("mine", 1)]
    assert "mine@2" in homeroom("data", "versions").out


def test_a_split_takes_shares(homeroom, course):
    usual = homeroom("data", "split", course, "--name", "mine", "--json").json["counts"]["splits"]
    more = homeroom("data", "split", course, "--name", "most", "--shares", "8,0,2", "--json").json["counts"]["splits"]
    assert more["train"] > usual["train"] and more["validation"] == 0 < more["test"] < usual["test"]


@pytest.mark.parametrize("shares", ["", "80,20", "a,b,c", "0,50,50", "80,20,0", "-1,1,1", "nan,1,1", "inf,1,1"])
def test_shares_that_are_none_are_refused(homeroom, course, shares):
    told = homeroom("data", "split", course, "--shares", shares)
    assert told.code == 2 and repr(shares) in told.err and "--shares 62,8,30" in told.err
    assert homeroom("data", "versions").out.startswith("No dataset yet")


def test_split_of_a_child_keeps_the_parents_assignment(homeroom, course, tmp_path):
    more = [{**record, "metadata": {**record["metadata"], "topic": "new-topic"}} for record in material.tutor_records()[:1]]
    more[0]["messages"] = [{"role": "user", "content": "Where is north?"}, {"role": "assistant", "content": "Find the sun."}]
    material.write_jsonl(tmp_path / "more.jsonl", [*material.tutor_records(), *material.learner_records(), *more])
    homeroom("data", "split", course, "--name", "mine")
    child = homeroom("data", "split", "more.jsonl", "--name", "mine", "--parent", "mine@1", "--json").json
    assert (child["version"], child["counts"]["examples"]) == (2, 37)
    assert homeroom("data", "split", course, "--parent", "nobody").code == 2


def test_no_version_yet_says_how_to_make_one(homeroom):
    assert homeroom("data", "versions").out == "No dataset yet. Make one with: homeroom data split FILE\n"
    assert homeroom("data", "versions", "--json").json == []


@pytest.mark.parametrize("make", ["csv", "tsv", "xlsx", "jsonl"])
def test_init_makes_a_project_of_every_kind_of_file(homeroom, tmp_path, make):
    source = tmp_path / f"mine.{make}"
    if make == "xlsx":
        xlsx(source)
    elif make == "jsonl":
        material.write_jsonl(source, material.tutor_records()[:2])
    else:
        source.write_text(TABLE.replace(";", "\t") if make == "tsv" else TABLE)
    told = homeroom("init", "project", "--from", source)
    assert told.code == 0, told.err
    assert told.out.startswith("Made project with 2 examples.")
    assert sorted(path.name for path in (tmp_path / "project").iterdir()) == ["README.md", "data", "recipe.yaml"]
    assert homeroom("data", "check", "project/data/examples.jsonl").code == 0
    if make != "jsonl":
        first = json.loads((tmp_path / "project/data/examples.jsonl").read_text().splitlines()[0])
        assert first == {
            "messages": [
                {"role": "user", "content": "Half of 14?"},
                {"role": "assistant", "content": "Draw it. What do you see?"},
            ],
            "metadata": {"topic": "halving", "grade": 2, "grade_band": "K-2"},
            "reference": {"claim": "8"},
        }


@pytest.mark.parametrize("tasks", ["tutor", pytest.param("both", marks=pytest.mark.slow)])
def test_the_readme_of_a_project_names_commands_that_work(homeroom, tmp_path, course, monkeypatch, tasks):
    one_task = material.write_jsonl(tmp_path / "tutor.jsonl", material.tutor_records())
    homeroom("init", "my project", "--from", course if tasks == "both" else one_task)
    monkeypatch.chdir(tmp_path / "my project")
    text = (tmp_path / "my project/README.md").read_text()
    commands = [shlex.split(line.split("#")[0])[1:] for line in text.splitlines() if line.startswith("    homeroom ")]
    assert [command[0] for command in commands] == ["data", "data", "demo", "data", "tune", "tune", "eval", "serve"]
    for command in commands:
        if command[:2] in (["data", "check"], ["data", "show"], ["data", "split"]):
            assert homeroom(*command).code == 0, command
        elif command[:2] == ["tune", "plan"]:
            assert homeroom(*command, "--base", "tiny").code == 0, command
        else:  # too long to run here: that its options exist is seen by asking for its help as well
            assert homeroom(*command, "--help").code == 0, command


def test_init_takes_headings_of_any_language(homeroom, tmp_path):
    (tmp_path / "fragen.csv").write_text("Frage,Antwort\nWas ist 3 + 4?,Zeig es auf dem Zahlenstrahl.\n", "utf-8")
    refused = homeroom("init", "project", "--from", "fragen.csv")
    assert refused.code == 2
    assert "'Frage', 'Antwort'" in refused.error and "--column user=HEADING" in refused.error
    assert not (tmp_path / "project").exists()
    told = homeroom(
        "init", "project", "--from", "fragen.csv", "--column", "user=Frage", "--column", "assistant=Antwort", "--json"
    )
    assert told.json == {"folder": "project", "examples": 1}
    assert "#columns-unknown" in homeroom("init", "other", "--from", "fragen.csv", "--column", "Frage").error


def test_init_touches_no_folder_that_holds_something(homeroom, tmp_path, course):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "mine.txt").write_text("keep me")
    told = homeroom("init", "project", "--from", course)
    assert (told.code, "'project' exists and is not empty" in told.error) == (2, True)
    assert [path.name for path in (tmp_path / "project").iterdir()] == ["mine.txt"]


def test_convert_writes_jsonl_and_replaces_only_when_told(homeroom, tmp_path):
    (tmp_path / "mine.csv").write_text(TABLE)
    assert homeroom("data", "convert", "mine.csv", "deep/mine.jsonl").out == "2 examples written to deep/mine.jsonl\n"
    before = (tmp_path / "deep/mine.jsonl").read_bytes()
    refused = homeroom("data", "convert", "mine.csv", "deep/mine.jsonl")
    assert (refused.code, "--force" in refused.error) == (2, True)
    assert homeroom("data", "convert", "mine.csv", "deep/mine.jsonl", "--force", "--json").json["examples"] == 2
    assert (tmp_path / "deep/mine.jsonl").read_bytes() == before


def test_convert_reads_prompt_and_completion(homeroom, tmp_path):
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "What is 3 + 4?", "completion": "Count on from 3."}\n')
    assert homeroom("data", "convert", "pairs.jsonl", "chat.jsonl").code == 0
    assert json.loads((tmp_path / "chat.jsonl").read_text())["messages"][0] == {"role": "user", "content": "What is 3 + 4?"}
