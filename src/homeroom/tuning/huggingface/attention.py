"""Causal attention in the three ways that pay: kept whole, by PyTorch's kernel for rows, and for sequences packed into one row.

Shapes: q (B, T, heads, d), k and v (B, T, kv heads, d); the result is (B, T, heads, d) or flattened at its end.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it
from torch import Tensor  # noqa: TID253
from torch.nn import functional  # noqa: TID253

Context = Any  # autograd's context carries whatever is saved on it


WHOLE_LIMIT = 512
"""Longest sequence whose probabilities `causal_attention` keeps: T squared numbers a head."""


def kept_whole_pays(x: Tensor) -> bool:
    """Whether `causal_attention` beats PyTorch's kernel for (B, T, H) like ``x``: short, and bfloat16 on a processor."""
    return bool(x.device.type == "cpu" and x.dtype == torch.bfloat16 and x.shape[1] <= WHOLE_LIMIT)


def causal_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """One sequence a row; (B, T, heads * d). Keeps the probabilities for backward, and ``mask`` is from `causal_mask`.

    The heads that share a key are stacked, so that each key and value is multiplied once and never repeated. Memory grows with T
    squared: for short sequences, where it is faster than PyTorch's fused kernel if the hardware multiplies bfloat16 matrices.
    """
    mixed: Tensor = _CausalAttention.apply(q, k, v, mask, q.shape[-1] ** -0.5)
    return mixed


class _CausalAttention(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    @staticmethod
    def forward(ctx: Context, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
        b, t, heads, d = q.shape
        q, k, v = _stack(q, k.shape[2]), _stack(k, k.shape[2]), _stack(v, k.shape[2])
        scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale)
        shares = torch.softmax(scores, dim=-1)
        ctx.save_for_backward(q, k, v, shares)
        ctx.sizes, ctx.scale = (b, t, heads, d), scale
        return _unstack(torch.bmm(shares, v), ctx.sizes).reshape(b, t, heads * d)

    @staticmethod
    def backward(ctx: Context, grad: Tensor) -> Any:
        q, k, v, shares = ctx.saved_tensors
        b, t, heads, d = ctx.sizes
        grad = _stack(grad.view(b, t, heads, d), len(k) // b)
        grad_v = torch.bmm(shares.transpose(1, 2), grad)
        grad_shares = torch.bmm(grad, v.transpose(1, 2))
        grad_scores = torch.ops.aten._softmax_backward_data(grad_shares, shares, -1, shares.dtype)
        grad_q = torch.bmm(grad_scores, k).mul_(ctx.scale)
        grad_k = torch.bmm(grad_scores.transpose(1, 2), q).mul_(ctx.scale)
        kv = (b, t, len(k) // b, d)
        return _unstack(grad_q, ctx.sizes), _unstack(grad_k, kv), _unstack(grad_v, kv), None, None


def causal_mask(positions: int, heads: int, kv_heads: int, like: Tensor) -> Tensor:
    """0 where a query may look, -inf where it may not: (heads / kv heads * T, T), heads that share a key below each other."""
    mask = torch.full((positions, positions), -torch.inf, dtype=like.dtype, device=like.device).triu_(1)
    return mask.repeat(heads // kv_heads, 1)


def _stack(x: Tensor, groups: int) -> Tensor:
    """(B, T, heads, d) to (B * groups, heads / groups * T, d)."""
    b, t, heads, d = x.shape
    return x.view(b, t, groups, heads // groups, d).permute(0, 2, 3, 1, 4).reshape(b * groups, -1, d)


def _unstack(x: Tensor, sizes: tuple[int, int, int, int]) -> Tensor:
    """The inverse of `_stack`, as a view."""
    b, t, heads, d = sizes
    return x.view(b, heads, t, d).transpose(1, 2)


def row_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One sequence a row, by PyTorch's fused kernel. Padding belongs on the right, where nothing looks at it."""
    groups = q.shape[2] // k.shape[2]
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    if q.device.type == "cpu" and groups > 1:  # repeated keys are faster there than the kernel's own grouping
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    mixed: Tensor = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=k.shape[1] != q.shape[1])
    return mixed.transpose(1, 2)


@dataclass(frozen=True, slots=True)
class Packed:
    """Sequences that follow each other in one row, none looking at another.

    Attributes:
        lengths: Of each, in order.
        positions: (T,) counted anew in each.
        ends: (sequences + 1,) int32: where each begins, and the end.
    """

    lengths: tuple[int, ...]
    positions: Tensor
    ends: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Packed:
        """From their lengths."""
        positions = torch.cat([torch.arange(length) for length in lengths])
        ends = torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)
        return cls(tuple(lengths), positions.to(device), ends.to(device))


def packed_attention(q: Tensor, k: Tensor, v: Tensor, packed: Packed) -> Tensor:
    """B is 1: FlashAttention for variable lengths where PyTorch has it (a GPU and 16-bit numbers), else sequence by sequence."""
    varlen = _varlen() if q.device.type == "cuda" and q.dtype != torch.float32 else None
    if varlen is None:
        rows = zip(*(x.split(packed.lengths, dim=1) for x in (q, k, v)), strict=True)
        return torch.cat([row_attention(*row) for row in rows], dim=1)
    longest = max(packed.lengths)
    q, k, v = q[0], k[0], v[0]
    return varlen(q, k, v, packed.ends, packed.ends, longest, longest, window_size=(-1, 0), enable_gqa=True)[None]


def _varlen() -> Callable[..., Tensor] | None:
    """PyTorch's attention for packed sequences (2.11 or newer: with grouped heads); None where it has none."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    return varlen_attn if "window_size" in known and "enable_gqa" in known else None
