"""The cost ledger: every call that costs or may cost, and budgets that stop calls before they are sent.

A call is *held* at the most that it can cost before it is sent, and *settled* by what it did cost. Holding looks at every budget
and writes its line in one write transaction, of which there is one at a time, so calls that start together cannot overspend. A
call of which no answer came back stays held, and counts, until somebody says what became of it: it may have been charged.

Budgets hold as long as a call costs no more than what was held for it. A provider that generates more than it was asked for is
recorded with what it charged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from homeroom.errors import ConfigError, ConflictError, NotFoundError
from homeroom.ledger.records import ANY, DIMENSIONS, NANO, PERIODS, About, Budget, Cost, Period, Tokens, Total, dollars, nano
from homeroom.schema.costs import Basis
from homeroom.storage import LOCAL, Database, Scope
from homeroom.storage.tables import BudgetRow, CostDayRow, CostRow, new_id

GROUPS = (*DIMENSIONS, "day", "month", "job", "basis")
MOST_USD = 1_000_000_000


class Ledger:
    """The costs of a home. Thread-safe, and safe between processes.

    Args:
        database: Where they are.
        scope: Whose calls are counted and whose budgets hold.
        now: Unix time.
    """

    def __init__(self, database: Database, *, scope: Scope = LOCAL, now: Callable[[], float] = time.time) -> None:
        self._database, self._scope, self._now = database, scope, now

    def hold(self, about: About, usd: float, *, priced: bool = True) -> str:
        """Set aside what a call can cost at most. The line's id; it is on the disk when this returns.

        Args:
            about: What the call is for.
            usd: At most.
            priced: Whether its price is known at all.

        Raises:
            ConflictError: ``budget-spent``: it does not fit a budget; nothing was set aside.
            ConfigError: ``price-unknown``: a budget is about this call, which cannot be kept without a price; ``usd-invalid``.
        """
        _require_usd(usd)
        wanted = nano(usd)
        with self._database.write() as session:
            for budget, limit in self._limits(session):
                if not budget.covers(about):
                    continue
                if not priced:
                    raise _price_unknown(about, budget)
                spent = self._spent(session, budget)
                if spent + wanted > limit:
                    raise _budget_spent(about, replace(budget, spent_usd=dollars(spent)), usd)
            row = self._row(about, "held", "estimated" if priced else "unpriced", Tokens())
            row.held_nusd = wanted
            session.add(row)
            self._count(session, row, wanted)
            return row.id

    def settle(self, cost_id: str, usd: float, tokens: Tokens = Tokens(), basis: Basis = "billed") -> None:  # noqa: B008 - frozen
        """Put what a held call did cost in place of what was held.

        Raises:
            NotFoundError: ``cost-not-found``.
        """
        with self._database.write() as session:
            row = self._mine(session, cost_id)
            self._count(session, row, nano(usd) - _counted(row))
            row.state, row.basis, row.nusd, row.settled_at = "settled", basis, nano(usd), self._now()
            row.prompt_tokens, row.completion_tokens, row.trained_tokens = tokens.prompt, tokens.completion, tokens.trained

    def release(self, cost_id: str) -> None:
        """Forget a held call that was refused or never sent. What was settled or resolved since stays as it is.

        Raises:
            NotFoundError: ``cost-not-found``.
        """
        with self._database.write() as session:
            row = self._mine(session, cost_id)
            if row.state == "held":
                self._count(session, row, -_counted(row))
                session.delete(row)

    def add(self, about: About, usd: float, tokens: Tokens = Tokens(), basis: Basis = "billed") -> str:  # noqa: B008 - frozen
        """Record what was spent already, whatever the budgets say. The line's id."""
        with self._database.write() as session:
            row = self._row(about, "settled", basis, tokens)
            row.nusd, row.settled_at = nano(usd), self._now()
            session.add(row)
            self._count(session, row, row.nusd)
            return row.id

    def resolve(self, cost_id: str, usd: float, note: str = "") -> Cost:
        """Say what became of a held call: what it cost, 0 when it was not charged.

        Raises:
            NotFoundError: ``cost-not-found``.
            ConflictError: ``cost-not-held``.
            ConfigError: ``usd-invalid``.
        """
        _require_usd(usd)
        with self._database.write() as session:
            row = self._mine(session, cost_id)
            if row.state != "held":
                raise ConflictError(
                    f"{cost_id!r} is {row.state} at ${dollars(row.nusd):.6f}, not held. List what is: homeroom costs held",
                    code="cost-not-held",
                )
            self._count(session, row, nano(usd) - _counted(row))
            row.state, row.settled_at, row.nusd, row.note = "settled" if usd else "released", self._now(), nano(usd), note
            session.flush()
            return _cost(row)

    def held(self, older_than_s: float = 0.0) -> tuple[Cost, ...]:
        """Calls that nobody knows the end of, the oldest first: under way, or cut off."""
        query = self._select(CostRow).where(CostRow.state == "held", CostRow.created_at <= self._now() - older_than_s)
        with self._database.read() as session:
            return tuple(_cost(row) for row in session.scalars(query.order_by(CostRow.created_at, CostRow.id)))

    def lines(self, since: str = "", until: str = "", **only: str) -> Iterator[Cost]:
        """Every line from day ``since`` to day ``until`` (both included), the oldest first.

        ``only`` names dimensions and the value that each must have. Read in pages, so that no transaction stays open.
        """
        last: tuple[float, str] = (-1.0, "")
        while True:
            query = self._within(self._select(CostRow), since, until, only)
            after = (CostRow.created_at > last[0]) | ((CostRow.created_at == last[0]) & (CostRow.id > last[1]))
            with self._database.read() as session:
                page = list(session.scalars(query.where(after).order_by(CostRow.created_at, CostRow.id).limit(500)))
            yield from (_cost(row) for row in page)
            if len(page) < 500:
                return
            last = (page[-1].created_at, page[-1].id)

    def call_seconds(self, model: str, limit: int = 200) -> tuple[float, ...]:
        """From holding to settling, in seconds: what the last calls of ``model`` took, the newest first."""
        answered = (CostRow.state == "settled", CostRow.completion_tokens > 0, CostRow.settled_at > CostRow.created_at)
        query = self._select(CostRow.settled_at - CostRow.created_at).where(CostRow.model == model, *answered)
        with self._database.read() as session:
            rows = session.scalars(query.order_by(CostRow.created_at.desc(), CostRow.id).limit(limit)).all()
        return tuple(map(float, rows))

    def totals(self, by: Sequence[str] = ("model",), since: str = "", until: str = "", **only: str) -> tuple[Total, ...]:
        """Sums by the names in ``by``, the dearest first; one sum over everything when it is empty.

        Raises:
            ConfigError: ``costs-group``: a name is none of `GROUPS`.
        """
        unknown = [name for name in by if name not in GROUPS]
        if unknown:
            raise ConfigError(
                f"Costs are not counted by {unknown[0]!r}. Choose from: {', '.join(GROUPS)}. See: homeroom costs --help",
                code="costs-group",
            )
        keys = [_column(name) for name in by]
        spent, held = _sum_where(CostRow.nusd, CostRow.state == "settled"), _sum_where(CostRow.held_nusd, CostRow.state == "held")
        columns = [
            func.count(),
            _sum_where(1, CostRow.basis == "unpriced"),
            *(func.coalesce(func.sum(c), 0) for c in (CostRow.prompt_tokens, CostRow.completion_tokens, CostRow.trained_tokens)),
            spent,
            _sum_where(CostRow.nusd, (CostRow.state == "settled") & (CostRow.basis == "estimated")),
            held,
        ]
        query = self._within(self._select(*keys, *columns), since, until, only).where(CostRow.state != "released")
        with self._database.read() as session:
            rows = session.execute(query.group_by(*keys) if keys else query).all()
        return tuple(_total(tuple(row), len(by)) for row in sorted(rows, key=lambda row: (-row[-3] - row[-1], *row[: len(by)])))

    def set_budget(self, budget: Budget) -> None:
        """Set, or replace, the budget for the same calls and period. What was spent before counts.

        Raises:
            ConfigError: ``usd-invalid``, ``budget-period``.
        """
        _require_usd(budget.usd)
        if budget.period not in PERIODS:
            raise ConfigError(f"{budget.period!r} is none of the periods: {', '.join(PERIODS)}", code="budget-period")
        with self._database.write() as session:
            row = session.get(BudgetRow, self._key(budget)) or BudgetRow(**self._key(budget))
            row.limit_nusd = nano(budget.usd)
            session.add(row)

    def remove_budget(self, budget: Budget) -> None:
        """End a budget.

        Raises:
            NotFoundError: ``budget-not-found``.
        """
        with self._database.write() as session:
            row = session.get(BudgetRow, self._key(budget))
            if row is None:
                raise NotFoundError(
                    f"There is no budget for {budget.scope!r} and the period {budget.period!r}. "
                    "List them: homeroom costs budget show",
                    code="budget-not-found",
                )
            session.delete(row)

    def budgets(self) -> tuple[Budget, ...]:
        """Every budget, with what its period has cost so far."""
        with self._database.read() as session:
            return tuple(replace(b, spent_usd=dollars(self._spent(session, b))) for b, _ in self._limits(session))

    def _limits(self, session: Session) -> list[tuple[Budget, int]]:
        """Every budget without what was spent, and its limit in billionths."""
        rows = session.scalars(select(BudgetRow).filter_by(**self._scope.columns()).order_by(*BudgetRow.__table__.primary_key))
        return [
            (Budget(dollars(r.limit_nusd), cast(Period, r.period), r.project, r.model, r.method, r.purpose), r.limit_nusd)
            for r in rows
        ]

    def _spent(self, session: Session, budget: Budget) -> int:
        """Settled and held in the budget's present period, in billionths of a US dollar."""
        begin = {"day": self._day(), "month": self._day()[:7] + "-01", "total": ""}[budget.period]
        only = {name: getattr(budget, name) for name in DIMENSIONS if getattr(budget, name) != ANY}
        query = select(func.coalesce(func.sum(CostDayRow.counted_nusd), 0)).filter_by(**self._scope.columns(), **only)
        return int(session.scalar(query.where(CostDayRow.day >= begin)) or 0)

    def _count(self, session: Session, row: CostRow, nusd: int) -> None:
        """Add to what the calls of the row's kind count for on its day."""
        key = {**self._scope.columns(), "day": row.day, **{name: getattr(row, name) for name in DIMENSIONS}}
        day = session.get(CostDayRow, key)
        if day is None:
            session.add(CostDayRow(**key, counted_nusd=nusd))
        else:
            day.counted_nusd += nusd

    def _row(self, about: About, state: str, basis: Basis, tokens: Tokens) -> CostRow:
        return CostRow(
            id=new_id("cost"),
            state=state,
            basis=basis,
            day=self._day(),
            project=about.project,
            model=about.model,
            method=about.method,
            purpose=about.purpose,
            job_id=about.job_id,
            prompt_tokens=tokens.prompt,
            completion_tokens=tokens.completion,
            trained_tokens=tokens.trained,
            created_at=self._now(),
            **self._scope.columns(),
        )

    def _day(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).date().isoformat()

    def _key(self, budget: Budget) -> dict[str, str]:
        return {**self._scope.columns(), "period": budget.period, **{name: getattr(budget, name) for name in DIMENSIONS}}

    def _mine(self, session: Session, cost_id: str) -> CostRow:
        row = session.scalar(self._select(CostRow).where(CostRow.id == cost_id))
        if row is None:
            raise NotFoundError(
                f"The ledger has no line {cost_id!r}. List what is held: homeroom costs held", code="cost-not-found"
            )
        return cast(CostRow, row)

    def _select(self, *what: Any) -> Any:  # SQLAlchemy's own types depend on what is selected
        return select(*what).where(CostRow.workspace_id == self._scope.workspace_id, CostRow.owner_id == self._scope.owner_id)

    def _within(self, query: Any, since: str, until: str, only: dict[str, str]) -> Any:
        query = query.where(*(_column(name) == value for name, value in only.items()))
        query = query.where(CostRow.day >= since) if since else query
        return query.where(CostRow.day <= until) if until else query


