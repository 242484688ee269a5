"""Turns a Hugging Face folder into the GGUF file that the engine serves.

Everything the engine needs (tokenizer, chat template, sizes) is taken from the folder that training reads, so that both see the
same model. Source of names and keys: the GGUF specification, ggml's ``docs/gguf.md``, and llama.cpp's ``convert_hf_to_gguf.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.errors import ConfigError
from homeroom.models import gemma
from homeroom.models.architectures import ENDPOINT_HINT, Architecture, architecture_of, gguf_name, to_gguf_rows
from homeroom.models.folder import Tensor, chat_template, read_json, read_tensors, special_ids
from homeroom.models.model_config import check_tokenizer, plain_config
from homeroom.models.model_tensors import check_tensors
from homeroom.models.sentencepiece import add_sentencepiece, is_sentencepiece
from homeroom.models.template import check_template

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter
    from numpy.typing import NDArray

_EMBEDDINGS = {"model.embed_tokens.weight", "lm_head.weight"}

# Token types of GGUF (llama.h, `llama_token_type`).
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5

QUANTISATIONS = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
"""Number formats of the engine's weights, from the largest to the smallest."""

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASES = (  # words in the cases of their letters: Mistral's Tekken
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_PRE_BY_PATTERN = {_WORDS % "{1,3}": "llama-bpe", _WORDS % "": "qwen2", _CASES: "tekken"}


Load = Callable[[Tensor], "NDArray[np.float32]"]
"""Gives the values of a tensor: as they lie in the folder, or with an adapter added."""


def folder_to_gguf(folder: Path, out: Path, *, name: str, quantisation: str = "q8_0", load: Load = Tensor.load) -> None:
    """Write ``out`` from the model in ``folder``, tensor by tensor.

    Args:
        folder: ``config.json``, safetensors, ``tokenizer.json``, ``tokenizer_config.json``.
        out: The file to be written; not atomic, so give a path inside a temporary folder.
        name: Kept as ``general.name``.
        quantisation: One of `QUANTISATIONS`. Norms and biases stay in float32; below 8 bits the embeddings stay at 8.
        load: Gives the values that are written.

    Raises:
        ConfigError: ``architecture-unsupported`` or ``tokenizer-unsupported`` when the engine cannot be given this model.
    """
    from gguf import GGUFWriter, LlamaFileType

    config = read_json(folder / "config.json")
    architecture = architecture_of(config, name)
    check_tensors(read_tensors(folder), config, name)
    writer = GGUFWriter(str(out), architecture.gguf)
    writer.add_name(name)
    kind = "ALL_F32" if quantisation == "f32" else f"MOSTLY_{quantisation.upper()}"
    writer.add_file_type(LlamaFileType[kind])
    writer.add_quantization_version(2)
    _add_sizes(writer, config)
    _add_tokenizer(writer, folder, config, name)
    _write_tensors(writer, folder, config, architecture, quantisation, load)
    writer.close()


def check_convertible(folder: Path, name: str) -> dict[str, Any]:
    """Find out from the small files of a model, before its weights are fetched, whether the engine can be given it.

    Returns:
        Its ``config.json``, made anew from what is known of it.

    Raises:
        ConfigError: as `folder_to_gguf`, or ``no-chat-template``, ``chat-template``, ``model-files``.
    """
    record = read_json(folder / "config.json")
    architecture_of(record, name)
    config = plain_config(record, name)
    rope_factors(config)
    tokenizer = read_json(folder / "tokenizer.json")
    if not is_sentencepiece(tokenizer):
        _pre_tokenizer(tokenizer, name)
    check_tokenizer(folder, name, int(config["vocab_size"]))
    check_template(chat_template(folder))
    return config


def _add_sizes(writer: GGUFWriter, config: dict[str, Any]) -> None:
    heads = int(config["num_attention_heads"])
    head_size = int(config.get("head_dim") or config["hidden_size"] // heads)
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_rope_freq_base(float(rope(config).get("rope_theta") or 10000.0))
    writer.add_rope_dimension_count(head_size)
    writer.add_vocab_size(int(config["vocab_size"]))
    if config.get("model_type") == gemma.MODEL_TYPE:
        gemma.add_gemma_sizes(writer, config)


def rope(config: dict[str, Any]) -> dict[str, Any]:
    """Rotary settings of a ``config.json``: transformers 5 keeps them in ``rope_parameters``, older ones in two places.

    Of Gemma, which has two, those of the layers that look at everything.
    """
    if config.get("rope_parameters"):
        return dict(config["rope_parameters"].get("full_attention") or config["rope_parameters"])
    return {"rope_theta": config.get("rope_theta"), **(config.get("rope_scaling") or {})}


def rope_factors(config: dict[str, Any]) -> list[float] | None:
    """Divisors of the rotary frequencies, (head_dim / 2,), for Llama 3's long contexts; None where frequencies are plain.

    Raises:
        ConfigError: ``architecture-unsupported`` for any other kind of scaling.
    """
    settings = rope(config)
    kind = settings.get("rope_type") or settings.get("type") or "default"
    if kind == "default":
        return None
    if kind != "llama3":
        raise ConfigError(
            f"The model scales its positions with {kind!r}, which is not converted here. {ENDPOINT_HINT}",
            code="architecture-unsupported",
        )
    size = int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])
    needed = ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor", "rope_theta")
    if any(not settings.get(key) for key in needed) or settings["low_freq_factor"] >= settings["high_freq_factor"]:
        raise ConfigError(
            f"The model scales its positions by {settings!r:.120}, and 'llama3' needs {', '.join(needed)}. Fetch the model "
            "again: homeroom models pull NAME",
            code="model-files",
        )
    factor, old = float(settings["factor"]), float(settings["original_max_position_embeddings"])
    low, high = float(settings["low_freq_factor"]), float(settings["high_freq_factor"])
    factors = []
    for i in range(0, size, 2):
        wavelength = 2 * math.pi * float(settings["rope_theta"]) ** (i / size)
        if wavelength < old / high:
            factors.append(1.0)
        elif wavelength > old / low:
            factors.append(factor)
        else:
            smooth = (old / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors


def _add_tokenizer(writer: GGUFWriter, folder: Path, config: dict[str, Any], name: str) -> None:
    tokenizer = read_json(folder / "tokenizer.json")
    if is_sentencepiece(tokenizer):
        add_sentencepiece(writer, tokenizer, int(config["vocab_size"]))
    else:
        _add_byte_level(writer, tokenizer, int(config["vocab_size"]), name)
    for key, index in special_ids(folder).items():
        getattr(writer, f"add_{key}_token_id")(index)
    # The chat template writes the start token where there is one: adding it again would part serving from training.
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(chat_template(folder))


def _add_byte_level(writer: GGUFWriter, tokenizer: dict[str, Any], size: int, name: str) -> None:
    tokens = [f"[PAD{i}]" for i in range(size)]
    kinds = [_UNUSED] * size
    for token, index in tokenizer["model"]["vocab"].items():
        tokens[index], kinds[index] = token, _NORMAL
    for added in tokenizer.get("added_tokens", []):
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = _CONTROL if added["special"] else _USER_DEFINED
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer(tokenizer, name))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)


