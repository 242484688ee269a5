"""Which wheels the other machine needs, and fetching them.

pip chooses and says where each file is (mirrors, credentials and certificates are its business); the downloads are ours, because
they can be continued. pip evaluates markers such as ``sys_platform == "darwin"`` for the machine it runs on, whatever platform it
is asked about, so it is asked package by package (``--no-deps``) and what is still needed is worked out here.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from homeroom.app.packing.locks import Pin, canonical
from homeroom.app.packing.target import Target
from homeroom.errors import AuthError, ConfigError, NotFoundError, ProviderError
from homeroom.models.download import download
from homeroom.models.index import run_pip
from homeroom.models.prepared import Progress, file_sha256

if TYPE_CHECKING:
    import httpx

_NO_WHEEL = re.compile(r"No matching distribution found for (\S+)")
_MOST_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Wheel:
    """One file to fetch.

    Attributes:
        name: Canonical name of the package.
        version: Its version, local part included (``2.13.0+cpu``).
        file: File name.
        url: Where pip found it. Never written into a pack.
        sha256: Its hash, empty where the index names none.
        locked: Whether the lock pins the hash; otherwise it is recorded as it was found.
        requires: ``Requires-Dist`` of its metadata.
        size_bytes: 0 when the index does not say.
    """

    name: str
    version: str
    file: str
    url: str
    sha256: str
    locked: bool
    requires: tuple[str, ...]
    size_bytes: int = 0


def resolve(
    pins: Sequence[Pin], own: Sequence[str], extras: Sequence[str], target: Target, torch_index: str | None
) -> list[Wheel]:
    """Every wheel that ``target`` needs besides Homeroom's own.

    Args:
        pins: The locked set, PyTorch, pip.
        own: ``Requires-Dist`` of Homeroom's own wheel.
        extras: Which of its extras are wanted.
        target: The machine.
        torch_index: Address of a further index for what the lock leaves open.

    Raises:
        ConfigError: ``pack-unavailable``: some have no wheel for that machine, or do not fit each other.
        ProviderError: ``no-network``, ``index``, ``hash-mismatch``.
    """
    known = {canonical(pin.name): pin for pin in pins}
    more = ["--extra-index-url", torch_index] if torch_index else []
    elsewhere = [pin for pin in pins if torch_index and pin.name == "torch"]
    found = _ask([pin for pin in pins if pin not in elsewhere], target, [], known)
    if torch_index and elsewhere:
        # Only the index that was named: where it cannot be reached, pip would quietly take another build from elsewhere.
        found += _ask(elsewhere, target, ["--index-url", torch_index], known)
    for _ in range(_MOST_ROUNDS):
        missing = unmet({wheel.name: wheel for wheel in found}, own, extras, target)
        if not missing:
            return [replace(wheel, size_bytes=size) for wheel, size in zip(found, _sizes(found), strict=True)]
        found += _ask(missing, target, more, known)
    raise ConfigError("The packages need one another without an end. Write the locks anew: make lock", code="pack-unavailable")


def unmet(found: dict[str, Wheel], own: Iterable[str], extras: Sequence[str], target: Target) -> list[str]:
    """Requirements that nothing in ``found`` meets on ``target``, as pip takes them.

    Raises:
        ConfigError: ``pack-unavailable`` when a package is there at a version that another one does not take.
    """
    wanted: dict[str, set[str]] = {}
    seen: set[tuple[str, str]] = set()
    queue = list(_needs(own, ("", *extras), target))
    queue += [(canonical(wheel.name), "", "") for wheel in found.values()]
    while queue:
        name, extra, specifier = queue.pop()
        wheel = found.get(name)
        if wheel is None:
            if name != "homeroom":
                wanted.setdefault(name, set()).add(specifier)
            continue
        if specifier and not _meets(wheel.version, specifier):
            raise ConfigError(
                f"{name} {wheel.version} is to go into the pack, and another package wants {name}{specifier}. Write the locks "
                "anew: make lock",
                code="pack-unavailable",
            )
        if (name, extra) not in seen:
            seen.add((name, extra))
            queue += _needs(wheel.requires, (extra,), target)
    return [f"{name}{','.join(sorted(filter(None, specifiers)))}" for name, specifiers in sorted(wanted.items())]


def _needs(requires: Iterable[str], extras: Sequence[str], target: Target) -> Iterator[tuple[str, str, str]]:
    """Name, extra (empty: none) and specifier of what applies on ``target``."""
    from packaging.requirements import Requirement

    for text in requires:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({**target.markers, "extra": extra}) for extra in extras):
            for extra in ("", *requirement.extras):
                yield canonical(requirement.name), extra, str(requirement.specifier)


def _meets(version: str, specifier: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(specifier).contains(version, prereleases=True)


def _ask(wanted: Sequence[Pin | str], target: Target, more: Sequence[str], known: dict[str, Pin]) -> list[Wheel]:
    """What pip chooses for each of ``wanted``; all that have no wheel are told together."""
    left, without = [str(one) for one in wanted], list[str]()
    while left:
        try:
            report = json.loads(run_pip([*_QUESTION, *_choosing(target), *more, *left]))
        except ProviderError as error:
            match = _NO_WHEEL.search(error.message)
            if match is None:
                raise
            name = canonical(re.split(r"[=<>!~;\[ ]", match[1])[0])
            remaining = [one for one in left if canonical(re.split(r"[=<>!~;\[ ]", one)[0]) != name]
            if len(remaining) == len(left):
                raise
            without += [one for one in left if one not in remaining]
            left = remaining
            continue
        if not without:
            return [_wheel(item, known) for item in report["install"]]
        break
    if without:
        raise ConfigError(
            f"The package index has no wheel for {target} of: {', '.join(without)}. A pack for that machine cannot be made; "
            "there may be one for another Python: homeroom pack FOLDER --python-version X.Y",
            code="pack-unavailable",
        )
    return []


def _choosing(target: Target) -> list[str]:
    """How pip is asked to choose for another machine. Older pips do so only for a folder; with a dry run nothing is put there."""
    return [*target.pip_flags, *(["--target", tempfile.gettempdir()] if target.pip_flags else [])]


_QUESTION = ["install", "--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:", "--report", "-"]


def _wheel(item: dict[str, Any], known: dict[str, Pin]) -> Wheel:  # an entry of pip's report: JSON
    info, metadata = item["download_info"], item["metadata"]
    name = canonical(metadata["name"])
    sha256 = info.get("archive_info", {}).get("hashes", {}).get("sha256", "")
    pin = known.get(name)
    if pin is not None and pin.hashes and sha256 and sha256 not in pin.hashes:
        raise ProviderError(
            f"The package index offers {str(pin)!r} with SHA-256 {sha256!r}, which the lock does not have: do not use it. Check "
            "which index pip uses: pip config list",
            code="hash-mismatch",
        )
    file = unquote(urlsplit(info["url"]).path).rpartition("/")[2]
    requires = tuple(metadata.get("requires_dist", ()))
    return Wheel(name, metadata["version"], file, info["url"], sha256, bool(pin and pin.hashes), requires)


def _sizes(wheels: Sequence[Wheel]) -> list[int]:
    import httpx

    with httpx.Client(follow_redirects=True, timeout=httpx.Timeout(10)) as client:
        return [_size(wheel.url, client) for wheel in wheels]


def _size(url: str, client: httpx.Client) -> int:
    """Bytes of a file; 0 when its server does not say."""
    import httpx

    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path)).stat().st_size
    try:
        answer = client.head(url)
    except httpx.HTTPError:
        return 0
    return int(answer.headers.get("Content-Length") or 0) if answer.status_code == httpx.codes.OK else 0


def is_here(wheel: Wheel, pin: Pin | None, folder: Path) -> bool:
    """Whether the right file is in ``folder``; a wrong one is deleted."""
    path = folder / wheel.file
    if not path.exists():
        return False
    found = file_sha256(path)
    if found == wheel.sha256 or (not wheel.sha256 and (pin is None or not pin.hashes or found in pin.hashes)):
        return True
    path.unlink()
    return False


def fetch(wheel: Wheel, pin: Pin | None, folder: Path, target: Target, progress: Progress) -> None:
    """Have ``wheel`` in ``folder``, continuing what an earlier try began.

    Raises:
        ProviderError: ``no-network``, ``hash-mismatch``, ``download``.
    """
    path, message = folder / wheel.file, f"downloading {wheel.name} {wheel.version}"
    try:
        download(wheel.url, path, sha256=wheel.sha256 or None, size_bytes=wheel.size_bytes, progress=progress, message=message)
    except (AuthError, NotFoundError, ProviderError) as error:
        if error.code == "hash-mismatch":
            raise
        _fetch_with_pip(wheel, path, target, error)
    if not is_here(wheel, pin, folder):
        raise ProviderError(
            f"{wheel.file!r} does not have a SHA-256 of the lock; it was deleted. Check which index pip uses: pip config list",
            code="hash-mismatch",
        )


def _fetch_with_pip(wheel: Wheel, path: Path, target: Target, reason: AuthError | NotFoundError | ProviderError) -> None:
    """A private index may let only pip in. What broke our own download is the plainer reason when pip fails too."""
    folder = path.with_name(f"{path.name}.pip")
    wanted = f"{wheel.name}=={wheel.version}"
    try:
        run_pip(["download", "--no-deps", "--only-binary=:all:", *target.pip_flags, "--dest", str(folder), wanted])
        (folder / wheel.file).rename(path)
    except (ProviderError, FileNotFoundError) as error:
        raise reason from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
