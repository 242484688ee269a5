"""What calls count for by day, so that a budget needs no look at every call."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_KEY = "workspace_id, owner_id, day, project, model, method, purpose"


def upgrade() -> None:
    """Add the table, with what the calls so far count for."""
    op.create_table(
        "cost_days",
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("owner_id", sa.String(64), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("model", sa.String(255), nullable=False),
        sa.Column("method", sa.String(32), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("counted_nusd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "owner_id", "day", "project", "model", "method", "purpose", name="pk_cost_days"),
    )
    op.execute(
        f"INSERT INTO cost_days ({_KEY}, counted_nusd) SELECT {_KEY}, "  # noqa: S608 - names of columns
        f"SUM(CASE WHEN state = 'held' THEN held_nusd ELSE nusd END) FROM costs GROUP BY {_KEY}"
    )
