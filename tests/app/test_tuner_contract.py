"""What every tuner keeps to, whatever it tunes. A new one is one more line of `CASES`."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from homeroom import __version__
from homeroom.app.home import Homeroom
from homeroom.app.talk import talking
from homeroom.app.tuning import plan_tuning, submit_tuning
from homeroom.app.work import wait_for
from homeroom.data.datasets import Dataset
from homeroom.data.reading import load_examples
from homeroom.errors import ConfigError, JobFailed
from homeroom.models import tiny
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from homeroom.schema.jobs import Job
from homeroom.schema.models import TunedModel
from homeroom.tuning.recipe_file import Run, load_runs
from tests.app import material
from tests.cli.commands import processes_of
from tests.doubles.openai_server import KEY, OpenAIDouble
from tests.doubles.tuning_server import KEY as TUNING_KEY
from tests.doubles.tuning_server import TuningDouble

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # several runs of every tuner

SEARCH = {
    "method": "dspy",
    "metric": "checks",
    "threshold": 0.01,
    "items": 6,
    "train_items": 8,
    "demonstrations": 1,
    "candidates": 2,
    "budget_characters": 1500,
    "generation": {"max_tokens": 8},
}
WEIGHTS = {
    "threads": 1,
    "dtype": "float32",
    "lora": {"rank": 2},
    "accumulation": {"examples": 1},
    "checkpoint": {"every_steps": 1},
}


@dataclass(frozen=True)
class Case:
    """A tuner: a recipe of its own, and a key of that recipe that is wrong."""

    recipe: Mapping[str, Any]
    method: str
    kind: str
    wrong: Mapping[str, Any]


CASES = {
    "huggingface": Case(material.LONG, "huggingface", "lora", {"epochs": 0}),
    "dspy": Case({**SEARCH, "optimisers": ["zero-shot", "labelled", "random-search"]}, "dspy", "prompt", {"max_calls": 0}),
    "dspy with weights": Case(
        {**SEARCH, "optimisers": ["bootstrap-finetune"], "weights": {**WEIGHTS, "epochs": 6}}, "dspy", "lora", {"attempts": 0}
    ),
    "openai": Case({"method": "openai", "base": "tuning/gpt-4.1-mini"}, "openai", "remote", {"epochs": 0}),
    "prompts at an endpoint": Case({"base": "school/large", "generation": {"max_tokens": 8}}, "dspy", "prompt", {"seed": -1}),
}


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    if "dspy" in request.param:
        pytest.importorskip("dspy")
    return CASES[request.param]


every_tuner = pytest.mark.parametrize("case", CASES, indirect=True)


@pytest.fixture
def opened(_tiny: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Homeroom]:
    """A home with an endpoint that takes its time, and one that tunes."""
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    monkeypatch.setenv("TUNING_API_KEY", TUNING_KEY)
    folder = tmp_path / "home"
    folder.mkdir()

    def reply(body: Mapping[str, Any]) -> str:
        time.sleep(0.1)
        return f"You wrote: {body['messages'][-1]['content']} Draw it first. What do you notice?"

    with OpenAIDouble() as school, TuningDouble() as tuning:
        school.reply = reply
        tuning.script = ("validating_files", *["running"] * 4, "succeeded")
        endpoints = [
            {"name": "school", "base_url": school.address, "models": ["large"], "api_key_env": "SCHOOL_API_KEY"},
            {"name": "tuning", "base_url": tuning.address, "models": ["gpt-4.1-mini"], "api_key_env": "TUNING_API_KEY"},
        ]
        (folder / "config.yaml").write_text(json.dumps({"endpoints": endpoints}))
        with Homeroom.open() as home:
            yield home
        for pid in processes_of(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def dataset(opened: Homeroom, tmp_path: Path) -> Dataset:
    return opened.datasets.create("mine", load_examples(material.write_jsonl(tmp_path / "mine.jsonl", material.tutor_records())))


def run_of(case: Case, folder: Path, **changes: Any) -> Run:
    (run,) = load_runs(material.write_recipe(folder / "mine.yaml", {"task": "tutor", **case.recipe, **changes}))
    return run.model_copy(update={"base": run.base or tiny.NAME})


def begun(act: Callable[[], object]) -> Callable[[Job, object], None]:
    """A watcher that acts once, when the run is on its way."""
    done = []

    def watch(job: Job, events: object) -> None:
        if job.state == "running" and job.progress > 0 and not done:
            done.append(1)
            act()

    return watch


def kill(home: Homeroom) -> None:
    """End the job's process as a power cut would."""
    for pid in processes_of(home.settings.home):
        with suppress(OSError):
            if b"homeroom.app.run_job" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


