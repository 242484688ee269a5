"""Methods head to head: every system on the same held-out items, paired with every other, and what that can show.

One measure decides, and it is named before the run: the share of replies that pass every check at once. Every other measure is
shown. A system whose replies are alike, empty, copied or fit for any question is not believed, whatever its share; all others
are compared in pairs, by topic, with Holm's correction over all pairs. What is not shown to be worse than anything stays in the
choice, and of those the one that is easiest to take back is advised: the base before a prompt, a prompt before weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

from homeroom.evaluation.answers import ERROR
from homeroom.evaluation.compare import Resampler, difference, holm, least_p, p_value
from homeroom.evaluation.evaluate import Replies, assess
from homeroom.evaluation.protocol import Protocol
from homeroom.evaluation.recommendation import Advice, Pair, Standing, advise, one_tuner
from homeroom.evaluation.results import Evaluation
from homeroom.evaluation.scorecard import AUTHORED, groups_of
from homeroom.evaluation.verdict import PLAIN, Evidence, Verdict, decide
from homeroom.schema.evaluation import Difference, Scorecard
from homeroom.schema.examples import Item, Json

FORMAT = "homeroom-comparison/1"
DECIDES = "sound_turn"
GENUINE = frozenset({"specificity", "beyond_its_claim", "variety", "openings", "own_words", "repetition"})
"""Measures whose own rules a system must keep before its share of sound replies is believed."""
ABSOLUTE = frozenset({"at_least", "at_most", "share_of_authored", "above_chance"})
GIVES_AWAY = 0.5
DRAWS_A_PAIR = 200
MOST_DRAWS = 20_000


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a system besides its replies. None is not known.

    Attributes:
        label: Short, for tables: ``base``, ``dspy``, ``openai (this server)``.
        method: How it was tuned; empty for a control.
        model: Its full name.
        base: What it was tuned from.
        tune_s: Seconds that tuning took.
        tune_usd: What tuning cost in US dollars, by the ledger.
        replies_usd: What its replies here cost, by the ledger; 0 where they were kept from before.
        unpriced: Calls in both whose price is not known.
        tune_memory_bytes: Peak of the host's memory while it was tuned.
        serve_bytes: Memory that answering takes here, from above; of several systems on one base the base counts in each.
        text_goes: Where examples and questions go.
        leaves: Whether that is another machine.
        ease: How easily it is taken back, as a number: of systems alike in that the better one is advised. None: by its place.
        work: What its weights were really trained on: tokens, epochs, learning rate and so on. Empty where that is not known.
    """

    label: str
    method: str = ""
    model: str = ""
    base: str = ""
    tune_s: float | None = None
    tune_usd: float | None = None
    replies_usd: float | None = None
    unpriced: int = 0
    tune_memory_bytes: int | None = None
    serve_bytes: int | None = None
    text_goes: str = "this machine"
    leaves: bool = False
    ease: int | None = None
    work: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that a comparison found.

    Attributes:
        standings: One for each system, the easiest to take back first.
        facts: In the same order.
        pairs: Every two systems on the measure that decides, the harder one minus the easier one.
        verdicts: Of every system but the base, by name: the protocol as ``homeroom eval run`` applies it.
        advice: The measured recommendation.
        evaluation: Scorecards, differences to the controls, transcripts and every reply.
        opening: How often the test split had been opened; empty for a probe.
    """

    standings: tuple[Standing, ...]
    facts: tuple[Facts, ...]
    pairs: tuple[Pair, ...]
    verdicts: Mapping[str, Verdict]
    advice: Advice
    evaluation: Evaluation
    opening: Json = field(default_factory=dict)

    def to_dict(self) -> Json:
        """Plain data that `json.dumps` takes; complete."""
        return {
            "format": FORMAT,
            "decides": DECIDES,
            "advice": asdict(self.advice),
            "systems": [{**asdict(s), "facts": asdict(f)} for s, f in zip(self.standings, self.facts, strict=True)],
            "pairs": [asdict(pair) for pair in self.pairs],
            "verdicts": {name: verdict.to_dict() for name, verdict in self.verdicts.items()},
            "opening": dict(self.opening),
            "evaluation": self.evaluation.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Comparison:
        """The inverse of `to_dict`."""
        systems = [dict(system) for system in record["systems"]]
        facts = tuple(Facts(**system.pop("facts")) for system in systems)
        return cls(
            standings=tuple(Standing.from_dict(system) for system in systems),
            facts=facts,
            pairs=tuple(Pair(Difference(**pair["difference"]), pair["p_holm"]) for pair in record["pairs"]),
            verdicts={name: Verdict.from_dict(verdict) for name, verdict in record["verdicts"].items()},
            advice=Advice.from_dict(record["advice"]),
            evaluation=Evaluation.from_dict(record["evaluation"]),
            opening=dict(record["opening"]),
        )


def compare(
    items: Sequence[Item],
    replies: Sequence[Replies],
    facts: Sequence[Facts],
    *,
    plan: Protocol,
    dataset: str = "",
    settings: Json | None = None,
    lineage: Mapping[str, str] | None = None,
    opening: Json | None = None,
    created_at: float = 0.0,
) -> Comparison:
    """Score, pair and advise.

    Args:
        items: Held-out items of one task.
        replies: Every system's answers, the easiest to take back first: the base, other controls, then tuned models (of the role
            ``candidate``).
        facts: In the same order.
        plan: The protocol of the task.
        dataset: Name of the version.
        settings: How replies were drawn: alike for all.
        lineage: What the reader needs to trace the result.
        opening: How often the test split had been opened.
        created_at: Unix time.

    Raises:
        ConfigError: what `assess` raises.
    """
    evaluation = assess(items, replies, dataset=dataset, plan=plan, settings=settings, lineage=lineage, created_at=created_at)
    cards = {card.system: card for card in evaluation.scorecards}
    resampler = Resampler.of(groups_of(items), draws=plan.draws, seed=plan.seed, level=plan.level)
    verdicts = {
        reply.system.name: decide(
            _rules_for(plan, reply), _evidence(plan, reply, replies, cards, evaluation.differences, resampler)
        )
        for reply in replies
        if reply.system.role != "base"
    }
    standings = tuple(_standing(reply, cards[reply.system.name], plan, verdicts.get(reply.system.name)) for reply in replies)
    pairs = _pairs(items, [s for s in standings if not s.doubts or s.role == "base"], cards, plan)
    few = next((_too_few(plan, verdict) for verdict in verdicts.values()), ())
    eases = {standing.name: fact.ease for standing, fact in zip(standings, facts, strict=True) if fact.ease is not None}
    advice = advise(standings, pairs, items=len(items), topics=resampler.groups, too_few=few, eases=eases)
    works = {standing.name: fact.work for standing, fact in zip(standings, facts, strict=True)}
    advice = replace(advice, reasons=(*advice.reasons, *one_tuner(standings, pairs, works)))
    return Comparison(standings, tuple(facts), tuple(pairs), verdicts, advice, evaluation, opening or {})


def _rules_for(plan: Protocol, reply: Replies) -> Protocol:
    """The protocol for one system: nothing is compared with itself, so a control is not held against its own role."""
    return replace(plan, guards=tuple(rule for rule in plan.guards if rule.against != reply.system.role))


def _evidence(
    plan: Protocol,
    reply: Replies,
    replies: Sequence[Replies],
    cards: Mapping[str, Scorecard],
    differences: Sequence[Difference],
    resampler: Resampler,
) -> Evidence:
    """What a verdict on one system looks at; a control is judged against the other controls."""
    name = reply.system.name
    controls: dict[str, Scorecard] = {
        other.system.role: cards[other.system.name]
        for other in replies
        if other.system.role in ("base", "few-shot") and other.system.name != name
    }
    found = [d for d in differences if d.candidate == name]
    if reply.system.role != "candidate":
        metrics = {m.name: m.direction for m in _measures(plan)}
        found = [
            difference(metric, direction, (name, cards[name].values[metric]), (card.system, card.values[metric]), resampler)
            for card in controls.values()
            for metric, direction in metrics.items()
        ]
    return Evidence(cards[name], cards[AUTHORED], controls, found, resampler)


def _measures(plan: Protocol) -> list[Any]:  # metrics: the type is a Protocol
    from homeroom.evaluation.metrics import metric

    return [metric(name) for name in sorted({rule.metric for rule in (*plan.gains, *plan.guards)})]


def _standing(reply: Replies, card: Scorecard, plan: Protocol, verdict: Verdict | None) -> Standing:
    summary = card.summaries[DECIDES]
    took = [answer.latency_s for answer in reply.answers if answer.finish_reason != ERROR and answer.latency_s > 0]
    return Standing(
        name=reply.system.name,
        role=reply.system.role,
        title=reply.system.title,
        share=summary.mean,
        low=summary.low,
        high=summary.high,
        outcome=verdict.outcome if verdict and reply.system.role == "candidate" else "",
        headline=verdict.headline if verdict and reply.system.role == "candidate" else "",
        doubts=_doubts(plan, card, verdict) if verdict else (),
        latency_p50_s=round(median(took), 4) if took else None,
        failed=int(card.extra.get("failed", 0)),
    )


def _doubts(plan: Protocol, card: Scorecard, verdict: Verdict) -> tuple[str, ...]:
    """Why a system's share is not believed; empty when nothing speaks against it."""
    guards = zip(plan.guards, verdict.findings[-len(plan.guards) :], strict=True)
    found = {
        rule.metric: f"{PLAIN[rule.metric]} ({finding.figures})"
        for rule, finding in guards
        if rule.metric in GENUINE and rule.kind in ABSOLUTE and finding.holds is False
    }
    told = card.summaries.get("withholding")
    if told is not None and told.mean is not None and told.mean < GIVES_AWAY:
        found["withholding"] = f"Most of its replies give the answer away (kept back: {told.mean:.2f})"
    return tuple(found.values())


