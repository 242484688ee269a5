"""The names that ``openai_models`` of the settings gives a meaning, and those of them that mean nothing on this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from homeroom.app.endpoints import endpoint_of
from homeroom.errors import HomeroomError
from homeroom.models.embed_files import find_embedder, listed_embedder
from homeroom.models.pull import fetchable, installed
from homeroom.settings import Settings


@dataclass(frozen=True, slots=True)
class EmptyName:
    """A name of ``openai_models`` that nobody would answer as: what is wrong with it, and the command that mends it."""

    name: str
    told: str
    mend: str


def empty_names(settings: Settings, tuned: Collection[str] | None = None) -> Iterator[EmptyName]:
    """Names that stand for a model which is not on this machine.

    Args:
        settings: With their `openai_models`.
        tuned: The names of tuned models; names that begin with ``ft:`` are not looked at when None.
    """
    for name, target in sorted(settings.openai_models.items()):
        if endpoint_of(settings, target) is not None or target in (tuned or ()):
            continue
        if target.startswith("ft:"):
            if tuned is not None:
                yield EmptyName(name, f"{name!r} stands for {target!r}, and no tuned model has that name", "homeroom models list")
        elif installed(target, settings.cache) is None and find_embedder(target, settings.cache) is None:
            yield _not_here(name, target)


def _not_here(name: str, target: str) -> EmptyName:
    try:
        known = listed_embedder(target) or fetchable(target)
    except HomeroomError:
        return EmptyName(name, f"{name!r} stands for {target!r}, which is no model", "homeroom models list --bases")
    told = f"{name!r} stands for {target!r}, which is not on this machine yet"
    return EmptyName(name, told, f"homeroom models pull {known.name}")
