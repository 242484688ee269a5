"""No command and no verb of Python's calls an endpoint that charges for it before somebody agreed: all of them, none left out.

Every command of the command line, and every public function that takes a home, stands in one of the tables here. One that is not
there fails the test; one that names a model is run with a model of the endpoint, whatever table it is in.
"""

from __future__ import annotations

import ast
import inspect
import io
import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

import homeroom as package
from homeroom.app.agreements import lift_limit, purse_of_job
from homeroom.app.comparing import Wanted, comparison_quotes, lineup
from homeroom.app.endpoints import open_endpoint_model
from homeroom.app.holding import paid
from homeroom.app.home import Homeroom
from homeroom.app.promised import promised
from homeroom.app.spending import Asked, Quote, questions_quote, shown_by
from homeroom.app.tuning import submit_tuning
from homeroom.app.work import asked_again
from homeroom.cli.main import cli, run
from homeroom.errors import AuthError, ConfigError, ConflictError, HomeroomError, JobFailed, NotFoundError
from homeroom.ledger.purse import Purse
from homeroom.ledger.records import About
from homeroom.models.prompt_program import PromptProgram
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from homeroom.schema.models import TunedModel
from homeroom.tuning.dspy.shipped import shipped
from homeroom.tuning.recipe_file import run_of
from tests.doubles.openai_server import KEY, OpenAIDouble
from tests.doubles.school import name_school

FAR = "school/large"
MINE = f"ft:{FAR}:homeroom:mine:abcd1234"
OLD = "ft:large:my-school:fractions:Ab12"
PAIRS = [(f"What is {n} plus {n + 1}?", f"Start at {n} and count on. Where do you stop after step {n}?") for n in range(2, 26)]
DATA = ("--dataset", "small-course", "--task", "tutor")

# What asks an endpoint, with a command line that does. COURSE and JOB stand for a file and a stopped job.
ASKS: dict[str, tuple[str, ...]] = {
    "demo": ("--base", FAR, "--data", "COURSE", "--no-serve"),
    "tune run": (*DATA, "--base", FAR, "--no-wait"),
    "tune compare": (*DATA, "--base", FAR, "--recipe", "recipes/demo.yaml", "--no-wait"),
    "tune recommend": (*DATA, "--base", FAR, "--probe"),
    "tune resume": ("JOB", "--no-wait"),
    "tune traces": (FAR, *DATA, "--out", "traces.jsonl"),
    "tune unsolved": (MINE, "--out", "unsolved.jsonl"),
    "tune ask": (FAR, "question=Is it 5?", "--program", "answer"),
    "tune score": (FAR, "--program", "feedback_teacher"),
    "eval run": ("--model", MINE, "--no-wait"),
    "chat": ("--model", FAR, "-m", "Hello?"),
    "practice": ("--model", FAR),
    "migrate openai record": ("move", "--endpoint", "school", "--model", OLD, "--budget-usd", "1"),
    "migrate openai retrain": ("move", "--model", OLD, "--base", FAR),
}

