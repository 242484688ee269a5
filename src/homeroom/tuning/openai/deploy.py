"""A checkpoint made to answer at its endpoint: asked for once, however often an answer is lost, and waited for without hurry."""

from __future__ import annotations

import hashlib
from typing import Any

from homeroom.errors import ProviderError
from homeroom.models.openai_tuning import OpenAITuning
from homeroom.schema.jobs import Reporter
from homeroom.tuning.openai.follow import Follower, Pace, plain
from homeroom.tuning.openai.state import Deployment, RunState

Json = dict[str, Any]  # of the provider's making
ACTIVE, BROKEN, GONE = "active", "error", "deleted"


class Deployer:
    """Deploys the checkpoints of one run.

    Args:
        service: The endpoint.
        base: Its name of the base.
        suffix: What the deployed model's name carries.
        state: What the run has done; kept up to date.
        follower: Asks, waits and looks.
        reporter: Told what happens.
        pace: How often it asks.
    """

    def __init__(
        self,
        service: OpenAITuning,
        base: str,
        suffix: str,
        state: RunState,
        follower: Follower,
        reporter: Reporter,
        pace: Pace,
    ) -> None:
        self._service, self._base, self._suffix, self._state = service, base, suffix, state
        self._follower, self._reporter, self._pace = follower, reporter, pace

    def __call__(self, source: str) -> str:
        """The name by which the checkpoint ``source`` answers: deployed if it is not, and waited for.

        Raises:
            ProviderError: ``fine-tuning-deployment``: it was refused, or broke off. Or the endpoint did not answer.
            JobCancelled: told to stop; what was asked for goes on there.
        """
        one = self._of(source)
        if not one.model:
            self._follower.once(one, lambda: self._ask(one), lambda: self._found(one), self._explained)
            self._reporter.event(f"Deployed {source} as {one.model}; it answers once the endpoint has checked it")
        self._wait(one)
        return one.model

    def _of(self, source: str) -> Deployment:
        found = next((one for one in self._state.deployed if one.source == source), None)
        if found is None:
            found = Deployment(source, self._named(source, 0))
            self._state.deployed.append(found)
            self._state.save()
        return found

    def _named(self, source: str, turn: int) -> str:
        """What to ask for: the same in every attempt, another one after one that broke off."""
        return f"{self._suffix}-{hashlib.sha256(f'{source} {turn}'.encode()).hexdigest()[:8]}"

    def _ask(self, one: Deployment) -> None:
        try:
            model = self._service.custom.deploy(one.source, self._base, one.name, self._state.tag)
        except ProviderError as error:
            if error.status in (400, 409) and self._listed(one):  # an earlier request did arrive
                return
            raise
        self._known(one, model)

    def _known(self, one: Deployment, model: str) -> None:
        one.model = model
        self._state.save()
        self._reporter.saved(1, one.name)

    def _found(self, one: Deployment) -> bool:
        """Look for one whose confirmation was lost, more than once: a list may show it a little later."""
        return any(self._listed(one) for _ in self._follower.looks())

    def _listed(self, one: Deployment) -> bool:
        """Whether the account lists it."""
        name = next((str(row["name"]) for row in self._follower.asked(self._service.custom.rows) if _is_mine(one, row)), "")
        if name:
            self._known(one, name)
            self._reporter.event(f"Found {name}, whose confirmation was lost; it is not deployed a second time.")
        return bool(name)

    def _wait(self, one: Deployment) -> None:
        """Until it answers."""
        pause, last = self._pace.first_s, ""
        missing = 0
        while True:
            try:
                told = self._follower.asked(lambda: self._service.custom.model(one.model))
            except ProviderError as error:
                missing += 1
                if error.status != 404:
                    raise self._explained(error) from error
                if missing >= self._pace.looks:
                    raise self._given_up(one, "the endpoint does not know it any more") from error
                told = {"status": "not listed yet"}
            status = str(told["status"])
            if status == ACTIVE:
                return
            if status in (BROKEN, GONE):
                raise self._given_up(one, plain(str(told.get("status_reason") or f"its status is {status}")))
            if status != last:
                self._reporter.event(f"{one.model}: {plain(status)}")
            pause = self._pace.first_s if status != last else min(self._pace.longest_s, pause * self._pace.growth)
            last = status
            self._follower.pause(pause)

    def _given_up(self, one: Deployment, why: str) -> ProviderError:
        """It will never answer: another attempt deploys anew."""
        model = one.model
        one.past.append(model)
        one.asked, one.model, one.name = False, "", self._named(one.source, len(one.past))
        self._state.save()
        return ProviderError(
            f"The deployment {model!r} of the checkpoint {one.source!r} broke off at {self._service.where}: {why}. The training "
            "is done and is not paid again: run the same command again to deploy anew",
            code="fine-tuning-deployment",
        )

    def _explained(self, error: ProviderError) -> ProviderError:
        """A refusal, with what is safe and what to do; what may pass by itself stays as it is."""
        if not 400 <= error.status < 500 or error.status in (401, 408, 429):
            return error
        return ProviderError(
            f"{self._service.where} does not deploy what was trained on {self._base!r}: {plain(error.message)} Not every base "
            "that it trains can be deployed there. The training is done and is not paid again: run the same command again, or "
            "see what the account has in the provider's own pages",
            code="fine-tuning-deployment",
            status=error.status,
            retry_after_s=error.retry_after_s,
        )


def _is_mine(one: Deployment, row: Json) -> bool:
    """By the checkpoint it came from; where that is not told, by the name that was asked for, which gets a few letters more."""
    name = row.get("name")
    if not isinstance(name, str) or name in one.past or row.get("status") == GONE:
        return False
    told = row.get("source") or (f"{row['job_id']}:{row.get('checkpoint_id')}" if row.get("job_id") else "")
    if told:
        return bool(told == one.source)
    short = name.rpartition("/")[2].rpartition(":")[2]
    return short == one.name or short.startswith(f"{one.name}-")
