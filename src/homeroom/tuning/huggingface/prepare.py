"""Examples of a dataset as a run takes them: chosen, encoded, and refused with the reason where nothing is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from homeroom.errors import DataError
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.examples import Example
from homeroom.schema.tuning import TrainingData
from homeroom.tuning.huggingface.batches import Step, schedule
from homeroom.tuning.huggingface.encode import Encoded, encode_examples, sample, select
from homeroom.tuning.huggingface.pairs import EncodedPairs, encode_pairs
from homeroom.tuning.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Prepared:
    """Data as a run takes it. The pairs are there with the objective ``dpo``, whose chosen replies `training` holds then."""

    tokenizer: ChatTokenizer
    training: Encoded
    validation: Encoded
    pairs: tuple[EncodedPairs, EncodedPairs] | None = None

    @property
    def lengths(self) -> list[int]:
        """Tokens that each training item runs through the model."""
        return self.pairs[0].lengths if self.pairs else [s.input_length for s in self.training.sequences]

    def steps(self, recipe: Recipe) -> list[Step]:
        """Every step of the run, known before the first one."""
        return schedule(self.lengths, recipe, [example.task for example in self.training.examples])


def prepare(tokenizer: ChatTokenizer, data: TrainingData, recipe: Recipe) -> Prepared:
    """The data of a run.

    Raises:
        DataError: ``too-few-examples``, ``no-labels``, ``no-preferences``: there is nothing to train on; ``prefix-unstable``.
    """
    chosen = select(data.train, recipe)
    held_out = [example for example in data.validation if recipe.task in ("any", example.task)]
    held_out = sample(held_out, recipe.validation.max_examples, recipe.seed)
    if recipe.objective == "dpo":
        return _prepare_pairs(chosen, held_out, recipe, tokenizer)
    training = encode_examples(chosen, recipe, tokenizer)
    if not training.sequences:
        raise _nothing_to_train(data, recipe, chosen_count=len(chosen), encoded=training)
    return Prepared(tokenizer, training, encode_examples(held_out, recipe, tokenizer))


def _prepare_pairs(chosen: Sequence[Example], held_out: Sequence[Example], recipe: Recipe, tokenizer: ChatTokenizer) -> Prepared:
    training, validation = encode_pairs(chosen, recipe, tokenizer), encode_pairs(held_out, recipe, tokenizer)
    if not training.rejected:
        raise _no_pairs(recipe, len(chosen), training.chosen)
    return Prepared(tokenizer, training.chosen, validation.chosen, (training, validation))


def _nothing_to_train(data: TrainingData, recipe: Recipe, *, chosen_count: int, encoded: Encoded) -> DataError:
    if not chosen_count:
        tutor, learner = (sum(example.task == task for example in data.train) for task in ("tutor", "learner"))
        return DataError(
            f"No training example has the recipe's task {recipe.task!r}: the data has {tutor} tutor and {learner} learner "
            "examples. Set metadata.task in the data or task in the recipe, and look: homeroom data show FILE",
            code="too-few-examples",
        )
    if encoded.without_labels:
        return DataError(
            f"None of {chosen_count} training examples has an assistant turn to learn from (weight 0 keeps a turn out of "
            "the loss). Look at them: homeroom data check FILE",
            code="no-labels",
        )
    return DataError(
        f"None of {chosen_count} training examples fits data.max_sequence_tokens = {recipe.data.max_sequence_tokens!r}. Raise "
        "it in the recipe (and batch_tokens with it), then: homeroom tune plan --recipe FILE",
        code="too-few-examples",
    )


def _no_pairs(recipe: Recipe, count: int, encoded: Encoded) -> DataError:
    if encoded.too_long:
        return DataError(
            f"None of {count} pairs fits data.max_sequence_tokens = {recipe.data.max_sequence_tokens!r}. Raise it in the recipe "
            "(and batch_tokens with it), then: homeroom tune plan --recipe FILE",
            code="too-few-examples",
        )
    return DataError(
        f"None of {count} training examples has a rejected reply, and objective = 'dpo' learns from pairs. Give preference data, "
        "or take objective: supervised; look at the data: homeroom data show FILE",
        code="no-preferences",
    )