# What asks no endpoint: with a command line that names its model where the command names one, else with the reason.
ASKS_NOBODY: dict[str, str | tuple[str, ...]] = {
    "data check": ("COURSE", "--base", FAR, "--semantic"),
    "data show": ("COURSE", "--base", FAR),
    "data stats": ("COURSE", "--base", FAR),
    "tune plan": (*DATA, "--base", FAR),
    "tune show-prompt": (MINE,),
    "tune sweep": (*DATA, "--base", FAR, "--no-wait"),
    "models delete": (MINE, "--yes"),
    "models export": (MINE, "--to", "gguf", "--no-wait"),
    "models import": ("school/ft:large:new", "--base", FAR),
    "models pull": (FAR,),
    "models show": (MINE,),
    "models use": (MINE, "--task", "tutor"),
    "eval report": (MINE,),
    "migrate openai compare": ("move", "--model", OLD, "--with", MINE),
    "pack": ("packed", "--model", FAR),
    "serve": "people and programs ask it, within the budgets",
    "worker": "what it runs was agreed to when it was queued",
    **dict.fromkeys(("jobs follow", "jobs resume"), "what was queued was agreed to, and what failed or was cancelled stays so"),
    **dict.fromkeys((f"jobs {name}" for name in ("cancel", "list", "logs", "pause", "prune", "show")), "looks and stops"),
    **dict.fromkeys((f"jobs webhook {name}" for name in ("add", "list", "remove")), "keeps an address"),
    **dict.fromkeys(
        (f"data {name}" for name in ("convert", "diff", "fix", "merge", "report", "review", "sample", "split", "versions")),
        "works on files",
    ),
    **dict.fromkeys((f"costs {name}" for name in ("held", "prices", "resolve")), "works on the ledger"),
    **dict.fromkeys((f"costs budget {name}" for name in ("remove", "set", "show")), "works on the ledger"),
    **dict.fromkeys((f"users key {name}" for name in ("create", "list", "revoke")), "works on keys"),
    **dict.fromkeys((f"migrate openai {name}" for name in ("download", "inventory")), "reads the account, which is free"),
    **dict.fromkeys(("doctor", "init", "costs", "tune files", "models list", "eval list", "eval metrics"), "looks"),
}
NAMES_A_MODEL = {
    "base",
    "model",
    "models",
    "prompt_model",
    "teacher_model",
    "candidate",
    "name",
    "recipe",
    "recipes",
    "recipe_path",
}
OTHER_NAMES = {"users key create", "data split"}  # whose names are no model's
IN_A_BUDGET = {"costs budget set", "costs budget remove"}  # names whose calls are counted
OF_A_DATASET = {"data versions"}  # whose models are listed

# What a function of the package does at the endpoint before anybody agreed; None where it asks none.
VERBS: dict[str, Callable[[Homeroom], Any] | None] = {
    "tune": lambda home: package.tune(home, "small-course", RECIPE),
    "batch": lambda home: package.batch(home, "small-course", [RECIPE]),
    "resume": package.resume,
    "evaluate": lambda home: package.evaluate(home, home.registry.get(MINE)),
    "compare": lambda home: package.compare(home, "small-course", base=FAR, recipes=[RECIPE], task="tutor"),
    "probe": lambda home: package.probe(home, "small-course", base=FAR, task="tutor"),
    "unsolved": lambda home: package.unsolved(home, [MINE]),
    "traces": lambda home: package.traces(home, MINE, "small-course"),
    "conversation": lambda home: said(package.conversation(home, FAR), lambda talk: talk.ask("Hello?")),
    "program": lambda home: said(package.program(home, "answer", model=FAR), lambda one: one.ask(question="Is it 5?")),
    "score_program": lambda home: package.score_program(home, FAR, name="feedback_teacher"),
    "homeroom_lm": None,  # asks for every question that DSPy puts to it
    "fetch": None,
    "plan": None,
    "recommend": None,
    "sweep": None,  # trains weights of this machine
    "shown_prompt": None,
}
RECIPE = {"name": "far", "task": "tutor", "base": FAR}


def said(opened: Any, ask: Callable[[Any], Any]) -> Any:
    with opened as found:
        return ask(found)


@pytest.fixture
def school(home: Path, homeroom: Any, course: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIDouble]:
    """An endpoint on this machine that costs money, a model that was tuned there, a run that was stopped, and a migration."""
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    with OpenAIDouble() as double:
        (home / "prices.yaml").write_text(
            "endpoints: {school/: {input: 1.0, output: 2.0}}\ntuned: {large: {input: 1, output: 2}}\n"
        )
        name_school(home, double.address, "large")
        for examples in (course, "homeroom-feedback-teacher"):
            assert homeroom("data", "split", examples).code == 0
        with Homeroom.open() as opened:
            dataset = opened.datasets.get("small-course").info.id
            register(opened, dataset)
            job = submit_tuning(opened, dataset, run_of({**RECIPE, "name": "stopped"}))
            opened.jobs.request_cancel(job.id)
        double.tuned(OLD, "large", PAIRS, [(f"Is {n} half of {2 * n}?", f"Pair {n} dots.") for n in range(3, 11)])
        assert homeroom("migrate", "openai", "download", "move", "--endpoint", "school").code == 0
        yield double


