"""The locked packages of a checkout: names, versions and the hashes that their files may have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import homeroom
from homeroom.errors import ConfigError

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s\\;]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pin:
    """One package at one version; ``hashes`` is empty where the wheel depends on the machine and no lock can name it."""

    name: str
    version: str
    hashes: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def find_checkout(folder: Path | None = None) -> Path:
    """The copy of Homeroom's repository that this program runs from, or that the current folder is.

    Raises:
        ConfigError: ``pack-checkout``: an installed Homeroom has neither the locks nor the documentation.
    """
    candidates = [folder] if folder else [Path(homeroom.__file__).resolve().parents[2], Path.cwd()]
    for candidate in candidates:
        if (candidate / "requirements" / "demo.lock").is_file() and (candidate / "pyproject.toml").is_file():
            return candidate
    raise ConfigError(
        "A pack is made from a copy of Homeroom's repository, which has the locked packages; this Homeroom was installed "
        "without it. Go there and run: .venv/bin/homeroom pack FOLDER. A pack that you have may be copied as it is",
        code="pack-checkout",
    )


def locked(checkout: Path, extra: str) -> list[Pin]:
    """The locked set ``extra`` (``demo`` or ``dev``), and PyTorch at the tested version.

    Raises:
        ConfigError: ``pack-checkout``, when a file is missing or holds no pins.
    """
    pins = _read(checkout / "requirements" / f"{extra}.lock")
    if any(not pin.hashes for pin in pins):
        raise ConfigError(
            f"'requirements/{extra}.lock' has packages without a hash. Write it anew: make lock", code="pack-checkout"
        )
    return [*pins, *_read(checkout / "constraints" / "tested.txt")]


def _read(path: Path) -> list[Pin]:
    try:
        text = path.read_text("utf-8").replace("\\\n", " ")
    except FileNotFoundError:
        text = ""
    pins = [Pin(m[1], m[2], frozenset(_HASH.findall(line))) for line in text.splitlines() if (m := _PIN.match(line))]
    if not pins:
        raise ConfigError(
            f"{str(path)!r} is missing or holds no packages. Get a whole copy of the repository, or run: make lock",
            code="pack-checkout",
        )
    return pins
