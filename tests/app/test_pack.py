"""`homeroom pack`, from a small repository and a package index in a folder."""

from __future__ import annotations

import base64
import json
import shutil
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, NamedTuple
from urllib.parse import unquote

import pytest
from filelock import FileLock

from homeroom.app.home import Homeroom
from homeroom.app.pack import Options, Pack, make_pack, parse_models
from homeroom.app.packing import install
from homeroom.app.packing.locks import find_checkout, locked
from homeroom.errors import ConfigError, ConflictError, ProviderError, StorageError
from homeroom.models import tiny
from homeroom.models.pull import installed
from homeroom.settings import load_settings
from tests.app import material
from tests.app.packages import fill_index, make_checkout, make_wheel, sha256, use_index

pytestmark = pytest.mark.slow  # many processes, or much arithmetic

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


class Place(NamedTuple):
    index: Path
    checkout: Path
    home: Homeroom
    root: Path

    def options(self, name: str = "offline", **more: object) -> Options:
        return Options(self.root / name, checkout=self.checkout, **more)

    @property
    def making(self) -> Path:
        return self.root / ".offline.packing"


def silent(*_: object) -> None:
    pass


def pack(place: Place, options: Options | None = None, progress: Callable[..., None] = silent) -> Pack:
    return make_pack(place.home, options or place.options(), note=silent, progress=progress)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return material.tiny_cache(tmp_path_factory)


@contextmanager
def made_place(root: Path, cache: Path) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        material.use_tiny(monkeypatch, cache)
        monkeypatch.setenv("HOMEROOM_HOME", str(root / "home"))
        use_index(monkeypatch, root / "index")
        wheels = fill_index(root / "index")
        checkout = make_checkout(root / "checkout", {name: wheels[name] for name in ("alpha", "beta")})
        (root / "made").mkdir()
        with Homeroom.open(load_settings()) as home:
            yield Place(root / "index", checkout, home, root / "made")


@pytest.fixture
def place(tmp_path: Path, cache: Path) -> Iterator[Place]:
    with made_place(tmp_path, cache) as place:
        yield place


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[tuple[Place, Pack]]:
    """One finished pack with its archive, for the tests that only look."""
    with made_place(tmp_path_factory.mktemp("packed"), cache) as place:
        yield place, pack(place, place.options(archive=True))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# What is in a pack


