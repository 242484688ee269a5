"""Frozen weights in 8 or 4 bits, made whole for each product, with the kernels of bitsandbytes.

Source: QLoRA, Dettmers et al. 2023, https://arxiv.org/abs/2305.14314, equation 5.

A weight is moved to the GPU, quantised and let go one group of layers at a time, so the GPU never holds the model whole; the host
does, in the run's number type, until its layers have been taken. Products are in the run's number type, whatever the form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it
from torch import Tensor  # noqa: TID253

from homeroom.tuning.huggingface.decoder import Store

BLOCK = 64
"""Weights that share a scale in 4 bits. The scales themselves are quantised to 8 bits in blocks of 256."""
BYTES = {"8bit": 1.0, "nf4": 0.5 + (1 + 4 / 256) / BLOCK}
"""Of one weight, with its share of the scales; in 8 bits a row has one."""


@dataclass(frozen=True, slots=True)
class Nf4:
    """A matrix in 4-bit NormalFloat with double quantisation."""

    packed: Tensor
    state: Any  # bitsandbytes' QuantState: untyped

    @classmethod
    def of(cls, weight: Tensor) -> Nf4:
        """Quantise (out, in), on its device."""
        from bitsandbytes.functional import quantize_4bit

        packed, state = quantize_4bit(weight, blocksize=BLOCK, compress_statistics=True, quant_type="nf4")
        return cls(packed, state)

    def dense(self) -> Tensor:
        """(out, in) in the number type that it came in."""
        from bitsandbytes.functional import dequantize_4bit

        whole: Tensor = dequantize_4bit(self.packed, self.state)
        return whole


@dataclass(frozen=True, slots=True)
class Int8:
    """A matrix in 8 bits with one scale a row (Dettmers et al. 2022, https://arxiv.org/abs/2208.07339, section 2.1)."""

    packed: Tensor
    scales: Tensor
    dtype: torch.dtype

    @classmethod
    def of(cls, weight: Tensor) -> Int8:
        """Quantise (out, in), on its device."""
        from bitsandbytes.functional import int8_vectorwise_quant

        packed, scales, _ = int8_vectorwise_quant(weight.to(torch.float16))
        return cls(packed, scales, weight.dtype)

    def dense(self) -> Tensor:
        """(out, in) in the number type that it came in."""
        from bitsandbytes.functional import int8_vectorwise_dequant

        whole: Tensor = int8_vectorwise_dequant(self.packed, self.scales)
        return whole.to(self.dtype)


def store_for(quantise: str, device: torch.device) -> Store | None:
    """What keeps weights in that form on a device; None for ``none``."""
    if quantise == "none":
        return None
    form = Nf4.of if quantise == "nf4" else Int8.of
    return lambda weight: form(weight.to(device))