def _column(name: str) -> ColumnElement[str]:
    if name == "month":
        return func.substr(CostRow.day, 1, 7)
    return cast("ColumnElement[str]", getattr(CostRow, {"job": "job_id"}.get(name, name)))


def _sum_where(what: Any, condition: ColumnElement[bool]) -> Any:  # a column or a number
    return func.coalesce(func.sum(case((condition, what), else_=0)), 0)


def _counted(row: CostRow) -> int:
    """What a line counts for now."""
    return row.held_nusd if row.state == "held" else row.nusd


def _cost(row: CostRow) -> Cost:
    return Cost(
        id=row.id,
        about=About(row.model, cast(Any, row.purpose), row.project, row.method, row.job_id),  # as it was written
        state=row.state,
        basis=cast(Basis, row.basis),
        tokens=Tokens(row.prompt_tokens, row.completion_tokens, row.trained_tokens),
        usd=dollars(_counted(row)),
        day=row.day,
        created_at=row.created_at,
        note=row.note,
    )


def _total(row: tuple[Any, ...], keys: int) -> Total:
    calls, unpriced, prompt, completion, trained, spent, estimated, held = (int(value) for value in row[keys:])
    tokens = Tokens(prompt, completion, trained)
    return Total(tuple(map(str, row[:keys])), calls, unpriced, tokens, dollars(spent), dollars(estimated), dollars(held))


