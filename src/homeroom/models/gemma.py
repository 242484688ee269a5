"""Gemma 3's text models: what sets their configuration apart, and what of it the engine is told.

Five layers of six look back over a window only and turn by another rotary base; norms multiply by one more than their weights,
and each part of a layer has one behind it as well. Gemma 2 also bends its logits, which training here does not compute.
Source: ``Gemma3TextConfig`` of transformers, and ``Gemma3Model`` of llama.cpp's ``convert_hf_to_gguf.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from homeroom.errors import ConfigError
from homeroom.models.architectures import ENDPOINT_HINT

if TYPE_CHECKING:
    from gguf import GGUFWriter

ARCHITECTURE = "Gemma3ForCausalLM"
MODEL_TYPE = "gemma3_text"
PERIOD = 6
"""Every so many layers one looks at everything; the engine knows no other period."""
LOCAL_BASE = 10_000.0
ACTIVATION = "gelu_pytorch_tanh"
NORMS = ("pre_feedforward_layernorm", "post_feedforward_layernorm")
_SCALED_OTHERWISE = 62
"""Layers of the 27B model, whose attention the engine scales by another number."""


# Configurations are JSON written by others: Any.
def gemma_config(config: dict[str, Any], record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The checked ``config`` of a Gemma 3 text model, made whole from its published ``record``.

    Raises:
        ConfigError: ``architecture-unsupported`` for one that the engine would compute otherwise; ``model-files``.
    """
    layers = int(config["num_hidden_layers"])
    size = config.get("head_dim") or 256
    turned = record.get("rope_parameters") if isinstance(record.get("rope_parameters"), dict) else {}
    assert isinstance(turned, dict)
    whole, local = turned.get("full_attention") or {}, turned.get("sliding_attention") or {}
    kinds = layer_types(layers)
    wants = {
        "hidden_activation": (record.get("hidden_activation") or ACTIVATION, ACTIVATION),
        "query_pre_attn_scalar": (record.get("query_pre_attn_scalar", 256), size),
        "attn_logit_softcapping": (record.get("attn_logit_softcapping"), None),
        "final_logit_softcapping": (record.get("final_logit_softcapping"), None),
        "attention_bias": (bool(record.get("attention_bias")), False),
        "use_bidirectional_attention": (bool(record.get("use_bidirectional_attention")), False),
        "layer_types": (config.get("layer_types", kinds), kinds),
        "sliding_window_pattern": (record.get("sliding_window_pattern", PERIOD), PERIOD),
        "rope_scaling": (record.get("rope_scaling"), None),
        "rope_type": ([part.get("rope_type", "default") for part in (whole, local)], ["default", "default"]),
        "rope_local_base_freq": (local.get("rope_theta", record.get("rope_local_base_freq", LOCAL_BASE)), LOCAL_BASE),
        "tie_word_embeddings": (record.get("tie_word_embeddings", True), True),
        "num_hidden_layers": (layers == _SCALED_OTHERWISE, False),
    }
    odd = next((key for key, (found, wanted) in wants.items() if found != wanted), None)
    if odd is not None:
        raise ConfigError(
            f"{name!r} is a Gemma model with {odd} = {record.get(odd, wants[odd][0])!r:.80}, which is not converted here. "
            f"{ENDPOINT_HINT}",
            code="architecture-unsupported",
        )
    window, theta = record.get("sliding_window", 4096), whole.get("rope_theta", record.get("rope_theta", 1_000_000.0))
    if not _whole_number(window) or not isinstance(theta, int | float) or not 0 < theta < 1e12:
        raise ConfigError(
            f"The 'config.json' of {name!r} has the window {window!r:.40} and the rotary base {theta!r:.40}. Fetch the model "
            "again: homeroom models pull NAME",
            code="model-files",
        )
    kept = {key: value for key, value in config.items() if key not in ("rope_theta", "rope_scaling", "hidden_act")}
    return kept | {
        "head_dim": size,
        "hidden_activation": ACTIVATION,
        "query_pre_attn_scalar": size,
        "sliding_window": window,
        "layer_types": kinds,
        "tie_word_embeddings": True,
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": float(theta)},
            "sliding_attention": {"rope_type": "default", "rope_theta": LOCAL_BASE},
        },
    }


def layer_types(layers: int) -> list[str]:
    """What each layer looks at: every sixth at everything."""
    return ["sliding_attention" if (layer + 1) % PERIOD else "full_attention" for layer in range(layers)]


def add_gemma_sizes(writer: GGUFWriter, config: Mapping[str, Any]) -> None:
    """What the engine is told of a Gemma model beside the sizes that all have."""
    writer.add_sliding_window(int(config["sliding_window"]))


def _whole_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000
