"""What to try next, and what to stop: Optuna's tree-structured Parzen estimator and its median rule.

Optuna keeps nothing here: each question is put to a study made of the trials so far, with a generator seeded by the trial's
number. So a study that was killed asks for the same points as one that was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from homeroom.tuning.sweep.space import Point, SweepSpec
from homeroom.tuning.sweep.study import Trial

if TYPE_CHECKING:
    import optuna

RANDOM_FIRST = 4
"""Trials before the estimator has enough to go by; the first points count."""
WHOLE_FIRST = 3
"""Trials that must have run whole before any is stopped."""


def propose(spec: SweepSpec, trials: Sequence[Trial], number: int) -> Point:
    """The point of trial ``number``, after what ``trials`` have shown.

    Bergstra et al. 2011, https://papers.nips.cc/paper/4443-algorithms-for-hyper-parameter-optimization.
    """
    import optuna

    seed = (spec.seed * 1_000_003 + number) % 2**32
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_FIRST, multivariate=False)
    study = _study(spec, trials, sampler, optuna.pruners.NopPruner())
    asked = study.ask(_distributions(spec)).params
    return Point(spec.rate_at(asked["place"]), spec.rank[asked["rank"]], spec.alpha[asked["alpha"]])


def hopeless(spec: SweepSpec, trials: Sequence[Trial], trial: Trial) -> bool:
    """Whether the best loss of ``trial`` so far is worse than the median of the others at its last check.

    The median rule of Golovin et al. 2017 (https://doi.org/10.1145/3097983.3098043), as in Optuna.
    """
    import optuna

    if not trial.checks:
        return False
    pruner = optuna.pruners.MedianPruner(n_startup_trials=WHOLE_FIRST, n_min_trials=WHOLE_FIRST)
    others = [other for other in trials if other.number != trial.number]
    study = _study(spec, others, optuna.samplers.RandomSampler(seed=0), pruner)
    now = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING, intermediate_values={step: float(loss) for step, loss in trial.checks.items()}
    )
    return bool(pruner.prune(study, now))


def _distributions(spec: SweepSpec) -> dict[str, optuna.distributions.BaseDistribution]:
    """The learning rate as a place along its ranges; rank and alpha as places in their lists, which are in order."""
    import optuna

    return {
        "place": optuna.distributions.FloatDistribution(0.0, spec.length),
        "rank": optuna.distributions.IntDistribution(0, len(spec.rank) - 1),
        "alpha": optuna.distributions.IntDistribution(0, len(spec.alpha) - 1),
    }


def _study(
    spec: SweepSpec, trials: Sequence[Trial], sampler: optuna.samplers.BaseSampler, pruner: optuna.pruners.BasePruner
) -> optuna.Study:
    """The trials as Optuna takes them; a point outside the ranges teaches the search nothing, but sets the median."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    for trial in trials:
        if trial.state == "running":
            continue
        whole = trial.state == "complete"
        place = spec.place_of(trial.point.learning_rate)
        inside = place is not None and trial.point.rank in spec.rank and trial.point.alpha in spec.alpha
        params = {}
        if inside:
            params = {"place": place, "rank": spec.rank.index(trial.point.rank), "alpha": spec.alpha.index(trial.point.alpha)}
        state = optuna.trial.TrialState.COMPLETE if whole else optuna.trial.TrialState.PRUNED
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                value=trial.loss if whole else None,
                params=params,
                distributions=_distributions(spec) if inside else {},
                intermediate_values=trial.checks if trial.state in ("complete", "pruned") else {},
            )
        )
    return study
