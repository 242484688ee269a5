"""Datasets whose examples are for a program of several fields: which program, and refusing them where a dialogue is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from homeroom.data.bundled import PROGRAM_DATA
from homeroom.data.datasets import Dataset
from homeroom.errors import ConfigError, DataError
from homeroom.evaluation.field_checks import MAIN, REPLY, fields_of
from homeroom.schema.examples import Example, Item
from homeroom.tuning.dspy.shipped import shipped
from homeroom.tuning.dspy.spec import ProgramSpec


def program_of(dataset: Dataset) -> str:
    """The shipped program whose fields every example has; empty where there is none."""
    kept = [_outputs(example) for example in dataset.examples]
    for program in MAIN:
        beside = {field.name for field in shipped(program).outputs} - {REPLY[program]}
        if kept and all(beside <= outputs.keys() for outputs in kept):
            return program
    return ""


def lacking(spec: ProgramSpec, items: Sequence[Item], *, inputs: bool) -> list[str]:
    """Outputs that no item's author gave; and with ``inputs``, inputs beside the main one that none of the items has."""
    given = [spec.given(item) for item in items]
    written = [{**_outputs(item.example), **(fields_of(item.gold) or {spec.reply: item.gold})} for item in items]
    asked = [f.name for f in spec.inputs if f.name != spec.main] if inputs else []
    outputs = [field.name for field in spec.outputs if not any(field.name in said for said in written)]
    return [*outputs, *(name for name in asked if not any(values[name] for values in given))]


def require_fields(spec: ProgramSpec, dataset: Dataset, items: Sequence[Item], *, own: bool) -> None:
    """Refuse examples that are not for a program, before anybody is asked and before a test split is opened.

    Args:
        spec: The program.
        dataset: The version.
        items: Those of its items that will be asked.
        own: Whether the program is nobody's but the user's: then its inputs are wanted as well.

    Raises:
        DataError: ``program-fields``.
    """
    missing = lacking(spec, items, inputs=own)
    if missing:
        shipped_data = "" if own or spec.name not in PROGRAM_DATA else f" Or take --dataset {PROGRAM_DATA[spec.name]}"
        raise DataError(
            f"No example that is asked of {dataset.info.name}@{dataset.info.version} has {', '.join(map(repr, missing))} of the "
            f"program {spec.name!r}. Nothing was asked. Write them into the key 'fields' of its records, "
            f'{{"input": {{...}}, "output": {{...}}}}, or name another dataset: homeroom data versions.{shipped_data}',
            code="program-fields",
        )


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
