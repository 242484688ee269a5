"""One folder with everything that a machine without a network needs: wheels, models, documentation and an installer.

    make_pack(home, Options(folder=Path("offline")), note=print, progress=show)

The pack is made in ``.<name>.packing`` beside the folder and renamed at the end: ``folder`` is whole or absent, and a run that
was interrupted goes on with what it had. It holds no address of any index, no path of this machine and no secret.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from homeroom.app.bases import fetch_base, require_fetchable
from homeroom.app.packing import bases, contents, own, wheels
from homeroom.app.packing.bases import PackedBase
from homeroom.app.packing.locks import Pin, canonical, find_checkout, locked
from homeroom.app.packing.target import Target, choose_target
from homeroom.errors import ConfigError, ConflictError, StorageError
from homeroom.models.prepared import Progress
from homeroom.storage.files import sync_folder

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

Note = Callable[[str], None]
_SPARE_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """What to pack.

    Attributes:
        folder: Where the pack goes; must not exist, or be empty.
        models: Base models; the default base when None, none at all when empty.
        extra: The locked set: ``demo`` or ``dev``.
        python: Python version of the other machine; this one's when None.
        platforms: pip's platform tags of the other machine; this one's when empty.
        torch_index: Address of an index with another build of PyTorch.
        archive: Whether to write ``<folder>.tar`` too.
        checkout: The repository's copy; found when None.
    """

    folder: Path
    models: tuple[str, ...] | None = None
    extra: str = "demo"
    python: str | None = None
    platforms: tuple[str, ...] = ()
    torch_index: str | None = None
    archive: bool = False
    checkout: Path | None = None


@dataclass(frozen=True, slots=True)
class Pack:
    """A finished pack. ``manifest_sha256`` is to be compared with what the installer prints; sizes in bytes."""

    folder: Path
    archive: Path | None
    target: str
    packages: int
    models: tuple[str, ...]
    files: int
    size_bytes: int
    manifest_sha256: str


def make_pack(home: Homeroom, options: Options, *, note: Note, progress: Progress) -> Pack:
    """Make the pack.

    Args:
        home: Its settings name the cache and the default base.
        options: What to pack.
        note: Told what a person may want to know.
        progress: Called with bytes done, bytes in all, and what is being done.

    Raises:
        NotFoundError: ``unknown-model``: before anything is built or asked for.
        ConfigError: ``pack-checkout``, ``pack-platform``, ``platform``, ``pack-unavailable``, ``pack-build``.
        ConflictError: ``file-exists`` when the folder or the archive is there, ``pack-running`` when another run is making it.
        StorageError: ``no-space``.
        ProviderError: ``no-network``, ``index``, ``hash-mismatch``.
    """
    from filelock import FileLock, Timeout

    folder, archive = _free(options)
    names = (home.settings.default_base,) if options.models is None else options.models
    for name in names:
        require_fetchable(home, name)
    target = choose_target(options.python, options.platforms)
    checkout = find_checkout(options.checkout)
    pins = [*locked(checkout, options.extra), Pin("pip", version("pip"))]
    making = folder.with_name(f".{folder.name}.packing")
    making.mkdir(parents=True, exist_ok=True)
    lock = FileLock(making.with_name(f"{making.name}.lock"), blocking=False)
    try:
        with lock:
            note(f"for {target}; interrupted, the same command goes on")
            pack = _fill(home, options, names, making, target, checkout, pins, note, progress)
            if archive is not None:
                _write_archive(making, folder.name, archive, progress)
            making.rename(folder)
            sync_folder(folder.parent)
            Path(lock.lock_file).unlink(missing_ok=True)
    except Timeout as error:
        raise ConflictError(
            f"Another process is making the pack {str(options.folder)!r}. Wait for it, or choose another folder: "
            "homeroom pack FOLDER",
            code="pack-running",
        ) from error
    return replace(pack, folder=folder, archive=archive)


def _free(options: Options) -> tuple[Path, Path | None]:
    """The folder and the archive as absolute paths, neither of them there yet."""
    folder = options.folder.expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConflictError(
            f"{str(options.folder)!r} exists and is not empty. Choose another folder: homeroom pack FOLDER", code="file-exists"
        )
    archive = folder.with_name(f"{folder.name}.tar") if options.archive else None
    if archive is not None and archive.exists():
        raise ConflictError(
            f"{str(archive)!r} exists. Move it away, or choose another folder: homeroom pack FOLDER", code="file-exists"
        )
    return folder, archive


def _fill(
    home: Homeroom,
    options: Options,
    names: Sequence[str],
    making: Path,
    target: Target,
    checkout: Path,
    pins: Sequence[Pin],
    note: Note,
    progress: Progress,
) -> Pack:
    progress(0, 0, "building Homeroom's own wheel")
    mine = own.build_wheel(checkout, making / "wheels")
    progress(0, 0, "asking the package index where the packages are")
    requires = [str(text) for text in own.metadata(mine).get_all("Requires-Dist", [])]
    chosen = wheels.resolve(pins, requires, (options.extra, "build"), target, options.torch_index)
    packed = [bases.plan_base(fetch_base(home, name, progress), home.settings.cache) for name in names]
    keep = [mine.name, *(name for wheel in chosen for name in (wheel.file, f"{wheel.file}.part"))]
    contents.remove_others(making / "wheels", keep)
    contents.remove_others(making / "models", [name for base in packed for name in base.files])
    known = {canonical(pin.name): pin for pin in pins}
    missing = [wheel for wheel in chosen if not wheels.is_here(wheel, known.get(wheel.name), making / "wheels")]
    _check_space(making, chosen, missing, packed, options.archive, note)
    _fetch_all(missing, known, making / "wheels", target, progress)
    for base in packed:
        progress(0, 0, f"copying {base.name}")
        bases.copy_base(base, home.settings.cache, making / "models")
    every = tuple(sorted([mine, *(making / "wheels" / wheel.file for wheel in chosen)]))
    fixed = frozenset(wheel.name for wheel in chosen if wheel.locked)
    contents.write_contents(contents.Contents(target, options.extra, every, fixed, tuple(packed)), checkout, making)
    progress(0, 0, "writing the manifest")
    digest, files = contents.write_manifest(making)
    size = sum(path.stat().st_size for path in making.rglob("*") if path.is_file())
    return Pack(making, None, str(target), len(every), tuple(base.name for base in packed), files, size, digest)


def _fetch_all(
    missing: Sequence[wheels.Wheel], known: Mapping[str, Pin], folder: Path, target: Target, progress: Progress
) -> None:
    """Fetch each, with one progress over all of them."""
    before, total = 0, sum(wheel.size_bytes for wheel in missing)
    for number, wheel in enumerate(missing, start=1):

        def shifted(done: int, _: int, message: str, before: int = before, number: int = number) -> None:
            if total:
                progress(min(before + done, total - 1), total, f"{message} ({number} of {len(missing)})")

        wheels.fetch(wheel, known.get(wheel.name), folder, target, shifted)
        before += wheel.size_bytes
    if total:
        progress(total, total, f"{len(missing)} packages fetched")


def _check_space(
    making: Path,
    chosen: Sequence[wheels.Wheel],
    missing: Sequence[wheels.Wheel],
    packed: Sequence[PackedBase],
    archive: bool,
    note: Note,
) -> None:
    """Say what is still to come and what is free; refuse when it does not fit."""
    models = sum(base.size_bytes for base in packed)
    there = sum(path.stat().st_size for path in (making / "models").rglob("*") if path.is_file())
    whole = sum(wheel.size_bytes for wheel in chosen) + models
    to_fetch = sum(wheel.size_bytes for wheel in missing)
    needed = to_fetch + max(0, models - there) + (whole if archive else 0) + _SPARE_BYTES
    free = shutil.disk_usage(making).free
    unknown = sum(1 for wheel in missing if not wheel.size_bytes)
    note(
        f"{len(chosen) + 1} packages and {len(packed)} models: {whole / 1e6:,.0f} MB in all"
        + f"{f', and {unknown} packages whose size the index does not say' if unknown else ''}; "
        + f"{to_fetch / 1e6:,.0f} MB of packages are still to fetch; {free / 1e6:,.0f} MB are free"
    )
    if free < needed:
        raise StorageError(
            f"The pack needs {needed / 1e6:,.0f} MB more in {str(making.parent)!r}, and {free / 1e6:,.0f} MB are free. Make "
            "space, or choose a folder on another disk: homeroom pack FOLDER",
            code="no-space",
        )


def _write_archive(making: Path, name: str, archive: Path, progress: Progress) -> None:
    """A plain tar: what fills a pack is compressed already."""
    progress(0, 0, f"writing {archive.name}")
    part = archive.with_name(f".{archive.name}.part")
    with tarfile.open(part, "w") as tar:
        for path in sorted(making.rglob("*")):
            tar.add(path, f"{name}/{path.relative_to(making).as_posix()}", recursive=False, filter=_anonymous)
    part.replace(archive)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def parse_models(names: Sequence[str]) -> tuple[str, ...] | None:
    """``--models`` as it was given: None for the default base, empty for ``none``; commas separate as repetition does.

    Raises:
        ConfigError: ``pack-models`` when ``none`` is given with others.
    """
    parts = tuple(dict.fromkeys(part.strip() for name in names for part in name.split(",") if part.strip()))
    if "none" in parts and len(parts) > 1:
        raise ConfigError(
            f"--models none packs no model, and {', '.join(parts)} were asked for. Leave one out", code="pack-models"
        )
    return None if not parts else () if parts == ("none",) else parts
