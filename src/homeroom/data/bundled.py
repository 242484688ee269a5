"""What comes with Homeroom, by the name that its dataset gets: the course, and examples for programs of several fields.

The examples of programs are not part of the course: no tutor or learner is tuned or judged on them.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from homeroom.schema.examples import Example

COURSE_NAME = "homeroom-course"
PROGRAM_DATA = {
    "scenario": "homeroom-scenarios",
    "feedback_teacher": "homeroom-feedback-teacher",
    "feedback_learner": "homeroom-feedback-learner",
}
"""Name of a program to that of its examples."""

NAMES = (COURSE_NAME, *PROGRAM_DATA.values())
NOTE = "Written for Homeroom. No teacher has reviewed them yet."
"""For the data card."""


def program_file(program: str) -> Path:
    """The bundled examples of a program, in DSPy's format.

    Raises:
        KeyError: the program has none.
    """
    PROGRAM_DATA[program]
    return Path(str(resources.files("homeroom.data").joinpath("programs", f"{program}.jsonl")))


def load_bundled(name: str) -> list[Example]:
    """The bundled examples of one of `NAMES`.

    Raises:
        KeyError: nothing of that name is bundled.
    """
    from homeroom.data.course import load_course  # the names are read where nothing is loaded
    from homeroom.data.reading import load_examples

    if name == COURSE_NAME:
        return load_course()
    program = {dataset: program for program, dataset in PROGRAM_DATA.items()}[name]
    return load_examples(program_file(program), format="dspy")
