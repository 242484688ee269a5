"""What an engine will need of the machine's memory, said before anything is loaded.

An estimate from above: it counts the context of every conversation as full, and weights as read whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeroom.models.engine_info import AdapterFile
from homeroom.models.folder import read_json
from homeroom.schema.models import BaseFiles

PROCESS_BYTES = 90_000_000
"""An engine besides weights, conversations and activations: Python, llama.cpp, its threads and samplers. Measured: 33 to 58 MB
with the tiny model, by how much of the program's own files is shared with other engines; 85 MB with the embedded one."""
COPIED = frozenset({"q4_0"})
"""Number formats that llama.cpp lays out anew in memory while the file stays mapped: they take their size twice."""
_BATCH = 512  # tokens that llama.cpp computes at once (`n_ubatch`)
_GRAPH = 3  # intermediate results that it keeps side by side where no keys and values are kept


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that an engine takes.

    Attributes:
        weights: Of the base, as served.
        conversations: Keys and values of ``slots`` conversations of ``context`` tokens, 16 bits each.
        adapters: Weights of the adapters.
        working: Intermediate results and the process itself.
        slots: Conversations at a time.
        context: Tokens of one.
    """

    weights: int
    conversations: int
    adapters: int
    working: int
    slots: int
    context: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.conversations + self.adapters + self.working

    def __str__(self) -> str:
        parts = [
            f"weights {mb(self.weights)}",
            f"{self.slots} conversation{'s' if self.slots != 1 else ''} of {self.context:,} tokens {mb(self.conversations)}"
            if self.conversations
            else "",
            f"adapters {mb(self.adapters)}" if self.adapters else "",
            f"working memory {mb(self.working)}",
        ]
        return f"{mb(self.total)} ({', '.join(part for part in parts if part)})"


def engine_need(
    base: BaseFiles, *, slots: int, context: int, adapters: Sequence[AdapterFile] = (), quantisation: str = ""
) -> Need:
    """What serving ``base`` takes: weights as their file is large, and keys and values by their shape.

    Args:
        base: The model.
        slots: Conversations at a time.
        context: Tokens of one; at most what the base can do.
        adapters: That it will hold.
        quantisation: Number format of the weights.

    Raises:
        ConfigError: ``model-files`` when the base's configuration cannot be read.
    """
    config = read_json(base.weights / "config.json")
    context = min(context, base.context_tokens)
    if base.purpose == "embedding":
        return _embedding_need(base, config, slots, context)
    heads = int(config["num_attention_heads"])
    hidden = int(config["hidden_size"])
    head_size = int(config.get("head_dim") or hidden // heads)
    kv_width = int(config.get("num_key_value_heads") or heads) * head_size
    a_token = int(config["num_hidden_layers"]) * 2 * kv_width * 2
    width = 4 * hidden + 3 * int(config["intermediate_size"])
    logits = slots * int(config["vocab_size"]) * 4
    return Need(
        weights=base.gguf.stat().st_size * (2 if quantisation in COPIED else 1),
        conversations=slots * context * a_token,
        adapters=sum(file.path.stat().st_size for file in adapters if file.path.is_file()),
        working=PROCESS_BYTES + _BATCH * width * 4 + logits,
        slots=slots,
        context=context,
    )


def _embedding_need(base: BaseFiles, config: Mapping[str, Any], slots: int, context: int) -> Need:
    """It remembers nothing between texts; all positions of a batch look at each other in every head.

    Measured with all-MiniLM-L6-v2 and 542 texts of up to 512 tokens: 189 MB, where this says 212.
    """
    width = 4 * int(config["hidden_size"]) + 3 * int(config["intermediate_size"])
    scores = int(config["num_attention_heads"]) * context * context
    working = PROCESS_BYTES + _GRAPH * (context * width + scores) * 4
    return Need(base.gguf.stat().st_size, 0, 0, working, slots, context)


def mb(size: float) -> str:
    """``380 MB``, ``4.2 GB``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
