"""The method ``openai``: pay, upload, create, follow, and keep what came out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from homeroom.errors import HomeroomError, ProviderError
from homeroom.jobs.store import LeaseLost
from homeroom.models.openai_tuning import OpenAITuning
from homeroom.schema.jobs import OUTCOME, JobCancelled, Reporter
from homeroom.schema.models import TunedModel
from homeroom.schema.tuning import Plan, TrainingData
from homeroom.storage.errors import disk_errors
from homeroom.storage.files import write_atomically
from homeroom.tuning.openai import access
from homeroom.tuning.openai.follow import Follower, plain
from homeroom.tuning.openai.leave import delete_files, end_jobs, tell_deployed
from homeroom.tuning.openai.lines import lines_of
from homeroom.tuning.openai.place import Place, Work
from homeroom.tuning.openai.plan import plan_of, require_taken, rungs_of
from homeroom.tuning.openai.purse import trained_tokens
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.openai.result import kept
from homeroom.tuning.openai.state import SUCCEEDED, Rung, RunState

Json = dict[str, Any]  # of the provider's making
PROBE_S = 60.0


class OpenAITuner:
    """Implements `homeroom.schema.tuning.Tuner`.

    Args:
        place: Where it is done.
        work: What it is part of; None for a plan.
    """

    method = "openai"

    def __init__(self, place: Place, work: Work | None = None) -> None:
        self._place, self._maybe = place, work

    @property
    def _work(self) -> Work:
        assert self._maybe is not None, "only a plan was asked for"
        return self._maybe

    @property
    def _service(self) -> OpenAITuning:
        assert self._place.service is not None, "only a plan was asked for"
        return self._place.service

    def plan(self, data: TrainingData, recipe: OpenAIRecipe) -> Plan:
        """What the run will cost; asks nobody.

        Raises:
            DataError: ``too-few-examples``.
        """
        return plan_of(self._place, data, recipe)

    def run(self, data: TrainingData, recipe: OpenAIRecipe, reporter: Reporter) -> TunedModel:
        """Tune, or go on with what an earlier attempt began. Not yet registered.

        Raises:
            DataError: ``too-few-examples``, ``example-too-long``.
            ConflictError, ConfigError: the budget or the price stands against it, or ``fine-tuning-setting``; nothing was sent.
            ProviderError: ``fine-tuning-closed``, ``fine-tuning-base``, ``fine-tuning-missing``, ``fine-tuning-file``,
                ``fine-tuning-failed``, ``fine-tuning-cancelled``, ``fine-tuning-deployment``; or the endpoint did not answer.
            JobCancelled: told to stop.
        """
        examples, held_out, _ = require_taken(self._place, data, recipe)
        lines = lines_of(examples, recipe)
        state = RunState.open(self._work.folder, f"homeroom-{self._work.job_id}", rungs_of(lines, recipe, self._place.count))
        follower = Follower(self._service, self._place.model, state, reporter, self._work.pace)
        try:
            self._begin(state, follower, recipe, reporter)
            if held_out and not state.validation and any(not rung.job for rung in state.rungs):
                state.validation = self._sent(follower, state, "validation", lines_of(held_out, recipe))
            for number, rung in enumerate(state.rungs):
                self._climb(rung, number, state, follower, recipe, lines, reporter)
            model = kept(self._place, self._work, state, follower, recipe, data.dataset, reporter)
        except JobCancelled:
            if self._work.cancelled():
                # Never longer than a moment: whoever cancelled waits. What could not be ended is tried again by a job of its own.
                pace, purse = self._work.pace, self._work.purse
                end_jobs(self._service, state, purse, reporter, wait_s=pace.cancel_s, look_s=min(1.0, pace.first_s))
                tell_deployed(state, self._place.endpoint, reporter)
            self._ended(state, recipe, reporter)
            raise
        except LeaseLost:  # another worker goes on with all of this
            raise
        except HomeroomError:
            self._ended(state, recipe, reporter)
            raise
        self._ended(state, recipe, reporter)
        return model

    def _ended(self, state: RunState, recipe: OpenAIRecipe, reporter: Reporter) -> None:
        """Give back what was held for jobs that nobody asked for, and delete what was uploaded, if that was asked for."""
        for rung in state.rungs:
            if not rung.asked and not rung.job:
                self._work.purse.release(rung)
        state.save()
        if recipe.delete_files and not state.unfinished:
            delete_files(self._service, state, self._place.endpoint, reporter)

    def _begin(self, state: RunState, follower: Follower, recipe: OpenAIRecipe, reporter: Reporter) -> None:
        """Hold the money, then ask whether we may tune at all. Nothing was sent before both are in order."""
        self._work.purse.hold(state)
        if state.admitted:
            return
        models = follower.asked(self._service.account.models, PROBE_S)
        ends = access.ends(models, self._place.model, {self._place.model: self._place.ends})
        if told := access.ending(self._place.model, ends, datetime.now(UTC).date()):
            reporter.event(told, level="warning")
        settings = self._place.dialect.settings(recipe)
        follower.asked(lambda: access.probe(self._service, self._place.model, settings, state.tag), PROBE_S)
        state.admitted = True
        state.save()

    def _climb(
        self,
        rung: Rung,
        number: int,
        state: RunState,
        follower: Follower,
        recipe: OpenAIRecipe,
        lines: Sequence[str],
        reporter: Reporter,
    ) -> None:
        """One job from upload to end; one that an earlier attempt saw the end of is left as it is."""
        of = f" {rung.examples} examples ({number + 1} of {len(state.rungs)})" if len(state.rungs) > 1 else ""
        if rung.outcome is None:
            if not rung.job and not rung.asked and (again := follower.returned(rung)):
                self._work.purse.release(rung)
                rung.take_up(again)
                state.save()
            if not rung.job and not rung.asked:
                rung.file = self._sent(follower, state, str(rung.examples), lines[: rung.examples])
            follower.create(rung, self._body(rung, state, recipe))
            reporter.event(f"Job {rung.job} at {self._place.endpoint}:{of or f' {rung.examples} examples'}, {rung.epochs} epochs")
            self._work.created(rung.job)

            def told(done: float, status: str) -> None:
                reporter.progress((number + done) / len(state.rungs), f"{self._place.endpoint}: {status}{of}")

            self._end_twins(rung, state, follower)
            try:
                job = follower.follow(rung, told)
                self._end_twins(rung, state, follower)  # a list may have been late
                rung.outcome = self._whole(rung, state, job)
            except ProviderError as error:
                if error.status != 404:
                    raise
                rung.vanish()
            state.save()
        if not rung.paid:
            cost = self._work.purse.settle(rung, rung.done)
            state.save()
            if cost:
                tokens = trained_tokens(rung.outcome or {}) or 0
                reporter.event(f"Job {rung.job} trained {tokens:,} tokens: ${cost:.4f}", type=OUTCOME)
        if rung.status != SUCCEEDED:
            raise self._failed(rung)

    def _end_twins(self, rung: Rung, state: RunState, follower: Follower) -> None:
        """Have jobs ended that were created twice, and count what they cost."""
        for job in follower.twins(rung):
            self._work.purse.also(rung, job)
            state.save()

    def _whole(self, rung: Rung, state: RunState, job: Json) -> Json:
        """The job as it ended, refused where it succeeded and names no model: that is paid, and asked for again."""
        dialect = self._place.dialect
        if job["status"] == SUCCEEDED and not dialect.leaves_checkpoints and not dialect.tuned(job, ()):
            if not rung.paid:
                rung.outcome = job
                self._work.purse.settle(rung, 1.0)
                rung.outcome = None
                state.save()
            raise ProviderError(
                f"{self._place.endpoint!r} says that the job {rung.job} succeeded and names no model. Run the same command again",
                code="provider-answer",
            )
        return job

    def _failed(self, rung: Rung) -> ProviderError:
        job = rung.outcome or {}
        error = job["error"] if isinstance(job.get("error"), dict) else {}
        reason = " ".join(str(part) for part in (error.get("message"), f"[{error['code']}]" if error.get("code") else "") if part)
        reason, where = plain(reason), self._place.endpoint
        if rung.job in rung.vanished:
            return ProviderError(
                f"The endpoint {where!r} does not know the job {rung.job} any more. It may go on there and be charged, so what "
                "is held for it stays held (homeroom costs held). The same command looks for it again before it begins anew",
                code="fine-tuning-failed",
            )
        if rung.status == "cancelled":
            return ProviderError(
                f"The job {rung.job} was cancelled at {where!r}, not from here. Begin it anew: run the same command again",
                code="fine-tuning-cancelled",
            )
        about_file = str(error.get("param") or "") in ("training_file", "validation_file")
        return ProviderError(
            f"The job {rung.job} failed at {where!r}: {reason or 'it gave no reason'}. "
            + ("Mend the examples and tune on the new version: homeroom data check FILE" if about_file else
               "Begin it anew: run the same command again, or choose another base with --base"),
            code="fine-tuning-file" if about_file else "fine-tuning-failed",
        )  # fmt: skip

    def _body(self, rung: Rung, state: RunState, recipe: OpenAIRecipe) -> Json:
        body: Json = {
            "model": self._place.model,
            "training_file": rung.file,
            "suffix": recipe.model_suffix,
            "seed": recipe.seed,
            **self._place.dialect.settings(recipe, rung.epochs),
        }
        if self._place.dialect.keeps_metadata:
            body["metadata"] = {"homeroom": state.tag_of(rung)}
        return {**body, "validation_file": state.validation} if state.validation else body

    def _sent(self, follower: Follower, state: RunState, part: str, lines: Sequence[str]) -> str:
        path = self._work.folder / f"{part}.jsonl"
        with disk_errors(path):
            write_atomically(path, "".join(line + "\n" for line in lines).encode("utf-8", errors="replace"))
        name = f"{state.tag}-{part}.jsonl"
        found = follower.send(path, name)
        path.unlink(missing_ok=True)
        return found
