"""The model cache: what a prepared base model looks like on disk, and how one is made from a folder or a GGUF file.

    <cache>/sources/<sha256>/<file>       what was fetched, as published
    <cache>/bases/<identity 16>-t<N>/     weights/ + model.gguf + base.json; N is the version of the transform
    <cache>/engine/<base>-<format>.gguf   the engine's file in another number format, where the settings ask for it
                                          (embedding models are prepared likewise: `homeroom.models.embed_files`)
    <cache>/names/<name>.json             which identity a name stands for
    <cache>/locks/, <cache>/parts/        work in progress

Everything is written to a temporary folder, flushed, made read-only and renamed: a reader sees all of it or nothing.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from homeroom.errors import ConfigError, StorageError
from homeroom.models.folder import chat_template, read_json, read_tensors
from homeroom.models.unfuse import FUSED, parts, unfuse
from homeroom.schema.models import BaseFiles, Purpose
from homeroom.storage.plain import check_plain

TRANSFORM = 1
"""Raise it when the files made from the same source change: prepared folders of older versions are then made anew."""

Progress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all (0 when unknown), and what is being done."""


class Convert(Protocol):
    """Writes the engine's file of a model: `homeroom.models.gguf_write.folder_to_gguf`."""

    def __call__(self, folder: Path, out: Path, /, *, name: str, quantisation: str) -> None:
        """Write ``out`` from the model in ``folder``."""


_SINGLE = "model.safetensors"
_KEPT = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_READ = ("*.json", "*.safetensors", "chat_template.jinja")
_CODE_FILES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack"}


