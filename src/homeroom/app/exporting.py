"""A model for use elsewhere: merged weights, the engine's file, or a folder for Ollama. Each is compared with the original."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from homeroom import __version__
from homeroom.app.bases import listed_base
from homeroom.app.export_check import Checked, check_engine_file, check_merged, original_answers, require_merged
from homeroom.app.own_weights import own_files
from homeroom.app.work import MOST_JOBS
from homeroom.errors import ConfigError, ConflictError, StorageError
from homeroom.models import ollama
from homeroom.models.gguf_write import QUANTISATIONS, folder_to_gguf
from homeroom.models.merge import NUMBERS, Merged
from homeroom.models.prepared import file_sha256
from homeroom.models.pull import installed
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.jobs import Job
from homeroom.schema.models import BaseFiles, TunedModel
from homeroom.storage.errors import disk_errors, folder_errors
from homeroom.storage.files import sync_file, sync_folder
from homeroom.storage.held import hold
from homeroom.tuning.recipe import fill_system_prompt

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

Target = Literal["merged", "gguf", "ollama"]
TARGETS: Sequence[Target] = ("merged", "gguf", "ollama")
RECORD = "export.json"
"""In the exported folder: what it was made of and what its check found. A folder without it is never replaced."""
FILE, MODELFILE = "model.gguf", "Modelfile"
STAGES = 2
"""How often an export says what it does."""
_BITS: Mapping[str, float] = {"f32": 32, "f16": 16, "bf16": 16, "q8_0": 8.5, "q5_1": 6, "q5_0": 5.5, "q4_1": 5, "q4_0": 4.5}
_SMALL_BYTES = 30_000_000  # tokenizer and the like

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Source:
    """What is exported.

    Attributes:
        name: Of the model.
        files: Its base, or its own weights.
        adapter: Folder with the adapter; None where the weights say it all.
        settings: How its replies are drawn.
        system: Its prompt, as it is where nobody says subject or grade.
        licence: Of the base.
    """

    name: str
    files: BaseFiles
    adapter: Path | None
    settings: GenerationSettings
    system: str
    licence: str

    @property
    def engine_adapter(self) -> Path | None:
        """The engine's file of the adapter."""
        return None if self.adapter is None else self.adapter / "adapter.gguf"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written and what its check found."""

    model: str
    to: Target
    number: str
    folder: Path
    size_bytes: int
    checked: Checked


def export_model(
    home: Homeroom,
    reference: str,
    to: Target,
    out: Path,
    *,
    number: str | None = None,
    force: bool = False,
    say: Say = lambda line: None,
    job: str = "",
) -> Exported:
    """Write a model into a new folder, compare it with the original, and only then give the folder its name.

    Args:
        home: The open home.
        reference: Name, id8 or suffix of a tuned model, or a base that is here.
        to: ``merged``: safetensors that transformers loads; ``gguf``: the file of llama.cpp; ``ollama``: that and a Modelfile.
        out: The folder.
        number: Number type of the weights; the base's own for ``merged``, ``q8_0`` for the others when None.
        force: Replace an earlier export.
        say: Told what is done.
        job: The job that exports, for the record.

    Raises:
        NotFoundError: no such model, or its base is not here.
        ConfigError: ``export-kind``: it has no weights here; ``export-type``; ``export-template``.
        ConflictError: ``export-exists``, ``export-running``; ``export-differs``: the check failed, and nothing is left behind.
        StorageError: ``no-space``, ``not-writable``.
        MissingExtraError: what the check of merged weights needs is not installed.
    """
    source, merged, number, out = _looked_at(home, reference, to, out, number, force=force)
    with _draft(out) as draft:
        say(f"writing {source.name} as {number}")
        if to == "merged":
            merged.save(draft, number)
            say("comparing it with the original")
            checked = check_merged(source.files, source.adapter, draft, source.system, number)
        else:
            folder_to_gguf(source.files.weights, draft / FILE, name=source.name, quantisation=number, load=merged.load)
            if to == "ollama":
                (draft / MODELFILE).write_text(_modelfile(home, source), encoding="utf-8")
            say("comparing it with the original")
            original = original_answers(home, source.files, source.name if source.adapter else None, source.system)
            checked = check_engine_file(home, source.files, draft / FILE, original, number)
        if not checked.passed:
            raise ConflictError(
                f"The export of {source.name!r} as {number} differs from the original by more than rounding explains "
                f"({checked.text}). Nothing was written. Take more bits: --type f16; if that differs too, please report it",
                code="export-differs",
            )
        files = {path.name: file_sha256(path) for path in sorted(draft.iterdir())}
        _record(draft, source, to, number, checked, files, job)
        size = sum(path.stat().st_size for path in draft.iterdir())
        _place(draft, out)
    return Exported(source.name, to, number, out, size, checked)


def submit_export(
    home: Homeroom, reference: str, to: Target, out: Path, *, number: str | None = None, force: bool = False
) -> Job:
    """Queue an export, once everything was looked at that can be refused before it begins; the same that is not over goes on.

    Args and errors are those of `export_model`, but for the errors of the check itself: with those the job fails.
    """
    source, _, number, out = _looked_at(home, reference, to, out, number, force=force)
    payload = {"model": source.name, "to": to, "out": str(out), "number": number, "force": force}
    begun = (job for job in home.jobs.list(kind="export", limit=MOST_JOBS) if job.payload == payload and not job.done)
    return next(begun, None) or home.jobs.submit("export", payload)


def exported_by(out: Path, job: str) -> Exported | None:
    """What a job has exported into the folder; None where that is not there, or is another's."""
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
        if record.get("job") != job:
            return None
        size = sum(path.stat().st_size for path in out.iterdir())
        checked = Checked(**{**record["check"], "warnings": tuple(record["check"]["warnings"])})
        return Exported(record["model"], record["to"], record["type"], out, size, checked)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no export's folder
        return None


