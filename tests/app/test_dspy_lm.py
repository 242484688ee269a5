"""DSPy's own optimisers on a home's models, offline: `homeroom.homeroom_lm`."""

from __future__ import annotations

import math
import time

import pytest

import homeroom
from homeroom.app.spending import quotes_of
from homeroom.errors import ConfigError, NotFoundError
from homeroom.models import tiny
from homeroom.tuning.recipe_file import parse_recipe, parse_run
from tests.app import material
from tests.doubles.openai_server import KEY, OpenAIDouble
from tests.doubles.school import name_school
from tests.doubles.tuning_server import KEY as TUNING_KEY
from tests.doubles.tuning_server import TuningDouble

dspy = pytest.importorskip("dspy")

RECIPE = parse_recipe(
    {**material.QUICK, "name": "mine", "task": "any", "batch_tokens": 2048, "data": {"max_sequence_tokens": 2048}}
)
DATA = [dspy.Example(question=f"What is {n} and 1?", answer=f"{n + 1}").with_inputs("question") for n in range(6)]


class Plain(dspy.ChatAdapter):
    """The completion is the field: the tiny model writes no markers."""

    def parse(self, signature, completion):
        return dict.fromkeys(signature.output_fields, completion)


def program(lm):
    made = dspy.Predict("question -> answer")
    made.set_lm(lm)
    return made


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_bootstrap_finetune_of_dspy_trains_here_and_gets_a_model_that_is_registered(home):
    lm = homeroom.homeroom_lm(home, tiny.NAME, recipe=RECIPE, max_tokens=8)
    with dspy.context(adapter=Plain()):
        optimiser = dspy.BootstrapFinetune(train_kwargs={"seed": 3}, num_threads=2)
        tuned = optimiser.compile(program(lm), trainset=DATA)
        (model,) = home.registry.list()
        assert tuned.lm.model == f"homeroom/{model.name}"
        assert (model.method, model.kind, model.recipe["seed"]) == ("huggingface", "lora", 3)
        examples = home.datasets.get(model.dataset).examples
        assert {e.messages[-2].content.count("and 1?") for e in examples} == {1} and len(examples) == len(DATA)
        assert all(e.metadata["source"] == "generated" for e in examples)
        assert isinstance(tuned(question="What is 2 and 1?").answer, str)
        again = optimiser.compile(program(lm), trainset=DATA)
        assert again.lm.model == tuned.lm.model and len(home.registry.list()) == 1, "the same training is the same job"
    named = homeroom.homeroom_lm(home, model.id8, max_tokens=8)
    assert named.model == tuned.lm.model
    assert len(home.jobs.list()) == 1
    lm.kill()
    tuned.lm.kill()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_better_together_of_dspy_runs_here(home):
    lm = homeroom.homeroom_lm(home, tiny.NAME, recipe=RECIPE, max_tokens=8)

    def metric(example, prediction, trace=None):
        return float(bool(prediction.answer))

    with dspy.context(adapter=Plain()):
        finetune = dspy.BootstrapFinetune(metric=metric, num_threads=2)
        optimiser = dspy.BetterTogether(metric=metric, p=dspy.LabeledFewShot(k=1), w=finetune)
        made = optimiser.compile(program(lm), trainset=DATA[:4], valset=DATA[4:], strategy="p -> w")
    assert not made.flag_compilation_error_occurred
    assert {c["strategy"] for c in made.candidate_programs} == {"", "p", "p -> w"}
    (model,) = home.registry.list()
    shown = [e for e in home.datasets.get(model.dataset).examples if sum(m.role == "assistant" for m in e.messages) > 1]
    assert shown, "demonstrations are part of what is trained on"
    assert all([m.weight for m in e.messages if m.role == "assistant"][:-1] == [0] for e in shown)
    lm.kill()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_cancelled_training_is_told_as_that_and_registers_nothing(home):
    slow = parse_recipe({**material.LONG, "name": "slow", "task": "any", "epochs": 400})
    lm = homeroom.homeroom_lm(home, tiny.NAME, recipe=slow)
    data = [{"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]}]
    job = lm.finetune(data, "chat", None)
    while job.status().value != "running":
        assert not job.done(), job.result()
        time.sleep(0.1)
    assert job.cancel()
    assert "cancelled" in str(job.result())
    assert (job.status().value, job.cancel(), home.registry.list()) == ("cancelled", False, ())


def test_what_cannot_be_trained_is_the_result_of_the_job(home):
    lm = homeroom.homeroom_lm(home, tiny.NAME)
    data = [{"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]}]
    for given, kind, options, code in (
        ([], "chat", {}, "finetune-data"),
        (data, "completion", {}, "finetune-data"),
        (data, "chat", {"epoch": 3}, "recipe-invalid"),
    ):
        job = lm.finetune(given, kind, options)
        error = job.result()
        assert getattr(error, "code", error) == code
        assert job.status().value == "failed" and job.done()
    assert home.jobs.list() == ()


def test_an_empty_reply_is_one_that_dspy_can_take(home, monkeypatch):
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    with OpenAIDouble() as school:
        school.reply = lambda body: ""
        name_school(home.settings.home, school.address, "large")
        with homeroom.open() as other, dspy.context(adapter=Plain()):
            lm = homeroom.homeroom_lm(other, "school/large")
            assert program(lm)(question="Why?").answer == " "
            lm.kill()
        assert school.charged[0]["messages"][-1]["content"].count("Why?") == 1


def test_replies_that_cost_money_are_asked_for_within_what_was_agreed_to(home, monkeypatch):
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    folder = home.settings.home
    (folder / "prices.yaml").write_text("endpoints: {school/: {input: 1000.0, output: 1000.0}}\n")
    with OpenAIDouble() as school:
        name_school(folder, school.address, "large")
        with homeroom.open() as other, dspy.context(adapter=Plain()):
            with pytest.raises(dspy.LMUnexpectedError, match="spend=") as refused:  # DSPy's, of ours
                program(homeroom.homeroom_lm(other, "school/large", max_tokens=8))(question="Why?")
            assert refused.value.__cause__.code == "needs-yes" and school.charged == []
            asked = program(homeroom.homeroom_lm(other, "school/large", max_tokens=8, spend=2.0))
            paid = 0
            with pytest.raises(dspy.LMUnexpectedError, match="would cost"):
                for number in range(200):
                    asked(question=f"Why {number}?")
                    paid += 1
            (total,) = other.ledger.totals(())
            assert 0 < paid == len(school.charged) < 200 and 0.5 < total.usd <= 2.0
            assert program(homeroom.homeroom_lm(other, "school/large", spend=math.inf))(question="And how?").answer


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_training_at_an_endpoint_is_paid_only_where_that_was_agreed_to(home, monkeypatch):
    monkeypatch.setenv("SCHOOL_API_KEY", TUNING_KEY)
    folder = home.settings.home
    (folder / "prices.yaml").write_text("endpoints: {school/gpt-4.1-mini: {input: 0.8, output: 3.2, training: 5.0}}\n")
    recipe = parse_run({"method": "openai", "name": "remote", "task": "tutor", "epochs": 1})

    def conversations(about: str) -> list:
        return [
            {"messages": [{"role": "user", "content": f"{about} {n}?"}, {"role": "assistant", "content": f"Count on from {n}."}]}
            for n in range(12)
        ]

    with TuningDouble() as school:
        name_school(folder, school.address, "gpt-4.1-mini")
        with homeroom.open() as other:
            refused = homeroom.homeroom_lm(other, "school/gpt-4.1-mini", recipe=recipe)
            error = refused.finetune(conversations("What is"), "chat", None).result()
            assert isinstance(error, ConfigError) and error.code == "needs-yes" and "spend=" in error.message
            assert (school.paid, school.files, other.jobs.list()) == ([], {}, ()), "nothing was sent"

            dataset = other.datasets.get("dspy").info.id
            most = quotes_of(other, dataset, [("x", recipe.model_copy(update={"base": "school/gpt-4.1-mini"}))])[0].most_usd
            lm = homeroom.homeroom_lm(other, "school/gpt-4.1-mini", recipe=recipe, spend=1.5 * most)
            tuned = lm.finetune(conversations("What is"), "chat", None).result()
            model = other.registry.get(tuned.model.removeprefix("homeroom/"))
            assert (model.method, model.kind, len(school.paid)) == ("openai", "remote", 1)
            assert len(other.datasets.get(model.dataset).part("train")) == 12
            again = refused.finetune(conversations("What is"), "chat", None).result()
            assert again.model == tuned.model and len(school.paid) == 1, "what was made is free"

            more = lm.finetune(conversations("How much is"), "chat", None).result()
            assert isinstance(more, ConfigError) and more.code == "needs-yes" and len(school.paid) == 1, "too little was left"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_dspy_trains_prompts_and_weights_at_an_endpoint_pays_each_training_once_and_asks_what_came_out(home, monkeypatch):
    monkeypatch.setenv("SCHOOL_API_KEY", TUNING_KEY)
    folder, base = home.settings.home, "school/gpt-4.1-mini"
    (folder / "prices.yaml").write_text("endpoints: {school/gpt-4.1-mini: {input: 0.8, output: 3.2, training: 5.0}}\n")
    recipe = parse_run({"method": "openai", "name": "remote", "task": "tutor", "epochs": 1})
    data = [dspy.Example(question=f"What is {n} and 1?", answer=f"{n + 1}").with_inputs("question") for n in range(14)]

    def metric(example, prediction, trace=None):
        return float("says hello" in prediction.answer)

    with TuningDouble() as school:
        name_school(folder, school.address, "gpt-4.1-mini")
        with homeroom.open() as other, dspy.context(adapter=Plain()):
            lm = homeroom.homeroom_lm(other, base, recipe=recipe, spend=10.0, max_tokens=8)
            finetune = dspy.BootstrapFinetune(metric=metric, num_threads=2)
            tuned = finetune.compile(program(lm), trainset=data)
            (model,) = other.registry.list()
            assert (model.method, model.kind, tuned.lm.model) == ("openai", "remote", f"homeroom/{model.name}")
            assert len(other.datasets.get(model.dataset).part("train")) == len(data)
            asked = school.asked[-1]["model"]
            assert tuned(question="What is 20 and 1?").answer == f"{model.remote_id.partition('/')[2]} says hello" != asked
            assert finetune.compile(program(lm), trainset=data).lm.model == tuned.lm.model and len(school.paid) == 1

            both = dspy.BetterTogether(metric=metric, p=dspy.LabeledFewShot(k=1), w=finetune)
            made = both.compile(program(lm), trainset=data[:12], valset=data[12:], strategy="p -> w")
            assert not made.flag_compilation_error_occurred and len(school.paid) == 2
            assert {c["strategy"] for c in made.candidate_programs} == {"", "p", "p -> w"}
            lm.kill()


def test_names_are_looked_up_and_weights_elsewhere_are_not_trained(home, monkeypatch):
    with pytest.raises(NotFoundError):
        homeroom.homeroom_lm(home, "nobody")
    folder = home.settings.home
    (folder / "config.yaml").write_text("endpoints: [{name: school, base_url: 'http://127.0.0.1:9/v1', models: [large]}]\n")
    with homeroom.open() as other:
        lm = homeroom.homeroom_lm(other, "school/large")
        assert lm.model == "homeroom/school/large"
        data = [{"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]}]
        error = lm.finetune(data, "chat", None).result()
        assert isinstance(error, ConfigError) and error.code == "search-weights"