def test_a_pack_holds_the_locked_wheels_the_model_and_a_manifest_of_everything(packed: tuple[Place, Pack]) -> None:
    place, made = packed
    folder = place.root / "offline"
    assert (made.folder, made.packages, made.models) == (folder, 5, (tiny.NAME,))
    assert [name.split("-")[0] for name in names(folder / "wheels")] == ["alpha", "beta", "homeroom", "pip", "torch"]
    files = {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*") if path.is_file()}
    assert files.pop("SHA256SUMS") == made.manifest_sha256
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    assert dict(reversed(line.split("  ")) for line in lines) == files
    assert made.files == len(files) == len(lines)
    requirements = (folder / "requirements.txt").read_text().splitlines()
    assert f"torch==0.1+cpu --hash=sha256:{sha256(place.index / 'torch-0.1+cpu-py3-none-any.whl')}" in requirements
    assert sorted(line.split("==")[0] for line in requirements) == ["alpha", "beta", "homeroom", "pip", "torch"]
    facts = json.loads((folder / "pack.json").read_text())
    assert facts["target"]["python"] == HERE
    assert facts["installed_bytes"] > place.home.base_files().gguf.stat().st_size
    assert (folder / "docs" / "index.md").exists()
    assert f"want='{HERE}'" in (folder / "install.sh").read_text()
    assert names(place.root) == ["offline", "offline.tar"], "nothing else is left beside it"


def test_licences_of_packages_and_models_are_listed_and_what_no_lock_pins_is_marked(packed: tuple[Place, Pack]) -> None:
    listed = (packed[1].folder / "LICENCES.txt").read_text().splitlines()
    lines = {line.split()[0]: line for line in listed if line[:1] == " "}
    assert set(lines) == {"alpha", "beta", "homeroom", "pip", "torch", tiny.NAME}
    assert "MIT" in lines["alpha"] and "Apache-2.0" in lines["homeroom"]
    assert [name for name, line in lines.items() if "not locked" in line] == ["pip", "torch"]


def test_no_address_and_no_path_of_this_machine_is_in_a_pack(packed: tuple[Place, Pack]) -> None:
    place, made = packed
    unwanted = [str(place.root.parent).encode(), place.index.as_uri().encode(), str(Path.home()).encode() + b"/"]
    for path in (p for p in made.folder.rglob("*") if p.is_file()):
        contents = [path.read_bytes()]
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as archive:
                contents = [archive.read(name) for name in archive.namelist()]
        assert not [text for text in unwanted if any(text in content for content in contents)], path.name


def test_the_installer_of_a_pack_accepts_it_and_makes_its_model_usable(packed: tuple[Place, Pack], tmp_path: Path) -> None:
    place, made = packed
    files = install.verify(made.folder)
    install.check_machine(json.loads((made.folder / "pack.json").read_text())["target"], install.this_machine())
    assert install.copy_models(made.folder, files, tmp_path / "new") == len([n for n in files if n.startswith("models/")])
    found = installed(tiny.NAME, tmp_path / "new")
    assert found is not None and found.identity == place.home.base_files().identity
    assert install.copy_models(made.folder, files, tmp_path / "new") == 0
    found.gguf.chmod(0o644)
    found.gguf.write_bytes(b"damaged")
    assert install.copy_models(made.folder, files, tmp_path / "new") == 1
    assert installed(tiny.NAME, tmp_path / "new") is not None


def test_an_archive_holds_the_pack_under_its_name_and_nobody_s_name(packed: tuple[Place, Pack], tmp_path: Path) -> None:
    place, made = packed
    assert made.archive == place.root / "offline.tar"
    with tarfile.open(made.archive) as tar:
        assert {(entry.uid, entry.uname, entry.gname) for entry in tar} == {(0, "", "")}
        tar.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # since Python 3.11.4
    assert install.verify(tmp_path / "offline") == install.verify(made.folder)
    (place.root / "other.tar").write_bytes(b"somebody's")
    with pytest.raises(ConflictError, match=r"other\.tar"):
        pack(place, place.options("other", archive=True))
    (place.root / "other.tar").unlink()


def test_models_are_named_one_by_one_or_with_commas() -> None:
    assert (parse_models(()), parse_models(("none",)), parse_models(("a,b", "a"))) == (None, (), ("a", "b"))
    with pytest.raises(ConfigError) as caught:
        parse_models(("none", "a"))
    assert caught.value.code == "pack-models"


# Interrupted, disturbed, refused


def interrupted(place: Place, at: str) -> None:
    def progress(_: int, __: int, message: str) -> None:
        if message.startswith(at):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(place, progress=progress)
    assert not (place.root / "offline").exists()


def test_an_interrupted_pack_goes_on_with_the_right_files_and_only_those(place: Place) -> None:
    interrupted(place, "copying")
    wheels = place.making / "wheels"
    kept = (wheels / "beta-2.0-py3-none-any.whl").stat().st_ino
    (wheels / "alpha-1.0-py3-none-any.whl").write_bytes(b"half of it")
    (wheels / "stray-1.0-py3-none-any.whl").write_bytes(b"of another choice")
    (place.making / "models").mkdir(exist_ok=True)
    (place.making / "models" / "stray").write_bytes(b"of another choice")
    made = pack(place)
    wheels = made.folder / "wheels"
    assert (wheels / "beta-2.0-py3-none-any.whl").stat().st_ino == kept
    assert sha256(wheels / "alpha-1.0-py3-none-any.whl") == sha256(place.index / "alpha-1.0-py3-none-any.whl")
    assert not [path.name for path in made.folder.rglob("stray*")]
    install.verify(made.folder)
    assert names(place.root) == ["offline"]


def test_a_folder_that_holds_something_is_refused_and_an_empty_one_taken(place: Place) -> None:
    (place.root / "offline").mkdir()
    assert pack(place, place.options(models=())).models == ()
    assert not (place.root / "offline" / "models").exists()
    with pytest.raises(ConflictError) as caught:
        pack(place)
    assert caught.value.code == "file-exists"


def test_a_pack_that_another_process_makes_is_left_alone(place: Place) -> None:
    with FileLock(place.root / ".offline.packing.lock"):
        with pytest.raises(ConflictError) as caught:
            pack(place)
    assert caught.value.code == "pack-running"


def test_a_disk_that_is_too_full_is_told_before_anything_is_fetched(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=1000))
    told: list[str] = []
    with pytest.raises(StorageError) as caught:
        make_pack(place.home, place.options(), note=told.append, progress=silent)
    assert (caught.value.code, "0 MB are free" in caught.value.message) == ("no-space", True)
    assert "5 packages and 1 models" in told[-1]
    assert [name.split("-")[0] for name in names(place.making / "wheels")] == ["homeroom"]


