"""`homeroom eval`: judging is the demo's; here its outcome is found again, listed and copied."""

from __future__ import annotations

import json
from pathlib import Path

from homeroom.app.demo import HELD_OUT, MAX_TOKENS
from homeroom.app.evaluation import held_out_items
from homeroom.app.home import Homeroom

AS_IN_THE_DEMO = ("--items", str(HELD_OUT), "--max-tokens", str(MAX_TOKENS))


def test_the_same_question_is_answered_from_before(tuned, homeroom):
    for task in ("tutor", "learner"):
        told = homeroom("eval", "run", "--model", task, *AS_IN_THE_DEMO, "--json")
        result = told.json
        assert told.code == (0 if result["outcome"] == "promote" else 1)
        assert f":{task}:" in result["model"]
        assert Path(result["report"]).read_text().lstrip().lower().startswith("<!doctype html")
    with Homeroom.open() as home:
        assert len(home.jobs.list(kind="evaluate")) == 2


def test_the_newest_model_is_judged_when_none_is_named(tuned, homeroom):
    told = homeroom("eval", "run", *AS_IN_THE_DEMO)
    assert told.code == 1
    assert told.err.splitlines()[-1].split()[1:3] == ["100%", "tuned:"]
    assert "REJECT" in told.out and "tuned minus base" in told.out
    assert told.out.splitlines()[-1].strip().endswith("report.html")


def test_another_question_is_another_job(tuned, homeroom):
    job = homeroom("eval", "run", "--model", "tutor", "--items", "3", "--no-wait", "--json").json
    assert (job["state"], job["kind"], job["payload"]["items"]) == ("queued", "evaluate", 3)
    again = homeroom("eval", "run", "--model", "tutor", *AS_IN_THE_DEMO, "--again", "--no-wait", "--json").json
    assert again["id"] != job["id"] and again["state"] == "queued"


def test_list_and_report_name_what_was_judged(tuned, homeroom, tmp_path):
    cards = homeroom("eval", "list", "--json").json
    assert sorted(card["model_name"].split(":")[3] for card in cards) == ["learner", "tutor"]
    assert homeroom("eval", "list").out.count("ft:tiny:homeroom:") == 2
    path = Path(homeroom("eval", "report", "tutor").out.strip())
    assert path.name == "report.html" and path.is_file()
    assert json.loads((path.parent / "evaluation.json").read_text())["systems"]
    copied = homeroom("eval", "report", "tutor", "--to", "mine.html", "--json").json
    assert (tmp_path / copied["report"]).read_bytes() == path.read_bytes()


def test_a_copy_that_cannot_be_written_is_one_line(tuned, homeroom):
    told = homeroom("eval", "report", "tutor", "--to", "nowhere/mine.html")
    assert (told.code, "'nowhere/mine.html'" in told.error) == (2, True)


def test_nothing_to_judge_says_what_to_do(homeroom):
    assert "homeroom tune run" in homeroom("eval", "run").error
    assert homeroom("eval", "list").out == "No scorecard yet. Judge a model: homeroom eval run\n"


def test_a_dataset_that_holds_nothing_out_for_the_task_is_refused(tuned, homeroom, tmp_path, course):
    lines = [line for line in course.read_text().splitlines() if '"task": "tutor"' in line]
    (tmp_path / "tutors.jsonl").write_text("\n".join(lines))
    homeroom("data", "split", "tutors.jsonl")
    told = homeroom("eval", "run", "--model", "learner", "--dataset", "tutors")
    assert (told.code, "holds out no example of the task 'learner'" in told.error) == (2, True)


def test_metrics_say_where_they_come_from(homeroom):
    metrics = homeroom("eval", "metrics", "--json").json
    names = {metric["name"] for metric in metrics}
    assert {"withholding", "specificity", "variety", "false_confirmation"} <= {name.replace("-", "_") for name in names}
    assert all(metric["source"] and metric["direction"] in ("higher", "lower", "neither") for metric in metrics)
    assert len(homeroom("eval", "metrics").out.splitlines()) == len(metrics) + 1


def test_held_out_topics_are_never_trained_on(tuned):
    with Homeroom.open() as home:
        dataset = home.datasets.get("small-course")
        trained = {e.metadata["topic"] for e in dataset.part("train")} | {e.metadata["topic"] for e in dataset.part("validation")}
        for task in ("tutor", "learner"):
            held_out = {item.example.metadata["topic"] for item in held_out_items(dataset, task, 16)}
            assert len(held_out) >= 2
            assert not held_out & trained
