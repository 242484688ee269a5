"""The tuner of the method ``dspy``, on a model that is scripted in this process and counts what it is asked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from homeroom.errors import AuthError, ConfigError, ConflictError, DataError, ProviderError, RateLimitError
from homeroom.models.prompt_program import ProgramChatModel, PromptProgram
from homeroom.schema.chat import Chunk, Completion, GenerationSettings, Usage
from homeroom.schema.examples import Example, Message
from homeroom.schema.jobs import JobCancelled, NullReporter
from homeroom.tuning.dspy.desk import Asked
from homeroom.tuning.dspy.envelope import Envelope
from homeroom.tuning.dspy.expected import expected_calls
from homeroom.tuning.dspy.recipe import DspyRecipe
from homeroom.tuning.dspy.shipped import ANSWER, FEEDBACK_LEARNER, LEARNER, SHIPPED
from homeroom.tuning.dspy.spec import HISTORY, SYSTEM, ProgramSpec
from homeroom.tuning.dspy.tuner import DspyTuner, Models, Outcome

pytest.importorskip("dspy")

Asks = list[Message]
Reply = Callable[[Asks, GenerationSettings], str]
WORDS = (
    *("amber", "birch", "cedar", "daisy", "ember", "fjord", "grove", "heath", "islet", "jetty"),
    *("knoll", "larch", "maple", "nymph", "olive", "pearl", "quill", "reeds", "slope", "thorn"),
)


def gold(number: int) -> str:
    """What the author answered to question ``number``: words that no other answer has."""
    return f"{WORDS[number]} {WORDS[number]}ish {WORDS[number]}like"


def example(number: int, *, system: str = "") -> Example:
    turns = (Message("user", f"Question {number}?"), Message("assistant", gold(number)))
    return Example((Message("system", system), *turns) if system else turns, {"topic": str(number)})


EXAMPLES = [example(number) for number in range(len(WORDS))]


def number_of(text: str) -> int:
    """Of a question."""
    return int("".join(c for c in text if c.isdigit()))


def shows(messages: Asks) -> bool:
    return any(m.role == "assistant" for m in messages)


def taught(messages: Asks, settings: GenerationSettings) -> str:
    """The author's answer to those who show an example, and nothing of it to the others."""
    return gold(number_of(messages[-1].content)) if shows(messages) else "I do not know."


class Scripted:
    """A chat model whose replies a function makes. Keeps what it was asked."""

    name = "scripted"

    def __init__(self, reply: Reply = taught) -> None:
        self.reply = reply
        self.asked: list[tuple[Asks, GenerationSettings]] = []
        self._lock = threading.Lock()

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        with self._lock:
            self.asked.append((list(messages), settings))
        return Completion(self.reply(list(messages), settings), self.name, usage=Usage(10, 2))

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Iterator[Chunk]:
        yield Chunk(self.complete(messages, settings).text, "stop")


class Run:
    """A tuner over a folder of its own, called again and again."""

    def __init__(self, folder: Path, spec: ProgramSpec = ANSWER, examples: Sequence[Example] = EXAMPLES) -> None:
        from homeroom.tuning.dspy.task import Material, ReferenceJudge, last_items

        self.model, self.writer, self.teacher, self.folder, self.spec = Scripted(), Scripted(), Scripted(), folder, spec
        self.others: dict[str, str] = {}
        self.measured = ""
        self.judge, self.opened, self.reporter = ReferenceJudge(), 0, NullReporter()
        if len(examples) < 10:
            pool = last_items(examples, 1000, 99, 0)
            self.material = Material(spec, pool, pool, leave_one_out=True)
        else:
            kept = [next(e.items()) for e in examples[-6:]]
            self.material = Material(spec, last_items(examples[:-6], 1000, 99, 0), kept)

    def __call__(self, *optimisers: str, **changes: Any) -> Outcome:
        recipe = DspyRecipe(name="test", optimisers=optimisers or DspyRecipe(name="x").optimisers, **changes)

        @contextmanager
        def models() -> Iterator[Models]:
            self.opened += 1
            writer = Asked(self.writer, "two", "writer") if "writer" in recipe.others else None
            teacher = Asked(self.teacher, "three", "teacher") if "teacher" in recipe.others else None
            yield Models(Asked(self.model, "one"), writer, 2, teacher=teacher)

        tuner = DspyTuner(self.spec, self.judge, models, "one", self.folder, others=self.others, measured=self.measured)
        return tuner.run(self.material, recipe, self.reporter)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_the_candidate_with_the_best_selection_score_is_kept(run):
    found = run()
    assert found.metrics["kept"].startswith("labelled"), "of equals the one that was tried with the shortest prompt"
    assert (found.metrics["selection_score_first"], found.metrics["selection_score"]) == (0, 1)
    plain = next(row for row in found.table if row["candidate"] == "plain")
    assert (plain["wins"], plain["ties"], plain["losses"]) == (0, 6, 0), "it is what the others are compared with"
    assert (found.table[0]["wins"], found.table[0]["losses"]) == (6, 0)
    assert found.metrics["requests"] == found.metrics["requests_sent"] == len(run.model.asked)


