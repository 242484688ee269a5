"""Programs of several fields as a user walks them: bundled examples, a recipe, a tuned prompt, its use, and what it is worth unseen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import homeroom as package
from homeroom.app.field_programs import program_of
from homeroom.app.home import Homeroom
from homeroom.app.talk import running_directory
from homeroom.chat.directory import default_card
from homeroom.data.bundled import PROGRAM_DATA, load_bundled
from homeroom.errors import ConfigError, NotFoundError
from homeroom.evaluation.field_checks import MAIN
from homeroom.models.prompt_program import PromptProgram
from homeroom.schema.examples import Example
from homeroom.tuning.dspy.shipped import shipped
from tests.doubles.openai_server import KEY, OpenAIDouble
from tests.doubles.school import name_school

pytest.importorskip("dspy")

Json = dict[str, Any]
RECIPE = Path(__file__).parents[2] / "recipes" / "feedback.yaml"
WRITTEN: dict[str, Json] = {
    str(example.messages[0].content): {shipped(program).reply: example.messages[1].content, **example.extra["fields"]["output"]}
    for program in MAIN
    for example in load_bundled(PROGRAM_DATA[program])
}
LAZY: dict[str, Json] = {
    "feedback": {
        "feedback": "Good job!",
        "strength": "It was good.",
        "next_step": "Do it again.",
        "correct": True,
        "look_again": [],
    },
    "situation": {"situation": "A class.", "task": "A task?", "mistake": "Some mistake.", "student_says": "I think so."},
}


def written_for(text: str) -> Json:
    """The authored reply to the input that stands in a message."""
    return next(said for asked, said in WRITTEN.items() if text.rstrip().endswith(asked))


def taught(body: Json) -> str:
    """The authored fields to those who show an example; the same empty praise for all otherwise."""
    messages = body["messages"]
    schema = body["response_format"]["json_schema"]["schema"] if body.get("response_format") else {"required": ["feedback"]}
    said = (
        written_for(messages[-1]["content"]) if any(m["role"] == "assistant" for m in messages) else LAZY[schema["required"][0]]
    )
    return json.dumps({name: said[name] for name in schema["required"]})


@pytest.fixture
def school(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIDouble]:
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    with OpenAIDouble() as made:
        made.reply = taught
        name_school(home, made.address, "large")
        yield made


def run_of(program: str) -> tuple[str, ...]:
    return ("--recipe", str(RECIPE), "--program", program, "--dataset", PROGRAM_DATA[program], "--base", "school/large")


def tuned(homeroom: Any, program: str) -> str:
    """The name of a model whose prompt was tuned for a program on its bundled examples."""
    assert homeroom("data", "split", PROGRAM_DATA[program]).code == 0
    told = homeroom("tune", "run", *run_of(program), "--json")
    assert told.code == 0, told.err
    with Homeroom.open() as home:
        return home.registry.list()[0].name


@pytest.mark.parametrize("program", sorted(MAIN))
def test_from_bundled_examples_to_a_tuned_program_in_use(school, homeroom, program):
    told = homeroom("tune", "plan", *run_of(program))
    assert told.code != 0 and f"homeroom data split {PROGRAM_DATA[program]}" in told.err, "it says where the examples come from"
    name = tuned(homeroom, program)
    with Homeroom.open() as home:
        model, folder = home.registry.get(name), home.artifacts.path(home.registry.get(name).artifact)
        card = home.datasets.card(model.dataset)
    assert (model.recipe["program"], model.metrics["metric"]) == (program, "field-checks")
    assert "No teacher has reviewed them yet." in card and "Reviewed by a named person: 0" in card
    assert model.metrics["selection_score_first"] < 0.2 < 0.9 < model.metrics["selection_score"]
    assert PromptProgram.load(folder).demonstrations, "showing was what helped"
    assert len(school.charged) <= 120
    assert homeroom("models", "list", "--json").code == 0 and model.task == "program"
    with Homeroom.open() as home, closing(running_directory(home)) as directory:
        assert name not in {default_card(directory, task).name for task in ("tutor", "learner")}, "nobody is taught by it unasked"

    unseen = next(e for e in homeroom_test_split(model.dataset))
    inputs = {**unseen.extra["fields"]["input"], MAIN[program]: unseen.messages[0].content}
    pairs = [f"{key}={value}" for key, value in inputs.items()]
    said = homeroom("tune", "ask", name, *pairs, "--json").json
    assert said == {"model": name, "fields": WRITTEN[unseen.messages[0].content]}
    sent = school.charged[-1]["messages"]
    shown = homeroom("tune", "show-prompt", name, "--question", json.dumps(inputs), "--json").json
    assert sent == shown["messages"], "it is asked with its tuned prompt, once"
    again = homeroom("tune", "run", *run_of(program)).out
    assert f"homeroom tune score {name}" in again and "eval run\n" not in again and "unsolved" not in again, "what fits a program"
    text = homeroom("tune", "ask", model.id8, *pairs).out
    for key, value in said["fields"].items():
        assert f"{key.replace('_', ' ')}: " in text and str(value if isinstance(value, str) else "") in text

    told = homeroom("tune", "score", name, "--json")
    assert told.code == 0, told.err
    found = told.json
    plain = homeroom("tune", "score", "school/large", "--program", program, "--json").json
    assert (found["program"], found["dataset"]) == (program, f"{PROGRAM_DATA[program]}@1")
    assert len(found["scores"]) == len(homeroom_test_split(model.dataset)) and found["authored"] >= 0.95
    assert plain["score"] < 0.2 < 0.9 < found["score"] and plain["failed"] and "first look" in found["look"]
    assert "Look number 2" in plain["look"], "each model that is scored is a look"
    asked = len(school.charged)
    assert homeroom("tune", "score", name, "--json").json == found, "the same again is no further look"
    assert len(school.charged) == asked, "and nobody is asked"
    longer = homeroom("tune", "score", name, "--max-tokens", "700", "--json").json
    assert "Look number 3" in longer["look"] and len(school.charged) > asked, "other replies are a further look"


def test_good_fields_become_examples_for_the_next_round(school, homeroom):
    program = "feedback_teacher"
    name = tuned(homeroom, program)
    with Homeroom.open() as home:
        train = home.datasets.get(PROGRAM_DATA[program]).part("train")
    asked = [example.messages[0].content for example in train]
    before = len(school.charged)

    def better(body: Json) -> str:
        """As the author, with a word more; one is broken, one empty praise, one the author's own."""
        texts = [message["content"] for message in body["messages"]]
        main = json.loads(json.dumps(next(text for text in asked if text in texts[-1])))
        assert sum(main in text for text in texts) == 1, "no question is shown its own answer"
        said = dict(WRITTEN[main])
        if main == asked[0]:
            return "{"
        if main == asked[1]:
            return json.dumps(LAZY["feedback"] | {"feedback": "Good job, well done!"})
        return json.dumps(said if main == asked[2] else said | {"feedback": said["feedback"] + " Try it tomorrow."})

    school.reply = better
    found = homeroom("tune", "traces", name, "--dataset", PROGRAM_DATA[program], "--out", "more.jsonl", "--json")
    assert found.code == 0, found.err
    kept, failed = found.json["kept"], found.json["failed"]
    assert (found.json["asked"], found.json["unanswered"], found.json["authored"]) == (len(train), 1, 1)
    assert len(school.charged) - before >= len(train) and failed and 0 < kept <= len(train) - 3
    written = [Example.from_dict(json.loads(line)) for line in Path("more.jsonl").read_text().splitlines()]
    assert len(written) == kept
    for example in written:
        main, said = example.messages[0].content, example.extra["fields"]["output"]
        assert example.messages[1].content == WRITTEN[main]["feedback"] + " Try it tomorrow."
        assert said == {key: WRITTEN[main][key] for key in ("strength", "next_step")}
        assert example.metadata["source"] == "generated" and example.metadata["author"] == name
    assert homeroom("data", "split", "more.jsonl").code == 0
    with Homeroom.open() as home:
        assert program_of(home.datasets.get("more")) == program, "they are examples for the same program"


