"""Our tuners as a provider of DSPy's: what `dspy.BootstrapFinetune` and `dspy.BetterTogether` train with.

DSPy hands over conversations and wants a model's name. A failed training is its job's *result*, and not raised:
`dspy.LM.finetune` does that. Only what tunes imports this module: it imports DSPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from dspy.clients.provider import Provider, TrainingJob
from dspy.clients.utils_finetune import TrainDataFormat, TrainingStatus

from homeroom.errors import DataError
from homeroom.schema.examples import Example, Message

PREFIX = "homeroom/"
"""Of model names in DSPy, where the first part names a provider."""

_STATES = {
    "queued": TrainingStatus.pending,
    "running": TrainingStatus.running,
    "succeeded": TrainingStatus.succeeded,
    "failed": TrainingStatus.failed,
    "cancelled": TrainingStatus.cancelled,
}


class Training(Protocol):
    """A training that was begun."""

    def result(self) -> str:
        """Wait for it: the name of the model that it made.

        Raises:
            Exception: what ended it.
        """
        ...

    def state(self) -> str:
        """``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``."""
        ...

    def cancel(self) -> None:
        """Ask it to stop."""
        ...


class Trains(Protocol):
    """Begins trainings."""

    def begin(self, model: str, examples: Sequence[Example], options: Mapping[str, Any]) -> Training:
        """Train ``model`` on conversations; ``options`` are DSPy's ``train_kwargs``.

        Raises:
            DataError: ``finetune-data``: there are none; see `none_good`.
        """
        ...

    def pause(self) -> None:
        """Free the memory that answering takes; the next request takes it again."""
        ...


class HomeroomJob(TrainingJob):  # type: ignore[misc]  # untyped
    """A training as DSPy has it: a future whose result is a language model, or the error that ended it."""

    training: Training | None = None
    _stop = False

    def started(self, training: Training) -> None:
        """The training that it stands for. It is cancelled at once if that was asked for before."""
        self.training = training
        if self._stop:
            training.cancel()

    def cancel(self) -> bool:
        """Ask the training to stop; the result then says that it was cancelled. False when it has ended."""
        if self.done():
            return False
        self._stop = True  # not the future itself: DSPy will set its result
        if self.training is not None:
            self.training.cancel()
        return True

    def status(self) -> TrainingStatus:
        """Where it stands."""
        if self.training is not None:
            return _STATES[self.training.state()]
        return TrainingStatus.failed if self.done() else TrainingStatus.not_started


class HomeroomProvider(Provider):  # type: ignore[misc]  # untyped
    """Trains language models of DSPy's.

    Args:
        trains: What does it.
    """

    def __init__(self, trains: Trains) -> None:
        super().__init__()
        self.finetunable = True
        self.TrainingJob = HomeroomJob
        self._trains = trains

    def __deepcopy__(self, memo: object) -> HomeroomProvider:
        return self  # programs are copied often, with all that hangs on them

    def kill(self, lm: Any, launch_kwargs: Mapping[str, Any] | None = None) -> None:
        """Free what answering takes, as DSPy does before it trains; there is no launching: the first request does it."""
        self._trains.pause()

    def finetune(
        self,
        job: HomeroomJob,
        model: str,
        train_data: Sequence[Mapping[str, Any]],
        train_data_format: TrainDataFormat | str | None,
        train_kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        """Train, in the job's own thread. The name of the new model, as DSPy has it.

        Raises:
            DataError: ``finetune-data``: none, or of another format than the chat's.
            Exception: what ended the training.
        """
        if train_data_format not in (TrainDataFormat.CHAT, TrainDataFormat.CHAT.value):
            raise DataError(
                f"Training data of the format {str(train_data_format)!r} cannot be trained on. Give the optimiser an adapter of "
                "chats: dspy.BootstrapFinetune(adapter=dspy.ChatAdapter())",
                code="finetune-data",
            )
        training = self._trains.begin(model.removeprefix(PREFIX), conversations(train_data), train_kwargs or {})
        job.started(training)
        return PREFIX + training.result()


def conversations(train_data: Sequence[Mapping[str, Any]]) -> list[Example]:
    """What DSPy wants trained, as examples: each conversation once, and of each only the last reply.

    The replies before it are demonstrations: without a weight of 0 they would be learnt again with every example.
    """
    found: dict[str, Example] = {}
    for record in train_data:
        *before, last = [Message.from_dict(message) for message in record["messages"]]
        shown = [Message(m.role, m.content, 0.0) if m.role == "assistant" else m for m in before]
        example = Example((*shown, last), {"source": "generated"})
        found[example.id] = example
    return list(found.values())


def none_good() -> DataError:
    """What is raised where there is nothing to train on."""
    return DataError(
        "Not one reply is good enough to be trained on. Lower the threshold of the metric, or give more examples or a teacher",
        code="finetune-data",
    )
