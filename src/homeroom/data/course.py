"""The bundled course: tutor examples and simulated-learner dialogues, written for Homeroom.

Marked "not yet reviewed by a teacher" in each record until one has.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from homeroom.data.bundled import COURSE_NAME
from homeroom.data.reading import load_examples
from homeroom.schema.examples import Example

__all__ = ["COURSE_NAME", "course_files", "load_course"]


def course_files() -> list[Path]:
    """The files of the course, in a stable order."""
    folder = Path(str(resources.files("homeroom.data").joinpath("course")))
    return sorted(folder.glob("*.jsonl"))


def load_course() -> list[Example]:
    """Every example of the course, tutor and learner."""
    return [example for path in course_files() for example in load_examples(path)]
