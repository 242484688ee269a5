"""Tables about what has been looked at: openings of test splits, and examples set aside for a probe. See `tables`."""

from __future__ import annotations

import time

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from homeroom.storage.table_base import Base, Owned


class OpeningRow(Owned, Base):
    """A job that scored models on the test split of a dataset version, once for each job."""

    __tablename__ = "openings"
    __table_args__ = (Index(None, "workspace_id", "owner_id", "dataset", "task"),)

    job_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    dataset: Mapped[str] = mapped_column(String(80))
    task: Mapped[str] = mapped_column(String(32))
    number: Mapped[int]
    models: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[float] = mapped_column(default=time.time)


class SetAsideRow(Owned, Base):
    """Training examples of a dataset that one probe was judged on, and that nothing uses again; ``report`` is what it found."""

    __tablename__ = "set_aside"
    __table_args__ = (Index(None, "workspace_id", "owner_id", "name"),)

    probe: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str]
    dataset: Mapped[str] = mapped_column(String(80))
    task: Mapped[str] = mapped_column(String(32))
    examples: Mapped[list[str]] = mapped_column(JSON)
    report: Mapped[str] = mapped_column(default="")
    created_at: Mapped[float] = mapped_column(default=time.time)
