"""The commands that choose between methods, and those of several runs, as functions: on the tiny model, with what each returns."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import homeroom
from homeroom.app.home import Homeroom
from homeroom.app.programs import Program
from homeroom.app.tuning import submit_tuning
from homeroom.data.reading import load_examples
from homeroom.errors import ConfigError, JobFailed, NotFoundError
from homeroom.models import tiny
from homeroom.models.prompt_program import ProgramChatModel
from homeroom.schema.chat import Completion, GenerationSettings
from homeroom.tuning.dspy.shipped import shipped
from homeroom.tuning.recipe_file import parse_run
from tests.app import material

RECIPE = {**material.QUICK, "name": "quick", "task": "tutor"}
VERBS = ("recommend", "plan", "tune", "batch", "sweep", "probe", "compare", "resume", "unsolved", "traces", "evaluate")


@pytest.fixture
def dataset(home: Homeroom, tmp_path: Path) -> str:
    records = [*material.tutor_records(), *material.learner_records()]
    return home.datasets.create("mine", load_examples(material.write_jsonl(tmp_path / "mine.jsonl", records))).info.id


def test_every_verb_of_tune_is_a_function_of_the_package_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, homeroom\n"
        "assert not [m for m in sys.modules if m.startswith('homeroom.')], 'the package alone loads nothing else'\n"
        f"for verb in {VERBS!r}: assert callable(getattr(homeroom, verb)), verb\n"
        "heavy = {'torch', 'transformers', 'dspy', 'optuna', 'flask', 'lancedb', 'openai', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_recommendation_takes_what_is_given_before_what_is_found(home: Homeroom, dataset: str) -> None:
    found = homeroom.recommend(home, dataset, gpu=True, private=True, examples=3000)
    assert found.answer.method == "huggingface" and found.answer.situation.examples == 3000
    assert set(found.commands) == {found.answer.method, found.answer.second}
    assert found.found.dataset == "mine@1" and all("mine@1" in line for line in found.commands["huggingface"])
    assert homeroom.recommend(home, examples=12).answer.method == "dspy"
    with pytest.raises(ConfigError, match="'colour'") as caught:
        homeroom.recommend(home, colour="blue")
    assert caught.value.code == "recommend-input"
    assert home.jobs.list() == (), "it starts nothing"


def test_mistakes_are_told_before_anything_starts(home: Homeroom, dataset: str) -> None:
    prompt = {"method": "dspy", "name": "p", "task": "tutor"}
    for call, code in (
        (lambda: homeroom.sweep(home, dataset, prompt), "recipe-method"),
        (lambda: homeroom.sweep(home, dataset, RECIPE, {"rank": [8, 4]}), "recipe-invalid"),
        (lambda: homeroom.sweep(home, dataset, {**RECIPE, "epoch": 1}), "recipe-invalid"),
        (lambda: homeroom.probe(home, dataset, recipe=prompt), "recipe-method"),
        (lambda: homeroom.compare(home, dataset, methods=["guessing"]), "unknown-method"),
        (lambda: homeroom.batch(home, dataset, [RECIPE, RECIPE]), "batch-labels"),
        (lambda: homeroom.batch(home, dataset, [RECIPE], minutes=-1), "minutes-invalid"),
        (lambda: homeroom.batch(home, dataset, [RECIPE], minutes=math.nan), "minutes-invalid"),
        (lambda: homeroom.batch(home, dataset, [RECIPE], budget_usd=-1), "usd-invalid"),
        (lambda: homeroom.recommend(home, dataset, private="yes"), "recommend-input"),
    ):
        with pytest.raises(ConfigError) as caught:
            call()
        assert caught.value.code == code
    for nobody in (lambda: homeroom.compare(home, "nothing"), lambda: homeroom.resume(home, "job-nothing")):
        with pytest.raises(NotFoundError):
            nobody()
    assert home.jobs.list() == ()


FAR = "far/gpt-4.1-mini"


@pytest.fixture
def far(home: Homeroom, monkeypatch: pytest.MonkeyPatch) -> Iterator[Homeroom]:
    """The home with an endpoint that is away and costs money."""
    monkeypatch.setenv("FAR_API_KEY", "sk-far")
    (home.settings.home / "config.yaml").write_text(
        "endpoints: [{name: far, base_url: 'https://far.invalid/v1', models: [gpt-4.1-mini], api_key_env: FAR_API_KEY}]\n"
    )
    with homeroom.open() as opened:
        yield opened


def test_going_on_at_an_endpoint_has_to_be_agreed_to(far: Homeroom, dataset: str) -> None:
    run = parse_run({"name": "far", "task": "tutor", "base": FAR})
    job = submit_tuning(far, dataset, run)
    far.jobs.request_cancel(job.id)
    for named in (job.id, ""):
        with pytest.raises(ConfigError, match="spend=") as caught:
            homeroom.resume(far, named, spend=0.00001)
        assert caught.value.code == "needs-yes" and far.jobs.get(job.id).state == "cancelled"


def test_a_batch_begins_no_run_that_its_budget_or_its_time_does_not_hold(far: Homeroom, dataset: str) -> None:
    runs = [parse_run({"name": name, "task": "tutor", "base": FAR, "seed": seed}) for name, seed in (("one", 1), ("two", 2))]
    for kept_from in ({"budget_usd": 0.0}, {"minutes": 0.0}):
        rows = homeroom.batch(far, dataset, runs, spend=math.inf, **kept_from)
        assert [(row.name, row.state, row.models) for row in rows] == [("one", "not begun", ()), ("two", "not begun", ())]
        assert ["--budget-usd" in row.error for row in rows] == ["budget_usd" in kept_from] * 2
    with pytest.raises(ConfigError) as caught:
        homeroom.batch(far, dataset, runs, spend=0.00001)
    assert caught.value.code == "needs-yes" and far.jobs.list() == ()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_batch_makes_what_can_be_made_and_a_paused_run_goes_on(home: Homeroom, dataset: str) -> None:
    poor = {**RECIPE, "name": "poor", "optimiser": {"learning_rate": 0.1}, "device": "cuda"}  # there is no such device here
    rows = homeroom.batch(home, dataset, [RECIPE, parse_run({**RECIPE, "name": "other", "seed": 5}), poor])
    assert [(row.name, row.method, row.state) for row in rows] == [
        ("quick", "huggingface", "made"), ("other", "huggingface", "made"), ("poor", "huggingface", "failed"),
    ]  # fmt: skip
    assert [len(row.models) for row in rows] == [1, 1, 0] and rows[2].error and rows[0].valid_loss
    (job,) = home.jobs.list()
    assert homeroom.resume(home, job.id).id == job.id, "what has succeeded is given as it is"
    name = rows[0].models[0].name
    assert {model.name for model in home.registry.list()} == {name, rows[1].models[0].name}

    waiting = submit_tuning(home, dataset, parse_run({**RECIPE, "name": "later", "seed": 9}))
    home.jobs.pause(waiting.id)
    with pytest.raises(JobFailed, match="paused"):
        homeroom.tune(home, dataset, {**RECIPE, "name": "later", "seed": 9})
    done = homeroom.resume(home, waiting.id)
    assert done.state == "succeeded" and home.registry.get(done.result["models"][0]).recipe["seed"] == 9

    left = homeroom.unsolved(home, [name], items=2)
    assert (left.task, left.asked) == ("tutor", 2) and all(example.metadata["unsolved"] for example in left.examples())
    kept = homeroom.traces(home, name, dataset, limit=2)
    assert (kept.model, kept.dataset, kept.asked) == (name, "mine@1", 2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sweep_gives_its_trials_and_the_winner_with_its_report(home: Homeroom, dataset: str) -> None:
    pytest.importorskip("optuna")
    ranges = {"trials": 2, "learning_rate": [[0.001, 0.01]], "rank": [2], "alpha": [4], "checks": 2}
    found = homeroom.sweep(home, dataset, {**RECIPE, "lora": {"rank": 2, "alpha": 4}}, ranges, study="mine-1")
    assert [trial.number for trial in found.study.trials] == [0, 1] and found.study.folder.name == "mine-1"
    assert found.best.loss == min(trial.loss for trial in found.study.trials if trial.loss is not None)
    assert [model.method for model in found.models] == ["huggingface"]
    assert {"report.html", "recipe.yaml", "sweep.json"} <= {file.name for file in found.report.iterdir()}
    again = homeroom.sweep(home, dataset, {**RECIPE, "lora": {"rank": 2, "alpha": 4}}, ranges, study="mine-1")
    assert again == found and len(home.jobs.list()) == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_comparison_tunes_what_is_missing(home: Homeroom, dataset: str) -> None:
    asked = {"task": "tutor", "items": 2, "shots": 1, "max_tokens": 8}
    found = homeroom.compare(home, dataset, recipes=[RECIPE], **asked)
    (model,) = home.registry.list()
    assert [facts.model for facts in found.facts if facts.method] == [model.name]
    assert {"base", "prompt", "few-shot"} <= {facts.label for facts in found.facts}
    assert found.advice.headline and found.opening
    assert homeroom.compare(home, dataset, recipes=[RECIPE], **asked) == found
    assert len(home.jobs.list()) == 2, "the same again makes nothing"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_probe_opens_no_test_split_and_keeps_no_model(home: Homeroom, dataset: str) -> None:
    probed = homeroom.probe(home, dataset, task="tutor", items=2, recipe={**RECIPE, "name": "short"})
    assert not probed.opening, "no test split was opened"
    assert probed.advice.kind in ("tuned", "control", "no-difference", "too-few")
    assert home.registry.list() == ()
    assert {facts.base for facts in probed.facts} == {tiny.NAME}


class Written:
    """Answers every question with the same reply, and keeps what it was asked."""

    def __init__(self, text: str) -> None:
        self.text, self.asked = text, []

    def complete(self, messages, settings) -> Completion:
        self.asked.append((list(messages), settings))
        return Completion(self.text, "written")


def test_a_shipped_program_takes_fields_and_gives_fields() -> None:
    model = Written('{"feedback": "You asked.", "strength": "a question", "next_step": "wait"}')
    spec = shipped("feedback_teacher")
    answers = ProgramChatModel("written", model, spec.program(spec.instructions, ()))
    teacher = Program("written", spec, answers, GenerationSettings(max_tokens=7))
    given = {"teacher_reply": "How did you get 5?", "situation": "Add 2 and 2.", "student_says": "It is 5."}
    assert teacher.ask(**given) == {"feedback": "You asked.", "strength": "a question", "next_step": "wait"}
    (messages, settings) = model.asked[0]
    assert messages[-1].content == (
        "Situation:\nAdd 2 and 2.\n\nStudent says:\nIt is 5.\n\nTeacher reply:\nHow did you get 5?"
    ), "each field once, below its label"
    assert messages[0].content.startswith("Give a teacher in training feedback") and settings.max_tokens == 7
    assert set(settings.json_schema["required"]) == {"feedback", "strength", "next_step"}
    teacher.ask(teacher_reply="Why?")
    assert model.asked[1][0][-1].content == "Teacher reply:\nWhy?"
    with pytest.raises(ConfigError, match=r"'reply'.*teacher_reply") as caught:
        teacher.ask(reply="Why?")
    assert caught.value.code == "program-inputs"

    plain = Written("Look at it again.")
    assert Program("plain", shipped("answer"), plain, GenerationSettings()).ask(question="Is it 5?") == {
        "answer": "Look at it again."
    }
    assert plain.asked[0][0][-1].content == "Is it 5?"


def test_a_program_that_does_not_ship_is_refused(home: Homeroom) -> None:
    with pytest.raises(NotFoundError, match="feedback_teacher"), homeroom.program(home, "feedback"):
        pass
