"""What ``config.json`` and ``tokenizer.json`` of a base model may say, when a stranger wrote them.

Sizes must be sizes before memory is taken for them, and what transformers reads later is written anew from the keys below, so
that nothing else in the file (paths, classes to import, kernels to fetch) reaches it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from homeroom.errors import ConfigError
from homeroom.models import gemma
from homeroom.models.architectures import ENDPOINT_HINT
from homeroom.models.folder import read_json
from homeroom.models.sentencepiece import check_pieces, check_sentencepiece, is_sentencepiece
from homeroom.models.unfuse import FUSED

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MODEL_TYPES = {
    "LlamaForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "MistralForCausalLM": "mistral",
    "Phi3ForCausalLM": "phi3",
    gemma.ARCHITECTURE: gemma.MODEL_TYPE,
}
_WINDOWED = ("mistral", "phi3")
"""Models that look back over a window where one is set, and like any other within it."""
MAX_MERGES = 2_000_000
MAX_TOKEN_CHARACTERS = 1_000

Count = Annotated[int, Field(ge=1, le=1_000_000)]
TokenId = Annotated[int, Field(ge=0, le=10_000_000)]
Positive = Annotated[float, Field(gt=0, le=1e12)]

# Kept from a config.json besides the sizes that `_Config` checks: plain values that change what the model computes.
_PLAIN_KEYS = (
    "attention_bias",
    "attention_dropout",
    "dtype",
    "hidden_act",
    "initializer_range",
    "max_window_layers",
    "mlp_bias",
    "pretraining_tp",
    "sliding_window",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "use_sliding_window",
)


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _Rope(_Strict):
    rope_theta: Positive | None = None
    rope_type: str | None = None
    type: str | None = None
    factor: Positive | None = None
    low_freq_factor: Positive | None = None
    high_freq_factor: Positive | None = None
    original_max_position_embeddings: Count | None = None


class _Config(_Strict):
    architectures: list[str]
    hidden_size: Annotated[int, Field(ge=2, le=100_000)]
    intermediate_size: Count
    num_hidden_layers: Annotated[int, Field(ge=1, le=1_000)]
    num_attention_heads: Annotated[int, Field(ge=1, le=1_000)]
    num_key_value_heads: Annotated[int, Field(ge=1, le=1_000)] | None = None
    head_dim: Annotated[int, Field(ge=2, le=10_000)] | None = None
    max_position_embeddings: Annotated[int, Field(ge=1, le=100_000_000)]
    rms_norm_eps: Annotated[float, Field(gt=0, lt=1)]
    vocab_size: Annotated[int, Field(ge=1, le=2_000_000)]
    tie_word_embeddings: bool = False
    rope_theta: Positive | None = None
    rope_scaling: _Rope | None = None
    rope_parameters: _Rope | None = None
    layer_types: list[Literal["full_attention", "sliding_attention"]] | None = None
    bos_token_id: TokenId | None = None
    eos_token_id: TokenId | list[TokenId] | None = None
    pad_token_id: TokenId | None = None


# JSON written by others: Any.
def plain_config(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A ``config.json`` made anew from what is known of ``record``.

    Raises:
        ConfigError: ``remote-code`` for an ``auto_map``; ``model-files`` for sizes that cannot be; ``architecture-unsupported``
            for a model that is quantised or names another architecture than its type.
    """
    if "auto_map" in record:
        raise ConfigError(
            f"The 'config.json' of {name!r} asks to run the model's own Python code (auto_map), which Homeroom never does. "
            "Choose a model that transformers supports itself: homeroom models list",
            code="remote-code",
        )
    try:
        config = _Config.model_validate(dict(record))
    except ValidationError as error:
        raise _wrong(name, "config.json", error) from error
    kinds = [MODEL_TYPES.get(architecture) for architecture in config.architectures]
    if record.get("quantization_config") or kinds != [record.get("model_type", kinds[0] if kinds else None)] or kinds == [None]:
        raise ConfigError(
            f"{name!r} has the architecture {config.architectures!r:.80}, the type {record.get('model_type')!r:.40} and "
            f"{'' if record.get('quantization_config') else 'no '}quantisation; only plain weights of a supported architecture "
            f"are taken. {ENDPOINT_HINT}",
            code="architecture-unsupported",
        )
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads or config.num_attention_heads
    size = config.head_dim or config.hidden_size // heads
    if heads % kv_heads or size < 2 or size % 2 or (config.head_dim is None and config.hidden_size % heads):
        raise ConfigError(
            f"The 'config.json' of {name!r} has {config.hidden_size} features, {heads} heads and {kv_heads} key heads, which do "
            "not go together. Fetch the model again: homeroom models pull NAME",
            code="model-files",
        )
    kept = {
        key: value
        for key in _PLAIN_KEYS
        if isinstance(value := record.get(key), str | int | float) or (key in record and value is None)
    }
    found = {**kept, **config.model_dump(exclude_unset=True, exclude_none=True), "model_type": kinds[0]}
    if kinds[0] == gemma.MODEL_TYPE:
        return gemma.gemma_config(found, record, name)
    return _without_window(found, record, name) if kinds[0] in _WINDOWED else found


