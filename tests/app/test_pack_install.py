"""The installer of a pack: what it refuses, and that it needs nothing but Python."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from homeroom.app.packing import install
from homeroom.app.packing.install import Refused, check_machine, clean_environment, main, prepare_folder, this_machine, verify

SOURCE = Path(install.__file__).parent
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A pack without packages: enough for everything that comes before they are installed."""
    folder = tmp_path / "offline"
    (folder / "models" / "names").mkdir(parents=True)
    (folder / "models" / "names" / "a.json").write_text("{}")
    shutil.copy(SOURCE / "install.py", folder)
    (folder / "install.sh").write_text((SOURCE / "install.sh").read_text().replace("@PYTHON@", HERE))
    target = {key: value for key, value in this_machine().items() if key in ("python", "system", "machine")}
    (folder / "pack.json").write_text(json.dumps({"target": target, "installed_bytes": 1000, "packages": 0, "models": []}))
    seal(folder)
    return folder


def seal(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder).as_posix()}\n" for p in files]
    (folder / "SHA256SUMS").write_text("".join(lines))


def sh(pack: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.defpath, **environment}
    return subprocess.run(
        ["sh", str(pack / "install.sh"), *map(str, arguments)], env=env, capture_output=True, text=True, check=False
    )


def one_line(text: str) -> str:
    (line,) = text.splitlines()
    assert line.startswith("error: ")
    return line


def test_a_changed_or_missing_file_is_named_and_nothing_is_made(pack: Path, tmp_path: Path) -> None:
    verify(pack)
    (pack / "models" / "names" / "a.json").write_text("[]")
    told = sh(pack, tmp_path / "app", PYTHON=sys.executable)
    assert (told.returncode, "'models/names/a.json' was changed" in one_line(told.stderr)) == (2, True)
    (pack / "models" / "names" / "a.json").unlink()
    with pytest.raises(Refused, match="is missing since"):
        verify(pack)
    (pack / "SHA256SUMS").unlink()
    with pytest.raises(Refused, match="SHA256SUMS is missing"):
        verify(pack)
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize("line", ["0" * 64 + "  ../outside", "0" * 64 + "  /etc/passwd", "nonsense", ""])
def test_a_manifest_that_leads_outside_is_refused(pack: Path, line: str) -> None:
    (pack / "SHA256SUMS").write_text(line + "\n" if line else "")
    with pytest.raises(Refused, match="not the manifest of a pack"):
        verify(pack)


LINUX = {"python": "3.11", "system": "Linux", "machine": "x86_64", "glibc": "2.36", "macos": ""}


@pytest.mark.parametrize(
    ("target", "here", "said"),
    [
        ({}, {}, ""),
        ({"glibc": "2.28"}, {}, ""),
        ({"glibc": "2.40"}, {}, "needs the C library glibc 2.40 or newer, and this machine has 2.36"),
        ({"glibc": "2.4"}, {"glibc": ""}, "this machine has another one"),
        ({"python": "3.12"}, {}, "is for Python 3.12 on Linux x86_64, and this is Python 3.11"),
        ({"machine": "aarch64"}, {}, "is for Python 3.11 on Linux aarch64"),
        ({"system": "Darwin", "macos": "14.0"}, {"system": "Darwin", "macos": "13.6"}, "needs macOS 14.0 or newer"),
        ({"system": "Darwin", "macos": "14.0"}, {"system": "Darwin", "macos": "15.1"}, ""),
    ],
)
def test_a_machine_that_the_wheels_are_not_for_is_refused(target: dict[str, str], here: dict[str, str], said: str) -> None:
    wanted = {**{k: LINUX[k] for k in ("python", "system", "machine")}, **target}
    if not said:
        check_machine(wanted, {**LINUX, **here})
        return
    with pytest.raises(Refused) as caught:
        check_machine(wanted, {**LINUX, **here})
    assert said in str(caught.value)


def test_a_pack_for_another_python_is_refused_before_the_folder_is_made(pack: Path, tmp_path: Path, capsys: object) -> None:
    facts = json.loads((pack / "pack.json").read_text())
    facts["target"]["machine"] = "pdp11"
    (pack / "pack.json").write_text(json.dumps(facts))
    seal(pack)
    assert main([str(tmp_path / "app")], pack) == 2
    assert not (tmp_path / "app").exists()


