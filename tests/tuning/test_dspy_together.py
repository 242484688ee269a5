"""Prompts and weights together, on a scripted model and a trainer that remembers what it was given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from homeroom.errors import ConfigError, DataError, ProviderError
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Example, Message
from homeroom.schema.jobs import JobCancelled
from homeroom.tuning.dspy.desk import Asked
from homeroom.tuning.dspy.recipe import DspyRecipe
from homeroom.tuning.dspy.shipped import FEEDBACK_LEARNER
from homeroom.tuning.dspy.tuner import DspyTuner, Models, Outcome
from homeroom.tuning.dspy.weights import Trained, weights_folder
from homeroom.tuning.recipe_file import load_runs
from tests.app import material
from tests.tuning.test_dspy import FEEDBACK, Asks, Reply, Run, Scripted, gold, number_of, shows

pytest.importorskip("dspy")


def learnt_by_heart(messages: Asks, settings: GenerationSettings) -> str:
    """What weights answer that were trained: the author's words, without any example."""
    return gold(number_of(messages[-1].content))


def at_temperature(messages: Asks, settings: GenerationSettings) -> str:
    """Sometimes right, never when asked for the likeliest."""
    return learnt_by_heart(messages, settings) if settings.temperature else "no"


class Trainer:
    """Takes conversations and answers by a function. Implements ``WeightTrainer``."""

    def __init__(self, folder: Path, reply: Reply = learnt_by_heart) -> None:
        self.folder, self.model = folder, Scripted(reply)
        self.trained: list[list[Example]] = []
        self.pauses = 0
        self.error: BaseException | None = None

    def train(self, examples: Sequence[Example]) -> Trained:
        if self.error is not None:
            raise self.error
        self.trained.append(list(examples))
        key = "weights-" + hashlib.sha256("".join(sorted(e.id for e in examples)).encode()).hexdigest()[:8]
        weights_folder(self.folder, key).mkdir(parents=True, exist_ok=True)
        return Trained(key, Asked(self.model, key))

    def pause(self) -> None:
        self.pauses += 1


class Together(Run):
    """A run that can train."""

    def __init__(self, folder: Path, *arguments: Any) -> None:
        super().__init__(folder, *arguments)
        self.trainer = Trainer(folder)

    def __call__(self, *optimisers: str, **changes: Any) -> Outcome:
        recipe = DspyRecipe(name="test", optimisers=optimisers, **changes)

        @contextmanager
        def models() -> Iterator[Models]:
            self.opened += 1
            yield Models(Asked(self.model, "one"), None, 2, self.trainer)

        return DspyTuner(self.spec, self.judge, models, "one", self.folder).run(self.material, recipe, self.reporter)


@pytest.fixture
def run(tmp_path: Path) -> Together:
    return Together(tmp_path)


def test_what_the_best_prompt_answers_well_is_learnt_without_its_demonstrations(run):
    found = run("plain", "zero-shot", "labelled", "bootstrap-finetune", attempts=2)
    (examples,) = run.trainer.trained
    pool = {item.last_user: item.gold for item in run.material.pool}
    assert {e.messages[-2].content: e.messages[-1].content for e in examples} == pool
    assert len(examples) == len(pool), "the same conversation twice is learnt once"
    for example in examples:
        assert [m.role for m in example.messages] == ["system", "user", "assistant"], "no demonstrations"
        assert example.messages[0].content == run.spec.instructions
        assert example.metadata["source"] == "generated"
    row = next(row for row in found.table if row["optimiser"] == "bootstrap-finetune")
    assert (row["selection_score"], row["demonstrations"], row["weights"]) == (1, 0, True)
    assert row["candidate"] == f"bootstrap finetune, {len(pool)} replies learnt"
    assert found.metrics["kept"].startswith("labelled"), "of equals the one without weights of its own"
    assert not found.weights and run.trainer.pauses


def test_weights_that_are_better_are_kept_with_their_program(run):
    run.model.reply = at_temperature
    found = run("zero-shot", "bootstrap", "bootstrap-finetune", "iterative", threshold=0.9, demonstrations=1)
    assert found.weights.startswith("weights-") and found.metrics["kept"].startswith("bootstrap finetune")
    program = found.envelope.compiled("b", "i")
    asked = [m for m, _ in run.trainer.model.asked]
    assert [m.to_dict() for m in asked[0]] == [m.to_dict() for m in program.render([asked[0][-1]])], "served as it was scored"


