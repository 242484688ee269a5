"""The arithmetic of one decoder layer, forward and backward: what a training step spends its time on.

On a processor a step is bound by passes over memory as much as by matrix products, so each function here does in few passes
what autograd would do in many: the layers of one input are one product, gradients of frozen weights do not exist, and what
backward needs is kept once. Every function equals its plain form (`tests/tuning/test_arithmetic.py`).

Shapes: B sequences, T positions, H hidden, N = B * T rows, R the sum of the LoRA ranks of a group of layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it
from torch import Tensor  # noqa: TID253
from torch.nn import functional  # noqa: TID253

Context = Any  # autograd's context carries whatever is saved on it


class Stored(Protocol):
    """A frozen matrix that is kept in another form than it is multiplied in."""

    def dense(self) -> Tensor:
        """(out, in), made anew at each call, so that nothing holds it between forward and backward."""
        ...


Weight = Any
"""A Tensor, or what is `Stored`; PyTorch is untyped here."""


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Divide by the root mean square of the last axis and multiply by ``weight``; gradient for x only.

    Source: Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467. Rounds where transformers rounds.
    """
    if x.device.type == "cuda":  # one kernel there
        return functional.rms_norm(x, (x.shape[-1],), weight, eps)
    normed: Tensor = _RmsNorm.apply(x, weight, eps)
    return normed