def test_prompts_that_do_not_help_are_not_kept(run):
    run.model.reply = lambda messages, settings: gold(number_of(messages[-1].content))
    assert run().metrics["kept"] == "plain"


def test_the_same_run_again_asks_nothing(run):
    first = run()
    assert run.model.asked and run.opened == 1
    run.model.asked.clear()
    again = run()
    assert (run.model.asked, run.opened) == ([], 1)
    assert again.envelope == first.envelope and again.table == first.table
    assert (again.metrics["requests"], again.metrics["requests_sent"]) == (first.metrics["requests"], 0)
    assert (again.metrics["seconds"], again.metrics["seconds_before"]) == (0.0, first.metrics["seconds"])
    run("plain", "labelled", demonstrations=2)
    assert 0 < len(run.model.asked) <= 6, "another recipe is another run; what was asked before is not asked again"


def test_with_another_version_of_the_measure_kept_replies_are_scored_anew(run):
    run("plain")
    asked = len(run.model.asked)
    run.measured = "changed"
    run.judge.scores = lambda items, replies: [0.5] * len(items)
    again = run("plain")
    assert (again.metrics["selection_score"], run.opened, len(run.model.asked)) == (0.5, 2, asked)


@pytest.mark.parametrize(("optimiser", "package"), [("gepa", "gepa"), ("mipro", "optuna")])
def test_another_version_of_what_writes_instructions_is_another_search(run, monkeypatch, optimiser, package):
    from homeroom.tuning.dspy import tuner

    run.writer.reply = writes
    keys = {"prompt_model": "school/wise", "candidates": 2, "demonstrations": 1, "max_calls": 40}
    run("plain", optimiser, **keys)
    run("plain")
    monkeypatch.setattr(tuner, "version", lambda name: "99" if name == package else version(name))
    run("plain", optimiser, **keys)
    assert run.opened == 3
    run("plain")
    assert run.opened == 3, "nobody else is concerned"


def test_another_model_or_signature_is_another_run(run, tmp_path):
    run("plain")
    other = Run(tmp_path, replace(ANSWER, instructions="Be brief."))
    other("plain", "zero-shot")
    assert len(other.model.asked) == 6, "the plain prompt's replies are known, those of new instructions are not"


@pytest.mark.parametrize("budget", [6, 13, 20, 47])
def test_the_budget_is_held(tmp_path, budget):
    run = Run(tmp_path)
    run.model.reply = lambda messages, settings: "no"
    found = run(max_calls=budget)
    assert len(run.model.asked) == found.metrics["requests"] <= budget
    scored = [row for row in found.table if "selection_score" in row]
    assert all(row["wins"] + row["ties"] + row["losses"] == 6 for row in scored), "nothing half scored is compared"
    assert [row["not_tried"] for row in found.table if "not_tried" in row][:1] == [f"the budget of {budget} calls is used up"]


