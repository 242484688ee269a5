"""Artifacts: whole or absent, verified, private, and honest about a full disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeroom.errors import NotFoundError, StorageError
from homeroom.storage import ArtifactStore, Draft

SOURCE = str(Path(__file__).parents[2] / "src")


def model(artifacts: ArtifactStore, text: str = "card") -> Draft:
    with artifacts.write("model") as draft:
        (draft / "card.md").write_text(text)
        (draft / "weights").mkdir()
        (draft / "weights" / "adapter.bin").write_bytes(b"\0" * 1000)
    return draft


def drafts(artifacts: ArtifactStore) -> list[str]:
    return [path.name for path in (artifacts.root / "tmp").iterdir()]


def test_it_appears_whole_under_the_hash_of_its_content(artifacts: ArtifactStore) -> None:
    draft = model(artifacts)
    assert draft.path == artifacts.root / "model" / draft.id == artifacts.path(draft.id)
    assert draft.id.startswith("model-") and len(draft.id) == len("model-") + 12
    assert (draft.path / "card.md").read_text() == "card"
    manifest = json.loads((draft.path / "manifest.json").read_text())
    assert manifest["kind"] == "model"
    assert manifest["files"]["weights/adapter.bin"] == {
        "sha256": "541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53",
        "size": 1000,
    }
    found = artifacts.verify(draft.id)
    assert (found.id, found.kind, found.size_bytes) == (draft.id, "model", 1004)
    assert drafts(artifacts) == []


def test_draft_is_a_path_and_nothing_is_visible_before_the_end(artifacts: ArtifactStore) -> None:
    with artifacts.write("report") as draft:
        (Path(draft) / "report.json").write_text("{}")
        assert artifacts.list("report") == ()
        with pytest.raises(RuntimeError):
            _ = draft.id
    assert artifacts.list("report") == (draft.id,)


def test_same_content_is_kept_once_and_other_content_apart(artifacts: ArtifactStore) -> None:
    first, second, third = model(artifacts), model(artifacts), model(artifacts, "other")
    assert first.id == second.id != third.id
    assert artifacts.list("model") == tuple(sorted([first.id, third.id]))


def test_same_content_written_at_once_by_several(artifacts: ArtifactStore) -> None:
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(model(artifacts).id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8 and len(set(ids)) == 1
    artifacts.verify(ids[0])


def test_only_the_owner_can_read_it(artifacts: ArtifactStore) -> None:
    with artifacts.write("model") as draft:
        (draft / "open").mkdir(mode=0o777)
        (draft / "open" / "file").touch(mode=0o666)
    everything = [artifacts.root, *artifacts.root.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in everything if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in everything if path.is_file()} == {0o600}


def test_a_block_that_raises_leaves_nothing(artifacts: ArtifactStore) -> None:
    with pytest.raises(KeyError), artifacts.write("model") as draft:
        (draft / "half").write_text("half")
        raise KeyError
    assert drafts(artifacts) == [] and artifacts.list("model") == ()


def test_a_full_disk_while_the_block_writes(artifacts: ArtifactStore) -> None:
    with pytest.raises(StorageError, match="no space left") as caught, artifacts.write("model") as draft:
        (draft / "half").write_text("half")
        with Path("/dev/full").open("w") as full:
            full.write("x")
    assert caught.value.code == "no-space"
    assert drafts(artifacts) == [] and artifacts.list("model") == ()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 files' room, where this process may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=16", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_while_the_store_writes_and_space_that_returns(small_disk: Path) -> None:
    artifacts = ArtifactStore(small_disk / "artifacts")

    def fill() -> None:
        with artifacts.write("model") as draft:
            while True:  # until the manifest has no room
                try:
                    (draft / str(time.monotonic_ns())).touch()
                except OSError:
                    return

    with pytest.raises(StorageError) as caught:
        fill()
    assert caught.value.code == "no-space"
    assert drafts(artifacts) == [] and artifacts.list("model") == ()
    assert artifacts.verify(model(artifacts).id).size_bytes == 1004


def test_links_and_special_files_are_refused(artifacts: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught, artifacts.write("model") as draft:
        (draft / "link").symlink_to(tmp_path)
    assert caught.value.code == "artifact-not-plain"
    assert drafts(artifacts) == []


def test_all_damage_is_told_at_once(artifacts: ArtifactStore) -> None:
    with artifacts.write("model") as draft:
        for name in ("changed", "cut", "missing", "linked", "whole"):
            (draft / name).write_text(name)
    (draft.path / "changed").write_text("CHANGED")
    (draft.path / "cut").write_text("cu")
    (draft.path / "missing").unlink()
    (draft.path / "linked").unlink()
    (draft.path / "linked").symlink_to("whole")
    (draft.path / "added").write_text("")
    with pytest.raises(StorageError) as caught:
        artifacts.verify(draft.id)
    assert caught.value.code == "artifact-damaged"
    for part in ("changed was changed", "cut was changed", "missing is missing", "linked was changed", "added does not belong"):
        assert part in caught.value.message
    assert "whole was" not in caught.value.message


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"kind": "model", "files": {"a": 1}}', b"\xff"])
def test_damaged_manifest_is_damage(artifacts: ArtifactStore, content: bytes) -> None:
    draft = model(artifacts)
    (draft.path / "manifest.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"manifest\.json cannot be read"):
        artifacts.verify(draft.id)


def test_manifest_that_was_rewritten_is_damage(artifacts: ArtifactStore) -> None:
    draft = model(artifacts)
    manifest = draft.path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    with pytest.raises(StorageError, match=r"manifest\.json was changed"):
        artifacts.verify(draft.id)


def test_writing_the_same_again_mends_a_damaged_one(artifacts: ArtifactStore) -> None:
    draft = model(artifacts)
    (draft.path / "card.md").write_text("torn")
    assert model(artifacts).id == draft.id
    artifacts.verify(draft.id)
    assert drafts(artifacts) == []


def test_delete_removes_it(artifacts: ArtifactStore) -> None:
    draft = model(artifacts)
    artifacts.delete(draft.id)
    assert artifacts.list("model") == () and drafts(artifacts) == []
    with pytest.raises(NotFoundError, match=draft.id) as caught:
        artifacts.delete(draft.id)
    assert caught.value.code == "artifact-not-found"


@pytest.mark.parametrize("name", ["", "model", "model-../../etc", "../model-0123456789ab", "model-0123456789ab/..", "tmp-x"])
def test_ids_that_no_artifact_has_reach_no_file(artifacts: ArtifactStore, name: str) -> None:
    with pytest.raises(NotFoundError):
        artifacts.path(name)


@pytest.mark.parametrize("kind", ["", "Model", "a/b", "..", "tmp", "1model"])
def test_kinds_are_plain_names(artifacts: ArtifactStore, kind: str) -> None:
    with pytest.raises(ValueError, match="kind of artifact"):
        artifacts.write(kind)


WRITER = """
import sys, time
from pathlib import Path
from homeroom.storage import ArtifactStore
with ArtifactStore(Path(sys.argv[1])).write("model") as draft:
    (draft / "inner").mkdir()
    (draft / "inner" / "file").write_text("half")
    print("writing", flush=True)
    time.sleep(1000)
"""


def test_drafts_are_swept_when_their_writer_is_dead_and_only_then(artifacts: ArtifactStore) -> None:
    """However old they look: the clock of the machine may be set while somebody writes."""
    (artifacts.root / "tmp" / "deleted-0123" / "inner").mkdir(parents=True)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(artifacts.root)],
            env={**os.environ, "PYTHONPATH": SOURCE},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout is not None
        with writer.stdout:
            assert writer.stdout.readline() == "writing\n"
    two_days_ago = time.time() - 2 * 24 * 3600
    for path in (artifacts.root / "tmp").rglob("*"):
        os.utime(path, (two_days_ago, two_days_ago))
    try:
        ArtifactStore(artifacts.root)
        assert len([name for name in drafts(artifacts) if name.startswith("model-") and ".lock" not in name]) == 2
        assert "deleted-0123" not in drafts(artifacts)
        writers[0].kill()
        writers[0].wait()
        ArtifactStore(artifacts.root)
        assert len([name for name in drafts(artifacts) if ".lock" not in name]) == 1
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    ArtifactStore(artifacts.root)
    assert drafts(artifacts) == []
