from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from homeroom.errors import ConfigError
from homeroom.evaluation.evaluate import Replies, System, assess, evaluate
from homeroom.evaluation.metrics import metric
from homeroom.evaluation.prompts import PlainPrompt
from homeroom.evaluation.protocol import Protocol, protocol
from homeroom.evaluation.results import Evaluation, SystemInfo
from homeroom.evaluation.transcripts import picked
from homeroom.models.testing import ScriptedChatModel
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Item, Message
from homeroom.schema.jobs import NullReporter
from tests.evaluation.helpers import learner, tutor

THINGS = ("pens", "cards", "shells", "beads", "maps", "coins", "plums", "kites")
ITEMS = [
    tutor(f"I have {n + 4} {thing} and lose {n}. I got {n + 9}.", answer="4", claim=str(n + 9), right=False, topic=thing)
    for n, thing in enumerate(THINGS)
]
SETTINGS = GenerationSettings(max_tokens=40)


class Recorder(NullReporter):
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.fractions: list[float] = []

    def progress(self, fraction: float, message: str) -> None:
        self.fractions.append(fraction)

    def event(self, message: str, *, level: str = "info", type: str = "message", data: Mapping[str, Any] | None = None) -> None:
        self.events.append((message, data or {}))


def tells(messages: Sequence[Message]) -> str:
    return "The answer is 4. Great job!"


def asks(messages: Sequence[Message]) -> str:
    words = messages[-1].content.split()
    return f"Lay out the {words[3]} you had. Which of them are gone?"


def run(tmp_path: Path, reporter: Recorder | None = None, systems: Sequence[System] | None = None) -> Evaluation:
    prompt = PlainPrompt("Be kind.")
    used = systems or [
        System("base", "base", ScriptedChatModel("m", tells), prompt, title="Base", held_out_loss=3.1),
        System("tuned", "candidate", ScriptedChatModel("ft:m", asks), prompt, title="Tuned", held_out_loss=2.2),
    ]
    return evaluate(
        ITEMS, used, SETTINGS, cache_dir=tmp_path, dataset="d@1", reporter=reporter, lineage={"Code": "1"}, created_at=5.0
    )


def test_one_run_holds_everything(tmp_path: Path) -> None:
    reporter = Recorder()
    found = run(tmp_path, reporter)
    assert [system.name for system in found.systems] == ["base", "tuned", "authored"]
    tuned, base = found.scorecard("candidate"), found.scorecard("base")
    assert tuned is not None and base is not None
    assert tuned.summaries["withholding"].mean == 1.0 and base.summaries["withholding"].mean == 0.0
    assert tuned.extra["held_out_loss"] == 2.2
    gain = next(d for d in found.differences if d.name == "withholding")
    assert (gain.mean, gain.wins, gain.losses) == (1.0, 8, 0)
    assert found.p_holm["withholding|base"] < 0.05
    assert found.verdict is not None and found.verdict.protocol_hash == protocol("tutor").hash
    assert reporter.fractions[-1] == 1.0
    assert len(found.replies) == 8 and found.replies[0]["answers"]["base"]["text"] == "The answer is 4. Great job!"


def test_the_protocol_and_the_transcripts_are_told_before_the_first_reply(tmp_path: Path) -> None:
    reporter = Recorder()
    asked: list[int] = []

    def late(messages: Sequence[Message]) -> str:
        asked.append(len(reporter.events))
        return "x"

    found = run(tmp_path, reporter, [System("c", "candidate", ScriptedChatModel("m", late))])
    message, data = reporter.events[0]
    assert min(asked) == 1
    assert found.protocol.hash in message and "Confirms wrong work" in message
    assert data["hash"] == found.protocol.hash
    by_hash = [t.item_id for t in found.transcripts if t.why == "picked by hash"]
    assert data["transcripts"] == by_hash == picked(ITEMS, found.protocol.transcripts, found.protocol.seed)


