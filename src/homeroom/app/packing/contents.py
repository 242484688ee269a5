"""What lies beside the wheels and models of a pack: documentation, licences, the installer, facts and the manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from homeroom import __version__
from homeroom.app.packing.bases import PackedBase
from homeroom.app.packing.install import FACTS, MANIFEST
from homeroom.app.packing.locks import canonical
from homeroom.app.packing.own import metadata, unpacked_bytes
from homeroom.app.packing.target import Target, required_system
from homeroom.models.prepared import file_sha256

_SCRIPTS = ("install.py", "install.sh", "install.ps1")
_BESIDE = ("README.md", "CHANGELOG.md", "LICENSE", "docs")
_COMPILED = 1.3  # Python writes compiled copies of what it imports


@dataclass(frozen=True, slots=True)
class Contents:
    """What a pack holds.

    Attributes:
        target: The machine it is for.
        extra: ``demo`` or ``dev``.
        wheels: Every wheel, in the pack.
        locked: Names of the packages whose hash the lock pins.
        bases: The models.
    """

    target: Target
    extra: str
    wheels: tuple[Path, ...]
    locked: frozenset[str]
    bases: tuple[PackedBase, ...]


def write_contents(contents: Contents, checkout: Path, folder: Path) -> None:
    """Everything but the manifest, anew."""
    for name in _BESIDE:
        part, target = checkout / name, folder / name
        if part.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(part, target)
        elif part.is_file():
            shutil.copyfile(part, target)
    scripts = resources.files("homeroom.app.packing")
    for name in _SCRIPTS:
        text = scripts.joinpath(name).read_text("utf-8").replace("@PYTHON@", contents.target.python)
        (folder / name).write_text(text, "utf-8")
    (folder / "install.sh").chmod(0o755)
    (folder / "requirements.txt").write_text("".join(_requirements(contents)), "utf-8")
    (folder / "LICENCES.txt").write_text(_licences(contents), "utf-8")
    (folder / FACTS).write_text(json.dumps(_facts(contents), indent=2) + "\n", "utf-8")
    (folder / "README.txt").write_text(_readme(contents), "utf-8")


def write_manifest(folder: Path) -> tuple[str, int]:
    """Hash every file, as ``sha256sum -c`` reads it. Returns the manifest's own hash and the number of files."""
    (folder / MANIFEST).unlink(missing_ok=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{file_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / MANIFEST).write_text("".join(lines), "utf-8")
    return file_sha256(folder / MANIFEST), len(files)


def _requirements(contents: Contents) -> Iterator[str]:
    for wheel in contents.wheels:
        about = metadata(wheel)
        yield f"{canonical(str(about['Name']))}=={about['Version']} --hash=sha256:{file_sha256(wheel)}\n"


def _facts(contents: Contents) -> dict[str, object]:
    target = contents.target
    system = required_system([wheel.name.removesuffix(".whl") for wheel in contents.wheels])
    unpacked = sum(unpacked_bytes(wheel) for wheel in contents.wheels)
    return {
        "homeroom": __version__,
        "extra": contents.extra,
        "target": {"python": target.python, "system": target.system, "machine": target.machine, **system},
        "packages": len(contents.wheels),
        "models": [base.name for base in contents.bases],
        "installed_bytes": int(unpacked * _COMPILED) + sum(base.installed_bytes for base in contents.bases),
    }


def _licence_of(wheel: Path) -> tuple[str, str, str]:
    """Name, version and licence of a package, from the most exact of the ways in which packages say it."""
    about = metadata(wheel)
    told = str(about["License-Expression"] or "")
    classes = [str(c).rpartition(" :: ")[2] for c in about.get_all("Classifier", []) if str(c).startswith("License ::")]
    short = str(about["License"] or "").strip()
    if not told:
        told = short if short and "\n" not in short and len(short) < 80 else "; ".join(classes)
    return str(about["Name"]), str(about["Version"]), told or "see the files in its wheel"


def _licences(contents: Contents) -> str:
    rows = sorted((_licence_of(wheel) for wheel in contents.wheels), key=lambda row: row[0].lower())
    width = max(len(f"{name} {version}") for name, version, _ in rows)
    lines = ["Packages. The full text of each licence is in its wheel, under *.dist-info.", ""]
    for name, version, told in rows:
        how = "" if canonical(name) in contents.locked or canonical(name) == "homeroom" else "   (hash recorded, not locked)"
        lines.append(f"  {f'{name} {version}'.ljust(width)}  {told}{how}")
    lines += ["", "Models.", ""]
    lines += [f"  {base.name}  {base.licence}" for base in contents.bases] or ["  none"]
    return "\n".join(lines) + "\n"


def _readme(contents: Contents) -> str:
    target, names = contents.target, ", ".join(base.name for base in contents.bases) or "none"
    system = required_system([wheel.name.removesuffix(".whl") for wheel in contents.wheels])
    least = "".join(
        f", {title} {system[name]} or newer" for name, title in (("glibc", "glibc"), ("macos", "macOS")) if name in system
    )
    return f"""Homeroom {__version__} for {target}{least}

Everything that is needed to install and run Homeroom on a machine without a network.
Packages: {len(contents.wheels)}. Models: {names}.

    sh install.sh ~/homeroom-app
    ~/homeroom-app/bin/homeroom demo

The folder is yours to choose. The script checks every file against {MANIFEST}, makes a virtual environment from the
wheels in here only, puts the models into the model cache (HOMEROOM_CACHE, else ~/.cache/homeroom), and runs
`homeroom doctor`. Interrupted, it goes on when it is run again. To remove Homeroom, delete the folder; to remove what
was made with it too, delete ~/.homeroom and ~/.cache/homeroom.

It needs Python {target.python} on the machine, and nothing else. On Windows see install.ps1, which nobody has tried yet.

{MANIFEST} guards against damage on the way. To guard against somebody else's hand as well, compare the manifest hash
that `homeroom pack` printed with the one that install.sh prints.

docs/how-to/install-offline.md   how such a pack is made
docs/index.md                    the documentation
LICENCES.txt                     licences of the packages and models
"""


def remove_others(folder: Path, wanted: Sequence[str]) -> None:
    """Delete the files under ``folder`` that are not in ``wanted``: what another choice of packages or models left there."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in wanted:
            path.unlink()
