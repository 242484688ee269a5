"""What a run of faults found: counts for people, everything for programs."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.faults.journal import Record


@dataclass
class Report:
    """One run.

    Attributes:
        run: What was run: the kind of fault, seed and number.
        faults: How often each kind of fault was made.
        acknowledged: Of each kind of thing: how often it was meant and how often told.
        findings: What was lost, done twice, left running or left over; empty when all is well.
        facts: Anything else that a reader may want.
    """

    run: dict[str, Any]
    faults: dict[str, int] = field(default_factory=dict)
    acknowledged: dict[str, tuple[int, int]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def count(self, record: Record) -> None:
        """Take the counts of the journals."""
        self.acknowledged = {what: (meant, told) for what, meant, told in record.counts()}

    def find(self, findings: list[str], when: str = "") -> None:
        """Add findings."""
        self.findings += [f"{when}: {finding}" if when else finding for finding in findings]

    def to_json(self) -> str:
        """Everything, with the machine."""
        machine = {"python": platform.python_version(), "system": platform.platform()}
        return json.dumps({**asdict(self), "machine": machine}, indent=1)

    def text(self) -> str:
        """For a person."""
        lines = [", ".join(f"{name} {value}" for name, value in self.run.items())]
        lines.append("faults: " + (", ".join(f"{name} {count}" for name, count in sorted(self.faults.items())) or "none"))
        lines.append("acknowledged of asked: " + ", ".join(f"{w} {t}/{m or t}" for w, (m, t) in self.acknowledged.items() if t))
        lines += [f"{name}: {value}" for name, value in self.facts.items()]
        lines += [f"FOUND: {finding}" for finding in self.findings] or ["nothing lost, nothing twice, nothing left"]
        return "\n".join(lines)

    def end(self) -> None:
        """Print it and leave: 1 when anything was found."""
        print(self.text())
        sys.exit(1 if self.findings else 0)