class _RmsNorm(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    @staticmethod
    def forward(ctx: Context, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = x.float()
        inverse = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        return (wide * inverse).to(x.dtype).mul_(weight)

    @staticmethod
    def backward(ctx: Context, grad: Tensor) -> Any:
        x, weight, inverse = ctx.saved_tensors
        grad = (grad * weight).float()
        unit = x.float() * inverse
        along = (grad * unit).mean(-1, keepdim=True)
        return grad.addcmul_(unit, along, value=-1).mul_(inverse).to(x.dtype), None, None


def swi_glu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up, where (..., 2 F) holds gate and then up (Shazeer 2020, https://arxiv.org/abs/2002.05202)."""
    activated: Tensor = _SwiGlu.apply(gate_up)
    return activated


class _SwiGlu(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Context, gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        opened = functional.silu(gate)
        ctx.save_for_backward(gate_up, opened)
        return opened * up

    @staticmethod
    def backward(ctx: Context, grad: Tensor) -> Tensor:
        gate_up, opened = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        grads = torch.empty_like(gate_up)
        grad_gate, grad_up = grads.chunk(2, dim=-1)
        torch.mul(grad, opened, out=grad_up)
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=grad_gate)
        return grads


def rotate(x: Tensor, cos: Tensor, sin: Tensor, turn: Tensor) -> Tensor:
    """Rotary position embedding of every head at once (Su et al. 2021, https://arxiv.org/abs/2104.09864).

    x (B, T, heads * d) and contiguous; cos and sin (T, heads * d), 1 and 0 where a head is not to be turned; ``turn`` from
    `half_turn`: a product with it is exact, and takes less time than moving halves about.
    """
    turned: Tensor = _Rotate.apply(x, cos, sin, turn)
    return turned


class _Rotate(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Context, x: Tensor, cos: Tensor, sin: Tensor, turn: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin, turn)
        return (x * cos).addcmul_(_turned(x, turn), sin)

    @staticmethod
    def backward(ctx: Context, grad: Tensor) -> Any:
        cos, sin, turn = ctx.saved_tensors
        return torch.mul(grad, cos).add_(_turned(grad * sin, turn.T)), None, None, None


def _turned(x: Tensor, turn: Tensor) -> Tensor:
    return torch.mm(x.reshape(-1, len(turn)), turn).view(x.shape)


def half_turn(size: int, like: Tensor) -> Tensor:
    """The matrix (d, d) that swaps the halves of a row and negates the new first one: [a b] to [-b a]."""
    turn = torch.zeros(size, size, dtype=like.dtype, device=like.device)
    half = torch.arange(size // 2, device=like.device)
    turn[half + size // 2, half] = -1
    turn[half, half + size // 2] = 1
    return turn


class Blocks:
    """Where each layer of a group has its rows in the group's W, and its share of the ranks.

    Args:
        rows: For each layer with LoRA its first row in W and the row after its last.
        ranks: The rank of each.
    """

    def __init__(self, rows: Sequence[tuple[int, int]], ranks: Sequence[int]) -> None:
        ends = [sum(ranks[: i + 1]) for i in range(len(ranks))]
        self._places = [(slice(*row), slice(end - rank, end)) for row, rank, end in zip(rows, ranks, ends, strict=True)]
        self._ranks = sum(ranks)

    def join(self, ab: Sequence[Tensor], like: Tensor, out: int, scale: float) -> tuple[Tensor, Tensor]:
        """A1, B1, A2, B2... as one A (R, in), and one scaled B (out, R) with the B's along its diagonal, typed as ``like``."""
        if len(ab) == 2 and len(ab[1]) == out:
            return ab[0].to(like.dtype), (ab[1] * scale).to(like.dtype)
        b = like.new_zeros(out, self._ranks)
        for (rows, ranks), part in zip(self._places, ab[1::2], strict=True):
            b[rows, ranks] = part * scale
        return torch.cat(list(ab[::2])).to(like.dtype), b

    def part(self, a: Tensor, b: Tensor) -> list[Tensor]:
        """The inverse, for gradients."""
        return [part for rows, ranks in self._places for part in (a[ranks].contiguous(), b[rows, ranks].contiguous())]


def frozen_linear(x: Tensor, weight: Weight, bias: Tensor | None) -> Tensor:
    """A plain linear layer, (..., in) to (..., out), with a gradient for x only."""
    if isinstance(weight, Tensor):
        return functional.linear(x, weight, bias)
    out: Tensor = _StoredLinear.apply(x, weight, bias)
    return out


class _StoredLinear(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Context, x: Tensor, w: Stored, bias: Tensor | None) -> Tensor:
        ctx.w = w
        return functional.linear(x, w.dense(), bias)

    @staticmethod
    def backward(ctx: Context, grad: Tensor) -> Any:
        return grad @ ctx.w.dense(), None, None


def lora_linears(
    x: Tensor, weight: Weight, bias: Tensor | None, kept: Tensor | None, scale: float, blocks: Blocks, ab: Sequence[Tensor]
) -> Tensor:
    """Layers that share their input, with LoRA: x W' + bias + scale (x A') B'; gradients for x, A and B only.

    Args:
        x: (..., in).
        weight: (out, in), the layers' rows below each other; one that is stored in another form is made dense twice.
        bias: (out,).
        kept: (..., in) from `dropout_mask`, for x on its way to A; None keeps all. ``scale`` then carries 1 / (1 - share).
        scale: alpha / rank.
        blocks: Where the layers lie.
        ab: A1 (rank, in), B1 (out of the layer, rank), A2... float32, multiplied in x's number type.

    Returns:
        (..., out).
    """
    out: Tensor = _LoraLinears.apply(x, weight, bias, kept, scale, blocks, *ab)
    return out


class _LoraLinears(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(
        ctx: Context, x: Tensor, w: Weight, bias: Tensor | None, kept: Tensor | None, scale: float, blocks: Blocks, *ab: Tensor
    ) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])  # (N, in)
        ctx.stored, w = (None, w) if isinstance(w, Tensor) else (w, w.dense())
        a, b = blocks.join(ab, flat, len(w), scale)
        low = _dropped(flat, kept) @ a.T  # (N, R)
        out = flat @ w.T if bias is None else torch.addmm(bias, flat, w.T)
        out.addmm_(low, b.T)
        ctx.save_for_backward(flat, w if ctx.stored is None else None, a, b, low, kept)
        ctx.shape, ctx.scale, ctx.blocks = x.shape, scale, blocks
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Context, grad: Tensor) -> Any:
        flat, w, a, b, low, kept = ctx.saved_tensors
        grad = grad.reshape(-1, grad.shape[-1])  # (N, out)
        grad_low = grad @ b  # (N, R); b carries the scale
        grad_b = (grad.T @ low).float().mul_(ctx.scale)
        grad_a = (grad_low.T @ _dropped(flat, kept)).float()
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ (w if ctx.stored is None else ctx.stored.dense())
            if kept is None:
                grad_x.addmm_(grad_low, a)
            else:
                grad_x.addcmul_(grad_low @ a, kept.view_as(grad_x))
            grad_x = grad_x.view(ctx.shape)
        return grad_x, None, None, None, None, None, *ctx.blocks.part(grad_a, grad_b)


def dropout_mask(x: Tensor, share: float) -> Tensor:
    """1 where ``x`` is kept and 0 where it is dropped, shaped and typed as ``x``; ``share`` is dropped, to 1 in 65,536.

    Four decisions from each 64 random bits: drawing numbers one by one takes as long as the products they are for.
    """
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    drawn = bits.view(torch.int16)[: x.numel()]  # uniform over -32,768 to 32,767
    return (drawn >= round(share * 65_536) - 32_768).to(x.dtype).view(x.shape)


def _dropped(flat: Tensor, kept: Tensor | None) -> Tensor:
    return flat if kept is None else flat * kept.view_as(flat)
