"""`homeroom pack`, from a small repository and a package index in a folder."""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock

from homeroom.app.home import Homeroom
from homeroom.app.pack import Options, Pack, make_pack, parse_models
from homeroom.app.packing import install
from homeroom.app.packing.locks import Pin, find_checkout, locked
from homeroom.app.packing.target import Target, choose_target, required_system
from homeroom.app.packing.wheels import Wheel, resolve, unmet
from homeroom.errors import ConfigError, ConflictError, HomeroomError, ProviderError, StorageError
from homeroom.models import tiny
from homeroom.models.pull import installed
from homeroom.settings import load_settings
from tests.app import material
from tests.app.packages import fill_index, make_checkout, make_wheel, sha256, use_index

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
        tar.extractall(tmp_path, filter="data")
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


# Other machines

LINUX, MAC = choose_target(None, ["manylinux_2_28_x86_64"]), choose_target("3.12", ["macosx_14_0_arm64"])


def test_what_only_the_other_machine_needs_is_added_although_the_lock_lacks_it(place: Place) -> None:
    pins = locked(place.checkout, "demo")
    linux = {wheel.name: wheel.locked for wheel in resolve(pins, ["alpha"], ("demo",), LINUX, None)}
    assert linux == {"alpha": True, "beta": True, "torch": False}
    mac = {wheel.name: wheel.locked for wheel in resolve(pins, ["alpha"], ("demo",), MAC, None)}
    assert mac == {**linux, "gamma": False}


def test_what_has_no_wheel_for_the_other_machine_is_named_all_at_once(place: Place) -> None:
    only_here = {
        name: make_wheel(place.index, name, "1.0", tag="cp311-cp311-manylinux_2_17_x86_64") for name in ("delta", "epsilon")
    }
    pins = [*locked(place.checkout, "demo"), *(Pin(name, "1.0", frozenset({sha256(p)})) for name, p in only_here.items())]
    assert "delta" in {w.name for w in resolve(pins, [], (), choose_target("3.11", ["manylinux_2_28_x86_64"]), None)}
    with pytest.raises(ConfigError, match=r"Python 3\.12 on macOS arm64 of: .*") as caught:
        resolve(pins, [], (), MAC, None)
    assert caught.value.code == "pack-unavailable"
    assert "delta==1.0" in caught.value.message and "epsilon==1.0" in caught.value.message
    assert "alpha" not in caught.value.message


def wheel(name: str, version: str, *requires: str) -> Wheel:
    return Wheel(name, version, "", "", "", False, requires)


def test_extras_and_markers_are_followed_and_conflicts_told() -> None:
    found = {"a": wheel("a", "1.0", "b[fast]>=1", "never; extra == 'x'"), "b": wheel("b", "1.5", "c>2,<4; extra == 'fast'")}
    assert unmet(found, ["a", "homeroom[demo]", "d; extra == 'demo'"], ("demo",), LINUX) == ["c<4,>2", "d"]
    found["c"] = wheel("c", "4.0")
    with pytest.raises(ConfigError, match=r"c 4\.0 .* c<4,>2"):
        unmet(found, ["a"], (), LINUX)


def test_pip_is_told_of_another_machine_only_when_it_is_another() -> None:
    assert choose_target(None, []).pip_flags == []
    assert choose_target(HERE, []).here
    flags = choose_target("3.13", ["manylinux_2_18_aarch64"]).pip_flags
    assert flags[:4] == ["--implementation", "cp", "--python-version", "3.13"]
    assert flags[5::2] == ["manylinux_2_18_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64"]
    assert (MAC.system, MAC.machine, MAC.markers["sys_platform"], MAC.markers["python_version"]) == (
        "Darwin",
        "arm64",
        "darwin",
        "3.12",
    )
    assert str(MAC) == "Python 3.12 on macOS arm64"


@pytest.mark.parametrize(
    ("python", "platforms", "code"),
    [
        ("3.10", [], "pack-platform"),
        ("4", [], "pack-platform"),
        ("3.12.1", [], "pack-platform"),
        (None, ["plan9"], "pack-platform"),
        (None, ["manylinux_2_28_x86_64", "macosx_14_0_arm64"], "pack-platform"),
        (None, ["win_amd64"], "platform"),
        (None, ["win32"], "platform"),
    ],
)
def test_a_machine_that_is_none_is_refused(python: str | None, platforms: list[str], code: str) -> None:
    with pytest.raises(HomeroomError) as caught:
        choose_target(python, platforms)
    assert caught.value.code == code


def test_the_oldest_system_is_that_of_the_newest_wheel_at_its_oldest_platform() -> None:
    assert required_system(["a-1-py3-none-any"]) == {}
    two = ["a-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_28_x86_64", "b-1-cp311-cp311-manylinux_2_24_x86_64"]
    assert required_system(two) == {"glibc": "2.24"}
    assert required_system(["a-1-cp310-abi3-macosx_13_0_arm64", "b-1-cp311-cp311-macosx_14_1_arm64"]) == {"macos": "14.1"}


def test_the_real_locks_can_be_read() -> None:
    pins = locked(find_checkout(), "demo")
    assert {"flask", "xllamacpp", "torch"} <= {pin.name for pin in pins}
    assert [pin.name for pin in pins if not pin.hashes] == ["torch"]
    assert isinstance(choose_target(None, ()), Target)
