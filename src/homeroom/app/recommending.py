"""What a recommendation can find out without asking: data, machine, network, keys; and the commands that follow from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from homeroom.app.checking import check_dataset
from homeroom.app.metering import leaves_this_machine
from homeroom.data.lint.run import LintResult, lint
from homeroom.errors import ConfigError
from homeroom.runtime.hardware import hardware
from homeroom.runtime.ports import has_route
from homeroom.tuning.recommend.inputs import INPUTS, Quality, Situation, Value
from homeroom.tuning.recommend.rules import Method

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

WARNINGS_SHARE = 0.1  # of the examples; with warnings on more than that the data is not called good


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out.

    Attributes:
        values: Input to value.
        where: Input to where it was found, in words.
        data: What was looked at, as it was named.
        dataset: Of it the name and version of a dataset; empty where a file or nothing was.
        endpoint: ``ENDPOINT/MODEL`` of the settings that could be asked; empty without one.
        near: The same of an endpoint on this machine.
    """

    values: Mapping[str, Value] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    dataset: str = ""
    endpoint: str = ""
    near: str = ""


def look(home: Homeroom, data: str | None = None, *, today: Callable[[], date] = date.today) -> Found:
    """Look at ``data`` (a file, or a dataset), this machine, its network and the keys in the environment. Asks nobody.

    Raises:
        NotFoundError: ``file-not-found``, ``dataset-not-found``.
    """
    facts = hardware(home.settings.home)
    found: dict[str, tuple[Value, str]] = {
        "gpu": (facts.gpu is not None, facts.gpu or "none on this machine"),
        "memory_gb": (round(facts.memory_bytes / 1e9, 1), "this machine"),
        "access": _access(home),
        "today": (today(), "the clock"),
    }
    if not has_route():
        found["connectivity"] = ("none", "this machine has no way to other networks")
    dataset = ""
    if data is not None:
        dataset, result = _checked(home, data)
        found["examples"] = (result.summary["examples"], data)
        found["quality"] = (_quality(result), f"homeroom data check: {result.summary['errors']} errors, "
                                              f"{result.summary['warnings']} warnings")  # fmt: skip
    offered = [(f"{e.name}/{e.models[0]}", leaves_this_machine(e)) for e in home.settings.endpoints if e.models]
    endpoint, near = next((name for name, _ in offered), ""), next((name for name, leaves in offered if not leaves), "")
    return Found(
        {k: v for k, (v, _) in found.items()}, {k: w for k, (_, w) in found.items()}, data or "", dataset, endpoint, near
    )


def situation_of(values: Mapping[str, Value]) -> Situation:
    """The situation with these values; everything else is what is taken for granted.

    Raises:
        ConfigError: ``recommend-input``.
    """
    unknown = sorted(values.keys() - {entry.name for entry in INPUTS})
    if unknown:
        raise ConfigError(
            f"{unknown[0]!r} is no input of a recommendation. See: homeroom tune recommend --help", code="recommend-input"
        )
    return Situation(**values)  # type: ignore[arg-type]  # checked by the situation itself


def commands(method: Method, found: Found, situation: Situation) -> tuple[str, ...]:
    """The commands that try ``method``, in order: none sends anything to another machine where the situation forbids that."""
    data = found.dataset or "DATASET"
    endpoint = found.near if _stays_here(situation) else found.endpoint
    if method == "prompt":
        model = f" --model {endpoint}" if endpoint else ""
        return (f'homeroom chat{model} --system "Guide with a question. Never give the answer away."',)
    if method == "dspy":
        base = f" --base {endpoint}" if endpoint else ""
        return tuple(f"homeroom tune {step} --method dspy --dataset {data}{base}" for step in ("plan", "run"))
    if method == "openai":
        base = endpoint or "ENDPOINT/MODEL"
        return tuple(f"homeroom tune {step} --method openai --dataset {data} --base {base}" for step in ("plan", "run"))
    return (f"homeroom tune plan --dataset {data}", f"homeroom tune run --dataset {data}")


def _stays_here(situation: Situation) -> bool:
    """Whether no other machine may be asked: for privacy, for want of a network, or because each request would be paid."""
    free = situation.no_running_costs or situation.budget_usd == 0
    return situation.private or situation.offline or situation.connectivity == "none" or free


def _checked(home: Homeroom, data: str) -> tuple[str, LintResult]:
    """Name of the dataset (empty for a file) and what every rule says of it."""
    path = Path(data)
    if path.exists() or path.suffix:
        return "", lint([path])
    dataset = home.datasets.get(data)
    return f"{dataset.info.name}@{dataset.info.version}", check_dataset(home, dataset)


def _quality(result: LintResult) -> Quality:
    if result.summary["errors"]:
        return "errors"
    return "warnings" if result.summary["warnings"] > WARNINGS_SHARE * result.summary["examples"] else "good"


def _access(home: Homeroom) -> tuple[Value, str]:
    """Whether a key of OpenAI is set: as the environment has it, or by an endpoint of the settings."""
    named = [
        ("OPENAI_API_KEY", "api.openai.com"),
        *((e.api_key_env, urlsplit(e.base_url).hostname) for e in home.settings.endpoints),
    ]
    for variable, host in named:
        if host == "api.openai.com" and variable and os.environ.get(variable):
            return "key", f"{variable} is set"
    return "none", "no key of OpenAI is set"
