"""What comes with Homeroom besides the course: examples for programs of several fields."""

from __future__ import annotations

from collections import Counter

import pytest

from homeroom.data.bundled import NAMES, PROGRAM_DATA, load_bundled, program_file
from homeroom.data.convert import write_examples
from homeroom.data.course import COURSE_NAME, load_course
from homeroom.data.lint.run import lint
from homeroom.data.reading import load_examples
from homeroom.tuning.dspy.shipped import shipped

PROGRAMS = sorted(PROGRAM_DATA)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_example_has_every_field_of_its_program(program):
    spec = shipped(program)
    for example in load_bundled(PROGRAM_DATA[program]):
        fields = example.extra["fields"]
        main, reply = fields["question"], fields["answer"]
        assert (main, reply) == (spec.main, spec.reply)
        assert {main, *fields.get("input", {})} == {field.name for field in spec.inputs}
        assert {reply, *fields["output"]} == {field.name for field in spec.outputs}
        user, assistant = example.messages
        assert user.content.strip() and assistant.content.strip()
        assert all(value not in ("", None) for value in (*fields.get("input", {}).values(), *fields["output"].values()))


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_rules_find_no_error_and_no_warning(program):
    found = lint([program_file(program)])
    assert {(f.code, f.severity) for f in found.findings} == {("QUA020", "info")}, "nothing but the note that none is reviewed"


@pytest.mark.parametrize("program", PROGRAMS)
def test_all_subjects_and_bands_are_there_and_nothing_is_written_twice(program):
    examples = load_bundled(PROGRAM_DATA[program])
    assert len(examples) >= 24
    assert {e.metadata["subject"] for e in examples} == {e.metadata["subject"] for e in load_course()}
    assert {e.metadata["grade_band"] for e in examples} == {"K-2", "3-5", "6-8", "9-12"}
    assert len({e.metadata["topic"] for e in examples}) >= 8
    assert all(e.metadata["review"] == "not yet reviewed by a teacher" for e in examples)
    assert len({e.metadata["id"] for e in examples}) == len({e.id for e in examples}) == len(examples)
    openings = Counter(" ".join(e.messages[1].content.split()[:3]) for e in examples)
    assert max(openings.values()) <= 3


def test_feedback_to_learners_is_about_right_and_wrong_answers():
    verdicts = Counter(e.extra["fields"]["output"]["correct"] for e in load_bundled("homeroom-feedback-learner"))
    assert min(verdicts[True], verdicts[False]) >= 9
    for example in load_bundled("homeroom-feedback-learner"):
        given = example.extra["fields"]["output"]
        assert bool(given["look_again"]) is not given["correct"], "a right answer has no place to look at again"
        assert example.reference["claim_is_correct"] is given["correct"]


def test_the_course_is_what_it_was():
    assert load_bundled(COURSE_NAME) == load_course()
    ours = {example.id for name in NAMES if name != COURSE_NAME for example in load_bundled(name)}
    assert not ours & {example.id for example in load_course()}
    assert Counter(example.task for example in load_course()) == {"tutor": 396, "learner": 96}


@pytest.mark.parametrize("program", PROGRAMS)
def test_they_are_written_as_they_were_read(program, tmp_path):
    examples = load_bundled(PROGRAM_DATA[program])
    done = write_examples(lambda: examples, tmp_path / "out.jsonl", to="dspy")
    assert done.dropped == {} and load_examples(tmp_path / "out.jsonl") == examples


def test_unknown_names_are_not_bundled():
    with pytest.raises(KeyError):
        load_bundled("homeroom-poems")
    with pytest.raises(KeyError):
        program_file("answer")
