"""Each function of the arithmetic against its plain form: values and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch.nn import functional

from homeroom.tuning.huggingface.arithmetic import Blocks, dropout_mask, half_turn, lora_linears, rms_norm, rotate, swi_glu
from homeroom.tuning.huggingface.attention import Packed, causal_attention, causal_mask, packed_attention, row_attention
from homeroom.tuning.huggingface.loss import cross_entropy

Tensor = torch.Tensor


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float32)


def assert_same(ours: Callable[..., Tensor], plain: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
    """Equal values, and equal gradients of every input, for a random direction."""
    found = []
    direction = None
    for function in (ours, plain):
        leaves = [x.clone().requires_grad_() for x in inputs]
        out = function(*leaves)
        direction = torch.randn_like(out) if direction is None else direction
        out.backward(direction)
        found.append((out, [x.grad for x in leaves]))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-5)


def test_rms_norm() -> None:
    weight = normal(12)
    assert_same(
        lambda x: rms_norm(x, weight, 1e-3),
        lambda x: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-3) * weight,
        [normal(2, 3, 12)],
    )


def test_swi_glu() -> None:
    assert_same(swi_glu, lambda x: functional.silu(x[..., :6]) * x[..., 6:], [normal(2, 3, 12)])


def test_rotate_turns_each_head_by_its_position_and_leaves_the_values() -> None:
    t, heads, d = 5, 3, 4
    angle = torch.arange(t)[:, None] * torch.tensor([1.0, 0.1]).repeat(2)  # (T, d)
    cos, sin = (torch.cat([f(angle).repeat(1, heads - 1), still.expand(t, d)], 1) for f, still in _tables())

    def plain(x: Tensor) -> Tensor:
        x = x.view(2, t, heads, d)
        half = torch.cat([-x[..., 2:], x[..., :2]], -1)
        turned = x * angle.cos()[:, None] + half * angle.sin()[:, None]
        return torch.cat([turned[:, :, :2], x[:, :, 2:]], 2).view(2, t, -1)

    assert_same(lambda x: rotate(x, cos, sin, half_turn(d, x)), plain, [normal(2, t, heads * d)])


def _tables() -> list[tuple[Callable[[Tensor], Tensor], Tensor]]:
    return [(torch.cos, torch.ones(1, 1)), (torch.sin, torch.zeros(1, 1))]


@pytest.mark.parametrize("way", [causal_attention, row_attention], ids=lambda way: way.__name__)
@pytest.mark.parametrize("kv_heads", [1, 2, 6])
def test_attention_looks_back_only_with_its_own_heads(way: Callable[..., Tensor], kv_heads: int) -> None:
    b, t, heads, d = 2, 5, 6, 4

    def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = (x.repeat_interleave(heads // kv_heads, 2) for x in (k, v))
        scores = torch.einsum("bihd,bjhd->bhij", q, k) / d**0.5
        shares = scores.masked_fill(torch.ones(t, t).triu(1).bool(), -torch.inf).softmax(-1)
        return torch.einsum("bhij,bjhd->bihd", shares, v).reshape(b, t, heads * d)

    def ours(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = [causal_mask(t, heads, kv_heads, q)] if way is causal_attention else []
        return way(q, k, v, *mask).reshape(b, t, heads * d)

    assert_same(ours, plain, [normal(b, t, heads, d), normal(b, t, kv_heads, d), normal(b, t, kv_heads, d)])


def test_packed_sequences_attend_to_themselves_only() -> None:
    lengths = (3, 1, 4)
    packed = Packed.of(lengths, torch.device("cpu"))
    assert packed.positions.tolist() == [0, 1, 2, 0, 0, 1, 2, 3]
    assert packed.ends.tolist() == [0, 3, 4, 8]
    q, k, v = normal(1, 8, 4, 2), normal(1, 8, 2, 2), normal(1, 8, 2, 2)
    found = packed_attention(q, k, v, packed)
    start = 0
    for length in lengths:
        part = slice(start, start + length)
        torch.testing.assert_close(found[:, part], row_attention(q[:, part], k[:, part], v[:, part]))
        start += length


def weights(out: int, ranks: dict[int, int]) -> list[Tensor]:
    return [w for rows, rank in ranks.items() for w in (normal(rank, 6), normal(rows, rank))]


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("dropout", [True, False])
def test_a_group_of_layers_is_each_layer_with_its_lora(with_bias: bool, dropout: bool) -> None:
    w, bias = normal(9, 6), normal(9) if with_bias else None
    kept = dropout_mask(normal(2, 5, 6), 0.4) if dropout else None
    blocks = Blocks([(0, 4), (6, 9)], [2, 3])  # the layer in the middle has no LoRA

    def plain(x: Tensor, a1: Tensor, b1: Tensor, a2: Tensor, b2: Tensor) -> Tensor:
        out = functional.linear(x, w, bias)
        low = x if kept is None else x * kept
        parts = [0.5 * low @ a1.T @ b1.T, torch.zeros(2, 5, 2), 0.5 * low @ a2.T @ b2.T]
        return out + torch.cat(parts, -1)

    ab = [normal(2, 6), normal(4, 2), normal(3, 6), normal(3, 3)]
    assert_same(lambda x, *ab: lora_linears(x, w, bias, kept, 0.5, blocks, ab), plain, [normal(2, 5, 6), *ab])


def test_one_layer_alone() -> None:
    w = normal(4, 6)
    assert_same(
        lambda x, a, b: lora_linears(x, w, None, None, 2.0, Blocks([(0, 4)], [3]), [a, b]),
        lambda x, a, b: x @ w.T + 2 * x @ a.T @ b.T,
        [normal(2, 5, 6), normal(3, 6), normal(4, 3)],
    )


def test_frozen_weights_get_no_gradient_and_float32_ones_float32() -> None:
    x, w = normal(5, 6).bfloat16().requires_grad_(), normal(4, 6).bfloat16().requires_grad_()
    a, b = normal(3, 6).requires_grad_(), normal(4, 3).requires_grad_()
    lora_linears(x, w, None, None, 1.0, Blocks([(0, 4)], [3]), [a, b]).sum().backward()
    assert w.grad is None
    assert (x.grad.dtype, a.grad.dtype, b.grad.dtype) == (torch.bfloat16, torch.float32, torch.float32)  # type: ignore[union-attr]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.9])
def test_dropout_drops_its_share_everywhere_alike(share: float) -> None:
    kept = dropout_mask(torch.empty(3, 1000, 101, dtype=torch.bfloat16), share)  # not a multiple of four
    assert (kept.shape, kept.dtype) == ((3, 1000, 101), torch.bfloat16)
    assert set(kept.unique().tolist()) <= {0.0, 1.0}
    flat = kept.flatten().float()
    for place in range(4):  # each of the four decisions of 64 bits
        assert float(1 - flat[place::4].mean()) == pytest.approx(share, abs=0.008)
    together = 1 - flat[:-1], 1 - flat[1:]
    assert float((together[0] * together[1]).mean()) == pytest.approx(share**2, abs=0.006)
    torch.manual_seed(0)
    again = dropout_mask(kept, share)
    assert share == 0 or not torch.equal(again, dropout_mask(kept, share))
    torch.manual_seed(0)
    assert torch.equal(again, dropout_mask(kept, share))


def test_cross_entropy_and_its_gradient() -> None:
    states, head = normal(7, 6).requires_grad_(), normal(11, 6)
    labels = torch.randint(0, 11, (7,))
    logits = states @ head.T
    plain = functional.cross_entropy(logits, labels, reduction="none")
    (0.25 * plain.sum()).backward()
    losses, hits, gradient = cross_entropy(states.detach(), head, labels, 0.25)
    torch.testing.assert_close(losses, plain)
    torch.testing.assert_close(gradient, states.grad)
    assert int(hits) == int((logits.argmax(-1) == labels).sum())


def test_cross_entropy_stands_extreme_logits() -> None:
    losses, _, gradient = cross_entropy(torch.tensor([[1e4], [-1e4]]), torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 0]), 1.0)
    assert losses.tolist() == [0.0, 2e4]
    assert gradient.isfinite().all()
