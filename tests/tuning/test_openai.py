"""The method ``openai`` against a server on a real socket that loses answers, refuses, fails, and is never paid twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from homeroom.errors import ConfigError, ConflictError, DataError, HomeroomError, ProviderError
from homeroom.ledger.prices import Price
from homeroom.ledger.records import About, Budget
from homeroom.ledger.store import Ledger
from homeroom.models.openai_tuning import OpenAITuning
from homeroom.schema.examples import Example, Message
from homeroom.schema.jobs import JobCancelled
from homeroom.schema.models import TunedModel
from homeroom.schema.tuning import Plan, TrainingData
from homeroom.storage import ArtifactStore, Database
from homeroom.tuning.openai import outcome
from homeroom.tuning.openai.curve import Point, learning_curve
from homeroom.tuning.openai.dialect import OPENAI, Dialect
from homeroom.tuning.openai.follow import Pace
from homeroom.tuning.openai.place import Place, Work
from homeroom.tuning.openai.purse import Purse, usd
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.openai.state import Rung, RunState
from homeroom.tuning.openai.tuner import OpenAITuner
from tests.doubles.tuning_server import KEY, TuningDouble

PACE = Pace(first_s=0.01, longest_s=0.05, patience_s=20.0, tick_s=0.005, cancel_s=2.0)
PRICE = Price(0.8, 3.2, 5.0)
ABOUT = About("school/gpt-4.1-mini", "tuning", method="openai", job_id="job-1")
PROMPT = "You help a child to find the answer. Ask, do not tell. " * 4


def example(number: int) -> Example:
    return Example.from_dict(
        {
            "messages": [
                {"role": "user", "content": f"Is {number} half of {2 * number + 1}?"},
                {"role": "assistant", "content": f"Draw {2 * number + 1} dots in pairs. What is left of {number} pairs?"},
            ],
            "metadata": {"task": "tutor", "subject": "mathematics", "source": "a private note"},
            "reference": {"answer": "no"},
        }
    )


DATA = TrainingData("dataset-1", [example(n) for n in range(2, 32)], [example(n) for n in range(50, 62)])


@dataclass
class Told:
    """Keeps what is told. Asks to stop once ``stops`` says so."""

    events: list[tuple[str, str]] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    marks: list[tuple[str, int]] = field(default_factory=list)
    stops: Callable[[], bool] = lambda: False

    def saved(self, mark: int, of: str = "") -> None:
        self.marks.append((of, mark))

    def progress(self, fraction: float, message: str) -> None:
        self.steps.append(fraction)

    def event(self, message: str, *, level: str = "info", type: str = "message", data: Any = None) -> None:
        self.events.append((level, message))

    def should_stop(self) -> bool:
        return self.stops()

    @property
    def text(self) -> str:
        return "\n".join(message for _, message in self.events)


@dataclass
class Bench:
    """One run that can be tried again and again, as after a crash: everything but its folder and the ledger is new each time."""

    double: TuningDouble
    folder: Path
    ledger: Ledger
    artifacts: ArtifactStore
    told: Told = field(default_factory=Told)
    cancelled: bool = True
    model: str = "gpt-4.1-mini"
    dialect: Dialect = OPENAI

    def run(self, recipe: OpenAIRecipe | None = None, *, price: Price | None = PRICE, key: str = KEY, **work: Any) -> TunedModel:
        with closing(OpenAITuning("'school'", self.double.address, key, timeout_s=5, max_retries=1, pause_s=0.01)) as service:
            place = Place(service, self.model, f"school/{self.model}", "school", "identity", price, dialect=self.dialect)
            done = Work(
                folder=self.folder,
                artifacts=self.artifacts,
                purse=Purse(self.ledger, ABOUT, price, counted=True),
                job_id="job-1",
                new_name=lambda base, suffix: f"ft:{base}:homeroom:{suffix}:0a1b2c3d",
                cancelled=lambda: self.cancelled,
                pace=work.get("pace", PACE),
            )
            return OpenAITuner(place, done).run(DATA, recipe or RECIPE, self.told)

    @property
    def money(self) -> dict[str, float]:
        """Spent and held, in US dollars."""
        (total,) = self.ledger.totals(()) or (None,)
        return {"spent": total.usd if total else 0.0, "held": total.held_usd if total else 0.0}


RECIPE = OpenAIRecipe(name="fractions", base="school/gpt-4.1-mini", system_prompt=PROMPT)


@pytest.fixture
def bench(tmp_path: Path, database: Database, artifacts: ArtifactStore) -> Iterator[Bench]:
    folder = tmp_path / "work"
    folder.mkdir()
    with TuningDouble() as double:
        yield Bench(double, folder, Ledger(database), artifacts)


def test_examples_go_out_without_what_is_known_of_them_and_a_model_comes_back(bench: Bench) -> None:
    model = bench.run()
    (job,) = bench.double.paid
    lines = bench.double.lines(job["training_file"])
    assert len(lines) == 30 and len(bench.double.lines(job["validation_file"])) == 12
    assert all(set(line) == {"messages"} for line in lines), "no metadata, no reference"
    assert lines[0]["messages"][0] == {"role": "system", "content": PROMPT}
    assert sorted(line["messages"][1]["content"] for line in lines) == sorted(e.messages[0].content for e in DATA.train)
    asked = {key: job[key] for key in ("model", "suffix", "seed", "method")}
    hyperparameters = {"n_epochs": 3}
    assert asked == {"model": "gpt-4.1-mini", "suffix": "fractions", "seed": 0,
                     "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}}  # fmt: skip
    assert (model.kind, model.method, model.base) == ("remote", "openai", "school/gpt-4.1-mini")
    assert model.remote_id == "school/ft:gpt-4.1-mini:org:fractions:1"
    assert (model.dataset, model.job_id, model.metrics["trained_tokens"]) == ("dataset-1", "job-1", 3000)
    assert (model.metrics["valid_loss"], model.metrics["epochs"]) == (1.2, 3)
    folder = bench.artifacts.path(model.artifact)
    assert json.loads((folder / "recipe.json").read_text()) == RECIPE.to_dict()
    assert (folder / "step_metrics.csv").read_text().count("\n") == 4
    assert bench.money == {"spent": 0.015, "held": 0.0}
    assert bench.told.steps == sorted(bench.told.steps)
    assert len(bench.double.files) == 3, "they stay there unless asked otherwise"


def test_money_is_held_before_anything_is_sent_and_a_budget_stops_it(bench: Bench) -> None:
    seen: list[float] = []
    bench.double.before = lambda number, method, path: seen.append(bench.money["held"])
    bench.run()
    plan = OpenAITuner(Place(None, "gpt-4.1-mini", "school/gpt-4.1-mini", "school", "i", PRICE)).plan(DATA, RECIPE)
    assert seen[0] == pytest.approx(plan.cost_high_usd) and plan.cost_high_usd > plan.cost_usd > 0.015 / 3
    low, high = plan.details["cost_low_usd"], plan.details["cost_usual_high_usd"]
    assert low < plan.cost_usd < high < plan.cost_high_usd


def test_a_budget_that_has_no_room_sends_nothing(bench: Bench) -> None:
    bench.ledger.set_budget(Budget(0.001))
    with pytest.raises(ConflictError) as caught:
        bench.run()
    assert caught.value.code == "budget-spent" and bench.double.requests == []
    assert bench.money == {"spent": 0.0, "held": 0.0}


def test_what_subsets_cost_is_held_together_or_not_at_all(bench: Bench) -> None:
    recipe = RECIPE.model_copy(update={"subsets": (10, 20)})
    place = Place(None, "gpt-4.1-mini", "school/gpt-4.1-mini", "school", "i", PRICE)
    whole = OpenAITuner(place).plan(DATA, recipe).cost_high_usd
    bench.ledger.set_budget(Budget(whole - 0.0001))
    with pytest.raises(ConflictError):
        bench.run(recipe)
    assert bench.money["held"] == 0.0 and bench.double.requests == []
    bench.ledger.set_budget(Budget(whole + 0.0001))
    bench.run(recipe)
    assert len(bench.double.paid) == 3


@pytest.mark.slow
def test_a_hundred_starts_at_once_never_overspend(bench: Bench, tmp_path: Path) -> None:
    bench.ledger.set_budget(Budget(usd(100_000, PRICE) * 7.5))

    def begin(number: int) -> bool:
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        state = RunState.open(folder, f"homeroom-{number}", [Rung(10, 10, 100_000)])
        try:
            Purse(bench.ledger, replace(ABOUT, job_id=f"job-{number}"), PRICE, counted=True).hold(state)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(begin, range(100))) == 7


def test_a_budget_needs_a_price(bench: Bench) -> None:
    bench.ledger.set_budget(Budget(100))
    with pytest.raises(ConfigError) as caught:
        bench.run(price=None)
    assert caught.value.code == "price-unknown" and bench.double.requests == []


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda d: setattr(d, "closed", "Your organization is not authorized to create fine-tuning jobs"), "fine-tuning-closed"),
        (lambda d: d.faults.append(("GET", "fine_tuning/jobs", "404")), "fine-tuning-missing"),
        (lambda d: d.models.clear(), "fine-tuning-base"),
        (lambda d: d.faults.append(("GET", "fine_tuning/jobs", "401")), "provider-auth"),
    ],
)
def test_access_is_asked_for_before_anything_is_uploaded(
    bench: Bench, spoil: Callable[[TuningDouble], object], code: str
) -> None:
    spoil(bench.double)
    with pytest.raises(ProviderError) as caught:
        bench.run()
    assert caught.value.code == code
    assert bench.double.files == {} and bench.double.paid == []
    assert bench.money == {"spent": 0.0, "held": 0.0}
    if code == "fine-tuning-closed":
        assert "not authorized to create" in caught.value.message and "--method huggingface" in caught.value.message


@pytest.mark.parametrize(
    ("refused", "code", "told"),
    [("/files", "provider-auth", "takes no files from it"), ("/fine_tuning/jobs", "fine-tuning-closed", "OpenAI closed")],
)
def test_a_refusal_after_access_was_given_is_told_as_what_it_is(bench: Bench, refused: str, code: str, told: str) -> None:
    def spoil(number: int, method: str, path: str) -> None:
        if (method, path) == ("POST", "/v1/fine_tuning/jobs") and not bench.double.jobs:
            bench.double.faults = [("POST", refused, "403")]  # the probe has passed

    bench.double.after = spoil
    with pytest.raises(ProviderError) as caught:
        bench.run()
    assert (caught.value.code, caught.value.status) == (code, 403)
    assert told in caught.value.message and "Nothing was uploaded" not in caught.value.message
    assert bench.money == {"spent": 0.0, "held": 0.0} and bench.double.paid == []


@pytest.mark.slow
def test_a_wrong_key_is_said_and_never_shown(bench: Bench) -> None:
    with pytest.raises(ProviderError) as caught:
        bench.run(key="sk-wrong-one")
    assert caught.value.code == "provider-auth" and "sk-wrong-one" not in caught.value.message + bench.told.text


def test_a_model_that_ends_soon_is_warned_of(bench: Bench) -> None:
    bench.double.models[0]["shutdown_date"] = "2026-12-01"
    bench.run()
    assert ("warning", "2026-12-01") in [
        (level, "2026-12-01" if "2026-12-01" in text else "") for level, text in bench.told.events
    ]


FAULTS = ("silence", "lost", "cut", "garbage", "500", "429", "429 0")
REQUESTS = (
    ("GET", "/files"),
    ("POST", "/files"),
    ("POST", "/jobs"),
    ("GET", "/jobs/ftjob-1"),
    ("GET", "/events"),
    ("GET", "/checkpoints"),
    ("GET", "/content"),
    ("GET", "/models"),
)
FEW = {("POST", "/files", "cut"), ("POST", "/jobs", "lost"), ("POST", "/jobs", "500"), ("GET", "/jobs/ftjob-1", "garbage")}


@pytest.mark.parametrize(
    ("method", "path", "fault"),
    [
        pytest.param(*request, fault, marks=() if (*request, fault) in FEW else pytest.mark.slow)
        for request in REQUESTS
        for fault in FAULTS
    ],
)
def test_whatever_goes_wrong_once_the_run_ends_well_and_pays_once(bench: Bench, method: str, path: str, fault: str) -> None:
    if path == "/jobs":
        probes = iter([True])  # the first request for a job is the probe, and what goes wrong with it creates nothing

        def spoil(number: int, method: str, path: str) -> None:
            if (method, path) == ("POST", "/v1/fine_tuning/jobs") and next(probes, False):
                bench.double.faults.append(("POST", "/jobs", fault))

        bench.double.after = spoil
    else:
        bench.double.faults = [(method, path, fault)] * (2 if method == "GET" else 1)  # a GET is tried again at once
    model = bench.run()
    if (path, fault) == ("/content", "garbage"):  # nothing tells it from a file; it is not kept as a table of steps
        bench.double.faults.clear()
        assert (bench.artifacts.path(model.artifact) / "step_metrics.csv").read_text() == ""
    assert bench.double.faults == [], "it did go wrong"
    assert len(bench.double.paid) == 1
    assert model.remote_id == "school/ft:gpt-4.1-mini:org:fractions:1"
    assert bench.money == {"spent": 0.015, "held": 0.0}
    assert len([f for f in bench.double.files.values() if f["purpose"] == "fine-tune"]) == 2, "no file is there twice"


def then(bench: Bench, method: str, path: str, *faults: tuple[str, str, str]) -> None:
    """Once this was asked for, and done, a first time (a job: after the probe), these go wrong."""
    left = [faults]

    def after(number: int, asked: str, where: str) -> None:
        if (asked, where) == (method, path) and (bench.double.jobs or "jobs" not in path) and left:
            bench.double.faults += left.pop()

    bench.double.after = after


SEEN = {("files", "500"), ("jobs", "garbage"), ("cancel", "lost"), ("delete", "cut")}


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        pytest.param(one, fault, marks=() if (one, fault) in SEEN else pytest.mark.slow)
        for one in ("files", "jobs", "cancel", "delete")
        for fault in FAULTS
    ],
)
def test_whatever_goes_wrong_while_it_looks_ends_or_deletes_it_pays_once_and_leaves_nothing(
    bench: Bench, request_: str, fault: str
) -> None:
    """Looking for an upload and for a job whose answers were lost, ending a job, deleting files: each goes wrong once."""
    if request_ == "files":
        bench.double.faults = [("POST", "/files", "lost")]
        then(bench, "POST", "/v1/files", *[("GET", "/v1/files", fault)] * 2)  # a GET is tried again at once
    if request_ == "jobs":
        creates = bench.double._create

        def create(body: dict[str, Any]) -> Any:
            made = creates(body)
            if made[0] == 200 and len(bench.double.paid) == 1:
                bench.double.faults += [("GET", "/v1/fine_tuning/jobs", fault)] * 2
            return made

        bench.double._create = create  # type: ignore[method-assign]
        real, lost = bench.double.take_fault, []

        def take(method: str, path: str) -> str:
            found = real(method, path)
            if (method, path) == ("POST", "/v1/fine_tuning/jobs") and bench.double.files and not lost:
                lost.append(path)
                return "lost"
            return found

        bench.double.take_fault = take  # type: ignore[method-assign]
    recipe = RECIPE.model_copy(update={"delete_files": True})
    if request_ == "delete":
        bench.double.faults = [("DELETE", "/v1/files", fault)]
    if request_ == "cancel":
        bench.double.faults = [("POST", "/cancel", fault)]
        bench.double.script = ("validating_files", *["running"] * 500)
        bench.told.stops = lambda: bool(bench.double.paid) and bench.double.paid[0]["polls"] >= 2
        with pytest.raises(JobCancelled):
            bench.run(recipe)
    else:
        assert bench.run(recipe).remote_id == "school/ft:gpt-4.1-mini:org:fractions:1"
        assert bench.money["spent"] == 0.015
    assert bench.double.faults == [], "it did go wrong"
    assert [job["status"] for job in bench.double.paid] == ["cancelled" if request_ == "cancel" else "succeeded"]
    assert bench.money["held"] == 0.0
    assert [f for f in bench.double.files.values() if f["purpose"] == "fine-tune"] == [], "nothing that was uploaded stays"


@pytest.mark.parametrize("broken", [{"bytes": 7}, {"status": "error"}])
def test_a_file_that_did_not_arrive_whole_is_sent_again(bench: Bench, broken: dict[str, Any]) -> None:
    bench.double.faults = [("POST", "/files", "lost")]

    def spoil(number: int, method: str, path: str) -> None:
        if (method, path) == ("POST", "/v1/files") and len(bench.double.files) == 1:
            next(iter(bench.double.files.values())).update(broken)

    bench.double.after = spoil
    model = bench.run()
    first, *sent = [name for name, file in bench.double.files.items() if file["purpose"] == "fine-tune"]
    assert len(sent) == 2 and model.remote_id
    used = {job[part] for job in bench.double.jobs.values() for part in ("training_file", "validation_file")}
    assert used == set(sent) and first not in used


def test_a_lost_confirmation_is_found_by_its_file_where_no_metadata_are_kept(bench: Bench) -> None:
    bench.double.keeps_metadata = False
    bench.double.after = lambda number, method, path: (
        bench.double.faults.append(("POST", "/fine_tuning/jobs", "lost")) if "content" in path or path == "/v1/files" else None
    )
    bench.run()
    assert len(bench.double.paid) == 1 and "no second one is created" in bench.told.text


@pytest.mark.slow
def test_when_nobody_knows_whether_there_is_a_job_the_money_stays_held_until_it_is_found(bench: Bench) -> None:
    state = {"lost": False}

    def after(number: int, method: str, path: str) -> None:
        if (method, path) == ("POST", "/v1/fine_tuning/jobs") and bench.double.paid and not state["lost"]:
            state["lost"] = True
            bench.double.faults += [("GET", "/fine_tuning/jobs", "500")] * 500

    bench.double.after = after
    real = bench.double.take_fault

    def take(method: str, path: str) -> str:
        found = real(method, path)
        creating = (method, path) == ("POST", "/v1/fine_tuning/jobs") and any(f["bytes"] for f in bench.double.files.values())
        return "lost" if creating and not state["lost"] else found

    bench.double.take_fault = take  # type: ignore[method-assign]
    with pytest.raises(ProviderError):
        bench.run(pace=replace(PACE, patience_s=0.2))
    assert len(bench.double.paid) == 1 and bench.money["held"] > 0
    bench.double.faults.clear()
    bench.run()
    assert len(bench.double.paid) == 1 and bench.money == {"spent": 0.015, "held": 0.0}


def test_a_job_that_fails_there_says_why_costs_nothing_and_is_begun_anew_when_asked_again(bench: Bench) -> None:
    bench.double.script = ("validating_files", "failed")
    bench.double.ending = lambda job: job.update(error={"code": "server_error", "message": "ran out of luck", "param": None})
    with pytest.raises(ProviderError) as caught:
        bench.run()
    assert caught.value.code == "fine-tuning-failed" and "ran out of luck" in caught.value.message
    assert bench.money == {"spent": 0.0, "held": 0.0}
    bench.double.script, bench.double.ending = ("running", "succeeded"), lambda job: None
    model = bench.run()
    assert [job["status"] for job in bench.double.paid] == ["failed", "succeeded"]
    assert model.remote_id.endswith(":2") and bench.money == {"spent": 0.015, "held": 0.0}


@pytest.mark.parametrize("tells", [True, False])
def test_a_model_says_what_the_ledger_says_that_it_cost(bench: Bench, tells: bool) -> None:
    bench.double.tells_tokens = tells
    model = bench.run(RECIPE.model_copy(update={"subsets": (10,)}))
    (total,) = bench.ledger.totals(())
    assert model.metrics["cost_usd"] == pytest.approx(bench.money["spent"], abs=1e-6) and bench.money["spent"] > 0
    assert model.metrics["trained_tokens"] == total.tokens.trained > 0
    assert bench.money["held"] == 0


def test_what_a_model_cost_is_not_known_without_a_price(bench: Bench) -> None:
    assert bench.run(price=None).metrics["cost_usd"] is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "odd",
    [
        {"error": "no object"},
        {"error": {"message": "\x1b[31mred\x07", "code": None}},
        {"error": None, "metadata": ["a", "list"], "result_files": "one"},
    ],
)
def test_a_failed_job_of_an_odd_form_is_told_in_plain_words(bench: Bench, odd: dict[str, Any]) -> None:
    bench.double.script = ("running", "failed")
    bench.double.ending = lambda job: job.update(odd)
    with pytest.raises(ProviderError) as caught:
        bench.run()
    assert caught.value.code == "fine-tuning-failed" and caught.value.message.isprintable()


@pytest.mark.slow
def test_a_success_without_a_model_is_no_success(bench: Bench) -> None:
    bench.double.ending = lambda job: job.update(fine_tuned_model=None)
    with pytest.raises(ProviderError) as caught:
        bench.run()
    assert caught.value.code == "provider-answer" and "names no model" in caught.value.message
    bench.double.paid[0]["fine_tuned_model"] = "ft:late"
    bench.double.jobs["ftjob-1"]["fine_tuned_model"] = "ft:late"
    assert bench.run().remote_id == "school/ft:late" and len(bench.double.paid) == 1


@pytest.mark.slow
def test_a_file_that_is_rejected_is_told_as_such(bench: Bench) -> None:
    bench.double.script = ("validating_files", "failed")
    bench.double.ending = lambda job: job.update(error={"code": "invalid_file", "message": "line 3", "param": "training_file"})
    with pytest.raises(ProviderError) as caught:
        bench.run(RECIPE.model_copy(update={"delete_files": True}))
    assert caught.value.code == "fine-tuning-file" and "line 3" in caught.value.message
    assert bench.double.files == {}, "what was uploaded is deleted, as asked, however it ended"


@pytest.mark.slow
def test_files_are_deleted_when_asked(bench: Bench) -> None:
    bench.run(RECIPE.model_copy(update={"delete_files": True}))
    assert [f["purpose"] for f in bench.double.files.values()] == ["fine-tune-results"]


def test_a_cancelled_run_ends_there_as_well_and_pays_for_what_was_done(bench: Bench) -> None:
    bench.double.script = ("validating_files", *["running"] * 500)
    bench.told.stops = lambda: bool(bench.double.paid) and bench.double.paid[0]["polls"] >= 5
    bench.double.tells_tokens = False
    with pytest.raises(JobCancelled):
        bench.run()
    assert bench.double.paid[0]["status"] == "cancelled"
    assert bench.money["held"] == 0.0 and 0 < bench.money["spent"] < 0.01


@pytest.mark.slow
def test_a_paused_run_goes_on_there_and_is_followed_again(bench: Bench) -> None:
    bench.cancelled = False
    bench.told.stops = lambda: bool(bench.double.paid) and bench.double.paid[0]["polls"] == 1
    with pytest.raises(JobCancelled):
        bench.run()
    assert bench.double.paid[0]["status"] != "cancelled" and bench.money["held"] > 0
    bench.told.stops = lambda: False
    bench.run()
    assert len(bench.double.paid) == 1 and bench.money == {"spent": 0.015, "held": 0.0}


@pytest.mark.slow
def test_a_job_that_the_endpoint_forgot_keeps_its_money_held(bench: Bench) -> None:
    bench.double.after = lambda number, method, path: bench.double.jobs.clear() if path.endswith("/events") else None
    with pytest.raises(ProviderError) as caught:
        bench.run()
    assert "does not know the job ftjob-1 any more" in caught.value.message and bench.money["held"] > 0


@pytest.mark.slow
def test_an_endpoint_that_is_away_for_long_ends_the_run_and_the_next_one_goes_on(bench: Bench) -> None:
    bench.double.faults = [("GET", "/jobs/ftjob-1", "500")] * 500
    with pytest.raises(HomeroomError):
        bench.run(pace=Pace(first_s=0.01, longest_s=0.02, patience_s=0.0, tick_s=0.005))
    assert bench.money["held"] > 0, "the job goes on there"
    bench.double.faults.clear()
    bench.run()
    assert len(bench.double.paid) == 1 and bench.money == {"spent": 0.015, "held": 0.0}


@pytest.mark.slow
def test_it_is_asked_seldom_while_nothing_happens(bench: Bench) -> None:
    bench.double.script = ("queued",) * 6 + ("succeeded",)
    bench.run()
    polls = [path for method, path in bench.double.requests if path == "/v1/fine_tuning/jobs/ftjob-1"]
    assert len(polls) == 6, "once for each change, and not in between"


def test_overfitting_is_told_and_the_better_checkpoint_is_named(bench: Bench) -> None:
    bench.double.losses = (2.0, 1.5, 1.8)
    model = bench.run()
    warned = [text for level, text in bench.told.events if level == "warning"]
    assert any("lowest at step 2 (1.500) and rose to 1.800" in text for text in warned)
    assert model.metrics["checkpoints"] == [
        {"step": 2, "model": "ft:gpt-4.1-mini:org:fractions:1:ckpt-step-2", "valid_loss": 1.5}
    ]


def test_a_little_noise_is_not_overfitting() -> None:
    assert outcome.overfit([(1, 2.0), (2, 1.5), (3, 1.52)]) is None
    assert outcome.overfit([(1, 2.0)]) is None and outcome.overfit([]) is None
    noisy = [outcome.Step(n, 1.0, 1.5 + (0.4 if n % 2 else -0.4)) for n in range(1, 41)]
    assert outcome.overfit(outcome.curve_of(noisy, [])) is None, "a step's own loss is of a few examples"
    assert outcome.steps_of("step,valid_loss\n2,nan\n1,-1\nx,1\n3,0.5\n") == [
        outcome.Step(1, None, None), outcome.Step(2, None, None), outcome.Step(3, None, 0.5)
    ]  # fmt: skip


@pytest.mark.slow
def test_a_key_that_is_taken_away_ends_the_run_and_the_next_one_goes_on(bench: Bench) -> None:
    bench.double.faults = [("GET", "/jobs/ftjob-1", "401")]
    with pytest.raises(ProviderError) as caught:
        bench.run()
    assert caught.value.code == "provider-auth" and bench.money["held"] > 0, "the job goes on there"
    bench.run()
    assert len(bench.double.paid) == 1 and bench.money == {"spent": 0.015, "held": 0.0}


def test_subsets_draw_a_learning_curve(bench: Bench) -> None:
    bench.double.losses_of = lambda job: (3.0, 4.0 / len(bench.double.lines(job["training_file"])) ** 0.25)
    model = bench.run(RECIPE.model_copy(update={"subsets": (20, 10, 500)}))
    sizes = [len(bench.double.lines(job["training_file"])) for job in bench.double.paid]
    epochs = [job["method"]["supervised"]["hyperparameters"]["n_epochs"] for job in bench.double.paid]
    assert (sizes, epochs) == ([10, 20, 30], [10, 5, 3])
    small, large = (bench.double.files[bench.double.paid[n]["training_file"]]["content"] for n in (0, 1))
    assert large.startswith(small), "each subset is within the next"
    curve = model.metrics["learning_curve"]
    assert [point["examples"] for point in curve["points"]] == [10, 20, 30]
    assert curve["more_helps"] is True and curve["per_doubling"] == pytest.approx(1 - 2**-0.25)
    assert curve["predicted"] == pytest.approx(4.0 / 60**0.25)
    assert "more examples will probably help" in bench.told.text
    assert model.remote_id.endswith(":3"), "the model is the one of all examples"
    assert bench.money["held"] == 0.0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_request_it_goes_on_and_pays_once(bench: Bench, home: Path, moment: str) -> None:
    """The process dies at each request in turn: before it was done, or when it was done and its answer not yet seen."""
    bench.double.script = ("validating_files", "succeeded")
    struck: set[str] = set()
    child: list[int] = []

    def strike(number: int, method: str, path: str) -> None:
        about = f"{method} {path} {sum(request == (method, path) for request in bench.double.requests[:number]) % 3}"
        if about not in struck:
            struck.add(about)
            os.kill(child[-1], signal.SIGKILL)

    setattr(bench.double, moment, strike)

    def attempt() -> None:
        database = Database.for_home(home)
        replace(bench, ledger=Ledger(database), artifacts=ArtifactStore(home / "artifacts")).run()
        (bench.folder / "done").write_text("done")
        database.close()

    for _ in range(60):
        process = multiprocessing.get_context("fork").Process(target=attempt)
        with bench.double.lock:  # a request that arrives now waits until its sender is known
            process.start()
            child.append(process.pid or 0)
        process.join()
        if (bench.folder / "done").exists():
            break
    assert (bench.folder / "done").exists() and len(struck) >= 10, struck
    assert len(bench.double.paid) == 1, "the one job is never created twice"
    assert bench.money == {"spent": 0.015, "held": 0.0}
    assert len([f for f in bench.double.files.values() if f["purpose"] == "fine-tune"]) == 2, "no file is there twice"


def test_the_curve_says_when_more_will_not_help() -> None:
    flat = learning_curve([Point(50, 1.2), Point(100, 1.199), Point(200, 1.198)])
    ended = learning_curve([Point(50, 2.0), Point(100, 1.2), Point(200, 1.195)])
    worse = learning_curve([Point(50, 1.0), Point(100, 1.1)])
    assert flat is not None and ended is not None and worse is not None
    assert not flat.more_helps and "hardly changes" in flat.told()
    assert not ended.more_helps and "will help little" in ended.told()
    assert not worse.more_helps and worse.predicted == pytest.approx(1.1) and "rose with the number" in worse.told()
    assert learning_curve([Point(50, 1.0)]) is None


def test_what_cannot_be_trained_on_is_refused_before_anything(bench: Bench) -> None:
    few = TrainingData("d", DATA.train[:9], DATA.validation)
    place = Place(None, "m", "school/m", "school", "i", PRICE)
    with pytest.raises(DataError, match="9 tutor examples"):
        OpenAITuner(place).plan(few, RECIPE)
    with pytest.raises(DataError, match="rejected reply"):
        OpenAITuner(place).plan(DATA, RECIPE.model_copy(update={"objective": "dpo"}))
    with pytest.raises(DataError, match="subsets"):
        OpenAITuner(place).plan(TrainingData("d", DATA.train), RECIPE.model_copy(update={"subsets": (10,)}))


def test_an_example_that_the_endpoint_would_cut_off_is_refused_by_name_and_a_doubtful_one_told(bench: Bench) -> None:
    long = replace(example(2), messages=(*example(2).messages[:1], Message("assistant", "Draw dots in pairs. " * 60)))
    data = replace(DATA, train=[*DATA.train, long])

    def planned(longest: int) -> Plan:
        return OpenAITuner(Place(None, "m", "school/m", "school", "i", PRICE, longest=longest)).plan(data, RECIPE)

    with pytest.raises(
        DataError, match=rf"1 of 43 examples are longer than the 200 tokens.*{long.id}.*--max-tokens 200"
    ) as refused:
        planned(200)
    assert refused.value.code == "example-too-long"
    assert any("1 example may be longer than the 400 tokens" in warning for warning in planned(400).warnings)
    assert not any("longer than" in warning for longest in (0, 600) for warning in planned(longest).warnings)

    with closing(OpenAITuning("'school'", bench.double.address, KEY)) as service, pytest.raises(DataError):
        place = Place(service, "gpt-4.1-mini", "school/gpt-4.1-mini", "school", "i", PRICE, longest=30)
        work = Work(bench.folder, bench.artifacts, Purse(bench.ledger, ABOUT, PRICE, counted=True), "job-1", lambda *_: "")
        OpenAITuner(place, work).run(DATA, RECIPE, bench.told)
    assert (bench.double.files, bench.double.paid, bench.money["held"]) == ({}, [], 0.0)


def test_hints_say_where_examples_could_be_shorter_and_what_that_saves() -> None:
    place = Place(None, "m", "school/m", "school", "i", PRICE, count=lambda text: len(text.split()))
    plan = OpenAITuner(place).plan(DATA, RECIPE)
    words = len(PROMPT.split())
    (hint,) = plan.details["hints"]
    assert f"all 30 examples begin with the same system prompt of about {words} tokens" in hint
    assert f"{words // 2 * 30 * 3:,} tokens fewer" in hint
    assert OpenAITuner(place).plan(DATA, RECIPE.model_copy(update={"system_prompt": ""})).details["hints"] == []


def test_subsets_that_are_no_smaller_than_all_are_told(bench: Bench) -> None:
    place = Place(None, "m", "school/m", "school", "i", PRICE)

    def told(*subsets: int) -> str:
        return " ".join(OpenAITuner(place).plan(DATA, RECIPE.model_copy(update={"subsets": subsets})).warnings)

    assert "subsets of 50, 100 are left out: there are 30 examples, so no learning curve comes of it" in told(50, 100)
    assert "subsets of 50 are left out: there are 30 examples;" not in told(20, 50) and "no learning curve" not in told(20, 50)
    assert "left out" not in told(10, 20)
