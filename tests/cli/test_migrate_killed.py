"""`homeroom migrate openai` killed (SIGKILL) in the middle of each step: the same command goes on, and pays or fetches nothing twice.

What was under way at that moment may be asked once more: nobody can know whether its answer was made.
"""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from homeroom.app.home import Homeroom
from homeroom.app.migration.folder import MigrationFolder
from homeroom.app.migration.record import Ledger
from tests.app import material
from tests.cli.commands import Command, eventually, kill_all
from tests.cli.test_migrate import HELD_OUT, OLD, PAIRS
from tests.doubles.openai_server import KEY, OpenAIDouble

pytestmark = pytest.mark.slow
Start = Callable[..., Command]
CHAT = "chat/completions"


@pytest.fixture
def account(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIDouble]:
    monkeypatch.setenv("MY_KEY", KEY)
    with OpenAIDouble() as double:
        home.mkdir(exist_ok=True)
        (home / "config.yaml").write_text(
            f"endpoints: [{{name: old, base_url: '{double.address}', api_key_env: MY_KEY, models: [m]}}]\n"
        )
        double.tuned(OLD, "gpt-4o-mini-2024-07-18", PAIRS, HELD_OUT)
        yield double


@pytest.fixture
def step(start: Start, tmp_path: Path) -> Callable[..., Command]:
    def begin(name: str, *arguments: str, account: bool = True) -> Command:
        endpoint = ("--endpoint", "old") if account else ()
        return start("migrate", "openai", name, tmp_path / "move", *endpoint, *arguments)

    return begin


def killed(command: Command, account: OpenAIDouble, waiting: int = 1) -> None:
    """Kill it when so many of its requests are under way, and let these be answered then: to nobody."""
    for _ in range(waiting):
        assert account.reached.acquire(timeout=120), "it never asked"
    command.process.send_signal(signal.SIGKILL)
    assert command.ended().code == -signal.SIGKILL
    account.go.set()


def contents(account: OpenAIDouble) -> Counter[str]:
    """How often each file's content was asked for."""
    return Counter({path.split("/")[-2]: n for path, n in account.requests.items() if path.endswith("/content")})


def test_inventory(account: OpenAIDouble, step: Callable[..., Command], tmp_path: Path) -> None:
    for number in range(4):
        account.tuned(f"ft:gpt-4o:org:m{number}:x{number}", "gpt-4o", PAIRS)
    whole = step("inventory", "--json").ended()
    before = (tmp_path / "move" / "inventory.json").read_bytes()
    account.faults = [("fine_tuning/jobs", "ok"), ("fine_tuning/jobs", "wait")]  # the second page
    killed(step("inventory"), account)
    assert (tmp_path / "move" / "inventory.json").read_bytes() == before, "what was known stays"
    again = step("inventory", "--json").ended()
    assert (again.code, again.json["tuned"]) == (0, whole.json["tuned"])


def test_the_first_inventory(account: OpenAIDouble, step: Callable[..., Command]) -> None:
    account.faults = [("models", "wait")]
    killed(step("inventory"), account)
    again = step("inventory", "--json").ended()
    assert (again.code, [tuned["model"] for tuned in again.json["tuned"]]) == (0, [OLD])


@pytest.mark.parametrize(
    ("where", "fault"),
    [("events", "wait"), ("file-train1/content", "hold"), ("file-valid1", "wait"), ("file-result1/content", "hold")],
)
def test_download(account: OpenAIDouble, step: Callable[..., Command], tmp_path: Path, where: str, fault: str) -> None:
    account.faults = [(where, fault)]
    killed(step("download"), account)
    files = tmp_path / "move" / "files"
    for path in (path for path in files.iterdir() if not path.name.startswith(".") and path.suffix != ".json"):
        assert path.read_bytes() == account.files[path.stem], "whole or not there"
    fetched = contents(account)
    assert step("download").ended().code == 0
    for name, suffix in (("file-train1", ".jsonl"), ("file-valid1", ".jsonl"), ("file-result1", ".csv")):
        assert (files / f"{name}{suffix}").read_bytes() == account.files[name]
        under_way = where.startswith(name) and fetched[name] > 0
        assert contents(account)[name] == 1 + under_way, name
    assert json.loads((tmp_path / "move" / "jobs" / "ftjob-1" / "job.json").read_text())["id"] == "ftjob-1"
    assert step("download", "--json").ended().json == {"fetched": 0, "kept": 3, "gone": []}


