"""Fetches a model from the Hugging Face hub: safetensors and JSON only, every large file checked against the hub's SHA-256.

The small files come first, and everything that can be wrong with the model (its architecture, its tokenizer, code of its own) is
found out from them before gigabytes of weights are fetched.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from homeroom.errors import ConfigError, ProviderError
from homeroom.models.catalogue import HubModel
from homeroom.models.download import download
from homeroom.models.folder import JSON_BYTES, read_json
from homeroom.models.prepared import Progress, check_folder, check_space, prepare_folder, slug, space_errors
from homeroom.schema.models import BaseFiles

HUB_URL = "https://huggingface.co"
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
_SMALL = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
LISTING_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    size_bytes: int
    sha256: str | None


def fetch_from_hub(
    source: HubModel, name: str, cache: Path, *, progress: Progress, token: str | None = None, hub_url: str = HUB_URL
) -> BaseFiles:
    """Fetch and prepare ``source`` as the base model ``name``.

    Args:
        source: Which repository and revision.
        name: What it is called here.
        cache: ``HOMEROOM_CACHE``.
        progress: Called with bytes done, bytes in all, and what is being done.
        token: For gated models; never shown.
        hub_url: The hub or a mirror of it.

    Raises:
        ConfigError: ``remote-code``, ``pickled-weights``, ``architecture-unsupported``, ``tokenizer-unsupported``,
            ``no-chat-template``.
        ProviderError: as `download`.
        StorageError: ``no-space``.
    """
    from homeroom.models.gguf_write import check_convertible

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    commit, files = _listing(source, cache, headers, hub_url)
    folder = cache / "parts" / f"{slug(source.id)}@{commit[:12]}"
    done = 0
    total = sum(file.size_bytes for file in files)

    def fetch(file: _File) -> None:
        nonlocal done
        download(
            f"{hub_url}/{source.id}/resolve/{commit}/{file.name}",
            folder / file.name,
            sha256=file.sha256,
            size_bytes=file.size_bytes,
            limit_bytes=JSON_BYTES if file.name in _SMALL else file.size_bytes,
            headers=headers,
            progress=partial(_shifted, progress, done, total, source.id),
            message=file.name,
        )
        done += file.size_bytes

    weights = _weights(files, source.id)
    with space_errors(cache):
        for file in files:
            if file.name in _SMALL:
                fetch(file)
        if not (folder / "tokenizer.json").exists() or not (folder / "config.json").exists():
            raise ConfigError(
                f"{source.id!r} has no config.json or no tokenizer.json. Choose another model: homeroom models list --bases",
                code="model-files",
            )
        check_folder(folder, weights_needed=False)
        check_convertible(folder, source.id)
        check_space(cache, int(1.7 * sum(file.size_bytes for file in weights)), f"Fetching {source.id}")
        for file in weights:
            fetch(file)
    prepared = prepare_folder(folder, name, cache, progress=progress, move=True)
    shutil.rmtree(folder, ignore_errors=True)
    return prepared


def _weights(files: list[_File], source_id: str) -> list[_File]:
    found = [file for file in files if _WEIGHTS.fullmatch(file.name)]
    if not found:
        raise ConfigError(
            f"{source_id!r} is not published as safetensors (model.safetensors). Pickled weights can run code and are never"
            " loaded; GGUF and adapter repositories are no base models. Choose another: homeroom models list --bases",
            code="pickled-weights",
        )
    return found


def _shifted(progress: Progress, before: int, total: int, what: str, done: int, _: int, __: str) -> None:
    """Progress of one file as progress of all."""
    progress(before + done, total, f"downloading {what}")


def _listing(source: HubModel, cache: Path, headers: dict[str, str], hub_url: str) -> tuple[str, list[_File]]:
    """The commit that ``source.revision`` stands for and its files."""
    answer = cache / "parts" / f"{slug(source.id)}.listing.json"
    answer.unlink(missing_ok=True)
    with space_errors(cache):
        download(
            f"{hub_url}/api/models/{source.id}/revision/{source.revision}?blobs=true",
            answer,
            sha256=None,
            headers=headers,
            limit_bytes=LISTING_BYTES,
        )
    # The hub's own JSON: Any.
    record: dict[str, Any] = read_json(answer)
    answer.unlink()
    commit, entries = record.get("sha"), record.get("siblings")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit) or not isinstance(entries, list):
        raise ProviderError(
            f"{hub_url!r} did not answer as a model hub does for {source.id!r}. Check HF_ENDPOINT", code="download"
        )
    return commit, [file for entry in entries if (file := _file(entry, hub_url)) is not None]


def _file(entry: Any, hub_url: str) -> _File | None:  # JSON
    """A file of the listing that is wanted, by names that we know: none of the hub's own choosing becomes a path here."""
    name = entry.get("rfilename") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not (name in _SMALL or _WEIGHTS.fullmatch(name)):
        return None
    large = entry.get("lfs") or {}
    size, sha256 = (large.get("size") or entry.get("size") or 0, large.get("sha256")) if isinstance(large, dict) else (None, None)
    if type(size) is not int or size < 0 or not (sha256 is None or (isinstance(sha256, str) and _SHA256.fullmatch(sha256))):
        raise ProviderError(
            f"{hub_url!r} lists {name!r} with the size {size!r:.40} and the hash {sha256!r:.40}. Check HF_ENDPOINT",
            code="download",
        )
    return _File(name, size, sha256)
