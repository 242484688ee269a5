"""Steps from one state of the tables to the next. A new step: a file in ``versions`` and its revision in `REVISIONS`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection

REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
HEAD: Final = REVISIONS[-1]


def upgrade(connection: Connection) -> None:
    """Bring the tables to `HEAD` within the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
