"""What a client meant to do and what it was told is done, on the disk before the client goes on.

This is the oracle's only witness: the server's word is not asked. A line is one of

    {"at": 12.5, "client": "chat-0", "did": "meant", "what": "turn", "marker": "…"}
    {"at": 12.6, "client": "chat-0", "did": "told",  "what": "turn", "marker": "…", "id": "turn-…"}

What was told must be there for ever. What was meant and never told may be there or not, but never twice.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One line. ``what`` is the kind of thing; ``facts`` say which one."""

    at: float
    client: str
    did: str
    what: str
    facts: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]


class Journal:
    """Appends to one client's file; each line is flushed to the disk before the call returns."""

    def __init__(self, path: Path, client: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._client = client
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def meant(self, what: str, **facts: Any) -> None:
        """Before asking for it."""
        self._write("meant", what, facts)

    def told(self, what: str, **facts: Any) -> None:
        """After the answer that says it is done, and before anything else."""
        self._write("told", what, facts)

    def failed(self, what: str, **facts: Any) -> None:
        """The answer said that it is not done, or no answer came: nothing follows from it. Kept to see that clients worked."""
        self._write("failed", what, facts)

    def _write(self, did: str, what: str, facts: dict[str, Any]) -> None:
        record = {"at": round(time.monotonic(), 3), "client": self._client, "did": did, "what": what, **facts}
        os.write(self._descriptor, (json.dumps(record, ensure_ascii=False) + "\n").encode())
        os.fsync(self._descriptor)


class Record:
    """All journals of a run, read."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    @classmethod
    def read(cls, folder: Path) -> Record:
        """Every journal in ``folder``. The last line of a client that was killed may be half: it was told nothing then."""
        entries = []
        for path in sorted(folder.glob("*.jsonl")):
            for line in path.read_bytes().split(b"\n")[:-1]:
                found = json.loads(line)
                facts = {k: v for k, v in found.items() if k not in ("at", "client", "did", "what")}
                entries.append(Entry(found["at"], found["client"], found["did"], found["what"], facts))
        return cls(sorted(entries, key=lambda entry: entry.at))

    def meant(self, what: str) -> list[Entry]:
        """Everything of that kind that was asked for."""
        return [entry for entry in self.entries if (entry.did, entry.what) == ("meant", what)]

    def told(self, what: str) -> list[Entry]:
        """Everything of that kind that was acknowledged."""
        return [entry for entry in self.entries if (entry.did, entry.what) == ("told", what)]

    def counts(self) -> Iterator[tuple[str, int, int]]:
        """Of each kind: how often it was meant, and how often told."""
        for what in sorted({entry.what for entry in self.entries}):
            yield what, len(self.meant(what)), len(self.told(what))