def test_transcripts_add_the_largest_win_and_the_largest_loss() -> None:
    plain = [Answer(i.id, "base", "Which of them are gone?") for i in ITEMS]
    by_hash = set(picked(ITEMS, 4, protocol("tutor").seed))
    rest = [index for index, item in enumerate(ITEMS) if item.id not in by_hash]
    mixed = [Answer(a.item_id, "new", a.text) for a in plain]
    mixed[rest[0]] = Answer(ITEMS[rest[0]].id, "new", "The answer is 4. Great job!")
    mixed[rest[1]] = Answer(ITEMS[rest[1]].id, "new", f"Lay out your {THINGS[rest[1]]} in a row. What do you see now?")
    found = assess(
        ITEMS, [Replies(SystemInfo("base", "base", "b", "m"), plain), Replies(SystemInfo("new", "candidate", "n", "m"), mixed)]
    )
    why = {t.why: t.item_id for t in found.transcripts}
    assert why["largest win"] == ITEMS[rest[1]].id and why["largest loss"] == ITEMS[rest[0]].id


def test_it_survives_the_way_to_json_and_back(tmp_path: Path) -> None:
    found = run(tmp_path)
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert Evaluation.from_dict(json.loads(text)).to_dict() == found.to_dict()


def test_summary_is_what_the_registry_keeps(tmp_path: Path) -> None:
    summary = run(tmp_path).summary()
    assert summary["outcome"] in ("promote", "practice", "reject") and summary["means"]["withholding"] == 1.0
    assert summary["protocol"] == protocol("tutor").hash and summary["items"] == 8


def test_without_one_candidate_there_is_no_verdict(tmp_path: Path) -> None:
    found = run(tmp_path, systems=[System("base", "base", ScriptedChatModel("m", tells))])
    assert found.verdict is None and found.summary()["outcome"] == "unjudged"


def test_without_the_protocols_measures_there_is_no_verdict() -> None:
    replies = [Replies(SystemInfo("n", "candidate", "n", "m"), [Answer(i.id, "n", "Why?") for i in ITEMS])]
    found = assess(ITEMS, replies, metrics=[metric("withholding")])
    assert found.verdict is None and set(found.scorecards[0].values) == {"withholding"}


@pytest.mark.parametrize(
    ("items", "names", "code"),
    [
        ([], ["a"], "no-items"),
        (ITEMS, ["a", "a"], "system-names"),
        (ITEMS, ["authored"], "system-names"),
        ([ITEMS[0], learner("Hi")], ["a"], "mixed-tasks"),
    ],
)
def test_wrong_calls_say_what_is_wrong(items: list[Item], names: list[str], code: str) -> None:
    replies = [Replies(SystemInfo(name, "candidate", name, "m"), [Answer(i.id, name, "x") for i in items]) for name in names]
    with pytest.raises(ConfigError) as caught:
        assess(items, replies)
    assert caught.value.code == code


def test_answers_of_other_items_are_refused() -> None:
    replies = [Replies(SystemInfo("a", "candidate", "a", "m"), [Answer(i.id, "a", "x") for i in reversed(ITEMS)])]
    with pytest.raises(ConfigError) as caught:
        assess(ITEMS, replies)
    assert caught.value.code == "answers-mismatch"


def test_a_protocol_is_pinned_by_its_hash() -> None:
    plan = protocol("tutor")
    assert Protocol.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    changed = Protocol.from_dict({**plan.to_dict(), "seed": plan.seed + 1})
    assert changed.hash != plan.hash != protocol("learner").hash
    with pytest.raises(ConfigError) as caught:
        protocol("poet")
    assert caught.value.code == "unknown-task"


@pytest.mark.parametrize("task", ["tutor", "learner"])
def test_loss_overlap_and_length_are_in_no_rule(task: str) -> None:
    plan = protocol(task)
    gains = {rule.metric for rule in plan.gains}
    assert not gains & {
        "length_words",
        "latency",
        "brief_enough",
        "own_words",
        "grade_fit",
        "praise_without_substance",
        "variety",
        "openings",
    }
    assert not {rule.metric for rule in plan.guards} & {"length_words", "latency"}


def test_importing_the_layer_loads_nothing_heavy() -> None:
    code = (
        "import sys, homeroom.evaluation.evaluate, homeroom.evaluation.report; "
        "print(sorted({'numpy', 'torch', 'transformers', 'sqlalchemy', 'flask', 'xllamacpp'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "src"}
    )
    assert done.stdout.strip() == "[]"
