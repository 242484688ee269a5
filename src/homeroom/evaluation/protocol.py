"""The protocol: which measures decide, by which rules, written down and hashed before anything is generated.

Nothing here may depend on a result. A change of a rule, a threshold or a seed changes the hash that every report
prints. Loss, overlap with the authored reply and length appear in no rule as a gain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from homeroom.errors import ConfigError
from homeroom.evaluation.compare import DRAWS, LEVEL
from homeroom.evaluation.metrics import metric

VERSION = 3
Kind = Literal["beats", "not_worse", "at_least", "at_most", "share_of_authored", "above_chance", "surely_at_most", "always"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One sentence of the protocol.

    Attributes:
        kind: ``beats`` (interval of the paired difference on the better side of 0, and Holm's p below 0.05),
            ``not_worse`` (mean difference at worst ``threshold``), ``at_least`` / ``at_most`` (the mean),
            ``share_of_authored`` (mean at least ``threshold`` times the authored replies'), ``above_chance`` (interval
            above ``threshold``), ``surely_at_most`` (Wilson's upper bound at most ``threshold``), ``always`` (no item fails;
            without an item it does not apply, and a note says so).
        against: Role of the control, for ``beats`` and ``not_worse``.
        needed: Fewest items with a value; with fewer the rule does not hold, because nothing was shown.
    """

    metric: str
    kind: Kind
    threshold: float = 0.0
    against: str = ""
    needed: int = 0

    @property
    def text(self) -> str:
        """The rule in words."""
        title = metric(self.metric).title
        control = {"base": "the base", "few-shot": "the base with demonstrations"}.get(self.against, self.against)
        return {
            "beats": f"{title}: better than {control}, interval clear of zero, p (Holm) below 0.05",
            "not_worse": f"{title}: not worse than {control} by more than {-self.threshold:g}",
            "at_least": f"{title}: at least {self.threshold:g}",
            "at_most": f"{title}: at most {self.threshold:g}" + (f", on at least {self.needed} items" if self.needed else ""),
            "share_of_authored": f"{title}: at least {self.threshold:g} of what the authored replies reach",
            "above_chance": f"{title}: whole interval above {self.threshold:g}, which is chance",
            "surely_at_most": f"{title}: upper bound at most {self.threshold:g}",
            "always": f"{title}: every time",
        }[self.kind]


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is fixed before a run.

    Attributes:
        gains: At least one must hold, or there is nothing to gain from the model. Tested together with Holm's correction.
        guards: All must hold for ``promote``.
        least_items, least_groups: Fewer held-out items or topics cannot promote anything. With fewer topics than 7 (8 where four
            gains are tested together) no difference is beyond chance, however large it is: see `least_p`.
        transcripts: Dialogues to print, chosen by a hash of the item id and ``seed``.
    """

    task: str
    gains: tuple[Rule, ...]
    guards: tuple[Rule, ...]
    least_items: int = 16
    least_groups: int = 7
    failed_share: float = 0.1
    draws: int = DRAWS
    level: float = LEVEL
    seed: int = 20
    transcripts: int = 4
    version: int = VERSION

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `hash` is taken over it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Protocol:
        """The inverse of `to_dict`."""
        values = dict(record)
        for name in ("gains", "guards"):
            values[name] = tuple(Rule(**rule) for rule in values[name])
        return cls(**values)

    @property
    def hash(self) -> str:
        """16 hex digits over the whole protocol."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def lines(self) -> list[str]:
        """What to print before the run."""
        draws = f"{self.draws} draws by topic, {self.level:.0%} intervals, {self.transcripts} transcripts picked by hash"
        head = f"protocol {self.hash} ({self.task}): {draws}"
        return [head, *(f"  gain   {rule.text}" for rule in self.gains), *(f"  guard  {rule.text}" for rule in self.guards)]


_SHARED = (
    Rule("sound_turn", "not_worse", -0.05, "base"),
    Rule("sound_turn", "not_worse", -0.05, "few-shot"),
    Rule("sound_turn", "share_of_authored", 0.5),
    Rule("specificity", "above_chance", 0.5),
    Rule("specificity", "share_of_authored", 0.8),
    Rule("specificity", "not_worse", -0.1, "base"),
    Rule("specificity", "not_worse", -0.1, "few-shot"),
    Rule("variety", "share_of_authored", 0.8),
    Rule("openings", "share_of_authored", 0.5),
    Rule("own_words", "share_of_authored", 0.75),
    Rule("staying_in_role", "at_least", 0.9),
    Rule("staying_in_role", "not_worse", -0.05, "base"),
    Rule("brief_enough", "at_least", 0.8),
    Rule("repetition", "at_most", 0.1),
)
_TUTOR = Protocol(
    task="tutor",
    gains=(
        Rule("sound_turn", "beats", against="base"),
        Rule("withholding", "beats", against="base"),
        Rule("asks_next_step", "beats", against="base"),
    ),
    guards=(
        Rule("false_confirmation", "surely_at_most", 0.2),
        Rule("missed_confirmation", "at_most", 0.6, needed=4),
        Rule("hands_over", "always"),
        Rule("follows_the_turn", "above_chance", 0.5),
        Rule("withholding", "at_least", 0.8),
        Rule("withholding", "not_worse", -0.05, "base"),
        Rule("withholding", "not_worse", -0.05, "few-shot"),
        Rule("asks_next_step", "at_least", 0.8),
        Rule("asks_next_step", "not_worse", -0.05, "base"),
        Rule("asks_next_step", "not_worse", -0.05, "few-shot"),
        *_SHARED,
        Rule("solution_dump", "at_most", 0.1),
        Rule("praise_without_substance", "at_most", 0.2),
    ),
)
_LEARNER = Protocol(
    task="learner",
    least_groups=8,
    gains=(
        Rule("sound_turn", "beats", against="base"),
        Rule("staying_in_role", "beats", against="base"),
        Rule("uses_own_numbers", "beats", against="base"),
        Rule("keeps_misconception", "beats", against="base"),
    ),
    guards=(
        Rule("uses_own_numbers", "share_of_authored", 0.75),
        Rule("uses_own_numbers", "not_worse", -0.15, "base"),
        Rule("keeps_misconception", "at_least", 0.85),
        Rule("beyond_its_claim", "above_chance", 0.5),
        *_SHARED,
    ),
)


def protocol(task: str) -> Protocol:
    """The protocol of a task.

    Raises:
        ConfigError: no such task.
    """
    for known in (_TUTOR, _LEARNER):
        if known.task == task:
            return known
    raise ConfigError(
        f"there is no evaluation protocol for the task {task!r}. Use --task tutor or --task learner", code="unknown-task"
    )
