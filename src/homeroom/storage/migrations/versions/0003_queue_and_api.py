"""A queue with priorities, resources, times and pauses; API keys, files, fine-tuning jobs, checkpoints and webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

JSON_OR_NULL = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Add the columns and tables."""
    _queue()
    _keys()
    _fine_tuning()
    _webhooks()


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


def _queue() -> None:
    # Added one by one, not by making the table anew: SQLite would drop the events of its jobs with it.
    for column in (
        sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("resource", sa.String(16), nullable=False, server_default=""),
        sa.Column("not_before", sa.Double(), nullable=True),
        sa.Column("depends_on", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("paused", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("pause_requested", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("cost", JSON_OR_NULL, nullable=True),
    ):
        op.add_column("jobs", column)


def _keys() -> None:
    op.create_table(
        "api_keys",
        *_owned(),
        _text("id", 64),
        _text("name"),
        _text("shown", 32),
        _text("digest", 64),
        _json("scopes"),
        _count("requests_per_minute"),
        _number("created_at"),
        _number("expires_at", nullable=True),
        _number("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_index("ix_api_keys_digest", "api_keys", ["digest"], unique=True)


def _fine_tuning() -> None:
    op.create_table(
        "files",
        *_owned(),
        _text("id", 64),
        _text("purpose", 32),
        _text("filename"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        _text("sha256", 64),
        _text("artifact"),
        _number("created_at"),
        _number("expires_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
    )
    op.create_index("ix_files_workspace_id_owner_id_created_at", "files", ["workspace_id", "owner_id", "created_at"])
    op.create_table(
        "fine_tuning_jobs",
        *_owned(),
        _text("id", 64),
        _count("position"),
        _text("job_id", 64),
        _text("model"),
        _text("base"),
        _text("training_file", 64),
        _text("validation_file", 64, nullable=True),
        _json("request"),
        _number("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_fine_tuning_jobs"),
    )
    op.create_index(
        "ix_fine_tuning_jobs_workspace_id_owner_id_position", "fine_tuning_jobs", ["workspace_id", "owner_id", "position"]
    )
    op.create_index("ix_fine_tuning_jobs_job_id", "fine_tuning_jobs", ["job_id"], unique=True)
    op.create_table(
        "checkpoints",
        *_owned(),
        _text("id", 64),
        _text("job_id", 64),
        _count("step"),
        _text("model_name", 255),
        _text("artifact"),
        _json("metrics"),
        _number("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_checkpoints"),
        sa.UniqueConstraint("job_id", "step", name="uq_checkpoints_job_id_step"),
    )


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        *_owned(),
        _text("id", 64),
        _text("url"),
        _text("secret"),
        _json("events"),
        _number("created_at"),
        _number("disabled_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_table(
        "webhook_deliveries",
        *_owned(),
        _text("id", 64),
        _count("position"),
        _text("webhook_id", 64),
        _text("subject", 128),
        _text("type", 64),
        _json("payload"),
        _count("attempts"),
        _number("next_at"),
        _number("created_at"),
        _number("delivered_at", nullable=True),
        _number("given_up_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name="fk_webhook_deliveries_webhook_id_webhooks", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("webhook_id", "subject", name="uq_webhook_deliveries_webhook_id_subject"),
    )
    op.create_index("ix_webhook_deliveries_webhook_id_position", "webhook_deliveries", ["webhook_id", "position"])
