"""The job that judges a tuned model: answers from base, base with demonstrations, and the model; scorecard, verdict, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from homeroom import __version__
from homeroom.app.agreements import purse_of_job
from homeroom.app.directory import HomeDirectory
from homeroom.app.dspy_job import shipped_as
from homeroom.app.endpoints import endpoint_of, open_endpoint_model
from homeroom.app.engines import Resolve, engine
from homeroom.app.evaluation import (
    evaluation_quotes,
    few_shot_control,
    held_out_items,
    judged_settings,
    left_out,
    opened,
    seen_elsewhere,
)
from homeroom.app.metering import Use
from homeroom.app.own_weights import own_files, own_identity
from homeroom.app.program_inputs import asked_of, beside, several_inputs
from homeroom.app.programs import spec_of
from homeroom.app.talk import running_directory
from homeroom.app.tuning import CHARACTERS_A_TOKEN
from homeroom.data.datasets import Dataset
from homeroom.evaluation.evaluate import System, evaluate
from homeroom.evaluation.prompts import PlainPrompt
from homeroom.evaluation.protocol import protocol
from homeroom.evaluation.report import write_report
from homeroom.evaluation.results import Evaluation
from homeroom.ledger.purse import Purse
from homeroom.models.engine_info import EngineInfo
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.registry.records import ScorecardRecord
from homeroom.schema.chat import ChatModel
from homeroom.schema.examples import Item
from homeroom.schema.jobs import JobContext
from homeroom.schema.models import BaseFiles, TunedModel

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def handle(context: JobContext, home: Homeroom) -> Mapping[str, Any]:
    """Run the evaluation of ``context.job`` and register its scorecard, report and verdict."""
    payload = context.job.payload
    model = home.registry.get(str(payload["model"]))
    card_id = f"score-{context.job.id.removeprefix('job-')}"
    known = next((card for card in home.registry.scorecards(model.name) if card.id == card_id), None)
    if known is not None:  # an earlier attempt recorded it and died before it could say so
        return _told(home, known, context.job.id)
    dataset = home.datasets.get(str(payload["dataset"]))
    opened(home, context.job.id, dataset, str(payload["task"]), [model])
    seen = seen_elsewhere(home, dataset, [model])
    items = held_out_items(dataset, str(payload["task"]), int(payload["items"]), seen)
    missing = left_out(dataset, str(payload["task"]), seen)
    if missing:
        context.event(missing, level="warning")
    if unfit := _checks_unfit(home, model):
        context.event(unfit, level="warning")
    if endpoint_of(home.settings, model.base) is None:
        base = home.base_files(model.base)
        losses = _losses(context, base, model, home, items)
        with _at_the_engine(home, base, model) as asked:
            result = _answer_and_judge(context, home, asked, model, dataset, items, losses, missing)
    else:
        purse = purse_of_job(home, context, lambda: evaluation_quotes(home, model, dataset, payload, again=True))
        with _at_the_endpoint(home, model, Use("judging", model.method, context.job.id), purse) as asked:
            result = _answer_and_judge(context, home, asked, model, dataset, items, {}, missing)
    with home.artifacts.write("report") as draft:
        write_report(result, draft.folder)
    card = home.registry.add_scorecard(model.name, dataset.info.id, draft.id, result.summary(), scorecard_id=card_id)
    return _told(home, card, context.job.id)


def _checks_unfit(home: Homeroom, model: TunedModel) -> str:
    """What is told of a model whose own program was searched by another measure than a tutor's checks; empty otherwise."""
    spec = spec_of(home, model)
    if spec is None or shipped_as(spec) or model.metrics.get("metric") == "checks":
        return ""
    return (
        f"A {model.task}'s checks do not fit {spec.name!r}, a program of your own. By the measure that its search chose by: "
        f"homeroom tune score {model.name}"
    )


def _told(home: Homeroom, card: ScorecardRecord, job_id: str) -> Mapping[str, Any]:  # the job's result
    home.registry.set_verdict(card.model_name, card.summary["outcome"])
    opening = home.held_out.opening(job_id)
    looked = {"opening": opening.to_dict()} if opening else {}
    return {"model": card.model_name, "report": card.report_artifact, **card.summary, **looked}


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who answers.

    Attributes:
        base: The base model.
        tuned: The candidate.
        name: Of the base.
        identity: Of the base and how it is served: part of the answers' cache key.
        count: Tokens of a text, exactly or roughly.
        context_tokens: Longest prompt plus reply.
    """

    base: ChatModel
    tuned: ChatModel
    name: str
    identity: str
    count: Callable[[str], int]
    context_tokens: int


@contextmanager
def _at_the_engine(home: Homeroom, base: BaseFiles, model: TunedModel) -> Iterator[_Asked]:
    tokenizer = ChatTokenizer(base.weights)
    with (
        engine(home, base, batch=True, wanted=(model.name,)) as resolve,
        engine(home, own_files(home, model), batch=True) if model.kind == "full" else nullcontext() as own,
        closing(HomeDirectory(home.with_base(base.name), _either(resolve, own, own_identity(model)))) as directory,
    ):
        yield _Asked(
            directory.chat_model(base.name),
            directory.chat_model(model.name),
            base.name,
            f"{base.identity}:{home.settings.engine_weights}:{resolve().context_tokens}",
            lambda text: len(tokenizer.encode(text)),
            min(home.settings.engine_context, base.context_tokens),
        )


def _either(resolve: Resolve, own: Resolve | None, of_own: str) -> Resolve:
    """The base's engine, or for the identity ``of_own`` that of a model with weights of its own."""

    def resolved(identity: str = "", adapter: str | None = None, failed: EngineInfo | None = None) -> EngineInfo:
        return (own if own is not None and identity == of_own else resolve)(identity, adapter, failed)

    return resolved


