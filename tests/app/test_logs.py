"""What a log holds of a failure: where and of which kind, never what somebody typed."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from homeroom.app.logs import FORMAT, PrivateFormatter, log_to_stderr
from homeroom.storage.database import Database

SAID = "my name is Ana"


@pytest.fixture
def written() -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PrivateFormatter(FORMAT))
    log = logging.Logger("test")
    log.addHandler(handler)
    try:
        try:
            int(SAID)
        except ValueError as error:
            raise LookupError(f"nothing for {SAID!r}") from error
    except LookupError:
        log.exception("it failed")
    return stream.getvalue()


def test_a_failure_is_told_by_its_kind_and_place(written: str) -> None:
    assert SAID not in written
    assert "it failed" in written
    assert "builtins.ValueError" in written
    assert "builtins.LookupError" in written
    assert written.index("ValueError") < written.index("which led to") < written.index("LookupError")
    assert "test_logs.py" in written


def test_other_packages_do_not_write_what_they_send(monkeypatch: pytest.MonkeyPatch) -> None:
    root, ours = logging.getLogger(), logging.getLogger("homeroom")
    monkeypatch.setattr(root, "handlers", [])
    before = root.level, ours.level
    try:
        log_to_stderr("debug")
        assert ours.isEnabledFor(logging.DEBUG)
        for name in ("httpx", "httpcore", "sqlalchemy.engine", "openai", "transformers"):
            assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        assert isinstance(root.handlers[0].formatter, PrivateFormatter)
    finally:
        root.setLevel(before[0])
        ours.setLevel(before[1])


def test_a_failing_statement_does_not_quote_what_it_carried(tmp_path: Path) -> None:
    database = Database.for_home(tmp_path / "home")
    database.migrate()
    with pytest.raises(DBAPIError) as caught:
        with database.write() as session:
            session.execute(text("INSERT INTO no_such_table VALUES (:said)"), {"said": SAID})
    database.close()
    assert "no_such_table" in str(caught.value)
    assert SAID not in str(caught.value)