def test_a_wheel_that_is_not_the_locked_one_is_refused(place: Place) -> None:
    make_wheel(place.index, "alpha", "1.0", ["beta"], said="something else")
    with pytest.raises(ProviderError) as caught:
        pack(place)
    assert caught.value.code == "hash-mismatch"
    assert not (place.root / "offline").exists()


def test_without_a_network_the_index_is_named_in_one_line(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(ProviderError) as caught:
        pack(place)
    assert (caught.value.code, "127.0.0.1" in caught.value.message) == ("no-network", False)


class PrivateIndex(BaseHTTPRequestHandler):
    """A package index of the kind that companies have: nothing without a password."""

    folder: Path
    served: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"user:secret-password").decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.end_headers()
            return
        name = self.path.strip("/").rpartition("/")[2]
        if self.path.startswith("/simple/"):
            links = [p for p in sorted(self.folder.glob("*.whl")) if p.name.split("-")[0] == name]
            body = "".join(f'<a href="/files/{p.name}#sha256={sha256(p)}">{p.name}</a>' for p in links).encode()
            self.answer(200 if links else 404, body, "text/html")
        else:
            self.served.append(unquote(name))
            self.answer(200, (self.folder / unquote(name)).read_bytes(), "application/octet-stream")

    do_HEAD = do_GET

    def answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_an_index_with_a_password_works_as_it_does_for_pip_and_stays_out_of_the_pack(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setattr(PrivateIndex, "folder", place.index, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), PrivateIndex)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://user:secret-password@127.0.0.1:{server.server_port}/simple")
    try:
        made = pack(place, place.options(models=()))
    finally:
        server.shutdown()
        server.server_close()
    install.verify(made.folder)
    assert {name.split("-")[0] for name in PrivateIndex.served} == {"alpha", "beta", "pip", "torch"}
    for path in (p for p in made.folder.rglob("*") if p.is_file()):
        assert b"secret-password" not in path.read_bytes() and b"127.0.0.1" not in path.read_bytes(), path.name


def test_a_pack_wants_a_whole_copy_of_the_repository(place: Place, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="install") as caught:
        find_checkout(tmp_path / "nothing")
    assert caught.value.code == "pack-checkout"
    (place.checkout / "requirements" / "demo.lock").write_text("alpha==1.0\n")
    with pytest.raises(ConfigError, match="make lock"):
        locked(place.checkout, "demo")
    (place.checkout / "requirements" / "demo.lock").write_text("# nothing\n")
    with pytest.raises(ConfigError, match="make lock"):
        locked(place.checkout, "demo")


def test_a_homeroom_that_cannot_be_built_ends_in_one_line(place: Place) -> None:
    (place.checkout / "pyproject.toml").write_text("[project]\nname = 1\n")
    with pytest.raises(ConfigError) as caught:
        pack(place)
    assert (caught.value.code, "\n" in caught.value.message) == ("pack-build", False)
