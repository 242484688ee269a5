"""Homeroom: educational chatbots that are tuned, grounded and proven.

``import homeroom`` loads nothing else. The public names are re-exported lazily, so ``homeroom.open()`` and
``homeroom.check_data("examples.jsonl")`` work without further imports.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public name -> (module, name there). What works on data needs no home.
_PUBLIC = {
    "Homeroom": ("homeroom.app.home", "Homeroom"),
    "open": ("homeroom.app", "open"),
    "homeroom_lm": ("homeroom.app.dspy_lm", "homeroom_lm"),
    "check_data": ("homeroom.data.lint.run", "lint"),
    "read_examples": ("homeroom.data.reading", "read_examples"),
    "load_examples": ("homeroom.data.reading", "load_examples"),
    "convert": ("homeroom.app.project", "convert_file"),
    "write_examples": ("homeroom.data.convert", "write_examples"),
    "plan_fixes": ("homeroom.data.fix", "plan_fixes"),
    "apply_fixes": ("homeroom.data.fix", "apply_fixes"),
    "split": ("homeroom.data.split", "assign"),
    "statistics": ("homeroom.data.stats", "statistics"),
    "difference": ("homeroom.data.diff", "difference"),
    "merge": ("homeroom.data.merge", "merge"),
    "nested_samples": ("homeroom.data.sample", "nested_samples"),
    "load_course": ("homeroom.data.course", "load_course"),
    "load_bundled": ("homeroom.data.bundled", "load_bundled"),
    # What the commands do, on an open home.
    "fetch": ("homeroom.app.steps", "fetch"),
    "plan": ("homeroom.app.steps", "plan"),
    "tune": ("homeroom.app.steps", "tune"),
    "batch": ("homeroom.app.several", "batch"),
    "resume": ("homeroom.app.several", "resume"),
    "sweep": ("homeroom.app.choosing", "sweep"),
    "evaluate": ("homeroom.app.steps", "evaluate"),
    "compare": ("homeroom.app.choosing", "compare"),
    "recommend": ("homeroom.app.choosing", "recommend"),
    "probe": ("homeroom.app.choosing", "probe"),
    "unsolved": ("homeroom.app.unsolved", "unsolved"),
    "traces": ("homeroom.app.traces", "good_traces"),
    "conversation": ("homeroom.app.steps", "conversation"),
    "program": ("homeroom.app.programs", "program"),
    "score_program": ("homeroom.app.program_scores", "score_program"),
    "shown_prompt": ("homeroom.app.prompts", "shown_prompt"),
    "scenarios_from_examples": ("homeroom.chat.scenarios", "scenarios_from_examples"),
    "feedback": ("homeroom.chat.practice_feedback", "feedback"),
}
__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 - the names above


def __getattr__(name: str) -> Any:  # whatever the public name is
    if name not in _PUBLIC:
        raise AttributeError(f"module 'homeroom' has no attribute {name!r}")
    module, public = _PUBLIC[name]
    return getattr(import_module(module), public)
