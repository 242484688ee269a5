"""Gemma 3: what is taken of it, what is refused, and its SentencePiece tokenizer in training and in the engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from homeroom.errors import ConfigError
from homeroom.models import gemma
from homeroom.models.folder import read_json
from homeroom.models.gguf_write import check_convertible, folder_to_gguf, rope
from homeroom.models.sentencepiece import BYTES, SPACE
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.examples import Message
from tests.models import spm_double

# As google/gemma-3-1b-it is published.
PUBLISHED: Mapping[str, Any] = {
    "architectures": ["Gemma3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "attn_logit_softcapping": None,
    "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": [1, 106], "final_logit_softcapping": None,
    "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152, "initializer_range": 0.02,
    "intermediate_size": 6912, "max_position_embeddings": 32768, "model_type": "gemma3_text", "num_attention_heads": 4,
    "num_hidden_layers": 26, "num_key_value_heads": 1, "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
    "rope_local_base_freq": 10000, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": 512,
    "sliding_window_pattern": 6, "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0", "use_cache": True,
    "vocab_size": 262144,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small files of a model: the published configuration, the tokenizer of the double."""
    spm_double.build(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(json.dumps(PUBLISHED))
    return tmp_path / "m"


def change(path: Path, part: str, **changes: Any) -> None:
    record = read_json(path)
    place = record[part] if part else record
    place.update(changes)
    path.write_text(json.dumps(record))


def test_the_published_configuration_is_taken_and_made_whole(folder):
    found = check_convertible(folder, "x")
    assert found["layer_types"].count("full_attention") == 4 and found["layer_types"][5] == "full_attention"
    assert (found["sliding_window"], found["query_pre_attn_scalar"], found["tie_word_embeddings"]) == (512, 256, True)
    assert rope(found)["rope_theta"] == 1_000_000 and found["rope_parameters"]["sliding_attention"]["rope_theta"] == 10_000
    assert "cache_implementation" not in found
    change(folder / "config.json", "", **found)
    again = check_convertible(folder, "x")
    assert again == found, "what was written is read as it is"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping = 30.0"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 8.0}}, "rope_scaling"),
        ({"rope_local_base_freq": 5000}, "rope_local_base_freq = 5000"),
        ({"query_pre_attn_scalar": 168}, "query_pre_attn_scalar = 168"),
        ({"sliding_window_pattern": 2}, "sliding_window_pattern = 2"),
        ({"layer_types": ["full_attention"] * 26}, "layer_types"),
        ({"hidden_activation": "silu"}, "hidden_activation"),
        ({"num_hidden_layers": 62}, "num_hidden_layers = 62"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ({"model_type": "gemma3"}, "the type 'gemma3'"),
        ({"architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2"}, "Gemma2ForCausalLM"),
    ],
)
def test_what_the_engine_would_compute_otherwise_is_refused_by_name(folder, changes, named):
    change(folder / "config.json", "", **changes)
    with pytest.raises(ConfigError, match="OpenAI-compatible") as refused:
        check_convertible(folder, "x")
    assert refused.value.code == "architecture-unsupported" and named in refused.value.message


@pytest.mark.parametrize("changes", [{"sliding_window": 0}, {"sliding_window": None}, {"rope_theta": -1.0}, {"rope_theta": "1"}])
def test_sizes_that_cannot_be_are_refused(folder, changes):
    change(folder / "config.json", "", **changes)
    with pytest.raises(ConfigError) as refused:
        check_convertible(folder, "x")
    assert refused.value.code == "model-files"


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("", {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}]}}),
        ("", {"normalizer": None}),
        ("", {"pre_tokenizer": {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always"}}),
        ("", {"decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Strip", "content": " "}]}}),
        ("model", {"ignore_merges": True}),
        ("model", {"unk_token": ["<unk>"]}),
        ("model", {"type": "Unigram"}),
        ("model", {"byte_fallback": False}),
    ],
)
def test_a_tokenizer_of_another_kind_is_refused(folder, part, changes):
    change(folder / "tokenizer.json", part, **changes)
    with pytest.raises(ConfigError, match="OpenAI-compatible") as refused:
        check_convertible(folder, "x")
    assert refused.value.code == "tokenizer-unsupported"


def test_merges_that_no_scores_can_tell_are_found_out_by_cutting_texts(folder):
    """A piece that no merge makes: training never joins its characters, the engine would."""
    record = read_json(folder / "tokenizer.json")
    record["model"]["merges"].remove([SPACE, "a"])
    (folder / "tokenizer.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="would cut 'What is a half of 14\\?' otherwise") as refused:
        check_convertible(folder, "x")
    assert refused.value.code == "tokenizer-unsupported"


def test_a_tokenizer_without_bytes_is_refused(folder):
    record = read_json(folder / "tokenizer.json")
    record["model"]["vocab"]["other"] = record["model"]["vocab"].pop(BYTES[200])
    (folder / "tokenizer.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=r"vocab \(bytes\)"):
        check_convertible(folder, "x")


def test_the_marks_of_a_turn_are_learnt_and_the_system_s_text_is_in_the_question(folder):
    tokenizer = ChatTokenizer(folder)
    messages = [Message("system", "Be kind."), Message("user", "What  is 3?"), Message("assistant", "Draw 3 🙂.")]
    ids, mask = tokenizer.encode_chat(messages)
    learnt = [index for index, marked in zip(ids, mask, strict=True) if marked]
    assert tokenizer.decode(learnt) == "Draw 3 🙂.<end_of_turn>"
    assert ids[0] == spm_double.SPECIAL.index("<bos>") and "Be kind.\n\nWhat  is 3?" in tokenizer.decode(ids)


@pytest.mark.parametrize("missing", ["pre_feedforward_layernorm", "post_feedforward_layernorm", "self_attn.q_norm"])
def test_a_norm_that_is_missing_is_found_out_before_anything_is_written(tmp_path, missing):
    import numpy as np
    from safetensors.numpy import save_file

    size = spm_double.build(tmp_path / "m")
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 4}
    config = {**PUBLISHED, **sizes, "query_pre_attn_scalar": 4, "vocab_size": size}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    (tmp_path / "m" / "config.json").write_text(json.dumps(check_convertible(tmp_path / "m", "x")))
    norms = ("input_layernorm", "post_attention_layernorm", *gemma.NORMS)
    shapes = {
        **dict.fromkeys(norms, (8,)),
        **{f"self_attn.{name}": (4,) for name in ("q_norm", "k_norm")},
        **{f"self_attn.{name}": (rows, 8) for name, rows in (("q_proj", 8), ("k_proj", 4), ("v_proj", 4), ("o_proj", 8))},
        **{f"mlp.{name}": shape for name, shape in (("gate_proj", (16, 8)), ("up_proj", (16, 8)), ("down_proj", (8, 16)))},
    }
    tensors = {f"model.layers.0.{name}.weight": np.zeros(shape, np.float32) for name, shape in shapes.items()}
    tensors |= {"model.embed_tokens.weight": np.zeros((size, 8), np.float32), "model.norm.weight": np.zeros(8, np.float32)}
    save_file(tensors, tmp_path / "m" / "model.safetensors")
    folder_to_gguf(tmp_path / "m", tmp_path / "whole.gguf", name="x", quantisation="f32")
    save_file({k: v for k, v in tensors.items() if missing not in k}, tmp_path / "m" / "model.safetensors")
    with pytest.raises(ConfigError, match=missing) as refused:
        folder_to_gguf(tmp_path / "m", tmp_path / "m.gguf", name="x")
    assert refused.value.code == "model-files" and not (tmp_path / "m.gguf").exists()