def test_replies_below_the_threshold_are_not_learnt(run):
    def reply(messages: Asks, settings: GenerationSettings) -> str:
        number = number_of(messages[-1].content)
        return gold(number) if number % 2 else f"{gold(number).split()[0]} is all that there is to say about it here"

    run.model.reply = reply
    run("zero-shot", "bootstrap-finetune", attempts=1)
    (examples,) = run.trainer.trained
    numbers = {number_of(e.messages[-2].content) for e in examples}
    assert numbers and all(number % 2 for number in numbers)


def test_no_question_sees_its_own_answer_while_traces_are_gathered(run):
    run("labelled", "bootstrap-finetune", "better-together", demonstrations=14)
    assert any(shows(messages) for messages, _ in run.model.asked)
    for messages, _ in (*run.model.asked, *run.trainer.model.asked):
        assert [m.content for m in messages].count(messages[-1].content) == 1


def test_after_weights_the_prompt_is_searched_with_them_and_not_with_the_base(run):
    def reply(messages: Asks, settings: GenerationSettings) -> str:
        return f"{gold(number_of(messages[-1].content))} tuned"

    run.trainer.model.reply = reply
    found = run("labelled", "better-together", threshold=0.5, demonstrations=2)
    labels = [row["candidate"] for row in found.table if row["optimiser"] == "better-together"]
    assert sorted(labels, key=len) == ["together p", "together p -> w", "together p -> w -> p"]
    (examples,) = run.trainer.trained
    assert any(sum(m.role == "assistant" for m in e.messages) > 1 for e in examples), "trained as asked: with demonstrations"
    for example in examples:
        shown = [m.weight for m in example.messages if m.role == "assistant"]
        assert shown[:-1] == [0] * (len(shown) - 1) and shown[-1] is None, "demonstrations are not learnt again"
    own = [m for m, _ in run.trainer.model.asked if any(t.role == "assistant" and t.content.endswith("tuned") for t in m)]
    assert own, "the demonstrations of the last step are the tuned model's own"
    rows = {row["candidate"]: row for row in found.table if "weights" in row}
    assert [rows[label]["weights"] for label in sorted(labels, key=len)] == [False, True, True]


def test_another_strategy_is_kept_to(run):
    run.model.reply = learnt_by_heart
    found = run("better-together", strategy="w -> p -> w", threshold=0.5)
    assert sorted(row["candidate"] for row in found.table) == ["together w", "together w -> p", "together w -> p -> w"]
    assert len(run.trainer.trained) == 2
    with pytest.raises(ValueError, match="strategy"):
        DspyRecipe(name="x", strategy="p -> p")


@pytest.mark.parametrize("optimiser", ["bootstrap-finetune", "better-together"])
def test_nothing_good_is_nothing_to_train_on(run, optimiser):
    run.model.reply = lambda messages, settings: "no"
    found = run("plain", optimiser)
    assert not run.trainer.trained and found.metrics["kept"] == "plain"
    assert "reached the threshold" in next(row["not_tried"] for row in found.table if "not_tried" in row)
    with pytest.raises(DataError, match="reached the threshold") as told:
        run("bootstrap-finetune")
    assert told.value.code == "nothing-tried"


@pytest.mark.parametrize("optimiser", ["bootstrap-finetune", "better-together"])
@pytest.mark.parametrize("error", [JobCancelled(), ConfigError("NaN", code="loss-diverged")])
def test_what_ends_a_training_ends_the_run_and_not_only_the_optimiser(run, optimiser, error):
    run.trainer.error = error
    with pytest.raises(type(error)):
        run("plain", "labelled", optimiser)
    asked = len(run.model.asked)
    run.trainer.error = None
    found = run("plain", "labelled", optimiser)
    assert run.trainer.trained and found.metrics["requests_sent"] == len(run.model.asked) - asked + len(run.trainer.model.asked)


def test_a_request_that_fails_costs_that_reply_only(run):
    def breaks(messages: Asks, settings: GenerationSettings) -> str:
        if number_of(messages[-1].content) == 3:
            raise ProviderError("500")
        return learnt_by_heart(messages, settings)

    run.model.reply = breaks
    run("bootstrap-finetune", attempts=1)
    numbers = {number_of(e.messages[-2].content) for e in run.trainer.trained[0]}
    assert 3 not in numbers and len(numbers) == len(run.material.pool) - 1