@every_tuner
def test_a_run_is_planned_made_once_registered_and_asked(case: Case, opened: Homeroom, dataset: Dataset, tmp_path: Path) -> None:
    run = run_of(case, tmp_path)
    plan = plan_tuning(opened, "mine", run)
    assert (plan.method, plan.fits) == (case.method, True) and plan.examples > 0
    assert plan.time_s > 0 or case.kind == "remote", "how long others take, they do not say"
    assert opened.jobs.list() == () == opened.registry.list(), "a plan starts nothing"

    job = wait_for(opened, submit_tuning(opened, "mine", run).id)
    (model,) = opened.registry.list()
    assert isinstance(model, TunedModel)
    assert job.result is not None and job.result["model"] == model.name and job.result["models"] == [model.name]
    assert job.result["metrics"] == dict(model.metrics) and model.metrics["seconds"] >= 0
    assert re.fullmatch(rf"ft:{re.escape(run.base)}:homeroom:mine:[0-9a-f]{{8}}", model.name)
    assert (model.method, model.kind, model.task, model.base) == (case.method, case.kind, "tutor", run.base)
    assert (model.dataset, model.job_id, model.code_version) == (dataset.info.id, job.id, __version__)
    assert len(model.base_identity) == 64 and model.recipe["name"] == "mine" and model.verdict == "unjudged"
    assert {"temperature", "max_tokens", "system_prompt"} <= model.settings.keys()
    assert opened.artifacts.verify(model.artifact).files
    with talking(opened, model.name, "tutor") as (directory, card):
        assert (card.name, card.kind, card.method) == (model.name, "tuned", case.method)
        reply = directory.chat_model(card.name).complete([Message("user", "Half of 14 is 8?")], GenerationSettings(max_tokens=8))
    assert reply.model == model.name and reply.usage.prompt_tokens > 0

    again = submit_tuning(opened, "mine", run)
    assert (again.id, again.done) == (job.id, True), "the same run is the same job"
    assert opened.registry.list() == (model,)


@every_tuner
def test_a_run_that_is_killed_goes_on_and_one_that_is_cancelled_leaves_nothing(
    case: Case, opened: Homeroom, dataset: Dataset, tmp_path: Path
) -> None:
    cancelled = submit_tuning(opened, "mine", run_of(case, tmp_path, seed=1))
    with pytest.raises(JobFailed, match="cancelled"):
        wait_for(opened, cancelled.id, begun(lambda: opened.jobs.request_cancel(cancelled.id)))
    assert opened.jobs.get(cancelled.id).state == "cancelled" and opened.registry.list() == ()
    assert opened.artifacts.list("model") == ()

    again = submit_tuning(opened, "mine", run_of(case, tmp_path, seed=1))
    assert again.id == cancelled.id, "asked for again, it goes on with what it had saved"
    job = wait_for(opened, again.id, begun(lambda: kill(opened)))
    assert (job.state, job.attempts > 1) == ("succeeded", True)
    (model,) = opened.registry.list()
    assert model.job_id == job.id and opened.artifacts.list("model") == (model.artifact,)


@every_tuner
def test_a_wrong_recipe_is_one_clear_error(case: Case, tmp_path: Path) -> None:
    (key,) = case.wrong
    with pytest.raises(ConfigError) as told:
        run_of(case, tmp_path, **case.wrong)
    assert told.value.code == "recipe-invalid" and f"{key} = {case.wrong[key]!r}" in told.value.message
    assert "at least" in told.value.message or "must be" in told.value.message
    with pytest.raises(ConfigError, match="nonsense"):
        run_of(case, tmp_path, nonsense=1)
