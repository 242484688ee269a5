"""Turns a quantised llama-architecture GGUF file into a Hugging Face folder: weights, configuration, tokenizer, chat template.

Only numpy and ``gguf`` are needed, so a machine that serves and never trains needs no torch. Weights are written in float32: the
4-bit blocks hold ``scale * q + minimum`` with float16 scale and minimum, whose sum does not fit float16 exactly, and float32 is
what CPU training computes in anyway.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from homeroom.errors import ConfigError
from homeroom.models.architectures import LLAMA, from_gguf_rows, hf_name
from homeroom.models.gguf_check import read_gguf_header

if TYPE_CHECKING:
    from gguf import GGUFReader

# Token types of GGUF (llama.h, `llama_token_type`).
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4

_PRE_DIGITS = {"smollm"}


def gguf_to_folder(source: Path, folder: Path) -> None:
    """Unpack ``source`` into ``folder``: weights, ``config.json``, ``tokenizer.json`` and ``tokenizer_config.json``.

    Raises:
        ConfigError: ``architecture-unsupported`` when the file is not a llama-architecture model with a byte-level BPE tokenizer,
            ``gguf-damaged`` when it lies about itself or lacks what a model needs.
    """
    from gguf import GGUFReader

    read_gguf_header(source)
    reader = GGUFReader(str(source))
    architecture = _field(reader, "general.architecture")
    pre = _field(reader, "tokenizer.ggml.pre", "")
    if architecture != "llama" or _field(reader, "tokenizer.ggml.model") != "gpt2" or pre not in _PRE_DIGITS:
        raise ConfigError(
            f"{source.name!r} has architecture {architecture!r} with tokenizer {pre!r}; only llama with a smollm tokenizer is "
            "unpacked from GGUF here. Take the model from its Hugging Face id instead: homeroom models pull ORG/NAME",
            code="architecture-unsupported",
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _write_weights(reader, folder)
        _write_json(folder / "config.json", _config(reader))
        _write_tokenizer(reader, folder)
    except (TypeError, ValueError, LookupError, OverflowError) as error:  # a key is missing or holds another kind of value
        raise ConfigError(
            f"{source.name!r} lacks something that a model needs, or holds it in another form ({type(error).__name__}: "
            f"{str(error)[:120]}). Take the model from its Hugging Face id instead: homeroom models pull ORG/NAME",
            code="gguf-damaged",
        ) from error


def gguf_template(source: Path) -> str:
    """The chat template in a GGUF file; empty when it has none.

    Raises:
        ConfigError: ``gguf-damaged``.
    """
    return read_gguf_header(source).text("tokenizer.chat_template")


# A GGUF field holds a string, a number, a boolean or a list of them: Any is what it is.
def _field(reader: GGUFReader, key: str, default: Any = None) -> Any:
    found = reader.get_field(key)
    return default if found is None else found.contents()


def _write_json(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _config(reader: GGUFReader) -> dict[str, Any]:
    def llama(key: str) -> Any:
        return _field(reader, f"llama.{key}")

    heads = llama("attention.head_count")
    names = {tensor.name for tensor in reader.tensors}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": llama("embedding_length"),
        "intermediate_size": llama("feed_forward_length"),
        "num_hidden_layers": llama("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": llama("attention.head_count_kv") or heads,
        "max_position_embeddings": llama("context_length"),
        # Kept as the float32 that the file holds, so that training normalises exactly as the engine does.
        "rms_norm_eps": float(llama("attention.layer_norm_rms_epsilon")),
        "rope_theta": float(llama("rope.freq_base") or 10000.0),
        "vocab_size": len(_field(reader, "tokenizer.ggml.tokens")),
        "tie_word_embeddings": "output.weight" not in names,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": "float32",
        "bos_token_id": _field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _field(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": _field(reader, "tokenizer.ggml.padding_token_id"),
    }


def _write_weights(reader: GGUFReader, folder: Path) -> None:
    import numpy as np
    from gguf import dequantize
    from safetensors.numpy import save_file

    heads = int(_field(reader, "llama.attention.head_count"))
    kv_heads = int(_field(reader, "llama.attention.head_count_kv") or heads)
    weights: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
    for tensor in reader.tensors:
        name = hf_name(tensor.name)
        if name is None:
            raise ConfigError(
                f"The GGUF file has a tensor {tensor.name!r} that a llama model does not have. "
                "Take the model from its Hugging Face id instead: homeroom models pull ORG/NAME",
                code="architecture-unsupported",
            )
        # GGUF shapes run from the fastest dimension; numpy's the other way round.
        shape = tuple(int(n) for n in reversed(tensor.shape))
        values = dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        values = from_gguf_rows(values, LLAMA.rotary_heads(tensor.name, heads, kv_heads))
        weights[name] = np.ascontiguousarray(values, dtype=np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _write_tokenizer(reader: GGUFReader, folder: Path) -> None:
    from homeroom.models.bpe import byte_level_bpe

    tokens = cast(list[str], _field(reader, "tokenizer.ggml.tokens"))
    types = cast(list[int], _field(reader, "tokenizer.ggml.token_type"))
    merges = cast(list[str], _field(reader, "tokenizer.ggml.merges"))
    special = [token for token, kind in zip(tokens, types, strict=True) if kind in (CONTROL, UNKNOWN)]
    plain = [token for token, kind in zip(tokens, types, strict=True) if kind == USER_DEFINED]
    pairs = [cast(tuple[str, str], tuple(merge.split(" ", 1))) for merge in merges]
    tokenizer = byte_level_bpe({token: i for i, token in enumerate(tokens)}, pairs, special=special, added=plain)
    tokenizer.save(str(folder / "tokenizer.json"))

    def token(key: str) -> str | None:
        index = _field(reader, f"tokenizer.ggml.{key}_token_id")
        return None if index is None else tokens[index]

    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": token("bos"),
            "eos_token": token("eos"),
            "unk_token": token("unknown"),
            "pad_token": token("padding"),
            "add_bos_token": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": _field(reader, "llama.context_length"),
            "chat_template": _field(reader, "tokenizer.chat_template", ""),
        },
    )
