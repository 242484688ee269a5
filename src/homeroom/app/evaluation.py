"""Submitting evaluations: a tuned model against its base, and against its base with demonstrations, on whole unseen topics."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from homeroom.app.agreements import lift_limit
from homeroom.app.endpoints import endpoint_of
from homeroom.app.field_programs import require_dialogue
from homeroom.app.program_inputs import several_inputs, whole_examples, whole_items
from homeroom.app.sizes import question
from homeroom.app.spending import Asked, Quote, Spend, agreed, answering, replies_quote
from homeroom.app.tuning import standing_job
from homeroom.app.work import key_of, submit_once
from homeroom.data.datasets import Dataset
from homeroom.data.held_out import Opening
from homeroom.errors import ConfigError, DataError, NotFoundError
from homeroom.evaluation.prompts import FewShotPrompt, few_shot_prompt, leaks
from homeroom.evaluation.situation import Situation, situation
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Example, Item, Message
from homeroom.schema.jobs import Job
from homeroom.schema.models import TunedModel
from homeroom.tuning.dspy.spec import ProgramSpec

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

SHOTS_BUDGET_TOKENS = 520
SEED = 20
TURN_TOKENS = 8  # what a turn costs beside its text
DEFAULT_ITEMS = 24
DEFAULT_SHOTS = 3
DEFAULT_MAX_TOKENS = 96
MAX_TURNS = 3

Question = tuple[str, ...]
"""What is asked: the words of the turns before a reply."""


def spread(examples: Sequence[Example], limit: int, *, max_turns: int = MAX_TURNS) -> list[Item]:
    """At most ``limit`` replies of ``examples``, spread over their topics and situations, the same every time.

    The order is a hash of each item's id, dealt topic by topic: no topic has two more items than another that has any left. A
    topic deals an item of the `situation` of which the fewest have been dealt, so that few items still try every rule: of the
    questions to a tutor, few hold work that is right, and very few a child in danger.
    Later turns of long dialogues are left out (``max_turns``): their prompts hold most of the answer already.
    """
    by_topic: dict[str, list[Item]] = {}
    for example in examples:
        topic = str(example.metadata.get("topic") or example.id)
        by_topic.setdefault(topic, []).extend(item for item in example.items() if item.turn < max_turns)
    topics = [_by_situation(by_topic[topic]) for topic in sorted(by_topic)]
    dealt: list[Item] = []
    counts: Counter[Situation] = Counter()
    while len(dealt) < limit and any(topics):
        for left in topics:
            if left and len(dealt) < limit:
                scarcest = min(left, key=lambda kind: (counts[kind], kind))
                dealt.append(left[scarcest].popleft())
                counts[scarcest] += 1
                if not left[scarcest]:
                    del left[scarcest]
    return dealt


def _by_situation(items: Sequence[Item]) -> dict[Situation, deque[Item]]:
    """The items of a topic by what they try, each in the order of a hash."""
    queues: dict[Situation, deque[Item]] = {}
    for item in sorted(items, key=lambda item: hashlib.sha256(item.id.encode()).hexdigest()):
        queues.setdefault(situation(item), deque()).append(item)
    return queues


def held_out_items(dataset: Dataset, task: str, limit: int, seen: Collection[Question] = ()) -> list[Item]:
    """At most ``limit`` replies of the test split, chosen by `spread`: the same for every model.

    Args:
        dataset: The version.
        task: Whose examples.
        limit: Most replies.
        seen: Questions that a model which is judged was tuned on elsewhere: examples with one of them are left out.

    Raises:
        DataError: the test split has no example of the task (``no-items``), or the models were tuned on all of them
            (``all-seen``).
    """
    examples = dataset.part("test", task)
    unseen = [example for example in examples if not _was_seen(example, seen)]
    dealt = spread(unseen, limit)
    if examples and not unseen:
        raise DataError(
            f"What is judged was tuned on every {task} example that {dataset.info.name}@{dataset.info.version} holds out, so it "
            "would be judged by heart. Name the version that it was tuned on, or one with other examples: homeroom data versions",
            code="all-seen",
        )
    if not dealt:
        raise DataError(
            f"Dataset {dataset.info.name}@{dataset.info.version} holds out no example of the task {task!r}. "
            "Add examples about more topics.",
            code="no-items",
        )
    return dealt


def question_of(item: Item) -> Question:
    """What is asked, by its words: who a simulated learner is belongs to it, a tutor's visible prompt does not."""
    learner = item.example.task == "learner"
    return tuple(" ".join(m.content.split()) for m in item.prompt if learner or m.role != "system")


def _was_seen(example: Example, seen: Collection[Question]) -> bool:
    return bool(seen) and any(question_of(item) in seen for item in example.items())


