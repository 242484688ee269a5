"""From paired differences to advice: which system, by how much, or that so many examples show no difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from homeroom.evaluation.compare import wilson
from homeroom.evaluation.results import Role
from homeroom.evaluation.verdict import ALPHA
from homeroom.schema.evaluation import Difference

Kind = Literal["tuned", "control", "no-difference", "too-few"]
BASE = "the base with its prompt"
THIS_SERVER, TWIN = "openai (this server)", "huggingface"
"""Labels of models that this server tuned through OpenAI's API, and directly."""
FIT: Mapping[str, str] = MappingProxyType(
    {"promote": "it may be used where its suitability allows", "practice": "it is for practice only, not to meet learners"}
)


@dataclass(frozen=True, slots=True)
class Standing:
    """One system in a comparison.

    Attributes:
        share: Of its replies that pass every check at once, with its interval ``low`` to ``high``.
        outcome: The protocol's verdict on a tuned model; empty for a control.
        doubts: Why its share is not believed; empty when nothing speaks against it.
        latency_p50_s: Half of the replies took no longer.
        failed: Replies that never came.
    """

    name: str
    role: Role
    title: str
    share: float | None
    low: float | None
    high: float | None
    outcome: str = ""
    headline: str = ""
    doubts: tuple[str, ...] = ()
    latency_p50_s: float | None = None
    failed: int = 0

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Standing:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**record, "doubts": tuple(record["doubts"])})


@dataclass(frozen=True, slots=True)
class Pair:
    """Two systems on the measure that decides; ``p_holm`` is corrected for all pairs, None without an interval."""

    difference: Difference
    p_holm: float | None

    @property
    def better(self) -> str:
        """Which of the two is shown to be better; empty when neither is."""
        d = self.difference
        if self.p_holm is None or self.p_holm >= ALPHA or d.low is None or d.high is None:
            return ""
        return d.candidate if d.low > 0 else d.control if d.high < 0 else ""

    @property
    def worse(self) -> str:
        """The other one of the two; empty when neither is better."""
        d = self.difference
        return "" if not self.better else d.control if self.better == d.candidate else d.candidate

    @property
    def text(self) -> str:
        """The difference in figures."""
        d = self.difference
        if d.mean is None:
            return "no reply of both can be compared"
        span = "no interval" if d.low is None or d.high is None else f"{d.low:+.2f} to {d.high:+.2f}"
        p = f", p {self.p_holm:.3f}" if self.p_holm is not None else ""
        return f"{d.mean:+.2f} ({span}{p}; won {d.wins}, tied {d.ties}, lost {d.losses})"


@dataclass(frozen=True, slots=True)
class Advice:
    """The measured recommendation.

    Attributes:
        kind: ``tuned``: use that model; ``control``: do not tune, a prompt or demonstrations do it; ``no-difference``: nothing is
            shown to be better than the base; ``too-few``: there are too few examples to show anything.
        system: Which one to use.
        headline: In one sentence.
        reasons: The figures behind it.
        visible: About the smallest difference that so many replies can show; None without an interval.
    """

    kind: Kind
    system: str
    headline: str
    reasons: tuple[str, ...]
    visible: float | None

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Advice:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**record, "reasons": tuple(record["reasons"])})


def advise(
    standings: Sequence[Standing],
    pairs: Sequence[Pair],
    *,
    items: int,
    topics: int,
    too_few: Sequence[str] = (),
    eases: Mapping[str, int] | None = None,
) -> Advice:
    """What the figures allow to be said.

    Args:
        standings: Every system, the easiest to take back first; the first one is the base.
        pairs: Every two of those that are believed, the harder minus the easier.
        items: Replies of each.
        topics: They are about.
        too_few: Rules on their number that do not hold; with any nothing is shown.
        eases: Of systems with the same number here none is easier to take back, whatever its place.
    """
    base = standings[0]
    believed = [s for s in standings if s is base or not s.doubts]
    visible = _visible(pairs, base.name, items)
    seen = f"{items} replies over {topics} topics"
    limit = [f"With {seen} a difference below about {visible:.2f} cannot be seen."] if visible is not None else []
    lines = [_line(s, base, pairs) for s in standings[1:]]
    if too_few:
        headline = f"{seen} are too few to show a difference. Keep {BASE}, and add examples about more topics."
        return Advice("too-few", base.name, headline, (*too_few, *lines), visible)
    beaten = {p.worse for p in pairs if p.better}
    left = [s for s in believed if s.name not in beaten]
    reasons = [*lines, *limit]
    if base in left:
        return Advice("no-difference", base.name, _none(standings, seen), tuple(reasons), visible)
    control = next((s for s in left if s.role != "candidate"), None)
    if control is not None:
        return Advice("control", control.name, _rather(control, believed, pairs), tuple(reasons), visible)
    chosen, headline = _best(left, believed, pairs, eases or {})
    others = [s for s in left if s is not chosen]
    ties = [f"{chosen.title} is not shown to differ from {s.title} ({_between(chosen, s, pairs)})." for s in others]
    return Advice("tuned", chosen.name, headline, (*ties, *reasons), visible)


def _rather(control: Standing, believed: Sequence[Standing], pairs: Sequence[Pair]) -> str:
    """Why a control and no tuned model."""
    base = believed[0]
    pair = _pair(control, base, pairs)
    if pair is not None and pair.better == control.name:
        return f"Do not tune: {control.title} is better than the base by {pair.text}, and no tuned model is better than it."
    winner = next(s for s in believed if (p := _pair(s, base, pairs)) and p.better == s.name)
    found = _pair(winner, base, pairs)
    assert found is not None
    return (
        f"Do not tune yet: {winner.title} is better than the base by {found.text}, and is not shown to be better than "
        f"{control.title} ({_between(winner, control, pairs)}), which is easier to take back."
    )


