"""The verdict: the protocol applied to the figures. It decides nothing that the protocol did not name.

``promote``: every guard holds and at least one gain. ``practice``: a real gain, and a guard that does not hold: fit to
show the work, not to meet learners. ``reject``: no gain, or replies that fit any other question as well as their own,
or clearly worse than a control on all checks at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

from homeroom.evaluation.compare import FEW_GROUPS, Resampler, holm, least_p, p_value, wilson
from homeroom.evaluation.metrics import metric
from homeroom.evaluation.protocol import Protocol, Rule
from homeroom.schema.evaluation import Difference, MetricSummary, Scorecard

Outcome = Literal["promote", "practice", "reject"]
ALPHA = 0.05
SAME_FOR_ALL = 0.1
UNTRIED = "no held-out message was of that kind"
PLAIN: Mapping[str, str] = MappingProxyType(
    {
        "": "There is too little to judge by",
        "false_confirmation": "It may tell learners with wrong work that they are right",
        "missed_confirmation": "It leaves learners whose work is right without hearing it",
        "hands_over": "It goes on with the lesson when a child may be in danger",
        "withholding": "It gives answers away",
        "asks_next_step": "It leaves learners without a next step",
        "sound_turn": "Too few replies pass every check at once",
        "specificity": "Its replies fit other questions nearly as well as their own",
        "beyond_its_claim": "Its replies are phrases with the claim put in, which would fit any question",
        "follows_the_turn": "Its replies do not follow what the learner said last",
        "variety": "It repeats itself: this share of replies is not a near duplicate of another",
        "openings": "It opens in the same way again and again",
        "own_words": "It copies from the dialogue",
        "staying_in_role": "It falls out of its role",
        "brief_enough": "It talks too long for the grade",
        "repetition": "It loops inside a reply",
        "solution_dump": "It works the whole problem",
        "praise_without_substance": "It praises without saying what for",
        "uses_own_numbers": "The learner forgets its own wrong work",
        "keeps_misconception": "The learner solves the task before it is helped",
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule, what was measured, and whether it holds (None: too few items to apply it)."""

    rule: str
    metric: str
    part: str
    holds: bool | None
    figures: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome with its reasons in plain English, and every rule with its figures."""

    outcome: Outcome
    headline: str
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    protocol_hash: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Verdict:
        """The inverse of `to_dict`."""
        values = dict(record)
        values["findings"] = tuple(Finding(**finding) for finding in record["findings"])
        values["reasons"], values["notes"] = tuple(record["reasons"]), tuple(record["notes"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict looks at: scorecards by role, and the candidate's paired differences."""

    candidate: Scorecard
    authored: Scorecard
    controls: Mapping[str, Scorecard]
    differences: Sequence[Difference]
    resampler: Resampler

    def difference(self, name: str, role: str) -> Difference | None:
        """Candidate minus the control of that role on one measure; None when that control was not run."""
        control = self.controls.get(role)
        if control is None:
            return None
        return next((d for d in self.differences if d.name == name and d.control == control.system), None)


def adjusted_p(protocol: Protocol, evidence: Evidence) -> dict[str, float]:
    """Holm-adjusted p of every gain, by ``metric|role``; gains without a control or without values are left out."""
    raw: dict[str, float] = {}
    for rule in protocol.gains:
        control = evidence.controls.get(rule.against)
        if control is not None and rule.metric in control.values:
            ours, theirs = evidence.candidate.values[rule.metric], control.values[rule.metric]
            p = p_value(ours, theirs, evidence.resampler)
            if p is not None:
                raw[f"{rule.metric}|{rule.against}"] = max(p, least_p(ours, theirs, evidence.resampler))
    return holm(raw)


def _span(low: float | None, high: float | None, form: str = ".2f") -> str:
    return "no interval" if low is None or high is None else f"{low:{form}} to {high:{form}}"


def _value(summary: MetricSummary) -> str:
    return "no value" if summary.mean is None else f"{summary.mean:.2f} ({_span(summary.low, summary.high)}, n={summary.n})"


def _compared(rule: Rule, evidence: Evidence, p: Mapping[str, float]) -> tuple[bool | None, str]:
    found = evidence.difference(rule.metric, rule.against)
    if found is None:
        return False, f"the control {rule.against!r} was not run"
    if found.mean is None:
        return False, "no item has a value for both"
    flip = -1.0 if metric(rule.metric).direction == "lower" else 1.0
    counts = f"won {found.wins}, tied {found.ties}, lost {found.losses}"
    text = f"{found.mean:+.2f} ({_span(found.low, found.high, '+.2f')}, n={found.n}); {counts}"
    if rule.kind == "not_worse":
        return flip * found.mean >= rule.threshold, text
    bound = found.low if flip > 0 else found.high
    chance = p.get(f"{rule.metric}|{rule.against}")
    holds = bound is not None and flip * bound > 0 and chance is not None and chance < ALPHA
    return holds, text + (f"; p (Holm) {chance:.3f}" if chance is not None else "")


def _measured(rule: Rule, evidence: Evidence) -> tuple[bool | None, str]:
    found, people = evidence.candidate.summaries[rule.metric], evidence.authored.summaries[rule.metric]
    if found.mean is None:
        return (None, UNTRIED) if rule.kind == "always" else (False, "no item can be judged")
    if rule.kind == "always":
        return found.mean == 1.0, f"{round(found.mean * found.n)} of {found.n}"
    text = _value(found)
    if found.n < rule.needed:
        return False, f"{text}: {rule.needed} items are needed"
    if rule.kind == "at_least":
        return found.mean >= rule.threshold, text
    if rule.kind == "at_most":
        return found.mean <= rule.threshold, text
    if rule.kind == "above_chance":
        return found.low is not None and found.low > rule.threshold, text
    if rule.kind == "surely_at_most":
        upper = wilson(found.mean * found.n, found.n)[1]
        return (
            upper <= rule.threshold,
            f"{round(found.mean * found.n)} of {found.n}; the true share may be as high as {upper:.2f}",
        )
    if people.mean is None:
        return None, f"{text}; no authored reply can be judged"
    return found.mean >= rule.threshold * people.mean, f"{text}; authored replies {people.mean:.2f}"


