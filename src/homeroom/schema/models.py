"""Base models and tuned models as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Suitability = Literal["practice", "trainee", "learner"]
Method = Literal["dspy", "openai", "huggingface"]
TunedKind = Literal["lora", "full", "prompt", "remote"]
Purpose = Literal["chat", "embedding"]
Pooling = Literal["mean", "cls"]


@dataclass(frozen=True, slots=True)
class BaseFiles:
    """A base model on this disk, read-only once written.

    Attributes:
        name: Catalogue name.
        folder: Its folder in the cache.
        weights: Folder with ``config.json``, ``model.safetensors`` and ``tokenizer.json``: what training reads. Of an embedding
            model, which nobody trains here, without the weights themselves.
        gguf: The file the engine serves, made from ``weights``.
        identity: SHA-256 over source weights, tokenizer and chat template. An adapter refuses any other.
        context_tokens: Longest prompt plus reply; of an embedding model the longest text.
        purpose: What it is for: to answer, or to turn texts into vectors.
    """

    name: str
    folder: Path
    weights: Path
    gguf: Path
    identity: str
    context_tokens: int
    purpose: Purpose = "chat"


@dataclass(frozen=True, slots=True)
class TunedModel:
    """The outcome of a tuning run, whatever the method. A row of the registry.

    Attributes:
        name: ``ft:<base>:homeroom:<suffix>:<id8>``.
        artifact: Folder in the artifact store (adapter, GGUF, card, logs); empty for a remote model.
        settings: `GenerationSettings` as plain data plus ``system_prompt``.
        metrics: Numbers of the run: train and validation loss, tokens, seconds, peak memory.
    """

    name: str
    base: str
    base_identity: str
    method: Method
    kind: TunedKind
    task: str
    suffix: str
    suitability: Suitability
    artifact: str = ""
    dataset: str = ""
    job_id: str = ""
    code_version: str = ""
    created_at: float = 0.0
    verdict: str = "unjudged"
    recipe: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    remote_id: str = ""

    @property
    def id8(self) -> str:
        """The last part of the name."""
        return self.name.rsplit(":", 1)[-1]
