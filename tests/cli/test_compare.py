"""``homeroom tune compare`` and ``recommend --probe``: on an endpoint that answers as it is told, and on the tiny model."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from homeroom.app.evaluation import held_out_items
from homeroom.app.home import Homeroom
from homeroom.data.course import load_course
from homeroom.schema.models import TunedModel
from tests.app import material
from tests.cli.commands import eventually
from tests.doubles.openai_server import KEY, OpenAIDouble
from tests.doubles.school import name_school

pytestmark = pytest.mark.slow  # many processes, or much arithmetic

Json = dict[str, Any]
COMPARE = (
    "tune",
    "compare",
    "--yes",
    "--dataset",
    "homeroom-course",
    "--task",
    "tutor",
    "--base",
    "school/large",
    "--items",
    "40",
)


def authored() -> dict[str, str]:
    """The last words of a prompt to the reply that its author wrote; where two prompts end alike, to one of them."""
    return {item.last_user: item.gold for example in load_course() for item in example.items()}


@pytest.fixture
def school(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIDouble]:
    """An endpoint with a base that loops, and four tuned models: one that teaches, and three that do not."""
    gold = authored()
    number = iter(range(10_000))
    replies: dict[str, Callable[[str], str]] = {
        "large": lambda asked: f"To solve this problem, we need to calculate. The answer is {97 + next(number)}. " * 4,
        "good": lambda asked: gold.get(asked, "What did you do first?"),
        "praise": lambda asked: "Great job! What do you think?",
        "echo": lambda asked: asked,
        "silent": lambda asked: "",
    }
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    home.mkdir(exist_ok=True)
    (home / "prices.yaml").write_text(
        "endpoints: {school/large: {input: 2.0, output: 8.0}, school/good: {input: 4.0, output: 16.0}}\n"
    )
    with OpenAIDouble() as made:
        made.reply = lambda body: replies[body["model"]](body["messages"][-1]["content"])
        name_school(home, made.address, "large")
        yield made


@pytest.fixture
def course_split(homeroom, school: OpenAIDouble) -> str:
    assert homeroom("data", "split").code == 0
    with Homeroom.open() as home:
        info = home.datasets.info("homeroom-course")
        for name in ("good", "praise", "echo", "silent"):
            home.registry.register(
                TunedModel(
                    f"ft:large:homeroom:{name}:0000000{len(name)}", "school/large", "x", "openai", "remote", "tutor", name, "trainee",
                    dataset=info.id, remote_id=f"school/{name}", metrics={"seconds": 60.0 + len(name)},
                )
            )  # fmt: skip
    return info.id


def test_a_model_that_teaches_is_advised_and_lazy_ones_never_are(school, homeroom, course_split, home):
    told = homeroom(*COMPARE, "--models", "good", "--models", "praise", "--models", "echo", "--models", "silent", "--json")
    assert told.code == 0, told.err
    found = told.json
    assert found["advice"]["kind"] == "tuned" and found["advice"]["system"] == "openai (this server) good:00000004", found[
        "advice"
    ]
    assert " against Base" in found["advice"]["headline"]
    lazy = [s for s in found["systems"] if s["facts"]["method"] and s["name"] != found["advice"]["system"]]
    assert len(lazy) == 3 and all(s["doubts"] and s["outcome"] == "reject" for s in lazy)
    assert [s["name"] for s in found["systems"]][:3] == ["base", "prompt", "few-shot"]
    good = next(s for s in found["systems"] if s["name"] == found["advice"]["system"])
    assert good["facts"]["text_goes"] == "this machine (school)" and not good["facts"]["leaves"]
    assert good["facts"]["tune_s"] == 64.0 and good["facts"]["replies_usd"] > 0 and good["latency_p50_s"] is not None
    assert found["systems"][0]["facts"]["replies_usd"] > 0
    page = Path(found["report"]).read_text()
    assert page.count("<svg") > 3 and "<script" not in page and "http" not in page.replace("http-equiv", "")
    assert json.loads(Path(found["json"]).read_text())["evaluation"]["replies"]

    counted = {t["method"]: t["calls"] for t in homeroom("costs", "--by", "method", "--json").json["totals"]}
    assert counted.keys() == {"", "openai"}, "what controls cost is no method's"
    assert counted[""] == sum(c["model"] == "large" for c in school.charged)

    alone = homeroom(*COMPARE, "--models", "praise", "--json").json
    assert (alone["advice"]["kind"], alone["advice"]["system"]) == ("no-difference", "base")
    assert alone["advice"]["headline"].startswith("No tuned model is fit to be used")
    assert (found["opening"]["number"], alone["opening"]["number"]) == (1, 2)
    again = homeroom(*COMPARE, "--models", "praise").out
    assert "number 2" in again, "the count stands beside the score"
    assert "homeroom tune unsolved ft:" in again


def test_equal_models_show_no_difference_and_the_same_question_asks_nobody(school, homeroom, course_split):
    gold = authored()
    school.reply = lambda body: gold.get(body["messages"][-1]["content"], "What did you do first?")
    found = homeroom(*COMPARE, "--models", "good", "--models", "praise", "--json").json
    assert found["advice"]["kind"] == "no-difference" and found["advice"]["headline"].startswith("No difference that ")
    asked = len(school.charged)
    again = homeroom(*COMPARE, "--models", "praise", "--models", "good", "--json").json
    assert again["job"] == found["job"] and len(school.charged) == asked
    more = homeroom(*COMPARE, "--models", "good", "--models", "praise", "--again", "--json").json
    assert more["job"] != found["job"] and len(school.charged) == asked, "answers are kept"
    assert more["opening"]["number"] == found["opening"]["number"] + 1


def test_eval_run_counts_the_same_openings_and_finds_the_same_answers(school, homeroom, course_split):
    shape = ("--items", "40", "--task", "tutor")
    told = homeroom("eval", "run", "--model", "good", "--dataset", "homeroom-course", *shape, "--yes")
    assert "The first look at this version's test split" in told.out, told.err
    charged = [json.dumps(c["messages"]) + c["model"] for c in school.charged]
    found = homeroom(*COMPARE, "--models", "good", "--json").json
    assert found["opening"]["number"] == 2
    new = [json.dumps(c["messages"]) + c["model"] for c in school.charged[len(charged) :]]
    assert not set(new) & set(charged), "base, demonstrations and model were asked before"


def test_a_stopped_comparison_goes_on_where_it_stopped(school, homeroom, start, course_split):
    release, answer = threading.Event(), school.reply

    def waits(body: Json) -> str:
        if len(school.charged) >= 50:
            release.wait(60)
        return answer(body)

    school.reply = waits
    command = start(*COMPARE, "--models", "good")
    eventually(lambda: len(school.charged) >= 50)
    command.process.send_signal(signal.SIGINT)
    release.set()
    command.ended()
    school.reply = answer
    found = homeroom(*COMPARE, "--models", "good", "--json").json
    assert found["opening"]["number"] == 1, "a job that goes on opens nothing anew"
    asked = [json.dumps(c["messages"]) + c["model"] for c in school.charged]
    assert len(asked) - len(set(asked)) <= 8, "only what was under way is asked again"


def test_what_a_model_learnt_by_heart_elsewhere_is_asked_of_nobody(school, homeroom, course_split):
    with Homeroom.open() as home:
        course = home.datasets.get("homeroom-course")
        dealt = {item.example.id: item.example for item in held_out_items(course, "tutor", 20)}  # what would be asked
        learnt = list(dealt.values())[:3]
        other = home.datasets.create("other", learnt, assigned={e.id: "train" for e in learnt})
        home.registry.register(replace(home.registry.get("good"), name="ft:large:homeroom:heart:00000009", suffix="heart",
                                       dataset=other.info.id))  # fmt: skip
    forbidden = {item.last_user for example in learnt for item in example.items()}
    told = homeroom(*COMPARE[:-1], "20", "--models", "heart", "--json")
    assert told.code == 0, told.err
    lineage = json.loads(Path(told.json["json"]).read_text())["evaluation"]["lineage"]
    assert lineage["left out"].startswith("3 of ")
    judged = homeroom("eval", "run", "--model", "heart", "--dataset", "homeroom-course", "--items", "20", "--yes", "--json")
    assert judged.code in (0, 1), judged.err  # whatever the verdict is
    assert school.charged and not forbidden & {c["messages"][-1]["content"] for c in school.charged}


def test_wrong_names_are_one_line_each(school, homeroom, course_split):
    assert "#unknown-method" in homeroom(*COMPARE, "--methods", "magic").error
    assert "#model-not-found" in homeroom(*COMPARE, "--models", "nobody").error
    assert "#compare-task" in homeroom(*COMPARE[:-6], "--task", "learner", "--models", "good").error
    assert "#probe-dataset" in homeroom("tune", "recommend", "--probe").error
    assert school.charged == []


def quick() -> Path:
    return material.write_recipe(Path("quick.yaml"), {**material.QUICK, "task": "tutor"})


def test_what_is_missing_is_tuned_first_and_what_is_there_is_taken(homeroom, course):
    assert homeroom("data", "split", course).code == 0
    line = ("tune", "compare", "--dataset", "small-course", "--items", "6", "--max-tokens", "8", "--json")
    found = homeroom(*line, "--recipe", quick()).json
    tuned = found["systems"][-1]
    assert (tuned["name"], tuned["facts"]["method"], tuned["facts"]["base"]) == ("huggingface", "huggingface", "tiny")
    assert tuned["facts"]["tune_memory_bytes"] > 0 and tuned["facts"]["serve_bytes"] > 0 and tuned["facts"]["tune_s"] > 0
    assert tuned["facts"]["tune_usd"] == 0 and tuned["facts"]["text_goes"] == "this machine"
    assert found["advice"]["kind"] == "too-few", "the small course holds out few topics"
    taken = homeroom(*line, "--methods", "huggingface").json
    assert taken["job"] == found["job"], "the model that is there is the one that the recipe made"
    with Homeroom.open() as home:
        assert len(home.jobs.list(kind="tune")) == len(home.jobs.list(kind="compare")) == 1


def test_a_probe_uses_up_training_examples_and_opens_no_test(homeroom, course):
    assert homeroom("data", "split", course).code == 0
    line = ("tune", "recommend", "--probe", "--dataset", "small-course", "--task", "tutor", "--recipe", quick(), "--json")
    with Homeroom.open() as home:
        before = home.datasets.get("small-course")
    told = homeroom(*line)
    assert told.code == 0, told.err
    probe = told.json["probe"]
    assert probe["answer"].startswith("Do not tune yet") and probe["advice"]["headline"] and told.json["method"]
    assert [s["name"] for s in probe["systems"]] == ["base", "prompt", "few-shot", "a short tune, huggingface"]
    with Homeroom.open() as home:
        after = home.datasets.get("small-course")
        used = after.set_aside
        assert len(used) == probe["set_aside"] > 0
        assert used <= {e.id for e in before.part("train", "tutor")}
        assert {e.id for e in after.part("train")} == {e.id for e in before.part("train")} - used
        assert {e.metadata["topic"] for e in after.part("train", "tutor")}.isdisjoint(
            {e.metadata["topic"] for e in after.examples if e.id in used}
        )
        assert home.held_out.openings(after.info.id) == () and home.registry.list() == ()
        record = json.loads((Path(probe["report"]).parent / "comparison.json").read_text())
        judged = {reply["item_id"].rpartition("#")[0] or reply["item_id"] for reply in record["evaluation"]["replies"]}
        assert len(judged) <= len(used)
    assert homeroom(*line).json["probe"]["report"] == probe["report"], "the same question is answered from before"
    other = homeroom(*line, "--items", "2").json["probe"]
    with Homeroom.open() as home:
        assert home.datasets.get("small-course").set_aside > used, "another question is judged on other examples"
    assert other["report"] != probe["report"]
