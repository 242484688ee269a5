"""Several runs at once, and going on with what stopped, as functions: ``homeroom tune run A.yaml B.yaml`` and ``tune resume``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from homeroom.app.agreements import lift_limit
from homeroom.app.batch import is_local, submit_batch
from homeroom.app.batch_job import made_before_end
from homeroom.app.resuming import go_on_and_wait, job_to_resume, quotes_of_job
from homeroom.app.spending import Quote, Spend, agreed, quotes_of, require_amount
from homeroom.app.tuning import submit_tuning
from homeroom.app.work import NOW, When, wait_for
from homeroom.errors import ConfigError, JobFailed
from homeroom.schema.jobs import Job
from homeroom.schema.models import TunedModel
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import Run, run_of

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

Row = dict[str, Any]  # JSON: what came of a run


class Follower(Protocol):
    """Who is told of a batch while it is made: the command draws it, a program waits."""

    def begun(self, label: str, job: Job) -> None:
        """A job is queued, or was there; ``label`` names its runs."""
        ...

    def wait(self, job: Job) -> Job | None:
        """The job at its end; None where nobody waits for it. Raises JobFailed."""
        ...

    def failed(self, label: str, error: JobFailed) -> None:
        """A run of its own failed; the others are made."""
        ...


class Budget:
    """The money that the runs of a batch may cost together: what could come to more is not begun.

    Args:
        quotes: Of the runs that are not made yet, by label.
        usd: At most; None is no limit.

    Raises:
        ConfigError: ``price-unknown``: a run's price is not known, so nothing can be held to the limit.
    """

    def __init__(self, quotes: Sequence[Quote], usd: float | None) -> None:
        self._most = {quote.label: quote.most_usd for quote in quotes if quote.paid}
        self._usd, self._spent = usd, 0.0
        unknown = next((quote.label for quote in quotes if quote.paid and not quote.priced), None)
        if usd is not None and unknown is not None:
            raise ConfigError(
                f"The price of {unknown!r} is not known, so --budget-usd {usd:g} cannot be kept. Write it into prices.yaml in "
                "the home and look: homeroom tune plan",
                code="price-unknown",
            )

    @property
    def note(self) -> str:
        """Told beside the sum."""
        return "" if self._usd is None else f"; what could come to more than ${self._usd:.2f} in all is not begun"

    def refused(self, label: str) -> str:
        """Why the run is not begun; empty where it may be."""
        most = self._most.get(label, 0.0)
        if self._usd is None or self._spent + most <= self._usd:
            return ""
        return f"it could cost ${most:.2f}, and ${max(0.0, self._usd - self._spent):.2f} of --budget-usd {self._usd:g} are left"

    def begun(self, home: Homeroom, label: str, job: Job) -> None:
        """Count a run: by the ledger once it is over, until then by the most that it can be."""
        if label in self._most:
            told = sum(total.usd + total.held_usd for total in home.ledger.totals((), job=job.id))
            self._spent += told if job.done else self._most[label]


@dataclass(frozen=True, slots=True)
class Batch:
    """Runs that are made one after another.

    Attributes:
        home: The open home.
        dataset: Id, name or name@version.
        runs: A label and a run each; labels differ. What they cost was agreed to.
        budget: Refuses what could cost too much.
        minutes: No further run is begun after so long.
        again: All of them are made anew.
        when: When their jobs may run.
    """

    home: Homeroom
    dataset: str
    runs: Sequence[tuple[str, Run]]
    budget: Budget
    minutes: float | None = None
    again: bool = False
    when: When = NOW

    def make(self, follower: Follower) -> tuple[list[Job], list[Row]]:
        """Make them: those on weights here as one job, then the others. One that fails costs the others nothing.

        Returns:
            The jobs, and a row for each run that was waited for or not begun, in the runs' order.
        """
        home = self.home
        deadline = None if self.minutes is None else time.monotonic() + 60 * self.minutes
        jobs: list[Job] = []
        rows: list[Row] = []
        local = [(label, run) for label, run in self.runs if isinstance(run, Recipe) and is_local(home, run)]
        if local:
            job = submit_batch(home, self.dataset, local, minutes=self.minutes, again=self.again, when=self.when)
            follower.begun(", ".join(label for label, _ in local), job)
            try:
                ended = follower.wait(job)
            except JobFailed as failure:
                job = home.jobs.get(job.id)
                if job.state != "failed":  # cancelled: whoever did that wants no more of it
                    raise
                follower.failed(", ".join(label for label, _ in local), failure)
                ended = None
                rows += self._rows_of_failed(job, local, failure)
            rows += [] if ended is None else (ended.result or {})["runs"]
            jobs.append(ended or job)
        for label, run in self.runs:
            if is_local(home, run):
                continue
            late = deadline is not None and time.monotonic() >= deadline
            why = "" if late else self.budget.refused(label)
            if late or why:
                error = {"error": why} if why else {}
                rows.append({"run": label, "method": run.method, "state": "not begun", **error, "models": []})
                continue
            job, row = self._alone(label, run, follower)
            self.budget.begun(home, label, job)
            jobs.append(job)
            rows += [row] if row else []
        order = {label: at for at, (label, _) in enumerate(self.runs)}
        return jobs, sorted(rows, key=lambda row: order[row["run"]])

    def _rows_of_failed(self, job: Job, local: Sequence[tuple[str, Recipe]], error: JobFailed) -> list[Row]:
        """What the job of the runs here had made before it failed, and a row with the reason for each other run of it."""
        made = made_before_end(self.home.work_root / job.id / "work")
        failed = {"state": "failed", "error": error.message, "models": []}
        bases = {label: run.base or self.home.settings.default_base for label, run in local}
        return [made.get(label) or {"run": label, "base": bases[label], "method": run.method, **failed} for label, run in local]

    def _alone(self, label: str, run: Run, follower: Follower) -> tuple[Job, Row | None]:
        """A run that is a job of its own; with what came of it, where it is waited for."""
        home = self.home
        job = submit_tuning(home, self.dataset, run, again=self.again, when=self.when)
        follower.begun(label, job)
        about: Row = {"run": label, "method": run.method, "base": run.base or home.settings.default_base}
        try:
            ended = follower.wait(job)
        except JobFailed as error:
            follower.failed(label, error)
            return home.jobs.get(job.id), {**about, "state": "failed", "error": error.message, "models": []}
        if ended is None:
            return job, None
        result = ended.result or {}
        metrics = result.get("metrics") or {}
        numbers = {key: metrics.get(key) for key in ("valid_loss", "base_valid_loss", "selection_score")}
        seconds = metrics.get("seconds") or (ended.cost or {}).get("seconds")
        models = list(result.get("models") or [result["model"]])
        return ended, {**about, "state": "made", "models": models, **numbers, "seconds": seconds}


@dataclass(frozen=True, slots=True)
class BatchRun:
    """What came of one run of a batch.

    Attributes:
        name: Of the run.
        method: How it tunes.
        state: ``made``, ``failed`` or ``not begun``: its time or its money was over.
        models: What it registered.
        valid_loss: Where weights were trained here; None elsewhere.
        error: Why it failed, or was not begun for want of money.
    """

    name: str
    method: str
    state: Literal["made", "failed", "not begun"]
    models: tuple[TunedModel, ...] = ()
    valid_loss: float | None = None
    error: str = ""


def batch(
    home: Homeroom,
    dataset: str,
    recipes: Sequence[Run | Mapping[str, Any]],
    *,
    minutes: float | None = None,
    budget_usd: float | None = None,
    again: bool = False,
    spend: float = 0.0,
) -> tuple[BatchRun, ...]:
    """``homeroom tune run A.yaml B.yaml``: make several runs and wait. One that fails costs the others nothing.

    Those on weights here share one job and the base in memory. Asked for again, only what is missing is made.

    Args:
        home: The open home.
        dataset: Name, ``name@version`` or id.
        recipes: Recipes or their keys; each of another name.
        minutes: No further run is begun after so long.
        budget_usd: No further run is begun that could cost more than so many US dollars in all.
        again: Make all of them anew.
        spend: The most that calls to endpoints may cost, in US dollars, by their forecast; ``math.inf`` is whatever they cost.

    Returns:
        A row for each recipe, in order.

    Raises:
        ConfigError: ``needs-yes``: it could cost more than ``spend``; ``key-not-set``, ``price-unknown``; ``minutes-invalid``:
            less than 0; ``usd-invalid``. Nothing was begun.
        HomeroomError: no such dataset or base, nothing to train on, a mistake in a recipe, or two of the same name.
    """
    if minutes is not None and not minutes >= 0:
        raise ConfigError(f"minutes={minutes!r} is no time. Write a number from 0 up", code="minutes-invalid")
    if budget_usd is not None:
        require_amount(budget_usd)
    runs = [run_of(recipe) for recipe in recipes]
    twice = [name for name, count in Counter(run.name for run in runs).items() if count > 1]
    if twice:
        raise ConfigError(
            f"Two runs of the batch are called {twice[0]!r}. Give one of them another name: in its recipe", code="batch-labels"
        )
    labelled = [(run.name, run) for run in runs]
    quotes = quotes_of(home, dataset, labelled, again=again)
    budget = Budget(quotes, budget_usd)
    agreed(quotes, spend)
    _, rows = Batch(home, dataset, labelled, budget, minutes, again).make(_Waiting(home, spend))
    known = {model.name: model for model in home.registry.list()}
    return tuple(_typed(row, run, known) for row, run in zip(rows, runs, strict=True))


class _Waiting:
    """Implements `Follower`: waits, and tells nobody."""

    def __init__(self, home: Homeroom, spend: float) -> None:
        self._home, self._spend = home, spend

    def begun(self, label: str, job: Job) -> None:
        """It may cost what was agreed to."""
        lift_limit(self._home, [job], self._spend)

    def wait(self, job: Job) -> Job:
        """The job at its end."""
        return wait_for(self._home, job.id)

    def failed(self, label: str, error: JobFailed) -> None:
        """Nothing: it is in the run's row."""


