"""Alembic runs this file for each command. The connection comes from `homeroom.storage.migrations.upgrade`."""

from alembic import context

from homeroom.storage.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,  # SQLite can; Alembic assumes that it cannot
)
with context.begin_transaction():
    context.run_migrations()
