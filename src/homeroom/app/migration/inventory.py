"""What an account holds: tuned models and jobs, and how many days each has left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from homeroom.app.migration.folder import MigrationFolder
from homeroom.models.openai_account import OpenAIAccount

Json = dict[str, Any]
SOON_DAYS = 60


@dataclass(frozen=True, slots=True)
class Tuned:
    """One tuned model.

    Attributes:
        model: ``ft:...``.
        base: What it was tuned from.
        job: The job that made it; empty where the account does not list it any more.
        shutdown: Announced date, of the model or of its base; empty when there is none.
        days_left: Until then; None without a date, negative when it is over.
        listed: Whether the account still lists the model, so that it can be asked.
        trained_tokens: Of the job.
        finished_at: Unix time.
    """

    model: str
    base: str
    job: str = ""
    shutdown: str = ""
    days_left: int | None = None
    listed: bool = True
    trained_tokens: int | None = None
    finished_at: int | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything tuned in an account, what ends first at the top."""

    taken_at: float
    tuned: tuple[Tuned, ...]
    jobs: tuple[Json, ...]

    def to_dict(self) -> Json:
        """Plain data."""
        return {"taken_at": self.taken_at, "tuned": [asdict(model) for model in self.tuned], "jobs": list(self.jobs)}

    @classmethod
    def from_dict(cls, record: Json) -> Inventory:
        """The inverse of `to_dict`."""
        return cls(float(record["taken_at"]), tuple(Tuned(**t) for t in record["tuned"]), tuple(record["jobs"]))

    @property
    def ends_soon(self) -> list[Tuned]:
        """What has fewer than 60 days."""
        return [t for t in self.tuned if t.days_left is not None and t.days_left < SOON_DAYS]


def take_inventory(account: OpenAIAccount, folder: MigrationFolder, now: datetime | None = None) -> Inventory:
    """Ask the account and keep the answer in the folder.

    Raises:
        ProviderError: or one of its subclasses.
        StorageError: the folder cannot be written.
    """
    now = now or datetime.now(UTC)
    models, jobs = account.models(), account.jobs()
    found = Inventory(now.timestamp(), tuple(_tuned(models, jobs, now.date())), tuple(jobs))
    folder.write(folder.inventory, found.to_dict())
    return found


def _tuned(models: Sequence[Json], jobs: Sequence[Json], today: date) -> list[Tuned]:
    listed = {str(m["id"]): m for m in models}
    by_model = {str(j["fine_tuned_model"]): j for j in jobs if j.get("fine_tuned_model")}
    names = [*by_model, *(m for m in listed if m.startswith("ft:") and m not in by_model and ":ckpt-" not in m)]
    found = []
    for name in names:
        job = by_model.get(name, {})
        base = str(job.get("model") or (name.split(":")[1] if name.startswith("ft:") else ""))
        shutdown = _shutdown(listed.get(name), listed.get(base))
        found.append(
            Tuned(
                model=name,
                base=base,
                job=str(job.get("id") or ""),
                shutdown=shutdown,
                days_left=(date.fromisoformat(shutdown) - today).days if shutdown else None,
                listed=name in listed,
                trained_tokens=job.get("trained_tokens"),
                finished_at=job.get("finished_at"),
            )
        )
    return sorted(found, key=lambda t: (t.days_left is None, t.days_left or 0, t.model))


def _shutdown(*models: Json | None) -> str:
    """The earliest announced date, as ``YYYY-MM-DD``: a model ends with its base."""
    dates = []
    for model in models:
        told = str((model or {}).get("shutdown_date") or "")[:10]
        try:
            dates.append(date.fromisoformat(told).isoformat())
        except ValueError:
            continue
    return min(dates, default="")