def test_a_folder_of_somebody_else_is_refused_and_one_begun_before_taken_again(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "app", "a" * 64, 1000)
    (tmp_path / "app" / "pyvenv.cfg").write_text("")
    prepare_folder(tmp_path / "app", "b" * 64, 1 << 62)  # an upgrade, whatever the disk: what it needs is mostly there
    assert json.loads((tmp_path / "app" / "homeroom-pack.json").read_text()) == {"manifest": "b" * 64}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("")
    for taken in (tmp_path / "other", tmp_path / "other" / "letter.txt"):
        with pytest.raises(Refused, match="exists and is not empty"):
            prepare_folder(taken, "a" * 64, 1000)
    with pytest.raises(Refused, match="are free"):
        prepare_folder(tmp_path / "new", "a" * 64, 1 << 62)
    with pytest.raises(Refused, match="cannot be made"):
        prepare_folder(tmp_path / "other" / "letter.txt" / "app", "a" * 64, 1000)


def test_a_folder_refused_for_its_disk_may_be_used_once_there_is_space(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        prepare_folder(tmp_path / "new", "a" * 64, 1 << 62)
    prepare_folder(tmp_path / "new", "a" * 64, 1000)


def test_pip_sees_nothing_of_the_user_s_configuration() -> None:
    kept = clean_environment({"PIP_FIND_LINKS": "x", "PIP_CONFIG_FILE": "y", "PYTHONPATH": "z", "VIRTUAL_ENV": "v", "HOME": "h"})
    assert kept == {"HOME": "h", "PIP_CONFIG_FILE": os.devnull}


def test_a_model_that_is_named_already_is_left_alone_and_the_name_comes_last(pack: Path, tmp_path: Path) -> None:
    (pack / "models" / "bases" / "b-t1").mkdir(parents=True)
    for name in ("base.json", "model.gguf"):
        (pack / "models" / "bases" / "b-t1" / name).write_text(name)
    seal(pack)
    files = verify(pack)
    (pack / "models" / "names" / "a.json").write_text("changed while copying")
    with pytest.raises(Refused, match="was changed while it was copied"):
        install.copy_models(pack, files, tmp_path / "cache")
    there = {path.relative_to(tmp_path / "cache").as_posix() for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert there == {"bases/b-t1/base.json", "bases/b-t1/model.gguf"}
    (tmp_path / "cache" / "names" / "a.json").write_text("the user's own")
    assert install.copy_models(pack, files, tmp_path / "cache") == 0


def test_interrupted_it_says_how_to_go_on(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(_: Path, __: Path) -> int:
        raise KeyboardInterrupt

    assert main([str(tmp_path / "app")], pack, stopped) == 130
    assert "Run the same command again" in capsys.readouterr().err


def test_the_script_wants_the_right_python_and_a_folder(pack: Path, tmp_path: Path) -> None:
    stub = tmp_path / "bin" / "python3"
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\necho 3.8\n")
    stub.chmod(0o755)
    needed = {"PATH": f"{stub.parent}:{tmp_path / 'tools'}"}
    (tmp_path / "tools").mkdir()
    for tool in ("sh", "dirname"):
        (tmp_path / "tools" / tool).symlink_to(shutil.which(tool) or tool)
    told = sh(pack, tmp_path / "app", **needed)
    assert told.returncode == 2
    assert f"needs Python {HERE} exactly, python3 is 3.8. " in one_line(told.stderr)
    stub.unlink()
    assert "and there is no Python" in one_line(sh(pack, tmp_path / "app", **needed).stderr)
    told = sh(pack, PYTHON=sys.executable)
    assert (told.returncode, told.stderr.startswith("usage: sh install.sh DIR")) == (2, True)


def test_the_installer_needs_nothing_but_python(pack: Path) -> None:
    command = [sys.executable, "-I", "-S", str(pack / "install.py"), "--help"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=pack, check=False)
    assert (told.returncode, told.stderr.startswith("usage:")) == (2, True)
