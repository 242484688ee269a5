"""What a program of several fields is worth on examples that no search has seen: the checks, on the test split."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from statistics import mean
from typing import TYPE_CHECKING, Any

from homeroom.app.dspy_job import shipped_as
from homeroom.app.endpoints import endpoint_of
from homeroom.app.evaluation import held_out_items, opened
from homeroom.app.field_programs import require_fields
from homeroom.app.metering import Use
from homeroom.app.programs import REPLY_TOKENS, Program, other_program, program, spec_of
from homeroom.app.sizes import json_bytes
from homeroom.app.spending import Asked, Quote, Spend, agreed, answering, questions_quote
from homeroom.app.talk import identity_of, running_directory
from homeroom.app.trace_forms import Fields, Own
from homeroom.data.bundled import PROGRAM_DATA
from homeroom.errors import ConfigError, NotFoundError
from homeroom.evaluation.answers import generate, unanswered
from homeroom.evaluation.field_checks import MAIN, FieldChecks, FieldReply, score_fields
from homeroom.models.prompt_program import whole_reply
from homeroom.models.pull import installed
from homeroom.schema.chat import Chunk, Completion, GenerationSettings
from homeroom.schema.examples import Item, Message
from homeroom.tuning.dspy.shipped import shipped
from homeroom.tuning.dspy.spec import ProgramSpec

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.schema.models import TunedModel

EVERY = 1_000


@dataclass(frozen=True, slots=True)
class ProgramScore:
    """What one model's replies to the test split are worth.

    Attributes:
        model: Its name.
        program: Whose fields it gave.
        dataset: ``name@version``.
        score: The mean, 0 to 1.
        scores: Of each reply.
        authored: What the authored replies reach under the same checks.
        failed: Replies that each check refused, by its title.
        unread: Replies that could not be read as the fields.
        look: How often this test split was looked at.
        measure: ``field-checks``; of a program of one's own what its search chose by, such as ``reference``.
    """

    model: str
    program: str
    dataset: str
    score: float
    scores: tuple[float, ...]
    authored: float
    failed: Mapping[str, int]
    unread: int
    look: str
    measure: str = FieldChecks.name

    def to_dict(self) -> dict[str, Any]:  # JSON
        """Plain data."""
        return asdict(self)


def score_program(
    home: Homeroom,
    model: str,
    dataset: str = "",
    *,
    name: str = "",
    max_tokens: int = REPLY_TOKENS,
    spend: Spend = 0.0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ProgramScore:
    """Ask a model each example of a test split and judge the fields that it gives.

    Args:
        home: The open home.
        model: A tuned model, a base, or ``ENDPOINT/MODEL``.
        dataset: Version; the program's bundled examples when empty, of one's own program those that it was tuned on.
        name: The program; that of a tuned model when empty.
        max_tokens: Longest reply.
        spend: The most that all replies may cost at an endpoint, in US dollars; ``math.inf`` is whatever they cost. Or what is
            called with the forecast, and raises where nobody agrees; the most of it is then the limit.
        on_progress: Called with replies that are there, and of how many.

    Raises:
        ConfigError: ``program-unchecked``: there are no checks for the program; ``needs-yes``. And what `program` raises.
        NotFoundError: no such dataset, model or program.
        DataError: ``no-items``: nothing is held out; ``program-fields``: the examples are not for the program.
        ProviderError: the model did not answer.
    """
    tuned = _tuned(home, model)
    own = spec_of(home, tuned) if tuned else None
    form: Fields | Own
    if tuned is not None and own is not None and not name and not shipped_as(own):
        spec, form = own, Own.of(tuned, own)
        found = home.datasets.get(dataset or tuned.dataset)
    else:
        spec = shipped(_checked(model, name, own))
        form = Fields(spec.name)
        found = home.datasets.get(dataset or PROGRAM_DATA[spec.name])
    items = held_out_items(found, str(tuned.recipe.get("task") or "tutor") if isinstance(form, Own) and tuned else "tutor", EVERY)
    require_fields(spec, found, items, own=isinstance(form, Own))
    drawn = _Drawn(home, form, tuned.name if tuned else model, max_tokens, _system(form, tuned))
    limit = agreed(_quotes(home, model, tuned, spec, drawn.missing(items), max_tokens), spend)
    look = hashlib.sha256(f"{tuned.name if tuned else model} {found.info.id} {drawn.depends_on}".encode()).hexdigest()[:24]
    opening = opened(home, f"score-{look}", found, items[0].example.task, [tuned] if tuned else [])
    asked_as = "" if own is not None and shipped_as(own) == shipped_as(spec) else spec.name
    with program(home, asked_as, model=model, max_tokens=max_tokens, spend=limit, use=Use("judging", "dspy")) as asked:
        replies = drawn.replies(asked, items, on_progress)
        known = asked.name
    worth = _worth(form, items, replies)
    return ProgramScore(
        model=known,
        program=spec.name,
        dataset=f"{found.info.name}@{found.info.version}",
        score=round(mean(worth.values), 4),
        scores=tuple(round(value, 4) for value in worth.values),
        authored=round(mean(worth.authored), 4),
        failed=worth.failed,
        unread=sum(not reply for reply in replies),
        look=opening.text,
        measure=worth.measure,
    )


def _checked(model: str, name: str, own: ProgramSpec | None) -> str:
    """The program whose checks a model's replies are judged by.

    Raises:
        ConfigError: ``program-unchecked``, ``program-other``.
    """
    chosen = (name or (own.name if own is not None else "")).replace("-", "_")
    if not chosen:
        raise ConfigError(f"{model!r} has no program of its own. Name one: --program {', '.join(MAIN)}", code="program-unchecked")
    if chosen not in MAIN:
        raise ConfigError(
            f"There are no checks of fields for the program {chosen!r}; there are for {', '.join(MAIN)}. Judge a tutor or a "
            "learner: homeroom eval run --model NAME. What was tuned for a program of your own is judged without --program",
            code="program-unchecked",
        )
    if own is not None and shipped_as(own) != chosen:
        raise other_program(model, own, name)
    return chosen


def _system(form: Fields | Own, tuned: TunedModel | None) -> str:
    """The visible prompt that the search asked with."""
    return str(tuned.settings.get("system_prompt") or "") if isinstance(form, Own) and tuned is not None else ""


@dataclass(frozen=True, slots=True)
class _Worth:
    """What replies are worth, and what the authored ones are; refused by which checks; the name of the measure."""

    values: Sequence[float]
    authored: Sequence[float]
    failed: Mapping[str, int]
    measure: str


def _worth(form: Fields | Own, items: Sequence[Item], replies: Sequence[str]) -> _Worth:
    if isinstance(form, Own):
        return _Worth(form.values(items, replies), form.values(items, [form.authored(i) for i in items]), {}, form.judge.name)
    name = form.program
    scored = score_fields(name, items, replies)
    written = score_fields(name, items, [json.dumps(_authored(name, FieldReply(name, item, {}))) for item in items])
    failed = dict(Counter(title for one in scored for title in one.failed).most_common())
    return _Worth([one.value for one in scored], [one.value for one in written], failed, FieldChecks.name)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """How replies are drawn and kept: the same question is not asked twice."""

    home: Homeroom
    form: Fields | Own
    name: str
    max_tokens: int
    system: str = ""

    @property
    def _about(self) -> dict[str, Any]:  # keywords of what asks and of what looks which are kept
        with closing(running_directory(self.home)) as models:
            card = models.card(self.name)
        return {
            "system": "fields",
            "prompt": self.form.prompt(self.system),
            "cache_dir": self.home.settings.home / "answers",
            "identity": f"{identity_of(self.home, card)}:{self.form.program}:{card.generation}",
        }

    @property
    def depends_on(self) -> str:
        """What the replies depend on besides the examples: other replies to the same examples are a further look at them."""
        return f"{self._about['identity']} {self._settings}"

    @property
    def _settings(self) -> GenerationSettings:
        return GenerationSettings(temperature=0.0, max_tokens=self.max_tokens)

    def missing(self, items: Sequence[Item]) -> list[list[Message]]:
        """What is not kept and would be asked."""
        return unanswered(items, self._settings, **self._about)

    def replies(self, asked: Program, items: Sequence[Item], on_progress: Callable[[int, int], None]) -> list[str]:
        """The fields for each example as JSON; empty where a reply has not all of them."""
        answers = generate(
            items,
            _Whole(asked, self.form),
            self._settings,
            **self._about,
            concurrency=self.home.settings.engine_slots,
            on_progress=on_progress,
        )
        return [answer.text for answer in answers]


class _Whole:
    """A program as a chat model whose text is the JSON of all fields."""

    def __init__(self, asked: Program, form: Fields | Own) -> None:
        self.name, self._asked, self._form = asked.name, asked, form

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply."""
        return self._form.complete(self._asked.model, messages, replace(self._asked.settings, max_tokens=settings.max_tokens))

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Iterator[Chunk]:
        """The reply in one piece."""
        yield from whole_reply(self.complete(messages, settings))


def _quotes(
    home: Homeroom, model: str, tuned: TunedModel | None, spec: ProgramSpec, texts: Sequence[Sequence[Message]], max_tokens: int
) -> list[Quote]:
    """What the replies will cost at an endpoint."""
    questions = [spec.program(spec.instructions, ()).render(text) for text in texts]
    fields = spec.program("", ()).outputs
    systems = answering(home, tuned) if tuned else [Asked(model, (0.0, json_bytes(fields.schema) if fields else 0))]
    return questions_quote(home, f"the fields of {model}", systems, questions, max_tokens)


def _tuned(home: Homeroom, model: str) -> TunedModel | None:
    """The tuned model of that name, id8 or suffix; None for a base or a model of an endpoint."""
    if installed(model, home.settings.cache) is not None:
        return None
    try:
        return home.registry.get(home.registry.resolve(model))
    except NotFoundError:
        if endpoint_of(home.settings, model) is None:
            raise
        return None


def _authored(name: str, reply: FieldReply) -> Mapping[str, Any]:
    return {shipped(name).reply: reply.item.gold, **reply.authored}