def test_a_budget_that_scores_nothing_is_refused(run):
    with pytest.raises(DataError) as told:
        run(max_calls=5)
    assert told.value.code == "budget-too-small" and len(run.model.asked) == 5


def test_a_stopped_run_goes_on_where_it_stopped(run):
    class Impatient(NullReporter):
        def should_stop(self) -> bool:
            return len(run.model.asked) >= 17

    run.reporter = Impatient()
    with pytest.raises(JobCancelled):
        run()
    stopped = len(run.model.asked)
    assert 17 <= stopped <= 19
    run.reporter = NullReporter()
    found = run()
    questions = [json.dumps([m.to_dict() for m in asked] + [str(settings)]) for asked, settings in run.model.asked]
    assert len(questions) == len(set(questions)), "an answered question was asked, and paid, twice"
    assert found.metrics["requests"] == len(questions) and found.metrics["requests_sent"] == len(questions) - stopped


def test_no_question_sees_its_own_answer_in_bootstrapping(run):
    def learns(messages: Asks, settings: GenerationSettings) -> str:
        """Better with what others wrote than with nothing, and better still with what it wrote itself."""
        text, shown = gold(number_of(messages[-1].content)), " ".join(m.content for m in messages[:-1])
        if settings.temperature:
            return f"{text} again"
        return f"{text} x" if "again" in shown else text.split()[0] if shows(messages) else "no"

    run.model.reply = learns
    found = run("zero-shot", "labelled", "iterative", rounds=3, attempts=2, patience=3, threshold=0.5)
    assert found.metrics["kept"] == "iterative round 1, 3 its own"
    warm = [messages for messages, settings in run.model.asked if settings.temperature > 0]
    own = [messages for messages in warm if any("again" in m.content for m in messages)]
    assert own and len(own) < len(warm), "first the author's replies were shown, then its own"
    assert {sum(m.role == "assistant" for m in messages) for messages in own} == {2, 3}
    for messages, _ in run.model.asked:
        assert [m.content for m in messages].count(messages[-1].content) == 1
    seeds = {settings.seed for _, settings in run.model.asked if settings.temperature > 0}
    assert seeds == {20, 21, 22, 23}, "each attempt is another reply, also in a round with the same teacher"


def test_a_round_takes_over_only_when_it_is_strictly_better(run):
    run.model.reply = lambda messages, settings: gold(number_of(messages[-1].content)) if settings.temperature else "no"
    found = run("zero-shot", "iterative", rounds=5, patience=2)
    rounds = [row for row in found.table if row["optimiser"] == "iterative"]
    assert len(rounds) == 2, "two rounds without a gain end it"
    assert found.metrics["kept"] == "zero-shot"


@pytest.mark.parametrize("listed", ["zero-shot", "labelled", ""])
def test_rounds_begin_with_the_better_of_zero_shot_and_labelled_whichever_is_listed(run, listed):
    found = run(*filter(None, [listed]), "iterative", rounds=1)
    warm = [messages for messages, settings in run.model.asked if settings.temperature > 0 and shows(messages)]
    assert warm, "the examples that help were shown to the teacher of the first round"
    recipe = DspyRecipe(name="x", optimisers=(*filter(None, [listed]), "iterative"), rounds=1)
    expected = expected_calls(recipe, len(run.material.pool), len(run.material.items))["task"]
    assert round(expected.low) <= found.metrics["requests"] <= expected.most


def test_replies_below_the_threshold_are_not_shown(run):
    # Shares one word with the authored reply: a score above 0, which DSPy would take for true.
    run.model.reply = lambda messages, settings: f"{WORDS[number_of(messages[-1].content)]} is all that there is to say here"
    found = run("bootstrap", threshold=0.9)
    assert "0 of 3 its own" in found.metrics["kept"]
    assert {d[-1].content for d in found.envelope.compiled("b", "i").demonstrations} <= {gold(n) for n in range(len(WORDS))}


