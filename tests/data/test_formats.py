"""Every format there and back: what it can hold comes back as it was, what it cannot is named."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeroom.data.convert import write_examples
from homeroom.data.formats import FORMATS, detect
from homeroom.data.metadata import problems
from homeroom.data.reading import load_examples, read_examples
from homeroom.schema.examples import Example, Message
from tests.data.strategies import examples

HOLD_ALL = ("chat", "sharegpt", "prompt-completion", "chat-export", "table")
HOLD_PLAIN = ("alpaca", "dspy")
KINDS = (".jsonl", ".json", ".csv", ".tsv", ".xlsx", ".parquet", "")


def there_and_back(given_examples, name, to, folder):
    target = folder / name
    done = write_examples(lambda: given_examples, target, to=to, force=True)
    return done, load_examples(target, format=None if to == "table" else to)


def same(found, expected):
    assert [e.to_dict() for e in found] == [e.to_dict() for e in expected]
    assert [e.id for e in found] == [e.id for e in expected]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("formats")


@pytest.mark.parametrize("to", HOLD_ALL)
@settings(max_examples=30, deadline=None)
@given(data=st.lists(examples(), min_size=1, max_size=3))
def test_formats_that_hold_everything_give_it_back(folder, to, data):
    done, back = there_and_back(data, f"{to}.jsonl", to, folder)
    assert done.dropped == {} and done.examples == len(data)
    same(back, data)


@pytest.mark.parametrize("to", HOLD_PLAIN)
@settings(max_examples=30, deadline=None)
@given(data=st.lists(examples(plain=True), min_size=1, max_size=3))
def test_plain_dialogues_come_back_from_simple_formats(folder, to, data):
    done, back = there_and_back(data, f"plain-{to}.jsonl", to, folder)
    assert done.dropped == {} and done.examples == len(data)
    same(back, data)


@settings(max_examples=30, deadline=None)
@given(data=st.lists(examples(rejected=True), min_size=1, max_size=3))
def test_preferences_come_back_with_what_openai_takes(folder, data):
    done, back = there_and_back(data, "preference.jsonl", "preference", folder)
    kept = [
        Example(
            tuple(Message(m.role, m.content, None, m.extra) for m in e.messages),
            extra={k: v for k, v in e.extra.items() if k in ("tools", "rejected")},
        )
        for e in data
    ]
    same(back, kept)
    dropped = {"metadata", "context", "reference"} & {key for e in data for key in e.to_dict()}
    assert set(done.dropped) - {"messages.weight"} == dropped


@settings(max_examples=30, deadline=None)
@given(data=st.lists(examples(), min_size=1, max_size=3))
def test_openai_takes_messages_and_tools_only(folder, data):
    done, back = there_and_back(data, "openai.jsonl", "openai", folder)
    same(back, [Example(e.messages, extra={k: v for k, v in e.extra.items() if k == "tools"}) for e in data])
    counts = {key: sum(key in e.to_dict() for e in data) for key in ("metadata", "context", "reference", "rejected")}
    assert done.dropped == {key: count for key, count in counts.items() if count}


@pytest.mark.parametrize("suffix", KINDS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.lists(examples(), min_size=1, max_size=3))
def test_every_kind_of_file_gives_everything_back(suffix, data):
    with tempfile.TemporaryDirectory() as folder:
        done, back = there_and_back(data, f"all{suffix}", None, Path(folder))
    assert done.dropped == {} and done.examples == len(data)
    same(back, data)


@settings(max_examples=30, deadline=None)
@given(
    example=examples(plain=True, rejected=False),
    way=st.lists(st.sampled_from([*HOLD_ALL, *HOLD_PLAIN]), min_size=2, max_size=4),
    suffixes=st.lists(st.sampled_from([".jsonl", ".json", ".parquet"]), min_size=4, max_size=4),
)
def test_any_way_through_several_formats_ends_where_it_began(example, way, suffixes):
    with tempfile.TemporaryDirectory() as folder:
        now = [example]
        for step, (to, suffix) in enumerate(zip(way, suffixes, strict=False)):
            _, now = there_and_back(now, f"{step}{suffix}", to, Path(folder))
    assert now[0].messages == example.messages
    assert dict(now[0].metadata) == dict(example.metadata)


SAMPLES = {
    "openai-preference": (
        {
            "input": {"messages": [{"role": "user", "content": "Half of 9?"}], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [{"role": "assistant", "content": "Share 9 dots."}],
            "non_preferred_output": [{"role": "assistant", "content": "4.5"}],
        },
        "preference",
        ["user", "assistant"],
    ),
    "sharegpt": (
        {"id": "x", "conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        "sharegpt",
        ["system", "user", "assistant"],
    ),
    "llama-factory-tools": (
        {
            "conversations": [
                {"from": "human", "value": "3 x 4?"},
                {"from": "function_call", "value": '{"name": "times", "arguments": {"a": 3}}'},
                {"from": "observation", "value": "12"},
                {"from": "gpt", "value": "Count three rows of four."},
            ],
            "tools": '[{"name": "times"}]',
            "system": "Guide.",
        },
        "sharegpt",
        ["system", "user", "assistant", "tool", "assistant"],
    ),
    "alpaca": ({"instruction": "Explain.", "input": "1/2", "output": "One of two."}, "alpaca", ["user", "assistant"]),
    "alpaca-empty-input": ({"instruction": "Explain.", "input": "", "output": "One of two."}, "alpaca", ["user", "assistant"]),
    "alpaca-history": (
        {"instruction": "And 8?", "input": "", "output": "4 and 4.", "history": [["Half of 6?", "3 and 3."]]},
        "alpaca",
        ["user", "assistant", "user", "assistant"],
    ),
    "prompt-completion": ({"prompt": "q", "completion": "a"}, "prompt-completion", ["user", "assistant"]),
    "trl": (
        {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]},
        "prompt-completion",
        ["user", "assistant"],
    ),
    "dspy": (
        {"input": {"question": "q", "grade": 4, "subject": "science"}, "output": {"reasoning": "r", "answer": "a"}},
        "dspy",
        ["user", "assistant"],
    ),
    "dspy-own-names": (
        {"input": {"learner_says": "q", "context": ["p"]}, "output": {"tutor_says": "a", "steps": [1, 2]}},
        "dspy",
        ["user", "assistant"],
    ),
    "dspy-feedback": (
        {"input": {"question": "7 + 5?", "learner_answer": "11"}, "output": {"feedback": "f", "correct": False, "look_again": ["5"]}},
        "dspy",
        ["user", "assistant"],
    ),
    "dspy-scenario": (
        {"input": {"topic": "sums", "subject": "mathematics", "grade": 1}, "output": {"situation": "s", "task": "t", "mistake": "m"}},
        "dspy",
        ["user", "assistant"],
    ),
    "dspy-number": ({"input": {"question": "q"}, "output": {"answer": 4}}, "dspy", ["user", "assistant"]),
    "flat": ({"question": "q", "answer": "a", "topic": "t"}, "table", ["user", "assistant"]),
}  # fmt: skip


@pytest.mark.parametrize("key", sorted({key for record, _, _ in SAMPLES.values() for key in record}))
def test_metadata_named_as_the_keys_of_other_formats_leave_a_table_a_table(tmp_path, key):
    example = Example((Message("user", "Half of 9?"), Message("assistant", "Share 9 dots.")), {key: "a word"})
    done, back = there_and_back([example], "table.jsonl", "table", tmp_path)
    assert done.dropped == {}
    same(back, [example])


@pytest.mark.parametrize("name", SAMPLES)
def test_formats_are_detected_by_content_and_written_as_they_were(tmp_path, name):
    record, format, roles = SAMPLES[name]
    assert detect(record).name == format
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(record) + "\n")
    result = read_examples(path)
    (example,) = result.examples
    assert result.format == format and not result.errors
    assert [m.role for m in example.messages] == roles
    done = write_examples(lambda: [example], tmp_path / "out.jsonl", to=format)
    assert done.dropped == {}
    again = load_examples(tmp_path / "out.jsonl", format=format)
    assert again == [example]
    if name in ("openai-preference", "alpaca", "alpaca-empty-input", "alpaca-history", "prompt-completion", "dspy-number"):
        assert json.loads((tmp_path / "out.jsonl").read_text()) == record


def test_dspy_fields_reach_the_metadata_and_stay_fields(tmp_path):
    (example,) = read(tmp_path, SAMPLES["dspy"][0])
    assert example.metadata == {"grade": 4, "grade_band": "3-5", "subject": "science"}
    write_examples(lambda: [example], tmp_path / "out.jsonl", to="dspy")
    written = json.loads((tmp_path / "out.jsonl").read_text())
    assert written["input"] == {"question": "q", "grade": 4, "subject": "science"}
    assert written["output"] == {"answer": "a", "reasoning": "r"}
    (own,) = read(tmp_path, SAMPLES["dspy-own-names"][0])
    write_examples(lambda: [own], tmp_path / "own.jsonl", to="dspy")
    written = json.loads((tmp_path / "own.jsonl").read_text())
    assert written["input"] == {"learner_says": "q", "context": ["p"]}
    assert written["output"] == {"tutor_says": "a", "steps": [1, 2]}


@pytest.mark.parametrize(("language", "kept"), [("English", None), ("es-MX", "es-MX")])
def test_a_dspy_field_called_language_is_metadata_only_where_it_is_a_tag(tmp_path, language, kept):
    record = {"input": {"text": "The cat sat.", "language": language}, "output": {"summary": "A cat sits."}}
    (example,) = read(tmp_path, record)
    assert example.metadata.get("language") == kept and not list(problems(example.metadata))
    assert example.extra["fields"]["input"] == {"language": language}


def test_a_reply_about_an_answer_is_read_as_that_and_a_topic_is_asked_about_where_nothing_else_is(tmp_path):
    (feedback,) = read(tmp_path, SAMPLES["dspy-feedback"][0])
    assert [m.content for m in feedback.messages] == ["11", "f"] and feedback.extra["fields"]["input"] == {"question": "7 + 5?"}
    (scenario,) = read(tmp_path, SAMPLES["dspy-scenario"][0])
    assert [m.content for m in scenario.messages] == ["sums", "s"]
    assert scenario.metadata == {"topic": "sums", "subject": "mathematics", "grade": 1, "grade_band": "K-2"}
    (own,) = read(tmp_path, {"input": {"word": "amber", "topic": "stones"}, "output": {"meaning": "a resin"}})
    assert own.messages[0].content == "amber", "a topic is metadata beside a text"


def test_of_several_texts_the_first_is_what_is_asked_and_what_is_read(tmp_path):
    record = {"input": {"problem": "3 x 4", "level": "2"}, "output": {"hint": "Draw rows.", "kind": "picture"}}
    (example,) = read(tmp_path, record)
    assert [m.content for m in example.messages] == ["3 x 4", "Draw rows."]
    assert example.extra["fields"]["output"] == {"kind": "picture"} and example.extra["fields"]["input"] == {"level": "2"}
    (named,) = read(tmp_path, {**record, "fields": {"answer": "kind"}})
    assert named.messages[-1].content == "picture"


def test_what_a_format_cannot_hold_is_counted_by_name(tmp_path):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    example = Example(
        (
            Message("user", "q", None, {"name": "Ana"}),
            Message("assistant", "", None, {"tool_calls": [call], "content": None}),
            Message("tool", "12", None, {"tool_call_id": "c"}),
            Message("assistant", "a", 1),
        ),
        {"topic": "t"},
        extra={"tools": [{"type": "function"}]},
    )
    done = write_examples(lambda: [example, example], tmp_path / "a.jsonl", to="alpaca")
    assert done.dropped == {"messages.name": 2, "messages.tool": 2, "messages.tool_calls": 2, "messages.weight": 2, "tools": 2}
    (back,) = {e.messages: e for e in load_examples(tmp_path / "a.jsonl")}.values()
    assert [(m.role, m.content) for m in back.messages] == [("user", "q"), ("assistant", "a")]
    assert back.metadata == {"topic": "t"}


def test_a_chat_export_gives_what_people_allowed(tmp_path):
    turns = [
        {"role": "user", "content": "1/2 + 1/3 is 2/5."},
        {"role": "assistant", "content": "Right!", "id": "t1", "thumb": "down", "better_answer": "What size fits both?", "consent": "granted"},
        {"role": "user", "content": "Sixths?"},
        {"role": "assistant", "content": "Yes: 3/6.", "id": "t2", "thumb": "up", "consent": "granted"},
        {"role": "user", "content": "Thanks"},
        {"role": "assistant", "content": "Bye", "id": "t3", "thumb": "up", "consent": "refused"},
    ]  # fmt: skip
    result = read(tmp_path, {"conversation": "conv-1", "title": "Fractions", "turns": turns}, all_of_it=True)
    better, praised = result.examples
    assert better.messages[-1].content == "What size fits both?"
    assert better.extra["rejected"] == [{"role": "assistant", "content": "Right!"}]
    assert better.metadata["origin"]["kind"] == "correction" and better.metadata["consent"] == "granted"
    assert [m.weight for m in praised.messages if m.role == "assistant"] == [0, None]
    assert [p.rule for p in result.errors] == ["consent-refused"]
    (silent,) = read(
        tmp_path, {"conversation": "conv-2", "turns": [*turns[:1], {"role": "assistant", "content": "x"}]}, all_of_it=True
    ).problems
    assert silent.rule == "consent-missing"


def read(folder, record, *, all_of_it=False):
    path = folder / "read.jsonl"
    path.write_text(json.dumps(record) + "\n")
    return read_examples(path) if all_of_it else load_examples(path)


@pytest.mark.parametrize("format", list(FORMATS))
@pytest.mark.parametrize("value", [None, 3, "x", [], {}, [1], [None], {"role": 1}, [[]], True])
def test_odd_values_under_the_keys_of_a_format_are_problems_never_crashes(tmp_path, format, value):
    keys = ("messages", "conversations", "prompt", "completion", "instruction", "input", "output", "history", "system", "turns",
            "preferred_output", "non_preferred_output", "conversation", "question", "answer", "fields", "metadata", "tools", "context",
            "reference", "rejected", "student_incorrect_solution")  # fmt: skip
    for left in range(len(keys)):
        path = tmp_path / "odd.jsonl"
        records = [{keys[left]: value}, dict.fromkeys(keys[left:], value), {**dict.fromkeys(keys[:left], "t"), keys[left]: value}]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        for named in (format, None):
            found = read_examples(path, format=named)
            told = len(found.examples) + len({problem.line for problem in found.problems})
            assert told >= len(records), "a line is neither an example nor a problem"


def test_a_developers_turn_is_the_systems(folder):
    turns = [{"role": "developer", "content": "Teach."}, {"role": "user", "content": "Why?"}]
    reply = {"role": "assistant", "content": "Look."}
    (chat,) = read(folder, {"messages": [*turns, reply]})
    (preference,) = read(
        folder, {"input": {"messages": turns}, "preferred_output": [reply], "non_preferred_output": [{**reply, "content": "So."}]}
    )
    for example in (chat, preference):
        assert example.messages == (Message("system", "Teach."), Message("user", "Why?"), Message("assistant", "Look."))
