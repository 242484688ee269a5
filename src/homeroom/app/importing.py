"""Taking in models that were tuned elsewhere: a PEFT folder, a GGUF LoRA, or a tuned model of an endpoint."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom import __version__
from homeroom.app.bases import listed_base
from homeroom.errors import ConfigError, ConflictError, NotFoundError
from homeroom.registry.names import new_model_name
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.models import BaseFiles, Suitability, TunedModel

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

GGUF_MAGIC = b"GGUF"


def import_model(
    home: Homeroom, source: str, *, base: str | None, task: str, suffix: str | None, system_prompt: str = ""
) -> TunedModel:
    """Register what ``source`` names.

    Args:
        home: The open home.
        source: A folder with a PEFT adapter, a ``.gguf`` LoRA, or ``ENDPOINT/MODEL``.
        base: Base model of an adapter, the default base when None; for a model of an endpoint the one that it was tuned from
            (``ENDPOINT/MODEL``), which it can then be judged against.
        task: ``tutor`` or ``learner``.
        suffix: Its name; taken from the source when None.
        system_prompt: What it was tuned with.

    Raises:
        NotFoundError: no such file, folder or endpoint (``import-source``).
        ConfigError: it is not a LoRA that is safe to read; the message says why.
        ConflictError: it was made for another base (``base-mismatch``).
    """
    path = Path(source)
    settings = {**GenerationSettings().to_dict(), "system_prompt": system_prompt}
    if path.is_dir() or path.suffix == ".gguf":
        return _import_adapter(home, path, base, task, suffix or _suffix_of(path.stem), settings)
    endpoint, slash, model = source.partition("/")
    if slash and any(e.name == endpoint for e in home.settings.endpoints):
        name = new_model_name(
            _suffix_of(model.split(":")[1] if model.startswith("ft:") else model), suffix or _suffix_of(endpoint)
        )
        return home.registry.register(
            TunedModel(
                name=name,
                base=base or model,
                base_identity="",
                method="openai",
                kind="remote",
                task=task,
                suffix=name.split(":")[-2],
                suitability="trainee",
                code_version=__version__,
                settings=settings,
                remote_id=source,
            )
        )
    known = ", ".join(e.name for e in home.settings.endpoints) or "none"
    raise NotFoundError(
        f"{source!r} is neither a folder with a PEFT adapter, nor a .gguf file that exists, nor ENDPOINT/MODEL of an endpoint in "
        f"the settings (endpoints: {known}). See: homeroom models import --help",
        code="import-source",
    )


def _import_adapter(
    home: Homeroom, path: Path, base: str | None, task: str, suffix: str, settings: dict[str, object]
) -> TunedModel:
    files = home.base_files(base)
    if not path.exists():
        raise NotFoundError(f"There is no file {str(path)!r}. Check the path.", code="import-source")
    listed = listed_base(files.name)
    suitability: Suitability = listed.suitability if listed else "practice"
    with home.artifacts.write("model") as draft:
        if path.is_dir():
            from homeroom.models.lora_gguf import CONFIG, WEIGHTS, adapter_to_gguf

            adapter_to_gguf(path, files, draft / "adapter.gguf")
            for name in (CONFIG, WEIGHTS):
                shutil.copyfile(path / name, draft / name)
        else:
            _check_gguf_lora(path, files)
            shutil.copyfile(path, draft / "adapter.gguf")
    return home.registry.register(
        TunedModel(
            name=new_model_name(files.name, suffix),
            base=files.name,
            base_identity=files.identity,
            method="huggingface",
            kind="lora",
            task=task,
            suffix=suffix,
            suitability=suitability,
            artifact=draft.id,
            code_version=__version__,
            settings=settings,
        )
    )


def _check_gguf_lora(path: Path, base: BaseFiles) -> None:
    """Refuse what is not a LoRA of ``base`` in GGUF: one that does not fit would keep the engine from starting for every model.

    Raises:
        ConfigError: ``adapter-files``.
        ConflictError: ``base-mismatch``.
    """
    import gguf

    if path.read_bytes()[:4] != GGUF_MAGIC:
        raise ConfigError(f"{path.name!r} is not a GGUF file. Import a PEFT folder or a GGUF LoRA.", code="adapter-files")
    try:
        reader = gguf.GGUFReader(path)
        identity, kind = (_text(reader, key) for key in ("homeroom.base_identity", "adapter.type"))
        shapes = {tensor.name: tuple(int(n) for n in tensor.shape) for tensor in reader.tensors}
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise ConfigError(
            f"{path.name!r} is damaged or cut off, so it cannot be read as GGUF. Copy it again.", code="adapter-files"
        ) from error
    if kind != "lora":
        raise ConfigError(
            f"{path.name!r} is a GGUF file without adapter.type = lora, so it is not a LoRA. Whole models are pulled: "
            "homeroom models pull ORG/NAME",
            code="adapter-files",
        )
    wanted = {tensor.name: tuple(int(n) for n in tensor.shape) for tensor in gguf.GGUFReader(base.gguf).tensors}
    if identity not in ("", base.identity) or not _fits(shapes, wanted):
        raise ConflictError(
            f"{path.name!r} was made for another base model than {base.name!r}. Name the right one: homeroom models import "
            f"{path} --base NAME",
            code="base-mismatch",
        )


def _text(reader: Any, key: str) -> str:  # gguf has no types
    field = reader.get_field(key)
    return str(field.contents()) if field is not None else ""


def _fits(adapter: Mapping[str, tuple[int, ...]], base: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether each pair of LoRA tensors belongs to a tensor of the base. GGUF lists dimensions inner first: A is (in, r)."""
    layers = {name.rpartition(".lora_")[0] for name in adapter}
    pairs = [(adapter.get(f"{layer}.lora_a", ()), adapter.get(f"{layer}.lora_b", ()), base.get(layer, ())) for layer in layers]
    return bool(pairs) and all(len(a) == len(b) == len(w) == 2 and (a[0], b[1]) == w and a[1] == b[0] for a, b, w in pairs)


def _suffix_of(text: str) -> str:
    """``My_Adapter v2`` to ``my-adapter-v2``: something a model's name may carry."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-") or "imported"