def test_few_examples_are_chosen_by_without_themselves(tmp_path):
    run = Run(tmp_path, examples=EXAMPLES[:6])
    found = run("plain", "labelled", demonstrations=6)
    assert len(found.envelope.compiled("b", "i").demonstrations) == 6
    for messages, _ in run.model.asked:
        assert [m.content for m in messages].count(messages[-1].content) == 1, "it was shown its own answer"
    assert {sum(m.role == "assistant" for m in messages) for messages, _ in run.model.asked} == {0, 5}


def test_a_model_that_refuses_the_key_ends_the_run_at_once(run):
    def refuse(messages: Asks, settings: GenerationSettings) -> str:
        raise AuthError("no such key")

    run.model.reply = refuse
    with pytest.raises(AuthError):
        run()
    assert len(run.model.asked) <= 2, "one for each thread"


@pytest.mark.parametrize("error", [RateLimitError("slow down"), ProviderError("500"), ProviderError("cut", code="provider-cut")])
def test_a_model_that_keeps_failing_ends_the_run_and_what_it_answered_is_kept(run, error):
    def breaks(messages: Asks, settings: GenerationSettings) -> str:
        if len(run.model.asked) > 8:
            raise error
        return taught(messages, settings)

    run.model.reply = breaks
    with pytest.raises(ProviderError, match=str(error)):
        run()
    assert len(run.model.asked) <= 8 + 6 + 2
    run.model.reply = taught
    before = len(run.model.asked)
    found = run()
    assert found.metrics["requests_sent"] == len(run.model.asked) - before == found.metrics["requests"] - 8


def test_a_few_failures_cost_the_candidate_those_replies_only(run):
    def breaks(messages: Asks, settings: GenerationSettings) -> str:
        if shows(messages) and number_of(messages[-1].content) == 15:
            raise ProviderError("500")
        return taught(messages, settings)

    run.model.reply = breaks
    found = run("plain", "labelled")
    assert found.metrics["selection_score"] == pytest.approx(5 / 6, abs=0.001)
    assert found.metrics["requests_failed"] == 1


FEEDBACK = [
    Example(
        (
            Message("user", f"Question {n}: I say {WORDS[n]}."),
            Message("assistant", json.dumps({"feedback": gold(n), "correct": n % 2 == 0, "look_again": [WORDS[n]]})),
        ),
        {"topic": str(n)},
        extra={"fields": {"input": {"question": f"What is {n}?"}}},
    )
    for n in range(len(WORDS))
]


def test_a_reply_of_several_fields_is_asked_for_by_schema_and_served_as_its_main_field(tmp_path):
    run = Run(tmp_path, FEEDBACK_LEARNER, FEEDBACK)

    def reply(messages: Asks, settings: GenerationSettings) -> str:
        assert settings.json_schema is not None
        assert settings.json_schema["required"] == ["feedback", "correct", "look_again"]
        fields = {"feedback": "hm", "correct": True, "look_again": []}
        number = number_of(messages[-1].content.split("Learner answer:")[1])
        return json.dumps({**fields, "feedback": gold(number)} if shows(messages) else fields)

    run.model.reply = reply
    found = run("plain", "labelled")
    program = found.envelope.compiled("b", "i")
    assert found.metrics["kept"].startswith("labelled")
    assert json.loads(program.demonstrations[0][-1].content).keys() == {"feedback", "correct", "look_again"}
    served = ProgramChatModel("ft:x", run.model, PromptProgram.from_dict(json.loads(json.dumps(program.to_dict()))))
    asked = json.dumps({"learner_answer": "Question 3: I say fjord.", "question": "What is 3?"})
    said = served.complete([Message("user", asked)], GenerationSettings())
    assert (said.text, said.model) == (gold(3), "ft:x")
    assert said.fields == {"feedback": gold(3), "correct": True, "look_again": []}
    assert run.model.asked[-1][0][-1].content == "Question:\nWhat is 3?\n\nLearner answer:\nQuestion 3: I say fjord."
    alone = served.complete([Message("user", "Question 3: I say fjord.")], GenerationSettings())
    assert run.model.asked[-1][0][-1].content == "Learner answer:\nQuestion 3: I say fjord." and alone.text == gold(3)
    assert "".join(chunk.text for chunk in served.stream([Message("user", asked)], GenerationSettings())) == gold(3)


