"""Builds the server's services from an open home."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import text

from homeroom.app.embedders import HomeEmbedders
from homeroom.app.fine_tuning.run import files_of, jobs_of
from homeroom.app.talk import practice_scenarios, running_directory
from homeroom.chat.compare import CompareService
from homeroom.chat.conversations import ConversationStore
from homeroom.chat.directory import ModelDirectory
from homeroom.chat.feedback import FeedbackStore
from homeroom.chat.practice import PracticeService
from homeroom.chat.scenarios import PracticeScenario
from homeroom.chat.service import ChatService
from homeroom.models.engine_info import find_running
from homeroom.server.failures import NotReadyError
from homeroom.server.services import Services

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

REPORT_NAME = "report.html"


def services_of(home: Homeroom) -> Services:
    """The services over ``home``, talking to models through the engine that its supervisor keeps."""
    models = running_directory(home)
    conversations = ConversationStore(home.database)
    chat = ChatService(models, conversations)
    feedback = FeedbackStore(home.database)
    return Services(
        models=models,
        conversations=conversations,
        chat=chat,
        compare=CompareService(chat, conversations, feedback),
        practice=PracticeService(home.database, chat, conversations, _Scenarios(home)),
        feedback=feedback,
        checks={"database": lambda: _check_database(home), "engine": lambda: _check_engine(home)},
        changes=_Changes(home, models),
        jobs=home.jobs.list,
        job=home.jobs.get,
        job_events=home.jobs.events,
        report=lambda key: _report(home, key),
        files=lambda scope: files_of(home, scope),
        fine_tuning=lambda scope: jobs_of(home, scope),
        embedders=HomeEmbedders(home),
    )


class _Changes:
    """A version for models and for jobs. Asks the database's own counter first, so that a quiet home costs almost nothing."""

    def __init__(self, home: Homeroom, models: ModelDirectory) -> None:
        self._home, self._models = home, models
        self._lock = threading.Lock()
        self._seen: int | None = None
        self._versions: dict[str, str] = {}

    def __call__(self) -> Mapping[str, str]:
        with self._lock:
            seen = self._home.database.data_version()
            if seen != self._seen:
                jobs = [(job.id, job.state, job.progress, job.message) for job in self._home.jobs.list()]
                self._versions = {"models": _version(self._models.list()), "jobs": _version(jobs)}
                self._seen = seen
            return dict(self._versions)


class _Scenarios:
    """The learners to practise on, read again when there is another dataset."""

    def __init__(self, home: Homeroom) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._datasets: list[str] | None = None
        self._found: tuple[PracticeScenario, ...] = ()

    def __call__(self) -> tuple[PracticeScenario, ...]:
        with self._lock:
            datasets = [info.id for info in self._home.datasets.list()]
            if datasets != self._datasets:
                self._found = practice_scenarios(self._home)
                self._datasets = datasets
            return self._found


def _version(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def _check_database(home: Homeroom) -> None:
    with home.database.read() as session:
        session.execute(text("SELECT 1"))


def _check_engine(home: Homeroom) -> None:
    home.base_files()
    if find_running(home.settings.home) is None:
        raise NotReadyError("the engine has not started yet. If this lasts, see: homeroom doctor", code="engine-not-running")


def _report(home: Homeroom, key: str) -> str | None:
    path = home.artifacts.path(key) / REPORT_NAME
    return path.read_text(encoding="utf-8") if path.is_file() else None
