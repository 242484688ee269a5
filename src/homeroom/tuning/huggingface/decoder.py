"""Token ids to hidden states through the layers of a transformers model, with its weights and our arithmetic.

Llama, Mistral, Qwen2 and Qwen3 are one architecture with options (biases, normed heads), so that one page shows all of it. A
model with something else in it (`supports`) is run by transformers' own code instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it
from peft.tuners.lora import LoraLayer  # noqa: TID253
from torch import Tensor  # noqa: TID253
from torch.utils.checkpoint import checkpoint  # noqa: TID253

from homeroom.tuning.huggingface.arithmetic import (
    Blocks,
    Stored,
    Weight,
    dropout_mask,
    frozen_linear,
    half_turn,
    lora_linears,
    rms_norm,
    rotate,
    swi_glu,
)
from homeroom.tuning.huggingface.attention import (
    Packed,
    causal_attention,
    causal_mask,
    kept_whole_pays,
    packed_attention,
    row_attention,
)

Module = Any  # of transformers or PEFT: untyped
Store = Callable[[Tensor], Stored]
"""Takes a frozen matrix (out, in) and keeps it in another form."""
FAMILIES = ("llama", "qwen2", "qwen3", "mistral")


def supports(config: Any) -> bool:  # transformers' config: untyped
    """Whether `Decoder` computes what this model computes."""
    plain = set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"} and not config.attention_dropout
    if config.model_type == "mistral":
        plain = plain and config.sliding_window is None
    return config.model_type in FAMILIES and config.hidden_act == "silu" and plain


class Linears:
    """Linear layers of one input: one product with their weights below each other, which become views of it, and their LoRA.

    With ``store`` the weights are kept by it alone, and the layers' own are emptied.
    """

    def __init__(self, layers: Sequence[Module], store: Store | None = None) -> None:
        plain = [layer.base_layer if isinstance(layer, LoraLayer) else layer for layer in layers]
        sizes = [len(layer.weight) for layer in plain]
        weight = plain[0].weight.detach()
        self._bias = None if plain[0].bias is None else torch.cat([layer.bias.detach() for layer in plain])
        if len(plain) > 1:
            weight = torch.cat([layer.weight.detach() for layer in plain])
            for layer, rows in zip(plain, weight.split(sizes), strict=True):
                layer.weight.data = rows
        self._weight: Weight = weight if store is None else store(weight)
        if store is not None:
            for layer in plain:
                layer.weight.data = weight.new_empty(0)
        ends = [sum(sizes[: i + 1]) for i in range(len(plain))]
        self._lora = [layer for layer in layers if isinstance(layer, LoraLayer)]
        rows = [(end - size, end) for size, end, layer in zip(sizes, ends, layers, strict=True) if layer in self._lora]
        self._blocks = Blocks(rows, [layer.r["default"] for layer in self._lora])

    def __call__(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out of all layers)."""
        if self._bias is not None and self._bias.device != x.device:  # the model was moved since
            self._bias = self._bias.to(x.device)
        if not self._lora:
            return frozen_linear(x, self._weight, self._bias)
        first = self._lora[0]
        scale, drop, kept = first.scaling["default"], first.lora_dropout["default"], None
        share = float(getattr(drop, "p", 0.0)) if drop.training else 0.0
        if share:
            kept = dropout_mask(x, share)
            scale /= 1 - share
        ab = [weight for layer in self._lora for weight in (layer.lora_A["default"].weight, layer.lora_B["default"].weight)]
        return lora_linears(x, self._weight, self._bias, kept, scale, self._blocks, ab)


@dataclass(frozen=True, slots=True)
class Layer:
    """The parts of one transformer layer."""

    attention_norm: Module
    qkv: Linears
    q_norm: Module | None  # of each head's vector; Qwen3
    k_norm: Module | None
    output: Linears
    feed_forward_norm: Module
    gate_up: Linears
    down: Linears

    @classmethod
    def of(cls, layer: Module, store: Store | None = None) -> Layer:
        """Read them from a layer of transformers, with or without LoRA on it."""
        attention, mlp = layer.self_attn, layer.mlp
        return cls(
            layer.input_layernorm,
            Linears([attention.q_proj, attention.k_proj, attention.v_proj], store),
            getattr(attention, "q_norm", None),
            getattr(attention, "k_norm", None),
            Linears([attention.o_proj], store),
            layer.post_attention_layernorm,
            Linears([mlp.gate_proj, mlp.up_proj], store),
            Linears([mlp.down_proj], store),
        )


@dataclass(frozen=True, slots=True)
class Places:
    """What the layers of one forward pass share: rotary tables (T, all heads * d), and how a token finds those it may look at.

    Attributes:
        mask: For `causal_attention`; None attends by PyTorch's kernels.
        packed: Where sequences follow each other in one row; None where each has its row.
    """

    cos: Tensor
    sin: Tensor
    turn: Tensor
    mask: Tensor | None
    packed: Packed | None


