"""Scorecards: every measure of one system over the same items, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from homeroom.errors import ConfigError
from homeroom.evaluation.answers import ERROR
from homeroom.evaluation.compare import Resampler, summarise
from homeroom.evaluation.metrics.variety import details
from homeroom.schema.evaluation import Answer, Metric, MetricSummary, Scorecard
from homeroom.schema.examples import Item

AUTHORED = "authored"
NOT_AVAILABLE = "not available"


def groups_of(items: Sequence[Item]) -> list[str]:
    """What the bootstrap draws: the topic where the example names one, otherwise the example."""
    return [str(item.example.metadata.get("topic") or item.example.id) for item in items]


def authored_answers(items: Sequence[Item]) -> list[Answer]:
    """The replies people wrote, as a system of their own: the reference row that every other row is read against."""
    return [Answer(item.id, AUTHORED, item.gold) for item in items]


def score(
    items: Sequence[Item],
    answers: Sequence[Answer],
    *,
    system: str,
    model: str,
    dataset: str,
    metrics: Sequence[Metric],
    resampler: Resampler,
    held_out_loss: float | None = None,
) -> Scorecard:
    """The scorecard of one system.

    Args:
        items: Items of one task.
        answers: In the items' order.
        system: Name of the system.
        model: Its model's name.
        dataset: Name of the dataset version.
        metrics: What to measure.
        resampler: Draws shared by all systems of the run.
        held_out_loss: Mean token loss on the test examples, where the trainer process measured it. Kept in ``extra``:
            not a measure of quality.

    Raises:
        ConfigError: there is nothing to score, items of two tasks, or answers of other items.
    """
    if not items:
        raise ConfigError("there are no held-out items to score. Check the test split: homeroom data versions", code="no-items")
    tasks = {item.example.task for item in items}
    if len(tasks) > 1:
        raise ConfigError(
            f"items of one evaluation must share a task, these hold {sorted(tasks)!r}. Judge one task at a time: "
            "homeroom eval run --model NAME",
            code="mixed-tasks",
        )
    if [item.id for item in items] != [answer.item_id for answer in answers]:
        raise ConfigError(
            f"the answers of {system!r} are not those of the items, in order. Generate them again", code="answers-mismatch"
        )
    answers = [replace(answer, text=answer.text.strip()) for answer in answers]
    values = {metric.name: metric.score(items, answers) for metric in metrics}
    summaries: dict[str, MetricSummary] = {name: summarise(name, row, resampler) for name, row in values.items()}
    extra: Mapping[str, Any] = {  # figures of mixed types, for the report
        "held_out_loss": NOT_AVAILABLE if held_out_loss is None else held_out_loss,
        "failed": sum(answer.finish_reason == ERROR for answer in answers),
        "truncated": sum(answer.finish_reason == "length" for answer in answers),
        "empty": sum(not answer.text for answer in answers),
        "variety": details(items, answers),
    }
    return Scorecard(system, model, dataset, tasks.pop(), tuple(item.id for item in items), summaries, values, extra)