@pytest.mark.parametrize("budget", [5, 9, 15, 25, 33])
@pytest.mark.parametrize("optimiser", ["bootstrap-finetune", "better-together"])
def test_the_budget_is_held_with_weights_too(tmp_path, optimiser, budget):
    run = Together(tmp_path)
    try:
        found = run("zero-shot", "labelled", optimiser, max_calls=budget)
        assert found.metrics["requests"] <= budget
    except DataError as error:
        assert error.code == "budget-too-small"
    assert len(run.model.asked) + len(run.trainer.model.asked) <= budget


def test_the_same_run_again_trains_nothing_and_asks_nothing(run):
    run.model.reply = at_temperature
    first = run("bootstrap", "bootstrap-finetune", demonstrations=1)
    assert first.weights
    run.model.asked.clear()
    again = run("bootstrap", "bootstrap-finetune", demonstrations=1)
    assert (len(run.trainer.trained), run.model.asked, run.opened) == (1, [], 1)
    assert (again.envelope, again.weights, again.table) == (first.envelope, first.weights, first.table)
    weights_folder(run.folder, first.weights).rmdir()
    assert run("bootstrap", "bootstrap-finetune", demonstrations=1).weights == first.weights
    assert len(run.trainer.trained) == 2 and run.opened == 2, "weights that are gone are made anew"


def test_too_few_examples_to_keep_some_apart_are_not_trained_on(tmp_path):
    from tests.tuning.test_dspy import ANSWER, EXAMPLES

    run = Together(tmp_path, ANSWER, EXAMPLES[:6])
    found = run("plain", "bootstrap-finetune")
    assert not run.trainer.trained and "weights learn from" in found.table[-1]["not_tried"]


def test_replies_of_several_fields_are_learnt_as_they_are_served(tmp_path):
    run = Together(tmp_path, FEEDBACK_LEARNER, FEEDBACK)

    def reply(messages: Asks, settings: GenerationSettings) -> str:
        number = number_of(messages[-1].content.split("Learner answer:")[1])
        if number % 3 == 0:
            return '{"feedback": "cut'  # DSPy alone would take this for a good reply, and learn it
        return json.dumps({"feedback": gold(number), "correct": True, "look_again": []})

    run.model.reply = reply
    run.trainer.model.reply = reply
    run("bootstrap-finetune", "better-together", attempts=1, strategy="w -> p", threshold=0.1)
    assert len(run.trainer.trained) == 2
    for examples in run.trainer.trained:
        assert examples
        for example in examples:
            said = json.loads(example.messages[-1].content)
            assert said.keys() == {"feedback", "correct", "look_again"}
            assert example.messages[-2].content.startswith("Question:\n")


def test_keys_of_the_search_are_refused_among_those_of_its_weights(tmp_path):
    keys = {"method": "dspy", "optimisers": ["bootstrap-finetune"]}
    (good,) = load_runs(material.write_recipe(tmp_path / "good.yaml", {**keys, "weights": {"epochs": 2, "lora": {"rank": 4}}}))
    assert (good.weights.epochs, good.weights.lora.rank, good.trains) == (2, 4, 1)
    assert DspyRecipe.model_validate(good.to_dict()) == good
    for wrong, said in (({"base": "other"}, "belongs beside"), ({"epoch": 2}, "epochs"), ({"epochs": 0}, "at least 1")):
        with pytest.raises(ConfigError, match=said) as told:
            load_runs(material.write_recipe(tmp_path / "bad.yaml", {**keys, "weights": wrong}))
        assert told.value.code == "recipe-invalid" and "weights" in told.value.message


def test_demonstrations_in_training_data_carry_no_weight():
    from homeroom.tuning.dspy.provider import conversations

    turns = [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    record = {"messages": [{"role": role, "content": text} for role, text in turns]}
    (example,) = conversations([record, record])
    assert [m.weight for m in example.messages] == [None, None, 0, None, None]
    assert [item.gold for item in example.items()] == ["d"]
    assert example.messages[-1] == Message("assistant", "d")
