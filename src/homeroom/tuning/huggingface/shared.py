"""One frozen base in memory for several runs, one after another: read from the disk once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: TID253 - this package is torch's leaf: only a run imports it

from homeroom.schema.models import BaseFiles
from homeroom.tuning.huggingface.device import Compute
from homeroom.tuning.huggingface.model import load_base

LoadBase = Callable[[BaseFiles, Compute], Any]
"""A base and where it computes to the frozen model; transformers' model is untyped."""


class SharedBase:
    """A `LoadBase` that keeps the last base and gives it again to a run that computes on the same device and number type.

    Only one run may use it at a time: giving it out takes off the LoRA layers that the run before has put on.

    Attributes:
        loads: How often a base was read from the disk.
    """

    def __init__(self) -> None:
        self.loads = 0
        self._key: tuple[str, str, str] | None = None
        self._model: Any = None  # transformers' model: untyped

    def __call__(self, base: BaseFiles, compute: Compute) -> Any:  # transformers' model
        """The base, frozen and without LoRA."""
        key = (base.identity, str(compute.device), str(compute.dtype))
        if key == self._key:
            return plain(self._model)
        self._key = self._model = None  # the old one's memory is free before the new one is read
        self._model, self._key = load_base(base, compute), key
        self.loads += 1
        return self._model


def plain(model: Any) -> Any:  # transformers' model
    """``model`` without the LoRA layers that PEFT put into it: its own layers again, with their own weights."""
    adapted = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)]
    for name, layer in adapted:
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer.get_base_layer())
    if hasattr(model, "peft_config"):  # PEFT's mark of an adapted model
        del model.peft_config
    return model.requires_grad_(False).eval()