def test_record(account: OpenAIDouble, step: Callable[..., Command], tmp_path: Path) -> None:
    assert step("download").ended().code == 0
    order = ("--model", OLD, "--budget-usd", "1", "--yes", "--json")
    account.faults = [(CHAT, "ok")] * 3 + [(CHAT, "wait")] * 4  # four at a time
    killed(step("record", *order), account, waiting=4)
    eventually(lambda: len(account.charged) == 7)  # those that were under way are charged, and nobody has their answers
    (kept,) = (tmp_path / "move" / "answers").iterdir()
    answered = {json.loads(line)["text"] for line in kept.read_text().splitlines()}
    assert len(answered) == 3
    ledger = Ledger(MigrationFolder(tmp_path / "move"))
    assert ledger.usd >= paid(account) - 1e-9, "what may have been charged is held"

    again = step("record", *order).ended()
    assert (again.code, again.json["left"], again.json["answers"]) == (0, 0, 8)
    asked = Counter(charge["messages"][-1]["content"] for charge in account.charged)
    assert len(asked) == 8
    assert sorted(asked.values()) == [1, 1, 1, 1, 2, 2, 2, 2], "only what was under way is asked once more"
    assert {f"old: {question}" for question, times in asked.items() if times == 2}.isdisjoint(answered)
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert len({line["item"] for line in lines}) == len(lines) == 8
    assert paid(account) - 1e-9 <= again.json["spent_usd"] < 1
    requests = account.requests[f"/v1/{CHAT}"]
    assert step("record", *order).ended().json["left"] == 0
    assert account.requests[f"/v1/{CHAT}"] == requests


def paid(account: OpenAIDouble) -> float:
    """US dollars, at the price of a tuned gpt-4o-mini."""
    return sum(c["prompt_tokens"] * 0.30 + c["completion_tokens"] * 1.20 for c in account.charged) / 1e6


@pytest.mark.parametrize("everything", [False, True], ids=["the command", "all that it started"])
def test_retrain(account: OpenAIDouble, step: Callable[..., Command], home: Path, tmp_path: Path, everything: bool) -> None:
    assert step("download").ended().code == 0
    assert step("record", "--model", OLD, "--budget-usd", "1", "--yes").ended().code == 0
    requests = account.requests.total()
    recipe = material.write_recipe(tmp_path / "long.yaml", {**material.LONG, "epochs": 2, "task": "tutor"})
    order = ("--model", OLD, "--recipe", str(recipe), "--json")
    running = step("retrain", *order, account=False)
    with Homeroom.open() as opened:
        eventually(
            lambda: [e for job in opened.jobs.list(kind="tune") for e in opened.jobs.events(job.id) if _steps(e.data) >= 2]
        )
        (begun,) = opened.jobs.list(kind="tune")
    running.process.send_signal(signal.SIGKILL)
    assert running.ended().code == -signal.SIGKILL
    if everything:
        kill_all(home)
    again = step("retrain", *order, account=False).ended()
    assert again.code == 0, again.err
    with Homeroom.open() as opened:
        assert [job.id for job in opened.jobs.list(kind="tune")] == [again.json["job"]] == [begun.id]
        assert [model.name for model in opened.registry.list()] == [again.json["model"]]
        assert [info.name for info in opened.datasets.list()] == [again.json["dataset"].partition("@")[0]]
        steps = [_steps(e.data) for e in opened.jobs.events(begun.id, limit=10_000) if e.type == "metrics"]
        assert max(steps) == opened.registry.get(again.json["model"]).metrics["steps"]
    assert account.requests.total() == requests, "the account is not needed any more"


def _steps(data: Any) -> int:
    return int((data or {}).get("step") or 0)
