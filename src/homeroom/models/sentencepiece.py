"""SentencePiece's tokenizers as ``tokenizer.json`` has them: BPE over characters with ``▁`` for a space, bytes for what is left.

The engine merges the pair whose piece has the highest score, ``tokenizers`` the pair that comes first in its list of merges.
Where the list was made from scores, as transformers makes it, a piece's place in the list is its score again.
Source: ``llm_tokenizer_spm`` of llama.cpp, ``generate_merges`` of transformers' ``convert_slow_tokenizer.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from homeroom.errors import ConfigError
from homeroom.models.architectures import ENDPOINT_HINT

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from tokenizers import Tokenizer

SPACE = "▁"
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_NORMALIZER = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_DECODER = [
    {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
]
_SPLIT = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
# Token types of GGUF (llama.h, `llama_token_type`).
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_NEVER = -1e6

PROBES = (
    "What is a half of 14?",
    "I'm sure it's 7: 14 / 2 = 7.0, right?",
    "  two  spaces   three    four     five      six",
    "naïve café Ünïcödé 🙂 日本語 привет … “said”",
    "def area(x):\n\treturn x * x",
    "THE Quick brownFox jumps 1234567890 times",
    "aaaa aaaaa lll ssss mississippi bookkeeper",
)
"""Texts on which what the engine will do is compared with what training will see, before a model is taken in."""


# A tokenizer.json is JSON written by others: Any.
def is_sentencepiece(tokenizer: Mapping[str, Any]) -> bool:
    """Whether it says that it falls back to bytes, which byte-level BPE has no need of."""
    model = tokenizer.get("model")
    return isinstance(model, dict) and model.get("type") == "BPE" and model.get("byte_fallback") is True


def check_sentencepiece(tokenizer: Mapping[str, Any], name: str) -> None:
    """Refuse one that prepares, cuts or puts together text in another way than the engine does.

    Raises:
        ConfigError: ``tokenizer-unsupported``.
    """
    decoder = tokenizer.get("decoder")
    steps = decoder.get("decoders") if isinstance(decoder, dict) else decoder
    model = tokenizer["model"]
    vocab, unknown = model.get("vocab"), model.get("unk_token")
    odd = {
        "normalizer": tokenizer.get("normalizer") != _NORMALIZER,
        "pre_tokenizer": tokenizer.get("pre_tokenizer") not in (None, _SPLIT),  # no space is left to cut at
        "decoder": steps != _DECODER,
        "ignore_merges": bool(model.get("ignore_merges")),
        "vocab (bytes)": not isinstance(vocab, dict) or any(byte not in vocab for byte in BYTES),
        "unk_token": not isinstance(vocab, dict) or not isinstance(unknown, str) or unknown not in vocab,
    }
    found = next((part for part, wrong in odd.items() if wrong), None)
    if found is not None:
        raise ConfigError(
            f"{name!r} has a SentencePiece tokenizer whose {found} is not converted for the embedded engine. {ENDPOINT_HINT}",
            code="tokenizer-unsupported",
        )


def add_sentencepiece(writer: GGUFWriter, tokenizer: Mapping[str, Any], size: int) -> None:
    """Tell the engine of the tokens, their kinds and their scores; ``size`` is the model's, which may have more."""
    model = tokenizer["model"]
    tokens, kinds, scores = [f"[PAD{i}]" for i in range(size)], [_UNUSED] * size, [_NEVER] * size
    by_piece = _scores(tokenizer)
    for token, index in model["vocab"].items():
        tokens[index], kinds[index], scores[index] = token, _NORMAL, by_piece[token]
    for byte in BYTES:
        kinds[model["vocab"][byte]] = _BYTE
    for added in tokenizer.get("added_tokens", []):
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = _CONTROL if added["special"] else _USER_DEFINED
    kinds[model["vocab"][model["unk_token"]]] = _UNKNOWN
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)


def _ranks(merges: Sequence[Any]) -> dict[str, int]:
    """Each merged piece's place among them: that of the first pair that makes it."""
    ranks: dict[str, int] = {}
    for merge in merges:
        ranks.setdefault(merge.replace(" ", "") if isinstance(merge, str) else "".join(merge), len(ranks))
    return ranks


def check_pieces(tokenizer: Tokenizer, record: Mapping[str, Any], name: str) -> None:
    """Refuse a checked ``record`` whose scores cut some text otherwise than the ``tokenizer`` made from it.

    Raises:
        ConfigError: ``tokenizer-unsupported``.
    """
    vocab = record["model"]["vocab"]
    scores = _scores(record)
    for text in PROBES:
        pieces = _as_the_engine_cuts(text.replace(" ", SPACE), scores)
        ids = [index for piece in pieces for index in _ids(piece, vocab)]
        if ids != tokenizer.encode(text, add_special_tokens=False).ids:
            raise ConfigError(
                f"{name!r} has a SentencePiece tokenizer that would cut {text!r:.80} otherwise in the embedded engine. "
                f"{ENDPOINT_HINT}",
                code="tokenizer-unsupported",
            )


def _as_the_engine_cuts(text: str, scores: Mapping[str, float]) -> list[str]:
    """Characters, of which the two neighbours whose piece has the highest score become one, the left ones first."""
    pieces = list(text)
    while True:
        pairs = (("".join(pieces[at : at + 2]), at) for at in range(len(pieces) - 1))
        best = max(((scores[piece], -at) for piece, at in pairs if piece in scores), default=None)
        if best is None:
            return pieces
        pieces[-best[1] : 2 - best[1]] = ["".join(pieces[-best[1] : 2 - best[1]])]


def _ids(piece: str, vocab: Mapping[str, int]) -> list[int]:
    return [vocab[piece]] if piece in vocab else [vocab[BYTES[byte]] for byte in piece.encode()]


def _scores(record: Mapping[str, Any]) -> dict[str, float]:
    """The score of each piece: less for those that are merged later, least for those that are never."""
    ranks = _ranks(record["model"]["merges"])
    return {token: -float(ranks.get(token, -_NEVER)) for token in record["model"]["vocab"]}
