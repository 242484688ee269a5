"""Which tensors a model must have, and in which shapes: found out before anything is computed with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from homeroom.errors import ConfigError
from homeroom.models import gemma
from homeroom.models.folder import Tensor


def check_tensors(tensors: Iterable[Tensor], config: Mapping[str, Any], name: str) -> None:  # config: JSON
    """Refuse a model that lacks a tensor, or has one in another shape than its configuration says. Others are not looked at.

    Raises:
        ConfigError: ``model-files``.
    """
    found = {tensor.name: tensor.shape for tensor in tensors}
    required, optional = _shapes(config)
    for tensor, shape in (*required.items(), *((key, value) for key, value in optional.items() if key in found)):
        if found.get(tensor) != shape:
            raise ConfigError(
                f"{name!r} has the tensor {tensor!r} in the shape {found.get(tensor, 'none')}, and its config.json says {shape}. "
                "Fetch the model again: homeroom models pull NAME",
                code="model-files",
            )


def _shapes(config: Mapping[str, Any]) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    hidden, inner, heads = (int(config[key]) for key in ("hidden_size", "intermediate_size", "num_attention_heads"))
    size = int(config.get("head_dim") or hidden // heads)
    queries, keys = heads * size, int(config.get("num_key_value_heads") or heads) * size
    projections = {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    norms: dict[str, tuple[int, ...]] = {"input_layernorm": (hidden,), "post_attention_layernorm": (hidden,)}
    if config.get("model_type") == gemma.MODEL_TYPE:
        norms |= {**dict.fromkeys(gemma.NORMS, (hidden,)), "self_attn.q_norm": (size,), "self_attn.k_norm": (size,)}
    own = {"self_attn.q_norm": (size,), "self_attn.k_norm": (size,)}
    table = (int(config["vocab_size"]), hidden)
    required: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": table, "model.norm.weight": (hidden,)}
    optional: dict[str, tuple[int, ...]] = {}
    (optional if config.get("tie_word_embeddings") else required)["lm_head.weight"] = table
    for layer in range(int(config["num_hidden_layers"])):
        stem = f"model.layers.{layer}."
        required |= {f"{stem}{part}.weight": shape for part, shape in (*projections.items(), *norms.items())}
        optional |= {f"{stem}{part}.weight": shape for part, shape in own.items()}
        optional |= {f"{stem}{part}.bias": shape[:1] for part, shape in projections.items()}
    return required, optional
