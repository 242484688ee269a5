"""The cost ledger: what is held, settled and counted, and budgets that calls which start together cannot overspend."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from homeroom.errors import ConfigError, ConflictError, NotFoundError
from homeroom.ledger.records import About, Budget, Tokens
from homeroom.ledger.store import Ledger
from homeroom.storage import Database, Scope
from homeroom.storage.tables import CostRow

MINI = About("openai/gpt-4o-mini", "chat")
JUDGE = About("openai/gpt-4.1", "judging", "maths", "dspy", "job-1")


class Clock:
    """Unix time that a test sets."""

    def __init__(self, text: str = "2026-11-20T10:00") -> None:
        self.set(text)

    def set(self, text: str) -> None:
        self.time = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(database: Database, clock: Clock) -> Ledger:
    return Ledger(database, now=clock)


def test_a_call_is_held_at_its_most_and_settled_by_what_it_cost(ledger: Ledger) -> None:
    cost_id = ledger.hold(JUDGE, 0.5)
    (line,) = ledger.held()
    assert (line.id, line.about, line.state, line.usd, line.day) == (cost_id, JUDGE, "held", 0.5, "2026-11-20")
    (total,) = ledger.totals(())
    assert (total.calls, total.usd, total.held_usd) == (1, 0.0, 0.5)

    ledger.settle(cost_id, 0.2, Tokens(100, 20))
    assert ledger.held() == ()
    (line,) = ledger.lines()
    assert (line.state, line.basis, line.usd, line.tokens) == ("settled", "billed", 0.2, Tokens(100, 20))
    (total,) = ledger.totals(())
    assert (total.calls, total.usd, total.held_usd, total.estimated_usd) == (1, 0.2, 0.0, 0.0)


def test_what_was_refused_leaves_nothing(ledger: Ledger) -> None:
    ledger.release(ledger.hold(MINI, 0.5))
    assert list(ledger.lines()) == []
    assert ledger.totals(())[0].calls == 0


def test_a_call_that_does_not_fit_is_refused_and_one_that_fits_exactly_is_not(ledger: Ledger) -> None:
    ledger.set_budget(Budget(0.3))
    for _ in range(3):
        ledger.hold(MINI, 0.1)  # three tenths are not three times a tenth, in binary
    with pytest.raises(
        ConflictError, match=r"'openai/gpt-4o-mini' for chat may cost \$0\.000001, .* has \$0\.000000 left"
    ) as caught:
        ledger.hold(MINI, 0.000001)
    assert caught.value.code == "budget-spent"
    assert len(ledger.held()) == 3
    ledger.hold(MINI, 0.0)  # what is free is never refused


def test_what_was_held_comes_free_again_when_less_was_spent(ledger: Ledger) -> None:
    ledger.set_budget(Budget(1.0))
    first = ledger.hold(MINI, 0.9)
    with pytest.raises(ConflictError):
        ledger.hold(MINI, 0.5)
    ledger.settle(first, 0.1)
    ledger.hold(MINI, 0.9)
    assert ledger.budgets()[0].spent_usd == 1.0


def test_a_provider_that_charges_more_than_was_held_is_recorded_and_stops_the_next_call(ledger: Ledger) -> None:
    ledger.set_budget(Budget(1.0))
    ledger.settle(ledger.hold(MINI, 0.5), 1.5)
    assert ledger.budgets()[0].spent_usd == 1.5
    with pytest.raises(ConflictError, match=r"\$0\.000000 left"):
        ledger.hold(MINI, 0.000001)


@pytest.mark.parametrize("only", [{"project": "maths"}, {"model": JUDGE.model}, {"method": "dspy"}, {"purpose": "judging"}])
def test_a_budget_is_about_what_it_names_and_nothing_else(ledger: Ledger, only: dict[str, str]) -> None:
    ledger.set_budget(Budget(0.1, **only))
    ledger.settle(ledger.hold(MINI, 5.0), 5.0)
    assert ledger.budgets()[0].spent_usd == 0.0
    with pytest.raises(ConflictError):
        ledger.hold(JUDGE, 0.2)
    ledger.hold(JUDGE, 0.1)


def test_every_budget_must_have_room(ledger: Ledger) -> None:
    ledger.set_budget(Budget(100.0))
    ledger.set_budget(Budget(0.1, purpose="chat"))
    with pytest.raises(ConflictError, match="purpose chat"):
        ledger.hold(MINI, 0.2)
    ledger.set_budget(Budget(0.15))
    ledger.set_budget(Budget(100.0, purpose="chat"))
    with pytest.raises(ConflictError, match="everything"):
        ledger.hold(MINI, 0.2)


def test_periods_begin_anew_and_the_total_does_not(ledger: Ledger, clock: Clock) -> None:
    clock.set("2026-11-29T23:59")
    for period in ("day", "month", "total"):
        ledger.set_budget(Budget(1.0, period))
    ledger.settle(ledger.hold(MINI, 0.6), 0.6)
    spent = {b.period: b.spent_usd for b in ledger.budgets()}
    assert spent == {"day": 0.6, "month": 0.6, "total": 0.6}
    clock.set("2026-11-30T00:01")
    with pytest.raises(ConflictError, match="budget of"):
        ledger.hold(MINI, 0.6)
    clock.set("2026-12-01T00:01")
    assert {b.period: b.spent_usd for b in ledger.budgets()} == {"day": 0.0, "month": 0.0, "total": 0.6}
    with pytest.raises(ConflictError, match=r"and the budget of \$1\.00 for everything"):
        ledger.hold(MINI, 0.6)


def test_a_stale_call_counts_until_somebody_says_what_became_of_it(ledger: Ledger, clock: Clock) -> None:
    ledger.set_budget(Budget(1.0))
    stale = ledger.hold(MINI, 0.8)
    clock.set("2027-03-01T00:00")
    young = ledger.hold(MINI, 0.1)
    assert [line.id for line in ledger.held(older_than_s=3600)] == [stale]
    with pytest.raises(ConflictError):
        ledger.hold(MINI, 0.2)
    line = ledger.resolve(stale, 0.0, "not on the invoice")
    assert (line.state, line.usd, line.note) == ("released", 0.0, "not on the invoice")
    ledger.hold(MINI, 0.9)
    assert ledger.resolve(young, 0.05).basis == "estimated"
    with pytest.raises(ConflictError) as caught:
        ledger.resolve(young, 0.05)
    assert caught.value.code == "cost-not-held"
    with pytest.raises(NotFoundError) as missing:
        ledger.resolve("cost-none", 0.0)
    assert missing.value.code == "cost-not-found"


def test_an_answer_that_comes_after_all_is_the_truth(ledger: Ledger) -> None:
    late = ledger.hold(MINI, 0.8)
    ledger.resolve(late, 0.0)
    ledger.settle(late, 0.3, Tokens(1, 2))
    assert ledger.totals(())[0].usd == 0.3


def test_without_a_price_a_call_is_counted_and_a_budget_refuses_it(ledger: Ledger) -> None:
    ledger.settle(ledger.hold(MINI, 0.0, priced=False), 0.0, Tokens(7, 3), "unpriced")
    (total,) = ledger.totals(("basis",))
    assert (total.key, total.calls, total.unpriced, total.tokens) == (("unpriced",), 1, 1, Tokens(7, 3))
    ledger.set_budget(Budget(100.0, purpose="judging"))
    ledger.hold(MINI, 0.0, priced=False)
    ledger.set_budget(Budget(100.0))
    with pytest.raises(ConfigError, match="endpoints: ") as caught:
        ledger.hold(MINI, 0.0, priced=False)
    assert caught.value.code == "price-unknown"


def test_sums_by_every_dimension_add_up_to_the_whole(ledger: Ledger, clock: Clock) -> None:
    for number, day in enumerate(("2026-10-31", "2026-11-01", "2026-11-02")):
        clock.set(f"{day}T12:00")
        for about in (MINI, JUDGE):
            basis = "estimated" if number == 2 else "billed"
            ledger.settle(ledger.hold(about, 1.0), 0.1 * (number + 1), Tokens(10, 1), basis)
        ledger.hold(MINI, 0.01)
    ledger.add(About("openai/gpt-4o-mini", "tuning", method="openai"), 2.0, Tokens(trained=1000))
    (whole,) = ledger.totals(())
    assert (whole.calls, whole.tokens) == (10, Tokens(60, 6, 1000))
    assert (whole.usd, whole.estimated_usd, whole.held_usd) == (3.2, 0.6, 0.03)
    for group in ("project", "model", "method", "purpose", "day", "month", "job", "basis"):
        parts = ledger.totals((group,))
        assert sum(p.calls for p in parts) == 10
        assert round(sum(p.usd for p in parts), 9) == 3.2
    assert [t.key for t in ledger.totals(("month", "purpose"))] == [
        ("2026-11", "tuning"),
        ("2026-11", "chat"),
        ("2026-11", "judging"),
        ("2026-10", "chat"),
        ("2026-10", "judging"),
    ]
    assert ledger.totals((), "2026-11-01", "2026-11-01", purpose="judging")[0].usd == 0.2
    with pytest.raises(ConfigError, match="'shoe size'") as caught:
        ledger.totals(("shoe size",))
    assert caught.value.code == "costs-group"


def test_lines_come_whole_whatever_the_page(database: Database, ledger: Ledger) -> None:
    ledger.add(MINI, 0.001)
    with database.write() as session:
        first = session.scalars(select(CostRow)).one()
        kept = {c.name: getattr(first, c.name) for c in CostRow.__table__.columns}
        session.add_all(CostRow(**{**kept, "id": f"cost-{n:04}"}) for n in range(1002))  # all in the same second
    ids = [line.id for line in ledger.lines()]
    assert len(ids) == len(set(ids)) == 1003


def test_a_workspace_sees_and_pays_its_own(database: Database, ledger: Ledger) -> None:
    other = Ledger(database, scope=Scope("other", "somebody"))
    other.set_budget(Budget(0.0))
    cost_id = ledger.hold(MINI, 1.0)
    assert (other.held(), other.totals(())[0].calls, ledger.budgets()) == ((), 0, ())
    with pytest.raises(NotFoundError):
        other.resolve(cost_id, 0.0)


@pytest.mark.parametrize("usd", [0.02, 0.0])
def test_what_somebody_resolved_is_not_forgotten(ledger: Ledger, usd: float) -> None:
    ledger.set_budget(Budget(1.0))
    cost_id = ledger.hold(MINI, 0.5)
    resolved = ledger.resolve(cost_id, usd, "the bill says so")
    ledger.release(cost_id)
    assert list(ledger.lines()) == [resolved]
    assert ledger.budgets()[0].spent_usd == usd


def test_what_budgets_count_is_what_the_lines_say(ledger: Ledger, clock: Clock) -> None:
    """The sums by day are kept beside the lines: nothing that can happen to a call may make them differ."""
    rng = random.Random(7)
    ledger.set_budget(Budget(1e6))
    ledger.set_budget(Budget(1e6, model=JUDGE.model))
    open_calls: list[str] = []
    for number in range(60):
        clock.set(f"2026-11-{1 + number // 20:02}T12:00")
        about, usd = rng.choice((MINI, JUDGE)), rng.random() / 1000
        step = rng.choice(("hold", "hold", "settle", "release", "resolve", "add", "late"))
        if step == "hold":
            open_calls.append(ledger.hold(about, usd))
        elif step == "add":
            ledger.add(about, usd)
        elif open_calls:
            cost_id = open_calls.pop(rng.randrange(len(open_calls)))
            if step == "release":
                ledger.release(cost_id)
            elif step == "settle":
                ledger.settle(cost_id, usd)
            else:
                ledger.resolve(cost_id, usd if number % 2 else 0.0)
                if step == "late":
                    (ledger.settle(cost_id, 2 * usd) if number % 3 else ledger.release(cost_id))
        whole, judged = ledger.totals(())[0], ledger.totals((), model=JUDGE.model)[0]
        spent = {b.model: b.spent_usd for b in ledger.budgets()}
        assert spent["*"] == pytest.approx(whole.usd + whole.held_usd, abs=1e-12)
        assert spent[JUDGE.model] == pytest.approx(judged.usd + judged.held_usd, abs=1e-12)


def test_budgets_are_replaced_and_removed(ledger: Ledger) -> None:
    ledger.set_budget(Budget(1.0, "day", model="m"))
    ledger.set_budget(Budget(2.0, "day", model="m"))
    assert [(b.usd, b.period, b.model) for b in ledger.budgets()] == [(2.0, "day", "m")]
    with pytest.raises(NotFoundError) as caught:
        ledger.remove_budget(Budget(0, "month", model="m"))
    assert caught.value.code == "budget-not-found"
    ledger.remove_budget(Budget(0, "day", model="m"))
    assert ledger.budgets() == ()


@pytest.mark.parametrize("usd", [-0.01, float("nan"), float("inf"), 1e12])
def test_what_is_no_amount_is_refused(ledger: Ledger, usd: float) -> None:
    with pytest.raises(ConfigError) as caught:
        ledger.set_budget(Budget(usd))
    assert caught.value.code == "usd-invalid"


def test_100_calls_that_start_together_cannot_overspend(database: Database) -> None:
    ledger = Ledger(database)
    ledger.set_budget(Budget(1.0, "month"))

    def start(_: int) -> bool:
        try:
            ledger.hold(MINI, 0.07)
        except ConflictError as error:
            assert error.code == "budget-spent"
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        started = list(pool.map(start, range(100)))
    assert sum(started) == 14  # as many as fit, and not one more
    assert ledger.budgets()[0].spent_usd == 0.98


def test_processes_that_start_together_cannot_overspend(database: Database) -> None:
    Ledger(database).set_budget(Budget(1.0))
    children = []
    for _ in range(5):
        if (child := os.fork()) == 0:
            status = 99
            try:
                ledger, status = Ledger(database), 0
                for _ in range(20):
                    try:
                        ledger.hold(MINI, 0.07)
                        status += 1
                    except ConflictError:
                        continue
            finally:
                os._exit(status)
        children.append(child)
    started = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sum(started) == 14, started
    assert Ledger(database).totals(())[0].held_usd == 0.98
