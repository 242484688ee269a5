"""The model files of a pack, in the layout of the model cache."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from homeroom.app.bases import listed_base
from homeroom.models.catalogue import IndexWheel
from homeroom.models.prepared import file_sha256, slug
from homeroom.schema.models import BaseFiles


@dataclass(frozen=True, slots=True)
class PackedBase:
    """A base model on its way into a pack.

    Attributes:
        name: As it is called here.
        licence: As the catalogue says it.
        files: Paths relative to the cache, and so to the pack's ``models`` folder.
        size_bytes: All of them together.
        installed_bytes: What it takes on the other machine once it is prepared there.
    """

    name: str
    licence: str
    files: tuple[str, ...]
    size_bytes: int
    installed_bytes: int


def plan_base(base: BaseFiles, cache: Path) -> PackedBase:
    """What to pack of a base: the small file that it came from where that has a pinned hash, else what was made of it."""
    entry = listed_base(base.name)
    prepared = [path for path in sorted(base.folder.rglob("*")) if path.is_file()]
    prepared_bytes = sum(path.stat().st_size for path in prepared)
    source = _source(entry.sources[0] if entry else None, cache)
    if source is not None:
        paths, installed = [source], prepared_bytes + source.stat().st_size
    else:
        paths, installed = [*prepared, cache / "names" / f"{slug(base.name)}.json"], prepared_bytes
    size = sum(path.stat().st_size for path in paths)
    files = tuple(path.relative_to(cache).as_posix() for path in paths)
    return PackedBase(base.name, entry.licence if entry else "see where it came from", files, size, installed)


def _source(source: object, cache: Path) -> Path | None:
    if not isinstance(source, IndexWheel):
        return None
    path = cache / "sources" / source.sha256 / Path(source.member).name
    return path if path.is_file() and file_sha256(path) == source.sha256 else None


def copy_base(base: PackedBase, cache: Path, folder: Path) -> None:
    """Have the files of ``base`` under ``folder``; those already there in full length are kept."""
    for name in base.files:
        source, target = cache / name, folder / name
        if target.is_file() and target.stat().st_size == source.stat().st_size:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        shutil.copyfile(source, part)
        part.replace(target)
