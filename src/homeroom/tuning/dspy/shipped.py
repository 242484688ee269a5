"""The programs for teaching that come with Homeroom."""

from __future__ import annotations

from homeroom.errors import NotFoundError
from homeroom.tuning.dspy.spec import InputField, OutputField, ProgramSpec

_TEXTS = {"type": "array", "items": {"type": "string"}}
_GUIDE = (
    "You are a patient tutor. Use the learner's own words and numbers, give one step, and ask one question. "
    "Never give the answer."
)

ANSWER = ProgramSpec(
    "answer",
    _GUIDE,
    (InputField("question", "what the learner writes"),),
    (OutputField("answer", "what the tutor replies"),),
)
ANSWER_FROM_CONTEXT = ProgramSpec(
    "answer_from_context",
    f"{_GUIDE} Take facts from the passages alone; where they do not say it, say so.",
    (InputField("question", "what the learner writes"), InputField("context", "passages of the curriculum")),
    (OutputField("answer", "what the tutor replies"),),
)
LEARNER = ProgramSpec(
    "learner",
    "Play the student who is described. Answer your teacher in a student's words, briefly, and keep your mistake until your own "
    "thinking shows it to you. Never explain like a teacher.",
    (InputField("teacher", "what the teacher says"),),
    (OutputField("reply", "what the student says"),),
    shown_as="appendix",
)
SCENARIO = ProgramSpec(
    "scenario",
    "Write a short classroom situation in which a teacher can practise. The student makes one mistake that children of this "
    "grade really make, and does not say that it is one.",
    (InputField("topic", "what the lesson is about"), InputField("subject"), InputField("grade")),
    (
        OutputField("situation", "what happens, in two or three sentences"),
        OutputField("task", "the question that the student works on"),
        OutputField("mistake", "what the student believes"),
        OutputField("student_says", "the student's first words"),
    ),
)
FEEDBACK_TEACHER = ProgramSpec(
    "feedback_teacher",
    "Give a teacher in training feedback on a reply to a student: what it did well, one thing to change, and why that helps the "
    "student think.",
    (
        InputField("teacher_reply", "what the teacher said"),
        InputField("situation", "what went before"),
        InputField("student_says", "what the student said"),
    ),
    (
        OutputField("feedback", "what the teacher is told"),
        OutputField("strength", "what was done well"),
        OutputField("next_step", "one thing to try next"),
    ),
)
FEEDBACK_LEARNER = ProgramSpec(
    "feedback_learner",
    "Give a learner feedback on an answer: say what is right in it, point at the place to look at again, and do not give the "
    "solution away.",
    (InputField("learner_answer", "what the learner wrote"), InputField("question", "what was asked")),
    (
        OutputField("feedback", "what the learner is told"),
        OutputField("correct", "whether the answer is right", {"type": "boolean"}),
        OutputField("look_again", "places to look at again", _TEXTS),
    ),
)
SHIPPED = (ANSWER, ANSWER_FROM_CONTEXT, LEARNER, SCENARIO, FEEDBACK_TEACHER, FEEDBACK_LEARNER)


def shipped(name: str) -> ProgramSpec:
    """The program of that name.

    Raises:
        NotFoundError: ``unknown-program``: there is none; the message lists what there is.
    """
    found = next((spec for spec in SHIPPED if spec.name == name.replace("-", "_")), None)
    if found is None:
        known = ", ".join(spec.name for spec in SHIPPED)
        if not name:
            raise NotFoundError(
                f"No program is named, and the model was not tuned for one. Name one: --program {known}", code="unknown-program"
            )
        raise NotFoundError(
            f"There is no program {name!r}. Shipped are: {known}. For a signature of your own write --program "
            "my_module:MySignature or my_file.py:MySignature",
            code="unknown-program",
        )
    return found
