"""What a recommendation can find out without asking: data, machine, network, keys; and the commands that follow from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from homeroom.app.checking import check_dataset
from homeroom.app.field_programs import program_of
from homeroom.app.metering import leaves_this_machine
from homeroom.data.lint.run import LintResult, lint
from homeroom.errors import ConfigError, DataError
from homeroom.evaluation.field_checks import REPLY
from homeroom.ledger.prices import load_prices
from homeroom.runtime.hardware import hardware
from homeroom.runtime.ports import has_route
from homeroom.tuning.dspy.shipped import shipped
from homeroom.tuning.recommend.inputs import INPUTS, Quality, Situation, Value
from homeroom.tuning.recommend.rules import Method

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

MOST_BYTES = 200_000_000  # of a file or folder that is looked through; some minutes
WARNINGS_SHARE = 0.1  # of the examples; with warnings on more than that the data is not called good
SOON = timedelta(days=90)
"""A model that ends within it is not advised: what is tuned on it ends with it."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A model of an endpoint of the settings.

    Attributes:
        name: ``ENDPOINT/MODEL``.
        leaves: Whether what is sent there leaves this machine.
        missing_key: The variable that should hold its key and does not; empty where nothing is missing.
        ends: The day on which it is reported to end; None where none is known.
    """

    name: str
    leaves: bool = False
    missing_key: str = ""
    ends: date | None = None

    def why_not(self, today: date) -> str:
        """Why it is not advised; empty where nothing speaks against it."""
        if self.missing_key:
            return f"{self.missing_key} is not set"
        if self.ends is not None and self.ends - today <= SOON:
            return f"it is reported to end on {self.ends}"
        return ""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out.

    Attributes:
        values: Input to value.
        where: Input to where it was found, in words.
        data: What was looked at, as it was named.
        dataset: Of it the name and version of a dataset; empty where a file or nothing was.
        offered: Models of the settings' endpoints, in their order.
        program: The shipped program of several fields that the examples are for; empty where they are dialogues.
    """

    values: Mapping[str, Value] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    dataset: str = ""
    offered: tuple[Offered, ...] = ()
    program: str = ""


