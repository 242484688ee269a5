"""Files that are replaced whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeroom.storage.files import append_line, make_private_folder, write_atomically


def test_replaces_the_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"long content")
    write_atomically(path, b"short")
    assert path.read_bytes() == b"short"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_failure_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(path, b"content")
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(path, b"content")
    assert caught.value.filename == str(path)
    assert str(caught.value).endswith(f": {str(path)!r}")


def test_private_folder_with_parents_keeps_what_exists(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert make_private_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert [p.stat().st_mode & 0o777 for p in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")] == [0o755, 0o700, 0o700]


def test_a_line_of_a_log_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "log"
    append_line(path, "a – b")
    append_line(path, "c")
    assert path.read_text("utf-8") == "a – b\nc\n"
    assert [found.stat().st_mode & 0o777 for found in (path, path.parent)] == [0o600, 0o700]
