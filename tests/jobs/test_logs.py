"""Logs of jobs stay below a size."""

from __future__ import annotations

from pathlib import Path

from homeroom.jobs.logs import last_words, log_path, trim_log


def test_long_log_keeps_its_whole_last_wordss(tmp_path: Path) -> None:
    path = log_path(tmp_path, "job-1")
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"line {n:05}\n" for n in range(1000)))
    with path.open("a") as writer:
        trim_log(path, 1000)
        writer.write("after\n")
    lines = path.read_text().splitlines()
    assert lines[0] == "[... earlier output was removed ...]"
    assert lines[1:] == [f"line {n:05}" for n in range(910, 1000)] + ["after"]


def test_short_or_missing_log_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    trim_log(path, 10)
    assert last_words(path) == "" and not path.exists()
    path.write_text("x" * 20)
    trim_log(path, 10)
    assert path.read_text() == "x" * 20


def test_last_words_name_the_exception_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("x" * 9000 + "\nKilled\n\n  \n")
    assert last_words(path) == "Killed"
    path.write_text("KeyError: 1\nsqlalchemy.exc.ProgrammingError: no such table\n(Background on this error at: …)\n")
    assert last_words(path) == "sqlalchemy.exc.ProgrammingError: no such table"