def _looked_at(
    home: Homeroom, reference: str, to: Target, out: Path, number: str | None, *, force: bool
) -> tuple[Source, Merged, str, Path]:
    """What is exported, as which number type and where to, after all that can be refused before anything is written."""
    source = source_of(home, reference)
    merged = Merged(source.files, source.engine_adapter)
    number = _number(merged, to, number)
    if to == "merged":
        require_merged(source.adapter)
    out = out.absolute()
    _require_free(out, force=force)
    _require_space(out, merged, number)
    return source, merged, number, out


def source_of(home: Homeroom, reference: str) -> Source:
    """What a name stands for.

    Raises:
        NotFoundError: ``model-not-found``, ``not-pulled``.
        ConfigError: ``export-kind``.
    """
    files = installed(reference, home.settings.cache)
    if files is not None:
        listed = listed_base(files.name)
        return Source(files.name, files, None, GenerationSettings(), "", listed.licence if listed else "")
    model = home.registry.get(reference)
    _require_weights(model)
    listed = listed_base(model.base)
    adapter = home.artifacts.path(model.artifact) if model.kind == "lora" else None
    return Source(
        model.name,
        own_files(home, model) if adapter is None else home.base_files(model.base),
        adapter,
        GenerationSettings.from_dict(dict(model.settings)),
        fill_system_prompt(str(model.settings.get("system_prompt") or ""), {}),
        listed.licence if listed else "",
    )


