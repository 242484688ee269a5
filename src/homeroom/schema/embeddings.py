"""Texts as vectors: what an embedding model gives, whatever the provider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Vector = Sequence[float]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each text, in their order.

    Attributes:
        vectors: All of one length, each of length 1 (Euclidean), so that a product of two is their cosine.
        prompt_tokens: Of all texts together, as the provider counts them; 0 when it does not tell.
    """

    vectors: tuple[Vector, ...]
    prompt_tokens: int = 0


class Embedder(Protocol):
    """Turns texts into vectors. Thread-safe."""

    @property
    def name(self) -> str:
        """The model's name in Homeroom."""
        ...

    def embed(self, texts: Sequence[str], *, dimensions: int | None = None) -> Embeddings:
        """The vectors of ``texts``.

        Args:
            texts: At least one; none empty.
            dimensions: Length of the vectors where the model can give several; None takes its own.

        Raises:
            ContextLengthError: a text is longer than the model takes.
            OptionError: the model has not that many ``dimensions``.
            ProviderError: or one of its subclasses.
        """
        ...
