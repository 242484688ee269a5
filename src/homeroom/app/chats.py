"""Data from what happened: chats with what people said of the replies, samples of versions, and which models came of which."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from homeroom.app.home import Homeroom
from homeroom.chat.conversations import ConversationStore, Exchange
from homeroom.chat.feedback import Feedback, FeedbackStore
from homeroom.data.convert import write_examples
from homeroom.data.datasets import Dataset
from homeroom.data.formats.chat_export import FORMAT as EXPORT
from homeroom.data.merge import Merged, Part, merge
from homeroom.data.reading import load_examples
from homeroom.data.rules import check_record
from homeroom.data.sample import nested_samples
from homeroom.data.source import normalised
from homeroom.errors import ConflictError, NotFoundError
from homeroom.schema.examples import Example, Json
from homeroom.storage.scope import LOCAL, Scope

MOST_CHATS = 1_000_000


def chat_records(home: Homeroom, *, scope: Scope = LOCAL, teacher: bool = False) -> Iterator[Json]:
    """Each conversation of the home in the format ``chat-export``, the oldest first.

    Args:
        home: The open home.
        scope: Whose conversations.
        teacher: Better answers are a teacher's own words.
    """
    conversations, feedback = ConversationStore(home.database), FeedbackStore(home.database)
    for conversation in reversed(conversations.list(scope, kind="chat", limit=MOST_CHATS)):
        exchanges = conversations.exchanges(scope, conversation.id)
        chosen = [exchange.chosen.id for exchange in exchanges if exchange.chosen]
        said = feedback.for_turns(scope, chosen)
        yield {
            "conversation": conversation.id,
            "title": conversation.title,
            "kind": conversation.kind,
            "created_at": conversation.created_at,
            "turns": [turn for exchange in exchanges for turn in _turns(exchange, said, teacher)],
        }


def _turns(exchange: Exchange, said: dict[str, Feedback], teacher: bool) -> Iterator[Json]:
    """A message and the reply that later turns build on; a message that was never answered is left out."""
    reply = exchange.chosen
    if reply is None or not reply.text.strip():
        return
    yield {"role": "user", "content": exchange.user.text, "id": exchange.user.id}
    turn: Json = {"role": "assistant", "content": reply.text, "id": reply.id, "model": reply.model}
    told = said.get(reply.id)
    if told is not None:
        turn |= {"thumb": told.thumb, "reason": told.reason, "better_answer": told.better_answer, "consent": told.consent}
        turn |= {"created_at": told.created_at}
        turn |= {"by": "teacher"} if teacher else {}
    yield {key: value for key, value in turn.items() if value not in (None, "")}


def export_chats(home: Homeroom, target: Path, *, force: bool = False, scope: Scope = LOCAL) -> int:
    """Write every conversation as JSON Lines that only the owner can read; returns how many.

    Raises:
        ConflictError: the target exists (``file-exists``).
    """
    if target.exists() and not force:
        raise ConflictError(f"{str(target)!r} exists. Choose another name or add --force.", code="file-exists")
    target.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    target.touch(mode=0o600)
    target.chmod(0o600)
    with target.open("w", encoding="utf-8") as file:
        for record in chat_records(home, scope=scope):
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    return count


def feedback_examples(home: Homeroom, *, scope: Scope = LOCAL, teacher: bool = False) -> list[Example]:
    """What people said as examples: a better answer, or a praised reply. Consent is in the metadata, granted or not."""
    found = []
    for record in chat_records(home, scope=scope, teacher=teacher):
        if any(turn.get("thumb") or turn.get("better_answer") for turn in record["turns"]):
            for example in EXPORT.read(record):
                broken = {p.rule for p in check_record(example, "chats", 0) if p.severity == "error"}
                if broken <= {"consent-missing", "consent-refused"}:
                    found.append(Example.from_dict(normalised(example)))
    return found


def merge_into(
    home: Homeroom, dataset: str, files: Sequence[Path], *, feedback: bool = False, teacher: bool = False, seed: int = 0
) -> tuple[Merged, Dataset | None]:
    """Add files and feedback to a dataset (which may be new) as its next version.

    Returns:
        What was merged, and the version; None when nothing was new.

    Raises:
        DataError: a file has errors, or a new example joins training and test (``split-leakage``).
        NotFoundError: the dataset is named with a version and there is none (``dataset-not-found``).
    """
    try:
        base: Dataset | None = home.datasets.get(dataset)
    except NotFoundError:
        if "@" in dataset:
            raise
        base = None
    parts = [Part({"kind": "file", "name": path.name}, load_examples(path)) for path in files]
    if feedback:
        parts.append(Part({"kind": "feedback", "name": "feedback"}, feedback_examples(home, teacher=teacher)))
    merged = merge(base.examples if base else (), parts)
    if not merged.added:
        return merged, None
    told = ", ".join(f"{count} from {name}" for name, count in merged.by_origin.items())
    name = base.info.name if base else dataset
    parent = base.info.id if base else None
    return merged, home.datasets.create(name, merged.examples, parent=parent, seed=seed, note=f"Merged: {told}.")


def sample_versions(home: Homeroom, reference: str, sizes: Sequence[int], *, seed: int = 0) -> list[Dataset]:
    """Versions ``NAME-50``, ``NAME-100`` ...: nested training parts, and the held-out parts of ``reference``."""
    dataset = home.datasets.get(reference)
    held_out = [example for example in dataset.examples if dataset.splits[example.id] != "train"]
    made = []
    for size, some in nested_samples(dataset.part("train"), sizes, seed).items():
        note = f"{size} training examples of {dataset.info.name}@{dataset.info.version}, drawn with seed {seed}."
        examples = [*some, *held_out]
        made.append(home.datasets.create(f"{dataset.info.name}-{size}", examples, parent=dataset.info.id, note=note))
    return made


def sample_file(path: Path, sizes: Sequence[int], *, seed: int = 0, force: bool = False) -> dict[int, Path]:
    """Nested samples of a file as chat JSONL beside it: ``NAME-50.jsonl`` ... Size to file."""
    written = {}
    for size, some in nested_samples(load_examples(path), sizes, seed).items():
        target = path.with_name(f"{path.stem}-{size}.jsonl")
        write_examples(some.copy, target, force=force)
        written[size] = target
    return written


def models_trained_on(home: Homeroom, dataset: str) -> list[str]:
    """Names of the tuned models whose dataset is this version, the newest first."""
    return [model.name for model in home.registry.list() if model.dataset == dataset]