@contextmanager
def _at_the_endpoint(home: Homeroom, model: TunedModel, use: Use, purse: Purse | None) -> Iterator[_Asked]:
    base, identity = open_endpoint_model(home, model.base, use, purse)
    with closing(base), closing(running_directory(home, use, purse)) as directory:
        context = home.settings.engine_context

        def count(text: str) -> int:
            return len(text) // CHARACTERS_A_TOKEN

        yield _Asked(base, directory.chat_model(model.name), model.base, identity, count, context)


def _answer_and_judge(
    context: JobContext,
    home: Homeroom,
    asked: _Asked,
    model: TunedModel,
    dataset: Dataset,
    items: Sequence[Item],
    losses: Mapping[str, float],
    missing: str,
) -> Evaluation:
    prompt_text = str(model.settings.get("system_prompt") or "")
    program = several_inputs(home, [model])
    plain = beside(PlainPrompt(prompt_text), program)
    task, shots = str(context.job.payload["task"]), int(context.job.payload["shots"])
    shown = few_shot_control(
        dataset,
        task,
        items,
        shots=shots,
        system_text=prompt_text,
        count=asked.count,
        context_tokens=asked.context_tokens,
        program=program,
    )
    count = len(shown.demonstrations)
    demonstrations = f"Base, {count} demonstration{'s' if count != 1 else ''}"
    tuned_identity = f"{asked.identity}:{model.artifact or model.remote_id}"
    systems = [
        System("base", "base", asked.base, plain, asked.identity, "Base", losses.get("base")),
        System("few-shot", "few-shot", asked.base, beside(shown, program), asked.identity, demonstrations),
        System("tuned", "candidate", asked.tuned, asked_of(home, model), tuned_identity, "Tuned", losses.get("tuned")),
    ]
    return evaluate(
        items,
        systems,
        judged_settings(model, int(context.job.payload["max_tokens"])),
        cache_dir=home.settings.home / "answers",
        dataset=f"{dataset.info.name}@{dataset.info.version}",
        plan=protocol(task),
        concurrency=home.settings.engine_slots,
        reporter=context,
        lineage={
            "model": model.name,
            "dataset": dataset.info.id,
            "base": asked.name,
            "base identity": asked.identity[:16],
            "recipe": str(model.recipe.get("name", "")),
            "test split": _looked(home, context.job.id),
            **({"left out": missing} if missing else {}),
            "code": __version__,
        },
        created_at=time.time(),
    )


def _looked(home: Homeroom, job_id: str) -> str:
    """How often the test split was opened, for the report; empty where that was not counted."""
    opening = home.held_out.opening(job_id)
    return opening.text if opening else ""


def _losses(
    context: JobContext, base: BaseFiles, model: TunedModel, home: Homeroom, items: Sequence[Item]
) -> Mapping[str, float]:
    """Held-out loss of base and tuned model per reply token, where the weights are here; empty otherwise."""
    if model.kind not in ("lora", "full") or model.method == "dspy":  # which never answers without its prompt
        return {}
    from homeroom.tuning.huggingface.cores import yield_cores_soon

    yield_cores_soon()  # before the next import brings PyTorch in
    from homeroom.tuning.huggingface.token_loss import held_out_loss

    prompt_text = str(model.settings.get("system_prompt") or "")
    wanted = {(item.example.id, item.turn) for item in items}
    examples = list({item.example.id: item.example for item in items}.values())
    keep = [(e.id, item.turn) in wanted for e in examples for item in e.items()]
    found: dict[str, float] = {}
    adapter = None if model.kind == "full" else home.artifacts.path(model.artifact)
    tuned = own_files(home, model) if model.kind == "full" else base
    for name, files, adapted in (("base", base, None), ("tuned", tuned, adapter)):
        context.progress(0.0, f"held-out loss of {name}")
        own = [e.with_system(prompt_text) for e in examples]
        rows = held_out_loss(files, adapted, own, threads=home.settings.threads)
        rows = [row for row, kept in zip(rows, keep, strict=True) if kept]
        found[name] = sum(row.nll for row in rows) / max(1, sum(row.tokens for row in rows))
    return found
