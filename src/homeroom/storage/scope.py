"""Whose rows: every query that answers a person is made within one scope."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """A workspace (a school, a team) and an owner in it. A home used by one person has only `LOCAL`."""

    workspace_id: str = "local"
    owner_id: str = "local"

    def columns(self) -> dict[str, str]:
        """Values of the two columns, for a new row or ``filter_by``."""
        return {"workspace_id": self.workspace_id, "owner_id": self.owner_id}


LOCAL = Scope()
