"""The cost ledger as a file."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from homeroom.ledger.records import Cost
from homeroom.storage.errors import disk_errors

COLUMNS = (
    *("id", "time", "day", "project", "model", "method", "purpose", "job", "state", "basis"),
    *("prompt_tokens", "completion_tokens", "trained_tokens", "usd", "note"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(costs: Iterable[Cost], path: Path) -> int:
    """Write a line for each call, for a spreadsheet; returns how many. Times are in UTC, money in US dollars.

    Raises:
        StorageError: the file cannot be written.
    """
    count = 0
    with disk_errors(path), path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for cost in costs:
            count += 1
            about, tokens = cost.about, cost.tokens
            time = datetime.fromtimestamp(cost.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            texts = (
                cost.id,
                time,
                cost.day,
                about.project,
                about.model,
                about.method,
                about.purpose,
                about.job_id,
                cost.state,
                cost.basis,
            )
            figures = (tokens.prompt, tokens.completion, tokens.trained, f"{cost.usd:.9f}")
            rows.writerow([*map(_plain, texts), *figures, _plain(cost.note)])
    return count


def _plain(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
