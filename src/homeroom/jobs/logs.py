"""What a job's process prints: one file per job, kept below a size."""

from __future__ import annotations

import os
import re
from pathlib import Path

_REMOVED = b"[... earlier output was removed ...]\n"
_LAST_WORDS_BYTES = 8192
# The end of a traceback, e.g. "ValueError: boom"; notes may follow it.
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit)\b")


def log_path(home: Path, job_id: str) -> Path:
    """``<home>/jobs/<id>/log.txt``."""
    return home / "jobs" / job_id / "log.txt"


def trim_log(path: Path, max_bytes: int) -> None:
    """Cut the file to its last ``max_bytes`` once it is twice as long; a process that appends to it just goes on.

    What is written in the very moment of cutting may be lost.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(descriptor).st_size
        if size > 2 * max_bytes:
            tail = os.pread(descriptor, max_bytes, size - max_bytes)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, _REMOVED + tail[tail.find(b"\n") + 1 :])
    finally:
        os.close(descriptor)


def last_words(path: Path) -> str:
    """The last line that names an exception, else the last that is not empty; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LAST_WORDS_BYTES))
            lines = file.read().decode("utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return ""
    said = [line.strip() for line in reversed(lines) if line.strip()]
    return next((line for line in said if _EXCEPTION.match(line)), said[0] if said else "")
