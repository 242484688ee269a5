"""The whole application over a fresh database and models that answer by script."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache

from homeroom.app.fine_tuning.bases import Bases, TrainableBase
from homeroom.app.fine_tuning.checkpoints import CheckpointStore
from homeroom.app.fine_tuning.files import FileStore
from homeroom.app.fine_tuning.jobs import FineTuningJobs
from homeroom.chat.directory import ModelCard, ScorecardLink
from homeroom.chat.testing import SCENARIO, Desk, MemoryDirectory, PacedChatModel, make_desk
from homeroom.errors import NotFoundError
from homeroom.schema.jobs import Job, JobEvent
from homeroom.server.app import create_app
from homeroom.server.services import Services
from homeroom.server.testing import LiveServer, WordEmbedders
from homeroom.storage import ArtifactStore, Database, Scope

TUTOR = "ft:base:homeroom:tutor:1a2b3c4d"
LEARNER = "ft:base:homeroom:learner:5e6f7a8b"
EMBEDDER = "words"
BASES = Bases(lambda: [TrainableBase("base", "f" * 64)], {"gpt-4o-mini": "base"})
REPORT = "<!doctype html><title>Report</title><h1>What changed</h1>"


@dataclass
class Site:
    """An application and what stands behind it."""

    app: Flask
    desk: Desk
    jobs: list[Job]
    failing: dict[str, Exception] = field(default_factory=dict)

    def client(self, who: str = "ana") -> Browser:
        return Browser(self.app.test_client(), who)

    def add_model(self, model: PacedChatModel, **card: Any) -> PacedChatModel:
        self.desk.models.add(
            ModelCard(model.name, **{"kind": "tuned", "task": "tutor", "created_at": time.time(), **card}), model
        )
        return model


class Browser:
    """A client that carries the CSRF token of its pages, as a browser does."""

    def __init__(self, client: FlaskClient, who: str) -> None:
        self.flask = client
        self.who = {"X-Test-User": who}
        page = self.get("/").get_data(as_text=True)
        found = re.search(r'name="csrf-token" content="([^"]+)"', page)
        assert found
        self.token = found.group(1)

    def get(self, url: str, **more: Any):
        headers = {"Accept": "text/html", **self.who, **more.pop("headers", {})}
        return self.flask.get(url, headers=headers, **more)

    def post(self, url: str, *, headers: Mapping[str, str] | None = None, **more: Any):
        return self.flask.post(url, headers={"X-CSRF-Token": self.token, **self.who, **(headers or {})}, **more)

    def stream(self, url: str, body: Mapping[str, Any] | None = None) -> list[tuple[str, dict[str, Any]]]:
        """The server-sent events of a post."""
        response = self.post(url, json=dict(body or {}), headers={"Accept": "text/event-stream"})
        assert response.status_code == 200, response.get_data(as_text=True)
        assert response.mimetype == "text/event-stream"
        return parse_events(response.get_data(as_text=True))


def parse_events(text: str) -> list[tuple[str, dict[str, Any]]]:
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":") and ": " in line)
        if "event" in fields:
            events.append((fields["event"], json.loads(fields["data"])))
    return events


def _identify(request) -> Scope:
    return Scope("school", request.headers.get("X-Test-User", "ana"))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with empty tables, made once and copied for each test."""
    home = tmp_path_factory.mktemp("migrated")
    database = Database.for_home(home)
    database.migrate()
    database.close()
    return home


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Templates, compiled once for all applications."""
    return tmp_path_factory.mktemp("templates")


@pytest.fixture
def make_site(tmp_path: Path, migrated: Path, compiled: Path) -> Iterator[Callable[..., Site]]:
    databases = []

    def make(*, identify=_identify, scenarios=(SCENARIO,), **options: Any) -> Site:
        home = tmp_path / f"home-{len(databases)}"
        shutil.copytree(migrated, home)
        database = Database.for_home(home)
        databases.append(database)
        artifacts = ArtifactStore(home / "artifacts")
        scorecard = ScorecardLink("course@1", {"Variety": "0.62 [0.51, 0.72]"}, "report-1")
        desk = make_desk(
            database,
            MemoryDirectory(
                (ModelCard("base", title="Base model"), PacedChatModel("base", lambda m: "The answer is **5/6**.")),
                (
                    ModelCard(
                        TUTOR,
                        title="Course tutor",
                        kind="tuned",
                        task="tutor",
                        default_for=("tutor",),
                        base="base",
                        dataset="course@1",
                        method="huggingface",
                        recipe={"rank": 16},
                        metrics={"train_loss": 2.257},
                        verdict="practice: confirms 9 of 16 false claims",
                        settings={"temperature": 0.5, "max_tokens": 64, "system_prompt": "You are a tutor."},
                        created_at=1_700_000_000,
                        scorecards=(scorecard,),
                    ),
                    PacedChatModel(TUTOR, lambda m: "What did you do first?"),
                ),
                (
                    ModelCard(LEARNER, title="Course learner", kind="tuned", task="learner", default_for=("learner",)),
                    PacedChatModel(LEARNER, lambda m: "I added the tops and the bottoms."),
                ),
            ),
            scenarios,
        )
        jobs: list[Job] = []
        failing: dict[str, Exception] = {}

        def job(job_id: str) -> Job:
            for found in jobs:
                if found.id == job_id:
                    return found
            raise NotFoundError(f"there is no job {job_id!r}", code="job-not-found")

        def check(name: str) -> Callable[[], None]:
            def run() -> None:
                if name in failing:
                    raise failing[name]

            return run

        services = Services(
            desk.models,
            desk.conversations,
            desk.chat,
            desk.compare,
            desk.practice,
            desk.feedback,
            checks={"database": check("database"), "engine": check("engine")},
            changes=lambda: {"models": desk.models.version(), "jobs": repr(jobs)},
            jobs=lambda: list(jobs),
            job=job,
            job_events=lambda job_id: [JobEvent(job_id, 1, time.time(), "info", "metrics", "step 1", {"loss": 2.5})],
            report=lambda key: REPORT if key == "report-1" else None,
            files=(files := lambda scope: FileStore(database, artifacts, scope=scope)),
            fine_tuning=lambda scope: FineTuningJobs(
                database, files(scope), CheckpointStore(database, artifacts, scope=scope), BASES, scope=scope
            ),
            embedders=WordEmbedders(EMBEDDER),
        )
        app = create_app(services, secret_key=b"k" * 32, identify=identify, **{"poll_s": 0.05, **options})
        app.jinja_env.bytecode_cache = FileSystemBytecodeCache(str(compiled))
        return Site(app, desk, jobs, failing)

    yield make
    for database in databases:
        database.close()


@pytest.fixture
def site(make_site) -> Site:
    return make_site()


@pytest.fixture
def ana(site: Site) -> Browser:
    return site.client("ana")


@pytest.fixture
def live(make_site) -> Iterator[tuple[Site, str]]:
    """The application on a free loopback port; everybody is one person, as without accounts."""
    site = make_site(identify=lambda request: Scope())
    with LiveServer(site.app) as server:
        yield site, server.url
