"""How often a job died since it last kept something new, and how far it was then."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns; for jobs that are there the count of deaths begins anew."""
    op.add_column("jobs", sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("kept", sa.JSON(), nullable=False, server_default="{}"))