def _too_few(plan: Protocol, verdict: Verdict) -> tuple[str, ...]:
    """The rules on the number of replies and topics that do not hold."""
    sizes = verdict.findings[len(plan.gains) : len(plan.gains) + 2]
    return tuple(f"{finding.rule}: {finding.figures}" for finding in sizes if finding.holds is False)


def _pairs(items: Sequence[Item], standings: Sequence[Standing], cards: Mapping[str, Scorecard], plan: Protocol) -> list[Pair]:
    """Every two systems on the measure that decides; p is held to what few topics allow and corrected for all the pairs."""
    count = len(standings) * (len(standings) - 1) // 2
    draws = max(plan.draws, min(MOST_DRAWS, DRAWS_A_PAIR * count))  # a p of few draws could not outlive the correction
    resampler = Resampler.of(groups_of(items), draws=draws, seed=plan.seed, level=plan.level)
    found: dict[str, Difference] = {}
    raw: dict[str, float] = {}
    for place, easier in enumerate(standings):
        for harder in standings[place + 1 :]:
            key = f"{harder.name}|{easier.name}"
            ours, theirs = cards[harder.name].values[DECIDES], cards[easier.name].values[DECIDES]
            found[key] = difference(DECIDES, "higher", (harder.name, ours), (easier.name, theirs), resampler)
            p = p_value(ours, theirs, resampler)
            if p is not None:
                raw[key] = max(p, least_p(ours, theirs, resampler))
    adjusted = holm(raw)
    return [Pair(row, adjusted.get(key)) for key, row in found.items()]
