"""Builds what the pages need from an open home."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import text

from homeroom.app.home import Homeroom
from homeroom.app.talk import practice_scenarios, running_directory
from homeroom.chat.compare import CompareService
from homeroom.chat.conversations import ConversationStore
from homeroom.chat.feedback import FeedbackStore
from homeroom.chat.practice import PracticeService
from homeroom.chat.scenarios import PracticeScenario
from homeroom.chat.service import ChatService
from homeroom.errors import NotFoundError, ProviderError
from homeroom.models.engine_info import find_running, read_info
from homeroom.server.services import Services

SHOWN_JOBS = 30


def build_services(home: Homeroom) -> Services:
    """Every service over one home. The stores are shared by all requests; nothing is held open between them."""
    models = running_directory(home)
    conversations = ConversationStore(home.database)
    feedback = FeedbackStore(home.database)
    chat = ChatService(models, conversations)
    return Services(
        models=models,
        conversations=conversations,
        chat=chat,
        compare=CompareService(chat, conversations, feedback),
        practice=PracticeService(home.database, chat, conversations, _scenarios(home)),
        feedback=feedback,
        checks={"database": lambda: _check_database(home), "engine": lambda: _check_engine(home)},
        changes=Changes(home),
        jobs=lambda: home.jobs.list(limit=SHOWN_JOBS),
        job_events=home.jobs.events,
        report=lambda key: read_report(home, key),
    )


def _scenarios(home: Homeroom) -> Callable[[], Sequence[PracticeScenario]]:
    """The scenarios, read again only when there is another dataset."""
    lock = threading.Lock()
    kept: dict[str, tuple[PracticeScenario, ...]] = {}

    def scenarios() -> Sequence[PracticeScenario]:
        newest = next((info.id for info in home.datasets.list()), "")
        with lock:
            if newest not in kept:
                kept.clear()
                kept[newest] = practice_scenarios(home)
            return kept[newest]

    return scenarios


def _check_database(home: Homeroom) -> None:
    with home.database.read() as session:
        session.execute(text("SELECT 1"))


def _check_engine(home: Homeroom) -> None:
    """Raises what a person must do for the engine to answer."""
    home.base_files()
    if find_running(home.settings.home) is None:
        raise ProviderError("The engine is starting or has stopped. See its log: homeroom doctor", code="engine-down", status=503)


def read_report(home: Homeroom, key: str) -> str | None:
    """The HTML of a report artifact; None when there is none of that id."""
    if not key.startswith("report-"):
        return None
    try:
        path = home.artifacts.path(key) / "report.html"
    except NotFoundError:
        return None
    return path.read_text("utf-8") if path.exists() else None


class Changes:
    """A version for each topic that open pages follow. The tables are read only when the database has changed."""

    def __init__(self, home: Homeroom) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._seen: tuple[int, str] | None = None
        self._versions: dict[str, str] = {}

    def __call__(self) -> Mapping[str, str]:
        """Topic to version: ``models`` (what can be picked, and what the engine has loaded) and ``jobs``."""
        info = read_info(self._home.settings.home)
        with self._lock:
            now = (self._home.database.data_version(), f"{info.pid}:{sorted(info.adapters)}" if info else "")
            if now != self._seen:
                self._versions = {"models": self._models(now[1]), "jobs": self._jobs()}
                self._seen = now
            return dict(self._versions)

    def _models(self, engine: str) -> str:
        rows = [(m.name, m.verdict, dict(m.settings)) for m in self._home.registry.list()]
        return _hash([rows, [str(r) + r.model_name for r in self._home.registry.routes()], engine])

    def _jobs(self) -> str:
        return _hash([(j.id, j.state, round(j.progress, 3), j.message) for j in self._home.jobs.list(limit=SHOWN_JOBS)])


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