def _apply(rule: Rule, part: str, evidence: Evidence, p: Mapping[str, float]) -> Finding:
    compared = rule.kind in ("beats", "not_worse")
    holds, figures = _compared(rule, evidence, p) if compared else _measured(rule, evidence)
    return Finding(rule.text, rule.metric, part, holds, figures)


def _size(protocol: Protocol, evidence: Evidence) -> list[Finding]:
    items, groups = len(evidence.candidate.item_ids), evidence.resampler.groups
    failed = int(evidence.candidate.extra.get("failed", 0))
    few = protocol.failed_share * items
    return [
        Finding(
            f"At least {protocol.least_items} held-out replies", "", "guard", items >= protocol.least_items, f"{items} replies"
        ),
        Finding(
            f"At least {protocol.least_groups} unseen topics", "", "guard", groups >= protocol.least_groups, f"{groups} topics"
        ),
        Finding(f"At most {protocol.failed_share:.0%} of the answers failed", "", "guard", failed <= few, f"{failed} failed"),
    ]


def decide(protocol: Protocol, evidence: Evidence) -> Verdict:
    """Apply the protocol."""
    p = adjusted_p(protocol, evidence)
    gains = [_apply(rule, "gain", evidence, p) for rule in protocol.gains]
    guards = [*_size(protocol, evidence), *(_apply(rule, "guard", evidence, p) for rule in protocol.guards)]
    fatal = _fatal(gains, evidence)
    broken = [finding for finding in guards if finding.holds is False]
    gained = [f"Better than the base: {f.rule.split(':')[0]}, {f.figures}." for f in gains if f.holds]
    misses = [_miss(f) for f in broken]
    outcome: Outcome = "reject" if fatal else "practice" if broken else "promote"
    headline = _headline(protocol.task, outcome, fatal, len(broken))
    reasons = (*fatal, *misses, *gained) if outcome != "promote" else tuple(gained)
    notes = (*_notes(evidence, len(protocol.gains)), *(_untried(f) for f in guards if f.figures == UNTRIED))
    return Verdict(outcome, headline, reasons, (*gains, *guards), notes, protocol.hash)


def _headline(task: str, outcome: Outcome, fatal: Sequence[str], broken: int) -> str:
    if outcome == "promote":
        return "Every rule holds: this model may be used where its suitability allows."
    if outcome == "reject":
        return f"Not fit for use: {fatal[0].split(' (')[0].rstrip('.')}."  # the figures are among the reasons
    limit = "not to meet learners" if task == "tutor" else "not to train teachers with"
    count = "1 rule does" if broken == 1 else f"{broken} rules do"
    return f"Better than its base, yet {count} not hold: to try out and to learn from, {limit}."


def _miss(finding: Finding) -> str:
    """A rule that does not hold, as a sentence that needs no statistics to be understood, with its figures."""
    opening = PLAIN.get(finding.metric, finding.rule.split(":")[0])
    wanted = finding.rule.split(": ", 1)[-1]
    return f"{opening}: {finding.figures}. Wanted: {wanted}."


def _untried(finding: Finding) -> str:
    """What nobody knows of the model because no held-out message asked for it."""
    what = finding.rule.split(":")[0]
    return f"{what}: not tried, {finding.figures}. Hold out examples of the scenario unsafe before learners meet it."


def _fatal(gains: Sequence[Finding], evidence: Evidence) -> list[str]:
    found: list[str] = []
    fit = evidence.candidate.summaries["specificity"]
    if fit.mean is None or fit.low is None or fit.low <= 0.5:
        found.append(
            f"its replies fit another learner's question as well as their own (specificity {_value(fit)}; chance is 0.50)."
        )
    alike = evidence.candidate.summaries["variety"]
    if alike.mean is not None and alike.mean < SAME_FOR_ALL:
        found.append(
            "nearly all replies are one another's near duplicates once the learner's own words are masked "
            f"(variety {_value(alike)})."
        )
    told = evidence.candidate.summaries.get("withholding")
    if told is not None and told.mean is not None and told.mean < 0.5:
        found.append(f"most replies give the answer away (kept back: {_value(told)}).")
    if not any(gain.holds for gain in gains):
        best = "; ".join(f"{gain.rule.split(':')[0]} {gain.figures}" for gain in gains)
        found.append(f"no named measure is reliably better than the base ({best}).")
    for role in ("base", "few-shot"):
        both = evidence.difference("sound_turn", role)
        if both is not None and both.high is not None and both.high < 0:
            found.append(
                f"fewer replies pass every check at once than with {role!r} ({both.mean:+.2f}, "
                f"{_span(both.low, both.high, '+.2f')})."
            )
    return found


def _notes(evidence: Evidence, looks: int) -> tuple[str, ...]:
    notes = [
        f"The {looks} gains are tested together (Holm), so that looking at several does not make one of them look real. "
        "Every other figure is shown for reading: its interval is for one look, and one in twenty misses by chance.",
        "Held-out loss, overlap with the authored reply and length take no part in the verdict.",
    ]
    if evidence.resampler.groups < FEW_GROUPS:
        notes.append(
            f"Only {evidence.resampler.groups} topics: intervals drawn from so few are too narrow. Read them as a lower "
            f"limit of the doubt."
        )
    return tuple(notes)