def register(home: Homeroom, dataset: str) -> None:
    shown = (Message("user", "Is half of 14 8?"), Message("assistant", "Draw 14 dots in two rows. What do you see?"))
    with home.artifacts.write("model") as draft:
        PromptProgram("Guide.", (shown,), "turns", FAR, "x").save(draft.folder)
    about: Any = {"method": "dspy", "kind": "prompt", "task": "tutor", "suffix": "mine", "suitability": "trainee"}
    home.registry.register(TunedModel(MINE, FAR, "x", artifact=draft.id, dataset=dataset, **about))


def calls(double: OpenAIDouble) -> int:
    return sum(count for path, count in double.requests.items() if "completions" in path or "embeddings" in path)


def jobs(homeroom: Any) -> list[tuple[str, str]]:
    return [(job["id"], job["state"]) for job in homeroom("jobs", "list", "--json").json if job["resource"] == "api"]


def filled(arguments: tuple[str, ...], course: Path, stopped: str) -> list[str]:
    return [{"COURSE": str(course), "JOB": stopped}.get(argument, argument) for argument in arguments]


def leaves(command: click.Command, ctx: click.Context, path: str = "") -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    for name in command.list_commands(ctx):
        found = command.get_command(ctx, name)
        assert found is not None
        yield from leaves(found, ctx, f"{path} {name}".strip())


def test_every_command_is_in_a_table_and_one_that_names_a_model_is_tried() -> None:
    found = dict(leaves(cli, click.Context(cli)))
    assert found.keys() == ASKS.keys() | ASKS_NOBODY.keys() and not ASKS.keys() & ASKS_NOBODY.keys()
    for path, command in found.items():
        named = {parameter.name for parameter in command.params} & NAMES_A_MODEL
        if path in OTHER_NAMES | IN_A_BUDGET | OF_A_DATASET | {"serve", "costs"}:
            continue
        assert not named or not isinstance(ASKS_NOBODY.get(path, ()), str), f"{path} names {named}: give it one of the endpoint's"
    for path in ASKS:
        assert "yes" in {parameter.name for parameter in found[path].params}, f"nobody can agree to {path}"


@pytest.mark.parametrize("path", ASKS)
def test_not_one_call_is_made_before_somebody_agreed(school, homeroom, course, monkeypatch, path):
    before = jobs(homeroom)
    ((stopped, _),) = before
    command = [*path.split(), *filled(ASKS[path], course, stopped)]
    for more in ([], ["--json"]):
        told = homeroom(*command, *more, typed="Hello?\n" if path in ("chat", "practice") else "")
        assert told.code in (2, 130) and ("$" in told.err + told.out or "needs-yes" in told.out), told
        if told.code == 2:
            assert "needs-yes" in told.err + told.out, told
        assert calls(school) == 0 and jobs(homeroom) == before and school.charged == []
    monkeypatch.setenv("SCHOOL_API_KEY", "sk-wrong")  # the first call ends it
    told = homeroom(*command, "--yes", typed="Hello?\n")
    assert calls(school) > 0 or jobs(homeroom) != before, f"this is no command line that would ask: {told.out}{told.err}"


@pytest.mark.parametrize("path", [path for path, line in ASKS_NOBODY.items() if not isinstance(line, str)])
def test_what_asks_no_endpoint_asks_none(school, homeroom, course, path):
    before = jobs(homeroom)
    homeroom(*path.split(), *filled(ASKS_NOBODY[path], course, before[0][0]))
    assert calls(school) == 0 and jobs(homeroom) == before


