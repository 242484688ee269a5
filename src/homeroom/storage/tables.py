"""Every table. A change here needs a migration in `homeroom.storage.migrations`; a test compares the two.

Rows that a person can see are `Owned`: they carry the workspace and the owner that every query of a repository names. Times are
Unix seconds. JSON columns hold plain data whose keys belong to the layer that writes them.
"""

from __future__ import annotations

import time

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from homeroom.storage.held_out_tables import OpeningRow, SetAsideRow
from homeroom.storage.table_base import JSON_OR_NULL, Base, Json, Owned, new_id, one_of

__all__ = ["Base", "OpeningRow", "Owned", "SetAsideRow", "new_id"]  # made elsewhere, imported from here


class DatasetRow(Owned, Base):
    """One version of a dataset; ``id`` is its content hash, ``parent`` the id of the version it came from."""

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("workspace_id", "owner_id", "name", "version"),)

    workspace_id: Mapped[str] = mapped_column(String(64), primary_key=True, default="local")
    owner_id: Mapped[str] = mapped_column(String(64), primary_key=True, default="local")
    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    name: Mapped[str]
    version: Mapped[int]
    parent: Mapped[str | None]
    artifact: Mapped[str]
    counts: Mapped[Json] = mapped_column(default=dict)
    created_at: Mapped[float] = mapped_column(default=time.time)


class JobRow(Owned, Base):
    """A durable unit of background work. See `homeroom.jobs.store` for what the lease columns mean."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("workspace_id", "owner_id", "idempotency_key"),
        Index(None, "state", "position"),
        one_of("state", "queued", "running", "succeeded", "failed", "cancelled"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int]
    kind: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), default="queued")
    payload: Mapped[Json]
    result: Mapped[Json | None] = mapped_column(JSON_OR_NULL)
    error: Mapped[str] = mapped_column(default="")
    error_code: Mapped[str] = mapped_column(String(64), default="")
    progress: Mapped[float] = mapped_column(default=0.0)
    message: Mapped[str] = mapped_column(default="")
    attempts: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=3)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    token: Mapped[int] = mapped_column(default=0)
    last_event: Mapped[int] = mapped_column(default=0)
    worker_id: Mapped[str | None]
    lease_boot: Mapped[str] = mapped_column(String(64), default="")
    lease_elapsed: Mapped[float] = mapped_column(default=0.0)
    lease_wall: Mapped[float] = mapped_column(default=0.0)
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    priority: Mapped[int] = mapped_column(default=0, server_default="0")
    resource: Mapped[str] = mapped_column(String(16), default="", server_default="")
    not_before: Mapped[float | None]
    depends_on: Mapped[list[str]] = mapped_column(JSON, default=list, server_default="[]")
    paused: Mapped[bool] = mapped_column(default=False, server_default=false())
    pause_requested: Mapped[bool] = mapped_column(default=False, server_default=false())
    cost: Mapped[Json | None] = mapped_column(JSON_OR_NULL)
    deaths: Mapped[int] = mapped_column(default=0, server_default="0")
    kept: Mapped[dict[str, int]] = mapped_column(JSON, default=dict, server_default="{}")


class JobEventRow(Owned, Base):
    """Something a job said; ``seq`` counts from 1 within the job."""

    __tablename__ = "job_events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    created_at: Mapped[float]
    level: Mapped[str] = mapped_column(String(16))
    type: Mapped[str] = mapped_column(String(16))
    message: Mapped[str]
    data: Mapped[Json] = mapped_column(default=dict)


class ModelRow(Owned, Base):
    """A tuned model with its lineage: dataset version, recipe, job, base identity and code version."""

    __tablename__ = "models"
    __table_args__ = (Index(None, "workspace_id", "owner_id", "created_at"),)

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    base: Mapped[str]
    base_identity: Mapped[str]
    method: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(32))
    task: Mapped[str] = mapped_column(String(32))
    suffix: Mapped[str] = mapped_column(String(64))
    suitability: Mapped[str] = mapped_column(String(32))
    artifact: Mapped[str] = mapped_column(default="")
    dataset: Mapped[str] = mapped_column(default="")
    job_id: Mapped[str] = mapped_column(default="")
    code_version: Mapped[str] = mapped_column(default="")
    created_at: Mapped[float]
    verdict: Mapped[str] = mapped_column(default="unjudged")
    recipe: Mapped[Json] = mapped_column(default=dict)
    settings: Mapped[Json] = mapped_column(default=dict)
    metrics: Mapped[Json] = mapped_column(default=dict)
    remote_id: Mapped[str] = mapped_column(default="")


class BaseSettingsRow(Owned, Base):
    """Generation settings that a person saved for a model that was not tuned here: a base or an endpoint's model."""

    __tablename__ = "base_settings"

    workspace_id: Mapped[str] = mapped_column(String(64), primary_key=True, default="local")
    owner_id: Mapped[str] = mapped_column(String(64), primary_key=True, default="local")
    model_name: Mapped[str] = mapped_column(String(255), primary_key=True)
    settings: Mapped[Json] = mapped_column(default=dict)


