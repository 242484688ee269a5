"""The model architectures that Homeroom can put into its engine, and how their tensors are called and laid out.

A GGUF file of the llama architecture stores the rows of the query and key projections in the order of ggml's rotary embedding
(pairs ``(0, 1), (2, 3)...``), Hugging Face in that of its own (``(0, d/2), (1, d/2 + 1)...``): `to_gguf_rows` and
`from_gguf_rows` move between them. Qwen models use Hugging Face's order in both.
Source: ``LlamaModel.permute`` and ``TensorNameMap`` of llama.cpp's ``convert_hf_to_gguf.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from homeroom.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LINEAR_LAYERS: Mapping[str, str] = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Projection inside a layer: Hugging Face name to GGUF name. These are the layers that LoRA can train."""

ENDPOINT_HINT = (
    "Serve it with an OpenAI-compatible server such as Ollama or vLLM, add that to `endpoints` in the settings, "
    "and name the model ENDPOINT/MODEL"
)

_IN_LAYER: Mapping[str, str] = {
    **LINEAR_LAYERS,
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
}
_TOP: Mapping[str, str] = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_HF_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)")
_GGUF_LAYER = re.compile(r"blk\.(\d+)\.(.+)\.(weight|bias)")


@dataclass(frozen=True, slots=True)
class Architecture:
    """One family.

    Attributes:
        hf: Its name in ``config.json``.
        gguf: Its name in GGUF.
        reordered: Whether GGUF reorders query and key rows.
        names: What is called otherwise inside its layers, Hugging Face name to GGUF name.
        norm_offset: Added to the weights of its norms.
    """

    hf: str
    gguf: str
    reordered: bool
    names: Mapping[str, str] = field(default_factory=dict)
    norm_offset: float = 0.0

    def rotary_heads(self, name: str, heads: int, kv_heads: int) -> int:
        """Heads whose rows are reordered in the tensor ``name`` (either naming), 0 where rows stay as they are."""
        if not self.reordered:
            return 0
        if ".attn_q." in name or ".q_proj." in name:
            return heads
        if ".attn_k." in name or ".k_proj." in name:
            return kv_heads
        return 0


LLAMA = Architecture("LlamaForCausalLM", "llama", reordered=True)
_GEMMA_NORMS = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_SUPPORTED = (
    LLAMA,
    Architecture("Qwen2ForCausalLM", "qwen2", reordered=False),
    Architecture("Qwen3ForCausalLM", "qwen3", reordered=False),
    Architecture("MistralForCausalLM", "llama", reordered=True),
    Architecture("Phi3ForCausalLM", "llama", reordered=True),  # taken apart first: `homeroom.models.unfuse`
    Architecture("Gemma3ForCausalLM", "gemma3", reordered=False, names=_GEMMA_NORMS, norm_offset=1.0),
)


def architecture_of(config: Mapping[str, Any], name: str) -> Architecture:
    """The architecture that a ``config.json`` names.

    Raises:
        ConfigError: ``architecture-unsupported`` when the engine cannot be given this model.
    """
    named = list(config.get("architectures") or [])
    found = next((a for a in _SUPPORTED if named == [a.hf]), None)
    if found is None:
        raise ConfigError(
            f"{name!r} has the architecture {', '.join(map(str, named)) or 'unknown'!r}, which the embedded engine is not given"
            f" here (it takes {', '.join(a.hf for a in _SUPPORTED)}). {ENDPOINT_HINT}",
            code="architecture-unsupported",
        )
    return found


def gguf_name(name: str, architecture: Architecture = LLAMA) -> str | None:
    """``model.layers.3.mlp.up_proj.weight`` to ``blk.3.ffn_up.weight``; None for a tensor that none of the architectures has."""
    if match := _HF_LAYER.fullmatch(name):
        part = architecture.names.get(match[2]) or _IN_LAYER.get(match[2])
        return part and f"blk.{match[1]}.{part}.{match[3]}"
    stem, _, kind = name.rpartition(".")
    return f"{_TOP[stem]}.{kind}" if stem in _TOP else None


def hf_name(name: str) -> str | None:
    """The inverse of `gguf_name`."""
    if match := _GGUF_LAYER.fullmatch(name):
        part = next((hf for hf, gguf in _IN_LAYER.items() if gguf == match[2]), None)
        return part and f"model.layers.{match[1]}.{part}.{match[3]}"
    stem, _, kind = name.rpartition(".")
    return next((f"{hf}.{kind}" for hf, gguf in _TOP.items() if gguf == stem), None)


# The number type is whatever the caller's weights have: Any.
def to_gguf_rows(rows: NDArray[Any], heads: int) -> NDArray[Any]:
    """Hugging Face's row order to ggml's. ``rows``: (heads * d, ...), same shape out; ``heads`` 0 changes nothing."""
    if heads == 0:
        return rows
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, half, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def from_gguf_rows(rows: NDArray[Any], heads: int) -> NDArray[Any]:
    """The inverse of `to_gguf_rows`."""
    if heads == 0:
        return rows
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, half, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
