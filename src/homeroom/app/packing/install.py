"""Installs Homeroom from the pack that this file lies in, without a network: ``sh install.sh DIR`` runs it.

Standard library only: it is copied into every pack and runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MANIFEST = "SHA256SUMS"
FACTS = "pack.json"
MARK = "homeroom-pack.json"
_BLOCK_BYTES = 1 << 20


class Refused(Exception):
    """What keeps the pack from being installed, in one line that says what to do."""


def say(text: str) -> None:
    """Tell a step at once, also into a pipe."""
    print(text, flush=True)


def sha256(path: Path) -> str:
    """Hash of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(pack: Path) -> dict[str, str]:
    """Path in the pack to SHA-256, as ``sha256sum`` writes it.

    Raises:
        Refused: it is missing, or names a file outside the pack.
    """
    try:
        lines = (pack / MANIFEST).read_text("utf-8").splitlines()
    except OSError as error:
        raise Refused(f"{MANIFEST} is missing, so nothing can be checked. Copy the whole pack again") from error
    files = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    if not files or any(not name or Path(name).is_absolute() or ".." in Path(name).parts for name in files):
        raise Refused(f"{MANIFEST} is not the manifest of a pack. Copy the whole pack again")
    return files


def verify(pack: Path) -> dict[str, str]:
    """Compare every file with the manifest, and return that.

    Raises:
        Refused: with the first files that are missing or changed.
    """
    files = read_manifest(pack)
    bad = [(name, "is missing") for name in files if not (pack / name).is_file()]
    bad += [(name, "was changed") for name in files if (pack / name).is_file() and sha256(pack / name) != files[name]]
    if bad:
        name, what = bad[0]
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise Refused(f"{name!r} {what} since the pack was made{more}: its SHA-256 is not the manifest's. Copy the pack again")
    return files


def this_machine() -> dict[str, str]:
    """What the pack's target is compared with."""
    libc, version = platform.libc_ver()
    return {
        "python": "{}.{}".format(*sys.version_info[:2]),
        "system": platform.system(),
        "machine": platform.machine(),
        "glibc": version if libc == "glibc" else "",
        "macos": platform.mac_ver()[0],
    }


