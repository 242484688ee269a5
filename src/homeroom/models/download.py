"""Downloads one file of known hash, resumable and atomic: what was fetched stays in a ``.part`` file until the hash is right."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from homeroom.errors import AuthError, ConfigError, NotFoundError, ProviderError
from homeroom.models.prepared import Progress, file_sha256, silent
from homeroom.storage.plain import check_plain

if TYPE_CHECKING:
    import httpx

_Report = Callable[[int, int], None]
_ATTEMPTS = 4


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None,
    size_bytes: int = 0,
    headers: Mapping[str, str] | None = None,
    progress: Progress = silent,
    message: str = "downloading",
    limit_bytes: int | None = None,
) -> Path:
    """Fetch ``url`` (http, https or file) to ``target``, continuing ``target.part`` where an earlier try stopped.

    Args:
        url: Where it is.
        target: Where it goes; nothing is done when it is there.
        sha256: The hash that the file must have; None only where its publisher gives none.
        size_bytes: Expected size, for progress; 0 when unknown.
        headers: Sent along, credentials included.
        progress: Called with bytes done, bytes in all, and ``message``.
        message: What is being done.
        limit_bytes: More than this is not taken, whatever the server says; None for no limit.

    Raises:
        ConfigError: ``file-oversized``; ``file-not-plain`` for a ``file:`` address of something else.
        ProviderError: ``no-network`` when the server cannot be reached or the connection breaks again and again,
            ``hash-mismatch`` when the bytes are not the pinned ones (the part is deleted), ``download`` for any other answer.
        AuthError: ``download-auth``.
        NotFoundError: ``download-not-found``.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    if urlsplit(url).scheme == "file":
        _copy(Path(unquote(urlsplit(url).path)), part, limit_bytes, url)
    else:
        _fetch(url, part, headers or {}, _limited(part, limit_bytes, lambda d, t: progress(d, t or size_bytes, message)))
    found = file_sha256(part) if sha256 else None
    if found != sha256:
        part.unlink()
        raise ProviderError(
            f"{target.name!r} arrived with SHA-256 {found!r} instead of {sha256!r}; it was deleted. Run the same command again;"
            " if it happens again, the source was changed: do not use it",
            code="hash-mismatch",
        )
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.rename(target)
    return target


def _copy(source: Path, part: Path, limit_bytes: int | None, url: str) -> None:
    if not source.exists():
        raise NotFoundError(f"There is no file at {url!r}. Check the address", code="download-not-found")
    check_plain(source, limit_bytes=limit_bytes, links=True)
    shutil.copyfile(source, part)


def _limited(part: Path, limit_bytes: int | None, report: _Report) -> _Report:
    """``report``, but more than ``limit_bytes`` are refused and thrown away."""

    def checked(done: int, total: int) -> None:
        if limit_bytes is not None and max(done, total) > limit_bytes:
            part.unlink(missing_ok=True)
            raise ConfigError(
                f"{part.stem!r} is at least {max(done, total):,} bytes long, and {limit_bytes:,} were expected; it was deleted. "
                "Do not use this source",
                code="file-oversized",
            )
        report(done, total)

    return checked


def _fetch(url: str, part: Path, headers: Mapping[str, str], progress: _Report) -> None:
    import httpx

    failure: httpx.TransportError | None = None
    with httpx.Client(follow_redirects=True, timeout=httpx.Timeout(30, connect=15)) as client:
        for attempt in range(_ATTEMPTS):
            before = part.stat().st_size if part.exists() else 0
            try:
                return _continue(client, url, part, headers, progress)
            except (httpx.TooManyRedirects, httpx.DecodingError, httpx.InvalidURL) as error:
                raise ProviderError(
                    f"{urlsplit(url).hostname!r} leads nowhere ({type(error).__name__}). Check the address, and HF_ENDPOINT",
                    code="download",
                ) from error
            except httpx.TransportError as error:
                failure = error
                if not part.exists() or part.stat().st_size == before:  # no headway: wait before the next try
                    if attempt >= 1:
                        break
                    time.sleep(0.5)
    raise ProviderError(
        f"Could not download from {urlsplit(url).hostname!r} ({type(failure).__name__}: {failure}). What arrived is kept. Check"
        " the network (and HTTPS_PROXY behind a proxy), then run the same command again",
        code="no-network",
    ) from failure


def _continue(client: httpx.Client, url: str, part: Path, headers: Mapping[str, str], progress: _Report) -> None:
    have = part.stat().st_size if part.exists() else 0
    extra = {"Range": f"bytes={have}-"} if have else {}
    # "identity": a compressed transfer could not be continued by byte position.
    with client.stream("GET", url, headers={**headers, **extra, "Accept-Encoding": "identity"}) as response:
        if response.status_code == 416:  # nothing after `have`: it is whole, or longer than the file ever was; the hash tells
            return
        if response.status_code not in (200, 206):
            raise _refusal(response, url)
        if response.status_code == 200:
            have = 0
        length = response.headers.get("Content-Length", "")
        total = have + (int(length) if length.isdecimal() and len(length) < 20 else 0)
        with part.open("ab" if have else "wb") as file:
            # As they come: a block that is still being filled when the connection breaks would be lost.
            for block in response.iter_raw():
                file.write(block)
                have += len(block)
                progress(have, total)


def _refusal(response: httpx.Response, url: str) -> ProviderError | NotFoundError:
    where = f"{urlsplit(url).hostname!r} answered {response.status_code} for {urlsplit(url).path!r}"
    if response.status_code in (401, 403):
        return AuthError(
            f"{where}: the model is gated or private. Accept its licence on its page and set HF_TOKEN, then run the same command"
            " again",
            code="download-auth",
            status=response.status_code,
        )
    if response.status_code == 404:
        return NotFoundError(
            f"{where}: no such model or file. Check the name: homeroom models list --bases", code="download-not-found"
        )
    return ProviderError(
        f"{where}. Try the same command again later; what arrived is kept", code="download", status=response.status_code
    )
