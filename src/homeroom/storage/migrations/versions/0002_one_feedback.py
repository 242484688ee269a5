"""One record of feedback for each person and reply, held by the database itself."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Keep the newest of several records, then allow no second one."""
    op.execute(
        "DELETE FROM feedback WHERE EXISTS (SELECT 1 FROM feedback AS other WHERE other.turn_id = feedback.turn_id "
        "AND other.workspace_id = feedback.workspace_id AND other.owner_id = feedback.owner_id "
        "AND (other.created_at > feedback.created_at OR (other.created_at = feedback.created_at AND other.id > feedback.id)))"
    )
    op.drop_index("ix_feedback_turn_id", table_name="feedback")
    # A unique index, not a constraint: SQLite can add it to a table that exists, and PostgreSQL treats both alike.
    op.create_index("ix_feedback_turn_id_workspace_id_owner_id", "feedback", ["turn_id", "workspace_id", "owner_id"], unique=True)
