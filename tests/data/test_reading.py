import json

import pytest

from homeroom.data.reading import load_examples, read_examples
from homeroom.data.rules import RULES, check_record
from homeroom.errors import ConfigError, DataError, NotFoundError


def chat(*turns, **extra):
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": t} for i, t in enumerate(turns)], **extra}


def write(path, *records):
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in records), "utf-8")
    return path


def test_reads_messages_metadata_context_and_reference(tmp_path):
    record = chat(
        "What is 1/2 + 1/3?",
        "What size of piece fits both?",
        metadata={"grade": "4", "subject": "mathematics"},
        reference={"answer": "5/6"},
        context=["A page."],
    )
    (example,) = load_examples(write(tmp_path / "a.jsonl", record))
    assert example.messages[1].content == "What size of piece fits both?"
    assert example.metadata == {"grade": 4, "grade_band": "3-5", "subject": "mathematics"}
    assert example.reference["answer"] == "5/6"
    assert example.context == ("A page.",)


def test_all_problems_are_reported_with_file_line_and_rule(tmp_path):
    path = write(
        tmp_path / "bad.jsonl",
        chat("fine", "fine"),
        "{not json",
        {"messages": [{"role": "teacher", "content": "x"}, {"role": "assistant", "content": ""}]},
        chat("only a question"),
        "[1]",
    )
    result = read_examples(path)
    assert [(p.file, p.line, p.rule) for p in result.problems] == [
        ("bad.jsonl", 2, "json-invalid"),
        ("bad.jsonl", 3, "role-unknown"),
        ("bad.jsonl", 3, "content-empty"),
        ("bad.jsonl", 4, "assistant-missing"),
        ("bad.jsonl", 5, "record-not-object"),
    ]
    assert len(result.examples) == 1
    with pytest.raises(DataError) as caught:
        load_examples(path)
    assert len(caught.value.problems) == 5
    assert "5 problems" in caught.value.message and "homeroom data check" in caught.value.message


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        ({"messages": []}, "messages-missing"),
        ({"metadata": {}}, "messages-missing"),
        ({"messages": ["hi"]}, "message-not-object"),
        ({"messages": [{"role": "user"}, {"role": "assistant", "content": "x"}]}, "content-missing"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "role-order"),
        ({"messages": [*chat("a", "b")["messages"], {"role": "user", "content": "c"}]}, "last-not-assistant"),
        (chat("a", "b", metadata=["x"]), "metadata-invalid"),
        (chat("a", "b", metadata={"grade": 77}), "grade-invalid"),
        (chat("a", "b", metadata={"grade": 7, "grade_band": "K-2"}), "grade-band-mismatch"),
        (chat("a", "b", metadata={"difficulty": "brutal"}), "value-unknown"),
        (chat("a", "b", reference={"claim_is_correct": "perhaps"}), "value-unknown"),
        (chat("a", "b", metadata={"consent": "refused"}), "consent-refused"),
        (chat("a", "b", metadata={"source": "learner"}), "consent-missing"),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]},
            "weight-invalid",
        ),
        (
            {"messages": [{"role": "user", "content": "a", "weight": 1}, {"role": "assistant", "content": "b"}]},
            "weight-invalid",
        ),
        ({**chat("a", "b"), "message": 1}, "key-unknown"),
    ],
)
def test_each_structural_rule_is_found(record, rule):
    assert [p.rule for p in check_record(record, "f", 1)] == [rule]
    assert rule in RULES


def test_unknown_keys_are_warnings_only(tmp_path):
    result = read_examples(write(tmp_path / "a.jsonl", {**chat("a", "b"), "refrence": {}}))
    assert not result.errors and len(result.examples) == 1
    assert "Did you mean 'reference'?" in result.problems[0].message


@pytest.mark.parametrize(
    ("name", "content", "error", "code"),
    [
        ("empty.jsonl", b"", DataError, "empty-file"),
        ("blank.jsonl", b"\n \n", DataError, "empty-file"),
        ("photo.jsonl", b"\x89PNG\r\n\x1a\n\xff\xd8", DataError, "wrong-file"),
    ],
)
def test_wrong_files_end_in_one_clear_error(tmp_path, name, content, error, code):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error) as caught:
        read_examples(tmp_path / name)
    assert caught.value.code == code
    assert name in caught.value.message and "\n" not in caught.value.message


def test_missing_file_and_folder_and_format(tmp_path):
    with pytest.raises(NotFoundError):
        read_examples(tmp_path / "none.jsonl")
    with pytest.raises(DataError):
        read_examples(tmp_path)
    with pytest.raises(ConfigError, match="'llama'"):
        read_examples(write(tmp_path / "a.jsonl", chat("a", "b")), format="llama")


def test_line_separators_inside_json_do_not_cut_a_record(tmp_path):
    path = tmp_path / "u.jsonl"
    path.write_text(json.dumps(chat("a\u2028b", "c\x85d"), ensure_ascii=False) + "\r\n", "utf-8")
    (example,) = load_examples(path)
    assert example.messages[0].content == "a\u2028b"


def test_prompt_completion_is_detected(tmp_path):
    result = read_examples(write(tmp_path / "p.jsonl", {"prompt": "q", "completion": "r", "metadata": {"grade": "K"}}))
    assert result.format == "prompt-completion"
    assert [m.role for m in result.examples[0].messages] == ["user", "assistant"]
    assert result.examples[0].metadata["grade"] == 0


def test_mathdial_gives_a_tutor_and_a_learner_example(tmp_path):
    record = {
        "qid": 7,
        "question": "Ana has 3 bags of 4 pens. How many pens?",
        "ground_truth": "3 * 4 = 12\n 12",
        "student_incorrect_solution": "3 + 4 = 7\n 7",
        "student_profile": "Ana is a 5th grade student.",
        "teacher_described_confusion": "adds instead of multiplying",
        "conversation": "Teacher: (generic)Hi Ana|EOM|Ana: I got 7.|EOM|Teacher: (probing)What is in one bag?|EOM|Ana: 4 pens.|EOM|Teacher: (generic)Bye",
    }
    tutor, learner = load_examples(write(tmp_path / "m.jsonl", record))
    assert (tutor.task, learner.task) == ("tutor", "learner")
    assert [m.role for m in tutor.messages] == ["user", "assistant", "user", "assistant"]
    assert tutor.messages[1].content == "What is in one bag?"
    assert tutor.reference["claim"] == "7" and tutor.reference["answer"] == "12"
    assert learner.messages[0].role == "system" and "adds instead of multiplying" in learner.messages[0].content
    assert [m.content for m in learner.messages if m.role == "assistant"] == ["I got 7.", "4 pens."]
    assert tutor.metadata["grade_band"] == "3-5"


def test_items_are_the_replies_that_carry_loss():
    from homeroom.schema.examples import Example, Message

    example = Example((Message("user", "a"), Message("assistant", "b", 0), Message("user", "c"), Message("assistant", "d")))
    (item,) = example.items()
    assert (item.gold, item.turn, item.last_user, len(item.prompt)) == ("d", 1, "c", 3)
