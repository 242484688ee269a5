"""A home opened: the stores over one `HOMEROOM_HOME`, built once from the settings."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from homeroom.data.datasets import DatasetStore
from homeroom.data.held_out import HeldOutLog
from homeroom.jobs.store import JobStore
from homeroom.ledger.store import Ledger
from homeroom.registry.models import ModelRegistry
from homeroom.schema.models import BaseFiles
from homeroom.settings import Settings, load_settings
from homeroom.storage.artifacts import ArtifactStore
from homeroom.storage.database import Database


class Homeroom:
    """Everything that works on one home. Open it with `Homeroom.open`; close it, or use it as a context manager.

    Example:
        >>> import homeroom
        >>> with homeroom.open() as home:          # doctest: +SKIP
        ...     [model.name for model in home.registry.list()]
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database

    @classmethod
    def open(cls, settings: Settings | None = None) -> Homeroom:
        """Open the home of ``settings`` (of the environment when None), making it and its database if need be.

        Raises:
            ConfigError: a setting is wrong.
            StorageError: the folder cannot be written, or the database is locked or damaged.
        """
        settings = settings or load_settings()
        database = Database.for_home(settings.home, settings.database_url)
        database.migrate()
        return cls(settings, database)

    def with_base(self, name: str) -> Homeroom:
        """The same home with another base in place of the default one. It shares the database: close only the first."""
        return self if name == self.settings.default_base else Homeroom(replace(self.settings, default_base=name), self.database)

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """Weights, datasets and reports: files with a manifest."""
        return ArtifactStore(self.settings.home / "artifacts")

    @cached_property
    def datasets(self) -> DatasetStore:
        """Dataset versions."""
        return DatasetStore(self.database, self.artifacts)

    @cached_property
    def held_out(self) -> HeldOutLog:
        """Openings of test splits, and what probes set aside."""
        return HeldOutLog(self.database)

    @cached_property
    def jobs(self) -> JobStore:
        """The job table."""
        return JobStore(self.database)

    @cached_property
    def registry(self) -> ModelRegistry:
        """Tuned models, their scorecards and the routes."""
        return ModelRegistry(self.database, self.artifacts)

    @cached_property
    def ledger(self) -> Ledger:
        """What calls cost, and the budgets that stop them."""
        return Ledger(self.database)

    def base_files(self, name: str | None = None) -> BaseFiles:
        """The files of a base model that was pulled (the default base when no name is given).

        Raises:
            NotFoundError: it was not pulled yet (``not-pulled``), or there is no such model (``unknown-model``).
        """
        from homeroom.models.pull import require

        return require(name or self.settings.default_base, self.settings.cache)

    @property
    def work_root(self) -> Path:
        """Where each job has a durable folder of its own."""
        return self.settings.home / "jobs"

    def close(self) -> None:
        """Release the database."""
        self.database.close()

    def __enter__(self) -> Homeroom:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