class ScorecardRow(Owned, Base):
    """The evaluation of a model on a dataset version; the whole of it is the report artifact."""

    __tablename__ = "scorecards"
    __table_args__ = (Index(None, "model_name"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model_name: Mapped[str] = mapped_column(ForeignKey("models.name", ondelete="CASCADE"))
    dataset: Mapped[str]
    report_artifact: Mapped[str]
    summary: Mapped[Json]
    created_at: Mapped[float]


class RouteRow(Owned, Base):
    """Which model answers for a task, a subject and a grade band (``*`` is any). It may be a base model, so no foreign key."""

    __tablename__ = "routes"

    workspace_id: Mapped[str] = mapped_column(String(64), primary_key=True, default="local")
    owner_id: Mapped[str] = mapped_column(String(64), primary_key=True, default="local")
    task: Mapped[str] = mapped_column(String(32), primary_key=True)
    subject: Mapped[str] = mapped_column(String(64), primary_key=True, default="*")
    grade_band: Mapped[str] = mapped_column(String(16), primary_key=True, default="*")
    model_name: Mapped[str] = mapped_column(String(255), index=True)
    updated_at: Mapped[float]


class ConversationRow(Owned, Base):
    """A chat or a practice session as a person sees it in the list."""

    __tablename__ = "conversations"
    __table_args__ = (Index(None, "workspace_id", "owner_id", "updated_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), default="chat")
    title: Mapped[str] = mapped_column(default="")
    model: Mapped[str] = mapped_column(default="")
    settings: Mapped[Json] = mapped_column(default=dict)
    created_at: Mapped[float] = mapped_column(default=time.time)
    updated_at: Mapped[float] = mapped_column(default=time.time)


class TurnRow(Owned, Base):
    """One message. A regenerated reply has the same ``turn_index`` and the next ``variant``; both count from 0."""

    __tablename__ = "turns"
    __table_args__ = (
        UniqueConstraint("conversation_id", "turn_index", "variant"),
        one_of("role", "system", "user", "assistant"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    turn_index: Mapped[int]
    variant: Mapped[int] = mapped_column(default=0)
    role: Mapped[str] = mapped_column(String(16))
    content: Mapped[str]
    model: Mapped[str] = mapped_column(default="")
    settings: Mapped[Json] = mapped_column(default=dict)
    finish_reason: Mapped[str] = mapped_column(String(32), default="")
    created_at: Mapped[float] = mapped_column(default=time.time)


class FeedbackRow(Owned, Base):
    """What a person said of a reply, once. Only a better answer whose consent is ``granted`` may become an example."""

    __tablename__ = "feedback"
    __table_args__ = (
        Index(None, "turn_id", "workspace_id", "owner_id", unique=True),
        one_of("rating", "up", "down"),
        one_of("consent", "not-asked", "granted", "refused"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    turn_id: Mapped[str] = mapped_column(ForeignKey("turns.id", ondelete="CASCADE"))
    rating: Mapped[str | None] = mapped_column(String(8))
    reason: Mapped[str] = mapped_column(default="")
    better_answer: Mapped[str] = mapped_column(default="")
    consent: Mapped[str] = mapped_column(String(16), default="not-asked")
    created_at: Mapped[float] = mapped_column(default=time.time)


class PracticeSessionRow(Owned, Base):
    """A person who taught a simulated learner: the scenario, the transcript (a conversation) and the feedback at the end."""

    __tablename__ = "practice_sessions"
    __table_args__ = (Index(None, "conversation_id"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    scenario: Mapped[Json]
    feedback: Mapped[Json | None] = mapped_column(JSON_OR_NULL)
    created_at: Mapped[float] = mapped_column(default=time.time)
    finished_at: Mapped[float | None]


class ApiKeyRow(Owned, Base):
    """A key that programs call the API with. Only its hash is kept; ``shown`` is its beginning, to tell keys apart."""

    __tablename__ = "api_keys"
    __table_args__ = (Index(None, "digest", unique=True),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str]
    shown: Mapped[str] = mapped_column(String(32))
    digest: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    requests_per_minute: Mapped[int]
    created_at: Mapped[float] = mapped_column(default=time.time)
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]


class SignInRow(Owned, Base):
    """A browser that signed in with a key: the hash of what its cookie holds."""

    __tablename__ = "sign_ins"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    created_at: Mapped[float] = mapped_column(default=time.time)
    expires_at: Mapped[float]


class FileRow(Owned, Base):
    """An uploaded or resulting file of the OpenAI API; its bytes are the artifact."""

    __tablename__ = "files"
    __table_args__ = (Index(None, "workspace_id", "owner_id", "created_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(32))
    filename: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    artifact: Mapped[str]
    created_at: Mapped[float] = mapped_column(default=time.time)
    expires_at: Mapped[float | None]


class FineTuningJobRow(Owned, Base):
    """A fine-tuning job of the OpenAI API: what was asked, beside the job that does it."""

    __tablename__ = "fine_tuning_jobs"
    __table_args__ = (Index(None, "workspace_id", "owner_id", "position"), Index(None, "job_id", unique=True))

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int]
    job_id: Mapped[str] = mapped_column(String(64))
    model: Mapped[str]
    base: Mapped[str]
    training_file: Mapped[str] = mapped_column(String(64))
    validation_file: Mapped[str | None] = mapped_column(String(64))
    request: Mapped[Json]
    created_at: Mapped[float] = mapped_column(default=time.time)


class CheckpointRow(Owned, Base):
    """A checkpoint of a running or finished job that can be chatted with."""

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("job_id", "step"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_id: Mapped[str] = mapped_column(String(64))
    step: Mapped[int]
    model_name: Mapped[str] = mapped_column(String(255))
    artifact: Mapped[str]
    metrics: Mapped[Json]
    created_at: Mapped[float] = mapped_column(default=time.time)


class WebhookRow(Owned, Base):
    """Where events are sent, and the secret that signs them."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    url: Mapped[str]
    secret: Mapped[str]
    events: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[float] = mapped_column(default=time.time)
    disabled_at: Mapped[float | None]


class WebhookDeliveryRow(Owned, Base):
    """An event to be told to a webhook: sent in order of ``position``, again until it was taken or given up."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (UniqueConstraint("webhook_id", "subject"), Index(None, "webhook_id", "position"))

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int]
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    subject: Mapped[str] = mapped_column(String(128))
    type: Mapped[str] = mapped_column(String(64))
    payload: Mapped[Json]
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[float]
    created_at: Mapped[float] = mapped_column(default=time.time)
    delivered_at: Mapped[float | None]
    given_up_at: Mapped[float | None]


class CostRow(Owned, Base):
    """A call that costs or may cost. Money is in billionths of a US dollar: whole numbers, so that sums are exact.

    ``held`` calls count with ``held_nusd``, all others with ``nusd``. ``day`` is the day in UTC on which it was held.
    """

    __tablename__ = "costs"
    __table_args__ = (
        Index(None, "workspace_id", "owner_id", "day"),
        one_of("state", "held", "settled", "released"),
        one_of("basis", "billed", "estimated", "unpriced"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    basis: Mapped[str] = mapped_column(String(16))
    day: Mapped[str] = mapped_column(String(10))
    project: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(255))
    method: Mapped[str] = mapped_column(String(32), default="")
    purpose: Mapped[str] = mapped_column(String(16))
    job_id: Mapped[str] = mapped_column(String(64), default="")
    prompt_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    completion_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    trained_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    held_nusd: Mapped[int] = mapped_column(BigInteger, default=0)
    nusd: Mapped[int] = mapped_column(BigInteger, default=0)
    note: Mapped[str] = mapped_column(default="")
    created_at: Mapped[float] = mapped_column(default=time.time)
    settled_at: Mapped[float | None]


class CostDayRow(Owned, Base):
    """What the calls of a kind count for on a day, settled and held: changed with each line, so that budgets are quick."""

    __tablename__ = "cost_days"

    workspace_id: Mapped[str] = mapped_column(String(64), primary_key=True, default="local")
    owner_id: Mapped[str] = mapped_column(String(64), primary_key=True, default="local")
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    project: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(255), primary_key=True)
    method: Mapped[str] = mapped_column(String(32), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16), primary_key=True)
    counted_nusd: Mapped[int] = mapped_column(BigInteger)


class BudgetRow(Owned, Base):
    """The most that calls of a kind may cost in a period; ``*`` is any."""

    __tablename__ = "budgets"

    workspace_id: Mapped[str] = mapped_column(String(64), primary_key=True, default="local")
    owner_id: Mapped[str] = mapped_column(String(64), primary_key=True, default="local")
    period: Mapped[str] = mapped_column(String(8), primary_key=True)
    project: Mapped[str] = mapped_column(String(64), primary_key=True, default="*")
    model: Mapped[str] = mapped_column(String(255), primary_key=True, default="*")
    method: Mapped[str] = mapped_column(String(32), primary_key=True, default="*")
    purpose: Mapped[str] = mapped_column(String(16), primary_key=True, default="*")
    limit_nusd: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float] = mapped_column(default=time.time)
