"""The money of one run: held before each try beside the budgets, given back as calls end, and never overspent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from homeroom.errors import ConflictError
from homeroom.ledger.meter import CallMeter
from homeroom.ledger.purse import Purse, PurseMeter
from homeroom.ledger.records import About, Budget, Tokens
from homeroom.ledger.store import Ledger
from homeroom.models.client import OpenAIChatModel
from homeroom.storage import Database
from tests.ledger.test_meter import ASK, PRICE, SETTINGS, USAGE, Provider, provider  # noqa: F401 - the fixture of that name

COST = PRICE.of(USAGE["prompt_tokens"], USAGE["completion_tokens"])


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


@pytest.fixture
def purse() -> Purse:
    return Purse(0.5)


@pytest.fixture
def model(provider: Provider, ledger: Ledger, purse: Purse) -> Iterator[OpenAIChatModel]:  # noqa: F811
    meter = PurseMeter(CallMeter(ledger, About("school/large", "tuning"), PRICE), PRICE, purse)
    address = f"http://127.0.0.1:{provider.server.server_port}/v1"
    with closing(OpenAIChatModel("school/large", address, "large", meter=meter, pause_s=0.01, timeout_s=20)) as made:
        yield made


def left(purse: Purse) -> float:
    """What could still be taken."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        try:
            purse.take(middle)
        except ConflictError:
            high = middle
        else:
            purse.give_back(middle)
            low = middle
    return low


def test_what_a_call_did_not_cost_comes_back(model, purse, provider):  # noqa: F811
    model.complete(ASK, SETTINGS)
    assert left(purse) == pytest.approx(0.5 - COST)
    provider.ends = ["401"]
    with pytest.raises(Exception, match="key"):
        model.complete(ASK, SETTINGS)
    assert left(purse) == pytest.approx(0.5 - COST), "what was refused costs nothing"


def test_a_call_that_may_have_been_charged_stays_held(model, purse, provider):  # noqa: F811
    provider.ends = ["silence", "no usage"]
    model.complete(ASK, SETTINGS)
    assert left(purse) < 0.5 - 2 * 0.1, "one was lost, the other told no tokens: both count with the most that they can be"


def test_what_does_not_fit_is_not_sent_and_the_ledger_forgets_it(model, purse, provider, ledger):  # noqa: F811
    purse.take(0.45)
    with pytest.raises(ConflictError) as refused:
        model.complete(ASK, SETTINGS)
    assert refused.value.code == "run-spent" and "$0.5000" in refused.value.message
    assert provider.asked == 0 and list(ledger.lines()) == []


def test_a_budget_that_refuses_leaves_the_purse_as_it_was(model, purse, provider, ledger):  # noqa: F811
    ledger.set_budget(Budget(0.001))
    with pytest.raises(ConflictError) as refused:
        model.complete(ASK, SETTINGS)
    assert refused.value.code == "budget-spent" and left(purse) == pytest.approx(0.5) and provider.asked == 0


def test_earlier_attempts_count_and_threads_cannot_overspend():
    purse = Purse(1.0, spent_usd=0.4)

    def take(_: int) -> bool:
        try:
            purse.take(0.1)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(take, range(50))) == 6


def test_the_ledger_tells_what_the_last_calls_of_a_model_took(database):
    now = [100.0]
    ledger = Ledger(database, now=lambda: now[0])
    for seconds, tokens in ((2.0, Tokens(10, 5)), (4.0, Tokens(10, 5)), (900.0, Tokens(trained=1000))):
        line = ledger.hold(About("school/large", "chat"), 1.0)
        now[0] += seconds
        ledger.settle(line, 0.5, tokens)
    ledger.hold(About("school/large", "chat"), 1.0)
    ledger.add(About("school/large", "chat"), 0.1, Tokens(1, 1))
    assert ledger.call_seconds("school/large") == (4.0, 2.0), "neither trainings, nor what is under way, nor what was only noted"
    assert ledger.call_seconds("school/large", limit=1) == (4.0,) and ledger.call_seconds("other") == ()