def _pre_tokenizer(tokenizer: dict[str, Any], name: str) -> str:
    """llama.cpp's name for how this tokenizer cuts text before merging."""
    pre = tokenizer.get("pre_tokenizer")
    listed = pre.get("pretokenizers", [pre]) if isinstance(pre, dict) else []
    steps = [step for step in listed if isinstance(step, dict)] if isinstance(listed, list) else []
    kinds = [step.get("type") for step in steps]
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") is True:
        return "smollm"
    if kinds == ["Split", "ByteLevel"]:
        pattern = steps[0].get("pattern")
        found = _PRE_BY_PATTERN.get(str(pattern.get("Regex"))) if isinstance(pattern, dict) else None
        if found:
            return found
    raise ConfigError(
        f"{name!r} has a tokenizer of a kind ({kinds!s:.80}) that is not converted for the embedded engine. {ENDPOINT_HINT}",
        code="tokenizer-unsupported",
    )


def _write_tensors(
    writer: GGUFWriter, folder: Path, config: dict[str, Any], architecture: Architecture, quantisation: str, load: Load
) -> None:
    import numpy as np
    from gguf import quantize
    from gguf.quants import quant_shape_to_byte_shape

    heads = int(config["num_attention_heads"])
    kv_heads = int(config.get("num_key_value_heads") or heads)
    factors = rope_factors(config)
    tensors = [t for t in read_tensors(folder) if not (t.name == "lm_head.weight" and config.get("tie_word_embeddings"))]
    if factors is not None:
        writer.add_tensor_info("rope_freqs.weight", (len(factors),), np.dtype(np.float32), len(factors) * 4)
    for tensor in tensors:
        kind = _type_of(tensor, quantisation)
        shape = quant_shape_to_byte_shape(tensor.shape, kind)
        size = math.prod(shape)
        # gguf takes raw blocks as bytes and recovers the shape; float32 goes as itself.
        if kind.name == "F32":
            writer.add_tensor_info(_name(tensor, architecture), tensor.shape, np.dtype(np.float32), size)
        else:
            writer.add_tensor_info(_name(tensor, architecture), shape, np.dtype(np.uint8), size, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if factors is not None:
        writer.write_tensor_data(np.array(factors, dtype=np.float32))
    for tensor in tensors:
        rows: NDArray[Any] = to_gguf_rows(load(tensor), architecture.rotary_heads(tensor.name, heads, kv_heads))
        if tensor.name.endswith("norm.weight") and architecture.norm_offset:
            rows = rows + architecture.norm_offset
        writer.write_tensor_data(quantize(np.ascontiguousarray(rows, dtype=np.float32), _type_of(tensor, quantisation)))


def _name(tensor: Tensor, architecture: Architecture) -> str:
    name = gguf_name(tensor.name, architecture)
    if name is None:
        raise ConfigError(
            f"The model has a tensor {tensor.name!r} that its architecture does not have here. {ENDPOINT_HINT}",
            code="architecture-unsupported",
        )
    return name


def _type_of(tensor: Tensor, quantisation: str) -> GGMLQuantizationType:
    """Matrices as asked, unless their rows do not fill blocks of 32; vectors in float32."""
    from gguf import GGMLQuantizationType

    if len(tensor.shape) == 1 or quantisation == "f32":
        return GGMLQuantizationType.F32
    if quantisation.startswith("q") and tensor.shape[-1] % 32:
        return GGMLQuantizationType.F16
    if quantisation.startswith(("q4", "q5")) and tensor.name in _EMBEDDINGS:
        return GGMLQuantizationType.Q8_0
    return GGMLQuantizationType[quantisation.upper()]
