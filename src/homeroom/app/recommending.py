"""What a recommendation can find out without asking: data, machine, network, keys; and the commands that follow from it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from homeroom.app.checking import check_dataset
from homeroom.app.field_programs import program_of
from homeroom.app.metering import leaves_this_machine
from homeroom.data.lint.run import LintResult, lint
from homeroom.data.reading import read_examples
from homeroom.errors import ConfigError, DataError
from homeroom.evaluation.field_checks import REPLY
from homeroom.ledger.prices import load_prices
from homeroom.runtime.hardware import hardware
from homeroom.runtime.ports import has_route
from homeroom.schema.examples import Example
from homeroom.settings import Endpoint
from homeroom.tuning.dspy.shipped import shipped
from homeroom.tuning.openai.dialect import NEBIUS, dialect_of
from homeroom.tuning.recommend.inputs import INPUTS, Quality, Situation, Value
from homeroom.tuning.recommend.rules import Method

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

MOST_BYTES = 200_000_000  # of a file or folder that is looked through; some minutes
WARNINGS_SHARE = 0.1  # of the examples; with warnings on more than that the data is not called good
SHOWN = 4  # examples that are put into a prompt word for word: below the number from which demonstrations are chosen
MOST_SHOWN = 8_000  # characters of them in one command
SHORT_RUN = 50
"""Examples up to which the bundled recipe demo.yaml, held to 16,000 tokens, sees about all of them; from there on course.yaml."""
MANNER = "Guide with a question. Never give the answer away."
OPENAI_HOST = "api.openai.com"
_AZURE = re.compile(r".+\.(openai|cognitiveservices|services\.ai)\.azure\.(com|us|cn)")
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
        tunes: Whether its endpoint fine-tunes, as far as is known: see `_fine_tunes`.
        known: Whether a price of training is known for it: it can be tuned.
        host: Of its endpoint.
    """

    name: str
    leaves: bool = False
    missing_key: str = ""
    ends: date | None = None
    tunes: bool = False
    known: bool = False
    host: str = ""

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
        few: The examples themselves as text, where there are so few that a prompt shows them all.
    """

    values: Mapping[str, Value] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    dataset: str = ""
    offered: tuple[Offered, ...] = ()
    program: str = ""
    few: str = ""


def look(home: Homeroom, data: str | None = None, task: str = "", *, today: Callable[[], date] = date.today) -> Found:
    """Look at ``data``, this machine, its network and the keys in the environment. Asks nobody.

    Args:
        home: The open home.
        data: A dataset or a file: all examples of the task are counted, so that splitting a file changes no answer.
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
    dataset = program = few = ""
    if data is not None:
        dataset, counted, result = _checked(home, data, task)
        few = _few(home, data, dataset, task) if 0 < counted[0] <= SHOWN else ""
        program = program_of(home.datasets.get(dataset)) if dataset else ""
        found["examples"] = counted
        found["quality"] = (_quality(result), f"homeroom data check: {result.summary['errors']} errors, "
                                              f"{result.summary['warnings']} warnings")  # fmt: skip
    values, where = {k: v for k, (v, _) in found.items()}, {k: w for k, (_, w) in found.items()}
    return Found(values, where, data or "", dataset, tuple(_offered(home)), program, few)


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
        system = f"{MANNER}\n\nReply as in these examples.\n\n{found.few}" if _shows(found, situation) else MANNER
        return (f"homeroom chat{model} --system {shlex.quote(system)}",)
    if method == "dspy":
        base = f" --base {endpoint}" if endpoint else ""
        how = f"--recipe recipes/feedback.yaml --program {found.program}" if found.program else "--method dspy"
        return tuple(f"homeroom tune {step} {how} --dataset {data}{base}" for step in ("plan", "run"))
    if method == "openai":
        # Where no endpoint is known to tune it is Homeroom's own server, which trains a base of this machine.
        tuned = _tunable(found, situation)
        base = f" --base {tuned}" if tuned else ""
        return tuple(f"homeroom tune {step} --method openai --dataset {data}{base}" for step in ("plan", "run"))
    recipe = " --recipe recipes/course.yaml" if situation.examples >= SHORT_RUN else ""
    return tuple(f"homeroom tune {step}{recipe} --dataset {data}" for step in ("plan", "run"))


def explained(method: Method, found: Found, situation: Situation) -> tuple[str, ...]:
    """What is to be known about the commands of ``method``; empty where nothing is."""
    made = (f"DATASET is made of the file, which needs at least 3 topics: homeroom data split {shlex.quote(found.data)}",)
    return (made if found.data and not found.dataset and method != "prompt" else ()) + _explained(method, found, situation)


