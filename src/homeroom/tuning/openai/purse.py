"""The money of a run: held before anything is sent, settled by what the endpoint says that it trained."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from homeroom.errors import ConfigError, ConflictError, NotFoundError
from homeroom.ledger.prices import MILLION, Price
from homeroom.ledger.records import About, Cost, Tokens, nano
from homeroom.ledger.store import Ledger
from homeroom.schema.costs import Basis
from homeroom.tuning.openai.state import FINAL, SUCCEEDED, Rung, RunState

Json = dict[str, Any]  # of the provider's making


def usd(tokens: int, price: Price | None) -> float:
    """What training on so many tokens costs; 0 where no price is known."""
    return tokens * (price.training or 0.0) / MILLION if price is not None else 0.0


class Purse:
    """Holds and settles for one run.

    Args:
        ledger: Where it is written.
        about: What it is for; its job tells this run's lines from others'.
        price: Of the model; None, or without a price of training: not known.
        counted: Whether the endpoint's work is counted at all. What runs on this machine is not.
    """

    def __init__(self, ledger: Ledger, about: About, price: Price | None, *, counted: bool) -> None:
        self._ledger, self._about, self._price, self._counted = ledger, about, price, counted

    @property
    def priced(self) -> bool:
        """Whether the price of training is known."""
        return self._price is not None and self._price.training is not None

    def hold(self, state: RunState) -> None:
        """Set aside the most that each job can cost which nothing is held for yet.

        Raises:
            ConflictError: ``budget-spent``: what this run had set aside so far is given back, nothing was sent.
            ConfigError: ``price-unknown``: a budget is about this run, and the price is not known.
        """
        if not self._counted:
            return
        lost, held = self._lost(state), {cost.id for cost in self._ledger.held()}
        fresh = []
        try:
            # Of a line that somebody has settled by hand nothing is held any more.
            for rung in (one for one in state.rungs if not one.paid and (not one.cost or (one.unasked and one.cost not in held))):
                most = usd(rung.most_tokens, self._price)
                mine = next((cost for cost in lost if nano(cost.usd) == nano(most)), None)
                if mine is not None:
                    lost.remove(mine)
                rung.cost = mine.id if mine else self._ledger.hold(self._about, most, priced=self.priced)
                fresh.append(rung)
        except (ConflictError, ConfigError):
            for rung in fresh:
                self._ledger.release(rung.cost)
                rung.cost = ""
            raise
        finally:
            state.save()

    def _lost(self, state: RunState) -> list[Cost]:
        """What the ledger holds for this run and the run does not know of: the process died before it was noted."""
        known = {line for rung in state.rungs for line in rung.lines}
        return [cost for cost in self._ledger.held() if cost.about == self._about and cost.id not in known]

    def release_unasked(self, state: RunState) -> None:
        """Give back what is held for jobs that nobody asked for, where the run is given up."""
        for rung in state.rungs:
            if rung.unasked:
                self.release(rung)
        for cost in self._lost(state):
            self._ledger.release(cost.id)

    def also(self, rung: Rung, job: Json) -> None:
        """Count a second job of the same rung, by the tokens that it says it trained, and at most where it says none."""
        if not self._counted:
            return
        told = trained_tokens(job) if job.get("status") in FINAL else None
        basis: Basis = "unpriced" if not self.priced else "estimated" if told is None else "billed"
        tokens = rung.most_tokens if told is None else told
        self._ledger.add(self._about, usd(tokens, self._price), Tokens(trained=tokens), basis)

    def release(self, rung: Rung) -> None:
        """Give back what is held: the endpoint refused the job, or none was asked for."""
        if rung.cost and not rung.paid:
            with suppress(NotFoundError):  # given back before the process died
                self._ledger.release(rung.cost)
        rung.cost = ""

    def settle(self, rung: Rung, share: float) -> float:
        """Put what the ended job cost in place of what was held. In US dollars.

        The endpoint tells the tokens that it trained. Where it tells none, a job that failed cost nothing, and of one that was
        cancelled ``share`` (0 to 1) was done.
        """
        told = trained_tokens(rung.outcome or {})
        if not rung.cost:
            rung.paid = True
            return 0.0
        done = {SUCCEEDED: 1.0, "cancelled": share}.get(rung.status, 0.0)
        tokens = told if told is not None else round(rung.most_tokens * done)
        basis: Basis = "unpriced" if not self.priced else "estimated" if told is None else "billed"
        cost = usd(tokens, self._price)
        with suppress(NotFoundError):
            self._ledger.settle(rung.cost, cost, Tokens(trained=tokens), basis)
        rung.paid = True
        return cost

    def spent(self) -> tuple[float | None, int]:
        """What the run has cost by now, with all its jobs and attempts, and the tokens that they trained: as the ledger has it.

        In US dollars, with what is held; None where the price is not known. Nothing where nothing is counted.
        """
        totals = self._ledger.totals((), job=self._about.job_id) if self._counted and self._about.job_id else ()
        tokens = sum(total.tokens.trained for total in totals)
        known = not any(total.unpriced for total in totals)
        return (sum(total.usd + total.held_usd for total in totals) if known else None), tokens


def trained_tokens(job: Json) -> int | None:
    """What the endpoint says that a job trained; None when it says nothing."""
    told = job.get("trained_tokens")
    return told if isinstance(told, int) and told >= 0 else None
