"""A run's material: examples as fields, programs answering the selection items, and what each answer is worth."""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from statistics import mean
from typing import TYPE_CHECKING, Any, Protocol

import dspy

from homeroom.errors import HomeroomError, ProviderError
from homeroom.models.reply_choice import middle_reply, word_overlap
from homeroom.schema.examples import Example, Item
from homeroom.schema.jobs import JobCancelled
from homeroom.tuning.dspy.desk import BudgetSpent, CallDesk
from homeroom.tuning.dspy.library import SpecAdapter, program_of, twin
from homeroom.tuning.dspy.recipe import DspyRecipe
from homeroom.tuning.dspy.spec import HISTORY, SYSTEM, ProgramSpec

if TYPE_CHECKING:
    from homeroom.tuning.dspy.together import InRun

Program = Any
"""A `dspy.Predict`, or several of them: DSPy is untyped."""

Values = dict[str, Any]
"""Fields by name: any JSON."""


class NotTried(Exception):
    """An optimiser found nothing to work on; the message says what."""


@contextmanager
def quiet() -> Iterator[io.StringIO]:
    """DSPy's optimisers print and draw bars; a run tells of itself otherwise. Yields what they say, their log included."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield said


class Judge(Protocol):
    """Says what replies are worth, 0 to 1. Passed in: what is measured is not the tuner's to say.

    Attributes:
        name: Of the measure.
        whole: Whether a reply of several fields is given as the JSON object of all of them, and not as the main one alone.
    """

    name: str
    whole: bool

    def scores(self, items: Sequence[Item], replies: Sequence[str]) -> list[float]:
        """One value for each reply; a reply may be compared with the others of its system."""
        ...

    def advice(self, item: Item, reply: str) -> str:
        """What a better reply would do, in words; empty when nothing is missing."""
        ...


class ReferenceJudge:
    """The words that a reply shares with the authored one (F1): for programs of one text that have no measure of their own."""

    name = "reference"
    whole = False

    def scores(self, items: Sequence[Item], replies: Sequence[str]) -> list[float]:
        """One value for each reply."""
        return [word_overlap(item.gold, reply) for item, reply in zip(items, replies, strict=True)]

    def advice(self, item: Item, reply: str) -> str:
        """The authored reply, where the reply differs much from it."""
        return "" if word_overlap(item.gold, reply) >= 0.9 else f"A good reply was: {item.gold}"


def values_of(spec: ProgramSpec, item: Item, system_prompt: str) -> Values:
    """An item as the fields of a program, its authored reply included where the item has every output."""
    said = item.prompt[0].content if item.prompt and item.prompt[0].role == "system" else system_prompt
    turns = [m for m in item.prompt if m.role != "system"]
    values: Values = {SYSTEM: said, HISTORY: [{"role": m.role, "content": m.content} for m in turns[:-1]], **spec.given(item)}
    return {**values, **_outputs(spec, item)}


def _outputs(spec: ProgramSpec, item: Item) -> Values:
    """The authored outputs: of one field the reply, of several those of a JSON object or of the example's ``fields``."""
    found = written_outputs(spec, item)
    names = [field.name for field in spec.outputs]
    return {name: found[name] for name in names} if set(names) <= set(found) else {}


def written_outputs(spec: ProgramSpec, item: Item) -> Values:
    """What an example says of a program's outputs, whether or not that is all of them, values in their own JSON."""
    if spec.fields is None:
        return {spec.reply: item.gold}
    kept = _mapping(item.example.extra.get("fields"))
    more = _mapping(kept.get("output"))
    try:
        read = json.loads(item.gold)
    except ValueError:
        read = item.gold
    if isinstance(read, dict):
        return {**more, **read}
    kinds = {field.name: field.kind.get("type") for field in spec.outputs}
    named = str(kept.get("answer") or ("answer" if spec.reply in more else spec.reply))  # which output the reply's text is
    name = named if named in kinds else spec.reply
    return {**more, name: item.gold if kinds[name] == "string" else read}


