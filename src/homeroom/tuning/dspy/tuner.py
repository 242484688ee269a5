"""`DspyTuner`: the method ``dspy``. Optimisers are tried within one budget of calls; the best by selection score is kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.errors import DataError, HomeroomError
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.jobs import REPLIES_A_MARK, Reporter
from homeroom.storage.files import make_private_folder, write_atomically
from homeroom.tuning.dspy.desk import Asked, BudgetSpent, CallDesk, Count
from homeroom.tuning.dspy.envelope import Envelope
from homeroom.tuning.dspy.packages import require_dspy
from homeroom.tuning.dspy.recipe import PROMPT_MODEL, WEIGHTS, DspyRecipe, Optimiser
from homeroom.tuning.dspy.spec import ProgramSpec
from homeroom.tuning.dspy.weights import WeightTrainer, weights_folder

if TYPE_CHECKING:
    from homeroom.tuning.dspy.task import Bench, Candidate, Judge, Material

SEED = 20
ADAPTER = "homeroom-2"
"""Changes when messages are rendered otherwise: programs that were kept are then made anew."""

# Rows of a table and what is told of a run: any JSON.
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Models:
    """Who is asked, opened for a run.

    Attributes:
        task: The model whose prompt is tuned.
        writer: A strong model that writes instructions; None without one.
        concurrency: Requests at a time.
        trainer: Trains the task's model, where the recipe asks for that; None where its weights cannot be had.
        teacher: A stronger model whose replies are shown; None where the task's model teaches itself.
    """

    task: Asked
    writer: Asked | None = None
    concurrency: int = 4
    trainer: WeightTrainer | None = None
    teacher: Asked | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found.

    Attributes:
        envelope: The program that is kept.
        table: A row for each candidate, best first, then what was not tried.
        metrics: Numbers of the run.
        weights: Those that answer with the program, as `weights_folder` names them; empty for those of the base.
    """

    envelope: Envelope
    table: tuple[Json, ...]
    metrics: Mapping[str, Any]
    weights: str = ""

    def to_dict(self) -> Json:
        """Plain data."""
        return {
            "envelope": self.envelope.to_dict(),
            "table": list(self.table),
            "metrics": dict(self.metrics),
            "weights": self.weights,
        }