def look(home: Homeroom, data: str | None = None, task: str = "", *, today: Callable[[], date] = date.today) -> Found:
    """Look at ``data``, this machine, its network and the keys in the environment. Asks nobody.

    Args:
        home: The open home.
        data: A dataset, of which the training examples are counted, or a file, of which all are.
        task: The part whose examples are counted; the tutor's, where there are any, when empty.
        today: The clock.

    Raises:
        NotFoundError: ``file-not-found``, ``dataset-not-found``.
        ConfigError: ``recommend-input``: the dataset has no example of the task.
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
    dataset = program = ""
    if data is not None:
        dataset, counted, result = _checked(home, data, task)
        program = program_of(home.datasets.get(dataset)) if dataset else ""
        found["examples"] = counted
        found["quality"] = (_quality(result), f"homeroom data check: {result.summary['errors']} errors, "
                                              f"{result.summary['warnings']} warnings")  # fmt: skip
    values, where = {k: v for k, (v, _) in found.items()}, {k: w for k, (_, w) in found.items()}
    return Found(values, where, data or "", dataset, tuple(_offered(home)), program)


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
    """The commands that try ``method``, in order: none sends anything to another machine where the situation forbids that.

    None names a model that cannot be asked, or that is about to end: a model of this machine stands in for it.
    """
    data = found.dataset or "DATASET"
    endpoint = next((o.name for o in _allowed(found, situation) if not o.why_not(situation.today)), "")
    if method == "prompt" and found.program:
        first = shipped(found.program).main
        return (f"homeroom tune ask {endpoint or 'BASE'} --program {found.program} {first}='...'",)
    if method == "prompt":
        model = f" --model {endpoint}" if endpoint else ""
        return (f'homeroom chat{model} --system "Guide with a question. Never give the answer away."',)
    if method == "dspy":
        base = f" --base {endpoint}" if endpoint else ""
        how = f"--recipe recipes/feedback.yaml --program {found.program}" if found.program else "--method dspy"
        return tuple(f"homeroom tune {step} {how} --dataset {data}{base}" for step in ("plan", "run"))
    if method == "openai":
        # Without access to a provider it is Homeroom's own server, which trains a base of this machine.
        base = f" --base {endpoint or 'ENDPOINT/MODEL'}" if endpoint or situation.access != "none" else ""
        return tuple(f"homeroom tune {step} --method openai --dataset {data}{base}" for step in ("plan", "run"))
    return (f"homeroom tune plan --dataset {data}", f"homeroom tune run --dataset {data}")


def passed_over(found: Found, situation: Situation) -> tuple[str, ...]:
    """Models of endpoints that no command names although they might be asked, each with the reason; what a method cannot do."""
    reasons = [(offered.name, offered.why_not(situation.today)) for offered in _allowed(found, situation)]
    told = [f"{name} is not named: {why}" for name, why in reasons if why]
    if found.program:
        told.append(
            f"the examples are for the program {found.program!r}, of several fields: a prompt is tuned for all of them "
            f"(dspy), while weights learn {REPLY[found.program]!r} alone"
        )
    return tuple(told)


def measured_by(found: Found) -> tuple[str, ...]:
    """The commands that measure what the rules only say, before anything is tuned and after: a probe and a comparison.

    Of a program of several fields: what the base's are worth, and the tuned model's.
    """
    data = found.dataset or "DATASET"
    if found.program:
        score = f"homeroom tune score MODEL --dataset {data}"
        return (f"{score} --program {found.program}".replace("MODEL", "BASE"), score)
    return (f"homeroom tune recommend --probe --dataset {data}", f"homeroom tune compare --dataset {data}")


def _allowed(found: Found, situation: Situation) -> list[Offered]:
    """The models that may be asked at all."""
    return [offered for offered in found.offered if not (offered.leaves and _stays_here(situation))]


def _stays_here(situation: Situation) -> bool:
    """Whether no other machine may be asked: for privacy, for want of a network, or because each request would be paid."""
    free = situation.no_running_costs or situation.budget_usd == 0
    return situation.private or situation.offline or situation.connectivity == "none" or free


def _offered(home: Homeroom) -> Iterator[Offered]:
    prices = load_prices(home.settings.home)
    for endpoint in home.settings.endpoints:
        leaves = leaves_this_machine(endpoint)
        missing = endpoint.api_key_env if endpoint.api_key_env and not os.environ.get(endpoint.api_key_env) else ""
        for model in endpoint.models:
            ends = prices.ending(model) if leaves else ""
            yield Offered(f"{endpoint.name}/{model}", leaves, missing, date.fromisoformat(ends) if ends else None)


def _checked(home: Homeroom, data: str, task: str) -> tuple[str, tuple[int, str], LintResult]:
    """Name of the dataset (empty for a file), how many examples there are to train on and of what, and what every rule says."""
    path = Path(data)
    if path.exists() or path.suffix:
        if (found := data_bytes(path)) > MOST_BYTES:
            raise DataError(
                f"{data!r} holds {found / 1e6:,.0f} MB, too much to look through for a recommendation. Check it by itself "
                f"(homeroom data check {data}) and say what came of it: homeroom tune recommend --examples 5000 --quality good",
                code="no-examples",
            )
        result = lint([path])
        if not result.summary["examples"] and not result.ok:
            raise DataError(
                f"{data!r} holds no example that can be read, so nothing can be said of it. See what is wrong with each line: "
                f"homeroom data check {data}. Without data: homeroom tune recommend",
                code="no-examples",
            )
        return "", (int(result.summary["examples"]), data), result
    dataset = home.datasets.get(data)
    name = f"{dataset.info.name}@{dataset.info.version}"
    part = task or ("tutor" if "tutor" in dataset.tasks else dataset.tasks[0])
    if part not in dataset.tasks:
        raise ConfigError(
            f"{name} has no example of the task {part!r} (it has: {', '.join(dataset.tasks)}). Choose one: "
            f"homeroom tune recommend {name} --task {dataset.tasks[0]}",
            code="recommend-input",
        )
    examples = len(dataset.part("train", part))
    told = f"{data}: the training part, task {part}; {len(dataset.examples)} examples in all"
    return name, (examples, told), check_dataset(home, dataset)


def data_bytes(path: Path) -> int:
    """What a file, or all files of a folder, hold together; 0 where there is nothing."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.is_file() else 0


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