def test_a_reply_without_a_field_counts_as_none_and_is_an_error_when_served(tmp_path):
    run = Run(tmp_path, FEEDBACK_LEARNER, FEEDBACK)
    run.model.reply = lambda messages, settings: '{"feedback": "good"}'
    assert run("plain").metrics["selection_score"] == 0
    served = ProgramChatModel("ft:x", run.model, FEEDBACK_LEARNER.program("", []))
    with pytest.raises(ProviderError) as told:
        served.complete([Message("user", "?")], GenerationSettings())
    assert told.value.code == "reply-fields" and "'correct', 'look_again'" in told.value.message


@pytest.mark.parametrize("spec", SHIPPED, ids=lambda spec: spec.name)
def test_what_is_served_renders_as_dspy_does(spec, tmp_path):
    """DSPy itself runs the program; the model must have been sent what the compiled one sends."""
    import dspy

    from homeroom.tuning.dspy.desk import CallDesk
    from homeroom.tuning.dspy.library import DeskEngine, SpecAdapter, language_model, program_of

    texts = {"string": "words", "boolean": True, "array": ["one", "two"]}
    outputs = {field.name: texts[str(field.kind["type"])] for field in spec.outputs}
    model = Scripted(lambda messages, settings: json.dumps(outputs) if spec.fields else "words")
    turns = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello, you."}]

    def values(mark: str, *, whole: bool = True) -> dict[str, Any]:
        inputs = {field.name: f"{field.name} {mark}" for field in spec.inputs[: None if whole else 1]}
        blank = {field.name: "" for field in spec.inputs}
        if "context" in inputs:
            inputs["context"] = [f"passage {mark}", "another"]  # type: ignore[assignment]
        return {SYSTEM: f"Said of {mark}.", HISTORY: turns, **blank, **inputs}

    demos = [
        dspy.Example(**values("a"), **outputs),
        dspy.Example(**{**values("b", whole=False), SYSTEM: "", HISTORY: []}, **outputs),
    ]
    program = program_of(spec, "New instructions.", demos)
    engine = DeskEngine(CallDesk(tmp_path, 9), Asked(model, "one"), GenerationSettings())
    with dspy.context(lm=language_model(engine, "x"), adapter=SpecAdapter(spec)):
        program(**values("c"))
    compiled = Envelope.of(spec, [program], {}).compiled("b", "i")
    message = spec.asked(values("c"))[-1].content
    if len(spec.inputs) > 1:  # as a client writes it
        message = json.dumps({field.name: values("c")[field.name] for field in spec.inputs})
    conversation = [Message("system", "Said of c."), *(Message(t["role"], t["content"]) for t in turns), Message("user", message)]
    assert compiled.render(conversation) == model.asked[0][0]
    assert "New instructions." in model.asked[0][0][0].content
    assert ("Examples of how other students" in model.asked[0][0][0].content) == (spec is LEARNER)


def test_an_ensemble_is_served_without_dspy(run):
    def reply(messages: Asks, settings: GenerationSettings) -> str:
        number = number_of(messages[-1].content)
        return {0: "odd one out", 3: gold(number)}.get(sum(m.role == "assistant" for m in messages), f"{gold(number)} perhaps")

    run.model.reply = reply
    found = run("zero-shot", "labelled", "random-search", "ensemble", candidates=3, max_calls=500)
    row = next(row for row in found.table if row["optimiser"] == "ensemble")
    assert row["requests"] == 0, "its members had answered already"
    members = tuple(ANSWER.program(text, []) for text in ("one", "two", "three"))
    answers = {"one": "half of fourteen", "two": "think of half of fourteen", "three": "no idea"}
    model = Scripted(lambda messages, settings: answers[messages[0].content])
    program = PromptProgram.from_dict(json.loads(json.dumps(PromptProgram(members=members).to_dict())))
    said = ProgramChatModel("ft:x", model, program).complete([Message("user", "?")], GenerationSettings())
    assert said.text in ("half of fourteen", "think of half of fourteen") and said.usage == Usage(30, 6)