def test_what_judges_words_refuses_examples_of_fields_and_names_what_judges_those(school, homeroom):
    data = PROGRAM_DATA["feedback_learner"]
    assert homeroom("data", "split", data).code == 0
    for command in (("compare",), ("recommend", "--probe")):
        told = homeroom("tune", *command, "--dataset", data, "--yes")
        assert told.code == 2 and "#program-data" in told.error and "homeroom tune score MODEL" in told.error
    assert school.charged == []
    told = homeroom("tune", "recommend", "--dataset", data, "--json").json
    assert all("--program feedback_learner" in line for line in told["commands"]["dspy"])
    assert told["measure"] == [
        f"homeroom tune score BASE --dataset {data}@1 --program feedback_learner",
        f"homeroom tune score MODEL --dataset {data}@1",
    ]
    assert any("weights learn 'feedback' alone" in note for note in told["notes"])


def homeroom_test_split(dataset: str) -> list[Any]:
    with Homeroom.open() as home:
        return home.datasets.get(dataset).part("test")


def test_what_is_no_input_or_another_program_is_one_line(school, homeroom):
    name = tuned(homeroom, "feedback_teacher")
    asked = len(school.charged)
    assert "#unsolved-program" in homeroom("tune", "unsolved", name, "--out", "u.jsonl").error
    assert "#eval-program" in homeroom("eval", "run", "--model", name).error
    assert homeroom("data", "split", "homeroom-scenarios").code == 0
    told = homeroom("tune", "traces", name, "--dataset", "homeroom-scenarios", "--out", "t.jsonl")
    assert "#traces-fields" in told.error and "--dataset homeroom-feedback-teacher" in told.error
    told = homeroom("tune", "traces", "school/large", "--dataset", "homeroom-scenarios", "--out", "t.jsonl")
    assert "#program-data" in told.error and not Path("t.jsonl").exists()
    assert "#program-inputs" in homeroom("tune", "ask", name, "teacher_reply").error
    assert "#program-inputs" in homeroom("tune", "ask", name, "teacher=Hm?").error
    assert "#program-other" in homeroom("tune", "ask", name, "topic=sums", "--program", "scenario").error
    assert "#unknown-program" in homeroom("tune", "ask", "school/large", "topic=sums").error
    assert "#program-unchecked" in homeroom("tune", "score", "school/large", "--program", "answer").error
    assert (
        "'school/large' has no program of its own. Name one: --program scenario"
        in homeroom("tune", "score", "school/large").error
    )
    assert "#model-not-found" in homeroom("tune", "score", "nope").error
    assert "#dataset-not-found" in homeroom("tune", "score", "school/large", "--program", "feedback_learner").error
    assert len(school.charged) == asked