class Decoder:
    """The layers of a model that `supports` accepts. Make it once LoRA is attached.

    Args:
        model: transformers' decoder (``LlamaModel`` and its like).
        store: Keeps the weights of the layers in another form.
        recompute: Keep what goes into a layer only, and compute the rest of it again on the way back (Chen et al. 2016,
            https://arxiv.org/abs/1604.06174).
    """

    def __init__(self, model: Module, store: Store | None = None, *, recompute: bool = False) -> None:
        config = model.config
        self._model = model
        self._head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._heads = [config.num_attention_heads, config.num_key_value_heads, config.num_key_value_heads]  # of q, k, v
        self._layers = [Layer.of(layer, store) for layer in model.layers]
        self._recompute = recompute

    def __call__(self, ids: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """(B, T) token ids to (B, T, H) hidden states. With ``lengths`` B is 1 and the row holds sequences of these lengths."""
        return self.upper(self.lower(ids, 0, lengths), 0, lengths)

    def lower(self, ids: Tensor, until: int, lengths: Sequence[int] | None = None) -> Tensor:
        """(B, T) token ids to the (B, T, H) input of layer ``until``."""
        return self._run(self._model.embed_tokens(ids), self._layers[:until], lengths)

    def upper(self, x: Tensor, start: int, lengths: Sequence[int] | None = None) -> Tensor:
        """(B, T, H) input of layer ``start`` to the hidden states after the last layer and norm."""
        return _norm(self._run(x, self._layers[start:], lengths), self._model.norm)

    def _run(self, x: Tensor, layers: Sequence[Layer], lengths: Sequence[int] | None) -> Tensor:
        if not layers:
            return x
        places = self._places(x, lengths)
        for layer in layers:
            if self._recompute and torch.is_grad_enabled():
                x = checkpoint(self._through, x, layer, places, use_reentrant=False)
            else:
                x = self._through(x, layer, places)
        return x

    def _through(self, x: Tensor, layer: Layer, places: Places) -> Tensor:
        """One layer: (B, T, H) to (B, T, H)."""
        x = x + layer.output(self._mix(_norm(x, layer.attention_norm), layer, places))
        return x + layer.down(swi_glu(layer.gate_up(_norm(x, layer.feed_forward_norm))))

    def _mix(self, x: Tensor, layer: Layer, places: Places) -> Tensor:
        """What each position takes from those before it: (B, T, H) to (B, T, query heads * d)."""
        b, t, _ = x.shape
        qkv = layer.qkv(x)  # (B, T, all heads * d)
        if layer.q_norm is not None:
            q, k, v = qkv.view(b, t, -1, self._head).split(self._heads, dim=2)
            qkv = torch.cat([_norm(q, layer.q_norm), _norm(k, layer.k_norm), v], dim=2).view(b, t, -1)
        turned = rotate(qkv, places.cos, places.sin, places.turn)
        q, k, v = turned.view(b, t, -1, self._head).split(self._heads, dim=2)
        if places.packed is not None:
            mixed = packed_attention(q, k, v, places.packed)
        elif places.mask is not None:
            mixed = causal_attention(q, k, v, places.mask)
        else:
            mixed = row_attention(q, k, v)
        return mixed.reshape(b, t, -1)

    def _places(self, x: Tensor, lengths: Sequence[int] | None) -> Places:
        t, (heads, kv_heads, _) = x.shape[1], self._heads
        packed = None if lengths is None else Packed.of(lengths, x.device)
        positions = torch.arange(t, device=x.device) if packed is None else packed.positions
        cos, sin = self._model.rotary_emb(x, positions[None])  # (1, T, d)
        still = torch.ones_like(cos[0]).repeat(1, kv_heads)  # values are not turned
        cos = torch.cat([cos[0].repeat(1, heads + kv_heads), still], dim=1)
        sin = torch.cat([sin[0].repeat(1, heads + kv_heads), torch.zeros_like(still)], dim=1)
        mask = causal_mask(t, heads, kv_heads, x) if packed is None and kept_whole_pays(x) else None
        return Places(cos, sin, half_turn(self._head, x), mask, packed)


class LibraryDecoder:
    """transformers' own forward, for what `Decoder` does not compute. It runs all layers, and one sequence a row."""

    def __init__(self, model: Module) -> None:
        self._model = model

    def __call__(self, ids: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """(B, T) token ids to (B, T, H) hidden states."""
        assert lengths is None
        states: Tensor = self._model(input_ids=ids, use_cache=False).last_hidden_state
        return states


def _norm(x: Tensor, norm: Module) -> Tensor:
    return rms_norm(x, norm.weight, norm.variance_epsilon)
