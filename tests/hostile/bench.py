"""What hostile files are made from, and how a command is run on them."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "org/model"
SOURCE = Path(__file__).parents[2] / "src"


@dataclass(frozen=True)
class Run:
    """A command to be run; ``env`` comes on top of the environment of every case."""

    argv: list[str | Path]
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One hostile thing.

    Attributes:
        kind: Where it is put, for the table of the documentation.
        name: What it is.
        code: The error's code; empty when the file is taken in and the hostile part of it is left out.
        make: Makes the files and says what to run.
        left_out: Texts that nothing kept may hold, where it is taken in.
    """

    kind: str
    name: str
    code: str
    make: Callable[[Bench], Run]
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str
    cpu_s: float
    rss_mb: int
    ran: list[str]


class Runner:
    """The process of `tests.hostile.runner`."""

    def __init__(self) -> None:
        env = {**os.environ, "PYTHONPATH": str(SOURCE)}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("runner.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        assert self._process.stdout is not None and self._process.stdin is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        assert self._out.readline() == "ready\n"

    def run(self, run: Run, cwd: Path, env: Mapping[str, str], out: Path) -> Outcome:
        out.mkdir(parents=True, exist_ok=True)
        task = {"argv": [str(a) for a in run.argv], "env": {**env, **run.env}, "cwd": str(cwd), "out": str(out)}
        self._in.write(json.dumps(task) + "\n")
        self._in.flush()
        answer = json.loads(self._out.readline())
        said = {name: (out / name).read_bytes().decode("utf-8", "replace") for name in ("stdout", "stderr")}
        return Outcome(answer["code"], said["stdout"], said["stderr"], answer["cpu_s"], answer["rss_mb"], answer["ran"])

    def close(self) -> None:
        self._in.close()
        self._process.wait()
        self._out.close()


class Touch:
    """Unpickled, it runs a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


class Bench:
    """A folder in which one case is built: copies of a good adapter and a good base, and a hub as a folder."""

    def __init__(self, folder: Path, good: Path) -> None:
        self.folder, self._good = folder, good
        folder.mkdir(parents=True)
        self.canary = folder / "canary"

    @property
    def pickle(self) -> bytes:
        return pickle.dumps(Touch(self.canary))

    def evil_module(self, name: str = "evil") -> None:
        """A module that gives itself away when it is imported, where Python looks first."""
        (self.folder / f"{name}.py").write_text(f"open({str(self.canary)!r}, 'w').close()\n")

    def adapter(self) -> Path:
        """A good PEFT folder for the tiny base."""
        return Path(shutil.copytree(self._good / "adapter", self.folder / "adapter"))

    def gguf(self) -> bytes:
        """A good GGUF LoRA for it."""
        return (self._good / "adapter.gguf").read_bytes()

    def base(self) -> Path:
        """A good base model."""
        return Path(shutil.copytree(self._good / "base", self.folder / "base"))

    def imported(self, source: str | Path) -> Run:
        return Run(["models", "import", source])

    def imported_gguf(self, data: bytes) -> Run:
        (self.folder / "lora.gguf").write_bytes(data)
        return self.imported(self.folder / "lora.gguf")

    def pulled(self, base: Path, listing: Callable[[dict[str, Any]], Any] | None = None) -> Run:
        """``homeroom models pull`` from a hub that is a folder and holds ``base``; ``listing`` may change what the hub answers."""
        hub = self.folder / "hub"
        files = hub / NAME / "resolve" / COMMIT
        files.parent.mkdir(parents=True)
        base.rename(files)
        entries = []
        for path in sorted(files.iterdir()):
            entry: dict[str, Any] = {"rfilename": path.name, "size": path.lstat().st_size}
            if path.suffix in (".safetensors", ".bin") and path.is_file() and not path.is_symlink():
                entry["lfs"] = {"size": path.stat().st_size, "sha256": sha256(path.read_bytes()).hexdigest()}
            entries.append(entry)
        record: Any = {"sha": COMMIT, "siblings": entries}
        record = listing(record) if listing else record
        answer = hub / "api" / "models" / NAME / "revision" / "main"
        answer.parent.mkdir(parents=True)
        answer.write_text(record if isinstance(record, str) else json.dumps(record))
        return self.pulled_from(f"file://{hub}")

    def pulled_from(self, hub: str) -> Run:
        return Run(["models", "pull", NAME], {"HF_ENDPOINT": hub, "HOMEROOM_CACHE": str(self.folder / "cache")})


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None takes one away."""
    record = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in record.items() if value is not None}))
