"""The byte-level BPE tokenizer that SmolLM2, and the tiny test model, use: digits one by one, then GPT-2's byte-level pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def byte_level_bpe(
    vocab: dict[str, int], merges: Sequence[tuple[str, str]], *, special: Sequence[str], added: Sequence[str] = ()
) -> Tokenizer:
    """A tokenizer equal to llama.cpp's ``smollm`` one over the same vocabulary.

    Args:
        vocab: Token to id; ids without a gap from 0.
        merges: In order of rank.
        special: Tokens such as ``<|im_end|>`` that are matched in text before anything else and dropped when decoding.
        added: Like ``special`` but ordinary text when decoding.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in added])
    return tokenizer