def seen_elsewhere(home: Homeroom, dataset: Dataset, models: Iterable[TunedModel]) -> frozenset[Question]:
    """Questions that the models were tuned on, or chosen by, where that was another version than ``dataset``.

    Its own version keeps them out of its test split. What a model that came from elsewhere was tuned on is not known.
    """
    others = {model.dataset for model in models} - {"", dataset.info.id}
    found: set[Question] = set()
    for reference in others:
        try:
            other = home.datasets.get(reference)
        except NotFoundError:  # it is gone, or was never here
            continue
        used = (example for example in other.examples if other.splits[example.id] != "test")
        found.update(question_of(item) for example in used for item in example.items())
    return frozenset(found)


def opened(home: Homeroom, job_id: str, dataset: Dataset, task: str, models: Iterable[TunedModel]) -> Opening:
    """Count a look at the test split: a version with the same examples held out is the same split under another name."""
    questions = _held_out_questions(dataset, task)
    same = []
    for other in home.held_out.opened(task) - {dataset.info.id}:
        try:
            shared = questions & _held_out_questions(home.datasets.get(other), task)
        except NotFoundError:  # it is gone
            continue
        if shared:
            same.append(other)
    return home.held_out.open(job_id, dataset.info.id, task, [model.name for model in models], same)


def _held_out_questions(dataset: Dataset, task: str) -> set[Question]:
    return {question_of(item) for example in dataset.part("test", task) for item in example.items()}


def left_out(dataset: Dataset, task: str, seen: Collection[Question]) -> str:
    """What is told of held-out examples that are left out; empty where none is."""
    examples = dataset.part("test", task)
    count = sum(_was_seen(example, seen) for example in examples)
    if not count:
        return ""
    return f"{count} of {len(examples)} held-out examples are left out: a model that is judged here was tuned on their questions"


def judged_settings(model: TunedModel, max_tokens: int) -> GenerationSettings:
    """The settings saved with the model, as people will meet it, but short and seeded: all systems are asked alike.

    A learner is drawn at a temperature, and judged as drawn: greedy, a small model repeats itself where in use it does not.
    """
    own = GenerationSettings.from_dict(dict(model.settings))
    return replace(own, max_tokens=min(max_tokens, own.max_tokens), seed=SEED, json_schema=None)


def few_shot_control(
    dataset: Dataset,
    task: str,
    items: Sequence[Item],
    *,
    shots: int,
    system_text: str,
    count: Callable[[str], int],
    context_tokens: int,
    program: ProgramSpec | None = None,
) -> FewShotPrompt:
    """The control "base with demonstrations" from the training part.

    Args:
        dataset: The version.
        task: Whose examples.
        items: What will be answered: no demonstration is about one of their topics.
        shots: Most demonstrations.
        system_text: The visible prompt.
        count: Tokens of a text, exactly or roughly.
        context_tokens: Longest prompt plus reply.
        program: Whose inputs stand beside the words of what is asked, and so of what is shown.
    """
    train = whole_examples(dataset.part("train", task), program)
    # Where every dialogue is long, the shortest one is shown; where even that leaves no room for the question, none is.
    shortest = min((sum(count(m.content) + TURN_TOKENS for m in e.messages) for e in train), default=0)
    budget = max(SHOTS_BUDGET_TOKENS, shortest)
    fitting = shots if shortest <= context_tokens // 2 else 0
    shown = few_shot_prompt(train, fitting, 0, budget, count, system_text=system_text)
    leaked = leaks(shown, items)
    assert not leaked, f"demonstrations share topics with held-out items: {leaked}"  # the split makes this impossible
    return shown


def submit_evaluation(
    home: Homeroom,
    model: TunedModel,
    *,
    dataset: str = "",
    items: int = DEFAULT_ITEMS,
    shots: int = DEFAULT_SHOTS,
    max_tokens: int = DEFAULT_MAX_TOKENS,
    tasks: Sequence[str] = (),
    again: bool = False,
    spend: Spend = 0.0,
) -> Job:
    """Queue the evaluation of a tuned model; the same question gives the same job unless ``again``.

    Args:
        home: The open home.
        model: The candidate.
        dataset: Version to test on; the one that it was tuned on when empty.
        items: Most held-out replies.
        shots: Demonstrations of the few-shot control.
        max_tokens: Longest reply, in tokens; a model's own limit holds where it is lower.
        tasks: For a model that plays both parts; its own task when empty.
        again: Evaluate anew (answers that were kept are used again).
        spend: Agrees to what the replies cost at an endpoint, where the evaluation was not made before.

    Raises:
        NotFoundError: no such dataset. DataError: it holds nothing out. ConfigError: nothing to compare or bad numbers;
            ``needs-yes``, ``key-not-set``.
    """
    found, payload = judged_as(home, model, dataset=dataset, items=items, shots=shots, max_tokens=max_tokens, tasks=tasks)
    agreed(evaluation_quotes(home, model, found, payload, again=again), spend)
    key = key_of({"kind": "evaluate", **payload, "again": secrets.token_hex(8) if again else ""})
    resource = "cpu" if endpoint_of(home.settings, model.base) is None else "api"
    job = submit_once(home, "evaluate", payload, key, resource=resource)
    lift_limit(home, [job], spend)
    return job


