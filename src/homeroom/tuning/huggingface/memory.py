"""Memory: what a run will need, what it has used, and what to say when there is not enough."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it

from homeroom.errors import ConfigError

_CPU_REFUSALS = ("can't allocate memory", "not enough memory", "DefaultCPUAllocator")


@contextmanager
def memory_errors(batch_tokens: int) -> Iterator[None]:
    """An allocator's refusal as an error that names the setting to change.

    Raises:
        ConfigError: ``out-of-memory``.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not refused(error):
            raise
        raise ConfigError(
            f"Memory ran out with batch_tokens = {batch_tokens!r}. Halve it in the recipe (data.max_sequence_tokens must not be "
            "larger) and start again: homeroom tune run --recipe FILE. Or close other programs and run the same command",
            code="out-of-memory",
        ) from error


@contextmanager
def loading_errors(base: str) -> Iterator[None]:
    """An allocator's refusal while the base is read, as an error that says what takes less.

    Raises:
        ConfigError: ``out-of-memory``.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not refused(error):
            raise
        raise ConfigError(
            f"Memory ran out while the base {base!r} was loaded. Close other programs and run the same command, or name a "
            "smaller base in the recipe (on a GPU also quantise: 8bit or nf4). See what fits: homeroom tune plan --recipe FILE",
            code="out-of-memory",
        ) from error


def no_room_for_optimiser(step: int) -> ConfigError:
    """The error ``out-of-memory`` of an optimiser's step, which needs room for every trained weight, whatever the batch is."""
    return ConfigError(
        f"Memory ran out in the optimiser at step {step}: it keeps two numbers for each trained weight, and a smaller "
        "batch_tokens does not change that. Close other programs and run the same command, which goes on from the last "
        "checkpoint; or train fewer weights (a smaller lora.rank, lora.last_layers, weights: lora) and start again: homeroom "
        "tune run --recipe FILE",
        code="out-of-memory",
    )


def refused(error: BaseException) -> bool:
    """Whether an allocator had no room, on the host or on a GPU."""
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or any(text in str(error) for text in _CPU_REFUSALS)


def free_memory() -> None:
    """Give back what nothing holds any more, before something is tried again with less."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def peak_memory_bytes() -> int:
    """The most memory this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_gpu_memory_bytes() -> int:
    """The most GPU memory that PyTorch ever held in this process; 0 without a GPU."""
    return int(torch.cuda.max_memory_reserved()) if torch.cuda.is_available() else 0