def check_machine(target: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Refuse a machine that the wheels are not for.

    Args:
        target: ``python``, ``system``, ``machine``, and ``glibc`` or ``macos`` where a minimum is known.
        here: The same of this machine.

    Raises:
        Refused: with both.
    """
    wanted = f"Python {target['python']} on {target['system']} {target['machine']}"
    found = f"Python {here['python']} on {here['system']} {here['machine']}"
    if wanted != found:
        raise Refused(
            f"this pack is for {wanted}, and this is {found}. Make one for this machine where there is a network: "
            f"homeroom pack FOLDER --python-version {here['python']} (and --platform for another kind of machine)"
        )
    for name, title in (("glibc", "the C library glibc"), ("macos", "macOS")):
        if name in target and _numbers(here[name]) < _numbers(target[name]):
            raise Refused(
                f"this pack needs {title} {target[name]} or newer, and this machine has {here[name] or 'another one'}. "
                "Use a newer system"
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def prepare_folder(folder: Path, manifest_sha256: str, needed_bytes: int) -> None:
    """Make ``folder`` and mark it as ours; one that an earlier try began, or an older pack filled, is taken again.

    Raises:
        Refused: something else is in it, it cannot be made, or its disk is too full.
    """
    mark = folder / MARK
    try:
        if folder.exists() and not mark.is_file() and (not folder.is_dir() or any(folder.iterdir())):
            raise Refused(f"{str(folder)!r} exists and is not empty. Choose another folder: sh install.sh DIR")
        new = not mark.is_file()
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if new and free < needed_bytes:
            raise Refused(
                f"{needed_bytes / 1e6:,.0f} MB are needed in {str(folder)!r}, and {free / 1e6:,.0f} MB are free. Make space, or "
                "choose a folder on a larger disk: sh install.sh DIR"
            )
        mark.write_text(json.dumps({"manifest": manifest_sha256}), "utf-8")
    except OSError as error:
        raise Refused(
            f"{str(folder)!r} cannot be made or written: {error.strerror}. Choose another: sh install.sh DIR"
        ) from error


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what would make pip look elsewhere or Python load something else."""
    unwanted = ("PIP_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    kept = {name: value for name, value in environ.items() if not name.startswith(unwanted)}
    return {**kept, "PIP_CONFIG_FILE": os.devnull}


def install_packages(pack: Path, folder: Path) -> None:
    """A virtual environment in ``folder`` with exactly the wheels of the pack.

    Raises:
        Refused: with the last line of what failed.
    """
    _run([sys.executable, "-I", "-m", "venv", "--without-pip", str(folder)], "the virtual environment could not be made")
    python, (pip,) = str(folder / "bin" / "python"), (pack / "wheels").glob("pip-*.whl")
    # pip runs out of its own wheel: some systems ship Python without one.
    options = ["--no-index", "--find-links", str(pack / "wheels"), "--require-hashes", "--no-deps", "--no-cache-dir", "--quiet"]
    options += ["--disable-pip-version-check", "--no-warn-script-location"]
    requirements = ["-r", str(pack / "requirements.txt")]
    _run([python, str(pip / "pip"), "install", *options, *requirements], "the packages could not be installed")
    _run([python, "-m", "pip", "check", "--disable-pip-version-check"], "the packages do not fit together")


def _run(command: Sequence[str], failure: str) -> str:
    done = subprocess.run(command, env=clean_environment(os.environ), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        reason = next((line for line in lines if line.startswith("ERROR:")), lines[-1])
        raise Refused(f"{failure}: {reason.strip()!r}. Make space or mend that, and run the same command again")
    return done.stdout


def copy_models(pack: Path, files: Mapping[str, str], cache: Path) -> int:
    """Put the model files of the pack into the cache, hashes checked on the way; returns how many were new.

    The files that name a model come last: until then an interrupted copy is no model.

    Raises:
        Refused: a file changed while it was copied, or the disk is full.
    """
    names = [name for name in files if name.startswith("models/")]
    copied = 0
    for name in sorted(names, key=lambda name: (name.startswith("models/names/"), name.endswith("base.json"), name)):
        target = cache / name.removeprefix("models/")
        if target.is_file() and (name.startswith("models/names/") or sha256(target) == files[name]):
            continue
        try:
            _copy(pack / name, target, files[name])
        except OSError as error:
            raise Refused(
                f"{str(target)!r} cannot be written: {error.strerror}. Mend that and run the same command again"
            ) from error
        copied += 1
    return copied


def _copy(source: Path, target: Path, expected: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part, digest = target.with_name(f".{target.name}.part"), hashlib.sha256()
    part.unlink(missing_ok=True)
    with part.open("wb") as out:
        for block in _blocks(source):
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != expected:
        part.unlink()
        raise Refused(f"{str(source)!r} was changed while it was copied. Copy the pack again")
    part.chmod(0o644 if target.parent.name == "names" else 0o444)
    part.replace(target)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def install(pack: Path, folder: Path) -> int:
    """Every step. Returns the exit status: 1 when `homeroom doctor` found something missing."""
    say(f"Checking the files of the pack against {MANIFEST} ...")
    files = verify(pack)
    facts: dict[str, Any] = json.loads((pack / FACTS).read_text("utf-8"))  # any JSON
    check_machine(facts["target"], this_machine())
    digest = sha256(pack / MANIFEST)
    say(f"{len(files)} files are as they were packed (manifest {digest}).")
    prepare_folder(folder, digest, int(facts["installed_bytes"]))
    say(f"Installing {facts['packages']} packages into {folder} ...")
    install_packages(pack, folder)
    homeroom = str(folder / "bin" / "homeroom")
    return _models(pack, folder, files, facts, homeroom)


def _models(pack: Path, folder: Path, files: Mapping[str, str], facts: Mapping[str, Any], homeroom: str) -> int:
    models: list[str] = facts["models"]
    environment = clean_environment(os.environ)
    ask = "from homeroom.settings import load_settings as s; print(s().cache); print(s().default_base)"
    cache, default = _run([str(folder / "bin" / "python"), "-I", "-c", ask], "the settings cannot be read").splitlines()
    base = [] if default in models or not models else ["--base", models[0]]
    if models:
        say(f"Putting {', '.join(models)} into {cache} ...")
        copy_models(pack, files, Path(cache))
    for name in models:
        # Makes what the engine reads out of what was packed; with the files in place it asks no network.
        if subprocess.run([homeroom, "models", "pull", name], env=environment, check=False).returncode != 0:
            raise Refused(f"the model {name!r} could not be prepared. Mend what is said above and run the same command again")
    if base:
        environment["HOMEROOM_DEFAULT_BASE"] = models[0]
    doctor = subprocess.run([homeroom, "doctor"], env=environment, check=False).returncode
    say(f"\nInstalled. Next:\n\n    {' '.join([homeroom, 'demo', *base])}\n")
    return 1 if doctor != 0 and models else 0


def main(arguments: Sequence[str], pack: Path, run: Callable[[Path, Path], int] = install) -> int:
    """Install ``pack`` into the folder that ``arguments`` name. Returns 0, 1 (something is missing), 2 or 130 (stopped)."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: sh install.sh DIR      DIR: a new folder for Homeroom, such as ~/homeroom-app", file=sys.stderr)
        return 2
    try:
        return run(pack, Path(arguments[0]).expanduser().absolute())
    except Refused as refused:
        print(f"error: {refused}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to continue.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).resolve().parent))
