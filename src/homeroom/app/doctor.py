"""What this machine can run, what is missing, and the command that mends it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from homeroom.app.reach import check_port
from homeroom.errors import HomeroomError
from homeroom.runtime.hardware import Hardware, hardware
from homeroom.settings import Settings

State = Literal["ok", "warning", "missing"]

# Feature -> (packages it imports, extra that brings them).
FEATURES: dict[str, tuple[tuple[str, ...], str]] = {
    "chat in the browser": (("flask", "gunicorn"), "serve"),
    "embedded engine": (("xllamacpp", "gguf", "numpy"), "local"),
    "local tuning": (("torch", "transformers", "peft", "safetensors"), "train"),
    "tuning of prompts": (("dspy",), "dspy"),
    "OpenAI's client": (("openai",), "openai"),
}
# Nothing that is there without them fails: tuning with another method, and programs of one's own.
OPTIONAL = frozenset({"tuning of prompts", "OpenAI's client"})
MIN_MEMORY_BYTES = 4_000_000_000
DEMO_DISK_BYTES = 2_500_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report: what was looked at, how it is, and the command that mends it (empty when all is well)."""

    name: str
    state: State
    detail: str
    mend: str = ""


def examine(settings: Settings) -> list[Check]:
    """Every check, in the order a newcomer needs them. Changes nothing on the machine."""
    facts = hardware(_existing(settings.cache))
    return [
        *_machine(facts),
        *_features(),
        _folder("home", settings.home),
        _folder("model cache", settings.cache),
        _base(settings),
        _embedder(settings),
        _port(settings),
        *_endpoints(settings),
        *_names(settings),
    ]


def _machine(facts: Hardware) -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 11)
    yield Check("Python", "ok" if ok else "missing", version, "" if ok else "install Python 3.11 or newer")
    memory = f"{facts.memory_bytes / 1e9:.0f} GB memory"
    enough = facts.memory_bytes >= MIN_MEMORY_BYTES
    yield Check(
        "machine",
        "ok" if enough else "warning",
        f"{facts.cores} cores, {memory}, {facts.platform}",
        "" if enough else "tune on a machine with at least 4 GB of memory",
    )
    room = facts.disk_free_bytes >= DEMO_DISK_BYTES
    yield Check(
        "disk",
        "ok" if room else "warning",
        f"{facts.disk_free_bytes / 1e9:.1f} GB free",
        "" if room else "make space, or set HOMEROOM_HOME and HOMEROOM_CACHE to folders on a larger disk",
    )
    yield Check("GPU", "ok", facts.gpu or "none: models are tuned and run on the processor")


def _features() -> Iterator[Check]:
    for feature, (packages, extra) in FEATURES.items():
        missing = [p for p in packages if find_spec(p) is None]
        if missing:
            state: State = "warning" if feature in OPTIONAL else "missing"
            yield Check(feature, state, f"without {', '.join(missing)}", f"pip install 'homeroom[{extra}]'")
        else:
            yield Check(feature, "ok", "installed")


def _folder(name: str, folder: Path) -> Check:
    parent = _existing(folder)
    if os.access(parent, os.W_OK | os.X_OK):
        return Check(name, "ok", str(folder))
    variable = "HOMEROOM_HOME" if name == "home" else "HOMEROOM_CACHE"
    return Check(name, "missing", f"{folder} cannot be written", f"export {variable}=/a/folder/of/yours")


def _existing(folder: Path) -> Path:
    """The folder itself or its nearest parent that exists."""
    return next(p for p in (folder, *folder.absolute().parents) if p.exists())


def _base(settings: Settings) -> Check:
    from homeroom.models.pull import installed

    if installed(settings.default_base, settings.cache) is not None:
        return Check("base model", "ok", f"{settings.default_base} is on this machine")
    return Check(
        "base model", "missing", f"{settings.default_base} is not here yet", f"homeroom models pull {settings.default_base}"
    )


def _embedder(settings: Settings) -> Check:
    """Never a fault: nothing needs one until somebody asks for vectors."""
    from homeroom.models.catalogue import DEFAULT_EMBEDDER
    from homeroom.models.embed_files import all_embedders

    here = ", ".join(files.name for files in all_embedders(settings.cache))
    if here:
        return Check("embedding model", "ok", f"{here} is on this machine")
    return Check("embedding model", "ok", f"none here; for embeddings: homeroom models pull {DEFAULT_EMBEDDER}")


def _port(settings: Settings) -> Check:
    from homeroom.storage.lock import HomeLock

    holder = HomeLock.holder(settings.home)
    if holder is not None:
        return Check("server", "ok", f"running at {holder.address} (process {holder.pid})")
    try:
        check_port(settings.host, settings.port)
    except HomeroomError as error:
        told, _, mend = error.message.rpartition(": ")
        return Check("server", "warning", told.rpartition(". ")[0], mend)
    return Check("server", "ok", f"not running; port {settings.port} is free")


def _endpoints(settings: Settings) -> Iterator[Check]:
    for endpoint in settings.endpoints:
        key = endpoint.api_key_env
        if key and not os.environ.get(key):
            yield Check(f"endpoint {endpoint.name}", "warning", f"{key} is not set", f"export {key}=...")
        else:
            yield Check(f"endpoint {endpoint.name}", "ok", endpoint.base_url)


def _names(settings: Settings) -> Iterator[Check]:
    from homeroom.app.model_names import empty_names

    empty = {found.name: found for found in empty_names(settings)}
    for name, target in sorted(settings.openai_models.items()):
        if name in empty:
            yield Check(f"name {name}", "warning", f"openai_models: {empty[name].told}", empty[name].mend)
        else:
            yield Check(f"name {name}", "ok", f"stands for {target}")
