"""The rules on text that nobody wrote for them: the bundled course, and public data where it is at hand."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pytest

from homeroom.data.course import course_files
from homeroom.data.lint.config import LintConfig
from homeroom.data.lint.model import Record, Text
from homeroom.data.lint.rules.text_equations import equations
from homeroom.data.lint.rules.text_reading import reading_grade
from homeroom.data.lint.run import lint
from homeroom.schema.examples import Example, Message
from tests.data.lint_rules.showing import hits
from tests.data.planted.sources import shared_data

FAMILIES = ("CNS", "DIV", "QUA")
FOR_A_PERSON = {"QUA019", "QUA020"}
shared = pytest.mark.skipif(shared_data() is None, reason="HOMEROOM_SHARED_DATA names no folder with the public data")


def lines(name: str) -> list[dict[str, object]]:
    folder = shared_data()
    assert folder is not None
    return [json.loads(line) for line in (folder / name).read_text("utf-8").split("\n") if line.strip()]


@pytest.mark.parametrize("path", [*course_files(), None], ids=lambda path: path.stem if path else "all")
def test_of_the_course_only_what_a_person_must_decide_is_reported(path: Path | None) -> None:
    found = lint([path] if path else course_files(), select=FAMILIES, config=LintConfig(), jobs=1).findings
    assert {f.code for f in found} <= FOR_A_PERSON, [f.message for f in found if f.code not in FOR_A_PERSON]
    assert all(f.needs_person and f.severity == "info" for f in found)


def test_every_equation_of_the_courses_tutors_is_read_and_right() -> None:
    read = 0
    for path in course_files():
        for line in path.read_text("utf-8").splitlines():
            example = Example.from_dict(json.loads(line))
            for message in example.messages if example.task == "tutor" else ():
                for sentence in Text(message.content).sentences if message.role == "assistant" else ():
                    for equation in equations(sentence):
                        read += 1
                        assert not equation.fault
    assert read >= 15


@shared
def test_reading_levels_come_in_the_right_order() -> None:
    levels: dict[str, dict[str, float]] = defaultdict(dict)
    for row in lines("onestop/texts.jsonl"):
        text = Text(str(row["text"]))
        levels[str(row["file"]).rsplit("-", 1)[0].lower()][str(row["level"])[:3]] = reading_grade(text.words, len(text.sentences))
    pairs = [
        (v[a], v[b]) for v in levels.values() for a, b in (("Ele", "Int"), ("Int", "Adv"), ("Ele", "Adv")) if a in v and b in v
    ]
    assert len(pairs) >= 290
    assert mean(low < high for low, high in pairs) >= 0.97


@shared
def test_answers_given_away_agree_with_people() -> None:
    said = told = both = 0
    for row in lines("mrbench/mrbench_v2.jsonl"):
        numbers = re.findall(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?", str(row.get("Ground_Truth_Solution") or ""))
        for reply in row["anno_llm_responses"].values() if numbers else ():  # type: ignore[attr-defined]
            reveals = str(reply["annotation"]["Revealing_of_the_Answer"]).startswith("Yes")
            turns = (Message("user", str(row["conversation_history"])), Message("assistant", reply["response"]))
            key = {"answer": numbers[-1].replace(",", "")}
            found = bool(hits("QUA006", Record(1, Example(turns, {"scenario": "diagnose"}, (), key))))
            said, told, both = said + found, told + reveals, both + (found and reveals)
    assert told >= 30
    assert both / said >= 0.9
    assert both / told >= 0.45


@shared
def test_arithmetic_in_a_textbook_is_read_without_a_false_alarm() -> None:
    rows = [*lines("openstax_hs_physics/passages.jsonl"), *lines("openstax_hs_physics/questions.jsonl")]
    texts = [Text(str(row.get("text") or row.get("question") or "")) for row in rows]
    assert not [e.quote for text in texts for sentence in text.sentences for e in equations(sentence) if e.fault]
