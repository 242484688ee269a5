"""`homeroom migrate openai` against a server that behaves like OpenAI's, faults included."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from homeroom.app.home import Homeroom
from homeroom.app.migration.folder import MigrationFolder
from homeroom.app.migration.record import Ledger
from tests.app import material
from tests.doubles.openai_server import KEY, OpenAIDouble

OLD = "ft:gpt-4o-mini-2024-07-18:my-school:fractions:Ab12"
PAIRS = [(f"What is {n} plus {n + 1}?", f"Start at {n} and count on. Where do you stop after step {n}?") for n in range(2, 26)]
HELD_OUT = [(f"Is {n} half of {2 * n + 1}?", f"Try to pair {2 * n + 1} dots. What is left of {n} pairs?") for n in range(3, 11)]


@pytest.fixture
def account(home, monkeypatch) -> Iterator[OpenAIDouble]:
    monkeypatch.setenv("MY_KEY", KEY)
    with OpenAIDouble() as double:
        home.mkdir(exist_ok=True)
        (home / "config.yaml").write_text(
            f"endpoints: [{{name: old, base_url: '{double.address}', api_key_env: MY_KEY, models: [m]}}]\n"
        )
        yield double


@pytest.fixture
def migrate(homeroom, tmp_path):
    """Runs one step on the folder of this test."""

    def step(name: str, *arguments: str, account: bool = True):
        endpoint = ("--endpoint", "old") if account else ()
        return homeroom("migrate", "openai", name, tmp_path / "move", *endpoint, *arguments)

    return step


def days(number: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=number)).isoformat()


def test_the_inventory_finds_every_model_and_what_ends_first_comes_first(account, migrate):
    for number in range(5):
        account.tuned(f"ft:gpt-4o:org:m{number}:x{number}", "gpt-4o", PAIRS)
    account.tuned(OLD, "gpt-4o-mini-2024-07-18", PAIRS)
    account.models += [
        {"id": "gpt-4o", "shutdown_date": days(400)},
        {"id": "gpt-4o-mini-2024-07-18", "shutdown_date": days(53)},
        {"id": "ft:gpt-3.5:org::lost", "shutdown_date": None},
    ]
    account.models = [m for m in account.models if m["id"] != "ft:gpt-4o:org:m3:x3"]
    told = migrate("inventory", "--json").json
    by_name = {tuned["model"]: tuned for tuned in told["tuned"]}
    assert len(told["jobs"]) == 6, "three pages of two"
    assert told["tuned"][0]["model"] == OLD and by_name[OLD]["days_left"] == 53
    assert by_name["ft:gpt-4o:org:m1:x1"]["days_left"] == 400, "a model ends with its base"
    assert by_name["ft:gpt-4o:org:m3:x3"]["listed"] is False
    assert (by_name["ft:gpt-3.5:org::lost"]["job"], by_name["ft:gpt-3.5:org::lost"]["days_left"]) == ("", None)
    assert f"{OLD}: 53 days left" in migrate("inventory").err


def test_everything_is_fetched_once_whatever_breaks_on_the_way(account, migrate, tmp_path):
    account.tuned(OLD, "gpt-4o-mini-2024-07-18", PAIRS, HELD_OUT)
    account.faults = [("file-train1/content", "cut"), ("events", "429"), ("file-result1/content", "500")]
    assert migrate("inventory").code == 0
    told = migrate("download", "--json").json
    assert (told["fetched"], told["gone"]) == (3, [])
    files = tmp_path / "move" / "files"
    for name, suffix in (("file-train1", ".jsonl"), ("file-valid1", ".jsonl"), ("file-result1", ".csv")):
        assert (files / f"{name}{suffix}").read_bytes() == account.files[name]
    events = json.loads((tmp_path / "move" / "jobs" / "ftjob-1" / "events.json").read_text())
    assert [e["message"] for e in events] == [f"step {n}" for n in range(1, 6)], "oldest first, over three pages"

    account.requests.clear()
    assert migrate("download", "--json").json == {"fetched": 0, "kept": 3, "gone": []}
    assert sum(n for path, n in account.requests.items() if "files" in path) == 0

    (files / "file-train1.jsonl").write_text("spoilt")
    assert migrate("download", "--json").json["fetched"] == 1
    assert (files / "file-train1.jsonl").read_bytes() == account.files["file-train1"]


def test_a_file_that_is_gone_is_told_and_the_rest_is_fetched(account, migrate):
    account.tuned(OLD, "gpt-4o-mini-2024-07-18", PAIRS)
    del account.files["file-result1"]
    assert migrate("download", "--json").json["gone"] == ["file-result1 of ftjob-1"]


def test_names_of_the_account_choose_no_place_on_this_disk(account, migrate, tmp_path):
    job = account.tuned(OLD, "gpt-4o-mini-2024-07-18", PAIRS)
    job["id"] = "../../outside"
    job["training_file"] = "../../../tmp/outside"
    migrate("download")
    assert [p.name for p in tmp_path.iterdir() if "outside" in p.name] == []
    assert all(tmp_path / "move" in path.parents for path in tmp_path.rglob("*outside*"))


def test_no_answer_is_asked_for_twice_and_no_budget_is_overspent(account, migrate, tmp_path):
    account.tuned(OLD, "gpt-4o-mini-2024-07-18", PAIRS, HELD_OUT)
    assert migrate("download").code == 0
    told = migrate("record", "--model", OLD, "--budget-usd", "0.0004", "--yes", "--json")
    assert told.code == 1
    first = len(account.charged)
    assert 0 < first < 8 and told.json["left"] == 8 - told.json["answers"] > 0
    spent = sum(c["prompt_tokens"] * 0.30 + c["completion_tokens"] * 1.20 for c in account.charged) / 1e6
    assert spent <= told.json["spent_usd"] + 1e-9 <= 0.0004

    account.faults = [("chat", "429"), ("chat", "cut"), ("chat", "silence")]
    told = migrate("record", "--model", OLD, "--budget-usd", "1", "--yes", "--json")
    while told.json["left"]:
        told = migrate("record", "--model", OLD, "--budget-usd", "1", "--yes", "--json")
    assert told.code == 0
    kept = [json.loads(line) for line in (tmp_path / "move" / "answers").glob("*.jsonl").__next__().read_text().splitlines()]
    assert len({k["item"] for k in kept}) == len(kept) == 8
    ledger = Ledger(MigrationFolder(tmp_path / "move"))
    paid = sum(c["prompt_tokens"] * 0.30 + c["completion_tokens"] * 1.20 for c in account.charged) / 1e6
    assert ledger.usd >= paid - 1e-9, "a lost reply is held, because it may have been charged"
    before = len(account.charged)
    assert migrate("record", "--model", OLD, "--budget-usd", "1", "--yes", "--json").json["left"] == 0
    assert len(account.charged) == before


def test_another_number_of_prompts_than_was_chosen_is_refused(account, migrate, tmp_path):
    account.tuned(OLD, "gpt-4o-mini-2024-07-18", PAIRS, HELD_OUT)
    assert migrate("download").code == 0
    record = ("record", "--model", OLD, "--budget-usd", "1", "--yes")
    assert migrate(*record, "--items", "5").code == 0
    asked = len(account.charged)
    for number in ("4", "6", "40"):
        told = migrate(*record, "--items", number)
        assert (told.code, "#migration-prompts" in told.error) == (2, True)
        assert f"5 prompts for '{OLD}' were chosen before, and --items {number} asks for others" in told.error
        refused = migrate("retrain", "--model", OLD, "--items", number, account=False)
        assert (refused.code, "#migration-prompts" in refused.error) == (2, True)
    assert migrate(*record, "--items", "5").code == migrate(*record).code == 0
    assert len(account.charged) == asked


def test_more_than_there_are_is_asked_for_again_without_complaint(account, migrate):
    account.tuned(OLD, "gpt-4o-mini-2024-07-18", PAIRS, HELD_OUT)
    assert migrate("download").code == 0
    record = ("record", "--model", OLD, "--budget-usd", "1", "--yes", "--json")
    first = migrate(*record, "--items", "2000").json
    assert first["answers"] == len(HELD_OUT)
    assert migrate(*record, "--items", "2000").json["answers"] == migrate(*record, "--items", str(len(HELD_OUT))).json["answers"]


def test_without_a_price_nothing_is_sent(account, migrate, home):
    account.tuned("ft:mystery:org::x", "mystery", PAIRS, HELD_OUT)
    migrate("download")
    told = migrate("record", "--model", "ft:mystery:org::x", "--budget-usd", "1", "--yes")
    assert (told.code, "#price-unknown" in told.error, account.charged) == (2, True, [])
    (home / "prices.yaml").write_text("as_of: 2026-11-01\ntuned: {mystery: {input: 1, output: 2}}\n")
    assert migrate("record", "--model", "ft:mystery:org::x", "--budget-usd", "1", "--yes").code == 0
    (home / "prices.yaml").write_text("tuned: {mystery: {input: cheap}}\n")
    assert "#prices-invalid" in migrate("record", "--model", "ft:mystery:org::x", "--budget-usd", "1", "--yes").error


@pytest.mark.slow
def test_the_model_comes_home_and_is_compared_on_prompts_that_trained_nothing(account, migrate, homeroom, tmp_path, monkeypatch):
    account.tuned(OLD, "gpt-4o-mini-2024-07-18", PAIRS, HELD_OUT)
    account.reply = lambda body: dict(HELD_OUT)[body["messages"][-1]["content"]]
    assert migrate("inventory").code == 0
    assert migrate("download").code == 0
    assert migrate("record", "--model", OLD, "--budget-usd", "1", "--items", "8", "--yes").code == 0
    monkeypatch.delenv("MY_KEY")  # the account is closed by now
    recipe = material.write_recipe(tmp_path / "quick.yaml", {**material.QUICK, "task": "tutor"})
    told = migrate("retrain", "--model", OLD, "--recipe", str(recipe), "--json", account=False)
    assert told.code == 0, told.err
    made = told.json["model"]
    assert ":homeroom:fractions:" in made
    with Homeroom.open() as home:
        dataset = home.datasets.get(told.json["dataset"])
        test = {e.messages[0].content for e in dataset.part("test")}
        assert test == {question for question, _ in HELD_OUT}
        seen = {e.messages[0].content for split in ("train", "validation") for e in dataset.part(split)}
        assert seen == {question for question, _ in PAIRS}
        assert home.registry.get(made).dataset == dataset.info.id
    told = migrate("compare", "--model", OLD, "--with", made, "--json", account=False)
    assert told.code == 1, "two random layers are no match for the old model"
    report = json.loads((tmp_path / "move" / "reports").rglob("evaluation.json").__next__().read_text())
    assert [s["name"] for s in report["systems"]] == ["base", "old", "tuned", "authored"]
    old = [row["answers"]["old"]["text"] for row in report["replies"]]
    assert sorted(old) == sorted(answer for _, answer in HELD_OUT)
    assert {d["control"] for d in report["differences"]} == {"base", "old"}


@pytest.mark.slow
def test_where_only_training_data_is_left_it_is_told_that_the_old_model_has_seen_it(account, migrate, homeroom, tmp_path):
    account.tuned(OLD, "gpt-4o-mini-2024-07-18", PAIRS)
    migrate("download")
    told = migrate("record", "--model", OLD, "--budget-usd", "1", "--items", "6", "--yes")
    assert "the old model has SEEN them" in told.err
    recipe = material.write_recipe(tmp_path / "quick.yaml", {**material.QUICK, "task": "tutor"})
    made = migrate("retrain", "--model", OLD, "--recipe", str(recipe), "--json", account=False)
    assert made.code == 0, made.out + made.err
    with Homeroom.open() as home:
        dataset = home.datasets.get(made.json["dataset"])
        assert len(dataset.part("test")) == 6
        assert {e.id for e in dataset.part("test")}.isdisjoint(e.id for e in dataset.part("train"))


def preference_lines() -> list[dict[str, object]]:
    return [
        {
            "input": {"messages": [{"role": "user", "content": question}]},
            "preferred_output": [{"role": "assistant", "content": answer}],
            "non_preferred_output": [{"role": "assistant", "content": "No."}],
        }
        for question, answer in PAIRS
    ]


@pytest.mark.slow
def test_what_learnt_from_preferences_learns_from_preferences_again(account, migrate, tmp_path):
    job = account.tuned(OLD, "ft:gpt-4o-mini-2024-07-18:my-school:first:Aa11", PAIRS)
    account.preferences(job, preference_lines(), type="dpo", dpo={"hyperparameters": {"beta": 0.3, "n_epochs": "auto"}})
    assert migrate("download").code == 0
    recipe = material.write_recipe(tmp_path / "quick.yaml", {**material.QUICK, "task": "tutor"})
    told = migrate("retrain", "--model", OLD, "--recipe", str(recipe), "--items", "6", "--json", account=False)
    assert (told.code, told.json["objective"]) == (0, "dpo"), told.err
    assert "was tuned on top of ft:gpt-4o-mini-2024-07-18:my-school:first:Aa11" in told.err
    with Homeroom.open() as home:
        run = home.registry.get(told.json["model"]).recipe
        dataset = home.datasets.get(told.json["dataset"])
    assert (run["objective"], run["beta"]) == ("dpo", 0.3)
    assert run["optimiser"]["learning_rate"] == pytest.approx(material.QUICK["optimiser"]["learning_rate"] / 10)
    assert all(example.extra["rejected"] == [{"role": "assistant", "content": "No."}] for example in dataset.part("train"))


def test_a_method_that_is_not_done_here_is_refused_with_the_reason(account, migrate, home):
    account.tuned(OLD, "o4-mini", PAIRS, HELD_OUT)["method"] = {"type": "reinforcement", "reinforcement": {"grader": {}}}
    assert migrate("download").code == 0
    told = migrate("retrain", "--model", OLD, account=False)
    assert told.code == 2
    assert "tuned by the method 'reinforcement', which is not done here" in told.error and "#migration-method" in told.error


def test_comparing_needs_what_was_recorded_and_chooses_nothing(account, migrate, tmp_path):
    account.tuned(OLD, "gpt-4o-mini-2024-07-18", PAIRS, HELD_OUT)
    assert migrate("download").code == 0
    told = migrate("compare", "--model", OLD, "--with", "anything", account=False)
    assert told.code == 2
    assert "#migration-answers" in told.error and "homeroom migrate openai record" in told.error
    assert list((tmp_path / "move" / "prompts").iterdir()) == [], "prompts of one's own can still be recorded"
    assert migrate("compare", "--model", OLD, "--with", "x", "--prompts", "mine.jsonl", account=False).code == 2


def test_nothing_is_sent_to_which_nobody_agreed(account, migrate):
    account.tuned(OLD, "gpt-4o-mini-2024-07-18", PAIRS, HELD_OUT)
    migrate("download")
    told = migrate("record", "--model", OLD, "--budget-usd", "1", "--json")
    assert (told.code, told.json["error"]["code"]) == (2, "needs-yes")
    assert migrate("record", "--model", OLD, "--budget-usd", "1").code == 130, "nobody is there to be asked"
    assert account.charged == []


@pytest.mark.parametrize("fault", ["401", "garbage", pytest.param("500 500 500 500 500", marks=pytest.mark.slow)])
def test_each_failure_of_the_account_is_one_line(account, migrate, fault):
    account.faults = [("models", one) for one in fault.split()]
    told = migrate("inventory")
    assert (told.code, told.err.count("Traceback"), len(told.error.splitlines())) == (2, 0, 1)
    assert KEY not in told.err


@pytest.mark.parametrize("step", ["inventory", "download", "record"])
def test_an_account_that_does_not_answer_leaves_no_folder_behind(account, migrate, tmp_path, step):
    account.faults = [("models", "401")] if step != "record" else []
    told = migrate(step, *(("--model", OLD, "--budget-usd", "1") if step == "record" else ()))
    assert told.code == 2 and told.error
    assert not (tmp_path / "move").exists()
    account.faults = []
    assert migrate("download").code == 0 and (tmp_path / "move" / "migration.json").is_file()
    assert (tmp_path / "move").stat().st_mode & 0o777 == 0o700


def test_mistakes_are_one_line_each(account, migrate, homeroom, home, tmp_path, monkeypatch):
    assert "#migration-inventory" in migrate("retrain", "--model", OLD, account=False).error
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    told = homeroom("migrate", "openai", "inventory", tmp_path / "full", "--endpoint", "old").error
    assert "#migration-folder" in told and "homeroom migrate openai inventory my-migration" in told
    migrate("inventory")
    assert "#migration-model" in migrate("record", "--model", "ft:no:one::x", "--budget-usd", "1").error
    assert "#endpoint-unknown" in homeroom("migrate", "openai", "inventory", tmp_path / "x", "--endpoint", "nowhere").error
    monkeypatch.delenv("MY_KEY")
    assert "#key-not-set" in migrate("inventory").error
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    assert "#migration-other" in homeroom("migrate", "openai", "inventory", tmp_path / "move").error


def test_the_homes_ledger_counts_what_is_recorded_and_its_budgets_stop_it(account, migrate, homeroom, tmp_path):
    account.tuned(OLD, "gpt-4o-mini-2024-07-18", PAIRS, HELD_OUT)
    assert migrate("download").code == 0
    assert homeroom("costs", "budget", "set", "0.0004", "--purpose", "data").code == 0
    told = migrate("record", "--model", OLD, "--budget-usd", "1", "--yes")
    assert "[help: docs/troubleshooting.md#budget-spent]" in told.error
    first = len(account.charged)
    assert 0 < first < 8
    (total,) = homeroom("costs", "--by", "model,method,purpose", "--json").json["totals"]
    assert (total["model"], total["method"], total["purpose"], total["calls"]) == (OLD, "openai", "data", first)
    paid = sum(c["prompt_tokens"] * 0.30 + c["completion_tokens"] * 1.20 for c in account.charged) / 1e6
    assert total["usd"] == pytest.approx(paid, abs=1e-6) and total["held_usd"] == 0
    assert Ledger(MigrationFolder(tmp_path / "move")).usd == pytest.approx(paid, abs=1e-6), "what was not sent is not held"
    assert homeroom("costs", "budget", "set", "1", "--purpose", "data").code == 0
    assert migrate("record", "--model", OLD, "--budget-usd", "1", "--yes", "--json").json["left"] == 0
    assert len(account.charged) == 8