def test_what_finds_nothing_to_work_on_says_so(run):
    run.model.reply = lambda messages, settings: "no"
    with pytest.raises(DataError) as told:
        run("iterative", "ensemble", attempts=2)
    assert told.value.code == "nothing-tried"
    number = len(run.material.pool)
    assert f"iterative: of {2 * number} replies to {number} questions not one reached the threshold 0.9" in told.value.message
    assert "ensemble: an ensemble is made of two prompts at least, and 0 could be scored" in told.value.message
    rows = {row["optimiser"]: row for row in run("ensemble", "iterative", "zero-shot", "labelled").table}
    assert "not_tried" in rows["iterative"] and "selection_score" in rows["ensemble"], "of what is tried after it in the list"


def test_an_optimised_program_is_json_that_loads_into_its_own_signature_only(run, tmp_path):
    found = run("labelled").envelope
    found.save(tmp_path / "program.json")
    read = Envelope.load(tmp_path / "program.json", ANSWER)
    assert read == found
    (program,) = read.programs()
    assert [dict(demo) for demo in program.demos] == [dict(demo) for demo in found.members[0]["demos"]]
    other = replace(ANSWER, outputs=FEEDBACK_LEARNER.outputs)
    with pytest.raises(ConflictError) as told:
        Envelope.load(tmp_path / "program.json", other)
    assert told.value.code == "program-signature"


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.update(format=9),
        lambda record: record.update(kind="other"),
        lambda record: record.update(members=[]),
        lambda record: record["members"][0].update(lm={"model": "x", "engine": {"class": "os:system"}}),
        lambda record: record["members"][0].update(demos=["text"]),
        lambda record: record["members"][0]["signature"].update(fields=[]),
        lambda record: record["spec"].update(name="changed"),
        lambda record: record.pop("spec"),
    ],
)
def test_a_damaged_program_is_refused(run, tmp_path, damage):
    record = run("labelled").envelope.to_dict()
    record = json.loads(json.dumps(record))
    damage(record)
    (tmp_path / "program.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError) as told:
        Envelope.load(tmp_path / "program.json")
    assert told.value.code in ("program-file", "program-spec")


def test_a_file_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "program.json").write_bytes(b"\x80\x04}.")
    with pytest.raises(ConfigError) as told:
        Envelope.load(tmp_path / "program.json")
    assert told.value.code == "program-file"


def writes(messages: Asks, settings: GenerationSettings) -> str:
    """A strong model, asked for new instructions in whatever form DSPy's optimisers want them."""
    asked = messages[0].content.split("Your output fields are:")[-1]
    wanted = re.findall(r"\d+\. `(\w+)`", asked)
    if "JSON" in messages[-1].content:
        return json.dumps(dict.fromkeys(wanted, "Say it like the author: MAGIC."))
    return "\n\n".join(f"[[ ## {name} ## ]]\nSay it like the author: MAGIC." for name in wanted) + "\n\n[[ ## completed ## ]]"


@pytest.mark.parametrize("optimiser", ["gepa", "mipro"])
def test_a_strong_model_writes_new_instructions(run, optimiser):
    run.writer.reply = writes
    run.model.reply = lambda messages, settings: gold(number_of(messages[-1].content)) if "MAGIC" in messages[0].content else "no"
    found = run("zero-shot", optimiser, prompt_model="school/wise", candidates=2, demonstrations=1, max_calls=400)
    assert run.writer.asked, "the strong model was asked"
    assert "MAGIC" in found.envelope.compiled("b", "i").instructions and "new instructions" in found.metrics["kept"]
    assert (found.metrics["selection_score"], found.metrics["selection_score_first"]) == (1, 0)
    assert len(run.model.asked) + len(run.writer.asked) == found.metrics["requests"] <= 400