def missing_fields(spec: ProgramSpec, items: Sequence[Item]) -> tuple[list[str], list[str]]:
    """Outputs, and inputs beside the main one, that some items do not have and none of them has, respectively."""
    given, written = [], []
    for item in items:
        fields = item.example.extra.get("fields")
        kept: Mapping[str, Any] = fields if isinstance(fields, Mapping) else {}
        passages = {"context": item.example.context} if item.example.context else {}
        given.append({**item.example.metadata, **_mapping(kept.get("input")), **passages})
        written.append(written_outputs(spec, item))
    outputs = [field.name for field in spec.outputs if not all(field.name in found for found in written)]
    inputs = [f.name for f in spec.inputs if f.name != spec.main and not any(found.get(f.name) for found in given)]
    return outputs, inputs


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Material:
    """What a run works on.

    Attributes:
        spec: The program's fields.
        pool: Items that demonstrations are made of; of each example the last reply.
        items: The selection items; never shown, unless there are too few examples to keep any apart.
        leave_one_out: Whether ``items`` and ``pool`` are the same examples, of which each is answered without itself.
    """

    spec: ProgramSpec
    pool: Sequence[Item]
    items: Sequence[Item]
    leave_one_out: bool = False


def last_items(examples: Sequence[Example], limit_characters: int, most: int, seed: int) -> list[Item]:
    """The last reply of each example that is short enough, in a drawn order; equal questions once."""
    found: dict[str, Item] = {}
    for example in sorted(examples, key=lambda e: e.id):
        items = list(example.items())
        if items and sum(len(m.content) for m in example.messages) <= limit_characters:
            beside = _mapping(example.extra.get("fields")).get("input")
            asked = json.dumps([[m.content for m in items[-1].prompt], beside], ensure_ascii=False, default=str)
            found.setdefault(asked, items[-1])
    order = list(found.values())
    random.Random(f"{seed}-pool").shuffle(order)
    return order[:most]


class Bench:
    """Where programs are run and scored. One for a run.

    Args:
        material: What is worked on.
        recipe: How.
        judge: What replies are worth.
        desk: What every call goes through.
        models: The task's language model, and the one that attempts anew each time.
        concurrency: Requests at a time.
        tracing: The same two for DSPy's own code, which weights are trained through; None where none are.
        weights: What trains them, and which there are.
        teaching: The same two of the model whose replies are shown; None where the task's model teaches itself.
    """

    def __init__(
        self,
        material: Material,
        recipe: DspyRecipe,
        judge: Judge,
        desk: CallDesk,
        models: tuple[Any, Any],
        concurrency: int,
        tracing: tuple[Any, Any] | None = None,
        weights: InRun | None = None,
        teaching: tuple[Any, Any] | None = None,
    ) -> None:
        self.spec, self.material, self.recipe, self.judge, self.desk = material.spec, material, recipe, judge, desk
        self.lm, _ = models
        self.teacher_lm, self.fresh_teacher_lm = teaching or models
        self.concurrency = concurrency
        self._adapter = SpecAdapter(self.spec)
        self._tracing, self._weights = tracing, weights

    @property
    def tracing(self) -> tuple[Any, Any]:
        """The language models that weights are trained through."""
        assert self._tracing is not None  # what trains weights is not tried without them
        return self._tracing

    @property
    def weights(self) -> InRun:
        """What trains them."""
        assert self._weights is not None
        return self._weights

    @cached_property
    def pool(self) -> list[Any]:
        """The items that demonstrations are made of, as DSPy's examples; those without every output are left out."""
        made = [self.example(item) for item in self.material.pool]
        return [e for e in made if all(field.name in e for field in self.spec.outputs)]

    @cached_property
    def selection(self) -> list[Any]:
        """The selection items as DSPy's examples."""
        return [self.example(item) for item in self.material.items]

    def example(self, item: Item) -> Any:
        """An item as a `dspy.Example`."""
        values = values_of(self.spec, item, self.recipe.system_prompt)
        inputs = (SYSTEM, HISTORY, *(field.name for field in self.spec.inputs))
        self._items[self._question(values)] = item
        return dspy.Example(**values).with_inputs(*inputs)

    @cached_property
    def _items(self) -> dict[str, Item]:
        return {}

    def item_of(self, example: Any) -> Item:
        """The item that an example was made of."""
        return self._items[self._question(example)]

    def _question(self, values: Any) -> str:
        names = (SYSTEM, HISTORY, *(field.name for field in self.spec.inputs))
        return json.dumps([values[name] for name in names], ensure_ascii=False, default=str)

    def same_question(self, one: Any, other: Any) -> bool:
        """Whether two examples or demonstrations share their inputs."""
        return self._question(one) == self._question(other)

    def student(self, instructions: str | None = None, demonstrations: Sequence[Any] = ()) -> Program:
        """A fresh program."""
        return program_of(self.spec, instructions, demonstrations)

    def asking(self, lm: Any | None = None, adapter: SpecAdapter | None = None) -> AbstractContextManager[Any]:
        """A block in which programs ask the task's model, or another, as our prompt programs do."""
        return dspy.context(lm=lm or self.lm, adapter=adapter or self._adapter, max_errors=1_000_000)  # type: ignore[no-any-return]

    @contextmanager
    def library(self, lm: Any | None = None, adapter: SpecAdapter | None = None) -> Iterator[io.StringIO]:
        """A block like `asking` in which an optimiser of DSPy's works: yields what it says, ends with what has ended the run.

        Raises:
            NotTried: the optimiser failed: by a reply that it could not read, say. The others can be tried all the same.
            What has ended the run.
        """
        try:
            with self.asking(lm, adapter), quiet() as said:
                yield said
        # DSPy, GEPA and Optuna raise what they please, and wrap what was raised below them.
        except Exception as error:
            self.desk.check()
            raise _ended_by(error) or NotTried(_why(error)) from error
        self.desk.check()

    def metric(self, example: Any, prediction: Any, trace: Any = None) -> float:
        """What one reply is worth, in DSPy's form. Raises what has ended the run."""
        self.desk.check()
        return self.judge.scores([self.item_of(example)], [self.text_of(prediction)])[0]

    def text_of(self, prediction: Any) -> str:
        """What is judged of a prediction: what a person reads, or all of its fields; empty where there was none."""
        if prediction is not None and self.judge.whole and self.spec.fields is not None:
            return json.dumps({field.name: prediction.get(field.name) for field in self.spec.outputs}, ensure_ascii=False)
        value = prediction.get(self.spec.reply) if prediction is not None else None
        return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def reply(self, program: Program, example: Any, lm: Any | None = None) -> Any:
        """A program's prediction for an example, no demonstration of the same question shown; None when it failed.

        Raises:
            What has ended the run.
        """
        own = twin(program, self.spec, [d for d in program.demos if not self.same_question(d, example)], lm=program.lm)
        with self.asking(lm):
            try:
                return own(**example.inputs())
            except (dspy.utils.exceptions.DSPyError, ValueError):  # refused, or without a field
                self.desk.check()  # which remembers what ends a run
                return None

    def replies(self, programs: Sequence[Program]) -> list[str]:
        """The reply to each selection item: of several programs the middle one.

        Raises:
            What has ended the run.
        """
        jobs: list[tuple[Program, Any]] = [(program, example) for example in self.selection for program in programs]
        with ThreadPoolExecutor(self.concurrency, thread_name_prefix="candidate") as threads:
            texts = list(threads.map(lambda job: self.text_of(self.reply(*job)), jobs))
        self.desk.check()
        many = len(programs)
        groups = [texts[start : start + many] for start in range(0, len(texts), many)]
        return [group[middle_reply(group)] for group in groups]

    def score(self, programs: Sequence[Program]) -> tuple[float, ...]:
        """What each selection reply is worth."""
        return tuple(self.judge.scores(self.material.items, self.replies(programs)))