def silent(done: int, total: int, message: str) -> None:
    """A `Progress` that says nothing."""


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity_of(weights: Mapping[str, str], tokenizer: str, template: str) -> str:
    """The identity of a base model.

    Args:
        weights: File name to SHA-256 of the *source* weights.
        tokenizer: SHA-256 of the source tokenizer (of the GGUF file where that holds it).
        template: The chat template's text.
    """
    record = {
        "weights": dict(sorted(weights.items())),
        "tokenizer": tokenizer,
        "template": hashlib.sha256(template.encode()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def slug(name: str) -> str:
    """A model name as a file name: ``org/name`` to ``org--name``."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", name.replace("/", "--"))


def find(name: str, cache: Path, purpose: Purpose = "chat") -> BaseFiles | None:
    """The prepared files of ``name``, or None when it was never prepared, was prepared by an older version, or is incomplete.

    A model of another ``purpose`` is none, too.
    """
    pointer = cache / "names" / f"{slug(name)}.json"
    if not pointer.exists():
        return None
    record = read_json(pointer)
    if record.get("transform") != TRANSFORM or record.get("name") != name or record.get("purpose", "chat") != purpose:
        return None
    folder = cache / "bases" / str(record["folder"])
    weights, gguf = folder / "weights", folder / "model.gguf"
    files = BaseFiles(name, folder, weights, gguf, record["identity"], int(record["context_tokens"]), purpose)
    return files if _is_whole(folder) else None


def all_bases(cache: Path, purpose: Purpose = "chat") -> list[BaseFiles]:
    """Every base that is prepared and whole, in order of name; with ``purpose`` the embedding models in their place."""
    names = [str(read_json(pointer).get("name", "")) for pointer in sorted((cache / "names").glob("*.json"))]
    return [base for name in names if (base := find(name, cache, purpose)) is not None]


def _is_whole(folder: Path) -> bool:
    """Whether every file that was written into a prepared folder is there in full length."""
    if not (folder / "base.json").exists():
        return False
    sizes = read_json(folder / "base.json")["files"]
    return all((folder / path).exists() and (folder / path).stat().st_size == size for path, size in sizes.items())


def check_space(cache: Path, needed: int, what: str) -> None:
    """Refuse work that the disk cannot hold.

    Raises:
        StorageError: ``no-space``, with both numbers.
    """
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if free < needed:
        raise StorageError(
            f"{what} needs {_mb(needed)} in {str(cache)!r}, and {_mb(free)} are free. Make space, or set HOMEROOM_CACHE to a"
            " folder on a larger disk, and run the same command again",
            code="no-space",
        )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


@contextmanager
def space_errors(cache: Path) -> Iterator[None]:
    """Turn "no space left" met while writing into the same `StorageError` as `check_space`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageError(
            f"The disk of {str(cache)!r} is full ({_mb(shutil.disk_usage(cache).free)} free). What was fetched is kept. Make"
            " space, or set HOMEROOM_CACHE to a folder on a larger disk, and run the same command again",
            code="no-space",
        ) from error


@contextmanager
def cache_lock(cache: Path, name: str, progress: Progress) -> Iterator[None]:
    """Hold the lock for ``name``: of two processes that want the same model, the second waits and finds it done."""
    folder = cache / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{slug(name)}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(0, 0, f"waiting for another process that is fetching {name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def check_folder(folder: Path, *, weights_needed: bool = True) -> None:
    """Refuse a model folder that would run code when loaded, or in which a file that is read is not a plain file.

    Raises:
        ConfigError: ``remote-code`` for an ``auto_map``; ``pickled-weights`` when the weights are not safetensors;
            ``file-not-plain``.
    """
    for path in sorted(path for pattern in _READ for path in folder.glob(pattern)):
        check_plain(path)
        if path.name.endswith("config.json") and "auto_map" in read_json(path):
            raise ConfigError(
                f"{path.name!r} asks to run the model's own Python code (auto_map), which Homeroom never does. "
                "Choose a model that transformers supports itself: homeroom models list",
                code="remote-code",
            )
    if weights_needed and not list(folder.glob("*.safetensors")):
        unsafe = sorted(path.name for path in folder.iterdir() if path.suffix in _CODE_FILES)
        raise ConfigError(
            f"{str(folder)!r} has no safetensors weights (found: {', '.join(map(repr, unsafe)) or 'none'}). Pickled weights can "
            "run code and are never loaded. Choose a model published as safetensors: homeroom models list",
            code="pickled-weights" if unsafe else "model-files",
        )


def prepare_folder(
    folder: Path,
    name: str,
    cache: Path,
    *,
    quantisation: str = "q8_0",
    progress: Progress = silent,
    move: bool = False,
) -> BaseFiles:
    """Register a Hugging Face model folder as the base model ``name``. Its files are copied, or taken away with ``move``.

    Raises:
        ConfigError: when the folder would run code, cannot chat, or cannot be served by the engine.
        StorageError: ``no-space``.
    """
    from homeroom.models.gguf_write import check_convertible

    check_folder(folder)
    config = check_convertible(folder, name)
    fused = read_json(folder / "config.json").get("architectures") == [FUSED]
    places = {
        name: tensor.path.name
        for tensor in read_tensors(folder)
        for name in (fused and parts(tensor.name, config)) or [tensor.name]
    }
    hashes = {path.name: file_sha256(path) for path in _weights(folder)}
    identity = identity_of(hashes, file_sha256(folder / "tokenizer.json"), chat_template(folder))

    def fill(weights: Path) -> None:
        weights.mkdir()
        for path in (*_weights(folder), *(folder / kept for kept in _KEPT if (folder / kept).exists())):
            if fused and path.suffix == ".safetensors":
                unfuse(path, weights / path.name, config)
                if move:
                    path.unlink()
            elif move:
                shutil.move(path, weights / path.name)
            else:
                shutil.copyfile(path, weights / path.name, follow_symlinks=False)
        # Written anew: a configuration can name classes, and an index files, that nobody here meant to load.
        (weights / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        if set(places.values()) != {_SINGLE}:
            index = {"metadata": {}, "weight_map": places}
            (weights / f"{_SINGLE}.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")

    size = sum(path.stat().st_size for path in _weights(folder)) * (1 if move and not fused else 2)
    return commit(name, cache, identity, fill, size_bytes=size, quantisation=quantisation, progress=progress)


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def prepare_gguf(source: Path, name: str, cache: Path, *, quantisation: str = "q8_0", progress: Progress = silent) -> BaseFiles:
    """Register a quantised GGUF file as the base model ``name``: its weights are dequantised for training and served as Q8_0."""
    from homeroom.models.gguf_read import gguf_template, gguf_to_folder

    digest = file_sha256(source)
    identity = identity_of({source.name: digest}, digest, gguf_template(source))

    def fill(weights: Path) -> None:
        progress(0, 0, f"unpacking {name} for training")
        gguf_to_folder(source, weights)

    size = 8 * source.stat().st_size  # float32 of 4-bit weights, and the file for the engine
    return commit(name, cache, identity, fill, size_bytes=size, quantisation=quantisation, progress=progress)


def commit(
    name: str,
    cache: Path,
    identity: str,
    fill: Callable[[Path], None],
    *,
    size_bytes: int,
    quantisation: str,
    progress: Progress,
    convert: Convert | None = None,
    purpose: Purpose = "chat",
) -> BaseFiles:
    """Make ``bases/<identity>`` unless it is there, and point ``name`` at it.

    Args:
        name: What it is called.
        cache: ``HOMEROOM_CACHE``.
        identity: Of its sources.
        fill: Writes the weights folder that it is given.
        size_bytes: What that will take, about.
        quantisation: Number format of the engine's file.
        progress: Told what is done.
        convert: Writes the engine's file from the weights folder; None for a chat model's.
        purpose: What the model is for.

    Raises:
        StorageError: ``no-space``.
        ConfigError: what ``fill`` and ``convert`` raise.
    """
    from homeroom.models.gguf_write import folder_to_gguf

    target = cache / "bases" / f"{identity[:16]}-t{TRANSFORM}"
    if not _is_whole(target):
        check_space(cache, size_bytes, f"Preparing {name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with space_errors(cache), tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as temporary:
            made = Path(temporary) / "base"
            made.mkdir()
            fill(made / "weights")
            progress(0, 0, f"making the engine's file of {name}")
            (convert or folder_to_gguf)(made / "weights", made / "model.gguf", name=name, quantisation=quantisation)
            files = [path for path in sorted(made.rglob("*")) if path.is_file()]
            sizes = {path.relative_to(made).as_posix(): path.stat().st_size for path in files}
            record = {"name": name, "identity": identity, "transform": TRANSFORM, "quantisation": quantisation, "files": sizes}
            (made / "base.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
            _seal(made)
            if target.exists():  # damaged since
                shutil.rmtree(target)
            made.rename(target)
            _sync(target.parent)
    return _named(name, cache, identity, target, purpose)


def _named(name: str, cache: Path, identity: str, target: Path, purpose: Purpose) -> BaseFiles:
    """Point ``name`` at a folder that is whole."""
    context = int(read_json(target / "weights" / "config.json")["max_position_embeddings"])
    pointer: dict[str, str | int] = {
        "name": name,
        "identity": identity,
        "folder": target.name,
        "transform": TRANSFORM,
        "context_tokens": context,
        "purpose": purpose,
    }
    write_atomic(cache / "names" / f"{slug(name)}.json", json.dumps(pointer, indent=2))
    return BaseFiles(name, target, target / "weights", target / "model.gguf", identity, context, purpose)


def engine_file(base: BaseFiles, cache: Path, quantisation: str, progress: Progress = silent) -> BaseFiles:
    """``base`` with the engine's file in a number format: made from the weights that training reads, unless it is there.

    Args:
        base: A prepared base.
        cache: ``HOMEROOM_CACHE``; files other than the one of `commit` go to ``engine/`` in it.
        quantisation: One of `homeroom.models.gguf_write.QUANTISATIONS`.
        progress: Told that it is made.

    Raises:
        StorageError: ``no-space``.
    """
    if read_json(base.folder / "base.json").get("quantisation") == quantisation:
        return base
    from homeroom.models.gguf_write import folder_to_gguf

    path = cache / "engine" / f"{base.folder.name}-{quantisation}.gguf"
    if not path.exists():
        with cache_lock(cache, path.stem, progress), space_errors(cache):
            if not path.exists():
                weights = sum(file.stat().st_size for file in base.weights.glob("*.safetensors"))
                check_space(cache, weights, f"The engine's file of {base.name} as {quantisation}")
                progress(0, 0, f"making the engine's file of {base.name} as {quantisation}")
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_name(f".{path.name}.part")
                folder_to_gguf(base.weights, part, name=base.name, quantisation=quantisation)
                _sync(part)
                part.chmod(0o444)
                part.rename(path)
                _sync(path.parent)
    return replace(base, gguf=path)


def write_atomic(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace ``path`` by ``text`` so that a reader sees the old or the new file whole, power cut included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _seal(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            _sync(path)
            path.chmod(0o444)
        else:
            _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
