"""Asking several systems the same questions, wherever each of them answers: one engine at a time, endpoints as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.app.directory import HomeDirectory
from homeroom.app.endpoints import endpoint_identity, endpoint_of, open_endpoint_model
from homeroom.app.engines import engine
from homeroom.app.metering import Use
from homeroom.app.own_weights import own_files
from homeroom.app.talk import running_directory
from homeroom.app.tuning import CHARACTERS_A_TOKEN
from homeroom.evaluation.answers import generate
from homeroom.evaluation.evaluate import Replies
from homeroom.evaluation.prompts import PromptBuilder
from homeroom.evaluation.results import Role, SystemInfo
from homeroom.ledger.purse import Purse
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.chat import ChatModel, GenerationSettings
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Item
from homeroom.schema.jobs import REPLIES_A_MARK, JobContext
from homeroom.schema.models import TunedModel
from homeroom.storage.errors import disk_errors
from homeroom.storage.files import write_atomically

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

COSTS = "costs.json"
Place = tuple[str, str]  # where somebody answers: ("base" | "own" | "endpoint", name)


@dataclass(frozen=True, slots=True)
class Asked:
    """A base where it answers.

    Attributes:
        models: Gives what answers under a tuned model's name.
        base: The base itself; None where only tuned models are asked.
        identity: Of the base and how it is served: part of the answers' cache key.
        count: Tokens of a text, exactly or roughly.
        context_tokens: Longest prompt plus reply.
    """

    models: HomeDirectory
    base: ChatModel | None
    identity: str
    count: Callable[[str], int]
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Participant:
    """A system to be asked.

    Attributes:
        name: Unique in the comparison.
        role: The part it plays.
        prompt: Makes its prompt, once it is known who counts its tokens.
        model: The tuned model; None for the base.
        kept_as: Name under which its answers are kept: that of ``homeroom eval run``, so that nothing is asked twice.
    """

    name: str
    role: Role
    prompt: Callable[[Asked], PromptBuilder]
    model: TunedModel | None = None
    kept_as: str = ""


def place_of(home: Homeroom, base: str, model: TunedModel | None) -> Place:
    """Where a system answers; a model at an endpoint together with its base where that is known, as by ``homeroom eval run``."""
    if model is not None and model.kind == "remote":
        return "endpoint", model.base if endpoint_of(home.settings, model.base) is not None else model.remote_id
    if model is not None and model.kind == "full":
        return "own", model.name
    name = model.base if model is not None else base
    return ("endpoint" if endpoint_of(home.settings, name) is not None else "base"), name


def ask_all(
    context: JobContext,
    home: Homeroom,
    base: str,
    participants: Sequence[Participant],
    items: Sequence[Item],
    settings: GenerationSettings,
    purse: Purse | None = None,
) -> tuple[list[Replies], dict[str, float]]:
    """Every participant's replies, in the participants' order, and what each cost in US dollars. Paid from ``purse``.

    Raises:
        ProviderError: an endpoint would not answer. PurseSpent: the money ended. NotFoundError: a base is not here. JobCancelled:
            the job is to stop. Answers so far are kept.
    """
    by_place: dict[tuple[Place, str], list[Participant]] = {}  # and by method where calls are counted: controls have none
    for one in participants:
        place = place_of(home, base, one.model)
        by_place.setdefault((place, one.model.method if one.model and place[0] == "endpoint" else ""), []).append(one)
    costs = _Costs(home, context)
    found: dict[str, Replies] = {}
    for (place, method), members in by_place.items():
        with _opened(home, place, members, Use("judging", method, context.job.id), purse) as asked:
            for member in members:
                costs.begin(member.name)
                done = len(found)

                def tell(count: int, total: int, name: str = member.name, done: int = done) -> None:
                    share = (done + count / max(total, 1)) / len(participants)
                    context.progress(share, f"{name}: {count} of {total} replies")
                    context.saved(count // REPLIES_A_MARK, name)

                found[member.name] = _ask(home, asked, member, items, settings, tell, context.should_stop)
                costs.end(member.name)
    return [found[one.name] for one in participants], costs.spent


def _ask(
    home: Homeroom,
    asked: Asked,
    member: Participant,
    items: Sequence[Item],
    settings: GenerationSettings,
    tell: Callable[[int, int], None],
    should_stop: Callable[[], bool],
) -> Replies:
    prompt = member.prompt(asked)
    model = asked.models.chat_model(member.model.name) if member.model is not None else asked.base
    assert model is not None  # a base is asked where it answers
    own = f":{member.model.artifact or member.model.remote_id}" if member.model is not None else ""
    identity = f"{asked.identity}{own}"
    answers: Sequence[Answer] = generate(
        items,
        model,
        settings,
        system=member.kept_as or member.name,
        prompt=prompt,
        cache_dir=home.settings.home / "answers",
        identity=identity,
        concurrency=home.settings.engine_slots,
        on_progress=tell,
        should_stop=should_stop,
    )
    shots = len(getattr(prompt, "demonstrations", ()))
    text = str(getattr(prompt, "system_text", ""))
    title = f"Base, {shots} demonstration{'s' if shots != 1 else ''}" if member.role == "few-shot" else _title(member)
    return Replies(SystemInfo(member.name, member.role, title, model.name, identity, text, shots), answers)


def _title(member: Participant) -> str:
    return {"base": "Base", "prompt": "Base, a well-written prompt"}.get(member.name, member.name)


@contextmanager
def _opened(home: Homeroom, place: Place, members: Sequence[Participant], use: Use, purse: Purse | None) -> Iterator[Asked]:
    kind, name = place
    if kind == "endpoint":
        with _endpoint(home, name, use, purse) as asked:
            yield asked
        return
    models = [m.model for m in members if m.model is not None]
    base = own_files(home, models[0]) if kind == "own" else home.base_files(name)
    tokenizer = ChatTokenizer(base.weights)
    served = home if kind == "own" else home.with_base(base.name)
    wanted = tuple(model.name for model in models)
    with engine(home, base, batch=True, wanted=wanted) as resolve, closing(HomeDirectory(served, resolve, use)) as directory:
        yield Asked(
            directory,
            directory.chat_model(base.name) if kind == "base" else None,
            f"{base.identity}:{home.settings.engine_weights}:{resolve().context_tokens}",
            lambda text: len(tokenizer.encode(text)),
            min(home.settings.engine_context, base.context_tokens),
        )


@contextmanager
def _endpoint(home: Homeroom, name: str, use: Use, purse: Purse | None) -> Iterator[Asked]:
    def count(text: str) -> int:
        return len(text) // CHARACTERS_A_TOKEN

    model, identity = open_endpoint_model(home, name, use, purse)
    with closing(model), closing(running_directory(home, use, purse)) as directory:
        yield Asked(directory, model, identity, count, home.settings.engine_context)


def place_identity(home: Homeroom, base: str) -> str:
    """Identity of the base that controls are asked on."""
    endpoint = endpoint_of(home.settings, base)
    return endpoint_identity(endpoint, base) if endpoint is not None else home.base_files(base).identity


class _Costs:
    """What each system's replies cost, by the ledger: kept in the job's folder, for the attempt that goes on."""

    def __init__(self, home: Homeroom, context: JobContext) -> None:
        self._home, self._job_id = home, context.job.id
        self._file: Path = context.work_dir / COSTS
        known: dict[str, Any] = json.loads(self._file.read_text("utf-8")) if self._file.is_file() else {}
        self._marks: dict[str, dict[str, float]] = known

    @property
    def spent(self) -> dict[str, float]:
        """US dollars by system."""
        return {name: mark["end"] - mark["begin"] for name, mark in self._marks.items() if "end" in mark}

    def begin(self, name: str) -> None:
        self._marks.setdefault(name, {"begin": self._now()})
        self._save()

    def end(self, name: str) -> None:
        self._marks[name].setdefault("end", self._now())
        self._save()

    def _now(self) -> float:
        return sum(total.usd + total.held_usd for total in self._home.ledger.totals((), job=self._job_id))

    def _save(self) -> None:
        with disk_errors(self._file):
            write_atomically(self._file, json.dumps(self._marks).encode())