def _typed(row: Row, run: Run, known: Mapping[str, TunedModel]) -> BatchRun:
    models = tuple(known[name] for name in row["models"] if name in known)  # one of two may have been deleted since
    return BatchRun(run.name, run.method, row["state"], models, row.get("valid_loss"), str(row.get("error", "")))


def resume(home: Homeroom, job_id: str = "", *, spend: Spend = 0.0) -> Job:
    """``homeroom tune resume``, and waiting: what was interrupted, paused, cancelled or failed goes on from what it had saved.

    What it waits for goes on before it. Any job can be named, also one that ``tune resume`` leaves alone, such as an evaluation.

    Args:
        home: The open home.
        job_id: The job; the tuning that stopped last when empty.
        spend: The most that going on may cost at endpoints, in US dollars, by its forecast; ``math.inf`` is whatever it costs.
            What only waited costs nothing anew.

    Returns:
        The job, done; its ``result`` names what it made. One that has succeeded before is given as it is.

    Raises:
        NotFoundError: there is no such job; ``nothing-to-resume``.
        ConfigError: ``needs-yes``: going on could cost more than ``spend``; ``key-not-set``.
        JobFailed: it failed again.
    """
    job = home.jobs.get(job_id) if job_id else job_to_resume(home)
    if job.state == "succeeded":
        return job
    agreed(quotes_of_job(home, job), spend)

    def wait(one: Job) -> Job:
        lift_limit(home, [one], spend)
        return wait_for(home, one.id)

    return go_on_and_wait(home, job, wait)
