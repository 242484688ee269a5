"""Datasets whose examples are for a program of several fields: which program, and refusing them where a dialogue is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homeroom.data.datasets import Dataset
from homeroom.errors import ConfigError
from homeroom.evaluation.field_checks import MAIN, REPLY
from homeroom.schema.examples import Example
from homeroom.tuning.dspy.shipped import shipped


def program_of(dataset: Dataset) -> str:
    """The shipped program whose fields every example has; empty where there is none."""
    kept = [_outputs(example) for example in dataset.examples]
    for program in MAIN:
        beside = {field.name for field in shipped(program).outputs} - {REPLY[program]}
        if kept and all(beside <= outputs.keys() for outputs in kept):
            return program
    return ""


def require_dialogue(dataset: Dataset) -> None:
    """Refuse examples of several fields where a tutor's or a learner's words are judged.

    Raises:
        ConfigError: ``program-data``.
    """
    if program := program_of(dataset):
        name = f"{dataset.info.name}@{dataset.info.version}"
        raise ConfigError(
            f"{name} holds examples for the program {program!r}, and this judges a tutor's or a learner's words. Tune its prompt "
            f"and judge its fields: homeroom tune run --recipe recipes/feedback.yaml --program {program} --dataset {name}; then "
            f"homeroom tune score MODEL, and for the base: homeroom tune score BASE --program {program}",
            code="program-data",
        )


def _outputs(example: Example) -> Mapping[str, Any]:  # any JSON
    fields = example.extra.get("fields")
    outputs = fields.get("output") if isinstance(fields, Mapping) else None
    return outputs if isinstance(outputs, Mapping) else {}