@pytest.mark.parametrize("bad", [1, 1_000_000], ids=["once", "always"])
def test_a_strong_model_that_does_not_answer_in_form_costs_its_optimiser_at_most(run, bad):
    def stumbles(messages: Asks, settings: GenerationSettings) -> str:
        return "Sure, here you are!" if len(run.writer.asked) <= bad else writes(messages, settings)

    run.writer.reply = stumbles
    found = run("mipro", "zero-shot", "labelled", prompt_model="school/wise", candidates=2, demonstrations=1, max_calls=400)
    rows = {row["optimiser"]: row for row in found.table}
    assert "selection_score" in rows["zero-shot"] and "selection_score" in rows["labelled"]
    if bad == 1:
        assert "selection_score" in rows["mipro"], "it was asked once more"
        return
    assert rows["mipro"]["not_tried"] == "it could not read a reply, asked for twice: 'Sure, here you are!'"
    asked = len(run.writer.asked)
    run("mipro", "plain", prompt_model="school/wise", candidates=2, demonstrations=1, max_calls=400)
    assert len(run.writer.asked) == asked, "what is known to fail is not paid again"


def test_what_ends_a_run_is_not_taken_for_an_optimiser_s_fault(run):
    class Lost(NullReporter):
        def progress(self, share: float, text: str = "") -> None:
            if run.writer.asked:
                raise ConflictError("another worker has the job", code="lease-lost")

    run.writer.reply, run.reporter = writes, Lost()
    with pytest.raises(ConflictError, match="another worker"):
        run("zero-shot", "mipro", prompt_model="school/wise", candidates=2, demonstrations=1, max_calls=400)


@pytest.mark.parametrize("optimiser", ["gepa", "mipro"])
def test_instructions_that_stayed_as_they_were_are_not_called_new(run, optimiser):
    run.writer.reply = writes
    run.model.reply = lambda messages, settings: "no" if "MAGIC" in messages[0].content else gold(number_of(messages[-1].content))
    found = run("zero-shot", optimiser, prompt_model="school/wise", candidates=2, demonstrations=1, max_calls=400)
    (row,) = [row for row in found.table if row["optimiser"] == optimiser]
    assert row["candidate"].startswith(f"{optimiser}, no better instructions found")


def test_without_a_strong_model_instructions_are_left_alone(run):
    found = run("plain", "gepa")
    assert "prompt_model" in found.table[-1]["not_tried"] and not run.writer.asked


def test_the_budget_ends_a_search_for_instructions(run):
    run.writer.reply = writes
    found = run("zero-shot", "gepa", prompt_model="school/wise", max_calls=12)
    assert len(run.model.asked) + len(run.writer.asked) <= 12
    assert found.metrics["kept"] == "zero-shot" and "used up" in found.table[-1]["not_tried"]


def test_serving_needs_no_dspy(tmp_path):
    """In a process where DSPy is not installed a program is read and rendered, and tuning says what to install."""
    ANSWER.program("Guide.", [{SYSTEM: "", HISTORY: [], "question": "a", "answer": "b"}], "x", "y").save(tmp_path)
    script = f"""
import sys
sys.modules["dspy"] = None
from pathlib import Path
import homeroom.app.directory, homeroom.app.tuning, homeroom.app.tune_job, homeroom.cli.tune
from homeroom.errors import MissingExtraError
from homeroom.models.prompt_program import PromptProgram
from homeroom.schema.examples import Message
from homeroom.tuning.dspy.own import program_named
from homeroom.tuning.dspy.packages import require_dspy
rendered = PromptProgram.load(Path({str(tmp_path)!r})).render([Message("user", "c")])
assert [m.content for m in rendered] == ["Guide.", "a", "b", "c"], rendered
assert program_named("answer").name == "answer"
try:
    require_dspy()
except MissingExtraError as error:
    assert error.extra == "dspy", error
else:
    raise AssertionError("nothing was said")
assert not [name for name in sys.modules if name.split(".")[0] in ("litellm", "torch")], "heavy packages were imported"
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
