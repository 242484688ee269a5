"""Phi 3 taken apart, windows, and what of these families is refused."""

from __future__ import annotations

import json

import pytest

from homeroom.errors import ConfigError
from homeroom.models import tiny
from homeroom.models.folder import read_json
from homeroom.models.gguf_write import check_convertible
from homeroom.models.unfuse import parts, unfuse

CONFIG = {"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 8, "intermediate_size": 6}


def test_the_parts_are_the_rows_in_their_order(tmp_path):
    import numpy as np
    from safetensors.numpy import load_file, save_file

    stem = "model.layers.0."
    whole = {
        f"{stem}self_attn.qkv_proj.weight": np.arange(16 * 8, dtype=np.float32).reshape(16, 8),
        f"{stem}mlp.gate_up_proj.weight": np.arange(12 * 8, dtype=np.float16).reshape(12, 8),
        f"{stem}self_attn.o_proj.weight": np.ones((8, 8), np.float32),
    }
    save_file(whole, tmp_path / "a.safetensors")
    unfuse(tmp_path / "a.safetensors", tmp_path / "b.safetensors", CONFIG)
    found = load_file(tmp_path / "b.safetensors")
    qkv, gate_up, _ = whole.values()
    wanted = {
        "self_attn.q_proj": qkv[:8],
        "self_attn.k_proj": qkv[8:12],
        "self_attn.v_proj": qkv[12:],
        "mlp.gate_proj": gate_up[:6],
        "mlp.up_proj": gate_up[6:],
        "self_attn.o_proj": np.ones((8, 8), np.float32),
    }
    assert found.keys() == {f"{stem}{name}.weight" for name in wanted}
    for name, values in wanted.items():
        assert found[f"{stem}{name}.weight"].dtype == values.dtype
        assert np.array_equal(found[f"{stem}{name}.weight"], values)
    assert parts("model.norm.weight", CONFIG) == {}


def folder_of(tmp_path, architecture, kind, **changes):
    folder = tiny.build(tmp_path / "model")
    config = {**read_json(folder / "config.json"), "architectures": [architecture], "model_type": kind, **changes}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(("window", "context"), [(None, 2048), (512, 512), (4096, 2048)])
def test_a_model_reaches_as_far_as_its_window(tmp_path, window, context):
    found = check_convertible(folder_of(tmp_path, "MistralForCausalLM", "mistral", sliding_window=window), "x")
    assert (found["max_position_embeddings"], found["sliding_window"]) == (context, None)
    assert found["architectures"] == ["MistralForCausalLM"]


def test_phi_3_becomes_a_llama(tmp_path):
    found = check_convertible(folder_of(tmp_path, "Phi3ForCausalLM", "phi3", sliding_window=256), "x")
    assert (found["architectures"], found["model_type"]) == (["LlamaForCausalLM"], "llama")
    assert found["max_position_embeddings"] == 256
    assert "sliding_window" not in found


@pytest.mark.parametrize(
    "changes",
    [
        {"partial_rotary_factor": 0.75},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
        {"rope_scaling": {"type": "longrope"}},
    ],
)
def test_phi_3_with_other_positions_is_refused(tmp_path, changes):
    with pytest.raises(ConfigError) as caught:
        check_convertible(folder_of(tmp_path, "Phi3ForCausalLM", "phi3", **changes), "x")
    assert caught.value.code == "architecture-unsupported"
