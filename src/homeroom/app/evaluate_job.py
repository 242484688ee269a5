"""The job that judges a tuned model: answers from base, base with demonstrations, and the model; scorecard, verdict, report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from homeroom import __version__
from homeroom.app.directory import HomeDirectory
from homeroom.app.engines import engine
from homeroom.app.evaluation import held_out_items
from homeroom.data.datasets import Dataset
from homeroom.evaluation.evaluate import System, evaluate
from homeroom.evaluation.prompts import FewShotPrompt, PlainPrompt, few_shot_prompt, leaks
from homeroom.evaluation.protocol import protocol
from homeroom.evaluation.report import write_report
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Item
from homeroom.schema.jobs import JobContext
from homeroom.schema.models import BaseFiles, TunedModel

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

SHOTS_BUDGET_TOKENS = 520
SEED = 20
TURN_TOKENS = 8  # what a turn costs beside its text


def handle(context: JobContext, home: Homeroom) -> Mapping[str, Any]:
    """Run the evaluation of ``context.job`` and register its scorecard, report and verdict."""
    payload = context.job.payload
    model = home.registry.get(str(payload["model"]))
    dataset = home.datasets.get(str(payload["dataset"]))
    items = held_out_items(dataset, str(payload["task"]), int(payload["items"]))
    base = home.base_files(model.base)
    losses = _losses(context, base, model, home, items)
    result = _answer_and_judge(context, home, base, model, dataset, items, losses)
    with home.artifacts.write("report") as draft:
        write_report(result, draft.folder)
    summary = result.summary()
    home.registry.add_scorecard(model.name, dataset.info.id, draft.id, summary)
    home.registry.set_verdict(model.name, summary["outcome"])
    return {"model": model.name, "report": draft.id, **summary}


def _answer_and_judge(
    context: JobContext,
    home: Homeroom,
    base: BaseFiles,
    model: TunedModel,
    dataset: Dataset,
    items: Sequence[Item],
    losses: Mapping[str, float],
) -> Any:  # an Evaluation
    prompt_text = str(model.settings.get("system_prompt") or "")
    plain = PlainPrompt(prompt_text)
    task, shots = str(context.job.payload["task"]), int(context.job.payload["shots"])
    shown = _few_shot(home, base, dataset, task, shots, prompt_text, items)
    settings = _settings(model, int(context.job.payload["max_tokens"]))
    with (
        engine(home, base, batch=True, wanted=(model.name,)) as resolve,
        closing(HomeDirectory(home.with_base(base.name), lambda adapter: resolve())) as directory,
    ):
        base_model = directory.chat_model(base.name)
        identity = f"{base.identity}:{resolve().context_tokens}"
        count = len(shown.demonstrations)
        systems = [
            System("base", "base", base_model, plain, identity, "Base", losses.get("base")),
            System(
                "few-shot", "few-shot", base_model, shown, identity, f"Base, {count} demonstration{'s' if count != 1 else ''}"
            ),
            System(
                "tuned",
                "candidate",
                directory.chat_model(model.name),
                plain,
                f"{identity}:{model.artifact}",
                "Tuned",
                losses.get("tuned"),
            ),
        ]
        return evaluate(
            items,
            systems,
            settings,
            cache_dir=home.settings.home / "answers",
            dataset=f"{dataset.info.name}@{dataset.info.version}",
            plan=protocol(str(context.job.payload["task"])),
            concurrency=home.settings.engine_slots,
            reporter=context,
            lineage={
                "model": model.name,
                "dataset": dataset.info.id,
                "base": base.name,
                "base identity": base.identity[:16],
                "recipe": str(model.recipe.get("name", "")),
                "code": __version__,
            },
            created_at=time.time(),
        )


def _settings(model: TunedModel, max_tokens: int) -> GenerationSettings:
    """The settings saved with the model, as people will meet it, but short and seeded: all systems are asked alike.

    A learner is drawn at a temperature, and judged as drawn: greedy, a small model repeats itself where in use it does not.
    """
    own = GenerationSettings.from_dict(dict(model.settings))
    return replace(own, max_tokens=min(max_tokens, own.max_tokens), seed=SEED, json_schema=None)


def _few_shot(
    home: Homeroom, base: BaseFiles, dataset: Dataset, task: str, shots: int, prompt_text: str, items: Sequence[Item]
) -> FewShotPrompt:
    tokenizer = ChatTokenizer(base.weights)
    train = dataset.part("train", task)

    def count(text: str) -> int:
        return len(tokenizer.encode(text))

    # Where every dialogue is long, the shortest one is shown; where even that leaves no room for the question, none is.
    shortest = min((sum(count(m.content) + TURN_TOKENS for m in e.messages) for e in train), default=0)
    room = min(home.settings.engine_context, base.context_tokens) // 2
    budget = max(SHOTS_BUDGET_TOKENS, shortest)
    shown = few_shot_prompt(train, shots if shortest <= room else 0, 0, budget, count, system_text=prompt_text)
    leaked = leaks(shown, items)
    assert not leaked, f"demonstrations share topics with held-out items: {leaked}"  # the split makes this impossible
    return shown


def _losses(
    context: JobContext, base: BaseFiles, model: TunedModel, home: Homeroom, items: Sequence[Item]
) -> Mapping[str, float]:
    """Held-out loss of base and tuned model per reply token, where the weights are here; empty otherwise."""
    if model.kind != "lora":
        return {}
    from homeroom.tuning.huggingface.cores import yield_cores_soon

    yield_cores_soon()  # before the next import brings PyTorch in
    from homeroom.tuning.huggingface.token_loss import held_out_loss

    prompt_text = str(model.settings.get("system_prompt") or "")
    wanted = {(item.example.id, item.turn) for item in items}
    examples = list({item.example.id: item.example for item in items}.values())
    keep = [(e.id, item.turn) in wanted for e in examples for item in e.items()]
    found: dict[str, float] = {}
    for name, adapter in (("base", None), ("tuned", home.artifacts.path(model.artifact))):
        context.progress(0.0, f"held-out loss of {name}")
        own = [e.with_system(prompt_text) for e in examples]
        rows = held_out_loss(base, adapter, own, threads=home.settings.threads)
        rows = [row for row, kept in zip(rows, keep, strict=True) if kept]
        found[name] = sum(row.nll for row in rows) / max(1, sum(row.tokens for row in rows))
    return found
