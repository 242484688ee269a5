"""The machine that a pack is for: which wheels it takes, and how it evaluates the markers of requirements."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from homeroom.errors import ConfigError

OLDEST_PYTHON = (3, 11)
_TAG = re.compile(
    r"(?P<kind>manylinux_2_(?P<glibc>\d+)|manylinux2014|linux|macosx_\d+_\d+|win)_(?P<machine>x86_64|aarch64|arm64|amd64)"
    r"|win32"
)
_EXAMPLES = "manylinux_2_28_x86_64, manylinux_2_28_aarch64, macosx_14_0_arm64"
_OLDEST_GLIBC = 5  # manylinux1


@dataclass(frozen=True, slots=True)
class Target:
    """A Python version on a kind of machine.

    Attributes:
        python: ``3.11``: wheels with compiled parts are for one minor version.
        system: As `platform.system` says it: ``Linux`` or ``Darwin``.
        machine: As `platform.machine` says it there, e.g. ``x86_64``.
        tags: pip's platform tags, newest first; empty when it is a machine like this one.
        here: Whether this very Python on this machine could use the pack.
    """

    python: str
    system: str
    machine: str
    tags: tuple[str, ...]
    here: bool

    @property
    def pip_flags(self) -> list[str]:
        """What tells pip to choose wheels for that machine in place of this one."""
        if self.here:
            return []
        flags = ["--implementation", "cp", "--python-version", self.python]
        return [*flags, *(part for tag in self.tags for part in ("--platform", tag))]

    @property
    def markers(self) -> dict[str, str]:
        """The environment in which that machine evaluates markers; pip itself only ever takes this machine's."""
        return {
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_release": "",
            "platform_system": self.system,
            "platform_version": "",
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "implementation_version": f"{self.python}.0",
            "sys_platform": "darwin" if self.system == "Darwin" else "linux",
        }

    def __str__(self) -> str:
        system = {"Darwin": "macOS"}.get(self.system, self.system)
        return f"Python {self.python} on {system} {self.machine}"


def choose_target(python: str | None, platforms: Sequence[str]) -> Target:
    """The target that pip's flags describe; this machine where they say nothing.

    Args:
        python: ``3.12``, or None for the Python that runs.
        platforms: pip's platform tags, all of one system and machine.

    Raises:
        ConfigError: ``pack-platform`` for a tag or version that is unknown or not supported, ``platform`` for Windows.
    """
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = python or here
    match = re.fullmatch(r"3\.(\d{1,2})", wanted)
    if not match or (3, int(match.group(1))) < OLDEST_PYTHON:
        raise ConfigError(
            f"--python-version {wanted!r} is not 3.11 or newer, written as 3.12. Try: homeroom pack FOLDER --python-version 3.12",
            code="pack-platform",
        )
    kinds = {_system_of(tag) for tag in platforms} or {(platform.system(), platform.machine())}
    if len(kinds) > 1:
        raise ConfigError(
            f"--platform {' --platform '.join(platforms)}: these are machines of several kinds, and a pack is for one. Make a "
            "pack for each: homeroom pack FOLDER --platform TAG",
            code="pack-platform",
        )
    ((system, machine),) = kinds
    tags = tuple(dict.fromkeys(tag for given in platforms for tag in _compatible(given)))
    return Target(wanted, system, machine, tags, here=not platforms and wanted == here)


def _system_of(tag: str) -> tuple[str, str]:
    match = _TAG.fullmatch(tag)
    if match is None:
        raise ConfigError(
            f"--platform {tag!r} is none of pip's platform tags that Homeroom runs on. Examples: {_EXAMPLES}",
            code="pack-platform",
        )
    if tag.startswith("win"):
        raise ConfigError(
            f"--platform {tag!r}: Homeroom does not run on Windows itself. Make a pack for Linux and install it in WSL 2: "
            "homeroom pack FOLDER --platform manylinux_2_28_x86_64",
            code="platform",
        )
    return ("Darwin" if tag.startswith("macosx") else "Linux"), match["machine"]


def _compatible(tag: str) -> list[str]:
    """The tag and the older ones that such a machine takes too; pip adds them itself for macOS and manylinux2014 only."""
    match = _TAG.fullmatch(tag)
    if match is None or match["glibc"] is None:
        return [tag]
    machine, oldest = match["machine"], 17 if match["machine"] == "aarch64" else _OLDEST_GLIBC
    newer = [f"manylinux_2_{glibc}_{machine}" for glibc in range(int(match["glibc"]), oldest - 1, -1)]
    return [*newer, f"manylinux2014_{machine}", f"linux_{machine}"]


def required_system(wheel_names: Sequence[str]) -> dict[str, str]:
    """The oldest system that takes every one of these wheels: ``{"glibc": "2.28"}``, ``{"macos": "14.0"}``, or nothing.

    A wheel that names several platforms runs from the oldest of them on.
    """
    least: dict[str, tuple[int, int]] = {}
    for name in wheel_names:
        for system, pattern in (("glibc", r"manylinux_(\d+)_(\d+)"), ("macos", r"macosx_(\d+)_(\d+)")):
            found = [(int(major), int(minor)) for major, minor in re.findall(pattern, name.rpartition("-")[2])]
            if system == "glibc" and "manylinux2014" in name:
                found.append((2, 17))
            if found:
                least[system] = max(least.get(system, (0, 0)), min(found))
    return {system: f"{major}.{minor}" for system, (major, minor) in least.items()}
