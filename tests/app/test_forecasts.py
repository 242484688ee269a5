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
