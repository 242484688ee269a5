"""Where and in which number type a run computes: decided here, once, from the recipe and the hardware."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it

from homeroom.errors import ConfigError, MissingExtraError
from homeroom.runtime.hardware import Hardware, hardware
from homeroom.tuning.recipe import Recipe

WHICH_GPU = "Which GPU a run needs: homeroom tune plan --recipe FILE --gpu 24GB"


@dataclass(frozen=True, slots=True)
class Compute:
    """Device and number type of the frozen weights and activations. LoRA weights and the optimiser are float32 always.

    Attributes:
        quantise: How the frozen weights of the layers are kept: ``none`` in ``dtype``, ``8bit`` or ``nf4``.
        recompute: Whether a layer's inner numbers are computed again on the way back, and not kept.
        absent_gpu_bytes: Memory of a GPU that is only planned for, 0 where it is not known; None for a device of this machine.
    """

    device: torch.device
    dtype: torch.dtype
    threads: int
    quantise: str = "none"
    recompute: bool = False
    absent_gpu_bytes: int | None = None

    @property
    def is_here(self) -> bool:
        """Whether there is such a device to compute on; nothing of ``torch.cuda`` may be asked of one that is not."""
        return self.absent_gpu_bytes is None

    @property
    def name(self) -> str:
        """In words: ``cpu, float32, 2 threads``."""
        number = str(self.dtype).removeprefix("torch.")
        kept = "" if self.quantise == "none" else f", weights in {self.quantise}"
        return f"{self.device.type}, {number}{kept}" + (f", {self.threads} threads" if self.device.type == "cpu" else "")


def choose(recipe: Recipe, machine: Hardware | None = None) -> Compute:
    """CUDA when there is one; bfloat16 only where matrix hardware multiplies it (elsewhere float32 is faster).

    Raises:
        ConfigError: ``no-gpu`` when the recipe asks for CUDA, or for quantised weights, and there is none.
        MissingExtraError: quantised weights are asked for, and bitsandbytes is not installed.
    """
    machine = machine or hardware()
    cuda = torch.cuda.is_available()
    if recipe.device == "cuda" and not cuda:
        raise ConfigError(
            f"device = 'cuda', and PyTorch finds no CUDA device here. Use device: auto, or look: homeroom doctor. {WHICH_GPU}",
            code="no-gpu",
        )
    on_gpu = cuda and recipe.device != "cpu"
    if recipe.quantise != "none":
        _require_quantising(recipe, on_gpu=on_gpu)
    if recipe.dtype != "auto":
        dtype: torch.dtype = getattr(torch, recipe.dtype)
    elif recipe.weights == "full":  # steps of a small rate would be lost in the rounding of bfloat16
        dtype = torch.float32
    elif on_gpu:
        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    else:
        dtype = torch.bfloat16 if machine.amx_bf16 else torch.float32
    where = torch.device("cuda" if on_gpu else "cpu")
    return Compute(where, dtype, recipe.threads or machine.cores, recipe.quantise, recipe.gradient_checkpointing)


def to_plan(recipe: Recipe, machine: Hardware, gpu_bytes: int) -> Compute:
    """As `choose`, but a GPU that the recipe asks for need not be here; one of ``gpu_bytes``, if not 0, is planned for.

    It is taken to compute in bfloat16, and what quantises weights need not be installed.

    Raises:
        ConfigError: ``no-gpu``: the recipe wants quantised weights and no GPU, and none is named.
        MissingExtraError: quantised weights are asked for on the GPU of this machine, and bitsandbytes is not installed.
    """
    asks = recipe.device == "cuda" or (recipe.device == "auto" and recipe.quantise != "none")
    if not gpu_bytes and (not asks or torch.cuda.is_available()):
        return choose(recipe, machine)
    if recipe.dtype != "auto":
        dtype: torch.dtype = getattr(torch, recipe.dtype)
    else:
        dtype = torch.float32 if recipe.weights == "full" else torch.bfloat16
    threads = recipe.threads or machine.cores
    return Compute(torch.device("cuda"), dtype, threads, recipe.quantise, recipe.gradient_checkpointing, gpu_bytes)


def _require_quantising(recipe: Recipe, *, on_gpu: bool) -> None:
    if not on_gpu:
        reason = "the recipe says device: cpu" if recipe.device == "cpu" else "PyTorch finds no CUDA device here"
        raise ConfigError(
            f"quantise = {recipe.quantise!r} needs a GPU, and {reason}. On a processor take quantise: none and a base that fits: "
            f"homeroom models list --bases. {WHICH_GPU}",
            code="no-gpu",
        )
    if find_spec("bitsandbytes") is None:
        raise MissingExtraError(f"quantise: {recipe.quantise}", "bitsandbytes", "gpu")


@contextmanager
def computing(compute: Compute, seed: int) -> Iterator[None]:
    """Use ``compute.threads`` threads and ``seed`` inside; leave PyTorch outside as it was."""
    before = torch.get_num_threads()
    devices = [torch.cuda.current_device()] if compute.device.type == "cuda" and compute.is_here else []
    with torch.random.fork_rng(devices=devices):
        torch.set_num_threads(compute.threads)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_num_threads(before)
