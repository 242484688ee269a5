"""The embedded engine's own process: ``python -m homeroom.models.engine_child CONFIG``.

It hosts llama.cpp's server on a loopback port that the system picks, behind a key, and ends when its parent does. Native code
that reads model files thus never runs in the process that serves people. ``CONFIG`` is a JSON file of mode 0600, deleted once
read:

    {"gguf": path, "alias": name, "adapters": [path, ...], "slots": 4, "context": 2048, "threads": 2, "key": "...",
     "embedding": false, "report": path}

When it is ready it writes ``{"url": ..., "pid": ...}`` to ``report``, otherwise ``{"error": ...}``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.models.prepared import write_atomic
from homeroom.models.template import VARIABLES

if TYPE_CHECKING:
    from xllamacpp import CommonParams

_PARENT_CHECK_S = 0.5


def main(arguments: list[str]) -> int:
    """Serve until the parent ends or a signal comes. Returns the exit status."""
    parent = os.getppid()
    path = Path(arguments[0])
    # Written by `homeroom.models.engine`: Any.
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    report = Path(config["report"])

    from xllamacpp import Server

    try:
        server = Server(parameters(config))
    except RuntimeError as error:
        _say(report, {"error": str(error)})
        return 1
    _say(report, {"url": server.listening_address, "pid": os.getpid()})
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    return 0


def parameters(config: dict[str, Any]) -> CommonParams:
    """llama.cpp's settings for ``config``: every rule of the engine that is set at start."""
    from xllamacpp import CommonAdapterLoraInfo, CommonParams, common_reasoning_format

    params = CommonParams()
    params.model.path = config["gguf"]
    params.model_alias = {config["alias"]}
    params.n_parallel = config["slots"]
    params.n_ctx = config["context"] * config["slots"]
    if config["embedding"]:
        params.embedding = True
        # Every position sees every other one, so a text is computed in one go, and several short ones together.
        params.n_batch = params.n_ubatch = config["context"]
    params.kv_unified = False  # each conversation has its own, whole context
    params.fit_params = False  # the context that was asked for, or a refusal: never silently a shorter one
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = config["threads"]
    params.verbosity = 1  # errors
    params.api_keys = [config["key"]]
    params.cors_origins = ""
    params.ui = False
    params.endpoint_slots = True  # says when it is idle, and may be stopped
    # llama.cpp has open bugs where caches meet adapters: another adapter's or another conversation's state was restored.
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
    params.slot_prompt_similarity = 0.0
    params.lora_init_without_apply = True
    adapters = []
    for path in config["adapters"]:
        adapter = CommonAdapterLoraInfo()
        adapter.path, adapter.scale = path, 0.0
        adapters.append(adapter)
    params.lora_adapters = adapters
    # The reply is what the model wrote: no thoughts are cut out of it (`force_pure_content_parser` would strip its white space),
    # and a last assistant message is not continued.
    params.prefill_assistant = False
    params.reasoning_format = common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    params.default_template_kwargs = {name: json.dumps(value) for name, value in VARIABLES.items()}
    return params


def _say(path: Path, record: dict[str, Any]) -> None:
    write_atomic(path, json.dumps(record), mode=0o600)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
