"""How often each test split was opened, and which examples were set aside for probes."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "openings",
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("owner_id", sa.String(64), nullable=False),
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("dataset", sa.String(80), nullable=False),
        sa.Column("task", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_openings"),
    )
    op.create_index("ix_openings_workspace_id_owner_id_dataset_task", "openings", ["workspace_id", "owner_id", "dataset", "task"])
    op.create_table(
        "set_aside",
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("owner_id", sa.String(64), nullable=False),
        sa.Column("probe", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("dataset", sa.String(80), nullable=False),
        sa.Column("task", sa.String(32), nullable=False),
        sa.Column("examples", sa.JSON(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("probe", name="pk_set_aside"),
    )
    op.create_index("ix_set_aside_workspace_id_owner_id_name", "set_aside", ["workspace_id", "owner_id", "name"])
