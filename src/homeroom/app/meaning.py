"""An embedding model for data rules that were asked to compare meanings, for as long as a check lasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from homeroom.app.embedders import embedding
from homeroom.app.home import Homeroom
from homeroom.data.lint.config import LintConfig
from homeroom.data.lint.model import CostlyRule, Embed, Options
from homeroom.data.lint.registry import choose
from homeroom.models.embed import BATCH_TEXTS, EngineEmbedder
from homeroom.schema.embeddings import Vector
from homeroom.settings import Settings

WORTH_SAYING_S = 5.0
Announce = Callable[[str], None]


@contextmanager
def embed_for(
    options: Options,
    config: LintConfig,
    select: Sequence[str],
    ignore: Sequence[str],
    settings: Callable[[], Settings],
    announce: Announce,
) -> Iterator[Embed | None]:
    """What makes vectors, where a rule that runs wants it; otherwise None, and nothing is loaded.

    Args:
        options: Of the check, thresholds included.
        config: Of the check.
        select: Rules to run.
        ignore: Rules to leave out.
        settings: Asked for when the model is needed.
        announce: Told how long it will take, once that can be told.

    Raises:
        NotFoundError: the embedding model is not on this machine (``not-pulled``).
    """
    rules = choose((*config.select, *select), (*config.ignore, *ignore))
    if not any(isinstance(rule, CostlyRule) and rule.wants_embedder(options) for rule in rules):
        yield None
        return
    with Homeroom.open(settings()) as home, embedding(home) as embedder:
        yield lambda texts: _vectors(embedder, texts, announce)


def _vectors(embedder: EngineEmbedder, texts: Sequence[str], announce: Announce) -> list[Vector]:
    """Vectors of ``texts``, each cut to what the model reads. Says once how long it will take."""
    started = time.monotonic()
    found: list[Vector] = []
    for at in range(0, len(texts), BATCH_TEXTS):
        found += embedder.embed(embedder.shortened(texts[at : at + BATCH_TEXTS])).vectors
        left_s = (time.monotonic() - started) * (len(texts) / len(found) - 1)
        if at == 0 and left_s >= WORTH_SAYING_S:
            announce(f"{embedder.name}: {len(found)} of {len(texts):,} texts; the others will take about {left_s:,.0f} s")
    return found
