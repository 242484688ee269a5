"""The entry: items and systems in, an `Evaluation` out: scorecards, paired differences, verdict, transcripts, and every reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from homeroom.errors import ConfigError
from homeroom.evaluation.answers import Progress, generate
from homeroom.evaluation.compare import Resampler, difference
from homeroom.evaluation.metrics import metrics_for
from homeroom.evaluation.prompts import PlainPrompt, PromptBuilder
from homeroom.evaluation.protocol import Protocol
from homeroom.evaluation.protocol import protocol as protocol_of
from homeroom.evaluation.results import Evaluation, MeasureInfo, Role, SystemInfo
from homeroom.evaluation.scorecard import AUTHORED, authored_answers, groups_of, score
from homeroom.evaluation.transcripts import choose, picked
from homeroom.evaluation.verdict import Evidence, Verdict, adjusted_p, decide
from homeroom.schema.chat import ChatModel, GenerationSettings
from homeroom.schema.evaluation import Answer, Difference, Metric, Scorecard
from homeroom.schema.examples import Item, Json
from homeroom.schema.jobs import REPLIES_A_MARK, NullReporter, Reporter


@dataclass(frozen=True, slots=True)
class System:
    """A model with its prompt, and the part it plays.

    Attributes:
        name: Short and unique in the run: ``base``, ``few-shot``, ``tuned``.
        role: ``candidate`` (exactly one for a verdict), ``base``, ``few-shot`` or ``other``.
        identity: What the model is beyond its name: hash of weights and adapter, engine version. Part of the answers'
            cache key.
        held_out_loss: Where the trainer measured it; shown, never judged.
    """

    name: str
    role: Role
    model: ChatModel
    prompt: PromptBuilder = field(default_factory=PlainPrompt)
    identity: str = ""
    title: str = ""
    held_out_loss: float | None = None

    def info(self) -> SystemInfo:
        """This system as the report knows it."""
        shots = len(getattr(self.prompt, "demonstrations", ()))
        text = str(getattr(self.prompt, "system_text", ""))
        return SystemInfo(
            self.name, self.role, self.title or self.name, self.model.name, self.identity, text, shots, self.held_out_loss
        )


@dataclass(frozen=True, slots=True)
class Replies:
    """A system's answers, in the items' order."""

    system: SystemInfo
    answers: Sequence[Answer]


def evaluate(
    items: Sequence[Item],
    systems: Sequence[System],
    settings: GenerationSettings,
    *,
    cache_dir: Path,
    dataset: str = "",
    plan: Protocol | None = None,
    metrics: Sequence[Metric] | None = None,
    concurrency: int = 4,
    reporter: Reporter | None = None,
    lineage: Mapping[str, str] | None = None,
    created_at: float = 0.0,
) -> Evaluation:
    """Generate, score, compare and judge.

    Args:
        items: Held-out items of one task (test split only: the caller's duty).
        systems: Candidate and controls; base and candidate share one visible prompt, or the comparison means nothing.
        settings: The same for all systems.
        plan: The protocol; by default the task's own. Told with its hash and the transcripts' ids before the first request.
        cache_dir: Where answers are kept between runs.
        dataset: Name of the dataset version, for the report.
        metrics: Other measures than the task's own; without the protocol's there is no verdict.
        concurrency: Requests at a time.
        reporter: Hears of progress and may stop the run.
        created_at: Unix time of the run.
        lineage: What the reader needs to trace the result: dataset version, base identity, recipe, code version.

    Raises:
        ConfigError: no items, two tasks, or systems that share a name. What `generate` raises; answers so far are kept.
    """
    _check(items, [system.name for system in systems])
    reporter, plan = reporter or NullReporter(), plan or protocol_of(items[0].example.task)
    _announce(plan, items, reporter)
    replies = []
    for number, system in enumerate(systems):
        answers = generate(
            items,
            system.model,
            settings,
            system=system.name,
            prompt=system.prompt,
            cache_dir=cache_dir,
            identity=system.identity,
            concurrency=concurrency,
            on_progress=_teller(reporter, number, len(systems), system.name),
            should_stop=reporter.should_stop,
        )
        replies.append(Replies(system.info(), answers))
    return assess(
        items,
        replies,
        dataset=dataset,
        plan=plan,
        metrics=metrics,
        settings=settings.to_dict(),
        lineage=lineage,
        created_at=created_at,
    )


def _announce(plan: Protocol, items: Sequence[Item], reporter: Reporter) -> None:
    chosen = picked(items, plan.transcripts, plan.seed)
    reporter.event("\n".join(plan.lines()), data={"protocol": plan.to_dict(), "hash": plan.hash, "transcripts": chosen})


def _teller(reporter: Reporter, number: int, systems: int, name: str) -> Progress:
    def tell(done: int, total: int) -> None:
        reporter.progress((number + done / max(total, 1)) / systems, f"{name}: {done} of {total} replies")
        reporter.saved(done // REPLIES_A_MARK, name)

    return tell


def assess(
    items: Sequence[Item],
    replies: Sequence[Replies],
    *,
    dataset: str = "",
    plan: Protocol | None = None,
    metrics: Sequence[Metric] | None = None,
    settings: Json | None = None,
    lineage: Mapping[str, str] | None = None,
    created_at: float = 0.0,
) -> Evaluation:
    """Score and judge replies that are there already. The authored replies are scored beside them as the reference.

    Raises:
        ConfigError: no items, two tasks, systems that share a name, or answers of other items.
    """
    _check(items, [reply.system.name for reply in replies])
    task = items[0].example.task
    plan = plan or protocol_of(task)
    used = tuple(metrics) if metrics is not None else metrics_for(task)
    resampler = Resampler.of(groups_of(items), draws=plan.draws, seed=plan.seed, level=plan.level)
    authored = SystemInfo(AUTHORED, "authored", "Authored replies", AUTHORED)
    everyone = [*replies, Replies(authored, authored_answers(items))]
    cards = [_score(items, reply, dataset, used, resampler) for reply in everyone]
    differences = _differences([reply.system for reply in everyone], cards, used, resampler)
    verdict, p_holm = _judge(plan, everyone, cards, differences, resampler)
    answers = {reply.system.name: reply.answers for reply in everyone}
    names = sorted({rule.metric for rule in (*plan.gains, *plan.guards)})
    return Evaluation(
        task=task,
        dataset=dataset,
        protocol=plan,
        measures=tuple(MeasureInfo.of(metric) for metric in used),
        systems=tuple(reply.system for reply in everyone),
        scorecards=tuple(cards),
        differences=tuple(differences),
        p_holm=p_holm,
        verdict=verdict,
        transcripts=choose(
            items,
            cards,
            answers,
            candidate=_named(everyone, "candidate"),
            control=_named(everyone, "base"),
            names=names,
            k=plan.transcripts,
            seed=plan.seed,
        ),
        replies=tuple(_record(item, index, answers) for index, item in enumerate(items)),
        settings=settings or {},
        lineage=dict(lineage or {}),
        created_at=created_at,
    )


def _score(items: Sequence[Item], reply: Replies, dataset: str, metrics: Sequence[Metric], resampler: Resampler) -> Scorecard:
    return score(
        items,
        reply.answers,
        system=reply.system.name,
        model=reply.system.model,
        dataset=dataset,
        metrics=metrics,
        resampler=resampler,
        held_out_loss=reply.system.held_out_loss,
    )


def _check(items: Sequence[Item], names: Sequence[str]) -> None:
    if not items:
        raise ConfigError(
            "there are no held-out items to evaluate. Check the test split: homeroom data versions", code="no-items"
        )
    twice = sorted({name for name in names if names.count(name) > 1 or name == AUTHORED})
    if twice:
        raise ConfigError(
            f"systems need names of their own; {twice!r} is taken. Name each --model differently", code="system-names"
        )


def _named(replies: Sequence[Replies], role: Role) -> str:
    return next((reply.system.name for reply in replies if reply.system.role == role), "")


def _differences(
    systems: Sequence[SystemInfo], cards: Sequence[Scorecard], metrics: Sequence[Metric], resampler: Resampler
) -> list[Difference]:
    by_name = {card.system: card for card in cards}
    candidates = [system.name for system in systems if system.role == "candidate"]
    controls = [system.name for system in systems if system.role not in ("candidate", "authored")]
    return [
        difference(
            metric.name,
            metric.direction,
            (candidate, by_name[candidate].values[metric.name]),
            (control, by_name[control].values[metric.name]),
            resampler,
        )
        for candidate in candidates
        for control in controls
        for metric in metrics
    ]


def _judge(
    plan: Protocol,
    replies: Sequence[Replies],
    cards: Sequence[Scorecard],
    differences: Sequence[Difference],
    resampler: Resampler,
) -> tuple[Verdict | None, dict[str, float]]:
    """None without exactly one candidate, or when measures of the protocol were left out."""
    roles: dict[str, Scorecard] = {}
    for reply, card in zip(replies, cards, strict=True):
        roles.setdefault(reply.system.role, card)
    named = {rule.metric for rule in (*plan.gains, *plan.guards)}
    one = sum(reply.system.role == "candidate" for reply in replies) == 1
    if not one or not named <= set(cards[0].values):
        return None, {}
    controls = {role: card for role, card in roles.items() if role in ("base", "few-shot")}
    evidence = Evidence(roles["candidate"], roles["authored"], controls, differences, resampler)
    return decide(plan, evidence), adjusted_p(plan, evidence)


def _record(item: Item, index: int, answers: Mapping[str, Sequence[Answer]]) -> Json:
    return {
        "item_id": item.id,
        "metadata": dict(item.example.metadata),
        "reference": dict(item.example.reference),
        "prompt": [message.to_dict() for message in item.prompt],
        "authored": item.gold,
        "answers": {
            name: {"text": row[index].text, "finish_reason": row[index].finish_reason, "latency_s": row[index].latency_s}
            for name, row in answers.items()
            if name != AUTHORED
        },
    }
