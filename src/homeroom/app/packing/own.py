"""Homeroom's own wheel, built from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from email.message import Message
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

from homeroom.errors import ConfigError

_PARTS = ("pyproject.toml", "README.md", "LICENSE", "src")
_UNWANTED = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.pyc")
_TIMEOUT_S = 600


def build_wheel(checkout: Path, folder: Path) -> Path:
    """Build Homeroom's wheel into ``folder`` and return it.

    The sources are copied first: a build leaves files beside what it builds, and takes those of earlier builds for sources.

    Raises:
        ConfigError: ``pack-build``, with the last line of the build.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="homeroom-build-") as temporary:
        source, out = Path(temporary) / "source", Path(temporary) / "out"
        source.mkdir()
        for name in _PARTS:
            part = checkout / name
            if part.is_dir():
                shutil.copytree(part, source / name, ignore=_UNWANTED)
            elif part.exists():
                shutil.copyfile(part, source / name)
        # With the environment's own setuptools nothing is fetched.
        isolation = ["--no-build-isolation"] if find_spec("setuptools") else []
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-cache-dir", *isolation]
        done = subprocess.run(
            [*command, "--wheel-dir", str(out), str(source)],
            env={**os.environ, "SOURCE_DATE_EPOCH": "315532800"},  # the same sources give the same file
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        built = sorted(out.glob("*.whl")) if done.returncode == 0 else []
        if len(built) != 1:
            said = done.stderr.strip().splitlines() or ["no message"]
            raise ConfigError(
                f"Homeroom's own wheel could not be built: {said[-1].strip()!r}. See all of it: pip wheel --no-deps {checkout}",
                code="pack-build",
            )
        for old in folder.glob(f"{built[0].name.split('-')[0]}-*.whl"):
            old.unlink()
        return Path(shutil.move(built[0], folder / built[0].name))


def metadata(wheel: Path) -> Message:
    """The ``METADATA`` of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1)
        return Parser().parsestr(archive.read(name).decode("utf-8", "replace"))


def unpacked_bytes(wheel: Path) -> int:
    """Size of what a wheel holds."""
    with zipfile.ZipFile(wheel) as archive:
        return sum(entry.file_size for entry in archive.infolist())