def test_a_reply_that_cannot_be_read_is_worth_nothing_and_counted(school, homeroom):
    assert homeroom("data", "split", "homeroom-scenarios").code == 0
    school.reply = lambda body: "Once upon a time"
    found = homeroom("tune", "score", "school/large", "--program", "scenario", "--json").json
    assert found["score"] == 0 and found["unread"] == len(found["scores"]) > 0
    text = homeroom("tune", "score", "school/large", "--program", "scenario").out
    assert "0.00 of 1 on" in text and "every field, each in words of its own" in text


def test_in_python_a_tuned_program_is_asked_with_its_prompt_and_a_base_without(school, homeroom):
    name = tuned(homeroom, "feedback_learner")
    example = load_bundled("homeroom-feedback-learner")[3]
    inputs = {**example.extra["fields"]["input"], "learner_answer": example.messages[0].content}
    with package.open() as home:
        with package.program(home, "feedback_learner", model=name) as coach:
            assert coach.ask(**inputs) == WRITTEN[example.messages[0].content] and coach.name == name
        with package.program(home, "feedback_learner", model="school/large") as coach:
            assert coach.ask(**inputs)["feedback"] == "Good job!"
        with package.program(home, "", model=name) as coach:
            assert coach.ask(**inputs)["look_again"] == example.extra["fields"]["output"]["look_again"]
        with pytest.raises(ConfigError) as told, package.program(home, "scenario", model=name):
            pass
        assert told.value.code == "program-other"
        with pytest.raises(NotFoundError), package.program(home, ""):
            pass
        scored = package.score_program(home, name)
        assert scored.model == name and scored.score > 0.9


def test_bundled_examples_are_shown_counted_and_stored_by_name(homeroom):
    for name in PROGRAM_DATA.values():
        assert homeroom("data", "stats", name).code == 0
        assert "#dataset-not-found" in homeroom("data", "show", f"{name}@7").error
    hint = "homeroom tune run --recipe recipes/feedback.yaml --program scenario --dataset homeroom-scenarios@1"
    assert hint in homeroom("data", "split", "homeroom-scenarios").out
    again = homeroom("data", "split", "homeroom-scenarios", "--json").json
    assert (again["name"], again["version"]) == ("homeroom-scenarios", 1), "once there is a dataset of that name, it is meant"


def test_one_topic_for_two_grades_is_two_examples_to_show():
    from homeroom.tuning.dspy.task import last_items

    (example, *_) = load_bundled("homeroom-scenarios")
    fields = example.extra["fields"]
    older = replace(example, extra={"fields": {**fields, "input": {**fields["input"], "grade": 5}}})
    assert len(last_items([example, older, older], 5_000, 9, 0)) == 2
