"""Logging of the processes that run beside the web pages: to standard error, which their parent keeps in a file."""

from __future__ import annotations

import logging


def log_to_stderr(level: str) -> None:
    """Send every record of ``level`` (a value of the setting ``log_level``) and above to standard error, with its time."""
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
