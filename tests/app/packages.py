"""A package index in a folder, and a copy of a repository whose locks name what is in it: small enough to pack in a second."""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

ANY = "py3-none-any"


def make_wheel(folder: Path, name: str, number: str, requires: Sequence[str] = (), *, tag: str = ANY, said: str = "") -> Path:
    """An installable wheel with one module, which says ``said``."""
    folder.mkdir(parents=True, exist_ok=True)
    path, info = folder / f"{name}-{number}-{tag}.whl", f"{name}-{number}.dist-info"
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {number}\nLicense-Expression: MIT\n"
    files = {
        f"{name}.py": f"SAID = {said!r}\n",
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {text}\n" for text in requires),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = [f"{name},sha256={_digest(text)},{len(text.encode())}\n" for name, text in files.items()]
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": "".join(record) + f"{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(file, (2026, 1, 1, 0, 0, 0)), text)
    return path


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fill_index(folder: Path) -> dict[str, Path]:
    """What the small checkout locks, PyTorch, pip, and what only macOS needs."""
    return {
        "alpha": make_wheel(folder, "alpha", "1.0", ["beta>=2", "gamma>=1; sys_platform == 'darwin'"]),
        "beta": make_wheel(folder, "beta", "2.0"),
        "gamma": make_wheel(folder, "gamma", "1.5"),
        "torch": make_wheel(folder, "torch", "0.1+cpu", ["beta"]),
        "pip": make_wheel(folder, "pip", version("pip")),
    }


def make_checkout(folder: Path, locked: dict[str, Path]) -> Path:
    """A copy of a repository of another Homeroom, with ``locked`` (name to wheel) in its lock."""
    (folder / "requirements").mkdir(parents=True)
    (folder / "constraints").mkdir()
    (folder / "docs").mkdir()
    package = folder / "src" / "homeroom"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (folder / "docs" / "index.md").write_text("# Documentation\n")
    (folder / "LICENSE").write_text("Apache-2.0\n")
    (folder / "README.md").write_text("# Homeroom\n")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "homeroom"\nversion = "9.0"\nlicense = "Apache-2.0"\ndependencies = ["alpha"]\n'
        '[project.optional-dependencies]\ndemo = ["torch"]\ndev = ["nothing-has-this"]\n'
        '[tool.setuptools.packages.find]\nwhere = ["src"]\n'
    )
    (folder / "constraints" / "tested.txt").write_text("# tested\ntorch==0.1\n")
    lines = [f"{name}=={path.name.split('-')[1]} \\\n    --hash=sha256:{sha256(path)}\n" for name, path in locked.items()]
    (folder / "requirements" / "demo.lock").write_text("".join(lines))
    return folder


def use_index(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let pip see that folder and nothing else."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