def _require_weights(model: TunedModel) -> None:
    if model.kind in ("lora", "full") and model.method != "dspy":
        return
    if model.kind == "lora":
        raise ConfigError(
            f"{model.name!r} is an adapter and a prompt that were searched together, and only here do they answer together. "
            f"Export the prompt as messages: homeroom tune show-prompt {model.id8} --output FILE.json",
            code="export-kind",
        )
    if model.kind == "prompt":
        raise ConfigError(
            f"{model.name!r} is a prompt on {model.base!r}: it has no weights of its own. Export the prompt as messages: "
            f"homeroom tune show-prompt {model.id8} --output FILE.json"
            + ("" if "/" in model.base else f"; or the base: homeroom models export {model.base} --to gguf --out FOLDER"),
            code="export-kind",
        )
    raise ConfigError(
        f"{model.name!r} is a model of an endpoint ({model.remote_id!r}): its weights are not here. Models that can be exported "
        "are tuned here with the method huggingface: homeroom models list",
        code="export-kind",
    )


def _number(merged: Merged, to: Target, asked: str | None) -> str:
    known = tuple(NUMBERS) if to == "merged" else QUANTISATIONS
    number = asked or (merged.number if to == "merged" else "q8_0")
    if number not in known:
        raise ConfigError(
            f"--type {number!r} is not written for --to {to}: it takes {', '.join(known)}. See: homeroom models export --help",
            code="export-type",
        )
    return number


def _require_free(out: Path, *, force: bool) -> None:
    """Refuse to touch what is there, unless it is an earlier export and may be replaced."""
    if not out.exists() and not out.is_symlink():
        return
    ours = out.is_dir() and not out.is_symlink() and ((out / RECORD).is_file() or not any(out.iterdir()))
    if force and ours:
        return
    hint = "Replace it: --force" if ours else "It was not made by an export, so it is never replaced. Name another folder"
    raise ConflictError(f"{str(out)!r} is there already. {hint}", code="export-exists")


def _require_space(out: Path, merged: Merged, number: str) -> None:
    parameters = sum(math.prod(tensor.shape) for tensor in merged.tensors)
    needed = round(parameters * _BITS[number] / 8 * 1.1) + _SMALL_BYTES
    place = next(parent for parent in out.parents if parent.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise StorageError(
            f"The export needs about {needed / 1e6:,.0f} MB, and the disk of {str(place)!r} has {free / 1e6:,.0f} MB free. "
            "Nothing was begun. Make space, name a folder on another disk (--out), or take fewer bits (--type)",
            code="no-space",
        )


@contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` to write in, which is removed unless it was given its name; one export at a time.

    What an export that was killed left behind is removed first.
    """
    with folder_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
    with disk_errors(out), folder_errors(out.parent):
        mark = hold(out.with_name(f".{out.name}.lock"))
    if mark is None:
        raise ConflictError(
            f"Another export to {str(out)!r} is under way. Wait for it, or name another folder", code="export-running"
        )
    draft = out.with_name(f".{out.name}.part")
    with mark:
        try:
            shutil.rmtree(draft, ignore_errors=True)
            with disk_errors(out):
                draft.mkdir()
                yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _place(draft: Path, out: Path) -> None:
    """Give the draft its name. An earlier export is moved aside first, and put back if that fails."""
    for path in draft.iterdir():
        sync_file(path)
    sync_folder(draft)
    aside = out.with_name(f".{out.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if out.exists():
        out.rename(aside)
    try:
        draft.rename(out)
    except OSError:
        if aside.exists():
            aside.rename(out)
        raise
    sync_folder(out.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _modelfile(home: Homeroom, source: Source) -> str:
    context = min(home.settings.engine_context, source.files.context_tokens)
    return ollama.modelfile(
        FILE, source.files.weights, source.name, source.settings, system=source.system, context_tokens=context
    )


def _record(folder: Path, source: Source, to: Target, number: str, checked: Checked, files: Mapping[str, str], job: str) -> None:
    record: dict[str, Any] = {  # JSON
        "model": source.name,
        "base_identity": source.files.identity,
        "licence": source.licence,
        "to": to,
        "type": number,
        "made_with": f"Homeroom {__version__}",
        **({"job": job} if job else {}),
        "system_prompt": source.system,
        "settings": source.settings.to_dict(),
        "check": asdict(checked),
        "sha256": dict(files),
    }
    (folder / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
