"""Taking in models that were tuned elsewhere: a PEFT folder, a GGUF LoRA, or a tuned model of an endpoint."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from homeroom import __version__
from homeroom.app.bases import listed_base
from homeroom.errors import NotFoundError
from homeroom.registry.names import new_model_name
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.models import Suitability, TunedModel

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


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
            from homeroom.models.lora_gguf import CONFIG, WEIGHTS, adapter_to_gguf, check_adapter_folder

            adapter_to_gguf(path, files, draft / "adapter.gguf")
            # The configuration is written anew: whatever else the stranger's says never reaches PEFT.
            (draft / CONFIG).write_text(json.dumps(check_adapter_folder(path, files), indent=2) + "\n", "utf-8")
            shutil.copyfile(path / WEIGHTS, draft / WEIGHTS, follow_symlinks=False)
        else:
            from homeroom.models.gguf_lora import lora_from_gguf

            lora_from_gguf(path, files, draft / "adapter.gguf")
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


def _suffix_of(text: str) -> str:
    """``My_Adapter v2`` to ``my-adapter-v2``: something a model's name may carry."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-") or "imported"
