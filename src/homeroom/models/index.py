"""Fetches a file out of a wheel of the package index, without installing the wheel.

pip knows where the index is (mirrors, credentials, certificates), so pip is asked for the wheel's address; the download itself is
ours, because it can be continued. Where the address does not work for us (a private index), pip downloads.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

from homeroom.errors import AuthError, ConfigError, HomeroomError, NotFoundError, ProviderError
from homeroom.models.catalogue import IndexFolder, IndexWheel
from homeroom.models.download import download
from homeroom.models.prepared import Progress, check_space, file_sha256, space_errors

_PIP_TIMEOUT_S = 900
_UNREACHABLE = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeout",
    "ReadTimeout",
    "ProxyError",
    "SSLError",
    "Network is unreachable",
)


def fetch_from_index(source: IndexWheel, cache: Path, progress: Progress) -> Path:
    """The file ``source.member``, fetched if needed, at ``<cache>/sources/<sha256>/<file>``.

    Raises:
        ProviderError: ``no-network``, ``hash-mismatch``, or ``index`` when the index does not have the wheel.
        StorageError: ``no-space``.
        ConfigError: ``pip-missing``.
    """
    target = cache / "sources" / source.sha256 / Path(source.member).name
    if target.exists():
        return target
    check_space(cache, source.wheel_bytes + source.size_bytes, f"Fetching {source.package} {source.version}")
    with space_errors(cache):
        wheel = _wheel(source, cache, progress)
        progress(source.wheel_bytes, source.wheel_bytes, "unpacking")
        _unpack(wheel, source, target)
        wheel.unlink()
    return target


def fetch_folder_from_index(source: IndexFolder, target: Path, cache: Path, progress: Progress) -> Path:
    """The files of ``source`` in the folder ``target``, fetched if needed. The wheel is not kept.

    Raises:
        HomeroomError: as `fetch_from_index`.
    """
    about = source.wheel
    missing = [file for file in source.files if not (target / Path(file.member).name).exists()]
    if not missing:
        return target
    needed = about.wheel_bytes + sum(file.size_bytes for file in missing)
    check_space(cache, needed, f"Fetching {about.package} {about.version}")
    with space_errors(cache):
        wheel = _wheel(about, cache, progress)
        progress(about.wheel_bytes, about.wheel_bytes, "unpacking")
        for file in missing:
            _unpack(wheel, file, target / Path(file.member).name)
        wheel.unlink()
    return target


def _wheel(source: IndexWheel, cache: Path, progress: Progress) -> Path:
    parts = cache / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    target = parts / f"{source.wheel_sha256}.whl"
    if target.exists():
        return target
    progress(0, source.wheel_bytes, "asking the package index")
    requirement = f"{source.package}=={source.version}"
    report = json.loads(run_pip(["install", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-", requirement]))
    info = report["install"][0]["download_info"]
    offered = info.get("archive_info", {}).get("hashes", {}).get("sha256", source.wheel_sha256)
    if offered != source.wheel_sha256:
        raise ProviderError(
            f"The package index offers {requirement!r} with SHA-256 {offered!r} instead of {source.wheel_sha256!r}: do not use"
            " it. Check which index pip uses: pip config list",
            code="hash-mismatch",
        )
    try:
        return download(
            info["url"],
            target,
            sha256=source.wheel_sha256,
            size_bytes=source.wheel_bytes,
            progress=progress,
            message=f"downloading {source.package} {source.version}",
        )
    except (AuthError, NotFoundError, ProviderError) as error:
        if error.code == "hash-mismatch":
            raise
        return _download_with_pip(requirement, target, source, error)


def _download_with_pip(requirement: str, target: Path, source: IndexWheel, reason: HomeroomError) -> Path:
    folder = target.with_suffix(".pip")
    try:
        run_pip(["download", "--no-deps", "--dest", str(folder), requirement])
        (wheel,) = folder.glob("*.whl")
        if file_sha256(wheel) != source.wheel_sha256:
            raise ProviderError(f"{wheel.name!r} does not have the pinned SHA-256; it was deleted", code="hash-mismatch")
        wheel.rename(target)
    except ProviderError as error:
        # What broke our own download is usually the plainer reason.
        raise (error if error.code == "hash-mismatch" else reason) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return target


def run_pip(arguments: list[str]) -> str:
    """Run pip as its user has set it up, and return what it printed.

    Raises:
        ProviderError: ``no-network``, or ``index`` with pip's own reason.
        ConfigError: ``pip-missing``.
    """
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--retries", "1", "--disable-pip-version-check", "--no-input"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ProviderError(
            f"The package index did not answer within {_PIP_TIMEOUT_S} s. Check the network, then run the same command again",
            code="no-network",
        ) from error
    if done.returncode == 0:
        return done.stdout
    if "No module named pip" in done.stderr:
        raise ConfigError("This Python has no pip, which finds the package index. Run: python -m ensurepip", code="pip-missing")
    errors = (
        [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        or done.stderr.splitlines()[-1:]
        or ["no message"]
    )
    if any(sign in done.stderr for sign in _UNREACHABLE):
        raise ProviderError(
            "The package index cannot be reached. What was fetched is kept. Check the network (and HTTPS_PROXY behind a proxy),"
            " then run the same command again",
            code="no-network",
        )
    raise ProviderError(f"The package index refused: {errors[-1]}. Check which index pip uses: pip config list", code="index")


def _unpack(wheel: Path, source: IndexWheel, target: Path) -> None:
    """Take the one file out of the wheel: no other name in it becomes a path, and no more than its known size is written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as member, part.open("wb") as file:
            left = source.size_bytes + 1
            while left > 0 and (block := member.read(min(left, 1 << 20))):
                file.write(block)
                left -= len(block)
            file.flush()
            os.fsync(file.fileno())
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise ProviderError(
            f"{wheel.name!r} is no wheel with {source.member!r} in it ({type(error).__name__}). Check which index pip uses: "
            "pip config list",
            code="index",
        ) from error
    found = file_sha256(part)
    if found != source.sha256:
        part.unlink()
        raise ProviderError(
            f"{source.member!r} in the wheel has SHA-256 {found!r} instead of {source.sha256!r}; it was deleted",
            code="hash-mismatch",
        )
    part.chmod(0o444)
    part.rename(target)
