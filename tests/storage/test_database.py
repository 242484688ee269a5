"""Sessions, durability settings, errors of the database, migrations and change detection."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, inspect, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from homeroom.errors import ConfigError, StorageError
from homeroom.storage import ArtifactStore, Database, HomeLock, migrations
from homeroom.storage.tables import Base, ConversationRow, FeedbackRow, TurnRow

SOURCE = str(Path(__file__).parents[2] / "src")


def conversation(number: int = 1) -> ConversationRow:
    return ConversationRow(id=f"c-{number}", title="Fractions")


def count(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(ConversationRow)) or 0


def file_of(database: Database) -> Path:
    return Path(database.url.database or "")


def test_write_commits_at_the_end_of_the_block(database: Database) -> None:
    with database.write() as session:
        session.add(conversation())
    with database.read() as session:
        row = session.get_one(ConversationRow, "c-1")
    assert (row.title, row.workspace_id, row.owner_id, row.kind) == ("Fractions", "local", "local", "chat")


def test_write_rolls_back_when_the_block_raises(database: Database) -> None:
    with pytest.raises(KeyError), database.write() as session:
        session.add(conversation())
        session.flush()
        raise KeyError
    assert count(database) == 0


def test_read_refuses_to_write(database: Database) -> None:
    with pytest.raises(StorageError, match="readonly"), database.read() as session:
        session.add(conversation())
    with database.write() as session:  # the same connection, now for writing
        session.add(conversation())
    assert count(database) == 1


def test_a_read_sees_one_state(database: Database) -> None:
    with database.read() as session:
        before = session.scalar(select(func.count()).select_from(ConversationRow))
        with database.write() as other:
            other.add(conversation())
        assert session.scalar(select(func.count()).select_from(ConversationRow)) == before == 0
    assert count(database) == 1


def test_commits_survive_a_power_cut_by_settings(database: Database) -> None:
    with database.read() as session:
        settings = {name: session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")}
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_writers_wait_for_each_other_and_nothing_is_lost(database: Database) -> None:
    def add_one() -> None:
        with database.write() as session:
            row = session.get_one(ConversationRow, "c-1")  # reads first: without BEGIN IMMEDIATE this fails under load
            row.settings = {"n": row.settings["n"] + 1}

    with database.write() as session:
        session.add(ConversationRow(id="c-1", settings={"n": 0}))
    threads = [threading.Thread(target=lambda: [add_one() for _ in range(10)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.get_one(ConversationRow, "c-1").settings == {"n": 60}


def test_a_locked_database_is_told_as_such(database: Database) -> None:
    other = Database(database.url, busy_timeout_s=0.05)
    with database.write(), pytest.raises(StorageError, match="is locked by another process") as caught, other.write():
        pass
    other.close()
    assert (caught.value.code, caught.value.status) == ("database-locked", 503)


def test_reading_goes_on_beside_a_writer(database: Database) -> None:
    with database.write() as session:
        session.add(conversation())
        session.flush()
        assert count(database) == 0


def test_a_full_disk_is_told_as_such_and_writing_resumes(database: Database) -> None:
    def fill() -> None:
        with database.write() as session:
            pages = session.scalar(text("PRAGMA page_count"))
            session.execute(text(f"PRAGMA max_page_count={pages}"))  # SQLite's own stand-in for a full disk
            session.add_all([ConversationRow(id=f"c-{n}", title="x" * 4000) for n in range(50)])

    with pytest.raises(StorageError, match="no space left") as caught:
        fill()
    assert (caught.value.code, caught.value.status) == ("no-space", 507)
    assert count(database) == 0
    with database.write() as session:
        session.execute(text("PRAGMA max_page_count=1000000"))
        session.add(conversation())
    assert count(database) == 1


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "homeroom.db"
    path.write_bytes(b"not a database, but long enough to have a header of its own" * 20)
    with pytest.raises(StorageError, match=str(path)) as caught:
        Database.for_home(tmp_path).migrate()
    assert caught.value.code == "database-damaged"


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for home in (tmp_path / "file", tmp_path / "file" / "home"):
        for attempt in (Database.for_home, ArtifactStore, lambda home: HomeLock(home).acquire()):
            if attempt == Database.for_home and home == tmp_path / "file":
                continue  # the folder "exists"; the file in it is what cannot be opened
            with pytest.raises(StorageError, match=str(home)) as caught:
                attempt(home)
            assert caught.value.code == "not-writable"
    with pytest.raises(StorageError, match=str(tmp_path / "file")):
        Database.for_home(tmp_path / "file").migrate()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gone") as caught:
        Database(f"sqlite:///{tmp_path}/gone/homeroom.db").migrate()
    assert (caught.value.code, caught.value.status) == ("database-unreachable", 503)


@pytest.mark.parametrize("url", ["no url", "oracle9://host/name"])
def test_a_wrong_url_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Database(url).migrate()
    assert caught.value.code == "database-url"


def test_broken_rules_of_the_program_are_not_storage_errors(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(TurnRow(id="t", conversation_id="none", turn_index=0, role="user", content=""))
    with pytest.raises(OperationalError, match="no such table"), database.read() as session:
        session.execute(text("SELECT * FROM none"))


def test_only_known_consent_states_can_be_stored(database: Database) -> None:
    with database.write() as session:
        session.add(conversation())
        session.flush()
        session.add(TurnRow(id="t", conversation_id="c-1", turn_index=0, role="user", content=""))
    with pytest.raises(IntegrityError, match="ck_feedback_consent"), database.write() as session:
        session.add(FeedbackRow(id="f", turn_id="t", consent="maybe"))


def test_a_person_says_one_thing_of_a_reply(database: Database) -> None:
    """Whatever the isolation of the database: the rule is its own."""
    with database.write() as session:
        session.add(conversation())
        session.flush()
        session.add(TurnRow(id="t", conversation_id="c-1", turn_index=0, role="user", content=""))
        session.flush()
        session.add(FeedbackRow(id="f", turn_id="t", rating="up"))
        session.add(FeedbackRow(id="g", turn_id="t", rating="down", owner_id="another"))
    with pytest.raises(IntegrityError, match="UNIQUE"), database.write() as session:
        session.add(FeedbackRow(id="h", turn_id="t", rating="down"))


def test_feedback_that_was_stored_twice_is_kept_once(home: Path) -> None:
    """A database of the first revision, in which nothing forbade it."""
    home.mkdir()
    database = Database.for_home(home)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(migrations, "HEAD", "0001")
        database.migrate()
    with database.write() as session:
        session.add(conversation())
        session.flush()
        for turn in ("t", "u"):
            session.add(TurnRow(id=turn, conversation_id="c-1", turn_index="tu".index(turn), role="user", content=""))
        session.flush()
        for name, turn, made, owner in (("a", "t", 2.0, "x"), ("b", "t", 1.0, "x"), ("c", "t", 2.0, "x"), ("d", "t", 1.0, "y")):
            session.add(FeedbackRow(id=name, turn_id=turn, rating="up", created_at=made, owner_id=owner))
        session.add(FeedbackRow(id="e", turn_id="u", rating="up", created_at=1.0, owner_id="x"))
    database.migrate()
    with database.read() as session:
        assert set(session.scalars(select(FeedbackRow.id))) == {"c", "d", "e"}
    database.close()


def test_deleting_a_conversation_deletes_what_hangs_on_it(database: Database) -> None:
    with database.write() as session:
        session.add(conversation())
        session.flush()
        session.add(TurnRow(id="t", conversation_id="c-1", turn_index=0, role="user", content=""))
        session.flush()
        session.add(FeedbackRow(id="f", turn_id="t", rating="up"))
    with database.write() as session:
        session.delete(session.get_one(ConversationRow, "c-1"))
    with database.read() as session:
        assert session.get(FeedbackRow, "f") is None


def test_files_are_private_and_odd_names_work(tmp_path: Path) -> None:
    home = tmp_path / "my home? 100% & more#"
    database = Database.for_home(home)
    database.migrate()
    assert file_of(database) == home / "homeroom.db"
    assert home.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()}
    assert modes == {"homeroom.db": 0o600, "homeroom.db-wal": 0o600, "homeroom.db-shm": 0o600}
    database.close()


def test_password_stays_out_of_messages() -> None:
    database = Database("postgresql+psycopg://ada:hunter2@127.0.0.1/homeroom")
    assert "hunter2" not in database.name and "127.0.0.1" in database.name


def test_data_version_changes_with_commits_only(database: Database) -> None:
    first = database.data_version()
    assert database.data_version() == first
    assert count(database) == 0
    with pytest.raises(KeyError), database.write() as session:
        session.add(conversation())
        session.flush()
        raise KeyError
    assert database.data_version() == first
    with database.write() as session:
        session.add(conversation())
    second = database.data_version()
    assert second != first
    other = Database(database.url)
    with other.write() as session:
        session.add(conversation(2))
    other.close()
    assert database.data_version() not in (first, second)


def test_a_forked_process_opens_its_own_connections(database: Database) -> None:
    count(database)
    database.data_version()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            with database.write() as session:
                session.add(conversation())
            database.data_version()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    assert count(database) == 1


def test_migrations_make_exactly_the_tables(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        checks = inspect(session.connection())
        for table in Base.metadata.sorted_tables:
            expected = {c.name for c in table.constraints if type(c).__name__ == "CheckConstraint"}
            assert {c["name"] for c in checks.get_check_constraints(table.name)} == expected


def test_every_revision_is_known() -> None:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == migrations.REVISIONS
    assert scripts.get_current_head() == migrations.HEAD


def test_every_row_a_person_can_see_has_workspace_and_owner() -> None:
    for table in Base.metadata.sorted_tables:
        assert not table.c.workspace_id.nullable and not table.c.owner_id.nullable, table.name


def test_migrating_again_keeps_everything(database: Database) -> None:
    with database.write() as session:
        session.add(conversation())
    database.migrate()
    assert count(database) == 1


def test_failed_migration_leaves_no_half_of_it(home: Path) -> None:
    database = Database.for_home(home)
    with database.write() as session:
        session.execute(text("CREATE TABLE turns (id TEXT)"))  # in the way of a later step
    with pytest.raises(OperationalError, match="already exists"):
        database.migrate()
    with database.read() as session:
        assert inspect(session.connection()).get_table_names() == ["turns"]
    database.close()


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match=r"'9999'.*pip install --upgrade homeroom") as caught:
        database.migrate()
    assert caught.value.code == "database-newer"


def test_many_processes_may_open_a_new_home_at_once(home: Path) -> None:
    program = f"from pathlib import Path; from homeroom.storage import Database; Database.for_home(Path({str(home)!r})).migrate()"
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    processes = [subprocess.Popen([sys.executable, "-c", program], env=environment) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    with sqlite3.connect(home / "homeroom.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(migrations.HEAD,)]
    connection.close()


def test_a_second_database_of_one_process_leaves_the_locks_of_the_first(tmp_path: Path) -> None:
    """Closing any descriptor of a file drops a process' locks on it: another process would take itself for the last user."""
    path = tmp_path / "homeroom.db"
    first, second = Database(f"sqlite:///{path}"), Database(f"sqlite:///{path}")
    first.migrate()

    def locks() -> list[str]:
        inode = str(path.stat().st_ino)
        return [line for line in Path("/proc/locks").read_text().splitlines() if line.split()[5].endswith(f":{inode}")]

    with first.read() as connection:  # what another process sees
        connection.execute(text("SELECT 1 FROM alembic_version")).all()
        before = len(locks())
        with second.read() as other:
            other.execute(text("SELECT 1 FROM alembic_version")).all()
            assert before and len(locks()) >= before
    first.close()
    second.close()
