"""Which base model a name in a request means: one here, or what the settings say that a name of OpenAI's stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from homeroom.app.bases import listed_base
from homeroom.app.fine_tuning.errors import FieldError, MissingError
from homeroom.models import prepared

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


@dataclass(frozen=True, slots=True)
class TrainableBase:
    """A base that is on this disk. ``parameters_m`` is 0 when the catalogue does not know it."""

    name: str
    identity: str
    parameters_m: int = 0


@dataclass(frozen=True, slots=True)
class Bases:
    """The bases that jobs may train.

    Attributes:
        here: Every base on this disk, now.
        names: What else they are called.
    """

    here: Callable[[], Iterable[TrainableBase]]
    names: Mapping[str, str]

    def find(self, name: str) -> TrainableBase:
        """The base that ``name`` means.

        Raises:
            MissingError: ``model-not-found``, with the names that are known.
            FieldError: ``base-is-tuned``: it is a model that was tuned already.
        """
        here = {base.name: base for base in self.here()}
        local = self.names.get(name, name)
        if local in here:
            return here[local]
        if name.startswith("ft:"):
            raise FieldError(
                f"{name[:120]!r} was tuned already; name the base that it was tuned on, and train on all examples",
                param="model",
                code="base-is-tuned",
            )
        known = ", ".join([*here, *sorted(alias for alias, target in self.names.items() if target in here)]) or "none"
        missing = f" It stands for {local!r}, which is not on this machine." if local != name else ""
        fetch = f"Fetch it: homeroom models pull {local}" if local != name or listed_base(local) else ""
        raise MissingError(
            f"The model {name[:120]!r} does not exist here or cannot be tuned.{missing} Known are: {known}. "
            + (fetch or "Give a name of OpenAI's a meaning here with openai_models in the settings"),
            param="model",
            code="model-not-found",
        )


def bases_of(home: Homeroom) -> Bases:
    """The bases of a home, with the names that its settings give them."""

    def here() -> Iterable[TrainableBase]:
        for files in prepared.all_bases(home.settings.cache):
            listed = listed_base(files.name)
            yield TrainableBase(files.name, files.identity, listed.parameters_m if listed else 0)

    return Bases(here, home.settings.openai_models)
