"""Structure beyond the reader: what is found, and what is left alone."""

from __future__ import annotations

import json

import pytest

from homeroom.data.lint.config import LintConfig
from homeroom.data.lint.model import Options
from homeroom.data.lint.run import lint
from homeroom.models import prepared, tiny

DO = "Draw 3 rows of 5 dots and count them all."


def talk(*turns, metadata=None, **more):
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)]
    return {"messages": messages, "metadata": {"subject": "m", "grade": 3, "topic": "t", **(metadata or {})}, **more}


@pytest.fixture
def check(tmp_path):
    def run(*records, select=("STR",), options=None):
        path = tmp_path / "a.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")
        return [(f.line, f.name) for f in lint(path, options or Options(), select, config=LintConfig(), jobs=1).findings]

    return run


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (talk("Is it 16?", "How many rows are there, and how many in a row?", "3.", "How many rows are there,  and how many in a row?"),
         "duplicate-turn"),
        (talk("Why is the sky blue at noon today?", "why is the sky  blue at noon today?"), "reply-echoes-prompt"),
        (talk("Help.", "Student: I am stuck.\nTeacher: Where?"), "dialogue-in-turn"),
        (talk("Help.", "Assistant: where are you stuck?"), "dialogue-in-turn"),
        (talk("According to the passage, why did he go?", DO), "context-missing"),
        (talk("Look at the picture. What do you see?", DO), "context-missing"),
        (talk("Use the table below to find the mean.", DO), "context-missing"),
        (talk("Help.", "What does the graph above show?"), "context-missing"),
        (talk("Help. ", DO), "white-space-at-ends"),
        (talk("Help.", "\n" + DO), "white-space-at-ends"),
        (talk("Help.", f"{DO}<|im_end|>"), "template-mark-in-text"),
        (talk("[INST] Help. [/INST]", DO), "template-mark-in-text"),
        (talk("Help.", "Draw 3 rows of 5 dots and count the"), "reply-cut-off"),
        (talk("Help.", "Here is how:\n```python\nprint(3"), "reply-cut-off"),
        (talk("Help.", "Draw 3 rows of dots (five in each row,"), "reply-cut-off"),
        (talk(("word " * 4000).strip(), DO), "over-token-limit"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_wrong_is_found(check, record, name):
    assert check(record) == [(1, name)]


@pytest.mark.parametrize(
    "record",
    [
        talk("Is it 16?", "How many?", "3.", "How many?"),  # short ones may be said twice
        talk("Ana: 3 + 4. Is that a ratio of 2:1?", DO),
        talk("Note: I used a table. Answer: 12", DO),
        talk("What is the passage of time?", DO),
        talk("Draw a picture of 3 x 5. Then look at the picture.", DO),
        talk("There is a big Buddha in the picture in our book.", DO),
        talk("According to the passage, why did he go?\n\n" + ("The fox heard the dogs and ran over the hill. " * 8).strip(), DO),
        talk("According to the passage, why did he go?", DO, context=["The fox ran."]),
        talk("Help.", "Try it with 5 < 7 and [brackets]; is <b> a tag?"),
        talk("Help.", "Draw it like this:\n- 3 rows\n- 5 dots in each"),
        talk("Help.", "What did you start with?"),
        talk("Help.", "3 x 5 = 15"),
        talk("Help.", "Well done 🎉"),
    ],
    ids=lambda record: record["messages"][0]["content"][:30],
)
def test_what_is_right_is_left_alone(check, record):
    assert check(record) == []


def test_a_reply_without_its_full_stop_counts_only_where_the_others_have_one(check):
    clean = [talk(f"Case {n}.", f"{DO} Case {n}.") for n in range(20)]
    bare = talk("Help.", "Draw three rows of dots, and then say how many you drew in all of them")
    assert check(*clean, bare) == [(21, "reply-cut-off")]
    loose = [talk(f"Case {n}.", f"Draw three rows of five dots and count them, case {n} please ok") for n in range(20)]
    assert check(*loose, bare) == []


def test_learners_may_stop_in_the_middle(check):
    assert check(talk("What did you get?", "I think it was the", metadata={"task": "learner"})) == []


def test_missing_metadata_is_one_note_for_each_key(check):
    bare = {"messages": talk("a", DO)["messages"]}
    found = check(talk("q", DO), bare, {**bare, "metadata": {"grade_band": "3-5", "topic": "x"}}, select=("STR040",))
    assert found == [(2, "metadata-missing")] * 3  # subject and topic from line 2 on, grade in line 2


@pytest.mark.parametrize(("method", "count", "severity"), [("dspy", 4, "error"), ("dspy", 5, None), ("openai", 9, "error"),
                                                           ("openai", 10, "warning"), ("openai", 50, None), ("huggingface", 50, "warning"),
                                                           ("", 1, None)])  # fmt: skip
def test_how_many_is_too_few_depends_on_the_method(tmp_path, method, count, severity):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(talk(f"q{n}", DO)) + "\n" for n in range(count)))
    found = lint(path, Options(method=method), ("STR041",), config=LintConfig()).findings
    assert [(f.line, f.severity) for f in found] == ([] if severity is None else [(0, severity)])


def test_tokens_are_those_of_the_base(tmp_path, check):
    files = prepared.prepare_folder(tiny.build(tmp_path / "tiny"), tiny.NAME, tmp_path / "cache")
    long = talk(("count " * 100).strip(), DO)
    with_base = Options(base=tiny.NAME, tokenizer=str(files.weights), max_tokens=80)
    assert check(talk("Hi.", DO), long, options=with_base) == [(2, "over-token-limit")]
    assert check(long, options=Options(base=tiny.NAME, tokenizer=str(files.weights), max_tokens=4096)) == []
