"""What is told after a run: the forecast beside what the run took."""

from __future__ import annotations

from homeroom.app.forecasts import told

FORECAST = {"time_s": 100.0, "time_low_s": 60.0, "time_high_s": 180.0, "memory_bytes": 2e9}


def test_a_run_that_went_through_is_told_with_how_far_off_the_forecast_was():
    assert told({"forecast": FORECAST, "seconds": 125.0, "train_seconds": 110.0}) == (
        "Forecast 100 s (60 to 180 s), took 125 s: 25% longer"
    )


def test_the_last_attempt_of_a_run_is_not_taken_for_the_whole_of_it():
    said = told({"forecast": FORECAST, "seconds": 20.0, "train_seconds": 110.0, "peak_memory_bytes": 3e9})
    assert said == ("Forecast 100 s (60 to 180 s), the training took 110 s in more than one attempt; memory 2.0 GB, took 3.0 GB")


def test_without_a_forecast_nothing_is_told():
    assert told({"seconds": 20.0}) == ""


CHARGED = {"tokens_expected": 12_000, "tokens_low": 10_000, "tokens_high": 15_000, "tokens_most": 40_000, "counted": True}
PRICED = {"priced": True, "cost_usd": 0.06, "cost_high_usd": 0.2}


def test_a_run_at_an_endpoint_is_told_in_tokens_and_money():
    took = {"trained_tokens": 9_000, "cost_usd": 0.045, "seconds": 700.0}
    said = "Forecast 12,000 tokens (10,000 to 15,000), trained 9,000: 25% fewer"
    assert told({"forecast": CHARGED | PRICED, **took}) == f"{said}; money $0.0600 (at most $0.2000), charged $0.0450"
    assert told({"forecast": CHARGED | PRICED | {"counted": False}, **took}) == said
    assert told({"forecast": CHARGED | {"priced": False}, **took, "cost_usd": None}) == f"{said}; money: no price is known"
    assert "the endpoint told none" in told({"forecast": CHARGED | PRICED, **took, "trained_tokens": None})


CALLS = {"calls": 96, "calls_low": 30, "calls_most": 240}
MONEY = {"counted": True, "priced": True, "cost_usd": 0.0213, "cost_high_usd": 0.4}
SEARCH = {**CALLS, **MONEY, "time_s": 50.0, "time_low_s": 20.0, "time_high_s": 150.0}


def test_a_search_is_told_in_calls_money_and_time():
    took = {"requests": 90, "requests_sent": 90, "usd": 0.0187, "seconds": 61.2}
    assert told({"forecast": SEARCH, **took}) == (
        "Forecast 96 calls (30 to 240), took 90; money $0.0213 (at most $0.4000), spent $0.0187; time 50 s (20 to 150 s), took 61 s"
    )


def test_a_search_that_knew_replies_before_says_so_and_a_free_one_says_nothing_of_money():
    said = told({"forecast": {**SEARCH, "counted": False}, "requests": 90, "requests_sent": 12, "seconds": 9.0})
    assert said == "Forecast 96 calls (30 to 240), took 90, 78 of them answered before; time 50 s (20 to 150 s), took 9 s"
    assert "no price is known" in told({"forecast": {**SEARCH, "priced": False}, "requests": 1, "requests_sent": 1})