def test_no_verb_of_python_s_calls_before_somebody_agreed(school):
    taking_a_home = {
        name
        for name in package.__all__
        if inspect.isfunction(made := getattr(package, name)) and "home" in inspect.signature(made).parameters
    }
    assert taking_a_home == VERBS.keys()
    with Homeroom.open() as home:
        before = [(job.id, job.state) for job in home.jobs.list()]
        for name, call in VERBS.items():
            if call is None:
                continue
            with pytest.raises(ConfigError, match="spend=") as error:
                call(home)
            assert error.value.code == "needs-yes", name
            assert "spend" in inspect.signature(getattr(package, name)).parameters
        assert [(job.id, job.state) for job in home.jobs.list()] == before
    assert calls(school) == 0


ASKED_BEFORE = {
    "app/batch.py": "trains weights of this machine",
    **dict.fromkeys(("app/compare_answers.py", "app/dspy_job.py", "app/evaluate_job.py", "app/prompt_job.py"), "part of a job"),
    **dict.fromkeys(("app/dspy_plan.py", "app/openai_plan.py", "app/tuning.py"), "queues a run, for what asks"),
    **dict.fromkeys(("app/openai_left.py", "app/undeploying.py"), "deletes what lies there, which is free"),
    "app/sweep.py": "trains weights of this machine",
    "app/talk.py": "opens a model, for what asks",
    "cli/models.py": "lists",
}
OPENS = {"talking", "open_endpoint_model", "running_directory", "submit_once", "submit_tuning", "HomeDirectory"}
ASKING = {"agreed", "agree", "agree_to_talk", "require_agreed", "held", "asking", "quotes_of"}