def _explained(method: Method, found: Found, situation: Situation) -> tuple[str, ...]:
    if method == "huggingface" and situation.examples >= SHORT_RUN:
        return (
            "the bundled recipes/course.yaml goes through all examples, at most 4 times; without it recipes/demo.yaml is taken, "
            "which stops after 16,000 tokens",
        )
    if method == "prompt" and 0 < situation.examples <= SHOWN and not found.program and not _shows(found, situation):
        if found.few:
            return ("the examples are too long for a command: paste them into the system prompt",)
        return ("to see the command with the examples in it, name their file: homeroom tune recommend FILE",)
    if method == "openai" and not _tunable(found, situation):
        told = "no endpoint of the settings that fine-tunes and may be asked was found" if situation.access != "none" else ""
        return (
            f"{told or 'no access to a provider'}: this trains at Homeroom's own server. To train at a provider, name it in "
            "config.yaml of the home (endpoints) and add --base ENDPOINT/MODEL",
        )
    return ()


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


def _tunable(found: Found, situation: Situation) -> str:
    """The model to fine-tune: of the first endpoint that does it, one that is known to be tunable where there is one; or empty.

    Access to another provider than OpenAI is used there.
    """
    if situation.access in ("none", "closed"):
        return ""
    open_ones = [
        offered
        for offered in _allowed(found, situation)
        if offered.tunes
        and not offered.why_not(situation.today)
        and not (situation.access == "other" and offered.host == OPENAI_HOST)
    ]
    first = [o for o in open_ones if o.name.partition("/")[0] == open_ones[0].name.partition("/")[0]]
    return next((o.name for o in sorted(first, key=lambda o: not o.known)), "")


def _shows(found: Found, situation: Situation) -> bool:
    """Whether the prompt's command holds the examples."""
    return 0 < situation.examples <= SHOWN and 0 < len(found.few) <= MOST_SHOWN


def _few(home: Homeroom, data: str, dataset: str, task: str) -> str:
    """The examples that were counted, turn by turn, without system turns."""
    if dataset:
        held = home.datasets.get(dataset)
        part = task or ("tutor" if "tutor" in held.tasks else held.tasks[0])
        examples: Iterable[Example] = held.part("train", part)
    elif Path(data).is_file():
        examples = read_examples(data).examples
    else:
        examples = ()
    names = {"user": "Learner", "assistant": "Tutor"}
    return "\n\n".join(
        "\n".join(f"{names[turn.role]}: {turn.content}" for turn in example.messages if turn.role in names and turn.content)
        for example in examples
    )


def _fine_tunes(home: Homeroom, endpoint: Endpoint) -> bool:
    """Whether an endpoint is known to fine-tune: by its host, its setting, or a price of training that is written for it."""
    host = _host(endpoint)
    if host == OPENAI_HOST or endpoint.fine_tuning or _AZURE.fullmatch(host):
        return True
    if dialect_of("", endpoint.base_url) is NEBIUS:
        return True
    prices = load_prices(home.settings.home)
    own = [prices.at(endpoint.name, model) for model in endpoint.models]
    return any(price is not None and price.training is not None for price in own)


def _host(endpoint: Endpoint) -> str:
    return (urlsplit(endpoint.base_url).hostname or "").lower()


def _stays_here(situation: Situation) -> bool:
    """Whether no other machine may be asked: for privacy, for want of a network, or because each request would be paid."""
    free = situation.no_running_costs or situation.budget_usd == 0
    return situation.private or situation.offline or situation.connectivity == "none" or free


def _offered(home: Homeroom) -> Iterator[Offered]:
    prices = load_prices(home.settings.home)
    for endpoint in home.settings.endpoints:
        leaves = leaves_this_machine(endpoint)
        missing = endpoint.api_key_env if endpoint.api_key_env and not os.environ.get(endpoint.api_key_env) else ""
        tunes, host = _fine_tunes(home, endpoint), _host(endpoint)
        for model in endpoint.models:
            ends = prices.ending(model) if leaves else ""
            price = prices.price(model, endpoint.name)
            known = price is not None and price.training is not None
            day = date.fromisoformat(ends) if ends else None
            yield Offered(f"{endpoint.name}/{model}", leaves, missing, day, tunes, known, host)


def _checked(home: Homeroom, data: str, task: str) -> tuple[str, tuple[int, str], LintResult]:
    """Name of the dataset (empty for a file), how many examples there are and of what, and what every rule says."""
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
    train, *held_out = (len(dataset.part(split, part)) for split in ("train", "validation", "test"))
    examples = train + sum(held_out)
    told = f"{data}: task {part}, {train} of them to train on; {len(dataset.examples)} examples in all"
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
    """Whether there is a key for fine-tuning: of another endpoint of the settings that does it, else of OpenAI."""
    keyed = [e for e in home.settings.endpoints if e.api_key_env and os.environ.get(e.api_key_env)]
    for endpoint in keyed:
        if _host(endpoint) != OPENAI_HOST and _fine_tunes(home, endpoint):
            return "other", f"{endpoint.api_key_env} is set, and the endpoint {endpoint.name!r} fine-tunes"
    for variable in ("OPENAI_API_KEY", *(e.api_key_env for e in keyed if _host(e) == OPENAI_HOST)):
        if os.environ.get(variable):
            return "key", f"{variable} is set"
    return "none", "no key of OpenAI or of another endpoint that fine-tunes is set"