def _without_window(config: dict[str, Any], record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The model as far as its window reaches, where it is one without; Phi 3 as the Llama model that it is (`unfuse`).

    Raises:
        ConfigError: ``architecture-unsupported`` where only a part of each head is turned.
    """
    turned = (record.get("rope_parameters") or {}).get("partial_rotary_factor", record.get("partial_rotary_factor"))
    if turned not in (None, 1, 1.0):
        raise ConfigError(
            f"{name!r} turns {turned!r} of each head by its position, which is not converted here. {ENDPOINT_HINT}",
            code="architecture-unsupported",
        )
    window = record.get("sliding_window")
    if isinstance(window, int) and window > 0:
        config["max_position_embeddings"] = min(config["max_position_embeddings"], window)
    config["sliding_window"] = None
    if config["architectures"] == [FUSED]:
        config |= {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "mlp_bias": False}
        del config["sliding_window"]
    return config


class _Added(_Strict):
    id: TokenId
    content: Annotated[str, Field(min_length=1, max_length=MAX_TOKEN_CHARACTERS)]
    special: bool


class _Bpe(_Strict):
    type: Literal["BPE"]
    dropout: None = None
    continuing_subword_prefix: Literal[""] | None = None
    end_of_word_suffix: Literal[""] | None = None
    vocab: dict[Annotated[str, Field(max_length=MAX_TOKEN_CHARACTERS)], TokenId]
    merges: Annotated[list[Any], Field(max_length=MAX_MERGES)]


class _Tokenizer(_Strict):
    model: _Bpe
    added_tokens: Annotated[list[_Added], Field(max_length=100_000)] = []


def check_tokenizer(folder: Path, name: str, vocab_size: int) -> None:
    """Refuse a ``tokenizer.json`` that is neither byte-level BPE nor SentencePiece's BPE over the model's vocabulary.

    A tokenizer is a program too: its normalizer and decoder may replace by regular expressions that never end, and its padding
    may be longer than any memory. Byte-level BPE needs none of them; how it cuts words is checked where the engine is told. Of
    SentencePiece's (`homeroom.models.sentencepiece`) each part is compared with what it is known to be.

    Raises:
        ConfigError: ``tokenizer-unsupported`` or ``model-files``.
    """
    record = read_json(folder / "tokenizer.json")
    parts = [(part, step) for part in ("normalizer", "post_processor", "decoder") for step in _steps(record.get(part))]
    odd = next((f"{part} {step!r:.60}" for part, step in parts if step not in _KNOWN_STEPS[part]), None)
    if is_sentencepiece(record):
        check_sentencepiece(record, name)
        odd = next((f"post_processor {s!r:.60}" for s in _steps(record.get("post_processor")) if s != "TemplateProcessing"), None)
    if odd is not None or not isinstance(model := record.get("model"), dict) or model.get("type") != "BPE":
        raise ConfigError(
            f"{name!r} has a tokenizer of a kind ({odd or 'no byte-level BPE'}) that is not converted for the embedded engine. "
            f"{ENDPOINT_HINT}",
            code="tokenizer-unsupported",
        )
    try:
        tokenizer = _Tokenizer.model_validate(record)
    except ValidationError as error:
        raise _wrong(name, "tokenizer.json", error) from error
    ids = [*tokenizer.model.vocab.values(), *(added.id for added in tokenizer.added_tokens)]
    merges = tokenizer.model.merges
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    if max(ids, default=0) >= vocab_size or not all(_is_pair(pair) for pair in pairs):
        raise ConfigError(
            f"The 'tokenizer.json' of {name!r} has the token {max(ids, default=0)} for a model of {vocab_size} tokens, or merges "
            "that are no pairs. Fetch the model again: homeroom models pull NAME",
            code="model-files",
        )
    loaded = _load(folder / "tokenizer.json", name)
    if is_sentencepiece(record):
        check_pieces(loaded, record, name)


_KNOWN_STEPS = {"normalizer": {"NFC"}, "post_processor": {"ByteLevel", "TemplateProcessing"}, "decoder": {"ByteLevel"}}


def _steps(part: Any) -> list[Any]:  # JSON
    """The types of a part's steps; what is no step by its looks comes back as it is, which no list of types knows."""
    if part is None:
        return []
    if not isinstance(part, dict):
        return [str(part)[:60]]
    inner = part.get("processors") or part.get("normalizers") or part.get("decoders")
    if part.get("type") == "Sequence" and isinstance(inner, list):
        return [str(step.get("type")) if isinstance(step, dict) else str(step)[:60] for step in inner]
    return [str(part.get("type"))]


def _is_pair(pair: Any) -> bool:  # JSON
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(half, str) for half in pair)


def _load(path: Path, name: str) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:
        if type(error) is not Exception:  # tokenizers raises just that; anything else is a mistake of ours
            raise
        raise ConfigError(
            f"The 'tokenizer.json' of {name!r} cannot be loaded ({str(error)[:120]}). Fetch the model again: "
            "homeroom models pull NAME",
            code="model-files",
        ) from error


def _wrong(name: str, file: str, error: ValidationError) -> ConfigError:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return ConfigError(
        f"The {file!r} of {name!r} is not what such a file says: {where!r:.80} = {first['input']!r:.40}: {first['msg']:.120}. "
        "Fetch the model again: homeroom models pull NAME",
        code="model-files",
    )
