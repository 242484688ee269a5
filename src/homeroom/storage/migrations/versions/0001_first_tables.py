"""The first tables: datasets, jobs, models, routes, conversations and feedback.

There is no way down: going back to an older version means restoring a copy of the home.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

JSON_OR_NULL = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Make the tables."""
    _datasets()
    _jobs()
    _models()
    _conversations()
    _feedback()


def _text(name: str, length: int | None = None, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length) if length else sa.Text(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=nullable)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(), nullable=False)


def _owned() -> tuple[sa.Column[str], sa.Column[str]]:
    return _text("workspace_id", 64), _text("owner_id", 64)


def _datasets() -> None:
    op.create_table(
        "datasets",
        *_owned(),
        _text("id", 80),
        _text("name"),
        _count("version"),
        _text("parent", nullable=True),
        _text("artifact"),
        _json("counts"),
        _number("created_at"),
        sa.PrimaryKeyConstraint("workspace_id", "owner_id", "id", name="pk_datasets"),
        sa.UniqueConstraint("workspace_id", "owner_id", "name", "version", name="uq_datasets_workspace_id_owner_id_name_version"),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        _text("id", 64),
        _count("position"),
        _text("kind", 64),
        _text("state", 16),
        _json("payload"),
        sa.Column("result", JSON_OR_NULL, nullable=True),
        _text("error"),
        _text("error_code", 64),
        _number("progress"),
        _text("message"),
        _count("attempts"),
        _count("max_attempts"),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        _text("idempotency_key", 255, nullable=True),
        _count("token"),
        _count("last_event"),
        _text("worker_id", nullable=True),
        _text("lease_boot", 64),
        _number("lease_elapsed"),
        _number("lease_wall"),
        _number("created_at"),
        _number("started_at", nullable=True),
        _number("finished_at", nullable=True),
        *_owned(),
        sa.CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_jobs_state")),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("workspace_id", "owner_id", "idempotency_key", name="uq_jobs_workspace_id_owner_id_idempotency_key"),
    )
    op.create_index("ix_jobs_state_position", "jobs", ["state", "position"])
    op.create_table(
        "job_events",
        _text("job_id", 64),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        _number("created_at"),
        _text("level", 16),
        _text("type", 16),
        _text("message"),
        _json("data"),
        *_owned(),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_events_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "seq", name="pk_job_events"),
    )


def _models() -> None:
    op.create_table(
        "models",
        _text("name", 255),
        _text("base"),
        _text("base_identity"),
        _text("method", 32),
        _text("kind", 32),
        _text("task", 32),
        _text("suffix", 64),
        _text("suitability", 32),
        _text("artifact"),
        _text("dataset"),
        _text("job_id"),
        _text("code_version"),
        _number("created_at"),
        _text("verdict"),
        _json("recipe"),
        _json("settings"),
        _json("metrics"),
        _text("remote_id"),
        *_owned(),
        sa.PrimaryKeyConstraint("name", name="pk_models"),
    )
    op.create_index("ix_models_workspace_id_owner_id_created_at", "models", ["workspace_id", "owner_id", "created_at"])
    op.create_table(
        "base_settings",
        *_owned(),
        _text("model_name", 255),
        _json("settings"),
        sa.PrimaryKeyConstraint("workspace_id", "owner_id", "model_name", name="pk_base_settings"),
    )
    op.create_table(
        "scorecards",
        _text("id", 64),
        _text("model_name", 255),
        _text("dataset"),
        _text("report_artifact"),
        _json("summary"),
        _number("created_at"),
        *_owned(),
        sa.ForeignKeyConstraint(["model_name"], ["models.name"], name="fk_scorecards_model_name_models", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_scorecards"),
    )
    op.create_index("ix_scorecards_model_name", "scorecards", ["model_name"])
    op.create_table(
        "routes",
        *_owned(),
        _text("task", 32),
        _text("subject", 64),
        _text("grade_band", 16),
        _text("model_name", 255),
        _number("updated_at"),
        sa.PrimaryKeyConstraint("workspace_id", "owner_id", "task", "subject", "grade_band", name="pk_routes"),
    )
    op.create_index("ix_routes_model_name", "routes", ["model_name"])


def _conversations() -> None:
    op.create_table(
        "conversations",
        _text("id", 64),
        _text("kind", 16),
        _text("title"),
        _text("model"),
        _json("settings"),
        _number("created_at"),
        _number("updated_at"),
        *_owned(),
        sa.PrimaryKeyConstraint("id", name="pk_conversations"),
    )
    columns = ["workspace_id", "owner_id", "updated_at"]
    op.create_index("ix_conversations_workspace_id_owner_id_updated_at", "conversations", columns)
    op.create_table(
        "turns",
        _text("id", 64),
        _text("conversation_id", 64),
        _count("turn_index"),
        _count("variant"),
        _text("role", 16),
        _text("content"),
        _text("model"),
        _json("settings"),
        _text("finish_reason", 32),
        _number("created_at"),
        *_owned(),
        sa.CheckConstraint("role IN ('system', 'user', 'assistant')", name=op.f("ck_turns_role")),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name="fk_turns_conversation_id_conversations", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_turns"),
        sa.UniqueConstraint("conversation_id", "turn_index", "variant", name="uq_turns_conversation_id_turn_index_variant"),
    )


def _feedback() -> None:
    op.create_table(
        "feedback",
        _text("id", 64),
        _text("turn_id", 64),
        _text("rating", 8, nullable=True),
        _text("reason"),
        _text("better_answer"),
        _text("consent", 16),
        _number("created_at"),
        *_owned(),
        sa.CheckConstraint("rating IN ('up', 'down')", name=op.f("ck_feedback_rating")),
        sa.CheckConstraint("consent IN ('not-asked', 'granted', 'refused')", name=op.f("ck_feedback_consent")),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="fk_feedback_turn_id_turns", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
    )
    op.create_index("ix_feedback_turn_id", "feedback", ["turn_id"])
    op.create_table(
        "practice_sessions",
        _text("id", 64),
        _text("conversation_id", 64),
        _json("scenario"),
        sa.Column("feedback", JSON_OR_NULL, nullable=True),
        _number("created_at"),
        _number("finished_at", nullable=True),
        *_owned(),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_practice_sessions_conversation_id_conversations",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_practice_sessions"),
    )
    op.create_index("ix_practice_sessions_conversation_id", "practice_sessions", ["conversation_id"])
