"""Prices of endpoints' models and what else is known of them, from a dated file that a home may override."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from homeroom.errors import ConfigError

FILE = "prices.yaml"
MILLION = 1_000_000
_KEYS = ("as_of", "source", "models", "tuned", "endpoints", "ends", "longest_example")
_RATES = ("input", "output", "training")
_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|latest)$")  # a release of the model; anything else after a name is another model


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens; None where it is not known."""

    input: float
    output: float
    training: float | None = None

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What a request costs, in US dollars."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / MILLION


@dataclass(frozen=True, slots=True)
class Prices:
    """What is known about prices, and as of when.

    Attributes:
        as_of: When they were read.
        models: By a model's name.
        tuned: The same for models that were fine-tuned, by the base's name.
        endpoints: By ``ENDPOINT/MODEL``, or by its beginning where that ends in ``/``: they go before all others.
        ends: The day on which a model is reported to end, by its name.
        longest: Tokens of one training example at most, by a model's name.
    """

    as_of: str
    models: Mapping[str, Price]
    tuned: Mapping[str, Price]
    endpoints: Mapping[str, Price] = field(default_factory=dict)
    ends: Mapping[str, str] = field(default_factory=dict)
    longest: Mapping[str, int] = field(default_factory=dict)

    def ending(self, model: str) -> str:
        """The day on which ``model`` ends, as ``YYYY-MM-DD``; empty where none is known."""
        return self.ends.get(model) or self.ends.get(_DATED.sub("", model), "")

    def longest_example(self, model: str) -> int:
        """Tokens that one training example of ``model`` may have; 0 where that is not known. What was tuned has its base's."""
        name = model.split(":")[1] if model.startswith("ft:") and model.count(":") > 1 else model
        return self.longest.get(name) or self.longest.get(_DATED.sub("", name), 0)

    def at(self, endpoint: str, model: str) -> Price | None:
        """The price that is written for this very endpoint; None where none is.

        An entry for the model goes first, with or without the date at the end of its name; for what was tuned (``ft:BASE:...``)
        an entry ``ENDPOINT/ft:BASE`` does as well. Else the longest that ends in ``/`` and begins the name.
        """
        names = [model, *([":".join(model.split(":")[:2])] if model.startswith("ft:") else [])]
        for name in (f"{endpoint}/{short}" for long in names for short in (long, _DATED.sub("", long))):
            if name in self.endpoints:
                return self.endpoints[name]
        begins = (entry for entry in self.endpoints if entry.endswith("/") and f"{endpoint}/{model}".startswith(entry))
        match = max(begins, key=len, default=None)
        return self.endpoints[match] if match else None

    def name(self, endpoint: str) -> bool:
        """Whether anything of this endpoint is priced."""
        return any(entry.startswith(f"{endpoint}/") for entry in self.endpoints)

    def price(self, model: str, endpoint: str = "") -> Price | None:
        """The price of ``model`` as its endpoint names it, with or without a date at its end; None where no entry is named so."""
        if endpoint and (own := self.at(endpoint, model)) is not None:
            return own
        is_tuned = model.startswith("ft:")
        name = model.split(":")[1] if is_tuned else model
        known = self.tuned if is_tuned else self.models
        return known.get(name) or known.get(_DATED.sub("", name))


def load_prices(home: Path | None = None) -> Prices:
    """The bundled prices, with those of ``<home>/prices.yaml`` over them.

    Raises:
        ConfigError: ``prices-invalid``: the home's file is not of the documented form.
    """
    bundled = _read(files("homeroom.ledger").joinpath(FILE).read_bytes, FILE)
    own = home / FILE if home else None
    if own is None or not own.is_file():
        return bundled
    over = _read(own.read_bytes, str(own))
    return Prices(
        over.as_of or bundled.as_of,
        {**bundled.models, **over.models},
        {**bundled.tuned, **over.tuned},
        {**bundled.endpoints, **over.endpoints},
        {**bundled.ends, **over.ends},
        {**bundled.longest, **over.longest},
    )


def _read(read: Callable[[], bytes], where: str) -> Prices:
    try:
        record = yaml.safe_load(read().decode("utf-8"))
        record = {} if record is None else record
        _require_known(record, _KEYS, "The file")
        models, tuned, endpoints = (
            {str(k): _price(v) for k, v in (record.get(key) or {}).items()} for key in ("models", "tuned", "endpoints")
        )
        ends = {str(name): date.fromisoformat(str(day)).isoformat() for name, day in (record.get("ends") or {}).items()}
        longest = {str(name): _tokens(count) for name, count in (record.get("longest_example") or {}).items()}
        return Prices(str(record.get("as_of") or ""), models, tuned, endpoints, ends, longest)
    except (OSError, yaml.YAMLError, AttributeError, TypeError, ValueError, KeyError) as error:
        raise ConfigError(
            f"The price file {where!r} cannot be read: {' '.join(str(error).split())}. Each model needs numbers: "
            "models: {gpt-4o-mini: {input: 0.15, output: 0.60}}",
            code="prices-invalid",
        ) from error


def _require_known(record: object, known: Sequence[str], what: str) -> None:
    """Refuse what would be passed over in silence, and a price with it."""
    if not isinstance(record, Mapping):
        raise ValueError(f"{what} is {record!r}, and names with values are needed: {', '.join(known)}")
    for key in record:
        if key not in known:
            near = get_close_matches(str(key), known, n=1, cutoff=0.6)
            raise ValueError(
                f"{what} has no {key!r}: {f'did you mean {near[0]!r}?' if near else 'known are ' + ', '.join(known)}"
            )


def _price(record: Mapping[str, Any]) -> Price:  # YAML of a person's making
    _require_known(record, _RATES, "A price")
    values = {key: float(record[key]) for key in _RATES if record.get(key) is not None}
    if not {"input", "output"} <= set(values) or not all(0 <= value < math.inf for value in values.values()):
        raise ValueError(f"{dict(record)!r} needs input and output, numbers from 0 on")
    return Price(values["input"], values["output"], values.get("training"))


def _tokens(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"longest_example is {value!r}, and a number of tokens is needed")
    return value