def _best(
    left: Sequence[Standing], believed: Sequence[Standing], pairs: Sequence[Pair], eases: Mapping[str, int]
) -> tuple[Standing, str]:
    """The tuned model to use, and by how much it is better than each control."""
    controls = [s for s in believed if s.role != "candidate"]

    def beats(one: Standing) -> int:
        return sum((p := _pair(one, c, pairs)) is not None and p.better == one.name for c in controls)

    first = max(left, key=beats)  # of equals the first, which is the easiest to take back
    alike = [s for s in left if s.name in eases and eases[s.name] == eases.get(first.name) and beats(s) == beats(first)]
    chosen = max([first, *alike], key=lambda s: s.share or 0.0)
    told = "; ".join(f"{_between(chosen, c, pairs)} against {c.title}" for c in controls)
    fit = FIT.get(chosen.outcome, "but its verdict is to reject it: read why before it is used")
    return chosen, f"Use {chosen.title}: {told}. By its verdict {fit}."


def _pair(one: Standing, other: Standing, pairs: Sequence[Pair]) -> Pair | None:
    return next((p for p in pairs if {one.name, other.name} == {p.difference.candidate, p.difference.control}), None)


def _between(one: Standing, other: Standing, pairs: Sequence[Pair]) -> str:
    """``one`` minus ``other``, in figures."""
    pair = _pair(one, other, pairs)
    if pair is None:
        return "not compared"
    return pair.text if pair.difference.candidate == one.name else f"the other way round {pair.text}"


def one_tuner(
    standings: Sequence[Standing], pairs: Sequence[Pair], works: Mapping[str, Mapping[str, float | str]]
) -> tuple[str, ...]:
    """Whether `THIS_SERVER` and `TWIN`, of one tuner, agree as they must; nothing where one was not compared.

    Args:
        standings: Every system.
        pairs: Every two that are believed.
        works: What each was really trained on. Only of the same work anything follows.
    """
    here, twin = (next((s for s in standings if s.name == name), None) for name in (THIS_SERVER, TWIN))
    if here is None or twin is None:
        return ()
    ours, theirs = works.get(THIS_SERVER, {}), works.get(TWIN, {})
    if not ours or not theirs:
        return (f"{THIS_SERVER} and {TWIN}: what both were trained on is not known, so whether they agree shows nothing.",)
    apart = [key for key in {**ours, **theirs} if not _alike(ours.get(key), theirs.get(key))]
    if apart:
        told = "; ".join(f"{key} {_figure(ours.get(key))} and {_figure(theirs.get(key))}" for key in apart)
        return (f"{THIS_SERVER} and {TWIN} were not trained alike ({told}), so whether they agree shows nothing.",)
    pair = _pair(here, twin, pairs)
    look = "one tuner did the same work for both, so look for a fault on the way to it."
    if pair is None:
        one = next((s.name for s in (here, twin) if s.doubts), "") if bool(here.doubts) != bool(twin.doubts) else ""
        return (f"{THIS_SERVER} and {TWIN} do NOT agree ({one} is not believed): {look}",) if one else ()
    told = f"({_between(here, twin, pairs)})"
    if pair.better:
        return (f"{THIS_SERVER} and {TWIN} do NOT agree {told}: {look}",)
    return (
        f"{THIS_SERVER} agrees with {TWIN} within noise {told}, as it must: one tuner did the same work for both. It tests the "
        "plumbing.",
    )


def _alike(one: float | str | None, other: float | str | None) -> bool:
    """Equal; of numbers within a hundredth, as where a long example is cut."""
    if isinstance(one, str) or isinstance(other, str) or one is None or other is None:
        return one == other
    return abs(one - other) <= 0.01 * max(abs(one), abs(other))


def _figure(value: float | str | None) -> str:
    if value is None:
        return "unknown"
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _none(standings: Sequence[Standing], seen: str) -> str:
    tuned = [s for s in standings if s.role == "candidate"]
    if tuned and all(s.doubts for s in tuned):
        return f"No tuned model is fit to be used. Keep {BASE}."
    return f"No difference that {seen} can show. Keep {BASE}: it is the easiest to take back."


def _line(standing: Standing, base: Standing, pairs: Sequence[Pair]) -> str:
    share = "no share" if standing.share is None else f"{standing.share:.2f} of its replies pass every check"
    if standing.doubts:
        return f"{standing.title}: not believed, whatever its share ({share}). {'; '.join(standing.doubts)}."
    pair = _pair(standing, base, pairs)
    against = f"; minus the base {pair.text}" if pair else ""
    shown = {standing.name: ", better", base.name: ", worse"}.get(pair.better if pair else "", ", not shown to differ")
    return f"{standing.title}: {share}{against}{shown}."


def _visible(pairs: Sequence[Pair], base: str, items: int) -> float | None:
    """Half the width of the intervals against the base; where nothing varies at all, what one rare reply could still be."""
    widths = [
        (p.difference.high - p.difference.low) / 2
        for p in pairs
        if p.difference.control == base and p.difference.low is not None and p.difference.high is not None
    ]
    if not widths:
        return None
    return max(sorted(widths)[len(widths) // 2], wilson(0, items)[1])