def test_whatever_opens_an_endpoint_s_model_or_queues_work_asks_or_says_who_does() -> None:
    source = Path(package.__file__).parent
    silent = set()
    for file in (*source.glob("app/**/*.py"), *source.glob("cli/**/*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        used = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        if used & OPENS and not used & ASKING:
            silent.add(file.relative_to(source).as_posix())
    assert silent == ASKED_BEFORE.keys(), "who was asked before?"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_person_at_a_terminal_is_asked_once_for_a_conversation(school, homeroom, monkeypatch, capsys):
    for typed, code, asked in (("n\n", 130, 0), ("y\nHello?\nAnd now?\n\n", 0, 2)):
        capsys.readouterr()
        monkeypatch.setattr(sys, "stdin", Terminal(typed))
        assert run(["chat", "--model", FAR]) == code
        told = capsys.readouterr().err
        assert told.count("pay for it?") == 1 and f"a message to {FAR}" in told and "$" in told
        assert calls(school) == asked


def test_what_costs_nothing_is_not_asked_for(school, homeroom, home):
    (home / "prices.yaml").write_text("endpoints: {school/: {input: 0, output: 0}}\n")
    assert "needs-yes" not in homeroom("chat", "--model", FAR, "-m", "Hello?").err and calls(school) == 1
    assert homeroom("eval", "run", "--model", MINE, "--no-wait").code == 0
    assert homeroom("tune", "run", *DATA, "--base", FAR, "--no-wait").code == 0
    (home / "prices.yaml").unlink()
    assert homeroom("tune", "unsolved", MINE, "--out", "unsolved.jsonl", "--items", "2").code == 0


def test_what_is_kept_or_under_way_is_not_asked_for_again(school, homeroom):
    assert homeroom("tune", "unsolved", MINE, "--out", "a.jsonl", "--items", "1", "--yes").code == 0
    once = calls(school)
    assert once == 1 and homeroom("tune", "unsolved", MINE, "--out", "b.jsonl", "--items", "1", "--json").code == 0
    assert homeroom("tune", "unsolved", MINE, "--out", "c.jsonl", "--items", "2", "--json").code == 2
    homeroom("tune", "traces", FAR, *DATA, "--limit", "2", "--out", "a.jsonl", "--force", "--yes")
    twice = calls(school)
    assert twice == once + 2
    homeroom("tune", "traces", FAR, *DATA, "--limit", "2", "--out", "a.jsonl", "--force", "--json")
    told = homeroom("tune", "traces", FAR, *DATA, "--limit", "2", "--attempts", "2", "--out", "a.jsonl", "--force", "--json")
    assert told.json["error"]["code"] == "needs-yes" and calls(school) == twice
    assert homeroom("eval", "run", "--model", MINE, "--no-wait", "--yes").code == 0
    assert homeroom("eval", "run", "--model", MINE, "--no-wait", "--json").code == 0, "it is under way"
    again = homeroom("eval", "run", "--model", MINE, "--no-wait", "--again", "--json")
    assert again.json["error"]["code"] == "needs-yes"


def test_the_most_that_is_told_is_never_less_than_what_it_costs(school, homeroom):
    with Homeroom.open() as home:
        for ask in (lambda spend: package.traces(home, MINE, "small-course", spend=spend),
                    lambda spend: package.unsolved(home, [MINE], spend=spend)):  # fmt: skip
            told: list[Any] = []
            before = sum(total.usd for total in home.ledger.totals(()))
            ask(lambda quotes, told=told: told.extend(quotes))
            cost = sum(total.usd + total.held_usd for total in home.ledger.totals(())) - before
            (quote,) = told
            assert 0 < cost <= quote.most_usd and quote.usd <= quote.most_usd


def test_a_conversation_of_a_program_ends_where_the_money_does(school):
    bodies: list[Any] = []
    school.reply = lambda body: bodies.append(body) or "Draw it."
    with Homeroom.open() as home:
        with package.conversation(home, MINE, spend=math.inf) as talk:
            assert talk.ask("Hello?") == "Draw it."
        told = school.charged[-1]
        cost = (told["prompt_tokens"] + 2 * told["completion_tokens"]) / 1e6
        most = (len(json.dumps(bodies[-1], ensure_ascii=False).encode()) + 2 * 256) / 1e6
        with package.conversation(home, MINE, spend=most + 1.5 * cost) as talk:
            assert talk.ask("Hello?") == "Draw it."
            talk.start_over()
            assert talk.ask("Hello?") == "Draw it.", "what the first one really cost was taken, not the most"
            talk.start_over()
            before = calls(school)
            with pytest.raises(ConfigError) as error:
                talk.ask("Hello?")
            assert error.value.code == "needs-yes" and calls(school) == before and talk.messages == []


@pytest.mark.parametrize("text", ["Hi", "ሰላም ልጆች " * 100, 'He said: "8"\n' * 50], ids=["short", "Amharic", "escaped"])
def test_the_most_that_is_told_is_never_less_than_what_is_held(school, text):
    messages = [Message("user", text)]
    with Homeroom.open() as home:
        (quote,) = questions_quote(home, FAR, [Asked(FAR)], [messages], 8)
        model, _ = open_endpoint_model(home, FAR)
        school.faults = [("completions", "silence"), ("completions", "401")]
        with closing(model), pytest.raises(AuthError):
            model.complete(messages, GenerationSettings(max_tokens=8))
        (lost,) = home.ledger.held()
        assert len(text.encode()) / 1e6 < lost.usd <= quote.most_usd


def spent(home: Homeroom) -> float:
    return sum(total.usd + total.held_usd for total in home.ledger.totals(()))


def test_a_reply_that_is_lost_takes_from_what_was_agreed_to(school):
    with Homeroom.open() as home:
        with package.conversation(home, FAR, spend=math.inf) as talk:
            school.faults = [("completions", "silence")]
            talk.ask("Hello?")
        (lost,) = home.ledger.held()
        before, asked = spent(home), calls(school)
        with package.conversation(home, FAR, spend=1.5 * lost.usd) as talk:
            school.faults = [("completions", "silence")]
            with pytest.raises(ConfigError, match="spend=") as error:
                talk.ask("Hello?")
        assert error.value.code == "needs-yes" and calls(school) == asked + 1, "to ask again could cost more than is left"
        assert spent(home) - before == pytest.approx(lost.usd)


@pytest.mark.parametrize("verb", ["traces", "unsolved"])
def test_lost_replies_end_what_was_agreed_to_and_what_was_answered_is_kept(school, home, monkeypatch, verb):
    monkeypatch.setenv("HOMEROOM_ENGINE_SLOTS", "1")
    (home / "prices.yaml").write_text("endpoints: {school/: {input: 1, output: 1000}}\n")

    def ask(home: Homeroom, spend: Any) -> Any:
        if verb == "traces":
            return package.traces(home, MINE, "small-course", limit=2, spend=spend)
        return package.unsolved(home, [MINE], items=2, spend=spend)

    told: list[Any] = []
    with Homeroom.open() as opened:
        school.faults = [("completions", "ok"), ("completions", "silence")]
        with pytest.raises(ConflictError, match="What was answered is kept") as error:
            ask(opened, told.extend)  # somebody who is told the most, and agrees to that
        assert error.value.code == "run-spent" and len(school.charged) == 1
        assert told[0].most_usd / 2 < spent(opened) <= told[0].most_usd
        ask(opened, math.inf)
        assert len(school.charged) == 2, "only the other one was asked for again"


@pytest.mark.parametrize("verb", ["evaluate", *(pytest.param(verb, marks=pytest.mark.slow) for verb in ("tune", "compare"))])
def test_a_job_never_costs_more_than_was_told_before_it_however_many_replies_are_lost(school, home, monkeypatch, verb):
    monkeypatch.setenv("HOMEROOM_ENGINE_SLOTS", "1")
    (home / "prices.yaml").write_text("endpoints: {school/: {input: 1, output: 1000}}\n")
    school.reply = lambda body: "x" * 4 * body["max_tokens"]  # as much as may be: nothing comes back from what is held

    def ask(home: Homeroom, spend: float) -> Any:
        if verb == "tune":
            return package.tune(home, "small-course", RECIPE, spend=spend)
        if verb == "evaluate":
            return package.evaluate(home, home.registry.get(MINE), items=2, spend=spend)
        return package.compare(home, "small-course", models=[MINE], items=2, spend=spend)

    with Homeroom.open() as opened:
        with pytest.raises(ConfigError) as refused:
            ask(opened, 0.0)
        most = float(refused.value.message.split("at most $")[1].split(")")[0]) + 0.005  # it is told in cents
        school.faults = [("completions", fault) for _ in range(40) for fault in ("silence", "ok")]
        with pytest.raises(JobFailed, match="What was answered is kept"):
            ask(opened, most)
        assert most / 2 < spent(opened) <= most
        answered, school.faults = len(school.charged), []
        with pytest.raises(ConfigError) as refused:
            ask(opened, 0.0)
        assert refused.value.code == "needs-yes" and len(school.charged) == answered
        ask(opened, math.inf)
        assert len(school.charged) > answered
        limits = [json.loads(file.read_text()) for file in (home / "jobs").glob("*/work/agreed.json")]
        assert limits == [{"limit_usd": None}], "whatever it costs"


def test_a_job_that_is_begun_again_has_no_more_to_spend_until_somebody_asks_for_it(school):
    def left(most: float) -> float:
        purse = purse_of_job(home, context, lambda: [Quote("replies", "", True, most_usd=most)])
        assert purse is not None
        return purse.left_usd

    with Homeroom.open() as home:
        (job,) = home.jobs.list()
        context: Any = SimpleNamespace(job=job, work_dir=home.work_root / job.id / "work")
        context.work_dir.mkdir(parents=True)
        assert left(1.0) == pytest.approx(1.0)
        home.ledger.hold(About(FAR, "judging", job_id=job.id), 0.4)
        assert left(5.0) == pytest.approx(0.6), "the first attempt's cost counts, and the limit is that of the first one"
        assert asked_again(home, job.id).state == "queued"
        assert left(5.0) == pytest.approx(5.0)
        lift_limit(home, [home.jobs.get(job.id)], 7.0)
        assert left(5.0) == pytest.approx(5.0)
        lift_limit(home, [home.jobs.get(job.id)], math.inf)
        assert purse_of_job(home, context, list) is None


@pytest.mark.parametrize("spend", [math.nan, -1.0, "5"])
def test_what_is_no_amount_agrees_to_nothing(school, spend):
    with Homeroom.open() as home:
        for ask in (
            lambda: package.tune(home, "small-course", RECIPE, spend=spend),
            lambda: package.evaluate(home, home.registry.get(MINE), spend=spend),
            lambda: package.compare(home, "small-course", base=FAR, recipes=[RECIPE], task="tutor", spend=spend),
            lambda: package.traces(home, MINE, "small-course", spend=spend),
            lambda: said(package.conversation(home, FAR, spend=spend), lambda talk: talk.ask("Hello?")),
        ):
            with pytest.raises(ConfigError, match=repr(spend)) as error:
                ask()
            assert error.value.code == "usd-invalid"
    assert calls(school) == 0


def test_what_could_not_be_begun_is_given_back():
    purse = Purse(1.0)
    with pytest.raises(NotFoundError), paid(purse, [Quote("a training", "", True, most_usd=0.7)], "spend=5.0"):
        raise NotFoundError("It is gone.")
    assert purse.left_usd == pytest.approx(1.0)
    with paid(purse, [Quote("a training", "", True, most_usd=0.7)], "spend=5.0"):
        pass
    with pytest.raises(ConfigError) as error, paid(purse, [Quote("another", "", True, most_usd=0.7)], "spend=5.0"):
        pass
    assert error.value.code == "needs-yes" and purse.left_usd == pytest.approx(0.3)


def test_a_run_that_is_not_made_yet_counts_with_all_that_it_may_show(school):
    spec = shipped("answer")
    most = [{field.name: "x" * 490 for field in (*spec.inputs, *spec.outputs)}] * 3
    one = spec.program(spec.instructions, most, FAR, "x")
    searched = run_of({"method": "dspy", "name": "x", "task": "tutor", "base": FAR, "optimisers": ["bootstrap", "ensemble"]})
    with Homeroom.open() as home:
        dataset = home.datasets.get("small-course")
        (plain, *others) = promised(home, dataset, searched)
        assert shown_by(one)[1] <= plain.shown[1] and plain.shown[0] < plain.shown[1]
        assert [(other.shown, other.perhaps) for other in others] == [(plain.shown, True)] * 2, "three make an ensemble"
        assert not plain.perhaps and plain.shown[0] > len(spec.instructions)
        (instead,) = promised(home, dataset, run_of(RECIPE))  # a search for demonstrations
        assert instead.shown[1] >= 4000
        items = [item for example in dataset.part("train", "tutor") for item in example.items()]
        quotes = []
        for run in (searched, run_of({**RECIPE, "method": "openai"})):
            wanted = Wanted("small-course", recipes=(run,), task="tutor", base=FAR)
            quotes.append(comparison_quotes(home, lineup(home, wanted), wanted)[-1])
        assert items and quotes[0].label == quotes[1].label == "comparison"
        assert quotes[0].most_usd > quotes[1].most_usd + 3 * plain.shown[1] / 1e6


def test_going_on_takes_along_what_a_comparison_waits_for(school, monkeypatch):
    with Homeroom.open() as home:
        from homeroom.app.comparing import submit_comparison

        wanted = Wanted("small-course", recipes=(run_of(RECIPE),), task="tutor", base=FAR)
        submitted = submit_comparison(home, lineup(home, wanted), wanted)
        ((_, tuning),) = submitted.tunings
        for job in (submitted.job, tuning):
            home.jobs.request_cancel(job.id)
        with pytest.raises(ConfigError) as error:
            package.resume(home, submitted.job.id)
        assert error.value.code == "needs-yes" and "comparison" in error.value.message
        monkeypatch.setenv("SCHOOL_API_KEY", "sk-wrong")
        with pytest.raises(HomeroomError):
            package.resume(home, submitted.job.id, spend=math.inf)
        assert home.jobs.get(tuning.id).attempts == 1, "what it waits for was begun before it"
        assert home.jobs.get(submitted.job.id).attempts == 0
