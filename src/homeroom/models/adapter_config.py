"""What an ``adapter_config.json`` may say. Only the keys below are kept, so nothing else of a stranger's file reaches PEFT.

PEFT's configuration can name modules to import, patterns to match and models to fetch; a LoRA on linear layers needs none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from homeroom.errors import ConfigError

IDENTITY_KEY = "homeroom_base_identity"
"""Under this key a tuning run writes the identity of its base: into the metadata of the safetensors file, which PEFT leaves alone
(a key of ours in ``adapter_config.json`` is read too, but makes PEFT warn)."""

# Options of PEFT that change what an adapter computes in ways the engine cannot.
_UNSUPPORTED = (
    "use_dora",
    "use_qalora",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "fan_in_fan_out",
    "layer_replication",
    "lora_bias",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "megatron_config",
    "monteclora_config",
    "use_bdlora",
    "velora_config",
)


_Layer = Annotated[int, Field(ge=0, lt=10_000)]


class _Lora(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    peft_type: Literal["LORA"]
    r: Annotated[int, Field(ge=1, le=4096)]
    lora_alpha: Annotated[float, Field(gt=0, le=1e6)]
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    use_rslora: bool = False
    layers_to_transform: list[_Layer] | _Layer | None = None


def plain_lora(record: Mapping[str, Any], name: str, modules: list[str]) -> dict[str, Any]:
    """The configuration of a plain LoRA, made anew from ``record``.

    Args:
        record: A stranger's ``adapter_config.json``.
        name: The file, for messages.
        modules: Names of the layers that the weights are for, such as ``q_proj``: the weights say it, the record need not.

    Raises:
        ConfigError: ``remote-code``, ``adapter-unsupported``, or ``adapter-files`` for values out of range.
    """
    if "auto_map" in record or record.get("auto_mapping"):
        raise ConfigError(
            f"{name!r} asks to run the adapter's own Python code (auto_map), which Homeroom never does. Save it as a plain LoRA, "
            "or tune again: homeroom tune run",
            code="remote-code",
        )
    used = [option for option in _UNSUPPORTED if record.get(option)]
    if record.get("peft_type") != "LORA" or used or record.get("bias", "none") != "none":
        raise ConfigError(
            f"The adapter is {record.get('peft_type')!r:.40} with {', '.join(used) or 'bias=' + repr(record.get('bias'))[:40]};"
            " the engine takes plain LoRA on linear layers. Tune again with: homeroom tune run",
            code="adapter-unsupported",
        )
    try:
        lora = _Lora.model_validate(dict(record))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))} = {e['input']!r:.40}: {e['msg']}" for e in error.errors()[:3])
        raise ConfigError(
            f"{name!r} is not the configuration of a LoRA: {wrong}. Save the adapter again with PEFT", code="adapter-files"
        ) from error
    kept = lora.model_dump()
    if lora.layers_to_transform is not None:
        kept["layers_pattern"] = "layers"
    identity = record.get(IDENTITY_KEY)
    if isinstance(identity, str):
        kept[IDENTITY_KEY] = identity
    return {**kept, "bias": "none", "task_type": "CAUSAL_LM", "target_modules": modules}
