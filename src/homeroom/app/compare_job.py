"""The job that compares: every method and every control on one test split, scored, paired, and advised upon."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from homeroom import __version__
from homeroom.app.agreements import purse_of_job
from homeroom.app.compare_answers import Asked, Participant, ask_all, place_identity
from homeroom.app.compare_entries import of_a_probe
from homeroom.app.compare_facts import ease_of, facts_of, label_of
from homeroom.app.comparing import compared_quote, models_of
from homeroom.app.evaluation import few_shot_control, held_out_items, judged_settings, left_out, opened, seen_elsewhere
from homeroom.app.program_inputs import asked_of, beside, several_inputs
from homeroom.app.spending import Quote, answering
from homeroom.data.datasets import Dataset
from homeroom.errors import ConfigError
from homeroom.evaluation.comparison import Comparison, compare
from homeroom.evaluation.comparison_report import write_comparison
from homeroom.evaluation.prompts import PlainPrompt, PromptBuilder
from homeroom.evaluation.protocol import protocol
from homeroom.evaluation.transcripts import picked
from homeroom.evaluation.written_prompt import WRITTEN, WrittenPrompt
from homeroom.schema.examples import Item
from homeroom.schema.jobs import JobContext
from homeroom.schema.models import TunedModel

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def handle(context: JobContext, home: Homeroom) -> Mapping[str, Any]:
    """Run the comparison of ``context.job``: replies that are kept are used again, so that it goes on where it stopped."""
    payload = context.job.payload
    dataset, task = home.datasets.get(str(payload["dataset"])), str(payload["task"])
    models = models_of(home, payload["entries"], task)
    if not models:
        raise ConfigError(
            f"None of the tuned models plays the part {task!r}. Name one that does: homeroom tune compare --models NAME",
            code="nothing-to-compare",
        )
    opening = opened(home, context.job.id, dataset, task, models)
    context.event(opening.text)
    seen = seen_elsewhere(home, dataset, models)
    items = held_out_items(dataset, task, int(payload["items"]), seen)
    missing = left_out(dataset, task, seen)
    if missing:
        context.event(missing, level="warning")
    found = compared(context, home, dataset, items, models, {**payload, "left_out": missing}, opening.to_dict())
    with home.artifacts.write("report") as draft:
        write_comparison(found, draft.folder)
    return {"report": draft.id, **told(found)}


def told(found: Comparison) -> Mapping[str, Any]:
    """The few figures that a job's result keeps."""
    advice = found.advice
    return {
        "advice": {"kind": advice.kind, "system": advice.system, "headline": advice.headline},
        "shares": {s.name: s.share for s in found.standings},
        "models": {f.label: f.model for f in found.facts if f.method},
        "opening": dict(found.opening),
    }


def compared(
    context: JobContext,
    home: Homeroom,
    dataset: Dataset,
    items: Sequence[Item],
    models: Sequence[TunedModel],
    payload: Mapping[str, Any],
    opening: Mapping[str, Any],
) -> Comparison:
    """Ask the controls and the models, and compare them.

    Args:
        context: The job.
        home: The open home.
        dataset: The version: demonstrations come from its training part.
        items: What everybody answers.
        models: The tuned ones.
        payload: ``task``, ``base``, ``shots``, ``max_tokens`` and ``prompt``; ``left_out`` where a part of the split is.
        opening: Of the test split; empty where none was opened.

    Raises:
        PurseSpent: ``run-spent``: the replies cost what was told before.
    """
    task, base = str(payload["task"]), str(payload["base"])
    order = sorted(models, key=lambda m: (ease_of(home, m), float(m.metrics.get("seconds") or 0)))
    settings = judged_settings(order[0], int(payload["max_tokens"]))
    participants = _participants(home, dataset, items, order, payload)
    plan = protocol(task)
    context.event("\n".join(plan.lines()), data={"hash": plan.hash, "transcripts": picked(items, plan.transcripts, plan.seed)})
    purse = purse_of_job(home, context, lambda: [_quote(home, dataset, items, models, payload)])
    replies, spent = ask_all(context, home, base, participants, items, settings, purse)
    context.progress(1.0, "scoring")
    facts = [facts_of(home, one.name, base, one.model, spent.get(one.name)) for one in participants]
    lineage = {
        "dataset": dataset.info.id,
        "base": base,
        "base identity": place_identity(home, base)[:16],
        **{f"recipe of {one.name}": str(one.model.recipe.get("name", "")) for one in participants if one.model is not None},
        "test split": str(opening.get("text", "")),
        **({"left out": str(payload["left_out"])} if payload.get("left_out") else {}),
        "code": __version__,
    }
    return compare(
        items,
        replies,
        facts,
        plan=plan,
        dataset=f"{dataset.info.name}@{dataset.info.version}",
        settings=settings.to_dict(),
        lineage=lineage,
        opening=dict(opening),
        created_at=time.time(),
    )


def _quote(
    home: Homeroom, dataset: Dataset, items: Sequence[Item], models: Sequence[TunedModel], payload: Mapping[str, Any]
) -> Quote:
    tuned = [asked for model in models for asked in answering(home, model)]
    systems = [str(model.settings.get("system_prompt") or "") for model in models]
    program = several_inputs(home, models)
    return compared_quote(home, "comparison", dataset, payload, items, tuned, systems, program=program)


def _participants(
    home: Homeroom, dataset: Dataset, items: Sequence[Item], models: Sequence[TunedModel], payload: Mapping[str, Any]
) -> list[Participant]:
    """The controls and the models, the easiest to take back first."""
    task = str(payload["task"])
    visible = next((text for m in models if (text := str(m.settings.get("system_prompt") or ""))), "")
    program = several_inputs(home, models)
    plain = beside(PlainPrompt(visible), program)
    written = beside(WrittenPrompt(str(payload.get("prompt") or WRITTEN[task])), program)

    def shown(asked: Asked) -> PromptBuilder:
        control = few_shot_control(
            dataset,
            task,
            items,
            shots=int(payload["shots"]),
            system_text=visible,
            count=asked.count,
            context_tokens=asked.context_tokens,
            program=program,
        )
        return beside(control, program)

    labels = _labels(home, models)
    return [
        Participant("base", "base", lambda asked: plain),
        Participant("prompt", "other", lambda asked: written),
        Participant("few-shot", "few-shot", shown),
        *(
            Participant(label, "candidate", _own(home, model), model, "tuned")
            for label, model in zip(labels, models, strict=True)
        ),
    ]


def _own(home: Homeroom, model: TunedModel) -> Callable[[Asked], PromptBuilder]:
    """A tuned model's own visible prompt and program, whoever asks."""
    prompt = asked_of(home, model)
    return lambda asked: prompt


def _labels(home: Homeroom, models: Sequence[TunedModel]) -> list[str]:
    """The method of each; with its suffix and id where two have the same."""
    labels = [f"{'a short tune, ' if of_a_probe(m) else ''}{label_of(home, m)}" for m in models]
    return [
        f"{label} {model.suffix}:{model.id8}" if labels.count(label) > 1 else label
        for label, model in zip(labels, models, strict=True)
    ]
