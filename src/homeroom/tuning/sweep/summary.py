"""What a sweep found, as plain data: for the job's result, the terminal and the report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import dump_recipe
from homeroom.tuning.sweep.space import SweepSpec
from homeroom.tuning.sweep.study import Study, Trial


def summary(study: Study, spec: SweepSpec) -> dict[str, Any]:  # JSON
    """Trials, the best of each learning-rate range, and how the winner compares with the recipe as it was."""
    best = study.best
    own = study.trials[0].loss if study.trials else None
    return {
        "study": study.folder.name,
        "base_loss": study.base_loss,
        "recipe_loss": own,
        "best": None if best is None else best.number,
        "seconds": round(study.seconds, 1),
        "ranges": ranges(study, spec),
        "trials": [row(trial) for trial in study.trials],
    }


def row(trial: Trial) -> dict[str, Any]:  # JSON
    """A trial without its model. ``loss`` is the lowest one seen, also where the trial was stopped."""
    kept = {key: value for key, value in asdict(trial).items() if key not in ("model", "point", "loss")}
    name = trial.model["name"] if trial.model else None
    return {**kept, **asdict(trial.point), "loss": trial.shown_loss, "model": name}


def ranges(study: Study, spec: SweepSpec) -> list[dict[str, Any]]:  # JSON
    """For each learning-rate range its trials, and the lowest validation loss of those that ran whole."""
    found = []
    for low, high in spec.learning_rate:
        inside = [trial for trial in study.trials if low <= trial.point.learning_rate <= high]
        whole = [trial.loss for trial in inside if trial.loss is not None]
        about = {"low": low, "high": high, "trials": len(inside), "whole": len(whole)}
        found.append({**about, "best_loss": min(whole, default=None)})
    return found


def verdict(study: Study, spec: SweepSpec) -> list[str]:
    """What to take from it, in sentences."""
    best = study.best
    if best is None:
        return ["No trial ran whole."]
    lines = [f"Trial {best.number + 1} won: {best.point.text}: validation loss {best.loss:.4f}."]
    own = study.trials[0].loss
    if best.number == 0:
        lines.append("That is the recipe as it was: nothing that was tried beat it.")
    elif own is not None:
        lines.append(f"The recipe as it was has {own:.4f}.")
    tried = [found for found in ranges(study, spec) if found["best_loss"] is not None]
    if len(tried) > 1:
        first, *others = sorted(tried, key=lambda found: found["best_loss"])
        rest = "; ".join(f"{span(other)} at best {other['best_loss']:.4f} ({other['whole']} whole)" for other in others)
        lines.append(f"Of the ranges {span(first)} did best: {first['best_loss']:.4f} ({first['whole']} whole); {rest}.")
    if best.origin == "recipe" and spec.span_of(best.point.learning_rate) is None:
        lines.append(f"Its learning rate {best.point.learning_rate:g} lies outside the ranges: widen them to look further.")
    return lines


def span(found: dict[str, Any]) -> str:
    """``1e-05 to 5e-05``."""
    return f"{found['low']:g} to {found['high']:g}"


def winners_recipe(recipe: Recipe, study: Study, best: Trial) -> str:
    """The winner as a recipe file that is ready to be run."""
    head = (
        f"# The winner of the sweep {study.folder.name!r}: trial {best.number + 1} of {len(study.trials)}, validation loss "
        f"{best.loss:.4f}.\n"
        f"#\n#   homeroom tune run --recipe FILE --dataset NAME\n\n"
    )
    return head + dump_recipe(best.point.applied(recipe))