class DspyTuner:
    """Optimises the prompt of one program for one model.

    Args:
        spec: The program.
        judge: What replies are worth.
        open_models: Opens the models; not called when the outcome is known already.
        identity: Of the model whose prompt is tuned: with all else a run depends on, it names the kept outcome.
        folder: Where replies and outcomes are kept, for all runs.
        others: Identities of the models besides that one: they name the outcome as well.
        measured: What tells versions of the judge's measure apart: with another one the kept replies are scored anew.
    """

    method = "dspy"

    def __init__(
        self,
        spec: ProgramSpec,
        judge: Judge,
        open_models: Callable[[], AbstractContextManager[Models]],
        identity: str,
        folder: Path,
        *,
        others: Mapping[str, str] | None = None,
        measured: str = "",
    ) -> None:
        self._spec, self._judge, self._open, self._measured = spec, judge, open_models, measured
        self._identity, self._folder, self._others = identity, folder, dict(others or {})

    def run(self, material: Material, recipe: DspyRecipe, reporter: Reporter, dataset: str = "") -> Outcome:
        """Try the recipe's optimisers, or return what the same run found before.

        Args:
            material: What is shown and what is chosen by.
            recipe: What to try.
            reporter: Hears of progress and may stop the run.
            dataset: Id of the dataset version.

        Raises:
            MissingExtraError: DSPy is not installed.
            DataError: ``too-few-examples``; ``budget-too-small``, ``nothing-tried``: not one candidate was scored.
            ProviderError: the model refused, or failed too often; what was answered is kept.
            JobCancelled: the reporter asked to stop; what was answered is kept.
        """
        known = self.known(material, recipe)
        if known is not None:
            reporter.event("the same run was made before: its outcome is used, and no model is asked")
            return known
        place = self._place(material, recipe)
        started = time.monotonic()

        def told(count: Count) -> None:
            reporter.progress(count.requests / recipe.max_calls, _told(count, recipe))
            reporter.saved(count.requests // REPLIES_A_MARK, "replies")

        with self._open() as models:
            desk = CallDesk(
                self._folder / "replies",
                recipe.max_calls,
                should_stop=reporter.should_stop,
                told=told,
            )
            bench, writer = _bench(material, recipe, self._judge, desk, models)
            tried, rest = _try_all(bench, recipe, writer, reporter)
        outcome = self._outcome(tried, rest, desk, recipe, dataset, time.monotonic() - started)
        make_private_folder(place.parent)
        write_atomically(place, json.dumps(outcome.to_dict(), ensure_ascii=False).encode())
        return outcome

    def known(self, material: Material, recipe: DspyRecipe) -> Outcome | None:
        """What the very same run found before; None where it was not made.

        Raises:
            MissingExtraError: DSPy is not installed.
        """
        require_dspy()
        found = _known(self._place(material, recipe), self._spec)
        if found is None or (found.weights and not weights_folder(self._folder, found.weights).is_dir()):
            return None
        return found

    def _place(self, material: Material, recipe: DspyRecipe) -> Path:
        return self._folder / "programs" / f"{self._key(material, recipe)}.json"

    def _key(self, material: Material, recipe: DspyRecipe) -> str:
        """SHA-256 over everything that the outcome depends on."""
        decides = {k: v for k, v in recipe.to_dict().items() if k not in ("name", "suffix", "base")}
        depends = {
            "spec": self._spec.fingerprint,
            "identity": self._identity,
            "metric": [self._judge.name, self._measured],
            "recipe": decides,
            "pool": [item.id for item in material.pool],
            "items": [item.id for item in material.items],
            "versions": [ADAPTER, version("dspy"), *_versions(recipe)],
            **({"others": self._others} if self._others else {}),
        }
        return hashlib.sha256(json.dumps(depends, sort_keys=True, default=str).encode()).hexdigest()

    def _outcome(
        self,
        tried: Sequence[Candidate],
        rest: Sequence[Json],
        desk: CallDesk,
        recipe: DspyRecipe,
        dataset: str,
        seconds: float,
    ) -> Outcome:
        if not tried:
            raise _nothing_scored(desk, recipe, rest)
        ranked = sorted(tried, key=lambda c: (-c.score, c.size))
        best, first = ranked[0], tried[0]
        metrics = {
            "kept": best.label,
            "metric": self._judge.name,
            "selection_score": round(best.score, 4),
            "selection_score_first": round(first.score, 4),
            "selection_items": len(best.values),
            "first": first.label,
            "candidates": len(tried),
            "requests": desk.count.requests,
            "requests_sent": desk.count.sent,
            "requests_failed": desk.count.failed,
            "prompt_tokens": desk.count.prompt_tokens,
            "completion_tokens": desk.count.completion_tokens,
            "seconds": round(seconds, 1),
            "asked": {part: _used(count) for part, count in desk.count.parts.items()},
        }
        about = {
            "identity": self._identity,
            "dataset": dataset,
            "metric": self._judge.name,
            "selection_score": metrics["selection_score"],
            "adapter": ADAPTER,
            "dspy": version("dspy"),
        }
        rows = [_row(candidate, first, kept=candidate is best) for candidate in ranked]
        return Outcome(Envelope.of(self._spec, best.programs, about), (*rows, *rest), metrics, best.weights)


def _versions(recipe: DspyRecipe) -> list[str]:
    """Of the packages that some optimisers are made of."""
    found = []
    for name, package in (("gepa", "gepa"), ("mipro", "optuna")):
        if name in recipe.tried:
            try:
                found.append(f"{package} {version(package)}")
            except PackageNotFoundError:  # the table will say so
                found.append(f"no {package}")
    return found


def _used(count: Count) -> Json:
    return {
        "requests": count.requests,
        "sent": count.sent,
        "prompt_tokens": count.prompt_tokens,
        "completion_tokens": count.completion_tokens,
        "seconds": round(count.seconds, 3),  # until each reply was there, added up
    }


def _nothing_scored(desk: CallDesk, recipe: DspyRecipe, rest: Sequence[Json]) -> DataError:
    if not desk.left:
        return DataError(
            f"The budget of {recipe.max_calls!r} calls is too small to score one candidate. Raise max_calls, or lower items "
            "in the recipe: homeroom tune plan --method dspy",
            code="budget-too-small",
        )
    reasons = "; ".join(f"{row['candidate']}: {row['not_tried']}" for row in rest)
    return DataError(
        f"Not one candidate could be tried ({reasons}). Add zero-shot or labelled to the optimisers, lower threshold, or "
        "add examples: homeroom tune plan --method dspy",
        code="nothing-tried",
    )


def _told(count: Count, recipe: DspyRecipe) -> str:
    return f"{count.requests} of at most {recipe.max_calls} calls"


def _known(place: Path, spec: ProgramSpec) -> Outcome | None:
    """The outcome that was kept; None where there is none, or it cannot be read."""
    try:
        record = json.loads(place.read_text(encoding="utf-8"))
        envelope = Envelope.from_dict(record["envelope"], str(place), spec)
        before = record["metrics"].get("seconds", 0.0)  # what finding it took, told beside what other methods took
        none = {"requests_sent": 0, "requests_failed": 0, "seconds": 0.0, "asked": {}}
        metrics = {**record["metrics"], **none, "seconds_before": before}
        return Outcome(envelope, tuple(record["table"]), metrics, str(record.get("weights", "")))
    except (OSError, ValueError, KeyError, TypeError, HomeroomError):
        return None


def _bench(
    material: Material, recipe: DspyRecipe, judge: Judge, desk: CallDesk, models: Models
) -> tuple[Bench, Any]:  # the writer is a dspy.LM, which is untyped
    from homeroom.tuning.dspy.library import DeskEngine, language_model
    from homeroom.tuning.dspy.provider import HomeroomProvider
    from homeroom.tuning.dspy.task import Bench
    from homeroom.tuning.dspy.together import InRun

    drawn = recipe.generation.settings()
    fields = material.spec.fields
    settings = GenerationSettings.from_dict(
        {
            **drawn.to_dict(),
            "seed": SEED if drawn.seed is None else drawn.seed,
            "json_schema": dict(fields.schema) if fields else None,
        }
    )
    warm = GenerationSettings.from_dict({**settings.to_dict(), "temperature": recipe.temperature})
    lm = language_model(DeskEngine(desk, models.task, settings), "task")
    fresh = language_model(DeskEngine(desk, models.task, warm, fresh=True), "task-again", recipe.temperature)
    writer = None
    if models.writer is not None:
        writer = language_model(DeskEngine(desk, models.writer, None, fresh=True), "writer", 1.0, 2000)
    teaching = None
    if models.teacher is not None:
        teaching = (
            language_model(DeskEngine(desk, models.teacher, settings), "teacher"),
            language_model(DeskEngine(desk, models.teacher, warm, fresh=True), "teacher-again", recipe.temperature),
        )
    bench = (material, recipe, judge, desk, (lm, fresh), models.concurrency)
    if models.trainer is None:
        return Bench(*bench, teaching=teaching), writer
    weights = InRun(models.trainer, desk)
    provider = HomeroomProvider(weights)
    traced = DeskEngine(desk, models.task, settings, tuned=weights.tuned, forgiving=True)
    again = DeskEngine(desk, models.task, warm, fresh=True, tuned=weights.tuned, forgiving=True)
    tracing = (
        language_model(traced, "task", provider=provider),
        language_model(again, "task-again", recipe.temperature, provider=provider),
    )
    return Bench(*bench, tracing, weights, teaching), writer


def _try_all(
    bench: Bench, recipe: DspyRecipe, writer: Any, reporter: Reporter
) -> tuple[list[Candidate], list[Json]]:  # the writer is a dspy.LM, which is untyped
    """Every candidate that was wholly scored, in the order tried; then what was not, with the reason."""
    from homeroom.tuning.dspy.library import model_of
    from homeroom.tuning.dspy.optimisers import OPTIMISERS
    from homeroom.tuning.dspy.task import Candidate, NotTried

    tried: list[Candidate] = []
    left_out: list[Json] = []
    for number, name in enumerate(recipe.tried):
        reason = _reason(name, bench, writer)
        if reason:
            left_out.append({"candidate": name, "optimiser": name, "not_tried": reason})
            reporter.event(f"{name}: not tried, {reason}")
            continue
        try:
            before = bench.desk.count.requests
            for label, programs in OPTIMISERS[name](bench, tried, writer):
                values = bench.score(programs)
                after = bench.desk.count.requests
                tried.append(Candidate(label, name, programs, values, after - before, model_of(programs[0])))
                before = after
                reporter.event(f"{label}: {tried[-1].score:.2f} on {len(values)} selection items", data={"label": label})
        except NotTried as error:
            left_out.append({"candidate": name, "optimiser": name, "not_tried": str(error)})
            reporter.event(f"{name}: {error}", level="warning")
        except BudgetSpent as error:
            reason = str(error)
            reporter.event(f"{name}: {reason}", level="warning")
            left_out += [{"candidate": rest, "optimiser": rest, "not_tried": reason} for rest in recipe.tried[number:]]
            break
    return tried, left_out


def _reason(name: Optimiser, bench: Bench, writer: object) -> str:
    """Why an optimiser cannot be tried; empty when it can."""
    if name in PROMPT_MODEL and writer is None:
        return "it needs prompt_model in the recipe: a strong model that writes instructions"
    if name in PROMPT_MODEL and bench.material.leave_one_out:
        return "fewer than 10 examples: none can be kept apart from those that instructions are written from"
    if name in WEIGHTS and bench.material.leave_one_out:
        return "fewer than 10 examples: none can be kept apart from those that weights learn from"
    if name not in ("plain", "zero-shot", "gepa", "ensemble") and not bench.pool:
        return "no example has every output of the program"
    return ""


def _row(candidate: Candidate, first: Candidate, *, kept: bool) -> Json:
    """A row of the table: the score, and item by item against the first candidate that was tried."""
    pairs = list(zip(candidate.values, first.values, strict=True))
    return {
        "candidate": candidate.label,
        "optimiser": candidate.optimiser,
        "selection_score": round(candidate.score, 4),
        "wins": sum(mine > theirs for mine, theirs in pairs),
        "ties": sum(mine == theirs for mine, theirs in pairs),
        "losses": sum(mine < theirs for mine, theirs in pairs),
        "demonstrations": candidate.shown,
        "requests": candidate.requests,
        "weights": bool(candidate.weights),
        "kept": kept,
    }