def judged_as(
    home: Homeroom,
    model: TunedModel,
    *,
    dataset: str = "",
    items: int = DEFAULT_ITEMS,
    shots: int = DEFAULT_SHOTS,
    max_tokens: int = DEFAULT_MAX_TOKENS,
    tasks: Sequence[str] = (),
) -> tuple[Dataset, dict[str, Any]]:  # a job's payload: JSON
    """What a model is judged on, and what its evaluation's job carries. Arguments as of `submit_evaluation`.

    Raises:
        ConfigError: ``no-base``, ``no-dataset``, ``eval-program``, ``program-data``. NotFoundError: no such dataset.
    """
    if model.kind == "remote" and endpoint_of(home.settings, model.base) is None:
        raise ConfigError(
            f"{model.name!r} answers at an endpoint, and it is not known which model it was tuned from. Import it again "
            f"with that one: homeroom models import {model.remote_id} --base ENDPOINT/MODEL",
            code="no-base",
        )
    reference = dataset or model.dataset
    if not reference:
        raise ConfigError(f"{model.name!r} was imported without a dataset. Name one: --dataset NAME", code="no-dataset")
    found = home.datasets.get(reference)
    task = (tasks or (model.task,))[0]
    if model.task == "program":
        raise ConfigError(
            f"{model.name!r} replies with several fields, and this judges a tutor's or a learner's words. Judge the fields: "
            f"homeroom tune score {model.name}",
            code="eval-program",
        )
    require_dialogue(found)
    about: dict[str, Any] = {
        "task": found.tasks[0] if task == "any" else task,
        "items": items,
        "shots": shots,
        "max_tokens": max_tokens,
    }
    if (program := several_inputs(home, [model])) is not None:  # an evaluation without them was another question
        about["inputs"] = [field.name for field in program.inputs]
    return found, {"model": model.name, "dataset": found.info.id, **about}


def evaluation_quotes(
    home: Homeroom, model: TunedModel, dataset: Dataset, payload: Mapping[str, Any], *, again: bool = False
) -> list[Quote]:
    """What the evaluation of a tuned model will cost at an endpoint; nothing where it was made before or is under way.

    Args:
        home: The open home.
        model: The candidate.
        dataset: What it is tested on.
        payload: Of the evaluation's job.
        again: It is made although it was made before.

    Raises:
        DataError: ``no-items``, ``all-seen``. ConfigError: ``key-not-set``.
    """
    task = str(payload["task"])
    items = held_out_items(dataset, task, int(payload["items"]), seen_elsewhere(home, dataset, [model]))
    if not again and standing_job(home, "evaluate", [dict(payload)]) is not None:
        return []
    longest = judged_settings(model, int(payload["max_tokens"])).max_tokens
    system = str(model.settings.get("system_prompt") or "")
    program = several_inputs(home, [model])
    judged = Judged(
        model.base,
        answering(home, model),
        dataset,
        task,
        whole_items(items, program),
        int(payload["shots"]),
        longest,
        system,
        program,
    )
    return judging_quotes(home, f"judging {model.name}", judged)


@dataclass(frozen=True, slots=True)
class Judged:
    """An evaluation, as far as its cost goes.

    Attributes:
        base: What the two controls are asked on.
        tuned: Who answers for the candidate.
        dataset: The version.
        task: Whose examples.
        items: What is asked.
        shots: Demonstrations of the few-shot control.
        max_tokens: Of a reply.
        system: The candidate's visible prompt, which the controls have too.
        program: The candidate's, where it has several inputs: the items hold them already.
    """

    base: str
    tuned: Sequence[Asked]
    dataset: Dataset
    task: str
    items: Sequence[Item]
    shots: int
    max_tokens: int
    system: str = ""
    program: ProgramSpec | None = None


def judging_quotes(home: Homeroom, label: str, judged: Judged) -> list[Quote]:
    """What an evaluation will cost at an endpoint; nothing where base and candidate answer for nothing.

    Raises:
        ConfigError: ``key-not-set``.
    """
    before = [Message("system", judged.system)] if judged.system else []
    asked = question([[*before, *item.prompt] for item in judged.items])
    shown = shown_by_shots(judged.dataset, judged.task, judged.shots, judged.program)
    systems = [Asked(judged.base), Asked(judged.base, shown), *judged.tuned]
    quote = replies_quote(home, label, systems, len(judged.items), asked, judged.max_tokens)
    return [quote] if quote.paid else []


def shown_by_shots(dataset: Dataset, task: str, shots: int, program: ProgramSpec | None = None) -> tuple[float, float]:
    """So many demonstrations: characters usually, and bytes at most; with the inputs of a program that has several."""
    usual, most = question(example.messages for example in whole_examples(dataset.part("train", task), program))
    return shots * usual, shots * most
