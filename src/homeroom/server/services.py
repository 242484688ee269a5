"""What the server needs from the rest of Homeroom, handed in by whoever builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from homeroom.app.embedders import EmbedderCard
from homeroom.app.fine_tuning.files import FileStore
from homeroom.app.fine_tuning.jobs import FineTuningJobs
from homeroom.chat.compare import CompareService
from homeroom.chat.conversations import ConversationStore
from homeroom.chat.directory import ModelDirectory
from homeroom.chat.feedback import FeedbackStore
from homeroom.chat.practice import PracticeService
from homeroom.chat.service import ChatService
from homeroom.errors import NotFoundError
from homeroom.schema.embeddings import Embedder
from homeroom.schema.jobs import Job, JobEvent
from homeroom.storage import Scope

Check = Callable[[], None]


def _no_jobs() -> Sequence[Job]:
    return ()


def _no_job(job_id: str) -> Job:
    raise NotFoundError(f"there is no job {job_id!r}. List them: homeroom jobs list", code="job-not-found")


def _no_events(job_id: str) -> Sequence[JobEvent]:
    return ()


def _no_changes() -> Mapping[str, str]:
    return {}


def _no_files(scope: Scope) -> FileStore:
    raise NotFoundError("this server keeps no files. Start the whole one: homeroom serve", code="not-found")


def _no_fine_tuning(scope: Scope) -> FineTuningJobs:
    raise NotFoundError("this server tunes nothing. Start the whole one: homeroom serve", code="not-found")


class Embedders(Protocol):
    """The embedding models that may be asked now: `homeroom.app.embedders.HomeEmbedders`. Thread-safe."""

    def list(self) -> Sequence[EmbedderCard]:
        """Those on this disk."""
        ...

    def embedder(self, name: str) -> Embedder:
        """What makes vectors as ``name``.

        Raises:
            NotFoundError: no embedding model has that name.
        """
        ...


class NoEmbedders:
    """`Embedders` of a server that has none."""

    def list(self) -> Sequence[EmbedderCard]:
        """None."""
        return ()

    def embedder(self, name: str) -> Embedder:
        """Nothing.

        Raises:
            NotFoundError: always.
        """
        raise NotFoundError("this server makes no embeddings. Start the whole one: homeroom serve", code="not-found")


def _no_report(key: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Services:
    """The objects behind the pages. Everything is thread-safe.

    Attributes:
        checks: What `/ready` asks, by name (``database``, ``engine``): returns when all is well, raises a HomeroomError when not.
        changes: A version for each topic (``models``, ``jobs``) that open pages follow: another text means that it changed.
            Polled from one thread; must be cheap.
        jobs: The newest jobs first, read-only; ``job`` gives one of any age.
        job_events: Events of one job, oldest first.
        files: The files of the API of a scope.
        fine_tuning: The fine-tuning jobs of the API of a scope.
        embedders: What turns texts into vectors.
        report: The HTML of a scorecard's report by `ScorecardLink.report`; None when there is none.
    """

    models: ModelDirectory
    conversations: ConversationStore
    chat: ChatService
    compare: CompareService
    practice: PracticeService
    feedback: FeedbackStore
    checks: Mapping[str, Check] = field(default_factory=dict)
    changes: Callable[[], Mapping[str, str]] = _no_changes
    jobs: Callable[[], Sequence[Job]] = _no_jobs
    job: Callable[[str], Job] = _no_job
    job_events: Callable[[str], Sequence[JobEvent]] = _no_events
    report: Callable[[str], str | None] = _no_report
    files: Callable[[Scope], FileStore] = _no_files
    fine_tuning: Callable[[Scope], FineTuningJobs] = _no_fine_tuning
    embedders: Embedders = field(default_factory=NoEmbedders)
