"""The result file of a job: a line for each step, in OpenAI's columns."""

from __future__ import annotations

import csv
import io
from pathlib import Path

FILENAME = "step_metrics.csv"
# Column to the name in a run's history.
COLUMNS = {
    "step": "step",
    "train_loss": "train_loss",
    "train_accuracy": "train_accuracy",
    "valid_loss": "valid_loss",
    "valid_mean_token_accuracy": "valid_accuracy",
}


def result_csv(history: Path) -> bytes:
    """The file, from a run's ``history.csv``: without step 0, the base's own loss. What a step did not measure is empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    with history.open(encoding="utf-8", newline="") as file:
        writer.writerows([row[name] for name in COLUMNS.values()] for row in csv.DictReader(file) if row["step"] != "0")
    return text.getvalue().encode()