def _require_usd(usd: float) -> None:
    if not 0 <= usd <= MOST_USD:
        raise ConfigError(
            f"{usd!r} is no amount of US dollars from 0 to {MOST_USD:,}. See: homeroom costs budget set --help",
            code="usd-invalid",
        )


def _budget_spent(about: About, budget: Budget, usd: float) -> ConflictError:
    period = {"day": "today's", "month": "this month's", "total": "the"}[budget.period]
    return ConflictError(
        f"A call to {about.model!r} for {about.purpose} may cost ${usd:.6f}, and {period} budget of ${budget.usd:.2f} for "
        f"{budget.scope} has ${max(0.0, budget.usd - budget.spent_usd):.6f} left. It was not sent. See what was spent and held: "
        "homeroom costs; raise the budget: homeroom costs budget set --help",
        code="budget-spent",
    )


def _price_unknown(about: About, budget: Budget) -> ConfigError:
    return ConfigError(
        f"No price is known for {about.model!r}, so the budget for {budget.scope} cannot be kept. Write one into prices.yaml in "
        f'the home, 0 where calls are free: endpoints: {{"{about.model}": {{input: 0.3, output: 1.2}}}}',
        code="price-unknown",
    )


assert NANO * MOST_USD < 2**63  # sums of amounts fit the database's whole numbers