def _ended_by(error: BaseException) -> BaseException | None:
    """What ends a run among an error and its causes; None where an optimiser failed by itself."""
    cause: BaseException | None = error
    while cause is not None:
        ours = isinstance(cause, HomeroomError) and not isinstance(cause, ProviderError)  # one reply may fail: the desk counts
        if ours or isinstance(cause, JobCancelled | BudgetSpent | NotTried):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _why(error: Exception) -> str:
    """One line."""
    if isinstance(error, dspy.utils.exceptions.AdapterParseError):
        return f"it could not read a reply, asked for twice: {str(error.lm_response)[:80]!r}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"it failed: {type(error).__name__}: {lines[0] if lines else 'without a reason'}"[:200]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One program that was tried.

    Attributes:
        label: Which.
        optimiser: What made it.
        programs: It; several for an ensemble.
        values: What each of its selection replies is worth.
        requests: That making and scoring it took.
        weights: Those that it was trained with; empty for a prompt alone.
    """

    label: str
    optimiser: str
    programs: tuple[Program, ...]
    values: tuple[float, ...]
    requests: int = 0
    weights: str = ""

    @property
    def score(self) -> float:
        """The selection score: by it the candidate was chosen, so it flatters. It is not the test's."""
        return mean(self.values)

    @property
    def shown(self) -> int:
        """Demonstrations that a request carries; of an ensemble all of them."""
        return sum(len(program.demos) for program in self.programs)

    @property
    def size(self) -> tuple[bool, int, int]:
        """What a reply costs: weights of its own, requests, characters shown. Of equals the smaller candidate is kept."""
        return (
            bool(self.weights),
            len(self.programs),
            sum(len(str(dict(demo))) for program in self.programs for demo in program.demos),
        )


Tell = Callable[[str], None]
